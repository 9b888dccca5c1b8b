//! Links: outbound connections, which other parts of the engine open, write to and close; their bytes come as events. Those of
//! the cluster's bus are accepted as well.
//!
//! ```text
//! owner ── open, send, pause, close ──▶ actions ──▶ net: resolve, connect, write
//! owner ◀── connected, received, closed ◀────────── net
//! ```
//!
//! Time-outs and further attempts are the owner's. A link that has become a client (a primary whose stream is executed)
//! is a session's connection from then on.

use std::collections::BTreeMap;

use super::clients::session::{Peer, Role};
use super::{Engine, ServerAction};
use crate::base::ids::{ClientId, LinkId};

/// Which part of the engine a link belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkOwner {
    /// Replication: to the primary.
    Primary,
    /// MIGRATE: to a server that keys are moved to.
    Migrate,
    /// Sentinel mode: to instances and other sentinels.
    Sentinel,
    /// Cluster mode: to and from other nodes.
    Bus,
    /// Slot migration: to the target of slots that leave this node, and to the source of slots that come here.
    SlotExport,
    SlotImport,
}

/// What happened to a link.
#[derive(Clone, Debug)]
pub enum LinkEvent<'a> {
    /// It is connected: `conn_index` and `fd` are the server's names for it.
    Connected { conn_index: usize, fd: i32, peer: Peer },
    /// The peer has sent this.
    Received(&'a [u8]),
    /// It has ended, for this reason. No event follows.
    Closed(&'a str),
}

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name or an address.
    pub host: String,
    pub port: u16,
    /// The local address to bind to (`bind-source-addr`).
    pub source: Option<String>,
    /// What the link is for.
    pub owner: LinkOwner,
    /// Whether the peer speaks TLS.
    pub tls: bool,
    /// Whether several paths to the peer are used where it can (multipath TCP).
    pub mptcp: bool,
}

/// What the server does with a link.
#[derive(Clone, Debug)]
pub enum LinkAction {
    Open(Target),
    /// Only when it is connected.
    Send(Vec<u8>),
    /// Whether nothing is read for a while.
    Pause(bool),
    Close,
    /// From now on it is this client's connection, of which `unread` has been read already.
    Adopt {
        client: ClientId,
        unread: Vec<u8>,
    },
}

/// The links that are open.
#[derive(Debug, Default)]
pub struct Links {
    last: u64,
    open: BTreeMap<LinkId, Link>,
}

#[derive(Debug)]
struct Link {
    owner: LinkOwner,
    /// Once it is connected.
    connection: Option<(usize, i32, Peer)>,
}

impl Engine {
    /// Opens a link to a host, a name or an address.
    pub fn open_link(&mut self, owner: LinkOwner, host: &str, port: u16) -> LinkId {
        let link = self.register_link(owner);
        let source = self.config.bind_source_addr.clone().filter(|source| !source.is_empty());
        let tls = match owner {
            LinkOwner::Primary | LinkOwner::Sentinel | LinkOwner::SlotExport | LinkOwner::SlotImport => {
                self.config.tls_replication
            }
            LinkOwner::Migrate | LinkOwner::Bus => self.config.tls_cluster,
        };
        let mptcp = owner == LinkOwner::Primary && self.config.repl_mptcp;
        let target = Target { host: host.into(), port, source, owner, tls, mptcp };
        self.link_action(link, LinkAction::Open(target));
        link
    }

    /// A link that is opened, or was accepted.
    pub(in crate::engine) fn register_link(&mut self, owner: LinkOwner) -> LinkId {
        self.links.last += 1;
        let link = LinkId(self.links.last);
        self.links.open.insert(link, Link { owner, connection: None });
        link
    }

    /// The port that other servers reach this one at.
    pub(in crate::engine) fn port_of_links(&self) -> u16 {
        match self.config.tls_port {
            port if port != 0 && self.config.tls_replication => port,
            _ => self.info.port,
        }
    }

    /// Sends bytes, behind what was sent before; the link is connected.
    pub fn send_on_link(&mut self, link: LinkId, bytes: Vec<u8>) {
        self.link_action(link, LinkAction::Send(bytes));
    }

    /// Whether nothing is read for a while.
    pub fn pause_link(&mut self, link: LinkId, paused: bool) {
        self.link_action(link, LinkAction::Pause(paused));
    }

    /// Closes a link; no event follows.
    pub fn close_link(&mut self, link: LinkId) {
        if self.links.open.remove(&link).is_some() {
            self.link_action(link, LinkAction::Close);
        }
    }

    /// Makes a connected link the connection of a new session, whose requests are what comes from now on, `unread` before it. `None`
    /// if it isn't connected.
    pub fn adopt_link(&mut self, link: LinkId, role: Role, unread: &[u8]) -> Option<ClientId> {
        self.links.open.get(&link)?.connection.as_ref()?;
        let (conn_index, fd, peer) = self.links.open.remove(&link)?.connection?;
        let client = self.clients.sessions.open(conn_index, fd, peer, role, self.frame.now);
        self.link_action(link, LinkAction::Adopt { client, unread: unread.to_vec() });
        Some(client)
    }

    fn link_action(&mut self, link: LinkId, action: LinkAction) {
        self.actions.push_back(ServerAction::Link(link, action));
    }

    /// Hands an event to the link's owner.
    pub fn link_event(&mut self, link: LinkId, event: LinkEvent<'_>) {
        let Some(open) = self.links.open.get_mut(&link) else { return };
        let owner = open.owner;
        match &event {
            LinkEvent::Connected { conn_index, fd, peer } => {
                open.connection = Some((*conn_index, *fd, peer.clone()));
            }
            LinkEvent::Received(_) => {}
            LinkEvent::Closed(_) => drop(self.links.open.remove(&link)),
        }
        match owner {
            LinkOwner::Primary => self.primary_link_event(link, event),
            LinkOwner::Migrate => self.migrate_link_event(link, event),
            LinkOwner::Sentinel => self.sentinel_link_event(link, event),
            LinkOwner::Bus => self.bus_link_event(link, event),
            LinkOwner::SlotExport => self.export_link_event(link, event),
            LinkOwner::SlotImport => self.import_link_event(link, event),
        }
    }

    /// The socket of a link has taken some of what was to be sent; `unsent` bytes are left. What is asked of the server in return is
    /// done in the next turn.
    pub fn link_sent(&mut self, link: LinkId, unsent: usize) {
        match self.links.open.get(&link).map(|open| open.owner) {
            Some(LinkOwner::Migrate) => self.migrate_link_sent(link, unsent),
            Some(LinkOwner::Bus) => self.bus_link_sent(link, unsent),
            Some(
                LinkOwner::Primary | LinkOwner::Sentinel | LinkOwner::SlotExport | LinkOwner::SlotImport,
            )
            | None => {}
        }
    }
}
