//! Slots that come to this node, by both protocols: what a source says, what it is answered, and what becomes of the keys.

use crate::base::crc::key_slot;
use crate::base::ids::{ClientId, LinkId};
use crate::commands::support::testing::{START_MS, TestServer};
use crate::engine::clients::session::{Peer, Role};
use crate::engine::links::{LinkAction, LinkEvent, LinkOwner};
use crate::engine::persistence::Purpose;
use crate::engine::slot_migration::ChannelName;
use crate::engine::{ExecStatus, ServerAction};
use crate::resp::OwnedArgs;
use crate::services::cluster::{Cluster, Node, NodeId, Settings, flag};
use crate::services::config::{Config, RdbFamily};
use crate::services::persist::rdb::{Finisher, RdbFormat, RecordBuffer};
use crate::services::slot_migration::{Family, SlotRanges, State};

const SOURCE: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const OTHER: &str = "cccccccccccccccccccccccccccccccccccccccc";
const NAME: &str = "1111111111111111111111111111111111111111";

/// A node that serves all slots, and knows the nodes whose names are of these letters.
pub(super) fn node_of_all_slots(others: &[u8]) -> TestServer {
    let config = Config { cluster_enabled: true, ..Config::default() };
    let settings = Settings::from_config(&config);
    let mut server = TestServer::with(config);
    server.engine.enter_cluster_mode(Cluster::new(START_MS, 1, settings));
    server.engine.tick();
    let service = &mut server.engine.cluster.as_mut().expect("in cluster mode").service;
    for letter in others {
        let mut node = Node::new(NodeId([*letter; 40]), NodeId([*letter; 40]), flag::PRIMARY, START_MS);
        (node.ip, node.tcp_port) = ("10.0.0.2".into(), 7000);
        service.topology.add(node).expect("a new name");
    }
    for slot in 0..16384 {
        let topology = &mut service.topology;
        topology.set_owner(slot, Some(topology.me()));
    }
    server.advance(3000);
    server.engine.with_cluster(|service, now| {
        service.set_now(now);
        service.update_state();
    });
    server.engine.slots_changed();
    server
}

/// A node that serves all slots but those of `{a}` and `{b}`, which are another node's, among three.
fn target() -> TestServer {
    let mut server = node_of_all_slots(b"bc");
    give(&mut server, &[b"a", b"b"], SOURCE);
    server.engine.slots_changed();
    server.propagate();
    server
}

/// Makes a node the owner of the keys' slots.
fn give(server: &mut TestServer, keys: &[&[u8]], node: &str) {
    let topology = &mut server.engine.cluster.as_mut().expect("in cluster mode").service.topology;
    let owner = topology.find(node.parse().expect("a name"));
    keys.iter().for_each(|key| topology.set_owner(key_slot(key), owner));
}

fn owner(server: &TestServer, key: &[u8]) -> String {
    let topology = &server.engine.cluster.as_ref().expect("in cluster mode").service.topology;
    let owner = topology.owner(key_slot(key)).map(|at| topology.node(at).id.to_string());
    if topology.is_mine(key_slot(key)) { "me".into() } else { owner.unwrap_or_default() }
}

/// A request of a session that is obeyed, as it comes over its connection.
fn feed(server: &mut TestServer, client: ClientId, line: &str) -> ExecStatus {
    server.engine.start_turn();
    if server.engine.clients.sessions.get(client).is_none() {
        return ExecStatus::Close;
    }
    let args = OwnedArgs::from_parts(line.split(' '));
    let prepared = server.engine.prepare(args.as_args(), 0);
    let status = server.engine.execute_replicated(client, prepared, args.as_args(), line.as_bytes());
    server.engine.flush_batch();
    server.engine.finish_cluster_turn();
    status
}

/// Turns until nothing is left to do at once, `ms` apart.
fn turns(server: &mut TestServer, ms: u64) {
    for _ in 0..5 {
        server.advance(ms);
        server.engine.tick();
        server.engine.finish_cluster_turn();
    }
}

fn ranges(keys: &[&[u8]]) -> String {
    let slots = keys.iter().map(|key| key_slot(key).to_string());
    slots.map(|slot| format!("{slot} {slot}")).collect::<Vec<_>>().join(" ")
}

/// A source of Valkey's protocol that has begun to send the slot of `{a}`.
fn established(server: &mut TestServer) -> ClientId {
    let client = server.connect();
    let request =
        format!("CLUSTER SYNCSLOTS ESTABLISH SOURCE {SOURCE} NAME {NAME} SLOTSRANGE {}", ranges(&[b"a"]));
    assert_eq!(server.run_as(client, &request), "+OK");
    assert_eq!(server.propagated(), request);
    assert_eq!(feed(server, client, "CLUSTER SYNCSLOTS ACK"), ExecStatus::Done);
    assert_eq!(feed(server, client, "SET {a}1 v"), ExecStatus::Done);
    client
}

/// A value of the first job of GETSLOTMIGRATIONS.
fn job(server: &mut TestServer, field: &str) -> String {
    let reply = server.run("CLUSTER GETSLOTMIGRATIONS");
    let words: Vec<&str> =
        reply.trim_matches(['[', ']', '{', '}']).split('"').filter(|word| !word.trim().is_empty()).collect();
    let at = words.iter().position(|word| *word == field).expect("the field is there");
    let value = words.get(at + 1).copied().unwrap_or_default();
    if value == "cow_size" { String::new() } else { value.into() }
}

#[test]
fn a_source_of_valkey_hands_a_slot_over() {
    let mut server = target();
    let source = established(&mut server);
    server.script(
        "DBSIZE => :0
         KEYS * => []
         SCAN 0 => [\"0\" []]
         RANDOMKEY => nil
         SET {z}1 1
         DBSIZE => :1
         KEYS * => [\"{z}1\"]
         RANDOMKEY => \"{z}1\"",
    );
    assert_eq!(server.run(&format!("CLUSTER COUNTKEYSINSLOT {}", key_slot(b"a"))), ":1");
    assert!(server.run("GET {a}1").starts_with("-MOVED"));
    // What has expired at the source is the source's to remove; meanwhile it stays.
    feed(&mut server, source, &format!("SET {{a}}2 v PXAT {}", START_MS));
    turns(&mut server, 500);
    assert_eq!(server.run(&format!("CLUSTER COUNTKEYSINSLOT {}", key_slot(b"a"))), ":2");
    assert_eq!(server.propagated(), format!("SET {{a}}1 v; SET {{z}}1 1; SET {{a}}2 v PXAT {START_MS}"));
    server.posted(source);
    for (word, answer, state) in [
        ("SNAPSHOT-EOF", "[\"CLUSTER\" \"SYNCSLOTS\" \"REQUEST-PAUSE\"]", "waiting-for-paused"),
        ("PAUSED", "[\"CLUSTER\" \"SYNCSLOTS\" \"REQUEST-FAILOVER\"]", "failover-requested"),
    ] {
        assert_eq!(feed(&mut server, source, &format!("CLUSTER SYNCSLOTS {word}")), ExecStatus::Done);
        assert_eq!(
            (server.posted(source), job(&mut server, "state")),
            (answer.to_string(), state.to_string())
        );
    }
    feed(&mut server, source, "CLUSTER SYNCSLOTS FAILOVER-GRANTED");
    assert_eq!((owner(&server, b"a"), job(&mut server, "state")), ("me".into(), "success".into()));
    assert_eq!(server.propagated(), format!("CLUSTER SYNCSLOTS FINISH STATE success NAME {NAME}"));
    assert!(server.engine.clients.sessions.get(source).is_none());
    server.script("GET {a}1 => \"v\"\n GET {a}2 => nil\n DBSIZE => :2");
    turns(&mut server, 1000);
    assert_eq!((owner(&server, b"a"), server.run("DBSIZE")), ("me".into(), ":2".into()));
}

/// A file has a format that can say what is being imported, so that it can be loaded again.
#[test]
fn a_snapshot_says_what_is_being_imported() {
    for family in [RdbFamily::Redis, RdbFamily::Valkey] {
        let mut server = target();
        server.engine.config.rdb_family = family;
        let of_data = server.engine.snapshot_format();
        assert_eq!(of_data.version, 10);
        established(&mut server);
        let format = server.engine.snapshot_format();
        let mut head = RecordBuffer::new(format, false);
        server.engine.write_head(&mut head, Purpose::Foreground);
        let (mut finisher, mut bytes) = (Finisher::new(false, true), Vec::new());
        finisher.finish(head.take(), &mut bytes);
        let slot = key_slot(b"a");
        let (expected, note) = match family {
            RdbFamily::Redis => (of_data, format!("{NAME}:{slot}-{slot}").into_bytes()),
            RdbFamily::Valkey => {
                let [high, low] = slot.to_be_bytes();
                let range = [0x40 | high, low, 0x40 | high, low];
                (RdbFormat::VALKEY, [b"\xf3\x28", NAME.as_bytes(), b"\x01", &range].concat())
            }
        };
        assert_eq!(format, expected);
        assert!(bytes.windows(note.len()).any(|part| part == note), "{}", bytes.escape_ascii());
    }
}

/// A file that is loaded before the keys of a failed import are gone may have all of them.
#[test]
fn a_file_brings_back_an_import_whose_keys_are_being_removed() {
    let mut server = target();
    let source = established(&mut server);
    server.engine.disconnect(source);
    assert_eq!(job(&mut server, "state"), "cleaning-up");
    server.engine.forget_imports_before_load();
    assert_eq!(job(&mut server, "state"), "failed");
    server.engine.discard_data();
    let slot = key_slot(b"a");
    server.engine.track_import(NAME, SlotRanges::parse(format!("{slot}-{slot}").as_bytes()).expect("a slot"));
    assert_eq!(job(&mut server, "state"), "occurring-on-primary");
    let file = server.connect();
    server.engine.clients.sessions.live_mut(file).role = Role::Primary;
    assert_eq!(server.run_as(file, "SET {a}1 v"), "+OK");
    // After the load, a primary has no use for it.
    turns(&mut server, 100);
    assert_eq!((job(&mut server, "state"), server.run("DBSIZE")), ("failed".into(), ":0".into()));
    assert_eq!(server.run(&format!("CLUSTER COUNTKEYSINSLOT {slot}")), ":0");
}

#[test]
fn a_failed_import_leaves_nothing() {
    type Cause = fn(&mut TestServer, ClientId);
    let causes: [(&str, Cause); 11] = [
        ("Failed to process command during slot migration", |server, source| {
            feed(server, source, "LPUSH {a}1 x");
        }),
        ("Failed to process command", |server, source| {
            feed(server, source, "NOSUCH {a}1");
        }),
        ("The source sent a key of another slot", |server, source| {
            feed(server, source, "SET {z}9 x");
        }),
        ("Unexpected state machine transition", |server, source| {
            feed(server, source, "CLUSTER SYNCSLOTS PAUSED");
        }),
        ("Unexpected state machine transition", |server, source| {
            feed(server, source, "CLUSTER SYNCSLOTS SNAPSHOT-EOF");
            feed(server, source, "CLUSTER SYNCSLOTS SNAPSHOT-EOF");
        }),
        ("Connection lost to source", |server, source| server.engine.disconnect(source)),
        ("Timed out after too long", |server, _| turns(server, 20_000)),
        ("Data was flushed", |server, _| assert_eq!(server.run("FLUSHALL"), "+OK")),
        ("Slots are no longer owned by source node", |server, _| {
            give(server, &[b"a"], OTHER);
            server.engine.slots_changed();
        }),
        ("Ran out of memory (OOM)", |server, source| {
            server.engine.settings.maxmemory = 1;
            feed(server, source, "SET {a}3 x");
            server.engine.settings.maxmemory = 0;
        }),
        ("Slots are no longer owned by source node", |server, source| {
            // The topology is looked at again before the slots are taken.
            for word in ["SNAPSHOT-EOF", "PAUSED"] {
                feed(server, source, &format!("CLUSTER SYNCSLOTS {word}"));
            }
            give(server, &[b"a"], OTHER);
            feed(server, source, "CLUSTER SYNCSLOTS FAILOVER-GRANTED");
        }),
    ];
    for (message, cause) in causes {
        let mut server = target();
        let source = established(&mut server);
        assert_eq!(feed(&mut server, source, "SET {a}2 v"), ExecStatus::Done);
        server.propagated();
        cause(&mut server, source);
        turns(&mut server, 150);
        assert!(job(&mut server, "message").starts_with(message), "{}", job(&mut server, "message"));
        assert_eq!(
            (job(&mut server, "state"), server.engine.data.keyspace.total_keys()),
            ("failed".into(), 0),
            "{message}"
        );
        assert_ne!(owner(&server, b"a"), "me");
        let propagated = server.propagated();
        let finish = format!("CLUSTER SYNCSLOTS FINISH STATE failed NAME {NAME} MESSAGE {message}");
        assert!(propagated.contains(&finish), "{propagated}");
        assert!(propagated.contains("DEL {a}1") || message.starts_with("Data"), "{propagated}");
        assert!(server.engine.clients.sessions.get(source).is_none(), "{message}");
    }
}

#[test]
fn what_establish_refuses() {
    let mut server = target();
    let a = ranges(&[b"a"]);
    let establish =
        |server: &mut TestServer, rest: &str| server.run(&format!("CLUSTER SYNCSLOTS ESTABLISH {rest}"));
    for (rest, error) in [
        (String::new(), "-ERR syntax error"),
        (format!("NAME {NAME} SLOTSRANGE {a}"), "-ERR syntax error"),
        (format!("SOURCE {SOURCE} SLOTSRANGE {a}"), "-ERR syntax error"),
        (format!("SOURCE {SOURCE} NAME {NAME} NAME {NAME} SLOTSRANGE {a}"), "-ERR syntax error"),
        (
            format!("SOURCE {NAME} NAME {NAME} SLOTSRANGE {a}"),
            "-ERR Target node does not know the source node",
        ),
        (
            format!("SOURCE {OTHER} NAME {NAME} SLOTSRANGE {a}"),
            "-ERR Target node does not agree about current slot ownership",
        ),
    ] {
        assert_eq!(establish(&mut server, &rest), error, "{rest}");
    }
    established(&mut server);
    assert_eq!(
        establish(&mut server, &format!("SOURCE {SOURCE} NAME {OTHER} SLOTSRANGE {a}")),
        "-ERR Slot is already being imported on the target by a different migration"
    );
    server.script(
        "CLUSTER SYNCSLOTS PAUSED => -ERR CLUSTER SYNCSLOTS PAUSED should only be used by slot migration clients
         CLUSTER SYNCSLOTS SNAPSHOT-EOF => -ERR CLUSTER SYNCSLOTS SNAPSHOT-EOF should only be used by slot migration clients",
    );
    let finish = format!("CLUSTER SYNCSLOTS FINISH STATE failed NAME {NAME}");
    assert_eq!(server.run(&finish), "-ERR No such slot migration job");
}

/// Keys that an earlier move has left are gone before the first one comes.
#[test]
fn slots_are_empty_before_they_come() {
    let mut server = target();
    let load = server.connect();
    server.engine.clients.sessions.live_mut(load).role = Role::Internal;
    for number in 0..2000 {
        server.run_as(load, &format!("SET {{a}}{number} old"));
    }
    let source = server.connect();
    let request =
        format!("CLUSTER SYNCSLOTS ESTABLISH SOURCE {SOURCE} NAME {NAME} SLOTSRANGE {}", ranges(&[b"a"]));
    assert_eq!(server.run_as(source, &request), "+OK");
    assert_eq!(server.run("DBSIZE"), ":0");
    feed(&mut server, source, "CLUSTER SYNCSLOTS ACK");
    server.engine.clock.set_reading_step(50_000);
    assert_eq!(feed(&mut server, source, "SETNX {a}1 new"), ExecStatus::Postponed);
    while !server.engine.actions.iter().any(|action| matches!(action, ServerAction::Resume(_))) {
        assert_eq!(server.engine.sleep_ms(), 0);
        server.advance(1);
        server.engine.tick();
    }
    assert_eq!((server.engine.data.keyspace.total_keys(), job(&mut server, "message")), (0, String::new()));
    assert_eq!(feed(&mut server, source, "SETNX {a}1 new"), ExecStatus::Done);
    assert_eq!(server.engine.data.keyspace.total_keys(), 1);
}

/// What the engine has asked of the server about the links of imports since the last time.
fn link_actions(server: &mut TestServer) -> Vec<(LinkId, LinkAction)> {
    let actions = server.engine.actions.drain(..);
    let links = actions.filter_map(|action| match action {
        ServerAction::Link(link, LinkAction::Open(target)) if target.owner == LinkOwner::SlotImport => {
            Some((link, LinkAction::Open(target)))
        }
        ServerAction::Link(
            link,
            action @ (LinkAction::Send(_) | LinkAction::Adopt { .. } | LinkAction::Pause(_)),
        ) => Some((link, action)),
        _ => None,
    });
    links.collect()
}

fn opened(server: &mut TestServer) -> LinkId {
    let actions = link_actions(server);
    let open = actions.iter().find(|(_, action)| matches!(action, LinkAction::Open(_)));
    open.unwrap_or_else(|| panic!("{actions:?}")).0
}

fn adopted(server: &mut TestServer) -> (ClientId, Vec<u8>) {
    let actions = link_actions(server);
    let found = actions.into_iter().find_map(|(_, action)| match action {
        LinkAction::Adopt { client, unread } => Some((client, unread)),
        _ => None,
    });
    found.expect("a session")
}

fn event(server: &mut TestServer, link: LinkId, event: LinkEvent<'_>) {
    server.engine.start_turn();
    server.engine.link_event(link, event);
    server.engine.finish_cluster_turn();
}

fn connect_and_greet(server: &mut TestServer, link: LinkId, replies: &[&[u8]]) {
    let peer = Peer::Internal;
    event(server, link, LinkEvent::Connected { conn_index: 9, fd: 9, peer });
    replies.iter().for_each(|reply| event(server, link, LinkEvent::Received(reply)));
}

/// A field of the newest task.
fn task(server: &mut TestServer, field: &str) -> String {
    let reply = server.run("CLUSTER MIGRATION STATUS ALL");
    let words: Vec<&str> = reply.split('"').collect();
    let at = words.iter().position(|word| *word == field).expect("the field is there");
    words[at + 2].into()
}

/// A task of Redis's protocol, with its connections as far as the snapshot.
fn imported(server: &mut TestServer) -> (LinkId, ClientId) {
    let id = server.run(&format!("CLUSTER MIGRATION IMPORT {}", ranges(&[b"a"])));
    assert_eq!(id.len(), 42);
    server.engine.finish_cluster_turn();
    let main = opened(server);
    connect_and_greet(server, main, &[b"+OK\r\n", b"+OK\r\n", b"+RDBCHANNELSYNCSLOTS\r\n"]);
    assert_eq!(task(server, "state"), "init-rdbchannel");
    let snapshot = opened(server);
    connect_and_greet(server, snapshot, &[b"+OK\r\n", b"+SLOTSSNAPSHOT\r\n"]);
    assert_eq!(task(server, "state"), "accumulate-buffer");
    (main, adopted(server).0)
}

#[test]
fn slots_are_fetched_from_a_source_of_redis() {
    let mut server = target();
    let (main, snapshot) = imported(&mut server);
    server.propagated();
    event(&mut server, main, LinkEvent::Received(b"*3\r\n$3\r\nSET\r\n"));
    feed(&mut server, snapshot, "SET {a}1 old");
    feed(&mut server, snapshot, "CLUSTER SYNCSLOTS CONF SLOT-INFO 15495:1:0");
    let slot = key_slot(b"a");
    server.script("DBSIZE => :0\n KEYS * => []");
    assert_eq!(server.run(&format!("CLUSTER COUNTKEYSINSLOT {slot}")), ":0");
    assert_eq!(server.run(&format!("CLUSTER GETKEYSINSLOT {slot} 10")), "[]");
    assert!(server.run("CLUSTER INFO").contains("cluster_slot_migration_active_tasks:1\\r\\n"));
    feed(&mut server, snapshot, "CLUSTER SYNCSLOTS SNAPSHOT-EOF");
    let (stream, kept) = adopted(&mut server);
    assert_eq!(
        (kept.as_slice(), task(&mut server, "state").as_str()),
        (&b"*3\r\n$3\r\nSET\r\n"[..], "streaming-buffer")
    );
    assert!(server.engine.clients.sessions.get(snapshot).is_none());
    server.posted(stream);
    feed(&mut server, stream, "SET {a}1 newer");
    assert_eq!(server.posted(stream), "[\"CLUSTER\" \"SYNCSLOTS\" \"ACK\" \"wait-stream-eof\" \"14\"]");
    assert_eq!(server.propagated(), "SET {a}1 old; SET {a}1 newer");
    feed(&mut server, stream, "CLUSTER SYNCSLOTS STREAM-EOF");
    assert_eq!((owner(&server, b"a"), task(&mut server, "state")), ("me".into(), "completed".into()));
    server.script("GET {a}1 => \"newer\"\n DBSIZE => :1");
    assert!(server.propagated().contains(":import:completed:"));
    assert!(server.engine.clients.sessions.get(stream).is_none());
}

#[test]
fn what_was_kept_of_a_stream_takes_its_time_if_it_is_to() {
    let mut server = target();
    server.run("CONFIG SET key-load-delay 50000");
    server.engine.migration_faults_mut().expect("in cluster mode").stops_before_kept = true;
    let (main, snapshot) = imported(&mut server);
    event(&mut server, main, LinkEvent::Received(b"*3\r\n$3\r\nSET\r\n"));
    server.engine.actions.clear();
    feed(&mut server, snapshot, "CLUSTER SYNCSLOTS SNAPSHOT-EOF");
    assert!(server.engine.actions.iter().any(|action| matches!(action, ServerAction::Stop)));
    let (stream, _) = adopted(&mut server);
    assert_eq!(feed(&mut server, stream, "SET {a}1 newer"), ExecStatus::Done);
    assert_eq!(task(&mut server, "state"), "streaming-buffer");
    assert_eq!(feed(&mut server, stream, "SET {a}1 newest"), ExecStatus::Postponed);
    server.engine.actions.clear();
    turns(&mut server, 40);
    assert!(
        server
            .engine
            .actions
            .iter()
            .any(|action| matches!(action, ServerAction::Resume(client) if *client == stream))
    );
    assert_eq!(task(&mut server, "state"), "wait-stream-eof");
    assert_eq!(feed(&mut server, stream, "SET {a}1 newest"), ExecStatus::Done);
}

#[test]
fn a_failed_task_is_tried_again_until_it_is_cancelled() {
    type Cause = fn(&mut TestServer, LinkId, ClientId);
    let causes: [(&str, Cause); 7] = [
        (
            "Main channel - Read error: gone (state: accumulate-buffer, rdb_channel_state: rdbchannel-transfer)",
            |server, main, _| {
                event(server, main, LinkEvent::Closed("gone"));
            },
        ),
        ("RDB channel - Connection is closed", |server, _, snapshot| server.engine.disconnect(snapshot)),
        ("RDB channel - Connection timeout", |server, _, _| turns(server, 20_000)),
        ("Failed to process command", |server, _, snapshot| {
            feed(server, snapshot, "LPUSH {a}1 x");
        }),
        ("Main channel - Connection is closed", |server, _, snapshot| {
            feed(server, snapshot, "CLUSTER SYNCSLOTS SNAPSHOT-EOF");
            let (stream, _) = adopted(server);
            server.engine.disconnect(stream);
        }),
        ("Main channel - Connection timeout", |server, _, snapshot| {
            feed(server, snapshot, "CLUSTER SYNCSLOTS SNAPSHOT-EOF");
            turns(server, 20_000);
        }),
        ("slots configuration updated", |server, _, snapshot| {
            feed(server, snapshot, "CLUSTER SYNCSLOTS SNAPSHOT-EOF");
            let (stream, _) = adopted(server);
            give(server, &[b"a"], OTHER);
            feed(server, stream, "CLUSTER SYNCSLOTS STREAM-EOF");
        }),
    ];
    for (message, cause) in causes {
        let mut server = target();
        let (main, snapshot) = imported(&mut server);
        feed(&mut server, snapshot, "SET {a}1 v");
        server.propagated();
        cause(&mut server, main, snapshot);
        server.engine.finish_cluster_turn();
        assert!(task(&mut server, "last_error").starts_with(message), "{}", task(&mut server, "last_error"));
        assert_ne!(owner(&server, b"a"), "me");
        let propagated = server.propagated();
        assert!(propagated.contains(":import:failed:"), "{propagated}");
        turns(&mut server, 300);
        assert_eq!(server.engine.data.keyspace.total_keys(), 0, "{message}");
        // It connects again, to whichever node has the slots now.
        turns(&mut server, 300);
        opened(&mut server);
        assert_eq!(task(&mut server, "state"), "connecting");
        assert!(server.run("CLUSTER MIGRATION STATUS ALL").contains("\"retries\" :1"));
        assert_eq!(server.run("CLUSTER MIGRATION CANCEL ALL"), ":1");
        assert_eq!(task(&mut server, "state"), "canceled");
        assert!(task(&mut server, "last_error").starts_with("Cancelled due to user request"));
        turns(&mut server, 1000);
        assert!(link_actions(&mut server).is_empty());
    }
}

/// Has the main connection be cut in a state.
fn cut(server: &mut TestServer, state: &str) {
    let state = State::parse(state.as_bytes(), Family::Redis).expect("a state");
    let faults = server.engine.migration_faults_mut().expect("in cluster mode");
    faults.cut = Some((ChannelName::ImportMain, state));
}

#[test]
fn each_step_of_a_task_can_be_cut() {
    let replies: [&[u8]; 3] = [b"+OK\r\n", b"+OK\r\n", b"+RDBCHANNELSYNCSLOTS\r\n"];
    for (at, state) in ["connecting", "auth-reply", "handshake-reply", "syncslots-reply"].iter().enumerate() {
        let mut server = target();
        cut(&mut server, state);
        server.run(&format!("CLUSTER MIGRATION IMPORT {}", ranges(&[b"a"])));
        server.engine.finish_cluster_turn();
        let main = opened(&mut server);
        connect_and_greet(&mut server, main, &replies[..at.min(3)]);
        let error = task(&mut server, "last_error");
        assert!(error.contains("Main channel") && error.contains(&format!("(state: {state},")), "{error}");
    }
    for state in ["streaming-buffer", "wait-stream-eof"] {
        let mut server = target();
        cut(&mut server, state);
        let (_, snapshot) = imported(&mut server);
        feed(&mut server, snapshot, "CLUSTER SYNCSLOTS SNAPSHOT-EOF");
        let error = task(&mut server, "last_error");
        assert!(error.contains("Main channel") && error.contains(&format!("(state: {state},")), "{error}");
    }
}

#[test]
fn what_import_refuses() {
    let mut server = target();
    let (a, z) = (key_slot(b"a"), key_slot(b"z"));
    give(&mut server, &[b"z"], OTHER);
    for (rest, error) in [
        ("IMPORT 1".to_string(), "-ERR wrong number of arguments for 'cluster|migration' command"),
        ("IMPORT 2 1".into(), "-ERR start slot number 2 is greater than end slot number 1"),
        ("IMPORT 1 99999".into(), "-ERR Invalid or out of range slot"),
        (format!("IMPORT {a} {a} {a} {a}"), &*format!("-ERR Slot {a} specified multiple times")),
        (format!("IMPORT {a} {a} {z} {z}"), "-ERR slots belong to different source nodes"),
        ("IMPORT 0 0".into(), "-ERR this node is already the owner of the slot range"),
        ("STATUS ID".into(), "-ERR wrong number of arguments for 'cluster|migration' command"),
        ("STATUS NOSUCH".into(), "-ERR unknown argument"),
        ("CANCEL ALL x".into(), "-ERR wrong number of arguments for 'cluster|migration' command"),
        ("NOSUCH x".into(), "-ERR unknown argument"),
        ("STATUS ID x".into(), "[]"),
        ("CANCEL ID x".into(), ":0"),
    ] {
        assert_eq!(server.run(&format!("CLUSTER MIGRATION {rest}")), error, "{rest}");
    }
    server.run(&format!("CLUSTER MIGRATION IMPORT {a} {a}"));
    assert_eq!(
        server.run(&format!("CLUSTER MIGRATION IMPORT {z} {z}")),
        "-ERR another ASM task is already in progress"
    );
    assert_eq!(
        server.run(&format!("CLUSTER MIGRATION IMPORT {a} {a}")),
        format!("-ERR overlapping import exists for slot range: {a}-{a}")
    );
}

/// Makes the node a replica whose primary's stream is the session's that is answered.
fn as_replica(server: &mut TestServer) -> ClientId {
    let topology = &mut server.engine.cluster.as_mut().expect("in cluster mode").service.topology;
    let primary = topology.find(OTHER.parse().expect("a name"));
    for slot in 0..16384 {
        if topology.is_mine(slot) {
            topology.set_owner(slot, primary);
        }
    }
    let me = topology.myself_mut();
    me.set(flag::PRIMARY, false);
    me.set(flag::REPLICA, true);
    let me = topology.me();
    topology.set_primary(me, primary);
    server.engine.slots_changed();
    let stream = server.connect();
    server.engine.clients.sessions.live_mut(stream).role = Role::Primary;
    stream
}

fn as_primary(server: &mut TestServer) {
    let topology = &mut server.engine.cluster.as_mut().expect("in cluster mode").service.topology;
    let me = topology.me();
    topology.set_primary(me, None);
    let node = topology.myself_mut();
    node.set(flag::REPLICA, false);
    node.set(flag::PRIMARY, true);
    server.engine.slots_changed();
}

#[test]
fn a_replica_hides_what_its_primary_imports() {
    let mut server = target();
    let stream = as_replica(&mut server);
    server.run_as(
        stream,
        &format!("CLUSTER SYNCSLOTS ESTABLISH SOURCE {SOURCE} NAME {NAME} SLOTSRANGE {}", ranges(&[b"a"])),
    );
    server.run_as(stream, "SET {a}1 v");
    assert_eq!(
        (job(&mut server, "state"), server.run("DBSIZE")),
        ("occurring-on-primary".into(), ":0".into())
    );
    let finish = format!("CLUSTER SYNCSLOTS FINISH STATE success NAME {NAME}");
    assert_eq!(server.run_as(stream, &finish), "+OK");
    assert_eq!((job(&mut server, "state"), server.run("DBSIZE")), ("success".into(), ":1".into()));
    // The same by Redis's words; a failed task's keys are hidden until they are gone.
    let note = |state: &str| {
        format!(
            "CLUSTER SYNCSLOTS CONF ASM-TASK {NAME}:{SOURCE}:{OTHER}:import:{state}:{0}-{0}",
            key_slot(b"b")
        )
    };
    assert_eq!(server.run_as(stream, &note("connecting")), "+OK");
    server.run_as(stream, "SET {b}1 v");
    assert_eq!(server.run("DBSIZE"), ":1");
    server.run_as(stream, &note("failed"));
    turns(&mut server, 100);
    assert_eq!(server.run("DBSIZE"), ":1");
    server.run_as(stream, "DEL {b}1");
    turns(&mut server, 100);
    server.run_as(stream, "SET {b}1 v");
    assert_eq!(server.run("DBSIZE"), ":2");
}

#[test]
fn a_promoted_replica_drops_what_was_being_imported() {
    let mut server = target();
    let stream = as_replica(&mut server);
    server.run_as(
        stream,
        &format!("CLUSTER SYNCSLOTS ESTABLISH SOURCE {SOURCE} NAME {NAME} SLOTSRANGE {}", ranges(&[b"a"])),
    );
    let task = format!("{OTHER}:{SOURCE}:{OTHER}:import:connecting:{0}-{0}", key_slot(b"b"));
    server.run_as(stream, &format!("CLUSTER SYNCSLOTS CONF ASM-TASK {task}"));
    server.run_as(stream, "MSET {a}1 v {a}2 v");
    server.run_as(stream, "SET {b}1 v");
    server.propagated();
    as_primary(&mut server);
    turns(&mut server, 150);
    assert_eq!(server.engine.data.keyspace.total_keys(), 0);
    assert_eq!(job(&mut server, "message"), "A failover occurred during slot import");
    let propagated = server.propagated();
    assert!(propagated.contains(&task.replace("connecting", "failed")), "{propagated}");
    assert!(propagated.contains("DEL {a}1") && propagated.contains("DEL {b}1"), "{propagated}");
    assert!(propagated.contains("FINISH STATE failed"), "{propagated}");
}

#[test]
fn a_target_that_becomes_a_replica_leaves_the_keys_to_its_primary() {
    let mut server = target();
    let source = established(&mut server);
    let stream = as_replica(&mut server);
    turns(&mut server, 150);
    assert!(server.engine.clients.sessions.get(source).is_none());
    assert_eq!(
        (job(&mut server, "state"), server.run("DBSIZE")),
        ("occurring-on-primary".into(), ":0".into())
    );
    assert_eq!(server.engine.data.keyspace.total_keys(), 1);
    server.run_as(stream, "DEL {a}1");
    server.run_as(stream, &format!("CLUSTER SYNCSLOTS FINISH STATE failed NAME {NAME} MESSAGE gone"));
    assert_eq!((job(&mut server, "state"), job(&mut server, "message")), ("failed".into(), "gone".into()));
}
