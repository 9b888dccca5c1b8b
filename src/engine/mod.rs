//! engine

pub mod keys;
pub mod spec;
pub mod syntax;

use crate::resp::{Args, CommandError};

/// What a data handler is given.
pub struct Call<'a> {
    pub args: Args<'a>,
}

pub struct Engine;

/// What a handler did, when it didn't fail.
pub enum Done {
    Replied,
}
pub type Outcome = Result<Done, CommandError>;
pub type DataHandler = fn(&mut Call<'_>) -> Outcome;
pub type ControlHandler = fn(&mut Engine, Args<'_>) -> Outcome;
