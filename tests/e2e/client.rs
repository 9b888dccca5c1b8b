//! CLIENT and its subcommands, over sockets.

use crate::harness::{Client, Server, eventually, field};

fn lines(list: &str) -> Vec<String> {
    list.trim_start_matches('$').lines().map(String::from).collect()
}

#[test]
fn names_and_info() {
    let server = Server::start(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("CLIENT ID"), ":1");
    assert_eq!(c.ask("CLIENT GETNAME"), "nil");
    assert_eq!(
        c.ask_words(&["CLIENT", "SETNAME", "a b"]),
        "-ERR Client names cannot contain spaces, newlines or special characters."
    );
    assert_eq!(c.ask("CLIENT SETNAME walter"), "+OK");
    assert_eq!(c.ask("CLIENT SETINFO LIB-NAME lib"), "+OK");
    assert_eq!(c.ask("CLIENT SETINFO lib-ver 1.2"), "+OK");
    assert_eq!(c.ask("CLIENT SETINFO color red"), "-ERR Unrecognized option 'color'");
    assert_eq!(
        c.ask_words(&["CLIENT", "SETINFO", "lib-ver", "1 2"]),
        "-ERR lib-ver cannot contain spaces, newlines or special characters."
    );
    let info = c.ask("CLIENT INFO");
    for (name, value) in [
        ("id", "1"),
        ("name", "walter"),
        ("flags", "N"),
        ("db", "0"),
        ("multi", "-1"),
        ("watch", "0"),
        ("qbuf", "26"),
        ("argv-mem", "10"),
        ("omem", "0"),
        ("events", "r"),
        ("cmd", "client|info"),
        ("user", "default"),
        ("redir", "-1"),
        ("resp", "2"),
        ("lib-name", "lib"),
        ("lib-ver", "1.2"),
        ("tot-cmds", "8"),
    ] {
        assert_eq!(field(&info, name), value, "{name}");
    }
    assert_eq!(field(&info, "laddr"), format!("127.0.0.1:{}", server.port));
    assert_eq!(c.ask("CLIENT SETNAME"), "-ERR wrong number of arguments for 'client|setname' command");
    assert_eq!(c.ask("CLIENT FOO"), "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.");
    assert!(
        c.ask("CLIENT HELP").starts_with("[+CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
    );
}

#[test]
fn lists_and_filters() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let mut d = server.client();
    let mut e = server.client();
    assert_eq!(d.ask("CLIENT SETNAME dora"), "+OK");
    assert_eq!(d.ask("SELECT 3"), "+OK");
    assert!(e.ask("SUBSCRIBE ch").starts_with("[$subscribe"));
    assert_eq!(c.ask("CLIENT CAPA redirect"), "+OK");
    let count = |c: &mut Client, filter: &str| lines(&c.ask(&format!("CLIENT LIST {filter}"))).len();
    for (filter, expected) in [
        ("", 3),
        ("TYPE normal", 2),
        ("TYPE pubsub", 1),
        ("NOT-TYPE pubsub", 2),
        ("ID 1 2", 2),
        ("ID 1 ID 3 TYPE pubsub", 1),
        ("NOT-ID 1", 2),
        ("NAME dora", 1),
        ("NOT-NAME dora", 2),
        ("DB 3", 1),
        ("NOT-DB 3", 2),
        ("FLAGS P", 1),
        ("FLAGS O FLAGS N", 2),
        ("NOT-FLAGS P", 2),
        ("CAPA r", 1),
        ("NOT-CAPA r", 2),
        ("IP 127.0.0.1", 3),
        ("NOT-IP 127.0.0.1", 0),
        ("SKIPME yes", 2),
        ("USER default", 3),
        ("NOT-USER default", 0),
        ("MAXAGE 1000", 0),
        ("IDLE 1000", 0),
        ("ADDR 1.2.3.4:5", 0),
        ("TYPE normal NOT-NAME dora SKIPME yes", 0),
    ] {
        assert_eq!(count(&mut c, filter), expected, "{filter}");
    }
    for (filter, error) in [
        ("TYPE foo", "-ERR Unknown client type 'foo'"),
        ("USER foo", "-ERR No such user 'foo'"),
        ("FLAGS Q", "-ERR Unknown flags found in the provided filter: Q"),
        ("NOT-FLAGS Q", "-ERR Unknown flags found in the NOT-FLAGS filter: Q"),
        ("CAPA x", "-ERR Unknown capa found in the provided filter: x"),
        ("ID x", "-ERR Invalid client ID"),
        ("ID 1 x", "-ERR syntax error"),
        ("DB 16", "-ERR DB number should be between 0 and 15"),
        ("NOT-DB x", "-ERR NOT-DB is not an integer or out of range"),
        ("MAXAGE 0", "-ERR maxage should be greater than 0"),
        ("MAXAGE x", "-ERR maxage is not an integer or out of range"),
        ("NOT-MAXAGE 1", "-ERR syntax error"),
        ("TYPE", "-ERR syntax error"),
        ("SKIPME maybe", "-ERR syntax error"),
    ] {
        assert_eq!(c.ask(&format!("CLIENT LIST {filter}")), error, "{filter}");
    }
}

#[test]
fn last_command() {
    let server = Server::start(&[]);
    let (mut c, mut d) = (server.client(), server.client());
    let mut after = |request: &str| {
        d.ask(request);
        let list = c.ask("CLIENT LIST ID 2");
        list.split("cmd=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_string()
    };
    // Those that are queued or refused count, too.
    for (request, expected) in
        [("PING", "ping"), ("GET", "get"), ("NONSENSE", "NULL"), ("MULTI", "multi"), ("INCR n", "incr")]
    {
        assert_eq!(after(request), expected, "{request}");
    }
}

#[test]
fn kill() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let mut d = server.client();
    assert_eq!(d.ask("CLIENT SETNAME d"), "+OK");
    assert_eq!(c.ask("CLIENT KILL 1.2.3.4:5"), "-ERR No such client");
    assert_eq!(c.ask("CLIENT KILL ID str"), "-ERR client-id should be greater than 0");
    assert_eq!(c.ask("CLIENT KILL ID 77"), ":0");
    // A killed client is not listed any more, not even in the same pipeline.
    c.raw(b"CLIENT KILL NAME d\r\nCLIENT LIST\r\n");
    assert_eq!(c.read(), ":1");
    assert_eq!(lines(&c.read()).len(), 1);
    assert!(d.is_closed());
    assert_eq!(c.ask("CLIENT KILL TYPE normal"), ":0");
    // Oneself goes after the reply.
    assert_eq!(c.ask("CLIENT KILL SKIPME no TYPE normal"), ":1");
    assert!(c.is_closed());
    let mut c = server.client();
    let address = c.field("addr");
    assert_eq!(c.ask(&format!("CLIENT KILL {address}")), "+OK");
    assert!(c.is_closed());
    // In a transaction the rest of it still runs.
    let mut c = server.client();
    c.raw(b"MULTI\r\nCLIENT KILL SKIPME no ID 4\r\nSET k v\r\nEXEC\r\nPING\r\n");
    assert_eq!(c.read_many(4), ["+OK", "+QUEUED", "+QUEUED", "[:1, +OK]"]);
    assert!(c.is_closed());
}

#[test]
fn reply_modes() {
    let server = Server::start(&[]);
    let mut c = server.client();
    c.raw(b"CLIENT REPLY OFF\r\nPING a\r\nnonsense\r\nCLIENT REPLY ON\r\nPING b\r\n");
    assert_eq!(c.read_many(2), ["+OK", "$b"]);
    c.raw(b"CLIENT REPLY SKIP\r\nPING a\r\nPING b\r\n");
    assert_eq!(c.read(), "$b");
    c.raw(b"CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nPING c\r\n");
    assert_eq!(c.read_many(2), ["+OK", "$c"]);
    assert_eq!(c.ask("CLIENT REPLY maybe"), "-ERR syntax error");
    // Messages are no replies.
    c.raw(b"HELLO 3\r\nCLIENT REPLY OFF\r\nSUBSCRIBE ch\r\nPUBLISH ch hi\r\nPING\r\n");
    c.read();
    assert_eq!(c.read(), ">[$subscribe, $ch, :1]");
    assert_eq!(c.read(), ">[$message, $ch, $hi]");
    assert_eq!(c.ask("RESET"), "+RESET");
    // And they come where the reply would have been.
    c.raw(b"CLIENT REPLY OFF\r\nSUBSCRIBE ch\r\nUNSUBSCRIBE ch\r\nCLIENT REPLY ON\r\n");
    assert_eq!(c.read_many(3), ["[$subscribe, $ch, :1]", "[$unsubscribe, $ch, :0]", "+OK"]);
    c.raw(b"CLIENT REPLY SKIP\r\nRESET\r\nPING d\r\n");
    assert_eq!(c.read(), "$d");
}

#[test]
fn pause() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let mut d = server.client();
    assert_eq!(c.ask("CLIENT PAUSE abc"), "-ERR timeout is not an integer or out of range");
    assert_eq!(c.ask("CLIENT PAUSE -1"), "-ERR timeout is negative");
    assert_eq!(c.ask("CLIENT PAUSE 9223372036854775807"), "-ERR timeout is out of range");
    assert_eq!(c.ask("CLIENT PAUSE 1 soft"), "-ERR CLIENT PAUSE mode must be WRITE or ALL");
    d.raw(b"MULTI\r\nSET k 1\r\n");
    assert_eq!(d.read_many(2), ["+OK", "+QUEUED"]);
    assert_eq!(c.ask("CLIENT PAUSE 100000 WRITE"), "+OK");
    // Reads go on; a transaction with a write in it waits, and all behind it.
    d.raw(b"GET k\r\nEXEC\r\nGET k\r\n");
    assert_eq!(d.read(), "+QUEUED");
    eventually("the other one waits", || c.ask("CLIENT LIST FLAGS b").contains("cmd=exec"));
    assert_eq!(c.ask("CLIENT UNBLOCK 2"), ":0");
    assert_eq!(c.ask("GET k"), "nil");
    assert_eq!(c.ask("CLIENT UNPAUSE"), "+OK");
    assert_eq!(d.read_many(2), ["[+OK, $1]", "$1"]);
    // Its end comes by itself, and then everything runs.
    assert_eq!(c.ask("CLIENT PAUSE 50 ALL"), "+OK");
    assert_eq!(c.ask("CLIENT UNPAUSE"), "+OK");
    assert_eq!(d.ask("SET k 2"), "+OK");
    // A paused client that goes away is forgotten.
    assert_eq!(c.ask("CLIENT PAUSE 100000 WRITE"), "+OK");
    d.send("SET k 3");
    eventually("it waits", || c.ask("CLIENT LIST FLAGS b").contains("id=2"));
    drop(d);
    eventually("it is gone", || !c.ask("CLIENT LIST").contains("id=2 "));
    assert_eq!(c.ask("CLIENT UNPAUSE"), "+OK");
    assert_eq!(c.ask("GET k"), "$2");
}

#[test]
fn switches() {
    let server = Server::start(&[]);
    let mut c = server.client();
    assert_eq!(c.ask("CLIENT NO-EVICT on"), "+OK");
    assert_eq!(c.ask("CLIENT NO-TOUCH on"), "+OK");
    assert_eq!(c.field("flags"), "eT");
    assert_eq!(c.ask("CLIENT NO-EVICT wrong"), "-ERR syntax error");
    assert_eq!(c.ask("CLIENT IMPORT-SOURCE on"), "-ERR Server is not in import mode");
    assert_eq!(c.ask("CLIENT IMPORT-SOURCE off"), "+OK");
    assert_eq!(c.ask("RESET"), "+RESET");
    assert_eq!(c.field("flags"), "N");
}

#[test]
fn monitor() {
    let server = Server::start(&[]);
    let mut c = server.client();
    let mut m = server.client();
    assert_eq!(m.ask("MONITOR"), "+OK");
    assert_eq!(m.ask("GET k"), "-ERR Replica can't interact with the keyspace");
    c.raw(
        b"MULTI\r\nSET k \"a\\\"b\"\r\nEXEC\r\nAUTH me secret\r\nHELLO 2 AUTH me secret\r\nCLIENT LIST\r\n",
    );
    c.raw(b"MULTI\r\nnonsense\r\nEXEC\r\n");
    c.read_many(9);
    let tail = |line: String| line.split_once("] ").expect("a line of MONITOR").1.to_string();
    let seen: Vec<_> = m.read_many(7).into_iter().map(tail).collect();
    assert_eq!(
        seen,
        [
            "\"MULTI\"",
            "\"SET\" \"k\" \"a\\\"b\"",
            "\"EXEC\"",
            "\"AUTH\" \"(redacted)\" \"(redacted)\"",
            "\"HELLO\" \"2\" \"AUTH\" \"(redacted)\" \"(redacted)\"",
            "\"MULTI\"",
            "\"EXEC\"",
        ]
    );
    assert!(c.ask("CLIENT LIST FLAGS O").contains("id=2 "));
    assert_eq!(m.ask("RESET"), "+RESET");
    assert_eq!(c.ask("PING"), "+PONG");
    assert_eq!(m.ask("ECHO back"), "$back");
}

#[test]
fn killed_in_the_turn_that_serves_them() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let mut killer = server.client();
    for _ in 0..50 {
        let mut victims: Vec<_> = (0..20).map(|_| server.client()).collect();
        // A reply shows that the connection is accepted: one still in the backlog can't be killed.
        victims.iter_mut().for_each(|victim| assert_eq!(victim.ask("PING"), "+PONG"));
        // While this request is executed, the others arrive; all are due in the turn after it.
        killer.send("DEBUG SLEEP 0.002");
        killer.send("CLIENT KILL TYPE normal SKIPME yes");
        for victim in &mut victims {
            // It may be closed already.
            let _ = std::io::Write::write_all(&mut victim.stream, b"PING\r\nMULTI\r\nPING\r\nEXEC\r\n");
        }
        killer.read_many(2);
        victims.iter_mut().for_each(|victim| drop(victim.read_to_end()));
    }
    assert_eq!(killer.ask("PING"), "+PONG");
}
