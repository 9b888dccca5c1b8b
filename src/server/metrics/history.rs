//! What the page's history is recorded from, once a second while the metrics port is open.

use crate::commands::info_text;
use crate::engine::Engine;
use crate::services::history::{BUCKETS, History, Reading, bounds};

/// A second, ms.
const STEP_MS: u64 = 1000;

/// The history, and when the next second of it is due, Unix ms.
#[derive(Default)]
pub struct Recorder {
    pub history: Option<Box<History>>,
    next_ms: u64,
}

impl Recorder {
    /// Records a second if it is due; keeps nothing while the port is closed.
    pub fn record(&mut self, engine: &mut Engine) {
        if engine.config.metrics_port == 0 {
            if self.history.take().is_some() {
                engine.metrics.turns.keep(false);
            }
            return;
        }
        let now = engine.now();
        if now < self.next_ms && self.next_ms - now <= STEP_MS {
            return;
        }
        engine.metrics.turns.keep(true);
        self.next_ms = (now / STEP_MS + 1) * STEP_MS;
        self.history.get_or_insert_default().record(now, read(engine));
    }
}

fn read(engine: &mut Engine) -> Reading {
    let lag = worst_lag(&info_text(engine, &[b"replication"]));
    let longest = engine.metrics.turns.take_longest();
    let (memory, clients, cpu) = (engine.memory_report(), engine.client_report(), engine.cpu_times());
    let unsaved = engine.data.keyspace.journal.dirty.saturating_sub(engine.persistence.rdb.saved_dirty);
    let (stats, keys) = (&engine.metrics.stats, &engine.data.keyspace.stats);
    let number = |value: usize| value as f64;
    Reading {
        counters: [
            stats.commands_processed as f64,
            keys.hits as f64,
            keys.misses as f64,
            keys.evicted_keys as f64,
            keys.expired_keys as f64,
            stats.error_replies as f64,
            stats.net_input_bytes as f64,
            stats.net_output_bytes as f64,
            (cpu.process.0 + cpu.process.1) * 100.0,
            (cpu.thread.0 + cpu.thread.1) * 100.0,
        ],
        gauges: [
            number(memory.used),
            number(memory.resident),
            number(memory.dataset),
            number(memory.tables()),
            number(memory.clients + memory.replicas),
            number(memory.stream),
            number(clients.connected),
            number(clients.blocked),
            number(memory.keys),
            unsaved as f64,
            lag as f64,
            longest as f64 / 1e6,
        ],
        calls: calls(engine),
    }
}

/// Calls of all commands so far, by the heat map's buckets.
fn calls(engine: &Engine) -> [u64; BUCKETS] {
    let mut sums = [0; BUCKETS];
    for stats in engine.metrics.stats.commands.iter().filter(|stats| stats.histogram.total() > 0) {
        let mut before = 0;
        let up_to = stats.histogram.counts_up_to(bounds());
        for (sum, count) in sums.iter_mut().zip(up_to.into_iter().chain([stats.histogram.total()])) {
            *sum += count - before;
            before = count;
        }
    }
    sums
}

/// The longest that a replica, or the primary of this one, hasn't been heard of, seconds.
fn worst_lag(replication: &str) -> u64 {
    let lags = replication.lines().filter_map(|line| match line.split_once(':')? {
        ("master_last_io_seconds_ago", seconds) => seconds.parse().ok(),
        (name, value) if name.starts_with("slave") => {
            value.split(',').find_map(|word| word.strip_prefix("lag=")?.parse().ok())
        }
        _ => None,
    });
    lags.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::worst_lag;

    #[test]
    fn lags() {
        let text = "role:master\r\nslave0:ip=1,port=2,state=online,offset=3,lag=4\r\n\
            slave1:ip=1,port=2,state=online,offset=3,lag=1\r\nslave_priority:100\r\n";
        assert_eq!(worst_lag(text), 4);
        assert_eq!(worst_lag("role:slave\r\nmaster_last_io_seconds_ago:7\r\n"), 7);
        assert_eq!(worst_lag("role:slave\r\nmaster_last_io_seconds_ago:-1\r\n"), 0);
    }
}
