//! Pure data structures, each tested against a naive model.

mod blob;
pub mod intset;
pub mod listpack;
pub mod ordered;
pub mod quicklist;
pub mod table;
