//! Tests of ZPOPMIN, ZPOPMAX, ZMPOP and their blocking forms.

use crate::commands::support::testing::TestServer;

const ABC: &str = "ZADD z 1 a 2 b 3 c => :3";

#[test]
fn pops() {
    let mut server = TestServer::new();
    server.script(ABC);
    server.script(
        r#"
        ZPOPMIN z => ["a" "1"]
        ZPOPMAX z 5 => ["c" "3" "b" "2"]
        EXISTS z => :0
        ZPOPMIN z => []
        ZPOPMIN z 0 => []
        ZPOPMIN z -1 => -ERR value is out of range, must be positive
        ZPOPMIN z x => -ERR value is out of range, must be positive
        ZPOPMIN z 1 1 => -ERR syntax error
        ZADD z 1 a 2 b 3 c => :3
        ZPOPMIN z 0 => []
        ZMPOP 2 nokey z MIN => ["z" [["a" "1"]]]
        ZMPOP 2 nokey z MAX COUNT 9 => ["z" [["c" "3"] ["b" "2"]]]
        ZMPOP 1 z MAX => nil-array
        ZMPOP 0 z MAX => -ERR numkeys should be greater than 0
        ZMPOP x z MAX => -ERR numkeys should be greater than 0
        ZMPOP 2 z MAX => -ERR syntax error
        ZMPOP 1 z MID => -ERR syntax error
        ZMPOP 1 z MIN COUNT 0 => -ERR count should be greater than 0
        ZMPOP 1 z MIN COUNT 1 COUNT 1 => -ERR syntax error
        SET s 1
        ZMPOP 1 s MIN => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
    server.resp3();
    server.script(ABC);
    server.script(
        r#"
        ZPOPMIN z => ["a" ,1]
        ZPOPMIN z 1 => [["b" ,2]]
        BZPOPMAX z 0 => ["z" "c" ,3]
        "#,
    );
}

#[test]
fn propagation_and_events() {
    let mut server = TestServer::new();
    server.propagate();
    server.notify("KEA");
    for (request, propagated, events) in [
        ("ZPOPMIN z", "ZPOPMIN z", "zpopmin z"),
        ("ZPOPMAX z 9", "ZPOPMAX z 9", "zpopmax z; del z"),
        ("ZPOPMAX z 0", "", ""),
        ("BZPOPMIN y z 0", "ZPOPMIN z", "zpopmin z"),
        ("ZMPOP 1 z MAX COUNT 9", "ZPOPMAX z 3", "zpopmax z; del z"),
        ("BZMPOP 0 2 y z MIN", "ZPOPMIN z 1", "zpopmin z"),
    ] {
        server.run("DEL z");
        server.script(ABC);
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
    assert_eq!(server.run_as(one, "BZPOPMIN y z 0"), "(blocked)");
    assert_eq!(server.run_as(two, "BZMPOP 10 1 z MAX COUNT 2"), "(blocked)");
    assert_eq!(server.run("ZADD z 1 a 2 b 3 c"), ":3");
    assert_eq!(server.posted(one), "[\"z\" \"a\" \"1\"]");
    assert_eq!(server.run_as(two, "BZMPOP x 1 z MAX"), "-ERR timeout is not a float or out of range");
    assert_eq!(server.run("EXISTS z"), ":0");
}

#[test]
fn timeouts_and_errors() {
    let mut server = TestServer::new();
    let client = server.connect();
    assert_eq!(server.run_as(client, "BZPOPMAX z 0.5"), "(blocked)");
    server.script("LPUSH z 1 => :1\n DEL z => :1");
    server.advance(501);
    server.engine.tick();
    assert_eq!(server.posted(client), "nil-array");
    assert_eq!(server.run("BZPOPMAX z -1"), "-ERR timeout is negative");
}
