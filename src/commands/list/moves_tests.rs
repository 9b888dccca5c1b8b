//! Tests of LMOVE, RPOPLPUSH, LMPOP and the blocking list commands.

use crate::commands::support::testing::TestServer;
use crate::engine::settings::Permission;

#[test]
fn moves() {
    let mut server = TestServer::new();
    server.script(
        r#"
        RPUSH a 1 2 3 => :3
        LMOVE a b LEFT RIGHT => "1"
        LMOVE a b right left => "3"
        RPOPLPUSH a b => "2"
        EXISTS a => :0
        LRANGE b 0 -1 => ["2" "3" "1"]
        LMOVE b b LEFT RIGHT => "2"
        LMOVE b b RIGHT RIGHT => "2"
        RPOPLPUSH b b => "2"
        LRANGE b 0 -1 => ["2" "3" "1"]
        LMOVE nokey b LEFT LEFT => nil
        LMOVE b a LEFT MIDDLE => -ERR syntax error
        BLMOVE b a LEFT LEFT x => -ERR timeout is not a float or out of range
        BRPOPLPUSH b a -1 => -ERR timeout is negative
        SET s 1
        LMOVE b s LEFT LEFT => -WRONGTYPE Operation against a key holding the wrong kind of value
        LMOVE s b LEFT LEFT => -WRONGTYPE Operation against a key holding the wrong kind of value
        LLEN b => :3
        LMPOP 2 nokey b LEFT COUNT 2 => ["b" ["2" "3"]]
        LMPOP 1 b RIGHT => ["b" ["1"]]
        LMPOP 1 b RIGHT => nil-array
        LMPOP 0 b LEFT => -ERR numkeys should be greater than 0
        LMPOP 1 b LEFT COUNT 0 => -ERR count should be greater than 0
        LMPOP 2 b LEFT => -ERR syntax error
        "#,
    );
}

#[test]
fn propagation_and_events() {
    let mut server = TestServer::new();
    server.propagate();
    server.notify("KEA");
    for (request, propagated, events) in [
        ("LMOVE l m LEFT RIGHT", "LMOVE l m LEFT RIGHT", "rpush m; lpop l"),
        ("RPOPLPUSH l l", "RPOPLPUSH l l", "lpush l; rpop l"),
        ("BLMOVE l m LEFT LEFT 0", "LMOVE l m left left", "lpush m; lpop l"),
        ("BRPOPLPUSH l m 0", "RPOPLPUSH l m", "lpush m; rpop l"),
        ("BLPOP x l 0", "LPOP l", "lpop l"),
        ("LMPOP 1 l RIGHT COUNT 9", "RPOP l 2", "rpop l; del l"),
    ] {
        server.run("DEL l m");
        server.run("RPUSH l a b");
        server.events();
        server.propagated();
        server.run(request);
        assert_eq!(server.propagated(), propagated, "{request}");
        assert_eq!(server.events(), events, "{request}");
    }
}

#[test]
fn waiting_clients_are_served_in_order() {
    let mut server = TestServer::new();
    let (one, two) = (server.connect(), server.connect());
    assert_eq!(server.run_as(one, "BLPOP x l 0"), "(blocked)");
    assert_eq!(server.run_as(two, "BLMOVE l m RIGHT LEFT 0"), "(blocked)");
    assert_eq!(server.run("RPUSH l a b c"), ":3");
    assert_eq!(server.posted(one), "[\"l\" \"a\"]");
    server.script("LRANGE l 0 -1 => [\"b\"]\n LRANGE m 0 -1 => [\"c\"]");
}

#[test]
fn a_key_that_expires_in_its_execution_unit_serves_no_client() {
    let mut server = TestServer::new();
    let client = server.connect();
    server.engine.settings.debug_command = Permission::Yes;
    assert_eq!(server.run_as(client, "BLPOP l 0"), "(blocked)");
    server.script("MULTI\n RPUSH l a => +QUEUED\n PEXPIRE l 1 => +QUEUED\n DEBUG SLEEP 0.1 => +QUEUED");
    server.run("EXEC");
    assert_eq!(server.run("EXISTS l"), ":0");
    assert_eq!(server.posted(client), "");
    server.script("RPUSH l b => :1");
    assert_eq!(server.posted(client), "[\"l\" \"b\"]");
}

#[test]
fn a_served_blmove_serves_another_at_once() {
    let mut server = TestServer::new();
    let (one, two) = (server.connect(), server.connect());
    server.propagate();
    assert_eq!(server.run_as(one, "BLMOVE a b LEFT RIGHT 0"), "(blocked)");
    assert_eq!(server.run_as(two, "BLMOVE b a RIGHT LEFT 0"), "(blocked)");
    server.script("LPUSH a x => :1");
    assert_eq!(server.propagated(), "LPUSH a x; LMOVE a b left right; LMOVE b a right left");
    server.script("LRANGE a 0 -1 => [\"x\"]\n EXISTS b => :0");
}

#[test]
fn a_key_that_expires_while_a_client_waits_is_propagated_as_del() {
    let mut server = TestServer::new();
    let client = server.connect();
    server.engine.settings.debug_command = Permission::Yes;
    server.propagate();
    assert_eq!(server.run_as(client, "BLPOP l 0"), "(blocked)");
    server.script("MULTI\n RPUSH l a => +QUEUED\n PEXPIRE l 1 => +QUEUED\n DEBUG SLEEP 0.1 => +QUEUED");
    server.run("EXEC");
    server.script("EXISTS l => :0");
    let propagated = server.propagated();
    assert!(propagated.starts_with("MULTI; RPUSH l a; PEXPIREAT l "), "{propagated}");
    assert!(propagated.ends_with("; EXEC; DEL l"), "{propagated}");
}
