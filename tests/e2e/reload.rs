//! SIGHUP: the configuration file and the file of users are read again.

use std::net::TcpListener;

use crate::harness::{Directory, Server, eventually};

const DONE: &str = "The configuration has been reloaded";
const REFUSED: &str = "The configuration is not reloaded, nothing has changed";

/// Has the server reload; the lines of its log since, of which the last contains `ending`.
fn reload(server: &Server, ending: &str) -> Vec<String> {
    let seen = server.log_lines().len();
    server.signal("HUP");
    let mut lines = Vec::new();
    eventually(ending, || {
        lines = server.log_lines().split_off(seen);
        lines.iter().any(|line| line.contains(ending))
    });
    lines
}

#[test]
fn what_differs_in_the_file_takes_effect() {
    let directory = Directory::new("reload");
    let start = "maxmemory 100mb\nsave 60 1\nrequirepass old\ninclude more.conf\n";
    let file = directory.file("redis.conf", &format!("dir {}\n{start}", directory.0.display()));
    directory.file("more.conf", "databases 5\n");
    let server = Server::start_with_file(&file);
    let mut c = server.client();
    assert_eq!(c.ask("AUTH old"), "+OK");
    assert_eq!(c.ask("CONFIG SET timeout 77 maxmemory 5mb"), "+OK");
    directory.file("more.conf", "databases 6\nhash-max-listpack-entries 9\nrename-command GET FETCH\n");
    let changed = "maxmemory 200mb\nmaxclients 50\nrequirepass new\nsyslog-ident x\nloglevel verbose\ninclude more.conf\n";
    directory.file("redis.conf", &format!("dir {}\n{changed}", directory.0.display()));
    let lines = reload(&server, DONE).join("\n");
    for expected in [
        "'maxmemory' has changed from \"5242880\" to \"209715200\"",
        "'timeout' has changed from \"77\" to \"0\"",
        "'requirepass' has changed\n",
        "'hash-max-listpack-entries' has changed from",
        "'databases' has changed from \"5\" to \"6\" and needs a restart",
        "'rename-command' lines have changed, which needs a restart",
    ] {
        assert!(lines.contains(expected), "{expected:?} is not in {lines}");
    }
    // The options of the command line still come last, and a connection stays logged in.
    assert!(!lines.contains("'save'") && !lines.contains("'port'") && !lines.contains("'dir'"), "{lines}");
    assert_eq!(
        c.ask("CONFIG GET maxmemory timeout databases"),
        "[$databases, $5, $maxmemory, $209715200, $timeout, $0]"
    );
    assert_eq!(
        server.client().ask("AUTH old"),
        "-WRONGPASS invalid username-password pair or user is disabled."
    );
    assert_eq!(server.client().ask("AUTH new"), "+OK");
    assert!(reload(&server, DONE).iter().all(|line| !line.contains("has changed from \"5242880\"")));
}

#[test]
fn a_file_with_an_error_changes_nothing() {
    let directory = Directory::new("reload-refused");
    let file = directory.file("redis.conf", "maxmemory 100mb\n");
    let server = Server::start_with_file(&file);
    let mut c = server.client();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().map(|address| (address.port(), taken)).expect("a port");
    let port = format!("maxmemory 1mb\nmetrics-port {}\n", taken.0);
    for (text, reason) in [
        ("maxmemory 1mb\nnonsense 5\n", "line 2: Bad directive or wrong number of arguments"),
        ("maxmemory 1mb\nuser bob on nonsense\n", "Error in user declaration 'bob'"),
        ("maxmemory 1mb\ndir /nowhere-at-all\n", "Can't chdir to '/nowhere-at-all'"),
        ("maxmemory 1mb\ninclude missing.conf\n", "can't open config file 'missing.conf'"),
        (&port, "Unable to listen on this port"),
        ("maxmemory 1mb\ntls-port 1\n", "Unable to update TLS configuration"),
    ] {
        directory.file("redis.conf", text);
        let lines = reload(&server, REFUSED).join("\n");
        assert!(lines.contains(reason), "{reason:?} is not in {lines}");
        assert_eq!(c.ask("CONFIG GET maxmemory"), "[$maxmemory, $104857600]");
        assert_eq!(c.ask("CONFIG GET metrics-port"), "[$metrics-port, $0]");
    }
    std::fs::remove_file(directory.0.join("redis.conf")).expect("removed");
    assert!(reload(&server, REFUSED).join("\n").contains("can't open config file"));
}

#[test]
fn users_are_read_again() {
    let directory = Directory::new("reload-users");
    let users =
        directory.file("users.acl", "user default on nopass ~* &* +@all\nuser eve on nopass +@all ~*\n");
    let file = directory.file("redis.conf", &format!("aclfile {users}\nmaxmemory 100mb\n"));
    let server = Server::start_with_file(&file);
    let (mut c, mut eve) = (server.client(), server.client());
    assert_eq!(eve.ask("AUTH eve any"), "+OK");
    // An error in either file and neither counts.
    directory.file("users.acl", "user default on nopass ~* &* +@all\nuser bob on nonsense\n");
    directory.file("redis.conf", &format!("aclfile {users}\nmaxmemory 200mb\n"));
    assert!(reload(&server, REFUSED).join("\n").contains("Syntax error"));
    assert_eq!(c.ask("CONFIG GET maxmemory"), "[$maxmemory, $104857600]");
    assert_eq!((eve.ask("PING"), c.ask("ACL USERS")), ("+PONG".into(), "[$default, $eve]".into()));
    directory.file("users.acl", "user default on nopass ~* &* +@all\nuser bob on nopass +@all\n");
    assert!(reload(&server, DONE).join("\n").contains("Users have been read again: there are 2"));
    assert_eq!((c.ask("ACL USERS"), eve.is_closed()), ("[$bob, $default]".into(), true));
    directory.file("redis.conf", &format!("aclfile {users}\nuser carol on nopass\n"));
    assert!(reload(&server, REFUSED).join("\n").contains("not in both"));
    let lines = "maxmemory 100mb\n";
    drop(server);
    // Lines of the configuration file: users that they no longer name go, and others only where there are such lines.
    let file = directory.file("redis.conf", lines);
    let server = Server::start_with_file(&file);
    let mut c = server.client();
    assert_eq!(c.ask("ACL SETUSER own on nopass +@all"), "+OK");
    reload(&server, DONE);
    assert_eq!(c.ask("ACL USERS"), "[$default, $own]");
    directory.file("redis.conf", &format!("{lines}user carol on nopass +ping role=r\nrole r +get ~a*\n"));
    assert!(reload(&server, DONE).join("\n").contains("there are 2"));
    assert_eq!(c.ask("ACL USERS"), "[$carol, $default]");
    directory.file("redis.conf", lines);
    reload(&server, DONE);
    assert_eq!((c.ask("ACL USERS"), c.ask("ACL ROLES")), ("[$default]".into(), "[]".into()));
}

#[test]
fn the_role_stays_and_limits_count() {
    let directory = Directory::new("reload-role");
    let file = directory.file("redis.conf", "");
    let server = Server::start_with_file(&file);
    let mut c = server.client();
    assert_eq!(c.ask("REPLICAOF 127.0.0.1 1"), "+OK");
    let lines = reload(&server, DONE).join("\n");
    assert!(lines.contains("'replicaof' is another in the file: the role stays"), "{lines}");
    assert!(c.ask("ROLE").starts_with("[$slave"));
    // Where the limit of open files allows fewer clients than the file asks for, that is no error.
    directory.file("redis.conf", "maxclients 4000000000\n");
    let lines = reload(&server, DONE).join("\n");
    assert!(lines.contains("maxclients has been reduced from 4000000000"), "{lines}");
}

#[test]
fn without_a_file_only_the_log_tells() {
    let server = Server::start(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("CONFIG SET timeout 77"), "+OK");
    let lines = reload(&server, "there is no configuration file");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(c.ask("CONFIG GET timeout"), "[$timeout, $77]");
}
