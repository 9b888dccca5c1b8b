//! Selection sampling (Knuth, TAOCP 3.4.2, algorithm S): a random subset of given size, each as likely as
//! any other, in one pass over the whole and without memory of it.

use crate::base::rng::Rng;

/// A selection: decides for one item after another whether it is in the subset.
#[derive(Debug)]
pub struct Selection {
    left: usize,
    wanted: usize,
}

impl Selection {
    /// A selection of `wanted` (or all) of `total` items.
    pub fn new(total: usize, wanted: usize) -> Self {
        Selection { left: total, wanted: wanted.min(total) }
    }

    /// Whether the next item is chosen.
    #[inline]
    pub fn takes(&mut self, rng: &mut Rng) -> bool {
        let taken = self.wanted > 0 && (rng.below(self.left as u64) as usize) < self.wanted;
        self.left = self.left.saturating_sub(1);
        self.wanted -= usize::from(taken);
        taken
    }

    /// Whether no further item will be chosen.
    pub fn is_done(&self) -> bool {
        self.wanted == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_exactly_so_many_and_without_bias() {
        let mut rng = Rng::new(8);
        let mut hits = [0; 10];
        for _ in 0..10_000 {
            let mut selection = Selection::new(10, 3);
            let chosen: Vec<usize> = (0..10).filter(|_| selection.takes(&mut rng)).collect();
            assert_eq!(chosen.len(), 3);
            chosen.into_iter().for_each(|i| hits[i] += 1);
        }
        assert!(hits.iter().all(|&n| (2700..3300).contains(&n)), "{hits:?}");
    }
}
