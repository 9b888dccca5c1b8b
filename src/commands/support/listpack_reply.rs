//! Listpack entries in replies: an integer or a string, as a bulk string.

use crate::resp::Reply;
use crate::structures::listpack::Entry;

/// Writes an element of a collection as a bulk string, an integer in decimal.
#[inline]
pub(in crate::commands) fn write_entry(reply: &mut Reply, entry: Entry<'_>) {
    match entry {
        Entry::Int(number) => reply.bulk_integer(number),
        Entry::Str(bytes) => reply.bulk(bytes),
    }
}
