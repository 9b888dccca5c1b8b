//! A cluster whose bus and replication speak TLS: nodes meet, a replica takes over, and what has no certificate of the cluster's
//! authority is refused.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::kind::Kind;
use crate::node::{Node, wait_for};
use crate::ports::free_port;
use crate::support::reply::Reply;

/// After what silence a node is suspected, and how long a handshake may take, ms.
const NODE_TIMEOUT: &str = "2000";

/// Where an authority's certificate lies, and a certificate and key that it has signed.
struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn make(folder: &Path) -> Certificates {
        std::fs::create_dir_all(folder).expect("a folder");
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_string()]).expect("parameters");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        let file = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).expect("a file");
            folder.join(name)
        };
        Certificates {
            authority: file("ca.crt", authority.pem()),
            certificate: file("node.crt", certificate.pem()),
            key: file("node.key", key.serialize_pem()),
        }
    }
}

/// A node with its ports for TLS and of the bus; the one without TLS is for the test.
struct TlsNode {
    node: Node,
    tls_port: u16,
    bus_port: u16,
}

impl TlsNode {
    fn start(folder: &Path, certificates: &Certificates) -> TlsNode {
        let (tls_port, bus_port) = (free_port(), free_port());
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let node = Node::start(&Kind::Ours.program().expect("a program"), folder, |port, _| {
            let options = [
                ["--port", &port.to_string()],
                ["--tls-port", &tls_port.to_string()],
                ["--cluster-port", &bus_port.to_string()],
                ["--tls-ca-cert-file", &text(&certificates.authority)],
                ["--tls-cert-file", &text(&certificates.certificate)],
                ["--tls-key-file", &text(&certificates.key)],
                ["--tls-cluster", "yes"],
                ["--tls-replication", "yes"],
                ["--cluster-enabled", "yes"],
                ["--cluster-node-timeout", NODE_TIMEOUT],
                ["--bind", "127.0.0.1"],
                ["--save", ""],
                ["--repl-diskless-sync-delay", "0"],
            ];
            options.concat().into_iter().map(String::from).collect()
        });
        TlsNode { node, tls_port, bus_port }
    }

    fn meet(&self, other: &TlsNode) {
        self.order(&format!("CLUSTER MEET 127.0.0.1 {} {}", other.tls_port, other.bus_port));
    }

    fn order(&self, request: &str) {
        assert_eq!(self.node.ask(request), Some(Reply::Simple("OK".into())), "{request}");
    }

    fn says(&self, request: &str, part: &str) -> bool {
        self.node.text(request).is_some_and(|text| text.contains(part))
    }

    fn await_text(&self, request: &str, part: &str) {
        wait_for(&format!("{request}: {part}, at {}", self.node.port), || self.says(request, part));
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("redloop-cluster-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Three primaries, the last with two replicas, all of which know each other.
fn cluster(folder: &Path, certificates: &Certificates) -> Vec<TlsNode> {
    let nodes: Vec<TlsNode> = (0..5).map(|_| TlsNode::start(folder, certificates)).collect();
    for (number, range) in ["0 5460", "5461 10922", "10923 16383"].into_iter().enumerate() {
        nodes[number].order(&format!("CLUSTER ADDSLOTSRANGE {range}"));
        nodes[number].order(&format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
    }
    nodes[1..].iter().for_each(|node| nodes[0].meet(node));
    nodes.iter().for_each(|node| node.await_text("CLUSTER INFO", "cluster_known_nodes:5\r"));
    let primary = nodes[2].node.text("CLUSTER MYID").expect("a name");
    for replica in &nodes[3..] {
        let request = format!("CLUSTER REPLICATE {primary}");
        wait_for(&request, || replica.node.ask(&request) == Some(Reply::Simple("OK".into())));
        replica.await_text("INFO replication", "master_link_status:up");
    }
    nodes.iter().for_each(|node| node.await_text("CLUSTER INFO", "cluster_state:ok\r"));
    nodes[2].await_text("INFO replication", "connected_slaves:2");
    nodes
}

#[test]
fn nodes_meet_and_fail_over_by_tls() {
    let folder = folder("tls");
    let mut nodes = cluster(&folder, &Certificates::make(&folder));
    // The slot of foo is 12182. A primary that is told to has a replica take over before it ends.
    nodes[2].order("SET foo bar");
    let _ = nodes[2].node.ask("SHUTDOWN NOSAVE FAILOVER");
    let mut heir = 0;
    wait_for("a replica takes over", || {
        heir = (3..5).find(|at| nodes[*at].says("INFO replication", "role:master")).unwrap_or(0);
        heir != 0
    });
    let log = std::fs::read_to_string(folder.join(nodes[heir].node.port.to_string()).join("log"));
    assert!(log.expect("a log").contains("Forced failover primary request accepted (primary request from"));
    let other = 7 - heir;
    nodes[other].await_text("INFO replication", "master_link_status:up");
    nodes[heir].await_text("GET foo", "bar");
    nodes[2].node.kill();
    nodes[2].node.restart();
    nodes[2].await_text("INFO replication", "master_link_status:up");
    // One that is killed is missed.
    nodes[heir].order("SET foo baz");
    assert_eq!(nodes[heir].node.ask("WAIT 2 5000"), Some(Reply::Int(2)));
    nodes[heir].node.kill();
    wait_for("another one takes over", || {
        [2, other].iter().any(|at| nodes[*at].says("INFO replication", "role:master"))
    });
    let next = if nodes[2].says("INFO replication", "role:master") { 2 } else { other };
    nodes[next].await_text("GET foo", "baz");
    drop(nodes);
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn what_has_no_certificate_of_the_authority_is_refused() {
    let folder = folder("tls-strangers");
    let certificates = Certificates::make(&folder);
    let (one, two) = (TlsNode::start(&folder, &certificates), TlsNode::start(&folder, &certificates));
    let stranger = TlsNode::start(&folder, &Certificates::make(&folder.join("strange")));
    for (from, to) in [(&stranger, &one), (&two, &stranger)] {
        from.meet(to);
        // The handshake is given up, and has never become a node.
        from.await_text("CLUSTER INFO", "cluster_known_nodes:2\r");
        from.await_text("CLUSTER INFO", "cluster_known_nodes:1\r");
        assert!(to.says("CLUSTER INFO", "cluster_stats_messages_received:0\r"));
    }
    // Without TLS nothing is said at all.
    let mut plain = TcpStream::connect(("127.0.0.1", one.bus_port)).expect("connected");
    plain.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    plain.write_all(&[b'R'; 4096]).expect("sent");
    let mut answer = Vec::new();
    // It ends with the alert of a TLS server at most.
    let _ = plain.read_to_end(&mut answer);
    assert!(answer.len() < 64 && !answer.starts_with(b"RCmb"), "{answer:?}");
    one.meet(&two);
    for node in [&one, &two] {
        node.await_text("CLUSTER INFO", "cluster_known_nodes:2\r");
        node.await_text("CLUSTER NODES", " connected");
    }
    drop((one, two, stranger));
    let _ = std::fs::remove_dir_all(&folder);
}
