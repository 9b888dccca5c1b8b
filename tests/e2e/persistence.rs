//! Snapshots, from the outside: what a stop, a kill, a damaged file and a full snapshot under way leave behind.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::harness::{Client, Server, eventually};

/// A directory of its own, removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("redloop-e2e-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    fn server(&self, options: &[&str]) -> Server {
        self.server_until("Ready to accept", options)
    }

    /// A server that may not have loaded its data yet.
    fn server_that_loads(&self, options: &[&str]) -> Server {
        self.server_until("Server initialized", options)
    }

    fn server_until(&self, line: &str, options: &[&str]) -> Server {
        let dir = self.0.to_str().expect("UTF-8");
        Server::start_until(line, &[&["--dir", dir, "--enable-debug-command", "yes"], options].concat())
    }

    fn file(&self) -> PathBuf {
        self.0.join("dump.rdb")
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the directory");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn info(client: &mut Client, field: &str) -> String {
    info_of(client, "persistence", field)
}

fn info_of(client: &mut Client, section: &str, field: &str) -> String {
    let text = client.ask(&format!("INFO {section}"));
    let line = text.lines().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(':'));
    line.expect("a field of INFO").to_string()
}

fn wait_for_snapshot(client: &mut Client) {
    eventually("the snapshot ends", || info(client, "rdb_bgsave_in_progress") == "0");
}

#[test]
fn a_stop_saves_and_a_kill_keeps_the_last_snapshot() {
    let place = Directory::new("stop");
    let mut server = place.server(&["--save", "3600 1"]);
    let mut c = server.client();
    assert_eq!(c.ask("SET a 1"), "+OK");
    c.send("SHUTDOWN");
    assert!(server.wait().success());
    let mut server = place.server(&["--save", "3600 1"]);
    let mut c = server.client();
    assert_eq!(c.ask("GET a"), "$1");
    assert_eq!(c.ask("SET b 2"), "+OK");
    server.signal("TERM");
    assert!(server.wait().success());
    let mut server = place.server(&["--save", "3600 1"]);
    let mut c = server.client();
    assert_eq!(c.ask("SAVE"), "+OK");
    assert_eq!(c.ask("SET c 3"), "+OK");
    server.signal("KILL");
    server.wait();
    let mut server = place.server(&["--save", "3600 1", "--shutdown-on-sigterm", "nosave"]);
    let mut c = server.client();
    assert_eq!(c.ask("EXISTS a b c"), ":2");
    assert_eq!(c.ask("SET d 4"), "+OK");
    server.signal("TERM");
    assert!(server.wait().success());
    let server = place.server(&[]);
    assert_eq!(server.client().ask("EXISTS a b c d"), ":2");
    assert_eq!(place.names(), ["dump.rdb"]);
}

#[test]
fn a_damaged_file_stops_the_start_and_stays() {
    let place = Directory::new("damaged");
    let server = place.server(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("DEBUG POPULATE 1000"), "+OK");
    assert_eq!(c.ask("SAVE"), "+OK");
    drop(server);
    let mut bytes = std::fs::read(place.file()).expect("the file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(place.file(), &bytes).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_redloop"))
        .args(["--port", "0", "--unixsocket", "socket", "--save", "1 1", "--dir"])
        .arg(&place.0)
        .stderr(Stdio::null())
        .output()
        .expect("the binary runs");
    let log = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        log.contains(" offset ") && log.ends_with("Terminating server after rdb file reading failure.\n"),
        "{log}"
    );
    assert_eq!(std::fs::read(place.file()).expect("the file"), bytes);
}

#[test]
fn a_reload_of_a_damaged_file_ends_the_server_and_the_file_stays() {
    let place = Directory::new("reload");
    let mut server = place.server(&["--save", "1 1"]);
    let mut c = server.client();
    assert_eq!(c.ask("DEBUG POPULATE 1000"), "+OK");
    assert_eq!(c.ask("SAVE"), "+OK");
    assert_eq!(c.ask("SET later 1"), "+OK");
    let good = std::fs::read(place.file()).expect("the file");
    // The head tells, so nothing was changed.
    for head in ["REDIS9999", "NOREDIS12", "RED"] {
        let bytes = [head.as_bytes(), good.get(head.len()..).unwrap_or_default()].concat();
        std::fs::write(place.file(), if head.len() < 9 { head.as_bytes() } else { &bytes }).expect("written");
        let refusal = "-ERR Error trying to load the RDB dump, check server logs.";
        assert_eq!(c.ask("DEBUG RELOAD NOSAVE"), refusal, "{head}");
        assert_eq!(c.ask("DBSIZE"), ":1001");
    }
    // Behind it, a part of the file has replaced the data.
    let mut bytes = good.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(place.file(), &bytes).expect("written");
    c.raw(b"DEBUG RELOAD NOSAVE\r\n");
    assert!(c.is_closed());
    assert_eq!(server.wait().code(), Some(1));
    server.wait_for_log(&["Terminating server after rdb file reading failure"]);
    assert_eq!(std::fs::read(place.file()).expect("the file"), bytes);
}

#[test]
fn a_reload_with_libraries_that_are_there_changes_nothing() {
    let place = Directory::new("reload-library");
    let server = place.server(&[]);
    let mut c = server.client();
    let load = |c: &mut Client, name: &str| {
        let source = format!("#!lua name={name}\nredis.register_function('{name}', function() return 1 end)");
        c.ask_words(&["FUNCTION", "LOAD", &source])
    };
    assert_eq!(load(&mut c, "one"), "$one");
    assert_eq!(c.ask("SET a 1"), "+OK");
    let refusal = "-ERR Error trying to load the RDB dump, check server logs.";
    assert_eq!(c.ask("DEBUG RELOAD NOFLUSH"), refusal);
    assert_eq!(c.ask("FCALL one 0"), ":1");
    assert_eq!(load(&mut c, "two"), "$two");
    assert_eq!(c.ask("DEBUG RELOAD NOSAVE NOFLUSH MERGE"), "+OK");
    assert_eq!(c.ask("FCALL one 0"), ":1");
    assert_eq!(c.ask("FCALL two 0"), ":1");
    assert_eq!(c.ask("GET a"), "$1");
}

#[test]
fn a_reload_of_a_damaged_log_ends_the_server_and_the_log_stays() {
    let place = Directory::new("reload-log");
    let mut server = place.server(&["--appendonly", "yes", "--save", "1 1"]);
    let mut c = server.client();
    (0..100).for_each(|number| assert_eq!(c.ask(&format!("SET key:{number} value")), "+OK"));
    assert_eq!(c.ask("DEBUG LOADAOF"), "+OK");
    assert_eq!(c.ask("DBSIZE"), ":100");
    let dir = place.0.join("appendonlydir");
    let (manifest, aside) = (dir.join("appendonly.aof.manifest"), dir.join("aside"));
    let refusal = "-ERR Error trying to load the AOF files, check server logs.";
    std::fs::rename(&manifest, &aside).expect("moved");
    assert_eq!(c.ask("DEBUG LOADAOF"), refusal);
    std::fs::write(&manifest, "nonsense").expect("written");
    assert_eq!(c.ask("DEBUG LOADAOF"), refusal);
    std::fs::rename(&aside, &manifest).expect("moved");
    assert_eq!(c.ask("DBSIZE"), ":100");
    let log = dir.join("appendonly.aof.1.incr.aof");
    let mut bytes = std::fs::read(&log).expect("the log");
    let middle = bytes.len() / 2;
    let at = middle + bytes[middle..].iter().position(|&byte| byte == b'*').expect("a request");
    bytes[at] = b'?';
    std::fs::write(&log, &bytes).expect("written");
    c.raw(b"DEBUG LOADAOF\r\n");
    assert!(c.is_closed());
    assert_eq!(server.wait().code(), Some(1));
    assert_eq!(std::fs::read(&log).expect("the log"), bytes);
    assert!(!place.file().exists(), "a part of the data was saved");
}

#[test]
fn loading_answers_and_a_stop_meanwhile_keeps_the_file() {
    let place = Directory::new("loading");
    let server = place.server(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("DEBUG POPULATE 20000 key 100"), "+OK");
    assert_eq!(c.ask("SAVE"), "+OK");
    drop(server);
    let bytes = std::fs::read(place.file()).expect("the file");
    let slow = ["--key-load-delay", "1000", "--save", "1 1"];
    let mut server = place.server_that_loads(&slow);
    let mut c = server.client();
    assert_eq!(c.ask("GET key:1"), "-LOADING Redis is loading the dataset in memory");
    assert_eq!(info(&mut c, "loading"), "1");
    assert_eq!(
        c.ask("CONFIG SET repl-diskless-load disabled"),
        "-LOADING Redis is loading the dataset in memory"
    );
    assert_eq!(c.ask("CONFIG SET loglevel verbose"), "+OK");
    assert_eq!(info(&mut c, "loading_total_bytes"), bytes.len().to_string());
    server.signal("TERM");
    assert!(server.wait().success());
    assert_eq!(std::fs::read(place.file()).expect("the file"), bytes);
    let server = place.server_that_loads(&slow);
    let mut c = server.client();
    assert_eq!(c.ask("CONFIG SET key-load-delay 0"), "+OK");
    server.wait_for_log(&["Ready to accept"]);
    assert_eq!(c.ask("DBSIZE"), ":20000");
}

#[test]
fn a_snapshot_that_is_dropped_leaves_the_old_file() {
    let place = Directory::new("dropped");
    let mut server = place.server(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("SET a 1"), "+OK");
    assert_eq!(c.ask("SAVE"), "+OK");
    let bytes = std::fs::read(place.file()).expect("the file");
    assert_eq!(c.ask("DEBUG POPULATE 10000"), "+OK");
    assert_eq!(c.ask("CONFIG SET rdb-key-save-delay 100000"), "+OK");
    let cpu_of_turns = "longest_snapshot_turn_cpu_usec";
    assert_eq!(info_of(&mut c, "stats", cpu_of_turns), "0", "SAVE is a command, not a walk in slices");
    assert_eq!(c.ask("BGSAVE"), "+Background saving started");
    eventually("turns are timed", || info_of(&mut c, "stats", cpu_of_turns) != "0");
    eventually("the temporary file is there", || place.names().len() == 2);
    assert_eq!(c.ask("PING"), "+PONG");
    assert_eq!(c.ask("BGSAVE CANCEL"), "+Background saving cancelled");
    eventually("the temporary file is gone", || place.names() == ["dump.rdb"]);
    assert_eq!(info(&mut c, "rdb_last_bgsave_status"), "ok");
    assert_eq!(c.ask("BGSAVE"), "+Background saving started");
    eventually("the temporary file is there", || place.names().len() == 2);
    // Without save points, FLUSHALL leaves the file as it is.
    assert_eq!(c.ask("FLUSHALL"), "+OK");
    assert_eq!(info(&mut c, "rdb_bgsave_in_progress"), "0");
    eventually("the temporary file is gone", || place.names() == ["dump.rdb"]);
    assert_eq!(c.ask("DEBUG POPULATE 10000"), "+OK");
    assert_eq!(c.ask("BGSAVE"), "+Background saving started");
    eventually("the temporary file is there", || place.names().len() == 2);
    c.send("SHUTDOWN NOSAVE");
    assert!(server.wait().success());
    assert_eq!(place.names(), ["dump.rdb"]);
    assert_eq!(std::fs::read(place.file()).expect("the file"), bytes);
}

#[test]
fn flushall_saves_the_empty_data_where_there_are_save_points() {
    let place = Directory::new("flushall");
    let server = place.server(&["--save", "3600 1000000"]);
    let mut c = server.client();
    assert_eq!(c.ask("SET a 1"), "+OK");
    assert_eq!(c.ask("SAVE"), "+OK");
    assert_eq!(c.ask("FLUSHALL"), "+OK");
    assert_eq!(info(&mut c, "rdb_changes_since_last_save"), "0");
    server.signal("KILL");
    drop(server);
    assert_eq!(place.server(&[]).client().ask("DBSIZE"), ":0");
}

#[test]
fn a_failed_background_save_refuses_writes_until_one_succeeds() {
    let place = Directory::new("failed");
    // A directory where the file should be: it can't be replaced.
    std::fs::create_dir(place.file().with_file_name("other.rdb")).expect("a directory");
    let options = ["--save", "3600 1", "--enable-protected-configs", "yes"];
    let mut server = place.server(&options);
    let mut c = server.client();
    assert_eq!(c.ask("CONFIG SET dbfilename other.rdb"), "+OK");
    assert_eq!(c.ask("SET a 1"), "+OK");
    assert_eq!(c.ask("SAVE"), "-ERR");
    assert_eq!(c.ask("SET a 2"), "+OK");
    assert_eq!(c.ask("BGSAVE"), "+Background saving started");
    wait_for_snapshot(&mut c);
    assert!(c.ask("SET a 3").starts_with("-MISCONF "));
    assert_eq!(c.ask("GET a"), "$2");
    assert_eq!(c.ask("SHUTDOWN"), "-ERR Errors trying to SHUTDOWN. Check logs.");
    // A signal that fails is forgotten: the next one is no second SIGINT.
    for failed in 1..=2 {
        server.signal("INT");
        let errors = "SIGTERM received but errors trying to shut down";
        let count = || server.log_lines().iter().filter(|line| line.contains(errors)).count();
        eventually("the shutdown fails", || count() == failed);
        assert_eq!(c.ask("GET a"), "$2");
    }
    assert_eq!(c.ask("CONFIG SET dbfilename dump.rdb"), "+OK");
    assert_eq!(c.ask("BGSAVE"), "+Background saving started");
    wait_for_snapshot(&mut c);
    assert_eq!(c.ask("SET a 3"), "+OK");
    c.send("SHUTDOWN");
    assert!(server.wait().success());
    assert_eq!(place.server(&[]).client().ask("GET a"), "$3");
}

#[test]
fn debug_reload_is_refused_in_a_transaction() {
    let place = Directory::new("reload-queued");
    let server = place.server(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("SET a 1"), "+OK");
    assert_eq!(c.ask("DEBUG RELOAD"), "+OK");
    assert_eq!(c.ask("GET a"), "$1");
    assert_eq!(c.ask("MULTI"), "+OK");
    assert_eq!(c.ask("DEBUG RELOAD"), "+QUEUED");
    assert_eq!(c.ask("EXEC"), "[-ERR Command not allowed inside a transaction]");
    assert_eq!(c.ask("GET a"), "$1");
}

#[test]
fn a_rewrite_that_waits_for_a_snapshot_comes_without_a_log_too() {
    let place = Directory::new("scheduled");
    let server = place.server(&["--rdb-key-save-delay", "10000000"]);
    let mut c = server.client();
    assert_eq!(c.ask("SET a 1"), "+OK");
    assert_eq!(c.ask("BGSAVE"), "+Background saving started");
    assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting scheduled");
    assert_eq!(info(&mut c, "aof_rewrite_scheduled"), "1");
    assert_eq!(c.ask("CONFIG SET rdb-key-save-delay 0"), "+OK");
    eventually("the rewrite was begun", || info(&mut c, "aof_rewrite_scheduled") == "0");
    eventually("the rewrite ends", || info(&mut c, "aof_rewrite_in_progress") == "0");
    assert_eq!(info(&mut c, "aof_last_bgrewrite_status"), "ok");
    assert!(place.0.join("appendonlydir/appendonly.aof.manifest").exists());
}

#[test]
fn the_last_key_has_its_delay_and_background_jobs_are_counted() {
    let place = Directory::new("jobs");
    let server = place.server(&["--rdb-key-save-delay", "10000000"]);
    let mut c = server.client();
    assert_eq!(c.ask("SET a 1"), "+OK");
    assert_eq!(c.ask("BGSAVE"), "+Background saving started");
    // The only key has been handed over when the loop comes round again.
    eventually("the walk", || info(&mut c, "current_save_keys_processed") == "1");
    assert_eq!(info(&mut c, "rdb_bgsave_in_progress"), "1");
    assert_eq!(info_of(&mut c, "stats", "total_forks"), "1");
    assert_eq!(c.ask("CONFIG SET rdb-key-save-delay 0"), "+OK");
    wait_for_snapshot(&mut c);
    assert_eq!(c.ask("SAVE"), "+OK");
    assert_eq!(info_of(&mut c, "stats", "total_forks"), "1", "SAVE is no job in the background");
    for line in ["MULTI", "CONFIG SET appendonly yes"] {
        c.ask(line);
    }
    assert_eq!(c.ask("EXEC"), "[+OK]");
    server.wait_for_log(&["An AOF background was scheduled to start when possible."]);
    eventually("the rewrite", || info(&mut c, "aof_rewrites") == "1");
    assert_eq!(info_of(&mut c, "stats", "total_forks"), "2");
}

#[test]
fn a_slow_log_delays_the_replies_that_wait_for_it() {
    let place = Directory::new("slow-log");
    let server = place.server(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut c = server.client();
    assert_eq!(c.ask("DEBUG AOF-FLUSH-SLEEP -1"), "-ERR value is out of range, must be positive");
    assert_eq!(c.ask("DEBUG AOF-FLUSH-SLEEP 200000"), "+OK");
    let began = std::time::Instant::now();
    assert_eq!(c.ask("SET a 1"), "+OK");
    assert!(began.elapsed() >= std::time::Duration::from_millis(200));
    assert_eq!(c.ask("DEBUG AOF-FLUSH-SLEEP 0"), "+OK");
    assert_eq!(c.ask("SET a 2"), "+OK");
}

#[test]
fn a_file_with_something_unknown_ends_the_start_with_the_reason_in_the_log() {
    let place = Directory::new("unknown");
    for (file, reason) in [
        (&b"VALKEY987\xdc"[..], "Unknown type or opcode when loading DB. Unrecoverable error, aborting now."),
        (b"REDIS0075\x96", "Can't handle foreign type or opcode 150 in RDB with version 75"),
    ] {
        std::fs::write(place.file(), file).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_redloop"))
            .args(["--port", "0", "--unixsocket", "socket", "--rdb-version-check", "relaxed", "--dir"])
            .arg(&place.0)
            .stderr(Stdio::null())
            .output()
            .expect("the binary runs");
        let log = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{log}");
        let last: Vec<&str> = log.lines().rev().take(2).collect();
        assert!(last[0].ends_with("Terminating server after rdb file reading failure."), "{log}");
        assert!(last[1].ends_with(reason), "{log}");
    }
}

#[test]
fn a_shutdown_by_signal_can_be_aborted_until_it_begins() {
    let place = Directory::new("abort");
    let mut server = place.server(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("SHUTDOWN ABORT"), "-ERR No shutdown in progress.");
    assert_eq!(c.ask("DEBUG PAUSE-CRON 1"), "+OK");
    server.signal("INT");
    server.wait_for_log(&["Received SIGINT scheduling shutdown..."]);
    assert_eq!(c.ask("SHUTDOWN ABORT"), "+OK");
    assert_eq!(c.ask("DEBUG PAUSE-CRON 0"), "+OK");
    // It is forgotten: the next one is a first one, which ends in order.
    server.signal("INT");
    assert!(server.wait().success());
}
