//! Tests of propagation: what a write costs while its changes have consumers, and what is recorded for them.

use crate::base::quoting;
use crate::commands::testing::TestServer;
use crate::engine::ExecStatus;
use crate::engine::clients::session::Role;
use crate::keyspace::event::{self, class};
use crate::resp::parser::parse_fast;
use crate::resp::{Args, Reply, Span};
use crate::services::command_stream::{ReaderId, ReaderKind, encode};
use crate::sys::memory::thread_allocations;

/// A request as the network has it.
struct Frame {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Frame {
    fn new(line: &str) -> Self {
        let words = quoting::split_words(line.as_bytes()).expect("balanced quotes");
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        encode(&mut bytes, words.iter());
        assert_eq!(parse_fast(&bytes, &mut spans), Some(bytes.len()));
        Frame { bytes, spans }
    }
}

/// Executes a request in a turn of its own, whose end finds the stream consumed; allocations that it took.
fn allocations(server: &mut TestServer, frame: &Frame, reply: &mut Reply, reader: Option<ReaderId>) -> u64 {
    let before = thread_allocations();
    let status = server.engine.execute_one(server.client, Args::new(&frame.bytes, &frame.spans), reply);
    assert_eq!(status, ExecStatus::Done);
    reply.truncate(0);
    if let Some(reader) = reader {
        let backlog = server.engine.backlog_mut();
        let bytes = backlog.read(reader).expect("all is kept").len();
        assert!(bytes > 0);
        backlog.consume(reader, bytes);
    }
    server.engine.end_turn();
    thread_allocations() - before
}

#[test]
fn a_propagated_write_allocates_nothing() {
    let mut server = TestServer::new();
    let mut reply = Reply::new(Vec::new(), false);
    let frames = ["SET k value", "SET k value EX 100", "INCR n", "HSET h f v"];
    for line in frames {
        let frame = Frame::new(line);
        let counts = [false, true].map(|with_reader| {
            let reader = with_reader.then(|| server.engine.attach_reader(ReaderKind::Log));
            (0..10).for_each(|_| {
                allocations(&mut server, &frame, &mut reply, reader);
            });
            let count: u64 = (0..100).map(|_| allocations(&mut server, &frame, &mut reply, reader)).sum();
            if let Some(reader) = reader {
                server.engine.detach_reader(reader);
            }
            count
        });
        assert_eq!(counts, [0, 0], "{line}: allocations of 100 calls without a reader, and with one");
    }
}

#[test]
fn a_turn_ends_with_the_release_of_what_was_consumed() {
    const WRITES: usize = 100;
    const LEN: usize = 10_000;
    let mut server = TestServer::new();
    server.propagate();
    let before = server.engine.backlog().memory_usage();
    let write = format!("SET k {}", "x".repeat(LEN));
    (0..WRITES).for_each(|_| assert_eq!(server.run(&write), "+OK"));
    server.engine.end_turn();
    assert!(server.engine.backlog().memory_usage() > WRITES * LEN, "the reader has yet to read it");
    let backlog = server.engine.backlog_mut();
    let reader = server.consumer.expect("attached");
    while let bytes = backlog.read(reader).expect("all is kept").len()
        && bytes > 0
    {
        backlog.consume(reader, bytes);
    }
    server.engine.end_turn();
    let kept = server.engine.backlog().memory_usage();
    assert!(kept <= before + 200_000, "{kept} bytes");
}

#[test]
fn events_are_recorded_where_a_subscription_may_receive_them() {
    let mut server = TestServer::new();
    server.engine.settings.notify_classes = event::parse_classes(b"KE$").expect("letters");
    let classes = |server: &TestServer| server.engine.data.keyspace.journal.classes;
    let (events, keys) = (class::KEYEVENT | class::STRING, class::KEYSPACE | class::STRING);
    let other = server.connect();
    for (request, expected) in [
        ("SUBSCRIBE news", 0),
        ("SSUBSCRIBE __keyevent@0__:set", 0),
        ("SUBSCRIBE __keyevent@0__:set", events),
        ("PSUBSCRIBE __key*", events | keys),
        ("UNSUBSCRIBE", events | keys),
        ("PUNSUBSCRIBE", 0),
        ("PSUBSCRIBE __keyspace@0__:*", keys),
    ] {
        server.run_as(other, request);
        assert_eq!(classes(&server), expected, "{request}");
    }
    server.posted(other);
    server.run("SET k v");
    assert_eq!(server.posted(other), r#"["pmessage" "__keyspace@0__:*" "__keyspace@0__:k" "set"]"#);
    server.run("LPUSH l a");
    assert_eq!(server.posted(other), "");
    server.engine.disconnect(other);
    assert_eq!(classes(&server), 0);
}

#[test]
fn messages_are_propagated_to_replicas() {
    let mut server = TestServer::new();
    let log = server.engine.attach_reader(ReaderKind::Log);
    server.propagate();
    server.script(
        "PUBLISH news hello => :0
         SPUBLISH news hello => :0
         MULTI
         PUBLISH news hello => +QUEUED
         INCR k => +QUEUED
         PUBLISH news bye => +QUEUED
         EXEC => [:0 :1 :0]
         PUBLISH news => -ERR wrong number of arguments for 'publish' command",
    );
    assert_eq!(
        server.propagated(),
        "PUBLISH news hello; SPUBLISH news hello; \
        MULTI; PUBLISH news hello; INCR k; PUBLISH news bye; EXEC"
    );
    server.consumer = Some(log);
    let mut logged = Vec::new();
    for _ in 0..4 {
        logged.push(server.propagated_piece());
    }
    assert_eq!(logged, ["SELECT 0", "MULTI", "INCR k", "EXEC"]);
    // A session that replays a stream adds nothing to its own.
    server.engine.clients.sessions.live_mut(server.client).role = Role::Internal;
    server.script("PUBLISH news hello => :0");
    assert_eq!(server.propagated(), "");
}

/// A message is of a database, as in Redis: modules and readers of the stream see it behind the right SELECT.
#[test]
fn messages_follow_a_select() {
    let mut server = TestServer::new();
    server.propagate();
    server.script(
        "SELECT 3 => +OK
         PUBLISH news hello => :0
         SET a 1 => +OK",
    );
    assert_eq!(server.propagated(), "SELECT 3; PUBLISH news hello; SET a 1");
}

/// `redis.set_repl` is for all that a script calls.
#[test]
fn a_script_chooses_who_gets_what_it_calls() {
    let mut server = TestServer::new();
    server.propagate();
    let script = "redis.call('set','a','1'); redis.set_repl(redis.REPL_NONE); redis.call('set','b','2'); \
                  redis.call('publish','c','no'); redis.set_repl(redis.REPL_AOF); redis.call('set','c','3'); \
                  redis.call('publish','c','no'); redis.set_repl(redis.REPL_REPLICA); redis.call('set','d','4'); \
                  redis.call('publish','c','yes'); redis.set_repl(redis.REPL_ALL); redis.call('set','e','5')";
    server.script(&format!("EVAL \"{script}\" 0 => nil\nMGET a b c d e => [\"1\" \"2\" \"3\" \"4\" \"5\"]"));
    assert_eq!(server.propagated(), "MULTI; set a 1; set d 4; publish c yes; set e 5; EXEC");
}

#[test]
fn what_was_recorded_for_a_reader_goes_with_it() {
    let mut server = TestServer::new();
    server.propagate();
    server.script("SET a 1 PX 10\nSET b 1 PX 10");
    server.advance(20);
    // The journal is read when the call is over: until then it holds what expired.
    let _ = server.engine.view(0).lookup_silent(b"a");
    assert_eq!(server.engine.data.keyspace.journal.removals().len(), 1);
    let reader = server.consumer.take().expect("attached");
    server.engine.detach_reader(reader);
    assert_eq!(server.run("GET b"), "nil");
    assert!(server.engine.data.keyspace.journal.removals().is_empty());
    server.propagate();
    server.script("SET c 1");
    assert_eq!(server.propagated(), "SET c 1");
}
