//! The rules of the bus, one by one.

use super::bench::{Bench, id, user};
use super::*;

fn slots(first: u16, end: u16) -> SlotSet {
    (first..end).collect()
}

fn is_vote(body: &Body) -> bool {
    *body == Body::AuthAck
}

fn is_fail(body: &Body) -> bool {
    matches!(body, Body::Fail(_))
}

fn is_update(body: &Body) -> bool {
    matches!(body, Body::Update { .. })
}

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
fn slots_belong_to_the_claim_with_the_newest_epoch() {
    let mut bench = Bench::new("mab");
    // `b` claims some of `a`'s with a newer epoch, and free ones.
    bench.ping(
        'b',
        |header| {
            header.config_epoch = 9;
            header.slots = slots(150, 350);
        },
        Vec::new(),
    );
    assert_eq!(bench.node('b').slots().to_string(), "150-349");
    assert_eq!(bench.node('a').slots().to_string(), "100-149");
    assert!(bench.has_logged("Slot range [150, 199] is migrated from node aaaa"));
    assert!(bench.done.contains(&Action::SaveConfig { sync: true }));
    assert!(!bench.done.iter().any(|action| matches!(action, Action::DeleteKeys(_))));
    // `a`, which doesn't know, is told.
    bench.clear();
    bench.ping('a', |header| header.slots = slots(100, 200), Vec::new());
    assert_eq!((bench.sent_to(is_update).as_str(), bench.node('a').slots().len()), ("a", 50));
    // An owner that doesn't claim a slot any more keeps it until another node does, whatever its epoch.
    bench.ping(
        'b',
        |header| {
            header.config_epoch = 9;
            header.slots = slots(150, 340);
        },
        Vec::new(),
    );
    assert_eq!(bench.node('b').slots().to_string(), "150-349");
    bench.ping('a', |header| header.slots = slots(345, 350), Vec::new());
    assert_eq!((bench.node('a').slots().len(), bench.node('b').slots().to_string()), (55, "150-344".into()));
}

#[test]
fn lost_slots_lose_their_keys_and_subscriptions() {
    let mut bench = Bench::new("mab");
    bench.ping(
        'b',
        |header| {
            header.config_epoch = 9;
            header.slots = (50..60).chain(200..300).collect();
        },
        Vec::new(),
    );
    assert!(bench.done.contains(&Action::DeleteKeys(slots(50, 60))));
    assert!(bench.done.contains(&Action::EndShardSubscriptions(slots(50, 60))));
    // The rest, too: this node becomes the replica of the one that has them now.
    bench.clear();
    bench.ping(
        'b',
        |header| {
            header.config_epoch = 9;
            header.slots = (0..100).chain(200..300).collect();
        },
        Vec::new(),
    );
    let b = bench.at('b');
    assert_eq!(bench.cluster.topology.myself().primary(), Some(b));
    assert_eq!(bench.cluster.topology.myself().shard, id('b'));
    assert!(bench.done.contains(&Action::Follow { ip: "10.0.1.98".into(), port: 6379, from_scratch: true }));
    assert!(!bench.done.iter().any(|action| matches!(action, Action::DeleteKeys(_))));
    // Unless it may not.
    let mut bench = Bench::new("mab");
    bench.cluster.settings.allow_replica_migration = false;
    bench.ping(
        'b',
        |header| {
            header.config_epoch = 9;
            header.slots = (0..100).chain(200..300).collect();
        },
        Vec::new(),
    );
    assert!(bench.cluster.topology.myself().is_primary() && bench.has_logged("I am now an empty primary."));
    assert!(bench.done.contains(&Action::DeleteKeys(slots(0, 100))));
}

#[test]
fn an_update_makes_a_replica_a_primary_and_an_old_one_nothing() {
    let mut bench = Bench::new("mab");
    bench.add('r', flag::REPLICA);
    bench.make_replica('r', 'a');
    let update = |epoch| Body::Update { config_epoch: epoch, node: id('r'), slots: slots(100, 200) };
    let header = bench.header('b');
    bench.hear('b', Some(header.clone()), update(0));
    assert!(bench.node('r').is_replica());
    bench.hear('b', Some(header.clone()), update(7));
    assert!(bench.node('r').is_primary() && bench.node('r').config_epoch == 7);
    assert_eq!((bench.node('r').slots().len(), bench.node('a').slot_count()), (100, 0));
    bench.hear('b', Some(header), Body::Update { config_epoch: 70, node: id('m'), slots: SlotSet::new() });
    assert_eq!(bench.cluster.topology.myself().slot_count(), 100, "this node knows better what it has");
}

#[test]
fn of_two_primaries_with_one_epoch_the_smaller_name_takes_a_new_one() {
    let mut bench = Bench::new("mza");
    bench.ping('a', |header| header.config_epoch = 1, Vec::new());
    assert_eq!(bench.cluster.topology.myself().config_epoch, 1);
    bench.node('z').config_epoch = 1;
    bench.clear();
    bench.ping('z', |_| {}, Vec::new());
    assert_eq!((bench.cluster.topology.myself().config_epoch, bench.cluster.topology.current_epoch), (4, 4));
    // Saved before anything is sent, and all are told.
    let saved = bench.done.iter().position(|action| *action == Action::SaveConfig { sync: true });
    let sent = bench.done.iter().position(|action| matches!(action, Action::Send { .. }));
    assert!(saved.is_some() && saved < sent);
    assert!(
        bench
            .sent
            .iter()
            .any(|(to, message)| *to == 'a' && message.header.as_ref().is_some_and(|h| h.config_epoch == 4))
    );
    assert!(!bench.cluster.bump_epoch(), "it is the greatest");
}

#[test]
fn a_vote_is_given_once_an_epoch_to_a_replica_with_the_newest_slots() {
    let mut bench = Bench::new("mab");
    for letter in ['r', 's'] {
        bench.add(letter, flag::REPLICA);
        bench.make_replica(letter, 'a');
    }
    let ask = |bench: &mut Bench, letter: char, epoch: u64, change: &dyn Fn(&mut Header)| {
        bench.clear();
        let mut header = bench.header(letter);
        header.current_epoch = epoch;
        change(&mut header);
        bench.hear(letter, Some(header), Body::AuthRequest);
        bench.sent_to(is_vote)
    };
    assert_eq!(ask(&mut bench, 'r', 4, &|_| {}), "");
    assert!(bench.has_logged("its primary is up"));
    bench.node('a').set(flag::FAIL, true);
    assert_eq!(ask(&mut bench, 'r', 3, &|_| {}), "");
    assert!(bench.has_logged("reqEpoch (3) < curEpoch(4)"));
    assert_eq!(ask(&mut bench, 'b', 5, &|_| {}), "");
    assert!(bench.has_logged("it is a primary node"));
    assert_eq!(ask(&mut bench, 'r', 5, &|header| header.config_epoch = 1), "");
    assert!(bench.has_logged("slot 100 epoch (2) > reqConfigEpoch (1)"));
    assert_eq!(bench.sent_to(is_update), "r");
    assert_eq!(ask(&mut bench, 'r', 6, &|_| {}), "r");
    let saved = bench.done.iter().position(|action| *action == Action::SaveConfig { sync: true });
    let sent = bench.done.iter().position(|action| matches!(action, Action::Send { .. }));
    assert!(saved.is_some() && saved < sent, "the vote is on the disk before it is sent");
    assert_eq!(bench.cluster.topology.last_vote_epoch, 6);
    assert_eq!(ask(&mut bench, 's', 6, &|_| {}), "");
    assert!(bench.has_logged("already voted for epoch 6"));
    // A manual failover needs no failure.
    bench.node('a').set(flag::FAIL, false);
    assert_eq!(ask(&mut bench, 's', 7, &|header| header.message_flags |= message_flag::FORCE_ACK), "s");
    // A node without slots has no vote.
    let slots = bench.cluster.topology.myself().slots().clone();
    bench.cluster.assign_slots(&slots, None);
    assert_eq!(ask(&mut bench, 's', 8, &|header| header.message_flags |= message_flag::FORCE_ACK), "");
}

/// This node is a replica of `a`, with `r`, among the primaries `a`, `b`, `c`.
fn replica_bench() -> Bench {
    let mut bench = Bench::new("abc");
    bench.add('r', flag::REPLICA);
    bench.make_replica('r', 'a');
    bench.make_replica('m', 'a');
    bench.cluster.local =
        Local { offset: 500, is_link_up: true, last_interaction: bench.now, is_paused: false };
    bench
}

fn is_request(body: &Body) -> bool {
    *body == Body::AuthRequest
}

#[test]
fn a_replica_is_elected_by_most_primaries_and_takes_the_slots() {
    let mut bench = replica_bench();
    let header = bench.header('b');
    bench.hear('b', Some(header), Body::Fail(id('a')));
    bench.pass_with(100, "bcr");
    assert_eq!(bench.sent_to(is_request), "abcr");
    let request =
        bench.sent.iter().find(|(_, message)| is_request(&message.body)).expect("a request").1.clone();
    let header = request.header.expect("a header");
    assert_eq!((header.current_epoch, header.config_epoch, header.primary), (4, 1, Some(id('a'))));
    let saved = bench.done.iter().position(|action| *action == Action::SaveConfig { sync: true });
    assert!(saved.is_some());
    bench.clear();
    for (letter, epoch) in [('b', 3), ('b', 4), ('b', 4), ('r', 4)] {
        let mut header = bench.header(letter);
        header.current_epoch = epoch;
        bench.hear(letter, Some(header), Body::AuthAck);
        assert!(bench.cluster.topology.myself().is_replica(), "one vote of an old epoch, one that counts");
    }
    let header = bench.header('c');
    bench.hear('c', Some(header), Body::AuthAck);
    let me = bench.cluster.topology.myself();
    assert!(me.is_primary() && me.config_epoch == 4 && *me.slots() == slots(0, 100));
    assert!(bench.done.contains(&Action::Promote) && bench.done.contains(&Action::VerifyData));
    assert_eq!(bench.node('a').slot_count(), 0);
    let told = bench.sent_to(|body| matches!(body, Body::Ping { kind: PingKind::Pong, .. }));
    assert_eq!(told, "abcr");
}

#[test]
fn replicas_with_less_data_ask_later_and_those_with_old_data_not_at_all() {
    let delay_of = |change: &dyn Fn(&mut Bench)| {
        let mut bench = replica_bench();
        bench.cluster.settings.node_timeout_ms = 15_000;
        change(&mut bench);
        let header = bench.header('b');
        bench.hear('b', Some(header), Body::Fail(id('a')));
        let start = bench.now;
        for _ in 0..50 {
            bench.pass_with(100, "bcr");
            if bench.sent_to(is_request).contains('b') {
                return Some(bench.now - start);
            }
        }
        None
    };
    let first = delay_of(&|_| {}).expect("an election");
    assert!((500..1200).contains(&first), "{first}");
    let second = delay_of(&|bench| bench.node('r').repl_offset = 501).expect("an election");
    assert!((1500..2200).contains(&second), "{second}");
    // All know that the primary has failed, so that the offsets are final.
    let best = delay_of(&|bench| bench.node('r').set(flag::MY_PRIMARY_FAIL, true)).expect("an election");
    assert!(best <= 100, "{best}");
    assert_eq!(delay_of(&|bench| bench.cluster.local.last_interaction = bench.now - 200_000), None);
    assert_eq!(delay_of(&|bench| bench.cluster.settings.replica_no_failover = true), None);
    let empty = delay_of(&|bench| (bench.cluster.local.offset, bench.node('r').repl_offset) = (0, 0));
    assert!(empty.is_some_and(|delay| (1000..1800).contains(&delay)), "{empty:?}");
}

#[test]
fn an_election_that_is_lost_is_repeated() {
    let mut bench = replica_bench();
    let header = bench.header('b');
    bench.hear('b', Some(header), Body::Fail(id('a')));
    let mut requests = Vec::new();
    for _ in 0..120 {
        bench.pass_with(100, "bcr");
        bench.node('a').set(flag::FAIL, true);
        if !bench.sent_to(is_request).is_empty() {
            requests.push(bench.now);
        }
        bench.clear();
    }
    // The votes may come for two seconds; after as long again, it begins anew.
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert!(requests.windows(2).all(|pair| (4000..4600).contains(&(pair[1] - pair[0]))), "{requests:?}");
}

#[test]
fn a_manual_failover_waits_for_the_stream_of_a_primary_that_pauses() {
    let mut bench = replica_bench();
    bench.cluster.begin_manual_failover(FailoverKind::Default, &user()).expect("begun");
    bench.settle();
    assert_eq!(bench.sent_to(|body| *body == Body::ManualFailoverStart), "a");
    // An offset that may still grow doesn't count.
    bench.ping('a', |header| header.offset = 500, Vec::new());
    bench.pass_with(200, "abcr");
    assert_eq!(bench.sent_to(is_request), "");
    bench.ping(
        'a',
        |header| {
            (header.offset, header.message_flags) = (600, message_flag::PAUSED | message_flag::EXTENSIONS);
        },
        Vec::new(),
    );
    bench.pass_with(200, "abcr");
    assert_eq!(bench.sent_to(is_request), "");
    bench.cluster.local.offset = 600;
    bench.settle();
    bench.settle();
    assert_eq!(bench.sent_to(is_request), "abcr", "without a delay");
    let forced = bench.sent.iter().any(|(_, message)| {
        is_request(&message.body)
            && message.header.as_ref().is_some_and(|h| h.message_flags & message_flag::FORCE_ACK != 0)
    });
    assert!(forced);
}

#[test]
fn a_primary_pauses_for_its_replica_and_tells_its_offset_only_then() {
    let mut bench = Bench::new("mab");
    bench.add('r', flag::REPLICA);
    bench.make_replica('r', 'm');
    let header = bench.header('a');
    bench.hear('a', Some(header), Body::ManualFailoverStart);
    assert!(
        !bench.done.iter().any(|action| matches!(action, Action::PauseWrites { .. })),
        "it is no replica of this node's"
    );
    let header = bench.header('r');
    bench.hear('r', Some(header), Body::ManualFailoverStart);
    assert!(bench.done.contains(&Action::PauseWrites { until: bench.now + 10_000 }));
    let paused = |bench: &Bench| {
        let is_paused = |h: &Header| h.message_flags & message_flag::PAUSED != 0;
        bench
            .sent
            .iter()
            .filter(|(to, m)| *to == 'r' && m.header.as_ref().is_some_and(|h| is_paused(h)))
            .count()
    };
    assert_eq!(paused(&bench), 0, "writes may still come");
    (bench.cluster.local.is_paused, bench.cluster.local.offset) = (true, 77);
    bench.settle();
    assert_eq!(paused(&bench), 1);
    bench.clear();
    bench.pass_with(5100, "abr");
    assert!(paused(&bench) > 10, "it is told again and again");
    assert!(
        bench.done.contains(&Action::PauseWrites { until: 0 })
            && bench.has_logged("Manual failover timed out.")
    );
}

#[test]
fn takeover_asks_no_node_and_failover_needs_a_primary_that_works() {
    let mut bench = replica_bench();
    bench.node('a').set(flag::FAIL, true);
    assert_eq!(
        bench.cluster.begin_manual_failover(FailoverKind::Default, &user()),
        Err(FailoverError::PrimaryDown)
    );
    bench.cluster.begin_manual_failover(FailoverKind::Takeover, &user()).expect("taken over");
    bench.settle();
    let me = bench.cluster.topology.myself();
    assert!(me.is_primary() && me.config_epoch == 4 && me.slot_count() == 100);
    assert_eq!(
        bench.cluster.begin_manual_failover(FailoverKind::Force, &user()),
        Err(FailoverError::NotAReplica)
    );
}

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
fn a_replica_of_a_replica_follows_the_primary_of_its_primary() {
    let mut bench = replica_bench();
    let b = bench.at('b');
    bench.ping(
        'a',
        |header| {
            (header.primary, header.slots, header.config_epoch) = (Some(id('b')), slots(100, 200), 2);
            header.flags = flag::REPLICA;
        },
        Vec::new(),
    );
    assert_eq!(bench.node('a').primary(), Some(b));
    assert_eq!(bench.cluster.topology.myself().primary(), Some(b));
    assert!(bench.has_logged("I'm a sub-replica!"));
    assert_eq!(bench.node('a').slot_count(), 0, "it has left its shard");
}

#[test]
fn a_failover_is_known_from_either_side() {
    // The old primary says first that it is a replica.
    let mut bench = Bench::new("mab");
    bench.add('r', flag::REPLICA);
    bench.make_replica('r', 'a');
    let stale = |header: &mut Header| {
        (header.primary, header.config_epoch) = (Some(id('r')), 1);
        header.flags = flag::REPLICA;
    };
    bench.ping('a', stale, Vec::new());
    assert!(bench.node('a').is_primary() && bench.has_logged("Ignore stale message from"));
    bench.ping(
        'a',
        |header| {
            stale(header);
            header.config_epoch = 8;
        },
        Vec::new(),
    );
    let r = bench.at('r');
    assert!(bench.node('r').is_primary() && bench.node('r').config_epoch == 8);
    assert_eq!((bench.node('a').primary(), bench.node('r').slot_count()), (Some(r), 100));
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
fn a_shard_is_that_of_the_primary() {
    let mut bench = Bench::new("mab");
    bench.add('r', flag::REPLICA);
    bench.make_replica('r', 'a');
    bench.node('r').shard = id('a');
    let mut extensions = Extensions { shard: Some(id('x')), ..Extensions::default() };
    let header = bench.header('r');
    bench.hear(
        'r',
        Some(header),
        Body::Ping { kind: PingKind::Ping, gossip: Vec::new(), extensions: extensions.clone() },
    );
    assert_eq!(bench.node('r').shard, id('a'));
    bench.make_replica('m', 'a');
    extensions.announced.hostname = "a.example".into();
    let header = bench.header('a');
    bench.hear('a', Some(header), Body::Ping { kind: PingKind::Ping, gossip: Vec::new(), extensions });
    assert_eq!((bench.node('a').shard, bench.cluster.topology.myself().shard), (id('x'), id('x')));
    assert_eq!(bench.node('a').announced.hostname, "a.example");
}

#[test]
fn links_that_hold_too_much_or_are_of_no_node_are_closed() {
    let mut bench = Bench::new("ma");
    bench.cluster.settings.link_sendbuf_limit = 1000;
    let link = bench.node('a').link.expect("a link");
    bench.cluster.sent(bench.now, link, 1001);
    bench.pass(100);
    assert!(bench.done.contains(&Action::Close { link }) && bench.cluster.stats.links_over_limit == 1);
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
