//! What the configuration is read from: the file, standard input and options; kept to be read again.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::acl_file::AclLines;
use super::sentinel;
use crate::base::glob;
use crate::services::config::{AclLine, Config, ConfigEnv, FileError, InvalidValue, Loaded, startup_text};

/// Where the configuration comes from.
#[derive(Clone, Default)]
pub(super) struct Sources {
    /// Its path is absolute: the directive `dir` changes the directory.
    pub file: Option<PathBuf>,
    /// What standard input brought at the start.
    piped: Vec<u8>,
    options: Vec<u8>,
    pub is_sentinel: bool,
    /// The directory at the start, from which relative paths go.
    directory: PathBuf,
}

impl Sources {
    /// Notes the sources, and reads standard input to its end if it is one of them.
    pub(super) fn new(
        file: Option<&str>,
        stdin: bool,
        options: Vec<u8>,
        is_sentinel: bool,
    ) -> std::io::Result<Self> {
        let mut piped = Vec::new();
        if stdin {
            std::io::stdin().read_to_end(&mut piped)?;
        }
        let directory = std::env::current_dir().unwrap_or_default();
        let file = file.map(|name| named_directory(&directory).join(name));
        Ok(Sources { file, piped, options, is_sentinel, directory })
    }

    /// Reads them at the start; `dir` changes the working directory. `shown`: the file's name for an error.
    pub(super) fn read(&self, shown: &str) -> Result<(Config, Loaded), FileError> {
        self.read_as(shown, true)
    }

    /// Reads them again. The process stays where it is.
    pub(super) fn read_again(&self) -> Result<(Config, Loaded), FileError> {
        let name = self.file.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let (mut config, loaded) = self.read_as(&name, false)?;
        if config.dir == "." {
            config.dir = self.directory.to_string_lossy().into_owned();
        }
        Ok((config, loaded))
    }

    fn read_as(&self, shown: &str, enters: bool) -> Result<(Config, Loaded), FileError> {
        let text = match &self.file {
            Some(path) => Some(std::fs::read(path).map_err(|error| {
                FileError::whole(format!("Fatal error, can't open config file '{shown}': {error}"))
            })?),
            None => None,
        };
        let text = startup_text(text.as_deref(), Some(&self.piped), &self.options);
        let mut defaults = Config::default();
        if self.is_sentinel {
            // Others must reach it.
            (defaults.port, defaults.protected_mode) = (sentinel::PORT, false);
        }
        let mut surroundings = Surroundings {
            acl: AclLines::default(),
            is_sentinel: self.is_sentinel,
            directory: self.directory.clone(),
            enters,
        };
        Config::load_over(defaults, &text, &mut surroundings)
    }
}

/// The directory as `PWD` names it, if that is the same one (a program that starts this one may have left it as it was).
fn named_directory(entered: &Path) -> PathBuf {
    let named = std::env::var_os("PWD").map(PathBuf::from);
    named
        .filter(|named| named.canonicalize().is_ok_and(|real| real == entered))
        .unwrap_or_else(|| entered.to_path_buf())
}

/// The working directory and the files beside the configuration file.
struct Surroundings {
    acl: AclLines,
    is_sentinel: bool,
    /// Where the lines read so far lead to.
    directory: PathBuf,
    /// Whether the process goes there, too.
    enters: bool,
}

impl ConfigEnv for Surroundings {
    fn include(&mut self, path: &str) -> Result<Vec<u8>, String> {
        if !path.contains(['*', '?', '[']) {
            return std::fs::read(self.directory.join(path))
                .map_err(|error| format!("can't open config file '{path}': {error}"));
        }
        let (dir, pattern) = path.rsplit_once('/').unwrap_or((".", path));
        // Of `/*` what is before the last slash is empty.
        let dir = if path.starts_with('/') && dir.is_empty() { "/" } else { dir };
        let entries =
            std::fs::read_dir(self.directory.join(dir)).map_err(|error| format!("{dir}: {error}"))?;
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        let mut text = Vec::new();
        for name in names {
            let name = name.to_string_lossy();
            if glob::matches(pattern.as_bytes(), name.as_bytes()) {
                let file = format!("{dir}/{name}");
                let read = std::fs::read(self.directory.join(&file));
                text.extend(read.map_err(|error| format!("{file}: {error}"))?);
                text.push(b'\n');
            }
        }
        Ok(text)
    }

    fn is_sentinel(&self) -> bool {
        self.is_sentinel
    }

    fn acl_line(&mut self, kind: AclLine, words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        self.acl.check(kind, words)
    }

    fn change_dir(&mut self, path: &str) -> Result<String, String> {
        let fail = |error: std::io::Error| format!("Can't chdir to '{path}': {error}");
        let target = self.directory.join(path);
        if self.enters {
            std::env::set_current_dir(&target).map_err(fail)?;
            self.directory = std::env::current_dir().map_err(|error| error.to_string())?;
        } else {
            self.directory = target.canonicalize().map_err(fail)?;
            std::fs::read_dir(&self.directory).map_err(fail)?;
        }
        Ok(self.directory.to_string_lossy().into_owned())
    }
}
