//! Users over real sockets: their file, their lines in the configuration file, logins, what MONITOR and the log show.

use std::path::Path;
use std::process::Command;

use crate::harness::{Directory, Server};

fn read(path: &str) -> String {
    std::fs::read_to_string(path).expect("a file")
}

/// What the server says when it refuses to start.
fn refusal(dir: &Directory, file: Option<&str>, options: &[&str]) -> String {
    let socket = dir.0.join("socket");
    let output = Command::new(env!("CARGO_BIN_EXE_redloop"))
        .args(file)
        .args(["--port", "0", "--unixsocket", &socket.to_string_lossy(), "--save", ""])
        .args(options)
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_file_of_users() {
    let dir = Directory::new("acl-file");
    let path = dir.file("users.acl", "user bob on >secret ~a* resetchannels +@all\n\n");
    let server = Server::start(&["--aclfile", &path]);
    let mut admin = server.client();
    let mut bob = server.client();
    assert_eq!(bob.ask("AUTH bob secret"), "+OK");
    assert_eq!(bob.ask("SET abc 1"), "+OK");
    assert_eq!(bob.ask("SET b 1"), "-NOPERM No permissions to access a key");
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let line = format!("user bob on sanitize-payload #{hash} ~a* resetchannels +@all");
    assert!(admin.ask("ACL LIST").contains(&line));

    std::fs::write(&path, "user bob on ~b\nuser eve on +nosuch\n").expect("written");
    let error = admin.ask("ACL LOAD");
    let expected = format!(
        "-ERR {path}:2: Error in applying operation '+nosuch': Unknown command or category name in ACL. WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
    );
    assert_eq!(error, expected);
    assert_eq!(bob.ask("GET abc"), "$1", "a file with an error changes nothing");

    assert_eq!(admin.ask("ACL SETUSER eve on nopass +ping"), "+OK");
    assert_eq!(admin.ask("ACL SAVE"), "+OK");
    let text = read(&path);
    let eve = "user eve on nopass sanitize-payload resetchannels -@all +ping\n";
    assert_eq!(text, format!("{line}\nuser default on nopass sanitize-payload ~* &* +@all\n{eve}"));
    let left: Vec<_> = std::fs::read_dir(&dir.0).expect("a directory").collect();
    assert_eq!(left.len(), 1, "no temporary file is left");

    std::fs::write(&path, "user eve on nopass +@all ~*\n").expect("written");
    assert_eq!(admin.ask("ACL LOAD"), "+OK");
    assert!(bob.is_closed(), "its user is gone");
    assert_eq!(admin.ask("ACL USERS"), "[$default, $eve]");
    // A client whose own user goes still gets the reply.
    let mut eve = server.client();
    assert_eq!(eve.ask("AUTH eve x"), "+OK");
    std::fs::write(&path, "").expect("written");
    assert_eq!(eve.ask("ACL LOAD"), "+OK");
    assert!(eve.is_closed());
    assert_eq!(admin.ask("PING"), "+PONG");
}

#[test]
fn a_file_of_users_named_without_a_directory_is_written_anew() {
    let dir = Directory::new("acl-bare");
    let path = dir.file("users.acl", "user default on nopass ~* &* +@all\n");
    let folder = dir.0.to_string_lossy().into_owned();
    let server = Server::start(&["--dir", &folder, "--aclfile", "users.acl"]);
    let mut admin = server.client();
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(admin.ask("ACL SAVE"), "+OK");
    assert_eq!(read(&path), "user default on nopass sanitize-payload ~* &* +@all\n");
}

#[test]
fn a_file_of_users_that_is_wrong_ends_the_start() {
    let dir = Directory::new("acl-wrong");
    let path = dir.file("users.acl", "user bob on\nuser bob off\n");
    assert!(
        refusal(&dir, None, &["--aclfile", &path])
            .contains("WARNING: Duplicate user 'bob' found on line 2. WARNING")
    );
    let missing = format!("{}/nosuch", dir.0.display());
    let error = refusal(&dir, None, &["--aclfile", &missing]);
    assert!(error.contains(&format!("opening file '{missing}': No such file or directory")), "{error}");
    assert!(refusal(&dir, None, &["--aclfile", &path, "--user", "eve on"]).contains("not in both"));
    for (line, reason) in [
        ("bob on (+get", "Error in user declaration 'bob': Wrong format"),
        ("bob nonsense", "Error in user declaration 'bob': Syntax error"),
        ("bob on\nuser bob off", "Duplicate user found"),
        ("bob on +nosuch", "Error loading ACL rule '+nosuch' for the user named 'bob': Unknown command"),
    ] {
        let file = dir.file("redis.conf", &format!("user {line}\n"));
        let error = refusal(&dir, Some(&file), &[]);
        assert!(error.contains(reason), "{line}: {error}");
    }
}

#[test]
fn users_of_the_configuration_file() {
    let dir = Directory::new("acl-lines");
    let path = dir.file("redis.conf", "user bob on nopass ~* +get\nrequirepass first\n");
    let server = Server::start_with_file(&path);
    let mut admin = server.client();
    assert_eq!(admin.ask("AUTH first"), "+OK");
    assert_eq!(admin.ask("ACL SETUSER bob +set (+ping &x)"), "+OK");
    assert_eq!(admin.ask("CONFIG REWRITE"), "+OK");
    let text = read(&path);
    let bob = "user bob on nopass sanitize-payload ~* resetchannels -@all +get +set (resetchannels &x -@all +ping)\n";
    assert!(
        text.contains(bob) && text.contains("requirepass \"first\"\n") && text.contains("user default on "),
        "{text}"
    );
    assert!(!text.contains("user bob on nopass ~* +get\n"), "{text}");
    drop(server);
    let server = Server::start_with_file(&path);
    let mut admin = server.client();
    assert_eq!(admin.ask("AUTH default first"), "+OK");
    assert!(admin.ask("ACL LIST").contains(bob.trim()));
    assert_eq!(admin.ask("ACL LOAD").split(' ').next(), Some("-ERR"));
}

#[test]
fn a_file_without_users_gets_none() {
    let dir = Directory::new("acl-none");
    let path = dir.file("redis.conf", "requirepass first\n");
    let server = Server::start_with_file(&path);
    let mut admin = server.client();
    assert_eq!(admin.ask("AUTH first"), "+OK");
    assert_eq!(admin.ask("CONFIG REWRITE"), "+OK");
    assert!(!read(&path).contains("user "), "{}", read(&path));
}

#[test]
fn passwords_are_shown_to_nobody() {
    let server = Server::start(&["--slowlog-log-slower-than", "0"]);
    let mut monitor = server.client();
    let mut c = server.client();
    assert_eq!(monitor.ask("MONITOR"), "+OK");
    assert_eq!(c.ask("ACL SETUSER bob on >secret +@all ~*"), "+OK");
    assert_eq!(c.ask("AUTH bob secret"), "+OK");
    assert!(c.ask("HELLO 2 AUTH bob secret").contains("$proto"));
    assert!(c.ask("AUTH bob secreT").starts_with("-WRONGPASS"));
    assert!(
        c.ask("ACL SETUSER bob >secret nonsense")
            .starts_with("-ERR Error in ACL SETUSER modifier 'nonsense'")
    );
    assert_eq!(c.ask("PING"), "+PONG");
    let mut lines = String::new();
    while !lines.contains("\"PING\"") {
        lines += &monitor.read();
    }
    let slow = c.ask("SLOWLOG GET -1");
    for text in [lines, slow, c.ask("ACL LOG"), c.ask("CLIENT LIST")] {
        assert!(!text.to_lowercase().contains("secret"), "{text}");
    }
    assert!(c.ask("CLIENT INFO").contains(" user=bob "));
    assert_eq!(c.ask("CLIENT KILL USER nobody"), "-ERR No such user 'nobody'");
    let mut admin = server.client();
    assert_eq!(admin.ask("CLIENT KILL USER bob"), ":1");
    assert!(c.is_closed());
}

#[test]
fn the_end_of_a_right_to_a_channel_ends_the_client() {
    let server = Server::start(&["--acl-pubsub-default", "allchannels"]);
    let mut admin = server.client();
    assert_eq!(admin.ask("ACL SETUSER bob on nopass +@all"), "+OK");
    let mut bob = server.client();
    assert_eq!(bob.ask("AUTH bob x"), "+OK");
    assert_eq!(bob.ask("PSUBSCRIBE a*"), ">[$psubscribe, $a*, :1]".replace('>', ""));
    assert_eq!(admin.ask("ACL SETUSER bob resetchannels &ab"), "+OK");
    assert!(bob.is_closed());
    assert!(Path::new("/proc").join(server.id().to_string()).exists());
}
