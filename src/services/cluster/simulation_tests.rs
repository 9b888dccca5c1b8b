//! Simulated clusters: failovers, partitions, crashes, clocks that jump. Whatever happens: a node votes once in an epoch, and no slot is
//! claimed by two nodes in the same one. When all is well again, all nodes agree.

use super::NodeId;
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
