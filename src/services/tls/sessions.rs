//! Sessions that clients may resume: tickets, which the clients keep, and a cache for clients of TLS 1.2 that take none.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ProducesTickets, StoresServerSessions};

/// Bytes of a ticket's text that tell when it was made.
const TIME: usize = 8;

/// Tickets that end after a time. Their keys are made with it and change as rustls has them change.
#[derive(Debug)]
pub struct Tickets {
    sealed: Arc<dyn ProducesTickets>,
    /// Seconds.
    lifetime: u32,
    clock: fn() -> u64,
}

impl Tickets {
    pub fn new(lifetime: u32, clock: fn() -> u64) -> Result<Self, rustls::Error> {
        Ok(Tickets { sealed: Ticketer::new()?, lifetime, clock })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.sealed.encrypt(&[&(self.clock)().to_be_bytes(), plain].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let text = self.sealed.decrypt(cipher)?;
        let (made, plain) = text.split_first_chunk::<TIME>()?;
        let age = (self.clock)().saturating_sub(u64::from_be_bytes(*made));
        (age < u64::from(self.lifetime)).then(|| plain.to_vec())
    }
}

/// Sessions by their names, the oldest first to go.
#[derive(Debug)]
pub struct SessionCache {
    sessions: Mutex<Sessions>,
    /// Sessions kept at most; 0 is no limit.
    size: usize,
    /// Seconds.
    lifetime: u32,
    clock: fn() -> u64,
}

#[derive(Debug, Default)]
struct Sessions {
    /// With the time when they were put.
    by_name: HashMap<Vec<u8>, (u64, Vec<u8>)>,
    /// By age; a session that was put again or taken leaves its old entry.
    names: VecDeque<(u64, Vec<u8>)>,
}

impl Sessions {
    fn drop_oldest(&mut self) -> Option<()> {
        let (put, name) = self.names.pop_front()?;
        if self.by_name.get(&name).is_some_and(|(last, _)| *last == put) {
            self.by_name.remove(&name);
        }
        Some(())
    }
}

impl SessionCache {
    pub fn new(size: usize, lifetime: u32, clock: fn() -> u64) -> Self {
        SessionCache { sessions: Mutex::default(), size, lifetime, clock }
    }

    fn is_over(&self, put: u64, now: u64) -> bool {
        now.saturating_sub(put) >= u64::from(self.lifetime)
    }
}

impl StoresServerSessions for SessionCache {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let now = (self.clock)();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        while sessions.names.front().is_some_and(|(put, _)| self.is_over(*put, now)) {
            sessions.drop_oldest();
        }
        while self.size > 0 && sessions.names.len() >= self.size {
            sessions.drop_oldest();
        }
        sessions.names.push_back((now, key.clone()));
        sessions.by_name.insert(key, (now, value));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let (put, value) = sessions.by_name.get(key)?;
        (!self.is_over(*put, (self.clock)())).then(|| value.clone())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let (put, value) = sessions.by_name.remove(key)?;
        (!self.is_over(put, (self.clock)())).then_some(value)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local!(static NOW: Cell<u64> = const { Cell::new(1000) });

    fn clock() -> u64 {
        NOW.get()
    }

    #[test]
    fn a_ticket_ends_and_is_of_its_server() {
        let tickets = Tickets::new(300, clock).expect("keys");
        let ticket = tickets.encrypt(b"state").expect("a ticket");
        assert_eq!(tickets.decrypt(&ticket), Some(b"state".to_vec()));
        assert_eq!(Tickets::new(300, clock).expect("keys").decrypt(&ticket), None);
        NOW.set(1299);
        assert_eq!(tickets.decrypt(&ticket), Some(b"state".to_vec()));
        NOW.set(1300);
        assert_eq!(tickets.decrypt(&ticket), None);
        assert_eq!(tickets.decrypt(b"short"), None);
    }

    #[test]
    fn the_cache_is_bounded_by_number_and_age() {
        let cache = SessionCache::new(3, 10, clock);
        for name in 0..5u8 {
            NOW.set(2000 + u64::from(name));
            assert!(cache.put(vec![name], vec![name; 3]));
        }
        assert_eq!((cache.get(&[1]), cache.get(&[2])), (None, Some(vec![2; 3])));
        assert_eq!((cache.take(&[3]), cache.get(&[3])), (Some(vec![3; 3]), None));
        NOW.set(2012);
        assert_eq!((cache.get(&[2]), cache.get(&[4])), (None, Some(vec![4; 3])));
        let unlimited = SessionCache::new(0, 10, clock);
        (0..1000u16).for_each(|name| assert!(unlimited.put(name.to_be_bytes().to_vec(), vec![0])));
        assert_eq!(unlimited.sessions.lock().expect("no panic").by_name.len(), 1000);
        NOW.set(2022);
        unlimited.put(vec![1], vec![1]);
        assert_eq!(unlimited.sessions.lock().expect("no panic").by_name.len(), 1, "the old ones are gone");
    }
}
