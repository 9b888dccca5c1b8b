//! RESP, Redis's protocol: requests as spans over bytes, the request parser, the reply writer, error replies, and the
//! outbox of messages to other clients.

mod args;
mod error;
mod outbox;
pub mod parser;
mod reply;
mod request;
mod segments;

pub use args::{Args, OwnedArgs, Span, StringArg};
pub use error::CommandError;
pub use outbox::{Outbox, SharedMessage};
pub use reply::{OpenAggregate, Reply};
pub use request::encode_request;
pub use segments::Segment;
