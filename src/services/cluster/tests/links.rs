//! Tests of the service: links, and what comes on them.

use super::super::bench::{Bench, id};
use super::super::*;
use super::slots;

#[test]
fn light_messages_go_to_nodes_that_know_them_and_have_answered() {
    let mut bench = Bench::new("mabc");
    bench.node('a').flags |= flag::LIGHT_PUBLISH;
    bench.node('b').shard = id('m');
    bench.cluster.publish(b"news", b"text", false);
    bench.settle();
    let forms: Vec<(char, bool)> =
        bench.sent.iter().map(|(to, message)| (*to, message.header.is_none())).collect();
    assert_eq!(forms, [('a', true), ('b', false), ('c', false)]);
    bench.clear();
    bench.cluster.publish(b"news", b"text", true);
    bench.node('a').pong_received = 1;
    bench.cluster.publish(b"news", b"text", false);
    bench.settle();
    let forms: Vec<(char, bool)> =
        bench.sent.iter().map(|(to, message)| (*to, message.header.is_none())).collect();
    assert_eq!(forms, [('b', false), ('a', false), ('b', false), ('c', false)]);
    assert_eq!((bench.cluster.stats.sent[4], bench.cluster.stats.sent[10]), (6, 1));
    // What comes in is for the subscribers here; a light message of an unknown node ends its link.
    let body = Body::Publish { channel: b"c".to_vec(), message: b"m".to_vec(), sharded: false };
    bench.hear('a', None, body.clone());
    assert!(bench.done.contains(&Action::Publish {
        channel: b"c".to_vec(),
        message: b"m".to_vec(),
        sharded: false
    }));
    let link = bench.cluster.accepted(bench.now, "10.0.9.9", "10.0.0.1").expect("a link");
    bench.clear();
    bench.hear_on(link, None, body);
    assert_eq!(
        bench.done,
        [
            Action::Log {
                level: Level::Notice,
                text: "Closing a link whose first message is a light one".into()
            },
            Action::Close { link }
        ]
    );
}

#[test]
fn links_that_hold_too_much_or_are_of_no_node_are_closed() {
    let mut bench = Bench::new("ma");
    bench.cluster.settings.link_sendbuf_limit = 1000;
    let link = bench.node('a').link.expect("a link");
    bench.cluster.sent(bench.now, link, 1001);
    bench.pass(100);
    assert!(bench.done.contains(&Action::Close { link }) && bench.cluster.stats.links_over_limit == 1);
    bench.cluster.settings.link_sendbuf_limit = 0;
    bench.pass(100);
    assert!(bench.done.iter().any(|action| matches!(action, Action::Connect { .. })), "it is opened again");
    let stranger = bench.cluster.accepted(bench.now, "10.0.9.9", "10.0.0.1").expect("a link");
    bench.pass_with(59_000, "a");
    assert!(!bench.done.contains(&Action::Close { link: stranger }));
    bench.pass_with(1100, "a");
    assert!(bench.done.contains(&Action::Close { link: stranger }));
    let garbage = bench.cluster.accepted(bench.now, "10.0.9.9", "10.0.0.1").expect("a link");
    bench.cluster.received(bench.now, garbage, b"GET / HTTP/1.1\r\n\r\n");
    bench.settle();
    assert!(bench.done.contains(&Action::Close { link: garbage }));
}

#[test]
fn what_a_tick_sends_counts_for_the_limit_of_a_link() {
    let mut bench = Bench::new("ma");
    bench.cluster.settings.link_sendbuf_limit = 1;
    bench.pass(1000);
    assert!(bench.has_logged("Freeing cluster link(to node aaaa"));
    assert!(bench.cluster.stats.links_over_limit > 0);
}

#[test]
fn messages_that_are_dropped_or_broken_are_counted() {
    let mut bench = Bench::new("ma");
    let before = bench.cluster.stats.received;
    bench.cluster.faults.dropped = Dropped::Type(3);
    let header = bench.header('a');
    bench.hear('a', Some(header.clone()), Body::Fail(id('a')));
    bench.cluster.faults.dropped = Dropped::None;
    let message = Message { header: Some(header), body: Body::Fail(id('a')) };
    let mut bytes = wire::encode(&message).to_vec();
    bytes.pop();
    let length = (bytes.len() as u32).to_be_bytes();
    bytes[4..8].copy_from_slice(&length);
    let link = bench.node('a').inbound.expect("a link");
    bench.cluster.received(bench.now, link, &bytes);
    assert_eq!(bench.cluster.stats.received[3], before[3] + 2);
    assert!(!bench.node('a').is(flag::FAIL));
}

#[test]
fn whatever_comes_nothing_breaks_and_what_is_kept_is_bounded() {
    let mut bench = Bench::new("mabc");
    bench.add('r', flag::REPLICA);
    bench.make_replica('r', 'm');
    let mut rng = Rng::new(5);
    for round in 0..3000 {
        let names: Vec<char> = ('a'..='z').collect();
        let any = |rng: &mut Rng| names[rng.below(26) as usize];
        let known = ['a', 'b', 'c', 'r'][rng.below(4) as usize];
        let mut header = match bench.cluster.topology.find(id(known)) {
            Some(_) => bench.header(known),
            None => bench.cluster.header(),
        };
        if rng.below(2) == 0 {
            let flags = rng.next_u64() as u16;
            (header.sender, header.flags) = (id(any(&mut rng)), flags);
            header.primary = (rng.below(2) == 0).then(|| id(any(&mut rng)));
            header.slots = (0..rng.below(500) as u16).collect();
            (header.current_epoch, header.config_epoch) =
                (rng.next_u64() >> rng.below(64), rng.next_u64() >> rng.below(64));
            header.message_flags = rng.next_u64() as u8;
        }
        let gossip = (0..rng.below(8)).map(|_| bench.gossip(any(&mut rng), rng.next_u64() as u16)).collect();
        let extensions = Extensions {
            shard: (rng.below(2) == 0).then(|| id(any(&mut rng))),
            forgotten: vec![(id(any(&mut rng)), rng.next_u64())],
            ..Extensions::default()
        };
        let kind = [PingKind::Ping, PingKind::Pong, PingKind::Meet][rng.below(3) as usize];
        let body = match rng.below(8) {
            0 => Body::Fail(id(any(&mut rng))),
            1 => Body::AuthRequest,
            2 => Body::AuthAck,
            3 => Body::Update { config_epoch: rng.next_u64(), node: id(any(&mut rng)), slots: slots(0, 200) },
            4 => Body::ManualFailoverStart,
            _ => Body::Ping { kind, gossip, extensions },
        };
        let links: Vec<BusLink> = bench.cluster.links().map(|(id, _)| id).collect();
        let link = match rng.below(4) {
            0 => bench.cluster.accepted(bench.now, "10.0.9.9", "10.0.0.1").expect("a link"),
            _ => links.get(rng.below(links.len().max(1) as u64) as usize).copied().unwrap_or(BusLink(0)),
        };
        bench.hear_on(link, Some(header), body);
        if round % 7 == 0 {
            bench.pass(100);
        }
        let owned = bench.cluster.topology.iter().filter(|(_, node)| node.slot_count() > 0);
        assert!(owned.into_iter().all(|(_, node)| node.slots().len() == node.slot_count()));
        bench.clear();
    }
    assert!(bench.cluster.topology.len() < 200, "{}", bench.cluster.topology.len());
}
