//! Applications that people run on Redis, each doing its job with the built binary on a server of its own: job queues, locks, rate
//! limiters, sessions, a cache in the client. Nearly all of them are Lua scripts.
//!
//! `tests/applications/install.sh` installs them into `$REDLOOP_CLIENTS/applications` (by default
//! `~/.cache/redloop-clients/applications`); Sidekiq is Debian's. With `REDLOOP_APPLICATIONS_REAL=1` they run on a real server, to
//! test the tests.

#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/programs.rs"]
mod programs;

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use process::Process;
use programs::{find_peer, on_path};

/// How long one application may take: each waits at most 20 s for one thing, and takes at most 30 s when all goes well.
const PATIENCE: Duration = Duration::from_secs(100);

/// Where the applications are.
fn installed() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/redloop-clients");
    std::env::var_os("REDLOOP_CLIENTS").map_or_else(home, PathBuf::from).join("applications")
}

/// A fresh server.
fn server() -> Process {
    if std::env::var_os("REDLOOP_APPLICATIONS_REAL").is_none() {
        return Process::ours(&[]);
    }
    let real = find_peer("redis", "redis-server", "REDLOOP_REDIS_SERVER").expect("a real server");
    Process::start(&real, &[])
}

/// A program and the processes it starts, which are killed when it has ended or should have.
struct Group(Child);

impl Group {
    /// Waits for the program's end; `None` after too long a time.
    fn wait(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The group has the id of the program, which led it; it's an error that no process is left in it.
        let _ = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.0.id())])
            .stderr(Stdio::null())
            .status();
        let _ = self.0.wait();
    }
}

/// Runs a program of this directory on a fresh server to its end, which must be a success, and report enough checks.
fn application(mut interpreter: Command, program: &str, arguments: &[&str], least: u32) {
    let server = server();
    // A file, not a pipe: processes that the program leaves behind may hold it open.
    let kept = std::env::temp_dir().join(format!("redloop-{program}-{}", server.port));
    let output = File::create(&kept).expect("a file");
    interpreter.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/applications").join(program));
    interpreter
        .arg(server.port.to_string())
        .args(arguments)
        .current_dir(std::env::temp_dir())
        .process_group(0);
    interpreter.stdin(Stdio::null()).stdout(output.try_clone().expect("a file")).stderr(output);
    let mut group = Group(interpreter.spawn().unwrap_or_else(|error| panic!("{program}: {error}")));
    let status = group.wait();
    drop(group);
    let output = std::fs::read(&kept).expect("a file");
    std::fs::remove_file(&kept).expect("a file");
    let output = String::from_utf8_lossy(&output);
    assert!(
        status.is_some_and(|status| status.success()),
        "{program}: {status:?} {output}\n{}",
        server.tail()
    );
    let checks = output.trim().rsplit(' ').next().and_then(|word| word.parse::<u32>().ok());
    assert!(checks.is_some_and(|checks| checks >= least), "{program}: {output}");
}

/// A program for Node.js, unless one of its packages is missing.
fn node(program: &str, packages: &[&str], arguments: &[&str], least: u32) {
    let modules = installed().join("node/node_modules");
    let missing = packages.iter().find(|package| !modules.join(package).is_dir());
    let Some(node) = on_path("node").filter(|_| missing.is_none()) else {
        println!(
            "SKIPPED: {program}, there is no node or not all of {} in {}",
            packages.join(", "),
            modules.display()
        );
        return;
    };
    let mut interpreter = Command::new(node);
    interpreter.env("NODE_PATH", modules);
    application(interpreter, program, arguments, least);
}

/// A program for Python, unless it lacks the module.
fn python(program: &str, module: &str, least: u32) {
    let python = installed().join("python/bin/python");
    let import = |path: &Path| Command::new(path).args(["-c", &format!("import {module}")]).output();
    if !import(&python).is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: {program}, {} has no {module}", python.display());
        return;
    }
    let mut interpreter = Command::new(python);
    // Worker processes import the program; the source tree stays as it is.
    interpreter.env("PYTHONDONTWRITEBYTECODE", "1");
    application(interpreter, program, &[], least);
}

#[test]
fn bullmq_with_ioredis() {
    node("bullmq.cjs", &["bullmq", "ioredis", "redis"], &["ioredis"], 60);
}

#[test]
fn bullmq_with_node_redis() {
    node("bullmq.cjs", &["bullmq", "ioredis", "redis"], &["redis"], 60);
}

#[test]
fn redlock() {
    node("redlock.cjs", &["redlock", "ioredis"], &[], 25);
}

#[test]
fn rate_limiter_flexible() {
    node("rate_limiter_flexible.cjs", &["rate-limiter-flexible", "ioredis", "redis"], &[], 35);
}

#[test]
fn connect_redis() {
    node("connect_redis.cjs", &["connect-redis", "express-session", "redis"], &[], 12);
}

#[test]
fn node_redis_client_side_cache() {
    node("client_cache.cjs", &["redis"], &[], 31);
}

#[test]
fn rq() {
    python("rq_jobs.py", "rq", 50);
}

#[test]
fn celery() {
    python("celery_jobs.py", "celery", 32);
}

#[test]
fn limits() {
    python("limits_windows.py", "limits", 66);
}

#[test]
fn python_redis_lock() {
    python("redis_lock_owners.py", "redis_lock", 32);
}

#[test]
fn sidekiq() {
    let ruby = on_path("ruby").filter(|_| on_path("sidekiq").is_some());
    let Some(ruby) = ruby.filter(|ruby| {
        Command::new(ruby).args(["-e", "require 'sidekiq/api'"]).status().is_ok_and(|status| status.success())
    }) else {
        println!("SKIPPED: sidekiq_jobs.rb, there is no ruby with sidekiq (Debian's ruby-sidekiq)");
        return;
    };
    application(Command::new(ruby), "sidekiq_jobs.rb", &[], 31);
}
