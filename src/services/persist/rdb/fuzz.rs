//! Fuzzing of RDB files: the entry point for mutated files.

use super::{Item, RdbReader, ReadOptions};
use crate::value::Limits;

/// Reads `data` as a file that comes in chunks of `chunk` bytes, at least one; nothing may panic, and neither the outcome nor the items
/// may depend on the chunks. The buffer stays within twice the file and a chunk of the reader.
pub fn fuzz_rdb(data: &[u8], chunk: usize) {
    for check in [false, true] {
        let options = ReadOptions { checksum: false, check, any_version: check };
        assert_eq!(outcome(data, chunk.max(1), options), outcome(data, usize::MAX, options));
    }
}

/// The kinds of items, and the error, if there is one.
fn outcome(
    data: &[u8],
    chunk: usize,
    options: ReadOptions,
) -> (Vec<std::mem::Discriminant<Item<'static>>>, Option<String>) {
    let limits = Limits::default();
    let (mut reader, mut rest, mut items) = (RdbReader::new(options), data, Vec::new());
    loop {
        let item = match reader.next(&limits) {
            Ok(Item::More) => None,
            Ok(Item::End(_)) => return (items, None),
            Ok(item) => Some(std::mem::discriminant(&owned(item))),
            Err(error) => {
                assert!(error.offset <= data.len() as u64, "an offset beyond the end");
                return (items, Some(error.reason.to_string()));
            }
        };
        match item {
            Some(item) => items.push(item),
            None if rest.is_empty() => reader.end_of_input(),
            None => {
                let (now, later) = rest.split_at(rest.len().min(chunk));
                reader.feed(now);
                rest = later;
                assert!(reader.spare().len() <= 2 * (data.len() + super::CHUNK), "a buffer beyond measure");
            }
        }
    }
}

/// The same kind of item with nothing borrowed in it.
fn owned(item: Item<'_>) -> Item<'static> {
    match item {
        Item::Key(_) | Item::Empty(_) => Item::Empty(Vec::new().into()),
        Item::SlotImport { .. } => Item::SlotImport { name: Vec::new().into(), ranges: Vec::new() },
        Item::Aux(..) => Item::Aux(Vec::new().into(), Vec::new().into()),
        Item::Function(_) => Item::Function(Vec::new().into()),
        Item::More => Item::More,
        Item::Format(format) => Item::Format(format),
        Item::SelectDb(db) => Item::SelectDb(db),
        Item::ResizeDb { keys, deadlines } => Item::ResizeDb { keys, deadlines },
        Item::SlotInfo { slot, keys, deadlines } => Item::SlotInfo { slot, keys, deadlines },
        Item::Skipped(skipped) => Item::Skipped(skipped),
        Item::End(checksum) => Item::End(checksum),
    }
}
