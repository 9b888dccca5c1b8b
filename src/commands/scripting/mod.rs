//! Scripts: EVAL and its kin, SCRIPT.

mod eval;
mod script;
pub mod specs;
#[cfg(test)]
mod tests;
