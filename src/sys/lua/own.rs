//! The values that a function owns, which it finds again in each of its calls.

use std::any::TypeId;
use std::ffi::c_int;

use mlua::ffi;

use super::stack::{Result, Stack, TABLE};

/// A value in userdata, and its type.
struct Tagged<T> {
    kind: TypeId,
    value: T,
}

impl Stack<'_> {
    /// Pushes a value that the running function owns, counted from 0; nil if there is none.
    pub fn push_own(&mut self, number: usize) -> Result<()> {
        if self.first_own == 0 {
            return self.push_nil();
        }
        self.begin_push(0)?;
        // SAFETY: there is a slot; a function of C runs, of which any value may be asked for.
        unsafe { ffi::lua_pushvalue(self.raw, self.own_index(number)) }
        Ok(())
    }

    fn own_index(&self, number: usize) -> c_int {
        ffi::lua_upvalueindex(self.first_own + number.min(100) as c_int)
    }

    /// Takes the topmost value as one that the running function owns.
    pub fn set_own(&mut self, number: usize) {
        // SAFETY: a function of C runs, which has that value.
        unsafe {
            if self.first_own > 0
                && self.count() > self.floor as usize
                && ffi::lua_type(self.raw, self.own_index(number)) != ffi::LUA_TNONE
            {
                ffi::lua_replace(self.raw, self.own_index(number));
                self.top -= 1;
            }
        }
    }

    /// Pushes userdata that holds a value.
    pub fn push_data<T: Copy + 'static>(&mut self, value: T) -> Result<()> {
        const { assert!(align_of::<Tagged<T>>() <= align_of::<f64>()) };
        self.begin_push(size_of::<Tagged<T>>() + TABLE)?;
        // SAFETY: there is a slot, and the allocator grants the memory, which is aligned for a double.
        unsafe {
            ffi::lua_newuserdata(self.raw, size_of::<Tagged<T>>())
                .cast::<Tagged<T>>()
                .write(Tagged { kind: TypeId::of::<T>(), value });
        }
        Ok(())
    }

    fn own_tagged<T: Copy + 'static>(&self, number: usize) -> Option<*mut Tagged<T>> {
        if self.first_own == 0 {
            return None;
        }
        let index = self.own_index(number);
        // SAFETY: only `push_data` makes userdata of that size; it begins with what says of which type it is.
        unsafe {
            if ffi::lua_type(self.raw, index) != ffi::LUA_TUSERDATA
                || ffi::lua_objlen(self.raw, index) != size_of::<Tagged<T>>()
            {
                return None;
            }
            let data = ffi::lua_touserdata(self.raw, index).cast::<Tagged<T>>();
            ((*data).kind == TypeId::of::<T>()).then_some(data)
        }
    }

    /// The value in userdata that the running function owns.
    pub fn own_data<T: Copy + 'static>(&self, number: usize) -> Option<T> {
        // SAFETY: it is of this type; the function holds it.
        self.own_tagged::<T>(number).map(|data| unsafe { (*data).value })
    }

    /// Changes it.
    pub fn set_own_data<T: Copy + 'static>(&mut self, number: usize, value: T) {
        if let Some(data) = self.own_tagged::<T>(number) {
            // SAFETY: as in `own_data`.
            unsafe { (*data).value = value }
        }
    }
}
