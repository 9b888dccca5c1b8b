//! Double SIGINT: the second one ends the process at once, whatever the loop is busy with.
//!
//! This runs in the signal handler, so it does only what a handler may. The first signal is an event of the loop.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::low_level::register;

use super::crash;

/// A signal has asked for a shutdown.
static ASKED: AtomicBool = AtomicBool::new(false);

fn on_interrupt() {
    if ASKED.swap(true, Ordering::Relaxed) {
        crash::tell("You insist... exiting now.\n");
        // SAFETY: _exit has no preconditions and may be called in a handler.
        unsafe { libc::_exit(1) }
    }
}

/// Has a second SIGINT end the process.
pub fn install() -> io::Result<()> {
    // SAFETY: both actions only touch an atomic, write to a descriptor or end the process.
    unsafe {
        register(libc::SIGINT, on_interrupt)?;
        register(libc::SIGTERM, || ASKED.store(true, Ordering::Relaxed))?;
    }
    Ok(())
}
