//! What clients were promised of their writes, and whether it holds.
//!
//! ```text
//! WAIT n               the nodes that acknowledge it have it: one of them is promoted, or a more advanced one
//! WAITAOF 1 n          the leader's log has it durably, and those of n replicas: it is there after any crash
//! appendfsync always   a write is in the log durably when it is replied to, also a client's at a writable replica
//! everysec             a write survives a power failure when a second has passed, and as long as syncs take
//! everysec, no         it survives the end of the process when a sync that ran has ended
//! shutdown             all is there afterwards
//! ```
//!
//! What clients write at a replica is for that server alone, and gone with a full synchronization; with a deadline, when that has
//! passed, and not before.

use std::collections::BTreeSet;

use redloop::services::config::AppendFsync;
use redloop::sys::simulated_disk::Crash;

use crate::node::{Node, OWN, OWN_DB, PORT};
use crate::request::Request;
use crate::world::{Figures, World};

/// The database of markers.
const MARKERS_DB: usize = 15;
/// Turns in which a sync that is due, or runs, is over.
const SYNC_TURNS: u32 = 30;
/// The time between two syncs, ms.
const SYNC_MS: u64 = 1000;
/// How long a key may outlive its deadline at a replica whose turns go on: the time between two looks, ms, and turns.
const LATE_MS: u64 = 300;
const LATE_TURNS: u32 = 10;

/// A write that replicas have acknowledged.
pub struct Waited {
    pub marker: String,
    pub offset: u64,
    /// Nodes that have acknowledged it, and which start of theirs.
    pub by: BTreeSet<(usize, u64)>,
}

/// What a client of the leader has asked for last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Set,
    Wait,
    WaitForLogs,
}

/// A marker that is being written or waited for.
#[derive(Clone, Debug)]
pub struct Waiting {
    marker: String,
    asked: Asked,
    /// The stream's end behind it, once it is written.
    offset: u64,
}

/// A key with its database.
type Key = (usize, String);

/// A write that isn't known to be durable yet.
#[derive(Clone, Debug)]
struct Written {
    key: Key,
    /// The log's end behind it.
    place: u64,
    at_ms: u64,
    /// Turns since then, and since a sync has been due; of those that had a log.
    turns: u32,
    turns_due: u32,
}

/// A key that a replica has to remove by itself.
#[derive(Clone, Debug)]
struct Due {
    key: String,
    deadline: u64,
    turns_late: u32,
}

/// What a node's disk has to have.
#[derive(Debug, Default)]
pub struct Promises {
    /// What has to be there when it starts again.
    durable: BTreeSet<Key>,
    /// What has to be there as well, the next time.
    survivors: BTreeSet<Key>,
    written: Vec<Written>,
    due: Vec<Due>,
    /// What was written here alone since the last full synchronization, or before it.
    own: BTreeSet<String>,
    /// The counts of [`crate::payloads::Files`] as last seen.
    replaced: u64,
    synced: u64,
    /// What is durable is to be looked for once all is loaded.
    is_starting: bool,
    /// It has had replicas, so that others may have what was written here.
    had_replicas: bool,
}

impl Promises {
    /// Its server has been a primary, which may evict any key, if only between two turns.
    pub fn was_primary(&mut self) {
        self.due.clear();
    }

    /// The server of this disk has started.
    pub fn server_started(&mut self) {
        self.written.clear();
        self.due.clear();
        (self.replaced, self.synced, self.is_starting) = (0, 0, true);
    }

    /// It is shut down with all that it has; `is_whole`: on the disk.
    pub fn server_saved(&mut self, is_whole: bool) {
        if is_whole {
            self.durable.extend(self.written.drain(..).map(|written| written.key));
        }
    }

    /// Its process has ended in the middle of things.
    pub fn server_crashed(&mut self, how: Crash) {
        let is_with_system = |written: &&Written| how == Crash::Process && written.turns > SYNC_TURNS;
        self.survivors =
            self.written.iter().filter(is_with_system).map(|written| written.key.clone()).collect();
    }

    /// The data is gone.
    pub fn forget(&mut self) {
        self.durable.clear();
        self.survivors.clear();
        self.written.clear();
        self.due.clear();
    }
}

impl World {
    /// A client of the leader writes something and waits for replicas and logs.
    pub fn wait_traffic(&mut self) {
        let Some(node) = self.slots[self.leader].node.as_mut().filter(|_| self.waiting.is_none()) else {
            return;
        };
        let client = &mut node.clients[0];
        if client.waits || !client.queue.is_empty() {
            return;
        }
        self.markers += 1;
        let marker = format!("marker:{}", self.markers);
        client.received.clear();
        for words in [["SELECT", "15"].as_slice(), &["SET", &marker, "1"]] {
            client.queue.push_back(Request::from_words(words));
        }
        self.waiting = Some(Waiting { marker, asked: Asked::Set, offset: 0 });
    }

    /// A client writes something at a replica.
    pub fn own_traffic(&mut self) {
        let number = self.below(self.slots.len());
        let Some(node) = &mut self.slots[number].node else { return };
        let client = &mut node.clients[OWN];
        let is_writable = node.engine.replication.is_replica() && !node.engine.config.replica_read_only;
        if !is_writable || client.waits || !client.queue.is_empty() {
            return;
        }
        self.markers += 1;
        let key = format!("own:{number}:{}", self.markers);
        let ms = (1 + self.rng.below(100)).to_string();
        let due = format!("due:{number}:{}", self.markers);
        let long_ms = (1 + self.rng.below(3000)).to_string();
        let others: [&[&[&str]]; 5] = [
            &[],
            &[&["SET", &due, "1", "PX", &long_ms]],
            &[&["HSET", "fields", "a", "1"], &["HPEXPIRE", "fields", &ms, "FIELDS", "1", "a"]],
            &[&["MULTI"], &["RPUSH", "list", "a", "b"], &["PEXPIRE", "list", &ms], &["EXEC"]],
            &[&["SPOP", "members"], &["SADD", "members", "a", "b"]],
        ];
        client.queue.push_back(Request::from_words(&["SELECT", "14"]));
        for words in others[self.rng.below(others.len() as u64) as usize] {
            client.queue.push_back(Request::from_words(words));
        }
        client.queue.push_back(Request::from_words(&["SET", &key, "1"]));
    }

    /// Looks at the leader's history, and at what its client waits for.
    pub fn see_leader(&mut self) {
        let Some(node) = &mut self.slots[self.leader].node else { return };
        if !node.engine.replication.is_replica() && node.engine.persistence.loading.is_none() {
            self.line = crate::history::place(&node.engine).0;
        }
        let client = &mut node.clients[0];
        let Some(Waiting { marker, asked, offset }) = self.waiting.clone() else { return };
        let text = String::from_utf8_lossy(&client.received).into_owned();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        let wanted = match asked {
            Asked::Set => 2,
            _ if lines.first().is_some_and(|line| line.starts_with('*')) => 3,
            _ => 1,
        };
        if lines.len() < wanted {
            return;
        }
        client.received.clear();
        self.waiting = None;
        let count = |line: &str| line.strip_prefix(':').and_then(|count| count.parse().ok()).unwrap_or(0);
        match asked {
            Asked::Set if lines[1] != "+OK" => {}
            Asked::Set => {
                let (offset, place) = (client.offset, client.place);
                let written = Written::new((MARKERS_DB, marker.clone()), place, node.engine.steady_now());
                self.slots[self.leader].promises.written.push(written);
                let asked = self.ask_for_copies();
                self.waiting = Some(Waiting { marker, asked, offset });
            }
            Asked::Wait if count(lines[0]) == 0 => {}
            Asked::Wait => {
                let by = node.acknowledged_by(offset, false);
                self.acknowledged(marker, offset, &by);
            }
            Asked::WaitForLogs if wanted == 1 => {}
            Asked::WaitForLogs => {
                let by = if count(lines[2]) > 0 { node.acknowledged_by(offset, true) } else { Vec::new() };
                if count(lines[1]) > 0 {
                    self.note(format!("{marker} is in the leader's log"));
                    self.slots[self.leader].promises.durable.insert((MARKERS_DB, marker.clone()));
                }
                self.logged(&marker, offset, &by);
                self.acknowledged(marker, offset, &by);
            }
        }
    }

    /// Has the leader's client wait for copies of what it has written.
    fn ask_for_copies(&mut self) -> Asked {
        let (replicas, ms) = ((1 + self.rng.below(2)).to_string(), format!("{}1", self.rng.below(3000)));
        let (asked, words) = match self.rng.below(6) {
            0 => (Asked::WaitForLogs, vec!["WAITAOF", "1", "0", &ms]),
            1 => (Asked::WaitForLogs, vec!["WAITAOF", "0", &replicas, &ms]),
            2 => (Asked::WaitForLogs, vec!["WAITAOF", "1", &replicas, &ms]),
            _ => (Asked::Wait, vec!["WAIT", &replicas, &ms]),
        };
        let request = Request::from_words(&words);
        if let Some(node) = &mut self.slots[self.leader].node {
            node.clients[0].queue.push_back(request);
        }
        asked
    }

    /// Replicas have said that they have a marker in their logs. One whose data has become another's since then, or that is down, isn't
    /// held to that.
    fn logged(&mut self, marker: &str, offset: u64, by: &[usize]) {
        for number in by {
            let slot = &mut self.slots[*number];
            let Some(node) = &mut slot.node else { continue };
            let durable = node.engine.persistence.durable;
            if durable.is_some_and(|durable| durable >= offset) && node.has(MARKERS_DB, marker) {
                slot.promises.durable.insert((MARKERS_DB, marker.into()));
                self.note(format!("{marker} is in the log of {number}"));
            }
        }
    }

    fn acknowledged(&mut self, marker: String, offset: u64, by: &[usize]) {
        if by.is_empty() {
            return;
        }
        self.figures.waited += 1;
        self.note(format!("{marker} at {offset} is acknowledged by {by:?}"));
        let by: BTreeSet<_> = by.iter().map(|node| (*node, self.slots[*node].starts)).collect();
        self.waited.push(Waited { marker, offset, by: by.clone() });
        // A replica that has this has all that came before.
        let earlier = self.waited.iter_mut().filter(|waited| waited.offset <= offset);
        earlier.for_each(|waited| waited.by.extend(by.iter().copied()));
    }

    /// A node has all that was waited for.
    pub fn find_markers(&mut self, number: usize) {
        let Some(node) = &mut self.slots[number].node else { return };
        for waited in &self.waited {
            let is_there = node.has(MARKERS_DB, &waited.marker);
            assert!(is_there, "{} at {} is lost at {number}", waited.marker, waited.offset);
        }
    }

    /// Looks after what a node's disk has to have, behind each of its turns.
    pub fn tend_promises(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        let (Some(node), promises) = (&mut slot.node, &mut slot.promises) else { return };
        let writes = std::mem::take(&mut node.own_writes);
        let deadlines = std::mem::take(&mut node.own_deadlines);
        let due = deadlines.into_iter().map(|(key, deadline)| Due { key, deadline, turns_late: 0 });
        promises.due.extend(due);
        if promises.replaced != node.files.replaced {
            promises.replaced = node.files.replaced;
            promises.forget();
        }
        // What it does after its end promises nothing.
        if node.engine.persistence.loading.is_some() || node.files.disk.has_ended() {
            return;
        }
        if std::mem::take(&mut promises.is_starting) {
            for (db, key) in promises.durable.iter().chain(&promises.survivors) {
                assert!(node.has(*db, key), "{key} of database {db} was in the log of {number}, and is lost");
            }
            self.figures.kept += promises.durable.len() as u64;
            self.figures.survived += promises.survivors.len() as u64;
            promises.survivors.clear();
        }
        if promises.synced != node.files.synced {
            promises.synced = node.files.synced;
            for key in std::mem::take(&mut promises.own) {
                let is_there = !promises.had_replicas && node.has(OWN_DB, &key);
                assert!(!is_there, "{key} outlives a full synchronization of {number}");
                self.figures.gone += 1;
            }
            promises.due.clear();
        }
        for (key, place, _) in writes.into_iter().filter(|(_, _, replaced)| *replaced == promises.replaced) {
            self.figures.own += 1;
            promises.own.insert(key.clone());
            promises.written.push(Written::new((OWN_DB, key), place, node.engine.steady_now()));
        }
        let has_log = node.files.log.is_named();
        let now = node.engine.steady_now();
        promises.written.iter_mut().filter(|_| has_log).for_each(|written| written.pass_turn(now));
        let syncs = node.engine.config.appendfsync == AppendFsync::EverySecond;
        let is_kept = |written: &mut Written| {
            let is_due = syncs && written.turns_due > SYNC_TURNS;
            self.figures.seconds += u64::from(is_due);
            is_due || node.files.log.keeps(written.place, &node.engine)
        };
        promises.durable.extend(promises.written.extract_if(.., is_kept).map(|written| written.key));
        tend_deadlines(promises, node, &mut self.figures);
        let primary = node.engine.replication.primary.as_ref();
        if let Some(primary) = primary.map(|primary| usize::from(primary.port - PORT)) {
            self.slots[primary].promises.had_replicas = true;
        }
    }
}

impl Written {
    fn new(key: Key, place: u64, at_ms: u64) -> Written {
        Written { key, place, at_ms, turns: 0, turns_due: 0 }
    }

    fn pass_turn(&mut self, now: u64) {
        self.turns += 1;
        self.turns_due += u32::from(now >= self.at_ms + SYNC_MS);
    }
}

/// Keys that a replica has to remove by itself are there until then, and not for long afterwards.
fn tend_deadlines(promises: &mut Promises, node: &Node, figures: &mut Figures) {
    if !node.engine.replication.is_replica() {
        // A primary removes keys for other reasons, too.
        return promises.due.clear();
    }
    let (now, database) = (node.engine.now(), node.engine.data.keyspace.database(OWN_DB));
    promises.due.retain_mut(|due| {
        let is_there = database.has(due.key.as_bytes(), 0);
        due.turns_late += u32::from(now > due.deadline + LATE_MS);
        assert!(is_there || now >= due.deadline, "{} is gone at {now}, before {}", due.key, due.deadline);
        let is_late = due.turns_late > LATE_TURNS;
        assert!(!is_there || !is_late, "{} is there at {now}, behind {}", due.key, due.deadline);
        figures.due += u64::from(!is_there);
        is_there
    });
}
