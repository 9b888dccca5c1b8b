//! The command stream, replayed: random commands of several clients run on a primary, and what its stream says runs
//! on a second engine. After every unit both hold the same data with the same deadlines.
//!
//! `REDLOOP_REPLAY_SEED` repeats a case (`random`: cases that no run has tried); `REDLOOP_REPLAY_SECONDS` says how long
//! cases are tried.

#[path = "../differential/atoms.rs"]
mod atoms;
mod clients;
#[path = "../differential/families/mod.rs"]
mod families;
#[path = "../differential/grammar.rs"]
mod grammar;
#[path = "../differential/lua.rs"]
mod lua;
mod request;
mod rules;
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

/// Commands of a case.
const CASE: u64 = 120;
/// How long CI tries, seconds.
const DEFAULT_SECONDS: u64 = 4;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_replayed_stream_makes_the_same_data() {
    let given = variable("REDLOOP_REPLAY_SEED");
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    // The same cases each time, so that a change isn't stopped by what has nothing to do with it.
    let first = match std::env::var("REDLOOP_REPLAY_SEED").as_deref() {
        Ok("random") => clock.as_nanos() as u64 >> 10,
        _ => given.unwrap_or(1),
    };
    let end =
        Instant::now() + Duration::from_secs(variable("REDLOOP_REPLAY_SECONDS").unwrap_or(DEFAULT_SECONDS));
    let rules = Rules::new();
    let mut seed = first;
    let mut units = 0;
    loop {
        let mut rng = Rng::new(seed);
        let mut world = World::new(seed, &mut rng);
        for _ in 0..CASE {
            world.step(&rules, &mut rng);
        }
        units += world.units();
        seed += 1;
        // A given seed is one case.
        if given.is_some() || Instant::now() >= end {
            break;
        }
    }
    println!("replay: {} cases from REDLOOP_REPLAY_SEED={first}, {units} units", seed - first);
}
