//! Tests of blocking commands: the memory of blocked clients, when a blocked call is tried again, and how it is counted.

use crate::base::ids::ClientId;
use crate::base::quoting;
use crate::commands::testing::{START_MS, TestServer};
use crate::resp::{OwnedArgs, Reply};

/// Runs a request that takes `us`.
fn run_for(server: &mut TestServer, client: ClientId, line: &str, us: u64) {
    let request = OwnedArgs::from_parts(quoting::split_words(line.as_bytes()).expect("balanced quotes"));
    let engine = &mut server.engine;
    engine.start_unit();
    engine.clock.advance(us);
    let prepared = engine.prepare(request.as_args(), 0);
    let mut reply = Reply::new(Vec::new(), false);
    engine.execute(client, prepared, request.as_args(), &mut reply);
}

/// Keys looked up so far.
fn lookups(server: &TestServer) -> u64 {
    let stats = &server.engine.data.keyspace.stats;
    stats.hits + stats.misses
}

#[test]
fn a_wait_that_ended_leaves_no_deadline() {
    let mut server = TestServer::new();
    let client = server.connect();
    for _ in 0..100 {
        assert_eq!(server.run_as(client, "BLPOP q 100000"), "(blocked)");
        assert!(server.engine.clients.blocked.next_due().is_some());
        server.run("LPUSH q a");
        assert_eq!(server.posted(client), r#"["q" "a"]"#);
        assert_eq!(server.engine.clients.blocked.next_due(), None);
    }
    assert_eq!(server.run_as(client, "BLPOP q 100000"), "(blocked)");
    server.engine.disconnect(client);
    let blocked = &server.engine.clients.blocked;
    assert_eq!((blocked.next_due(), blocked.count(), blocked.key_count()), (None, 0, 0));
}

#[test]
fn readers_are_tried_only_for_what_they_want() {
    let mut server = TestServer::new();
    server.script("XADD s 1 a b => \"1-0\"\n XADD t 1 a b => \"1-0\"\n XGROUP CREATE s g $");
    let (reader, member, other) = (server.connect(), server.connect(), server.connect());
    assert_eq!(server.run_as(reader, "XREAD BLOCK 0 STREAMS t s 5-0 5-0"), "(blocked)");
    assert_eq!(server.run_as(member, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >"), "(blocked)");
    assert_eq!(server.run_as(other, "XREADGROUP GROUP g d BLOCK 0 STREAMS s >"), "(blocked)");
    for change in ["XADD t 2 a b", "XADD t 5-0 a b", "XDEL s 1", "EXPIRE s 1000", "XTRIM t MAXLEN 1"] {
        let before = lookups(&server);
        server.run(change);
        let own = lookups(&server) - before;
        assert!(own <= 1, "{change}: {own} lookups");
        assert_eq!(server.engine.clients.blocked.count(), 3, "{change}");
    }
    // The first of the group takes the entry, and there is nothing left for the second.
    server.run("XADD s 2 a b");
    assert_eq!(server.engine.clients.blocked.count(), 2);
    assert_eq!(server.posted(member), r#"[["s" [["2-0" ["a" "b"]]]]]"#);
    server.run("XADD s 5-1 c d");
    assert_eq!(server.engine.clients.blocked.count(), 0);
    let posts: Vec<_> = server.engine.clients.outbox.iter().map(|(to, _)| to).collect();
    assert_eq!(posts, [reader, other]);
}

#[test]
fn a_stream_named_twice_is_awaited_by_both_ids() {
    let mut server = TestServer::new();
    let reader = server.connect();
    assert_eq!(server.run_as(reader, "XREAD BLOCK 0 STREAMS s s 9-0 3-0"), "(blocked)");
    server.run("XADD s 3-0 a b");
    assert_eq!(server.posted(reader), "");
    server.run("XADD s 4-0 a b");
    assert_eq!(server.posted(reader), r#"[["s" [["4-0" ["a" "b"]]]]]"#);
}

#[test]
fn a_call_that_waited_is_logged_and_booked_when_it_ends() {
    let mut server = TestServer::new();
    server.run("CONFIG SET slowlog-log-slower-than 2000 latency-monitor-threshold 2");
    server.run("XADD s 1 a b");
    let (timed_out, unblocked, served, quick) =
        (server.connect(), server.connect(), server.connect(), server.connect());
    run_for(&mut server, timed_out, "BLPOP q 1", 5000);
    run_for(&mut server, unblocked, "BZPOPMIN z 0", 6000);
    run_for(&mut server, served, "XREAD BLOCK 0 STREAMS s $", 7000);
    run_for(&mut server, quick, "BLPOP q 1", 1000);
    assert_eq!(server.run("SLOWLOG LEN"), ":0");
    server.run("XADD s 2 a b");
    let id = server.engine.clients.sessions.live(unblocked).id;
    server.run(&format!("CLIENT UNBLOCK {id} ERROR"));
    server.advance(1500);
    server.engine.tick();
    assert_eq!(server.posted(timed_out), "nil-array");
    let log = server.run("SLOWLOG GET");
    let entries: Vec<&str> = log.split("[:").skip(1).collect();
    let wanted = [
        ("2 ", ":5000 [\"BLPOP\" \"q\" \"1\"]"),
        ("1 ", ":6000 [\"BZPOPMIN\" \"z\" \"0\"]"),
        ("0 ", ":7000 [\"XREAD\" \"BLOCK\" \"0\" \"STREAMS\" \"s\" \"$\"]"),
    ];
    assert_eq!(entries.len(), wanted.len(), "{log}");
    for (entry, (id, call)) in entries.iter().zip(wanted) {
        assert!(entry.starts_with(id) && entry.contains(call), "{entry}");
    }
    let stats = server.run("INFO commandstats");
    for line in [
        "blpop:calls=2,usec=6000,usec_per_call=3000.00,rejected_calls=0,failed_calls=0",
        "bzpopmin:calls=1,usec=6000,usec_per_call=6000.00,rejected_calls=0,failed_calls=1",
        "xread:calls=1,usec=7000,usec_per_call=7000.00,rejected_calls=0,failed_calls=0",
    ] {
        assert!(stats.contains(&format!("cmdstat_{line}")), "{line}: {stats}");
    }
    // The latency monitor hears of each attempt.
    let seconds = START_MS / 1000;
    let latest = format!("[[\"command\" :{seconds} :7 :7] [\"fast-command\" :{seconds} :6 :6]]");
    assert_eq!(server.run("LATENCY LATEST"), latest);
}
