//! Tests of the stream commands on entries.

use crate::commands::support::testing::{START_MS, TestServer};

#[test]
fn adding_and_reading() {
    let mut server = TestServer::new();
    server.script(
        r#"
        XADD s 1-1 a 1 b x => "1-1"
        XADD s 1-* a 2 b y => "1-2"
        XADD s 2 c 3 => "2-0"
        XADD s 2-0 c 3 => -ERR The ID specified in XADD is equal or smaller than the target stream top item
        XADD s 0-0 c 3 => -ERR The ID specified in XADD must be greater than 0-0
        XADD s 3-0 c => -ERR wrong number of arguments for 'xadd' command
        XADD s 3-0 c d e => -ERR wrong number of arguments for 'xadd' command
        XADD s - c d => -ERR Invalid stream ID specified as stream command argument
        XADD none NOMKSTREAM * a b => nil
        XLEN none => :0
        XLEN s => :3
        XRANGE s - + => [["1-1" ["a" "1" "b" "x"]] ["1-2" ["a" "2" "b" "y"]] ["2-0" ["c" "3"]]]
        XRANGE s (1-1 2 COUNT 1 => [["1-2" ["a" "2" "b" "y"]]]
        XRANGE s 1 (1-2 => [["1-1" ["a" "1" "b" "x"]]]
        XREVRANGE s + - COUNT 1 => [["2-0" ["c" "3"]]]
        XRANGE s - + COUNT 0 => nil-array
        XRANGE s - + COUNT x => -ERR value is not an integer or out of range
        XRANGE none - + => []
        XRANGE s (- + => -ERR Invalid stream ID specified as stream command argument
        XRANGE s - (0-0 => -ERR invalid end ID for the interval
        XRANGE s (18446744073709551615-18446744073709551615 + => -ERR invalid start ID for the interval
        XRANGE s - + WHAT 1 => -ERR syntax error
        SET t x
        XADD t * a b => -WRONGTYPE Operation against a key holding the wrong kind of value
        XLEN t => -WRONGTYPE Operation against a key holding the wrong kind of value
        XADD end 18446744073709551615-18446744073709551615 a b => "18446744073709551615-18446744073709551615"
        XADD end * a b => -ERR The stream has exhausted the last possible ID, unable to add more items
        "#,
    );
    assert_eq!(server.run("XADD auto * a b"), format!("\"{START_MS}-0\""));
    assert_eq!(server.run("XADD auto * a b"), format!("\"{START_MS}-1\""));
}

#[test]
fn trimming() {
    let mut server = TestServer::new();
    for i in 1..=10 {
        server.run(&format!("XADD s {i}-0 f v"));
    }
    server.script(
        r#"
        XTRIM s MAXLEN 8 => :2
        XTRIM s MINID = 5 => :2
        XTRIM s MAXLEN ~ 2 => :0
        XTRIM s MAXLEN ~ 0 LIMIT 3 => :0
        XADD s MAXLEN = 3 NOMKSTREAM 11 f v => "11-0"
        XRANGE s - + => [["9-0" ["f" "v"]] ["10-0" ["f" "v"]] ["11-0" ["f" "v"]]]
        XADD s MAXLEN 0 12 f v => "12-0"
        XLEN s => :0
        EXISTS s => :1
        XTRIM s => -ERR wrong number of arguments for 'xtrim' command
        XTRIM s LIMIT 0 => -ERR syntax error, XTRIM must be called with a trimming strategy
        XTRIM s LIMIT 1 => -ERR syntax error, LIMIT cannot be used without specifying a trimming strategy
        XTRIM s MAXLEN -1 => -ERR The MAXLEN argument must be >= 0.
        XTRIM s MAXLEN 1 MINID 1 => -ERR syntax error, MAXLEN and MINID options at the same time are not compatible
        XTRIM s MAXLEN 1 LIMIT 5 => -ERR syntax error, LIMIT cannot be used without the special ~ option
        XTRIM s MAXLEN ~ 1 LIMIT -1 => -ERR The LIMIT argument must be >= 0.
        XTRIM s MAXLEN 1 x => -ERR syntax error
        XTRIM none MAXLEN 1 => :0
        "#,
    );
}

#[test]
fn deleting_and_setting_ids() {
    let mut server = TestServer::new();
    server.script(
        r#"
        XADD s 1 f v => "1-0"
        XADD s 2 f v => "2-0"
        XDEL s 1 x => -ERR Invalid stream ID specified as stream command argument
        XDEL s 1 1 7 => :1
        XDEL none x => :0
        XSETID s 1 => -ERR The ID specified in XSETID is smaller than the target stream top item
        XSETID s 0-1 => -ERR The ID specified in XSETID is smaller than current max_deleted_entry_id
        XSETID s 9 ENTRIESADDED 0 => -ERR The entries_added specified in XSETID is smaller than the target stream length
        XSETID s 9 ENTRIESADDED -1 => -ERR entries_added must be positive
        XSETID s 9 MAXDELETEDID 10 => -ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id
        XSETID s 9 ENTRIESADDED => -ERR syntax error
        XSETID none 9 => -ERR no such key
        XSETID s 9 ENTRIESADDED 7 MAXDELETEDID 8
        XADD s * f v => "1700000000000-0"
        XSETID s 1700000000000-5
        XADD s 1700000000000-* f v => "1700000000000-6"
        XINFO STREAM s => ["length" :3 "radix-tree-keys" :1 "radix-tree-nodes" :2 "last-generated-id" "1700000000000-6" "max-deleted-entry-id" "8-0" "entries-added" :9 "recorded-first-entry-id" "2-0" "idmp-duration" :100 "idmp-maxsize" :100 "pids-tracked" :0 "iids-tracked" :0 "iids-added" :0 "iids-duplicates" :0 "groups" :0 "first-entry" ["2-0" ["f" "v"]] "last-entry" ["1700000000000-6" ["f" "v"]]]
        XINFO STREAM none WHAT => -ERR no such key
        XINFO STREAM s WHAT => -ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.
        "#,
    );
}

#[test]
fn propagation_and_events() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.run("XADD s MAXLEN 1 1 f v");
    server.run("XADD s MAXLEN 1 * f v");
    assert_eq!(server.events(), "xadd s; xadd s; xtrim s");
    assert_eq!(server.propagated(), format!("XADD s MAXLEN 1 1 f v; XADD s MAXLEN 1 {START_MS}-0 f v"));
    server.run("XADD s MAXLEN ~ 5 LIMIT 7 * f v");
    assert_eq!(server.propagated(), format!("XADD s MAXLEN = 2 LIMIT 7 {START_MS}-1 f v"));
    server.run("XADD s MINID ~ 5 3000000000000 f v");
    assert_eq!(server.propagated(), format!("XADD s MINID = {START_MS}-0 3000000000000 f v"));
    server.run("XTRIM s MAXLEN ~ 0");
    assert_eq!(server.propagated(), "XTRIM s MAXLEN = 0");
    server.run("XTRIM s MAXLEN ~ 0");
    server.run("XADD s NOMKSTREAM 1 f v");
    assert_eq!(server.propagated(), "");
    server.events();
    server.run("XADD s 3000000000001 f v");
    server.run("XDEL s 3000000000001 1");
    server.run("XDEL s 3000000000001");
    assert_eq!(server.events(), "xadd s; xdel s");
    server.run("XSETID s 3000000000002");
    assert_eq!(server.events(), "xsetid s");
}
