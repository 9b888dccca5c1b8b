//! `--cluster-local`: a cluster of processes by one command, when it is ready, interrupted, started again, or can't be.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::harness::{Client, Directory, eventually};

/// Nodes of these clusters: two primaries, each with a replica.
const NODES: u16 = 4;
const BUS_PORT_OFFSET: u16 = 10_000;

/// The command, running.
struct Local {
    child: Child,
    output: BufReader<ChildStdout>,
}

/// The first of a row of nine ports that are free, with those of the bus. Below the range that the kernel chooses from.
fn free_ports() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("0.0.0.0", port)).is_ok();
    let mut first = 11_000 + (std::process::id() % 900) as u16 * 10;
    loop {
        if (first..first + 9).all(|port| is_free(port) && is_free(port + BUS_PORT_OFFSET)) {
            return first;
        }
        first += 10;
    }
}

impl Local {
    fn start(counts: &[&str], port: u16, directory: &Directory) -> Local {
        let directory = directory.0.join("nodes");
        let mut command = Command::new(env!("CARGO_BIN_EXE_redloop"));
        command
            .arg("--cluster-local")
            .args(counts)
            .args(["--port", &port.to_string(), "--dir"])
            .arg(directory);
        command.args(["--bind", "127.0.0.1", "--appendonly", "yes"]).stdin(Stdio::null()).process_group(0);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Local { child, output }
    }

    /// What it says until the nodes are ready.
    fn await_ready(&mut self) -> String {
        let mut text = String::new();
        while !text.contains("End it with Ctrl-C") {
            let read = self.output.read_line(&mut text).expect("output");
            assert!(read > 0, "it ends: {text}");
        }
        text
    }

    /// As Ctrl-C in a terminal does: the whole group of processes.
    fn interrupt(&self) {
        self.signal("-INT");
    }

    fn signal(&self, signal: &str) {
        send(&self.child, signal);
    }

    /// Its status, and what it has to complain of.
    fn await_end(mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
        (self.child.wait().expect("it ends").code(), errors)
    }
}

/// A signal to all of a group of processes.
fn send(child: &Child, signal: &str) {
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args([signal, "--", &group]).status().expect("kill").success());
}

fn are_closed(first: u16) -> bool {
    (first..first + NODES).all(|port| TcpStream::connect(("127.0.0.1", port)).is_err())
}

#[test]
fn a_cluster_is_ready_with_its_replicas_and_comes_back_with_its_data() {
    let (directory, first) = (Directory::new("cluster-local"), free_ports());
    let mut command = Local::start(&["2", "1"], first, &directory);
    let text = command.await_ready();
    let last = first + NODES - 1;
    assert!(text.contains(&format!("2 primaries and 2 replicas at ports {first} to {last}")), "{text}");
    assert!(text.contains(&format!("redis-cli -c -p {first}")), "{text}");
    for port in first..=last {
        let info = Client::new(port).ask("INFO replication");
        assert!(info.contains("role:master") || info.contains("master_link_status:up"), "{info}");
        assert!(Client::new(port).ask("CLUSTER INFO").contains("cluster_state:ok"));
    }
    // A key of a slot of the first node.
    assert_eq!(Client::new(first).ask("SET {06S}key value"), "+OK");

    // Its ports and its directory are its own.
    let other = Directory::new("cluster-local-other");
    let (status, errors) = Local::start(&["1", "1"], first + 2, &other).await_end();
    assert!(status == Some(1) && errors.starts_with(&format!("Port {} is in use", first + 2)), "{errors}");
    command.interrupt();
    assert_eq!(command.await_end(), (Some(0), String::new()));
    assert!(are_closed(first));
    let (status, errors) = Local::start(&["3", "0"], first, &directory).await_end();
    let ports = (first..=last).map(|port| port.to_string()).collect::<Vec<_>>().join(", ");
    assert!(status == Some(1) && errors.contains(&format!("another cluster, at ports {ports}")), "{errors}");

    let mut command = Local::start(&["2", "1"], first, &directory);
    command.await_ready();
    assert_eq!(Client::new(first).ask("GET {06S}key"), "$value");
    // A node that ends is named.
    Client::new(last).send("SHUTDOWN NOSAVE");
    eventually("the node ends", || TcpStream::connect(("127.0.0.1", last)).is_err());
    let mut line = String::new();
    BufReader::new(command.child.stderr.as_mut().expect("piped")).read_line(&mut line).expect("text");
    assert!(line.starts_with(&format!("The node at port {last} has ended; see ")), "{line}");
    command.interrupt();
    assert_eq!(command.await_end().0, Some(0));
}

/// Whenever it is interrupted no node stays, and the next start has a whole cluster. A terminal that is closed ends it as well, and it
/// doesn't matter whether anybody reads what it says.
#[test]
fn it_may_be_interrupted_at_any_moment() {
    let (directory, first) = (Directory::new("cluster-local-interrupted"), free_ports() + 5);
    for delay_ms in [0, 50, 200, 500, 900] {
        let command = Local::start(&["2", "1"], first, &directory);
        // The moment is what is tried.
        std::thread::sleep(Duration::from_millis(delay_ms));
        command.interrupt();
        let (status, errors) = command.await_end();
        // Before it heeds signals, one ends it as any process.
        assert!(
            matches!(status, None | Some(0 | 130)) && errors.is_empty(),
            "{delay_ms} ms: {status:?} {errors}"
        );
        eventually("no node stays", || are_closed(first));
    }
    let mut command = Local::start(&["2", "1"], first, &directory);
    command.await_ready();
    command.signal("-HUP");
    assert_eq!(command.await_end(), (Some(0), String::new()));
    assert!(are_closed(first));

    let Local { mut child, output } = Local::start(&["2", "1"], first, &directory);
    drop(output);
    eventually("all nodes are there", || {
        (first..first + NODES).all(|port| TcpStream::connect(("127.0.0.1", port)).is_ok())
    });
    eventually("the cluster is in order", || {
        (first..first + NODES).all(|port| {
            let info = Client::new(port).ask("INFO replication");
            info.contains("role:master") || info.contains("master_link_status:up")
        })
    });
    send(&child, "-HUP");
    // It may not have said yet that the cluster is ready.
    let status = child.wait().expect("it ends").code();
    assert!(matches!(status, Some(0 | 130)), "{status:?}");
    assert!(are_closed(first));
}
