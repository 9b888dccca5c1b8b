//! FUNCTION: libraries are loaded, listed, deleted, dumped and restored; FCALL and FCALL_RO.

use crate::base::{glob, number};
use crate::commands::support::args::is;
use crate::engine::clients::session::Role;
use crate::engine::clients::slow_script::SlowScript;
use crate::engine::scripting::RestorePolicy;
use crate::engine::{ControlCall, Done, Outcome};
use crate::resp::{CommandError, Reply};
use crate::services::scripting::libraries::{ENGINE, Library};

fn refused(text: impl AsRef<[u8]>) -> CommandError {
    CommandError::new([b"ERR ", text.as_ref()].concat())
}

/// A change of the libraries is one of the data: it is propagated and saved.
fn note_change(call: &mut ControlCall<'_>) {
    call.engine.data.keyspace.journal.dirty += 1;
}

/// Whether the time of a library's code is limited: that of one that a client brings, not of one from a log or a primary.
fn is_limited(call: &ControlCall<'_>) -> bool {
    call.engine.clients.sessions.live(call.client).role == Role::Normal
}

pub(super) fn load(call: &mut ControlCall<'_>) -> Outcome {
    let source = call.args.len() - 1;
    let mut replace = false;
    for index in 2..source {
        let word = call.args.at(index);
        if !is(word, "REPLACE") {
            let word = CommandError::quotable(word, usize::MAX);
            return Err(refused([b"Unknown option given: ", word].concat()));
        }
        replace = true;
    }
    let name = call.engine.load_library(call.args.at(source), replace, is_limited(call)).map_err(refused)?;
    note_change(call);
    call.reply.bulk(&name);
    Ok(Done::Replied)
}

pub(super) fn delete(call: &mut ControlCall<'_>) -> Outcome {
    if !call.engine.delete_library(call.args.at(2)) {
        return Err(CommandError::text("ERR Library not found"));
    }
    note_change(call);
    call.reply.ok();
    Ok(Done::Replied)
}

pub(super) fn flush(call: &mut ControlCall<'_>) -> Outcome {
    let lazily = match call.args.get(2) {
        None => call.engine.settings.lazy_user_flush,
        Some(word) if call.args.len() == 3 && is(word, "SYNC") => false,
        Some(word) if call.args.len() == 3 && is(word, "ASYNC") => true,
        Some(_) if call.args.len() == 3 => {
            return Err(CommandError::text("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
        }
        Some(_) => return Err(wrong_syntax(call)),
    };
    call.engine.flush_libraries(lazily);
    note_change(call);
    call.reply.ok();
    Ok(Done::Replied)
}

/// The error of a subcommand with too many arguments.
fn wrong_syntax(call: &ControlCall<'_>) -> CommandError {
    CommandError::wrong_subcommand(call.args.at(0), call.args.at(1))
}

pub(super) fn dump(call: &mut ControlCall<'_>) -> Outcome {
    let payload = call.engine.dump_libraries();
    call.reply.bulk(&payload);
    Ok(Done::Replied)
}

pub(super) fn restore(call: &mut ControlCall<'_>) -> Outcome {
    let policy = match call.args.get(3) {
        _ if call.args.len() > 4 => return Err(wrong_syntax(call)),
        None => RestorePolicy::Append,
        Some(word) if is(word, "APPEND") => RestorePolicy::Append,
        Some(word) if is(word, "REPLACE") => RestorePolicy::Replace,
        Some(word) if is(word, "FLUSH") => RestorePolicy::Flush,
        Some(_) => {
            return Err(CommandError::text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    call.engine.restore_libraries(call.args.at(2), policy, is_limited(call)).map_err(refused)?;
    note_change(call);
    call.reply.ok();
    Ok(Done::Replied)
}

pub(super) fn list(call: &mut ControlCall<'_>) -> Outcome {
    let (mut pattern, mut with_code) = (None, false);
    let mut index = 2;
    while let Some(word) = call.args.get(index) {
        if !with_code && is(word, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && is(word, "LIBRARYNAME") {
            index += 1;
            pattern = call.args.get(index);
            if pattern.is_none() {
                return Err(CommandError::text("ERR library name argument was not given"));
            }
        } else {
            let word = CommandError::quotable(word, usize::MAX);
            return Err(refused([b"Unknown argument ", word].concat()));
        }
        index += 1;
    }
    let open = call.reply.open();
    let mut count = 0;
    for library in call.engine.scripting.functions().libraries().iter() {
        if pattern.is_none_or(|pattern| glob::matches_ignoring_case(pattern, &library.name)) {
            show_library(call.reply, library, with_code);
            count += 1;
        }
    }
    call.reply.close_array(open, count);
    Ok(Done::Replied)
}

fn show_library(reply: &mut Reply, library: &Library, with_code: bool) {
    reply.map(if with_code { 4 } else { 3 });
    reply.bulk(b"library_name");
    reply.bulk(&library.name);
    reply.bulk(b"engine");
    reply.bulk(ENGINE.as_bytes());
    reply.bulk(b"functions");
    reply.array(library.functions.len());
    for function in &library.functions {
        reply.map(3);
        reply.bulk(b"name");
        reply.bulk(&function.name);
        reply.bulk(b"description");
        match &function.description {
            Some(text) => reply.bulk(text),
            None => reply.null(),
        }
        reply.bulk(b"flags");
        reply.set(function.flags.names().count());
        function.flags.names().for_each(|name| reply.simple(name));
    }
    if with_code {
        reply.bulk(b"library_code");
        reply.bulk(&library.source);
    }
}

pub(super) fn stats(call: &mut ControlCall<'_>) -> Outcome {
    let running = call.engine.running_function()?;
    call.reply.map(2);
    call.reply.bulk(b"running_script");
    match running {
        None => call.reply.null(),
        Some(running) => {
            call.reply.map(3);
            call.reply.bulk(b"name");
            call.reply.bulk(running.name);
            call.reply.bulk(b"command");
            let words = running.request.map(|request| request.as_args());
            call.reply.array(words.map_or(0, |words| words.len()));
            words.into_iter().flat_map(|words| words.iter()).for_each(|word| call.reply.bulk(word));
            call.reply.bulk(b"duration_ms");
            call.reply.integer(running.millis as i64);
        }
    }
    let libraries = call.engine.scripting.functions().libraries();
    call.reply.bulk(b"engines");
    call.reply.map(1);
    call.reply.bulk(ENGINE.as_bytes());
    call.reply.map(2);
    call.reply.bulk(b"libraries_count");
    call.reply.count(libraries.iter().len());
    call.reply.bulk(b"functions_count");
    call.reply.count(libraries.function_count());
    Ok(Done::Replied)
}

pub(super) fn kill(call: &mut ControlCall<'_>) -> Outcome {
    call.engine.kill_script(SlowScript::Function)?;
    call.reply.ok();
    Ok(Done::Replied)
}

pub(super) fn fcall(call: &mut ControlCall<'_>) -> Outcome {
    run(call, false)
}

pub(super) fn fcall_ro(call: &mut ControlCall<'_>) -> Outcome {
    run(call, true)
}

fn run(call: &mut ControlCall<'_>, read_only: bool) -> Outcome {
    // Behind it come the commands that the function calls.
    if !call.engine.clients.monitors.is_empty() {
        call.engine.send_to_monitors(call.client, call.args);
    }
    let Some(function) = call.engine.scripting.functions().libraries().function(call.args.at(1)) else {
        return Err(CommandError::text("ERR Function not found"));
    };
    let function = function.clone();
    let keys =
        number::parse_i64(call.args.at(2)).ok_or(CommandError::text("ERR Bad number of keys provided"))?;
    if keys > call.args.len() as i64 - 3 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    let Ok(keys) = usize::try_from(keys) else {
        return Err(CommandError::text("ERR Number of keys can't be negative"));
    };
    call.engine.run_function(call.client, &function, (call.args.tail(3), keys), read_only, call.reply)
}

pub(super) fn help(call: &mut ControlCall<'_>) -> Outcome {
    call.reply.help(
        call.args.at(0),
        &[
            "DELETE <library-name>",
            "    Delete a library with all its functions.",
            "DUMP",
            "    Return all libraries as a payload for FUNCTION RESTORE.",
            "FLUSH [ASYNC|SYNC]",
            "    Delete all libraries.",
            "KILL",
            "    End the function that is running, unless it has written.",
            "LIST [LIBRARYNAME <pattern>] [WITHCODE]",
            "    List libraries with their functions, and with their code if it is asked for.",
            "LOAD [REPLACE] <code>",
            "    Load a library; its first line names it: #!lua name=<library-name>.",
            "RESTORE <payload> [FLUSH|APPEND|REPLACE]",
            "    Load the libraries of a payload: instead of all there are (FLUSH), beside them",
            "    (APPEND, the default), or in place of those of the same names (REPLACE).",
            "STATS",
            "    Tell which function is running, and how many libraries and functions there are.",
        ],
    );
    Ok(Done::Replied)
}
