//! INFO's section on persistence: snapshots, the append-only file, and what is being loaded.

use super::Page;
use crate::engine::Engine;
use crate::engine::persistence::Purpose;
use crate::services::persist::status::{AofStatus, LoadProgress};

pub(super) fn persistence(engine: &mut Engine, page: &mut Page) {
    let (persistence, now) = (&engine.persistence, engine.now() / 1000);
    page.field("loading", u8::from(persistence.loading.is_some()));
    page.field("async_loading", u8::from(engine.is_loading_beside()));
    // Without fork nothing is copied when it is written to.
    page.field("current_cow_peak", 0);
    page.field("current_cow_size", 0);
    page.field("current_cow_size_age", 0);
    let (done, total) = persistence.run().map_or((0, 0), |run| (run.keys_done(), run.keys));
    page.field("current_fork_perc", format_args!("{:.2}", percent(done, total)));
    page.field("current_save_keys_processed", done);
    page.field("current_save_keys_total", total);
    snapshots(engine, now, page);
    let moves_slots = running_for(engine, Purpose::Slots, now).is_some();
    log(&persistence.aof, running_for(engine, Purpose::LogBase, now), moves_slots, page);
    if let Some(load) = &persistence.loading {
        loading(load, now, page);
    }
}

fn snapshots(engine: &Engine, now: u64, page: &mut Page) {
    let (rdb, dirty) = (&engine.persistence.rdb, engine.data.keyspace.journal.dirty);
    let running = running_for(engine, Purpose::Background, now);
    let running = running.or_else(|| running_for(engine, Purpose::Replicas, now));
    page.field("rdb_changes_since_last_save", dirty.saturating_sub(rdb.saved_dirty));
    page.field("rdb_bgsave_in_progress", u8::from(running.is_some()));
    page.field("rdb_last_save_time", rdb.last_save);
    page.field("rdb_last_bgsave_status", rdb.last_attempt.word());
    page.field("rdb_last_bgsave_time_sec", or_never(rdb.last_seconds));
    page.field("rdb_current_bgsave_time_sec", or_never(running));
    page.field("rdb_saves", rdb.saves);
    page.field("rdb_saves_consecutive_failures", rdb.consecutive_failures);
    page.field("rdb_last_cow_size", 0);
    page.field("rdb_last_load_keys_expired", rdb.load_expired);
    page.field("rdb_last_load_keys_loaded", rdb.loaded);
}

fn log(aof: &AofStatus, rewriting: Option<u64>, moves_slots: bool, page: &mut Page) {
    page.field("aof_enabled", u8::from(aof.is_on));
    page.field("aof_rewrite_in_progress", u8::from(rewriting.is_some()));
    page.field("aof_rewrite_scheduled", u8::from(aof.is_rewrite_scheduled));
    page.field("aof_last_rewrite_time_sec", or_never(aof.last_rewrite_seconds));
    page.field("aof_current_rewrite_time_sec", or_never(rewriting));
    page.field("aof_last_bgrewrite_status", aof.last_rewrite.word());
    page.field("aof_rewrites", aof.rewrites);
    page.field("aof_rewrites_consecutive_failures", aof.consecutive_failures);
    page.field("aof_last_write_status", aof.last_write.word());
    page.field("aof_last_cow_size", 0);
    page.field("module_fork_in_progress", 0);
    page.field("module_fork_last_cow_size", 0);
    page.field("slot_migration_fork_in_progress", u8::from(moves_slots));
    if aof.is_on {
        page.field("aof_current_size", aof.current_size);
        page.field("aof_base_size", aof.base_size);
        page.field("aof_pending_rewrite", u8::from(aof.is_rewrite_scheduled));
        page.field("aof_buffer_length", aof.buffered);
        page.field("aof_pending_bio_fsync", aof.pending_fsync);
        page.field("aof_delayed_fsync", aof.delayed_fsync);
    }
}

fn loading(load: &LoadProgress, now: u64, page: &mut Page) {
    let (elapsed, left) = (now.saturating_sub(load.started), load.total.saturating_sub(load.loaded));
    let eta = if elapsed == 0 { 1 } else { elapsed * left / (load.loaded + 1) };
    page.field("loading_start_time", load.started);
    page.field("loading_total_bytes", load.total);
    page.field("loading_rdb_used_mem", load.used_memory);
    page.field("loading_loaded_bytes", load.loaded);
    page.field("loading_loaded_perc", format_args!("{:.2}", percent(load.loaded, load.total)));
    page.field("loading_eta_seconds", eta);
}

/// For how long a snapshot for this purpose has been under way, seconds.
fn running_for(engine: &Engine, purpose: Purpose, now: u64) -> Option<u64> {
    let run = engine.persistence.run().filter(|run| run.purpose == purpose)?;
    Some(now.saturating_sub(run.started_ms / 1000))
}

fn or_never(seconds: Option<u64>) -> i64 {
    seconds.map_or(-1, |seconds| seconds as i64)
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
