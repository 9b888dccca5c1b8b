//! Scripts and functions: EVAL and FCALL with their kin, SCRIPT, FUNCTION.

mod eval;
mod function;
#[cfg(test)]
mod function_tests;
mod script;
pub mod specs;
#[cfg(test)]
mod tests;
