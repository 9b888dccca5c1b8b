//! Failover: the choice of a replica, its promotion, the reconfiguration of the others.
//!
//! ```text
//! wait_start ─▶ select_slave ─▶ send_slaveof_noone ─▶ wait_promotion ─▶ reconf_slaves ─▶ update_config
//!     └──────────────┴──────────────── abort ──────────────┘           (INFO shows the promotion)
//! ```

use std::cmp::Ordering;

use super::address::Address;
use super::event::Level;
use super::ids::InstanceId;
use super::instance::{FailoverState, Instance, flag};
use super::link::Expected;
use super::{MAX_DESYNC, Sentinel};

/// The least time that the primary's own FAILOVER is given, ms.
const MIN_HANDOVER: u64 = 1000;

/// The order in which replicas are preferred.
fn preference(a: &Instance, b: &Instance) -> Ordering {
    let lower = |instance: &Instance| instance.run_id.as_ref().map(|run_id| run_id.to_ascii_lowercase());
    let run_ids = match (lower(a), lower(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    let (first, second) = (&a.replication, &b.replication);
    first.priority.cmp(&second.priority).then(second.offset.cmp(&first.offset)).then(run_ids)
}

impl Sentinel {
    pub(super) fn start_failover(&mut self, group: &str) {
        self.current_epoch = self.current_epoch.wrapping_add(1);
        let (epoch, now) = (self.current_epoch, self.now);
        let started_at = now + self.rng.below(MAX_DESYNC);
        let found = self.group_mut(group);
        let primary = found.primary;
        let failover = &mut found.failover;
        failover.state = FailoverState::WaitStart;
        failover.epoch = epoch;
        (failover.changed_at, failover.started_at) = (now, started_at);
        self.at_mut(primary).set(flag::FAILOVER_IN_PROGRESS, true);
        self.persist();
        self.event_text(Level::Warning, "+new-epoch", Some(primary), epoch.to_string());
        self.event(Level::Warning, "+try-failover", primary, "");
    }

    /// Starts a failover if the primary is objectively down and the last attempt is long ago.
    pub(super) fn start_failover_if_needed(&mut self, group_name: &str) -> bool {
        let group = self.group(group_name);
        let primary = self.at(group.primary);
        if !primary.is(flag::O_DOWN) || primary.is(flag::FAILOVER_IN_PROGRESS) {
            return false;
        }
        let (started_at, wait) = (group.failover.started_at, group.failover_timeout_ms * 2);
        if self.now.saturating_sub(started_at) >= wait || started_at == 0 {
            self.start_failover(group_name);
            return true;
        }
        if group.failover.delay_logged != started_at {
            self.group_mut(group_name).failover.delay_logged = started_at;
            let remaining = (started_at + wait).saturating_sub(self.now);
            let text = format!(
                "Next failover delay: I will not start a failover of '{group_name}' within the next {remaining} ms"
            );
            self.log(Level::Notice, text);
        }
        false
    }

    /// The replica to promote, if one is fit.
    pub(super) fn select_replica(&self, group: &str) -> Option<InstanceId> {
        let group = self.group(group);
        let primary = self.at(group.primary);
        let is_down = primary.is(flag::S_DOWN);
        let since = |time: u64| self.now.saturating_sub(time);
        let down_for = if is_down { since(primary.s_down_since) } else { 0 };
        let most_link_down = down_for + primary.down_after_ms * 10;
        let ping_limit = self.timing.ping_period * 5;
        let info_limit = if is_down { ping_limit } else { self.timing.info_period * 3 };
        let is_fit = |id: &&InstanceId| {
            let (replica, link) = (self.at(**id), self.link_of(**id));
            !replica.is(flag::S_DOWN | flag::O_DOWN)
                && !link.is_disconnected
                && since(link.available_at) <= ping_limit
                && replica.replication.priority != 0
                && since(replica.info_at) <= info_limit
                && replica.replication.link_down_ms <= most_link_down
        };
        let fit = group.replicas.values().filter(is_fit);
        fit.min_by(|a, b| preference(self.at(**a), self.at(**b))).copied()
    }

    /// Takes the next step of a group's failover.
    pub(super) fn advance_failover(&mut self, group: &str) {
        let found = self.group(group);
        if !self.at(found.primary).is(flag::FAILOVER_IN_PROGRESS) {
            return;
        }
        match found.failover.state {
            FailoverState::WaitStart => self.await_election(group),
            FailoverState::SelectReplica => self.choose_replica(group),
            FailoverState::SendReplicaOfNoOne => self.promote(group),
            FailoverState::WaitPromotion => {
                if self.in_state_for(group) > self.group(group).failover_timeout_ms {
                    self.abort_failover(group, "-failover-abort-slave-timeout");
                }
            }
            FailoverState::ReconfReplicas => self.reconfigure_replicas(group),
            FailoverState::None | FailoverState::UpdateConfig => {}
        }
    }

    /// How long the failover has been in its state, ms.
    fn in_state_for(&self, group: &str) -> u64 {
        self.now.saturating_sub(self.group(group).failover.changed_at)
    }

    fn enter_state(&mut self, group: &str, state: FailoverState) {
        let now = self.now;
        let failover = &mut self.group_mut(group).failover;
        failover.state = state;
        failover.changed_at = now;
    }

    fn abort_failover(&mut self, group: &str, event: &'static str) {
        let primary = self.group(group).primary;
        self.event(Level::Warning, event, primary, "");
        let flags = flag::FAILOVER_IN_PROGRESS | flag::FORCE_FAILOVER | flag::COORD_FAILOVER;
        self.at_mut(primary).set(flags, false);
        self.enter_state(group, FailoverState::None);
        if let Some(promoted) = self.group_mut(group).failover.promoted.take() {
            self.at_mut(promoted).set(flag::PROMOTED, false);
        }
    }

    fn await_election(&mut self, group: &str) {
        let failover = &self.group(group).failover;
        let (epoch, started_at) = (failover.epoch, failover.started_at);
        let leader = self.leader(group, epoch);
        let is_leader = leader.is_some_and(|leader| leader.eq_ignore_ascii_case(&self.id));
        let primary = self.group(group).primary;
        if !is_leader && !self.at(primary).is(flag::FORCE_FAILOVER) {
            let timeout = self.timing.election_timeout.min(self.group(group).failover_timeout_ms);
            if self.now.saturating_sub(started_at) > timeout {
                self.abort_failover(group, "-failover-abort-not-elected");
            }
            return;
        }
        self.event(Level::Warning, "+elected-leader", primary, "");
        if self.simulated.crash_after_election {
            self.crash();
        }
        self.enter_state(group, FailoverState::SelectReplica);
        self.event(Level::Warning, "+failover-state-select-slave", primary, "");
    }

    fn choose_replica(&mut self, group: &str) {
        let Some(replica) = self.select_replica(group) else {
            return self.abort_failover(group, "-failover-abort-no-good-slave");
        };
        self.event(Level::Warning, "+selected-slave", replica, "");
        self.at_mut(replica).set(flag::PROMOTED, true);
        self.group_mut(group).failover.promoted = Some(replica);
        self.enter_state(group, FailoverState::SendReplicaOfNoOne);
        self.event(Level::Notice, "+failover-state-send-slaveof-noone", replica, "");
    }

    /// Makes the chosen replica a primary, or has the primary hand over to it.
    fn promote(&mut self, group: &str) {
        let found = self.group(group);
        let (primary, timeout) = (found.primary, found.failover_timeout_ms);
        let Some(promoted) = found.failover.promoted else {
            return self.abort_failover(group, "-failover-abort-no-good-slave");
        };
        let passed = self.in_state_for(group);
        let sent = if self.at(primary).is(flag::COORD_FAILOVER) {
            if timeout < passed + MIN_HANDOVER {
                return self.abort_failover(group, "-failover-abort-master-timeout");
            }
            let to = self.at(promoted).address.clone();
            !self.link_of(primary).is_disconnected && self.send_failover(primary, &to, timeout - passed)
        } else {
            let is_reachable = !self.link_of(promoted).is_disconnected;
            if !is_reachable && passed > timeout {
                return self.abort_failover(group, "-failover-abort-slave-timeout");
            }
            is_reachable && self.send_replica_of(promoted, None)
        };
        if sent {
            self.event(Level::Notice, "+failover-state-wait-promotion", promoted, "");
            self.enter_state(group, FailoverState::WaitPromotion);
        }
    }

    /// Points the replicas at the promoted one, a few at a time.
    fn reconfigure_replicas(&mut self, group: &str) {
        let found = self.group(group);
        let replicas: Vec<InstanceId> = found.replicas.values().copied().collect();
        let most = found.parallel_syncs as usize;
        if let Some(promoted) = found.failover.promoted {
            let to = self.at(promoted).address.clone();
            let busy = flag::RECONF_SENT | flag::RECONF_INPROG;
            let mut running = replicas.iter().filter(|id| self.at(**id).is(busy)).count();
            for id in replicas {
                if running >= most {
                    break;
                }
                running += usize::from(self.reconfigure_replica(id, &to));
            }
        }
        self.detect_end(group);
    }

    /// Points a replica at the new primary; whether it was told so now.
    fn reconfigure_replica(&mut self, id: InstanceId, to: &Address) -> bool {
        if self.at(id).is(flag::PROMOTED | flag::RECONF_DONE) {
            return false;
        }
        let replica = self.at(id);
        let waited = self.now.saturating_sub(replica.reconf_sent_at);
        if replica.is(flag::RECONF_SENT) && waited > self.timing.replica_reconf_timeout {
            self.event(Level::Notice, "-slave-reconf-sent-timeout", id, "");
            let replica = self.at_mut(id);
            replica.set(flag::RECONF_SENT, false);
            replica.set(flag::RECONF_DONE, true);
        }
        let is_busy = self.at(id).is(flag::RECONF_SENT | flag::RECONF_INPROG);
        if is_busy || self.link_of(id).is_disconnected || !self.send_replica_of(id, Some(to)) {
            return false;
        }
        let now = self.now;
        let replica = self.at_mut(id);
        replica.set(flag::RECONF_SENT, true);
        replica.reconf_sent_at = now;
        self.event(Level::Notice, "+slave-reconf-sent", id, "");
        true
    }

    /// Ends the failover when all replicas that can be reached follow the new primary, or its time is over.
    fn detect_end(&mut self, group: &str) {
        let found = self.group(group);
        let (primary, timeout) = (found.primary, found.failover_timeout_ms);
        let Some(promoted) = found.failover.promoted.filter(|id| !self.at(*id).is(flag::S_DOWN)) else {
            return;
        };
        let replicas: Vec<InstanceId> = found.replicas.values().copied().collect();
        let is_settled = |id: &InstanceId| self.at(*id).is(flag::PROMOTED | flag::RECONF_DONE | flag::S_DOWN);
        let is_over = self.in_state_for(group) > timeout;
        if !is_over && !replicas.iter().all(is_settled) {
            return;
        }
        if is_over {
            self.event(Level::Warning, "+failover-end-for-timeout", primary, "");
        }
        self.event(Level::Warning, "+failover-end", primary, "");
        self.enter_state(group, FailoverState::UpdateConfig);
        if !is_over {
            return;
        }
        let to = self.at(promoted).address.clone();
        for id in replicas {
            let is_done = self.at(id).is(flag::PROMOTED | flag::RECONF_DONE | flag::RECONF_SENT);
            if !is_done && !self.link_of(id).is_disconnected && self.send_replica_of(id, Some(&to)) {
                self.event(Level::Notice, "+slave-reconf-sent-be", id, "");
                self.at_mut(id).set(flag::RECONF_SENT, true);
            }
        }
    }

    /// The failover is over: the promoted replica is the group's primary.
    pub(super) fn switch_to_promoted(&mut self, group: &str) {
        let found = self.group(group);
        let new = self.at(found.failover.promoted.unwrap_or(found.primary)).address.clone();
        let old = self.at(found.primary).address.clone();
        self.announce_switch(group, &old, &new);
        self.change_primary(group, new);
    }

    fn send_all(&mut self, id: InstanceId, requests: &[Vec<&str>]) -> bool {
        requests.iter().all(|words| self.request(id, Expected::Ignored, words))
    }

    /// Makes an instance a replica of an address, or a primary, and has its clients ask anew who the primary is.
    pub(super) fn send_replica_of(&mut self, id: InstanceId, to: Option<&Address>) -> bool {
        let [host, port] = match to {
            Some(address) => self.announced(address),
            None => ["NO".to_string(), "ONE".to_string()],
        };
        let mut requests = vec![vec!["MULTI"]];
        if self.at(id).replication.failover == Some(true) {
            requests.push(vec!["FAILOVER", "ABORT"]);
        }
        requests.push(vec!["SLAVEOF", &host, &port]);
        requests.push(vec!["CONFIG", "REWRITE"]);
        requests.push(vec!["CLIENT", "KILL", "TYPE", "normal"]);
        requests.push(vec!["CLIENT", "KILL", "TYPE", "pubsub"]);
        requests.push(vec!["EXEC"]);
        self.send_all(id, &requests)
    }

    /// Has a primary hand over to a replica by itself.
    fn send_failover(&mut self, primary: InstanceId, to: &Address, timeout_ms: u64) -> bool {
        let [host, port] = self.announced(to);
        let timeout = timeout_ms.to_string();
        let requests = [
            vec!["MULTI"],
            // Clients don't write to what has become a replica before they are disconnected.
            vec!["CLIENT", "PAUSE", &timeout, "WRITE"],
            vec!["FAILOVER", "TO", &host, &port, "TIMEOUT", &timeout],
            vec!["EXEC"],
        ];
        self.send_all(primary, &requests)
    }

    /// After a handover: the configuration is written, and clients ask anew who the primary is.
    pub(super) fn kill_clients(&mut self, id: InstanceId) {
        let requests = [
            vec!["MULTI"],
            vec!["CONFIG", "REWRITE"],
            vec!["CLIENT", "KILL", "TYPE", "normal"],
            vec!["CLIENT", "KILL", "TYPE", "pubsub"],
            vec!["CLIENT", "UNPAUSE"],
            vec!["EXEC"],
        ];
        self.send_all(id, &requests);
    }
}
