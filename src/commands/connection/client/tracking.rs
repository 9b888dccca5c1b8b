//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR.

use super::is_on;
use crate::commands::support::args;
use crate::engine::clients::session::state;
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::CommandError;
use crate::services::tracking::Tracker;

fn error<T>(text: &'static str) -> Result<T, CommandError> {
    Err(CommandError::text(text))
}

pub(super) fn client_tracking(call: &mut ClientCall<'_>) -> Outcome {
    let tracker = options(call)?;
    if is_on(call.args.at(2))? {
        check(call, &tracker)?;
        call.clients.start_tracking(call.client, tracker);
    } else {
        call.clients.stop_tracking(call.client);
    }
    call.reply.ok();
    Ok(Done::Replied)
}

/// Parses the options; prefixes that overlap each other are refused by [`check`], which needs their order no more.
fn options(call: &ClientCall<'_>) -> Result<Tracker, CommandError> {
    let mut tracker = Tracker::default();
    let mut words = call.args.tail(3).iter();
    while let Some(word) = words.next() {
        match word.to_ascii_lowercase().as_slice() {
            b"bcast" => tracker.broadcast = true,
            b"optin" => tracker.opt_in = true,
            b"optout" => tracker.opt_out = true,
            b"noloop" => tracker.no_loop = true,
            b"redirect" => {
                let Some(id) = words.next() else { return Err(CommandError::SYNTAX) };
                if tracker.redirect.is_some() {
                    return error("ERR A client can only redirect to a single other client");
                }
                let id = args::integer(id)?;
                let target = call.clients.sessions.iter().find(|session| session.id as i64 == id);
                let Some(target) = target else {
                    return error("ERR The client ID you want redirect to does not exist");
                };
                tracker.redirect = Some((target.client, target.id));
            }
            b"prefix" => {
                let Some(prefix) = words.next() else { return Err(CommandError::SYNTAX) };
                overlap(prefix, tracker.prefixes.iter(), "another provided")?;
                tracker.prefixes.insert(prefix.into());
            }
            _ => return Err(CommandError::SYNTAX),
        }
    }
    Ok(tracker)
}

fn overlap<'a>(
    prefix: &[u8],
    mut others: impl Iterator<Item = &'a Box<[u8]>>,
    which: &str,
) -> Result<(), CommandError> {
    let Some(other) = others.find(|other| prefix.starts_with(other) || other.starts_with(prefix)) else {
        return Ok(());
    };
    let (prefix, other) = (String::from_utf8_lossy(prefix), String::from_utf8_lossy(other));
    Err(CommandError::new(format!(
        "ERR Prefix '{prefix}' overlaps with {which} prefix '{other}'. \
         Prefixes for a single client must not overlap."
    )))
}

fn check(call: &ClientCall<'_>, tracker: &Tracker) -> Result<(), CommandError> {
    if !tracker.broadcast && !tracker.prefixes.is_empty() {
        return error("ERR PREFIX option requires BCAST mode to be enabled");
    }
    let old = call.clients.tracking.tracker(call.client);
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
    let existing = || old.into_iter().flat_map(|old| &old.prefixes);
    tracker.prefixes.iter().try_for_each(|prefix| overlap(prefix, existing(), "an existing"))
}

pub(super) fn client_caching(call: &mut ClientCall<'_>) -> Outcome {
    let tracker = call.clients.tracking.tracker(call.client);
    let Some(tracker) = tracker else {
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
    call.clients.sessions.live_mut(call.client).set(state::CACHING, true);
    call.reply.ok();
    Ok(Done::Replied)
}

pub(super) fn client_getredir(call: &mut ClientCall<'_>) -> Outcome {
    call.reply.integer(call.clients.redirect_id(call.client));
    Ok(Done::Replied)
}

pub(super) fn client_trackinginfo(call: &mut ClientCall<'_>) -> Outcome {
    let tracker = call.clients.tracking.tracker(call.client);
    let caching = call.clients.sessions.live(call.client).is(state::CACHING);
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
    call.reply.integer(call.clients.redirect_id(call.client));
    call.reply.bulk(b"prefixes");
    let prefixes = tracker.map_or(0, |tracker| tracker.prefixes.len());
    call.reply.array(prefixes);
    tracker.iter().flat_map(|tracker| &tracker.prefixes).for_each(|prefix| call.reply.bulk(prefix));
    Ok(Done::Replied)
}
