//! Failures of nodes: one that doesn't answer is suspected (PFAIL); when most primaries suspect it, it has failed (FAIL).

use super::ids::NodeRef;
use super::message::Body;
use super::node::flag;
use super::{Cluster, Level};

/// How long a report counts, and for how long at least a primary whose slots no other node takes stays failed, in node timeouts.
const REPORT_VALIDITY: u64 = 2;
const UNDO_TIME: u64 = 2;
/// Reports are as old as this makes a difference: a newer one of the same node replaces an older one only then, ms.
const REPORT_GRANULARITY: u64 = 1000;

impl Cluster {
    /// Notes that a primary can't reach a node. Whether that is news.
    pub(super) fn add_fail_report(&mut self, at: NodeRef, by: NodeRef) -> bool {
        let now = self.now;
        let node = self.topology.node_mut(at);
        // One report a primary: as many as there are nodes at most.
        match node.fail_reports.binary_search_by_key(&by, |(other, _)| *other) {
            Ok(place) => {
                let reported = &mut node.fail_reports[place].1;
                if now.saturating_sub(*reported) >= REPORT_GRANULARITY {
                    *reported = now;
                }
                false
            }
            Err(place) => {
                node.fail_reports.insert(place, (by, now));
                true
            }
        }
    }

    /// Takes back what a node has reported of another. Whether there was something.
    pub(super) fn remove_fail_report(&mut self, at: NodeRef, by: NodeRef) -> bool {
        let reports = &mut self.topology.node_mut(at).fail_reports;
        let place = reports.binary_search_by_key(&by, |(other, _)| *other);
        place.is_ok_and(|place| {
            reports.remove(place);
            true
        })
    }

    /// How many primaries have recently reported a node (CLUSTER COUNT-FAILURE-REPORTS).
    pub fn fail_reports(&mut self, at: NodeRef) -> usize {
        let oldest = self.now.saturating_sub(self.settings.node_timeout_ms.saturating_mul(REPORT_VALIDITY));
        let reports = &mut self.topology.node_mut(at).fail_reports;
        reports.retain(|(_, reported)| *reported >= oldest);
        reports.len()
    }

    /// A node doesn't answer. Whether it wasn't suspected before.
    pub(super) fn suspect(&mut self, at: NodeRef) -> bool {
        self.topology.node_mut(at).set(flag::PFAIL, true);
        if self.topology.myself().is_voter() {
            self.mark_failed_if_agreed(at);
        } else {
            let text = format!("NODE {} possibly failing.", self.name(at));
            self.log(Level::Notice, text);
        }
        true
    }

    /// Half of the primaries with slots and one.
    pub(super) fn quorum(&self) -> usize {
        self.topology.size() / 2 + 1
    }

    /// The same of when the cluster's state was last looked at, which is after each change: counting takes long where many fail.
    fn usual_quorum(&self) -> usize {
        if self.state.size == 0 { self.quorum() } else { self.state.size / 2 + 1 }
    }

    /// Marks a suspected node as failed if most primaries suspect it, and tells all others.
    pub(super) fn mark_failed_if_agreed(&mut self, at: NodeRef) {
        let node = self.topology.node(at);
        if !node.is(flag::PFAIL) || node.is(flag::FAIL) {
            return;
        }
        let (quorum, own) = (self.usual_quorum(), usize::from(self.topology.myself().is_voter()));
        if node.fail_reports.len() + own < quorum || self.fail_reports(at) + own < quorum {
            return;
        }
        let text = format!("Marking node {} as failing (quorum reached).", self.name(at));
        self.log(Level::Notice, text);
        self.mark_failed(at);
        self.broadcast_fail(at);
    }

    pub(super) fn broadcast_fail(&mut self, at: NodeRef) {
        let (id, header) = (self.topology.node(at).id, self.header());
        self.broadcast(header, Body::Fail(id));
    }

    /// Marks a node as failed.
    pub(super) fn mark_failed(&mut self, at: NodeRef) {
        let now = self.now;
        let node = self.topology.node_mut(at);
        node.set(flag::FAIL, true);
        node.set(flag::PFAIL, false);
        node.failed_at = now;
        if self.topology.myself().primary() == Some(at) {
            self.topology.myself_mut().set(flag::MY_PRIMARY_FAIL, true);
            self.todo.failover = true;
        }
        self.todo.save_and_update();
    }

    /// A failed node answers. It has not failed any more unless it is a primary with slots, which a replica may be about to take
    /// over: then only after some time.
    pub(super) fn clear_failure(&mut self, at: NodeRef) {
        let node = self.topology.node(at);
        let undo_after = self.settings.node_timeout_ms.saturating_mul(UNDO_TIME);
        let (is_voter, is_old) = (node.is_voter(), self.since(node.failed_at) > undo_after);
        if is_voter && !is_old {
            return;
        }
        let why = match (is_voter, node.is_replica()) {
            (true, _) => "is reachable again and nobody is serving its slots after some time.",
            (false, true) => "replica is reachable again.",
            (false, false) => "primary without slots is reachable again.",
        };
        let text = format!("Clear FAIL state for node {}: {why}", self.name(at));
        self.log(Level::Notice, text);
        self.topology.node_mut(at).set(flag::FAIL, false);
        if self.topology.myself().primary() == Some(at) {
            self.topology.myself_mut().set(flag::MY_PRIMARY_FAIL, false);
        }
        self.todo.save_and_update();
    }
}
