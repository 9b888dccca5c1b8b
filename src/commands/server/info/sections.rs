//! INFO sections of the present state: server, clients, memory, keyspace. Counters are in `counters`.

use super::Page;
use crate::commands::server::module::VECTOR_SETS;
use crate::engine::Engine;
use crate::services::config::REDIS_VERSION;

pub(super) fn server(engine: &mut Engine, page: &mut Page) {
    let (now, now_us) = (engine.now(), engine.now_us());
    let (config, facts) = (&engine.config, &engine.info);
    let uptime = now.saturating_sub(facts.started_ms) / 1000;
    page.field("redis_version", REDIS_VERSION);
    page.field("redloop_version", env!("CARGO_PKG_VERSION"));
    page.field("redis_git_sha1", "00000000");
    page.field("redis_git_dirty", 0);
    page.field("redis_build_id", "0000000000000000");
    let mode = engine.mode_name();
    page.field("redis_mode", mode);
    page.field("server_mode", mode);
    page.field("os", &facts.system_name);
    page.field("arch_bits", usize::BITS);
    page.field("monotonic_clock", "processor counter");
    page.field("multiplexing_api", "epoll");
    // What Redis says of atomics that the compiler provides, and of a compiler that isn't GCC.
    page.field("atomicvar_api", "atomic-builtin");
    page.field("gcc_version", "0.0.0");
    page.field("process_id", std::process::id());
    let supervised = if facts.supervised.is_empty() { "no" } else { facts.supervised };
    page.field("process_supervised", supervised);
    page.field("run_id", &facts.run_id);
    page.field("tcp_port", facts.port);
    page.field("server_time_usec", now_us);
    page.field("uptime_in_seconds", uptime);
    page.field("uptime_in_days", uptime / 86_400);
    page.field("hz", config.hz);
    page.field("configured_hz", config.hz);
    page.field("clients_hz", config.hz);
    page.field("lru_clock", (now / 1000) & 0xff_ffff);
    page.field("executable", &facts.executable);
    page.field("config_file", &facts.config_file);
    page.field("io_threads_active", 0);
    page.field("availability_zone", &config.availability_zone);
    if let Some(pending) = &engine.clients.shutdown {
        page.field("shutdown_in_milliseconds", pending.until_ms.saturating_sub(now));
    }
    let mut listener = 0;
    for (name, port) in [("tcp", config.port), ("tls", config.tls_port)] {
        if port != 0 {
            let addresses: String = config.bind.iter().map(|address| format!(",bind={address}")).collect();
            page.line(format_args!("listener{listener}:name={name}{addresses},port={port}"));
            listener += 1;
        }
    }
    if let Some(path) = config.unixsocket.as_deref().filter(|path| !path.is_empty()) {
        page.line(format_args!("listener{listener}:name=unix,bind={path}"));
    }
}

/// When the certificates of TLS end. That of outgoing connections may be the server's, and isn't told of again.
pub(super) fn tls(engine: &mut Engine, page: &mut Page) {
    let now = (engine.now() / 1000) as i64;
    let ends = &engine.info.certificates;
    for (name, end) in [("server", &ends.server), ("client", &ends.client), ("ca", &ends.authority)] {
        let serial = end.as_ref().map_or("none", |end| &end.serial);
        page.named(&["tls_", name, "_cert_serial"], serial);
        let left = end.as_ref().map_or(0, |end| (end.expires - now).max(0));
        page.named(&["tls_", name, "_cert_expires_in_seconds"], left);
    }
}

pub(super) fn clients(engine: &mut Engine, page: &mut Page) {
    let figures = engine.client_report();
    page.field("connected_clients", figures.connected);
    page.field("connected_priority_clients", engine.clients.priority_count);
    page.field("cluster_connections", engine.cluster_links().0);
    page.field("maxclients", engine.config.maxclients);
    page.field("client_recent_max_input_buffer", figures.largest_input);
    page.field("client_recent_max_output_buffer", figures.largest_output);
    page.field("blocked_clients", figures.blocked);
    page.field("tracking_clients", engine.clients.tracking.client_count());
    page.field("pubsub_clients", figures.pubsub);
    page.field("watching_clients", figures.watching);
    page.field("clients_in_timeout_table", figures.timing);
    page.field("total_watched_keys", engine.clients.watches.key_count());
    page.field("total_blocking_keys", engine.clients.blocked.key_count());
    page.field("total_blocking_keys_on_nokey", engine.clients.blocked.keys_even_if_gone());
    let pause = engine.clients.pause.filter(|pause| pause.until_ms > engine.now());
    let (reason, actions) = match pause {
        None => ("none", "none"),
        Some(pause) => {
            let reason = match () {
                () if engine.clients.shutdown.is_some() => "shutdown_in_progress",
                () if engine.clients.migration_pause && pause.writes_only => "slot_migration_in_progress",
                () if engine.clients.failover_pause && pause.writes_only => "failover_in_progress",
                () => "client_pause",
            };
            (reason, if pause.writes_only { "write" } else { "all" })
        }
    };
    page.field("paused_reason", reason);
    page.field("paused_actions", actions);
    page.field("paused_timeout_milliseconds", pause.map_or(0, |pause| pause.until_ms - engine.now()));
}

pub(super) fn memory(engine: &mut Engine, page: &mut Page) {
    engine.note_memory_peak();
    let figures = engine.memory_report();
    let lost = figures.resident as i64 - figures.used as i64;
    page.bytes("used_memory", figures.used);
    page.bytes("used_memory_rss", figures.resident);
    page.bytes("used_memory_peak", figures.peak);
    page.field("used_memory_peak_time", figures.peak_at_ms / 1000);
    page.field("used_memory_peak_perc", format_args!("{:.2}%", figures.peak_percent()));
    page.field("used_memory_overhead", figures.overhead);
    page.field("used_memory_startup", figures.startup);
    page.field("used_memory_dataset", figures.dataset);
    page.field("used_memory_dataset_perc", format_args!("{:.2}%", figures.dataset_percent()));
    page.field("allocator_allocated", figures.used);
    page.field("allocator_active", figures.resident);
    page.field("allocator_resident", figures.resident);
    page.field("allocator_muzzy", 0);
    page.bytes("total_system_memory", engine.info.machine_memory);
    scripts(engine, page);
    page.bytes("maxmemory", engine.config.maxmemory as usize);
    page.field("maxmemory_policy", engine.config.maxmemory_policy.word());
    page.field("allocator_frag_ratio", format_args!("{:.2}", figures.fragmentation()));
    page.field("allocator_frag_bytes", lost.max(0));
    page.field("allocator_rss_ratio", "1.00");
    page.field("allocator_rss_bytes", 0);
    page.field("rss_overhead_ratio", "1.00");
    page.field("rss_overhead_bytes", 0);
    page.field("mem_fragmentation_ratio", format_args!("{:.2}", figures.fragmentation()));
    page.field("mem_fragmentation_bytes", lost);
    page.field("mem_not_counted_for_evict", engine.uncounted_memory());
    page.field("mem_replication_backlog", figures.backlog);
    page.field("mem_total_replication_buffers", figures.stream);
    page.field("mem_replica_full_sync_buffer", 0);
    page.field("mem_replicas_repl_buffer", figures.stream - figures.backlog);
    page.field("mem_clients_slaves", figures.replicas);
    page.field("mem_clients_normal", figures.clients);
    page.field("mem_cluster_links", engine.cluster_links().1);
    let (input, input_peak) = engine.import_input_memory();
    page.field("mem_cluster_slot_migration_input_buffer", input);
    page.field("mem_cluster_slot_migration_input_buffer_peak", input_peak);
    page.field("mem_cluster_slot_import", input);
    page.field("mem_cluster_slot_migration_output_buffer", engine.export_output_memory());
    page.field("mem_cluster_slot_export", engine.export_output_memory());
    page.field("mem_aof_buffer", 0);
    page.field("mem_allocator", crate::sys::memory::ALLOCATOR_NAME);
    // No table is ever rehashed as a whole.
    page.field("mem_overhead_db_hashtable_rehashing", 0);
    page.field("active_defrag_running", 0);
    page.field("lazyfree_pending_objects", engine.data.keyspace.lazy_free.pending());
    page.field("lazyfreed_objects", engine.data.keyspace.lazy_free.freed);
}

/// The memory of scripts and functions.
fn scripts(engine: &Engine, page: &mut Page) {
    let figures = engine.scripting.figures();
    page.bytes("used_memory_lua", figures.interpreter_memory);
    page.field("used_memory_vm_eval", figures.interpreter_memory);
    page.field("used_memory_scripts_eval", figures.cache_memory);
    page.field("number_of_cached_scripts", figures.cached);
    let functions = engine.scripting.functions();
    let libraries = functions.libraries();
    page.field("number_of_functions", libraries.function_count());
    page.field("number_of_libraries", libraries.iter().len());
    page.field("used_memory_vm_functions", functions.interpreter_memory());
    page.bytes("used_memory_vm_total", figures.interpreter_memory + functions.interpreter_memory());
    page.field("used_memory_functions", libraries.memory());
    page.bytes("used_memory_scripts", figures.cache_memory + libraries.memory());
}

pub(super) fn threads(engine: &mut Engine, page: &mut Page) {
    let (clients, stats) = (engine.client_report().connected, &engine.metrics.stats);
    let (reads, writes) = (stats.reads_processed, stats.writes_processed);
    page.line(format_args!("io_thread_0:clients={clients},reads={reads},writes={writes}"));
}

/// Vector sets are a module in Redis.
pub(super) fn modules(_engine: &mut Engine, page: &mut Page) {
    page.line(format_args!(
        "module:name={VECTOR_SETS},ver=1,api=1,filters=0,usedby=[],using=[],options=[handle-io-errors|handle-repl-async-load]"
    ));
}

pub(super) fn cpu(engine: &mut Engine, page: &mut Page) {
    let times = engine.cpu_times();
    let of = [("", times.process), ("_children", times.children), ("_main_thread", times.thread)];
    for (suffix, (system, user)) in of {
        page.named(&["used_cpu_sys", suffix], format_args!("{system:.6}"));
        page.named(&["used_cpu_user", suffix], format_args!("{user:.6}"));
    }
    let active = engine.metrics.stats.event_loop_nanos as f64 / 1e9;
    page.field("used_active_time_main_thread", format_args!("{active:.6}"));
}

pub(super) fn cluster(engine: &mut Engine, page: &mut Page) {
    page.field("cluster_enabled", u8::from(engine.is_cluster()));
}

pub(super) fn keyspace(engine: &mut Engine, page: &mut Page) {
    engine.note_data_read();
    let now = engine.now();
    for database in engine.data.keyspace.databases().iter().filter(|database| !database.is_empty()) {
        let mean = database.table().mean_deadline(&mut engine.data.rng);
        let left = mean.map_or(0, |deadline| deadline.saturating_sub(now));
        let (index, keys, expires) = (database.index, database.len(), database.expires());
        // Redis's name for the hashes that have fields with deadlines, and Valkey's.
        let hashes = database.hashes_with_deadlines();
        page.line(format_args!(
            "db{index}:keys={keys},expires={expires},avg_ttl={left},\
            subexpiry={hashes},keys_with_volatile_items={hashes}"
        ));
    }
}
