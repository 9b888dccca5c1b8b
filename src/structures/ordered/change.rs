//! Changes of the B+ tree: insertion with splits, removal with merges.

use super::node::{Branch, Inner, Leaf, NIL, NodeId};
use super::{MAX_HEIGHT, Tree};
use crate::structures::member_arena::{Handle, MemberArena};

/// The way from the root to a leaf: inner nodes and the child taken in each.
struct Path {
    steps: [(NodeId, u32); MAX_HEIGHT],
    len: usize,
    leaf: NodeId,
}

/// Where a full node parts.
#[derive(Clone, Copy, PartialEq)]
enum Split {
    /// Elements arrive in rising order: leave this one full.
    AtEnd,
    /// Elements arrive in falling order.
    AtStart,
    InMiddle,
}

impl Split {
    /// How many entries of `capacity` stay in the left node; `few` when splitting at the start.
    fn keep(self, capacity: usize, few: usize) -> usize {
        match self {
            Split::AtEnd => capacity,
            Split::AtStart => few,
            Split::InMiddle => capacity / 2,
        }
    }
}

impl<const L: usize, const F: usize> Tree<L, F> {
    /// Adds an element, whose score must not be NaN and whose member is in `members` already.
    pub fn insert(&mut self, score: f64, handle: Handle, members: &MemberArena) {
        let member = members.bytes(handle);
        let before = |s: f64, h: Handle| s < score || (s == score && members.bytes(h) < member);
        let mut path = Path { steps: [(NIL, 0); MAX_HEIGHT], len: self.height, leaf: self.root };
        for step in 0..self.height {
            let inner = self.inners.get_mut(path.leaf);
            inner.fetch();
            let at = inner.descend(before);
            inner.counts[at] += 1;
            if at == 0 && !before(inner.scores[0], inner.handles[0]) {
                inner.scores[0] = score;
                inner.handles[0] = handle;
            }
            path.steps[step] = (path.leaf, at as u32);
            path.leaf = inner.children[at];
        }
        self.len += 1;
        let leaf = self.leaves.get_mut(path.leaf);
        leaf.fetch_all();
        let at = leaf.partition(before);
        if leaf.len() < L {
            leaf.insert(at, score, handle);
        } else {
            self.split_leaf(&path, at, score, handle);
        }
    }

    /// Removes an element, if it is there.
    pub fn remove(&mut self, score: f64, handle: Handle, members: &MemberArena) -> bool {
        let member = members.bytes(handle);
        let before =
            |s: f64, h: Handle| s < score || (s == score && h != handle && members.bytes(h) < member);
        let path = self.path_to(|inner| {
            // Unlike a search, the child whose first element it is.
            let upto =
                |s: f64, h: Handle| s < score || (s == score && (h == handle || members.bytes(h) < member));
            inner.fetch();
            inner.descend(upto)
        });
        let leaf = self.leaves.get(path.leaf);
        leaf.fetch_all();
        let at = leaf.partition(before);
        if at == leaf.len() || leaf.handles[at] != handle {
            return false;
        }
        self.remove_at(&path, at);
        true
    }

    /// Removes the element with `rank` elements before it and returns it.
    pub fn remove_rank(&mut self, rank: usize) -> Option<(f64, Handle)> {
        if rank >= self.len {
            return None;
        }
        let mut rest = rank;
        let path = self.path_to(|inner| {
            let mut at = 0;
            while rest >= inner.counts[at] as usize {
                rest -= inner.counts[at] as usize;
                at += 1;
            }
            at
        });
        let leaf = self.leaves.get(path.leaf);
        let element = (leaf.scores[rest], leaf.handles[rest]);
        self.remove_at(&path, rest);
        Some(element)
    }

    /// Gives an element of the tree another score.
    pub fn change_score(&mut self, old: f64, new: f64, handle: Handle, members: &MemberArena) {
        let member = members.bytes(handle);
        let position = self.locate_member(old, member, members);
        // Found at the end of a leaf, it is the first of the next; rare enough for the long way.
        let leaf = self.leaves.get_mut(position.leaf);
        let at = position.index;
        let inside = at > 0 && at + 1 < leaf.len();
        if inside && leaf.handles[at] == handle {
            let fits = |s: f64, h: Handle, below: bool| {
                if s == new { (members.bytes(h) < member) == below } else { (s < new) == below }
            };
            if fits(leaf.scores[at - 1], leaf.handles[at - 1], true)
                && fits(leaf.scores[at + 1], leaf.handles[at + 1], false)
            {
                leaf.scores[at] = new;
                return;
            }
        }
        let removed = self.remove(old, handle, members);
        debug_assert!(removed);
        self.insert(new, handle, members);
    }

    fn path_to(&self, mut choose: impl FnMut(&Inner<F>) -> usize) -> Path {
        let mut path = Path { steps: [(NIL, 0); MAX_HEIGHT], len: self.height, leaf: self.root };
        for step in 0..self.height {
            let inner = self.inners.get(path.leaf);
            let at = choose(inner);
            path.steps[step] = (path.leaf, at as u32);
            path.leaf = inner.children[at];
        }
        path
    }

    /// Parts the full leaf at the end of `path` and puts the element where `at` was in it.
    fn split_leaf(&mut self, path: &Path, at: usize, score: f64, handle: Handle) {
        let mut left = self.leaves.take(path.leaf);
        let how = match at {
            _ if at == L && left.next == NIL => Split::AtEnd,
            0 if left.prev == NIL => Split::AtStart,
            _ => Split::InMiddle,
        };
        let keep = how.keep(L, 0);
        let mut right = Leaf::new();
        left.move_tail(keep, &mut right);
        if at <= keep && how != Split::AtEnd {
            left.insert(at, score, handle);
        } else {
            right.insert(at - keep, score, handle);
        }
        (right.prev, right.next) = (path.leaf, left.next);
        let (next, kept) = (left.next, u32::from(left.len));
        let branch = Branch {
            score: right.scores[0],
            handle: right.handles[0],
            child: NIL,
            count: u32::from(right.len),
        };
        let child = self.leaves.add(right);
        left.next = child;
        let first = (left.scores[0], left.handles[0]);
        self.leaves.restore(path.leaf, left);
        match next {
            NIL => self.last = child,
            next => self.leaves.get_mut(next).prev = child,
        }
        self.add_branch(path, how, Branch { child, ..branch }, (path.leaf, first, kept));
    }

    /// Enters a new node in its parents, which stands right of the one it was split from:
    /// `old` is that one's number, first element and count.
    fn add_branch(&mut self, path: &Path, how: Split, mut new: Branch, old: (NodeId, (f64, Handle), u32)) {
        let (mut child, mut first, mut kept) = old;
        for &(parent, at) in path.steps[..path.len].iter().rev() {
            let at = at as usize;
            let inner = self.inners.get_mut(parent);
            inner.counts[at] = kept;
            if inner.len() < F {
                inner.insert(at + 1, new);
                return;
            }
            let mut left = self.inners.take(parent);
            let mut right = Inner::new();
            // An end of the tree is the same end of every node on the way to it.
            let keep = how.keep(F, 1);
            left.move_tail(keep, &mut right);
            if at < keep && keep < F {
                left.insert(at + 1, new);
            } else {
                right.insert(at + 1 - keep, new);
            }
            (child, first, kept) = (parent, (left.scores[0], left.handles[0]), left.total());
            self.inners.restore(parent, left);
            let (score, handle, count) = (right.scores[0], right.handles[0], right.total());
            new = Branch { score, handle, child: self.inners.add(right), count };
        }
        let mut root = Inner::new();
        root.insert(0, Branch { score: first.0, handle: first.1, child, count: kept });
        root.insert(1, new);
        self.root = self.inners.add(root);
        self.height += 1;
    }

    /// Removes the element at `at` of the leaf at the end of `path`.
    fn remove_at(&mut self, path: &Path, at: usize) {
        self.len -= 1;
        for &(parent, child) in &path.steps[..path.len] {
            self.inners.get_mut(parent).counts[child as usize] -= 1;
        }
        let leaf = self.leaves.get_mut(path.leaf);
        leaf.remove(at);
        if at > 0 && leaf.len() * 2 >= L {
            return;
        }
        for step in (0..path.len).rev() {
            let (parent, child) = path.steps[step];
            if !self.tidy_child(parent, child as usize, step + 1 == path.len) {
                break;
            }
        }
        while self.height > 0 && self.inners.get(self.root).len() == 1 {
            let only = self.inners.get(self.root).children[0];
            self.inners.free(self.root);
            self.root = only;
            self.height -= 1;
        }
    }

    /// After something below it went: takes the child's new first element into the parent, drops
    /// the child if it is empty, merges it if it is thin. False if the levels above need nothing.
    fn tidy_child(&mut self, parent: NodeId, at: usize, is_leaf: bool) -> bool {
        let inner = self.inners.get(parent);
        let id = inner.children[at];
        let (len, capacity, first) = if is_leaf {
            let leaf = self.leaves.get(id);
            (leaf.len(), L, (leaf.scores[0], leaf.handles[0]))
        } else {
            let node = self.inners.get(id);
            (node.len(), F, (node.scores[0], node.handles[0]))
        };
        if len == 0 {
            self.drop_child(parent, at, is_leaf);
            return true;
        }
        let (siblings, old) = (inner.len(), inner.handles[at]);
        let inner = self.inners.get_mut(parent);
        (inner.scores[at], inner.handles[at]) = first;
        let mut changed = at == 0 && old != first.1;
        if len * 2 < capacity {
            for left in [Some(at), at.checked_sub(1)].into_iter().flatten() {
                if left + 1 < siblings && self.merge(parent, left, is_leaf) {
                    changed = true;
                    break;
                }
            }
        }
        changed
    }

    /// Moves the child right of `left` into it if that leaves a quarter of the room.
    fn merge(&mut self, parent: NodeId, left: usize, is_leaf: bool) -> bool {
        let inner = self.inners.get(parent);
        let (to, from) = (inner.children[left], inner.children[left + 1]);
        if is_leaf {
            if (self.leaves.get(to).len() + self.leaves.get(from).len()) * 4 > L * 3 {
                return false;
            }
            let mut source = self.leaves.take(from);
            source.move_tail(0, self.leaves.get_mut(to));
            self.leaves.restore(from, source);
        } else {
            if (self.inners.get(to).len() + self.inners.get(from).len()) * 4 > F * 3 {
                return false;
            }
            let mut source = self.inners.take(from);
            source.move_tail(0, self.inners.get_mut(to));
            self.inners.restore(from, source);
        }
        let inner = self.inners.get_mut(parent);
        inner.counts[left] += inner.counts[left + 1];
        self.drop_child(parent, left + 1, is_leaf);
        true
    }

    /// Frees an emptied child.
    fn drop_child(&mut self, parent: NodeId, at: usize, is_leaf: bool) {
        let inner = self.inners.get_mut(parent);
        let id = inner.children[at];
        inner.remove(at);
        if !is_leaf {
            self.inners.free(id);
            return;
        }
        let (prev, next) = (self.leaves.get(id).prev, self.leaves.get(id).next);
        match prev {
            NIL => self.first = next,
            prev => self.leaves.get_mut(prev).next = next,
        }
        match next {
            NIL => self.last = prev,
            next => self.leaves.get_mut(next).prev = prev,
        }
        self.leaves.free(id);
    }
}
