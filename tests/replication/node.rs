//! A server with a directory of its own, which may be stopped and started again on its port; ours or a real one.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::kind::Kind;
use crate::ports::free_port;
use crate::support::reply::{Client, Reply};

/// How long a state may take to be reached.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server; it ends when dropped.
pub struct Node {
    pub kind: Kind,
    pub port: u16,
    pub dir: PathBuf,
    program: PathBuf,
    options: Vec<String>,
    child: Option<Child>,
}

impl Node {
    /// Starts a server; `name` tells its directory from others.
    pub fn start(kind: Kind, name: &str, options: &[&str]) -> Node {
        let program = kind.program().expect("a program");
        let dir = std::env::temp_dir().join(format!("redloop-replication-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        let options = options.iter().map(|option| option.to_string()).collect();
        let mut node = Node { kind, port: 0, dir, program, options, child: None };
        for _ in 0..10 {
            node.port = free_port();
            if node.spawn(&[]) {
                return node;
            }
        }
        panic!("{} doesn't start:\n{}", node.program.display(), node.log());
    }

    /// True once it answers.
    fn spawn(&mut self, more: &[&str]) -> bool {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).expect("a log");
        let child = Command::new(&self.program)
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args([
                "--enable-debug-command",
                "yes",
                "--repl-diskless-sync-delay",
                "0",
                "--repl-backlog-size",
                "100mb",
            ])
            .args(&self.options)
            .args(more)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        self.child = Some(child);
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if self.answers() {
                return true;
            }
            let ended = self.child.as_mut().map(Child::try_wait);
            if ended.is_some_and(|ended| ended.is_ok_and(|status| status.is_some())) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Whether a server is there: on a port that none listens at, a connection may be to itself, or to one that has taken it meanwhile.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let (mut reply, is_asked) = ([0], stream.write_all(b"PING\r\n").is_ok());
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        is_asked && stream.read_exact(&mut reply).is_ok() && matches!(reply[0], b'+' | b'-')
    }

    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// The reply to a request of a connection of its own.
    pub fn ask(&self, line: &str) -> Reply {
        self.client().ask(line).unwrap_or_else(|error| panic!("{line}: {error}\n{}", self.log()))
    }

    /// The reply to a request that can't fail.
    pub fn set(&self, line: &str) {
        let reply = self.ask(line);
        assert!(matches!(reply, Reply::Simple(_)), "{line}: {reply}");
    }

    /// A field of INFO, or nothing.
    pub fn info(&self, section: &str, field: &str) -> String {
        let text = match self.ask(&format!("INFO {section}")) {
            Reply::Bulk(text) => String::from_utf8_lossy(&text).into_owned(),
            other => panic!("INFO: {other}"),
        };
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_default().to_string()
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_none()))
    }

    /// Ends it as SHUTDOWN does.
    pub fn shut_down(&mut self, how: &str) {
        let _ = self.client().ask(&format!("SHUTDOWN {how}"));
        let started = Instant::now();
        while self.is_alive() {
            assert!(started.elapsed() < PATIENCE, "SHUTDOWN {how} doesn't end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again, with these options, too.
    pub fn restart(&mut self, more: &[&str]) {
        self.kill();
        assert!(self.spawn(more), "doesn't start again:\n{}", self.log());
    }

    /// Bytes of memory that the process has.
    pub fn resident(&self) -> u64 {
        let id = self.child.as_ref().expect("a process").id();
        let text = std::fs::read_to_string(format!("/proc/{id}/statm")).expect("statm");
        text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4096
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Waits until something holds; `what` names it, and `report` tells more, if it doesn't.
pub fn eventually(what: &str, report: impl Fn() -> String, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} takes too long\n{}", report());
        std::thread::sleep(Duration::from_millis(10));
    }
}
