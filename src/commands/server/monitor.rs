//! MONITOR: turns the client into a monitor, to which the engine sends each request (`send_to_monitors`).

use crate::engine::clients::session::{Role, state};
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::CommandError;

pub(in crate::commands) fn monitor(call: &mut ClientCall<'_>) -> Outcome {
    let session = call.clients.sessions.live_mut(call.client);
    if session.is(state::IN_EXEC) {
        return Err(CommandError::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    // A replica's stream has no room for what a monitor is sent, and neither has a primary's link.
    if !session.is(state::MONITOR | state::REPLICA) && session.role == Role::Normal {
        session.set(state::MONITOR, true);
        call.clients.monitors.push(call.client);
        call.reply.ok();
    }
    Ok(Done::Replied)
}
