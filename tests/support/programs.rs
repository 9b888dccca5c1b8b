//! Where the programs of other servers and tools are.

use std::path::PathBuf;

/// Where a program lies on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Where `tests/compat/peers.sh` builds Redis, the newest first.
const REDIS_TREES: &[&str] = &["redis-8.6", "redis"];

/// A program of another server: named by `variable`, or built by `tests/compat/peers.sh` in `tree` (`valkey`; `redis`: the newest
/// that there is), or on PATH.
pub fn find_peer(tree: &str, name: &str, variable: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable) {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    let peers = std::env::var_os("PEERS").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/peers"));
    let trees = if tree == "redis" { REDIS_TREES.to_vec() } else { vec![tree] };
    let dir = peers.or(home)?;
    let mut built = trees.iter().map(|tree| dir.join(tree).join("src").join(name));
    built.find(|path| path.is_file()).or_else(|| on_path(name))
}
