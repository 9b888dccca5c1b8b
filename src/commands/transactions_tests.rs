//! Tests of transactions without a socket: propagation, expiry, memory, pauses.

use crate::commands::support::testing::TestServer;

#[test]
fn a_transaction_is_fed_as_one() {
    let mut t = TestServer::new();
    t.propagate();
    t.script("MULTI\nSET a 1 => +QUEUED\nGET a => +QUEUED\nEXEC => [+OK \"1\"]");
    assert_eq!(t.propagated(), "SET a 1");
    t.run("MULTI");
    t.run("SET a 2");
    t.run("SELECT 1");
    t.run("SET b 1");
    t.run("GET b");
    t.run("EXEC");
    assert_eq!(t.propagated(), "MULTI; SET a 2; SELECT 1; SET b 1; EXEC");
    t.run("MULTI");
    t.run("GET b");
    t.run("EXEC");
    assert_eq!(t.propagated(), "");
}

#[test]
fn watched_keys_that_expire() {
    let mut t = TestServer::new();
    t.script("SET k v PX 100\nWATCH k");
    t.advance(200);
    t.script("MULTI\nPING => +QUEUED\nEXEC => nil-array");
    // One that had expired already doesn't change by being removed.
    t.script("SET k v PX 100");
    t.advance(200);
    t.script("WATCH k");
    let other = t.connect();
    t.run_as(other, "GET k");
    t.script("MULTI\nPING => +QUEUED\nEXEC => [+PONG]");
    // But by being set.
    t.script("SET k v PX 100");
    t.advance(200);
    t.script("WATCH k");
    t.run_as(other, "SET k new");
    t.script("MULTI\nPING => +QUEUED\nEXEC => nil-array");
    // And a key that isn't there by coming.
    t.script("DEL k => :1\nWATCH k");
    t.run_as(other, "SET k new");
    t.script("MULTI\nPING => +QUEUED\nEXEC => nil-array");
}

#[test]
fn a_streams_groups_are_not_watched() {
    let mut t = TestServer::new();
    t.script("XGROUP CREATE s g $ MKSTREAM");
    t.script("WATCH s\nXGROUP CREATECONSUMER s g c => :1\nXGROUP DESTROY s g => :1");
    t.script("MULTI\nPING => +QUEUED\nEXEC => [+PONG]");
    t.script("WATCH t\nXGROUP CREATE s h $\nXGROUP CREATE t g $ MKSTREAM");
    t.script("MULTI\nPING => +QUEUED\nEXEC => nil-array");
}

#[test]
fn short_of_memory() {
    let mut t = TestServer::new();
    t.script("SET k 1\nMULTI\nSET k 2 => +QUEUED");
    t.engine.settings.maxmemory = 1;
    t.script("GET k => +QUEUED");
    t.script(
        "EXEC => -EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
    );
    t.script("EXEC => -ERR EXEC without MULTI\nGET k => \"1\"");
    t.script("SET k 2 => -OOM command not allowed when used memory > 'maxmemory'.");
    t.script("MULTI\nSET k 2 => -OOM command not allowed when used memory > 'maxmemory'.");
    t.script("EXEC => -EXECABORT Transaction discarded because of previous errors.");
    t.script("MULTI\nGET k => +QUEUED\nEXEC => [\"1\"]");
}

#[test]
fn while_clients_are_paused_keys_stay() {
    let mut t = TestServer::new();
    t.script("SET k v PX 100\nCLIENT PAUSE 1000 WRITE");
    t.advance(200);
    t.engine.tick();
    t.script("GET k => nil\nDBSIZE => :1");
    t.advance(1000);
    t.engine.tick();
    t.script("DBSIZE => :0");
}

#[test]
fn calls_and_failures_are_counted_once() {
    let mut t = TestServer::new();
    t.script("SET s text\nMULTI\nINCR s => +QUEUED");
    t.run("EXEC");
    let stats = t.run("INFO commandstats");
    assert!(stats.contains("cmdstat_incr:calls=1,") && stats.contains("cmdstat_exec:calls=1,"), "{stats}");
    let exec = stats.split("cmdstat_exec:").nth(1).expect("exec").split("\\r").next().expect("a line");
    assert!(exec.contains("failed_calls=0"), "{exec}");
    let incr = stats.split("cmdstat_incr:").nth(1).expect("incr").split("\\r").next().expect("a line");
    assert!(incr.contains("failed_calls=1"), "{incr}");
}
