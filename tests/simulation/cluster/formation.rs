//! A cluster as it is at first: its nodes know each other by their files, as after a restart.

use redloop::services::config::{Config, ProtectedAction, SetContext};

use crate::node::PORT;

/// The name of a node in its first life.
pub fn name(node: usize) -> String {
    format!("{:040x}", 0xabc_0000 + node)
}

/// `nodes.conf` of a node: the first `primaries` of `nodes` share the slots, the others are their replicas.
pub fn nodes_conf(me: usize, nodes: usize, primaries: usize) -> String {
    let line = |node: usize| {
        let primary = node % primaries;
        let port = usize::from(PORT) + node;
        let flags = match (node == me, node < primaries) {
            (true, true) => "myself,master",
            (true, false) => "myself,slave",
            (false, true) => "master",
            (false, false) => "slave",
        };
        let above = if node < primaries { "-".into() } else { name(primary) };
        let slots = |number: usize| number * 16384 / primaries;
        let owned = match node < primaries {
            true => format!(" {}-{}", slots(node), slots(node + 1) - 1),
            false => String::new(),
        };
        format!(
            "{} 10.0.0.{}:{port}@{},,shard-id={:040x} {flags} {above} 0 0 {} connected{owned}\n",
            name(node),
            node + 1,
            port + 10_000,
            0xdef_0000 + primary,
            primary + 1
        )
    };
    let lines: String = (0..nodes).map(line).collect();
    format!("{lines}vars currentEpoch {primaries} lastVoteEpoch 0\n")
}

/// A node's configuration.
pub fn config(node: usize, node_timeout_ms: u64, others: &[(&str, &str)]) -> Config {
    let mut config = Config {
        cluster_enabled: true,
        port: PORT + node as u16,
        enable_debug_command: ProtectedAction::Yes,
        ..Config::default()
    };
    let timeout = node_timeout_ms.to_string();
    let own = [
        ("save", ""),
        ("cluster-node-timeout", timeout.as_str()),
        ("repl-diskless-sync-delay", "0"),
        ("repl-ping-replica-period", "1"),
        // What a power failure leaves may have holes.
        ("aof-load-corrupt-tail-max-size", "1000000000"),
    ];
    for (name, value) in own.iter().chain(others) {
        config.set_many(&[(name.as_bytes(), value.as_bytes())], SetContext::default()).expect(name);
    }
    config
}
