//! Tests of DEL, EXISTS, RENAME, MOVE, COPY and RANDOMKEY.

use crate::commands::support::testing::TestServer;

#[test]
fn presence() {
    let mut server = TestServer::new();
    server.script(
        r#"
        MSET a 1 b 2 c 3
        EXISTS a b none a => :3
        TOUCH a none => :1
        TYPE a => +string
        TYPE none => +none
        DEL a none a => :1
        UNLINK b c => :2
        RANDOMKEY => nil
        SET a 1
        RANDOMKEY => "a"
        "#,
    );
}

#[test]
fn renaming() {
    let mut server = TestServer::new();
    let long = "x".repeat(5000);
    server.notify("KEA");
    server.propagate();
    server.script(&format!(
        r#"
        RENAME a b => -ERR no such key
        RENAME a a => -ERR no such key
        SET a {long} EX 100
        RENAME a a
        RENAMENX a a => :0
        RENAME a b
        GET b => "{long}"
        TTL b => :100
        SET c 1
        RENAMENX b c => :0
        RENAME b c
        TTL c => :100
        RENAMENX c d => :1
        DBSIZE => :1
        "#
    ));
    assert_eq!(
        server.events(),
        "set a; expire a; rename_from a; rename_to b; set c; rename_from b; rename_to c; rename_from c; rename_to d"
    );
    server.propagated();
    server.run("RENAME d e");
    assert_eq!(server.propagated(), "RENAME d e");
}

#[test]
fn moving() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        MOVE a 1 => :0
        SET a 1 EX 100
        MOVE a 0 => -ERR source and destination objects are the same
        MOVE a 16 => -ERR DB index is out of range
        MOVE a -1 => -ERR DB index is out of range
        MOVE a x => -ERR value is not an integer or out of range
        MOVE a 2147483648 => -ERR value is out of range, value must between -2147483648 and 2147483647
        MOVE a 1 => :1
        EXISTS a => :0
        SET a 2
        MOVE a 1 => :0
        "#,
    );
    assert_eq!(server.events(), "set a; expire a; move_from a; 1:move_to a; set a");
    server.engine.clients.sessions.live_mut(server.client).db = 1;
    server.script("GET a => \"1\"\n TTL a => :100");
}

#[test]
fn copying() {
    let mut server = TestServer::new();
    server.notify("KEA");
    server.propagate();
    server.script(
        r#"
        COPY a b => :0
        SET a 1 EX 100
        COPY a a => -ERR source and destination objects are the same
        COPY a a DB 0 => -ERR source and destination objects are the same
        COPY a b => :1
        TTL b => :100
        SET b 2
        COPY a b => :0
        COPY a b REPLACE => :1
        GET b => "1"
        COPY a a DB 1 => :1
        COPY a b DB 16 => -ERR DB index is out of range
        COPY a b DB => -ERR syntax error
        COPY a b FOO => -ERR syntax error
        "#,
    );
    assert_eq!(server.events(), "set a; expire a; copy_to b; set b; copy_to b; 1:copy_to a");
}

#[test]
fn a_copied_vector_set_is_propagated_as_restore() {
    let mut server = TestServer::new();
    server.script("VADD a VALUES 1 1 x => :1\nEXPIREAT a 4000000000 => :1");
    server.propagate();
    server.script("COPY a b => :1\nCOPY a b => :0\nCOPY a b DB 1 => :1\nSET c 1");
    let propagated = server.propagated();
    let requests: Vec<&str> = propagated.split("; ").collect();
    assert_eq!(requests.len(), 5, "{propagated}");
    for request in [requests[0], requests[2]] {
        assert!(request.starts_with("RESTORE b 4000000000000 "), "{request}");
        assert!(request.ends_with(" REPLACE ABSTTL"), "{request}");
    }
    assert_eq!([requests[1], requests[3], requests[4]], ["SELECT 1", "SELECT 0", "SET c 1"]);
}

#[test]
fn expired_keys_do_not_exist() {
    let mut server = TestServer::new();
    server.script("SET a 1 PX 10\n SET b 2");
    server.advance(11);
    server.script(
        r#"
        RENAMENX b a => :1
        SET c 3 PX 10
        "#,
    );
    server.advance(11);
    server.script("COPY a c => :1\n TTL c => :-1\n DEL c none => :1\n RENAME c d => -ERR no such key");
}

#[test]
fn randomkey_may_return_an_expired_key_that_may_not_be_deleted() {
    let mut server = TestServer::new();
    server.script("SET key value PX 3\nCLIENT PAUSE 10000 WRITE");
    server.advance(5);
    server.script("RANDOMKEY => \"key\"\nCLIENT UNPAUSE\nRANDOMKEY => nil");
}
