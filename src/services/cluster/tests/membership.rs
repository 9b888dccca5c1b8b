//! Tests of the service: which nodes know each other, and where they are found.

use super::super::bench::{Bench, id};
use super::super::*;
use super::is_fail;

fn ping_body(kind: PingKind, gossip: Vec<Gossip>) -> Body {
    Body::Ping { kind, gossip, extensions: Extensions::default() }
}

#[test]
fn a_meet_makes_a_handshake_that_ends_with_the_name_of_the_node() {
    let mut bench = Bench::new("ma");
    let mut header = bench.header('a');
    (header.sender, header.slots) = (id('n'), SlotSet::new());
    let link = bench.cluster.accepted(bench.now, "10.0.9.9", "10.0.0.7").expect("a link");
    bench.hear_on(
        link,
        Some(header.clone()),
        ping_body(PingKind::Meet, vec![bench.gossip('b', flag::PRIMARY)]),
    );
    assert_eq!(bench.cluster.topology.myself().ip, "10.0.0.7", "where the other one reached this node");
    let is_pong = |body: &Body| matches!(body, Body::Ping { kind: PingKind::Pong, .. });
    assert_eq!(bench.sent.iter().filter(|(_, message)| is_pong(&message.body)).count(), 1);
    assert!(bench.cluster.topology.find(id('b')).is_some(), "the sender of a MEET is trusted");
    bench.pass(100);
    let connect = bench.done.iter().find_map(|action| match action {
        Action::Connect { link, ip, port } if ip == "10.0.9.9" => Some((*link, *port)),
        _ => None,
    });
    let (outbound, port) = connect.expect("a connection to the new node");
    assert_eq!(port, 16379);
    bench.cluster.connected(bench.now, outbound);
    bench.hear_on(outbound, Some(header), ping_body(PingKind::Pong, Vec::new()));
    let at = bench.at('n');
    let node = bench.cluster.topology.node(at);
    assert!(node.is_primary() && !node.is(flag::HANDSHAKE) && node.link == Some(outbound));
    assert_eq!(node.inbound, Some(link));
}

#[test]
fn handshakes_end_in_time_and_with_other_nodes_than_this() {
    let mut bench = Bench::new("ma");
    bench.cluster.start_handshake("10.0.0.77", 6379, 16379).expect("begun");
    assert_eq!(bench.cluster.start_handshake("10.0.0.77", 6379, 16379), Err(HandshakeError::InProgress));
    assert_eq!(bench.cluster.start_handshake("localhost", 6379, 16379), Err(HandshakeError::InvalidAddress));
    assert_eq!(bench.cluster.topology.len(), 3);
    bench.pass_with(900, "a");
    assert_eq!(bench.cluster.topology.len(), 3);
    bench.pass_with(300, "a");
    assert_eq!(bench.cluster.topology.len(), 2, "it took too long");
    // A node that was asked to meet itself.
    bench.cluster.start_handshake("10.0.0.1", 6379, 16379).expect("begun");
    bench.clear();
    bench.pass(100);
    let link = bench.done.iter().find_map(|action| match action {
        Action::Connect { link, .. } => Some(*link),
        _ => None,
    });
    let link = link.expect("a connection");
    bench.cluster.connected(bench.now, link);
    let header = bench.cluster.header();
    bench.hear_on(link, Some(header), ping_body(PingKind::Pong, Vec::new()));
    assert_eq!(bench.cluster.topology.len(), 2);
}

#[test]
fn a_node_that_is_another_one_now_has_no_address_and_has_failed() {
    let mut bench = Bench::new("mab");
    let mut header = bench.header('a');
    header.sender = id('x');
    let link = bench.node('a').link.expect("a link");
    bench.hear_on(link, Some(header), ping_body(PingKind::Pong, Vec::new()));
    let node = bench.node('a');
    assert!(node.is(flag::NOADDR) && node.is(flag::FAIL) && node.ip.is_empty() && node.link.is_none());
    assert_eq!(bench.sent_to(is_fail), "b");
}

#[test]
fn nodes_are_learnt_from_known_nodes_unless_they_were_forgotten() {
    let mut bench = Bench::new("mab");
    let hostile = flag::MYSELF | flag::HANDSHAKE | flag::PFAIL | flag::PRIMARY;
    let gossip = vec![
        bench.gossip('c', flag::PRIMARY | flag::PFAIL | flag::MYSELF),
        bench.gossip('d', hostile),
        bench.gossip('e', flag::PRIMARY | flag::NOADDR),
        bench.gossip('m', flag::PRIMARY | flag::FAIL),
    ];
    bench.ping('a', |_| {}, gossip.clone());
    assert!(bench.node('c').is_primary() && !bench.node('c').is(flag::PFAIL | flag::MYSELF));
    assert!(bench.cluster.topology.find(id('d')).is_none() && bench.cluster.topology.find(id('e')).is_none());
    assert!(!bench.cluster.topology.myself().is(flag::FAIL));
    let at = bench.at('c');
    bench.cluster.forget(at);
    bench.settle();
    bench.ping('a', |_| {}, gossip.clone());
    assert!(bench.cluster.topology.find(id('c')).is_none(), "it was forgotten");
    let forgotten = bench.sent.iter().any(|(_, message)| {
        matches!(&message.body, Body::Ping { extensions, .. } if extensions.forgotten == [(id('c'), 60)])
    });
    assert!(forgotten, "the others are told to forget it");
    bench.pass_with(60_100, "ab");
    bench.ping('a', |_| {}, gossip);
    assert!(bench.cluster.topology.find(id('c')).is_some());
    // Another node has forgotten one: but this node's primary stays.
    bench.make_replica('m', 'b');
    let extensions =
        Extensions { forgotten: vec![(id('c'), 60), (id('b'), 60), (id('m'), 60)], ..Extensions::default() };
    let header = bench.header('a');
    bench.hear('a', Some(header), Body::Ping { kind: PingKind::Ping, gossip: Vec::new(), extensions });
    let names: String = bench.cluster.topology.iter().map(|(_, node)| char::from(node.id.0[0])).collect();
    assert_eq!(names, "abm");
}

#[test]
fn a_node_that_can_not_be_reached_is_found_where_others_find_it() {
    let mut bench = Bench::new("mab");
    let mut moved = bench.gossip('b', flag::PRIMARY);
    moved.ip = "10.0.2.2".into();
    bench.ping('a', |_| {}, vec![moved.clone()]);
    assert_eq!(bench.node('b').ip, "10.0.1.98", "it answers where it is");
    bench.node('b').set(flag::PFAIL, true);
    bench.ping('a', |_| {}, vec![moved]);
    assert!(bench.node('b').ip == "10.0.2.2" && bench.node('b').link.is_none());
    // It says so itself.
    bench.ping('a', |header| header.port = 7000, Vec::new());
    assert_eq!(bench.node('a').tcp_port, 7000);
    bench.make_replica('m', 'a');
    bench.ping('a', |header| header.ip = "10.0.3.3".into(), Vec::new());
    assert!(bench.done.contains(&Action::Follow { ip: "10.0.3.3".into(), port: 7000, from_scratch: false }));
}

#[test]
fn what_directives_say_is_announced() {
    let mut bench = Bench::new("ma");
    let mut settings = bench.cluster.settings.clone();
    settings.announced.hostname = "m.example".into();
    (settings.announce_ip, settings.replica_no_failover) = ("10.7.7.7".into(), true);
    bench.cluster.set_settings(bench.now, settings.clone());
    bench.settle();
    let told = bench.sent.iter().any(|(to, message)| {
        let header = message.header.as_ref().expect("a header");
        let is_all = header.ip == "10.7.7.7" && header.flags & flag::NOFAILOVER != 0;
        matches!(&message.body, Body::Ping { extensions, .. } if extensions.announced.hostname == "m.example")
            && *to == 'a'
            && is_all
    });
    assert!(told && bench.cluster.topology.myself().ip == "10.7.7.7");
    settings.announce_ip.clear();
    bench.cluster.set_settings(bench.now, settings);
    assert_eq!(bench.cluster.topology.myself().ip, "", "the others will say");
}
