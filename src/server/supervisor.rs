//! What watches over the process (`supervised`): systemd is told over its socket (`sd_notify`), upstart by a stop.
//!
//! ```text
//! STATUS=Loading the data: 42% of 3.1 GB     once a second, with more time to start
//! READY=1                                    everything is loaded
//! RELOADING=1 … READY=1                      around what SIGHUP does
//! WATCHDOG=1                                 twice in the time that the unit gives (WatchdogSec)
//! STOPPING=1                                 the end is certain
//! ```

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use signal_hook::low_level::raise;

use super::Server;
use crate::engine::Engine;
use crate::services::config::{Config, Supervised};

/// How often the status is looked at.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// What the time to start is prolonged to while data is being loaded, µs.
const MORE_TIME: u32 = 30_000_000;
/// The watchdog's time while the loop is busy with something that may take long by its nature, µs.
const A_DAY: u64 = 86_400_000_000;

/// Who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    None,
    Upstart,
    Systemd,
}

impl Kind {
    /// As INFO names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::None => "no",
            Kind::Upstart => "upstart",
            Kind::Systemd => "systemd",
        }
    }

    /// What the configuration asks for, if the environment has it; otherwise the variable that is missing.
    pub(super) fn detect(wanted: Supervised) -> Result<Kind, &'static str> {
        let has = |variable| std::env::var_os(variable).is_some();
        let (upstart, systemd) = ("UPSTART_JOB", "NOTIFY_SOCKET");
        match wanted {
            Supervised::No => Ok(Kind::None),
            Supervised::Upstart if has(upstart) => Ok(Kind::Upstart),
            Supervised::Upstart => Err(upstart),
            Supervised::Systemd if has(systemd) => Ok(Kind::Systemd),
            Supervised::Systemd => Err(systemd),
            Supervised::Auto if has(upstart) => Ok(Kind::Upstart),
            Supervised::Auto if has(systemd) => Ok(Kind::Systemd),
            Supervised::Auto => Ok(Kind::None),
        }
    }
}

/// The supervisor, and what it was told last.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    kind: Kind,
    status: String,
    is_ready: bool,
    /// When the status is looked at next.
    next_status: Option<Instant>,
    /// The time that the unit gives, and when the next sign of life is due.
    watchdog: Option<(Duration, Instant)>,
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::debug!("systemd can't be told: {error}");
    }
}

impl Supervisor {
    /// Begins with what [`Kind::detect`] has found, and logs it.
    pub(super) fn start(found: Result<Kind, &'static str>) -> Self {
        let kind = found.unwrap_or_else(|variable| {
            log::warn!("'supervised' asks for a supervisor, but {variable} is not in the environment");
            Kind::None
        });
        let mut supervisor = Supervisor { kind, ..Supervisor::default() };
        match kind {
            Kind::None => {}
            Kind::Upstart => {
                log::info!("supervised by upstart, will stop to signal readiness");
                if let Err(error) = raise(libc::SIGSTOP) {
                    log::warn!("The process could not be stopped: {error}");
                }
            }
            Kind::Systemd => {
                log::info!(
                    "supervised by systemd. Please make sure you set appropriate values for TimeoutStartSec and TimeoutStopSec in your service unit."
                );
                supervisor.watchdog = sd_notify::watchdog_enabled().map(|time| (time, Instant::now()));
                supervisor.say("redloop is starting");
            }
        }
        supervisor
    }

    /// How long the loop may sleep.
    pub(super) fn sleep_ms(&self) -> u64 {
        let Some((_, due)) = self.watchdog else { return u64::MAX };
        due.saturating_duration_since(Instant::now()).as_millis() as u64
    }

    fn say(&mut self, status: &str) {
        if self.kind == Kind::Systemd && self.status != status {
            notify(&[NotifyState::Status(status)]);
            self.status = status.to_string();
        }
    }

    /// Gives the sign of life, if it is due, and the status, if it has changed.
    fn tell(&mut self, engine: &Engine, is_loading: bool) {
        let now = Instant::now();
        if let Some((time, due)) = &mut self.watchdog
            && now >= *due
        {
            notify(&[NotifyState::Watchdog]);
            *due = now + *time / 2;
        }
        let becomes_ready = !is_loading && !self.is_ready;
        if !becomes_ready && self.next_status.is_some_and(|next| now < next) {
            return;
        }
        self.next_status = Some(now + STATUS_INTERVAL);
        if is_loading && !self.is_ready {
            notify(&[NotifyState::ExtendTimeoutUsec(MORE_TIME)]);
        }
        self.say(&status(engine));
        if becomes_ready {
            self.is_ready = true;
            notify(&[NotifyState::Ready]);
        }
    }

    /// A reload begins, or ends.
    pub(super) fn set_reloading(&mut self, is_reloading: bool) {
        if self.kind != Kind::Systemd || !self.is_ready {
            return;
        }
        match (is_reloading, NotifyState::monotonic_usec_now()) {
            (true, Ok(now)) => notify(&[NotifyState::Reloading, now]),
            (true, Err(_)) => {}
            (false, _) => notify(&[NotifyState::Ready]),
        }
    }

    /// The loop will be busy with this for as long as it takes.
    pub(super) fn begin_long_work(&mut self, status: &str) {
        self.say(status);
        if self.watchdog.is_some() {
            notify(&[NotifyState::Custom(&format!("WATCHDOG_USEC={A_DAY}"))]);
        }
    }

    /// It goes round again.
    pub(super) fn end_long_work(&mut self) {
        self.next_status = None;
        if let Some((time, due)) = &mut self.watchdog {
            notify(&[
                NotifyState::Custom(&format!("WATCHDOG_USEC={}", time.as_micros())),
                NotifyState::Watchdog,
            ]);
            *due = Instant::now() + *time / 2;
        }
    }

    /// The server ends.
    pub(super) fn stop(&mut self) {
        if self.kind == Kind::Systemd {
            notify(&[NotifyState::Stopping]);
            self.say("Exiting");
        }
    }
}

/// The state of the server in a sentence.
fn status(engine: &Engine) -> String {
    if let Some(load) = &engine.persistence.loading {
        let percent = (load.loaded * 100).checked_div(load.total).unwrap_or(0).min(100);
        let megabytes = load.total as f64 / 1e6;
        return format!("Loading the data: {percent}% of {megabytes:.1} MB");
    }
    if engine.clients.shutdown.is_some() {
        return "Waiting for replicas before the shutdown".into();
    }
    match &engine.replication.primary {
        Some(primary) if primary.is_up() => {
            format!("Ready to accept connections, as a replica of {}:{}", primary.host, primary.port)
        }
        Some(primary) => format!(
            "Ready to accept connections, as a replica that waits for its primary {}:{}",
            primary.host, primary.port
        ),
        None => "Ready to accept connections".into(),
    }
}

/// Whether the process goes to the background: not if something watches over it.
pub(super) fn daemonizes(config: &Config, found: Result<Kind, &'static str>) -> bool {
    config.daemonize && found.unwrap_or_default() == Kind::None
}

impl Server {
    /// Tells the supervisor, if there is one, what there is to tell.
    pub(super) fn tell_supervisor(&mut self) {
        if self.supervisor.kind == Kind::Systemd {
            self.supervisor.tell(&self.engine, self.files.is_loading());
        }
    }
}
