//! Vector sets from the outside: long searches are done by threads, and the data outlives restarts in each form.

use super::harness::{Client, Directory, Server, eventually, info_field, request};

/// Dimensions at which few comparisons take long.
const MANY_DIMENSIONS: usize = 65_536;
/// Elements of which an exact search is estimated to take more than a millisecond then.
const ELEMENTS: usize = 70;

/// A vector as a blob, different for each number.
fn blob(number: usize, dim: usize) -> Vec<u8> {
    let component = |at: usize| ((at * 31 + number * 17) % 97) as f32 - 48.0;
    (0..dim).flat_map(|at| component(at).to_le_bytes()).collect()
}

fn add(client: &mut Client, key: &str, number: usize, dim: usize, options: &[&str]) {
    let name = format!("e{number}");
    let mut words: Vec<&[u8]> = vec![b"VADD", key.as_bytes(), b"FP32"];
    let vector = blob(number, dim);
    words.extend([&vector[..], name.as_bytes()]);
    words.extend(options.iter().map(|word| word.as_bytes()));
    client.raw(&request(&words));
}

fn fill(client: &mut Client) {
    for number in 0..ELEMENTS {
        add(client, "k", number, MANY_DIMENSIONS, &["NOQUANT", "EF", "1"]);
        assert_eq!(client.read(), ":1");
    }
}

/// Names of the process's threads.
fn threads(server: &Server) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.id())).expect("Linux");
    let name =
        |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.map(|task| name(task.expect("an entry")).trim().to_string()).collect()
}

#[test]
fn threads_do_long_searches() {
    const LONG: &str = "VSIM k ELE e1 TRUTH COUNT 3";
    let mut server = Server::start(&[]);
    let mut client = server.client();
    fill(&mut client);
    let expected = client.ask(&format!("{LONG} NOTHREAD"));
    assert!(expected.starts_with("[$e1, "), "{expected}");
    assert_eq!(client.ask("VADD few VALUES 2 1 2 a"), ":1");
    assert_eq!(client.ask("VSIM few ELE a"), "[$a]");
    assert!(!threads(&server).contains(&"vectors".into()));
    // A pipeline is answered in order, and what comes behind a search waits for it.
    client.send(LONG);
    client.send("PING");
    client.send("VSIM k ELE none TRUTH");
    let mut other = server.client();
    assert_eq!(other.ask("PING"), "+PONG");
    assert_eq!(client.read(), expected);
    assert_eq!(client.read_many(2), ["+PONG", "-ERR element not found in set"]);
    assert!(threads(&server).contains(&"vectors".into()));

    // Each search is of the set that it began with, whatever becomes of that.
    let mut many: Vec<Client> = (0..8).map(|_| server.client()).collect();
    many.iter_mut().for_each(|client| client.send(LONG));
    drop(many.pop());
    assert_eq!(other.ask("VCARD k"), format!(":{ELEMENTS}"));
    for client in &mut many {
        let reply = client.read();
        assert_eq!(reply, expected);
    }

    // A check-and-set addition, while the key goes and comes.
    add(&mut client, "k", ELEMENTS, MANY_DIMENSIONS, &["NOQUANT", "EF", "1000", "CAS"]);
    assert_eq!(client.read(), ":1");
    assert_eq!(other.ask("VCARD k"), format!(":{}", ELEMENTS + 1));

    // The server ends although a search is under way.
    client.send(LONG);
    assert_eq!(other.ask("PING"), "+PONG");
    other.send("SHUTDOWN NOSAVE");
    assert!(server.wait().success());
}

/// Everything that a set says, by its digest and its links.
fn digest(client: &mut Client) -> String {
    let links: Vec<String> = (0..40).map(|number| client.ask(&format!("VLINKS small e{number}"))).collect();
    let dim = client.ask("VDIM reduced");
    format!("{} {dim} {links:?}", client.ask("DEBUG DIGEST"))
}

#[test]
fn sets_outlive_restarts() {
    let place = Directory::new("vector-sets");
    let dir = place.0.to_str().expect("UTF-8").to_string();
    let options = ["--dir", &dir, "--enable-debug-command", "yes"];
    let mut before = None;
    for log in ["no", "yes", "rewritten", "rewritten as commands"] {
        let preamble = if log == "rewritten as commands" { "no" } else { "yes" };
        let appendonly = if log == "no" { "no" } else { "yes" };
        let log_options = ["--appendonly", appendonly, "--aof-use-rdb-preamble", preamble];
        let mut server = Server::start(&[&options[..], &log_options].concat());
        let mut client = server.client();
        if let Some(before) = before.take().filter(|_| log != "yes") {
            assert!(digest(&mut client) == before, "{log}");
        } else {
            client.ask("FLUSHALL");
            for number in 0..60 {
                add(&mut client, "small", number, 20, &["SETATTR", "{}"]);
                client.read();
            }
            for number in 40..60 {
                client.ask(&format!("VREM small e{number}"));
            }
            assert_eq!(client.ask("VADD reduced REDUCE 2 VALUES 3 1 2 3 a"), ":1");
            assert_eq!(client.ask("PEXPIREAT reduced 9000000000000"), ":1");
        }
        before = Some(digest(&mut client));
        match log {
            "no" => assert_eq!(client.ask("SAVE"), "+OK"),
            "yes" => {}
            _ => {
                client.ask("BGREWRITEAOF");
                eventually("the rewrite ends", || info_field(&mut client, "aof_rewrite_in_progress") == "0");
                assert_eq!(info_field(&mut client, "aof_last_bgrewrite_status"), "ok");
                assert!(digest(&mut client) == *before.as_ref().expect("a digest"));
            }
        }
        if log == "yes" {
            // The graph that the log's commands make has other links.
            client.ask("BGREWRITEAOF");
            eventually("the rewrite ends", || info_field(&mut client, "aof_rewrite_in_progress") == "0");
        }
        if log == "no" {
            assert_eq!(client.ask("DEBUG RELOAD"), "+OK");
            assert!(digest(&mut client) == *before.as_ref().expect("a digest"), "DEBUG RELOAD");
        }
        client.send("SHUTDOWN");
        assert!(server.wait().success());
    }
    let server = Server::start(&[&options[..], &["--appendonly", "yes"]].concat());
    assert!(digest(&mut server.client()) == before.expect("a digest"), "of commands");
}

#[test]
fn a_snapshot_is_of_one_moment() {
    let place = Directory::new("vector-snapshot");
    let dir = place.0.to_str().expect("UTF-8").to_string();
    let server = Server::start(&["--dir", &dir, "--enable-debug-command", "yes"]);
    let mut client = server.client();
    for number in 0..40 {
        add(&mut client, "small", number, 20, &[]);
        client.read();
    }
    let before = client.ask("DEBUG DIGEST");
    client.send("BGSAVE");
    client.send("DEL small");
    client.send("VADD other VALUES 1 1 a");
    assert_eq!(client.read_many(3), ["+Background saving started", ":1", ":1"]);
    eventually("the snapshot ends", || info_field(&mut client, "rdb_bgsave_in_progress") == "0");
    assert_eq!(client.ask("DEBUG RELOAD NOSAVE"), "+OK");
    assert_eq!(client.ask("DEBUG DIGEST"), before);
}
