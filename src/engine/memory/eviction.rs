//! Eviction (`evict.c`): which keys are removed when memory is short, and which requests are refused.

use crate::engine::Engine;
use crate::engine::command::spec::flag;
use crate::keyspace::{EvictionPolicy, EvictionPool};
use crate::resp::CommandError;
use crate::structures::table::mapped_bytes;
use crate::sys::memory;

/// State of eviction between requests.
#[derive(Debug, Default)]
pub struct Eviction {
    pool: EvictionPool,
    /// Eviction stopped for lack of time: cron goes on with it.
    unfinished: bool,
    /// Since when memory has been above its limit, Unix ms.
    exceeded_since: Option<u64>,
    /// For how long it was before, ms.
    exceeded_ms: u64,
}

/// Bytes allocated by the process.
#[inline]
fn allocated() -> u64 {
    (memory::used() + mapped_bytes()) as u64
}

impl Engine {
    /// Bytes that count against `maxmemory`. What the databases' arenas have to spare doesn't, so every key
    /// that goes makes room; nor does what clients are about to be told of the keys that went.
    pub fn counted_memory(&self) -> u64 {
        let spare = self.data.keyspace.memory_spare() + self.clients.tracking.readers.memory_spare();
        let untold = self.data.keyspace.journal.memory_usage() + self.clients.outbox.memory_usage();
        allocated().saturating_sub((spare + untold) as u64)
    }

    /// Bytes that the process has allocated, spare ones included.
    pub(in crate::engine) fn allocated_memory(&self) -> u64 {
        allocated()
    }

    #[inline]
    pub(in crate::engine) fn is_short_of_memory(&self) -> bool {
        // The sum over the databases only when it matters.
        let limit = self.settings.maxmemory;
        allocated() > limit && self.counted_memory().saturating_sub(self.uncounted_memory()) > limit
    }

    /// Bytes of the stream that wait for replicas and the log, and of a snapshot that wait to be written: freeing keys
    /// would only make more of them.
    pub fn uncounted_memory(&self) -> u64 {
        let backlog = self.backlog();
        let stream = (backlog.memory_usage() as u64).saturating_sub(backlog.retained().unwrap_or(0));
        stream + self.persistence.run().map_or(0, |run| run.queued() as u64)
    }

    /// Whether the data set is to stay as it is, however short memory is.
    fn spares_keys(&self) -> bool {
        self.clients.pause.is_some() || self.settings.ignores_maxmemory || self.settings.import_mode
    }

    /// Evicts while memory is short, within its budget. The error is for a request that needs more.
    pub(in crate::engine) fn make_room(&mut self, flags: u64) -> Option<CommandError> {
        // What obeys a primary doesn't refuse either: the primary sees to the memory.
        if self.clients.pause.is_some() || self.settings.ignores_maxmemory || !self.is_short_of_memory() {
            return None;
        }
        let freed = !self.spares_keys() && self.evict();
        (!freed && flags & flag::DENYOOM != 0).then_some(CommandError::OOM)
    }

    /// For how long memory has been above its limit: now, and altogether, ms.
    pub fn exceeded_ms(&self) -> (u64, u64) {
        let current =
            self.data.eviction.exceeded_since.map_or(0, |since| self.steady_now().saturating_sub(since));
        (current, self.data.eviction.exceeded_ms + current)
    }

    pub(in crate::engine) fn reset_eviction_times(&mut self) {
        self.data.eviction.exceeded_ms = 0;
        self.data.eviction.exceeded_since = self.data.eviction.exceeded_since.map(|_| self.steady_now());
    }

    /// Evicts until memory suffices or time is up; false if it can't.
    pub fn evict(&mut self) -> bool {
        let sufficed = self.evict_some();
        if self.is_short_of_memory() {
            self.data.eviction.exceeded_since.get_or_insert(self.steady_now());
        } else if let Some(since) = self.data.eviction.exceeded_since.take() {
            self.data.eviction.exceeded_ms += self.steady_now().saturating_sub(since);
        }
        sufficed
    }

    fn evict_some(&mut self) -> bool {
        if self.settings.policy == EvictionPolicy::NoEviction {
            return !self.is_short_of_memory();
        }
        let started = self.clock.ticks();
        self.data.eviction.unfinished = false;
        let mut keys = 0u32;
        while self.is_short_of_memory() {
            if !self.evict_one() {
                // What is being given back in slices will make room yet.
                let waiting = self.clock.ticks();
                while self.is_short_of_memory() && self.free_slice() {}
                self.note_delay("eviction-lazyfree", waiting);
                self.note_delay("eviction-cycle", started);
                return !self.is_short_of_memory();
            }
            keys += 1;
            if keys.is_multiple_of(16) {
                self.free_slice();
                // What is noted about the keys that went takes memory, too: it mustn't eat up what they gave.
                if self.frame.is_idle() {
                    self.after_cron();
                }
                let spent = self.clock.nanos(started, self.clock.ticks());
                if spent > self.settings.eviction_budget_us.saturating_mul(1000) {
                    self.data.eviction.unfinished = true;
                    break;
                }
            }
        }
        self.note_delay("eviction-cycle", started);
        true
    }

    fn evict_one(&mut self) -> bool {
        let (policy, samples) = (self.settings.policy, self.settings.maxmemory_samples);
        let chosen = self.data.eviction.pool.choose(
            &self.data.keyspace,
            policy,
            samples,
            &self.data.lru_clock,
            &mut self.data.rng,
        );
        let Some((db, key)) = chosen else { return false };
        if self.view(db).evict(&key) {
            self.data.keyspace.stats.evicted_keys += 1;
        }
        self.propagate_removals();
        true
    }

    /// Lets eviction begin in the next turn, if there is need.
    pub(in crate::engine) fn resume_eviction(&mut self) {
        if self.settings.maxmemory > 0 && self.is_short_of_memory() {
            self.data.eviction.unfinished = true;
            self.wake_soon();
        }
    }

    /// Goes on with an eviction that ran out of time; true while more is to be done.
    pub(in crate::engine) fn continue_eviction(&mut self) -> bool {
        // While clients are paused, or data is imported, none of it is to go; it is looked at again afterwards.
        if !self.data.eviction.unfinished || self.spares_keys() {
            return false;
        }
        if self.settings.maxmemory > 0 && self.is_short_of_memory() {
            self.evict();
            self.after_cron();
        } else {
            self.data.eviction.unfinished = false;
        }
        self.data.eviction.unfinished
    }
}

#[cfg(test)]
mod tests {
    use crate::base::slot_set::SlotSet;
    use crate::commands::testing::TestServer;
    use crate::engine::persistence::Purpose;
    use crate::keyspace::EvictionPolicy;
    use crate::services::config::Config;

    /// As the memory of Redis's child doesn't, which copies what changes meanwhile.
    #[test]
    fn what_waits_of_a_snapshot_does_not_count() {
        let mut server = TestServer::new();
        for key in 0..100 {
            server.script(&format!("SET k{key} {}", "x".repeat(10_000)));
        }
        let before = server.engine.uncounted_memory();
        server.engine.start_snapshot(Purpose::Background);
        // What is removed is handed over first.
        for key in 0..50 {
            server.script(&format!("DEL k{key} => :1"));
        }
        let queued = server.engine.persistence.run().expect("under way").queued() as u64;
        assert!(queued > 400_000, "{queued}");
        assert_eq!(server.engine.uncounted_memory(), before + queued);
    }

    /// All are sampled: the order is exact.
    #[test]
    fn least_recently_modified_keys_go_first() {
        for policy in ["allkeys-lrm", "volatile-lrm"] {
            let mut server = TestServer::new();
            server.script(&format!("CONFIG SET maxmemory-policy {policy} maxmemory-samples 64"));
            let keys: Vec<String> = (0..12).map(|n| format!("k{n}")).collect();
            for key in &keys {
                let create = match key.as_str() {
                    "k0" => "VADD k0 VALUES 2 1 0 x",
                    "k1" => "PFADD k1 x",
                    _ => &format!("RPUSH {key} x"),
                };
                server.script(&format!("{create} => :1\nEXPIRE {key} 10000 => :1"));
            }
            server.script("SET stays 1");
            for key in keys[..6].iter().rev() {
                server.advance(2_000);
                // The first two changes are published as no event.
                let change = match key.as_str() {
                    "k0" => "VSETATTR k0 x {} => :1",
                    "k1" => "PFCOUNT k1 => :1",
                    _ => &format!("LSET {key} 0 y"),
                };
                server.script(change);
            }
            server.advance(2_000);
            for key in &keys[6..] {
                // Read, or not changed: as old as before.
                server.script(&format!("LINDEX {key} 0 => \"x\"\nLREM {key} 0 none => :0"));
            }
            if policy == "allkeys-lrm" {
                server.script("SET stays 2");
            }
            let mut order = Vec::new();
            server.engine.settings.maxmemory = 1;
            while order.len() < keys.len() {
                let engine = &mut server.engine;
                let (keyspace, clock) = (&engine.data.keyspace, engine.lru_clock());
                let mut pool = crate::keyspace::EvictionPool::default();
                let chosen = pool.choose(keyspace, engine.settings.policy, 64, &clock, &mut engine.data.rng);
                let (db, key) = chosen.expect("a key that may go");
                assert!(engine.view(db).evict(&key));
                order.push(String::from_utf8(key).expect("a name of ours"));
            }
            assert!(order[..6].iter().all(|key| keys[6..].contains(key)), "{policy}: {order:?}");
            let later: Vec<&String> = keys[..6].iter().rev().collect();
            assert_eq!(order[6..].iter().collect::<Vec<_>>(), later, "{policy}");
        }
    }

    #[test]
    fn another_server_decides_which_keys_go() {
        let mut server = TestServer::new();
        server.script("SET a 1\nSET b 1");
        server.engine.settings.policy = EvictionPolicy::AllKeysRandom;
        server.engine.settings.maxmemory = 1;
        let refused = "-OOM command not allowed when used memory > 'maxmemory'.";
        for (retains, imports, reply) in [(true, false, "+OK"), (false, true, refused)] {
            server.engine.settings.ignores_maxmemory = retains;
            server.engine.settings.import_mode = imports;
            assert_eq!(server.run("SET a 2"), reply);
            server.engine.resume_eviction();
            server.engine.tick();
            assert_eq!(server.run("DBSIZE"), ":2");
        }
        server.engine.settings.import_mode = false;
        server.engine.tick();
        assert_eq!(server.run("DBSIZE"), ":0");
    }

    /// A node that is being sent slots looks once for a key that may go, not in each of many rounds.
    #[test]
    fn hidden_keys_are_not_looked_for_again() {
        let config = Config { cluster_enabled: true, ..Config::default() };
        for policy in [EvictionPolicy::AllKeysLru, EvictionPolicy::VolatileLru] {
            let mut server = TestServer::with(config.clone());
            server.script("SET {a}1 1 EX 1000\nSET {a}2 2 EX 1000");
            let engine = &mut server.engine;
            engine.data.keyspace.hide_slots(&SlotSet::full());
            let mut rng = engine.data.rng.clone();
            let database = engine.data.keyspace.database(0);
            let drawn = match policy {
                EvictionPolicy::AllKeysLru => database.random_shown(&mut rng),
                _ => database.random_shown_volatile(&mut rng),
            };
            assert!(drawn.is_none());
            let (keyspace, clock) = (&engine.data.keyspace, engine.lru_clock());
            let mut pool = crate::keyspace::EvictionPool::default();
            assert!(pool.choose(keyspace, policy, 5, &clock, &mut engine.data.rng).is_none());
            assert_eq!(engine.data.rng.next_u64(), rng.next_u64());
        }
    }
}
