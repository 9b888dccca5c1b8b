//! Tests of the service: owners of slots and roles, as other nodes tell them.

use super::super::bench::{Bench, id};
use super::super::*;
use super::{is_update, replica_bench, slots};

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
fn a_replica_takes_over_the_slots_that_its_primary_moves() {
    let mut primary = Bench::new("mabc");
    let (a, b) = (primary.at('a'), primary.at('b'));
    assert_eq!(primary.cluster.open_slots(), None);
    primary.cluster.topology.set_migrating(5, Some(b));
    primary.cluster.topology.set_importing(150, Some(a));
    let (of_a, of_b) = (id('a').to_string(), id('b').to_string());
    let text = format!("150<{of_a},5>{of_b},");
    assert_eq!(primary.cluster.open_slots(), Some(text.clone()));

    let mut bench = Bench::new("ac");
    bench.make_replica('m', 'c');
    bench.cluster.take_open_slots(bench.now, text.as_bytes());
    let a = bench.at('a');
    assert_eq!((bench.cluster.topology.importing(150), bench.cluster.topology.migrating(5)), (Some(a), None));
    // `b` becomes known later.
    bench.add('b', flag::PRIMARY);
    bench.pass(100);
    let b = bench.at('b');
    assert_eq!(bench.cluster.topology.migrating(5), Some(b));
    // What can't be read changes nothing, nor what is told to a primary.
    for bad in ["5>x,", "16384>", "5", &format!("16384<{of_a},"), &format!("7={of_a},")] {
        bench.cluster.take_open_slots(bench.now, bad.as_bytes());
    }
    primary.cluster.take_open_slots(primary.now, format!("9>{of_b},").as_bytes());
    assert_eq!(
        bench.cluster.topology.all_migrating().len() + bench.cluster.topology.all_importing().len(),
        2
    );
    assert_eq!(primary.cluster.topology.migrating(9), None);
}

#[test]
fn a_replica_keeps_a_slot_open_until_its_primary_claims_it() {
    let mut bench = Bench::new("ac");
    bench.make_replica('m', 'c');
    let (a, c) = (bench.at('a'), bench.at('c'));
    let slot: SlotSet = [150].into_iter().collect();
    bench.cluster.assign_slots(&slot, Some(a));
    bench.cluster.topology.node_mut(a).config_epoch = 9;
    bench.cluster.topology.set_importing(150, Some(a));
    // SETSLOT NODE, which the primary has its replicas do first.
    bench.cluster.set_slot(150, SlotChange::Node(c), 1);
    assert_eq!(
        (bench.cluster.topology.owner(150), bench.cluster.topology.importing(150)),
        (Some(c), Some(a))
    );
    // The source hasn't heard of it, and its epoch is newer.
    let ping = |bench: &mut Bench, name, epoch| {
        let mut header = bench.header(name);
        (header.slots, header.config_epoch, header.current_epoch) = (slot.clone(), epoch, epoch);
        let extensions = Extensions::default();
        bench.hear(name, Some(header), Body::Ping { kind: PingKind::Ping, gossip: Vec::new(), extensions });
    };
    ping(&mut bench, 'a', 9);
    assert_eq!(
        (bench.cluster.topology.owner(150), bench.cluster.topology.importing(150)),
        (Some(a), Some(a))
    );
    // As a primary it would keep the keys.
    ping(&mut bench, 'c', 10);
    assert_eq!((bench.cluster.topology.owner(150), bench.cluster.topology.importing(150)), (Some(c), None));
}

#[test]
fn a_slot_that_its_source_gives_away_is_its_importers_unless_the_message_is_an_old_one() {
    let mut bench = Bench::new("mab");
    let (me, a) = (bench.cluster.topology.me(), bench.at('a'));
    bench.node('a').config_epoch = 9;
    bench.cluster.topology.set_importing(150, Some(a));
    // On the slower link comes what the source said before it had the slot.
    let without = |header: &mut Header, epoch| {
        header.config_epoch = epoch;
        header.slots.remove(150);
    };
    bench.ping('a', |header| without(header, 8), Vec::new());
    assert_eq!(
        (bench.cluster.topology.owner(150), bench.cluster.topology.importing(150)),
        (Some(a), Some(a))
    );
    bench.ping('a', |header| without(header, 9), Vec::new());
    assert_eq!((bench.cluster.topology.owner(150), bench.cluster.topology.importing(150)), (Some(me), None));
    assert!(bench.has_logged("Slot 150 is no longer being imported from node aaaa"));
}

#[test]
fn slots_that_are_handed_over_are_taken_by_their_new_node_alone_whatever_its_epoch() {
    let mut bench = Bench::new("mab");
    let (me, b) = (bench.cluster.topology.me(), bench.at('b'));
    bench.cluster.topology.myself_mut().config_epoch = 20;
    let slot = bench.cluster.topology.myself().slots().iter().next().expect("it has slots");
    let claim = |bench: &mut Bench, letter| {
        let with_it = |header: &mut Header| {
            header.slots.insert(slot);
        };
        bench.ping(letter, with_it, Vec::new());
    };
    bench.cluster.granted.insert(slot, Some(id('b')));
    // `a` had it long ago, and has been away.
    claim(&mut bench, 'a');
    assert_eq!(bench.cluster.topology.owner(slot), Some(me));
    claim(&mut bench, 'b');
    assert_eq!(bench.cluster.topology.owner(slot), Some(b));
}
