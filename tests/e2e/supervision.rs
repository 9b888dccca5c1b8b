//! What watches over the server: the tests play systemd, with its datagram socket and with sockets that it passes.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::harness::{Client, Directory, PATIENCE, Server, eventually, info_field};

const PROGRAM: &str = env!("CARGO_BIN_EXE_redloop");

/// The socket that systemd listens on.
struct Systemd(UnixDatagram, String);

impl Systemd {
    fn new(directory: &Directory) -> Systemd {
        let path = directory.0.join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Systemd(socket, path.to_string_lossy().into_owned())
    }

    fn start(&self, watchdog_us: u64, options: &[&str]) -> Server {
        let mut command = Command::new(PROGRAM);
        command.env("NOTIFY_SOCKET", &self.1);
        if watchdog_us > 0 {
            command.env("WATCHDOG_USEC", watchdog_us.to_string());
        }
        Server::start_by(command, 0, "Server initialized", None, options).expect("it starts")
    }

    /// The lines of all messages up to one with a line that begins so.
    fn until(&self, line: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.iter().any(|found: &String| found.starts_with(line)) {
            let mut bytes = [0; 4096];
            let length =
                self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("{line}: {error} after {lines:?}"));
            lines.extend(String::from_utf8_lossy(&bytes[..length]).lines().map(String::from));
        }
        lines
    }
}

/// The socket of a server that listens nowhere else.
fn client_at(path: &str) -> UnixStream {
    UnixStream::connect(path).expect("connected")
}

#[test]
fn systemd_is_told_what_happens() {
    let directory = Directory::new("supervised");
    let systemd = Systemd::new(&directory);
    let socket = directory.0.join("socket").to_string_lossy().into_owned();
    let file = directory.file("redis.conf", "");
    let options = [&*file, "--unixsocket", &socket, "--supervised", "auto", "--daemonize", "yes"];
    let mut command = Command::new(PROGRAM);
    command.env("NOTIFY_SOCKET", &systemd.1).arg(&file);
    let mut server =
        Server::start_by(command, 0, "Server initialized", None, &options[1..]).expect("it starts");
    let lines = systemd.until("READY=1");
    assert_eq!(lines, ["STATUS=redloop is starting", "STATUS=Ready to accept connections", "READY=1"]);
    // It doesn't go to the background: the process is the one that was started.
    drop(client_at(&socket));
    server.wait_for_log(&["supervised by systemd"]);
    server.signal("HUP");
    let lines = systemd.until("READY=1");
    assert_eq!((&*lines[0], lines.len()), ("RELOADING=1", 3), "{lines:?}");
    let since = lines[1].strip_prefix("MONOTONIC_USEC=").and_then(|time| time.parse::<u64>().ok());
    assert!(since.is_some_and(|time| time > 0), "{lines:?}");
    server.signal("TERM");
    let lines = systemd.until("STOPPING=1");
    assert_eq!(lines, ["STATUS=Shutting down", "STOPPING=1"]);
    assert!(server.wait().success());
}

#[test]
fn the_watchdog_hears_of_a_loop_that_goes_round() {
    let directory = Directory::new("watchdog");
    let systemd = Systemd::new(&directory);
    let (dir, socket) =
        (directory.0.to_string_lossy(), directory.0.join("socket").to_string_lossy().into_owned());
    let options = ["--unixsocket", &socket, "--supervised", "systemd", "--dir", &*dir];
    let server = systemd.start(100_000, &options);
    systemd.until("READY=1");
    for _ in 0..3 {
        assert!(
            systemd.until("WATCHDOG=1").iter().all(|line| line == "WATCHDOG=1" || line.starts_with("STATUS"))
        );
    }
    // What may take long by its nature is announced.
    let mut stream = client_at(&socket);
    std::io::Write::write_all(&mut stream, b"SAVE\r\n").expect("sent");
    systemd.until("WATCHDOG_USEC=86400000000");
    assert!(systemd.until("WATCHDOG_USEC=100000").contains(&"WATCHDOG=1".to_string()));
    drop(server);
}

#[test]
fn loading_is_told_with_its_progress() {
    let directory = Directory::new("supervised-loading");
    let dir = directory.0.to_string_lossy().into_owned();
    let server = Server::start(&["--dir", &dir, "--rdbcompression", "no"]);
    let mut c = server.client();
    for key in 0..100 {
        assert_eq!(c.ask(&format!("SET key:{key} value")), "+OK");
    }
    assert_eq!(c.ask("SAVE"), "+OK");
    drop(server);
    let systemd = Systemd::new(&directory);
    let socket = directory.0.join("socket").to_string_lossy().into_owned();
    // It takes its time: 20 ms a key.
    let options =
        ["--dir", &dir, "--unixsocket", &socket, "--supervised", "systemd", "--key-load-delay", "20000"];
    let server = systemd.start(0, &options);
    let lines = systemd.until("READY=1").join("\n");
    let more_time = lines.matches("EXTEND_TIMEOUT_USEC=30000000\nSTATUS=Loading the data: ").count();
    assert!(more_time >= 2 && lines.contains("% of 0.0 MB"), "{lines}");
    assert!(lines.ends_with("STATUS=Ready to accept connections\nREADY=1"), "{lines}");
    drop(server);
}

#[test]
fn without_a_supervisor() {
    let mut command = Command::new(PROGRAM);
    command.env_remove("NOTIFY_SOCKET").env_remove("UPSTART_JOB");
    let options = ["--supervised", "systemd", "--unixsocket", "/dev/null/x"];
    let mut server =
        Server::start_by(command, 0, "Failed opening Unix socket", None, &options).expect("it says so");
    assert_eq!(server.wait().code(), Some(1));
    let server = Server::start(&["--supervised", "upstart"]);
    server.wait_for_log(&["'supervised' asks for a supervisor, but UPSTART_JOB is not in the environment"]);
    assert_eq!(info_field(&mut server.client(), "process_supervised"), "no");
}

#[test]
fn upstart_sees_it_stop() {
    let mut command = Command::new(PROGRAM);
    command.env("UPSTART_JOB", "redloop");
    let port = 6379;
    let directory = Directory::new("upstart");
    let socket = directory.0.join("socket").to_string_lossy().into_owned();
    let options = ["--supervised", "upstart", "--port", "0", "--unixsocket", &socket];
    let server =
        Server::start_by(command, port, "will stop to signal readiness", None, &options).expect("it starts");
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).expect("a process");
        stat.rsplit_once(") ").map(|(_, rest)| rest[..1].to_string())
    };
    eventually("it has stopped", || state().as_deref() == Some("T"));
    server.signal("CONT");
    server.wait_for_log(&["Ready to accept connections unix"]);
}

/// Starts the server with sockets passed as descriptors 3 and up, as systemd does.
fn start_with_sockets(sockets: &[Socket], options: &[&str]) -> Server {
    let mut command = Command::new("bash");
    let redirections: String = (3..)
        .zip(sockets)
        .map(|(number, socket)| {
            socket.set_cloexec(false).expect("set");
            format!(" {number}<&{}", socket.as_raw_fd())
        })
        .collect();
    // Descriptors that are passed must not be overwritten before they are copied.
    assert!(sockets.iter().all(|socket| socket.as_raw_fd() >= 3 + sockets.len() as i32));
    let count = sockets.len();
    let script = format!("LISTEN_PID=$$ LISTEN_FDS={count} exec \"$0\" \"$@\"{redirections}");
    command.args(["-c", &script, PROGRAM]);
    Server::start_by(command, 0, "Ready to accept", None, options).expect("it starts")
}

/// A socket with a descriptor that leaves room for those that are passed.
fn listening(domain: Domain, address: &SockAddr) -> Socket {
    let lower: Vec<_> = (0..8).map(|_| Socket::new(domain, Type::STREAM, None).expect("a socket")).collect();
    let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
    drop(lower);
    socket.bind(address).and_then(|()| socket.listen(16)).expect("it listens");
    socket
}

#[test]
fn sockets_that_systemd_opened_are_taken() {
    let directory = Directory::new("activation");
    let path = directory.0.join("passed").to_string_lossy().into_owned();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let tcp = listening(Domain::IPV4, &any.into());
    let (other, unused) = (listening(Domain::IPV4, &any.into()), listening(Domain::IPV4, &any.into()));
    let unix = listening(Domain::UNIX, &SockAddr::unix(&path).expect("an address"));
    let port_of =
        |socket: &Socket| socket.local_addr().expect("bound").as_socket().expect("an address").port();
    let (port, metrics, unused_port) = (port_of(&tcp), port_of(&other), port_of(&unused));
    // A client that comes before the server waits for it.
    let early = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    let (number, metrics_number) = (port.to_string(), metrics.to_string());
    let options = ["--port", &number, "--metrics-port", &metrics_number, "--unixsocket", &path];
    let mut server = start_with_sockets(&[tcp, unix, other, unused], &options);
    let mut c = Client::of(early);
    assert_eq!(c.ask("PING"), "+PONG");
    std::io::Write::write_all(&mut client_at(&path), b"PING\r\n").expect("sent");
    assert!(TcpStream::connect(("127.0.0.1", metrics)).is_ok());
    server.wait_for_log(&[&format!(
        "The socket on 127.0.0.1:{unused_port} that was passed to the server is none of"
    )]);
    // Elsewhere and back: the sockets are there still, and can't be bound anew as the test has them open, too.
    assert_eq!(c.ask("CONFIG SET port 0"), "+OK");
    assert_eq!(c.ask(&format!("CONFIG SET port {port}")), "+OK");
    assert_eq!(Client::new(port).ask("PING"), "+PONG");
    // The path is systemd's.
    c.send("SHUTDOWN NOSAVE");
    assert!(server.wait().success());
    assert!(std::fs::exists(&path).is_ok_and(|exists| exists));
}

#[test]
fn multipath_tcp() {
    if Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).is_err() {
        // The kernel has none, and the server says so.
        let mut server = Server::start_until("but this kernel has no MPTCP", &["--mptcp", "yes"]);
        return assert_eq!(server.wait().code(), Some(1));
    }
    // Of sockets that listen, the kernel's table says which are.
    let is_mptcp = |port: u16| {
        let table = Command::new("ss").args(["-M", "-l", "-n", "-H"]).output().map(|output| output.stdout);
        table.is_ok_and(|table| String::from_utf8_lossy(&table).contains(&format!("127.0.0.1:{port} ")))
    };
    let primary = Server::start(&["--mptcp", "yes", "--repl-diskless-sync-delay", "0"]);
    assert!(is_mptcp(primary.port));
    let mut plain = primary.client();
    assert_eq!(plain.ask("SET key value"), "+OK");
    let directory = Directory::new("mptcp");
    let replica = Server::start(&["--repl-mptcp", "yes", "--dir", &directory.0.to_string_lossy()]);
    assert!(!is_mptcp(replica.port));
    let mut c = replica.client();
    assert_eq!(c.ask(&format!("REPLICAOF 127.0.0.1 {}", primary.port)), "+OK");
    eventually("the replica has the data", || c.ask("GET key") == "$value");
    // The link is an MPTCP connection: its peer's address is in the table of those.
    let link = Command::new("ss").args(["-M", "-n", "-H"]).output().expect("ss (iproute2) is there");
    let link = String::from_utf8_lossy(&link.stdout).into_owned();
    assert!(link.contains(&format!("127.0.0.1:{}", primary.port)), "{link}");
}
