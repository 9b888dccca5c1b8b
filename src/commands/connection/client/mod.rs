//! CLIENT and its subcommands. The lines of CLIENT LIST are in `engine/clients/describe.rs`, its filters in [`filter`].

mod filter;
pub mod specs;
mod tracking;

use crate::base::number;
use crate::commands::support::args;
use crate::engine::clients::blocked::UNBLOCKED;
use crate::engine::clients::describe::describe;
use crate::engine::clients::session::state;
use crate::engine::{ClientCall, ControlCall, Done, Outcome};
use crate::resp::{Args, CommandError};
use filter::Filter;

/// Checks a client name: an error if it would break the lines of CLIENT LIST.
pub fn check_client_name(name: &[u8]) -> Result<(), CommandError> {
    if is_one_word(name) {
        return Ok(());
    }
    Err(CommandError::text("ERR Client names cannot contain spaces, newlines or special characters."))
}

/// Whether a name is printable ASCII without a space.
fn is_one_word(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// Parses ON or OFF, the argument of several subcommands.
fn is_on(argument: &[u8]) -> Result<bool, CommandError> {
    if argument.eq_ignore_ascii_case(b"on") {
        return Ok(true);
    }
    if argument.eq_ignore_ascii_case(b"off") { Ok(false) } else { Err(CommandError::SYNTAX) }
}

fn client_id(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.integer(call.clients.sessions.live(call.client).id as i64);
    Ok(Done::Replied)
}

fn client_info(call: &mut ClientCall<'_>) -> Outcome {
    let mut line = String::new();
    describe(call.commands, call.now(), call.clients.sessions.live(call.client), Some(call.args), &mut line);
    line.push('\n');
    call.reply.verbatim(b"txt", line.as_bytes());
    Ok(Done::Replied)
}

fn client_list(call: &mut ClientCall<'_>) -> Outcome {
    let filter = match call.args.len() {
        2 => Filter::default(),
        3 => return Err(CommandError::SYNTAX),
        _ => Filter::read(call, call.args.tail(2), Filter::default())?,
    };
    let mut lines = String::new();
    for other in filter.select(call, call.client) {
        let session = call.clients.sessions.live(other);
        describe(call.commands, call.now(), session, (other == call.client).then_some(call.args), &mut lines);
        lines.push('\n');
    }
    call.reply.verbatim(b"txt", lines.as_bytes());
    Ok(Done::Replied)
}

fn client_kill(call: &mut ClientCall<'_>) -> Outcome {
    let by_address = call.args.len() == 3;
    let filter = if by_address {
        Filter::address(call.args.at(2))
    } else {
        Filter::read(call, call.args.tail(2), Filter::for_kill())?
    };
    let victims = filter.select(call, call.client);
    for victim in &victims {
        if *victim == call.client {
            call.clients.sessions.live_mut(call.client).set(state::CLOSING, true);
        } else {
            call.clients.kill(*victim, call.actions);
        }
    }
    match (by_address, victims.is_empty()) {
        (true, true) => return Err(CommandError::text("ERR No such client")),
        (true, false) => call.reply.ok(),
        (false, _) => call.reply.count(victims.len()),
    }
    Ok(Done::Replied)
}

fn client_getname(call: &mut ClientCall<'_>) -> Outcome {
    match &call.clients.sessions.live(call.client).name {
        Some(name) => call.reply.bulk(name),
        None => call.reply.null(),
    }
    Ok(Done::Replied)
}

fn client_setname(call: &mut ClientCall<'_>) -> Outcome {
    let name = call.args.at(2);
    check_client_name(name)?;
    call.clients.sessions.live_mut(call.client).name = (!name.is_empty()).then(|| name.into());
    call.reply.ok();
    Ok(Done::Replied)
}

fn client_setinfo(call: &mut ClientCall<'_>) -> Outcome {
    let (attribute, value) = (call.args.at(2), call.args.at(3));
    let error = |text: &str| {
        let attribute = String::from_utf8_lossy(attribute);
        CommandError::new(text.replace("{}", &attribute))
    };
    let session = call.clients.sessions.live_mut(call.client);
    let place = if attribute.eq_ignore_ascii_case(b"lib-name") {
        &mut session.lib_name
    } else if attribute.eq_ignore_ascii_case(b"lib-ver") {
        &mut session.lib_version
    } else {
        return Err(error("ERR Unrecognized option '{}'"));
    };
    if !is_one_word(value) {
        return Err(error("ERR {} cannot contain spaces, newlines or special characters."));
    }
    *place = (!value.is_empty()).then(|| value.into());
    call.reply.ok();
    Ok(Done::Replied)
}

fn client_pause(call: &mut ClientCall<'_>) -> Outcome {
    let writes_only = match call.args.get(3) {
        None => false,
        Some(mode) if mode.eq_ignore_ascii_case(b"write") => true,
        Some(mode) if mode.eq_ignore_ascii_case(b"all") => false,
        Some(_) => return Err(CommandError::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    if call.args.len() > 4 {
        return Err(wrong_arguments(call.args));
    }
    let timeout = number::parse_i64(call.args.at(2))
        .ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    let until = call.now().saturating_add(timeout);
    if i64::try_from(until).is_err() {
        return Err(CommandError::text("ERR timeout is out of range"));
    }
    call.clients.pause_clients(until, writes_only, call.now());
    call.reply.ok();
    Ok(Done::Replied)
}

fn client_unpause(call: &mut ControlCall<'_>) -> Outcome {
    call.engine.unpause_clients();
    call.reply.ok();
    Ok(Done::Replied)
}

fn client_reply(call: &mut ClientCall<'_>) -> Outcome {
    let session = call.clients.sessions.live_mut(call.client);
    let mode = call.args.at(2);
    if mode.eq_ignore_ascii_case(b"on") {
        session.set(state::REPLY_OFF | state::REPLY_SKIP, false);
        call.reply.ok();
    } else if mode.eq_ignore_ascii_case(b"off") {
        session.set(state::REPLY_OFF, true);
    } else if mode.eq_ignore_ascii_case(b"skip") {
        let heard = !session.is(state::REPLY_OFF);
        session.set(state::REPLY_SKIP_NEXT, heard);
    } else {
        return Err(CommandError::SYNTAX);
    }
    Ok(Done::Replied)
}

fn client_unblock(call: &mut ControlCall<'_>) -> Outcome {
    if call.args.len() > 4 {
        return Err(wrong_arguments(call.args));
    }
    let error = match call.args.get(3) {
        None => None,
        Some(reason) if reason.eq_ignore_ascii_case(b"timeout") => None,
        Some(reason) if reason.eq_ignore_ascii_case(b"error") => Some(&UNBLOCKED),
        Some(_) => return Err(CommandError::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = args::integer(call.args.at(2))?;
    let target =
        call.engine.clients.sessions.iter().find(|session| session.id as i64 == id).map(|s| s.client);
    let unblocked = target.is_some_and(|target| call.engine.unblock(target, error));
    call.reply.integer(i64::from(unblocked));
    Ok(Done::Replied)
}

fn client_no_evict(call: &mut ClientCall<'_>) -> Outcome {
    switch(call, state::NO_EVICT)
}

fn client_no_touch(call: &mut ClientCall<'_>) -> Outcome {
    switch(call, state::NO_TOUCH)
}

fn client_import_source(call: &mut ClientCall<'_>) -> Outcome {
    if !call.config.import_mode && !call.args.at(2).eq_ignore_ascii_case(b"off") {
        return Err(CommandError::text("ERR Server is not in import mode"));
    }
    switch(call, state::IMPORT_SOURCE)
}

fn switch(call: &mut ClientCall<'_>, bit: u32) -> Outcome {
    let on = is_on(call.args.at(2))?;
    call.clients.sessions.live_mut(call.client).set(bit, on);
    call.reply.ok();
    Ok(Done::Replied)
}

fn client_capa(call: &mut ClientCall<'_>) -> Outcome {
    if call.args.tail(2).iter().any(|capability| capability.eq_ignore_ascii_case(b"redirect")) {
        call.clients.sessions.live_mut(call.client).set(state::CAPA_REDIRECT, true);
    }
    call.reply.ok();
    Ok(Done::Replied)
}

fn wrong_arguments(args: Args<'_>) -> CommandError {
    CommandError::wrong_subcommand(args.at(0), args.at(1))
}

fn client_help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(call.args.at(0), HELP);
    Ok(Done::Replied)
}

const HELP: &[&str] = &[
    "CAPA <capability> [<capability> ...]",
    "    Tells what this client is able to do: REDIRECT, to follow a redirection to another server.",
    "CACHING (YES|NO)",
    "    Whether the keys of the next command are tracked, in the modes OPTIN and OPTOUT.",
    "GETREDIR",
    "    Tells the number of the connection that gets this one's invalidations.",
    "GETNAME",
    "    Tells the name of this connection.",
    "ID",
    "    Tells the number of this connection.",
    "IMPORT-SOURCE (ON|OFF)",
    "    Marks this connection as one that imports data, for which expired keys are left alone.",
    "INFO",
    "    Describes this connection.",
    "KILL <ip:port>",
    "    Closes the connection that comes from <ip:port>.",
    "KILL <filter> <value> [<filter> <value> [...]]",
    "    Closes the connections that pass all filters:",
    "    * ID <id> [<id> ...], TYPE (NORMAL|PRIMARY|REPLICA|PUBSUB), USER <name>,",
    "      ADDR <ip:port>, LADDR <ip:port>, IP <ip>, NAME <name>, LIB-NAME <name>,",
    "      LIB-VER <version>, DB <number>, FLAGS <letters>, CAPA <letters>",
    "      The word with NOT- before it lets pass those that it would not.",
    "    * MAXAGE <seconds>, IDLE <seconds>",
    "      Connected, or silent, for at least that long.",
    "    * SKIPME (YES|NO)",
    "      Whether this connection is spared (as it is without the filter).",
    "LIST [<filter> <value> [...]]",
    "    Describes the connections that pass all filters, which are those of KILL.",
    "NO-EVICT (ON|OFF)",
    "    Protects this connection when clients take too much memory.",
    "NO-TOUCH (ON|OFF)",
    "    Whether commands of this connection leave the access time of keys as it is.",
    "PAUSE <milliseconds> [WRITE|ALL]",
    "    Holds back the commands of all clients, or only those that write.",
    "REPLY (ON|OFF|SKIP)",
    "    Switches the replies to this connection on and off, or skips the next one.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    Notes the name or the version of the client's library.",
    "SETNAME <name>",
    "    Names this connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
    "    Switches the tracking of keys for client-side caching on and off.",
    "TRACKINGINFO",
    "    Describes how this connection tracks.",
    "UNBLOCK <id> [TIMEOUT|ERROR]",
    "    Wakes a client from a blocking command, as if its time were up or with an error.",
    "UNPAUSE",
    "    Ends PAUSE.",
];
