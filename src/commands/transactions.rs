//! Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH. The queue and the register of watched keys are the
//! engine's.

use crate::engine::clients::session::state;
use crate::engine::command::spec::{CommandSpec, Group, KeySpec, flag};
use crate::engine::command::table::CommandId;
use crate::engine::scripting::QueueProgress;
use crate::engine::{ClientCall, ControlCall, Done, Outcome};
use crate::resp::{CommandError, OwnedArgs};

pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::client("MULTI", multi)
        .arity(1)
        .noscript()
        .loading()
        .stale()
        .fast()
        .with(flag::ALLOW_BUSY | flag::UNQUEUED)
        .docs(
            Group::Transactions,
            "1.2.0",
            "O(1)",
            "Begins a transaction: commands are queued from here on.",
        ),
    CommandSpec::control("EXEC", exec)
        .arity(1)
        .noscript()
        .loading()
        .stale()
        .with(flag::SKIP_SLOWLOG | flag::UNQUEUED)
        .docs(
            Group::Transactions,
            "1.2.0",
            "That of the queued commands",
            "Executes the queued commands in one go.",
        ),
    CommandSpec::client("DISCARD", discard)
        .arity(1)
        .noscript()
        .loading()
        .stale()
        .fast()
        .with(flag::ALLOW_BUSY | flag::UNQUEUED)
        .docs(
            Group::Transactions,
            "2.0.0",
            "O(N), N being the number of queued commands",
            "Drops the queued commands.",
        ),
    CommandSpec::control("WATCH", watch)
        .arity(-2)
        .noscript()
        .loading()
        .stale()
        .fast()
        .with(flag::ALLOW_BUSY | flag::UNQUEUED)
        .keys(&[KeySpec::ALL.ro()])
        .docs(
            Group::Transactions,
            "2.2.0",
            "O(1) for each key",
            "Watches keys: a transaction fails if one of them changed.",
        )
        .syntax("key:key..."),
    CommandSpec::client("UNWATCH", unwatch)
        .arity(1)
        .noscript()
        .loading()
        .stale()
        .fast()
        .with(flag::ALLOW_BUSY)
        .docs(Group::Transactions, "2.2.0", "O(1)", "Stops watching keys."),
];

fn multi(call: &mut ClientCall<'_>) -> Outcome {
    let session = call.clients.sessions.live_mut(call.client);
    if session.is(state::IN_MULTI) {
        return Err(CommandError::text("ERR MULTI calls can not be nested"));
    }
    session.set(state::IN_MULTI, true);
    call.reply.ok();
    Ok(Done::Replied)
}

fn discard(call: &mut ClientCall<'_>) -> Outcome {
    if !call.clients.sessions.live(call.client).is(state::IN_MULTI) {
        return Err(CommandError::text("ERR DISCARD without MULTI"));
    }
    call.clients.discard_transaction(call.client);
    call.reply.ok();
    Ok(Done::Replied)
}

fn exec(call: &mut ControlCall<'_>) -> Outcome {
    if !call.engine.clients.sessions.live(call.client).is(state::IN_MULTI) {
        return Err(CommandError::text("ERR EXEC without MULTI"));
    }
    let too_late = call.engine.has_expired_watch(call.client);
    let session = call.engine.clients.sessions.live(call.client);
    if session.is(state::DIRTY_EXEC) {
        call.engine.discard_transaction(call.client);
        return Err(CommandError::text("EXECABORT Transaction discarded because of previous errors."));
    }
    if too_late || session.is(state::DIRTY_CAS) {
        call.engine.discard_transaction(call.client);
        // It tells that there was a change.
        call.engine.note_data_read();
        call.reply.null_array();
        return Ok(Done::Replied);
    }
    // The transaction's own changes must not fail it; without watched keys they cost no lookups either.
    call.engine.unwatch_all(call.client);
    let session = call.engine.clients.sessions.live_mut(call.client);
    session.set(state::IN_EXEC, true);
    let written_before = session.write_offset;
    let taken = session.transaction.as_mut().map(|transaction| {
        transaction.written_before = written_before;
        (std::mem::take(&mut transaction.queue), transaction.flags)
    });
    let (queue, flags) = taken.unwrap_or_default();
    if flags & (flag::RUNS_SCRIPT | flag::ADMIN) != 0 {
        return exec_in_steps(call, queue);
    }
    call.reply.array(queue.len());
    for (command, request) in &queue {
        if let Err(error) = call.engine.check_queued(call.client, *command, request.as_args()) {
            call.reply.error(&error);
            continue;
        }
        // Each command writes its reply, an error included.
        let _ = call.engine.call(call.client, *command, request.as_args(), call.reply);
        call.engine.notify_so_far(call.client);
    }
    call.engine.discard_transaction(call.client);
    Ok(Done::Replied)
}

/// A script may go over its time: then what has been replied is kept, and the rest of the queue waits. The reply of
/// a command of the administration may follow when the server has done its part.
fn exec_in_steps(call: &mut ControlCall<'_>, queue: Vec<(CommandId, OwnedArgs)>) -> Outcome {
    let progress = QueueProgress::new(queue, call.reply.is_resp3());
    let Some(progress) = call.engine.call_queue(call.client, progress) else { return Ok(Done::Suspended) };
    call.engine.discard_transaction(call.client);
    let QueueProgress { reply, gaps, .. } = progress;
    if !gaps.is_empty() {
        call.engine.defer_rest(call.client, reply.into_bytes(), gaps);
        return Ok(Done::Deferred);
    }
    call.reply.raw(reply.bytes());
    Ok(Done::Replied)
}

fn watch(call: &mut ControlCall<'_>) -> Outcome {
    let session = call.engine.clients.sessions.live(call.client);
    if session.is(state::IN_MULTI) {
        return Err(CommandError::text("ERR WATCH inside MULTI is not allowed"));
    }
    // A transaction that will fail needs no further watches.
    if !session.is(state::DIRTY_CAS) {
        call.args.tail(1).iter().for_each(|key| call.engine.watch(call.client, key));
    }
    call.reply.ok();
    Ok(Done::Replied)
}

fn unwatch(call: &mut ClientCall<'_>) -> Outcome {
    call.clients.unwatch_all(call.client);
    call.reply.ok();
    Ok(Done::Replied)
}

#[cfg(test)]
#[path = "transactions_tests.rs"]
mod tests;
