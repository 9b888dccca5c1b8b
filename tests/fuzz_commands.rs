//! Every command of the table with any arguments, in any order, against an engine without sockets: nothing panics, and
//! each request that is done gets one whole reply. Arguments are drawn from the words that commands look for, names of keys
//! of every type, numbers at the edges and raw bytes.
//!
//! Runs for `REDLOOP_FUZZ_SECONDS` (2 by default); the seed is printed, and `REDLOOP_FUZZ_SEED` repeats it.

use std::time::{Duration, Instant};

use redloop::base::ids::ClientId;
use redloop::base::rng::Rng;
use redloop::commands::FAMILIES;
use redloop::engine::clients::session::Peer;
use redloop::engine::{Engine, ExecStatus};
use redloop::resp::{OwnedArgs, Reply};
use redloop::services::config::{Config, ProtectedAction};
use redloop::sys::clock::Clock;

const KEYS: &[&str] = &[
    "list", "list2", "set", "set2", "hash", "hash2", "zset", "zset2", "stream", "str", "int", "hll", "geo",
    "vec", "vec2", "none",
];

/// What commands look for, and values at their edges.
const WORDS: &str = "EX PX EXAT PXAT NX XX KEEPTTL GET SET LEFT RIGHT COUNT MATCH WITHSCORES WITHVALUES BYSCORE BYLEX REV LIMIT \
    WEIGHTS AGGREGATE SUM MIN MAX STORE ASC DESC ALPHA BY STREAMS GROUP CREATE MKSTREAM BLOCK NOACK IDLE TIME RETRYCOUNT \
    FORCE JUSTID LASTID MAXLEN MINID ~ = LT GT CH INCR FIELDS FNX FXX PERSIST REPLACE ABSTTL IDLETIME FREQ DB IFEQ LEN IDX \
    MINMATCHLEN WITHMATCHLEN NOMKSTREAM ENTRIESREAD FULL SAMPLES AND OR XOR NOT DIFF DIFF1 ANDOR ONE BIT BYTE OVERFLOW \
    WRAP SAT FAIL u8 i64 u63 i1 #1 #-1 km m ft FROMMEMBER FROMLONLAT BYRADIUS BYBOX WITHDIST WITHCOORD WITHHASH ANY STOREDIST \
    TYPE string stream hash NOVALUES NOSCORES DESTROY SETID CREATECONSUMER DELCONSUMER RANK MAXLEN g c1 c2 $ > + - * [a (a [z \
    (1 -inf +inf nan 0-0 0-1 1-1 5-5 1-* 0-18446744073709551615 18446744073709551615-18446744073709551615 0 1 2 -1 -2 3 10 \
    100 1000 9223372036854775807 -9223372036854775808 9223372036854775808 18446744073709551615 4294967295 4294967296 \
    2147483647 1e308 -1e308 1.5 0.1 1e-400 inf a b c field value ON OFF YES NO SYNC ASYNC * ?* [a-z]* ID ADDR LADDR USER \
    SKIPME MAXAGE normal pubsub ALL WRITE TRUE FALSE 0.001 PAUSE USAGE HELP \
    VALUES FP32 ELE REDUCE CAS NOQUANT Q8 BIN EF M SETATTR WITHATTRIBS EPSILON FILTER FILTER-EF TRUTH NOTHREAD RAW .a>0 {\"a\":2} 1234";

/// Subcommands of DEBUG; POPULATE would take its time.
const DEBUG: &str = "AOF-FLUSH-SLEEP CHANGE-REPL-ID CLIENT-ENFORCE-REPLY-LIST CONFIG-REWRITE-FORCE-ALL DICT-RESIZING DIGEST \
    DIGEST-VALUE ERROR HELP HTSTATS HTSTATS-KEY KEYSIZES-HIST-ASSERT LISTPACK LOADAOF LOG OBJECT PANIC PAUSE-CRON PROTOCOL \
    QUICKLIST-PACKED-THRESHOLD RELOAD REPLYBUFFER SDSLEN SET-ACTIVE-EXPIRE SET-DISABLE-DENY-SCRIPTS \
    SET-SKIP-CHECKSUM-VALIDATION SLEEP STRINGMATCH-LEN";

const SETUP: &[&str] = &[
    "RPUSH list 1 2 3 a b c",
    "RPUSH list2 x",
    "SADD set 1 2 3",
    "SADD set2 a b c",
    "HSET hash a 1 b 2 field value",
    "HPEXPIRE hash 1000 FIELDS 1 a",
    "HSET hash2 a x",
    "ZADD zset 1 a 2 b 3 c",
    "ZADD zset2 1 a 1 b 1 c",
    "XADD stream 1-1 a b",
    "XADD stream 5-5 a b c d",
    "XGROUP CREATE stream g 0",
    "XREADGROUP GROUP g c1 COUNT 1 STREAMS stream >",
    "SET str value",
    "SET int 42 PX 1000",
    "PFADD hll a b c",
    "GEOADD geo 13.36 38.11 a 15.08 37.5 b",
    "VADD vec VALUES 2 1 0 a SETATTR {\"a\":1}",
    "VADD vec VALUES 2 0 1 b",
    "VADD vec VALUES 2 1 1 c",
    "VADD vec2 REDUCE 1 VALUES 2 1 2 a BIN",
];

fn pick<'a, T: ?Sized>(rng: &mut Rng, from: &[&'a T]) -> &'a T {
    from[rng.below(from.len() as u64) as usize]
}

fn argument(rng: &mut Rng, words: &[&str]) -> Vec<u8> {
    match rng.below(20) {
        0..=5 => pick(rng, KEYS).into(),
        6..=15 => pick(rng, words).into(),
        16 => (rng.next_u64() as i64).to_string().into(),
        17 => rng.below(3000).to_string().into(),
        18 => (0..rng.below(12)).map(|_| rng.next_u64() as u8).collect(),
        _ => vec![b'x'; rng.below(400) as usize],
    }
}

/// Length of the reply at the start of `bytes`; panics if it isn't one.
fn reply_len(bytes: &[u8]) -> usize {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a line") + 2;
    let text = std::str::from_utf8(&bytes[1..line - 2]).unwrap_or("");
    let count = || text.parse::<i64>().expect("a count").max(0) as usize;
    let parts = |number: usize| (0..number).fold(line, |at, _| at + reply_len(&bytes[at..]));
    match bytes[0] {
        b'+' | b'-' | b':' | b',' | b'#' | b'_' | b'(' => line,
        b'$' | b'=' if text == "-1" => line,
        b'$' | b'=' => {
            let end = line + count() + 2;
            assert_eq!(&bytes[end - 2..end], b"\r\n");
            end
        }
        b'*' | b'~' | b'>' => parts(count()),
        b'%' => parts(2 * count()),
        b'|' => {
            let end = parts(2 * count());
            end + reply_len(&bytes[end..])
        }
        other => panic!("no reply begins with {other}"),
    }
}

struct Bench {
    engine: Engine,
    client: ClientId,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let config = Config { enable_debug_command: ProtectedAction::Yes, ..Config::default() };
        let mut engine = Engine::new(FAMILIES, config, Clock::simulated(1_700_000_000_000), seed);
        engine.start_turn();
        let client = engine.connect(0, 0, Peer::Internal);
        Bench { engine, client }
    }

    fn run(&mut self, words: &[Vec<u8>]) {
        let request = OwnedArgs::from_parts(words.iter());
        if self.engine.clients.sessions.get(self.client).is_none() {
            self.client = self.engine.connect(0, 0, Peer::Internal);
        }
        let mut reply = Reply::new(Vec::new(), self.engine.clients.sessions.live(self.client).resp3);
        let progress = self.engine.execute_one(self.client, request.as_args(), &mut reply);
        match progress {
            ExecStatus::Done if reply.is_empty() => {}
            ExecStatus::Done => {
                let mut at = 0;
                while at < reply.len() {
                    at += reply_len(&reply.bytes()[at..]);
                }
                assert_eq!(at, reply.len());
            }
            ExecStatus::Blocked | ExecStatus::Postponed | ExecStatus::Close => {
                self.engine.disconnect(self.client);
            }
        }
        self.engine.clients.outbox.clear();
        self.engine.actions.clear();
    }
}

#[test]
fn any_command_with_any_arguments() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed: u64 = variable("REDLOOP_FUZZ_SEED").unwrap_or(clock.as_nanos() as u64);
    println!("commands: REDLOOP_FUZZ_SEED={seed}");
    let mut rng = Rng::new(seed);
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let end = Instant::now() + Duration::from_secs(variable("REDLOOP_FUZZ_SECONDS").unwrap_or(2));
    while Instant::now() < end {
        let mut bench = Bench::new(rng.next_u64());
        let names: Vec<(String, i32)> =
            bench.engine.commands.iter().map(|command| (command.name.clone(), command.spec.arity)).collect();
        for step in 0..400 {
            if step % 100 == 0 {
                for line in SETUP {
                    bench.run(&line.split(' ').map(Vec::from).collect::<Vec<_>>());
                }
            }
            let (name, arity) = &names[rng.below(names.len() as u64) as usize];
            let mut request: Vec<Vec<u8>> = name.split('|').map(Vec::from).collect();
            if name == "debug" {
                let subcommands: Vec<&str> = DEBUG.split_whitespace().collect();
                request.push(pick(&mut rng, &subcommands).into());
                if rng.below(2) == 0 {
                    bench.run(&request);
                    continue;
                }
            }
            let least = (arity.unsigned_abs() as usize).saturating_sub(request.len());
            let more = if *arity < 0 { rng.below(9) } else { u64::from(rng.below(9) == 0) };
            for place in 0..least + more as usize {
                let key = place == 0 && rng.below(3) > 0;
                request.push(if key { pick(&mut rng, KEYS).into() } else { argument(&mut rng, &words) });
            }
            bench.run(&request);
            if rng.below(20) == 0 {
                bench.engine.clock.advance(rng.below(600_000));
                bench.engine.start_turn();
                bench.engine.tick();
            }
        }
    }
}
