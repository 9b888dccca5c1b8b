//! Server commands: TIME, ROLE, SHUTDOWN; each of the others is in a file of its name.

pub mod command;
mod config;
pub mod debug;
mod hotkeys;
pub mod info;
pub mod latency;
mod lolwut;
pub mod memory;
pub(super) mod module;
pub mod monitor;
mod slowlog;
pub mod specs;

use crate::commands::support::args::is;
use crate::engine::clients::ShutdownOptions;
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

/// The options of SHUTDOWN; `None`: ABORT.
fn parse_shutdown(args: Args<'_>) -> Result<Option<ShutdownOptions>, CommandError> {
    let (mut options, mut abort) = (ShutdownOptions::default(), false);
    for word in args.iter() {
        let (is_save, is_nosave) = (is(word, "SAVE"), is(word, "NOSAVE"));
        match word {
            _ if is_save || is_nosave => {
                if options.save.is_some_and(|save| save != is_save) {
                    return Err(CommandError::SYNTAX);
                }
                options.save = Some(is_save);
            }
            word if is(word, "NOW") => options.now = true,
            word if is(word, "FORCE") => options.force = true,
            word if is(word, "SAFE") => options.safe = true,
            word if is(word, "FAILOVER") => options.failover = true,
            word if is(word, "ABORT") => abort = true,
            _ => return Err(CommandError::SYNTAX),
        }
    }
    match abort {
        true if options != ShutdownOptions::default() => Err(CommandError::SYNTAX),
        true => Ok(None),
        false => Ok(Some(options)),
    }
}

fn shutdown(call: &mut ClientCall<'_>) -> Outcome {
    let Some(options) = parse_shutdown(call.args.tail(1))? else { return abort_shutdown(call) };
    if options.failover && !call.config.cluster_enabled {
        return Err(CommandError::text("ERR SHUTDOWN FAILOVER is only supported in cluster mode."));
    }
    if let Some(slow) = call.clients.slow_script
        && options.save != Some(false)
    {
        return Err(slow.error());
    }
    if !options.now && call.clients.sessions.live(call.client).is(state::IN_EXEC) {
        return Err(CommandError::text(
            "ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client",
        ));
    }
    call.actions.push_back(ServerAction::Shutdown { client: Some(call.client), options });
    Ok(Done::Deferred)
}

/// `SHUTDOWN ABORT`
fn abort_shutdown(call: &mut ClientCall<'_>) -> Outcome {
    let signal = call.clients.shutdown_signal.take();
    match &mut call.clients.shutdown {
        Some(pending) => pending.is_aborted = true,
        None if signal.is_some() => {}
        None => return Err(CommandError::text("ERR No shutdown in progress.")),
    }
    double_sigint::forget();
    log::warn!("Shutdown manually aborted.");
    call.reply.ok();
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use crate::commands::support::testing::TestServer;
    use crate::engine::ServerAction;
    use crate::engine::clients::ShutdownOptions;

    #[test]
    fn small_ones() {
        let mut server = TestServer::new();
        server.script("TIME => [\"1700000000\" \"0\"]\nROLE => [\"master\" :0 []]");
        assert!(server.run("LOLWUT").contains("Redis ver. 8.6.0"));
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
             SHUTDOWN ABORT FAILOVER => -ERR syntax error
             SHUTDOWN FAILOVER => -ERR SHUTDOWN FAILOVER is only supported in cluster mode.
             SHUTDOWN WHY => -ERR syntax error",
        );
        assert_eq!(server.run("SHUTDOWN NOSAVE force safe"), "(blocked)");
        let wanted =
            ShutdownOptions { save: Some(false), force: true, safe: true, ..ShutdownOptions::default() };
        let request = server.engine.next_action();
        assert!(matches!(
            request,
            Some(ServerAction::Shutdown { options, client: Some(_) }) if options == wanted
        ));
    }
}
