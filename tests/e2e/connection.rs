//! AUTH, HELLO, PING, ECHO, SELECT, QUIT, RESET.

use crate::harness::Server;

#[test]
fn small_talk() {
    let server = Server::start(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("PING"), "+PONG");
    assert_eq!(c.ask("PING hello"), "$hello");
    assert_eq!(c.ask("PING a b"), "-ERR wrong number of arguments for 'ping' command");
    assert_eq!(c.ask("ECHO x"), "$x");
    assert_eq!(c.ask("SELECT 16"), "-ERR DB index is out of range");
    assert_eq!(c.ask("SELECT x"), "-ERR value is not an integer or out of range");
    assert_eq!(c.ask("SELECT 9"), "+OK");
    assert_eq!(c.field("db"), "9");
    c.raw(b"PING\r\nping inline\r\n");
    assert_eq!(c.read_many(2), ["+PONG", "$inline"]);
    c.raw(b"QUIT\r\nPING\r\n");
    assert_eq!(c.read(), "+OK");
    assert!(c.is_closed());
}

#[test]
fn passwords() {
    let server = Server::start(&["--requirepass", "secret"]);
    let mut c = server.client();
    let denied = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(c.ask("PING"), "-NOAUTH Authentication required.");
    assert_eq!(c.ask("AUTH wrong"), denied);
    assert_eq!(c.ask("AUTH default wrong"), denied);
    assert_eq!(c.ask("AUTH nobody secret"), denied);
    assert_eq!(c.ask("AUTH a b c"), "-ERR syntax error");
    assert!(c.ask("HELLO 3").starts_with("-NOAUTH HELLO must be called with the client already"));
    assert_eq!(c.ask("HELLO 3 AUTH default wrong"), denied);
    assert!(c.ask("HELLO 3 AUTH default secret").contains("$proto: :3"));
    assert_eq!(c.ask("PING"), "+PONG");
    let mut c = server.client();
    assert_eq!(c.ask("AUTH secret"), "+OK");
    assert_eq!(c.ask("RESET"), "+RESET");
    assert_eq!(c.ask("PING"), "-NOAUTH Authentication required.");
    // Behind AUTH in one piece, more is allowed at once.
    let long = format!("AUTH secret\r\n*2\r\n$4\r\nECHO\r\n$20000\r\n{}\r\n", "x".repeat(20_000));
    c.raw(long.as_bytes());
    assert_eq!(c.read(), "+OK");
    assert_eq!(c.read().len(), 20_001);

    let open = Server::start(&[]);
    let mut c = open.client();
    assert_eq!(
        c.ask("AUTH x"),
        "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
    );
    assert_eq!(c.ask("AUTH default anything"), "+OK");
}

#[test]
fn hello() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let greeting = c.ask("HELLO");
    assert!(greeting.starts_with("[$server, $redis, $version, $8.6"), "{greeting}");
    assert!(greeting.contains(
        "$proto, :2, $id, :1, $mode, $standalone, $role, $master, $modules, [[$name, $vectorset, "
    ));
    assert_eq!(c.ask("HELLO 4"), "-NOPROTO unsupported protocol version");
    assert_eq!(c.ask("HELLO x"), "-ERR Protocol version is not an integer or out of range");
    assert_eq!(c.ask("HELLO 2 FOO"), "-ERR Syntax error in HELLO option 'FOO'");
    assert_eq!(c.ask("HELLO 3 SETNAME"), "-ERR Syntax error in HELLO option 'SETNAME'");
    assert!(c.ask("HELLO 3 SETNAME me").starts_with("{$server: $redis"));
    assert_eq!(c.ask("CLIENT GETNAME"), "$me");
    assert_eq!(c.ask("GET nothing"), "nil");
    assert_eq!(c.ask("RESET"), "+RESET");
    assert_eq!(c.ask("CLIENT GETNAME"), "nil");
    assert_eq!(c.field("resp"), "2");
}
