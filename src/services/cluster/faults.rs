//! Faults that tests ask for (DEBUG's cluster subcommands): messages dropped, links closed, nodes left alone.

use super::ids::{BusLink, NodeRef};
use super::{Cluster, Level};

/// Which messages are dropped as they come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dropped {
    #[default]
    None,
    All,
    /// Those of this type, by its number on the bus.
    Type(u16),
}

/// See the module's description.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub dropped: Dropped,
    /// The link of a dropped message is closed.
    pub closes_links: bool,
    pub no_random_pings: bool,
    pub no_connections: bool,
}

/// Which links of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    To,
    From,
    Both,
}

impl Cluster {
    /// Whether a message is dropped; the link may be closed then.
    pub(super) fn drops(&mut self, link: BusLink, frame: &[u8]) -> bool {
        let kind = super::wire::type_of(frame);
        let is_dropped = match self.faults.dropped {
            Dropped::None => false,
            Dropped::All => true,
            Dropped::Type(number) => kind == number,
        };
        if is_dropped {
            self.log(
                Level::Warning,
                format!("Dropping packet of type {kind} that matches debug drop filter"),
            );
            if self.faults.closes_links {
                self.log(Level::Warning, format!("Closing link for matching packet type {kind}"));
                self.close_link(link);
            }
        }
        is_dropped
    }

    /// Closes links to or from a node (DEBUG CLUSTERLINK KILL).
    pub fn close_links_of(&mut self, at: NodeRef, direction: Direction) {
        let node = self.topology.node(at);
        let outbound = node.link.filter(|_| direction != Direction::From);
        let inbound = node.inbound.filter(|_| direction != Direction::To);
        outbound.into_iter().chain(inbound).for_each(|link| self.close_link(link));
    }
}
