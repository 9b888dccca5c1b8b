//! What a state keeps beyond a function's end: values, the globals, a buffer; and its collector.

use mlua::ffi;

use super::Kept;
use super::stack::{Error, ITEM, Kind, Result, Stack};

impl Stack<'_> {
    /// Keeps the topmost value, which it takes, for as long as the state is there.
    pub fn keep(&mut self) -> Result<Kept> {
        if self.count() <= self.floor as usize || !self.memory.has_room(2 * ITEM) {
            return Err(Error::Memory);
        }
        // SAFETY: there is a value; the registry is a table, and the allocator grants the memory.
        let place = unsafe { ffi::luaL_ref(self.raw, ffi::LUA_REGISTRYINDEX) };
        self.top -= 1;
        Ok(Kept(place))
    }

    /// Keeps a value no more: it is false from now on.
    pub fn forget(&mut self, kept: Kept) {
        if self.begin_push(0).is_ok() {
            // SAFETY: there is a slot; the registry is a table that has this place, which isn't given to another value.
            unsafe {
                ffi::lua_pushboolean(self.raw, 0);
                ffi::lua_rawseti_(self.raw, ffi::LUA_REGISTRYINDEX, kept.0);
            }
            self.top -= 1;
        }
    }

    /// Pushes the table of globals.
    pub fn push_globals(&mut self) -> Result<()> {
        self.begin_push(0)?;
        // SAFETY: there is a slot.
        unsafe { ffi::lua_pushvalue(self.raw, ffi::LUA_GLOBALSINDEX) }
        Ok(())
    }

    /// Takes the topmost value, a table, as that of the globals of what is compiled from now on.
    pub fn set_globals(&mut self) {
        if self.kind(self.count()) == Kind::Table && self.count() > self.floor as usize {
            // SAFETY: it is a table.
            unsafe { ffi::lua_replace(self.raw, ffi::LUA_GLOBALSINDEX) }
            self.top -= 1;
        }
    }

    /// Bytes that the state uses.
    pub fn used(&self) -> usize {
        self.memory.used()
    }

    /// An empty buffer, which may have memory of an earlier use.
    pub fn take_buffer(&self) -> Vec<u8> {
        self.memory.buffer.take()
    }

    /// Has a buffer be used again, unless it is large.
    pub fn give_buffer(&self, mut buffer: Vec<u8>) {
        /// Bytes that are kept.
        const KEPT: usize = 64 << 10;
        if buffer.capacity() <= KEPT {
            buffer.clear();
            self.memory.buffer.set(buffer);
        }
    }

    /// Collects all garbage.
    pub fn collect(&mut self) {
        // SAFETY: the state is open, and has no finalizers.
        unsafe { ffi::lua_gc(self.raw(), ffi::LUA_GCCOLLECT, 0) };
    }

    /// Collects some garbage, of about `size` KiB; whether that ended a cycle.
    pub fn collect_some(&mut self, size: i32) -> bool {
        // SAFETY: the state is open, and has no finalizers.
        unsafe { ffi::lua_gc(self.raw(), ffi::LUA_GCSTEP, size) != 0 }
    }
}
