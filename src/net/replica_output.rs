//! Output to replicas: a snapshot that several of them share, and then the command stream straight from the backlog.
//!
//! ```text
//! thread ─▶ bounded queue ─▶ payload: | chunk | chunk | ─▶ sockets      one place a replica; what all have passed is freed
//! backlog ──────────────────────────────────────────────▶ sockets      one reader a replica
//! ```
//!
//! Neither is copied for a replica. The slowest of a snapshot's replicas sets its pace: nothing more is taken from the queue while
//! much waits for it, so the thread waits, and with it the walk.

use std::io::{self, IoSlice};

use super::connection::would_block_is_none;
use super::event_loop::EventLoop;
use super::flush::over_limit;
use super::payload::{Payload, PayloadState, ReplicaOutput};
use super::unsent_output::SLICES;
use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::replication::replicas::Stage;

impl EventLoop {
    /// Begins to send a snapshot to these clients.
    pub fn begin_payload(&mut self, clients: &[ClientId], payload: Payload, engine: &Engine) {
        let number = self.payloads.insert(payload);
        for client in clients {
            if let Some(index) = self.connection_of(engine, *client) {
                let output = ReplicaOutput { payload: Some((number, 0)), is_full: false };
                self.connections[index].replica = Some(output);
            }
        }
    }

    /// Sends replicas what they lack, as far as their sockets take it.
    pub fn feed_replicas(&mut self, engine: &mut Engine) {
        let replicas =
            engine.replication.replicas.attached().map(|(client, replica)| (client, replica.stage));
        let exports = engine.export_payload_clients().map(|client| (client, Stage::Payload));
        let replicas: Vec<_> = replicas.chain(exports).collect();
        self.fill_payloads(&replicas, engine);
        for (client, stage) in replicas {
            let Some(index) = self.connection_of(engine, client) else { continue };
            let connection = &mut self.connections[index];
            if connection.dropped {
                continue;
            }
            let lag = engine.unsent_of(client) as usize;
            if lag > 0 {
                engine.note_replica_lag(client);
            }
            if engine.lags_far(stage, lag as u64) {
                if engine.leave_to_log(client) {
                    engine.note_replica_lag(client);
                    continue;
                }
                engine.want_spool(client);
            }
            let connection = &mut self.connections[index];
            if over_limit(connection, engine, lag + connection.unsent()) {
                self.drop_connection(index);
                continue;
            }
            let is_full = connection.replica.is_some_and(|output| output.is_full);
            // A reply goes out as a whole before the stream goes on.
            if connection.closing || is_full || connection.unsent() > 0 {
                continue;
            }
            if stage == Stage::Payload {
                // It has taken all that there was: if more takes time, it isn't the one that is silent.
                engine.payload_moves(client);
            }
            let fed = match stage {
                Stage::Payload | Stage::Log => self.feed_payload(index, client, engine),
                Stage::Online => self.feed_stream(index, client, engine),
                _ => Ok(()),
            };
            if fed.is_err() {
                self.drop_connection(index);
            }
            if lag > 0 {
                engine.note_replica_lag(client);
            }
        }
    }

    fn fill_payloads(&mut self, replicas: &[(ClientId, Stage)], engine: &Engine) {
        if self.payloads.is_empty() {
            return;
        }
        let indexes = replicas.iter().filter_map(|(client, _)| self.connection_of(engine, *client));
        let connections =
            indexes.map(|index| &self.connections[index]).filter(|connection| !connection.dropped);
        let places: Vec<_> = connections.filter_map(|connection| connection.replica?.payload).collect();
        let mut gone = Vec::new();
        for (number, payload) in &mut self.payloads {
            let slowest = places.iter().filter(|(of, _)| *of == number).map(|(_, sent)| *sent).min();
            match slowest {
                Some(slowest) => payload.fill(slowest),
                // Nothing wants it any more; its thread notices.
                None => gone.push(number),
            }
        }
        for number in gone {
            self.payloads.remove(number);
        }
    }

    fn feed_payload(&mut self, index: usize, client: ClientId, engine: &mut Engine) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let Some((number, sent)) = connection.replica.and_then(|output| output.payload) else {
            return Ok(());
        };
        let payload = &self.payloads[number];
        if payload.state == PayloadState::Failed {
            log::warn!(
                "SYNC failed: the snapshot for replica {} could not be made",
                engine.replica_name(client)
            );
            return Err(io::ErrorKind::Other.into());
        }
        let mut written = 0;
        if sent < payload.end {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = payload.slices(sent, &mut slices);
            let offered: usize = slices[..count].iter().map(|slice| slice.len()).sum();
            written = would_block_is_none(connection.transport.write_slices(&slices[..count]))?;
            if written < offered && !connection.transport.takes_more() {
                connection.replica =
                    Some(ReplicaOutput { payload: Some((number, sent + written as u64)), is_full: true });
                count_output(engine, client, written);
                return Ok(());
            }
        }
        let sent = sent + written as u64;
        let is_done = sent == payload.end && payload.state == PayloadState::Whole;
        let is_marked = payload.is_marked;
        connection.replica =
            Some(ReplicaOutput { payload: (!is_done).then_some((number, sent)), is_full: false });
        count_output(engine, client, written);
        if is_done {
            engine.payload_sent(client, is_marked);
        }
        if is_done || written > 0 {
            // There may be more at once.
            self.writable.push(index);
        }
        Ok(())
    }

    fn feed_stream(&mut self, index: usize, client: ClientId, engine: &mut Engine) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let Some(reader) = engine.replication.replicas.get(client).and_then(|replica| replica.reader) else {
            return Ok(());
        };
        let backlog = engine.backlog();
        let begin = backlog.position(reader);
        let lag = backlog.end() - begin;
        if lag == 0 {
            return Ok(());
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (mut count, mut offset) = (0, begin);
        while count < SLICES {
            let Ok((_, piece)) = backlog.read_from(reader, offset) else {
                return Err(io::ErrorKind::Other.into());
            };
            if piece.is_empty() {
                break;
            }
            slices[count] = IoSlice::new(piece);
            (count, offset) = (count + 1, offset + piece.len() as u64);
        }
        let written = would_block_is_none(connection.transport.write_slices(&slices[..count]))?;
        let is_full = (written as u64) < offset - begin && !connection.transport.takes_more();
        connection.replica.get_or_insert_default().is_full = is_full;
        engine.backlog_mut().consume(reader, written);
        count_output(engine, client, written);
        if !is_full && (written as u64) < lag {
            self.writable.push(index);
        }
        Ok(())
    }
}

fn count_output(engine: &mut Engine, client: ClientId, bytes: usize) {
    engine.metrics.stats.net_output_bytes += bytes as u64;
    match engine.is_export_client(client) {
        true => engine.metrics.stats.slot_export_bytes += bytes as u64,
        false => engine.metrics.stats.replication_output_bytes += bytes as u64,
    }
    engine.metrics.stats.writes_processed += u64::from(bytes > 0);
    if let Some(session) = engine.clients.sessions.get_mut(client) {
        session.io.bytes_out += bytes as u64;
    }
}
