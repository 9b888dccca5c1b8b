//! The servers under test: this one and, if there is one, a Redis 8, each with its port.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process::Process;
use crate::programs::find_peer;
use crate::terminal::Terminal;

/// What a tool left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

/// The servers, and the tool that talks to them.
pub struct Sides {
    pub ours: Process,
    /// A Redis 8.
    pub theirs: Option<Process>,
    cli: PathBuf,
}

/// Whether a program says it is of version 8.
fn is_8(program: &PathBuf) -> bool {
    let said = Command::new(program).arg("--version").output().expect("it runs").stdout;
    let said = String::from_utf8_lossy(&said);
    said.contains("v=8.") || said.contains("redis-cli 8.")
}

/// A tool of Redis's, or a line that says that the test was skipped.
pub fn tool(test: &str, name: &str, variable: &str) -> Option<PathBuf> {
    let found = find_peer("redis", name, variable);
    if found.is_none() {
        println!("SKIPPED: {test}, there is no {name}");
    }
    found
}

impl Sides {
    /// Servers with these options, for a test; none without redis-cli.
    pub fn start(test: &str, options: &[&str]) -> Option<Sides> {
        let cli = tool(test, "redis-cli", "REDLOOP_REDIS_CLI")?;
        let server = find_peer("redis", "redis-server", "REDLOOP_REDIS_SERVER").filter(is_8);
        if server.is_none() {
            println!("SKIPPED: {test} side by side, there is no redis-server 8");
        }
        let theirs = server.map(|program| Process::start(&program, options));
        Some(Sides { ours: Process::ours(options), theirs, cli })
    }

    /// Whether redis-cli is of version 8: older ones have fewer modes.
    pub fn cli_is_8(&self, test: &str) -> bool {
        let new = is_8(&self.cli);
        if !new {
            println!("SKIPPED: {test}, this redis-cli is older than 8");
        }
        new
    }

    fn ports(&self) -> impl Iterator<Item = u16> {
        [Some(self.ours.port), self.theirs.as_ref().map(|peer| peer.port)].into_iter().flatten()
    }

    /// What redis-cli prints for our server, its port named PORT.
    pub fn ours(&self, args: &[&str], input: &str) -> Output {
        run(&self.cli, self.ours.port, args, input)
    }

    /// What redis-cli prints for both, which must be the same.
    pub fn same(&self, args: &[&str], input: &str) -> Output {
        let mut outputs = self.ports().map(|port| run(&self.cli, port, args, input));
        let ours = outputs.next().expect("our server");
        for theirs in outputs {
            assert_eq!(ours, theirs, "redis-cli {}", args.join(" "));
        }
        ours
    }

    /// What redis-cli prints for each.
    pub fn each(&self, args: &[&str]) -> Vec<String> {
        self.ports().map(|port| run(&self.cli, port, args, "").out).collect()
    }

    /// A terminal in which redis-cli talks to our server.
    pub fn terminal(&self, args: &[&str], term: &str) -> Terminal {
        Terminal::start(&self.cli, self.ours.port, args, term)
    }

    /// Types lines into redis-cli in a terminal of either server; the screens must be the same.
    pub fn same_screens(&self, args: &[&str], lines: &[&str]) -> Vec<String> {
        let mut screens = self.ports().map(|port| {
            let mut terminal = Terminal::start(&self.cli, port, args, "dumb");
            lines.iter().map(|line| terminal.line(line)).collect::<Vec<String>>()
        });
        let ours = screens.next().expect("our server");
        for theirs in screens {
            for ((line, ours), theirs) in lines.iter().zip(&ours).zip(&theirs) {
                assert_eq!(ours, theirs, "redis-cli {}: {line}", args.join(" "));
            }
        }
        ours
    }
}

/// Runs a tool that takes the port by `-p`, to its end.
pub fn run(program: &PathBuf, port: u16, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(["-p", &port.to_string()])
        .args(args)
        .env_remove("REDISCLI_AUTH")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_string();
    // A tool that doesn't read its input closes it.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("written");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&format!(":{port}"), ":PORT");
    Output { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code() }
}
