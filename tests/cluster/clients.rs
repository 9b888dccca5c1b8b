//! Cluster clients of several families, all at once, at a cluster of this server that is resharded, failed over and loses a primary
//! while they write.
//!
//! `tests/clients/install.sh` installs them; one that isn't there is named and left out.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::cluster::{Cluster, Step};
use crate::kind::Kind;
use crate::support::programs::on_path;

/// A running program of a library.
struct Library {
    name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/redloop-clients");
    std::env::var_os("REDLOOP_CLIENTS").map_or_else(home, PathBuf::from)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// The programs by the names of their libraries; `None`: the library isn't there.
fn programs(port: u16) -> Vec<(&'static str, Option<Command>)> {
    let clients = installed();
    let python = clients.join("python/bin/python");
    let of_python = |library: &str| {
        let imports = Command::new(&python).args(["-c", &format!("import {library}")]).output();
        imports.is_ok_and(|output| output.status.success()).then(|| {
            let mut command = Command::new(&python);
            command.arg(script("cluster.py")).args([&port.to_string(), library]);
            command
        })
    };
    let modules = clients.join("node/node_modules");
    let of_node = |library: &str| {
        let node = on_path("node").filter(|_| modules.join(library).is_dir())?;
        let mut command = Command::new(node);
        command.env("NODE_PATH", &modules).arg(script("cluster.cjs")).args([&port.to_string(), library]);
        Some(command)
    };
    // Of Debian's packages: there if the program can load it.
    let of_system = |program: &str, load: [&str; 2], arguments: &[&str]| {
        let program = on_path(program)?;
        let loads = Command::new(&program).args(load).output().is_ok_and(|output| output.status.success());
        loads.then(|| {
            let mut command = Command::new(&program);
            command.arg(script(arguments[0])).arg(port.to_string()).args(&arguments[1..]);
            command
        })
    };
    let rust = clients.join("rust/debug/redis-rs-cluster");
    let of_rust = rust.is_file().then(|| {
        let mut command = Command::new(&rust);
        command.arg(port.to_string());
        command
    });
    vec![
        ("redis-py", of_python("redis")),
        ("valkey-py", of_python("valkey")),
        ("valkey-glide", of_python("glide_sync")),
        ("ioredis", of_node("ioredis")),
        ("iovalkey", of_node("iovalkey")),
        ("node-redis", of_node("redis")),
        ("redis-rs", of_rust),
        ("redis-rb", of_system("ruby", ["-e", "require 'redis'"], &["cluster.rb"])),
        ("Predis", of_system("php", ["-r", "require 'Predis/Autoloader.php';"], &["cluster.php"])),
    ]
}

impl Library {
    fn start(name: &'static str, mut command: Command) -> Library {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Library { name, input: child.stdin.take(), output, child }
    }

    /// Waits until its checks are done and it writes.
    fn await_ready(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("output");
        assert_eq!(line.trim(), "READY", "{}", self.name);
    }

    /// Has it stop, and looks whether all is there that was acknowledged. A process that is killed may have sent replies of its last turn
    /// before its replica had the writes: one writer loses one by that.
    fn finish(mut self) {
        drop(self.input.take());
        let mut report = String::new();
        self.output.read_to_string(&mut report).expect("output");
        // The library may have written lines of its own.
        let report = report.trim().lines().next_back().unwrap_or_default().to_string();
        println!("{}: {report}", self.name);
        let mut numbers =
            report.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok());
        let [Some(lost), Some(written)] = [numbers.next(), numbers.next()] else {
            panic!("{}: {report}", self.name)
        };
        assert!(lost <= 1 && written > 50, "{}: {report}", self.name);
    }
}

#[test]
fn client_libraries_follow_a_cluster_that_changes() {
    let mut cluster = Cluster::start(&[Kind::Ours; 6]);
    let mut libraries = Vec::new();
    for (name, command) in programs(cluster.ports()[0]) {
        match command {
            Some(command) => libraries.push(Library::start(name, command)),
            None => println!("SKIPPED: {name}, it isn't installed"),
        }
    }
    libraries.iter_mut().for_each(Library::await_ready);
    for step in [Step::Reshard, Step::Failover, Step::Kill] {
        println!("{:?}: {step:?}", cluster.started.elapsed());
        cluster.go_through(step);
    }
    cluster.await_agreement();
    libraries.into_iter().for_each(Library::finish);
}
