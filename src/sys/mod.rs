//! The operating system: clock, disk, memory, limits, data of the process, worker threads.

pub mod clock;
pub mod crash;
pub mod disk;
pub mod double_sigint;
pub mod file_pages;
#[cfg(not(system_allocator))]
pub mod large_alloc;
pub mod lua;
pub mod memory;
pub mod process;
pub mod read;
pub mod simulated_disk;
#[cfg(test)]
mod simulated_disk_tests;
pub mod title;
pub mod worker;
