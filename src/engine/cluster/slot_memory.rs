//! Memory a slot (`memory-bytes` of CLUSTER SLOT-STATS), measured when it is asked for: no write pays for it.
//!
//! A slot's keys lie side by side, and are walked. Where there are many the walk goes on in slices: the client waits, and its request is run
//! again when all its slots are measured. Clients that ask meanwhile join the round; a slot is walked once in it. Where a client may not wait
//! (EXEC, scripts) all is walked at once.

use crate::base::crc::SLOTS;
use crate::base::ids::ClientId;
use crate::base::slot_set::SlotSet;
use crate::engine::Engine;
use crate::engine::clients::session::{Role, state};
use crate::engine::dispatch::call::Caller;
use crate::keyspace::Keyspace;
use crate::resp::Reply;

/// Keys up to which slots are measured at once.
const MEASURED_AT_ONCE: usize = 16 * 1024;
/// Buckets, each of some fourteen keys, between two looks at the clock.
const BUCKETS: usize = 16;
/// Longest time that measuring takes of a turn, ns.
const SLICE: u64 = 300_000;

/// A round of measuring: empty while there is none.
#[derive(Debug, Default)]
pub(super) struct SlotMemory {
    /// Clients whose requests run when nothing is left.
    waiting: Vec<ClientId>,
    /// Bytes a slot, of those that were measured.
    bytes: Vec<u64>,
    measured: SlotSet,
    left: SlotSet,
    walk: Option<Walk>,
}

/// Where the walk is in a slot.
#[derive(Clone, Copy, Debug)]
struct Walk {
    slot: u16,
    database: usize,
    cursor: u64,
    bytes: u64,
}

impl SlotMemory {
    fn join(&mut self, client: ClientId, slots: &SlotSet, keyspace: &Keyspace) {
        self.bytes.resize(SLOTS.into(), 0);
        self.waiting.push(client);
        let populated = keyspace.populated_slots();
        for slot in slots.iter().filter(|slot| populated.contains(*slot) && !self.measured.contains(*slot)) {
            self.left.insert(slot);
        }
    }

    /// What was measured of a slot in this round.
    fn of(&self, slot: u16) -> Option<u64> {
        self.measured.contains(slot).then(|| self.bytes[usize::from(slot)])
    }

    /// Goes on for so many buckets; false once nothing is left.
    fn step(&mut self, keyspace: &Keyspace, buckets: usize) -> bool {
        let next = || Some(Walk { slot: self.left.next(0)?, database: 0, cursor: 0, bytes: 0 });
        let Some(mut walk) = self.walk.take().or_else(next) else { return false };
        let Some(database) = keyspace.databases().get(walk.database) else {
            self.bytes[usize::from(walk.slot)] = walk.bytes;
            self.measured.insert(walk.slot);
            self.left.remove(walk.slot);
            return true;
        };
        let (bytes, cursor) = database.slot_memory(walk.slot, walk.cursor, buckets);
        walk.bytes += bytes as u64;
        walk.cursor = cursor;
        walk.database += usize::from(cursor == 0);
        self.walk = Some(walk);
        true
    }
}

impl Engine {
    /// Bytes that the keys of a slot take, with their values.
    pub fn slot_memory(&self, slot: u16) -> u64 {
        let measured = self.cluster.as_ref().and_then(|mode| mode.slot_memory.of(slot));
        measured.unwrap_or_else(|| {
            let databases = self.data.keyspace.databases().iter();
            databases.map(|database| database.slot_memory(slot, 0, usize::MAX).0 as u64).sum()
        })
    }

    /// Has slots measured in slices, if that takes long; true: the client's request runs again when they are, until then it waits.
    pub fn measures_slots(&mut self, client: ClientId, slots: &SlotSet) -> bool {
        let session = self.clients.sessions.live(client);
        let may_wait = session.role == Role::Normal
            && session.waiting.is_none()
            && !session.is(state::IN_EXEC | state::IN_SCRIPT);
        let keyspace = &self.data.keyspace;
        let are_many = |slots: &SlotSet| {
            let keys: usize = slots.iter().map(|slot| keyspace.count_in_slot(slot)).sum();
            keys > MEASURED_AT_ONCE
        };
        if !may_wait || keyspace.total_keys() <= MEASURED_AT_ONCE || !are_many(slots) {
            return false;
        }
        let Some(mode) = &mut self.cluster else { return false };
        mode.slot_memory.join(client, slots, keyspace);
        true
    }

    /// Whether a round of measuring goes on.
    pub(in crate::engine) fn is_measuring_slots(&self) -> bool {
        self.cluster.as_ref().is_some_and(|mode| !mode.slot_memory.waiting.is_empty())
    }

    /// A job of each turn while there is a round: a slice of it, and at its end the requests that wait for it.
    pub(in crate::engine) fn measure_some_slots(&mut self) -> bool {
        let started = self.clock.ticks();
        let Some(mode) = &mut self.cluster else { return false };
        let mut more = true;
        while more && self.clock.nanos(started, self.clock.ticks()) < SLICE {
            more = mode.slot_memory.step(&self.data.keyspace, BUCKETS);
        }
        let mut waiting = std::mem::take(&mut mode.slot_memory.waiting);
        waiting.retain(|client| self.is_being_answered(*client));
        let nanos = self.clock.nanos(started, self.clock.ticks());
        let first = waiting.first().and_then(|client| self.clients.sessions.get_mut(*client));
        if let Some(waiting) = first.and_then(|session| session.waiting.as_mut()) {
            waiting.wait.nanos += nanos;
        }
        let goes_on = more && !waiting.is_empty();
        if !goes_on {
            waiting.drain(..).for_each(|client| self.run_again(client));
        }
        if let Some(mode) = &mut self.cluster {
            match goes_on {
                true => mode.slot_memory.waiting = waiting,
                false => mode.slot_memory = SlotMemory::default(),
            }
        }
        goes_on
    }

    /// Runs a request again whose answer can be given now.
    fn run_again(&mut self, client: ClientId) {
        let Some(waiting) = &self.clients.sessions.live(client).waiting else { return };
        let request = waiting.request.clone();
        let args = request.as_args();
        let Ok(id) = self.commands.resolve(args.at(0), args.get(1)) else { return };
        let mut reply = Reply::new(Vec::new(), self.clients.sessions.live(client).resp3);
        // It doesn't wait a second time.
        let _ = self.call_as(client, id, args, &mut reply, Caller::Wakeup);
        self.unblock_with(client, reply.bytes());
    }
}

#[cfg(test)]
mod tests {
    use crate::base::crc::key_slot;
    use crate::commands::testing::{START_MS, TestServer};
    use crate::services::cluster::{Cluster, Settings};
    use crate::services::config::Config;

    /// A node that serves all slots, with many keys in one and a few in another.
    fn node(many: usize) -> TestServer {
        let config = Config { cluster_enabled: true, ..Config::default() };
        let settings = Settings::from_config(&config);
        let mut server = TestServer::with(config);
        (0..many).for_each(|number| drop(server.run(&format!("SET {{a}}{number} 0123456789"))));
        (0..100).for_each(|number| drop(server.run(&format!("RPUSH {{b}} {number:0100}"))));
        server.engine.enter_cluster_mode(Cluster::new(START_MS, 1, settings));
        server.script("CLUSTER ADDSLOTSRANGE 0 16383\nCONFIG SET cluster-slot-stats-enabled mem");
        server
    }

    fn request(slots: &str) -> String {
        format!("CLUSTER SLOT-STATS {slots}")
    }

    #[test]
    fn few_keys_are_measured_at_once() {
        let mut server = node(1000);
        let [a, b] = [b"a", b"b"].map(|key| server.engine.slot_memory(key_slot(key)));
        assert!((20_000..60_000).contains(&a) && (10_000..16_000).contains(&b), "{a} {b}");
        let slot = key_slot(b"b");
        let shown = server.run(&request(&format!("SLOTSRANGE {slot} {slot}")));
        assert_eq!(shown, format!("[[:{slot} [\"key-count\" :1 \"memory-bytes\" :{b}]]]"));
        let first = server.run(&request("ORDERBY MEMORY-BYTES LIMIT 1"));
        assert_eq!(first, format!("[[:{} [\"key-count\" :1000 \"memory-bytes\" :{a}]]]", key_slot(b"a")));
    }

    #[test]
    fn many_keys_are_measured_in_slices() {
        let mut server = node(20_000);
        let (slot, expected) = (key_slot(b"a"), server.engine.slot_memory(key_slot(b"a")));
        let other = server.connect();
        server.engine.clock.set_reading_step(20_000);
        assert_eq!(server.run(&request("SLOTSRANGE 0 16383")), "(blocked)");
        assert_eq!(server.run_as(other, &request("ORDERBY MEMORY-BYTES LIMIT 1")), "(blocked)");
        let mut turns = 0;
        while server.engine.is_measuring_slots() {
            assert_eq!((turns < 1000, server.engine.sleep_ms()), (true, 0));
            server.engine.tick();
            turns += 1;
        }
        assert!(turns > 3, "{turns}");
        let line = format!("[:{slot} [\"key-count\" :20000 \"memory-bytes\" :{expected}]]");
        let replies = server.all_posted();
        assert!(replies.iter().any(|(to, reply)| *to == server.client && reply.contains(&line)));
        assert!(replies.contains(&(other, format!("[{line}]"))));
        // Those in a transaction don't wait.
        server.script("MULTI");
        server.run(&request(&format!("SLOTSRANGE {slot} {slot}")));
        assert_eq!(server.run("EXEC"), format!("[[{line}]]"));
    }

    #[test]
    fn a_client_that_leaves_ends_the_round() {
        let mut server = node(20_000);
        let other = server.connect();
        server.engine.clock.set_reading_step(20_000);
        assert_eq!(server.run_as(other, &request("SLOTSRANGE 0 16383")), "(blocked)");
        server.engine.disconnect(other);
        server.engine.tick();
        assert!(!server.engine.is_measuring_slots());
    }
}
