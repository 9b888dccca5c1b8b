//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR.

use super::is_on;
use crate::base::ids::ClientId;
use crate::commands::support::args;
use crate::engine::clients::session::state;
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::CommandError;
use crate::services::tracking::{Tracker, check_prefixes};

fn error<T>(text: &'static str) -> Result<T, CommandError> {
    Err(CommandError::text(text))
}

pub(super) fn client_tracking(call: &mut ClientCall<'_>) -> Outcome {
    let (tracker, prefixes) = options(call)?;
    if is_on(call.args.at(2))? {
        let old = call.clients.sessions.live(call.client).tracker.as_deref();
        check(old, &tracker, &prefixes)?;
        call.clients.start_tracking(call.client, tracker, &prefixes);
    } else {
        call.clients.stop_tracking(call.client);
    }
    call.reply.ok();
    Ok(Done::Replied)
}

/// The options, and the prefixes among them.
fn options<'a>(call: &ClientCall<'a>) -> Result<(Tracker, Vec<&'a [u8]>), CommandError> {
    let mut tracker = Tracker::default();
    let mut prefixes = Vec::new();
    let options = call.args.tail(3);
    let mut at = 0;
    while let Some(option) = options.get(at) {
        let value = options.get(at + 1);
        match (option.to_ascii_lowercase().as_slice(), value) {
            (b"bcast", _) => tracker.broadcast = true,
            (b"optin", _) => tracker.opt_in = true,
            (b"optout", _) => tracker.opt_out = true,
            (b"noloop", _) => tracker.no_loop = true,
            (b"redirect", Some(id)) => {
                if tracker.redirect.is_some() {
                    return error("ERR A client can only redirect to a single other client");
                }
                tracker.redirect = Some(redirection(call, id)?);
                at += 1;
            }
            (b"prefix", Some(prefix)) => {
                prefixes.push(prefix);
                at += 1;
            }
            _ => return Err(CommandError::SYNTAX),
        }
        at += 1;
    }
    Ok((tracker, prefixes))
}

/// The client with this CLIENT ID.
fn redirection(call: &ClientCall<'_>, id: &[u8]) -> Result<(ClientId, u64), CommandError> {
    let id = args::integer(id)?;
    let found = call.clients.sessions.iter().find(|session| session.id as i64 == id);
    match found {
        Some(session) => Ok((session.client, session.id)),
        None => error("ERR The client ID you want redirect to does not exist"),
    }
}

/// Whether the options suit each other, and those of before.
fn check(old: Option<&Tracker>, tracker: &Tracker, prefixes: &[&[u8]]) -> Result<(), CommandError> {
    if !tracker.broadcast && !prefixes.is_empty() {
        return error("ERR PREFIX option requires BCAST mode to be enabled");
    }
    if old.is_some_and(|old| old.broadcast != tracker.broadcast) {
        return error(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, \
             and then re-enabling it with a different mode.",
        );
    }
    if tracker.broadcast && (tracker.opt_in || tracker.opt_out) {
        return error("ERR OPTIN and OPTOUT are not compatible with BCAST");
    }
    if tracker.opt_in && tracker.opt_out {
        return error("ERR You can't specify both OPTIN mode and OPTOUT mode");
    }
    if old.is_some_and(|old| tracker.opt_in && old.opt_out || tracker.opt_out && old.opt_in) {
        return error(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, \
             and then re-enabling it with a different mode.",
        );
    }
    Ok(check_prefixes(old, prefixes)?)
}

pub(super) fn client_caching(call: &mut ClientCall<'_>) -> Outcome {
    let session = call.clients.sessions.live_mut(call.client);
    let Some(tracker) = &session.tracker else {
        return error(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT \
             mode enabled",
        );
    };
    let word = call.args.at(2);
    if word.eq_ignore_ascii_case(b"yes") {
        if !tracker.opt_in {
            return error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
        }
    } else if word.eq_ignore_ascii_case(b"no") {
        if !tracker.opt_out {
            return error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
        }
    } else {
        return Err(CommandError::SYNTAX);
    }
    session.set(state::CACHING, true);
    call.reply.ok();
    Ok(Done::Replied)
}

pub(super) fn client_getredir(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.integer(call.clients.sessions.live(call.client).redirect_id());
    Ok(Done::Replied)
}

pub(super) fn client_trackinginfo(call: &mut ClientCall<'_>) -> Outcome {
    let session = call.clients.sessions.live(call.client);
    let tracker = session.tracker.as_deref();
    let caching = session.is(state::CACHING);
    let has = |test: fn(&Tracker) -> bool| tracker.is_some_and(test);
    let flags = [
        (tracker.is_none(), "off"),
        (tracker.is_some(), "on"),
        (has(|tracker| tracker.broadcast), "bcast"),
        (has(|tracker| tracker.opt_in), "optin"),
        (has(|tracker| tracker.opt_in) && caching, "caching-yes"),
        (has(|tracker| tracker.opt_out), "optout"),
        (has(|tracker| tracker.opt_out) && caching, "caching-no"),
        (has(|tracker| tracker.no_loop), "noloop"),
        (has(|tracker| tracker.broken), "broken_redirect"),
    ];
    call.reply.map(3);
    call.reply.bulk(b"flags");
    call.reply.set(flags.iter().filter(|(set, _)| *set).count());
    flags.iter().filter(|(set, _)| *set).for_each(|(_, name)| call.reply.bulk(name.as_bytes()));
    call.reply.bulk(b"redirect");
    call.reply.integer(session.redirect_id());
    call.reply.bulk(b"prefixes");
    call.reply.array(tracker.map_or(0, |tracker| tracker.prefixes().len()));
    tracker.iter().flat_map(|tracker| tracker.prefixes()).for_each(|prefix| call.reply.bulk(prefix));
    Ok(Done::Replied)
}

#[cfg(test)]
#[path = "tracking_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "tracking_model_tests.rs"]
mod model_tests;
