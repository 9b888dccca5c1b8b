//! Sentinel mode: the SENTINEL command, and what INFO, ROLE, PUBLISH and HELLO are there. Other commands are those of the server that
//! make sense without data; the rest is unknown.

mod change;
mod query;
mod settings;
pub mod specs;
#[cfg(test)]
mod tests;

use super::FAMILIES;
use crate::engine::command::spec::CommandSpec;
use crate::engine::{ControlCall, Done, Outcome};
use crate::resp::CommandError;
use crate::services::sentinel::{HELLO_CHANNEL, Sentinel};

/// The commands of the server that Sentinel mode has as they are.
const SHARED: [&str; 11] = [
    "ACL",
    "AUTH",
    "COMMAND",
    "HELLO",
    "INFO",
    "PING",
    "PSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SHUTDOWN",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
];

/// The specs of all commands of Sentinel mode.
pub fn families() -> Vec<&'static [CommandSpec]> {
    let all = FAMILIES.iter().flat_map(|family| family.iter());
    let shared = all.filter(|spec| SHARED.contains(&spec.name)).map(std::slice::from_ref);
    shared.chain([specs::COMMANDS]).collect()
}

/// The service of this server, at the time of the call.
fn service<'a>(call: &'a mut ControlCall<'_>) -> Result<&'a mut Sentinel, CommandError> {
    let now = call.engine.now();
    let mode = call.engine.sentinel.as_mut();
    let mode = mode.ok_or(CommandError::text("ERR This instance is not in Sentinel mode"))?;
    mode.service.set_now(now);
    Ok(&mut mode.service)
}

/// An argument as text.
fn word(call: &ControlCall<'_>, index: usize) -> String {
    String::from_utf8_lossy(call.args.at(index)).into_owned()
}

/// Refuses control characters in the arguments from `first` on: they would end up in the configuration file, in hello messages
/// and in the log.
fn refuse_control_characters(
    call: &ControlCall<'_>,
    first: usize,
    command: &str,
) -> Result<(), CommandError> {
    let is_bad = |index: &usize| call.args.at(*index).iter().any(u8::is_ascii_control);
    match (first..call.args.len()).find(is_bad) {
        None => Ok(()),
        Some(index) => Err(CommandError::new(format!(
            "ERR Invalid argument at index {index} for {command}: control characters are not allowed"
        ))),
    }
}

const NO_SUCH_GROUP: CommandError = CommandError::text("ERR No such master with that name");

/// The group that an argument names.
fn group_name(call: &mut ControlCall<'_>, index: usize) -> Result<String, CommandError> {
    let name = word(call, index);
    match service(call)?.find_group(&name) {
        Some(_) => Ok(name),
        None => Err(NO_SUCH_GROUP),
    }
}

/// `ROLE`
fn role(call: &mut ControlCall<'_>) -> Outcome {
    let names: Vec<String> = service(call)?.groups().map(|group| group.name.to_string()).collect();
    call.reply.array(2);
    call.reply.bulk(b"sentinel");
    call.reply.array(names.len());
    names.iter().for_each(|name| call.reply.bulk(name.as_bytes()));
    Ok(Done::Replied)
}

/// `PUBLISH channel message`: other sentinels say hello.
fn publish(call: &mut ControlCall<'_>) -> Outcome {
    if call.args.at(1) != HELLO_CHANNEL.as_bytes() {
        return Err(CommandError::text("ERR Only HELLO messages are accepted by Sentinel instances."));
    }
    let (now, text) = (call.engine.now(), call.args.at(2).to_vec());
    service(call)?.receive_hello(now, &text);
    call.engine.carry_out_sentinel_actions();
    call.reply.integer(1);
    Ok(Done::Replied)
}
