//! The configuration as the engine reads it on every request: plain numbers, no text.
//!
//! Made anew from the directives whenever CONFIG SET changes one.

use crate::engine::command::spec::flag;
use crate::keyspace::{DumpOptions, EvictionPolicy, LruClock};
use crate::services::config::{Config, MaxmemoryPolicy, OutputBufferLimit, ProtectedAction, RdbVersionCheck};
use crate::value::Limits;

/// Calls that take so long are large, ns.
pub const LARGE_CALL_NANOS: u64 = 1_000_000;

/// Which clients may use a protected command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Permission {
    #[default]
    No,
    Yes,
    /// Clients of this machine.
    Local,
}

impl Permission {
    fn of(action: ProtectedAction) -> Self {
        match action {
            ProtectedAction::No => Permission::No,
            ProtectedAction::Yes => Permission::Yes,
            ProtectedAction::Local => Permission::Local,
        }
    }

    pub fn permits(self, local: bool) -> bool {
        self == Permission::Yes || (self == Permission::Local && local)
    }
}

/// Soft and hard limit of a class of clients' unsent replies; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    pub hard: u64,
    pub soft: u64,
    pub soft_seconds: u64,
}

/// What the hot path needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    pub databases: usize,
    /// `acllog-max-len`
    pub acl_log_max_len: usize,
    pub limits: Limits,
    pub dump_options: DumpOptions,
    /// `proto-max-bulk-len`, bytes.
    pub max_bulk: u64,
    /// `maxmemory`, bytes; 0: no limit.
    pub maxmemory: u64,
    pub policy: EvictionPolicy,
    pub maxmemory_samples: usize,
    /// Longest time that one request may spend evicting, microseconds.
    pub eviction_budget_us: u64,
    pub lfu_log_factor: u32,
    pub lfu_decay_time: u32,
    /// Calls at least this slow concern the list of large calls, the log of slow calls or the latency monitor.
    pub logged_nanos: u64,
    /// The same, or 0 while hot keys are tracked, which each call concerns.
    pub notable_nanos: u64,
    /// Calls at least this slow, or this big, are noted; `u64::MAX`: none.
    pub slow_nanos: u64,
    pub slowlog_max_len: usize,
    pub large_request: u64,
    pub large_request_max_len: usize,
    pub large_reply: u64,
    pub large_reply_max_len: usize,
    pub latency_tracking: bool,
    /// Events at least this long are noted by the latency monitor, ms; 0: none.
    pub latency_threshold_ms: u64,
    pub notify_classes: u32,
    pub debug_command: Permission,
    pub module_command: Permission,
    pub maxclients: usize,
    /// Seconds an idle client may stay; 0: for ever.
    pub timeout: u64,
    pub hz: u64,
    pub query_buffer_limit: u64,
    /// Bytes that all clients may take together; 0: no limit.
    pub client_memory_limit: usize,
    /// `cluster-compatibility-sample-ratio`.
    pub cluster_sample_percent: u64,
    /// Normal, replica, pubsub.
    pub output_limits: [OutputLimit; 3],
    /// `lazyfree-lazy-user-flush`.
    pub lazy_user_flush: bool,
    /// `lazyfree-lazy-expire`, `lazyfree-lazy-eviction`: such removals are propagated as UNLINK.
    pub unlink_expired: bool,
    pub unlink_evicted: bool,
    /// Keys past their deadline are hidden but stay (a replica's view).
    pub retain_expired: bool,
    /// Memory is another server's concern (`replica-ignore-maxmemory`, at a replica).
    pub ignores_maxmemory: bool,
    /// Clients can't write (`replica-read-only`, at a replica).
    pub is_read_only: bool,
    /// Clients can write only while so many replicas were heard of within so many seconds (`min-replicas-to-write`,
    /// `min-replicas-max-lag`, at a primary).
    pub min_good_replicas: usize,
    pub good_replica_lag: u64,
    /// Clients see no data (`replica-serve-stale-data no`, at a replica without its primary).
    pub hides_data: bool,
    /// Commands with one of these flags need every check of the admission.
    pub checked_flags: u64,
    /// `import-mode`: the same, and clients that import see them.
    pub import_mode: bool,
    /// This server has a primary.
    pub is_replica: bool,
    /// `cluster-enabled`: requests are served where their keys are.
    pub is_cluster: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            databases: 16,
            acl_log_max_len: 128,
            limits: Limits::default(),
            dump_options: DumpOptions::default(),
            max_bulk: 512 << 20,
            maxmemory: 0,
            policy: EvictionPolicy::NoEviction,
            maxmemory_samples: 5,
            eviction_budget_us: 500,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
            logged_nanos: LARGE_CALL_NANOS,
            notable_nanos: LARGE_CALL_NANOS,
            slow_nanos: 10_000_000,
            slowlog_max_len: 128,
            large_request: 1 << 20,
            large_request_max_len: 128,
            large_reply: 1 << 20,
            large_reply_max_len: 128,
            latency_tracking: true,
            latency_threshold_ms: 0,
            notify_classes: 0,
            debug_command: Permission::No,
            module_command: Permission::No,
            maxclients: 10_000,
            timeout: 0,
            hz: 10,
            query_buffer_limit: 1 << 30,
            client_memory_limit: 0,
            cluster_sample_percent: 0,
            output_limits: [
                OutputLimit::default(),
                OutputLimit { hard: 256 << 20, soft: 64 << 20, soft_seconds: 60 },
                OutputLimit { hard: 32 << 20, soft: 8 << 20, soft_seconds: 60 },
            ],
            lazy_user_flush: false,
            unlink_expired: false,
            unlink_evicted: false,
            retain_expired: false,
            ignores_maxmemory: false,
            is_read_only: false,
            min_good_replicas: 0,
            good_replica_lag: 0,
            hides_data: false,
            checked_flags: flag::PROTECTED,
            import_mode: false,
            is_replica: false,
            is_cluster: false,
        }
    }
}

impl Settings {
    pub(super) fn lru_clock(&self, now: u64) -> LruClock {
        LruClock::new(now, self.policy.access_meaning(), self.lfu_log_factor, self.lfu_decay_time)
    }

    /// Whether a cluster has one database, as Redis's have (`cluster-databases 1`).
    pub fn has_only_database(&self) -> bool {
        self.is_cluster && self.databases == 1
    }

    /// Whether keys past their deadline stay until another server says that they go.
    pub fn expiry_disabled(&self) -> bool {
        self.retain_expired || self.import_mode
    }

    /// What it means to be a replica or not: `is_up` says whether the primary's stream is executed, `serves_old` whether its data is
    /// being loaded beside the old.
    pub(super) fn set_role(&mut self, config: &Config, is_replica: bool, is_up: bool, serves_old: bool) {
        self.retain_expired = is_replica;
        self.is_replica = is_replica;
        self.ignores_maxmemory = is_replica && config.replica_ignore_maxmemory;
        self.is_read_only = is_replica && config.replica_read_only;
        self.hides_data = is_replica && !is_up && !config.replica_serve_stale_data;
        self.checked_flags = always_checked(config);
        let wanted = (config.min_replicas_to_write, config.min_replicas_max_lag);
        self.min_good_replicas = if is_replica || wanted.1 == 0 { 0 } else { wanted.0 as usize };
        self.good_replica_lag = u64::from(wanted.1);
        if self.is_read_only || self.min_good_replicas > 0 {
            self.checked_flags |= flag::WRITE | flag::RUNS_SCRIPT;
        }
        if serves_old {
            self.checked_flags |= flag::NO_ASYNC_LOADING;
        }
    }

    /// The part of the configuration that requests need.
    pub fn from_config(config: &Config) -> Settings {
        let slow_nanos = threshold(config.slowlog_log_slower_than).saturating_mul(1000);
        let delay_nanos = match config.latency_monitor_threshold {
            0 => u64::MAX,
            ms => ms.saturating_mul(1_000_000),
        };
        Settings {
            databases: databases(config),
            acl_log_max_len: saturate(config.acllog_max_len),
            limits: config.limits.clone(),
            dump_options: payload_rules(config),
            max_bulk: config.proto_max_bulk_len,
            maxmemory: config.maxmemory,
            policy: eviction_policy(config.maxmemory_policy),
            maxmemory_samples: config.maxmemory_samples as usize,
            eviction_budget_us: eviction_budget_us(config.maxmemory_eviction_tenacity),
            lfu_log_factor: config.lfu_log_factor,
            lfu_decay_time: config.lfu_decay_time,
            logged_nanos: slow_nanos.min(delay_nanos).min(LARGE_CALL_NANOS),
            notable_nanos: slow_nanos.min(delay_nanos).min(LARGE_CALL_NANOS),
            slow_nanos,
            slowlog_max_len: saturate(config.slowlog_max_len),
            large_request: threshold(config.commandlog_request_larger_than),
            large_request_max_len: saturate(config.commandlog_large_request_max_len),
            large_reply: threshold(config.commandlog_reply_larger_than),
            large_reply_max_len: saturate(config.commandlog_large_reply_max_len),
            latency_tracking: config.latency_tracking,
            latency_threshold_ms: config.latency_monitor_threshold,
            notify_classes: config.notify_keyspace_events.0,
            debug_command: Permission::of(config.enable_debug_command),
            module_command: Permission::of(config.enable_module_command),
            maxclients: config.maxclients as usize,
            timeout: u64::from(config.timeout),
            hz: u64::from(config.hz),
            query_buffer_limit: config.client_query_buffer_limit,
            client_memory_limit: super::clients::memory::limit_of(config),
            cluster_sample_percent: u64::from(config.cluster_compatibility_sample_ratio),
            output_limits: [
                OutputLimit::of(config.client_output_buffer_limit.normal),
                OutputLimit::of(config.client_output_buffer_limit.replica),
                OutputLimit::of(config.client_output_buffer_limit.pubsub),
            ],
            lazy_user_flush: config.lazyfree_lazy_user_flush,
            unlink_expired: config.lazyfree_lazy_expire,
            unlink_evicted: config.lazyfree_lazy_eviction,
            retain_expired: false,
            ignores_maxmemory: false,
            is_read_only: false,
            min_good_replicas: 0,
            good_replica_lag: 0,
            hides_data: false,
            checked_flags: always_checked(config),
            import_mode: config.import_mode,
            is_replica: false,
            is_cluster: config.cluster_enabled,
        }
    }
}

/// How many databases there are.
pub fn databases(config: &Config) -> usize {
    if config.cluster_enabled { config.cluster_databases as usize } else { config.databases as usize }
}

/// The flags of commands that need every check whatever the role.
fn always_checked(config: &Config) -> u64 {
    flag::PROTECTED | if config.cluster_enabled { flag::ROUTED_BY_MANY } else { 0 }
}

fn payload_rules(config: &Config) -> DumpOptions {
    DumpOptions {
        compress: config.rdbcompression,
        any_version: config.rdb_version_check == RdbVersionCheck::Relaxed,
        skip_checksum: false,
        unlink: config.lazyfree_lazy_server_del,
    }
}

impl OutputLimit {
    fn of(limit: OutputBufferLimit) -> Self {
        OutputLimit { hard: limit.hard, soft: limit.soft, soft_seconds: limit.soft_seconds }
    }
}

fn eviction_policy(policy: MaxmemoryPolicy) -> EvictionPolicy {
    match policy {
        MaxmemoryPolicy::VolatileLru => EvictionPolicy::VolatileLru,
        MaxmemoryPolicy::VolatileLfu => EvictionPolicy::VolatileLfu,
        MaxmemoryPolicy::VolatileRandom => EvictionPolicy::VolatileRandom,
        MaxmemoryPolicy::VolatileTtl => EvictionPolicy::VolatileTtl,
        MaxmemoryPolicy::VolatileLrm => EvictionPolicy::VolatileLrm,
        MaxmemoryPolicy::AllkeysLrm => EvictionPolicy::AllKeysLrm,
        MaxmemoryPolicy::AllkeysLru => EvictionPolicy::AllKeysLru,
        MaxmemoryPolicy::AllkeysLfu => EvictionPolicy::AllKeysLfu,
        MaxmemoryPolicy::AllkeysRandom => EvictionPolicy::AllKeysRandom,
        MaxmemoryPolicy::NoEviction => EvictionPolicy::NoEviction,
    }
}

/// A threshold of which a negative value is never reached.
fn threshold(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn saturate(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// What `maxmemory-eviction-tenacity` allows: 50 microseconds a step up to 10, then 15% more a step,
/// and no bound at 100.
fn eviction_budget_us(tenacity: u32) -> u64 {
    match tenacity {
        0..=10 => 50 * u64::from(tenacity),
        11..=99 => (500.0 * 1.15f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_agree() {
        let made = Settings::from_config(&Config::default());
        assert_eq!(format!("{made:?}"), format!("{:?}", Settings::default()));
    }

    #[test]
    fn thresholds_and_budgets() {
        let config =
            Config { slowlog_log_slower_than: -1, commandlog_reply_larger_than: 0, ..Config::default() };
        let made = Settings::from_config(&config);
        assert_eq!((made.slow_nanos, made.large_reply), (u64::MAX, 0));
        assert_eq!([0, 10, 11, 100].map(eviction_budget_us), [0, 500, 575, u64::MAX]);
    }
}
