//! SIGHUP: reads the configuration file and the file of users again. All of it takes effect, or none.
//!
//! Afterwards the server is configured as if it had just been started, but for what only a start can change and for the
//! role: values that CONFIG SET gave and CONFIG REWRITE didn't write are gone.

use super::Server;
use super::acl_file::{read_users, users_of_lines};
use super::apply_config::adjust_open_files;
use super::sources::Sources;
use crate::services::acl::Users;
use crate::services::config::{AclLine, Config, Loaded, flags, lookup};

/// What was read last.
#[derive(Default)]
pub(super) struct Reload {
    sources: Sources,
    renamed_commands: Vec<(Vec<u8>, Vec<u8>)>,
    acl: Vec<(AclLine, Vec<Vec<u8>>)>,
    /// A signal has asked for it.
    pub is_wanted: bool,
}

impl Reload {
    pub(super) fn new(sources: Sources, loaded: &Loaded) -> Self {
        Reload {
            sources,
            renamed_commands: loaded.renamed_commands.clone(),
            acl: loaded.acl.clone(),
            is_wanted: false,
        }
    }

    pub(super) fn is_sentinel(&self) -> bool {
        self.sources.is_sentinel
    }
}

/// Lines for the log about a reload.
type Report = Vec<String>;

impl Server {
    /// Obeys SIGHUP.
    pub(super) fn reload_configuration(&mut self) {
        self.reload.is_wanted = false;
        self.supervisor.set_reloading(true);
        self.obey_hangup();
        self.supervisor.set_reloading(false);
    }

    fn obey_hangup(&mut self) {
        if self.reload.sources.is_sentinel {
            log::info!("Received SIGHUP: a sentinel keeps its state in its file and doesn't read it again.");
            return;
        }
        let Some(path) = self.reload.sources.file.clone() else {
            log::info!("Received SIGHUP: there is no configuration file to be read again.");
            return;
        };
        let path = path.display();
        log::info!("Received SIGHUP: reading {path} again.");
        match self.try_reload() {
            Ok(report) => {
                report.iter().for_each(|line| log::info!("{line}"));
                log::info!("The configuration has been reloaded.");
            }
            Err(reason) => log::warn!("The configuration is not reloaded, nothing has changed: {reason}"),
        }
    }

    fn try_reload(&mut self) -> Result<Report, String> {
        let (mut wanted, loaded) = self.reload.sources.read_again().map_err(|error| error.one_line())?;
        adjust_open_files(&mut wanted);
        let before = self.engine.config.clone();
        let mut report = Report::new();
        if wanted.replicaof != before.replicaof {
            report.push("'replicaof' is another in the file: the role stays, REPLICAOF changes it".into());
            wanted.replicaof = before.replicaof.clone();
        }
        let is_loading = self.engine.persistence.loading.is_some();
        let mut next = before.clone();
        let followed = next.follow(&wanted, is_loading).map_err(|error| shown(&error.reply()))?;
        let users = self.users_for(&next, &loaded)?;
        self.engine.configure(next);
        self.apply_or_undo(&before, &followed.to_apply, false).map_err(|error| shown(&error.reply()))?;
        // Nothing fails from here on.
        report.extend(loaded.warnings.iter().cloned());
        report.extend(followed.changed.iter().map(|name| describe_change(name, &before, &wanted)));
        report.extend(followed.needs_restart.iter().map(|name| {
            format!("{} and needs a restart: the former value stays", describe_change(name, &before, &wanted))
        }));
        if loaded.renamed_commands != self.reload.renamed_commands {
            report.push("'rename-command' lines have changed, which needs a restart".into());
        }
        if let Some(users) = users {
            report.push(format!("Users have been read again: there are {}", users.iter().len()));
            self.engine.replace_users(users, None);
            self.reload.acl = loaded.acl;
        }
        Ok(report)
    }

    /// The users that a configuration leads to; none if it says nothing about users and never did.
    fn users_for(&self, config: &Config, loaded: &Loaded) -> Result<Option<Users>, String> {
        let engine = &self.engine;
        if !config.aclfile.is_empty() {
            return read_users(engine, config, loaded).map(Some);
        }
        if loaded.acl.is_empty() && self.reload.acl.is_empty() {
            return Ok(None);
        }
        users_of_lines(engine, config, loaded).map(Some)
    }
}

fn shown(reply: &[u8]) -> String {
    String::from_utf8_lossy(reply).trim_start_matches("ERR ").to_string()
}

/// Says what a directive was and is; of a secret only that it has changed.
fn describe_change(name: &str, before: &Config, after: &Config) -> String {
    let is_secret = lookup(name.as_bytes()).is_none_or(|directive| directive.has(flags::SENSITIVE));
    if is_secret {
        return format!("'{name}' has changed");
    }
    let value = |config: &Config| {
        let value = config.get_text(name).unwrap_or_default();
        format!("\"{}\"", value.escape_ascii())
    };
    format!("'{name}' has changed from {} to {}", value(before), value(after))
}
