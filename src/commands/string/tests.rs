//! Tests of GET and SET with every option, and of a random sequence of string commands against a naive model.

use crate::commands::support::testing::{START_MS, TestServer};

const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";

#[test]
fn reading_and_writing() {
    let mut server = TestServer::new();
    server.script(
        r#"
        GET a => nil
        SET a hello
        GET a => "hello"
        SET a 12
        GET a => "12"
        SET a 012
        GET a => "012"
        SET a -0
        GET a => "-0"
        SET a ""
        GET a => ""
        SET "" x
        GET "" => "x"
        MGET "" a b => ["x" "" nil]
        MSET a 1 b 2 a 3
        MGET a b c => ["3" "2" nil]
        MSET a 1 b => -ERR wrong number of arguments for 'mset' command
        MSETNX a 1 b => -ERR wrong number of arguments for 'msetnx' command
        MSETNX c 1 a 2 => :0
        EXISTS c => :0
        MSETNX c 1 d 2 c 3 => :1
        GET c => "3"
        SETNX c 4 => :0
        SETNX e 4 => :1
        GETSET e 5 => "4"
        GETSET f 6 => nil
        GETDEL f => "6"
        GETDEL f => nil
        DELIFEQ e 4 => :0
        DELIFEQ e 5 => :1
        DELIFEQ e 5 => :0
        "#,
    );
    server.resp3();
    assert_eq!(server.run("GET f"), "nil");
}

#[test]
fn long_keys_and_values() {
    let mut server = TestServer::new();
    let (key, value) = ("k".repeat(1000), "v".repeat(100_000));
    assert_eq!(server.run(&format!("SET {key} {value}")), "+OK");
    assert_eq!(server.run(&format!("GET {key}")), format!("\"{value}\""));
    assert_eq!(server.run(&format!("STRLEN {key}")), ":100000");
}

#[test]
fn conditions() {
    let mut server = TestServer::new();
    server.script(
        r#"
        SET a 1 XX => nil
        SET a 1 NX
        SET a 2 nx => nil
        SET a 2 xx
        SET a 3 GET => "2"
        SET b 3 GET => nil
        SET a 4 NX GET => "3"
        GET a => "3"
        SET c 4 NX GET => nil
        GET c => "4"
        SET d 4 XX GET => nil
        EXISTS d => :0
        SET a 5 IFEQ 4 => nil
        SET a 5 IFEQ 3
        SET a 6 IFEQ 5 GET => "5"
        SET a 7 GET IFEQ 5 => "6"
        GET a => "6"
        SET none 1 IFEQ x => nil
        SET none 1 IFEQ x GET => nil
        SET a 1 IFEQ => -ERR syntax error
        SET a 1 IFEQ 1 IFEQ 1 => nil
        SET a 1 NX IFEQ 1 => -ERR syntax error
        SET a 1 XX IFDNE 1 => -ERR syntax error
        SET a 1 IFEQ 1 IFNE 1 => -ERR syntax error
        SET a 1 IFDEQ 1 IFEQ 1 => -ERR syntax error
        SET a 1 IFXX 1 => -ERR syntax error
        SET a 6 IFEQ 6 XX
        SET a 6 IFEQ 6 NX => nil
        SET a 1 NX XX => -ERR syntax error
        SET a 1 NX NX => nil
        SET a 1 FOO => -ERR syntax error
        SET a 1 PERSIST => -ERR syntax error
        "#,
    );
}

#[test]
fn comparisons() {
    let mut server = TestServer::new();
    server.script(
        r#"
        SET a 1 IFNE 2
        SET a 2 IFNE 1 => nil
        SET a 2 IFNE 2 GET => "1"
        DIGEST a => "fb95a7322f5da314"
        SET a "Hello world"
        DIGEST a => "b6acb9d84a38ff74"
        SET a 3 IFDEQ b6acb9d84a38ff75 => nil
        SET a 3 IFDEQ b6acb9d84a38ff7g => nil
        SET a 3 IFDNE B6ACB9D84A38FF74 => nil
        SET a 3 IFDEQ B6acb9d84a38ff74 GET => "Hello world"
        SET a 4 IFDNE b6acb9d84a38ff7g
        SET a 5 IFDEQ b6acb9 => -ERR must be exactly 16 hexadecimal characters
        SET a 5 IFDNE b6acb9d84a38ff740 GET => -ERR must be exactly 16 hexadecimal characters
        SET none 5 IFDEQ b => nil
        SET none 5 IFDNE b
        GET none => "5"
        RPUSH list x => :1
        SET list 5 IFNE x => -WRONGTYPE Operation against a key holding the wrong kind of value
        SET list 5 IFDEQ x => -WRONGTYPE Operation against a key holding the wrong kind of value
        DIGEST list => -WRONGTYPE Operation against a key holding the wrong kind of value
        DIGEST missing => nil
        DELEX missing => :0
        DELEX list IFEQ x => -ERR Key should be of string type if conditions are specified
        DELEX list FOO x => -ERR Key should be of string type if conditions are specified
        DELEX list => :1
        DELEX missing FOO x => :0
        DELEX a FOO x => -ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE
        DELEX a IFEQ => -ERR wrong number of arguments for 'delex' command
        DELEX a IFEQ 1 2 => -ERR wrong number of arguments for 'delex' command
        DELEX a IFDEQ 1 => -ERR must be exactly 16 hexadecimal characters
        DELEX a IFNE 4 => :0
        DELEX a IFDNE 0000000000000000 => :1
        SET a ""
        DELEX a IFEQ "" => :1
        "#,
    );
}

#[test]
fn replaced_values_are_events() {
    let mut server = TestServer::new();
    server.notify("KEAocn");
    server.script(
        r#"
        SET a 1
        SET a 2 EX 10
        RPUSH l x => :1
        SET l 1
        MSETEX 1 a 1 EX 10 => :1
        APPEND a x => :2
        INCRBYFLOAT l 1 => "2"
        SADD s x => :1
        SUNIONSTORE a s => :1
        SUNIONSTORE a none => :0
        BITOP NOT l l => :1
        COPY s l REPLACE => :1
        RENAME s l
        "#,
    );
    assert_eq!(
        server.events(),
        "new a; set a; overwritten a; set a; expire a; new l; rpush l; overwritten l; type_changed l; set l; \
         overwritten a; expire a; set a; append a; incrbyfloat l; new s; sadd s; \
         overwritten a; type_changed a; sunionstore a; del a; overwritten l; set l; \
         new l; copy_to l; overwritten l; type_changed l; new l; rename_from s; rename_to l; overwritten l"
    );
}

#[test]
fn deadlines() {
    let mut server = TestServer::new();
    let at = START_MS / 1000 + 50;
    server.script(&format!(
        r#"
        SET a 1 EX 10
        TTL a => :10
        SET a 2 KEEPTTL
        TTL a => :10
        SET a 2
        TTL a => :-1
        SET a 2 PX 1500 EX 10 => -ERR syntax error
        SET a 2 PX 1500 KEEPTTL => -ERR syntax error
        SET a 2 EX => -ERR syntax error
        SET a 2 EX 1 EX 20
        PTTL a => :20000
        SET a 2 EXAT {at}
        EXPIRETIME a => :{at}
        SET a 2 PXAT {at}123
        PEXPIRETIME a => :{at}123
        SETEX a 5 v
        PTTL a => :5000
        PSETEX a 55 v
        PTTL a => :55
        SET a 1 EX x => {NOT_INTEGER}
        SETEX a 1.5 v => {NOT_INTEGER}
        SET a 1 EX 0 => -ERR invalid expire time in 'set' command
        SET a 1 PX -1 => -ERR invalid expire time in 'set' command
        SET a 1 EX 9223372036854775 => -ERR invalid expire time in 'set' command
        SET a 1 PX 9223372036854775807 => -ERR invalid expire time in 'set' command
        SETEX a 0 v => -ERR invalid expire time in 'setex' command
        PSETEX a -1 v => -ERR invalid expire time in 'psetex' command
        "#
    ));
    server.advance(56);
    server.script("GET a => nil");
}

#[test]
fn a_deadline_in_the_past_removes_the_key() {
    let mut server = TestServer::new();
    server.notify("KEAn");
    server.propagate();
    server.script("SET a 1\n SET a 2 PXAT 1\n EXISTS a => :0\n SET b 1 EXAT 1\n EXISTS b => :0");
    assert_eq!(server.events(), "new a; set a; expired a");
    assert_eq!(server.propagated(), "SET a 1; DEL a");
}

#[test]
fn getex() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.script(
        r#"
        GETEX a EX 0 => nil
        GETEX a EX 1 => nil
        SET a 1
        GETEX a => "1"
        GETEX a EX 10 => "1"
        TTL a => :10
        GETEX a => "1"
        TTL a => :10
        GETEX a PERSIST => "1"
        GETEX a PERSIST => "1"
        TTL a => :-1
        GETEX a EX 0 => -ERR invalid expire time in 'getex' command
        GETEX a KEEPTTL => -ERR syntax error
        GETEX a NX => -ERR syntax error
        GETEX a EX 1 PERSIST => -ERR syntax error
        GETEX a PERSIST EX 1 => -ERR syntax error
        GETEX a PXAT 1 => "1"
        EXISTS a => :0
        "#,
    );
    assert_eq!(server.events(), "set a; expire a; persist a; del a");
}

#[test]
fn msetex() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        MSETEX 2 a 1 b 2 EX 10 => :1
        TTL b => :10
        MSETEX 1 a 2 KEEPTTL => :1
        TTL a => :10
        MSETEX 1 a 3 => :1
        TTL a => :-1
        MSETEX 2 a 1 c 2 NX => :0
        MSETEX 2 c 1 c 2 NX => :1
        DEL c => :1
        MSETEX 2 a 1 c 2 XX => :0
        MSETEX 2 a 4 b 5 XX PX 100 => :1
        MGET a b c => ["4" "5" nil]
        MSETEX 0 a 1 => -ERR invalid numkeys value
        MSETEX x a 1 => -ERR invalid numkeys value
        MSETEX 2147483648 a 1 => -ERR invalid numkeys value
        MSETEX 2 a 1 => -ERR wrong number of key-value pairs
        MSETEX 1 a 1 GET => -ERR syntax error
        MSETEX 1 a 1 EX 0 => -ERR invalid expire time in 'msetex' command
        "#,
    );
    let later = START_MS + 100;
    assert_eq!(
        server.events(),
        "expire a; set a; expire b; set b; set a; set a; set c; set c; del c; expire a; set a; expire b; set b"
    );
    assert_eq!(
        server.propagated(),
        format!(
            "MSETEX 2 a 1 b 2 PXAT {}; MSETEX 1 a 2 KEEPTTL; MSETEX 1 a 3; \
            MSETEX 2 c 1 c 2 NX; DEL c; MSETEX 2 a 4 b 5 XX PXAT {later}",
            START_MS + 10_000
        )
    );
}

#[test]
fn propagation() {
    let mut server = TestServer::new();
    server.propagate();
    let cases = [
        ("SET a 1", "SET a 1".to_string()),
        ("SET a 1 NX", String::new()),
        ("SET a 1 EX 10 XX GET", format!("SET a 1 PXAT {}", START_MS + 10_000)),
        ("SET a get GET XX", "SET a get XX".into()),
        ("SET a x GET IFEQ get", "SET a x IFEQ get".into()),
        ("SETEX a 1 v", format!("SET a v PXAT {}", START_MS + 1000)),
        ("GETEX a", String::new()),
        ("GETEX a PX 7", format!("PEXPIREAT a {}", START_MS + 7)),
        ("GETEX a PERSIST", "PERSIST a".into()),
        ("GETEX a EXAT 5", "DEL a".into()),
        ("GETDEL a", String::new()),
        ("GETSET a 5", "SET a 5".into()),
        ("SET a 5 IFNE 5", String::new()),
        ("SET a 6 IFNE 7", "SET a 6 IFNE 7".into()),
        ("SET a get IFNE get GET", "SET a get IFNE get".into()),
        ("SET a 5 IFEQ get EX 10 GET", format!("SET a 5 PXAT {}", START_MS + 10_000)),
        ("DELEX a IFEQ 4", String::new()),
        ("DELEX a IFEQ 5", "DEL a".into()),
        ("SET a 5", "SET a 5".into()),
        ("DELEX a", "DEL a".into()),
        ("MSETEX 1 a 5 EXAT 99999999999", "MSETEX 1 a 5 EXAT 99999999999".into()),
        ("GETDEL a", "DEL a".into()),
        ("MSET a 1 b 2", "MSET a 1 b 2".into()),
        ("DELIFEQ a 1", "DEL a".into()),
        ("INCR b", "INCR b".into()),
    ];
    for (request, propagated) in cases {
        server.run(request);
        assert_eq!(server.propagated(), propagated, "{request}");
    }
}

#[test]
fn a_keymiss_is_an_event() {
    let mut server = TestServer::new();
    server.notify("KEAmn");
    server.script("GET a => nil\n SET a 1\n MGET a b => [\"1\" nil]\n SETNX c 1 => :1");
    assert_eq!(server.events(), "keymiss a; new a; set a; keymiss b; new c; set c");
    assert_eq!((server.engine.data.keyspace.stats.hits, server.engine.data.keyspace.stats.misses), (1, 2));
}

/// The integer that a string is in its canonical decimal form.
fn as_number(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number = text.parse::<i64>().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Performs an operation on the naive model and returns the reply that the server must write.
fn model(
    strings: &mut std::collections::HashMap<u64, Vec<u8>>,
    verb: u64,
    key: u64,
    n: u64,
) -> (String, String) {
    let value = match n % 4 {
        0 => n.to_string(),
        1 => "x".repeat((n % 90) as usize),
        2 => format!("-{n}"),
        _ => "y".repeat((n * 7 % 600) as usize),
    };
    let shown = |bytes: &[u8]| format!("\"{}\"", String::from_utf8_lossy(bytes).replace('\0', "\\x00"));
    match verb {
        0 => {
            let request = format!("SET {key} \"{value}\"");
            strings.insert(key, value.into_bytes());
            (request, "+OK".into())
        }
        1 => {
            let string = strings.entry(key).or_default();
            string.extend_from_slice(value.as_bytes());
            (format!("APPEND {key} \"{value}\""), format!(":{}", string.len()))
        }
        2 => {
            let at = (n % 300) as usize;
            if !value.is_empty() {
                let string = strings.entry(key).or_default();
                string.resize(string.len().max(at + value.len()), 0);
                string[at..at + value.len()].copy_from_slice(value.as_bytes());
            }
            let length = strings.get(&key).map_or(0, Vec::len);
            (format!("SETRANGE {key} {at} \"{value}\""), format!(":{length}"))
        }
        3 => {
            let old = strings.get(&key).map_or(Some(0), |string| as_number(string));
            let answer = match old.and_then(|old| old.checked_add(n as i64)) {
                None => "-ERR value is not an integer or out of range".into(),
                Some(sum) => {
                    strings.insert(key, sum.to_string().into_bytes());
                    format!(":{sum}")
                }
            };
            (format!("INCRBY {key} {n}"), answer)
        }
        4 => (format!("DEL {key}"), format!(":{}", u8::from(strings.remove(&key).is_some()))),
        5 => {
            let renamed = strings.remove(&key);
            let answer = if renamed.is_some() { "+OK" } else { "-ERR no such key" };
            renamed.map(|string| strings.insert(n % 8, string));
            (format!("RENAME {key} {}", n % 8), answer.into())
        }
        _ => (format!("GET {key}"), strings.get(&key).map_or("nil".into(), |string| shown(string))),
    }
}

#[test]
fn strings_behave_as_a_naive_model() {
    let mut rng = crate::base::rng::Rng::new(11);
    let mut server = TestServer::new();
    let mut strings = std::collections::HashMap::new();
    for _ in 0..3000 {
        let (verb, key, n) = (rng.below(9), rng.below(8), rng.below(1000));
        let (request, answer) = model(&mut strings, verb, key, n);
        assert_eq!(server.run(&request), answer, "{request}");
    }
    assert_eq!(server.run("DBSIZE"), format!(":{}", strings.len()));
}
