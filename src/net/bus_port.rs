//! State of the port of the cluster's bus between turns.

use super::listener::Listener;

/// The tokens of its listeners begin here; those of the metrics port come before.
pub(super) const FIRST_BUS: usize = 80;
/// State of the port between turns.
#[derive(Default)]
pub struct BusPort {
    pub(super) listeners: Vec<Listener>,
    pub(super) ready: Vec<usize>,
}
