//! Tests of the service: failures of nodes, and the state of the cluster.

use super::super::bench::{Bench, id};
use super::super::*;
use super::{is_fail, slots};

#[test]
fn a_node_fails_when_most_primaries_say_so_while_this_one_suspects_it() {
    let mut bench = Bench::new("mabcd");
    bench.add('r', flag::REPLICA);
    bench.make_replica('r', 'a');
    bench.pass_with(800, "abcr");
    // Reports count once a primary, and only those of primaries with slots.
    let suspects = |bench: &Bench| vec![bench.gossip('d', flag::PRIMARY | flag::PFAIL)];
    for letter in ['a', 'a', 'r'] {
        let gossip = suspects(&bench);
        bench.ping(letter, |_| {}, gossip);
    }
    let at = bench.at('d');
    assert_eq!(bench.cluster.fail_reports(at), 1);
    bench.pass_with(900, "abcr");
    assert!(bench.node('d').is(flag::PFAIL) && !bench.node('d').is(flag::FAIL));
    // Old reports don't count.
    bench.pass_with(2100, "abcr");
    let gossip = suspects(&bench);
    bench.ping('b', |_| {}, gossip);
    assert_eq!(bench.cluster.fail_reports(at), 1);
    assert!(!bench.node('d').is(flag::FAIL));
    // A primary that takes back what it said.
    let fine = vec![bench.gossip('d', flag::PRIMARY)];
    bench.ping('b', |_| {}, fine);
    assert_eq!(bench.cluster.fail_reports(at), 0);
    bench.clear();
    for letter in ['a', 'b'] {
        let gossip = suspects(&bench);
        bench.ping(letter, |_| {}, gossip);
    }
    assert!(bench.node('d').is(flag::FAIL) && !bench.node('d').is(flag::PFAIL));
    assert!(bench.has_logged("Marking node dddd"));
    assert_eq!(bench.sent_to(is_fail), "abcr", "the link to the failed one is gone");
    // Reports still count then.
    let gossip = vec![bench.gossip('d', flag::PRIMARY | flag::FAIL)];
    bench.ping('c', |_| {}, gossip);
    assert_eq!(bench.cluster.fail_reports(at), 3);
    assert!(bench.has_logged("(10.0.1.99:6379) reported node dddd"));
}

#[test]
fn a_failed_node_that_answers_works_again_a_primary_with_slots_only_after_some_time() {
    let mut bench = Bench::new("mab");
    bench.add('r', flag::REPLICA);
    bench.make_replica('r', 'b');
    for letter in ['a', 'r'] {
        let header = bench.header('b');
        bench.hear('b', Some(header), Body::Fail(id(letter)));
        assert!(bench.node(letter).is(flag::FAIL));
        bench.pong(letter);
    }
    assert!(bench.node('a').is(flag::FAIL) && !bench.node('r').is(flag::FAIL));
    bench.pass_with(2200, "abr");
    bench.pong('a');
    assert!(!bench.node('a').is(flag::FAIL));
    // What an unknown node says of failures doesn't matter.
    let mut header = bench.header('a');
    header.sender = id('z');
    let link = bench.cluster.accepted(bench.now, "10.0.9.9", "10.0.0.1").expect("a link");
    bench.hear_on(link, Some(header), Body::Fail(id('b')));
    assert!(!bench.node('b').is(flag::FAIL));
}

#[test]
fn the_state_says_whether_requests_are_served() {
    let mut bench = Bench::new("mab");
    bench.pass_with(1000, "ab");
    assert!(bench.cluster.is_ok());
    bench.cluster.settings.require_full_coverage = true;
    bench.cluster.update_state();
    assert_eq!((bench.cluster.is_ok(), bench.cluster.fail_reason()), (false, FailReason::NotFullCoverage));
    bench.cluster.assign_slots(&slots(300, 16384), Some(bench.cluster.topology.me()));
    bench.cluster.update_state();
    assert!(bench.cluster.is_ok());
    bench.node('a').set(flag::FAIL, true);
    bench.cluster.update_state();
    assert_eq!(bench.cluster.fail_reason(), FailReason::NotFullCoverage);
    bench.node('a').set(flag::FAIL, false);
    for letter in ['a', 'b'] {
        bench.node(letter).set(flag::PFAIL, true);
    }
    bench.cluster.update_state();
    assert_eq!(bench.cluster.fail_reason(), FailReason::MinorityPartition);
    // A primary that comes back from the minority waits, so that it hears what has changed.
    for letter in ['a', 'b'] {
        bench.node(letter).set(flag::PFAIL, false);
    }
    bench.cluster.update_state();
    assert!(!bench.cluster.is_ok());
    bench.pass_with(1100, "ab");
    assert!(bench.cluster.is_ok());
}

#[test]
fn a_node_that_can_not_be_connected_to_is_suspected() {
    let mut bench = Bench::new("ma");
    let (link, inbound) = (bench.node('a').link.expect("a link"), bench.node('a').inbound.expect("a link"));
    bench.cluster.closed(bench.now, link, "reset");
    bench.cluster.closed(bench.now, inbound, "reset");
    for _ in 0..13 {
        bench.pass(100);
        if let Some(link) = bench.node('a').link {
            bench.cluster.closed(bench.now, link, "Connection refused");
        }
    }
    assert!(bench.node('a').is(flag::PFAIL));
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_the_bus() {
    let mut bench = Bench::new("mab");
    bench.pass_with(1000, "ab");
    bench.now -= 3_600_000;
    bench.clear();
    bench.pass(700);
    let pinged = bench.sent_to(|body| matches!(body, Body::Ping { kind: PingKind::Ping, .. }));
    assert_eq!(pinged, "ab");
    bench.pass(1200);
    assert!(bench.node('a').is(flag::PFAIL));
}
