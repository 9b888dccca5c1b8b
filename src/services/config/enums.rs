//! Enum directives (`configEnum`): a type for each directive that takes one of a list of words, and one for a set of words.
//!
//! Each enum has its words; CONFIG GET shows the first word of a variant.

use super::setting::{FileLine, InvalidValue, Rule, Setting, single};

fn refuse(words: &[&str]) -> InvalidValue {
    format!("argument(s) must be one of the following: {}", words.join(", ")).into()
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

macro_rules! word_enums {
    ($($(#[$meta:meta])* $name:ident { $($variant:ident = $($word:literal)|+),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($variant),+ }

        impl $name {
            /// All accepted words, in the order in which errors name them.
            pub const WORDS: &'static [&'static str] = &[$($($word),+),+];

            /// The word that CONFIG GET shows.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => first(&[$($word),+])),+ }
            }

            /// Parses a word, ASCII case ignored.
            pub fn from_word(word: &[u8]) -> Option<Self> {
                $($(if word.eq_ignore_ascii_case($word.as_bytes()) {
                    return Some($name::$variant);
                })+)+
                None
            }
        }

        impl Setting for $name {
            fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
                let found = single(words).ok().and_then($name::from_word);
                *self = found.ok_or_else(|| refuse($name::WORDS))?;
                Ok(())
            }

            fn to_get(&self, _rule: &Rule) -> Vec<u8> {
                self.word().as_bytes().to_vec()
            }

            fn domain(&self, _rule: &Rule) -> String {
                list($name::WORDS)
            }
        }
    )+};
}

fn first(words: &[&'static str]) -> &'static str {
    words.first().copied().unwrap_or_default()
}

word_enums! {
    /// `maxmemory-policy`: the keys that are evicted when `maxmemory` is reached.
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru",
        VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl",
        VolatileLrm = "volatile-lrm",
        AllkeysLru = "allkeys-lru",
        AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random",
        AllkeysLrm = "allkeys-lrm",
        NoEviction = "noeviction",
    }
    SyslogFacility {
        User = "user", Local0 = "local0", Local1 = "local1", Local2 = "local2", Local3 = "local3",
        Local4 = "local4", Local5 = "local5", Local6 = "local6", Local7 = "local7",
    }
    /// `loglevel`: the least level that is logged.
    LogLevel {
        Debug = "debug", Verbose = "verbose", Notice = "notice", Warning = "warning", Nothing = "nothing",
    }
    Supervised { Upstart = "upstart", Systemd = "systemd", Auto = "auto", No = "no" }
    /// `appendfsync`: when the append-only file is flushed to disk.
    AppendFsync { EverySecond = "everysec", Always = "always", No = "no" }
    ReplDisklessLoad {
        Disabled = "disabled", OnEmptyDb = "on-empty-db", SwapDb = "swapdb",
        FlushBeforeLoad = "flush-before-load" | "flushdb",
    }
    TlsAuthClients { No = "no", Yes = "yes", Optional = "optional" }
    /// `tls-auth-clients-user`: the certificate's field that names the user of a connection.
    TlsAuthClientsUser { CommonName = "CN", Uri = "URI", Off = "off" }
    OomScoreAdj { No = "no", Relative = "yes" | "relative", Absolute = "absolute" }
    AclPubsubDefault { AllChannels = "allchannels", ResetChannels = "resetchannels" }
    SanitizeDumpPayload { No = "no", Yes = "yes", Clients = "clients" }
    /// `enable-*`: the connections from which a protected action is allowed.
    ProtectedAction { No = "no", Yes = "yes", Local = "local" }
    ClusterEndpointType { Ip = "ip", Hostname = "hostname", UnknownEndpoint = "unknown-endpoint" }
    ClusterConfigSaveBehavior { Sync = "sync", BestEffort = "best-effort" }
    PropagationErrorBehavior { Ignore = "ignore", Panic = "panic", PanicOnReplicas = "panic-on-replicas" }
    LogFormat { Legacy = "legacy", Logfmt = "logfmt", Json = "json" }
    LogTimestampFormat { Legacy = "legacy", Iso8601 = "iso8601", Milliseconds = "milliseconds" }
    /// `rdb-family`: whose files are written.
    RdbFamily { Redis = "redis", Valkey = "valkey" }
    RdbVersionCheck { Strict = "strict", Relaxed = "relaxed" }
}

impl ProtectedAction {
    /// Whether a connection may use the action.
    pub fn allows(self, local_connection: bool) -> bool {
        match self {
            ProtectedAction::Yes => true,
            ProtectedAction::Local => local_connection,
            ProtectedAction::No => false,
        }
    }
}

/// `shutdown-on-sigterm` and `-sigint`: how to shut down on a signal. A set of words; the empty set is `default`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownFlags(u8);

impl ShutdownFlags {
    pub const SAVE: ShutdownFlags = ShutdownFlags(1);
    pub const NOSAVE: ShutdownFlags = ShutdownFlags(2);
    pub const NOW: ShutdownFlags = ShutdownFlags(4);
    pub const FORCE: ShutdownFlags = ShutdownFlags(8);
    pub const SAFE: ShutdownFlags = ShutdownFlags(16);
    pub const FAILOVER: ShutdownFlags = ShutdownFlags(32);

    const WORDS: [(&'static str, u8); 7] = [
        ("default", 0),
        ("save", 1),
        ("nosave", 2),
        ("now", 4),
        ("force", 8),
        ("safe", 16),
        ("failover", 32),
    ];

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: ShutdownFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The bits of some words, of which each known one has its own; ASCII case is ignored.
fn bits_of<const N: usize>(words: &[Vec<u8>], known: &[(&str, u8); N]) -> Result<u8, InvalidValue> {
    let refused = || refuse(&known.map(|(word, _)| word));
    if words.is_empty() {
        return Err(refused());
    }
    words.iter().try_fold(0, |bits, word| {
        let found = known.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, bit)| bits | bit).ok_or_else(refused)
    })
}

/// The words of some bits: the one that means all of them, or one for each.
fn words_of(bits: u8, known: &[(&'static str, u8)]) -> Vec<u8> {
    if let Some((word, _)) = known.iter().find(|(_, all)| *all == bits) {
        return word.as_bytes().to_vec();
    }
    let words = known.iter().filter(|(_, bit)| bit.is_power_of_two() && bits & bit != 0);
    words.map(|(word, _)| *word).collect::<Vec<_>>().join(" ").into_bytes()
}

impl Setting for ShutdownFlags {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        let flags = ShutdownFlags(bits_of(words, &Self::WORDS)?);
        if flags.contains(Self::SAVE) && flags.contains(Self::NOSAVE) {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
        }
        *self = flags;
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        words_of(self.0, &Self::WORDS)
    }

    fn file_lines(&self, rule: &Rule, _default: &dyn Setting) -> Vec<FileLine> {
        vec![FileLine { value: self.to_get(rule), forced: self.0 != 0 }]
    }

    fn domain(&self, _rule: &Rule) -> String {
        list(&Self::WORDS.map(|(word, _)| word))
    }
}

/// `cluster-slot-stats-enabled`: what is told of each slot. A set of words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotStatsKinds(u8);

impl SlotStatsKinds {
    pub const CPU: SlotStatsKinds = SlotStatsKinds(1);
    pub const NET: SlotStatsKinds = SlotStatsKinds(2);
    pub const MEM: SlotStatsKinds = SlotStatsKinds(4);

    const WORDS: [(&'static str, u8); 5] = [("no", 0), ("yes", 7), ("cpu", 1), ("net", 2), ("mem", 4)];

    /// Whether all kinds of `other` are among these.
    pub fn contains(self, other: SlotStatsKinds) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether something is counted with each call.
    pub fn count_calls(self) -> bool {
        self.contains(Self::CPU) || self.contains(Self::NET)
    }
}

impl Setting for SlotStatsKinds {
    fn assign(&mut self, words: &[Vec<u8>], _rule: &Rule) -> Result<(), InvalidValue> {
        self.0 = bits_of(words, &Self::WORDS)?;
        Ok(())
    }

    fn to_get(&self, _rule: &Rule) -> Vec<u8> {
        words_of(self.0, &Self::WORDS)
    }

    fn domain(&self, _rule: &Rule) -> String {
        list(&Self::WORDS.map(|(word, _)| word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn every_word_is_read_back() {
        for word in MaxmemoryPolicy::WORDS {
            assert_eq!(
                MaxmemoryPolicy::from_word(word.to_uppercase().as_bytes()).map(|p| p.word()),
                Some(*word)
            );
        }
        assert_eq!(OomScoreAdj::from_word(b"relative"), Some(OomScoreAdj::Relative));
        assert_eq!(OomScoreAdj::Relative.word(), "yes");
        let mut level = LogLevel::Notice;
        let refusal = level.assign(&words("loud"), &Rule::Any).map_err(|r| r.into_owned());
        let wanted = "argument(s) must be one of the following: debug, verbose, notice, warning, nothing";
        assert_eq!(refusal, Err(wanted.into()));
    }

    #[test]
    fn shutdown_flags_combine() {
        let mut flags = ShutdownFlags::default();
        assert_eq!(flags.to_get(&Rule::Any), b"default");
        assert!(flags.assign(&words("force NOW nosave"), &Rule::Any).is_ok());
        assert_eq!(flags.to_get(&Rule::Any), b"nosave now force");
        assert!(flags.contains(ShutdownFlags::NOW) && !flags.contains(ShutdownFlags::SAVE));
        assert!(flags.assign(&words("save nosave"), &Rule::Any).is_err());
        assert!(flags.assign(&[], &Rule::Any).is_err());
        assert!(flags.assign(&words("default"), &Rule::Any).is_ok());
        assert_eq!(flags, ShutdownFlags::default());
    }

    #[test]
    fn kinds_of_slot_stats_combine() {
        let mut kinds = SlotStatsKinds::default();
        let mut set = |line: &str| {
            let result = kinds.assign(&words(line), &Rule::Any).map_err(|reason| reason.into_owned());
            result.map(|()| String::from_utf8(kinds.to_get(&Rule::Any)).expect("UTF-8"))
        };
        for (line, shown) in
            [("NO", "no"), ("yes", "yes"), ("mem cpu", "cpu mem"), ("net net", "net"), ("cpu mem net", "yes")]
        {
            assert_eq!(set(line), Ok(shown.into()), "{line}");
        }
        let refusal = "argument(s) must be one of the following: no, yes, cpu, net, mem";
        assert_eq!((set("disk"), set("")), (Err(refusal.into()), Err(refusal.into())));
    }
}
