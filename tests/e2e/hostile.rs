//! Malformed and abusive input.

use std::io::Write;
use std::net::TcpStream;

use redloop::base::rng::Rng;

use crate::harness::{Server, eventually, request};

#[test]
fn protocol_errors() {
    let server = Server::start(&[]);
    for (input, error) in [
        ("*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "-ERR Protocol error: expected '$', got 'f'\r\n"),
        ("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$-10\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$blabla\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*99999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n$99999999999\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("set \"a\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
        ("PING\r\n*x\r\nPING\r\n", "+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"),
    ] {
        let mut c = server.client();
        c.raw(input.as_bytes());
        assert_eq!(String::from_utf8_lossy(&c.read_to_end()), error, "{input:?}");
    }
    // Nothing to answer, nothing to object to.
    let mut c = server.client();
    c.raw(b"\r\n*0\r\n*-1\r\n\r\n");
    assert_eq!(c.ask("PING"), "+PONG");
    // A browser that was lured here.
    let mut c = server.client();
    c.raw(b"POST / HTTP/1.1\r\nSET a b\r\n");
    assert!(c.is_closed());
    server.wait_for_log(&["SECURITY ATTACK"]);
}

#[test]
fn garbage() {
    let server = Server::start(&[]);
    let mut rng = Rng::new(0xbad_5eed);
    for _ in 0..200 {
        let mut bytes: Vec<u8> = (0..rng.below(400)).map(|_| rng.next_u64() as u8).collect();
        if rng.below(2) == 0 {
            bytes.splice(0..0, *b"*3\r\n$3\r\nSET\r\n");
        }
        let c = server.client();
        // It may close in the middle of it.
        let _ = (&c.stream).write_all(&bytes);
        c.half_close();
    }
    assert_eq!(server.client().ask("PING"), "+PONG");
}

#[test]
fn announced_lengths_cost_nothing() {
    let server = Server::start(&[]);
    let before = server.resident();
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut c = server.client();
            c.raw(b"*1000000\r\n$536870912\r\nabc");
            c
        })
        .collect();
    assert_eq!(server.client().ask("PING"), "+PONG");
    assert!(server.resident() < before + (8 << 20));
    drop(clients);
}

#[test]
fn byte_by_byte() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let value = "v".repeat(300);
    let mut bytes = request(&["SET", "k", &value]);
    bytes.extend_from_slice(b"GET k\r\n");
    for byte in &bytes {
        c.raw(std::slice::from_ref(byte));
    }
    assert_eq!(c.read_many(2), ["+OK".to_string(), format!("${value}")]);
    // A long word that comes in pieces, and what follows it.
    let long = vec![b'l'; 3_000_000];
    let mut bytes = request(&[b"SET".as_slice(), b"l", &long]);
    bytes.extend_from_slice(b"PING\r\n");
    for piece in bytes.chunks(77_777) {
        c.raw(piece);
    }
    assert_eq!(c.read_many(2), ["+OK", "+PONG"]);
    assert_eq!(c.ask("GET l").len(), long.len() + 1);
}

#[test]
fn half_closed() {
    let server = Server::start(&[]);
    // What was asked before the end is answered, then the connection is closed.
    for _ in 0..50 {
        let mut c = server.client();
        c.raw(b"PING\r\nPING x\r\nPI");
        c.half_close();
        assert_eq!(c.read_to_end(), b"+PONG\r\n$1\r\nx\r\n");
    }
    let mut control = server.client();
    let value = vec![b'x'; 4_000_000];
    assert_eq!(control.ask_words(&[b"SET".as_slice(), b"k", &value]), "+OK");
    // Also if it is more than the sockets hold.
    let mut c = server.client();
    c.raw(b"GET k\r\nGET k\r\nGET k\r\nGET k\r\n");
    c.half_close();
    assert_eq!(c.read_to_end().len(), 4 * (4_000_000 + 12));
    // No connection is left.
    eventually("all are gone", || control.ask("CLIENT LIST").lines().count() == 1);
}

#[test]
fn a_reader_that_never_reads() {
    let server = Server::start(&[]);
    let mut control = server.client();
    assert_eq!(control.ask_words(&[b"SET".as_slice(), b"k", &vec![b'x'; 1_000_000]]), "+OK");
    let before = server.resident();
    // Asks for far more than it may have waiting; the server stops taking its requests.
    let mut greedy = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
    greedy.set_nonblocking(true).expect("non-blocking");
    let requests = b"GET k\r\n".repeat(10_000);
    let mut sent = 0;
    eventually("it is held", || {
        while let Ok(n) = greedy.write(&requests) {
            sent += n;
            if sent > 10 * requests.len() {
                break;
            }
        }
        let list = control.ask("CLIENT LIST ID 2");
        crate::harness::field(&list, "omem").parse::<usize>().expect("omem") > 30_000_000
    });
    for _ in 0..50 {
        assert_eq!(control.ask("PING"), "+PONG");
    }
    let grown = server.resident() - before;
    assert!(grown < 100 << 20, "{grown} bytes");
    drop(greedy);
    eventually("it is gone", || control.ask("CLIENT LIST").lines().count() == 1);
}
