//! DEBUG: inspects values and tables and provokes faults, for tests and developers. Subcommands about a structure or a process
//! that this server does not have are left out.

mod cluster;
mod digest;
mod inspect;
#[cfg(test)]
mod tests;

use crate::base::ids::ClientId;
use crate::base::number;
use crate::commands::support::args;
use crate::engine::clients::session::state;
use crate::engine::{ControlCall, Done, Engine, Outcome, ServerAction};
use crate::keyspace::{Ttl, event};
use crate::resp::{Args, CommandError, Reply};

const OUT_OF_RANGE: CommandError = CommandError::text("ERR value is out of range, must be positive");

/// The context of a subcommand.
struct Debug<'a> {
    engine: &'a mut Engine,
    client: ClientId,
    /// The command's name as the client wrote it.
    name: &'a [u8],
    /// The arguments of the subcommand.
    args: Args<'a>,
    reply: &'a mut Reply,
}

type Subcommand = fn(&mut Debug<'_>) -> Outcome;

/// Name, least and greatest number of arguments after it, and handler.
const SUBCOMMANDS: &[(&str, usize, usize, Subcommand)] = &[
    ("AOF-FLUSH-SLEEP", 1, 1, aof_flush_sleep),
    ("ASM-FAILPOINT", 2, 2, cluster::cut_migrations),
    ("ASM-TRIM-METHOD", 1, 2, cluster::removal_pace),
    ("ALLOCSIZE-SLOTS-ASSERT", 1, 1, allocsize_slots_assert),
    ("CHANGE-REPL-ID", 0, 0, change_repl_id),
    ("CLIENT-ENFORCE-REPLY-LIST", 1, 1, client_enforce_reply_list),
    ("CLOSE-CLUSTER-LINK-ON-PACKET-DROP", 1, 1, cluster::close_links_of_dropped),
    ("CLUSTERLINK", 3, 3, cluster::kill_link),
    ("CONFIG-REWRITE-FORCE-ALL", 0, 0, config_rewrite_force_all),
    ("CRASH-AND-RECOVER", 0, 1, crash),
    ("DICT-RESIZING", 1, 1, dict_resizing),
    ("DIGEST", 0, 0, digest::digest),
    ("DIGEST-VALUE", 0, usize::MAX, digest::digest_value),
    ("DISABLE-CLUSTER-RANDOM-PING", 1, 1, cluster::disable_random_ping),
    ("DISABLE-CLUSTER-RECONNECTION", 1, 1, cluster::disable_reconnection),
    ("DROP-CLUSTER-PACKET-FILTER", 1, 1, cluster::drop_packets),
    ("ERROR", 1, 1, error),
    ("HELP", 0, 0, help),
    ("HTSTATS", 1, 2, inspect::htstats),
    ("HTSTATS-KEY", 1, 2, inspect::htstats_key),
    ("INTERNAL_SECRET", 0, 0, cluster::internal_secret),
    ("KEYSIZES-HIST-ASSERT", 1, 1, keysizes_hist_assert),
    ("LISTPACK", 1, 1, inspect::listpack),
    ("LOADAOF", 0, 0, loadaof),
    ("LOG", 1, 1, log),
    ("OBJECT", 1, 2, inspect::object),
    ("PANIC", 0, 0, crash),
    ("PAUSE-CRON", 1, 1, pause_cron),
    ("POPULATE", 1, 3, populate),
    ("PROTOCOL", 1, 1, protocol),
    ("QUICKLIST-PACKED-THRESHOLD", 1, 1, quicklist_packed_threshold),
    ("RELOAD", 0, usize::MAX, reload),
    ("REPL-PAUSE", 1, 1, cluster::pause_replication),
    ("REPLICATE", 1, usize::MAX, replicate),
    ("REPLY-COPY-AVOIDANCE", 1, 1, reply_copy_avoidance),
    ("REPLYBUFFER", 2, 2, replybuffer),
    ("RESTART", 0, 1, restart),
    ("SDSLEN", 1, 1, inspect::sdslen),
    ("SEGFAULT", 0, 0, crash),
    ("SET-ACTIVE-EXPIRE", 1, 1, set_active_expire),
    ("SET-ALLOW-ACCESS-EXPIRED", 1, 1, set_allow_access_expired),
    ("SET-DISABLE-DENY-SCRIPTS", 1, 1, set_disable_deny_scripts),
    ("SET-SKIP-CHECKSUM-VALIDATION", 1, 1, set_skip_checksum_validation),
    ("SLEEP", 1, 1, sleep),
    ("SLOTMIGRATION", 2, 2, cluster::slot_migration),
    ("STRINGMATCH-LEN", 2, 2, stringmatch_len),
];

pub(in crate::commands) fn debug(call: &mut ControlCall<'_>) -> Outcome {
    let word = call.args.at(1);
    let count = call.args.len() - 2;
    let handler = SUBCOMMANDS.iter().find(|(name, least, most, _)| {
        name.as_bytes().eq_ignore_ascii_case(word) && (*least..=*most).contains(&count)
    });
    let Some((.., handler)) = handler else {
        return Err(CommandError::wrong_subcommand(call.args.at(0), word));
    };
    handler(&mut Debug {
        engine: call.engine,
        client: call.client,
        name: call.args.at(0),
        args: call.args.tail(2),
        reply: call.reply,
    })
}

impl Debug<'_> {
    fn ok(&mut self) -> Outcome {
        self.reply.ok();
        Ok(Done::Replied)
    }

    /// The argument as C's `atoi` parses it: leading digits, else 0.
    fn flag(&self, index: usize) -> bool {
        !matches!(self.args.at(index), b"" | b"0")
    }

    fn count(&self, index: usize) -> Result<usize, CommandError> {
        let n = args::integer(self.args.at(index))?;
        usize::try_from(n).map_err(|_| OUT_OF_RANGE)
    }
}

/// Replies are always lists of chunks, so that both settings hold.
fn client_enforce_reply_list(debug: &mut Debug<'_>) -> Outcome {
    debug.ok()
}

/// Tables are never resized as a whole, so there is nothing to switch; the reply is a text that says so, not an error.
fn dict_resizing(debug: &mut Debug<'_>) -> Outcome {
    debug.reply.simple("Nothing to switch: tables grow and shrink by segments, never as a whole");
    Ok(Done::Replied)
}

/// No size of a slot is kept that a command could get wrong.
fn allocsize_slots_assert(debug: &mut Debug<'_>) -> Outcome {
    debug.reply.simple("Nothing to check: the memory of a slot is counted when it is asked for");
    Ok(Done::Replied)
}

/// No histogram is kept that a command could get wrong, so there is nothing to check; the reply is a text that says so.
fn keysizes_hist_assert(debug: &mut Debug<'_>) -> Outcome {
    debug.reply.simple("Nothing to check: key sizes are counted when INFO asks for them");
    Ok(Done::Replied)
}

fn replybuffer(debug: &mut Debug<'_>) -> Outcome {
    if !debug.args.at(0).eq_ignore_ascii_case(b"resizing") {
        return Err(CommandError::SYNTAX);
    }
    debug.reply.simple("Nothing to switch: clients have no reply buffer that is resized");
    Ok(Done::Replied)
}

/// Values are always copied into replies, so there is nothing to switch; the reply is a text that says so, not an error.
fn reply_copy_avoidance(debug: &mut Debug<'_>) -> Outcome {
    debug.reply.simple("Nothing to switch: values are copied into replies");
    Ok(Done::Replied)
}

fn reload(debug: &mut Debug<'_>) -> Outcome {
    let (mut save, mut flush, mut merge) = (true, true, false);
    for word in debug.args.iter() {
        match () {
            () if word.eq_ignore_ascii_case(b"MERGE") => merge = true,
            () if word.eq_ignore_ascii_case(b"NOFLUSH") => flush = false,
            () if word.eq_ignore_ascii_case(b"NOSAVE") => save = false,
            () => {
                return Err(CommandError::text(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    refuse_in_exec(debug)?;
    let client = debug.client;
    debug.engine.actions.push_back(ServerAction::Reload { client, save, flush, merge });
    Ok(Done::Deferred)
}

/// What the server does after the turn has no reply that EXEC could give.
fn refuse_in_exec(debug: &Debug<'_>) -> Result<(), CommandError> {
    if debug.engine.clients.sessions.live(debug.client).is(state::IN_EXEC) {
        return Err(CommandError::text("ERR Command not allowed inside a transaction"));
    }
    Ok(())
}

fn loadaof(debug: &mut Debug<'_>) -> Outcome {
    refuse_in_exec(debug)?;
    debug.engine.actions.push_back(ServerAction::ReloadLog { client: debug.client });
    Ok(Done::Deferred)
}

fn change_repl_id(debug: &mut Debug<'_>) -> Outcome {
    let replid = debug.engine.data.rng.hex(40);
    debug.engine.replication.identity.change(replid);
    debug.ok()
}

/// A request for replicas that this server doesn't execute: the data differs afterwards.
fn replicate(debug: &mut Debug<'_>) -> Outcome {
    debug.engine.replicate_only(debug.args);
    debug.ok()
}

fn config_rewrite_force_all(debug: &mut Debug<'_>) -> Outcome {
    let mut call = debug.engine.client_call(debug.client, debug.args, debug.reply);
    crate::commands::server::config::ask_for_rewrite(&mut call, true)
}

fn crash(debug: &mut Debug<'_>) -> Outcome {
    debug.engine.actions.push_back(ServerAction::Crash);
    Ok(Done::Deferred)
}

/// There is no delay: what it is in Redis, a time to wait before the new process starts, is for those that look for the old one.
fn restart(debug: &mut Debug<'_>) -> Outcome {
    if debug.args.len() == 1 && debug.count(0)? != 0 {
        return Err(CommandError::text("ERR DEBUG RESTART has no delay"));
    }
    let client = debug.client;
    debug.engine.actions.push_back(ServerAction::Restart { client });
    Ok(Done::Deferred)
}

fn error(debug: &mut Debug<'_>) -> Outcome {
    Err(CommandError::new(debug.args.at(0)))
}

fn log(debug: &mut Debug<'_>) -> Outcome {
    log::warn!("DEBUG LOG: {}", String::from_utf8_lossy(debug.args.at(0)));
    debug.ok()
}

fn pause_cron(debug: &mut Debug<'_>) -> Outcome {
    let paused = debug.flag(0);
    debug.engine.pause_cron(paused);
    debug.ok()
}

fn set_active_expire(debug: &mut Debug<'_>) -> Outcome {
    debug.engine.data.keyspace.active_expire = debug.flag(0);
    debug.ok()
}

fn set_allow_access_expired(debug: &mut Debug<'_>) -> Outcome {
    debug.engine.data.keyspace.shows_expired = debug.flag(0);
    debug.ok()
}

fn set_disable_deny_scripts(debug: &mut Debug<'_>) -> Outcome {
    debug.engine.scripting.may_call_all = debug.flag(0);
    debug.ok()
}

fn set_skip_checksum_validation(debug: &mut Debug<'_>) -> Outcome {
    debug.engine.settings.dump_options.skip_checksum = debug.flag(0);
    debug.ok()
}

fn sleep(debug: &mut Debug<'_>) -> Outcome {
    const LONGEST: f64 = 86_400.0;
    let seconds = number::parse_f64(debug.args.at(0)).unwrap_or(0.0).clamp(0.0, LONGEST);
    debug.engine.clock.sleep((seconds * 1e6) as u64);
    debug.ok()
}

/// A slow disk: each write to the log is late by so many microseconds, while the loop waits.
fn aof_flush_sleep(debug: &mut Debug<'_>) -> Outcome {
    let sleep = debug.count(0)?;
    debug.engine.persistence.log_write_sleep_us = (sleep as u64).min(60_000_000);
    debug.ok()
}

fn quicklist_packed_threshold(debug: &mut Debug<'_>) -> Outcome {
    const LARGEST: u64 = (1 << 32) - (1 << 20);
    let threshold = number::parse_memory(debug.args.at(0)).filter(|bytes| *bytes <= LARGEST);
    let Some(threshold) = threshold else {
        return Err(CommandError::text(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        ));
    };
    // Not a directive, but stored with the directives' limits, so that CONFIG SET keeps it.
    let mut config = debug.engine.config.clone();
    config.limits.list_packed_threshold = threshold as usize;
    debug.engine.configure(config);
    debug.ok()
}

fn stringmatch_len(debug: &mut Debug<'_>) -> Outcome {
    let (length, pattern) = (debug.count(0)?, debug.args.at(1));
    let text = vec![b'a'; length.min(1 << 20)];
    let matches = crate::base::glob::matches(pattern, &text);
    debug.reply.integer(i64::from(matches));
    Ok(Done::Replied)
}

fn populate(debug: &mut Debug<'_>) -> Outcome {
    let count = debug.count(0)?;
    let prefix = debug.args.get(1).unwrap_or(b"key");
    let size = if debug.args.len() == 3 { debug.count(2)? } else { 0 };
    let mut view = debug.engine.view_of(debug.client);
    if size as u64 > view.env.max_string {
        return Err(CommandError::TOO_LONG);
    }
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for number in 0..count {
        key.clear();
        key.extend_from_slice(prefix);
        key.push(b':');
        number::push_u64(&mut key, number as u64);
        if view.exists(&key) {
            continue;
        }
        value.clear();
        value.extend_from_slice(b"value:");
        number::push_u64(&mut value, number as u64);
        if size > 0 {
            value.resize(size, 0);
        }
        view.set_string(&key, &value, Ttl::Clear, event::SET);
    }
    debug.ok()
}

fn protocol(debug: &mut Debug<'_>) -> Outcome {
    let resp3 = debug.reply.is_resp3();
    let reply = &mut *debug.reply;
    match debug.args.at(0).to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(3141.0 / 1000.0),
        b"bignum" => reply.big_number(b"1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.integer(n);
                reply.boolean(n == 1);
            }
        }
        b"attrib" => {
            if resp3 {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" if !resp3 => {
            return Err(CommandError::text("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim(b"txt", b"This is a verbatim\nstring"),
        _ => {
            return Err(CommandError::text(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(Done::Replied)
}

fn help(debug: &mut Debug<'_>) -> Outcome {
    debug.reply.help(
        debug.name,
        &[
            "AOF-FLUSH-SLEEP <microseconds>",
            "    Sleep before each write to the append-only file, as if the disk were slow. 0: don't.",
            "CHANGE-REPL-ID",
            "    Take a new replication id, as if the history of the data had been left.",
            "CLOSE-CLUSTER-LINK-ON-PACKET-DROP <0|1>",
            "    Close the links of messages of the cluster's bus that are dropped.",
            "CLUSTERLINK KILL <to|from|all> <node-id>",
            "    Close links to another node of the cluster.",
            "CONFIG-REWRITE-FORCE-ALL",
            "    As CONFIG REWRITE, with every directive, also those at their default.",
            "CRASH-AND-RECOVER | PANIC | SEGFAULT",
            "    End the process as a crash would.",
            "DIGEST",
            "    Fingerprint the whole data set, in hexadecimal digits.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Fingerprint the values of keys, without their names.",
            "DISABLE-CLUSTER-RANDOM-PING <0|1>",
            "    Ping no random nodes of the cluster.",
            "DISABLE-CLUSTER-RECONNECTION <0|1>",
            "    Open no links to other nodes of the cluster.",
            "DROP-CLUSTER-PACKET-FILTER <type>",
            "    Drop messages of the cluster's bus that are of this type; -1: none, -2: all.",
            "ERROR <text>",
            "    Reply this text as an error.",
            "HTSTATS <database> [FULL]",
            "    Describe the table of a database.",
            "HTSTATS-KEY <key> [FULL]",
            "    Describe the table of a set, hash or sorted set.",
            "INTERNAL_SECRET",
            "    Show a checksum of the secret that the nodes of a cluster share.",
            "LISTPACK <key>",
            "    Write the elements of a small collection to the log.",
            "LOG <text>",
            "    Write a line to the log.",
            "OBJECT <key>",
            "    Show how a key's value is represented.",
            "PAUSE-CRON <0|1>",
            "    Stop the periodic jobs, or let them go on.",
            "POPULATE <count> [<prefix> [<size>]]",
            "    Add string keys named <prefix>:<number> where there are none.",
            "PROTOCOL <type>",
            "    Reply with a value of this protocol type.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    Give list items of this size a node of their own.",
            "REPL-PAUSE <CLEAR|ON-STREAMING-REPL-BUF>",
            "    Stop the process when it is to execute what was kept of a stream of slots, or don't.",
            "RESTART",
            "    End the server in order, and start its program again.",
            "SDSLEN <key>",
            "    Show the sizes of a key and of its string.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Let keys past their deadline stay until a command meets them, or remove them.",
            "SET-ALLOW-ACCESS-EXPIRED <0|1>",
            "    Show clients keys and fields past their deadline, or hide them.",
            "SET-DISABLE-DENY-SCRIPTS <0|1>",
            "    Let scripts call commands that they may not call, or refuse these.",
            "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
            "    Take the payloads of RESTORE whatever their checksum, or check it.",
            "SLEEP <seconds>",
            "    Stop the server for a while. Fractions will do.",
            "STRINGMATCH-LEN <length> <pattern>",
            "    Match a pattern against a text of this length.",
        ],
    );
    Ok(Done::Replied)
}
