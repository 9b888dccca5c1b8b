//! The keyed hash function of every table: 64 uniform bits, and a seed per process, so that
//! a client cannot choose keys that collide.
//!
//! ```text
//! in slot order, 64 bits:   slot of the key, 14 bits | the first 50 of the uniform bits
//! ```
//!
//! The keys of a cluster's node are hashed in slot order: as tables are ordered by hashes, the keys of a slot lie side by side.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_micro_inline};

use super::crc::{SLOTS, key_slot};

/// The bits of a slot.
pub const SLOT_BITS: u32 = 14;
const _: () = assert!(SLOTS as u32 == 1 << SLOT_BITS);

/// A seeded hash function. Tables that must agree on hashes share one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHasher {
    secrets: RapidSecrets,
    in_slot_order: bool,
}

impl KeyHasher {
    /// Derives the function from `seed`.
    pub fn new(seed: u64) -> Self {
        KeyHasher { secrets: RapidSecrets::seed(seed), in_slot_order: false }
    }

    /// The function of the same seed whose hashes of keys begin with their slots.
    pub fn in_slot_order(self) -> Self {
        KeyHasher { in_slot_order: true, ..self }
    }

    /// The function of the same seed whose hashes are uniform.
    pub fn uniform(self) -> Self {
        KeyHasher { in_slot_order: false, ..self }
    }

    /// Whether hashes begin with slots.
    pub fn is_in_slot_order(&self) -> bool {
        self.in_slot_order
    }

    /// The seed that is derived from a text, the same in every process.
    pub fn seed_of(text: &[u8]) -> u64 {
        Self::new(0).hash(text)
    }

    /// Hashes `bytes`. All 64 bits are usable; tables take the top ones first.
    #[inline(always)]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        if self.in_slot_order { self.slot_first(bytes) } else { self.uniformly(bytes) }
    }

    #[inline(always)]
    fn uniformly(&self, bytes: &[u8]) -> u64 {
        rapidhash_v3_micro_inline::<true, false>(bytes, &self.secrets)
    }

    /// Out of line, so that a server that is no node of a cluster pays a comparison.
    #[cold]
    #[inline(never)]
    fn slot_first(&self, key: &[u8]) -> u64 {
        first_of_slot(key_slot(key)) | self.uniformly(key) >> SLOT_BITS
    }
}

/// The slot of a key by its hash in slot order.
#[inline(always)]
pub fn slot_of(hash: u64) -> u16 {
    (hash >> (64 - SLOT_BITS)) as u16
}

/// The smallest hash in slot order of a slot.
#[inline(always)]
pub fn first_of_slot(slot: u16) -> u64 {
    u64::from(slot) << (64 - SLOT_BITS)
}

impl std::fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_in_slot_order_begins_with_the_slot() {
        let uniform = KeyHasher::new(1);
        let hasher = uniform.in_slot_order();
        for key in [&b"foo"[..], b"", b"{tag}one", b"{tag}two", &[b'x'; 300]] {
            assert_eq!(slot_of(hasher.hash(key)), key_slot(key));
            assert_eq!(hasher.hash(key) << SLOT_BITS, uniform.hash(key) & !0 << SLOT_BITS);
            assert_eq!(hasher.uniform().hash(key), uniform.hash(key));
        }
    }
}
