//! The tests that Redis 8.6 has of its vector sets, in Python, against the built binary.
//!
//! They need Redis's source tree beside its build (`tests/compat/peers.sh`), and redis-py (`tests/clients/install.sh`). Those that take more than
//! a second by their own estimate are run if `REDLOOP_LONG_TESTS` is set, on a binary of which `REDLOOP_BINARY` should name a release build.

#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/programs.rs"]
mod programs;

use std::path::{Path, PathBuf};
use std::process::Command;

use process::Process;
use programs::find_peer;

/// The server of Redis 8.6.
fn redis() -> Option<PathBuf> {
    find_peer("redis-8.6", "redis-server", "REDLOOP_REDIS_86_SERVER").filter(|program| {
        let said = Command::new(program).arg("--version").output();
        said.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("v=8.6"))
    })
}

/// The binary under test: of this build, or what `REDLOOP_BINARY` names.
fn ours() -> Process {
    const OPTIONS: [&str; 2] = ["--enable-debug-command", "yes"];
    match std::env::var_os("REDLOOP_BINARY") {
        Some(program) => Process::start(&program.into(), &OPTIONS),
        None => Process::ours(&OPTIONS),
    }
}

/// Runs a script of ours, which must succeed; how many it says that it has done.
fn run(mut command: Command) -> u32 {
    let output = command.output().expect("Python runs");
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    let last = text.trim().rsplit('\n').next().unwrap_or_default();
    last.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{text}\n{errors}"))
}

fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vector_sets").join(name));
    command
}

/// The directory of the tests in Redis's tree.
fn tree() -> Option<PathBuf> {
    let tree = redis()?.parent()?.parent()?.join("modules/vector-sets");
    tree.join("test.py").is_file().then_some(tree)
}

/// Python with redis-py.
fn python() -> Option<PathBuf> {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/redloop-clients");
    let clients = std::env::var_os("REDLOOP_CLIENTS").map_or_else(home, PathBuf::from);
    let candidates = [clients.join("python/bin/python"), PathBuf::from("python3")];
    candidates.into_iter().find(|python| {
        let import = Command::new(python).args(["-c", "import redis"]).output();
        import.is_ok_and(|output| output.status.success())
    })
}

#[test]
fn redis_tests_of_vector_sets_pass() {
    let (Some(tree), Some(python)) = (tree(), python()) else {
        println!("SKIPPED: the tests of vector sets, there is no tree of Redis 8.6 or no redis-py");
        return;
    };
    let all = std::env::var_os("REDLOOP_LONG_TESTS").is_some();
    let (primary, replica) = (ours(), ours());
    let mut command = script(&python, "run.py");
    command.arg(tree).args([primary.port.to_string(), replica.port.to_string()]);
    if !all {
        command.arg("1");
    }
    let passed = run(command);
    assert!(passed >= if all { 37 } else { 20 }, "{passed}");
}

#[test]
fn sets_are_exchanged_with_redis() {
    let (Some(redis), Some(python)) = (redis(), python()) else {
        println!("SKIPPED: exchange of vector sets, there is no Redis 8.6 or no redis-py");
        return;
    };
    let (ours, theirs) = (ours(), Process::start(&redis, &["--enable-debug-command", "yes"]));
    let mut command = script(&python, "exchange.py");
    command.args([ours.port.to_string(), theirs.port.to_string()]);
    assert!(run(command) > 1000);
}
