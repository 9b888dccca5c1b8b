//! RDB files: the whole data set as one file, written and read without I/O.
//!
//! ```text
//! file     "REDIS" version, 4 digits (Valkey: "VALKEY", 3 digits), part*, 255, CRC-64 LE of all before (from version 5 on; 0: none)
//! part     243 metadata of modules for the next key          244 slot, keys, deadlines       (Redis)
//!          243 name, n, (first slot, last slot) …            (Valkey)
//!          245 source of a library of functions               246 the same before 7.0 was out
//!          247 module, when, values … 0                       250 name, value
//!          248 idle seconds, 249 counter u8, 252 deadline ms, 253 deadline s u32 LE: of the next key
//!          251 keys, deadlines                                254 database
//!          kind, key, value                                   below 243, see `codec`
//! ```
//!
//! Writing, on the event loop:
//!
//! ```text
//! let mut buffer = RecordBuffer::new(RdbFormat::choose(family, needs), compression);
//! buffer.magic();  buffer.aux(b"redis-ver", …);  buffer.function(…);
//! buffer.select_db(0);  buffer.resize_db(keys, deadlines);
//! buffer.record(&KeyHeader { key, deadline, access }, value);            a whole value, whatever it is
//! buffer.record_shared(&header, arc);                                    a long string by reference
//! buffer.open_collection(&header, Collection::Set, count);               then `count` elements, in any number of pieces:
//! buffer.writer().entry(member);                                         scored, field, list_node, stream_part …
//! let piece = buffer.take();                                             to the helper thread, whenever len() is large enough
//! ```
//!
//! and there:
//!
//! ```text
//! let mut finisher = Finisher::new(compression, checksum);
//! finisher.finish(piece, &mut out);  …  finisher.end(&mut out);
//! ```
//!
//! Reading:
//!
//! ```text
//! let mut reader = RdbReader::new(options);
//! loop { match reader.next(&limits)? {
//!     Item::More => { let n = file.read(reader.spare())?;  if n == 0 { reader.end_of_input() } else { reader.filled(n) } }
//!     Item::Key(record) => …,  Item::End(..) => break,  …
//! } }
//! ```

pub mod check;
mod fuzz;
mod modules;
mod parser;
mod reader;
mod record;
#[cfg(test)]
mod tests;

pub use fuzz::fuzz_rdb;
pub(super) use modules::skip_part;
pub use parser::{Checksum, Item, KeyRecord, ReadOptions, Reason, Skipped};
pub use reader::{CHUNK, RdbError, RdbReader};
pub use record::{Access, Collection, Finisher, KeyHeader, Piece, RecordBuffer};

pub use super::codec::{Family, FieldLayout, Needs, RdbFormat, Writer};

pub mod opcode {
    //! The first byte of a part that is no key.
    pub const KEY_METADATA: u8 = 243;
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION: u8 = 245;
    pub const FUNCTION_EARLY: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQUENCY: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const DEADLINE_MS: u8 = 252;
    pub const DEADLINE_SECONDS: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const END: u8 = 255;
}
