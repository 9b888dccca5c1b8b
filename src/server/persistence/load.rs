//! Loads a snapshot's file into the keyspace, some at a time, so that clients are answered meanwhile (`rdbLoad`).

use std::path::Path;

use crate::base::history::MAX_OFFSET;
use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::persistence::{SLOT_IMPORT, key_delay};
use crate::engine::replication::LoadedHistory;
use crate::engine::scripting::RestorePolicy;
use crate::keyspace::{Keyspace, LoadedKey};
use crate::services::config::RdbVersionCheck;
use crate::services::persist::functions;
use crate::services::persist::rdb::{Item, RdbError, RdbReader, ReadOptions, Reason};
use crate::services::persist::status::LoadProgress;
use crate::services::slot_migration::SlotRanges;
use crate::sys::disk::{Disk, DiskFile, Mode};

/// How far loading may be ahead of `key-load-delay`, ns: as long as the loop sleeps at least.
const LOAD_AHEAD: u64 = 1_000_000;

/// The last line of a server that ends because it can't load its data.
pub const LOAD_ERROR: &str = "Fatal error loading the DB, check server logs. Exiting.";

/// What is loaded, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Keys of the file replace keys of the same name (`DEBUG RELOAD MERGE`); otherwise such a key is an error.
    pub merge: bool,
    /// Keys past their deadline are left out: a primary does that.
    pub drop_expired: bool,
    /// The databases are emptied once the file turns out to be an RDB file of a version that is known.
    pub flush: bool,
    /// It is a primary's data: what there was is another history, and clients that watch it are told.
    pub is_sync: bool,
    /// The client that gets OK or the error in the end.
    pub client: Option<ClientId>,
}

/// Why a file can't be loaded.
#[derive(Debug)]
pub enum LoadFailure {
    Disk(std::io::Error),
    Format(RdbError),
    /// There are fewer databases than that.
    Database(u64),
    /// A library of functions that can't be loaded: why not.
    Library(Vec<u8>),
    /// A key that is there already.
    Duplicate {
        key: Vec<u8>,
        db: usize,
        offset: u64,
    },
}

impl LoadFailure {
    /// What the log says about it, and about the server if that ends.
    pub fn lines(&self, ends_server: bool) -> Vec<String> {
        let mut lines = vec![self.to_string()];
        if let LoadFailure::Format(RdbError { reason: Reason::Kind(_), .. }) = self {
            lines.push("Unknown type or opcode when loading DB. Unrecoverable error, aborting now.".into());
        }
        if ends_server {
            lines.push(match self {
                LoadFailure::Format(RdbError { reason: Reason::Signature | Reason::Version(_), .. })
                | LoadFailure::Disk(_) => LOAD_ERROR.into(),
                _ => "Terminating server after rdb file reading failure.".into(),
            });
        }
        lines
    }
}

impl std::fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadFailure::Disk(error) => error.fmt(f),
            LoadFailure::Format(error) => error.fmt(f),
            LoadFailure::Database(number) => write!(
                f,
                "FATAL: Data file was created with a server configured to handle more than {number} databases"
            ),
            LoadFailure::Library(text) => write!(f, "Failed loading library, {}", text.escape_ascii()),
            LoadFailure::Duplicate { key, db, offset } => {
                write!(f, "offset {offset}: RDB has duplicated key '{}' in DB {db}", key.escape_ascii())
            }
        }
    }
}

/// `key-load-delay`: when loading may go on. The loop doesn't sleep for it, it serves clients meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadDelay {
    /// Unix ns.
    next: u64,
}

impl LoadDelay {
    /// A key or command was loaded.
    pub fn add(&mut self, engine: &Engine) {
        let delay = key_delay(engine.config.key_load_delay);
        if delay > 0 {
            self.next = self.next.max(engine.now_us() * 1000).saturating_add(delay);
        }
    }

    /// Whether what comes next has to wait.
    pub fn waits(&self, engine: &Engine) -> bool {
        engine.config.key_load_delay != 0 && self.next > engine.now_us() * 1000 + LOAD_AHEAD
    }
}

/// Where the bytes come from.
enum Source {
    File(Box<dyn DiskFile>),
    /// The caller brings them ([`RdbLoader::feed`]).
    Fed,
}

/// The databases and functions that are loaded beside those that there are.
struct Beside {
    keyspace: Keyspace,
    libraries: Vec<Vec<u8>>,
    /// What was being imported there.
    task: Option<Vec<u8>>,
    imports: Vec<(String, SlotRanges)>,
}

impl Beside {
    fn new(keyspace: Keyspace) -> Self {
        Beside { keyspace, libraries: Vec::new(), task: None, imports: Vec::new() }
    }
}

/// What one step of reading came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Item,
    /// More bytes are to be fed.
    Starved,
    End,
}

/// A file being loaded.
pub struct RdbLoader {
    source: Source,
    beside: Option<Beside>,
    pub history: LoadedHistory,
    reader: RdbReader,
    pub options: LoadOptions,
    pub delay: LoadDelay,
    db: usize,
    loaded: u64,
    expired: u64,
    empty: u64,
    started_us: u64,
    /// The data is not what it was before: it was emptied once the file's head was good, or something was loaded.
    has_changed_data: bool,
}

impl RdbLoader {
    /// Opens a file, and tells the engine that it is being loaded.
    pub fn open(
        disk: &dyn Disk,
        path: &Path,
        options: LoadOptions,
        engine: &mut Engine,
    ) -> std::io::Result<RdbLoader> {
        let file = disk.open(path, Mode::Read)?;
        let total = file.len()?;
        let started = engine.now() / 1000;
        engine.persistence.start_loading(LoadProgress { started, total, ..LoadProgress::default() });
        Ok(Self::of_file(file, &[], options, engine))
    }

    /// Of a file that is open, and of which `first` has been read.
    pub fn of_file(
        file: Box<dyn DiskFile>,
        first: &[u8],
        options: LoadOptions,
        engine: &mut Engine,
    ) -> RdbLoader {
        let checksum = engine.config.rdbchecksum;
        let any_version = engine.config.rdb_version_check == RdbVersionCheck::Relaxed;
        let mut reader = RdbReader::new(ReadOptions { checksum, check: false, any_version });
        reader.feed(first);
        Self::of_source(Source::File(file), reader, options, engine)
    }

    /// Of bytes that are fed as they come; into databases of their own with `is_beside`, until [`Self::replace_data`].
    pub fn fed(options: LoadOptions, is_beside: bool, engine: &mut Engine) -> RdbLoader {
        let any_version = engine.config.rdb_version_check == RdbVersionCheck::Relaxed;
        let checksum = engine.config.rdbchecksum;
        let reader = RdbReader::new(ReadOptions { checksum, check: false, any_version });
        let mut loader = Self::of_source(Source::Fed, reader, options, engine);
        loader.beside = is_beside.then(|| Beside::new(engine.data.keyspace.empty_twin()));
        loader
    }

    fn of_source(source: Source, reader: RdbReader, options: LoadOptions, engine: &Engine) -> RdbLoader {
        let started_us = engine.now_us();
        RdbLoader {
            source,
            beside: None,
            history: LoadedHistory::default(),
            reader,
            options,
            delay: LoadDelay::default(),
            db: 0,
            loaded: 0,
            expired: 0,
            empty: 0,
            started_us,
            has_changed_data: false,
        }
    }

    /// Whether a failure leaves other data than there was before: a part of the file.
    pub fn has_changed_data(&self) -> bool {
        self.has_changed_data
    }

    /// Whether the data is loaded beside what there is.
    pub fn is_beside(&self) -> bool {
        self.beside.is_some()
    }

    /// Bytes that have been loaded.
    pub fn position(&self) -> u64 {
        self.reader.position()
    }

    /// At the end: the file, where the RDB file ends in it, and what has been read behind.
    pub fn into_rest(self) -> (Option<Box<dyn DiskFile>>, u64, Vec<u8>) {
        let (offset, rest) = (self.reader.position(), self.reader.rest().to_vec());
        let file = match self.source {
            Source::File(file) => Some(file),
            Source::Fed => None,
        };
        (file, offset, rest)
    }

    /// Whether bytes follow the end of the file.
    pub fn has_rest(&self) -> bool {
        !self.reader.rest().is_empty()
    }

    /// Loads what these bytes are, the next ones of a file that is fed; true when its end is among them.
    pub fn feed(&mut self, engine: &mut Engine, bytes: &[u8]) -> Result<bool, LoadFailure> {
        self.reader.feed(bytes);
        self.load_fed(engine)
    }

    /// No more bytes will be fed: what is missing is an error.
    pub fn end_feed(&mut self, engine: &mut Engine) -> Result<(), LoadFailure> {
        self.reader.end_of_input();
        self.delay = LoadDelay::default();
        while self.next_item(engine)? != Progress::End {}
        self.finish(engine);
        Ok(())
    }

    fn load_fed(&mut self, engine: &mut Engine) -> Result<bool, LoadFailure> {
        let mut is_over = false;
        while !self.delay.waits(engine) {
            match self.next_item(engine)? {
                Progress::Item => {}
                Progress::Starved => break,
                Progress::End => {
                    is_over = true;
                    break;
                }
            }
        }
        if is_over {
            self.finish(engine);
        }
        self.note_progress(engine);
        Ok(is_over)
    }

    fn note_progress(&self, engine: &mut Engine) {
        if let Some(progress) = &mut engine.persistence.loading {
            progress.loaded = self.reader.position();
        }
    }

    /// Puts what was loaded beside the data in its place. The error says which library can't be loaded; then all is as it was.
    pub fn replace_data(&mut self, engine: &mut Engine) -> Result<(), LoadFailure> {
        let Some(Beside { mut keyspace, libraries, task, imports }) = self.beside.take() else {
            return Ok(());
        };
        let payload = functions::dump(libraries.iter().map(Vec::as_slice), false);
        engine.restore_libraries(&payload, RestorePolicy::Flush, false).map_err(LoadFailure::Library)?;
        engine.touch_all_databases();
        engine.forget_imports_before_load();
        engine.data.keyspace.exchange_contents(&mut keyspace);
        engine.track_task(&task.unwrap_or_default());
        imports.into_iter().for_each(|(name, slots)| engine.track_import(&name, slots));
        engine.touch_all_databases();
        engine.after_cron();
        Ok(())
    }

    /// Loads about so many bytes; true at the end.
    pub fn step(&mut self, engine: &mut Engine, bytes: u64) -> Result<bool, LoadFailure> {
        let until = self.reader.position() + bytes;
        while self.reader.position() < until && !self.delay.waits(engine) {
            if self.next_item(engine)? == Progress::End {
                self.finish(engine);
                return Ok(true);
            }
        }
        self.note_progress(engine);
        Ok(false)
    }

    fn next_item(&mut self, engine: &mut Engine) -> Result<Progress, LoadFailure> {
        let offset = self.reader.position();
        match self.reader.next(&engine.settings.limits).map_err(LoadFailure::Format)? {
            Item::More => {
                let Source::File(file) = &mut self.source else { return Ok(Progress::Starved) };
                let read = file.read(self.reader.spare()).map_err(LoadFailure::Disk)?;
                if read == 0 {
                    self.reader.end_of_input();
                }
                self.reader.filled(read);
            }
            Item::Key(record) => {
                let now = engine.now();
                let is_expired = record.deadline.is_some_and(|deadline| deadline < now);
                let drops = self.options.drop_expired && is_expired;
                self.expired += u64::from(drops);
                // Replicas that go on have to be told of what has expired: it does once their history goes on.
                if drops && engine.replication.loaded.replid.is_none() {
                    return Ok(Progress::Item);
                }
                let access = access_of(record.idle, record.frequency, engine);
                let key =
                    LoadedKey { key: &record.key, value: record.value, deadline: record.deadline, access };
                let keyspace =
                    self.beside.as_mut().map_or(&mut engine.data.keyspace, |beside| &mut beside.keyspace);
                if !keyspace.load(self.db, key, self.options.merge) {
                    let key = record.key.into_owned();
                    return Err(LoadFailure::Duplicate { key, db: self.db, offset });
                }
                self.loaded += u64::from(!drops);
                self.has_changed_data |= self.beside.is_none();
                self.delay.add(engine);
            }
            Item::SelectDb(db) => {
                let count = engine.data.keyspace.count() as u64;
                if db >= count {
                    return Err(LoadFailure::Database(count));
                }
                self.db = db as usize;
            }
            Item::Aux(name, value) => {
                note_history(&name, &value, &mut self.history);
                if self.options.client.is_none() && !self.options.is_sync {
                    engine.replication.loaded = self.history.clone();
                }
                note_cluster((&mut self.beside, &self.options), &name, &value, engine);
            }
            Item::Function(source) if self.beside.is_some() => {
                self.beside.iter_mut().for_each(|beside| beside.libraries.push(source.to_vec()));
            }
            Item::Function(source) => {
                let loaded = engine.load_library(&source, self.options.merge, false);
                loaded.map_err(LoadFailure::Library)?;
                self.has_changed_data = true;
            }
            Item::Empty(key) => {
                self.empty += 1;
                if self.empty <= 10 {
                    log::info!("rdbLoadObject skipping empty key: {}", key.escape_ascii());
                }
            }
            Item::Skipped(what) => log::warn!("The file has {what:?}, which has no place here: skipped"),
            Item::Format(_) => self.flush_data(engine),
            Item::SlotImport { name, ranges } => {
                add_import(&mut self.beside, &name, SlotRanges::normalized(ranges).ok(), engine)
            }
            Item::ResizeDb { .. } | Item::SlotInfo { .. } => {}
            Item::End(_) => return Ok(Progress::End),
        }
        Ok(Progress::Item)
    }

    /// The file is one that can be read: the old data goes, if it is to.
    fn flush_data(&mut self, engine: &mut Engine) {
        if !self.options.flush {
            return;
        }
        engine.forget_imports_before_load();
        self.has_changed_data = true;
        if self.options.is_sync {
            engine.discard_history();
            engine.discard_data();
        } else {
            engine.empty_keyspace();
            engine.flush_libraries(false);
        }
    }

    fn finish(&self, engine: &mut Engine) {
        let rdb = &mut engine.persistence.rdb;
        (rdb.loaded, rdb.load_expired) = (self.loaded, self.expired);
        log::info!(
            "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
            self.loaded,
            self.expired,
            self.empty
        );
    }

    /// Seconds since loading began.
    pub fn seconds(&self, engine: &Engine) -> f64 {
        engine.now_us().saturating_sub(self.started_us) as f64 / 1e6
    }
}

/// Notes the slots that the primary moves, and what was being imported when the file was written.
fn note_cluster(
    (beside, options): (&mut Option<Beside>, &LoadOptions),
    name: &[u8],
    value: &[u8],
    engine: &mut Engine,
) {
    if options.is_sync && name == b"cluster-slot-states" {
        engine.with_cluster(|service, now| service.take_open_slots(now, value));
    }
    note_import(beside, name, value, engine);
}

/// Notes what was being imported when the file was written, and other facts.
fn note_import(beside: &mut Option<Beside>, name: &[u8], value: &[u8], engine: &mut Engine) {
    note_fact(name, value, engine);
    match name {
        b"cluster-asm-task" => match beside {
            Some(beside) => beside.task = Some(value.to_vec()),
            None => drop(engine.track_task(value)),
        },
        SLOT_IMPORT => {
            let mut parts = value.splitn(2, |byte| *byte == b':');
            let (name, slots) = (parts.next().unwrap_or_default(), parts.next().and_then(SlotRanges::parse));
            add_import(beside, name, slots, engine);
        }
        _ => {}
    }
}

fn add_import(beside: &mut Option<Beside>, name: &[u8], slots: Option<SlotRanges>, engine: &mut Engine) {
    let (name, Some(slots)) = (String::from_utf8_lossy(name).into_owned(), slots) else { return };
    match beside {
        Some(beside) => beside.imports.push((name, slots)),
        None => engine.track_import(&name, slots),
    }
}

/// A key's access word, from what its file says of its use.
fn access_of(idle: Option<u64>, frequency: Option<u8>, engine: &Engine) -> u32 {
    let clock = engine.lru_clock();
    match (idle, frequency) {
        (Some(idle), _) if !clock.is_lfu() => clock.with_idle(idle),
        (_, Some(counter)) if clock.is_lfu() => clock.with_frequency(counter),
        _ => clock.fresh(),
    }
}

/// Notes where the data is in the stream of its history.
fn note_history(name: &[u8], value: &[u8], history: &mut LoadedHistory) {
    let text = String::from_utf8_lossy(value);
    match name {
        b"repl-id" => history.replid = Some(text.into_owned()),
        b"repl-offset" => {
            history.offset = text.parse().ok().filter(|offset| *offset <= MAX_OFFSET);
        }
        b"repl-stream-db" => history.db = text.parse().ok(),
        _ => {}
    }
}

/// Logs a fact about the file that people ask for.
fn note_fact(name: &[u8], value: &[u8], engine: &mut Engine) {
    let text = String::from_utf8_lossy(value);
    match name {
        b"redis-ver" => log::info!("Loading RDB produced by version {text}"),
        b"valkey-ver" => log::info!("Loading RDB produced by Valkey version {text}"),
        b"ctime" => {
            let age = text.parse::<u64>().map_or(0, |ctime| (engine.now() / 1000).saturating_sub(ctime));
            log::info!("RDB age {age} seconds");
        }
        b"used-mem" => {
            let bytes = text.parse::<u64>().unwrap_or(0);
            log::info!("RDB memory usage when created {:.2} Mb", bytes as f64 / f64::from(1 << 20));
            if let Some(progress) = &mut engine.persistence.loading {
                progress.used_memory = bytes;
            }
        }
        b"aof-base" if value == b"1" => log::info!("RDB is base AOF"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_that_no_stream_comes_to_is_none() {
        for (text, offset) in
            [("9223372036854775807", Some(MAX_OFFSET)), ("9223372036854775808", None), ("-1", None)]
        {
            let mut history = LoadedHistory::default();
            note_history(b"repl-offset", text.as_bytes(), &mut history);
            assert_eq!(history.offset, offset, "{text}");
        }
    }
}
