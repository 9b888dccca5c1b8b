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

pub use stack::{Error, Kind, Result, Stack};

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
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
    /// The allocator and the functions have pointers to it.
    memory: Rc<Memory>,
    /// What the state's functions have pointers to.
    functions: RefCell<Vec<Box<dyn Held + 'f>>>,
    /// A function that does nothing.
    nothing: Kept,
    /// Where the machine's stack was when the state was made.
    base: usize,
}

/// Anything that is only to be dropped some day.
trait Held {}
impl<T> Held for T {}

/// A value that a state keeps, by its place in the registry.
#[derive(Clone, Copy)]
pub struct Kept(c_int);

/// A function and what its calls need.
struct Native<F> {
    function: F,
    memory: Rc<Memory>,
    nothing: Kept,
    base: usize,
}

unsafe extern "C-unwind" fn do_nothing(_: *mut ffi::lua_State) -> c_int {
    0
}

/// Where the machine's stack is.
#[inline(never)]
fn here() -> usize {
    let mark = 0u8;
    std::ptr::from_ref(std::hint::black_box(&mark)) as usize
}

impl<'f> State<'f> {
    /// A state whose values may take `limit` bytes, [`MAX_LIMIT`] at most.
    pub fn new(limit: usize) -> mlua::Result<Self> {
        let memory = Rc::new(Memory::new(limit.min(MAX_LIMIT)));
        // SAFETY: the memory lives until the state is closed, which this does when it is dropped; nothing fails while it
        // grants all. The reference to `Lua` isn't used beyond this function.
        let (raw, nothing) = unsafe {
            let raw = ffi::lua_newstate(memory::allocate, Rc::as_ptr(&memory).cast_mut().cast::<c_void>());
            ffi::luaL_requiref(raw, c"_G".as_ptr(), ffi::luaopen_base, 1);
            ffi::lua_settop(raw, 0);
            Lua::get_or_init_from_ptr(raw);
            ffi::lua_pushcclosure(raw, do_nothing, 0);
            (raw, Kept(ffi::luaL_ref(raw, ffi::LUA_REGISTRYINDEX)))
        };
        memory.grant_all(false);
        Ok(State { raw, memory, functions: RefCell::default(), nothing, base: here() })
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
        let native = Box::new(Native {
            function,
            memory: Rc::clone(&self.memory),
            nothing: self.nothing,
            base: self.base,
        });
        let address = std::ptr::from_ref(&*native).cast_mut().cast::<c_void>();
        self.functions.borrow_mut().push(native);
        // SAFETY: runs protected; the function's upvalue is at its address until the state is closed.
        unsafe {
            self.lua().exec_raw((), |raw| {
                ffi::lua_pushlightuserdata(raw, address);
                ffi::lua_pushcclosure(raw, call_native::<F>, 1);
            })
        }
    }

    /// The stack of the main thread, as it is while no function runs.
    pub fn stack(&self) -> MainStack<'_> {
        let granted = self.memory.grant_all(true);
        // SAFETY: the state is open; what is pushed goes with the returned value.
        let (stack, count) = unsafe { (Stack::new(self.raw, &self.memory), ffi::lua_gettop(self.raw)) };
        MainStack { stack, count, granted }
    }
}

impl Drop for State<'_> {
    fn drop(&mut self) {
        self.memory.grant_all(true);
        // SAFETY: it was opened by `new`, and no function of it runs: each runs within a borrow of `self`. The functions and
        // the memory, which finalizers may need, are dropped later.
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

/// `lua_CFunction` of a [`Native`].
///
/// # Safety
/// Lua calls it, with the address of a `Native<F>` as its upvalue.
unsafe extern "C-unwind" fn call_native<F>(raw: *mut ffi::lua_State) -> c_int
where
    F: Fn(&mut Stack<'_>) -> Result<usize>,
{
    // SAFETY: see above. An error is raised when nothing is left in this frame that has a destructor.
    unsafe {
        let native = &*ffi::lua_touserdata(raw, ffi::lua_upvalueindex(1)).cast::<Native<F>>();
        if native.base.wrapping_sub(here()) > SHALLOW && !may_nest(raw, native.nothing) {
            // What is pushed may run a finalizer, which may be one call too many.
            return raise(raw, b"C stack overflow");
        }
        let granted = native.memory.grant_all(true);
        let result = (native.function)(&mut Stack::new(raw, &native.memory));
        let text: &[u8] = match result {
            Ok(results) => {
                native.memory.grant_all(granted);
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
        native.memory.grant_all(granted);
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
