//! What a function calls in Lua: functions, comparisons, the compiler, coroutines. Whatever of that fails is caught here, and its
//! error is the topmost value.

use std::ffi::{CStr, c_char, c_int, c_void};

use mlua::ffi;

use super::stack::{Error, Kind, Look, Result, Stack};

/// Bytes of a coroutine that has just begun.
const THREAD: usize = 1400;

/// How a coroutine came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// It has yielded, or returned: its values are the topmost ones.
    Values(usize),
    /// It has failed, or can't be resumed: the error is the topmost value.
    Failed,
}

unsafe extern "C-unwind" {
    /// Has a coroutine count the nested calls of the one that resumes it.
    fn lua_setlevel(from: *mut ffi::lua_State, to: *mut ffi::lua_State);
}

/// `a < b` of its two arguments.
unsafe extern "C-unwind" fn less(raw: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls it, with two arguments.
    unsafe {
        let is_less = ffi::lua_lessthan(raw, 1, 2);
        ffi::lua_pushboolean(raw, is_less);
    }
    1
}

/// The field of its first argument that the second one names.
unsafe extern "C-unwind" fn index(raw: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls it, with two arguments.
    unsafe { ffi::lua_gettable(raw, 1) };
    1
}

/// What a reader of source code knows.
struct Source {
    /// The absolute slot of the function that returns the parts, and that of the last part.
    function: c_int,
    part: c_int,
    /// Bytes so far, and how many there may be.
    len: usize,
    limit: usize,
    /// The part in its slot has not been passed on.
    is_kept: bool,
}

/// `lua_Reader`: the next part of a text. Compiled code isn't one: what begins as that gets a space before it.
///
/// # Safety
/// Lua's compiler calls it, protected, with a [`Source`] of the function that has called it, which has two free slots.
unsafe extern "C-unwind" fn read_part(
    raw: *mut ffi::lua_State,
    source: *mut c_void,
    size: *mut usize,
) -> *const c_char {
    // SAFETY: see above. Errors leave no frame that has a destructor.
    unsafe {
        let source = &mut *source.cast::<Source>();
        if !source.is_kept {
            ffi::lua_checkstack(raw, 2);
            ffi::lua_pushvalue(raw, source.function);
            ffi::lua_call(raw, 0, 1);
            if ffi::lua_type(raw, -1) == ffi::LUA_TNIL {
                *size = 0;
                return std::ptr::null();
            } else if ffi::lua_isstring(raw, -1) == 0 {
                ffi::luaL_error(raw, c"reader function must return a string".as_ptr());
            }
            ffi::lua_replace(raw, source.part);
        }
        let part = ffi::lua_tolstring(raw, source.part, size);
        let is_first = source.len == 0 && !source.is_kept;
        source.is_kept = is_first && *size > 0 && *part.cast::<u8>() == 0x1b;
        if source.is_kept {
            *size = 1;
            return c" ".as_ptr();
        }
        source.len += *size;
        if source.len > source.limit {
            ffi::luaL_error(raw, c"chunk has too many syntax levels".as_ptr());
        }
        part
    }
}

/// The pair of its first argument that comes behind the key in the second; nothing at the end.
unsafe extern "C-unwind" fn next(raw: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls it, with a table and a key.
    unsafe { if ffi::lua_next(raw, 1) != 0 { 2 } else { 0 } }
}

impl Stack<'_> {
    /// Whether the function below the topmost `arguments` values can be called now, with a handler in that slot.
    fn callable(&mut self, arguments: usize, handler: usize) -> Result<()> {
        self.reserve(1)?;
        let function = self.count().saturating_sub(arguments);
        if self.may_call(function) && handler < function { Ok(()) } else { Err(Error::Slots) }
    }

    /// Calls the function below the topmost `arguments` values with these. They are replaced by its one result, or by the
    /// error, of which `handler`, a function in that slot unless it is 0, may make another. Whether there was none.
    pub fn call(&mut self, arguments: usize, handler: usize) -> Result<bool> {
        self.callable(arguments, handler)?;
        self.memory().grant_all(false);
        // SAFETY: there are a function, or something that can't be called, and its arguments; no error leaves a protected
        // call.
        let status = unsafe { ffi::lua_pcall(self.raw(), arguments as c_int, 1, handler as c_int) };
        self.memory().grant_all(true);
        self.recount();
        Ok(status == ffi::LUA_OK)
    }

    /// The same, but with all results.
    pub fn call_all(&mut self, arguments: usize, handler: usize) -> Result<bool> {
        self.callable(arguments, handler)?;
        self.memory().grant_all(false);
        // SAFETY: as in `call`.
        let status =
            unsafe { ffi::lua_pcall(self.raw(), arguments as c_int, ffi::LUA_MULTRET, handler as c_int) };
        self.memory().grant_all(true);
        self.recount();
        Ok(status == ffi::LUA_OK)
    }

    /// Calls one of the functions above with copies of two values; its results are the topmost values.
    fn call_c(&mut self, function: ffi::lua_CFunction, arguments: [usize; 2], handler: usize) -> Result<()> {
        // SAFETY: none of these functions has values of its own.
        unsafe { self.push_c_function(function)? };
        for slot in arguments {
            self.push_copy(slot)?;
        }
        if self.call_all(2, handler)? { Ok(()) } else { Err(Error::Raised) }
    }

    /// Whether the value in a slot is less than that in another, as Lua compares them.
    pub fn is_less(&mut self, slot: usize, other: usize, handler: usize) -> Result<bool> {
        match (self.look(slot), self.look(other)) {
            (Look::Number(one), Look::Number(other)) => return Ok(one < other),
            // SAFETY: strings are compared without calling anything.
            (Look::Text(_), Look::Text(_)) => unsafe {
                return Ok(ffi::lua_lessthan(self.raw(), Self::index(slot), Self::index(other)) != 0);
            },
            _ => {}
        }
        let count = self.count();
        self.call_c(less, [slot, other], handler)?;
        let is_less = self.boolean(self.count());
        self.truncate(count);
        Ok(is_less)
    }

    /// Replaces the topmost value, a key, by the table's field of that name, as Lua reads it.
    pub fn index_field(&mut self, table: usize, handler: usize) -> Result<()> {
        let key = self.count();
        if !self.has_metatable(table) {
            return self.raw_field(table);
        }
        self.call_c(index, [table, key], handler)?;
        self.replace(key)
    }

    /// Pushes the pair of a table that comes behind the key in a slot; false at the end.
    pub fn push_next(&mut self, table: usize, key: usize) -> Result<bool> {
        if self.kind(table) != Kind::Table {
            return Ok(false);
        }
        let count = self.count();
        if self.kind(key) != Kind::Nil {
            self.push_copy(key)?;
            self.raw_field(table)?;
            let is_there = self.kind(count + 1) != Kind::Nil;
            self.truncate(count);
            if !is_there {
                self.call_c(next, [table, key], 0)?;
                return Ok(self.count() > count);
            }
        }
        self.push_copy(key)?;
        self.reserve(1)?;
        // SAFETY: it is a table, and the key is nil or one that is there. There are slots for two values.
        unsafe { ffi::lua_next(self.raw(), Self::index(table)) };
        self.recount();
        Ok(self.count() > count)
    }

    /// Compiles a text, which must not be compiled code: pushes its function, or the text of the error. Whether there was none.
    pub fn push_compiled(&mut self, text: &[u8], name: &CStr) -> Result<bool> {
        // Lua's parser doesn't hold the name: it is the same string, which is held here.
        self.push_text(name.to_bytes())?;
        let held = self.count();
        self.begin_push(0)?;
        self.memory().grant_all(false);
        // SAFETY: there is a slot. The compiler catches its errors.
        let status =
            unsafe { ffi::luaL_loadbuffer(self.raw(), text.as_ptr().cast(), text.len(), name.as_ptr()) };
        self.memory().grant_all(true);
        self.replace(held)?;
        Ok(status == ffi::LUA_OK)
    }

    /// The same of the text that the function in a slot returns part by part, of `limit` bytes at most. Its errors are caught, too.
    pub fn push_compiled_parts(&mut self, function: usize, name: &CStr, limit: usize) -> Result<bool> {
        self.push_text(name.to_bytes())?;
        let held = self.count();
        self.push_nil()?;
        self.reserve(3)?;
        if !self.may_call(function) || function >= held {
            return Err(Error::Slots);
        }
        let mut source = Source {
            function: Self::index(function),
            part: Self::index(held + 1),
            len: 0,
            limit,
            is_kept: false,
        };
        self.memory().grant_all(false);
        // SAFETY: there are slots. The compiler catches its errors and those of the reader, and leaves one value.
        let status = unsafe {
            let source = (&raw mut source).cast::<c_void>();
            ffi::lua_load(self.raw(), read_part, source, name.as_ptr())
        };
        self.memory().grant_all(true);
        self.recount();
        self.replace(held)?;
        self.truncate(held);
        Ok(status == ffi::LUA_OK)
    }

    /// Pushes a coroutine that is to run the function in a slot.
    pub fn push_thread(&mut self, function: usize) -> Result<()> {
        self.begin_push(THREAD)?;
        self.reserve(1)?;
        // SAFETY: there are slots, and the allocator grants the memory.
        unsafe {
            let thread = ffi::lua_newthread(self.raw());
            ffi::lua_pushvalue(self.raw(), Self::index(function));
            ffi::lua_xmove(self.raw(), thread, 1);
        }
        Ok(())
    }

    /// Why a coroutine can't be resumed, if it can't.
    ///
    /// # Safety
    /// It is a coroutine of this state.
    unsafe fn state_of(&self, thread: *mut ffi::lua_State) -> Option<&'static str> {
        // SAFETY: the caller's obligation; a zeroed record is a valid one.
        unsafe {
            if thread == self.raw() {
                return Some("running");
            }
            let mut record: ffi::lua_Debug = std::mem::zeroed();
            match ffi::lua_status(thread) {
                ffi::LUA_YIELD => None,
                ffi::LUA_OK if ffi::lua_getstack(thread, 0, &raw mut record) != 0 => Some("normal"),
                ffi::LUA_OK if ffi::lua_gettop(thread) > 0 => None,
                _ => Some("dead"),
            }
        }
    }

    /// Resumes the coroutine in a slot with the values from `first` on, which are taken. The error is a text without a position
    /// if there are too many values.
    pub fn resume(
        &mut self,
        thread: usize,
        first: usize,
    ) -> Result<std::result::Result<Resumed, &'static str>> {
        if self.kind(thread) != Kind::Thread || thread >= first || !self.may_call(first) {
            return Err(Error::Slots);
        }
        let raw = self.raw();
        let count = (self.count() + 1).saturating_sub(first) as c_int;
        // SAFETY: it is a coroutine, which stays in its slot. Slots are checked on both sides. Its errors are caught by
        // `lua_resume`, which leaves one value then.
        unsafe {
            let thread = ffi::lua_tothread(raw, Self::index(thread));
            if ffi::lua_checkstack(thread, count) == 0 {
                return Ok(Err("too many arguments to resume"));
            }
            if let Some(state) = self.state_of(thread) {
                self.push_text(format!("cannot resume {state} coroutine").as_bytes())?;
                return Ok(Ok(Resumed::Failed));
            }
            ffi::lua_xmove(raw, thread, count);
            self.recount();
            lua_setlevel(raw, thread);
            self.memory().grant_all(false);
            let status = ffi::lua_resume_(thread, count);
            self.memory().grant_all(true);
            let is_done = matches!(status, ffi::LUA_OK | ffi::LUA_YIELD);
            let values = if is_done { ffi::lua_gettop(thread) } else { 1 };
            if self.reserve(values + 1).is_err() {
                return Ok(Err("too many results to resume"));
            }
            ffi::lua_xmove(thread, raw, values);
            self.add_moved(values);
            Ok(Ok(if is_done { Resumed::Values(values as usize) } else { Resumed::Failed }))
        }
    }
}
