//! Tests of lazy freeing: big values are freed in slices if they have many parts, by the unmapping thread if they have
//! many bytes.

use crate::commands::support::testing::TestServer;
use crate::engine::persistence::Purpose;
use crate::services::persist::snapshot::QUEUE_LIMIT;

/// How many slices it takes until nothing waits any more.
fn slices(server: &mut TestServer) -> usize {
    let lazy_free = &mut server.engine.data.keyspace.lazy_free;
    if !lazy_free.has_work(true) {
        return 0;
    }
    1 + (0..).take_while(|_| lazy_free.slice(true)).count()
}

fn fill(server: &mut TestServer, command: &str, count: usize) {
    for number in 0..count {
        server.run(&command.replace('#', &number.to_string()));
    }
}

#[test]
fn pending_entries_count_when_a_database_is_flushed() {
    let mut server = TestServer::new();
    fill(&mut server, "XADD s #-1 f v", 3000);
    server.run("XGROUP CREATE s g 0");
    server.run("XREADGROUP GROUP g c COUNT 10000 STREAMS s >");
    server.run("XTRIM s MAXLEN 0");
    assert_eq!((server.run("XLEN s"), server.run("FLUSHDB ASYNC")), (":0".into(), "+OK".into()));
    assert!(slices(&mut server) > 20, "a hundred pending entries a slice");
}

#[test]
fn what_is_emptied_as_a_whole_is_freed_in_slices() {
    for (fill_by, empty_by) in [
        ("ZADD k # member:#", "ZREMRANGEBYRANK k 0 -1"),
        ("ZADD k # member:#", "ZREMRANGEBYSCORE k -inf +inf"),
        ("RPUSH k a_rather_long_item_of_some_sixty_bytes_for_which_there_is_no_use_at_all:#", "LTRIM k 1 0"),
    ] {
        let mut server = TestServer::new();
        fill(&mut server, fill_by, 3000);
        server.run(empty_by);
        assert_eq!(server.run("EXISTS k"), ":0", "{empty_by}");
        assert!(slices(&mut server) > 20, "{empty_by}");
    }
}

#[test]
fn a_removal_in_part_keeps_the_rest() {
    let mut server = TestServer::new();
    fill(&mut server, "ZADD z # #", 300);
    fill(&mut server, "RPUSH l #", 300);
    server.script(
        "
        ZREMRANGEBYRANK z 1 -1 => :299
        ZRANGE z 0 -1 => [\"0\"]
        ZREMRANGEBYRANK z 5 9 => :0
        LTRIM l -1 -1
        LRANGE l 0 -1 => [\"299\"]
        ",
    );
}

#[test]
fn the_register_of_field_deadlines_goes_in_slices() {
    let mut server = TestServer::new();
    for number in 0..1500 {
        server.run(&format!("HSET h:{number} f v"));
        server.run(&format!("HEXPIRE h:{number} 100 FIELDS 1 f"));
    }
    server.run("FLUSHDB ASYNC");
    let both = slices(&mut server);
    fill(&mut server, "HSET h:# f v", 1500);
    server.run("FLUSHDB ASYNC");
    let alone = slices(&mut server);
    assert!(both > alone, "{both} slices with deadlines, {alone} without");
}

/// Every way in which a large string loses its key, its field or its place hands the memory to the thread.
#[cfg(not(system_allocator))]
mod bytes {
    use super::*;
    use crate::structures::table::EntryValue;
    use crate::sys::large_alloc::{
        LARGE,
        tests::{exclusively, was_released},
    };

    fn address_of(server: &mut TestServer, key: &str) -> usize {
        let database = server.engine.data.keyspace.database(0);
        let table = database.table();
        let entry = table.find(table.hash(key.as_bytes()), key.as_bytes()).expect("the key is there");
        let address = match table.value(entry) {
            EntryValue::Bytes(bytes) => bytes.as_ptr().addr(),
            other => panic!("not a string: {other:?}"),
        };
        // Another test may have given up a mapping that was at this address before.
        while was_released(address) {}
        address
    }

    #[test]
    fn large_strings_are_left_to_the_thread() {
        let _alone = exclusively();
        for removal in [
            "DEL k",
            "UNLINK k",
            "SET k v",
            "GETDEL k",
            "RENAME other k",
            "COPY other k REPLACE",
            "SET k 1",
            "SORT list STORE k",
            "PEXPIREAT k 1",
        ] {
            let mut server = TestServer::new();
            server.run("SET other value");
            server.run("RPUSH list 1 2");
            server.run(&format!("SETRANGE k {LARGE} x"));
            let address = address_of(&mut server, "k");
            server.run(removal);
            assert!(was_released(address), "{removal}");
        }
    }

    #[test]
    fn so_are_those_of_a_flushed_database_and_expired_ones() {
        let _alone = exclusively();
        let mut server = TestServer::new();
        server.run(&format!("SETRANGE k {LARGE} x"));
        let address = address_of(&mut server, "k");
        server.run("FLUSHDB ASYNC");
        assert!(slices(&mut server) > 0 && was_released(address));
        server.run(&format!("SETRANGE k {LARGE} x"));
        let address = address_of(&mut server, "k");
        server.run("PEXPIRE k 10");
        server.advance(20);
        assert_eq!((server.run("GET k"), was_released(address)), ("nil".into(), true));
    }
}

#[test]
fn what_is_removed_waits_for_the_writer_of_a_snapshot() {
    let mut server = TestServer::new();
    let member = "x".repeat(20_000);
    for key in ["removed", "flushed"] {
        fill(&mut server, &format!("SADD {key} #{member}"), 600);
    }
    server.engine.start_snapshot(Purpose::Background);
    let receiver = server.engine.persistence.take_receiver().expect("a receiver");
    server.run("UNLINK removed");
    server.run("FLUSHDB ASYNC");
    // Removed later, not in the snapshot.
    fill(&mut server, "SADD later #", 1000);
    server.run("UNLINK later");
    let pending = |server: &TestServer| server.engine.data.keyspace.lazy_free.pending();
    let mut largest = 0;
    let mut turns = |server: &mut TestServer, until: usize| {
        for _ in 0..10_000 {
            server.advance(1);
            server.engine.tick();
            let run = server.engine.persistence.run().expect("under way");
            largest = largest.max(run.queued());
            if pending(server) == until {
                break;
            }
        }
        assert_eq!(pending(server), until);
    };
    // The writer takes nothing: what is in the snapshot stays, the other is freed, and the loop sleeps.
    turns(&mut server, 2);
    for _ in 0..10_000 {
        server.advance(1);
        server.engine.tick();
        if server.engine.sleep_ms() > 0 {
            break;
        }
    }
    assert!(server.engine.sleep_ms() > 0 && server.engine.persistence.run().expect("under way").queued() > 0);
    assert_eq!(server.engine.data.keyspace.lazy_free.freed, 1);
    let mut bytes = 0;
    while pending(&server) > 0 {
        while receiver.try_next().is_some() {
            bytes += 1;
        }
        server.advance(1);
        server.engine.tick();
        largest = largest.max(server.engine.persistence.run().expect("under way").queued());
    }
    assert!(bytes > 0);
    assert!(largest < QUEUE_LIMIT + (1 << 20), "{largest}");
}
