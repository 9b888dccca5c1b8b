//! Tests of what a stream remembers of requests, against lists that are searched from end to end.

use std::collections::BTreeMap;

use super::*;
use crate::base::rng::Rng;
use crate::value::Limits;

/// By producer: identifier and id of every request, in order of arrival.
type Naive = BTreeMap<Vec<u8>, Vec<(Vec<u8>, StreamId)>>;

fn all(requests: &Idempotency) -> Naive {
    let owned = |records: &mut dyn Iterator<Item = (&[u8], StreamId)>| {
        records.map(|(identifier, id)| (identifier.to_vec(), id)).collect()
    };
    requests.iter().map(|(name, mut records)| (name.to_vec(), owned(&mut records))).collect()
}

fn expire(naive: &mut Naive, producer: &[u8], now_ms: u64, retention: Retention) {
    if let Some(records) = naive.get_mut(producer) {
        let kept = records.iter().position(|(_, id)| retention.expires_ms(*id) > now_ms);
        records.drain(..kept.unwrap_or(records.len()));
    }
    naive.retain(|_, records| !records.is_empty());
}

#[test]
fn behaves_like_lists() {
    let hasher = Limits::default().hasher;
    for seed in 1..=30 {
        let mut rng = Rng::new(seed);
        let retention = Retention { seconds: 1 + rng.below(3) as u32, identifiers: 1 + rng.below(40) as u32 };
        let (mut requests, mut naive) = (Idempotency::default(), Naive::new());
        let (mut now, mut added) = (1000, 0);
        for _ in 0..800 {
            now += rng.below(40);
            let producer = format!("p{}", rng.below(6)).into_bytes();
            let identifier = format!("i{}", rng.below(60)).into_bytes();
            match rng.below(10) {
                0..=6 => {
                    requests.expire(&producer, now, retention, &hasher);
                    expire(&mut naive, &producer, now, retention);
                    let known = naive.get(&producer).and_then(|it| it.iter().find(|it| it.0 == identifier));
                    let found = requests.find(&producer, &identifier, &hasher);
                    assert_eq!(found, known.map(|known| known.1));
                    if found.is_none() {
                        let id = StreamId::new(now, rng.below(3));
                        requests.record(&producer, &identifier, id, retention, &hasher);
                        added += 1;
                        let records = naive.entry(producer).or_default();
                        records.push((identifier, id));
                        let excess = records.len().saturating_sub(retention.identifiers as usize);
                        records.drain(..excess);
                    }
                }
                7 => {
                    requests.forget(&producer, &identifier, &hasher);
                    naive.entry(producer).or_default().retain(|record| record.0 != identifier);
                    naive.retain(|_, records| !records.is_empty());
                }
                8 if rng.below(30) == 0 => {
                    let mut taken = requests.take_records();
                    assert_eq!(all(&taken), std::mem::take(&mut naive));
                    let before = taken.tracked();
                    let mut steps = 0;
                    while !taken.free_some(1) {
                        steps += 1;
                    }
                    assert!(steps <= before / RECORDS_A_NODE + 6);
                }
                _ => {
                    // As the periodic job: until it says that it is due later.
                    let most = 1 + rng.below(20) as usize;
                    let mut rounds = 0;
                    while requests.due_ms().is_some_and(|due| due <= now) {
                        requests.expire_some(now, retention, most, &hasher);
                        rounds += 1;
                        assert!(rounds < 900);
                    }
                    if rounds > 0 {
                        let names: Vec<_> = naive.keys().cloned().collect();
                        names.iter().for_each(|name| expire(&mut naive, name, now, retention));
                    }
                }
            }
            requests.check_invariants(retention);
            assert_eq!((all(&requests), requests.added()), (naive.clone(), added));
            let record = |(identifier, _): &(Vec<u8>, StreamId)| identifier.len() + RECORD_OVERHEAD;
            let producer = naive.iter().map(|(name, records)| {
                name.len() + PRODUCER_OVERHEAD + records.iter().map(record).sum::<usize>()
            });
            assert_eq!(requests.memory_usage(), size_of::<Idempotency>() + producer.sum::<usize>());
        }
    }
}

/// A pass over many producers is done in slices, and those that come meanwhile are not forgotten.
#[test]
fn passes_over_many_producers() {
    let (hasher, retention) = (Limits::default().hasher, Retention::DEFAULT);
    let mut requests = Idempotency::default();
    let name = |number: u32| format!("producer {number:03}").into_bytes();
    for number in 0..500 {
        requests.record(&name(number), b"1", StreamId::new(u64::from(number), 0), retention, &hasher);
    }
    assert_eq!(requests.due_ms(), Some(100_000));
    requests.expire_some(100_400, retention, 100, &hasher);
    assert_eq!((requests.tracked(), requests.due_ms()), (400, Some(100_399)));
    // In front of where the pass goes on, and soon due.
    requests.record(b"a", b"1", StreamId::new(450, 0), retention, &hasher);
    let mut slices = 0;
    while requests.due_ms() == Some(100_399) {
        requests.expire_some(100_400, retention, 100, &hasher);
        slices += 1;
    }
    assert_eq!((requests.tracked(), slices), (100, 5));
    // The first of them is due at 100,401, but the next pass is not that soon.
    assert_eq!(requests.due_ms(), Some(101_400));
    requests.expire_some(101_400, retention, 1000, &hasher);
    assert_eq!((requests.tracked(), requests.producer_count(), requests.due_ms()), (0, 0, None));
}
