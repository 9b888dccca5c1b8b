//! Commands on keys of any type.

pub mod databases;
pub mod dump;
pub mod expire;
pub mod keys;
#[cfg(test)]
mod lazy_free_tests;
pub mod object;
pub mod scan;
pub mod sort;
pub mod specs;
