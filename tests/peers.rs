//! Payloads of DUMP between this server and the real ones, in both directions: what a peer dumps is restored
//! here, dumped again and restored there, and the peer finds both keys the same.
//!
//! The peers are those that tests/compat/peers.sh builds below `$PEERS` (default `~/.cache/peers`), or the
//! `redis-server` of the distribution; without one a test says so and passes. `REDLOOP_FUZZ_SEED` repeats a run.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redloop::base::ids::ClientId;
use redloop::base::rng::Rng;
use redloop::commands::FAMILIES;
use redloop::engine::Engine;
use redloop::engine::clients::session::Peer as Address;
use redloop::resp::{OwnedArgs, Reply};
use redloop::services::config::Config;
use redloop::sys::clock::Clock;

const PATIENCE: Duration = Duration::from_secs(20);

/// A reply.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Line(String),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Answer>),
}

impl Answer {
    fn read(from: &mut impl BufRead) -> Answer {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).expect("a reply");
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        let count = |text: &str| text[1..].parse::<i64>().expect("a length");
        match line.as_bytes()[0] {
            b'$' if count(line) >= 0 => {
                let mut bytes = vec![0; count(line) as usize + 2];
                from.read_exact(&mut bytes).expect("a reply");
                bytes.truncate(bytes.len() - 2);
                Answer::Bulk(bytes)
            }
            b'*' if count(line) >= 0 => Answer::Array((0..count(line)).map(|_| Answer::read(from)).collect()),
            b'$' | b'*' => Answer::Nil,
            _ => Answer::Line(line.to_string()),
        }
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Answer::Bulk(bytes) => bytes,
            other => panic!("{other:?} is no string"),
        }
    }

    fn text(&self) -> String {
        match self {
            Answer::Line(line) => line.clone(),
            Answer::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        }
    }
}

/// A real server; it is killed when dropped.
struct Peer {
    process: Child,
    folder: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Peer {
    /// Starts the first of these programs that there is.
    fn start(test: &str, programs: &[PathBuf], options: &[&str]) -> Option<Peer> {
        let folder = std::env::temp_dir().join(format!("redloop-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the peer");
        let socket = folder.join("socket");
        let spawn = |program: &PathBuf| {
            let mut command = Command::new(program);
            command.args(["--port", "0", "--save", "", "--enable-debug-command", "yes", "--unixsocket"]);
            command.arg(&socket).arg("--dir").arg(&folder).args(options);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        };
        let Some(mut process) = programs.iter().find_map(spawn) else {
            println!("{test}: skipped, there is no server of {programs:?}");
            let _ = std::fs::remove_dir_all(&folder);
            return None;
        };
        let start = Instant::now();
        loop {
            if let Ok(stream) = UnixStream::connect(&socket) {
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                return Some(Peer { process, folder, stream: BufReader::new(stream) });
            }
            let ended = process.try_wait().expect("a process");
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "the peer doesn't start: {ended:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn ask<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Answer {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words.iter().map(AsRef::as_ref) {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).expect("the peer listens");
        Answer::read(&mut self.stream)
    }

    fn ask_line(&mut self, line: &str) -> Answer {
        self.ask(&line.split(' ').collect::<Vec<_>>())
    }

    fn is_redis_8(&mut self) -> bool {
        self.ask_line("INFO server").text().contains("redis_version:8.")
    }
}

fn built(tree: &str, program: &str) -> PathBuf {
    let peers = std::env::var_os("PEERS").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cache/peers"))
    });
    peers.unwrap_or_default().join(tree).join("src").join(program)
}

/// This server, without a socket.
struct Ours {
    engine: Engine,
    client: ClientId,
}

impl Ours {
    fn new(config: Config) -> Ours {
        let mut engine = Engine::new(FAMILIES, config, Clock::real(), 5);
        engine.start_turn();
        let client = engine.connect(0, 0, Address::Internal);
        Ours { engine, client }
    }

    fn ask<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Answer {
        let request = OwnedArgs::from_parts(words.iter());
        let mut reply = Reply::new(Vec::new(), false);
        self.engine.execute_one(self.client, request.as_args(), &mut reply);
        Answer::read(&mut reply.bytes())
    }
}

fn seed() -> u64 {
    let given = std::env::var("REDLOOP_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(u64::from(std::process::id()));
    println!("REDLOOP_FUZZ_SEED={seed}");
    seed
}

fn text(rng: &mut Rng, longest: u64) -> Vec<u8> {
    let len = rng.below(longest) as usize;
    match rng.below(4) {
        0 => (rng.next_u64() as i64 >> rng.below(64)).to_string().into_bytes(),
        1 => format!("item:{}", rng.below(5000)).into_bytes(),
        2 => vec![b'a' + rng.below(26) as u8; len],
        _ => {
            let mut bytes = vec![0; len];
            rng.fill(&mut bytes);
            bytes
        }
    }
}

/// Requests that make a random value at `key`.
fn recipe(rng: &mut Rng, key: &str) -> Vec<Vec<Vec<u8>>> {
    let count = [1, 5, 60, 700][rng.below(4) as usize];
    let longest = [12, 60, 300][rng.below(3) as usize];
    let words = |name: &str| vec![name.as_bytes().to_vec(), key.as_bytes().to_vec()];
    let mut requests = Vec::new();
    match rng.below(8) {
        0 => requests.push([words("SET"), vec![text(rng, 20_000)]].concat()),
        1 => requests.push([words("SET"), vec![rng.next_u64().to_string().into_bytes()]].concat()),
        2 => {
            let mut request = words("RPUSH");
            request.extend((0..count).map(|_| text(rng, longest)));
            if rng.below(3) == 0 {
                request.push(vec![b'x'; 9000]);
            }
            requests.push(request);
        }
        3 => {
            let mut request = words("SADD");
            let wide = 1 << rng.below(60);
            request.extend((0..count).map(|_| (rng.below(wide) as i64 - 50).to_string().into_bytes()));
            requests.push(request);
        }
        4 => {
            let mut request = words("SADD");
            request.extend((0..count).map(|_| text(rng, longest)));
            requests.push(request);
        }
        5 => {
            let mut request = words("ZADD");
            for _ in 0..count {
                let score = [rng.unit() * 1e9, rng.below(100) as f64, 1e-7, -1e300][rng.below(4) as usize];
                request.extend([score.to_string().into_bytes(), text(rng, longest)]);
            }
            requests.push(request);
        }
        6 => {
            let mut request = words("HSET");
            let fields: Vec<Vec<u8>> = (0..count).map(|_| text(rng, longest)).collect();
            request.extend(fields.iter().flat_map(|field| [field.clone(), text(rng, longest)]));
            requests.push(request);
            if rng.below(2) == 0 {
                for field in fields.iter().step_by(1 + rng.below(4) as usize) {
                    let mut request = words("HPEXPIREAT");
                    let moment = 4_000_000_000_000 + rng.below(1 << 40);
                    request.push(moment.to_string().into_bytes());
                    request.extend([b"FIELDS".to_vec(), b"1".to_vec(), field.clone()]);
                    requests.push(request);
                }
            }
        }
        _ => stream_recipe(rng, key, count, longest, &mut requests),
    }
    requests
}

fn stream_recipe(rng: &mut Rng, key: &str, count: u64, longest: u64, requests: &mut Vec<Vec<Vec<u8>>>) {
    let mut push =
        |line: String| requests.push(line.split(' ').map(|word| word.as_bytes().to_vec()).collect());
    for n in 1..=count {
        if rng.below(3) == 0 {
            push(format!("XADD {key} {n}-{n} a {n} b {}", rng.below(50)));
        } else {
            push(format!(
                "XADD {key} {n}-{n} field{} {}",
                n % 3,
                "v".repeat(1 + rng.below(longest) as usize)
            ));
        }
    }
    for _ in 0..count / 5 {
        let id = 1 + rng.below(count);
        push(format!("XDEL {key} {id}-{id}"));
    }
    if rng.below(2) == 0 {
        push(format!("XGROUP CREATE {key} group 0"));
        push(format!("XGROUP CREATE {key} untouched 3 ENTRIESREAD 2"));
        push(format!("XGROUP CREATECONSUMER {key} group idle"));
        for n in 0..3 {
            let some = 1 + rng.below(count);
            push(format!("XREADGROUP GROUP group consumer{n} COUNT {some} STREAMS {key} >"));
        }
        push(format!("XACK {key} group 2-2 3-3"));
    }
}

/// What a server says of a key besides its digest.
fn details(ask: &mut dyn FnMut(&[&str]) -> Answer, key: &str) -> (String, Option<Answer>) {
    let encoding = ask(&["OBJECT", "ENCODING", key]).text();
    let more = match encoding.as_str() {
        "stream" => Some(ask(&["XINFO", "STREAM", key, "FULL", "COUNT", "0"])),
        "listpackex" | "hashtable" if ask(&["TYPE", key]).text() == "+hash" => Some(ask(&["HGETALL", key])),
        _ => None,
    };
    (encoding, more)
}

/// Encodings that differ for reasons of the peer's own.
fn comparable(encoding: &str) -> &str {
    if encoding == "embstr" { "raw" } else { encoding }
}

/// Takes keys of a peer here and back again; answers which encodings were among them.
fn cross(peer: &mut Peer, ours: &mut Ours, rng: &mut Rng, rounds: usize) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for round in 0..rounds {
        for request in recipe(rng, "there") {
            let answer = peer.ask(&request);
            assert!(!answer.text().starts_with('-'), "{} answers {answer:?}", request[0].escape_ascii());
        }
        let payload = peer.ask_line("DUMP there").bytes();
        // A table that was made for more than it holds comes back smaller, there as well as here.
        let again = [b"RESTORE".as_slice(), b"again", b"0", &payload];
        assert_eq!(peer.ask(&again).text(), "+OK");
        let here = [b"RESTORE".as_slice(), b"here", b"0", &payload, b"REPLACE"];
        assert_eq!(ours.ask(&here).text(), "+OK", "round {round}: {}", payload.escape_ascii());
        let payload = ours.ask(&["DUMP", "here"]).bytes();
        let back = [b"RESTORE".as_slice(), b"back", b"0", &payload, b"REPLACE"];
        assert_eq!(peer.ask(&back).text(), "+OK", "round {round}: {}", payload.escape_ascii());

        let digests = peer.ask_line("DEBUG DIGEST-VALUE there back");
        let Answer::Array(digests) = digests else { panic!("{digests:?}") };
        assert_eq!(digests[0], digests[1], "round {round}: the value is another");
        let there = details(&mut |words| peer.ask(words), "again");
        let back = details(&mut |words| peer.ask(words), "back");
        assert_eq!((comparable(&there.0), sorted(there.1)), (comparable(&back.0), sorted(back.1)));
        let here = ours.ask(&["OBJECT", "ENCODING", "here"]).text();
        assert_eq!(comparable(&here), comparable(&there.0), "round {round}");
        seen.insert(there.0);
        peer.ask_line("FLUSHALL");
    }
    seen
}

/// A hash's fields come in any order.
fn sorted(answer: Option<Answer>) -> Option<Answer> {
    let Some(Answer::Array(items)) = answer else { return answer };
    let flat = items.iter().all(|item| matches!(item, Answer::Bulk(_)));
    if !flat {
        return Some(Answer::Array(items));
    }
    let mut pairs: Vec<String> = items.chunks(2).map(|pair| format!("{pair:?}")).collect();
    pairs.sort();
    Some(Answer::Line(pairs.concat()))
}

#[test]
fn redis_8() {
    let Some(mut peer) = Peer::start("redis", &[built("redis", "redis-server"), "redis-server".into()], &[])
    else {
        return;
    };
    if !peer.is_redis_8() {
        println!("redis_8: skipped, the server is another");
        return;
    }
    let mut rng = Rng::new(seed());
    let mut ours = Ours::new(Config::default());
    let seen = cross(&mut peer, &mut ours, &mut rng, 400);
    let all = [
        "embstr",
        "hashtable",
        "int",
        "intset",
        "listpack",
        "listpackex",
        "quicklist",
        "raw",
        "skiplist",
        "stream",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);

    peer.ask_line("CONFIG SET list-compress-depth 1 list-max-listpack-size 20 rdbcompression no");
    let mut config = Config::default();
    config.limits.list_compress_depth = 2;
    config.limits.list_max_listpack_size = 20;
    cross(&mut peer, &mut Ours::new(config), &mut rng, 100);
}

/// Valkey takes payloads of Redis's newer versions only when configured so, and no hash with deadlines of fields.
#[test]
fn valkey_9() {
    let options = ["--rdb-version-check", "relaxed"];
    let Some(mut peer) = Peer::start("valkey", &[built("valkey", "valkey-server")], &options) else {
        return;
    };
    let mut rng = Rng::new(seed());
    let mut ours = Ours::new(Config::default());
    for _ in 0..150 {
        let requests = recipe(&mut rng, "there");
        let volatile = requests.iter().any(|request| request[0] == b"HPEXPIREAT");
        for request in requests {
            peer.ask(&request);
        }
        let payload = peer.ask_line("DUMP there").bytes();
        let here = [b"RESTORE".as_slice(), b"here", b"0", &payload, b"REPLACE"];
        assert_eq!(ours.ask(&here).text(), "+OK", "{}", payload.escape_ascii());
        let payload = ours.ask(&["DUMP", "here"]).bytes();
        if volatile {
            assert!(matches!(payload[0], 24 | 25), "{}", payload.escape_ascii());
        } else {
            let back = [b"RESTORE".as_slice(), b"back", b"0", &payload, b"REPLACE"];
            assert_eq!(peer.ask(&back).text(), "+OK", "{}", payload.escape_ascii());
            let digests = peer.ask_line("DEBUG DIGEST-VALUE there back");
            let Answer::Array(digests) = digests else { panic!("{digests:?}") };
            assert_eq!(digests[0], digests[1], "the value is another");
        }
        peer.ask_line("FLUSHALL");
    }
}

/// What the Redis of the distribution dumps, whichever it is, comes here; newer payloads don't go there.
#[test]
fn redis_of_the_distribution() {
    let Some(mut peer) = Peer::start("distribution", &["redis-server".into()], &[]) else { return };
    let mut rng = Rng::new(seed());
    let mut ours = Ours::new(Config::default());
    for _ in 0..150 {
        for request in recipe(&mut rng, "there") {
            peer.ask(&request);
        }
        let payload = peer.ask_line("DUMP there").bytes();
        let here = [b"RESTORE".as_slice(), b"here", b"0", &payload, b"REPLACE"];
        assert_eq!(ours.ask(&here).text(), "+OK", "{}", payload.escape_ascii());
        peer.ask_line("FLUSHALL");
    }
}
