//! One node among others that a test speaks for: what comes to it is made by hand, what it does is looked at.

use super::*;

pub(super) const NOW: u64 = 1_700_000_000_000;

/// A client that wants a manual failover.
pub(super) fn user() -> Requester {
    Requester::User("somewhere".into())
}

/// The name of a node that a test speaks of by a letter, and of its shard.
pub(super) fn id(letter: char) -> NodeId {
    NodeId([letter as u8; NODE_ID_LEN])
}

pub(super) struct Bench {
    pub cluster: Cluster,
    pub now: u64,
    inbound: Vec<(char, BusLink)>,
    /// What was done since it was last looked at, but for what was sent.
    pub done: Vec<Action>,
    pub sent: Vec<(char, Message)>,
}

impl Bench {
    /// This node is `m`, and knows the primaries `letters`, each with a hundred slots from a multiple of a hundred on: the first has 0 to 99.
    /// Links in both directions are there; this node, if it is among the letters, is that primary.
    pub fn new(letters: &str) -> Bench {
        let settings =
            Settings { node_timeout_ms: 1000, require_full_coverage: false, ..Settings::default() };
        let mut cluster = Cluster::new(NOW, 1, settings);
        cluster.topology = Topology::new(id('m'), id('m'), NOW);
        cluster.topology.myself_mut().ip = "10.0.0.1".into();
        cluster.started(NOW);
        cluster.loaded(NOW);
        let mut bench = Bench { cluster, now: NOW, inbound: Vec::new(), done: Vec::new(), sent: Vec::new() };
        for (number, letter) in letters.chars().enumerate() {
            bench.add(letter, flag::PRIMARY);
            let (first, at) = (number as u16 * 100, bench.at(letter));
            bench.cluster.assign_slots(&(first..first + 100).collect(), Some(at));
            bench.cluster.topology.node_mut(at).config_epoch = number as u64 + 1;
        }
        bench.cluster.topology.current_epoch = letters.len() as u64;
        bench.settle();
        // Past the time that a primary waits before it joins.
        bench.cluster.update_state();
        bench.pass_with(2500, &letters.replace('m', ""));
        bench.clear();
        bench
    }

    /// Adds a node with links, unless it is this one.
    pub fn add(&mut self, letter: char, flags: u16) -> NodeRef {
        if letter == 'm' {
            return self.cluster.topology.me();
        }
        let mut node = Node::new(id(letter), id(letter), flags | flag::EXTENSIONS, self.now);
        (node.ip, node.tcp_port, node.bus_port) = (format!("10.0.1.{}", letter as u8), 6379, 16379);
        (node.pong_received, node.data_received) = (self.now, self.now);
        let at = self.cluster.topology.add(node).expect("a new node");
        let link = self.cluster.add_link(Some(at), String::new(), String::new());
        self.cluster.links.get_mut(&link).expect("a link").is_connected = true;
        self.cluster.topology.node_mut(at).link = Some(link);
        let peer = format!("10.0.1.{}", letter as u8);
        let inbound = self.cluster.accepted(self.now, &peer, "10.0.0.1").expect("a link");
        self.cluster.bind_link(inbound, at);
        self.inbound.push((letter, inbound));
        at
    }

    /// Makes a node, or this one, a replica.
    pub fn make_replica(&mut self, letter: char, of: char) {
        let (at, primary) = (self.at(letter), self.at(of));
        if letter == 'm' {
            let slots = self.cluster.topology.myself().slots().clone();
            self.cluster.assign_slots(&slots, None);
            self.cluster.set_my_primary(primary, true);
        } else {
            let shard = self.cluster.topology.node(primary).shard;
            let node = self.cluster.topology.node_mut(at);
            (node.flags, node.shard) = (node.flags & !flag::PRIMARY | flag::REPLICA, shard);
            self.cluster.topology.set_primary(at, Some(primary));
        }
        self.settle();
        self.clear();
    }

    pub fn at(&self, letter: char) -> NodeRef {
        self.cluster.topology.find(id(letter)).expect("a known node")
    }

    pub fn node(&mut self, letter: char) -> &mut Node {
        let at = self.at(letter);
        self.cluster.topology.node_mut(at)
    }

    /// What a node would say of itself if this node were right about it.
    pub fn header(&self, letter: char) -> Box<Header> {
        let topology = &self.cluster.topology;
        let node = topology.node(self.at(letter));
        let owner = topology.node(topology.primary_of(self.at(letter)));
        Box::new(Header {
            sender: node.id,
            current_epoch: topology.current_epoch,
            config_epoch: owner.config_epoch,
            offset: node.repl_offset,
            slots: owner.slots().clone(),
            primary: node.primary().map(|at| topology.node(at).id),
            ip: String::new(),
            port: node.tcp_port,
            other_port: node.tls_port,
            bus_port: node.bus_port,
            flags: node.flags & !flag::PFAIL & !flag::FAIL,
            is_ok: true,
            message_flags: message_flag::EXTENSIONS,
        })
    }

    /// A message comes on a node's inbound link.
    pub fn hear(&mut self, letter: char, header: Option<Box<Header>>, body: Body) {
        let link = self.inbound.iter().find(|(of, _)| *of == letter).expect("a node with links").1;
        self.hear_on(link, header, body);
    }

    pub fn hear_on(&mut self, link: BusLink, header: Option<Box<Header>>, body: Body) {
        let bytes = wire::encode(&Message { header, body });
        self.cluster.received(self.now, link, &bytes);
        self.settle();
    }

    /// A PING of a node with something changed in what it says of itself, and some gossip.
    pub fn ping(&mut self, letter: char, change: impl FnOnce(&mut Header), gossip: Vec<Gossip>) {
        let mut header = self.header(letter);
        change(&mut header);
        let extensions = Extensions { shard: Some(self.node(letter).shard), ..Extensions::default() };
        self.hear(letter, Some(header), Body::Ping { kind: PingKind::Ping, gossip, extensions });
    }

    /// A PONG on the outbound link to a node.
    pub fn pong(&mut self, letter: char) {
        let (header, shard, link) = (self.header(letter), self.node(letter).shard, self.node(letter).link);
        let extensions = Extensions { shard: Some(shard), ..Extensions::default() };
        let body = Body::Ping { kind: PingKind::Pong, gossip: Vec::new(), extensions };
        self.hear_on(link.expect("an outbound link"), Some(header), body);
    }

    /// What a node says of another one.
    pub fn gossip(&self, about: char, flags: u16) -> Gossip {
        Gossip {
            id: id(about),
            ping_sent: 0,
            pong_received: (self.now / 1000) as u32,
            ip: format!("10.0.1.{}", about as u8),
            port: 6379,
            other_port: 0,
            bus_port: 16379,
            flags,
        }
    }

    /// Time passes; the timer runs.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.now = (self.now + 100).min(end);
            self.cluster.tick(self.now);
            self.settle();
        }
    }

    /// Time passes, and some nodes answer.
    pub fn pass_with(&mut self, ms: u64, alive: &str) {
        for _ in 0..ms / 100 {
            self.pass(100);
            for letter in alive.chars() {
                let now = self.now;
                let node = self.node(letter);
                (node.pong_received, node.data_received, node.ping_sent) = (now, now, 0);
                node.set(flag::PFAIL, false);
            }
        }
    }

    pub fn settle(&mut self) {
        self.cluster.before_sleep(self.now);
        while let Some(action) = self.cluster.next_action() {
            if let Action::Send { link, bytes } = &action {
                let to = self.cluster.links().find(|(id, _)| id == link).and_then(|(_, link)| link.node);
                let to = to
                    .and_then(|at| self.cluster.topology.get(at))
                    .map_or('?', |node| char::from(node.id.0[0]));
                self.sent.push((to, wire::decode(bytes).expect("a message")));
                self.cluster.sent(self.now, *link, 0);
            }
            self.done.push(action);
        }
    }

    pub fn clear(&mut self) {
        self.done.clear();
        self.sent.clear();
    }

    /// Whether something was logged.
    pub fn has_logged(&self, part: &str) -> bool {
        self.done.iter().any(|action| matches!(action, Action::Log { text, .. } if text.contains(part)))
    }

    /// To whom messages of a kind were sent.
    pub fn sent_to(&self, is_wanted: impl Fn(&Body) -> bool) -> String {
        let mut to: Vec<char> =
            self.sent.iter().filter(|(_, message)| is_wanted(&message.body)).map(|(to, _)| *to).collect();
        to.sort_unstable();
        to.dedup();
        to.into_iter().collect()
    }
}
