//! The configuration file: lines of words, read into a [`Config`].
//!
//! ```text
//!   # comment                      blank lines and lines that start with # are skipped
//!   maxmemory 100mb                directive, words; quotes as in `base::quoting`
//!   save 900 1                     the first `save` drops the defaults, the next ones add to it
//!   include conf.d/*.conf          the [`ConfigEnv`] reads the text
//! ```
//!
//! The environment (other files, the working directory, the command table, users) is a
//! [`ConfigEnv`]. The text is hostile: nothing in it makes this panic, recurse deeply or run long.

use super::compound::{SavePoints, is_empty_word};
use super::setting::{InvalidValue, WRONG_COUNT};
use super::{Config, Directive, REDIS_VERSION, flags, lookup};
use crate::base::quoting::{printable, split_words};

/// The most levels of nested includes.
const MAX_INCLUDE_DEPTH: usize = 16;
/// The most included files in all.
const MAX_INCLUDES: usize = 1024;

/// What a configuration file can affect beyond the configuration. Errors are texts for the author of the file.
pub trait ConfigEnv {
    /// The text of an included file, or of all that match a pattern, one after another. A pattern
    /// without match is an empty text, a name without file an error.
    fn include(&mut self, path: &str) -> Result<Vec<u8>, String>;

    /// Changes the working directory and returns its absolute path.
    fn change_dir(&mut self, path: &str) -> Result<String, String>;

    /// Whether `rename-command` may give this command that name; an empty one removes it.
    fn rename_command(&mut self, _command: &[u8], _name: &[u8]) -> Result<(), InvalidValue> {
        Ok(())
    }

    /// Whether the server starts in Sentinel mode: only then may there be `sentinel` lines.
    fn is_sentinel(&self) -> bool {
        false
    }

    /// Whether a `user` or `role` line is well formed; the words after the first.
    fn acl_line(&mut self, _kind: AclLine, _words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        Ok(())
    }
}

/// The lines that make users and roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclLine {
    User,
    Role,
}

impl AclLine {
    /// The first word of such a line.
    pub fn name(self) -> &'static str {
        match self {
            AclLine::User => "user",
            AclLine::Role => "role",
        }
    }
}

/// A `sentinel` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelLine {
    /// Its number, from 1.
    pub number: usize,
    pub text: Vec<u8>,
    /// The words after the first.
    pub words: Vec<Vec<u8>>,
}

/// What a file holds besides directives.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Commands and their new names; an empty name removes the command.
    pub renamed_commands: Vec<(Vec<u8>, Vec<u8>)>,
    /// `user` and `role` lines, with the words after the first.
    pub acl: Vec<(AclLine, Vec<Vec<u8>>)>,
    /// `sentinel` lines.
    pub sentinel: Vec<SentinelLine>,
    /// Sentences for the log.
    pub warnings: Vec<String>,
}

/// Why a configuration was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Number (from 1) and text of the line, unless the error is not of one line.
    pub line: Option<(usize, Vec<u8>)>,
    pub reason: InvalidValue,
}

impl FileError {
    /// A fault of the whole, such as a log file that cannot be opened.
    pub fn whole(reason: impl Into<InvalidValue>) -> Self {
        FileError { line: None, reason: reason.into() }
    }

    /// The error in one line, for the log. The line itself may hold a password.
    pub fn one_line(&self) -> String {
        match &self.line {
            Some((number, _)) => format!("line {number}: {}", self.reason),
            None => self.reason.to_string(),
        }
    }
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "\n*** FATAL CONFIG FILE ERROR (Redis {REDIS_VERSION}) ***")?;
        if let Some((number, text)) = &self.line {
            writeln!(f, "Reading the configuration file, at line {number}")?;
            writeln!(f, ">>> '{}'", printable(text))?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for FileError {}

/// Directives of old versions that files may still have, with one word each; they are ignored.
const RETIRED: [&str; 5] = [
    "list-max-ziplist-entries",
    "list-max-ziplist-value",
    "lua-replicate-commands",
    "io-threads-do-reads",
    "events-per-io-thread",
];

impl Config {
    /// Parses a configuration; directives that it lacks have their defaults.
    pub fn load(text: &[u8], env: &mut dyn ConfigEnv) -> Result<(Config, Loaded), FileError> {
        Config::load_over(Config::default(), text, env)
    }

    /// As [`Self::load`], with other defaults.
    pub fn load_over(
        defaults: Config,
        text: &[u8],
        env: &mut dyn ConfigEnv,
    ) -> Result<(Config, Loaded), FileError> {
        let mut reader =
            Reader { config: defaults, loaded: Loaded::default(), env, save_seen: false, includes: 0 };
        reader.read_text(text, 0)?;
        let Reader { mut config, mut loaded, .. } = reader;
        config.check_whole(&mut loaded)?;
        Ok((config, loaded))
    }

    /// Checks rules between directives.
    fn check_whole(&mut self, loaded: &mut Loaded) -> Result<(), FileError> {
        if self.cluster_enabled && self.replicaof.0.is_some() {
            return Err(FileError::whole("replicaof directive not allowed in cluster mode"));
        }
        if self.cluster_enabled && self.databases > 1 {
            let from = self.databases;
            loaded.warnings.push(format!(
                "WARNING: Changing databases number from {from} to 1 since we are in cluster mode"
            ));
            self.databases = 1;
        }
        self.quota.check(self.databases).map_err(FileError::whole)?;
        loaded.warnings.append(&mut self.warnings());
        Ok(())
    }
}

/// Trims white space around a line.
pub(super) fn trim_line(line: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(|byte| !is_blank(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &line[start..end]
}

struct Reader<'e> {
    config: Config,
    loaded: Loaded,
    env: &'e mut dyn ConfigEnv,
    /// A `save` line has replaced the default save points.
    save_seen: bool,
    includes: usize,
}

impl Reader<'_> {
    fn read_text(&mut self, text: &[u8], depth: usize) -> Result<(), FileError> {
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = trim_line(line);
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let at_line = |reason| FileError { line: Some((index + 1, line.to_vec())), reason };
            let words =
                split_words(line).map_err(|_| at_line("Unbalanced quotes in configuration line".into()))?;
            let Some((name, words)) = words.split_first() else {
                continue;
            };
            if name.eq_ignore_ascii_case(b"include") && words.len() == 1 {
                let text = self.open_include(&words[0], depth).map_err(at_line)?;
                self.read_text(&text, depth + 1)?;
            } else if name.eq_ignore_ascii_case(b"sentinel") && self.env.is_sentinel() {
                // The word alone is the mode, given as `--sentinel`.
                if !words.is_empty() {
                    let (text, words) = (line.to_vec(), words.to_vec());
                    self.loaded.sentinel.push(SentinelLine { number: index + 1, text, words });
                }
            } else {
                self.read_line(name, words).map_err(at_line)?;
            }
        }
        Ok(())
    }

    fn open_include(&mut self, path: &[u8], depth: usize) -> Result<Vec<u8>, InvalidValue> {
        self.includes += 1;
        if depth >= MAX_INCLUDE_DEPTH || self.includes > MAX_INCLUDES {
            return Err("too many files include each other".into());
        }
        let path = super::setting::utf8(path)?;
        self.env
            .include(path)
            .map_err(|reason| format!("Fatal error, can't open config file '{path}': {reason}").into())
    }

    fn read_line(&mut self, name: &[u8], words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        match lookup(name) {
            Some(directive) => self.read_directive(directive, words),
            None => self.read_statement(name, words),
        }
    }

    fn read_directive(&mut self, directive: &Directive, words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        if !directive.has(flags::MULTI) && words.len() != 1 {
            return Err(WRONG_COUNT.into());
        }
        // One quoted argument may hold all the words: --save "900 1".
        let split;
        let words = match words {
            [only] if directive.has(flags::MULTI) && !only.is_empty() => {
                split = split_words(only)
                    .map_err(|_| InvalidValue::from("Unbalanced quotes in configuration line"))?;
                &split
            }
            words => words,
        };
        match directive.name {
            "save" => self.add_save_points(words),
            "quota" => self.config.quota.add(words),
            "dir" => self.change_dir(words),
            _ => directive.assign(&mut self.config, words),
        }
    }

    fn add_save_points(&mut self, words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        let points = SavePoints::parse(words)?;
        if !self.save_seen || is_empty_word(words) {
            self.config.save.0.clear();
        }
        self.save_seen = true;
        self.config.save.0.extend(points);
        Ok(())
    }

    fn change_dir(&mut self, words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        let path = super::setting::utf8(super::setting::single(words)?)?;
        self.config.dir = self.env.change_dir(path)?;
        Ok(())
    }

    /// Lines that are no directives: they exist in files only.
    fn read_statement(&mut self, name: &[u8], words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        match (name.to_ascii_lowercase().as_slice(), words) {
            (retired, [_]) if RETIRED.iter().any(|known| known.as_bytes() == retired) => {
                let retired = printable(retired);
                self.loaded
                    .warnings
                    .push(format!("'{retired}' has no effect: it is a directive of the past"));
                Ok(())
            }
            (b"rename-command", [command, new_name]) => {
                self.env.rename_command(command, new_name)?;
                self.loaded.renamed_commands.push((command.clone(), new_name.clone()));
                Ok(())
            }
            (b"user", [_, ..]) => self.read_acl_line(AclLine::User, words),
            (b"role", [_, ..]) => self.read_acl_line(AclLine::Role, words),
            (b"loadmodule", [_, ..]) => Err("modules cannot be loaded by this server".into()),
            (b"sentinel", _) => Err("sentinel directive while not in sentinel mode".into()),
            _ => Err("Bad directive or wrong number of arguments".into()),
        }
    }

    fn read_acl_line(&mut self, kind: AclLine, words: &[Vec<u8>]) -> Result<(), InvalidValue> {
        self.env.acl_line(kind, words)?;
        self.loaded.acl.push((kind, words.to_vec()));
        Ok(())
    }
}
