//! CLUSTER at one node: the replies and errors of this server are those of Redis or of Valkey.

use std::collections::BTreeMap;

use crate::cluster::start_node;
use crate::kind::Kind;
use crate::node::{Node, wait_for};
use crate::support::reply::{Reply, quoted};

/// Requests in order, `ME` being the node's id. `ready`: wait until all nodes serve requests.
const REQUESTS: &str = include_str!("commands.txt");

/// A reply as one line of text.
fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Array(elements) => {
            let mut parts: Vec<String> = elements.iter().map(shown).collect();
            // This server's stream has what its log has.
            let offset = elements.iter().position(|part| part.bytes() == Some(b"replication-offset"));
            if let Some(value) = offset.and_then(|at| parts.get_mut(at + 1)) {
                *value = "OFFSET".into();
            }
            format!("[{}]", parts.join(" "))
        }
        Reply::Bulk(bytes) => quoted(bytes),
        other => format!("{other:?}"),
    }
}

/// A reply without what differs from node to node.
fn comparable(node: &Node, own: &BTreeMap<String, &str>, request: &str) -> String {
    let me = own.iter().find(|(_, word)| **word == "ME").map(|(id, _)| id.as_str()).unwrap_or_default();
    let words: Vec<&str> = request.split(' ').map(|word| if word == "ME" { me } else { word }).collect();
    let mut reply = node.ask(&words.join(" ")).map(|reply| shown(&reply)).unwrap_or_default();
    for (text, word) in own {
        reply = reply.replace(text, word);
    }
    reply
}

#[test]
fn replies_at_one_node_are_those_of_redis_or_valkey() {
    let folder = std::env::temp_dir().join(format!("redloop-cluster-commands-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    let kinds = [Kind::Ours, Kind::Redis, Kind::Valkey].into_iter().filter(|kind| kind.program().is_some());
    let nodes: Vec<Node> = kinds.map(|kind| start_node(kind, &folder)).collect();
    if nodes.len() == 1 {
        println!("SKIPPED: there is neither Redis nor Valkey");
        return;
    }
    let own: Vec<BTreeMap<String, &str>> = nodes
        .iter()
        .map(|node| {
            let text = |request| node.text(request).expect("a reply");
            let nodes = text("CLUSTER NODES");
            let ports = nodes.split(' ').nth(1).and_then(|word| word.split_once(':')).expect("ports").1;
            let (port, bus) = ports.split_once('@').expect("ports");
            BTreeMap::from([
                (text("CLUSTER MYID"), "ME"),
                (text("CLUSTER MYSHARDID"), "SHARD"),
                (port.to_string(), "PORT"),
                (bus.to_string(), "BUS"),
            ])
        })
        .collect();
    let mut differences = Vec::new();
    for request in REQUESTS.lines().filter(|line| !line.is_empty()) {
        if request == "ready" {
            let serves =
                |node: &Node| node.text("CLUSTER INFO").is_some_and(|text| text.contains("cluster_state:ok"));
            wait_for("all nodes serve", || nodes.iter().all(serves));
            continue;
        }
        let replies: Vec<String> =
            nodes.iter().zip(&own).map(|(node, own)| comparable(node, own, request)).collect();
        if !replies[1..].contains(&replies[0]) {
            differences.push(format!("{request}: {replies:#?}"));
        }
    }
    drop(nodes);
    let _ = std::fs::remove_dir_all(&folder);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// SAVECONFIG says that the file can't be written; anything else that must be in it ends the process, unless the node may go on without.
#[test]
fn a_file_that_cannot_be_written_is_told_or_ends_the_node() {
    let folder = std::env::temp_dir().join(format!("redloop-cluster-saveconfig-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    for kind in [Kind::Ours, Kind::Redis, Kind::Valkey].into_iter().filter(|kind| kind.program().is_some()) {
        let node = start_node(kind, &folder);
        assert_eq!(node.ask("CLUSTER SAVECONFIG"), Some(Reply::Simple("OK".into())));
        // A directory can't be replaced by a file.
        let file = folder.join(node.port.to_string()).join("nodes.conf");
        std::fs::remove_file(&file).expect("the file is there");
        std::fs::create_dir_all(file.join("in the way")).expect("a directory");
        let failed = Reply::Error("ERR error saving the cluster node config: Is a directory".into());
        assert_eq!(node.ask("CLUSTER SAVECONFIG"), Some(failed), "{kind:?}");
        if kind == Kind::Ours {
            node.ask("CONFIG SET cluster-config-save-behavior best-effort");
            assert_eq!(node.ask("CLUSTER ADDSLOTS 1"), Some(Reply::Simple("OK".into())));
            node.ask("CONFIG SET cluster-config-save-behavior sync");
        }
        assert_eq!(node.ask("CLUSTER ADDSLOTS 2"), None, "{kind:?}");
        wait_for("it ends", || node.ask("PING").is_none());
    }
    let _ = std::fs::remove_dir_all(&folder);
}
