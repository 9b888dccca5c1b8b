//! A shutdown that was asked for: how, and who waits for it.

use crate::base::ids::ClientId;
use crate::services::config::ShutdownFlags;

/// How to shut down: the options of SHUTDOWN, `shutdown-on-sigterm` and `shutdown-on-sigint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownOptions {
    /// Save the data; `None`: if there are save points.
    pub save: Option<bool>,
    /// Don't wait for replicas.
    pub now: bool,
    /// Also if the data can't be saved.
    pub force: bool,
    /// Not as a primary of a cluster with slots.
    pub safe: bool,
    /// As a primary of a cluster, have a replica take over.
    pub failover: bool,
}

impl From<ShutdownFlags> for ShutdownOptions {
    fn from(flags: ShutdownFlags) -> Self {
        let save = match () {
            () if flags.contains(ShutdownFlags::SAVE) => Some(true),
            () if flags.contains(ShutdownFlags::NOSAVE) => Some(false),
            () => None,
        };
        ShutdownOptions {
            save,
            now: flags.contains(ShutdownFlags::NOW),
            force: flags.contains(ShutdownFlags::FORCE),
            safe: flags.contains(ShutdownFlags::SAFE),
            failover: flags.contains(ShutdownFlags::FAILOVER),
        }
    }
}

/// A shutdown that waits for replicas.
#[derive(Debug)]
pub struct PendingShutdown {
    pub options: ShutdownOptions,
    /// Unix ms.
    pub until_ms: u64,
    /// SHUTDOWN ABORT has come.
    pub is_aborted: bool,
    /// Those that wait for it to fail.
    pub clients: Vec<ClientId>,
}
