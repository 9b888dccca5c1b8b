//! The log in the shape Redis users know, by `log` and `env_logger`.
//!
//! ```text
//! 4711:M 22 Nov 2026 17:03:01.123 * Ready to accept connections tcp
//! pid:role date, local time      level   . debug  - verbose  * notice  # warning
//! ```
//!
//! `loglevel` and `logfile` may change while the server runs; `RUST_LOG` filters on top of them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Mutex;

use log::{Level, LevelFilter};

use crate::services::config::LogLevel;
use crate::sys::process;

/// Where lines go: a file, or standard output.
static TARGET: Mutex<Option<File>> = Mutex::new(None);

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
        let level = match record.level() {
            Level::Error | Level::Warn => '#',
            Level::Info => '*',
            Level::Debug => '-',
            Level::Trace => '.',
        };
        let (pid, time) = (std::process::id(), process::local_time_text());
        writeln!(out, "{pid}:M {time} {level} {}", record.args())
    });
    builder.init();
    log::set_max_level(LevelFilter::Info);
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
    let file =
        if path.is_empty() { None } else { Some(OpenOptions::new().create(true).append(true).open(path)?) };
    *TARGET.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = file;
    Ok(())
}
