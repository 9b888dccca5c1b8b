//! The AOF's directory: the changes of its files, in an order that a crash at any point leaves a whole data set.
//!
//! ```text
//! start of a rewrite   new increment · sync dir · manifest names it                  commands go there from now on
//! end of a rewrite     snapshot → new base · sync dir · manifest names it            the files before are history
//! history              sync dir · remove the files · manifest forgets them
//! ```
//!
//! The manifest is replaced in one step, after every file that it names is durable; a file is removed after a manifest that
//! calls it history is. Each function takes the manifest that holds and returns the next; after an error the one before
//! holds. They run on any thread, over a [`Disk`].

use std::io;
use std::path::{Path, PathBuf};

use super::manifest::{BaseFormat, FileEntry, Manifest, ManifestError, Names, Role};
use crate::sys::disk::{
    Disk, DiskFile, Mode, ReplaceError, ReplaceStep, directory_of, error_text, read_file, replace_file,
};

/// Longest manifest, in bytes.
const MAX_MANIFEST: usize = 64 << 20;

/// A change that could not be made: the error to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryError(pub String);

/// A change that was made.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    pub manifest: Manifest,
    /// The warning to log if a power failure could bring back the state before.
    pub undurable: Option<String>,
}

/// Why a manifest could not be read: the errors to log, an entry each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError(pub Vec<String>);

/// A file of the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    pub role: Role,
    /// For texts.
    pub name: String,
    pub path: PathBuf,
    /// Bytes.
    pub len: u64,
    /// No later file has content: this one may be cut off.
    pub is_last: bool,
}

/// A file that the manifest names can't be found.
#[derive(Debug)]
pub struct MissingFile {
    /// For texts.
    pub name: String,
    pub path: PathBuf,
    pub error: io::Error,
}

/// The files of a manifest in `dir` that make the data set, in the order in which they are loaded.
pub fn data_files(disk: &dyn Disk, dir: &Path, manifest: &Manifest) -> Result<Vec<DataFile>, MissingFile> {
    let mut files = Vec::new();
    for (role, entry) in manifest.files() {
        let (name, path) = (entry.to_string(), entry.path(dir));
        match disk.stat(&path) {
            Ok(stat) => files.push(DataFile { role, name, path, len: stat.len, is_last: false }),
            Err(error) => return Err(MissingFile { name, path, error }),
        }
    }
    let mut is_last = true;
    for file in files.iter_mut().rev() {
        file.is_last = is_last;
        is_last &= file.len == 0;
    }
    Ok(files)
}

/// What becomes of the commands since the start of a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The AOF is off: there are none.
    Nothing,
    /// They are in the manifest's last increment.
    LastIncrement,
    /// They are in the temporary increment, which becomes the first one; it begins at this replication offset.
    TemporaryIncrement(Option<i64>),
}

/// See the module's description.
pub struct AofDirectory<'a> {
    disk: &'a dyn Disk,
    /// `appenddirname`, below the working directory.
    dir: PathBuf,
    names: Names,
}

impl<'a> AofDirectory<'a> {
    /// The directory `dir`, with files that are named after `names`.
    pub fn new(disk: &'a dyn Disk, dir: impl Into<PathBuf>, names: Names) -> Self {
        AofDirectory { disk, dir: dir.into(), names }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The path of the increment that commands go to while there is no base for it.
    pub fn temporary_increment(&self) -> PathBuf {
        self.path(&self.names.temporary_increment())
    }

    /// Reads the manifest; an empty one if there is none.
    pub fn load_manifest(&self) -> Result<Manifest, LoadError> {
        let path = self.path(&self.names.manifest());
        let text = match read_file(self.disk, &path, MAX_MANIFEST) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Manifest::default()),
            Err(error) => {
                return Err(LoadError(vec![format!(
                    "Fatal error: can't open the AOF manifest file {} for reading: {}",
                    path.display(),
                    error_text(&error)
                )]));
            }
        };
        Manifest::parse(&text).map_err(|error: ManifestError| LoadError(error.log_lines()))
    }

    /// The files to load, in order, with their lengths; each must be there.
    pub fn data_files(&self, manifest: &Manifest) -> Result<Vec<DataFile>, DirectoryError> {
        data_files(self.disk, &self.dir, manifest).map_err(|MissingFile { name, error, .. }| {
            let error = error_text(&error);
            DirectoryError(format!("Unable to obtain the AOF file {name} length. stat: {error}"))
        })
    }

    /// Cuts a file of the data set off, durably: once there are newer commands in a later file, its old end must not come
    /// back.
    pub fn cut_off(&self, file: &DataFile, len: u64) -> io::Result<()> {
        let mut file = self.disk.open(&file.path, Mode::Append)?;
        file.truncate(len)?;
        file.sync()
    }

    /// Makes the directory, unless it exists.
    pub fn make(&self) -> Result<(), DirectoryError> {
        let parent = directory_of(&self.dir);
        if self.disk.is_dir(&self.dir) {
            // A process that ended just after making it may not have come to this.
            let _ = self.disk.sync_dir(parent);
            return Ok(());
        }
        let made = self.disk.make_dir(&self.dir).and_then(|()| self.disk.sync_dir(parent));
        made.map_err(|error| {
            let (dir, error) = (self.dir.display(), error_text(&error));
            DirectoryError(format!("Can't open or create append-only dir {dir}: {error}"))
        })
    }

    /// Whether the working directory has an AOF of a single file, from before there were manifests, that has to become the
    /// base: there is no manifest, or the move of the file into the directory is pending.
    pub fn needs_upgrade(&self, manifest: &Manifest) -> bool {
        let single = self.names.single();
        let is_file = |path: &Path| self.disk.stat(path).is_ok_and(|stat| !stat.is_dir);
        let pending = manifest.is_single_file(&self.names) && !is_file(&self.path(single));
        is_file(Path::new(single)) && (!self.disk.is_dir(&self.dir) || manifest.is_empty() || pending)
    }

    /// Makes an AOF of a single file the base, and moves it into the directory. The log then says
    /// [`AofDirectory::upgraded`].
    pub fn upgrade(&self, manifest: &Manifest) -> Result<Manifest, DirectoryError> {
        self.make()?;
        let mut manifest = manifest.clone();
        manifest.adopt_single_file(&self.names);
        self.persist_durably(&manifest)?;
        let single = self.names.single();
        let moved = self
            .disk
            .rename(Path::new(single), &self.path(single))
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .and_then(|()| self.disk.sync_dir(Path::new(".")));
        moved.map_err(|error| {
            let (dir, error) = (self.dir.display(), error_text(&error));
            DirectoryError(format!("Error trying to move the old AOF file {single} into dir {dir}: {error}"))
        })?;
        Ok(manifest)
    }

    /// What the log says after an upgrade.
    pub fn upgraded(&self) -> String {
        format!(
            "Successfully migrated an old-style AOF file ({}) into the AOF directory ({}).",
            self.names.single(),
            self.dir.display()
        )
    }

    /// Makes the files of an empty data set: `snapshot`, a durable file, becomes the base, and an increment follows.
    pub fn create(
        &self,
        snapshot: &Path,
        format: BaseFormat,
        start_offset: Option<i64>,
    ) -> Result<Manifest, DirectoryError> {
        self.make()?;
        let mut manifest = Manifest::default();
        let base = manifest.replace_base(&self.names, format).clone();
        self.rename(snapshot, &base, "base")?;
        self.add_increment(&mut manifest, start_offset)?;
        Ok(manifest)
    }

    /// Opens the increment to write to at the start of the server: the last one, or a new one. What it has, and the manifest
    /// that was read, are durable after it: the process before may have ended without having seen to that.
    pub fn open_last_increment(
        &self,
        manifest: &Manifest,
        start_offset: Option<i64>,
    ) -> Result<(Manifest, Box<dyn DiskFile>), DirectoryError> {
        self.make()?;
        let mut manifest = manifest.clone();
        let file = match manifest.last_increment() {
            Some(last) => {
                let mut file = self.open(last, Mode::Append)?;
                file.sync().map_err(|error| cannot_open(&last.to_string(), &error))?;
                self.sync()?;
                file
            }
            None => self.add_increment(&mut manifest, start_offset)?,
        };
        Ok((manifest, file))
    }

    /// Makes an increment, and has a durable manifest name it.
    fn add_increment(
        &self,
        manifest: &mut Manifest,
        start_offset: Option<i64>,
    ) -> Result<Box<dyn DiskFile>, DirectoryError> {
        let increment = manifest.add_increment(&self.names, start_offset).clone();
        let file = self.open(&increment, Mode::Create)?;
        self.persist_durably(manifest)?;
        Ok(file)
    }

    /// Makes a new increment. Until commands go to it, it is empty, so that the file before may go on growing. After an
    /// error the manifest on the disk may name it, which changes nothing.
    pub fn start_rewrite(
        &self,
        manifest: &Manifest,
        start_offset: Option<i64>,
    ) -> Result<(Manifest, Box<dyn DiskFile>), DirectoryError> {
        self.make()?;
        let mut manifest = manifest.clone();
        let file = self.add_increment(&mut manifest, start_offset)?;
        Ok((manifest, file))
    }

    /// Makes the temporary increment, for commands while the first base is made.
    pub fn open_temporary_increment(&self) -> Result<Box<dyn DiskFile>, DirectoryError> {
        self.make()?;
        let path = self.temporary_increment();
        self.disk
            .open(&path, Mode::Create)
            .map_err(|error| cannot_open(&self.names.temporary_increment(), &error))
    }

    /// Makes `snapshot`, a durable file with the data set at the start of the rewrite, the base. What it contains becomes
    /// history.
    pub fn finish_rewrite(
        &self,
        manifest: &Manifest,
        snapshot: &Path,
        format: BaseFormat,
        since: Since,
    ) -> Result<Changed, DirectoryError> {
        let mut manifest = manifest.clone();
        let base = manifest.replace_base(&self.names, format).clone();
        self.rename(snapshot, &base, "base")?;
        let mut new_files = vec![base];
        match since {
            Since::Nothing => manifest.retire_increments(0),
            Since::LastIncrement => manifest.retire_increments(1),
            Since::TemporaryIncrement(start_offset) => {
                manifest.retire_increments(0);
                let increment = manifest.add_increment(&self.names, start_offset).clone();
                if let Err(error) = self.rename(&self.temporary_increment(), &increment, "incr") {
                    self.remove_all(&new_files);
                    return Err(error);
                }
                new_files.push(increment);
            }
        }
        self.persist(manifest).inspect_err(|_| self.remove_all(&new_files))
    }

    /// Removes the history files (unless `aof-disable-auto-gc`), and forgets them. Nothing is removed before the manifest
    /// that calls them history is durable.
    pub fn remove_history(&self, manifest: &Manifest) -> Result<Changed, DirectoryError> {
        let mut manifest = manifest.clone();
        let history = manifest.take_history();
        if history.is_empty() {
            return Ok(Changed { manifest, undurable: None });
        }
        self.sync()?;
        self.remove_all(&history);
        self.persist(manifest)
    }

    /// Writes the manifest: after its files have become durable. An error means that the one before is in place; if
    /// only the last sync failed, the new one is, but not for sure.
    pub fn persist(&self, manifest: Manifest) -> Result<Changed, DirectoryError> {
        self.sync()?;
        let temporary = self.names.temporary_manifest();
        let (from, to) = (self.path(&temporary), self.path(&self.names.manifest()));
        match replace_file(self.disk, &from, &to, &manifest.format()) {
            Ok(()) => Ok(Changed { manifest, undurable: None }),
            Err(ReplaceError { step: ReplaceStep::SyncDir, error }) => {
                Ok(Changed { manifest, undurable: Some(self.sync_failed(&error)) })
            }
            Err(ReplaceError { step, error }) => {
                let error = error_text(&error);
                Err(DirectoryError(match step {
                    ReplaceStep::Open => format!("Can't open the AOF manifest file {temporary}: {error}"),
                    ReplaceStep::Write => {
                        format!("Error trying to write the temporary AOF manifest file {temporary}: {error}")
                    }
                    ReplaceStep::Sync => format!("Fail to fsync the temp AOF file {temporary}: {error}."),
                    ReplaceStep::Rename | ReplaceStep::SyncDir => format!(
                        "Error trying to rename the temporary AOF manifest file {temporary} into {}: {error}",
                        self.names.manifest()
                    ),
                }))
            }
        }
    }

    /// An error if a power failure could bring back the manifest before.
    fn persist_durably(&self, manifest: &Manifest) -> Result<(), DirectoryError> {
        match self.persist(manifest.clone())?.undurable {
            Some(text) => Err(DirectoryError(text)),
            None => Ok(()),
        }
    }

    fn open(&self, entry: &FileEntry, mode: Mode) -> Result<Box<dyn DiskFile>, DirectoryError> {
        let opened = self.disk.open(&entry.path(&self.dir), mode);
        opened.map_err(|error| cannot_open(&entry.to_string(), &error))
    }

    fn rename(&self, from: &Path, to: &FileEntry, kind: &str) -> Result<(), DirectoryError> {
        let to = to.path(&self.dir);
        self.disk.rename(from, &to).map_err(|error| {
            let (from, to, error) = (from.display(), to.display(), error_text(&error));
            DirectoryError(format!(
                "Error trying to rename the temporary AOF {kind} file {from} into {to}: {error}"
            ))
        })
    }

    fn sync(&self) -> Result<(), DirectoryError> {
        self.disk.sync_dir(&self.dir).map_err(|error| DirectoryError(self.sync_failed(&error)))
    }

    fn sync_failed(&self, error: &io::Error) -> String {
        format!("Fail to fsync AOF directory {}: {}.", self.dir.display(), error_text(error))
    }

    fn remove_all(&self, files: &[FileEntry]) {
        for file in files {
            // A file that stays takes room, and is history or has no place in a manifest.
            let _ = self.disk.remove(&file.path(&self.dir));
        }
    }
}

fn cannot_open(name: &str, error: &io::Error) -> DirectoryError {
    DirectoryError(format!("Can't open the append-only file {name}: {}", error_text(error)))
}
