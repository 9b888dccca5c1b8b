//! Rows of 6-bit registers: unpacking, element-wise maximum, packing and histogram, with AVX2 where the processor has it.
//!
//! ```text
//! packed    aaaaaabb bbbbcccc ccdddddd …     four registers in three bytes, the first in the lowest bits, little-endian
//! values    00aaaaaa 00bbbbbb 00cccccc …     a byte each
//! ```
//!
//! Merging, packing and the maximum come twice: [`scalar`] is what they mean, the AVX2 form what runs on most processors. The tests
//! compare the two. What one row has more than the other is left alone.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Values of a register.
pub const VALUES: usize = 64;

/// Set while the scalar forms are to run although the processor has AVX2.
static SCALAR_ONLY: AtomicBool = AtomicBool::new(false);

/// Whether the vector forms run.
#[inline]
pub fn uses_simd() -> bool {
    has_avx2() && !SCALAR_ONLY.load(Relaxed)
}

/// Allows or forbids the vector forms, for the whole process: results are the same, their cost is not.
pub fn allow_simd(allowed: bool) {
    SCALAR_ONLY.store(!allowed, Relaxed);
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

/// Raises each value to the packed register of the same number where that is larger.
pub fn merge_packed(values: &mut [u8], packed: &[u8]) {
    let groups = common(values.len(), packed.len());
    let (values, packed) = (&mut values[..4 * groups], &packed[..3 * groups]);
    #[cfg(target_arch = "x86_64")]
    if uses_simd() {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::merge_packed(values, packed) };
    }
    scalar::merge_packed(values, packed);
}

/// Writes the values in their packed form. Values above 63 lose their high bits.
pub fn pack(values: &[u8], packed: &mut [u8]) {
    let groups = common(values.len(), packed.len());
    let (values, packed) = (&values[..4 * groups], &mut packed[..3 * groups]);
    #[cfg(target_arch = "x86_64")]
    if uses_simd() {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::pack(values, packed) };
    }
    scalar::pack(values, packed);
}

/// Writes to `out`, packed, each register's largest value in `rows`, which are packed; cheaper than merging them one by one.
pub fn max_packed(rows: &[&[u8]], out: &mut [u8]) {
    let shortest = rows.iter().map(|row| row.len()).min().unwrap_or(0).min(out.len());
    let out = &mut out[..shortest / 3 * 3];
    #[cfg(target_arch = "x86_64")]
    if uses_simd() {
        // SAFETY: the processor has AVX2.
        return unsafe { avx2::max_packed(rows, out) };
    }
    scalar::max_packed(rows, out);
}

/// Groups of four registers that both rows have.
#[inline]
fn common(values: usize, packed: usize) -> usize {
    (values / 4).min(packed / 3)
}

/// How many values there are of each. Values above 63 count as what their low six bits say.
pub fn histogram(values: &[u8]) -> [u32; VALUES] {
    // Eight rows of counters: an addition does not wait for the one before it to the same counter.
    let mut rows = [[0u32; VALUES]; 8];
    let (groups, rest) = values.as_chunks::<8>();
    for group in groups {
        let group = u64::from_le_bytes(*group);
        for (place, row) in rows.iter_mut().enumerate() {
            row[(group >> (8 * place)) as usize % VALUES] += 1;
        }
    }
    let [mut sums, others @ ..] = rows;
    for row in others {
        sums.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
    }
    rest.iter().for_each(|value| sums[usize::from(*value) % VALUES] += 1);
    sums
}

/// The plain forms.
mod scalar {
    pub fn merge_packed(values: &mut [u8], packed: &[u8]) {
        for (values, group) in values.as_chunks_mut::<4>().0.iter_mut().zip(packed.as_chunks::<3>().0) {
            for (value, other) in values.iter_mut().zip(unpack(*group)) {
                *value = (*value).max(other);
            }
        }
    }

    pub fn pack(values: &[u8], packed: &mut [u8]) {
        for (group, values) in packed.as_chunks_mut::<3>().0.iter_mut().zip(values.as_chunks::<4>().0) {
            let word = u32::from_le_bytes(*values);
            let word = word & 63 | (word >> 2 & 0xfc0) | (word >> 4 & 0x3_f000) | (word >> 6 & 0xfc_0000);
            group.copy_from_slice(&word.to_le_bytes()[..3]);
        }
    }

    /// The rows are at least as long as `out`, which has whole groups.
    pub fn max_packed(rows: &[&[u8]], out: &mut [u8]) {
        // The registers are compared where they lie.
        const PLACES: [u32; 4] = [0x3f, 0xfc0, 0x3_f000, 0xfc_0000];
        for (number, out) in out.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let at = 3 * number;
            let mut largest = [0; 4];
            for row in rows {
                let word = u32::from_le_bytes([row[at], row[at + 1], row[at + 2], 0]);
                for (largest, place) in largest.iter_mut().zip(PLACES) {
                    *largest = (*largest).max(word & place);
                }
            }
            let word = largest.iter().fold(0, |word, register| word | register);
            out.copy_from_slice(&word.to_le_bytes()[..3]);
        }
    }

    /// The four registers in three bytes.
    #[inline]
    fn unpack([a, b, c]: [u8; 3]) -> [u8; 4] {
        let word = u32::from_le_bytes([a, b, c, 0]);
        (word & 0x3f | (word & 0xfc0) << 2 | (word & 0x3_f000) << 4 | (word & 0xfc_0000) << 6).to_le_bytes()
    }
}

/// The forms for processors with AVX2: 32 registers, which are 24 bytes, at a time.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    /// Registers at a time.
    const STEP: usize = 32;
    /// Their bytes, and those of one half: a load or store of a half touches [`HALF_TOUCHED`].
    const PACKED: usize = 24;
    const HALF: usize = 12;
    const HALF_TOUCHED: usize = 16;

    /// Steps of which each may touch four bytes behind its own.
    fn steps(packed: usize) -> usize {
        packed.saturating_sub(HALF_TOUCHED - HALF) / PACKED
    }

    #[target_feature(enable = "avx2")]
    pub fn merge_packed(values: &mut [u8], packed: &[u8]) {
        let steps = steps(packed.len());
        let (head, tail) = values.split_at_mut(steps * STEP);
        for (step, values) in head.as_chunks_mut::<STEP>().0.iter_mut().enumerate() {
            let at = step * PACKED;
            let (low, high) = (&packed[at..at + HALF_TOUCHED], &packed[at + HALF..at + HALF + HALF_TOUCHED]);
            // SAFETY: each slice has the 16 bytes that are loaded; no alignment is asked for.
            let (low, high) =
                unsafe { (_mm_loadu_si128(low.as_ptr().cast()), _mm_loadu_si128(high.as_ptr().cast())) };
            let registers = unpack(_mm256_set_m128i(high, low));
            let place: *mut __m256i = values.as_mut_ptr().cast();
            // SAFETY: `values` has the 32 bytes that are loaded and stored; no alignment is asked for.
            unsafe { _mm256_storeu_si256(place, _mm256_max_epu8(_mm256_loadu_si256(place), registers)) };
        }
        super::scalar::merge_packed(tail, &packed[steps * PACKED..]);
    }

    /// The 16 registers in the first 12 bytes of each half, a byte each.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn unpack(bytes: __m256i) -> __m256i {
        // Three bytes to each 32-bit lane, the fourth 0; then each register to its byte.
        let spread = _mm256_setr_epi8(
            0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, //
            0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1,
        );
        let words = _mm256_shuffle_epi8(bytes, spread);
        let only = |mask: i32| _mm256_and_si256(words, _mm256_set1_epi32(mask));
        let first = only(0x3f);
        let second = _mm256_slli_epi32::<2>(only(0xfc0));
        let third = _mm256_slli_epi32::<4>(only(0x3_f000));
        let fourth = _mm256_slli_epi32::<6>(only(0xfc_0000));
        _mm256_or_si256(_mm256_or_si256(first, second), _mm256_or_si256(third, fourth))
    }

    #[target_feature(enable = "avx2")]
    pub fn pack(values: &[u8], packed: &mut [u8]) {
        // Steps go upwards, so what one writes behind its own bytes the next overwrites.
        let steps = steps(packed.len());
        for (step, values) in values.as_chunks::<STEP>().0[..steps].iter().enumerate() {
            // SAFETY: `values` has the 32 bytes that are loaded; no alignment is asked for.
            let words = unsafe { _mm256_loadu_si256(values.as_ptr().cast()) };
            let bytes = squeeze(words);
            let at = step * PACKED;
            let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
            for (place, half) in [(at, low), (at + HALF, high)] {
                let place = &mut packed[place..place + HALF_TOUCHED];
                // SAFETY: the slice has the 16 bytes that are stored; no alignment is asked for.
                unsafe { _mm_storeu_si128(place.as_mut_ptr().cast(), half) };
            }
        }
        super::scalar::pack(&values[steps * STEP..], &mut packed[steps * PACKED..]);
    }

    /// Bytes of a block of [`max_packed`]: three vectors, in which the registers lie the same way in each block.
    const BLOCK: usize = 96;
    const VECTOR: usize = 32;

    /// Which bits of the 16-bit lanes are registers: two lie whole in each lane. Every third register lies across two of
    /// them, and whole in a lane that begins a byte later.
    ///
    /// ```text
    /// bits            0     6     12    18    24    30    36    42    48
    /// registers       |  a  |  b  |  c  |  d  |  e  |  f  |  g  |  h  |
    /// lanes           |    0          |       1       |       2       |
    /// a byte later            |       0       |       1       |       2
    /// ```
    const LOW: [i16; 3] = [0x003f, 0x00fc, 0x03f0];
    const HIGH: [i16; 3] = [0x0fc0, 0x3f00, 0xfc00_u16 as i16];
    const ACROSS: [i16; 3] = [0x03f0, 0x0fc0, 0];

    /// A pattern of three lanes over the three vectors of a block.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn masks(pattern: [i16; 3]) -> [__m256i; 3] {
        let lane = |vector: usize, lane: usize| pattern[(16 * vector + lane) % 3];
        let mask = |v: usize| {
            _mm256_setr_epi16(
                lane(v, 0),
                lane(v, 1),
                lane(v, 2),
                lane(v, 3),
                lane(v, 4),
                lane(v, 5),
                lane(v, 6),
                lane(v, 7),
                lane(v, 8),
                lane(v, 9),
                lane(v, 10),
                lane(v, 11),
                lane(v, 12),
                lane(v, 13),
                lane(v, 14),
                lane(v, 15),
            )
        };
        [mask(0), mask(1), mask(2)]
    }

    /// The rows are at least as long as `out`, which has whole groups.
    #[target_feature(enable = "avx2")]
    pub fn max_packed(rows: &[&[u8]], out: &mut [u8]) {
        let blocks = out.len().saturating_sub(1) / BLOCK;
        let (head, tail) = out.split_at_mut(blocks * BLOCK);
        max_blocks(rows, head.as_chunks_mut::<BLOCK>().0);
        if tail.is_empty() {
            return;
        }
        let padded: Vec<[u8; BLOCK + 1]> = rows
            .iter()
            .map(|row| {
                let mut padded = [0; BLOCK + 1];
                padded[..tail.len()].copy_from_slice(&row[blocks * BLOCK..][..tail.len()]);
                padded
            })
            .collect();
        let rows: Vec<&[u8]> = padded.iter().map(|row| &row[..]).collect();
        let mut last = [[0; BLOCK]];
        max_blocks(&rows, &mut last);
        tail.copy_from_slice(&last[0][..tail.len()]);
    }

    /// The rows are longer than the blocks by at least a byte. The registers stay packed: they are compared where they lie.
    #[target_feature(enable = "avx2")]
    fn max_blocks(rows: &[&[u8]], out: &mut [[u8; BLOCK]]) {
        let (low, high, across) = (masks(LOW), masks(HIGH), masks(ACROSS));
        for (block, out) in out.iter_mut().enumerate() {
            let zero = _mm256_setzero_si256();
            let (mut lows, mut highs, mut crossing) = ([zero; 3], [zero; 3], [zero; 3]);
            for row in rows {
                let row = &row[block * BLOCK..block * BLOCK + BLOCK + 1];
                for v in 0..3 {
                    let (own, later) = (&row[v * VECTOR..][..VECTOR], &row[v * VECTOR + 1..][..VECTOR]);
                    // SAFETY: each slice has the 32 bytes that are loaded; no alignment is asked for.
                    let (own, later) = unsafe {
                        (_mm256_loadu_si256(own.as_ptr().cast()), _mm256_loadu_si256(later.as_ptr().cast()))
                    };
                    lows[v] = _mm256_max_epu16(lows[v], _mm256_and_si256(own, low[v]));
                    highs[v] = _mm256_max_epu16(highs[v], _mm256_and_si256(own, high[v]));
                    crossing[v] = _mm256_max_epu16(crossing[v], _mm256_and_si256(later, across[v]));
                }
            }
            let mut before = zero;
            for v in 0..3 {
                // What was read a byte later moves up by a byte; the last byte of a block's is always 0.
                let carried = _mm256_permute2x128_si256::<0x21>(before, crossing[v]);
                let moved = _mm256_alignr_epi8::<15>(crossing[v], carried);
                before = crossing[v];
                let registers = _mm256_or_si256(_mm256_or_si256(lows[v], highs[v]), moved);
                let place = &mut out[v * VECTOR..][..VECTOR];
                // SAFETY: the slice has the 32 bytes that are stored; no alignment is asked for.
                unsafe { _mm256_storeu_si256(place.as_mut_ptr().cast(), registers) };
            }
        }
    }

    /// The reverse of [`unpack`]; the last four bytes of each half are 0.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn squeeze(words: __m256i) -> __m256i {
        let only = |shifted: __m256i, mask: i32| _mm256_and_si256(shifted, _mm256_set1_epi32(mask));
        let first = only(words, 0x3f);
        let second = only(_mm256_srli_epi32::<2>(words), 0xfc0);
        let third = only(_mm256_srli_epi32::<4>(words), 0x3_f000);
        let fourth = only(_mm256_srli_epi32::<6>(words), 0xfc_0000);
        let words = _mm256_or_si256(_mm256_or_si256(first, second), _mm256_or_si256(third, fourth));
        let gather = _mm256_setr_epi8(
            0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, //
            0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,
        );
        _mm256_shuffle_epi8(words, gather)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn row(rng: &mut Rng, len: usize) -> Vec<u8> {
        (0..len).map(|_| rng.below(64) as u8).collect()
    }

    #[test]
    fn packing_is_as_drawn() {
        let mut packed = [0xff; 3];
        pack(&[1, 2, 3, 63], &mut packed);
        let word = 1 | 2 << 6 | 3 << 12 | 63 << 18;
        assert_eq!(packed, u32::to_le_bytes(word)[..3]);
        let mut values = [0, 9, 0, 0];
        merge_packed(&mut values, &packed);
        assert_eq!(values, [1, 9, 3, 63]);
    }

    #[test]
    fn vector_and_scalar_forms_agree() {
        let mut rng = Rng::new(21);
        for len in (0..300).step_by(4).chain([16384]) {
            let (left, right) = (row(&mut rng, len), row(&mut rng, len));
            let naive: Vec<u8> = left.iter().zip(&right).map(|(a, b)| *a.max(b)).collect();
            let (mut packed, mut merged) = (vec![0xff; len / 4 * 3], left.clone());
            scalar::pack(&right, &mut packed);
            scalar::merge_packed(&mut merged, &packed);
            assert_eq!(merged, naive, "{len}");
            #[cfg(target_arch = "x86_64")]
            if has_avx2() {
                let (mut vector_packed, mut merged) = (vec![0xff; len / 4 * 3], left.clone());
                // SAFETY: the processor has AVX2.
                unsafe {
                    avx2::pack(&right, &mut vector_packed);
                    avx2::merge_packed(&mut merged, &packed);
                }
                assert_eq!((vector_packed, merged), (packed, naive), "{len}");
            }
        }
    }

    #[test]
    fn largest_of_packed_rows() {
        let mut rng = Rng::new(23);
        for len in (0..600).step_by(4).chain([16384]) {
            for count in [1, 2, 3, 9] {
                let rows: Vec<Vec<u8>> = (0..count).map(|_| row(&mut rng, len)).collect();
                let packed = |values: &[u8]| {
                    let mut packed = vec![0; len / 4 * 3];
                    scalar::pack(values, &mut packed);
                    packed
                };
                let naive: Vec<u8> =
                    (0..len).map(|at| rows.iter().map(|row| row[at]).max().unwrap_or(0)).collect();
                let naive = packed(&naive);
                let rows: Vec<Vec<u8>> = rows.iter().map(|row| packed(row)).collect();
                let rows: Vec<&[u8]> = rows.iter().map(|row| &row[..]).collect();
                let mut out = vec![0xff; len / 4 * 3];
                scalar::max_packed(&rows, &mut out);
                assert_eq!(out, naive, "{len}");
                #[cfg(target_arch = "x86_64")]
                if has_avx2() {
                    let mut out = vec![0xff; len / 4 * 3];
                    // SAFETY: the processor has AVX2.
                    unsafe { avx2::max_packed(&rows, &mut out) };
                    assert_eq!(out, naive, "{len}");
                }
            }
        }
    }

    #[test]
    fn histograms() {
        let mut rng = Rng::new(22);
        for len in [0, 1, 7, 8, 100, 16384] {
            let values = row(&mut rng, len);
            let counts = histogram(&values);
            for value in 0..64u8 {
                let count = values.iter().filter(|other| **other == value).count();
                assert_eq!(counts[usize::from(value)] as usize, count);
            }
        }
    }

    #[test]
    fn what_one_row_has_more_is_left_alone() {
        let mut values = [1; 10];
        merge_packed(&mut values, &[0xff; 5]);
        assert_eq!(values, [63, 63, 63, 63, 1, 1, 1, 1, 1, 1]);
        let mut packed = [1; 5];
        pack(&[0; 11], &mut packed);
        assert_eq!(packed, [0, 0, 0, 1, 1]);
        let mut largest = [9; 8];
        max_packed(&[&[1; 7], &[1; 6]], &mut largest);
        assert_eq!(largest, [1, 1, 1, 1, 1, 1, 9, 9]);
        max_packed(&[], &mut largest);
        assert_eq!(largest, [1, 1, 1, 1, 1, 1, 9, 9]);
    }
}
