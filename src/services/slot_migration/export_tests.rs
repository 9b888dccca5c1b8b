use super::export::{Action, Exports, Limits, SlotOwner};
use super::{Family, JobId, Jobs, SlotRanges, State};
use crate::base::ids::NodeId;

const ME: NodeId = NodeId([b'1'; 40]);
const TARGET: NodeId = NodeId([b'2'; 40]);
const OTHER: NodeId = NodeId([b'3'; 40]);

const LIMITS: Limits = Limits {
    silence_ms: 60_000,
    failover_ms: 5_000,
    unsent: Some(0),
    lag: 100,
    pause_ms: 10_000,
    drain_ms: 60_000,
    prevents_pause: false,
};

struct Bench {
    exports: Exports,
    jobs: Jobs,
    job: JobId,
    now: u64,
    unsent: u64,
}

impl Bench {
    fn slots() -> SlotRanges {
        SlotRanges::normalized(vec![(0, 9), (20, 29)]).expect("valid")
    }

    fn empty() -> Bench {
        Bench { exports: Exports::default(), jobs: Jobs::default(), job: JobId(0), now: 1_000_000, unsent: 0 }
    }

    /// A job of Valkey that has been begun.
    fn valkey(login: Option<&[u8]>) -> Bench {
        let mut bench = Bench::empty();
        let login = login.map(<[u8]>::to_vec);
        let what = (Bench::slots(), "a".repeat(40));
        bench.job = bench.exports.migrate(&mut bench.jobs, what, (ME, TARGET), login, bench.now);
        bench
    }

    /// One of Redis.
    fn redis() -> Bench {
        let mut bench = Bench::empty();
        bench.sync();
        bench
    }

    fn sync(&mut self) {
        let what = (Bench::slots(), "b".repeat(40));
        self.job = self.exports.sync(&mut self.jobs, what, (ME, Some(TARGET)), self.now);
    }

    /// Goes on to a state, as if nothing went wrong.
    fn reach(mut self, state: State) -> Bench {
        for _ in 0..20 {
            if self.state() == state {
                self.actions();
                return self;
            }
            self.step();
        }
        panic!("{state:?} isn't reached from {:?}", self.state());
    }

    fn step(&mut self) {
        let (exports, jobs, job, now) = (&mut self.exports, &mut self.jobs, self.job, self.now);
        match jobs.get(job).expect("a job").state {
            State::Connecting => exports.connected(jobs, job, now),
            State::ReadingAuth | State::ReadingEstablish => exports.received(jobs, job, b"+OK\r\n", now),
            State::WaitingToSnapshot | State::WaitBgsaveStart => exports.snapshot_began(jobs, job, now),
            State::Snapshotting | State::SendBulkAndStream => exports.snapshot_sent(jobs, job, now),
            State::Replicating => exports.pause_requested(jobs, job, now),
            State::WaitingToPause => self.tick(),
            State::FailoverPaused => exports.failover_requested(jobs, job, false, now),
            State::WaitRdbChannel => exports.rdb_channel(jobs, job, now),
            State::SendStream => exports.executed(jobs, job, (false, 0), &LIMITS, now),
            State::FailoverGranted | State::StreamEof => {
                exports.owned_by(jobs, job, SlotOwner::Node(TARGET), now);
            }
            state => panic!("no step from {state:?}"),
        }
        self.pause();
    }

    /// Does as the engine when it is to pause.
    fn pause(&mut self) {
        let mut rest = Vec::new();
        while let Some(action) = self.exports.next_action() {
            if let Action::Pause { job } = action {
                self.exports.paused(&mut self.jobs, job, &LIMITS, self.now);
            } else {
                rest.push(action);
            }
        }
        self.put_back(rest);
    }

    fn put_back(&mut self, actions: Vec<Action>) {
        actions.into_iter().for_each(|action| self.exports.push(action));
    }

    fn tick(&mut self) {
        let unsent = self.unsent;
        self.exports.tick(&mut self.jobs, |_| unsent, &LIMITS, self.now);
    }

    fn after(&mut self, ms: u64) {
        self.now += ms;
        self.tick();
    }

    fn state(&self) -> State {
        self.jobs.get(self.job).expect("a job").state
    }

    fn message(&self) -> &str {
        &self.jobs.get(self.job).expect("a job").message
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.exports.next_action()).collect()
    }

    /// It has failed with this message, and its connections end.
    fn assert_failed(mut self, message: &str) {
        assert_eq!((self.state(), self.message()), (State::Failed, message));
        assert_eq!(self.actions().last(), Some(&Action::End { job: self.job }));
        assert!(self.exports.under_way().is_empty());
    }
}

/// The states of a job of Valkey before the slots are granted.
const BEFORE_GRANT: [State; 8] = [
    State::Connecting,
    State::ReadingAuth,
    State::ReadingEstablish,
    State::WaitingToSnapshot,
    State::Snapshotting,
    State::Replicating,
    State::WaitingToPause,
    State::FailoverPaused,
];

fn valkey_at(state: State) -> Bench {
    let login = (state == State::ReadingAuth).then_some(&b"AUTH"[..]);
    let mut bench = Bench::valkey(login);
    bench.unsent = u64::from(state == State::WaitingToPause);
    bench.reach(state)
}

#[test]
fn valkeys_protocol_in_order() {
    let mut bench = Bench::valkey(Some(b"AUTH pw"));
    let job = bench.job;
    assert_eq!(bench.actions(), [Action::Connect { job, target: TARGET }]);
    bench.step();
    assert_eq!(bench.actions(), [Action::SendOnLink { job, bytes: b"AUTH pw".to_vec() }]);
    bench.exports.received(&mut bench.jobs, job, b"+O", bench.now);
    assert_eq!((bench.state(), bench.actions().len()), (State::ReadingAuth, 0));
    bench.exports.received(&mut bench.jobs, job, b"K\r\n", bench.now);
    let Some(Action::SendOnLink { bytes, .. }) = bench.exports.next_action() else { panic!("ESTABLISH") };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let words: Vec<&str> = text.split("\r\n").skip(2).step_by(2).collect();
    let (source, name) = (ME.to_string(), "a".repeat(40));
    assert_eq!(
        words,
        [
            "CLUSTER",
            "SYNCSLOTS",
            "ESTABLISH",
            "SOURCE",
            &source,
            "NAME",
            &name,
            "SLOTSRANGE",
            "0",
            "9",
            "20",
            "29"
        ]
    );
    bench.exports.received(&mut bench.jobs, job, b"+OK\r\n*3", bench.now);
    assert_eq!(
        bench.actions(),
        [Action::Adopt { job, unread: b"*3".to_vec() }, Action::Say { job, word: "ACK" }]
    );
    assert_eq!(bench.exports.awaits_snapshot(&bench.jobs), Some(job));
    let mut bench = bench.reach(State::Replicating);
    assert_eq!(bench.exports.awaits_snapshot(&bench.jobs), None);
    bench.unsent = 5;
    let mut bench = bench.reach(State::WaitingToPause);
    bench.tick();
    assert_eq!(bench.actions(), [], "something is left to be sent");
    bench.unsent = 0;
    bench.tick();
    bench.pause();
    assert_eq!(bench.actions(), [Action::Say { job, word: "PAUSED" }]);
    bench.step();
    assert_eq!(bench.actions(), [Action::Grant { job }, Action::Say { job, word: "FAILOVER-GRANTED" }]);
    bench.step();
    assert_eq!((bench.state(), bench.actions()), (State::Succeeded, vec![Action::End { job }]));
}

#[test]
fn rediss_protocol_in_order() {
    let mut bench = Bench::redis().reach(State::WaitBgsaveStart);
    let job = bench.job;
    assert_eq!(bench.exports.awaits_snapshot(&bench.jobs), Some(job));
    bench.step();
    bench.exports.add_sent(job, 1000);
    bench.exports.executed(&mut bench.jobs, job, (true, 100), &LIMITS, bench.now);
    assert_eq!(bench.state(), State::SendBulkAndStream, "far behind");
    bench.step();
    bench.exports.executed(&mut bench.jobs, job, (false, 50), &LIMITS, bench.now);
    bench.exports.executed(&mut bench.jobs, job, (false, 899), &LIMITS, bench.now);
    assert_eq!((bench.state(), bench.actions()), (State::SendStream, vec![]));
    bench.exports.executed(&mut bench.jobs, job, (false, 900), &LIMITS, bench.now);
    assert_eq!(bench.state(), State::HandoffPrep);
    bench.pause();
    let said = [Action::Grant { job }, Action::Say { job, word: "STREAM-EOF" }];
    assert_eq!((bench.state(), bench.actions()), (State::StreamEof, said.to_vec()));
    bench.exports.closed(&mut bench.jobs, job, bench.now);
    assert_eq!(bench.state(), State::StreamEof, "the target closes it");
    bench.now += 7;
    bench.step();
    let done = bench.jobs.get(job).expect("a job");
    assert_eq!((done.state_name(), done.write_pause_ms(), done.is_archived), ("completed", 7, true));
}

#[test]
fn a_silent_target_of_valkey_ends_the_job() {
    for state in BEFORE_GRANT.into_iter().filter(|state| *state != State::Snapshotting) {
        let mut bench = valkey_at(state);
        bench.after(60_000);
        if state == State::FailoverPaused {
            bench.assert_failed("Timed out before streaming completed");
            continue;
        }
        assert_eq!(bench.state(), state);
        bench.after(1);
        bench.assert_failed("Timed out after too long with no interaction");
    }
    // The snapshot may take longer; its end begins the time anew.
    let mut bench = valkey_at(State::Snapshotting);
    bench.after(600_000);
    bench.step();
    bench.after(60_000);
    assert_eq!(bench.state(), State::Replicating);
    bench.exports.heard(&mut bench.jobs, bench.job, bench.now);
    bench.after(60_000);
    assert_eq!(bench.state(), State::Replicating);
}

#[test]
fn a_lost_connection_leaves_the_slots_here() {
    let lost =
        "Connection lost to target. Check CLUSTER GETSLOTMIGRATIONS on the target node for more information.";
    for (state, message) in [
        (State::Connecting, "Unable to connect to target node: Connection refused"),
        (State::ReadingAuth, "Target node did not respond to AUTH command"),
        (State::ReadingEstablish, lost),
    ] {
        let mut bench = valkey_at(state);
        bench.exports.link_closed(&mut bench.jobs, bench.job, "Connection refused", bench.now);
        bench.assert_failed(message);
    }
    for state in &BEFORE_GRANT[3..] {
        let mut bench = valkey_at(*state);
        bench.exports.closed(&mut bench.jobs, bench.job, bench.now);
        bench.assert_failed(lost);
    }
    let mut bench = valkey_at(State::FailoverGranted);
    bench.exports.closed(&mut bench.jobs, bench.job, bench.now);
    assert_eq!(bench.state(), State::FailoverGranted, "the target may have the slots");
}

#[test]
fn errors_of_the_handshake_are_reported() {
    let mut bench = valkey_at(State::ReadingAuth);
    bench.exports.received(&mut bench.jobs, bench.job, b"-WRONGPASS no\r\n", bench.now);
    bench.assert_failed("Failed to AUTH to target node: -WRONGPASS no");
    let mut bench = valkey_at(State::ReadingEstablish);
    bench.exports.received(&mut bench.jobs, bench.job, b"-ERR not known\r\n", bench.now);
    bench.assert_failed("Received error during handshake to target: -ERR not known");
    let mut bench = valkey_at(State::ReadingEstablish);
    bench.exports.received(&mut bench.jobs, bench.job, &[b'x'; 20_000], bench.now);
    bench.assert_failed("Response to establish job is larger than buffer limit");
}

#[test]
fn messages_out_of_order_end_the_job() {
    for state in &BEFORE_GRANT[3..] {
        if !matches!(state, State::Snapshotting | State::Replicating) {
            let mut bench = valkey_at(*state);
            bench.exports.pause_requested(&mut bench.jobs, bench.job, bench.now);
            bench.assert_failed("Unexpected state machine transition");
        }
        if *state != State::FailoverPaused {
            let mut bench = valkey_at(*state);
            bench.exports.failover_requested(&mut bench.jobs, bench.job, false, bench.now);
            bench.assert_failed("Unexpected state machine transition");
        }
    }
}

#[test]
fn the_pause_ends() {
    let mut bench = valkey_at(State::FailoverPaused);
    bench.now += 10_001;
    bench.exports.failover_requested(&mut bench.jobs, bench.job, false, bench.now);
    bench.assert_failed("Unpaused before failover completed");
    // A replica may be elected at any moment.
    let mut bench = valkey_at(State::FailoverPaused);
    bench.exports.failover_requested(&mut bench.jobs, bench.job, true, bench.now);
    bench.assert_failed("A manual failover is in progress");
    // A grant renews what is left of it.
    let mut bench = valkey_at(State::FailoverPaused);
    bench.now += 9_999;
    bench.step();
    bench.actions();
    bench.after(2_000);
    assert_eq!(bench.state(), State::FailoverGranted);
    bench.after(1);
    bench
        .assert_failed("Unpaused before migration completed (migration may have succeeded with lost writes)");
    let mut bench = Bench::redis().reach(State::StreamEof);
    bench.after(9_999);
    assert_eq!(bench.state(), State::StreamEof);
    bench.after(1);
    bench.assert_failed("Server paused timeout (state: stream-eof, rdb_channel_state: completed)");
    // Without any, the target isn't let take over what is given up in the same moment.
    let mut bench = Bench::redis().reach(State::SendStream);
    let job = bench.job;
    bench.exports.executed(&mut bench.jobs, job, (false, 0), &LIMITS, bench.now);
    bench.exports.paused(&mut bench.jobs, job, &Limits { pause_ms: 0, ..LIMITS }, bench.now);
    assert_eq!(bench.actions(), [Action::End { job }]);
    let text = "Server paused timeout (state: handoff-prep, rdb_channel_state: completed)";
    assert_eq!((bench.state(), bench.message()), (State::Failed, text));
}

#[test]
fn a_slow_target_of_redis_ends_the_job() {
    let mut bench = Bench::redis().reach(State::SendStream);
    bench.after(60_001);
    bench.assert_failed(
        "Main channel - Connection timeout (state: send-stream, rdb_channel_state: completed)",
    );
    let mut bench = Bench::redis().reach(State::SendStream);
    bench.exports.add_sent(bench.job, 1_000_000);
    for _ in 0..=60 {
        bench.exports.executed(&mut bench.jobs, bench.job, (false, 1), &LIMITS, bench.now);
        assert_eq!(bench.state(), State::SendStream);
        bench.after(1000);
    }
    bench.assert_failed("Sync buffer drain timeout (state: send-stream, rdb_channel_state: completed)");
}

#[test]
fn slots_that_go_elsewhere_end_the_job() {
    for owner in [SlotOwner::Several, SlotOwner::Node(OTHER)] {
        for state in BEFORE_GRANT.into_iter().chain([State::FailoverGranted]) {
            let mut bench = valkey_at(state);
            bench.exports.owned_by(&mut bench.jobs, bench.job, SlotOwner::Me, bench.now);
            assert_eq!(bench.state(), state);
            bench.exports.owned_by(&mut bench.jobs, bench.job, owner, bench.now);
            bench.assert_failed("Slots are no longer owned by myself");
        }
        let mut bench = Bench::redis().reach(State::SendStream);
        bench.exports.owned_by(&mut bench.jobs, bench.job, owner, bench.now);
        assert_eq!(bench.state(), State::Cancelled);
        assert!(
            bench.message().starts_with("Cancelled due to slots configuration updated (state: send-stream")
        );
    }
    let mut bench = Bench::redis().reach(State::SendStream);
    bench.exports.owned_by(&mut bench.jobs, bench.job, SlotOwner::Node(TARGET), bench.now);
    assert_eq!(bench.state(), State::Cancelled, "it took them before it could");
}

#[test]
fn a_failed_task_of_redis_is_taken_up_again() {
    let mut bench = Bench::redis().reach(State::SendBulkAndStream);
    let first = bench.job;
    bench.exports.closed(&mut bench.jobs, first, bench.now);
    assert!(bench.jobs.get(first).is_some_and(|job| !job.is_archived && !job.is_active()));
    bench.sync();
    let again = bench.jobs.get(first).expect("a job");
    assert_eq!((bench.job, again.retries, again.state), (first, 1, State::WaitRdbChannel));
    bench.exports.snapshot_failed(&mut bench.jobs, first, bench.now);
    assert_eq!(bench.state(), State::WaitRdbChannel, "there is none yet");
    bench.exports.rdb_channel(&mut bench.jobs, first, bench.now);
    bench.exports.snapshot_failed(&mut bench.jobs, first, bench.now);
    assert_eq!(bench.state(), State::Failed);
    // Another one takes its place.
    let slots = SlotRanges::normalized(vec![(0, 0)]).expect("valid");
    bench.exports.sync(&mut bench.jobs, (slots, "c".repeat(40)), (ME, Some(TARGET)), bench.now);
    let first = bench.jobs.get(first).expect("a job");
    assert_eq!((first.is_archived, first.state_name()), (true, "canceled"));
}

#[test]
fn the_source_says_that_it_is_there() {
    let mut bench = valkey_at(State::Replicating);
    let ack = Action::Say { job: bench.job, word: "ACK" };
    bench.after(999);
    assert_eq!(bench.actions(), []);
    bench.after(1);
    assert_eq!(bench.actions(), [ack]);
    let mut bench = valkey_at(State::Snapshotting);
    bench.after(5_000);
    assert_eq!(bench.actions(), [], "it would lie within the snapshot");
    assert!(bench.jobs.has_active(Family::Valkey));
    bench.exports.snapshot_failed(&mut bench.jobs, bench.job, bench.now);
    bench.assert_failed("Failed to perform snapshot");
}

/// The target may have taken over, and what is written here meanwhile would be lost: both ways it is known first.
#[test]
fn what_is_cancelled_late_keeps_the_pause() {
    let granted = || {
        [
            valkey_at(State::FailoverPaused).reach(State::FailoverGranted),
            Bench::redis().reach(State::StreamEof),
        ]
    };
    for mut bench in granted() {
        let state = bench.state();
        bench.exports.cancel_on_request(&mut bench.jobs, bench.job, "user request", bench.now);
        bench.after(1_000);
        assert_eq!((bench.state(), bench.actions()), (state, vec![]));
        bench.step();
        assert_eq!(bench.state(), State::Succeeded);
    }
    for (mut bench, message) in granted()
        .into_iter()
        .zip(["", "Cancelled due to user request (state: stream-eof, rdb_channel_state: completed)"])
    {
        bench.exports.cancel_on_request(&mut bench.jobs, bench.job, "user request", bench.now);
        bench.after(10_001);
        assert_eq!((bench.state(), bench.message()), (State::Cancelled, message));
        assert_eq!(bench.actions(), [Action::End { job: bench.job }]);
    }
    let mut bench = Bench::redis().reach(State::SendStream);
    bench.exports.cancel_on_request(&mut bench.jobs, bench.job, "user request", bench.now);
    assert_eq!(bench.state(), State::Cancelled, "nothing is granted yet");
}

#[test]
fn what_is_cancelled_says_nothing_more() {
    let mut bench = valkey_at(State::WaitingToPause);
    bench.unsent = 0;
    bench.tick();
    bench.exports.cancel(&mut bench.jobs, bench.job, "", bench.now);
    assert_eq!((bench.state(), bench.actions()), (State::Cancelled, vec![Action::End { job: bench.job }]));
    bench.exports.pause_requested(&mut bench.jobs, bench.job, bench.now);
    bench.exports.snapshot_sent(&mut bench.jobs, bench.job, bench.now);
    assert_eq!((bench.state(), bench.actions()), (State::Cancelled, vec![]));
}
