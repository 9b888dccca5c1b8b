//! Primaries and replicas that send nonsense: an error in the log, another attempt later, and a server that goes on, with little
//! memory.

use std::io::{Read, Write};

use redloop::base::rng::Rng;

use crate::actors::{FalsePrimary, FalseReplica};
use crate::kind::Kind;
use crate::node::{Node, eventually};
use crate::support::reply::Reply;

const REPLID: &str = "0123456789012345678901234567890123456789";
/// Memory that a hostile peer may cost, bytes.
const MEMORY: u64 = 64 << 20;

/// A replica that has data, and after the test still has it.
fn with_replica(name: &str, primary: &FalsePrimary, wanted: u64) {
    assert_eq!(data_of_replica(name, primary, wanted), Reply::Bulk(b"1".to_vec()), "{name}");
}

/// What a replica that had data has after the test.
fn data_of_replica(name: &str, primary: &FalsePrimary, wanted: u64) -> Reply {
    let mut replica = Node::start(Kind::Ours, name, &["--repl-timeout", "3"]);
    replica.set("SET kept 1");
    let before = replica.resident();
    replica.set(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    eventually("attempts", || replica.log(), || primary.visits() >= wanted);
    assert!(replica.is_alive(), "{}", replica.log());
    assert_eq!(replica.info("replication", "master_link_status"), "down");
    let after = replica.resident();
    assert!(after < before + MEMORY, "{} MB more", (after - before) >> 20);
    assert!(!replica.log().contains("panic"), "{}", replica.log());
    replica.set("REPLICAOF NO ONE");
    replica.ask("GET kept")
}

/// Primaries that say each of these to replicas that ask for the stream, and then end the link.
fn say_each(name: &str, before: &str, texts: &'static [&'static str]) {
    std::thread::scope(|scope| {
        for (number, some) in texts.chunks(3).enumerate() {
            scope.spawn(move || {
                let before = before.to_string();
                let primary = FalsePrimary::new(move |visit, link| {
                    let text = format!("{before}{}", some[visit as usize % some.len()]);
                    let _ = link.write_all(text.as_bytes());
                });
                with_replica(&format!("{name}-{number}"), &primary, some.len() as u64);
            });
        }
    });
}

#[test]
fn answers_to_psync() {
    const ANSWERS: &[&str] = &[
        "-ERR no\r\n",
        "+\r\n",
        "+FULLRESYNC\r\n",
        "+FULLRESYNC short 1\r\n",
        "+FULLRESYNC 0123456789012345678901234567890123456789 x\r\n",
        "+FULLRESYNC 0123456789012345678901234567890123456789 -1\r\n",
        "+FULLRESYNC 0123456789012345678901234567890123456789 99999999999999999999999\r\n",
        "+CONTINUE\r\n",
        "+CONTINUE short\r\n",
        "$5\r\nhello\r\n",
        ":1\r\n",
        "nonsense\r\n",
        "\0\0\0\0\r\n",
    ];
    say_each("answers", "", ANSWERS);
}

#[test]
fn lengths_of_the_payload() {
    const LENGTHS: &[&str] = &[
        "$\r\n",
        "$-5\r\n",
        "$x\r\n",
        "$0\r\n",
        "$99999999999999999999999\r\n",
        "$9223372036854775807\r\nREDIS0011",
        "$10\r\nREDIS0011",
        "$EOF:\r\n",
        "$EOF:short\r\nREDIS0011short",
        "*3\r\n",
        "-LOADING\r\n",
        "+OK\r\n",
        "\r\n\r\n\r\n",
    ];
    say_each("lengths", &format!("+FULLRESYNC {REPLID} 1\r\n"), LENGTHS);
}

/// A primary whose payloads are garbage; `begins`: as far as the header they are right.
fn garbage(begins: bool, marked: bool) -> FalsePrimary {
    FalsePrimary::new(move |visit, link| {
        let mut rng = Rng::new(visit);
        let mut garbage = vec![0; 3000];
        rng.fill(&mut garbage);
        if begins {
            // Then a database, and a string longer than all.
            garbage.splice(0..0, *b"REDIS0011\xfe\x00\x00\x01k\x81\x7f\xff\xff\xff\xff\xff\xff\xff");
        }
        let mark = "e".repeat(40);
        let start = match marked {
            false => format!("+FULLRESYNC {REPLID} 1\r\n${}\r\n", garbage.len()),
            true => format!("+FULLRESYNC {REPLID} 1\r\n$EOF:{mark}\r\n"),
        };
        let _ = link.write_all(start.as_bytes());
        let _ = link.write_all(&garbage);
        let _ = link.write_all(mark.as_bytes());
    })
}

#[test]
fn garbage_for_a_payload() {
    std::thread::scope(|scope| {
        for (begins, marked) in [(false, false), (false, true), (true, false), (true, true)] {
            scope.spawn(move || {
                let name = format!("garbage-{begins}-{marked}");
                let data = data_of_replica(&name, &garbage(begins, marked), 3);
                // The old data goes as soon as a file begins as it should.
                let kept = if begins { Reply::Null("$") } else { Reply::Bulk(b"1".to_vec()) };
                assert_eq!(data, kept, "{name}");
            });
        }
    });
}

#[test]
fn lines_without_an_end() {
    let primary = FalsePrimary::new(|_, link| {
        let piece = vec![b'x'; 1 << 16];
        // The replica doesn't take it all.
        while link.write_all(&piece).is_ok() {}
    });
    with_replica("endless", &primary, 2);
}

#[test]
fn a_primary_that_says_nothing() {
    let primary = FalsePrimary::new(|_, link| {
        let mut rest = Vec::new();
        let _ = link.read_to_end(&mut rest);
    });
    with_replica("silent", &primary, 1);
}

#[test]
fn acknowledgements_from_the_future() {
    let mut primary = Node::start(Kind::Ours, "future", &[]);
    primary.set("SET a 1");
    let mut replica = FalseReplica::new(&primary, "PSYNC ? -1\r\n");
    replica.read_until("FULLRESYNC");
    replica.read_until("REDIS");
    for ack in ["9223372036854775807", "-1", "99999999999999999999999", "x", "", "0"] {
        replica.0.write_all(format!("REPLCONF ACK {ack}\r\n").as_bytes()).expect("sent");
    }
    primary.set("SET a 2");
    // What it says that it has, it can't have: nothing waits for less.
    let mut client = primary.client();
    assert!(matches!(client.ask("SET a 3"), Ok(Reply::Simple(_))));
    client.ask("WAIT 1 50").expect("a reply");
    primary.set("SET a 4");
    assert!(primary.is_alive(), "{}", primary.log());
    // A real one gets everything beside it.
    let other = Node::start(Kind::Ours, "future-real", &[]);
    other.set(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    eventually("the link", || other.log(), || other.ask("GET a") == Reply::Bulk(b"4".to_vec()));
}

#[test]
fn an_acknowledgement_before_the_data_counts_for_nothing() {
    let primary = Node::start(Kind::Ours, "early", &["--repl-diskless-sync-delay", "0"]);
    let first = FalseReplica::new(&primary, "PSYNC ? -1\r\n");
    eventually("a history", || primary.log(), || primary.info("replication", "connected_slaves") == "1");
    primary.set("SET a 1");
    primary.set("CONFIG SET repl-diskless-sync-delay 1");
    let mut early = FalseReplica::new(&primary, "REPLCONF listening-port 1234\r\nREPLCONF capa eof\r\n");
    early.read_until("OK\r\n+OK");
    early.0.write_all(b"PSYNC ? -1\r\nREPLCONF ACK 99999\r\n").expect("sent");
    early.read_payload();
    early.0.write_all(b"REPLCONF ACK 0\r\n").expect("sent");
    let replica = || primary.info("replication", "slave1");
    eventually("the replica", || primary.log(), || replica().contains("port=1234,state=online"));
    assert!(replica().contains("offset=0,"), "{}", replica());
    drop(first);
}

#[test]
fn a_replica_that_takes_what_there_is_is_not_silent() {
    let options = ["--repl-timeout", "1", "--repl-diskless-sync-delay", "0"];
    let primary = Node::start(Kind::Ours, "slow-walk", &options);
    primary.set("DEBUG POPULATE 60");
    primary.set("CONFIG SET rdb-key-save-delay 40000");
    let mut replica = FalseReplica::new(&primary, "REPLCONF capa eof\r\n");
    replica.read_until("OK");
    replica.0.write_all(b"PSYNC ? -1\r\n").expect("sent");
    replica.read_payload();
}

#[test]
fn requests_of_replicas_that_make_no_sense() {
    let mut primary = Node::start(Kind::Ours, "nonsense", &[]);
    primary.set("SET a 1");
    let before = primary.resident();
    for text in [
        "PSYNC\r\n",
        "PSYNC x\r\n",
        "PSYNC ? x\r\n",
        "PSYNC ? 9223372036854775807\r\n",
        "PSYNC ? -9223372036854775808\r\n",
        "REPLCONF\r\n",
        "REPLCONF x\r\n",
        "REPLCONF x y z\r\n",
        "REPLCONF listening-port x\r\n",
        "REPLCONF listening-port 99999999\r\n",
        "REPLCONF capa\r\n",
        "REPLCONF capa eof capa eof capa psync2 capa x\r\n",
        "REPLCONF ACK\r\n",
        "REPLCONF ACK 5\r\n",
        "REPLCONF GETACK *\r\n",
        "REPLCONF version x\r\n",
        "REPLCONF rdb-only 2\r\n",
        "SYNC x\r\n",
        "SYNC\r\nSYNC\r\nPSYNC ? -1\r\nGET a\r\n",
        "PSYNC ? -1\r\nSET a 5\r\nSUBSCRIBE c\r\nMULTI\r\nEXEC\r\nREPLICAOF NO ONE\r\nBLPOP l 0\r\n",
        "MULTI\r\nPSYNC ? -1\r\nEXEC\r\n",
        "MULTI\r\nREPLCONF ACK 1\r\nEXEC\r\n",
        "EVAL return(redis.call('psync','?','-1')) 0\r\n",
    ] {
        let link = FalseReplica::new(&primary, text);
        assert!(primary.ask("PING") == Reply::Simple("PONG".into()), "{text}");
        drop(link);
    }
    // Replicas that take nothing, and leave.
    let idle: Vec<_> = (0..50).map(|_| FalseReplica::new(&primary, "PSYNC ? -1\r\n")).collect();
    for n in 0..200 {
        primary.set(&format!("SET key{n} {}", "x".repeat(10_000)));
    }
    drop(idle);
    eventually(
        "replicas to be forgotten",
        || primary.log(),
        || primary.info("replication", "connected_slaves") == "0",
    );
    assert!(primary.is_alive(), "{}", primary.log());
    let after = primary.resident();
    assert!(after < before + MEMORY, "{} MB more", (after - before) >> 20);
}

#[test]
fn a_replica_that_takes_nothing_holds_up_no_other() {
    let options = [
        "--repl-diskless-sync",
        "no",
        "--rdbcompression",
        "no",
        "--client-output-buffer-limit",
        "replica 0 0 0",
    ];
    let primary = Node::start(Kind::Ours, "stuck", &options);
    // More than the queues and the sockets of one replica take.
    primary.set("DEBUG POPULATE 64 key 1000000");
    let mut stuck = FalseReplica::new(&primary, "PSYNC ? -1\r\n");
    stuck.read_until("$");
    let other = Node::start(Kind::Ours, "stuck-other", &[]);
    other.set(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    eventually("the other", || primary.log(), || other.ask("DBSIZE") == Reply::Int(64));
    drop(stuck);
}

#[test]
fn a_log_survives_a_synchronization_that_fails() {
    let primary = FalsePrimary::new(|_, link| {
        let _ = link.write_all(format!("+FULLRESYNC {REPLID} 1\r\n$7\r\ngarbage").as_bytes());
        let mut rest = Vec::new();
        let _ = link.read_to_end(&mut rest);
    });
    let replica = Node::start(Kind::Ours, "kept-log", &["--appendonly", "yes"]);
    replica.set("SET kept 1");
    replica.set(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    eventually(
        "the failure",
        || replica.log(),
        || replica.log().contains("Failed trying to load the MASTER"),
    );
    eventually("the log", || replica.log(), || replica.info("persistence", "aof_enabled") == "1");
    assert_eq!(replica.info("replication", "master_link_status"), "down");
}
