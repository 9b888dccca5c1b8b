//! The reader of AOF files: bytes in, commands with their offsets out.
//!
//! ```text
//! #TS:1628217470\r\n              an annotation
//! *3\r\n$3\r\nSET\r\n…            a command, as a client would send it
//! *1\r\n$5\r\nMULTI\r\n … EXEC    a transaction, whole or not at all
//! ```
//!
//! What the file is cut off to when it ends or errs in the middle is [`AofReader::valid_up_to`]: the end of the last
//! whole command, or the MULTI of a transaction that isn't whole. A length in the file allocates nothing: the buffer grows
//! by what was read, and twice at a time, so that a long command is moved a bounded number of times.

use crate::resp::parser::{ParseLimits, Parsed, Progress, parse, parse_fast};
use crate::resp::{Args, Span};

/// Bytes that are asked for at once.
const READ_SIZE: usize = 256 * 1024;
/// Longest annotation, its end included, in bytes.
const MAX_ANNOTATION: usize = 1024;
/// A file's own lengths bound nothing; this one only keeps sums from overflowing.
const LIMITS: ParseLimits = ParseLimits { max_bulk: i64::MAX as u64 / 2, authenticated: true };

/// Whether a file that begins with these bytes (eight or more, if it has so many) begins with an RDB file: that of Redis or of Valkey.
pub fn begins_with_rdb(bytes: &[u8]) -> bool {
    let version = bytes.strip_prefix(b"REDIS").or_else(|| bytes.strip_prefix(b"VALKEY"));
    version.is_some_and(|version| version.len() >= 3 && version[..3].iter().all(u8::is_ascii_digit))
}

/// What the reader found.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// Nothing whole: the reader wants more bytes.
    More,
    Command(Args<'a>),
    /// The line of an annotation, without `#` and its end.
    Annotation(&'a [u8]),
    /// The end of the file, behind a whole command.
    End,
}

/// How a file is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends within a command.
    Truncated,
    /// It ends behind a command, but within a transaction.
    OpenTransaction,
    /// Bytes that are neither a command nor an annotation.
    Format,
}

/// A file that can't be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AofError {
    pub fault: Fault,
    /// Offset of the bytes at fault.
    pub offset: u64,
    /// What lies before this offset is sound.
    pub valid_up_to: u64,
    pub reason: String,
}

/// See the module's description.
#[derive(Debug)]
pub struct AofReader {
    /// Its length is what is allocated; `start..end` are the bytes not yet consumed.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the file of the byte at `start`.
    offset: u64,
    /// Where the current command stands, while it isn't whole.
    progress: Progress,
    /// The words of the command returned last, or of the one in progress.
    spans: Vec<Span>,
    /// Offset of the MULTI of the transaction that is open.
    transaction: Option<u64>,
    /// There are no more bytes.
    ended: bool,
}

impl AofReader {
    /// Reads a file whose commands begin at `offset`: 0, or the end of the RDB file that it begins with.
    pub fn new(offset: u64) -> Self {
        AofReader {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset,
            progress: Progress::default(),
            spans: Vec::new(),
            transaction: None,
            ended: false,
        }
    }

    /// Where the next bytes of the file are to be put; then [`AofReader::filled`] says how many they were.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end < READ_SIZE {
            let rest = self.start..self.end;
            if self.start > 0 && self.start >= self.buffer.len() / 2 {
                self.buffer.copy_within(rest.clone(), 0);
            } else {
                let mut doubled = vec![0; (self.buffer.len() * 2).max(2 * READ_SIZE)];
                doubled[..rest.len()].copy_from_slice(&self.buffer[rest.clone()]);
                self.buffer = doubled;
            }
            (self.start, self.end) = (0, rest.len());
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were put into the space; 0 is the end of the file.
    pub fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
        self.ended |= bytes == 0;
    }

    /// Adds bytes of the file that are there already.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = bytes.len().min(space.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// Bytes that are there and not consumed: after an error, what it is about.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Offset behind the item returned last.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What lies before this offset is sound: whole commands, whole transactions.
    pub fn valid_up_to(&self) -> u64 {
        self.transaction.unwrap_or(self.offset)
    }

    /// Whether the commands returned next belong to a transaction.
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// The next item. After an error, or the end, it is the same again.
    #[inline]
    pub fn next_item(&mut self) -> Result<Item<'_>, AofError> {
        if self.progress.parsed() == 0 {
            self.spans.clear();
            if let Some(len) = parse_fast(&self.buffer[self.start..self.end], &mut self.spans) {
                return Ok(Item::Command(self.take_command(len)));
            }
        }
        self.next_slowly()
    }

    fn take_command(&mut self, len: usize) -> Args<'_> {
        let at = self.offset;
        let frame = self.start..self.start + len;
        self.start += len;
        self.offset += len as u64;
        let args = Args::new(&self.buffer[frame], &self.spans);
        let name = args.get(0).unwrap_or_default();
        // The lengths tell almost every other command.
        if name.len() == 5 && name.eq_ignore_ascii_case(b"MULTI") {
            self.transaction.get_or_insert(at);
        } else if self.transaction.is_some()
            && (name.eq_ignore_ascii_case(b"EXEC") || name.eq_ignore_ascii_case(b"DISCARD"))
        {
            self.transaction = None;
        }
        args
    }

    #[cold]
    fn next_slowly(&mut self) -> Result<Item<'_>, AofError> {
        let rest = &self.buffer[self.start..self.end];
        match rest.first() {
            Some(b'*') => {}
            Some(b'#') => return self.next_annotation(),
            Some(byte) => {
                let reason = format!("expected a command, got '{}'", byte.escape_ascii());
                return Err(self.error(Fault::Format, reason));
            }
            None if !self.ended => return Ok(Item::More),
            None if self.transaction.is_some() => {
                let reason = "the end of the file before the EXEC of a MULTI".to_string();
                return Err(self.error(Fault::OpenTransaction, reason));
            }
            None => return Ok(Item::End),
        }
        match parse(rest, &mut self.progress, &mut self.spans, LIMITS) {
            Ok(Parsed::Frame { end }) if !self.spans.is_empty() => {
                return Ok(Item::Command(self.take_command(end)));
            }
            Ok(Parsed::Incomplete) if !self.ended => return Ok(Item::More),
            Ok(Parsed::Incomplete) if is_header_cut_off(&rest[self.progress.parsed()..], self.progress) => {
                let reason = "the end of the file within a command".to_string();
                return Err(self.error(Fault::Truncated, reason));
            }
            Ok(Parsed::Incomplete) => {}
            Ok(_) => return Err(self.error(Fault::Format, "a command without words".to_string())),
            Err(error) => {
                let text = error.to_string();
                let reason = text.strip_prefix("ERR Protocol error: ").unwrap_or(&text).to_string();
                return Err(self.error(Fault::Format, reason));
            }
        }
        Err(self.error(Fault::Format, "the length of a word isn't a number".to_string()))
    }

    fn next_annotation(&mut self) -> Result<Item<'_>, AofError> {
        let rest = &self.buffer[self.start..self.end];
        let line = &rest[..rest.len().min(MAX_ANNOTATION)];
        match memchr::memchr(b'\n', line) {
            Some(newline) => {
                let text = self.start + 1..self.start + newline;
                self.start += newline + 1;
                self.offset += newline as u64 + 1;
                let text = &self.buffer[text];
                Ok(Item::Annotation(text.strip_suffix(b"\r").unwrap_or(text)))
            }
            None if line.len() == MAX_ANNOTATION => {
                Err(self.error(Fault::Format, "an annotation too long".to_string()))
            }
            None if self.ended => {
                Err(self.error(Fault::Truncated, "the end of the file within an annotation".to_string()))
            }
            None => Ok(Item::More),
        }
    }

    fn error(&self, fault: Fault, reason: String) -> AofError {
        let offset = self.offset + self.progress.parsed() as u64;
        AofError { fault, offset, valid_up_to: self.valid_up_to(), reason }
    }
}

/// Whether the rest of a command at the end of a file is the beginning of what belongs there: of a word's bytes, or of
/// the line before them.
fn is_header_cut_off(rest: &[u8], progress: Progress) -> bool {
    let Some((sign, digits)) = rest.split_first().filter(|_| progress.missing(0) == 0) else { return true };
    let expected = if progress.parsed() == 0 { b'*' } else { b'$' };
    let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
    *sign == expected && digits.iter().all(u8::is_ascii_digit)
}

/// The fuzz entry: reads `data` whole, and in pieces that begin at `split`; both must agree, neither may panic or hold
/// more than a small multiple of the file.
pub fn fuzz_reader(data: &[u8], split: usize) {
    let read = |pieces: &[&[u8]]| {
        let mut reader = AofReader::new(0);
        let (mut items, mut pieces) = (Vec::new(), pieces.iter());
        let end = loop {
            match reader.next_item() {
                Ok(Item::More) => match pieces.next() {
                    Some(piece) => reader.feed(piece),
                    None => reader.filled(0),
                },
                Ok(Item::Command(args)) => items.push(args.iter().collect::<Vec<_>>().concat()),
                Ok(Item::Annotation(text)) => items.push(text.to_vec()),
                Ok(Item::End) => break None,
                Err(error) => break Some(error),
            }
        };
        let valid = reader.valid_up_to();
        assert!(valid <= data.len() as u64 && reader.buffer.len() <= 4 * (data.len() + READ_SIZE));
        (items, end, valid)
    };
    let (first, second) = data.split_at(split.min(data.len()));
    let whole = read(&[data]);
    assert_eq!(whole, read(&[first, second]));
    if let (_, Some(error), valid) = whole {
        assert_eq!(error.valid_up_to, valid);
        assert!((valid..=data.len() as u64).contains(&error.offset));
        // What a recovery leaves is sound.
        assert_eq!(read(&[&data[..valid as usize]]).1, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> String {
        let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        format!("*{}\r\n{words}", words.matches('$').count())
    }

    fn set(key: &str) -> String {
        command(&["SET", key, "hello"])
    }

    /// Reads a text fed in pieces of `piece` bytes: the items as text, and how it ended.
    fn read_in(text: &str, piece: usize) -> (Vec<String>, Option<AofError>) {
        let (mut reader, mut pieces) = (AofReader::new(0), text.as_bytes().chunks(piece));
        let mut items = Vec::new();
        loop {
            let at = reader.offset();
            match reader.next_item() {
                Ok(Item::More) => match pieces.next() {
                    Some(piece) => reader.feed(piece),
                    None => reader.filled(0),
                },
                Ok(Item::Command(args)) => {
                    assert_eq!(args.frame_len(), args.frame().map_or(0, <[u8]>::len));
                    let words: Vec<_> = args.iter().map(String::from_utf8_lossy).collect();
                    items.push(format!("{at} {}", words.join(" ")));
                }
                Ok(Item::Annotation(text)) => items.push(format!("{at} #{}", String::from_utf8_lossy(text))),
                Ok(Item::End) => return (items, None),
                Err(error) => {
                    assert_eq!(reader.next_item().err(), Some(error.clone()), "an error stays");
                    return (items, Some(error));
                }
            }
        }
    }

    fn read(text: &str) -> (Vec<String>, Option<AofError>) {
        let whole = read_in(text, usize::MAX);
        assert_eq!(read_in(text, 1), whole);
        assert_eq!(read_in(text, 7), whole);
        whole
    }

    /// The fault, its offset and the sound part's end.
    fn fault(text: &str) -> (Fault, u64, u64) {
        let error = read(text).1.expect("a fault");
        (error.fault, error.offset, error.valid_up_to)
    }

    #[test]
    fn commands_and_annotations_come_with_their_offsets() {
        let text = format!("#TS:1628217470\r\n{}{}#TS:1\r\n", set("a"), command(&["DEL", "a"]));
        let (items, error) = read(&text);
        assert_eq!(items, ["0 #TS:1628217470", "16 SET a hello", "47 DEL a", "67 #TS:1"]);
        assert_eq!(error, None);
        assert_eq!(read(""), (vec![], None));
        // More words than the fast path takes, and a longer one.
        let long = "x".repeat(300_000);
        let words = ["RPUSH", "l", "1", "2", "3", "4", "5", "6", "7", "8", "", &long];
        let (items, error) = read_in(&command(&words), 4096);
        assert_eq!((items[0].as_str(), error), (format!("0 {}", words.join(" ")).as_str(), None));
    }

    #[test]
    fn a_file_may_begin_in_the_middle_of_another() {
        let mut reader = AofReader::new(100);
        reader.feed(set("a").as_bytes());
        assert!(matches!(reader.next_item(), Ok(Item::Command(_))));
        assert_eq!((reader.offset(), reader.valid_up_to()), (131, 131));
    }

    #[test]
    fn an_end_in_the_middle_is_a_truncated_file() {
        let sound = set("a");
        let valid = sound.len() as u64;
        let next = command(&["APPEND", "key", "12345678901"]);
        for cut in 1..next.len() {
            let (fault, offset, up_to) = fault(&format!("{sound}{}", &next[..cut]));
            assert_eq!((fault, up_to), (Fault::Truncated, valid), "{cut}");
            assert!((valid..valid + cut as u64 + 1).contains(&offset));
        }
        assert_eq!(fault(&format!("{sound}#TS:162")), (Fault::Truncated, valid, valid));
    }

    /// As Redis tells them apart: what can't become a command by more bytes is no truncated file.
    #[test]
    fn other_bytes_are_a_format_error() {
        let sound = set("a");
        let valid = sound.len() as u64;
        let rest = |rest: &str| fault(&format!("{sound}{rest}"));
        for at_once in
            ["!!!", "corruption", "\0\0\0\0", "\r\n", "SET a b\r\n", "*0\r\n", "*-1\r\n", "*x", "*1x\r\n"]
        {
            assert_eq!(rest(at_once), (Fault::Format, valid, valid), "{at_once}");
        }
        assert_eq!(rest(&format!("!!!{sound}")), (Fault::Format, valid, valid));
        // The offset is that of the word, the sound part ends before its command.
        for in_a_word in ["*2\r\n$3\r\nGET\r\n!!!", "*2\r\n$3\r\nGET\r\n$-1\r\n", "*2\r\n$3\r\nGET\r\n$1x"] {
            assert_eq!(rest(in_a_word), (Fault::Format, valid + 13, valid), "{in_a_word}");
        }
        assert_eq!(rest("*1\r\n$3\r\nGETxx*1\r\n"), (Fault::Format, valid + 8, valid), "no line end");
        assert_eq!(rest("*1\r\n$99999999999999999999\r\n"), (Fault::Format, valid + 4, valid));
        let long = format!("#{}\r\n", "x".repeat(MAX_ANNOTATION));
        assert_eq!(rest(&long), (Fault::Format, valid, valid));
    }

    #[test]
    fn lengths_allocate_nothing() {
        let mut reader = AofReader::new(0);
        reader.feed(b"*2147483647\r\n$4000000000000000000\r\nabc");
        assert!(matches!(reader.next_item(), Ok(Item::More)));
        assert_eq!(reader.buffer.len(), 2 * READ_SIZE);
        reader.filled(0);
        assert_eq!(reader.next_item().map(|_| ()).map_err(|error| error.fault), Err(Fault::Truncated));
    }

    #[test]
    fn transactions_are_whole_or_not_at_all() {
        let (multi, exec) = (command(&["multi"]), command(&["EXEC"]));
        let sound = format!("{}{multi}{}{exec}", set("a"), set("b"));
        assert_eq!(read(&sound).1, None);
        let valid = sound.len() as u64;
        let open = format!("{sound}{multi}{}", set("c"));
        assert_eq!(fault(&open), (Fault::OpenTransaction, open.len() as u64, valid));
        assert_eq!(fault(&format!("{open}*1\r\n$4\r\nEX")), (Fault::Truncated, open.len() as u64 + 8, valid));
        assert_eq!(fault(&format!("{open}!!!")), (Fault::Format, open.len() as u64, valid));
        assert_eq!(read(&format!("{open}{}", command(&["discard"]))).1, None);
        // EXEC without MULTI is a command like others.
        assert_eq!(read(&exec).1, None);
    }

    /// A long command that arrives in pieces is moved a bounded number of times.
    #[test]
    fn long_commands_are_read_in_linear_time() {
        let value = vec![b'v'; 8 << 20];
        let header = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len());
        let mut reader = AofReader::new(0);
        reader.feed(set("a").as_bytes());
        reader.feed(header.as_bytes());
        for piece in value.chunks(1000) {
            assert!(!matches!(reader.next_item(), Err(_) | Ok(Item::End)));
            reader.feed(piece);
        }
        reader.feed(b"\r\n");
        match reader.next_item() {
            Ok(Item::Command(args)) => assert_eq!(args.at(2).len(), value.len()),
            other => panic!("{other:?}"),
        }
        assert!(reader.buffer.len() <= 4 * value.len());
    }

    #[test]
    fn an_rdb_file_is_known_by_its_magic() {
        assert!(begins_with_rdb(b"REDIS0011\xfa") && begins_with_rdb(b"VALKEY080\xfa"));
        for other in [&b"REDISxyz"[..], b"REDIS00", b"*3\r\n$3\r\n", b"", b"VALKEY"] {
            assert!(!begins_with_rdb(other));
        }
    }
}
