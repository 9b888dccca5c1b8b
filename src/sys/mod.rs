//! The operating system: clock, memory, limits, data of the process.

pub mod clock;
pub mod crash;
pub mod double_sigint;
#[cfg(not(system_allocator))]
pub mod large_alloc;
pub mod memory;
pub mod process;
pub mod title;
