//! Replication, simulated: several engines with their connections and disks in one process, on one clock, from one seed. Random commands
//! run while links are cut, nodes crash, stall and are parted, and other nodes are made primaries.
//!
//! * A replica never has data that its primary didn't have at that offset.
//! * A primary's data doesn't change without its offset.
//! * What WAIT acknowledged isn't lost while the replica with the highest offset is promoted.
//! * What WAITAOF or `appendfsync always` promised of a log is there after a crash, also one between two writes of a turn.
//! * What `everysec` says is lost with the power is all that is lost, and the same with the process.
//! * What clients write at a writable replica isn't propagated, and is gone after a full synchronization, or when its time is over.
//! * In the end all nodes are equal.
//!
//! `REDLOOP_SIMULATION_SEED` repeats a case (`random`: cases that no run has tried); `REDLOOP_SIMULATION_SECONDS` says how long
//! cases are tried.

#[path = "../differential/atoms.rs"]
mod atoms;
mod cases;
mod cluster;
#[path = "../differential/families/mod.rs"]
mod families;
#[path = "../differential/grammar.rs"]
mod grammar;
mod history;
mod log;
#[path = "../differential/lua.rs"]
mod lua;
mod network;
mod node;
mod nodes_conf;
mod payloads;
mod promises;
#[path = "../replay/request.rs"]
mod request;
#[path = "../replay/rules.rs"]
mod rules;
mod settings;
#[path = "../replay/snapshot.rs"]
mod snapshot;
mod support {
    //! What the grammar needs of the other tests' support.
    pub mod reply {
        /// The words of a command.
        pub type Words = Vec<Vec<u8>>;
    }
}
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rules::Rules;
use world::{Figures, World};

/// Steps of a case.
const CASE: u64 = 250;
/// Of them, those in which nothing goes wrong: the replicas get their first data.
const CALM: u64 = 40;
/// How long CI tries, seconds.
const DEFAULT_SECONDS: u64 = 60;
/// Cases that are tried at most by default: those that have been seen to pass, so that a quick machine isn't stopped by what has
/// nothing to do with a change.
const MOST: u64 = 4000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64, rules: &Rules, is_verbose: bool) -> Figures {
    let mut world = World::new(seed, is_verbose);
    for step in 0..CASE {
        world.step(rules, step < CALM);
    }
    world.finish();
    world.figures
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.recorded += other.recorded;
        self.compared += other.compared;
        self.waited += other.waited;
        self.failovers += other.failovers;
        self.restarts += other.restarts;
        self.full += other.full;
        self.partial += other.partial;
        self.within += other.within;
        self.kept += other.kept;
        self.own += other.own;
        self.gone += other.gone;
        self.due += other.due;
        self.survived += other.survived;
        self.seconds += other.seconds;
    }
}

#[test]
fn replicas_have_what_their_primaries_had() {
    let given = variable("REDLOOP_SIMULATION_SEED");
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    // The same cases each time, so that a change isn't stopped by what has nothing to do with it.
    let first = match std::env::var("REDLOOP_SIMULATION_SEED").as_deref() {
        Ok("random") => clock.as_nanos() as u64 >> 10,
        _ => given.unwrap_or(1),
    };
    let seconds = variable("REDLOOP_SIMULATION_SECONDS").unwrap_or(DEFAULT_SECONDS);
    let end = Instant::now() + Duration::from_secs(seconds);
    if given.is_some() {
        // The servers' own log, if `RUST_LOG` asks for it.
        env_logger::init();
        println!("simulation: {:?}", run(first, &Rules::new(), true));
        return;
    }
    let is_default = first == 1 && std::env::var_os("REDLOOP_SIMULATION_SECONDS").is_none();
    let most = if is_default { MOST } else { u64::MAX };
    let next = AtomicU64::new(first);
    let work = || {
        let (rules, mut figures) = (Rules::new(), Figures::default());
        while Instant::now() < end {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed - first >= most {
                break;
            }
            figures += run(seed, &rules, false);
        }
        figures
    };
    let figures = std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Figures::default();
        running.into_iter().for_each(|thread| all += thread.join().expect("see above"));
        all
    });
    let cases = (next.into_inner() - first).min(most);
    println!("simulation: {cases} cases from REDLOOP_SIMULATION_SEED={first}, {figures:?}");
    // What is looked for has been there.
    let Figures { compared, waited, failovers, restarts, full, partial, within, kept, own, gone, .. } =
        figures;
    let Figures { survived, seconds, due, .. } = figures;
    let wanted = [compared, waited, failovers, restarts, full, partial, within, kept];
    let more = [own, gone, survived, seconds, due];
    assert!(wanted.iter().chain(&more).all(|count| *count > 0));
}
