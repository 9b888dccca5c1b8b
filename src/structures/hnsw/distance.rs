//! Distances of vectors: 0 for the same direction, 1 for a right angle, 2 for the opposite one.
//!
//! f32 and int8 vectors: 1 minus the product of the normalised vectors. Binary ones: twice the share of signs that differ. The
//! formulas are those of Redis, so that scores agree. A product that isn't a number makes 2, so that distances can be put in order.
//!
//! Products come in several forms, of which the processor's best runs: [`scalar`] is what they mean, `x86` has AVX2 and AVX-512, `neon`
//! what each ARM64 processor has. The tests compare them.
#![allow(unsafe_code)]

use super::vectors::{Line, Quantization, Scale, bytes_of};
use crate::structures::prefetch::prefetch_ref;

/// A vector to be compared.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub(super) lines: &'a [Line],
    pub(super) scale: Scale,
}

/// What the processor can do. Values above `Scalar` are made by [`Instructions::detect`] only: they are the proof that it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Instructions {
    Scalar,
    /// AVX2, FMA and POPCNT.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with BW, VNNI and VPOPCNTDQ.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON without its products of bytes (SDOT), which stable Rust lacks.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Instructions {
    pub(super) fn detect() -> Instructions {
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("popcnt");
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("avx512vpopcntdq");
            if has_avx2 && has_avx512 {
                return Instructions::Avx512;
            }
            if has_avx2 {
                return Instructions::Avx2;
            }
        }
        #[cfg(target_arch = "aarch64")]
        return Instructions::Neon;
        #[cfg(not(target_arch = "aarch64"))]
        Instructions::Scalar
    }
}

/// Vectors that are asked from memory ahead while one is compared, in lines.
const LINES_AHEAD: usize = 16;

/// Writes the distance of each operand, computed by an expression, and asks for the operands to come.
macro_rules! each {
    ($others:ident, $distances:ident, |$other:ident| $distance:expr) => {
        let ahead = ahead($others);
        for (number, ($other, distance)) in $others.iter().zip($distances).enumerate() {
            if let Some(coming) = $others.get(number + ahead) {
                prefetch_lines(coming.lines);
            }
            *distance = $distance;
        }
    };
}

/// Operands between the one that is compared and the one that is asked for.
#[inline(always)]
fn ahead(others: &[Operand<'_>]) -> usize {
    (LINES_AHEAD / others.first().map_or(1, |other| other.lines.len().max(1))).max(1)
}

#[inline(always)]
fn prefetch_lines(lines: &[Line]) {
    for line in lines {
        prefetch_ref(line);
    }
}

/// How the vectors of a graph are compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    pub(super) quantization: Quantization,
    pub(super) dim: usize,
    pub(super) instructions: Instructions,
}

impl Metric {
    /// The distance of two vectors of the metric's dimension and quantization.
    #[inline]
    pub(super) fn distance(self, a: Operand<'_>, b: Operand<'_>) -> f32 {
        let mut distance = [0.0];
        self.distances(a, &[b], &mut distance);
        distance[0]
    }

    /// The distances of a vector from others, which had better be many: while one is compared the following are on their way from memory.
    #[inline]
    pub(super) fn distances(self, query: Operand<'_>, others: &[Operand<'_>], distances: &mut [f32]) {
        use Quantization::{Binary, Int8, None};
        match (self.instructions, self.quantization) {
            // SAFETY: a value of `Instructions` says that the processor has the features; there is no other obligation.
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx512, None) => unsafe { x86::avx512::of_f32(query, others, distances) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx512, Int8) => unsafe { x86::avx512::of_int8(query, others, distances) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx512, Binary) => unsafe {
                x86::avx512::of_binary(query, others, self.dim, distances);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx2, None) => unsafe { x86::avx2::of_f32(query, others, distances) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx2, Int8) => unsafe { x86::avx2::of_int8(query, others, distances) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Instructions::Avx2, Binary) => unsafe {
                x86::avx2::of_binary(query, others, self.dim, distances)
            },
            // SAFETY: each ARM64 processor has NEON; there is no other obligation.
            #[cfg(target_arch = "aarch64")]
            (Instructions::Neon, None) => unsafe { neon::of_f32(query, others, distances) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            (Instructions::Neon, Int8) => unsafe { neon::of_int8(query, others, distances) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            (Instructions::Neon, Binary) => unsafe { neon::of_binary(query, others, self.dim, distances) },
            (_, None) => scalar::of_f32(query, others, distances),
            (_, Int8) => scalar::of_int8(query, others, distances),
            (_, Binary) => scalar::of_binary(query, others, self.dim, distances),
        }
    }
}

#[inline(always)]
fn from_product(product: f32) -> f32 {
    (1.0 - product).min(2.0)
}

#[inline(always)]
#[expect(clippy::manual_clamp, reason = "`clamp` leaves what isn't a number")]
fn from_int8_product(product: i32, query: Scale, other: Scale) -> f32 {
    if query.range == 0.0 || other.range == 0.0 {
        return 1.0;
    }
    (1.0 - product as f32 * ((query.range / 127.0) * (other.range / 127.0))).min(2.0).max(0.0)
}

#[inline(always)]
fn from_differing(bits: u32, dim: usize) -> f32 {
    bits as f32 * 2.0 / dim as f32
}

/// What the products mean; runs where the processor has nothing better.
mod scalar {
    use super::{
        Line, Operand, ahead, bytes_of, from_differing, from_int8_product, from_product, prefetch_lines,
    };

    pub(super) fn of_f32(query: Operand<'_>, others: &[Operand<'_>], distances: &mut [f32]) {
        each!(others, distances, |other| from_product(product_f32(query.lines, other.lines)));
    }

    pub(super) fn of_int8(query: Operand<'_>, others: &[Operand<'_>], distances: &mut [f32]) {
        each!(others, distances, |other| {
            from_int8_product(product_int8(query.lines, other.lines), query.scale, other.scale)
        });
    }

    pub(super) fn of_binary(query: Operand<'_>, others: &[Operand<'_>], dim: usize, distances: &mut [f32]) {
        each!(others, distances, |other| from_differing(differing_bits(query.lines, other.lines), dim));
    }

    /// Floats that are summed apart: a line of them, for the compiler to take several at a time.
    const LANES: usize = 16;

    fn product_f32(a: &[Line], b: &[Line]) -> f32 {
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

    #[inline(always)]
    pub(super) fn differing_bits(a: &[Line], b: &[Line]) -> u32 {
        let words = |lines| bytes_of(lines).as_chunks::<8>().0;
        let pairs = words(a).iter().zip(words(b));
        pairs.map(|(a, b)| (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)).count_ones()).sum()
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! All loads are of whole lines, which are aligned; a slice's lines are readable.

    pub(super) mod avx2 {
        use std::arch::x86_64::*;

        use super::super::{
            Line, Operand, ahead, from_differing, from_int8_product, from_product, prefetch_lines, scalar,
        };

        #[target_feature(enable = "avx2,fma")]
        pub(in super::super) fn of_f32(query: Operand<'_>, others: &[Operand<'_>], distances: &mut [f32]) {
            each!(others, distances, |other| from_product(product_f32(query.lines, other.lines)));
        }

        #[target_feature(enable = "avx2")]
        pub(in super::super) fn of_int8(query: Operand<'_>, others: &[Operand<'_>], distances: &mut [f32]) {
            each!(others, distances, |other| {
                from_int8_product(product_int8(query.lines, other.lines), query.scale, other.scale)
            });
        }

        #[target_feature(enable = "avx2,popcnt")]
        pub(in super::super) fn of_binary(
            query: Operand<'_>,
            others: &[Operand<'_>],
            dim: usize,
            distances: &mut [f32],
        ) {
            each!(others, distances, |other| from_differing(differing_bits(query.lines, other.lines), dim));
        }

        #[inline]
        #[target_feature(enable = "avx2,fma")]
        fn product_f32(a: &[Line], b: &[Line]) -> f32 {
            let mut sums = [_mm256_setzero_ps(); 2];
            for (a, b) in a.iter().zip(b) {
                for (half, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: 32 bytes from the begin or the middle of a line of 64.
                    let (a, b) = unsafe {
                        let at = |line: &Line| _mm256_load_ps(line.0.as_ptr().cast::<f32>().add(8 * half));
                        (at(a), at(b))
                    };
                    *sum = _mm256_fmadd_ps(a, b, *sum);
                }
            }
            let [low, high] = sums;
            let sum = _mm256_add_ps(low, high);
            let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
            let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
            _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)))
        }

        #[inline]
        #[target_feature(enable = "avx2")]
        fn product_int8(a: &[Line], b: &[Line]) -> i32 {
            let mut sums = [_mm256_setzero_si256(); 4];
            for (a, b) in a.iter().zip(b) {
                for (quarter, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the 16 bytes of a quarter of a line of 64.
                    let (a, b) = unsafe {
                        let at = |line: &Line| _mm_load_si128(line.0.as_ptr().add(16 * quarter).cast());
                        (at(a), at(b))
                    };
                    let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b));
                    *sum = _mm256_add_epi32(*sum, products);
                }
            }
            let [s0, s1, s2, s3] = sums;
            let sum = _mm256_add_epi32(_mm256_add_epi32(s0, s1), _mm256_add_epi32(s2, s3));
            let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
            let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b00_00_11_10>(sum));
            _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32::<1>(sum)))
        }

        /// The scalar loop with the instruction for it.
        #[inline]
        #[target_feature(enable = "avx2,popcnt")]
        fn differing_bits(a: &[Line], b: &[Line]) -> u32 {
            scalar::differing_bits(a, b)
        }
    }

    pub(super) mod avx512 {
        use std::arch::x86_64::*;

        use super::super::{
            Line, Operand, ahead, from_differing, from_int8_product, from_product, prefetch_lines,
        };

        #[target_feature(enable = "avx512f")]
        pub(in super::super) fn of_f32(query: Operand<'_>, others: &[Operand<'_>], distances: &mut [f32]) {
            each!(others, distances, |other| from_product(product_f32(query.lines, other.lines)));
        }

        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        pub(in super::super) fn of_int8(query: Operand<'_>, others: &[Operand<'_>], distances: &mut [f32]) {
            each!(others, distances, |other| {
                from_int8_product(
                    product_int8(query.lines, other.lines, other.scale.sum),
                    query.scale,
                    other.scale,
                )
            });
        }

        #[target_feature(enable = "avx512f,avx512vpopcntdq")]
        pub(in super::super) fn of_binary(
            query: Operand<'_>,
            others: &[Operand<'_>],
            dim: usize,
            distances: &mut [f32],
        ) {
            each!(others, distances, |other| from_differing(differing_bits(query.lines, other.lines), dim));
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        fn load(line: &Line) -> __m512i {
            // SAFETY: a line is 64 readable bytes, aligned to 64.
            unsafe { _mm512_load_si512(line.0.as_ptr().cast()) }
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        fn product_f32(a: &[Line], b: &[Line]) -> f32 {
            let mut sums = [_mm512_setzero_ps(); 4];
            let (a_fours, a_rest) = a.as_chunks::<4>();
            let (b_fours, b_rest) = b.as_chunks::<4>();
            for (a, b) in a_fours.iter().zip(b_fours) {
                for (number, sum) in sums.iter_mut().enumerate() {
                    let (a, b) =
                        (_mm512_castsi512_ps(load(&a[number])), _mm512_castsi512_ps(load(&b[number])));
                    *sum = _mm512_fmadd_ps(a, b, *sum);
                }
            }
            for ((a, b), sum) in a_rest.iter().zip(b_rest).zip(&mut sums) {
                *sum = _mm512_fmadd_ps(_mm512_castsi512_ps(load(a)), _mm512_castsi512_ps(load(b)), *sum);
            }
            let [s0, s1, s2, s3] = sums;
            _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)))
        }

        /// The instruction multiplies unsigned with signed bytes: `a` is offset by 128, for which 128 times the sum of `b` is taken off again.
        /// Sums wrap, and the result is right because it fits: 65,536 products below 2^14 + 2^14.
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn product_int8(a: &[Line], b: &[Line], sum_b: i32) -> i32 {
            let offset = _mm512_set1_epi8(-128);
            let mut sums = [_mm512_setzero_si512(); 2];
            let (a_pairs, a_rest) = a.as_chunks::<2>();
            let (b_pairs, b_rest) = b.as_chunks::<2>();
            for (a, b) in a_pairs.iter().zip(b_pairs) {
                for (number, sum) in sums.iter_mut().enumerate() {
                    let a = _mm512_xor_si512(load(&a[number]), offset);
                    *sum = _mm512_dpbusd_epi32(*sum, a, load(&b[number]));
                }
            }
            for (a, b) in a_rest.iter().zip(b_rest) {
                sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_xor_si512(load(a), offset), load(b));
            }
            let sum = _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]));
            sum.wrapping_sub(sum_b.wrapping_mul(128))
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512vpopcntdq")]
        fn differing_bits(a: &[Line], b: &[Line]) -> u32 {
            let mut sum = _mm512_setzero_si512();
            for (a, b) in a.iter().zip(b) {
                sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(load(a), load(b))));
            }
            _mm512_reduce_add_epi64(sum) as u32
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    //! Lines are loaded in quarters of 16 bytes.

    use std::arch::aarch64::*;

    use super::{Line, Operand, ahead, from_differing, from_int8_product, from_product, prefetch_lines};

    #[target_feature(enable = "neon")]
    pub(super) fn of_f32(query: Operand<'_>, others: &[Operand<'_>], distances: &mut [f32]) {
        each!(others, distances, |other| from_product(product_f32(query.lines, other.lines)));
    }

    #[target_feature(enable = "neon")]
    pub(super) fn of_int8(query: Operand<'_>, others: &[Operand<'_>], distances: &mut [f32]) {
        each!(others, distances, |other| {
            from_int8_product(product_int8(query.lines, other.lines), query.scale, other.scale)
        });
    }

    #[target_feature(enable = "neon")]
    pub(super) fn of_binary(query: Operand<'_>, others: &[Operand<'_>], dim: usize, distances: &mut [f32]) {
        each!(others, distances, |other| from_differing(differing_bits(query.lines, other.lines), dim));
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn floats(line: &Line, quarter: usize) -> float32x4_t {
        let bytes = line.0.as_chunks::<16>().0[quarter].as_ptr();
        // SAFETY: it is 16 bytes.
        unsafe { vld1q_f32(bytes.cast()) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn bytes(line: &Line, quarter: usize) -> uint8x16_t {
        let bytes = line.0.as_chunks::<16>().0[quarter].as_ptr();
        // SAFETY: it is 16 bytes.
        unsafe { vld1q_u8(bytes) }
    }

    #[target_feature(enable = "neon")]
    fn product_f32(a: &[Line], b: &[Line]) -> f32 {
        let mut sums = [vdupq_n_f32(0.0); 4];
        for (a, b) in a.iter().zip(b) {
            for (quarter, sum) in sums.iter_mut().enumerate() {
                *sum = vfmaq_f32(*sum, floats(a, quarter), floats(b, quarter));
            }
        }
        let [s0, s1, s2, s3] = sums;
        vaddvq_f32(vaddq_f32(vaddq_f32(s0, s1), vaddq_f32(s2, s3)))
    }

    #[target_feature(enable = "neon")]
    fn product_int8(a: &[Line], b: &[Line]) -> i32 {
        let mut sums = [vdupq_n_s32(0); 4];
        for (a, b) in a.iter().zip(b) {
            for (quarter, sum) in sums.iter_mut().enumerate() {
                let (a, b) = (vreinterpretq_s8_u8(bytes(a, quarter)), vreinterpretq_s8_u8(bytes(b, quarter)));
                // A product has 16 bits; pairs of them are added to sums of 32.
                let low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
                *sum = vpadalq_s16(vpadalq_s16(*sum, low), vmull_high_s8(a, b));
            }
        }
        let [s0, s1, s2, s3] = sums;
        vaddvq_s32(vaddq_s32(vaddq_s32(s0, s1), vaddq_s32(s2, s3)))
    }

    #[target_feature(enable = "neon")]
    fn differing_bits(a: &[Line], b: &[Line]) -> u32 {
        let mut sum = vdupq_n_u32(0);
        for (a, b) in a.iter().zip(b) {
            // Up to eight a byte and quarter: 32 fit.
            let counts = [0, 1, 2, 3].map(|quarter| vcntq_u8(veorq_u8(bytes(a, quarter), bytes(b, quarter))));
            let counts = vaddq_u8(vaddq_u8(counts[0], counts[1]), vaddq_u8(counts[2], counts[3]));
            sum = vpadalq_u16(sum, vpaddlq_u8(counts));
        }
        vaddvq_u32(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::Query;
    use super::*;
    use crate::base::rng::Rng;

    /// The forms that this processor can run.
    fn forms() -> impl Iterator<Item = Instructions> {
        let all = [
            Instructions::Scalar,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512,
            #[cfg(target_arch = "aarch64")]
            Instructions::Neon,
        ];
        all.into_iter().filter(|form| *form <= Instructions::detect())
    }

    #[test]
    fn all_forms_agree_on_all_lengths() {
        let mut rng = Rng::new(3);
        let lengths = (1..=300).chain([511, 512, 513, 1000, 1023, 1024, 1536, 4096, 65535, 65536]);
        for dim in lengths {
            for quantization in [Quantization::None, Quantization::Int8, Quantization::Binary] {
                let mut random = || -> Vec<f32> { (0..dim).map(|_| rng.unit() as f32 - 0.4).collect() };
                let (a, b) = (random(), random());
                let products = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b));
                let length = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
                let cosine = products.sum::<f64>() / (length(&a) * length(&b));
                let differ = a.iter().zip(&b).filter(|(a, b)| (**a > 0.0) != (**b > 0.0)).count();
                let (expected, tolerance) = match quantization {
                    Quantization::None => (1.0 - cosine, 1e-5),
                    Quantization::Int8 => (1.0 - cosine, 0.02),
                    Quantization::Binary => (2.0 * differ as f64 / dim as f64, 1e-6),
                };
                let (a, b) = (Query::new(&a, quantization), Query::new(&b, quantization));
                let of = |form| {
                    let metric = Metric { quantization, dim, instructions: form };
                    let operand = |query| -> Operand<'_> {
                        let query: &Query = query;
                        Operand { lines: &query.lines, scale: query.scale }
                    };
                    f64::from(metric.distance(operand(&a), operand(&b)))
                };
                let scalar = of(Instructions::Scalar);
                assert!((scalar - expected).abs() < tolerance, "{quantization:?} {dim}: {scalar} {expected}");
                for form in forms() {
                    assert!((of(form) - scalar).abs() < 1e-5, "{quantization:?} {dim} {form:?}");
                }
            }
        }
    }

    #[test]
    fn extreme_components_do_not_overflow() {
        for bytes in [[127u8, 127], [129, 129], [127, 129], [128, 128], [128, 127]] {
            let [a, b] = bytes.map(|byte| vec![Line([byte; 64]); 1024]);
            let [sum_a, sum_b] = bytes.map(|byte| i32::from(byte.cast_signed()) * 65536);
            let product = i64::from(sum_a) * i64::from(sum_b) / 65536;
            // A range with which the distance is within its limits.
            let range = 0.99 * 127.0 / 32768.0;
            let expected = 1.0 - product as f64 * f64::from(range / 127.0f32).powi(2);
            for form in forms() {
                let metric = Metric { quantization: Quantization::Int8, dim: 65536, instructions: form };
                let a = Operand { lines: &a, scale: Scale { range, sum: sum_a } };
                let b = Operand { lines: &b, scale: Scale { range, sum: sum_b } };
                let distance = f64::from(metric.distance(a, b));
                assert!((distance - expected).abs() < 1e-5, "{bytes:?} {form:?}: {distance} {expected}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_is_far() {
        for quantization in [Quantization::None, Quantization::Int8] {
            for strange in [f32::NAN, -f32::NAN, f32::INFINITY] {
                let bytes =
                    if quantization == Quantization::None { strange.to_ne_bytes().to_vec() } else { vec![1] };
                let strange = Query::from_bytes(&bytes, strange, 1.0, quantization);
                let metric = Metric { quantization, dim: 1, instructions: Instructions::detect() };
                let operand = Operand { lines: &strange.lines, scale: strange.scale };
                let distance = metric.distance(operand, operand);
                assert!(distance <= 2.0, "{distance}");
            }
        }
    }

    #[test]
    fn a_vector_of_zeros_is_at_a_right_angle_to_all() {
        for quantization in [Quantization::None, Quantization::Int8] {
            let (zero, other) =
                (Query::new(&[0.0; 3], quantization), Query::new(&[1.0, -2.0, 3.0], quantization));
            let metric = Metric { quantization, dim: 3, instructions: Instructions::detect() };
            fn operand(query: &Query) -> Operand<'_> {
                Operand { lines: &query.lines, scale: query.scale }
            }
            for (a, b) in [(&zero, &zero), (&zero, &other), (&other, &zero)] {
                assert_eq!(metric.distance(operand(a), operand(b)), 1.0);
            }
        }
    }
}
