//! Keys of a cluster of processes: those of a slot that goes elsewhere without them, and all of them by CLUSTERSCAN.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Cluster;
use crate::kind::Kind;
use crate::node::wait_for;
use crate::support::reply::{Client, Reply, words};

/// Keys that are written; of these slots each has a few.
const KEYS: usize = 3000;
/// Keys of the slot that goes.
const LOST_KEYS: usize = 20_000;
/// The slot of `{lost}`, which is the first primary's of two.
const LOST: &str = "{lost}";

/// Sends requests to the node that serves a key, and panics where it isn't served.
struct Clients(BTreeMap<u16, Client>);

impl Clients {
    fn new(ports: &[u16]) -> Clients {
        Clients(ports.iter().map(|port| (*port, Client::connect(*port))).collect())
    }

    fn at(&mut self, port: u16, request: &str) -> Reply {
        self.0.get_mut(&port).expect("a node").ask(request).expect("a reply")
    }

    /// The reply of the node that serves it, which `port` may not be; and the node.
    fn follow(&mut self, mut port: u16, request: &str) -> (u16, Reply) {
        for _ in 0..5 {
            match self.at(port, request) {
                Reply::Error(text) if text.starts_with("MOVED ") => {
                    let address = text.rsplit(':').next().and_then(|port| port.parse().ok());
                    port = address.expect("a port");
                }
                reply => return (port, reply),
            }
        }
        panic!("redirected in circles: {request}");
    }

    fn write_all(&mut self, port: u16, requests: impl Iterator<Item = String>) {
        let requests: Vec<_> = requests.map(|request| words(&request)).collect();
        let client = self.0.get_mut(&port).expect("a node");
        client.send(&requests).expect("it listens");
        for request in &requests {
            assert!(matches!(client.read(), Ok(Reply::Simple(_))), "{request:?}");
        }
    }

    fn number(&mut self, port: u16, request: &str) -> i64 {
        match self.at(port, request) {
            Reply::Int(number) => number,
            other => panic!("{request}: {other:?}"),
        }
    }
}

/// A walk over the cluster's keys.
struct Scan {
    cursor: String,
    port: u16,
    found: BTreeSet<String>,
    asked: BTreeSet<u16>,
}

impl Scan {
    fn step(&mut self, clients: &mut Clients) {
        let request = format!("CLUSTERSCAN {} COUNT 100", self.cursor);
        let (port, reply) = clients.follow(self.port, &request);
        let [cursor, keys] = reply.elements().unwrap_or_default() else { panic!("{request}: {reply:?}") };
        let text = |reply: &Reply| String::from_utf8_lossy(reply.bytes().expect("text")).into_owned();
        (self.cursor, self.port) = (text(cursor), port);
        self.asked.insert(port);
        for key in keys.elements().expect("keys") {
            assert!(self.found.insert(text(key)), "twice: {key:?}");
        }
    }

    fn is_over(&self) -> bool {
        self.cursor == "0"
    }
}

#[test]
fn keys_are_scanned_over_all_nodes_and_go_with_their_slots() {
    let cluster = Cluster::start(&[Kind::Ours; 4]);
    let ports = cluster.ports();
    let [first, second, replica, _] = ports[..] else { panic!("four nodes") };
    let mut clients = Clients::new(&ports);
    for number in 0..KEYS {
        let (_, reply) = clients.follow(first, &format!("SET key:{number} 1"));
        assert_eq!(reply, Reply::Simple("OK".into()));
    }

    // The whole walk, a slot that is moved meanwhile, with its keys, included.
    let mut scan = Scan { cursor: "0".into(), port: first, found: BTreeSet::new(), asked: BTreeSet::new() };
    for _ in 0..10 {
        scan.step(&mut clients);
    }
    cluster.move_slot_of_keys(8000, first, second);
    while !scan.is_over() {
        scan.step(&mut clients);
    }
    assert_eq!(scan.found, (0..KEYS).map(|number| format!("key:{number}")).collect());
    assert_eq!(scan.asked, BTreeSet::from([first, second]));

    // A replica is no place for it, but for clients that read there.
    let moved = clients.at(replica, "CLUSTERSCAN 0-{06S}-0");
    assert_eq!(moved, Reply::Error(format!("MOVED 0 127.0.0.1:{first}")));
    clients.at(replica, "READONLY");
    assert!(clients.at(replica, "CLUSTERSCAN 0-{06S}-0").elements().is_some());
    let invalid = clients.at(first, "CLUSTERSCAN nonsense");
    assert_eq!(invalid, Reply::Error("ERR Invalid cursor".into()));

    // The other primary takes a slot, with a greater epoch and without its keys.
    clients.write_all(first, (0..LOST_KEYS).map(|number| format!("SET {LOST}{number} 1")));
    let slot = clients.number(first, &format!("CLUSTER KEYSLOT {LOST}"));
    assert!(slot < 8192, "{slot}");
    let count = format!("CLUSTER COUNTKEYSINSLOT {slot}");
    assert_eq!(clients.number(first, &count), LOST_KEYS as i64);
    let id = clients.at(first, "CLUSTER MYID");
    let id = String::from_utf8_lossy(id.bytes().expect("an id")).into_owned();
    let own = clients.at(second, "CLUSTER MYID");
    let own = String::from_utf8_lossy(own.bytes().expect("an id")).into_owned();
    let others = clients.number(first, "DBSIZE") - LOST_KEYS as i64;
    for request in [format!("IMPORTING {id}"), format!("NODE {own}")] {
        assert_eq!(
            clients.at(second, &format!("CLUSTER SETSLOT {slot} {request}")),
            Reply::Simple("OK".into())
        );
    }
    for port in [first, replica] {
        wait_for("the keys are gone", || clients.number(port, &count) == 0);
        assert_eq!(clients.number(port, "DBSIZE"), others, "at {port}");
    }
    let (port, reply) = clients.follow(first, &format!("GET {LOST}1"));
    assert_eq!((port, reply), (second, Reply::Null("$")));
}
