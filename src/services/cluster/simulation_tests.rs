//! Simulated clusters: failovers, partitions, crashes, clocks that jump. Whatever happens: a node votes once in an epoch, and no slot is
//! claimed by two nodes in the same one. When all is well again, all nodes agree.

use super::FailoverKind;
use super::simulation::{START, World, settings};

#[test]
fn nodes_meet_and_agree_on_slots_and_roles() {
    let mut world = World::new(1, 6, settings());
    world.form(3);
    let epochs: std::collections::BTreeSet<u64> =
        (0..3).map(|node| world.cluster(node).topology.myself().config_epoch).collect();
    assert_eq!(epochs.len(), 3, "each primary has its own epoch");
    let shard = world.cluster(0).topology.myself().shard;
    assert_eq!(world.cluster(3).topology.myself().shard, shard);
    assert!(world.now > START);
}

#[test]
fn a_replica_takes_over_from_a_primary_that_crashed() {
    for seed in 0..10 {
        let mut world = World::new(seed, 6, settings());
        world.form(3);
        world.run(2000);
        let slots = world.cluster(0).topology.myself().slots().clone();
        world.crash(0, seed % 2 == 0);
        let took = world.run_until("a replica takes over", 12_000, |world| {
            let me = world.cluster(3).topology.myself();
            me.is_primary() && *me.slots() == slots && world.cluster(1).is_ok()
        });
        assert!(took >= 1000, "not before the node timeout");
        world.start(0);
        world.run_until("the old primary follows", 20_000, |world| {
            let new = world.id(3);
            let topology = &world.cluster(0).topology;
            let primary = topology.myself().primary().map(|at| topology.node(at).id);
            primary == Some(new) && world.agrees()
        });
    }
}

/// Crashes, partitions, cuts in one direction, clocks that jump, manual failovers; then all is well again.
fn run_chaos(seed: u64, nodes: usize, primaries: usize) -> u64 {
    let mut world = World::new(seed, nodes, settings());
    world.form(primaries);
    let mut longest = 0;
    for _ in 0..3 {
        for _ in 0..6 {
            disturb(&mut world, nodes);
            let ms = 200 + world.rng.below(4000);
            world.run(ms);
            world.check_claims();
        }
        world.heal();
        for node in 0..nodes {
            if !world.is_up(node) {
                world.start(node);
            }
        }
        longest = longest.max(world.run_until("all nodes agree again", 120_000, World::agrees));
    }
    longest
}

fn disturb(world: &mut World, nodes: usize) {
    let node = world.rng.below(nodes as u64) as usize;
    match world.rng.below(10) {
        0 | 1 if world.is_up(node) => {
            let is_silent = world.rng.below(2) == 0;
            world.crash(node, is_silent);
        }
        0..=2 if !world.is_up(node) => world.start(node),
        3 | 4 => {
            let side: Vec<bool> = (0..nodes).map(|_| world.rng.below(3) == 0).collect();
            for from in 0..nodes {
                world.cuts.extend((0..nodes).filter(|to| side[from] != side[*to]).map(|to| (from, to)));
            }
        }
        5 => {
            let to = world.rng.below(nodes as u64) as usize;
            world.cuts.insert((node, to));
        }
        6 => world.heal(),
        7 => world.nodes[node].skew = world.rng.below(60_000) as i64 - 30_000,
        8 => world.with(node, |cluster, _| _ = cluster.begin_manual_failover(FailoverKind::Default)),
        9 => world.with(node, |cluster, _| _ = cluster.begin_manual_failover(FailoverKind::Force)),
        _ => {}
    }
}

#[test]
fn after_any_chaos_the_nodes_agree() {
    let mut longest = 0;
    for seed in 0..8 {
        println!("seed {seed}");
        longest = longest.max(run_chaos(seed, 6, 3));
    }
    println!("agreed after {longest} ms at most");
}
