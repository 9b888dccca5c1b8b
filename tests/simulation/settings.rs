//! The configurations of simulated servers.

use redloop::base::rng::Rng;
use redloop::services::config::{Config, ProtectedAction, SetContext};

/// Directives, and values of which a server gets one: collections change their encodings early, backlogs end soon.
const DIRECTIVES: &[(&str, &[&str])] = &[
    ("save", &[""]),
    ("appendonly", &["no", "yes"]),
    ("appendfsync", &["everysec", "always", "no"]),
    ("aof-use-rdb-preamble", &["yes", "yes", "no"]),
    ("aof-timestamp-enabled", &["no", "yes"]),
    ("auto-aof-rewrite-min-size", &["67108864", "2000"]),
    // What a power failure leaves may have holes.
    ("aof-load-corrupt-tail-max-size", &["1000000000"]),
    ("hash-max-listpack-entries", &["512", "3"]),
    ("set-max-listpack-entries", &["128", "3"]),
    ("set-max-intset-entries", &["512", "4"]),
    ("zset-max-listpack-entries", &["128", "3"]),
    ("list-max-listpack-size", &["128", "3"]),
    ("stream-node-max-entries", &["100", "3", "1"]),
    ("lazyfree-lazy-expire", &["no", "yes"]),
    ("lazyfree-lazy-user-flush", &["no", "yes"]),
    ("replica-lazy-flush", &["no", "yes"]),
    ("rdbcompression", &["no", "yes"]),
    ("notify-keyspace-events", &["", "KEAnm"]),
    // Those that may take any key would take what is waited for.
    ("maxmemory-policy", &["noeviction", "volatile-ttl", "volatile-lru", "volatile-random"]),
    ("repl-diskless-sync", &["yes", "yes", "no"]),
    ("repl-diskless-sync-delay", &["0", "0", "1"]),
    ("repl-diskless-load", &["disabled", "on-empty-db", "swapdb", "flush-before-load"]),
    ("repl-backlog-size", &["1mb", "100", "2000", "20000"]),
    ("repl-backlog-ttl", &["3600", "2", "0"]),
    ("repl-timeout", &["60", "5"]),
    ("repl-ping-replica-period", &["10", "1"]),
    ("replica-serve-stale-data", &["yes", "no"]),
    ("client-output-buffer-limit", &["replica 256mb 64mb 60", "replica 2000 0 0"]),
];

/// A HyperLogLog's bytes are the value that a client reads, so all servers have to agree about their form.
const HLL_SPARSE: &[&str] = &["3000", "40"];

fn pick(values: &[&'static str], rng: &mut Rng) -> &'static str {
    values[rng.below(values.len() as u64) as usize]
}

/// A server's configuration with the first of all values, but for these.
pub fn plain(others: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    let plain = DIRECTIVES.iter().map(|(name, values)| (*name, values[0]));
    for (name, value) in plain.chain(others.iter().copied()) {
        let pair = (name.as_bytes(), value.as_bytes());
        config.set_many(&[pair], SetContext::default()).expect(name);
    }
    config.enable_debug_command = ProtectedAction::Yes;
    config
}

/// What all servers of a case agree on.
pub fn shared(rng: &mut Rng) -> &'static str {
    pick(HLL_SPARSE, rng)
}

/// A server's configuration; with `may_write` its clients may write although it is a replica.
pub fn config(rng: &mut Rng, hll_sparse: &str, may_write: bool) -> Config {
    let mut config = Config::default();
    let mut set = |name: &str, value: &str| {
        config.set_many(&[(name.as_bytes(), value.as_bytes())], SetContext::default()).expect(name);
    };
    for (name, values) in DIRECTIVES {
        set(name, pick(values, rng));
    }
    set("hll-sparse-max-bytes", hll_sparse);
    set("replica-read-only", if may_write { "no" } else { "yes" });
    config.enable_debug_command = ProtectedAction::Yes;
    config
}
