//! The second SIGINT: it ends the process at once, whatever the loop is busy with.
//!
//! Runs in the handler, so it does only what a handler may. The first signal is the loop's affair.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::low_level::register;

use super::crash;

/// Whether the server has been asked to end.
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
