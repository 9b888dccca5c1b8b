//! RDB check (`redis-check-rdb`): reads a file without keeping it, says where it is damaged or that it is not, and what is in it.
//!
//! The lines are those of Redis's tool; behind them comes a summary by type, and the largest keys.

use super::{Checksum, Item, KeyRecord, RdbError, RdbReader, ReadOptions, Reason, Skipped};
use crate::base::quoting::printable;
use crate::structures::table::NewValue;
use crate::value::{Limits, Value};
use std::fmt::Write;
use std::io;

/// Keys that the summary names.
const LARGEST: usize = 5;
const TYPES: [&str; 7] = ["string", "list", "set", "zset", "hash", "stream", "vectorset"];

/// The names of the kinds, by number.
const KINDS: [&str; 27] = [
    "string",
    "list-linked",
    "set-hashtable",
    "zset-v1",
    "hash-hashtable",
    "zset-v2",
    "module-pre-release",
    "module-value",
    "",
    "hash-zipmap",
    "list-ziplist",
    "set-intset",
    "zset-ziplist",
    "hash-ziplist",
    "quicklist",
    "stream",
    "hash-listpack",
    "zset-listpack",
    "quicklist-v2",
    "stream-v2",
    "set-listpack",
    "stream-v3",
    "hash-hashtable-md-pre-release",
    "hash-listpack-md-pre-release",
    "hash-hashtable-md",
    "hash-listpack-md",
    "stream-v4",
];

/// What was found so far.
#[derive(Debug, Default)]
struct Findings {
    now: u64,
    keys: u64,
    deadlines: u64,
    expired: u64,
    field_deadlines: u64,
    /// Keys and bytes in the file, by [`TYPES`].
    types: [(u64, u64); TYPES.len()],
    /// Bytes in the file, type and key, the largest first.
    largest: Vec<(u64, usize, Vec<u8>)>,
}

/// Checks a file that `read` reads (0 bytes: the end), and passes each line to `say`, which knows the place in the file. `now` is in
/// Unix milliseconds. Of a sound file it returns the offset of its end, and what was read of what follows it; an error is one of
/// `read`.
pub fn check(
    name: &str,
    now: u64,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    mut say: impl FnMut(&str),
) -> io::Result<Option<(u64, Vec<u8>)>> {
    let limits = Limits::default();
    let mut found = Findings { now, ..Findings::default() };
    let mut reader = RdbReader::new(ReadOptions { checksum: true, check: true, any_version: false });
    say(&format!("[offset 0] Checking RDB file {name}"));
    loop {
        let start = reader.position();
        let outcome = match reader.next(&limits) {
            Ok(Item::More) => {
                match read(reader.spare())? {
                    0 => reader.end_of_input(),
                    count => reader.filled(count),
                }
                continue;
            }
            Ok(Item::Key(record)) => {
                let (index, key) = found.count(&record);
                let bytes = reader.position() - start;
                found.weigh(index, key, bytes);
                continue;
            }
            Ok(Item::Skipped(Skipped::ModuleValue { .. }) | Item::Empty(_)) => {
                found.keys += 1;
                continue;
            }
            Ok(Item::End(checksum)) => Ok(checksum),
            Ok(item) => {
                if let Some(line) = remark(&item) {
                    say(&format!("[offset {}] {line}", reader.position()));
                }
                continue;
            }
            Err(error) => Err(error),
        };
        let report = match &outcome {
            Ok(checksum) => found.success(*checksum, reader.position()),
            Err(error) => found.failure(error),
        };
        report.lines().for_each(say);
        return Ok(outcome.is_ok().then(|| (reader.position(), reader.rest().to_vec())));
    }
}

/// What is worth a line of its own.
fn remark(item: &Item<'_>) -> Option<String> {
    match item {
        Item::Aux(name, value) => {
            let [name, value] = [name, value].map(|text| String::from_utf8_lossy(text));
            Some(format!("AUX FIELD {name} = '{value}'"))
        }
        Item::SelectDb(db) => Some(format!("Selecting DB ID {db}")),
        Item::Skipped(Skipped::ModuleAux(name)) => Some(format!("MODULE AUX for: {name}")),
        _ => None,
    }
}

impl Findings {
    fn count(&mut self, record: &KeyRecord<'_>) -> (usize, Vec<u8>) {
        self.keys += 1;
        if let Some(deadline) = record.deadline {
            self.deadlines += 1;
            self.expired += u64::from(deadline < self.now);
        }
        let mut index = 0;
        if let NewValue::Object(value) = &record.value {
            index = TYPES.iter().position(|name| *name == value.type_name()).unwrap_or(0);
            self.field_deadlines += u64::from(matches!(&**value, Value::Hash(hash) if hash.has_deadlines()));
        }
        (index, record.key.to_vec())
    }

    fn weigh(&mut self, index: usize, key: Vec<u8>, bytes: u64) {
        self.types[index].0 += 1;
        self.types[index].1 += bytes;
        let is_full = self.largest.len() == LARGEST;
        if is_full && self.largest.last().is_some_and(|least| least.0 >= bytes) {
            return;
        }
        self.largest.truncate(LARGEST - 1);
        let at = self.largest.partition_point(|other| other.0 >= bytes);
        self.largest.insert(at, (bytes, index, key));
    }

    fn counts(&self) -> String {
        let Findings { keys, deadlines, expired, field_deadlines, .. } = self;
        format!(
            "[info] {keys} keys read\n[info] {deadlines} expires\n[info] {expired} already expired\n[info] {field_deadlines} \
             subexpires\n"
        )
    }

    fn success(&self, checksum: Checksum, offset: u64) -> String {
        let checksum = match checksum {
            Checksum::Matches => "Checksum OK",
            Checksum::Absent | Checksum::NotVerified => {
                "RDB file was saved with checksum disabled: no check performed."
            }
        };
        let mut out = format!("[offset {offset}] {checksum}\n[offset {offset}] \\o/ RDB looks OK! \\o/\n");
        out += &self.counts();
        // Writing to a string doesn't fail.
        for (name, (keys, bytes)) in TYPES.iter().zip(self.types).filter(|(_, (keys, _))| *keys > 0) {
            let _ = writeln!(out, "[info] {name:<6} {keys} keys, {bytes} bytes in the file");
        }
        for (bytes, index, key) in &self.largest {
            let _ = writeln!(out, "[info] large: {} '{}', {bytes} bytes", TYPES[*index], printable(key));
        }
        out
    }

    fn failure(&mut self, error: &RdbError) -> String {
        let doing = match error.reason {
            _ if error.key.is_some() => "read-object-value",
            Reason::Signature | Reason::Version(_) => "start",
            Reason::Checksum(..) => "check-sum",
            Reason::FunctionsEarly => "read-functions",
            _ => "read-type",
        };
        let mut out = format!(
            "--- RDB ERROR DETECTED ---\n[offset {}] {}\n[additional info] While doing: {doing}\n",
            error.offset, error.reason
        );
        if let Some((key, kind)) = &error.key {
            self.keys += 1;
            let name = KINDS.get(usize::from(*kind)).unwrap_or(&"unknown");
            let _ = writeln!(out, "[additional info] Reading key '{}'", printable(key));
            let _ = writeln!(out, "[additional info] Reading type {kind} ({name})");
        }
        out + &self.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut file: &[u8]) -> (bool, Vec<String>) {
        let mut lines = Vec::new();
        let read = |room: &mut [u8]| io::Read::read(&mut file, room);
        let sound = check("dump.rdb", 10_000, read, |line| lines.push(line.to_string())).expect("a slice");
        (sound.is_some(), lines)
    }

    #[test]
    fn a_sound_file() {
        let file = b"REDIS0011\xfa\x01a\x01b\xfe\x00\xfd\x05\0\0\0\0\x01k\x01v\x02\x01s\x01\x01m\xff\0\0\0\0\0\0\0\0";
        let expected = [
            "[offset 0] Checking RDB file dump.rdb",
            "[offset 14] AUX FIELD a = 'b'",
            "[offset 16] Selecting DB ID 0",
            "[offset 41] RDB file was saved with checksum disabled: no check performed.",
            "[offset 41] \\o/ RDB looks OK! \\o/",
            "[info] 2 keys read",
            "[info] 1 expires",
            "[info] 1 already expired",
            "[info] 0 subexpires",
            "[info] string 1 keys, 10 bytes in the file",
            "[info] set    1 keys, 6 bytes in the file",
            "[info] large: string 'k', 10 bytes",
            "[info] large: set 's', 6 bytes",
        ];
        assert_eq!(lines(file), (true, expected.map(String::from).to_vec()));
    }

    /// What redis-check-rdb 8.0 says of the same bytes.
    #[test]
    fn a_file_that_is_cut_off() {
        let expected = [
            "[offset 0] Checking RDB file dump.rdb",
            "--- RDB ERROR DETECTED ---",
            "[offset 12] Unexpected EOF reading RDB file",
            "[additional info] While doing: read-object-value",
            "[additional info] Reading key 'k'",
            "[additional info] Reading type 0 (string)",
            "[info] 1 keys read",
            "[info] 0 expires",
            "[info] 0 already expired",
            "[info] 0 subexpires",
        ];
        let (sound, lines) = lines(b"REDIS0011\0\x01kxx");
        assert!(!sound);
        assert_eq!(lines[3..], expected.map(String::from)[3..]);
        assert!(lines[2].ends_with("] Unexpected EOF reading RDB file"), "{}", lines[2]);
    }

    #[test]
    fn the_largest_keys_are_named() {
        let mut found = Findings::default();
        for n in [3u64, 9, 1, 7, 5, 8, 2] {
            found.weigh(0, n.to_string().into_bytes(), n);
        }
        assert_eq!(found.largest.iter().map(|large| large.0).collect::<Vec<_>>(), [9, 8, 7, 5, 3]);
    }
}
