//! The command line, as `redis-server` takes it: translated to lines of the configuration file.
//!
//! ```text
//!   [file] [-] [--directive word …]… [-]
//! ```
//!
//! `--port 6380 --save 900 1` becomes `port "6380"` and `save "900" "1"`. A directive's first word may
//! itself start with `--`; `-` first or last means that more text comes from standard input.

use crate::base::quoting::{push_quoted, split_words};

/// The parsed command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    Version,
    Help,
    /// Starts the server with a file, then standard input, then options; the later source overrides.
    Start {
        file: Option<Vec<u8>>,
        stdin: bool,
        options: Vec<u8>,
    },
}

impl CommandLine {
    /// Parses the arguments after the program's name.
    pub fn parse(arguments: &[Vec<u8>]) -> CommandLine {
        match arguments.first().map(Vec::as_slice) {
            Some(b"-v" | b"--version") => return CommandLine::Version,
            Some(b"-h" | b"--help") => return CommandLine::Help,
            _ => {}
        }
        let file = arguments.first().filter(|first| first.first() != Some(&b'-')).cloned();
        let mut stdin = false;
        let mut options = Options { text: Vec::new(), complete: true };
        for (index, argument) in arguments.iter().enumerate().skip(usize::from(file.is_some())) {
            let next = arguments.get(index + 1).map(Vec::as_slice);
            if argument == b"-" && (index == 0 || next.is_none()) {
                stdin = true;
            } else if options.complete && argument.starts_with(b"--") {
                options.begin(&argument[2..], next);
            } else {
                options.add_word(argument);
            }
        }
        CommandLine::Start { file, stdin, options: options.text }
    }
}

struct Options {
    text: Vec<u8>,
    /// Whether the last directive has a word, so that `--` starts another directive.
    complete: bool,
}

impl Options {
    /// Starts a directive; `directive` may include its words, as in `"--port 6380"`.
    fn begin(&mut self, directive: &[u8], next: Option<&[u8]>) {
        if !self.text.is_empty() {
            self.text.push(b'\n');
        }
        self.text.extend_from_slice(directive);
        self.text.push(b' ');
        self.complete = split_words(directive).map_or(true, |words| words.len() != 1);
        // Programs that join an empty list of save points pass `--save` without words.
        let bare_save = directive.eq_ignore_ascii_case(b"save");
        if bare_save && next.is_none_or(|next| next.starts_with(b"--")) {
            self.text.extend_from_slice(b"\"\"");
            self.complete = true;
        }
    }

    fn add_word(&mut self, word: &[u8]) {
        push_quoted(&mut self.text, word);
        self.text.push(b' ');
        self.complete = true;
    }
}

/// One text of all sources, in the order in which they override each other.
pub fn startup_text(file: Option<&[u8]>, stdin: Option<&[u8]>, options: &[u8]) -> Vec<u8> {
    let mut text = file.unwrap_or_default().to_vec();
    text.extend_from_slice(stdin.unwrap_or_default());
    text.push(b'\n');
    text.extend_from_slice(options);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(arguments: &[&str]) -> (Option<String>, bool, String) {
        let arguments: Vec<Vec<u8>> = arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_string();
        match CommandLine::parse(&arguments) {
            CommandLine::Start { file, stdin, options } => (file.map(text), stdin, text(options)),
            other => (Some(format!("{other:?}")), false, String::new()),
        }
    }

    #[test]
    fn files_and_standard_input() {
        assert_eq!(start(&[]), (None, false, String::new()));
        assert_eq!(start(&["a.conf", "-"]), (Some("a.conf".into()), true, String::new()));
        assert_eq!(start(&["-", "--port", "1"]), (None, true, "port \"1\"".into()));
        assert_eq!(start(&["--port", "1", "-"]), (None, true, "port \"1\"".into()));
        assert_eq!(start(&["--version"]).0, Some("Version".into()));
        assert_eq!(start(&["-h"]).0, Some("Help".into()));
    }

    #[test]
    fn options_become_lines() {
        let lines = |arguments: &[&str]| start(arguments).2;
        assert_eq!(lines(&["--port", "1", "--loglevel", "debug"]), "port \"1\" \nloglevel \"debug\"");
        assert_eq!(lines(&["--port 1", "--loglevel 'debug'"]), "port 1 \nloglevel 'debug'");
        assert_eq!(lines(&["x.conf", "loglevel", "verbose"]), "\"loglevel\" \"verbose\"");
        assert_eq!(lines(&["--bind", "--a", "--b"]), "bind \"--a\" \nb");
        assert_eq!(lines(&["--save", "--port", "1"]), "save \"\"\nport \"1\"");
        assert_eq!(lines(&["--port", "1", "--save"]), "port \"1\" \nsave \"\"");
        assert_eq!(lines(&["--save", "", "--port", "1"]), "save \"\" \nport \"1\"");
        assert_eq!(lines(&["--logfile", "--save", "--save", ""]), "logfile \"--save\" \nsave \"\"");
    }
}
