//! redis-cli in a terminal.

use crate::sides::Sides;

/// Commands whose answers show each way of printing a reply.
const COMMANDS: &[&str] = &[
    "PING",
    "PING hello",
    "ECHO \"quoted \\\"text\\\" \\x00\\xff\\n\"",
    "ECHO 'it\\'s'",
    "ECHO \"unbalanced",
    "SET a 1",
    "SET b \"two words\"",
    "GET a",
    "GET nothing",
    "INCR a",
    "INCR b",
    "INCRBYFLOAT a 1.5",
    "DEL nothing",
    "EXISTS a b nothing",
    "MGET a nothing b",
    "SET a 1 NX GET XX",
    "SET a",
    "JUNK junk",
    "SETRANGE zeros 3 x",
    "GET zeros",
    "LRANGE nothing 0 -1",
    "RPUSH list one two three",
    "LRANGE list 0 -1",
    "LPOP list 2",
    "LPOP nothing 2",
    "BLPOP nothing 0.01",
    "BLPOP list 0",
    "LPUSH a x",
    "HSET hash field value other \"\"",
    "HGETALL hash",
    "HGETALL nothing",
    "HMGET hash field nothing",
    "HRANDFIELD nothing 3",
    "HEXPIRE hash 1000 FIELDS 2 field nothing",
    "SADD set a",
    "SMEMBERS set",
    "SMEMBERS nothing",
    "SMISMEMBER set a b",
    "ZADD zset 1 one 2.5 two 1e20 big inf most",
    "ZRANGE zset 0 -1 WITHSCORES",
    "ZSCORE zset two",
    "ZMSCORE zset one nothing",
    "ZPOPMIN zset",
    "ZPOPMAX zset 2",
    "ZMPOP 1 zset MIN COUNT 2",
    "GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
    "GEOPOS geo Palermo nothing",
    "GEOSEARCH geo FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHDIST WITHCOORD",
    "XADD stream 1-1 a 1 b 2",
    "XADD stream 1-1 a 1",
    "XADD stream 2-0 a 3",
    "XRANGE stream - +",
    "XGROUP CREATE stream group 0",
    "XREADGROUP GROUP group alice COUNT 1 STREAMS stream >",
    "XREAD COUNT 5 STREAMS stream nothing 0 0",
    "XREAD STREAMS nothing 0",
    "XPENDING stream group",
    "XINFO GROUPS stream",
    "LCS a b IDX",
    "BITFIELD bits SET u8 0 255 GET u8 0 OVERFLOW FAIL INCRBY u8 0 1",
    "OBJECT ENCODING list",
    "OBJECT ENCODING set",
    "TYPE hash",
    "EXPIRE a 1000 NX",
    "PERSIST a",
    "TTL a",
    "SORT set ALPHA DESC",
    "COPY a copy",
    "RENAME nothing a",
    "SCAN 0 COUNT 1000 TYPE zset",
    "CONFIG GET maxmemory-samples",
    "CONFIG SET maxmemory-samples 7",
    "CONFIG GET maxmemory-samples",
    "CONFIG SET junk 1",
    "CLIENT SETNAME bob",
    "CLIENT GETNAME",
    "COMMAND GETKEYS MSET a 1 b 2",
    "COMMAND GETKEYSANDFLAGS LMOVE a b left right",
    "PUBSUB NUMSUB a b",
    "SLOWLOG HISTORY",
    "DBSIZE",
    "DEBUG STRINGMATCH-LEN 1 *",
];

#[test]
fn replies() {
    let Some(sides) = Sides::start("replies", &[]) else { return };
    for protocol in ["-2", "-3"] {
        let screens = sides.same_screens(&[protocol], COMMANDS);
        let shown = |command: &str| {
            let at = COMMANDS.iter().position(|line| *line == command).expect("a command");
            screens[at].trim_end_matches("127.0.0.1:PORT> ")
        };
        assert_eq!(shown("PING"), "PONG\n");
        assert_eq!(shown("GET nothing"), "(nil)\n");
        assert_eq!(shown("LRANGE nothing 0 -1"), "(empty array)\n");
        assert_eq!(shown("INCR b"), "(error) ERR value is not an integer or out of range\n");
        assert_eq!(shown("LRANGE list 0 -1"), "1) \"one\"\n2) \"two\"\n3) \"three\"\n");
        assert_eq!(
            shown("XRANGE stream - +"),
            "1) 1) \"1-1\"\n   2) 1) \"a\"\n      2) \"1\"\n      3) \"b\"\n      4) \"2\"\n2) 1) \"2-0\"\n   \
             2) 1) \"a\"\n      2) \"3\"\n"
        );
        let hash = match protocol {
            "-2" => "1) \"field\"\n2) \"value\"\n3) \"other\"\n4) \"\"\n",
            _ => "1# \"field\" => \"value\"\n2# \"other\" => \"\"\n",
        };
        assert_eq!(shown("HGETALL hash"), hash);
        let score = if protocol == "-2" { "\"2.5\"\n" } else { "(double) 2.5\n" };
        assert_eq!(shown("ZSCORE zset two"), score);
        sides.same(&["FLUSHALL"], "");
        sides.same(&["CONFIG", "SET", "maxmemory-samples", "5"], "");
    }
}

#[test]
fn prompts() {
    let Some(sides) = Sides::start("prompts", &[]) else { return };
    let lines = [
        "MULTI",
        "SET a 1",
        "JUNK",
        "EXEC",
        "MULTI",
        "INCR a",
        "LPUSH a x",
        "SELECT 3",
        "EXEC",
        "GET a",
        "SELECT 3",
        "SET b 1",
        "SELECT 99",
        "MULTI",
        "DISCARD",
        "SELECT 0",
        "MULTI",
        "RESET",
        "EXEC",
        "WATCH a",
        "3 PING",
        "-1 PING",
        "CLIENT GETNAME",
        "SWAPDB 0 3",
        "KEYS *",
        "CLEAR",
        "HELLO 9",
    ];
    let screens = sides.same_screens(&[], &lines);
    let prompt = |line: usize| screens[line].rsplit('\n').next().expect("a line");
    assert_eq!(prompt(0), "127.0.0.1:PORT(TX)> ");
    assert_eq!(prompt(3), "127.0.0.1:PORT> ");
    assert!(screens[3].starts_with("(error) EXECABORT Transaction discarded because of previous errors."));
    assert_eq!(prompt(10), "127.0.0.1:PORT[3]> ");
    assert_eq!(prompt(12), "127.0.0.1:PORT[3]> ");
    assert_eq!(prompt(13), "127.0.0.1:PORT[3](TX)> ");
    assert_eq!(screens[20], "PONG\nPONG\nPONG\n127.0.0.1:PORT> ");
    let screens = sides.same_screens(&["-n", "2"], &["DBSIZE", "SELECT 0", "DBSIZE"]);
    assert_eq!(screens, ["(integer) 0\n127.0.0.1:PORT[2]> ", "OK\n127.0.0.1:PORT> ", &screens[2]]);
}

#[test]
fn subscribed() {
    let Some(sides) = Sides::start("subscribed", &[]) else { return };
    if !sides.cli_is_8("subscribed") {
        return;
    }
    for protocol in ["-2", "-3"] {
        let mut terminal = sides.terminal(&[protocol], "dumb");
        terminal.keys("SUBSCRIBE ch\n");
        let shown = terminal.wait_for(|text| text.contains("any key to type command"));
        assert!(shown.contains("1) \"subscribe\"\n2) \"ch\"\n3) (integer) 1\n"), "{shown}");
        assert_eq!(sides.ours(&["PUBLISH", "ch", "the message"], "").out, "1\n");
        let shown = terminal.wait_for(|text| text.contains("the message"));
        assert!(shown.contains("1) \"message\"\n2) \"ch\"\n3) \"the message\"\n"), "{shown}");
        terminal.keys(" ");
        terminal.wait_for(|text| text.contains("(subscribed mode)> "));
        terminal.keys("PSUBSCRIBE c*\n");
        let shown = terminal.wait_for(|text| text.contains("any key to type command"));
        assert!(shown.contains("1) \"psubscribe\"\n2) \"c*\"\n3) (integer) 2\n"), "{shown}");
        terminal.keys(" ");
        terminal.wait_for(|text| text.contains("(subscribed mode)> "));
        terminal.keys("PING\n");
        let pong = if protocol == "-2" { "1) \"pong\"\n2) \"\"\n" } else { "PONG\n" };
        terminal.wait_for(|text| text.contains(pong));
        terminal.keys(" ");
        terminal.wait_for(|text| text.contains("(subscribed mode)> "));
        terminal.keys("PUNSUBSCRIBE\n");
        let shown = terminal.wait_for(|text| text.contains("any key to type command"));
        assert!(shown.contains("1) \"punsubscribe\"\n2) \"c*\"\n3) (integer) 1\n"), "{shown}");
        terminal.keys(" ");
        terminal.wait_for(|text| text.contains("(subscribed mode)> "));
        assert!(terminal.line("RESET").contains("RESET\n"));
        assert!(terminal.line("PUBSUB CHANNELS").contains("(empty array)\n"));
    }
}

/// The server goes away, another comes in its place.
#[test]
fn reconnects() {
    let Some(sides) = Sides::start("reconnects", &[]) else { return };
    if !sides.cli_is_8("reconnects") {
        return;
    }
    let mut terminal = sides.terminal(&[], "dumb");
    assert!(terminal.line("SELECT 2").starts_with("OK\n"));
    assert_eq!(sides.ours(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"], "").out, "1\n");
    // Which of the two errors it is depends on whether the end or the answer to the request arrives first.
    let shown = terminal.line("GET a");
    let errors = ["Server closed the connection", "Connection reset by peer"];
    assert!(errors.iter().any(|error| shown == format!("Error: {error}\nnot connected> ")), "{shown}");
    assert_eq!(terminal.line("SET a 1"), "OK\n127.0.0.1:PORT[2]> ");
    assert_eq!(sides.ours(&["-n", "2", "GET", "a"], "").out, "1\n");
    let shown = terminal.line("SHUTDOWN NOSAVE");
    assert!(shown.ends_with("not connected> "), "{shown}");
    let shown = terminal.line("PING");
    assert!(shown.contains("Could not connect to Redis at 127.0.0.1:PORT: Connection refused"), "{shown}");
}

#[test]
fn help() {
    let Some(sides) = Sides::start("help", &[]) else { return };
    let mut terminal = sides.terminal(&[], "dumb");
    let set = terminal.line("HELP SET");
    assert!(set.contains("  SET key value [NX|XX"), "{set}");
    for line in ["  summary: ", "  since: 1.0.0\n", "  group: string\n"] {
        assert!(set.contains(line), "{line} in {set}");
    }
    let strings = terminal.line("HELP @string");
    for command in ["APPEND key value", "GETEX key [EX seconds|", "LCS key1 key2 [LEN]", "STRLEN key"] {
        assert!(strings.contains(&format!("\n  {command}")), "{command} in {strings}");
    }
    assert!(
        terminal.line("HELP CONFIG SET").contains("  CONFIG SET parameter value [parameter value ...]\n")
    );
    for group in
        ["bitmap", "generic", "geo", "hash", "hyperloglog", "list", "pubsub", "server", "set", "stream"]
    {
        let shown = terminal.line(&format!("HELP @{group}"));
        assert!(shown.contains("summary: "), "{group}: {shown}");
    }
}

/// What a command takes appears behind the cursor.
#[test]
fn hints() {
    let Some(sides) = Sides::start("hints", &[]) else { return };
    let mut terminal = sides.terminal(&[], "xterm");
    terminal.wait_for(|text| text.contains("> "));
    for (typed, hint) in [
        ("SET ", "key value [NX|XX"),
        ("LMOVE a b ", "LEFT|RIGHT LEFT|RIGHT"),
        ("ZRANGE z 0 -1 ", "[BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]"),
        ("HGETEX h ", "FIELDS numfields field [field ...]"),
        ("CONFIG GET ", "parameter [parameter ...]"),
    ] {
        terminal.keys(typed);
        terminal.wait_for(|text| text.contains(hint));
        // Away with the line.
        terminal.keys("\x15");
        terminal.wait_for(|text| text.contains("> \r"));
    }
    terminal.keys("hgeta\t");
    terminal.wait_for(|text| text.to_ascii_uppercase().contains("HGETALL"));
}

#[test]
fn monitor() {
    let Some(sides) = Sides::start("monitor", &[]) else { return };
    let mut terminal = sides.terminal(&[], "dumb");
    terminal.keys("MONITOR\n");
    terminal.wait_for(|text| text.contains("OK\n"));
    sides.ours(&["-n", "3", "SET", "a", "x\"\n"], "");
    let shown = terminal.wait_for(|text| text.contains("\"a\""));
    assert!(shown.contains("[3 127.0.0.1:") && shown.contains("\"SET\" \"a\" \"x\\\"\\n\"\n"), "{shown}");
}
