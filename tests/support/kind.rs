//! The servers that tests run: this one and real ones.

use std::path::PathBuf;

use crate::support::programs::{find_peer, on_path};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of this build, or the program that `REDLOOP_BINARY` names (a release build in long drills).
    Ours,
    /// The newest Redis that there is, 8.0 at least.
    Redis,
    Valkey,
    /// Debian's package: Redis 7.0.
    Debian,
}

impl Kind {
    /// `None`: this machine has none.
    pub fn program(self) -> Option<PathBuf> {
        match self {
            Kind::Ours => Some(
                std::env::var_os("REDLOOP_BINARY")
                    .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_redloop")), PathBuf::from),
            ),
            Kind::Redis => find_peer("redis", "redis-server", "REDLOOP_REDIS_SERVER"),
            Kind::Valkey => find_peer("valkey", "valkey-server", "REDLOOP_VALKEY_SERVER"),
            Kind::Debian => on_path("redis-server"),
        }
    }
}
