//! LATENCY TOP: the calls that held the server up the longest in the last hour; LATENCY DOCTOR names the first of them.

use std::fmt::Write;

use crate::commands::support::args::is;
use crate::commands::support::options::OptionReader;
use crate::engine::metrics::large_calls::LargeCall;
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::CommandError;
use crate::services::acl::{User, access};

/// Calls that are listed without COUNT, and that DOCTOR names.
const LISTED: usize = 10;
const NAMED: usize = 3;

pub(in crate::commands) fn latency_top(call: &mut ClientCall<'_>) -> Outcome {
    let mut count = LISTED;
    let mut options = OptionReader::new(call.args, 2);
    while let Some(word) = options.next() {
        if !is(word, "COUNT") {
            return Err(CommandError::SYNTAX);
        }
        count = usize::try_from(options.integer()?).map_err(|_| CommandError::SYNTAX)?;
    }
    let user = call.acl.user_of(call.clients.sessions.live(call.client)).clone();
    let calls = call.metrics.large_calls.longest(call.now());
    let shown = &calls[..calls.len().min(count)];
    call.reply.array(shown.len());
    for large in shown {
        call.reply.map(13);
        for (name, text) in [
            ("command", call.commands.get(large.command).name.as_bytes()),
            ("client-addr", large.address.as_bytes()),
            ("client-name", &large.client_name),
            ("user", &large.user),
        ] {
            call.reply.bulk(name.as_bytes());
            call.reply.bulk(text);
        }
        for (name, number) in [
            ("usec", large.us),
            ("time", large.time_ms / 1000),
            ("client-id", large.client_id),
            ("db", u64::from(large.db)),
            ("elements", large.elements as u64),
            ("keys", large.keys as u64),
            ("request-bytes", large.request_bytes),
            ("reply-bytes", large.reply_bytes),
        ] {
            call.reply.bulk(name.as_bytes());
            call.reply.integer(number as i64);
        }
        call.reply.bulk(b"key");
        match large.key.as_deref().filter(|_| may_see(&user, large)) {
            Some(key) => call.reply.bulk(key),
            None => call.reply.null(),
        }
    }
    Ok(Done::Replied)
}

/// Whether a user may read the key of a call; of one that wasn't kept whole, only if it may read all.
fn may_see(user: &User, large: &LargeCall) -> bool {
    let key = large.key.as_deref().unwrap_or_default();
    user.selectors().any(|selector| {
        selector.allows_database(Some(large.db))
            && (selector.allows_every_key(access::READ)
                || large.key_is_whole && selector.allows_key(key, access::READ))
    })
}

/// The first few, in sentences; nothing if there are none.
pub(super) fn summary(call: &ClientCall<'_>) -> String {
    let calls = call.metrics.large_calls.longest(call.now());
    if calls.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\nThe calls that held the server up the longest in the last hour (LATENCY TOP lists more):\n\n",
    );
    for large in calls.iter().take(NAMED) {
        let ago = call.now().saturating_sub(large.time_ms) / 1000;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "* {} took {} ms, {ago} seconds ago: {} elements, {} bytes of reply, for client {} ({}) of user {}.",
            call.commands.get(large.command).name,
            large.us as f64 / 1000.0,
            large.elements,
            large.reply_bytes,
            large.client_id,
            large.address,
            large.user.escape_ascii(),
        );
    }
    text
}
