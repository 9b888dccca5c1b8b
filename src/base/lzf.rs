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

/// Compresses one input after the other; what it works with is kept from one to the next.
#[derive(Debug, Default)]
pub struct Compressor {
    /// The hash of three bytes → where they were last seen, plus one, plus `base`.
    table: Vec<u32>,
    /// What the places of the current input begin behind: all that was entered before is at most that, so the table need not be cleared.
    base: u32,
    out: Vec<u8>,
}

/// Places of the table for inputs shorter than [`SHORT`], and for others.
const SHORT_TABLE: usize = 1 << 9;
const TABLE: usize = 1 << 13;
const SHORT: usize = 1024;
/// After each so many places without a match the next ones are looked at a byte further apart: what doesn't compress is passed over fast.
const PATIENCE: usize = 32;

/// Compresses `input` into at most `limit` bytes; `None` if that cannot be done.
pub fn compress(input: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut compressor = Compressor::default();
    compressor.compress(input, limit)?;
    Some(compressor.out)
}

/// The three bytes at a place that has a fourth behind it.
#[inline(always)]
fn three(input: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*input.get(at..)?.first_chunk()?) & 0xff_ffff)
}

/// The place of three bytes in a table of `N` places, a power of two.
#[inline(always)]
fn hash<const N: usize>(bytes: u32) -> usize {
    (bytes.wrapping_mul(0x9e37_79b1) >> (32 - N.trailing_zeros())) as usize
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

impl Compressor {
    /// Compresses `input` into at most `limit` bytes; `None` if that cannot be done.
    pub fn compress(&mut self, input: &[u8], limit: usize) -> Option<&[u8]> {
        let places = if input.len() < SHORT { SHORT_TABLE } else { TABLE };
        // Four bytes are looked at together; and places have to fit the table.
        let len = u32::try_from(input.len()).ok().filter(|len| (4..u32::MAX - 1).contains(len))?;
        if self.table.len() < places {
            self.table.resize(places, 0);
        }
        if self.base.checked_add(len + 1).is_none() {
            self.table.fill(0);
            self.base = 0;
        }
        self.out.clear();
        self.out.reserve(limit.min(input.len()));
        let fits = match self.table.first_chunk_mut() {
            Some(table) if places == TABLE => squeeze::<TABLE>(input, limit, table, self.base, &mut self.out),
            _ => {
                let table = self.table.first_chunk_mut()?;
                squeeze::<SHORT_TABLE>(input, limit, table, self.base, &mut self.out)
            }
        };
        self.base += len;
        fits.then_some(&self.out)
    }
}

/// Compresses `input` to the end of `out`; false if it takes more than `limit` bytes. `table` and `base` are those of a [`Compressor`].
fn squeeze<const N: usize>(
    input: &[u8],
    limit: usize,
    table: &mut [u32; N],
    base: u32,
    out: &mut Vec<u8>,
) -> bool {
    let (mut literals, mut misses) = (0, 0);
    let mut at = 0;
    while let Some(bytes) = three(input, at) {
        let place = base + 1 + at as u32;
        let seen = std::mem::replace(&mut table[hash::<N>(bytes)], place);
        let near = seen > base && place - seen <= MAX_DISTANCE as u32;
        if !near || three(input, (seen - base - 1) as usize) != Some(bytes) {
            misses += 1;
            at += 1 + misses / PATIENCE;
            continue;
        }
        misses = 0;
        let from = (seen - base - 1) as usize;
        let most = MAX_MATCH.min(input.len() - at);
        let len =
            MIN_MATCH + common(&input[at + MIN_MATCH..at + most], &input[from + MIN_MATCH..from + most]);
        put_literals(out, &input[literals..at]);
        put_match(out, at - from - 1, len);
        if out.len() > limit {
            return false;
        }
        // Only the match's last positions are entered: entering all costs more time than it saves bytes.
        let end = at + len;
        for place in end - 2..end {
            if let Some(bytes) = three(input, place) {
                table[hash::<N>(bytes)] = base + 1 + place as u32;
            }
        }
        at = end;
        literals = end;
    }
    // Literals take more than their bytes: they are not copied in vain.
    let rest = input.len() - literals;
    if out.len() + rest > limit {
        return false;
    }
    put_literals(out, &input[literals..]);
    out.len() <= limit
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
