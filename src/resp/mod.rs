//! The wire: requests as spans over bytes, the request parser, the reply writer, wire errors,
//! and the outbox in which replies to other clients wait.

mod args;
mod error;
mod outbox;
pub mod parser;
mod reply;

pub use args::{Args, OwnedArgs, Span};
pub use error::CommandError;
pub use outbox::Outbox;
pub use reply::{OpenAggregate, Reply};
