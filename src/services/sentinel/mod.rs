//! Sentinel: watches primaries, their replicas and other sentinels, agrees with these on failures, and fails over.
//!
//! ```text
//! tick(now) ─────────────┐                    ┌──▶ actions: connect, send, close, event, persist, run a script
//! connected, received, ──┼──▶ Sentinel ───────┤
//! closed, script ended ──┘    groups, links   └──▶ answers of the SENTINEL command
//! ```
//!
//! It does no I/O and reads no clock: time, bytes, and the seed of its randomness are given. The messages are those of Redis and Valkey,
//! so that their sentinels and this one work together.

mod address;
mod config;
mod control;
mod down;
mod election;
mod event;
mod failover;
mod hello;
mod ids;
mod info;
mod instance;
mod link;
mod links;
mod refresh;
mod reply;
mod report;
mod scripts;
#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use config::{ConfigLine, LineError, STATEMENTS, Statement};
pub use control::{CreateError, FailoverError, QuorumCheck, SetError};
pub use event::Level;
pub use ids::{ConnectionId, InstanceId};
pub use instance::{Group, Instance, Kind, flag};
pub use link::Channel;
pub use report::Field;
pub use scripts::{Ending, Job, JobId};
pub use timing::{FIELDS as TIMING_FIELDS, Timing};

use crate::base::rng::Rng;
use address::{Address, AddressError};
use ids::LinkKey;
use instance::FailoverState;
use link::Link;
use scripts::{Scripts, Verdict};

/// The channel on which sentinels meet.
pub const HELLO_CHANNEL: &str = "__sentinel__:hello";
/// The longest delay that keeps sentinels from acting at the same time, ms.
const MAX_DESYNC: u64 = 1000;
/// The timer's frequency is between this and twice this.
const BASE_HZ: u64 = 10;
/// The most groups, and the most sentinels of a group.
const MAX_GROUPS: usize = 10_000;
const MAX_SENTINELS: usize = 1024;
/// The longest time that can be configured, ms; sums and products of a few can't overflow.
pub const MAX_TIME: u64 = 1 << 50;

/// What the server does for Sentinel, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Connect {
        connection: ConnectionId,
        host: String,
        port: u16,
    },
    /// Only when it is connected.
    Send {
        connection: ConnectionId,
        bytes: Vec<u8>,
    },
    Close {
        connection: ConnectionId,
    },
    /// A message on the channel `name` (unless it is of a level below a notice), and a line for the log.
    Event {
        level: Level,
        name: &'static str,
        message: String,
    },
    Log {
        level: Level,
        text: String,
    },
    /// Write the state to the configuration file, before anything that follows.
    Persist,
    Run {
        job: JobId,
        words: Vec<String>,
    },
    Kill {
        job: JobId,
    },
    /// End the process as a crash would (SENTINEL SIMULATE-FAILURE).
    Crash,
}

/// What holds for all groups.
#[derive(Clone, Debug)]
pub struct Settings {
    pub announce_ip: String,
    pub announce_port: u16,
    pub deny_scripts_reconfig: bool,
    pub resolve_hostnames: bool,
    pub announce_hostnames: bool,
    pub auth_user: Option<String>,
    pub auth_pass: Option<String>,
    /// The port that this server listens on.
    pub port: u16,
    /// The password of this server (`requirepass`), which the others are taken to share.
    pub requirepass: Option<String>,
}

/// What SENTINEL SIMULATE-FAILURE asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimulatedFailures {
    pub crash_after_election: bool,
    pub crash_after_promotion: bool,
}

/// The service.
#[derive(Debug)]
pub struct Sentinel {
    now: u64,
    /// Forty hexadecimal digits; empty until it is chosen or read.
    id: String,
    current_epoch: u64,
    pub settings: Settings,
    pub timing: Timing,
    pub simulated: SimulatedFailures,
    groups: BTreeMap<Arc<str>, Group>,
    instances: BTreeMap<InstanceId, Instance>,
    links: BTreeMap<LinkKey, Link>,
    /// The link that a connection belongs to.
    connections: BTreeMap<ConnectionId, (LinkKey, Channel)>,
    scripts: Scripts,
    /// When TILT began, while it lasts.
    tilt_since: Option<u64>,
    total_tilt: u32,
    ticked_at: u64,
    /// The last number of an instance, a link, a connection.
    last_number: u64,
    rng: Rng,
    actions: VecDeque<Action>,
}

impl Sentinel {
    /// A sentinel that monitors nothing. `now` is Unix time, ms.
    pub fn new(now: u64, seed: u64) -> Self {
        Sentinel {
            now,
            id: String::new(),
            current_epoch: 0,
            settings: Settings {
                announce_ip: String::new(),
                announce_port: 0,
                deny_scripts_reconfig: true,
                resolve_hostnames: false,
                announce_hostnames: false,
                auth_user: None,
                auth_pass: None,
                port: 0,
                requirepass: None,
            },
            timing: Timing::default(),
            simulated: SimulatedFailures::default(),
            groups: BTreeMap::new(),
            instances: BTreeMap::new(),
            links: BTreeMap::new(),
            connections: BTreeMap::new(),
            scripts: Scripts::default(),
            tilt_since: None,
            total_tilt: 0,
            ticked_at: now,
            last_number: 0,
            rng: Rng::new(seed),
            actions: VecDeque::new(),
        }
    }

    /// The configuration has been read: chooses an id if there is none, and announces what is monitored.
    pub fn start(&mut self, now: u64) {
        (self.now, self.ticked_at) = (now, now);
        if self.id.is_empty() {
            self.id = self.rng.hex(40);
            self.persist();
        }
        self.log(Level::Notice, format!("Sentinel ID is {}", self.id));
        for (primary, quorum) in self.groups.values().map(|g| (g.primary, g.quorum)).collect::<Vec<_>>() {
            self.event(Level::Warning, "+monitor", primary, &format!("quorum {quorum}"));
        }
    }

    /// Does what is due (`sentinelTimer`). To be called every [`Self::next_delay_ms`].
    pub fn tick(&mut self, now: u64) {
        self.check_clock(now);
        let groups: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for group in &groups {
            for id in self.group(group).members() {
                self.handle(id);
            }
        }
        for group in &groups {
            if self.group(group).failover.state == FailoverState::UpdateConfig {
                self.switch_to_promoted(group);
            }
        }
        self.tick_scripts();
    }

    /// How long to wait until the next tick, ms: another time each time, so that sentinels don't act in step.
    pub fn next_delay_ms(&mut self) -> u64 {
        1000 / (BASE_HZ + self.rng.below(BASE_HZ))
    }

    /// Enters TILT if the clock has jumped or this process has been held up: what was measured means nothing then.
    fn check_clock(&mut self, now: u64) {
        let has_jumped = now < self.ticked_at || now - self.ticked_at > self.timing.tilt_trigger;
        (self.now, self.ticked_at) = (now, now);
        if has_jumped {
            self.tilt_since = Some(now);
            self.total_tilt = self.total_tilt.wrapping_add(1);
            self.event_text(Level::Warning, "+tilt", None, "#tilt mode entered".into());
        }
    }

    fn handle(&mut self, id: InstanceId) {
        self.reconnect(id);
        self.send_periodic(id);
        if let Some(since) = self.tilt_since {
            if self.now.saturating_sub(since) < self.timing.tilt_period {
                return;
            }
            self.tilt_since = None;
            self.event_text(Level::Warning, "-tilt", None, "#tilt mode exited".into());
        }
        self.check_subjectively_down(id);
        if self.at(id).kind == Kind::Primary {
            let group = self.at(id).group.clone();
            self.check_objectively_down(&group);
            if self.start_failover_if_needed(&group) {
                self.ask_other_sentinels(&group, true);
            }
            self.advance_failover(&group);
            self.ask_other_sentinels(&group, false);
        }
    }

    fn tick_scripts(&mut self) {
        for (job, words) in self.scripts.start_due(self.now) {
            self.actions.push_back(Action::Run { job, words });
        }
        for (job, path, pid) in self.scripts.overdue(self.now, &self.timing) {
            self.event_text(Level::Warning, "-script-timeout", None, format!("{path} {pid}"));
            self.actions.push_back(Action::Kill { job });
        }
    }

    /// A script's process runs.
    pub fn script_started(&mut self, job: JobId, pid: u32) {
        self.scripts.started(job, pid);
        self.event_text(Level::Debug, "+script-child", None, pid.to_string());
    }

    /// A script's process has ended, or could not be started (signal 99).
    pub fn script_ended(&mut self, now: u64, job: JobId, ending: Ending) {
        self.now = now;
        let Ending { status, signal } = ending;
        let pid = self.scripts.jobs().find(|other| other.id == job).map_or(0, |job| job.pid);
        self.event_text(Level::Debug, "-script-child", None, format!("{pid} {status} {signal}"));
        if let Verdict::Failed(path) = self.scripts.ended(job, ending, now, &self.timing) {
            self.event_text(Level::Warning, "-script-error", None, format!("{path} {signal} {status}"));
        }
    }

    /// What the server has to do next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn current_epoch(&self) -> u64 {
        self.current_epoch
    }

    pub fn now(&self) -> u64 {
        self.now
    }

    /// The time of TILT: since when, if it lasts, and how often there was one.
    pub fn tilt(&self) -> (Option<u64>, u32) {
        (self.tilt_since, self.total_tilt)
    }

    pub fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    pub fn groups(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.groups.values()
    }

    pub fn find_group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// An instance that a group refers to.
    pub fn at(&self, id: InstanceId) -> &Instance {
        &self.instances[&id]
    }

    fn at_mut(&mut self, id: InstanceId) -> &mut Instance {
        self.instances.get_mut(&id).expect("groups refer to instances that exist")
    }

    /// The group of an instance that exists.
    fn group(&self, name: &str) -> &Group {
        &self.groups[name]
    }

    fn group_mut(&mut self, name: &str) -> &mut Group {
        self.groups.get_mut(name).expect("instances belong to groups that exist")
    }

    fn link_of(&self, id: InstanceId) -> &Link {
        &self.links[&self.at(id).link]
    }

    fn link_of_mut(&mut self, id: InstanceId) -> &mut Link {
        let key = self.at(id).link;
        self.links.get_mut(&key).expect("instances have links")
    }

    fn new_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn persist(&mut self) {
        if self.actions.back() != Some(&Action::Persist) {
            self.actions.push_back(Action::Persist);
        }
    }

    fn address(&self, host: &str, port: i64) -> Result<Address, AddressError> {
        Address::new(host, port, self.settings.resolve_hostnames)
    }

    /// Host and port as others are told of them.
    fn announced(&self, address: &Address) -> [String; 2] {
        let host = address.announced(self.settings.announce_hostnames);
        [host.to_string(), address.port.to_string()]
    }

    /// Adds an instance with a link of its own; the caller puts it into its group.
    fn add_instance(&mut self, kind: Kind, group: Arc<str>, name: String, address: Address) -> InstanceId {
        let (id, link) = (InstanceId(self.new_number()), LinkKey(self.new_number()));
        self.links.insert(link, Link::new(self.now));
        let mut instance = Instance::new(kind, group, name, address, link, self.now);
        instance.down_after_ms = match self.groups.get(&instance.group) {
            Some(group) => self.at(group.primary).down_after_ms,
            None => self.timing.default_down_after,
        };
        self.instances.insert(id, instance);
        id
    }

    /// Adds a replica to a group, unless it has it already.
    fn add_replica(&mut self, group: &str, address: Address) -> Option<InstanceId> {
        let name = address.with_port(self.settings.announce_hostnames);
        let found = self.group(group);
        if found.replicas.contains_key(&name) || found.replicas.len() >= info::MAX_REPLICAS {
            return None;
        }
        let id = self.add_instance(Kind::Replica, found.name.clone(), name.clone(), address);
        self.group_mut(group).replicas.insert(name, id);
        Some(id)
    }

    /// Adds a sentinel to a group, unless it has it already.
    fn add_sentinel(&mut self, group: &str, run_id: &str, address: Address) -> Option<InstanceId> {
        let found = self.group(group);
        if found.sentinels.contains_key(run_id) || found.sentinels.len() >= MAX_SENTINELS {
            return None;
        }
        let id = self.add_instance(Kind::Sentinel, found.name.clone(), run_id.to_string(), address);
        self.at_mut(id).run_id = Some(run_id.to_string());
        self.group_mut(group).sentinels.insert(run_id.to_string(), id);
        self.share_link(id);
        Some(id)
    }

    /// Removes an instance that its group doesn't refer to any more.
    fn remove_instance(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.remove(&id) else { return };
        self.release_link(instance.link, id);
        let promoted = self.groups.get_mut(&instance.group).map(|group| &mut group.failover.promoted);
        if let Some(promoted) = promoted
            && *promoted == Some(id)
        {
            *promoted = None;
        }
    }
}
