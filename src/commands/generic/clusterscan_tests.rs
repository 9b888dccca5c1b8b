//! Tests of CLUSTERSCAN, and of SCAN at a node of a cluster.

use std::collections::BTreeSet;

use crate::commands::testing::{START_MS, TestServer};
use crate::services::cluster::{Cluster, Node, NodeId, Settings, flag};
use crate::services::config::Config;

/// A node that serves all slots but 100 to 199, which another one does. `{06S}` is slot 0, `{Qi}` slot 1.
fn node() -> TestServer {
    let config = Config { cluster_enabled: true, ..Config::default() };
    let settings = Settings::from_config(&config);
    let mut server = TestServer::with(config);
    for number in 0..2000 {
        server.run(&format!("SET key:{number} {number}"));
    }
    for number in 0..300 {
        server.run(&format!("SET {{06S}}{number} {number}"));
        server.run(&format!("SADD {{Qi}}{number} {number}"));
    }
    server.engine.enter_cluster_mode(Cluster::new(START_MS, 1, settings));
    let topology = &mut server.engine.cluster.as_mut().expect("in cluster mode").service.topology;
    let mut other = Node::new(NodeId([b'b'; 40]), NodeId([b'c'; 40]), flag::PRIMARY, START_MS);
    (other.ip, other.tcp_port) = ("10.0.0.2".into(), 7000);
    let other = topology.add(other).expect("a new name");
    let me = topology.me();
    (0..16384).for_each(|slot| topology.set_owner(slot, Some(if slot / 100 == 1 { other } else { me })));
    // It waits for a while before it serves.
    for _ in 0..50 {
        server.advance(100);
        server.engine.tick();
        server.engine.finish_cluster_turn();
    }
    assert!(server.engine.cluster.as_ref().is_some_and(|mode| mode.service.is_ok()));
    server
}

/// A reply as the cursor and the keys.
fn parts(reply: &str) -> (String, Vec<String>) {
    let (cursor, keys) = reply[2..].split_once("\" [").unwrap_or_else(|| panic!("{reply}"));
    let keys = keys.trim_end_matches(']').split(' ').filter(|key| !key.is_empty());
    (cursor.to_string(), keys.map(|key| key.trim_matches('"').to_string()).collect())
}

/// The keys of a walk from `cursor` on, each once, and the slots' tags that it went by.
fn walk(server: &mut TestServer, mut cursor: String, options: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut found, mut tags) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..20_000 {
        let (next, keys) = parts(&server.run(&format!("CLUSTERSCAN {cursor} {options}")));
        keys.into_iter().for_each(|key| assert!(found.insert(key), "a key came twice"));
        if next == "0" {
            return (found, tags);
        }
        tags.extend(next.split('-').nth(1).map(String::from));
        cursor = next;
    }
    panic!("a walk without end");
}

#[test]
fn all_keys_of_all_slots_are_walked_over_once() {
    let mut server = node();
    // The node's first slots end at 99, and where the walk then goes on is another node's.
    let (first, _) = walk_to_other(&mut server);
    let (second, _) =
        walk(&mut server, format!("0-{{{}}}-0", crate::base::slot_tag::slot_tag(200)), "COUNT 100");
    let expected: BTreeSet<String> = (0..2000)
        .map(|number| format!("key:{number}"))
        .chain((0..300).flat_map(|number| [format!("{{06S}}{number}"), format!("{{Qi}}{number}")]))
        .filter(|key| crate::base::crc::key_slot(key.as_bytes()) / 100 != 1)
        .collect();
    assert!(first.is_disjoint(&second) && first.len() >= 600);
    assert_eq!(first.union(&second).cloned().collect::<BTreeSet<_>>(), expected);
}

fn walk_to_other(server: &mut TestServer) -> (BTreeSet<String>, String) {
    let border = format!("0-{{{}}}-0", crate::base::slot_tag::slot_tag(100));
    let (mut cursor, mut found) = ("0-{06S}-0".to_string(), BTreeSet::new());
    for _ in 0..1000 {
        let (next, keys) = parts(&server.run(&format!("CLUSTERSCAN {cursor}")));
        assert!(keys.len() < 60);
        keys.into_iter().for_each(|key| assert!(found.insert(key), "a key came twice"));
        if next == border {
            assert_eq!(server.run(&format!("CLUSTERSCAN {next}")), "-MOVED 100 10.0.0.2:7000");
            return (found, next);
        }
        cursor = next;
    }
    panic!("a walk without end");
}

#[test]
fn one_slot_is_walked_over_by_itself() {
    let mut server = node();
    for options in ["SLOT 0", "SLOT 0 COUNT 1000", "MATCH {06S}*", "MATCH {06S}* SLOT 0 TYPE string"] {
        let (first, keys) = parts(&server.run(&format!("CLUSTERSCAN 0 {options}")));
        assert_eq!((first.as_str(), keys.len()), ("0-{06S}-0", 0));
        let (found, tags) = walk(&mut server, first, options);
        assert_eq!(found, (0..300).map(|number| format!("{{06S}}{number}")).collect(), "{options}");
        assert!(tags.len() < 2 && tags.iter().all(|tag| tag == "{06S}"));
    }
    assert!(walk(&mut server, "0-{06S}-0".into(), "SLOT 0 TYPE set").0.is_empty());
    assert_eq!(walk(&mut server, "0-{Qi}-0".into(), "SLOT 1 TYPE SET COUNT 50").0.len(), 300);
    assert_eq!(walk(&mut server, "0-{Qi}-0".into(), "SLOT 1 MATCH *7").0.len(), 30);
    // A cursor of another process begins the slot anew.
    let (cursor, keys) = parts(&server.run("CLUSTERSCAN abcdef-{06S}-99999 SLOT 0 COUNT 10"));
    assert!(cursor.ends_with(char::is_numeric) && !cursor.starts_with("abcdef"));
    assert_eq!(parts(&server.run("CLUSTERSCAN 0-{06S}-0 SLOT 0 COUNT 10")), (cursor, keys));
}

#[test]
fn clusterscan_replies_and_errors() {
    TestServer::new().script("CLUSTERSCAN 0 => -ERR This instance has cluster support disabled");
    let mut server = node();
    server.script(
        r#"
        CLUSTERSCAN 0 => ["0-{06S}-0" []]
        CLUSTERSCAN 0 SLOT 1 => ["0-{Qi}-0" []]
        CLUSTERSCAN 0 MATCH {Qi}-* => ["0-{Qi}-0" []]
        CLUSTERSCAN 0-{06S}-0 MATCH {Qi}-* => ["0-{Qi}-0" []]
        CLUSTERSCAN 0-{Qi}-0 MATCH {06S}-* => ["0" []]
        CLUSTERSCAN 0 SLOT 0 MATCH {Qi}-* => ["0" []]
        CLUSTERSCAN 0-{06S}-0 SLOT 0 MATCH {Qi}-* => ["0" []]
        CLUSTERSCAN 0-{06S}-0 SLOT 1 => -ERR Cursor slot mismatch with SLOT argument
        CLUSTERSCAN invalid => -ERR Invalid cursor
        CLUSTERSCAN abc-def-ghi => -ERR Invalid cursor
        CLUSTERSCAN 0- => -ERR Invalid cursor
        CLUSTERSCAN 0-{0} => -ERR Invalid cursor
        CLUSTERSCAN 0-{06S}--1 => -ERR Invalid cursor
        CLUSTERSCAN 0 COUNT 0 => -ERR syntax error
        CLUSTERSCAN 0 COUNT x => -ERR value is not an integer or out of range
        CLUSTERSCAN 0 COUNT => -ERR syntax error
        CLUSTERSCAN 0 TYPE notatype => -ERR unknown type name 'notatype'
        CLUSTERSCAN 0 SLOT 1 SLOT 1 => -ERR SLOT option can only be specified once
        CLUSTERSCAN 0 SLOT 16384 => -ERR Invalid or out of range slot
        CLUSTERSCAN 0 SLOT x => -ERR Invalid or out of range slot
        CLUSTERSCAN 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN
        CLUSTERSCAN 0 FOO => -ERR syntax error
        "#,
    );
}

#[test]
fn scan_with_the_pattern_of_one_slot_walks_over_that_slot_alone() {
    let mut server = node();
    let (mut cursor, mut found, mut calls) = ("0".to_string(), BTreeSet::new(), 0);
    loop {
        let (next, keys) = parts(&server.run(&format!("SCAN {cursor} MATCH {{Qi}}* COUNT 20")));
        keys.into_iter().for_each(|key| assert!(found.insert(key), "a key came twice"));
        calls += 1;
        if next == "0" {
            break;
        }
        cursor = next;
    }
    assert_eq!(found.len(), 300);
    assert!(calls < 30, "{calls} calls");
    assert_eq!(server.run(&format!("SCAN {} MATCH {{Qi}}*", u64::MAX >> 16)), "[\"0\" []]");
}
