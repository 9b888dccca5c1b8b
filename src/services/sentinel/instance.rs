//! Instances and groups: what is known of each primary, replica and other sentinel (`sentinelRedisInstance`).
//!
//! ```text
//! group "mymaster" ── primary   10.0.0.1:6379
//!                  ├─ replicas  10.0.0.2:6379, 10.0.0.3:6379
//!                  └─ sentinels 10.0.0.7:26379, 10.0.0.8:26379
//! ```
//!
//! Times are Unix ms; 0 is never.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::address::Address;
use super::ids::{InstanceId, LinkKey};

/// What an instance is in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Primary,
    Replica,
    Sentinel,
}

impl Kind {
    /// As events and replies name it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Primary => "master",
            Kind::Replica => "slave",
            Kind::Sentinel => "sentinel",
        }
    }
}

/// The role that an instance reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Replica,
}

impl Role {
    /// As events and replies name it; what reports no role counts as a replica.
    pub fn name(role: Option<Role>) -> &'static str {
        if role == Some(Role::Primary) { "master" } else { "slave" }
    }
}

pub mod flag {
    //! State bits of an instance.
    /// This sentinel can't reach it (SDOWN).
    pub const S_DOWN: u32 = 1 << 0;
    /// The quorum agrees that it can't be reached (ODOWN).
    pub const O_DOWN: u32 = 1 << 1;
    /// Of a sentinel: it says that the group's primary is down.
    pub const PRIMARY_DOWN: u32 = 1 << 2;
    pub const FAILOVER_IN_PROGRESS: u32 = 1 << 3;
    /// Of a replica: it is to be the primary.
    pub const PROMOTED: u32 = 1 << 4;
    pub const RECONF_SENT: u32 = 1 << 5;
    pub const RECONF_INPROG: u32 = 1 << 6;
    pub const RECONF_DONE: u32 = 1 << 7;
    /// The failover needs no election (SENTINEL FAILOVER).
    pub const FORCE_FAILOVER: u32 = 1 << 8;
    pub const SCRIPT_KILL_SENT: u32 = 1 << 9;
    pub const PRIMARY_REBOOT: u32 = 1 << 10;
    /// The primary itself hands over (SENTINEL FAILOVER … COORDINATED).
    pub const COORD_FAILOVER: u32 = 1 << 11;

    /// Those that SENTINEL PRIMARY and its kin show behind the kind, with their names.
    pub const SHOWN: [(u32, &str); 10] = [
        (PRIMARY_DOWN, "master_down"),
        (FAILOVER_IN_PROGRESS, "failover_in_progress"),
        (PROMOTED, "promoted"),
        (RECONF_SENT, "reconf_sent"),
        (RECONF_INPROG, "reconf_inprog"),
        (RECONF_DONE, "reconf_done"),
        (FORCE_FAILOVER, "force_failover"),
        (SCRIPT_KILL_SENT, "script_kill_sent"),
        (PRIMARY_REBOOT, "master_reboot"),
        (COORD_FAILOVER, "coordinated_failover"),
    ];
}

/// What a replica (or a primary that has become one) reports of its replication.
#[derive(Clone, Debug)]
pub struct Replication {
    pub primary_host: Option<String>,
    pub primary_port: i64,
    pub is_link_up: bool,
    pub link_down_ms: u64,
    pub priority: i64,
    pub offset: u64,
    pub is_announced: bool,
    /// When it last reported another primary.
    pub changed_at: u64,
    /// Whether a FAILOVER is going on; `None` if it knows no such command.
    pub failover: Option<bool>,
    pub failover_changed_at: u64,
}

/// The vote of a sentinel: this one's for a group is in the group's primary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    pub leader: Option<String>,
    pub epoch: u64,
}

/// One instance.
#[derive(Clone, Debug)]
pub struct Instance {
    pub kind: Kind,
    pub group: Arc<str>,
    /// Of a primary its group's, of a replica its address, of a sentinel its id.
    pub name: String,
    pub run_id: Option<String>,
    pub address: Address,
    pub link: LinkKey,
    pub flags: u32,
    pub down_after_ms: u64,
    pub published_at: u64,
    pub hello_at: u64,
    /// When a sentinel last said whether the primary is down.
    pub down_reply_at: u64,
    pub s_down_since: u64,
    pub o_down_since: u64,
    pub info_at: u64,
    pub info: Option<Vec<u8>>,
    pub role: Option<Role>,
    pub role_changed_at: u64,
    pub replication: Replication,
    pub reconf_sent_at: u64,
    pub reboot_since: u64,
    pub vote: Vote,
}

/// The priority of replicas that report none.
const DEFAULT_PRIORITY: i64 = 100;

impl Instance {
    pub fn new(kind: Kind, group: Arc<str>, name: String, address: Address, link: LinkKey, now: u64) -> Self {
        Instance {
            kind,
            group,
            name,
            run_id: None,
            address,
            link,
            flags: 0,
            down_after_ms: 0,
            published_at: now,
            hello_at: now,
            down_reply_at: now,
            s_down_since: 0,
            o_down_since: 0,
            info_at: 0,
            info: None,
            role: match kind {
                Kind::Primary => Some(Role::Primary),
                Kind::Replica => Some(Role::Replica),
                Kind::Sentinel => None,
            },
            role_changed_at: now,
            replication: Replication {
                primary_host: None,
                primary_port: 0,
                is_link_up: false,
                link_down_ms: 0,
                priority: DEFAULT_PRIORITY,
                offset: 0,
                is_announced: true,
                changed_at: now,
                failover: None,
                failover_changed_at: now,
            },
            reconf_sent_at: 0,
            reboot_since: 0,
            vote: Vote::default(),
        }
    }

    pub fn is(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    pub fn set(&mut self, flags: u32, on: bool) {
        if on {
            self.flags |= flags;
        } else {
            self.flags &= !flags;
        }
    }

    /// Whether it has not been down in the last `ms`.
    pub fn was_up_for(&self, now: u64, ms: u64) -> bool {
        let latest = self.s_down_since.max(self.o_down_since);
        latest == 0 || now.saturating_sub(latest) > ms
    }
}

/// Where a failover stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailoverState {
    #[default]
    None,
    /// An election is held.
    WaitStart,
    SelectReplica,
    SendReplicaOfNoOne,
    WaitPromotion,
    ReconfReplicas,
    /// The promoted replica takes the primary's place in the group.
    UpdateConfig,
}

impl FailoverState {
    pub fn name(self) -> &'static str {
        match self {
            FailoverState::None => "none",
            FailoverState::WaitStart => "wait_start",
            FailoverState::SelectReplica => "select_slave",
            FailoverState::SendReplicaOfNoOne => "send_slaveof_noone",
            FailoverState::WaitPromotion => "wait_promotion",
            FailoverState::ReconfReplicas => "reconf_slaves",
            FailoverState::UpdateConfig => "update_config",
        }
    }
}

/// A failover of a group.
#[derive(Clone, Debug, Default)]
pub struct Failover {
    pub state: FailoverState,
    pub epoch: u64,
    pub changed_at: u64,
    /// When the last attempt began, also that of another sentinel.
    pub started_at: u64,
    /// The attempt whose delay has been logged.
    pub delay_logged: u64,
    pub promoted: Option<InstanceId>,
}

/// A monitored primary with its replicas, the other sentinels, and what is configured for it.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: Arc<str>,
    pub primary: InstanceId,
    pub replicas: BTreeMap<String, InstanceId>,
    pub sentinels: BTreeMap<String, InstanceId>,
    pub quorum: u32,
    pub parallel_syncs: u32,
    pub failover_timeout_ms: u64,
    pub reboot_down_after_ms: u64,
    pub auth_pass: Option<String>,
    pub auth_user: Option<String>,
    pub notification_script: Option<String>,
    pub client_reconfig_script: Option<String>,
    /// Commands in lower case, with the name as it was given and the one that instances know.
    pub renamed_commands: BTreeMap<String, (String, String)>,
    pub config_epoch: u64,
    pub failover: Failover,
}

impl Group {
    pub fn new(name: Arc<str>, primary: InstanceId, quorum: u32, failover_timeout_ms: u64) -> Self {
        Group {
            name,
            primary,
            replicas: BTreeMap::new(),
            sentinels: BTreeMap::new(),
            quorum,
            parallel_syncs: DEFAULT_PARALLEL_SYNCS,
            failover_timeout_ms,
            reboot_down_after_ms: 0,
            auth_pass: None,
            auth_user: None,
            notification_script: None,
            client_reconfig_script: None,
            renamed_commands: BTreeMap::new(),
            config_epoch: 0,
            failover: Failover::default(),
        }
    }

    /// The primary, the replicas, the sentinels.
    pub fn members(&self) -> Vec<InstanceId> {
        let others = self.replicas.values().chain(self.sentinels.values());
        std::iter::once(&self.primary).chain(others).copied().collect()
    }
}

/// How many replicas are pointed at a new primary at the same time.
pub const DEFAULT_PARALLEL_SYNCS: u32 = 1;
