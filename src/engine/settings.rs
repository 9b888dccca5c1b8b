//! The configuration as the engine reads it on every request: plain numbers, no text.
//!
//! Made anew from the directives whenever CONFIG SET changes one.

use crate::keyspace::{AccessClock, EvictionPolicy};
use crate::value::Limits;

/// Who may use a protected command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Permission {
    #[default]
    No,
    Yes,
    /// Clients of this machine.
    Local,
}

impl Permission {
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
    /// `requirepass`; empty: none.
    pub password: Vec<u8>,
    pub limits: Limits,
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
    /// Normal, replica, pubsub.
    pub output_limits: [OutputLimit; 3],
    /// `lazyfree-lazy-user-del` and its like.
    pub lazy_user_flush: bool,
    /// Keys past their deadline are hidden but stay (a replica's view).
    pub keep_expired: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            databases: 16,
            password: Vec::new(),
            limits: Limits::default(),
            max_bulk: 512 << 20,
            maxmemory: 0,
            policy: EvictionPolicy::NoEviction,
            maxmemory_samples: 5,
            eviction_budget_us: 500,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
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
            output_limits: [
                OutputLimit::default(),
                OutputLimit { hard: 256 << 20, soft: 64 << 20, soft_seconds: 60 },
                OutputLimit { hard: 32 << 20, soft: 8 << 20, soft_seconds: 60 },
            ],
            lazy_user_flush: false,
            keep_expired: false,
        }
    }
}

impl Settings {
    pub(super) fn access_clock(&self, now: u64) -> AccessClock {
        AccessClock::new(now, self.policy.is_lfu(), self.lfu_log_factor, self.lfu_decay_time)
    }
}
