//! Routing (`getNodeByQuery`): whether a request's keys are served by this node, and what the client is told otherwise.
//!
//! ```text
//! keys ─▶ one slot? ─▶ an owner? ─▶ cluster in order? ─▶ moving: are the keys here? ─▶ this node, or a replica that may be read
//!         CROSSSLOT    CLUSTERDOWN  CLUSTERDOWN          ASK, TRYAGAIN                 MOVED
//! ```

use crate::base::crc::key_slot;
use crate::base::ids::ClientId;
use crate::base::number;
use crate::engine::Engine;
use crate::engine::clients::session::{Peer, Role, state};
use crate::engine::command::keys;
use crate::engine::command::spec::{CommandSpec, KeyAt, flag};
use crate::engine::command::table::CommandId;
use crate::engine::metrics::cluster_compat::crossing_option;
use crate::resp::{Args, CommandError};
use crate::services::cluster::{NodeRef, Viewer};
use crate::services::config::ClusterEndpointType;

/// Why a request isn't served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Misrouted {
    /// Another node serves the slot.
    Moved { slot: u16, node: NodeRef },
    /// The slot is moving to another node, which has the keys already, or is to get them.
    Ask { slot: u16, node: NodeRef },
    /// The keys are of several slots.
    CrossSlot,
    /// The slot is moving, and some of the keys are at each node.
    TryAgain,
    /// The cluster isn't in order.
    Down,
    /// It isn't, and only reads are served.
    ReadsOnly,
    /// No node serves the slot.
    Unbound,
}

impl Misrouted {
    /// The error in a script, a text without a code. `name`: the command that the script called.
    pub(in crate::engine) fn in_script(self, name: &str) -> String {
        match self {
            Misrouted::Moved { .. } | Misrouted::Ask { .. } => {
                "Script attempted to access a non local key in a cluster node".into()
            }
            Misrouted::CrossSlot => {
                format!(
                    "Command '{name}' in script attempted to access keys that don't hash to the same slot"
                )
            }
            Misrouted::TryAgain => format!(
                "Unable to execute command '{name}' in script because undeclared keys were accessed during rehashing of the slot"
            ),
            Misrouted::Down => "Script attempted to execute a command while the cluster is down".into(),
            Misrouted::ReadsOnly => {
                "Script attempted to execute a write command while the cluster is down and readonly".into()
            }
            Misrouted::Unbound => "Script attempted to access a slot not served".into(),
        }
    }
}

/// The slot that all routed arguments so far are of, and whether their keys are here.
struct Routed {
    slot: u16,
    first: Box<[u8]>,
    is_migrating: bool,
    is_importing: bool,
    has_several: bool,
    has_present: bool,
    has_missing: bool,
}

/// How the keys of a request are looked at.
#[derive(Clone, Copy)]
struct Look {
    /// The client reads at replicas (READONLY).
    reads_replica: bool,
    /// The selected database.
    db: u32,
    /// It matters whether keys of moving slots are here.
    finds_keys: bool,
}

/// Whether a command works on sharded channels, which have slots as keys have.
fn is_sharded_pubsub(spec: &CommandSpec) -> bool {
    spec.flags & flag::PUBSUB != 0 && !spec.keys.is_empty()
}

impl Engine {
    /// The slot of a request that may run at this node, if it has one. `flags`: those of the command, and of what it would run.
    pub(in crate::engine) fn route(
        &self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        flags: u64,
    ) -> Result<Option<u16>, Misrouted> {
        let session = self.clients.sessions.live(client);
        let mut routed = None;
        let mut is_sharded = false;
        let mut found = Vec::new();
        let reads_replica = session.is(state::READS_REPLICA);
        let mut look = Look { reads_replica, db: session.db, finds_keys: true };
        if id == self.commands.known.exec {
            for (id, request) in session.transaction.iter().flat_map(|transaction| &transaction.queue) {
                let (spec, args) = (self.commands.get(*id).spec, request.as_args());
                is_sharded |= is_sharded_pubsub(spec);
                look.finds_keys = !is_sharded;
                look.db = self.selected(*id, args).unwrap_or(look.db);
                self.add_routed(*id, args, look, (&mut routed, &mut found))?;
            }
        } else {
            let spec = self.commands.get(id).spec;
            if !keys::has_routed(spec) {
                return Ok(None);
            }
            is_sharded = is_sharded_pubsub(spec);
            // Whether the keys of a transaction are here is looked at when it is executed.
            let is_queued = session.is(state::IN_MULTI) && !session.is(state::IN_EXEC);
            look.finds_keys = !is_sharded && !is_queued;
            self.add_routed(id, args, look, (&mut routed, &mut found))?;
        }
        // What has no keys is served everywhere.
        let Some(routed) = routed else { return Ok(None) };
        self.judge(client, id, flags, is_sharded, &routed)?;
        Ok(Some(routed.slot))
    }

    /// The database that a request of a transaction selects, if it does.
    fn selected(&self, id: CommandId, args: Args<'_>) -> Option<u32> {
        let db = args.get(1).filter(|_| id == self.commands.known.select).and_then(number::parse_i64)?;
        u32::try_from(db).ok().filter(|db| (*db as usize) < self.data.keyspace.count())
    }

    /// Whether a request has keys of another database than the one that is selected: their slot can't be moved meanwhile.
    fn crosses_databases(&self, id: CommandId, args: Args<'_>, db: u32) -> bool {
        let known = &self.commands.known;
        let is_other = |word| number::parse_i64(word).is_none_or(|value| value != i64::from(db));
        let mut words = (3..args.len()).map(|index| args.at(index));
        let mut other = || {
            while let Some(word) = words.next() {
                if word.eq_ignore_ascii_case(b"db") && words.next().is_some_and(is_other) {
                    return true;
                }
            }
            false
        };
        id == known.move_key || id == known.copy && other()
    }

    /// Adds the keys and sharded channels of a request to those before.
    fn add_routed(
        &self,
        id: CommandId,
        args: Args<'_>,
        look: Look,
        (routed, found): (&mut Option<Routed>, &mut Vec<KeyAt>),
    ) -> Result<(), Misrouted> {
        keys::find_routed(self.commands.get(id).spec, args, found);
        let Some(mode) = &self.cluster else { return Ok(()) };
        let topology = &mode.service.topology;
        for at in &*found {
            let key = args.at(at.index);
            let slot = key_slot(key);
            let routed = match routed {
                Some(routed) if routed.slot != slot => return Err(Misrouted::CrossSlot),
                Some(routed) => {
                    routed.has_several |= *routed.first != *key;
                    routed
                }
                None => {
                    let Some(owner) = topology.owner(slot) else { return Err(Misrouted::Unbound) };
                    // A replica knows of its primary's moving slots.
                    let serves = topology.myself().is_primary() || look.reads_replica;
                    let is_ours = owner == topology.primary_of(topology.me());
                    let is_migrating = serves && is_ours && topology.migrating(slot).is_some();
                    routed.insert(Routed {
                        slot,
                        first: key.into(),
                        is_migrating,
                        is_importing: serves && !is_migrating && topology.importing(slot).is_some(),
                        has_several: false,
                        has_present: false,
                        has_missing: false,
                    })
                }
            };
            if !routed.is_migrating && !routed.is_importing {
                continue;
            }
            if self.crosses_databases(id, args, look.db) {
                return Err(Misrouted::TryAgain);
            }
            if look.finds_keys {
                let is_here = self.data.keyspace.database(look.db as usize).has(key, self.frame.now);
                routed.has_present |= is_here;
                routed.has_missing |= !is_here;
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        client: ClientId,
        id: CommandId,
        flags: u64,
        is_sharded: bool,
        routed: &Routed,
    ) -> Result<(), Misrouted> {
        let Some(mode) = &self.cluster else { return Ok(()) };
        let (service, topology, slot) = (&mode.service, &mode.service.topology, routed.slot);
        let writes = flags & flag::WRITE != 0;
        if !service.is_ok() {
            match () {
                () if is_sharded && !self.config.cluster_allow_pubsubshard_when_down => {
                    return Err(Misrouted::Down);
                }
                () if is_sharded => {}
                () if !self.config.cluster_allow_reads_when_down => return Err(Misrouted::Down),
                () if writes => return Err(Misrouted::ReadsOnly),
                () => {}
            }
        }
        let is_moving = routed.is_migrating || routed.is_importing;
        if is_moving && id == self.commands.known.migrate && topology.myself().is_primary() {
            return Ok(());
        }
        if routed.is_migrating && routed.has_missing {
            let target = topology.migrating(slot).filter(|_| !routed.has_present);
            return Err(target.map_or(Misrouted::TryAgain, |node| Misrouted::Ask { slot, node }));
        }
        let session = self.clients.sessions.live(client);
        if routed.is_importing && (session.is(state::ASKING) || flags & flag::ASKING != 0) {
            return if routed.has_several && routed.has_missing { Err(Misrouted::TryAgain) } else { Ok(()) };
        }
        let Some(owner) = topology.owner(slot) else { return Err(Misrouted::Unbound) };
        let may_read = (session.is(state::READS_REPLICA) || is_sharded) && !writes;
        if owner == topology.me() || may_read && topology.myself().primary() == Some(owner) {
            return Ok(());
        }
        Err(Misrouted::Moved { slot, node: owner })
    }

    /// Whether a request of a client is served here; the error otherwise. `flags`: see [`Self::route`].
    pub(in crate::engine) fn check_route(
        &self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        flags: u64,
    ) -> Result<(), CommandError> {
        if self.cluster.is_none() || self.clients.sessions.live(client).role != Role::Normal {
            return Ok(());
        }
        self.route(client, id, args, flags).map(drop).map_err(|reason| self.misrouted(client, reason))?;
        self.check_sort_patterns(id, args)
    }

    /// Whether SORT's BY and GET lead to keys of the sorted key's slot only. `Ok` for any other command.
    pub(in crate::engine) fn check_sort_patterns(
        &self,
        id: CommandId,
        args: Args<'_>,
    ) -> Result<(), CommandError> {
        let known = &self.commands.known;
        if id != known.sort && id != known.sort_ro {
            return Ok(());
        }
        crossing_option(args).map_or(Ok(()), |option| {
            Err(CommandError::new(format!(
                "ERR {option} option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots."
            )))
        })
    }

    /// What a client is told.
    fn misrouted(&self, client: ClientId, reason: Misrouted) -> CommandError {
        match reason {
            Misrouted::CrossSlot => {
                CommandError::text("CROSSSLOT Keys in request don't hash to the same slot")
            }
            Misrouted::TryAgain => {
                CommandError::text("TRYAGAIN Multiple keys request during rehashing of slot")
            }
            Misrouted::Down => CommandError::text("CLUSTERDOWN The cluster is down"),
            Misrouted::ReadsOnly => {
                CommandError::text("CLUSTERDOWN The cluster is down and only accepts read commands")
            }
            Misrouted::Unbound => CommandError::text("CLUSTERDOWN Hash slot not served"),
            Misrouted::Moved { slot, node } => self.redirection_to("MOVED", slot, node, client),
            Misrouted::Ask { slot, node } => self.redirection_to("ASK", slot, node, client),
        }
    }

    fn redirection_to(&self, word: &str, slot: u16, node: NodeRef, client: ClientId) -> CommandError {
        let (host, port) = self.endpoint(node, client);
        CommandError::new(format!("{word} {slot} {host}:{port}"))
    }

    /// Where a client reaches a node: the address of `cluster-preferred-endpoint-type`, and the port for TLS if the client speaks it.
    pub fn endpoint(&self, node: NodeRef, client: ClientId) -> (String, u16) {
        let Some(mode) = &self.cluster else { return Default::default() };
        let (node, viewer) = (mode.service.topology.node(node), self.viewer(client));
        let host = match self.config.cluster_preferred_endpoint_type {
            ClusterEndpointType::Ip => node.client_ip(viewer).to_string(),
            ClusterEndpointType::Hostname if node.announced.hostname.is_empty() => "?".into(),
            ClusterEndpointType::Hostname => node.announced.hostname.clone(),
            ClusterEndpointType::UnknownEndpoint => String::new(),
        };
        (host, node.client_port(viewer))
    }

    /// How a client sees the cluster; one that has no connection sees it as the nodes do.
    pub fn viewer(&self, client: ClientId) -> Viewer {
        match self.clients.sessions.get(client).map(|session| &session.peer) {
            Some(Peer::Tcp(peer, local)) => Viewer {
                is_tls: self.config.tls_port != 0 && local.port() == self.config.tls_port,
                is_ipv6: peer.ip().to_canonical().is_ipv6(),
            },
            _ => Viewer::default(),
        }
    }

    /// Clients that wait for keys of slots that this node doesn't serve any more are told where they are served.
    pub(super) fn redirect_waiting(&mut self) {
        let waiting: Vec<ClientId> = self
            .clients
            .sessions
            .iter()
            .filter(|session| session.waiting.is_some())
            .map(|session| session.client)
            .collect();
        for client in waiting {
            if let Some(error) = self.redirection_of_waiting(client) {
                self.unblock(client, Some(&error));
            }
        }
    }

    /// What a client that waits for keys is told, if this node of a cluster doesn't serve them to it any more.
    pub(in crate::engine) fn redirection_of_waiting(&self, client: ClientId) -> Option<CommandError> {
        let mode = self.cluster.as_ref()?;
        let session = self.clients.sessions.live(client);
        let waiting = session.waiting.as_ref().filter(|_| session.role == Role::Normal)?;
        // All keys are of one slot.
        let key = waiting.wait.keys.first()?;
        if !mode.service.is_ok() {
            return Some(self.misrouted(client, Misrouted::Down));
        }
        let (topology, slot) = (&mode.service.topology, key_slot(key));
        if topology.is_mine(slot) || topology.importing(slot).is_some() {
            return None;
        }
        let Some(owner) = topology.owner(slot) else {
            return Some(self.misrouted(client, Misrouted::Unbound));
        };
        let request = waiting.request.as_args();
        let command = self.commands.resolve(request.at(0), request.get(1)).ok();
        let writes = command.is_none_or(|id| self.commands.get(id).flags & flag::WRITE != 0);
        let may_read =
            session.is(state::READS_REPLICA) && !writes && topology.myself().primary() == Some(owner);
        (!may_read).then(|| self.misrouted(client, Misrouted::Moved { slot, node: owner }))
    }
}
