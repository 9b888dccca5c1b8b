//! Tests of the B+ tree against a sorted vector.

use super::*;
use crate::base::rng::Rng;

type Model = Vec<(f64, Vec<u8>, Handle)>;

impl<const L: usize, const F: usize> Tree<L, F> {
    /// Panics unless the structure is sound.
    pub fn check_invariants(&self, members: &MemberArena) {
        let mut leaves = Vec::new();
        let mut inners = 0;
        let count = self.check_node(self.root, self.height, None, &mut leaves, &mut inners);
        assert_eq!(count, self.len);
        assert_eq!((self.first, self.last), (leaves[0], *leaves.last().unwrap()));
        assert_eq!((self.leaves.live(), self.inners.live()), (leaves.len(), inners));
        for (i, &id) in leaves.iter().enumerate() {
            let prev = i.checked_sub(1).map_or(NIL, |i| leaves[i]);
            let next = leaves.get(i + 1).copied().unwrap_or(NIL);
            assert_eq!((self.leaves.get(id).prev, self.leaves.get(id).next), (prev, next));
        }
        let all: Vec<_> = self.forward(self.at_rank(0)).map(|(s, h)| (s, members.bytes(h))).collect();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    }

    fn check_node(
        &self,
        id: NodeId,
        height: usize,
        first: Option<(f64, Handle)>,
        leaves: &mut Vec<NodeId>,
        inners: &mut usize,
    ) -> usize {
        if height == 0 {
            let leaf = self.leaves.get(id);
            leaves.push(id);
            assert!(leaf.len() > 0 || self.height == 0);
            if let Some(first) = first {
                assert_eq!((leaf.scores[0], leaf.handles[0]), first);
            }
            return leaf.len();
        }
        *inners += 1;
        let inner = self.inners.get(id);
        assert!(inner.len() > usize::from(height == self.height));
        if let Some(first) = first {
            assert_eq!((inner.scores[0], inner.handles[0]), first);
        }
        let mut total = 0;
        for i in 0..inner.len() {
            let first = Some((inner.scores[i], inner.handles[i]));
            let below = self.check_node(inner.children[i], height - 1, first, leaves, inners);
            assert_eq!(below, inner.counts[i] as usize);
            total += below;
        }
        total
    }
}

fn compare<const L: usize, const F: usize>(
    tree: &Tree<L, F>,
    members: &MemberArena,
    model: &Model,
    rng: &mut Rng,
) {
    tree.check_invariants(members);
    assert_eq!(tree.len(), model.len());
    let handles: Vec<_> = model.iter().map(|(s, _, h)| (*s, *h)).collect();
    let rank = rng.below(model.len() as u64 + 1) as usize;
    let position = tree.at_rank(rank);
    assert_eq!(position.rank, rank);
    assert!(tree.forward(position).eq(handles[rank..].iter().copied()));
    assert!(tree.backward(position).eq(handles[..rank].iter().rev().copied()));
    for (rank, (score, member, _)) in model.iter().enumerate().step_by(1 + model.len() / 20) {
        let position = tree.locate_member(*score, member, members);
        assert_eq!(position.rank, rank);
        assert_eq!(tree.forward(position).next(), Some(handles[rank]));
    }
    let mut near = Near::default();
    for _ in 0..8 {
        let score = if rng.below(2) == 0 || model.is_empty() {
            rng.below(40) as f64
        } else {
            model[rng.below(model.len() as u64) as usize].0
        };
        let from = model.partition_point(|(s, ..)| *s < score);
        assert!(tree.from_score(score, &mut near).eq(handles[from..].iter().copied()));
    }
    let score = rng.below(40) as f64;
    let position = tree.locate(|s, _| s <= score);
    assert_eq!(position.rank, model.partition_point(|(s, ..)| *s <= score));
    assert!(tree.backward(position).take(3).eq(handles[..position.rank].iter().rev().take(3).copied()));
}

fn churn<const L: usize, const F: usize>(seed: u64, rounds: usize, scores: u64) {
    let mut rng = Rng::new(seed);
    let (mut tree, mut members) = (Tree::<L, F>::new(), MemberArena::new());
    let mut model: Model = Vec::new();
    for round in 0..rounds {
        let growing = (round * 4 / rounds).is_multiple_of(2);
        let dice = rng.below(10);
        if model.is_empty() || dice < if growing { 6 } else { 2 } {
            let score = rng.below(scores) as f64;
            let member = rng.next_u64().to_le_bytes().to_vec();
            let handle = members.alloc(score, &member);
            tree.insert(score, handle, &members);
            let at = model.partition_point(|(s, m, _)| (*s, m) < (score, &member));
            model.insert(at, (score, member, handle));
        } else if dice < 8 {
            let rank = rng.below(model.len() as u64) as usize;
            let (score, _, handle) = model.remove(rank);
            if dice.is_multiple_of(2) {
                assert_eq!(tree.remove_rank(rank), Some((score, handle)));
            } else {
                assert!(tree.remove(score, handle, &members));
                assert!(!tree.remove(score, handle, &members));
            }
            members.free(handle);
        } else {
            let (score, member, handle) = model.remove(rng.below(model.len() as u64) as usize);
            let new = if dice == 8 { rng.below(scores) as f64 } else { score + rng.unit() };
            tree.change_score(score, new, handle, &members);
            let at = model.partition_point(|(s, m, _)| (*s, m) < (new, &member));
            model.insert(at, (new, member, handle));
        }
        if round % 97 == 0 {
            compare(&tree, &members, &model, &mut rng);
        }
    }
    while let Some((score, _, handle)) = model.pop() {
        assert_eq!(tree.remove_rank(model.len()), Some((score, handle)));
    }
    compare(&tree, &members, &model, &mut rng);
}

#[test]
fn behaves_like_a_sorted_vector() {
    for seed in 0..6 {
        churn::<4, 4>(seed, 3000, 1 + 10 * seed);
        churn::<7, 5>(seed, 3000, 1_000_000);
    }
    churn::<84, 51>(9, 12_000, 1 << 40);
}

#[test]
fn sequences_leave_leaves_full() {
    for falling in [false, true] {
        let (mut tree, mut members) = (Ordered::new(), MemberArena::new());
        for i in 0..20_000 {
            let score = if falling { -f64::from(i) } else { f64::from(i) };
            let handle = members.alloc(score, b"m");
            tree.insert(score, handle, &members);
        }
        tree.check_invariants_without_order(20_000);
        assert!(tree.leaves.live() <= 20_000 / 84 + 1, "{}", tree.leaves.live());
    }
}

impl<const L: usize, const F: usize> Tree<L, F> {
    fn check_invariants_without_order(&self, len: usize) {
        assert_eq!(self.forward(self.at_rank(0)).count(), len);
        assert_eq!(self.backward(self.at_rank(len)).count(), len);
        assert!(self.forward(self.at_rank(0)).map(|(score, _)| score).is_sorted());
    }
}

#[test]
fn infinities_are_ordinary_and_an_emptied_tree_works() {
    let (mut tree, mut members) = (Tree::<4, 4>::new(), MemberArena::new());
    assert!(tree.remove_rank(0).is_none() && tree.forward(tree.at_rank(0)).next().is_none());
    for round in 0..3 {
        for (i, score) in [f64::INFINITY, 0.0, f64::NEG_INFINITY, -0.0, f64::MAX].into_iter().enumerate() {
            let handle = members.alloc(score, &[i as u8, round]);
            tree.insert(score, handle, &members);
        }
        tree.check_invariants(&members);
        assert_eq!(tree.locate(|s, _| s < f64::INFINITY).rank, 4);
        while tree.remove_rank(0).is_some() {}
        tree.check_invariants(&members);
    }
}

#[test]
fn is_freed_in_slices() {
    let (mut tree, mut members) = (Tree::<4, 4>::new(), MemberArena::new());
    for i in 0..100 {
        tree.insert(0.0, members.alloc(0.0, &[i]), &members);
    }
    let slices = (0..).take_while(|_| !tree.free_some(4)).count();
    assert!(slices >= 5, "{slices}");
}
