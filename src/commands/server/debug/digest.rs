//! DEBUG DIGEST and DIGEST-VALUE: hashes by which tests check that two data sets are equal, also those of different servers.
//!
//! Two operations on 20 bytes make every digest, with `H` for SHA-1:
//!
//! ```text
//! add(x)       digest := digest ^ H(x)         in any order
//! append(x)    digest := H(digest ^ H(x))      in this order
//!
//! data set     each database that has keys: append its number; each key: add its digest
//! key          append the name, then the value
//! value        append the type's number, then what it holds; add "!!expire!!" if it has a deadline
//! string       append it
//! list         append each item
//! set          add each member
//! hash, zset   add each element's digest: append the field, the value (a score as replies show it); add "!!hexpire!!"
//! stream       each entry: append its id as `ms.seq`, its fields and values
//! vector set   add the sum of: the digest of the number of elements and the dimension, appended; each element's: append its
//!              vector as it is kept, its name, its attribute if it has one
//! ```
//!
//! What a stream's groups hold is not in it, and deadlines only in that there are any. Digests don't depend on encodings; that of
//! an empty data set is zero.

use sha1::block_api::compress;

use super::Debug;
use crate::base::number;
use crate::engine::{Done, Outcome};
use crate::keyspace::StoredValue;
use crate::keyspace::Text;
use crate::structures::table::EntryValue;
use crate::value::hash::Field;
use crate::value::list::End;
use crate::value::stream::StreamId;
use crate::value::vector_set::VectorSet;
use crate::value::{Value, embedded};

/// Bytes that SHA-1 takes at a time.
const BLOCK: usize = 64;

/// SHA-1 as five words. It calls the compression directly, which is compiled with its crate; what is generic in that crate would be
/// compiled with this one. Tests, whose build optimizes that crate and not this one, compute digests of whole data sets all the time:
/// hence words rather than bytes, too.
fn sha1(bytes: &[u8]) -> [u32; 5] {
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    if !blocks.is_empty() {
        compress(&mut state, blocks);
    }
    // A one behind the text, zeros, and the text's length in bits.
    let mut last = [[0; BLOCK]; 2];
    let count = if rest.len() < BLOCK - 8 { 1 } else { 2 };
    last[0][..rest.len()].copy_from_slice(rest);
    last[0][rest.len()] = 0x80;
    last[count - 1][BLOCK - 8..].copy_from_slice(&(8 * bytes.len() as u64).to_be_bytes());
    compress(&mut state, &last[..count]);
    state
}

/// Its 20 bytes as big-endian words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest([u32; 5]);

impl Digest {
    fn bytes(self) -> [u8; 20] {
        let [a, b, c, d, e] = self.0;
        let high = u128::from(a) << 96 | u128::from(b) << 64 | u128::from(c) << 32 | u128::from(d);
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&high.to_be_bytes());
        bytes[16..].copy_from_slice(&e.to_be_bytes());
        bytes
    }

    /// Adds something that has no place in an order.
    fn add(&mut self, bytes: &[u8]) {
        let ([a, b, c, d, e], [v, w, x, y, z]) = (self.0, sha1(bytes));
        self.0 = [a ^ v, b ^ w, c ^ x, d ^ y, e ^ z];
    }

    /// Adds what follows on what there is.
    fn append(&mut self, bytes: &[u8]) {
        self.add(bytes);
        self.0 = sha1(&self.bytes());
    }

    fn hex(self) -> String {
        let [a, b, c, d, e] = self.0;
        format!("{a:08x}{b:08x}{c:08x}{d:08x}{e:08x}")
    }
}

/// The number of a type, by which Redis tells it.
fn type_number(value: StoredValue<'_>) -> u32 {
    match value {
        StoredValue::Int(_) | StoredValue::Bytes(_) => 0,
        StoredValue::Object(Value::List(_)) => 1,
        StoredValue::Object(Value::Set(_)) => 2,
        StoredValue::Object(Value::Zset(_)) => 3,
        StoredValue::Object(Value::Hash(_)) => 4,
        StoredValue::Object(Value::Stream(_)) => 6,
        StoredValue::Object(Value::VectorSet(_)) => 5,
    }
}

fn of_field(field: &Field<'_>) -> Digest {
    let mut digest = Digest::default();
    digest.append(&field.name.to_cow());
    digest.append(&field.value.to_cow());
    if field.deadline.is_some() {
        digest.add(b"!!hexpire!!");
    }
    digest
}

fn append_object(digest: &mut Digest, value: &Value) {
    let mut text = Vec::new();
    match value {
        Value::List(list) => list.range(0, list.len(), End::Back, |item| digest.append(&item.to_cow())),
        Value::Set(set) => set.iter().for_each(|member| digest.add(&member.to_cow())),
        Value::Hash(hash) => hash.iter().for_each(|field| digest.add(&of_field(&field).bytes())),
        Value::Zset(zset) => {
            for (member, score) in zset.iter() {
                text.clear();
                number::push_f64(&mut text, score);
                let mut element = Digest::default();
                element.append(&member.to_cow());
                element.append(&text);
                digest.add(&element.bytes());
            }
        }
        Value::Stream(stream) => {
            for entry in stream.log.range(StreamId::ZERO, StreamId::MAX) {
                digest.append(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                for (field, value) in entry.fields() {
                    digest.append(&field.to_cow());
                    digest.append(&value.to_cow());
                }
            }
        }
        Value::VectorSet(set) => digest.add(&of_vectors(set).bytes()),
    }
}

fn of_vectors(set: &VectorSet) -> Digest {
    let graph = set.graph();
    let (mut whole, mut head) = (Digest::default(), Digest::default());
    head.append(set.len().to_string().as_bytes());
    head.append(graph.dim().to_string().as_bytes());
    whole.add(&head.bytes());
    for id in graph.ids() {
        let mut element = Digest::default();
        element.append(graph.raw(id));
        element.append(set.name(id));
        if let Some(attribute) = set.attribute(id) {
            element.append(attribute);
        }
        whole.add(&element.bytes());
    }
    whole
}

fn append_value(digest: &mut Digest, value: StoredValue<'_>, deadline: Option<u64>) {
    digest.append(&type_number(value).to_be_bytes());
    match value {
        StoredValue::Int(n) => digest.append(Text::Int(n).bytes(&mut itoa::Buffer::new())),
        StoredValue::Bytes(bytes) => digest.append(bytes),
        StoredValue::Object(value) => append_object(digest, value),
    }
    if deadline.is_some() {
        digest.add(b"!!expire!!");
    }
}

pub(super) fn digest(debug: &mut Debug<'_>) -> Outcome {
    debug.engine.note_data_read();
    let mut whole = Digest::default();
    let databases = debug.engine.data.keyspace.databases();
    for database in databases.iter().filter(|database| !database.is_empty()) {
        whole.append(&database.index.to_be_bytes());
        for entry in database.table().iter() {
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
            let mut key = Digest::default();
            key.append(entry.key);
            append_value(&mut key, value, entry.deadline);
            whole.add(&key.bytes());
        }
    }
    debug.reply.simple(&whole.hex());
    Ok(Done::Replied)
}

pub(super) fn digest_value(debug: &mut Debug<'_>) -> Outcome {
    debug.reply.array(debug.args.len());
    let mut view = debug.engine.view_of(debug.client);
    // A key past its deadline has a value as long as it is there.
    view.env.ignore_expiry = true;
    for key in debug.args.iter() {
        let mut digest = Digest::default();
        if let Some(at) = view.lookup_silent(key) {
            append_value(&mut digest, view.stored_value(at), view.deadline(at));
        }
        debug.reply.simple(&digest.hex());
    }
    Ok(Done::Replied)
}

#[cfg(test)]
mod tests {
    use sha1::Digest as _;

    /// The crate's own interface gives the same, for every length around the blocks' ends.
    #[test]
    fn sha1_is_sha1() {
        let text: Vec<u8> = (0..400_u32).map(|n| (n * 7) as u8).collect();
        for len in 0..text.len() {
            let ours = super::Digest(super::sha1(&text[..len]));
            assert_eq!(ours.bytes()[..], sha1::Sha1::digest(&text[..len])[..], "{len} bytes");
            let hex: String = ours.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(ours.hex(), hex);
        }
    }
}
