//! Client memory and client eviction (`maxmemory-clients`): the sum of all buffers, and the clients that are closed when it
//! exceeds the limit.
//!
//! A client's share is brought up to date when it was served or its buffers changed, so the sum is
//! always at hand. While there is no limit nothing is added up.

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::clients::describe::describe;
use crate::engine::clients::session::{Role, Session, state};
use crate::services::config::Config;

/// Under a smaller limit no client could connect any more to correct it, bytes.
const LEAST_LIMIT: usize = 128 * 1024;

/// Bytes that all clients may take together; 0: no limit.
pub fn limit_of(config: &Config) -> usize {
    let limit = match config.maxmemory_clients {
        bytes if bytes >= 0 => bytes as usize,
        percent => (u128::from(config.maxmemory) * u128::from(percent.unsigned_abs()) / 100) as usize,
    };
    if limit == 0 { 0 } else { limit.max(LEAST_LIMIT) }
}

/// Whether a client may be closed when memory is short.
fn may_go(session: &Session) -> bool {
    session.role == Role::Normal && !session.is(state::NO_EVICT | state::REPLICA)
}

impl Engine {
    /// Takes note of what a client takes by now; true if all together take too much.
    #[inline]
    pub fn recount_client(&mut self, client: ClientId) -> bool {
        self.settings.client_memory_limit > 0 && self.recount(client)
    }

    #[cold]
    fn recount(&mut self, client: ClientId) -> bool {
        if let Some(session) = self.clients.sessions.get_mut(client) {
            let now = session.memory_usage();
            self.clients.memory = self.clients.memory + now - session.counted_memory;
            session.counted_memory = now;
        }
        self.clients.memory > self.settings.client_memory_limit
    }

    /// Begins to add up, or ceases to.
    pub(in crate::engine) fn recount_all_clients(&mut self) {
        let counts = self.settings.client_memory_limit > 0;
        self.clients.memory = 0;
        for session in self.clients.sessions.iter_mut() {
            session.counted_memory = if counts { session.memory_usage() } else { 0 };
            self.clients.memory += session.counted_memory;
        }
    }

    /// Closes the clients that take the most until the others suit the limit; true if any had to go.
    pub fn evict_clients(&mut self) -> bool {
        let limit = self.settings.client_memory_limit;
        if limit == 0 || self.clients.memory <= limit {
            return false;
        }
        let evicted_before = self.metrics.stats.evicted_clients;
        let candidates = self.clients.sessions.iter().filter(|session| may_go(session));
        let mut candidates: Vec<(usize, ClientId)> =
            candidates.map(|session| (session.counted_memory, session.client)).collect();
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        for (_, client) in candidates {
            if self.clients.memory <= limit {
                break;
            }
            let session = self.clients.sessions.live(client);
            let mut line = String::new();
            describe(&self.commands, self.frame.now, session, None, &mut line);
            log::info!("Evicting client: {line}");
            self.metrics.stats.evicted_clients += 1;
            self.kill(client);
        }
        let evicted = self.metrics.stats.evicted_clients > evicted_before;
        if evicted && self.clients.memory > limit {
            log::warn!("Over client maxmemory after evicting all evictable clients");
        }
        evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ClientId;
    use crate::engine::clients::session::Peer;
    use crate::sys::clock::Clock;

    fn engine(maxmemory_clients: i64) -> (Engine, Vec<ClientId>) {
        let config = Config { maxmemory_clients, maxmemory: 1 << 30, ..Config::default() };
        let mut engine = Engine::new(&[], config, Clock::simulated(1_000_000), 1);
        let clients = (0..4).map(|_| engine.connect(0, 0, Peer::Internal)).collect();
        (engine, clients)
    }

    #[test]
    fn the_largest_goes_first_and_the_protected_never() {
        let (mut engine, clients) = engine(200_000);
        for (index, client) in clients.iter().enumerate() {
            engine.clients.sessions.live_mut(*client).io.output = 40_000 * index as u64;
            engine.recount_client(*client);
        }
        engine.clients.sessions.live_mut(clients[3]).set(state::NO_EVICT, true);
        engine.evict_clients();
        let alive: Vec<bool> =
            clients.iter().map(|client| engine.clients.sessions.get(*client).is_some()).collect();
        assert_eq!((alive, engine.metrics.stats.evicted_clients), (vec![true, true, false, true], 1));
        assert!(engine.clients.memory < 200_000);
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let (mut engine, clients) = engine(0);
        engine.clients.sessions.live_mut(clients[0]).io.output = 1 << 40;
        assert!(!engine.recount_client(clients[0]));
        engine.evict_clients();
        assert_eq!((engine.clients.sessions.len(), engine.clients.memory), (4, 0));
        for (maxmemory_clients, limit) in [(-10, 100_000_000), (-1, 10_000_000), (1, LEAST_LIMIT), (0, 0)] {
            let config = Config { maxmemory_clients, maxmemory: 1_000_000_000, ..Config::default() };
            assert_eq!(limit_of(&config), limit);
        }
    }
}
