//! Tests of the AOF's directory: its errors, and crashes at every step of everything that changes its files.
//!
//! The data set is a count. The command `CMD n` belongs to a count of n and makes it n + 1, and a base has the one command
//! `BASE n`. So each state that loads is a prefix of what was executed, and any gap, repetition or missing file is noticed.

use std::path::Path;

use super::directory::{AofDirectory, DirectoryError, Since};
use super::manifest::{BaseFormat, Manifest, Names};
use super::reader::{AofError, AofReader, Fault, Item};
use super::recovery::{FaultyFile, RecoverySettings, recover};
use super::writer::{AofWriter, Event, Step, SyncPolicy, Turn, Written};
use crate::base::rng::Rng;
use crate::sys::disk::{Disk, DiskFile, Mode, read_file};
use crate::sys::simulated_disk::{Crash, Operation, SimulatedDisk};

const SNAPSHOT: &str = "temp-rewriteaof-1.aof";
const OPERATIONS: [Operation; 8] = [
    Operation::Open,
    Operation::Write,
    Operation::Sync,
    Operation::Truncate,
    Operation::Rename,
    Operation::Remove,
    Operation::MakeDir,
    Operation::SyncDir,
];

fn names() -> Names {
    Names::new("appendonly.aof")
}

fn directory(disk: &SimulatedDisk) -> AofDirectory<'_> {
    AofDirectory::new(disk, "appendonlydir", names())
}

fn command(name: &str, number: u64) -> Vec<u8> {
    let number = number.to_string();
    format!("*2\r\n${}\r\n{name}\r\n${}\r\n{number}\r\n", name.len(), number.len()).into_bytes()
}

fn commands(numbers: std::ops::Range<u64>) -> Vec<u8> {
    numbers.flat_map(|number| command("CMD", number)).collect()
}

/// Applies a file to a count; where the file is at fault, if it is.
///
/// The format has no checksum: a word that was not synced may be found with a gap in it. That counts as a fault here.
fn apply(content: &[u8], count: &mut u64) -> Result<(), AofError> {
    let mut reader = AofReader::new(0);
    reader.feed(content);
    reader.filled(0);
    loop {
        let valid_up_to = reader.valid_up_to();
        match reader.next_item()? {
            Item::Command(args) => {
                let Ok(number) = String::from_utf8_lossy(args.at(1)).parse() else {
                    let reason = "not a number".to_string();
                    return Err(AofError { fault: Fault::Format, offset: valid_up_to, valid_up_to, reason });
                };
                match args.at(0) {
                    b"BASE" => assert_eq!(std::mem::replace(count, number), 0, "a base comes first"),
                    _ => assert_eq!(std::mem::replace(count, number + 1), number, "commands are in order"),
                }
            }
            Item::Annotation(_) => {}
            Item::End | Item::More => return Ok(()),
        }
    }
}

/// Loads what is found on a disk, as the server does at its start: the count and the manifest.
fn load(disk: &SimulatedDisk) -> Result<(u64, Manifest), String> {
    let directory = directory(disk);
    let failed = |error: DirectoryError| error.0;
    let mut manifest = directory.load_manifest().map_err(|error| error.0.join("\n"))?;
    if directory.needs_upgrade(&manifest) {
        manifest = directory.upgrade(&manifest).map_err(failed)?;
    }
    let mut count = 0;
    for file in directory.data_files(&manifest).map_err(failed)? {
        let content = read_file(disk, &file.path, usize::MAX).map_err(|error| error.to_string())?;
        if let Err(error) = apply(&content, &mut count) {
            let path = file.path.to_string_lossy();
            let faulty = FaultyFile { name: &file.name, path: &path, len: file.len };
            let settings = RecoverySettings { load_truncated: true, corrupt_tail_max_size: u64::MAX };
            let truncation = recover(&error, faulty, settings).truncation.ok_or("refused")?;
            directory.cut_off(&file, truncation.len).map_err(|error| error.to_string())?;
            if !file.is_last {
                return Err(format!("{} ends in the middle: {error:?}", file.name));
            }
        }
    }
    Ok((count, manifest))
}

/// Writes a snapshot of a count.
fn snapshot(disk: &SimulatedDisk, count: u64) -> std::io::Result<()> {
    let mut file = disk.open(Path::new(SNAPSHOT), Mode::Create)?;
    file.write_all(&command("BASE", count))?;
    file.sync()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rewrite {
    None,
    /// The new increment is there; commands go to it soon.
    Prepared,
    /// Commands go to it; the snapshot has this count.
    Switched(u64),
}

/// A server from its start to its crash.
struct Life {
    disk: SimulatedDisk,
    rng: Rng,
    manifest: Manifest,
    file: Box<dyn DiskFile>,
    /// The increment of the rewrite that is prepared.
    next_file: Option<Box<dyn DiskFile>>,
    /// What the running sync syncs.
    syncing: Option<Box<dyn DiskFile>>,
    writer: AofWriter,
    rewrite: Rewrite,
    /// The command stream, and the end of each of its commands.
    stream: Vec<u8>,
    ends: Vec<u64>,
    /// The count at the start.
    first: u64,
    now_ms: u64,
    fatal: bool,
}

impl Life {
    /// Starts a server on what is found on a disk.
    fn start(disk: &SimulatedDisk, policy: SyncPolicy, seed: u64) -> Result<Life, String> {
        let (first, mut manifest) = load(disk)?;
        let directory = directory(disk);
        if manifest.is_empty() {
            snapshot(disk, 0).map_err(|error| error.to_string())?;
            manifest = directory
                .create(Path::new(SNAPSHOT), BaseFormat::Commands, Some(0))
                .map_err(|error| error.0)?;
        }
        let (manifest, file) = directory.open_last_increment(&manifest, None).map_err(|error| error.0)?;
        let len = file.len().map_err(|error| error.to_string())?;
        Ok(Life {
            disk: disk.clone(),
            rng: Rng::new(seed),
            manifest,
            file,
            next_file: None,
            syncing: None,
            writer: AofWriter::new(policy, 0, len, 0),
            rewrite: Rewrite::None,
            stream: Vec::new(),
            ends: Vec::new(),
            first,
            now_ms: 0,
            fatal: false,
        })
    }

    /// The count when everything before an offset of the stream is executed.
    fn count_at(&self, offset: u64) -> u64 {
        self.first + self.ends.partition_point(|end| *end <= offset) as u64
    }

    fn count(&self) -> u64 {
        self.first + self.ends.len() as u64
    }

    fn execute(&mut self) {
        self.stream.extend(command("CMD", self.count()));
        self.ends.push(self.stream.len() as u64);
    }

    /// The end of a turn.
    fn flush(&mut self) {
        let turn = Turn { end: self.stream.len() as u64, now_ms: self.now_ms, hold_syncs: false };
        self.writer.annotate(1 + self.now_ms / 1000);
        while let Some(step) = self.writer.next_step(turn) {
            match step {
                Step::Write { from, to } => {
                    let bytes = [self.writer.prefix(), &self.stream[from as usize..to as usize]].concat();
                    let (written, result) = self.file.write_most(&bytes);
                    let of_stream = written.saturating_sub(self.writer.prefix().len()) as u64;
                    let written = Written { bytes: written as u64, to: from + of_stream };
                    self.writer.wrote(written, result, self.now_ms);
                }
                Step::Truncate { len } => self.writer.truncated(self.file.truncate(len)),
                Step::Sync => match self.file.duplicate() {
                    Ok(file) => self.syncing = Some(file),
                    Err(error) => self.writer.sync_finished(Err(error)),
                },
                Step::Switch => {
                    let next = self.next_file.take().expect("a switch was requested");
                    self.syncing = Some(std::mem::replace(&mut self.file, next));
                    self.rewrite = Rewrite::Switched(self.count());
                    self.writer.switched(self.now_ms);
                }
            }
        }
        self.fatal |= self.writer.take_events().iter().any(|event| matches!(event, Event::Fatal(_)));
    }

    fn finish_sync(&mut self) {
        if let Some(mut file) = self.syncing.take() {
            self.writer.sync_finished(file.sync());
        }
    }

    /// A step of a rewrite; errors leave what was.
    fn advance_rewrite(&mut self) {
        let directory = directory(&self.disk);
        match self.rewrite {
            Rewrite::None => {
                if let Ok((manifest, file)) = directory.start_rewrite(&self.manifest, None) {
                    (self.manifest, self.next_file) = (manifest, Some(file));
                    self.writer.request_switch();
                    self.rewrite = Rewrite::Prepared;
                }
            }
            Rewrite::Prepared => {}
            Rewrite::Switched(count) => {
                self.rewrite = Rewrite::None;
                if snapshot(&self.disk, count).is_ok()
                    && let Ok(changed) = directory.finish_rewrite(
                        &self.manifest,
                        Path::new(SNAPSHOT),
                        BaseFormat::Commands,
                        Since::LastIncrement,
                    )
                {
                    self.manifest = changed.manifest;
                }
            }
        }
    }

    fn remove_history(&mut self) {
        if let Ok(changed) = directory(&self.disk).remove_history(&self.manifest) {
            self.manifest = changed.manifest;
        }
    }

    /// Something happens.
    fn act(&mut self, faults: &[Operation]) {
        self.now_ms += self.rng.below(400);
        match self.rng.below(12) {
            0..=4 if self.writer.refusal().is_none() => {
                (0..=self.rng.below(3)).for_each(|_| self.execute());
            }
            5 | 6 => self.finish_sync(),
            7 | 8 => self.advance_rewrite(),
            9 => self.remove_history(),
            10 if !faults.is_empty() => {
                let operation = faults[self.rng.below(faults.len() as u64) as usize];
                self.disk.set_failure(operation, Some(libc::EIO));
                let room = self.disk.used() + self.rng.below(60);
                self.disk.set_capacity((operation == Operation::Write).then_some(room));
                if operation == Operation::Write {
                    self.disk.set_failure(operation, None);
                }
            }
            _ => {
                OPERATIONS.iter().for_each(|operation| self.disk.set_failure(*operation, None));
                self.disk.set_capacity(None);
            }
        }
        self.flush();
    }

    fn is_over(&self) -> bool {
        self.fatal || self.disk.stat(Path::new(".")).is_err()
    }
}

/// What a test found in its lives, so that it is known to have tested something.
#[derive(Debug, Default)]
struct Seen {
    crashes: u64,
    rewrites: u64,
    lost: u64,
    fatal: u64,
}

/// Two lives on one disk, each with a crash, and what is found after each: no less than was promised, no more than was
/// executed, and nothing but a prefix.
fn live_twice(seed: u64, policy: SyncPolicy, crash: Crash, faults: &[Operation], seen: &mut Seen) {
    let mut rng = Rng::new(seed);
    let mut disk = SimulatedDisk::new(seed);
    let mut least = 0;
    for _ in 0..2 {
        disk.crash_at(1 + rng.below(150));
        disk.set_short_writes(rng.below(2) == 0);
        let mut most = least;
        if let Ok(mut life) = Life::start(&disk, policy, rng.next_u64()) {
            assert!(life.first >= least, "seed {seed}: {} of {least} were loaded", life.first);
            while !life.is_over() && life.now_ms < 60_000 {
                life.act(faults);
            }
            seen.rewrites += u64::from(life.manifest.base().is_some_and(|base| base.sequence > 1));
            seen.fatal += u64::from(life.fatal && disk.exists(Path::new(".")));
            least = life.count_at(match (crash, policy) {
                (Crash::Process, _) => life.writer.written(),
                (Crash::Power, SyncPolicy::Always) => life.writer.confirmed(),
                (Crash::Power, _) => life.writer.synced(),
            });
            most = life.count();
        }
        disk = disk.crash(crash);
        seen.crashes += 1;
        let found = match load(&disk.crash(Crash::Process)) {
            Ok((found, _)) => found,
            Err(error) => panic!("seed {seed}: neither state loads: {error}"),
        };
        assert!((least..=most).contains(&found), "seed {seed}: {least} <= {found} <= {most}");
        seen.lost += u64::from(found < most);
        least = found;
    }
}

/// Runs seeds; more with `REDLOOP_CRASH_SEEDS`.
fn live(policy: SyncPolicy, crash: Crash, faults: &[Operation]) -> Seen {
    let variable = std::env::var("REDLOOP_CRASH_SEEDS").ok().and_then(|text| text.parse().ok());
    let mut seen = Seen::default();
    for seed in 0..variable.unwrap_or(200) {
        live_twice(seed, policy, crash, faults, &mut seen);
    }
    seen
}

#[test]
fn a_power_failure_leaves_what_was_synced() {
    for policy in [SyncPolicy::Always, SyncPolicy::EverySecond, SyncPolicy::No] {
        let seen = live(policy, Crash::Power, &[]);
        assert!(seen.rewrites > 100 && seen.lost > 50 && seen.fatal == 0, "{seen:?}");
    }
}

#[test]
fn a_killed_process_leaves_what_was_written() {
    for policy in [SyncPolicy::Always, SyncPolicy::EverySecond] {
        let seen = live(policy, Crash::Process, &[]);
        assert!(seen.rewrites > 100, "{seen:?}");
    }
}

/// Errors of the disk before the crash. After a sync that failed, a power failure may leave anything, see
/// [`Event::RewriteNeeded`]; so those go with killed processes only.
#[test]
fn errors_of_the_disk_lose_nothing() {
    let without_sync: Vec<_> =
        OPERATIONS.into_iter().filter(|operation| *operation != Operation::Sync).collect();
    for policy in [SyncPolicy::Always, SyncPolicy::EverySecond] {
        let seen = live(policy, Crash::Power, &without_sync);
        assert!(seen.rewrites > 50, "{seen:?}");
        assert_eq!(seen.fatal > 0, policy == SyncPolicy::Always, "{seen:?}");
        let seen = live(policy, Crash::Process, &OPERATIONS);
        assert!(seen.rewrites > 50, "{seen:?}");
    }
}

/// Crashes a change at each of its steps, both ways, on disks made by `prepare`; the counts that are found.
fn found_after_crashes(
    prepare: impl Fn(&SimulatedDisk),
    change: impl Fn(&SimulatedDisk) -> Result<(), String>,
) -> Vec<u64> {
    let mut found = Vec::new();
    for (step, seed) in (1..40).flat_map(|step| (0..20).map(move |seed| (step, seed))) {
        let disk = SimulatedDisk::new(seed);
        prepare(&disk);
        disk.crash_at(disk.steps() + step);
        let done = change(&disk).is_ok();
        for crash in [Crash::Process, Crash::Power] {
            let (count, _) = load(&disk.crash(crash)).unwrap_or_else(|error| panic!("step {step}: {error}"));
            found.push(count);
            assert!(!done || Some(&count) == found.iter().max(), "what is done stays done");
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn a_single_file_is_upgraded_or_stays() {
    let prepare = |disk: &SimulatedDisk| disk.put("appendonly.aof", &commands(0..5));
    assert_eq!(found_after_crashes(prepare, |disk| load(disk).map(|_| ())), [5]);

    let disk = SimulatedDisk::new(1);
    prepare(&disk);
    let (_, manifest) = load(&disk).expect("upgraded");
    assert_eq!(manifest.format(), b"file appendonly.aof seq 1 type b\n");
    assert!(
        !disk.exists(Path::new("appendonly.aof")) && disk.exists(Path::new("appendonlydir/appendonly.aof"))
    );
    assert_eq!(
        directory(&disk).upgraded(),
        "Successfully migrated an old-style AOF file (appendonly.aof) into the AOF directory (appendonlydir)."
    );
    // A file of that name in both places: the one in the directory counts.
    disk.put("appendonly.aof", &commands(0..9));
    assert_eq!(load(&disk).map(|(count, _)| count), Ok(5));
}

/// `CONFIG SET appendonly yes`, with the files of an AOF that was turned off: they are found, or the new ones.
#[test]
fn an_aof_that_is_turned_on_replaces_the_one_before() {
    let prepare = |disk: &SimulatedDisk| {
        disk.put("appendonlydir/appendonly.aof.1.incr.aof", &commands(0..3));
        disk.put("appendonlydir/appendonly.aof.manifest", b"file appendonly.aof.1.incr.aof seq 1 type i\n");
    };
    let turn_on = |disk: &SimulatedDisk| -> Result<(), String> {
        let (directory, text) = (directory(disk), |error: std::io::Error| error.to_string());
        let manifest = directory.load_manifest().map_err(|error| error.0.join("\n"))?;
        let mut file = directory.open_temporary_increment().map_err(|error| error.0)?;
        file.write_all(&commands(100..107)).and_then(|()| file.sync()).map_err(text)?;
        snapshot(disk, 100).map_err(text)?;
        let since = Since::TemporaryIncrement(Some(55));
        let changed = directory
            .finish_rewrite(&manifest, Path::new(SNAPSHOT), BaseFormat::Commands, since)
            .map_err(|error| error.0)?;
        directory.remove_history(&changed.manifest).map_err(|error| error.0).map(|_| ())
    };
    assert_eq!(found_after_crashes(prepare, turn_on), [3, 107]);

    let disk = SimulatedDisk::new(1);
    prepare(&disk);
    turn_on(&disk).expect("turned on");
    assert_eq!(
        disk.content("appendonlydir/appendonly.aof.manifest")
            .map(|text| String::from_utf8_lossy(&text).into_owned()),
        Some(
            "file appendonly.aof.1.base.aof seq 1 type b\n\
             file appendonly.aof.2.incr.aof seq 2 type i startoffset 55\n"
                .into()
        )
    );
    let files = ["appendonly.aof.1.base.aof", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"];
    assert_eq!(disk.list(Path::new("appendonlydir")).ok(), Some(files.map(Into::into).to_vec()));
    assert_eq!(disk.list(Path::new(".")).ok(), Some(vec!["appendonlydir".into()]));
}

#[test]
fn files_of_the_manifest_must_be_there() {
    let disk = SimulatedDisk::new(1);
    disk.put("appendonlydir/appendonly.aof.1.incr.aof", b"");
    disk.put("appendonlydir/appendonly.aof.3.incr.aof", b"");
    let text = "file appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n\
                file appendonly.aof.3.incr.aof seq 3 type i\n";
    disk.put("appendonlydir/appendonly.aof.manifest", text.as_bytes());
    assert_eq!(
        load(&disk).err().as_deref(),
        Some(
            "Unable to obtain the AOF file appendonly.aof.2.incr.aof length. stat: No such file or directory"
        )
    );
    disk.put("appendonlydir/appendonly.aof.2.incr.aof", b"x");
    let manifest = directory(&disk).load_manifest().expect("a manifest");
    let files = directory(&disk).data_files(&manifest).expect("all files");
    let last: Vec<_> = files.iter().map(|file| (file.len, file.is_last)).collect();
    assert_eq!(last, [(0, false), (1, true), (0, true)], "empty files may follow the last");
    disk.put("appendonlydir/appendonly.aof.manifest", b"!!!\n");
    let error = directory(&disk).load_manifest().expect_err("not a manifest");
    assert_eq!(error.0.last().map(String::as_str), Some("Invalid AOF manifest file format"));
}

/// The errors that Redis logs, each from its operation.
#[test]
fn errors_are_told_and_leave_the_manifest() {
    let number = libc::EIO;
    let cases = [
        (Operation::Open, "Can't open the append-only file appendonly.aof.2.incr.aof: Input/output error"),
        (Operation::SyncDir, "Fail to fsync AOF directory appendonlydir: Input/output error."),
        (
            Operation::Write,
            "Error trying to write the temporary AOF manifest file temp-appendonly.aof.manifest: Input/output error",
        ),
        (
            Operation::Sync,
            "Fail to fsync the temp AOF file temp-appendonly.aof.manifest: Input/output error.",
        ),
        (
            Operation::Rename,
            "Error trying to rename the temporary AOF manifest file temp-appendonly.aof.manifest into \
             appendonly.aof.manifest: Input/output error",
        ),
    ];
    for (operation, text) in cases {
        let disk = SimulatedDisk::new(1);
        let life = Life::start(&disk, SyncPolicy::No, 1).map_err(|error| panic!("{error}")).ok();
        let manifest = life.map(|life| life.manifest).unwrap_or_default();
        let before = disk.content("appendonlydir/appendonly.aof.manifest");
        disk.set_failure(operation, Some(number));
        let started = directory(&disk).start_rewrite(&manifest, None);
        assert_eq!(started.map(|_| ()), Err(DirectoryError(text.into())));
        assert_eq!(disk.content("appendonlydir/appendonly.aof.manifest"), before);
        disk.set_failure(operation, None);
        assert!(!disk.exists(Path::new("appendonlydir/temp-appendonly.aof.manifest")), "{operation:?}");
        assert!(directory(&disk).start_rewrite(&manifest, None).is_ok());
    }
    let disk = SimulatedDisk::new(1);
    disk.set_failure(Operation::MakeDir, Some(libc::EACCES));
    assert_eq!(
        directory(&disk).make(),
        Err(DirectoryError("Can't open or create append-only dir appendonlydir: Permission denied".into()))
    );
}

/// A rewrite that fails leaves no garbage, and the manifest as it was.
#[test]
fn a_rewrite_that_cannot_finish_leaves_nothing() {
    let cases = [
        (
            Operation::Rename,
            true,
            "Error trying to rename the temporary AOF base file temp-rewriteaof-1.aof into ",
        ),
        (Operation::Write, false, "Error trying to write the temporary AOF manifest file "),
        (Operation::Sync, false, "Fail to fsync the temp AOF file "),
    ];
    for (operation, snapshot_stays, text) in cases {
        let disk = SimulatedDisk::new(1);
        let life = Life::start(&disk, SyncPolicy::No, 1).map_err(|error| panic!("{error}")).ok();
        let manifest = life.map(|life| life.manifest).unwrap_or_default();
        let (directory, before) = (directory(&disk), disk.list(Path::new("appendonlydir")).ok());
        snapshot(&disk, 5).expect("written");
        disk.set_failure(operation, Some(libc::EIO));
        let finish =
            |since| directory.finish_rewrite(&manifest, Path::new(SNAPSHOT), BaseFormat::Commands, since);
        let error = finish(Since::LastIncrement).expect_err("the operation fails").0;
        assert!(error.starts_with(text), "{error}");
        assert_eq!(disk.list(Path::new("appendonlydir")).ok(), before);
        assert_eq!(disk.exists(Path::new(SNAPSHOT)), snapshot_stays);
        disk.set_failure(operation, None);
        snapshot(&disk, 5).expect("written");
        // There is no temporary increment.
        let error = finish(Since::TemporaryIncrement(None)).expect_err("no such file").0;
        assert!(error.starts_with("Error trying to rename the temporary AOF incr file "), "{error}");
        assert_eq!(disk.list(Path::new("appendonlydir")).ok(), before);
        snapshot(&disk, 5).expect("written");
        let changed = finish(Since::LastIncrement).expect("finished");
        assert_eq!(changed.undurable, None);
        // The last sync of all.
        disk.set_failure(Operation::SyncDir, Some(libc::EIO));
        let error = directory.remove_history(&changed.manifest).expect_err("the sync fails").0;
        assert_eq!(error, "Fail to fsync AOF directory appendonlydir: Input/output error.");
        assert!(disk.exists(Path::new("appendonlydir/appendonly.aof.1.base.aof")));
    }
}
