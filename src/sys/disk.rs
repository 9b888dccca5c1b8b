//! The disk: files and directories behind a trait, so that a test can put a simulated disk (`sys/simulated_disk.rs`)
//! under whatever writes.
//!
//! The operations are those of POSIX, with its promises and no more: a write may be short, what was written is
//! durable when [`DiskFile::sync`] has returned, and a name that was made, renamed or removed when
//! [`Disk::sync_dir`] of its directory has.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The system's words for an error, as error replies quote them: without its number.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For reading from its start; it must exist.
    Read,
    /// For writing, empty: it is created, or its content removed.
    Create,
    /// For writing at its end; it is created if it doesn't exist.
    Append,
}

/// What is known of a path without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes of a file.
    pub len: u64,
    pub is_dir: bool,
}

/// A place for files. Paths are relative to the working directory, or absolute.
pub trait Disk: Send + Sync {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn DiskFile>>;
    /// What lies at `path`; `ErrorKind::NotFound` if nothing does.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// Gives a file another name, in one step: a file that had that name is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Cuts a file off, or extends it with zeros, to `len` bytes.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;
    /// Makes a directory, unless it exists.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether anything lies at `path`.
    fn exists(&self, path: &Path) -> bool {
        self.stat(path).is_ok()
    }

    /// Whether a directory lies at `path`.
    fn is_dir(&self, path: &Path) -> bool {
        self.stat(path).is_ok_and(|stat| stat.is_dir)
    }
}

/// An open file. Writing goes to its end, whatever has been cut off.
pub trait DiskFile: Send {
    /// Reads the next bytes; 0 at the end of the file.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize>;
    /// Reads the bytes from an offset on, wherever [`Self::read`] is; 0 at the end of the file.
    fn read_at(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at the end; returns how many bytes were written, which may be fewer.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Makes what was written durable (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file off at `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Bytes of the file.
    fn len(&self) -> io::Result<u64>;
    /// Another handle to the same open file, by which a thread can sync it while this one is written to.
    fn duplicate(&self) -> io::Result<Box<dyn DiskFile>>;
    /// Asks the system to begin writing these bytes to the disk, so that the next sync has less to do. A hint.
    fn start_writeback(&mut self, offset: u64, len: u64);
    /// Tells the system that these durable bytes won't be read soon, so that its cache needn't hold them. `len` 0 is the
    /// whole rest of the file. A hint.
    fn drop_cache(&mut self, offset: u64, len: u64);

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Writes `bytes` in as many writes as it takes, up to the first error. Returns how many were written, and the error.
    fn write_most(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            match self.write(&bytes[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    /// Writes all of `bytes`.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_most(bytes).1
    }
}

/// Reads a whole file of at most `limit` bytes; `ErrorKind::FileTooLarge` beyond it.
pub fn read_file(disk: &dyn Disk, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    const PIECE: usize = 64 * 1024;
    let mut file = disk.open(path, Mode::Read)?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        let read = match file.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if read == 0 {
            return Ok(bytes);
        }
        if read > limit.saturating_sub(bytes.len()) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        bytes.extend_from_slice(&piece[..read]);
    }
}

/// The text of an error as C's `strerror` has it, for texts that are Redis's.
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().map(|number| format!(" (os error {number})"));
    number.and_then(|number| text.strip_suffix(&number)).unwrap_or(&text).to_string()
}

/// Which step of [`replace_file`] failed, and why.
#[derive(Debug)]
pub struct ReplaceError {
    pub step: ReplaceStep,
    pub error: io::Error,
}

/// The steps of [`replace_file`], in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplaceStep {
    Open,
    Write,
    Sync,
    Rename,
    SyncDir,
}

/// Gives the file at `path` this content in one durable step: at any moment a crash leaves the old content or the new.
/// `temporary` lies in the same directory. After an error at [`ReplaceStep::SyncDir`] the new content is in place, but a
/// crash may bring the old one back; after earlier errors the temporary file is gone.
pub fn replace_file(
    disk: &dyn Disk,
    temporary: &Path,
    path: &Path,
    content: &[u8],
) -> Result<(), ReplaceError> {
    let at = |step: ReplaceStep| move |error: io::Error| ReplaceError { step, error };
    let mut file = disk.open(temporary, Mode::Create).map_err(at(ReplaceStep::Open))?;
    let written = file
        .write_all(content)
        .map_err(at(ReplaceStep::Write))
        .and_then(|()| file.sync().map_err(at(ReplaceStep::Sync)))
        .and_then(|()| disk.rename(temporary, path).map_err(at(ReplaceStep::Rename)));
    if let Err(error) = written {
        // The first error is the one to tell; a file that stays is replaced by the next attempt.
        let _ = disk.remove(temporary);
        return Err(error);
    }
    disk.sync_dir(directory_of(path)).map_err(at(ReplaceStep::SyncDir))
}

/// The directory in which a path lies; `.` for a bare name.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// The disk of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        match mode {
            Mode::Read => options.read(true),
            Mode::Create | Mode::Append => options.append(true).create(true).mode(0o644),
        };
        let file = options.open(path)?;
        if mode == Mode::Create {
            // `open` allows no truncation together with appending.
            file.set_len(0)?;
        }
        Ok(Box::new(RealFile(file)))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        std::fs::metadata(path).map(|data| Stat { len: data.len(), is_dir: data.is_dir() })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.set_len(len)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let mut names =
            std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.is_dir(dir) => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match File::open(dir)?.sync_all() {
            // Some file systems have no sync of directories; their names are as durable as they get.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            other => other,
        }
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }

    fn read_at(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, bytes, offset)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|data| data.len())
    }

    fn duplicate(&self) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(self.0.try_clone()?)))
    }

    fn start_writeback(&mut self, offset: u64, len: u64) {
        #[cfg(target_os = "linux")]
        // SAFETY: takes an open descriptor, which `self.0` owns, and numbers; it touches no memory of this process.
        // Should it fail, the next sync has more to do.
        unsafe {
            libc::sync_file_range(
                self.0.as_raw_fd(),
                offset as libc::off64_t,
                len as libc::off64_t,
                libc::SYNC_FILE_RANGE_WRITE,
            );
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (offset, len);
    }

    fn drop_cache(&mut self, offset: u64, len: u64) {
        #[cfg(target_os = "linux")]
        // SAFETY: as above. Should it fail, the cache holds more than it needs to.
        unsafe {
            libc::posix_fadvise(
                self.0.as_raw_fd(),
                offset as libc::off_t,
                len as libc::off_t,
                libc::POSIX_FADV_DONTNEED,
            );
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (offset, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A directory of its own for a test; it goes with the value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("redloop-disk-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&dir);
            std::fs::create_dir_all(&dir).expect("a directory for the test");
            Scratch(dir)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
        result.err().expect("an error").kind()
    }

    #[test]
    fn files_are_written_at_their_end_and_read_back() {
        let scratch = Scratch::new("files");
        let path = scratch.0.join("file");
        assert_eq!(kind(RealDisk.open(&path, Mode::Read)), io::ErrorKind::NotFound);
        assert_eq!(kind(RealDisk.stat(&path)), io::ErrorKind::NotFound);
        let mut file = RealDisk.open(&path, Mode::Create).expect("created");
        file.write_all(b"one two three").expect("written");
        file.truncate(4).expect("cut off");
        file.write_all(b"four").expect("written");
        file.start_writeback(0, 4);
        let mut other = file.duplicate().expect("another handle");
        other.sync().expect("durable");
        other.drop_cache(0, 0);
        assert_eq!((other.len().ok(), other.is_empty().ok()), (Some(8), Some(false)));
        assert_eq!(read_file(&RealDisk, &path, 8).ok(), Some(b"one four".to_vec()));
        assert_eq!(kind(read_file(&RealDisk, &path, 7)), io::ErrorKind::FileTooLarge);

        RealDisk.open(&path, Mode::Append).expect("opened").write_all(b"!").expect("written");
        RealDisk.truncate(&path, 10).expect("extended");
        assert_eq!(read_file(&RealDisk, &path, 100).ok(), Some(b"one four!\0".to_vec()));
        let empty = RealDisk.open(&path, Mode::Create).expect("emptied");
        assert_eq!(empty.len().ok(), Some(0));
        assert_eq!(RealDisk.stat(&path).ok(), Some(Stat { len: 0, is_dir: false }));
    }

    #[test]
    fn directories_are_made_and_listed() {
        let scratch = Scratch::new("directories");
        let dir = scratch.0.join("dir");
        RealDisk.make_dir(&dir).expect("made");
        RealDisk.make_dir(&dir).expect("there already");
        RealDisk.open(&dir.join("b"), Mode::Create).expect("created");
        RealDisk.open(&dir.join("a"), Mode::Append).expect("created");
        assert_eq!(RealDisk.list(&dir).ok(), Some(vec!["a".into(), "b".into()]));
        assert_eq!(kind(RealDisk.make_dir(&dir.join("a"))), io::ErrorKind::AlreadyExists);
        RealDisk.rename(&dir.join("a"), &dir.join("b")).expect("renamed");
        RealDisk.sync_dir(&dir).expect("durable");
        assert!(
            RealDisk.is_dir(&dir) && !RealDisk.is_dir(&dir.join("b")) && !RealDisk.exists(&dir.join("a"))
        );
        RealDisk.remove(&dir.join("b")).expect("removed");
        assert_eq!(RealDisk.list(&dir).ok(), Some(vec![]));
        assert_eq!(kind(RealDisk.remove(&dir.join("b"))), io::ErrorKind::NotFound);
    }

    #[test]
    fn errors_have_the_text_of_the_system() {
        assert_eq!(error_text(&io::Error::from_raw_os_error(libc::ENOSPC)), "No space left on device");
        assert_eq!(error_text(&io::ErrorKind::WriteZero.into()), "write zero");
    }

    #[test]
    fn a_file_is_replaced_or_stays() {
        let scratch = Scratch::new("replace");
        let (temporary, path) = (scratch.0.join("temp"), scratch.0.join("file"));
        replace_file(&RealDisk, &temporary, &path, b"old").expect("written");
        replace_file(&RealDisk, &temporary, &path, b"new").expect("written");
        assert_eq!(read_file(&RealDisk, &path, 10).ok(), Some(b"new".to_vec()));
        // A directory in the way.
        let failed = replace_file(&RealDisk, &temporary, &scratch.0, b"newer").expect_err("not a file");
        assert_eq!(failed.step, ReplaceStep::Rename);
        assert!(!RealDisk.exists(&temporary));
        let missing = scratch.0.join("missing/temp");
        assert_eq!(
            replace_file(&RealDisk, &missing, &path, b"").expect_err("no directory").step,
            ReplaceStep::Open
        );
        assert_eq!(
            (directory_of(Path::new("a")), directory_of(Path::new("/a"))),
            (Path::new("."), Path::new("/"))
        );
    }
}
