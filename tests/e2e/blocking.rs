//! Clients that wait for a key.

use crate::harness::{Client, Server, eventually};

/// Waits until as many clients are blocked.
fn blocked(control: &mut Client, count: usize) {
    eventually("clients are blocked", || {
        let list = control.ask("CLIENT LIST FLAGS b");
        list.matches("id=").count() == count
    });
}

#[test]
fn served_in_order_of_arrival() {
    let server = Server::start(&[]);
    let mut control = server.client();
    let mut waiting: Vec<_> = (0..5).map(|_| server.client()).collect();
    for (n, client) in waiting.iter_mut().enumerate() {
        client.send("BLPOP none list 0");
        blocked(&mut control, n + 1);
    }
    assert_eq!(control.ask("RPUSH list 0 1 2"), ":3");
    for (n, client) in waiting.iter_mut().take(3).enumerate() {
        assert_eq!(client.read(), format!("[$list, ${n}]"));
    }
    blocked(&mut control, 2);
    control.raw(b"MULTI\r\nRPUSH list 3\r\nRPUSH list 4\r\nLPOP list\r\nEXEC\r\n");
    assert_eq!(control.read_many(5)[4], "[:1, :2, $3]");
    assert_eq!(waiting[3].read(), "[$list, $4]");
    assert_eq!(control.ask("EXISTS list"), ":0");
    // The others go on; the one left can be woken.
    assert_eq!(waiting[0].ask("PING"), "+PONG");
    assert_eq!(control.ask("CLIENT UNBLOCK 6"), ":1");
    assert_eq!(waiting[4].read(), "nil");
    waiting[4].send("BLPOP list 0");
    blocked(&mut control, 1);
    assert_eq!(control.ask("CLIENT UNBLOCK 6 ERROR"), ":1");
    assert_eq!(waiting[4].read(), "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
    assert_eq!(control.ask("CLIENT UNBLOCK 6 ERROR"), ":0");
    assert_eq!(control.ask("CLIENT UNBLOCK 77"), ":0");
    assert_eq!(control.ask("CLIENT UNBLOCK 6 now"), "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
}

#[test]
fn what_follows_waits_too() {
    let server = Server::start(&[]);
    let (mut control, mut c) = (server.client(), server.client());
    c.raw(b"SET a 1\r\nBLPOP list 0\r\nINCR a\r\nBLPOP list 0\r\nINCR a\r\n");
    assert_eq!(c.read(), "+OK");
    blocked(&mut control, 1);
    assert_eq!(control.ask("GET a"), "$1");
    assert_eq!(control.ask("RPUSH list x"), ":1");
    assert_eq!(c.read_many(2), ["[$list, $x]", ":2"]);
    blocked(&mut control, 1);
    assert_eq!(control.ask("RPUSH list y z"), ":2");
    assert_eq!(c.read_many(2), ["[$list, $y]", ":3"]);
    // A timeout ends it as well.
    c.raw(b"BLPOP other 0.05\r\nPING\r\n");
    assert_eq!(c.read_many(2), ["nil", "+PONG"]);
}

#[test]
fn who_is_gone_takes_nothing() {
    let server = Server::start(&[]);
    let mut control = server.client();
    for how in 0..4 {
        let mut c = server.client();
        c.send("BLPOP list 0");
        blocked(&mut control, 1);
        match how {
            0 => drop(c),
            1 => c.half_close(),
            2 => assert_eq!(control.ask("CLIENT KILL SKIPME yes TYPE normal"), ":1"),
            _ => c.stream.shutdown(std::net::Shutdown::Both).expect("shut down"),
        }
        if how != 2 {
            blocked(&mut control, 0);
        }
        assert_eq!(control.ask("RPUSH list x"), ":1");
        assert_eq!(control.ask("LPOP list"), "$x");
    }
    // Even if it goes in the same moment in which the key comes.
    for _ in 0..50 {
        let mut c = server.client();
        c.send("BLPOP list 0");
        blocked(&mut control, 1);
        drop(c);
        control.ask("PING");
    }
    blocked(&mut control, 0);
    assert_eq!(control.ask("RPUSH list x"), ":1");
    assert_eq!(control.ask("LLEN list"), ":1");
}

#[test]
fn transactions_and_replies_that_nobody_wants() {
    let server = Server::start(&[]);
    let (mut control, mut c) = (server.client(), server.client());
    c.raw(b"MULTI\r\nBLPOP list 0\r\nPING\r\nEXEC\r\n");
    assert_eq!(c.read_many(4)[3], "[nil, +PONG]");
    // The reply that is skipped is that of the blocking command.
    c.raw(b"CLIENT REPLY SKIP\r\nBLPOP list 0\r\nPING\r\n");
    blocked(&mut control, 1);
    assert_eq!(control.ask("RPUSH list x"), ":1");
    assert_eq!(c.read(), "+PONG");
    c.raw(b"CLIENT REPLY OFF\r\nBLPOP list 0\r\nCLIENT REPLY ON\r\n");
    blocked(&mut control, 1);
    assert_eq!(control.ask("RPUSH list x"), ":1");
    assert_eq!(c.read(), "+OK");
    // A call that waited counts once.
    let stats = control.ask("INFO commandstats");
    assert!(stats.contains("cmdstat_blpop:calls=3,"), "{stats}");
}

#[test]
fn many_waiters() {
    const WAITERS: usize = 1000;
    redloop::sys::process::raise_open_files(WAITERS as u64 + 200);
    let server = Server::start(&[]);
    let mut control = server.client();
    let mut waiting: Vec<_> = (0..WAITERS).map(|_| server.client()).collect();
    waiting.iter_mut().for_each(|client| client.send("BLPOP list 0"));
    blocked(&mut control, WAITERS);
    for n in 0..WAITERS {
        control.send(&format!("RPUSH list {n}"));
    }
    control.read_many(WAITERS);
    let mut served: Vec<_> = waiting.iter_mut().map(Client::read).collect();
    served.sort();
    let mut expected: Vec<_> = (0..WAITERS).map(|n| format!("[$list, ${n}]")).collect();
    expected.sort();
    assert_eq!(served, expected);
}
