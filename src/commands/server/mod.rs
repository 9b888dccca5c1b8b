//! Server commands: TIME, ROLE, SHUTDOWN; each of the others is in a file of its name.

pub mod command;
mod config;
pub mod debug;
mod hotkeys;
pub mod info;
pub mod latency;
mod lolwut;
pub mod memory;
mod module;
pub mod monitor;
mod slowlog;
pub mod specs;

use crate::commands::support::args::is;
use crate::engine::clients::session::state;
use crate::engine::{ClientCall, Done, Outcome, ServerAction};
use crate::resp::{Args, CommandError};
use crate::sys::double_sigint;

fn time(call: &mut ClientCall<'_>) -> Outcome {
    let us = call.now_us();
    call.reply.array(2);
    call.reply.bulk_integer((us / 1_000_000) as i64);
    call.reply.bulk_integer((us % 1_000_000) as i64);
    Ok(Done::Replied)
}

/// The options of SHUTDOWN.
#[derive(Default)]
struct ShutdownOptions {
    save: Option<bool>,
    now: bool,
    force: bool,
    abort: bool,
}

impl ShutdownOptions {
    fn parse(args: Args<'_>) -> Result<Self, CommandError> {
        let mut farewell = ShutdownOptions::default();
        for word in args.iter() {
            let (is_save, is_nosave) = (is(word, "SAVE"), is(word, "NOSAVE"));
            if is_save || is_nosave {
                if farewell.save.is_some_and(|save| save != is_save) {
                    return Err(CommandError::SYNTAX);
                }
                farewell.save = Some(is_save);
            } else if is(word, "NOW") {
                farewell.now = true;
            } else if is(word, "FORCE") {
                farewell.force = true;
            } else if is(word, "ABORT") {
                farewell.abort = true;
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        if farewell.abort && (farewell.save.is_some() || farewell.now || farewell.force) {
            return Err(CommandError::SYNTAX);
        }
        Ok(farewell)
    }
}

fn shutdown(call: &mut ClientCall<'_>) -> Outcome {
    let ShutdownOptions { save, now, force, abort } = ShutdownOptions::parse(call.args.tail(1))?;
    if abort {
        let signal = call.clients.shutdown_signal.take();
        match &mut call.clients.shutdown {
            Some(pending) => pending.is_aborted = true,
            None if signal.is_some() => {}
            None => return Err(CommandError::text("ERR No shutdown in progress.")),
        }
        double_sigint::forget();
        log::warn!("Shutdown manually aborted.");
        call.reply.ok();
        return Ok(Done::Replied);
    }
    if let Some(slow) = call.clients.slow_script
        && save != Some(false)
    {
        return Err(slow.error());
    }
    if !now && call.clients.sessions.live(call.client).is(state::IN_EXEC) {
        return Err(CommandError::text(
            "ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client",
        ));
    }
    call.actions.push_back(ServerAction::Shutdown { client: Some(call.client), save, now, force });
    Ok(Done::Deferred)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;
    use crate::engine::ServerAction;

    #[test]
    fn small_ones() {
        let mut server = TestServer::new();
        server.script("TIME => [\"1700000000\" \"0\"]\nROLE => [\"master\" :0 []]");
        assert!(server.run("LOLWUT").contains("Redis ver. 8.0.0"));
        assert!(server.run("LOLWUT VERSION 5").contains("by 7"));
        assert_eq!(server.run("LOLWUT VERSION x"), "-ERR value is not an integer or out of range");
    }

    #[test]
    fn shutdown() {
        let mut server = TestServer::new();
        server.script(
            "SHUTDOWN ABORT => -ERR No shutdown in progress.
             SHUTDOWN SAVE NOSAVE => -ERR syntax error
             SHUTDOWN ABORT NOW => -ERR syntax error
             SHUTDOWN WHY => -ERR syntax error",
        );
        assert_eq!(server.run("SHUTDOWN NOSAVE force"), "(blocked)");
        let request = server.engine.next_action();
        assert!(matches!(
            request,
            Some(ServerAction::Shutdown { save: Some(false), now: false, force: true, client: Some(_) })
        ));
    }
}
