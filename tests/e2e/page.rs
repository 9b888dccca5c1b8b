//! The page of the metrics port over a real socket: who may see what, its policy, and its answers as JSON.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Client, Directory, Server, eventually};
use crate::ports::free_port;

/// A response: its head, and its body.
fn get(port: u16, path: &str, header: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a response");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head.to_string(), body.to_string())
}

/// What a section answers a user with the password `p`; null if it refuses.
fn section(port: u16, path: &str, user: &str) -> Value {
    let header = match user {
        "" => String::new(),
        "all" => "Authorization: Basic YWxsOnA=\r\n".into(),
        "some" => "Authorization: Basic c29tZTpw\r\n".into(),
        "bare" => "Authorization: Basic YmFyZTpw\r\n".into(),
        other => panic!("no such user: {other}"),
    };
    let (head, body) = get(port, &format!("/api/{path}"), &header);
    if head.starts_with("HTTP/1.1 403 ") {
        return Value::Null;
    }
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Content-Type: application/json"), "{head}");
    serde_json::from_str(&body).expect("JSON")
}

fn start(options: &[&str]) -> (u16, Server, Client) {
    let port = free_port().to_string();
    let server = Server::start(&[&["--metrics-port", &port], options].concat());
    let client = server.client();
    (port.parse().expect("a number"), server, client)
}

const SECTIONS: [&str; 6] = ["commands", "turns", "slowlog", "keys", "hotkeys", "clients"];

#[test]
fn a_strict_policy() {
    let (port, _server, _) = start(&[]);
    let (head, body) = get(port, "/", "");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
    for header in ["Cache-Control: no-store", "X-Content-Type-Options: nosniff", "X-Frame-Options: DENY"] {
        assert!(head.lines().any(|line| line == header), "{head}");
    }
    let policy = head.lines().find(|line| line.starts_with("Content-Security-Policy: ")).expect("a policy");
    assert!(
        policy.contains("default-src 'none'; script-src 'sha256-") && policy.contains("connect-src 'self'")
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(body.starts_with("<!doctype html>") && body.ends_with("</html>\n"));
}

#[test]
fn a_name_that_was_pointed_here_gets_nothing() {
    let (port, _server, _) = start(&[]);
    for (path, status) in [("/", "403"), ("/api/now", "403"), ("/healthz", "200")] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: evil.example:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("a response");
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {text}");
    }
}

#[test]
fn sections_need_the_right_to_their_commands() {
    let (port, _server, mut client) = start(&["--bind", "0.0.0.0"]);
    client.ask("ACL SETUSER all on >p ~* +@all");
    client.ask("ACL SETUSER some on >p ~* -@all +info +slowlog|get");
    client.ask("ACL SETUSER bare on >p -@all +get");
    for path in ["/", "/api/now", "/api/clients", "/api/quotas"] {
        for header in ["", "Authorization: Basic YmFyZTpw\r\n", "Authorization: Basic YWxsOndyb25n\r\n"] {
            let (head, body) = get(port, path, header);
            assert!(head.starts_with("HTTP/1.1 401 "), "{path} {header}: {head}");
            assert!(head.contains("WWW-Authenticate: Basic") && !body.contains("id"), "{body}");
        }
    }
    for name in SECTIONS {
        assert_eq!(section(port, name, "some").is_null(), name != "slowlog", "{name}");
        // Without tracking, there are no hot keys.
        assert_eq!(section(port, name, "all").is_null(), name == "hotkeys", "{name}");
    }
    let may = &section(port, "now", "some")["may"];
    assert_eq!((&may["slowlog"], &may["clients"]), (&Value::Bool(true), &Value::Bool(false)));
}

#[test]
fn a_cluster_as_its_node_sees_it() {
    let (bus, directory) = (free_port(), Directory::new("page-cluster"));
    let dir = directory.0.to_str().expect("UTF-8");
    let (port, server, mut client) =
        start(&["--cluster-enabled", "yes", "--cluster-port", &bus.to_string(), "--dir", dir]);
    client.ask("CLUSTER ADDSLOTSRANGE 0 9 20 20");
    client.ask("CONFIG SET cluster-announce-human-nodename first");
    let found = section(port, "cluster", "");
    let shown =
        |names: &[&str]| names.iter().map(|name| found[name].to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(shown(&["enabled", "ok", "count", "size", "assigned", "moves"]), "true false 1 1 11 []");
    let node = &found["nodes"][0];
    assert_eq!((&node["me"], &node["role"], &node["state"]), (&true.into(), &"primary".into(), &"ok".into()));
    assert_eq!(
        (&node["count"], &node["slots"], &node["name"]),
        (&11.into(), &"0-9 20".into(), &"first".into())
    );
    drop(server);
    let (port, _server, _) = start(&[]);
    assert_eq!(section(port, "cluster", "")["enabled"], Value::Bool(false));
}

#[test]
fn quotas_and_what_is_used_of_them() {
    let (port, _server, mut client) = start(&["--quota", "db 0 requests 1000/s keys 2 over delay"]);
    for request in ["SET a 1", "SET b 2", "SET c 3"] {
        client.ask(request);
    }
    let found = section(port, "quotas", "");
    assert_eq!((&found["count"], &found["waiting"]), (&1.into(), &0.into()));
    let quota = &found["quotas"][0];
    let shown =
        |names: &[&str]| names.iter().map(|name| quota[name].to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(
        shown(&["of", "name", "delays", "refused", "requests", "keys"]),
        "\"db\" \"0\" true 1 [2,1000] [2,2]"
    );
    assert_eq!((&quota["bytes"][1], quota["memory"][0].as_u64() > Some(100)), (&0.into(), true));
    client.ask_words(&["CONFIG", "SET", "quota", ""]);
    assert_eq!(section(port, "quotas", "")["quotas"], Value::Array(Vec::new()));
}

#[test]
fn names_of_keys_are_for_those_who_may_read_them() {
    let (port, _server, mut client) = start(&["--slowlog-log-slower-than", "0"]);
    client.ask("ACL SETUSER some on >p %R~open:* %W~* +@all");
    client.ask("HOTKEYS START METRICS 2 CPU NET");
    for request in ["SET open:a 1", "SET secret:b 2", "RPUSH secret:c 1 2 3", "GET open:a", "GET secret:b"] {
        client.ask(request);
    }
    section(port, "keys?walk=1", "");
    eventually("the walk is over", || section(port, "keys", "")["report"].is_object());
    for path in ["keys", "hotkeys", "slowlog", "turns"] {
        let all = section(port, path, "").to_string();
        assert!(path == "turns" || all.contains("secret:"), "{path}: {all}");
        let some = section(port, path, "some");
        assert!(!some.is_null() && !some.to_string().contains("secret:"), "{path}: {some}");
    }
    let report = &section(port, "keys", "some")["report"];
    assert_eq!((&report["biggest"][0]["name"], &report["keys"]), (&"open:a".into(), &3.into()));
    assert!(report["hidden"].as_u64() > Some(0), "{report}");
    let hot = section(port, "hotkeys", "some");
    assert_eq!((&hot["cpu"]["keys"][0]["name"], &hot["cpu"]["hidden"]), (&"open:a".into(), &2.into()));
}

#[test]
fn history_is_recorded_while_the_port_is_open() {
    let (port, _server, mut client) = start(&[]);
    let history = || section(port, "history?range=minutes&since=0", "");
    eventually("two seconds of history", || {
        client.ask("SET a 1");
        history()["columns"].as_array().is_some_and(|columns| columns.len() >= 2)
    });
    let found = history();
    let names: Vec<&str> =
        found["names"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    let column = |name: &str| names.iter().position(|other| *other == name).expect("a series");
    let last = found["columns"].as_array().and_then(|columns| columns.last()).expect("a column");
    assert_eq!(last[1].as_array().map(Vec::len), Some(names.len()));
    assert!(last[1][column("ops")].as_f64() > Some(0.0) && last[1][column("used")].as_u64() > Some(100_000));
    assert!(last[2].as_array().expect("calls").iter().filter_map(Value::as_u64).sum::<u64>() > 0);
    let (tick, bytes) = (last[0].as_u64().expect("a time"), found["bytes"].as_u64().expect("bytes"));
    assert!(bytes < 160_000, "{bytes}");
    let newer = section(port, &format!("history?range=minutes&since={tick}"), "");
    assert!(
        newer["columns"].as_array().expect("columns").iter().all(|column| column[0].as_u64() > Some(tick))
    );
    assert_eq!(section(port, "history?range=hour&since=0", "")["step"], 10);
}

#[test]
fn clients_are_filtered_sorted_and_cut() {
    let (port, server, mut client) = start(&[]);
    let mut others: Vec<_> = (0..120).map(|_| server.client()).collect();
    for (number, other) in others.iter_mut().enumerate() {
        other.ask(&format!("CLIENT SETNAME worker-{number:03}"));
    }
    client.ask("CLIENT SETNAME <b>watcher</b>");
    let page = section(port, "clients?sort=name&down=1", "");
    assert_eq!((&page["total"], &page["matching"]), (&121.into(), &121.into()));
    let names = |page: &Value| -> Vec<String> {
        let rows = page["rows"].as_array().expect("rows").iter();
        rows.map(|row| row["name"].as_str().expect("a name").to_string()).collect()
    };
    let (first, rest) = (names(&page), names(&section(port, "clients?sort=name&down=1&from=100", "")));
    assert_eq!((first.len(), rest.len()), (100, 21));
    assert_eq!((&*first[0], &*rest[0], &*rest[20]), ("worker-119", "worker-019", "<b>watcher</b>"));
    let page = section(port, "clients?filter=WORKER-01", "");
    assert_eq!((&page["matching"], names(&page)[9].as_str()), (&10.into(), "worker-019"));
    assert_eq!(names(&section(port, "clients?filter=%3Cb%3E", "")), ["<b>watcher</b>"]);
    assert_eq!(section(port, "clients?filter=127.0.0.1:", "")["matching"], 121);
    assert_eq!(section(port, "clients?filter=none&from=99999999999999999999", "")["matching"], 0);
}

#[test]
fn long_turns_name_the_call_and_its_client() {
    let (port, _server, mut client) = start(&["--enable-debug-command", "yes"]);
    eventually("recording", || section(port, "history", "")["names"].is_array());
    client.ask("CLIENT SETNAME culprit");
    assert_eq!(client.ask("DEBUG SLEEP 0.02"), "+OK");
    let found = section(port, "turns", "");
    let turn = &found["turns"][0];
    assert!(turn["us"].as_u64() >= Some(20_000), "{found}");
    assert_eq!(
        (&turn["call"]["client"], &turn["call"]["command"]),
        (&"culprit".into(), &"debug".into()),
        "{found}"
    );
    assert_eq!(found["calls"][0]["client"], "culprit");
}

#[test]
fn the_dashboard_names_only_metrics_that_exist() {
    let directory = Directory::new("dashboard");
    let (port, server, mut client) = start(&["--appendonly", "yes", "--dir", &directory.0.to_string_lossy()]);
    let other = Server::start(&[]);
    assert_eq!(other.client().ask(&format!("REPLICAOF 127.0.0.1 {}", server.port)), "+OK");
    client.ask("SET a 1");
    client.ask("INCR");
    eventually("a replica", || get(port, "/metrics", "").1.contains("redis_connected_slave_lag_seconds{"));
    let metrics = get(port, "/metrics", "").1;
    let dashboard: Value =
        serde_json::from_str(include_str!("../../docs/grafana-dashboard.json")).expect("JSON");
    let mut named = 0;
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let words = query.split(|c| !is_part(c));
            for name in words.filter(|word| word.starts_with("redis_") || word.starts_with("redloop_")) {
                let exists =
                    |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
                assert!(metrics.lines().any(exists), "{name} of {query}");
                named += 1;
            }
        }
    }
    assert!(named > 20, "{named}");
}
