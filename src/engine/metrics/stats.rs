//! Statistics (`INFO stats`, `commandstats`, `errorstats`): counters of commands, errors and traffic, and latency histograms.

use std::collections::BTreeMap;

/// A log-linear histogram of nanoseconds: eight steps to each doubling, up to about an hour.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

const STEPS_BITS: u32 = 3;
const HISTOGRAM_SLOTS: usize = 42 << STEPS_BITS;

impl Histogram {
    #[inline]
    fn slot(nanos: u64) -> usize {
        let top = 63 - (nanos | (1 << STEPS_BITS)).leading_zeros();
        let slot = ((top - STEPS_BITS) << STEPS_BITS) as usize + (nanos >> (top - STEPS_BITS)) as usize;
        slot.min(HISTOGRAM_SLOTS - 1)
    }

    /// The largest value that falls into a slot.
    fn upper(slot: usize) -> u64 {
        let steps = 1 << STEPS_BITS;
        if slot < 2 * steps {
            return slot as u64;
        }
        let shift = (slot >> STEPS_BITS) as u32 - 1;
        (((slot & (steps - 1)) + steps + 1) as u64).wrapping_shl(shift) - 1
    }

    #[inline]
    pub fn record(&mut self, nanos: u64, times: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; HISTOGRAM_SLOTS];
        }
        self.counts[Self::slot(nanos)] += times;
        self.total += times;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// The value, ns, below which `percent` of the records lie.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((percent / 100.0 * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Self::upper(slot);
            }
        }
        0
    }

    /// How many records are of at most so many nanoseconds each, for ascending bounds.
    pub fn counts_up_to<const N: usize>(&self, bounds: [u64; N]) -> [u64; N] {
        let (mut start, mut count) = (0, 0);
        bounds.map(|bound| {
            // The slots that lie wholly below the one of what is just beyond the bound.
            let is_beyond = bound >= Self::upper(HISTOGRAM_SLOTS - 1);
            let end = if is_beyond { HISTOGRAM_SLOTS } else { Self::slot(bound + 1) };
            let slots = self.counts.get(start..end).unwrap_or_default();
            count += slots.iter().sum::<u64>();
            start += slots.len();
            count
        })
    }

    /// Records of at most `nanos` each.
    pub fn count_up_to(&self, nanos: u64) -> u64 {
        self.counts.iter().enumerate().filter(|(slot, _)| Self::upper(*slot) <= nanos).map(|(_, n)| n).sum()
    }
}

/// Counters of one command.
#[derive(Clone, Debug, Default)]
pub struct CommandStats {
    pub calls: u64,
    pub nanos: u64,
    /// Refused before running.
    pub rejected: u64,
    /// Ran and replied an error.
    pub failed: u64,
    pub histogram: Histogram,
}

/// Different error codes counted at most; past it only their number is.
const MAX_ERROR_CODES: usize = 128;

/// Everything that CONFIG RESETSTAT resets, by commands.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// By `CommandId`.
    pub commands: Vec<CommandStats>,
    /// Replies that were errors, by code.
    pub errors: BTreeMap<String, u64>,
    pub error_replies: u64,
    /// Of these, to requests of the primary, of replicas and of the append-only file.
    pub unexpected_errors: u64,
    /// Set when more codes came than are kept apart: none are any more.
    pub errors_overflowed: bool,
    /// Full and partial synchronizations, and how often a partial one was not possible.
    pub sync_full: u64,
    pub sync_partial_ok: u64,
    pub sync_partial_err: u64,
    pub connections_received: u64,
    pub connections_rejected: u64,
    /// Of these, from `priority-subnets`.
    pub priority_rejected: u64,
    pub commands_processed: u64,
    pub net_input_bytes: u64,
    pub net_output_bytes: u64,
    /// Of these, to replicas.
    pub replication_output_bytes: u64,
    /// Of the bytes read, those of the primary.
    pub replication_input_bytes: u64,
    /// Of slots that move: snapshots and what has changed since, as it was sent and as it came.
    pub slot_export_bytes: u64,
    pub slot_import_bytes: u64,
    pub evicted_clients: u64,
    pub output_limit_disconnections: u64,
    pub query_limit_disconnections: u64,
    pub auth_failures: u64,
    pub reads_processed: u64,
    pub writes_processed: u64,
    pub event_loop_cycles: u64,
    pub event_loop_nanos: u64,
    /// Longest turn since the last reset, ns, and what took the longest in it.
    pub longest_turn_nanos: u64,
    pub longest_turn_cause: &'static str,
    /// Longest turn while a snapshot was being made, by the thread's processor time, ns.
    pub longest_snapshot_turn_cpu: u64,
    /// Spent in calls that are not within another call.
    pub calls_nanos: u64,
    /// Spent in periodic jobs, by their names, and in expiry.
    pub jobs: Vec<(&'static str, u64)>,
    pub expiry_nanos: u64,
    /// Most calls in one turn.
    pub most_calls_a_turn: u64,
    pub pubsub_messages: u64,
    /// Requests that a cluster couldn't serve.
    pub cluster_incompatible: u64,
    pub peak_memory: usize,
    /// When memory was at its peak, Unix time in ms.
    pub peak_memory_at: u64,
}

impl Stats {
    /// A periodic job took so long.
    pub fn add_job(&mut self, name: &'static str, nanos: u64) {
        match self.jobs.iter_mut().find(|(job, _)| *job == name) {
            Some((_, sum)) => *sum += nanos,
            None => self.jobs.push((name, nanos)),
        }
    }

    /// Time in all periodic jobs, ns.
    pub fn jobs_nanos(&self) -> u64 {
        self.jobs.iter().map(|(_, nanos)| nanos).sum()
    }

    /// All zero, for a table of `commands` rows.
    pub fn new(commands: usize) -> Self {
        Stats { commands: vec![CommandStats::default(); commands], ..Stats::default() }
    }

    /// Counts an error reply by its code.
    pub fn error(&mut self, code: &[u8]) {
        self.error_replies += 1;
        if self.errors_overflowed {
            return;
        }
        let code = String::from_utf8_lossy(code);
        if let Some(count) = self.errors.get_mut(&*code) {
            *count += 1;
        } else if self.errors.len() < MAX_ERROR_CODES {
            self.errors.insert(code.into_owned(), 1);
        } else {
            self.stop_counting_codes();
        }
    }

    /// A client's script can make up codes without end: past the limit no new one is counted.
    #[cold]
    fn stop_counting_codes(&mut self) {
        log::warn!(
            "Errorstats stopped adding new errors because the number of errors reached the limit \
             ({MAX_ERROR_CODES}). CONFIG RESETSTAT starts anew."
        );
        let codes: Vec<&str> = self.errors.keys().map(String::as_str).collect();
        log::warn!("Current errors code list: {}", codes.join(", "));
        self.errors_overflowed = true;
        self.errors.clear();
        self.errors.insert("ERRORSTATS_DISABLED".to_string(), 1);
    }
}

/// Events a second, smoothed over the last sixteen samples (INFO `instantaneous_*`).
#[derive(Clone, Debug, Default)]
pub struct Rate {
    samples: [u64; 16],
    next: usize,
    last_total: u64,
    last_ms: u64,
}

impl Rate {
    /// Notes the running total at `now`, ms.
    pub fn sample(&mut self, total: u64, now: u64) {
        let elapsed = now.saturating_sub(self.last_ms);
        if self.last_ms > 0 && elapsed > 0 {
            self.samples[self.next] = total.saturating_sub(self.last_total) * 1000 / elapsed;
            self.next = (self.next + 1) % self.samples.len();
        }
        (self.last_total, self.last_ms) = (total, now);
    }

    /// Events a second.
    pub fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / self.samples.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_cover_all_values_in_order() {
        let mut last = 0;
        for nanos in (0..100_000).chain([1 << 30, (1 << 30) + 5, 1 << 40]) {
            let slot = Histogram::slot(nanos);
            assert!(slot >= last && nanos <= Histogram::upper(slot), "{nanos} in {slot}");
            assert!(slot == 0 || nanos > Histogram::upper(slot - 1), "{nanos} above the slot before {slot}");
            last = slot;
        }
    }

    #[test]
    fn percentiles() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|i| histogram.record(i * 1000, 1));
        let p50 = histogram.percentile(50.0);
        assert!((500_000..600_000).contains(&p50), "{p50}");
        assert_eq!(histogram.count_up_to(u64::MAX), 1000);
    }

    #[test]
    fn counts_at_bounds() {
        let mut histogram = Histogram::default();
        let bounds =
            [0, 1, 7, 8, 1000, 1023, 1024, 1_000_000, 1 << 40, (1 << 45) - 1, u64::MAX - 1, u64::MAX];
        assert_eq!(histogram.counts_up_to(bounds), [0; 12]);
        (0..64).for_each(|shift| histogram.record(u64::MAX >> shift, 1 + shift));
        (0..100).for_each(|nanos| histogram.record(nanos * 77, 1));
        assert_eq!(histogram.counts_up_to(bounds), bounds.map(|bound| histogram.count_up_to(bound)));
        assert_eq!(histogram.counts_up_to([u64::MAX]), [histogram.total()]);
    }
}
