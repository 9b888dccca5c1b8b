//! Tests of XCLAIM and XAUTOCLAIM.

use crate::commands::support::testing::{START_MS, TestServer};

fn with_pending() -> TestServer {
    let mut server = TestServer::new();
    for id in 1..=3 {
        server.run(&format!("XADD s {id} f {id}"));
    }
    server.run("XGROUP CREATE s g 0");
    server.run("XREADGROUP GROUP g c STREAMS s >");
    server.advance(10);
    server
}

#[test]
fn xclaim() {
    let mut server = with_pending();
    server.script(
        r#"
        XCLAIM s g d 20 1 => []
        XCLAIM s g d 10 1 => [["1-0" ["f" "1"]]]
        XCLAIM s g d 0 2 7 JUSTID => ["2-0"]
        XPENDING s g - + 10 => [["1-0" "d" :0 :2] ["2-0" "d" :0 :1] ["3-0" "c" :10 :1]]
        XCLAIM s g d 0 3 IDLE 5 RETRYCOUNT 7 JUSTID => ["3-0"]
        XPENDING s g 3 3 10 => [["3-0" "d" :5 :7]]
        XACK s g 1 => :1
        XCLAIM s g d 0 1 => []
        XCLAIM s g d 0 1 FORCE TIME 5 => [["1-0" ["f" "1"]]]
        XDEL s 2 => :1
        XCLAIM s g d 0 2 => []
        XPENDING s g => [:2 "1-0" "3-0" [["d" "2"]]]
        XCLAIM s x d 0 1 => -NOGROUP No such key 's' or consumer group 'x'
        XCLAIM s g d x 1 => -ERR Invalid min-idle-time argument for XCLAIM
        XCLAIM s g d 0 1 IDLE x => -ERR Invalid IDLE option argument for XCLAIM
        XCLAIM s g d 0 1 IDLE => -ERR Unrecognized XCLAIM option 'IDLE'
        XCLAIM s g d 0 1 what => -ERR Unrecognized XCLAIM option 'what'
        XCLAIM s g d 0 1 LASTID x => -ERR Invalid stream ID specified as stream command argument
        "#,
    );
}

#[test]
fn xautoclaim() {
    let mut server = with_pending();
    server.script(
        r#"
        XAUTOCLAIM s g d 20 - => ["0-0" [] []]
        XAUTOCLAIM s g d 10 - COUNT 1 => ["2-0" [["1-0" ["f" "1"]]] []]
        XDEL s 2 => :1
        XAUTOCLAIM s g d 10 2 COUNT 2 JUSTID => ["0-0" ["3-0"] ["2-0"]]
        XPENDING s g => [:2 "1-0" "3-0" [["d" "2"]]]
        XAUTOCLAIM s g d 0 - COUNT 0 => -ERR COUNT must be > 0
        XAUTOCLAIM s g d 0 - COUNT 9223372036854775807 => -ERR COUNT must be > 0
        XAUTOCLAIM s g d x - => -ERR Invalid min-idle-time argument for XAUTOCLAIM
        XAUTOCLAIM s g d 0 - WHAT => -ERR syntax error
        XAUTOCLAIM s x d 0 - => -NOGROUP No such key 's' or consumer group 'x'
        "#,
    );
}

#[test]
fn claims_are_propagated_as_their_effect() {
    let mut server = with_pending();
    server.run("XDEL s 2");
    server.propagate();
    server.run("XCLAIM s g d 0 1 2");
    let now = START_MS + 10;
    let claim = |consumer, id, time, count| {
        format!("XCLAIM s g {consumer} 0 {id} TIME {time} RETRYCOUNT {count} FORCE JUSTID LASTID 3-0")
    };
    let expected = format!("MULTI; {}; {}; EXEC", claim("d", "1", now, 2), claim("c", "2", START_MS, 1));
    assert_eq!(server.propagated(), expected);
    server.run("XAUTOCLAIM s g e 0 3 JUSTID");
    assert_eq!(server.propagated(), claim("e", "3-0", now, 1));
    server.run("XCLAIM s g d 0 9 LASTID 5");
    assert_eq!(server.propagated(), "XGROUP SETID s g 5-0 ENTRIESREAD 3");
    server.run("XCLAIM s g f 0 9");
    assert_eq!(server.propagated(), "XGROUP CREATECONSUMER s g f");
    server.run("XCLAIM s g f 0 9");
    assert_eq!(server.propagated(), "");
}
