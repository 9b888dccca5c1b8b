//! What the cluster's service is to know of the directives.

use crate::services::cluster::{Announced, BUS_PORT_OFFSET, Settings};
use crate::services::config::Config;

/// The port of clients that the bus is like: with TLS if that has it.
pub fn port_of_kind(config: &Config) -> u16 {
    if config.tls_cluster { config.tls_port } else { config.port }
}

/// The port of the bus; `None`: it would be beyond the last one.
pub fn bus_port(config: &Config) -> Option<u16> {
    match config.cluster_port {
        0 => port_of_kind(config).checked_add(BUS_PORT_OFFSET),
        port => Some(port),
    }
}

impl Settings {
    /// Of the directives `cluster-*`.
    pub fn from_config(config: &Config) -> Settings {
        let or = |announced: u16, own: u16| if announced != 0 { announced } else { own };
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Settings {
            node_timeout_ms: config.cluster_node_timeout,
            ping_interval_ms: config.cluster_ping_interval,
            manual_failover_timeout_ms: config.cluster_manual_failover_timeout,
            gossip_percent: config.cluster_message_gossip_perc,
            blacklist_ttl_s: config.cluster_blacklist_ttl,
            link_sendbuf_limit: config.cluster_link_sendbuf_limit,
            replica_validity_factor: config.cluster_replica_validity_factor,
            replica_no_failover: config.cluster_replica_no_failover,
            migration_barrier: config.cluster_migration_barrier,
            allow_replica_migration: config.cluster_allow_replica_migration,
            require_full_coverage: config.cluster_require_full_coverage,
            replica_priority: config.replica_priority,
            repl_ping_period_s: u64::from(config.repl_ping_replica_period),
            announce_ip: text(&config.cluster_announce_ip),
            announced: Announced {
                hostname: text(&config.cluster_announce_hostname),
                human_name: text(&config.cluster_announce_human_nodename),
                availability_zone: config.availability_zone.clone(),
                client_ipv4: text(&config.cluster_announce_client_ipv4),
                client_ipv6: text(&config.cluster_announce_client_ipv6),
                client_port: config.cluster_announce_client_port,
                client_tls_port: config.cluster_announce_client_tls_port,
            },
            port: or(config.cluster_announce_port, config.port),
            tls_port: or(config.cluster_announce_tls_port, config.tls_port),
            bus_port: or(config.cluster_announce_bus_port, bus_port(config).unwrap_or_default()),
            tls: config.tls_cluster,
            tls_replication: config.tls_replication,
        }
    }
}
