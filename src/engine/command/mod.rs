//! What a command is: its row, the table of all rows, where its keys are, and its documented syntax.

pub mod doc_syntax;
pub mod keys;
pub mod spec;
pub mod table;
