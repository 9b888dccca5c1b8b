//! Tests of XDELEX, XACKDEL, and the references of groups in XADD and XTRIM.

use crate::commands::support::testing::TestServer;

/// Entries 1 to 5, of which group g has 1 to 4 and group h has 1 and 2; 1 is acknowledged by both.
fn with_groups() -> TestServer {
    let mut server = TestServer::new();
    for id in 1..=5 {
        server.run(&format!("XADD s {id} f {id}"));
    }
    server.run("XGROUP CREATE s g 0");
    server.run("XGROUP CREATE s h 0");
    server.run("XREADGROUP GROUP g c COUNT 4 STREAMS s >");
    server.run("XREADGROUP GROUP h c COUNT 2 STREAMS s >");
    server.run("XACK s g 1");
    server.run("XACK s h 1");
    server
}

#[test]
fn xdelex() {
    let mut server = with_groups();
    server.script(
        r#"
        XDELEX s ACKED IDS 4 1 2 3 9 => [:1 :2 :2 :2]
        XDELEX s acked IDS 1 0 => [:-1]
        XDELEX s IDS 1 2 => [:1]
        XPENDING s g => [:3 "2-0" "4-0" [["c" "3"]]]
        XDELEX s IDS 3 3 3 7 DELREF => [:1 :-1 :-1]
        XPENDING s g => [:2 "2-0" "4-0" [["c" "2"]]]
        XDELEX s DELREF IDS 1 2 => [:-1]
        XPENDING s g => [:1 "4-0" "4-0" [["c" "1"]]]
        XPENDING s h => [:0 nil nil nil-array]
        XINFO STREAM s => ["length" :2 "radix-tree-keys" :1 "radix-tree-nodes" :2 "last-generated-id" "5-0" "max-deleted-entry-id" "3-0" "entries-added" :5 "recorded-first-entry-id" "4-0" "idmp-duration" :100 "idmp-maxsize" :100 "pids-tracked" :0 "iids-tracked" :0 "iids-added" :0 "iids-duplicates" :0 "groups" :2 "first-entry" ["4-0" ["f" "4"]] "last-entry" ["5-0" ["f" "5"]]]
        XDELEX none IDS 2 1 x => [:-1 :-1]
        XDELEX s IDS 1 x => -ERR Invalid stream ID specified as stream command argument
        XDELEX s IDS 0 1 => -ERR Number of IDs must be a positive integer
        XDELEX s IDS x 1 => -ERR Number of IDs must be a positive integer
        XDELEX s IDS 2 1 => -ERR The `numids` parameter must match the number of arguments
        XDELEX s KEEPREF DELREF IDS 1 1 => -ERR syntax error
        XDELEX s IDS 1 1 1 => -ERR syntax error
        XDELEX s KEEPREF ACKED 1 => -ERR syntax error
        XDELEX s IDS 1 1 IDS => -ERR syntax error
        XDELEX s KEEPREF x y => -ERR syntax error
        SET str x => +OK
        XDELEX str IDS 2 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn xackdel() {
    let mut server = with_groups();
    server.script(
        r#"
        XACKDEL s g ACKED IDS 3 1 2 9 => [:-1 :2 :-1]
        XPENDING s g => [:2 "3-0" "4-0" [["c" "2"]]]
        XACKDEL s h ACKED IDS 1 2 => [:1]
        XLEN s => :4
        XACKDEL s g IDS 1 3 => [:1]
        XDEL s 4 => :1
        XACKDEL s g IDS 1 4 => [:1]
        XREADGROUP GROUP g c STREAMS s > => [["s" [["5-0" ["f" "5"]]]]]
        XREADGROUP GROUP h c STREAMS s > => [["s" [["5-0" ["f" "5"]]]]]
        "#,
    );
}

#[test]
fn trims() {
    let mut server = with_groups();
    server.script(
        r#"
        XTRIM s MAXLEN 0 ACKED => :1
        XTRIM s ACKED MINID 4 => :0
        XTRIM s MINID 3 DELREF => :1
        XPENDING s h => [:0 nil nil nil-array]
        XPENDING s g => [:2 "3-0" "4-0" [["c" "2"]]]
        XADD s KEEPREF MAXLEN = 2 6 f 6 => "6-0"
        XRANGE s - + => [["5-0" ["f" "5"]] ["6-0" ["f" "6"]]]
        XADD s MAXLEN ~ 1 ACKED 7 f 7 => "7-0"
        XLEN s => :3
        XGROUP SETID s g 7 => +OK
        XGROUP SETID s h 7 => +OK
        XADD s MAXLEN ~ 1 ACKED NOMKSTREAM 8 f 8 => "8-0"
        XRANGE s - + => [["8-0" ["f" "8"]]]
        XADD s KEEPREF DELREF 9 f 9 => -ERR Invalid stream ID specified as stream command argument
        XTRIM s MAXLEN 1 ACKED ACKED => -ERR syntax error
        XTRIM s ACKED DELREF => -ERR syntax error
        XTRIM s ACKED LIMIT 1 => -ERR syntax error, LIMIT cannot be used without specifying a trimming strategy
        "#,
    );
}
