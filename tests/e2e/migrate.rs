//! MIGRATE between servers: under writers that don't stop, to a server that is silent, with more than a socket takes.

use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::Server;

/// Sets a flag when it goes, whatever the reason.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn counters_move_while_they_count() {
    const KEYS: usize = 50;
    let (from, to) = (Server::start(&[]), Server::start(&[]));
    let is_over = AtomicBool::new(false);
    let counted: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let mut client = from.client();
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut counted = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let key = counted % KEYS;
                        assert!(client.ask(&format!("INCR counter:{key}")).starts_with(':'));
                        counted += 1;
                    }
                    counted
                })
            })
            .collect();
        let end = SetAtEnd(&is_over);
        let mut client = from.client();
        let keys: Vec<_> = (0..KEYS).map(|key| format!("counter:{key}")).collect();
        let mut sum = from.client();
        // What has moved is added up, and taken away from the target so that the next round isn't refused.
        let mut moved = 0;
        for _ in 0..30 {
            let port = to.port.to_string();
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            let reply = client.ask_words(&words);
            assert!(reply == "+OK" || reply == "+NOKEY", "{reply}");
            moved += total(&mut to.client(), &keys);
            assert_eq!(to.client().ask("FLUSHALL"), "+OK");
        }
        drop(end);
        let counted: usize = writers.into_iter().map(|writer| writer.join().expect("a writer")).sum();
        assert_eq!(moved + total(&mut sum, &keys), counted);
        counted
    });
    assert!(counted > 0);
}

/// The sum of counters.
fn total(client: &mut crate::harness::Client, keys: &[String]) -> usize {
    let reply = client.ask(&format!("MGET {}", keys.join(" ")));
    let numbers = reply.trim_matches(['[', ']']).split(", ");
    numbers.map(|number| number.trim_start_matches('$').parse().unwrap_or(0)).sum()
}

#[test]
fn a_silent_server_holds_up_nothing_but_the_key() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let server = Server::start(&[]);
    let (mut mover, mut reader, mut writer) = (server.client(), server.client(), server.client());
    assert_eq!(reader.ask("MSET key v other v"), "+OK");
    let started = Instant::now();
    mover.send(&format!("MIGRATE localhost {port} key 0 2500"));
    let (mut peer, _) = silent.accept().expect("a connection");
    let mut bytes = [0; 64];
    assert!(peer.read(&mut bytes).expect("SELECT") > 0);
    assert_eq!(reader.ask("GET key"), "$v");
    assert_eq!(reader.ask("SET other w"), "+OK");
    writer.send("SET key w");
    assert!(started.elapsed() < Duration::from_millis(2500), "it waited for the target");
    assert_eq!(mover.read(), "-IOERR error or timeout reading to target instance");
    assert_eq!(writer.read(), "+OK");
    assert!(started.elapsed() >= Duration::from_millis(2500));
    assert_eq!(reader.ask("GET key"), "$w");
}

#[test]
fn a_value_that_no_socket_takes_at_once() {
    let (from, to) = (Server::start(&[]), Server::start(&[]));
    let mut client = from.client();
    assert_eq!(client.ask("SETRANGE large 30000000 x"), ":30000001");
    assert_eq!(client.ask("CONFIG SET rdbcompression no"), "+OK");
    assert_eq!(client.ask(&format!("MIGRATE 127.0.0.1 {} large 3 2000", to.port)), "+OK");
    assert_eq!(client.ask("EXISTS large"), ":0");
    let mut target = to.client();
    assert_eq!(target.ask("SELECT 3"), "+OK");
    assert_eq!(target.ask("STRLEN large"), ":30000001");
    // A target that has gone, and is back at the same port, is found.
    assert_eq!(target.ask("CLIENT KILL TYPE normal SKIPME yes"), ":1");
    assert_eq!(client.ask("SET small v"), "+OK");
    assert_eq!(client.ask(&format!("MIGRATE 127.0.0.1 {} small 3 2000", to.port)), "+OK");
    assert_eq!(target.ask("GET small"), "$v");
}
