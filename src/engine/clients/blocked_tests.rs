//! Tests of the register of blocked clients against a list that is searched from end to end.

use std::collections::BTreeSet;

use super::*;
use crate::base::rng::Rng;

struct Naive {
    client: ClientId,
    waiting: Box<Waiting>,
}

impl Naive {
    fn awaits(&self, db: u32, key: &[u8]) -> bool {
        self.waiting.db == db && self.waiting.wait.keys.iter().any(|own| **own == *key)
    }

    fn even_if_gone(&self) -> bool {
        matches!(self.waiting.wait.awaited, Awaited::GroupEntry(_))
    }
}

fn request() -> OwnedArgs {
    OwnedArgs::from_parts(["BLPOP"])
}

fn wait_for(keys: &[&[u8]], awaited: Awaited, deadline: Option<u64>) -> Wait {
    let keys = keys.iter().map(|key| Box::from(*key)).collect();
    let on_timeout = TimeoutReply::NullArray;
    Wait { keys, awaited, deadline, retry_ms: None, on_timeout, resolved: None, nanos: 0 }
}

fn client(index: u32) -> ClientId {
    ClientId { index, generation: 1 }
}

const KEYS: [&[u8]; 5] = [b"a", b"b", b"c", b"", b"\0long key with some bytes more than the others"];

fn random_wait(rng: &mut Rng, now: u64) -> Wait {
    let keys: Vec<&[u8]> = (0..1 + rng.below(4)).map(|_| KEYS[rng.below(5) as usize]).collect();
    let awaited = match rng.below(3) {
        0 => Awaited::Type("list"),
        1 => Awaited::GroupEntry(Box::from(*b"g")),
        _ => Awaited::EntryAfter(keys.iter().map(|_| StreamId::new(rng.below(9), 0)).collect()),
    };
    let deadline = (rng.below(3) > 0).then(|| now + rng.below(40));
    wait_for(&keys, awaited, deadline)
}

/// Compares everything that can be asked.
fn check(blocked: &Blocked, model: &[Naive]) {
    assert_eq!((blocked.count(), blocked.is_empty()), (model.len(), model.is_empty()));
    let due = model.iter().filter_map(|naive| naive.waiting.wait.deadline).min();
    // Deadlines that were returned are no longer in the register, but the test ends such waits at once.
    assert_eq!(blocked.next_due(), due.map(|deadline| deadline + 1));
    assert_eq!(blocked.deadlines.len(), model.iter().filter(|n| n.waiting.wait.deadline.is_some()).count());
    let (mut keys, mut gone_keys) = (BTreeSet::new(), BTreeSet::new());
    for db in 0..2 {
        for key in KEYS {
            let queue: Vec<&Naive> = model.iter().filter(|naive| naive.awaits(db, key)).collect();
            let gone = queue.iter().any(|naive| naive.even_if_gone());
            assert_eq!(blocked.is_gone_awaited(db, key), gone);
            if !queue.is_empty() {
                keys.insert((db, key));
            }
            if gone {
                gone_keys.insert((db, key));
            }
            let (mut after, mut found) = (0, Vec::new());
            while let Some(waiter) = blocked.next_waiter(db, key, after) {
                after = waiter.serial;
                found.push(waiter);
            }
            let expected = queue.iter().map(|naive| Waiter {
                client: naive.client,
                serial: naive.waiting.serial,
                index: naive.waiting.wait.keys.iter().position(|own| **own == *key).expect("awaited"),
            });
            assert_eq!(found, expected.collect::<Vec<_>>());
        }
    }
    assert_eq!((blocked.key_count(), blocked.keys_even_if_gone()), (keys.len(), gone_keys.len()));
}

#[test]
fn agrees_with_a_list() {
    for seed in 0..8 {
        let mut rng = Rng::new(seed);
        let mut blocked = Blocked::new(KeyHasher::new(seed));
        let mut model: Vec<Naive> = Vec::new();
        let mut now = 100;
        for round in 0..1500 {
            match rng.below(5) {
                0 | 1 => {
                    let db = rng.below(2) as u32;
                    let waiting = blocked.enter(client(round), db, random_wait(&mut rng, now), request());
                    model.push(Naive { client: client(round), waiting });
                }
                2 if !model.is_empty() => {
                    let naive = model.remove(rng.below(model.len() as u64) as usize);
                    blocked.leave(&naive.waiting);
                }
                3 => {
                    now += rng.below(20);
                    while let Some(due) = blocked.pop_due(now) {
                        // The earliest deadline first; of equal ones the wait that began first.
                        let over = model.iter().filter(|n| n.waiting.wait.deadline.is_some_and(|d| d < now));
                        let first = over.min_by_key(|n| (n.waiting.wait.deadline, n.waiting.serial));
                        assert_eq!(Some(due), first.map(|naive| naive.client));
                        let at = model.iter().position(|naive| naive.client == due).expect("waits");
                        blocked.leave(&model.remove(at).waiting);
                    }
                    assert!(model.iter().all(|n| n.waiting.wait.deadline.is_none_or(|d| d >= now)));
                }
                _ => {
                    let (db, key) = (rng.below(2) as u32, KEYS[rng.below(5) as usize]);
                    let last = model.iter().rfind(|naive| naive.awaits(db, key));
                    // The first of several changes is to be acted upon.
                    assert_eq!(blocked.signal(db, key), last.is_some());
                    assert!(!blocked.signal(db, key));
                    let serial = last.map(|naive| naive.waiting.serial);
                    assert_eq!(blocked.start_serving(db, key), serial);
                }
            }
            check(&blocked, &model);
        }
        for naive in model.drain(..) {
            blocked.leave(&naive.waiting);
        }
        check(&blocked, &model);
    }
}

#[test]
fn a_key_named_twice_waits_for_the_lesser_id() {
    let mut blocked = Blocked::new(KeyHasher::new(1));
    let ids = [(b"s", 5), (b"t", 2), (b"s", 3)];
    let awaited = Awaited::EntryAfter(ids.iter().map(|(_, ms)| StreamId::new(*ms, 0)).collect());
    let keys: Vec<&[u8]> = ids.iter().map(|(key, _)| &key[..]).collect();
    let waiting = blocked.enter(client(1), 0, wait_for(&keys, awaited, None), request());
    let Awaited::EntryAfter(ids) = &waiting.wait.awaited else { unreachable!("as it was entered") };
    assert_eq!(ids[..2], [StreamId::new(3, 0), StreamId::new(2, 0)]);
    assert_eq!(blocked.next_waiter(0, b"s", 0).map(|waiter| waiter.index), Some(0));
}
