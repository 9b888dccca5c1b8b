//! The flags of scripts and functions (`no-writes` …).

/// A set of flags.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ScriptFlags(u8);

impl ScriptFlags {
    pub const NO_WRITES: ScriptFlags = ScriptFlags(1);
    pub const ALLOW_OOM: ScriptFlags = ScriptFlags(2);
    pub const ALLOW_STALE: ScriptFlags = ScriptFlags(4);
    pub const NO_CLUSTER: ScriptFlags = ScriptFlags(8);
    pub const ALLOW_CROSS_SLOT_KEYS: ScriptFlags = ScriptFlags(16);

    /// All flags by name, in the order in which lists show them.
    const NAMES: [(&'static str, ScriptFlags); 5] = [
        ("no-writes", ScriptFlags::NO_WRITES),
        ("allow-oom", ScriptFlags::ALLOW_OOM),
        ("allow-stale", ScriptFlags::ALLOW_STALE),
        ("no-cluster", ScriptFlags::NO_CLUSTER),
        ("allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT_KEYS),
    ];

    /// The flag of a name, in any case.
    pub fn from_name(name: &[u8]) -> Option<ScriptFlags> {
        let is_named = |(known, _): &&(&str, ScriptFlags)| known.as_bytes().eq_ignore_ascii_case(name);
        ScriptFlags::NAMES.iter().find(is_named).map(|(_, flag)| *flag)
    }

    pub fn has(self, flag: ScriptFlags) -> bool {
        self.0 & flag.0 == flag.0
    }

    pub fn add(&mut self, flag: ScriptFlags) {
        self.0 |= flag.0;
    }

    /// The names of the flags in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ScriptFlags::NAMES.into_iter().filter(move |(_, flag)| self.has(*flag)).map(|(name, _)| name)
    }
}
