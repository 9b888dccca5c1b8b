//! Elections: a replica whose primary has failed asks the primaries for their votes, and takes over with most of them.

use super::ids::{NodeId, NodeRef};
use super::message::{Body, Header, message_flag};
use super::node::flag;
use super::{Action, Cluster, Level};

/// The shortest time for votes to come, ms; it is two node timeouts otherwise, and twice that until the next attempt.
const MIN_VOTE_TIME: u64 = 2000;
/// The longest fixed part of the delay before an election, which is a thirtieth of the node timeout otherwise, ms.
const MAX_DELAY: u64 = 500;
/// What a replica without data waits longer, ms.
const EMPTY_REPLICA_DELAY: u64 = 500;
/// How often the same reason is logged, ms; that the data is too old, ten times less often.
const RELOG_PERIOD: u64 = 1000;

/// Why a replica doesn't take over though its primary has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    DataAge,
    Delay,
    Expired,
    Votes,
}

/// This node's attempt to take over.
#[derive(Clone, Debug, Default)]
pub(super) struct Election {
    /// When it begins, Unix ms.
    at: Option<u64>,
    /// The votes have been asked for, in this epoch.
    is_sent: bool,
    epoch: u64,
    voters: Vec<NodeId>,
    /// Replicas of the same primary with more data, and failed primaries whose shards come first.
    rank: u64,
    primary_rank: u64,
    obstacle: Option<Obstacle>,
    logged_at: u64,
}

impl Election {
    pub fn set_back(&mut self, by: u64) {
        self.at = self.at.map(|at| at.saturating_sub(by));
        self.logged_at = self.logged_at.saturating_sub(by);
    }
}

impl Cluster {
    /// Gives up this node's election; the epoch of it, if there was one.
    pub(super) fn reset_election(&mut self) -> Option<u64> {
        self.election.at.take().map(|_| self.election.epoch)
    }

    /// Another node has an epoch with which this node's election can't be won: a new one may begin.
    pub(super) fn reset_outdated_election(&mut self, by: NodeRef) {
        let epoch = self.topology.node(by).config_epoch;
        if self.election.at.is_none() || !self.election.is_sent || epoch < self.election.epoch {
            return;
        }
        let text = format!(
            "Failover election in progress for epoch {}, but received a claim from node {} with an equal or higher epoch \
             {epoch}. Resetting the election since we cannot win an election in the past.",
            self.election.epoch,
            self.name(by)
        );
        self.log(Level::Warning, text);
        self.election.at = None;
        self.todo.failover = true;
    }

    /// A fixed part of the time before an election, so that all know of the failure; delays of ranks are multiples.
    fn election_delay(&self) -> u64 {
        (self.settings.node_timeout_ms / 30).min(MAX_DELAY)
    }

    /// Takes the next step of an election, if this node's primary has failed or a manual failover has come so far.
    pub(super) fn handle_failover(&mut self) {
        let is_manual = self.manual.can_start;
        let Some(primary) = self.topology.myself().primary() else { return };
        let has_failed = self.topology.node(primary).is(flag::FAIL);
        if !is_manual && (!has_failed || self.settings.replica_no_failover) {
            self.election.obstacle = None;
            return;
        }
        if !is_manual && !self.is_data_recent() {
            return self.log_obstacle(Obstacle::DataAge);
        }
        let vote_time = self.settings.node_timeout_ms.saturating_mul(2).max(MIN_VOTE_TIME);
        if self.election.at.is_none_or(|at| self.since(at) > vote_time.saturating_mul(2)) {
            self.schedule_election();
        } else if !self.election.is_sent && !self.manual.is_on() {
            self.adjust_election();
        }
        let Some(at) = self.election.at else { return };
        if self.now < at {
            return self.log_obstacle(Obstacle::Delay);
        }
        if self.since(at) > vote_time {
            return self.log_obstacle(Obstacle::Expired);
        }
        if !self.election.is_sent {
            self.ask_for_votes();
        } else if self.election.voters.len() >= self.quorum() {
            self.win();
        } else {
            self.log_obstacle(Obstacle::Votes);
        }
    }

    /// The data is not older than `cluster-replica-validity-factor` allows.
    fn is_data_recent(&self) -> bool {
        let (timeout, factor) =
            (self.settings.node_timeout_ms, u64::from(self.settings.replica_validity_factor));
        // The primary was silent for a node timeout before it was taken for failed.
        let age = match self.since(self.local.last_interaction) {
            age if age > timeout => age - timeout,
            age => age,
        };
        factor == 0
            || age <= timeout.saturating_mul(factor).saturating_add(self.settings.repl_ping_period_s * 1000)
    }

    fn schedule_election(&mut self) {
        let delay = self.election_delay();
        let mut at = self.now + delay;
        if delay > 0 {
            at += self.rng.below(delay);
        }
        let (rank, primary_rank) = (self.replica_rank(), self.failed_primary_rank());
        at += rank * delay * 2 + primary_rank * delay;
        if self.local.offset == 0 {
            at += EMPTY_REPLICA_DELAY;
        }
        (self.election.rank, self.election.primary_rank) = (rank, primary_rank);
        if self.manual.is_on() {
            (at, self.election.rank, self.election.primary_rank) = (self.now, 0, 0);
        } else if self.is_best_replica() {
            at = self.now;
            let text = "This is the best ranked replica and can initiate the election immediately.";
            self.log(Level::Notice, text.to_string());
        }
        (self.election.at, self.election.is_sent) = (Some(at), false);
        self.election.voters.clear();
        let text = format!(
            "Start of election delayed for {} milliseconds (rank #{}, primary rank #{}, offset {}).",
            at - self.now,
            self.election.rank,
            self.election.primary_rank,
            self.local.offset
        );
        self.log(Level::Notice, text);
        // The other replicas are told of this one's offset.
        self.pong_replicas();
    }

    /// What has been heard since the election was planned may change this node's rank.
    fn adjust_election(&mut self) {
        let Some(mut at) = self.election.at.filter(|at| *at > self.now) else { return };
        let delay = self.election_delay();
        let (rank, primary_rank) = (self.replica_rank(), self.failed_primary_rank());
        let moved =
            |at: u64, old: u64, new: u64, unit: u64| at.saturating_add(new * unit).saturating_sub(old * unit);
        if rank != self.election.rank {
            at = moved(at, self.election.rank, rank, delay * 2);
            self.log(Level::Notice, format!("Replica rank updated to #{rank}."));
        }
        if primary_rank != self.election.primary_rank {
            at = moved(at, self.election.primary_rank, primary_rank, delay);
            self.log(Level::Notice, format!("Failed primary rank updated to #{primary_rank}."));
        }
        (self.election.rank, self.election.primary_rank) = (rank, primary_rank);
        if self.is_best_replica() {
            at = self.now;
            let text = "Myself become the best ranked replica, initiate the election immediately.";
            self.log(Level::Notice, text.to_string());
        }
        self.election.at = Some(at);
    }

    /// Other replicas of the same primary that have more data, or as much and a smaller name.
    fn replica_rank(&self) -> u64 {
        let me = self.topology.myself();
        let Some(primary) = me.primary() else { return 0 };
        let others = self.topology.node(primary).replicas().iter().map(|at| self.topology.node(*at));
        let rivals = others.filter(|other| other.id != me.id && !other.is(flag::FAIL | flag::NOFAILOVER));
        let is_better = |offset: u64, id: NodeId| {
            offset > self.local.offset || (offset == self.local.offset && id < me.id)
        };
        rivals.filter(|other| is_better(other.repl_offset, other.id)).count() as u64
    }

    /// Failed primaries whose replicas may ask for votes at the same time, and whose shards' names are smaller.
    fn failed_primary_rank(&self) -> u64 {
        let factor = u64::from(self.settings.replica_validity_factor);
        let validity = self.settings.node_timeout_ms.saturating_mul(factor);
        let shard = self.topology.myself().shard;
        let failed = self.topology.by_place().filter(|(_, node)| {
            let is_failed = node.is(flag::FAIL) && node.is_voter() && !node.replicas().is_empty();
            is_failed && (factor == 0 || self.since(node.failed_at) <= validity) && node.shard < shard
        });
        failed.count() as u64
    }

    /// No other replica can have more data: all know that the primary has failed, so that the offsets are the last ones.
    fn is_best_replica(&self) -> bool {
        let Some(primary) = self.topology.myself().primary() else { return false };
        let mut replicas = self.topology.node(primary).replicas().iter().map(|at| self.topology.node(*at));
        !self.manual.is_on()
            && self.local.offset != 0
            && self.election.rank == 0
            && self.election.primary_rank == 0
            && replicas.all(|replica| replica.is(flag::MY_PRIMARY_FAIL))
    }

    fn ask_for_votes(&mut self) {
        self.topology.current_epoch = self.topology.current_epoch.saturating_add(1);
        self.election.epoch = self.topology.current_epoch;
        self.election.is_sent = true;
        self.election.voters.clear();
        let text = format!(
            "Starting a failover election for epoch {}, node config epoch is {}",
            self.topology.current_epoch,
            self.slots_epoch(self.topology.me())
        );
        self.log(Level::Notice, text);
        let mut header = self.header();
        // The primary works in a manual failover; otherwise the voters may not know yet that it has failed.
        if self.manual.is_on() || self.is_best_replica() {
            header.message_flags |= message_flag::FORCE_ACK;
        }
        self.broadcast(header, Body::AuthRequest);
        self.todo.save_durably_and_update();
    }

    /// A primary has voted for this node.
    pub(super) fn on_vote(&mut self, at: NodeRef, header: &Header) {
        let node = self.topology.node(at);
        let is_mine = self.election.at.is_some() && self.election.is_sent;
        if !is_mine || !node.is_voter() || header.current_epoch < self.election.epoch {
            return;
        }
        if !self.election.voters.contains(&node.id) {
            self.election.voters.push(node.id);
        }
        self.todo.failover = true;
    }

    fn win(&mut self) {
        self.log(Level::Notice, "Failover election won: I'm the new primary.".to_string());
        if self.topology.myself().config_epoch < self.election.epoch {
            self.topology.myself_mut().config_epoch = self.election.epoch;
            let text = format!("configEpoch set to {} after successful failover", self.election.epoch);
            self.log(Level::Notice, text);
        }
        self.replace_primary();
    }

    /// Takes over the slots of this node's primary, in an epoch that it has already.
    pub(super) fn replace_primary(&mut self) {
        let me = self.topology.me();
        let Some(old) = self.topology.myself().primary() else { return };
        let text = format!(
            "Setting myself to primary in shard {} after failover; my old primary is {}",
            self.topology.myself().shard,
            self.name(old)
        );
        self.log(Level::Notice, text);
        self.set_as_primary(me);
        let slots = self.topology.node(old).slots().clone();
        self.assign_slots(&slots, Some(me));
        self.close_imported(&slots);
        self.update_state();
        self.todo.save_durably();
        self.todo.broadcast = true;
        self.reset_manual_failover();
        self.reset_election();
        self.push(Action::VerifyData);
    }

    /// A replica asks for this node's vote.
    pub(super) fn on_auth_request(&mut self, at: NodeRef, header: &Header) {
        if !self.topology.myself().is_voter() {
            return;
        }
        match self.objection(at, header) {
            Some(objection) => {
                let text = format!("Failover auth denied to {}{objection}", self.name(at));
                self.log(Level::Warning, text);
            }
            None => {
                self.topology.last_vote_epoch = self.topology.current_epoch;
                self.todo.save_durably();
                self.answer(at, Body::AuthAck);
                let epoch = self.topology.current_epoch;
                let text = format!("Failover auth granted to {} for epoch {epoch}", self.name(at));
                self.log(Level::Notice, text);
            }
        }
    }

    /// Why this node doesn't vote for a replica.
    fn objection(&mut self, at: NodeRef, header: &Header) -> Option<String> {
        let (asked, current) = (header.current_epoch, self.topology.current_epoch);
        let is_forced = header.message_flags & message_flag::FORCE_ACK != 0;
        let node = self.topology.node(at);
        if !self.state.is_safe_to_join {
            return Some(": it is not safe to vote in this moment".to_string());
        }
        if asked < current {
            return Some(format!(": reqEpoch ({asked}) < curEpoch({current})"));
        }
        if self.topology.last_vote_epoch >= current {
            return Some(format!(": already voted for epoch {current}"));
        }
        if !node.is_replica() {
            return Some(format!(" for epoch {asked}: it is a primary node"));
        }
        let Some(primary) = node.primary() else {
            return Some(format!(" for epoch {asked}: I don't know its primary"));
        };
        if !self.topology.node(primary).is(flag::FAIL) && !is_forced {
            return Some(format!(" for epoch {asked}: its primary is up"));
        }
        // A slot of its primary's is another node's in a newer configuration.
        let is_newer = |slot: &u16| {
            let owner = self.topology.owner(*slot).filter(|_| !self.unclaimed.contains(*slot));
            owner.is_some_and(|owner| self.topology.node(owner).config_epoch > header.config_epoch)
        };
        let slot = header.slots.iter().find(is_newer)?;
        let owner = self.topology.owner(slot)?;
        self.send_update(at, owner);
        let (epoch, asked) = (self.topology.node(owner).config_epoch, header.config_epoch);
        Some(format!(": slot {slot} epoch ({epoch}) > reqConfigEpoch ({asked})"))
    }

    fn log_obstacle(&mut self, obstacle: Obstacle) {
        let period = if obstacle == Obstacle::DataAge { 10 * RELOG_PERIOD } else { RELOG_PERIOD };
        if self.election.obstacle == Some(obstacle) && self.since(self.election.logged_at) < period {
            return;
        }
        (self.election.obstacle, self.election.logged_at) = (Some(obstacle), self.now);
        let text = match obstacle {
            Obstacle::DataAge => {
                "Disconnected from primary for longer than allowed. Please check the 'cluster-replica-validity-factor' \
                 configuration option."
            }
            Obstacle::Delay => "Waiting the delay before I can start a new failover.",
            Obstacle::Expired => "Failover attempt expired.",
            Obstacle::Votes => "Waiting for votes, but majority still not reached.",
        };
        self.log(Level::Notice, format!("Currently unable to failover: {text}"));
        if matches!(obstacle, Obstacle::Expired | Obstacle::Votes) {
            let (needed, votes) = (self.quorum(), self.election.voters.len());
            self.log(
                Level::Notice,
                format!("Needed quorum: {needed}. Number of votes received so far: {votes}"),
            );
        }
    }
}
