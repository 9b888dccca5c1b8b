//! The keys of a slot, in all databases or in one.

use crate::base::crc::key_slot;
use crate::engine::Engine;
use crate::resp::Reply;

/// How many keys a slot has in all databases.
pub(super) fn count(engine: &Engine, slot: u16) -> usize {
    (0..engine.data.keyspace.count()).map(|db| count_in(engine, db, slot)).sum()
}

/// How many keys a slot has in a database.
pub(super) fn count_in(engine: &Engine, db: usize, slot: u16) -> usize {
    let table = engine.data.keyspace.database(db).table();
    table.iter().filter(|entry| key_slot(entry.key) == slot).count()
}

/// Writes up to `most` keys of a slot.
pub(super) fn write_some(engine: &Engine, db: usize, slot: u16, most: usize, reply: &mut Reply) {
    let table = engine.data.keyspace.database(db).table();
    let keys: Vec<_> = table.iter().filter(|entry| key_slot(entry.key) == slot).take(most).collect();
    reply.array(keys.len());
    keys.iter().for_each(|entry| reply.bulk(entry.key));
}

/// Removes the keys of a slot from all databases.
pub(super) fn remove_all(engine: &mut Engine, slot: u16) {
    for db in 0..engine.data.keyspace.count() {
        let table = engine.data.keyspace.database(db).table();
        let of_slot = table.iter().filter(|entry| key_slot(entry.key) == slot);
        let keys: Vec<Box<[u8]>> = of_slot.map(|entry| entry.key.into()).collect();
        let mut view = engine.view(db);
        for key in keys {
            view.remove(&key);
        }
    }
}
