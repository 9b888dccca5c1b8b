//! The command stream: the requests by which another server, or a log, makes the same data set, as RESP frames in order.
//!
//! Each is encoded once, into the [`Backlog`] that all consumers (append-only file, replicas, slot migration) read at
//! offsets of their own. An execution unit of more than one request is a transaction:
//!
//! ```text
//! SET a 1                          a unit of one request
//! MULTI · DEL b · SET b 2 · EXEC   a unit of two; SELECT, where the database changes, lies within
//! ```
//!
//! That a unit has a second request is often known only when the first has been executed (EXEC, scripts), so the
//! first one waits in a buffer until the unit has a second, or ends. Nothing is encoded without a consumer.
//!
//! What changes no data but has an effect (PUBLISH) is for replicas alone, as in Redis (`PROPAGATE_REPL`): a log
//! doesn't get it. MULTI, EXEC and SELECT are for all.
//!
//! At a replica the stream has its primary's bytes alone. What its own clients write (`replica-read-only no`) is for its log, which
//! also gets the lines that say where in the stream it is (see `base/history.rs`).

mod backlog;

pub use crate::resp::encode_request as encode;
pub use backlog::{Backlog, FellBehind, LogPiece, ReaderId, ReaderKind};

use std::ops::Range;

use crate::base::history;

/// Bytes of buffers that are kept between units.
const KEPT: usize = 64 * 1024;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// Which readers get a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It changes the data set.
    All,
    /// It is of no database and keeps a link alive (PING): a log needs it no more once it is over.
    Replicas,
    /// It changes no data but has an effect (PUBLISH), or a script wants it to be known to replicas alone (`redis.set_repl`).
    ReplicasAlone,
    /// It changes the data set, and a script wants it to be known to logs alone.
    LogsAlone,
}

/// See the module's description.
#[derive(Debug)]
pub struct CommandStream {
    backlog: Backlog,
    /// The database that a consumer has selected when it has executed everything; unknown at first.
    selected: Option<u32>,
    /// Requests of the running unit.
    unit: u64,
    /// The unit's first request, its database and who gets it, while it is the only one.
    first: Vec<u8>,
    first_db: u32,
    first_target: Target,
    /// The stream has a primary's bytes: what is pushed is for logs alone.
    follows: bool,
    /// The replication id of the history that a log's lines name; `None`: there is none that another server could go on from.
    history: Option<String>,
    /// What a log's lines have said so far.
    mark: Mark,
}

/// Where a reader of the log believes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// Nothing was said in its current file.
    Start,
    /// In the stream, at this offset, if the history is still the same.
    At(u64),
    /// In the stream of a former history.
    Former,
    /// Among writes of this server's own clients.
    Own,
    /// Among what is of no history.
    Ended,
}

impl Default for CommandStream {
    fn default() -> Self {
        CommandStream {
            backlog: Backlog::new(),
            selected: None,
            unit: 0,
            first: Vec::new(),
            first_db: 0,
            first_target: Target::All,
            follows: false,
            history: None,
            mark: Mark::Start,
        }
    }
}

impl CommandStream {
    /// Whether requests have to be handed to [`Self::push`].
    #[inline]
    pub fn has_consumers(&self) -> bool {
        self.backlog.has_readers()
    }

    /// A consumer of what is propagated from now on. The next request names its database. Not within a unit.
    pub fn attach(&mut self, kind: ReaderKind) -> ReaderId {
        debug_assert_eq!(self.unit, 0);
        self.selected = None;
        if kind == ReaderKind::Log {
            self.mark = Mark::Start;
        }
        self.backlog.attach(kind)
    }

    /// Begins at this offset, not at 0. Before there are consumers.
    pub fn resume_at(&mut self, offset: u64) {
        self.backlog.resume_at(offset);
    }

    /// The next request names its database. Not within a unit.
    pub fn cut(&mut self) {
        debug_assert_eq!(self.unit, 0);
        self.selected = None;
    }

    /// The place behind which another file of the log can begin. Not within a unit.
    pub fn cut_log(&mut self) -> u64 {
        self.cut();
        self.mark = Mark::Start;
        self.backlog.log_end()
    }

    /// Whether the stream has a primary's bytes from now on. A unit that has begun ends here.
    pub fn set_following(&mut self, follows: bool) {
        if self.follows != follows {
            self.end_unit();
            self.follows = follows;
            self.selected = None;
        }
    }

    /// The log's file has what was loaded, which is of a history: what follows isn't, unless a line says so.
    pub fn continue_log(&mut self) {
        if self.backlog.has_logs() && self.mark == Mark::Start {
            self.mark = Mark::Former;
        }
    }

    /// The history that the stream's offsets belong to, if there is one that other servers can go on from.
    pub fn set_history(&mut self, replid: Option<&str>) {
        if self.history.as_deref() != replid {
            self.history = replid.map(str::to_owned);
            if matches!(self.mark, Mark::At(_)) {
                self.mark = Mark::Former;
            }
        }
    }

    /// Has the log say where in the stream it ends, and that what may follow isn't of the stream. `db`: what the stream has selected.
    /// Not within a unit.
    pub fn end_log_history(&mut self, db: u32) {
        debug_assert_eq!(self.unit, 0);
        if self.history.is_some() && self.backlog.has_logs() {
            self.mark = Mark::Start;
            self.mark_stream(db);
        }
        if self.mark != Mark::Start {
            self.backlog.insert_for_logs(history::END);
            self.mark = Mark::Ended;
        }
    }

    /// The stream becomes another one, which is at this offset: what was kept is of no use, and readers go on there.
    pub fn restart_at(&mut self, offset: u64) {
        debug_assert_eq!(self.unit, 0);
        self.selected = None;
        self.backlog.restart_at(offset);
    }

    /// The database that a reader of everything so far has selected, if it is known.
    pub fn selected(&self) -> Option<u32> {
        self.selected
    }

    /// A replica that goes on at `offset`, where it stopped; an error if that is not kept any more.
    pub fn attach_at(&mut self, offset: u64) -> Result<ReaderId, FellBehind> {
        self.backlog.attach_at(offset)
    }

    /// Keeps so many of the newest bytes for replicas that come back (`None`: no more). Not within a unit.
    pub fn retain(&mut self, bytes: Option<u64>) {
        debug_assert_eq!(self.unit, 0);
        self.backlog.retain(bytes);
    }

    /// The primary's own bytes, as they came: a replica passes them on. `for_all`: they change the data set; otherwise no log gets
    /// them. `before` and `after`: the database that the primary's stream has selected. Not within a unit.
    pub fn append_raw(&mut self, bytes: &[u8], for_all: bool, (before, after): (u32, u32)) {
        debug_assert_eq!(self.unit, 0);
        if !for_all {
            return self.backlog.append_for_replicas(bytes);
        }
        if self.selected != Some(before) {
            self.select(before);
        }
        self.mark_and_append(before, bytes);
        self.selected = Some(after);
    }

    /// A transaction of the primary, as it came; `blank`: where in it there are empty lines, which no log must have. Otherwise as
    /// [`Self::append_raw`].
    pub fn append_raw_unit(&mut self, bytes: &[u8], blank: &[Range<usize>], (before, after): (u32, u32)) {
        let mut from = 0;
        for range in blank {
            if range.start > from {
                self.append_raw(&bytes[from..range.start], true, (before, before));
            }
            self.append_raw(&bytes[range.clone()], false, (before, before));
            from = range.end;
        }
        self.append_raw(&bytes[from..], true, (before, after));
    }

    /// A consumer leaves. If it is the last, the running unit ends without it.
    pub fn detach(&mut self, reader: ReaderId) {
        self.backlog.detach(reader);
        if !self.has_consumers() {
            self.unit = 0;
            self.first = Vec::new();
        }
    }

    /// For consumers: where they stand, what they read.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// For consumers: to consume.
    pub fn backlog_mut(&mut self) -> &mut Backlog {
        &mut self.backlog
    }

    /// Whether the running unit has requests, so that [`Self::end_unit`] is due.
    #[inline]
    pub fn in_unit(&self) -> bool {
        self.unit > 0
    }

    /// Adds `count` requests of a database to the running unit; `frames` are their bytes.
    pub fn push(&mut self, target: Target, db: u32, count: u64, frames: &[u8]) {
        if count == 0 || !self.has_target(target) {
            return;
        }
        let before = self.unit;
        self.unit += count;
        if self.unit <= 1 {
            self.first.extend_from_slice(frames);
            (self.first_db, self.first_target) = (db, target);
            return;
        }
        if before <= 1 {
            self.put(MULTI);
        }
        if before == 1 {
            self.append_first();
        }
        self.append(target, db, frames);
    }

    /// Whether there is a reader for what goes to this target.
    fn has_target(&self, target: Target) -> bool {
        match target {
            Target::All => true,
            Target::Replicas | Target::ReplicasAlone => self.backlog.has_replicas() && !self.follows,
            Target::LogsAlone => self.backlog.has_logs(),
        }
    }

    /// A unit that is this one request.
    #[inline]
    pub fn push_unit(&mut self, target: Target, db: u32, frame: &[u8]) {
        debug_assert_eq!(self.unit, 0);
        self.append(target, db, frame);
    }

    /// Ends the running unit.
    pub fn end_unit(&mut self) {
        match std::mem::take(&mut self.unit) {
            0 => {}
            1 => self.append_first(),
            _ => self.put(EXEC),
        }
    }

    fn append_first(&mut self) {
        let mut first = std::mem::take(&mut self.first);
        self.append(self.first_target, self.first_db, &first);
        first.clear();
        first.shrink_to(KEPT);
        self.first = first;
    }

    #[inline]
    fn append(&mut self, target: Target, db: u32, frames: &[u8]) {
        if target != Target::All {
            return self.append_for_some(target, db, frames);
        }
        if self.selected != Some(db) {
            self.select(db);
        }
        self.put(frames);
    }

    /// Adds what this server itself propagates.
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if self.follows {
            self.put_own(bytes);
        } else if self.history.is_some() || self.mark != Mark::Start {
            self.mark_and_append(self.selected.unwrap_or(0), bytes);
        } else {
            self.backlog.append(bytes);
        }
    }

    /// Adds bytes of the stream, and has the log say where they lie. `db`: what the stream has selected before them.
    fn mark_and_append(&mut self, db: u32, bytes: &[u8]) {
        if self.backlog.has_logs() {
            self.mark_stream(db);
        }
        self.backlog.append(bytes);
        if let Mark::At(offset) = &mut self.mark {
            *offset = self.backlog.end();
        }
    }

    /// Has the log say where in the stream what follows lies, if that isn't clear.
    fn mark_stream(&mut self, db: u32) {
        let end = self.backlog.end();
        let line = match (&self.history, self.mark) {
            (Some(_), Mark::At(offset)) if offset == end => return,
            (Some(_), Mark::At(offset)) => history::gap(end - offset),
            (Some(replid), _) => history::place(replid, end, db),
            (None, Mark::Start | Mark::Ended) => return,
            (None, _) => history::END.to_vec(),
        };
        self.mark = if self.history.is_some() { Mark::At(end) } else { Mark::Ended };
        self.backlog.insert_for_logs(&line);
    }

    /// What a client of a replica writes isn't of the stream.
    #[cold]
    fn put_own(&mut self, bytes: &[u8]) {
        match (&self.history, self.mark) {
            (Some(_), Mark::Own) | (None, Mark::Start | Mark::Ended) => {}
            (Some(_), _) => {
                self.mark = Mark::Own;
                self.backlog.insert_for_logs(history::OWN);
            }
            (None, _) => {
                self.mark = Mark::Ended;
                self.backlog.insert_for_logs(history::END);
            }
        }
        self.backlog.insert_for_logs(bytes);
    }

    #[cold]
    fn append_for_some(&mut self, target: Target, db: u32, frames: &[u8]) {
        if !self.has_target(target) {
            return;
        }
        let is_selected = self.selected == Some(db);
        match target {
            Target::LogsAlone => {
                if !is_selected {
                    self.put_own(&select_frame(db));
                    self.selected = None;
                }
                self.put_own(frames);
            }
            Target::All | Target::ReplicasAlone if !is_selected => {
                self.select(db);
                self.backlog.append_for_replicas(frames);
            }
            // What is of no database needs no SELECT.
            Target::All | Target::ReplicasAlone | Target::Replicas => {
                self.backlog.append_for_replicas(frames)
            }
        }
    }

    #[cold]
    fn select(&mut self, db: u32) {
        self.selected = Some(db);
        self.put(&select_frame(db));
    }
}

fn select_frame(db: u32) -> Vec<u8> {
    let mut frame = Vec::with_capacity(32);
    encode(&mut frame, [b"SELECT".as_slice(), itoa::Buffer::new().format(db).as_bytes()].into_iter());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        encode(&mut frame, text.split(' '));
        frame
    }

    /// What a reader gets, requests on a line each.
    fn read(stream: &mut CommandStream, reader: ReaderId) -> String {
        let bytes = stream.backlog().read(reader).expect("all is kept").to_vec();
        stream.backlog_mut().consume(reader, bytes.len());
        let text = String::from_utf8(bytes).expect("text");
        let words = text.split("\r\n").filter(|word| !word.is_empty() && !word.starts_with('$'));
        let words: Vec<&str> = words.map(|word| if word.starts_with('*') { ";" } else { word }).collect();
        words.join(" ").trim_start_matches("; ").replace(" ; ", "; ")
    }

    #[test]
    fn transactions_only_where_there_are_several() {
        let mut stream = CommandStream::default();
        let reader = stream.attach(ReaderKind::Replica);
        stream.push(Target::All, 0, 1, &frame("SET a 1"));
        stream.end_unit();
        assert_eq!(read(&mut stream, reader), "SELECT 0; SET a 1");
        stream.push(Target::All, 0, 1, &frame("SET a 2"));
        stream.push(Target::All, 1, 1, &frame("SET b 1"));
        stream.push(Target::All, 1, 1, &frame("SET c 1"));
        stream.end_unit();
        assert_eq!(read(&mut stream, reader), "MULTI; SET a 2; SELECT 1; SET b 1; SET c 1; EXEC");
        let two = [frame("DEL a"), frame("DEL b")].concat();
        stream.push(Target::All, 1, 2, &two);
        stream.push(Target::All, 0, 1, &frame("DEL c"));
        stream.end_unit();
        assert_eq!(read(&mut stream, reader), "MULTI; DEL a; DEL b; SELECT 0; DEL c; EXEC");
        stream.end_unit();
        stream.push_unit(Target::All, 0, &frame("DEL x"));
        assert_eq!(read(&mut stream, reader), "DEL x");
    }

    #[test]
    fn a_new_reader_is_told_the_database() {
        let mut stream = CommandStream::default();
        assert!(!stream.has_consumers());
        let one = stream.attach(ReaderKind::Replica);
        stream.push_unit(Target::All, 3, &frame("SET a 1"));
        let other = stream.attach(ReaderKind::Replica);
        stream.push_unit(Target::All, 3, &frame("SET a 2"));
        assert_eq!(read(&mut stream, other), "SELECT 3; SET a 2");
        assert_eq!(read(&mut stream, one), "SELECT 3; SET a 1; SELECT 3; SET a 2");
    }

    #[test]
    fn messages_are_for_replicas() {
        let mut stream = CommandStream::default();
        let log = stream.attach(ReaderKind::Log);
        // Without a replica a message is in no unit.
        stream.push_unit(Target::Replicas, 0, &frame("PUBLISH c 0"));
        stream.push(Target::Replicas, 0, 1, &frame("PUBLISH c 1"));
        stream.push(Target::All, 0, 1, &frame("SET a 1"));
        stream.end_unit();
        assert_eq!(read(&mut stream, log), "SELECT 0; SET a 1");
        let replica = stream.attach(ReaderKind::Replica);
        stream.push(Target::Replicas, 0, 1, &frame("PUBLISH c 2"));
        stream.push(Target::All, 0, 1, &frame("SET a 2"));
        stream.end_unit();
        stream.push_unit(Target::Replicas, 0, &frame("PUBLISH c 3"));
        assert_eq!(read(&mut stream, replica), "MULTI; PUBLISH c 2; SELECT 0; SET a 2; EXEC; PUBLISH c 3");
        let mut logged = String::new();
        while let piece = read(&mut stream, log)
            && !piece.is_empty()
        {
            logged = [logged, piece].join("; ");
        }
        assert_eq!(logged, "; MULTI; SELECT 0; SET a 2; EXEC");
    }

    /// What a log gets, requests and lines each on a line.
    fn logged(stream: &mut CommandStream, log: ReaderId, from: &mut u64) -> String {
        let (mut bytes, to) = (Vec::new(), stream.backlog().log_end());
        while *from < to {
            match stream.backlog().log_piece(log, *from, to).expect("all is kept") {
                LogPiece::Inserted(piece) => {
                    bytes.extend_from_slice(piece);
                    *from += piece.len() as u64;
                }
                LogPiece::Stream { offset, start, bytes: piece } => {
                    bytes.extend_from_slice(piece);
                    *from += start - offset + piece.len() as u64;
                }
            }
        }
        stream.backlog_mut().consume_log(log, to);
        let text = String::from_utf8(bytes).expect("text");
        let words = text.split("\r\n").filter(|word| !word.is_empty() && !word.starts_with('$'));
        let words: Vec<&str> = words.map(|word| if word.starts_with('*') { ";" } else { word }).collect();
        words.join(" ").trim_start_matches("; ").replace(" ; ", "; ").replace(" #", "; #")
    }

    #[test]
    fn a_log_is_told_where_in_the_stream_it_is() {
        let mut stream = CommandStream::default();
        let (log, replica) = (stream.attach(ReaderKind::Log), stream.attach(ReaderKind::Replica));
        let mut from = 0;
        // Without a history there is nothing to tell.
        stream.push_unit(Target::All, 0, &frame("SET a 0"));
        assert_eq!(logged(&mut stream, log, &mut from), "SELECT 0; SET a 0");
        let id = "a".repeat(40);
        stream.set_history(Some(&id));
        stream.push_unit(Target::All, 0, &frame("SET a 1"));
        stream.push_unit(Target::Replicas, 0, &frame("PING"));
        stream.push(Target::All, 0, 1, &frame("SET a 2"));
        stream.push(Target::Replicas, 0, 1, &frame("PUBLISH c 1"));
        stream.push(Target::All, 1, 1, &frame("SET a 3"));
        stream.end_unit();
        let text = format!(
            "#REPL:{id}:50:0; SET a 1; #REPL-GAP:14; MULTI; SET a 2; #REPL-GAP:31; SELECT 1; SET a 3; EXEC"
        );
        assert_eq!(logged(&mut stream, log, &mut from), text);
        stream.set_history(None);
        stream.push_unit(Target::All, 1, &frame("SET a 4"));
        stream.push_unit(Target::All, 1, &frame("SET a 5"));
        assert_eq!(logged(&mut stream, log, &mut from), "#REPL-END; SET a 4; SET a 5");
        let end = stream.backlog().end();
        stream.set_history(Some(&id));
        stream.end_log_history(1);
        assert_eq!(logged(&mut stream, log, &mut from), format!("#REPL:{id}:{end}:1; #REPL-END"));
        assert!(!read(&mut stream, replica).contains('#'));
    }

    #[test]
    fn what_follows_in_a_loaded_log_is_not_taken_for_what_was_loaded() {
        let mut stream = CommandStream::default();
        let (log, mut from) = (stream.attach(ReaderKind::Log), 0);
        stream.set_history(Some(&"a".repeat(40)));
        stream.continue_log();
        // A replica that has been told to be a primary, without replicas.
        stream.set_history(None);
        stream.push_unit(Target::All, 0, &frame("SET a 1"));
        assert_eq!(logged(&mut stream, log, &mut from), "#REPL-END; SELECT 0; SET a 1");
    }

    #[test]
    fn what_is_written_at_a_replica_is_for_its_log() {
        let mut stream = CommandStream::default();
        let (log, replica) = (stream.attach(ReaderKind::Log), stream.attach(ReaderKind::Replica));
        let (id, mut from) = ("a".repeat(40), 0);
        stream.set_following(true);
        stream.set_history(Some(&id));
        stream.append_raw(&frame("SET a 1"), true, (2, 2));
        stream.append_raw(&frame("PING"), false, (2, 2));
        // Where something is inserted, two ranges for replicas touch.
        stream.push(Target::All, 0, 1, &frame("SET own 1"));
        stream.push(Target::Replicas, 0, 1, &frame("PUBLISH c 1"));
        stream.push(Target::All, 2, 1, &frame("SET own 2"));
        stream.end_unit();
        stream.append_raw(&frame("PING"), false, (2, 2));
        stream.push_unit(Target::All, 2, &frame("SET own 3"));
        stream.append_raw(&frame("SELECT 0"), true, (2, 0));
        stream.append_raw(&frame("SET a 2"), true, (0, 0));
        let own = "#REPL-OWN; MULTI; SELECT 0; SET own 1; SELECT 2; SET own 2; EXEC; SET own 3";
        assert_eq!(
            logged(&mut stream, log, &mut from),
            format!(
                "#REPL-OWN; SELECT 2; #REPL:{id}:0:2; SET a 1; {own}; #REPL:{id}:55:2; SELECT 0; SET a 2"
            )
        );
        assert_eq!(read(&mut stream, replica), "SET a 1; PING; PING; SELECT 0; SET a 2");
        assert_eq!(stream.backlog().end(), 105);
    }

    #[test]
    fn a_script_chooses_who_gets_its_writes() {
        let mut stream = CommandStream::default();
        let log = stream.attach(ReaderKind::Log);
        stream.push(Target::ReplicasAlone, 0, 1, &frame("SET a 0"));
        stream.end_unit();
        let replica = stream.attach(ReaderKind::Replica);
        stream.push(Target::All, 3, 1, &frame("SET a 1"));
        stream.push(Target::LogsAlone, 3, 1, &frame("SET b 2"));
        stream.push(Target::ReplicasAlone, 3, 1, &frame("SET c 3"));
        stream.push(Target::LogsAlone, 4, 1, &frame("SET d 4"));
        stream.push(Target::All, 3, 1, &frame("SET e 5"));
        stream.end_unit();
        stream.push(Target::ReplicasAlone, 5, 1, &frame("SET f 6"));
        stream.end_unit();
        assert_eq!(
            read(&mut stream, replica),
            "MULTI; SELECT 3; SET a 1; SET c 3; SELECT 3; SET e 5; EXEC; SELECT 5; SET f 6"
        );
        assert_eq!(
            logged(&mut stream, log, &mut 0),
            "MULTI; SELECT 3; SET a 1; SET b 2; SELECT 4; SET d 4; SELECT 3; SET e 5; EXEC; SELECT 5"
        );
    }

    #[test]
    fn no_request_is_no_part_of_a_unit() {
        let mut stream = CommandStream::default();
        let reader = stream.attach(ReaderKind::Log);
        stream.push(Target::All, 1, 1, &frame("SET a 1"));
        stream.push(Target::All, 2, 0, b"");
        stream.end_unit();
        assert_eq!(read(&mut stream, reader), "SELECT 1; SET a 1");
    }

    #[test]
    fn the_last_reader_leaves_within_a_unit() {
        let mut stream = CommandStream::default();
        let reader = stream.attach(ReaderKind::Log);
        stream.push(Target::All, 0, 1, &frame("SET a 1"));
        stream.detach(reader);
        stream.end_unit();
        assert_eq!(stream.backlog().end(), 0);
        let reader = stream.attach(ReaderKind::Log);
        stream.push(Target::All, 0, 1, &frame("SET a 2"));
        stream.end_unit();
        assert_eq!(read(&mut stream, reader), "SELECT 0; SET a 2");
    }
}
