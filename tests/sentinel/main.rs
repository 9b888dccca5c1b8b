//! Drills of Sentinel: real processes, of which primaries are killed, stopped and cut off, watched by our sentinels, by those of
//! Redis, Valkey and Debian's package, and by sentinels of several kinds together, while client libraries follow.
//!
//! The peers are those that tests/compat/peers.sh builds below `$PEERS` (default `~/.cache/peers`), or those of the distribution; without
//! one a drill says so and passes.

mod drill;
mod follower;
#[path = "../support/kind.rs"]
mod kind;
#[path = "../support/node.rs"]
mod node;
#[path = "../support/ports.rs"]
mod ports;
mod proxy;
mod side_by_side;
#[path = "../support/mod.rs"]
mod support;

use drill::{Drill, Step};
use follower::Library;
use kind::Kind;

use Kind::{Debian, Ours, Redis, Valkey};
use Step::{Command, Cut, Hang, Kill, RestartSentinel};

/// Has three servers and three sentinels go through some steps, with clients of some libraries.
fn drill(servers: [Kind; 3], sentinels: [Kind; 3], libraries: &[Library], steps: &[Step]) {
    if let Some(kind) = servers.iter().chain(&sentinels).find(|kind| kind.program().is_none()) {
        println!("SKIPPED: there is no server of the kind {kind:?}");
        return;
    }
    let mut drill = Drill::start(servers, sentinels, libraries);
    steps.iter().for_each(|step| drill.go_through(*step));
}

#[test]
fn our_servers_under_our_sentinels() {
    drill(
        [Ours; 3],
        [Ours; 3],
        &[Library::RedisPy, Library::IoRedis],
        &[Kill, Hang, Cut, RestartSentinel, Command],
    );
}

#[test]
fn our_servers_under_sentinels_of_redis() {
    drill([Ours; 3], [Redis; 3], &[Library::RedisPy], &[Hang, Cut, Kill]);
}

#[test]
fn our_servers_under_sentinels_of_debian() {
    drill([Ours; 3], [Debian; 3], &[Library::RedisPy, Library::IoRedis], &[Kill, Hang, Cut]);
}

#[test]
fn our_servers_under_sentinels_of_three_kinds() {
    drill([Ours; 3], [Ours, Redis, Valkey], &[Library::RedisPy], &[Cut, Kill, Command]);
}

#[test]
fn servers_of_two_kinds_under_sentinels_of_two_kinds() {
    drill([Ours, Redis, Ours], [Redis, Ours, Redis], &[Library::IoRedis], &[Kill, Hang]);
}

#[test]
fn servers_of_redis_under_our_sentinels() {
    drill([Redis; 3], [Ours; 3], &[Library::RedisPy], &[Kill, Command]);
}

#[test]
fn servers_of_valkey_under_sentinels_of_two_kinds() {
    drill([Valkey; 3], [Ours, Ours, Valkey], &[Library::RedisPy], &[Hang, Command]);
}
