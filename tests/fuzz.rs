//! A seeded mutation loop over the entry points that cargo-fuzz would use: the request parser and
//! configuration texts. Runs for `REDLOOP_FUZZ_SECONDS` (2 by default) each; the seed is printed, and
//! `REDLOOP_FUZZ_SEED` repeats it.

use std::time::{Duration, Instant};

use redloop::base::rng::Rng;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Mutates the seeds again and again and shows the results to `check`, which must not panic.
fn fuzz(name: &str, corpus: &[&[u8]], check: impl Fn(&[u8], &mut Rng)) {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed = variable("REDLOOP_FUZZ_SEED").unwrap_or(clock.as_nanos() as u64);
    println!("{name}: REDLOOP_FUZZ_SEED={seed}");
    let mut rng = Rng::new(seed);
    let end = Instant::now() + Duration::from_secs(variable("REDLOOP_FUZZ_SECONDS").unwrap_or(2));
    while Instant::now() < end {
        for _ in 0..200 {
            let mut data = corpus[rng.below(corpus.len() as u64) as usize].to_vec();
            for _ in 0..rng.below(8) {
                mutate(&mut data, corpus, &mut rng);
            }
            check(&data, &mut rng);
        }
    }
}

fn mutate(data: &mut Vec<u8>, corpus: &[&[u8]], rng: &mut Rng) {
    let at = rng.below(data.len() as u64 + 1) as usize;
    match rng.below(6) {
        0 if at < data.len() => data[at] = rng.next_u64() as u8,
        1 if at < data.len() => drop(data.remove(at)),
        2 => data.insert(at, b"*$:\r\n\0\"'\\0123456789-"[rng.below(20) as usize]),
        3 => data.truncate(at),
        4 => {
            let other = corpus[rng.below(corpus.len() as u64) as usize];
            let from = rng.below(other.len() as u64) as usize;
            data.splice(at..at, other[from..].iter().copied());
        }
        _ if at < data.len() => data[at] ^= 1 << rng.below(8),
        _ => {}
    }
}

#[test]
fn request_parser() {
    let corpus: &[&[u8]] = &[
        b"*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n",
        b"set a \"b\\x41\\n\" 'c\\'d'\r\nPING\n",
        b"*1000000000\r\n$999999999999\r\n",
        b"*-1\r\n*0\r\n\r\n",
    ];
    fuzz("request parser", corpus, |data, rng| {
        redloop::resp::parser::fuzz_parser(data, rng.below(data.len() as u64 + 1) as usize);
    });
}

#[test]
fn configuration_texts() {
    let corpus: &[&[u8]] = &[
        b"port 6379\nbind 127.0.0.1 -::1\nsave 900 1 300 10\n",
        b"maxmemory 100mb\n# comment\n\nmaxmemory-policy allkeys-lru\nrequirepass \"a b\\x41\"\n",
        b"client-output-buffer-limit pubsub 32mb 8mb 60\nnotify-keyspace-events KEA\ninclude other.conf\n",
        b"user default on nopass ~* +@all\nrename-command FLUSHALL \"\"\n",
    ];
    fuzz("configuration texts", corpus, |data, _| redloop::services::config::fuzz_config_text(data));
}
