//! The `sentinel` lines of the configuration file: read at the start, and written whenever the state changes.
//!
//! ```text
//! sentinel myid 3d4d2fe29931d6fd4b304c08f338769c9bdd679c
//! sentinel monitor mymaster 10.0.0.1 6379 2
//! sentinel known-replica mymaster 10.0.0.2 6379
//! sentinel current-epoch 7
//! ```
//!
//! The order of the lines means nothing: what holds for all groups is read first, then the groups, then what belongs to them.

use super::control::{CreateError, SetError, positive_time};
use super::info::{leading_integer, leading_unsigned};
use super::instance::{DEFAULT_PARALLEL_SYNCS, Group, Kind};
use super::{MAX_TIME, Sentinel};
use crate::base::quoting;

/// A `sentinel` line of the file: its number, its text, the words after the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigLine {
    pub number: usize,
    pub text: Vec<u8>,
    pub words: Vec<Vec<u8>>,
}

/// A line that can't be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    pub number: usize,
    pub text: Vec<u8>,
    pub reason: &'static str,
}

/// A line to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// One of [`STATEMENTS`].
    pub name: &'static str,
    pub value: Vec<u8>,
    /// It is written even where the file has no such line yet.
    pub is_forced: bool,
}

/// The first two words of all lines that are written.
pub const STATEMENTS: [&str; 23] = [
    "sentinel myid",
    "sentinel deny-scripts-reconfig",
    "sentinel resolve-hostnames",
    "sentinel announce-hostnames",
    "sentinel monitor",
    "sentinel down-after-milliseconds",
    "sentinel failover-timeout",
    "sentinel parallel-syncs",
    "sentinel notification-script",
    "sentinel client-reconfig-script",
    "sentinel auth-pass",
    "sentinel auth-user",
    "sentinel master-reboot-down-after-period",
    "sentinel config-epoch",
    "sentinel leader-epoch",
    "sentinel known-replica",
    "sentinel known-sentinel",
    "sentinel rename-command",
    "sentinel current-epoch",
    "sentinel announce-ip",
    "sentinel announce-port",
    "sentinel sentinel-user",
    "sentinel sentinel-pass",
];

const NO_GROUP: &str = "No such master with specified name.";
const BAD_TIME: &str = "negative or zero time parameter.";
const UNRECOGNIZED: &str = "Unrecognized sentinel configuration statement.";
/// Digits of a sentinel's id.
const ID: usize = 40;

/// When a line is read, relative to the others.
fn pass(statement: &str) -> usize {
    match statement {
        "announce-ip"
        | "announce-port"
        | "deny-scripts-reconfig"
        | "sentinel-user"
        | "sentinel-pass"
        | "current-epoch"
        | "myid"
        | "resolve-hostnames"
        | "announce-hostnames" => 0,
        "monitor" => 1,
        _ => 2,
    }
}

fn yes_or_no(word: &str) -> Option<bool> {
    match word {
        _ if word.eq_ignore_ascii_case("yes") => Some(true),
        _ if word.eq_ignore_ascii_case("no") => Some(false),
        _ => None,
    }
}

fn create_text(error: CreateError) -> &'static str {
    error.text()
}

impl Sentinel {
    /// Reads the lines of the configuration file. `is_executable` tells whether a path is a program.
    pub fn load(&mut self, lines: &[ConfigLine], is_executable: fn(&str) -> bool) -> Result<(), LineError> {
        for wanted in 0..3 {
            for line in lines {
                let words: Vec<String> =
                    line.words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
                let Some((statement, arguments)) = words.split_first() else { continue };
                let statement = statement.to_ascii_lowercase();
                if pass(&statement) != wanted {
                    continue;
                }
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let outcome = match wanted {
                    0 => self.read_global(&statement, &arguments),
                    1 => self.read_monitor(&arguments),
                    _ => self.read_of_group(&statement, &arguments, is_executable),
                };
                let error = |reason| LineError { number: line.number, text: line.text.clone(), reason };
                outcome.map_err(error)?;
            }
        }
        self.actions.clear();
        Ok(())
    }

    fn read_global(&mut self, statement: &str, arguments: &[&str]) -> Result<(), &'static str> {
        let [value] = arguments else { return Err(UNRECOGNIZED) };
        let text = || Some((*value).to_string()).filter(|text| !text.is_empty());
        match statement {
            "announce-ip" => self.settings.announce_ip = (*value).to_string(),
            "announce-port" => {
                self.settings.announce_port = u16::try_from(leading_integer(value.as_bytes())).unwrap_or(0);
            }
            "deny-scripts-reconfig" => {
                self.settings.deny_scripts_reconfig = yes_or_no(value)
                    .ok_or("Please specify yes or no for the deny-scripts-reconfig options.")?;
            }
            "sentinel-user" => self.settings.auth_user = text(),
            "sentinel-pass" => self.settings.auth_pass = text(),
            "current-epoch" => self.raise_epoch(leading_unsigned(value.as_bytes())),
            "myid" if value.len() == ID && value.bytes().all(|byte| byte.is_ascii_graphic()) => {
                self.set_id(value)
            }
            "myid" => return Err("Malformed Sentinel id in myid option."),
            "resolve-hostnames" => {
                self.settings.resolve_hostnames =
                    yes_or_no(value).ok_or("Please specify yes or no for the resolve-hostnames option.")?;
            }
            _ => {
                self.settings.announce_hostnames =
                    yes_or_no(value).ok_or("Please specify yes or no for the announce-hostnames option.")?;
            }
        }
        Ok(())
    }

    fn read_monitor(&mut self, arguments: &[&str]) -> Result<(), &'static str> {
        let &[name, host, port, quorum] = arguments else { return Err(UNRECOGNIZED) };
        let quorum = leading_integer(quorum.as_bytes());
        if quorum <= 0 {
            return Err("Quorum must be 1 or greater.");
        }
        let quorum = u32::try_from(quorum).unwrap_or(u32::MAX);
        self.create_group(name, host, leading_integer(port.as_bytes()), quorum).map_err(create_text)
    }

    fn read_of_group(
        &mut self,
        statement: &str,
        arguments: &[&str],
        is_executable: fn(&str) -> bool,
    ) -> Result<(), &'static str> {
        let Some((&name, values)) = arguments.split_first() else { return Err(UNRECOGNIZED) };
        let exists = || if self.groups.contains_key(name) { Ok(()) } else { Err(NO_GROUP) };
        let text = |value: &str| Some(value.to_string());
        match (statement, values) {
            ("down-after-milliseconds", [value]) => {
                exists()?;
                self.set_down_after(name, positive_time(value).ok_or(BAD_TIME)?);
            }
            ("failover-timeout", [value]) => {
                exists()?;
                self.group_mut(name).failover_timeout_ms = positive_time(value).ok_or(BAD_TIME)?;
            }
            ("parallel-syncs", [value]) => {
                exists()?;
                let syncs = leading_integer(value.as_bytes()).clamp(0, u32::MAX.into());
                self.group_mut(name).parallel_syncs = syncs as u32;
            }
            ("notification-script" | "client-reconfig-script", [path]) => {
                exists()?;
                self.read_script(name, statement, path, is_executable)?;
            }
            ("auth-pass", [value]) => {
                exists()?;
                self.group_mut(name).auth_pass = text(value);
            }
            ("auth-user", [value]) => {
                exists()?;
                self.group_mut(name).auth_user = text(value);
            }
            ("config-epoch", [value]) => {
                exists()?;
                let epoch = leading_unsigned(value.as_bytes());
                self.group_mut(name).config_epoch = epoch;
                self.raise_epoch(epoch);
            }
            ("leader-epoch", [value]) => {
                exists()?;
                let primary = self.group(name).primary;
                self.at_mut(primary).vote.epoch = leading_unsigned(value.as_bytes());
            }
            ("master-reboot-down-after-period" | "primary-reboot-down-after-period", [value]) => {
                exists()?;
                let ms = leading_integer(value.as_bytes());
                let ms = u64::try_from(ms).map_err(|_| "negative time parameter.")?;
                self.group_mut(name).reboot_down_after_ms = ms.min(MAX_TIME);
            }
            _ => return self.read_known(statement, name, values),
        }
        Ok(())
    }

    fn read_script(
        &mut self,
        name: &str,
        statement: &str,
        path: &str,
        is_executable: fn(&str) -> bool,
    ) -> Result<(), &'static str> {
        match self.set_script(name, statement, path, is_executable) {
            Err(SetError::NoSuchScript(_)) if statement == "notification-script" => {
                Err("Notification script seems non existing or non executable.")
            }
            Err(_) => Err("Client reconfiguration script seems non existing or non executable."),
            Ok(()) => Ok(()),
        }
    }

    /// Reads what was known of a group when the file was written.
    fn read_known(&mut self, statement: &str, name: &str, values: &[&str]) -> Result<(), &'static str> {
        let exists = self.groups.contains_key(name);
        let address = |sentinel: &Self, host: &str, port: &str| {
            sentinel.address(host, leading_integer(port.as_bytes())).map_err(|e| CreateError::from(e).text())
        };
        match (statement, values) {
            ("known-slave" | "known-replica", [..]) if values.len() == 2 => {
                if !exists {
                    return Err(NO_GROUP);
                }
                let address = address(self, values[0], values[1])?;
                let added = self.add_replica(name, address);
                added.map(drop).ok_or(CreateError::Duplicate(Kind::Replica).text())
            }
            // The old form had no id.
            ("known-sentinel", [_, _]) => Ok(()),
            ("known-sentinel", [host, port, run_id]) => {
                if !exists {
                    return Err(NO_GROUP);
                }
                let address = address(self, host, port)?;
                let added = self.add_sentinel(name, run_id, address);
                added.map(drop).ok_or(CreateError::Duplicate(Kind::Sentinel).text())
            }
            ("rename-command", [old, new]) => {
                if !exists {
                    return Err(NO_GROUP);
                }
                let names = ((*old).to_string(), (*new).to_string());
                let renamed = &mut self.group_mut(name).renamed_commands;
                match renamed.insert(old.to_ascii_lowercase(), names) {
                    None => Ok(()),
                    Some(_) => Err("Same command renamed multiple times with rename-command."),
                }
            }
            _ => Err(UNRECOGNIZED),
        }
    }

    /// The lines that bring the file up to date.
    pub fn statements(&self) -> Vec<Statement> {
        let mut lines = Vec::new();
        let mut add = |name: &'static str, words: &[&str], is_forced: bool| {
            lines.push(Statement { name, value: join(words), is_forced });
        };
        let settings = &self.settings;
        let word = |yes: bool| if yes { "yes" } else { "no" };
        add("sentinel myid", &[&self.id], true);
        let deny = settings.deny_scripts_reconfig;
        add("sentinel deny-scripts-reconfig", &[word(deny)], !deny);
        let (resolve, announce) = (settings.resolve_hostnames, settings.announce_hostnames);
        add("sentinel resolve-hostnames", &[word(resolve)], resolve);
        add("sentinel announce-hostnames", &[word(announce)], announce);
        for group in self.groups.values() {
            self.add_group_lines(group, &mut add);
        }
        add("sentinel current-epoch", &[&self.current_epoch.to_string()], true);
        if !settings.announce_ip.is_empty() {
            add("sentinel announce-ip", &[&settings.announce_ip], true);
        }
        if settings.announce_port != 0 {
            add("sentinel announce-port", &[&settings.announce_port.to_string()], true);
        }
        if let Some(user) = &settings.auth_user {
            add("sentinel sentinel-user", &[user], true);
        }
        if let Some(password) = &settings.auth_pass {
            add("sentinel sentinel-pass", &[password], true);
        }
        lines
    }

    fn add_group_lines(&self, group: &Group, add: &mut impl FnMut(&'static str, &[&str], bool)) {
        let name = &*group.name;
        let mut line = |statement, words: &[&str]| add(statement, &[&[name], words].concat(), true);
        let current = self.current_address(name);
        let [host, port] = self.announced(current);
        let primary = self.at(group.primary);
        line("sentinel monitor", &[&host, &port, &group.quorum.to_string()]);
        if primary.down_after_ms != self.timing.default_down_after {
            line("sentinel down-after-milliseconds", &[&primary.down_after_ms.to_string()]);
        }
        if group.failover_timeout_ms != self.timing.default_failover_timeout {
            line("sentinel failover-timeout", &[&group.failover_timeout_ms.to_string()]);
        }
        if group.parallel_syncs != DEFAULT_PARALLEL_SYNCS {
            line("sentinel parallel-syncs", &[&group.parallel_syncs.to_string()]);
        }
        for (statement, value) in [
            ("sentinel notification-script", &group.notification_script),
            ("sentinel client-reconfig-script", &group.client_reconfig_script),
            ("sentinel auth-pass", &group.auth_pass),
            ("sentinel auth-user", &group.auth_user),
        ] {
            if let Some(value) = value {
                line(statement, &[value]);
            }
        }
        if group.reboot_down_after_ms != 0 {
            line("sentinel master-reboot-down-after-period", &[&group.reboot_down_after_ms.to_string()]);
        }
        line("sentinel config-epoch", &[&group.config_epoch.to_string()]);
        line("sentinel leader-epoch", &[&primary.vote.epoch.to_string()]);
        for id in group.replicas.values() {
            let replica = &self.at(*id).address;
            // The file names a promoted replica as the primary, so the old primary is the replica.
            let address = if replica.is_same(current) { &primary.address } else { replica };
            let [host, port] = self.announced(address);
            line("sentinel known-replica", &[&host, &port]);
        }
        for id in group.sentinels.values() {
            let sentinel = self.at(*id);
            let [host, port] = self.announced(&sentinel.address);
            line("sentinel known-sentinel", &[&host, &port, &sentinel.name]);
        }
        for (old, new) in group.renamed_commands.values() {
            line("sentinel rename-command", &[old, new]);
        }
    }
}

/// Words as a line holds them: in quotes, where they need them.
fn join(words: &[&str]) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        if word.is_empty() || quoting::needs_quotes(word.as_bytes()) {
            quoting::push_quoted(&mut line, word.as_bytes());
        } else {
            line.extend_from_slice(word.as_bytes());
        }
    }
    line
}
