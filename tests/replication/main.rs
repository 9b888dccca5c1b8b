//! Replication between this server and real ones: every pair, in both roles, under a load of every type of value, over links
//! that are cut; in the end both have the same data.
//!
//! `REDLOOP_REPLICATION_SEED=n` (or `random`) chooses other loads and cuts, `REDLOOP_REPLICATION_ROUNDS=n` goes through all of
//! it so many times, with every way of loading.

mod actors;
mod cuts;
mod fields;
mod hostile;
#[path = "../support/kind.rs"]
mod kind;
mod load;
mod node;
mod pair;
#[path = "../support/ports.rs"]
mod ports;
mod proxy;
#[path = "../support/recipes.rs"]
mod recipes;
#[path = "../support/mod.rs"]
mod support;

use kind::Kind;
use node::{Node, eventually};
use pair::Pair;
use redloop::base::rng::Rng;
use support::reply::Reply;

fn variable(name: &str) -> Option<u64> {
    match std::env::var(name).ok()?.as_str() {
        "random" => Some(std::time::UNIX_EPOCH.elapsed().expect("a time").as_nanos() as u64),
        number => number.parse().ok(),
    }
}

/// How the snapshot of a full synchronization goes to the replica, and how the replica loads it.
const WAYS: &[(&str, &str)] =
    &[("yes", "disabled"), ("no", "disabled"), ("yes", "swapdb"), ("yes", "on-empty-db"), ("no", "swapdb")];

fn replicate(primary: Kind, replica: Kind) {
    for kind in [primary, replica] {
        if kind.program().is_none() {
            println!("SKIPPED: there is no server of the kind {kind:?}");
            return;
        }
    }
    let seed = variable("REDLOOP_REPLICATION_SEED").unwrap_or(1);
    let rounds = variable("REDLOOP_REPLICATION_ROUNDS");
    println!("{primary:?} to {replica:?}: REDLOOP_REPLICATION_SEED={seed}");
    let mut rng = Rng::new(seed);
    // Without a number of rounds each pair has one, and its own ways.
    let first = primary as usize * 2 + replica as usize;
    for round in 0..rounds.unwrap_or(1) {
        let way = |number: usize| WAYS[(first + number + round as usize) % WAYS.len()];
        let mut pair = Pair::start(primary, replica, &mut rng);
        pair.full(way(0));
        pair.partial();
        pair.cut_at_random(way(1));
        pair.replica_restarts();
        pair.primary_restarts();
        if rounds.is_some() {
            (2..WAYS.len()).for_each(|number| pair.full(way(number)));
        }
    }
}

#[test]
fn ours_to_ours() {
    replicate(Kind::Ours, Kind::Ours);
}

#[test]
fn ours_to_redis() {
    replicate(Kind::Ours, Kind::Redis);
}

#[test]
fn ours_to_valkey() {
    replicate(Kind::Ours, Kind::Valkey);
}

#[test]
fn redis_to_ours() {
    replicate(Kind::Redis, Kind::Ours);
}

#[test]
fn valkey_to_ours() {
    replicate(Kind::Valkey, Kind::Ours);
}

#[test]
fn debian_to_ours() {
    replicate(Kind::Debian, Kind::Ours);
}

/// Deadlines of hash fields come with a snapshot: Valkey's primaries have one only for replicas that they take for Valkey 9.
#[test]
fn deadlines_of_fields_cross() {
    use Kind::{Ours, Redis, Valkey};
    for (primary, replica) in [(Valkey, Ours), (Redis, Ours), (Ours, Valkey), (Ours, Redis), (Ours, Ours)] {
        if primary.program().is_none() || replica.program().is_none() {
            println!("SKIPPED: {primary:?} to {replica:?}");
            continue;
        }
        let [primary, replica] = [(primary, "primary"), (replica, "replica")]
            .map(|(kind, role)| Node::start(kind, &format!("deadlines-{role}-{primary:?}-{replica:?}"), &[]));
        primary.ask("HSET hash a 1 b 2");
        primary.ask("HPEXPIREAT hash 4102444800000 FIELDS 1 a");
        replica.set(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
        let report = || format!("primary:\n{}\n\nreplica:\n{}", primary.log(), replica.log());
        eventually("the link", report, || replica.info("replication", "master_link_status") == "up");
        let deadlines = Reply::Array(vec![Reply::Int(4_102_444_800_000), Reply::Int(-1)]);
        assert_eq!(replica.ask("HPEXPIRETIME hash FIELDS 2 a b"), deadlines, "{}", report());
    }
}
