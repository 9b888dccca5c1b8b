//! The keyed hash function of every table: 64 uniform bits, and a seed per process, so that
//! a client cannot choose keys that collide.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_micro_inline};

/// A seeded hash function. Tables that must agree on hashes share one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHasher {
    secrets: RapidSecrets,
}

impl KeyHasher {
    /// Derives the function from `seed`.
    pub fn new(seed: u64) -> Self {
        KeyHasher { secrets: RapidSecrets::seed(seed) }
    }

    /// The seed that is derived from a text, the same in every process.
    pub fn seed_of(text: &[u8]) -> u64 {
        Self::new(0).hash(text)
    }

    /// Hashes `bytes`. All 64 bits are usable; tables take the top ones first.
    #[inline(always)]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        rapidhash_v3_micro_inline::<true, false>(bytes, &self.secrets)
    }
}

impl std::fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHasher")
    }
}
