//! The clients as the engine knows them: sessions, what they wait for, watch and listen to, and
//! the messages posted to them.

pub mod blocked;
mod control;
pub mod describe;
pub(in crate::engine) mod key_map;
pub mod memory;
mod publish;
pub mod quotas;
pub mod session;
mod shutdown;
pub mod slow_script;
pub mod state;
mod subscriptions;
pub mod transaction;
pub mod watches;

pub use shutdown::{PendingShutdown, ShutdownOptions};
use slow_script::SlowScript;
use std::collections::BTreeSet;

use crate::base::hash::KeyHasher;
use crate::base::ids::{ClientId, NodeId};
use crate::resp::Outbox;
use crate::services::pubsub::PubSub;
use crate::services::tracking::Tracking;
use blocked::Blocked;
use quotas::ClientQuotas;
use session::Sessions;
use watches::Watches;

/// What pauses clients (CLIENT PAUSE).
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    pub until_ms: u64,
    pub writes_only: bool,
}

/// A published message for other nodes of the cluster.
#[derive(Clone, Debug)]
pub struct BusMessage {
    pub channel: Vec<u8>,
    pub message: Vec<u8>,
    pub is_sharded: bool,
}

/// The clients, and what they wait for, watch and listen to.
pub struct Clients {
    pub sessions: Sessions,
    pub pubsub: PubSub,
    pub watches: Watches,
    pub blocked: Blocked,
    pub tracking: Tracking,
    /// Quotas, and the requests that wait for their turn.
    pub quotas: ClientQuotas,
    pub outbox: Outbox,
    /// The channel of the keyspace event that is being published; kept for its allocation.
    event_channel: Vec<u8>,
    /// What holds back requests: the two below, and a shutdown.
    pub pause: Option<Pause>,
    /// CLIENT PAUSE.
    pub client_pause: Option<Pause>,
    /// A failover is under way.
    pub failover_pause: bool,
    /// Slots change hands.
    pub migration_pause: bool,
    /// A shutdown that waits for replicas.
    pub shutdown: Option<PendingShutdown>,
    /// The signal that asks for a shutdown, until it is obeyed.
    pub shutdown_signal: Option<i32>,
    /// Keys (with their databases) that changed while a pause or a migration held back clients that wait for them: the clients
    /// are tried again when it is over.
    pub(in crate::engine) held_keys: BTreeSet<(u32, Box<[u8]>)>,
    /// One is.
    pub(in crate::engine) releases_held: bool,
    /// Keys (with their databases) that went while clients were being served: the clients that wait for them are next.
    pub(in crate::engine) ready_keys: Vec<(u32, Box<[u8]>)>,
    /// A watch, a wait or a subscription came or went: what the journal records has to be seen to.
    pub(in crate::engine) consumers_changed: bool,
    /// Clients whose answers are made in slices.
    pub(in crate::engine) answered: Vec<ClientId>,
    /// In cluster mode: messages that were published and are still to be sent to other nodes.
    pub bus_messages: Option<Vec<BusMessage>>,
    /// In cluster mode: the secret by which nodes know each other (AUTH "internal connection").
    pub internal_secret: Option<NodeId>,
    /// Clients in MONITOR.
    pub monitors: Vec<ClientId>,
    /// The client of a script that has gone over its time; it is there until that is over.
    pub(in crate::engine) script_client: Option<ClientId>,
    /// What that is.
    pub slow_script: Option<SlowScript>,
    /// Its connection is gone.
    pub(in crate::engine) script_client_left: bool,
    /// Clients with [`state::PRIORITY`].
    pub priority_count: usize,
    /// Bytes that all clients take, if that is limited.
    pub(in crate::engine) memory: usize,
}

impl Clients {
    /// The wall clock was set back by so many ms: waits and pauses last as long as they were to, and a client isn't as idle as if it had
    /// been active in the future.
    pub(in crate::engine) fn set_back(&mut self, by: u64) {
        let earlier = |time: &mut u64| *time = time.saturating_sub(by);
        self.blocked.set_back(by);
        for session in self.sessions.iter_mut() {
            earlier(&mut session.connected_ms);
            earlier(&mut session.active_ms);
            session.waiting.iter_mut().filter_map(|it| it.wait.deadline.as_mut()).for_each(earlier);
        }
        // Pauses without an end keep that.
        for pause in [&mut self.pause, &mut self.client_pause].into_iter().flatten() {
            if pause.until_ms != u64::MAX {
                earlier(&mut pause.until_ms);
            }
        }
        if let Some(shutdown) = &mut self.shutdown {
            earlier(&mut shutdown.until_ms);
        }
    }

    /// No clients; keys are hashed by `hasher`.
    pub(in crate::engine) fn new(hasher: KeyHasher) -> Self {
        Clients {
            sessions: Sessions::default(),
            pubsub: PubSub::new(hasher),
            watches: Watches::new(hasher),
            blocked: Blocked::new(hasher),
            tracking: Tracking::new(hasher),
            quotas: ClientQuotas::default(),
            outbox: Outbox::default(),
            event_channel: Vec::new(),
            pause: None,
            client_pause: None,
            bus_messages: None,
            internal_secret: None,
            failover_pause: false,
            migration_pause: false,
            shutdown: None,
            shutdown_signal: None,
            held_keys: BTreeSet::new(),
            releases_held: false,
            ready_keys: Vec::new(),
            consumers_changed: false,
            answered: Vec::new(),
            monitors: Vec::new(),
            script_client: None,
            slow_script: None,
            script_client_left: false,
            priority_count: 0,
            memory: 0,
        }
    }
}
