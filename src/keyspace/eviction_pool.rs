//! Eviction policies (`maxmemory-policy`): chooses the key that is evicted when memory is short.
//!
//! As in Redis an approximation: a few random entries are sampled a round, the best candidates of
//! many rounds are kept in a small pool, and the best of the pool goes. The engine decides whether memory is
//! short, and removes the key with its events.

use super::{AccessMeaning, Database, Keyspace, LruClock};
use crate::base::rng::Rng;

/// `maxmemory-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EvictionPolicy {
    #[default]
    NoEviction,
    AllKeysLru,
    AllKeysLfu,
    AllKeysRandom,
    AllKeysLrm,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
    VolatileLrm,
}

impl EvictionPolicy {
    pub fn access_meaning(self) -> AccessMeaning {
        match self {
            Self::AllKeysLfu | Self::VolatileLfu => AccessMeaning::Frequency,
            Self::AllKeysLrm | Self::VolatileLrm => AccessMeaning::LastChange,
            _ => AccessMeaning::LastUse,
        }
    }

    /// Whether it wants to know when each key was used or changed, or how often.
    pub fn tracks_use(self) -> bool {
        self.access_meaning() != AccessMeaning::LastUse
            || matches!(self, Self::AllKeysLru | Self::VolatileLru)
    }

    fn is_random(self) -> bool {
        matches!(self, Self::AllKeysRandom | Self::VolatileRandom)
    }

    fn volatile_only(self) -> bool {
        matches!(
            self,
            Self::VolatileLru
                | Self::VolatileLfu
                | Self::VolatileRandom
                | Self::VolatileTtl
                | Self::VolatileLrm
        )
    }
}

/// A key that might go.
#[derive(Debug)]
struct Candidate {
    score: u64,
    db: usize,
    key: Vec<u8>,
}

/// Rounds of sampling until a policy for volatile keys gives up finding one.
const MAX_ROUNDS: usize = 64;
const POOL_SIZE: usize = 16;

/// The best candidates seen, best last.
#[derive(Debug, Default)]
pub struct EvictionPool {
    candidates: Vec<Candidate>,
    /// Where the random policies go on, so that all databases have their turn.
    next_db: usize,
}

impl EvictionPool {
    /// The database and key that should go next, or `None` if the policy allows none to.
    pub fn choose(
        &mut self,
        keyspace: &Keyspace,
        policy: EvictionPolicy,
        samples: usize,
        clock: &LruClock,
        rng: &mut Rng,
    ) -> Option<(usize, Vec<u8>)> {
        if policy == EvictionPolicy::NoEviction {
            return None;
        }
        if policy.is_random() {
            return self.choose_random(keyspace, policy, rng);
        }
        for _ in 0..MAX_ROUNDS {
            let mut drawn = false;
            for db in 0..keyspace.count() {
                drawn |= self.sample(keyspace, db, policy, samples, clock, rng);
            }
            while let Some(best) = self.candidates.pop() {
                let table = &keyspace.database(best.db).table;
                let found = table.find(table.hash(&best.key), &best.key);
                let is_shown = keyspace.database(best.db).shows(&best.key);
                if is_shown && found.is_some_and(|at| !policy.volatile_only() || table.deadline(at).is_some())
                {
                    return Some((best.db, best.key));
                }
            }
            // Each request would look for a key again where all are of slots that are on their way here.
            if !drawn && !keyspace.databases().iter().any(Database::shows_any) {
                return None;
            }
        }
        None
    }

    fn choose_random(
        &mut self,
        keyspace: &Keyspace,
        policy: EvictionPolicy,
        rng: &mut Rng,
    ) -> Option<(usize, Vec<u8>)> {
        for _ in 0..keyspace.count() {
            self.next_db = (self.next_db + 1) % keyspace.count();
            let database = keyspace.database(self.next_db);
            let table = &database.table;
            if !policy.volatile_only() {
                if let Some(at) = database.random_shown(rng) {
                    return Some((self.next_db, table.key(at).to_vec()));
                }
                continue;
            }
            if database.expires() == 0 {
                continue;
            }
            if let Some(at) = database.random_shown_volatile(rng) {
                return Some((self.next_db, table.key(at).to_vec()));
            }
        }
        None
    }

    /// Looks at some entries of one database and keeps the good ones; false if none could be drawn.
    fn sample(
        &mut self,
        keyspace: &Keyspace,
        db: usize,
        policy: EvictionPolicy,
        samples: usize,
        clock: &LruClock,
        rng: &mut Rng,
    ) -> bool {
        let database = keyspace.database(db);
        let table = &database.table;
        if database.is_empty() || (policy.volatile_only() && database.expires() == 0) {
            return false;
        }
        for drawn in 0..samples {
            let at = match policy.volatile_only() {
                true => database.random_shown_volatile(rng),
                false => database.random_shown(rng),
            };
            let Some(at) = at else { return drawn > 0 };
            let score = match policy {
                EvictionPolicy::VolatileTtl => u64::MAX - table.deadline(at).unwrap_or(u64::MAX),
                _ => clock.eviction_score(table.access(at)),
            };
            self.offer(score, db, table.key(at));
        }
        true
    }

    fn offer(&mut self, score: u64, db: usize, key: &[u8]) {
        if self.candidates.len() == POOL_SIZE && score <= self.candidates[0].score {
            return;
        }
        if self.candidates.iter().any(|c| c.db == db && c.key == key) {
            return;
        }
        let at = self.candidates.partition_point(|c| c.score < score);
        self.candidates.insert(at, Candidate { score, db, key: key.to_vec() });
        if self.candidates.len() > POOL_SIZE {
            self.candidates.remove(0);
        }
    }
}
