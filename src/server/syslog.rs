//! Lines of the log for syslog (RFC 3164), over the datagram socket of the machine's own daemon.
//!
//! ```text
//! <133>Nov 29 00:01:02 redis[4711]: Ready to accept connections tcp
//!  facility * 8 + severity
//! ```
//!
//! The loop never waits for the daemon: a line that the socket doesn't take at once is lost for syslog, and is still in the
//! file.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use log::Level;

use crate::services::config::SyslogFacility;
use crate::sys::process::LocalTime;

/// The daemon's socket.
pub(super) const SOCKET: &str = "/dev/log";
/// Longest text of a line, bytes: what every daemon takes.
const MAX_TEXT: usize = 1024;

/// The connection to the daemon.
pub(super) struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    ident: String,
    facility: u8,
}

/// The number of a facility.
fn code(facility: SyslogFacility) -> u8 {
    match facility {
        SyslogFacility::User => 1,
        SyslogFacility::Local0 => 16,
        SyslogFacility::Local1 => 17,
        SyslogFacility::Local2 => 18,
        SyslogFacility::Local3 => 19,
        SyslogFacility::Local4 => 20,
        SyslogFacility::Local5 => 21,
        SyslogFacility::Local6 => 22,
        SyslogFacility::Local7 => 23,
    }
}

/// As Redis maps its levels.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error | Level::Warn => 4,
        Level::Info => 5,
        Level::Debug => 6,
        Level::Trace => 7,
    }
}

impl Syslog {
    pub(super) fn new(path: impl Into<PathBuf>, ident: &str, facility: SyslogFacility) -> Self {
        Syslog { path: path.into(), socket: None, ident: ident.into(), facility: code(facility) }
    }

    /// Sends a line. The daemon may have been started anew since the last one.
    pub(super) fn send(&mut self, time: &LocalTime, level: Level, text: &str) -> io::Result<()> {
        let priority = self.facility * 8 + severity(level);
        let text = &text[..text.floor_char_boundary(MAX_TEXT)];
        let (time, ident, pid) = (time.syslog(), &self.ident, std::process::id());
        let line = format!("<{priority}>{time} {ident}[{pid}]: {text}");
        if let Some(socket) = &self.socket {
            match socket.send(line.as_bytes()) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => self.socket = None,
                sent => return sent.map(drop),
            }
        }
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.path)?;
        self.socket.insert(socket).send(line.as_bytes()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(daemon: &UnixDatagram) -> String {
        let mut bytes = [0; 4096];
        let length = daemon.recv(&mut bytes).expect("a line");
        String::from_utf8(bytes[..length].to_vec()).expect("text")
    }

    #[test]
    fn lines_reach_the_daemon_also_after_it_was_started_anew() {
        let path = std::env::temp_dir().join(format!("redloop-syslog-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut syslog = Syslog::new(&path, "cache", SyslogFacility::Local3);
        let time = LocalTime::now();
        assert!(syslog.send(&time, Level::Info, "too early").is_err());
        for round in 0..2 {
            let daemon = UnixDatagram::bind(&path).expect("bound");
            syslog.send(&time, Level::Info, &format!("round {round}")).expect("sent");
            let (head, text) = (format!("<157>{}", time.syslog()), format!("round {round}"));
            assert_eq!(receive(&daemon), format!("{head} cache[{}]: {text}", std::process::id()));
            syslog.send(&time, Level::Warn, &"ä".repeat(1000)).expect("sent");
            let line = receive(&daemon);
            assert!(line.starts_with("<156>") && line.ends_with(&format!(": {}", "ä".repeat(512))), "{line}");
            std::fs::remove_file(&path).expect("removed");
        }
    }

    /// The loop doesn't wait for a daemon that reads nothing.
    #[test]
    fn a_daemon_that_is_stuck_holds_nothing_up() {
        let path = std::env::temp_dir().join(format!("redloop-syslog-stuck-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let _daemon = UnixDatagram::bind(&path).expect("bound");
        let mut syslog = Syslog::new(&path, "cache", SyslogFacility::User);
        let time = LocalTime::now();
        let sent = (0..100_000).map(|_| syslog.send(&time, Level::Info, "line"));
        let full = sent.into_iter().find_map(Result::err).expect("it is full in the end");
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        std::fs::remove_file(&path).expect("removed");
    }
}
