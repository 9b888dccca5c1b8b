//! The basic functions of scripts that Lua's own library can't give them: what catches errors, what sees through views of protected
//! tables, what compiles.

use std::ffi::{CStr, CString};

use super::arguments::{self, check_any, check_kind, check_table, raise_argument, raise_plain};
use super::host::Host;
use crate::sys::lua::{Kind, Result, Stack};

/// Bytes of a text that is compiled: its parts are counted in an `int`.
const MAX_CHUNK: usize = 256 << 20;
const READONLY: &str = "Attempt to modify a readonly table";

/// Refuses to change a protected table; as C functions say it, without a place.
pub fn check_writable(host: &Host<'_>, stack: &mut Stack<'_>, table: usize) -> Result<()> {
    if host.is_view(stack, table) { Err(raise_plain(stack, READONLY)) } else { Ok(()) }
}

/// `__newindex` of views.
pub fn refuse(stack: &mut Stack<'_>) -> Result<usize> {
    Err(arguments::raise(stack, READONLY))
}

/// `__index` of the globals: there is none of that name.
pub fn refuse_missing(stack: &mut Stack<'_>) -> Result<usize> {
    if !matches!(stack.kind(2), Kind::Text | Kind::Number) {
        let text = "Second argument to luaProtectedTableError must be a string or number";
        return Err(arguments::raise(stack, text));
    }
    let name = arguments::with_string(stack, 2, |_, name| Ok(name.to_vec()))?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = [b"Script attempted to access nonexistent global variable '", name, b"'"].concat();
    Err(arguments::raise(stack, text))
}

/// An error was caught: where it was raised matters no more. The script goes on unless it is to end.
fn caught(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<()> {
    host.place.take();
    if host.killed.get() { Err(host.raise_killed(stack)) } else { Ok(()) }
}

/// `pcall`. Of an error that is a table with a text in `err` scripts get that text.
pub fn pcall(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    if stack.count() == 0 {
        // Redis's own calls what it has put there itself.
        stack.push_boolean(false)?;
        stack.push_text(b"attempt to call a boolean value")?;
        return Ok(2);
    }
    // An overflow of the stack is an instruction that takes milliseconds: what catches errors looks at the clock by itself.
    host.count_call(stack)?;
    let arguments = stack.count() - 1;
    stack.push_boolean(true)?;
    stack.move_top(1);
    if stack.call_all(arguments, 0)? {
        return Ok(stack.count());
    }
    caught(host, stack)?;
    let error = stack.count();
    if stack.kind(error) == Kind::Table {
        stack.push_field(error, b"err")?;
        if matches!(stack.kind(error + 1), Kind::Text | Kind::Number) {
            stack.replace(error)?;
        } else {
            stack.truncate(error);
        }
    }
    stack.push_boolean(false)?;
    stack.replace(1)?;
    Ok(stack.count())
}

/// `xpcall`. The handler runs when the error has been caught: where it was raised no tick could end it. A script can't tell, for
/// it can't look at the stack. An error of the handler is handled by it as well, until calls are nested too deeply for that.
pub fn xpcall(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    const MOST: usize = 200;
    check_any(stack, 2)?;
    host.count_call(stack)?;
    stack.truncate(2);
    stack.push_boolean(true)?;
    stack.push_copy(1)?;
    if stack.call_all(0, 0)? {
        return Ok(stack.count() - 2);
    }
    caught(host, stack)?;
    let error = stack.count();
    let mut handled = false;
    for _ in 0..MOST {
        if stack.kind(2) != Kind::Function {
            break;
        }
        stack.push_copy(2)?;
        stack.push_copy(error)?;
        handled = stack.call(1, 0)?;
        stack.replace(error)?;
        caught(host, stack)?;
        if handled {
            break;
        }
    }
    if !handled {
        stack.push_text(b"error in error handling")?;
        stack.replace(error)?;
    }
    stack.push_boolean(false)?;
    stack.replace(3)?;
    Ok(2)
}

/// `getmetatable`: of the globals and of strings a view.
pub fn get_metatable(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    check_any(stack, 1)?;
    let shown = match stack.kind(1) {
        Kind::Text => host.string_metatable.get(),
        Kind::Table if host.is_view(stack, 1) => {
            host.globals_metatable.get().filter(|_| host.globals.get() == stack.identity(1))
        }
        _ => {
            stack.push_metatable_of(1)?;
            let metatable = stack.count();
            if stack.kind(metatable) != Kind::Table {
                return Ok(1);
            }
            if let Some(proxies) = host.proxies.get() {
                stack.push_kept(proxies)?;
                stack.push_copy(metatable)?;
                stack.raw_field(metatable + 1)?;
                if stack.kind(metatable + 2) != Kind::Nil {
                    return Ok(1);
                }
                stack.truncate(metatable);
            }
            stack.push_field(metatable, b"__metatable")?;
            if stack.kind(metatable + 1) == Kind::Nil {
                stack.truncate(metatable);
            }
            return Ok(1);
        }
    };
    match shown {
        Some(shown) => stack.push_kept(shown)?,
        None => stack.push_nil()?,
    }
    Ok(1)
}

/// `setmetatable`.
pub fn set_metatable(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    check_table(stack, 1)?;
    let kind = stack.kind(2);
    if stack.count() < 2 || !matches!(kind, Kind::Nil | Kind::Table) {
        return Err(raise_argument(stack, 2, "nil or table expected"));
    }
    stack.push_metatable(1)?;
    let old = stack.count();
    stack.push_field(old, b"__metatable")?;
    if stack.kind(old + 1) != Kind::Nil {
        return Err(arguments::raise(stack, "cannot change a protected metatable"));
    }
    check_writable(host, stack, 1)?;
    stack.truncate(2);
    if kind == Kind::Table {
        stack.set_metatable(1)?;
    } else {
        stack.remove_metatable(1)?;
    }
    stack.truncate(1);
    Ok(1)
}

/// `rawset`.
pub fn raw_set(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    check_table(stack, 1)?;
    check_any(stack, 2)?;
    check_any(stack, 3)?;
    check_writable(host, stack, 1)?;
    match stack.kind(2) {
        Kind::Nil => return Err(raise_plain(stack, "table index is nil")),
        Kind::Number if stack.number(2).is_some_and(f64::is_nan) => {
            return Err(raise_plain(stack, "table index is NaN"));
        }
        _ => {}
    }
    stack.truncate(3);
    stack.set_pair(1)?;
    Ok(1)
}

/// `rawget`.
pub fn raw_get(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    check_table(stack, 1)?;
    check_any(stack, 2)?;
    stack.truncate(2);
    let table = if host.push_real(stack, 1)? { 3 } else { 1 };
    stack.push_copy(2)?;
    stack.raw_field(table)?;
    Ok(1)
}

/// `next`.
pub fn next(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    check_table(stack, 1)?;
    if stack.count() < 2 {
        stack.push_nil()?;
    }
    stack.truncate(2);
    let table = if host.push_real(stack, 1)? { 3 } else { 1 };
    let found = stack.push_next(table, 2)?;
    if !found {
        stack.push_nil()?;
    }
    Ok(1 + usize::from(found))
}

/// `pairs`; its own values are `next` and that of Lua, which sees no protected tables.
pub fn pairs(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    check_table(stack, 1)?;
    stack.push_own(usize::from(!host.is_view(stack, 1)))?;
    stack.push_copy(1)?;
    stack.push_nil()?;
    Ok(3)
}

/// `unpack`.
pub fn unpack(stack: &mut Stack<'_>) -> Result<usize> {
    check_table(stack, 1)?;
    let first = arguments::integer_in_or(stack, 2, 1)? as i32;
    let last = match stack.kind(3) {
        Kind::Nil => stack.length(1) as i32,
        _ => arguments::integer_in(stack, 3)? as i32,
    };
    if first > last {
        return Ok(0);
    }
    let count = last.wrapping_sub(first).wrapping_add(1);
    if count <= 0 || !stack.has_slots(count as usize) {
        return Err(arguments::raise(stack, "too many results to unpack"));
    }
    for index in first..=last {
        stack.push_item(1, index)?;
    }
    Ok(count as usize)
}

/// Compiles a text; nothing but a text. Pushes the function, or the text of the error; whether there was none.
pub fn compile_text(stack: &mut Stack<'_>, source: &[u8], name: &CStr) -> Result<bool> {
    if source.len() > MAX_CHUNK {
        stack.push_text(b"chunk has too many syntax levels")?;
        return Ok(false);
    }
    if source.first() == Some(&0x1b) {
        // Precompiled code is not text: the parser says so.
        return stack.push_compiled(&[b" ", source].concat(), name);
    }
    stack.push_compiled(source, name)
}

/// A name as C reads it.
fn c_name(name: &[u8]) -> CString {
    CString::new(name.split(|byte| *byte == 0).next().unwrap_or_default()).unwrap_or_default()
}

/// What `load` and `loadstring` return: the topmost value, a function or the text of an error.
fn give_compiled(stack: &mut Stack<'_>, is_compiled: bool) -> Result<usize> {
    if is_compiled {
        return Ok(1);
    }
    let text = stack.count();
    stack.push_nil()?;
    stack.move_top(text);
    Ok(2)
}

fn compile(stack: &mut Stack<'_>, source: &[u8], name: &[u8]) -> Result<usize> {
    let is_compiled = compile_text(stack, source, &c_name(name))?;
    give_compiled(stack, is_compiled)
}

/// `loadstring`.
pub fn load_string(stack: &mut Stack<'_>) -> Result<usize> {
    arguments::with_string(stack, 1, |stack, source| match stack.kind(2) {
        Kind::Nil => compile(stack, source, source),
        _ => arguments::with_string(stack, 2, |stack, name| compile(stack, source, name)),
    })
}

/// `load`: what a function returns part by part is compiled.
pub fn load(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    let name = match stack.kind(2) {
        Kind::Nil => c"=(load)".to_owned(),
        _ => arguments::with_string(stack, 2, |_, name| Ok(c_name(name)))?,
    };
    check_kind(stack, 1, Kind::Function)?;
    let is_compiled = stack.push_compiled_parts(1, &name, MAX_CHUNK)?;
    caught(host, stack)?;
    give_compiled(stack, is_compiled)
}

/// `collectgarbage`. Scripts share the collector: what would change its ways does nothing.
pub fn collect_garbage(stack: &mut Stack<'_>) -> Result<usize> {
    const OPTIONS: [&str; 7] = ["stop", "restart", "collect", "count", "step", "setpause", "setstepmul"];
    let option = match stack.kind(1) {
        Kind::Nil => "collect",
        _ => OPTIONS[arguments::option_in(stack, 1, &OPTIONS)?],
    };
    let extra = arguments::integer_in_or(stack, 2, 0)? as i32;
    match option {
        "collect" => {
            stack.collect();
            stack.push_number(0.0)?;
        }
        "count" => stack.push_number(stack.used() as f64 / 1024.0)?,
        "step" => {
            let is_done = stack.collect_some(extra);
            stack.push_boolean(is_done)?;
        }
        "setpause" | "setstepmul" => stack.push_number(200.0)?,
        _ => stack.push_number(0.0)?,
    }
    Ok(1)
}

/// `gcinfo`.
pub fn gc_info(stack: &mut Stack<'_>) -> Result<usize> {
    stack.push_number((stack.used() / 1024) as f64)?;
    Ok(1)
}
