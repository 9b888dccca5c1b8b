//! A system clock that is set back: what lasts some time, or is due after some, does so by the time that goes by.

use crate::commands::support::testing::TestServer;

const HOUR_MS: i64 = 3_600_000;

fn set_back(server: &mut TestServer) {
    server.engine.clock.set(-HOUR_MS * 1000);
    server.engine.start_turn();
    server.engine.tick();
}

#[test]
fn clients_wait_as_long_as_they_were_to() {
    let mut server = TestServer::new();
    let client = server.connect();
    assert_eq!(server.run_as(client, "BLPOP list 2"), "(blocked)");
    server.run("CLIENT PAUSE 1000 WRITE");
    set_back(&mut server);
    assert!(server.engine.sleep_ms() <= 100, "the periodic work goes on");
    server.advance(1100);
    server.engine.tick();
    assert!(server.engine.clients.pause.is_none(), "the pause is over");
    assert!(server.engine.clients.sessions.live(client).waiting.is_some());
    server.advance(1000);
    server.engine.tick();
    assert_eq!(server.posted(client), "nil-array");
    assert!(server.run("CLIENT LIST").contains("idle=0"));
}

#[test]
fn keys_expire_by_the_clock_as_it_is_now() {
    let mut server = TestServer::new();
    server.script("SET a 1 PX 1000");
    set_back(&mut server);
    server.advance(1100);
    assert_eq!(server.run("EXISTS a"), ":1");
    assert_eq!(server.run("PTTL a"), format!(":{}", HOUR_MS - 100));
    server.script("SET b 1 PX 1000");
    server.advance(1100);
    server.engine.tick();
    assert_eq!(server.run("DBSIZE"), ":1", "the active expiry goes on");
}

#[test]
fn a_silent_replica_is_noticed() {
    let mut server = TestServer::new();
    let replica = server.connect();
    server.run("CONFIG SET repl-timeout 5");
    server.run_as(replica, "PSYNC ? -1");
    server.engine.tick();
    let lag = |server: &TestServer| {
        let replicas = &server.engine.replication.replicas;
        replicas.get(replica).map(|replica| server.engine.steady_now() - replica.ack_ms)
    };
    set_back(&mut server);
    assert_eq!(lag(&server), Some(0));
    server.advance(3000);
    assert_eq!(lag(&server), Some(3000));
}
