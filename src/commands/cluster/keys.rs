//! The keys of a slot, in all databases or in one.

use crate::engine::Engine;
use crate::keyspace::SlotRemoval;
use crate::resp::Reply;

/// Keys removed at a time, so that not all names of a slot are held at once.
const BATCH: usize = 1024;

/// How many keys a slot has in all databases.
pub(super) fn count(engine: &Engine, slot: u16) -> usize {
    engine.data.keyspace.count_in_slot(slot)
}

/// How many keys a slot has in a database.
pub(super) fn count_in(engine: &Engine, db: usize, slot: u16) -> usize {
    engine.data.keyspace.database(db).count_in_slot(slot)
}

/// Writes up to `most` keys of a slot.
pub(super) fn write_some(engine: &Engine, db: usize, slot: u16, most: usize, reply: &mut Reply) {
    let keys = engine.data.keyspace.database(db).keys_in_slot(slot, most);
    reply.array(keys.len());
    keys.iter().for_each(|key| reply.bulk(key));
}

/// Removes the keys of a slot from all databases.
pub(super) fn remove_all(engine: &mut Engine, slot: u16) {
    for db in 0..engine.data.keyspace.count() {
        while engine.view(db).remove_from_slot(slot, BATCH, SlotRemoval::ByCommand) == BATCH {}
    }
}
