//! Persistence status: what was saved when and with what success, and when the next snapshot is due.
//!
//! The state of `rdb_*` in INFO, the save points, and the reason for which writes are refused (`stop-writes-on-bgsave-error`).
//! No I/O happens here: the engine asks, the server reports.

/// Seconds after a failed snapshot before a save point begins another one.
const RETRY_AFTER: u64 = 5;

/// What the last attempt of something came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastAttempt {
    #[default]
    Ok,
    Failed,
}

impl LastAttempt {
    /// INFO's word.
    pub fn word(self) -> &'static str {
        match self {
            LastAttempt::Ok => "ok",
            LastAttempt::Failed => "err",
        }
    }
}

/// Snapshots to the file `dbfilename`.
#[derive(Clone, Debug, Default)]
pub struct RdbStatus {
    /// `journal.dirty` as of the last snapshot that was written.
    pub saved_dirty: u64,
    /// When that was, Unix seconds.
    pub last_save: u64,
    /// When the last snapshot in the background was begun, Unix seconds.
    pub last_try: u64,
    pub last_attempt: LastAttempt,
    /// How long the last one took, seconds.
    pub last_seconds: Option<u64>,
    /// Snapshots written since start-up.
    pub saves: u64,
    pub consecutive_failures: u64,
    /// BGSAVE SCHEDULE waits for what is under way.
    pub is_scheduled: bool,
    /// Of the last loading: keys past their deadline, and keys that were loaded.
    pub load_expired: u64,
    pub loaded: u64,
}

impl RdbStatus {
    /// Whether a save point asks for a snapshot: `points` are seconds and changes.
    pub fn is_due(
        &self,
        points: impl Iterator<Item = (u64, u64)>,
        dirty: u64,
        now: u64,
    ) -> Option<(u64, u64)> {
        let changes = dirty.saturating_sub(self.saved_dirty);
        let may_try = self.last_attempt == LastAttempt::Ok || now.saturating_sub(self.last_try) > RETRY_AFTER;
        let mut points = points;
        points.find(|(seconds, least)| {
            changes >= *least && now.saturating_sub(self.last_save) > *seconds && may_try
        })
    }

    /// A snapshot, of the data as of `dirty`, was written.
    pub fn succeeded(&mut self, dirty: u64, now: u64) {
        self.saved_dirty = dirty;
        self.last_save = now;
        self.last_attempt = LastAttempt::Ok;
        self.saves += 1;
        self.consecutive_failures = 0;
    }

    /// A snapshot could not be written.
    pub fn failed(&mut self) {
        self.last_attempt = LastAttempt::Failed;
        self.consecutive_failures += 1;
    }
}

/// The append-only file.
#[derive(Clone, Debug, Default)]
pub struct AofStatus {
    pub is_on: bool,
    /// The log is to be rewritten when what is under way has ended.
    pub is_rewrite_scheduled: bool,
    pub last_rewrite: LastAttempt,
    /// How long the last rewrite took, seconds.
    pub last_rewrite_seconds: Option<u64>,
    /// Rewrites since start-up.
    pub rewrites: u64,
    pub consecutive_failures: u64,
    pub last_write: LastAttempt,
    /// Why the last write failed, as the system says.
    pub write_error: String,
    /// Bytes of all its files, and of those after the last rewrite.
    pub current_size: u64,
    pub base_size: u64,
    /// Bytes that are not written yet.
    pub buffered: u64,
    /// Syncs under way, and those that came late since start-up.
    pub pending_fsync: u64,
    pub delayed_fsync: u64,
}

/// A file that is being loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadProgress {
    /// Unix seconds.
    pub started: u64,
    /// Bytes in all, and so far.
    pub total: u64,
    pub loaded: u64,
    /// `used-mem` of the file's facts.
    pub used_memory: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn save_points() {
        let mut status = RdbStatus { last_save: 1000, ..RdbStatus::default() };
        let points = || [(60, 100), (10, 1000)].into_iter();
        assert_eq!(status.is_due(points(), 99, 2000), None);
        assert_eq!(status.is_due(points(), 100, 1060), None);
        assert_eq!(status.is_due(points(), 100, 1061), Some((60, 100)));
        assert_eq!(status.is_due(points(), 1000, 1011), Some((10, 1000)));
        status.failed();
        status.last_try = 1061;
        assert_eq!(status.is_due(points(), 100, 1066), None);
        assert_eq!(status.is_due(points(), 100, 1067), Some((60, 100)));
        status.succeeded(100, 1067);
        assert_eq!((status.saves, status.consecutive_failures), (1, 0));
        assert_eq!(status.is_due(points(), 199, 9999), None);
        assert_eq!(status.is_due(points(), 200, 9999), Some((60, 100)));
    }
}
