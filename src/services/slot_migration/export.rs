//! The source's state machine of slot migrations, of both families. Events and moments come in, actions go out.
//!
//! ```text
//! Valkey   Connecting ─ Auth ─ Establish ─▶ WaitingToSnapshot ─▶ Snapshotting ─▶ Replicating ─▶ WaitingToPause ─▶ FailoverPaused
//!                                                                                REQUEST-PAUSE         REQUEST-FAILOVER │
//!                                                             Succeeded ◀── the target claims the slots ── FailoverGranted
//! Redis    WaitRdbChannel ─▶ WaitBgsaveStart ─▶ SendBulkAndStream ─▶ SendStream ─▶ HandoffPrep ─▶ StreamEof ─▶ Succeeded
//!          SYNC              RDBCHANNEL                              ACK: little is missing       STREAM-EOF
//! ```
//!
//! Writes are held back from FailoverPaused or HandoffPrep on, for a bounded time. Until the slots are granted every failure
//! leaves them here. Once they are, the target may have taken them although it can't be heard: its claim decides.

use std::collections::VecDeque;

use super::job::{Family, Job, JobId, Role, State};
use super::jobs::Jobs;
use super::ranges::SlotRanges;
use crate::base::ids::NodeId;
use crate::resp::encode_request;

/// How often each end tells the other that it is there (Valkey), ms.
const ACK_PERIOD: u64 = 1000;
/// The pause lasts at least so long once the slots are granted, for the news to come (Valkey: `CLUSTER_OPERATION_TIMEOUT`), ms.
const GRANTED_PAUSE: u64 = 2000;
/// How many manual failover times the pause lasts (Valkey).
const PAUSE_TIMES: u64 = 2;
/// Bytes of a reply to the handshake.
const MAX_REPLY: usize = 16 * 1024;

const LOST_TARGET: &str =
    "Connection lost to target. Check CLUSTER GETSLOTMIGRATIONS on the target node for more information.";
const PAUSED_TOO_LONG: &str = "Server paused timeout";
const UNEXPECTED: &str = "Unexpected state machine transition";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to the target.
    Connect { job: JobId, target: NodeId },
    /// Send this over the link.
    SendOnLink { job: JobId, bytes: Vec<u8> },
    /// The target has agreed. What comes over the link from now on are its requests, `unread` first.
    Adopt { job: JobId, unread: Vec<u8> },
    /// Send CLUSTER SYNCSLOTS with this word, behind everything before.
    Say { job: JobId, word: &'static str },
    /// Hold back writes, send what has changed before, and call [`Exports::paused`].
    Pause { job: JobId },
    /// The target may take the slots over: its claim holds whatever its epoch.
    Grant { job: JobId },
    /// It is over: end its connections, its walk, its pause.
    End { job: JobId },
}

/// Which node has all slots of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotOwner {
    Me,
    Node(NodeId),
    /// Not one node alone.
    Several,
}

/// What the configuration says.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `repl-timeout`, ms.
    pub silence_ms: u64,
    /// `cluster-manual-failover-timeout`.
    pub failover_ms: u64,
    /// `slot-migration-max-failover-repl-bytes`: bytes that may be unsent when writes pause; `None`: any number.
    pub unsent: Option<u64>,
    /// `cluster-slot-migration-handoff-max-lag-bytes`.
    pub lag: u64,
    /// `cluster-slot-migration-write-pause-timeout`.
    pub pause_ms: u64,
    /// `cluster-slot-migration-sync-buffer-drain-timeout`.
    pub drain_ms: u64,
    /// No pause begins (DEBUG SLOTMIGRATION PREVENT-PAUSE).
    pub prevents_pause: bool,
}

/// An export under way.
#[derive(Debug)]
struct Export {
    job: JobId,
    /// AUTH for the target, if it is to be sent.
    login: Option<Vec<u8>>,
    /// What has come of a reply.
    reply: Vec<u8>,
    /// When the pause ends, ms.
    pause_until: Option<u64>,
    /// Why it is to be cancelled, if that was asked for when the target could take over already.
    late_cancel: Option<String>,
    /// When this end last said that it is there.
    said_ms: u64,
    /// Redis: bytes that were sent of what changes, and how many of them the target has executed.
    sent: u64,
    executed: u64,
    /// Redis: when the snapshot began, and when the target had executed what had changed meanwhile.
    began_ms: u64,
    caught_up_ms: Option<u64>,
}

/// Whether the target may take the slots over: what becomes of the job is heard from the cluster.
fn is_granted(job: &Job) -> bool {
    matches!(job.state, State::FailoverGranted | State::StreamEof)
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Exports {
    exports: Vec<Export>,
    actions: VecDeque<Action>,
}

impl Exports {
    /// What is to be done next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    #[cfg(test)]
    pub(super) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn get(&mut self, job: JobId) -> Option<&mut Export> {
        self.exports.iter_mut().find(|export| export.job == job)
    }

    /// Those under way, the oldest first.
    pub fn under_way(&self) -> Vec<JobId> {
        self.exports.iter().map(|export| export.job).collect()
    }

    pub fn is_under_way(&self, job: JobId) -> bool {
        self.exports.iter().any(|export| export.job == job)
    }

    fn add(&mut self, job: JobId, login: Option<Vec<u8>>, now: u64) {
        self.exports.push(Export {
            job,
            login,
            reply: Vec::new(),
            pause_until: None,
            late_cancel: None,
            said_ms: now,
            sent: 0,
            executed: 0,
            began_ms: now,
            caught_up_ms: None,
        });
    }

    /// Begins a migration of Valkey's kind to another node (MIGRATESLOTS). `login`: an AUTH request, if there is to be one.
    pub fn migrate(
        &mut self,
        jobs: &mut Jobs,
        (slots, name): (SlotRanges, String),
        (source, target): (NodeId, NodeId),
        login: Option<Vec<u8>>,
        now: u64,
    ) -> JobId {
        let mut job = Job::new(Family::Valkey, Role::Export, name, slots, State::Connecting, now);
        (job.source, job.target) = (Some(source), Some(target));
        let id = jobs.add(job);
        self.add(id, login, now);
        self.actions.push_back(Action::Connect { job: id, target });
        id
    }

    /// The link is connected.
    pub fn connected(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        let Some(export) = self.get(id) else { return };
        match export.login.take() {
            Some(bytes) => {
                self.set_state(jobs, id, State::ReadingAuth, now);
                self.actions.push_back(Action::SendOnLink { job: id, bytes });
            }
            None => self.establish(jobs, id, now),
        }
    }

    fn establish(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        let Some(job) = jobs.get(id) else { return };
        let mut words = ["CLUSTER", "SYNCSLOTS", "ESTABLISH", "SOURCE"].map(String::from).to_vec();
        words.extend([
            job.source.map(|id| id.to_string()).unwrap_or_default(),
            "NAME".into(),
            job.name.clone(),
        ]);
        words.push("SLOTSRANGE".into());
        words.extend(job.slots.iter().flat_map(|range| [range.start().to_string(), range.end().to_string()]));
        let mut bytes = Vec::new();
        encode_request(&mut bytes, words.iter());
        self.set_state(jobs, id, State::ReadingEstablish, now);
        self.actions.push_back(Action::SendOnLink { job: id, bytes });
    }

    /// Something has come over the link.
    pub fn received(&mut self, jobs: &mut Jobs, id: JobId, bytes: &[u8], now: u64) {
        let Some(state) = jobs.get(id).map(|job| job.state) else { return };
        let Some(export) = self.get(id) else { return };
        export.reply.extend_from_slice(bytes);
        let Some(end) = export.reply.windows(2).position(|pair| pair == b"\r\n") else {
            if export.reply.len() > MAX_REPLY {
                let text = "Response to establish job is larger than buffer limit";
                self.fail(jobs, id, text.into(), now);
            }
            return;
        };
        let unread = export.reply.split_off(end + 2);
        let line = std::mem::take(&mut export.reply);
        let text = String::from_utf8_lossy(&line[..end]).into_owned();
        match state {
            State::ReadingAuth if line[0] == b'-' => {
                self.fail(jobs, id, format!("Failed to AUTH to target node: {text}"), now);
            }
            State::ReadingAuth => self.establish(jobs, id, now),
            State::ReadingEstablish if line[0] == b'-' => {
                let text = format!("Received error during handshake to target: {text}");
                self.fail(jobs, id, text, now);
            }
            State::ReadingEstablish => {
                self.set_state(jobs, id, State::WaitingToSnapshot, now);
                self.actions.push_back(Action::Adopt { job: id, unread });
                // The target begins to speak when it has heard this.
                self.actions.push_back(Action::Say { job: id, word: "ACK" });
            }
            _ => {}
        }
    }

    /// The link has ended, or couldn't be opened.
    pub fn link_closed(&mut self, jobs: &mut Jobs, id: JobId, reason: &str, now: u64) {
        let Some(job) = jobs.get(id) else { return };
        let text = match job.state {
            State::Connecting => format!("Unable to connect to target node: {reason}"),
            State::ReadingAuth => "Target node did not respond to AUTH command".into(),
            _ => LOST_TARGET.into(),
        };
        self.fail(jobs, id, text, now);
    }

    /// Begins a migration of Redis's kind: a target asks for slots (SYNC).
    pub fn sync(
        &mut self,
        jobs: &mut Jobs,
        (slots, name): (SlotRanges, String),
        (source, target): (NodeId, Option<NodeId>),
        now: u64,
    ) -> JobId {
        let same = jobs.iter().find(|job| {
            job.family == Family::Redis
                && job.role == Role::Export
                && !job.is_archived
                && (&*job.name, &job.slots, job.target) == (&*name, &slots, target)
        });
        let again = same.map(|job| job.id);
        // A failed one makes room for another.
        let failed: Vec<JobId> = jobs
            .iter()
            .filter(|job| job.role == Role::Export && !job.is_archived && job.state == State::Failed)
            .map(|job| job.id)
            .filter(|id| Some(*id) != again)
            .collect();
        for id in failed {
            jobs.archive(id, State::Cancelled, None, now);
        }
        let id = again.unwrap_or_else(|| {
            let mut job = Job::new(Family::Redis, Role::Export, name, slots, State::WaitRdbChannel, now);
            (job.source, job.target, job.started_ms) = (Some(source), target, Some(now));
            jobs.add(job)
        });
        if let Some(job) = jobs.get_mut(id).filter(|_| again.is_some()) {
            job.retries += 1;
            job.paused_ms = None;
            job.set_state(State::WaitRdbChannel, now);
        }
        self.add(id, None, now);
        id
    }

    /// Its second connection is there (RDBCHANNEL).
    pub fn rdb_channel(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        self.set_state(jobs, id, State::WaitBgsaveStart, now);
    }

    /// Those whose walk may begin, the oldest first.
    pub fn awaits_snapshot(&self, jobs: &Jobs) -> Option<JobId> {
        let awaits = |id: &JobId| {
            jobs.get(*id)
                .is_some_and(|job| matches!(job.state, State::WaitingToSnapshot | State::WaitBgsaveStart))
        };
        self.exports.iter().map(|export| export.job).find(awaits)
    }

    /// The walk has begun, and what changes from now on is kept for the target.
    pub fn snapshot_began(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        let Some(job) = jobs.get(id) else { return };
        let state = match job.family {
            Family::Valkey => State::Snapshotting,
            Family::Redis => State::SendBulkAndStream,
        };
        self.set_state(jobs, id, state, now);
        if let Some(export) = self.get(id) {
            export.began_ms = now;
        }
    }

    /// All of the snapshot was sent.
    pub fn snapshot_sent(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        let next = match jobs.get(id).map(|job| job.state) {
            Some(State::Snapshotting) => State::Replicating,
            Some(State::SendBulkAndStream) => State::SendStream,
            _ => return,
        };
        self.set_state(jobs, id, next, now);
        // Nothing was to be heard of the target meanwhile.
        self.heard(jobs, id, now);
    }

    /// The snapshot can't be made, or not be sent.
    pub fn snapshot_failed(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        let Some(job) = jobs.get(id) else { return };
        match (job.family, job.state) {
            (Family::Valkey, State::Snapshotting) => {
                self.fail(jobs, id, "Failed to perform snapshot".into(), now);
            }
            (Family::Redis, State::SendBulkAndStream | State::WaitBgsaveStart) => {
                self.fail(jobs, id, "RDB channel - Failed to send slots snapshot".into(), now);
            }
            _ => {}
        }
    }

    /// So many bytes of what has changed go to the target.
    pub fn add_sent(&mut self, id: JobId, bytes: u64) {
        if let Some(export) = self.get(id) {
            export.sent += bytes;
        }
    }

    /// The target is there (ACK of Valkey).
    pub fn heard(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        if let Some(job) = jobs.get_mut(id) {
            job.acked_ms = now;
        }
    }

    /// REQUEST-PAUSE: the target has the snapshot.
    pub fn pause_requested(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        match jobs.get(id).map(|job| job.state) {
            // What was sent may arrive before it is noted here that all of it was.
            Some(State::Replicating | State::Snapshotting) => {
                self.snapshot_sent(jobs, id, now);
                self.set_state(jobs, id, State::WaitingToPause, now);
            }
            Some(_) => self.fail(jobs, id, UNEXPECTED.into(), now),
            None => {}
        }
    }

    /// ACK of Redis: the target has executed so much. `streaming`: it still executes what had changed during the snapshot.
    pub fn executed(
        &mut self,
        jobs: &mut Jobs,
        id: JobId,
        (streaming, offset): (bool, u64),
        limits: &Limits,
        now: u64,
    ) {
        self.heard(jobs, id, now);
        let state = jobs.get(id).map(|job| job.state);
        let Some(export) = self.get(id).filter(|export| export.executed <= offset) else { return };
        export.executed = offset;
        if !streaming {
            export.caught_up_ms.get_or_insert(now);
        }
        let is_near = offset.saturating_add(limits.lag) >= export.sent;
        if is_near
            && !limits.prevents_pause
            && matches!(state, Some(State::SendBulkAndStream | State::SendStream))
        {
            self.set_state(jobs, id, State::HandoffPrep, now);
            self.actions.push_back(Action::Pause { job: id });
        }
    }

    /// Writes are held back; what is from before may not have left yet. [`Self::paused`] needs no such state: it says so at once.
    pub fn hand_off(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        self.set_state(jobs, id, State::Handoff, now);
    }

    /// Writes are held back; everything from before was handed over.
    pub fn paused(&mut self, jobs: &mut Jobs, id: JobId, limits: &Limits, now: u64) {
        let Some(job) = jobs.get_mut(id) else { return };
        job.paused_ms = Some(now);
        let family = job.family;
        let Some(export) = self.get(id) else { return };
        match family {
            Family::Valkey => {
                export.pause_until = Some(now + limits.failover_ms * PAUSE_TIMES);
                self.actions.push_back(Action::Say { job: id, word: "PAUSED" });
                self.set_state(jobs, id, State::FailoverPaused, now);
            }
            // The target must not take over what is given up in the same moment.
            Family::Redis if limits.pause_ms == 0 => self.fail(jobs, id, PAUSED_TOO_LONG.into(), now),
            Family::Redis => {
                export.pause_until = Some(now + limits.pause_ms);
                self.actions.push_back(Action::Grant { job: id });
                self.actions.push_back(Action::Say { job: id, word: "STREAM-EOF" });
                self.set_state(jobs, id, State::StreamEof, now);
            }
        }
    }

    /// REQUEST-FAILOVER: the target has everything. `fails_over`: a replica is about to take over all slots in an epoch of its own, and
    /// what it writes then wouldn't be the target's.
    pub fn failover_requested(&mut self, jobs: &mut Jobs, id: JobId, fails_over: bool, now: u64) {
        let state = jobs.get(id).map(|job| job.state);
        let Some(export) = self.get(id) else { return };
        match state {
            Some(State::FailoverPaused) if fails_over => {
                self.fail(jobs, id, "A manual failover is in progress".into(), now);
            }
            Some(State::FailoverPaused) if export.pause_until.is_some_and(|until| until >= now) => {
                export.pause_until = export.pause_until.max(Some(now + GRANTED_PAUSE));
                self.actions.push_back(Action::Grant { job: id });
                self.actions.push_back(Action::Say { job: id, word: "FAILOVER-GRANTED" });
                self.set_state(jobs, id, State::FailoverGranted, now);
            }
            Some(State::FailoverPaused) => {
                self.fail(jobs, id, "Unpaused before failover completed".into(), now);
            }
            _ => self.fail(jobs, id, UNEXPECTED.into(), now),
        }
    }

    /// The connection of the target has ended: that of a job of Valkey, or the main one of a job of Redis.
    pub fn closed(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        let Some(job) = jobs.get(id) else { return };
        match (job.family, job.state) {
            // Whether the target has the slots is heard from the cluster.
            (_, State::FailoverGranted | State::StreamEof) => {}
            (Family::Valkey, _) => self.fail(jobs, id, LOST_TARGET.into(), now),
            (Family::Redis, _) => {
                self.fail(jobs, id, "Main and RDB channel clients are disconnected.".into(), now);
            }
        }
    }

    /// The slots may have other owners, or this node another role.
    pub fn owned_by(&mut self, jobs: &mut Jobs, id: JobId, owner: SlotOwner, now: u64) {
        let Some(job) = jobs.get(id) else { return };
        match (job.family, owner) {
            (_, SlotOwner::Me) => {}
            (Family::Valkey, SlotOwner::Node(node)) if job.target == Some(node) => {
                self.succeed(jobs, id, now)
            }
            (Family::Redis, SlotOwner::Node(node))
                if job.target.is_none_or(|it| it == node) && is_granted(job) =>
            {
                self.succeed(jobs, id, now);
            }
            (Family::Valkey, _) => self.fail(jobs, id, "Slots are no longer owned by myself".into(), now),
            (Family::Redis, _) => self.cancel(jobs, id, "slots configuration updated", now),
        }
    }

    /// Gives a job up for a reason; one of Redis says it.
    pub fn cancel(&mut self, jobs: &mut Jobs, id: JobId, reason: &str, now: u64) {
        let Some(job) = jobs.get(id) else { return };
        let message = match job.family {
            Family::Valkey => String::new(),
            Family::Redis => with_states(job, &format!("Cancelled due to {reason}")),
        };
        self.end(jobs, id, State::Cancelled, message, now);
    }

    /// Gives a job up because an operator asks for it. Where the target may take over in this moment the pause goes on first: what would
    /// be written here until that is known would be lost.
    pub fn cancel_on_request(&mut self, jobs: &mut Jobs, id: JobId, reason: &str, now: u64) {
        match self.get(id) {
            Some(export) if jobs.get(id).is_some_and(is_granted) => export.late_cancel = Some(reason.into()),
            _ => self.cancel(jobs, id, reason, now),
        }
    }

    /// A job fails. Its target may ask for the slots again, if it is one of Redis.
    pub fn fail(&mut self, jobs: &mut Jobs, id: JobId, message: String, now: u64) {
        let Some(job) = jobs.get(id) else { return };
        let message = match job.family {
            Family::Valkey => message,
            Family::Redis => with_states(job, &message),
        };
        self.end(jobs, id, State::Failed, message, now);
    }

    fn succeed(&mut self, jobs: &mut Jobs, id: JobId, now: u64) {
        self.end(jobs, id, State::Succeeded, String::new(), now);
    }

    fn end(&mut self, jobs: &mut Jobs, id: JobId, state: State, message: String, now: u64) {
        let Some(job) = jobs.get_mut(id).filter(|job| job.is_active()) else { return };
        let level = if state == State::Failed { log::Level::Warn } else { log::Level::Info };
        log::log!(
            level,
            "Slot migration {} finished. State: {}, Message: {}",
            describe(job),
            state.name(job.family),
            if message.is_empty() { "none" } else { &message }
        );
        if job.family == Family::Redis && state == State::Failed {
            job.message = message;
            job.set_state(state, now);
        } else {
            jobs.archive(id, state, Some(message), now);
        }
        self.exports.retain(|export| export.job != id);
        self.actions.retain(|action| !matches!(action, Action::Pause { job } | Action::Grant { job } | Action::Say { job, .. } if *job == id));
        self.actions.push_back(Action::End { job: id });
    }

    /// Does what is due. `unsent`: how many bytes of a job's changes the target hasn't been sent yet.
    pub fn tick(&mut self, jobs: &mut Jobs, unsent: impl Fn(JobId) -> u64, limits: &Limits, now: u64) {
        for id in self.under_way() {
            let Some(job) = jobs.get(id) else { continue };
            match job.family {
                Family::Valkey => self.tick_valkey(jobs, id, &unsent, limits, now),
                Family::Redis => self.tick_redis(jobs, id, limits, now),
            }
        }
    }

    fn tick_valkey(
        &mut self,
        jobs: &mut Jobs,
        id: JobId,
        unsent: &impl Fn(JobId) -> u64,
        limits: &Limits,
        now: u64,
    ) {
        let (Some(job), Some(export)) = (jobs.get(id), self.exports.iter_mut().find(|it| it.job == id))
        else {
            return;
        };
        let is_over = export.pause_until.is_some_and(|until| until < now);
        let is_silent = now.saturating_sub(job.acked_ms) > limits.silence_ms;
        match job.state {
            State::FailoverGranted if is_over => {
                log::warn!(
                    "Write loss risk! During slot migration {}, new owner did not broadcast ownership before we unpaused ourselves. Any writes we have recorded since unpausing may be lost!",
                    describe(job)
                );
                let text =
                    "Unpaused before migration completed (migration may have succeeded with lost writes)";
                return self.end_pause(jobs, id, text, now);
            }
            State::FailoverGranted => return,
            // The target executes what it gets; that it gets something is seen where it is sent.
            State::Snapshotting => return,
            _ if is_silent => {
                let text = "Timed out after too long with no interaction";
                return self.fail(jobs, id, text.into(), now);
            }
            State::FailoverPaused if is_over => {
                return self.fail(jobs, id, "Timed out before streaming completed".into(), now);
            }
            State::WaitingToPause if !limits.prevents_pause => {
                let left = unsent(id);
                if limits.unsent.is_none_or(|most| left <= most) {
                    log::info!(
                        "Pausing writes (remaining_repl_size is {left}) to allow slot migration {} to finalize failover.",
                        describe(job)
                    );
                    self.actions.push_back(Action::Pause { job: id });
                }
            }
            _ => {}
        }
        let speaks = matches!(
            job.state,
            State::WaitingToSnapshot | State::Replicating | State::WaitingToPause | State::FailoverPaused
        );
        if speaks && now.saturating_sub(export.said_ms) >= ACK_PERIOD {
            export.said_ms = now;
            self.actions.push_back(Action::Say { job: id, word: "ACK" });
        }
    }

    fn tick_redis(&mut self, jobs: &mut Jobs, id: JobId, limits: &Limits, now: u64) {
        let (Some(job), Some(export)) = (jobs.get(id), self.exports.iter().find(|it| it.job == id)) else {
            return;
        };
        let text = match job.state {
            State::SendStream if now.saturating_sub(job.acked_ms) > limits.silence_ms => {
                "Main channel - Connection timeout"
            }
            State::SendStream => {
                let Some(caught_up) = export.caught_up_ms else { return };
                // It has executed once what it got in so long a time, so it should be able to again.
                let most = limits.drain_ms.max(caught_up.saturating_sub(export.began_ms) * 2);
                if now.saturating_sub(caught_up) <= most {
                    return;
                }
                "Sync buffer drain timeout"
            }
            State::HandoffPrep | State::Handoff | State::StreamEof
                if export.pause_until.is_some_and(|until| until <= now) =>
            {
                return self.end_pause(jobs, id, PAUSED_TOO_LONG, now);
            }
            _ => return,
        };
        self.fail(jobs, id, text.into(), now);
    }

    /// The pause is over, and the target hasn't been heard of.
    fn end_pause(&mut self, jobs: &mut Jobs, id: JobId, message: &str, now: u64) {
        match self.get(id).and_then(|export| export.late_cancel.take()) {
            Some(reason) => self.cancel(jobs, id, &reason, now),
            None => self.fail(jobs, id, message.into(), now),
        }
    }

    fn set_state(&mut self, jobs: &mut Jobs, id: JobId, state: State, now: u64) {
        let Some(job) = jobs.get_mut(id) else { return };
        let family = job.family;
        log::info!(
            "Slot migration {} state transition: {} -> {}",
            describe(job),
            job.state.name(family),
            state.name(family)
        );
        job.set_state(state, now);
    }
}

/// A job as the log calls it.
fn describe(job: &Job) -> String {
    let target = job.target.map(|id| id.to_string()).unwrap_or_default();
    format!("{{name: {}, operation: export, target_node_id: {target}, slots: {}}}", job.name, job.slots)
}

/// An error of Redis, with how far the job was.
fn with_states(job: &Job, text: &str) -> String {
    let channel = match job.state {
        State::WaitBgsaveStart => State::WaitBgsaveStart,
        State::SendBulkAndStream => State::RdbChannelTransfer,
        State::SendStream | State::HandoffPrep | State::Handoff | State::StreamEof => State::Succeeded,
        _ => State::None,
    };
    format!("{text} (state: {}, rdb_channel_state: {})", job.state_name(), channel.name(Family::Redis))
}
