//! The clock of a node, which is the system's and may be set back.

use super::Cluster;

/// By how much the time may go back without anything being done about it, ms.
const TOLERANCE: u64 = 1000;

impl Cluster {
    /// It is this time now. If the clock was set back, so is what it was read for: otherwise no node would be pinged, and none taken for
    /// failed, until the old time is reached again.
    pub fn set_now(&mut self, now: u64) {
        let back = self.now.saturating_sub(now);
        self.now = now;
        if back > TOLERANCE {
            self.set_back(back);
        }
    }

    fn set_back(&mut self, by: u64) {
        let earlier = |time: &mut u64| *time = time.saturating_sub(by);
        for at in self.topology.refs() {
            let node = self.topology.node_mut(at);
            let times = [
                &mut node.created,
                &mut node.ping_sent,
                &mut node.pong_received,
                &mut node.data_received,
                &mut node.meet_sent,
                &mut node.failed_at,
                &mut node.orphaned_since,
                &mut node.repl_offset_at,
                &mut node.link_tried_at,
                &mut node.inbound_lost_at,
            ];
            times.into_iter().for_each(earlier);
            node.fail_reports.iter_mut().for_each(|(_, reported)| earlier(reported));
        }
        for link in self.links.values_mut() {
            earlier(&mut link.created);
            link.set_back(by);
        }
        self.blacklist.set_back(by);
        self.state.set_back(by);
        self.election.set_back(by);
        self.manual.set_back(by);
    }
}
