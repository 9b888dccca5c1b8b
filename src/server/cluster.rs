//! Cluster mode: start-up, the bus's listeners, and `nodes.conf`, which a thread writes.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mio::Waker;

use super::Server;
use super::inherited::Inherited;
use super::listeners::{listen_on_all, tcp_options};
use crate::base::ids::ClientId;
use crate::engine::cluster::{bus_port, port_of_kind};
use crate::net::Listener;
use crate::services::cluster::{Cluster, Settings};
use crate::services::config::{ClusterConfigSaveBehavior, Config};
use crate::sys::disk::{self, directory_of};
use crate::sys::worker::Worker;

/// How often it is logged that the node goes on though its file can't be written, ms.
const TELL_PERIOD_MS: u64 = 30_000;

/// Why the file isn't written, as the log says it.
struct WriteFailure {
    step: &'static str,
    error: io::Error,
}

impl fmt::Display for WriteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Could not {}: {}", self.step, disk::reason(&self.error))
    }
}

/// The file of the cluster's state.
pub(super) struct NodesFile {
    path: PathBuf,
    /// Its lock lasts as long as it is open: no two nodes may have one file.
    lock: File,
    worker: Worker<Job, Result<File, WriteFailure>>,
    /// When it was last logged that the node goes on though it can't be written, Unix ms.
    told_ms: Option<u64>,
}

/// A content of the file.
struct Job {
    path: PathBuf,
    text: String,
    sync: bool,
}

/// Reads the file, or begins a new one: the service, and what writes it.
pub(super) fn load(
    config: &Config,
    now: u64,
    seed: u64,
    waker: Arc<Waker>,
) -> Result<(Cluster, NodesFile), String> {
    let path = PathBuf::from(&config.cluster_config_file);
    let shown = path.display();
    let lock = File::options().read(true).append(true).create(true).open(&path);
    let lock = lock.map_err(|error| {
        format!("Can't open {shown} in order to acquire a lock: {}", disk::reason(&error))
    })?;
    acquire(&lock, &path)?;
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("Loading the cluster node config from {shown}: {}", disk::reason(&error)))?;
    let mut service = Cluster::new(now, seed, Settings::from_config(config));
    if text.is_empty() {
        log::info!("No cluster configuration found, I'm {}", service.topology.myself().id);
    } else {
        service.load(&text).map_err(|error| {
            format!("Unrecoverable error: corrupted cluster config file \"{shown}\": {error}")
        })?;
    }
    let worker = Worker::start("nodes.conf", |job: Job| write(&job), move || drop(waker.wake()))
        .map_err(|error| format!("threads: {error}"))?;
    let mut file = NodesFile { path, lock, worker, told_ms: None };
    if text.is_empty() {
        file.save(service.nodes_conf(), true);
        file.take_result(true).map_err(|failure| failure.to_string())?;
    }
    Ok((service, file))
}

fn acquire(file: &File, path: &Path) -> Result<(), String> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(format!(
            "Sorry, the cluster configuration file {} is already used by a different Redis Cluster node. Please make \
             sure that different nodes use different cluster configuration files.",
            path.display()
        )),
        Err(TryLockError::Error(error)) => {
            Err(format!("Impossible to lock {}: {}", path.display(), disk::reason(&error)))
        }
    }
}

/// Gives the file a content, and returns it locked: at any time it has the old one or the new one, also after a crash. So it is synced
/// even where nothing waits for that: a file that was renamed unsynced may be found empty, and the node would have lost its name.
fn write(job: &Job) -> Result<File, WriteFailure> {
    let dir = directory_of(&job.path);
    let name = job.path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!("{name}.tmp-{}", std::process::id()));
    let at = |step: &'static str| move |error: io::Error| WriteFailure { step, error };
    let replace = || -> Result<File, WriteFailure> {
        let mut file = File::create(&temporary).map_err(at("open temp cluster config file"))?;
        file.try_lock().map_err(io::Error::other).map_err(at("lock tmp cluster config file"))?;
        file.write_all(job.text.as_bytes()).map_err(at("write tmp cluster config file"))?;
        file.sync_all().map_err(at("sync tmp cluster config file"))?;
        std::fs::rename(&temporary, &job.path).map_err(at("rename tmp cluster config file"))?;
        if job.sync {
            let synced = File::open(dir).and_then(|dir| dir.sync_all());
            synced.map_err(at("sync cluster config file dir"))?;
        }
        Ok(file)
    };
    replace().inspect_err(|_| {
        // The error is reported; a temporary file that can't be removed adds nothing to it.
        let _ = std::fs::remove_file(&temporary);
    })
}

impl NodesFile {
    /// Has the thread write a content.
    fn save(&mut self, text: String, sync: bool) {
        let job = Job { path: self.path.clone(), text, sync };
        // The thread ends only by a panic, which has been reported.
        let _ = self.worker.submit(job);
    }

    /// What became of the oldest content that was to be written; `None` if there is none, or (unless `waits`) that isn't known yet.
    fn take_result(&mut self, waits: bool) -> Result<Option<()>, WriteFailure> {
        let result = if waits { self.worker.wait().ok().flatten() } else { self.worker.poll() };
        match result {
            None => Ok(None),
            Some(Ok(written)) => {
                self.lock = written;
                Ok(Some(()))
            }
            Some(Err(failure)) => Err(failure),
        }
    }
}

/// Listens on the bus.
pub(super) fn listen(config: &Config, inherited: &Inherited) -> Result<Vec<Listener>, String> {
    if port_of_kind(config) == 0 && config.cluster_port == 0 {
        return Err(
            "The cluster's bus has no port: set cluster-port, port or (with tls-cluster) tls-port.".into()
        );
    }
    let Some(port) = bus_port(config) else {
        return Err(
            "Redis port number too high for cluster mode. Please use a port number lower than 55536 or set \
                    cluster-port."
                .into(),
        );
    };
    if config.bind.is_empty() {
        return Err("No bind address is configured, but it is required for the Cluster bus.".into());
    }
    listen_on_all(&config.bind, port, tcp_options(config, config.tls_cluster), inherited)
        .map_err(|_| format!("Failed listening on port {port} (cluster), aborting."))
}

impl Server {
    /// Has `nodes.conf` written; `waits`: before anything else is done.
    pub(super) fn save_nodes(&mut self, text: String, sync: bool, waits: bool) {
        if let Some(file) = &mut self.nodes_file {
            file.save(text, sync);
        }
        if waits {
            while self.take_nodes_result(true) {}
        }
    }

    /// Writes it for a client, to whom a failure is told; the node goes on.
    pub(super) fn save_nodes_for(&mut self, client: ClientId, text: String) {
        while self.take_nodes_result(true) {}
        let Some(file) = &mut self.nodes_file else { return };
        file.save(text, true);
        let reply = match file.take_result(true) {
            Ok(_) => "+OK\r\n".into(),
            Err(failure) => {
                log::warn!("{failure}");
                format!("-ERR error saving the cluster node config: {}\r\n", disk::reason(&failure.error))
            }
        };
        self.engine.complete_deferred(client, reply.as_bytes());
    }

    /// Waits for the file with what requests of this turn have changed, if it could not be written at once because another content is
    /// being written: their replies leave afterwards.
    pub(super) fn finish_cluster_commands(&mut self) {
        while self.engine.cluster_command_waits() && self.take_nodes_result(true) {
            self.handle_actions();
        }
    }

    /// Looks whether it has been.
    pub(super) fn check_nodes_file(&mut self) {
        while self.take_nodes_result(false) {}
    }

    /// Handles the next result of writing it; false if there is none.
    fn take_nodes_result(&mut self, waits: bool) -> bool {
        let Some(file) = &mut self.nodes_file else { return false };
        match file.take_result(waits) {
            Ok(None) => return false,
            Ok(Some(_)) => {}
            Err(failure) => {
                log::warn!("{failure}");
                if self.engine.config.cluster_config_save_behavior == ClusterConfigSaveBehavior::Sync {
                    log::error!("Fatal: can't update cluster config file.");
                    std::process::exit(1);
                }
                let now = self.engine.now();
                if file.told_ms.is_none_or(|told| now.saturating_sub(told) >= TELL_PERIOD_MS) {
                    file.told_ms = Some(now);
                    log::warn!(
                        "Cluster config updated even though writing the cluster config file to disk failed."
                    );
                }
            }
        }
        if file.worker.pending() == 0 {
            self.engine.cluster_saved();
        }
        true
    }
}
