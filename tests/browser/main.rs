//! The page of the metrics port in headless Chromium: what must be seen, under load and without, while loading, at a replica, with many
//! clients and with names that have markup in them; in light and dark, wide and on a phone.
//!
//! Needs Chromium (`/usr/bin/chromium`), Node.js and the package playwright-core, which `tests/clients/install.sh` installs;
//! without one of them the tests say that they are skipped. `REDLOOP_SHOTS=docs/page` renews the pictures of the documentation, with
//! `REDLOOP_BINARY=target/release/redloop` those of a release build.

#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/process.rs"]
mod process;
#[expect(dead_code, reason = "other servers aren't looked for here")]
#[path = "../support/programs.rs"]
mod programs;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use process::Process;
use programs::on_path;

use ports::free_port;

/// Where the package is, if all that is needed is there.
fn playwright(test: &str) -> Option<PathBuf> {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/redloop-clients");
    let installed = std::env::var_os("REDLOOP_CLIENTS").map_or_else(home, PathBuf::from);
    let package = installed.join("node/node_modules/playwright-core");
    let is_there =
        PathBuf::from("/usr/bin/chromium").exists() && on_path("node").is_some() && package.is_dir();
    if !is_there {
        println!("skipped: {test} (chromium, node or playwright-core isn't installed)");
    }
    is_there.then_some(package)
}

/// A server with a metrics port.
fn start(options: &[&str]) -> (Process, u16) {
    let port = free_port();
    let text = port.to_string();
    let options = [&["--metrics-port", &text], options].concat();
    let server = match std::env::var_os("REDLOOP_BINARY") {
        Some(binary) => Process::start(&std::path::absolute(binary).expect("a path"), &options),
        None => Process::ours(&options),
    };
    (server, port)
}

/// Opens the page, and fails with what is wrong.
fn look(package: &std::path::Path, port: u16, wanted: &[(&str, &str)], options: &str) {
    let wanted = serde_json::to_string(wanted).expect("JSON");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/page.cjs");
    let output = Command::new("node")
        .args([script, &format!("http://127.0.0.1:{port}/"), &wanted, options])
        .env("PLAYWRIGHT", package)
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Where a picture goes.
fn shot(name: &str) -> String {
    let directory = std::env::var_os("REDLOOP_SHOTS").map_or_else(std::env::temp_dir, PathBuf::from);
    let process = if std::env::var_os("REDLOOP_SHOTS").is_some() {
        String::new()
    } else {
        format!("-{}", std::process::id())
    };
    directory.join(format!("{name}{process}.png")).to_str().expect("UTF-8").to_string()
}

/// Load that ends with it.
struct Load(Child);

impl Load {
    fn start(port: u16) -> Load {
        let port = port.to_string();
        let words = ["-p", &port, "-n", "300000", "-c", "20", "-r", "20000", "-t", "get,set", "-q"];
        let words = [&words[..], &["-l", "-P", "4"]].concat();
        Load(
            Command::new("redis-benchmark")
                .args(words)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("load"),
        )
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Failing to kill what has ended is none of the test's concern.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a request, and returns the first bytes of its reply.
fn ask(port: u16, words: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.write_all(&encoded(words)).expect("sent");
    let mut reply = [0; 4096];
    let count = stream.read(&mut reply).expect("a reply");
    reply[..count].to_vec()
}

fn encoded(words: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        request.extend_from_slice(word);
        request.extend_from_slice(b"\r\n");
    }
    request
}

/// A request of words without spaces.
fn say(port: u16, line: &str) {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let reply = ask(port, &words);
    assert!(!reply.starts_with(b"-"), "{line}: {}", String::from_utf8_lossy(&reply));
}

/// Data of several kinds and prefixes.
fn fill(port: u16) {
    let script = "for i=1,tonumber(ARGV[1]) do redis.call('set','session:'..i,string.rep('x',i%400)) \
        redis.call('hset','user:'..(i%3000),'visits',i,'f'..(i%50),i) redis.call('zadd','ranking',i,'member:'..i) end return 1";
    assert_eq!(ask(port, &[b"EVAL", script.as_bytes(), b"0", b"20000"]), b":1\r\n");
}

/// What is there in all cases.
const ALWAYS: [(&str, &str); 8] = [
    ("#facts", "port"),
    ("#memory-legend", "values"),
    ("#heat h2", "How long calls take"),
    ("#commands-body", "p99"),
    ("#t-memory-big", "iB"),
    ("#t-ops-sub", "in all"),
    ("#persistence-facts", "save points"),
    ("#clients-body", "last command"),
];

#[test]
fn under_load_in_light_dark_and_on_a_phone() {
    let Some(package) = playwright("under_load_in_light_dark_and_on_a_phone") else { return };
    let directory = std::env::temp_dir().join(format!("redloop-page-load-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    let dir = directory.to_str().expect("UTF-8");
    // The script that fills is to be one call of one turn, on a machine that is busy as well.
    let own = ["--slowlog-log-slower-than", "30000", "--busy-reply-threshold", "60000"];
    let (server, port) = start(&[&["--appendonly", "yes", "--dir", dir], &own[..]].concat());
    fill(server.port);
    say(server.port, "HOTKEYS START METRICS 2 CPU NET");
    let _load = on_path("redis-benchmark").map(|_| Load::start(server.port));
    say(server.port, "KEYS session:1*");
    say(server.port, "ZRANGE ranking 0 -1");
    if std::env::var_os("REDLOOP_SHOTS").is_some() {
        // Pictures show some history.
        std::thread::sleep(Duration::from_secs(60));
    }
    let wanted = [
        &ALWAYS[..],
        &[
            ("#promise", "At most about the last second"),
            ("#role", "Primary of no replicas"),
            ("#keys-body code", "ranking"),
            ("#prefixes-body code", "session:"),
            ("#slowlog-body", "127.0.0.1"),
            ("#commands-body code", "set"),
            ("#turns-body", "eval"),
            ("#calls-body code", "eval"),
            ("#hotkeys-body", "by bytes"),
            ("#keys-note", "keys of database 0"),
            ("#clients-body", "127.0.0.1"),
        ],
    ]
    .concat();
    for (name, look_of) in [
        ("light", r#""scheme":"light","height":1180"#),
        ("dark", r#""scheme":"dark","height":1180"#),
        ("phone", r#""scheme":"light","width":390,"height":844"#),
        ("phone-dark", r#""scheme":"dark","width":390,"height":844"#),
    ] {
        let path = shot(name);
        look(&package, port, &wanted, &format!(r#"{{{look_of},"shots":[["{path}",false]]}}"#));
        assert!(std::fs::metadata(&path).is_ok_and(|file| file.len() > 10_000), "{path}");
        if std::env::var_os("REDLOOP_SHOTS").is_none() {
            let _ = std::fs::remove_file(&path);
        }
    }
    drop(server);
    let _ = std::fs::remove_dir_all(&directory);
}

#[test]
fn idle() {
    let Some(package) = playwright("idle") else { return };
    let (server, port) = start(&[]);
    say(server.port, "PING");
    let _client = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
    let wanted = [
        ("#promise", "Nothing is kept on disk"),
        ("#slowlog-body", "Nothing was slow"),
        ("#keys-body", "There are no keys"),
        ("#hotkeys-body", "Hot keys aren't tracked"),
        ("#t-hits-big", "–"),
    ];
    look(&package, port, &[&ALWAYS[..], &wanted].concat(), "{}");
}

#[test]
fn a_cluster_is_shown_at_its_node() {
    let Some(package) = playwright("a_cluster_is_shown_at_its_node") else { return };
    let directory = std::env::temp_dir().join(format!("redloop-browser-cluster-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    let bus = free_port().to_string();
    let dir = directory.to_str().expect("UTF-8");
    let (server, port) = start(&[
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        &bus,
        "--dir",
        dir,
        "--cluster-node-timeout",
        "1000",
    ]);
    let _client = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
    say(server.port, "CLUSTER ADDSLOTSRANGE 0 16382");
    let wanted = [
        ("#cluster-state", "The cluster is down: 1 slots without a node"),
        ("#cluster-note", "one node, 1 primary with slots, epoch 0"),
        ("#cluster-body td", "this node"),
        ("#cluster-body td", "0-16382"),
        ("#cluster-body td", "16.4 k"),
    ];
    look(&package, port, &[&ALWAYS[..], &wanted].concat(), "{}");
    say(server.port, "CLUSTER ADDSLOTS 16383");
    look(&package, port, &[("#cluster-state", "The cluster is in order")], "{}");
    drop(server);
    let _ = std::fs::remove_dir_all(&directory);
}

#[test]
fn quotas_are_shown_where_there_are_any() {
    let Some(package) = playwright("quotas_are_shown_where_there_are_any") else { return };
    let (server, port) = start(&[
        "--quota",
        "user default requests 20000/s bytes 5mb/s over delay",
        "--quota",
        "db 3 keys 2 memory 1gb",
    ]);
    say(server.port, "SET a 1");
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
    for words in [&["SELECT", "3"][..], &["MSET", "a", "1", "b", "2"], &["SET", "c", "3"]] {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        client.write_all(&encoded(&words)).expect("sent");
    }
    let wanted = [
        ("#quotas-note", "no client waits"),
        ("#quotas-body td", "user default"),
        // Two readings make a pace.
        ("#quotas-body td", "0 of 20.0 k"),
        ("#quotas-body td", "0 B of 5.00 MiB"),
        ("#quotas-body td", "waits"),
        ("#quotas-body td", "database 3"),
        ("#quotas-body td span.warn", "2 of 2"),
        ("#quotas-body td", "is refused"),
    ];
    look(&package, port, &[&ALWAYS[..], &wanted].concat(), "{}");
    // The table says so, and isn't seen.
    say(server.port, "CONFIG SET quota ");
    look(&package, port, &[("#quotas[style*=none] p", "There are no quotas")], "{}");
}

#[test]
fn names_with_markup_are_text() {
    let Some(package) = playwright("names_with_markup_are_text") else { return };
    let (server, port) = start(&["--slowlog-log-slower-than", "0"]);
    let evil: &[u8] = b"<img src=x onerror=\"window.evil=1;alert(1)\"><script>window.evil=1</script>";
    let prefix = [evil, b":a"].concat();
    let user = b"<script>window.evil=1</script>";
    for words in [
        &[b"HOTKEYS" as &[u8], b"START", b"METRICS", b"2", b"CPU", b"NET"][..],
        &[b"SET", evil, b"1"],
        &[b"SET", &prefix, b"1"],
        &[b"ACL", b"SETUSER", user, b"on", b"nopass", b"~*", b"+@all"],
    ] {
        let reply = ask(server.port, words);
        assert!(!reply.starts_with(b"-"), "{}", String::from_utf8_lossy(&reply));
    }
    let mut named = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
    named.write_all(&encoded(&[b"AUTH", user, b"x"])).expect("sent");
    named
        .write_all(&encoded(&[b"CLIENT", b"SETNAME", b"<b>bold</b><script>window.evil=1</script>"]))
        .expect("sent");
    let shown = std::str::from_utf8(evil).expect("UTF-8");
    let wanted = [
        ("#keys-body code", shown),
        ("#prefixes-body code", shown),
        ("#slowlog-body code", shown),
        ("#hotkeys-body code", shown),
        ("#clients-body td", "<b>bold</b><script>window.evil=1</script>"),
        ("#clients-body td", "<script>window.evil=1</script>"),
    ];
    look(&package, port, &[&ALWAYS[..], &wanted].concat(), "{}");
}

#[test]
fn a_replica_and_its_primary() {
    let Some(package) = playwright("a_replica_and_its_primary") else { return };
    let (primary, primary_port) = start(&[]);
    let (replica, port) = start(&[]);
    say(replica.port, &format!("REPLICAOF 127.0.0.1 {}", primary.port));
    let of = format!("Replica of 127.0.0.1:{}", primary.port);
    let wanted = [("#role", of.as_str()), ("#facts", "replica ·"), ("#replication-facts", "heard of")];
    look(&package, port, &[&ALWAYS[..7], &wanted].concat(), "{}");
    let wanted = [("#role", "Primary of one replica"), ("#replication-facts", "online")];
    look(&package, primary_port, &[&ALWAYS[..7], &wanted].concat(), "{}");
    drop(primary);
    let wanted = [("#role", "Out of touch with"), ("#banner", "out of touch with its primary")];
    look(&package, port, &[&ALWAYS[..7], &wanted].concat(), "{}");
}

#[test]
fn while_loading() {
    let Some(package) = playwright("while_loading") else { return };
    let directory = std::env::temp_dir().join(format!("redloop-page-loading-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    let dir = directory.to_str().expect("UTF-8");
    let (server, _) = start(&["--dir", dir, "--dbfilename", "page.rdb"]);
    fill(server.port);
    say(server.port, "SAVE");
    drop(server);
    let (port, metrics) = (free_port().to_string(), free_port());
    let mut loading = Command::new(env!("CARGO_BIN_EXE_redloop"))
        .args([
            "--port",
            &port,
            "--metrics-port",
            &metrics.to_string(),
            "--dir",
            dir,
            "--dbfilename",
            "page.rdb",
            "--key-load-delay",
            "20000",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", metrics)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the port isn't open while loading");
        std::thread::sleep(Duration::from_millis(5));
    }
    look(&package, metrics, &[("#banner", "Data is being loaded"), ("#facts", "port")], "{}");
    loading.kill().expect("it was running");
    loading.wait().expect("it ended");
    let _ = std::fs::remove_dir_all(&directory);
}

#[test]
fn a_user_without_rights_sees_no_sections() {
    let Some(package) = playwright("a_user_without_rights_sees_no_sections") else { return };
    let (server, port) = start(&[]);
    say(server.port, "SET secret:key 1");
    say(server.port, "ACL SETUSER watch on >p -@all +info +memory|top %R~open:*");
    let wanted = [
        ("#facts", "user watch"),
        ("#clients-body", "needs the right to CLIENT LIST"),
        ("#slowlog-body", "needs the right to SLOWLOG GET"),
        ("#keys-note", "names hidden"),
    ];
    look(&package, port, &wanted, r##"{"user":["watch","p"],"absent":["secret:"]}"##);
}

#[test]
fn ten_thousand_clients() {
    let Some(package) = playwright("ten_thousand_clients") else { return };
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let files: usize = line.split_whitespace().nth(3).and_then(|word| word.parse().ok()).unwrap_or(1024);
    let count = 10_000.min(files.saturating_sub(300));
    let (server, port) = start(&["--maxclients", "20000"]);
    let clients: Vec<TcpStream> = (0..count)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
            let name = format!("worker-{number}");
            stream.write_all(&encoded(&[b"CLIENT", b"SETNAME", name.as_bytes()])).expect("sent");
            stream
        })
        .collect();
    let last = format!("worker-{}", count - 1);
    let wanted = [("#clients-note", "1–1 of 1"), ("#clients-body td", last.as_str())];
    look(&package, port, &[&ALWAYS[..7], &wanted].concat(), &format!(r#"{{"filter":"{last}"}}"#));
    let wanted = [("#clients-note", "1–100 of"), ("#clients-body th", "memory ▾")];
    look(&package, port, &wanted, r#"{"sort":"memory"}"#);
    drop(clients);
}
