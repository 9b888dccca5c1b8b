//! The AOF manifest: which files make the data set, in order.
//!
//! ```text
//! file appendonly.aof.2.base.rdb seq 2 type b                       the base, at most one
//! file appendonly.aof.1.incr.aof seq 1 type h startoffset 0         history: may be removed
//! file appendonly.aof.2.incr.aof seq 2 type i startoffset 734       increments, by rising sequence number
//! ```
//!
//! A line is pairs of a keyword and its value; unknown keywords are left out, names are quoted if they must be, a
//! line that begins with `#` is a comment. A change makes another manifest; the caller replaces the file, and
//! from then on goes by the new one.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::number::{is_c_space, push_i64};
use crate::base::quoting::{needs_quotes, printable, push_quoted, split_words};

/// Longest line, its end included, in bytes.
const MAX_LINE: usize = 1024;
/// Sequence numbers that a manifest may begin with: however often they are counted up, they don't overflow.
const MAX_SEQUENCE: i64 = i64::MAX / 2;

/// The role of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The snapshot that the increments are applied to.
    Base,
    /// Replaced by a newer base; to be removed.
    History,
    /// Commands.
    Increment,
}

/// A file that the manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name in the directory; a path has no `/`.
    pub name: Vec<u8>,
    pub sequence: i64,
    /// Replication offset of an increment's first byte, if it is known.
    pub start_offset: Option<i64>,
    /// Replication offset behind an increment's last byte, if it was closed in order.
    pub end_offset: Option<i64>,
}

impl FileEntry {
    fn new(name: Vec<u8>, sequence: i64) -> Self {
        FileEntry { name, sequence, start_offset: None, end_offset: None }
    }

    /// The file's path below the directory of the AOF.
    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(OsStr::from_bytes(&self.name))
    }
}

impl fmt::Display for FileEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.name))
    }
}

/// How a base file is written (`aof-use-rdb-preamble`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFormat {
    /// As an RDB file.
    Rdb,
    /// As commands.
    Commands,
}

/// The names of the files, made from `appendfilename`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    file: String,
}

impl Names {
    /// Names that begin with `appendfilename`.
    pub fn new(appendfilename: &str) -> Self {
        Names { file: appendfilename.to_string() }
    }

    /// The file itself: an AOF before there were manifests.
    pub fn single(&self) -> &str {
        &self.file
    }

    pub fn manifest(&self) -> String {
        format!("{}.manifest", self.file)
    }

    /// The manifest while it is written.
    pub fn temporary_manifest(&self) -> String {
        format!("temp-{}.manifest", self.file)
    }

    /// The increment while there is no base for it.
    pub fn temporary_increment(&self) -> String {
        format!("temp-{}.incr", self.file)
    }

    fn base(&self, sequence: i64, format: BaseFormat) -> String {
        let suffix = match format {
            BaseFormat::Rdb => "rdb",
            BaseFormat::Commands => "aof",
        };
        format!("{}.{sequence}.base.{suffix}", self.file)
    }

    fn increment(&self, sequence: i64) -> String {
        format!("{}.{sequence}.incr.aof", self.file)
    }
}

/// Why a manifest can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// Number and text of the line at fault, if one is.
    pub line: Option<(usize, Vec<u8>)>,
    pub reason: &'static str,
}

impl ManifestError {
    fn whole(reason: &'static str) -> Self {
        ManifestError { line: None, reason }
    }

    /// What Redis logs, an entry each.
    pub fn log_lines(&self) -> Vec<String> {
        let mut lines = vec!["\n*** FATAL AOF MANIFEST FILE ERROR ***\n".to_string()];
        if let Some((number, text)) = &self.line {
            lines.push(format!("Reading the manifest file, at line {number}\n"));
            lines.push(format!(">>> '{}'\n", printable(text)));
        }
        lines.push(self.reason.to_string());
        lines
    }
}

const INVALID: &str = "Invalid AOF manifest file format";

/// See the module's description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    base: Option<FileEntry>,
    history: Vec<FileEntry>,
    increments: Vec<FileEntry>,
    /// Sequence numbers given last.
    base_sequence: i64,
    increment_sequence: i64,
}

impl Manifest {
    /// Reads a manifest's text.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        if text.is_empty() {
            return Err(ManifestError::whole("Found an empty AOF manifest"));
        }
        let mut manifest = Manifest::default();
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            // Of a comment, too, only so much is read at once; what is left is another line.
            let too_long = line.len() > MAX_LINE;
            if line.starts_with(b"#") && !too_long {
                continue;
            }
            if too_long || !line.ends_with(b"\n") || line.contains(&0) {
                return Err(ManifestError::whole("The AOF manifest file contains too long line"));
            }
            let line = trim(line);
            manifest
                .add_line(line)
                .map_err(|reason| ManifestError { line: Some((index + 1, line.to_vec())), reason })?;
        }
        Ok(manifest)
    }

    fn add_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let (role, entry) = parse_entry(line)?;
        match role {
            b'b' if self.base.is_some() => return Err("Found duplicate base file information"),
            b'b' => {
                self.base_sequence = entry.sequence;
                self.base = Some(entry);
            }
            b'h' => self.history.push(entry),
            b'i' if entry.sequence <= self.increment_sequence => {
                return Err("Found a non-monotonic sequence number");
            }
            b'i' => {
                self.increment_sequence = entry.sequence;
                self.increments.push(entry);
            }
            _ => return Err("Unknown AOF file type"),
        }
        Ok(())
    }

    /// The text that [`Manifest::parse`] reads.
    pub fn format(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (role, entry) in self.entries() {
            push_entry(&mut out, role, entry);
        }
        out
    }

    /// All files: the base, history, increments.
    pub fn entries(&self) -> impl Iterator<Item = (Role, &FileEntry)> {
        let with = |role| move |entry| (role, entry);
        let base = self.base.iter().map(with(Role::Base));
        let history = self.history.iter().map(with(Role::History));
        base.chain(history).chain(self.increments.iter().map(with(Role::Increment)))
    }

    /// The files that make the data set, in the order in which they are loaded.
    pub fn files(&self) -> impl Iterator<Item = (Role, &FileEntry)> {
        self.entries().filter(|(role, _)| *role != Role::History)
    }

    pub fn base(&self) -> Option<&FileEntry> {
        self.base.as_ref()
    }

    pub fn history(&self) -> &[FileEntry] {
        &self.history
    }

    pub fn increments(&self) -> &[FileEntry] {
        &self.increments
    }

    /// The increment that is written to, or was last.
    pub fn last_increment(&self) -> Option<&FileEntry> {
        self.increments.last()
    }

    /// Whether no file makes a data set.
    pub fn is_empty(&self) -> bool {
        self.files().next().is_none()
    }

    fn has(&self, name: &[u8]) -> bool {
        self.entries().any(|(_, entry)| entry.name == name)
    }

    /// Adds an empty increment behind the others. `start_offset` is the replication offset where it begins; it is left
    /// out of the text if there is none (Valkey has none).
    pub fn add_increment(&mut self, names: &Names, start_offset: Option<i64>) -> &FileEntry {
        let name = loop {
            self.increment_sequence += 1;
            let name = names.increment(self.increment_sequence).into_bytes();
            // After a start without increments, their numbers begin anew, but history may still have some.
            if !self.has(&name) {
                break name;
            }
        };
        let entry = FileEntry { start_offset, ..FileEntry::new(name, self.increment_sequence) };
        self.increments.push(entry);
        &self.increments[self.increments.len() - 1]
    }

    /// Makes a new base; the base before becomes history.
    pub fn replace_base(&mut self, names: &Names, format: BaseFormat) -> &FileEntry {
        let name = loop {
            self.base_sequence += 1;
            let name = names.base(self.base_sequence, format).into_bytes();
            if !self.has(&name) {
                break name;
            }
        };
        if let Some(old) = self.base.take() {
            self.history.insert(0, old);
        }
        self.base.insert(FileEntry::new(name, self.base_sequence))
    }

    /// The increments that the base contains become history: all but the last `kept`.
    pub fn retire_increments(&mut self, kept: usize) {
        let retired = self.increments.len().saturating_sub(kept);
        self.history.splice(0..0, self.increments.drain(..retired));
    }

    /// The history files, which are forgotten with this.
    pub fn take_history(&mut self) -> Vec<FileEntry> {
        std::mem::take(&mut self.history)
    }

    /// The replication offset behind the last increment, whose file has `len` bytes: where the next command goes.
    pub fn offset_behind(&self, len: u64) -> u64 {
        let last = self.last_increment();
        let end = last.and_then(|last| last.end_offset);
        let counted = || last.and_then(|last| last.start_offset).unwrap_or(0).saturating_add_unsigned(len);
        u64::try_from(end.unwrap_or_else(counted)).unwrap_or(0)
    }

    /// Makes an AOF of a single file, from before there were manifests, the base.
    pub fn adopt_single_file(&mut self, names: &Names) {
        self.base = Some(FileEntry::new(names.single().as_bytes().to_vec(), 1));
        self.base_sequence = 1;
    }

    /// Whether the base is a single file of old and nothing was added: then its move into the directory may be pending.
    pub fn is_single_file(&self, names: &Names) -> bool {
        let is_single = |base: &FileEntry| base.name == names.single().as_bytes();
        self.base.as_ref().is_some_and(is_single) && self.increments.is_empty()
    }

    /// Notes the replication offset behind the last increment's last byte, or takes it back; whether that changed
    /// anything. An offset is written only behind one of the start.
    pub fn set_end_offset(&mut self, offset: Option<i64>) -> bool {
        let Some(last) = self.increments.last_mut() else { return false };
        let changed = last.end_offset != offset;
        last.end_offset = offset;
        changed && (last.start_offset.is_some() || offset.is_none())
    }
}

/// Without the white space around it.
fn trim(line: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().position(|byte| !blank(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &line[start..end]
}

/// The letter of the role and the entry.
fn parse_entry(line: &[u8]) -> Result<(u8, FileEntry), &'static str> {
    let words = split_words(line).map_err(|_| INVALID)?;
    if words.len() < 6 || !words.len().is_multiple_of(2) {
        return Err(INVALID);
    }
    let (mut entry, mut role) = (FileEntry::new(Vec::new(), 0), 0);
    // Redis writes -1 for no offset.
    let offset = |value: &[u8]| Some(parse_number(value)).filter(|offset| *offset != -1);
    for pair in words.chunks_exact(2) {
        let (keyword, value) = (&pair[0], &pair[1]);
        match keyword.to_ascii_lowercase().as_slice() {
            b"file" if value.iter().any(|byte| matches!(byte, b'/' | b'\\')) => {
                return Err("File can't be a path, just a filename");
            }
            b"file" => entry.name.clone_from(value),
            b"seq" => entry.sequence = parse_number(value),
            b"type" => role = value.first().copied().unwrap_or(0),
            b"startoffset" => entry.start_offset = offset(value),
            b"endoffset" => entry.end_offset = offset(value),
            _ => {}
        }
    }
    let is_whole = !entry.name.is_empty() && !entry.name.contains(&0) && entry.sequence != 0 && role != 0;
    if !is_whole || entry.sequence > MAX_SEQUENCE {
        return Err(INVALID);
    }
    Ok((role, entry))
}

/// C's `atoll`: white space, a sign, digits until something else; 0 without digits, the nearest number if it is too big.
fn parse_number(text: &[u8]) -> i64 {
    let start = text.iter().position(|byte| !is_c_space(*byte)).unwrap_or(text.len());
    let (negative, digits) = match &text[start..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0i64, |number, byte| {
        let digit = i64::from(byte - b'0');
        number.saturating_mul(10).saturating_add(if negative { -digit } else { digit })
    })
}

fn push_entry(out: &mut Vec<u8>, role: Role, entry: &FileEntry) {
    out.extend_from_slice(b"file ");
    if needs_quotes(&entry.name) {
        push_quoted(out, &entry.name);
    } else {
        out.extend_from_slice(&entry.name);
    }
    out.extend_from_slice(b" seq ");
    push_i64(out, entry.sequence);
    out.extend_from_slice(match role {
        Role::Base => b" type b",
        Role::History => b" type h",
        Role::Increment => b" type i",
    });
    if let Some(start) = entry.start_offset {
        out.extend_from_slice(b" startoffset ");
        push_i64(out, start);
        if let Some(end) = entry.end_offset {
            out.extend_from_slice(b" endoffset ");
            push_i64(out, end);
        }
    }
    out.push(b'\n');
}

/// The fuzz entry: what is read is written so that it reads the same.
pub fn fuzz_manifest(data: &[u8]) {
    let Ok(manifest) = Manifest::parse(data) else { return };
    let text = manifest.format();
    match Manifest::parse(&text) {
        // An end without a start, and offsets of a base, aren't kept.
        Ok(again) => assert_eq!(again.format(), text),
        // A quoted name takes more bytes.
        Err(error) => assert!(manifest.is_empty() && text.is_empty() || error.reason.contains("too long")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new("appendonly.aof")
    }

    fn text(manifest: &Manifest) -> String {
        String::from_utf8(manifest.format()).expect("text")
    }

    /// The error's reason and line number.
    fn refused(text: &str) -> (&'static str, Option<usize>) {
        let error = Manifest::parse(text.as_bytes()).expect_err("not a manifest");
        (error.reason, error.line.map(|(number, _)| number))
    }

    #[test]
    fn text_is_read_and_written_as_it_was() {
        let sound = "file appendonly.aof.2.base.rdb seq 2 type b\n\
                     file appendonly.aof.1.incr.aof seq 1 type h\n\
                     file appendonly.aof.4.incr.aof seq 4 type i startoffset 100\n\
                     file appendonly.aof.7.incr.aof seq 7 type i startoffset 734 endoffset 990\n";
        let manifest = Manifest::parse(sound.as_bytes()).expect("a manifest");
        assert_eq!(text(&manifest), sound);
        assert_eq!(manifest.base().map(|base| base.sequence), Some(2));
        assert_eq!(manifest.files().map(|(_, file)| file.sequence).collect::<Vec<_>>(), [2, 4, 7]);
        assert_eq!(manifest.last_increment().and_then(|last| last.end_offset), Some(990));
        assert_eq!(
            manifest.base().map(|base| base.path(Path::new("dir"))),
            Some("dir/appendonly.aof.2.base.rdb".into())
        );

        // Comments, keywords in any case and order, unknown ones, words around.
        let odd = "# a comment\n  SEQ 3x\tfile 'a b' newkey newvalue type base  \r\n";
        let manifest = Manifest::parse(odd.as_bytes()).expect("a manifest");
        assert_eq!(text(&manifest), "file \"a b\" seq 3 type b\n");
        // Nothing but comments: no files.
        assert!(Manifest::parse(b"#\n").is_ok_and(|manifest| manifest.is_empty()));
    }

    #[test]
    fn names_are_quoted() {
        let mut manifest = Manifest::default();
        let names = Names::new(" file seq \n\n.aof ");
        manifest.replace_base(&names, BaseFormat::Rdb);
        assert_eq!(text(&manifest), "file \" file seq \\n\\n.aof .1.base.rdb\" seq 1 type b\n");
        assert_eq!(Manifest::parse(&manifest.format()), Ok(manifest));
    }

    #[test]
    fn faults_are_those_of_redis() {
        let base = "file appendonly.aof.1.base.aof seq 1 type b\n";
        let invalid = |line| (INVALID, Some(line));
        assert_eq!(refused(""), ("Found an empty AOF manifest", None));
        assert_eq!(refused("\n"), invalid(1));
        for second in [
            "\n",
            "!!!\n",
            "file a type i\n",
            "filx a seq 1 type i\n",
            "file a seq 0 type i\n",
            "file a seq x type i\n",
            "file \"\" seq 1 type i\n",
            "file \"a\\x00b\" seq 1 type i\n",
            "file a seq 1 type \"\"\n",
            "file a seq 1 type i newkey\n",
            "file \"a seq 1 type i\n",
            "file a seq 9223372036854775807 type i\n",
        ] {
            assert_eq!(refused(&format!("{base}{second}")), invalid(2), "{second}");
        }
        let reason = |second: &str| refused(&format!("{base}{second}")).0;
        assert_eq!(reason("file a/b seq 1 type i\n"), "File can't be a path, just a filename");
        assert_eq!(reason("file a seq 1 type b\n"), "Found duplicate base file information");
        assert_eq!(reason("file a seq 1 type x\n"), "Unknown AOF file type");
        assert_eq!(reason("file a seq -1 type i\n"), "Found a non-monotonic sequence number");
        assert_eq!(
            reason("file a seq 2 type i\nfile b seq 2 type i\n"),
            "Found a non-monotonic sequence number"
        );
        let too_long = ("The AOF manifest file contains too long line", None);
        assert_eq!(refused(&format!("{base}file a seq 1 type i")), too_long, "no end of line");
        assert_eq!(refused(&format!("{base}file a seq 1 type i\0\n")), too_long);
        assert_eq!(refused(&format!("{}\n", base.trim().repeat(30))), too_long);
        assert_eq!(refused(&format!("#{}\n", "x".repeat(MAX_LINE))), too_long);

        let error = Manifest::parse(b"file a seq 1 type x \n").expect_err("not a manifest");
        assert_eq!(
            error.log_lines(),
            [
                "\n*** FATAL AOF MANIFEST FILE ERROR ***\n",
                "Reading the manifest file, at line 1\n",
                ">>> 'file a seq 1 type x'\n",
                "Unknown AOF file type"
            ]
        );
    }

    /// The life of a data set, with the manifests that Redis writes.
    #[test]
    fn rewrites_make_history() {
        let mut manifest = Manifest::default();
        let base = manifest.replace_base(&names(), BaseFormat::Rdb).to_string();
        let increment = manifest.add_increment(&names(), Some(0)).to_string();
        assert_eq!(
            (base.as_str(), increment.as_str()),
            ("appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof")
        );

        // Two rewrites begin; the second succeeds.
        manifest.add_increment(&names(), Some(10));
        manifest.add_increment(&names(), None);
        manifest.replace_base(&names(), BaseFormat::Commands);
        manifest.retire_increments(1);
        assert_eq!(
            text(&manifest),
            "file appendonly.aof.2.base.aof seq 2 type b\n\
             file appendonly.aof.1.incr.aof seq 1 type h startoffset 0\n\
             file appendonly.aof.2.incr.aof seq 2 type h startoffset 10\n\
             file appendonly.aof.1.base.rdb seq 1 type h\n\
             file appendonly.aof.3.incr.aof seq 3 type i\n"
        );
        assert_eq!(Manifest::parse(&manifest.format()), Ok(manifest.clone()));

        let history: Vec<String> = manifest.take_history().iter().map(ToString::to_string).collect();
        assert_eq!(
            history,
            ["appendonly.aof.1.incr.aof", "appendonly.aof.2.incr.aof", "appendonly.aof.1.base.rdb"]
        );
        assert!(manifest.history().is_empty());
        // With the AOF off, a rewrite leaves no increment.
        manifest.replace_base(&names(), BaseFormat::Rdb);
        manifest.retire_increments(0);
        manifest.take_history();
        assert_eq!(text(&manifest), "file appendonly.aof.3.base.rdb seq 3 type b\n");
        assert_eq!(manifest.add_increment(&names(), None).to_string(), "appendonly.aof.4.incr.aof");
    }

    /// A new file isn't one that is going to be removed.
    #[test]
    fn names_of_history_are_not_given_again() {
        let text =
            b"file appendonly.aof.1.base.rdb seq 1 type h\nfile appendonly.aof.1.incr.aof seq 1 type h\n";
        let mut manifest = Manifest::parse(text).expect("a manifest");
        assert_eq!(manifest.add_increment(&names(), None).to_string(), "appendonly.aof.2.incr.aof");
        assert_eq!(manifest.replace_base(&names(), BaseFormat::Rdb).to_string(), "appendonly.aof.2.base.rdb");
    }

    #[test]
    fn offsets_of_the_end_come_and_go() {
        let mut manifest = Manifest::default();
        assert!(!manifest.set_end_offset(Some(1)));
        manifest.add_increment(&names(), Some(7));
        assert!(manifest.set_end_offset(Some(20)) && !manifest.set_end_offset(Some(20)));
        assert_eq!(
            text(&manifest),
            "file appendonly.aof.1.incr.aof seq 1 type i startoffset 7 endoffset 20\n"
        );
        assert!(manifest.set_end_offset(None));
        manifest.add_increment(&names(), None);
        assert!(!manifest.set_end_offset(Some(20)), "no end without a start");
    }

    #[test]
    fn a_single_file_becomes_the_base() {
        let mut manifest = Manifest::default();
        manifest.adopt_single_file(&names());
        assert_eq!(text(&manifest), "file appendonly.aof seq 1 type b\n");
        assert!(manifest.is_single_file(&names()) && !manifest.is_single_file(&Names::new("other")));
        manifest.add_increment(&names(), None);
        assert!(!manifest.is_single_file(&names()));
        assert_eq!(manifest.replace_base(&names(), BaseFormat::Rdb).to_string(), "appendonly.aof.2.base.rdb");
    }
}
