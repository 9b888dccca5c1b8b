//! MONITOR. Showing the requests is the engine's (`send_to_monitors`).

use crate::base::ids::ClientId;
use crate::engine::clients::session::state;
use crate::engine::{Done, Engine, Outcome};
use crate::resp::{Args, CommandError, Reply};

pub(in crate::commands) fn monitor(
    engine: &mut Engine,
    client: ClientId,
    _: Args<'_>,
    reply: &mut Reply,
) -> Outcome {
    let session = engine.clients.sessions.live_mut(client);
    if session.is(state::IN_EXEC) {
        return Err(CommandError::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    if !session.is(state::MONITOR) {
        session.set(state::MONITOR, true);
        engine.clients.monitors.push(client);
        reply.ok();
    }
    Ok(Done::Replied)
}
