//! Client-side caching over sockets: pushes of RESP3, redirection to RESP2, the order beside replies.

use crate::harness::{Server, eventually, field, request};

#[test]
fn pushes_stand_behind_the_replies_of_their_requests() {
    let server = Server::start(&[]);
    let (mut c, mut other) = (server.client(), server.client());
    c.ask("HELLO 3");
    assert_eq!(c.ask("CLIENT TRACKING ON"), "+OK");
    c.raw(b"GET a\r\nSET a 1\r\nPING\r\nGET a\r\nMULTI\r\nSET a 2\r\nGET a\r\nPING\r\nEXEC\r\nPING end\r\n");
    let replies = [
        "nil",
        "+OK",
        ">[$invalidate, [$a]]",
        "+PONG",
        "$1",
        "+OK",
        "+QUEUED",
        "+QUEUED",
        "+QUEUED",
        "[+OK, $2, +PONG]",
        ">[$invalidate, [$a]]",
        "$end",
    ];
    assert_eq!(c.read_many(12), replies);
    // What the transaction read behind its write is tracked.
    assert_eq!(other.ask("SET a 3"), "+OK");
    assert_eq!(c.read(), ">[$invalidate, [$a]]");
    assert_eq!(other.ask("FLUSHALL"), "+OK");
    assert_eq!(c.read(), ">[$invalidate, nil]");
    // A client that is woken gets its reply first.
    c.ask("LRANGE dst 0 -1");
    c.send("BLMOVE src dst LEFT RIGHT 0");
    eventually("it waits", || other.ask("INFO clients").contains("blocked_clients:1"));
    assert_eq!(other.ask("RPUSH src x"), ":1");
    assert_eq!(c.read_many(2), ["$x", ">[$invalidate, [$dst]]"]);
    // A key that expires while nothing else happens.
    other.ask("SET e 1 PX 20");
    c.ask("GET e");
    assert_eq!(c.read(), ">[$invalidate, [$e]]");
}

#[test]
fn a_redirection_to_resp2_comes_as_a_message() {
    let server = Server::start(&[]);
    let (mut c, mut target, mut other) = (server.client(), server.client(), server.client());
    let id = target.ask("CLIENT ID").trim_start_matches(':').to_string();
    assert_eq!(target.ask("SUBSCRIBE __redis__:invalidate"), "[$subscribe, $__redis__:invalidate, :1]");
    assert_eq!(c.ask(&format!("CLIENT TRACKING ON REDIRECT {id}")), "+OK");
    assert_eq!(c.ask("CLIENT GETREDIR"), format!(":{id}"));
    c.ask("MGET a b");
    other.raw(b"MSET a 1 b 1 c 1\r\n");
    let message = |key: &str| format!("[$message, $__redis__:invalidate, [${key}]]");
    assert_eq!(target.read_many(2), [message("a"), message("b")]);
    other.read();
    assert_eq!(other.ask("FLUSHDB"), "+OK");
    assert_eq!(target.read(), "[$message, $__redis__:invalidate, nil]");
    let info = c.ask("CLIENT INFO");
    assert_eq!((field(&info, "flags"), field(&info, "redir")), ("t".into(), id.clone()));
    // Without its target a RESP2 client learns nothing, one of RESP3 that the redirection is broken.
    drop(target);
    eventually("the target is gone", || other.ask("INFO clients").contains("connected_clients:2"));
    c.ask("GET a");
    other.ask("SET a 1");
    assert_eq!(c.ask("PING"), "+PONG");
    c.ask("HELLO 3");
    c.ask("GET a");
    other.ask("SET a 1");
    assert_eq!(c.read(), format!(">[$tracking-redir-broken, :{id}]"));
    assert_eq!(field(&c.ask("CLIENT INFO"), "flags"), "tR");
}

#[test]
fn a_broadcast_reaches_all_followers_of_a_prefix() {
    let server = Server::start(&[]);
    let mut followers: Vec<_> = (0..50).map(|_| server.client()).collect();
    for follower in &mut followers {
        follower.ask("HELLO 3");
        assert_eq!(follower.ask("CLIENT TRACKING ON BCAST PREFIX user: NOLOOP"), "+OK");
    }
    let mut other = server.client();
    assert!(other.ask("INFO clients").contains("tracking_clients:50"));
    assert!(other.ask("INFO stats").contains("tracking_total_prefixes:1"));
    other.raw(b"MULTI\r\nSET user:2 x\r\nSET item:1 x\r\nSET user:1 x\r\nEXEC\r\n");
    other.read_many(5);
    for follower in &mut followers {
        assert_eq!(follower.read(), ">[$invalidate, [$user:1, $user:2]]");
    }
    assert_eq!(followers[0].ask("SET user:3 x"), "+OK");
    for follower in &mut followers[1..] {
        assert_eq!(follower.read(), ">[$invalidate, [$user:3]]");
    }
    assert_eq!(followers[0].ask("PING"), "+PONG");
    drop(followers);
    eventually("all are gone", || other.ask("INFO clients").contains("tracking_clients:0"));
    assert!(other.ask("INFO stats").contains("tracking_total_prefixes:0"));
}

#[test]
fn what_a_slow_script_changes_goes_to_its_own_client_only() {
    let server = Server::start(&["--busy-reply-threshold", "1"]);
    let (mut c, mut other) = (server.client(), server.client());
    c.ask("HELLO 3");
    c.ask("CLIENT TRACKING ON");
    c.ask("MGET x y");
    let script = "redis.call('set','x',1) local i=0 while i<3000000 do i=i+1 end redis.call('set','y',1) return 'done'";
    c.raw(&request(&["EVAL", script, "0"]));
    eventually("the script is over", || {
        let reply = other.ask("GET x");
        assert!(reply == "$1" || reply == "nil" || reply.starts_with("-BUSY"), "{reply}");
        reply == "$1"
    });
    let mut got = c.read_many(3);
    got.sort();
    assert_eq!(got, ["$done", ">[$invalidate, [$x]]", ">[$invalidate, [$y]]"]);
}

#[test]
fn a_follower_that_does_not_read_is_evicted_at_once() {
    let server = Server::start(&["--maxmemory-clients", "3mb", "--enable-debug-command", "yes"]);
    let (mut c, mut follower) = (server.client(), server.client());
    follower.ask("HELLO 3");
    follower.ask("CLIENT TRACKING ON BCAST");
    c.ask("DEBUG PAUSE-CRON 1");
    let key = "k".repeat(200 * 1024);
    let script = format!("return redis.call('incr','{key}')");
    let sha = c.ask_words(&["SCRIPT", "LOAD", &script]);
    // In no reply it is seen with more than the limit.
    eventually("the follower is closed", || {
        c.ask(&format!("EVALSHA {} 0", &sha[1..]));
        let list = c.ask("CLIENT LIST ID 2");
        let memory = list.split("tot-mem=").nth(1).and_then(|rest| rest.split(' ').next());
        assert!(
            memory.is_none_or(|memory| memory.parse::<usize>().is_ok_and(|bytes| bytes < 3 << 20)),
            "{list}"
        );
        memory.is_none()
    });
}
