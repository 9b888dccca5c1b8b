//! Blocked clients of lists, sorted sets and streams: what unblocks them, what doesn't, and how a wait ends.

use std::time::{Duration, Instant};

use crate::harness::{Client, Server, eventually};

/// A type that can be waited for.
struct Kind {
    /// The wait, for key `k`; TIMEOUT stands for its length.
    wait: &'static str,
    /// Makes something to be had at KEY.
    make: &'static str,
    /// What the waiter is told then.
    served: &'static str,
    /// What it is told when its time is over, in RESP2.
    late: &'static str,
    /// Whether what is served is gone from the key.
    takes: bool,
}

const KINDS: [Kind; 6] = [
    Kind { wait: "BLPOP other k TIMEOUT", make: "RPUSH KEY v", served: "[$k, $v]", late: "nil", takes: true },
    Kind {
        wait: "BLMPOP TIMEOUT 2 other k RIGHT COUNT 2",
        make: "RPUSH KEY v",
        served: "[$k, [$v]]",
        late: "nil",
        takes: true,
    },
    Kind {
        wait: "BLMOVE k moved LEFT RIGHT TIMEOUT",
        make: "RPUSH KEY v",
        served: "$v",
        late: "nil",
        takes: true,
    },
    Kind {
        wait: "BZPOPMIN other k TIMEOUT",
        make: "ZADD KEY 1 v",
        served: "[$k, $v, $1]",
        late: "nil",
        takes: true,
    },
    Kind {
        wait: "BZMPOP TIMEOUT 1 k MAX",
        make: "ZADD KEY 1 v",
        served: "[$k, [[$v, $1]]]",
        late: "nil",
        takes: true,
    },
    Kind {
        wait: "XREAD BLOCK MILLIS STREAMS other k 0 0",
        make: "XADD KEY 1-1 f v",
        served: "[[$k, [[$1-1, [$f, $v]]]]]",
        late: "nil",
        takes: false,
    },
];

impl Kind {
    /// The wait, for this many milliseconds; 0 is for ever.
    fn wait(&self, ms: u64) -> String {
        let seconds = format!("{}", ms as f64 / 1000.0);
        self.wait.replace("TIMEOUT", &seconds).replace("MILLIS", &ms.to_string())
    }

    fn make(&self, key: &str) -> String {
        self.make.replace("KEY", key)
    }
}

fn blocked(control: &mut Client, count: usize) {
    eventually("clients are blocked", || {
        control.ask("INFO clients").contains(&format!("blocked_clients:{count}\r\n"))
    });
}

/// Each way in which a key comes to be: commands, in which MAKE(x) makes something at `x`.
const WAYS: &[&[&str]] = &[
    &["MAKE(k)"],
    &["MAKE(there)", "RENAME there k"],
    &["MAKE(there)", "RENAMENX there k"],
    &["MAKE(there)", "COPY there k"],
    &["SELECT 1", "MAKE(k)", "MOVE k 0", "SELECT 0"],
    &["SELECT 1", "MAKE(k)", "SWAPDB 0 1", "SELECT 0"],
    &["SELECT 1", "MAKE(k)", "COPY k k DB 0", "SELECT 0"],
    &["MULTI", "MAKE(k)", "EXEC"],
    &["MULTI", "MAKE(there)", "RENAME there k", "EXEC"],
    &["MULTI", "SET k text", "DEL k", "MAKE(k)", "EXEC"],
];

#[test]
fn every_way_wakes() {
    let server = Server::start(&[]);
    let mut control = server.client();
    for kind in &KINDS {
        for way in WAYS {
            control.ask("FLUSHALL");
            let mut waiter = server.client();
            waiter.send(&kind.wait(0));
            blocked(&mut control, 1);
            for step in *way {
                let made = step.strip_prefix("MAKE(").map(|key| kind.make(key.trim_end_matches(')')));
                let answer = control.ask(made.as_deref().unwrap_or(step));
                assert!(!answer.starts_with('-'), "{step}: {answer}");
            }
            assert_eq!(waiter.read(), kind.served, "{}: {way:?}", kind.wait);
            assert_eq!(
                control.ask("EXISTS k"),
                if kind.takes { ":0" } else { ":1" },
                "{}: {way:?}",
                kind.wait
            );
            blocked(&mut control, 0);
        }
    }
}

#[test]
fn restored_and_stored_keys_wake() {
    let server = Server::start(&[]);
    let mut control = server.client();
    for kind in &KINDS {
        control.ask("FLUSHALL");
        control.ask(&kind.make("there"));
        let payload = raw_dump(&mut control, "there");
        let mut waiter = server.client();
        waiter.send(&kind.wait(0));
        blocked(&mut control, 1);
        assert_eq!(control.ask_words(&[b"RESTORE".as_slice(), b"k", b"0", &payload]), "+OK");
        assert_eq!(waiter.read(), kind.served, "{}", kind.wait);
    }
    for (wait, before, store, served) in [
        ("BLPOP k 0", "RPUSH from v", "SORT from BY nosort STORE k", "[$k, $v]"),
        ("BLPOP k 0", "RPUSH from v", "LMOVE from k LEFT LEFT", "[$k, $v]"),
        ("BLPOP k 0", "RPUSH from v", "RPOPLPUSH from k", "[$k, $v]"),
        ("BZPOPMAX k 0", "ZADD from 2 v", "ZUNIONSTORE k 1 from", "[$k, $v, $2]"),
        ("BZPOPMAX k 0", "ZADD from 2 v", "ZINTERSTORE k 1 from", "[$k, $v, $2]"),
        ("BZPOPMAX k 0", "ZADD from 2 v", "ZDIFFSTORE k 2 from nothing", "[$k, $v, $2]"),
        ("BZPOPMAX k 0", "ZADD from 2 v", "ZRANGESTORE k from 0 -1", "[$k, $v, $2]"),
        (
            "BZPOPMIN k 0",
            "GEOADD from 13 38 v",
            "GEOSEARCHSTORE k from FROMLONLAT 13 38 BYRADIUS 1 km STOREDIST",
            "",
        ),
        ("BZPOPMIN k 0", "ZADD from 2 v", "ZINCRBY k 3 w", "[$k, $w, $3]"),
    ] {
        control.ask("FLUSHALL");
        control.ask(before);
        let mut waiter = server.client();
        waiter.send(wait);
        blocked(&mut control, 1);
        assert!(!control.ask(store).starts_with('-'), "{store}");
        let answer = waiter.read();
        assert!(
            answer == served || served.is_empty() && answer.starts_with("[$k, $v, $"),
            "{store}: {answer}"
        );
    }
}

/// The bytes that DUMP answers.
fn raw_dump(client: &mut Client, key: &str) -> Vec<u8> {
    client.send(&format!("DUMP {key}"));
    client.read_bulk()
}

#[test]
fn what_is_of_another_type_wakes_nobody() {
    let server = Server::start(&[]);
    let mut control = server.client();
    for kind in &KINDS {
        control.ask("FLUSHALL");
        let mut waiter = server.client();
        waiter.send(&kind.wait(0));
        blocked(&mut control, 1);
        for other in ["SET k text", "SADD k m", "HSET k f v"] {
            assert!(!control.ask(other).starts_with('-'));
            assert!(!control.ask("DEL k").starts_with('-'));
        }
        // It comes and goes within one transaction.
        control.raw(format!("MULTI\r\n{}\r\nDEL k\r\nEXEC\r\n", kind.make("k")).as_bytes());
        control.read_many(4);
        control.raw(format!("MULTI\r\n{}\r\nDEL k\r\nSET k text\r\nEXEC\r\n", kind.make("k")).as_bytes());
        control.read_many(5);
        blocked(&mut control, 1);
        assert_eq!(control.ask("DEL k"), ":1");
        control.ask(&kind.make("k"));
        assert_eq!(waiter.read(), kind.served, "{}", kind.wait);
    }
}

/// A timeout is as long as it says, to fractions of a second, and nothing that happens makes it longer.
#[test]
fn timeouts() {
    let server = Server::start(&[]);
    let mut control = server.client();
    for kind in &KINDS {
        for ms in [1, 30, 250] {
            let mut waiter = server.client();
            let started = Instant::now();
            waiter.send(&kind.wait(ms));
            if ms == 250 {
                blocked(&mut control, 1);
                waiter.stream.set_nonblocking(true).expect("set");
                // If what is of another type began the wait anew, it would never end.
                eventually("the wait ends", || {
                    control.ask("SET k text");
                    control.ask("DEL k");
                    waiter.stream.peek(&mut [0]).is_ok()
                });
                waiter.stream.set_nonblocking(false).expect("set");
            }
            assert_eq!(waiter.read(), kind.late, "{}", kind.wait);
            let took = started.elapsed();
            assert!(took >= Duration::from_millis(ms), "{}: {took:?} instead of {ms} ms", kind.wait);
        }
        // In RESP3 there is one null.
        let mut waiter = server.client();
        waiter.send("HELLO 3");
        waiter.read();
        assert_eq!(waiter.ask(&kind.wait(1)), "nil", "{}", kind.wait);
    }
}

#[test]
fn unblocked_by_hand() {
    let server = Server::start(&[]);
    let mut control = server.client();
    for kind in &KINDS {
        let mut waiter = server.client();
        let id = waiter.ask("CLIENT ID").trim_start_matches(':').to_string();
        for (how, answer) in [
            ("", kind.late),
            (" TIMEOUT", kind.late),
            (" ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK"),
        ] {
            waiter.send(&kind.wait(0));
            blocked(&mut control, 1);
            assert_eq!(control.ask(&format!("CLIENT UNBLOCK {id}{how}")), ":1");
            assert_eq!(waiter.read(), answer, "{}", kind.wait);
            assert_eq!(control.ask(&format!("CLIENT UNBLOCK {id}{how}")), ":0");
        }
        // Afterwards the key is no concern of its.
        control.ask(&kind.make("k"));
        assert_eq!(waiter.ask("PING"), "+PONG");
        assert_eq!(control.ask("DEL k"), ":1");
    }
}

/// Clients are served in order of arrival; one that has disconnected is skipped, and no element is lost.
#[test]
fn in_order_and_none_for_the_dead() {
    let server = Server::start(&[]);
    let mut control = server.client();
    for kind in KINDS.iter().filter(|kind| kind.takes) {
        let mut waiting: Vec<Client> = Vec::new();
        for count in 1..=4 {
            let mut waiter = server.client();
            waiter.send(&kind.wait(0));
            blocked(&mut control, count);
            waiting.push(waiter);
        }
        drop(waiting.remove(1));
        blocked(&mut control, 3);
        for (at, waiter) in waiting.iter_mut().enumerate() {
            control.ask(&kind.make("k"));
            assert_eq!(waiter.read(), kind.served, "{} {at}", kind.wait);
            blocked(&mut control, 2 - at);
        }
        assert_eq!(control.ask("EXISTS k"), ":0");
        control.ask("DEL moved");
    }
    // A stream serves all of them.
    let mut waiting: Vec<Client> = (0..5).map(|_| server.client()).collect();
    waiting.iter_mut().for_each(|waiter| waiter.send("XREAD BLOCK 0 STREAMS k $"));
    blocked(&mut control, 5);
    control.ask("XADD k 5-5 f v");
    for waiter in &mut waiting {
        assert_eq!(waiter.read(), "[[$k, [[$5-5, [$f, $v]]]]]");
    }
}

/// A pending entry that nothing happens to becomes idle enough for one of those that wait.
#[test]
fn idle_entries_of_a_group() {
    let server = Server::start(&[]);
    let mut control = server.client();
    control.ask("XGROUP CREATE k g $ MKSTREAM");
    control.ask("XADD k 1-1 f v");
    assert_eq!(control.ask("XREADGROUP GROUP g a STREAMS k >"), "[[$k, [[$1-1, [$f, $v]]]]]");
    let mut waiting: Vec<Client> = (0..2).map(|_| server.client()).collect();
    waiting.iter_mut().for_each(|waiter| waiter.send("XREADGROUP GROUP g w BLOCK 0 CLAIM 50 STREAMS k >"));
    // One of them is served first, and the other once the entry is idle again.
    let mut deliveries = Vec::new();
    for waiter in &mut waiting {
        let reply = waiter.read();
        let idle = reply.strip_prefix("[[$k, [[$1-1, [$f, $v], :").and_then(|rest| rest.split_once(", :"));
        let (idle, count) = idle.expect("an entry, its idle time and its deliveries");
        assert!(idle.parse::<u64>().is_ok_and(|idle| (50..60_000).contains(&idle)), "{reply}");
        deliveries.push(count.to_owned());
    }
    deliveries.sort();
    assert_eq!(deliveries, ["1]]]]", "2]]]]"]);
    assert!(control.ask("XPENDING k g - + 9").starts_with("[[$1-1, $w, :"));
}

#[test]
fn groups_of_a_stream() {
    let server = Server::start(&[]);
    let mut control = server.client();
    control.ask("XGROUP CREATE k g $ MKSTREAM");
    let wait = |server: &Server, consumer: &str| {
        let mut waiter = server.client();
        waiter.send(&format!("XREADGROUP GROUP g {consumer} BLOCK 0 STREAMS k >"));
        waiter
    };
    let (mut first, mut second) = (wait(&server, "a"), None);
    blocked(&mut control, 1);
    second.replace(wait(&server, "b"));
    blocked(&mut control, 2);
    let second = second.as_mut().expect("waits");
    // One entry is for one of them, the first.
    assert_eq!(control.ask("XADD k 1-1 f v"), "$1-1");
    assert_eq!(first.read(), "[[$k, [[$1-1, [$f, $v]]]]]");
    blocked(&mut control, 1);
    assert_eq!(control.ask("XADD k 2-1 f v"), "$2-1");
    assert_eq!(second.read(), "[[$k, [[$2-1, [$f, $v]]]]]");
    assert_eq!(control.ask("XPENDING k g"), "[:2, $1-1, $2-1, [[$a, $1], [$b, $1]]]");
    // What they wait for goes away in one way or another.
    for (how, error) in
        [("XGROUP DESTROY k g", "-NOGROUP "), ("DEL k", "-NOGROUP "), ("SET k text", "-WRONGTYPE ")]
    {
        control.ask("DEL k");
        control.ask("XGROUP CREATE k g $ MKSTREAM");
        let mut waiter = wait(&server, "a");
        blocked(&mut control, 1);
        assert!(!control.ask(how).starts_with('-'), "{how}");
        let answer = waiter.read();
        assert!(answer.starts_with(error), "{how}: {answer}");
        blocked(&mut control, 0);
    }
}

/// A client whose end of file comes together with its request is gone: it takes nothing that others send.
#[test]
fn a_peer_that_is_gone_when_it_begins_to_wait() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut c = server.client();
    // What these send, and that they close, is there at once when the loop looks.
    c.send("DEBUG SLEEP 0.3");
    for _ in 0..10 {
        let mut gone = server.client();
        gone.raw(b"BLPOP q 0\r\n");
        gone.stream.shutdown(std::net::Shutdown::Both).expect("a connected socket");
    }
    assert_eq!(c.read(), "+OK");
    eventually("they are gone", || !c.ask("CLIENT LIST").contains("cmd=blpop"));
    assert_eq!(c.ask("RPUSH q v"), ":1");
    assert_eq!(c.ask("LLEN q"), ":1");
}
