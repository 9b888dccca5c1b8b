//! A session: what the engine knows of a client. Its socket and buffers are `net`'s.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::base::ids::ClientId;
use crate::engine::clients::blocked::Waiting;
pub use crate::engine::clients::state;
use crate::engine::clients::transaction::Transaction;
use crate::engine::command::table::CommandId;
use crate::services::acl::{self, User};
use crate::services::quota::Account;
use crate::services::tracking::Tracker;

/// The peer: the other end of a client's connection.
#[derive(Clone, Debug, Default)]
pub enum Peer {
    /// Address of the client, and the local one it came to.
    Tcp(SocketAddr, SocketAddr),
    /// Path of the socket.
    Unix(Box<str>),
    /// No connection: the engine's own sessions and those of tests.
    #[default]
    Internal,
}

impl Peer {
    /// As CLIENT LIST shows `addr`.
    pub fn address(&self) -> String {
        match self {
            Peer::Tcp(addr, _) => addr.to_string(),
            Peer::Unix(path) => format!("{path}:0"),
            Peer::Internal => "?:0".into(),
        }
    }

    /// The address alone.
    pub fn ip(&self) -> String {
        match self {
            Peer::Tcp(addr, _) => addr.ip().to_canonical().to_string(),
            Peer::Unix(path) => path.to_string(),
            Peer::Internal => String::new(),
        }
    }

    /// The address of a TCP peer.
    pub fn socket_ip(&self) -> Option<IpAddr> {
        match self {
            Peer::Tcp(addr, _) => Some(addr.ip()),
            Peer::Unix(_) | Peer::Internal => None,
        }
    }

    /// As MONITOR names the sender of a request.
    pub fn source(&self) -> String {
        match self {
            Peer::Unix(path) => format!("unix:{path}"),
            _ => self.address(),
        }
    }

    /// As CLIENT LIST shows `laddr`.
    pub fn local_address(&self) -> String {
        match self {
            Peer::Tcp(_, local) => local.to_string(),
            Peer::Unix(path) => format!("{path}:0"),
            Peer::Internal => "?:0".into(),
        }
    }
}

/// What a session's requests come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Role {
    #[default]
    Normal,
    /// Replays a log: nothing is refused, nothing is propagated.
    Internal,
    /// The stream of this server's primary: the same. Its requests get no replies.
    Primary,
    /// A node of the cluster that sends this one slots: nothing is refused, what it changes is propagated. Its requests get no
    /// replies.
    Import,
}

impl Role {
    /// Whether it replays what is propagated already.
    #[inline]
    pub fn replays(self) -> bool {
        matches!(self, Role::Internal | Role::Primary)
    }

    /// Whether its requests come from another server, which has accepted them and waits for no reply.
    #[inline]
    pub fn is_fed(self) -> bool {
        matches!(self, Role::Primary | Role::Import)
    }
}

/// Subscriptions of a client.
#[derive(Debug, Default)]
pub struct Subscriptions {
    pub channels: HashSet<Box<[u8]>>,
    pub patterns: HashSet<Box<[u8]>>,
    pub shard: HashSet<Box<[u8]>>,
}

/// Numbers that `net` keeps up to date for CLIENT LIST.
#[derive(Clone, Copy, Debug, Default)]
pub struct IoStats {
    /// Input of an incomplete request, bytes: what is unparsed, what is parsed, and the allocation both lie in.
    pub query_unparsed: u64,
    pub query_parsed: u64,
    pub query_capacity: u64,
    /// Unsent replies, bytes.
    pub output: u64,
    /// Of the command stream, what a replica hasn't been sent: kept once for all of them, so it is no memory of the session.
    pub stream_lag: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub commands: u64,
}

/// A client, without its socket.
#[derive(Debug)]
pub struct Session {
    pub client: ClientId,
    /// Ascending from 1: CLIENT ID.
    pub id: u64,
    /// `net`'s own number for the connection.
    pub conn_index: usize,
    pub fd: i32,
    pub state: u32,
    pub db: u32,
    pub resp3: bool,
    pub role: Role,
    /// The client's last write is among the bytes of the command stream before this offset, or the next ones: what is durable up
    /// to here has it (`woff`).
    pub write_offset: u64,
    pub last_command: Option<CommandId>,
    pub connected_ms: u64,
    pub active_ms: u64,
    pub io: IoStats,
    /// Share of the memory of all clients as last added up, bytes.
    pub counted_memory: usize,
    pub peer: Peer,
    /// `None`: the user `default`.
    pub user: Option<Arc<User>>,
    pub name: Option<Box<[u8]>>,
    pub lib_name: Option<Box<[u8]>>,
    pub lib_version: Option<Box<[u8]>>,
    pub subscriptions: Option<Box<Subscriptions>>,
    pub transaction: Option<Box<Transaction>>,
    pub waiting: Option<Box<Waiting>>,
    /// How it tracks (CLIENT TRACKING).
    pub tracker: Option<Box<Tracker>>,
    /// What its requests count for.
    pub quota: Option<Box<Account>>,
}

impl Session {
    /// What WAIT and WAITAOF wait for: the offset of the command stream behind the client's writes. Of a transaction that is
    /// running it has none yet.
    pub fn awaited_offset(&self) -> u64 {
        let running = self.transaction.as_ref().filter(|_| self.is(state::IN_EXEC));
        running.map_or(self.write_offset, |transaction| transaction.written_before)
    }

    /// The name of the user whose rights it has; `None`: it is a primary, which has all.
    pub fn user_name(&self) -> Option<&[u8]> {
        let name = || self.user.as_ref().map_or(acl::DEFAULT, |user| &*user.name);
        (self.role != Role::Primary).then(name)
    }

    #[inline]
    pub fn is(&self, bits: u32) -> bool {
        self.state & bits != 0
    }

    pub fn set(&mut self, bits: u32, on: bool) {
        if on { self.state |= bits } else { self.state &= !bits }
    }

    /// A request is answered: what CLIENT REPLY SKIP meant by the next one.
    pub fn skip_next(&mut self) {
        self.set(state::REPLY_SKIP, self.is(state::REPLY_SKIP_NEXT));
        self.set(state::REPLY_SKIP_NEXT, false);
    }

    /// Channels, patterns and shard channels together.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |s| s.channels.len() + s.patterns.len() + s.shard.len())
    }
}

/// All sessions, by [`ClientId`].
#[derive(Default)]
pub struct Sessions {
    slots: slab::Slab<Session>,
    generation: u32,
    next_id: u64,
}

impl Sessions {
    /// Opens a session.
    pub fn open(&mut self, conn_index: usize, fd: i32, peer: Peer, role: Role, now: u64) -> ClientId {
        self.generation = self.generation.wrapping_add(1);
        self.next_id += 1;
        let entry = self.slots.vacant_entry();
        let client = ClientId { index: entry.key() as u32, generation: self.generation };
        entry.insert(Session {
            client,
            id: self.next_id,
            conn_index,
            fd,
            state: 0,
            db: 0,
            resp3: false,
            role,
            write_offset: 0,
            last_command: None,
            connected_ms: now,
            active_ms: now,
            io: IoStats::default(),
            counted_memory: 0,
            peer,
            user: None,
            name: None,
            lib_name: None,
            lib_version: None,
            subscriptions: None,
            transaction: None,
            waiting: None,
            tracker: None,
            quota: None,
        });
        client
    }

    /// Closes a session and hands it out; `None` if it was closed before.
    pub fn close(&mut self, client: ClientId) -> Option<Session> {
        self.get(client)?;
        Some(self.slots.remove(client.index as usize))
    }

    #[inline]
    pub fn get(&self, client: ClientId) -> Option<&Session> {
        self.slots.get(client.index as usize).filter(|session| session.client == client)
    }

    #[inline]
    pub fn get_mut(&mut self, client: ClientId) -> Option<&mut Session> {
        self.slots.get_mut(client.index as usize).filter(|session| session.client == client)
    }

    /// The session of an id that is known to be live: only for the client being served.
    #[inline]
    pub fn live(&self, client: ClientId) -> &Session {
        self.get(client).expect("the client being served has a session")
    }

    /// As [`Self::live`], to change.
    #[inline]
    pub fn live_mut(&mut self, client: ClientId) -> &mut Session {
        self.get_mut(client).expect("the client being served has a session")
    }

    /// Sessions in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.slots.iter().map(|(_, session)| session)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.slots.iter_mut().map(|(_, session)| session)
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl Peer {
    /// Whether the client came from this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Peer::Tcp(addr, _) => addr.ip().to_canonical().is_loopback(),
            Peer::Unix(_) | Peer::Internal => true,
        }
    }
}

impl Session {
    /// CLIENT ID of the client that gets the messages of this one's tracking; 0: it gets them itself, -1: it doesn't track.
    pub fn redirect_id(&self) -> i64 {
        let tracker = self.tracker.as_ref();
        tracker.map_or(-1, |tracker| tracker.redirect.map_or(0, |(_, id)| id as i64))
    }
}
