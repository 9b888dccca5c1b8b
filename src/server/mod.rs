//! The server process: start-up, the turn of the event loop, applying configuration, shutdown.

mod acl_file;
mod apply_config;
mod cluster;
mod cluster_local;
mod idle_memory;
mod inherited;
mod listeners;
mod logging;
mod metrics;
mod oom_score;
pub mod persistence;
mod reload;
mod sentinel;
mod signals;
mod sources;
mod startup;
mod supervisor;
mod syslog;
mod system_check;
mod title;
mod tls;
mod turn;
mod vector_threads;

pub use startup::main;

use crate::engine::Engine;
use crate::net::EventLoop;
use signals::Signals;

/// A running server.
pub struct Server {
    engine: Engine,
    net: EventLoop,
    signals: Signals,
    oom_score: oom_score::OomScore,
    title: title::ProcessTitle,
    tls: tls::TlsWatch,
    files: persistence::Files,
    scripts: sentinel::RunningScripts,
    recorder: metrics::history::Recorder,
    reload: reload::Reload,
    supervisor: supervisor::Supervisor,
    inherited: inherited::Inherited,
    /// In cluster mode.
    nodes_file: Option<cluster::NodesFile>,
    vector_threads: vector_threads::VectorThreads,
    idle_memory: idle_memory::IdleMemory,
    /// The exit status, once the end has been decided.
    ending: Option<i32>,
    /// Its program is to be started again then.
    restarts: bool,
}
