//! Starts the server on a free port, talks to it, ends it.
//!
//! Replies are compared as text: `+OK`, `-ERR …`, `:1`, `$bytes`, `nil`, `[a, b]`, `{k: v}`, `~[…]`, `>[…]`, `#t`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::ports::free_port;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A directory of its own for a test; it is removed when dropped.
pub struct Directory(pub PathBuf);

impl Directory {
    /// `name` tells it from those of other tests. What a killed run has left under this process's id is removed.
    pub fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("redloop-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    /// Writes a file in it; its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server; it is killed when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Server {
    /// A server with these options; the port is its own.
    pub fn start(options: &[&str]) -> Server {
        Server::start_until("Ready to accept", options)
    }

    /// As [`Self::start`], but waits for this line of the log only.
    pub fn start_until(line: &str, options: &[&str]) -> Server {
        for _ in 0..10 {
            let port = free_port();
            if let Some(server) = Server::start_on(port, line, None, options) {
                return server;
            }
        }
        panic!("the server doesn't start");
    }

    /// A server with this configuration file.
    pub fn start_with_file(file: &str) -> Server {
        for _ in 0..10 {
            let port = free_port();
            if let Some(server) = Server::start_on(port, "Ready to accept", Some(file), &[]) {
                return server;
            }
        }
        panic!("the server doesn't start");
    }

    fn start_on(port: u16, awaited: &str, file: Option<&str>, options: &[&str]) -> Option<Server> {
        Server::start_by(Command::new(env!("CARGO_BIN_EXE_redloop")), port, awaited, file, options)
    }

    /// A server that this command starts with the arguments that it is given.
    pub fn start_by(
        mut command: Command,
        port: u16,
        awaited: &str,
        file: Option<&str>,
        options: &[&str],
    ) -> Option<Server> {
        let mut child = command
            .args(file)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let (out, shared) = (child.stdout.take().expect("piped"), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                shared.0.lock().expect("lock").push(line);
                shared.1.notify_all();
            }
            shared.0.lock().expect("lock").push("<end of log>".into());
            shared.1.notify_all();
        });
        let server = Server { child, port, log };
        let line = server.wait_for_log(&[awaited, "<end of log>"]);
        line.contains(awaited).then_some(server)
    }

    /// Waits for a line of the log that contains one of these.
    pub fn wait_for_log(&self, needles: &[&str]) -> String {
        let (lines, changed) = &*self.log;
        let fits = |line: &&String| needles.iter().any(|needle| line.contains(needle));
        let waiting = |lines: &mut Vec<String>| !lines.iter().any(|line| fits(&line));
        let guard = lines.lock().expect("lock");
        let (guard, late) = changed.wait_timeout_while(guard, PATIENCE, waiting).expect("lock");
        assert!(!late.timed_out(), "no {needles:?} in the log");
        guard.iter().find(fits).expect("found").clone()
    }

    /// The log so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.0.lock().expect("lock").clone()
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let mut status = None;
        eventually("the server ends", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The command line as the kernel shows it.
    pub fn command_line(&self) -> Vec<u8> {
        std::fs::read(format!("/proc/{}/cmdline", self.child.id())).expect("cmdline")
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    pub fn client(&self) -> Client {
        Client::new(self.port)
    }

    /// Resident memory of its own, bytes: pages of the binary come and go as the machine has room.
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("status");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
        let kib: usize = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
        kib * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A field of INFO.
pub fn info_field(client: &mut Client, name: &str) -> String {
    client.send("INFO everything");
    let text = String::from_utf8(client.read_bulk()).expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().to_string()
}

/// Tries until it holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "it never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A connection.
pub struct Client {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

/// A request as it goes over the wire.
pub fn request<T: AsRef<[u8]>>(words: &[T]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

impl Client {
    pub fn new(port: u16) -> Client {
        Client::of(TcpStream::connect(("127.0.0.1", port)).expect("connected"))
    }

    pub fn of(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        let reader = BufReader::new(stream.try_clone().expect("clone"));
        Client { stream, reader }
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// Sends a request: words between spaces.
    pub fn send(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.raw(&request(&words));
    }

    /// Sends a request and reads its reply.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.read()
    }

    /// As [`Self::ask`] for words of any bytes.
    pub fn ask_words<T: AsRef<[u8]>>(&mut self, words: &[T]) -> String {
        self.raw(&request(words));
        self.read()
    }

    /// Reads one reply.
    pub fn read(&mut self) -> String {
        self.try_read().expect("a reply")
    }

    /// Whether the server takes and answers a PING.
    pub fn try_ask_ping(&mut self) -> bool {
        self.stream.write_all(b"PING\r\n").is_ok() && self.try_read().is_some_and(|reply| reply == "+PONG")
    }

    /// Reads the bytes of a string.
    pub fn read_bulk(&mut self) -> Vec<u8> {
        let line = self.line().expect("a reply");
        let length: usize = line.strip_prefix('$').and_then(|rest| rest.parse().ok()).expect("a string");
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes).expect("its bytes");
        bytes.truncate(length);
        bytes
    }

    /// Reads several replies.
    pub fn read_many(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.read()).collect()
    }

    /// Stops sending.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shut down");
    }

    /// Reads what comes until the server closes; a connection that is reset counts as closed.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
        bytes
    }

    /// Whether the server has closed the connection; waits for it.
    pub fn is_closed(&mut self) -> bool {
        self.read_to_end().is_empty()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).ok()?;
        let line = line.strip_suffix(b"\r\n")?;
        Some(String::from_utf8_lossy(line).into_owned())
    }

    /// Reads one reply, if the connection lasts.
    pub fn try_read(&mut self) -> Option<String> {
        let line = self.line()?;
        let (kind, rest) = line.split_at(1);
        let count = rest.parse::<i64>();
        Some(match kind {
            "$" | "=" => match count.expect("a length") {
                -1 => "nil".into(),
                length => {
                    let mut bytes = vec![0; length as usize + 2];
                    self.reader.read_exact(&mut bytes).ok()?;
                    bytes.truncate(length as usize);
                    format!("{kind}{}", String::from_utf8_lossy(&bytes))
                }
            },
            "*" if rest == "-1" => "nil".into(),
            "_" => "nil".into(),
            "*" => self.elements("[", count.expect("a count"))?,
            "~" => self.elements("~[", count.expect("a count"))?,
            ">" => self.elements(">[", count.expect("a count"))?,
            "%" => {
                let pairs: Option<Vec<_>> = (0..count.expect("a count"))
                    .map(|_| Some(format!("{}: {}", self.try_read()?, self.try_read()?)))
                    .collect();
                format!("{{{}}}", pairs?.join(", "))
            }
            _ => line,
        })
    }

    fn elements(&mut self, open: &str, count: i64) -> Option<String> {
        let elements: Option<Vec<_>> = (0..count).map(|_| self.try_read()).collect();
        Some(format!("{open}{}]", elements?.join(", ")))
    }

    /// The value of a field of CLIENT INFO.
    pub fn field(&mut self, name: &str) -> String {
        let info = self.ask("CLIENT INFO");
        field(&info, name)
    }
}

/// The value of a field in a line of CLIENT LIST.
pub fn field(line: &str, name: &str) -> String {
    let prefix = format!("{name}=");
    let line = line.trim_start_matches(['$', '=']).trim_start_matches("txt:");
    let found = line.split_whitespace().find_map(|pair| pair.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("no {name} in {line}")).to_string()
}
