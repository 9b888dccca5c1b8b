//! Blocked clients: which waits for which keys, or for its writes to be safe, in which order, and until when.
//!
//! A handler that finds nothing returns [`Done::Blocked`](crate::engine::Done) with what it waits for; the
//! engine keeps the request and runs the same handler again, in order of arrival, whenever a unit
//! changed one of the keys into something the client may use. A wait has a serial number; the queue of
//! a key and the deadlines are ordered by it, so that a wait that ends leaves both at once, from
//! whatever place.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound::{Excluded, Unbounded};

use super::key_map::KeyMap;
use crate::base::hash::KeyHasher;
use crate::base::ids::ClientId;
use crate::keyspace::Database;
use crate::resp::{CommandError, OwnedArgs, Reply};
use crate::value::stream::{Stream, StreamId};

/// What a waiting client gets when nothing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutReply {
    NullArray,
    /// A null array after a wait, but a null where waiting isn't allowed (BLMOVE, BRPOPLPUSH).
    NullArrayOrNull,
    /// How many replicas have the bytes of the command stream before this offset.
    Replicas(u64),
    /// Where they are safe: how many logs have them (this server's, or none), and how many logs of replicas.
    Logs(u64),
    /// An error: replicas were to do something first (CLUSTER SETSLOT).
    NoReplicas,
}

/// Who has the bytes of the command stream before an offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// The log of this server has them durably.
    pub log: bool,
    pub replicas: usize,
    /// Replicas whose logs have them durably.
    pub replica_logs: usize,
}

impl TimeoutReply {
    /// `copies` says what has the bytes before an offset.
    pub fn write(self, reply: &mut Reply, copies: impl Fn(u64) -> Copies) {
        match self {
            TimeoutReply::NullArray | TimeoutReply::NullArrayOrNull => reply.null_array(),
            TimeoutReply::Replicas(offset) => reply.integer(copies(offset).replicas as i64),
            TimeoutReply::Logs(offset) => {
                let copies = copies(offset);
                reply.array(2);
                reply.integer(i64::from(copies.log));
                reply.integer(copies.replica_logs as i64);
            }
            TimeoutReply::NoReplicas => reply.error(&CommandError::NO_REPLICAS),
        }
    }

    /// What is given at once where waiting isn't allowed.
    pub fn write_at_once(self, reply: &mut Reply, copies: impl Fn(u64) -> Copies) {
        match self {
            TimeoutReply::NullArrayOrNull => reply.null(),
            other => other.write(reply, copies),
        }
    }
}

/// Where a client wants its writes to be before it goes on (WAIT, WAITAOF).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedCopies {
    /// In the log of this server.
    pub local: bool,
    /// At so many replicas.
    pub replicas: usize,
    /// In so many logs of replicas.
    pub replica_logs: usize,
    /// The writes are the bytes of the command stream before this offset.
    pub offset: u64,
}

impl WantedCopies {
    /// Whether that is so.
    pub fn are_there(&self, copies: Copies) -> bool {
        (!self.local || copies.log)
            && copies.replicas >= self.replicas
            && copies.replica_logs >= self.replica_logs
    }

    fn wants_replicas(&self) -> bool {
        self.replicas > 0 || self.replica_logs > 0
    }

    /// The offset up to which the log has to be durable for the wait to end; `u64::MAX` if that isn't enough. `None`: the log has
    /// nothing to do with it.
    fn awaited_of_log(&self) -> Option<u64> {
        self.local.then_some(if self.wants_replicas() { u64::MAX } else { self.offset })
    }
}

/// What a key must have become for a client that waits for it to be tried again.
#[derive(Clone, Debug)]
pub enum Awaited {
    /// A value of this type, as TYPE names it.
    Type(&'static str),
    /// A stream with an entry above an id; an id for each key of the wait.
    EntryAfter(Box<[StreamId]>),
    /// A stream with an entry that this group was not given yet. The client is also tried when the key or the group
    /// is gone, or the value is no stream: that ends its wait with an error.
    GroupEntry(Box<[u8]>),
    /// No key: copies of what the client wrote.
    Copies(WantedCopies),
    /// No key: its answer, which is made in slices.
    Answer,
    /// No key: what a thread finds in a vector set, or that a thread has time for it.
    Vectors,
}

impl Awaited {
    /// Whether a client is also tried when the key is gone.
    fn even_if_gone(&self) -> bool {
        matches!(self, Awaited::GroupEntry(_))
    }

    /// See [`WantedCopies::awaited_of_log`].
    fn of_log(&self) -> Option<u64> {
        if let Awaited::Copies(wanted) = self { wanted.awaited_of_log() } else { None }
    }

    /// Whether trying the client again may end its wait: `type_name` is what its `index`-th key has become
    /// (`None`: it is gone), and `stream` the value, if it is one.
    pub fn is_met(&self, index: usize, type_name: Option<&str>, stream: Option<&Stream>) -> bool {
        let has_after = |stream: &Stream, id| stream.log.last_entry_id().is_some_and(|last| last > id);
        match self {
            Awaited::Type(awaited) => type_name == Some(awaited),
            Awaited::EntryAfter(ids) => stream.is_some_and(|stream| has_after(stream, ids[index])),
            Awaited::GroupEntry(name) => stream.is_none_or(|stream| {
                stream.groups.get(name).is_none_or(|group| has_after(stream, group.last_delivered()))
            }),
            Awaited::Copies(_) | Awaited::Answer | Awaited::Vectors => false,
        }
    }
}

/// What a handler waits for.
#[derive(Clone, Debug)]
pub struct Wait {
    /// Any of these keys of the session's database.
    pub keys: Vec<Box<[u8]>>,
    pub awaited: Awaited,
    /// Unix ms; `None`: for ever.
    pub deadline: Option<u64>,
    /// When the request is tried again though no key has changed, Unix ms (XREADGROUP with CLAIM: a pending entry has been idle for
    /// long enough).
    pub retry_ms: Option<u64>,
    pub on_timeout: TimeoutReply,
    /// The request to be tried again, if not the one that blocked (XREAD's `$` is resolved first).
    pub resolved: Option<OwnedArgs>,
    /// What the attempts took so far, ns; the engine adds it up. The call is counted, and logged if it was slow,
    /// when the wait ends.
    pub nanos: u64,
}

impl Wait {
    /// For an answer that is made in slices.
    pub fn for_answer() -> Wait {
        Wait::for_own(Awaited::Answer)
    }

    /// For what a thread does with a vector set.
    pub fn for_vectors() -> Wait {
        Wait::for_own(Awaited::Vectors)
    }

    fn for_own(awaited: Awaited) -> Wait {
        Wait {
            keys: Vec::new(),
            awaited,
            deadline: None,
            retry_ms: None,
            // It ends by its answer alone.
            on_timeout: TimeoutReply::NullArray,
            resolved: None,
            nanos: 0,
        }
    }
}

/// A session's state while it waits.
#[derive(Debug)]
pub struct Waiting {
    pub wait: Wait,
    /// As the client sent it.
    pub request: OwnedArgs,
    pub db: u32,
    /// Distinguishes this wait from the client's earlier ones, and orders it among all.
    serial: u64,
}

impl Waiting {
    /// The request that is tried again.
    pub fn retried(&self) -> &OwnedArgs {
        self.wait.resolved.as_ref().unwrap_or(&self.request)
    }

    /// Bytes held on the heap, the keys left out.
    pub fn memory_usage(&self) -> usize {
        size_of::<Self>()
            + self.request.memory_usage()
            + self.wait.resolved.as_ref().map_or(0, OwnedArgs::memory_usage)
    }
}

/// A client in the queue of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    pub client: ClientId,
    /// Orders the queue.
    pub serial: u64,
    /// Which of the wait's keys it is.
    pub index: usize,
}

/// The clients that wait for a key.
#[derive(Debug, Default)]
struct Queue {
    /// By the serial numbers of their waits: first come first.
    waiters: BTreeMap<u64, (ClientId, u32)>,
    /// How many of them are to be tried even if the key is gone.
    even_if_gone: usize,
    /// The key has changed since its queue was last gone through.
    is_ready: bool,
}

/// The register of blocked clients.
#[derive(Debug)]
pub struct Blocked {
    queues: KeyMap<Queue>,
    /// Queues with a client that is to be tried even if the key is gone.
    gone_awaited: usize,
    /// The waits that end by themselves, by deadline and serial number.
    deadlines: BTreeMap<(u64, u64), ClientId>,
    /// The waits whose request is tried again at some time, by that and by serial number.
    retries: BTreeMap<(u64, u64), ClientId>,
    /// The waits for the log, by the offset up to which it has to be durable and by serial number.
    log_waits: BTreeMap<(u64, u64), ClientId>,
    /// The waits for replicas, by serial number.
    replica_waits: BTreeMap<u64, (ClientId, WantedCopies)>,
    /// Clients that wait.
    count: usize,
    /// The serial number of the last wait; the first has 1.
    serial: u64,
}

impl Blocked {
    pub fn new(hasher: KeyHasher) -> Self {
        Blocked {
            queues: KeyMap::new(hasher),
            gone_awaited: 0,
            deadlines: BTreeMap::new(),
            retries: BTreeMap::new(),
            log_waits: BTreeMap::new(),
            replica_waits: BTreeMap::new(),
            count: 0,
            serial: 0,
        }
    }

    /// How many clients wait.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Keys that are waited for.
    pub fn key_count(&self) -> usize {
        self.queues.len()
    }

    /// Keys for which a client waits that is also served when they go.
    pub fn keys_even_if_gone(&self) -> usize {
        self.gone_awaited
    }

    /// A key has changed: true if it is waited for and its queue has to be gone through, which the caller does. Until
    /// then further changes of the key are nothing new.
    pub fn signal(&mut self, db: u32, key: &[u8]) -> bool {
        self.queues.get_mut(db, key).is_some_and(|queue| !std::mem::replace(&mut queue.is_ready, true))
    }

    /// Begins to go through the queue of a key: returns the serial number of its last waiter.
    pub fn start_serving(&mut self, db: u32, key: &[u8]) -> Option<u64> {
        let queue = self.queues.get_mut(db, key)?;
        queue.is_ready = false;
        queue.waiters.last_key_value().map(|(serial, _)| *serial)
    }

    /// The first client in the queue for a key whose wait began after the one of serial number `after`.
    pub fn next_waiter(&self, db: u32, key: &[u8], after: u64) -> Option<Waiter> {
        let mut rest = self.queues.get(db, key)?.waiters.range((Excluded(after), Unbounded));
        let (&serial, &(client, index)) = rest.next()?;
        Some(Waiter { client, serial, index: index as usize })
    }

    /// Whether a client in a key's queue is to be tried even if the key is gone.
    pub fn is_gone_awaited(&self, db: u32, key: &[u8]) -> bool {
        self.queues.get(db, key).is_some_and(|queue| queue.even_if_gone > 0)
    }

    /// Keys waited for in database `db` that are in `database`.
    pub fn keys_in(&self, db: u32, database: &Database) -> Vec<Box<[u8]>> {
        self.queues.keys_in(db, database)
    }

    /// Enters a client; the returned state belongs into its session.
    pub fn enter(&mut self, client: ClientId, db: u32, mut wait: Wait, request: OwnedArgs) -> Box<Waiting> {
        self.serial += 1;
        for (index, key) in wait.keys.iter().enumerate() {
            let queue = self.queues.get_or_default(db, key);
            match queue.waiters.entry(self.serial) {
                Entry::Vacant(place) => {
                    place.insert((client, index as u32));
                    if wait.awaited.even_if_gone() {
                        self.gone_awaited += usize::from(queue.even_if_gone == 0);
                        queue.even_if_gone += 1;
                    }
                }
                // A key that is named twice is entered once, for the lesser of the ids.
                Entry::Occupied(place) => {
                    if let Awaited::EntryAfter(ids) = &mut wait.awaited {
                        let first = place.get().1 as usize;
                        ids[first] = ids[first].min(ids[index]);
                    }
                }
            }
        }
        if let Some(deadline) = wait.deadline {
            self.deadlines.insert((deadline, self.serial), client);
        }
        if let Some(retry) = wait.retry_ms {
            self.retries.insert((retry, self.serial), client);
        }
        if let Some(offset) = wait.awaited.of_log() {
            self.log_waits.insert((offset, self.serial), client);
        }
        if let Awaited::Copies(wanted) = wait.awaited
            && wanted.wants_replicas()
        {
            self.replica_waits.insert(self.serial, (client, wanted));
        }
        self.count += 1;
        Box::new(Waiting { wait, request, db, serial: self.serial })
    }

    /// Takes a client out; `waiting` is what its session held.
    pub fn leave(&mut self, waiting: &Waiting) {
        self.count -= 1;
        if let Some(deadline) = waiting.wait.deadline {
            self.deadlines.remove(&(deadline, waiting.serial));
        }
        if let Some(retry) = waiting.wait.retry_ms {
            self.retries.remove(&(retry, waiting.serial));
        }
        if let Some(offset) = waiting.wait.awaited.of_log() {
            self.log_waits.remove(&(offset, waiting.serial));
        }
        self.replica_waits.remove(&waiting.serial);
        for key in &waiting.wait.keys {
            let Some(queue) = self.queues.get_mut(waiting.db, key) else { continue };
            if queue.waiters.remove(&waiting.serial).is_some() && waiting.wait.awaited.even_if_gone() {
                queue.even_if_gone -= 1;
                self.gone_awaited -= usize::from(queue.even_if_gone == 0);
            }
            if queue.waiters.is_empty() {
                self.queues.remove(waiting.db, key);
            }
        }
    }

    /// When the next wait is over, or its request is to be tried again, Unix ms.
    pub fn next_due(&self) -> Option<u64> {
        let over = self.deadlines.first_key_value().map(|((deadline, _), _)| deadline.saturating_add(1));
        let retry = self.retries.first_key_value().map(|((retry, _), _)| *retry);
        over.into_iter().chain(retry).min()
    }

    /// Whether a request is to be tried again.
    pub fn has_retry(&self, now: u64) -> bool {
        self.retries.first_key_value().is_some_and(|((retry, _), _)| *retry <= now)
    }

    /// A client whose request is to be tried again; each is returned once, until [`Self::retry_at`].
    pub fn pop_retry(&mut self, now: u64) -> Option<ClientId> {
        let first = self.retries.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    /// Has the request of a client that goes on waiting be tried again at another time; `waiting` is what its session holds.
    pub fn retry_at(&mut self, client: ClientId, waiting: &mut Waiting, retry_ms: Option<u64>) {
        if let Some(before) = std::mem::replace(&mut waiting.wait.retry_ms, retry_ms) {
            self.retries.remove(&(before, waiting.serial));
        }
        if let Some(retry) = retry_ms {
            self.retries.insert((retry, waiting.serial), client);
        }
    }

    /// A client whose deadline has passed; each is returned once. The millisecond of the deadline belongs to the wait,
    /// which may have begun at the end of one.
    pub fn pop_due(&mut self, now: u64) -> Option<ClientId> {
        let first = self.deadlines.first_entry().filter(|first| first.key().0 < now)?;
        Some(first.remove())
    }

    /// The clock was set back: waits end so much earlier by it, and what sessions hold says so, too.
    pub(super) fn set_back(&mut self, by: u64) {
        let earlier = |((deadline, serial), client): ((u64, u64), ClientId)| {
            ((deadline.saturating_sub(by), serial), client)
        };
        self.deadlines = std::mem::take(&mut self.deadlines).into_iter().map(earlier).collect();
    }

    /// Whether some client waits for replicas.
    pub fn awaits_replicas(&self) -> bool {
        !self.replica_waits.is_empty()
    }

    /// The clients that wait for replicas, and have what they wait for.
    pub fn served_by_replicas(&self, copies: impl Fn(u64) -> Copies) -> Vec<ClientId> {
        let waits = self.replica_waits.values();
        waits
            .filter(|(_, wanted)| wanted.are_there(copies(wanted.offset)))
            .map(|(client, _)| *client)
            .collect()
    }

    /// A client that waits for the log to be durable up to `durable` or less; each is returned once.
    pub fn pop_durable(&mut self, durable: u64) -> Option<ClientId> {
        let first = self.log_waits.first_entry().filter(|first| first.key().0 <= durable)?;
        Some(first.remove())
    }
}

/// The error of WAITAOF without a log.
pub const NO_LOG: CommandError =
    CommandError::text("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
/// The error of CLIENT UNBLOCK … ERROR.
pub const UNBLOCKED: CommandError = CommandError::text("UNBLOCKED client unblocked via CLIENT UNBLOCK");

#[cfg(test)]
#[path = "blocked_tests.rs"]
mod tests;
