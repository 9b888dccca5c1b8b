//! Periodic work (`serverCron`): active expiry, ends of waits and pauses, idle clients, samples, memory to free.
//!
//! Every job has a budget a turn; one that isn't finished goes on in another turn, which begins at once.

use super::Engine;
use super::clients::session::{Role, Session, state};
use super::metrics::stats::Rate;
use crate::structures::table::DueKeys;

/// Rates shown by INFO.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    pub commands: Rate,
    pub input: Rate,
    pub output: Rate,
    /// Of these, those of replication.
    pub replication_input: Rate,
    pub replication_output: Rate,
    pub cycles: Rate,
    /// Nanoseconds a second that turns take.
    pub turning: Rate,
}

/// State of the jobs between turns.
#[derive(Default)]
pub struct Cron {
    /// When the periodic jobs are due again, in the time of [`Engine::steady_now`].
    next_ms: u64,
    /// A job has more to do than fitted into its slice.
    busy: bool,
    /// The walk of a snapshot, or that of an analysis, has.
    walking: bool,
    pub(super) due: DueKeys,
    pub rates: Rates,
    /// DEBUG PAUSE-CRON.
    pub paused: bool,
}

/// Longest time that giving memory back takes of one turn, ns.
const RECLAIM_SLICE: u64 = 250_000;

impl Engine {
    /// INFO's rates.
    pub fn rates(&self) -> &Rates {
        &self.cron.rates
    }

    /// Sets all counters back to zero (CONFIG RESETSTAT). The peak of memory stays.
    pub fn reset_stats(&mut self) {
        let (peak_memory, peak_memory_at) =
            (self.metrics.stats.peak_memory, self.metrics.stats.peak_memory_at);
        self.metrics.stats = super::metrics::stats::Stats {
            peak_memory,
            peak_memory_at,
            ..super::metrics::stats::Stats::new(self.commands.len())
        };
        self.data.keyspace.stats = Default::default();
        self.data.keyspace.lazy_free.freed = 0;
        self.scripting.reset_evicted();
        self.clients.quotas.quotas.reset_counts();
        self.cron.rates = Rates::default();
        self.reset_eviction_times();
        self.reset_cluster_stats();
    }

    /// DEBUG PAUSE-CRON.
    /// Whether the server's periodic work is paused (DEBUG PAUSE-CRON).
    pub fn cron_is_paused(&self) -> bool {
        self.cron.paused
    }

    pub fn pause_cron(&mut self, paused: bool) {
        self.cron.paused = paused;
    }

    /// Does what is due. To be called once a turn, after [`Self::start_turn`].
    pub fn tick(&mut self) {
        if self.scripting.is_busy() {
            // Nothing else may change data before the script is over.
            return self.continue_script();
        }
        self.end_due_waits();
        self.retry_due_waits();
        self.end_pause();
        self.resume_delayed();
        self.replication_tick();
        self.tick_migrations();
        self.tend_primary();
        self.tick_sentinel();
        self.tick_cluster();
        self.tick_slot_migration();
        self.cron.walking = self.run_job("snapshot", Self::walk_snapshot);
        if !self.clients.answered.is_empty() {
            self.run_job("listing keys", Self::list_keys);
        }
        if self.holds_vectors() {
            self.run_job("vector sets", Self::retry_held_vectors);
        }
        if self.is_measuring_slots() {
            self.run_job("measuring slots", Self::measure_some_slots);
        }
        if self.is_analyzing() {
            self.cron.walking |= self.run_job("keyspace analysis", Self::walk_analysis);
        }
        if self.cron.paused || self.persistence.loading.is_some() {
            return;
        }
        let periodic = self.steady_now() >= self.cron.next_ms;
        if !periodic && !self.cron.busy && !self.has_garbage() {
            return;
        }
        self.cron.busy = self.run_job("expiry", Self::expire_due);
        self.cron.busy |= self.run_job("expiry of own keys", Self::expire_own_keys);
        self.cron.busy |= self.run_job("expiry of fields", Self::expire_fields);
        self.cron.busy |= self.run_job("expiry of requests", Self::expire_requests);
        self.cron.busy |= self.run_job("reclaiming memory", Self::reclaim);
        self.cron.busy |= self.run_job("eviction", Self::continue_eviction);
        self.cron.busy |= self.run_job("counting collections", Self::count_collections);
        if self.is_cluster() {
            self.cron.busy |= self.run_job("removing keys of lost slots", Self::remove_lost_keys);
        }
        if periodic {
            self.cron.next_ms = self.steady_now() + 1000 / self.settings.hz.clamp(1, 500);
            self.sample();
            self.stop_due_hot_keys();
            self.maintain_tracking();
            self.count_outputs();
            self.close_idle_clients();
            self.purge_memory_if_due();
            self.start_due_snapshot();
        }
    }

    /// Runs one job and notes how long it took.
    fn run_job(&mut self, name: &'static str, work: fn(&mut Self) -> bool) -> bool {
        let started = self.clock.ticks();
        let more = work(self);
        let nanos = self.clock.nanos(started, self.clock.ticks());
        self.metrics.stats.add_job(name, nanos);
        if nanos > self.metrics.turn_job_nanos {
            (self.metrics.turn_job, self.metrics.turn_job_nanos) = (name, nanos);
        }
        more
    }

    /// Has the jobs run in the next turn, whenever they would be due.
    pub(super) fn wake_soon(&mut self) {
        self.cron.busy = true;
    }

    /// How long the loop may sleep, ms from now.
    pub fn sleep_ms(&self) -> u64 {
        if self.cron.busy
            || self.cron.walking
            || !self.clients.answered.is_empty()
            || self.is_analyzing()
            || self.scripting.is_busy()
            || (self.has_garbage() && !self.cron.paused)
        {
            return 0;
        }
        let cron_wait = self.cron.next_ms.saturating_sub(self.steady_now());
        let mut next = self.frame.now + if self.cron.paused { 100 } else { cron_wait };
        if let Some(wait) = self.snapshot_sleep_ms() {
            next = next.min(self.frame.now + wait);
        }
        if let Some(due) = self.clients.blocked.next_due() {
            next = next.min(due);
        }
        if let Some(due) = self.migrate.next_due() {
            next = next.min(self.frame.now + due.saturating_sub(self.steady_now()));
        }
        if let Some(pause) = self.clients.client_pause {
            next = next.min(pause.until_ms);
        }
        if let Some(due) = self.clients.quotas.next_due() {
            next = next.min(due);
        }
        if let Some(wait) = self.cluster_sleep_ms() {
            next = next.min(self.frame.now + wait);
        }
        if let Some(wait) = self.sentinel_sleep_ms() {
            next = next.min(self.frame.now + wait);
        }
        next.saturating_sub(self.frame.now)
    }

    fn reclaim(&mut self) -> bool {
        let started = self.clock.ticks();
        while self.free_slice() {
            if self.clock.nanos(started, self.clock.ticks()) > RECLAIM_SLICE {
                return true;
            }
        }
        false
    }

    fn end_pause(&mut self) {
        if self.clients.client_pause.is_some_and(|pause| pause.until_ms <= self.frame.now) {
            self.unpause_clients();
            self.after_cron();
        }
    }

    /// Keeps the most memory that was ever in use, and when.
    pub fn note_memory_peak(&mut self) {
        let (used, now) = (self.counted_memory() as usize, self.frame.now);
        let stats = &mut self.metrics.stats;
        if used > stats.peak_memory {
            (stats.peak_memory, stats.peak_memory_at) = (used, now);
        }
    }

    fn sample(&mut self) {
        self.data.is_full = self.data.keyspace.is_full();
        self.note_memory_peak();
        let (now, stats) = (self.frame.now, &mut self.metrics.stats);
        self.cron.rates.commands.sample(stats.commands_processed, now);
        self.cron.rates.input.sample(stats.net_input_bytes, now);
        self.cron.rates.output.sample(stats.net_output_bytes, now);
        self.cron.rates.replication_input.sample(stats.replication_input_bytes, now);
        self.cron.rates.replication_output.sample(stats.replication_output_bytes, now);
        self.cron.rates.cycles.sample(stats.event_loop_cycles, now);
        self.cron.rates.turning.sample(stats.event_loop_nanos, now);
    }

    /// Closes clients that have been silent for longer than `timeout`.
    fn close_idle_clients(&mut self) {
        if self.settings.timeout == 0 {
            return;
        }
        let limit = self.settings.timeout * 1000;
        let exempt = state::BLOCKED | state::POSTPONED | state::MONITOR | state::REPLICA | state::SUBSCRIBED;
        let is_idle = |session: &&Session| {
            session.role == Role::Normal
                && !session.is(exempt)
                && self.frame.now.saturating_sub(session.active_ms) > limit
        };
        let idle: Vec<_> =
            self.clients.sessions.iter().filter(is_idle).map(|session| session.client).collect();
        for client in idle {
            log::debug!("Closing idle client");
            self.kill(client);
        }
    }
}
