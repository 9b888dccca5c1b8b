//! Deletion and trimming of entries with regard to consumer groups: which of them still refer to an entry.
//!
//! A group refers to an entry that is pending with it, or that it was not given yet. There is no index from entries to groups:
//! an entry is looked up in each group's pending entries, and a trim asks each group once a node, not once an entry.

use super::{Groups, Stream, StreamId, Trim, TrimTo};

/// What becomes of the references of groups to an entry that is to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// `KEEPREF`: they stay.
    #[default]
    Keep,
    /// `DELREF`: it is no longer pending with any group.
    Delete,
    /// `ACKED`: an entry that a group refers to stays.
    Acked,
}

/// The result of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// There is no such entry.
    Missing,
    /// It is gone.
    Deleted,
    /// A group refers to it.
    Referenced,
}

/// The result of a trim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Entries that were removed.
    pub removed: usize,
    /// Pending entries that were removed beside.
    pub forgotten: usize,
    /// The first id that was not looked at because the trim's limit was reached. What no group refers to is gone below it.
    pub cut_at: Option<StreamId>,
}

impl Stream {
    /// Deletes entries, and tells how many pending entries went beside. A group that was not given an id refers to it, too, so
    /// an id that there is no entry of can be [`Deletion::Referenced`], as in Redis. Each group is asked once.
    pub fn delete_all(&mut self, ids: &[StreamId], references: References) -> (Vec<Deletion>, usize) {
        let mut sorted = ids.to_vec();
        if references != References::Keep {
            sorted.sort_unstable();
            sorted.dedup();
        }
        let mut forgotten = 0;
        let mut referenced = Vec::new();
        match references {
            References::Keep => {}
            References::Delete => forgotten = self.groups.forget(&sorted),
            References::Acked => referenced = self.groups.referenced(&sorted),
        }
        let mut delete = |id: StreamId| match sorted.binary_search(&id) {
            Ok(at) if references == References::Acked && referenced[at] => Deletion::Referenced,
            _ if self.log.delete(id) => Deletion::Deleted,
            _ => Deletion::Missing,
        };
        (ids.iter().map(|id| delete(*id)).collect(), forgotten)
    }

    /// Removes the oldest entries. With references that don't stay as they are, an approximate trim is exact but for its limit.
    pub fn trim(&mut self, trim: Trim, references: References) -> Trimmed {
        match references {
            References::Keep => Trimmed { removed: self.log.trim(trim), ..Trimmed::default() },
            References::Delete | References::Acked => self.trim_referenced(trim, references),
        }
    }

    fn trim_referenced(&mut self, trim: Trim, references: References) -> Trimmed {
        let (log, groups) = (&mut self.log, &mut self.groups);
        let mut trimmed = Trimmed::default();
        // Groups are asked only once there is something to trim: there may be many of them.
        let mut least_delivered = None;
        let mut after = None;
        while let Some(node) = log.node_after(after) {
            let excess = match trim.to {
                TrimTo::Len(most) => (log.len() as u64).saturating_sub(most) as usize,
                TrimTo::MinId(_) => usize::MAX,
            };
            if excess == 0 {
                break;
            }
            if trim.limit > 0 && (trimmed.removed + node.ids.len()) as u64 > trim.limit {
                trimmed.cut_at = node.ids.first().copied();
                break;
            }
            // Only a node that may go as a whole is followed by the next one.
            let (is_last, candidates) = match trim.to {
                TrimTo::Len(_) => (node.ids.len() > excess, node.ids.len()),
                TrimTo::MinId(least) => (node.last_id >= least, node.ids.partition_point(|id| *id < least)),
            };
            let mut ids = &node.ids[..candidates];
            let kept;
            if ids.is_empty() && is_last {
                break;
            }
            if references == References::Delete {
                ids = &ids[..candidates.min(excess)];
                trimmed.forgotten += groups.forget(ids);
            } else {
                let least = *least_delivered.get_or_insert_with(|| groups.least_delivered());
                kept = groups.unreferenced(ids, least, excess);
                ids = &kept;
            }
            log.remove_from_node(node.master, ids);
            trimmed.removed += ids.len();
            after = Some(node.master);
            if is_last {
                break;
            }
        }
        if trimmed.removed > 0 {
            log.find_first_again();
        }
        trimmed
    }
}

impl Groups {
    /// The least id that a group was given last: entries above it were not given to all. `None` without groups.
    fn least_delivered(&self) -> Option<StreamId> {
        self.iter().map(|(_, group)| group.last_delivered()).min()
    }

    /// Of each of the ids, which ascend, whether a group refers to it.
    fn referenced(&self, ids: &[StreamId]) -> Vec<bool> {
        let least = self.least_delivered();
        let mut referenced: Vec<bool> = ids.iter().map(|id| least.is_some_and(|least| *id > least)).collect();
        for (_, group) in self.iter() {
            for id in group.pending_of(ids) {
                if let Ok(at) = ids.binary_search(&id) {
                    referenced[at] = true;
                }
            }
        }
        referenced
    }

    /// Those of the ids, which ascend, that no group refers to, up to `most` of them.
    fn unreferenced(&self, ids: &[StreamId], least: Option<StreamId>, most: usize) -> Vec<StreamId> {
        let (Some(first), Some(last), Some(least)) = (ids.first(), ids.last(), least) else {
            return ids[..ids.len().min(most)].to_vec();
        };
        let mut is_free: Vec<bool> = ids.iter().map(|id| *id <= least).collect();
        for (_, group) in self.iter() {
            for (id, _) in group.pending_between(*first, *last) {
                if let Ok(at) = ids.binary_search(&id) {
                    is_free[at] = false;
                }
            }
        }
        ids.iter().zip(is_free).filter(|(_, is_free)| *is_free).map(|(id, _)| *id).take(most).collect()
    }
}
