//! Tests of a replica: how it comes to follow its primary, what it makes of the stream, and what its clients may do.

use crate::base::ids::{ClientId, LinkId};
use crate::commands::testing::TestServer;
use crate::engine::clients::session::{Peer, Role};
use crate::engine::links::{LinkAction, LinkEvent};
use crate::engine::replication::{Effect, LoadedHistory, SyncAction, SyncTarget};
use crate::engine::{ExecStatus, ServerAction};
use crate::resp::{OwnedArgs, encode_request};
use crate::services::command_stream::{LogPiece, ReaderKind};

const REPLID: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba98";

/// The link that was opened last, and what was sent on it since.
fn links(server: &mut TestServer) -> (Option<LinkId>, String) {
    let (mut opened, mut sent) = (None, Vec::new());
    while let Some(action) = server.engine.actions.pop_front() {
        match action {
            ServerAction::Link(link, LinkAction::Open(_)) => opened = Some(link),
            ServerAction::Link(_, LinkAction::Send(bytes)) => sent.extend(bytes),
            _ => {}
        }
    }
    let text = String::from_utf8(sent).expect("text");
    let words = text.split("\r\n").filter(|word| !word.is_empty() && !word.starts_with(['*', '$']));
    (opened, words.collect::<Vec<_>>().join(" "))
}

fn receive(server: &mut TestServer, link: LinkId, bytes: &str) {
    server.engine.link_event(link, LinkEvent::Received(bytes.as_bytes()));
}

/// Connects to the primary and answers all requests up to PSYNC; the link and PSYNC.
fn handshake(server: &mut TestServer) -> (LinkId, String) {
    server.engine.tick();
    let link = links(server).0.expect("an attempt");
    let peer = Peer::Internal;
    server.engine.link_event(link, LinkEvent::Connected { conn_index: 9, fd: 9, peer });
    assert_eq!(links(server).1, "PING");
    let mut request = String::new();
    for reply in ["+PONG\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n"] {
        receive(server, link, reply);
        request = links(server).1;
    }
    (link, request)
}

/// A replica that has been given an empty data set at offset 100; the primary's session.
fn replica() -> (TestServer, ClientId) {
    let mut server = TestServer::new();
    server.script("SET old 1\nREPLICAOF 127.0.0.1 7000");
    let (link, psync) = handshake(&mut server);
    let replid = server.engine.replication.identity.replid.clone();
    assert_eq!(psync, format!("PSYNC {replid} 1"));
    receive(&mut server, link, &format!("\n+FULLRESYNC {REPLID} 100\r\n$3\r\nabc"));
    let actions: Vec<SyncAction> = std::mem::take(&mut server.engine.actions)
        .into_iter()
        .filter_map(|action| if let ServerAction::Sync(action) = action { Some(action) } else { None })
        .collect();
    assert_eq!(
        actions,
        [SyncAction::Begin(SyncTarget::File), SyncAction::Data(b"abc".to_vec()), SyncAction::End]
    );
    // Until it is loaded the old data is there.
    assert_eq!(server.run("GET old"), "\"1\"");
    assert_eq!(server.run("ROLE"), "[\"slave\" \"127.0.0.1\" :7000 \"sync\" :-1]");
    server.engine.discard_data();
    server.engine.sync_loaded(Some(2));
    let primary = server.engine.replication.primary.as_ref().and_then(|primary| primary.client());
    (server, primary.expect("the stream is executed"))
}

/// A request of the primary, as it lies in its stream.
fn replicate(server: &mut TestServer, primary: ClientId, line: &str) -> ExecStatus {
    replicate_words(server, primary, &line.split(' ').collect::<Vec<_>>())
}

fn offset(server: &TestServer) -> u64 {
    server.engine.backlog().end()
}

#[test]
fn the_stream_is_executed_and_counted_in_whole_units() {
    let (mut server, primary) = replica();
    assert_eq!((offset(&server), server.engine.replication.identity.replid.as_str()), (100, REPLID));
    server.script("DBSIZE => :0\nROLE => [\"slave\" \"127.0.0.1\" :7000 \"connected\" :100]");
    server.propagate();
    replicate(&mut server, primary, "SET a 1");
    assert_eq!(offset(&server), 100 + 27);
    // The file said that the stream has database 2 selected.
    server.script("GET a => nil\nSELECT 2\nGET a => \"1\"");
    replicate(&mut server, primary, "MULTI");
    replicate(&mut server, primary, "SET a 2");
    assert_eq!(offset(&server), 127);
    server.script("GET a => \"1\"");
    replicate(&mut server, primary, "EXEC");
    assert_eq!(offset(&server), 127 + 15 + 27 + 14);
    server.script("GET a => \"2\"");
    server.engine.keep_replicated(primary, b"\n", Effect::None);
    assert_eq!(offset(&server), 184);
    // What a client does is no part of it, and neither is what the primary's requests are answered.
    server.script("PUBLISH c m => :0");
    assert_eq!(offset(&server), 184);
    let passed_on = server.engine.backlog().read(server.consumer.expect("a reader")).expect("kept").to_vec();
    assert!(passed_on.ends_with(b"EXEC\r\n\n") && passed_on.starts_with(b"*3\r\n$3\r\nSET\r\n"));
}

#[test]
fn the_primary_is_told_the_offset_when_it_asks_and_each_second() {
    let (mut server, primary) = replica();
    server.engine.tick();
    assert_eq!(server.posted(primary), "[\"REPLCONF\" \"ACK\" \"100\"]");
    replicate(&mut server, primary, "SET a 1");
    replicate(&mut server, primary, "REPLCONF GETACK *");
    assert_eq!(server.posted(primary), "[\"REPLCONF\" \"ACK\" \"127\"]");
    server.engine.tick();
    assert_eq!(server.posted(primary), "");
    server.engine.persistence.durable = Some(110);
    server.advance(1001);
    server.engine.tick();
    assert_eq!(server.posted(primary), "[\"REPLCONF\" \"ACK\" \"164\" \"FACK\" \"110\"]");
    // Another client asks in vain.
    assert_eq!(server.run("REPLCONF GETACK *"), "");
    assert_eq!(server.posted(primary), "");
}

#[test]
fn the_primary_is_told_the_offset_though_the_clock_was_set_back() {
    let (mut server, primary) = replica();
    let hour = 3_600_000;
    for _ in 0..2 {
        server.engine.tick();
        assert_eq!(server.posted(primary), "[\"REPLCONF\" \"ACK\" \"100\"]");
        server.engine.clock.set(-hour * 1000);
        server.advance(1);
        server.advance(1001);
    }
    server.engine.tick();
    assert_eq!(server.posted(primary), "[\"REPLCONF\" \"ACK\" \"100\"]");
    // So is a primary that is followed from then on, as soon as its data is there; and the time without one is counted.
    server.script("REPLICAOF NO ONE");
    server.advance(7000);
    server.script("REPLICAOF 127.0.0.1 7000");
    let (link, _) = handshake(&mut server);
    receive(&mut server, link, "+CONTINUE\r\n");
    let primary = server.engine.replication.primary.as_ref().and_then(|it| it.client()).expect("it is up");
    server.engine.tick();
    assert_eq!(server.posted(primary), "[\"REPLCONF\" \"ACK\" \"100\"]");
    assert!(server.run("INFO replication").contains("total_disconnect_time_sec:7"));
}

/// A primary with more databases.
#[test]
fn a_stream_in_a_database_that_is_not_here_goes_on_in_the_first() {
    let mut server = TestServer::new();
    server.script("REPLICAOF 127.0.0.1 7000");
    let (link, _) = handshake(&mut server);
    receive(&mut server, link, &format!("+FULLRESYNC {REPLID} 100\r\n$3\r\nabc"));
    server.engine.sync_loaded(Some(1_000_000));
    let primary = server.engine.replication.primary.as_ref().and_then(|it| it.client()).expect("it is up");
    replicate(&mut server, primary, "SET a 1");
    replicate(&mut server, primary, "SELECT 1000000");
    replicate(&mut server, primary, "SET b 1");
    server.script("MGET a b => [\"1\" \"1\"]");
    // Nor does a file's history go on there.
    for (db, goes_on) in [(1_000_000, false), (1, true)] {
        let mut server = TestServer::new();
        server.script("REPLICAOF 127.0.0.1 7000");
        server.engine.discard_history();
        server.engine.replication.loaded =
            LoadedHistory { replid: Some(REPLID.into()), offset: Some(100), db: Some(db) };
        server.engine.resume_history();
        let primary = server.engine.replication.primary.as_ref().expect("a replica");
        assert_eq!(primary.has_data(), goes_on, "{db}");
    }
}

#[test]
fn clients_that_can_be_redirected_are() {
    let to = "-REDIRECT 127.0.0.1:7000";
    let mut server = TestServer::new();
    let other = server.connect();
    server.script("READONLY => -ERR This instance has cluster support disabled");
    server.script("CLIENT CAPA redirect => +OK\nMULTI => +OK\nGET a => +QUEUED");
    server.run_as(other, "REPLICAOF 127.0.0.1 7000");
    assert_eq!(server.run("EXEC"), to);
    for request in ["GET a", "SET a 1", "EVAL_RO \"return redis.call('GET', 'a')\" 1 a"] {
        assert_eq!(server.run(request), to, "{request}");
    }
    server.script("PING => +PONG\nREADONLY => +OK\nGET a => nil");
    assert_eq!(server.run("SET a 1"), to);
    server.script("READWRITE => +OK\nMULTI => +OK");
    assert_eq!(server.run("GET a"), to);
    assert!(server.run("EXEC").starts_with("-EXECABORT"));
    server.run("REPLICAOF NO ONE");
    assert_eq!(server.run("SET a 1"), "+OK");
}

#[test]
fn clients_of_a_replica_read() {
    let (mut server, primary) = replica();
    server.script("SELECT 2");
    replicate(&mut server, primary, "SET a 1 PX 100");
    let refused = "-READONLY You can't write against a read only replica.";
    for request in ["SET a 2", "DEL a", "EVAL \"return redis.call('SET', 'a', '2')\" 0", "FLUSHALL"] {
        let reply = server.run(request);
        assert!(
            reply.contains("READONLY You can't write against a read only replica."),
            "{request}: {reply}"
        );
    }
    assert_eq!(server.run("SET a 2"), refused);
    server.script(
        "MULTI\nGET a => +QUEUED\nSET a 2 => -READONLY You can't write against a read only replica.\nDISCARD",
    );
    let declared = "EVAL \"#!lua\nreturn 1\" 0";
    assert_eq!(server.run(declared), refused);
    assert_eq!(server.run("EVAL \"#!lua flags=no-writes\nreturn 1\" 0"), ":1");
    // It stays until the primary says that it goes, but is not seen.
    server.advance(200);
    server.engine.tick();
    server.script("GET a => nil\nEXISTS a => :0\nTTL a => :-2\nDBSIZE => :1");
    replicate(&mut server, primary, "SET a 3 XX KEEPTTL");
    server.script("GET a => nil\nDBSIZE => :1");
    replicate(&mut server, primary, "DEL a");
    server.script("DBSIZE => :0");
    // A replica that may be written to.
    let end = offset(&server);
    server.script("CONFIG SET replica-read-only no\nSET b 1\nGET b => \"1\"");
    assert_eq!(offset(&server), end);
}

#[test]
fn a_lost_stream_goes_on_where_it_was() {
    let (mut server, primary) = replica();
    replicate(&mut server, primary, "SET a 1");
    replicate(&mut server, primary, "MULTI");
    replicate(&mut server, primary, "SET a 2");
    server.script("CONFIG SET replica-serve-stale-data no");
    server.engine.disconnect(primary);
    let down = "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    assert_eq!(server.run("GET a"), down);
    assert_eq!(server.run("PING"), down);
    server.script("ROLE => [\"slave\" \"127.0.0.1\" :7000 \"connect\" :-1]");
    // Another attempt begins a second after the last one.
    server.advance(1001);
    let (link, psync) = handshake(&mut server);
    assert_eq!(psync, format!("PSYNC {REPLID} 128"));
    receive(&mut server, link, &format!("+CONTINUE {OTHER}\r\n"));
    let identity = &server.engine.replication.identity;
    assert_eq!(
        (identity.replid.as_str(), identity.replid2(), identity.second_offset()),
        (OTHER, REPLID.into(), 128)
    );
    let primary = server.engine.replication.primary.as_ref().and_then(|it| it.client()).expect("it is up");
    assert_eq!(server.engine.clients.sessions.live(primary).role, Role::Primary);
    replicate(&mut server, primary, "SET a 3");
    server.script("SELECT 2\nGET a => \"3\"");
    assert_eq!(offset(&server), 154);
}

/// `total_disconnect_time_sec` counts on when another primary is followed, or none for a while.
#[test]
fn time_without_a_stream_is_added_up() {
    fn total(server: &mut TestServer) -> u64 {
        let info = server.run("INFO replication");
        let (_, rest) = info.split_once("total_disconnect_time_sec:").expect("the field is there");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("a number")
    }
    let up = |server: &mut TestServer| {
        let (link, _) = handshake(server);
        receive(server, link, "+CONTINUE\r\n");
        assert!(server.engine.replication.primary.as_ref().is_some_and(|primary| primary.is_up()));
    };
    let (mut server, primary) = replica();
    server.advance(5000);
    assert_eq!(total(&mut server), 0);
    server.engine.disconnect(primary);
    server.advance(2000);
    assert_eq!(total(&mut server), 2);
    up(&mut server);
    server.advance(5000);
    assert_eq!(total(&mut server), 2);
    server.script("REPLICAOF 127.0.0.1 7001");
    server.advance(3000);
    assert_eq!(total(&mut server), 5);
    up(&mut server);
    server.script("REPLICAOF NO ONE");
    server.advance(4000);
    server.script("REPLICAOF 127.0.0.1 7000");
    assert_eq!(total(&mut server), 5);
    up(&mut server);
    assert_eq!(total(&mut server), 9);
}

#[test]
fn a_promoted_replica_keeps_its_history() {
    let (mut server, primary) = replica();
    server.propagate();
    replicate(&mut server, primary, "SET a 1");
    assert_eq!(server.run("REPLICAOF NO ONE"), "+OK");
    assert!(server.engine.clients.sessions.get(primary).is_none());
    let identity = &server.engine.replication.identity;
    assert_eq!((identity.replid2(), identity.second_offset()), (REPLID.into(), 128));
    assert_ne!(identity.replid, REPLID);
    // Its own stream says which database it is for.
    server.script("SELECT 2\nSET a 2\nREPLICAOF NO ONE");
    assert_eq!(server.propagated(), "SET a 1; SELECT 2; SET a 2");
    let replid = server.engine.replication.identity.replid.clone();
    let end = offset(&server);
    server.script(
        "REPLICAOF 127.0.0.1 7001\nREPLICAOF 127.0.0.1 7001 => +OK Already connected to specified master",
    );
    assert_eq!(handshake(&mut server).1, format!("PSYNC {replid} {}", end + 1));
    server.script(
        "REPLICAOF host x => -ERR Invalid master port\nREPLICAOF host 70000 => -ERR Invalid master port",
    );
    server.script("CONFIG GET replicaof => [\"replicaof\" \"127.0.0.1 7001\"]");
}

#[test]
fn data_that_came_in_the_turn_of_another_role_is_not_loaded() {
    for target in ["disabled", "swapdb", "flush-before-load"] {
        for takes_over in [true, false] {
            let mut server = TestServer::new();
            server.script(&format!("CONFIG SET repl-diskless-load {target}\nREPLICAOF 127.0.0.1 7000"));
            let (link, _) = handshake(&mut server);
            receive(&mut server, link, &format!("+FULLRESYNC {REPLID} 100\r\n$3\r\nabc"));
            let loads = |action: &ServerAction| {
                matches!(action, ServerAction::Sync(SyncAction::Data(_) | SyncAction::End))
            };
            assert_eq!(server.engine.actions.iter().filter(|action| loads(action)).count(), 2);
            // As the cluster does it, also while requests are answered LOADING.
            match takes_over {
                true => assert!(server.engine.become_primary()),
                false => server.engine.replicate_from("127.0.0.1", 7001),
            }
            assert!(!server.engine.actions.iter().any(loads), "{target}, {takes_over}");
            let is_abort = |action: &ServerAction| matches!(action, ServerAction::Sync(SyncAction::Abort));
            assert!(server.engine.actions.iter().any(is_abort));
        }
    }
}

#[test]
fn a_primary_that_sends_no_payload_is_tried_again_later() {
    let mut server = TestServer::new();
    server.script("SET old 1\nREPLICAOF 127.0.0.1 7000");
    let mut waits = Vec::new();
    for _ in 0..4 {
        let (link, _) = handshake(&mut server);
        receive(&mut server, link, &format!("+FULLRESYNC {REPLID} 100\r\n$-5\r\n"));
        let mut waited = 0;
        while !matches!(server.engine.actions.back(), Some(ServerAction::Link(_, LinkAction::Open(_)))) {
            server.advance(500);
            server.engine.tick();
            waited += 500;
        }
        waits.push(waited);
        // The attempt that has begun is refused.
        let link = links(&mut server).0.expect("an attempt");
        server.engine.link_event(link, LinkEvent::Closed("Connection refused"));
        server.advance(1001);
    }
    assert_eq!(waits, [1000, 2000, 4000, 8000]);
    server.script("GET old => \"1\"");
}

#[test]
fn clients_that_wait_are_sent_away() {
    let mut server = TestServer::new();
    let other = server.connect();
    assert_eq!(server.run_as(other, "BLPOP list 0"), "(blocked)");
    server.script("REPLICAOF 127.0.0.1 7000");
    let text =
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
    assert_eq!(server.posted(other), text);
}

#[test]
fn a_log_gets_what_makes_the_data() {
    let (mut server, primary) = replica();
    let log = server.engine.attach_reader(ReaderKind::Log);
    for line in [
        "PING",
        "SET a 1",
        "DEL nosuch",
        "NOSUCH x",
        "SELECT 5",
        "MULTI",
        "NOSUCH",
        "EXEC",
        "MULTI",
        "SET a 2",
        "EXEC",
    ] {
        replicate(&mut server, primary, line);
    }
    let mut logged = Vec::new();
    loop {
        let piece = server.engine.backlog().read(log).expect("kept").to_vec();
        if piece.is_empty() {
            break;
        }
        server.engine.backlog_mut().consume(log, piece.len());
        logged.extend(piece);
    }
    let mut expected = Vec::new();
    for line in ["SET a 1", "SELECT 5", "MULTI", "SET a 2", "EXEC"] {
        encode_request(&mut expected, line.split(' '));
    }
    assert_eq!(logged, expected);
}

/// What a primary's log doesn't have is sent as empty lines to a replica that is served from it: messages within a transaction.
#[test]
fn a_log_has_no_empty_lines() {
    let (mut server, primary) = replica();
    let log = server.engine.attach_reader(ReaderKind::Log);
    let blank = |server: &mut TestServer, count: usize| {
        (0..count).for_each(|_| server.engine.keep_replicated(primary, b"\n", Effect::None));
    };
    blank(&mut server, 3);
    replicate(&mut server, primary, "MULTI");
    blank(&mut server, 40);
    replicate(&mut server, primary, "SET a 1");
    replicate(&mut server, primary, "SELECT 5");
    blank(&mut server, 2);
    replicate(&mut server, primary, "SET a 2");
    blank(&mut server, 1);
    replicate(&mut server, primary, "EXEC");
    replicate(&mut server, primary, "SET a 3");
    let (mut logged, mut expected, backlog) = (Vec::new(), Vec::new(), server.engine.backlog());
    let (mut place, mut offset, end) = (100, 100, backlog.log_end());
    while place < end {
        match backlog.log_piece(log, place, end).expect("kept") {
            LogPiece::Inserted(bytes) => {
                place += bytes.len() as u64;
                logged.extend_from_slice(bytes);
            }
            LogPiece::Stream { offset: from, start, bytes } => {
                place += start - from + bytes.len() as u64;
                offset = start + bytes.len() as u64;
                logged.extend_from_slice(bytes);
            }
        }
    }
    assert_eq!(offset, server.engine.backlog().end());
    let add = |line: &str| encode_request(&mut expected, line.split(' '));
    let logged = String::from_utf8(logged).expect("text");
    let commands: String = logged.split_inclusive("\r\n").filter(|line| !line.starts_with("#REPL")).collect();
    ["SELECT 2", "MULTI", "SET a 1", "SELECT 5", "SET a 2", "EXEC", "SET a 3"].into_iter().for_each(add);
    assert_eq!(commands.as_bytes(), expected, "{commands}");
    let lines: Vec<&str> = logged.lines().filter(|line| line.starts_with("#REPL")).collect();
    let place = format!("#REPL:{REPLID}:103:2");
    assert_eq!(lines, ["#REPL-OWN", &place, "#REPL-GAP:40", "#REPL-GAP:2", "#REPL-GAP:1"]);
}

#[test]
fn a_primary_that_sends_monitor_is_sent_nothing_and_its_stream_goes_on() {
    let (mut server, primary) = replica();
    replicate(&mut server, primary, "MONITOR");
    assert_eq!(replicate(&mut server, primary, "nosuch"), ExecStatus::Done);
    server.script("GET none => nil");
    assert_eq!(server.posted(primary), "");
    replicate(&mut server, primary, "SET a 1");
    server.script("SELECT 2\nGET a => \"1\"");
}

#[test]
fn the_stream_waits_for_a_slow_script() {
    let (mut server, primary) = replica();
    let other = server.connect();
    server.engine.config.busy_reply_threshold = 10;
    server.engine.clock.set_reading_step(1_000_000);
    assert_eq!(server.run_as(other, "EVAL \"while true do end\" 0"), "(blocked)");
    server.engine.tick();
    assert!(server.engine.is_busy_with_script());
    let end = offset(&server);
    assert_eq!(replicate(&mut server, primary, "SET a 1"), ExecStatus::Postponed);
    assert_eq!(offset(&server), end);
    assert_eq!(server.run("SCRIPT KILL"), "+OK");
    while server.engine.is_busy_with_script() {
        server.engine.tick();
    }
    assert!(server.engine.actions.iter().any(|action| matches!(action, ServerAction::ResumeAll)));
    assert_eq!(replicate(&mut server, primary, "SET a 1"), ExecStatus::Done);
    assert_eq!(offset(&server), end + 27);
}

/// As [`replicate`], with the request's words.
fn replicate_words(server: &mut TestServer, primary: ClientId, words: &[&str]) -> ExecStatus {
    let mut raw = Vec::new();
    encode_request(&mut raw, words.iter());
    let request = OwnedArgs::from_parts(words.iter());
    server.engine.start_unit();
    let db = server.engine.clients.sessions.live(primary).db;
    let prepared = server.engine.prepare(request.as_args(), db);
    let status = server.engine.execute_replicated(primary, prepared, request.as_args(), &raw);
    server.engine.flush_batch();
    status
}

#[test]
fn clients_are_told_that_a_script_of_the_primary_is_slow() {
    let (mut server, primary) = replica();
    server.engine.config.busy_reply_threshold = 10;
    server.engine.clock.set_reading_step(1_000_000);
    let end = offset(&server);
    let script = "redis.call('SET', 'a', 1) local n = 0 while n < 100000 do n = n + 1 end";
    assert_eq!(replicate_words(&mut server, primary, &["EVAL", script, "0"]), ExecStatus::Blocked);
    // It isn't complete: a replica that lost its primary now would have to ask for it again.
    assert_eq!(offset(&server), end);
    let busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
    for request in ["PING", "GET a", "REPLICAOF NO ONE", "CLIENT KILL TYPE master", "INFO"] {
        assert_eq!(server.run(request), busy, "{request}");
    }
    let text = "-UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed.";
    assert_eq!(server.run("SCRIPT KILL"), text);
    assert_eq!(server.run("FUNCTION KILL"), text);
    assert_eq!(replicate(&mut server, primary, "SET b 1"), ExecStatus::Postponed);
    let mut turns = 0;
    while server.engine.is_busy_with_script() {
        server.engine.tick();
        turns += 1;
        assert!(turns < 100_000);
    }
    // The primary gets no reply, and the request is passed on whole.
    assert_eq!(server.posted(primary), "");
    let mut raw = Vec::new();
    encode_request(&mut raw, ["EVAL", script, "0"].iter());
    assert_eq!(offset(&server), end + raw.len() as u64);
    server.script("SELECT 2\nGET a => \"1\"");
    assert_eq!(replicate(&mut server, primary, "SET b 1"), ExecStatus::Done);
    assert_eq!(offset(&server), end + raw.len() as u64 + 27);
}

#[test]
fn a_primary_that_leaves_while_its_script_is_slow_is_asked_for_what_follows() {
    let (mut server, primary) = replica();
    server.engine.config.busy_reply_threshold = 10;
    server.engine.clock.set_reading_step(1_000_000);
    let end = offset(&server);
    let script = "local n = 0 while n < 100000 do n = n + 1 end redis.call('SET', 'a', 1)";
    replicate(&mut server, primary, "MULTI");
    replicate(&mut server, primary, "SET b 1");
    replicate_words(&mut server, primary, &["EVAL", script, "0"]);
    assert_eq!(replicate(&mut server, primary, "EXEC"), ExecStatus::Blocked);
    server.engine.disconnect(primary);
    assert!(server.engine.replication.is_in_sync());
    while server.engine.is_busy_with_script() {
        server.engine.tick();
    }
    assert!(!server.engine.replication.is_in_sync());
    assert!(server.engine.clients.sessions.get(primary).is_none());
    let mut raw = Vec::new();
    for words in [&["MULTI"][..], &["SET", "b", "1"], &["EVAL", script, "0"], &["EXEC"]] {
        encode_request(&mut raw, words.iter());
    }
    assert_eq!(offset(&server), end + raw.len() as u64);
    server.script("SELECT 2\nMGET a b => [\"1\" \"1\"]");
    // What follows is asked for.
    server.engine.actions.clear();
    server.advance(2000);
    let (_, psync) = handshake(&mut server);
    assert_eq!(psync, format!("PSYNC {REPLID} {}", offset(&server) + 1));
}

#[test]
fn what_clients_of_a_writable_replica_gave_a_deadline_expires() {
    let (mut server, primary) = replica();
    replicate(&mut server, primary, "SET theirs 1 PX 1000");
    server.script(
        "SELECT 2\nCONFIG SET replica-read-only no\nSET own 1 PX 1000\nSET later 1 PX 1000\nPEXPIRE later 5000 => :1\nSET kept 1 PX 1000\n\
         PERSIST kept => :1\nSET moved 1 PX 1000\nRENAME moved there\nSET gone 1 PX 1000\nDEL gone => :1\nINCR theirs => :2",
    );
    let own = |server: &TestServer| server.engine.data.keyspace.journal.own_deadlines.len();
    assert_eq!(own(&server), 4);
    server.advance(1001);
    server.engine.tick();
    // What the primary gave a deadline stays until its DEL comes, though a client has changed it.
    server.script("DBSIZE => :3\nEXISTS theirs own there => :0\nTTL later => :4\nGET kept => \"1\"");
    assert_eq!(own(&server), 1);
    server.script("FLUSHDB\nSET last 1 EX 100");
    assert_eq!(own(&server), 1);
    // A primary removes all keys by itself.
    server.script("REPLICAOF NO ONE\nSET own 1 EX 100");
    assert_eq!(own(&server), 1);
}

#[test]
fn a_pause_of_writes_holds_the_primarys_stream_back() {
    let (mut server, primary) = replica();
    server.script("CLIENT PAUSE 100000 WRITE");
    assert_eq!(replicate(&mut server, primary, "PING"), ExecStatus::Done);
    let before = offset(&server);
    assert_eq!(replicate(&mut server, primary, "SET a 1"), ExecStatus::Postponed);
    assert_eq!(offset(&server), before);
    server.script("CLIENT UNPAUSE");
    assert_eq!(replicate(&mut server, primary, "SET a 1"), ExecStatus::Done);
    assert_eq!(offset(&server), before + 27);
}

#[test]
fn a_writable_replica_outlives_what_it_cant_execute() {
    for (read_only, crashes) in [("no", false), ("yes", true)] {
        let (mut server, primary) = replica();
        server
            .script("CONFIG SET replica-read-only no propagation-error-behavior panic\nSELECT 2\nSET a text");
        server.run(&format!("CONFIG SET replica-read-only {read_only}"));
        replicate(&mut server, primary, "LPUSH a 1");
        let asked = server.engine.actions.iter().any(|action| matches!(action, ServerAction::Crash));
        assert_eq!(asked, crashes, "replica-read-only {read_only}");
    }
}

#[test]
fn clients_that_wait_are_redirected_if_they_can_be() {
    let mut server = TestServer::new();
    let (able, reader) = (server.connect(), server.connect());
    server.run_as(able, "CLIENT CAPA redirect");
    assert_eq!(server.run_as(reader, "CLIENT CAPA redirect"), "+OK");
    assert_eq!(server.run_as(reader, "READONLY"), "+OK");
    assert_eq!(server.run_as(able, "BLPOP list 0"), "(blocked)");
    assert_eq!(server.run_as(reader, "XREAD BLOCK 0 STREAMS s 0"), "(blocked)");
    server.script("REPLICAOF 127.0.0.1 7000");
    assert_eq!(
        (server.posted(able), server.posted(reader)),
        ("-REDIRECT 127.0.0.1:7000".into(), String::new())
    );
    let closed: Vec<_> =
        server.engine.actions.iter().filter(|action| matches!(action, ServerAction::Close { .. })).collect();
    assert_eq!(format!("{closed:?}"), "[]");
}
