//! The functions of the `coroutine` library that resume one: a script that is to end ends within it, too.

use super::arguments::{self, raise_argument};
use super::host::Host;
use crate::sys::lua::{Error, Kind, Prototype, Result, Resumed, Stack};

/// Resumes the coroutine in a slot with the values from `first` on. A coroutine that fails because the script is to end is
/// such an error here as well.
fn resume_from(host: &Host<'_>, stack: &mut Stack<'_>, thread: usize, first: usize) -> Result<Resumed> {
    host.count_call(stack)?;
    match stack.resume(thread, first)? {
        Err(text) => Err(arguments::raise(stack, text)),
        Ok(Resumed::Failed) if host.killed.get() => Err(host.raise_killed(stack)),
        Ok(resumed) => {
            host.place.take();
            Ok(resumed)
        }
    }
}

/// `coroutine.resume`.
pub fn resume(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    if stack.kind(1) != Kind::Thread {
        return Err(raise_argument(stack, 1, "coroutine expected"));
    }
    match resume_from(host, stack, 1, 2)? {
        Resumed::Values(values) => {
            stack.push_boolean(true)?;
            stack.move_top(2);
            Ok(values + 1)
        }
        Resumed::Failed => {
            let error = stack.count();
            stack.push_boolean(false)?;
            stack.move_top(error);
            Ok(2)
        }
    }
}

/// `coroutine.wrap`: a function like `resumer`, of the coroutine.
pub fn wrap(resumer: Prototype, stack: &mut Stack<'_>) -> Result<usize> {
    if !stack.is_lua_function(1) {
        return Err(raise_argument(stack, 1, "Lua function expected"));
    }
    stack.push_thread(1)?;
    stack.push_like(resumer, 1)?;
    Ok(1)
}

/// What `coroutine.wrap` returns; its own value is the coroutine.
pub fn resume_own(host: &Host<'_>, stack: &mut Stack<'_>) -> Result<usize> {
    stack.push_own(0)?;
    stack.move_top(1);
    match resume_from(host, stack, 1, 2)? {
        Resumed::Values(values) => Ok(values),
        Resumed::Failed => {
            let error = stack.count();
            if matches!(stack.kind(error), Kind::Text | Kind::Number) {
                let position = arguments::position(stack).into_bytes();
                let text =
                    arguments::with_string(stack, error, |_, text| Ok([&position[..], text].concat()))?;
                return Err(arguments::raise_plain(stack, text));
            }
            Err(Error::Raised)
        }
    }
}
