//! Payloads of DUMP between this server and the real ones, in both directions: what a peer dumps is restored
//! here, dumped again and restored there, and the peer finds both keys the same. And digests of the same data on both sides.
//!
//! The peers are those that tests/compat/peers.sh builds below `$PEERS` (default `~/.cache/peers`), or the
//! `redis-server` of the distribution; without one a test says so and passes. `REDLOOP_FUZZ_SEED` repeats a run.

use std::collections::BTreeSet;
use std::path::PathBuf;

#[path = "support/peer.rs"]
mod peer;
#[path = "support/recipes.rs"]
mod recipes;

use peer::{Answer, Peer, built};
use recipes::recipe;
use redloop::base::ids::ClientId;
use redloop::base::rng::Rng;
use redloop::commands::FAMILIES;
use redloop::engine::Engine;
use redloop::engine::clients::session::Peer as Address;
use redloop::resp::{OwnedArgs, Reply};
use redloop::services::config::{Config, ProtectedAction};
use redloop::sys::clock::Clock;

fn is_redis_8(peer: &mut Peer) -> bool {
    peer.ask_line("INFO server").text().contains("redis_version:8.")
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
        for request in recipe(rng, "there", true) {
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
    if !is_redis_8(&mut peer) {
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
        let requests = recipe(&mut rng, "there", true);
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

/// DEBUG DIGEST is the same for the same data, whatever they are. Valkey's leaves deadlines of fields out.
fn same_digests(test: &str, programs: &[PathBuf], field_deadlines: bool) {
    let Some(mut peer) = Peer::start(test, programs, &[]) else { return };
    let mut rng = Rng::new(seed());
    let config = Config { enable_debug_command: ProtectedAction::Yes, ..Config::default() };
    let mut ours = Ours::new(config);
    for round in 0..6 {
        let mut both = |words: &[Vec<u8>]| {
            let (here, there) = (ours.ask(words), peer.ask(words));
            assert!(!there.text().starts_with('-'), "{} answers {there:?}", words[0].escape_ascii());
            (here, there)
        };
        let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        for n in 0..60 {
            if n % 20 == 0 {
                both(&words(&format!("SELECT {}", rng.below(16))));
            }
            let key = format!("key:{n}");
            recipe(&mut rng, &key, field_deadlines).iter().for_each(|request| drop(both(request)));
            both(&words(&format!("ZADD scores:{n} {} a -0 b inf c", rng.unit())));
            if rng.below(4) == 0 {
                both(&words(&format!("PEXPIREAT {key} {}", 4_000_000_000_000 + rng.below(1 << 40))));
            }
            let (here, there) = both(&words(&format!("DEBUG DIGEST-VALUE {key} scores:{n} none")));
            assert_eq!(here, there, "{test} round {round}: {:?}", both(&words(&format!("TYPE {key}"))));
        }
        let (here, there) = both(&words("DEBUG DIGEST"));
        assert_eq!(here, there, "{test} round {round}");
        both(&words("FLUSHALL"));
    }
}

#[test]
fn digests_of_redis_8_0() {
    same_digests("digest-8.0", &[built("redis", "redis-server")], true);
}

#[test]
fn digests_of_redis_8_6() {
    same_digests("digest-8.6", &[built("redis-8.6", "redis-server")], true);
}

#[test]
fn digests_of_valkey_9_1() {
    same_digests("digest-valkey", &[built("valkey", "valkey-server")], false);
}

/// What the Redis of the distribution dumps, whichever it is, comes here; newer payloads don't go there.
#[test]
fn redis_of_the_distribution() {
    let Some(mut peer) = Peer::start("distribution", &["redis-server".into()], &[]) else { return };
    let mut rng = Rng::new(seed());
    let mut ours = Ours::new(Config::default());
    for _ in 0..150 {
        for request in recipe(&mut rng, "there", true) {
            peer.ask(&request);
        }
        let payload = peer.ask_line("DUMP there").bytes();
        let here = [b"RESTORE".as_slice(), b"here", b"0", &payload, b"REPLACE"];
        assert_eq!(ours.ask(&here).text(), "+OK", "{}", payload.escape_ascii());
        peer.ask_line("FLUSHALL");
    }
}
