//! Signals as events of the loop: SIGTERM and SIGINT end the server in order. Who sends SIGINT again, because the
//! loop doesn't come round to the first, ends the process at once (`sys::insistence`).

use std::io;

use mio::{Interest, Poll};
use signal_hook_mio::v1_0::Signals as SignalSource;

use crate::net::OWN_TOKEN;
use crate::sys::insistence;

/// The source of signals, registered with the loop's poll.
pub struct Signals {
    source: SignalSource,
}

impl Signals {
    pub fn new(poll: &Poll) -> io::Result<Self> {
        insistence::install()?;
        let mut source = SignalSource::new([libc::SIGINT, libc::SIGTERM])?;
        poll.registry().register(&mut source, OWN_TOKEN, Interest::READABLE)?;
        Ok(Signals { source })
    }

    /// Reads what came, and logs it; whether the server is to end.
    pub fn read(&mut self) -> bool {
        let mut ends = false;
        for signal in self.source.pending() {
            let name = if signal == libc::SIGINT { "SIGINT" } else { "SIGTERM" };
            log::warn!("Received {name} scheduling shutdown...");
            ends = true;
        }
        ends
    }
}
