//! Client libraries as people use them, against the built binary: redis-py, ioredis, node-redis, and Prometheus's parser.
//!
//! `tests/clients/install.sh` installs them into `$REDLOOP_CLIENTS` (by default `~/.cache/redloop-clients`).

#[path = "../support/process.rs"]
mod process;
#[path = "../support/programs.rs"]
mod programs;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use process::Process;
use programs::{find_peer, on_path};

/// Where the libraries are.
fn installed() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/redloop-clients");
    std::env::var_os("REDLOOP_CLIENTS").map_or_else(home, PathBuf::from)
}

/// The server under test, and a real one of version 8, if there is one, to test the test.
fn servers() -> Vec<Process> {
    let real = find_peer("redis", "redis-server", "REDLOOP_REDIS_SERVER").filter(|program| {
        let said = Command::new(program).arg("--version").output().expect("it runs").stdout;
        String::from_utf8_lossy(&said).contains("v=8.")
    });
    let real = real.map(|program| Process::start(&program, &[]));
    [Some(Process::ours(&[])), real].into_iter().flatten().collect()
}

/// Runs a script to its end, which must be a success, and report enough checks.
fn smoke(mut command: Command, name: &str, least: u32) {
    let output = command.output().unwrap_or_else(|error| panic!("{name}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {out}{err}");
    let checks = out.trim().rsplit(' ').next().and_then(|word| word.parse::<u32>().ok());
    assert!(checks.is_some_and(|checks| checks >= least), "{name}: {out}{err}");
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[test]
fn redis_py() {
    let python = installed().join("python/bin/python");
    if !python.is_file() {
        println!("SKIPPED: redis_py, there is no {}", python.display());
        return;
    }
    for server in servers() {
        for protocol in ["2", "3"] {
            let mut command = Command::new(&python);
            command.arg(script("smoke.py")).args([&server.port.to_string(), protocol]);
            smoke(command, &format!("redis-py, RESP{protocol}, {server:?}"), 100);
        }
    }
}

/// Prometheus's own library reads what the metrics port writes.
#[test]
fn prometheus_client() {
    let python = installed().join("python/bin/python");
    let has_library = python.is_file()
        && Command::new(&python)
            .args(["-c", "import prometheus_client"])
            .output()
            .is_ok_and(|output| output.status.success());
    if !has_library {
        println!("SKIPPED: prometheus_client, there is no such library in {}", python.display());
        return;
    }
    let free =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let server = Process::ours(&["--metrics-port", &free.to_string()]);
    let mut command = Command::new(&python);
    command.arg(script("metrics.py")).args([&server.port.to_string(), &free.to_string()]);
    smoke(command, &format!("prometheus_client, {server:?}"), 100);
}

fn node(test: &str, library: &str, protocols: &[&str]) {
    let modules = installed().join("node/node_modules");
    let Some(program) = on_path("node").filter(|_| modules.join(library).is_dir()) else {
        println!("SKIPPED: {test}, there is no node or no {library} in {}", modules.display());
        return;
    };
    for server in servers() {
        for protocol in protocols {
            let mut command = Command::new(&program);
            command.env("NODE_PATH", &modules).arg(script("smoke.cjs"));
            command.args([&server.port.to_string(), library, protocol]);
            smoke(command, &format!("{library}, RESP{protocol}, {server:?}"), 25);
        }
    }
}

#[test]
fn ioredis() {
    node("ioredis", "ioredis", &["2"]);
}

#[test]
fn node_redis() {
    node("node_redis", "redis", &["2", "3"]);
}
