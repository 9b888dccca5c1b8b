//! Hello messages: each sentinel tells the others of itself and of its configuration of a group.
//!
//! ```text
//! 10.0.0.7,26379,<id>,<epoch>,mymaster,10.0.0.1,6379,<configuration epoch>
//! └──── the sentinel ───────┘ └───────────── the group ────────────────┘
//! ```
//!
//! They are published on a channel of every primary and replica, and sent to the other sentinels. The higher configuration epoch wins.

use super::address::Address;
use super::event::Level;
use super::ids::InstanceId;
use super::info::{leading_integer, leading_unsigned};
use super::instance::{FailoverState, Kind, flag};
use super::link::{Channel, Expected};
use super::{HELLO_CHANNEL, Sentinel};

/// The longest hello message that is looked at, bytes.
const MAX_HELLO: usize = 4096;
/// The longest id of a sentinel.
const MAX_ID: usize = 64;

/// What a hello message says.
struct Hello<'a> {
    host: &'a str,
    port: i64,
    run_id: &'a str,
    epoch: u64,
    group: &'a str,
    primary_host: &'a str,
    primary_port: i64,
    config_epoch: u64,
}

impl<'a> Hello<'a> {
    fn parse(text: &'a [u8]) -> Option<Hello<'a>> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_HELLO)?;
        let parts: Vec<&str> = text.split(',').collect();
        let &[host, port, run_id, epoch, group, primary_host, primary_port, config_epoch] = &parts[..] else {
            return None;
        };
        let is_id =
            !run_id.is_empty() && run_id.len() <= MAX_ID && run_id.bytes().all(|b| b.is_ascii_graphic());
        is_id.then(|| Hello {
            host,
            port: leading_integer(port.as_bytes()),
            run_id,
            epoch: leading_unsigned(epoch.as_bytes()),
            group,
            primary_host,
            primary_port: leading_integer(primary_port.as_bytes()),
            config_epoch: leading_unsigned(config_epoch.as_bytes()),
        })
    }
}

impl Sentinel {
    /// Whether a hello message to an instance would not wait behind its paused writes (FAILOVER).
    pub(super) fn may_publish(&self, id: InstanceId) -> bool {
        let instance = self.at(id);
        let state = self.group(&instance.group).failover.state;
        let hands_over = instance.is(flag::COORD_FAILOVER) && state <= FailoverState::WaitPromotion;
        !hands_over && instance.replication.failover != Some(true)
    }

    /// Where a group's primary is: the promoted replica, once it is a primary.
    pub fn current_address(&self, group: &str) -> &Address {
        let group = self.group(group);
        let promoted = group.failover.promoted.filter(|_| {
            self.at(group.primary).is(flag::FAILOVER_IN_PROGRESS)
                && group.failover.state >= FailoverState::ReconfReplicas
        });
        &self.at(promoted.unwrap_or(group.primary)).address
    }

    pub(super) fn send_hello(&mut self, id: InstanceId) {
        let link = self.link_of(id);
        let Some(own_ip) = link.commands.as_ref().and_then(|open| open.local_ip.clone()) else { return };
        let settings = &self.settings;
        let ip = if settings.announce_ip.is_empty() { own_ip } else { settings.announce_ip.clone() };
        let port = if settings.announce_port == 0 { settings.port } else { settings.announce_port };
        let group = self.group(&self.at(id).group);
        let [host, primary_port] = self.announced(self.current_address(&group.name));
        let message = format!(
            "{ip},{port},{},{},{},{host},{primary_port},{}",
            self.id, self.current_epoch, group.name, group.config_epoch
        );
        self.request(id, Expected::Publish, &["PUBLISH", HELLO_CHANNEL, &message]);
    }

    /// Has all members of a group be told of its configuration with the next tick.
    pub(super) fn publish_soon(&mut self, group: &str) {
        let period = self.timing.publish_period + 1;
        for id in self.group(group).members() {
            let instance = self.at_mut(id);
            instance.published_at = instance.published_at.saturating_sub(period);
        }
    }

    /// Learns from a hello message, whatever way it came.
    pub fn process_hello(&mut self, text: &[u8]) {
        let Some(hello) = Hello::parse(text).filter(|hello| hello.run_id != self.id) else { return };
        if !self.groups.contains_key(hello.group) {
            return;
        }
        let sender = self.sender_of(&hello);
        if hello.epoch > self.current_epoch {
            self.enter_epoch(hello.group, hello.epoch);
        }
        let Some(sender) = sender else { return };
        if self.group(hello.group).config_epoch < hello.config_epoch {
            self.adopt_configuration(sender, &hello);
        }
        let now = self.now;
        self.at_mut(sender).hello_at = now;
    }

    pub(super) fn enter_epoch(&mut self, group: &str, epoch: u64) {
        self.current_epoch = epoch;
        self.persist();
        let primary = self.group(group).primary;
        self.event_text(Level::Warning, "+new-epoch", Some(primary), epoch.to_string());
    }

    /// The instance that stands for the sentinel that sent a message; a new one if it or its address is new.
    fn sender_of(&mut self, hello: &Hello<'_>) -> Option<InstanceId> {
        let address = self.address(hello.host, hello.port).ok()?;
        let known = self.group(hello.group).sentinels.get(hello.run_id).copied();
        if let Some(known) = known {
            if self.at(known).address.is_same(&address) {
                return Some(known);
            }
            self.remove_sentinel(hello.group, hello.run_id);
            let primary = self.group(hello.group).primary;
            let text = format!("ip {} port {} for {}", hello.host, hello.port, hello.run_id);
            self.event(Level::Notice, "+sentinel-address-switch", primary, &text);
        } else {
            self.remove_former_sentinel(hello.group, &address);
        }
        let sender = self.add_sentinel(hello.group, hello.run_id, address)?;
        if known.is_some() {
            self.update_sentinel_address(sender);
        } else {
            self.event(Level::Notice, "+sentinel", sender, "");
        }
        self.persist();
        Some(sender)
    }

    fn remove_sentinel(&mut self, group: &str, run_id: &str) {
        if let Some(removed) = self.group_mut(group).sentinels.remove(run_id) {
            self.remove_instance(removed);
        }
    }

    /// A sentinel of another id had this address: it is forgotten in all groups.
    fn remove_former_sentinel(&mut self, group: &str, address: &Address) {
        let mut sentinels = self.group(group).sentinels.values().copied();
        let Some(former) = sentinels.find(|other| self.at(*other).address.is_same(address)) else { return };
        self.event(Level::Notice, "+sentinel-invalid-addr", former, "");
        let run_id = self.at(former).name.clone();
        let groups: Vec<_> = self.groups.keys().cloned().collect();
        for group in groups {
            self.remove_sentinel(&group, &run_id);
        }
    }

    /// The other groups learn a sentinel's new address.
    fn update_sentinel_address(&mut self, sender: InstanceId) {
        let (run_id, address) = (self.at(sender).name.clone(), self.at(sender).address.clone());
        let matching = self.groups.values().filter_map(|group| group.sentinels.get(&run_id).copied());
        let matching: Vec<InstanceId> = matching.collect();
        for id in &matching {
            self.disconnect(*id);
            if *id != sender {
                self.at_mut(*id).address = address.clone();
            }
        }
        let others = matching.len().saturating_sub(1);
        if others > 0 {
            let text = format!("{others} additional matching instances");
            self.event(Level::Notice, "+sentinel-address-update", sender, &text);
        }
    }

    /// Takes over a newer configuration of a group.
    fn adopt_configuration(&mut self, sender: InstanceId, hello: &Hello<'_>) {
        let group = self.group_mut(hello.group);
        group.config_epoch = hello.config_epoch;
        let primary = group.primary;
        let old = self.at(primary).address.clone();
        if i64::from(old.port) == hello.primary_port && old.is_host(hello.primary_host) {
            return;
        }
        let Ok(new) = self.address(hello.primary_host, hello.primary_port) else { return };
        self.event(Level::Warning, "+config-update-from", sender, "");
        self.announce_switch(hello.group, &old, &new);
        self.change_primary(hello.group, new.clone());
        let (from, to) = (self.announced(&old), self.announced(&new));
        self.run_reconfig_script(hello.group, "observer", &from, &to);
    }

    /// The event that clients wait for.
    pub(super) fn announce_switch(&mut self, group: &str, old: &Address, new: &Address) {
        let primary = self.group(group).primary;
        let (old, new) = (self.announced(old).join(" "), self.announced(new).join(" "));
        self.event_text(Level::Warning, "+switch-master", Some(primary), format!("{group} {old} {new}"));
    }

    /// Gives a group another primary; the old one becomes a replica.
    pub(super) fn change_primary(&mut self, group: &str, address: Address) {
        let primary = self.group(group).primary;
        let old = self.at(primary).address.clone();
        let replicas = self.group(group).replicas.values().map(|id| self.at(*id).address.clone());
        let mut replicas: Vec<Address> = replicas.filter(|replica| !replica.is_same(&address)).collect();
        if !old.is_same(&address) {
            replicas.push(old);
        }
        self.reset_group(group, false);
        let instance = self.at_mut(primary);
        instance.address = address;
        (instance.s_down_since, instance.o_down_since) = (0, 0);
        for replica in replicas {
            if let Some(id) = self.add_replica(group, replica) {
                self.event(Level::Notice, "+slave", id, "");
            }
        }
        self.persist();
    }

    /// Forgets what was observed of a group: its replicas, its failover, its sentinels if `with_sentinels`.
    pub(super) fn reset_group(&mut self, group: &str, with_sentinels: bool) {
        let now = self.now;
        let found = self.group_mut(group);
        let primary = found.primary;
        let mut removed: Vec<InstanceId> = std::mem::take(&mut found.replicas).into_values().collect();
        if with_sentinels {
            removed.extend(std::mem::take(&mut found.sentinels).into_values());
        }
        let failover = &mut found.failover;
        (failover.state, failover.promoted) = (FailoverState::None, None);
        (failover.changed_at, failover.started_at) = (0, 0);
        removed.into_iter().for_each(|id| self.remove_instance(id));
        let key = self.at(primary).link;
        self.close(key, Channel::Commands);
        self.close(key, Channel::PubSub);
        self.link_of_mut(primary).reset_times(now);
        let instance = self.at_mut(primary);
        debug_assert_eq!(instance.kind, Kind::Primary);
        instance.flags = 0;
        instance.vote.leader = None;
        instance.run_id = None;
        instance.replication.primary_host = None;
        instance.role = Some(super::instance::Role::Primary);
        instance.role_changed_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_eight_parts() {
        let hello = Hello::parse(b"10.0.0.7,26379,abc,5,mymaster,10.0.0.1,6379,4").expect("a message");
        assert_eq!((hello.host, hello.port, hello.run_id, hello.epoch), ("10.0.0.7", 26379, "abc", 5));
        assert_eq!((hello.group, hello.primary_host, hello.primary_port), ("mymaster", "10.0.0.1", 6379));
        assert_eq!(hello.config_epoch, 4);
        for text in ["", "a,1,b,2,c,d,3", "a,1,,2,c,d,3,4", "a,1,b c,2,c,d,3,4", "a,1,b,2,c,d,3,4,5"] {
            assert!(Hello::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
