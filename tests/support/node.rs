//! A process of a drill, server or sentinel, in a folder of its own, which may be killed, stopped and started again on its port.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ports::free_port;
use crate::support::reply::{Client, Reply};

/// How long a state may take to come about: a machine that stands still for two seconds puts sentinels into TILT for thirty.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until a condition holds.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process that is killed when dropped.
#[derive(Debug)]
pub struct Node {
    pub port: u16,
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    child: Child,
}

impl Node {
    /// Starts a program on a port that the kernel chooses. `prepare` writes `file.conf` and makes the arguments.
    pub fn start(program: &Path, folder: &Path, prepare: impl Fn(u16, &Path) -> Vec<String>) -> Node {
        for _ in 0..10 {
            let port = free_port();
            let folder = folder.join(port.to_string());
            std::fs::create_dir_all(&folder).expect("a folder");
            let arguments = prepare(port, &folder.join("file.conf"));
            let child = spawn(program, &folder, &arguments);
            let mut node = Node { program: program.to_path_buf(), arguments, folder, port, child };
            if node.answers() {
                return node;
            }
        }
        panic!("{} doesn't start", program.display());
    }

    /// Whether it answers before it ends.
    fn answers(&mut self) -> bool {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// The reply to a request; `None` if there is none.
    pub fn ask(&self, request: &str) -> Option<Reply> {
        Client::try_connect(self.port).ok()?.ask(request).ok()
    }

    /// The reply to a request as text.
    pub fn text(&self, request: &str) -> Option<String> {
        Some(String::from_utf8_lossy(self.ask(request)?.bytes()?).into_owned())
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    pub fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    /// Starts it again on its port, as it was started first.
    pub fn restart(&mut self) {
        self.child = spawn(&self.program, &self.folder, &self.arguments);
        assert!(self.answers(), "{} doesn't start again", self.program.display());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Path, folder: &Path, arguments: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
    let errors = log.try_clone().expect("a log");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}
