//! Replication ids: which history of the data set the command stream's offsets belong to (`replid`, `replid2`).
//!
//! ```text
//! replid2 ────────────── second_offset │ replid ─────────────▶
//!      (the former primary's history)  │   (that of this server since its promotion)
//! ```
//!
//! A replica that asks to go on names an id and the offset of the next byte that it wants, counted from 1. The id must be the current
//! one; or the former one, and then the offset must not lie behind the point where the histories part.

use crate::base::ids::REPLID_LEN;

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub replid: String,
    /// The former id, and the first offset that it doesn't have (`second_repl_offset`).
    former: Option<(String, u64)>,
}

impl Identity {
    pub fn new(replid: String) -> Self {
        Identity { replid, former: None }
    }

    /// A new history: what follows has nothing to do with what was.
    pub fn change(&mut self, replid: String) {
        *self = Identity::new(replid);
    }

    /// A new history that begins as the old one, of which `end` bytes are known: replicas of either go on with it.
    pub fn shift(&mut self, replid: String, end: u64) {
        self.former = Some((std::mem::replace(&mut self.replid, replid), end + 1));
    }

    /// The former history, which ended with `end` bytes, as known from a file.
    pub fn set_former(&mut self, replid: String, end: u64) {
        self.former = Some((replid, end + 1));
    }

    /// Whether this history has the one of `asked`, up to the byte before `offset`.
    pub fn includes(&self, asked: &[u8], offset: u64) -> bool {
        let is_former =
            |(id, until): &(String, u64)| asked.eq_ignore_ascii_case(id.as_bytes()) && offset <= *until;
        asked.eq_ignore_ascii_case(self.replid.as_bytes()) || self.former.as_ref().is_some_and(is_former)
    }

    /// As INFO shows the former id: zeros without one.
    pub fn replid2(&self) -> String {
        self.former.as_ref().map_or_else(|| "0".repeat(REPLID_LEN), |(id, _)| id.clone())
    }

    /// As INFO shows the end of the former history: -1 without one.
    pub fn second_offset(&self) -> i64 {
        self.former.as_ref().map_or(-1, |(_, offset)| *offset as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories() {
        let (old, new, newest) = ("a".repeat(REPLID_LEN), "b".repeat(REPLID_LEN), "c".repeat(REPLID_LEN));
        let mut identity = Identity::new(old.clone());
        assert_eq!((identity.replid2(), identity.second_offset()), ("0".repeat(REPLID_LEN), -1));
        assert!(identity.includes(old.to_uppercase().as_bytes(), 1000));
        identity.shift(new.clone(), 100);
        assert_eq!((identity.replid2(), identity.second_offset()), (old.clone(), 101));
        // The next byte is the first that the new history has alone.
        assert!(identity.includes(old.as_bytes(), 101) && !identity.includes(old.as_bytes(), 102));
        assert!(identity.includes(new.as_bytes(), 500) && !identity.includes(b"?", 1));
        identity.change(newest.clone());
        assert!(identity.includes(newest.as_bytes(), 1) && !identity.includes(new.as_bytes(), 1));
        assert_eq!(identity.second_offset(), -1);
    }
}
