//! Commands: the specification of each, the table of all, the places of their keys, their documented syntax.

pub mod doc_syntax;
pub mod keys;
pub mod spec;
pub mod table;
