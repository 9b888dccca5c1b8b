//! Tests of `appendfsync always` over sockets, with a disk whose syncs last as long as the test says.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Files;
use crate::commands;
use crate::engine::Engine;
use crate::net::EventLoop;
use crate::server::Server;
use crate::server::apply_config::net_limits;
use crate::server::listeners::listen;
use crate::server::oom_score::OomScore;
use crate::server::signals::Signals;
use crate::server::title::ProcessTitle;
use crate::services::config::{AppendFsync, Config, ProtectedAction};
use crate::sys::clock::Clock;
use crate::sys::disk::{Disk, DiskFile, Mode, Stat};
use crate::sys::simulated_disk::SimulatedDisk;

const PATIENCE: Duration = Duration::from_secs(20);

/// What holds syncs up.
#[derive(Debug, Default)]
struct GateState {
    is_closed: bool,
    /// Syncs that may pass although it is closed.
    permits: usize,
    /// Syncs that have come, and those that have passed.
    begun: usize,
    passed: usize,
}

#[derive(Clone, Debug, Default)]
struct Gate(Arc<(Mutex<GateState>, Condvar)>);

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        self.0.0.lock().expect("no test panics with it")
    }

    fn change(&self, change: impl FnOnce(&mut GateState)) {
        change(&mut self.state());
        self.0.1.notify_all();
    }

    fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    fn open(&self) {
        self.change(|state| state.is_closed = false);
    }

    /// Lets one sync pass, and waits until it has.
    fn let_one_pass(&self) {
        let passed = self.state().passed;
        self.change(|state| state.permits += 1);
        self.wait(|state| state.passed > passed);
    }

    fn wait(&self, holds: impl Fn(&GateState) -> bool) {
        let (state, late) =
            self.0.1.wait_timeout_while(self.state(), PATIENCE, |state| !holds(state)).expect("no poison");
        assert!(!late.timed_out(), "{state:?}");
    }

    /// Waits until a sync stands before it.
    fn wait_for_sync(&self) {
        self.wait(|state| state.begun > state.passed);
    }

    /// A sync.
    fn pass(&self) {
        self.change(|state| state.begun += 1);
        let held_up = |state: &mut GateState| state.is_closed && state.permits == 0;
        let mut state = self.0.1.wait_while(self.state(), held_up).expect("no poison");
        state.permits = state.permits.saturating_sub(1);
        state.passed += 1;
        drop(state);
        self.0.1.notify_all();
    }
}

/// A disk in memory behind a gate.
struct GatedDisk(SimulatedDisk, Gate);

struct GatedFile(Box<dyn DiskFile>, Gate);

impl Disk for GatedDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(GatedFile(self.0.open(path, mode)?, self.1.clone())))
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.0.stat(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.0.truncate(path, len)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.0.list(dir)
    }
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.make_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
}

impl DiskFile for GatedFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
    fn read_at(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.1.pass();
        self.0.sync()
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn duplicate(&self) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(GatedFile(self.0.duplicate()?, self.1.clone())))
    }
    fn start_writeback(&mut self, offset: u64, len: u64) {
        self.0.start_writeback(offset, len);
    }
    fn drop_cache(&mut self, offset: u64, len: u64) {
        self.0.drop_cache(offset, len);
    }
}

/// A server in a thread of its own.
struct Running {
    port: u16,
    gate: Gate,
    disk: SimulatedDisk,
    thread: Option<JoinHandle<i32>>,
}

fn serve(config: Config, disk: GatedDisk, started: impl FnOnce(u16)) -> i32 {
    let listeners = listen(&config, &Default::default()).expect("a port");
    let port = listeners[0].address().expect("of TCP").port();
    let mut net = EventLoop::new(net_limits(&config, true)).expect("a poll");
    let signals = Signals::none(&net.poll).expect("no signals");
    net.set_listeners(listeners).expect("listening");
    let title = ProcessTitle::new(&config, "");
    let waker = net.waker.clone();
    let wake = move || waker.wake().expect("woken");
    let files = Files::new(Arc::new(disk), wake);
    let engine = Engine::new(commands::FAMILIES, config, Clock::real(), 1);
    let oom_score = OomScore::default();
    let mut server = Server {
        engine,
        net,
        signals,
        oom_score,
        title,
        tls: Default::default(),
        files,
        scripts: Default::default(),
        recorder: Default::default(),
        reload: Default::default(),
        supervisor: Default::default(),
        inherited: Default::default(),
        nodes_file: None,
        vector_threads: Default::default(),
        idle_memory: Default::default(),
        ending: None,
        restarts: false,
    };
    server.load_at_start().expect("an empty log");
    started(port);
    server.run().0
}

impl Running {
    fn start(change: impl FnOnce(&mut Config)) -> Running {
        let mut config = Config {
            appendonly: true,
            appendfsync: AppendFsync::Always,
            bind: vec!["127.0.0.1".into()],
            set_proc_title: false,
            enable_debug_command: ProtectedAction::Yes,
            ..Config::default()
        };
        config.save.0.clear();
        change(&mut config);
        let (gate, disk) = (Gate::default(), SimulatedDisk::new(1));
        let gated = GatedDisk(disk.clone(), gate.clone());
        let (sender, receiver) = std::sync::mpsc::channel();
        let started = move |port| sender.send(port).expect("the test waits");
        // Another process may take the port that was free a moment ago.
        config.port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let thread = std::thread::spawn(move || serve(config, gated, started));
        let port = receiver.recv().expect("it starts");
        Running { port, gate, disk, thread: Some(thread) }
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Client(stream)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gate.open();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.write_all(b"SHUTDOWN NOSAVE\r\n");
        }
        let ended = self.thread.take().expect("not joined yet").join();
        assert!(std::thread::panicking() || matches!(ended, Ok(0)), "{ended:?}");
    }
}

struct Client(TcpStream);

impl Client {
    /// Sends requests, a line each.
    fn send(&mut self, lines: &str) {
        let bytes = lines.lines().map(|line| format!("{}\r\n", line.trim())).collect::<String>();
        self.0.write_all(bytes.as_bytes()).expect("sent");
    }

    /// Reads replies, a line each, which must be these.
    fn expect(&mut self, lines: &str) {
        let expected = lines.lines().map(|line| format!("{}\r\n", line.trim())).collect::<String>();
        let mut bytes = vec![0; expected.len()];
        self.0.read_exact(&mut bytes).expect("replies");
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }

    fn ask(&mut self, line: &str, reply: &str) {
        self.send(line);
        self.expect(reply);
    }

    /// Asks for a number, or reads the length of a text.
    fn ask_number(&mut self, line: &str) -> usize {
        self.send(line);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a number");
            head.push(byte[0]);
        }
        String::from_utf8_lossy(&head[1..head.len() - 2]).parse().expect("a number")
    }

    fn ask_text(&mut self, line: &str) -> String {
        let length = self.ask_number(line);
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).expect("a text");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Nothing has come. Another client's PING after what might have sent something is answered first.
    fn expect_nothing(&mut self, other: &mut Client) {
        other.ask("PING", "+PONG");
        self.0.set_nonblocking(true).expect("set");
        let read = self.0.read(&mut [0; 100]);
        self.0.set_nonblocking(false).expect("set");
        assert!(matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock), "{read:?}");
    }

    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("an end");
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

/// The value of a field of CLIENT LIST.
fn field(line: &str, name: &str) -> u64 {
    let value = line.split_whitespace().find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {line}"))
}

#[test]
fn a_reply_leaves_after_its_sync_and_others_go_on() {
    let server = Running::start(|_| ());
    let (mut writer, mut reader, mut other) = (server.client(), server.client(), server.client());
    other.ask("SET before 1", "+OK");
    server.gate.close();
    writer.send("SET a 1");
    server.gate.wait_for_sync();
    writer.expect_nothing(&mut other);
    // What tells of data tells of data that may be lost.
    reader.send("GET a");
    reader.expect_nothing(&mut other);
    other.ask("ECHO hello", "$5\nhello");
    server.gate.let_one_pass();
    writer.expect("+OK");
    reader.expect("$1\n1");
    // No write waits any more, so reads don't.
    reader.ask("GET a", "$1\n1");
    assert!(
        server.disk.content("appendonlydir/appendonly.aof.1.incr.aof").is_some_and(|log| !log.is_empty())
    );
}

#[test]
fn what_needs_no_key_tells_of_data_too() {
    let server = Running::start(|_| ());
    let (mut writer, mut other) = (server.client(), server.client());
    server.gate.close();
    writer.send("SET a 1");
    server.gate.wait_for_sync();
    let asked = [
        ("DBSIZE", ":1"),
        ("KEYS *", "*1\n$1\na"),
        ("RANDOMKEY", "$1\na"),
        ("SCAN 0", "*2\n$1\n0\n*1\n$1\na"),
        ("SETNX a 2", ":0"),
    ];
    let mut readers = asked.map(|(request, _)| {
        let mut reader = server.client();
        reader.send(request);
        reader.expect_nothing(&mut other);
        reader
    });
    server.gate.open();
    writer.expect("+OK");
    for (reader, (_, reply)) in readers.iter_mut().zip(asked) {
        reader.expect(reply);
    }
}

#[test]
fn a_shutdown_that_the_disk_refuses_leaves_the_log_as_it_was() {
    let server = Running::start(|config| config.appendfsync = AppendFsync::EverySecond);
    let mut client = server.client();
    client.ask("SET before 1", "+OK");
    server.disk.set_capacity(Some(0));
    client.ask("SET waiting 1", "+OK");
    client.ask("SHUTDOWN NOSAVE", "-ERR Errors trying to SHUTDOWN. Check logs.");
    server.disk.set_capacity(None);
    let log = "appendonlydir/appendonly.aof.1.incr.aof";
    let has = |text: &[u8]| {
        server.disk.content(log).is_some_and(|log| log.windows(text.len()).any(|part| part == text))
    };
    let until = std::time::Instant::now() + PATIENCE;
    while !has(b"waiting") {
        assert!(std::time::Instant::now() < until, "what waited is not written");
        client.ask("ECHO on", "$2\non");
    }
    client.ask("SET after 1", "+OK");
    client.send("SHUTDOWN NOSAVE");
    client.expect_end();
    assert!(has(b"before") && has(b"after"));
}

#[test]
fn replies_of_a_connection_keep_their_order() {
    let server = Running::start(|_| ());
    let (mut client, mut other) = (server.client(), server.client());
    server.gate.close();
    client.send("PING\nSET a 1\nECHO x\nINCR a");
    server.gate.wait_for_sync();
    client.send("ECHO y\nGET a");
    client.expect_nothing(&mut other);
    server.gate.open();
    client.expect("+PONG\n+OK\n$1\nx\n:2\n$1\ny\n$1\n2");
}

#[test]
fn a_pipeline_goes_on_while_others_write() {
    const REQUESTS: usize = 20_000;
    let server = Running::start(|_| ());
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|n| {
            let (mut writer, stop) = (server.client(), stop.clone());
            std::thread::spawn(move || {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    count += 1;
                    writer.ask(&format!("INCR n{n}"), &format!(":{count}"));
                }
            })
        })
        .collect();
    let mut client = server.client();
    let mut sender = Client(client.0.try_clone().expect("a clone"));
    let sending = std::thread::spawn(move || sender.send(&"INCR a\n".repeat(REQUESTS)));
    client.expect(&(1..=REQUESTS).map(|n| format!(":{n}\n")).collect::<String>());
    stop.store(true, Ordering::Relaxed);
    for thread in writers.into_iter().chain([sending]) {
        thread.join().expect("all replies as expected");
    }
}

/// A message of keyspace events.
fn message(event: &str, key: &str) -> String {
    let channel = format!("__keyevent@0__:{event}");
    format!("*3\n$7\nmessage\n${}\n{channel}\n${}\n{key}", channel.len(), key.len())
}

#[test]
fn messages_wait_for_their_own_sync_and_no_other() {
    let server = Running::start(|_| ());
    let (mut subscriber, mut first, mut second) = (server.client(), server.client(), server.client());
    let mut other = server.client();
    other.ask("CONFIG SET notify-keyspace-events Es", "+OK");
    subscriber.ask("SUBSCRIBE __keyevent@0__:sadd", "*3\n$9\nsubscribe\n$19\n__keyevent@0__:sadd\n:1");
    server.gate.close();
    first.send("SADD one 1");
    server.gate.wait_for_sync();
    // The request of a client that only waits for a message is served; its reply keeps its place.
    subscriber.send("PING");
    subscriber.expect_nothing(&mut other);
    subscriber.expect_nothing(&mut other);
    second.send("SADD two 1");
    subscriber.expect_nothing(&mut other);
    server.gate.let_one_pass();
    first.expect(":1");
    subscriber.expect(&message("sadd", "one"));
    subscriber.expect("*2\n$4\npong\n$0\n\n");
    subscriber.expect_nothing(&mut other);
    server.gate.let_one_pass();
    second.expect(":1");
    subscriber.expect(&message("sadd", "two"));
}

#[test]
fn a_connection_ends_behind_what_is_held() {
    let server = Running::start(|_| ());
    let (mut quits, mut stops, mut other) = (server.client(), server.client(), server.client());
    server.gate.close();
    quits.send("SET a 1\nQUIT");
    server.gate.wait_for_sync();
    stops.send("SET b 1");
    stops.0.shutdown(Shutdown::Write).expect("shut down");
    quits.expect_nothing(&mut other);
    stops.expect_nothing(&mut other);
    server.gate.open();
    quits.expect("+OK\n+OK");
    quits.expect_end();
    stops.expect("+OK");
    stops.expect_end();
}

#[test]
fn what_is_held_is_lost_with_its_connection() {
    let server = Running::start(|_| ());
    let (mut killed, mut other) = (server.client(), server.client());
    let id = killed.ask_number("CLIENT ID");
    server.gate.close();
    killed.send("SET a 1");
    server.gate.wait_for_sync();
    other.ask(&format!("CLIENT KILL ID {id}"), ":1");
    killed.expect_end();
    // The next connection gets the same place.
    let mut next = server.client();
    next.send("SET a 2 GET");
    next.expect_nothing(&mut other);
    server.gate.open();
    next.expect("$1\n1");
}

#[test]
fn what_is_held_counts() {
    let server = Running::start(|_| ());
    let (mut client, mut other) = (server.client(), server.client());
    let id = client.ask_number("CLIENT ID");
    other.ask("SETRANGE big 299999 x", ":300000");
    server.gate.close();
    client.send("SET a 1\nGET big");
    server.gate.wait_for_sync();
    client.expect_nothing(&mut other);
    let line = other.ask_text(&format!("CLIENT LIST ID {id}"));
    assert!(field(&line, "omem") >= 300_000 && field(&line, "tot-mem") >= 300_000, "{line}");
    server.gate.open();
    client.expect(&format!("+OK\n$300000\n{}x", "\0".repeat(299_999)));
    let line = other.ask_text(&format!("CLIENT LIST ID {id}"));
    assert_eq!(field(&line, "omem"), 0, "{line}");
}

#[test]
fn limits_hold_for_what_is_held() {
    for (limit, counter) in [
        ("client-output-buffer-limit 'normal 200kb 0 0'", "client_output_buffer_limit_disconnections:1"),
        ("maxmemory-clients 250kb", "evicted_clients:1"),
    ] {
        let server = Running::start(|_| ());
        let (mut client, mut other) = (server.client(), server.client());
        other.ask(&format!("CONFIG SET {limit}"), "+OK");
        other.ask("SETRANGE big 299999 x", ":300000");
        server.gate.close();
        client.send("SET a 1");
        server.gate.wait_for_sync();
        client.expect_nothing(&mut other);
        assert!(!other.ask_text("INFO stats").contains(counter));
        let mut client = server.client();
        client.send("SET a 1\nGET big");
        client.expect_end();
        assert!(other.ask_text("INFO stats").contains(counter), "{limit}");
    }
}

#[test]
fn waitaof_waits_for_the_sync() {
    const NO_LOG: &str = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    let server = Running::start(|config| config.appendfsync = AppendFsync::EverySecond);
    let (mut client, mut gone, mut other) = (server.client(), server.client(), server.client());
    server.gate.close();
    client.ask("SET a 1", "+OK");
    // There may have been a sync before it.
    client.ask("WAITAOF 1 0 1", "*2\n:0\n:0");
    client.send("WAITAOF 1 0 0\nPING");
    server.gate.wait_for_sync();
    client.expect_nothing(&mut other);
    gone.send("SET b 1\nWAITAOF 1 0 0");
    gone.expect("+OK");
    gone.expect_nothing(&mut other);
    drop(gone);
    other.ask("SET c 1", "+OK");
    other.ask("WAITAOF 1 0 50", "*2\n:0\n:0");
    server.gate.open();
    client.expect("*2\n:1\n:0\n+PONG");
    other.ask("WAITAOF 1 0 0", "*2\n:1\n:0");
    other.ask("CONFIG SET appendfsync no", "+OK");
    client.ask("SET a 2", "+OK");
    client.send("WAITAOF 1 0 0");
    client.expect_nothing(&mut other);
    other.ask("CONFIG SET appendonly no", "+OK");
    client.expect(NO_LOG);
    client.ask("WAITAOF 1 0 0", NO_LOG);
}

#[test]
fn waitaof_waits_for_the_first_base() {
    let server = Running::start(|config| config.appendonly = false);
    let (mut client, mut other) = (server.client(), server.client());
    client.ask("SET a 1", "+OK");
    server.gate.close();
    client.ask("CONFIG SET appendonly yes", "+OK");
    client.send("WAITAOF 1 0 0");
    server.gate.wait_for_sync();
    client.expect_nothing(&mut other);
    server.gate.open();
    client.expect("*2\n:1\n:0");
    assert!(server.disk.content("appendonlydir/appendonly.aof.1.base.rdb").is_some());
}
