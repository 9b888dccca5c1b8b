//! Snapshots against a model: random commands run before, during and after a snapshot whose walk advances in slices of random size;
//! its file loads into a second engine with exactly the data of the moment at which it began. Of a third of the cases the file is a
//! log's base of commands.
//!
//! `REDLOOP_SNAPSHOT_SEED` repeats a case (`random`: cases that no run has tried); `REDLOOP_SNAPSHOT_SECONDS` says how long
//! cases are tried.

#[path = "../differential/atoms.rs"]
mod atoms;
mod bulk;
#[path = "../replay/clients.rs"]
mod clients;
#[path = "../differential/families/mod.rs"]
mod families;
#[path = "../differential/grammar.rs"]
mod grammar;
#[path = "../differential/lua.rs"]
mod lua;
#[path = "../replay/request.rs"]
mod request;
#[path = "../replay/rules.rs"]
mod rules;
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

use std::time::{Duration, Instant, SystemTime};

use redloop::base::rng::Rng;

use rules::Rules;
use world::World;

/// Snapshots of a case.
const ROUNDS: u64 = 4;
/// How long CI tries, seconds.
const DEFAULT_SECONDS: u64 = 5;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_snapshot_holds_the_data_of_its_beginning() {
    let given = variable("REDLOOP_SNAPSHOT_SEED");
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    // The same cases each time, so that a change isn't stopped by what has nothing to do with it.
    let first = match std::env::var("REDLOOP_SNAPSHOT_SEED").as_deref() {
        Ok("random") => clock.as_nanos() as u64 >> 10,
        _ => given.unwrap_or(1),
    };
    let seconds = variable("REDLOOP_SNAPSHOT_SECONDS").unwrap_or(DEFAULT_SECONDS);
    let end = Instant::now() + Duration::from_secs(seconds);
    let rules = Rules::new();
    let (mut seed, mut compared, mut of_commands, mut opened) = (first, 0, 0, 0);
    loop {
        let mut rng = Rng::new(seed);
        let mut world = World::new(seed, &mut rng);
        for _ in 0..ROUNDS {
            world.round(&rules, &mut rng);
        }
        compared += world.compared;
        of_commands += world.of_commands;
        opened += world.opened;
        seed += 1;
        // A given seed is one case.
        if given.is_some() || Instant::now() >= end {
            break;
        }
    }
    println!(
        "snapshot: {} cases from REDLOOP_SNAPSHOT_SEED={first}, {compared} files, {of_commands} of them commands, {opened} collections \
         in parts",
        seed - first
    );
    assert!(of_commands > 0 && of_commands < compared && opened > 0 || given.is_some());
}
