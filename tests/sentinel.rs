//! Drills of Sentinel mode: real processes, of which primaries are killed or stopped, watched by our sentinels alone and together with
//! those of Redis and Valkey.
//!
//! The peers are those that tests/compat/peers.sh builds below `$PEERS` (default `~/.cache/peers`), or those of the distribution; without
//! one a drill says so and passes.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[path = "support/mod.rs"]
mod support;

use support::programs::find_peer;
use support::reply::{Client, Reply};

/// How long a state may take to come about: a machine that stands still for two seconds puts sentinels into TILT for thirty.
const PATIENCE: Duration = Duration::from_secs(180);
const DOWN_AFTER_MS: u32 = 2000;

/// The binary under test.
fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_redloop"))
}

/// Waits until a condition holds.
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process that is killed when dropped.
#[derive(Debug)]
struct Node {
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Node {
    /// Starts a program on a port that the kernel chooses.
    fn start(program: &Path, folder: &Path, arguments: impl Fn(u16) -> Vec<String>) -> Node {
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
            let folder = folder.join(port.to_string());
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join("file.conf"), "").expect("a file");
            let arguments = arguments(port);
            let child = spawn(program, &folder, &arguments);
            let mut node = Node { program: program.to_path_buf(), arguments, folder, port, child };
            if node.answers() {
                return node;
            }
        }
        panic!("{} doesn't start", program.display());
    }

    /// Whether it answers before it ends.
    fn answers(&mut self) -> bool {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn ask(&self, request: &str) -> Option<Reply> {
        TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        Client::connect(self.port).ask(request).ok()
    }

    fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill");
        assert!(status.success());
    }

    /// Starts it again on its port, as it was started first.
    fn restart(&mut self) {
        self.child = spawn(&self.program, &self.folder, &self.arguments);
        assert!(self.answers(), "{} doesn't start again", self.program.display());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives a sentinel short periods: a drill takes seconds.
fn hasten(sentinel: &Node) {
    let reply = sentinel.ask("SENTINEL DEBUG info-period 500 publish-period 500 ping-period 200");
    assert_eq!(reply, Some(Reply::Simple("OK".into())));
}

fn spawn(program: &Path, folder: &Path, arguments: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
    let errors = log.try_clone().expect("a log");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// Three servers and three sentinels.
struct Drill {
    folder: PathBuf,
    servers: Vec<Node>,
    sentinels: Vec<Node>,
}

impl Drill {
    fn new(server: &Path, sentinels: [&Path; 3]) -> Drill {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("redloop-sentinel-{}-{number}", std::process::id()));
        let mut servers: Vec<Node> = Vec::new();
        for _ in 0..3 {
            let primary = servers.first().map(|primary| primary.port);
            servers.push(Node::start(server, &folder, |port| {
                let mut options =
                    format!("file.conf --port {port} --bind 127.0.0.1 --repl-diskless-sync-delay 0");
                if let Some(primary) = primary {
                    options.push_str(&format!(" --replicaof 127.0.0.1 {primary}"));
                }
                let words = options.split(' ').map(str::to_string);
                words.chain(["--save".to_string(), String::new()]).collect()
            }));
        }
        let primary = servers[0].port;
        let sentinels = sentinels.map(|program| Node::start(program, &folder, |port| {
            let file = folder.join(port.to_string()).join("file.conf");
            let text = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds mymaster {DOWN_AFTER_MS}\nsentinel failover-timeout mymaster 6000\n"
            );
            std::fs::write(file, text).expect("a file");
            vec!["file.conf".into(), "--sentinel".into()]
        }));
        let drill = Drill { folder, servers, sentinels: sentinels.into() };
        drill.sentinels.iter().for_each(hasten);
        wait_for("all know all", || {
            drill.sentinels.iter().all(|sentinel| {
                let count = |what: &str| {
                    let reply = sentinel.ask(&format!("SENTINEL {what} mymaster"));
                    reply.and_then(|reply| reply.elements().map(<[Reply]>::len)).unwrap_or(0)
                };
                count("SENTINELS") == 2 && count("REPLICAS") == 2
            })
        });
        drill
    }

    /// Whether all sentinels have seen all other servers as replicas of the primary.
    fn is_seen_by_all(&self, primary: u16) -> bool {
        let primary = primary.to_string();
        self.sentinels.iter().all(|sentinel| {
            let reply = sentinel.ask("SENTINEL REPLICAS mymaster");
            let replicas = reply.as_ref().and_then(Reply::elements).unwrap_or_default();
            let field = |replica: &Reply, name: &str| {
                let fields = replica.elements().unwrap_or_default();
                let text =
                    |reply: &Reply| reply.bytes().map(|text| String::from_utf8_lossy(text).into_owned());
                let at = fields.iter().step_by(2).position(|field| text(field).as_deref() == Some(name))?;
                text(fields.get(2 * at + 1)?)
            };
            let is_fine = |replica: &Reply| {
                field(replica, "role-reported").as_deref() == Some("slave")
                    && field(replica, "flags").as_deref() == Some("slave")
                    && field(replica, "master-port").as_ref() == Some(&primary)
            };
            replicas.len() == 2 && replicas.iter().all(is_fine)
        })
    }

    /// The port of the primary, if all sentinels that run name the same.
    fn primary(&self) -> Option<u16> {
        let mut ports = self.sentinels.iter().map(|sentinel| {
            let reply = sentinel.ask("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster")?;
            String::from_utf8_lossy(reply.elements()?.get(1)?.bytes()?).parse::<u16>().ok()
        });
        let first = ports.next()??;
        ports.all(|port| port == Some(first)).then_some(first)
    }

    /// Whether a server is a primary with these many replicas whose links are up.
    fn leads(&self, port: u16, replicas: usize) -> bool {
        let server = self.servers.iter().find(|server| server.port == port);
        let info = server.and_then(|server| server.ask("INFO replication"));
        let text = info.and_then(|info| info.bytes().map(|text| String::from_utf8_lossy(text).into_owned()));
        text.is_some_and(|text| {
            text.contains("role:master") && text.matches("state=online").count() == replicas
        })
    }

    fn wait_for_another_than(&self, former: u16) -> u16 {
        let mut found = former;
        wait_for("the sentinels agree on another primary", || {
            found = self.primary().unwrap_or(former);
            found != former
        });
        found
    }
}

impl Drop for Drill {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the logs are in {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A primary is killed, comes back, its successor hangs, and another one is chosen by command.
fn drill(server: &Path, sentinels: [&Path; 3]) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut drill = Drill::new(server, sentinels);
    let first = drill.servers[0].port;
    drill.servers[0].kill();
    let second = drill.wait_for_another_than(first);
    wait_for("the other replica follows", || drill.leads(second, 1));
    drill.servers[0].restart();
    wait_for("the old primary follows", || drill.leads(second, 2));

    let hung = drill.servers.iter().position(|server| server.port == second).expect("one of them");
    drill.servers[hung].signal("-STOP");
    // It takes connections and says nothing: the sentinels are asked for what they know.
    let third = drill.wait_for_another_than(second);
    drill.servers[hung].signal("-CONT");
    wait_for("what hung follows", || drill.leads(third, 2));

    drill.sentinels[0].kill();
    drill.sentinels[0].restart();
    hasten(&drill.sentinels[0]);
    wait_for("the state has been kept", || drill.primary() == Some(third));
    wait_for("all see the replicas of the third", || drill.is_seen_by_all(third));
    let mut fourth = third;
    wait_for("a failover by command", || {
        // It is refused while one goes on, and tried again if that was aborted.
        drill.sentinels[0].ask("SENTINEL FAILOVER mymaster");
        fourth = drill.primary().unwrap_or(third);
        fourth != third
    });
    wait_for("all follow the one that was chosen last", || drill.leads(fourth, 2));
}

fn peer(tree: &str, variable: &str) -> Option<PathBuf> {
    let program = if tree == "valkey" { "valkey-server" } else { "redis-server" };
    let found = find_peer(tree, program, variable);
    if found.is_none() {
        println!("skipped: there is no {program} of {tree}");
    }
    found
}

#[test]
fn our_sentinels_watch_servers_of_redis() {
    let Some(redis) = peer("redis-8.6", "REDIS_SERVER") else { return };
    drill(&redis, [&ours(), &ours(), &ours()]);
}

#[test]
fn sentinels_of_redis_and_ours_agree() {
    let Some(redis) = peer("redis-8.6", "REDIS_SERVER") else { return };
    drill(&redis, [&ours(), &redis, &redis]);
}

#[test]
fn sentinels_of_valkey_and_ours_agree() {
    let Some(valkey) = peer("valkey", "VALKEY_SERVER") else { return };
    drill(&valkey, [&ours(), &ours(), &valkey]);
}
