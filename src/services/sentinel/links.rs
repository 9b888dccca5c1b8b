//! The connections of instances: opened, shared between groups, written and read; and the requests that are sent
//! periodically.

use super::address::parse_ip;
use super::ids::InstanceId;
use super::ids::{ConnectionId, LinkKey};
use super::instance::{Kind, flag};
use super::link::{Channel, Connection, Expected, Link, Pending};
use super::reply::Reply;
use super::{Action, HELLO_CHANNEL, Sentinel};

/// The most requests without replies, for each instance that uses a link.
const MAX_PENDING: usize = 100;
/// How often replicas of a failing primary are asked for INFO, ms.
const FAST_INFO_PERIOD: u64 = 1000;

/// A request in RESP.
fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

impl Sentinel {
    /// Has an instance that stands for a sentinel use the link that another group has to it.
    pub(super) fn share_link(&mut self, id: InstanceId) {
        let run_id = self.at(id).run_id.clone();
        let (own, group) = (self.at(id).link, self.at(id).group.clone());
        if run_id.is_none() || self.link_of(id).users > 1 {
            return;
        }
        let others = self.groups.values().filter(|other| other.name != group);
        let mut matching = others.flat_map(|other| other.sentinels.values()).copied();
        let Some(other) = matching.find(|other| self.at(*other).run_id == run_id) else { return };
        let shared = self.at(other).link;
        self.release_link(own, id);
        self.at_mut(id).link = shared;
        self.link_of_mut(id).users += 1;
    }

    /// An instance doesn't use a link any more: the link ends with its last user.
    pub(super) fn release_link(&mut self, key: LinkKey, user: InstanceId) {
        let Some(link) = self.links.get_mut(&key) else { return };
        link.users -= 1;
        if link.users > 0 {
            for pending in link.pending.iter_mut().filter(|pending| pending.instance == user) {
                pending.expected = Expected::Ignored;
            }
            return;
        }
        self.close(key, Channel::Commands);
        self.close(key, Channel::PubSub);
        self.links.remove(&key);
    }

    /// Closes a connection of a link.
    pub(super) fn close(&mut self, key: LinkKey, channel: Channel) {
        let Some(link) = self.links.get_mut(&key) else { return };
        let Some(connection) = link.place(channel).take() else { return };
        link.is_disconnected = true;
        if channel == Channel::Commands {
            link.pending.clear();
        }
        self.connections.remove(&connection.id);
        self.actions.push_back(Action::Close { connection: connection.id });
    }

    /// Closes both connections of an instance.
    pub(super) fn disconnect(&mut self, id: InstanceId) {
        let key = self.at(id).link;
        self.close(key, Channel::Commands);
        self.close(key, Channel::PubSub);
    }

    /// Opens the connections of an instance that are missing, once a second at most.
    pub(super) fn reconnect(&mut self, id: InstanceId) {
        let (kind, key) = (self.at(id).kind, self.at(id).link);
        let (now, period) = (self.now, self.timing.ping_period);
        let link = self.link_of_mut(id);
        let is_recent = now.saturating_sub(link.attempted_at) < period;
        if !link.is_disconnected || is_recent || self.at(id).address.port == 0 {
            return;
        }
        let link = self.link_of_mut(id);
        link.attempted_at = now;
        let (commands, pubsub) = (link.commands.is_none(), link.pubsub.is_none());
        if commands {
            self.open(id, key, Channel::Commands);
            self.log_in(id, Channel::Commands);
            self.ping(id);
        }
        if kind != Kind::Sentinel && pubsub {
            self.open(id, key, Channel::PubSub);
            self.log_in(id, Channel::PubSub);
            let name = self.mapped(id, "SUBSCRIBE");
            self.write(key, Channel::PubSub, &[name.as_bytes(), HELLO_CHANNEL.as_bytes()]);
        }
        let link = self.link_of_mut(id);
        link.is_disconnected = link.commands.is_none() || (kind != Kind::Sentinel && link.pubsub.is_none());
    }

    fn open(&mut self, id: InstanceId, key: LinkKey, channel: Channel) {
        let connection = ConnectionId(self.new_number());
        let address = &self.at(id).address;
        let host = if self.settings.resolve_hostnames { &address.host } else { &address.ip };
        let (host, port) = (host.clone(), address.port);
        self.connections.insert(connection, (key, channel));
        let opened = Connection::new(connection, self.now);
        let link = self.link_of_mut(id);
        *link.place(channel) = Some(opened);
        if channel == Channel::Commands {
            link.pending.clear();
        }
        self.actions.push_back(Action::Connect { connection, host, port });
    }

    /// Sends AUTH, if there is a password, and names the connection.
    fn log_in(&mut self, id: InstanceId, channel: Channel) {
        let group = self.group(&self.at(id).group);
        let (user, password) = match self.at(id).kind {
            Kind::Primary | Kind::Replica => (group.auth_user.clone(), group.auth_pass.clone()),
            Kind::Sentinel if self.settings.auth_pass.is_some() => {
                (self.settings.auth_user.clone(), self.settings.auth_pass.clone())
            }
            Kind::Sentinel => (None, self.settings.requirepass.clone()),
        };
        if let Some(password) = password {
            let name = self.mapped(id, "AUTH");
            let words = [Some(name), user, Some(password)];
            let words: Vec<&[u8]> = words.iter().flatten().map(|word| word.as_bytes()).collect();
            self.request_on(id, channel, &words);
        }
        let kind = if channel == Channel::Commands { "cmd" } else { "pubsub" };
        let own = format!("sentinel-{}-{kind}", &self.id[..self.id.len().min(8)]);
        let name = self.mapped(id, "CLIENT");
        self.request_on(id, channel, &[name.as_bytes(), b"SETNAME", own.as_bytes()]);
    }

    fn request_on(&mut self, id: InstanceId, channel: Channel, words: &[&[u8]]) {
        let key = self.at(id).link;
        if !self.write(key, channel, words) {
            return;
        }
        let link = self.link_of_mut(id);
        match channel {
            Channel::Commands => {
                link.pending.push_back(Pending { expected: Expected::Ignored, instance: id });
            }
            Channel::PubSub => {
                link.pubsub.iter_mut().for_each(|connection| connection.before_subscribed += 1);
            }
        }
    }

    /// The name that the instances of a group know a command by (`rename-command`).
    fn mapped(&self, id: InstanceId, command: &str) -> String {
        let renamed = &self.group(&self.at(id).group).renamed_commands;
        renamed.get(&command.to_ascii_lowercase()).map_or_else(|| command.to_string(), |(_, new)| new.clone())
    }

    /// Sends a request to an instance; `false` if it has no connection.
    pub(super) fn request(&mut self, id: InstanceId, expected: Expected, words: &[&str]) -> bool {
        let Some((command, rest)) = words.split_first() else { return false };
        let command = self.mapped(id, command);
        let words: Vec<&[u8]> =
            std::iter::once(command.as_bytes()).chain(rest.iter().map(|word| word.as_bytes())).collect();
        let key = self.at(id).link;
        let sent = self.write(key, Channel::Commands, &words);
        if sent {
            self.link_of_mut(id).pending.push_back(Pending { expected, instance: id });
        }
        sent
    }

    fn write(&mut self, key: LinkKey, channel: Channel, words: &[&[u8]]) -> bool {
        let link = self.links.get_mut(&key);
        let Some(connection) = link.and_then(|link| link.place(channel).as_mut()) else { return false };
        let bytes = encode(words);
        if connection.local_ip.is_some() {
            self.actions.push_back(Action::Send { connection: connection.id, bytes });
        } else {
            connection.unsent.extend_from_slice(&bytes);
        }
        true
    }

    /// Sends PING and notes since when an answer is awaited.
    fn ping(&mut self, id: InstanceId) {
        if self.request(id, Expected::Ping, &["PING"]) {
            let now = self.now;
            let link = self.link_of_mut(id);
            link.pinged_at = now;
            if link.ping_since == 0 {
                link.ping_since = now;
            }
        }
    }

    /// Sends PING, INFO and the hello message, when they are due.
    pub(super) fn send_periodic(&mut self, id: InstanceId) {
        let link = self.link_of(id);
        if link.is_disconnected || link.pending.len() >= MAX_PENDING * link.users as usize {
            return;
        }
        let instance = self.at(id);
        let primary = self.at(self.group(&instance.group).primary);
        let is_urgent = instance.kind == Kind::Replica
            && (primary.is(flag::O_DOWN | flag::FAILOVER_IN_PROGRESS)
                || instance.replication.link_down_ms != 0);
        let info_period = if is_urgent { FAST_INFO_PERIOD } else { self.timing.info_period };
        let ping_period = instance.down_after_ms.min(self.timing.ping_period);
        let (now, info_at, published_at) = (self.now, instance.info_at, instance.published_at);
        let (ponged_at, pinged_at) = (link.ponged_at, link.pinged_at);
        let since = |time: u64| now.saturating_sub(time);
        if instance.kind != Kind::Sentinel && (info_at == 0 || since(info_at) > info_period) {
            self.request(id, Expected::Info, &["INFO"]);
        }
        if since(ponged_at) > ping_period && since(pinged_at) > ping_period / 2 {
            self.ping(id);
        }
        if since(published_at) > self.timing.publish_period && self.may_publish(id) {
            self.send_hello(id);
        }
    }

    /// A connection is established.
    pub fn connected(&mut self, now: u64, connection: ConnectionId, local_ip: &str, peer_ip: &str) {
        self.now = now;
        let Some(&(key, channel)) = self.connections.get(&connection) else { return };
        for instance in self.instances.values_mut().filter(|instance| instance.link == key) {
            // The name of the host has been resolved.
            if parse_ip(&instance.address.host).is_none() {
                instance.address.ip = peer_ip.to_string();
            }
        }
        let link = self.links.get_mut(&key);
        let Some(open) = link.and_then(|link| link.place(channel).as_mut()) else { return };
        open.local_ip = Some(local_ip.to_string());
        let bytes = std::mem::take(&mut open.unsent);
        self.actions.push_back(Action::Send { connection, bytes });
    }

    /// A connection has ended, or could not be opened.
    pub fn closed(&mut self, now: u64, connection: ConnectionId, reason: &str) {
        self.now = now;
        let Some((key, channel)) = self.connections.remove(&connection) else { return };
        let Some(link) = self.links.get_mut(&key) else { return };
        *link.place(channel) = None;
        link.is_disconnected = true;
        if channel == Channel::Commands {
            link.pending.clear();
        }
        let user = self.instances.iter().find(|(_, instance)| instance.link == key).map(|(id, _)| *id);
        if let Some(user) = user {
            let name = match channel {
                Channel::Commands => "-cmd-link-reconnection",
                Channel::PubSub => "-pubsub-link-reconnection",
            };
            self.event(super::Level::Debug, name, user, &format!("#{reason}"));
        }
    }

    /// Bytes have come on a connection.
    pub fn received(&mut self, now: u64, connection: ConnectionId, bytes: &[u8]) {
        self.now = now;
        if let Some(open) = self.connection(connection) {
            open.input.extend(bytes);
        }
        loop {
            // What a reply leads to may close the connection.
            let Some(open) = self.connection(connection) else { return };
            match open.input.next() {
                Ok(Some(reply)) => self.handle_reply(connection, reply),
                Ok(None) => return,
                Err(_) => {
                    if let Some(&(key, channel)) = self.connections.get(&connection) {
                        self.close(key, channel);
                    }
                    return;
                }
            }
        }
    }

    fn connection(&mut self, connection: ConnectionId) -> Option<&mut Connection> {
        let (key, channel) = *self.connections.get(&connection)?;
        self.links.get_mut(&key)?.place(channel).as_mut()
    }

    fn handle_reply(&mut self, connection: ConnectionId, reply: Reply) {
        let Some(&(key, channel)) = self.connections.get(&connection) else { return };
        let Some(link) = self.links.get_mut(&key) else { return };
        if channel == Channel::PubSub {
            return self.handle_message(key, reply);
        }
        let Some(Pending { expected, instance }) = link.pending.pop_front() else { return };
        if !self.instances.contains_key(&instance) {
            return;
        }
        match (expected, reply) {
            (Expected::Ping, reply) => self.handle_pong(instance, reply),
            (Expected::Info, Reply::Bulk(Some(info))) => self.refresh(instance, info),
            (Expected::Publish, Reply::Error(_)) => {}
            (Expected::Publish, _) => self.at_mut(instance).published_at = self.now,
            (Expected::PrimaryDown, Reply::Array(parts)) => self.handle_primary_down(instance, &parts),
            (Expected::Info | Expected::PrimaryDown | Expected::Ignored, _) => {}
        }
    }

    /// A message of the hello channel, the confirmation of the subscription, or a reply from before it.
    fn handle_message(&mut self, key: LinkKey, reply: Reply) {
        let Some(link) = self.links.get_mut(&key) else { return };
        if let Some(connection) = &mut link.pubsub
            && connection.before_subscribed > 0
        {
            connection.before_subscribed -= 1;
            return;
        }
        link.pubsub_active_at = self.now;
        let parts = match reply {
            Reply::Array(parts) => parts,
            // The subscription has been refused. The link counts as broken until a later one is allowed it.
            Reply::Error(_) => return self.close(key, Channel::PubSub),
            _ => return,
        };
        if let [Reply::Bulk(Some(kind)), Reply::Bulk(Some(_)), Reply::Bulk(Some(text))] = &parts[..]
            && kind == b"message"
        {
            self.process_hello(text);
        }
    }

    fn handle_pong(&mut self, id: InstanceId, reply: Reply) {
        let now = self.now;
        let (Reply::Status(text) | Reply::Error(text)) = reply else {
            self.link_of_mut(id).ponged_at = now;
            return;
        };
        let link = self.link_of_mut(id);
        link.ponged_at = now;
        let is_pong = text.starts_with(b"PONG");
        if is_pong || text.starts_with(b"LOADING") || text.starts_with(b"MASTERDOWN") {
            link.available_at = now;
            link.ping_since = 0;
            if is_pong {
                self.at_mut(id).set(flag::PRIMARY_REBOOT, false);
            }
        } else if text.starts_with(b"BUSY")
            && self.at(id).is(flag::S_DOWN)
            && !self.at(id).is(flag::SCRIPT_KILL_SENT)
        {
            self.request(id, Expected::Ignored, &["SCRIPT", "KILL"]);
            self.at_mut(id).set(flag::SCRIPT_KILL_SENT, true);
        }
    }

    /// Link of an instance, for tests and reports: `(pending requests, users, disconnected)`.
    pub(super) fn link_state(&self, id: InstanceId) -> &Link {
        self.link_of(id)
    }
}
