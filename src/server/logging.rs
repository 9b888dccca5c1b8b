//! The log, in Redis's format, by `log` and `env_logger`.
//!
//! ```text
//! 4711:M 22 Nov 2026 17:03:01.123 * Ready to accept connections tcp
//! pid:role date, local time      level   . debug  - verbose  * notice  # warning
//! ```
//!
//! `log-format` and `log-timestamp-format` have other shapes, for programs. These and `loglevel` may
//! change while the server runs, and the file may be moved away; `RUST_LOG` filters on top of them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{Level, LevelFilter};

use super::syslog::{self, Syslog};
use crate::services::config::{Config, LogFormat, LogLevel, LogTimestampFormat};
use crate::sys::crash;
use crate::sys::process::LocalTime;

/// Where lines go: a file, or standard output.
static TARGET: Mutex<Option<LogFile>> = Mutex::new(None);

/// The log file. After it was moved away (log rotation), the next line creates a new one in its place.
struct LogFile {
    path: PathBuf,
    file: File,
    /// Device and inode, by which the file is known again.
    identity: (u64, u64),
}

impl LogFile {
    fn open(path: PathBuf) -> io::Result<LogFile> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let facts = file.metadata()?;
        crash::report_to(file.as_raw_fd());
        Ok(LogFile { path, file, identity: (facts.dev(), facts.ino()) })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let there = std::fs::metadata(&self.path).map(|facts| (facts.dev(), facts.ino()));
        if there.ok() != Some(self.identity)
            && let Ok(opened) = LogFile::open(self.path.clone())
        {
            *self = opened;
        }
        self.file.write(line)
    }
}

/// The shape of lines.
static SHAPE: Mutex<(LogFormat, LogTimestampFormat)> =
    Mutex::new((LogFormat::Legacy, LogTimestampFormat::Legacy));

/// What goes to syslog, too.
static SYSLOG: Mutex<Option<Syslog>> = Mutex::new(None);

/// Sends lines to syslog from now on, beside the file.
pub fn start_syslog(config: &Config) {
    let mut syslog = Syslog::new(syslog::SOCKET, &config.syslog_ident, config.syslog_facility);
    let opened = syslog.send(&LocalTime::now(), Level::Info, "redloop logs here, too");
    *SYSLOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(syslog);
    if let Err(error) = opened {
        log::warn!(
            "Syslog can't be reached at {} (lines will be sent there once it can): {error}",
            syslog::SOCKET
        );
    }
}

fn send_to_syslog(time: &LocalTime, level: Level, text: &str) {
    let mut syslog = SYSLOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(syslog) = syslog.as_mut() {
        // There is no other place to say so than the one that has the line already.
        let _ = syslog.send(time, level, text);
    }
}

struct Target;

impl Write for Target {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut target = TARGET.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match target.as_mut() {
            Some(file) => file.write(line),
            None => io::stdout().lock().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

/// Starts logging to standard output.
pub fn start() {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(LevelFilter::Trace);
    if let Ok(filters) = std::env::var("RUST_LOG") {
        builder.parse_filters(&filters);
    } else {
        builder.filter_module("mio", LevelFilter::Warn);
    }
    builder.target(env_logger::Target::Pipe(Box::new(Target)));
    builder.format(|out, record| {
        let shape = *SHAPE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (time, text) = (LocalTime::now(), record.args().to_string());
        send_to_syslog(&time, record.level(), &text);
        writeln!(out, "{}", line(shape, &time, record.level(), &text))
    });
    builder.init();
    log::set_max_level(LevelFilter::Info);
}

/// Whether the process is a sentinel, or follows a primary.
static IS_SENTINEL: AtomicBool = AtomicBool::new(false);
static IS_REPLICA: AtomicBool = AtomicBool::new(false);

/// From now on the lines are those of a sentinel.
pub fn set_sentinel() {
    IS_SENTINEL.store(true, Ordering::Relaxed);
}

/// From now on the lines are those of a replica, or of a primary.
pub fn set_replica(is_replica: bool) {
    IS_REPLICA.store(is_replica, Ordering::Relaxed);
}

/// The role of the process, as a letter and as a word.
fn role() -> (char, &'static str) {
    match (IS_SENTINEL.load(Ordering::Relaxed), IS_REPLICA.load(Ordering::Relaxed)) {
        (true, _) => ('X', "sentinel"),
        (false, true) => ('S', "replica"),
        (false, false) => ('M', "primary"),
    }
}

/// A line of the log, without its end.
fn line(shape: (LogFormat, LogTimestampFormat), time: &LocalTime, level: Level, text: &str) -> String {
    let (sign, name) = match level {
        Level::Error | Level::Warn => ('#', "warning"),
        Level::Info => ('*', "notice"),
        Level::Debug => ('-', "info"),
        Level::Trace => ('.', "debug"),
    };
    let (pid, time) = (std::process::id(), stamp(shape.1, time));
    let (letter, role) = role();
    match shape.0 {
        LogFormat::Legacy => format!("{pid}:{letter} {time} {sign} {text}"),
        LogFormat::Logfmt => {
            let text = text.replace('"', "'").replace(char::is_control, " ");
            format!("pid={pid} role={role} timestamp=\"{time}\" level={name} message=\"{text}\"")
        }
        LogFormat::Json => format!(
            "{{\"pid\":{pid},\"role\":\"{role}\",\"timestamp\":\"{time}\",\"level\":\"{name}\",\"message\":\"{}\"}}",
            json(text)
        ),
    }
}

fn stamp(format: LogTimestampFormat, time: &LocalTime) -> String {
    match format {
        LogTimestampFormat::Legacy => time.text(),
        LogTimestampFormat::Iso8601 => time.iso8601(),
        LogTimestampFormat::Milliseconds => time.unix_ms().to_string(),
    }
}

/// Text as it stands between the quotes of a JSON string.
fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// Applies `log-format` and `log-timestamp-format`.
pub fn set_shape(format: LogFormat, timestamps: LogTimestampFormat) {
    *SHAPE.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = (format, timestamps);
}

/// Applies `loglevel`.
pub fn set_level(level: LogLevel) {
    log::set_max_level(match level {
        LogLevel::Debug => LevelFilter::Trace,
        LogLevel::Verbose => LevelFilter::Debug,
        LogLevel::Notice => LevelFilter::Info,
        LogLevel::Warning => LevelFilter::Warn,
        LogLevel::Nothing => LevelFilter::Off,
    });
}

/// Applies `logfile`; empty is standard output. The file is opened for appending.
pub fn set_file(path: &str) -> io::Result<()> {
    let file = match path {
        "" => None,
        path => Some(LogFile::open(std::path::absolute(path)?)?),
    };
    if file.is_none() {
        crash::report_to(libc::STDOUT_FILENO);
    }
    *TARGET.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = file;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_their_format_says() {
        let (time, pid) = (LocalTime::now(), std::process::id());
        let made = |format, text| line((format, LogTimestampFormat::Milliseconds), &time, Level::Warn, text);
        let ms = time.unix_ms();
        assert_eq!(made(LogFormat::Legacy, "a \"b\""), format!("{pid}:M {ms} # a \"b\""));
        let tail = |line: String| line.rsplit_once("message=").map(|(_, tail)| tail.to_string());
        assert_eq!(tail(made(LogFormat::Logfmt, "a \"b\"\n")).as_deref(), Some("\"a 'b' \""));
        assert_eq!(json("\"\\\t\r\n\u{8}\u{c}\u{1}ä"), r#"\"\\\t\r\n\b\f\u0001ä"#);
        assert!(stamp(LogTimestampFormat::Iso8601, &time).contains('T'));
    }
}
