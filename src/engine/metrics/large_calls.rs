//! Large calls: the calls that held the loop the longest in the last hour, with who made them and how much they went through.
//!
//! Only calls of a millisecond and longer are looked at, by the measurement that the slow log and the latency monitor have anyway. Their
//! number is fixed: a longer call takes the place of the shortest.

use crate::base::ids::ClientId;
use crate::engine::Engine;
use crate::engine::command::keys;
use crate::engine::command::spec::category;
use crate::engine::command::table::CommandId;
use crate::resp::Args;
use crate::services::acl;
use crate::structures::table::EntryValue;
use crate::value::embedded;

/// Calls that are kept, and for how long, ms.
const KEPT: usize = 128;
const KEPT_MS: u64 = 3_600_000;
/// Bytes of a key or a name that are kept.
const KEPT_BYTES: usize = 128;
/// Keys of a request whose values are asked how large they are.
const MEASURED_KEYS: usize = 1000;

/// A call that took long.
#[derive(Clone, Debug)]
pub struct LargeCall {
    pub command: CommandId,
    /// When it ended, Unix ms, and how long it took.
    pub time_ms: u64,
    pub us: u64,
    /// The database that its client had selected.
    pub db: u32,
    /// The first key, or its beginning, and how many keys the request names.
    pub key: Option<Box<[u8]>>,
    pub keys: usize,
    /// What was kept of the key is all of it.
    pub key_is_whole: bool,
    /// Elements of the collections at its keys, or (KEYS, SCAN …) keys of the database, after the call.
    pub elements: usize,
    pub request_bytes: u64,
    pub reply_bytes: u64,
    /// CLIENT ID, `addr` and name of the client, and its user.
    pub client_id: u64,
    pub address: String,
    pub client_name: Box<[u8]>,
    pub user: Box<[u8]>,
}

/// The calls that took the longest.
#[derive(Clone, Debug, Default)]
pub struct LargeCalls {
    calls: Vec<LargeCall>,
}

impl LargeCalls {
    fn add(&mut self, call: LargeCall) {
        self.calls.retain(|known| known.time_ms + KEPT_MS > call.time_ms);
        if self.calls.len() == KEPT {
            let shortest = (0..KEPT).min_by_key(|index| self.calls[*index].us);
            match shortest.filter(|index| self.calls[*index].us < call.us) {
                Some(index) => self.calls.swap_remove(index),
                None => return,
            };
        }
        self.calls.push(call);
    }

    /// Those of the last hour, the longest first.
    pub fn longest(&self, now_ms: u64) -> Vec<&LargeCall> {
        let mut calls: Vec<_> = self.calls.iter().filter(|call| call.time_ms + KEPT_MS > now_ms).collect();
        calls.sort_by_key(|call| (std::cmp::Reverse(call.us), call.time_ms));
        calls
    }

    pub fn clear(&mut self) {
        self.calls.clear();
    }
}

fn beginning(bytes: &[u8]) -> Box<[u8]> {
    bytes[..bytes.len().min(KEPT_BYTES)].into()
}

impl Engine {
    /// Remembers a call that held the loop up.
    #[cold]
    pub(in crate::engine) fn note_large_call(
        &mut self,
        client: ClientId,
        id: CommandId,
        args: Args<'_>,
        nanos: u64,
        reply_bytes: u64,
    ) {
        let Some(session) = self.clients.sessions.get(client) else { return };
        let command = self.commands.get(id);
        let mut found = Vec::new();
        keys::find(command.spec, args, &mut found);
        let database = self.data.keyspace.database(session.db as usize);
        let elements_of = |key: &[u8]| {
            let table = database.table();
            match table.find(table.hash(key), key).map(|at| table.value(at)) {
                Some(EntryValue::Object(value)) => value.element_count(),
                Some(EntryValue::Embedded(tag, bytes)) => embedded::decode(tag, bytes).element_count(),
                Some(EntryValue::Int(_) | EntryValue::Bytes(_)) | None => 0,
            }
        };
        let elements = match found.as_slice() {
            [] if command.spec.categories() & category::KEYSPACE != 0 => database.len(),
            found => found.iter().take(MEASURED_KEYS).map(|at| elements_of(args.at(at.index))).sum(),
        };
        let key = found.first().map(|at| args.at(at.index));
        let user = session.user.as_ref().map_or(acl::DEFAULT, |user| &user.name);
        let call = LargeCall {
            command: id,
            time_ms: self.frame.now + nanos / 1_000_000,
            us: nanos / 1000,
            db: session.db,
            key: key.map(beginning),
            keys: found.len(),
            key_is_whole: key.is_none_or(|key| key.len() <= KEPT_BYTES),
            elements,
            request_bytes: args.frame_len() as u64,
            reply_bytes,
            client_id: session.id,
            address: session.peer.address(),
            client_name: beginning(session.name.as_deref().unwrap_or_default()),
            user: beginning(user),
        };
        self.metrics.large_calls.add(call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(us: u64, time_ms: u64) -> LargeCall {
        LargeCall {
            command: CommandId(0),
            time_ms,
            us,
            db: 0,
            key: None,
            keys: 0,
            key_is_whole: true,
            elements: 0,
            request_bytes: 0,
            reply_bytes: 0,
            client_id: 1,
            address: String::new(),
            client_name: Box::default(),
            user: Box::default(),
        }
    }

    #[test]
    fn the_longest_of_the_last_hour_are_kept() {
        let mut calls = LargeCalls::default();
        for us in 1..=200 {
            calls.add(call(us, 1000));
        }
        let kept: Vec<u64> = calls.longest(1000).iter().map(|call| call.us).collect();
        assert_eq!((kept.len(), kept[0], kept[127]), (128, 200, 73));
        calls.add(call(5, 1000));
        assert_eq!(calls.longest(1000).len(), 128);
        assert!(calls.longest(1000).iter().all(|call| call.us > 5));
        // An hour later a short one has its place.
        calls.add(call(7, 1000 + KEPT_MS));
        let kept: Vec<u64> = calls.longest(1000 + KEPT_MS).iter().map(|call| call.us).collect();
        assert_eq!(kept, [7]);
        assert!(calls.longest(1000 + 2 * KEPT_MS).is_empty());
    }
}
