//! RDB format: the dialect and version that a file or a payload is written in.
//!
//! ```text
//! version   read by                          new in it
//! 10        Redis 7.0, Valkey                listpacks of hashes and sorted sets, streams' counters
//! 11        Redis 7.2, Valkey                listpacks of sets, when a stream's consumer was last active
//! 12        Redis 7.4                        deadlines of hash fields, `kind` 24 and 25
//! 13        Redis 8.6                        identifiers of requests that a stream remembers, `kind` 26
//! 80        Valkey 9.0                       deadlines of hash fields, `kind` 22
//! ```

/// Whose files; the difference is how the deadlines of hash fields are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Versions 1 to 13.
    Redis,
    /// Versions up to 11, and from 80 on.
    Valkey,
}

/// What a file or a payload is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RdbFormat {
    /// Whose.
    pub family: Family,
    /// The version of the file.
    pub version: u16,
}

/// What a data set has that not every version has a place for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Hashes with deadlines of fields.
    pub field_deadlines: bool,
    /// Streams.
    pub streams: bool,
    /// Streams that remember requests.
    pub idempotency: bool,
    /// Slots that are being imported by Valkey's protocol, whose keys aren't to be shown.
    pub slot_imports: bool,
}

impl RdbFormat {
    /// The format of Redis 8.0, which can say everything but what a stream remembers of requests.
    pub const REDIS: RdbFormat = RdbFormat { family: Family::Redis, version: 12 };
    /// The format of Redis 8.6, which can say everything.
    pub const REDIS_8_6: RdbFormat = RdbFormat { family: Family::Redis, version: 13 };
    /// The format of Valkey 9.0, which can say everything but what a stream remembers of requests.
    pub const VALKEY: RdbFormat = RdbFormat { family: Family::Valkey, version: 80 };

    /// The lowest version that has a place for all that a data set has.
    pub fn choose(family: Family, data: Needs) -> RdbFormat {
        match (family, data) {
            (Family::Redis, Needs { idempotency: true, .. }) => RdbFormat::REDIS_8_6,
            (Family::Redis, Needs { field_deadlines: true, .. }) => RdbFormat::REDIS,
            (Family::Valkey, Needs { field_deadlines: true, .. } | Needs { slot_imports: true, .. }) => {
                RdbFormat::VALKEY
            }
            (_, Needs { streams, .. }) => RdbFormat { family, version: if streams { 11 } else { 10 } },
        }
    }

    /// The first bytes of a file.
    pub fn magic(self) -> [u8; 9] {
        let digit = |unit: u16| b'0' + (self.version / unit % 10) as u8;
        let name: [u8; 6] = if self.version < super::VALKEY_VERSION { *b"REDIS0" } else { *b"VALKEY" };
        let [a, b, c, d, e, f] = name;
        [a, b, c, d, e, f, digit(100), digit(10), digit(1)]
    }

    /// Whether a set may be written as a listpack.
    pub(super) fn has_set_listpacks(self) -> bool {
        self.version >= 11
    }

    /// Whether a stream's consumer may have the time when it was last active.
    pub(super) fn has_active_times(self) -> bool {
        self.version >= 11
    }

    /// Whether it has the kind for streams that remember requests.
    pub(super) fn has_idempotency(self) -> bool {
        (13..super::VALKEY_VERSION).contains(&self.version)
    }

    /// Whether it has kinds for hashes with deadlines as Redis writes them.
    pub(super) fn has_redis_deadlines(self) -> bool {
        (12..super::VALKEY_VERSION).contains(&self.version)
    }

    /// Whether it has the kind for hashes with deadlines that Valkey writes.
    pub(super) fn has_valkey_deadlines(self) -> bool {
        self.version >= super::VALKEY_VERSION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_version_that_will_do() {
        let magic = |family, field_deadlines, streams| {
            let needs = Needs { field_deadlines, streams, ..Needs::default() };
            RdbFormat::choose(family, needs).magic()
        };
        assert_eq!(&magic(Family::Redis, false, false), b"REDIS0010");
        assert_eq!(&magic(Family::Redis, false, true), b"REDIS0011");
        assert_eq!(&magic(Family::Redis, true, false), b"REDIS0012");
        assert_eq!(&magic(Family::Valkey, false, false), b"REDIS0010");
        assert_eq!(&magic(Family::Valkey, false, true), b"REDIS0011");
        assert_eq!(&magic(Family::Valkey, true, true), b"VALKEY080");
        let idempotency = Needs { streams: true, idempotency: true, ..Needs::default() };
        assert_eq!(&RdbFormat::choose(Family::Redis, idempotency).magic(), b"REDIS0013");
        assert_eq!(&RdbFormat::choose(Family::Valkey, idempotency).magic(), b"REDIS0011");
        let slot_imports = Needs { slot_imports: true, ..Needs::default() };
        assert_eq!(&RdbFormat::choose(Family::Redis, slot_imports).magic(), b"REDIS0010");
        assert_eq!(&RdbFormat::choose(Family::Valkey, slot_imports).magic(), b"VALKEY080");
    }
}
