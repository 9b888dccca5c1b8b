//! Statistics of the bus: messages and bytes, sent and received, by type.

use super::message::{Body, PingKind};

/// The names of the types of messages, in the order of their numbers.
pub const MESSAGE_TYPES: [&str; 11] = [
    "ping",
    "pong",
    "meet",
    "fail",
    "publish",
    "auth-req",
    "auth-ack",
    "update",
    "mfstart",
    "module",
    "publishshard",
];
const PUBLISH: usize = 4;
const MODULE: usize = 9;
const PUBLISH_SHARD: usize = 10;

/// See the module's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages by type, at the places of [`MESSAGE_TYPES`].
    pub sent: [u64; MESSAGE_TYPES.len()],
    pub received: [u64; MESSAGE_TYPES.len()],
    pub bytes: Bytes,
    /// Of these, those of published messages and of modules.
    pub pubsub_bytes: Bytes,
    pub module_bytes: Bytes,
    /// Links that were closed because too much waited to be sent (`cluster-link-sendbuf-limit`).
    pub links_over_limit: u64,
}

/// Bytes in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    pub sent: u64,
    pub received: u64,
}

impl Stats {
    pub(super) fn count_sent(&mut self, body: &Body, bytes: usize) {
        let (kind, bytes) = (message_type(body), bytes as u64);
        self.sent[kind] += 1;
        self.bytes.sent += bytes;
        if let Some(part) = self.part(kind) {
            part.sent += bytes;
        }
    }

    /// A message has come whose type has this number; also one that isn't handled.
    pub(super) fn count_received(&mut self, kind: u16, bytes: usize) {
        let (kind, bytes) = (usize::from(kind), bytes as u64);
        if kind >= MESSAGE_TYPES.len() {
            return;
        }
        self.received[kind] += 1;
        self.bytes.received += bytes;
        if let Some(part) = self.part(kind) {
            part.received += bytes;
        }
    }

    fn part(&mut self, kind: usize) -> Option<&mut Bytes> {
        match kind {
            PUBLISH | PUBLISH_SHARD => Some(&mut self.pubsub_bytes),
            MODULE => Some(&mut self.module_bytes),
            _ => None,
        }
    }
}

/// The place of a message's type in [`MESSAGE_TYPES`].
fn message_type(body: &Body) -> usize {
    match body {
        Body::Ping { kind: PingKind::Ping, .. } => 0,
        Body::Ping { kind: PingKind::Pong, .. } => 1,
        Body::Ping { kind: PingKind::Meet, .. } => 2,
        Body::Fail(_) => 3,
        Body::Publish { sharded: false, .. } => PUBLISH,
        Body::AuthRequest => 5,
        Body::AuthAck => 6,
        Body::Update { .. } => 7,
        Body::ManualFailoverStart => 8,
        Body::Module => MODULE,
        Body::Publish { sharded: true, .. } => PUBLISH_SHARD,
    }
}
