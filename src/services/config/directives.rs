//! Every directive of redis.conf and valkey.conf: one row each, which is also a field of [`Config`].
//!
//! ```text
//!   field: Type = default => "name" | "alias", rule, [flags], effect, "meaning";
//! ```
//!
//! The macro makes the struct, its defaults and the table from the rows. How a value is read and
//! shown is the business of its type (see `setting`); what a change leads to, of the caller.

use super::checks;
use super::compound::{OomScores, OutputBufferLimits, Percentiles, ReplicaOf, SavePoints};
use super::enums::*;
use super::events::KeyspaceEvents;
use super::quotas::QuotaLines;
use super::setting::{Rule, Secret, Setting, Unit};
use super::subnets::Subnets;
use crate::value::Limits;

/// What giving a directive a value of its own leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does what `meaning` says.
    Live,
    /// Stored and shown; has no effect until the named part of the server exists.
    NotYet(&'static str),
    /// Stored and shown; the server's behaviour suits every value.
    Ignored(&'static str),
    /// Accepted in a file; it has no effect, so changing it at run time is refused.
    Unsupported(&'static str),
}

/// Properties of a directive, as a set of bits.
pub mod flags {
    /// Set by the file or the command line only.
    pub const IMMUTABLE: u8 = 1;
    /// Changed at run time only as `enable-protected-configs` allows.
    pub const PROTECTED: u8 = 2;
    /// Its value must not be logged.
    pub const SENSITIVE: u8 = 4;
    /// CONFIG GET shows it only by its exact name. Valkey's directives that can't be changed are hidden, too: tools of
    /// Redis set every directive that they are shown.
    pub const HIDDEN: u8 = 8;
    /// Takes any number of words.
    pub const MULTI: u8 = 16;
    /// Not changed while the data set is being loaded.
    pub const DENY_LOADING: u8 = 32;
    /// Setting the same value is a change: the named file may have changed.
    pub const VOLATILE: u8 = 64;
    /// Written by `CONFIG REWRITE` even at its default.
    pub const FORCED: u8 = 128;
}

/// One row of the table.
pub struct Directive {
    pub name: &'static str,
    pub alias: Option<&'static str>,
    pub rule: Rule,
    pub flags: u8,
    pub effect: Effect,
    /// The meaning, in a sentence for users.
    pub meaning: &'static str,
    pub get: fn(&Config) -> &dyn Setting,
    pub get_mut: fn(&mut Config) -> &mut dyn Setting,
}

macro_rules! alias {
    () => {
        None
    };
    ($alias:literal) => {
        Some($alias)
    };
}

macro_rules! directives {
    (
        $($field:ident: $type:ty = $default:expr => $name:literal $(| $alias:literal)?,
            $rule:expr, [$($flag:ident)*], $effect:expr, $meaning:literal;)*
        @limits {
            $($limit:ident => $limit_name:literal $(| $limit_alias:literal)?,
                $limit_rule:expr, $limit_meaning:literal;)*
        }
    ) => {
        /// The configuration, a field for each directive.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $(#[doc = concat!("`", $name, "`: ", $meaning)] pub $field: $type,)*
            /// The thresholds of the compact encodings.
            pub limits: Limits,
        }

        impl Default for Config {
            fn default() -> Self {
                Config { $($field: $default,)* limits: Limits::default() }
            }
        }

        /// Every directive.
        pub static DIRECTIVES: &[Directive] = &[
            $(Directive {
                name: $name,
                alias: alias!($($alias)?),
                rule: $rule,
                flags: 0 $(| flags::$flag)*,
                effect: $effect,
                meaning: $meaning,
                get: |config| &config.$field,
                get_mut: |config| &mut config.$field,
            },)*
            $(Directive {
                name: $limit_name,
                alias: alias!($($limit_alias)?),
                rule: $limit_rule,
                flags: 0,
                effect: Effect::Live,
                meaning: $limit_meaning,
                get: |config| &config.limits.$limit,
                get_mut: |config| &mut config.limits.$limit,
            },)*
        ];
    };
}

const INT_MIN: i128 = i32::MIN as i128;
const INT_MAX: i128 = i32::MAX as i128;
const UINT_MAX: i128 = u32::MAX as i128;
const LONG_MAX: i128 = i64::MAX as i128;
const MIB: i128 = 1 << 20;

const fn whole(low: i128, high: i128) -> Rule {
    Rule::Range { low, high, unit: Unit::Plain }
}

const fn memory(low: i128, high: i128) -> Rule {
    Rule::Range { low, high, unit: Unit::Bytes }
}

const fn unit(low: i128, high: i128, unit: Unit) -> Rule {
    Rule::Range { low, high, unit }
}

use Effect::{Ignored, Live, NotYet, Unsupported};
use Rule::{Any, Check};

const REPLICATION: Effect = NotYet("replication");
const NO_FINITE_FIELDS: Effect = Ignored("keys are exchanged over elliptic curves only");
const ONE_THREAD: Effect = Ignored("one thread reads, serves and writes");
const SLICED: Effect = Ignored("large values are always freed in slices");
const NO_DEFRAG: Effect = Unsupported("tables compact themselves, there is nothing to defragment");
const NO_RDMA: Effect = Unsupported("there is no RDMA transport");
const NO_CPU_LIST: Effect = Unsupported("threads are not pinned; start the server with taskset");
const TESTING: Effect = Ignored("made for tests of other servers' internals");

directives! {
    // The network.
    bind: Vec<String> = vec!["*".into(), "-::*".into()] => "bind", Any, [MULTI], Live,
        "Addresses to listen on; one that starts with `-` may be missing.";
    port: u16 = 6379 => "port", whole(0, 65535), [], Live, "TCP port; 0 listens on none.";
    metrics_port: u16 = 0 => "metrics-port", whole(0, 65535), [], Live,
        "TCP port for HTTP: metrics for Prometheus, health; 0 listens on none. Without `bind`, of this machine only.";
    unixsocket: Option<String> = None => "unixsocket", Any, [IMMUTABLE], Live, "Path of the Unix socket.";
    unixsocketperm: u32 = 0 => "unixsocketperm", unit(0, 0o777, Unit::Octal), [IMMUTABLE], Live,
        "Mode of the Unix socket; 0 leaves it to the umask.";
    unixsocketgroup: Option<String> = None => "unixsocketgroup", Any, [IMMUTABLE HIDDEN],
        Unsupported("the socket belongs to the group of the process"), "Group of the Unix socket.";
    tcp_backlog: u32 = 511 => "tcp-backlog", whole(0, INT_MAX), [IMMUTABLE], Live,
        "Connections that may wait to be accepted.";
    tcp_keepalive: u32 = 300 => "tcp-keepalive", whole(0, INT_MAX), [], Live,
        "Seconds of silence before a connection is probed; 0 never probes.";
    timeout: u32 = 0 => "timeout", whole(0, INT_MAX), [], Live, "Seconds after which an idle client is closed; 0 never.";
    maxclients: u32 = 10000 => "maxclients", whole(1, UINT_MAX), [], Live, "Clients connected at a time.";
    maxclients_reserved: u32 = 0 => "maxclients-reserved", whole(0, UINT_MAX), [], Live,
        "Of `maxclients`, places that only clients of `priority-subnets` may take; without such, none is kept free.";
    priority_subnets: Subnets = Subnets::default() => "priority-subnets", Any, [], Live,
        "Where clients come from that may take a reserved place.";
    max_new_connections_per_cycle: u32 = 10 => "max-new-connections-per-cycle", whole(1, 1000), [], Live,
        "Connections accepted in one turn of the loop.";
    max_new_tls_connections_per_cycle: u32 = 1 => "max-new-tls-connections-per-cycle", whole(1, 1000), [], Live,
        "TLS connections accepted in one turn of the loop.";
    protected_mode: bool = true => "protected-mode", Any, [], Live,
        "Without a password, serve only clients of this machine.";
    requirepass: Secret = Secret::default() => "requirepass", Any, [SENSITIVE], Live,
        "Password of the default user.";
    bind_source_addr: Option<String> = None => "bind-source-addr", Any, [], Live,
        "Address from which outgoing connections start.";
    socket_mark_id: u32 = 0 => "socket-mark-id", whole(0, UINT_MAX), [IMMUTABLE],
        Unsupported("sockets are not marked"), "Mark put on listening sockets.";
    mptcp: bool = false => "mptcp", Any, [IMMUTABLE HIDDEN], Live, "Listen with multipath TCP.";
    repl_mptcp: bool = false => "repl-mptcp", Any, [IMMUTABLE HIDDEN], Live, "Connect to the primary with multipath TCP.";
    rdma_bind: Vec<String> = Vec::new() => "rdma-bind", Any, [MULTI], NO_RDMA, "Addresses of the RDMA listener.";
    rdma_port: u16 = 0 => "rdma-port", whole(0, 65535), [], NO_RDMA, "Port of the RDMA listener.";
    rdma_rx_size: u32 = 1 << 20 => "rdma-rx-size", whole(65536, 16 * MIB), [IMMUTABLE HIDDEN], NO_RDMA,
        "Receive buffer of an RDMA connection.";
    rdma_completion_vector: i32 = -1 => "rdma-completion-vector", whole(-1, 1024), [IMMUTABLE HIDDEN], NO_RDMA,
        "Completion vector of RDMA connections.";
    client_default_resp: u8 = 2 => "client-default-resp", whole(2, 3), [IMMUTABLE HIDDEN], Live,
        "Protocol version a connection starts with.";
    req_res_logfile: Option<String> = None => "req-res-logfile", Any, [IMMUTABLE HIDDEN], TESTING,
        "File that collects requests and replies.";

    // The process.
    daemonize: bool = false => "daemonize", Any, [IMMUTABLE], Live, "Run in the background.";
    supervised: Supervised = Supervised::No => "supervised", Any, [IMMUTABLE], Live,
        "Who watches over the process.";
    pidfile: Option<String> = None => "pidfile", Any, [IMMUTABLE], Live, "File that holds the process id.";
    dir: String = ".".into() => "dir", Any, [PROTECTED DENY_LOADING FORCED], Live, "The working directory.";
    loglevel: LogLevel = LogLevel::Notice => "loglevel", Any, [], Live, "How much the log tells.";
    logfile: String = String::new() => "logfile", Any, [IMMUTABLE], Live, "The log; empty is standard output.";
    log_format: LogFormat = LogFormat::Legacy => "log-format", Any, [], Live, "Form of log lines.";
    log_timestamp_format: LogTimestampFormat = LogTimestampFormat::Legacy => "log-timestamp-format", Any, [],
        Live, "Form of the time in log lines.";
    hide_user_data_from_log: bool = false => "hide-user-data-from-log", Any, [], Live,
        "Keep data of users out of the log.";
    syslog_enabled: bool = false => "syslog-enabled", Any, [IMMUTABLE], Live, "Log to syslog, too.";
    syslog_ident: String = "redis".into() => "syslog-ident", Any, [IMMUTABLE], Live, "Name in syslog.";
    syslog_facility: SyslogFacility = SyslogFacility::Local0 => "syslog-facility", Any, [IMMUTABLE], Live,
        "Facility of syslog.";
    crash_log_enabled: bool = true => "crash-log-enabled", Any, [], Live, "Report crashes in the log.";
    crash_memcheck_enabled: bool = true => "crash-memcheck-enabled", Any, [],
        Ignored("a crash does not test the memory"), "Test the memory after a crash.";
    use_exit_on_panic: bool = false => "use-exit-on-panic", Any, [HIDDEN], TESTING, "Exit rather than abort.";
    watchdog_period: u32 = 0 => "watchdog-period", whole(0, INT_MAX), [HIDDEN],
        Unsupported("there is no software watchdog"), "Milliseconds after which a slow turn is traced.";
    always_show_logo: bool = false => "always-show-logo", Any, [IMMUTABLE], Ignored("there is no logo"),
        "Print a logo at the start.";
    set_proc_title: bool = true => "set-proc-title", Any, [IMMUTABLE], Live, "Set the title of the process.";
    proc_title_template: String = "{title} {listen-addr} {server-mode}".into() => "proc-title-template",
        Check(checks::title_template), [], Live, "Template of the title of the process.";
    disable_thp: bool = true => "disable-thp", Any, [IMMUTABLE], Live,
        "Keep huge pages from all memory but that of large tables, which asks for them.";
    oom_score_adj: OomScoreAdj = OomScoreAdj::No => "oom-score-adj", Any, [], Live,
        "Set the score by which the kernel picks a victim when memory runs out.";
    oom_score_adj_values: OomScores = OomScores::default() => "oom-score-adj-values", Any, [MULTI], Live,
        "Scores of a primary, a replica and a background process.";
    server_cpulist: Option<String> = None => "server-cpulist" | "server_cpulist", Any, [IMMUTABLE], NO_CPU_LIST,
        "CPUs of the server's thread.";
    bio_cpulist: Option<String> = None => "bio-cpulist" | "bio_cpulist", Any, [IMMUTABLE], NO_CPU_LIST,
        "CPUs of background threads.";
    aof_rewrite_cpulist: Option<String> = None => "aof-rewrite-cpulist" | "aof_rewrite_cpulist", Any, [IMMUTABLE],
        NO_CPU_LIST, "CPUs of the AOF rewrite.";
    bgsave_cpulist: Option<String> = None => "bgsave-cpulist" | "bgsave_cpulist", Any, [IMMUTABLE], NO_CPU_LIST,
        "CPUs of the background save.";
    ignore_warnings: String = String::new() => "ignore-warnings", Any, [],
        Ignored("there is no start-up check that could be ignored"), "Start-up checks to ignore.";
    locale_collate: String = String::new() => "locale-collate", Any, [],
        Unsupported("texts are compared byte by byte"), "Locale by which texts are compared.";
    shutdown_timeout: u32 = 10 => "shutdown-timeout", whole(0, INT_MAX), [], Live,
        "Seconds a shutdown waits for replicas to catch up.";
    shutdown_on_sigint: ShutdownFlags = ShutdownFlags::default() => "shutdown-on-sigint", Any, [MULTI], Live,
        "How to shut down on SIGINT.";
    shutdown_on_sigterm: ShutdownFlags = ShutdownFlags::default() => "shutdown-on-sigterm", Any, [MULTI], Live,
        "How to shut down on SIGTERM.";
    enable_protected_configs: ProtectedAction = ProtectedAction::No => "enable-protected-configs", Any, [IMMUTABLE],
        Live, "From where protected directives may be changed.";
    enable_debug_command: ProtectedAction = ProtectedAction::No => "enable-debug-command", Any, [IMMUTABLE], Live,
        "From where DEBUG may be called.";
    enable_module_command: ProtectedAction = ProtectedAction::No => "enable-module-command", Any, [IMMUTABLE], Live,
        "From where MODULE may be called.";
    enable_debug_assert: bool = false => "enable-debug-assert", Any, [IMMUTABLE HIDDEN], TESTING,
        "Check more at run time.";
    debug_context: String = String::new() => "debug-context", Any, [HIDDEN], TESTING, "Note for crash reports.";
    extended_redis_compatibility: bool = false => "extended-redis-compatibility", Any, [],
        Ignored("the server always presents itself as Redis"), "Present the server as Redis.";
    availability_zone: String = String::new() => "availability-zone", Any, [], Live, "Zone shown by INFO and HELLO.";

    // The loop and threads.
    hz: u32 = 10 => "hz", whole(0, INT_MAX), [], Live, "Background turns a second, 1 to 500.";
    dynamic_hz: bool = true => "dynamic-hz", Any, [], Ignored("work is paced by time budgets"),
        "Adapt `hz` to the number of clients.";
    io_threads: u32 = 1 => "io-threads", whole(1, 256), [IMMUTABLE], ONE_THREAD, "Threads that read and write.";
    io_threads_always_active: bool = false => "io-threads-always-active", Any, [HIDDEN], ONE_THREAD,
        "Keep I/O threads awake.";
    prefetch_batch_max_size: u32 = 16 => "prefetch-batch-max-size", whole(0, 128), [],
        Ignored("the size of a batch is fixed"), "Commands whose keys are prefetched together.";
    lookahead: u32 = 16 => "lookahead", whole(1, INT_MAX), [],
        Ignored("the size of a batch is fixed"), "Requests of a pipeline that are read and prefetched together.";
    min_io_threads_avoid_copy_reply: u32 = 7 => "min-io-threads-avoid-copy-reply", whole(0, INT_MAX), [HIDDEN],
        ONE_THREAD, "I/O threads from which replies are not copied.";
    min_string_size_avoid_copy_reply: u32 = 16384 => "min-string-size-avoid-copy-reply", whole(0, INT_MAX), [HIDDEN],
        ONE_THREAD, "Size from which a string is not copied into the reply.";
    min_string_size_avoid_copy_reply_threaded: u32 = 65536 => "min-string-size-avoid-copy-reply-threaded",
        whole(0, INT_MAX), [HIDDEN], ONE_THREAD, "The same with I/O threads.";

    // Clients.
    client_output_buffer_limit: OutputBufferLimits = OutputBufferLimits::default() => "client-output-buffer-limit",
        Any, [MULTI], Live, "When a client that does not read is closed, for each class of clients.";
    client_query_buffer_limit: u64 = 1 << 30 => "client-query-buffer-limit", memory(MIB, LONG_MAX), [], Live,
        "Bytes of unfinished request a client may hold.";
    proto_max_bulk_len: u64 = 512 << 20 => "proto-max-bulk-len", memory(MIB, LONG_MAX), [], Live,
        "Bytes of one argument, and of a string value.";
    maxmemory_clients: i64 = 0 => "maxmemory-clients", unit(-100, LONG_MAX, Unit::BytesOrPercent), [], Live,
        "Memory of all clients together, or its share of `maxmemory`; 0 is no limit.";
    quota: QuotaLines = QuotaLines::default() => "quota", Any, [MULTI], Live,
        "Limits of a user or a database: bytes and keys stored, requests and bytes a second, and what happens beyond.";
    tracking_table_max_keys: u64 = 1_000_000 => "tracking-table-max-keys", whole(0, LONG_MAX), [], Live,
        "Keys remembered for client-side caching; 0 is no limit.";
    notify_keyspace_events: KeyspaceEvents = KeyspaceEvents::default() => "notify-keyspace-events", Any, [], Live,
        "Keyspace events to publish.";

    // The data set and memory.
    databases: u32 = 16 => "databases", whole(1, INT_MAX), [IMMUTABLE], Live, "Number of databases.";
    maxmemory: u64 = 0 => "maxmemory", memory(0, u64::MAX as i128), [], Live,
        "Memory at which keys are evicted; 0 is no limit.";
    maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::NoEviction => "maxmemory-policy", Any, [], Live,
        "Which keys are evicted.";
    maxmemory_samples: u32 = 5 => "maxmemory-samples", whole(1, 64), [], Live, "Keys looked at to evict one.";
    maxmemory_eviction_tenacity: u32 = 10 => "maxmemory-eviction-tenacity", whole(0, 100), [], Live,
        "How long a command may be held up by eviction.";
    lfu_log_factor: u32 = 10 => "lfu-log-factor", whole(0, INT_MAX), [], Live,
        "How slowly the access counter grows.";
    lfu_decay_time: u32 = 1 => "lfu-decay-time", whole(0, INT_MAX), [], Live,
        "Minutes after which the access counter is lowered.";
    active_expire_effort: u32 = 1 => "active-expire-effort", whole(1, 10), [],
        Ignored("expired keys are found by their deadlines, not looked for"), "How hard to look for expired keys.";
    lazyfree_lazy_eviction: bool = false => "lazyfree-lazy-eviction", Any, [], SLICED, "Free evicted values later.";
    lazyfree_lazy_expire: bool = false => "lazyfree-lazy-expire", Any, [], SLICED, "Free expired values later.";
    lazyexpire_nested_arbitrary_keys: bool = true => "lazyexpire-nested-arbitrary-keys", Any, [HIDDEN], Live,
        "Let SCAN and RANDOMKEY in a transaction or script remove the expired keys that they meet.";
    lazyfree_lazy_server_del: bool = false => "lazyfree-lazy-server-del", Any, [], SLICED,
        "Free overwritten values later.";
    lazyfree_lazy_user_del: bool = false => "lazyfree-lazy-user-del", Any, [], SLICED, "Make DEL behave as UNLINK.";
    lazyfree_lazy_user_flush: bool = false => "lazyfree-lazy-user-flush", Any, [], Live,
        "Make FLUSHALL and FLUSHDB asynchronous unless they say SYNC.";
    activerehashing: bool = true => "activerehashing", Any, [], Ignored("tables never rehash as a whole"),
        "Rehash tables in idle moments.";
    hash_seed: Option<String> = None => "hash-seed", Check(checks::hash_seed), [IMMUTABLE HIDDEN], Live,
        "Seed of the tables, so that scan cursors survive a restart.";
    sanitize_dump_payload: SanitizeDumpPayload = SanitizeDumpPayload::No => "sanitize-dump-payload", Any, [],
        Ignored("payloads are always checked in full"), "Check payloads of RESTORE in depth.";
    jemalloc_bg_thread: bool = true => "jemalloc-bg-thread", Any, [], Ignored("the allocator is not jemalloc"),
        "Let the allocator purge in the background.";
    activedefrag: bool = false => "activedefrag", Any, [], NO_DEFRAG, "Defragment memory in the background.";
    active_defrag_ignore_bytes: u64 = 100 << 20 => "active-defrag-ignore-bytes", memory(1, LONG_MAX), [], NO_DEFRAG,
        "Waste below which nothing is done.";
    active_defrag_threshold_lower: u32 = 10 => "active-defrag-threshold-lower", whole(0, 1000), [], NO_DEFRAG,
        "Percentage of waste at which to start.";
    active_defrag_threshold_upper: u32 = 100 => "active-defrag-threshold-upper", whole(0, 1000), [], NO_DEFRAG,
        "Percentage of waste at which effort is greatest.";
    active_defrag_cycle_min: u32 = 1 => "active-defrag-cycle-min", whole(1, 99), [], NO_DEFRAG, "Least percentage of CPU.";
    active_defrag_cycle_max: u32 = 25 => "active-defrag-cycle-max", whole(1, 99), [], NO_DEFRAG,
        "Greatest percentage of CPU.";
    active_defrag_cycle_us: u32 = 500 => "active-defrag-cycle-us", whole(0, 100_000), [], NO_DEFRAG,
        "Microseconds of one slice.";
    active_defrag_max_scan_fields: u64 = 1000 => "active-defrag-max-scan-fields", whole(1, LONG_MAX), [], NO_DEFRAG,
        "Fields of a collection looked at in one go.";

    // Observation.
    slowlog_log_slower_than: i64 = 10000 => "slowlog-log-slower-than" | "commandlog-execution-slower-than",
        whole(-1, LONG_MAX), [], Live, "Microseconds from which a command is logged as slow; -1 never.";
    slowlog_max_len: u64 = 128 => "slowlog-max-len" | "commandlog-slow-execution-max-len", whole(0, LONG_MAX), [], Live,
        "Entries of the log of slow commands.";
    commandlog_request_larger_than: i64 = 1 << 20 => "commandlog-request-larger-than", whole(-1, LONG_MAX), [], Live,
        "Bytes from which a request is logged as large; -1 never.";
    commandlog_large_request_max_len: u64 = 128 => "commandlog-large-request-max-len", whole(0, LONG_MAX), [], Live,
        "Entries of the log of large requests.";
    commandlog_reply_larger_than: i64 = 1 << 20 => "commandlog-reply-larger-than", whole(-1, LONG_MAX), [], Live,
        "Bytes from which a reply is logged as large; -1 never.";
    commandlog_large_reply_max_len: u64 = 128 => "commandlog-large-reply-max-len", whole(0, LONG_MAX), [], Live,
        "Entries of the log of large replies.";
    key_memory_histograms: bool = false => "key-memory-histograms", Any, [], Live,
        "Whether INFO keysizes shows how much memory collections take, too.";
    latency_monitor_threshold: u64 = 0 => "latency-monitor-threshold", whole(0, LONG_MAX), [], Live,
        "Milliseconds from which an event is kept by LATENCY; 0 keeps none.";
    latency_tracking: bool = true => "latency-tracking", Any, [], Live, "Keep a histogram of latencies a command.";
    latency_tracking_info_percentiles: Percentiles = Percentiles::default() => "latency-tracking-info-percentiles",
        Any, [MULTI], Live, "Percentiles shown by INFO.";

    // Persistence.
    save: SavePoints = SavePoints::default() => "save", Any, [MULTI], Live,
        "Save after so many seconds if so many changes were made.";
    dbfilename: String = "dump.rdb".into() => "dbfilename", Check(checks::dbfilename), [PROTECTED], Live,
        "Name of the snapshot file.";
    rdbcompression: bool = true => "rdbcompression", Any, [], Live, "Compress strings in snapshots.";
    rdbchecksum: bool = true => "rdbchecksum", Any, [IMMUTABLE], Live, "End snapshots with a checksum.";
    rdb_version_check: RdbVersionCheck = RdbVersionCheck::Strict => "rdb-version-check", Any, [], Live,
        "Whether snapshots of unknown versions are refused.";
    rdb_family: RdbFamily = RdbFamily::Redis => "rdb-family", Any, [], Live,
        "The server that files are made for, where the formats differ: in deadlines of hash fields, and in offsets in the log's manifest.";
    rdb_del_sync_files: bool = false => "rdb-del-sync-files", Any, [], Live,
        "Remove snapshots that served replication only.";
    rdb_save_incremental_fsync: bool = true => "rdb-save-incremental-fsync", Any, [], Live,
        "Force a snapshot to disk bit by bit.";
    rdb_key_save_delay: i32 = 0 => "rdb-key-save-delay", whole(INT_MIN, INT_MAX), [HIDDEN], Live,
        "Microseconds to wait at each key saved, for tests.";
    key_load_delay: i32 = 0 => "key-load-delay", whole(INT_MIN, INT_MAX), [HIDDEN], Live,
        "Microseconds to wait at each key loaded, for tests.";
    loading_process_events_interval_bytes: u64 = 512 << 10 => "loading-process-events-interval-bytes",
        whole(1024, INT_MAX), [HIDDEN], Live, "Bytes loaded between two looks at clients.";
    stop_writes_on_bgsave_error: bool = true => "stop-writes-on-bgsave-error", Any, [], Live,
        "Refuse writes while snapshots fail.";
    appendonly: bool = false => "appendonly", Any, [], Live, "Keep an append-only file.";
    appendfilename: String = "appendonly.aof".into() => "appendfilename", Check(checks::appendfilename), [IMMUTABLE],
        Live, "Name of the append-only file.";
    appenddirname: String = "appendonlydir".into() => "appenddirname", Check(checks::appenddirname), [IMMUTABLE],
        Live, "Directory of the append-only file.";
    appendfsync: AppendFsync = AppendFsync::EverySecond => "appendfsync", Any, [], Live,
        "When the append-only file is forced to disk.";
    no_appendfsync_on_rewrite: bool = false => "no-appendfsync-on-rewrite", Any, [], Live,
        "Do not force to disk during a rewrite.";
    auto_aof_rewrite_percentage: u32 = 100 => "auto-aof-rewrite-percentage", whole(0, INT_MAX), [], Live,
        "Growth in percent after which the file is rewritten; 0 never.";
    auto_aof_rewrite_min_size: u64 = 64 << 20 => "auto-aof-rewrite-min-size", memory(0, LONG_MAX), [], Live,
        "Size below which the file is not rewritten.";
    aof_rewrite_incremental_fsync: bool = true => "aof-rewrite-incremental-fsync", Any, [], Live,
        "Force a rewrite to disk bit by bit.";
    aof_load_corrupt_tail_max_size: u64 = 0 => "aof-load-corrupt-tail-max-size", whole(0, LONG_MAX), [], Live,
        "Bytes of a damaged end of the append-only file that may be cut off.";
    aof_load_truncated: bool = true => "aof-load-truncated", Any, [], Live,
        "Load a file whose end is cut off.";
    aof_use_rdb_preamble: bool = true => "aof-use-rdb-preamble", Any, [], Live,
        "Begin a rewritten file with a snapshot.";
    aof_timestamp_enabled: bool = false => "aof-timestamp-enabled", Any, [], Live,
        "Note the time in the append-only file.";
    aof_disable_auto_gc: bool = false => "aof-disable-auto-gc", Any, [HIDDEN], Live,
        "Keep files that a rewrite has replaced.";

    // Replication.
    replicaof: ReplicaOf = ReplicaOf::default() => "replicaof" | "slaveof", Any, [IMMUTABLE MULTI], Live,
        "The primary to follow.";
    masteruser: Option<String> = None => "masteruser" | "primaryuser", Any, [SENSITIVE], Live,
        "User with which to log in at the primary.";
    masterauth: Secret = Secret::default() => "masterauth" | "primaryauth", Any, [SENSITIVE], Live,
        "Password with which to log in at the primary.";
    replica_serve_stale_data: bool = true => "replica-serve-stale-data" | "slave-serve-stale-data", Any, [], Live,
        "Serve reads while the primary is away.";
    replica_read_only: bool = true => "replica-read-only" | "slave-read-only", Any, [], Live,
        "Refuse writes of clients at a replica.";
    replica_priority: u32 = 100 => "replica-priority" | "slave-priority", whole(0, INT_MAX), [], Live,
        "Rank for promotion, smaller first; 0 never.";
    replica_announced: bool = true => "replica-announced", Any, [], Live, "Show this replica to Sentinel.";
    replica_announce_ip: Option<String> = None => "replica-announce-ip" | "slave-announce-ip", Any, [], Live,
        "Address announced to the primary.";
    replica_announce_port: u16 = 0 => "replica-announce-port" | "slave-announce-port", whole(0, 65535), [], Live,
        "Port announced to the primary.";
    replica_ignore_maxmemory: bool = true => "replica-ignore-maxmemory" | "slave-ignore-maxmemory", Any, [], Live,
        "Leave eviction to the primary.";
    replica_ignore_disk_write_errors: bool = false => "replica-ignore-disk-write-errors", Any, [], Live,
        "Go on when a replica cannot write to disk.";
    replica_lazy_flush: bool = false => "replica-lazy-flush" | "slave-lazy-flush", Any, [], SLICED,
        "Free the old data set of a replica later.";
    replica_full_sync_buffer_limit: u64 = 0 => "replica-full-sync-buffer-limit", memory(0, LONG_MAX), [], REPLICATION,
        "Bytes held during a full synchronisation; 0 follows the limit of output buffers.";
    repl_timeout: u32 = 60 => "repl-timeout", whole(1, INT_MAX), [], Live,
        "Seconds of silence after which a link is cut.";
    repl_ping_replica_period: u32 = 10 => "repl-ping-replica-period" | "repl-ping-slave-period", whole(1, INT_MAX), [],
        Live, "Seconds between pings of the primary.";
    repl_backlog_size: u64 = 1 << 20 => "repl-backlog-size", memory(1, LONG_MAX), [], Live,
        "Bytes of the stream kept for replicas that come back.";
    repl_backlog_ttl: u64 = 3600 => "repl-backlog-ttl", whole(0, LONG_MAX), [], Live,
        "Seconds without replicas after which that is freed; 0 never.";
    repl_disable_tcp_nodelay: bool = false => "repl-disable-tcp-nodelay", Any, [], Live,
        "Send fewer and larger packets to replicas.";
    repl_diskless_sync: bool = true => "repl-diskless-sync", Any, [], Live,
        "Send snapshots to replicas without a file.";
    repl_diskless_sync_delay: u32 = 5 => "repl-diskless-sync-delay", whole(0, INT_MAX), [], Live,
        "Seconds to wait for more replicas before sending.";
    repl_diskless_sync_max_replicas: u32 = 0 => "repl-diskless-sync-max-replicas", whole(0, INT_MAX), [], Live,
        "Replicas at which sending starts at once; 0 always waits.";
    repl_diskless_load: ReplDisklessLoad = ReplDisklessLoad::Disabled => "repl-diskless-load", Any, [DENY_LOADING],
        Live, "Load a snapshot from the primary without a file.";
    repl_rdb_channel: bool = true => "repl-rdb-channel", Any, [HIDDEN], REPLICATION,
        "Send a snapshot over a connection of its own.";
    dual_channel_replication_enabled: bool = false => "dual-channel-replication-enabled", Any, [], REPLICATION,
        "Send a snapshot over a connection of its own, as Valkey does.";
    min_replicas_to_write: u32 = 0 => "min-replicas-to-write" | "min-slaves-to-write", whole(0, INT_MAX), [], Live,
        "Replicas without which writes are refused.";
    min_replicas_max_lag: u32 = 10 => "min-replicas-max-lag" | "min-slaves-max-lag", whole(0, INT_MAX), [], Live,
        "Seconds after which a silent replica no longer counts.";
    propagation_error_behavior: PropagationErrorBehavior = PropagationErrorBehavior::Ignore =>
        "propagation-error-behavior", Any, [], Live, "What to do when a replicated command fails.";
    import_mode: bool = false => "import-mode", Any, [], Live, "Don't expire keys by themselves while data is imported.";

    // Cluster.
    cluster_enabled: bool = false => "cluster-enabled", Any, [IMMUTABLE], Live, "Be a node of a cluster.";
    cluster_databases: u32 = 1 => "cluster-databases", whole(1, INT_MAX), [IMMUTABLE HIDDEN], Live,
        "Number of databases of a node.";
    cluster_config_file: String = "nodes.conf".into() => "cluster-config-file", Check(checks::cluster_config_file),
        [IMMUTABLE], Live, "File that a node keeps its view in.";
    cluster_config_save_behavior: ClusterConfigSaveBehavior = ClusterConfigSaveBehavior::Sync =>
        "cluster-config-save-behavior", Any, [], Live, "What to do when that file cannot be written.";
    cluster_node_timeout: u64 = 15000 => "cluster-node-timeout", whole(0, LONG_MAX), [], Live,
        "Milliseconds of silence after which a node is suspected.";
    cluster_ping_interval: u64 = 0 => "cluster-ping-interval", whole(0, LONG_MAX), [HIDDEN], Live,
        "Milliseconds between pings; 0 derives it.";
    cluster_manual_failover_timeout: u64 = 5000 => "cluster-manual-failover-timeout", whole(1, INT_MAX), [], Live,
        "Milliseconds a manual failover may take.";
    cluster_message_gossip_perc: u32 = 10 => "cluster-message-gossip-perc", whole(1, 100), [HIDDEN], Live,
        "Percentage of nodes that a message is about.";
    cluster_blacklist_ttl: u64 = 60 => "cluster-blacklist-ttl", whole(0, LONG_MAX), [], Live,
        "Seconds for which a forgotten node may not return.";
    cluster_port: u16 = 0 => "cluster-port", whole(0, 65535), [IMMUTABLE], Live, "Port of the bus; 0 is port + 10000.";
    cluster_link_sendbuf_limit: u64 = 0 => "cluster-link-sendbuf-limit", memory(0, u64::MAX as i128), [], Live,
        "Bytes that may wait on a bus link; 0 is no limit.";
    cluster_replica_validity_factor: u32 = 10 => "cluster-replica-validity-factor" | "cluster-slave-validity-factor",
        whole(0, INT_MAX), [], Live, "How old a replica's data may be for it to take over.";
    cluster_replica_no_failover: bool = false => "cluster-replica-no-failover" | "cluster-slave-no-failover", Any, [],
        Live, "Never take over by itself.";
    cluster_migration_barrier: u32 = 1 => "cluster-migration-barrier", whole(0, INT_MAX), [], Live,
        "Replicas a primary keeps when it lends one.";
    cluster_allow_replica_migration: bool = true => "cluster-allow-replica-migration", Any, [], Live,
        "Lend replicas to primaries without one.";
    cluster_require_full_coverage: bool = true => "cluster-require-full-coverage", Any, [], Live,
        "Refuse commands while slots are not covered.";
    cluster_allow_reads_when_down: bool = false => "cluster-allow-reads-when-down", Any, [], Live,
        "Serve reads while the cluster is down.";
    cluster_allow_pubsubshard_when_down: bool = true => "cluster-allow-pubsubshard-when-down", Any, [], Live,
        "Serve sharded channels while the cluster is down.";
    cluster_announce_ip: Option<String> = None => "cluster-announce-ip", Check(checks::announced_ip), [], Live,
        "Address announced to other nodes.";
    cluster_announce_client_ipv4: Option<String> = None => "cluster-announce-client-ipv4", Check(checks::ipv4), [], Live,
        "IPv4 address announced to clients.";
    cluster_announce_client_ipv6: Option<String> = None => "cluster-announce-client-ipv6", Check(checks::ipv6), [], Live,
        "IPv6 address announced to clients.";
    cluster_announce_hostname: Option<String> = None => "cluster-announce-hostname", Check(checks::announced_hostname), [],
        Live, "Host name announced to clients.";
    cluster_announce_human_nodename: Option<String> = None => "cluster-announce-human-nodename",
        Check(checks::announced_nodename), [], Live, "Name of the node in logs.";
    cluster_announce_port: u16 = 0 => "cluster-announce-port", whole(0, 65535), [], Live, "Port announced to other nodes.";
    cluster_announce_tls_port: u16 = 0 => "cluster-announce-tls-port", whole(0, 65535), [], Live,
        "TLS port announced to other nodes.";
    cluster_announce_bus_port: u16 = 0 => "cluster-announce-bus-port", whole(0, 65535), [], Live,
        "Bus port announced to other nodes.";
    cluster_announce_client_port: u16 = 0 => "cluster-announce-client-port", whole(0, 65535), [], Live,
        "Port announced to clients.";
    cluster_announce_client_tls_port: u16 = 0 => "cluster-announce-client-tls-port", whole(0, 65535), [], Live,
        "TLS port announced to clients.";
    cluster_preferred_endpoint_type: ClusterEndpointType = ClusterEndpointType::Ip => "cluster-preferred-endpoint-type",
        Any, [], Live, "What a redirection names a node by.";
    cluster_compatibility_sample_ratio: u32 = 0 => "cluster-compatibility-sample-ratio", whole(0, 100), [], Live,
        "Percentage of commands checked for use in a cluster.";
    cluster_slot_stats_enabled: SlotStatsKinds = SlotStatsKinds::default() => "cluster-slot-stats-enabled", Any, [MULTI], Live,
        "What CLUSTER SLOT-STATS tells of each slot besides its keys: time of commands, bytes of requests and replies, memory.";
    cluster_slot_migration_log_max_len: u64 = 1000 => "cluster-slot-migration-log-max-len", whole(0, LONG_MAX), [], Live,
        "Finished slot migrations remembered.";
    slot_migration_max_failover_repl_bytes: i64 = 0 => "slot-migration-max-failover-repl-bytes",
        unit(-1, LONG_MAX, Unit::SignedBytes), [], Live, "Bytes in flight at which a slot changes hands; -1 is no limit.";
    cluster_slot_migration_handoff_max_lag_bytes: u64 = 1 << 20 => "cluster-slot-migration-handoff-max-lag-bytes",
        memory(0, LONG_MAX), [], Live, "Bytes in flight at which writes pause for a slot to change hands.";
    cluster_slot_migration_write_pause_timeout: u64 = 10_000 => "cluster-slot-migration-write-pause-timeout",
        whole(0, LONG_MAX), [], Live, "Longest pause of writes while a slot changes hands, ms.";
    cluster_slot_migration_sync_buffer_drain_timeout: u64 = 60_000 =>
        "cluster-slot-migration-sync-buffer-drain-timeout", whole(0, LONG_MAX), [HIDDEN], Live,
        "Longest time a target may lag behind after a snapshot of slots, ms.";
    cluster_slot_migration_max_archived_tasks: u64 = 32 => "cluster-slot-migration-max-archived-tasks",
        whole(1, INT_MAX), [HIDDEN], Live, "Finished tasks remembered of slot migrations begun at their targets.";

    // TLS.
    tls_port: u16 = 0 => "tls-port", whole(0, 65535), [], Live, "TCP port for TLS; 0 listens on none.";
    tls_cert_file: Option<String> = None => "tls-cert-file", Any, [VOLATILE], Live, "Certificate.";
    tls_key_file: Option<String> = None => "tls-key-file", Any, [VOLATILE], Live, "Private key.";
    tls_key_file_pass: Secret = Secret::default() => "tls-key-file-pass", Any, [SENSITIVE], Live, "Password of the key.";
    tls_client_cert_file: Option<String> = None => "tls-client-cert-file", Any, [VOLATILE], Live,
        "Certificate of outgoing connections.";
    tls_client_key_file: Option<String> = None => "tls-client-key-file", Any, [VOLATILE], Live,
        "Private key of outgoing connections.";
    tls_client_key_file_pass: Secret = Secret::default() => "tls-client-key-file-pass", Any, [SENSITIVE], Live,
        "Password of that key.";
    tls_dh_params_file: Option<String> = None => "tls-dh-params-file", Any, [VOLATILE], NO_FINITE_FIELDS,
        "Parameters of the Diffie-Hellman exchange.";
    tls_ca_cert_file: Option<String> = None => "tls-ca-cert-file", Any, [VOLATILE], Live, "Certificates trusted.";
    tls_ca_cert_dir: Option<String> = None => "tls-ca-cert-dir", Any, [VOLATILE], Live, "Directory of certificates trusted.";
    tls_auth_clients: TlsAuthClients = TlsAuthClients::Yes => "tls-auth-clients", Any, [], Live,
        "Whether clients need a certificate.";
    tls_auth_clients_user: TlsAuthClientsUser = TlsAuthClientsUser::Off => "tls-auth-clients-user", Any, [], Live,
        "Field of the certificate that names the user.";
    tls_replication: bool = false => "tls-replication", Any, [], Live, "Follow the primary over TLS; a sentinel watches over TLS.";
    tls_cluster: bool = false => "tls-cluster", Any, [], Live, "The bus of a cluster, and MIGRATE, over TLS.";
    tls_protocols: Option<String> = None => "tls-protocols", Any, [], Live, "Versions of TLS allowed.";
    tls_ciphers: Option<String> = None => "tls-ciphers", Any, [], Live, "Ciphers up to TLS 1.2.";
    tls_ciphersuites: Option<String> = None => "tls-ciphersuites", Any, [], Live, "Cipher suites of TLS 1.3.";
    tls_prefer_server_ciphers: bool = false => "tls-prefer-server-ciphers", Any, [], Live, "Prefer the server's order.";
    tls_session_caching: bool = true => "tls-session-caching", Any, [], Live, "Let clients resume sessions.";
    tls_session_cache_size: u32 = 20480 => "tls-session-cache-size", whole(0, INT_MAX), [], Live,
        "Sessions kept; 0 is no limit.";
    tls_session_cache_timeout: u32 = 300 => "tls-session-cache-timeout", whole(0, INT_MAX), [], Live,
        "Seconds a session is kept.";
    tls_auto_reload_interval: u32 = 0 => "tls-auto-reload-interval", whole(0, INT_MAX), [], Live,
        "Seconds between looks for new certificates; 0 never.";

    // ACL and scripting.
    aclfile: String = String::new() => "aclfile", Any, [IMMUTABLE], Live, "File of users.";
    acllog_max_len: u64 = 128 => "acllog-max-len", whole(0, LONG_MAX), [], Live, "Entries of ACL LOG.";
    acl_pubsub_default: AclPubsubDefault = AclPubsubDefault::ResetChannels => "acl-pubsub-default", Any, [], Live,
        "Channels a new user may use.";
    vset_force_single_threaded_execution: bool = false => "vset-force-single-threaded-execution", Any, [], Live,
        "Search vector sets on the event loop, however long it takes, instead of on other threads.";
    busy_reply_threshold: u64 = 5000 => "busy-reply-threshold" | "lua-time-limit", whole(0, LONG_MAX), [], Live,
        "Milliseconds after which other clients get BUSY while a script is running.";
    lua_enable_deprecated_api: bool = false => "lua-enable-deprecated-api" | "lua-enable-insecure-api", Any,
        [HIDDEN PROTECTED], Live, "Give scripts functions that break out of the sandbox.";

    @limits {
        hash_max_listpack_entries => "hash-max-listpack-entries" | "hash-max-ziplist-entries", whole(0, LONG_MAX),
            "Fields of a compact hash.";
        hash_max_listpack_value => "hash-max-listpack-value" | "hash-max-ziplist-value", memory(0, LONG_MAX),
            "Bytes of a field or value of a compact hash.";
        set_max_intset_entries => "set-max-intset-entries", whole(0, LONG_MAX), "Members of a set of integers.";
        set_max_listpack_entries => "set-max-listpack-entries", whole(0, LONG_MAX), "Members of a compact set.";
        set_max_listpack_value => "set-max-listpack-value", whole(0, LONG_MAX), "Bytes of a member of a compact set.";
        zset_max_listpack_entries => "zset-max-listpack-entries" | "zset-max-ziplist-entries", whole(0, LONG_MAX),
            "Members of a compact sorted set.";
        zset_max_listpack_value => "zset-max-listpack-value" | "zset-max-ziplist-value", memory(0, LONG_MAX),
            "Bytes of a member of a compact sorted set.";
        list_max_listpack_size => "list-max-listpack-size" | "list-max-ziplist-size", whole(INT_MIN, INT_MAX),
            "Entries of a list's node; -1 to -5 are 4 to 64 KiB.";
        list_compress_depth => "list-compress-depth", whole(0, INT_MAX),
            "Nodes at each end of a list that stay uncompressed; 0 compresses none.";
        stream_node_max_bytes => "stream-node-max-bytes", memory(0, LONG_MAX), "Bytes of a stream's node; 0 is no limit.";
        stream_node_max_entries => "stream-node-max-entries", whole(0, LONG_MAX),
            "Entries of a stream's node; 0 is no limit.";
        stream_idmp_duration => "stream-idmp-duration", whole(1, 86_400),
            "Seconds for which a new stream remembers the identifiers of a producer's requests.";
        stream_idmp_maxsize => "stream-idmp-maxsize", whole(1, 10_000),
            "Identifiers of each producer's requests that a new stream remembers.";
        hll_sparse_max_bytes => "hll-sparse-max-bytes", memory(0, LONG_MAX), "Bytes of a sparse HyperLogLog.";
    }
}
