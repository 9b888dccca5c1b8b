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

/// Each of these waits, and the transaction that would serve it pauses writes, too.
#[test]
fn a_pause_holds_back_clients_that_wait() {
    let waits = [
        ("BLPOP q 0", "RPUSH q 1", "[\"q\" \"1\"]"),
        ("BLMPOP 0 1 q LEFT", "RPUSH q 1", "[\"q\" [\"1\"]]"),
        ("BLMOVE q r LEFT LEFT 0", "RPUSH q 1", "\"1\""),
        ("BZPOPMIN z 0", "ZADD z 1 a", "[\"z\" \"a\" \"1\"]"),
        ("BZMPOP 0 1 z MIN", "ZADD z 1 a", "[\"z\" [[\"a\" \"1\"]]]"),
        ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XADD s 1-1 a b", "[[\"s\" [[\"1-1\" [\"a\" \"b\"]]]]]"),
    ];
    for (wait, push, expected) in waits {
        let mut t = TestServer::new();
        t.script("XGROUP CREATE s g $ MKSTREAM");
        let (first, second) = (t.connect(), t.connect());
        assert_eq!(t.run_as(first, wait), "(blocked)");
        assert_eq!(t.run_as(second, wait), "(blocked)");
        t.run("MULTI");
        t.run(push);
        t.run("CLIENT PAUSE 500 WRITE");
        t.run("EXEC");
        t.propagate();
        assert_eq!(t.posted(first), "", "{wait}");
        t.advance(400);
        t.engine.tick();
        assert_eq!((t.posted(first), t.propagated()), (String::new(), String::new()), "{wait}");
        t.advance(200);
        t.engine.tick();
        assert_eq!(t.posted(first), expected, "{wait}");
        assert!(!t.propagated().is_empty(), "{wait}");
        // The second one goes on waiting.
        t.run(push.replace("1-1", "2-1").as_str());
        assert!(!t.posted(second).is_empty(), "{wait}");
    }
}

#[test]
fn unpausing_serves_those_held_back() {
    let mut t = TestServer::new();
    let (waiter, reader) = (t.connect(), t.connect());
    t.run_as(waiter, "BLPOP q 0");
    t.run_as(reader, "XREAD BLOCK 0 STREAMS s $");
    t.script("MULTI\nRPUSH q 1 => +QUEUED\nXADD s 1-1 a b => +QUEUED\nCLIENT PAUSE 100000 WRITE => +QUEUED");
    t.script("EXEC => [:1 \"1-1\" +OK]");
    // Reads go on.
    let posts: Vec<_> = t.engine.clients.outbox.iter().map(|(to, _)| to).collect();
    assert_eq!(posts, [reader]);
    t.engine.clients.outbox.clear();
    t.script("LLEN q => :1\nCLIENT UNPAUSE");
    assert_eq!(t.posted(waiter), "[\"q\" \"1\"]");
    t.script("LLEN q => :0");
}

#[test]
fn a_waiting_client_is_refused_when_memory_is_short() {
    let mut t = TestServer::new();
    let (mover, popper) = (t.connect(), t.connect());
    t.script("RPUSH x 1 => :1");
    t.run_as(mover, "BLMOVE a b LEFT LEFT 0");
    t.run_as(popper, "BLPOP a 0");
    t.engine.settings.maxmemory = 1;
    t.script("RENAME x a");
    let posts: Vec<_> = t.engine.clients.outbox.iter().map(|(to, bytes)| (to, bytes.to_vec())).collect();
    let oom = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n".to_vec();
    assert_eq!(posts[0], (mover, oom));
    // The element stayed, for the next one, which needs no memory.
    assert_eq!(posts[1].0, popper);
    t.script("LLEN a => :0\nEXISTS b => :0");
}

#[test]
fn what_expires_in_a_transaction_goes_at_its_place() {
    let mut t = TestServer::new();
    t.script("SET k v PX 10");
    t.propagate();
    t.advance(20);
    t.script("MULTI\nGET k => +QUEUED\nSET k v => +QUEUED\nEXEC => [nil +OK]");
    assert_eq!(t.propagated(), "MULTI; DEL k; SET k v; EXEC");
    t.script("SET k v PX 10");
    t.advance(20);
    t.script("MULTI\nGET k => +QUEUED\nPING => +QUEUED\nEXEC => [nil +PONG]");
    assert_eq!(t.propagated(), "SET k v PXAT 1700000000030; DEL k");
}

/// A pause keeps keys past their deadline; a write that runs all the same removes those that it meets.
#[test]
fn writes_replace_expired_keys_and_fields_during_a_pause() {
    let mut server = TestServer::new();
    server.propagate();
    server.script("SET k v PX 1\n HSET h f 5 g 6 => :2\n HPEXPIRE h 1 FIELDS 1 f => [:1]");
    server.advance(50);
    server.propagated();
    server.script(
        "MULTI\n CLIENT PAUSE 1000 WRITE => +QUEUED\n SET k 2 => +QUEUED\n GET k => +QUEUED\n HINCRBY h f 1 => +QUEUED\n DBSIZE => +QUEUED
         EXEC => [+OK +OK \"2\" :1 :2]\n CLIENT UNPAUSE",
    );
    assert_eq!(server.propagated(), "MULTI; DEL k; SET k 2; HDEL h f; HINCRBY h f 1; EXEC");
    server.script("DEL k => :1\n GET k => nil");
}

#[test]
fn statistics_are_reset_within_a_transaction() {
    let mut server = TestServer::new();
    server.script(
        "LPUSH l a => :1\n GET l => -WRONGTYPE Operation against a key holding the wrong kind of value
         MULTI\n CONFIG RESETSTAT => +QUEUED\n EXEC => [+OK]",
    );
}

/// Evicting a key for which a client waits, to admit that client's request, serves the client once, not within itself.
#[test]
fn keys_are_evicted_while_clients_that_wait_for_them_are_served() {
    let mut server = TestServer::new();
    for number in 0..200 {
        server.script(&format!("XGROUP CREATE s{number} g $ MKSTREAM"));
        let client = server.connect();
        let request = format!("XREADGROUP GROUP g c BLOCK 0 STREAMS s{number} >");
        assert_eq!(server.run_as(client, &request), "(blocked)");
    }
    let mut config = server.engine.config.clone();
    config.maxmemory_policy = crate::services::config::MaxmemoryPolicy::AllkeysRandom;
    config.maxmemory = 1;
    server.engine.configure(config);
    assert_eq!(server.run("GET a"), "nil");
    while server.run("DBSIZE") != ":0" {
        server.advance(1);
        server.engine.tick();
    }
    assert!(server.engine.clients.blocked.is_empty());
    assert_eq!(server.engine.metrics.stats.errors.get("NOGROUP").copied(), Some(200));
}

/// A reading of the clock is a millisecond: a call that is timed takes one, and the others of the row count as that.
#[test]
fn calls_in_a_row_are_timed_by_some_of_them() {
    let mut t = TestServer::new();
    t.script("SET k 1");
    t.engine.flush_batch();
    t.run("CONFIG RESETSTAT");
    t.engine.clock.set_reading_step(1_000_000);
    t.script("CONFIG SET slowlog-log-slower-than -1 latency-monitor-threshold 0");
    t.run("MULTI");
    (0..20).for_each(|_| drop(t.run("INCR k")));
    t.run("GET k");
    (0..3).for_each(|_| drop(t.run("INCR k")));
    let before = t.engine.clock.ticks();
    t.run("EXEC");
    let readings = (t.engine.clock.ticks().0 - before.0) / 1_000_000;
    let stats = t.run("INFO commandstats");
    for line in ["cmdstat_incr:calls=23,usec=23000,", "cmdstat_get:calls=1,usec=1000,"] {
        assert!(stats.contains(line), "{line} isn't in {stats}");
    }
    // Of 20, 1 and 3 calls the first and each eighth, by two readings; and what EXEC itself needs.
    assert!(readings <= 2 * (3 + 1 + 1) + 4, "{readings}");
}
