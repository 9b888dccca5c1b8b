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

/// The digests of Redis 8.0 and 8.6 for the same data.
#[test]
fn digests_are_those_of_redis() {
    let mut server = server();
    server.script(
        "DEBUG DIGEST => +0000000000000000000000000000000000000000
         SET a 1
         SET b hello
         SET neg -17
         EXPIRE b 100 => :1
         RPUSH l 1 2 three => :3
         SADD s 1 2 3 => :3
         SADD sm a b 3 => :3
         HSET h f v g 7 => :2
         HSET hx f v g 7 => :2
         HPEXPIREAT hx 4000000000000 FIELDS 1 f => [:1]
         ZADD z 1 a 0.1 b -inf c 1e300 d -0 e 1.5e-7 f => :6
         XADD x 1-2 a b c 5 => \"1-2\"
         XADD x 7-0 a b => \"7-0\"
         XADD empty 1-1 a b => \"1-1\"
         XDEL empty 1-1 => :1
         SELECT 3
         SET a 1
         DEBUG DIGEST => +b15b42651c3c37a50cdddc2b8279e3ee97fabb65
         DEBUG DIGEST-VALUE a => [+b4fc66738120fba0b5aa500ab5c2bf89cea1c5da]
         SELECT 0
         DEBUG DIGEST-VALUE b neg l => [+d037c4eb8a8b36b602fbced4000daeab0714c1e3 +8f3e8ebbd61b8d4e59908b6b937c87d8e991f067 +cb29a475468613f42cd0f37713b56643cea308bd]
         DEBUG DIGEST-VALUE s sm h => [+2a462a3f51a1db89738ebbeef0c47ce1bbc85246 +aa475a4a8f122ca5936aa41d911aacf8c93b827d +42e8aee1f7247f7f7997132f31f0ea5085e70d29]
         DEBUG DIGEST-VALUE hx z x => [+a69751ac18783f165c6317b0dd81a61f80e4849c +efb4566258101d816a495fde9dadfce21f89bddc +50b812b53418d9602768d2e9490e387970eeb83d]
         DEBUG DIGEST-VALUE empty none => [+06bd01623de1d087bbd377851096317b1af476a2 +0000000000000000000000000000000000000000]
         FLUSHDB
         DEBUG DIGEST => +bc8f01911f375369cc100f32d768813c62974af0
         FLUSHALL
         DEBUG SET-ACTIVE-EXPIRE 0
         SELECT 3
         SET k v PX 1",
    );
    // What is past its deadline counts as long as it is there.
    server.advance(50);
    server.script(
        "DEBUG DIGEST-VALUE k => [+311b17018163335616e089f6b951c82c477335ac]
         DEBUG DIGEST => +973173824f4225f3a96e8ece3a1220e7cff64432
         GET k => nil
         DEBUG DIGEST => +0000000000000000000000000000000000000000",
    );
}

#[test]
fn digests_tell_data_sets_apart_not_encodings() {
    let mut server = server();
    server
        .script("SET b hello\nRPUSH l 1 2 3 => :3\nRPUSH m 1 3 2 => :3\nRPUSH n 1 2 => :2\nRPUSH n 3 => :3");
    let values = server.run("DEBUG DIGEST-VALUE l m n");
    let values: Vec<&str> = values.trim_matches(['[', ']']).split(' ').collect();
    assert!(values[0] == values[2] && values[0] != values[1], "{values:?}");
    let before = server.run("DEBUG DIGEST");
    server.script("SET b world");
    assert_ne!(server.run("DEBUG DIGEST"), before);
    server.script("SET b hello");
    assert_eq!(server.run("DEBUG DIGEST"), before);
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
         DEBUG ALLOCSIZE-SLOTS-ASSERT 1 => +Nothing to check: the memory of a slot is counted when it is asked for
         DEBUG QUICKLIST-PACKED-THRESHOLD 200b
         DEBUG QUICKLIST-PACKED-THRESHOLD 5gb => -ERR argument must be a memory value bigger than 1 and smaller than 4gb
         DEBUG STRINGMATCH-LEN 100 a*a => :1
         DEBUG PAUSE-CRON 1
         DEBUG OBJECT nosuch => -ERR no such key
         DEBUG NOSUCH => -ERR unknown subcommand or wrong number of arguments for 'NOSUCH'. Try DEBUG HELP.
         DEBUG SLEEP => -ERR unknown subcommand or wrong number of arguments for 'SLEEP'. Try DEBUG HELP.
         DEBUG HTSTATS 99 => -ERR Out of range database",
    );
    let help = server.run("debug HELP");
    assert!(help.contains("DEBUG <subcommand> "), "{help}");
    assert_eq!(server.engine.settings.limits.list_packed_threshold, 200);
    assert!(!server.engine.data.keyspace.active_expire);
    let object = server.run("DEBUG OBJECT k:1");
    assert!(object.contains("encoding:embstr") && object.contains("lru_seconds_idle:"), "{object}");
    assert!(server.run("DEBUG HTSTATS 0").contains("number of elements: 5"));
    // A key past its deadline is shown until something meets it.
    server.script("SET k:0 v PX 1");
    server.advance(2);
    assert!(server.run("DEBUG OBJECT k:0").contains("encoding:embstr"));
    server.script("EXISTS k:0 => :0\nDEBUG OBJECT k:0 => -ERR no such key");
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
