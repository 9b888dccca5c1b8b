//! Representation of the data types: list, set, hash, sorted set, stream, vector set. Knows no commands.

pub mod element;
pub mod embedded;
pub mod geohash;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod sample;
pub mod set;
pub mod snapshot;
pub mod stream;
pub mod vector_set;
pub mod zset;

use crate::base::hash::KeyHasher;

/// The limits at which a value leaves its compact form: directives of redis.conf with their units.
/// Passed by reference to every operation that may convert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `hash-max-listpack-entries`: fields.
    pub hash_max_listpack_entries: usize,
    /// `hash-max-listpack-value`: bytes of a field or a value.
    pub hash_max_listpack_value: usize,
    /// `set-max-intset-entries`: members.
    pub set_max_intset_entries: usize,
    /// `set-max-listpack-entries`: members.
    pub set_max_listpack_entries: usize,
    /// `set-max-listpack-value`: bytes of a member.
    pub set_max_listpack_value: usize,
    /// `zset-max-listpack-entries`: members.
    pub zset_max_listpack_entries: usize,
    /// `zset-max-listpack-value`: bytes of a member.
    pub zset_max_listpack_value: usize,
    /// `list-max-listpack-size`: entries a node if positive, else -1..-5 for 4..64 KiB a node.
    pub list_max_listpack_size: i64,
    /// `list-compress-depth`: nodes at each end that stay uncompressed; 0 compresses none.
    pub list_compress_depth: usize,
    /// `stream-node-max-bytes`: bytes of a stream's node; 0 is no limit.
    pub stream_node_max_bytes: usize,
    /// `stream-node-max-entries`: entries of a stream's node; 0 is no limit.
    pub stream_node_max_entries: usize,
    /// `stream-idmp-duration`: seconds for which a new stream remembers identifiers of requests.
    pub stream_idmp_duration: usize,
    /// `stream-idmp-maxsize`: identifiers of each producer that a new stream remembers.
    pub stream_idmp_maxsize: usize,
    /// `hll-sparse-max-bytes`.
    pub hll_sparse_max_bytes: usize,
    /// Bytes of a list item from which it gets a node of its own; `DEBUG QUICKLIST-PACKED-THRESHOLD`.
    pub list_packed_threshold: usize,
    /// The hash function of the values' tables; not a directive.
    pub hasher: KeyHasher,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            list_max_listpack_size: -2,
            list_compress_depth: 0,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
            stream_idmp_duration: 100,
            stream_idmp_maxsize: 100,
            hll_sparse_max_bytes: 3000,
            list_packed_threshold: 0,
            hasher: KeyHasher::new(0),
        }
    }
}

impl Limits {
    /// How long a new stream remembers identifiers of requests.
    pub fn stream_retention(&self) -> stream::Retention {
        stream::Retention {
            seconds: self.stream_idmp_duration as u32,
            identifiers: self.stream_idmp_maxsize as u32,
        }
    }
}

/// A value that isn't a string: what a keyspace entry points at.
#[derive(Debug)]
pub enum Value {
    List(list::List),
    Set(set::Set),
    Hash(hash::Hash),
    Zset(zset::Zset),
    Stream(Box<stream::Stream>),
    VectorSet(Box<vector_set::VectorSet>),
}

impl Value {
    /// The type, as TYPE names it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Hash(_) => "hash",
            Value::Zset(_) => "zset",
            Value::Stream(_) => "stream",
            Value::VectorSet(_) => "vectorset",
        }
    }

    /// Prefetches the memory that any command on this value reads first.
    #[inline]
    pub fn prefetch(&self) {
        match self {
            Value::Set(set::Set::Listpack(listpack))
            | Value::Hash(hash::Hash::Listpack(listpack))
            | Value::Zset(zset::Zset::Listpack(listpack))
            | Value::List(list::List::Listpack(listpack)) => listpack.prefetch(),
            _ => {}
        }
    }

    /// The encoding, as OBJECT ENCODING names it.
    pub fn encoding(&self) -> &'static str {
        match self {
            Value::List(list) => list.encoding(),
            Value::Set(set) => set.encoding(),
            Value::Hash(hash) => hash.encoding(),
            Value::Zset(zset) => zset.encoding(),
            Value::Stream(stream) => stream.encoding(),
            Value::VectorSet(set) => set.encoding(),
        }
    }

    /// A copy that shares nothing that one of them changes.
    pub fn duplicate(&self) -> Value {
        match self {
            Value::List(list) => Value::List(list.clone()),
            Value::Set(set) => Value::Set(set.duplicate()),
            Value::Hash(hash) => Value::Hash(hash.duplicate()),
            Value::Zset(zset) => Value::Zset(zset.clone()),
            Value::Stream(stream) => Value::Stream(stream.clone()),
            Value::VectorSet(set) => Value::VectorSet(Box::new(set.duplicate())),
        }
    }

    /// Elements, however many bytes each has.
    pub fn element_count(&self) -> usize {
        match self {
            Value::List(list) => list.len(),
            Value::Set(set) => set.len(),
            Value::Hash(hash) => hash.len(),
            Value::Zset(zset) => zset.len(),
            Value::Stream(stream) => stream.len(),
            Value::VectorSet(set) => set.len(),
        }
    }

    /// Whether there are more than `most` parts to free: elements, a stream's groups, consumers, pending entries and requests.
    /// Bytes don't count: a thread unmaps large allocations (`sys::large_alloc`). A value in a snapshot has parts to hand over.
    pub fn has_more_parts_than(&self, most: usize) -> bool {
        if self.in_snapshot() {
            return true;
        }
        let elements = self.element_count();
        elements > most
            || matches!(self, Value::Stream(stream) if stream.has_more_parts_than(most - elements))
    }

    /// Bytes held on the heap; lists and streams estimate from `samples` nodes (0: all).
    pub fn memory_usage(&self, samples: usize) -> usize {
        match self {
            Value::List(list) => list.memory_usage(samples),
            Value::Set(set) => set.memory_usage(),
            Value::Hash(hash) => hash.memory_usage(),
            Value::Zset(zset) => zset.memory_usage(),
            Value::Stream(stream) => stream.memory_usage(samples),
            Value::VectorSet(set) => set.memory_usage(),
        }
    }

    /// Whether its indexes are nearly used up, so that a request to add to it must be rejected. A single request
    /// is always smaller than what is left then.
    pub fn is_full(&self) -> bool {
        match self {
            Value::Set(set) => set.is_full(),
            Value::Hash(hash) => hash.is_full(),
            Value::Zset(zset) => zset.is_full(),
            Value::VectorSet(set) => set.is_full(),
            Value::List(_) | Value::Stream(_) => false,
        }
    }

    /// The earliest deadline of something in it: of a hash's fields, or when a stream's remembered requests are to be looked at.
    #[inline]
    pub fn next_deadline_within(&self) -> Option<u64> {
        match self {
            Value::Hash(hash) => hash.next_deadline(),
            Value::Stream(stream) => stream.requests_due_ms(),
            Value::List(_) | Value::Set(_) | Value::Zset(_) | Value::VectorSet(_) => None,
        }
    }

    /// The earliest deadline of a hash's fields; `None` for the other types.
    pub fn next_field_deadline(&self) -> Option<u64> {
        if let Value::Hash(hash) = self { hash.next_deadline() } else { None }
    }

    /// Frees up to `blocks` blocks of memory (nodes, segments …); true when nothing is left to free.
    /// The value must not be used for anything else afterwards.
    pub fn free_some(&mut self, blocks: usize) -> bool {
        match self {
            Value::List(list) => list.free_some(blocks),
            Value::Set(set) => set.free_some(blocks),
            Value::Hash(hash) => hash.free_some(blocks),
            Value::Zset(zset) => zset.free_some(blocks),
            Value::Stream(stream) => stream.free_some(blocks),
            Value::VectorSet(set) => set.free_some(blocks),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_value_is_small() {
        assert_eq!(
            size_of::<super::Value>(),
            24,
            "{:?}",
            [
                size_of::<super::list::List>(),
                size_of::<super::set::Set>(),
                size_of::<super::hash::Hash>(),
                size_of::<super::zset::Zset>(),
                size_of::<super::stream::Stream>(),
            ]
        );
    }
}
