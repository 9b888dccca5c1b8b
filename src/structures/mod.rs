//! Pure data structures, each tested against a naive model.

pub mod before_images;
pub mod bits;
mod blob;
pub mod handle_table;
pub mod hash_groups;
pub mod hnsw;
pub mod intset;
pub mod listpack;
pub mod member_arena;
pub mod ordered;
pub mod prefetch;
pub mod quicklist;
pub mod registers;
pub mod slots;
pub mod table;
