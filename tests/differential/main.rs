//! Differential test: this server and a real one get the same commands, made from a grammar, and must reply alike.
//!
//! `REDLOOP_DIFF_SEED` repeats a run (`random`: another one each time), `REDLOOP_DIFF_CASES` says how many
//! cases a family and a protocol get, `REDLOOP_REDIS_SERVER` which server is the reference.

mod acl;
mod acl_sessions;
mod arities;
mod atoms;
mod compare;
mod families;
mod grammar;
mod lua;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/process.rs"]
mod process;
mod runner;
#[path = "../support/mod.rs"]
mod support;
mod versions;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use redloop::base::rng::Rng;

use families::{FAMILIES, Family, family};
use grammar::{Case, Rule, mutate};
use runner::{Difference, Pair, Setting, line};
use support::programs::find_peer;
use support::reply::Words;

/// The version of Redis that is followed, and the oldest that it is worth to compare with.
const REFERENCE: (u32, u32) = (8, 6);
const OLDEST: (u32, u32) = (8, 0);
/// Cases of a history, at most.
const HISTORY: u64 = 60;
/// Cases a family gets in each protocol by default.
const DEFAULT_CASES: u64 = 600;
/// Differences that are reported before a family gives up.
const REPORTED: usize = 12;
/// How long a history is made smaller.
const SHRINKING: Duration = Duration::from_secs(20);
/// Families whose commands are mixed into others, so that keys have wrong types.
const DATA: &[&str] = &["strings", "lists", "sets", "hashes", "sorted_sets", "streams", "keys"];
/// The limits of compact encodings, and values of which a history gets one.
#[rustfmt::skip]
const LIMITS: &[(&str, &[&str])] = &[
    ("list-max-listpack-size", &["128", "3", "-2", "-1"]),
    ("hash-max-listpack-entries", &["512", "3", "0"]),
    ("hash-max-listpack-value", &["64", "5"]),
    ("set-max-intset-entries", &["512", "3", "0"]),
    ("zset-max-listpack-entries", &["128", "3", "0"]),
    ("zset-max-listpack-value", &["64", "5"]),
    ("stream-node-max-entries", &["100", "3", "1"]),
    ("stream-node-max-bytes", &["4096", "60"]),
    ("set-max-listpack-entries", &["128", "3", "0"]),
    ("set-max-listpack-value", &["64", "5"]),
    ("hll-sparse-max-bytes", &["3000", "40", "0"]),
    ("list-compress-depth", &["0", "1"]),
];

/// The rules of a family, parsed.
struct Source {
    fill: Vec<Rule>,
    rules: Vec<Rule>,
}

impl Source {
    fn of(family: &Family) -> Source {
        let parse = |lines: &[&str]| lines.iter().map(|line| Rule::parse(line)).collect();
        Source { fill: parse(family.fill), rules: parse(family.rules) }
    }
}

fn pick<'a, T>(rng: &mut Rng, from: &'a [T]) -> &'a T {
    &from[rng.below(from.len() as u64) as usize]
}

/// A history for a family: first something to work on, then anything.
fn history(family: &Family, own: &Source, others: &[Source], rng: &mut Rng) -> Vec<Case> {
    let context = atoms::Context { letter: family.letter };
    let mut cases = Vec::new();
    for _ in 0..rng.below(8) {
        cases.push(pick(rng, &own.fill).generate(rng, &context));
    }
    let length = 1 + rng.below(HISTORY);
    while (cases.len() as u64) < length {
        let rules = if rng.below(14) == 0 { &pick(rng, others).rules } else { &own.rules };
        let mut case = pick(rng, rules).generate(rng, &context);
        let tame = family.name == "server" || case.len() > 1 || case[0][0] == b"SPOP";
        if !tame && rng.below(10) == 0 {
            mutate(&mut case[0], rng);
        }
        cases.push(case);
    }
    cases
}

fn setting(family: &Family, resp: u8, version: (u32, u32), history: &[Case], rng: &mut Rng) -> Setting {
    let mut config: Vec<_> = LIMITS.iter().map(|(name, values)| (*name, *pick(rng, values))).collect();
    // What a union becomes depends on which comes first, a word or an integer too many; tables have no order.
    let stores =
        |words: &Words| [b"SUNIONSTORE".as_slice(), b"SDIFFSTORE"].contains(&&*words[0].to_ascii_uppercase());
    if history.iter().flatten().any(stores) {
        config.retain(|(name, _)| *name != "set-max-intset-entries");
        config.push(("set-max-intset-entries", "512"));
    }
    // SORT looks keys up in an order of its own.
    let events = match (version >= (8, 2), family.name == "sorting") {
        (true, true) => "AEnoc",
        (true, false) => "AEnmoc",
        (false, true) => "AEn",
        (false, false) => "AEnm",
    };
    config.push(("notify-keyspace-events", events));
    Setting { resp, config, many_replies: family.name == "pubsub", encodings: family.name != "sorting" }
}

/// Drops cases while a difference of the kind stays, for a while.
fn shrink(
    pair: &mut Pair,
    mut history: Vec<Case>,
    setting: &Setting,
    mut found: Difference,
) -> (Vec<Case>, Difference) {
    if let Some(case) = found.case {
        history.truncate(case + 1);
    }
    let started = Instant::now();
    let mut step = history.len().div_ceil(2);
    while step > 0 {
        let mut at = 0;
        while at < history.len() && started.elapsed() < SHRINKING {
            let mut fewer = history.clone();
            fewer.drain(at..(at + step).min(history.len()));
            match pair.run(&fewer, setting) {
                Some(still) if still.kind() == found.kind() => (history, found) = (fewer, still),
                _ => at += step,
            }
        }
        step = if step == 1 { 0 } else { step.div_ceil(2) };
    }
    (history, found)
}

fn report(family: &Family, seed: u64, history: &[Case], setting: &Setting, found: &Difference) -> String {
    let mut text = format!("{} in RESP{}, REDLOOP_DIFF_SEED={seed}\n", family.name, setting.resp);
    let limits = setting.config.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
    text += &format!("  # {}\n", limits.join(", "));
    for words in history.iter().flatten() {
        text += &format!("  {}\n", line(words));
    }
    let indented = |text: &str| text.replace('\n', "\n        ");
    text += &format!("  of {}\n", line(&found.of));
    text += &format!("ours    {}\ntheirs  {}\n", indented(&found.ours), indented(&found.theirs));
    text
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The seed of a run. It is the same each time, so that an unrelated change is not stopped by a difference that
/// was there before; `random` searches for those.
fn seed() -> u64 {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    match std::env::var("REDLOOP_DIFF_SEED").as_deref() {
        Ok("random") => clock.as_nanos() as u64,
        _ => variable("REDLOOP_DIFF_SEED").unwrap_or(1),
    }
}

/// Both servers, or a line that says why not.
fn pair(test: &str) -> Option<Pair> {
    let Some(program) = find_peer("redis", "redis-server", "REDLOOP_REDIS_SERVER") else {
        println!("SKIPPED: {test}, there is no redis-server to compare with");
        return None;
    };
    let pair = Pair::start(program);
    if pair.version != REFERENCE {
        println!(
            "{test}: the redis-server found is {:?}, the reference is {REFERENCE:?}: compared is what both have",
            pair.version
        );
    }
    if pair.version < OLDEST && std::env::var_os("REDLOOP_DIFF_OLD").is_none() {
        println!("SKIPPED: {test}, a redis-server older than {OLDEST:?} differs in too much",);
        return None;
    }
    Some(pair)
}

fn hold(name: &str) {
    let Some(mut pair) = pair(name) else { return };
    let family = family(name);
    let own = Source::of(family);
    let others: Vec<Source> =
        FAMILIES.iter().filter(|other| DATA.contains(&other.name)).map(Source::of).collect();
    let cases = variable("REDLOOP_DIFF_CASES").unwrap_or(DEFAULT_CASES);
    let seed = seed();
    println!("{name}: REDLOOP_DIFF_SEED={seed}, {cases} cases, against {:?}", pair.version);
    let mut skipped: BTreeMap<String, u64> = BTreeMap::new();
    let mut reports: BTreeMap<String, String> = BTreeMap::new();
    for resp in [2, 3] {
        let mut rng = Rng::new(seed ^ u64::from(resp));
        let mut done = 0;
        while done < cases && reports.len() < REPORTED {
            let mut history = history(family, &own, &others, &mut rng);
            let setting = setting(family, resp, pair.version, &history, &mut rng);
            history.retain(|case| match versions::skipped(case, &pair) {
                Some(why) => {
                    *skipped.entry(why).or_default() += 1;
                    false
                }
                None => true,
            });
            done += history.len() as u64 + 1;
            if let Some(found) = pair.run(&history, &setting)
                && !reports.contains_key(&found.kind())
            {
                let kind = found.kind();
                let (history, found) = shrink(&mut pair, history, &setting, found);
                reports.insert(kind, report(family, seed, &history, &setting, &found));
            }
        }
    }
    for (why, count) in &skipped {
        println!("SKIPPED: {count} cases: {why}");
    }
    let texts: Vec<String> = reports.into_values().collect();
    assert!(texts.is_empty(), "{} differences\n\n{}", texts.len(), texts.join("\n"));
}

macro_rules! families {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            hold(stringify!($name));
        }
    )*
        #[test]
        fn all_families_are_held() {
            let named = [$(stringify!($name)),*];
            assert!(FAMILIES.iter().all(|family| named.contains(&family.name)));
        }
    };
}

families! {
    strings bitmaps keys sorting lists sets hashes sorted_sets geo streams hyperloglogs transactions server pubsub scripts
}
