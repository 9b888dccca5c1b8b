//! INFO replication and ROLE side by side with the real servers, in every state of a primary and a replica: the same fields in the
//! same order, with the same values. The other end of each link is played by the test, so that the states are the same.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::actors::{FalsePrimary, FalseReplica};
use crate::kind::Kind;
use crate::node::{Node, eventually};
use crate::ports::free_port;
use crate::support::reply::Reply;

/// Fields that only one of the two families has; ours has them all.
const OF_ONE_FAMILY: &[&str] = &[
    "master_client_io_thread",
    "master_current_sync_attempts",
    "master_link_up_since_seconds",
    "master_total_sync_attempts",
    "replica_full_sync_buffer_peak",
    "replica_full_sync_buffer_size",
    "replicas_repl_buffer_peak",
    "replicas_repl_buffer_size",
    "replicas_waiting_psync",
    "total_disconnect_time_sec",
    // Within the line of a replica.
    "io-thread",
    "type",
];
/// Fields whose values depend on the time, and ports.
const MEASURED: &[&str] = &["lag", "master_port", "port"];
const REPLID: &str = "0123456789012345678901234567890123456789";
/// An RDB file of nothing, without a checksum.
const EMPTY: &[u8] = b"REDIS0011\xff\0\0\0\0\0\0\0\0";

/// The fields of INFO, or of a replica's line in it, and what kind of value they have.
type Fields = Vec<(String, String)>;

/// What a server says of itself in a state.
struct View {
    state: &'static str,
    fields: Fields,
    role: String,
}

/// A value without what differs from run to run.
fn masked(name: &str, value: &str) -> String {
    let is_id = value.len() == 40 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    match value.parse::<i64>() {
        _ if is_id && value.bytes().all(|byte| byte == b'0') => "no id".into(),
        _ if is_id => "an id".into(),
        // A real server's lag is -1 where a second begins between two of its clocks.
        Ok(-1) if name != "lag" => value.into(),
        Ok(_) if MEASURED.contains(&name) || name.contains("_sec") || name.ends_with("attempts") => {
            "a number".into()
        }
        _ => value.into(),
    }
}

fn fields_of(node: &Node) -> Fields {
    let Reply::Bulk(text) = node.ask("INFO replication") else { panic!("INFO") };
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut fields = Fields::new();
    let errors = "unexpected_error_replies";
    fields.push((errors.into(), node.info("stats", errors)));
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        if !name.starts_with("slave") || !value.contains('=') {
            fields.push((name.into(), masked(name, value)));
            continue;
        }
        fields.push((name.into(), "a replica".into()));
        for (name, value) in value.split(',').filter_map(|pair| pair.split_once('=')) {
            fields.push((name.into(), masked(name, value)));
        }
    }
    fields
}

/// A reply with ports masked.
fn role_of(node: &Node) -> String {
    let text = node.ask("ROLE").to_string();
    let words = text.split_inclusive(|c: char| !c.is_ascii_digit());
    words
        .map(|word| {
            let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
            let is_port = digits.parse::<u32>().is_ok_and(|number| number > 10_000);
            if is_port { word.replace(digits, "port") } else { word.into() }
        })
        .collect()
}

/// A server, and what it has said so far.
struct Watched {
    node: Node,
    views: Vec<View>,
}

impl Watched {
    fn start(kind: Kind, role: &str) -> Watched {
        let options = ["--repl-ping-replica-period", "3600", "--rdbcompression", "no", "--hz", "50"];
        Watched { node: Node::start(kind, &format!("fields-{role}-{kind:?}"), &options), views: Vec::new() }
    }

    /// Waits until the primary is silent in the handshake, and notes the state.
    fn note_handshake(&mut self, state: &'static str) {
        eventually(state, || self.node.log(), || role_of(&self.node).contains("handshake"));
        self.note(state, "master_link_status", "down");
    }

    /// Waits until a field has a value, and notes the state.
    fn note(&mut self, state: &'static str, field: &str, value: &str) {
        self.note_if(state, &[(field, value)]);
    }

    fn note_if(&mut self, state: &'static str, wanted: &[(&str, &str)]) {
        let node = &self.node;
        let holds = |(field, value): &(&str, &str)| node.info("replication", field).contains(value);
        let report = || format!("{}\n{:?}", node.log(), node.ask("INFO replication").to_string());
        eventually(state, report, || wanted.iter().all(holds));
        self.views.push(View { state, fields: fields_of(node), role: role_of(node) });
    }
}

/// A replica that asks for everything; `finds_mark`: it needn't be sent a file.
fn attach(node: &Node, port: u16, finds_mark: bool) -> FalseReplica {
    let capabilities = if finds_mark { "capa eof capa psync2" } else { "capa psync2" };
    let mut replica = FalseReplica::new(node, &format!("REPLCONF listening-port {port} {capabilities}\r\n"));
    replica.read_until("+OK");
    replica.0.write_all(b"PSYNC ? -1\r\n").expect("sent");
    replica
}

/// A primary without replicas, with some in each state, and without them again.
fn primary_views(kind: Kind) -> Vec<View> {
    let mut it = Watched::start(kind, "primary");
    it.note("a new server", "role", "master");
    it.node.set("SET a 1");
    it.note("a primary with data", "role", "master");
    it.node.set("CONFIG SET repl-diskless-sync-delay 100");
    let mut replica = attach(&it.node, 7001, true);
    it.note("a replica waits for its snapshot", "connected_slaves", "1");
    it.node.set("CONFIG SET repl-diskless-sync-delay 0");
    replica.read_until("REDIS");
    it.note("a replica has been sent its snapshot", "slave0", "state=online");
    // Valkey begins a stream that is empty with a PING.
    it.node.set("SET b 2");
    replica.0.write_all(b"REPLCONF ACK 0\r\n").expect("sent");
    it.note("a replica is online", "slave0", "state=online");
    it.node.set("CONFIG SET min-replicas-to-write 1");
    it.note("enough replicas are near", "min_slaves_good_slaves", "1");
    replica.0.write_all(b"REPLCONF ACK 30\r\n").expect("sent");
    it.note("some is acknowledged", "slave0", "offset=30");
    let mut second = attach(&it.node, 7002, true);
    second.read_until("REDIS");
    second.0.write_all(b"REPLCONF ACK 0\r\n").expect("sent");
    it.note("two replicas", "slave1", "state=online");
    it.node.set("CONFIG SET min-replicas-to-write 0");
    it.node.set("FAILOVER TIMEOUT 60000");
    it.note("a failover waits", "master_failover_state", "waiting-for-sync");
    it.node.set("FAILOVER ABORT");
    drop((replica, second));
    it.note("the replicas are gone", "connected_slaves", "0");
    it.node.set("CONFIG SET repl-diskless-sync no");
    it.node.set("DEBUG POPULATE 64 big 1000000");
    let third = attach(&it.node, 7003, false);
    it.note("a file is sent", "slave0", "state=send_bulk");
    drop(third);
    it.views
}

/// A primary that says this in answer to PSYNC, and nothing more until it is told to end.
fn primary_that_says(text: Vec<u8>, is_over: &Arc<AtomicBool>) -> FalsePrimary {
    let is_over = is_over.clone();
    FalsePrimary::new(move |visit, link: &mut TcpStream| {
        if visit == 0 {
            let _ = link.write_all(&text);
            let _ = link.set_read_timeout(Some(Duration::from_millis(5)));
        }
        let mut rest = [0; 4096];
        loop {
            let is_closed = matches!(link.read(&mut rest), Ok(0));
            if is_closed || visit == 0 && is_over.load(Ordering::Relaxed) {
                return;
            }
        }
    })
}

/// A replica from the first attempt to its promotion.
fn replica_views(kind: Kind) -> Vec<View> {
    let mut it = Watched::start(kind, "replica");
    let closed = free_port();
    it.node.set(&format!("REPLICAOF 127.0.0.1 {closed}"));
    it.note("nothing listens there", "master_link_status", "down");
    // It accepts, by its queue, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_port = silent.local_addr().expect("an address").port();
    it.node.set(&format!("REPLICAOF 127.0.0.1 {silent_port}"));
    it.note_handshake("nothing is answered");

    let is_over = Arc::new(AtomicBool::new(false));
    let head = format!("+FULLRESYNC {REPLID} 100\r\n");
    let counted = primary_that_says([head.as_bytes(), b"$1000\r\nREDIS0011"].concat(), &is_over);
    it.node.set(&format!("REPLICAOF 127.0.0.1 {}", counted.port));
    it.note_if("a snapshot comes", &[("master_sync_in_progress", "1"), ("master_sync_read_bytes", "9")]);

    let mark = "e".repeat(40);
    let marked = format!("{head}$EOF:{mark}\r\nREDIS0011");
    let marked = primary_that_says(marked.into_bytes(), &is_over);
    it.node.set(&format!("REPLICAOF 127.0.0.1 {}", marked.port));
    it.note_if(
        "a snapshot of unknown size comes",
        &[("master_sync_in_progress", "1"), ("master_sync_total_bytes", "0")],
    );

    let length = format!("${}\r\n", EMPTY.len());
    let mut stream = Vec::new();
    // Three of these fail.
    for line in ["SELECT 0", "SET a x", "INCR a", "MULTI", "INCR a", "SET b 1", "LPUSH b 1", "EXEC"] {
        redloop::resp::encode_request(&mut stream, line.split(' '));
    }
    let whole = [head.as_bytes(), length.as_bytes(), EMPTY, &stream].concat();
    let whole = primary_that_says(whole, &is_over);
    it.node.set(&format!("REPLICAOF 127.0.0.1 {}", whole.port));
    let end = (100 + stream.len()).to_string();
    it.note_if("it is in sync", &[("master_link_status", "up"), ("slave_repl_offset", &end)]);
    let mut below = attach(&it.node, 7004, true);
    below.read_until("REDIS");
    below.0.write_all(b"REPLCONF ACK 0\r\n").expect("sent");
    it.note("it has a replica", "slave0", "state=online");
    is_over.store(true, Ordering::Relaxed);
    it.note_handshake("the link is lost");
    it.node.set("REPLICAOF NO ONE");
    it.note_if("it is a primary", &[("role", "master"), ("connected_slaves", "0")]);
    it.node.set("SET a 2");
    it.node.set(&format!("REPLICAOF 127.0.0.1 {silent_port}"));
    it.note_handshake("it is a replica again");
    it.views
}

/// What differs in a state: theirs, ours.
fn differences(theirs: &View, ours: &View) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = 0;
    for (name, value) in &theirs.fields {
        let Some(skipped) = ours.fields[next..].iter().position(|(ours, _)| ours == name) else {
            found.push(format!("{name} isn't there, or in another place"));
            continue;
        };
        for (extra, _) in &ours.fields[next..next + skipped] {
            if !OF_ONE_FAMILY.contains(&extra.as_str()) {
                found.push(format!("{extra} is too much"));
            }
        }
        next += skipped + 1;
        let ours = &ours.fields[next - 1].1;
        if ours != value {
            found.push(format!("{name} is {ours}, and there {value}"));
        }
    }
    if ours.role != theirs.role {
        found.push(format!("ROLE is\n{}\nand there\n{}", ours.role, theirs.role));
    }
    found
}

fn compare(peer: Kind) {
    if peer.program().is_none() {
        println!("SKIPPED: there is no server of the kind {peer:?}");
        return;
    }
    let views = [peer, Kind::Ours].map(|kind| {
        std::thread::scope(|scope| {
            let primary = scope.spawn(move || primary_views(kind));
            let mut views = replica_views(kind);
            views.extend(primary.join().expect("a primary's views"));
            views
        })
    });
    let [theirs, ours] = &views;
    let mut found = Vec::new();
    for (theirs, ours) in theirs.iter().zip(ours) {
        assert_eq!(theirs.state, ours.state);
        found.extend(differences(theirs, ours).into_iter().map(|text| format!("{}: {text}", ours.state)));
    }
    assert!(found.is_empty(), "differs from {peer:?}\n{}", found.join("\n"));
}

#[test]
fn as_redis() {
    compare(Kind::Redis);
}

#[test]
fn as_valkey() {
    compare(Kind::Valkey);
}
