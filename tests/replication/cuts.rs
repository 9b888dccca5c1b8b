//! Payloads that end in the middle: whatever byte is the last one, a replica that loads them as they come drops what it has, is ready
//! for the next attempt at once, and is whole in the end.

use std::time::Duration;

use redloop::base::rng::Rng;

use crate::kind::Kind;
use crate::load::Load;
use crate::node::{Node, eventually};
use crate::proxy::Proxy;

/// Links that are cut, for each way of loading.
const CUTS: u64 = 25;
/// How long an attempt may take that is cut, on average: the next one must not wait for long.
const ATTEMPT: Duration = Duration::from_millis(700);

/// A primary with small and big values of every type, more than its sockets hold.
fn primary(name: &str) -> Node {
    let primary = Node::start(Kind::Ours, name, &["--rdbcompression", "no"]);
    let load = Load::start(primary.port, 3, true);
    load.wait_for(2000);
    drop(load);
    primary.set("DEBUG POPULATE 20 big 300000");
    primary
}

fn cut_payloads(way: &str) {
    let primary = primary(&format!("cuts-{way}-primary"));
    let replica = Node::start(Kind::Ours, &format!("cuts-{way}"), &["--repl-diskless-load", way]);
    let report = || format!("primary:\n{}\n\nreplica:\n{}", primary.log(), replica.log());
    let proxy = Proxy::to(primary.port);
    let mut rng = Rng::new(11);
    // The answers to the handshake, and the head of the payload, are less than 300 bytes.
    proxy.end_next_after((0..CUTS).map(|_| {
        let magnitude = 9 + rng.below(14);
        300 + rng.below(1 << magnitude)
    }));
    let started = std::time::Instant::now();
    replica.set(&format!("REPLICAOF 127.0.0.1 {}", proxy.port));
    eventually("links to be cut", report, || proxy.cuts_left() == 0);
    let most = ATTEMPT * CUTS as u32;
    assert!(started.elapsed() < most, "{CUTS} attempts took {:?}\n{}", started.elapsed(), report());
    eventually("the link", report, || replica.info("replication", "master_link_status") == "up");
    let state = ["loading", "async_loading"].map(|field| replica.info("persistence", field));
    assert_eq!(state, ["0", "0"]);
    assert_eq!(replica.ask("DEBUG DIGEST"), primary.ask("DEBUG DIGEST"), "{}", report());
    assert_eq!(replica.ask("FUNCTION LIST WITHCODE"), primary.ask("FUNCTION LIST WITHCODE"));
    let log = std::fs::read_to_string(replica.dir.join("log")).expect("a log");
    assert!(log.contains("Internal error in RDB reading offset "), "{log}");
}

#[test]
fn beside_the_old_data() {
    cut_payloads("swapdb");
}

#[test]
fn in_place_of_the_old_data() {
    cut_payloads("flush-before-load");
}
