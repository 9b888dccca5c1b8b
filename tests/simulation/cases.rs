//! What random cases have found, each as a case of its own.

use redloop::sys::simulated_disk::Crash;

use crate::history;
use crate::world::World;

#[test]
fn a_primary_that_comes_back_as_a_replica_goes_on_in_the_right_database() {
    let mut world = World::plain(2);
    world.settle();
    for words in [["SELECT", "1"].as_slice(), &["SET", "a", "1"]] {
        world.send(0, words);
    }
    world.settle();
    // The stream has selected database 1 here, and doesn't say so again.
    world.command(0, &["BGSAVE"]);
    (0..100).for_each(|_| world.pass(1));
    world.send(0, &["SET", "b", "1"]);
    world.settle();
    world.crash(0, Crash::Process);
    world.promote(1);
    world.send(1, &["PING"]);
    world.finish();
    assert_eq!(world.figures.partial, 1, "it goes on where its file ends");
}

#[test]
fn a_server_that_becomes_a_replica_adds_nothing_to_its_stream() {
    let mut world = World::plain(3);
    world.settle();
    world.send(0, &["SET", "a", "1"]);
    world.settle();
    // Replicas would be asked for their offsets in the next turn.
    world.send(0, &["WAIT", "3", "1000"]);
    let before = history::place(world.engine(0));
    world.command(0, &["REPLICAOF", "10.0.0.1", "7001"]);
    world.pass(1);
    assert_eq!(history::place(world.engine(0)), before);
}

#[test]
fn what_a_client_writes_at_a_replica_stays_there() {
    let mut world = World::plain_with(
        3,
        &[("appendonly", "yes"), ("appendfsync", "always"), ("replica-read-only", "no")],
    );
    world.settle();
    world.send(0, &["SET", "a", "1"]);
    world.settle();
    let before = history::place(world.engine(1));
    world.send(1, &["SELECT", "14"]);
    world.send(1, &["SET", "own", "1"]);
    assert_eq!(history::place(world.engine(1)), before, "it is no part of the stream");
    (0..50).for_each(|_| world.pass(20));
    let has = |world: &mut World| [0, 1, 2].map(|number| world.has(number, 14, "own"));
    assert_eq!(has(&mut world), [false, true, false]);
    // The log has it, among what the primary has sent.
    world.send(0, &["SET", "b", "1"]);
    world.settle();
    world.crash(1, Crash::Power);
    world.settle();
    assert_eq!((has(&mut world), world.has(1, 0, "b")), ([false, true, false], true));
    assert_eq!(world.engine(0).metrics.stats.sync_full, 2, "it goes on where its log ends");
    // As a primary for a while it gets a history of its own, and then the primary's data.
    world.command(1, &["REPLICAOF", "NO", "ONE"]);
    world.send(1, &["SET", "c", "1"]);
    world.settle();
    assert_eq!(has(&mut world), [false; 3]);
    assert_eq!(world.engine(0).metrics.stats.sync_full, 3);
}

#[test]
fn what_waitaof_has_seen_in_logs_survives_their_power_failures() {
    let mut world = World::plain_with(2, &[("appendonly", "yes"), ("appendfsync", "everysec")]);
    world.settle();
    // Until both logs have their base.
    (0..100).for_each(|_| world.pass(20));
    world.send(0, &["SET", "a", "1"]);
    world.send(0, &["WAITAOF", "1", "1", "0"]);
    let mut turns = 0;
    while world.waits(0) {
        world.pass(20);
        turns += 1;
        assert!(turns < 500, "a sync takes a second, an acknowledgement another");
    }
    world.crash(1, Crash::Power);
    world.crash(0, Crash::Power);
    (0..100).for_each(|_| world.pass(20));
    assert_eq!([0, 1].map(|number| world.has(number, 0, "a")), [true, true]);
}

#[test]
fn a_replica_that_was_a_primary_for_a_while_does_not_count_that_as_its_primary_s_stream() {
    let mut world = World::plain_with(2, &[("appendonly", "yes"), ("appendfsync", "always")]);
    world.settle();
    world.send(0, &["SET", "a", "1"]);
    world.settle();
    // Until both logs have their base.
    (0..100).for_each(|_| world.pass(20));
    world.crash(1, Crash::Process);
    // It has loaded its log, and hasn't gone on with its primary yet.
    let mut turns = 0;
    while !world.command(1, &["REPLICAOF", "NO", "ONE"]).starts_with("+OK") {
        world.pass(1);
        turns += 1;
        assert!(turns < 10_000, "it starts again");
    }
    world.send(1, &["SET", "b", "1"]);
    (0..10).for_each(|_| world.pass(1));
    assert!(world.has(1, 0, "b"));
    world.crash(1, Crash::Process);
    world.send(0, &["SET", "c", "a value that is longer than what was written meanwhile"]);
    world.settle();
    assert_eq!(["a", "b", "c"].map(|key| world.has(1, 0, key)), [true, false, true]);
    assert_eq!(world.engine(0).metrics.stats.sync_full, 2, "what it has isn't of its primary's stream");
}
