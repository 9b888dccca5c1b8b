//! Tests of the service: votes, elections and manual failovers.

use super::super::bench::{Bench, id, user};
use super::super::*;
use super::{is_update, replica_bench, slots};

fn is_vote(body: &Body) -> bool {
    *body == Body::AuthAck
}

fn is_request(body: &Body) -> bool {
    *body == Body::AuthRequest
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
fn a_vote_goes_on_the_link_of_the_request_while_there_is_no_other() {
    let mut bench = Bench::new("mab");
    bench.add('r', flag::REPLICA);
    bench.make_replica('r', 'a');
    bench.node('a').set(flag::FAIL, true);
    let outbound = bench.node('r').link.expect("an outbound link");
    bench.cluster.close_link(outbound);
    bench.settle();
    bench.clear();
    let header = bench.header('r');
    bench.hear('r', Some(header), Body::AuthRequest);
    assert_eq!(bench.sent_to(is_vote), "r");
}

#[test]
fn a_manual_failover_starts_at_once_when_the_history_is_empty() {
    let mut bench = replica_bench();
    bench.cluster.begin_manual_failover(FailoverKind::Default, &user()).expect("begun");
    bench.cluster.local.offset = 1;
    let flags = message_flag::PAUSED | message_flag::EXTENSIONS;
    bench.ping('a', |header| (header.offset, header.message_flags) = (0, flags), Vec::new());
    bench.pass_with(200, "abcr");
    assert_eq!(bench.sent_to(is_request), "abcr");
}
