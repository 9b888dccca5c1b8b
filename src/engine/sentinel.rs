//! Sentinel mode: the service's timer, its connections as links, its events as messages, its scripts and its state as work
//! for the server.

use std::collections::BTreeMap;

use super::clients::session::Peer;
use super::links::{LinkEvent, LinkOwner};
use super::{Engine, ServerAction};
use crate::base::ids::LinkId;
use crate::services::pubsub::Kind;
use crate::services::sentinel::{Action, ConnectionId, Ending, JobId, Level, Sentinel};

/// The engine's part of Sentinel mode.
pub struct SentinelMode {
    pub service: Sentinel,
    links: BTreeMap<ConnectionId, LinkId>,
    connections: BTreeMap<LinkId, ConnectionId>,
    /// When the service's timer is due, Unix ms.
    next_tick_ms: u64,
}

impl Engine {
    /// Makes this engine one of a sentinel; the service has read its configuration.
    pub fn enter_sentinel_mode(&mut self, service: Sentinel) {
        let mode = SentinelMode {
            service,
            links: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_tick_ms: self.frame.now,
        };
        self.sentinel = Some(Box::new(mode));
        self.info.is_sentinel = true;
    }

    pub fn is_sentinel(&self) -> bool {
        self.info.is_sentinel
    }

    /// Begins to monitor.
    pub fn start_sentinel(&mut self) {
        let now = self.frame.now;
        if let Some(mode) = &mut self.sentinel {
            mode.service.start(now);
        }
        self.carry_out_sentinel_actions();
    }

    /// Runs the service's timer, if it is due.
    pub(in crate::engine) fn tick_sentinel(&mut self) {
        let (now, port) = (self.frame.now, self.port_of_links());
        let Some(mode) = &mut self.sentinel else { return };
        // A clock that went back must not stop the timer: the service notices by itself.
        if now < mode.next_tick_ms && mode.next_tick_ms - now <= 1000 {
            return;
        }
        let settings = &mut mode.service.settings;
        settings.port = port;
        let password = self.config.requirepass.bytes();
        settings.requirepass = password.map(|password| String::from_utf8_lossy(password).into_owned());
        mode.service.tick(now);
        mode.next_tick_ms = now + mode.service.next_delay_ms();
        self.carry_out_sentinel_actions();
    }

    /// How long until the timer is due, ms.
    pub(in crate::engine) fn sentinel_sleep_ms(&self) -> Option<u64> {
        self.sentinel.as_ref().map(|mode| mode.next_tick_ms.saturating_sub(self.frame.now))
    }

    pub(in crate::engine) fn sentinel_link_event(&mut self, link: LinkId, event: LinkEvent<'_>) {
        let now = self.frame.now;
        let Some(mode) = &mut self.sentinel else { return };
        let Some(&connection) = mode.connections.get(&link) else { return };
        match event {
            LinkEvent::Connected { peer, .. } => {
                let local = match &peer {
                    Peer::Tcp(_, local) => local.ip().to_canonical().to_string(),
                    Peer::Unix(_) | Peer::Internal => String::new(),
                };
                mode.service.connected(now, connection, &local, &peer.ip());
            }
            LinkEvent::Received(bytes) => mode.service.received(now, connection, bytes),
            LinkEvent::Closed(reason) => {
                mode.connections.remove(&link);
                mode.links.remove(&connection);
                mode.service.closed(now, connection, reason);
            }
        }
        self.carry_out_sentinel_actions();
    }

    /// The server has started a script.
    pub fn sentinel_script_started(&mut self, job: JobId, pid: u32) {
        if let Some(mode) = &mut self.sentinel {
            mode.service.script_started(job, pid);
        }
        self.carry_out_sentinel_actions();
    }

    /// A script has ended, or could not be started.
    pub fn sentinel_script_ended(&mut self, job: JobId, ending: Ending) {
        let now = self.frame.now;
        if let Some(mode) = &mut self.sentinel {
            mode.service.script_ended(now, job, ending);
        }
        self.carry_out_sentinel_actions();
    }

    /// Does what the service wants, or has the server do it. To be called after each call into the service.
    pub fn carry_out_sentinel_actions(&mut self) {
        while let Some(action) = self.sentinel.as_mut().and_then(|mode| mode.service.next_action()) {
            self.carry_out_sentinel_action(action);
        }
    }

    fn carry_out_sentinel_action(&mut self, action: Action) {
        match action {
            Action::Connect { connection, host, port } => {
                let link = self.open_link(LinkOwner::Sentinel, &host, port);
                if let Some(mode) = &mut self.sentinel {
                    mode.links.insert(connection, link);
                    mode.connections.insert(link, connection);
                }
            }
            Action::Send { connection, bytes } => {
                let link = self.sentinel.as_ref().and_then(|mode| mode.links.get(&connection)).copied();
                if let Some(link) = link {
                    self.send_on_link(link, bytes);
                }
            }
            Action::Close { connection } => {
                let link = self.sentinel.as_mut().and_then(|mode| {
                    let link = mode.links.remove(&connection)?;
                    mode.connections.remove(&link);
                    Some(link)
                });
                if let Some(link) = link {
                    self.close_link(link);
                }
            }
            Action::Event { level, name, message } => {
                log_at(level, &format!("{name} {message}"));
                if level >= Level::Verbose {
                    self.clients.publish(Kind::Channel, name.as_bytes(), message.as_bytes());
                }
            }
            Action::Log { level, text } => log_at(level, &text),
            Action::Persist => self.actions.push_back(ServerAction::PersistSentinel { client: None }),
            Action::Run { job, words } => self.actions.push_back(ServerAction::RunScript { job, words }),
            Action::Kill { job } => self.actions.push_back(ServerAction::KillScript { job }),
            Action::Crash => self.actions.push_back(ServerAction::Exit(SIMULATED_CRASH)),
        }
    }
}

/// The exit status of a crash that SENTINEL SIMULATE-FAILURE asked for.
const SIMULATED_CRASH: i32 = 99;

fn log_at(level: Level, text: &str) {
    match level {
        Level::Debug => log::trace!("{text}"),
        Level::Verbose => log::debug!("{text}"),
        Level::Notice => log::info!("{text}"),
        Level::Warning => log::warn!("{text}"),
    }
}
