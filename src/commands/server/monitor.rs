//! MONITOR: turns the client into a monitor, to which the engine sends each request (`send_to_monitors`).

use crate::engine::clients::session::state;
use crate::engine::{ClientCall, Done, Outcome};
use crate::resp::CommandError;

pub(in crate::commands) fn monitor(call: &mut ClientCall<'_>) -> Outcome {
    let session = call.clients.sessions.live_mut(call.client);
    if session.is(state::IN_EXEC) {
        return Err(CommandError::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    if !session.is(state::MONITOR) {
        session.set(state::MONITOR, true);
        call.clients.monitors.push(call.client);
        call.reply.ok();
    }
    Ok(Done::Replied)
}
