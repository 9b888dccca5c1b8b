//! The sandbox: which functions scripts have, and how they are guarded. What concerns only Lua is in `sandbox.lua`.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Error, Function, HookTriggers, Lua, Result, Table, Value, Variadic};

use super::api::{self, Functions};
use super::raised::{ErrorTable, visible};
use super::registration::{self, Registration};
use super::{arguments, bit, cjson, cmsgpack, lua_struct, random, text};
use crate::sys::process;

/// Instructions between two ticks.
const TICK: u32 = 10_000;
/// Bytes of a text that is compiled: its parts are counted in an `int`.
const MAX_CHUNK: usize = 256 << 20;

/// What the interpreter needs of the sandbox.
pub struct Sandbox {
    /// The real globals; scripts have only a view of them.
    pub globals: Table,
    /// What scripts have as globals.
    shown: Table,
    /// What libraries have instead while they are loaded.
    library_globals: Table,
    pub xpcall: Function,
    pub handler: Function,
    pub visible: Function,
}

impl Sandbox {
    /// Has code see the globals of libraries that are being loaded, or those of scripts again.
    pub fn show_library_globals(&self, shown: bool) -> Result<()> {
        let Some(metatable) = self.shown.metatable() else { return Ok(()) };
        metatable.raw_set("__index", if shown { &self.library_globals } else { &self.globals })
    }
}

/// What a sandbox is to have.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Functions that break out of it (`lua-enable-deprecated-api`).
    pub insecure: bool,
    /// The version of Redis that scripts are told.
    pub version: &'static str,
    /// Most memory that scripts may use, bytes.
    pub memory: usize,
}

/// Prepares a state for scripts.
pub fn open(
    functions: &Functions<'_, '_, '_>,
    options: Options,
    registration: &Rc<RefCell<Registration>>,
) -> Result<Sandbox> {
    let lua = functions.lua;
    let raw = lua.globals();
    let xpcall: Function = raw.raw_get("xpcall")?;
    let handler = lua.create_function(|lua, error: Value| handle_error(lua, error))?;
    raw.raw_set("insecure", options.insecure)?;
    set_functions(functions, &raw)?;
    raw.raw_set("cjson", cjson::open(functions.state)?)?;
    raw.raw_set("cmsgpack", cmsgpack::open(lua)?)?;
    raw.raw_set("struct", lua_struct::open(lua)?)?;
    raw.raw_set("bit", bit::open(lua)?)?;
    let chunk = lua
        .load(include_str!("sandbox.lua"))
        .set_name(arguments::SANDBOX_CHUNK)
        .set_environment(lua.create_table()?);
    let redis = api::open(functions, options.version)?;
    raw.raw_set("library_redis", registration::open(functions, &redis, registration)?)?;
    let (globals, shown, view, library_globals): (Table, Table, Function, Table) = chunk.call(&raw)?;
    let redis: Table = view.call(redis)?;
    globals.raw_set("redis", &redis)?;
    globals.raw_set("server", redis)?;
    globals.raw_set("__redis__err__handler", &handler)?;
    lua.set_globals(shown.clone())?;
    let host = functions.host;
    lua.set_named_registry_value("tick", functions.scope.create_function(move |_, ()| host.tick())?)?;
    set_hook(lua, TICK)?;
    let visible = raw.raw_get("visible")?;
    Ok(Sandbox { globals, shown, library_globals, xpcall, handler, visible })
}

/// The interpreter's functions, for `sandbox.lua`.
fn set_functions(functions: &Functions<'_, '_, '_>, raw: &Table) -> Result<()> {
    let Functions { lua, scope, host, .. } = *functions;
    let math: Table = raw.raw_get("math")?;
    raw.raw_set("floor", math.raw_get::<Function>("floor")?)?;
    raw.raw_set("ceil", math.raw_get::<Function>("ceil")?)?;
    raw.raw_set("visible", lua.create_function(visible)?)?;
    raw.raw_set("tick", scope.create_function(move |_, ()| host.tick())?)?;
    raw.raw_set("check_depth", scope.create_function(move |_, ()| host.check_depth())?)?;
    raw.raw_set("scan", functions.make_native(text::scan)?)?;
    raw.raw_set("find", functions.make_native(|host, stack| text::find(host, stack, true))?)?;
    raw.raw_set("match", functions.make_native(|host, stack| text::find(host, stack, false))?)?;
    raw.raw_set("replace", functions.make_native(text::replace)?)?;
    raw.raw_set("rep", functions.make_native(|_, stack| text::repeat(stack))?)?;
    raw.raw_set(
        "random",
        functions.make(|host, lua, arguments| random::random(&host.random, lua, arguments))?,
    )?;
    raw.raw_set(
        "randomseed",
        functions.make(|host, lua, arguments| random::seed(&host.random, lua, arguments))?,
    )?;
    raw.raw_set(
        "clock",
        lua.create_function(|_, ()| {
            let (system, user) = process::cpu_times().process;
            Ok(system + user)
        })?,
    )?;
    raw.raw_set("check_string", functions.make_native(|_, stack| text::two_strings(stack))?)?;
    raw.raw_set("loadstring", lua.create_function(load_string)?)?;
    raw.raw_set("collectgarbage", lua.create_function(collect_garbage)?)?;
    raw.raw_set("gcinfo", lua.create_function(|lua, ()| Ok(lua.used_memory() / 1024))?)
}

/// Has the script stop after each `instructions`.
pub fn set_hook(lua: &Lua, instructions: u32) -> Result<()> {
    let triggers = HookTriggers::new().every_nth_instruction(instructions);
    lua.set_global_hook(triggers, |lua, _| {
        let ended = lua.named_registry_value::<Function>("tick")?.call::<()>(());
        if ended.is_err() {
            // What the script does with the error ends with it as well.
            set_hook(lua, 1)?;
        }
        ended.map(|()| mlua::VmState::Continue)
    })
}

/// The hook of a script that begins.
pub fn reset_hook(lua: &Lua) -> Result<()> {
    set_hook(lua, TICK)
}

/// Compiles a text; nothing but a text. `name` without its `@`, as C strings end.
pub fn compile(lua: &Lua, source: &[u8], name: &[u8]) -> Result<Function> {
    if source.len() > MAX_CHUNK {
        return Err(Error::RuntimeError("chunk has too many syntax levels".into()));
    }
    let name = String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
    // Lua's parser doesn't hold the name: it is the same string, which is held here.
    let held = lua.create_string(&name)?;
    let mut text = std::borrow::Cow::Borrowed(source);
    if source.first() == Some(&0x1b) {
        // Precompiled code is not text: the parser says so.
        text = [b" ", source].concat().into();
    }
    let function = lua.load(text.as_ref()).set_name(name).set_mode(ChunkMode::Text).into_function();
    drop(held);
    function
}

/// `loadstring`.
fn load_string(lua: &Lua, values: Variadic<Value>) -> Result<(Value, Value)> {
    let source = arguments::string(lua, &values, 1)?;
    let name = match values.get(1) {
        None | Some(Value::Nil) => source.clone(),
        Some(_) => arguments::string(lua, &values, 2)?,
    };
    match compile(lua, &source.as_bytes(), &name.as_bytes()) {
        Ok(function) => Ok((Value::Function(function), Value::Nil)),
        Err(error) => Ok((Value::Nil, visible(lua, Value::Error(Box::new(error)))?)),
    }
}

/// `collectgarbage`. Scripts share the collector: what would change its ways does nothing.
fn collect_garbage(lua: &Lua, values: Variadic<Value>) -> Result<Value> {
    const OPTIONS: [&str; 7] = ["collect", "stop", "restart", "count", "step", "setpause", "setstepmul"];
    let option = match values.first() {
        None | Some(Value::Nil) => 0,
        Some(_) => arguments::option(lua, &values, 1, &OPTIONS)?,
    };
    arguments::integer_or(lua, &values, 2, 0)?;
    Ok(match OPTIONS[option] {
        "collect" => {
            lua.gc_collect()?;
            Value::Integer(0)
        }
        "count" => Value::Number(lua.used_memory() as f64 / 1024.0),
        "step" => Value::Boolean(lua.gc_step()?),
        "setpause" | "setstepmul" => Value::Integer(200),
        _ => Value::Integer(0),
    })
}

/// Makes the error of a script that failed a table which says where it was raised.
fn handle_error(lua: &Lua, error: Value) -> Result<Value> {
    let (source, line) = place(lua);
    let table = match visible(lua, error)? {
        Value::Table(table) => table,
        other => {
            let mut text = b"ERR ".to_vec();
            match lua.coerce_string(other.clone())? {
                Some(string) => text.extend_from_slice(&string.as_bytes()),
                // `cjson.null`, as C prints a null pointer.
                None if other.is_null() => text.extend_from_slice(b"userdata: (nil)"),
                None => text.extend_from_slice(other.to_string()?.as_bytes()),
            }
            match ErrorTable::to_table(&ErrorTable { text, counted: false }, lua)? {
                Value::Table(table) => table,
                other => return Ok(other),
            }
        }
    };
    if let Some(source) = source {
        table.raw_set("source", source)?;
        table.raw_set("line", line)?;
    }
    Ok(Value::Table(table))
}

/// Where the error that is being handled was raised: the Lua code that raised it, or called the C function that did.
fn place(lua: &Lua) -> (Option<String>, i64) {
    let mut level = 1;
    let mut above_c = false;
    loop {
        let found = lua.inspect_stack(level, |debug| {
            let source = debug.source();
            let line = debug.current_line().map_or(-1, |line| line as i64);
            (source.what == "C", source.source.unwrap_or_default().into_owned(), line)
        });
        match found {
            None => return (None, -1),
            Some((true, ..)) if !above_c => above_c = true,
            Some((_, source, _)) if source == arguments::SANDBOX_CHUNK => above_c = true,
            Some((_, source, line)) => return (Some(source), line),
        }
        level += 1;
    }
}
