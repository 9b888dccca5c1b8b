//! Projection of vectors to fewer dimensions (`VADD … REDUCE`): a product with a matrix of Hadamard's signs.
//!
//! ```text
//! matrix[i][j] = ±1 / sqrt(input)        minus where i & j has an odd number of ones
//! ```
//!
//! That matrix is computed, not stored. Redis writes it to RDB files, so that another one could come some day: one that differs is kept.
//! Sums are taken in the order of the input, as in Redis, so that both project a vector to the same bits.

use std::sync::Arc;

/// Rows that are summed up at a time.
const ROWS: usize = 16;

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Projection {
    input: usize,
    output: usize,
    /// The matrix, row by row, if it isn't the usual one.
    matrix: Option<Arc<[f32]>>,
}

fn scale(input: usize) -> f32 {
    (1.0 / (input as f64).sqrt()) as f32
}

/// The sign bit of an element of the matrix.
fn sign(i: usize, j: usize) -> u32 {
    ((i & j).count_ones() & 1) << 31
}

/// An element of the usual matrix.
fn element(input: usize, i: usize, j: usize) -> f32 {
    f32::from_bits(scale(input).to_bits() ^ sign(i, j))
}

impl Projection {
    /// The usual one.
    pub fn new(input: usize, output: usize) -> Projection {
        Projection { input, output, matrix: None }
    }

    /// One with this matrix, written as floats LE, row by row; `None` if they are not as many as there must be.
    pub fn load(input: usize, output: usize, matrix: &[u8]) -> Option<Projection> {
        let (floats, rest) = matrix.as_chunks::<4>();
        if !rest.is_empty() || floats.len() != input.checked_mul(output)? {
            return None;
        }
        let mut projection = Projection::new(input, output);
        let is_usual = floats.iter().enumerate().all(|(at, float)| {
            f32::from_le_bytes(*float).to_bits() == element(input, at / input, at % input).to_bits()
        });
        if !is_usual {
            projection.matrix = Some(floats.iter().map(|float| f32::from_le_bytes(*float)).collect());
        }
        Some(projection)
    }

    /// Dimensions of the vectors that it takes.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Bytes of the matrix in an RDB file.
    pub fn matrix_bytes(&self) -> usize {
        size_of::<f32>() * self.input * self.output
    }

    /// Appends the matrix as floats LE, row by row.
    pub fn write_matrix(&self, out: &mut Vec<u8>) {
        for i in 0..self.output {
            for j in 0..self.input {
                let float = match &self.matrix {
                    Some(matrix) => matrix[i * self.input + j],
                    None => element(self.input, i, j),
                };
                out.extend_from_slice(&float.to_le_bytes());
            }
        }
    }

    /// The projection of a vector of [`Self::input`] dimensions.
    pub fn apply(&self, vector: &[f32]) -> Vec<f32> {
        debug_assert_eq!(vector.len(), self.input);
        match &self.matrix {
            Some(matrix) => {
                let product = |row: &[f32]| row.iter().zip(vector).fold(0.0, |sum, (a, b)| sum + a * b);
                matrix.chunks_exact(self.input).map(product).collect()
            }
            None => self.apply_usual(vector),
        }
    }

    fn apply_usual(&self, vector: &[f32]) -> Vec<f32> {
        let scale = scale(self.input);
        let scaled: Vec<u32> = vector.iter().map(|x| (x * scale).to_bits()).collect();
        // Rows of a block differ in the low bits of their numbers only.
        let signs: [[u32; ROWS]; ROWS] = std::array::from_fn(|j| std::array::from_fn(|i| sign(i, j)));
        let mut out = Vec::with_capacity(self.output);
        for first in (0..self.output).step_by(ROWS) {
            let mut sums = [0.0_f32; ROWS];
            for (j, x) in scaled.iter().enumerate() {
                let x = x ^ sign(first, j);
                for (sum, sign) in sums.iter_mut().zip(&signs[j % ROWS]) {
                    *sum += f32::from_bits(x ^ sign);
                }
            }
            out.extend_from_slice(&sums[..ROWS.min(self.output - first)]);
        }
        out
    }

    /// Bytes held on the heap.
    pub fn memory_usage(&self) -> usize {
        self.matrix.as_ref().map_or(0, |matrix| size_of_val(&**matrix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    #[test]
    fn the_usual_matrix_is_one_that_could_be_stored() {
        let mut rng = Rng::new(9);
        for (input, output) in [(1, 1), (3, 2), (17, 16), (100, 33), (64, 64), (300, 50)] {
            let usual = Projection::new(input, output);
            let mut bytes = Vec::new();
            usual.write_matrix(&mut bytes);
            assert_eq!(bytes.len(), usual.matrix_bytes());
            let loaded = Projection::load(input, output, &bytes).expect("a matrix");
            assert!(loaded.matrix.is_none() && loaded.memory_usage() == 0);
            let floats = bytes.as_chunks::<4>().0.iter().map(|float| f32::from_le_bytes(*float));
            let stored = Projection { input, output, matrix: Some(floats.collect()) };
            let vector: Vec<f32> = (0..input).map(|_| (rng.unit() - 0.5) as f32).collect();
            assert_eq!(usual.apply(&vector), stored.apply(&vector));
            bytes[0] ^= 1;
            let other = Projection::load(input, output, &bytes).expect("a matrix");
            assert!(other.matrix.is_some());
            let mut again = Vec::new();
            other.write_matrix(&mut again);
            assert_eq!(bytes, again);
            assert!(Projection::load(input, output, &bytes[1..]).is_none());
            assert!(Projection::load(input, output + 1, &bytes).is_none());
        }
    }
}
