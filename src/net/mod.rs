//! The street: one mio `Poll`, a slab of connections, bytes in and out.
//!
//! It reads what is readable, cuts it into requests, hands them to the engine and writes the replies
//! when the server says so. It knows no command.

mod connection;
mod event_loop;
mod listener;
mod output;
mod serve;
mod transport;

pub use event_loop::{EventLoop, NetLimits, OWN_TOKEN};
pub use listener::{Listener, listen_tcp, listen_unix};
