//! DEBUG DIGEST and DIGEST-VALUE: hashes by which tests check that two data sets are equal.
//!
//! ```text
//! data set    xor of the keys                  value    list, stream     folded in order
//! key         name ∘ value ∘ has a deadline             set, hash, zset  xor of the elements
//! ```
//!
//! The digest doesn't depend on a value's encoding; an empty data set's is zero. Digests of Redis
//! differ from these.

use super::Debug;
use crate::base::hash::KeyHasher;
use crate::base::number;
use crate::engine::{Done, Outcome};
use crate::keyspace::StoredValue;
use crate::keyspace::Text;
use crate::structures::table::EntryValue;
use crate::value::list::End;
use crate::value::stream::StreamId;
use crate::value::{Value, embedded};

/// A digest of 160 bits, in three words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest([u64; 3]);

/// The hash functions of the words. Fixed, so that digests of several processes compare.
struct Hashers([KeyHasher; 3]);

impl Hashers {
    fn new() -> Self {
        Hashers([0x5eed, 0xfeed, 0xdeed].map(KeyHasher::new))
    }

    fn of(&self, bytes: &[u8]) -> Digest {
        Digest([0, 1, 2].map(|word| self.0[word].hash(bytes)))
    }

    /// The digest of parts in their order, lengths included.
    fn of_parts(&self, parts: &[&[u8]]) -> Digest {
        let mut digest = Digest::default();
        parts.iter().for_each(|part| digest.fold(self.of(part), self));
        digest
    }
}

impl Digest {
    /// Adds an element of an unordered collection.
    fn mix(&mut self, other: Digest) {
        self.0.iter_mut().zip(other.0).for_each(|(word, more)| *word ^= more);
    }

    /// Adds an element of an ordered collection.
    fn fold(&mut self, next: Digest, hashers: &Hashers) {
        let mut bytes = [0u8; 48];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.0.into_iter().chain(next.0)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        *self = hashers.of(&bytes);
    }

    fn hex(self) -> String {
        let Digest([a, b, c]) = self;
        format!("{a:016x}{b:016x}{:08x}", c >> 32)
    }
}

fn of_object(hashers: &Hashers, value: &Value) -> Digest {
    let mut digest = Digest::default();
    match value {
        Value::List(list) => {
            list.range(0, list.len(), End::Back, |item| digest.fold(hashers.of(&item.to_cow()), hashers));
        }
        Value::Set(set) => set.iter().for_each(|member| digest.mix(hashers.of(&member.to_cow()))),
        Value::Hash(hash) => {
            for field in hash.iter() {
                let deadline: &[u8] = if field.deadline.is_some() { b"deadline" } else { b"" };
                digest.mix(hashers.of_parts(&[&field.name.to_cow(), &field.value.to_cow(), deadline]));
            }
        }
        Value::Zset(zset) => {
            for (member, score) in zset.iter() {
                let mut text = Vec::new();
                number::push_f64(&mut text, score);
                digest.mix(hashers.of_parts(&[&member.to_cow(), &text]));
            }
        }
        Value::Stream(stream) => {
            for entry in stream.log.range(StreamId::ZERO, StreamId::MAX) {
                digest.fold(hashers.of(&entry.id.to_bytes()), hashers);
                for (field, value) in entry.fields() {
                    digest.fold(hashers.of_parts(&[&field.to_cow(), &value.to_cow()]), hashers);
                }
            }
        }
    }
    hashers.of_parts(&[value.type_name().as_bytes(), digest.hex().as_bytes()])
}

fn of_value(hashers: &Hashers, slot: StoredValue<'_>, deadline: Option<u64>) -> Digest {
    let mut digest = match slot {
        StoredValue::Int(n) => hashers.of(Text::Int(n).bytes(&mut itoa::Buffer::new())),
        StoredValue::Bytes(bytes) => hashers.of(bytes),
        StoredValue::Object(value) => of_object(hashers, value),
    };
    if deadline.is_some() {
        digest.fold(hashers.of(b"deadline"), hashers);
    }
    digest
}

pub(super) fn digest(debug: &mut Debug<'_>) -> Outcome {
    let hashers = Hashers::new();
    let mut whole = Digest::default();
    for database in debug.engine.data.keyspace.databases() {
        for entry in database.table().iter() {
            let mut digest = hashers.of_parts(&[&database.index.to_le_bytes(), entry.key]);
            let unpacked;
            let value = match entry.value {
                EntryValue::Int(n) => StoredValue::Int(n),
                EntryValue::Bytes(bytes) => StoredValue::Bytes(bytes),
                EntryValue::Object(value) => StoredValue::Object(value),
                EntryValue::Embedded(tag, bytes) => {
                    unpacked = embedded::decode(tag, bytes);
                    StoredValue::Object(&unpacked)
                }
            };
            digest.fold(of_value(&hashers, value, entry.deadline), &hashers);
            whole.mix(digest);
        }
    }
    debug.reply.simple(&whole.hex());
    Ok(Done::Replied)
}

pub(super) fn digest_value(debug: &mut Debug<'_>) -> Outcome {
    let hashers = Hashers::new();
    debug.reply.array(debug.args.len());
    let mut view = debug.engine.view_of(debug.client);
    for key in debug.args.iter() {
        let digest =
            view.lookup_silent(key).map(|at| of_value(&hashers, view.stored_value(at), view.deadline(at)));
        debug.reply.simple(&digest.unwrap_or_default().hex());
    }
    Ok(Done::Replied)
}
