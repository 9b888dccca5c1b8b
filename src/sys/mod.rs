//! What the operating system must provide: clock, memory, limits, process facts.

pub mod clock;
pub mod crash;
pub mod double_sigint;
#[cfg(not(system_allocator))]
pub mod large_alloc;
pub mod memory;
pub mod process;
pub mod title;
