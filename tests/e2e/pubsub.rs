//! Publish and subscribe, and keyspace notifications.

use crate::harness::{Server, eventually, request};

#[test]
fn subscriptions_and_messages() {
    let server = Server::start(&[]);
    let (mut c, mut p) = (server.client(), server.client());
    assert_eq!(c.ask("SUBSCRIBE a b"), "[$subscribe, $a, :1]");
    assert_eq!(c.read(), "[$subscribe, $b, :2]");
    assert_eq!(c.ask("PSUBSCRIBE a*"), "[$psubscribe, $a*, :3]");
    assert_eq!(c.ask("SSUBSCRIBE s"), "[$ssubscribe, $s, :1]");
    assert_eq!(p.ask("PUBLISH a hi"), ":2");
    assert_eq!(c.read_many(2), ["[$message, $a, $hi]", "[$pmessage, $a*, $a, $hi]"]);
    assert_eq!(p.ask("SPUBLISH s hi"), ":1");
    assert_eq!(c.read(), "[$smessage, $s, $hi]");
    assert_eq!(p.ask("PUBLISH s hi"), ":0");
    assert_eq!(p.ask("PUBSUB CHANNELS a*"), "[$a]");
    assert_eq!(p.ask("PUBSUB NUMSUB a b x"), "[$a, :1, $b, :1, $x, :0]");
    assert_eq!(p.ask("PUBSUB NUMPAT"), ":1");
    assert_eq!(p.ask("PUBSUB SHARDCHANNELS"), "[$s]");
    assert_eq!(p.ask("PUBSUB SHARDNUMSUB s"), "[$s, :1]");
    assert_eq!(
        c.ask("GET k"),
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    );
    assert_eq!(c.ask("PING"), "[$pong, $]");
    assert_eq!(c.ask("PING x"), "[$pong, $x]");
    assert_eq!(c.ask("UNSUBSCRIBE b"), "[$unsubscribe, $b, :2]");
    assert_eq!(c.ask("UNSUBSCRIBE"), "[$unsubscribe, $a, :1]");
    assert_eq!(c.ask("PUNSUBSCRIBE"), "[$punsubscribe, $a*, :0]");
    assert_eq!(c.ask("UNSUBSCRIBE"), "[$unsubscribe, nil, :0]");
    assert_eq!(c.ask("SUNSUBSCRIBE"), "[$sunsubscribe, $s, :0]");
    assert_eq!(c.ask("PUNSUBSCRIBE x y"), "[$punsubscribe, $x, :0]");
    assert_eq!(c.read(), "[$punsubscribe, $y, :0]");
    assert_eq!(c.ask("PING"), "+PONG");
    assert_eq!(p.ask("PUBSUB CHANNELS"), "[]");
}

#[test]
fn resp3_pushes_come_behind_the_reply() {
    let server = Server::start(&[]);
    let (mut c, mut p) = (server.client(), server.client());
    c.ask("HELLO 3");
    assert_eq!(c.ask("SUBSCRIBE ch"), ">[$subscribe, $ch, :1]");
    assert_eq!(c.ask("GET k"), "nil");
    c.raw(b"PUBLISH ch 1\r\nPING\r\nMULTI\r\nPUBLISH ch 2\r\nPING\r\nEXEC\r\nPING end\r\n");
    assert_eq!(
        c.read_many(9),
        [
            ":1",
            ">[$message, $ch, $1]",
            "+PONG",
            "+OK",
            "+QUEUED",
            "+QUEUED",
            "[:1, +PONG]",
            ">[$message, $ch, $2]",
            "$end",
        ]
    );
    // Messages in the order of publication, many at once.
    for n in 0..100 {
        p.send(&format!("PUBLISH ch {n}"));
    }
    assert!(p.read_many(100).iter().all(|reply| reply == ":1"));
    for n in 0..100 {
        assert_eq!(c.read(), format!(">[$message, $ch, ${n}]"));
    }
}

#[test]
fn subscribing_in_a_transaction() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.raw(b"MULTI\r\nSUBSCRIBE a b\r\nPUBLISH a x\r\nPING\r\nEXEC\r\n");
    assert_eq!(c.read_many(4), ["+OK", "+QUEUED", "+QUEUED", "+QUEUED"]);
    // A SUBSCRIBE of two channels makes two elements of the array that EXEC announced as three.
    assert_eq!(c.read(), "[[$subscribe, $a, :1], [$subscribe, $b, :2], :1]");
    assert_eq!(c.read_many(2), ["[$pong, $]", "[$message, $a, $x]"]);
    assert_eq!(c.ask("RESET"), "+RESET");
    c.raw(b"MULTI\r\nSSUBSCRIBE a\r\nEXEC\r\n");
    assert_eq!(c.read_many(2), ["+OK", "+QUEUED"]);
    assert_eq!(c.read(), "[-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client]");
}

#[test]
fn a_closed_subscriber_is_forgotten() {
    let server = Server::start(&[]);
    let mut p = server.client();
    for _ in 0..10 {
        let mut c = server.client();
        assert_eq!(c.ask("SUBSCRIBE ch"), "[$subscribe, $ch, :1]");
    }
    crate::harness::eventually("nobody listens", || p.ask("PUBSUB NUMSUB ch") == "[$ch, :0]");
    assert_eq!(p.ask("PUBLISH ch x"), ":0");
}

#[test]
fn keyspace_notifications() {
    let server = Server::start(&["--notify-keyspace-events", "KEA"]);
    let (mut c, mut p) = (server.client(), server.client());
    assert_eq!(c.ask("PSUBSCRIBE *"), "[$psubscribe, $*, :1]");
    assert_eq!(p.ask("SELECT 9"), "+OK");
    assert_eq!(p.ask("SET foo bar"), "+OK");
    assert_eq!(c.read(), "[$pmessage, $*, $__keyspace@9__:foo, $set]");
    assert_eq!(c.read(), "[$pmessage, $*, $__keyevent@9__:set, $foo]");
    p.raw(b"MULTI\r\nINCR n\r\nINCR n\r\nEXEC\r\n");
    p.read_many(4);
    for _ in 0..2 {
        assert_eq!(c.read(), "[$pmessage, $*, $__keyspace@9__:n, $incrby]");
        assert_eq!(c.read(), "[$pmessage, $*, $__keyevent@9__:incrby, $n]");
    }
    // In order with messages of the same transaction, and only for clients subscribed by then.
    p.raw(b"MULTI\r\nSET a 1\r\nPUBLISH ch x\r\nPSUBSCRIBE __keyspace*\r\nSET b 1\r\nEXEC\r\n");
    assert_eq!(p.read_many(5)[4], "+QUEUED");
    assert_eq!(p.read(), "[+OK, :1, [$psubscribe, $__keyspace*, :1], +OK]");
    assert_eq!(p.read(), "[$pmessage, $__keyspace*, $__keyspace@9__:b, $set]");
    assert_eq!(c.read(), "[$pmessage, $*, $__keyspace@9__:a, $set]");
    assert_eq!(c.read(), "[$pmessage, $*, $__keyevent@9__:set, $a]");
    assert_eq!(c.read(), "[$pmessage, $*, $ch, $x]");
    assert_eq!(c.read(), "[$pmessage, $*, $__keyspace@9__:b, $set]");
}

#[test]
fn what_one_sends_to_oneself_is_forgotten() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.send("HELLO 3");
    c.read();
    assert_eq!(c.ask("SUBSCRIBE ch"), ">[$subscribe, $ch, :1]");
    let message = vec![b'm'; 100_000];
    let mut publish = || {
        for _ in 0..100 {
            assert_eq!(c.ask_words(&[b"PUBLISH".as_slice(), b"ch", &message]), ":1");
            assert!(c.read().starts_with(">[$message, $ch, "));
        }
    };
    publish();
    let before = server.resident();
    (0..4).for_each(|_| publish());
    assert!(server.resident() < before + (10 << 20));
}

/// Nothing is sent behind the last reply of a connection that is to be closed.
#[test]
fn no_message_follows_the_reply_to_quit() {
    let server = Server::start(&["--client-output-buffer-limit", "pubsub 0 0 0"]);
    let (mut subscriber, mut publisher) = (server.client(), server.client());
    assert_eq!(subscriber.ask("SUBSCRIBE ch"), "[$subscribe, $ch, :1]");
    let long = "x".repeat(1 << 20);
    for _ in 0..12 {
        assert_eq!(publisher.ask_words(&["PUBLISH", "ch", &long]), ":1");
    }
    subscriber.send("QUIT");
    eventually("the request has come", || {
        !publisher.ask("CLIENT LIST TYPE PUBSUB").contains("cmd=subscribe")
    });
    publisher.ask("PUBLISH ch late");
    let all = subscriber.read_to_end();
    assert!(all.ends_with(b"+OK\r\n"), "{}", all[all.len() - 50..].escape_ascii());
}

/// A subscriber beyond its limit gets nothing more, also of what the same turn publishes later.
#[test]
fn nothing_follows_what_was_dropped() {
    let options = ["--client-output-buffer-limit", "pubsub 10kb 0 0", "--enable-debug-command", "yes"];
    let server = Server::start(&options);
    let (mut subscriber, mut sleeper) = (server.client(), server.client());
    let (mut first, mut second) = (server.client(), server.client());
    let value = "v".repeat(300_000);
    assert_eq!(first.ask_words(&["SET", "long", &value]), "+OK");
    assert_eq!(subscriber.ask("SUBSCRIBE ch"), "[$subscribe, $ch, :1]");
    sleeper.send("DEBUG SLEEP 0.3");
    let message = "m".repeat(15_000);
    first.raw(&[request(&["PUBLISH", "ch", &message]), request(&["GET", "long"])].concat());
    second.send("PUBLISH ch tail");
    assert_eq!(sleeper.read(), "+OK");
    let all = subscriber.read_to_end();
    assert!(!all.windows(4).any(|part| part == b"tail"), "a message is missing before the last");
}
