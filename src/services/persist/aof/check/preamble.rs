//! The check of the RDB file that an AOF file begins with.

use std::io;
use std::path::Path;

use super::Console;
use crate::services::persist::rdb::{Checksum, Item, RdbReader, ReadOptions};
use crate::sys::disk::DiskFile;
use crate::value::Limits;

/// Keys that were read.
#[derive(Default)]
struct Keys {
    read: u64,
    deadlines: u64,
}

/// Reads the RDB file, and says what it has. Returns the offset of what follows it, and the bytes of that which have been
/// read; `None` if the file is at fault.
pub fn check(
    file: &mut dyn DiskFile,
    path: &Path,
    len: u64,
    console: &mut dyn Console,
) -> io::Result<Option<(u64, Vec<u8>)>> {
    console.print(&format!("[offset 0] Checking RDB file {}\n", path.display()));
    let mut reader = RdbReader::new(ReadOptions { checksum: true, check: true });
    let (limits, mut keys) = (Limits::default(), Keys::default());
    loop {
        let item = match reader.next(&limits) {
            Ok(item) => item,
            Err(error) => {
                let (offset, reason) = (error.offset, error.reason);
                console.print(&format!("--- RDB ERROR DETECTED ---\n[offset {offset}] {reason}\n"));
                console.print(&format!("[info] {} keys read\n", keys.read));
                return Ok(None);
            }
        };
        match item {
            Item::More => match file.read(reader.spare()) {
                Ok(0) => reader.end_of_input(),
                Ok(count) => {
                    reader.filled(count);
                    console.progress(reader.position(), len);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            },
            Item::Key(record) => {
                keys.read += 1;
                keys.deadlines += u64::from(record.deadline.is_some());
            }
            Item::End(checksum) => {
                let offset = reader.position();
                if checksum == Checksum::Matches {
                    console.print(&format!("[offset {offset}] Checksum OK\n"));
                }
                console.print(&format!("[offset {offset}] \\o/ RDB looks OK! \\o/\n"));
                console
                    .print(&format!("[info] {} keys read\n[info] {} expires\n", keys.read, keys.deadlines));
                return Ok(Some((offset, reader.rest().to_vec())));
            }
            _ => {}
        }
    }
}
