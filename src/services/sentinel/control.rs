//! What administrators do: groups are added, removed, reset, changed and failed over by commands and by the configuration file.

use std::sync::Arc;

use super::address::AddressError;
use super::event::Level;
use super::info::leading_integer;
use super::instance::{Group, Kind, flag};
use super::{MAX_GROUPS, MAX_TIME, Sentinel};
use crate::base::{glob, number};

/// Why an instance was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// The kind of the instance that is there already.
    Duplicate(Kind),
    Host,
    Port,
    TooMany,
}

impl From<AddressError> for CreateError {
    fn from(error: AddressError) -> Self {
        match error {
            AddressError::Host => CreateError::Host,
            AddressError::Port => CreateError::Port,
        }
    }
}

impl CreateError {
    pub fn text(self) -> &'static str {
        match self {
            CreateError::Duplicate(Kind::Primary) => "Duplicate master name.",
            CreateError::Duplicate(Kind::Replica) => "Duplicate hostname and port for replica.",
            CreateError::Duplicate(Kind::Sentinel) => "Duplicate runid for sentinel.",
            CreateError::Host => "Can't resolve instance hostname.",
            CreateError::Port => "Invalid port number.",
            CreateError::TooMany => "Too many instances.",
        }
    }
}

/// Why SENTINEL FAILOVER was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverError {
    InProgress,
    NoGoodReplica,
    /// The primary knows no FAILOVER.
    NoGoodPrimary,
}

/// The outcome of SENTINEL CKQUORUM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumCheck {
    pub usable: usize,
    pub reaches_quorum: bool,
    pub reaches_majority: bool,
}

/// Why an option of SENTINEL SET was not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// This argument is not what the option takes.
    Invalid(String),
    Unknown,
    ScriptsDenied,
    NoSuchScript(&'static str),
}

/// The longest name of a group.
const MAX_NAME: usize = 1024;

impl Sentinel {
    /// Adds a group with its primary.
    pub fn create_group(
        &mut self,
        name: &str,
        host: &str,
        port: i64,
        quorum: u32,
    ) -> Result<(), CreateError> {
        let address = self.address(host, port)?;
        if self.groups.contains_key(name) {
            return Err(CreateError::Duplicate(Kind::Primary));
        }
        if self.groups.len() >= MAX_GROUPS || name.len() > MAX_NAME {
            return Err(CreateError::TooMany);
        }
        let shared: Arc<str> = name.into();
        let primary = self.add_instance(Kind::Primary, shared.clone(), name.to_string(), address);
        let timeout = self.timing.default_failover_timeout;
        self.groups.insert(shared.clone(), Group::new(shared, primary, quorum, timeout));
        Ok(())
    }

    /// SENTINEL MONITOR.
    pub fn monitor(
        &mut self,
        now: u64,
        name: &str,
        host: &str,
        port: i64,
        quorum: u32,
    ) -> Result<(), CreateError> {
        self.now = now;
        self.create_group(name, host, port, quorum)?;
        self.persist();
        let primary = self.group(name).primary;
        self.event(Level::Warning, "+monitor", primary, &format!("quorum {quorum}"));
        Ok(())
    }

    /// Whether a host is one that a primary may have.
    pub fn accepts_host(&self, host: &str) -> bool {
        self.address(host, 0).is_ok()
    }

    /// SENTINEL REMOVE. The group exists.
    pub fn remove_group(&mut self, now: u64, name: &str) {
        self.now = now;
        let group = self.group(name);
        let (primary, members) = (group.primary, group.members());
        self.event(Level::Warning, "-monitor", primary, "");
        for id in members {
            self.remove_instance(id);
        }
        self.groups.remove(name);
        self.persist();
    }

    /// SENTINEL RESET; how many groups match.
    pub fn reset(&mut self, now: u64, pattern: &[u8]) -> usize {
        self.now = now;
        let names = self.groups.keys().filter(|name| glob::matches(pattern, name.as_bytes()));
        let names: Vec<Arc<str>> = names.cloned().collect();
        for name in &names {
            self.reset_group(name, true);
            let primary = self.group(name).primary;
            self.event(Level::Warning, "+reset-master", primary, "");
        }
        names.len()
    }

    /// SENTINEL FAILOVER. The group exists.
    pub fn fail_over(&mut self, now: u64, name: &str, coordinated: bool) -> Result<(), FailoverError> {
        self.now = now;
        let primary = self.group(name).primary;
        if coordinated && self.at(primary).replication.failover.is_none() {
            return Err(FailoverError::NoGoodPrimary);
        }
        if self.at(primary).is(flag::FAILOVER_IN_PROGRESS) {
            return Err(FailoverError::InProgress);
        }
        if self.select_replica(name).is_none() {
            return Err(FailoverError::NoGoodReplica);
        }
        self.log(Level::Notice, format!("Executing user requested FAILOVER of '{name}'"));
        self.start_failover(name);
        if coordinated {
            self.at_mut(primary).set(flag::COORD_FAILOVER, true);
            self.ask_other_sentinels(name, true);
        } else {
            self.at_mut(primary).set(flag::FORCE_FAILOVER, true);
        }
        Ok(())
    }

    /// SENTINEL CKQUORUM. The group exists.
    pub fn check_quorum(&self, name: &str) -> QuorumCheck {
        let group = self.group(name);
        let is_up = |id: &&super::InstanceId| !self.at(**id).is(flag::S_DOWN | flag::O_DOWN);
        let usable = group.sentinels.values().filter(is_up).count() + 1;
        let majority = group.sentinels.len().div_ceil(2) + 1;
        QuorumCheck {
            usable,
            reaches_quorum: usable >= group.quorum as usize,
            reaches_majority: usable >= majority,
        }
    }

    /// How many arguments an option of SENTINEL SET takes.
    pub fn option_arity(option: &str) -> Option<usize> {
        match option {
            "rename-command" => Some(2),
            "down-after-milliseconds"
            | "failover-timeout"
            | "parallel-syncs"
            | "notification-script"
            | "client-reconfig-script"
            | "auth-pass"
            | "auth-user"
            | "quorum"
            | "master-reboot-down-after-period"
            | "primary-reboot-down-after-period" => Some(1),
            _ => None,
        }
    }

    /// Sets an option (in lower case) of a group that exists. `is_executable` tells whether a path is a program.
    pub fn set_option(
        &mut self,
        now: u64,
        name: &str,
        option: &str,
        arguments: &[&str],
        is_executable: fn(&str) -> bool,
    ) -> Result<(), SetError> {
        self.now = now;
        let value = arguments.first().copied().unwrap_or_default();
        let invalid = || SetError::Invalid(value.to_string());
        let at_least =
            |least: i64| number::parse_i64(value.as_bytes()).filter(|n| *n >= least).ok_or_else(invalid);
        let time = |least: i64| at_least(least).map(|ms| (ms as u64).min(MAX_TIME));
        let count = || at_least(1).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let text = || Some(value.to_string()).filter(|text| !text.is_empty());
        match option {
            "down-after-milliseconds" => self.set_down_after(name, time(1)?),
            "failover-timeout" => self.group_mut(name).failover_timeout_ms = time(1)?,
            "parallel-syncs" => self.group_mut(name).parallel_syncs = count()?,
            "quorum" => self.group_mut(name).quorum = count()?,
            "master-reboot-down-after-period" | "primary-reboot-down-after-period" => {
                self.group_mut(name).reboot_down_after_ms = time(0)?;
            }
            "notification-script" | "client-reconfig-script" => {
                if self.settings.deny_scripts_reconfig {
                    return Err(SetError::ScriptsDenied);
                }
                self.set_script(name, option, value, is_executable)?;
            }
            "auth-pass" => self.group_mut(name).auth_pass = text(),
            "auth-user" => self.group_mut(name).auth_user = text(),
            "rename-command" => {
                self.rename_command(name, value, arguments.get(1).copied().unwrap_or_default())?
            }
            _ => return Err(SetError::Unknown),
        }
        if option.starts_with("auth-") {
            let group = self.group(name);
            let reached: Vec<_> =
                std::iter::once(&group.primary).chain(group.replicas.values()).copied().collect();
            reached.into_iter().for_each(|id| self.disconnect(id));
        }
        let shown = if option == "auth-pass" { "******".to_string() } else { arguments.join(" ") };
        let primary = self.group(name).primary;
        self.event(Level::Warning, "+set", primary, &format!("{option} {shown}"));
        Ok(())
    }

    pub(super) fn set_down_after(&mut self, name: &str, ms: u64) {
        for id in self.group(name).members() {
            self.at_mut(id).down_after_ms = ms;
        }
    }

    /// Sets one of the scripts; an empty path takes it away.
    pub(super) fn set_script(
        &mut self,
        name: &str,
        option: &str,
        path: &str,
        is_executable: fn(&str) -> bool,
    ) -> Result<(), SetError> {
        let is_notification = option == "notification-script";
        if !path.is_empty() && !is_executable(path) {
            return Err(SetError::NoSuchScript(if is_notification {
                "Notification script seems non existing or non executable"
            } else {
                "Client reconfiguration script seems non existing or non executable"
            }));
        }
        let script = Some(path.to_string()).filter(|path| !path.is_empty());
        let group = self.group_mut(name);
        if is_notification {
            group.notification_script = script;
        } else {
            group.client_reconfig_script = script;
        }
        Ok(())
    }

    fn rename_command(&mut self, name: &str, old: &str, new: &str) -> Result<(), SetError> {
        if old.is_empty() || new.is_empty() {
            return Err(SetError::Invalid(String::new()));
        }
        let renamed = &mut self.group_mut(name).renamed_commands;
        let key = old.to_ascii_lowercase();
        renamed.remove(&key);
        if !old.eq_ignore_ascii_case(new) {
            renamed.insert(key, (old.to_string(), new.to_string()));
        }
        Ok(())
    }

    /// SENTINEL CONFIG SET has changed how sentinels log in to each other: their links are opened anew.
    pub fn drop_sentinel_links(&mut self) {
        let sentinels = self.groups.values().flat_map(|group| group.sentinels.values()).copied();
        for id in sentinels.collect::<Vec<_>>() {
            self.disconnect(id);
        }
    }

    /// A message on the hello channel that another sentinel sent directly.
    pub fn receive_hello(&mut self, now: u64, text: &[u8]) {
        self.now = now;
        self.process_hello(text);
    }

    /// Notes an epoch of the configuration file.
    pub(super) fn raise_epoch(&mut self, epoch: u64) {
        self.current_epoch = self.current_epoch.max(epoch);
    }

    pub(super) fn set_id(&mut self, id: &str) {
        self.id = id.to_string();
    }
}

/// A time of the configuration file, ms; `None` if it isn't positive.
pub(super) fn positive_time(word: &str) -> Option<u64> {
    u64::try_from(leading_integer(word.as_bytes())).ok().filter(|ms| *ms > 0).map(|ms| ms.min(MAX_TIME))
}
