//! Signals as events of the loop: SIGTERM and SIGINT end the server in order.

use std::io;

use mio::{Interest, Poll};
use signal_hook_mio::v1_0::Signals as SignalSource;

use crate::net::OWN_TOKEN;

/// SIGINT and SIGTERM have these numbers on every system this runs on.
const SIGINT: i32 = libc::SIGINT;
const SIGTERM: i32 = libc::SIGTERM;

/// The source of signals, registered with the loop's poll.
pub struct Signals {
    source: SignalSource,
    asked_before: bool,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// End in order.
    End,
    /// End at once: the second SIGINT.
    EndNow,
}

impl Signals {
    pub fn new(poll: &Poll) -> io::Result<Self> {
        let mut source = SignalSource::new([SIGINT, SIGTERM])?;
        poll.registry().register(&mut source, OWN_TOKEN, Interest::READABLE)?;
        Ok(Signals { source, asked_before: false })
    }

    /// Reads what came, and logs it.
    pub fn read(&mut self) -> Option<Wish> {
        let mut wish = None;
        for signal in self.source.pending() {
            if signal == SIGINT && self.asked_before {
                log::warn!("You insist... exiting now.");
                return Some(Wish::EndNow);
            }
            let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
            log::warn!("Received {name} scheduling shutdown...");
            self.asked_before = true;
            wish = Some(Wish::End);
        }
        wish
    }
}
