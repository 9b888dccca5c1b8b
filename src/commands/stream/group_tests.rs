//! Tests of consumer groups and blocking reads.

use crate::commands::support::testing::{START_MS, TestServer};

fn with_group() -> TestServer {
    let mut server = TestServer::new();
    server.run("XADD s 1 a 1");
    server.run("XADD s 2 b 2");
    server.run("XGROUP CREATE s g 0");
    server
}

#[test]
fn xgroup() {
    let mut server = TestServer::new();
    server.script(
        r#"
        XGROUP CREATE s g $ => -ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.
        XGROUP CREATE s g x MKSTREAM => -ERR Invalid stream ID specified as stream command argument
        EXISTS s => :0
        XGROUP CREATE s g $ MKSTREAM
        XGROUP CREATE s g $ => -BUSYGROUP Consumer Group name already exists
        XGROUP CREATE s g $ WHAT => -ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.
        XGROUP CREATE s h 0 ENTRIESREAD -2 => -ERR value for ENTRIESREAD must be positive or -1
        XGROUP CREATECONSUMER s g c => :1
        XGROUP CREATECONSUMER s g c => :0
        XGROUP CREATECONSUMER s x c => -NOGROUP No such consumer group 'x' for key name 's'
        XGROUP SETID s g 5 ENTRIESREAD 3
        XGROUP SETID s x 5 => -NOGROUP No such consumer group 'x' for key name 's'
        XINFO GROUPS s => [["name" "g" "consumers" :1 "pending" :0 "last-delivered-id" "5-0" "entries-read" :3 "lag" :0]]
        XINFO CONSUMERS s g => [["name" "c" "pending" :0 "idle" :0 "inactive" :-1]]
        XINFO CONSUMERS s x => -NOGROUP No such consumer group 'x' for key name 's'
        XGROUP DELCONSUMER s g c => :0
        XGROUP DESTROY s g => :1
        XGROUP DESTROY s g => :0
        EXISTS s => :1
        XINFO GROUPS s => []
        XINFO STREAM s FULL => ["length" :0 "radix-tree-keys" :0 "radix-tree-nodes" :1 "last-generated-id" "0-0" "max-deleted-entry-id" "0-0" "entries-added" :0 "recorded-first-entry-id" "0-0" "entries" [] "groups" []]
        "#,
    );
}

#[test]
fn xreadgroup() {
    let mut server = with_group();
    server.script(
        r#"
        XREAD COUNT 1 STREAMS s none 0 0 => [["s" [["1-0" ["a" "1"]]]]]
        XREAD STREAMS s + => [["s" [["2-0" ["b" "2"]]]]]
        XREAD STREAMS s $ => nil-array
        XREAD STREAMS s > => -ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.
        XREAD STREAMS s t 0 => -ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified.
        XREAD COUNT 1 BLOCK 1 => -ERR syntax error
        XREAD NOACK STREAMS s 0 => -ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.
        XREAD BLOCK -1 STREAMS s 0 => -ERR timeout is negative
        XREADGROUP GROUP g c COUNT 1 STREAMS s > => [["s" [["1-0" ["a" "1"]]]]]
        XREADGROUP GROUP g d NOACK STREAMS s > => [["s" [["2-0" ["b" "2"]]]]]
        XREADGROUP GROUP g d STREAMS s > => nil-array
        XREADGROUP GROUP g c STREAMS s 0 => [["s" [["1-0" ["a" "1"]]]]]
        XREADGROUP GROUP g d STREAMS s 0 => [["s" []]]
        XREADGROUP GROUP x c STREAMS s > => -NOGROUP No such key 's' or consumer group 'x' in XREADGROUP with GROUP option
        XREADGROUP GROUP g c STREAMS s $ => -ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.
        XREADGROUP NOACK COUNT 1 NOACK STREAMS s > => -ERR Missing GROUP option for XREADGROUP
        XDEL s 1 => :1
        XREADGROUP GROUP g c STREAMS s 0 => [["s" [["1-0" nil-array]]]]
        XACK s g 1 x => -ERR Invalid stream ID specified as stream command argument
        XACK s g 1 2 => :1
        XACK s x 1 => :0
        XACK none g 1 => :0
        "#,
    );
    server.resp3();
    assert_eq!(server.run("XREAD STREAMS s 0"), r#"{"s":[["2-0" ["b" "2"]]]}"#);
    assert_eq!(server.run("XREADGROUP GROUP g c STREAMS s 0"), r#"{"s":[]}"#);
}

#[test]
fn xpending() {
    let mut server = with_group();
    server.run("XREADGROUP GROUP g c COUNT 1 STREAMS s >");
    server.advance(10);
    server.run("XREADGROUP GROUP g d STREAMS s >");
    server.advance(5);
    server.script(
        r#"
        XPENDING s g => [:2 "1-0" "2-0" [["c" "1"] ["d" "1"]]]
        XPENDING s g - + 10 => [["1-0" "c" :15 :1] ["2-0" "d" :5 :1]]
        XPENDING s g IDLE 10 - + 10 => [["1-0" "c" :15 :1]]
        XPENDING s g (1 + 10 c => []
        XPENDING s g - + 10 d => [["2-0" "d" :5 :1]]
        XPENDING s g - + 10 nobody => []
        XPENDING s g - + 0 => []
        XPENDING s g IDLE 1 - + => -ERR syntax error
        XPENDING s g - + => -ERR syntax error
        XPENDING s x => -NOGROUP No such key 's' or consumer group 'x'
        XGROUP DELCONSUMER s g c => :1
        XACK s g 2 => :1
        XPENDING s g => [:0 nil nil nil-array]
        "#,
    );
}

#[test]
fn deliveries_are_propagated_one_by_one() {
    let mut server = with_group();
    server.notify("KEA");
    server.propagate();
    server.run("XREADGROUP GROUP g c STREAMS s >");
    let claim = |id| format!("XCLAIM s g c 0 {id}-0 TIME {START_MS} RETRYCOUNT 1 FORCE JUSTID LASTID {id}-0");
    let expected = format!("MULTI; {}; {}; XGROUP SETID s g 2-0 ENTRIESREAD 2; EXEC", claim(1), claim(2));
    assert_eq!(server.propagated(), expected);
    assert_eq!(server.events(), "xgroup-createconsumer s");
    server.run("XREADGROUP GROUP g d STREAMS s >");
    assert_eq!(server.propagated(), "XGROUP CREATECONSUMER s g d");
    server.run("XREADGROUP GROUP g c STREAMS s 0");
    assert_eq!(server.propagated(), "");
    server.run("XADD s 3 a b");
    server.propagated();
    server.run("XREADGROUP GROUP g e NOACK STREAMS s >");
    assert_eq!(
        server.propagated(),
        "MULTI; XGROUP CREATECONSUMER s g e; XGROUP SETID s g 3-0 ENTRIESREAD 3; EXEC"
    );
}

#[test]
fn readers_wait() {
    let mut server = with_group();
    let (reader, member) = (server.connect(), server.connect());
    assert_eq!(server.run_as(reader, "XREAD BLOCK 0 STREAMS s $"), "(blocked)");
    server.run("XADD s MAXLEN 0 3 gone 1");
    assert_eq!(server.posted(reader), "");
    server.run("XADD s 4 c 3");
    assert_eq!(server.posted(reader), r#"[["s" [["4-0" ["c" "3"]]]]]"#);

    server.run("XREADGROUP GROUP g c STREAMS s >");
    let wait = "XREADGROUP GROUP g c BLOCK 100 STREAMS s >";
    assert_eq!(server.run_as(member, wait), "(blocked)");
    server.run("XADD s 5 d 4");
    assert_eq!(server.posted(member), r#"[["s" [["5-0" ["d" "4"]]]]]"#);
    assert_eq!(server.run_as(member, wait), "(blocked)");
    server.advance(101);
    server.engine.tick();
    assert_eq!(server.posted(member), "nil-array");
    let gone = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    for (undo, error) in [
        ("XGROUP DESTROY s g", gone),
        ("DEL s", gone),
        ("SET s x", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ] {
        server.run("XGROUP CREATE s g $ MKSTREAM");
        assert_eq!(server.run_as(member, wait), "(blocked)");
        server.run(undo);
        assert_eq!(server.posted(member), error, "{undo}");
    }
}

#[test]
fn help_and_large_groups() {
    let mut server = TestServer::new();
    assert!(server.run("XGROUP HELP").starts_with("[+XGROUP <subcommand> "));
    assert!(server.run("XINFO HELP").starts_with("[+XINFO <subcommand> "));
    for _ in 0..1000 {
        server.run("XADD s * a b");
    }
    server.run("XGROUP CREATE s g 0");
    server.run("XREADGROUP GROUP g c STREAMS s >");
    assert_eq!(server.run("XGROUP DESTROY s g"), ":1");
    let lazy_free = &mut server.engine.data.keyspace.lazy_free;
    assert_eq!(lazy_free.pending(), 1);
    while lazy_free.slice(true) {}
    assert_eq!(lazy_free.freed, 1);
}
