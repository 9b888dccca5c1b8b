//! Tests of the quicklist against a deque.

use super::*;
use crate::base::rng::Rng;

/// Which items a list is made of.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Items {
    Any,
    /// Of few different ones, so that equal ones are everywhere.
    Few,
}

fn item(rng: &mut Rng, items: Items) -> Vec<u8> {
    match rng.below(12) {
        _ if items == Items::Few => rng.below(3).to_string().into_bytes(),
        0 => vec![b'L'; 9000],
        1 => vec![b'm'; 900 + rng.below(900) as usize],
        2..=6 => rng.below(9).to_string().into_bytes(),
        _ => format!("item item item {}", rng.below(100)).into_bytes(),
    }
}

pub(super) fn contents(list: &Quicklist, start: usize, towards: End) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let _ = list.walk(start, towards, |entry| {
        out.push(entry.to_vec());
        ControlFlow::Continue(())
    });
    out
}

fn check(list: &Quicklist, model: &VecDeque<Vec<u8>>) {
    list.check_invariants();
    assert_eq!(list.len(), model.len());
    assert_eq!(*model, contents(list, 0, End::Back));
    assert_eq!(list.peek(End::Front).map(Entry::to_vec).as_ref(), model.front());
    assert_eq!(list.peek(End::Back).map(Entry::to_vec).as_ref(), model.back());
}

fn remove_equal(model: &mut VecDeque<Vec<u8>>, needle: &[u8], limit: usize, from: End) -> usize {
    let mut gone = 0;
    while gone < limit {
        let found = match from {
            End::Front => model.iter().position(|v| v == needle),
            End::Back => model.iter().rposition(|v| v == needle),
        };
        let Some(at) = found else { break };
        model.remove(at);
        gone += 1;
    }
    gone
}

pub(super) fn step(
    list: &mut Quicklist,
    model: &mut VecDeque<Vec<u8>>,
    rng: &mut Rng,
    limits: &NodeLimits,
    items: Items,
) {
    let v = item(rng, items);
    let i = rng.below(model.len() as u64 + 1) as usize;
    match rng.below(20) {
        0..=5 => {
            list.push(End::Back, &v[..], limits);
            model.push_back(v);
        }
        6..=8 => {
            list.push(End::Front, &v[..], limits);
            model.push_front(v);
        }
        9..=13 => {
            if i < model.len() {
                let before = rng.below(2) == 0;
                list.insert(i, before, &v[..], limits);
                model.insert(i + usize::from(!before), v);
            }
        }
        14 | 15 => {
            assert_eq!(list.set(i, &v[..], limits), i < model.len());
            if let Some(old) = model.get_mut(i) {
                *old = v;
            }
        }
        16 if rng.below(2) == 0 => {
            let end = if rng.below(2) == 0 { End::Front } else { End::Back };
            let gone = if end == End::Front { model.pop_front() } else { model.pop_back() };
            assert_eq!(list.pop(end, limits), gone.is_some());
        }
        16 => {
            let n = if rng.below(4) == 0 { rng.below(60) as usize } else { rng.below(8) as usize };
            let stop = (i + n).min(model.len());
            assert_eq!(list.remove_range(i, n, limits), model.drain(i..stop).count());
        }
        17 => {
            let limit = if rng.below(4) == 0 { 30 } else { 1 + rng.below(3) as usize };
            let from = if rng.below(2) == 0 { End::Front } else { End::Back };
            let gone = list.remove_equal(&v, limit, from, limits);
            assert_eq!(gone, remove_equal(model, &v, limit, from));
        }
        18 => {
            let expected: Vec<_> = model.iter().take(i + 1).rev().cloned().collect();
            if i < model.len() {
                assert_eq!(contents(list, i, End::Front), expected);
            }
        }
        _ => {
            let expected = model.get(i).cloned();
            assert_eq!(list.get(i, |e| e.to_vec()), expected);
            assert!(list.memory(3) > 0);
        }
    }
}

#[test]
fn agrees_with_a_deque() {
    let mut rng = Rng::new(21);
    for (fill, threshold, depth) in [(-1, 0, 0), (-2, 0, 1), (4, 0, 2), (1, 0, 1), (7, 12, 1), (0, 0, 0)] {
        let mut list = Quicklist::new();
        let mut model = VecDeque::new();
        for round in 0..300 {
            // Now and then the depth changes while the list lives.
            let depth = if round % 100 < 90 { depth } else { 0 };
            step(&mut list, &mut model, &mut rng, &NodeLimits::new(fill, threshold, depth), Items::Any);
            check(&list, &model);
        }
        let nodes = list.nodes().len();
        assert_eq!((0..nodes).filter(|_| !list.free_some(1)).count(), nodes.saturating_sub(1));
        assert_eq!(list.len(), 0);
    }
}

#[test]
fn nodes_keep_their_limit_and_merge() {
    let limits = NodeLimits::new(10, 0, 0);
    let mut list = Quicklist::new();
    for i in 0..100i64 {
        list.push(End::Back, i, &limits);
    }
    assert_eq!(list.nodes().len(), 10);
    list.insert(55, true, -1i64, &limits);
    assert!(list.nodes().all(|node| node.count() <= 10));
    assert_eq!(list.get(55, |e| e.as_int()), Some(Some(-1)));
    assert_eq!(list.get(56, |e| e.as_int()), Some(Some(55)));
}

#[test]
fn the_front_moves_in_chunks() {
    let limits = NodeLimits::new(-2, 0, 0);
    let mut list = Quicklist::new();
    let mut model = VecDeque::new();
    let mut rng = Rng::new(22);
    for (pushes, pops) in [(3000, 100), (10, 2000), (800, 5), (0, 1690)] {
        for _ in 0..pushes {
            let item = format!("{}", rng.below(100_000)).into_bytes();
            list.push(End::Front, &item[..], &limits);
            model.push_front(item);
        }
        check(&list, &model);
        let full = list.nodes().filter(|node| node.raw_len() > 7000).count();
        assert!(list.nodes().len() <= full + 2, "{full} of {}", list.nodes().len());
        for _ in 0..pops {
            assert!(list.pop(End::Front, &limits) && model.pop_front().is_some());
        }
        check(&list, &model);
    }
    assert_eq!((list.len(), list.only_listpack().map(|(_, items)| items)), (15, Some(15)));
}

#[test]
fn a_chunk_leaves_something_behind() {
    let limits = NodeLimits::new(-2, 0, 0);
    let mut list = Quicklist::new();
    let mut model: VecDeque<Vec<u8>> = ["a", "b", &"l".repeat(7000)].map(|text| text.into()).into();
    model.iter().for_each(|item| list.push(End::Back, &item[..], &limits));
    while !model.is_empty() {
        assert!(list.pop(End::Front, &limits) && model.pop_front().is_some());
        check(&list, &model);
    }
    let mut rng = Rng::new(23);
    for round in 0..1500 {
        let item = match rng.below(8) {
            0 => vec![b'l'; 1000 + rng.below(7300) as usize],
            1 => vec![b'm'; rng.below(300) as usize],
            _ => vec![b's'; rng.below(70) as usize],
        };
        // Items beyond the threshold are nodes of their own, small as they may be.
        let limits = NodeLimits::new(-2, if round % 100 < 80 { 0 } else { 40 }, 0);
        match rng.below(if round % 300 < 150 { 8 } else { 5 }) {
            0..=2 => assert_eq!(list.pop(End::Front, &limits), model.pop_front().is_some()),
            3 => assert_eq!(list.pop(End::Back, &limits), model.pop_back().is_some()),
            4 | 5 => {
                list.push(End::Front, &item[..], &limits);
                model.push_front(item);
            }
            _ => {
                list.push(End::Back, &item[..], &limits);
                model.push_back(item);
            }
        }
        check(&list, &model);
    }
}

#[test]
fn only_inner_nodes_are_compressed() {
    let limits = NodeLimits::new(-1, 0, 2);
    let mut list = Quicklist::new();
    for i in 0..4000 {
        list.push(End::Back, format!("compressible compressible {i}").as_bytes(), &limits);
    }
    let raw: Vec<bool> = list.nodes().map(|node| matches!(node, Node::Listpack { .. })).collect();
    let n = raw.len();
    assert!(n > 10);
    for (i, raw) in raw.into_iter().enumerate() {
        assert_eq!(raw, i < 2 || i + 2 >= n, "node {i} of {n}");
    }
    assert_eq!(list.get(2000, |e| e.to_vec()).unwrap(), b"compressible compressible 2000");
    list.remove_range(0, 3990, &limits);
    list.check_invariants();
    assert!(list.nodes().all(|node| matches!(node, Node::Listpack { .. })));
}

#[test]
fn limits_are_those_of_the_directive() {
    let by_size = NodeLimits::new(-2, 0, 0);
    assert!(!by_size.exceeded(8192, 100_000) && by_size.exceeded(8193, 1));
    assert!(by_size.fits_listpack(4096, 9999, true) && !by_size.fits_listpack(4097, 1, true));
    assert!(by_size.is_large(8193) && !by_size.is_large(8192));
    let by_count = NodeLimits::new(5, 0, 0);
    assert!(!by_count.exceeded(100, 5) && by_count.exceeded(100, 6) && by_count.exceeded(8193, 1));
    assert!(by_count.fits_listpack(1 << 20, 2, true) && !by_count.fits_listpack(10, 3, true));
    assert!(NodeLimits::new(-5, 3, 0).is_large(3));
}
