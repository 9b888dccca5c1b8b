//! Servers that replicate each other: synchronizations of all kinds, cut links, promotions, and primaries that send garbage.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::harness::{self, Client, Directory, Server, eventually, info_field as field};

/// Options of a primary whose snapshots begin at once, and whose digest can be asked for.
const PRIMARY: &[&str] = &["--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"];

/// A replica in a directory of its own.
fn replica(directory: &Directory, options: &[&str]) -> Server {
    let dir = directory.0.to_string_lossy();
    Server::start(&[&["--dir", &dir, "--enable-debug-command", "yes"], options].concat())
}

/// Waits until a replica has executed everything that its primary has written, and compares their data.
fn converge(primary: &mut Client, replica: &mut Client) {
    eventually("the replica has everything", || {
        field(replica, "master_link_status") == "up"
            && field(primary, "master_repl_offset") == field(replica, "slave_repl_offset")
    });
    assert_eq!(primary.ask("DEBUG DIGEST"), replica.ask("DEBUG DIGEST"));
}

/// Writes of all types, in two databases.
fn write(primary: &mut Client, round: usize) {
    for db in [0, 3] {
        assert_eq!(primary.ask(&format!("SELECT {db}")), "+OK");
        for key in 0..30 {
            let number = round * 100 + key;
            for request in [
                format!("SET s{key} {}", "v".repeat(number)),
                format!("RPUSH l{key} {number} {}", "x".repeat(100)),
                format!("SADD set{key} {number} member"),
                format!("ZADD z{key} {number} m{number}"),
                format!("HSET h{key} f{number} {number}"),
                format!("XADD x{key} * f {number}"),
                format!("PFADD p{key} {number}"),
                format!("SPOP set{key}"),
                format!("INCRBYFLOAT n{key} 1.5"),
                format!("EXPIRE l{key} 1000"),
            ] {
                primary.send(&request);
            }
            primary.read_many(10);
        }
        assert_eq!(primary.ask("MULTI"), "+OK");
        primary.ask("INCR counter");
        primary.ask("LPUSH l0 first");
        primary.ask("EXEC");
    }
}

#[test]
fn replicas_converge_however_the_data_comes() {
    let files = Directory::new("primary-with-files");
    let server = Server::start(&[PRIMARY, &["--dir", &files.0.to_string_lossy()]].concat());
    let mut primary = server.client();
    write(&mut primary, 1);
    let port = server.port.to_string();
    for (load, diskless) in [
        ("disabled", "yes"),
        ("disabled", "no"),
        ("on-empty-db", "yes"),
        ("swapdb", "yes"),
        ("swapdb", "no"),
        ("flush-before-load", "yes"),
    ] {
        assert_eq!(primary.ask(&format!("CONFIG SET repl-diskless-sync {diskless}")), "+OK");
        let directory = Directory::new(&format!("replica-{load}-{diskless}"));
        let replica = replica(&directory, &["--repl-diskless-load", load, "--dbfilename", "replica.rdb"]);
        let mut client = replica.client();
        assert_eq!(client.ask("SET own 1"), "+OK");
        assert_eq!(client.ask(&format!("REPLICAOF 127.0.0.1 {port}")), "+OK");
        eventually("it is up", || field(&mut client, "master_link_status") == "up");
        write(&mut primary, 2);
        converge(&mut primary, &mut client);
        assert_eq!(client.ask("SET a 1"), "-READONLY You can't write against a read only replica.");
        let before = field(&mut primary, "sync_full");
        for round in 3..4 {
            assert_eq!(client.ask("CLIENT KILL TYPE master"), ":1");
            write(&mut primary, round);
            converge(&mut primary, &mut client);
        }
        assert_eq!(field(&mut primary, "sync_full"), before, "cut links go on where they were");
    }
}

#[test]
fn a_replica_with_a_log_and_a_replica_of_its_own() {
    let server = Server::start(PRIMARY);
    let mut primary = server.client();
    write(&mut primary, 1);
    let of = format!("127.0.0.1 {}", server.port);
    let directory = Directory::new("replica-with-log");
    let middle =
        replica(&directory, &["--appendonly", "yes", "--replicaof", &of, "--repl-diskless-sync-delay", "0"]);
    let mut logged = middle.client();
    eventually("it is up", || field(&mut logged, "master_link_status") == "up");
    let last_directory = Directory::new("replica-of-replica");
    let last = replica(&last_directory, &["--replicaof", &format!("127.0.0.1 {}", middle.port)]);
    let mut client = last.client();
    write(&mut primary, 2);
    converge(&mut primary, &mut client);
    // A log that begins in the middle of the stream, which has another database selected than a client at first.
    eventually("no rewrite is under way", || logged.ask("BGREWRITEAOF").starts_with('+'));
    eventually("it is written", || field(&mut logged, "aof_rewrite_in_progress") == "0");
    assert_eq!(primary.ask("SET behind rewrite"), "+OK");
    write(&mut primary, 3);
    converge(&mut primary, &mut logged);
    assert_eq!(logged.ask("DEBUG LOADAOF"), "+OK");
    converge(&mut primary, &mut logged);
    // The middle one takes over, and the former primary follows it: nothing is synchronized anew.
    assert_eq!(logged.ask("REPLICAOF NO ONE"), "+OK");
    assert_eq!(primary.ask(&format!("REPLICAOF 127.0.0.1 {}", middle.port)), "+OK");
    write(&mut logged, 4);
    converge(&mut logged, &mut primary);
    converge(&mut logged, &mut client);
    assert_eq!(field(&mut logged, "sync_full"), "1", "the one at its start");
}

#[test]
fn a_replica_goes_on_after_a_restart() {
    let server = Server::start(PRIMARY);
    let mut primary = server.client();
    write(&mut primary, 1);
    let of = format!("127.0.0.1 {}", server.port);
    let directory = Directory::new("replica-restarted");
    for round in 0..2 {
        let replica = replica(&directory, &["--replicaof", &of]);
        let mut client = replica.client();
        write(&mut primary, 2 + round);
        converge(&mut primary, &mut client);
        assert_eq!(client.ask("SAVE"), "+OK");
    }
    assert_eq!(
        (field(&mut primary, "sync_full"), field(&mut primary, "sync_partial_ok")),
        ("1".into(), "1".into())
    );
}

/// With a log, too, whatever its end; and what clients of the replica wrote is in it.
#[test]
fn a_replica_goes_on_from_its_log() {
    let server = Server::start(PRIMARY);
    let mut primary = server.client();
    write(&mut primary, 1);
    let of = format!("127.0.0.1 {}", server.port);
    let directory = Directory::new("replica-log-restarted");
    let start =
        || replica(&directory, &["--appendonly", "yes", "--replicaof", &of, "--replica-read-only", "no"]);
    // The one from before the synchronization is history.
    let path = directory.0.join("appendonlydir/appendonly.aof.2.incr.aof");
    let log = || String::from_utf8_lossy(&std::fs::read(&path).expect("a log")).into_owned();
    let mut replica = start();
    for round in 0..3 {
        let mut client = replica.client();
        eventually("it is up", || field(&mut client, "master_link_status") == "up");
        eventually("the log has a base", || path.exists());
        for request in ["SELECT 9", "DEL own", "SELECT 10", "DEL own"] {
            client.ask(request);
        }
        write(&mut primary, 2 + round);
        converge(&mut primary, &mut client);
        for request in ["SELECT 9", "SET own 1", "MULTI", "INCR own", "SELECT 10", "INCR own", "EXEC"] {
            assert!(!client.ask(request).starts_with('-'), "{request}");
        }
        let own = "*2\r\n$6\r\nSELECT\r\n$1\r\n9\r\n*3\r\n$3\r\nSET\r\n$3\r\nown\r\n$1\r\n1\r\n*1\r\n$5\r\nMULTI\r\n";
        eventually("it is written", || log().matches(own).count() == round + 1);
        assert_eq!(primary.ask("PUBLISH channel message"), ":0");
        if round == 0 {
            client.send("SHUTDOWN NOSAVE");
        } else {
            eventually("it is written", || log().ends_with("EXEC\r\n"));
            replica.signal("KILL");
        }
        replica.wait();
        if round == 2 {
            // In the middle of a command.
            std::fs::write(&path, &log()[..log().len() - 3]).expect("written");
        }
        write(&mut primary, 5);
        replica = start();
    }
    let mut client = replica.client();
    eventually("it is up", || field(&mut client, "master_link_status") == "up");
    // The transaction of the end was cut off.
    assert_eq!((client.ask("SELECT 9"), client.ask("INCR own")), ("+OK".into(), ":2".into()));
    for request in ["DEL own", "SELECT 10", "DEL own"] {
        client.ask(request);
    }
    converge(&mut primary, &mut client);
    assert_eq!(
        (field(&mut primary, "sync_full"), field(&mut primary, "sync_partial_ok")),
        ("1".into(), "3".into())
    );
}

/// A primary that answers the handshake and then sends these bytes.
fn garbage(listener: &TcpListener, bytes: &[u8]) {
    let (mut stream, _) = listener.accept().expect("the replica comes");
    let mut buffer = [0; 4096];
    for reply in ["+PONG\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n"] {
        let count = stream.read(&mut buffer).expect("a request");
        assert!(count > 0);
        stream.write_all(reply.as_bytes()).expect("sent");
    }
    let count = stream.read(&mut buffer).expect("PSYNC");
    assert!(buffer[..count].windows(5).any(|window| window == b"PSYNC"));
    // The replica may have closed it before all is sent.
    let _ = stream.write_all(bytes);
}

#[test]
fn what_is_no_data_set_leaves_the_old_one() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let head = format!("+FULLRESYNC {} 1\r\n", "a".repeat(40));
    let cases: &[(&str, &[u8])] = &[
        ("payload-length", b"$99999999999999999999\r\n"),
        ("no-rdb", b"$9\r\nREDISabcd"),
        ("cut", b"$1000\r\nREDIS0011"),
        ("behind", b"$20\r\nREDIS0011\xff\0\0\0\0\0\0\0\0xx"),
    ];
    for (name, bytes) in cases {
        let directory = Directory::new(&format!("replica-garbage-{name}"));
        let replica = replica(&directory, &["--repl-diskless-load", "swapdb"]);
        let mut client = replica.client();
        assert_eq!(client.ask("SET old 1"), "+OK");
        assert_eq!(client.ask(&format!("REPLICAOF 127.0.0.1 {port}")), "+OK");
        garbage(&listener, &[head.as_bytes(), bytes].concat());
        eventually(name, || {
            field(&mut client, "master_link_status") == "down"
                && client.ask("GET old") == "$1"
                && field(&mut client, "master_sync_in_progress") == "0"
        });
        assert_eq!(client.ask("REPLICAOF NO ONE"), "+OK");
        assert_eq!(client.ask("SET old 2"), "+OK");
    }
}

#[test]
fn a_primary_ends_while_a_snapshot_goes_to_a_replica() {
    let mut server = Server::start(&[PRIMARY, &["--rdb-key-save-delay", "1000000"]].concat());
    let mut primary = server.client();
    assert_eq!(primary.ask("DEBUG POPULATE 50"), "+OK");
    let directory = Directory::new("replica-of-ending-primary");
    let replica = replica(&directory, &["--replicaof", &format!("127.0.0.1 {}", server.port)]);
    let mut client = replica.client();
    eventually("it is being sent", || field(&mut client, "master_sync_in_progress") == "1");
    primary.send("SHUTDOWN NOSAVE");
    assert!(server.wait().success());
}

#[test]
fn a_file_that_no_replica_waits_for_any_more_is_dropped() {
    let server = Server::start(&[PRIMARY, &["--save", "", "--repl-diskless-sync", "no"]].concat());
    let mut primary = server.client();
    assert_eq!(primary.ask("DEBUG POPULATE 50"), "+OK");
    assert_eq!(primary.ask("CONFIG SET rdb-key-save-delay 1000000"), "+OK");
    let directories = [Directory::new("leaves-first"), Directory::new("leaves-last")];
    let of = format!("127.0.0.1 {}", server.port);
    let replicas = directories.each_ref().map(|directory| replica(directory, &["--replicaof", &of]));
    eventually("both wait", || {
        let text = primary.ask("INFO replication");
        text.matches("state=wait_bgsave").count() == 2 && field(&mut primary, "rdb_bgsave_in_progress") == "1"
    });
    assert_eq!(replicas[0].client().ask("REPLICAOF NO ONE"), "+OK");
    eventually("one has left", || field(&mut primary, "connected_slaves") == "1");
    // One that came when the file had been begun waits for another.
    eventually("the other one's is written", || field(&mut primary, "rdb_bgsave_in_progress") == "1");
    assert_eq!(replicas[1].client().ask("REPLICAOF NO ONE"), "+OK");
    eventually("it is dropped", || field(&mut primary, "rdb_bgsave_in_progress") == "0");
}

#[test]
fn what_expired_while_a_primary_was_down_is_told_to_its_replicas() {
    let files = Directory::new("primary-that-restarts");
    let dir = files.0.to_string_lossy().into_owned();
    let mut server = Server::start(&[PRIMARY, &["--dir", &dir, "--save", "3600 100000"]].concat());
    let mut primary = server.client();
    let directory = Directory::new("replica-of-restarted");
    let replica = replica(&directory, &["--replicaof", &format!("127.0.0.1 {}", server.port)]);
    let mut client = replica.client();
    eventually("it is up", || field(&mut client, "master_link_status") == "up");
    assert_eq!(primary.ask("DEBUG SET-ACTIVE-EXPIRE 0"), "+OK");
    for key in 0..100 {
        assert_eq!(primary.ask(&format!("SET short{key} 1 PX 1")), "+OK");
    }
    assert_eq!(primary.ask("SET long 1"), "+OK");
    converge(&mut primary, &mut client);
    let offset: u64 = field(&mut primary, "master_repl_offset").parse().expect("a number");
    primary.send("SHUTDOWN NOW SAVE");
    assert!(server.wait().success());
    let server = Server::start(&[PRIMARY, &["--dir", &dir]].concat());
    let mut primary = server.client();
    assert_eq!(field(&mut primary, "rdb_last_load_keys_expired"), "100");
    assert_eq!(client.ask(&format!("REPLICAOF 127.0.0.1 {}", server.port)), "+OK");
    converge(&mut primary, &mut client);
    assert_eq!((field(&mut primary, "sync_full").as_str(), client.ask("DBSIZE").as_str()), ("0", ":1"));
    let now: u64 = field(&mut primary, "master_repl_offset").parse().expect("a number");
    assert!(now >= offset + 100 * 20, "{now} after {offset}");
}

/// A replica that reads nothing from some moment on: what is kept for it is shown as its output.
#[test]
fn a_replica_that_lags_is_shown_with_what_it_lacks() {
    let server = Server::start(&[PRIMARY, &["--repl-backlog-size", "64kb"]].concat());
    let mut primary = server.client();
    let mut replica = TcpStream::connect(("127.0.0.1", server.port)).expect("connected");
    // From the sockets: no file is left behind.
    replica.write_all(b"REPLCONF capa eof\r\n").expect("sent");
    replica.read_exact(&mut [0; "+OK\r\n".len()]).expect("its reply");
    replica.write_all(b"PSYNC ? -1\r\n").expect("sent");
    eventually("it has its snapshot", || {
        let _ = replica.write_all(b"REPLCONF ACK 0\r\n");
        primary.ask("INFO replication").contains("state=online")
    });
    let mut shown = |name: &str| {
        let list = primary.ask("CLIENT LIST TYPE replica");
        harness::field(&list, name).parse::<usize>().unwrap_or_default()
    };
    eventually("nothing is kept for it", || shown("omem") == 0 && shown("oll") == 0);
    let mut writer = server.client();
    let value = vec![b'v'; 1_000_000];
    eventually("much is kept for it", || {
        assert_eq!(writer.ask_words(&[b"SET".as_slice(), b"k", &value]), "+OK");
        shown("omem") > 3_000_000
    });
    assert!(shown("oll") == 1 && shown("tot-mem") > 3_000_000);
    // A limit that it has passed: the line of the log says by how much.
    let limit = [b"CONFIG".as_slice(), b"SET", b"client-output-buffer-limit", b"replica 1mb 0 0"];
    assert_eq!(writer.ask_words(&limit), "+OK");
    let line = server.wait_for_log(&["overcoming of output buffer limits"]);
    assert!(harness::field(&line, "omem").parse::<usize>().expect("a number") > 3_000_000, "{line}");
}

#[test]
fn the_log_names_the_role_and_a_primary_is_no_user() {
    let server = Server::start(PRIMARY);
    let mut primary = server.client();
    let directory = Directory::new("replica-whose-log-is-read");
    let replica = replica(&directory, &["--replicaof", &format!("127.0.0.1 {}", server.port)]);
    let mut client = replica.client();
    converge(&mut primary, &mut client);
    // Its primary is no user's client.
    assert_eq!(harness::field(&client.ask("CLIENT LIST TYPE master"), "user"), "(superuser)");
    assert_eq!(client.ask("CLIENT LIST USER default").matches("flags=M").count(), 0);
    assert_eq!(client.ask("CLIENT KILL USER default"), ":0");
    assert_eq!(field(&mut client, "master_link_status"), "up");
    let letter = |line: &str| line.split_once(':').and_then(|(_, rest)| rest.chars().next());
    let synchronized = replica.wait_for_log(&["Finished with success"]);
    assert_eq!(letter(&synchronized), Some('S'), "{synchronized}");
    let made = server.wait_for_log(&["done reading from pipe"]);
    assert!(made.contains(", 1 replicas still up,") && letter(&made) == Some('M'), "{made}");
    assert_eq!(primary.ask("CLIENT KILL TYPE replica"), ":1");
    let lost = server.wait_for_log(&["Connection with replica"]);
    assert!(lost.contains(&format!(" 127.0.0.1:{} lost.", replica.port)), "{lost}");
    assert_eq!(client.ask("REPLICAOF NO ONE"), "+OK");
    assert_eq!(client.ask("BGSAVE"), "+Background saving started");
    let saved = replica.wait_for_log(&["Background saving started"]);
    assert_eq!(letter(&saved), Some('M'), "{saved}");
}

#[test]
fn files_of_synchronizations_go_where_nothing_is_saved() {
    let (files, directory) =
        (Directory::new("primary-without-files"), Directory::new("replica-without-files"));
    let removing = ["--save", "", "--rdb-del-sync-files", "yes", "--repl-diskless-sync", "no"];
    let dir = files.0.to_string_lossy();
    let server = Server::start(&[PRIMARY, &removing, &["--dir", &dir]].concat());
    let mut primary = server.client();
    write(&mut primary, 1);
    let of = format!("127.0.0.1 {}", server.port);
    let replica = replica(&directory, &[&removing[..], &["--replicaof", &of]].concat());
    converge(&mut primary, &mut replica.client());
    let file = |directory: &Directory| directory.0.join("dump.rdb");
    eventually("both are gone", || !file(&files).exists() && !file(&directory).exists());
    // Where there are save points the file is one of them.
    assert_eq!(primary.ask_words(&[b"CONFIG".as_slice(), b"SET", b"save", b"3600 100000"]), "+OK");
    let other = Directory::new("second-replica-without-files");
    let second = self::replica(&other, &["--replicaof", &of]);
    converge(&mut primary, &mut second.client());
    assert!(file(&files).exists());
}
