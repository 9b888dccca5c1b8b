//! An engine for tests of commands: no socket, a clock that only [`TestServer::advance`] moves, requests
//! and replies as one line of text each.
//!
//! ```text
//! +OK   -ERR text   :1   "bulk\x00"   nil   [a b]   {key:value}   ~[set]   >[push]   #t   ,1.5
//! ```

use crate::base::ids::ClientId;
use crate::base::quoting;
use crate::engine::clients::session::Peer;
use crate::engine::command::spec::CommandSpec;
use crate::engine::{Engine, ExecStatus};
use crate::keyspace::event;
use crate::resp::{OwnedArgs, Reply};
use crate::services::command_stream::{ReaderId, ReaderKind};
use crate::services::config::Config;
use crate::services::pubsub::Kind;
use crate::sys::clock::Clock;

/// The Unix time at which every test begins, ms.
pub const START_MS: u64 = 1_700_000_000_000;

/// An engine without sockets, with one client.
pub struct TestServer {
    pub engine: Engine,
    pub client: ClientId,
    listener: Option<ClientId>,
    pub consumer: Option<ReaderId>,
}

impl Default for TestServer {
    fn default() -> Self {
        Self::new()
    }
}

impl TestServer {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Self::of(crate::commands::FAMILIES, config)
    }

    /// One with the commands of Sentinel mode.
    pub fn sentinel() -> Self {
        Self::of(&crate::commands::sentinel_families(), Config::default())
    }

    fn of(families: &[&'static [CommandSpec]], config: Config) -> Self {
        let mut engine = Engine::new(families, config, Clock::simulated(START_MS), 7);
        engine.start_turn();
        let client = engine.connect(0, 0, Peer::Internal);
        TestServer { engine, client, listener: None, consumer: None }
    }

    /// Runs a request of the first client; the line is split as in a configuration file.
    pub fn run(&mut self, line: &str) -> String {
        self.run_as(self.client, line)
    }

    /// Runs a request of a given client.
    pub fn run_as(&mut self, client: ClientId, line: &str) -> String {
        let args = quoting::split_words(line.as_bytes()).expect("balanced quotes");
        self.run_args(client, &args)
    }

    /// Runs a request given as its arguments.
    pub fn run_args<T: AsRef<[u8]>>(&mut self, client: ClientId, args: &[T]) -> String {
        let request = OwnedArgs::from_parts(args.iter());
        let resp3 = self.engine.clients.sessions.live(client).resp3;
        let mut reply = Reply::new(Vec::new(), resp3);
        let status = self.engine.execute_one(client, request.as_args(), &mut reply);
        if status == ExecStatus::Blocked {
            assert!(reply.is_empty());
            return "(blocked)".into();
        }
        show_all(reply.bytes())
    }

    /// Runs a script of lines `request => reply`; a line without `=>` must answer `+OK`.
    pub fn script(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (request, expected) = line.split_once(" => ").unwrap_or((line, "+OK"));
            assert_eq!(self.run(request.trim()), expected.trim(), "{request}");
        }
    }

    /// Connects another client.
    pub fn connect(&mut self) -> ClientId {
        self.engine.connect(0, 0, Peer::Internal)
    }

    /// Switches the first client to RESP3.
    pub fn resp3(&mut self) {
        self.engine.clients.sessions.live_mut(self.client).resp3 = true;
    }

    /// Moves the clock forward.
    pub fn advance(&mut self, ms: u64) {
        self.engine.clock.advance(ms * 1000);
        self.engine.start_turn();
    }

    /// Enables keyspace events of these classes (`KEA` …), for [`Self::events`].
    pub fn notify(&mut self, classes: &str) {
        self.engine.settings.notify_classes = event::parse_classes(classes.as_bytes()).expect("letters");
        let listener = self.connect();
        self.engine.clients.pubsub.subscribe(Kind::Pattern, b"__keyevent@*", listener);
        self.listener = Some(listener);
        self.engine.refresh_recording();
    }

    /// The events since the last call: `set a; expire a`; a database other than 0 stands before its event.
    pub fn events(&mut self) -> String {
        let posts = self.engine.clients.outbox.iter().filter(|(to, _)| Some(*to) == self.listener);
        let mut events = Vec::new();
        for (_, message) in posts {
            let parts = strings(message);
            let (db, name) =
                parts[2].strip_prefix("__keyevent@").and_then(|c| c.split_once("__:")).expect("a channel");
            let place = if db == "0" { String::new() } else { format!("{db}:") };
            events.push(format!("{place}{name} {}", parts[3]));
        }
        self.discard_posts();
        events.join("; ")
    }

    /// Attaches a consumer to the command stream, for [`Self::propagated`].
    pub fn propagate(&mut self) {
        self.consumer = Some(self.engine.attach_reader(ReaderKind::Replica));
    }

    /// Requests propagated since the last time: `SET a 1; DEL b`; a leading SELECT of database 0 is left out.
    pub fn propagated(&mut self) -> String {
        let propagated = self.propagated_piece();
        if let Some(consumer) = self.consumer {
            let backlog = self.engine.backlog();
            assert_eq!(backlog.position(consumer), backlog.end(), "more than a test looks at");
        }
        let leads = propagated.starts_with("SELECT 0; ") || propagated.starts_with("MULTI; SELECT 0; ");
        if leads { propagated.replacen("SELECT 0; ", "", 1) } else { propagated }
    }

    /// The requests of the consumer's next piece of the stream.
    pub fn propagated_piece(&mut self) -> String {
        let mut bytes = Vec::new();
        if let Some(consumer) = self.consumer {
            let backlog = self.engine.backlog_mut();
            bytes = backlog.read(consumer).expect("all is kept").to_vec();
            backlog.consume(consumer, bytes.len());
        }
        let mut rest = &bytes[..];
        let mut requests = Vec::new();
        while !rest.is_empty() {
            let before = rest;
            show(&mut rest, &mut String::new());
            requests.push(strings(&before[..before.len() - rest.len()]).join(" "));
        }
        requests.join("; ")
    }

    /// All messages that were posted, with whom they are for.
    pub fn all_posted(&mut self) -> Vec<(ClientId, String)> {
        let posts = self.engine.clients.outbox.iter();
        let posts = posts.map(|(to, bytes)| (to, show_all(bytes))).collect();
        self.discard_posts();
        posts
    }

    fn discard_posts(&mut self) {
        self.engine.clients.outbox.take_posts(|_, _| ());
        self.engine.clients.outbox.clear();
    }

    /// The messages posted to a client since [`Self::events`] or this was last called.
    pub fn posted(&mut self, client: ClientId) -> String {
        let posts = self.engine.clients.outbox.iter().filter(|(to, _)| *to == client);
        let text = posts.map(|(_, bytes)| show_all(bytes)).collect::<Vec<_>>().join(" ");
        self.discard_posts();
        text
    }
}

/// The bulk strings of a flat array, readable.
fn strings(message: &[u8]) -> Vec<String> {
    let mut rest = message;
    let (_, count) = header(&mut rest);
    let bulks = (0..count).map(|_| {
        let (_, length) = header(&mut rest);
        let (bulk, after) = rest.split_at(length as usize);
        rest = &after[2..];
        quoting::printable(bulk)
    });
    bulks.collect()
}

fn line<'a>(rest: &mut &'a [u8]) -> &'a str {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a line end");
    let text = std::str::from_utf8(&rest[..end]).expect("text");
    *rest = &rest[end + 2..];
    text
}

fn header(rest: &mut &[u8]) -> (char, i64) {
    let text = line(rest);
    (text.chars().next().expect("a type"), text[1..].parse().expect("a length"))
}

fn show_all(bytes: &[u8]) -> String {
    let mut rest = bytes;
    let mut text = String::new();
    while !rest.is_empty() {
        if !text.is_empty() {
            text.push(' ');
        }
        show(&mut rest, &mut text);
    }
    text
}

fn show_items(count: i64, rest: &mut &[u8], text: &mut String) {
    for index in 0..count {
        if index > 0 {
            text.push(' ');
        }
        show(rest, text);
    }
}

fn show(rest: &mut &[u8], text: &mut String) {
    let kind = rest[0];
    match kind {
        b'$' | b'=' => {
            let (_, length) = header(rest);
            if length < 0 {
                return text.push_str("nil");
            }
            let (bulk, after) = rest.split_at(length as usize);
            *rest = &after[2..];
            let quoted = String::from_utf8(quoting::quoted(bulk)).expect("quoting makes it text");
            text.push_str(&quoted);
        }
        b'*' | b'~' | b'>' => {
            let (_, count) = header(rest);
            if count < 0 {
                return text.push_str("nil-array");
            }
            if kind != b'*' {
                text.push(char::from(kind));
            }
            text.push('[');
            show_items(count, rest, text);
            text.push(']');
        }
        b'%' | b'|' => {
            let (_, count) = header(rest);
            text.push('{');
            for index in 0..count {
                if index > 0 {
                    text.push(' ');
                }
                show(rest, text);
                text.push(':');
                show(rest, text);
            }
            text.push('}');
        }
        b'_' => {
            line(rest);
            text.push_str("nil");
        }
        _ => text.push_str(line(rest)),
    }
}
