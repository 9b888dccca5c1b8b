//! The append-only file of a real process: full disks, rewrites, switching it on and off, restarts.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::harness::{Client, Server, eventually, request};

const NO_SPACE: &str = "-MISCONF Errors writing to the AOF file: No space left on device";

/// A directory that goes with the test, perhaps with a small file system of its own.
struct Volume {
    path: PathBuf,
    is_mounted: bool,
}

impl Volume {
    fn new(name: &str) -> Volume {
        let path = std::env::temp_dir().join(format!("redloop-log-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Volume { path, is_mounted: false }
    }

    /// One of this size, in KiB, where the test may mount it.
    fn small(name: &str, kib: usize) -> Option<Volume> {
        let mut volume = Volume::new(name);
        let size = format!("size={kib}k");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&volume.path).output();
        volume.is_mounted = mount.is_ok_and(|output| output.status.success());
        if !volume.is_mounted {
            println!("{name}: skipped, no file system can be mounted here");
        }
        volume.is_mounted.then_some(volume)
    }

    fn server(&self, options: &[&str]) -> Server {
        let dir = self.path.to_str().expect("a name");
        let own = ["--dir", dir, "--enable-debug-command", "yes", "--appendonly", "yes"];
        Server::start(&[&own, options].concat())
    }

    /// Takes this much of the space.
    fn fill(&self, kib: usize) {
        fs::write(self.path.join("ballast"), vec![1; kib * 1024]).expect("written");
    }

    fn free(&self) {
        fs::remove_file(self.path.join("ballast")).expect("removed");
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.path.join("appendonlydir").join(name)).expect("a file of the log")
    }

    /// The log's files and what else lies there.
    fn names(&self) -> Vec<String> {
        let list = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
        let all = list(self.path.clone()).chain(list(self.path.join("appendonlydir")));
        let mut names: Vec<String> = all.map(|entry| entry.file_name().to_string_lossy().into()).collect();
        names.sort();
        names
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn info(client: &mut Client, field: &str) -> String {
    let page = client.ask("INFO persistence");
    let found = page.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    found.expect("a field of the page").trim().to_string()
}

fn wait_for_rewrite(client: &mut Client) {
    eventually("the rewrite ends", || {
        info(client, "aof_rewrite_in_progress") == "0" && info(client, "aof_rewrite_scheduled") == "0"
    });
}

/// The reply to this client when everything that it wrote is safe.
const SAFE: &str = "[:1, :0]";

/// Kills the server and starts it again: the data are the same.
fn assert_survives(volume: &Volume, mut server: Server, options: &[&str]) -> Server {
    let mut client = server.client();
    let before = client.ask("DEBUG DIGEST");
    server.signal("KILL");
    server.wait();
    drop(server);
    let server = volume.server(options);
    let mut client = server.client();
    eventually("it has loaded", || info(&mut client, "loading") == "0");
    assert_eq!(client.ask("DEBUG DIGEST"), before);
    server
}

/// Writes until the disk is full; how many writes were acknowledged.
fn write_until_full(client: &mut Client, key: impl Fn(usize) -> String) -> usize {
    let value = "x".repeat(40_000);
    for n in 0..100 {
        match client.ask_words(&["SET", &key(n), &value]).as_str() {
            "+OK" => {}
            NO_SPACE => return n,
            other => panic!("{other}"),
        }
    }
    panic!("the disk isn't full");
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room() {
    for policy in ["everysec", "no"] {
        let Some(volume) = Volume::small("full", 1024) else { return };
        volume.fill(700);
        let options = ["--appendfsync", policy, "--auto-aof-rewrite-percentage", "0"];
        let server = volume.server(&options);
        let (mut c, mut other) = (server.client(), server.client());
        let written = write_until_full(&mut c, |n| format!("k{n}"));
        for line in ["SET a 1", "PING", "DEL nosuch", "BLPOP l 1", "FLUSHALL", "EXPIRE k0 1"] {
            assert_eq!(other.ask(line), NO_SPACE, "{line}");
        }
        assert_eq!(other.ask("MULTI"), "+OK");
        assert_eq!(other.ask("SET a 1"), NO_SPACE);
        assert_eq!(other.ask("EXEC"), "-EXECABORT Transaction discarded because of previous errors.");
        assert_eq!(other.ask("DBSIZE"), format!(":{written}"));
        assert_eq!(other.ask("EXISTS k0"), ":1");
        assert_eq!(info(&mut other, "aof_last_write_status"), "err");
        server.wait_for_log(&["while writing to the AOF file", "Error writing to the AOF file"]);
        // Whole commands are in the file, and what is left waits in memory.
        let log = volume.file("appendonly.aof.1.incr.aof");
        assert!(log.ends_with(b"x\r\n") && info(&mut other, "aof_buffer_length") != "0");
        volume.free();
        eventually("writes are taken again", || c.ask("SET after 1") == "+OK");
        assert_eq!(other.ask("PING"), "+PONG");
        assert_eq!(info(&mut other, "aof_last_write_status"), "ok");
        server.wait_for_log(&["AOF write error looks solved, Redis can write again."]);
        assert_survives(&volume, server, &options);
    }
}

/// The old increment can't be written to its end, and its space is what the disk lacks: the rewrite's base has what is missing.
#[test]
fn a_rewrite_makes_room_on_a_full_disk() {
    let Some(volume) = Volume::small("rewrite", 1024) else { return };
    let options = ["--auto-aof-rewrite-percentage", "0"];
    let server = volume.server(&options);
    let mut c = server.client();
    write_until_full(&mut c, |_| "same".into());
    assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
    wait_for_rewrite(&mut c);
    eventually("writes are taken again", || c.ask("SET after 1") == "+OK");
    assert_eq!(info(&mut c, "aof_last_bgrewrite_status"), "ok");
    let names = volume.names();
    let log = [
        "appendonly.aof.2.base.rdb",
        "appendonly.aof.2.incr.aof",
        "appendonly.aof.manifest",
        "appendonlydir",
    ];
    assert_eq!(names, log);
    let server = assert_survives(&volume, server, &options);
    assert_eq!(server.client().ask("STRLEN same"), ":40000");
}

#[test]
fn a_rewrite_without_room_leaves_what_was() {
    let Some(volume) = Volume::small("no-room", 1024) else { return };
    let options = ["--auto-aof-rewrite-percentage", "0", "--rdbcompression", "no"];
    let server = volume.server(&options);
    let mut c = server.client();
    for n in 0..12 {
        assert_eq!(c.ask_words(&["SET", &format!("k{n}"), &"x".repeat(40_000)]), "+OK");
    }
    volume.fill(400);
    for number in 1..3 {
        assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
        wait_for_rewrite(&mut c);
        assert_eq!(info(&mut c, "aof_last_bgrewrite_status"), "err");
        // What there is goes on.
        assert_eq!(c.ask("INCR after"), format!(":{number}"));
    }
    assert!(volume.names().iter().all(|name| !name.starts_with("temp")), "{:?}", volume.names());
    let server = assert_survives(&volume, server, &options);
    volume.free();
    let mut c = server.client();
    assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
    wait_for_rewrite(&mut c);
    assert_eq!(info(&mut c, "aof_last_bgrewrite_status"), "ok");
    assert_survives(&volume, server, &options);
}

#[test]
fn with_always_a_full_disk_ends_the_server_and_loses_nothing() {
    let Some(volume) = Volume::small("always", 1024) else { return };
    volume.fill(700);
    let options = ["--appendfsync", "always"];
    let mut server = volume.server(&options);
    let mut c = server.client();
    let mut acknowledged = 0;
    let value = "x".repeat(40_000);
    loop {
        c.raw(&request(&["SET", &format!("k{acknowledged}"), &value]));
        match c.try_read() {
            Some(reply) => assert_eq!(reply, "+OK"),
            None => break,
        }
        acknowledged += 1;
    }
    assert_eq!(server.wait().code(), Some(1));
    server.wait_for_log(&[
        "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...",
    ]);
    drop(server);
    let server = volume.server(&options);
    let mut c = server.client();
    eventually("it has loaded", || info(&mut c, "loading") == "0");
    assert_eq!(c.ask("DBSIZE"), format!(":{acknowledged}"));
}

/// Requests of several types, some in transactions and in several databases.
fn write_something(client: &mut Client, n: usize) {
    let key = n % 50;
    for line in [
        format!("SELECT {}", n % 3),
        format!("SET s{key} {n}"),
        format!("RPUSH l{key} {n} {n}"),
        format!("HSET h{key} f{} {n}", n % 7),
        "MULTI".into(),
        format!("ZADD z{key} {n} m{}", n % 9),
        format!("LPOP l{key}"),
        "EXEC".into(),
        format!("SADD t{key} {n}"),
        format!("SPOP t{key}"),
        format!("PEXPIRE s{} {}", n % 60, 1 + n % 40),
        format!("XADD x{key} * f {n}"),
    ] {
        let reply = client.ask(&line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
}

#[test]
fn switched_off_and_on_under_load() {
    let volume = Volume::new("switched");
    let server = volume.server(&["--appendonly", "no"]);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let (mut client, stop, done) = (server.client(), stop.clone(), done.clone());
            std::thread::spawn(move || {
                for n in (writer..).step_by(3) {
                    if stop.load(Ordering::Relaxed) {
                        // What has expired by now has a DEL in the log, or will have one.
                        assert_eq!(client.ask("WAITAOF 1 0 0"), SAFE);
                        return;
                    }
                    write_something(&mut client, n);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut c = server.client();
    for round in 0..6 {
        let before = done.load(Ordering::Relaxed);
        eventually("writes go on", || done.load(Ordering::Relaxed) > before + 50);
        assert_eq!(c.ask("CONFIG SET appendonly yes"), "+OK");
        // Sometimes it is switched off before its first base is there.
        if round % 2 == 0 {
            wait_for_rewrite(&mut c);
            assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
        }
        if round < 5 {
            assert_eq!(c.ask("CONFIG SET appendonly no"), "+OK");
        }
    }
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().expect("no error"));
    wait_for_rewrite(&mut c);
    // Everything with a deadline is gone.
    eventually("all deadlines are over", || {
        (0..3).all(|db| {
            assert_eq!(c.ask(&format!("SELECT {db}")), "+OK");
            (0..50).all(|key| c.ask(&format!("PTTL s{key}")).starts_with(":-"))
        })
    });
    assert_eq!(c.ask("SET last 1"), "+OK");
    assert_eq!(c.ask("WAITAOF 1 0 0"), SAFE);
    assert_survives(&volume, server, &[]);
    let names = volume.names();
    assert_eq!(names.iter().filter(|name| name.ends_with(".base.rdb")).count(), 1, "{names:?}");
    assert!(names.iter().all(|name| !name.starts_with("temp")), "{names:?}");
}

#[test]
fn each_increment_says_its_database_and_time() {
    let volume = Volume::new("increments");
    let server = volume.server(&["--aof-timestamp-enabled", "yes"]);
    let mut c = server.client();
    assert_eq!(c.ask("SELECT 3"), "+OK");
    for number in 1..3 {
        assert_eq!(c.ask(&format!("SET a {number}")), "+OK");
        assert_eq!(c.ask("WAITAOF 1 0 0"), SAFE);
        let log = volume.file(&format!("appendonly.aof.{number}.incr.aof"));
        let log = String::from_utf8(log).expect("text");
        let (annotation, requests) = log.split_once("\r\n").expect("lines");
        let seconds = annotation.strip_prefix("#TS:").and_then(|seconds| seconds.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| seconds > 1_600_000_000), "{log}");
        let set = request(&["SET", "a", &number.to_string()]);
        assert_eq!(requests.as_bytes(), [request(&["SELECT", "3"]), set].concat());
        assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
        wait_for_rewrite(&mut c);
    }
    assert_eq!(c.ask("SET a 3"), "+OK");
    assert_survives(&volume, server, &[]);
}

#[test]
fn a_transaction_that_was_cut_off_is_not_applied() {
    let volume = Volume::new("cut");
    let mut server = volume.server(&["--appendfsync", "always"]);
    let mut c = server.client();
    assert_eq!(c.ask("SET a 1"), "+OK");
    let before = volume.file("appendonly.aof.1.incr.aof").len();
    for (line, reply) in
        [("MULTI", "+OK"), ("SET a 2", "+QUEUED"), ("SET b 2", "+QUEUED"), ("EXEC", "[+OK, +OK]")]
    {
        assert_eq!(c.ask(line), reply);
    }
    server.signal("KILL");
    server.wait();
    let path = volume.path.join("appendonlydir/appendonly.aof.1.incr.aof");
    let whole = fs::read(&path).expect("the log");
    // Behind the last request of the transaction, and within EXEC.
    for cut in [whole.len() - request(&["EXEC"]).len(), whole.len() - 3] {
        fs::write(&path, &whole[..cut]).expect("written");
        let server = volume.server(&[]);
        let mut c = server.client();
        eventually("it has loaded", || info(&mut c, "loading") == "0");
        assert_eq!((c.ask("GET a"), c.ask("GET b")), ("$1".into(), "nil".into()));
        drop(server);
        assert_eq!(fs::read(&path).expect("the log").len(), before, "the file ends before MULTI");
    }
}

#[test]
fn a_log_that_is_new_begins_empty_whatever_snapshot_there_is() {
    let volume = Volume::new("dump");
    let mut server = volume.server(&["--appendonly", "no"]);
    let mut c = server.client();
    assert_eq!(c.ask("SET a 1"), "+OK");
    assert_eq!(c.ask("SAVE"), "+OK");
    // A base without a log to follow is what BGREWRITEAOF makes, and FLUSHALL begins no rewrite.
    assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
    wait_for_rewrite(&mut c);
    assert_eq!(volume.file("appendonly.aof.manifest"), b"file appendonly.aof.1.base.rdb seq 1 type b\n");
    assert_eq!(c.ask("FLUSHALL"), "+OK");
    assert_eq!(info(&mut c, "aof_rewrites"), "1");
    server.signal("KILL");
    server.wait();
    drop(server);
    // The base is a log.
    let server = volume.server(&[]);
    eventually("it is loaded", || server.client().ask("GET a") == "$1");
    drop(server);
    fs::remove_dir_all(volume.path.join("appendonlydir")).expect("removed");
    let server = volume.server(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("DBSIZE"), ":0");
    assert_eq!(
        volume.names()[..3],
        ["appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"]
    );
}

#[test]
fn what_expired_stays_away() {
    let volume = Volume::new("expired");
    let mut server = volume.server(&["--appendfsync", "always"]);
    let mut c = server.client();
    for (line, reply) in [
        ("DEBUG SET-ACTIVE-EXPIRE 0", "+OK"),
        ("SET read 1 PX 1", "+OK"),
        ("SET unread 1 PX 1", "+OK"),
        ("SET later 1 PX 400", "+OK"),
        ("SET stays 1", "+OK"),
        ("HSET h a 1 b 2", ":2"),
        ("HPEXPIRE h 1 FIELDS 1 a", "[:1]"),
    ] {
        assert_eq!(c.ask(line), reply, "{line}");
    }
    eventually("it has expired", || c.ask("GET read") == "nil");
    assert_eq!(c.ask("SET read 2"), "+OK");
    let log = String::from_utf8(volume.file("appendonly.aof.1.incr.aof")).expect("text");
    assert!(log.contains("$4\r\nread\r\n$1\r\n1\r\n$4\r\nPXAT\r\n") && !log.contains("PEXPIRE\r\n"), "{log}");
    eventually("the rest is past its deadline", || c.ask("EXISTS later") == ":0");
    server.signal("KILL");
    server.wait();
    drop(server);
    let server = volume.server(&[]);
    let mut c = server.client();
    eventually("it has loaded", || info(&mut c, "loading") == "0");
    for (line, reply) in
        [("GET read", "$2"), ("GET unread", "nil"), ("GET later", "nil"), ("HGETALL h", "[$b, $2]")]
    {
        assert_eq!(c.ask(line), reply, "{line}");
    }
}

fn replication_offset(client: &mut Client) -> u64 {
    let page = client.ask("INFO replication");
    let offset = page.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
    offset.and_then(|offset| offset.trim().parse().ok()).expect("an offset")
}

/// As Redis 8 has it; Valkey's manifests have no offsets.
#[test]
fn the_manifest_has_replication_offsets() {
    let volume = Volume::new("offsets");
    let manifest = || String::from_utf8(volume.file("appendonly.aof.manifest")).expect("text");
    let mut server = volume.server(&[]);
    let mut c = server.client();
    let increment = "file appendonly.aof.1.incr.aof seq 1 type i startoffset 0";
    assert_eq!(manifest().lines().nth(1), Some(increment));
    assert_eq!((c.ask("SET a 1"), replication_offset(&mut c)), ("+OK".into(), 50));
    server.signal("KILL");
    server.wait();
    drop(server);
    // Without an end it is counted.
    let mut server = volume.server(&[]);
    let mut c = server.client();
    eventually("it has loaded", || info(&mut c, "loading") == "0");
    assert_eq!(replication_offset(&mut c), 50);
    assert_eq!(c.ask("SET b 1"), "+OK");
    let end = replication_offset(&mut c);
    assert!(end > 50);
    c.send("SHUTDOWN NOSAVE");
    server.wait();
    drop(server);
    assert_eq!(manifest().lines().nth(1), Some(&*format!("{increment} endoffset {end}")));
    // What was noted counts, and is out of date from then on.
    let path = volume.path.join("appendonlydir/appendonly.aof.manifest");
    fs::write(&path, manifest().replace(&format!("endoffset {end}"), "endoffset 1000")).expect("written");
    let server = volume.server(&[]);
    let mut c = server.client();
    eventually("it has loaded", || info(&mut c, "loading") == "0");
    assert_eq!((replication_offset(&mut c), manifest().lines().nth(1)), (1000, Some(increment)));
    assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
    wait_for_rewrite(&mut c);
    assert_eq!(
        manifest().lines().nth(1),
        Some("file appendonly.aof.2.incr.aof seq 2 type i startoffset 1000")
    );
    assert_eq!(c.ask("SET c 1"), "+OK");
    // Switched off and on.
    assert_eq!(c.ask("CONFIG SET appendonly no"), "+OK");
    let end = replication_offset(&mut c);
    assert!(manifest().contains(&format!("startoffset 1000 endoffset {end}\n")), "{}", manifest());
    assert_eq!(c.ask("CONFIG SET appendonly yes"), "+OK");
    wait_for_rewrite(&mut c);
    assert!(manifest().ends_with(&format!("seq 3 type i startoffset {end}\n")), "{}", manifest());
    assert_eq!(c.ask("CONFIG SET rdb-family valkey"), "+OK");
    assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
    wait_for_rewrite(&mut c);
    assert!(manifest().ends_with("seq 4 type i\n"), "{}", manifest());
}

/// `aof-use-rdb-preamble` says how the next base is written; the one that is being written stays as it began.
#[test]
fn a_base_of_commands() {
    let volume = Volume::new("commands");
    let options = ["--aof-use-rdb-preamble", "no", "--aof-timestamp-enabled", "yes"];
    let server = volume.server(&options);
    let mut c = server.client();
    let manifest = || String::from_utf8(volume.file("appendonly.aof.manifest")).expect("text");
    assert!(manifest().starts_with("file appendonly.aof.1.base.aof seq 1 type b\n"), "{}", manifest());
    for n in 0..40 {
        write_something(&mut c, n);
    }
    assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
    wait_for_rewrite(&mut c);
    let base = String::from_utf8(volume.file("appendonly.aof.2.base.aof")).expect("text");
    assert!(base.starts_with("#TS:1") && base.contains("\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n"), "{base}");
    // The increment may have something already: what expires meanwhile.
    let base_size: usize = info(&mut c, "aof_base_size").parse().expect("a number");
    assert!((base.len()..base.len() + 2000).contains(&base_size), "{base_size} of {}", base.len());
    let manifest_path = volume.path.join("appendonlydir/appendonly.aof.manifest");
    let check = Command::new(env!("CARGO_BIN_EXE_redloop")).arg("--check-aof").arg(manifest_path).output();
    let check = check.expect("it runs");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    // What expires meanwhile would make a difference.
    eventually("all deadlines are over", || c.ask("INFO keyspace").matches(",expires=0,").count() == 3);
    let server = assert_survives(&volume, server, &options);
    let mut c = server.client();
    for line in ["CONFIG SET rdb-key-save-delay 10000", "SELECT 7", "MSET a 1 b 2 c 3", "SELECT 0"] {
        assert_eq!(c.ask(line), "+OK");
    }
    assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
    assert_eq!(c.ask("CONFIG SET aof-use-rdb-preamble yes"), "+OK");
    assert_eq!(info(&mut c, "aof_rewrite_in_progress"), "1");
    assert_eq!(c.ask("CONFIG SET rdb-key-save-delay 0"), "+OK");
    wait_for_rewrite(&mut c);
    assert!(volume.file("appendonly.aof.3.base.aof").starts_with(b"#TS:1"));
    assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
    wait_for_rewrite(&mut c);
    assert!(volume.file("appendonly.aof.4.base.rdb").starts_with(b"REDIS00"));
    assert_survives(&volume, server, &[]);
}

/// A library of functions in a base of commands is kept for the files to come.
#[test]
fn functions_go_from_base_to_base() {
    let volume = Volume::new("functions");
    let directory = volume.path.join("appendonlydir");
    fs::create_dir_all(&directory).expect("made");
    let source = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    let load = request(&["FUNCTION", "LOAD", source]);
    fs::write(directory.join("appendonly.aof.1.base.aof"), &load).expect("written");
    let manifest = "file appendonly.aof.1.base.aof seq 1 type b\n";
    fs::write(directory.join("appendonly.aof.manifest"), manifest).expect("written");
    let server = volume.server(&[]);
    let mut c = server.client();
    eventually("it has loaded", || info(&mut c, "loading") == "0");
    for (name, preamble) in [("appendonly.aof.2.base.rdb", "yes"), ("appendonly.aof.3.base.aof", "no")] {
        assert_eq!(c.ask(&format!("CONFIG SET aof-use-rdb-preamble {preamble}")), "+OK");
        // Read again, which must not double it.
        assert_eq!(c.ask("DEBUG LOADAOF"), "+OK");
        assert_eq!(c.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
        wait_for_rewrite(&mut c);
        let base = String::from_utf8_lossy(&volume.file(name)).into_owned();
        assert_eq!(base.matches("name=lib").count(), 1, "{base}");
    }
    assert_eq!(volume.file("appendonly.aof.3.base.aof"), load);
}

/// As Redis says it, and as Valkey does; one with too few or too many words ends it with Valkey alone.
#[test]
fn an_unknown_or_malformed_command_ends_the_start() {
    for (words, first, second) in [
        (&["bla", "foo"][..], "Unknown command 'bla'", "unknown command 'bla', with args"),
        (&["cluster"], "Malformed command 'cluster'", "wrong number of arguments for 'cluster' command"),
        (&["cluster", "slots-x"], "Unknown command 'cluster'", "unknown subcommand 'slots-x'"),
        (&["SET", "a"], "Malformed command 'SET'", "wrong number of arguments for 'set' command"),
        (&["GET", "a", "b"], "Malformed command 'GET'", "wrong number of arguments for 'get' command"),
    ] {
        let volume = Volume::new("unknown");
        let directory = volume.path.join("appendonlydir");
        fs::create_dir_all(&directory).expect("made");
        fs::write(directory.join("appendonly.aof.1.base.aof"), request(words)).expect("written");
        let manifest = "file appendonly.aof.1.base.aof seq 1 type b\n";
        fs::write(directory.join("appendonly.aof.manifest"), manifest).expect("written");
        let dir = volume.path.to_str().expect("a name");
        let mut server = Server::start_until("Server initialized", &["--dir", dir, "--appendonly", "yes"]);
        assert_eq!(server.wait().code(), Some(1), "{words:?}");
        let line = server.wait_for_log(&[&format!("{first} reading the append only file")]);
        assert!(line.contains(second), "{line}");
    }
}

#[test]
fn a_log_that_is_loaded_again_goes_on_behind_its_last_whole_command() {
    let volume = Volume::new("loaded-again");
    let server = volume.server(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("SET a 1"), "+OK");
    let increment = volume.path.join("appendonlydir/appendonly.aof.1.incr.aof");
    eventually("the write is in the file", || {
        fs::read(&increment).is_ok_and(|bytes| bytes.ends_with(b"1\r\n"))
    });
    let mut file = fs::OpenOptions::new().append(true).open(&increment).expect("the increment");
    file.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n*3\r\n$3\r\nSE").expect("written");
    assert_eq!(c.ask("DEBUG LOADAOF"), "+OK");
    assert_eq!(c.ask("EXISTS a b"), ":2");
    let base = volume.file("appendonly.aof.1.base.rdb").len();
    let whole = base + fs::read(&increment).expect("the increment").len();
    eventually("INFO has the file's length", || info(&mut c, "aof_current_size") == whole.to_string());
    assert_eq!(c.ask("SET c 3"), "+OK");
    assert_eq!(c.ask("DEBUG LOADAOF"), "+OK");
    assert_eq!(c.ask("EXISTS a b c"), ":3");
}
