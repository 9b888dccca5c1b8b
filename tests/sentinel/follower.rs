//! A client of a library that asks sentinels for the primary and writes to it, as a process that says where it wrote.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::programs::on_path;

/// Which library.
#[derive(Clone, Copy, Debug)]
pub enum Library {
    RedisPy,
    IoRedis,
}

/// What a follower has said.
#[derive(Debug, Default)]
struct Said {
    /// The port of the server that it wrote to last.
    port: Option<u16>,
    writes: u64,
}

/// The process; it is killed when dropped.
#[derive(Debug)]
pub struct Follower {
    child: Child,
    said: Arc<Mutex<Said>>,
}

/// Where `tests/clients/install.sh` puts the libraries.
fn installed() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/redloop-clients");
    std::env::var_os("REDLOOP_CLIENTS").map_or_else(home, PathBuf::from)
}

impl Follower {
    /// Starts one that knows the ports of the sentinels; `None` if the library is not there.
    pub fn start(library: Library, sentinels: &[u16]) -> Option<Follower> {
        let modules = installed().join("node/node_modules");
        let (program, script) = match library {
            Library::RedisPy => (Some(installed().join("python/bin/python")), "follow.py"),
            Library::IoRedis => (on_path("node").filter(|_| modules.join("ioredis").is_dir()), "follow.cjs"),
        };
        let Some(program) = program.filter(|program| program.is_file()) else {
            println!("SKIPPED: no client of {library:?} follows, it is not installed");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sentinel").join(script);
        let mut command = Command::new(program);
        command.arg(script).args(sentinels.iter().map(u16::to_string)).env("NODE_PATH", modules);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let said: Arc<Mutex<Said>> = Arc::default();
        let (lines, shared) = (BufReader::new(child.stdout.take().expect("piped")), said.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut said = shared.lock().expect("lock");
                said.port = line.parse().ok();
                said.writes += 1;
            }
        });
        Some(Follower { child, said })
    }

    /// Whether it wrote to the server on this port last.
    pub fn is_at(&self, port: u16) -> bool {
        self.said.lock().expect("lock").port == Some(port)
    }

    /// How often it has written.
    pub fn writes(&self) -> u64 {
        self.said.lock().expect("lock").writes
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
