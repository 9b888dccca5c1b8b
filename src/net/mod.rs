//! The network: the event loop (one mio `Poll`), listeners, connections, transports.
//!
//! It reads what is readable, parses it into requests, has the engine execute them and writes the replies when the
//! server calls for it. It knows no command.

mod batch;
mod bus;
mod bus_port;
mod connection;
mod event_loop;
mod flush;
mod handshake;
mod http;
mod http_port;
mod input;
mod large_argument;
mod link_table;
mod links;
mod listener;
mod payload;
mod read;
mod replica_output;
mod resolver;
mod serve;
mod tls;
mod transport;
mod turn_output;
mod unsent_output;

pub use event_loop::{EventLoop, NetLimits, SIGNAL_TOKEN};
pub use listener::{Listener, TcpOptions, check_mptcp, listen_tcp, listen_unix};
pub use payload::{Payload, PayloadPart};
