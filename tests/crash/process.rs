//! The process is killed at random moments: what it finds when it starts again is one moment's state, and none that its promise excludes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redloop::base::rng::Rng;

use crate::ports::free_port;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Keys, and fields of a hash, that are written in turn.
const KEYS: u64 = 1000;
/// Kills of a test in CI; `REDLOOP_CRASH_KILLS` says how many instead.
const KILLS: u64 = 8;
/// `everysec` loses no more than this at the worst: a second, and one in which the last sync is still running.
const EVERYSEC_MS: u64 = 2000;

/// A directory of its own, removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("redloop-crash-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("made");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server that is killed when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(dir: &Path, options: &[&str]) -> Server {
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_redloop"))
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--enable-debug-command", "yes"])
            .args(options)
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        Server { child, port }
    }

    /// A connection, when everything has been loaded.
    fn client(&mut self) -> Client {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < PATIENCE, "the server doesn't answer");
            assert!(matches!(self.child.try_wait(), Ok(None)), "the server doesn't start");
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                let mut client = Client::new(stream);
                if client.ask("PING").is_some_and(|reply| reply == "+PONG") {
                    return client;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn new(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        Client(BufReader::new(stream))
    }

    fn send(&mut self, lines: &str) -> bool {
        self.0.get_mut().write_all(lines.as_bytes()).is_ok()
    }

    /// A reply's line, for a bulk string its content; `None` when the server has gone.
    fn reply(&mut self) -> Option<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_string();
        let Some(len) = line.strip_prefix('$').and_then(|len| len.parse::<usize>().ok()) else {
            return Some(line);
        };
        let mut bytes = vec![0; len + 2];
        self.0.read_exact(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }

    fn ask(&mut self, line: &str) -> Option<String> {
        self.send(&format!("{line}\r\n")).then(|| self.reply())?
    }

    /// The strings of an array.
    fn list(&mut self, line: &str) -> Vec<String> {
        let head = self.ask(line).expect("a reply");
        let count = head.strip_prefix('*').and_then(|count| count.parse().ok()).expect("an array");
        (0..count).map(|_| self.reply().expect("an element")).collect()
    }
}

/// The number of the last write that a server has, of which the data is as it was after it: 0 without data.
fn last_write(client: &mut Client) -> u64 {
    let number = |text: &String| text.parse::<u64>().unwrap_or(0);
    let last = client.ask("GET last").map_or(0, |text| number(&text));
    if last == 0 {
        return 0;
    }
    let keys: Vec<String> = (0..KEYS).map(|key| format!("key:{key}")).collect();
    let strings = client.list(&format!("MGET {}", keys.join(" ")));
    let fields = client.list(&format!("HMGET hash {}", keys.join(" ")));
    for (key, (string, field)) in (0..KEYS).zip(strings.iter().zip(&fields)) {
        // The last write that went to this key.
        let expected = last.saturating_sub((last + KEYS - key) % KEYS);
        let found = if expected == 0 && number(string) == 0 { 0 } else { number(string) };
        assert_eq!(found, expected, "key {key} after write {last}");
        assert_eq!(number(field), expected, "field {key} after write {last}");
    }
    let list = client.list("LRANGE list 0 -1");
    let numbers: Vec<u64> = list.iter().map(number).collect();
    assert_eq!(numbers, (last.saturating_sub(KEYS - 1).max(1)..=last).collect::<Vec<_>>());
    last
}

/// What a writer has had acknowledged.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicU64,
    sent: AtomicU64,
    stop: AtomicBool,
}

/// Writes numbers in order, each in a transaction, until the server is gone.
fn write(mut client: Client, first: u64, progress: &Progress) {
    // One request on its way while the next is written, so that a turn has more than one.
    let mut number = first;
    let mut waiting = 0;
    while !progress.stop.load(Ordering::Relaxed) {
        let key = number % KEYS;
        let transaction = format!(
            "MULTI\r\nSET key:{key} {number}\r\nHSET hash key:{key} {number}\r\nRPUSH list {number}\r\n\
             LTRIM list -{KEYS} -1\r\nSET last {number}\r\nEXEC\r\n"
        );
        progress.sent.store(number, Ordering::Relaxed);
        if !client.send(&transaction) {
            return;
        }
        number += 1;
        waiting += 1;
        if waiting == 2 {
            waiting = 1;
            // OK, five times QUEUED, the array and its elements.
            for _ in 0..12 {
                if client.reply().is_none() {
                    return;
                }
            }
            progress.acknowledged.fetch_max(number - 2, Ordering::Relaxed);
        }
    }
}

/// What happens between a start and a kill.
struct Rounds<'a> {
    name: &'a str,
    options: &'a [&'a str],
    /// Commands that are sent now and then.
    commands: &'a [&'a str],
    /// Whether nothing that was acknowledged may be lost.
    keeps_all: bool,
    /// Whether nothing may be lost that was acknowledged longer ago than [`EVERYSEC_MS`]: the first round lasts longer than that.
    keeps_old: bool,
}

fn run(rounds: &Rounds<'_>) {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let seed = std::env::var("REDLOOP_CRASH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(nanos);
    let kills =
        std::env::var("REDLOOP_CRASH_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    println!("{}: REDLOOP_CRASH_SEED={seed}", rounds.name);
    let mut rng = Rng::new(seed);
    let dir = Directory::new(rounds.name);
    let (mut last, mut saved) = (0, 0);
    for kill in 0..=kills {
        let mut server = Server::start(&dir.0, rounds.options);
        let mut client = server.client();
        let found = last_write(&mut client);
        let floor = if rounds.keeps_all { last } else { saved };
        assert!(found >= floor, "seed {seed}, kill {kill}: {found} is what is left of {floor}");
        if kill == kills {
            assert!(found > 0, "seed {seed}: nothing was ever saved");
            return;
        }
        if kill == 0 {
            client.ask("DEBUG POPULATE 20000 filler 100").expect("a reply");
        }
        let progress = Arc::new(Progress::default());
        let (shared, writer) = (progress.clone(), server.client());
        let thread = std::thread::spawn(move || write(writer, found + 1, &shared));
        let is_long = rounds.keeps_old && kill == 0;
        let millis = if is_long { EVERYSEC_MS + 500 } else { 20 + rng.below(400) };
        let end = Instant::now() + Duration::from_millis(millis);
        saved = found;
        while Instant::now() < end {
            let before = progress.acknowledged.load(Ordering::Relaxed);
            if rng.below(3) == 0
                && let Some(command) =
                    rounds.commands.get(rng.below(rounds.commands.len() as u64 + 1) as usize)
            {
                let reply = client.ask(command).expect("a reply");
                if *command == "SAVE" && reply == "+OK" {
                    saved = saved.max(before);
                }
            }
            if is_long && Instant::now() + Duration::from_millis(EVERYSEC_MS) < end {
                saved = before;
            }
            std::thread::sleep(Duration::from_millis(rng.below(8)));
        }
        server.kill();
        thread.join().expect("no panic");
        last = progress.acknowledged.load(Ordering::Relaxed).max(found);
        assert!(progress.sent.load(Ordering::Relaxed) > found || last == found);
    }
}

#[test]
fn a_killed_server_has_the_data_of_a_snapshot() {
    run(&Rounds {
        name: "snapshot",
        options: &["--appendonly", "no"],
        commands: &["BGSAVE", "BGSAVE", "BGSAVE CANCEL", "SAVE"],
        keeps_all: false,
        keeps_old: false,
    });
}

#[test]
fn a_killed_server_has_all_that_was_acknowledged_with_appendfsync_always() {
    run(&Rounds {
        name: "always",
        options: &["--appendonly", "yes", "--appendfsync", "always"],
        commands: &["BGREWRITEAOF", "BGSAVE"],
        keeps_all: true,
        keeps_old: false,
    });
}

/// The system has what was written, though it may not be on the disk: only its own end loses it.
#[test]
fn a_killed_server_has_a_whole_log_with_appendfsync_everysec() {
    run(&Rounds {
        name: "everysec",
        options: &["--appendonly", "yes", "--appendfsync", "everysec"],
        commands: &["BGREWRITEAOF", "BGSAVE", "DEBUG SLEEP 0.01"],
        keeps_all: false,
        keeps_old: true,
    });
}
