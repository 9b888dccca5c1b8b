//! Quotas of users and databases: requests are refused or wait, and what is stored stays within its limits.

use std::time::{Duration, Instant};

use crate::harness::{Client, Directory, Server, eventually, info_field, request};

/// A client of a user that may do everything.
fn client_of(server: &Server, user: &str) -> Client {
    let mut admin = server.client();
    assert_eq!(admin.ask(&format!("ACL SETUSER {user} on nopass ~* &* +@all")), "+OK");
    let mut client = server.client();
    assert_eq!(client.ask(&format!("AUTH {user} x")), "+OK");
    client
}

/// A number of a quota's line in INFO.
fn quota_field(client: &mut Client, quota: &str, name: &str) -> u64 {
    let line = info_field(client, quota);
    let value = line.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {line}"))
}

fn set_quota(client: &mut Client, text: &str) {
    assert_eq!(client.ask_words(&["CONFIG", "SET", "quota", text]), "+OK");
}

#[test]
fn requests_beyond_a_limit_are_refused() {
    let server = Server::start(&["--quota", "user", "alice", "requests", "5/s"]);
    let (mut alice, mut other) = (client_of(&server, "alice"), server.client());
    let started = Instant::now();
    let replies: Vec<String> = (0..100).map(|_| alice.ask("ECHO 1")).collect();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.starts_with("-QUOTA")).collect();
    // The bucket fills meanwhile.
    let most = 5 + (started.elapsed().as_secs_f64() * 5.0).ceil() as usize;
    assert!((5..=most).contains(&(100 - refused.len())), "{} of 100, {most} at most", 100 - refused.len());
    assert!(
        refused[0].starts_with("-QUOTA user 'alice' is over its limit of 5 requests a second, try again in "),
        "{}",
        refused[0]
    );
    assert!((0..100).all(|_| other.ask("ECHO 1") == "$1"));
    assert_eq!(quota_field(&mut other, "quota0", "refused"), refused.len() as u64);
    assert_eq!(quota_field(&mut other, "quota0", "requests"), 100 - refused.len() as u64);
    // Who it is can be said at any time.
    assert_eq!(alice.ask("AUTH default x").split(' ').next(), Some("+OK"));
    assert!((0..50).all(|_| alice.ask("ECHO 1") == "$1"));
}

#[test]
fn requests_beyond_a_limit_wait() {
    let server = Server::start(&[]);
    let (mut alice, mut other) = (client_of(&server, "alice"), server.client());
    set_quota(&mut other, "user alice requests 50/s over delay");
    let started = Instant::now();
    // In one go: the client isn't read on while it waits.
    let mut wire = Vec::new();
    (0..75).for_each(|number| wire.extend(request(&["ECHO".to_string(), number.to_string()])));
    alice.raw(&wire);
    for number in 0..75 {
        assert_eq!(other.ask("ECHO 1"), "$1");
        assert_eq!(alice.read(), format!("${number}"));
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(490), "{took:?} for 25 requests more than a second allows");
    assert!(quota_field(&mut other, "quota0", "delayed") >= 20);
    assert_eq!(quota_field(&mut other, "quota0", "requests"), 75);
    // Others are served meanwhile, and a quota that goes lets go what waits: here for longer than a test does.
    set_quota(&mut other, "user alice bytes 100/s over delay");
    alice.send(&format!("ECHO {}", "1".repeat(10_000)));
    alice.send("ECHO 2");
    eventually("it waits", || info_field(&mut other, "quota_delayed_clients") == "1");
    assert!((0..50).all(|_| other.ask("ECHO 1") == "$1"));
    assert_eq!(info_field(&mut other, "quota_delayed_clients"), "1");
    set_quota(&mut other, "");
    assert_eq!(alice.read().len(), 10_001);
    assert_eq!(alice.read(), "$2");
    assert_eq!(info_field(&mut other, "quotas"), "0");
}

#[test]
fn a_client_that_goes_while_it_waits() {
    let server = Server::start(&["--quota", "user alice requests 1/s over delay"]);
    let (mut alice, mut other) = (client_of(&server, "alice"), server.client());
    alice.raw(&request(&["ECHO", "1"]).repeat(3));
    eventually("it waits", || info_field(&mut other, "quota_delayed_clients") == "1");
    drop(alice);
    eventually("it is gone", || info_field(&mut other, "quota_delayed_clients") == "0");
}

#[test]
fn bytes_of_requests_and_replies_count() {
    let server = Server::start(&["--quota", "db", "1", "bytes", "10kb/s"]);
    let mut client = server.client();
    assert_eq!(client.ask_words(&["SET", "big", &"x".repeat(100_000)]), "+OK");
    assert_eq!(client.ask("COPY big big DB 1"), ":1");
    assert_eq!(client.ask("SELECT 1"), "+OK");
    assert_eq!(client.ask("GET big").len(), 100_001);
    let refused = client.ask("GET big");
    let again = refused
        .strip_prefix("-QUOTA database 1 is over its limit of 10240 bytes a second, try again in ")
        .and_then(|rest| rest.strip_suffix(" ms")?.parse::<u64>().ok());
    assert!(again.is_some_and(|ms| (2_000..9_000).contains(&ms)), "{refused}");
    // In database 0 there is no limit.
    assert!(client.ask("SELECT 0").starts_with("-QUOTA"));
    let mut other = server.client();
    assert_eq!(other.ask("GET big").len(), 100_001);
    assert!(quota_field(&mut other, "quota0", "bytes") > 100_000);
}

#[test]
fn a_transaction_is_counted_as_it_comes() {
    let server = Server::start(&["--quota", "user alice requests 4/s user bob requests 4/s"]);
    let mut alice = client_of(&server, "alice");
    for (request, reply) in [
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("SET b 1", "+QUEUED"),
        ("GET a", "+QUEUED"),
        ("EXEC", "[+OK, +OK, $1]"),
    ] {
        assert_eq!(alice.ask(request), reply);
    }
    // Time goes on, and gives one more now and then.
    let mut bob = client_of(&server, "bob");
    assert_eq!((bob.ask("MULTI"), bob.ask("SET a 2")), ("+OK".into(), "+QUEUED".into()));
    let queued = (0..20).filter(|_| bob.ask("SET b 2") == "+QUEUED").count();
    assert!(queued < 15, "{queued}");
    assert_eq!(bob.ask("EXEC"), "-EXECABORT Transaction discarded because of previous errors.");
    assert_eq!(server.client().ask("GET a"), "$1");
}

#[test]
fn keys_and_bytes_stored() {
    let server = Server::start(&["--quota", "db 1 keys 3", "--quota", "db 2 memory 200kb"]);
    let mut client = server.client();
    assert_eq!(client.ask("SELECT 1"), "+OK");
    assert_eq!(client.ask("MSET a 1 b 1"), "+OK");
    let refused = "-QUOTA database 1 holds 2 keys of 3 allowed";
    assert_eq!(client.ask("MSET a 2 c 2 d 2"), refused);
    assert_eq!(client.ask("MSET a 2 c 2"), "+OK");
    let refused = "-QUOTA database 1 holds 3 keys of 3 allowed";
    assert_eq!(client.ask("LPUSH list x"), refused);
    assert_eq!(client.ask("APPEND a more"), ":5");
    let by_script = client.ask("EVAL return(redis.call('SET','new','1')) 0");
    assert!(by_script.starts_with(refused), "{by_script}");
    let mut other = server.client();
    assert_eq!(other.ask("SET x 1"), "+OK");
    assert!(other.ask("COPY x x DB 1").starts_with("-QUOTA database 1"));
    assert!(other.ask("MOVE x 1").starts_with("-QUOTA database 1"));
    assert_eq!(client.ask("DEL b"), ":1");
    assert_eq!(other.ask("MOVE x 1"), ":1");

    assert_eq!(other.ask("SELECT 2"), "+OK");
    let member = "m".repeat(90);
    let refused = (0..100_000).find(|number| other.ask(&format!("SADD big {number}{member}")) != ":1");
    let count = refused.expect("there is a limit");
    assert!((1000..2300).contains(&count), "{count} members of about a hundred bytes");
    assert!(other.ask("SADD big x").starts_with("-QUOTA database 2 holds 2"));
    assert_eq!(other.ask("SPOP big 500").split(',').count(), 500);
    assert_eq!(quota_field(&mut client, "quota1", "memory_limit"), 204_800);
    assert_eq!(other.ask("DEL big"), ":1");
    assert_eq!(other.ask("SADD big x"), ":1");
}

#[test]
fn what_a_user_may_use_is_what_its_quota_counts() {
    let server = Server::start(&["--quota", "user alice keys 2"]);
    let mut admin = server.client();
    assert_eq!(admin.ask("ACL SETUSER alice on nopass ~* +@all db=1,2"), "+OK");
    let mut alice = server.client();
    assert_eq!(alice.ask("AUTH alice x"), "+OK");
    assert_eq!(admin.ask("MSET a 1 b 1 c 1"), "+OK");
    for (request, reply) in [
        ("SELECT 1", "+OK"),
        ("SET a 1", "+OK"),
        ("SELECT 2", "+OK"),
        ("SET b 1", "+OK"),
        ("SET c 1", "-QUOTA user 'alice' holds 2 keys of 2 allowed"),
        ("SET b 2", "+OK"),
    ] {
        assert_eq!(alice.ask(request), reply);
    }
    assert_eq!(admin.ask("SELECT 2"), "+OK");
    assert_eq!(admin.ask("SET d 1"), "+OK");
}

#[test]
fn the_file_is_rewritten() {
    let directory = Directory::new("quotas");
    let file = directory.file("redloop.conf", "quota db 3 keys 5\nquota user bob bytes 1mb/s\n");
    let server = Server::start_with_file(&file);
    let mut client = server.client();
    let shown = |client: &mut Client| client.ask("CONFIG GET quota");
    assert_eq!(shown(&mut client), "[$quota, $db 3 keys 5 user bob bytes 1048576/s]");
    assert!(client.ask_words(&["CONFIG", "SET", "quota", "db 16 keys 1"]).contains("there are 16 databases"));
    set_quota(&mut client, "user bob requests 7 over delay db 3 keys 6");
    assert_eq!(client.ask("CONFIG REWRITE"), "+OK");
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.starts_with("quota user bob requests 7/s over delay\nquota db 3 keys 6\n"), "{text}");
}
