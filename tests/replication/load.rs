//! A client that writes values of every type, by every kind of command that reaches replicas otherwise than as it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use redloop::base::rng::Rng;

use crate::recipes::recipe;
use crate::support::reply::{Client, Words, words};

/// Keys of a type.
const KEYS: u64 = 12;
/// Databases that are written to.
pub const DATABASES: u64 = 3;

/// Requests as lines: `{s}`, `{l}`, `{t}`, `{z}`, `{h}`, `{x}` are keys of a type (strings, lists, sets, sorted sets, hashes,
/// streams), `{n}` a number, `{m}` a few milliseconds, `{k}` any key.
#[rustfmt::skip]
const LINES: &[&str] = &[
    "SET {s} {n}", "SET {s} {n} PX {m}", "SET {s} {n} KEEPTTL", "SET {s} {n} EX 100 GET", "SETEX {s} 50 {n}", "APPEND {s} {n}",
    "SETRANGE {s} 5 {n}", "INCR {s}", "INCRBYFLOAT {s} 0.{n}", "GETDEL {s}", "GETEX {s} PX {m}", "GETEX {s} PERSIST", "MSET {s} 1 {s} 2",
    "SETNX {s} 1", "BITFIELD {s} SET u8 #{n} 7 INCRBY i5 3 1", "SETBIT {s} {n} 1", "BITOP XOR {s} {s} {s}", "PFADD {s}p {n} a{n}",
    "PFMERGE {s}p {s}p {s}p", "PFCOUNT {s}p {s}p",
    "RPUSH {l} {n} a b", "LPUSH {l} x{n}", "LPOP {l}", "RPOP {l} 2", "LMOVE {l} {l} LEFT RIGHT", "LTRIM {l} 0 20", "LSET {l} 0 new",
    "LINSERT {l} BEFORE a before", "LREM {l} 1 b", "BLPOP {l} {l} 0.001", "BLMOVE {l} {l} RIGHT LEFT 0.001", "LMPOP 2 {l} {l} LEFT COUNT 2",
    "BLMPOP 0.001 1 {l} RIGHT", "SORT {l} ALPHA STORE {l}",
    "SADD {t} {n} b c{n}", "SADD {t} 1 2 3 {n}", "SPOP {t}", "SPOP {t} 3", "SPOP {t} 100000", "SREM {t} b", "SMOVE {t} {t} c1",
    "SUNIONSTORE {t} {t} {t}", "SDIFFSTORE {t} {t} {t}", "SINTERSTORE {t} {t} {t}",
    "ZADD {z} {n} a 1.5 b{n}", "ZADD {z} GT CH {n} a", "ZINCRBY {z} 0.1 a", "ZADD {z} INCR {n} c", "ZPOPMIN {z}", "ZPOPMAX {z} 2",
    "BZPOPMIN {z} {z} 0.001", "ZMPOP 1 {z} MIN", "ZREMRANGEBYRANK {z} 30 -1", "ZREMRANGEBYSCORE {z} 5 6", "ZUNIONSTORE {z} 2 {z} {z}",
    "ZRANGESTORE {z} {z} 0 5", "GEOADD {z}g 13.{n} 38.{n} p{n}", "GEOSEARCHSTORE {z} {z}g FROMLONLAT 13 38 BYRADIUS 900 km",
    "HSET {h} f{n} 1 g 2", "HINCRBY {h} c {n}", "HINCRBYFLOAT {h} d 0.1{n}", "HDEL {h} g f1", "HSETNX {h} new {n}", "HMSET {h} i 1",
    "XADD {x} * a {n}", "XADD {x} MAXLEN ~ 50 * b {n} c d", "XADD {x} NOMKSTREAM MINID = 5 * e f", "XTRIM {x} MAXLEN 30",
    "XGROUP CREATE {x} g 0 MKSTREAM", "XREADGROUP GROUP g c{n} COUNT 3 STREAMS {x} >", "XREADGROUP GROUP g d NOACK COUNT 1 STREAMS {x} >",
    "XAUTOCLAIM {x} g e 0 0 COUNT 2", "XGROUP SETID {x} g $", "XGROUP DESTROY {x} g", "XGROUP CREATECONSUMER {x} g z", "XSETID {x} 9999999999999-1",
    "XGROUP DELCONSUMER {x} g c1",
    "EXPIRE {k} 100", "PEXPIRE {k} {m}", "EXPIREAT {k} 9999999999", "PEXPIRE {k} -1", "EXPIRE {k} 200 GT", "PERSIST {k}", "DEL {k} {k}",
    "UNLINK {k}", "RENAME {k} {k}", "RENAMENX {k} {k}", "COPY {k} {k} REPLACE", "COPY {k} {k} DB 1 REPLACE", "MOVE {k} 2", "TOUCH {k}", "GET {k}",
    "SELECT {d}", "SELECT {d}", "SELECT {d}", "PUBLISH c m", "SWAPDB 1 2", "FLUSHDB ASYNC",
    "FCALL put 1 {s} {n}", "FUNCTION DELETE lib", "FUNCTION FLUSH",
];

/// Lines only for servers that have what streams got with Redis 8.2 to 8.6.
#[rustfmt::skip]
const STREAM_LINES: &[&str] = &[
    "XADD {x} IDMP p {n} * a {n}", "XADD {x} IDMP q{n} 1 * a {n}", "XADD {x} IDMPAUTO p * a {n}", "XADD {x} MAXLEN ~ 20 ACKED IDMP p {n} * a {n}",
    "XADD {x} MAXLEN 9 DELREF * b {n}", "XTRIM {x} MAXLEN ~ 5 LIMIT 10 ACKED", "XTRIM {x} MAXLEN 5 ACKED", "XTRIM {x} MAXLEN 3 DELREF",
    "XCFGSET {x} IDMP-DURATION 86400 IDMP-MAXSIZE 1{n}", "XDELEX {x} ACKED IDS 2 1-1 9999999999999-2", "XDELEX {x} DELREF IDS 1 9999999999999-3",
    "XACKDEL {x} g ACKED IDS 2 9999999999999-2 9999999999999-4", "XREADGROUP GROUP g f COUNT 3 CLAIM 0 STREAMS {x} >",
    "XREADGROUP GROUP g f BLOCK 1 COUNT 3 CLAIM 1 STREAMS {x} >",
];

/// Scripts, with one key of the type that is before the colon and a number.
#[rustfmt::skip]
const SCRIPTS: &[(&str, &str)] = &[
    ("{s}", "return redis.call('set', KEYS[1], redis.call('time')[2])"),
    ("{s}", "redis.call('set', KEYS[1], math.random(1000)) redis.call('pexpire', KEYS[1], 500) return redis.call('incrby', KEYS[1], ARGV[1])"),
    ("{t}", "redis.call('sadd', KEYS[1], 'a', 'b', ARGV[1], 'd') local x = redis.call('spop', KEYS[1]) redis.call('set', 'popped', x) return x"),
    ("{t}", "redis.call('spop', KEYS[1], 2) redis.call('select', 1) redis.call('sadd', KEYS[1], ARGV[1]) redis.call('select', 0)"),
    ("{x}", "return redis.call('xadd', KEYS[1], '*', 'script', ARGV[1])"),
    ("{k}", "if redis.call('exists', KEYS[1]) == 1 then redis.call('expire', KEYS[1], ARGV[1]) end return redis.call('del', 'nosuch')"),
    ("{l}", "redis.call('rpush', KEYS[1], 'x') local ok = redis.pcall('incr', KEYS[1]) redis.call('rpush', KEYS[1], ARGV[1]) error('late')"),
];

const LIBRARY: &[u8] = b"#!lua name=lib\nredis.register_function('put', function(keys, args) return redis.call('set', keys[1], args[1]) end)";

/// Lines only for servers that know deadlines of fields alike.
#[rustfmt::skip]
const FIELD_LINES: &[&str] = &[
    "HPEXPIRE {h} {m} FIELDS 2 g f1", "HEXPIRE {h} 100 FIELDS 1 i", "HPERSIST {h} FIELDS 1 i", "HPEXPIREAT {h} 9999999999999 FIELDS 1 c",
    "HPEXPIRE {h} 0 FIELDS 1 d", "HGETEX {h} PX {m} FIELDS 1 i", "HSETEX {h} EX 100 FIELDS 1 j 1",
];

fn key(rng: &mut Rng, kind: &str) -> String {
    let kinds = ["s", "l", "t", "z", "h", "x"];
    let kind = if kind == "k" { kinds[rng.below(6) as usize] } else { kind };
    format!("{kind}{}", rng.below(KEYS))
}

fn filled(rng: &mut Rng, line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').expect("a place");
        text.push_str(before);
        text.push_str(&match name {
            "n" => rng.below(30).to_string(),
            "m" => (5 + rng.below(400)).to_string(),
            "d" => rng.below(DATABASES).to_string(),
            kind => key(rng, kind),
        });
        rest = after;
    }
    text + rest
}

/// Some requests that belong together.
fn requests(rng: &mut Rng, field_deadlines: bool) -> Vec<Words> {
    let request = |rng: &mut Rng| {
        let line = match field_deadlines && rng.below(8) == 0 {
            true if rng.below(2) == 0 => STREAM_LINES[rng.below(STREAM_LINES.len() as u64) as usize],
            true => FIELD_LINES[rng.below(FIELD_LINES.len() as u64) as usize],
            false => LINES[rng.below(LINES.len() as u64) as usize],
        };
        words(&filled(rng, line))
    };
    match rng.below(20) {
        0 => {
            let name = format!("big{}", rng.below(KEYS));
            let mut requests = recipe(rng, &name, field_deadlines);
            requests.insert(0, words(&format!("DEL {name}")));
            requests
        }
        1..3 => {
            let (kind, script) = SCRIPTS[rng.below(SCRIPTS.len() as u64) as usize];
            let (key, number) = (filled(rng, kind), (1 + rng.below(30)).to_string());
            vec![
                [b"EVAL".as_slice(), script.as_bytes(), b"1", key.as_bytes(), number.as_bytes()]
                    .map(<[u8]>::to_vec)
                    .to_vec(),
            ]
        }
        3 => vec![[b"FUNCTION".as_slice(), b"LOAD", b"REPLACE", LIBRARY].map(<[u8]>::to_vec).to_vec()],
        4..6 => {
            let mut whole = vec![words("MULTI")];
            whole.extend((0..rng.below(6)).map(|_| request(rng)));
            whole.push(words("EXEC"));
            whole
        }
        _ => vec![request(rng)],
    }
}

/// A client that writes until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    /// Requests that were answered.
    pub done: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// Writes to the server on this port; connects again when it is closed.
    pub fn start(port: u16, seed: u64, field_deadlines: bool) -> Load {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let of_thread = (stop.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            let (stop, done) = of_thread;
            let mut rng = Rng::new(seed);
            let mut client: Option<Client> = None;
            while !stop.load(Ordering::Relaxed) {
                if client.is_none() {
                    client = Client::try_connect(port).ok();
                }
                let Some(connected) = &mut client else {
                    std::thread::sleep(Duration::from_millis(10));
                    continue;
                };
                let requests = requests(&mut rng, field_deadlines);
                let is_sent = connected.send(&requests).is_ok();
                if !is_sent || !requests.iter().all(|_| connected.read().is_ok()) {
                    client = None;
                    continue;
                }
                done.fetch_add(requests.len() as u64, Ordering::Relaxed);
            }
        });
        Load { stop, done, thread: Some(thread) }
    }

    /// Waits until it has done so many more requests.
    pub fn wait_for(&self, more: u64) {
        let wanted = self.done.load(Ordering::Relaxed) + more;
        crate::node::eventually("the load", String::new, || self.done.load(Ordering::Relaxed) >= wanted);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
