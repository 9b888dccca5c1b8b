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
