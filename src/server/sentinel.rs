//! Sentinel mode: start-up, the state in the configuration file, the processes of scripts.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Server;
use super::apply_config::rewrite_file;
use crate::base::ids::ClientId;
use crate::resp::{CommandError, Reply};
use crate::services::config::{FileError, Loaded, Rewrite, StateLine};
use crate::services::sentinel::{ConfigLine, Ending, JobId, STATEMENTS, Sentinel};
use crate::sys::{disk, process};

/// The port that sentinels listen on.
pub(super) const PORT: u16 = 26379;
/// The names by which the program starts in Sentinel mode.
const NAMES: [&str; 3] = ["redis-sentinel", "valkey-sentinel", "redloop-sentinel"];
/// The argument that does the same.
const OPTION: &[u8] = b"--sentinel";

/// Whether the program was asked to be a sentinel; the arguments lose the option.
pub(super) fn is_wanted(program: &[u8], arguments: &mut Vec<Vec<u8>>) -> bool {
    let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or(program);
    let is_named = NAMES.iter().any(|known| name.starts_with(known.as_bytes()));
    let before = arguments.len();
    arguments.retain(|argument| argument != OPTION);
    is_named || arguments.len() != before
}

/// The service with the configuration that was read.
pub(super) fn load(loaded: &Loaded, now: u64, seed: u64) -> Result<Sentinel, FileError> {
    let mut service = Sentinel::new(now, seed);
    let lines: Vec<ConfigLine> = loaded
        .sentinel
        .iter()
        .map(|line| ConfigLine { number: line.number, text: line.text.clone(), words: line.words.clone() })
        .collect();
    service
        .load(&lines, process::is_executable)
        .map_err(|error| FileError { line: Some((error.number, error.text)), reason: error.reason.into() })?;
    Ok(service)
}

/// Why the configuration file can't keep the state, if it can't.
pub(super) fn check_file(file: &str) -> Result<(), String> {
    if file.is_empty() {
        return Err("Sentinel needs config file on disk to save state. Exiting...".into());
    }
    let writable = OpenOptions::new().append(true).open(file);
    writable.map(drop).map_err(|error| {
        format!("Sentinel config file {file} is not writable: {}. Exiting...", disk::reason(&error))
    })
}

/// Scripts that run.
#[derive(Default)]
pub(super) struct RunningScripts(BTreeMap<JobId, Child>);

/// What the service is told of a script that could not be started.
const NOT_STARTED: Ending = Ending { status: 0, signal: 99 };
/// The status of a script that the system can't execute: it is not tried again.
const NOT_EXECUTABLE: Ending = Ending { status: 2, signal: 0 };

impl Server {
    /// Begins to monitor; there is no data to load.
    pub(super) fn start_as_sentinel(&mut self) -> Result<(), String> {
        check_file(&self.engine.info.config_file)?;
        self.engine.start_sentinel();
        Ok(())
    }

    /// Writes the state of the service to the configuration file.
    pub(super) fn persist_sentinel(&mut self, client: Option<ClientId>) {
        let Some(mode) = &self.engine.sentinel else { return };
        let statements = mode.service.statements().into_iter();
        let state: Vec<StateLine> = statements
            .map(|line| StateLine { name: line.name, value: line.value, forced: line.is_forced })
            .collect();
        let file = self.engine.info.config_file.clone();
        let acl = self.acl_lines();
        let how = Rewrite { statements: &acl, force_all: false, state_names: &STATEMENTS, state: &state };
        let result = rewrite_file(Path::new(&file), &self.engine.config, &how);
        let mut reply = Reply::new(Vec::new(), false);
        match result {
            Ok(()) => {
                log::info!("Sentinel new configuration saved on disk");
                reply.ok();
            }
            Err(error) => {
                log::warn!(
                    "WARNING: Sentinel was not able to save the new configuration on disk!!!: {}",
                    disk::reason(&error)
                );
                reply.error(&CommandError::text("ERR Failed to save config file. Check server logs."));
            }
        }
        if let Some(client) = client {
            self.complete(client, &reply);
        }
    }

    /// Starts a script: its path and its arguments.
    pub(super) fn run_script(&mut self, job: JobId, words: &[String]) {
        let Some((path, arguments)) = words.split_first() else { return };
        let started = Command::new(path).args(arguments).stdin(Stdio::null()).spawn();
        match started {
            Ok(child) => {
                self.engine.sentinel_script_started(job, child.id());
                self.scripts.0.insert(job, child);
            }
            Err(error) => {
                log::warn!("The script {path} could not be started: {error}");
                let lacks_means = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM));
                let ending = if lacks_means { NOT_STARTED } else { NOT_EXECUTABLE };
                self.engine.sentinel_script_ended(job, ending);
            }
        }
    }

    /// Kills a script; its end is noticed as that of any other.
    pub(super) fn kill_script(&mut self, job: JobId) {
        if let Some(child) = self.scripts.0.get_mut(&job)
            && let Err(error) = child.kill()
        {
            log::warn!("A script could not be killed: {error}");
        }
    }

    /// Notices scripts that have ended.
    pub(super) fn collect_scripts(&mut self) {
        let mut ended = Vec::new();
        for (job, child) in &mut self.scripts.0 {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    let (code, signal) = (status.code().unwrap_or(0), status.signal().unwrap_or(0));
                    ended.push((*job, Ending { status: code, signal }));
                }
                Err(_) => ended.push((*job, NOT_STARTED)),
            }
        }
        for (job, ending) in ended {
            self.scripts.0.remove(&job);
            self.engine.sentinel_script_ended(job, ending);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_asked_for_by_name_or_by_option() {
        let arguments =
            |words: &[&str]| -> Vec<Vec<u8>> { words.iter().map(|word| word.as_bytes().to_vec()).collect() };
        let mut plain = arguments(&["a.conf"]);
        assert!(!is_wanted(b"/usr/bin/redloop", &mut plain));
        assert!(is_wanted(b"/usr/bin/redis-sentinel", &mut plain));
        assert!(!is_wanted(b"/opt/redis-sentinel/redloop", &mut plain));
        let mut option = arguments(&["a.conf", "--sentinel", "--port", "1"]);
        assert!(is_wanted(b"redloop", &mut option));
        assert_eq!(option, arguments(&["a.conf", "--port", "1"]));
    }

    #[test]
    fn a_file_is_needed() {
        assert_eq!(
            check_file("").expect_err("none"),
            "Sentinel needs config file on disk to save state. Exiting..."
        );
        let text = check_file("/nowhere/sentinel.conf").expect_err("none");
        assert!(text.ends_with("is not writable: No such file or directory. Exiting..."), "{text}");
    }
}
