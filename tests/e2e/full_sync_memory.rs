//! What is written during a full synchronization lies in a file, not in memory, and reaches the replica whole.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::harness::{Directory, Server, eventually, info_field, request};

/// Bytes of a value, keys before the synchronization, and keys written during it.
const VALUE: usize = 1 << 20;
const BEFORE: usize = 48;
const DURING: usize = 64;

/// A value that doesn't compress.
fn value(seed: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..VALUE).map(|_| next()).collect()
}

/// A replica that reads when it is told to.
struct SlowReplica(BufReader<TcpStream>);

impl SlowReplica {
    fn attach(server: &Server) -> SlowReplica {
        let link = TcpStream::connect(("127.0.0.1", server.port)).expect("a connection");
        let mut replica = SlowReplica(BufReader::new(link));
        replica.0.get_mut().write_all(b"REPLCONF capa eof\r\n").expect("sent");
        assert_eq!(replica.line(), "+OK");
        replica.0.get_mut().write_all(b"PSYNC ? -1\r\n").expect("sent");
        let line = replica.line();
        assert!(line.starts_with("+FULLRESYNC"), "{line}");
        replica
    }

    /// A line that isn't empty.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).expect("a line") > 0, "the link was closed");
            if !line.trim_end().is_empty() {
                return line.trim_end().to_string();
            }
        }
    }

    /// Reads the snapshot, and says so.
    fn take_snapshot(&mut self) -> usize {
        let mark = self.line().strip_prefix("$EOF:").expect("a mark").to_string().into_bytes();
        let mut bytes = Vec::new();
        while !bytes.ends_with(&mark) {
            let read = self.0.fill_buf().expect("bytes");
            assert!(!read.is_empty(), "the link was closed");
            // The stream comes after the acknowledgement only.
            bytes.extend_from_slice(read);
            let count = read.len();
            self.0.consume(count);
        }
        self.0.get_mut().write_all(b"REPLCONF ACK 0\r\n").expect("sent");
        bytes.len()
    }

    fn command(&mut self) -> Vec<Vec<u8>> {
        let number = |line: String| line[1..].parse::<usize>().expect("a number");
        let count = number(self.line());
        (0..count)
            .map(|_| {
                let mut word = vec![0; number(self.line()) + 2];
                self.0.read_exact(&mut word).expect("a word");
                word.truncate(word.len() - 2);
                word
            })
            .collect()
    }
}

fn write_during_a_slow_synchronization(name: &str, options: &[&str], path: &str) {
    let directory = Directory::new(name);
    let dir = directory.0.to_string_lossy();
    let base =
        ["--dir", &dir, "--save", "", "--repl-diskless-sync-delay", "0", "--client-output-buffer-limit"];
    let server = Server::start(&[&base[..], &["replica 0 0 0"], options].concat());
    let mut client = server.client();
    let mut set = |key: String, seed| {
        client.raw(&request(&[b"SET", key.as_bytes(), &value(seed)]));
        assert_eq!(client.read(), "+OK");
    };
    (0..BEFORE).for_each(|key| set(format!("before{key}"), key));
    let mut replica = SlowReplica::attach(&server);
    (0..DURING).for_each(|key| set(format!("during{key}"), 1000 + key));
    let mut kept = String::new();
    eventually("the stream to leave the memory", || {
        kept = info_field(&mut client, "mem_total_replication_buffers");
        kept.parse::<usize>().is_ok_and(|bytes| bytes < 24 * VALUE)
    });
    assert!(replica.take_snapshot() > BEFORE * VALUE);
    let mut key = 0;
    while key < DURING {
        let command = replica.command();
        if command[0] == b"SET" {
            assert_eq!(command[1], format!("during{key}").as_bytes());
            assert!(command[2] == value(1000 + key), "the value of {key}");
            key += 1;
        }
    }
    server.wait_for_log(&[path]);
    // The stream goes on from memory.
    for key in 0..3 {
        client.ask(&format!("SET small {key}"));
        let command = loop {
            let command = replica.command();
            if command[0] == b"SET" {
                break command;
            }
        };
        assert_eq!(command[2], key.to_string().as_bytes());
    }
    let left: Vec<_> = std::fs::read_dir(&*directory.0).expect("a directory").flatten().collect();
    assert!(!left.iter().any(|entry| entry.file_name().to_string_lossy().starts_with("temp-")), "{left:?}");
}

#[test]
fn the_stream_waits_in_a_temporary_file() {
    write_during_a_slow_synchronization("spool", &[], "of the stream from the log");
}

#[test]
fn the_stream_waits_in_the_log() {
    // A rewrite of the log would have a temporary file.
    let options = ["--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"];
    write_during_a_slow_synchronization("spool-log", &options, "of the stream from the log");
}

#[test]
fn what_is_overwritten_while_a_replica_reads_nothing_leaves_the_memory() {
    let directory = Directory::new("overflow");
    let dir = directory.0.to_string_lossy();
    let server = Server::start(&["--dir", &dir, "--save", "", "--repl-diskless-sync-delay", "0"]);
    let mut client = server.client();
    const KEYS: usize = 2 * (BEFORE + DURING);
    for key in 0..KEYS {
        client.raw(&request(&[b"SET", format!("key{key}").as_bytes(), &value(key)]));
        assert_eq!(client.read(), "+OK");
    }
    let mut replica = SlowReplica::attach(&server);
    // What is overwritten is freed here, but the snapshot has to have it.
    for key in 0..KEYS {
        client.ask(&format!("SET key{key} short"));
    }
    let mut used = String::new();
    eventually("the old values to leave the memory", || {
        used = info_field(&mut client, "used_memory");
        used.parse::<usize>().is_ok_and(|bytes| bytes < KEYS / 2 * VALUE)
    });
    assert!(replica.take_snapshot() > KEYS * VALUE);
    let mut keys = 0;
    while keys < KEYS {
        let command = replica.command();
        if command[0] == b"SET" {
            assert_eq!((&*command[1], &*command[2]), (format!("key{keys}").as_bytes(), &b"short"[..]));
            keys += 1;
        }
    }
    let left: Vec<_> = std::fs::read_dir(&*directory.0).expect("a directory").flatten().collect();
    assert!(!left.iter().any(|entry| entry.file_name().to_string_lossy().starts_with("temp-")), "{left:?}");
}

#[test]
fn a_replica_goes_on_while_what_it_lacks_is_still_being_written_to_the_file() {
    let directory = Directory::new("spool-partial");
    let dir = directory.0.to_string_lossy();
    let limits = ["--client-output-buffer-limit", "replica 0 0 0"];
    let base = ["--dir", &dir, "--save", "", "--repl-diskless-sync-delay", "0"];
    let server = Server::start(&[&base[..], &limits].concat());
    let mut client = server.client();
    let mut set = |key: usize| {
        client.raw(&request(&[b"SET", format!("key{key}").as_bytes(), &value(key)]));
        assert_eq!(client.read(), "+OK");
    };
    (0..BEFORE).for_each(&mut set);
    // It reads nothing: the file is kept.
    let _stuck = SlowReplica::attach(&server);
    (0..24).for_each(&mut set);
    let history = info_field(&mut client, "master_replid");
    for round in 0..4 {
        let link = TcpStream::connect(("127.0.0.1", server.port)).expect("a connection");
        let mut replica = SlowReplica(BufReader::new(link));
        replica.0.get_mut().write_all(b"REPLCONF capa psync2\r\n").expect("sent");
        assert_eq!(replica.line(), "+OK");
        let offset = info_field(&mut client, "master_repl_offset").parse::<u64>().expect("an offset") + 1;
        // More than the file can have got by the time it asks.
        let script = "for n = 1, 40 do redis.call('set', 'key' .. n, string.rep(ARGV[1], 1000000)) end";
        let letter = [b'a' + round];
        client.raw(&request(&[b"EVAL".as_slice(), script.as_bytes(), b"0", &letter]));
        client.read();
        replica.0.get_mut().write_all(format!("PSYNC {history} {offset}\r\n").as_bytes()).expect("sent");
        assert_eq!(replica.line(), format!("+CONTINUE {history}"));
        let mut number = 0;
        while number < 40 {
            let command = replica.command();
            if command[0].eq_ignore_ascii_case(b"set") {
                number += 1;
                assert_eq!(command[1], format!("key{number}").as_bytes());
                assert!(command[2] == letter.repeat(1_000_000), "the value of {number}");
            }
        }
    }
}
