//! CLUSTER on a node alone, with a known other node, and in a server that is none.

use crate::base::slot_set::SlotSet;
use crate::commands::support::testing::{START_MS, TestServer};
use crate::engine::ServerAction;
use crate::engine::clients::ShutdownOptions;
use crate::services::cluster::{Announced, Cluster, Node, NodeId, Settings, flag};
use crate::services::config::Config;

/// A node of a cluster, not yet in one.
fn node() -> TestServer {
    let config = Config { cluster_enabled: true, ..Config::default() };
    let settings = Settings::from_config(&config);
    let mut server = TestServer::with(config);
    server.engine.enter_cluster_mode(Cluster::new(START_MS, 1, settings));
    server
}

fn service(server: &mut TestServer) -> &mut Cluster {
    &mut server.engine.cluster.as_mut().expect("in cluster mode").service
}

const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// Adds another node, a primary without slots.
fn with_other(mut server: TestServer) -> TestServer {
    let mut other = Node::new(NodeId([b'b'; 40]), NodeId([b'c'; 40]), flag::PRIMARY, START_MS);
    (other.ip, other.tcp_port, other.bus_port) = ("10.0.0.2".into(), 7000, 17000);
    other.announced = Announced { hostname: "other.example.com".into(), ..Announced::default() };
    service(&mut server).topology.add(other).expect("a new name");
    server
}

/// Has the node serve all slots, after the time that a primary leaves the others when it starts.
fn serve_all(server: &mut TestServer) {
    server.script("CLUSTER ADDSLOTSRANGE 0 16383");
    service(server).update_state();
    server.advance(3_000);
    server.engine.with_cluster(|service, now| {
        service.set_now(now);
        service.update_state();
    });
    server.engine.slots_changed();
}

fn my_slots(server: &mut TestServer) -> String {
    service(server).topology.myself().slots().to_string()
}

#[test]
fn a_server_that_is_no_node_says_so() {
    let mut server = TestServer::new();
    for request in [
        "CLUSTER INFO",
        "cluster slots",
        "CLUSTER HELP",
        "CLUSTER KEYSLOT a",
        "CLUSTER MEET a b",
        "CLUSTER ADDSLOTS x",
        "CLUSTER SETSLOT x y",
        "CLUSTER FLUSHSLOT x",
        "CLUSTER RESET x",
        "CLUSTER SLOT-STATS a b",
        "READONLY",
        "READWRITE",
        "ASKING",
    ] {
        assert_eq!(server.run(request), "-ERR This instance has cluster support disabled", "{request}");
    }
    server.script(
        "CLUSTER => -ERR wrong number of arguments for 'cluster' command
         CLUSTER NOSUCH => -ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP.
         CLUSTER KEYSLOT => -ERR wrong number of arguments for 'cluster|keyslot' command
         EVAL \"return redis.pcall('cluster', 'reset', 'hard')\" 0 => -ERR This Redis command is not allowed from script",
    );
}

#[test]
fn slots_are_added_and_removed() {
    let mut server = node();
    server.script(
        "CLUSTER ADDSLOTS 1 2 3
         CLUSTER ADDSLOTS 4 3 x => -ERR Invalid or out of range slot
         CLUSTER ADDSLOTS 4 3 => -ERR Slot 3 is already busy
         CLUSTER ADDSLOTS 4 4 => -ERR Slot 4 specified multiple times
         CLUSTER ADDSLOTS 16384 => -ERR Invalid or out of range slot
         CLUSTER ADDSLOTS -1 => -ERR Invalid or out of range slot
         CLUSTER ADDSLOTSRANGE 5 => -ERR wrong number of arguments for 'cluster|addslotsrange' command
         CLUSTER ADDSLOTSRANGE 5 7 8 => -ERR wrong number of arguments for 'cluster|addslotsrange' command
         CLUSTER ADDSLOTSRANGE 7 5 => -ERR start slot number 7 is greater than end slot number 5
         CLUSTER ADDSLOTSRANGE 3 5 x 6 => -ERR Slot 3 is already busy
         CLUSTER ADDSLOTSRANGE 4 5 x 6 => -ERR Invalid or out of range slot
         CLUSTER ADDSLOTSRANGE 4 5 5 6 => -ERR Slot 5 specified multiple times
         CLUSTER ADDSLOTSRANGE 10 12 20 20
         CLUSTER DELSLOTS 2
         CLUSTER DELSLOTS 2 => -ERR Slot 2 is already unassigned
         CLUSTER DELSLOTSRANGE 10 11 10 10 => -ERR Slot 10 specified multiple times
         CLUSTER DELSLOTSRANGE 10 11",
    );
    assert_eq!(my_slots(&mut server), "1 3 12 20");
    server.script("CLUSTER FLUSHSLOTS");
    assert_eq!(my_slots(&mut server), "");
    server.engine.finish_cluster_turn();
}

#[test]
fn flushslots_and_reset_want_no_keys() {
    let mut server = node();
    serve_all(&mut server);
    assert_eq!(service(&mut server).topology.myself().slots(), &SlotSet::full());
    server.script(
        "SET a 1
         CLUSTER FLUSHSLOTS => -ERR DB must be empty to perform CLUSTER FLUSHSLOTS.
         CLUSTER RESET => -ERR CLUSTER RESET can't be called with master nodes containing keys
         CLUSTER RESET NOW => -ERR syntax error
         DEL a => :1
         CLUSTER RESET SOFT",
    );
    assert_eq!(my_slots(&mut server), "");
}

#[test]
fn a_hard_reset_makes_a_new_node() {
    let mut server = with_other(node());
    let (id, shard) = (server.run("CLUSTER MYID"), server.run("CLUSTER MYSHARDID"));
    service(&mut server).topology.current_epoch = 5;
    server.script("CLUSTER BUMPEPOCH => +BUMPED 6\nCLUSTER BUMPEPOCH => +STILL 6\nCLUSTER RESET");
    assert_eq!((server.run("CLUSTER MYID") == id, server.run("CLUSTER MYSHARDID") == shard), (true, false));
    assert_eq!((service(&mut server).topology.len(), service(&mut server).topology.current_epoch), (1, 6));
    server.script("CLUSTER RESET HARD");
    assert_ne!(server.run("CLUSTER MYID"), id);
    assert_eq!(service(&mut server).topology.current_epoch, 0);
    let me = service(&mut server).topology.me();
    let id = service(&mut server).topology.myself().id;
    assert_eq!(service(&mut server).topology.find(id), Some(me));
}

#[test]
fn slots_move() {
    let mut server = with_other(node());
    let id = service(&mut server).topology.myself().id;
    server.script("CLUSTER ADDSLOTS 5 6");
    for (request, reply) in [
        (format!("SETSLOT 5 MIGRATING {OTHER}"), "+OK"),
        (format!("SETSLOT 7 MIGRATING {OTHER}"), "-ERR I'm not the owner of hash slot 7"),
        ("SETSLOT 5 MIGRATING nobody".into(), "-ERR I don't know about node nobody"),
        (format!("SETSLOT 5 MIGRATING {id}"), "-ERR Target node is myself"),
        (format!("SETSLOT 5 IMPORTING {OTHER}"), "-ERR I'm already the owner of hash slot 5"),
        (format!("SETSLOT 9 IMPORTING {OTHER}"), "+OK"),
        ("SETSLOT 9 NODE nobody".into(), "-ERR Unknown node nobody"),
        ("SETSLOT 16384 STABLE".into(), "-ERR Invalid or out of range slot"),
        (
            "SETSLOT 9 MIGRATING".into(),
            "-ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP",
        ),
        (
            "SETSLOT 9 STABLE NOW".into(),
            "-ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP",
        ),
        ("SETSLOT 9 STABLE TIMEOUT".into(), "-ERR Missing timeout value"),
        ("SETSLOT 9 STABLE TIMEOUT x".into(), "-ERR timeout is not an integer or out of range"),
    ] {
        assert_eq!(server.run(&format!("CLUSTER {request}")), reply, "{request}");
    }
    let nodes = server.run("CLUSTER NODES");
    assert!(nodes.contains(&format!(" 5-6 [5->-{OTHER}] [9-<-{OTHER}]")), "{nodes}");
    server.script("CLUSTER SETSLOT 5 STABLE\nCLUSTER SETSLOT 9 STABLE TIMEOUT 100");
    assert!(!server.run("CLUSTER NODES").contains('['));
    // An imported slot comes with a new epoch.
    assert_eq!(server.run(&format!("CLUSTER SETSLOT 9 IMPORTING {OTHER}")), "+OK");
    assert_eq!(server.run(&format!("CLUSTER SETSLOT 9 NODE {id}")), "+OK");
    assert_eq!(
        (my_slots(&mut server), service(&mut server).topology.myself().config_epoch),
        ("5-6 9".into(), 1)
    );
    assert!(service(&mut server).topology.importing(9).is_none());
    // Without its last slot the node joins the shard that has it.
    for slot in [5, 6, 9] {
        assert_eq!(server.run(&format!("CLUSTER SETSLOT {slot} NODE {OTHER}")), "+OK");
    }
    let topology = &service(&mut server).topology;
    assert_eq!(topology.myself().primary(), topology.find(NodeId([b'b'; 40])));
    assert_eq!(server.run("CLUSTER SETSLOT 5 STABLE"), "-ERR Please use SETSLOT only with masters.");
}

#[test]
fn a_slot_with_keys_is_not_given_away() {
    let mut server = with_other(node());
    serve_all(&mut server);
    server.script("SET b 1\nSET {b}2 1");
    assert_eq!(
        server.run(&format!("CLUSTER SETSLOT 3300 NODE {OTHER}")),
        "-ERR Can't assign hashslot 3300 to a different node while I still hold keys for this hash slot."
    );
    server.script(
        "CLUSTER COUNTKEYSINSLOT 3300 => :2
         CLUSTER COUNTKEYSINSLOT 3301 => :0
         CLUSTER COUNTKEYSINSLOT 16384 => -ERR Invalid slot
         CLUSTER COUNTKEYSINSLOT x => -ERR value is not an integer or out of range
         CLUSTER GETKEYSINSLOT 3300 1 => [\"b\"]
         CLUSTER GETKEYSINSLOT 3300 0 => []
         CLUSTER GETKEYSINSLOT 3300 -1 => -ERR Invalid slot or number of keys
         CLUSTER GETKEYSINSLOT 3300 x => -ERR value is not an integer or out of range
         CLUSTER SLOT-STATS SLOTSRANGE 3299 3300 => [[:3299 [\"key-count\" :0]] [:3300 [\"key-count\" :2]]]
         CLUSTER SLOT-STATS ORDERBY KEY-COUNT LIMIT 2 => [[:3300 [\"key-count\" :2]] [:0 [\"key-count\" :0]]]
         CLUSTER SLOT-STATS ORDERBY KEY-COUNT ASC LIMIT 1 => [[:0 [\"key-count\" :0]]]
         CLUSTER SLOT-STATS ORDERBY CPU-USEC => -ERR Unrecognized sort metric for ORDERBY.
         CLUSTER SLOT-STATS ORDERBY KEY-COUNT LIMIT 0 => -ERR Limit has to lie in between 1 and 16384 (maximum number of slots).
         CLUSTER SLOT-STATS ORDERBY KEY-COUNT LIMIT x => -ERR Limit has to lie in between 1 and 16384 (maximum number of slots).
         CLUSTER SLOT-STATS ORDERBY KEY-COUNT ASC DESC => -ERR Multiple filters of the same type are disallowed.
         CLUSTER SLOT-STATS ORDERBY KEY-COUNT LIMIT => -ERR syntax error
         CLUSTER SLOT-STATS SLOTSRANGE 5 4 => -ERR Start slot number 5 is greater than end slot number 4
         CLUSTER SLOT-STATS SLOTSRANGE => -ERR wrong number of arguments for 'cluster|slot-stats' command
         CLUSTER SLOT-STATS SLOTSRANGE 5 6 7 => -ERR unknown subcommand or wrong number of arguments for 'SLOT-STATS'. Try CLUSTER HELP.
         CLUSTER FLUSHSLOT 3300 NOW => -ERR syntax error
         CLUSTER FLUSHSLOT 3300 SYNC
         CLUSTER COUNTKEYSINSLOT 3300 => :0
         DBSIZE => :0",
    );
    assert_eq!(server.run(&format!("CLUSTER SETSLOT 3300 NODE {OTHER}")), "+OK");
}

#[test]
fn nodes_are_met_and_forgotten() {
    let mut server = with_other(node());
    let id = service(&mut server).topology.myself().id;
    server.script(
        "CLUSTER MEET here 7000 => -ERR Invalid node address specified: here:7000
         CLUSTER MEET 127.0.0.1 x => -ERR Invalid base port specified: x
         CLUSTER MEET 127.0.0.1 7000 x => -ERR Invalid bus port specified: x
         CLUSTER MEET 127.0.0.1 0 => -ERR Invalid node address specified: 127.0.0.1:0
         CLUSTER MEET 127.0.0.1 60000 => -ERR Invalid node address specified: 127.0.0.1:60000
         CLUSTER MEET 127.0.0.1 7000 17000 1 => -ERR unknown subcommand or wrong number of arguments for 'MEET'. Try CLUSTER HELP.
         CLUSTER MEET 127.0.0.1 7000
         CLUSTER MEET 127.0.0.1 7000
         CLUSTER FORGET nobody => -ERR Unknown node nobody
         CLUSTER COUNT-FAILURE-REPORTS nobody => -ERR Unknown node nobody",
    );
    assert_eq!(service(&mut server).topology.len(), 3);
    assert_eq!(server.run(&format!("CLUSTER COUNT-FAILURE-REPORTS {OTHER}")), ":0");
    assert_eq!(server.run(&format!("CLUSTER FORGET {id}")), "-ERR I tried hard but I can't forget myself...");
    // The second time it is known as forgotten.
    for _ in 0..2 {
        assert_eq!(server.run(&format!("CLUSTER FORGET {OTHER}")), "+OK");
    }
    assert_eq!(service(&mut server).topology.len(), 2);
}

#[test]
fn a_node_becomes_a_replica_and_a_primary_again() {
    let mut server = with_other(node());
    let (id, shard) = (service(&mut server).topology.myself().id, server.run("CLUSTER MYSHARDID"));
    server.script("CLUSTER ADDSLOTS 1\nCLUSTER REPLICAS nobody => -ERR Unknown node nobody");
    for (name, reply) in [
        ("nobody", "-ERR Unknown node nobody".to_string()),
        (&id.to_string(), "-ERR Can't replicate myself".to_string()),
        (OTHER, "-ERR To set a master the node must be empty and without assigned slots.".to_string()),
        ("NO NE", "-ERR wrong number of arguments for 'cluster|replicate' command".to_string()),
    ] {
        assert_eq!(server.run(&format!("CLUSTER REPLICATE {name}")), reply);
    }
    server.script(
        "CLUSTER FAILOVER => -ERR You should send CLUSTER FAILOVER to a replica
         CLUSTER FAILOVER NOW => -ERR syntax error
         CLUSTER FAILOVER FORCE FORCE => -ERR unknown subcommand or wrong number of arguments for 'FAILOVER'. Try CLUSTER HELP.
         CLUSTER REPLICATE NO ONE
         CLUSTER DELSLOTS 1",
    );
    for _ in 0..2 {
        assert_eq!(server.run(&format!("CLUSTER REPLICATE {OTHER}")), "+OK");
    }
    assert_eq!(server.run("CLUSTER MYSHARDID"), format!("\"{}\"", "c".repeat(40)));
    let replicas = server.run(&format!("CLUSTER REPLICAS {OTHER}"));
    assert!(
        replicas.starts_with(&format!("[\"{id} :6379@16379 myself,slave {OTHER} 0 0 0 connected\"")),
        "{replicas}"
    );
    assert_eq!(server.run(&format!("CLUSTER REPLICAS {id}")), "-ERR The specified node is not a master");
    assert_eq!(server.run(&format!("CLUSTER FORGET {OTHER}")), "-ERR Can't forget my master!");
    server.script(
        "CLUSTER FAILOVER => -ERR Master is down or failed, please use CLUSTER FAILOVER FORCE
         CLUSTER REPLICATE NO ONE",
    );
    assert!(service(&mut server).topology.myself().is_primary());
    assert_ne!(server.run("CLUSTER MYSHARDID"), shard);
    assert_eq!(server.run(&format!("CLUSTER REPLICAS {OTHER}")), "[]");
}

#[test]
fn the_epoch_of_a_new_node_is_set() {
    let mut server = node();
    server.script(
        "CLUSTER SET-CONFIG-EPOCH -1 => -ERR Invalid config epoch specified: -1
         CLUSTER SET-CONFIG-EPOCH x => -ERR value is not an integer or out of range
         CLUSTER SET-CONFIG-EPOCH 7
         CLUSTER SET-CONFIG-EPOCH 8 => -ERR Node config epoch is already non-zero",
    );
    with_other(server).script(
        "CLUSTER SET-CONFIG-EPOCH 7 => -ERR The user can assign a config epoch only when the node does not know any other node.",
    );
}

#[test]
fn clients_are_told_of_slots_and_shards() {
    let mut server = with_other(node());
    let id = service(&mut server).topology.myself().id;
    let other = service(&mut server).topology.find(NodeId([b'b'; 40])).unwrap();
    server.script("CLUSTER ADDSLOTSRANGE 0 5 7 7");
    (8..=9).for_each(|slot| service(&mut server).topology.set_owner(slot, Some(other)));
    let mine = format!("[\"\" :6379 \"{id}\" []]");
    let others = format!("[\"10.0.0.2\" :7000 \"{OTHER}\" [\"hostname\" \"other.example.com\"]]");
    assert_eq!(server.run("CLUSTER SLOTS"), format!("[[:0 :5 {mine}] [:7 :7 {mine}] [:8 :9 {others}]]"));
    let shards = server.run("CLUSTER SHARDS");
    assert!(
        shards.contains(&format!(
            "[\"slots\" [:8 :9] \"nodes\" [[\"id\" \"{OTHER}\" \"port\" :7000 \"ip\" \"10.0.0.2\" \
             \"endpoint\" \"10.0.0.2\" \"hostname\" \"other.example.com\" \"role\" \"master\" \
             \"replication-offset\" :0 \"health\" \"online\"]]]"
        )),
        "{shards}"
    );
    server.run("CONFIG SET cluster-preferred-endpoint-type hostname");
    let slots = server.run("CLUSTER SLOTS");
    let others = format!("[:8 :9 [\"other.example.com\" :7000 \"{OTHER}\" [\"ip\" \"10.0.0.2\"]]]");
    assert!(slots.ends_with(&format!("{others}]")) && slots.starts_with("[[:0 :5 [\"?\" :6379"), "{slots}");
    server.run("CONFIG SET cluster-preferred-endpoint-type unknown-endpoint");
    let slots = server.run("CLUSTER SLOTS");
    let others =
        format!("[:8 :9 [nil :7000 \"{OTHER}\" [\"ip\" \"10.0.0.2\" \"hostname\" \"other.example.com\"]]]");
    assert!(slots.ends_with(&format!("{others}]")), "{slots}");
}

#[test]
fn reads_of_replicas_and_asking_are_a_client_s_state() {
    node().script("READONLY\nREADWRITE\nASKING\nCLUSTER KEYSLOT {b}x => :3300\nCLUSTER LINKS => []");
}

#[test]
fn calls_are_counted_a_slot_if_wanted() {
    let mut server = node();
    serve_all(&mut server);
    server.script("SET b 1\nCONFIG SET cluster-slot-stats-enabled yes");
    let stats = |server: &TestServer| server.engine.slot_stats(3300);
    assert_eq!(stats(&server), Default::default());
    let subscriber = server.connect();
    let mut before = 0;
    for (request, bytes_out, is_counted) in [
        ("GET {b}2", 5, true),
        ("PING", 0, false),
        ("EVAL \"return redis.call('get', KEYS[1])\" 1 b", 7, true),
        ("EVAL \"return redis.call('get', 'b')\" 0", 7, true),
        (
            "EVAL \"#!lua flags=allow-cross-slot-keys\n redis.call('get', 'a') redis.call('get', 'b')\" 0",
            0,
            false,
        ),
        ("MULTI", 0, false),
        ("GET b", 0, false),
        // The transaction with its command.
        ("EXEC", 11, true),
        ("SSUBSCRIBE b", 32, true),
        // The reply, and the message to the subscriber.
        ("SPUBLISH b 12", 4 + 33, true),
    ] {
        let out = stats(&server).bytes_out;
        let by = if request.starts_with("SSUBSCRIBE") { subscriber } else { server.client };
        server.run_as(by, request);
        let now = stats(&server);
        assert_eq!((now.bytes_out - out, now.bytes_in > before), (bytes_out, is_counted), "{request}");
        before = now.bytes_in;
    }
    let shown = server.run("CLUSTER SLOT-STATS ORDERBY NETWORK-BYTES-IN LIMIT 1");
    assert!(shown.starts_with("[[:3300 [\"key-count\" :1 \"memory-bytes\" :"), "{shown}");
    // Where the memory of slots is told, that of collections is, too.
    server.run("RPUSH list 1");
    assert!(server.run("INFO keysizes").contains("db0_distrib_lists_sizes:"));
    server.engine.clock.set_reading_step(1000);
    server.script("CONFIG SET cluster-slot-stats-enabled cpu");
    assert!(!server.run("INFO keysizes").contains("db0_distrib_lists_sizes:"));
    let before = stats(&server);
    server.script("GET b => \"1\"");
    let now = stats(&server);
    assert_eq!((now.bytes_in, now.bytes_out), (before.bytes_in, before.bytes_out));
    assert!(now.micros > before.micros);
    // What all commands took in whole microseconds is what the slots took.
    server.engine.clock.set_reading_step(650);
    server.run("CONFIG RESETSTAT");
    for round in 1..20 {
        server.script("SET b 1");
        (0..round % 4).for_each(|_| server.script("GET b => \"1\""));
        let shown: u64 = ["set", "get"]
            .into_iter()
            .map(|name| {
                let line = server.run("INFO commandstats");
                let rest = line.split(&format!("cmdstat_{name}:")).nth(1).unwrap_or("usec=0,");
                let usec = rest.split("usec=").nth(1).and_then(|rest| rest.split(',').next());
                usec.expect("a figure").parse::<u64>().expect("a number")
            })
            .sum();
        assert_eq!(stats(&server).micros, shown, "round {round}");
    }
    assert!(stats(&server).micros > 0);
    assert!(!server.run("CLUSTER SLOT-STATS SLOTSRANGE 3300 3300").contains("bytes"));
    server.script("CLUSTER DELSLOTS 3300\nCLUSTER ADDSLOTS 3300");
    assert_eq!(stats(&server), Default::default());
    server.script("GET b => \"1\"\nCONFIG RESETSTAT");
    assert_eq!(stats(&server), Default::default());
    server.script("CONFIG SET cluster-slot-stats-enabled no\nGET b => \"1\"");
    assert_eq!(stats(&server), Default::default());
}

#[test]
fn a_primary_that_shuts_down_may_hand_over_to_a_replica_that_has_everything() {
    let mut server = with_other(node());
    serve_all(&mut server);
    let other = "b".repeat(40);
    server.script("CONFIG SET repl-diskless-sync-delay 0\nSHUTDOWN SAFE FAILOVER NOSAVE => (blocked)");
    let Some(ServerAction::Shutdown { options, .. }) = std::iter::from_fn(|| server.engine.next_action())
        .find(|it| matches!(it, ServerAction::Shutdown { .. }))
    else {
        panic!("no shutdown")
    };
    assert!(options.safe && options.failover && !server.engine.may_shut_down(options));
    assert!(server.engine.may_shut_down(ShutdownOptions { force: true, ..options }));
    assert!(!server.engine.hand_over_at_end(), "there is no replica");

    let replica = server.connect();
    assert_eq!(server.run_as(replica, "REPLCONF SET-CLUSTER-NODE-ID xyz"), "-ERR Unknown node xyz");
    server.run_as(replica, "REPLCONF listening-port 7000 capa eof capa psync2");
    server.run_as(replica, "PSYNC ? -1");
    server.engine.tick();
    server.engine.payload_sent(replica, false);
    let end = server.engine.backlog().end();
    server.run_as(replica, &format!("REPLCONF ACK {end}"));
    assert!(!server.engine.hand_over_at_end(), "it hasn't said which node it is");
    server.run_as(replica, &format!("REPLCONF SET-CLUSTER-NODE-ID {other}"));
    assert!(server.engine.hand_over_at_end());
    assert!(!server.engine.hand_over_at_end(), "it lacks what has just been sent");
}
