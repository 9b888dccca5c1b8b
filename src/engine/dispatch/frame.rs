//! The frame of the running call: what belongs to one call of a command, saved and restored by a call within it.
//!
//! ```text
//! call(EXEC)   enter ─┐ depth 1: its key, its rewrites, its errors
//!   call(SET)     enter ─┐ depth 2: its own
//!                 leave ─┘ EXEC's frame is back as it was; the errors of SET are not EXEC's
//!              leave ─┘ depth 0: nothing is left
//! ```

use super::propagation::{Propagation, Rewrites};
use crate::services::scripting::Targets;

/// Address and hash of no key.
pub(in crate::engine) const NO_KEY: (*const u8, u64) = (std::ptr::null(), 0);

/// Time as the running unit sees it, and what belongs to the running call.
pub(in crate::engine) struct Frame {
    /// Unix time of the running unit: microseconds, and milliseconds as commands see them.
    pub(in crate::engine) now_us: u64,
    pub(in crate::engine) now: u64,
    /// By how much the wall clock has been set back so far, ms.
    pub(in crate::engine) set_back_ms: u64,
    /// Calls that are running, each within the one before.
    depth: u32,
    /// Clients that waited for changed keys are being served, each in a unit of its own.
    pub(in crate::engine) is_serving: bool,
    /// Calls so far whose replies may tell of data.
    pub(in crate::engine) data_reads: u64,
    pub(in crate::engine) call: CallFrame,
    /// What the running call propagates in the request's place.
    pub(in crate::engine) propagation: Propagation,
    /// Whom the running call of a script is propagated to (`redis.set_repl`).
    pub(in crate::engine) targets: Targets,
    /// Those of the calls around the running one, the outermost first; one less than `depth`.
    outer: Vec<Outer>,
}

/// What belongs to the running call.
pub(in crate::engine) struct CallFrame {
    /// The control handler works on keys past their deadline.
    pub(in crate::engine) ignore_expiry: bool,
    /// The control handler changes data.
    pub(in crate::engine) writes: bool,
    /// Address and hash of the request's first key, if it was hashed ahead.
    pub(in crate::engine) hashed: (*const u8, u64),
    /// Error replies counted so far that are not this call's own.
    pub(in crate::engine) errors_before: u64,
    /// Arguments of the request that are hidden from MONITOR and the logs, ascending.
    pub(in crate::engine) redacted: Vec<usize>,
}

/// An outer call's part of the frame, while the call within it runs.
struct Outer {
    call: CallFrame,
    rewrites: Rewrites,
    /// Error replies counted when the call within it began.
    errors: u64,
}

impl Default for CallFrame {
    fn default() -> Self {
        CallFrame {
            ignore_expiry: false,
            writes: false,
            hashed: NO_KEY,
            errors_before: 0,
            redacted: Vec::new(),
        }
    }
}

impl CallFrame {
    /// The last error counted is not this call's own.
    pub(in crate::engine) fn ignore_error(&mut self) {
        self.errors_before = self.errors_before.wrapping_add(1);
    }

    /// This call has failed with an error that is counted as another's.
    pub(in crate::engine) fn fail(&mut self) {
        self.errors_before = self.errors_before.wrapping_sub(1);
    }

    /// Hides an argument of the request. Arguments come in order.
    pub(in crate::engine) fn redact(&mut self, argument: usize) {
        debug_assert!(self.redacted.last().is_none_or(|last| *last < argument));
        self.redacted.push(argument);
    }
}

impl Frame {
    /// Outside of any call, at `now_us` (Unix, microseconds).
    pub(in crate::engine) fn new(now_us: u64) -> Self {
        Frame {
            now_us,
            now: now_us / 1000,
            set_back_ms: 0,
            depth: 0,
            is_serving: false,
            data_reads: 0,
            call: CallFrame::default(),
            propagation: Propagation::default(),
            targets: Targets::ALL,
            outer: Vec::new(),
        }
    }

    /// See [`Engine::steady_now`](crate::engine::Engine::steady_now).
    #[inline]
    pub(in crate::engine) fn steady(&self) -> u64 {
        self.now + self.set_back_ms
    }

    /// Whether no call is running.
    #[inline]
    pub(in crate::engine) fn is_idle(&self) -> bool {
        self.depth == 0
    }

    /// Whether the running call is within another one.
    #[inline]
    pub(in crate::engine) fn is_nested(&self) -> bool {
        self.depth > 1
    }

    /// A call begins; `errors` is the count of error replies. [`Self::leave`] ends it.
    #[inline]
    pub(in crate::engine) fn enter(&mut self, hashed: (*const u8, u64), errors: u64) {
        self.depth += 1;
        if self.depth > 1 {
            self.save(errors);
        }
        self.call.hashed = hashed;
        self.call.errors_before = errors;
    }

    /// The running call ends, and the outer one goes on.
    #[inline]
    pub(in crate::engine) fn leave(&mut self, errors: u64) {
        self.depth -= 1;
        if self.depth > 0 {
            return self.restore(errors);
        }
        self.call.hashed = NO_KEY;
        self.call.ignore_expiry = false;
        self.call.writes = false;
        self.call.redacted.clear();
        self.propagation.clear();
    }

    #[cold]
    fn save(&mut self, errors: u64) {
        let (call, rewrites) = (std::mem::take(&mut self.call), self.propagation.enter());
        self.outer.push(Outer { call, rewrites, errors });
    }

    #[cold]
    fn restore(&mut self, errors: u64) {
        let Some(outer) = self.outer.pop() else { return };
        self.call = outer.call;
        // CONFIG RESETSTAT within a transaction sets the count back.
        let own = errors.wrapping_sub(outer.errors);
        self.call.errors_before = self.call.errors_before.wrapping_add(own);
        self.propagation.leave(outer.rewrites);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outer_call_finds_its_frame() {
        let mut frame = Frame::new(1_000_000);
        let key = b"key".as_ptr();
        assert!(frame.is_idle());
        frame.enter((key, 7), 10);
        frame.call.ignore_expiry = true;
        frame.call.redacted.push(2);
        // A call within it, and one within that: three errors, two of them of the innermost call.
        frame.enter(NO_KEY, 11);
        assert!(frame.is_nested() && !frame.call.ignore_expiry && frame.call.redacted.is_empty());
        assert_eq!((frame.call.hashed, frame.call.errors_before), (NO_KEY, 11));
        frame.enter(NO_KEY, 11);
        frame.leave(13);
        assert_eq!(frame.call.errors_before, 13);
        frame.leave(14);
        assert!(!frame.is_nested() && frame.call.ignore_expiry);
        assert_eq!((frame.call.hashed, frame.call.redacted.as_slice()), ((key, 7), [2].as_slice()));
        // One error before the calls was its own: 14 counted, 3 of them within, 10 before.
        assert_eq!(frame.call.errors_before, 13);
        frame.leave(14);
        assert!(frame.is_idle() && !frame.call.ignore_expiry && frame.call.redacted.is_empty());
        assert_eq!(frame.call.hashed, NO_KEY);
        assert!(frame.outer.is_empty());
    }
}
