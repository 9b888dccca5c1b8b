//! Retention of requests: how long a stream remembers their identifiers, and how many.

use super::StreamId;

/// How long, and how many, identifiers of requests a stream remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// `stream-idmp-duration`: seconds after which an identifier is forgotten.
    pub seconds: u32,
    /// `stream-idmp-maxsize`: identifiers of each producer.
    pub identifiers: u32,
}

impl Retention {
    /// The most seconds.
    pub const MAX_SECONDS: u32 = 86_400;
    /// The most identifiers.
    pub const MAX_IDENTIFIERS: u32 = 10_000;
    /// What a stream has unless it is told otherwise.
    pub const DEFAULT: Retention = Retention { seconds: 100, identifiers: 100 };

    /// When the record of an entry is forgotten, Unix ms.
    pub(super) fn expires_ms(self, id: StreamId) -> u64 {
        id.ms.saturating_add(u64::from(self.seconds) * 1000)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Retention::DEFAULT
    }
}
