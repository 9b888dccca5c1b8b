//! Tests of deletion and trimming with regard to groups, against plain sets.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::rng::Rng;
use crate::value::Limits;

/// Entries, and of each group the last id it was given and what is pending with it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Naive {
    entries: BTreeSet<StreamId>,
    groups: BTreeMap<Vec<u8>, (StreamId, BTreeSet<StreamId>)>,
}

impl Naive {
    fn of(stream: &Stream) -> Naive {
        Naive {
            entries: stream.log.range(StreamId::ZERO, StreamId::MAX).map(|entry| entry.id).collect(),
            groups: stream
                .groups
                .iter()
                .map(|(name, group)| {
                    let pending = group.pending_from(StreamId::ZERO).map(|(id, _)| id).collect();
                    (name.to_vec(), (group.last_delivered(), pending))
                })
                .collect(),
        }
    }

    fn is_referenced(&self, id: StreamId) -> bool {
        self.groups.values().any(|(last, pending)| id > *last || pending.contains(&id))
    }

    fn delete(&mut self, id: StreamId, references: References) -> Deletion {
        match references {
            References::Acked if self.is_referenced(id) => return Deletion::Referenced,
            References::Delete => {
                for (_, pending) in self.groups.values_mut() {
                    pending.remove(&id);
                }
            }
            _ => {}
        }
        if self.entries.remove(&id) { Deletion::Deleted } else { Deletion::Missing }
    }

    /// Entry by entry; `nodes` has those of each node with the last id that it ever had.
    fn trim(&mut self, nodes: &[(Vec<StreamId>, StreamId)], trim: Trim, references: References) -> usize {
        let before = self.entries.len();
        for (ids, last_id) in nodes {
            let len = self.entries.len() as u64;
            let goes = match trim.to {
                TrimTo::Len(most) if len <= most => break,
                TrimTo::Len(most) => len - ids.len() as u64 >= most,
                TrimTo::MinId(least) => *last_id < least,
            };
            if trim.limit > 0 && (before - self.entries.len() + ids.len()) as u64 > trim.limit {
                break;
            }
            for id in ids {
                let stops = match trim.to {
                    TrimTo::Len(most) => self.entries.len() as u64 <= most,
                    TrimTo::MinId(least) => *id >= least,
                };
                if stops {
                    break;
                }
                self.delete(*id, references);
            }
            if !goes {
                break;
            }
        }
        before - self.entries.len()
    }
}

fn nodes_of(log: &Log) -> Vec<(Vec<StreamId>, StreamId)> {
    let (mut nodes, mut after) = (Vec::new(), None);
    while let Some(node) = log.node_after(after) {
        after = Some(node.master);
        nodes.push((node.ids, node.last_id));
    }
    nodes
}

fn random_stream(rng: &mut Rng, limits: &Limits) -> Stream {
    let mut stream = Stream::new();
    for _ in 0..rng.below(60) {
        let fields: [(&[u8], &[u8]); 1] = [(b"f", b"v")];
        let id = NewId::Auto(stream.log.last_id().ms + rng.below(2));
        stream.log.append(id, fields.into_iter(), limits).expect("above");
    }
    for name in 0..rng.below(4) {
        let mut group = Group::new(StreamId::ZERO, None);
        let consumer = group.add_consumer(b"c", 1);
        let most = rng.below(80) as usize;
        for entry in stream.log.range(StreamId::ZERO, StreamId::MAX).take(most) {
            group.deliver(&stream.log, entry.id, consumer, 1, rng.below(2) == 0);
        }
        stream.groups.create(format!("g{name}").as_bytes(), group);
    }
    for _ in 0..rng.below(15) {
        let id = any_id(&stream, rng);
        stream.log.delete(id);
    }
    stream
}

fn any_id(stream: &Stream, rng: &mut Rng) -> StreamId {
    StreamId::new(rng.below(stream.log.last_id().ms + 2), rng.below(3))
}

const ALL: [References; 3] = [References::Keep, References::Delete, References::Acked];

#[test]
fn deletes_as_sets_do() {
    let mut seen = BTreeMap::new();
    for seed in 1..=150 {
        let mut rng = Rng::new(seed);
        let limits = Limits { stream_node_max_entries: [3, 10][seed as usize % 2], ..Limits::default() };
        let mut stream = random_stream(&mut rng, &limits);
        let mut naive = Naive::of(&stream);
        for _ in 0..30 {
            // One is often named twice.
            let ids: Vec<StreamId> = (0..=rng.below(4)).map(|_| any_id(&stream, &mut rng)).collect();
            let references = ALL[rng.below(3) as usize];
            let before: usize = naive.groups.values().map(|(_, pending)| pending.len()).sum();
            let (deletions, forgotten) = stream.delete_all(&ids, references);
            let expected: Vec<Deletion> = ids.iter().map(|id| naive.delete(*id, references)).collect();
            assert_eq!(deletions, expected, "seed {seed}");
            let after: usize = naive.groups.values().map(|(_, pending)| pending.len()).sum();
            assert_eq!((Naive::of(&stream), forgotten), (naive.clone(), before - after), "seed {seed}");
            for deletion in deletions {
                *seen.entry(format!("{references:?} {deletion:?}")).or_insert(0) += 1;
            }
        }
        stream.check_invariants();
    }
    assert!(seen.len() == 7 && seen.values().all(|count| *count > 50), "{seen:?}");
}

#[test]
fn trims_as_sets_do() {
    let (mut cut, mut kept) = (0, 0);
    for seed in 1..=600 {
        let mut rng = Rng::new(seed);
        let limits = Limits { stream_node_max_entries: [3, 1, 10][seed as usize % 3], ..Limits::default() };
        let mut stream = random_stream(&mut rng, &limits);
        for _ in 0..3 {
            let mut naive = Naive::of(&stream);
            let to = match rng.below(2) {
                0 => TrimTo::Len(rng.below(naive.entries.len() as u64 + 2)),
                _ => TrimTo::MinId(any_id(&stream, &mut rng)),
            };
            let references = ALL[1 + rng.below(2) as usize];
            let limit = if rng.below(3) == 0 { rng.below(20) } else { 0 };
            let trim = Trim { to, approximate: rng.below(2) == 0, limit };
            let nodes = nodes_of(&stream.log);
            let before = stream.clone();
            let trimmed = stream.trim(trim, references);
            assert_eq!(trimmed.removed, naive.trim(&nodes, trim, references), "seed {seed}: {trim:?}");
            assert_eq!(Naive::of(&stream), naive, "seed {seed}: {trim:?} {references:?}");
            stream.check_invariants();
            cut += usize::from(trimmed.cut_at.is_some());
            kept += usize::from(matches!(to, TrimTo::MinId(id) if stream.log.first_id() < id));
            check_repeated(before, &stream, trim, references, trimmed);
        }
    }
    assert!(cut > 80 && kept > 80, "{cut} {kept}");
}

/// What XTRIM propagates comes to the same elsewhere: without the limit, up to where that was reached.
fn check_repeated(mut other: Stream, stream: &Stream, trim: Trim, references: References, done: Trimmed) {
    let to = done.cut_at.map_or(trim.to, TrimTo::MinId);
    other.trim(Trim { to, approximate: false, limit: 0 }, references);
    assert_eq!(Naive::of(&other), Naive::of(stream), "{trim:?} {references:?} {done:?}");
}

/// A group in a snapshot is handed over as it was.
#[test]
fn forgotten_references_are_in_a_snapshot() {
    for seed in 1..=40 {
        let (mut rng, limits) = (Rng::new(seed), Limits::default());
        let mut stream = random_stream(&mut rng, &limits);
        let pending = |stream: &Stream| {
            let mut ids = Vec::new();
            stream.parts(|part| {
                if let StreamPart::Pending { id, .. } = part {
                    ids.push(id);
                }
            });
            ids
        };
        let before = pending(&stream);
        struct Sink(std::sync::mpsc::Sender<StreamId>);
        impl StreamSink for Sink {
            fn take(&mut self, part: StreamPart<'_>) {
                if let StreamPart::Pending { id, .. } = part {
                    let _ = self.0.send(id);
                }
            }
        }
        let (sender, taken) = std::sync::mpsc::channel();
        stream.start_snapshot(Box::new(Sink(sender)));
        stream.trim(Trim { to: TrimTo::Len(3), approximate: false, limit: 0 }, References::Delete);
        while stream.snapshot_step() {}
        assert_eq!(taken.iter().collect::<Vec<_>>(), before, "seed {seed}");
    }
}
