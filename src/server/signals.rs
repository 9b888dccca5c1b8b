//! Signals as events of the loop: SIGTERM and SIGINT shut the server down in order, SIGHUP reloads its configuration. A second SIGINT, sent because the
//! loop doesn't come round to the first, ends the process at once (`sys::double_sigint`).

use std::io;

use mio::{Interest, Poll};
use signal_hook_mio::v1_0::Signals as SignalSource;

use super::persistence::temporary_name;
use crate::net::SIGNAL_TOKEN;
use crate::sys::double_sigint;

/// The source of signals, registered with the loop's poll.
pub struct Signals {
    source: SignalSource,
}

impl Signals {
    pub fn new(poll: &Poll) -> io::Result<Self> {
        double_sigint::install(&temporary_name())?;
        let mut source = SignalSource::new([libc::SIGINT, libc::SIGTERM, libc::SIGHUP])?;
        poll.registry().register(&mut source, SIGNAL_TOKEN, Interest::READABLE)?;
        Ok(Signals { source })
    }

    /// No signals: those of a test's process are not the server's.
    #[cfg(test)]
    pub fn none(poll: &Poll) -> io::Result<Self> {
        let mut source = SignalSource::new([0; 0])?;
        poll.registry().register(&mut source, SIGNAL_TOKEN, Interest::READABLE)?;
        Ok(Signals { source })
    }

    /// Reads the signals that came, and logs those that ask for a shutdown.
    pub fn read(&mut self) -> Received {
        let mut received = Received::default();
        for signal in self.source.pending() {
            if signal == libc::SIGHUP {
                received.reload = true;
                continue;
            }
            let name = if signal == libc::SIGINT { "SIGINT" } else { "SIGTERM" };
            log::warn!("Received {name} scheduling shutdown...");
            received.shutdown = Some(signal);
        }
        received
    }
}

/// What signals ask for.
#[derive(Default)]
pub struct Received {
    /// The last one that asks for a shutdown.
    pub shutdown: Option<i32>,
    pub reload: bool,
}
