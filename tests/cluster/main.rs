//! Clusters of real processes: of this server, of Redis and Valkey, and of several kinds together, of which nodes are killed, hung,
//! failed over and resharded while writers note what was acknowledged.
//!
//! The peers are those that tests/compat/peers.sh builds below `$PEERS` (default `~/.cache/peers`); without one a drill says so and
//! passes. `REDLOOP_CLUSTER_MINUTES` has the mixed drills go on for so long.

mod clients;
mod cluster;
mod commands;
mod keys;
#[path = "../support/kind.rs"]
mod kind;
#[path = "../support/node.rs"]
mod node;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod tools;
mod writer;

use std::time::{Duration, Instant};

use cluster::{Cluster, End, Protocol, Step};
use kind::Kind;
use writer::Writers;

use Kind::{Debian, Ours, Redis, Valkey};
use Step::{Failover, Hang, Kill, Move, MoveAndKill, Reshard, Restart};

/// Has a cluster of three primaries, each with a replica (its kind after that of all primaries), go through some steps while it is
/// written to; then all that was acknowledged by a replica as well must be there.
fn drill(kinds: [Kind; 6], steps: &[Step]) {
    if let Some(kind) = kinds.iter().find(|kind| kind.program().is_none()) {
        println!("SKIPPED: there is no server of the kind {kind:?}");
        return;
    }
    let mut cluster = Cluster::start(&kinds);
    let writers = Writers::start(cluster.ports());
    let minutes =
        std::env::var("REDLOOP_CLUSTER_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    loop {
        for step in steps {
            println!("{:?}: {step:?}", cluster.started.elapsed());
            cluster.go_through(*step);
        }
        if Instant::now() >= end {
            break;
        }
    }
    let written = writers.stop();
    cluster.await_agreement();
    written.check(&cluster.ports());
}

#[test]
fn a_cluster_of_ours() {
    drill([Ours; 6], &[Move, Reshard, Kill, Move, Failover, Hang, Restart, Kill]);
}

#[test]
fn an_end_is_killed_while_slots_move() {
    let steps = [
        MoveAndKill(Protocol::Valkey, End::Target),
        MoveAndKill(Protocol::Redis, End::Source),
        MoveAndKill(Protocol::Redis, End::Target),
        MoveAndKill(Protocol::Valkey, End::Source),
    ];
    drill([Ours; 6], &steps);
}

#[test]
fn with_primaries_of_redis() {
    drill([Redis, Ours, Redis, Ours, Redis, Ours], &[Move, Failover, Kill, Reshard, Move]);
}

#[test]
fn with_primaries_of_valkey() {
    drill([Valkey, Ours, Valkey, Ours, Ours, Valkey], &[Move, Kill, Reshard, Failover, Move]);
}

/// Without kills: Valkey takes a secret that nodes of Redis tell for an address, writes it into its file, and can't read that again.
#[test]
fn of_three_kinds() {
    drill([Ours, Redis, Valkey, Redis, Ours, Valkey], &[Failover, Reshard, Hang, Failover]);
}

#[test]
fn with_primaries_of_an_older_redis() {
    drill([Debian, Ours, Debian, Ours, Ours, Ours], &[Failover, Reshard, Kill]);
}
