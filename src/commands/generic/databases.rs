//! Commands on whole databases: DBSIZE, FLUSHALL, FLUSHDB, SWAPDB.
//!
//! A flushed database's table is replaced at once and freed in slices afterwards, with SYNC as with ASYNC, so
//! that no client waits for it. Only SYNC in a transaction frees before it replies: the commands after it in
//! the transaction may need the memory.

use crate::base::ids::ClientId;
use crate::base::number;
use crate::commands::support::args;
use crate::engine::clients::session::state;
use crate::engine::{Call, ControlCall, Done, Engine, Outcome};
use crate::resp::{Args, CommandError};

/// Parses the number of one of `databases` databases.
pub(in crate::commands) fn database_index(databases: usize, text: &[u8]) -> Result<usize, CommandError> {
    const OUT_OF_INT: CommandError =
        CommandError::text("ERR value is out of range, value must between -2147483648 and 2147483647");
    let number = args::integer(text)?;
    let number = i32::try_from(number).map_err(|_| OUT_OF_INT)?;
    existing(databases, number).ok_or(CommandError::DB_INDEX)
}

fn existing(databases: usize, number: i32) -> Option<usize> {
    usize::try_from(number).ok().filter(|index| *index < databases)
}

pub(in crate::commands) fn dbsize(call: &mut Call<'_>) -> Outcome {
    call.reply.count(call.db.database().shown_len());
    Ok(Done::Replied)
}

pub(in crate::commands) fn flushall(call: &mut ControlCall<'_>) -> Outcome {
    let now = frees_now(call.engine, call.client, call.args)?;
    flush(call.engine, call.client, 0..call.engine.data.keyspace.count(), now);
    call.engine.save_flushed();
    call.engine.slot_migration_flushed("flushall");
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn flushdb(call: &mut ControlCall<'_>) -> Outcome {
    let now = frees_now(call.engine, call.client, call.args)?;
    let db = call.engine.clients.sessions.live(call.client).db as usize;
    flush(call.engine, call.client, db..db + 1, now);
    call.engine.slot_migration_flushed("flushdb");
    call.reply.ok();
    Ok(Done::Replied)
}

/// Whether the flushed values have to be freed before the reply: SYNC in a transaction.
fn frees_now(engine: &Engine, client: ClientId, args: Args<'_>) -> Result<bool, CommandError> {
    let sync = match args.get(1) {
        None => !engine.settings.lazy_user_flush,
        Some(word) if args.len() == 2 && word.eq_ignore_ascii_case(b"sync") => true,
        Some(word) if args.len() == 2 && word.eq_ignore_ascii_case(b"async") => false,
        Some(_) => return Err(CommandError::SYNTAX),
    };
    Ok(sync && engine.clients.sessions.live(client).is(state::IN_EXEC))
}

/// Empties databases. It is a change even if they were empty, and propagated: a replica may have keys there.
pub(in crate::commands) fn flush(
    engine: &mut Engine,
    client: ClientId,
    databases: std::ops::Range<usize>,
    now: bool,
) {
    let mut keys = 0;
    for db in databases {
        engine.touch_database(db as u32, None);
        engine.wake_database(db as u32, None);
        keys += engine.data.keyspace.flush(db, now);
    }
    engine.clients.invalidate_all(client);
    engine.data.keyspace.journal.dirty += keys.max(1) as u64;
}

pub(in crate::commands) fn swapdb(call: &mut ControlCall<'_>) -> Outcome {
    if call.engine.is_cluster() {
        return Err(CommandError::text("ERR SWAPDB is not allowed in cluster mode"));
    }
    let number = |index, error| {
        let number = number::parse_i64(call.args.at(index)).and_then(|number| i32::try_from(number).ok());
        number.ok_or(CommandError::text(error))
    };
    let first = number(1, "ERR invalid first DB index")?;
    let second = number(2, "ERR invalid second DB index")?;
    let databases = call.engine.settings.databases;
    let first = existing(databases, first).ok_or(CommandError::DB_INDEX)?;
    let second = existing(databases, second).ok_or(CommandError::DB_INDEX)?;
    if first != second {
        for (one, other) in [(first as u32, second as u32), (second as u32, first as u32)] {
            call.engine.touch_database(one, Some(other));
            call.engine.wake_database(one, Some(other));
        }
        call.engine.data.keyspace.swap(first, second);
        call.engine.clients.invalidate_all(call.client);
    }
    call.engine.metrics.stats.cluster_incompatible += 1;
    call.engine.data.keyspace.journal.dirty += 1;
    call.reply.ok();
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;
    use crate::sys::memory::thread_allocations;

    #[test]
    fn flushing() {
        let mut server = TestServer::new();
        server.propagate();
        server.script(
            r#"
            MSET a 1 b 2
            DBSIZE => :2
            FLUSHDB NOW => -ERR syntax error
            FLUSHALL SYNC SYNC => -ERR syntax error
            FLUSHDB sync
            DBSIZE => :0
            FLUSHALL ASYNC
            "#,
        );
        assert_eq!(server.propagated(), "MSET a 1 b 2; FLUSHDB sync; FLUSHALL ASYNC");
    }

    #[test]
    fn sync_in_a_transaction_frees_at_once() {
        let mut server = TestServer::new();
        for (flush, waiting) in [("FLUSHALL", 0), ("FLUSHDB SYNC", 0), ("FLUSHALL ASYNC", 2)] {
            server.script(&format!("MSET a 1 b 2\n MULTI\n {flush} => +QUEUED\n EXEC => [+OK]"));
            assert_eq!(server.engine.data.keyspace.lazy_free.pending(), waiting, "{flush}");
        }
    }

    /// A transaction may watch many keys: emptying an empty database doesn't look at them.
    #[test]
    fn flushing_costs_what_it_removes() {
        let mut server = TestServer::new();
        let other = server.connect();
        let keys: String = (0..10_000).map(|number| format!(" key:{number}")).collect();
        assert_eq!(server.run_as(other, &format!("WATCH{keys}")), "+OK");
        assert_eq!(server.run_as(other, "SELECT 3"), "+OK");
        assert_eq!(server.run_as(other, &format!("WATCH{keys}")), "+OK");
        for request in ["FLUSHALL", "SWAPDB 0 3", "FLUSHDB"] {
            let before = thread_allocations();
            assert_eq!(server.run(request), "+OK");
            let count = thread_allocations() - before;
            assert!(count < 1000, "{request}: {count} allocations");
        }
        assert_eq!(server.run_as(other, "MULTI"), "+OK");
        assert_eq!(server.run_as(other, "EXEC"), "[]", "nothing was there");
        assert_eq!(server.run_as(other, "WATCH key:1"), "+OK");
        server.script("SELECT 3\n SET key:1 v\n SWAPDB 0 3\n SWAPDB 0 3");
        assert_eq!(server.run_as(other, "MULTI"), "+OK");
        assert_eq!(server.run_as(other, "EXEC"), "nil-array");
    }

    #[test]
    fn swapping() {
        let mut server = TestServer::new();
        let other = server.connect();
        server.engine.clients.sessions.live_mut(other).db = 1;
        server.script("SET a 0\n SWAPDB 0 1");
        assert_eq!((server.run("GET a"), server.run_as(other, "GET a")), ("nil".into(), "\"0\"".into()));
        server.script(
            r#"
            SWAPDB 0 0
            SWAPDB x 1 => -ERR invalid first DB index
            SWAPDB 0 x => -ERR invalid second DB index
            SWAPDB 0 16 => -ERR DB index is out of range
            SWAPDB -1 0 => -ERR DB index is out of range
            "#,
        );
    }
}
