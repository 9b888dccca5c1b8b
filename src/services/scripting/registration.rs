//! What a library sees while it is loaded (FUNCTION LOAD): `redis.register_function`, the log and the version, nothing else.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use mlua::{Function as LuaFunction, Lua, Result, Table, Value};

use super::api::Functions;
use super::libraries::check_function_name;
use super::raised::ErrorTable;
use super::shebang::Flags;

/// Fields that the `redis` table has in a library, too.
const SHARED: [&str; 7] =
    ["log", "LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING", "REDIS_VERSION", "REDIS_VERSION_NUM"];

/// A function as a library has registered it.
#[derive(Debug)]
pub struct Registered {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub flags: Flags,
}

/// The functions that the library has registered so far. Lua holds them in a table: handles are few.
#[derive(Debug)]
pub struct Registration {
    /// A library is being loaded.
    is_open: bool,
    registered: Vec<Registered>,
    names: HashSet<Vec<u8>>,
    functions: Table,
}

impl Registration {
    pub fn new(lua: &Lua) -> Result<Rc<RefCell<Self>>> {
        let functions = lua.create_table()?;
        let closed =
            Registration { is_open: false, registered: Vec::new(), names: HashSet::new(), functions };
        Ok(Rc::new(RefCell::new(closed)))
    }

    /// A library is loaded from now on.
    pub fn begin(&mut self) {
        self.is_open = true;
    }

    /// The library has been loaded: what it has registered, and the functions by their place in it.
    pub fn end(&mut self, lua: &Lua) -> Result<(Vec<Registered>, Table)> {
        self.is_open = false;
        self.names = HashSet::new();
        let functions = std::mem::replace(&mut self.functions, lua.create_table()?);
        Ok((std::mem::take(&mut self.registered), functions))
    }

    fn add(&mut self, registered: Registered, function: LuaFunction) -> Result<()> {
        check_function_name(&registered.name).map_err(ErrorTable::plain)?;
        if !self.names.insert(registered.name.clone()) {
            return Err(ErrorTable::plain("Function already exists in the library"));
        }
        self.registered.push(registered);
        self.functions.raw_set(self.registered.len(), function)
    }
}

/// The `redis` table of libraries, made of that of scripts.
pub fn open(
    functions: &Functions<'_, '_, '_>,
    redis: &Table,
    registration: &Rc<RefCell<Registration>>,
) -> Result<Table> {
    let table = functions.lua.create_table()?;
    for name in SHARED {
        table.raw_set(name, redis.raw_get::<Value>(name)?)?;
    }
    let registration = registration.clone();
    let register = functions.make(move |_, lua, arguments| {
        if !registration.borrow().is_open {
            return Err(ErrorTable::plain(
                "redis.register_function can only be called on FUNCTION LOAD command",
            ));
        }
        let (registered, function) = match arguments {
            [named] => named_arguments(lua, named)?,
            [name, function] => positional_arguments(lua, name, function)?,
            _ => return Err(ErrorTable::plain("wrong number of arguments to redis.register_function")),
        };
        registration.borrow_mut().add(registered, function)
    })?;
    table.raw_set("register_function", register)?;
    Ok(table)
}

fn positional_arguments(lua: &Lua, name: &Value, function: &Value) -> Result<(Registered, LuaFunction)> {
    let name = text(lua, name, "first argument to redis.register_function must be a string")?;
    let Value::Function(function) = function else {
        return Err(ErrorTable::plain("second argument to redis.register_function must be a function"));
    };
    Ok((Registered { name, description: None, flags: Flags::default() }, function.clone()))
}

fn named_arguments(lua: &Lua, named: &Value) -> Result<(Registered, LuaFunction)> {
    let Value::Table(named) = named else {
        return Err(ErrorTable::plain(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing named \
             arguments).",
        ));
    };
    let (mut name, mut description, mut callback, mut flags) = (None, None, None, Flags::default());
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let key = text(lua, &key, "named argument key given to redis.register_function is not a string")?;
        match key.to_ascii_lowercase().as_slice() {
            b"function_name" => {
                let error = "function_name argument given to redis.register_function must be a string";
                name = Some(text(lua, &value, error)?);
            }
            b"description" => {
                let error = "description argument given to redis.register_function must be a string";
                description = Some(text(lua, &value, error)?);
            }
            b"callback" => {
                let Value::Function(function) = value else {
                    return Err(ErrorTable::plain(
                        "callback argument given to redis.register_function must be a function",
                    ));
                };
                callback = Some(function);
            }
            b"flags" => {
                let Value::Table(list) = value else {
                    return Err(ErrorTable::plain(
                        "flags argument to redis.register_function must be a table representing function flags",
                    ));
                };
                flags = flags_of(lua, &list)?;
            }
            _ => return Err(ErrorTable::plain("unknown argument given to redis.register_function")),
        }
    }
    let name =
        name.ok_or_else(|| ErrorTable::plain("redis.register_function must get a function name argument"))?;
    let callback =
        callback.ok_or_else(|| ErrorTable::plain("redis.register_function must get a callback argument"))?;
    Ok((Registered { name, description, flags }, callback))
}

/// The flags that a list names, up to its first gap.
fn flags_of(lua: &Lua, list: &Table) -> Result<Flags> {
    const UNKNOWN: &str = "unknown flag given";
    let mut flags = Flags::default();
    for index in 1.. {
        let value: Value = list.get(index)?;
        if value.is_nil() {
            break;
        }
        let name = text(lua, &value, UNKNOWN)?.to_ascii_lowercase();
        flags = flags.with(Flags::named(&name).ok_or_else(|| ErrorTable::plain(UNKNOWN))?);
    }
    Ok(flags)
}

/// A string, or a number as one.
fn text(lua: &Lua, value: &Value, error: &str) -> Result<Vec<u8>> {
    match value {
        Value::String(text) => Ok(text.as_bytes().to_vec()),
        Value::Integer(_) | Value::Number(_) => {
            let text = lua.coerce_string(value.clone())?;
            Ok(text.map(|text| text.as_bytes().to_vec()).unwrap_or_default())
        }
        _ => Err(ErrorTable::plain(error)),
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
