//! Distances of vectors: 0 for the same direction, 1 for a right angle, 2 for the opposite one.
//!
//! f32 and int8 vectors: 1 minus the product of the normalised vectors. Binary ones: twice the share of signs that differ. The
//! formulas are those of Redis, so that scores agree.

use super::vectors::{Line, Quantization, Scale, bytes_of};

/// A vector to be compared.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub(super) lines: &'a [Line],
    pub(super) scale: Scale,
}

/// The distance of two vectors of the same dimension and quantization.
pub(super) fn distance(a: Operand<'_>, b: Operand<'_>, dim: usize, quantization: Quantization) -> f32 {
    match quantization {
        Quantization::None => 1.0 - scalar::product_f32(a.lines, b.lines),
        Quantization::Int8 => of_int8(a.scale.range, b.scale.range, scalar::product_int8(a.lines, b.lines)),
        Quantization::Binary => scalar::differing_bits(a.lines, b.lines) as f32 * 2.0 / dim as f32,
    }
}

#[inline(always)]
fn of_int8(range_a: f32, range_b: f32, product: i32) -> f32 {
    if range_a == 0.0 || range_b == 0.0 {
        return 1.0;
    }
    (1.0 - product as f32 * ((range_a / 127.0) * (range_b / 127.0))).clamp(0.0, 2.0)
}

/// What the products mean; runs where the processor has nothing better.
mod scalar {
    use super::{Line, bytes_of};

    /// Floats that are summed apart: a line of them, for the compiler to take several at a time.
    const LANES: usize = 16;

    pub(super) fn product_f32(a: &[Line], b: &[Line]) -> f32 {
        let mut sums = [0.0f32; LANES];
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (a.0.as_chunks::<4>().0, b.0.as_chunks::<4>().0);
            for lane in 0..LANES {
                sums[lane] += f32::from_ne_bytes(a[lane]) * f32::from_ne_bytes(b[lane]);
            }
        }
        sums.iter().sum()
    }

    pub(super) fn product_int8(a: &[Line], b: &[Line]) -> i32 {
        let pairs = bytes_of(a).iter().zip(bytes_of(b));
        pairs.map(|(a, b)| i32::from(a.cast_signed()) * i32::from(b.cast_signed())).sum()
    }

    pub(super) fn differing_bits(a: &[Line], b: &[Line]) -> u32 {
        let words = |lines| bytes_of(lines).as_chunks::<8>().0;
        let pairs = words(a).iter().zip(words(b));
        pairs.map(|(a, b)| (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)).count_ones()).sum()
    }
}
