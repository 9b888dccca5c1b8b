//! `--cluster-local N`: a cluster of nodes on this machine, to try one out or to use several cores: starts them, joins them, and
//! ends them in order.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use signal_hook::iterator::Signals;

use crate::base::crc::SLOTS;
use crate::services::cluster::BUS_PORT_OFFSET;
use crate::sys::process;

/// The argument that asks for it.
const OPTION: &[u8] = b"--cluster-local";
/// The port of the first node, if none is given.
const FIRST_PORT: u16 = 6379;
/// The directory of the nodes' directories, if none is given.
const DIRECTORY: &str = "redloop-cluster";
/// The longest time until all nodes answer, and until they agree.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(50);
const USAGE: &str = "Usage: redloop --cluster-local <primaries> [replicas of each] [--port first] [--dir directory] [options for all nodes]";

/// What is to be started.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    primaries: u16,
    replicas: u16,
    port: u16,
    directory: PathBuf,
    options: Vec<String>,
}

/// The plan that the arguments ask for, if they begin with the option; the error is the line for the user.
pub(super) fn plan(arguments: &[Vec<u8>]) -> Option<Result<Plan, String>> {
    let (first, rest) = arguments.split_first()?;
    (first == OPTION).then(|| parse(rest).ok_or_else(|| USAGE.to_string()).and_then(Plan::check))
}

fn parse(arguments: &[Vec<u8>]) -> Option<Plan> {
    let mut words = arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned()).peekable();
    let primaries = words.next()?.parse().ok()?;
    let replicas = words.next_if(|word| word.parse::<u16>().is_ok());
    let mut plan = Plan {
        primaries,
        replicas: replicas.and_then(|word| word.parse().ok()).unwrap_or(0),
        port: FIRST_PORT,
        directory: PathBuf::from(DIRECTORY),
        options: Vec::new(),
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--port" => plan.port = words.next()?.parse().ok()?,
            "--dir" => plan.directory = PathBuf::from(words.next()?),
            _ => plan.options.push(word),
        }
    }
    Some(plan)
}

impl Plan {
    fn check(self) -> Result<Plan, String> {
        let nodes = u32::from(self.primaries) * (1 + u32::from(self.replicas));
        let last = u32::from(self.port) + nodes + u32::from(BUS_PORT_OFFSET);
        if self.primaries == 0 || self.primaries > SLOTS {
            return Err(USAGE.into());
        }
        if self.port == 0 || last > u32::from(u16::MAX) {
            let highest = u32::from(u16::MAX - BUS_PORT_OFFSET).saturating_sub(nodes);
            return Err(format!("The first port must be between 1 and {highest} for {nodes} nodes."));
        }
        Ok(self)
    }

    fn nodes(&self) -> u16 {
        self.primaries * (1 + self.replicas)
    }

    /// The slots of a primary: all of the same number, but for one.
    fn slots(&self, primary: u16) -> (u16, u16) {
        let at = |number: u16| (u32::from(number) * u32::from(SLOTS) / u32::from(self.primaries)) as u16;
        (at(primary), at(primary + 1) - 1)
    }
}

/// Starts the cluster and waits for its end; the exit status.
pub(super) fn run(plan: &Plan) -> i32 {
    let mut nodes = Vec::new();
    let result = Signals::new([libc::SIGINT, libc::SIGTERM]).and_then(|mut signals| {
        start(plan, &mut nodes)?;
        join(plan)?;
        announce(plan);
        signals.forever().next();
        Ok(())
    });
    end(&mut nodes);
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn start(plan: &Plan, nodes: &mut Vec<Child>) -> io::Result<()> {
    let program = std::env::current_exe()?;
    for number in 0..plan.nodes() {
        let port = plan.port + number;
        let directory = plan.directory.join(port.to_string());
        std::fs::create_dir_all(&directory)?;
        nodes.push(start_node(&program, port, &directory, &plan.options)?);
    }
    let deadline = Instant::now() + PATIENCE;
    for (number, node) in nodes.iter_mut().enumerate() {
        let port = plan.port + number as u16;
        while Client::connect(port).and_then(|mut client| client.ask(&["PING"])).is_err() {
            if node.try_wait()?.is_some() || Instant::now() > deadline {
                let log = plan.directory.join(port.to_string()).join("redloop.log");
                return Err(io::Error::other(format!(
                    "The node at port {port} doesn't start; see {}.",
                    log.display()
                )));
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

fn start_node(program: &Path, port: u16, directory: &Path, options: &[String]) -> io::Result<Child> {
    Command::new(program)
        .args(["--port", &port.to_string(), "--cluster-enabled", "yes", "--logfile", "redloop.log"])
        .args(["--dir".as_ref(), directory.as_os_str()])
        .args(options)
        .stdin(Stdio::null())
        .spawn()
}

/// Makes one cluster of the nodes, unless they are one already, and waits until all find it in order.
fn join(plan: &Plan) -> io::Result<()> {
    let mut clients = (0..plan.nodes())
        .map(|number| Client::connect(plan.port + number))
        .collect::<io::Result<Vec<Client>>>()?;
    let is_new = clients.iter_mut().try_fold(true, |all, client| -> io::Result<bool> {
        let info = client.ask(&["CLUSTER", "INFO"])?;
        Ok(all && info.contains("cluster_known_nodes:1\r") && info.contains("cluster_slots_assigned:0\r"))
    })?;
    if is_new {
        for (number, client) in clients.iter_mut().enumerate().take(usize::from(plan.primaries)) {
            let (first, last) = plan.slots(number as u16);
            client.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
            client.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])?;
        }
        for number in 1..plan.nodes() {
            clients[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &(plan.port + number).to_string()])?;
        }
        let known = format!("cluster_known_nodes:{}\r", plan.nodes());
        await_all(&mut clients, |info| info.contains(&known))?;
        for number in plan.primaries..plan.nodes() {
            let primary = clients[usize::from(number % plan.primaries)].ask(&["CLUSTER", "MYID"])?;
            replicate(&mut clients[usize::from(number)], &primary)?;
        }
    }
    await_all(&mut clients, |info| info.contains("cluster_state:ok\r"))
}

/// Makes a node a replica, as soon as it knows that the other one is a primary.
fn replicate(client: &mut Client, primary: &str) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.ask(&["CLUSTER", "REPLICATE", primary]) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            result => return result.map(drop),
        }
    }
}

fn await_all(clients: &mut [Client], is_so: impl Fn(&str) -> bool) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for client in clients {
        while !is_so(&client.ask(&["CLUSTER", "INFO"])?) {
            if Instant::now() > deadline {
                return Err(io::Error::other("The nodes don't agree on the cluster; see their logs."));
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

fn announce(plan: &Plan) {
    let (first, last) = (plan.port, plan.port + plan.nodes() - 1);
    println!("A cluster of {} nodes at ports {first} to {last} of this machine.", plan.nodes());
    println!("Connect:  redis-cli -c -p {first}");
    println!("Data and logs:  {}", plan.directory.display());
    println!("End it with Ctrl-C.");
}

/// Ends the nodes, replicas first, each with its data saved as it is configured.
fn end(nodes: &mut [Child]) {
    for node in nodes.iter().rev() {
        process::terminate(node.id());
    }
    for node in nodes {
        // A node that can't be waited for has ended.
        let _ = node.wait();
    }
}

/// A connection to a node.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client(BufReader::new(stream)))
    }

    /// Sends a request; its reply, a line or a bulk string, as a text.
    fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        let mut request = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some(("+" | ":", text)) => Ok(text.into()),
            Some(("$", len)) => {
                let len: usize = len.parse().map_err(io::Error::other)?;
                let mut bulk = vec![0; len + 2];
                self.0.read_exact(&mut bulk)?;
                bulk.truncate(len);
                Ok(String::from_utf8_lossy(&bulk).into_owned())
            }
            _ => Err(io::Error::other(format!("{}: {line}", words.join(" ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(line: &str) -> Option<Result<Plan, String>> {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        plan(&words)
    }

    #[test]
    fn a_plan_is_read_from_the_arguments() {
        assert_eq!(planned("--port 1"), None);
        let plan = planned("--cluster-local 3 1 --port 7000 --dir /d --appendonly yes").unwrap().unwrap();
        assert_eq!((plan.primaries, plan.replicas, plan.port, plan.nodes()), (3, 1, 7000, 6));
        assert_eq!(
            (plan.directory.as_path(), &plan.options[..]),
            (Path::new("/d"), &["--appendonly".to_string(), "yes".into()][..])
        );
        assert_eq!([0, 1, 2].map(|primary| plan.slots(primary)), [(0, 5460), (5461, 10921), (10922, 16383)]);
        for wrong in ["--cluster-local", "--cluster-local 0", "--cluster-local x", "--cluster-local 3 --port"]
        {
            assert_eq!(planned(wrong), Some(Err(USAGE.into())), "{wrong}");
        }
        assert_eq!(
            planned("--cluster-local 3 --port 60000"),
            Some(Err("The first port must be between 1 and 55532 for 3 nodes.".into()))
        );
    }
}
