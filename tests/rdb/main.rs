//! RDB files between this server and the real ones, in both directions: what a peer saves is read here and written again in every format
//! that the peer can read, its check tool accepts it, and the peer that loads it has the same data.
//!
//! The peers are those that tests/compat/peers.sh builds below `$PEERS` (default `~/.cache/peers`), and the `redis-server` of the
//! distribution; what isn't there is named and left out. `REDLOOP_FUZZ_SEED` repeats a run.

mod aof_base;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/recipes.rs"]
mod recipes;

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use peer::{Answer, Peer, built};
use recipes::recipe;
use redloop::base::rng::Rng;
use redloop::services::persist::rdb::{
    Access, Checksum, Family, Finisher, Item, KeyHeader, KeyRecord, Needs, RdbFormat, RdbReader, ReadOptions,
    RecordBuffer, Skipped,
};
use redloop::value::Limits;

/// A real server and its tool.
#[derive(Clone, Debug)]
struct Kind {
    name: &'static str,
    server: PathBuf,
    check: PathBuf,
    family: Family,
    /// The newest version of files that it reads.
    version: u16,
}

/// The server of that name and version, if it is there.
fn kind(name: &'static str) -> Option<Kind> {
    let (tree, family, version) = match name {
        "redis-7.0" => (None, Family::Redis, 10),
        "redis-8.0" => (Some("redis"), Family::Redis, 12),
        "redis-8.6" => (Some("redis-8.6"), Family::Redis, 13),
        _ => (Some("valkey"), Family::Valkey, 80),
    };
    let (prefix, number) = name.split_once('-').expect("a name and a version");
    let program = |what: &str| {
        let program = format!("{prefix}-{what}");
        tree.map_or(PathBuf::from(&program), |tree| built(tree, &program))
    };
    let (server, check) = (program("server"), program("check-rdb"));
    let told = Command::new(&server).arg("--version").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if !told.contains(&format!("v={number}.")) {
        println!("{name}: skipped, {} is another or missing", server.display());
        return None;
    }
    Some(Kind { name, server, check, family, version })
}

fn start(kind: &Kind, purpose: &str) -> Peer {
    start_with(kind, purpose, &[])
}

fn start_with(kind: &Kind, purpose: &str, options: &[&str]) -> Peer {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let name = format!("rdb-{}-{purpose}-{}", kind.name, STARTED.fetch_add(1, Relaxed));
    let peer = Peer::start(&name, std::slice::from_ref(&kind.server), options);
    peer.expect("a server that told its version")
}

fn ask(peer: &mut Peer, line: &str) -> Answer {
    let answer = peer.ask_line(line);
    assert!(!answer.text().starts_with('-'), "{line}: {answer:?}");
    answer
}

fn elements(answer: Answer) -> Vec<Answer> {
    if let Answer::Array(elements) = answer { elements } else { panic!("{answer:?} is no array") }
}

fn seed() -> u64 {
    let given = std::env::var("REDLOOP_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(u64::from(std::process::id()));
    println!("REDLOOP_FUZZ_SEED={seed}");
    seed
}

/// What was in a file.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    keys: usize,
    deadlines: usize,
    functions: usize,
    kinds: std::collections::BTreeSet<u8>,
    resized: u64,
    skipped: Vec<Skipped>,
}

/// Reads a file and writes what is in it in another format.
fn convert(file: &[u8], format: RdbFormat, compress: bool, chunk: usize) -> (Vec<u8>, Seen) {
    let limits = Limits::default();
    let (mut seen, mut chunks) = (Seen::default(), file.chunks(chunk));
    let mut reader = RdbReader::new(ReadOptions { checksum: true, check: false, any_version: false });
    let mut buffer = RecordBuffer::new(format, compress);
    let (mut finisher, mut out) = (Finisher::new(compress, true), Vec::new());
    buffer.magic();
    loop {
        match reader.next(&limits).unwrap_or_else(|error| panic!("{error:?}")) {
            Item::More => match chunks.next() {
                Some(chunk) => reader.feed(chunk),
                None => reader.end_of_input(),
            },
            Item::Aux(name, value) => buffer.aux(&name, &value),
            Item::SelectDb(db) => buffer.select_db(db as u32),
            Item::ResizeDb { keys, deadlines } => {
                seen.resized += keys;
                buffer.resize_db(keys, deadlines);
            }
            Item::Function(source) => {
                seen.functions += 1;
                buffer.function(&source);
            }
            Item::Key(KeyRecord { key, value, deadline, idle, frequency, kind }) => {
                seen.keys += 1;
                seen.deadlines += usize::from(deadline.is_some());
                seen.kinds.insert(kind);
                let access = idle.map(Access::Idle).or(frequency.map(Access::Frequency));
                buffer.record(&KeyHeader { key: &key, deadline, access }, value.as_entry());
                finisher.finish(buffer.take(), &mut out);
            }
            Item::Skipped(skipped) => seen.skipped.push(skipped),
            Item::Format(_) => {}
            Item::End(checksum) => {
                assert_eq!(checksum, Checksum::Matches);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    finisher.finish(buffer.take(), &mut out);
    finisher.end(&mut out);
    (out, seen)
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Array(elements) => format!("[{}]", elements.iter().map(shown).collect::<Vec<_>>().join(" ")),
        other => other.text(),
    }
}

/// Everything that a server says of its data: a digest, the form of each key, streams with their groups, functions.
fn picture(peer: &mut Peer) -> Vec<String> {
    let mut lines = vec![format!("digest {}", ask(peer, "DEBUG DIGEST").text())];
    for db in [0, 5] {
        ask(peer, &format!("SELECT {db}"));
        let mut keys: Vec<String> = elements(ask(peer, "KEYS *")).iter().map(Answer::text).collect();
        keys.sort();
        for key in keys {
            let encoding = ask(peer, &format!("OBJECT ENCODING {key}")).text();
            let encoding = if encoding == "embstr" { "raw" } else { &encoding };
            let deadline = ask(peer, &format!("PEXPIRETIME {key}")).text();
            let stream = match encoding {
                "stream" => shown(&ask(peer, &format!("XINFO STREAM {key} FULL COUNT 0"))),
                _ => String::new(),
            };
            lines.push(format!("{db} {key} {encoding} {deadline} {stream}"));
        }
    }
    lines.push(shown(&ask(peer, "FUNCTION LIST WITHCODE")));
    lines
}

fn assert_same(name: &str, one: &[String], other: &[String]) {
    assert_eq!(one.len(), other.len(), "{name}");
    for (one, other) in one.iter().zip(other) {
        assert_eq!(one, other, "{name}");
    }
}

/// Fills a peer with random values, and returns its picture and its file.
fn fill(kind: &Kind, rng: &mut Rng, field_deadlines: bool) -> (Vec<String>, Vec<u8>) {
    let mut peer = start(kind, "from");
    for n in 0..240 {
        if n == 200 {
            ask(&mut peer, "SELECT 5");
        }
        let key = format!("key:{n}");
        for request in recipe(rng, &key, field_deadlines) {
            let answer = peer.ask(&request);
            assert!(!answer.text().starts_with('-'), "{} answers {answer:?}", request[0].escape_ascii());
        }
        if n % 7 == 0 {
            ask(&mut peer, &format!("PEXPIREAT {key} {}", 4_000_000_000_000u64 + n));
        }
    }
    let source = b"#!lua name=lib\nredis.register_function('f', function() return 1 end)".as_slice();
    assert_eq!(peer.ask(&[b"FUNCTION".as_slice(), b"LOAD", source]).bytes(), b"lib");
    ask(&mut peer, "SAVE");
    // Some collections take a smaller form when they are loaded.
    ask(&mut peer, "DEBUG RELOAD NOSAVE");
    (picture(&mut peer), std::fs::read(peer.folder.join("dump.rdb")).expect("a file"))
}

/// Lets a peer check a file, and `--check-rdb`, which says the same.
fn check(kind: &Kind, file: &std::path::Path) {
    let output = Command::new(&kind.check).arg(file).output().expect("a tool");
    let theirs = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && theirs.contains("looks OK"), "{}: {theirs}", kind.name);
    let ours = Command::new(env!("CARGO_BIN_EXE_redloop")).arg("--check-rdb").arg(file).output();
    let ours = ours.expect("our program");
    assert!(ours.status.success());
    let ours = String::from_utf8_lossy(&ours.stdout);
    // The lines that end so are in both; Valkey's tool has no count of hashes with deadlines of fields.
    for end in ["looks OK! \\o/", " keys read", " expires", " already expired"] {
        let line = |text: &str| text.lines().find(|line| line.ends_with(end)).map(str::to_string);
        assert_eq!(line(&ours), line(&theirs), "{} {end}", kind.name);
    }
}

#[test]
fn damage_has_an_exit_status() {
    let path = std::env::temp_dir().join(format!("redloop-damaged-{}.rdb", std::process::id()));
    std::fs::write(&path, b"REDIS0011\0\x01kxx").expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_redloop")).arg("--check-rdb").arg(&path).output();
    std::fs::remove_file(&path).expect("removed");
    let output = output.expect("our program");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("--- RDB ERROR DETECTED ---\n") && said.contains("Reading key 'k'"), "{said}");
}

/// A peer that has checked and loaded a file.
fn loaded(kind: &Kind, file: &[u8]) -> Peer {
    let mut peer = start(kind, "to");
    // It listens before it looks for a file, which must not be there by then.
    ask(&mut peer, "PING");
    let path = peer.folder.join("dump.rdb");
    std::fs::write(&path, file).expect("written");
    check(kind, &path);
    ask(&mut peer, "DEBUG RELOAD NOSAVE");
    peer
}

/// The formats that a peer can read and that have a place for these data.
fn formats(kind: &Kind, field_deadlines: bool) -> Vec<RdbFormat> {
    let needs = Needs { field_deadlines, ..Needs::default() };
    let lowest = RdbFormat::choose(kind.family, needs);
    let with_streams = RdbFormat::choose(kind.family, Needs { streams: true, ..needs });
    let newest: &[RdbFormat] = match kind.family {
        Family::Redis => &[RdbFormat::REDIS, RdbFormat::REDIS_8_6],
        Family::Valkey => &[RdbFormat::VALKEY],
    };
    let mut formats = [&[lowest, with_streams], newest].concat();
    formats.dedup();
    formats.retain(|format| format.version <= kind.version);
    formats
}

/// The oldest format doesn't say when a consumer was last active.
fn without_active_times(lines: &[String]) -> Vec<String> {
    let one = |line: &String| {
        let mut words: Vec<&str> = line.split(' ').collect();
        for at in 1..words.len() {
            if words[at - 1] == "active-time" {
                words[at] = "?";
            }
        }
        words.join(" ")
    };
    lines.iter().map(one).collect()
}

fn cross(name: &'static str, field_deadlines: bool) {
    let Some(kind) = kind(name) else { return };
    let mut rng = Rng::new(seed());
    let (before, file) = fill(&kind, &mut rng, field_deadlines);
    for (n, format) in formats(&kind, field_deadlines).into_iter().enumerate() {
        let chunk = [1 << 20, 4096, 100][n % 3];
        let (ours, seen) = convert(&file, format, n % 2 == 0, chunk);
        assert_eq!((seen.keys, seen.functions, seen.resized), (240, 1, 240));
        assert_eq!(seen.deadlines, 240usize.div_ceil(7));
        println!("{name}: kinds {:?}, written as {format:?}", seen.kinds);
        let after = picture(&mut loaded(&kind, &ours));
        if format.version < 11 {
            assert_same(name, &without_active_times(&after), &without_active_times(&before));
        } else {
            assert_same(name, &after, &before);
        }
        // And from there it comes back as it went.
        let (_, again) = convert(&ours, format, n % 2 == 0, chunk);
        assert_eq!(
            (again.keys, again.deadlines, again.functions),
            (seen.keys, seen.deadlines, seen.functions)
        );
    }
}

#[test]
fn redis_7_0() {
    cross("redis-7.0", false);
}

#[test]
fn redis_8_0() {
    cross("redis-8.0", true);
    cross("redis-8.0", false);
}

#[test]
fn redis_8_6() {
    cross("redis-8.6", true);
    cross("redis-8.6", false);
}

#[test]
fn valkey_9_1() {
    cross("valkey-9.1", true);
    cross("valkey-9.1", false);
}

/// The formats that have nothing of one family load in all servers to the same data.
#[test]
fn between_servers() {
    let mut rng = Rng::new(seed());
    let kinds: Vec<Kind> =
        ["redis-7.0", "redis-8.0", "redis-8.6", "valkey-9.1"].into_iter().filter_map(kind).collect();
    let Some(from) = kinds.last() else { return };
    let (_, file) = fill(from, &mut rng, false);
    let mut digests = Vec::new();
    for kind in &kinds {
        let lowest = RdbFormat::choose(kind.family, Needs::default());
        let mut peer = loaded(kind, &convert(&file, lowest, true, 1 << 16).0);
        let mut lines = Vec::new();
        for n in 0..200 {
            let kind = ask(&mut peer, &format!("TYPE key:{n}")).text();
            // The digest has scores as text, which 7.0 formats otherwise.
            let question = if kind == "+zset" { "ZCARD" } else { "DEBUG DIGEST-VALUE" };
            lines.push(format!("key:{n} {kind} {}", shown(&ask(&mut peer, &format!("{question} key:{n}")))));
        }
        digests.push((kind.name, lines));
    }
    for (name, lines) in &digests[1..] {
        assert_same(&format!("{} and {name}", digests[0].0), lines, &digests[0].1);
    }
}

/// How long and how often keys were used comes here and goes back.
#[test]
fn idle_times_and_frequencies() {
    let Some(kind) = kind("redis-8.0") else { return };
    for (policy, option, question) in
        [("allkeys-lru", "IDLETIME 5000", "OBJECT IDLETIME"), ("volatile-lfu", "FREQ 77", "OBJECT FREQ")]
    {
        let mut peer = start(&kind, "use");
        ask(&mut peer, &format!("CONFIG SET maxmemory-policy {policy} lfu-decay-time 0"));
        ask(&mut peer, "SET other value");
        let payload = peer.ask_line("DUMP other").bytes();
        let mut restore = vec![b"RESTORE".to_vec(), b"key".to_vec(), b"0".to_vec(), payload];
        restore.extend(option.split(' ').map(|word| word.as_bytes().to_vec()));
        assert_eq!(peer.ask(&restore).text(), "+OK");
        ask(&mut peer, "SAVE");
        let path = peer.folder.join("dump.rdb");
        let (ours, seen) = convert(&std::fs::read(&path).expect("a file"), RdbFormat::REDIS, true, 100);
        assert_eq!(seen.keys, 2);
        ask(&mut peer, "FLUSHALL");
        std::fs::write(&path, ours).expect("written");
        ask(&mut peer, "DEBUG RELOAD NOSAVE");
        let used = ask(&mut peer, &format!("{question} key")).text();
        let used: u64 = used.trim_start_matches(':').parse().expect("a number");
        let expected = if policy == "allkeys-lru" { 5000..=5020 } else { 77..=77 };
        assert!(expected.contains(&used), "{policy}: {used}");
    }
}

/// Streams of Redis 8.6 remember identifiers of requests.
#[test]
fn streams_with_identifiers_of_requests() {
    let Some(kind) = kind("redis-8.6") else { return };
    let mut peer = start(&kind, "idmp");
    for line in [
        "XADD s IDMP producer1 request1 * a b",
        "XADD s IDMP producer1 request2 * a b",
        "XADD s IDMP producer2 request1 * a b",
        "XADD s IDMP producer2 request1 * a b",
        "XADD s IDMPAUTO producer2 * a b",
        "XADD s * a b",
        "XADD t * a b",
        "XCFGSET t IDMP-DURATION 200 IDMP-MAXSIZE 300",
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g c COUNT 2 STREAMS s >",
    ] {
        ask(&mut peer, line);
    }
    ask(&mut peer, "SET after x");
    ask(&mut peer, "SAVE");
    const QUESTIONS: [&str; 6] =
        ["XRANGE s - +", "XPENDING s g - + 9", "GET after", "DBSIZE", "XINFO STREAM s", "XINFO STREAM t"];
    let before = QUESTIONS.map(|line| shown(&ask(&mut peer, line)));
    assert!(before[4].contains("iids-tracked :4 iids-added :4 iids-duplicates :1"), "{}", before[4]);
    let path = peer.folder.join("dump.rdb");
    let file = std::fs::read(&path).expect("a file");
    for chunk in [1, 1 << 20] {
        let (ours, seen) = convert(&file, RdbFormat::REDIS_8_6, false, chunk);
        assert!(seen.kinds.contains(&26), "{seen:?}");
        std::fs::write(&path, ours).expect("written");
        check(&kind, &path);
        ask(&mut peer, "DEBUG RELOAD NOSAVE");
        let after = QUESTIONS.map(|line| shown(&ask(&mut peer, line)));
        // The idle time goes on.
        let idle = |text: &String| {
            text.split(' ').filter(|word| !word.starts_with(':')).map(str::to_string).collect::<Vec<_>>()
        };
        assert_eq!(after.each_ref().map(idle), before.each_ref().map(idle));
        assert_eq!((&after[0], &after[2..]), (&before[0], &before[2..]));
    }
}
