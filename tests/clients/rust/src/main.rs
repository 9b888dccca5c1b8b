//! redis-rs against a server: redis-rs-smoke PORT PROTOCOL [AUTHORITY]. Ends with an error at the first surprise.
//!
//! With an authority's certificate it speaks TLS.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};

use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{
    Client, Commands, Connection, ErrorKind, RedisResult, Script, ServerErrorKind, SetExpiry, SetOptions,
    TlsCertificates, TypedCommands, Value,
};

static CHECKS: AtomicU32 = AtomicU32::new(0);

#[track_caller]
fn same<T: PartialEq<U> + Debug, U: Debug>(found: RedisResult<T>, wanted: U) {
    CHECKS.fetch_add(1, Ordering::Relaxed);
    let found = found.unwrap_or_else(|error| panic!("{}: {error}", Location::caller()));
    assert_eq!(found, wanted);
}

#[track_caller]
fn fails<T: Debug>(found: RedisResult<T>, kind: ErrorKind, text: &str) {
    CHECKS.fetch_add(1, Ordering::Relaxed);
    let error = found.expect_err("an error");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

fn text(bytes: &str) -> Option<String> {
    Some(bytes.to_string())
}

fn strings(r: &mut Connection) {
    let expiring = SetOptions::default().with_expiration(SetExpiry::EX(100));
    same(Commands::set_options::<_, _, String>(r, "s", "value", expiring), "OK");
    same(TypedCommands::get(r, "s"), text("value"));
    same(TypedCommands::get(r, "nothing"), None::<String>);
    same(Commands::ttl::<_, i64>(r, "s"), 100);
    fails(TypedCommands::incr(r, "s", 1), ServerErrorKind::ResponseError.into(), "not an integer");
    fails(TypedCommands::lpush(r, "s", "x"), ErrorKind::Extension, "WRONGTYPE");
    same(Commands::append::<_, _, usize>(r, "s", vec![0u8, 13, 10, 255]), 9);
    same(Commands::get::<_, Vec<u8>>(r, "s"), b"value\0\r\n\xff".to_vec());
    same(TypedCommands::mset(r, &[("a", 1), ("b", 2)]), ());
    same(Commands::mget::<_, Vec<Option<i64>>>(r, &["a", "b", "nothing"]), vec![Some(1), Some(2), None]);
    same(TypedCommands::incr(r, "a", 41), 42);
    same(TypedCommands::del(r, &["a", "nothing"]), 1);
    // Larger than a record of TLS, and than the server's buffers.
    let large: Vec<u8> = (0..3_000_000u32).map(|at| (at / 7) as u8).collect();
    same(TypedCommands::set(r, "large", &large), ());
    same(Commands::get::<_, Vec<u8>>(r, "large"), large);
}

fn collections(r: &mut Connection) {
    same(TypedCommands::rpush(r, "l", &["a", "b", "c"]), 3);
    same(TypedCommands::lrange(r, "l", 0, -1), ["a", "b", "c"].map(String::from).to_vec());
    same(TypedCommands::hset_multiple(r, "h", &[("f", "v"), ("g", "2")]), ());
    let fields =
        HashMap::from([("f", "v"), ("g", "2")].map(|(field, value)| (field.to_string(), value.to_string())));
    same(TypedCommands::hgetall(r, "h"), fields);
    same(TypedCommands::zadd_multiple(r, "z", &[(1.0, "one"), (2.5, "two")]), 2);
    same(Commands::zscore::<_, _, f64>(r, "z", "two"), 2.5);
    let scores = vec![("one".to_string(), 1.0), ("two".to_string(), 2.5)];
    same(Commands::zrange_withscores::<_, Vec<(String, f64)>>(r, "z", 0, -1), scores);
    same(TypedCommands::sadd(r, "t", &["x", "y"]), 2);
    same(Commands::smembers::<_, BTreeSet<String>>(r, "t"), BTreeSet::from(["x", "y"].map(String::from)));
    same(TypedCommands::sismember(r, "t", "x"), true);
    let dump: Vec<u8> = redis::cmd("DUMP").arg("h").query(r).expect("a dump");
    same(redis::cmd("RESTORE").arg("again").arg(0).arg(dump).query::<String>(r), "OK");
    same(TypedCommands::hlen(r, "again"), 2);
}

fn together(r: &mut Connection, other: &mut Connection) {
    let mut piped = redis::pipe();
    for number in 0..1000 {
        piped
            .cmd("SET")
            .arg(format!("key:{number}"))
            .arg(number)
            .ignore()
            .cmd("GET")
            .arg(format!("key:{number}"));
    }
    same(piped.query::<Vec<u32>>(r), (0..1000).collect::<Vec<u32>>());
    let found = Commands::scan_match::<_, String>(r, "key:*")
        .expect("a cursor")
        .collect::<RedisResult<BTreeSet<_>>>();
    same(found.map(|keys| keys.len()), 1000);
    let counted =
        redis::pipe().atomic().set("n", 1).ignore().incr("n", 1).incr("n", 1).query::<(i64, i64)>(r);
    same(counted, (2, 3));
    same(redis::cmd("WATCH").arg("n").query::<String>(r), "OK");
    same(TypedCommands::set(other, "n", 0), ());
    same(redis::pipe().atomic().get("n").query::<Value>(r), Value::Nil);
    let moved = redis::transaction(r, &["n"], |r, piped| {
        let before: i64 = Commands::get(r, "n")?;
        piped.set("n", before + 5).ignore().get("n").query::<Option<(i64,)>>(r)
    });
    same(moved, (5,));
    let script = Script::new("return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}");
    same(script.key("n").arg("x").invoke::<(String, String, i64)>(r), ("n".to_string(), "x".to_string(), 5));
}

fn streams(r: &mut Connection) {
    same(TypedCommands::xadd(r, "x", "1-1", &[("a", "1")]), text("1-1"));
    same(TypedCommands::xgroup_create(r, "x", "g", "0"), ());
    let options = StreamReadOptions::default().group("g", "c").count(10);
    let read = Commands::xread_options::<_, _, StreamReadReply>(r, &["x"], &[">"], &options);
    let entries = read.map(|read| {
        let entries = read.keys.into_iter().flat_map(|stream| stream.ids);
        entries.map(|entry| (entry.id.clone(), entry.get::<String>("a"))).collect::<Vec<_>>()
    });
    same(entries, vec![("1-1".to_string(), text("1"))]);
    same(TypedCommands::xack(r, "x", "g", &["1-1"]), 1);
}

fn waiting(client: &Client, r: &mut Connection, other: &mut Connection) {
    std::thread::scope(|scope| {
        let popped = scope.spawn(|| {
            let mut r = client.get_connection().expect("a connection");
            redis::cmd("BLPOP").arg("queue").arg(10).query::<(String, String)>(&mut r)
        });
        while !redis::cmd("INFO")
            .arg("clients")
            .query::<String>(r)
            .expect("INFO")
            .contains("blocked_clients:1")
        {}
        same(TypedCommands::rpush(r, "queue", "job"), 1);
        same(popped.join().expect("no panic"), ("queue".to_string(), "job".to_string()));
    });
    let mut messages = other.as_pubsub();
    messages.subscribe("news").expect("subscribed");
    messages.psubscribe("n?ws").expect("subscribed");
    same(TypedCommands::publish(r, "news", "the message"), 2);
    let mut seen = BTreeMap::new();
    for _ in 0..2 {
        let message = messages.get_message().expect("a message");
        seen.insert(message.from_pattern(), message.get_payload::<String>().expect("text"));
    }
    let wanted = BTreeMap::from([false, true].map(|by_pattern| (by_pattern, "the message".to_string())));
    same(Ok(seen), wanted);
    drop(messages);
    // It has unsubscribed, and goes on.
    same(redis::cmd("PING").query::<String>(other), "PONG");
}

/// What the two versions of the protocol say in their own ways.
fn by_protocol(r: &mut Connection, protocol: &str) {
    let said = redis::cmd("HGETALL").arg("h").query::<Value>(r).map(|value| matches!(value, Value::Map(_)));
    same(said, protocol == "3");
    let said = redis::cmd("CLIENT").arg("INFO").query::<String>(r);
    let said =
        said.map(|line| (line.contains(&format!("resp={protocol}")), line.contains("lib-name=redis-rs")));
    same(said, (true, true));
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, protocol, authority @ ..] = &arguments[..] else { panic!("PORT PROTOCOL [AUTHORITY]") };
    let query = format!("protocol=resp{protocol}");
    let client = match authority.first() {
        Some(authority) => {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let root_cert = Some(std::fs::read(authority).expect("a certificate"));
            let certificates = TlsCertificates { client_tls: None, root_cert };
            Client::build_with_tls(format!("rediss://localhost:{port}/?{query}"), certificates)
        }
        None => Client::open(format!("redis://localhost:{port}/?{query}")),
    };
    let client = client.expect("an address");
    let mut r = client.get_connection().expect("a connection");
    let mut other = client.get_connection().expect("a connection");
    same(TypedCommands::flushall(&mut r), ());
    strings(&mut r);
    collections(&mut r);
    together(&mut r, &mut other);
    streams(&mut r);
    by_protocol(&mut r, protocol);
    waiting(&client, &mut r, &mut other);
    println!("checks: {}", CHECKS.load(Ordering::Relaxed));
}
