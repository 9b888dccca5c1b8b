//! The allocator of a Lua state: counts its bytes, and refuses what is over the limit.

use std::alloc::{Layout, handle_alloc_error};
use std::cell::Cell;
use std::ffi::c_void;

use mlua::ffi;

use crate::sys::memory as process;

/// Bytes of an allocation from which its layout decides who serves it, as of any other of the process.
const LARGE: usize = 32 * 1024;
/// Bytes by which the process's count of memory may be wrong for a state.
const UNREPORTED: usize = 64 * 1024;

/// What a state's allocator knows, and what functions need of their state: they find it by its allocator.
pub(super) struct Memory {
    used: Cell<usize>,
    /// Bytes of it in allocations that the process counts only by [`Memory::report`].
    small: Cell<usize>,
    reported: Cell<usize>,
    limit: Cell<usize>,
    /// Rust code works on the stack, which an error must not leave: the limit is checked before what it does, not here.
    grants_all: Cell<bool>,
    /// Where the machine's stack was when the state was made.
    pub(super) base: usize,
    /// Bytes of it that functions may have taken when they go deeper.
    pub(super) depth: usize,
    /// What the hook refers to: a closure that is no larger than a pointer.
    pub(super) hook: Cell<*mut c_void>,
    /// A buffer that functions use one after the other.
    pub(super) buffer: Cell<Vec<u8>>,
}

impl Memory {
    pub(super) fn new(limit: usize, base: usize, depth: usize) -> Memory {
        Memory {
            used: Cell::new(0),
            small: Cell::new(0),
            reported: Cell::new(0),
            limit: Cell::new(limit),
            grants_all: Cell::new(true),
            base,
            depth,
            hook: Cell::new(std::ptr::null_mut()),
            buffer: Cell::default(),
        }
    }

    /// Of the state that a stack belongs to, if it is one of these.
    ///
    /// # Safety
    /// The state is open as long as the result is in use.
    pub(super) unsafe fn of<'s>(raw: *mut ffi::lua_State) -> Option<&'s Memory> {
        let mut memory = std::ptr::null_mut();
        // SAFETY: the state is open, and this allocator works with a `Memory`.
        unsafe {
            let is_this =
                std::ptr::fn_addr_eq(ffi::lua_getallocf(raw, &raw mut memory), allocate as ffi::lua_Alloc);
            is_this.then(|| &*memory.cast::<Memory>())
        }
    }

    pub(super) fn used(&self) -> usize {
        self.used.get()
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.get()
    }

    /// Whether `bytes` more are within the limit.
    #[inline]
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.used.get().saturating_add(bytes) <= self.limit.get()
    }

    /// Has the allocator grant what is over the limit, or not; what it did before.
    #[inline]
    pub(super) fn grant_all(&self, all: bool) -> bool {
        self.grants_all.replace(all)
    }

    /// Has the process count what the state uses.
    fn report(&self) {
        let small = self.small.get();
        process::recount(self.reported.replace(small), small);
    }

    fn count(&self, old: usize, new: usize) {
        self.used.set(self.used.get().wrapping_add(new).wrapping_sub(old));
        let small = |size: usize| if size < LARGE { size } else { 0 };
        self.small.set(self.small.get().wrapping_add(small(new)).wrapping_sub(small(old)));
        if self.small.get().abs_diff(self.reported.get()) > UNREPORTED {
            self.report();
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.report();
    }
}

/// `lua_Alloc`.
///
/// # Safety
/// `memory` is a [`Memory`], and `block` an allocation of this function of `old` bytes, or null and `old` 0.
pub(super) unsafe extern "C" fn allocate(
    memory: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: the caller's obligation.
    let memory = unsafe { &*memory.cast::<Memory>() };
    if new > old && !memory.grants_all.get() && !memory.has_room(new - old) {
        return std::ptr::null_mut();
    }
    memory.count(old, new);
    let block = block.cast::<u8>();
    // SAFETY: `block` was made by `make` or `resize` for `old` bytes.
    let made = unsafe {
        match (old, new) {
            (0, 0) => return std::ptr::null_mut(),
            (_, 0) => {
                free(block, old);
                return std::ptr::null_mut();
            }
            (0, _) => make(new),
            _ => resize(block, old, new),
        }
    };
    if made.is_null() {
        handle_alloc_error(layout(new));
    }
    made.cast()
}

/// What Lua's values need: the alignment of a double and of a pointer.
fn layout(size: usize) -> Layout {
    const ALIGN: usize = align_of::<f64>();
    // SAFETY: the alignment is a power of two; Lua asks for no more than it can address.
    unsafe { Layout::from_size_align_unchecked(size, ALIGN) }
}

/// # Safety
/// `size` is not 0.
unsafe fn make(size: usize) -> *mut u8 {
    // SAFETY: the size is not 0.
    unsafe { if size < LARGE { process::untyped_alloc(size) } else { std::alloc::alloc(layout(size)) } }
}

/// # Safety
/// `block` is an allocation of `size` bytes by [`make`] or [`resize`].
unsafe fn free(block: *mut u8, size: usize) {
    // SAFETY: the size says which allocator it is of.
    unsafe {
        if size < LARGE {
            process::untyped_free(block);
        } else {
            std::alloc::dealloc(block, layout(size));
        }
    }
}

/// # Safety
/// `block` is an allocation of `old` bytes by [`make`] or this; `new` is not 0.
unsafe fn resize(block: *mut u8, old: usize, new: usize) -> *mut u8 {
    // SAFETY: the sizes say which allocator the old block is of and the new one is to be; a block that moves from one to the
    // other is copied as far as both reach.
    unsafe {
        match (old < LARGE, new < LARGE) {
            (true, true) => process::untyped_realloc(block, new),
            (false, false) => std::alloc::realloc(block, layout(old), new),
            _ => {
                let moved = make(new);
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(block, old.min(new));
                    free(block, old);
                }
                moved
            }
        }
    }
}
