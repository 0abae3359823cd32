//! Prompts of random ids, another one for every row of every generation.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::engine::Prompts;

/// An endless series of prompts.
#[derive(Debug)]
pub(super) struct PromptSource {
    random: ChaCha8Rng,
    vocab: u32,
}

impl PromptSource {
    /// The series of this seed over ids below `vocab`.
    pub(super) fn new(seed: u64, vocab: u32) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            vocab: vocab.max(1),
        }
    }

    /// The next `batch` rows of `length` ids; both are 1 or more.
    pub(super) fn next(&mut self, batch: usize, length: usize) -> Prompts {
        let ids = (0..batch * length)
            .map(|_| self.random.random_range(0..self.vocab))
            .collect();
        Prompts::new(ids, batch).expect("batch and length are 1 or more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_every_generation_is_another_prompt() {
        let mut source = PromptSource::new(1, 1_000);
        let (first, second) = (source.next(2, 16), source.next(2, 16));
        let rows: std::collections::HashSet<&[u32]> = first
            .ids()
            .chunks(16)
            .chain(second.ids().chunks(16))
            .collect();
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|row| row.iter().all(|id| *id < 1_000)));
    }

    #[test]
    fn the_same_seed_gives_the_same_prompts_and_another_does_not() {
        let first = |seed| PromptSource::new(seed, 32_000).next(3, 8);
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }
}
