//! The tools of Redis and of Valkey at a cluster of this server: their CLI's --cluster from a cluster's making to its end, and their benchmark.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::bus_port;
use crate::kind::Kind;
use crate::node::{Node, wait_for};
use crate::ports::free_port;
use crate::support::programs::find_peer;
use crate::support::reply::Reply;

/// Slots that reshard moves.
const MOVED: usize = 50;

/// A CLI, and the nodes that it makes a cluster of.
struct Operator {
    cli: PathBuf,
    nodes: Vec<Node>,
}

impl Operator {
    /// Runs `--cluster` with a command at the first node, which must be a success and say something.
    fn run(&self, command: &str, options: &[&str], says: &str) -> String {
        let first = format!("127.0.0.1:{}", self.nodes[0].port);
        let mut words = vec![command, &first];
        words.extend(options);
        self.run_words(&words, says)
    }

    fn run_words(&self, words: &[&str], says: &str) -> String {
        let output = Command::new(&self.cli).arg("--cluster").args(words).output().expect("the CLI runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains(says), "{words:?}: {text}{errors}");
        text
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].text("CLUSTER MYID").expect("an id")
    }

    /// What `check` says.
    fn check(&self) -> String {
        let first = format!("127.0.0.1:{}", self.nodes[0].port);
        let output =
            Command::new(&self.cli).args(["--cluster", "check", &first]).output().expect("the CLI runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until all nodes have the same view.
    fn settle(&self) {
        wait_for("the nodes agree", || {
            let serves = |node: &Node| {
                let info = node.text("CLUSTER INFO").unwrap_or_default();
                info.contains("cluster_state:ok") || info.contains("cluster_known_nodes:1\r")
            };
            let text = self.check();
            self.nodes.iter().all(serves)
                && text.contains("All 16384 slots covered")
                && !text.contains("[ERR]")
                && !text.contains("[WARNING]")
        });
    }

    fn slots_of(&self, node: usize) -> usize {
        let lines = self.nodes[0].text("CLUSTER NODES").expect("lines");
        let id = self.id(node);
        let line = lines.lines().find(|line| line.starts_with(&id)).expect("a line of the node").to_string();
        let ranges = line.split(' ').skip(8).filter(|word| !word.starts_with('['));
        let ends = ranges.map(|range| range.split_once('-').unwrap_or((range, range)));
        let number = |text: &str| text.parse::<usize>().expect("a slot");
        ends.map(|(first, last)| number(last) - number(first) + 1).sum()
    }
}

/// The address of a node, with the port of its bus.
fn address(node: &Node) -> String {
    format!("127.0.0.1:{}@{}", node.port, bus_port(node))
}

/// A node with a configuration file, which set-timeout writes.
fn start(folder: &Path) -> Node {
    Node::start(&Kind::Ours.program().expect("ours"), folder, |port, file| {
        let lines = format!(
            "port {port}\ncluster-port {}\ncluster-enabled yes\ncluster-node-timeout 2000\nbind 127.0.0.1\nsave \"\"\n\
             repl-diskless-sync-delay 0\n",
            free_port()
        );
        std::fs::write(file, lines).expect("a file");
        vec![file.to_str().expect("a path").to_string()]
    })
}

/// From the making of a cluster to its end.
fn operate(cli: PathBuf, benchmark: &Path, folder: &Path, moves_atomically: bool) {
    let nodes: Vec<Node> = (0..5).map(|_| start(folder)).collect();
    let operator = Operator { cli, nodes };
    let addresses: Vec<String> = operator.nodes.iter().map(address).collect();
    let [first, second, third, fourth, fifth] = &addresses[..] else { panic!("five nodes") };
    operator.run_words(&["create", first, second, third, "--cluster-yes"], "[OK] All 16384 slots covered.");
    operator.settle();
    operator.run("info", &[], "[OK] 0 keys in 3");

    // A server outside gives its keys.
    let outside = Node::start(&Kind::Ours.program().expect("ours"), folder, |port, _| {
        ["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"].map(String::from).to_vec()
    });
    (0..300).for_each(|number| drop(outside.ask(&format!("SET key:{number} {number}"))));
    let from = format!("127.0.0.1:{}", outside.port);
    operator.run("import", &["--cluster-from", &from, "--cluster-copy"], "Migrating key:");
    assert_eq!(outside.ask("DBSIZE"), Some(Reply::Int(300)));
    operator.run("info", &[], "[OK] 300 keys in 3");
    operator.run("call", &["DBSIZE"], "127.0.0.1");

    // Another primary, slots for it, a replica of it.
    operator.run_words(&["add-node", fourth, first], "[OK] New node added correctly.");
    operator.settle();
    let (one, new) = (operator.id(0), operator.id(3));
    let moved = MOVED.to_string();
    let options = ["--cluster-from", &one, "--cluster-to", &new, "--cluster-slots", &moved, "--cluster-yes"];
    operator.run("reshard", &options, "Moving slot");
    operator.settle();
    assert_eq!(operator.slots_of(3), MOVED);
    let options = ["--cluster-slave", "--cluster-master-id", &new];
    operator
        .run_words(&[&["add-node", fifth, first], &options[..]].concat(), "[OK] New node added correctly.");
    wait_for("the replica follows", || {
        operator.nodes[4].text("INFO replication").is_some_and(|info| info.contains("master_link_status:up"))
    });
    operator.settle();
    let weights = [format!("{one}=1"), format!("{new}=0.99")];
    let options =
        ["--cluster-weight", &weights[0], &weights[1], "--cluster-threshold", "1", "--cluster-simulate"];
    operator.run("rebalance", &options, "Rebalancing across 4 nodes");

    // A slot that is left open by an interrupted move.
    let slot = operator.nodes[0].ask("CLUSTER KEYSLOT key:1");
    let Some(Reply::Int(slot)) = slot else { panic!("{slot:?}") };
    let lines = operator.nodes[0].text("CLUSTER SLOTS").unwrap_or_default();
    let owner = operator
        .nodes
        .iter()
        .position(|node| node.text("GET key:1").is_some_and(|value| value == "1"))
        .unwrap_or_else(|| panic!("no node has the key: {lines}"));
    let other = if owner == 1 { 2 } else { 1 };
    let (from, to) = (operator.id(owner), operator.id(other));
    let ok = Some(Reply::Simple("OK".into()));
    assert_eq!(operator.nodes[other].ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {from}")), ok);
    assert_eq!(operator.nodes[owner].ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {to}")), ok);
    let checked = operator.check();
    assert!(checked.contains("has slots in"), "{checked}");
    operator.run("fix", &["--cluster-yes"], "Fixing open slot");
    operator.settle();

    operator.run("set-timeout", &["3000"], "New node timeout set. 5 OK, 0 ERR.");
    let backup = folder.join("backup");
    std::fs::create_dir_all(&backup).expect("a folder");
    operator.run("backup", &[backup.to_str().expect("a path")], "[OK] Backup created");
    let files = std::fs::read_dir(&backup).expect("the folder").count();
    // A file for each primary, and that of the nodes.
    assert_eq!(files, 5);

    measure(benchmark, operator.nodes[0].port);

    // The end: the slots go back, with Valkey's CLI as a whole, and the two nodes leave.
    let mut options =
        vec!["--cluster-from", &new, "--cluster-to", &one, "--cluster-slots", &moved, "--cluster-yes"];
    let says = if moves_atomically { "via atomic slot migration" } else { "Moving slot" };
    options.extend(moves_atomically.then_some("--cluster-use-atomic-slot-migration"));
    operator.run("reshard", &options, says);
    operator.settle();
    operator.run("del-node", &[&operator.id(4)], "CLUSTER RESET SOFT");
    operator.run("del-node", &[&new], "CLUSTER RESET SOFT");
    operator.settle();
    operator.run("info", &[], " keys in 3");
}

/// Runs the benchmark over the nodes.
fn measure(benchmark: &Path, port: u16) {
    let words = ["--cluster", "-p", &port.to_string(), "-t", "set,get,lpush", "-n", "3000", "-P", "8", "-q"];
    let output = Command::new(benchmark).args(words).output().expect("the benchmark runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let measured = ["SET", "GET", "LPUSH"].iter().all(|test| text.contains(&format!("{test}: ")));
    assert!(output.status.success() && measured && !text.contains("rror"), "{text}");
}

fn with_tools(tree: &str, family: &str) {
    let program = |name: &str| find_peer(tree, &format!("{family}-{name}"), "REDLOOP_NO_SUCH_TOOL");
    let (Some(cli), Some(benchmark)) = (program("cli"), program("benchmark")) else {
        println!("SKIPPED: there are no tools of {tree}");
        return;
    };
    let folder = std::env::temp_dir().join(format!("redloop-cluster-{family}-cli-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    operate(cli, &benchmark, &folder, family == "valkey");
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn redis_cli_makes_a_cluster_and_changes_it() {
    with_tools("redis-8.6", "redis");
}

#[test]
fn valkey_cli_makes_a_cluster_and_changes_it() {
    with_tools("valkey", "valkey");
}
