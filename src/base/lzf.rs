//! LZF, the byte-oriented compression of RDB strings and of inner list nodes, in the format of
//! liblzf (Lehmann).
//!
//!     000lllll bytes                 l + 1 literal bytes
//!     lllooooo oooooooo              copy l + 2 bytes from o + 1 bytes back, 1 ≤ l ≤ 6
//!     111ooooo llllllll oooooooo     copy l + 9 bytes from o + 1 bytes back
//!
//! Compression is greedy with one candidate a hash. Decompression checks every length and distance.

const MAX_LITERAL: usize = 32;
const MAX_DISTANCE: usize = 1 << 13;
const MAX_MATCH: usize = 264;
const MIN_MATCH: usize = 3;

/// The error of bytes that don't decompress to the length asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Compresses `input` into at most `limit` bytes; `None` if that cannot be done.
pub fn compress(input: &[u8], limit: usize) -> Option<Vec<u8>> {
    // A small table is quick to clear, which is most of the work for a short string.
    match input.len() {
        0..MIN_MATCH => None,
        MIN_MATCH..1024 => squeeze(input, limit, &mut [0; 1 << 9]),
        _ => squeeze(input, limit, &mut [0; 1 << 13]),
    }
}

/// The three bytes at a place that has a fourth behind it, and their hash for a table of `N` places, a power of two.
#[inline(always)]
fn three<const N: usize>(input: &[u8], at: usize) -> Option<(u32, usize)> {
    let bytes = u32::from_le_bytes(*input.get(at..)?.first_chunk()?) & 0xff_ffff;
    Some((bytes, (bytes.wrapping_mul(0x9e37_79b1) >> (32 - N.trailing_zeros())) as usize))
}

/// How many bytes two slices have in common at their starts.
#[inline]
fn common(left: &[u8], right: &[u8]) -> usize {
    let words = left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0);
    let mut same = 0;
    for (left, right) in words {
        let differs = u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
        if differs != 0 {
            return same + differs.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    same + left[same..].iter().zip(&right[same..]).take_while(|(left, right)| left == right).count()
}

/// `table` maps the hash of three bytes to where they were last seen, plus one.
fn squeeze<const N: usize>(input: &[u8], limit: usize, table: &mut [u32; N]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(limit.min(input.len()));
    let mut literals = 0;
    let mut at = 0;
    while let Some((bytes, slot)) = three::<N>(input, at) {
        let seen = std::mem::replace(&mut table[slot], (at + 1) as u32) as usize;
        let near = seen > 0 && at - (seen - 1) <= MAX_DISTANCE;
        if !near || three::<N>(input, seen - 1).is_none_or(|(others, _)| others != bytes) {
            at += 1;
            continue;
        }
        let from = seen - 1;
        let most = MAX_MATCH.min(input.len() - at);
        let len =
            MIN_MATCH + common(&input[at + MIN_MATCH..at + most], &input[from + MIN_MATCH..from + most]);
        put_literals(&mut out, &input[literals..at]);
        put_match(&mut out, at - from - 1, len);
        if out.len() > limit {
            return None;
        }
        // Only the match's last positions are entered: entering all costs more time than it saves bytes.
        let end = at + len;
        for place in end - 2..end {
            if let Some((_, slot)) = three::<N>(input, place) {
                table[slot] = (place + 1) as u32;
            }
        }
        at = end;
        literals = end;
    }
    put_literals(&mut out, &input[literals..]);
    (out.len() <= limit).then_some(out)
}

fn put_literals(out: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.chunks(MAX_LITERAL) {
        out.push((run.len() - 1) as u8);
        out.extend_from_slice(run);
    }
}

fn put_match(out: &mut Vec<u8>, distance: usize, len: usize) {
    let (high, low) = ((distance >> 8) as u8, distance as u8);
    match len - 2 {
        short @ 1..=6 => out.extend([(short as u8) << 5 | high, low]),
        long => out.extend([7 << 5 | high, (long - 7) as u8, low]),
    }
}

/// Restores exactly `len` bytes from `input`.
pub fn decompress(input: &[u8], len: usize) -> Result<Vec<u8>, Corrupt> {
    // `len` is the sender's claim: no more is reserved than `input` can expand to.
    let mut out = Vec::with_capacity(len.min(input.len().saturating_mul(MAX_MATCH)));
    let mut rest = input;
    while let Some((&control, tail)) = rest.split_first() {
        let control = usize::from(control);
        if control < MAX_LITERAL {
            let (run, tail) = tail.split_at_checked(control + 1).ok_or(Corrupt)?;
            out.extend_from_slice(run);
            rest = tail;
        } else {
            rest = copy_match(&mut out, control, tail)?;
        }
        if out.len() > len {
            return Err(Corrupt);
        }
    }
    if out.len() == len { Ok(out) } else { Err(Corrupt) }
}

/// Appends the match that `control` begins and returns what follows it.
fn copy_match<'a>(out: &mut Vec<u8>, control: usize, tail: &'a [u8]) -> Result<&'a [u8], Corrupt> {
    let (extra, tail) = match (control >> 5, tail) {
        (7, [more, tail @ ..]) => (usize::from(*more), tail),
        (7, []) => return Err(Corrupt),
        _ => (0, tail),
    };
    let (&low, tail) = tail.split_first().ok_or(Corrupt)?;
    let len = (control >> 5) + extra + 2;
    let distance = (control & 0x1f) << 8 | usize::from(low);
    let from = out.len().checked_sub(distance + 1).ok_or(Corrupt)?;
    if distance + 1 >= len {
        out.extend_from_within(from..from + len);
    } else {
        // The source runs into what is being written: a repeated pattern.
        for at in from..from + len {
            out.push(out[at]);
        }
    }
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn what_goes_in_comes_out() {
        let mut rng = Rng::new(5);
        for _ in 0..200 {
            let alphabet = 1 + rng.below(20);
            let len = rng.below(3000) as usize;
            let input: Vec<u8> = (0..len).map(|_| rng.below(alphabet) as u8).collect();
            if let Some(packed) = compress(&input, input.len() * 2) {
                assert_eq!(decompress(&packed, len), Ok(input.clone()));
                assert!(decompress(&packed, len + 1).is_err());
                assert_eq!(compress(&input, packed.len() - 1), None);
            }
        }
        let runs = [b"ab".repeat(9000), vec![b'a'; 20_000]].concat();
        let packed = compress(&runs, runs.len()).unwrap();
        assert!(packed.len() < 600, "{}", packed.len());
        assert_eq!(decompress(&packed, runs.len()), Ok(runs));
    }

    #[test]
    fn reads_what_others_write() {
        assert_eq!(decompress(b"\x01aa\xe0\x02\x00", 13).unwrap(), b"aaaaaaaaaaaaa");
        assert_eq!(decompress(b"\x02abc\x20\x02\x00!", 7).unwrap(), b"abcabc!");
    }

    #[test]
    fn hostile_input_is_an_error() {
        for bad in [&b"\x05ab"[..], b"\x20", b"\x20\x00", b"\xe0", b"\xe0\x01", b"\x00a\x20\x05"] {
            assert_eq!(decompress(bad, 3), Err(Corrupt));
        }
        let mut rng = Rng::new(6);
        for _ in 0..5000 {
            let mut noise = vec![0; rng.below(40) as usize];
            rng.fill(&mut noise);
            let _ = decompress(&noise, rng.below(200) as usize);
        }
    }
}
