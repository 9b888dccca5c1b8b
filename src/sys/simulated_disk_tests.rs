//! Tests of the simulated disk.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::disk::{Disk, DiskFile, Mode, Stat, read_file, replace_file};
use super::simulated_disk::{Crash, Operation, SimulatedDisk};

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn write(disk: &SimulatedDisk, name: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
    let mut file = disk.open(path(name), Mode::Append).expect("opened");
    file.write_all(bytes).expect("written");
    file
}

/// What is found of a file, in many crashes.
fn found(disk: &SimulatedDisk, name: &str, crash: Crash) -> BTreeSet<Option<Vec<u8>>> {
    (0..300).map(|_| disk.crash(crash).content(name)).collect()
}

#[test]
fn it_does_what_the_real_disk_does() {
    let disk = SimulatedDisk::new(1);
    disk.make_dir(path("./dir")).expect("made");
    disk.make_dir(path("dir")).expect("there already");
    let mut file = write(&disk, "dir/b", b"one two three");
    file.truncate(4).expect("cut off");
    file.write_all(b"four").expect("written");
    assert_eq!(read_file(&disk, path("dir/b"), 8).ok(), Some(b"one four".to_vec()));
    disk.truncate(path("dir/b"), 9).expect("extended");
    assert_eq!((file.len().ok(), disk.used()), (Some(9), 9));
    assert_eq!(disk.open(path("dir/b"), Mode::Create).expect("emptied").len().ok(), Some(0));
    write(&disk, "dir/a", b"a");
    assert_eq!(disk.list(path("dir")).ok(), Some(vec!["a".into(), "b".into()]));
    disk.rename(path("dir/a"), path("dir/b")).expect("renamed");
    assert_eq!(disk.stat(path("dir/b")).ok(), Some(Stat { len: 1, is_dir: false }));
    disk.remove(path("dir/b")).expect("removed");
    assert!(disk.is_dir(path("dir")) && disk.is_dir(path(".")) && !disk.exists(path("dir/b")));

    let number = |result: io::Result<Box<dyn DiskFile>>| result.err().and_then(|error| error.raw_os_error());
    assert_eq!(number(disk.open(path("dir/b"), Mode::Read)), Some(libc::ENOENT));
    assert_eq!(number(disk.open(path("missing/b"), Mode::Create)), Some(libc::ENOENT));
    assert_eq!(number(disk.open(path("dir"), Mode::Append)), Some(libc::EISDIR));
    disk.put("x/y", b"");
    assert!(disk.open(path("x/y"), Mode::Read).expect("opened").write(b"z").is_err());
    assert!(disk.make_dir(path("x/y")).is_err() && disk.rename(path("x/y"), path("dir")).is_err());
}

#[test]
fn a_process_that_ends_loses_nothing() {
    let disk = SimulatedDisk::new(2);
    write(&disk, "a", b"written");
    assert_eq!(found(&disk, "a", Crash::Process), [Some(b"written".to_vec())].into());
}

/// Without a sync anything is possible; with it, one thing.
#[test]
fn a_power_failure_loses_what_is_not_synced() {
    let disk = SimulatedDisk::new(3);
    let mut file = write(&disk, "a", b"ab");
    // The length may be kept, and the bytes not.
    let expected = [None, Some(&b""[..]), Some(b"\0"), Some(b"\0\0"), Some(b"a"), Some(b"\0b"), Some(b"ab")];
    let expected = expected.map(|content| content.map(<[u8]>::to_vec));
    assert_eq!(found(&disk, "a", Crash::Power), expected.into());
    file.sync().expect("durable");
    assert_eq!(found(&disk, "a", Crash::Power), [None, Some(b"ab".to_vec())].into());
    disk.sync_dir(path(".")).expect("durable");
    assert_eq!(found(&disk, "a", Crash::Power), [Some(b"ab".to_vec())].into());

    // The second of two writes may outlive the first.
    file.write_all(b"c").expect("written");
    file.write_all(b"d").expect("written");
    let contents = found(&disk, "a", Crash::Power);
    for (content, possible) in
        [(&b"ab"[..], true), (b"abc", true), (b"ab\0d", true), (b"abcd", true), (b"a", false)]
    {
        assert_eq!(contents.contains(&Some(content.to_vec())), possible);
    }
}

#[test]
fn names_are_durable_when_their_directory_is_synced() {
    let disk = SimulatedDisk::new(4);
    disk.make_dir(path("dir")).expect("made");
    let mut file = write(&disk, "temp", b"new");
    file.sync().expect("durable");
    disk.rename(path("temp"), path("dir/file")).expect("renamed");
    disk.sync_dir(path("dir")).expect("durable");
    // The directory's own name isn't.
    assert_eq!(found(&disk, "dir/file", Crash::Power), [None, Some(b"new".to_vec())].into());
    disk.sync_dir(path("")).expect("durable");
    assert_eq!(found(&disk, "dir/file", Crash::Power), [Some(b"new".to_vec())].into());
    assert_eq!(found(&disk, "temp", Crash::Power), [None].into());
    disk.remove(path("dir/file")).expect("removed");
    assert_eq!(found(&disk, "dir/file", Crash::Power).len(), 2);
    disk.sync_dir(path("dir")).expect("durable");
    assert_eq!(found(&disk, "dir/file", Crash::Power), [None].into());
}

#[test]
fn a_full_disk_takes_a_part() {
    let disk = SimulatedDisk::new(5);
    disk.set_capacity(Some(10));
    let mut file = write(&disk, "a", b"12345678");
    assert_eq!(file.write(b"9012").ok(), Some(2));
    assert_eq!(file.write(b"12").err().and_then(|error| error.raw_os_error()), Some(libc::ENOSPC));
    file.truncate(8).expect("cut off");
    assert_eq!(file.write(b"90").ok(), Some(2));
    write(&disk, "b", b"");
    disk.remove(path("a")).expect("removed");
    assert_eq!(disk.used(), 0);
}

#[test]
fn operations_fail_on_command() {
    let disk = SimulatedDisk::new(6);
    let mut file = write(&disk, "a", b"old");
    file.sync().expect("durable");
    disk.sync_dir(path(".")).expect("durable");
    disk.set_failure(Operation::Sync, Some(libc::EIO));
    file.write_all(b"lost").expect("written");
    assert_eq!(file.sync().err().and_then(|error| error.raw_os_error()), Some(libc::EIO));
    disk.set_failure(Operation::Sync, None);
    // A later sync that succeeds doesn't bring it back.
    file.sync().expect("nothing to do");
    assert_eq!(disk.content("a"), Some(b"oldlost".to_vec()));
    assert_eq!(found(&disk, "a", Crash::Power), [Some(b"old".to_vec())].into());
}

#[test]
fn short_writes_lose_nothing() {
    let disk = SimulatedDisk::new(7);
    disk.set_short_writes(true);
    let bytes: Vec<u8> = (0..10_000).map(|number| number as u8).collect();
    for piece in bytes.chunks(100) {
        write(&disk, "a", piece);
    }
    assert_eq!(disk.content("a"), Some(bytes));
    assert!(disk.steps() > 150, "{}", disk.steps());
}

/// A file is replaced in one step, wherever a crash happens; and the test would notice if it weren't.
#[test]
fn crashes_happen_at_every_step() {
    let carelessly = |disk: &SimulatedDisk| -> io::Result<()> {
        let mut file = disk.open(path("file"), Mode::Create)?;
        file.write_all(b"new")?;
        file.sync()
    };
    let carefully =
        |disk: &SimulatedDisk| replace_file(disk, path("temp"), path("file"), b"new").map_err(|e| e.error);
    let outcomes = |change: &dyn Fn(&SimulatedDisk) -> io::Result<()>| {
        let mut outcomes = BTreeSet::new();
        for (step, seed) in (1..10).flat_map(|step| (0..50).map(move |seed| (step, seed))) {
            let disk = SimulatedDisk::new(seed);
            disk.put("file", b"old");
            disk.crash_at(step);
            let done = change(&disk).is_ok();
            for crash in [Crash::Process, Crash::Power] {
                outcomes.insert((done, disk.crash(crash).content("file").unwrap_or_default()));
            }
        }
        outcomes
    };
    let sound = [(false, b"new".to_vec()), (false, b"old".to_vec()), (true, b"new".to_vec())];
    assert_eq!(outcomes(&carefully), sound.into());
    assert!(outcomes(&carelessly).contains(&(false, vec![])));
}

#[test]
fn a_machine_that_ends_between_two_steps_leaves_what_was_there_then() {
    let disk = SimulatedDisk::new(12);
    let mut file = write(&disk, "a", b"one");
    disk.end_after(2, Crash::Process);
    file.write_all(b" two").expect("written");
    file.sync().expect("synced");
    assert!(!disk.has_ended() && disk.take_found().is_none());
    // It has ended before this, and what comes now is ignored.
    file.write_all(b" three").expect("written");
    assert!(disk.has_ended());
    let found = disk.take_found().expect("it has ended");
    assert_eq!(found.content("a").as_deref(), Some(&b"one two"[..]));
    assert_eq!(disk.content("a").as_deref(), Some(&b"one two three"[..]));
    assert!(!disk.has_ended() && !found.has_ended());
    disk.sync_dir(path(".")).expect("durable");
    disk.end_after(0, Crash::Power);
    file.sync().expect("synced");
    let kept = disk.take_found().and_then(|found| found.content("a"));
    assert!(kept.is_some_and(|kept| kept.starts_with(b"one two")), "what was synced before");
}
