//! Lua functions that are closures of Rust, and the hook that runs between instructions.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use mlua::ffi;

use super::memory::Memory;
use super::stack::{Error, Result, Stack};
use super::{Kept, State};

/// A function that refers to nothing.
pub type Native = fn(&mut Stack<'_>) -> Result<usize>;

/// A function of a state, of which others are made that differ in the values they own.
#[derive(Clone, Copy, Debug)]
pub struct Prototype {
    function: Kept,
    /// The address of its state's memory.
    state: usize,
}

impl<'f> State<'f> {
    /// Pushes a function that calls `function` with its arguments on the stack. It returns how many of the topmost values are
    /// its results. It takes the `own` topmost values as its own.
    pub fn push_function<F>(&self, stack: &mut Stack<'_>, own: usize, function: F) -> Result<()>
    where
        F: Fn(&mut Stack<'_>) -> Result<usize> + Copy + 'f,
    {
        if !std::ptr::eq(stack.memory(), &raw const *self.memory) {
            return Err(Error::Slots);
        }
        // SAFETY: it is this state's stack; the state is closed before what the function refers to ends.
        unsafe { stack.push_closure(own, function) }
    }

    /// Keeps a function to make others of.
    pub fn prototype<F>(&self, function: F) -> Result<Prototype>
    where
        F: Fn(&mut Stack<'_>) -> Result<usize> + Copy + 'f,
    {
        let mut stack = self.stack();
        self.push_function(&mut stack, 0, function)?;
        Ok(Prototype { function: stack.keep()?, state: std::ptr::from_ref(&*self.memory).addr() })
    }

    /// Has `function` run after each `instructions`; its error ends what is running.
    pub fn set_hook<F>(&self, instructions: u32, function: F)
    where
        F: Fn(&mut Stack<'_>) -> Result<()> + Copy + 'f,
    {
        const { assert!(is_light::<F>()) };
        self.memory.hook.set(to_bits(function));
        // SAFETY: the state is open. It is closed before what the function refers to ends.
        unsafe {
            ffi::lua_sethook(self.raw, Some(run_hook::<F>), ffi::LUA_MASKCOUNT, instructions as c_int);
        }
    }
}

impl Stack<'_> {
    /// As [`State::push_function`], of a function that refers to nothing.
    pub fn push_plain_function<F>(&mut self, own: usize, function: F) -> Result<()>
    where
        F: Fn(&mut Stack<'_>) -> Result<usize> + Copy + 'static,
    {
        // SAFETY: it refers to nothing that could end.
        unsafe { self.push_closure(own, function) }
    }

    /// Pushes a table of functions, by their names.
    pub fn push_library(&mut self, functions: &[(&str, Native)]) -> Result<()> {
        self.push_table(0, functions.len())?;
        let table = self.count();
        for (name, function) in functions {
            self.push_plain_function(0, *function)?;
            self.set_field(table, name.as_bytes())?;
        }
        Ok(())
    }

    /// Pushes a function like another one, which takes the `own` topmost values as its own.
    pub fn push_like(&mut self, prototype: Prototype, own: usize) -> Result<()> {
        if prototype.state != std::ptr::from_ref(self.memory()).addr() {
            return Err(Error::Slots);
        }
        self.begin_closure(own)?;
        let raw = self.raw();
        // SAFETY: there are slots and the values. The kept value is a function of this state that `push_closure` has made,
        // which has no values of its own but, perhaps, its closure.
        unsafe {
            ffi::lua_rawgeti_(raw, ffi::LUA_REGISTRYINDEX, prototype.function.0);
            let Some(function) = ffi::lua_tocfunction(raw, -1) else {
                ffi::lua_settop(raw, -2);
                return Err(Error::Slots);
            };
            let mut values = own as c_int;
            if ffi::lua_getupvalue(raw, -1, 1).is_null() {
                ffi::lua_settop(raw, -2);
            } else {
                ffi::lua_remove(raw, -2);
                ffi::lua_insert(raw, -1 - values);
                values += 1;
            }
            ffi::lua_pushcclosure(raw, function, values);
        }
        self.end_closure(own);
        Ok(())
    }

    /// # Safety
    /// What the function refers to lives until the state is closed.
    unsafe fn push_closure<F>(&mut self, own: usize, function: F) -> Result<()>
    where
        F: Fn(&mut Stack<'_>) -> Result<usize> + Copy,
    {
        const { assert!(align_of::<F>() <= align_of::<f64>()) };
        self.begin_closure(own)?;
        let raw = self.raw();
        // SAFETY: there are slots and the values, and the allocator grants the memory. Userdata is aligned for a double.
        unsafe {
            if size_of::<F>() > 0 {
                if is_light::<F>() {
                    ffi::lua_pushlightuserdata(raw, to_bits(function));
                } else {
                    ffi::lua_newuserdata(raw, size_of::<F>()).cast::<F>().write(function);
                }
                ffi::lua_insert(raw, -1 - own as c_int);
            }
            ffi::lua_pushcclosure(raw, call_function::<F>, (own + held::<F>()) as c_int);
        }
        self.end_closure(own);
        Ok(())
    }
}

/// Whether a closure fits into a pointer.
const fn is_light<F>() -> bool {
    size_of::<F>() <= size_of::<*mut c_void>() && align_of::<F>() <= align_of::<*mut c_void>()
}

/// Values in which Lua holds a closure.
const fn held<F>() -> usize {
    if size_of::<F>() > 0 { 1 } else { 0 }
}

/// A closure that fits into a pointer as one; null of any other.
fn to_bits<F: Copy>(function: F) -> *mut c_void {
    let mut bits = std::ptr::null_mut::<c_void>();
    if is_light::<F>() {
        // SAFETY: it fits.
        unsafe { (&raw mut bits).cast::<F>().write(function) }
    }
    bits
}

/// `lua_CFunction` of a function.
///
/// # Safety
/// Lua calls it, with what [`Stack::push_closure`] has given it, in a [`State`].
unsafe extern "C-unwind" fn call_function<F>(raw: *mut ffi::lua_State) -> c_int
where
    F: Fn(&mut Stack<'_>) -> Result<usize> + Copy,
{
    // SAFETY: see above. An error is raised when nothing is left in this frame that has a destructor.
    unsafe {
        let Some(memory) = Memory::of(raw) else { return 0 };
        let granted = memory.grant_all(true);
        let bits = if size_of::<F>() == 0 {
            std::ptr::null_mut()
        } else {
            ffi::lua_touserdata(raw, ffi::lua_upvalueindex(1))
        };
        let function: *const F = if size_of::<F>() == 0 {
            NonNull::dangling().as_ptr()
        } else if is_light::<F>() {
            (&raw const bits).cast()
        } else {
            bits.cast_const().cast()
        };
        let first_own = 1 + held::<F>() as c_int;
        match (*function)(&mut Stack::new(raw, memory, first_own)) {
            Ok(results) => {
                memory.grant_all(granted);
                results.min(ffi::lua_gettop(raw) as usize) as c_int
            }
            Err(error) => raise(raw, memory, granted, error),
        }
    }
}

/// `lua_Hook`.
///
/// # Safety
/// Lua calls it, in a [`State`] whose hook is an `F`.
unsafe extern "C-unwind" fn run_hook<F>(raw: *mut ffi::lua_State, _: *mut ffi::lua_Debug)
where
    F: Fn(&mut Stack<'_>) -> Result<()> + Copy,
{
    // SAFETY: see above. A hook has as many slots as a function; those of what is running stay.
    unsafe {
        let Some(memory) = Memory::of(raw) else { return };
        let granted = memory.grant_all(true);
        let bits = memory.hook.get();
        match (*(&raw const bits).cast::<F>())(&mut Stack::above(raw, memory)) {
            Ok(()) => drop(memory.grant_all(granted)),
            Err(error) => drop(raise(raw, memory, granted, error)),
        }
    }
}

/// Raises an error.
///
/// # Safety
/// A C function or a hook runs on the stack, and no frame above Lua's has a destructor.
unsafe fn raise(raw: *mut ffi::lua_State, memory: &Memory, granted: bool, error: Error) -> c_int {
    let text: &[u8] = match error {
        Error::Memory => b"not enough memory",
        Error::Slots => b"stack overflow",
        Error::Raised => b"",
    };
    // SAFETY: the caller's obligation.
    unsafe {
        if !text.is_empty() {
            // A function that has filled its slots has one for this.
            if ffi::lua_checkstack(raw, 1) == 0 {
                ffi::lua_settop(raw, 0);
            }
            ffi::lua_pushlstring(raw, text.as_ptr().cast(), text.len());
        }
        memory.grant_all(granted);
        ffi::lua_error(raw)
    }
}
