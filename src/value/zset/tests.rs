//! Tests of sorted sets against a sorted vector.

use super::*;
use std::collections::BTreeMap;

type Model = Vec<(f64, Vec<u8>)>;

fn small_limits() -> Limits {
    Limits { zset_max_listpack_entries: 40, zset_max_listpack_value: 20, ..Limits::default() }
}

fn elements<'a>(iter: impl Iterator<Item = (Entry<'a>, f64)>) -> Model {
    iter.map(|(member, score)| (score, member.to_vec())).collect()
}

fn some_bound<'a>(rng: &mut Rng, member: &'a [u8]) -> LexBound<'a> {
    match rng.below(5) {
        0 => LexBound::Min,
        1 => LexBound::Max,
        2 => LexBound::Exclusive(member),
        _ => LexBound::Inclusive(member),
    }
}

fn some_member(rng: &mut Rng, members: u64) -> Vec<u8> {
    let number = rng.below(members);
    match number % 4 {
        0 => number.to_string().into_bytes(),
        1 => format!("member:{number}").into_bytes(),
        2 => vec![b'x'; number as usize % 200].into_iter().chain(number.to_le_bytes()).collect(),
        _ => number.to_be_bytes().to_vec(),
    }
}

fn some_score(rng: &mut Rng) -> f64 {
    match rng.below(8) {
        0 => f64::INFINITY,
        1 => f64::NEG_INFINITY,
        2 => rng.unit() * 10.0 - 5.0,
        3 => rng.next_u64() as f64 * 1e50,
        _ => rng.below(30) as f64 - 15.0,
    }
}

fn check_reading(zset: &Zset, model: &Model, rng: &mut Rng) {
    let mut near = Near::default();
    for _ in 0..3 {
        let (from, to) = (some_score(rng), some_score(rng));
        let mut chosen = Model::new();
        let is_even = |score: f64| (score as i64 % 2 == 0).then_some(score);
        let ended = zset.select(from..to, &mut near, is_even, |member, score, same| {
            assert_eq!(score.to_bits(), same.to_bits());
            chosen.push((score, member.to_vec()));
            if chosen.len() < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let expected =
            model.iter().filter(|(score, _)| (from..to).contains(score) && is_even(*score).is_some());
        let expected: Model = expected.take(5).cloned().collect();
        assert_eq!((chosen.len() == 5, &chosen), (ended.is_break(), &expected));
    }
    zset.check_invariants();
    assert_eq!(zset.len(), model.len());
    assert_eq!(&elements(zset.iter()), model);
    let (a, b) = (rng.below(model.len() as u64 + 3) as usize, rng.below(model.len() as u64 + 3) as usize);
    let cut =
        |ranks: Range<usize>| model.get(ranks.start..ranks.end.min(model.len())).unwrap_or(&[]).to_vec();
    let reversed = |mut elements: Model| {
        elements.reverse();
        elements
    };
    assert_eq!(elements(zset.ascending(a..b)), cut(a..b.max(a)));
    assert_eq!(elements(zset.descending(a..b)), reversed(cut(a..b.max(a))));

    let bound = |rng: &mut Rng| ScoreBound { score: some_score(rng), exclusive: rng.below(2) == 0 };
    let (min, max) = (bound(rng), bound(rng));
    let inside = |score: f64| {
        (if min.exclusive { score > min.score } else { score >= min.score })
            && (if max.exclusive { score < max.score } else { score <= max.score })
    };
    let ranks = zset.score_ranks(min, max);
    let expected: Model = model.iter().filter(|(score, _)| inside(*score)).cloned().collect();
    assert_eq!(elements(zset.ascending(ranks.clone())), expected, "{min:?} {max:?}");
    assert_eq!(ranks.len(), expected.len());

    for (rank, (score, member)) in model.iter().enumerate().step_by(1 + model.len() / 10) {
        assert_eq!(zset.rank(member), Some((rank, *score)));
        assert_eq!(zset.score(member), Some(*score));
    }
    let mut scanned = BTreeMap::new();
    let mut cursor = 0;
    loop {
        cursor = zset.scan(cursor, 7, |member, score| {
            assert!(scanned.insert(member.to_vec(), score).is_none());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(scanned.len(), model.len());
    assert!(model.iter().all(|(score, member)| scanned.get(member) == Some(score)));
}

fn churn(seed: u64, rounds: usize, members: u64) {
    let mut rng = Rng::new(seed);
    let limits = small_limits();
    let mut zset = Zset::new();
    let mut model = Model::new();
    for round in 0..rounds {
        let member = some_member(&mut rng, members);
        let known = model.iter().position(|(_, other)| *other == member);
        assert_eq!(zset.score(&member), known.map(|at| model[at].0));
        match rng.below(20) {
            0..14 => {
                let score = some_score(&mut rng);
                let change = zset.insert(&member, score, &limits);
                let expected = match known {
                    None => Change::Added,
                    Some(at) if model[at].0 == score => Change::Unchanged,
                    Some(_) => Change::Updated,
                };
                assert_eq!(change, expected);
                known.map(|at| model.remove(at));
                let at = model.partition_point(|(s, m)| (*s, m) < (score, &member));
                model.insert(at, (score, member));
            }
            14..19 => assert_eq!(zset.remove(&member), known.map(|at| model.remove(at).0)),
            _ => {
                let start = rng.below(model.len() as u64 + 1) as usize;
                let end = start + rng.below(12) as usize;
                assert_eq!(zset.remove_ranks(start..end), end.min(model.len()) - start);
                model.drain(start..end.min(model.len()));
            }
        }
        if round % 50 == 0 {
            check_reading(&zset, &model, &mut rng);
            check_reading(&zset.clone(), &model, &mut rng);
        }
    }
    zset.compact(&limits);
    check_reading(&zset, &model, &mut rng);
    let fits = model.len() <= 40 && model.iter().all(|(_, member)| member.len() <= 20);
    assert_eq!(zset.encoding() == "listpack", fits);
}

#[test]
fn behaves_like_a_sorted_vector() {
    for seed in 0..5 {
        churn(seed, 600, 30);
        churn(seed, 1500, 1000);
    }
}

#[test]
fn lex_ranges_are_those_of_the_bytes() {
    let (limits, mut rng) = (small_limits(), Rng::new(5));
    for len in [0, 20, 300] {
        let mut zset = Zset::new();
        let mut model: Vec<Vec<u8>> = (0..len).map(|_| some_member(&mut rng, 5000)).collect();
        model.sort();
        model.dedup();
        for member in &model {
            zset.insert(member, 0.0, &limits);
        }
        for _ in 0..200 {
            let (a, b) = (some_member(&mut rng, 5000), some_member(&mut rng, 5000));
            let (min, max) = (some_bound(&mut rng, &a), some_bound(&mut rng, &b));
            let ranks = zset.lex_ranks(min, max);
            let expected: Vec<_> =
                model.iter().filter(|m| !min.starts_after(m) && !max.ends_before(m)).cloned().collect();
            let found: Vec<_> = zset.ascending(ranks).map(|(member, _)| member.to_vec()).collect();
            assert_eq!(found, expected, "{min:?} {max:?}");
        }
    }
}

#[test]
fn converts_at_the_limits_of_redis() {
    let limits = Limits::default();
    let mut zset = Zset::new();
    for i in 0..128 {
        zset.insert(format!("{i}").as_bytes(), 1.0, &limits);
    }
    assert_eq!(zset.encoding(), "listpack");
    zset.insert(b"0", 7.0, &limits);
    assert_eq!(zset.encoding(), "listpack");
    zset.insert(b"128", 1.0, &limits);
    assert_eq!(zset.encoding(), "skiplist");
    zset.remove(b"128");
    assert_eq!(zset.encoding(), "skiplist");
    zset.compact(&limits);
    assert_eq!(zset.encoding(), "listpack");
    zset.check_invariants();

    let mut zset = Zset::new();
    zset.insert(&[b'a'; 64], 1.0, &limits);
    assert_eq!(zset.encoding(), "listpack");
    zset.insert(&[b'b'; 65], 1.0, &limits);
    assert_eq!(zset.encoding(), "skiplist");
    zset.compact(&limits);
    assert_eq!(zset.encoding(), "skiplist");
}

#[test]
fn the_listpack_has_the_bytes_of_redis() {
    let mut zset = Zset::new();
    for (member, score) in [("b", 1.5), ("a", 3.0), ("7", f64::NEG_INFINITY), ("c", -0.0), ("d", 1e20)] {
        zset.insert(member.as_bytes(), score, &Limits::default());
    }
    let expected: Listpack = [&b"7"[..], b"-inf", b"c", b"0", b"b", b"1.5", b"a", b"3", b"d", b"1e+20"]
        .map(Entry::from)
        .into_iter()
        .collect();
    assert_eq!(zset.as_listpack(), Some(&expected));
    assert!(zset.score(b"c").is_some_and(|score| score.is_sign_positive()));
}

#[test]
fn zeros_are_equal_and_nan_stays_out() {
    let limits = Limits::default();
    for mut zset in [Zset::new(), Zset::empty_tree(&limits)] {
        assert_eq!(zset.insert(b"a", f64::NAN, &limits), Change::Unchanged);
        assert!(zset.is_empty());
        zset.insert(b"b", 0.0, &limits);
        zset.insert(b"a", -0.0, &limits);
        assert_eq!(zset.insert(b"a", 0.0, &limits), Change::Unchanged);
        assert_eq!(elements(zset.iter()), [(0.0, b"a".to_vec()), (0.0, b"b".to_vec())]);
        zset.check_invariants();
    }
    let mut tree = Zset::empty_tree(&limits);
    tree.insert(b"a", -0.0, &limits);
    assert!(tree.score(b"a").is_some_and(|score| score.is_sign_negative()));
}

#[test]
fn foreign_listpacks_are_examined() {
    let load = |entries: &[&[u8]]| {
        let listpack: Listpack = entries.iter().map(|&entry| Entry::from(entry)).collect();
        Zset::from_listpack(listpack, &small_limits())
    };
    assert!(load(&[b"a"]).is_err());
    assert!(load(&[b"a", b"1", b"a", b"2"]).is_err());
    assert!(load(&[b"a", b"nan"]).is_err());
    assert!(load(&[b"a", b"one"]).is_err());
    let zset = load(&[b"b", b"2", b"a", b"1.5"]).unwrap();
    assert_eq!(elements(zset.iter()), [(1.5, b"a".to_vec()), (2.0, b"b".to_vec())]);
    let many: Vec<_> = (100..200).map(|i: u32| i.to_string().into_bytes()).collect();
    let entries: Vec<&[u8]> = many.iter().flat_map(|member| [&member[..], b"5"]).collect();
    let zset = load(&entries).unwrap();
    assert_eq!((zset.encoding(), zset.len()), ("skiplist", 100));
    zset.check_invariants();
}

#[test]
fn random_members_are_all_as_likely() {
    let (limits, mut rng) = (Limits::default(), Rng::new(2));
    let mut zset = Zset::empty_tree(&limits);
    assert!(zset.random(&mut rng).is_none());
    for i in 0..200u8 {
        zset.insert(&[i], f64::from(i), &limits);
    }
    let mut hits = [0u32; 200];
    for _ in 0..20_000 {
        let (member, _) = zset.random(&mut rng).unwrap();
        hits[usize::from(member.to_vec()[0])] += 1;
    }
    assert!(hits.iter().all(|&n| (50..170).contains(&n)), "{hits:?}");
}

#[test]
fn samples_are_distinct_and_fair_and_pops_come_from_the_ends() {
    let (limits, mut rng) = (Limits::default(), Rng::new(3));
    for (len, mut zset) in [(50, Zset::new()), (300, Zset::empty_tree(&limits))] {
        for i in 0..len {
            zset.insert(format!("{i}").as_bytes(), f64::from(i), &limits);
        }
        let mut hits = vec![0; len as usize];
        for round in 0..1000 {
            let mut previous = -1.0;
            let mut visited = 0;
            zset.sample(round % 11, &mut rng, |_, score| {
                assert!(score > previous);
                previous = score;
                visited += 1;
                hits[score as usize] += 1;
            });
            assert_eq!(visited, round % 11);
        }
        let mean = 5000 / len;
        assert!(hits.iter().all(|&n| n > mean / 5 && n < mean * 3), "{hits:?}");
        zset.sample(usize::MAX, &mut rng, |_, score| hits[score as usize] = -1);
        assert!(hits.iter().all(|&n| n == -1));

        let mut popped = Vec::new();
        assert_eq!(zset.pop_lowest(2, |_, score| popped.push(score)), 2);
        assert_eq!(zset.pop_highest(2, |_, score| popped.push(score)), 2);
        assert_eq!(popped, [0.0, 1.0, f64::from(len - 1), f64::from(len - 2)]);
        assert_eq!(zset.pop_highest(1000, |_, score| popped.push(score)), len as usize - 4);
        assert!(zset.is_empty() && zset.pop_lowest(1, |_, _| unreachable!()) == 0);
    }
}

#[test]
fn is_freed_in_slices() {
    let mut zset = Zset::empty_tree(&Limits::default());
    for i in 0..5000u32 {
        zset.insert(&i.to_le_bytes(), 0.0, &Limits::default());
    }
    assert!(zset.memory_usage() > 5000 * 20 && zset.memory_usage() < 5000 * 60);
    let slices = (0..).take_while(|_| !zset.free_some(10)).count();
    assert!((8..100).contains(&slices), "{slices}");
}
