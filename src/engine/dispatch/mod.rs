//! The way of a request through the engine: admission, the call, timing, propagation.

mod admission;
pub mod call;
mod propagation;
pub mod stream;
pub mod timing;

use crate::resp::OwnedArgs;
use call::Effects;
use stream::Feed;

/// The command stream, and what the running unit adds to it.
#[derive(Default)]
pub struct Stream {
    pub feed: Feed,
    /// Requests fed by the running unit.
    pub(in crate::engine) unit_feed: Vec<(u32, OwnedArgs)>,
}

/// What belongs to the running call.
pub(in crate::engine) struct Frame {
    pub(in crate::engine) effects: Effects,
    /// Unix time of the running unit: microseconds, and milliseconds as commands see them.
    pub(in crate::engine) now_us: u64,
    pub(in crate::engine) now: u64,
    /// The running control handler works on keys past their deadline.
    pub(in crate::engine) ignore_expiry: bool,
    /// Calls within calls.
    pub(in crate::engine) depth: u32,
    /// Address and hash of the running request's first key.
    pub(in crate::engine) hashed: (*const u8, u64),
    /// Error replies that belong to calls which are over.
    pub(in crate::engine) errors_counted: u64,
    /// Arguments of the running request that are hidden from MONITOR and the logs.
    pub(in crate::engine) redacted: Vec<usize>,
}

/// Address and hash of no key.
pub(in crate::engine) const NO_KEY: (*const u8, u64) = (std::ptr::null(), 0);

impl Frame {
    /// Outside of any call, at `now_us` (Unix, microseconds).
    pub(in crate::engine) fn new(now_us: u64) -> Self {
        Frame {
            effects: Effects::default(),
            now_us,
            now: now_us / 1000,
            ignore_expiry: false,
            depth: 0,
            hashed: NO_KEY,
            errors_counted: 0,
            redacted: Vec::new(),
        }
    }
}
