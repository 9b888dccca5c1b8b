//! SENTINEL: primaries are added, removed, reset, changed and failed over.

use super::{group_name, refuse_control_characters, service, word};
use crate::base::number;
use crate::engine::{ControlCall, Done, Outcome, ServerAction};
use crate::resp::CommandError;
use crate::services::sentinel::{FailoverError, Sentinel, SetError};
use crate::sys::process;

/// Has the state be written; the reply is OK or the error of that.
pub(super) fn reply_when_saved(call: &mut ControlCall<'_>) -> Outcome {
    call.engine.carry_out_sentinel_actions();
    call.engine.actions.push_back(ServerAction::PersistSentinel { client: Some(call.client) });
    Ok(Done::Deferred)
}

/// `SENTINEL FLUSHCONFIG`
pub(super) fn flush_config(call: &mut ControlCall<'_>) -> Outcome {
    service(call)?;
    reply_when_saved(call)
}

/// `SENTINEL MONITOR name ip port quorum`
pub(super) fn monitor(call: &mut ControlCall<'_>) -> Outcome {
    refuse_control_characters(call, 2, "SENTINEL MONITOR")?;
    let integer = |index, error| number::parse_i64(call.args.at(index)).ok_or(CommandError::text(error));
    let quorum = integer(5, "ERR Invalid quorum")?;
    let port = integer(4, "ERR Invalid port")?;
    if quorum <= 0 {
        return Err(CommandError::text("ERR Quorum must be 1 or greater."));
    }
    let quorum = u32::try_from(quorum).unwrap_or(u32::MAX);
    let (name, host, now) = (word(call, 2), word(call, 3), call.engine.now());
    let service = service(call)?;
    if !service.accepts_host(&host) {
        return Err(CommandError::text("ERR Invalid IP address or hostname specified"));
    }
    service
        .monitor(now, &name, &host, port, quorum)
        .map_err(|error| CommandError::new(format!("ERR {}", error.text())))?;
    reply_when_saved(call)
}

/// `SENTINEL REMOVE name`
pub(super) fn remove(call: &mut ControlCall<'_>) -> Outcome {
    let (name, now) = (group_name(call, 2)?, call.engine.now());
    service(call)?.remove_group(now, &name);
    reply_when_saved(call)
}

/// `SENTINEL RESET pattern`
pub(super) fn reset(call: &mut ControlCall<'_>) -> Outcome {
    let (pattern, now) = (call.args.at(2).to_vec(), call.engine.now());
    let count = service(call)?.reset(now, &pattern);
    call.engine.carry_out_sentinel_actions();
    call.reply.count(count);
    Ok(Done::Replied)
}

/// `SENTINEL FAILOVER name [COORDINATED]`
pub(super) fn failover(call: &mut ControlCall<'_>) -> Outcome {
    if call.args.len() > 4 {
        return Err(CommandError::wrong_arity("sentinel|failover"));
    }
    let name = group_name(call, 2)?;
    let is_coordinated = match call.args.get(3) {
        None => false,
        Some(option) if option.eq_ignore_ascii_case(b"coordinated") => true,
        Some(_) => return Err(CommandError::text("ERR Unknown failover option specified")),
    };
    let now = call.engine.now();
    let outcome = service(call)?.fail_over(now, &name, is_coordinated);
    call.engine.carry_out_sentinel_actions();
    outcome.map_err(|error| {
        CommandError::text(match error {
            FailoverError::InProgress => "INPROG Failover already in progress",
            FailoverError::NoGoodReplica => "NOGOODSLAVE No suitable replica to promote",
            FailoverError::NoGoodPrimary => "NOGOODPRIMARY Primary does not support FAILOVER command",
        })
    })?;
    call.reply.ok();
    Ok(Done::Replied)
}

/// The error of an option of SENTINEL SET, which begins at argument `at`.
fn set_error(error: SetError, option: &str) -> CommandError {
    match error {
        SetError::Invalid(argument) => {
            CommandError::new(format!("ERR Invalid argument '{argument}' for SENTINEL SET '{option}'"))
        }
        SetError::Unknown => CommandError::new(format!(
            "ERR Unknown option or number of arguments for SENTINEL SET '{option}'"
        )),
        SetError::ScriptsDenied => CommandError::text(
            "ERR Reconfiguration of scripts path is denied for security reasons. Check the \
            deny-scripts-reconfig configuration directive in your Sentinel configuration",
        ),
        SetError::NoSuchScript(text) => CommandError::new(format!("ERR {text}")),
    }
}

/// `SENTINEL SET name option value [option value …]`
pub(super) fn set(call: &mut ControlCall<'_>) -> Outcome {
    let name = group_name(call, 2)?;
    let words: Vec<String> = (0..call.args.len()).map(|index| word(call, index)).collect();
    for at in (3..words.len() - 1).filter(|at| words[*at].eq_ignore_ascii_case("auth-pass")) {
        call.engine.redact(at + 1);
    }
    refuse_control_characters(call, 3, "SENTINEL SET")?;
    let now = call.engine.now();
    let (mut at, mut is_changed) = (3, false);
    while at < words.len() {
        let option = words[at].to_ascii_lowercase();
        let count = Sentinel::option_arity(&option).filter(|count| at + count < words.len());
        let outcome = match count {
            None => Err(SetError::Unknown),
            Some(count) => {
                let arguments: Vec<&str> = words[at + 1..=at + count].iter().map(String::as_str).collect();
                service(call)?.set_option(now, &name, &option, &arguments, process::is_executable)
            }
        };
        if let Err(error) = outcome {
            call.engine.carry_out_sentinel_actions();
            if is_changed {
                call.engine.actions.push_back(ServerAction::PersistSentinel { client: None });
            }
            return Err(set_error(error, &words[at]));
        }
        is_changed = true;
        at += 1 + count.unwrap_or_default();
    }
    reply_when_saved(call)
}

/// `SENTINEL SIMULATE-FAILURE [flag …]`
pub(super) fn simulate_failure(call: &mut ControlCall<'_>) -> Outcome {
    let words: Vec<String> = (2..call.args.len()).map(|index| word(call, index)).collect();
    let service = service(call)?;
    service.simulated = Default::default();
    for flag in words {
        match flag.to_ascii_lowercase().as_str() {
            "crash-after-election" => service.simulated.crash_after_election = true,
            "crash-after-promotion" => service.simulated.crash_after_promotion = true,
            "help" => {
                call.reply.array(2);
                call.reply.bulk(b"crash-after-election");
                call.reply.bulk(b"crash-after-promotion");
                return Ok(Done::Replied);
            }
            _ => return Err(CommandError::text("ERR Unknown failure simulation specified")),
        }
    }
    call.reply.ok();
    Ok(Done::Replied)
}
