//! What a library sees while it is loaded (FUNCTION LOAD): `redis.register_function`, the log and the version, nothing else.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use super::builder::Builder;
use super::libraries::check_function_name;
use super::number::lua_digits;
use super::raised::raise;
use super::shebang::Flags;
use crate::sys::lua::{Kept, Kind, Look, Result, Stack};

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

/// The functions that the library has registered so far.
#[derive(Debug, Default)]
pub struct Registration {
    /// A library is being loaded.
    is_open: Cell<bool>,
    registered: RefCell<Vec<Registered>>,
    names: RefCell<HashSet<Vec<u8>>>,
    /// A table whose first item is that of the functions, in the order in which they were registered.
    functions: Cell<Option<Kept>>,
}

impl Registration {
    /// A library is loaded from now on.
    pub fn begin(&self, stack: &mut Stack<'_>) -> Result<()> {
        let holder = match self.functions.get() {
            Some(holder) => holder,
            None => {
                stack.push_table(1, 0)?;
                stack.keep()?
            }
        };
        self.functions.set(Some(holder));
        stack.push_kept(holder)?;
        let slot = stack.count();
        stack.push_table(0, 0)?;
        stack.set_item(slot, 1)?;
        stack.truncate(slot - 1);
        self.is_open.set(true);
        Ok(())
    }

    /// Forgets all functions; there will be no more.
    pub fn forget(&self, stack: &mut Stack<'_>) {
        if let Some(holder) = self.functions.take() {
            stack.forget(holder);
        }
    }

    /// The library has been loaded: what it has registered. Pushes the table of the functions, which are in the same order.
    pub fn end(&self, stack: &mut Stack<'_>) -> Result<Vec<Registered>> {
        self.is_open.set(false);
        self.names.take();
        let registered = self.registered.take();
        stack.push_kept(self.functions.get().unwrap_or(Kept::NONE))?;
        let slot = stack.count();
        stack.push_item(slot, 1)?;
        stack.push_nil()?;
        stack.set_item(slot, 1)?;
        stack.replace(slot)?;
        Ok(registered)
    }

    /// Adds the function in a slot.
    fn add(&self, stack: &mut Stack<'_>, registered: Registered, function: usize) -> Result<()> {
        if let Err(text) = check_function_name(&registered.name) {
            return Err(raise(stack, text));
        }
        if !self.names.borrow_mut().insert(registered.name.clone()) {
            return Err(raise(stack, "Function already exists in the library"));
        }
        let place = {
            let mut all = self.registered.borrow_mut();
            all.push(registered);
            all.len() as i32
        };
        stack.push_kept(self.functions.get().unwrap_or(Kept::NONE))?;
        stack.push_item(stack.count(), 1)?;
        stack.push_copy(function)?;
        stack.set_item(stack.count() - 1, place)
    }

    /// `redis.register_function`.
    fn register(&self, stack: &mut Stack<'_>) -> Result<usize> {
        if !self.is_open.get() {
            let text = "redis.register_function can only be called on FUNCTION LOAD command";
            return Err(raise(stack, text));
        }
        let (registered, function) = match stack.count() {
            1 => named_arguments(stack)?,
            2 => positional_arguments(stack)?,
            _ => return Err(raise(stack, "wrong number of arguments to redis.register_function")),
        };
        self.add(stack, registered, function)?;
        Ok(0)
    }
}

/// Pushes the `redis` table of libraries, made of that of scripts in the slot `redis`.
pub fn open<'h>(builder: &mut Builder<'_, 'h>, redis: usize, registration: &'h Registration) -> Result<()> {
    let stack = &mut builder.stack;
    stack.push_table(0, SHARED.len() + 1)?;
    let table = stack.count();
    for name in SHARED {
        stack.push_field(redis, name.as_bytes())?;
        stack.set_field(table, name.as_bytes())?;
    }
    let state = builder.state;
    state.push_function(stack, 0, move |stack| registration.register(stack))?;
    stack.set_field(table, b"register_function")
}

/// A function's name, and the slot of the function.
fn positional_arguments(stack: &mut Stack<'_>) -> Result<(Registered, usize)> {
    let name = text(stack, 1, "first argument to redis.register_function must be a string")?;
    if stack.kind(2) != Kind::Function {
        return Err(raise(stack, "second argument to redis.register_function must be a function"));
    }
    Ok((Registered { name, description: None, flags: Flags::default() }, 2))
}

/// What a table of named arguments says, as far as it has been read.
#[derive(Default)]
struct Named {
    name: Option<Vec<u8>>,
    description: Option<Vec<u8>>,
    flags: Flags,
    has_callback: bool,
}

fn named_arguments(stack: &mut Stack<'_>) -> Result<(Registered, usize)> {
    if stack.kind(1) != Kind::Table {
        let text = "calling redis.register_function with a single argument is only applicable to Lua table (representing named \
             arguments).";
        return Err(raise(stack, text));
    }
    let mut named = Named::default();
    stack.push_nil()?;
    stack.push_nil()?;
    let before = CALLBACK + 1;
    while stack.push_next(1, before)? {
        let (key, value) = (before + 1, before + 2);
        let name = text(stack, key, "named argument key given to redis.register_function is not a string")?;
        named.read(stack, &name.to_ascii_lowercase(), value)?;
        stack.truncate(key);
        stack.replace(before)?;
    }
    let Named { name, description, flags, has_callback } = named;
    let Some(name) = name else {
        return Err(raise(stack, "redis.register_function must get a function name argument"));
    };
    if !has_callback {
        return Err(raise(stack, "redis.register_function must get a callback argument"));
    }
    Ok((Registered { name, description, flags }, CALLBACK))
}

/// The slot of the callback among named arguments, behind their table.
const CALLBACK: usize = 2;

impl Named {
    fn read(&mut self, stack: &mut Stack<'_>, name: &[u8], value: usize) -> Result<()> {
        match name {
            b"function_name" => {
                let error = "function_name argument given to redis.register_function must be a string";
                self.name = Some(text(stack, value, error)?);
            }
            b"description" => {
                let error = "description argument given to redis.register_function must be a string";
                self.description = Some(text(stack, value, error)?);
            }
            b"callback" if stack.kind(value) == Kind::Function => {
                stack.push_copy(value)?;
                stack.replace(CALLBACK)?;
                self.has_callback = true;
            }
            b"callback" => {
                let text = "callback argument given to redis.register_function must be a function";
                return Err(raise(stack, text));
            }
            b"flags" if stack.kind(value) == Kind::Table => self.flags = flags_of(stack, value)?,
            b"flags" => {
                let text =
                    "flags argument to redis.register_function must be a table representing function flags";
                return Err(raise(stack, text));
            }
            _ => return Err(raise(stack, "unknown argument given to redis.register_function")),
        }
        Ok(())
    }
}

/// The flags that a list names, up to its first gap.
fn flags_of(stack: &mut Stack<'_>, list: usize) -> Result<Flags> {
    const UNKNOWN: &str = "unknown flag given";
    let mut flags = Flags::default();
    let base = stack.count();
    for index in 1.. {
        stack.push_item(list, index)?;
        if stack.kind(base + 1) == Kind::Nil {
            break;
        }
        let name = text(stack, base + 1, UNKNOWN)?.to_ascii_lowercase();
        match Flags::named(&name) {
            Some(flag) => flags = flags.with(flag),
            None => return Err(raise(stack, UNKNOWN)),
        }
        stack.truncate(base);
    }
    Ok(flags)
}

/// A string, or a number as one.
fn text(stack: &mut Stack<'_>, slot: usize, error: &str) -> Result<Vec<u8>> {
    match stack.look(slot) {
        Look::Text(text) => Ok(text.to_vec()),
        Look::Number(number) => Ok(lua_digits(number)),
        _ => Err(raise(stack, error)),
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
