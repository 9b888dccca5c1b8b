//! History of figures in a fixed number of bytes: two rings, of one-second columns for five minutes and of ten-second columns for an hour.
//!
//! A column has a value a series and a row of the latency heat map: how many calls fell into which bucket of time. Seconds
//! in which nothing was recorded have no column. The time comes with each reading; a clock that goes back hides what is ahead of it.

/// Counters: a column has their rates, a second.
pub const COUNTERS: [&str; 10] =
    ["ops", "hits", "misses", "evicted", "expired", "errors", "in", "out", "cpu", "cpu_loop"];
/// Gauges: a column has their values; of ten seconds their mean, but of the last two the maximum.
pub const GAUGES: [&str; 12] = [
    "used",
    "resident",
    "dataset",
    "tables",
    "client_memory",
    "stream",
    "clients",
    "blocked",
    "keys",
    "unsaved",
    "lag",
    "longest_turn",
];
/// Gauges of which the maximum counts.
const MAXIMA: usize = 2;
const SERIES: usize = COUNTERS.len() + GAUGES.len();
/// Rows of the heat map: up to half a microsecond, then each twice the one before; the last has no end.
pub const BUCKETS: usize = 21;
/// Columns of the two rings, and their seconds.
const FINE: (usize, u64) = (300, 1);
const COARSE: (usize, u64) = (360, 10);

/// Upper bounds of all buckets but the last, ns.
pub fn bounds() -> [u64; BUCKETS - 1] {
    std::array::from_fn(|index| 500 << index)
}

/// What is recorded: counters and gauges as they are named, and calls so far in each bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub counters: [f64; COUNTERS.len()],
    pub gauges: [f64; GAUGES.len()],
    pub calls: [u64; BUCKETS],
}

/// A second, or ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Column {
    /// Unix time over the ring's step; 0: nothing.
    pub tick: u64,
    /// Rates of the counters, then gauges.
    pub values: [f32; SERIES],
    pub calls: [u32; BUCKETS],
}

const NOTHING: Column = Column { tick: 0, values: [0.0; SERIES], calls: [0; BUCKETS] };

/// Which ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    Minutes,
    Hour,
}

#[derive(Debug)]
struct Ring {
    columns: Box<[Column]>,
    newest: u64,
}

impl Ring {
    fn new((columns, _): (usize, u64)) -> Ring {
        Ring { columns: vec![NOTHING; columns].into(), newest: 0 }
    }

    fn put(&mut self, column: Column) {
        self.newest = column.tick;
        let place = column.tick as usize % self.columns.len();
        self.columns[place] = column;
    }

    /// Those after `tick`, in order.
    fn after(&self, tick: u64) -> impl Iterator<Item = &Column> {
        let count = self.columns.len() as u64;
        let first = (tick + 1).max((self.newest + 1).saturating_sub(count)).max(1);
        let place = move |tick: u64| (tick % count) as usize;
        (first..=self.newest).filter_map(move |tick| {
            let column = &self.columns[place(tick)];
            (column.tick == tick).then_some(column)
        })
    }
}

/// The coarse column that is being added up.
#[derive(Debug)]
struct Sum {
    tick: u64,
    seconds: f64,
    values: [f64; SERIES],
    calls: [u64; BUCKETS],
}

/// See the module.
#[derive(Debug)]
pub struct History {
    fine: Ring,
    coarse: Ring,
    sum: Sum,
    last: Option<(u64, Box<Reading>)>,
}

impl Default for History {
    fn default() -> Self {
        let sum = Sum { tick: 0, seconds: 0.0, values: [0.0; SERIES], calls: [0; BUCKETS] };
        History { fine: Ring::new(FINE), coarse: Ring::new(COARSE), sum, last: None }
    }
}

/// What a counter has grown by; one that was reset begins at zero.
fn growth(before: f64, now: f64) -> f64 {
    if now >= before { now - before } else { now }
}

impl History {
    /// Bytes that it takes, now and always.
    pub fn bytes(&self) -> usize {
        size_of::<History>()
            + size_of::<Reading>()
            + (self.fine.columns.len() + self.coarse.columns.len()) * size_of::<Column>()
    }

    /// Records what there is at a time, Unix ms. The first reading is only what the next is compared with.
    pub fn record(&mut self, now_ms: u64, reading: Reading) {
        let Some((before_ms, before)) = self.last.take() else {
            self.last = Some((now_ms, Box::new(reading)));
            return;
        };
        if now_ms > before_ms {
            self.add(now_ms, (now_ms - before_ms) as f64 / 1000.0, &before, &reading);
        }
        self.last = Some((now_ms, Box::new(reading)));
    }

    fn add(&mut self, now_ms: u64, seconds: f64, before: &Reading, reading: &Reading) {
        let mut column = Column { tick: now_ms / 1000, ..NOTHING };
        let rates = before.counters.iter().zip(&reading.counters).map(|(a, b)| growth(*a, *b) / seconds);
        for (value, new) in column.values.iter_mut().zip(rates.chain(reading.gauges)) {
            *value = new as f32;
        }
        for (calls, (before, now)) in column.calls.iter_mut().zip(before.calls.iter().zip(reading.calls)) {
            let more = if now >= *before { now - before } else { now };
            *calls = u32::try_from(more).unwrap_or(u32::MAX);
        }
        self.sum_up(&column);
        self.fine.put(column);
    }

    fn sum_up(&mut self, column: &Column) {
        let (tick, sum) = (column.tick / COARSE.1, &mut self.sum);
        if sum.tick != tick {
            *sum = Sum { tick, seconds: 0.0, values: [0.0; SERIES], calls: [0; BUCKETS] };
        }
        sum.seconds += 1.0;
        for (index, (total, value)) in sum.values.iter_mut().zip(column.values).enumerate() {
            let value = f64::from(value);
            *total = if index >= SERIES - MAXIMA { total.max(value) } else { *total + value };
        }
        for (total, calls) in sum.calls.iter_mut().zip(column.calls) {
            *total += u64::from(calls);
        }
        let values = std::array::from_fn(|index| {
            let total = sum.values[index];
            (if index >= SERIES - MAXIMA { total } else { total / sum.seconds }) as f32
        });
        let calls = sum.calls.map(|calls| u32::try_from(calls).unwrap_or(u32::MAX));
        self.coarse.put(Column { tick, values, calls });
    }

    /// Columns of a ring after a tick, in order. That of the running ten seconds is there, too, and still changes.
    pub fn after(&self, range: Range, tick: u64) -> impl Iterator<Item = &Column> {
        match range {
            Range::Minutes => self.fine.after(tick),
            Range::Hour => self.coarse.after(tick),
        }
    }

    /// The last second.
    pub fn newest(&self) -> Option<&Column> {
        self.fine.after(self.fine.newest.saturating_sub(1)).next()
    }
}

impl Range {
    /// Seconds of a column, and columns.
    pub fn shape(self) -> (u64, usize) {
        let (columns, step) = if self == Range::Minutes { FINE } else { COARSE };
        (step, columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(ops: f64, lag: f64, calls: u64) -> Reading {
        let mut reading = Reading::default();
        (reading.counters[0], reading.gauges[GAUGES.len() - 2]) = (ops, lag);
        (reading.gauges[0], reading.calls[3]) = (ops, calls);
        reading
    }

    fn ops(history: &History, range: Range) -> Vec<(u64, f32)> {
        history.after(range, 0).map(|column| (column.tick, column.values[0])).collect()
    }

    #[test]
    fn rates_gaps_and_resets() {
        let mut history = History::default();
        history.record(100_000, reading(10.0, 0.0, 1));
        assert_eq!(ops(&history, Range::Minutes), []);
        history.record(101_000, reading(15.0, 0.0, 3));
        // Two seconds were missed; then the counters begin anew.
        history.record(104_000, reading(45.0, 0.0, 3));
        history.record(105_000, reading(7.0, 0.0, 2));
        assert_eq!(ops(&history, Range::Minutes), [(101, 5.0), (104, 10.0), (105, 7.0)]);
        let calls: Vec<_> = history.after(Range::Minutes, 101).map(|column| column.calls[3]).collect();
        assert_eq!(calls, [0, 2]);
        assert_eq!(history.newest().map(|column| column.tick), Some(105));
    }

    #[test]
    fn tens_of_seconds_are_means_and_maxima() {
        let mut history = History::default();
        for second in 0..=20 {
            let lag = if second == 4 { 9.0 } else { 1.0 };
            history.record(1_000_000 + second * 1000, reading(second as f64 * 2.0, lag, second));
        }
        let found: Vec<_> = history.after(Range::Hour, 0).copied().collect();
        assert_eq!(found.iter().map(|column| column.tick).collect::<Vec<_>>(), [100, 101, 102]);
        assert_eq!(found[0].values[0], 2.0);
        assert_eq!(found[0].values[SERIES - 2], 9.0);
        assert_eq!(found[1].values[SERIES - 2], 1.0);
        assert_eq!(found[1].calls[3], 10);
    }

    #[test]
    fn the_rings_wrap_around_and_take_a_fixed_number_of_bytes() {
        let mut history = History::default();
        let bytes = history.bytes();
        for second in 0..10_000u64 {
            history.record(1_000_000 + second * 1000, reading(second as f64, 0.0, second));
        }
        assert_eq!(history.bytes(), bytes);
        assert!(bytes < 160_000, "{bytes}");
        let (fine, coarse) = (ops(&history, Range::Minutes), ops(&history, Range::Hour));
        assert_eq!((fine.len(), coarse.len()), (300, 360));
        assert_eq!((fine[0].0, fine[299].0), (1000 + 9_700, 1000 + 9_999));
        assert_eq!(coarse[359].0, 1099);
        assert_eq!(history.after(Range::Minutes, 10_997).count(), 2);
    }

    #[test]
    fn a_clock_that_goes_back() {
        let mut history = History::default();
        for at in [500_000, 501_000, 502_000, 400_000, 401_000] {
            history.record(at, reading(1.0, 0.0, 0));
        }
        assert_eq!(ops(&history, Range::Minutes), [(401, 0.0)]);
    }

    #[test]
    fn bounds_double() {
        let bounds = bounds();
        assert_eq!((bounds[0], bounds[1], bounds[19]), (500, 1000, 262_144_000));
    }
}
