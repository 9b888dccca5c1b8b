//! Writing a snapshot's file on a disk that fails: the old or the new file is there and loads, never neither.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redloop::commands::FAMILIES;
use redloop::engine::Engine;
use redloop::engine::clients::session::Peer;
use redloop::engine::persistence::Purpose;
use redloop::resp::parser::{self, ParseLimits, Parsed, Progress};
use redloop::resp::{Args, Reply};
use redloop::server::persistence::load::{LoadOptions, RdbLoader};
use redloop::server::persistence::snapshot_file::{Encoding, SnapshotFile, Target, WriteFailure};
use redloop::services::config::Config;
use redloop::sys::clock::Clock;
use redloop::sys::disk::Disk;
use redloop::sys::simulated_disk::{Crash, Operation, SimulatedDisk};

const LIMITS: ParseLimits = ParseLimits { max_bulk: 1 << 20, authenticated: true };

fn engine(seed: u64) -> Engine {
    let mut engine = Engine::new(FAMILIES, Config::default(), Clock::simulated(1_700_000_000_000), seed);
    engine.start_turn();
    engine
}

fn run(engine: &mut Engine, line: &str) -> String {
    let client = engine.connect(0, 0, Peer::Internal);
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut frame = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| frame += &format!("${}\r\n{word}\r\n", word.len()));
    let (mut progress, mut spans) = (Progress::default(), Vec::new());
    let parsed = parser::parse(frame.as_bytes(), &mut progress, &mut spans, LIMITS);
    assert!(matches!(parsed, Ok(Parsed::Frame { .. })));
    let mut reply = Reply::new(Vec::new(), false);
    engine.execute_one(client, Args::new(frame.as_bytes(), &spans), &mut reply);
    engine.disconnect(client);
    String::from_utf8_lossy(&reply.into_bytes()).into_owned()
}

/// Data whose every value is `mark`, with large collections that are written to during the snapshot.
fn fill(engine: &mut Engine, mark: &str) {
    for number in 0..300 {
        run(engine, &format!("SET key:{number} {mark}"));
    }
    for name in ["one", "two", "three"] {
        let fields: String = (0..1500).map(|number| format!(" f{number} {mark}")).collect();
        run(engine, &format!("HSET {name}{fields}"));
    }
}

/// Writes a snapshot while everything is overwritten.
fn save(disk: &SimulatedDisk, mark: &str, limit: usize) -> Result<u64, WriteFailure> {
    let mut engine = engine(7);
    fill(&mut engine, mark);
    let target = Target {
        temporary: PathBuf::from("temp-1.1.rdb"),
        path: Some(PathBuf::from("dump.rdb")),
        compress: true,
        checksum: true,
        encoding: Encoding::Rdb,
        incremental_sync: true,
    };
    let mut file = SnapshotFile::with_limit(Arc::new(disk.clone()), target, limit)?;
    engine.start_snapshot(Purpose::Background);
    let parts = engine.persistence.take_receiver().expect("it was started");
    for _ in 0..10 {
        engine.data.keyspace.snapshot_step();
    }
    fill(&mut engine, "later");
    loop {
        engine.tick();
        while let Some(part) = parts.try_next() {
            if file.take(part)? {
                return file.finish(|| false);
            }
        }
    }
}

/// The mark of a file's data, which is one moment's; `None` without a file.
fn found(disk: &SimulatedDisk) -> Option<String> {
    let mut engine = engine(8);
    let options =
        LoadOptions { merge: false, drop_expired: true, flush: false, is_sync: false, client: None };
    let mut loader = RdbLoader::open(disk, Path::new("dump.rdb"), options, &mut engine).ok()?;
    while !loader.step(&mut engine, 1 << 20).expect("the file loads") {}
    engine.persistence.end_loading();
    let mark = run(&mut engine, "GET key:0");
    for number in 0..300 {
        assert_eq!(run(&mut engine, &format!("GET key:{number}")), mark);
    }
    for name in ["one", "two", "three"] {
        assert_eq!(run(&mut engine, &format!("HLEN {name}")), ":1500\r\n");
        let values = run(&mut engine, &format!("HVALS {name}"));
        assert_eq!(values, format!("*1500\r\n{}", mark.repeat(1500)));
    }
    assert_eq!(run(&mut engine, "DBSIZE"), ":303\r\n");
    Some(mark.split("\r\n").nth(1).expect("a value").into())
}

/// A disk with an old file.
fn old_disk(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    save(&disk, "old", usize::MAX).expect("a sound disk");
    disk
}

fn names(disk: &SimulatedDisk) -> Vec<String> {
    let names = disk.list(Path::new(".")).expect("listed");
    names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_crash_at_any_step_leaves_the_old_or_the_new_file() {
    let sound = old_disk(1);
    let first = sound.steps();
    save(&sound, "new", 4000).expect("a sound disk");
    let steps = sound.steps() - first;
    // What waits for the first collection goes to a temporary file: that is among the steps.
    save(&sound, "new", usize::MAX).expect("a sound disk");
    assert!(steps > sound.steps() - first - steps, "{steps}");
    let (mut old, mut new) = (0, 0);
    for step in 1..=steps + 1 {
        for seed in 0..2 {
            let disk = old_disk(seed * 1000 + step);
            disk.set_short_writes(seed == 1);
            disk.crash_at(disk.steps() + step);
            let result = save(&disk, "new", 4000);
            for crash in [Crash::Process, Crash::Power] {
                let mark = found(&disk.crash(crash)).expect("a file");
                assert!(mark == "old" || mark == "new", "step {step}: {mark}");
                assert!(mark == "new" || result.is_err(), "step {step}: saved, and lost");
                if mark == "old" { old += 1 } else { new += 1 }
            }
        }
    }
    assert!(old > 0 && new > 0);
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let failures = [
        (Operation::Open, libc::EACCES),
        (Operation::Write, libc::ENOSPC),
        (Operation::Write, libc::EIO),
        (Operation::Sync, libc::EIO),
        (Operation::Rename, libc::EIO),
    ];
    for (operation, error) in failures {
        let disk = old_disk(1);
        disk.set_failure(operation, Some(error));
        let failure = save(&disk, "new", 4000).expect_err("it fails");
        assert!(matches!(failure, WriteFailure::Disk(_, found) if found.raw_os_error() == Some(error)));
        assert_eq!((names(&disk), found(&disk).as_deref()), (vec!["dump.rdb".into()], Some("old")));
        disk.set_failure(operation, None);
        save(&disk, "new", 4000).expect("it works again");
        assert_eq!((names(&disk), found(&disk).as_deref()), (vec!["dump.rdb".into()], Some("new")));
    }
}

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    for room in [0, 1, 100, 3000] {
        let disk = old_disk(1);
        disk.set_short_writes(true);
        disk.set_capacity(Some(disk.used() + room));
        save(&disk, "new", usize::MAX).expect_err("it doesn't fit");
        assert_eq!((names(&disk), found(&disk).as_deref()), (vec!["dump.rdb".into()], Some("old")));
    }
}
