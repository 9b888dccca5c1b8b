//! The bus of large clusters by itself, simulated: how long it takes until the replicas of many primaries that fail at once have taken
//! over, and what gossip costs each node. `REDLOOP_BUS_NODES=1000` makes the largest cluster that large (in a build with
//! optimizations: some minutes).

use super::simulation::{START, World};
use super::{Settings, flag};

/// Nodes of the large cluster, unless the environment says otherwise.
const DEFAULT_NODES: usize = 100;

fn large() -> usize {
    std::env::var("REDLOOP_BUS_NODES").ok().and_then(|nodes| nodes.parse().ok()).unwrap_or(DEFAULT_NODES)
}

fn settings() -> Settings {
    Settings { node_timeout_ms: 5000, gossip_percent: 1, ..super::simulation::settings() }
}

/// So many primaries, each with a replica, connected for some time.
fn cluster_of(nodes: usize, seed: u64) -> World {
    let mut world = World::new(seed, nodes, settings());
    world.prepare(nodes / 2);
    world.connect_all();
    // Each replica hears of its primary.
    world.run(300);
    world
}

/// How long a takeover may take: the last answer is up to half a node timeout old when the next PING goes out, which is missed after a
/// timeout; reports of a majority come with gossip of the following pings; then shards ask for votes one by one.
fn bound(killed: usize) -> u64 {
    let timeout = settings().node_timeout_ms;
    let shard_delay = (timeout / 30).min(500);
    timeout / 2 + timeout + timeout / 2 + (3 + killed as u64) * shard_delay
}

/// Ends so many primaries at once; the ms until the first and the last of their replicas has taken over, and until all nodes agree.
fn fail_over(world: &mut World, killed: usize) -> [u64; 3] {
    let primaries = world.nodes.len() / 2;
    let slots: Vec<_> =
        (0..killed).map(|node| world.cluster(node).topology.myself().slots().clone()).collect();
    let start = world.now;
    (0..killed).for_each(|node| world.crash(node, node % 2 == 0));
    let is_taken = |world: &mut World, node: usize| {
        let me = world.cluster(primaries + node).topology.myself();
        me.is_primary() && *me.slots() == slots[node]
    };
    world.run_until("a replica takes over", bound(killed), |world| {
        (0..killed).any(|node| is_taken(world, node))
    });
    let first = world.now - start;
    world.run_until("all replicas take over", bound(killed), |world| {
        (0..killed).all(|node| is_taken(world, node))
    });
    let last = world.now - start;
    // What a win is told reaches all nodes at once; a node that heard of the failure late finds the cluster in order with it.
    world.run_until("all nodes agree", 2 * settings().node_timeout_ms, World::agrees);
    [first, last, world.now - start]
}

#[test]
fn replicas_of_many_primaries_that_fail_at_once_take_over_in_time() {
    let nodes = large();
    let timeout = settings().node_timeout_ms;
    for (seed, killed) in [1, nodes / 100, nodes / 10].into_iter().enumerate() {
        let killed = killed.max(1);
        let mut world = cluster_of(nodes, seed as u64);
        let [first, last, agreed] = fail_over(&mut world, killed);
        println!(
            "{nodes} nodes, {killed} primaries end: taken over after {first} to {last} ms, agreed after {agreed} ms"
        );
        assert!(first >= timeout - 100, "a failure is suspected after a node timeout without an answer");
        assert!(last <= bound(killed), "the last of {killed} after {last} ms");
        assert_eq!(world.failovers, killed, "no other replica has taken over");
        assert!(world.now > START);
    }
}

/// Of a cluster without failures: messages and bytes that a node sends in a second.
fn measure(nodes: usize, gossip_percent: u32, ms: u64) -> (f64, f64) {
    let mut world = World::new(5, nodes, Settings { node_timeout_ms: 15_000, gossip_percent, ..settings() });
    world.keeps_files = false;
    world.prepare(nodes / 2);
    world.connect_all();
    world.run(ms);
    let messages: u64 = (0..nodes).map(|node| world.cluster(node).stats.sent.iter().sum::<u64>()).sum();
    for node in 0..nodes {
        assert!(world.cluster(node).topology.iter().all(|(_, node)| !node.is(flag::PFAIL | flag::FAIL)));
    }
    let seconds_of_nodes = ms as f64 / 1000.0 * nodes as f64;
    (messages as f64 / seconds_of_nodes, world.bytes_sent.iter().sum::<u64>() as f64 / seconds_of_nodes)
}

#[test]
fn what_a_node_gossips_grows_with_the_nodes_and_no_faster() {
    let sizes = [large() / 4, large() / 2, large()];
    // One in a hundred is told of, three at least: the head of a message is most of it.
    let measured = sizes.map(|nodes| measure(nodes, 1, 2000));
    for (nodes, (messages, bytes)) in sizes.into_iter().zip(measured) {
        println!("{nodes} nodes: a node sends {messages:.1} messages a second, {bytes:.0} bytes");
        // It pings each node every half timeout and one more every second, and answers as many.
        assert!(messages <= 2.0 * (nodes as f64 / 7.5 + 1.0) * 1.2, "{nodes} nodes: {messages} a second");
    }
    let per_node = |at: usize| measured[at].1 / sizes[at] as f64;
    assert!(per_node(2) <= 1.5 * per_node(1) && per_node(2) <= 1.5 * per_node(0));
    // As many are told of as the directive says, and no more: the rest of a message is the same.
    let (few, many) = (measured[2], measure(large(), 10, 2000));
    let entries = (large() as f64 / 10.0 - (large() as f64 / 100.0).max(3.0)).max(0.0);
    let growth = many.1 / many.0 - few.1 / few.0;
    println!("a message with gossip of 10 % of the nodes takes {growth:.0} bytes more than with 1 %");
    assert!((growth - 104.0 * entries).abs() < 104.0, "{growth} bytes for {entries} entries");
}
