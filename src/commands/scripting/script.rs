//! SCRIPT: the cache of scripts, and the one that is running.

use crate::commands::support::args::is;
use crate::engine::clients::slow_script::SlowScript;
use crate::engine::{ClientCall, ControlCall, Done, Outcome};
use crate::resp::CommandError;

const HELP: &[&str] = &[
    "DEBUG (YES|SYNC|NO)",
    "    Set the debug mode for subsequent scripts executed; only NO is supported.",
    "EXISTS <sha1> [<sha1> ...]",
    "    Return information about the existence of the scripts in the script cache.",
    "FLUSH [ASYNC|SYNC]",
    "    Flush the Lua scripts cache. Very dangerous on replicas.",
    "    When called without the optional mode argument, the behavior is determined by the",
    "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
    "    * ASYNC: Asynchronously flush the scripts cache.",
    "    * SYNC: Synchronously flush the scripts cache.",
    "KILL",
    "    Kill the currently executing Lua script.",
    "LOAD <script>",
    "    Load a script into the scripts cache without executing it.",
    "SHOW <sha1>",
    "    Show a script in the scripts cache.",
];

pub fn load(call: &mut ControlCall<'_>) -> Outcome {
    let sha1 = call.engine.keep_script(call.args.at(2))?;
    call.reply.bulk(&sha1);
    Ok(Done::Replied)
}

pub fn exists(call: &mut ControlCall<'_>) -> Outcome {
    let wanted = call.args.tail(2);
    call.reply.array(wanted.len());
    for sha1 in wanted.iter() {
        call.reply.integer(i64::from(call.engine.scripting.script(sha1).is_some()));
    }
    Ok(Done::Replied)
}

pub fn show(call: &mut ControlCall<'_>) -> Outcome {
    let Some(script) = call.engine.scripting.script(call.args.at(2)) else {
        return Err(CommandError::text("NOSCRIPT No matching script."));
    };
    call.reply.bulk(&script.text());
    Ok(Done::Replied)
}

pub fn flush(call: &mut ControlCall<'_>) -> Outcome {
    let lazily = match call.args.get(2) {
        None => call.engine.settings.lazy_user_flush,
        Some(word) if call.args.len() == 3 && is(word, "SYNC") => false,
        Some(word) if call.args.len() == 3 && is(word, "ASYNC") => true,
        Some(_) => return Err(CommandError::text("ERR SCRIPT FLUSH only support SYNC|ASYNC option")),
    };
    call.engine.flush_scripts(lazily);
    call.reply.ok();
    Ok(Done::Replied)
}

pub fn kill(call: &mut ControlCall<'_>) -> Outcome {
    call.engine.kill_script(SlowScript::Script)?;
    call.reply.ok();
    Ok(Done::Replied)
}

/// The debugger of Lua scripts isn't there.
pub fn debug(call: &mut ClientCall<'_>) -> Outcome {
    match call.args.at(2).to_ascii_lowercase().as_slice() {
        b"no" => {
            call.reply.ok();
            Ok(Done::Replied)
        }
        b"yes" | b"sync" => Err(CommandError::text("ERR the Lua debugger is not supported")),
        _ => Err(CommandError::text("ERR Use SCRIPT DEBUG YES/SYNC/NO")),
    }
}

pub fn help(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.help(call.args.at(0), HELP);
    Ok(Done::Replied)
}
