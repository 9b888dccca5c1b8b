//! A server as a process: ours or a real one, started on a port the kernel picks, killed when dropped.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::ports::free_port;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);
/// Lines of output kept for a report.
const KEPT_LINES: usize = 60;

/// A running server.
pub struct Process {
    child: Child,
    pub port: u16,
    /// What it saves, if nothing else is said.
    file: PathBuf,
    /// The last lines of its output.
    output: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// The binary under test.
    pub fn ours(options: &[&str]) -> Process {
        Process::start(&PathBuf::from(env!("CARGO_BIN_EXE_redloop")), options)
    }

    /// Starts a program that takes Redis's options.
    pub fn start(program: &PathBuf, options: &[&str]) -> Process {
        for _ in 0..10 {
            let port = free_port();
            let process = Process::spawn(program, port, options);
            if process.is_ready() {
                return process;
            }
        }
        panic!("{} doesn't start", program.display());
    }

    fn spawn(program: &PathBuf, port: u16, options: &[&str]) -> Process {
        let dir = std::env::temp_dir();
        let name = format!("redloop-{port}.rdb");
        let file = dir.join(&name);
        // What a run that was killed has left is not to be loaded.
        let _ = std::fs::remove_file(&file);
        let mut child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dbfilename", &name])
            .args(options)
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let output = Arc::new(Mutex::new(Vec::new()));
        keep_lines(child.stdout.take().expect("piped"), output.clone());
        keep_lines(child.stderr.take().expect("piped"), output.clone());
        Process { child, port, file, output }
    }

    /// Whether it says that it is ready, before it ends.
    fn is_ready(&self) -> bool {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let ended = !PathBuf::from(format!("/proc/{}/exe", self.child.id())).exists();
            if self.tail().contains("Ready to accept") {
                return TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            }
            if ended {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// The last lines of its output.
    pub fn tail(&self) -> String {
        self.output.lock().expect("lock").join("\n")
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server on port {}", self.port)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}

fn keep_lines(from: impl Read + Send + 'static, output: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut kept = output.lock().expect("lock");
            if kept.len() == KEPT_LINES {
                kept.remove(0);
            }
            kept.push(line);
        }
    });
}
