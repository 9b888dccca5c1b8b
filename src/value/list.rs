//! A list: one listpack while it is small, a quicklist beyond.
//!
//! It becomes a quicklist as soon as what is about to be added would exceed the limit of a
//! node, and a listpack again once one node of at most half that limit is left. The operations here do both
//! by themselves; the owner of an emptied list removes it.

use super::Limits;
use crate::structures::listpack::{Entry, Listpack, Needle};
pub use crate::structures::quicklist::End;
use crate::structures::quicklist::{NodeLimits, Quicklist};
use std::ops::ControlFlow;

/// A list of which a snapshot lacks more nodes than this stays a quicklist: its end hands them over at once.
const FEW_NODES: usize = 16;

/// A list in one of its two forms.
#[derive(Clone, Debug)]
pub enum List {
    /// All items in one piece.
    Listpack(Listpack),
    /// A deque of pieces.
    Quicklist(Box<Quicklist>),
}

impl Default for List {
    fn default() -> Self {
        List::new()
    }
}

/// The limits of a list node's size.
pub fn node_limits(limits: &Limits) -> NodeLimits {
    let fill = limits.list_max_listpack_size;
    NodeLimits::new(fill, limits.list_packed_threshold, limits.list_compress_depth)
}

impl List {
    /// An empty one.
    pub fn new() -> Self {
        List::Listpack(Listpack::new())
    }

    /// A list from a listpack of an RDB file, in the form that the limits ask for.
    pub fn from_listpack(listpack: Listpack, limits: &Limits) -> Self {
        let mut list = List::Listpack(listpack);
        list.make_room(0, 0, limits);
        list
    }

    /// A list from a quicklist built node by node, in the form that the limits ask for.
    pub fn from_quicklist(nodes: Quicklist, limits: &Limits) -> Self {
        let mut list = List::Quicklist(Box::new(nodes));
        list.shrink(false, limits);
        list
    }

    /// The encoding, as OBJECT ENCODING names it.
    pub fn encoding(&self) -> &'static str {
        match self {
            List::Listpack(_) => "listpack",
            List::Quicklist(_) => "quicklist",
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        match self {
            List::Listpack(listpack) => listpack.len(),
            List::Quicklist(nodes) => nodes.len(),
        }
    }

    /// Number of pieces that it lies in.
    pub fn node_count(&self) -> usize {
        match self {
            List::Listpack(_) => 1,
            List::Quicklist(nodes) => nodes.nodes().len(),
        }
    }

    /// Whether it has no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory behind this value, extrapolated from `samples` nodes (0: exact).
    pub fn memory_usage(&self, samples: usize) -> usize {
        match self {
            List::Listpack(listpack) => listpack.memory(),
            List::Quicklist(nodes) => nodes.memory(samples),
        }
    }

    /// Frees up to `nodes` nodes of a removed list; true when nothing is left to free.
    pub fn free_some(&mut self, nodes: usize) -> bool {
        match self {
            List::Listpack(_) => true,
            List::Quicklist(list) => list.free_some(nodes),
        }
    }

    /// Panics unless the invariants of the form hold (for tests).
    pub fn check_invariants(&self) {
        match self {
            List::Listpack(listpack) => listpack.check_invariants(),
            List::Quicklist(nodes) => nodes.check_invariants(),
        }
    }
}

/// Conversion.
impl List {
    /// Converts a listpack to a quicklist if `items` items of `bytes` bytes in all would be too
    /// much for it. Every operation that adds does this first.
    fn make_room(&mut self, bytes: usize, items: usize, limits: &Limits) {
        let List::Listpack(listpack) = self else { return };
        let limits = node_limits(limits);
        if limits.exceeded(listpack.byte_len() + bytes, listpack.len() + items) {
            let mut nodes = Quicklist::new();
            nodes.push_listpack(std::mem::take(listpack), &limits);
            *self = List::Quicklist(Box::new(nodes));
        }
    }

    /// Converts a quicklist to a listpack if it is one small node; if it got there by losing
    /// items, only at half the limit, so that it doesn't convert back soon.
    fn shrink(&mut self, losing: bool, limits: &Limits) {
        let List::Quicklist(nodes) = self else { return };
        if nodes.snapshot_left() > FEW_NODES {
            return;
        }
        let limits = node_limits(limits);
        let Some((bytes, items)) = nodes.only_listpack() else { return };
        if limits.fits_listpack(bytes, items, losing)
            && let Some(listpack) = nodes.take_only_listpack()
        {
            *self = List::Listpack(listpack);
        }
    }
}

/// Reading.
impl List {
    /// The item at one end.
    pub fn peek(&self, end: End) -> Option<Entry<'_>> {
        match self {
            List::Listpack(listpack) => {
                let pos = if end == End::Front { listpack.first() } else { listpack.last() };
                pos.map(|pos| listpack.at(pos))
            }
            List::Quicklist(nodes) => nodes.peek(end),
        }
    }

    /// Calls `read` with item `index`.
    pub fn get<R>(&self, index: usize, read: impl FnOnce(Entry<'_>) -> R) -> Option<R> {
        match self {
            List::Listpack(listpack) => listpack.get(index).map(read),
            List::Quicklist(nodes) => nodes.get(index, read),
        }
    }

    /// Visits the items from `start` towards one end until `visit` breaks.
    #[inline]
    pub fn walk(
        &self,
        start: usize,
        towards: End,
        mut visit: impl FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            List::Quicklist(nodes) => nodes.walk(start, towards, visit),
            List::Listpack(listpack) => match (listpack.seek(start), towards) {
                (None, _) => ControlFlow::Continue(()),
                (Some(pos), End::Back) => listpack.iter_from(pos).try_for_each(&mut visit),
                (Some(pos), End::Front) => listpack.iter_to(pos).rev().try_for_each(&mut visit),
            },
        }
    }

    /// Visits `count` items from `start` towards one end.
    #[inline]
    pub fn range(&self, start: usize, count: usize, towards: End, mut visit: impl FnMut(Entry<'_>)) {
        if count == 0 {
            return;
        }
        let mut left = count;
        let _ = self.walk(start, towards, |entry| {
            visit(entry);
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }

    /// Compares up to `compares` items, beginning at one end, with `needle`, and visits the index
    /// of each that is equal until `visit` breaks.
    pub fn positions(
        &self,
        needle: &[u8],
        from: End,
        compares: usize,
        mut visit: impl FnMut(usize) -> ControlFlow<()>,
    ) {
        let needle = Needle::new(needle);
        let len = self.len();
        let (start, towards) = match from {
            End::Front => (0, End::Back),
            End::Back => (len.saturating_sub(1), End::Front),
        };
        let mut seen = 0;
        let _ = self.walk(start, towards, |entry| {
            if seen == compares {
                return ControlFlow::Break(());
            }
            seen += 1;
            if needle.is(entry) {
                return visit(if from == End::Front { seen - 1 } else { len - seen });
            }
            ControlFlow::Continue(())
        });
    }

    /// The listpack, while it is one.
    pub fn as_listpack(&self) -> Option<&Listpack> {
        match self {
            List::Listpack(listpack) => Some(listpack),
            List::Quicklist(_) => None,
        }
    }
}

/// Changing.
impl List {
    /// Adds items at one end, each beyond the one before it.
    pub fn push_all<'a, I>(&mut self, end: End, items: I, limits: &Limits)
    where
        I: Iterator<Item = &'a [u8]> + Clone,
    {
        let (bytes, count) = items.clone().fold((0, 0), |(b, n), item| (b + item.len(), n + 1));
        self.make_room(bytes, count, limits);
        match self {
            List::Listpack(listpack) if end == End::Front => items.for_each(|item| listpack.push_front(item)),
            List::Listpack(listpack) => items.for_each(|item| listpack.push_back(item)),
            List::Quicklist(nodes) => {
                let limits = node_limits(limits);
                items.for_each(|item| nodes.push(end, item, &limits));
            }
        }
    }

    /// Adds one item at one end.
    pub fn push(&mut self, end: End, item: &[u8], limits: &Limits) {
        self.push_all(end, std::iter::once(item), limits);
    }

    /// Puts an item before or after the first one equal to `pivot`; false if there is none.
    pub fn insert_beside(&mut self, pivot: &[u8], before: bool, item: &[u8], limits: &Limits) -> bool {
        // Whether or not the pivot exists: Redis converts before it looks.
        self.make_room(item.len(), 1, limits);
        let mut found = None;
        self.positions(pivot, End::Front, usize::MAX, |index| {
            found = Some(index);
            ControlFlow::Break(())
        });
        let Some(index) = found else { return false };
        match self {
            List::Listpack(listpack) => {
                listpack.insert(listpack.seek(index + usize::from(!before)), item);
            }
            List::Quicklist(nodes) => nodes.insert(index, before, item, &node_limits(limits)),
        }
        true
    }

    /// Replaces item `index`; false if there is none.
    pub fn set(&mut self, index: usize, item: &[u8], limits: &Limits) -> bool {
        self.make_room(item.len(), 1, limits);
        let done = match self {
            List::Listpack(listpack) => listpack.seek(index).map(|pos| listpack.replace(pos, item)).is_some(),
            List::Quicklist(nodes) => nodes.set(index, item, &node_limits(limits)),
        };
        if done {
            self.shrink(true, limits);
        }
        done
    }

    /// Removes up to `count` items from `start` on; tells how many.
    pub fn remove_range(&mut self, start: usize, count: usize, limits: &Limits) -> usize {
        let gone = match self {
            List::Listpack(listpack) => listpack.remove_range(start, count),
            List::Quicklist(nodes) => nodes.remove_range(start, count, &node_limits(limits)),
        };
        self.shrink(true, limits);
        gone
    }

    /// Removes the item at one end, which `peek` has shown; false if there is none.
    pub fn pop(&mut self, end: End, limits: &Limits) -> bool {
        match self {
            List::Listpack(listpack) => {
                let pos = if end == End::Front { listpack.first() } else { listpack.last() };
                pos.map(|pos| listpack.remove(pos)).is_some()
            }
            List::Quicklist(nodes) => {
                let done = nodes.pop(end, &node_limits(limits));
                self.shrink(true, limits);
                done
            }
        }
    }

    /// Moves the item at one end, which is `item`, to one end.
    pub fn rotate(&mut self, from: End, to: End, item: &[u8], limits: &Limits) {
        match self {
            // The length stays the same, so the form does.
            List::Listpack(_) => {
                self.pop(from, limits);
                self.push(to, item, limits);
            }
            List::Quicklist(nodes) => {
                let limits = &node_limits(limits);
                nodes.pop(from, limits);
                nodes.push(to, item, limits);
            }
        }
        self.shrink(true, limits);
    }

    /// Removes up to `count` items at one end; tells how many.
    pub fn remove_end(&mut self, end: End, count: usize, limits: &Limits) -> usize {
        let start = if end == End::Front { 0 } else { self.len().saturating_sub(count) };
        self.remove_range(start, count, limits)
    }

    /// Keeps the `count` items from `start` on.
    pub fn trim(&mut self, start: usize, count: usize, limits: &Limits) {
        let stop = start.saturating_add(count);
        self.remove_range(stop, usize::MAX, limits);
        self.remove_range(0, start, limits);
    }

    /// Removes up to `limit` items equal to `needle`, beginning at one end; tells how many.
    pub fn remove_equal(&mut self, needle: &[u8], limit: usize, from: End, limits: &Limits) -> usize {
        let gone = match self {
            List::Listpack(listpack) => listpack.remove_equal(needle, limit, from == End::Back),
            List::Quicklist(nodes) => nodes.remove_equal(needle, limit, from, &node_limits(limits)),
        };
        if gone > 0 {
            self.shrink(true, limits);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;
    use std::collections::VecDeque;

    fn limits(size: i64) -> Limits {
        Limits { list_max_listpack_size: size, ..Limits::default() }
    }

    fn contents(list: &List) -> VecDeque<Vec<u8>> {
        let mut out = VecDeque::new();
        list.range(0, usize::MAX, End::Back, |entry| out.push_back(entry.to_vec()));
        out
    }

    #[test]
    fn agrees_with_a_deque() {
        let mut rng = Rng::new(31);
        for size in [-1, 3, 8] {
            let limits = limits(size);
            let mut list = List::new();
            let mut model: VecDeque<Vec<u8>> = VecDeque::new();
            for _ in 0..400 {
                let item = rng.below(30).to_string().repeat(1 + rng.below(90) as usize).into_bytes();
                let at = rng.below(model.len() as u64 + 1) as usize;
                match rng.below(9) {
                    0..=2 => {
                        list.push_all(End::Back, [&item[..], b"x"].into_iter(), &limits);
                        model.extend([item, b"x".to_vec()]);
                    }
                    3 => {
                        list.push(End::Front, &item, &limits);
                        model.push_front(item);
                    }
                    4 => {
                        assert_eq!(list.set(at, &item, &limits), at < model.len());
                        model.get_mut(at).into_iter().for_each(|old| *old = item.clone());
                    }
                    5 => {
                        let pivot = model.get(at).cloned().unwrap_or(b"none".to_vec());
                        let first = model.iter().position(|v| *v == pivot);
                        assert_eq!(list.insert_beside(&pivot, false, &item, &limits), first.is_some());
                        first.into_iter().for_each(|i| model.insert(i + 1, item.clone()));
                    }
                    6 if at.is_multiple_of(3) => {
                        assert_eq!(list.pop(End::Front, &limits), model.pop_front().is_some());
                    }
                    6 => {
                        let end = if at.is_multiple_of(2) { End::Front } else { End::Back };
                        list.remove_end(end, 3, &limits);
                        let len = model.len();
                        let start = if end == End::Front { 0 } else { len.saturating_sub(3) };
                        model.drain(start..(start + 3).min(len));
                    }
                    7 if rng.below(8) == 0 => {
                        list.trim(at, 9, &limits);
                        model = model.into_iter().skip(at).take(9).collect();
                    }
                    _ => {
                        let mut found = Vec::new();
                        list.positions(b"x", End::Back, 20, |index| {
                            found.push(index);
                            ControlFlow::Continue(())
                        });
                        let expected = (0..model.len()).rev().take(20).filter(|&i| model[i] == b"x");
                        assert!(found.into_iter().eq(expected));
                    }
                }
                list.check_invariants();
                assert_eq!(contents(&list), model);
                assert_eq!(list.peek(End::Back).map(Entry::to_vec).as_ref(), model.back());
            }
        }
    }

    #[test]
    fn converts_both_ways_where_redis_does() {
        let limits = limits(4);
        let mut list = List::new();
        for _ in 0..4 {
            list.push(End::Back, b"a", &limits);
        }
        assert_eq!(list.encoding(), "listpack");
        list.push(End::Back, b"a", &limits);
        assert_eq!(list.encoding(), "quicklist");
        list.remove_end(End::Back, 2, &limits);
        assert_eq!(list.encoding(), "quicklist");
        list.remove_end(End::Front, 1, &limits);
        assert_eq!(list.encoding(), "listpack");
        // Bytes count even if the limit is in entries.
        list.push(End::Back, &[b'b'; 8192], &limits);
        assert_eq!(list.encoding(), "quicklist");
        assert!(list.set(2, b"c", &limits));
        assert_eq!((list.len(), list.encoding()), (3, "quicklist"));
    }

    /// Which items share a node decides when a list is a listpack again. The values are those of redis-server 8.6.
    #[test]
    fn nodes_are_those_of_redis() {
        // An item behind the last one of a node joins it, not the next one: [2 3 4 x][5].
        let by_count = limits(4);
        let mut list = List::new();
        list.push_all(End::Back, [b"1", b"2", b"3", b"4", b"5"].map(|item| &item[..]).into_iter(), &by_count);
        list.pop(End::Front, &by_count);
        assert!(list.insert_beside(b"4", false, b"x", &by_count));
        list.trim(2, 2, &by_count);
        assert_eq!(
            (contents(&list).into(), list.encoding()),
            (vec![b"4".to_vec(), b"x".to_vec()], "listpack")
        );
        // Two nodes that have become small stay two, until one is empty.
        let by_size = limits(-2);
        let mut list = List::new();
        (0..9).for_each(|_| list.push(End::Back, &[b'v'; 1000], &by_size));
        for left in (1..9).rev() {
            assert_eq!(list.encoding(), "quicklist", "{left}");
            list.pop(End::Front, &by_size);
        }
        assert_eq!((list.len(), list.encoding()), (1, "listpack"));
        // A first node whose front moves in chunks is one node all the same.
        let mut list = List::new();
        (0..1000).for_each(|_| list.push(End::Front, b"small item", &by_size));
        list.remove_end(End::Back, 900, &by_size);
        assert_eq!((list.len(), list.encoding()), (100, "listpack"));
    }

    #[test]
    fn turning_a_full_list_keeps_its_form() {
        for (items, form) in [(4, "listpack"), (5, "quicklist")] {
            let mut list = List::new();
            let texts: Vec<Vec<u8>> = (0..items).map(|n: i32| n.to_string().into_bytes()).collect();
            list.push_all(End::Back, texts.iter().map(|text| &text[..]), &limits(4));
            list.rotate(End::Front, End::Back, b"0", &limits(4));
            assert_eq!((list.len(), list.encoding()), (items as usize, form));
            assert_eq!(contents(&list)[0], b"1");
            list.rotate(End::Back, End::Back, b"0", &limits(4));
            list.rotate(End::Back, End::Front, b"0", &limits(4));
            assert_eq!((contents(&list), list.encoding()), (texts.into(), form));
        }
    }

    #[test]
    fn a_snapshot_comes_back_in_the_form_that_fits() {
        let listpack: Listpack = (0..10i64).map(Entry::Int).collect();
        assert_eq!(List::from_listpack(listpack.clone(), &limits(9)).encoding(), "quicklist");
        assert_eq!(List::from_listpack(listpack.clone(), &limits(10)).encoding(), "listpack");
        let mut nodes = Quicklist::new();
        nodes.push_listpack(listpack, &node_limits(&limits(10)));
        assert_eq!(List::from_quicklist(nodes.clone(), &limits(10)).encoding(), "listpack");
        assert_eq!(List::from_quicklist(nodes, &limits(9)).encoding(), "quicklist");
    }
}
