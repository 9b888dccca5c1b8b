//! MULTI, EXEC, WATCH.

use crate::harness::{Directory, Server};

#[test]
fn queue_and_run() {
    let server = Server::start(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("EXEC"), "-ERR EXEC without MULTI");
    assert_eq!(c.ask("DISCARD"), "-ERR DISCARD without MULTI");
    assert_eq!(c.ask("MULTI"), "+OK");
    assert_eq!(c.ask("MULTI"), "-ERR MULTI calls can not be nested");
    assert_eq!(c.ask("WATCH k"), "-ERR WATCH inside MULTI is not allowed");
    assert_eq!(c.ask("SET k 1"), "+QUEUED");
    assert_eq!(c.ask("INCR k"), "+QUEUED");
    assert_eq!(c.ask("SELECT 1"), "+QUEUED");
    assert_eq!(c.ask("GET k"), "+QUEUED");
    assert_eq!(c.ask("EXEC"), "[+OK, :2, +OK, nil]");
    assert_eq!(c.ask("MULTI"), "+OK");
    assert_eq!(c.ask("EXEC"), "[]");
    assert_eq!(c.ask("MULTI"), "+OK");
    assert_eq!(c.ask("SET k 5"), "+QUEUED");
    assert_eq!(c.ask("DISCARD"), "+OK");
    assert_eq!(c.ask("GET k"), "nil");
}

#[test]
fn errors() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let aborted = "-EXECABORT Transaction discarded because of previous errors.";
    for wrong in ["GET", "nonsense", "CLIENT nonsense"] {
        assert_eq!(c.ask("MULTI"), "+OK");
        assert!(c.ask(wrong).starts_with("-ERR"));
        assert_eq!(c.ask("PING"), "+QUEUED");
        assert_eq!(c.ask("EXEC"), aborted);
    }
    assert_eq!(c.ask("MULTI"), "+OK");
    assert_eq!(
        c.ask("EXEC x"),
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
    );
    assert_eq!(c.ask("EXEC"), "-ERR EXEC without MULTI");
    assert_eq!(c.ask("SET s text"), "+OK");
    c.raw(b"MULTI\r\nINCR s\r\nSET s 1\r\nINCR s\r\nEXEC\r\n");
    c.read_many(4);
    assert_eq!(c.read(), "[-ERR value is not an integer or out of range, +OK, :2]");
}

#[test]
fn watched_keys() {
    let server = Server::start(&[]);
    let (mut c, mut d) = (server.client(), server.client());
    assert_eq!(c.ask("WATCH a b"), "+OK");
    assert_eq!(c.field("watch"), "2");
    assert_eq!(d.ask("SET b 1"), "+OK");
    assert_eq!(c.ask("MULTI"), "+OK");
    assert_eq!(c.ask("PING"), "+QUEUED");
    assert_eq!(c.ask("EXEC"), "nil");
    // It is over with the EXEC.
    c.raw(b"MULTI\r\nPING\r\nEXEC\r\n");
    assert_eq!(c.read_many(3)[2], "[+PONG]");
    // Changes of other databases and changes taken back by UNWATCH don't matter.
    assert_eq!(c.ask("WATCH a"), "+OK");
    assert_eq!(d.ask("SELECT 1"), "+OK");
    assert_eq!(d.ask("SET a 1"), "+OK");
    c.raw(b"MULTI\r\nSET a 2\r\nEXEC\r\n");
    assert_eq!(c.read_many(3)[2], "[+OK]");
    assert_eq!(c.ask("WATCH a"), "+OK");
    assert_eq!(c.ask("SET a 3"), "+OK");
    assert_eq!(c.field("flags"), "d");
    assert_eq!(c.ask("UNWATCH"), "+OK");
    c.raw(b"MULTI\r\nGET a\r\nEXEC\r\n");
    assert_eq!(c.read_many(3)[2], "[$3]");
    c.ask("HELLO 3");
    assert_eq!(c.ask("WATCH a"), "+OK");
    assert_eq!(c.ask("SET a 4"), "+OK");
    c.raw(b"MULTI\r\nGET a\r\nEXEC\r\n");
    assert_eq!(c.read_many(3)[2], "nil");
}

#[test]
fn a_transaction_is_one_piece() {
    let server = Server::start(&[]);
    let port = server.port;
    let writers: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut c = crate::harness::Client::new(port);
                for _ in 0..200 {
                    c.raw(b"MULTI\r\nINCR x\r\nINCR x\r\nEXEC\r\n");
                    let last = c.read_many(4).pop().expect("four");
                    let n: i64 = last[2..].split(',').next().expect("first").parse().expect("a number");
                    assert_eq!(last, format!("[:{n}, :{}]", n + 1));
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().expect("joined"));
    assert_eq!(server.client().ask("GET x"), "$1600");
}

#[test]
fn exec_waits_for_what_the_server_does_for_it() {
    let dir = Directory::new("exec");
    let acl = dir.file("users.acl", "user default on nopass ~* &* +@all\n");
    let config = dir.file("redis.conf", &format!("aclfile {acl}\nenable-protected-configs yes\n"));
    let server = Server::start_with_file(&config);
    let mut c = server.client();
    dir.file("users.acl", "user default on nopass ~* &* +@all\nuser x +nosuch\n");
    let transaction = "MULTI\r\nSET a 1\r\nACL LOAD\r\nCONFIG SET dir /nonexistent maxmemory 1gb\r\nCONFIG SET hz 20\r\n\
        CONFIG REWRITE\r\nGET a\r\nACL SAVE\r\nACL LOAD\r\nEXEC\r\nPING\r\n";
    c.raw(transaction.as_bytes());
    let replies = c.read_many(11);
    assert_eq!(
        replies[9],
        format!(
            "[+OK, -ERR {acl}:2: Error in applying operation '+nosuch': Unknown command or category name in ACL. WARNING: ACL \
             errors detected, no change to the previously active ACL rules was performed, -ERR CONFIG SET failed (possibly \
             related to argument 'dir') - No such file or directory, +OK, +OK, $1, +OK, +OK]"
        )
    );
    assert_eq!(replies[10], "+PONG");
    // What failed is taken back, and nothing else.
    assert_eq!(c.ask("CONFIG GET maxmemory"), "[$maxmemory, $0]");
    assert_eq!(c.ask("CONFIG GET hz"), "[$hz, $20]");
    // A client that removes its own user gets the whole reply before the end.
    assert_eq!(c.ask("ACL SETUSER bob on nopass +@all ~*"), "+OK");
    let mut bob = server.client();
    assert_eq!(bob.ask("AUTH bob x"), "+OK");
    bob.raw(b"MULTI\r\nACL LOAD\r\nCONFIG REWRITE\r\nEXEC\r\n");
    assert_eq!(bob.read_many(4)[3], "[+OK, +OK]");
    assert!(bob.is_closed());
}
