//! Tests of what replicas say to their primary.

use crate::commands::testing::TestServer;
use crate::engine::ExecStatus;
use crate::engine::replication::replicas::Stage;
use crate::resp::{OwnedArgs, Reply};
use crate::services::persist::rdb::Family;

#[test]
fn replconf_arguments() {
    let mut server = TestServer::new();
    server.script(
        "REPLCONF a => -ERR syntax error
         REPLCONF listening-port x => -ERR value is not an integer or out of range
         REPLCONF nosuch 1 => -ERR Unrecognized REPLCONF option: nosuch
         REPLCONF version x => -ERR Unrecognized version format: x
         REPLCONF rdb-only 2 => -ERR value is out of range, value must between 0 and 1
         REPLCONF rdb-filter-only data => -ERR Unsupported rdb-filter-only option: data
         REPLCONF listening-port 6380 capa eof capa psync2 capa unknown version 9.1.0 => +OK
         REPLCONF => +OK
         PSYNC ? x => -ERR value is not an integer or out of range
         ROLE => [\"master\" :0 []]",
    );
}

#[test]
fn valkeys_own_format_is_only_for_replicas_of_valkey_9() {
    let redis = (Family::Redis, 12);
    for (replicas, expected) in [
        (&["capa eof capa psync2"][..], redis),
        (&["capa eof capa psync2 version 8.1.0"], redis),
        (&["capa eof capa psync2 version 9.0.0"], (Family::Valkey, 80)),
        (&["capa eof capa psync2 version 9.1.0", "capa eof"], redis),
        (&["capa eof capa psync2 capa redloop version 9.1.0"], redis),
    ] {
        let mut server = TestServer::new();
        server.script(
            "CONFIG SET repl-diskless-sync-delay 0\nHSET h f v => :1\nHPEXPIRE h 100000 FIELDS 1 f => [:1]",
        );
        for options in replicas {
            let replica = server.connect();
            server.run_as(replica, &format!("REPLCONF {options}"));
            server.run_as(replica, "PSYNC ? -1");
        }
        server.engine.tick();
        let format = server.engine.snapshot_format();
        assert_eq!((format.family, format.version), expected, "{replicas:?}");
    }
}

#[test]
fn a_wrong_offset_is_the_last_thing_that_psync_notices() {
    let mut server = TestServer::new();
    server.script(
        "REPLICAOF 127.0.0.1 7000
         PSYNC ? x => -NOMASTERLINK Can't SYNC while not connected with my master
         REPLICAOF NO ONE
         PSYNC ? x => -ERR value is not an integer or out of range",
    );
}

#[test]
fn a_snapshot_on_its_way_is_no_acknowledgement() {
    for by_file in ["yes", "no"] {
        let mut server = TestServer::new();
        let replica = server.connect();
        server.propagate();
        server
            .script(&format!("SET a 1\nCONFIG SET repl-diskless-sync {by_file} repl-diskless-sync-delay 0"));
        server.run_as(replica, "REPLCONF listening-port 7000 capa eof capa psync2");
        server.run_as(replica, "PSYNC ? -1");
        server.engine.tick();
        server.engine.payload_sent(replica, by_file == "yes");
        assert!(server.run("INFO replication").contains("state=online,offset=0,"));
        // It has been sent everything, but has loaded nothing yet.
        let client = server.client;
        assert_eq!(server.run("WAIT 1 0"), "(blocked)");
        let end = server.engine.backlog().end();
        assert_eq!(server.run_as(replica, &format!("REPLCONF ACK {end}")), "");
        assert_eq!(server.posted(client), ":1");
    }
}

#[test]
fn a_replica_that_is_quicker_than_the_note_of_its_snapshots_end_gets_the_stream() {
    let mut server = TestServer::new();
    let replica = server.connect();
    server.script("CONFIG SET repl-diskless-sync-delay 0");
    server.run_as(replica, "REPLCONF capa eof");
    server.run_as(replica, "PSYNC ? -1");
    server.engine.tick();
    let stage =
        |server: &TestServer| server.engine.replication.replicas.get(replica).map(|replica| replica.stage);
    assert_eq!(stage(&server), Some(Stage::Payload));
    server.run_as(replica, "REPLCONF ACK 0");
    assert_eq!(stage(&server), Some(Stage::Payload));
    server.engine.payload_sent(replica, true);
    assert_eq!(stage(&server), Some(Stage::Online));
}

#[test]
fn a_replica_that_sends_what_is_no_request_is_disconnected_and_monitor_does_nothing() {
    for (request, status) in [
        ("MONITOR", ExecStatus::Done),
        ("REPLCONF ACK 0", ExecStatus::Done),
        ("nosuch 1", ExecStatus::Close),
        ("GET", ExecStatus::Close),
        ("PING", ExecStatus::Close),
        ("REPLICAOF 127.0.0.1 7000", ExecStatus::Close),
    ] {
        let mut server = TestServer::new();
        let replica = server.connect();
        server.run_as(replica, "REPLCONF capa eof");
        server.run_as(replica, "PSYNC ? -1");
        let words = OwnedArgs::from_parts(request.split(' '));
        let mut reply = Reply::new(Vec::new(), false);
        assert_eq!(server.engine.execute_one(replica, words.as_args(), &mut reply), status, "{request}");
        assert!(reply.into_bytes().is_empty(), "{request}");
        assert!(server.engine.clients.monitors.is_empty(), "{request}");
        assert!(!server.engine.replication.is_replica(), "{request}");
    }
}

#[test]
fn a_replica_is_not_late_because_its_file_took_long() {
    let mut server = TestServer::new();
    let replica = server.connect();
    server.script("SET a 1\nCONFIG SET repl-timeout 10 repl-diskless-sync no");
    server.run_as(replica, "REPLCONF listening-port 7000 capa eof capa psync2");
    server.run_as(replica, "PSYNC ? -1");
    server.engine.tick();
    for _ in 0..12 {
        server.advance(1000);
        server.engine.tick();
    }
    server.engine.finish_snapshot(true);
    server.advance(1000);
    server.engine.tick();
    assert!(server.engine.clients.sessions.get(replica).is_some());
    // From then on it has to take something.
    server.advance(10_000);
    server.engine.tick();
    assert!(server.engine.clients.sessions.get(replica).is_none());
}

#[test]
fn a_replica_has_a_name_in_the_log() {
    let mut server = TestServer::new();
    let replica = server.connect();
    let id = server.engine.clients.sessions.live(replica).id;
    assert_eq!(server.engine.replica_name(replica), format!("client id #{id}"));
    server.run_as(replica, "REPLCONF ip-address 10.0.0.1");
    assert_eq!(server.engine.replica_name(replica), "10.0.0.1:<unknown-replica-port>");
    server.run_as(replica, "REPLCONF listening-port 7000");
    assert_eq!(server.engine.replica_name(replica), "10.0.0.1:7000");
}
