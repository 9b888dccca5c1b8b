//! MONITOR. Showing the requests is the engine's (`send_to_monitors`).

use crate::base::ids::ClientId;
use crate::engine::clients::session::state;
use crate::engine::command::spec::{CommandSpec, Group};
use crate::engine::{Done, Engine, Outcome};
use crate::resp::{Args, CommandError, Reply};

pub const COMMANDS: &[CommandSpec] = &[CommandSpec::control("MONITOR", monitor)
    .arity(1)
    .admin()
    .noscript()
    .loading()
    .stale()
    .docs(Group::Server, "1.0.0", "", "Shows every command the server executes.")];

fn monitor(engine: &mut Engine, client: ClientId, _: Args<'_>, reply: &mut Reply) -> Outcome {
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
