//! Tests of MIGRATE: with a target that is played by the test, on links that the engine asks for.

use super::port;
use crate::base::ids::{ClientId, LinkId};
use crate::commands::support::testing::TestServer;
use crate::engine::ServerAction;
use crate::engine::clients::session::{Peer, state};
use crate::engine::links::{LinkAction, LinkEvent};

/// A server whose links lead to the test.
struct Source {
    server: TestServer,
    /// Clients that may go on.
    resumed: Vec<ClientId>,
    closed: usize,
    link: LinkId,
}

impl Source {
    fn new() -> Source {
        let mut server = TestServer::new();
        server.script("SET a 1\nSET b 2\nSET c 3");
        Source { server, resumed: Vec::new(), closed: 0, link: LinkId(0) }
    }

    /// Does what the server does; returns what was sent.
    fn act(&mut self) -> String {
        let mut sent = Vec::new();
        while let Some(action) = self.server.engine.next_action() {
            match action {
                ServerAction::ContinueMigrations => self.server.engine.continue_migrations(),
                ServerAction::Resume(client) => self.resumed.push(client),
                ServerAction::Link(link, LinkAction::Open(_)) => self.link = link,
                ServerAction::Link(_, LinkAction::Send(bytes)) => sent.extend(bytes),
                ServerAction::Link(_, LinkAction::Close) => self.closed += 1,
                _ => {}
            }
        }
        let text = String::from_utf8_lossy(&sent).into_owned();
        let words = text.split("\r\n").filter(|word| !word.starts_with(['*', '$']) && word.is_ascii());
        words.collect::<Vec<_>>().join(" ").trim().to_string()
    }

    fn connected(&mut self) -> String {
        let event = LinkEvent::Connected { conn_index: 1, fd: 1, peer: Peer::Internal };
        self.server.engine.link_event(self.link, event);
        self.act()
    }

    fn received(&mut self, bytes: &str) -> String {
        self.server.engine.link_event(self.link, LinkEvent::Received(bytes.as_bytes()));
        self.act()
    }

    /// Begins a MIGRATE of the first client up to its first key.
    fn begin(&mut self, line: &str) -> String {
        assert_eq!(self.server.run(line), "(blocked)");
        self.act();
        if self.server.engine.migrate.link_count() == 1 && self.closed == 0 {
            self.connected();
        }
        self.received("+OK\r\n")
    }

    fn reply(&mut self) -> String {
        self.server.posted(self.server.client)
    }

    /// Whether a request is postponed; the client that sent it.
    fn postponed(&mut self, line: &str) -> Option<ClientId> {
        let client = self.server.connect();
        let reply = self.server.run_as(client, line);
        let waits = self.server.engine.clients.sessions.live(client).is(state::POSTPONED);
        assert_eq!(reply.is_empty(), waits, "{line}: {reply}");
        waits.then_some(client)
    }
}

#[test]
fn arguments_in_redis_order() {
    let mut server = TestServer::new();
    server.script(
        "SET a 1
         MIGRATE h 1 none 0 0 => +NOKEY
         MIGRATE h 1 \"\" 0 0 KEYS none other => +NOKEY
         MIGRATE h 1 \"\" 0 0 KEYS => +NOKEY
         MIGRATE h 1 a 0 x WHAT => -ERR syntax error
         MIGRATE h 1 a 0 0 AUTH => -ERR syntax error
         MIGRATE h 1 a 0 0 AUTH2 user => -ERR syntax error
         MIGRATE h 1 a 0 0 KEYS a => -ERR When using MIGRATE KEYS option, the key argument must be set to the empty string
         MIGRATE h 1 a 0 x => -ERR value is not an integer or out of range
         MIGRATE h 1 a x 0 => -ERR value is not an integer or out of range
         COMMAND GETKEYS MIGRATE h 1 a 0 0 AUTH KEYS AUTH2 KEYS KEYS => [\"a\"]
         COMMAND GETKEYS MIGRATE h 1 \"\" 0 0 AUTH KEYS KEYS x y => [\"x\" \"y\"]
         COMMAND GETKEYS MIGRATE h 1 a 0 0 KEYS x => -ERR Invalid arguments specified for command",
    );
}

#[test]
fn keys_are_moved() {
    let mut source = Source::new();
    source.server.propagate();
    source.server.notify("KEA");
    let watcher = source.server.connect();
    source.server.run_as(watcher, "WATCH b");
    source.server.run("PEXPIRE b 5000");
    source.server.propagated();
    source.server.events();
    let line = "MIGRATE host 6379 \"\" 9 0 KEYS a none b REPLACE";
    let line = line.replace("KEYS a none b REPLACE", "REPLACE AUTH2 me pass KEYS a none b");
    assert_eq!(source.server.run(&line), "(blocked)");
    assert_eq!(source.act(), "");
    source.server.advance(600);
    assert_eq!(source.connected(), "AUTH me pass SELECT 9");
    let sent = source.received("+OK\r\n+OK\r\n");
    assert!(sent.starts_with("RESTORE a 0 ") && sent.contains(" RESTORE b 4400 "), "{sent}");
    // They are here until the target has both.
    source.received("+OK\r\n");
    source.server.script("GET a => \"1\"");
    assert_eq!(source.server.propagated(), "");
    source.received("+OK\r\n");
    assert_eq!(source.server.propagated(), "DEL a b");
    let posted = source.server.all_posted();
    let reply: Vec<_> = posted.iter().filter(|(to, _)| *to == source.server.client).collect();
    assert_eq!(reply, [&(source.server.client, "+OK".to_string())]);
    assert_eq!(posted.iter().filter(|(_, message)| message.contains("__:del")).count(), 2);
    assert_eq!(source.resumed, [source.server.client]);
    source.server.script("EXISTS a b c => :1");
    assert!(source.server.engine.clients.sessions.live(watcher).is(state::DIRTY_CAS));
    assert!(source.server.run("INFO stats").contains("migrate_cached_sockets:1"));
    // The next one goes by the same link, which is in database 9.
    assert_eq!(source.server.run("MIGRATE host 6379 c 9 0 COPY"), "(blocked)");
    let sent = source.act();
    assert!(sent.starts_with("RESTORE c 0"), "{sent}");
    source.received("+OK\r\n");
    assert_eq!((source.reply(), source.server.run("EXISTS c")), ("+OK".into(), ":1".into()));
    assert_eq!(source.server.propagated(), "");
    source.server.advance(10_000);
    source.server.engine.tick();
    source.act();
    assert_eq!(source.closed, 1);
    assert!(source.server.run("INFO stats").contains("migrate_cached_sockets:0"));
}

#[test]
fn keys_that_the_target_refuses_stay() {
    let mut source = Source::new();
    source.server.propagate();
    source.server.propagated();
    source.begin("MIGRATE host 6379 \"\" 0 0 KEYS a b c");
    source.received("+OK\r\n-BUSYKEY Target key name already exists.\r\n+OK\r\n");
    let error = "-ERR Target instance replied with error: BUSYKEY Target key name already exists.";
    assert_eq!(source.reply(), error);
    assert_eq!(source.server.propagated(), "DEL a c");
    source.server.script("EXISTS a => :0\nEXISTS b => :1\nEXISTS c => :0");
    assert!(source.server.run("INFO errorstats").contains("errorstat_ERR:count=1"));
    assert!(source.server.run("INFO commandstats").contains("cmdstat_migrate:calls=1,"));
}

#[test]
fn what_was_acknowledged_before_the_link_ended_is_gone() {
    let mut source = Source::new();
    source.begin("MIGRATE host 6379 \"\" 0 100 KEYS a b");
    source.received("+OK\r\n");
    source.server.engine.link_event(source.link, LinkEvent::Closed("reset"));
    source.act();
    assert_eq!(source.reply(), "-IOERR error or timeout writing to target instance");
    source.server.script("EXISTS a => :0\nEXISTS b => :1");
}

#[test]
fn a_silent_target_has_the_time_that_was_given() {
    let mut source = Source::new();
    source.begin("MIGRATE host 6379 a 0 500");
    source.server.engine.link_sent(source.link, 0);
    assert!(source.server.engine.sleep_ms() <= 500);
    source.server.advance(499);
    source.server.engine.tick();
    source.act();
    assert_eq!(source.reply(), "");
    source.server.advance(1);
    source.server.engine.tick();
    source.act();
    assert_eq!(source.reply(), "-IOERR error or timeout reading to target instance");
    source.server.script("EXISTS a => :1");
    assert!(source.postponed("SET a 2").is_none());
    assert_eq!(source.server.run("MIGRATE host -1 a 0 500"), "(blocked)");
    source.act();
    assert_eq!(source.reply(), "-IOERR error or timeout connecting to the client");
}

#[test]
fn who_would_change_a_key_on_its_way_waits() {
    let mut source = Source::new();
    source.begin("MIGRATE host 6379 \"\" 0 0 KEYS a b");
    assert!(source.postponed("SET c 4").is_none());
    assert!(source.postponed("GET a").is_none());
    assert!(source.postponed("PUBLISH a b").is_none());
    assert!(source.postponed("COPY a d").is_none());
    assert!(source.postponed("FUNCTION DELETE a").is_none());
    let waiting: Vec<_> = [
        "SET a 2",
        "RENAME c b",
        "MIGRATE other 1 b 0 0",
        "EVAL \"return redis.call('SET', KEYS[1], 2)\" 1 a",
    ]
    .into_iter()
    .map(|line| source.postponed(line).expect(line))
    .collect();
    // Another database has other keys.
    let other = source.server.connect();
    source.server.run_as(other, "SELECT 1");
    assert_eq!(source.server.run_as(other, "SET a 1"), "+OK");
    let sessions = &mut source.server.engine.clients.sessions;
    assert_eq!(sessions.live_mut(waiting[0]).io.commands, 0);
    source.received("+OK\r\n+OK\r\n");
    assert_eq!(source.reply(), "+OK");
    let mut resumed = source.resumed.clone();
    resumed.retain(|client| *client != source.server.client);
    assert_eq!(resumed, waiting);
    assert_eq!(source.server.run_as(waiting[0], "SET a 2"), "+OK");
    source.server.script("GET a => \"2\"\nEXISTS b => :0");
}

#[test]
fn a_transaction_waits_as_a_whole() {
    let mut source = Source::new();
    source.begin("MIGRATE host 6379 b 0 0");
    let [first, other_db, reader] = [(); 3].map(|()| source.server.connect());
    for (client, queue, waits) in [
        (first, ["GET c", "INCR b"].as_slice(), true),
        (other_db, &["SELECT 1", "INCR b"], false),
        (reader, &["GET b", "INCR c"], false),
    ] {
        source.server.run_as(client, "MULTI");
        for line in queue {
            assert_eq!(source.server.run_as(client, line), "+QUEUED");
        }
        assert_eq!(source.server.run_as(client, "EXEC").is_empty(), waits, "{queue:?}");
    }
    source.received("+OK\r\n");
    assert_eq!(source.resumed, [source.server.client, first]);
    assert_eq!(source.server.run_as(first, "EXEC"), "[\"4\" :1]");
}

#[test]
fn a_client_that_waits_for_another_key_is_served_when_it_is_over() {
    let mut source = Source::new();
    source.server.script("DEL a => :1\nRPUSH a x => :1");
    let waiting = source.server.connect();
    assert_eq!(source.server.run_as(waiting, "BLMOVE list a LEFT LEFT 0"), "(blocked)");
    source.begin("MIGRATE host 6379 a 0 0");
    assert!(source.postponed("RPUSH list y").is_none());
    assert_eq!(source.server.posted(waiting), "");
    source.server.script("LRANGE list 0 -1 => [\"y\"]");
    source.received("+OK\r\n");
    let posted = source.server.all_posted();
    assert!(posted.contains(&(waiting, "\"y\"".into())), "{posted:?}");
    source.server.script("LRANGE a 0 -1 => [\"y\"]");
}

#[test]
fn what_goes_by_itself_is_no_change() {
    let mut source = Source::new();
    source.server.propagate();
    source.server.script("PEXPIRE a 100 => :1\nPFADD hll x => :1");
    source.server.propagated();
    source.begin("MIGRATE host 6379 \"\" 0 0 KEYS a b hll");
    source.server.advance(200);
    source.server.script("EXISTS a => :0");
    source.server.script("FLUSHALL\nSET d 1");
    source.received("+OK\r\n+OK\r\n+OK\r\n");
    assert_eq!(source.reply(), "+OK");
    assert_eq!(source.server.propagated(), "DEL a; FLUSHALL; SET d 1");
}

#[test]
fn a_change_that_nothing_held_back_keeps_the_key() {
    let mut source = Source::new();
    source.begin("MIGRATE host 6379 \"\" 0 0 KEYS a b");
    let script = "EVAL \"redis.call('SET', 'a', 5); return redis.call('DEL', 'b')\" 0";
    let other = source.server.connect();
    assert_eq!(source.server.run_as(other, script), ":1");
    source.received("+OK\r\n+OK\r\n");
    let reply = source.reply();
    assert!(reply.starts_with("-ERR 1 keys have changed while they were migrated"), "{reply}");
    source.server.script("GET a => \"5\"\nEXISTS b => :0");
    // The same with a vector set, whose changes are not published.
    let mut source = Source::new();
    let other = source.server.connect();
    source.server.script("VADD v VALUES 2 1 0 one => :1");
    source.begin("MIGRATE host 6379 v 0 0");
    let script = "EVAL \"return redis.call('vadd','v','VALUES',2,0,1,'two')\" 0";
    assert_eq!(source.server.run_as(other, script), ":1");
    source.received("+OK\r\n");
    let reply = source.reply();
    assert!(reply.starts_with("-ERR 1 keys have changed"), "{reply}");
    source.server.script("VCARD v => :2");
    // The same with another database in the place of theirs.
    let mut source = Source::new();
    let other = source.server.connect();
    source.server.run_as(other, "SELECT 1");
    source.server.run_as(other, "SET a other");
    source.begin("MIGRATE host 6379 a 0 0");
    assert_eq!(source.server.run_as(other, "SWAPDB 0 1"), "+OK");
    source.received("+OK\r\n");
    let reply = source.reply();
    assert!(reply.starts_with("-ERR 1 keys have changed"), "{reply}");
    source.server.script("GET a => \"other\"");
}

#[test]
fn nothing_is_removed_while_writes_are_paused() {
    let mut source = Source::new();
    source.begin("MIGRATE host 6379 a 0 0");
    let other = source.server.connect();
    assert_eq!(source.server.run_as(other, "CLIENT PAUSE 1000 WRITE"), "+OK");
    source.received("+OK\r\n");
    assert_eq!(source.reply(), "");
    source.server.script("EXISTS a => :1");
    source.server.advance(1000);
    source.server.engine.tick();
    assert_eq!(source.reply(), "+OK");
    source.server.script("EXISTS a => :0");
}

#[test]
fn migrations_are_given_up_with_the_role() {
    let mut source = Source::new();
    source.begin("MIGRATE host 6379 \"\" 0 0 KEYS a b");
    source.received("+OK\r\n");
    source.server.engine.abandon_migrations();
    source.act();
    assert!(source.reply().starts_with("-UNBLOCKED force unblock from blocking operation"));
    source.server.script("EXISTS a b => :2");
    assert_eq!(source.closed, 1);
}

#[test]
fn a_client_that_leaves_does_not_stop_its_migration() {
    let mut source = Source::new();
    source.begin("MIGRATE host 6379 a 0 0");
    source.server.engine.disconnect(source.server.client);
    source.received("+OK\r\n");
    source.server.client = source.server.connect();
    source.server.script("EXISTS a => :0");
    assert!(source.server.run("INFO commandstats").contains("cmdstat_migrate:calls=1,"));
}

#[test]
fn what_a_client_that_leaves_has_waiting_is_given_up() {
    let mut source = Source::new();
    source.begin("MIGRATE host 6379 a 0 0");
    let (first, second) = (source.server.client, source.server.connect());
    source.server.client = second;
    assert_eq!(source.server.run("MIGRATE host 6379 b 0 0"), "(blocked)");
    let third = source.postponed("APPEND b more").expect("the key is held");
    source.server.engine.disconnect(second);
    source.act();
    // Its key isn't held any more.
    assert!(source.server.run_as(third, "APPEND b more").starts_with(':'));
    source.server.client = first;
    source.received("+OK\r\n");
    assert_eq!(source.reply(), "+OK");
    source.server.client = third;
    source.server.script("EXISTS a b => :1");
}

#[test]
fn ports_are_read_as_redis_reads_them() {
    for (text, expected) in [
        ("6379", Some(6379)),
        ("0", Some(0)),
        ("", Some(0)),
        ("abc", Some(0)),
        (" 6379x", Some(6379)),
        ("+6379", Some(6379)),
        ("00000000000000000000006379", Some(6379)),
        ("99999", Some(34463)),
        ("65536", Some(0)),
        ("4294967297", Some(1)),
        ("-1", None),
        ("-0", Some(0)),
        ("+-1", Some(0)),
        ("99999999999999999999", None),
    ] {
        assert_eq!(port(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_transaction_and_a_script_cannot_wait() {
    let mut server = TestServer::new();
    let error = "ERR MIGRATE has to wait for the target instance, and can't within a transaction or a script";
    server.script("SET a 1\nMULTI\nMIGRATE h 1 none 0 0 => +QUEUED\nMIGRATE h 1 a 0 0 => +QUEUED");
    assert_eq!(server.run("EXEC"), format!("[+NOKEY -{error}]"));
    let script = "return redis.pcall('MIGRATE', 'h', '1', KEYS[1], 0, 0).err";
    assert_eq!(server.run(&format!("EVAL \"{script}\" 1 a")), format!("\"{error}\""));
    assert!(!server.engine.migrate.holds_keys());
}

#[test]
fn passwords_are_shown_to_nobody() {
    let mut server = TestServer::new();
    let monitor = server.connect();
    server.run_as(monitor, "MONITOR");
    server.run("MIGRATE h 1 none 0 0 AUTH secret AUTH2 user secret KEYS a");
    let shown = server.posted(monitor);
    assert!(!shown.contains("secret") && !shown.contains("user"), "{shown}");
    assert_eq!(shown.matches("(redacted)").count(), 3, "{shown}");
}
