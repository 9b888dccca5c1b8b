//! The check of the RDB file that an AOF file begins with.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use super::Console;
use crate::services::persist::rdb;
use crate::sys::disk::DiskFile;

/// Reads the RDB file, and says what it has. `now` is in Unix milliseconds. Returns the offset of what follows it, and the bytes
/// of that which have been read; `None` if the file is at fault.
pub fn check(
    file: &mut dyn DiskFile,
    path: &Path,
    len: u64,
    now: u64,
    console: &mut dyn Console,
) -> io::Result<Option<(u64, Vec<u8>)>> {
    let (console, mut done) = (RefCell::new(console), 0);
    let read = |room: &mut [u8]| loop {
        match file.read(room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(count) => {
                done += count as u64;
                console.borrow_mut().progress(done, len);
                return Ok(count);
            }
        }
    };
    rdb::check::check(&path.to_string_lossy(), now, read, |line| {
        console.borrow_mut().print(&format!("{line}\n"));
    })
}
