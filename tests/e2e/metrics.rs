//! The metrics port over a real socket: what it answers to whom, and that it holds nothing up.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::harness::{Directory, Server, eventually};
use crate::ports::free_port;

/// Sends bytes, and reads until the server closes.
fn exchange(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a response");
    text
}

fn get(port: u16, path: &str, header: &str) -> String {
    exchange(port, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n"))
}

/// The value of a sample.
fn value(page: &str, sample: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} in {page}")).parse().expect("a number")
}

#[test]
fn metrics_of_what_has_happened() {
    let port = free_port();
    let server = Server::start(&["--metrics-port", &port.to_string()]);
    let mut client = server.client();
    for request in ["SET a 1", "SET b 2", "EXPIRE b 1000", "GET a", "GET none", "INCR", "HSET h f v"] {
        client.ask(request);
    }
    let page = get(port, "/metrics", "");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{page}");
    for (sample, wanted) in [
        ("redis_up", 1.0),
        ("redis_db_keys{db=\"db0\"}", 3.0),
        ("redis_db_keys_expiring{db=\"db0\"}", 1.0),
        ("redis_commands_total{cmd=\"set\"}", 2.0),
        ("redis_commands_rejected_calls_total{cmd=\"incr\"}", 1.0),
        ("redis_keyspace_hits_total", 1.0),
        ("redis_keyspace_misses_total", 1.0),
        ("redis_errors_total{err=\"ERR\"}", 1.0),
        ("redis_connected_clients", 1.0),
        ("redis_rdb_last_bgsave_status", 1.0),
        ("redloop_command_duration_seconds_count{cmd=\"set\"}", 2.0),
        ("redloop_command_duration_seconds_bucket{cmd=\"set\",le=\"+Inf\"}", 2.0),
    ] {
        assert_eq!(value(&page, sample), wanted, "{sample}");
    }
    assert!(value(&page, "redloop_turn_seconds_total{cause=\"commands\"}") > 0.0);
    let body = page.split_once("\r\n\r\n").expect("a body").1;
    let length = page.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    assert_eq!(length.parse(), Ok(body.len()));
    let open = get(port, "/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n");
    assert!(open.contains("# TYPE redis_commands counter\n") && open.ends_with("# EOF\n"));
}

#[test]
fn quotas_are_shown_if_there_are_any() {
    let port = free_port();
    let quota = "db 0 keys 2 bytes 1mb/s user default requests 1000/s";
    let server = Server::start(&["--metrics-port", &port.to_string(), "--quota", quota]);
    let mut client = server.client();
    for request in ["SET a 1", "SET b 2", "SET c 3"] {
        client.ask(request);
    }
    let page = get(port, "/metrics", "");
    for (sample, wanted) in [
        ("redloop_quota_requests_total{of=\"user\",name=\"default\"}", 2.0),
        ("redloop_quota_refused_total{of=\"db\",name=\"0\"}", 1.0),
        ("redloop_quota_stored{of=\"db\",name=\"0\",what=\"keys\"}", 2.0),
        ("redloop_quota_limit{of=\"db\",name=\"0\",what=\"keys\"}", 2.0),
        ("redloop_quota_limit{of=\"user\",name=\"default\",what=\"requests per second\"}", 1000.0),
        ("redloop_quota_delayed_clients", 0.0),
    ] {
        assert_eq!(value(&page, sample), wanted, "{sample}");
    }
    assert!(value(&page, "redloop_quota_bytes_total{of=\"db\",name=\"0\"}") > 54.0);
    client.ask_words(&["CONFIG", "SET", "quota", ""]);
    assert!(!get(port, "/metrics", "").contains("redloop_quota"));
}

#[test]
fn a_node_tells_of_its_cluster() {
    let (port, bus) = (free_port(), free_port());
    let (port_text, bus) = (port.to_string(), bus.to_string());
    let options = ["--metrics-port", &port_text, "--cluster-enabled", "yes", "--cluster-port", &bus];
    let directory = Directory::new("metrics-cluster");
    let server = Server::start(&[&options[..], &["--dir", directory.0.to_str().expect("UTF-8")]].concat());
    let mut client = server.client();
    client.ask("CLUSTER ADDSLOTSRANGE 0 99");
    client.ask("CLUSTER MEET 127.0.0.1 1");
    let page = get(port, "/metrics", "");
    for (sample, wanted) in [
        ("redis_cluster_enabled", 1.0),
        ("redis_cluster_state", 0.0),
        ("redis_cluster_slots_assigned", 100.0),
        ("redis_cluster_known_nodes", 2.0),
        ("redis_cluster_size", 1.0),
        ("redloop_cluster_slots{what=\"served\"}", 100.0),
        ("redloop_cluster_slots{what=\"being emptied\"}", 0.0),
        ("redloop_cluster_links{direction=\"from\"}", 0.0),
        ("redloop_cluster_nodes{role=\"replica\",state=\"ok\"}", 0.0),
        ("redloop_cluster_slot_migrations{direction=\"export\"}", 0.0),
    ] {
        assert_eq!(value(&page, sample), wanted, "{sample}");
    }
    let alone = free_port();
    let _server = Server::start(&["--metrics-port", &alone.to_string()]);
    let page = get(alone, "/metrics", "");
    assert!(!page.contains("redloop_cluster") && value(&page, "redis_cluster_enabled") == 0.0);
}

#[test]
fn pages_and_refusals() {
    let port = free_port();
    let server = Server::start(&["--metrics-port", &port.to_string()]);
    for (request, status) in [
        ("GET /healthz HTTP/1.0\r\n\r\n", "200"),
        ("GET /readyz HTTP/1.0\r\n\r\n", "200"),
        ("HEAD /metrics HTTP/1.0\r\n\r\n", "200"),
        ("GET /else HTTP/1.0\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405"),
        ("PING\r\n\r\n", "400"),
        ("*1\r\n$4\r\nPING\r\n", "400"),
    ] {
        let response = exchange(port, request);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {response}");
    }
    // Two requests at once, and the connection stays.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\nGET /nothing HTTP/1.1\r\n\r\n").expect("sent");
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("404 Not Found") {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).expect("a response");
        assert!(count > 0, "closed after {}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&buffer[..count]);
    }
    // Connections that say nothing, or send without end, take no place from others.
    let idle: Vec<_> =
        (0..100).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("connected")).collect();
    assert_eq!(server.client().ask("PING"), "+PONG");
    drop(idle);
    eventually("a place for a new connection", || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let sent = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
        let mut text = String::new();
        sent.is_ok() && stream.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 200")
    });
    let mut endless = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    let line = format!("X-Endless: {}\r\n", "x".repeat(1000));
    let mut sent = endless.write_all(b"GET / HTTP/1.1\r\n");
    for _ in 0..100_000 {
        if sent.is_err() {
            break;
        }
        sent = endless.write_all(line.as_bytes());
    }
    assert!(sent.is_err(), "it took a head without end");
}

#[test]
fn a_replica_out_of_touch_is_not_ready() {
    let port = free_port();
    let server = Server::start(&["--metrics-port", &port.to_string()]);
    let mut client = server.client();
    assert_eq!(client.ask(&format!("REPLICAOF 127.0.0.1 {}", free_port())), "+OK");
    let response = get(port, "/readyz", "");
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    let page = get(port, "/metrics", "");
    assert!(page.contains("redis_master_link_up{master_host=\"127.0.0.1\""), "{page}");
    client.ask("REPLICAOF NO ONE");
    assert!(get(port, "/readyz", "").starts_with("HTTP/1.1 200 "));
}

#[test]
fn beyond_this_machine_a_user_is_needed() {
    let port = free_port();
    let options = ["--metrics-port", &port.to_string(), "--bind", "0.0.0.0"];
    let server = Server::start(&options);
    let mut client = server.client();
    client.ask("ACL SETUSER watch on >secret -@all +info");
    client.ask("ACL SETUSER other on >secret -@all +get");
    for (header, status) in [
        ("", "401"),
        ("Authorization: Basic d2F0Y2g6c2VjcmV0\r\n", "200"),
        ("Authorization: Basic d2F0Y2g6d3Jvbmc=\r\n", "401"),
        ("Authorization: Basic b3RoZXI6c2VjcmV0\r\n", "401"),
        ("Authorization: Basic !!!\r\n", "401"),
        ("Authorization: Bearer d2F0Y2g6c2VjcmV0\r\n", "401"),
    ] {
        let response = get(port, "/metrics", header);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{header}: {response}");
        assert!(get(port, "/healthz", header).starts_with("HTTP/1.1 200 "));
    }
}

#[test]
fn the_port_can_be_changed() {
    let directory = Directory::new("metrics-port");
    let dir = directory.0.to_string_lossy();
    let server = Server::start(&["--dir", &dir]);
    let mut client = server.client();
    let (first, second) = (free_port(), free_port());
    for port in [first, second] {
        assert_eq!(client.ask(&format!("CONFIG SET metrics-port {port}")), "+OK");
        assert!(get(port, "/healthz", "").starts_with("HTTP/1.1 200 "));
    }
    assert!(TcpStream::connect(("127.0.0.1", first)).is_err());
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let refused = client.ask(&format!("CONFIG SET metrics-port {port}"));
    assert!(
        refused.starts_with("-ERR CONFIG SET failed (possibly related to argument 'metrics-port')"),
        "{refused}"
    );
    assert!(get(second, "/healthz", "").starts_with("HTTP/1.1 200 "));
    assert_eq!(client.ask("CONFIG SET metrics-port 0"), "+OK");
    assert!(TcpStream::connect(("127.0.0.1", second)).is_err());
}
