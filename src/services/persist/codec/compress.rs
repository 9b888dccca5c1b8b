//! Compression of a file's strings, which gives up on data that doesn't compress, for the most part.
//!
//! What a data set has in common, its strings have: where many in a row have not become shorter, the next ones hardly will, and
//! trying costs most of the time that writing a file takes. Then every eighth string is tried, until one becomes shorter.

use crate::base::lzf;

/// Strings in a row that have not become shorter, after which most are passed over.
const PATIENCE: u64 = 128;
/// One of so many is tried then.
const SAMPLE: u64 = 8;
/// Longer strings are always tried: what one of them can save is more, and what doesn't compress is passed over within it.
const LONG: usize = 1024;

/// Compresses the strings of a file, one after the other.
#[derive(Debug, Default)]
pub struct StringCompressor {
    lzf: lzf::Compressor,
    /// Strings in a row that have not become shorter, or were passed over.
    failures: u64,
}

impl StringCompressor {
    /// Compresses `input` into at most `limit` bytes; `None` if that cannot be done, or is not tried.
    pub fn compress(&mut self, input: &[u8], limit: usize) -> Option<&[u8]> {
        let is_short = input.len() < LONG;
        if is_short && self.failures >= PATIENCE && !self.failures.is_multiple_of(SAMPLE) {
            self.failures += 1;
            return None;
        }
        let compressed = self.lzf.compress(input, limit);
        if compressed.is_some() {
            self.failures = 0;
        } else if is_short {
            self.failures += 1;
        }
        compressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A string without any three bytes twice.
    fn random(seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..100).map(|_| next()).collect()
    }

    #[test]
    fn one_success_ends_passing_over() {
        let mut compressor = StringCompressor::default();
        let same = [b'a'; 100];
        for round in 0..3 {
            for number in 0..1000 {
                assert_eq!(compressor.compress(&random(number), 96), None, "{round}");
            }
            // At most so many of what would become shorter are passed over.
            let tries = (1..).find(|_| compressor.compress(&same, 96).is_some());
            assert!(tries.is_some_and(|tries| tries <= SAMPLE), "{tries:?}");
            assert!((0..1000).all(|_| compressor.compress(&same, 96).is_some()));
        }
    }

    #[test]
    fn long_strings_are_always_tried() {
        let mut compressor = StringCompressor::default();
        for number in 0..1001 {
            compressor.compress(&random(number), 96);
        }
        assert!(compressor.compress(&[b'a'; LONG], LONG - 4).is_some());
    }
}
