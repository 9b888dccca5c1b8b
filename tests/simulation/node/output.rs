//! What a simulated server sends after a turn: messages, payloads and the stream, as the real loop's output does.

use redloop::base::ids::ClientId;
use redloop::engine::replication::replicas::Stage;

use super::{DIRECT, Kind, Node, Surroundings};
use crate::network::Event;
use crate::payloads::Step;

impl Node {
    /// Sends the outbox's messages.
    pub(super) fn deliver(&mut self, around: &mut Surroundings<'_>) {
        let posts: Vec<_> =
            self.engine.clients.outbox.iter().map(|(client, bytes)| (client, bytes.to_vec())).collect();
        self.engine.clients.outbox.take_posts(|_, _| ());
        self.engine.clients.outbox.clear();
        for (client, bytes) in posts {
            let Some(session) = self.engine.clients.sessions.get(client) else { continue };
            let wire = session.conn_index;
            if wire >= DIRECT {
                let direct = self.clients.iter_mut().find(|it| it.id == client);
                direct.into_iter().for_each(|it| it.received.extend_from_slice(&bytes));
            } else if self.connections.get(&wire).is_some_and(|connection| !connection.closing) {
                around.network.send(wire, self.number, Event::Bytes(bytes), around.rng);
            }
        }
    }

    /// Sends replicas what they lack, as `net/replica_output.rs` does.
    pub(super) fn feed_replicas(&mut self, around: &mut Surroundings<'_>) {
        let replicas = self.engine.replication.replicas.attached();
        let replicas = replicas.map(|(client, replica)| (client, replica.stage));
        let exports = self.engine.export_payload_clients().map(|client| (client, Stage::Payload));
        let replicas: Vec<_> = replicas.chain(exports).collect();
        for (client, stage) in replicas {
            let Some(session) = self.engine.clients.sessions.get(client) else { continue };
            let wire = session.conn_index;
            let limit = self.engine.settings.output_limits[1].hard;
            let is_beyond = limit > 0
                && self.engine.replica_lag(client) >= limit.max(self.engine.config.repl_backlog_size);
            if self.connections.get(&wire).is_none_or(|it| it.closing) {
                continue;
            }
            let room = around.network.room(wire, self.number).min(1 + around.rng.below(20_000) as usize);
            let ends = match stage {
                _ if is_beyond => true,
                Stage::Payload | Stage::Log => self.feed_payload(wire, client, room, around),
                Stage::Online => self.feed_stream(wire, client, room, around),
                _ => false,
            };
            if ends && let Some(connection) = self.connections.get_mut(&wire) {
                connection.closing = true;
                self.to_close.push(wire);
            }
        }
    }

    /// True if the connection is to be closed.
    fn feed_payload(
        &mut self,
        wire: usize,
        client: ClientId,
        room: usize,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(&wire) else { return false };
        let Some((number, sent)) = connection.payload else { return false };
        match self.files.payload(number, sent, room) {
            Step::Failed => return true,
            Step::Bytes(bytes) => {
                connection.payload = Some((number, sent + bytes.len()));
                if !bytes.is_empty() {
                    self.engine.payload_moves(client);
                    around.network.send(wire, self.number, Event::Bytes(bytes), around.rng);
                }
            }
            Step::End { is_marked } => {
                connection.payload = None;
                self.engine.payload_sent(client, is_marked);
            }
        }
        false
    }

    fn feed_stream(
        &mut self,
        wire: usize,
        client: ClientId,
        room: usize,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let Some(reader) = self.engine.replication.replicas.get(client).and_then(|replica| replica.reader)
        else {
            return false;
        };
        let Ok(piece) = self.engine.backlog().read(reader) else { return true };
        let piece = piece[..piece.len().min(room)].to_vec();
        self.engine.backlog_mut().consume(reader, piece.len());
        if !piece.is_empty() {
            around.network.send(wire, self.number, Event::Bytes(piece), around.rng);
        }
        false
    }

    pub(super) fn close_pending(&mut self, around: &mut Surroundings<'_>) {
        for wire in std::mem::take(&mut self.to_close) {
            let Some(connection) = self.connections.remove(&wire) else { continue };
            if let Kind::Client(client) = connection.kind {
                self.engine.disconnect(client);
            }
            around.network.close(wire, self.number, around.rng);
        }
    }
}
