//! Loads an append-only file: its base, and the commands since, which run as those of a client (`loadAppendOnlyFiles`).

use super::load::{LoadDelay, LoadFailure, LoadOptions, RdbLoader};
use crate::base::history::{HistoryTracker, Place};
use crate::base::ids::ClientId;
use crate::base::quoting::printable;
use crate::engine::Engine;
use crate::engine::clients::session::{Peer, Role};
use crate::engine::replication::LoadedHistory;
use crate::resp::{Args, Reply};
use crate::services::config::PropagationErrorBehavior;
use crate::services::persist::aof::directory::{AofDirectory, DataFile};
use crate::services::persist::aof::manifest::Manifest;
use crate::services::persist::aof::reader::{AofError, AofReader, Item, begins_with_rdb};
use crate::services::persist::aof::recovery::{
    self, FaultyFile, NOT_THE_LAST_FILE, RecoverySettings, recover,
};
use crate::services::persist::status::LoadProgress;
use crate::sys::disk::{Disk, DiskFile, Mode};

/// Bytes that tell whether a file begins with an RDB file.
const MAGIC: usize = 16;

/// The file that is being loaded.
enum Current {
    /// Its base, or the RDB file that it begins with.
    Rdb(Box<RdbLoader>),
    Commands {
        file: Box<dyn DiskFile>,
        reader: AofReader,
    },
}

/// The files of a manifest being loaded.
pub struct AofLoader {
    pub manifest: Manifest,
    files: Vec<DataFile>,
    /// The file being loaded, and its number.
    current: Option<Current>,
    number: usize,
    /// The session whose commands they are.
    session: ClientId,
    /// Bytes of the files before the current one.
    before: u64,
    delay: LoadDelay,
    pub client: Option<ClientId>,
    started_us: u64,
    /// The file's end was cut off: what follows is of no use.
    was_cut: bool,
    history: HistoryTracker,
}

impl AofLoader {
    /// Begins with the first file; tells the engine that it is being loaded.
    pub fn open(
        directory: &AofDirectory<'_>,
        manifest: Manifest,
        client: Option<ClientId>,
        engine: &mut Engine,
    ) -> Result<AofLoader, String> {
        let files = directory.data_files(&manifest).map_err(|error| error.0)?;
        let total = files.iter().map(|file| file.len).sum();
        let started = engine.now() / 1000;
        engine.persistence.start_loading(LoadProgress { started, total, ..LoadProgress::default() });
        engine.flush_libraries(false);
        engine.forget_imports_before_load();
        let session = engine.clients.sessions.open(0, 0, Peer::Internal, Role::Internal, engine.now());
        Ok(AofLoader {
            manifest,
            files,
            current: None,
            number: 0,
            session,
            before: 0,
            delay: LoadDelay::default(),
            client,
            started_us: engine.now_us(),
            was_cut: false,
            history: HistoryTracker::new(None),
        })
    }

    /// Loads about so many bytes; true at the end. An error is the lines for the log.
    pub fn step(
        &mut self,
        disk: &dyn Disk,
        directory: &AofDirectory<'_>,
        engine: &mut Engine,
        bytes: u64,
    ) -> Result<bool, Vec<String>> {
        if engine.is_busy_with_script() {
            return Ok(false);
        }
        let Some(file) = self.files.get(self.number).cloned() else {
            return Ok(true);
        };
        if self.current.is_none() {
            if self.was_cut && file.len > 0 {
                return Err(vec![NOT_THE_LAST_FILE.to_string()]);
            }
            self.current = Some(self.enter(disk, &file, engine).map_err(|error| vec![error])?);
        }
        let ended = match self.current.take() {
            None => true,
            Some(Current::Rdb(mut loader)) => match loader.step(engine, bytes) {
                Ok(false) => {
                    self.current = Some(Current::Rdb(loader));
                    false
                }
                Ok(true) => {
                    self.history = HistoryTracker::new(place_of(&loader.history));
                    let (file, offset, rest) = loader.into_rest();
                    let file = file.ok_or(vec!["The RDB preamble came from no file".to_string()])?;
                    let mut reader = AofReader::new(offset);
                    reader.feed(&rest);
                    self.current = Some(Current::Commands { file, reader });
                    false
                }
                Err(failure) => return Err(vec![of_file(&file, &failure)]),
            },
            Some(Current::Commands { file: mut open, mut reader }) => {
                match self.run_commands(&mut *open, &mut reader, engine, bytes) {
                    Ok(true) => true,
                    Ok(false) => {
                        self.current = Some(Current::Commands { file: open, reader });
                        false
                    }
                    Err(Problem::Line(line)) => return Err(vec![line]),
                    Err(Problem::Format(error)) => self.recover(directory, &file, &error, engine)?,
                }
            }
        };
        if ended {
            log::info!("DB loaded from {} file {}", role_word(&file), file.name);
            self.before += file.len;
            self.number += 1;
            self.current = None;
            self.history.next_file();
        }
        self.note_progress(engine);
        Ok(self.number == self.files.len())
    }

    fn note_progress(&self, engine: &mut Engine) {
        let within = match &self.current {
            Some(Current::Rdb(loader)) => loader.position(),
            Some(Current::Commands { reader, .. }) => reader.offset(),
            None => 0,
        };
        if let Some(progress) = &mut engine.persistence.loading {
            progress.loaded = self.before + within;
        }
    }

    fn enter(&self, disk: &dyn Disk, file: &DataFile, engine: &mut Engine) -> Result<Current, String> {
        let cannot = |error: std::io::Error| {
            format!("Fatal error: can't open the append log file {} for reading: {error}", file.name)
        };
        let mut open = disk.open(&file.path, Mode::Read).map_err(cannot)?;
        let mut magic = [0; MAGIC];
        let mut have = 0;
        while have < MAGIC {
            match open.read(&mut magic[have..]).map_err(cannot)? {
                0 => break,
                read => have += read,
            }
        }
        if begins_with_rdb(&magic[..have]) {
            log::info!("Reading RDB base file on AOF loading...");
            let options =
                LoadOptions { merge: false, drop_expired: false, flush: false, is_sync: false, client: None };
            return Ok(Current::Rdb(Box::new(RdbLoader::of_file(open, &magic[..have], options, engine))));
        }
        let mut reader = AofReader::new(0);
        reader.feed(&magic[..have]);
        Ok(Current::Commands { file: open, reader })
    }

    fn run_commands(
        &mut self,
        file: &mut dyn DiskFile,
        reader: &mut AofReader,
        engine: &mut Engine,
        bytes: u64,
    ) -> Result<bool, Problem> {
        let until = reader.offset() + bytes;
        let mut reply = Reply::new(Vec::new(), false);
        // A script that is slow goes on turn by turn, and what is behind it waits.
        while reader.offset() < until && !self.delay.waits(engine) && !engine.is_busy_with_script() {
            let before = reader.offset();
            match reader.next_item().map_err(Problem::Format)? {
                Item::More => {
                    let read = file.read(reader.space()).map_err(|error| Problem::Line(error.to_string()))?;
                    reader.filled(read);
                }
                Item::Command(args) => {
                    run(engine, self.session, args, &mut reply).map_err(Problem::Line)?;
                    self.delay.add(engine);
                    let db = engine.clients.sessions.get(self.session).map_or(0, |session| session.db);
                    self.history.command(reader.offset() - before, reader.in_transaction(), db);
                }
                Item::Annotation(text) => {
                    let text = text.to_vec();
                    self.history.annotation(&text, reader.in_transaction());
                }
                Item::End => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Cuts off a file that ends in the middle, if it may be; then it is at its end.
    fn recover(
        &mut self,
        directory: &AofDirectory<'_>,
        file: &DataFile,
        error: &AofError,
        engine: &mut Engine,
    ) -> Result<bool, Vec<String>> {
        let path = file.path.display().to_string();
        let faulty = FaultyFile { name: &file.name, path: &path, len: file.len };
        let settings = RecoverySettings {
            load_truncated: engine.config.aof_load_truncated,
            corrupt_tail_max_size: engine.config.aof_load_corrupt_tail_max_size,
        };
        let recovery = recover(error, faulty, settings);
        recovery.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        let Some(truncation) = recovery.truncation else { return Err(vec![recovery.refusal]) };
        if let Err(error) = directory.cut_off(file, truncation.len) {
            return Err(vec![recovery::truncation_failed(faulty, &error), recovery.refusal]);
        }
        log::warn!("{}", truncation.done);
        self.was_cut = true;
        // What the transaction that was cut off had queued is dropped with its session.
        engine.disconnect(self.session);
        self.session = engine.clients.sessions.open(0, 0, Peer::Internal, Role::Internal, engine.now());
        Ok(true)
    }

    /// Whether it is too early for the next key or command (`key-load-delay`).
    pub fn waits(&self, engine: &Engine) -> bool {
        match &self.current {
            Some(Current::Rdb(loader)) => loader.delay.waits(engine),
            _ => self.delay.waits(engine),
        }
    }

    /// Where in the stream of its history the data is, as far as the log says so.
    pub fn history(&self) -> LoadedHistory {
        match self.history.clone().finish() {
            Some(Place { replid, offset, db }) => {
                LoadedHistory { replid: Some(replid), offset: Some(offset), db: Some(db) }
            }
            None => LoadedHistory::default(),
        }
    }

    /// Ends the session.
    pub fn finish(&self, engine: &mut Engine) -> f64 {
        engine.disconnect(self.session);
        engine.now_us().saturating_sub(self.started_us) as f64 / 1e6
    }
}

fn place_of(history: &LoadedHistory) -> Option<Place> {
    let (replid, offset) = history.replid.clone().zip(history.offset)?;
    Some(Place { replid, offset, db: history.db.unwrap_or(0) })
}

/// Why commands can't be run on.
enum Problem {
    /// A line for the log.
    Line(String),
    Format(AofError),
}

fn run(engine: &mut Engine, session: ClientId, args: Args<'_>, reply: &mut Reply) -> Result<(), String> {
    let start = reply.len();
    engine.execute_one(session, args, reply);
    let is_error = reply.bytes().get(start) == Some(&b'-');
    if is_error {
        let (name, text) =
            (args.at(0).escape_ascii(), printable(reply.bytes()[start + 1..].trim_ascii_end()));
        match engine.commands.find(args.at(0), args.get(1)) {
            Err(_) => return Err(format!("Unknown command '{name}' reading the append only file ({text})")),
            // As in Valkey. (Redis calls it all the same, with words that aren't there.)
            Ok(found) if !engine.commands.get(found.id).spec.accepts(args.len()) => {
                return Err(format!("Malformed command '{name}' reading the append only file ({text})"));
            }
            Ok(_) => {}
        }
        report_error(engine, args.at(0), &reply.bytes()[start + 1..])?;
    }
    reply.truncate(start);
    // The session has no connection that messages could go to.
    engine.clients.outbox.clear();
    Ok(())
}

/// A command of the log has failed: its data was another when it was written. An error if it is to end there.
#[cold]
fn report_error(engine: &mut Engine, name: &[u8], text: &[u8]) -> Result<(), String> {
    engine.metrics.stats.unexpected_errors += 1;
    let (name, text) = (name.escape_ascii(), text.trim_ascii_end().escape_ascii());
    log::warn!(
        "== CRITICAL == This server is sending an error to its AOF-loading-client: '{text}' after processing the command \
         '{name}'"
    );
    if engine.config.propagation_error_behavior == PropagationErrorBehavior::Panic {
        return Err(format!(
            "This server panicked sending an error to its AOF-loading-client after processing the command '{name}'"
        ));
    }
    Ok(())
}

fn role_word(file: &DataFile) -> &'static str {
    match file.role {
        crate::services::persist::aof::manifest::Role::Base => "base",
        _ => "incr",
    }
}

fn of_file(file: &DataFile, failure: &LoadFailure) -> String {
    format!("Error reading the RDB preamble of the AOF file {}: {failure}", file.name)
}
