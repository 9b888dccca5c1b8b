//! State of the metrics port between turns.

use super::listener::Listener;
use crate::services::http::Request;

/// The tokens of its listeners begin here; those of clients' listeners come before.
pub(super) const FIRST_HTTP: usize = 40;

/// State of the metrics port.
#[derive(Default)]
pub struct HttpPort {
    pub listeners: Vec<Listener>,
    pub(super) ready: Vec<usize>,
    /// Its connections.
    pub(super) connections: Vec<usize>,
    /// Requests to be answered, by connection.
    pub requests: Vec<(usize, Request)>,
}
