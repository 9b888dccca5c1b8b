//! Tests of DEBUG.

use crate::commands::support::testing::TestServer;
use crate::services::config::{Config, ProtectedAction};

fn server() -> TestServer {
    TestServer::with(Config { enable_debug_command: ProtectedAction::Yes, ..Config::default() })
}

#[test]
fn needs_leave() {
    let mut server = TestServer::new();
    assert!(server.run("DEBUG SLEEP 0").starts_with("-ERR DEBUG command not allowed."));
}

#[test]
fn digests_tell_data_sets_apart_not_encodings() {
    let mut server = server();
    server.script("DEBUG DIGEST => +0000000000000000000000000000000000000000");
    server.script("SET a 1\nSET b hello");
    let before = server.run("DEBUG DIGEST");
    assert_eq!(before.len(), 41);
    server.script("SET b world");
    assert_ne!(server.run("DEBUG DIGEST"), before);
    server.script("SET b hello");
    assert_eq!(server.run("DEBUG DIGEST"), before);
    server.script("EXPIRE b 100 => :1");
    assert_ne!(server.run("DEBUG DIGEST"), before);
    server.script("RPUSH l 1 2 3 => :3\nRPUSH m 1 3 2 => :3\nRPUSH n 1 2 => :2\nRPUSH n 3 => :3");
    let values = server.run("DEBUG DIGEST-VALUE l m n none");
    let values: Vec<&str> = values.trim_matches(['[', ']']).split(' ').collect();
    assert!(values[0] == values[2] && values[0] != values[1], "{values:?}");
    assert_eq!(values[3], "+0000000000000000000000000000000000000000");
}

#[test]
fn tools() {
    let mut server = server();
    server.script(
        "DEBUG POPULATE 3 k 10
         GET k:2 => \"value:2\\x00\\x00\\x00\"
         DEBUG POPULATE 2
         DBSIZE => :5
         DEBUG POPULATE -1 => -ERR value is out of range, must be positive
         DEBUG ERROR \"ABC no way\" => -ABC no way
         DEBUG SET-ACTIVE-EXPIRE 0
         DEBUG SLEEP 0.5
         DEBUG QUICKLIST-PACKED-THRESHOLD 200b
         DEBUG QUICKLIST-PACKED-THRESHOLD 5gb => -ERR argument must be a memory value bigger than 1 and smaller than 4gb
         DEBUG STRINGMATCH-LEN 100 a*a => :1
         DEBUG PAUSE-CRON 1
         DEBUG OBJECT nosuch => -ERR no such key
         DEBUG NOSUCH => -ERR unknown subcommand or wrong number of arguments for 'NOSUCH'. Try DEBUG HELP.
         DEBUG SLEEP => -ERR unknown subcommand or wrong number of arguments for 'SLEEP'. Try DEBUG HELP.
         DEBUG HTSTATS 99 => -ERR Out of range database",
    );
    assert_eq!(server.engine.settings.limits.list_packed_threshold, 200);
    assert!(!server.engine.data.keyspace.active_expire);
    let object = server.run("DEBUG OBJECT k:1");
    assert!(object.contains("encoding:embstr") && object.contains("lru_seconds_idle:"), "{object}");
    assert!(server.run("DEBUG HTSTATS 0").contains("number of elements: 5"));
}

#[test]
fn protocol_types() {
    let mut server = server();
    server.script(
        "DEBUG PROTOCOL map => [:0 :0 :1 :1 :2 :0]
         DEBUG PROTOCOL double => \"3.141\"
         DEBUG PROTOCOL push => -ERR RESP2 is not supported by this command
         DEBUG PROTOCOL attrib => \"Some real reply following the attribute\"",
    );
    server.resp3();
    server.script("DEBUG PROTOCOL map => {:0:#f :1:#t :2:#f}\nDEBUG PROTOCOL true => #t\nDEBUG PROTOCOL double => ,3.141");
}
