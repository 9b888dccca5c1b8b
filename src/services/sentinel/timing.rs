//! The periods and time-outs of Sentinel, which SENTINEL DEBUG shows and sets, in ms.

/// All of them.
#[derive(Clone, Debug)]
pub struct Timing {
    pub info_period: u64,
    pub ping_period: u64,
    pub ask_period: u64,
    pub publish_period: u64,
    pub default_down_after: u64,
    pub default_failover_timeout: u64,
    pub tilt_trigger: u64,
    pub tilt_period: u64,
    pub replica_reconf_timeout: u64,
    pub min_link_reconnect_period: u64,
    pub election_timeout: u64,
    pub script_max_runtime: u64,
    pub script_retry_delay: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            info_period: 10_000,
            ping_period: 1000,
            ask_period: 1000,
            publish_period: 2000,
            default_down_after: 30_000,
            default_failover_timeout: 180_000,
            tilt_trigger: 2000,
            tilt_period: 30_000,
            replica_reconf_timeout: 10_000,
            min_link_reconnect_period: 15_000,
            election_timeout: 10_000,
            script_max_runtime: 60_000,
            script_retry_delay: 30_000,
        }
    }
}

/// A period's place.
type Field = fn(&mut Timing) -> &mut u64;

/// The names of SENTINEL DEBUG, in the order in which it shows them.
pub const FIELDS: [(&str, Field); 13] = [
    ("INFO-PERIOD", |timing| &mut timing.info_period),
    ("PING-PERIOD", |timing| &mut timing.ping_period),
    ("ASK-PERIOD", |timing| &mut timing.ask_period),
    ("PUBLISH-PERIOD", |timing| &mut timing.publish_period),
    ("DEFAULT-DOWN-AFTER", |timing| &mut timing.default_down_after),
    ("DEFAULT-FAILOVER-TIMEOUT", |timing| &mut timing.default_failover_timeout),
    ("TILT-TRIGGER", |timing| &mut timing.tilt_trigger),
    ("TILT-PERIOD", |timing| &mut timing.tilt_period),
    ("SLAVE-RECONF-TIMEOUT", |timing| &mut timing.replica_reconf_timeout),
    ("MIN-LINK-RECONNECT-PERIOD", |timing| &mut timing.min_link_reconnect_period),
    ("ELECTION-TIMEOUT", |timing| &mut timing.election_timeout),
    ("SCRIPT-MAX-RUNTIME", |timing| &mut timing.script_max_runtime),
    ("SCRIPT-RETRY-DELAY", |timing| &mut timing.script_retry_delay),
];
