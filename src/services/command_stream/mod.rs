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

mod backlog;

pub use crate::resp::encode_request as encode;
pub use backlog::{Backlog, FellBehind, ReaderId, ReaderKind};

/// Bytes of buffers that are kept between units.
const KEPT: usize = 64 * 1024;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// Which readers get a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// It changes the data set.
    All,
    /// It doesn't: a log needs it no more once it is over.
    Replicas,
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
        self.backlog.attach(kind)
    }

    /// Begins at this offset, not at 0. Before there are consumers.
    pub fn resume_at(&mut self, offset: u64) {
        self.backlog.resume_at(offset);
    }

    /// The offset behind which another consumer can begin: the next request names its database. Not within a unit.
    pub fn cut(&mut self) -> u64 {
        debug_assert_eq!(self.unit, 0);
        self.selected = None;
        self.backlog.end()
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
    /// them. Not within a unit.
    pub fn append_raw(&mut self, bytes: &[u8], for_all: bool) {
        debug_assert_eq!(self.unit, 0);
        // What it has selected is known to its readers, but not here.
        self.selected = None;
        if for_all {
            self.backlog.append(bytes);
        } else {
            self.backlog.append_for_replicas(bytes);
        }
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
        if count == 0 || target == Target::Replicas && !self.backlog.has_replicas() {
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
            self.backlog.append(MULTI);
        }
        if before == 1 {
            self.append_first();
        }
        self.append(target, db, frames);
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
            _ => self.backlog.append(EXEC),
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
        if target == Target::Replicas {
            return self.append_for_replicas(frames);
        }
        if self.selected != Some(db) {
            self.select(db);
        }
        self.backlog.append(frames);
    }

    /// Without SELECT: what changes no data is of no database.
    #[cold]
    fn append_for_replicas(&mut self, frames: &[u8]) {
        if self.backlog.has_replicas() {
            self.backlog.append_for_replicas(frames);
        }
    }

    #[cold]
    fn select(&mut self, db: u32) {
        self.selected = Some(db);
        let mut frame = Vec::with_capacity(32);
        encode(&mut frame, [b"SELECT".as_slice(), itoa::Buffer::new().format(db).as_bytes()].into_iter());
        self.backlog.append(&frame);
    }
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
