//! Tests of list commands that do not block.

use crate::commands::support::testing::TestServer;

#[test]
fn pushes_and_pops() {
    let mut server = TestServer::new();
    server.script(
        r#"
        RPUSH l a b => :2
        LPUSH l 1 2 => :4
        LRANGE l 0 -1 => ["2" "1" "a" "b"]
        LPUSHX nokey a => :0
        RPUSHX nokey a => :0
        RPUSHX l c => :5
        LPUSHX l 3 => :6
        EXISTS nokey => :0
        LPOP l => "3"
        RPOP l => "c"
        LPOP l 2 => ["2" "1"]
        RPOP l 9 => ["b" "a"]
        EXISTS l => :0
        LPOP l => nil
        LPOP l 0 => nil-array
        LPOP l -1 => -ERR value is out of range, must be positive
        LPOP l x => -ERR value is out of range, must be positive
        LPOP l 1 2 => -ERR wrong number of arguments for 'lpop' command
        RPUSH l a => :1
        LPOP l 0 => []
        SET s 1
        LPUSH s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        LPUSHX s a => -WRONGTYPE Operation against a key holding the wrong kind of value
        LLEN s => -WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn reads_and_edits_by_index() {
    let mut server = TestServer::new();
    server.script(
        r#"
        RPUSH l a b c d => :4
        LINDEX l 0 => "a"
        LINDEX l -1 => "d"
        LINDEX l 4 => nil
        LINDEX nokey 0 => nil
        LINDEX l x => -ERR value is not an integer or out of range
        LSET l 1 B
        LSET l -1 D
        LSET l 4 x => -ERR index out of range
        LSET nokey 0 x => -ERR no such key
        LRANGE l 1 2 => ["B" "c"]
        LRANGE l -2 9 => ["c" "D"]
        LRANGE l 3 1 => []
        LRANGE nokey 0 -1 => []
        LINSERT l BEFORE c x => :5
        LINSERT l after D y => :6
        LINSERT l BEFORE nobody x => :-1
        LINSERT nokey BEFORE a x => :0
        LINSERT l BESIDE a x => -ERR syntax error
        LRANGE l 0 -1 => ["a" "B" "x" "c" "D" "y"]
        LTRIM l 1 -2
        LRANGE l 0 -1 => ["B" "x" "c" "D"]
        LTRIM l 5 9
        EXISTS l => :0
        "#,
    );
}

#[test]
fn lpos() {
    let mut server = TestServer::new();
    server.script(
        r#"
        RPUSH l a b c 1 2 3 c c => :8
        LPOS l c => :2
        LPOS l c RANK 2 => :6
        LPOS l c RANK -1 => :7
        LPOS l c RANK -2 COUNT 0 => [:6 :2]
        LPOS l c COUNT 2 => [:2 :6]
        LPOS l c COUNT 0 MAXLEN 7 => [:2 :6]
        LPOS l 3 => :5
        LPOS l x => nil
        LPOS l x COUNT 1 => []
        LPOS nokey x => nil
        LPOS nokey x COUNT 1 => []
        LPOS l c RANK 0 => -ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list
        LPOS l c RANK -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        LPOS l c COUNT -1 => -ERR COUNT can't be negative
        LPOS l c MAXLEN -1 => -ERR MAXLEN can't be negative
        LPOS l c COUNT => -ERR syntax error
        LREM l 1 c => :1
        LREM l -1 c => :1
        LRANGE l 0 -1 => ["a" "b" "1" "2" "3" "c"]
        LREM l 0 3 => :1
        LREM l 0 nobody => :0
        LREM nokey 0 a => :0
        "#,
    );
}

#[test]
fn events() {
    let mut server = TestServer::new();
    server.notify("KEA");
    for (request, events) in [
        ("RPUSH l a b c", "rpush l"),
        ("LPUSHX l x", "lpush l"),
        ("LSET l 0 y", "lset l"),
        ("LINSERT l BEFORE a z", "linsert l"),
        ("LINSERT l BEFORE nobody z", ""),
        ("LREM l 0 z", "lrem l"),
        ("LREM l 0 nobody", ""),
        ("LTRIM l 0 1", "ltrim l"),
        ("LPOP l", "lpop l"),
        ("RPOP l 9", "rpop l; del l"),
        ("RPOP l", ""),
    ] {
        server.run(request);
        assert_eq!(server.events(), events, "{request}");
    }
}

/// As Redis 8.6 answers: LSET makes room for the item before it looks at the index.
#[test]
fn encoding_after_a_failed_set() {
    let mut server = TestServer::new();
    let (half, huge) = ("h".repeat(4000), "h".repeat(9000));
    server.script(&format!(
        r#"
        RPUSH l a b => :2
        LSET l 9 {half} => -ERR index out of range
        OBJECT ENCODING l => "listpack"
        LSET l x {huge} => -ERR value is not an integer or out of range
        OBJECT ENCODING l => "listpack"
        LSET l 9 {huge} => -ERR index out of range
        OBJECT ENCODING l => "quicklist"
        LRANGE l 0 -1 => ["a" "b"]
        LSET l 0 c => +OK
        OBJECT ENCODING l => "listpack"
        "#
    ));
}

/// As Redis 8.6 answers: the items left by the removal were always in one node.
#[test]
fn encoding_after_pushes_of_all_sizes_to_the_front() {
    let mut server = TestServer::new();
    let [a, b, c, d, e] = [1886, 1791, 3143, 2000, 571].map(|len| "i".repeat(len));
    for removal in ["LPOP l 3", "LMPOP 1 l LEFT COUNT 3", "LTRIM l 3 -1"] {
        server.script(&format!("FLUSHALL\n LPUSH l {a} 1 {b} {c} {d} {e} => :6"));
        server.script("OBJECT ENCODING l => \"quicklist\"");
        server.run(removal);
        server
            .script(&format!("OBJECT ENCODING l => \"listpack\"\n LRANGE l 0 -1 => [\"{b}\" \"1\" \"{a}\"]"));
    }
}
