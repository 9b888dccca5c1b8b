//! EVAL, EVALSHA, EVAL_RO, EVALSHA_RO.

use crate::base::number;
use crate::engine::command::spec::{KeyAt, key};
use crate::engine::{ControlCall, Outcome, Wanted};
use crate::resp::{Args, CommandError};

pub fn eval(call: &mut ControlCall<'_>) -> Outcome {
    let wanted = Wanted::Text(call.args.at(1));
    run(call, wanted, false)
}

pub fn eval_ro(call: &mut ControlCall<'_>) -> Outcome {
    let wanted = Wanted::Text(call.args.at(1));
    run(call, wanted, true)
}

pub fn evalsha(call: &mut ControlCall<'_>) -> Outcome {
    let wanted = Wanted::Sha1(call.args.at(1));
    run(call, wanted, false)
}

pub fn evalsha_ro(call: &mut ControlCall<'_>) -> Outcome {
    let wanted = Wanted::Sha1(call.args.at(1));
    run(call, wanted, true)
}

fn run(call: &mut ControlCall<'_>, wanted: Wanted<'_>, read_only: bool) -> Outcome {
    // Behind it come the commands that the script calls.
    if !call.engine.clients.monitors.is_empty() {
        call.engine.send_to_monitors(call.client, call.args);
    }
    if let Wanted::Sha1(sha1) = wanted
        && sha1.len() != 40
    {
        return Err(CommandError::text("NOSCRIPT No matching script. Please use EVAL."));
    }
    let keys = number::parse_i64(call.args.at(2)).ok_or(CommandError::NOT_INTEGER)?;
    if keys > call.args.len() as i64 - 3 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    let Ok(keys) = usize::try_from(keys) else {
        return Err(CommandError::text("ERR Number of keys can't be negative"));
    };
    call.engine.run_script(call.client, wanted, (call.args.tail(3), keys), read_only, call.reply)
}

/// The keys of EVAL and its kin that may write.
pub fn keys(args: Args<'_>, keys: &mut Vec<KeyAt>) {
    counted_keys(args, key::RW | key::ACCESS | key::UPDATE, keys);
}

/// The keys of those that only read.
pub fn keys_ro(args: Args<'_>, keys: &mut Vec<KeyAt>) {
    counted_keys(args, key::RO | key::ACCESS, keys);
}

fn counted_keys(args: Args<'_>, flags: u32, keys: &mut Vec<KeyAt>) {
    let count = args.get(2).and_then(number::parse_i64).and_then(|count| usize::try_from(count).ok());
    if let Some(count) = count.filter(|count| *count <= args.len().saturating_sub(3)) {
        keys.extend((3..3 + count).map(|index| KeyAt { index, flags }));
    }
}
