//! The stack of a Lua function: its values are read and pushed one by one.

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;

use mlua::ffi;

use super::Kept;
use super::memory::Memory;

/// Why something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It would take more memory than the limit.
    Memory,
    /// It would take more than the 8,000 slots that a function has.
    Slots,
    /// The topmost value says why: a script will see it as its error.
    Raised,
}

pub type Result<T> = std::result::Result<T, Error>;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nil,
    Boolean,
    Number,
    Text,
    Table,
    /// Light userdata that points nowhere, which stands for null.
    Null,
    Function,
    Thread,
    Userdata,
}

/// A value that is looked at: what it is and, of simple ones, itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look<'v> {
    Boolean(bool),
    Number(f64),
    Text(&'v [u8]),
    Other(Kind),
}

impl Kind {
    /// The name of the type in Lua.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Nil => "nil",
            Kind::Boolean => "boolean",
            Kind::Number => "number",
            Kind::Text => "string",
            Kind::Table => "table",
            Kind::Function => "function",
            Kind::Thread => "thread",
            Kind::Null | Kind::Userdata => "userdata",
        }
    }
}

/// A function that runs.
#[derive(Clone, Debug)]
pub struct Caller {
    pub source: String,
    /// The source as errors show it.
    pub short_source: String,
    /// 0 or less if it isn't known.
    pub line: i32,
    /// What its caller calls it.
    pub name: Option<String>,
    pub is_method: bool,
    /// It isn't a function of Lua.
    pub is_native: bool,
}

/// Bytes of a table without its items, and of an item at most; generous.
pub(super) const TABLE: usize = 64;
pub(super) const ITEM: usize = 40;
/// Bytes of a string besides its own.
const TEXT: usize = 32;

/// The values of a running function: in slots 1 to [`Stack::count`], its arguments first. A slot beyond that holds nil.
pub struct Stack<'s> {
    pub(super) raw: *mut ffi::lua_State,
    pub(super) memory: &'s Memory,
    /// Values on it.
    pub(super) top: c_int,
    /// Slots that Lua has room for.
    room: c_int,
    /// Slots that stay: tables that are being walked, and their keys.
    pub(super) floor: c_int,
    /// Tables must not be changed: one is being walked.
    is_walking: bool,
    /// Where the values that the function owns begin; 0 if none runs.
    pub(super) first_own: c_int,
    marker: PhantomData<*mut ()>,
}

impl<'s> Stack<'s> {
    /// # Safety
    /// The state is open as long as the result is in use; its allocator works with `memory` and grants all; nothing else
    /// takes from the stack what this has pushed, or leaves anything there; a C function has just begun, or
    /// none runs and there are as many slots.
    pub(super) unsafe fn new(raw: *mut ffi::lua_State, memory: &'s Memory, first_own: c_int) -> Self {
        // SAFETY: the state is open. A function has that many slots besides its arguments when it begins.
        let top = unsafe { ffi::lua_gettop(raw) };
        Stack {
            raw,
            memory,
            top,
            room: top + ffi::LUA_MINSTACK,
            floor: 0,
            is_walking: false,
            first_own,
            marker: PhantomData,
        }
    }

    /// The stack of a hook, which leaves alone the values that are there.
    ///
    /// # Safety
    /// As of [`Stack::new`], but that a hook has just begun.
    pub(super) unsafe fn above(raw: *mut ffi::lua_State, memory: &'s Memory) -> Self {
        // SAFETY: the caller's obligation.
        let mut stack = unsafe { Stack::new(raw, memory, 0) };
        stack.floor = stack.top;
        stack
    }

    pub(super) fn memory(&self) -> &'s Memory {
        self.memory
    }

    pub(super) fn raw(&self) -> *mut ffi::lua_State {
        self.raw
    }

    /// Whether a function in this slot may be called, which may change whatever it reaches.
    pub(super) fn may_call(&self, function: usize) -> bool {
        !self.is_walking && function > self.floor as usize
    }

    /// Notes how many values there are.
    pub(super) fn recount(&mut self) {
        // SAFETY: the state is open.
        self.top = unsafe { ffi::lua_gettop(self.raw) };
        self.room = self.room.max(self.top);
    }

    /// Notes that values were moved here, for which there were slots.
    pub(super) fn add_moved(&mut self, values: c_int) {
        self.top += values;
    }

    /// Whether there is enough of the machine's stack left to go deeper.
    pub fn has_depth(&self) -> bool {
        // A caller may lie less deep than the state's making did.
        self.memory.base.saturating_sub(super::here()) <= self.memory.depth
    }

    /// Values on it, which is the topmost value's slot.
    #[inline]
    pub fn count(&self) -> usize {
        self.top as usize
    }

    /// Drops all values but the first `count`.
    pub fn truncate(&mut self, count: usize) {
        let count = count.max(self.floor as usize);
        if count < self.count() {
            self.top = count as c_int;
            // SAFETY: there are as many values.
            unsafe { ffi::lua_settop(self.raw, self.top) }
        }
    }

    /// A slot as Lua counts it: from 1, which beyond the last are nil.
    #[inline]
    pub(super) fn index(slot: usize) -> c_int {
        slot.clamp(1, 1 << 20) as c_int
    }

    #[inline]
    pub fn kind(&self, slot: usize) -> Kind {
        // SAFETY: any positive index may be asked for.
        match unsafe { ffi::lua_type(self.raw, Self::index(slot)) } {
            ffi::LUA_TSTRING => Kind::Text,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TTABLE => Kind::Table,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TNIL | ffi::LUA_TNONE => Kind::Nil,
            ffi::LUA_TFUNCTION => Kind::Function,
            ffi::LUA_TTHREAD => Kind::Thread,
            // SAFETY: of light userdata it is the pointer itself.
            ffi::LUA_TLIGHTUSERDATA
                if unsafe { ffi::lua_touserdata(self.raw, Self::index(slot)).is_null() } =>
            {
                Kind::Null
            }
            _ => Kind::Userdata,
        }
    }

    /// A value, looked at once.
    #[inline]
    pub fn look(&self, slot: usize) -> Look<'_> {
        match self.kind(slot) {
            // SAFETY: it is a string, as in `text`.
            Kind::Text => Look::Text(unsafe { self.bytes(slot) }),
            // SAFETY: it is a number, which is converted to nothing else.
            Kind::Number => Look::Number(unsafe { ffi::lua_tonumber(self.raw, Self::index(slot)) }),
            Kind::Boolean => Look::Boolean(self.boolean(slot)),
            kind => Look::Other(kind),
        }
    }

    /// # Safety
    /// It is a string.
    #[inline]
    pub(super) unsafe fn bytes(&self, slot: usize) -> &[u8] {
        let mut len = 0;
        // SAFETY: of a string it is its own bytes, which don't move, and it lives as long as it is on the stack: taking it
        // from there needs `self` mutably.
        unsafe {
            let bytes = ffi::lua_tolstring(self.raw, Self::index(slot), &raw mut len);
            std::slice::from_raw_parts(bytes.cast(), len)
        }
    }

    /// A string's bytes.
    #[inline]
    pub fn text(&self, slot: usize) -> Option<&[u8]> {
        // SAFETY: it is a string.
        (self.kind(slot) == Kind::Text).then(|| unsafe { self.bytes(slot) })
    }

    #[inline]
    pub fn number(&self, slot: usize) -> Option<f64> {
        // SAFETY: a number is converted to nothing else.
        (self.kind(slot) == Kind::Number).then(|| unsafe { ffi::lua_tonumber(self.raw, Self::index(slot)) })
    }

    /// A number, or a string that looks like one.
    pub fn as_number(&self, slot: usize) -> Option<f64> {
        // SAFETY: any positive index may be asked for; the string itself isn't changed.
        unsafe {
            let index = Self::index(slot);
            (ffi::lua_isnumber(self.raw, index) != 0).then(|| ffi::lua_tonumber(self.raw, index))
        }
    }

    /// Moves the topmost value into a slot below; what is there and above goes up.
    pub fn move_top(&mut self, slot: usize) {
        if slot > self.floor as usize && slot < self.count() {
            // SAFETY: both slots are there.
            unsafe { ffi::lua_insert(self.raw, slot as c_int) }
        }
    }

    /// Works with a string's bytes while values are pushed above it.
    pub fn with_text<R>(&mut self, slot: usize, work: impl FnOnce(&mut Self, &[u8]) -> R) -> Option<R> {
        let text = std::ptr::from_ref(self.text(slot)?);
        let floor = self.floor;
        self.floor = floor.max(Self::index(slot));
        // SAFETY: the string stays in its slot, which is below the floor, and so do its bytes.
        let result = work(self, unsafe { &*text });
        self.floor = floor;
        Some(result)
    }

    /// Whether a value counts as true: all but nil and false do.
    pub fn boolean(&self, slot: usize) -> bool {
        // SAFETY: any positive index may be asked for.
        unsafe { ffi::lua_toboolean(self.raw, Self::index(slot)) != 0 }
    }

    /// Whether as many bytes more are within the limit.
    pub fn has_memory(&self, bytes: usize) -> bool {
        self.memory.has_room(bytes)
    }

    /// Makes sure that a value can be pushed that takes this many bytes; counts it.
    #[inline]
    pub(super) fn begin_push(&mut self, bytes: usize) -> Result<()> {
        if !self.memory.has_room(bytes) {
            return Err(Error::Memory);
        }
        self.reserve(1)?;
        self.top += 1;
        Ok(())
    }

    /// Makes sure that there are slots for as many values.
    #[inline]
    pub(super) fn reserve(&mut self, slots: c_int) -> Result<()> {
        if self.top + slots <= self.room { Ok(()) } else { self.grow(slots) }
    }

    #[cold]
    fn grow(&mut self, slots: c_int) -> Result<()> {
        for slots in [slots + 32, slots] {
            // SAFETY: the state is open.
            if unsafe { ffi::lua_checkstack(self.raw, slots) } != 0 {
                self.room = self.top + slots;
                return Ok(());
            }
        }
        Err(Error::Slots)
    }

    pub fn push_nil(&mut self) -> Result<()> {
        self.begin_push(0)?;
        // SAFETY: there is a slot.
        unsafe { ffi::lua_pushnil(self.raw) }
        Ok(())
    }

    /// Pushes what stands for null.
    pub fn push_null(&mut self) -> Result<()> {
        self.begin_push(0)?;
        // SAFETY: there is a slot.
        unsafe { ffi::lua_pushlightuserdata(self.raw, std::ptr::null_mut()) }
        Ok(())
    }

    pub fn push_boolean(&mut self, value: bool) -> Result<()> {
        self.begin_push(0)?;
        // SAFETY: there is a slot.
        unsafe { ffi::lua_pushboolean(self.raw, c_int::from(value)) }
        Ok(())
    }

    pub fn push_number(&mut self, value: f64) -> Result<()> {
        self.begin_push(0)?;
        // SAFETY: there is a slot.
        unsafe { ffi::lua_pushnumber(self.raw, value) }
        Ok(())
    }

    #[inline]
    pub fn push_text(&mut self, text: &[u8]) -> Result<()> {
        self.begin_push(text.len().saturating_add(TEXT))?;
        // SAFETY: there is a slot, and the allocator grants the memory, which is less than Lua can count.
        unsafe { ffi::lua_pushlstring_(self.raw, text.as_ptr().cast::<c_char>(), text.len()) }
        Ok(())
    }

    /// Pushes a table with room for as many items and fields; it may have more.
    pub fn push_table(&mut self, items: usize, fields: usize) -> Result<()> {
        let (items, fields) = (items.min(1 << 24), fields.min(1 << 22));
        self.begin_push(TABLE + (items + 2 * fields) * ITEM)?;
        // SAFETY: there is a slot, and the allocator grants the memory.
        unsafe { ffi::lua_createtable(self.raw, items as c_int, fields as c_int) }
        Ok(())
    }

    /// Pushes a value that the state keeps.
    pub fn push_kept(&mut self, kept: Kept) -> Result<()> {
        self.begin_push(0)?;
        // SAFETY: there is a slot; the registry is a table.
        unsafe { ffi::lua_rawgeti_(self.raw, ffi::LUA_REGISTRYINDEX, kept.0) }
        Ok(())
    }

    /// Pushes a copy of a value.
    pub fn push_copy(&mut self, slot: usize) -> Result<()> {
        self.begin_push(0)?;
        // SAFETY: there is a slot; any positive index may be copied.
        unsafe { ffi::lua_pushvalue(self.raw, Self::index(slot)) }
        Ok(())
    }

    /// Pushes a table's item; nil if it isn't one. No metamethod is called.
    pub fn push_item(&mut self, table: usize, index: i32) -> Result<()> {
        if self.kind(table) != Kind::Table {
            return self.push_nil();
        }
        self.begin_push(0)?;
        // SAFETY: there is a slot; it is a table.
        unsafe { ffi::lua_rawgeti_(self.raw, Self::index(table), index) }
        Ok(())
    }

    /// Pushes a table's field; nil if it isn't one. No metamethod is called.
    pub fn push_field(&mut self, table: usize, name: &[u8]) -> Result<()> {
        if self.kind(table) != Kind::Table {
            return self.push_nil();
        }
        self.push_text(name)?;
        // SAFETY: it is a table; the name is replaced by the value.
        unsafe { ffi::lua_rawget(self.raw, Self::index(table)) };
        Ok(())
    }

    /// Pushes a table's metatable; nil if it has none.
    pub fn push_metatable(&mut self, table: usize) -> Result<()> {
        self.begin_push(0)?;
        // SAFETY: there is a slot; any positive index may be asked for.
        if self.kind(table) != Kind::Table
            || unsafe { ffi::lua_getmetatable(self.raw, Self::index(table)) } == 0
        {
            return self.push_nil();
        }
        Ok(())
    }

    /// Whether two values are the same one.
    pub fn is_same(&self, slot: usize, other: usize) -> bool {
        // SAFETY: any positive indices may be compared.
        unsafe { ffi::lua_rawequal(self.raw, Self::index(slot), Self::index(other)) != 0 }
    }

    /// What runs at a level of the call stack: 0 is the running function, 1 what has called it.
    pub fn caller(&self, level: usize) -> Option<Caller> {
        // SAFETY: a zeroed record is a valid one; Lua fills it in for a level that there is, and its strings are of C.
        unsafe {
            let mut record: ffi::lua_Debug = std::mem::zeroed();
            if ffi::lua_getstack(self.raw, level as c_int, &raw mut record) == 0
                || ffi::lua_getinfo(self.raw, c"nSl".as_ptr(), &raw mut record) == 0
            {
                return None;
            }
            let text = |text: *const c_char| {
                if text.is_null() {
                    String::new()
                } else {
                    CStr::from_ptr(text).to_string_lossy().into_owned()
                }
            };
            Some(Caller {
                source: text(record.source),
                short_source: text(record.short_src.as_ptr()),
                line: record.currentline,
                name: if record.name.is_null() { None } else { Some(text(record.name)) },
                is_method: text(record.namewhat) == "method",
                is_native: text(record.what) == "C",
            })
        }
    }

    /// A table's length (`#`).
    pub fn length(&self, table: usize) -> usize {
        // SAFETY: any positive index may be asked for.
        if self.kind(table) == Kind::Table {
            unsafe { ffi::lua_objlen(self.raw, Self::index(table)) }
        } else {
            0
        }
    }

    /// Whether a table can be changed now, with `values` values from the topmost ones.
    fn may_set(&self, table: usize, values: usize) -> Result<bool> {
        debug_assert!(!self.is_walking, "a table is being walked");
        if !self.memory.has_room(2 * ITEM) {
            return Err(Error::Memory);
        }
        let is_there = table + values <= self.count() && self.floor as usize + values <= self.count();
        Ok(!self.is_walking && is_there && self.kind(table) == Kind::Table)
    }

    /// Takes the topmost value as a table's item.
    #[inline]
    pub fn set_item(&mut self, table: usize, index: i32) -> Result<()> {
        if self.may_set(table, 1)? {
            // SAFETY: it is a table, and there is a value above it.
            unsafe { ffi::lua_rawseti_(self.raw, Self::index(table), index) }
            self.top -= 1;
        }
        Ok(())
    }

    /// Takes the topmost value as a table's field.
    pub fn set_field(&mut self, table: usize, name: &[u8]) -> Result<()> {
        if self.may_set(table, 1)? {
            self.push_text(name)?;
            // SAFETY: it is a table, and there are a value above it and the key, which is a string.
            unsafe {
                ffi::lua_insert(self.raw, -2);
                ffi::lua_rawset(self.raw, Self::index(table));
            }
            self.top -= 2;
        }
        Ok(())
    }

    /// Takes the two topmost values as a key and its value in a table; a key that can't be one (nil and NaN) is left out.
    pub fn set_pair(&mut self, table: usize) -> Result<()> {
        if !self.may_set(table, 2)? {
            return Ok(());
        }
        let key = self.count() - 1;
        let is_key = match self.kind(key) {
            Kind::Nil => false,
            Kind::Number => self.number(key).is_some_and(|number| !number.is_nan()),
            _ => true,
        };
        if is_key {
            // SAFETY: it is a table, and there are a key and a value above it.
            unsafe { ffi::lua_rawset(self.raw, Self::index(table)) }
            self.top -= 2;
        } else {
            self.truncate(key - 1);
        }
        Ok(())
    }

    /// Gives a table the topmost value, which must be a table, as its metatable.
    pub fn set_metatable(&mut self, table: usize) -> Result<()> {
        if self.kind(self.count()) == Kind::Table && self.may_set(table, 1)? {
            // SAFETY: both are tables.
            unsafe { ffi::lua_setmetatable(self.raw, Self::index(table)) };
            self.top -= 1;
        }
        Ok(())
    }

    /// Has a table have no metatable.
    pub fn remove_metatable(&mut self, table: usize) -> Result<()> {
        if self.may_set(table, 0)? {
            self.reserve(1)?;
            // SAFETY: there is a slot; it is a table.
            unsafe {
                ffi::lua_pushnil(self.raw);
                ffi::lua_setmetatable(self.raw, Self::index(table));
            }
        }
        Ok(())
    }

    /// Works on each pair of a table, in the slots of its key and its value, until `work` returns false. What it pushes is
    /// dropped behind it; it can't change tables.
    pub fn pairs(
        &mut self,
        table: usize,
        mut work: impl FnMut(&mut Self, usize, usize) -> Result<bool>,
    ) -> Result<()> {
        if self.kind(table) != Kind::Table {
            return Ok(());
        }
        let (floor, was_walking) = (self.floor, self.is_walking);
        self.push_nil()?;
        let key = self.count();
        let outcome = loop {
            if let Err(error) = self.reserve(2) {
                break Err(error);
            }
            // SAFETY: it is a table that isn't changed meanwhile, and the topmost value is nil or a key that this has
            // returned: slots up to `floor` stay as they are. There are slots for two values.
            if unsafe { ffi::lua_next(self.raw, Self::index(table)) } == 0 {
                self.top -= 1;
                break Ok(());
            }
            self.top += 1;
            self.floor = key as c_int;
            self.is_walking = true;
            let outcome = work(self, key, key + 1);
            (self.floor, self.is_walking) = (floor, was_walking);
            match outcome {
                Ok(true) => self.truncate(key),
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if outcome.is_ok() {
            self.truncate(key - 1);
        }
        outcome
    }

    /// Makes sure that `own` values are there to be taken, and that a function can be pushed.
    pub(super) fn begin_closure(&mut self, own: usize) -> Result<()> {
        if !self.memory.has_room(4 * TABLE) {
            return Err(Error::Memory);
        }
        self.reserve(3)?;
        if own > 8 || self.floor as usize + own > self.count() { Err(Error::Slots) } else { Ok(()) }
    }

    /// A function has replaced its `own` values.
    pub(super) fn end_closure(&mut self, own: usize) {
        self.top += 1 - own as c_int;
    }

    /// # Safety
    /// It may be called with any arguments that will be passed.
    pub(super) unsafe fn push_c_function(&mut self, function: ffi::lua_CFunction) -> Result<()> {
        self.begin_closure(0)?;
        // SAFETY: there is a slot, and the allocator grants the memory.
        unsafe { ffi::lua_pushcclosure(self.raw, function, 0) }
        self.end_closure(0);
        Ok(())
    }

    /// Replaces a value by the topmost one, which is taken from there.
    pub fn replace(&mut self, slot: usize) -> Result<()> {
        if slot <= self.floor as usize || slot > self.count() {
            return Err(Error::Slots);
        }
        // SAFETY: both are there.
        unsafe { ffi::lua_replace(self.raw, Self::index(slot)) }
        self.top -= 1;
        Ok(())
    }

    /// Replaces the topmost value, a key, by the table's field of that name; by nil if it isn't one. No metamethod is called.
    pub fn raw_field(&mut self, table: usize) -> Result<()> {
        let key = self.count();
        if self.kind(table) != Kind::Table || table >= key || key <= self.floor as usize {
            return Err(Error::Slots);
        }
        // SAFETY: it is a table, and there is a key.
        unsafe { ffi::lua_rawget(self.raw, Self::index(table)) };
        Ok(())
    }

    /// Whether a value has a metatable; all strings have one.
    pub(super) fn has_metatable(&mut self, slot: usize) -> bool {
        if self.reserve(1).is_err() {
            return true;
        }
        // SAFETY: there is a slot; any positive index may be asked for.
        unsafe {
            let has_one = ffi::lua_getmetatable(self.raw, Self::index(slot)) != 0;
            ffi::lua_settop(self.raw, self.top);
            has_one
        }
    }

    /// Pushes the metatable of a value of any kind; nil if it has none.
    pub fn push_metatable_of(&mut self, slot: usize) -> Result<()> {
        self.begin_push(0)?;
        // SAFETY: there is a slot; any positive index may be asked for.
        unsafe {
            if ffi::lua_getmetatable(self.raw, Self::index(slot)) == 0 {
                ffi::lua_pushnil(self.raw);
            }
        }
        Ok(())
    }

    /// What tells tables, functions, coroutines and userdata apart: an address. 0 of any other value.
    pub fn identity(&self, slot: usize) -> usize {
        // SAFETY: any positive index may be asked for.
        unsafe { ffi::lua_topointer(self.raw, Self::index(slot)).addr() }
    }

    /// Whether there are slots for as many values more.
    pub fn has_slots(&mut self, values: usize) -> bool {
        /// More than a function ever has.
        const MANY: usize = 10_000;
        values < MANY && self.reserve(values as c_int).is_ok()
    }

    /// Whether it is a function of Lua.
    pub fn is_lua_function(&self, slot: usize) -> bool {
        // SAFETY: any positive index may be asked for.
        self.kind(slot) == Kind::Function && unsafe { ffi::lua_iscfunction(self.raw, Self::index(slot)) == 0 }
    }
}
