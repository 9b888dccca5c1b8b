//! The wire: requests as spans over bytes, the request parser, the reply writer, wire errors.

mod args;
mod error;

pub use args::{Args, OwnedArgs, Span};
pub use error::CommandError;
