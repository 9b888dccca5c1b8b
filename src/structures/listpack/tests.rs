//! Tests of the listpack against a vector, of its bytes, and of hostile bytes.

use super::*;
use crate::base::rng::Rng;

fn value(rng: &mut Rng) -> Vec<u8> {
    match rng.below(10) {
        0 => (rng.next_u64() as i64 >> rng.below(64)).to_string().into_bytes(),
        1..=3 => rng.below(200).to_string().into_bytes(),
        4 => vec![b'x'; rng.below(5000) as usize],
        5 => vec![b'7'; rng.below(25) as usize],
        6 => format!("-{}", rng.below(9000)).into_bytes(),
        7 => format!("0{}", rng.below(50)).into_bytes(),
        _ => format!("member:{}", rng.below(50)).into_bytes(),
    }
}

fn contents(listpack: &Listpack) -> Vec<Vec<u8>> {
    listpack.iter().map(Entry::to_vec).collect()
}

fn check(listpack: &Listpack, model: &[Vec<u8>]) {
    listpack.check_invariants();
    assert_eq!(contents(listpack), model);
    let mut backwards: Vec<_> = listpack.iter().rev().map(Entry::to_vec).collect();
    backwards.reverse();
    assert_eq!(backwards, model);
    assert_eq!(listpack.len(), model.len());
}

#[test]
fn edits_agree_with_a_vector() {
    let mut rng = Rng::new(1);
    for _ in 0..30 {
        let mut listpack = Listpack::new();
        let mut model: Vec<Vec<u8>> = Vec::new();
        for _ in 0..60 {
            let v = value(&mut rng);
            let i = rng.below(model.len() as u64 + 1) as usize;
            match rng.below(10) {
                0 | 1 => {
                    listpack.push_back(&v[..]);
                    model.push(v.clone());
                }
                2 => {
                    listpack.push_front(&v[..]);
                    model.insert(0, v.clone());
                }
                3 | 4 => {
                    listpack.insert(listpack.seek(i), &v[..]);
                    model.insert(i, v.clone());
                }
                5 if i < model.len() => {
                    listpack.replace(listpack.seek(i).unwrap(), &v[..]);
                    model[i] = v.clone();
                }
                6 if i < model.len() => {
                    let next = listpack.remove(listpack.seek(i).unwrap());
                    model.remove(i);
                    assert_eq!(next.map(|p| listpack.at(p).to_vec()), model.get(i).cloned());
                }
                7 => {
                    let n = rng.below(4) as usize;
                    let gone = listpack.remove_range(i, n);
                    let stop = (i + n).min(model.len());
                    assert_eq!(gone, model.drain(i..stop).count());
                }
                8 => {
                    let tail = listpack.split_off(i);
                    let rest = model.split_off(i);
                    check(&tail, &rest);
                    listpack.append(&tail);
                    model.extend(rest);
                }
                _ => {
                    listpack.retain(1, |listpack, pos| listpack.at(pos).byte_len() != v.len());
                    model.retain(|other| other.len() != v.len());
                }
            }
            check(&listpack, &model);
            assert_eq!(
                listpack.position_of(&v),
                model.iter().position(|m| *m == v).and_then(|i| listpack.seek(i))
            );
        }
    }
}

#[test]
fn seek_next_and_prev_agree() {
    let listpack: Listpack = (0..300i64).map(|n| Entry::Int(n * n * n * 1000)).collect();
    let mut pos = listpack.first();
    for i in 0..300 {
        assert_eq!(pos, listpack.seek(i));
        assert_eq!(pos.and_then(|p| listpack.prev(p)), i.checked_sub(1).and_then(|i| listpack.seek(i)));
        pos = pos.and_then(|p| listpack.next(p));
    }
    assert_eq!((pos, listpack.seek(300)), (None, None));
    assert_eq!(listpack.last(), listpack.seek(299));
    let from: Vec<_> = listpack.iter_from(listpack.seek(298).unwrap()).collect();
    assert_eq!(from, listpack.iter().skip(298).collect::<Vec<_>>());
    assert_eq!(listpack.iter_to(listpack.seek(1).unwrap()).rev().count(), 2);
}

#[test]
fn integers_take_the_widths_of_the_format() {
    let widths = [
        (0, 2),
        (127, 2),
        (128, 3),
        (-1, 3),
        (4095, 3),
        (-4096, 3),
        (4096, 4),
        (-4097, 4),
        (32767, 4),
        (-32768, 4),
        (32768, 5),
        (8_388_607, 5),
        (-8_388_608, 5),
        (8_388_608, 6),
        (i64::from(i32::MIN), 6),
        (i64::from(i32::MAX) + 1, 10),
        (i64::MIN, 10),
        (i64::MAX, 10),
    ];
    for (n, width) in widths {
        let mut listpack = Listpack::new();
        listpack.push_back(n.to_string().as_bytes());
        assert_eq!(listpack.byte_len(), EMPTY_BYTES + width, "{n}");
        assert_eq!(listpack.get(0), Some(Entry::Int(n)));
        check(&listpack, &[n.to_string().into_bytes()]);
    }
}

#[test]
fn bytes_are_those_of_the_format() {
    let mut listpack = Listpack::new();
    listpack.push_back(b"hello");
    listpack.push_back(b"300");
    listpack.push_front(b"-0");
    let expected = b"\x15\0\0\0\x03\0\x82-0\x03\x85hello\x06\xc1\x2c\x02\xff";
    assert_eq!(listpack.as_bytes(), expected);
    listpack.push_back(&vec![b'a'; 16_378][..]);
    assert_eq!(listpack.byte_len(), 21 + 5 + 16_378 + 3);
    check(&listpack, &[b"-0".to_vec(), b"hello".to_vec(), b"300".to_vec(), vec![b'a'; 16_378]]);
}

#[test]
fn hostile_bytes_are_refused_or_readable() {
    let mut rng = Rng::new(3);
    let mut listpack = Listpack::new();
    for v in ["a", "12", "-5000", "70000", "99999999999", "0123456789"] {
        listpack.push_back(v.as_bytes());
    }
    listpack.push_back(&[b'z'; 200][..]);
    let good = listpack.as_bytes().to_vec();
    for cut in 0..good.len() {
        assert_eq!(Listpack::from_bytes(&good[..cut]), Err(Corrupt));
    }
    for _ in 0..20_000 {
        let mut bad = good.clone();
        for _ in 0..=rng.below(3) {
            let at = rng.below(bad.len() as u64) as usize;
            bad[at] = rng.next_u64() as u8;
        }
        if let Ok(listpack) = Listpack::from_bytes(&bad) {
            assert_eq!(listpack.iter().count(), listpack.iter().rev().count());
            assert_eq!(listpack.len(), listpack.iter().count());
        }
    }
}

#[test]
fn counts_beyond_the_header_walk() {
    let mut listpack: Listpack = (0..70_000i64).map(|_| Entry::Int(5)).collect();
    listpack.check_invariants();
    assert_eq!(listpack.len(), 70_000);
    assert_eq!(listpack.get(69_999), Some(Entry::Int(5)));
    assert_eq!(listpack.get(70_000), None);
    assert_eq!(listpack.remove_range(100, usize::MAX), 69_900);
    assert_eq!((listpack.len(), listpack.known_count()), (100, Some(100)));
}

#[test]
fn fields_are_found_with_a_stride() {
    let mut listpack = Listpack::new();
    for i in 0..10i64 {
        listpack.push_pair(i, format!("f{i}").as_bytes());
    }
    listpack.push_pair(b"f3", b"yes");
    assert_eq!(listpack.find(b"f3", listpack.first(), 2), listpack.seek(20));
    assert_eq!(listpack.find(b"f3", listpack.first(), 1), listpack.seek(7));
    assert_eq!(listpack.find(b"4", listpack.first(), 2), listpack.seek(8));
    assert_eq!(listpack.pairs().next_back(), Some((Entry::Str(b"f3"), Entry::Str(b"yes"))));
}
