//! PING.

use crate::base::ids::ClientId;
use crate::engine::spec::{CommandSpec, Group};
use crate::engine::{Done, Engine, Outcome};
use crate::resp::{Args, Reply};

pub const COMMANDS: &[CommandSpec] = &[CommandSpec::control("PING", ping)
    .arity(-1)
    .fast()
    .docs(Group::Connection, "1.0.0", "O(1)", "Answers PONG, or the message it was given.")
    .syntax("[message:string]")];

fn ping(_engine: &mut Engine, _client: ClientId, args: Args<'_>, reply: &mut Reply) -> Outcome {
    match args.get(1) {
        None => reply.simple("PONG"),
        Some(message) => reply.bulk(message),
    }
    Ok(Done::Replied)
}
