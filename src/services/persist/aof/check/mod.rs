//! The check of AOF files: `redloop --check-aof`, with the output and exit statuses of `redis-check-aof`.
//!
//! What it is given is a manifest, by whose order all files are checked, or a single file. A fault in the last file
//! with content is mended by cutting it off (`--fix`), and so is what is newer than a time (`--truncate-to-timestamp`).

mod preamble;
mod scan;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use self::scan::{Scan, scan};
use super::directory::data_files;
use super::manifest::{Manifest, Role};
use super::reader::begins_with_rdb;
use crate::sys::disk::{Disk, Mode, directory_of, error_text, read_file};

const USAGE: &str =
    "Usage: redloop --check-aof [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>\n";
/// Longest manifest, in bytes.
const MAX_MANIFEST: usize = 64 << 20;
/// So many bytes of a file tell what it is.
const HEAD: usize = 64 * 1024;

/// Where the output goes.
pub trait Console {
    fn print(&mut self, text: &str);
    /// Reads a line; whether it begins with `y`.
    fn confirm(&mut self) -> bool;
    /// So many bytes of a file of this length are checked.
    fn progress(&mut self, done: u64, len: u64);
}

/// What is to be done about what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Check,
    Fix,
    /// Cut off what is newer than this Unix time, in seconds.
    TruncateTo(i64),
}

/// The end of the check with exit status 1, and its last words.
struct Abort(String);

fn abort<T>(text: String) -> Result<T, Abort> {
    Err(Abort(text))
}

/// How the check of a file ended, if it did well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Valid,
    Empty,
    Truncated,
    TruncatedTo(i64),
}

/// A file to check.
struct Target<'a> {
    name: &'a str,
    path: &'a Path,
    is_last: bool,
}

/// Runs the check with the arguments that follow `--check-aof`, at `now` in Unix milliseconds; the exit status.
pub fn run(arguments: &[Vec<u8>], disk: &dyn Disk, now: u64, console: &mut dyn Console) -> i32 {
    let result =
        parse(arguments).and_then(|(action, path)| Check { disk, now, console, action }.check(&path));
    match result {
        Ok(()) => 0,
        Err(Abort(text)) => {
            console.print(&text);
            1
        }
    }
}

fn parse(arguments: &[Vec<u8>]) -> Result<(Action, PathBuf), Abort> {
    let (action, path) = match arguments {
        [path] => (Action::Check, path),
        [option, path] if option == b"--fix" => (Action::Fix, path),
        [option, time, path] if option == b"--truncate-to-timestamp" => {
            let time = std::str::from_utf8(time).ok().and_then(|text| text.parse().ok());
            match time {
                // As in Redis, where no time is 0.
                Some(0) => (Action::Check, path),
                Some(time) => (Action::TruncateTo(time), path),
                None => return abort("Invalid timestamp, aborting...\n".to_string()),
            }
        }
        _ => return abort(USAGE.to_string()),
    };
    Ok((action, PathBuf::from(std::ffi::OsStr::from_bytes(path))))
}

struct Check<'a> {
    disk: &'a dyn Disk,
    now: u64,
    console: &'a mut dyn Console,
    action: Action,
}

impl Check<'_> {
    fn check(&mut self, path: &Path) -> Result<(), Abort> {
        let head = self.head(path)?;
        if is_manifest(&head) {
            return self.check_manifest(path);
        }
        self.console.print("Start checking Old-Style AOF\n");
        let name = path.to_string_lossy();
        let target = Target { name: &name, path, is_last: true };
        let outcome = self.check_file(&target, begins_with_rdb(&head))?;
        self.tell(&name, "AOF", outcome);
        Ok(())
    }

    /// The first bytes of a file.
    fn head(&self, path: &Path) -> Result<Vec<u8>, Abort> {
        let unreadable = |error: io::Error| {
            let text = match error.kind() {
                io::ErrorKind::IsADirectory => format!("Cannot read file: {}\n", path.display()),
                _ => format!("Cannot open file {}: {}\n", path.display(), error_text(&error)),
            };
            Abort(text)
        };
        let mut file = self.disk.open(path, Mode::Read).map_err(unreadable)?;
        let (mut head, mut have) = (vec![0; HEAD], 0);
        while have < HEAD {
            match file.read(&mut head[have..]) {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        head.truncate(have);
        Ok(head)
    }

    fn check_manifest(&mut self, path: &Path) -> Result<(), Abort> {
        self.console.print("Start checking Multi Part AOF\n");
        let text = read_file(self.disk, path, MAX_MANIFEST).map_err(|error| {
            Abort(format!(
                "Fatal error: can't open the AOF manifest file {} for reading: {}\n",
                path.display(),
                error_text(&error)
            ))
        })?;
        let manifest = Manifest::parse(&text)
            .map_err(|error| Abort(error.log_lines().iter().map(|line| format!("{line}\n")).collect()))?;
        let files = data_files(self.disk, directory_of(path), &manifest).map_err(|missing| {
            let (path, error) = (missing.path.display(), error_text(&missing.error));
            Abort(format!("Cannot open file {path}: {error}\n"))
        })?;
        let mut in_increments = false;
        for file in &files {
            let has_preamble = file.role == Role::Base && begins_with_rdb(&self.head(&file.path)?);
            if file.role == Role::Base {
                let format = if has_preamble { "RDB" } else { "RESP" };
                self.console.print(&format!("Start to check BASE AOF ({format} format).\n"));
            } else if !std::mem::replace(&mut in_increments, true) {
                self.console.print("Start to check INCR files.\n");
            }
            let target = Target { name: &file.name, path: &file.path, is_last: file.is_last };
            let outcome = self.check_file(&target, has_preamble)?;
            let kind = if file.role == Role::Base { "BASE AOF" } else { "INCR AOF" };
            self.tell(&file.name, kind, outcome);
        }
        self.console.print("All AOF files and manifest are valid\n");
        Ok(())
    }

    fn tell(&mut self, name: &str, kind: &str, outcome: Outcome) {
        self.console.print(&match outcome {
            Outcome::Valid => format!("{kind} {name} is valid\n"),
            Outcome::Empty => format!("{kind} {name} is empty\n"),
            Outcome::Truncated => format!("Successfully truncated AOF {name}\n"),
            Outcome::TruncatedTo(time) => format!("Successfully truncated AOF {name} to timestamp {time}\n"),
        });
    }

    fn check_file(&mut self, target: &Target<'_>, has_preamble: bool) -> Result<Outcome, Abort> {
        let unreadable = |error: io::Error| {
            let (path, error) = (target.path.display(), error_text(&error));
            Abort(format!("Cannot open file {path}: {error}, aborting...\n"))
        };
        let len = self.disk.stat(target.path).map_err(unreadable)?.len;
        if len == 0 {
            return Ok(Outcome::Empty);
        }
        let mut file = self.disk.open(target.path, Mode::Read).map_err(unreadable)?;
        let failed = |_| Abort(format!("Failed to read from AOF {}, aborting...\n", target.name));
        let mut rest = (0, Vec::new());
        if has_preamble {
            let checked =
                preamble::check(&mut *file, target.path, len, self.now, self.console).map_err(failed)?;
            let Some(behind) = checked else {
                return abort("RDB preamble of AOF file is not sane, aborting.\n".to_string());
            };
            self.console.print("RDB preamble is OK, proceeding with AOF tail...\n");
            rest = behind;
        }
        let until = match self.action {
            Action::TruncateTo(time) => Some(time),
            Action::Check | Action::Fix => None,
        };
        let scan = scan(&mut *file, rest, len, until, self.console).map_err(failed)?;
        if let Some(text) = &scan.invalid_annotation {
            return abort(format!("{text}\n"));
        }
        match (scan.newer_from, until) {
            (Some(offset), Some(time)) => self.truncate_to(target, offset, time),
            _ => self.conclude(target, len, until, &scan),
        }
    }

    /// Cuts off what is newer than the time.
    fn truncate_to(&self, target: &Target<'_>, offset: u64, time: i64) -> Result<Outcome, Abort> {
        let path = target.path.display();
        if offset == 0 {
            return abort(format!("AOF {path} has nothing before timestamp {time}, aborting...\n"));
        }
        if !target.is_last {
            return abort(format!(
                "Failed to truncate AOF {path} to timestamp {time} to offset {offset} because it is not the last file.\n\
                 To truncate it all the same, delete the files that follow it in the manifest, and their lines there, \
                 and run the check again.\n"
            ));
        }
        match self.cut_off(target.path, offset) {
            Ok(()) => Ok(Outcome::TruncatedTo(time)),
            Err(_) => abort(format!("Failed to truncate AOF {path} to timestamp {time}\n")),
        }
    }

    fn cut_off(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut file = self.disk.open(path, Mode::Append)?;
        file.truncate(len)?;
        file.sync()
    }

    /// Says what was found, and mends it if that is asked for.
    fn conclude(
        &mut self,
        target: &Target<'_>,
        len: u64,
        until: Option<i64>,
        scan: &Scan,
    ) -> Result<Outcome, Abort> {
        let name = target.name;
        if let Some(fault) = &scan.fault {
            self.console.print(&match fault.offset == scan.ok_up_to && fault.is_format_error {
                true => format!("AOF {name} format error\n"),
                false => format!("0x{:16x}: {}\n", fault.offset, fault.reason),
            });
        }
        let diff = len.saturating_sub(scan.ok_up_to);
        if let (0, Some(time)) = (diff, until) {
            self.console.print(&format!("Truncate nothing in AOF {name} to timestamp {time}\n"));
            return Ok(Outcome::Valid);
        }
        let (ok_up_to, line) = (scan.ok_up_to, scan.line);
        self.console.print(&format!(
            "AOF analyzed: filename={name}, size={len}, ok_up_to={ok_up_to}, ok_up_to_line={line}, diff={diff}\n"
        ));
        self.console.print(&scan.summary());
        if diff == 0 {
            return Ok(Outcome::Valid);
        }
        if self.action != Action::Fix {
            return abort(format!("AOF {name} is not valid. Use the --fix option to try fixing it.\n"));
        }
        if !target.is_last {
            return abort(format!("Failed to truncate AOF {name} because it is not the last file\n"));
        }
        self.console.print(&format!(
            "This will shrink the AOF {name} from {len} bytes, with {diff} bytes, to {ok_up_to} bytes\n\
             Continue? [y/N]: "
        ));
        if !self.console.confirm() {
            return abort("Aborting...\n".to_string());
        }
        match self.cut_off(target.path, ok_up_to) {
            Ok(()) => Ok(Outcome::Truncated),
            Err(_) => abort(format!("Failed to truncate AOF {name}\n")),
        }
    }
}

/// Whether a file that begins with these bytes is a manifest: its first line that isn't a comment is that of a file.
fn is_manifest(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.find(|line| !line.starts_with(b"#")).is_some_and(|line| line.starts_with(b"file"))
}
