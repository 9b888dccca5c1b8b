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
        XINFO GROUPS s => [["name" "g" "consumers" :1 "pending" :0 "last-delivered-id" "5-0" "entries-read" :0 "lag" :0]]
        XINFO CONSUMERS s g => [["name" "c" "pending" :0 "idle" :0 "inactive" :-1]]
        XINFO CONSUMERS s x => -NOGROUP No such consumer group 'x' for key name 's'
        XGROUP DELCONSUMER s g c => :0
        XGROUP DESTROY s g => :1
        XGROUP DESTROY s g => :0
        EXISTS s => :1
        XINFO GROUPS s => []
        XINFO STREAM s FULL => ["length" :0 "radix-tree-keys" :0 "radix-tree-nodes" :1 "last-generated-id" "0-0" "max-deleted-entry-id" "0-0" "entries-added" :0 "recorded-first-entry-id" "0-0" "idmp-duration" :100 "idmp-maxsize" :100 "pids-tracked" :0 "iids-tracked" :0 "iids-added" :0 "iids-duplicates" :0 "entries" [] "groups" []]
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

/// Entries 1 to 4; 1 and 2 are pending with c since 0 ms, 3 with d since 10 ms later.
fn with_idle() -> TestServer {
    let mut server = TestServer::new();
    for id in 1..=4 {
        server.run(&format!("XADD s {id} f {id}"));
    }
    server.run("XGROUP CREATE s g 0");
    server.run("XREADGROUP GROUP g c COUNT 2 STREAMS s >");
    server.advance(10);
    server.run("XREADGROUP GROUP g d COUNT 1 STREAMS s >");
    server.advance(90);
    server
}

#[test]
fn idle_entries_are_claimed() {
    let mut server = with_idle();
    server.script(
        r#"
        XREADGROUP GROUP g e COUNT 1 CLAIM 100 STREAMS s > => [["s" [["1-0" ["f" "1"] :100 :1]]]]
        XPENDING s g - + 9 => [["1-0" "e" :0 :2] ["2-0" "c" :100 :1] ["3-0" "d" :90 :1]]
        XREADGROUP GROUP g e CLAIM 90 NOACK STREAMS s > => [["s" [["2-0" ["f" "2"] :100 :1] ["3-0" ["f" "3"] :90 :1] ["4-0" ["f" "4"] :0 :0]]]]
        XREADGROUP GROUP g e CLAIM 90 STREAMS s > => nil-array
        XREADGROUP GROUP g e COUNT 2 CLAIM 0 STREAMS s > => [["s" [["1-0" ["f" "1"] :0 :2] ["2-0" ["f" "2"] :0 :2]]]]
        XPENDING s g - + 9 => [["1-0" "e" :0 :3] ["2-0" "e" :0 :3] ["3-0" "e" :0 :2]]
        XREADGROUP GROUP g e CLAIM 0 STREAMS s 0 => [["s" [["1-0" ["f" "1"]] ["2-0" ["f" "2"]] ["3-0" ["f" "3"]]]]]
        XDEL s 1 3 => :2
        XREADGROUP GROUP g f COUNT 5 CLAIM 0 STREAMS s > => [["s" [["2-0" ["f" "2"] :0 :4]]]]
        XPENDING s g => [:3 "1-0" "3-0" [["e" "2"] ["f" "1"]]]
        XREADGROUP GROUP g e CLAIM x STREAMS s > => -ERR min-idle-time is not an integer or out of range
        XREADGROUP GROUP g e CLAIM -1 STREAMS s > => -ERR min-idle-time must be a positive integer
        XREAD CLAIM 1 STREAMS s 0 => -ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.
        XREADGROUP GROUP g e STREAMS s > CLAIM => -ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.
        "#,
    );
}

#[test]
fn claims_of_several_streams() {
    let mut server = with_idle();
    for key in ["t", "u"] {
        server.script(&format!(
            r#"
            XADD {key} 1 f 1 => "1-0"
            XGROUP CREATE {key} g 0
            XREADGROUP GROUP g c STREAMS {key} > => [["{key}" [["1-0" ["f" "1"]]]]]
            "#,
        ));
    }
    server.advance(100);
    server.resp3();
    server.script(
        r#"
        XREADGROUP GROUP g e COUNT 1 CLAIM 100 STREAMS s t > > => {"s":[["1-0" ["f" "1"] :200 :1]] "t":[["1-0" ["f" "1"] :100 :1]]}
        # History ends the claims, of what follows, too.
        XREADGROUP GROUP g e COUNT 1 CLAIM 100 STREAMS t s u > 0 > => {"s":[["1-0" ["f" "1"]]]}
        "#,
    );
}

#[test]
fn claims_by_read_are_propagated_as_their_effect() {
    let mut server = with_idle();
    server.propagate();
    server.run("XREADGROUP GROUP g e COUNT 2 CLAIM 95 STREAMS s >");
    let now = START_MS + 100;
    let claim = |id, times, last| {
        format!("XCLAIM s g e 0 {id}-0 TIME {now} RETRYCOUNT {times} FORCE JUSTID LASTID {last}-0")
    };
    assert_eq!(server.propagated(), format!("MULTI; {}; {}; EXEC", claim(1, 2, 3), claim(2, 2, 3)));
    server.run("XREADGROUP GROUP g e COUNT 2 CLAIM 90 STREAMS s >");
    let position = "XGROUP SETID s g 4-0 ENTRIESREAD 4";
    let expected = format!("MULTI; {}; {}; {position}; EXEC", claim(3, 2, 3), claim(4, 1, 4));
    assert_eq!(server.propagated(), expected);
    server.run("XREADGROUP GROUP g x CLAIM 90 STREAMS s >");
    assert_eq!(server.propagated(), "XGROUP CREATECONSUMER s g x");
}

#[test]
fn readers_wait_for_idle_entries() {
    let mut server = with_idle();
    let (one, two, three) = (server.connect(), server.connect(), server.connect());
    server.run("XREADGROUP GROUP g c STREAMS s >");
    let wait = |idle| format!("XREADGROUP GROUP g x BLOCK 1000 COUNT 1 CLAIM {idle} STREAMS none s > >");
    assert!(server.run_as(one, &wait(150)).starts_with("-NOGROUP"));
    server.run("XGROUP CREATE none g 0 MKSTREAM");
    // Idle for 100, 100, 90 and 0 ms.
    for (client, idle) in [(one, 150), (two, 150), (three, 170)] {
        assert_eq!(server.run_as(client, &wait(idle)), "(blocked)");
    }
    assert_eq!(server.engine.sleep_ms().min(50), server.engine.sleep_ms());
    server.advance(49);
    server.engine.tick();
    assert_eq!(server.posted(one), "");
    server.advance(1);
    server.engine.tick();
    // First come, first served.
    let posts: Vec<_> = server.engine.clients.outbox.iter().map(|(to, _)| to).collect();
    assert_eq!(posts, [one, two]);
    assert_eq!(server.posted(two), r#"[["s" [["2-0" ["f" "2"] :150 :1]]]]"#);
    // It was read again meanwhile.
    server.run("XREADGROUP GROUP g d STREAMS s 0");
    server.advance(100);
    server.engine.tick();
    assert_eq!(server.posted(three), "");
    // A new entry comes first.
    server.run("XADD s 5 f 5");
    assert_eq!(server.posted(three), r#"[["s" [["5-0" ["f" "5"] :0 :0]]]]"#);

    // A pause holds it back.
    assert_eq!(server.run_as(one, &wait(200)), "(blocked)");
    server.run("CLIENT PAUSE 300 ALL");
    server.advance(250);
    server.engine.tick();
    assert_eq!(server.posted(one), "");
    server.advance(60);
    server.engine.tick();
    assert_eq!(server.posted(one), r#"[["s" [["4-0" ["f" "4"] :460 :1]]]]"#);

    // What it waits for goes, or its time is up.
    assert_eq!(server.run_as(one, &wait(100_000)), "(blocked)");
    assert_eq!(server.run_as(two, &wait(100_000)), "(blocked)");
    server.engine.disconnect(one);
    server.advance(1001);
    server.engine.tick();
    assert_eq!(server.posted(two), "nil-array");
    server.advance(200_000);
    server.engine.tick();
    assert_eq!(server.run_as(two, &wait(0)), r#"[["s" [["1-0" ["f" "1"] :201411 :2]]]]"#);
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
