//! The replicas of this server: what each has said of itself, how far it is, and which of them have an offset.

use std::collections::BTreeMap;

use crate::base::ids::ClientId;
use crate::services::cluster::NodeId;
use crate::services::command_stream::ReaderId;

/// Where a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has introduced itself (REPLCONF), but not asked for anything yet.
    Introduced,
    /// It waits for a snapshot to begin.
    AwaitsSnapshot,
    /// A snapshot for it is written to a file, which it will get.
    AwaitsFile,
    /// It is being sent a snapshot.
    Payload,
    /// It is being sent what it lacks of the stream from the log's files; its reader is where that ends.
    Log,
    /// It has been sent the snapshot, and says so with its first acknowledgement: one that looks for the snapshot's end among the
    /// bytes can't tell the stream from it.
    AwaitsAck,
    /// It gets the stream.
    Online,
}

/// A replica, or a client that may become one.
#[derive(Clone, Debug)]
pub struct Replica {
    pub stage: Stage,
    /// Which one it was to ask for the data.
    number: u64,
    /// Where it is in the stream, from the beginning of its snapshot on.
    pub reader: Option<ReaderId>,
    /// Its snapshot is a file.
    pub from_file: bool,
    /// It lags so far that what it lacks is not kept for it, but is to be read from the log from here on.
    pub from_log: Option<u64>,
    /// Its port for clients, and its address if it announces one.
    pub port: u16,
    pub ip: Option<String>,
    /// The address that it has come from: also once its session has ended (CLIENT KILL).
    pub peer_ip: String,
    /// It finds the end of a snapshot of unknown length by a mark (`capa eof`).
    pub finds_mark: bool,
    /// It understands `+CONTINUE` with an id (`capa psync2`).
    pub psync2: bool,
    /// It is this server's (`capa redloop`): it reads whatever this one writes.
    pub is_own: bool,
    /// Major version that it has announced; only Valkey's replicas do, and this server's, which announce one of Valkey's.
    pub version: Option<u32>,
    /// As a node of the cluster; those of Redis, and of Valkey before 9, don't say it.
    pub cluster_node: Option<NodeId>,
    /// It wants the snapshot alone.
    pub rdb_only: bool,
    /// Of the snapshot it wants the functions alone.
    pub functions_only: bool,
    /// It asked by SYNC: no line comes before the snapshot, and it acknowledges nothing.
    pub old_protocol: bool,
    /// What it has acknowledged: executed, and durable in its log.
    pub ack_offset: u64,
    pub log_ack_offset: u64,
    /// It has acknowledged its snapshot before it was noted here that all of it is sent.
    pub acks_early: bool,
    /// When it was last heard of, or began to wait, by the steady clock, ms.
    pub ack_ms: u64,
}

impl Replica {
    fn new(peer_ip: String, now: u64) -> Self {
        Replica {
            stage: Stage::Introduced,
            number: 0,
            reader: None,
            from_file: false,
            from_log: None,
            port: 0,
            ip: None,
            peer_ip,
            finds_mark: false,
            psync2: false,
            is_own: false,
            version: None,
            cluster_node: None,
            rdb_only: false,
            functions_only: false,
            old_protocol: false,
            ack_offset: 0,
            log_ack_offset: 0,
            acks_early: false,
            ack_ms: now,
        }
    }

    /// The address under which it is shown: the one that it announces, or else the one that it has come from.
    pub fn shown_ip(&self) -> String {
        self.ip.as_ref().unwrap_or(&self.peer_ip).clone()
    }

    /// Whether it counts as a replica: it has asked for the data.
    pub fn is_attached(&self) -> bool {
        self.stage != Stage::Introduced
    }

    /// Whether it lacks nothing but what the backlog keeps for it.
    fn is_settled(&self) -> bool {
        self.stage == Stage::Online || self.rdb_only || !self.is_attached()
    }

    /// Whether it has the data, and gets the stream.
    pub fn is_online(&self) -> bool {
        matches!(self.stage, Stage::AwaitsAck | Stage::Log | Stage::Online)
    }

    /// As INFO names its stage.
    pub fn state_name(&self) -> &'static str {
        match self.stage {
            Stage::Introduced | Stage::AwaitsSnapshot | Stage::AwaitsFile => "wait_bgsave",
            Stage::Payload if !self.from_file => "wait_bgsave",
            Stage::Payload => "send_bulk",
            Stage::AwaitsAck | Stage::Log | Stage::Online => "online",
        }
    }

    /// As INFO shows its lag: only one that gets the stream has any.
    pub fn shown_lag(&self, now: u64) -> u64 {
        if self.is_online() { self.lag(now) } else { 0 }
    }

    /// Seconds since it was last heard of.
    fn lag(&self, now: u64) -> u64 {
        now.saturating_sub(self.ack_ms) / 1000
    }
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Replicas {
    replicas: BTreeMap<ClientId, Replica>,
    /// How many have asked for the data, and how many ever have.
    attached: usize,
    ever_attached: u64,
}

impl Replicas {
    pub fn get(&self, client: ClientId) -> Option<&Replica> {
        self.replicas.get(&client)
    }

    /// The entry of a client that introduces itself.
    pub(super) fn introduce(
        &mut self,
        client: ClientId,
        peer_ip: impl FnOnce() -> String,
        now: u64,
    ) -> &mut Replica {
        self.replicas.entry(client).or_insert_with(|| Replica::new(peer_ip(), now))
    }

    pub(super) fn get_mut(&mut self, client: ClientId) -> Option<&mut Replica> {
        self.replicas.get_mut(&client)
    }

    /// Moves a client to a stage.
    pub(super) fn set_stage(&mut self, client: ClientId, stage: Stage) {
        if let Some(replica) = self.replicas.get_mut(&client) {
            if !replica.is_attached() {
                self.ever_attached += 1;
                replica.number = self.ever_attached;
            }
            replica.stage = stage;
        }
        self.attached = self.replicas.values().filter(|replica| replica.is_attached()).count();
    }

    pub(super) fn remove(&mut self, client: ClientId) -> Option<Replica> {
        let gone = self.replicas.remove(&client)?;
        self.attached -= usize::from(gone.is_attached());
        Some(gone)
    }

    /// Those that have asked for the data, in no order that means anything.
    pub fn attached(&self) -> impl Iterator<Item = (ClientId, &Replica)> {
        self.replicas
            .iter()
            .filter(|(_, replica)| replica.is_attached())
            .map(|(client, replica)| (*client, replica))
    }

    /// The same, in the order in which they have asked.
    pub fn in_order(&self) -> Vec<(ClientId, &Replica)> {
        let mut replicas: Vec<_> = self.attached().collect();
        replicas.sort_unstable_by_key(|(_, replica)| replica.number);
        replicas
    }

    /// Whether all of them get the stream from the backlog.
    pub fn are_settled(&self) -> bool {
        self.replicas.values().all(Replica::is_settled)
    }

    /// Whether one of them is to be sent what the log has now.
    pub fn need_log(&self) -> bool {
        self.replicas.values().any(|replica| replica.from_log.is_some())
    }

    /// How many those are.
    pub fn len(&self) -> usize {
        self.attached
    }

    pub fn is_empty(&self) -> bool {
        self.attached == 0
    }

    /// The clients in a stage.
    pub fn in_stage(&self, stage: Stage) -> Vec<ClientId> {
        let clients = self.replicas.iter().filter(|(_, replica)| replica.stage == stage);
        clients.map(|(client, _)| *client).collect()
    }

    /// How many have executed everything before an offset; with `logged`, have it durably in their logs.
    pub fn count_at(&self, offset: u64, logged: bool) -> usize {
        let acked = |replica: &Replica| if logged { replica.log_ack_offset } else { replica.ack_offset };
        let online = self.replicas.values().filter(|replica| replica.stage == Stage::Online);
        online.filter(|replica| acked(replica) >= offset).count()
    }

    /// Whether so many were heard of within the last `max_lag` seconds.
    pub fn has_good(&self, wanted: usize, max_lag: u64, now: u64) -> bool {
        self.good(max_lag, now).take(wanted).count() == wanted
    }

    /// How many were heard of within the last `max_lag` seconds (`min-replicas-max-lag`).
    pub fn count_good(&self, max_lag: u64, now: u64) -> usize {
        self.good(max_lag, now).count()
    }

    fn good(&self, max_lag: u64, now: u64) -> impl Iterator<Item = &Replica> {
        self.replicas.values().filter(move |replica| replica.is_online() && replica.lag(now) <= max_lag)
    }
}
