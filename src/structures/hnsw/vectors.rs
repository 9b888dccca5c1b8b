//! Vectors as a graph keeps them: normalised, quantised, in whole lines of 64 bytes.
//!
//! ```text
//! f32       |x0      |x1      |x2      | …          zeros up to a whole line
//! int8      |q0|q1|q2|q3| …                         x = q * range / 127, with `range` the largest magnitude of the vector
//! binary    bit 0 of byte 0 is x0 > 0, bit 1 is x1 > 0, …
//! ```
//!
//! The first bytes are those that Redis keeps, so they can be exchanged as they are. The zeros behind them add nothing to any
//! distance: loops over vectors have no rest.
#![allow(unsafe_code)]

/// How the components of a vector are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantization {
    /// As 32-bit floats.
    None,
    /// As signed bytes, scaled by the largest magnitude of each vector.
    Int8,
    /// As signs.
    Binary,
}

impl Quantization {
    /// Bytes of a vector, without the zeros at its end.
    pub fn bytes(self, dim: usize) -> usize {
        match self {
            Quantization::None => dim * size_of::<f32>(),
            Quantization::Int8 => dim,
            Quantization::Binary => dim.div_ceil(64) * 8,
        }
    }
}

/// Bytes of a [`Line`].
pub(super) const LINE: usize = 64;

/// A cache line of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; LINE]);

impl Default for Line {
    fn default() -> Self {
        Line([0; LINE])
    }
}

/// The bytes of lines.
#[inline]
pub(super) fn bytes_of(lines: &[Line]) -> &[u8] {
    // SAFETY: a `Line` is 64 bytes, all initialised, without padding: its size equals its alignment.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LINE) }
}

fn lines_of(bytes: &[u8]) -> Vec<Line> {
    let line = |chunk: &[u8]| {
        let mut line = Line::default();
        line.0[..chunk.len()].copy_from_slice(chunk);
        line
    };
    bytes.chunks(LINE).map(line).collect()
}

/// What an int8 vector needs beside its components.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Scale {
    /// The magnitude that is kept as 127; 0 for a vector of zeros.
    pub(super) range: f32,
    /// The sum of all components, for products with components that are offset by 128.
    pub(super) sum: i32,
}

/// A vector as a graph of this dimension and quantization keeps its own: what is searched for, or inserted.
#[derive(Clone, Debug)]
pub struct Query {
    pub(super) lines: Vec<Line>,
    pub(super) scale: Scale,
    /// The length of the vector before it was normalised; 1 for a vector of zeros.
    pub(super) norm: f32,
}

impl Query {
    /// Normalises and quantises a vector.
    pub(super) fn new(vector: &[f32], quantization: Quantization) -> Query {
        let norm = norm_of(vector);
        let unit: Vec<f32> = vector.iter().map(|x| x / norm).collect();
        let (bytes, range) = match quantization {
            Quantization::None => (unit.iter().flat_map(|x| x.to_ne_bytes()).collect(), 0.0),
            Quantization::Int8 => to_int8(&unit),
            Quantization::Binary => (to_bits(&unit), 0.0),
        };
        Query::from_bytes(&bytes, range, norm, quantization)
    }

    /// Of bytes as they are kept.
    pub(super) fn from_bytes(bytes: &[u8], range: f32, norm: f32, quantization: Quantization) -> Query {
        let sum = match quantization {
            Quantization::Int8 => bytes.iter().map(|byte| i32::from(byte.cast_signed())).sum(),
            _ => 0,
        };
        Query { lines: lines_of(bytes), scale: Scale { range, sum }, norm }
    }

    /// The length of the vector before it was normalised.
    pub fn norm(&self) -> f32 {
        self.norm
    }
}

/// The length of a vector; 1 if it is zero. Summed by four, as Redis does, so that the same bits come out.
fn norm_of(vector: &[f32]) -> f32 {
    let (fours, rest) = vector.as_chunks::<4>();
    let mut sum: f32 =
        fours.iter().map(|[a, b, c, d]| a * a + b * b + c * c + d * d).fold(0.0, |sum, x| sum + x);
    sum = rest.iter().fold(sum, |sum, x| sum + x * x);
    if sum == 0.0 { 1.0 } else { sum.sqrt() }
}

/// The components scaled by the largest magnitude, and that.
fn to_int8(unit: &[f32]) -> (Vec<u8>, f32) {
    let range = unit.iter().fold(0.0f32, |range, x| range.max(x.abs()));
    if range == 0.0 {
        return (vec![0; unit.len()], 0.0);
    }
    let scale = 127.0 / range;
    (unit.iter().map(|x| ((x * scale).round() as i8).cast_unsigned()).collect(), range)
}

/// The signs of the components, in whole words of 64 bits.
fn to_bits(unit: &[f32]) -> Vec<u8> {
    let mut bits = vec![0; Quantization::Binary.bytes(unit.len())];
    for (number, _) in unit.iter().enumerate().filter(|(_, x)| **x > 0.0) {
        bits[number / 8] |= 1 << (number % 8);
    }
    bits
}

/// The components of a vector that is kept so; of length 1 but for the error of quantization, and for signs (±1).
pub(super) fn components(bytes: &[u8], range: f32, dim: usize, quantization: Quantization) -> Vec<f32> {
    match quantization {
        Quantization::None => bytes.as_chunks().0[..dim].iter().map(|x| f32::from_ne_bytes(*x)).collect(),
        Quantization::Int8 => {
            bytes[..dim].iter().map(|q| f32::from(q.cast_signed()) * range / 127.0).collect()
        }
        Quantization::Binary => {
            let is_set = |number: usize| bytes[number / 8] & 1 << (number % 8) != 0;
            (0..dim).map(|number| if is_set(number) { 1.0 } else { -1.0 }).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_uses_the_whole_range() {
        let query = Query::new(&[3.0, -4.0, 0.0], Quantization::Int8);
        assert_eq!(query.norm, 5.0);
        assert_eq!(query.scale.range, 0.8);
        assert_eq!(query.lines[0].0[..4], [95u8, (-127i8).cast_unsigned(), 0, 0]);
        assert_eq!(query.scale.sum, 95 - 127);
        let back = components(bytes_of(&query.lines), query.scale.range, 3, Quantization::Int8);
        assert!((back[0] - 0.6).abs() < 0.004 && (back[1] + 0.8).abs() < 1e-6 && back[2] == 0.0);
    }

    #[test]
    fn signs_fill_words() {
        let mut vector = vec![-1.0; 70];
        vector[0] = 2.0;
        vector[9] = 1.0;
        vector[69] = 0.5;
        let query = Query::new(&vector, Quantization::Binary);
        let mut expected = [0; 16];
        (expected[0], expected[1], expected[8]) = (1, 2, 32);
        assert_eq!(bytes_of(&query.lines)[..16], expected);
        let back = components(bytes_of(&query.lines), 0.0, 70, Quantization::Binary);
        assert_eq!(back, vector.iter().map(|x: &f32| x.signum()).collect::<Vec<_>>());
    }

    #[test]
    fn vectors_that_are_no_direction_are_kept() {
        for quantization in [Quantization::None, Quantization::Int8, Quantization::Binary] {
            let zero = Query::new(&[0.0; 5], quantization);
            assert_eq!((zero.norm, zero.scale.range), (1.0, 0.0));
            for strange in [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE] {
                let query = Query::new(&[strange, 1.0], quantization);
                assert_eq!(query.lines.len(), 1);
            }
        }
    }
}
