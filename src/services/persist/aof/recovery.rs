//! Recovery of an AOF file that ends or errs in the middle: whether it may be cut off and loaded, and what the log says.

use std::io;

use super::reader::{AofError, Fault};
use crate::sys::disk::error_text;

/// What loading may do about a faulty file.
#[derive(Clone, Copy, Debug)]
pub struct RecoverySettings {
    /// `aof-load-truncated`: a file that ends in the middle of a command is cut off.
    pub load_truncated: bool,
    /// `aof-load-corrupt-tail-max-size`: bytes behind which a format error ends the loading; 0 if it always does.
    pub corrupt_tail_max_size: u64,
}

/// The file at fault.
#[derive(Clone, Copy, Debug)]
pub struct FaultyFile<'a> {
    /// As in the manifest.
    pub name: &'a str,
    pub path: &'a str,
    /// Bytes.
    pub len: u64,
}

/// What to do about a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Warnings to log first.
    pub warnings: Vec<String>,
    /// Cut the file off; `None` if loading ends here.
    pub truncation: Option<Truncation>,
    /// The error to log if loading ends here, or the file can't be cut off.
    pub refusal: String,
}

/// A file to be cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// Bytes that stay.
    pub len: u64,
    /// The warning to log when it is done.
    pub done: String,
}

/// The error to log, before loading ends, if the file that was cut off isn't the last: what follows it was made from
/// what is lost.
pub const NOT_THE_LAST_FILE: &str = "Fatal error: the truncated file is not the last file";

/// The warning to log if a file can't be cut off.
pub fn truncation_failed(file: FaultyFile<'_>, error: &io::Error) -> String {
    format!("Error truncating the AOF file {}: {}", file.name, error_text(error))
}

/// Decides what to do about a fault.
pub fn recover(error: &AofError, file: FaultyFile<'_>, settings: RecoverySettings) -> Recovery {
    match error.fault {
        Fault::Truncated | Fault::OpenTransaction => recover_truncated(error, file, settings),
        Fault::Format => recover_corrupt(error, file, settings),
    }
}

fn recover_truncated(error: &AofError, file: FaultyFile<'_>, settings: RecoverySettings) -> Recovery {
    let (name, path, len) = (file.name, file.path, error.valid_up_to);
    let mut warnings = Vec::new();
    if error.fault == Fault::OpenTransaction {
        warnings.push(format!("Revert incomplete MULTI/EXEC transaction in AOF file {name}"));
    }
    let truncation = settings.load_truncated.then(|| {
        warnings.push(format!("!!! Warning: short read while loading the AOF file {name}!!!"));
        warnings.push(format!("!!! Truncating the AOF {name} at offset {len} !!!"));
        let done = format!("AOF {path} loaded anyway because aof-load-truncated is enabled");
        Truncation { len, done }
    });
    let refusal = format!(
        "Unexpected end of file reading the append only file {name} at offset {}: {}. What lies before offset {len} \
         is sound. Either make a copy of the file and run `redloop --check-aof --fix` on its manifest, or set \
         'aof-load-truncated' to yes, and start again.",
        error.offset, error.reason
    );
    Recovery { warnings, truncation, refusal }
}

fn recover_corrupt(error: &AofError, file: FaultyFile<'_>, settings: RecoverySettings) -> Recovery {
    let (path, len) = (file.path, error.valid_up_to);
    let tail = file.len.saturating_sub(len);
    let mut warnings = Vec::new();
    let truncation = (tail < settings.corrupt_tail_max_size).then(|| {
        warnings.push("!!! Warning: corrupt AOF file tail!!!".to_string());
        warnings.push(format!("!!! Truncating the AOF {path} at offset {len} (remaining {tail}) !!!"));
        let done = format!("AOF {path} loaded anyway because aof-load-corrupt-tail-max-size is enabled");
        Truncation { len, done }
    });
    let refusal = format!(
        "Bad file format reading the append only file {path} at offset {}: {}. What lies before offset {len} is \
         sound. Either make a copy of the file and run `redloop --check-aof --fix` on its manifest, or set \
         'aof-load-corrupt-tail-max-size' to {}, and start again.",
        error.offset,
        error.reason,
        tail.saturating_add(1)
    );
    Recovery { warnings, truncation, refusal }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FaultyFile<'_> = FaultyFile { name: "a.1.incr.aof", path: "dir/a.1.incr.aof", len: 100 };

    fn recovered(fault: Fault, load_truncated: bool, corrupt_tail_max_size: u64) -> Recovery {
        let error = AofError { fault, offset: 80, valid_up_to: 70, reason: "reason".into() };
        recover(&error, FILE, RecoverySettings { load_truncated, corrupt_tail_max_size })
    }

    /// Asserts each of the patterns that Redis's tests look for.
    fn assert_contains(text: &str, parts: &[&str]) {
        parts.iter().for_each(|part| assert!(text.contains(part), "{text}: {part}"));
    }

    #[test]
    fn truncated_files_are_cut_off_if_that_is_allowed() {
        let recovery = recovered(Fault::Truncated, true, 0);
        assert_eq!(
            recovery.warnings,
            [
                "!!! Warning: short read while loading the AOF file a.1.incr.aof!!!",
                "!!! Truncating the AOF a.1.incr.aof at offset 70 !!!"
            ]
        );
        let done = "AOF dir/a.1.incr.aof loaded anyway because aof-load-truncated is enabled";
        assert_eq!(recovery.truncation, Some(Truncation { len: 70, done: done.into() }));

        let recovery = recovered(Fault::OpenTransaction, false, 1000);
        assert_eq!(recovery.warnings, ["Revert incomplete MULTI/EXEC transaction in AOF file a.1.incr.aof"]);
        assert_eq!(recovery.truncation, None);
        assert_contains(
            &recovery.refusal,
            &["Unexpected end of file reading the append only file a.1.incr.aof", "offset 80", "offset 70"],
        );
    }

    #[test]
    fn corrupt_tails_are_cut_off_up_to_a_size() {
        for (most, allowed) in [(0, false), (30, false), (31, true)] {
            let recovery = recovered(Fault::Format, true, most);
            assert_eq!(recovery.truncation.is_some(), allowed, "{most}");
            assert_contains(
                &recovery.refusal,
                &[
                    "Bad file format reading the append only file dir/a.1.incr.aof",
                    "aof-load-corrupt-tail-max-size' to 31",
                ],
            );
        }
        let recovery = recovered(Fault::Format, false, 4096);
        assert_eq!(
            recovery.warnings,
            [
                "!!! Warning: corrupt AOF file tail!!!",
                "!!! Truncating the AOF dir/a.1.incr.aof at offset 70 (remaining 30) !!!"
            ]
        );
        let done = "AOF dir/a.1.incr.aof loaded anyway because aof-load-corrupt-tail-max-size is enabled";
        assert_eq!(recovery.truncation, Some(Truncation { len: 70, done: done.into() }));
        let failed = truncation_failed(FILE, &io::Error::from_raw_os_error(5));
        assert_eq!(failed, "Error truncating the AOF file a.1.incr.aof: Input/output error");
    }
}
