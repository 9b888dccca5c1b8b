//! A simulated server: an engine, its connections over the simulated network, and its turns as the real loop takes them.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use redloop::base::ids::{ClientId, LinkId};
use redloop::base::rng::Rng;
use redloop::commands::FAMILIES;
use redloop::engine::clients::session::{Peer, Role};
use redloop::engine::links::{LinkAction, LinkEvent, LinkOwner};
use redloop::engine::replication::replicas::Stage;
use redloop::engine::{Engine, ExecStatus, ServerAction};
use redloop::resp::parser::{self, ParseLimits, Parsed, Progress};
use redloop::resp::{Args, Reply};
use redloop::services::cluster::{BUS_PORT_OFFSET, Cluster, Settings};
use redloop::services::config::Config;
use redloop::sys::clock::Clock;
use redloop::sys::simulated_disk::SimulatedDisk;

use crate::history::{self, Data, History};
use crate::network::{Event, Network};
use crate::nodes_conf::{NODES, Nodes};
use crate::payloads::Files;
use crate::request::Request;
use crate::snapshot::{self, Scope, Snapshot};

mod output;

/// Port of the first node; those of the others follow.
pub const PORT: u16 = 7000;
/// Connection numbers from here on are those of clients that need no network.
const DIRECT: usize = 1 << 32;
/// What is compared.
pub const REPLICATED: Scope = Scope { uses: false, access: false, commands: false, counters: false };
/// Clients of a node: one writes markers, the others anything, but for the last …
pub const CLIENTS: usize = 4;
/// … which writes what is only for this node, if that is a writable replica.
pub const OWN: usize = CLIENTS - 1;
/// The database of such writes, which is no part of what is compared.
pub const OWN_DB: usize = 14;
/// Requests that one connection may execute in a turn, at most.
const REQUESTS: u64 = 12;

/// What all nodes share.
pub struct Surroundings<'a> {
    pub network: &'a mut Network,
    pub history: &'a mut History,
    pub rng: &'a mut Rng,
    /// Which nodes are up.
    pub up: &'a [bool],
    /// What is executed, if that is wanted.
    pub notes: Option<Vec<String>>,
}

/// A client that needs no network.
pub struct Client {
    pub id: ClientId,
    pub waits: bool,
    pub queue: VecDeque<Request>,
    /// Replies that came.
    pub received: Vec<u8>,
    /// The stream's end behind its last request, and the log's.
    pub offset: u64,
    pub place: u64,
}

impl Client {
    fn connect(engine: &mut Engine, number: usize) -> Client {
        let id = engine.connect(DIRECT + number, 0, Peer::Internal);
        Client { id, waits: false, queue: VecDeque::new(), received: Vec::new(), offset: 0, place: 0 }
    }
}

/// Whose the bytes of a connection are.
enum Kind {
    Client(ClientId),
    Link(LinkId),
}

struct Connection {
    kind: Kind,
    input: Vec<u8>,
    /// Nothing of it is executed, or handed on, just now.
    waits: bool,
    /// The peer has ended it, for this reason.
    ended: Option<&'static str>,
    closing: bool,
    /// The snapshot that is sent to it, and how far that is.
    payload: Option<(usize, usize)>,
}

impl Connection {
    fn new(kind: Kind) -> Connection {
        Connection { kind, input: Vec::new(), waits: false, ended: None, closing: false, payload: None }
    }
}

pub struct Node {
    pub number: usize,
    pub engine: Engine,
    pub files: Files,
    pub clients: Vec<Client>,
    /// Looks at the data and leaves no trace.
    pub observer: ClientId,
    connections: BTreeMap<usize, Connection>,
    links: BTreeMap<LinkId, usize>,
    /// Connections that are to be closed in this turn.
    to_close: Vec<usize>,
    /// The place at which the data was last looked at.
    checked: (String, u64),
    /// When it has its next turn if nothing comes until then, in the network's time.
    wakes_at: u64,
    /// There may be writes at replicas.
    pub has_own_writes: bool,
    /// Writes at a replica of this turn: the key, the log's end behind it, and the count of [`Files::replaced`].
    pub own_writes: Vec<(String, u64, u64)>,
    /// Keys that were given a deadline at a replica in this turn, with that.
    pub own_deadlines: Vec<(String, u64)>,
    /// What went wrong.
    pub fault: Option<String>,
}

fn address(node: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + node as u8], port))
}

/// The key and deadline of `SET due:… 1 PX …`, executed at this time.
fn deadline_set_by(request: &str, now: u64) -> Option<(String, u64)> {
    let words: Vec<&str> = request.split(' ').collect();
    let key = words.get(1).filter(|key| key.starts_with("due:"))?;
    let ms: u64 = words.last()?.parse().ok()?;
    Some(((*key).into(), now + ms))
}

/// Makes an engine the node that its disk says.
fn enter_cluster_mode(engine: &mut Engine, disk: &SimulatedDisk, seed: u64) {
    let mut service = Cluster::new(engine.now(), seed, Settings::from_config(&engine.config));
    if let Some(text) = disk.content(NODES) {
        service
            .load(&String::from_utf8(text).expect("text"))
            .expect("nodes.conf can be loaded after a crash");
    }
    Nodes::write(disk, &service.nodes_conf(), true);
    engine.enter_cluster_mode(service);
}

impl Node {
    /// Starts a server on what its disk has.
    pub fn start(number: usize, config: Config, disk: SimulatedDisk, now_ms: u64, seed: u64) -> Node {
        let mut engine = Engine::new(FAMILIES, config, Clock::simulated(now_ms), seed);
        engine.info.port = PORT + number as u16;
        engine.start_turn();
        let observer = engine.clients.sessions.open(DIRECT + 99, 0, Peer::Internal, Role::Internal, now_ms);
        Request::from_words(&["CLIENT", "NO-TOUCH", "ON"]).run(&mut engine, observer);
        let clients = (0..CLIENTS).map(|client| Client::connect(&mut engine, client)).collect();
        if engine.config.cluster_enabled {
            enter_cluster_mode(&mut engine, &disk, seed);
        }
        engine.start_replicating();
        let files = Files::start(disk, &mut engine);
        Node {
            number,
            engine,
            files,
            clients,
            observer,
            connections: BTreeMap::new(),
            links: BTreeMap::new(),
            to_close: Vec::new(),
            checked: (String::new(), 0),
            wakes_at: 0,
            has_own_writes: false,
            own_writes: Vec::new(),
            own_deadlines: Vec::new(),
            fault: None,
        }
    }

    /// Whether its loop would wake: something has arrived, or is due.
    pub fn is_due(&self, network: &Network) -> bool {
        self.wakes_at <= network.now
            || network.has_arrived(self.number)
            || self.clients.iter().any(|client| !client.waits && !client.queue.is_empty())
    }

    /// How long its loop sleeps if nothing comes, as `server/turn.rs` has it, ms.
    fn sleep_ms(&self) -> u64 {
        let is_served = |connection: &Connection| {
            let is_fed = connection.payload.is_some();
            is_fed || !connection.waits && (!connection.input.is_empty() || connection.ended.is_some())
        };
        let is_behind = |client: ClientId| self.engine.replica_lag(client) > 0;
        let is_busy = !self.engine.clients.outbox.is_empty()
            || !self.to_close.is_empty()
            || self.connections.values().any(is_served)
            || self.engine.replication.replicas.attached().any(|(client, _)| is_behind(client));
        if is_busy {
            return 0;
        }
        self.engine.sleep_ms().min(self.files.sleep_ms(&self.engine))
    }

    /// A turn of the loop, in the order of `server/turn.rs`.
    pub fn turn(&mut self, around: &mut Surroundings<'_>) {
        self.engine.start_turn();
        self.close_pending(around);
        let events = around.network.arrived(self.number, around.rng);
        for (wire, event) in events {
            self.arrive(wire, event, around);
        }
        self.files.step(&mut self.engine, around.rng);
        self.look(around);
        // The walk of a snapshot goes on by some keys a turn.
        self.engine.clock.set_reading_step([0, 20_000, 200_000][around.rng.below(3) as usize]);
        self.engine.tick();
        self.engine.clock.set_reading_step(0);
        self.look(around);
        self.serve(around);
        self.engine.finish_cluster_turn();
        self.look(around);
        self.handle_actions(around);
        self.look(around);
        self.files.log.persist(&mut self.engine);
        self.deliver(around);
        self.feed_replicas(around);
        self.close_pending(around);
        self.engine.end_turn();
        self.wakes_at = around.network.now + self.sleep_ms();
    }

    fn arrive(&mut self, wire: usize, event: Event, around: &mut Surroundings<'_>) {
        match event {
            Event::Accepted { from, is_bus } => {
                let peer = Peer::Tcp(address(from, 50_000), address(self.number, PORT));
                let kind = if is_bus {
                    let Some(link) = self.engine.accept_bus_link(&peer) else {
                        return around.network.close(wire, self.number, around.rng);
                    };
                    self.links.insert(link, wire);
                    Kind::Link(link)
                } else {
                    Kind::Client(self.engine.connect(wire, 0, peer))
                };
                self.connections.insert(wire, Connection::new(kind));
                around.network.send(wire, self.number, Event::Connected, around.rng);
            }
            Event::Connected => {
                let Some(Connection { kind: Kind::Link(link), .. }) = self.connections.get(&wire) else {
                    return;
                };
                let peer = Peer::Tcp(address(0, PORT), address(self.number, 50_000));
                self.engine.link_event(*link, LinkEvent::Connected { conn_index: wire, fd: 0, peer });
            }
            Event::Bytes(bytes) => {
                if let Some(connection) = self.connections.get_mut(&wire) {
                    connection.input.extend_from_slice(&bytes);
                }
            }
            Event::Closed(reason) => {
                if let Some(connection) = self.connections.get_mut(&wire) {
                    connection.ended = Some(reason);
                }
            }
        }
    }

    /// Serves all connections once.
    fn serve(&mut self, around: &mut Surroundings<'_>) {
        let wires: Vec<usize> = self.connections.keys().copied().collect();
        for wire in wires {
            match self.connections.get(&wire) {
                Some(Connection { kind: Kind::Link(link), .. }) => self.serve_link(wire, *link),
                Some(Connection { kind: Kind::Client(client), .. }) => {
                    let client = *client;
                    self.serve_connection(wire, client, around);
                }
                None => {}
            }
        }
        for client in 0..CLIENTS {
            self.serve_client(client, around);
        }
    }

    fn serve_link(&mut self, wire: usize, link: LinkId) {
        let Some(connection) = self.connections.get_mut(&wire).filter(|connection| !connection.waits) else {
            return;
        };
        let (input, ended) = (std::mem::take(&mut connection.input), connection.ended);
        if !input.is_empty() {
            self.engine.link_event(link, LinkEvent::Received(&input));
        } else if let Some(reason) = ended {
            self.connections.remove(&wire);
            self.links.remove(&link);
            self.engine.link_event(link, LinkEvent::Closed(reason));
        }
    }

    fn serve_connection(&mut self, wire: usize, client: ClientId, around: &mut Surroundings<'_>) {
        let Some(connection) = self.connections.get_mut(&wire) else { return };
        let input = std::mem::take(&mut connection.input);
        let mut position = 0;
        for _ in 0..1 + around.rng.below(REQUESTS) {
            let is_served = self.connections.get(&wire).is_some_and(|it| !it.waits && !it.closing);
            let Some(session) = self.engine.clients.sessions.get(client).filter(|_| is_served) else { break };
            let is_fed = session.role.is_fed();
            let limits = ParseLimits { max_bulk: 512 << 20, authenticated: true };
            let (mut progress, mut spans) = (Progress::default(), Vec::new());
            let text;
            let rest = &input[position..];
            let (end, frame) = match parser::parse(rest, &mut progress, &mut spans, limits) {
                Ok(Parsed::Frame { end }) => (end, &rest[..end]),
                Ok(Parsed::Inline { end, text: decoded }) => {
                    text = decoded;
                    (end, &text[..])
                }
                Ok(Parsed::Incomplete) => break,
                Err(error) => {
                    self.fault = Some(format!("protocol error {error:?} in {}", rest.escape_ascii()));
                    return;
                }
            };
            let raw = &rest[..end];
            if spans.is_empty() {
                if is_fed {
                    self.engine.keep_replicated(client, raw, redloop::engine::replication::Effect::None);
                }
                position += end;
                continue;
            }
            let args = Args::new(frame, &spans);
            if !self.execute(wire, client, is_fed, (args, raw), around) {
                break;
            }
            position += end;
        }
        let Some(connection) = self.connections.get_mut(&wire) else { return };
        connection.input.splice(0..0, input[position..].iter().copied());
        let is_over = position == input.len() || position == 0;
        if connection.ended.is_some() && is_over && !connection.waits {
            self.to_close.push(wire);
        }
    }

    /// Executes a request of a connection; false if it was not executed.
    fn execute(
        &mut self,
        wire: usize,
        client: ClientId,
        is_fed: bool,
        (args, raw): (Args<'_>, &[u8]),
        around: &mut Surroundings<'_>,
    ) -> bool {
        self.engine.start_unit();
        let db = self.engine.clients.sessions.live(client).db;
        let prepared = self.engine.prepare(args, db);
        let mut reply = Reply::new(Vec::new(), false);
        let status = match is_fed {
            true => self.engine.execute_replicated(client, prepared, args, raw),
            false => self.engine.execute(client, prepared, args, &mut reply),
        };
        self.engine.flush_batch();
        let reply = reply.into_bytes();
        if let Some(notes) = &mut around.notes {
            let (words, text) = (raw.escape_ascii(), reply.escape_ascii());
            notes.push(format!("{}: connection {wire}: {words} -> {text}", self.number));
        }
        if !reply.is_empty() {
            around.network.send(wire, self.number, Event::Bytes(reply), around.rng);
        }
        if let Some(connection) = self.connections.get_mut(&wire) {
            connection.waits = matches!(status, ExecStatus::Blocked | ExecStatus::Postponed);
            connection.closing |= status == ExecStatus::Close;
        }
        if status == ExecStatus::Close {
            self.to_close.push(wire);
        }
        self.look(around);
        status != ExecStatus::Postponed
    }

    fn serve_client(&mut self, number: usize, around: &mut Surroundings<'_>) {
        for _ in 0..1 + around.rng.below(REQUESTS) {
            let is_writable = self.is_writable_replica();
            let client = &mut self.clients[number];
            if client.waits || self.engine.clients.sessions.get(client.id).is_none() {
                return;
            }
            let Some(request) = client.queue.pop_front() else { return };
            let is_own = number == OWN && self.engine.replication.is_replica();
            if is_writable && !is_own {
                // The data would be another than the primary's.
                client.received.extend_from_slice(b"-READONLY\r\n");
                continue;
            }
            let before = self.engine.backlog().end();
            let (status, reply) = request.run(&mut self.engine, client.id);
            if is_own && self.engine.backlog().end() != before {
                self.fault = Some(format!("a write at a replica is propagated: {}", request.show()));
            }
            if let Some(notes) = &mut around.notes {
                let text = reply[..reply.len().min(60)].escape_ascii();
                notes.push(format!("{}: client {number}: {} -> {text}", self.number, request.show()));
            }
            client.received.extend_from_slice(&reply);
            client.offset = self.engine.backlog().end();
            client.place = self.engine.backlog().log_end();
            if let Some(key) =
                request.show().strip_prefix("SET own:").filter(|_| is_own && reply == b"+OK\r\n")
            {
                let key = format!("own:{}", key.split(' ').next().unwrap_or_default());
                self.own_writes.push((key, client.place, self.files.replaced));
            }
            if is_own && reply == b"+OK\r\n" {
                self.own_deadlines.extend(deadline_set_by(&request.show(), self.engine.now()));
            }
            match status {
                ExecStatus::Done => {}
                ExecStatus::Blocked => client.waits = true,
                ExecStatus::Postponed => {
                    client.waits = true;
                    client.queue.push_front(request);
                }
                ExecStatus::Close => self.reconnect(number),
            }
            self.look(around);
        }
    }

    fn is_writable_replica(&self) -> bool {
        self.engine.replication.is_replica() && !self.engine.config.replica_read_only
    }

    /// Whether there is such a key.
    pub fn has(&mut self, db: usize, key: &str) -> bool {
        Request::from_words(&["SELECT", &db.to_string()]).run(&mut self.engine, self.observer);
        Request::from_words(&["EXISTS", key]).run(&mut self.engine, self.observer).1 == b":1\r\n"
    }

    fn reconnect(&mut self, number: usize) {
        self.engine.disconnect(self.clients[number].id);
        self.clients[number] = Client::connect(&mut self.engine, number);
    }

    /// Sends a request of a client that expects its reply at once, as an operator does.
    pub fn command(&mut self, words: &[&str]) -> String {
        let client = self.engine.connect(DIRECT + 98, 0, Peer::Internal);
        let (_, reply) = Request::from_words(words).run(&mut self.engine, client);
        self.engine.disconnect(client);
        self.wakes_at = 0;
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// Looks whether the data is what belongs to its place in its history, if it is somewhere else than before.
    fn look(&mut self, around: &mut Surroundings<'_>) {
        let is_primary = !self.engine.replication.is_replica();
        self.look_as(is_primary, around.history, around.notes.is_some());
    }

    /// As [`Self::look`], with the data of a primary or of a replica; all of it, if a difference is to be shown.
    pub fn look_as(&mut self, is_primary: bool, history: &mut History, is_verbose: bool) {
        let engine = &self.engine;
        let is_whole = engine.persistence.loading.is_none() && !engine.is_busy_with_script();
        if !is_whole || self.fault.is_some() || engine.backlog().retained().is_none() {
            return;
        }
        let is_known =
            self.checked.1 == engine.backlog().end() && self.checked.0 == engine.replication.identity.replid;
        if is_known {
            return;
        }
        let place = history::place(engine);
        let is_chosen = history::is_chosen(place.1);
        self.checked = place;
        let data = is_chosen.then(|| {
            let digest = self.digest();
            let whole = is_verbose.then(|| self.data());
            Data { digest, whole }
        });
        let result = match is_primary {
            true => history.record(&self.engine, data),
            false => history.compare(&self.engine, data.as_ref()),
        };
        self.fault = result.err();
    }

    /// Of all that is replicated.
    pub fn digest(&mut self) -> Vec<u8> {
        if !self.has_own_writes {
            return Request::from_words(&["DEBUG", "DIGEST"]).run(&mut self.engine, self.observer).1;
        }
        // Without one database.
        let mut hasher = DefaultHasher::new();
        for db in (0..self.engine.data.keyspace.count()).filter(|db| *db != OWN_DB) {
            let table = self.engine.data.keyspace.database(db).table();
            let mut keys: Vec<Vec<u8>> = table.iter().map(|entry| entry.key.to_vec()).collect();
            if keys.is_empty() {
                continue;
            }
            keys.sort();
            let mut words = vec![b"DEBUG".to_vec(), b"DIGEST-VALUE".to_vec()];
            words.append(&mut keys);
            Request::from_words(&["SELECT", &db.to_string()]).run(&mut self.engine, self.observer);
            let values = Request::from_words(&words).run(&mut self.engine, self.observer).1;
            (db, words, values).hash(&mut hasher);
        }
        hasher.finish().to_be_bytes().to_vec()
    }

    /// All that is replicated.
    pub fn data(&mut self) -> Snapshot {
        let mut data = snapshot::take(&mut self.engine, self.observer, REPLICATED);
        data.retain(|(db, _), _| *db != OWN_DB);
        data
    }

    fn handle_actions(&mut self, around: &mut Surroundings<'_>) {
        while let Some(action) = self.engine.next_action() {
            match action {
                ServerAction::Close { client, conn_index, .. } => self.end_connection(client, conn_index),
                ServerAction::Link(link, action) => self.handle_link(link, action, around),
                ServerAction::Resume(client) => self.resume(Some(client)),
                ServerAction::ResumeAll => self.resume(None),
                ServerAction::SendPayload { clients, source } => {
                    let Some(number) = self.files.send(source, &mut self.engine) else {
                        clients.iter().for_each(|client| self.engine.kill(*client));
                        continue;
                    };
                    for client in clients {
                        let wire = self.engine.clients.sessions.get(client).map(|session| session.conn_index);
                        let connection = wire.and_then(|wire| self.connections.get_mut(&wire));
                        connection.into_iter().for_each(|it| it.payload = Some((number, 0)));
                    }
                }
                ServerAction::WriteSnapshot => self.files.write_snapshot(&mut self.engine),
                ServerAction::ContinueMigrations => self.engine.continue_migrations(),
                ServerAction::RunVectorJobs => {
                    while let Some(job) = self.engine.take_vector_job() {
                        let result = (job.task)(&mut Default::default());
                        self.engine.finish_vector_job(job.client, result);
                    }
                }
                // The simulated network has no packets.
                ServerAction::GatherPackets { .. } => {}
                ServerAction::SaveNodes { text, sync, waits } => {
                    self.files.nodes.save(text, sync);
                    if waits {
                        self.files.write_nodes(&mut self.engine);
                    }
                }
                ServerAction::Sync(action) => self.files.handle_sync(action, &mut self.engine),
                other => self.fault = Some(format!("not expected of the engine: {other:?}")),
            }
        }
    }

    fn end_connection(&mut self, client: ClientId, conn_index: usize) {
        if conn_index >= DIRECT {
            if let Some(number) = self.clients.iter().position(|it| it.id == client) {
                self.reconnect(number);
            }
            return;
        }
        let connection = self.connections.get_mut(&conn_index);
        if let Some(connection) =
            connection.filter(|it| matches!(it.kind, Kind::Client(own) if own == client))
        {
            connection.closing = true;
            self.to_close.push(conn_index);
        }
    }

    fn resume(&mut self, which: Option<ClientId>) {
        for client in &mut self.clients {
            if which.is_none_or(|which| which == client.id) {
                client.waits = false;
            }
        }
        for connection in self.connections.values_mut() {
            if let Kind::Client(client) = connection.kind
                && which.is_none_or(|which| which == client)
            {
                connection.waits = false;
            }
        }
    }

    fn handle_link(&mut self, link: LinkId, action: LinkAction, around: &mut Surroundings<'_>) {
        if let LinkAction::Open(target) = action {
            let is_bus = target.owner == LinkOwner::Bus;
            let node = usize::from(target.port - PORT - if is_bus { BUS_PORT_OFFSET } else { 0 });
            let wire = around.network.open(self.number, node, is_bus, around.up[node], around.rng);
            self.links.insert(link, wire);
            self.connections.insert(wire, Connection::new(Kind::Link(link)));
            return;
        }
        let Some(wire) = self.links.get(&link).copied() else { return };
        let Some(connection) = self.connections.get_mut(&wire) else { return };
        match action {
            LinkAction::Open(_) => {}
            LinkAction::Send(bytes) => {
                around.network.send(wire, self.number, Event::Bytes(bytes), around.rng);
                self.engine.link_sent(link, 0);
            }
            LinkAction::Pause(paused) => connection.waits = paused,
            LinkAction::Close => {
                self.links.remove(&link);
                self.connections.remove(&wire);
                around.network.close(wire, self.number, around.rng);
            }
            LinkAction::Adopt { client, unread } => {
                self.links.remove(&link);
                connection.kind = Kind::Client(client);
                connection.waits = false;
                connection.input.splice(0..0, unread);
            }
        }
    }

    /// The nodes whose replicas have acknowledged the stream up to this offset; with `logged`, that they have it durably in their logs.
    pub fn acknowledged_by(&self, offset: u64, logged: bool) -> Vec<usize> {
        let replicas = self.engine.replication.replicas.attached();
        let acked = replicas.filter(|(_, it)| {
            it.stage == Stage::Online && offset <= if logged { it.log_ack_offset } else { it.ack_offset }
        });
        acked.map(|(_, replica)| usize::from(replica.port - PORT)).collect()
    }
}
