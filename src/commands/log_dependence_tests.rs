//! Which replies tell of data, so that with `appendfsync always` they wait until the log holds it: the whole command table.

use crate::commands::testing::TestServer;
use crate::engine::clients::session::state;
use crate::engine::command::spec::Handler;
use crate::services::config::{Config, ProtectedAction};

/// Requests of commands that get the whole engine, and whether their replies tell of the data. Every such command is here.
const CONTROL: &[(&str, bool)] = &[
    ("EXEC", true),
    ("WATCH a", true),
    ("DEBUG DIGEST", true),
    ("DEBUG DIGEST-VALUE a", true),
    ("DEBUG HTSTATS 0", true),
    ("DEBUG HTSTATS-KEY set", true),
    ("DEBUG LISTPACK set", true),
    ("DEBUG OBJECT a", true),
    ("DEBUG SDSLEN a", true),
    ("DEBUG PROTOCOL string", false),
    ("INFO", true),
    ("INFO keyspace", true),
    ("INFO keysizes", true),
    ("INFO persistence stats memory", false),
    ("CONFIG|RESETSTAT", false),
    ("CONFIG|SET hz 10", false),
    ("HOTKEYS|START METRICS 1 CPU", false),
    ("HOTKEYS|STOP", false),
    ("HOTKEYS|GET", false),
    ("HOTKEYS|RESET", false),
    ("MEMORY|DOCTOR", false),
    ("MEMORY|STATS", true),
    ("MEMORY|TOP", true),
    ("REPLICAOF NO ONE", false),
    ("SLAVEOF NO ONE", false),
    ("SAVE", false),
    ("BGSAVE", false),
    ("BGREWRITEAOF", false),
    ("LASTSAVE", false),
    ("REPLCONF capa eof", false),
    ("PSYNC ? -1", false),
    ("SYNC", false),
    ("ROLE", false),
    ("WAIT 0 0", false),
    ("WAITAOF 0 0 0", false),
    ("FLUSHALL", false),
    ("FLUSHDB", false),
    ("SWAPDB 0 1", false),
    ("COPY a b", true),
    ("MOVE a 1", true),
    ("OBJECT|REFCOUNT a", true),
    ("MIGRATE h 1 a 0 0", true),
    ("FAILOVER ABORT", false),
    ("CLIENT|UNBLOCK 100", false),
    ("CLIENT|UNPAUSE", false),
    ("EVAL return(1) 0", false),
    ("EVAL return(redis.call([[get]],[[a]])) 0", true),
    ("EVALSHA a 0", false),
    ("EVAL_RO return(redis.call([[exists]],[[a]])) 0", true),
    ("EVALSHA_RO a 0", false),
    ("FCALL f 0", false),
    ("FCALL_RO f 0", false),
    ("SCRIPT|LOAD return(1)", false),
    ("SCRIPT|EXISTS a", false),
    ("SCRIPT|FLUSH", false),
    ("SCRIPT|KILL", false),
    ("SCRIPT|SHOW a", false),
    ("FUNCTION|LOAD a", false),
    ("FUNCTION|DELETE a", false),
    ("FUNCTION|FLUSH", false),
    ("FUNCTION|DUMP", false),
    ("FUNCTION|RESTORE a", false),
    ("FUNCTION|LIST", false),
    ("FUNCTION|STATS", false),
    ("FUNCTION|KILL", false),
    ("FUNCTION|HELP", false),
    ("ACL|DELUSER u", false),
    ("ACL|SETROLE r +get", false),
    ("ACL|SETUSER u", false),
    // This server is no node of a cluster.
    ("CLUSTER|ADDSLOTS 1", false),
    ("CLUSTER|ADDSLOTSRANGE 1 2", false),
    ("CLUSTER|BUMPEPOCH", false),
    ("CLUSTER|COUNT-FAILURE-REPORTS a", false),
    ("CLUSTER|COUNTKEYSINSLOT 1", false),
    ("CLUSTER|DELSLOTS 1", false),
    ("CLUSTER|DELSLOTSRANGE 1 2", false),
    ("CLUSTER|FAILOVER", false),
    ("CLUSTER|FLUSHSLOT 1", false),
    ("CLUSTER|FLUSHSLOTS", false),
    ("CLUSTER|FORGET a", false),
    ("CLUSTER|GETKEYSINSLOT 1 1", false),
    ("CLUSTER|HELP", false),
    ("CLUSTER|INFO", false),
    ("CLUSTER|KEYSLOT a", false),
    ("CLUSTER|LINKS", false),
    ("CLUSTER|MEET a 1", false),
    ("CLUSTER|MYID", false),
    ("CLUSTER|MYSHARDID", false),
    ("CLUSTER|NODES", false),
    ("CLUSTER|REPLICAS a", false),
    ("CLUSTER|REPLICATE a", false),
    ("CLUSTER|RESET", false),
    ("CLUSTER|SAVECONFIG", false),
    ("CLUSTER|SET-CONFIG-EPOCH 1", false),
    ("CLUSTER|SETSLOT 1 STABLE", false),
    ("CLUSTER|MIGRATESLOTS SLOTSRANGE 0 1 NODE a", false),
    ("CLUSTER|CANCELSLOTMIGRATIONS", false),
    ("CLUSTER|GETSLOTMIGRATIONS", false),
    ("CLUSTER|MIGRATION STATUS ALL", false),
    ("CLUSTER|SYNCSLOTS ACK", false),
    ("CLUSTER|SHARDS", false),
    ("CLUSTER|SLAVES a", false),
    ("CLUSTER|SLOT-STATS a b", false),
    ("CLUSTER|SLOTS", false),
    ("CLUSTERSCAN 0", false),
    ("TRIMSLOTS RANGES 1 0 1", false),
    ("EVAL \"return redis.call('GET', 'a')\" 0", true),
    ("EVAL \"return redis.call('PING')\" 0", false),
    ("EVAL_RO \"return redis.call('GET', 'a')\" 0", true),
    ("EVALSHA abc 0", false),
    ("EVALSHA_RO abc 0", false),
    ("SCRIPT|LOAD return", false),
    ("SCRIPT|EXISTS abc", false),
    ("SCRIPT|SHOW abc", false),
];

/// Whether a request changes the mark of what replies depend on. It is run without a log, so changes don't count.
fn tells_of_data(line: &str) -> bool {
    let config = Config { enable_debug_command: ProtectedAction::Yes, ..Config::default() };
    let mut server = TestServer::with(config);
    server.script("SET a 1\nSADD set x => :1");
    if line == "EXEC" {
        // Its failure tells of the change of the watched key.
        let other = server.connect();
        server.script("WATCH a\nMULTI");
        assert_eq!(server.run_as(other, "SET a 2"), "+OK");
    }
    let before = server.engine.data_mark();
    server.run(line);
    server.engine.data_mark() != before
}

#[test]
fn replies_that_tell_of_data_wait_for_the_log() {
    let server = TestServer::new();
    for command in server.engine.commands.iter() {
        let words = command.name.to_string().replace('|', " ");
        let missing = (command.spec.arity.unsigned_abs() as usize).saturating_sub(words.split(' ').count());
        let request = words + &" a".repeat(missing);
        match command.spec.handler {
            // The lookup may find nothing, and the arguments may be wrong: that tells of data all the same.
            Handler::Data(_) => assert!(tells_of_data(&request), "{request}"),
            Handler::Client(_) => assert!(!tells_of_data(&request), "{request}"),
            Handler::Control(_) => {
                let is_it = |line: &str| line.split(' ').next() == Some(&command.name.to_uppercase());
                assert!(
                    CONTROL.iter().any(|(line, _)| is_it(line)),
                    "{} has to be in the list",
                    command.name
                );
            }
            Handler::Container => {}
        }
    }
    for (line, tells) in CONTROL {
        assert_eq!(tells_of_data(&line.replace('|', " ")), *tells, "{line}");
    }
}

#[test]
fn a_transaction_tells_of_what_its_commands_tell() {
    let mut server = TestServer::new();
    server.script("SET a 1\nMULTI\nDBSIZE => +QUEUED");
    let before = server.engine.data_mark();
    assert!(server.engine.clients.sessions.live(server.client).is(state::IN_MULTI));
    assert_eq!(server.run("EXEC"), "[:1]");
    assert_ne!(server.engine.data_mark(), before);
}
