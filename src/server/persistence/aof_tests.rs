//! Tests of the append-only file beside a replica: what is for the replica only doesn't get into the file, nor into its length.

use std::sync::Arc;

use super::*;
use crate::base::ids::ClientId;
use crate::base::rng::Rng;
use crate::commands;
use crate::engine::clients::session::{Peer, Role};
use crate::resp::{OwnedArgs, Reply};
use crate::services::command_stream::encode;
use crate::sys::clock::Clock;
use crate::sys::simulated_disk::SimulatedDisk;

struct World {
    engine: Engine,
    client: ClientId,
    replica: ReaderId,
    disk: SimulatedDisk,
    log: Aof,
    thread: Worker<DiskJob, DiskResult>,
}

impl World {
    fn new(change: impl FnOnce(&mut Config)) -> World {
        let mut config = Config::default();
        change(&mut config);
        let mut engine = Engine::new(commands::FAMILIES, config, Clock::simulated(1_700_000_000_000), 1);
        engine.start_turn();
        let client = engine.clients.sessions.open(0, 0, Peer::Internal, Role::Normal, engine.now());
        let replica = engine.attach_reader(ReaderKind::Replica);
        let disk = SimulatedDisk::new(1);
        let log = Aof::open(Arc::new(disk.clone()), &Manifest::default(), &mut engine).expect("opened");
        World {
            engine,
            client,
            replica,
            disk,
            log,
            thread: Worker::start("aof", work, || ()).expect("a thread"),
        }
    }

    fn ask(&mut self, words: &[&str]) {
        let args = OwnedArgs::from_parts(words);
        let mut reply = Reply::new(Vec::new(), false);
        self.engine.execute_one(self.client, args.as_args(), &mut reply);
        assert_ne!(reply.bytes().first(), Some(&b'-'), "{words:?}");
        self.engine.clients.outbox.clear();
    }

    fn turn(&mut self) {
        self.log.run(&mut self.engine, &mut self.thread);
        self.engine.backlog_mut().trim();
    }

    /// Waits for the sync that runs.
    fn wait(&mut self) {
        while self.log.writer.is_syncing() {
            if let Some(result) = self.thread.wait().expect("the thread runs").flatten() {
                self.log.sync_finished(result, &mut self.engine);
            }
        }
    }

    fn increment(&self, number: u32) -> Vec<u8> {
        self.disk.content(format!("appendonlydir/appendonly.aof.{number}.incr.aof")).expect("an increment")
    }
}

fn frames(requests: &[Vec<String>]) -> Vec<u8> {
    let mut out = Vec::new();
    requests.iter().for_each(|words| encode(&mut out, words.iter()));
    out
}

#[test]
fn what_is_for_replicas_is_not_in_the_file() {
    let mut rng = Rng::new(7);
    for policy in [AppendFsync::Always, AppendFsync::EverySecond] {
        let mut world = World::new(|config| config.appendfsync = policy);
        let mut expected = [vec![], vec![]];
        for (increment, expected) in expected.iter_mut().enumerate() {
            for n in 0..200 {
                if rng.below(2) == 0 {
                    world.ask(&["PUBLISH", "channel", &"message".repeat(rng.below(3000) as usize)]);
                } else {
                    if expected.is_empty() {
                        expected.push(["SELECT", "0"].map(String::from).to_vec());
                    }
                    let value = "v".repeat(rng.below(3000) as usize);
                    world.ask(&["SET", &n.to_string(), &value]);
                    expected.push(["SET".into(), n.to_string(), value].to_vec());
                }
                if rng.below(3) == 0 {
                    world.turn();
                    world.wait();
                }
                // A replica that is behind keeps what the log has passed.
                if rng.below(3) == 0 {
                    let (replica, end) = (world.replica, world.engine.backlog().end());
                    let behind = end - world.engine.backlog().position(replica);
                    world.engine.backlog_mut().consume(replica, rng.below(behind + 1) as usize);
                }
            }
            world.turn();
            world.wait();
            if increment == 0 {
                world.log.begin_rewrite(&mut world.engine).expect("begun");
            }
        }
        world.turn();
        world.wait();
        for (number, requests) in (1..).zip(&expected) {
            assert!(world.increment(number) == frames(requests), "{policy:?}, increment {number}");
        }
        let (size, last) = (world.engine.persistence.aof.current_size, world.increment(2).len() as u64);
        assert_eq!(world.log.writer.file_len(), last);
        assert_eq!(size, last + world.increment(1).len() as u64);
    }
}

#[test]
fn messages_wait_for_no_sync() {
    let mut world = World::new(|config| config.appendfsync = AppendFsync::Always);
    // The stream has selected the database.
    world.ask(&["SET", "a", "0"]);
    world.turn();
    world.wait();
    world.ask(&["PUBLISH", "channel", "message"]);
    world.turn();
    assert!(!world.log.writer.is_syncing());
    assert_eq!(world.log.confirmed(), world.engine.backlog().end());
    world.ask(&["SET", "a", "1"]);
    world.ask(&["PUBLISH", "channel", "message"]);
    world.turn();
    assert!(world.log.writer.is_syncing() && world.log.confirmed() < world.engine.backlog().end());
    world.wait();
    assert_eq!(world.log.confirmed(), world.engine.backlog().end());
}

#[test]
fn a_slow_disk_is_noted_by_the_latency_monitor() {
    let mut world = World::new(|config| {
        config.appendfsync = AppendFsync::Always;
        config.latency_monitor_threshold = 100;
    });
    world.engine.persistence.log_write_sleep_us = 150_000;
    world.ask(&["SET", "a", "1"]);
    world.turn();
    // Replies wait for the sync: as long as it is seen to take.
    world.engine.clock.advance(250_000);
    world.engine.start_turn();
    world.wait();
    world.engine.persistence.log_write_sleep_us = 50_000;
    world.ask(&["SET", "a", "2"]);
    world.turn();
    world.wait();
    let events = &world.engine.metrics.latency.events;
    let noted: Vec<(&str, u64)> = events.iter().map(|(event, series)| (*event, series.max)).collect();
    assert_eq!(noted, [("aof-fsync-always", 400), ("aof-write", 150), ("aof-write-alone", 150)]);
}
