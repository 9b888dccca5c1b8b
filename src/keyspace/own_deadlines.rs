//! Keys to which clients of a writable replica gave a deadline (`slaveKeysWithExpire`): the primary will send no DEL for them, so
//! that the replica removes them by itself.
//!
//! A key is listed once, under a deadline that it had: whether that still holds is looked up when the time has come. A key that
//! is removed leaves the list, so that there are never more than there are keys.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// A key of a numbered database.
type Name = (u32, Rc<[u8]>);

/// See the module's description.
#[derive(Debug, Default)]
pub struct OwnDeadlines {
    /// This server is a replica: what its clients set is noted.
    pub records: bool,
    listed: HashMap<Name, u64>,
    by_deadline: BTreeSet<(u64, Name)>,
}

impl OwnDeadlines {
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// A key has got a deadline, Unix ms.
    #[cold]
    pub fn insert(&mut self, db: u32, key: &[u8], deadline: u64) {
        let name: Name = (db, key.into());
        if let Some(old) = self.listed.insert(name.clone(), deadline) {
            self.by_deadline.remove(&(old, name.clone()));
        }
        self.by_deadline.insert((deadline, name));
    }

    /// A key is there no more.
    #[cold]
    pub fn remove(&mut self, db: u32, key: &[u8]) {
        if let Some((name, deadline)) = self.listed.remove_entry(&(db, key.into())) {
            self.by_deadline.remove(&(deadline, name));
        }
    }

    /// A database has been emptied.
    pub fn clear_database(&mut self, db: u32) {
        if !self.is_empty() {
            self.listed.retain(|name, _| name.0 != db);
            self.by_deadline.retain(|(_, name)| name.0 != db);
        }
    }

    /// Takes the key out whose deadline comes first, if that has passed by `now`.
    pub fn take_due(&mut self, now: u64) -> Option<(u32, Rc<[u8]>)> {
        let (deadline, _) = self.by_deadline.first()?;
        if *deadline >= now {
            return None;
        }
        let (_, name) = self.by_deadline.pop_first()?;
        self.listed.remove(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(own: &mut OwnDeadlines, now: u64) -> Vec<(u32, String)> {
        std::iter::from_fn(|| own.take_due(now))
            .map(|(db, key)| (db, String::from_utf8_lossy(&key).into_owned()))
            .collect()
    }

    #[test]
    fn a_key_is_due_once_by_its_last_deadline() {
        let mut own = OwnDeadlines::default();
        own.insert(0, b"a", 10);
        own.insert(0, b"a", 30);
        own.insert(1, b"a", 20);
        own.insert(0, b"b", 5);
        own.insert(0, b"gone", 6);
        own.remove(0, b"gone");
        own.remove(0, b"never there");
        assert_eq!(own.len(), 3);
        assert_eq!(due(&mut own, 5), []);
        assert_eq!(due(&mut own, 25), [(0, "b".into()), (1, "a".into())]);
        assert_eq!(due(&mut own, 100), [(0, "a".into())]);
        assert!(own.is_empty() && own.by_deadline.is_empty());
    }

    #[test]
    fn an_emptied_database_leaves_nothing() {
        let mut own = OwnDeadlines::default();
        for db in 0..3 {
            own.insert(db, b"key", 10);
        }
        own.clear_database(1);
        assert_eq!(due(&mut own, 100), [(0, "key".into()), (2, "key".into())]);
        assert_eq!(own.by_deadline.len(), 0);
    }
}
