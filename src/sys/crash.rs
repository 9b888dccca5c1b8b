//! Crash reports: what the log says when a signal ends the process; on SIGALRM, the stack at that moment.
//!
//! ```text
//! 4711:signal-handler (1700000000) redloop 0.1.0 crashed by signal: 11, code: 1, address: 0x10
//! ------ STACK TRACE ------
//! ./redloop(+0x1234)[0x55d0c0de1234]   one line a frame
//! ------ STACK TRACE DONE ------
//! ```
//!
//! The interrupted code may hold any lock, so a handler writes bytes to a descriptor and does
//! nothing else: no allocation, no `log`. Afterwards the signal does what it would have done.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Where reports go.
static LOG: AtomicI32 = AtomicI32::new(libc::STDOUT_FILENO);
/// `crash-log-enabled`.
static ENABLED: AtomicBool = AtomicBool::new(true);

const FATAL: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT];
const MAX_FRAMES: usize = 64;

/// A line put together without an allocator.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Line {
    fn new() -> Self {
        Line { bytes: [0; 256], len: 0 }
    }

    fn text(mut self, text: &str) -> Self {
        for byte in text.bytes().take(self.bytes.len() - self.len) {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        self
    }

    fn number(self, mut n: u64, radix: u64) -> Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b"0123456789abcdef"[(n % radix) as usize];
            n /= radix;
            if n == 0 {
                break;
            }
        }
        self.text(std::str::from_utf8(&digits[start..]).unwrap_or_default())
    }

    fn write(self) {
        // SAFETY: the buffer is ours and its length is given; a closed descriptor is an error, no harm.
        unsafe {
            libc::write(LOG.load(Ordering::Relaxed), self.bytes.as_ptr().cast(), self.len);
        }
    }
}

/// The beginning of a line of the log, as far as a handler can format it.
fn head() -> Line {
    // SAFETY: both calls have no preconditions and may be made in a handler.
    let (pid, time) = unsafe { (libc::getpid(), libc::time(std::ptr::null_mut())) };
    Line::new().number(pid as u64, 10).text(":signal-handler (").number(time as u64, 10).text(") ")
}

fn write_frames() {
    Line::new().text("------ STACK TRACE ------\n").write();
    let mut frames = [std::ptr::null_mut(); MAX_FRAMES];
    // SAFETY: the array has as many places as is said; after the first call, which `install` made, neither
    // function allocates.
    unsafe {
        let found = libc::backtrace(frames.as_mut_ptr(), MAX_FRAMES as c_int);
        libc::backtrace_symbols_fd(frames.as_ptr(), found, LOG.load(Ordering::Relaxed));
    }
    Line::new().text("------ STACK TRACE DONE ------\n").write();
}

extern "C" fn on_fatal(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    if ENABLED.load(Ordering::Relaxed) {
        // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
        let head = head().text("redloop ").text(env!("CARGO_PKG_VERSION")).text(" crashed by signal: ");
        let line = head.number(signal as u64, 10).text(", code: ").number(code.unsigned_abs().into(), 10);
        line.text(", address: 0x").number(address as u64, 16).text("\n").write();
        write_frames();
    }
    // SAFETY: raise has no preconditions. The handler is gone by now (SA_RESETHAND): the signal, pending
    // until this returns, ends the process.
    unsafe {
        libc::raise(signal);
    }
}

extern "C" fn on_alarm(_signal: c_int, _info: *mut libc::siginfo_t, _context: *mut c_void) {
    head().text("Received SIGALRM: this is where the server is.\n").write();
    write_frames();
}

/// Writes a line to the log as a handler may.
pub(super) fn tell(text: &str) {
    head().text(text).write();
}

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

fn handle(signal: c_int, handler: Handler, flags: c_int) {
    // SAFETY: sigaction is plain data, and the handler has the signature that SA_SIGINFO asks for and does
    // only what a handler may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

/// Bytes of the stack that handlers run on: the kernel alone may take twelve thousand for the processor's state, and
/// the unwinder needs some.
const HANDLER_STACK: usize = 128 * 1024;

/// Gives the calling thread, the loop's, a stack of its own for handlers, in place of the runtime's small one. It is
/// there for as long as the process.
fn install_handler_stack() {
    let stack: &'static mut [u8] = Box::leak(vec![0; HANDLER_STACK].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: the memory is exclusive to this use, large enough, and never freed. A failure leaves the stack that was
    // there.
    unsafe {
        libc::sigaltstack(&stack, std::ptr::null_mut());
    }
}

/// Has signals reported from now on. To be called by the thread that runs the loop.
pub fn install() {
    install_handler_stack();
    let mut frame = std::ptr::null_mut();
    // SAFETY: one place is there. The first call loads the unwinder, which a handler must not do.
    unsafe {
        libc::backtrace(&mut frame, 1);
    }
    for signal in FATAL {
        handle(signal, on_fatal, libc::SA_RESETHAND);
    }
    handle(libc::SIGALRM, on_alarm, libc::SA_RESTART);
}

/// Where reports go: a descriptor that stays open.
pub fn report_to(descriptor: RawFd) {
    LOG.store(descriptor, Ordering::Relaxed);
}

/// Whether crashes are reported at all.
pub fn set_enabled(enabled: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_not_overrun() {
        let line = Line::new().text("a ").number(0, 10).text(" 0x").number(u64::MAX, 16);
        assert_eq!(&line.bytes[..line.len], b"a 0 0xffffffffffffffff");
        let long = Line::new().text(&"x".repeat(300)).number(7, 10);
        assert_eq!(long.len, long.bytes.len());
    }
}
