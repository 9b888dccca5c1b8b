//! Tests of FAILOVER, and of what a primary with too few replicas refuses.

use crate::base::ids::ClientId;
use crate::commands::testing::TestServer;
use crate::engine::ServerAction;
use crate::engine::clients::session::state;
use crate::engine::links::{LinkAction, LinkEvent};

/// A server with a replica at host 10.0.0.1, port 7000, that has everything so far.
fn with_replica() -> (TestServer, ClientId) {
    let mut server = TestServer::new();
    let replica = attach(&mut server, 7000);
    (server, replica)
}

fn attach(server: &mut TestServer, port: u16) -> ClientId {
    let replica = server.connect();
    let line = format!("REPLCONF listening-port {port} ip-address 10.0.0.1 capa psync2");
    assert_eq!(server.run_as(replica, &line), "+OK");
    server.engine.tick();
    let offset = server.engine.backlog().end() + 1;
    let replid = server.engine.replication.identity.replid.clone();
    if server.engine.backlog().retained().is_none() {
        // The first one makes the history.
        server.run_as(replica, "PSYNC ? -1");
        server.engine.tick();
        server.engine.disconnect(replica);
        server.engine.cancel_snapshot();
        return attach(server, port);
    }
    let reply = server.run_as(replica, &format!("PSYNC {replid} {offset}"));
    assert_eq!(reply, format!("+CONTINUE {replid}"));
    replica
}

fn acknowledge(server: &mut TestServer, replica: ClientId) {
    let end = server.engine.backlog().end();
    assert_eq!(server.run_as(replica, &format!("REPLCONF ACK {end}")), "");
}

fn state(server: &mut TestServer) -> String {
    let info = server.run("INFO replication");
    let at = info.find("master_failover_state:").expect("the field");
    let rest = &info[at + "master_failover_state:".len()..];
    rest[..rest.find("\\r").expect("its end")].into()
}

/// Does the periodic work, `ms` later.
fn tick(server: &mut TestServer, ms: u64) {
    server.advance(ms);
    server.engine.tick();
}

#[test]
fn arguments() {
    let (mut server, replica) = with_replica();
    server.script(
        "FAILOVER ABORT => -ERR No failover in progress.
         FAILOVER WHAT => -ERR syntax error
         FAILOVER TIMEOUT => -ERR syntax error
         FAILOVER TIMEOUT 0 => -ERR FAILOVER timeout must be greater than 0
         FAILOVER TIMEOUT x => -ERR value is not an integer or out of range
         FAILOVER TO host => -ERR syntax error
         FAILOVER TO host x => -ERR value is not an integer or out of range
         FAILOVER ABORT TIMEOUT 1 => -ERR syntax error
         FAILOVER TO 10.0.0.1 7000 FORCE => -ERR FAILOVER with force option requires both a timeout and target HOST and IP.
         FAILOVER FORCE TIMEOUT 1 => -ERR FAILOVER with force option requires both a timeout and target HOST and IP.
         FAILOVER TO 10.0.0.1 7001 => -ERR FAILOVER target HOST and PORT is not a replica.
         PSYNC x 1 FAILOVER => -ERR PSYNC FAILOVER can't be sent to a master.
         FAILOVER
         FAILOVER => -ERR FAILOVER already in progress.
         REPLICAOF NO ONE => -ERR REPLICAOF not allowed while failing over.
         REPLICAOF host 1 => -ERR REPLICAOF not allowed while failing over.
         PSYNC ? -1 => -NOMASTERLINK Can't SYNC while failing over
         FAILOVER ABORT",
    );
    server.engine.disconnect(replica);
    assert_eq!(state(&mut server), "no-failover");
}

#[test]
fn writes_wait_until_it_is_over_or_aborted() {
    let (mut server, replica) = with_replica();
    server.script("SET a 1\nFAILOVER TIMEOUT 500");
    assert_eq!(state(&mut server), "waiting-for-sync");
    let writer = server.connect();
    assert_eq!(server.run_as(writer, "SET a 2"), "");
    assert!(server.engine.clients.sessions.live(writer).is(state::POSTPONED));
    server.script("GET a => \"1\"");
    assert!(
        server.run("INFO clients").contains("paused_reason:failover_in_progress\\r\\npaused_actions:write")
    );
    // The end of another pause is not the end of this one.
    server.script("CLIENT PAUSE 100 WRITE\nCLIENT UNPAUSE");
    assert_eq!(server.run_as(writer, "SET a 2"), "");
    tick(&mut server, 499);
    assert_eq!(state(&mut server), "waiting-for-sync");
    tick(&mut server, 101);
    assert_eq!(state(&mut server), "no-failover");
    assert_eq!(server.run_as(writer, "SET a 2"), "+OK");
    // The other way round.
    server.script("FAILOVER\nCLIENT PAUSE 1000 WRITE\nFAILOVER ABORT");
    assert_eq!(server.run_as(writer, "SET a 3"), "");
    tick(&mut server, 1001);
    assert_eq!(server.run_as(writer, "SET a 3"), "+OK");
    assert!(!server.engine.replication.is_replica());
    server.engine.disconnect(replica);
}

/// Goes through the handshake up to PSYNC; returns that request.
fn handshake(server: &mut TestServer) -> (crate::base::ids::LinkId, String) {
    let mut link = None;
    let mut sent = Vec::new();
    for _ in 0..20 {
        while let Some(action) = server.engine.next_action() {
            match action {
                ServerAction::Link(opened, LinkAction::Open(target)) => {
                    assert_eq!((target.host.as_str(), target.port), ("10.0.0.1", 7000));
                    link = Some(opened);
                    let peer = crate::engine::clients::session::Peer::Internal;
                    let event = LinkEvent::Connected { conn_index: 9, fd: 9, peer };
                    server.engine.link_event(opened, event);
                }
                ServerAction::Link(_, LinkAction::Send(bytes)) => sent = bytes,
                _ => {}
            }
        }
        let text = String::from_utf8_lossy(&sent).into_owned();
        if let Some(link) = link {
            if text.contains("PSYNC") {
                return (
                    link,
                    text.split("\r\n")
                        .filter(|word| !word.starts_with(['*', '$']))
                        .collect::<Vec<_>>()
                        .join(" "),
                );
            }
            let reply = if text.contains("PING") { "+PONG\r\n" } else { "+OK\r\n" };
            server.engine.link_event(link, LinkEvent::Received(reply.as_bytes()));
        }
        tick(server, 100);
    }
    panic!("no PSYNC");
}

#[test]
fn the_replica_takes_over() {
    let (mut server, replica) = with_replica();
    server.script("SET a 1\nFAILOVER TO 10.0.0.1 7000");
    tick(&mut server, 100);
    assert_eq!(state(&mut server), "waiting-for-sync");
    acknowledge(&mut server, replica);
    tick(&mut server, 100);
    assert_eq!(state(&mut server), "failover-in-progress");
    assert!(server.engine.replication.is_replica());
    let replid = server.engine.replication.identity.replid.clone();
    let (link, psync) = handshake(&mut server);
    let offset = server.engine.backlog().end() + 1;
    assert_eq!(psync.trim(), format!("PSYNC {replid} {offset} FAILOVER"));
    let reply = format!("+CONTINUE {}\r\n", "b".repeat(40));
    server.engine.link_event(link, LinkEvent::Received(reply.as_bytes()));
    assert_eq!(state(&mut server), "no-failover");
    server.script("SET a 2 => -READONLY You can't write against a read only replica.");
}

/// The number of times that clients which were held back were told to try again.
fn resumptions(server: &mut TestServer) -> usize {
    let actions = std::iter::from_fn(|| server.engine.next_action());
    actions.filter(|action| matches!(action, ServerAction::ResumeAll)).count()
}

#[test]
fn what_another_pause_holds_back_is_not_refused_when_it_ends() {
    let (mut server, replica) = with_replica();
    server.script("CLIENT PAUSE 10000 WRITE\nFAILOVER TO 10.0.0.1 7000");
    acknowledge(&mut server, replica);
    let writer = server.connect();
    assert_eq!(server.run_as(writer, "SET a 2"), "");
    tick(&mut server, 100);
    let (link, _) = handshake(&mut server);
    let reply = format!("+CONTINUE {}\r\n", "b".repeat(40));
    server.engine.link_event(link, LinkEvent::Received(reply.as_bytes()));
    assert_eq!(state(&mut server), "no-failover");
    // Sentinel disconnects the client before it ends the pause: it gets no READONLY.
    assert_eq!(resumptions(&mut server), 0);
    server.script("CLIENT UNPAUSE");
    assert_eq!(resumptions(&mut server), 1);
}

#[test]
fn a_replica_that_refuses_leaves_the_roles_as_they_were() {
    let (mut server, replica) = with_replica();
    acknowledge(&mut server, replica);
    server.script("FAILOVER");
    tick(&mut server, 100);
    let (link, _) = handshake(&mut server);
    server
        .engine
        .link_event(link, LinkEvent::Received(b"-ERR PSYNC FAILOVER replid must match my replid.\r\n"));
    assert_eq!(state(&mut server), "no-failover");
    assert!(!server.engine.replication.is_replica());
    server.script("SET a 2");
}

#[test]
fn a_forced_one_is_aborted_by_hand() {
    let (mut server, _) = with_replica();
    server.script("SET a 1\nFAILOVER TO 10.0.0.1 7000 FORCE TIMEOUT 100");
    tick(&mut server, 200);
    assert_eq!(state(&mut server), "failover-in-progress");
    assert!(server.engine.replication.is_replica());
    server.script("FAILOVER ABORT\nSET a 2");
    assert!(!server.engine.replication.is_replica());
}

#[test]
fn a_primary_with_too_few_replicas_refuses_writes() {
    let (mut server, replica) = with_replica();
    let error = "-NOREPLICAS Not enough good replicas to write.";
    server.script("CONFIG SET min-replicas-to-write 2 min-replicas-max-lag 5");
    server.script(&format!("SET a 1 => {error}\nGET a => nil"));
    let reply = server.run("EVAL \"return redis.call('SET', 'a', 1)\" 0");
    assert!(reply.starts_with(error), "{reply}");
    let reply = server.run("EVAL \"#!lua\nreturn 1\" 0");
    assert!(reply.starts_with(error), "{reply}");
    server.script("EVAL \"return redis.call('GET', 'a')\" 0 => nil\nMULTI");
    assert_eq!(server.run("SET a 1"), error);
    assert!(server.run("EXEC").starts_with("-EXECABORT"));
    let second = attach(&mut server, 7001);
    acknowledge(&mut server, second);
    acknowledge(&mut server, replica);
    server.script("SET a 1");
    assert!(server.run("INFO replication").contains("min_slaves_good_slaves:2"));
    server.advance(4000);
    acknowledge(&mut server, second);
    server.advance(2000);
    assert_eq!(server.run("SET a 2"), error);
    acknowledge(&mut server, replica);
    server.script("SET a 2");
}
