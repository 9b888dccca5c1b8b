//! Values as bytes, in the format of RDB files: what DUMP answers, and what stands behind each key of a snapshot.
//!
//! ```text
//! DUMP      kind 1 | value | version u16 LE | CRC-64 of all before, LE           `payload`
//! value     strings, lengths and numbers as `wire` draws them, in an order that the kind says
//!
//!  0 string    string                          1 list     n, item …
//!  2 set       n, member …                     3 zset     n, (member, score as text) …
//!  4 hash      n, (field, value) …             5 zset     n, (member, score f64 LE), the highest first
//!  9 hash      zipmap                         10 list     ziplist
//! 11 set       intset                         12 zset     ziplist
//! 13 hash      ziplist                        14 list     n, ziplist …
//! 16 hash      listpack                       17 zset     listpack
//! 18 list      n, (1, item | 2, listpack) …   20 set      listpack
//! 15, 19, 21, 26 stream                                   see `stream`
//! 22 hash      n, (deadline as a length, field, value) …  Redis before 7.4 was out
//! 22 hash      n, (field, value, deadline ms) …           Valkey, which begins its versions at 80
//! 23 hash      listpack of triples                        Redis before 7.4 was out
//! 24 hash      least deadline ms, n, (deadline − least + 1 or 0, field, value) …
//! 25 hash      least deadline ms, listpack of triples
//! ```
//!
//! Written are those of the newest kinds that the `format` has (0, 2, 4, 5, 7, 11, 16 to 22, 24 to 26), read are all of these. What
//! is compact (intset, listpack) is written as it lies in memory. Nothing that is read is believed: counts allocate
//! nothing, compact forms pass the constructors that check them, and a value is whole or an error.
//!
//! Values of modules (6 and 7) can't be read, but for vector sets (7, see `vector_set`).

mod compact;
mod compress;
mod decode;
mod elements;
mod encode;
mod format;
mod legacy;
mod partial;
pub mod payload;
mod stream;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod vector_set;
mod wire;

pub use compress::StringCompressor;
pub use decode::{Begun, begin, decode, object};
pub use elements::FieldLayout;
pub use encode::{encode, kind_of, stream_kind};
pub use format::{Family, Needs, RdbFormat};
pub use partial::PartialValue;
pub use vector_set::is_known_type;
pub use wire::{Deferred, Fault, Mark, Reader, Text, Writer};

/// The newest version of Redis's files and payloads: that of Redis 8.6.
pub const REDIS_VERSION_MAX: u16 = 13;
/// Valkey's versions begin here; kinds from 22 on mean something else in them.
pub const VALKEY_VERSION: u16 = 80;

pub mod kind {
    //! The byte that says how a value is written.
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const MODULE_2: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_3: u8 = 21;
    /// Two things, by the version; see the head of the module.
    pub const HASH_22: u8 = 22;
    pub const HASH_LISTPACK_EX_EARLY: u8 = 23;
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;
    pub const STREAM_4: u8 = 26;
}

/// What a list's node is, in [`kind::LIST_QUICKLIST_2`].
pub(super) mod container {
    pub const PLAIN: u64 = 1;
    pub const PACKED: u64 = 2;
}

/// No field's deadline lies beyond this, ms.
const MAX_FIELD_DEADLINE: u64 = (1 << 48) - 1;
