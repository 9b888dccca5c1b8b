//! Applying the configuration to the process: sockets, limits, the log, the working directory.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::inherited::Inherited;
use super::listeners::{listen_tcp_all, shown_port, tcp_options};
use super::{Server, logging, metrics};
use crate::base::ids::ClientId;
use crate::net::{Listener, NetLimits, listen_tcp};
use crate::resp::{CommandError, Reply};
use crate::services::config::{self, Config, ConfigError, Rewrite};
use crate::sys::disk::{self, directory_of};
use crate::sys::{crash, process};

/// Descriptors kept for other things than clients.
const RESERVED_FILES: u64 = 64;

/// Descriptors that so many clients and all else take.
pub(super) fn wanted_files(maxclients: u32) -> u64 {
    u64::from(maxclients) + RESERVED_FILES
}

/// The limits of the event loop that a configuration sets. `default_is_open`: clients need no password.
pub fn net_limits(config: &Config, default_is_open: bool) -> NetLimits {
    NetLimits {
        keepalive: u64::from(config.tcp_keepalive),
        accepts_a_turn: config.max_new_connections_per_cycle,
        tls_accepts_a_turn: config.max_new_tls_connections_per_cycle,
        reserved: config.maxclients_reserved as usize,
        priority: config.priority_subnets.clone(),
        protected: config.protected_mode && default_is_open,
    }
}

/// Raises the limit of open files to what `maxclients` needs; lowers `maxclients` where that fails.
pub fn adjust_open_files(config: &mut Config) {
    let wanted = wanted_files(config.maxclients);
    let limit = process::raise_open_files(wanted);
    if limit < wanted {
        let possible = limit.saturating_sub(RESERVED_FILES).max(1) as u32;
        log::warn!(
            "The limit of open files is {limit}: maxclients has been reduced from {} to {possible}.",
            config.maxclients
        );
        config.maxclients = possible;
    }
}

/// Rewrites a configuration file; it is the old one or the new one at any time, also after a crash.
pub(super) fn rewrite_file(path: &Path, config: &Config, how: &Rewrite<'_>) -> io::Result<()> {
    let old = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    replace_file(path, &config::rewrite(&old, config, how))
}

/// Gives a file another content; it is the old one or the new one at any time, also after a crash.
pub(super) fn replace_file(path: &Path, text: &[u8]) -> io::Result<()> {
    // A conn_index is followed: what it points at is replaced, not the conn_index.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let dir = directory_of(&path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!("{name}-{}.tmp", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(text)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    write().inspect_err(|_| {
        // The error is reported; a temporary file that can't be removed adds nothing to it.
        let _ = std::fs::remove_file(&temporary);
    })
}

impl Server {
    /// Applies what CONFIG SET changed to the process; goes back if that fails.
    pub(super) fn apply_config(
        &mut self,
        client: Option<ClientId>,
        before: &Config,
        changed: &[&'static str],
        in_exec: bool,
    ) {
        let mut reply = Reply::new(Vec::new(), false);
        match self.apply_or_undo(before, changed, in_exec) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(&CommandError::new(error.reply())),
        }
        if let Some(client) = client {
            self.complete(client, &reply);
        }
    }

    /// Applies to the process what has changed since `before`; if that fails, these directives go back.
    pub(super) fn apply_or_undo(
        &mut self,
        before: &Config,
        changed: &[&'static str],
        in_exec: bool,
    ) -> Result<(), ConfigError> {
        let mut done = Vec::new();
        let result = self.try_apply(changed, &mut done, in_exec);
        if result.is_err() {
            // What was changed since stays.
            let mut config = self.engine.config.clone();
            config.take_back(before, changed);
            self.engine.configure(config);
            if let Err(error) = self.try_apply(&done, &mut Vec::new(), in_exec) {
                log::warn!("What had been changed could not be undone: {}", error.reply().escape_ascii());
            }
        }
        self.net.limits =
            net_limits(&self.engine.config, self.engine.acl.users.default_user().needs_no_password());
        result
    }

    /// Brings the configuration file up to date, for CONFIG REWRITE.
    pub(super) fn rewrite_config(&mut self, client: ClientId, force_all: bool) {
        let file = self.engine.info.config_file.clone();
        let statements = self.acl_lines();
        let how = Rewrite { statements: &statements, force_all, ..Rewrite::default() };
        let result = rewrite_file(Path::new(&file), &self.engine.config, &how);
        let mut reply = Reply::new(Vec::new(), false);
        match result {
            Ok(()) => {
                log::info!("CONFIG REWRITE executed with success.");
                reply.ok();
            }
            Err(error) => {
                log::warn!("CONFIG REWRITE failed: {error}");
                reply.error(&CommandError::new(format!(
                    "ERR Rewriting config file: {}",
                    disk::reason(&error)
                )));
            }
        }
        self.complete(client, &reply);
    }

    /// Gives a deferred call its reply. A client whose user ACL LOAD has removed gets it before the end: no message follows
    /// its mark.
    pub(super) fn complete(&mut self, client: ClientId, reply: &Reply) {
        self.engine.complete_deferred(client, reply.bytes());
        if self.engine.has_ended(client) {
            self.net.deliver(&mut self.engine);
            self.engine.close_ended(client);
        }
    }

    /// Applies what has changed, and notes in `done` what of it has been applied before an error.
    fn try_apply(
        &mut self,
        changed: &[&'static str],
        done: &mut Vec<&'static str>,
        in_exec: bool,
    ) -> Result<(), ConfigError> {
        let config = self.engine.config.clone();
        if changed.contains(&"dir") {
            let fail = |error: io::Error| ConfigError::failed("dir", disk::reason(&error));
            std::env::set_current_dir(&config.dir).map_err(fail)?;
            done.push("dir");
            let entered = std::env::current_dir().map_err(fail)?;
            self.engine.config.dir = entered.to_string_lossy().into_owned();
        }
        if changed.contains(&"maxclients") {
            let wanted = wanted_files(config.maxclients);
            if process::raise_open_files(wanted) < wanted {
                let text = "The operating system is not able to handle the specified number of clients";
                return Err(ConfigError::failed("maxclients", text));
            }
        }
        self.apply_tls(&config, changed, done)?;
        for name in ["port", "tls-port", "bind"] {
            if changed.contains(&name) {
                self.relisten(&config).map_err(|_| {
                    let text = match name {
                        "port" | "tls-port" => "Unable to listen on this port. Check server logs.",
                        _ => "Failed to bind to specified addresses.",
                    };
                    ConfigError::failed(name, text)
                })?;
                done.push(name);
                break;
            }
        }
        if changed.contains(&"metrics-port") || changed.contains(&"bind") {
            self.relisten_metrics(&config).map_err(|text| {
                log::warn!("{text}");
                ConfigError::failed("metrics-port", "Unable to listen on this port. Check server logs.")
            })?;
            done.push("metrics-port");
        }
        for name in ["oom-score-adj", "oom-score-adj-values"] {
            if changed.contains(&name)
                && let Err(error) = self.oom_score.apply(&config)
            {
                log::warn!("The score for the kernel's choice of a victim could not be set: {error}");
                let text = "Failed to set current oom_score_adj. Check server logs.";
                return Err(ConfigError::failed(name, text));
            }
        }
        if changed.contains(&"appendonly") || changed.contains(&"appendfsync") {
            self.switch_log(in_exec).map_err(|text| {
                log::error!("{text}");
                ConfigError::failed("appendonly", "Unable to turn on AOF. Check server logs.")
            })?;
            done.push("appendonly");
        }
        crash::set_enabled(config.crash_log_enabled);
        logging::set_level(config.loglevel);
        logging::set_shape(config.log_format, config.log_timestamp_format);
        self.title.apply(&config);
        Ok(())
    }

    /// Listens for the metrics port anew; the old sockets stay if that fails.
    fn relisten_metrics(&mut self, config: &Config) -> Result<(), String> {
        let old = std::mem::take(&mut self.net.http.listeners);
        let (listeners, result) = replace_listeners(old, config, &self.inherited, metrics::listen);
        self.net.set_http_listeners(listeners).map_err(|error| error.to_string())?;
        result
    }

    /// Listens on the TCP addresses anew; the old sockets stay if that fails.
    fn relisten(&mut self, config: &Config) -> Result<(), String> {
        let before = std::mem::take(&mut self.net.listeners);
        let (old, mut kept): (Vec<_>, Vec<_>) = before.into_iter().partition(|l| l.address().is_some());
        let (listeners, result) = replace_listeners(old, config, &self.inherited, listen_tcp_all);
        kept.extend(listeners);
        self.net.set_listeners(kept).map_err(|error| error.to_string())?;
        if result.is_ok() {
            self.engine.info.port = shown_port(config);
        }
        result
    }
}

/// The sockets that `listen` makes in place of the old ones; or those again, and why not.
fn replace_listeners(
    old: Vec<Listener>,
    config: &Config,
    inherited: &Inherited,
    listen: fn(&Config, &Inherited) -> Result<Vec<Listener>, String>,
) -> (Vec<Listener>, Result<(), String>) {
    let address = |listener: &Listener| listener.address().map(|address| (address, listener.is_tls()));
    let addresses: Vec<_> = old.iter().filter_map(address).collect();
    // The same address can't be bound twice, so the old sockets must go first.
    drop(old);
    match listen(config, inherited) {
        Ok(listeners) => (listeners, Ok(())),
        Err(error) => {
            let mut again: Vec<Listener> = Vec::new();
            for (address, tls) in addresses {
                // Those of a port that was passed come together, with the first of their addresses.
                if again.iter().any(|listener| listener.address() == Some(address)) {
                    continue;
                }
                let passed = inherited.tcp(address.port(), tls).unwrap_or_default();
                if passed.is_empty() {
                    again.extend(listen_tcp(address, tcp_options(config, tls)).ok());
                } else {
                    again.extend(passed);
                }
            }
            (again, Err(error))
        }
    }
}
