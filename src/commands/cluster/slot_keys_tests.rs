//! Tests of what is known and done by slot.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::crc::key_slot;
use crate::commands::testing::TestServer;
use crate::keyspace::SlotRemoval;
use crate::services::config::Config;

type Keys = BTreeMap<u16, BTreeSet<String>>;

/// A server in slot order that no cluster keeps from serving all slots, and its keys by slot: some share a tag, most don't.
fn server() -> (TestServer, Keys) {
    let mut server = TestServer::with(Config { cluster_enabled: true, ..Config::default() });
    let mut keys = Keys::new();
    for number in 0..3000 {
        let key =
            if number % 3 == 0 { format!("{{{}}}{number}", number % 7) } else { format!("key:{number}") };
        server.run(&match number % 5 {
            0 => format!("RPUSH {key} a b c"),
            _ => format!("SET {key} {number}"),
        });
        keys.entry(key_slot(key.as_bytes())).or_default().insert(key);
    }
    (server, keys)
}

fn texts(keys: Vec<Box<[u8]>>) -> BTreeSet<String> {
    let count = keys.len();
    let texts: BTreeSet<String> =
        keys.into_iter().map(|key| String::from_utf8(key.into()).expect("ASCII")).collect();
    assert_eq!(texts.len(), count, "each is listed once");
    texts
}

#[test]
fn slots_are_counted_listed_walked_and_measured() {
    let (mut server, keys) = server();
    let keyspace = &server.engine.data.keyspace;
    assert!(keyspace.populated_slots().iter().eq(keys.keys().copied()));
    let database = keyspace.database(0);
    let mut measured = 0;
    for slot in 0..1 << 14 {
        let expected = keys.get(&slot).cloned().unwrap_or_default();
        assert_eq!(keyspace.count_in_slot(slot), expected.len());
        assert_eq!(texts(database.keys_in_slot(slot, usize::MAX)), expected);
        assert_eq!(database.keys_in_slot(slot, 3).len(), expected.len().min(3));
        let (mut walked, mut cursor) = (Vec::new(), 0);
        loop {
            cursor = database.scan_slot(slot, cursor, |entry| walked.push(entry.key.into()));
            if cursor == 0 {
                break;
            }
            assert!(cursor < 1 << 34);
        }
        assert_eq!(texts(walked), expected);
        let (bytes, cursor) = database.slot_memory(slot, 0, usize::MAX);
        assert_eq!((bytes > expected.len() * 20, cursor), (!expected.is_empty(), 0));
        measured += bytes;
    }
    assert!(measured > 3000 * 20 && measured < database.memory_usage() + 600 * 200);
    for (slot, expected) in &keys {
        let drawn: BTreeSet<String> = (0..expected.len() * 20)
            .map(|_| {
                let at = database.random_in_slot(*slot, &mut server.engine.data.rng).expect("a key");
                String::from_utf8(database.table().key(at).to_vec()).expect("ASCII")
            })
            .collect();
        assert!(drawn.is_subset(expected) && drawn.len() * 3 > expected.len(), "{drawn:?} of {expected:?}");
    }
    assert!(database.random_in_slot(2, &mut server.engine.data.rng).is_none() && !keys.contains_key(&2));
}

#[test]
fn keys_that_a_command_removes_with_their_slot_are_deleted_as_any() {
    let (mut server, keys) = server();
    let (slot, expected) = keys.iter().max_by_key(|(_, keys)| keys.len()).expect("some");
    server.notify("KEA");
    let watching = server.connect();
    server.run_as(watching, &format!("WATCH {}", expected.first().expect("a key")));
    let removed = server.engine.view(0).remove_from_slot(*slot, 10, SlotRemoval::ByCommand);
    server.engine.after_cron();
    assert_eq!((removed, server.events().matches("del ").count()), (10, 10));
    let rest = server.engine.view(0).remove_from_slot(*slot, usize::MAX, SlotRemoval::ByCommand);
    server.engine.after_cron();
    assert_eq!(rest, expected.len() - 10);
    assert_eq!(server.engine.data.keyspace.count_in_slot(*slot), 0);
    assert_eq!(server.engine.data.keyspace.total_keys(), 3000 - expected.len());
    server.run_as(watching, "MULTI");
    assert_eq!(server.run_as(watching, "EXEC"), "nil-array");
}

#[test]
fn keys_that_go_to_another_node_are_deleted_at_replicas_without_events() {
    let (mut server, keys) = server();
    let (slot, expected) = keys.iter().find(|(_, keys)| keys.len() == 1).expect("a slot of one key");
    let key = expected.first().expect("a key");
    server.notify("KEA");
    server.propagate();
    let watching = server.connect();
    server.run_as(watching, &format!("WATCH {key}"));
    let dirty = server.engine.view(0).dirty();
    assert_eq!(server.engine.view(0).remove_from_slot(*slot, 10, SlotRemoval::Lost), 1);
    server.engine.propagate_removals();
    server.engine.after_cron();
    assert_eq!(server.engine.view(0).dirty(), dirty + 1);
    assert_eq!((server.propagated(), server.events()), (format!("DEL {key}"), String::new()));
    server.run_as(watching, "MULTI");
    assert_eq!(server.run_as(watching, "EXEC"), "nil-array");
}
