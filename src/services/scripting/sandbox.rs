//! The sandbox: which functions scripts have, and how they are guarded.
//!
//! Scripts share tables (`redis`, `string`, the globals). What a script gets of one is an empty table, a view, whose metatable reads
//! from the real one; no function that writes or reads past metatables lets a view through.

use super::api;
use super::basics::{self, compile_text, refuse, refuse_missing};
use super::builder::{Builder, Options};
use super::host::{Host, Place};
use super::number::lua_digits;
use super::registration::{self, Registration};
use super::{bit, cjson, cmsgpack, coroutines, lua_struct, raised, random, tables, text};
use crate::sys::lua::{Kept, Kind, Result, Stack, State};
use crate::sys::process;

/// Instructions between two ticks.
const TICK: u32 = 10_000;
/// What the interpreter needs of the sandbox.
#[derive(Clone, Copy)]
pub struct Sandbox {
    /// The real globals; scripts have only a view of them.
    pub globals: Kept,
    /// The metatable of that view.
    view: Kept,
    /// What libraries have instead while they are loaded.
    library_globals: Kept,
    pub handler: Kept,
}

impl Sandbox {
    /// Has code see the globals of libraries that are being loaded, or those of scripts again.
    pub fn show_library_globals(&self, stack: &mut Stack<'_>, shown: bool) -> Result<()> {
        stack.push_kept(self.view)?;
        let view = stack.count();
        stack.push_kept(if shown { self.library_globals } else { self.globals })?;
        stack.set_field(view, b"__index")?;
        stack.truncate(view - 1);
        Ok(())
    }
}

/// The globals that nearly every script reads; all but the first are set with each call.
const FOUND_FIRST: [&[u8]; 3] = [b"redis", b"KEYS", b"ARGV"];

/// Prepares a state for scripts.
pub fn open<'h>(
    state: &State<'h>,
    host: &'h Host<'h>,
    registration: &'h Registration,
    options: Options,
) -> Result<Sandbox> {
    let mut stack = state.stack();
    stack.push_plain_function(0, refuse)?;
    let refuse = stack.keep()?;
    stack.push_plain_function(0, refuse_missing)?;
    let missing = stack.keep()?;
    state.push_function(&mut stack, 0, move |stack| locate(host, stack))?;
    host.locator.set(stack.keep()?);
    state.push_function(&mut stack, 0, move |stack| handle_error(host, stack))?;
    let handler = stack.keep()?;
    stack.push_globals()?;
    stack.push_table(0, 48)?;
    let (raw, globals) = (1, 2);
    // What comes first into a table of this size is found first.
    for name in FOUND_FIRST {
        stack.push_boolean(false)?;
        stack.set_field(globals, name)?;
    }
    let mut builder = Builder { state, host, stack, refuse };
    add_basics(&mut builder, raw, globals, options)?;
    add_libraries(&mut builder, raw, globals)?;
    // What isn't there is an error.
    let redis = api::open(&mut builder, options)?;
    registration::open(&mut builder, redis, registration)?;
    let stack = &mut builder.stack;
    stack.push_table(0, 1)?;
    let metatable = redis + 2;
    stack.push_kept(missing)?;
    stack.set_field(metatable, b"__index")?;
    for guarded in [globals, redis + 1] {
        stack.push_copy(metatable)?;
        stack.set_metatable(guarded)?;
    }
    builder.view()?;
    host.globals_metatable.set(Some(builder.stack.keep()?));
    let library_globals = add_library_globals(&mut builder, missing)?;
    builder.view()?;
    for name in [b"redis", b"server".as_slice()] {
        builder.stack.push_copy(redis)?;
        builder.stack.set_field(globals, name)?;
    }
    for name in &FOUND_FIRST[1..] {
        builder.stack.push_nil()?;
        builder.stack.set_field(globals, name)?;
    }
    if !options.runs_functions {
        builder.stack.push_kept(handler)?;
        builder.stack.set_field(globals, b"__redis__err__handler")?;
    }
    builder.stack.truncate(globals);
    show_globals(builder, raw, globals, library_globals, handler)
}

/// The globals of libraries that are being loaded, of their `redis` table, which is taken.
fn add_library_globals(builder: &mut Builder<'_, '_>, missing: Kept) -> Result<Kept> {
    builder.view()?;
    let stack = &mut builder.stack;
    let library = stack.count();
    stack.push_table(0, 2)?;
    for name in [b"redis", b"server".as_slice()] {
        stack.push_copy(library)?;
        stack.set_field(library + 1, name)?;
    }
    stack.push_table(0, 1)?;
    stack.push_kept(missing)?;
    stack.set_field(library + 2, b"__index")?;
    stack.set_metatable(library + 1)?;
    let globals = stack.keep()?;
    stack.truncate(library - 1);
    Ok(globals)
}

/// Has code see a view of the globals from now on, and nothing else of the state.
fn show_globals(
    mut builder: Builder<'_, '_>,
    raw: usize,
    globals: usize,
    library_globals: Kept,
    handler: Kept,
) -> Result<Sandbox> {
    builder.stack.push_copy(globals)?;
    let real = builder.stack.keep()?;
    builder.stack.push_copy(globals)?;
    builder.make_view()?;
    let stack = &mut builder.stack;
    let view = stack.keep()?;
    let shown = stack.count();
    builder.host.globals.set(stack.identity(shown));
    stack.push_copy(shown)?;
    stack.set_field(globals, b"_G")?;
    stack.set_globals();
    // Functions of C have the old table as their environment.
    let mut names = Vec::new();
    stack.pairs(raw, |stack, name, _| {
        names.extend(stack.text(name).map(<[u8]>::to_vec));
        Ok(true)
    })?;
    for name in names {
        stack.push_nil()?;
        stack.set_field(raw, &name)?;
    }
    let host = builder.host;
    builder.state.set_hook(TICK, move |stack| host.tick(stack));
    stack.collect();
    Ok(Sandbox { globals: real, view, library_globals, handler })
}

/// The functions that are globals themselves.
fn add_basics(builder: &mut Builder<'_, '_>, raw: usize, globals: usize, options: Options) -> Result<()> {
    const NAMES: [&str; 9] =
        ["_VERSION", "tostring", "assert", "tonumber", "rawequal", "type", "select", "ipairs", "error"];
    builder.copy(raw, globals, &NAMES)?;
    builder.add(globals, "pcall", basics::pcall)?;
    builder.add(globals, "xpcall", basics::xpcall)?;
    builder.add(globals, "getmetatable", basics::get_metatable)?;
    builder.add(globals, "setmetatable", basics::set_metatable)?;
    builder.add(globals, "rawset", basics::raw_set)?;
    builder.add(globals, "rawget", basics::raw_get)?;
    builder.add(globals, "next", basics::next)?;
    builder.stack.push_field(globals, b"next")?;
    builder.stack.push_field(raw, b"next")?;
    let host = builder.host;
    builder.state.push_function(&mut builder.stack, 2, move |stack| basics::pairs(host, stack))?;
    builder.stack.set_field(globals, b"pairs")?;
    builder.add_plain(globals, "unpack", basics::unpack)?;
    builder.add_plain(globals, "loadstring", basics::load_string)?;
    builder.add(globals, "load", basics::load)?;
    builder.add_plain(globals, "collectgarbage", basics::collect_garbage)?;
    builder.add_plain(globals, "gcinfo", basics::gc_info)?;
    if options.insecure {
        builder.copy(raw, globals, &["setfenv", "getfenv"])?;
        add_proxies(builder, raw, globals)?;
    }
    Ok(())
}

/// `newproxy`, whose metatables scripts see as tables that have everything but finalizers: these would run while other scripts do.
fn add_proxies(builder: &mut Builder<'_, '_>, raw: usize, globals: usize) -> Result<()> {
    const NEWPROXY: &str = "local newproxy, getmetatable, setmetatable, rawset, proxies = ...
        return function(from)
            local proxy = newproxy(from)
            local metatable = getmetatable(proxy)
            if metatable and not proxies[metatable] then
                proxies[metatable] = setmetatable({}, {__index = metatable, __newindex = function(_, key, value)
                    if key ~= '__gc' then
                        rawset(metatable, key, value)
                    end
                end})
            end
            return proxy
        end";
    let stack = &mut builder.stack;
    stack.push_table(0, 0)?;
    let proxies = stack.count();
    compile_text(stack, NEWPROXY.as_bytes(), c"=newproxy")?;
    for name in ["newproxy", "getmetatable", "setmetatable", "rawset"] {
        stack.push_field(raw, name.as_bytes())?;
    }
    stack.push_copy(proxies)?;
    stack.call(5, 0)?;
    stack.set_field(globals, b"newproxy")?;
    builder.host.proxies.set(Some(stack.keep()?));
    Ok(())
}

/// The libraries.
fn add_libraries(builder: &mut Builder<'_, '_>, raw: usize, globals: usize) -> Result<()> {
    let table = globals + 1;
    let tables: [(&str, &[&str]); 4] = [
        ("table", &["foreach", "foreachi", "getn", "maxn", "setn"]),
        ("string", &["byte", "char", "dump", "format", "len", "lower", "reverse", "sub", "upper"]),
        ("coroutine", &["create", "running", "status", "yield"]),
        ("math", &[]),
    ];
    for (name, copied) in tables {
        builder.stack.push_field(raw, name.as_bytes())?;
        if name != "math" {
            builder.stack.push_table(0, copied.len() + 6)?;
            builder.copy(table, table + 1, copied)?;
            builder.stack.replace(table)?;
        }
        match name {
            "table" => {
                builder.add(table, "insert", tables::insert)?;
                builder.add(table, "remove", tables::remove)?;
                builder.add(table, "concat", tables::concat)?;
                builder.add(table, "sort", tables::sort)?;
            }
            "string" => {
                add_patterns(builder, table)?;
                builder.stack.push_copy(table)?;
                set_string_metatable(builder)?;
            }
            "coroutine" => {
                let host = builder.host;
                let resumer = builder.state.prototype(move |stack| coroutines::resume_own(host, stack))?;
                builder.add(table, "resume", coroutines::resume)?;
                let wrap = move |stack: &mut Stack<'_>| coroutines::wrap(resumer, stack);
                builder.state.push_function(&mut builder.stack, 0, wrap)?;
                builder.stack.set_field(table, b"wrap")?;
            }
            _ => {
                builder.add(table, "random", |host, stack| random::random(&host.random, stack))?;
                builder.add(table, "randomseed", |host, stack| random::seed(&host.random, stack))?;
            }
        }
        builder.set_view(globals, name)?;
    }
    builder.stack.push_table(0, 1)?;
    builder.add_plain(table, "clock", |stack| {
        let (system, user) = process::cpu_times().process;
        stack.push_number(system + user)?;
        Ok(1)
    })?;
    builder.set_view(globals, "os")?;
    let marker = cjson::open(&mut builder.stack)?;
    builder.host.views.borrow_mut().push(marker);
    builder.set_view(globals, "cjson")?;
    cmsgpack::open(&mut builder.stack)?;
    builder.set_view(globals, "cmsgpack")?;
    lua_struct::open(&mut builder.stack)?;
    builder.set_view(globals, "struct")?;
    bit::open(&mut builder.stack)?;
    builder.set_view(globals, "bit")
}

/// The functions of the `string` library that look for patterns.
fn add_patterns(builder: &mut Builder<'_, '_>, table: usize) -> Result<()> {
    builder.add(table, "find", |host, stack| text::find(host, stack, true))?;
    builder.add(table, "match", |host, stack| text::find(host, stack, false))?;
    builder.add(table, "gsub", text::replace)?;
    builder.add_plain(table, "rep", text::repeat)?;
    let host = builder.host;
    let step = builder.state.prototype(move |stack| text::next_match(host, stack))?;
    builder.state.push_function(&mut builder.stack, 0, move |stack| text::each_match(step, stack))?;
    let stack = &mut *builder.stack;
    stack.push_copy(stack.count())?;
    stack.set_field(table, b"gmatch")?;
    stack.set_field(table, b"gfind")
}

/// Strings have the functions of the library, the topmost value, as their methods; it is taken. Scripts see a view as the
/// metatable.
fn set_string_metatable(builder: &mut Builder<'_, '_>) -> Result<()> {
    let stack = &mut builder.stack;
    let library = stack.count();
    stack.push_text(b"")?;
    stack.push_metatable_of(library + 1)?;
    stack.push_copy(library)?;
    stack.set_field(library + 2, b"__index")?;
    stack.truncate(library);
    builder.view()?;
    let stack = &mut builder.stack;
    stack.push_table(0, 1)?;
    stack.push_copy(library)?;
    stack.set_field(library + 1, b"__index")?;
    builder.view()?;
    builder.host.string_metatable.set(Some(builder.stack.keep()?));
    builder.stack.truncate(library - 1);
    Ok(())
}

/// Notes where an error is raised, its only argument, which is returned.
fn locate(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    // What compares and reads fields is a function of C within that which needs it.
    let is_within = stack.caller(1).is_some_and(|raised| raised.is_native);
    let inner = stack.caller(2).filter(|caller| is_within && caller.is_native).and_then(|_| stack.caller(3));
    let place = inner.map(|caller| (caller.source, caller.line)).or_else(|| place(stack));
    host.place.borrow_mut().get_or_insert(place.unwrap_or_default());
    stack.truncate(1);
    Ok(1)
}

/// Makes the error of a script that failed a table which says where it was raised.
fn handle_error(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    stack.truncate(1);
    if stack.kind(1) != Kind::Table {
        let text = match stack.kind(1) {
            Kind::Text => stack.text(1).unwrap_or_default().to_vec(),
            Kind::Number => lua_digits(stack.number(1).unwrap_or_default()),
            Kind::Nil => b"nil".to_vec(),
            Kind::Boolean if stack.boolean(1) => b"true".to_vec(),
            Kind::Boolean => b"false".to_vec(),
            // `cjson.null`, as C prints a null pointer.
            Kind::Null => b"userdata: (nil)".to_vec(),
            kind => format!("{}: {:#x}", kind.name(), stack.identity(1)).into_bytes(),
        };
        raised::push_text(stack, [b"ERR ", &text[..]].concat())?;
        stack.replace(1)?;
    }
    if let Some((source, line)) =
        host.place.take().or_else(|| place(stack)).filter(|place| !place.0.is_empty())
    {
        stack.push_text(source.as_bytes())?;
        stack.set_field(1, b"source")?;
        stack.push_number(f64::from(line))?;
        stack.set_field(1, b"line")?;
    }
    Ok(1)
}

/// Where the error that is being handled was raised: the function that raised it or, if that isn't Lua's, what called it.
fn place(stack: &Stack<'_>) -> Option<Place> {
    let raised = stack.caller(1)?;
    let raised = if raised.is_native { stack.caller(2)? } else { raised };
    Some((raised.source, raised.line))
}
