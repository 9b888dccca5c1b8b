//! History of a log: where in which replication stream its data is, by lines between the commands, so that a server that has loaded it
//! goes on as a replica, or lets replicas go on, without a full synchronization.
//!
//! ```text
//! #REPL:<replid>:<offset>:<db>    what follows is of that history's stream, from the offset on; the stream has selected the database
//! #REPL-GAP:<bytes>               so many bytes of the stream, which change no data, are left out
//! #REPL-OWN                       what follows is of a replica's own clients, until the next #REPL
//! #REPL-END                       what may follow is of no history
//! ```
//!
//! They are annotations as `#TS`: Redis and Valkey read over them. A log of which none was written has a history only as far as its base
//! says so, and nothing follows that. What another program appends behind `#REPL-END` makes the history unknown.

use super::ids::REPLID_LEN;

pub const OWN: &[u8] = b"#REPL-OWN\r\n";
pub const END: &[u8] = b"#REPL-END\r\n";

/// The largest offset that a file's history may have reached, as Redis counts: what is beyond is damaged, and leaves no room for more.
pub const MAX_OFFSET: u64 = i64::MAX as u64;

/// The line in front of the stream's bytes from an offset on.
pub fn place(replid: &str, offset: u64, db: u32) -> Vec<u8> {
    format!("#REPL:{replid}:{offset}:{db}\r\n").into_bytes()
}

/// The line in the place of bytes that no log needs.
pub fn gap(bytes: u64) -> Vec<u8> {
    format!("#REPL-GAP:{bytes}\r\n").into_bytes()
}

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub replid: String,
    /// Bytes of the stream that the data has.
    pub offset: u64,
    /// What the stream has selected there.
    pub db: u32,
}

/// What a log's commands are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Stream,
    Own,
    Unknown,
}

/// Follows the lines and the commands of a log that is being loaded.
#[derive(Clone, Debug)]
pub struct HistoryTracker {
    origin: Origin,
    /// Where the next command begins.
    next: Option<Place>,
    /// Where the data is, behind the last whole transaction.
    reached: Option<Place>,
}

impl HistoryTracker {
    /// Begins with what the base says of itself.
    pub fn new(base: Option<Place>) -> Self {
        let base = base.filter(|place| place.replid.len() == REPLID_LEN);
        HistoryTracker { origin: Origin::Unknown, next: base.clone(), reached: base }
    }

    /// Another file of the log begins: what it has is of a history if a line of its own says so.
    pub fn next_file(&mut self) {
        self.origin = Origin::Unknown;
    }

    /// An annotation, without `#` and its end; `is_open`: within a transaction.
    pub fn annotation(&mut self, text: &[u8], is_open: bool) {
        let Some(rest) = text.strip_prefix(b"REPL") else { return };
        match rest {
            b"-OWN" => self.origin = Origin::Own,
            b"-END" => self.origin = Origin::Unknown,
            _ => {
                let gap = rest.strip_prefix(b"-GAP:").map(parse_number);
                self.next = match gap {
                    Some(gap) => self.moved(gap),
                    None => rest.strip_prefix(b":").and_then(parse_place),
                };
                self.origin = if self.next.is_some() { Origin::Stream } else { Origin::Unknown };
            }
        }
        if !is_open {
            self.reached = self.next.clone();
        }
    }

    /// A command of so many bytes was executed. `is_open`: it doesn't end a transaction; `db`: what is selected now.
    pub fn command(&mut self, bytes: u64, is_open: bool, db: u32) {
        match (self.origin, &mut self.next) {
            (Origin::Stream, Some(next)) => match next.offset.checked_add(bytes) {
                Some(offset) => {
                    next.offset = offset;
                    next.db = db;
                }
                None => self.next = None,
            },
            (Origin::Own, _) => return,
            _ => self.next = None,
        }
        if !is_open {
            self.reached = self.next.clone();
        }
    }

    fn moved(&self, bytes: Option<u64>) -> Option<Place> {
        let place = self.next.as_ref().filter(|_| self.origin == Origin::Stream)?;
        Some(Place { offset: place.offset.checked_add(bytes?)?, ..place.clone() })
    }

    /// The end of the log, or of what is whole of it: where the data is, if that is known.
    pub fn finish(self) -> Option<Place> {
        self.reached.filter(|place| place.offset <= MAX_OFFSET)
    }
}

fn parse_number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

fn parse_place(text: &[u8]) -> Option<Place> {
    let mut words = text.split(|byte| *byte == b':');
    let (replid, offset, db) = (words.next()?, words.next()?, words.next()?);
    let is_id = replid.len() == REPLID_LEN && replid.iter().all(u8::is_ascii_alphanumeric);
    let replid = String::from_utf8(replid.to_vec()).ok().filter(|_| is_id && words.next().is_none())?;
    let db = u32::try_from(parse_number(db)?).ok()?;
    Some(Place { replid, offset: parse_number(offset)?, db })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(replid: char, offset: u64, db: u32) -> Option<Place> {
        Some(Place { replid: replid.to_string().repeat(REPLID_LEN), offset, db })
    }

    fn line(bytes: &[u8]) -> &[u8] {
        bytes.strip_prefix(b"#").and_then(|line| line.strip_suffix(b"\r\n")).expect("a line")
    }

    #[test]
    fn lines_and_commands_tell_the_place() {
        let mut log = HistoryTracker::new(at('a', 10, 2));
        assert_eq!(log.clone().finish(), at('a', 10, 2), "nothing has followed the base");
        // A replica's own clients don't move it.
        log.annotation(line(OWN), false);
        log.command(30, false, 7);
        assert_eq!(log.clone().finish(), at('a', 10, 2));
        log.annotation(line(&place(&"b".repeat(REPLID_LEN), 100, 3)), false);
        log.annotation(b"TS:1", false);
        log.command(20, false, 4);
        log.annotation(line(&gap(14)), false);
        assert_eq!(log.clone().finish(), at('b', 134, 4));
        // A transaction counts with its end.
        log.command(15, true, 4);
        log.annotation(line(&gap(6)), true);
        log.command(20, true, 4);
        assert_eq!(log.clone().finish(), at('b', 134, 4));
        log.command(14, false, 5);
        log.annotation(line(END), false);
        assert_eq!(log.clone().finish(), at('b', 189, 5));
        // Another program has gone on.
        log.command(1, false, 5);
        assert_eq!(log.finish(), None);
    }

    #[test]
    fn a_file_says_itself_what_it_is_of() {
        let mut log = HistoryTracker::new(None);
        let text = place(&"a".repeat(REPLID_LEN), 100, 3);
        log.annotation(line(&text), false);
        log.command(20, false, 3);
        log.next_file();
        assert_eq!(log.clone().finish(), at('a', 120, 3), "as long as nothing follows");
        log.command(20, false, 3);
        assert_eq!(log.clone().finish(), None);
        log.annotation(line(&text), false);
        log.command(20, false, 3);
        assert_eq!(log.finish(), at('a', 120, 3));
    }

    #[test]
    fn what_is_not_said_is_not_known() {
        let mut without = HistoryTracker::new(at('a', 10, 0));
        without.command(20, false, 0);
        assert_eq!(without.finish(), None);
        for text in [
            "REPL:short:1:0",
            "REPL:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:-1:0",
            "REPL:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:+1:0",
            "REPL:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1:4294967296",
            "REPL:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:9223372036854775808:0",
            "REPL-GAP:9223372036854775807",
            "REPL:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1:0:0",
            "REPL:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1",
            "REPL-GAP:18446744073709551615",
            "REPL-GAP:",
            "REPLACED",
        ] {
            let mut log = HistoryTracker::new(None);
            log.annotation(line(&place(&"a".repeat(REPLID_LEN), 1, 0)), false);
            log.annotation(text.as_bytes(), false);
            assert_eq!(log.finish(), None, "{text}");
        }
        // Of a gap without a stream.
        let mut log = HistoryTracker::new(at('a', 10, 0));
        log.annotation(line(&gap(5)), false);
        assert_eq!(log.finish(), None);
    }
}
