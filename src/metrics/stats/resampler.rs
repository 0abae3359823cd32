//! Drawing a run again: launches, then blocks.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws blocks again as if the run were repeated: launches with replacement, then blocks of each
/// drawn launch with replacement. A single launch is kept and only its blocks are drawn.
pub(crate) struct Resampler {
    /// Indices of the blocks of each launch.
    launches: Vec<Vec<usize>>,
    generator: ChaCha8Rng,
}

impl Resampler {
    /// A resampler of blocks that belong to these launches, in their order.
    pub(crate) fn new(launch_of_block: &[u32], seed: u64) -> Self {
        let mut launches: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, launch) in launch_of_block.iter().enumerate() {
            launches.entry(*launch).or_default().push(index);
        }
        Self {
            launches: launches.into_values().collect(),
            generator: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Independent units of the highest level: launches, or blocks where there is one launch.
    pub(crate) fn units(&self) -> usize {
        match self.launches.as_slice() {
            [only] => only.len(),
            launches => launches.len(),
        }
    }

    /// Calls `visit` with the index of each block of one redrawn run.
    pub(crate) fn draw(&mut self, mut visit: impl FnMut(usize)) {
        let count = self.launches.len();
        for _ in 0..count {
            let launch = &self.launches[self.generator.random_range(0..count)];
            for _ in 0..launch.len() {
                visit(launch[self.generator.random_range(0..launch.len())]);
            }
        }
    }
}
