//! The log of refusals (ACL LOG): the latest first; the same refusal within a minute is counted on its entry.

use std::collections::VecDeque;

use super::selector::Reason;

/// An entry takes up events like its own for so long, ms.
const GROUPING_MS: u64 = 60_000;
/// The latest entries that an event is compared with.
const COMPARED: usize = 10;
/// Bytes of a key, a name or a client's line that an entry keeps: as many as a word may have before AUTH. A client that is
/// refused must not fill the memory.
const KEPT: usize = 16 << 10;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub reason: Reason,
    /// `toplevel`, `multi`, `lua`.
    pub context: &'static str,
    /// The command, key, channel or database.
    pub object: Vec<u8>,
    pub username: Vec<u8>,
}

/// An event, or several that are alike.
#[derive(Clone, Debug)]
pub struct Entry {
    pub event: Event,
    pub count: u64,
    pub id: u64,
    /// Unix time, ms.
    pub created_ms: u64,
    pub updated_ms: u64,
    /// The client's line of CLIENT LIST when it was last refused.
    pub client: String,
}

/// The entries, bounded by `acllog-max-len`.
#[derive(Debug, Default)]
pub struct DenialLog {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl DenialLog {
    /// Notes an event; an entry that takes it up moves to the front.
    pub fn add(&mut self, mut event: Event, mut client: String, now_ms: u64, max_len: usize) {
        for text in [&mut event.object, &mut event.username] {
            text.truncate(KEPT);
            text.shrink_to_fit();
        }
        client.truncate(client.floor_char_boundary(KEPT));
        let is_alike =
            |entry: &Entry| entry.event == event && now_ms.saturating_sub(entry.updated_ms) <= GROUPING_MS;
        if let Some(at) = self.entries.iter().take(COMPARED).position(is_alike)
            && let Some(mut entry) = self.entries.remove(at)
        {
            entry.count += 1;
            entry.updated_ms = now_ms;
            entry.client = client;
            self.entries.push_front(entry);
            return;
        }
        let entry =
            Entry { event, count: 1, id: self.next_id, created_ms: now_ms, updated_ms: now_ms, client };
        self.next_id += 1;
        self.entries.push_front(entry);
        self.trim(max_len);
    }

    /// Drops the oldest beyond a number of entries.
    pub fn trim(&mut self, max_len: usize) {
        self.entries.truncate(max_len);
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The latest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(object: &str) -> Event {
        Event { reason: Reason::Key, context: "toplevel", object: object.into(), username: b"u".to_vec() }
    }

    fn shown(log: &DenialLog) -> Vec<(String, u64, u64)> {
        log.iter().map(|e| (String::from_utf8_lossy(&e.event.object).into(), e.count, e.id)).collect()
    }

    #[test]
    fn like_events_share_an_entry_for_a_minute() {
        let mut log = DenialLog::default();
        log.add(event("a"), "first".into(), 1000, 3);
        log.add(event("b"), String::new(), 2000, 3);
        log.add(event("a"), "second".into(), 61_000, 3);
        assert_eq!(shown(&log), [("a".into(), 2, 0), ("b".into(), 1, 1)]);
        let first = log.iter().next().unwrap();
        assert_eq!((first.created_ms, first.updated_ms, first.client.as_str()), (1000, 61_000, "second"));
        log.add(event("b"), String::new(), 62_001, 3);
        assert_eq!(shown(&log), [("b".into(), 1, 2), ("a".into(), 2, 0), ("b".into(), 1, 1)]);
        log.add(event("c"), String::new(), 62_001, 3);
        assert_eq!(log.iter().len(), 3, "bounded");
        log.trim(1);
        assert_eq!(shown(&log), [("c".into(), 1, 3)]);
        log.add(event("d"), String::new(), 62_001, 0);
        assert_eq!(log.iter().len(), 0);
    }

    #[test]
    fn an_entry_keeps_a_part_of_long_words() {
        let mut log = DenialLog::default();
        let long = "é".repeat(KEPT);
        log.add(Event { username: long.clone().into(), ..event(&long) }, format!("x{long}"), 1, 3);
        let entry = log.iter().next().unwrap();
        assert_eq!((entry.event.object.len(), entry.event.username.len()), (KEPT, KEPT));
        assert_eq!(entry.client.len(), KEPT - 1, "no half of a character");
        log.add(Event { username: long.clone().into(), ..event(&long) }, String::new(), 2, 3);
        assert_eq!(log.iter().next().unwrap().count, 2, "the same refusal, all the same");
    }
}
