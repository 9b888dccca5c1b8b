//! Faults of slot migrations that tests provoke (DEBUG SLOTMIGRATION, DEBUG ASM-FAILPOINT, DEBUG REPL-PAUSE).

use super::SlotMigration;
use crate::services::slot_migration::State;

/// A connection of a migration by Redis's protocol, at one of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelName {
    ImportMain,
    ImportSnapshot,
    ExportMain,
    ExportSnapshot,
}

impl ChannelName {
    /// Of its name in Redis.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let names = [
            ("import-main-channel", ChannelName::ImportMain),
            ("import-rdb-channel", ChannelName::ImportSnapshot),
            ("migrate-main-channel", ChannelName::ExportMain),
            ("migrate-rdb-channel", ChannelName::ExportSnapshot),
        ];
        names.iter().find(|(text, _)| text.as_bytes().eq_ignore_ascii_case(name)).map(|(_, name)| *name)
    }
}

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default)]
pub struct MigrationFaults {
    /// A source doesn't pause writes.
    pub prevents_pause: bool,
    /// A target that may take over doesn't.
    pub prevents_failover: bool,
    /// Where a connection is cut. With the main channel of a source and `None`, SYNC is refused; with `HandoffPrep`, no pause begins.
    pub cut: Option<(ChannelName, State)>,
    /// A target stops the process before it executes what it has kept of the stream.
    pub stops_before_kept: bool,
    pub removal: RemovalPace,
}

/// How quickly keys of slots that were lost are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RemovalPace {
    #[default]
    Usual,
    /// Keys stay where they are.
    Off,
    /// They wait.
    Never,
    /// A key in so many microseconds.
    Slow(u64),
}

impl SlotMigration {
    /// Whether a connection is to be cut in this state.
    pub fn fails_at(&self, channel: ChannelName, state: State) -> bool {
        self.faults.cut == Some((channel, state))
    }
}
