//! The Lua state of scripts: who allocates its memory, and functions that work on its stack.
//!
//! Lua reports an error by `longjmp`, which would leave Rust frames without running their destructors. So no call that a [`Stack`]
//! makes can fail: it checks before what Lua would raise (slots, kinds of values, keys), what may still fail is called protected
//! (`lua_pcall`), and while a `Stack` is in use the allocator grants memory beyond the limit. What is pushed is checked against the
//! limit here, and an [`Error`] says that it was too much; a function's error is raised where its frames are gone.
//!
//! Values have no finalizers: the collector, which may run wherever memory is taken, calls nothing that could fail.
#![allow(unsafe_code)]

mod arguments;
mod calls;
mod function;
mod kept;
mod memory;
mod own;
mod stack;
#[cfg(test)]
mod tests;

pub use arguments::append_bulk;
pub use calls::Resumed;
pub use function::{Native, Prototype};
pub use stack::{Caller, Error, Kind, Look, Result, Stack};

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use mlua::ffi;

use memory::Memory;

/// Most memory that a state may be limited to, bytes. No table of this size has more nodes than Lua can count.
pub const MAX_LIMIT: usize = 1 << 30;

/// A Lua 5.1 state with the basic library, `table`, `string` and `math`.
pub struct State<'f> {
    raw: *mut ffi::lua_State,
    /// The allocator has a pointer to it.
    memory: Rc<Memory>,
    /// What its functions refer to.
    marker: PhantomData<Cell<&'f ()>>,
}

/// A value that a state keeps, by its place in the registry.
#[derive(Clone, Copy, Debug)]
pub struct Kept(c_int);

impl Kept {
    /// Nil.
    pub const NONE: Kept = Kept(ffi::LUA_NOREF);
}

/// Where the machine's stack is. Not where a variable is: a sanitizer may keep those elsewhere.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline]
pub fn here() -> usize {
    let address: usize;
    // SAFETY: reads a register.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("mov {}, rsp", out(reg) address, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("mov {}, sp", out(reg) address, options(nomem, nostack, preserves_flags));
    }
    address
}

/// Where the machine's stack is.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline(never)]
pub fn here() -> usize {
    let mark = 0u8;
    std::ptr::from_ref(std::hint::black_box(&mark)) as usize
}

impl<'f> State<'f> {
    /// A state whose values may take `limit` bytes, [`MAX_LIMIT`] at most, and its functions `depth` bytes of the machine's
    /// stack when they go deeper.
    pub fn new(limit: usize, depth: usize) -> Self {
        const LIBRARIES: [(&std::ffi::CStr, ffi::lua_CFunction); 4] = [
            (c"", ffi::luaopen_base),
            (c"table", ffi::luaopen_table),
            (c"string", ffi::luaopen_string),
            (c"math", ffi::luaopen_math),
        ];
        let memory = Rc::new(Memory::new(limit.min(MAX_LIMIT), here(), depth));
        // SAFETY: the memory lives until the state is closed, which this does when it is dropped; nothing fails while it
        // grants all.
        let raw = unsafe {
            let raw = ffi::lua_newstate(memory::allocate, Rc::as_ptr(&memory).cast_mut().cast::<c_void>());
            for (name, open) in LIBRARIES {
                ffi::lua_pushcclosure(raw, open, 0);
                ffi::lua_pushstring(raw, name.as_ptr());
                ffi::lua_call(raw, 1, 0);
            }
            // The list of loaded modules, which no function reads.
            ffi::lua_pushnil(raw);
            ffi::lua_setfield(raw, ffi::LUA_REGISTRYINDEX, c"_LOADED".as_ptr());
            raw
        };
        memory.grant_all(false);
        State { raw, memory, marker: PhantomData }
    }

    /// The state as `mlua` has it, the safe twin.
    #[cfg(test)]
    pub fn lua(&self) -> &mlua::Lua {
        self.memory.grant_all(true);
        // SAFETY: the state is open as long as `self` is there.
        let lua = unsafe { mlua::Lua::get_or_init_from_ptr(self.raw) };
        self.memory.grant_all(false);
        lua
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.memory.used()
    }

    /// Most bytes that may be in use.
    pub fn limit(&self) -> usize {
        self.memory.limit()
    }

    /// The stack of the main thread, as it is while no function runs.
    pub fn stack(&self) -> MainStack<'_> {
        let granted = self.memory.grant_all(true);
        // SAFETY: the state is open, and has few values on its stack while no function runs; what is pushed goes with the
        // returned value.
        let (stack, count) = unsafe {
            ffi::lua_checkstack(self.raw, ffi::LUA_MINSTACK);
            (Stack::new(self.raw, &self.memory, 0), ffi::lua_gettop(self.raw))
        };
        MainStack { stack, count, granted }
    }
}

impl Drop for State<'_> {
    fn drop(&mut self) {
        self.memory.grant_all(true);
        // SAFETY: it was opened by `new`, and no function of it runs: each runs within a borrow of `self`. The memory,
        // which the allocator needs, is dropped later.
        unsafe { ffi::lua_close(self.raw) }
    }
}

/// The stack between two functions; gives back what has been pushed when it is dropped.
pub struct MainStack<'s> {
    stack: Stack<'s>,
    count: c_int,
    granted: bool,
}

impl<'s> Deref for MainStack<'s> {
    type Target = Stack<'s>;
    fn deref(&self) -> &Stack<'s> {
        &self.stack
    }
}

impl DerefMut for MainStack<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.stack
    }
}

impl Drop for MainStack<'_> {
    fn drop(&mut self) {
        self.stack.truncate(self.count as usize);
        self.stack.memory().grant_all(self.granted);
    }
}
