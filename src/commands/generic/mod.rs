//! Commands on keys of any type.

pub mod clusterscan;
#[cfg(test)]
mod clusterscan_tests;
pub mod databases;
pub mod dump;
pub mod expire;
#[cfg(test)]
mod full_value_tests;
pub mod keys;
#[cfg(test)]
mod lazy_free_tests;
pub mod migrate;
pub mod object;
pub mod scan;
pub mod sort;
pub mod specs;
