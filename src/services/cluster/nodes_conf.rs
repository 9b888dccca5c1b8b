//! `nodes.conf`: what a node knows of its cluster, as it is kept across restarts, in the format of Redis and Valkey.
//!
//! A line of [`super::describe`] for each node that isn't in a handshake, and a last one: `vars currentEpoch 7 lastVoteEpoch 6`.
//! The order of the lines means nothing. Lines that are empty, and variables that aren't known, are passed over.

use std::collections::BTreeMap;
use std::fmt;

use super::describe::FLAG_NAMES;
use super::ids::{NodeId, NodeRef};
use super::node::{Announced, Node, flag, is_aux_text, is_hostname};
use super::topology::Topology;
use super::{BUS_PORT_OFFSET, Cluster, random_id};
use crate::base::crc::SLOTS;
use crate::base::slot_set::SlotSet;

/// The longest address.
const MAX_IP: usize = 45;
/// Replicas of replicas come and go while a failover spreads, but no chain of so many.
const MAX_CHAIN: usize = 16;
/// Words of a node's line before those of its slots.
const WORDS: usize = 8;

/// A file that can't be used: the line (0: the file as a whole) and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodesConfError {
    pub line: usize,
    pub reason: &'static str,
    /// The beginning of the line.
    pub text: String,
}

impl fmt::Display for NodesConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "corrupted cluster config file: {}", self.reason),
            line => {
                write!(f, "corrupted cluster config file, line {line}: {}: \"{}\"", self.reason, self.text)
            }
        }
    }
}

/// What a node's line says.
struct Line {
    node: Node,
    shard: Option<NodeId>,
    primary: Option<NodeId>,
    slots: SlotSet,
    migrating: Vec<(u16, NodeId)>,
    importing: Vec<(u16, NodeId)>,
}

impl Cluster {
    /// The text of the file.
    pub fn nodes_conf(&self) -> String {
        let topology = &self.topology;
        let lines: String = topology
            .iter()
            .filter(|(_, node)| !node.is(flag::HANDSHAKE))
            .map(|(at, _)| topology.node_line(at, None) + "\n")
            .collect();
        format!(
            "{lines}vars currentEpoch {} lastVoteEpoch {}\n",
            topology.current_epoch, topology.last_vote_epoch
        )
    }

    /// Becomes the node of the file. An empty text changes nothing: the file was created for its lock only.
    pub fn load(&mut self, text: &str) -> Result<(), NodesConfError> {
        if text.is_empty() {
            return Ok(());
        }
        let mut epochs = (0, 0);
        let mut lines: Vec<Line> = Vec::new();
        for (number, text) in text.lines().enumerate() {
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            let error =
                |reason| NodesConfError { line: number + 1, reason, text: text.chars().take(200).collect() };
            match words.first() {
                None => {}
                Some(word) if word.eq_ignore_ascii_case("vars") => {
                    read_variables(&words[1..], &mut epochs).map_err(error)?;
                }
                Some(_) => lines.push(self.read_line(&words).map_err(error)?),
            }
        }
        self.topology =
            self.assemble(lines).map_err(|reason| NodesConfError { line: 0, reason, text: String::new() })?;
        let highest = self.topology.iter().map(|(_, node)| node.config_epoch).max().unwrap_or(0);
        self.topology.current_epoch = highest.max(epochs.0);
        self.topology.last_vote_epoch = epochs.1;
        Ok(())
    }

    fn read_line(&self, words: &[&str]) -> Result<Line, &'static str> {
        if words.len() < WORDS {
            return Err("too few fields");
        }
        let id = NodeId::parse(words[0].as_bytes()).ok_or("invalid node ID")?;
        let mut node = Node::new(id, id, 0, self.now);
        let shard = self.read_address(words[1], &mut node)?;
        node.flags = read_flags(words[2])?;
        if node.is(flag::FAIL) {
            node.failed_at = self.now;
        }
        let primary = match words[3] {
            word if word.starts_with('-') => None,
            word => Some(NodeId::parse(word.as_bytes()).ok_or("invalid ID of a primary")?),
        };
        let since = |word: &str| word.parse::<i64>().map(|time| if time == 0 { 0 } else { self.now });
        node.ping_sent = since(words[4]).map_err(|_| "invalid time")?;
        node.pong_received = since(words[5]).map_err(|_| "invalid time")?;
        let epoch = words[6].parse().map_err(|_| "invalid epoch")?;
        node.config_epoch = if node.is_replica() && primary.is_some() { 0 } else { epoch };
        let mut line = Line {
            node,
            shard,
            primary,
            slots: SlotSet::new(),
            migrating: Vec::new(),
            importing: Vec::new(),
        };
        words[WORDS..].iter().try_for_each(|word| read_slots(word, &mut line))?;
        Ok(line)
    }

    /// `ip:port[@bus-port][,hostname[,field=value…]]`; the shard that is among the fields.
    fn read_address(&self, word: &str, node: &mut Node) -> Result<Option<NodeId>, &'static str> {
        let mut parts = word.split(',');
        let (ip, ports) =
            parts.next().and_then(|address| address.rsplit_once(':')).ok_or("invalid address")?;
        if ip.len() > MAX_IP || !is_aux_text(&ip.replace('%', "")) {
            return Err("invalid address");
        }
        node.ip = ip.to_string();
        let hostname = parts.next().unwrap_or_default();
        if !is_hostname(hostname) {
            return Err("invalid hostname");
        }
        node.announced.hostname = hostname.to_string();
        let mut fields = Fields { has_tcp_port: false, has_tls_port: false, shard: None };
        for field in parts {
            let (name, value) = field.split_once('=').ok_or("invalid field")?;
            read_field(name, value, node, &mut fields)?;
        }
        let (port, bus_port) = match ports.split_once('@') {
            Some((port, bus_port)) => (port, Some(bus_port)),
            None => (ports, None),
        };
        let port = read_port(port)?;
        // Where neither port is among the fields, the line is one of an old file, and its port that of the bus's kind.
        match (fields.has_tcp_port, fields.has_tls_port) {
            (false, false) if self.settings.tls => node.tls_port = port,
            (false, _) => node.tcp_port = port,
            (true, false) => node.tls_port = port,
            (true, true) => {}
        }
        let base = if self.settings.tls { node.tls_port } else { node.tcp_port };
        node.bus_port = match bus_port {
            Some(bus_port) => read_port(bus_port)?,
            None => base.checked_add(BUS_PORT_OFFSET).ok_or("invalid port")?,
        };
        Ok(fields.shard)
    }

    /// A topology of the lines' nodes, and of those that are only spoken of.
    fn assemble(&mut self, lines: Vec<Line>) -> Result<Topology, &'static str> {
        let mut myself = lines.iter().filter(|line| line.node.is(flag::MYSELF));
        let (Some(me), None) = (myself.next(), myself.next()) else {
            return Err("exactly one line must be that of this node (myself)");
        };
        if !me.node.is(flag::PRIMARY | flag::REPLICA) || (me.node.is_replica() && me.primary.is_none()) {
            return Err("this node is neither a primary nor a replica of one");
        }
        let shards: BTreeMap<NodeId, Option<NodeId>> =
            lines.iter().map(|line| (line.node.id, line.shard)).collect();
        if shards.len() != lines.len() {
            return Err("two lines have the same node ID");
        }
        let mut topology = Topology::new(me.node.id, me.node.id, self.now);
        for line in &lines {
            let mut node = line.node.clone();
            node.shard = line.shard.unwrap_or_else(|| random_id(&mut self.rng));
            match node.is(flag::MYSELF) {
                true => *topology.myself_mut() = node,
                false => drop(topology.add(node).ok_or("too many nodes")?),
            }
        }
        for line in lines {
            let at = topology.find(line.node.id).expect("it was added above");
            // Of lines that claim the same slot the first has it.
            let free: Vec<u16> = line.slots.iter().filter(|slot| topology.owner(*slot).is_none()).collect();
            free.into_iter().for_each(|slot| topology.set_owner(slot, Some(at)));
            for (slot, to) in line.migrating {
                let to = self.known(&mut topology, to)?;
                topology.set_migrating(slot, Some(to));
            }
            for (slot, from) in line.importing {
                let from = self.known(&mut topology, from)?;
                topology.set_importing(slot, Some(from));
            }
            if let Some(primary) = line.primary.filter(|_| line.node.is_replica()) {
                let primary = self.known(&mut topology, primary)?;
                topology.set_primary(at, Some(primary));
            }
        }
        for at in topology.refs() {
            topology.node_mut(at).shard = topology.node(head_of_chain(&topology, at)?).shard;
        }
        Ok(topology)
    }

    /// The place of a node, which is added if it has no line.
    fn known(&mut self, topology: &mut Topology, id: NodeId) -> Result<NodeRef, &'static str> {
        if let Some(at) = topology.find(id) {
            return Ok(at);
        }
        let shard = random_id(&mut self.rng);
        topology.add(Node::new(id, shard, 0, self.now)).ok_or("too many nodes")
    }
}

/// The primary at the end of a chain of replicas, whose shard all of them are of.
fn head_of_chain(topology: &Topology, at: NodeRef) -> Result<NodeRef, &'static str> {
    let mut head = at;
    for _ in 0..MAX_CHAIN {
        match topology.node(head).primary() {
            Some(next) => head = next,
            None => return Ok(head),
        }
    }
    Err("replicas of each other")
}

/// What of a line's fields isn't the node's own, and which were there.
struct Fields {
    has_tcp_port: bool,
    has_tls_port: bool,
    shard: Option<NodeId>,
}

fn read_field(name: &str, value: &str, node: &mut Node, fields: &mut Fields) -> Result<(), &'static str> {
    if !is_aux_text(value) {
        return Err("invalid field");
    }
    let announced: &mut Announced = &mut node.announced;
    match name {
        "shard-id" => fields.shard = Some(NodeId::parse(value.as_bytes()).ok_or("invalid shard ID")?),
        "nodename" => announced.human_name = value.to_string(),
        "availability-zone" => announced.availability_zone = value.to_string(),
        "tcp-port" => (node.tcp_port, fields.has_tcp_port) = (read_port(value)?, true),
        "tls-port" => (node.tls_port, fields.has_tls_port) = (read_port(value)?, true),
        "client-tcp-port" => announced.client_port = read_port(value)?,
        "client-tls-port" => announced.client_tls_port = read_port(value)?,
        "client-ipv4" if value.is_empty() || value.parse::<std::net::Ipv4Addr>().is_ok() => {
            announced.client_ipv4 = value.to_string();
        }
        "client-ipv6" if value.is_empty() || value.parse::<std::net::Ipv6Addr>().is_ok() => {
            announced.client_ipv6 = value.to_string();
        }
        _ => return Err("unknown or invalid field"),
    }
    Ok(())
}

fn read_port(word: &str) -> Result<u16, &'static str> {
    word.parse().map_err(|_| "invalid port")
}

fn read_flags(word: &str) -> Result<u16, &'static str> {
    let mut flags = 0;
    for name in word.split(',') {
        let lower = name.to_ascii_lowercase();
        flags |= match lower.as_str() {
            "noflags" => 0,
            "primary" => flag::PRIMARY,
            "replica" => flag::REPLICA,
            // A node whose address isn't known has failed.
            "noaddr" => flag::NOADDR | flag::FAIL,
            name => FLAG_NAMES.iter().find(|(_, known)| *known == name).ok_or("unknown flag")?.0,
        };
    }
    if flags & flag::PRIMARY != 0 && flags & flag::REPLICA != 0 {
        return Err("a node is primary and replica");
    }
    Ok(flags)
}

/// `5`, `5-9`, `[5->-id]`, `[5-<-id]`.
fn read_slots(word: &str, line: &mut Line) -> Result<(), &'static str> {
    let slot = |word: &str| word.parse().ok().filter(|slot| *slot < SLOTS).ok_or("invalid slot");
    if let Some(moving) = word.strip_prefix('[') {
        let (number, rest) = moving.split_once('-').ok_or("invalid moving slot")?;
        let slot = slot(number)?;
        let (list, rest) = match rest.split_at_checked(2) {
            Some((">-", rest)) => (&mut line.migrating, rest),
            Some(("<-", rest)) => (&mut line.importing, rest),
            _ => return Err("invalid moving slot"),
        };
        let id = rest
            .strip_suffix(']')
            .and_then(|id| NodeId::parse(id.as_bytes()))
            .ok_or("invalid moving slot")?;
        list.push((slot, id));
        return Ok(());
    }
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (slot(first)?, slot(last)?);
    line.slots.insert_all(first..=last);
    Ok(())
}

fn read_variables(words: &[&str], epochs: &mut (u64, u64)) -> Result<(), &'static str> {
    let (pairs, []) = words.as_chunks::<2>() else { return Err("a variable without a value") };
    for [name, value] in pairs {
        let value = || value.parse::<u64>().map_err(|_| "invalid epoch");
        match name.to_ascii_lowercase().as_str() {
            "currentepoch" => epochs.0 = value()?,
            "lastvoteepoch" => epochs.1 = value()?,
            _ => {}
        }
    }
    Ok(())
}

/// Fuzzing: whatever the text is, reading it doesn't panic, and what was read is written and read again as the same.
#[doc(hidden)]
pub fn fuzz_nodes_conf(text: &str) {
    let mut cluster = Cluster::new(1_000, 1, super::Settings::default());
    if cluster.load(text).is_err() {
        return;
    }
    let written = cluster.nodes_conf();
    let mut again = Cluster::new(1_000, 2, super::Settings::default());
    assert_eq!(again.load(&written), Ok(()), "{written}");
    if !cluster.topology.iter().any(|(_, node)| node.is(flag::HANDSHAKE)) {
        assert_eq!(again.nodes_conf(), written);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn loaded(text: &str) -> Result<Cluster, NodesConfError> {
        let mut cluster = Cluster::new(1_000, 1, Settings::default());
        cluster.load(text)?;
        Ok(cluster)
    }

    /// Files of both families come out as they went in, but for the times, which are those of the start.
    #[test]
    fn files_of_real_nodes_are_read_and_written() {
        for (text, shard_size) in [
            (include_str!("../../../tests/data/cluster/valkey-nodes-0.conf"), 2),
            (include_str!("../../../tests/data/cluster/redis-nodes-0.conf"), 2),
        ] {
            let cluster = loaded(text).unwrap();
            let comparable = |text: &str| {
                let line = |line: &str| {
                    let mut words: Vec<&str> = line.split(' ').collect();
                    if words.len() > 7 {
                        // When it was pinged and whether it is connected isn't known after a start.
                        words[4..6].fill("time");
                        words[7] = "state";
                    }
                    words.join(" ")
                };
                let mut lines: Vec<String> = text.lines().map(line).collect();
                lines.sort();
                lines
            };
            assert_eq!(comparable(&cluster.nodes_conf()), comparable(text));
            let topology = &cluster.topology;
            assert_eq!((topology.len(), topology.size(), topology.assigned()), (4, 3, 16_384));
            assert_eq!(topology.shard(topology.myself().shard).count(), shard_size);
            assert_eq!((topology.myself().replicas().len(), topology.current_epoch), (1, 3));
            assert!(topology.migrating(7).is_some() && topology.importing(6_000).is_some());
        }
    }

    const ME: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const THIRD: &str = "cccccccccccccccccccccccccccccccccccccccc";

    #[test]
    fn old_files_and_those_edited_by_hand_are_read() {
        let text = format!(
            "vars currentEpoch 1 somethingElse 5 lastVoteEpoch 4\n\n\
             {ME} 127.0.0.1:7000 MYSELF,replica {OTHER} 0 0 9 connected\n\
             {OTHER} 10.0.0.2:7001 primary,fail - 5 6 7 connected 5-7 16383 [5->-{THIRD}]\n"
        );
        let cluster = loaded(&text).unwrap();
        let topology = &cluster.topology;
        let me = topology.myself();
        assert_eq!((me.bus_port, me.tcp_port, me.config_epoch, me.tls_port), (17_000, 7_000, 0, 0));
        let other = topology.node(me.primary().unwrap());
        assert_eq!(
            (other.ping_sent, other.pong_received, other.failed_at, other.config_epoch),
            (1_000, 1_000, 1_000, 7)
        );
        assert_eq!((me.shard, other.slots().to_string()), (other.shard, "5-7 16383".to_string()));
        assert_eq!((topology.current_epoch, topology.last_vote_epoch), (7, 4));
        assert_eq!(topology.node(topology.migrating(5).unwrap()).id.to_string(), THIRD);
        assert_eq!(topology.len(), 3);
        // The port of an old file is one with TLS where the bus is.
        let mut cluster = Cluster::new(1_000, 1, Settings { tls: true, ..Settings::default() });
        cluster.load(&text).unwrap();
        assert_eq!((cluster.topology.myself().tls_port, cluster.topology.myself().tcp_port), (7_000, 0));
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        let mut cluster = Cluster::new(1_000, 1, Settings::default());
        let id = cluster.topology.myself().id;
        assert_eq!((cluster.load(""), cluster.topology.myself().id), (Ok(()), id));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let me = format!("{ME} 127.0.0.1:7000@17000 myself,master - 0 0 1 connected");
        for (text, line, reason) in [
            ("vars currentEpoch 5".to_string(), 0, "exactly one line must be that of this node (myself)"),
            (format!("{me}\n{me}"), 0, "exactly one line must be that of this node (myself)"),
            (format!("{me}\n{ME} :0@0 noaddr - 0 0 0 disconnected"), 0, "two lines have the same node ID"),
            (me.replace("master", "slave"), 0, "this node is neither a primary nor a replica of one"),
            (me.replace("master -", &format!("slave {ME}")), 0, "replicas of each other"),
            (format!("\n{me}\nvars currentEpoch"), 3, "a variable without a value"),
            (format!("{me}\nvars currentEpoch -1"), 2, "invalid epoch"),
            (format!("{me}\n{me} 5").replacen(ME, "A", 1), 1, "invalid node ID"),
            (me.replace(" connected", ""), 1, "too few fields"),
            (me.replace("127.0.0.1:7000@17000", "127.0.0.1"), 1, "invalid address"),
            (me.replace("127.0.0.1", "127.0.0.1;x"), 1, "invalid address"),
            (me.replace("17000", "70000"), 1, "invalid port"),
            (me.replace(":7000@17000", ":60000"), 1, "invalid port"),
            (me.replace("17000", "17000,h_st"), 1, "invalid hostname"),
            (me.replace("17000", "17000,,color=blue"), 1, "unknown or invalid field"),
            (me.replace("17000", "17000,,client-ipv4=1.2.3"), 1, "unknown or invalid field"),
            (me.replace("17000", "17000,,shard-id=x"), 1, "invalid shard ID"),
            (me.replace("master", "boss"), 1, "unknown flag"),
            (format!("{me} 5-16384"), 1, "invalid slot"),
            (format!("{me} -5"), 1, "invalid slot"),
            (format!("{me} [5->-{ME}"), 1, "invalid moving slot"),
            (format!("{me} [5-=-{ME}]"), 1, "invalid moving slot"),
        ] {
            let error = loaded(&text).unwrap_err();
            assert_eq!((error.line, error.reason), (line, reason), "{text}");
        }
        assert_eq!(
            loaded(&format!("{me}\nhello")).unwrap_err().to_string(),
            "corrupted cluster config file, line 2: too few fields: \"hello\""
        );
    }
}
