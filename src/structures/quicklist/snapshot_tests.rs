//! Tests of snapshots: what the sink gets is the list as it was, whatever happens to it meanwhile.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::tests::{Items, contents, step};
use super::*;
use crate::base::rng::Rng;

struct Sink(Sender<Node>);

impl NodeSink for Sink {
    fn take(&mut self, node: &Node) {
        // The test may be gone already, having failed.
        let _ = self.0.send(node.clone());
    }
}

fn start(list: &mut Quicklist) -> Receiver<Node> {
    let (sender, taken) = channel();
    list.start_snapshot(Box::new(Sink(sender)));
    taken
}

/// Everything that was taken is what `before` had, node by node, in the same order.
fn compare(taken: &Receiver<Node>, before: &Quicklist, seed: u64) {
    let limits = NodeLimits::new(-2, 0, 0);
    let (mut copy, mut counts) = (Quicklist::new(), Vec::new());
    for node in taken {
        counts.push(node.count());
        match &node {
            Node::Plain(item) => copy.push_plain((**item).clone(), &limits),
            packed => copy.push_listpack(packed.listpack().expect("a listpack").into_owned(), &limits),
        }
    }
    assert!(counts.into_iter().eq(before.nodes().map(Node::count)), "seed {seed}: the nodes");
    assert!(contents(&copy, 0, End::Back) == contents(before, 0, End::Back), "seed {seed}: the items");
}

/// Sizes of nodes, thresholds of plain ones, depths of compression.
const LIMITS: [(i64, usize, usize); 9] =
    [(-1, 0, 0), (-2, 0, 1), (4, 0, 2), (1, 0, 0), (1, 0, 1), (7, 12, 1), (0, 0, 0), (3, 1, 0), (-1, 0, 3)];

fn random_list(rng: &mut Rng, limits: &NodeLimits, items: Items) -> (Quicklist, VecDeque<Vec<u8>>) {
    let (mut list, mut model) = (Quicklist::new(), VecDeque::new());
    for _ in 0..rng.below(300) {
        step(&mut list, &mut model, rng, limits, items);
    }
    (list, model)
}

#[test]
fn a_snapshot_is_the_list_as_it_was() {
    for seed in 1..=36 {
        let mut rng = Rng::new(seed);
        let (fill, threshold, depth) = LIMITS[seed as usize % LIMITS.len()];
        let items = if seed % 3 == 0 { Items::Few } else { Items::Any };
        let limits = NodeLimits::new(fill, threshold, depth);
        let (mut list, mut model) = random_list(&mut rng, &limits, items);
        for _ in 0..4 {
            let before = list.clone();
            assert!(!before.in_snapshot());
            let taken = start(&mut list);
            assert_eq!(list.in_snapshot(), !before.is_empty());
            let most = [1, 3, 10, 40][rng.below(4) as usize];
            let mut is_open = list.in_snapshot();
            while is_open {
                for _ in 0..rng.below(most + 1) {
                    let depth = if rng.below(20) > 0 { depth } else { rng.below(3) as usize };
                    step(&mut list, &mut model, &mut rng, &NodeLimits::new(fill, threshold, depth), items);
                    list.check_snapshot();
                }
                for _ in 0..rng.below(8) {
                    if !is_open {
                        break;
                    }
                    let left = list.snapshot_left();
                    is_open = list.snapshot_step();
                    assert!(list.snapshot_left() < left.max(1));
                }
                assert_eq!(is_open, list.in_snapshot());
            }
            list.check_invariants();
            compare(&taken, &before, seed);
            assert!(contents(&list, 0, End::Back).iter().eq(&model), "seed {seed}");
        }
    }
}

#[test]
fn what_becomes_of_the_list_loses_nothing() {
    for seed in 1..=60 {
        let mut rng = Rng::new(seed);
        let (fill, threshold, depth) = LIMITS[seed as usize % LIMITS.len()];
        let limits = NodeLimits::new(fill, threshold, depth);
        let (mut list, mut model) = random_list(&mut rng, &limits, Items::Any);
        let before = list.clone();
        let taken = start(&mut list);
        for _ in 0..rng.below(30) {
            step(&mut list, &mut model, &mut rng, &limits, Items::Any);
        }
        list.snapshot_step();
        match seed % 5 {
            0 => drop(list),
            1 => drop(list.free_some(1)),
            2 => drop((list.remove_range(0, usize::MAX, &limits), list)),
            3 => {
                // The way of a list that becomes a listpack.
                list.remove_range(1, usize::MAX, &limits);
                let expected = model.front().cloned();
                let is_plain = matches!(list.nodes().next(), Some(Node::Plain(_)));
                let pack = list.take_only_listpack();
                assert_eq!(pack.is_none(), is_plain || model.is_empty());
                if let Some(pack) = pack {
                    assert_eq!(pack.get(0).map(Entry::to_vec), expected);
                }
                drop(list);
            }
            _ => while list.snapshot_step() {},
        }
        compare(&taken, &before, seed);
    }
}

#[test]
fn a_cancelled_snapshot_takes_no_more() {
    let limits = NodeLimits::new(2, 0, 0);
    let mut list = Quicklist::new();
    (0..1000i64).for_each(|item| list.push(End::Back, item, &limits));
    let first = start(&mut list);
    // A second one takes the place of the first.
    let second = start(&mut list);
    assert_eq!(first.iter().count(), 0);
    assert!(list.snapshot_step());
    assert_eq!(list.snapshot_left(), 500 - 64);
    list.cancel_snapshot();
    assert!(!list.in_snapshot() && !list.snapshot_step());
    list.remove_range(3, 900, &limits);
    list.check_invariants();
    assert_eq!(second.iter().count(), 64);
}

#[test]
fn removed_nodes_are_kept_and_changed_ones_copied() {
    let limits = NodeLimits::new(2, 0, 0);
    let mut list = Quicklist::new();
    (0..1000i64).for_each(|item| list.push(End::Back, item, &limits));
    let before = list.clone();
    let taken = start(&mut list);
    list.set(501, 7i64, &limits);
    list.remove_equal(b"42", 1, End::Back, &limits);
    list.remove_range(10, 900, &limits);
    list.insert(5, true, -1i64, &limits);
    list.check_invariants();
    assert_eq!(list.snapshot_left(), 500);
    drop(list);
    compare(&taken, &before, 0);
}
