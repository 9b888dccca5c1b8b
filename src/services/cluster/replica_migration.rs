//! Replica migration: a primary whose replicas are all gone gets one of a primary that has several.

use super::cron::ReplicaCounts;
use super::ids::NodeRef;
use super::node::flag;
use super::{Cluster, Level};

/// How long a primary must have been without replicas: after a failover, those that it gets come by themselves, ms.
const DELAY: u64 = 5000;

impl Cluster {
    /// Follows an orphaned primary if this is the replica that should.
    pub(super) fn consider_migration(&mut self, counts: ReplicaCounts) {
        let ReplicaCounts { orphaned, most, of_mine } = counts;
        if orphaned == 0 || most < 2 || of_mine != most || !self.settings.allow_replica_migration {
            return;
        }
        let Some(primary) = self.topology.myself().primary() else { return };
        let is_well = |at: &&NodeRef| !self.topology.node(**at).is(flag::FAIL | flag::PFAIL);
        let working = self.topology.node(primary).replicas().iter().filter(is_well).count();
        if !self.state.is_ok || working <= self.settings.migration_barrier as usize {
            return;
        }
        let target = self.note_orphans();
        let Some(at) = target.filter(|_| self.is_candidate(most)) else { return };
        if self.since(self.topology.node(at).orphaned_since) > DELAY {
            self.log(Level::Notice, format!("Migrating to orphaned primary {}", self.name_in_shard(at)));
            self.set_my_primary(at, true);
            self.todo.save_durably();
            self.todo.broadcast = true;
        }
    }

    /// Notes since when primaries are orphaned; the first of them that has slots.
    fn note_orphans(&mut self) -> Option<NodeRef> {
        let now = self.now;
        let mut target = None;
        for at in self.topology.refs() {
            let is_orphaned = {
                let node = self.topology.node(at);
                node.is_primary()
                    && !node.is(flag::FAIL)
                    && node.is(flag::MIGRATE_TO)
                    && self.working_replicas(at) == 0
            };
            let node = self.topology.node_mut(at);
            if !is_orphaned {
                node.orphaned_since = 0;
                continue;
            }
            if node.orphaned_since == 0 {
                node.orphaned_since = now;
            }
            if target.is_none() && node.is_voter() {
                target = Some(at);
            }
        }
        target
    }

    /// Of the replicas of primaries with the most of them, this one has the smallest name.
    fn is_candidate(&self, most: usize) -> bool {
        let primaries =
            self.topology.iter().filter(|(at, node)| node.is_primary() && self.working_replicas(*at) == most);
        let mut replicas = primaries.flat_map(|(_, node)| node.replicas());
        let id = self.topology.myself().id;
        !replicas.any(|at| self.topology.node(*at).id < id)
    }
}
