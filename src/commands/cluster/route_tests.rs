//! Where requests are served in cluster mode, and what clients are told otherwise.

use crate::base::crc::key_slot;
use crate::commands::support::testing::{START_MS, TestServer};
use crate::services::cluster::{Cluster, Node, NodeId, NodeRef, Settings, flag};
use crate::services::config::Config;

/// A node that serves the lower half of the slots, beside another one at 10.0.0.2:7000 with the upper half.
struct Half {
    server: TestServer,
    other: NodeRef,
}

fn half() -> Half {
    half_of(Config { cluster_enabled: true, ..Config::default() })
}

/// Another primary, called by this letter.
fn node(letter: u8, port: u16) -> Node {
    let mut node = Node::new(NodeId([letter; 40]), NodeId([b'c'; 40]), flag::PRIMARY, START_MS);
    (node.ip, node.tcp_port) = ("10.0.0.2".into(), port);
    node
}

fn half_of(config: Config) -> Half {
    let settings = Settings::from_config(&config);
    let mut server = TestServer::with(config);
    server.engine.enter_cluster_mode(Cluster::new(START_MS, 1, settings));
    let topology = topology(&mut server);
    let other = topology.add(node(b'b', 7000)).expect("a new name");
    let me = topology.me();
    (0..8192).for_each(|slot| topology.set_owner(slot, Some(me)));
    (8192..16384).for_each(|slot| topology.set_owner(slot, Some(other)));
    // It waits for a while before it serves.
    for _ in 0..50 {
        server.advance(100);
        server.engine.tick();
        server.engine.finish_cluster_turn();
    }
    assert!(server.engine.cluster.as_ref().is_some_and(|mode| mode.service.is_ok()));
    Half { server, other }
}

fn topology(server: &mut TestServer) -> &mut crate::services::cluster::Topology {
    &mut server.engine.cluster.as_mut().expect("in cluster mode").service.topology
}

impl Half {
    fn change(&mut self, change: impl FnOnce(&mut crate::services::cluster::Topology, NodeRef)) {
        change(topology(&mut self.server), self.other);
        self.server.engine.slots_changed();
    }
}

#[test]
fn keys_are_served_where_their_slots_are() {
    // Slots: b 3300, a 15495, foo 12182, {b}x 3300.
    let mut half = half();
    half.server.script(
        "SET b 1
         SET a 1 => -MOVED 15495 10.0.0.2:7000
         GET a => -MOVED 15495 10.0.0.2:7000
         MSET b 1 {b}x 2
         MGET b a => -CROSSSLOT Keys in request don't hash to the same slot
         MGET a foo => -CROSSSLOT Keys in request don't hash to the same slot
         MSET a 1 {a}b 2 => -MOVED 15495 10.0.0.2:7000
         PING => +PONG
         DBSIZE => :2
         EVAL \"return redis.call('get', KEYS[1])\" 1 b => \"1\"
         EVAL \"return 1\" 1 a => -MOVED 15495 10.0.0.2:7000
         EVAL \"return redis.call('get', 'a')\" 0 => -ERR Script attempted to access a non local key in a cluster node script: b2dc80c45e350e7bf2b3fc26fb0451ee65259785, on @user_script:1.
         SPUBLISH a x => -MOVED 15495 10.0.0.2:7000
         SSUBSCRIBE a => -MOVED 15495 10.0.0.2:7000
         SUNSUBSCRIBE a b => [\"sunsubscribe\" \"a\" :0] [\"sunsubscribe\" \"b\" :0]",
    );
    half.change(|topology, _| topology.set_owner(15495, None));
    assert_eq!(half.server.run("GET a"), "-CLUSTERDOWN Hash slot not served");
}

#[test]
fn transactions_are_of_one_slot() {
    let mut half = half();
    half.server.script(
        "MULTI
         SET b 1 => +QUEUED
         SET a 1 => -MOVED 15495 10.0.0.2:7000
         EXEC => -EXECABORT Transaction discarded because of previous errors.
         MULTI
         SET b 1 => +QUEUED
         SET c 1 => +QUEUED
         EXEC => -CROSSSLOT Keys in request don't hash to the same slot
         PING => +PONG
         MULTI
         SET b 2 => +QUEUED
         GET {b} => +QUEUED
         EXEC => [+OK nil]
         MULTI
         SET b 3 => +QUEUED",
    );
    half.change(|topology, other| topology.set_owner(3300, Some(other)));
    half.server.script(
        "EXEC => -MOVED 3300 10.0.0.2:7000
         EXEC => -ERR EXEC without MULTI",
    );
}

#[test]
fn a_slot_that_moves_away_is_served_while_its_keys_are_here() {
    let mut half = half();
    half.server.script("SET b 1");
    half.change(|topology, other| topology.set_migrating(3300, Some(other)));
    half.server.script(
        "GET b => \"1\"
         GET {b}x => -ASK 3300 10.0.0.2:7000
         SET {b}x 1 => -ASK 3300 10.0.0.2:7000
         MGET b {b}x => -TRYAGAIN Multiple keys request during rehashing of slot
         MGET b b => [\"1\" \"1\"]
         PEXPIRE b 100 => :1",
    );
    half.server.advance(200);
    assert_eq!(half.server.run("GET b"), "-ASK 3300 10.0.0.2:7000");
}

#[test]
fn a_slot_that_begins_to_move_is_looked_at_at_once_though_the_file_is_being_written() {
    let mut half = half();
    half.server.run("CLUSTER BUMPEPOCH");
    half.server.engine.finish_cluster_turn();
    half.server.script(&format!(
        "SET b 1
         CLUSTER SETSLOT 3300 MIGRATING {}
         GET b => \"1\"
         SET {{b}}x 1 => -ASK 3300 10.0.0.2:7000",
        "b".repeat(40)
    ));
    half.server.engine.finish_cluster_turn();
    assert!(half.server.engine.cluster_command_waits(), "the reply waits for the file");
    (0..3).for_each(|_| half.server.engine.cluster_saved());
    assert!(!half.server.engine.cluster_command_waits());
}

#[test]
fn a_transaction_on_a_moving_slot_is_looked_at_when_it_is_executed() {
    let config = Config { cluster_enabled: true, cluster_databases: 4, ..Config::default() };
    let mut half = half_of(config);
    half.server.script("SET b 1\nSELECT 1\nSET {b}x 2\nSELECT 0");
    half.change(|topology, other| topology.set_migrating(3300, Some(other)));
    half.server.script(
        "MULTI
         EXISTS b => +QUEUED
         SELECT 1 => +QUEUED
         EXISTS {b}x => +QUEUED
         EXEC => [:1 +OK :1]
         MULTI
         EXISTS b => +QUEUED
         EXISTS {b}x => +QUEUED
         EXEC => -TRYAGAIN Multiple keys request during rehashing of slot
         GET b => -ASK 3300 10.0.0.2:7000
         SELECT 0
         MULTI
         GET {b}x => +QUEUED
         EXEC => -ASK 3300 10.0.0.2:7000
         MOVE b 2 => -TRYAGAIN Multiple keys request during rehashing of slot
         COPY b b DB 2 => -TRYAGAIN Multiple keys request during rehashing of slot
         COPY b {b}y DB 0 => -TRYAGAIN Multiple keys request during rehashing of slot
         COPY b b DB 0 => -ERR source and destination objects are the same",
    );
}

#[test]
fn a_replica_knows_of_the_moving_slots_of_its_primary() {
    let mut half = half();
    half.server.script("SET b 1");
    half.change(|topology, other| {
        let third = topology.add(node(b'd', 7001)).expect("a new name");
        topology.set_migrating(3300, Some(other));
        (0..8192).for_each(|slot| topology.set_owner(slot, Some(third)));
        topology.myself_mut().set(flag::PRIMARY, false);
        topology.myself_mut().set(flag::REPLICA, true);
        let me = topology.me();
        topology.set_primary(me, Some(third));
    });
    half.server.script(
        "GET {b}x => -MOVED 3300 10.0.0.2:7001
         READONLY
         GET b => \"1\"
         GET {b}x => -ASK 3300 10.0.0.2:7000
         MGET b {b}x => -TRYAGAIN Multiple keys request during rehashing of slot
         SET b 1 => -MOVED 3300 10.0.0.2:7001
         READWRITE
         GET {b}x => -MOVED 3300 10.0.0.2:7001",
    );
}

#[test]
fn clients_that_wait_are_sent_where_their_keys_go() {
    let mut half = half();
    let waiting = half.server.connect();
    assert_eq!(half.server.run_as(waiting, "BLPOP b 0"), "(blocked)");
    half.change(|topology, other| topology.set_migrating(3300, Some(other)));
    assert_eq!(half.server.posted(waiting), "");
    half.change(|topology, other| {
        topology.set_migrating(3300, None);
        topology.set_owner(3300, Some(other));
    });
    assert_eq!(half.server.posted(waiting), "-MOVED 3300 10.0.0.2:7000");
}

#[test]
fn what_needs_all_databases_is_refused() {
    half().server.script(
        "SELECT 0
         SELECT 1 => -ERR SELECT is not allowed in cluster mode
         MOVE b 1 => -ERR MOVE is not allowed in cluster mode
         COPY b {b}x DB 1 => -ERR DB index is out of range
         SWAPDB 0 1 => -ERR SWAPDB is not allowed in cluster mode
         REPLICAOF NO ONE => -ERR REPLICAOF not allowed in cluster mode.
         FAILOVER => -ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.
         RPUSH b 1 2 => :2
         SORT b BY w* => -ERR BY option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots.
         SORT b BY {b}* GET # => [\"1\" \"2\"]
         SORT b GET w* => -ERR GET option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots.",
    );
    assert_eq!(key_slot(b"b"), 3300);
}
