//! A tracker: how a client tracks, and which prefixes it may follow.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use crate::base::ids::ClientId;
use crate::resp::CommandError;

/// Bytes that the prefixes of a client may take, [`PREFIX_OVERHEAD`] for each included.
pub const MAX_PREFIX_BYTES: usize = 4 << 20;
/// What a prefix takes beside its text, bytes.
const PREFIX_OVERHEAD: usize = 64;
/// What a client takes for each prefix, bytes; its text is the table's.
const SHARE: usize = 24;

/// How a client tracks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracker {
    pub broadcast: bool,
    pub opt_in: bool,
    pub opt_out: bool,
    pub no_loop: bool,
    /// The client that gets the messages, and its CLIENT ID.
    pub redirect: Option<(ClientId, u64)>,
    /// That client was found to be gone.
    pub broken: bool,
    /// With `broadcast`: the prefixes that the client asked for. None overlaps another, but that the empty one may have been
    /// added to them.
    prefixes: BTreeSet<Arc<[u8]>>,
    prefix_bytes: usize,
}

/// Why prefixes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError<'a> {
    /// The first overlaps the second, which the client follows already.
    Existing(&'a [u8], &'a [u8]),
    /// The first overlaps the second of the same request.
    Provided(&'a [u8], &'a [u8]),
    /// All together take more than [`MAX_PREFIX_BYTES`].
    TooLong,
}

impl From<PrefixError<'_>> for CommandError {
    fn from(error: PrefixError<'_>) -> Self {
        let (prefix, which, other) = match error {
            PrefixError::Existing(prefix, other) => (prefix, "an existing", other),
            PrefixError::Provided(prefix, other) => (prefix, "another provided", other),
            PrefixError::TooLong => {
                return CommandError::text("ERR The prefixes of a client must not take more than 4mb");
            }
        };
        let quotable = |prefix: &'_ [u8]| CommandError::quotable(prefix, usize::MAX).to_vec();
        let mut text = b"ERR Prefix '".to_vec();
        text.extend_from_slice(&quotable(prefix));
        text.extend_from_slice(format!("' overlaps with {which} prefix '").as_bytes());
        text.extend_from_slice(&quotable(other));
        text.extend_from_slice(b"'. Prefixes for a single client must not overlap.");
        CommandError::new(text)
    }
}

impl Tracker {
    /// The prefixes that the client asked for, in order.
    pub fn prefixes(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.prefixes.iter().map(|prefix| &**prefix)
    }

    /// The prefixes that lead to the client's keys: the empty one does for all others.
    pub fn followed(&self) -> impl Iterator<Item = &[u8]> {
        let count = if self.follows_all() { 1 } else { self.prefixes.len() };
        self.prefixes().take(count)
    }

    /// Whether it follows all keys.
    pub fn follows_all(&self) -> bool {
        self.prefixes.first().is_some_and(|prefix| prefix.is_empty())
    }

    /// Adds a prefix; false if it is there.
    pub fn add_prefix(&mut self, prefix: Arc<[u8]>) -> bool {
        let bytes = prefix.len() + PREFIX_OVERHEAD;
        let added = self.prefixes.insert(prefix);
        if added {
            self.prefix_bytes += bytes;
        }
        added
    }

    /// Takes over the prefixes of the tracker that this one replaces.
    pub fn keep_prefixes(&mut self, old: &mut Tracker) {
        self.prefixes = std::mem::take(&mut old.prefixes);
        self.prefix_bytes = old.prefix_bytes;
    }

    /// Bytes that it takes.
    pub fn memory_usage(&self) -> usize {
        size_of::<Self>() + self.prefixes.len() * SHARE
    }

    /// The first of the prefixes, in their order, that overlaps `prefix`.
    fn overlapping(&self, prefix: &[u8]) -> Option<&[u8]> {
        if self.follows_all() {
            return self.prefixes.first().map(|first| &**first);
        }
        // No prefix lies between a prefix of `prefix` and `prefix` that would not overlap the former.
        let before = self.prefixes.range::<[u8], _>((Unbounded, Included(prefix))).next_back();
        let after = self.prefixes.range::<[u8], _>((Excluded(prefix), Unbounded)).next();
        let before = before.filter(|before| prefix.starts_with(before));
        let after = after.filter(|after| after.starts_with(prefix));
        before.or(after).map(|found| &**found)
    }
}

/// For each of the `prefixes` whether it overlaps another one of them.
fn overlaps(prefixes: &[&[u8]]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..prefixes.len()).collect();
    order.sort_unstable_by_key(|index| prefixes[*index]);
    let mut found = vec![false; prefixes.len()];
    // Those that the current one begins with, each with the one before.
    let mut open: Vec<usize> = Vec::new();
    for index in order {
        while open.last().is_some_and(|last| !prefixes[index].starts_with(prefixes[*last])) {
            open.pop();
        }
        if let Some(last) = open.last() {
            (found[*last], found[index]) = (true, true);
        }
        open.push(index);
    }
    found
}

/// Checks whether a client whose tracker is `old` may follow `prefixes` as well. The error is of the first one that overlaps
/// another, as Redis finds it.
pub fn check_prefixes<'a>(old: Option<&'a Tracker>, prefixes: &[&'a [u8]]) -> Result<(), PrefixError<'a>> {
    let found = overlaps(prefixes);
    for (index, prefix) in prefixes.iter().enumerate() {
        if let Some(other) = old.and_then(|old| old.overlapping(prefix)) {
            return Err(PrefixError::Existing(prefix, other));
        }
        let mut later = prefixes[index + 1..].iter();
        if found[index]
            && let Some(other) = later.find(|other| prefix.starts_with(other) || other.starts_with(prefix))
        {
            return Err(PrefixError::Provided(prefix, other));
        }
    }
    let bytes: usize = prefixes.iter().map(|prefix| prefix.len() + PREFIX_OVERHEAD).sum();
    if old.map_or(0, |old| old.prefix_bytes) + bytes > MAX_PREFIX_BYTES {
        return Err(PrefixError::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tracker(prefixes: &[&str]) -> Tracker {
        let mut tracker = Tracker { broadcast: true, ..Tracker::default() };
        prefixes.iter().for_each(|prefix| assert!(tracker.add_prefix(prefix.as_bytes().into())));
        tracker
    }

    fn check(old: &[&str], new: &[&str]) -> String {
        let old = tracker(old);
        let new: Vec<&[u8]> = new.iter().map(|prefix| prefix.as_bytes()).collect();
        match check_prefixes(Some(&old), &new) {
            Ok(()) => "ok".into(),
            Err(error) => {
                let error = CommandError::from(error);
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                text.replace("ERR Prefix ", "")
                    .replace(" prefix", "")
                    .replace(". Prefixes for a single client must not overlap.", "")
            }
        }
    }

    /// As redis-server 8.6 answers.
    #[test]
    fn overlaps_are_found_in_the_order_of_the_request() {
        for (old, new, expected) in [
            (&[][..], &["ab", "x", "a", "xy"][..], "'ab' overlaps with another provided 'a'"),
            (&[], &["x", "ab", "a", "xy"], "'x' overlaps with another provided 'xy'"),
            (&[], &["a", "a"], "'a' overlaps with another provided 'a'"),
            (&["mna", "mno"], &["a", "ab", "m"], "'a' overlaps with another provided 'ab'"),
            (&["mna", "mno"], &["m"], "'m' overlaps with an existing 'mna'"),
            (&["mna", "mno"], &["mnop", "z", "z"], "'mnop' overlaps with an existing 'mno'"),
            (&["", "foo"], &["fo"], "'fo' overlaps with an existing ''"),
            (&["foo"], &[""], "'' overlaps with an existing 'foo'"),
            (&["foo"], &["fop", "fo1", "f1"], "ok"),
            (&[], &["a\0b", "a\0bc"], "'a' overlaps with another provided 'a'"),
        ] {
            assert_eq!(check(old, new), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn prefixes_are_bounded() {
        let long = vec![b'x'; MAX_PREFIX_BYTES / 2];
        let mut tracker = Tracker::default();
        assert_eq!(check_prefixes(None, &[&long]), Ok(()));
        tracker.add_prefix(long.as_slice().into());
        assert_eq!(check_prefixes(Some(&tracker), &[b"a"]), Ok(()));
        let other = vec![b'y'; MAX_PREFIX_BYTES / 2];
        assert_eq!(check_prefixes(Some(&tracker), &[&other]), Err(PrefixError::TooLong));
        assert_eq!(tracker.memory_usage(), size_of::<Tracker>() + SHARE);
    }

    /// Redis's way: each with each.
    fn naive<'a>(old: &'a Tracker, prefixes: &[&'a [u8]]) -> Result<(), PrefixError<'a>> {
        let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
        for (index, prefix) in prefixes.iter().enumerate() {
            if let Some(other) = old.prefixes().find(|other| overlap(prefix, other)) {
                return Err(PrefixError::Existing(prefix, other));
            }
            if let Some(other) = prefixes[index + 1..].iter().find(|other| overlap(prefix, other)) {
                return Err(PrefixError::Provided(prefix, other));
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn the_check_finds_what_comparing_each_with_each_finds(
            requests in prop::collection::vec(prop::collection::vec("[ab]{0,4}", 0..5), 1..6),
            adds_all in 0..8usize,
        ) {
            let mut tracker = Tracker::default();
            for (number, request) in requests.iter().enumerate() {
                let prefixes: Vec<&[u8]> = request.iter().map(|prefix| prefix.as_bytes()).collect();
                let expected = naive(&tracker, &prefixes);
                prop_assert_eq!(check_prefixes(Some(&tracker), &prefixes), expected);
                if expected.is_ok() {
                    prefixes.iter().for_each(|prefix| { tracker.add_prefix((*prefix).into()); });
                }
                if number == adds_all {
                    tracker.add_prefix(b"".as_slice().into());
                }
            }
        }
    }
}
