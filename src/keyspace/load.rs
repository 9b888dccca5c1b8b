//! Loading: puts keys from a file straight into the table, without events, statistics or expiry.

use super::Keyspace;
use crate::structures::table::{EMBEDDED_MAX, EntryValue, NewValue, RemovedValue};
use crate::value::{Value, embedded};

/// What a file says of a key.
#[derive(Debug)]
pub struct LoadedKey<'a> {
    pub key: &'a [u8],
    pub value: NewValue<'a, Value>,
    /// Unix ms.
    pub deadline: Option<u64>,
    /// The access word.
    pub access: u32,
}

impl Keyspace {
    /// Puts a key into a database; over one of the same name only if it `replaces`. False if there is one that stays.
    pub fn load(&mut self, db: usize, loaded: LoadedKey<'_>, replaces: bool) -> bool {
        let mut buffer = [0; EMBEDDED_MAX];
        let LoadedKey { key, mut value, deadline, access } = loaded;
        if let NewValue::Object(object) = &value
            && let Some((tag, bytes)) = embedded::embed(object, 0, &mut buffer)
        {
            value = NewValue::Embedded(tag, bytes);
        }
        let (database, _, _, lazy_free, _) = self.parts(db);
        let hash = database.table.hash(key);
        let found = database.table.find(hash, key);
        if found.is_some() && !replaces {
            return false;
        }
        let (deadline_within, is_stream) = match &value {
            NewValue::Object(value) => (value.next_deadline_within(), matches!(**value, Value::Stream(_))),
            _ => (None, false),
        };
        if let Some(at) = found {
            if let EntryValue::Object(value) = database.table.value(at)
                && value.next_deadline_within().is_some()
            {
                let was_stream = matches!(value, Value::Stream(_));
                database.set_deadline_within(hash, key, was_stream, None);
            }
            if let RemovedValue::Object(value) = database.table.remove(at, hash) {
                database.collection_memory.remove(hash, &value);
                lazy_free.value(value);
            }
        }
        if let NewValue::Object(value) = &value {
            if let Value::Stream(stream) = &**value {
                database.note_stream(stream);
            }
            database.collection_memory.add(hash, value);
        }
        database.table.insert(hash, key, value, deadline, access);
        if deadline_within.is_some() {
            database.set_deadline_within(hash, key, is_stream, deadline_within);
        }
        true
    }
}
