//! redis-cli without a terminal: output formats, input from pipes, scans of keys.

use crate::sides::Sides;

/// Something of each kind.
const FILL: &str = "SET string \"line one\\nline two \\xff\"\nSET number 12\nRPUSH list a b \"c,d\" \"e\\\"f\"\n\
    HSET hash field value other 2\nSADD set 1 2 3\nZADD zset 1 a 2.5 b\nXADD stream 1-1 a 1 b 2\n\
    XADD stream 1-2 c 3\nSET empty \"\"\n";

fn filled(test: &str, options: &[&str]) -> Option<Sides> {
    let sides = Sides::start(test, options)?;
    let output = sides.same(&[], FILL);
    assert_eq!(output.out, "OK\nOK\n4\n2\n3\n2\n1-1\n1-2\nOK\n");
    Some(sides)
}

const READS: &[&str] = &[
    "GET string",
    "GET nothing",
    "GET empty",
    "STRLEN string",
    "LRANGE list 0 -1",
    "LRANGE nothing 0 -1",
    "HGETALL hash",
    "SMEMBERS set",
    "ZRANGE zset 0 -1 WITHSCORES",
    "ZSCORE zset b",
    "XRANGE stream - +",
    "XREAD STREAMS stream nothing 0 0",
    "XINFO STREAM stream",
    "MGET number nothing string",
    "LPUSH string x",
    "EXISTS a",
    "CONFIG GET maxmemory",
    "COMMAND GETKEYSANDFLAGS SET a b",
    "COMMAND INFO get junk",
    "COMMAND DOCS junk",
    "PUBSUB NUMSUB a",
    "JUNK",
];

#[test]
fn formats() {
    let Some(sides) = filled("formats", &[]) else { return };
    let formats: &[&[&str]] = &[
        &["--raw"],
        &["--no-raw"],
        &["--csv"],
        &["--json"],
        &["--quoted-json"],
        &["--json", "-2"],
        &["-3"],
        &["-3", "--no-raw"],
        &["-3", "--csv"],
        &["-d", "<>", "-D", "--\n"],
        &["-e"],
    ];
    for format in formats {
        for read in READS {
            let mut args = format.to_vec();
            args.extend(read.split(' '));
            // The tree of a stream is built otherwise.
            if read.starts_with("XINFO") {
                let shown = sides.ours(&args, "");
                assert!(shown.out.contains("last-generated-id") && shown.code == Some(0), "{shown:?}");
            } else {
                sides.same(&args, "");
            }
        }
    }
    let shown = |args: &[&str]| sides.ours(args, "").out;
    assert_eq!(
        shown(&["--no-raw", "LRANGE", "list", "0", "-1"]),
        "1) \"a\"\n2) \"b\"\n3) \"c,d\"\n4) \"e\\\"f\"\n"
    );
    assert_eq!(shown(&["--csv", "LRANGE", "list", "0", "-1"]), "\"a\",\"b\",\"c,d\",\"e\\\"f\"\n");
    assert_eq!(shown(&["--json", "HGETALL", "hash"]), "{\"field\":\"value\",\"other\":\"2\"}\n");
    assert_eq!(shown(&["--json", "ZSCORE", "zset", "b"]), "2.5\n");
    assert_eq!(sides.ours(&["-e", "INCR", "string"], "").code, Some(1));
}

#[test]
fn arguments_from_input() {
    let Some(sides) = Sides::start("arguments_from_input", &[]) else { return };
    assert_eq!(sides.same(&["-x", "SET", "key"], "a value\nwith lines").out, "OK\n");
    assert_eq!(sides.same(&["GET", "key"], "").out, "a value\nwith lines\n");
    assert_eq!(sides.same(&["-X", "TAG", "SET", "TAG", "value"], "the key").out, "OK\n");
    assert_eq!(sides.same(&["GET", "the key"], "").out, "value\n");
    assert_eq!(sides.same(&["--quoted-input", "SET", "\"\\x01\"", "\"a\\tb\""], "").out, "OK\n");
    assert_eq!(sides.same(&["--quoted-input", "GET", "\"\\x01\""], "").out, "a\tb\n");
    // What is dumped can be restored.
    let lines = "SET \"a b\" 1\nGET \"a b\"\n# no comment\nECHO 'it''s'\nECHO \"open\nPING\n\nMULTI\nINCR \"a b\"\nEXEC\n";
    let shown = sides.same(&[], lines);
    assert!(shown.out.starts_with("OK\n1\n") && shown.out.contains("PONG\n"), "{shown:?}");
}

#[test]
fn databases_and_passwords() {
    let Some(sides) = Sides::start("databases_and_passwords", &["--requirepass", "secret"]) else { return };
    assert_eq!(sides.same(&["PING"], "").out, "NOAUTH Authentication required.\n\n");
    let shown = sides.same(&["-a", "wrong", "PING"], "");
    assert!(shown.err.contains("AUTH failed: WRONGPASS"), "{shown:?}");
    assert_eq!(sides.same(&["-a", "secret", "--no-auth-warning", "PING"], "").out, "PONG\n");
    assert!(sides.same(&["-a", "secret", "PING"], "").err.contains("Warning: Using a password"));
    let user = ["--user", "default", "--pass", "secret", "--no-auth-warning"];
    assert_eq!(sides.same(&[&user[..], &["-3", "PING"]].concat(), "").out, "PONG\n");
    assert_eq!(sides.same(&[&user[..], &["-n", "7", "SET", "a", "1"]].concat(), "").out, "OK\n");
    assert_eq!(sides.same(&[&user[..], &["-n", "7", "DBSIZE"]].concat(), "").out, "1\n");
    assert_eq!(sides.same(&[&user[..], &["DBSIZE"]].concat(), "").out, "0\n");
    let shown = sides.same(&[&user[..], &["-n", "99", "DBSIZE"]].concat(), "");
    assert!(shown.err.contains("SELECT 99 failed: ERR DB index is out of range"), "{shown:?}");
    let uri = format!("redis://default:secret@127.0.0.1:{}/7", sides.ours.port);
    assert_eq!(sides.ours(&["-u", &uri, "--no-auth-warning", "GET", "a"], "").out, "1\n");
}

#[test]
fn repetition() {
    let Some(sides) = Sides::start("repetition", &[]) else { return };
    assert_eq!(sides.same(&["-r", "4", "INCR", "n"], "").out, "1\n2\n3\n4\n");
    assert_eq!(sides.same(&["-r", "3", "-i", "0.01", "INCRBY", "n", "10"], "").out, "14\n24\n34\n");
    assert_eq!(sides.same(&["-r", "2"], "INCR n\nINCR n\n").out, "35\n36\n");
    assert_eq!(sides.same(&[], "3 INCR n\n").out, "37\n38\n39\n");
}

#[test]
fn mass_insertion() {
    let Some(sides) = Sides::start("mass_insertion", &[]) else { return };
    let mut requests = String::new();
    for n in 0..20_000 {
        let (key, value) = (format!("key:{n}"), "v".repeat(n % 300));
        requests += &format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len());
    }
    let shown = sides.same(&["--pipe"], &requests);
    assert!(shown.out.ends_with("errors: 0, replies: 20000\n"), "{shown:?}");
    assert_eq!((sides.same(&["DBSIZE"], "").out.as_str(), shown.code), ("20000\n", Some(0)));
    assert_eq!(sides.same(&["STRLEN", "key:19999"], "").out, "199\n");
    // Errors are counted and named; inline commands go as well.
    let shown = sides.same(&["--pipe"], "SET a x\r\nINCR a\r\nLPUSH a x\r\nJUNK\r\nGET a\r\n\r\nSET b\r\n");
    assert!(shown.out.ends_with("errors: 4, replies: 6\n"), "{shown:?}");
    assert!(shown.err.contains("WRONGTYPE") && shown.err.contains("wrong number of arguments"), "{shown:?}");
    assert_eq!(shown.code, Some(1));
    // What is no request ends it.
    let shown = sides.same(&["--pipe"], "*1\r\n$4\r\nPING\r\n*1\r\n!4\r\nPING\r\n");
    assert!(shown.err.contains("Protocol error"), "{shown:?}");
}

#[test]
fn walks() {
    let Some(sides) = filled("walks", &[]) else { return };
    if !sides.cli_is_8("walks") {
        return;
    }
    let mut requests = String::new();
    for n in 0..3000 {
        requests += &format!("SET key:{n} {n}\n");
    }
    assert!(sides.same(&["--pipe"], &requests).out.ends_with("errors: 0, replies: 3000\n"));
    for (args, count) in [
        (&["--scan"][..], 3008),
        (&["--scan", "--pattern", "key:*"], 3000),
        (&["--scan", "--pattern", "key:1??", "--count", "500"], 100),
        (&["--scan", "--pattern", "key:1[0-4]", "-i", "0"], 5),
        (&["--scan", "--pattern", "nothing*"], 0),
        (&["--scan", "--quoted-pattern", "\"key:\\x31*\""], 1111),
    ] {
        for side in sides.each(args) {
            let mut keys: Vec<&str> = side.lines().collect();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), count, "{args:?}");
        }
    }
}
