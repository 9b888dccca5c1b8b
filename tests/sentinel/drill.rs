//! A drill: three servers behind proxies, three sentinels, clients that follow; what befalls the primary, and what must come of it.
//!
//! ```text
//! sentinels, replicas, clients ──▶ proxy ──▶ primary
//!                                  the test ──┘
//! ```
//!
//! A busy machine may have sentinels fail over once more than they were made to, so each step asks anew who the primary is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::follower::{Follower, Library};
use crate::kind::Kind;
use crate::node::{Node, wait_for};
use crate::proxy::Proxy;
use crate::support::programs::on_path;
use crate::support::reply::{Client, Reply};

/// For how long a server says nothing before a sentinel takes it for down, ms.
const DOWN_AFTER_MS: u32 = 1500;
/// Twice this passes between two failovers, ms.
const FAILOVER_TIMEOUT_MS: u32 = 2500;

/// What befalls a drill.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The primary is killed, and started again.
    Kill,
    /// The primary takes connections and says nothing, for a while.
    Hang,
    /// The primary works, and can't be reached, for a while.
    Cut,
    /// A failover without need, by command to the first sentinel.
    Command,
    /// The first sentinel is killed, and started again.
    RestartSentinel,
}

#[derive(Debug)]
struct Server {
    node: Node,
    proxy: Proxy,
}

/// Three servers and three sentinels.
#[derive(Debug)]
pub struct Drill {
    folder: PathBuf,
    servers: Vec<Server>,
    sentinels: Vec<Node>,
    followers: Vec<Follower>,
    /// The number of the last write that two replicas have acknowledged.
    written: u32,
}

/// A program that is a sentinel by its name, and whether it needs to be told.
fn sentinel_of(kind: Kind, folder: &Path) -> (PathBuf, bool) {
    let program = kind.program().expect("a program");
    match kind {
        Kind::Ours => {
            let link = folder.join("redis-sentinel");
            if !link.exists() {
                std::os::unix::fs::symlink(&program, &link).expect("a link");
            }
            (link, false)
        }
        // Both are the same binary; the package redis-sentinel has a link to it.
        Kind::Debian => on_path("redis-sentinel").map_or((program, true), |link| (link, false)),
        Kind::Redis | Kind::Valkey => (program, true),
    }
}

fn start_server(kind: Kind, folder: &Path, primary: Option<u16>) -> Server {
    let proxy = Proxy::start();
    let node = Node::start(&kind.program().expect("a program"), folder, |port, file| {
        std::fs::write(file, "").expect("a file");
        let mut options = format!(
            "file.conf --port {port} --bind 127.0.0.1 --repl-diskless-sync-delay 0 --replica-announce-ip 127.0.0.1 \
             --replica-announce-port {}",
            proxy.port
        );
        if let Some(primary) = primary {
            options.push_str(&format!(" --replicaof 127.0.0.1 {primary}"));
        }
        let words = options.split(' ').map(str::to_string);
        words.chain(["--save".to_string(), String::new()]).collect()
    });
    proxy.lead_to(node.port);
    Server { node, proxy }
}

fn start_sentinel(kind: Kind, folder: &Path, primary: u16) -> Node {
    let (program, is_told) = sentinel_of(kind, folder);
    Node::start(&program, folder, |port, file| {
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds mymaster {DOWN_AFTER_MS}\n\
             sentinel failover-timeout mymaster {FAILOVER_TIMEOUT_MS}\n"
        );
        std::fs::write(file, text).expect("a file");
        let mut arguments = vec!["file.conf".to_string()];
        arguments.extend(is_told.then(|| "--sentinel".to_string()));
        arguments
    })
}

/// Gives a sentinel short periods: a drill takes seconds.
fn hasten(sentinel: &Node) {
    let request = "SENTINEL DEBUG info-period 500 publish-period 500 ping-period 200";
    assert_eq!(Client::connect(sentinel.port).ask(request).expect("a reply"), Reply::Simple("OK".into()));
}

/// A field of SENTINEL REPLICAS and its like.
fn field(instance: &Reply, name: &str) -> Option<String> {
    let text = |reply: &Reply| reply.bytes().map(|text| String::from_utf8_lossy(text).into_owned());
    let mut pairs = instance.elements()?.chunks(2);
    pairs.find(|pair| text(&pair[0]).as_deref() == Some(name)).and_then(|pair| text(pair.get(1)?))
}

impl Drill {
    /// Starts all of it, and waits until it is at work.
    pub fn start(servers: [Kind; 3], sentinels: [Kind; 3], libraries: &[Library]) -> Drill {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("redloop-sentinel-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut started: Vec<Server> = Vec::new();
        for kind in servers {
            let primary = started.first().map(|primary| primary.proxy.port);
            started.push(start_server(kind, &folder, primary));
        }
        let primary = started[0].proxy.port;
        let sentinels: Vec<Node> =
            sentinels.iter().map(|kind| start_sentinel(*kind, &folder, primary)).collect();
        sentinels.iter().for_each(hasten);
        let ports: Vec<u16> = sentinels.iter().map(|sentinel| sentinel.port).collect();
        let followers = libraries.iter().filter_map(|library| Follower::start(*library, &ports)).collect();
        let mut drill = Drill { folder, servers: started, sentinels, followers, written: 0 };
        drill.settle();
        drill
    }

    /// Goes through a step, and waits until all is as it was before, with another primary.
    pub fn go_through(&mut self, step: Step) {
        let started = std::time::Instant::now();
        let primary = self.await_primary();
        let first = &mut self.sentinels[0];
        match step {
            Step::Kill => {
                self.servers[primary].node.kill();
                self.await_another_than(primary);
                self.servers[primary].node.restart();
            }
            Step::Hang => {
                self.servers[primary].node.signal("-STOP");
                self.await_another_than(primary);
                self.servers[primary].node.signal("-CONT");
            }
            Step::Cut => {
                self.servers[primary].proxy.cut(true);
                self.await_another_than(primary);
                // What is written on this side is lost: it had no majority of sentinels.
                assert_eq!(self.servers[primary].node.text("SET lost 1").as_deref(), Some("OK"));
                self.servers[primary].proxy.cut(false);
            }
            Step::Command => {
                wait_for("a failover by command", || {
                    // It is refused while one goes on, and tried again if that was aborted.
                    self.sentinels[0].ask("SENTINEL FAILOVER mymaster");
                    self.primary().is_some_and(|other| other != primary)
                });
            }
            Step::RestartSentinel => {
                first.kill();
                first.restart();
                hasten(first);
                // Without it this sentinel would name the server that its configuration began with.
                wait_for("the state has been kept", || self.primary().is_some());
            }
        }
        self.settle();
        println!("{step:?}: {:.1} s", started.elapsed().as_secs_f64());
    }

    /// Waits until all sentinels agree on another primary, which leads the third server, and clients have followed.
    fn await_another_than(&self, former: usize) {
        let other = || self.primary().filter(|other| *other != former && self.leads(*other, 1));
        wait_for("another primary with a replica", || other().is_some());
        wait_for("clients that follow", || {
            other().is_some_and(|other| {
                let port = self.servers[other].node.port;
                self.followers.iter().all(|follower| follower.is_at(port))
            })
        });
        let mut written = None;
        wait_for("a primary that answers", || {
            written = self.primary().and_then(|primary| self.written_at(primary));
            written.is_some()
        });
        assert_eq!(written, Some(self.written), "an acknowledged write is lost");
    }

    /// The primary, once all sentinels name the same.
    fn await_primary(&self) -> usize {
        let mut primary = None;
        wait_for("sentinels that agree", || {
            primary = self.primary();
            primary.is_some()
        });
        primary.expect("agreed")
    }

    /// Waits until all is well: a primary, two replicas, sentinels that know all of it, clients at their work. Then writes.
    fn settle(&mut self) {
        wait_for("a primary with two replicas that all sentinels see", || {
            self.primary().is_some_and(|primary| {
                self.leads(primary, 2)
                    && self.sentinels.iter().all(|sentinel| self.knows_all(sentinel, primary))
            })
        });
        for follower in &self.followers {
            let count = follower.writes();
            wait_for("a client at the primary", || {
                let port = self.primary().map(|primary| self.servers[primary].node.port);
                follower.writes() > count && port.is_some_and(|port| follower.is_at(port))
            });
        }
        let number = self.written + 1;
        wait_for("a write that is everywhere", || {
            let Some(primary) = self.primary() else { return false };
            if self.written_at(primary) != Some(number) {
                // Once more, if there is another primary by now.
                self.servers[primary].node.ask(&format!("SET written {number}"));
            }
            (0..self.servers.len()).all(|server| self.written_at(server) == Some(number))
        });
        for server in &self.servers {
            assert_eq!(server.node.ask("EXISTS lost"), Some(Reply::Int(0)), "written on the wrong side");
        }
        self.written = number;
    }

    /// The number of the last write that a server has; `None` if it doesn't say.
    fn written_at(&self, server: usize) -> Option<u32> {
        match self.servers[server].node.ask("GET written")? {
            Reply::Null(_) => Some(0),
            number => String::from_utf8_lossy(number.bytes()?).parse().ok(),
        }
    }

    /// The primary, if all sentinels name the same.
    fn primary(&self) -> Option<usize> {
        let mut ports = self.sentinels.iter().map(|sentinel| {
            let reply = sentinel.ask("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster")?;
            String::from_utf8_lossy(reply.elements()?.get(1)?.bytes()?).parse::<u16>().ok()
        });
        let first = ports.next()??;
        let is_agreed = ports.all(|port| port == Some(first));
        self.servers.iter().position(|server| is_agreed && server.proxy.port == first)
    }

    /// Whether a server is a primary with these many replicas whose links are up.
    fn leads(&self, server: usize, replicas: usize) -> bool {
        let text = self.servers[server].node.text("INFO replication").unwrap_or_default();
        text.contains("role:master") && text.matches("state=online").count() == replicas
    }

    /// Whether a sentinel knows the two others, and has seen both other servers as replicas of the primary.
    fn knows_all(&self, sentinel: &Node, primary: usize) -> bool {
        let list = |what: &str| {
            let reply = sentinel.ask(&format!("SENTINEL {what} mymaster"));
            reply.and_then(|reply| reply.elements().map(<[Reply]>::to_vec)).unwrap_or_default()
        };
        let port = self.servers[primary].proxy.port.to_string();
        let is_fine = |replica: &Reply| {
            field(replica, "role-reported").as_deref() == Some("slave")
                && field(replica, "flags").as_deref() == Some("slave")
                && field(replica, "master-port").as_ref() == Some(&port)
        };
        let replicas = list("SLAVES");
        list("SENTINELS").len() == 2 && replicas.len() == 2 && replicas.iter().all(is_fine)
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
