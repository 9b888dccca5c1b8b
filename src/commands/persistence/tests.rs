//! Tests of the persistence commands, without a disk: what they ask the server for.

use crate::commands::support::testing::TestServer;
use crate::engine::ServerAction;
use crate::engine::persistence::Purpose;
use crate::services::config::Config;

#[test]
fn one_snapshot_at_a_time() {
    let mut server = TestServer::new();
    server.script(
        "SET a 1 => +OK
         LASTSAVE => :1700000000
         BGSAVE CANCEL => -ERR Background saving is currently not in progress or scheduled
         BGSAVE x => -ERR syntax error
         BGSAVE => +Background saving started
         BGSAVE => -ERR Background save already in progress
         BGSAVE SCHEDULE => -ERR Background save already in progress
         SAVE => -ERR Background save already in progress
         BGREWRITEAOF => +Background append only file rewriting scheduled",
    );
    assert!(matches!(server.engine.next_action(), Some(ServerAction::WriteSnapshot)));
    assert!(server.engine.persistence.is_running(Purpose::Background));
    server.script("BGSAVE CANCEL => +Background saving cancelled");
    assert!(server.engine.persistence.run().is_none());
}

#[test]
fn a_transaction_only_schedules() {
    let mut server = TestServer::new();
    server.script(
        "MULTI => +OK
         SAVE => -ERR Command not allowed inside a transaction
         DISCARD => +OK
         MULTI => +OK
         BGSAVE => +QUEUED
         EXEC => [+Background saving scheduled]
         BGSAVE CANCEL => +Scheduled background saving cancelled",
    );
}

/// A server whose log is on, as far as the engine sees it.
fn with_log(durable: u64) -> TestServer {
    let mut server = TestServer::with(Config { appendonly: true, ..Config::default() });
    server.propagate();
    server.engine.set_durable(Some(durable));
    server
}

#[test]
fn waitaof_arguments() {
    let mut server = TestServer::new();
    server.script(
        "WAITAOF 1 0 => -ERR wrong number of arguments for 'waitaof' command
         WAITAOF 2 -1 -1 => -ERR value is out of range, value must between 0 and 1
         WAITAOF -1 0 0 => -ERR value is out of range, value must between 0 and 1
         WAITAOF x 0 0 => -ERR value is not an integer or out of range
         WAITAOF 1 -1 -1 => -ERR value is out of range, must be positive
         WAITAOF 1 x 0 => -ERR value is out of range, must be positive
         WAITAOF 0 99999999999999999999 0 => -ERR value is out of range, must be positive
         WAITAOF 1 0 -1 => -ERR timeout is negative
         WAITAOF 1 0 1.5 => -ERR timeout is not an integer or out of range
         WAITAOF 0 1 9223372036854775807 => -ERR timeout is out of range
         WAITAOF 1 0 0 => -ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.
         SET a 1
         WAITAOF 0 0 0 => [:0 :0]",
    );
}

#[test]
fn wait_without_replicas() {
    let mut server = TestServer::new();
    let (client, other) = (server.client, server.connect());
    server.script(
        "WAIT 0 => -ERR wrong number of arguments for 'wait' command
         WAIT x -1 => -ERR value is not an integer or out of range
         WAIT 99999999999999999999 1 => -ERR value is not an integer or out of range
         WAIT 0 x => -ERR timeout is not an integer or out of range
         WAIT 0 -1 => -ERR timeout is negative
         WAIT 1 9223372036854775807 => -ERR timeout is out of range
         WAIT 0 0 => :0
         WAIT -1 0 => :0
         MULTI => +OK
         WAIT 1 0 => +QUEUED
         EXEC => [:0]
         SET a 1
         WAIT 1 100 => (blocked)",
    );
    server.advance(101);
    server.engine.tick();
    assert_eq!(server.posted(client), ":0");
    server.script("EVAL \"return redis.call('WAIT', 1, 0)\" 0 => :0\nWAIT 2 0 => (blocked)");
    let id = server.engine.clients.sessions.live(client).id;
    assert_eq!(server.run_as(other, &format!("CLIENT UNBLOCK {id}")), ":1");
    assert_eq!(server.posted(client), ":0");
    assert!(server.engine.clients.blocked.is_empty());
}

#[test]
fn a_replica_has_nothing_to_wait_for() {
    let mut server = TestServer::new();
    let error = |command, more| {
        format!(
            "-ERR {command} cannot be used with replica instances. Please also note that {more}writes to replicas are just local and are not propagated."
        )
    };
    let since = "since Redis 4.0 if a replica is configured to be writable (which is not the default) ";
    server.script("REPLICAOF 127.0.0.1 7000");
    for request in ["WAIT 0 0", "WAIT x x", "WAIT 1 10"] {
        assert_eq!(server.run(request), error("WAIT", since), "{request}");
    }
    for request in ["WAITAOF 0 0 0", "WAITAOF 1 0 10"] {
        assert_eq!(server.run(request), error("WAITAOF", ""), "{request}");
    }
    server.script(
        "WAITAOF 2 0 0 => -ERR value is out of range, value must between 0 and 1
         REPLICAOF NO ONE
         WAIT 0 0 => :0",
    );
}

#[test]
fn waitaof_waits_for_the_clients_own_writes() {
    let mut server = with_log(0);
    let other = server.connect();
    server.script("WAITAOF 1 0 0 => [:1 :0]\nSET a 1");
    let first = server.engine.backlog().end();
    // Without waiting: what there is.
    server.script("WAITAOF 0 0 0 => [:0 :0]");
    // A client that has written nothing needn't wait, whatever it has read.
    for line in ["WAITAOF 1 0 0", "GET a", "SET a 1 XX GET", "DEL nosuch"] {
        server.run_as(other, line);
        if !line.starts_with("SET") {
            assert_eq!(server.run_as(other, "WAITAOF 1 0 0"), "[:1 :0]", "{line}");
        } else {
            assert_eq!(server.run_as(other, "WAITAOF 1 0 10"), "(blocked)", "{line}");
            server.engine.set_durable(Some(server.engine.backlog().end()));
            assert_eq!(server.posted(other), "[:1 :0]");
        }
    }
    server.script("SET a 2\nGET a => \"2\"\nWAITAOF 1 0 0 => (blocked)");
    let second = server.engine.backlog().end();
    server.engine.set_durable(Some(first));
    assert_eq!(server.posted(server.client), "");
    server.engine.set_durable(Some(second));
    assert_eq!(server.posted(server.client), "[:1 :0]");
    assert!(server.engine.clients.blocked.is_empty());
    server.script("WAITAOF 1 0 0 => [:1 :0]");
}

#[test]
fn a_transaction_asks_for_the_writes_before_it() {
    let mut server = with_log(0);
    server.script("SET a 1");
    server.engine.set_durable(Some(server.engine.backlog().end()));
    server.script("MULTI\nSET a 2 => +QUEUED\nWAITAOF 1 0 0 => +QUEUED\nEXEC => [+OK [:1 :0]]");
    // Those of the one before are not durable.
    server.script("MULTI\nSET a 3 => +QUEUED\nWAITAOF 1 0 0 => +QUEUED\nEXEC => [+OK [:0 :0]]");
    server.script("WAITAOF 1 0 0 => (blocked)");
}

#[test]
fn a_wait_for_the_log_ends_in_several_ways() {
    let mut server = with_log(0);
    let (client, other) = (server.client, server.connect());
    server.script("SET a 1\nWAITAOF 1 0 100 => (blocked)");
    // It waits for no key, so the journal has nothing to record for it.
    assert!(!server.engine.data.keyspace.journal.records_keys);
    server.advance(100);
    server.engine.tick();
    assert_eq!(server.posted(client), "");
    server.advance(1);
    server.engine.tick();
    assert_eq!(server.posted(client), "[:0 :0]");

    let id = server.engine.clients.sessions.live(client).id;
    server.script("WAITAOF 1 0 0 => (blocked)");
    assert_eq!(server.run_as(other, &format!("CLIENT UNBLOCK {id}")), ":1");
    assert_eq!(server.posted(client), "[:0 :0]");
    server.script("WAITAOF 1 0 0 => (blocked)");
    assert_eq!(server.run_as(other, &format!("CLIENT UNBLOCK {id} ERROR")), ":1");
    assert_eq!(server.posted(client), "-UNBLOCKED client unblocked via CLIENT UNBLOCK");

    // Replicas there are none, so only the deadline ends it, with the numbers of that moment.
    server.script("WAITAOF 1 1 100 => (blocked)");
    server.engine.set_durable(Some(server.engine.backlog().end()));
    assert_eq!(server.posted(client), "");
    server.advance(101);
    server.engine.tick();
    assert_eq!(server.posted(client), "[:1 :0]");

    // Without the log there is nothing to wait for, unless it is for replicas alone.
    server.script("SET a 2\nWAITAOF 1 1 0 => (blocked)");
    assert_eq!(server.run_as(other, "WAITAOF 0 1 0"), "(blocked)");
    server.engine.end_log_waits();
    let text = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    assert_eq!(server.engine.clients.blocked.count(), 1);
    assert_eq!(server.posted(client), text);
    server.engine.disconnect(other);
    assert!(server.engine.clients.blocked.is_empty());
}

#[test]
fn waitaof_in_a_transaction_says_what_there_is() {
    let mut server = with_log(0);
    server.script("MULTI\nWAITAOF 1 0 0 => +QUEUED\nSET a 1 => +QUEUED\nWAITAOF 1 0 0 => +QUEUED\nEXEC => [[:1 :0] +OK [:1 :0]]");
    server.script("WAITAOF 1 0 0 => (blocked)");
    // Before the transaction there is nothing.
    server.engine.set_durable(Some(0));
    assert_eq!(server.posted(server.client), "");
    server.engine.set_durable(Some(server.engine.backlog().end()));
    assert_eq!(server.posted(server.client), "[:1 :0]");
}
