//! SLOWLOG and COMMANDLOG: calls that were slow, had a big request or a big reply.

use crate::base::number;
use crate::engine::metrics::slowlog::{LogKind, SlowLogs};
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::{CommandError, Reply};

/// Entries SLOWLOG GET shows by default.
const DEFAULT_COUNT: usize = 10;

/// Parses the number of entries; -1 is all.
fn parse_count(word: &[u8]) -> Result<usize, CommandError> {
    match number::parse_i64(word) {
        Some(-1) => Ok(usize::MAX),
        Some(count) if count >= 0 => Ok(count as usize),
        _ => Err(CommandError::text("ERR count should be greater than or equal to -1")),
    }
}

fn parse_kind(word: &[u8]) -> Result<LogKind, CommandError> {
    match word.to_ascii_lowercase().as_slice() {
        b"slow" => Ok(LogKind::Slow),
        b"large-request" => Ok(LogKind::LargeRequest),
        b"large-reply" => Ok(LogKind::LargeReply),
        _ => Err(CommandError::text(
            "ERR type should be one of the following: slow, large-request, large-reply",
        )),
    }
}

fn write_entries(logs: &SlowLogs, kind: LogKind, count: usize, reply: &mut Reply) {
    let entries = &logs.log(kind).entries;
    let count = count.min(entries.len());
    reply.array(count);
    for entry in entries.iter().take(count) {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.time as i64);
        reply.integer(entry.value as i64);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.peer.as_bytes());
        reply.bulk(&entry.client_name);
    }
}

pub(in crate::commands) fn slowlog_get(call: &mut ClientCall<'_>) -> Outcome {
    if call.args.len() > 3 {
        return Err(CommandError::wrong_subcommand(call.args.at(0), call.args.at(1)));
    }
    let count = call.args.get(2).map_or(Ok(DEFAULT_COUNT), parse_count)?;
    write_entries(&call.metrics.slowlog, LogKind::Slow, count, call.reply);
    Ok(Done::Replied)
}

pub(in crate::commands) fn slowlog_len(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.count(call.metrics.slowlog.log(LogKind::Slow).entries.len());
    Ok(Done::Replied)
}

pub(in crate::commands) fn slowlog_reset(call: &mut ClientCall<'_>) -> Outcome {
    call.metrics.slowlog.reset(LogKind::Slow);
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn slowlog_help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "GET [<count>]",
            "    Show the latest entries, ten by default; -1 shows all.",
            "    An entry is its id, its Unix time, microseconds, the command, and the",
            "    client's address and name.",
            "LEN",
            "    Count the entries.",
            "RESET",
            "    Forget the entries.",
        ],
    );
    Ok(Done::Replied)
}

pub(in crate::commands) fn commandlog_get(call: &mut ClientCall<'_>) -> Outcome {
    let count = parse_count(call.args.at(2))?;
    write_entries(&call.metrics.slowlog, parse_kind(call.args.at(3))?, count, call.reply);
    Ok(Done::Replied)
}

pub(in crate::commands) fn commandlog_len(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.count(call.metrics.slowlog.log(parse_kind(call.args.at(2))?).entries.len());
    Ok(Done::Replied)
}

pub(in crate::commands) fn commandlog_reset(call: &mut ClientCall<'_>) -> Outcome {
    call.metrics.slowlog.reset(parse_kind(call.args.at(2))?);
    call.reply.ok();
    Ok(Done::Replied)
}

pub(in crate::commands) fn commandlog_help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "GET <count> <type>",
            "    Show the latest entries of a log; a count of -1 shows all.",
            "    The types are slow, large-request and large-reply. An entry is its id, its",
            "    Unix time, microseconds (slow) or bytes (large-*), the command, and the",
            "    client's address and name.",
            "LEN <type>",
            "    Count the entries of a log.",
            "RESET <type>",
            "    Forget the entries of a log.",
        ],
    );
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;

    #[test]
    fn slow_calls_are_logged_newest_first() {
        let mut server = TestServer::new();
        server.script(
            "CONFIG SET enable-debug-command yes => -ERR CONFIG SET failed (possibly related to argument \
             'enable-debug-command') - can't set immutable config
             CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 2
             SLOWLOG RESET
             SET k v
             SLOWLOG LEN => :2",
        );
        assert!(server.run("SLOWLOG GET 1").contains("[\"SLOWLOG\" \"LEN\"]"));
        assert_eq!(server.run("SLOWLOG GET -2"), "-ERR count should be greater than or equal to -1");
        assert_eq!(server.run("SLOWLOG GET 0"), "[]");
    }

    #[test]
    fn big_requests_and_replies_are_logged() {
        let mut server = TestServer::new();
        server.script("CONFIG SET commandlog-request-larger-than 100 commandlog-reply-larger-than 100");
        let value = "x".repeat(100);
        server.run(&format!("SET k {value}"));
        server.run("GET k");
        server.script(
            "COMMANDLOG LEN large-request => :1
             COMMANDLOG LEN LARGE-REPLY => :1
             COMMANDLOG LEN slow => :0
             COMMANDLOG RESET large-reply
             COMMANDLOG LEN large-reply => :0
             COMMANDLOG LEN other => -ERR type should be one of the following: slow, large-request, large-reply",
        );
        assert!(server.run("COMMANDLOG GET -1 large-request").contains("[\"SET\" \"k\""));
    }
}
