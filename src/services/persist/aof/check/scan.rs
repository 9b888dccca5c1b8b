//! The commands of an AOF file, read to the end or the first fault.

use std::collections::HashMap;
use std::fmt::Write;
use std::io;

use super::Console;
use crate::base::quoting::printable;
use crate::services::persist::aof::reader::{AofReader, Fault, Item};
use crate::sys::disk::DiskFile;

/// Different names of commands that are counted; the others are counted together.
const MAX_NAMES: usize = 1000;
/// Names of commands in the summary.
const NAMES_TOLD: usize = 8;
/// Longest name of a command that is told, in bytes.
const MAX_NAME: usize = 32;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub struct ScanFault {
    pub offset: u64,
    pub reason: String,
    /// The bytes are no command; otherwise they are one that isn't whole, or out of place.
    pub is_format_error: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Scan {
    /// What lies before this offset is sound.
    pub ok_up_to: u64,
    /// The line where reading ended: of commands and their words, from 1.
    pub line: u64,
    pub fault: Option<ScanFault>,
    /// What lies from here on is newer than the time asked for.
    pub newer_from: Option<u64>,
    /// The check can't go on: an annotation that is to be understood isn't.
    pub invalid_annotation: Option<&'static str>,
    commands: u64,
    transactions: u64,
    names: HashMap<Vec<u8>, u64>,
    first_time: Option<i64>,
    last_time: Option<i64>,
}

/// Whether the scan goes on.
enum Next {
    Item,
    Bytes,
    Done,
}

/// Reads the commands of a file that has `len` bytes. `rest` is the offset where they begin, and the bytes from there on
/// that have been read already. `until` is the Unix time, in seconds, that ends the reading.
pub fn scan(
    file: &mut dyn DiskFile,
    rest: (u64, Vec<u8>),
    len: u64,
    until: Option<i64>,
    console: &mut dyn Console,
) -> io::Result<Scan> {
    let mut reader = AofReader::new(rest.0);
    reader.feed(&rest.1);
    let mut scan = Scan { line: 1, ..Scan::default() };
    loop {
        match scan.step(&mut reader, until) {
            Next::Item => continue,
            Next::Done => return Ok(scan),
            Next::Bytes => {}
        }
        match file.read(reader.space()) {
            Ok(count) => reader.filled(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        console.progress(reader.offset(), len);
    }
}

impl Scan {
    fn step(&mut self, reader: &mut AofReader, until: Option<i64>) -> Next {
        let (offset, is_open) = (reader.offset(), reader.in_transaction());
        self.ok_up_to = reader.valid_up_to();
        match reader.next_item() {
            Ok(Item::More) => return Next::Bytes,
            Ok(Item::End) => return Next::Done,
            Ok(Item::Annotation(text)) => {
                self.line += 1;
                match text.strip_prefix(b"TS:").map(parse_time) {
                    Some(None) if until.is_some() => {
                        self.invalid_annotation = Some("Invalid timestamp annotation");
                        return Next::Done;
                    }
                    Some(Some(time)) if until.is_some_and(|until| time > until) => {
                        self.newer_from = Some(self.ok_up_to);
                        return Next::Done;
                    }
                    Some(Some(time)) => {
                        self.first_time.get_or_insert(time);
                        self.last_time = Some(time);
                    }
                    _ => {}
                }
            }
            Ok(Item::Command(args)) => {
                let name = args.at(0);
                let is_exec = name.eq_ignore_ascii_case(b"EXEC");
                let is_misplaced = if is_open { name.eq_ignore_ascii_case(b"MULTI") } else { is_exec };
                self.line += 1 + 2 * args.len() as u64;
                if is_misplaced {
                    let reason = format!("Unexpected {} in AOF", if is_open { "MULTI" } else { "EXEC" });
                    self.fault = Some(ScanFault { offset, reason, is_format_error: false });
                    return Next::Done;
                }
                self.transactions += u64::from(is_exec);
                self.count(name);
            }
            Err(error) => {
                let read = (error.offset - offset) as usize;
                self.line += memchr::memchr_iter(b'\n', &reader.rest()[..read]).count() as u64;
                let is_format_error = error.fault == Fault::Format;
                self.fault = Some(ScanFault { offset: error.offset, reason: error.reason, is_format_error });
                return Next::Done;
            }
        }
        Next::Item
    }

    fn count(&mut self, name: &[u8]) {
        self.commands += 1;
        // Names come in upper case as a rule; no allocation for one that is known.
        if let Some(count) = self.names.get_mut(name) {
            *count += 1;
        } else if self.names.len() < MAX_NAMES && name.len() <= MAX_NAME {
            self.names.insert(name.to_vec(), 1);
        }
    }

    /// What the file has, for people: lines that begin with `[info]`.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        if self.commands == 0 {
            return text;
        }
        let mut names: HashMap<String, u64> = HashMap::new();
        for (name, count) in &self.names {
            *names.entry(printable(&name.to_ascii_uppercase())).or_default() += count;
        }
        let mut names: Vec<(String, u64)> = names.into_iter().collect();
        names.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then(a.cmp(b)));
        let told = names.iter().take(NAMES_TOLD);
        let mut words: Vec<String> = told.clone().map(|(name, count)| format!("{name} {count}")).collect();
        let others = self.commands - told.map(|(_, count)| count).sum::<u64>();
        if others > 0 {
            words.push(format!("others {others}"));
        }
        // Writing to a String does not fail.
        let _ = writeln!(text, "[info] {} commands read: {}", self.commands, words.join(", "));
        if self.transactions > 0 {
            let _ = writeln!(text, "[info] {} transactions", self.transactions);
        }
        if let (Some(first), Some(last)) = (self.first_time, self.last_time) {
            let _ = writeln!(text, "[info] written from timestamp {first} to {last}");
        }
        text
    }
}

fn parse_time(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
