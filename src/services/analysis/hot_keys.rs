//! Hot keys (HOTKEYS): which keys take the most time of commands, and the most bytes of requests and replies, since tracking began.
//!
//! Each metric has a table of heavy hitters with room for many more keys than are shown. What a command takes is shared
//! equally by its keys.

use super::MAX_NAME;
use super::heavy_hitters::{HeavyHitters, Hitter};
use crate::base::hash::KeyHasher;
use crate::base::slot_set::SlotSet;

/// Room of a table for each key that is shown.
const ROOM: usize = 100;

/// What is to be tracked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotKeysOptions {
    pub cpu: bool,
    pub net: bool,
    /// Keys that are shown.
    pub count: usize,
    /// 0: until it is stopped.
    pub duration_ms: u64,
    /// One of so many calls is looked at.
    pub sample_ratio: u64,
    /// Only keys of these slots of a cluster; `None`: all keys.
    pub slots: Option<SlotSet>,
}

/// Time and bytes of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallSum {
    pub nanos: u64,
    pub bytes: u64,
}

impl CallSum {
    fn add(&mut self, nanos: u64, bytes: u64) {
        self.nanos += nanos;
        self.bytes += bytes;
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct HotKeys {
    pub options: HotKeysOptions,
    pub started_ms: u64,
    /// When it ended, Unix ms.
    stopped_ms: Option<u64>,
    /// By nanoseconds.
    cpu: Option<HeavyHitters>,
    /// By bytes.
    net: Option<HeavyHitters>,
    /// All calls that have keys.
    pub all: CallSum,
    /// Those of the chosen slots, if some were chosen.
    pub of_slots: CallSum,
    /// Those of the chosen slots that were looked at.
    pub of_slots_sampled: CallSum,
    /// Bytes of those that were looked at.
    pub tracked_bytes: u64,
    /// What tracking itself took.
    pub spent_nanos: u64,
    /// The process's processor time when it began, seconds in the kernel and in user space.
    pub cpu_before: (f64, f64),
}

impl HotKeys {
    pub fn new(options: HotKeysOptions, started_ms: u64, cpu_before: (f64, f64), hasher: KeyHasher) -> Self {
        let table = |is_wanted: bool| is_wanted.then(|| HeavyHitters::new(options.count * ROOM, hasher));
        let (cpu, net) = (table(options.cpu), table(options.net));
        HotKeys {
            options,
            started_ms,
            stopped_ms: None,
            cpu,
            net,
            all: CallSum::default(),
            of_slots: CallSum::default(),
            of_slots_sampled: CallSum::default(),
            tracked_bytes: 0,
            spent_nanos: 0,
            cpu_before,
        }
    }

    /// Bytes allocated, about.
    pub fn memory(&self) -> usize {
        let tables = [&self.cpu, &self.net].into_iter().flatten();
        size_of::<Self>() + tables.map(HeavyHitters::memory).sum::<usize>()
    }

    pub fn is_active(&self) -> bool {
        self.stopped_ms.is_none()
    }

    /// Ends the tracking; what it found is kept.
    pub fn stop(&mut self, now_ms: u64) {
        self.stopped_ms.get_or_insert(now_ms);
    }

    /// Whether it has gone on for as long as it was to.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.is_active()
            && self.options.duration_ms > 0
            && self.duration_ms(now_ms) >= self.options.duration_ms
    }

    /// How long it has gone on, or went on.
    pub fn duration_ms(&self, now_ms: u64) -> u64 {
        self.stopped_ms.unwrap_or(now_ms).saturating_sub(self.started_ms)
    }

    /// Counts a call that has keys; whether they are of chosen slots.
    pub fn count(&mut self, slot: u16, nanos: u64, bytes: u64) -> bool {
        self.all.add(nanos, bytes);
        let Some(slots) = &self.options.slots else { return true };
        let is_chosen = slots.contains(slot);
        if is_chosen {
            self.of_slots.add(nanos, bytes);
        }
        is_chosen
    }

    /// Counts a call of the chosen slots that is looked at.
    pub fn count_sampled(&mut self, nanos: u64, bytes: u64) {
        if self.options.slots.is_some() && self.options.sample_ratio > 1 {
            self.of_slots_sampled.add(nanos, bytes);
        }
    }

    /// Adds a key's part of a call.
    pub fn add(&mut self, key: &[u8], nanos: u64, bytes: u64) {
        let key = &key[..key.len().min(MAX_NAME)];
        if let Some(cpu) = &mut self.cpu {
            cpu.add(key, nanos);
        }
        if let Some(net) = &mut self.net {
            net.add(key, bytes);
            self.tracked_bytes += bytes;
        }
    }

    /// The keys with the most time, in microseconds (rounded up: a fast command takes less than one); `None` if it isn't tracked.
    pub fn by_cpu(&self) -> Option<Vec<(&[u8], u64)>> {
        self.shown(self.cpu.as_ref()?, 1000)
    }

    /// The keys with the most bytes; `None` if they aren't tracked.
    pub fn by_net(&self) -> Option<Vec<(&[u8], u64)>> {
        self.shown(self.net.as_ref()?, 1)
    }

    fn shown<'a>(&self, table: &'a HeavyHitters, unit: u64) -> Option<Vec<(&'a [u8], u64)>> {
        let figure = |hitter: &'a Hitter| (&*hitter.name, hitter.weight.div_ceil(unit));
        let heaviest = table.heaviest(self.options.count).into_iter().map(figure);
        Some(heaviest.filter(|(_, figure)| *figure > 0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracking(cpu: bool, net: bool) -> HotKeys {
        let options = HotKeysOptions { cpu, net, count: 2, duration_ms: 500, sample_ratio: 1, slots: None };
        HotKeys::new(options, 1000, (0.0, 0.0), KeyHasher::new(1))
    }

    #[test]
    fn the_hottest_by_each_metric() {
        let mut hot = tracking(true, true);
        for (key, nanos, bytes) in [("a", 9000, 1), ("b", 1999, 50), ("c", 999, 2), ("a", 1000, 0)] {
            assert!(hot.count(0, nanos, bytes));
            hot.add(key.as_bytes(), nanos, bytes);
        }
        assert_eq!(hot.by_cpu(), Some(vec![(&b"a"[..], 10), (b"b", 2)]));
        assert_eq!(hot.by_net(), Some(vec![(&b"b"[..], 50), (b"c", 2)]));
        assert_eq!((hot.all, hot.tracked_bytes), (CallSum { nanos: 12_998, bytes: 53 }, 53));
        let mut net = tracking(false, true);
        net.add(b"a", 500, 0);
        assert_eq!((net.by_cpu(), net.by_net()), (None, Some(vec![])));
    }

    #[test]
    fn it_ends_when_its_time_is_over() {
        let mut hot = tracking(true, false);
        assert_eq!((hot.is_over(1499), hot.is_over(1500), hot.duration_ms(1200)), (false, true, 200));
        hot.stop(1600);
        hot.stop(1700);
        assert_eq!((hot.is_active(), hot.is_over(1800), hot.duration_ms(1800)), (false, false, 600));
    }
}
