//! HOTKEYS in the engine: while keys are tracked, what each call took is added to its keys.
//!
//! Tracking makes every call one that the logs of calls look at (`notable_nanos` is 0), so that each is timed by itself and
//! comes by here; while none is active, no call does anything for it. Of a transaction each command counts, of a script
//! the call that runs it with its keys.

use super::Engine;
use super::clients::state;
use super::command::keys;
use super::command::table::CommandId;
use super::metrics::slowlog::CallCost;
use crate::base::crc::key_slot;
use crate::base::ids::ClientId;
use crate::resp::Args;
use crate::services::analysis::hot_keys::{HotKeys, HotKeysOptions};

impl Engine {
    /// What was tracked last; `None` before and after HOTKEYS RESET.
    pub fn hot_keys(&self) -> Option<&HotKeys> {
        self.hot_keys.as_deref()
    }

    /// Begins to track, in place of what was tracked before; false if it goes on already.
    pub fn start_hot_keys(&mut self, options: HotKeysOptions) -> bool {
        if self.hot_keys().is_some_and(HotKeys::is_active) {
            return false;
        }
        let before = self.cpu_times().process;
        let hasher = self.data.keyspace.hasher();
        self.hot_keys = Some(Box::new(HotKeys::new(options, self.frame.now, before, hasher)));
        self.refresh_notable();
        true
    }

    /// Ends the tracking; false if none goes on.
    pub fn stop_hot_keys(&mut self) -> bool {
        let now = self.frame.now;
        let Some(hot) = self.hot_keys.as_mut().filter(|hot| hot.is_active()) else { return false };
        hot.stop(now);
        self.refresh_notable();
        true
    }

    /// Forgets what was tracked; false if tracking goes on.
    pub fn reset_hot_keys(&mut self) -> bool {
        if self.hot_keys().is_some_and(HotKeys::is_active) {
            return false;
        }
        self.hot_keys = None;
        true
    }

    /// A periodic job: ends the tracking that is over.
    pub(super) fn stop_due_hot_keys(&mut self) {
        if self.hot_keys().is_some_and(|hot| hot.is_over(self.frame.now)) {
            self.stop_hot_keys();
        }
    }

    /// From how long a call on the logs of calls, the latency monitor, hot keys or the counters of slots are concerned.
    pub(in crate::engine) fn refresh_notable(&mut self) {
        let counts_all = self.hot_keys().is_some_and(HotKeys::is_active) || self.counts_slots();
        self.settings.notable_nanos = if counts_all { 0 } else { self.settings.logged_nanos };
    }

    /// A call is over: adds what it took to its keys, if they are tracked.
    pub(in crate::engine) fn add_to_hot_keys(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        cost: &CallCost,
    ) {
        let Some(hot) = self.hot_keys.as_mut().filter(|hot| hot.is_active()) else { return };
        // What a script calls is part of the call that runs it.
        if self.clients.sessions.get(client).is_some_and(|session| session.is(state::IN_SCRIPT)) {
            return;
        }
        let mut found = Vec::new();
        keys::find(self.commands.get(id).spec, args, &mut found);
        let Some(count) = u64::try_from(found.len()).ok().filter(|count| *count > 0) else { return };
        let (nanos, bytes) = (cost.nanos + cost.earlier_nanos, cost.request + cost.reply);
        // All keys of a request are of one slot, or slots are of no interest.
        let slot = if hot.options.slots.is_some() { key_slot(args.at(found[0].index)) } else { 0 };
        let is_skipped = hot.options.sample_ratio > 1 && self.data.rng.below(hot.options.sample_ratio) != 0;
        if !hot.count(slot, nanos, bytes) || is_skipped {
            return;
        }
        hot.count_sampled(nanos, bytes);
        let started = self.clock.ticks();
        for at in &found {
            hot.add(args.at(at.index), nanos / count, bytes / count);
        }
        hot.spent_nanos += self.clock.nanos(started, self.clock.ticks());
    }
}
