//! Whole clusters, simulated: nodes with data, bus, `nodes.conf` and replicas on one clock, from one seed. Clients follow redirections,
//! slots move, replicas take over, while links are cut, slow or silent, clocks jump, and nodes crash with and without their disks.
//!
//! Always:
//! * No slot is claimed by two primaries in the same epoch.
//! * A replica never has data that its primary didn't have at that offset.
//! * No reader sees a value that wasn't written, nor one twice, nor any out of order.
//! * A node that takes a slot over has each write that it has acknowledged under WAIT (`docs/cluster.md`).
//! * `nodes.conf` can be loaded after any crash.
//!
//! While nothing fails, nothing that was acknowledged is lost: whatever moves. A primary that crashes then is replaced in the time that
//! `cluster-node-timeout` promises. In the end all nodes agree, each key is where its slot is, and replicas equal their primaries.

mod checks;
mod clients;
mod disturbances;
mod formation;
mod replacements;
mod resharding;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use world::{ClusterWorld, Figures};

/// How long CI tries, seconds.
const DEFAULT_SECONDS: u64 = 100;
/// Cases that CI tries at least, so that all that is looked for has been there also if the machine is slow.
const LEAST: u64 = 100;
/// Cases that CI tries at most: those that have been seen to pass, so that a quick machine isn't stopped by what has nothing to do with a
/// change. `REDLOOP_SIMULATION_SECONDS` tries more.
const MOST: u64 = 4000;
/// Steps of a case with faults, and of one in which nothing fails.
const ROUGH: u64 = 220;
const CALM: u64 = 120;
/// Of these, what a short case has: this part.
const SHORT_PART: u64 = 3;

fn run(seed: u64, is_verbose: bool) -> Figures {
    let mut world = ClusterWorld::new(seed, is_verbose);
    let part = if world.is_short { SHORT_PART } else { 1 };
    world.settle();
    for _ in 0..ROUGH / part {
        world.step(false);
    }
    world.settle();
    for _ in 0..CALM / part {
        world.step(true);
    }
    world.settle();
    if !world.is_short || world.chance(4) {
        world.drill();
    }
    world.figures
}

#[test]
fn clusters_keep_what_they_promise() {
    let given = crate::variable("REDLOOP_CLUSTER_SIMULATION_SEED");
    let seconds = crate::variable("REDLOOP_SIMULATION_SECONDS").unwrap_or(DEFAULT_SECONDS);
    let end = Instant::now() + Duration::from_secs(seconds);
    let first = given.unwrap_or(1);
    if given.is_some() && std::env::var_os("REDLOOP_SIMULATION_SECONDS").is_none() {
        env_logger::init();
        println!("clusters: {:?}", run(first, true));
        return;
    }
    let most = if std::env::var_os("REDLOOP_SIMULATION_SECONDS").is_some() { u64::MAX } else { MOST };
    let (next, cases) = (AtomicU64::new(first), AtomicU64::new(0));
    let work = || {
        let mut figures = Figures::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let case = seed - first;
            if case >= most || case >= LEAST && Instant::now() >= end {
                return figures;
            }
            figures += run(seed, false);
            cases.fetch_add(1, Ordering::Relaxed);
        }
    };
    let figures = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Figures::default();
        running.into_iter().for_each(|thread| all += thread.join().expect("see above"));
        all
    });
    let cases = cases.into_inner();
    println!("clusters: {cases} cases from REDLOOP_CLUSTER_SIMULATION_SEED={first}, {figures:?}");
    figures.check_that_all_happened();
}
