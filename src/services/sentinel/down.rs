//! Detection of failures: an instance is subjectively down (SDOWN) if it doesn't answer, a primary objectively (ODOWN) if enough
//! sentinels say so.

use super::Sentinel;
use super::event::Level;
use super::ids::InstanceId;
use super::instance::{FailoverState, Kind, Role, flag};
use super::link::{Channel, Expected};
use super::reply::Reply;

impl Sentinel {
    pub(super) fn check_subjectively_down(&mut self, id: InstanceId) {
        let now = self.now;
        let since = |time: u64| now.saturating_sub(time);
        self.close_silent_connections(id);
        let link = self.link_of(id);
        let silent_for = if link.ping_since != 0 {
            since(link.ping_since)
        } else if link.is_disconnected {
            since(link.available_at)
        } else {
            0
        };
        let instance = self.at(id);
        let is_primary = instance.kind == Kind::Primary;
        let has_left = is_primary
            && instance.role == Some(Role::Replica)
            && since(instance.role_changed_at) > instance.down_after_ms + self.timing.info_period * 2;
        let reboots = instance.is(flag::PRIMARY_REBOOT)
            && since(instance.reboot_since) > self.group(&instance.group).reboot_down_after_ms;
        let is_down = silent_for > instance.down_after_ms || has_left || reboots;
        if is_down == instance.is(flag::S_DOWN) {
            return;
        }
        self.event(Level::Warning, if is_down { "+sdown" } else { "-sdown" }, id, "");
        let instance = self.at_mut(id);
        instance.set(flag::S_DOWN, is_down);
        if is_down {
            instance.s_down_since = now;
        } else {
            instance.set(flag::SCRIPT_KILL_SENT, false);
        }
    }

    /// Closes connections that seem open and bring nothing, so that they are opened anew.
    fn close_silent_connections(&mut self, id: InstanceId) {
        let now = self.now;
        let since = |time: u64| now.saturating_sub(time);
        let (key, half) = (self.at(id).link, self.at(id).down_after_ms / 2);
        let is_old = |opened: u64| since(opened) > self.timing.min_link_reconnect_period;
        let link = self.link_of(id);
        let commands = link.commands.as_ref().is_some_and(|open| is_old(open.opened_at))
            && link.ping_since != 0
            && since(link.ping_since) > half
            && since(link.ponged_at) > half;
        let pubsub = link.pubsub.as_ref().is_some_and(|open| is_old(open.opened_at))
            && since(link.pubsub_active_at) > self.timing.publish_period * 3;
        if commands {
            self.close(key, Channel::Commands);
        }
        if pubsub {
            self.close(key, Channel::PubSub);
        }
    }

    pub(super) fn check_objectively_down(&mut self, group: &str) {
        let group = self.group(group);
        let (primary, quorum) = (group.primary, group.quorum);
        let agree = group.sentinels.values().filter(|id| self.at(**id).is(flag::PRIMARY_DOWN)).count();
        let agree = agree as u32 + 1;
        let instance = self.at(primary);
        let is_down = instance.is(flag::S_DOWN) && agree >= quorum;
        if is_down == instance.is(flag::O_DOWN) {
            return;
        }
        if is_down {
            self.event(Level::Warning, "+odown", primary, &format!("#quorum {agree}/{quorum}"));
        } else {
            self.event(Level::Warning, "-odown", primary, "");
        }
        let now = self.now;
        let instance = self.at_mut(primary);
        instance.set(flag::O_DOWN, is_down);
        if is_down {
            instance.o_down_since = now;
        }
    }

    /// Asks the other sentinels whether they, too, can't reach the primary, and for their votes in a failover.
    pub(super) fn ask_other_sentinels(&mut self, group: &str, is_forced: bool) {
        let group = self.group(group);
        let primary = self.at(group.primary);
        let is_asked = primary.is(flag::S_DOWN | flag::COORD_FAILOVER);
        let [host, port] = self.announced(&primary.address);
        let is_candidate = group.failover.state > FailoverState::None;
        // A candidate wants votes in its own epoch: those of a later one would be lost for the other candidate.
        let epoch = if is_candidate { group.failover.epoch } else { self.current_epoch }.to_string();
        let candidate = if is_candidate { &self.id } else { "*" };
        let words = ["SENTINEL", "is-master-down-by-addr", &host, &port, &epoch, candidate];
        let words = words.map(str::to_string);
        let (now, period) = (self.now, self.timing.ask_period);
        for id in group.sentinels.values().copied().collect::<Vec<_>>() {
            let elapsed = now.saturating_sub(self.at(id).down_reply_at);
            if elapsed > period * 5 {
                let instance = self.at_mut(id);
                instance.set(flag::PRIMARY_DOWN, false);
                instance.vote.leader = None;
            }
            let is_reachable = !self.link_of(id).is_disconnected;
            if is_asked && is_reachable && (is_forced || elapsed >= period) {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                self.request(id, Expected::PrimaryDown, &words);
            }
        }
    }

    /// A sentinel has answered: whether the primary is down, whom it votes for in which epoch.
    pub(super) fn handle_primary_down(&mut self, id: InstanceId, parts: &[Reply]) {
        let [Reply::Integer(is_down), Reply::Bulk(Some(leader)), Reply::Integer(epoch)] = parts else {
            return;
        };
        let (now, epoch) = (self.now, *epoch as u64);
        let instance = self.at_mut(id);
        instance.down_reply_at = now;
        instance.set(flag::PRIMARY_DOWN, *is_down == 1);
        if leader == b"*" {
            return;
        }
        let leader = String::from_utf8_lossy(leader).into_owned();
        let is_new = instance.vote.epoch != epoch;
        instance.vote = super::instance::Vote { leader: Some(leader.clone()), epoch };
        if is_new {
            let text = format!("{} voted for {leader} {epoch}", self.at(id).name);
            self.log(Level::Notice, text);
        }
    }

    /// The answer to another sentinel's question about the primary at an address: whether it is down, and this sentinel's
    /// vote if `candidate` wants it (is not `*`).
    pub fn answer_primary_down(
        &mut self,
        now: u64,
        host: &str,
        port: i64,
        epoch: u64,
        candidate: &str,
    ) -> (bool, Option<String>, u64) {
        self.now = now;
        let Ok(address) = self.address(host, port) else { return (false, None, 0) };
        let mut groups = self.groups.values();
        let group = groups.find(|group| self.at(group.primary).address.is_same(&address));
        let Some(group) = group.map(|group| group.name.clone()) else { return (false, None, 0) };
        let primary = self.group(&group).primary;
        let is_down = self.tilt_since.is_none() && self.at(primary).is(flag::S_DOWN);
        if candidate == "*" {
            return (is_down, None, 0);
        }
        let vote = self.vote(&group, epoch, candidate);
        (is_down, vote.leader, vote.epoch)
    }
}
