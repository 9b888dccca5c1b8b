//! Replies side by side: requests to one of our sentinels and to one of Redis, with the same configuration, get the same answers.

use std::path::Path;

use crate::kind::Kind;
use crate::node::Node;
use crate::support::reply::{Client, Reply};

/// Requests whose replies are the same, one after another. The monitored primary can't be reached.
const REQUESTS: &[&str] = &[
    "SENTINEL MASTERS",
    "SENTINEL MASTER mymaster",
    "SENTINEL SLAVES mymaster",
    "SENTINEL SENTINELS mymaster",
    "SENTINEL FAILOVER mymaster",
    "SENTINEL CKQUORUM mymaster",
    "SENTINEL CKQUORUM nosuch",
    "SENTINEL GET-MASTER-ADDR-BY-NAME mymaster",
    "SENTINEL GET-MASTER-ADDR-BY-NAME nosuch",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0 *",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 x 0 *",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 x *",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR host.example 1 0 *",
    "SENTINEL PENDING-SCRIPTS",
    "SENTINEL CONFIG GET *",
    "SENTINEL CONFIG GET announce*",
    "SENTINEL CONFIG GET nosuch",
    "SENTINEL CONFIG GET",
    "SENTINEL CONFIG",
    "SENTINEL CONFIG SET",
    "SENTINEL CONFIG SET x",
    "SENTINEL CONFIG SET x y",
    "SENTINEL CONFIG SET announce-port x",
    "SENTINEL CONFIG SET announce-port 70000",
    "SENTINEL CONFIG SET loglevel foo",
    "SENTINEL CONFIG SET resolve-hostnames maybe",
    "SENTINEL CONFIG SET resolve-hostnames yes resolve-hostnames no",
    "SENTINEL CONFIG SET resolve-hostnames yes announce-hostnames",
    "SENTINEL CONFIG SET resolve-hostnames no",
    "SENTINEL CONFIG FOO bar",
    "SENTINEL DEBUG",
    "SENTINEL DEBUG nosuch 1",
    "SENTINEL DEBUG info-period",
    "SENTINEL DEBUG info-period x",
    "SENTINEL DEBUG info-period 0",
    "SENTINEL DEBUG info-period 10000",
    "SENTINEL DEBUG info-period 10000 ping-period",
    "SENTINEL SET nosuch quorum 1",
    "SENTINEL SET mymaster quorum",
    "SENTINEL SET mymaster quorum 0",
    "SENTINEL SET mymaster quorum 1 x",
    "SENTINEL SET mymaster quorum 2",
    "SENTINEL SET mymaster parallel-syncs 0",
    "SENTINEL SET mymaster parallel-syncs 2 foo bar",
    "SENTINEL SET mymaster failover-timeout 0",
    "SENTINEL SET mymaster down-after-milliseconds abc",
    "SENTINEL SET mymaster notification-script /bin/ls",
    "SENTINEL SET mymaster client-reconfig-script /nosuch",
    "SENTINEL SET mymaster rename-command PING",
    "SENTINEL SET mymaster rename-command PING PONG",
    "SENTINEL SET mymaster rename-command PING PING",
    "SENTINEL SET mymaster master-reboot-down-after-period -1",
    "SENTINEL SET mymaster master-reboot-down-after-period 5",
    "SENTINEL SET mymaster master-reboot-down-after-period 0",
    "SENTINEL SET mymaster auth-pass x auth-user y",
    "SENTINEL SIMULATE-FAILURE help",
    "SENTINEL SIMULATE-FAILURE nosuch",
    "SENTINEL SIMULATE-FAILURE",
    "SENTINEL FAILOVER",
    "SENTINEL FAILOVER nosuch",
    "SENTINEL FLUSHCONFIG",
    "SENTINEL FLUSHCONFIG x",
    "SENTINEL RESET nosuch",
    "SENTINEL REMOVE nosuch",
    "SENTINEL MONITOR mymaster 127.0.0.1 1 2",
    "SENTINEL MONITOR x 127.0.0.1 99999 2",
    "SENTINEL MONITOR x 127.0.0.1 0 2",
    "SENTINEL MONITOR x 127.0.0.1 -1 2",
    "SENTINEL MONITOR x host.example 1 2",
    "SENTINEL MONITOR x 127.0.0.1 1 0",
    "SENTINEL MONITOR x 127.0.0.1 1",
    "SENTINEL MONITOR y 127.0.0.1 2 1",
    "SENTINEL REMOVE x",
    "SENTINEL REMOVE y",
    "SENTINEL INFO-CACHE nosuch",
    "SENTINEL INFO-CACHE",
    "SENTINEL NOSUCH",
    "SENTINEL",
    "ROLE",
    "PING",
    "PING hello",
    "GET x",
    "SUBSCRIBE",
    "PUBLISH x y",
    "PUBLISH __sentinel__:hello foo",
    "CONFIG GET port",
    "SLOWLOG GET",
    "CLIENT GETNAME",
    "CLIENT NO-TOUCH on",
    "CLIENT FOO",
    "COMMAND COUNT",
    "AUTH x",
    "ACL WHOAMI",
    "INFO nosuch",
    "SELECT 1",
    "ECHO x",
    "DEBUG SLEEP 0",
];

/// Fields that are times, ids or counts of what waits.
const MEASURED: &[&str] = &[
    "runid",
    "link-pending-commands",
    "last-ping-sent",
    "last-ok-ping-reply",
    "last-ping-reply",
    "info-refresh",
    "role-reported-time",
    "s-down-time",
];

/// What is among the flags of an instance whose link is down, but while a sentinel tries anew: once a second, for as long as it takes to
/// be refused.
const DISCONNECTED: &[u8] = b",disconnected";

/// A reply without what is measured in it.
fn masked(reply: Reply) -> Reply {
    let Reply::Array(elements) = reply else { return reply };
    let mut masked_elements: Vec<Reply> = Vec::new();
    for element in elements {
        let name = masked_elements.last().and_then(Reply::bytes);
        let is_measured = name.is_some_and(|name| MEASURED.iter().any(|field| field.as_bytes() == name));
        let is_flags = name == Some(b"flags");
        masked_elements.push(match element {
            _ if is_measured => Reply::Null("measured"),
            Reply::Bulk(flags) if is_flags => {
                Reply::Bulk(flags.strip_suffix(DISCONNECTED).unwrap_or(&flags).to_vec())
            }
            element => masked(element),
        });
    }
    Reply::Array(masked_elements)
}

fn start(kind: Kind, folder: &Path) -> Node {
    Node::start(&kind.program().expect("a program"), folder, |port, file| {
        // On a busy machine the requests may take longer than the default of 30 s.
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 1 2\n\
             sentinel down-after-milliseconds mymaster 600000\n"
        );
        std::fs::write(file, text).expect("a file");
        vec!["file.conf".into(), "--sentinel".into()]
    })
}

#[test]
fn replies_are_those_of_redis() {
    if Kind::Redis.program().is_none() {
        println!("SKIPPED: there is no server of the kind Redis");
        return;
    }
    let folder = std::env::temp_dir().join(format!("redloop-sentinel-replies-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let nodes = [Kind::Ours, Kind::Redis].map(|kind| start(kind, &folder));
    let mut clients = nodes.each_ref().map(|node| Client::connect(node.port));
    let mut differences = Vec::new();
    for request in REQUESTS {
        let [ours, theirs] = clients.each_mut().map(|client| masked(client.ask(request).expect("a reply")));
        if ours != theirs {
            differences.push(format!("{request}\nours   {ours}\ntheirs {theirs}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    drop(nodes);
    let _ = std::fs::remove_dir_all(&folder);
}
