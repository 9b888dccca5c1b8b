//! Clients of a cluster that follow redirections. Each key is a list that numbers are appended to, none of them twice: what is missing,
//! doubled or out of order is seen in it.

use std::collections::BTreeSet;

use redloop::base::crc::key_slot;
use redloop::base::ids::ClientId;
use redloop::base::rng::Rng;

use super::world::ClusterWorld;
use crate::node::PORT;
use crate::request::Request;

/// Clients; each has a session of this number at every node.
pub const CLIENTS: usize = 2;
const REDIRECTIONS: u32 = 6;
const WAIT_MS: &str = "400";

/// A node, and which start of it.
pub type Life = (usize, u64);

/// A list, and what is known of it.
#[derive(Debug)]
pub struct Key {
    pub name: String,
    pub slot: u16,
    /// The last number that was sent, and the last that was acknowledged.
    pub sent: u64,
    pub acked: u64,
    /// Where clients look first.
    known: Option<usize>,
    /// The last number that WAIT acknowledged, and the nodes that have it.
    pub promised: u64,
    pub holders: BTreeSet<Life>,
    /// Who serves it, in which epoch.
    pub owner: Option<Life>,
    pub epoch: u64,
    /// Numbers that were acknowledged since the cluster was last at rest, while nothing failed.
    pub calm: Vec<u64>,
}

impl Key {
    pub fn new(number: usize, rng: &mut Rng) -> Key {
        let name = format!("list:{number}:{}", rng.below(1000));
        Key {
            slot: key_slot(name.as_bytes()),
            name,
            sent: 0,
            acked: 0,
            known: None,
            promised: 0,
            holders: BTreeSet::new(),
            owner: None,
            epoch: 0,
            calm: Vec::new(),
        }
    }

    /// Whether a list's numbers are some of those that were sent, in order.
    pub fn check_numbers(&self, numbers: &[u64]) {
        let is_sound = numbers.windows(2).all(|pair| pair[0] < pair[1])
            && numbers.iter().all(|number| (1..=self.sent).contains(number));
        assert!(is_sound, "{} has {numbers:?}, {} were sent", self.name, self.sent);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Write(u64),
    Wait(u64),
    Read,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
struct Operation {
    key: usize,
    stage: Stage,
    at: Life,
    /// The session, which the node may end.
    session: ClientId,
    /// Sent before the request itself.
    prefix: Option<&'static str>,
    redirections: u32,
    begun_ms: u64,
    offset: u64,
}

/// See the head of this file.
#[derive(Clone, Copy, Debug)]
pub struct ClusterClient {
    number: usize,
    operation: Option<Operation>,
    /// It begins nothing new.
    pub is_idle: bool,
}

impl ClusterClient {
    pub fn new(number: usize) -> ClusterClient {
        ClusterClient { number, operation: None, is_idle: true }
    }
}

/// The numbers of a reply that is an array.
pub fn numbers(reply: &str) -> Option<Vec<u64>> {
    let lines = reply.strip_prefix('*')?.lines().skip(1);
    Some(lines.filter(|line| !line.starts_with('$')).map(|line| line.parse().expect("a number")).collect())
}

/// The node that a redirection names.
fn target_of(reply: &str) -> Option<usize> {
    let port: u16 = reply.trim_end().rsplit(':').next()?.parse().ok()?;
    port.checked_sub(PORT).map(usize::from)
}

impl ClusterWorld {
    pub fn tend_clients(&mut self) {
        for client in 0..CLIENTS {
            let ClusterClient { operation, is_idle, .. } = self.clients[client];
            match operation {
                Some(operation) => self.look_for_reply(client, operation),
                None if !is_idle && self.chance(2) => self.begin(client),
                None => {}
            }
        }
    }

    fn begin(&mut self, client: usize) {
        // Each has keys of its own, so that there is an order.
        let key = client + CLIENTS * self.below(self.keys.len() / CLIENTS);
        let node = self.keys[key].known.unwrap_or_else(|| self.rng.below(self.places.len() as u64) as usize);
        let mut at = (node, 0);
        let (mut stage, mut prefix) = (Stage::Read, None);
        if self.chance(5) {
            // Of any node, as one that only reads.
            at.0 = self.below(self.places.len());
            prefix = Some("READONLY");
        } else if !self.chance(5) {
            // A number is sent once, so it is given when it is.
            self.keys[key].sent += 1;
            stage = Stage::Write(self.keys[key].sent);
        }
        let begun_ms = self.network.now;
        self.send(
            client,
            Operation {
                key,
                stage,
                at,
                session: ClientId::NONE,
                prefix,
                redirections: 0,
                begun_ms,
                offset: 0,
            },
        );
    }

    fn send(&mut self, client: usize, mut operation: Operation) {
        let (node, key) = (operation.at.0, &self.keys[operation.key]);
        let request = match operation.stage {
            Stage::Write(number) => Request::from_words(&["RPUSH", &key.name, &number.to_string()]),
            Stage::Wait(_) => Request::from_words(&["WAIT", "1", WAIT_MS]),
            Stage::Read => Request::from_words(&["LRANGE", &key.name, "0", "-1"]),
        };
        let place = &mut self.places[node];
        operation.at.1 = place.starts;
        let Some(up) = &mut place.node else { return self.end_operation(client, operation) };
        let session = &mut up.clients[self.clients[client].number];
        operation.session = session.id;
        session.queue.clear();
        session.received.clear();
        session.queue.extend(operation.prefix.map(|word| Request::from_words(&[word])));
        session.queue.push_back(request);
        self.clients[client].operation = Some(operation);
    }

    fn end_operation(&mut self, client: usize, operation: Operation) {
        self.clients[client].operation = None;
        self.keys[operation.key].known = None;
    }

    fn look_for_reply(&mut self, client: usize, operation: Operation) {
        let (node, life) = operation.at;
        let place = &mut self.places[node];
        let Some(up) = place.node.as_mut().filter(|_| place.starts == life) else {
            return self.end_operation(client, operation);
        };
        let session = &mut up.clients[self.clients[client].number];
        if session.id != operation.session {
            return self.end_operation(client, operation);
        }
        let received = String::from_utf8_lossy(&session.received).into_owned();
        let reply = match operation.prefix {
            Some(_) if received.starts_with("+OK\r\n") => received[5..].to_string(),
            _ => received,
        };
        if reply.is_empty() {
            return;
        }
        let offset = session.offset;
        session.received.clear();
        self.answered(client, operation, &reply, offset);
    }

    fn answered(&mut self, client: usize, mut operation: Operation, reply: &str, offset: u64) {
        let is_ask = reply.starts_with("-ASK ");
        if is_ask || reply.starts_with("-MOVED ") {
            let target = target_of(reply).filter(|_| operation.redirections < REDIRECTIONS);
            let Some(target) = target else { return self.end_operation(client, operation) };
            if is_ask {
                self.figures.asked += 1;
            } else {
                self.figures.redirected += 1;
                self.keys[operation.key].known = Some(target);
            }
            operation.prefix = is_ask.then_some("ASKING");
            operation.at.0 = target;
            operation.redirections += 1;
            return self.send(client, operation);
        }
        if reply.starts_with('-') {
            let is_known =
                ["-CLUSTERDOWN", "-TRYAGAIN", "-LOADING", "-MASTERDOWN", "-READONLY", "-UNBLOCKED", "-ERR"];
            assert!(is_known.iter().any(|word| reply.starts_with(word)), "not expected: {reply}");
            return self.end_operation(client, operation);
        }
        self.clients[client].operation = None;
        let key = &mut self.keys[operation.key];
        match operation.stage {
            Stage::Read => {
                key.check_numbers(&numbers(reply).expect("an array"));
                self.figures.reads += 1;
            }
            Stage::Write(number) => {
                key.acked = key.acked.max(number);
                if operation.prefix.is_none() {
                    key.known = Some(operation.at.0);
                }
                self.figures.writes += 1;
                if self.records_calm {
                    key.calm.push(number);
                    self.figures.calm_writes += 1;
                }
                if operation.prefix.is_none() && self.chance(2) {
                    operation.stage = Stage::Wait(number);
                    operation.offset = offset;
                    self.send(client, operation);
                }
            }
            Stage::Wait(number) => {
                if reply != ":0\r\n" {
                    self.promise(operation, number);
                }
            }
        }
    }

    /// WAIT has acknowledged a number of a list.
    fn promise(&mut self, operation: Operation, number: u64) {
        let primary = operation.at;
        let Some(node) = self.places[primary.0].node.as_ref() else { return };
        let mut holders: BTreeSet<Life> = node
            .acknowledged_by(operation.offset, false)
            .into_iter()
            // One that was started since may not be the one that has acknowledged it.
            .filter(|replica| self.places[*replica].started_ms < operation.begun_ms && self.is_up(*replica))
            .map(|replica| (replica, self.places[replica].starts))
            .collect();
        holders.insert(primary);
        self.figures.waited += 1;
        let is_moving = self.resharding.as_ref().is_some_and(|it| it.slot == self.keys[operation.key].slot);
        let key = &mut self.keys[operation.key];
        // Another one may have taken over meanwhile, of which this one doesn't know.
        if key.owner == Some(primary) && number > key.promised && !is_moving {
            key.promised = number;
            key.holders = holders;
        }
    }
}
