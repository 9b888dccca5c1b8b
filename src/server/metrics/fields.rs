//! The fields of INFO that are metrics, and the names that dashboards know them by: those of the widely used exporter.

use crate::services::exposition::Kind::{self, Counter, Gauge};

/// A field as a metric.
pub struct FieldMetric {
    /// In INFO.
    pub field: &'static str,
    /// Behind `redis_`.
    pub metric: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

const fn gauge(field: &'static str, metric: &'static str, help: &'static str) -> FieldMetric {
    FieldMetric { field, metric, kind: Gauge, help }
}

const fn counter(field: &'static str, metric: &'static str, help: &'static str) -> FieldMetric {
    FieldMetric { field, metric, kind: Counter, help }
}

/// In the order in which they are written.
pub const FIELDS: &[FieldMetric] = &[
    gauge("uptime_in_seconds", "uptime_in_seconds", "Seconds since the start."),
    gauge("process_id", "process_id", "Id of the process."),
    gauge("hz", "hz", "Rounds of periodic work a second."),
    gauge("configured_hz", "configured_hz", "The same as configured."),
    gauge("connected_clients", "connected_clients", "Clients."),
    gauge("blocked_clients", "blocked_clients", "Clients in a blocking command."),
    gauge("tracking_clients", "tracking_clients", "Clients with client-side caching."),
    gauge("pubsub_clients", "pubsub_clients", "Clients with subscriptions."),
    gauge("watching_clients", "watching_clients", "Clients that watch keys."),
    gauge("clients_in_timeout_table", "clients_in_timeout_table", "Clients that wait with a time-out."),
    gauge("total_watched_keys", "total_watched_keys", "Keys that are watched."),
    gauge("total_blocking_keys", "total_blocking_keys", "Keys that clients wait for."),
    gauge(
        "connected_priority_clients",
        "connected_priority_clients",
        "Clients that came from a subnet of priority-subnets.",
    ),
    gauge("maxclients", "max_clients", "Most clients at a time."),
    gauge(
        "client_recent_max_input_buffer",
        "client_recent_max_input_buffer_bytes",
        "Largest input buffer of a client.",
    ),
    gauge(
        "client_recent_max_output_buffer",
        "client_recent_max_output_buffer_bytes",
        "Largest output buffer of a client.",
    ),
    gauge("used_memory", "memory_used_bytes", "Memory in use."),
    gauge("used_memory_rss", "memory_used_rss_bytes", "Resident memory."),
    gauge("used_memory_peak", "memory_used_peak_bytes", "Most memory that was in use."),
    gauge("used_memory_overhead", "memory_used_overhead_bytes", "Memory in use beside the data set."),
    gauge("used_memory_startup", "memory_used_startup_bytes", "Memory in use at the start."),
    gauge("used_memory_dataset", "memory_used_dataset_bytes", "Memory of the data set."),
    gauge("used_memory_lua", "memory_used_lua_bytes", "Memory of the interpreter of scripts."),
    gauge(
        "used_memory_vm_total",
        "memory_used_vm_total",
        "Memory of the interpreters of scripts and functions.",
    ),
    gauge("used_memory_scripts", "memory_used_scripts_bytes", "Memory of cached scripts and of libraries."),
    gauge("number_of_cached_scripts", "number_of_cached_scripts", "Cached scripts."),
    gauge("number_of_functions", "number_of_functions", "Functions of libraries."),
    gauge("number_of_libraries", "number_of_libraries", "Libraries of functions."),
    gauge("maxmemory", "memory_max_bytes", "Limit of memory; 0 is none."),
    gauge("total_system_memory", "total_system_memory_bytes", "Memory of the machine."),
    gauge("allocator_allocated", "allocator_allocated_bytes", "Memory in use, as the allocator counts."),
    gauge("allocator_active", "allocator_active_bytes", "Memory that the allocator has in pages."),
    gauge("allocator_resident", "allocator_resident_bytes", "Memory that the allocator has resident."),
    gauge("allocator_frag_ratio", "allocator_frag_ratio", "Active over allocated memory."),
    gauge("allocator_frag_bytes", "allocator_frag_bytes", "Active memory that isn't allocated."),
    gauge("allocator_rss_ratio", "allocator_rss_ratio", "Resident over active memory."),
    gauge("allocator_rss_bytes", "allocator_rss_bytes", "Resident memory that isn't active."),
    gauge("mem_fragmentation_ratio", "mem_fragmentation_ratio", "Resident over used memory."),
    gauge("mem_fragmentation_bytes", "mem_fragmentation_bytes", "Resident memory that isn't in use."),
    gauge("mem_clients_slaves", "mem_clients_slaves", "Memory of replicas, bytes."),
    gauge("mem_clients_normal", "mem_clients_normal", "Memory of other clients, bytes."),
    gauge(
        "mem_not_counted_for_evict",
        "mem_not_counted_for_eviction_bytes",
        "Memory that doesn't count towards maxmemory.",
    ),
    gauge("mem_replication_backlog", "mem_replication_backlog", "Memory of the replication backlog, bytes."),
    gauge(
        "mem_total_replication_buffers",
        "mem_total_replication_buffers",
        "Memory of the command stream, bytes.",
    ),
    gauge("mem_cluster_links", "mem_cluster_links", "Memory of the links of a cluster's node, bytes."),
    gauge("cluster_enabled", "cluster_enabled", "Whether this server is a node of a cluster."),
    gauge("lazyfree_pending_objects", "lazyfree_pending_objects", "Removed values that are not freed yet."),
    gauge("active_defrag_running", "active_defrag_running", "Always 0: tables compact themselves."),
    gauge("migrate_cached_sockets", "migrate_cached_sockets_total", "Connections that MIGRATE keeps."),
    counter(
        "expired_time_cap_reached_count",
        "expired_time_cap_reached_total",
        "Slices of expiry that ended for want of time.",
    ),
    gauge("expired_stale_perc", "expired_stale_percentage", "Share of keys that are past their time."),
    gauge("loading", "loading_dump_file", "Whether data is being loaded."),
    gauge("rdb_changes_since_last_save", "rdb_changes_since_last_save", "Changes since the last snapshot."),
    gauge("rdb_bgsave_in_progress", "rdb_bgsave_in_progress", "Whether a snapshot is being made."),
    gauge("rdb_last_save_time", "rdb_last_save_timestamp_seconds", "When the last snapshot was made."),
    gauge(
        "rdb_last_bgsave_status",
        "rdb_last_bgsave_status",
        "1 if the last snapshot was made, 0 if it failed.",
    ),
    gauge(
        "rdb_last_bgsave_time_sec",
        "rdb_last_bgsave_duration_sec",
        "Seconds that the last snapshot took; -1: there was none.",
    ),
    gauge(
        "rdb_current_bgsave_time_sec",
        "rdb_current_bgsave_duration_sec",
        "Seconds that the running snapshot has taken; -1: none is running.",
    ),
    gauge("rdb_last_cow_size", "rdb_last_cow_size_bytes", "Always 0: snapshots copy nothing."),
    gauge("aof_enabled", "aof_enabled", "Whether there is an append-only file."),
    gauge("aof_rewrite_in_progress", "aof_rewrite_in_progress", "Whether it is being rewritten."),
    gauge("aof_rewrite_scheduled", "aof_rewrite_scheduled", "Whether it is going to be rewritten."),
    gauge(
        "aof_last_rewrite_time_sec",
        "aof_last_rewrite_duration_sec",
        "Seconds that the last rewrite took; -1: there was none.",
    ),
    gauge(
        "aof_current_rewrite_time_sec",
        "aof_current_rewrite_duration_sec",
        "Seconds that the running rewrite has taken; -1: none is running.",
    ),
    gauge("aof_last_cow_size", "aof_last_cow_size_bytes", "Always 0: rewrites copy nothing."),
    gauge("aof_current_size", "aof_current_size_bytes", "Bytes of the append-only file."),
    gauge("aof_base_size", "aof_base_size_bytes", "Bytes of it after the last rewrite."),
    gauge("aof_pending_rewrite", "aof_pending_rewrite", "Whether a rewrite is waiting."),
    gauge("aof_buffer_length", "aof_buffer_length", "Bytes to be written to it."),
    gauge("aof_pending_bio_fsync", "aof_pending_bio_fsync", "Syncs of it that are running."),
    gauge("aof_delayed_fsync", "aof_delayed_fsync", "Syncs that came late."),
    gauge(
        "aof_last_bgrewrite_status",
        "aof_last_bgrewrite_status",
        "1 if the last rewrite succeeded, 0 if it failed.",
    ),
    gauge(
        "aof_last_write_status",
        "aof_last_write_status",
        "1 if the last write to it succeeded, 0 if it failed.",
    ),
    gauge("module_fork_in_progress", "module_fork_in_progress", "Always 0: there are no modules."),
    gauge("module_fork_last_cow_size", "module_fork_last_cow_size", "Always 0: there are no modules."),
    gauge("pubsub_channels", "pubsub_channels", "Channels with subscribers."),
    gauge("pubsub_patterns", "pubsub_patterns", "Patterns with subscribers."),
    gauge("pubsubshard_channels", "pubsubshard_channels", "Sharded channels with subscribers."),
    gauge("latest_fork_usec", "latest_fork_usec", "Always 0: nothing forks."),
    gauge("connected_slaves", "connected_slaves", "Replicas."),
    gauge("repl_backlog_size", "replication_backlog_bytes", "Size of the replication backlog."),
    gauge("repl_backlog_active", "repl_backlog_is_active", "Whether there is one."),
    gauge("repl_backlog_first_byte_offset", "repl_backlog_first_byte_offset", "Offset at which it begins."),
    gauge("repl_backlog_histlen", "repl_backlog_history_bytes", "Bytes in it."),
    gauge("master_repl_offset", "master_repl_offset", "Replication offset."),
    gauge(
        "second_repl_offset",
        "second_repl_offset",
        "Offset up to which the former history is valid; -1: there is none.",
    ),
    gauge(
        "slave_expires_tracked_keys",
        "slave_expires_tracked_keys",
        "Keys with deadlines that were written at this replica.",
    ),
    gauge("slave_priority", "slave_priority", "Priority of this replica for Sentinel."),
    gauge("sync_full", "replica_resyncs_full", "Full synchronizations of replicas."),
    gauge("sync_partial_ok", "replica_partial_resync_accepted", "Partial synchronizations of replicas."),
    gauge(
        "sync_partial_err",
        "replica_partial_resync_denied",
        "Partial synchronizations that were not possible.",
    ),
    gauge("instantaneous_ops_per_sec", "instantaneous_ops_per_sec", "Commands a second, of late."),
    gauge("tracking_total_keys", "tracking_total_keys", "Keys in the table of client-side caching."),
    counter("total_connections_received", "connections_received_total", "Connections that came."),
    counter("total_commands_processed", "commands_processed_total", "Commands that ran."),
    counter("rejected_connections", "rejected_connections_total", "Connections that were refused."),
    counter(
        "rejected_priority_connections",
        "rejected_priority_connections_total",
        "Connections from priority-subnets that were refused.",
    ),
    counter("total_net_input_bytes", "net_input_bytes_total", "Bytes read."),
    counter("total_net_output_bytes", "net_output_bytes_total", "Bytes written."),
    counter("total_net_repl_input_bytes", "net_repl_input_bytes_total", "Bytes read from the primary."),
    counter("total_net_repl_output_bytes", "net_repl_output_bytes_total", "Bytes written to replicas."),
    counter("expired_keys", "expired_keys_total", "Keys that were removed when their time was over."),
    counter(
        "expired_subkeys",
        "expired_subkeys_total",
        "Fields of hashes that were removed when their time was over.",
    ),
    counter("evicted_keys", "evicted_keys_total", "Keys that were removed for want of memory."),
    counter("evicted_clients", "evicted_clients_total", "Clients that were closed for want of memory."),
    counter("keyspace_hits", "keyspace_hits_total", "Lookups that found their key."),
    counter("keyspace_misses", "keyspace_misses_total", "Lookups that found none."),
    counter("total_error_replies", "error_replies_total", "Replies that were errors."),
    counter("total_reads_processed", "total_reads_processed_total", "Reads from sockets."),
    counter("total_writes_processed", "total_writes_processed_total", "Writes to sockets."),
    counter("acl_access_denied_auth", "acl_access_denied_auth_total", "Failed logins."),
    counter("acl_access_denied_cmd", "acl_access_denied_cmd_total", "Commands that a user may not call."),
    counter("acl_access_denied_key", "acl_access_denied_key_total", "Keys that a user may not touch."),
    counter(
        "acl_access_denied_channel",
        "acl_access_denied_channel_total",
        "Channels that a user may not use.",
    ),
    counter("used_cpu_sys", "cpu_sys_seconds_total", "Processor time in the kernel."),
    counter("used_cpu_user", "cpu_user_seconds_total", "Processor time in the process."),
    counter(
        "used_cpu_sys_children",
        "cpu_sys_children_seconds_total",
        "Processor time of children in the kernel.",
    ),
    counter("used_cpu_user_children", "cpu_user_children_seconds_total", "Processor time of children."),
    counter(
        "used_cpu_sys_main_thread",
        "cpu_sys_main_thread_seconds_total",
        "Processor time of the event loop in the kernel.",
    ),
    counter(
        "used_cpu_user_main_thread",
        "cpu_user_main_thread_seconds_total",
        "Processor time of the event loop.",
    ),
];

/// A value as a number: `ok` and its like are 1 and 0.
pub fn number(value: &str) -> Option<&str> {
    match value {
        "ok" | "up" | "yes" => Some("1"),
        "err" | "fail" | "down" | "no" => Some("0"),
        number => number.parse::<f64>().is_ok_and(f64::is_finite).then_some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_well_formed_and_differ() {
        let mut names: Vec<_> = FIELDS.iter().map(|field| field.metric).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIELDS.len());
        for FieldMetric { metric, kind, help, .. } in FIELDS {
            assert!(metric.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{metric}");
            assert!(help.ends_with('.'), "{metric}");
            assert!(*kind != Counter || metric.ends_with("_total"), "{metric}");
        }
    }

    #[test]
    fn values() {
        for (value, shown) in [
            ("12", Some("12")),
            ("1.50", Some("1.50")),
            ("ok", Some("1")),
            ("err", Some("0")),
            ("none", None),
            ("inf", None),
            ("", None),
        ] {
            assert_eq!(number(value), shown, "{value}");
        }
    }
}
