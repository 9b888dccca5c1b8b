//! OBJECT: the encoding, reference count, idle time and access frequency of a value.

use crate::engine::{Call, Done, Outcome};
use crate::keyspace::StoredValue;
use crate::keyspace::{frequency, idle_seconds};
use crate::resp::CommandError;
use crate::structures::table::EntryRef;

/// Calls `answer` with the entry of the key, without marking it as used; null for a missing key.
fn with_entry(
    call: &mut Call<'_>,
    answer: impl FnOnce(&mut Call<'_>, EntryRef) -> Result<(), CommandError>,
) -> Outcome {
    match call.db.lookup_silent(call.args.at(2)) {
        None => call.reply.null(),
        Some(at) => answer(call, at)?,
    }
    Ok(Done::Replied)
}

pub(in crate::commands) fn object_encoding(call: &mut Call<'_>) -> Outcome {
    with_entry(call, |call, at| {
        let name = match call.db.stored_value(at) {
            StoredValue::Int(_) => "int",
            StoredValue::Bytes(_) if call.db.is_raw(at) => "raw",
            StoredValue::Bytes(_) => "embstr",
            StoredValue::Object(value) => value.encoding(),
        };
        call.reply.bulk(name.as_bytes());
        Ok(())
    })
}

pub(in crate::commands) fn object_freq(call: &mut Call<'_>) -> Outcome {
    with_entry(call, |call, at| {
        if !call.db.env.clock.is_lfu() {
            return Err(CommandError::text(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        let counter = frequency(call.db.access(at), &call.db.env.clock);
        call.reply.integer(i64::from(counter));
        Ok(())
    })
}

pub(in crate::commands) fn object_idletime(call: &mut Call<'_>) -> Outcome {
    with_entry(call, |call, at| {
        if call.db.env.clock.is_lfu() {
            return Err(CommandError::text(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        let seconds = idle_seconds(call.db.access(at), &call.db.env.clock);
        call.reply.integer(seconds as i64);
        Ok(())
    })
}

/// Every key has its own value.
pub(in crate::commands) const REFERENCES: i64 = 1;

pub(in crate::commands) fn object_refcount(call: &mut Call<'_>) -> Outcome {
    with_entry(call, |call, _| {
        call.reply.integer(REFERENCES);
        Ok(())
    })
}

pub(in crate::commands) fn object_help(call: &mut Call<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "ENCODING <key>",
            "    Name the representation of the value at <key>.",
            "FREQ <key>",
            "    Tell how often <key> is used, on a logarithmic scale (LFU policies only).",
            "IDLETIME <key>",
            "    Tell for how many seconds <key> has not been used.",
            "REFCOUNT <key>",
            "    Tell how many references there are to the value at <key>.",
        ],
    );
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;
    use crate::services::config::{Config, MaxmemoryPolicy};

    #[test]
    fn encodings() {
        let mut server = TestServer::new();
        let (short, long) = ("x".repeat(40), "x".repeat(41));
        server.script(&format!(
            r#"
            SET a 1
            OBJECT ENCODING a => "int"
            SET a 9223372036854775808
            OBJECT ENCODING a => "embstr"
            SET a {short}
            OBJECT ENCODING a => "embstr"
            SET a {long}
            OBJECT ENCODING a => "raw"
            RENAME a b
            SET bb {short}
            OBJECT ENCODING bb => "raw"
            RENAME bb b
            OBJECT ENCODING b => "raw"
            SET b {short}
            OBJECT ENCODING b => "embstr"
            COPY b bb => :1
            OBJECT ENCODING bb => "raw"
            SET a 1
            APPEND a 2 => :2
            OBJECT ENCODING a => "raw"
            INCR a => :13
            OBJECT ENCODING a => "int"
            SETRANGE a 0 2 => :2
            OBJECT ENCODING a => "raw"
            RENAME a b
            OBJECT ENCODING a => nil
            OBJECT ENCODING b => "raw"
            COPY b c => :1
            OBJECT ENCODING c => "raw"
            INCRBYFLOAT c 1 => "24"
            OBJECT ENCODING c => "embstr"
            OBJECT REFCOUNT b => :1
            SET small 9999
            OBJECT REFCOUNT small => :1
            INCR small => :10000
            OBJECT REFCOUNT small => :1
            OBJECT REFCOUNT none => nil
            OBJECT FOO b => -ERR unknown subcommand 'FOO'. Try OBJECT HELP.
            OBJECT ENCODING => -ERR wrong number of arguments for 'object|encoding' command
            "#
        ));
    }

    #[test]
    fn use_of_keys() {
        let mut server = TestServer::new();
        server.script("SET a 1");
        server.advance(10_000);
        server.script("OBJECT IDLETIME a => :10\n TYPE a => +string\n TTL a => :-1\n EXISTS a => :1");
        server.script("OBJECT IDLETIME a => :10\n TOUCH a none => :1\n OBJECT IDLETIME a => :0");
        assert!(server.run("OBJECT FREQ a").starts_with("-ERR An LFU maxmemory policy is not selected"));
        let config =
            Config { maxmemory_policy: MaxmemoryPolicy::AllkeysLfu, lfu_log_factor: 0, ..Config::default() };
        let mut server = TestServer::with(config);
        server.script("SET a 1\n GET a => \"1\"\n SET a 2\n INCR a => :3\n OBJECT FREQ a => :8");
        assert!(server.run("OBJECT IDLETIME a").starts_with("-ERR An LFU maxmemory policy is selected"));
    }

    #[test]
    fn under_an_lrm_policy_idle_keys_are_those_not_changed() {
        let config = Config { maxmemory_policy: MaxmemoryPolicy::AllkeysLrm, ..Config::default() };
        let mut server = TestServer::with(config);
        let setup = [
            "SET s 1",
            "RPUSH l a b",
            "HSET h f v",
            "ZADD z 1 a",
            "XADD x 1-1 f v",
            "PFADD p a",
            "PFCOUNT p",
            "SETBIT b 1 1",
        ];
        let reads =
            ["GET s", "LRANGE l 0 -1", "HGETALL h", "ZRANGE z 0 -1", "XRANGE x - +", "PFCOUNT p", "TOUCH b"];
        let futile = [
            "SET s 2 NX",
            "LSET l 9 x",
            "HSETNX h f w",
            "ZADD z 1 a",
            "XDEL x 9-9",
            "PFADD p a",
            "PERSIST b",
        ];
        let writes = [
            "INCR s",
            "LPOP l",
            "HINCRBY h n 1",
            "ZINCRBY z 1 a",
            "XGROUP CREATE x g 0",
            "PFADD p b",
            "SETBIT b 2 1",
        ];
        let later = [
            "APPEND s 1",
            "LSET l 0 x",
            "HEXPIRE h 9 FIELDS 1 f",
            "EXPIRE z 9",
            "XREADGROUP GROUP g c STREAMS x >",
            "PFCOUNT p",
            "RENAME b b",
        ];
        setup.iter().for_each(|request| drop(server.run(request)));
        let idle = |server: &mut TestServer, seconds: u64| {
            for key in ["s", "l", "h", "z", "x", "p"] {
                assert_eq!(server.run(&format!("OBJECT IDLETIME {key}")), format!(":{seconds}"), "{key}");
            }
        };
        server.advance(10_000);
        reads.iter().chain(&futile).for_each(|request| drop(server.run(request)));
        idle(&mut server, 10);
        writes.iter().for_each(|request| drop(server.run(request)));
        idle(&mut server, 0);
        server.script("OBJECT IDLETIME b => :0");
        server.advance(10_000);
        later.iter().for_each(|request| drop(server.run(request)));
        idle(&mut server, 0);
        // Renamed to itself, nothing changed. A value that was restored is as old as it says.
        server.script("OBJECT IDLETIME b => :10\n CLIENT NO-TOUCH on\n SET s 1\n OBJECT IDLETIME s => :0");
        let dump = server.run("DUMP s");
        server.script(&format!("RESTORE s 0 {dump} REPLACE IDLETIME 500\n OBJECT IDLETIME s => :500"));
        server.script("MULTI\n SET s 1 => +QUEUED\n OBJECT IDLETIME s => +QUEUED\n EXEC => [+OK :0]");
        assert!(server.run("OBJECT FREQ s").starts_with("-ERR An LFU maxmemory policy is not selected"));
    }
}
