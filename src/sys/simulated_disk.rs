//! A simulated disk in memory, for tests of what is written to files: it fails on command, and crashes from a seed.
//!
//! ```text
//! file   content       what a read sees
//!        durable       what the last sync made durable
//!        pending       writes and truncations since: at a power failure each is kept, torn, or lost
//! names  live, durable, pending   the same for creating, renaming and removing, by `sync_dir`
//! ```
//!
//! It is as bad as POSIX allows: without a sync between them, a later change may outlive an earlier one, and a gap reads
//! as zeros. After a sync that failed, what it should have made durable never is, though reads still see it (as on Linux,
//! which drops the pages). Each operation that changes something is a step, so that a test can crash at any.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, Mode, Stat};
use crate::base::rng::Rng;

/// What a crash loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process ends (`kill -9`): the system keeps what it was given.
    Process,
    /// The power fails: of what was not synced, any part is lost.
    Power,
}

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Open,
    Write,
    Sync,
    Truncate,
    Rename,
    Remove,
    MakeDir,
    SyncDir,
}

type FileId = usize;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(FileId),
}

#[derive(Clone, Debug)]
enum ContentChange {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(PathBuf, Node),
    Rename(PathBuf, PathBuf, Node),
    Remove(PathBuf),
}

impl NameChange {
    /// The path whose directory must be synced.
    fn target(&self) -> &Path {
        match self {
            NameChange::Add(path, _) | NameChange::Rename(_, path, _) | NameChange::Remove(path) => path,
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            NameChange::Add(path, node) => drop(names.insert(path.clone(), node.clone())),
            NameChange::Rename(from, to, node) => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), node.clone());
            }
            NameChange::Remove(path) => drop(names.remove(path)),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<ContentChange>,
}

impl ContentChange {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            ContentChange::Write { offset, bytes } => {
                let end = offset + bytes.len();
                content.resize(content.len().max(end), 0);
                content[*offset..end].copy_from_slice(bytes);
            }
            ContentChange::Truncate(len) => content.resize(*len, 0),
        }
    }

    /// Applies it, a part of it, or nothing.
    fn apply_perhaps(&self, content: &mut Vec<u8>, rng: &mut Rng) {
        match (rng.below(3), self) {
            (0, _) => {}
            (1, ContentChange::Write { offset, bytes }) => {
                let (from, to) = (rng.below(bytes.len() as u64 + 1), rng.below(bytes.len() as u64 + 1));
                let (from, to) = (from.min(to) as usize, from.max(to) as usize);
                let torn = ContentChange::Write { offset: offset + from, bytes: bytes[from..to].to_vec() };
                torn.apply(content);
            }
            _ => self.apply(content),
        }
    }
}

#[derive(Debug)]
struct State {
    rng: Rng,
    files: Vec<Content>,
    names: BTreeMap<PathBuf, Node>,
    durable_names: BTreeMap<PathBuf, Node>,
    pending_names: Vec<NameChange>,
    /// Bytes that the files can have together.
    capacity: Option<u64>,
    short_writes: bool,
    /// Operations that fail, with the system's error number.
    failing: BTreeMap<Operation, i32>,
    steps: u64,
    /// The step at which the crash happens, and all later ones fail.
    crash_at: Option<u64>,
    /// The step before which the machine ends, and how; then what is found after that.
    end_at: Option<(u64, Crash)>,
    found: Option<SimulatedDisk>,
}

/// See the module's description. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

impl SimulatedDisk {
    /// An empty disk; what is left to chance follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self::from_state(BTreeMap::new(), Vec::new(), Rng::new(seed))
    }

    fn from_state(names: BTreeMap<PathBuf, Node>, files: Vec<Content>, rng: Rng) -> Self {
        SimulatedDisk(Arc::new(Mutex::new(State {
            rng,
            files,
            durable_names: names.clone(),
            names,
            pending_names: Vec::new(),
            capacity: None,
            short_writes: false,
            failing: BTreeMap::new(),
            steps: 0,
            crash_at: None,
            end_at: None,
            found: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steps made so far.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Has the crash happen at this step: it is not made, or a write of it only in part, and everything after it fails.
    pub fn crash_at(&self, step: u64) {
        self.state().crash_at = Some(step);
    }

    /// The disk as it is found after a crash now, all of it durable.
    pub fn crash(&self, crash: Crash) -> SimulatedDisk {
        self.state().found_after(crash)
    }

    /// Has the machine end so many steps from now. This disk works on as if nothing had happened, so that what uses it needs no
    /// notion of its end: what that does from then on is to be ignored.
    pub fn end_after(&self, steps: u64, crash: Crash) {
        let mut state = self.state();
        state.end_at = Some((state.steps + steps, crash));
    }

    /// The machine doesn't end as [`Self::end_after`] says, unless it has already.
    pub fn stay_up(&self) {
        self.state().end_at = None;
    }

    /// Whether the machine has ended as [`Self::end_after`] says.
    pub fn has_ended(&self) -> bool {
        self.state().found.is_some()
    }

    /// What is found after that end.
    pub fn take_found(&self) -> Option<SimulatedDisk> {
        self.state().found.take()
    }

    /// How many bytes the files can have together; no limit if `None`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes that the files have together.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Whether writes may be short, and interrupted.
    pub fn set_short_writes(&self, short: bool) {
        self.state().short_writes = short;
    }

    /// Has an operation fail with this error number of the system, until it is set to `None`.
    pub fn set_failure(&self, operation: Operation, error: Option<i32>) {
        let failing = &mut self.state().failing;
        match error {
            Some(error) => failing.insert(operation, error),
            None => failing.remove(&operation),
        };
    }

    /// Puts a durable file where there was none; the directories above it are made.
    pub fn put(&self, path: impl AsRef<Path>, content: &[u8]) {
        let path = normalize(path.as_ref());
        let mut state = self.state();
        let file = Content { content: content.to_vec(), durable: content.to_vec(), pending: Vec::new() };
        let node = Node::File(state.files.len());
        state.files.push(file);
        let dirs = path.ancestors().skip(1).filter(|dir| !is_root(dir));
        for (path, node) in dirs.map(|dir| (dir, Node::Dir)).chain([(path.as_path(), node)]) {
            state.names.insert(path.to_path_buf(), node.clone());
            state.durable_names.insert(path.to_path_buf(), node);
        }
    }

    /// A file's content.
    pub fn content(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        let id = state.file(path.as_ref()).ok()?;
        Some(state.files[id].content.clone())
    }
}

/// Without `.`; the working directory is the empty path.
fn normalize(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn is_root(dir: &Path) -> bool {
    dir.parent().is_none()
}

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl State {
    fn found_after(&mut self, crash: Crash) -> SimulatedDisk {
        let (names, files) = match crash {
            Crash::Process => {
                (self.names.clone(), self.files.iter().map(|file| file.content.clone()).collect())
            }
            Crash::Power => self.after_power_failure(),
        };
        let durable = |content: Vec<u8>| Content { durable: content.clone(), content, pending: Vec::new() };
        let rng = Rng::new(self.rng.next_u64());
        SimulatedDisk::from_state(names, files.into_iter().map(durable).collect(), rng)
    }

    /// Counts a step; an error if it is one that fails.
    fn step(&mut self, operation: Operation) -> io::Result<()> {
        self.check_crash()?;
        if let Some((_, crash)) = self.end_at.take_if(|(step, _)| self.steps >= *step) {
            self.found = Some(self.found_after(crash));
        }
        self.steps += 1;
        if self.crash_at.is_some_and(|step| self.steps >= step) {
            return Err(io::Error::other("the disk has crashed"));
        }
        self.failing.get(&operation).map_or(Ok(()), |number| Err(error(*number)))
    }

    fn check_crash(&self) -> io::Result<()> {
        match self.crash_at {
            Some(step) if self.steps >= step => Err(io::Error::other("the disk has crashed")),
            _ => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<FileId> = self
            .names
            .values()
            .filter_map(|node| match node {
                Node::File(id) => Some(*id),
                Node::Dir => None,
            })
            .collect();
        named.iter().map(|id| self.files[*id].content.len() as u64).sum()
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        let path = normalize(path);
        if is_root(&path) {
            return Ok(Node::Dir);
        }
        self.names.get(&path).cloned().ok_or_else(|| error(libc::ENOENT))
    }

    fn file(&self, path: &Path) -> io::Result<FileId> {
        match self.node(path)? {
            Node::File(id) => Ok(id),
            Node::Dir => Err(error(libc::EISDIR)),
        }
    }

    fn check_dir(&self, dir: &Path) -> io::Result<()> {
        match self.node(dir)? {
            Node::Dir => Ok(()),
            Node::File(_) => Err(error(libc::ENOTDIR)),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn change_content(&mut self, id: FileId, change: ContentChange) {
        let file = &mut self.files[id];
        change.apply(&mut file.content);
        file.pending.push(change);
    }

    fn create(&mut self, path: &Path) -> io::Result<FileId> {
        let path = normalize(path);
        self.check_dir(path.parent().unwrap_or(Path::new("")))?;
        let id = self.files.len();
        self.files.push(Content::default());
        self.change_name(NameChange::Add(path, Node::File(id)));
        Ok(id)
    }

    fn sync_dir(&mut self, dir: &Path) {
        let dir = normalize(dir);
        let pending = std::mem::take(&mut self.pending_names);
        for change in pending {
            if change.target().parent() == Some(&dir) {
                change.apply(&mut self.durable_names);
                if let NameChange::Rename(from, ..) = &change {
                    // The file is no longer there, whatever is synced later.
                    self.pending_names.retain(|earlier| earlier.target() != from);
                }
            } else {
                self.pending_names.push(change);
            }
        }
    }

    fn write(&mut self, id: FileId, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.check_crash()?;
        let offset = self.files[id].content.len();
        let mut count = bytes.len() as u64;
        let step = self.step(Operation::Write);
        if let Err(crashed) = self.check_crash() {
            let part = bytes[..self.rng.below(count + 1) as usize].to_vec();
            self.change_content(id, ContentChange::Write { offset, bytes: part });
            return Err(crashed);
        }
        step?;
        if self.short_writes {
            match self.rng.below(4) {
                0 => return Err(io::ErrorKind::Interrupted.into()),
                1 => count = 1 + self.rng.below(count),
                _ => {}
            }
        }
        if let Some(capacity) = self.capacity {
            count = count.min(capacity.saturating_sub(self.used()));
        }
        if count == 0 {
            return Err(error(libc::ENOSPC));
        }
        let bytes = bytes[..count as usize].to_vec();
        self.change_content(id, ContentChange::Write { offset, bytes });
        Ok(count as usize)
    }

    fn sync(&mut self, id: FileId) -> io::Result<()> {
        let step = self.step(Operation::Sync);
        self.check_crash()?;
        let file = &mut self.files[id];
        let pending = std::mem::take(&mut file.pending);
        step?;
        pending.iter().for_each(|change| change.apply(&mut file.durable));
        Ok(())
    }

    fn after_power_failure(&mut self) -> (BTreeMap<PathBuf, Node>, Vec<Vec<u8>>) {
        let mut names = self.durable_names.clone();
        for change in &self.pending_names {
            if self.rng.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        let dirs: BTreeSet<PathBuf> =
            names.iter().filter(|(_, node)| **node == Node::Dir).map(|(path, _)| path.clone()).collect();
        names.retain(|path, _| path.ancestors().skip(1).all(|dir| is_root(dir) || dirs.contains(dir)));
        let mut files = Vec::new();
        for file in &self.files {
            let mut content = file.durable.clone();
            for change in &file.pending {
                change.apply_perhaps(&mut content, &mut self.rng);
            }
            files.push(content);
        }
        (names, files)
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.check_crash()?;
        let id = match (state.file(path), mode) {
            (Ok(id), Mode::Read) => id,
            (Ok(id), Mode::Append) => {
                state.step(Operation::Open)?;
                id
            }
            (Ok(id), Mode::Create) => {
                state.step(Operation::Open)?;
                state.change_content(id, ContentChange::Truncate(0));
                id
            }
            (Err(error), Mode::Append | Mode::Create) if error.kind() == io::ErrorKind::NotFound => {
                state.step(Operation::Open)?;
                state.create(path)?
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Box::new(SimulatedFile { disk: self.clone(), id, position: 0, can_write: mode != Mode::Read }))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let state = self.state();
        state.check_crash()?;
        Ok(match state.node(path)? {
            Node::Dir => Stat { len: 0, is_dir: true },
            Node::File(id) => Stat { len: state.files[id].content.len() as u64, is_dir: false },
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step(Operation::Rename)?;
        let (from, to) = (normalize(from), normalize(to));
        let node = Node::File(state.file(&from)?);
        state.check_dir(to.parent().unwrap_or(Path::new("")))?;
        if matches!(state.node(&to), Ok(Node::Dir)) {
            return Err(error(libc::EISDIR));
        }
        state.change_name(NameChange::Rename(from, to, node));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step(Operation::Remove)?;
        state.file(path)?;
        state.change_name(NameChange::Remove(normalize(path)));
        Ok(())
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.step(Operation::Truncate)?;
        let id = state.file(path)?;
        state.change_content(id, ContentChange::Truncate(len as usize));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let state = self.state();
        state.check_crash()?;
        state.check_dir(dir)?;
        let dir = normalize(dir);
        let below = state.names.keys().filter(|path| path.parent() == Some(&dir));
        Ok(below.filter_map(|path| path.file_name().map(OsString::from)).collect())
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        match state.node(dir) {
            Ok(Node::Dir) => return state.check_crash(),
            Ok(Node::File(_)) => return Err(error(libc::EEXIST)),
            Err(_) => state.step(Operation::MakeDir)?,
        }
        let dir = normalize(dir);
        state.check_dir(dir.parent().unwrap_or(Path::new("")))?;
        state.change_name(NameChange::Add(dir, Node::Dir));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step(Operation::SyncDir)?;
        state.check_dir(dir)?;
        state.sync_dir(dir);
        Ok(())
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    id: FileId,
    /// Of the next read.
    position: usize,
    can_write: bool,
}

impl DiskFile for SimulatedFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.read_at(bytes, self.position as u64)?;
        self.position += count;
        Ok(count)
    }

    fn read_at(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        state.check_crash()?;
        let content = &state.files[self.id].content;
        let rest = &content[content.len().min(offset as usize)..];
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.can_write {
            return Err(error(libc::EBADF));
        }
        self.disk.state().write(self.id, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.state().sync(self.id)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step(Operation::Truncate)?;
        state.change_content(self.id, ContentChange::Truncate(len as usize));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state();
        state.check_crash()?;
        Ok(state.files[self.id].content.len() as u64)
    }

    fn duplicate(&self) -> io::Result<Box<dyn DiskFile>> {
        self.disk.state().check_crash()?;
        Ok(Box::new(SimulatedFile { disk: self.disk.clone(), ..*self }))
    }

    fn start_writeback(&mut self, _offset: u64, _len: u64) {}

    fn drop_cache(&mut self, _offset: u64, _len: u64) {}
}
