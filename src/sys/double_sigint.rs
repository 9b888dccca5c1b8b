//! Double SIGINT: the second one ends the process at once, whatever the loop is busy with.
//!
//! This runs in the signal handler, so it does only what a handler may. The first signal is an event of the loop.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::io;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use signal_hook::low_level::register;

use super::crash;

/// A signal has asked for a shutdown.
static ASKED: AtomicBool = AtomicBool::new(false);

/// The name of the file that a save at the end writes before it is complete; null or never freed.
static TEMPORARY: AtomicPtr<c_char> = AtomicPtr::new(null_mut());

fn on_interrupt() {
    if ASKED.swap(true, Ordering::Relaxed) {
        crash::tell("You insist... exiting now.\n");
        let temporary = TEMPORARY.load(Ordering::Acquire);
        if !temporary.is_null() {
            // SAFETY: it ends in a zero and is never freed; unlink may be called in a handler.
            unsafe { libc::unlink(temporary) };
        }
        // SAFETY: _exit has no preconditions and may be called in a handler.
        unsafe { libc::_exit(1) }
    }
}

/// The shutdown that a signal asked for was not possible, so the next signal is the first again.
pub fn forget() {
    ASKED.store(false, Ordering::Relaxed);
}

/// Has a second SIGINT end the process, and remove the file that a save at the end may have begun.
pub fn install(temporary: &str) -> io::Result<()> {
    TEMPORARY.store(CString::new(temporary)?.into_raw(), Ordering::Release);
    // SAFETY: both actions only touch an atomic, write to a descriptor or end the process.
    unsafe {
        register(libc::SIGINT, on_interrupt)?;
        register(libc::SIGTERM, || ASKED.store(true, Ordering::Relaxed))?;
    }
    Ok(())
}
