//! Clients that wait for a key.
//!
//! A handler that finds nothing returns [`Done::Blocked`](crate::engine::Done) with what it waits for; the
//! engine keeps the request and runs the same handler again, in order of arrival, whenever a unit
//! changed one of the keys into something the client may use. Deadlines lie in a heap; a client
//! that left, was served or unblocked leaves a stale entry behind that is skipped.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

use crate::base::ids::ClientId;
use crate::resp::{CommandError, OwnedArgs, Reply};

/// What a waiting client gets when nothing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutReply {
    NullArray,
    /// A null array after a wait, but a null where waiting isn't allowed (BLMOVE, BRPOPLPUSH).
    NullArrayOrNull,
    Integer(i64),
}

impl TimeoutReply {
    pub fn write(self, reply: &mut Reply) {
        match self {
            TimeoutReply::NullArray | TimeoutReply::NullArrayOrNull => reply.null_array(),
            TimeoutReply::Integer(n) => reply.integer(n),
        }
    }

    /// What is given at once where waiting isn't allowed.
    pub fn write_at_once(self, reply: &mut Reply) {
        match self {
            TimeoutReply::NullArrayOrNull => reply.null(),
            other => other.write(reply),
        }
    }
}

/// What a handler waits for.
#[derive(Clone, Debug)]
pub struct Wait {
    /// Any of these keys of the session's database.
    pub keys: Vec<Box<[u8]>>,
    /// Type (as TYPE names it) that a key must have for the client to be tried again.
    pub type_name: &'static str,
    /// Also tried when the key is gone or of another type (XREADGROUP, whose group went with it).
    pub even_if_gone: bool,
    /// Unix ms; `None`: for ever.
    pub deadline: Option<u64>,
    pub on_timeout: TimeoutReply,
    /// The request to be tried again, if not the one that blocked (XREAD's `$` is resolved first).
    pub request: Option<OwnedArgs>,
}

/// A session's state while it waits.
#[derive(Debug)]
pub struct Waiting {
    pub wait: Wait,
    pub request: OwnedArgs,
    pub db: u32,
    /// Distinguishes this wait from the client's earlier ones.
    serial: u64,
}

/// The clients that wait for a key.
#[derive(Default)]
struct Queue {
    /// First come first.
    clients: VecDeque<ClientId>,
    /// How many of them are to be tried even if the key is gone.
    even_if_gone: usize,
}

/// Who waits for what, in which order.
#[derive(Default)]
pub struct Blocked {
    queues: HashMap<(u32, Box<[u8]>), Queue>,
    deadlines: BinaryHeap<Reverse<(u64, u64, ClientId)>>,
    /// Clients in the order in which they began to wait.
    waiting: BTreeMap<u64, ClientId>,
    serial: u64,
}

impl Blocked {
    pub fn count(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Keys that somebody waits for.
    pub fn key_count(&self) -> usize {
        self.queues.len()
    }

    /// Keys for which somebody waits who is also served when they go.
    pub fn keys_even_if_gone(&self) -> usize {
        self.queues.values().filter(|queue| queue.even_if_gone > 0).count()
    }

    /// Whether anybody waits for this key.
    pub fn awaits(&self, db: u32, key: &[u8]) -> bool {
        // The map owns its keys; a lookup by borrowed parts would need a key type of its own,
        // and this runs only while somebody waits.
        self.queues.contains_key(&(db, key.into()))
    }

    /// How many clients wait for a key.
    pub fn waiter_count(&self, db: u32, key: &[u8]) -> usize {
        self.queues.get(&(db, key.into())).map_or(0, |queue| queue.clients.len())
    }

    /// The client that is `at`-th in the queue for a key.
    pub fn waiter(&self, db: u32, key: &[u8], at: usize) -> Option<ClientId> {
        self.queues.get(&(db, key.into()))?.clients.get(at).copied()
    }

    /// Whether somebody in a key's queue is to be tried even if the key is gone.
    pub fn is_gone_awaited(&self, db: u32, key: &[u8]) -> bool {
        self.queues.get(&(db, key.into())).is_some_and(|queue| queue.even_if_gone > 0)
    }

    /// All keys waited for in a database.
    pub fn keys_of(&self, db: u32) -> Vec<Box<[u8]>> {
        self.queues.keys().filter(|(d, _)| *d == db).map(|(_, key)| key.clone()).collect()
    }

    /// Enters a client; the returned state belongs into its session.
    pub fn enter(&mut self, client: ClientId, db: u32, wait: Wait, request: OwnedArgs) -> Box<Waiting> {
        self.serial += 1;
        for key in &wait.keys {
            let queue = self.queues.entry((db, key.clone())).or_default();
            // Only this request's own entry can be there already, and then it is the last.
            if queue.clients.back() != Some(&client) {
                queue.clients.push_back(client);
                queue.even_if_gone += usize::from(wait.even_if_gone);
            }
        }
        if let Some(deadline) = wait.deadline {
            self.deadlines.push(Reverse((deadline, self.serial, client)));
        }
        self.waiting.insert(self.serial, client);
        Box::new(Waiting { wait, request, db, serial: self.serial })
    }

    /// Takes a client out; `waiting` is what its session held.
    pub fn leave(&mut self, client: ClientId, waiting: &Waiting) {
        self.waiting.remove(&waiting.serial);
        for key in &waiting.wait.keys {
            let place = (waiting.db, key.clone());
            if let Some(queue) = self.queues.get_mut(&place) {
                // Who is served is mostly the first.
                let at = queue.clients.iter().position(|other| *other == client);
                if at.and_then(|at| queue.clients.remove(at)).is_some() {
                    queue.even_if_gone -= usize::from(waiting.wait.even_if_gone);
                }
                if queue.clients.is_empty() {
                    self.queues.remove(&place);
                }
            }
        }
    }

    /// When the next wait may be over, stale ones included, Unix ms.
    pub fn next_due(&self) -> Option<u64> {
        self.deadlines.peek().map(|Reverse((deadline, _, _))| deadline.saturating_add(1))
    }

    /// A client whose deadline has passed, if its wait is still the one that set it. The millisecond of the
    /// deadline belongs to the wait, which may have begun at the end of one.
    pub fn pop_due(&mut self, now: u64) -> Option<ClientId> {
        while let Some(Reverse((deadline, serial, client))) = self.deadlines.peek().copied() {
            if deadline >= now {
                return None;
            }
            self.deadlines.pop();
            if self.waiting.contains_key(&serial) {
                return Some(client);
            }
        }
        None
    }
}

/// The error of CLIENT UNBLOCK … ERROR.
pub const UNBLOCKED: CommandError = CommandError::text("UNBLOCKED client unblocked via CLIENT UNBLOCK");
