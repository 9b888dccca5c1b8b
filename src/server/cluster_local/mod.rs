//! `--cluster-local N`: a cluster of nodes on this machine, to try one out or to use several cores: starts them, joins them, and
//! ends them in order.
//!
//! The nodes are processes in a group of their own, so that Ctrl-C in a terminal reaches this one alone, which ends them: replicas first.
//! Nor does a terminal that is closed reach them: this process ends them then, too. A cluster that was interrupted before it was whole, and has no keys yet, is made anew.

mod client;
mod plan;

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use signal_hook::iterator::Signals;

use self::client::Client;
pub(super) use self::plan::{Plan, plan};
use crate::base::crc::SLOTS;
use crate::services::cluster::BUS_PORT_OFFSET;
use crate::sys::process;

/// The longest time until the nodes agree, and until replicas are in sync.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest time until a node has loaded its data.
const LOADING_PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// The status when it was interrupted before the cluster was ready.
const INTERRUPTED: i32 = 130;

/// Starts the cluster and waits for its end; the exit status.
pub(super) fn run(plan: &Plan) -> i32 {
    let signals = match check(plan).and_then(|()| Signals::new([libc::SIGINT, libc::SIGTERM, libc::SIGHUP])) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("{error}");
            return 1;
        }
    };
    let mut cluster = Local { plan, nodes: Vec::new(), signals };
    let result = cluster.start().and_then(|()| cluster.join()).and_then(|()| cluster.announce());
    let status = match result {
        Ok(()) => {
            cluster.watch();
            0
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => INTERRUPTED,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            1
        }
    };
    cluster.end();
    status
}

/// Whether the ports are free, and the directory has no other cluster.
fn check(plan: &Plan) -> io::Result<()> {
    let mut others = Vec::new();
    for entry in std::fs::read_dir(&plan.directory).into_iter().flatten() {
        let port = entry?.file_name().to_str().and_then(|name| name.parse::<u16>().ok());
        others.extend(port.filter(|port| plan.directory_of(*port).join("nodes.conf").is_file()));
    }
    others.sort_unstable();
    // A start that was interrupted may have made only some of the nodes.
    let is_rest = |port: &u16| plan.ports().any(|planned| planned == *port) && is_alone(plan, *port);
    if !others.iter().copied().eq(plan.ports()) && !others.iter().all(is_rest) {
        let ports = others.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        return Err(io::Error::other(format!(
            "{} has the nodes of another cluster, at ports {ports}: start as many at the same ports, or name another directory with --dir.",
            plan.directory.display()
        )));
    }
    for port in plan.ports().flat_map(|port| [port, port + BUS_PORT_OFFSET]) {
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_err() {
            return Err(io::Error::other(format!(
                "Port {port} is in use: end what listens there, or choose another first port with --port. The nodes need ports {} to {} and \
                 {BUS_PORT_OFFSET} more each.",
                plan.port,
                plan.last_port()
            )));
        }
    }
    Ok(())
}

/// Whether a node has never met another one: its file has one line of a node.
fn is_alone(plan: &Plan, port: u16) -> bool {
    let text = std::fs::read_to_string(plan.directory_of(port).join("nodes.conf")).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("vars ")).count() <= 1
}

/// A node's process.
struct Node {
    port: u16,
    process: Child,
    has_ended: bool,
}

impl Node {
    /// Whether it has just ended by itself.
    fn ends(&mut self) -> bool {
        let before = self.has_ended;
        self.has_ended |= self.process.try_wait().is_ok_and(|ended| ended.is_some());
        self.has_ended && !before
    }
}

struct Local<'a> {
    plan: &'a Plan,
    nodes: Vec<Node>,
    signals: Signals,
}

impl Local<'_> {
    fn start(&mut self) -> io::Result<()> {
        let program = std::env::current_exe()?;
        for port in self.plan.ports() {
            let directory = self.plan.directory_of(port);
            std::fs::create_dir_all(&directory)
                .map_err(|error| io::Error::other(format!("Can't make {}: {error}", directory.display())))?;
            let mut command = Command::new(&program);
            command
                .args(["--port", &port.to_string(), "--cluster-enabled", "yes", "--logfile", "redloop.log"])
                // No second replica is to come that the first one should wait for.
                .args(["--repl-diskless-sync-delay", "0"])
                .args(["--dir".as_ref(), directory.as_os_str()]);
            if let Some(password) = self.plan.option("--requirepass") {
                command.args(["--masterauth", password]);
            }
            let process = command.args(&self.plan.options).stdin(Stdio::null()).process_group(0).spawn()?;
            self.nodes.push(Node { port, process, has_ended: false });
        }
        for port in self.plan.ports() {
            self.wait_until("The nodes don't answer", LOADING_PATIENCE, |local| {
                Ok(local.connect(port).and_then(|mut client| client.ask(&["PING"])).is_ok())
            })?;
        }
        Ok(())
    }

    fn connect(&self, port: u16) -> io::Result<Client> {
        Client::connect(port, self.plan.option("--requirepass"))
    }

    /// Looks until something is so; an error if a signal comes, a node ends, or it takes too long.
    fn wait_until(
        &mut self,
        failure: &str,
        patience: Duration,
        mut is_so: impl FnMut(&mut Self) -> io::Result<bool>,
    ) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            if self.signals.pending().next().is_some() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if let Some(node) = self.nodes.iter_mut().find_map(|node| node.ends().then_some(node.port)) {
                let log = self.plan.directory_of(node).join("redloop.log");
                let text = format!("The node at port {node} has ended; see {}.", log.display());
                return Err(io::Error::other(text));
            }
            if is_so(self)? {
                return Ok(());
            }
            if Instant::now() > deadline {
                let logs = self.plan.directory.join("*").join("redloop.log");
                return Err(io::Error::other(format!("{failure}; see {}.", logs.display())));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until each node's reply to a request is as wanted.
    fn await_all(
        &mut self,
        failure: &str,
        clients: &mut [Client],
        request: &[&str],
        is_so: impl Fn(&str) -> bool,
    ) -> io::Result<()> {
        clients
            .iter_mut()
            .try_for_each(|client| self.wait_until(failure, PATIENCE, |_| Ok(is_so(&client.ask(request)?))))
    }

    /// Makes one cluster of the nodes, unless they are one already, and waits until all find it in order and replicas have their data.
    fn join(&mut self) -> io::Result<()> {
        const DISAGREE: &str = "The nodes don't agree on the cluster";
        let ports: Vec<u16> = self.plan.ports().collect();
        let mut clients =
            ports.iter().map(|port| self.connect(*port)).collect::<io::Result<Vec<Client>>>()?;
        if !self.is_whole(&mut clients)? {
            self.create(&mut clients)?;
        }
        self.await_all(DISAGREE, &mut clients, &["CLUSTER", "INFO"], |info| {
            info.contains("cluster_state:ok\r")
        })?;
        self.await_all("Replicas don't get their data", &mut clients, &["INFO", "replication"], |info| {
            info.contains("role:master") || info.contains("master_link_status:up")
        })
    }

    /// Whether the nodes know each other and serve all slots. An error if they don't, but have keys.
    fn is_whole(&mut self, clients: &mut [Client]) -> io::Result<bool> {
        let known = format!("cluster_known_nodes:{}\r", clients.len());
        let all = format!("cluster_slots_assigned:{SLOTS}\r");
        let mut is_whole = true;
        for client in clients.iter_mut() {
            let info = client.ask(&["CLUSTER", "INFO"])?;
            is_whole &= info.contains(&known) && info.contains(&all);
        }
        if is_whole {
            return Ok(true);
        }
        for client in clients {
            if client.ask(&["DBSIZE"])? != "0" {
                return Err(io::Error::other(format!(
                    "The nodes in {} have keys, but are no whole cluster: repair it with redis-cli --cluster fix, or name another directory with --dir.",
                    self.plan.directory.display()
                )));
            }
        }
        Ok(false)
    }

    fn create(&mut self, clients: &mut [Client]) -> io::Result<()> {
        const DISAGREE: &str = "The nodes don't find each other";
        for client in clients.iter_mut() {
            client.ask(&["CLUSTER", "RESET", "HARD"])?;
        }
        for (number, client) in clients.iter_mut().enumerate().take(usize::from(self.plan.primaries)) {
            let (first, last) = self.plan.slots(number as u16);
            client.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
            client.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])?;
        }
        for port in self.plan.ports().skip(1) {
            clients[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port.to_string()])?;
        }
        let known = format!("cluster_known_nodes:{}\r", clients.len());
        self.await_all(DISAGREE, clients, &["CLUSTER", "INFO"], |info| info.contains(&known))?;
        let primaries = usize::from(self.plan.primaries);
        for number in primaries..clients.len() {
            let primary = clients[number % primaries].ask(&["CLUSTER", "MYID"])?;
            let client = &mut clients[number];
            // It may not know yet that the other one is a primary.
            self.wait_until(DISAGREE, PATIENCE, |_| {
                Ok(client.ask(&["CLUSTER", "REPLICATE", &primary]).is_ok())
            })?;
        }
        Ok(())
    }

    fn announce(&mut self) -> io::Result<()> {
        let (first, last) = (self.plan.port, self.plan.last_port());
        let nodes = self.connect(first)?.ask(&["CLUSTER", "NODES"])?;
        let replicas = nodes.lines().filter(|line| line.contains("slave ")).count();
        let primaries = usize::from(self.plan.nodes()) - replicas;
        let auth = if self.plan.option("--requirepass").is_some() { " --askpass" } else { "" };
        let text = format!(
            "A cluster of {primaries} primaries and {replicas} replicas at ports {first} to {last} of this machine.\n\
             Connect:  redis-cli -c -p {first}{auth}, or a cluster client to 127.0.0.1:{first}\n\
             Look:  redis-cli --cluster check 127.0.0.1:{first}\n\
             Data and logs:  {}\n\
             End it with Ctrl-C; the same command starts it again with its data.\n",
            self.plan.directory.display()
        );
        // The cluster is there whether or not anybody reads on: `| head -1` doesn't.
        let _ = io::stdout().write_all(text.as_bytes());
        Ok(())
    }

    /// Waits for a signal, and tells meanwhile which nodes end by themselves.
    fn watch(&mut self) {
        while self.signals.pending().next().is_none() {
            for node in &mut self.nodes {
                if node.ends() {
                    let log = self.plan.directory_of(node.port).join("redloop.log");
                    let _ = writeln!(
                        io::stderr(),
                        "The node at port {} has ended; see {}.",
                        node.port,
                        log.display()
                    );
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends the nodes, replicas first, each with its data saved as it is configured. Another signal ends those that take long at once.
    fn end(&mut self) {
        for node in self.nodes.iter().rev().filter(|node| !node.has_ended) {
            process::terminate(node.process.id());
        }
        while self.nodes.iter_mut().any(|node| !node.has_ended && !node.ends()) {
            if self.signals.pending().next().is_some() {
                for node in self.nodes.iter_mut().filter(|node| !node.has_ended) {
                    // One that can't be killed has ended.
                    let _ = node.process.kill();
                }
            }
            std::thread::sleep(PAUSE);
        }
    }
}
