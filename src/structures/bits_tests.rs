//! Tests of bit operations and bit fields against naive ones.

use super::*;
use crate::base::rng::Rng;

fn random_bytes(rng: &mut Rng, most: u64) -> Vec<u8> {
    let mut bytes = vec![0; rng.below(most) as usize];
    match rng.below(3) {
        0 => rng.fill(&mut bytes),
        1 => bytes.fill(0xff),
        _ => {}
    }
    if !bytes.is_empty() && rng.below(2) == 0 {
        let at = rng.below(bytes.len() as u64) as usize;
        bytes[at] = rng.next_u64() as u8;
    }
    bytes
}

fn naive_bits(bytes: &[u8]) -> Vec<bool> {
    (0..bytes.len() as u64 * 8).map(|offset| get_bit(bytes, offset)).collect()
}

#[test]
fn counting_and_searching() {
    let mut rng = Rng::new(9);
    for _ in 0..3000 {
        let bytes = random_bytes(&mut rng, 200);
        let bits = naive_bits(&bytes);
        let unit = if rng.below(2) == 0 { Unit::Byte } else { Unit::Bit };
        let scale = if unit == Unit::Byte { 8 } else { 1 };
        let total = (bits.len() / scale) as i64;
        let span = total as u64 * 2 + 5;
        let (start, end) = (rng.below(span) as i64 - total - 2, rng.below(span) as i64 - total - 2);
        let whole = |place: i64| if place < 0 { (place + total).max(0) } else { place };
        let (from, to) = (whole(start), whole(end).min(total - 1));
        let range = if from > to || (start < 0 && end < 0 && start > end) {
            0..0
        } else {
            from as usize * scale..(to as usize + 1) * scale
        };
        let ones = bits[range.clone()].iter().filter(|bit| **bit).count() as u64;
        assert_eq!(count_range(&bytes, start, end, unit), ones);
        if from <= to {
            let range = from as usize * scale..(to as usize + 1) * scale;
            for wanted in [false, true] {
                let found = range.clone().find(|at| bits[*at] == wanted).map_or(-1, |at| at as i64);
                assert_eq!(position(&bytes, wanted, start, Some(end), unit), found);
                let open =
                    (range.start..bits.len()).find(|at| bits[*at] == wanted).map_or(-1, |at| at as i64);
                let open = if open < 0 && !wanted { bits.len() as i64 } else { open };
                assert_eq!(position(&bytes, wanted, start, None, unit), open);
            }
        } else {
            assert_eq!(position(&bytes, true, start, Some(end), unit), -1);
        }
        assert_eq!(count_ones(&bytes), bits.iter().filter(|bit| **bit).count() as u64);
    }
    for (start, end) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (i64::MIN, i64::MIN)] {
        count_range(b"abc", start, end, Unit::Bit);
        position(b"abc", true, start, Some(end), Unit::Bit);
    }
    assert_eq!(position(b"", false, 0, None, Unit::Byte), -1);
}

#[test]
fn combining() {
    use Operation::*;
    let mut rng = Rng::new(10);
    for round in 0..400 {
        let most = if round % 50 == 0 { 3 * BLOCK as u64 } else { 60 };
        let sources: Vec<Vec<u8>> = (0..=rng.below(4)).map(|_| random_bytes(&mut rng, most)).collect();
        let slices: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
        let length = sources.iter().map(Vec::len).max().unwrap();
        for operation in [And, Or, Xor, Not, Diff, Diff1, AndOr, One] {
            let result = combine(operation, &slices);
            assert_eq!(result.len(), length);
            for (at, byte) in result.iter().enumerate() {
                let mut column = sources.iter().map(|source| source.get(at).copied().unwrap_or(0));
                let x = column.next().unwrap();
                let column: Vec<u8> = column.collect();
                let ys = column.iter().fold(0, |sum, y| sum | y);
                let expected = match operation {
                    And => column.iter().fold(x, |sum, y| sum & y),
                    Or => x | ys,
                    Xor => column.iter().fold(x, |sum, y| sum ^ y),
                    Not => !x,
                    Diff => x & !ys,
                    Diff1 => !x & ys,
                    AndOr => x & ys,
                    One => (0..8)
                        .map(|bit| 1u8 << bit)
                        .filter(|bit| column.iter().chain([&x]).filter(|byte| *byte & bit != 0).count() == 1)
                        .sum(),
                };
                assert_eq!(*byte, expected, "{operation:?}");
            }
        }
    }
    assert!(combine(And, &[]).is_empty());
}

#[test]
fn fields_hold_what_they_are_given() {
    let mut rng = Rng::new(11);
    for _ in 0..5000 {
        let signed = rng.below(2) == 0;
        let field = Field::new(signed, rng.below(if signed { 64 } else { 63 }) as u32 + 1).unwrap();
        let mut bytes = vec![0; 24];
        rng.fill(&mut bytes);
        let offset = rng.below(100);
        let before = naive_bits(&bytes);
        let value = rng.next_u64() as i64;
        field.set(&mut bytes, offset, value);
        let after = naive_bits(&bytes);
        for (at, bit) in after.iter().enumerate() {
            let inside = (at as u64).checked_sub(offset).filter(|place| *place < u64::from(field.bits()));
            let expected =
                inside.map_or(before[at], |place| value >> (u64::from(field.bits()) - 1 - place) & 1 == 1);
            assert_eq!(*bit, expected);
        }
        let low = i128::from(value) & ((1i128 << field.bits()) - 1);
        let expected = if signed && low >> (field.bits() - 1) == 1 { low - (1 << field.bits()) } else { low };
        assert_eq!(i128::from(field.get(&bytes, offset)), expected);
        assert_eq!(field.fit(value, Overflow::Wrap), Some(expected as i64));
    }
    assert!(
        Field::new(false, 64).is_none() && Field::new(true, 65).is_none() && Field::new(true, 0).is_none()
    );
}

#[test]
fn overflow_rules() {
    let (u8_, i8_, i64_) =
        (Field::new(false, 8).unwrap(), Field::new(true, 8).unwrap(), Field::new(true, 64).unwrap());
    assert_eq!(u8_.increment(250, 10, Overflow::Wrap), Some(4));
    assert_eq!(u8_.increment(250, 10, Overflow::Saturate), Some(255));
    assert_eq!(u8_.increment(5, -10, Overflow::Saturate), Some(0));
    assert_eq!(u8_.increment(5, -10, Overflow::Wrap), Some(251));
    assert_eq!(u8_.increment(250, 10, Overflow::Fail), None);
    assert_eq!(u8_.fit(-1, Overflow::Saturate), Some(255));
    assert_eq!(i8_.increment(127, 1, Overflow::Wrap), Some(-128));
    assert_eq!(i8_.increment(-128, -1, Overflow::Saturate), Some(-128));
    assert_eq!(i8_.fit(i64::MIN + 128, Overflow::Saturate), Some(-128));
    // As elsewhere.
    assert_eq!(i8_.fit(i64::MIN + 126, Overflow::Saturate), Some(127));
    assert_eq!(i8_.fit(i64::MIN + 126, Overflow::Wrap), Some(126));
    assert_eq!(i8_.fit(200, Overflow::Fail), None);
    assert_eq!(i64_.increment(i64::MAX, 1, Overflow::Wrap), Some(i64::MIN));
    assert_eq!(i64_.increment(i64::MIN, -1, Overflow::Saturate), Some(i64::MIN));
    assert_eq!(i64_.fit(i64::MIN, Overflow::Fail), Some(i64::MIN));
}

#[test]
fn beyond_the_end() {
    let mut bytes = vec![0xff; 2];
    let field = Field::new(false, 63).unwrap();
    assert_eq!(field.get(&bytes, u64::MAX), 0);
    assert_eq!(field.get(&bytes, 15), 1 << 62);
    field.set(&mut bytes, 12, 0);
    assert_eq!(bytes, [0xff, 0xf0]);
    field.set(&mut bytes, u64::MAX, -1);
    assert!(!set_bit(&mut bytes, 16, true) && !get_bit(&bytes, u64::MAX));
    assert!(set_bit(&mut bytes, 0, false));
    assert_eq!(bytes, [0x7f, 0xf0]);
}
