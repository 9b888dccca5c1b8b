//! Files of the server as a process: what a stop, a refused stop and a dropped snapshot leave.

use std::path::PathBuf;

use super::harness::{Client, Server, eventually, request};

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("redloop-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    fn server(&self, options: &[&str]) -> Server {
        let dir = self.0.to_str().expect("a name");
        Server::start(&[&["--dir", dir, "--enable-debug-command", "yes"], options].concat())
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn has_ended(server: &Server) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:\tZ"))
}

/// Keys enough for the writer to be busy for a while.
fn populate(client: &mut Client) {
    assert_eq!(client.ask("DEBUG POPULATE 100000 key 500"), "+OK");
}

#[test]
fn a_stop_leaves_no_half_snapshot() {
    for stop in ["SHUTDOWN NOSAVE", "SIGTERM"] {
        let directory = Directory::new("stop");
        let server = directory.server(&[]);
        let mut client = server.client();
        populate(&mut client);
        assert_eq!(client.ask("BGSAVE"), "+Background saving started");
        eventually("the writer is at it", || !directory.names().is_empty());
        if stop == "SIGTERM" {
            server.signal("TERM");
        } else {
            client.send(stop);
        }
        eventually("it ends", || has_ended(&server));
        assert_eq!(directory.names(), [""; 0], "{stop}");
    }
}

#[test]
fn a_stop_that_is_refused_keeps_the_log() {
    let directory = Directory::new("refused");
    let options = ["--appendonly", "yes", "--appendfsync", "always", "--stop-writes-on-bgsave-error", "no"];
    let server = directory.server(&options);
    let mut client = server.client();
    std::fs::create_dir(directory.0.join("dump.rdb")).expect("in the way of the file");
    let refused = "-ERR Errors trying to SHUTDOWN. Check logs.";
    assert_eq!(client.ask("SHUTDOWN SAVE"), refused);
    assert_eq!(client.ask("SET after refusal"), "+OK");
    drop(server);
    let server = directory.server(&options);
    eventually("the write is there", || server.client().ask("GET after") == "$refusal");
}

#[test]
fn a_stop_that_is_refused_keeps_the_first_rewrite() {
    let directory = Directory::new("first-rewrite");
    let server = directory.server(&[]);
    let mut client = server.client();
    populate(&mut client);
    let both = [request(&["CONFIG", "SET", "appendonly", "yes"]), request(&["SHUTDOWN"])].concat();
    client.raw(&both);
    let refused = "-ERR Errors trying to SHUTDOWN. Check logs.";
    assert_eq!(client.read_many(2), ["+OK", refused]);
    assert!(client.ask("INFO persistence").contains("aof_rewrite_in_progress:1"));
}

#[test]
fn a_rewrite_is_scheduled_also_while_the_log_is_off() {
    let directory = Directory::new("scheduled");
    let server = directory.server(&[]);
    let mut client = server.client();
    for words in ["MULTI", "BGREWRITEAOF"] {
        client.ask(words);
    }
    assert_eq!(client.ask("EXEC"), "[+Background append only file rewriting scheduled]");
    let base = directory.0.join("appendonlydir/appendonly.aof.1.base.rdb");
    eventually("the base is written", || base.exists());
    assert_eq!(directory.names(), ["appendonlydir"]);
}
