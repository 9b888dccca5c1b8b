//! The Lua state of scripts: who allocates its memory, and functions that work on its stack.
//!
//! What needs no speed goes through `mlua`, whose every value is a handle and whose every allocation is a protected call. What
//! each script does (its arguments, `redis.call`, its reply) works on the stack itself, through [`Stack`].
//!
//! Lua reports an error by `longjmp`, which would leave Rust frames without running their destructors. So no call that a [`Stack`]
//! makes can fail: it checks before what Lua would raise (slots, kinds of values, keys), and while one is in use the allocator
//! grants memory beyond the limit. What is pushed is checked against the limit here, and an [`Error`] says that it was too much;
//! a function's error is raised where its frames are gone.
#![allow(unsafe_code)]

mod memory;
mod stack;
#[cfg(test)]
mod tests;

pub use stack::{Caller, Error, Kind, Look, Result, Stack};

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use mlua::{Function, IntoLua, Lua, ffi};

use memory::Memory;

/// Most memory that a state may be limited to, bytes. No table of this size has more nodes than Lua can count.
pub const MAX_LIMIT: usize = 1 << 30;
/// Bytes of the machine's stack that 150 nested calls of C functions take at least; Lua allows 200.
const SHALLOW: usize = 12 * 1024;

/// A Lua 5.1 state without libraries but the basic one. It and all its values end with this: no handle of one may be used
/// later.
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

unsafe extern "C-unwind" fn do_nothing(_: *mut ffi::lua_State) -> c_int {
    0
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
    pub fn new(limit: usize, depth: usize) -> mlua::Result<Self> {
        let memory = Rc::new(Memory::new(limit.min(MAX_LIMIT), here(), depth));
        // SAFETY: the memory lives until the state is closed, which this does when it is dropped; nothing fails while it
        // grants all. The reference to `Lua` isn't used beyond this function.
        let raw = unsafe {
            let raw = ffi::lua_newstate(memory::allocate, Rc::as_ptr(&memory).cast_mut().cast::<c_void>());
            ffi::luaL_requiref(raw, c"_G".as_ptr(), ffi::luaopen_base, 1);
            ffi::lua_settop(raw, 0);
            Lua::get_or_init_from_ptr(raw);
            ffi::lua_pushcclosure(raw, do_nothing, 0);
            memory.nothing.set(Kept(ffi::luaL_ref(raw, ffi::LUA_REGISTRYINDEX)));
            raw
        };
        memory.grant_all(false);
        Ok(State { raw, memory, marker: PhantomData })
    }

    /// The state as `mlua` has it.
    pub fn lua(&self) -> &Lua {
        // SAFETY: the state is open as long as `self` is there.
        unsafe { Lua::get_or_init_from_ptr(self.raw) }
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.memory.used()
    }

    /// Most bytes that may be in use.
    pub fn limit(&self) -> usize {
        self.memory.limit()
    }

    /// Keeps a value for as long as the state is there.
    pub fn keep(&self, value: impl IntoLua) -> mlua::Result<Kept> {
        // SAFETY: runs protected; takes the value from the stack, and leaves a number.
        let place: i32 = unsafe {
            self.lua().exec_raw(value.into_lua(self.lua())?, |raw| {
                let place = ffi::luaL_ref(raw, ffi::LUA_REGISTRYINDEX);
                ffi::lua_pushinteger(raw, ffi::lua_Integer::from(place));
            })?
        };
        Ok(Kept(place))
    }

    /// A Lua function that calls `function` with its arguments on the stack. It returns how many of the topmost values are its
    /// results.
    pub fn function<F>(&self, function: F) -> mlua::Result<Function>
    where
        F: Fn(&mut Stack<'_>) -> Result<usize> + 'f,
    {
        // SAFETY: the state is closed, and the function dropped, before what it refers to ends.
        unsafe { make_function(self.lua(), function) }
    }

    /// Collects all garbage, also of a state that is full.
    pub fn collect(&self) {
        let granted = self.memory.grant_all(true);
        // SAFETY: the state is open. Finalizers, which are all of `mlua` and of this module, raise no errors.
        unsafe { ffi::lua_gc(self.raw, ffi::LUA_GCCOLLECT, 0) };
        self.memory.grant_all(granted);
    }

    /// The stack of the main thread, as it is while no function runs.
    pub fn stack(&self) -> MainStack<'_> {
        let granted = self.memory.grant_all(true);
        // SAFETY: the state is open, and has few values on its stack while no function runs; what is pushed goes with the
        // returned value.
        let (stack, count) = unsafe {
            ffi::lua_checkstack(self.raw, ffi::LUA_MINSTACK);
            (Stack::new(self.raw, &self.memory), ffi::lua_gettop(self.raw))
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

/// As [`State::function`], of the state that a handle belongs to, which must be a [`State`]'s.
pub fn function<F>(lua: &Lua, function: F) -> mlua::Result<Function>
where
    F: Fn(&mut Stack<'_>) -> Result<usize> + 'static,
{
    // SAFETY: it refers to nothing that could end.
    unsafe { make_function(lua, function) }
}

/// # Safety
/// What the function refers to lives until the state is closed.
unsafe fn make_function<F>(lua: &Lua, function: F) -> mlua::Result<Function>
where
    F: Fn(&mut Stack<'_>) -> Result<usize>,
{
    // SAFETY: the closure runs with enough slots, and what it calls doesn't fail while the allocator grants all. The function
    // is moved into userdata that is aligned for a pointer, and dropped by its finalizer.
    unsafe {
        lua.exec_raw((), |raw| {
            const { assert!(align_of::<F>() <= align_of::<f64>()) };
            let Some(memory) = Memory::of(raw) else { return ffi::lua_pushnil(raw) };
            let granted = memory.grant_all(true);
            ffi::lua_newuserdata(raw, size_of::<F>()).cast::<F>().write(function);
            ffi::lua_createtable(raw, 0, 1);
            ffi::lua_pushlstring(raw, c"__gc".as_ptr(), 4);
            ffi::lua_pushcclosure(raw, drop_function::<F>, 0);
            ffi::lua_rawset(raw, -3);
            ffi::lua_setmetatable(raw, -2);
            ffi::lua_pushcclosure(raw, call_function::<F>, 1);
            memory.grant_all(granted);
        })
    }
}

/// `__gc` of the userdata that a function is in.
///
/// # Safety
/// Lua calls it, once, with that userdata.
unsafe extern "C-unwind" fn drop_function<F>(raw: *mut ffi::lua_State) -> c_int {
    // SAFETY: see above.
    unsafe { ffi::lua_touserdata(raw, 1).cast::<F>().drop_in_place() };
    0
}

/// `lua_CFunction` of a function.
///
/// # Safety
/// Lua calls it, with userdata that holds an `F` as its upvalue, in a [`State`].
unsafe extern "C-unwind" fn call_function<F>(raw: *mut ffi::lua_State) -> c_int
where
    F: Fn(&mut Stack<'_>) -> Result<usize>,
{
    // SAFETY: see above. An error is raised when nothing is left in this frame that has a destructor.
    unsafe {
        let Some(memory) = Memory::of(raw) else { return 0 };
        if memory.base.wrapping_sub(here()) > SHALLOW && !may_nest(raw, memory.nothing.get()) {
            // What is pushed may run a finalizer, which may be one call too many.
            return raise(raw, b"C stack overflow");
        }
        let function = &*ffi::lua_touserdata(raw, ffi::lua_upvalueindex(1)).cast::<F>();
        let granted = memory.grant_all(true);
        let text: &[u8] = match function(&mut Stack::new(raw, memory)) {
            Ok(results) => {
                memory.grant_all(granted);
                return results.min(ffi::lua_gettop(raw) as usize) as c_int;
            }
            Err(Error::Memory) => b"not enough memory",
            Err(Error::Slots) => b"stack overflow",
            Err(Error::Raised) => b"",
        };
        if !text.is_empty() {
            ffi::lua_settop(raw, 0);
            ffi::lua_pushlstring(raw, text.as_ptr().cast(), text.len());
        }
        memory.grant_all(granted);
        ffi::lua_error(raw)
    }
}

/// Whether one more call can be nested in this one.
///
/// # Safety
/// A C function runs on the stack.
unsafe fn may_nest(raw: *mut ffi::lua_State, nothing: Kept) -> bool {
    // SAFETY: a function has 20 free slots when it begins.
    unsafe {
        let count = ffi::lua_gettop(raw);
        ffi::lua_rawgeti_(raw, ffi::LUA_REGISTRYINDEX, nothing.0);
        let done = ffi::lua_pcall(raw, 0, 0, 0) == ffi::LUA_OK;
        ffi::lua_settop(raw, count);
        done
    }
}

/// # Safety
/// A C function runs on the stack, and nothing above it has a destructor.
unsafe fn raise(raw: *mut ffi::lua_State, text: &[u8]) -> c_int {
    // SAFETY: the caller's obligation.
    unsafe {
        ffi::lua_pushlstring(raw, text.as_ptr().cast(), text.len());
        ffi::lua_error(raw)
    }
}
