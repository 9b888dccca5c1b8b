//! Simulated clusters: failovers, partitions, slow and broken connections, crashes, clocks that jump. Whatever happens: a node votes
//! once in an epoch, and no slot is claimed by two nodes in the same one. When all is well again, all nodes agree.

use super::bench::user;
use super::simulation::{START, World, settings};
use super::{FailoverKind, Settings, flag};
use crate::base::slot_set::SlotSet;

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

#[test]
fn a_primary_hands_over_to_no_replica_while_it_hands_slots_over() {
    let mut world = World::new(13, 6, settings());
    world.form(3);
    world.run(2000);
    world.cluster(0).granted.insert(0, None);
    let begin = |world: &mut World| {
        world.with(3, |cluster, _| {
            cluster.begin_manual_failover(FailoverKind::Default, &user()).expect("a replica");
        });
    };
    begin(&mut world);
    world.run(3000);
    assert!(world.cluster(0).topology.myself().is_primary());
    assert_eq!(world.nodes[0].paused_until, 0);
    world.cluster(0).granted.clear();
    world.run(3000);
    begin(&mut world);
    world.run_until("the replica takes over", 3000, |world| world.cluster(3).topology.myself().is_primary());
}

/// Crashes, partitions, cuts in one direction, slow and reset connections, clocks that jump, manual failovers; then all is well again.
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
    match world.rng.below(13) {
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
        8 => world.with(node, |cluster, _| _ = cluster.begin_manual_failover(FailoverKind::Default, &user())),
        9 => world.with(node, |cluster, _| _ = cluster.begin_manual_failover(FailoverKind::Force, &user())),
        10 | 11 => (0..nodes).for_each(|_| world.reset_any()),
        12 => world.slowness = 1 + world.rng.below(2 * world.settings.node_timeout_ms),
        _ => {}
    }
}

#[test]
fn after_any_chaos_the_nodes_agree() {
    let seeds = std::env::var("CLUSTER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(12);
    let mut longest = 0;
    let from = std::env::var("CLUSTER_FROM").ok().and_then(|v| v.parse().ok()).unwrap_or(0);
    for seed in from..seeds {
        let (nodes, primaries) = [(3, 3), (6, 3), (9, 3), (8, 4), (20, 7)][seed as usize % 5];
        println!("seed {seed}: {nodes} nodes");
        longest = longest.max(run_chaos(seed, nodes, primaries));
    }
    println!("agreed after {longest} ms at most");
    // A failure is agreed on within two node timeouts, an election that is lost begins anew after four, and the failure of a primary
    // is taken back after two.
    assert!(longest <= 6 * settings().node_timeout_ms);
}

#[test]
fn a_node_that_has_lost_its_file_joins_again_under_another_name() {
    let mut world = World::new(11, 6, settings());
    world.form(3);
    let old = world.id(4);
    world.crash(4, false);
    world.nodes[4].saved = None;
    world.start(4);
    let new = world.id(4);
    assert_ne!(old, new);
    world.run_until("the old name is without an address", 30_000, |world| {
        let topology = &world.cluster(0).topology;
        topology.find(old).is_some_and(|at| topology.node(at).is(flag::NOADDR | flag::FAIL))
    });
    // One node forgets the old name: by its pings, all do.
    world.with(0, |cluster, _| {
        let at = cluster.topology.find(old).expect("it is known");
        cluster.forget(at);
    });
    world.meet(1, 4);
    world.run_until("all know the new name, and not the old one", 30_000, |world| {
        (0..6).all(|node| {
            let topology = &world.cluster(node).topology;
            topology.find(old).is_none() && topology.find(new).is_some() && topology.len() == 6
        })
    });
    let primary = world.id(1);
    world.with(4, |cluster, _| {
        let at = cluster.topology.find(primary).expect("a known node");
        cluster.set_my_primary(at, true);
        cluster.todo.save_durably_and_update();
    });
    world.run_until("all agree", 20_000, World::agrees);
}

#[test]
fn an_orphaned_primary_gets_a_replica_of_another_one() {
    let mut world = World::new(12, 7, settings());
    // Nodes 3 and 6 are replicas of 0, 4 of 1, 5 of 2.
    world.form(3);
    let (orphan, gone) = (world.id(1), world.id(4));
    world.crash(4, true);
    world.run_until("the replica fails", 10_000, |world| {
        let topology = &world.cluster(0).topology;
        topology.find(gone).is_some_and(|at| topology.node(at).is(flag::FAIL))
    });
    let took = world.run_until("a replica comes", 30_000, |world| {
        let topology = &world.cluster(0).topology;
        let at = topology.find(orphan).expect("a known node");
        topology.node(at).replicas().iter().any(|at| !topology.node(*at).is(flag::FAIL))
    });
    assert!(took > 5000, "it waits, so that a failover isn't mistaken for it");
    world.start(4);
    world.run_until("all agree", 20_000, World::agrees);
    let replicas = |world: &mut World, node: usize| world.cluster(node).topology.myself().replicas().len();
    assert_eq!([0, 1, 2].map(|node| replicas(&mut world, node)), [1, 2, 1]);
}

#[test]
fn slots_move_while_nodes_fail() {
    for seed in 0..4 {
        let mut world = World::new(seed, 8, settings());
        world.form(4);
        for round in 0..6u16 {
            let (from, to) = (world.rng.below(8) as usize, world.rng.below(8) as usize);
            let is_primary =
                |world: &mut World, node: usize| world.cluster(node).topology.myself().is_voter();
            if from == to || !is_primary(&mut world, from) || !is_primary(&mut world, to) {
                continue;
            }
            // As SETSLOT NODE at the target, then at the source.
            let moved: SlotSet = world.cluster(from).topology.myself().slots().iter().take(50).collect();
            let target = world.id(to);
            world.with(to, |cluster, _| {
                cluster.assign_slots(&moved, Some(cluster.topology.me()));
                cluster.bump_epoch();
                cluster.todo.save_durably_and_update();
            });
            world.with(from, |cluster, _| {
                let at = cluster.topology.find(target).expect("a known node");
                cluster.assign_slots(&moved, Some(at));
                cluster.todo.save_durably_and_update();
            });
            if round % 2 == 0 {
                let victim = [from, to][world.rng.below(2) as usize];
                world.run(1000);
                world.crash(victim, round % 4 == 0);
                world.run(8000);
                world.start(victim);
            }
            world.run_until("all agree", 30_000, World::agrees);
            assert_eq!(world.cluster(0).topology.assigned(), 16384);
        }
    }
}

#[test]
fn a_hundred_nodes_survive_failures_of_many() {
    let mut world = World::new(7, 100, settings());
    world.prepare(25);
    world.run_until("the cluster is in order", 5000, World::agrees);
    for node in 0..5 {
        world.crash(node, node % 2 == 0);
    }
    world.crash(30, true);
    world.run_until("replicas take over", 30_000, |world| world.failovers >= 5 && world.cluster(50).is_ok());
    for node in [0, 1, 2, 3, 4, 30] {
        world.start(node);
    }
    world.run_until("all agree", 12_000, World::agrees);
}

/// Of some nodes' bus, at work without failures: bytes of a message, and messages of a node in a second.
fn measure_bus(nodes: usize, ms: u64) -> (u64, u64) {
    let settings = Settings { node_timeout_ms: 20_000, gossip_percent: 1, ..settings() };
    let mut world = World::new(3, nodes, settings);
    world.keeps_files = false;
    world.prepare(100);
    world.connect_all();
    world.run(ms);
    for node in 0..nodes {
        assert!(world.cluster(node).topology.iter().all(|(_, node)| !node.is(flag::PFAIL | flag::FAIL)));
    }
    let bytes: u64 = world.bytes_sent.iter().sum();
    let messages: u64 = (0..nodes).map(|node| world.cluster(node).stats.sent.iter().sum::<u64>()).sum();
    (bytes / messages, messages * 1000 / ms / nodes as u64)
}

#[test]
fn the_bus_of_a_thousand_nodes_takes_what_directives_say() {
    let (small, few) = measure_bus(250, 500);
    let (large, many) = measure_bus(1000, 200);
    println!("250 nodes: {few} messages of {small} bytes a second and node; 1000: {many} of {large}");
    // Each node is pinged twice a timeout at most, and answers as often; one in a hundred is told of in each message.
    let ping_rate = |nodes: u64| 2 * nodes * 1000 / 10_000 + 2;
    assert!((1..=ping_rate(250)).contains(&few) && (few..=ping_rate(1000)).contains(&many));
    assert!(small <= 2256 + 96 + 104 * 3 && large <= 2256 + 96 + 104 * 10);
}
