//! The server as a process: its title, its log, its end by a signal.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use super::harness::{Directory, PATIENCE, Server, eventually, info_field};

use crate::ports::free_port;

#[test]
fn title() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let title = || String::from_utf8_lossy(&server.command_line()).trim_end_matches('\0').to_string();
    assert!(title().ends_with(&format!("/redloop 127.0.0.1:{}", server.port)), "{}", title());
    let template = "a rather long one {port} {tls-port} {config-file} {listen-addr}{server-mode}{unixsocket}";
    assert_eq!(c.ask_words(&["CONFIG", "SET", "proc-title-template", template]), "+OK");
    assert_eq!(title(), format!("a rather long one {0} 0 - 127.0.0.1:{0}", server.port));
    assert!(c.ask("CONFIG SET proc-title-template {nonsense}").contains("template format is invalid"));
}

/// Pages of the program that only starting needs don't stay, and the allocator's own tables are those of a small server.
#[test]
fn what_starting_took_is_given_back() {
    let server = Server::start(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("PING"), "+PONG");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("its status");
    let kib = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next());
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or_else(|| panic!("{name} {status}"))
    };
    let (most, now) = (kib("VmHWM:"), kib("VmRSS:"));
    assert!(now + 1500 < most, "{now} of {most} KiB");
    if info_field(&mut c, "mem_allocator") == "mimalloc" {
        let stats = c.ask("MEMORY MALLOC-STATS");
        let reserved =
            stats.lines().find(|line| line.trim_start().starts_with("reserved")).unwrap_or_default();
        let words: Vec<&str> = reserved.split_ascii_whitespace().collect();
        let small = |number: &str| number.parse::<f64>().is_ok_and(|mebibytes| mebibytes < 128.0);
        assert!(matches!(words[..], ["reserved", ":", number, "MiB", ..] if small(number)), "{stats}");
    }
}

/// DEBUG RESTART takes the arguments that the title has overwritten, in the directory that `dir` has left.
#[test]
fn restart_with_the_same_arguments() {
    let directory = Directory::new("restart");
    let file = directory.file("own.conf", "dir /\nmaxclients 77\nenable-debug-command yes\n");
    let (place, name) = file.rsplit_once('/').expect("a path");
    let port = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_redloop"));
    command.current_dir(place);
    let server = Server::start_by(command, port, "Ready to accept", Some(name), &[]).expect("it starts");
    let mut c = server.client();
    let run = info_field(&mut c, "run_id");
    c.send("DEBUG RESTART");
    assert!(c.is_closed());
    let starts = || server.log_lines().iter().filter(|line| line.contains("Ready to accept")).count();
    eventually("it is back", || starts() == 2);
    let mut c = server.client();
    assert_ne!(info_field(&mut c, "run_id"), run);
    assert_eq!(info_field(&mut c, "process_id"), server.id().to_string());
    assert_eq!(info_field(&mut c, "maxclients"), "77");
}

#[test]
fn all_of_a_config_set_or_nothing() {
    let server = Server::start(&["--enable-protected-configs", "yes"]);
    let mut c = server.client();
    let taken = TcpListener::bind("127.0.0.1:0").and_then(|socket| Ok((socket.local_addr()?.port(), socket)));
    let (taken, _socket) = taken.expect("a port");
    let directory = || std::fs::read_link(format!("/proc/{}/cwd", server.id())).expect("cwd");
    let before = (directory(), c.ask("CONFIG GET dir port"));
    let failed = "-ERR CONFIG SET failed (possibly related to argument";
    let port = format!("{failed} 'port') - Unable to listen on this port. Check server logs.");
    assert_eq!(c.ask(&format!("CONFIG SET dir / port {taken}")), port);
    assert!(c.ask("CONFIG SET dir / maxclients 4000000000").starts_with(&format!("{failed} 'maxclients')")));
    assert_eq!((directory(), c.ask("CONFIG GET dir port")), before);
    assert_eq!(server.client().ask("PING"), "+PONG");
    assert_eq!(c.ask("CONFIG SET dir /"), "+OK");
    assert_eq!(directory().as_os_str(), "/");
}

#[test]
fn log_formats() {
    let server = Server::start(&["--enable-debug-command", "yes", "--log-format", "json"]);
    let mut c = server.client();
    assert_eq!(c.ask_words(&["DEBUG", "LOG", "a\t\"b\""]), "+OK");
    let line = server.wait_for_log(&["DEBUG LOG"]);
    assert!(line.starts_with("{\"pid\":") && line.ends_with(r#""message":"DEBUG LOG: a\t\"b\""}"#), "{line}");
    assert_eq!(c.ask("CONFIG SET log-format logfmt log-timestamp-format milliseconds"), "+OK");
    assert_eq!(c.ask("DEBUG LOG again"), "+OK");
    let line = server.wait_for_log(&["LOG: again"]);
    assert!(line.ends_with(r#" level=warning message="DEBUG LOG: again""#), "{line}");
}

/// Only the superuser can be the daemon, and only where there is none.
#[test]
fn syslog() {
    let Ok(daemon) = UnixDatagram::bind("/dev/log") else { return };
    daemon.set_read_timeout(Some(PATIENCE)).expect("set");
    let server =
        Server::start(&["--syslog-enabled", "yes", "--syslog-ident", "cache", "--syslog-facility", "local7"]);
    let mut bytes = [0; 2048];
    let mut lines = String::new();
    while !lines.contains("Ready to accept connections tcp") {
        let length = daemon.recv(&mut bytes).expect("a line");
        lines.push_str(&String::from_utf8_lossy(&bytes[..length]));
        lines.push('\n');
    }
    std::fs::remove_file("/dev/log").expect("removed");
    let head = format!(" cache[{}]: ", server.id());
    assert!(lines.lines().all(|line| line.starts_with("<189>") && line.contains(&head)), "{lines}");
    assert!(lines.contains("Server initialized"), "{lines}");
}

#[test]
fn nonsense_is_logged_unless_it_is_secret() {
    let server = Server::start(&["--loglevel", "verbose"]);
    server.client().raw(b"*1\r\n$blabla\r\n");
    let line = server.wait_for_log(&["Query buffer"]);
    assert!(line.contains("(invalid bulk length)") && line.ends_with(r"'*1\r\n$blabla\r\n'"), "{line}");
    assert_eq!(server.client().ask("CONFIG SET hide-user-data-from-log yes"), "+OK");
    server.client().raw(b"*1\r\n$secret\r\n");
    server.wait_for_log(&["*redacted*"]);
}

#[test]
fn signals() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut c = server.client();
    server.signal("ALRM");
    server.wait_for_log(&["Received SIGALRM"]);
    server.wait_for_log(&["STACK TRACE DONE"]);
    assert_eq!(c.ask("PING"), "+PONG");
    c.send("DEBUG SEGFAULT");
    eventually("the server is gone", || c.is_closed());
    server.wait_for_log(&["crashed by signal: 6"]);
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut c = server.client();
    // Pipelined, so that the loop is busy from the line in the log on: the first signal waits for it.
    c.raw(b"DEBUG LOG now\r\nDEBUG SLEEP 100\r\n");
    server.wait_for_log(&["DEBUG LOG: now"]);
    // Two that come before the process runs again are one to it.
    c.stream.set_nonblocking(true).expect("set");
    eventually("the server is gone", || {
        server.signal("INT");
        !c.stream.peek(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    });
    server.wait_for_log(&["You insist... exiting now."]);
}

#[test]
fn a_log_that_is_moved_away_begins_anew() {
    let dir = std::env::temp_dir().join(format!("redloop-log-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory");
    let (log, old) = (dir.join("log"), dir.join("log.1"));
    let options = ["--port", "0", "--save", "", "--enable-debug-command", "yes"];
    let socket = dir.join("socket");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_redloop"))
        .args(options)
        .arg("--unixsocket")
        .arg(&socket)
        .arg("--logfile")
        .arg(&log)
        .spawn()
        .expect("the binary runs");
    let holds = |path: &std::path::Path, text: &str| {
        std::fs::read_to_string(path).is_ok_and(|content| content.contains(text))
    };
    eventually("it is ready", || holds(&log, "Ready to accept"));
    std::fs::rename(&log, &old).expect("moved");
    let mut client = std::os::unix::net::UnixStream::connect(&socket).expect("connects");
    client.write_all(b"DEBUG LOG second\r\n").expect("sends");
    eventually("it is logged", || holds(&log, "DEBUG LOG: second"));
    assert!(!holds(&old, "second"));
    child.kill().expect("is ended");
    child.wait().expect("has ended");
    std::fs::remove_dir_all(&dir).expect("cleaned up");
}

#[test]
fn the_machine_is_checked() {
    let check = |options: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_redloop"))
            .arg("--check-system")
            .args(options)
            .output()
            .expect("the binary runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (status, page) = check(&[]);
    for name in ["clocksource", "overcommit", "THP", "somaxconn", "open-files", "swap", "maxmemory"] {
        assert!(page.contains(&format!("[{name}]...")), "{page}");
    }
    assert_eq!(status, Some(i32::from(page.contains("WARNING"))), "{page}");
    let (status, page) = check(&["--tcp-backlog", "2000000000", "--maxmemory", "999999gb"]);
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("a number");
    let expected = format!(
        "cannot be enforced because /proc/sys/net/core/somaxconn is set to the lower value of {}.\n  mend it: sysctl -w net.core.somaxconn=2000000000",
        somaxconn.trim()
    );
    assert!(
        status == Some(1) && page.contains(&expected) && page.contains("[maxmemory]...WARNING"),
        "{page}"
    );
    let server = Server::start(&["--tcp-backlog", "2000000000"]);
    server.wait_for_log(&["WARNING: The TCP backlog setting of 2000000000 cannot be enforced"]);
}

#[test]
fn listening_nowhere() {
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_redloop"))
        .args(["--port", "0", "--save", ""])
        .output()
        .expect("the binary runs");
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stderr, b"Configured to not listen anywhere, exiting.\n");
}
