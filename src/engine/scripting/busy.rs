//! A script that takes longer than `busy-reply-threshold`: it goes on a slice a turn, and other clients get BUSY meanwhile.
//!
//! ```text
//! EXEC ─ call ─ EVAL ─ call ─ script          suspended: the frame of both calls, what each needs to be completed,
//!                               ↓             the rest of the queue, the replies so far
//!                     over its time
//! turn: resume the frame → a slice of the script → suspend it again, or complete EVAL, go on with the queue, complete EXEC
//! ```
//!
//! Its changes stay one unit: what they concern (watches, events, the command stream) is processed only at the end, and
//! no other command that could change data runs before.

use std::collections::VecDeque;

use super::{Progress, Run};
use crate::base::ids::ClientId;
use crate::engine::clients::session::{Role, state};
use crate::engine::clients::slow_script::SlowScript;
use crate::engine::command::table::CommandId;
use crate::engine::dispatch::Frame;
use crate::engine::dispatch::call::CallState;
use crate::engine::{Done, Engine, ServerAction};
use crate::resp::{CommandError, OwnedArgs, Reply};
use crate::services::scripting::{Exchange, Input};
use crate::sys::clock::Ticks;

/// Time of a script in a turn once it is slow, ns.
const SLICE: u64 = 2_000_000;

/// A script that isn't running now, and the calls around it.
pub(in crate::engine) struct Suspended {
    run: Box<Run>,
    exchange: Box<Exchange>,
    /// Of the calls, while the loop goes on.
    frame: Option<Frame>,
    /// The call of EVAL; around it that of EXEC.
    calls: Vec<CallState>,
    queue: Option<QueueProgress>,
}

/// How far an EXEC is.
pub struct QueueProgress {
    pub queue: Vec<(CommandId, OwnedArgs)>,
    /// How many of the queue were called.
    pub done: usize,
    pub reply: Reply,
    /// Where in the reply those of deferred calls belong.
    pub gaps: VecDeque<usize>,
}

impl QueueProgress {
    /// An EXEC that begins.
    pub fn new(queue: Vec<(CommandId, OwnedArgs)>, resp3: bool) -> Self {
        let mut reply = Reply::new(Vec::new(), resp3);
        reply.array(queue.len());
        QueueProgress { queue, done: 0, reply, gaps: VecDeque::new() }
    }
}

impl Suspended {
    pub(super) fn new(run: Box<Run>, exchange: Box<Exchange>) -> Box<Self> {
        Box::new(Suspended { run, exchange, frame: None, calls: Vec::new(), queue: None })
    }
}

/// A slow function, for FUNCTION STATS.
pub struct RunningFunction<'s> {
    pub name: &'s [u8],
    /// The request that called it.
    pub request: Option<&'s OwnedArgs>,
    pub millis: u64,
}

impl Engine {
    /// The function that is running; an error if it is a script that is.
    pub fn running_function(&self) -> Result<Option<RunningFunction<'_>>, CommandError> {
        let Some(suspended) = &self.scripting.suspended else { return Ok(None) };
        let kind = suspended.run.name.kind();
        if kind != SlowScript::Function {
            return Err(kind.error());
        }
        Ok(Some(RunningFunction {
            name: suspended.run.name.as_bytes(),
            request: suspended.calls.first().map(|call| &call.request),
            millis: self.clock.nanos(suspended.run.started, self.clock.ticks()) / 1_000_000,
        }))
    }

    /// Whether a script has to let the loop go on.
    pub(super) fn is_over_time(&self, run: &mut Run, slice_started: Ticks) -> bool {
        let now = self.clock.ticks();
        if run.is_slow {
            return self.clock.nanos(slice_started, now) >= SLICE;
        }
        let elapsed_ms = self.clock.nanos(run.started, now) / 1_000_000;
        let threshold = self.config.busy_reply_threshold;
        if threshold == 0 || elapsed_ms < threshold {
            return false;
        }
        run.is_slow = true;
        log::warn!(
            "Slow script detected: still in execution after {elapsed_ms} milliseconds. You can try killing the script using \
             the {} command. Script name is: {}.",
            run.name.kind().kill_command(),
            String::from_utf8_lossy(run.name.as_bytes())
        );
        true
    }

    /// A call can't be completed: its script goes on later.
    pub(in crate::engine) fn suspend_call(&mut self, call: CallState) {
        if let Some(suspended) = &mut self.scripting.suspended {
            suspended.calls.push(call);
        }
    }

    /// The outermost call is suspended: takes its frame out of the way of others, and has its client wait.
    pub(in crate::engine) fn suspend_unit(&mut self, client: ClientId) {
        self.clients.sessions.live_mut(client).set(state::BLOCKED, true);
        self.clients.script_client = Some(client);
        self.clients.slow_script =
            self.scripting.suspended.as_ref().map(|suspended| suspended.run.name.kind());
        self.put_frame_aside();
    }

    fn put_frame_aside(&mut self) {
        if let Some(client) = self.clients.script_client {
            // Other clients' requests come before its reply.
            self.clients.outbox.post_self_messages(client);
        }
        let mut fresh = Frame::new(self.frame.now_us);
        fresh.data_reads = self.frame.data_reads;
        let frame = std::mem::replace(&mut self.frame, fresh);
        // Handlers between the calls see the same consumers.
        if let Some(suspended) = &mut self.scripting.suspended {
            suspended.frame = Some(frame);
        }
        self.refresh_recording();
    }

    /// Lets the slow script go on for a slice.
    pub(in crate::engine) fn continue_script(&mut self) {
        let Some(mut suspended) = self.scripting.suspended.take() else { return };
        if let Some(mut frame) = suspended.frame.take() {
            frame.data_reads = self.frame.data_reads;
            self.frame = frame;
            self.refresh_recording();
        }
        let input = if suspended.run.is_killed { Input::Kill } else { Input::Continue };
        let exchange = std::mem::take(&mut suspended.exchange);
        let (progress, exchange) = self.drive(&mut suspended.run, input, exchange);
        suspended.exchange = exchange;
        match progress {
            Progress::Suspended => {
                self.scripting.suspended = Some(suspended);
                self.put_frame_aside();
            }
            Progress::Finished => self.complete_unit(*suspended),
        }
    }

    /// The slow script is over: completes the calls around it.
    fn complete_unit(&mut self, suspended: Suspended) {
        let Suspended { run, exchange, calls, queue, .. } = suspended;
        let client = run.client;
        let resp3 = self.clients.sessions.live(client).resp3;
        let mut calls = calls.into_iter();
        let mut progress = queue;
        let mut alone = Reply::new(Vec::new(), resp3);
        self.finish_script(*run, exchange, progress.as_mut().map_or(&mut alone, |queue| &mut queue.reply));
        if let Some(call) = calls.next() {
            self.complete_suspended(client, call, progress.as_ref().map_or(&alone, |queue| &queue.reply));
        }
        let mut gaps = VecDeque::new();
        let mut reply = alone;
        if let Some(mut progress) = progress {
            self.notify_so_far(client);
            progress.done += 1;
            // Without one the next script is slow, too: the call of EXEC goes on waiting.
            let Some(whole) = self.call_queue(client, progress) else {
                calls.for_each(|call| self.suspend_call(call));
                return self.put_frame_aside();
            };
            (reply, gaps) = (whole.reply, whole.gaps);
            self.discard_transaction(client);
            if let Some(call) = calls.next() {
                self.complete_suspended(client, call, &reply);
            }
        }
        // Requests of clients that waited for what it has changed are admitted again.
        self.clients.slow_script = None;
        if self.replication.is_replica() {
            // The primary's requests have waited.
            self.actions.push_back(ServerAction::ResumeAll);
        }
        self.after_command(client, &mut reply);
        self.end_slow_request(client, reply.bytes());
        self.clients.script_client = None;
        if std::mem::take(&mut self.clients.script_client_left) {
            return self.disconnect(client);
        }
        if gaps.is_empty() {
            return self.complete_deferred(client, reply.bytes());
        }
        self.defer_rest(client, reply.into_bytes(), gaps);
    }

    fn complete_suspended(&mut self, client: ClientId, call: CallState, reply: &Reply) {
        let args = call.request.as_args();
        self.complete_call(client, args, &call, reply);
        self.end_call_frame(client, call.id, args);
    }

    /// Calls the commands of an EXEC from where it is, to the end; `None` if one of them is suspended.
    pub fn call_queue(&mut self, client: ClientId, mut progress: QueueProgress) -> Option<QueueProgress> {
        while let Some((command, request)) = progress.queue.get(progress.done) {
            let (command, args) = (*command, request.as_args());
            let reply = &mut progress.reply;
            match self.check_queued(client, command, args) {
                Err(error) => reply.error(&error),
                // Each command writes its reply, an error included.
                Ok(()) => match self.call(client, command, args, reply) {
                    Ok(Done::Suspended) => {
                        if let Some(suspended) = &mut self.scripting.suspended {
                            suspended.queue = Some(progress);
                        }
                        return None;
                    }
                    Ok(Done::Deferred) => progress.gaps.push_back(reply.len()),
                    _ => self.notify_so_far(client),
                },
            }
            progress.done += 1;
        }
        Some(progress)
    }

    /// SCRIPT KILL, and FUNCTION KILL: ends what is running, which must be of that kind.
    pub fn kill_script(&mut self, wanted: SlowScript) -> Result<(), CommandError> {
        let Some(suspended) = &mut self.scripting.suspended else {
            return Err(CommandError::text("NOTBUSY No scripts in execution right now."));
        };
        if self.clients.sessions.live(suspended.run.client).role == Role::Primary {
            return Err(CommandError::text(
                "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be \
                 killed.",
            ));
        }
        if suspended.run.has_written {
            return Err(CommandError::text(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
                 the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ));
        }
        let kind = suspended.run.name.kind();
        if kind != wanted {
            return Err(kind.error());
        }
        log::info!("Lua script killed by user with SCRIPT KILL.");
        suspended.run.is_killed = true;
        Ok(())
    }

    /// Whether a slow script is in the middle of what it does: no snapshot and no log may begin here.
    pub fn is_busy_with_script(&self) -> bool {
        self.scripting.is_busy()
    }
}
