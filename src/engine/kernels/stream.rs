//! Reading and copying memory with all threads: the yardstick of bandwidth.

use super::{SharedMut, parallel};
use crate::engine::EngineError;

/// Words that one thread takes at a time: 256 KiB, so that a page table walk does not show.
const WORDS_PER_ITEM: usize = 1 << 15;
/// Sums kept apart, so that additions do not wait for one another.
const LANES: usize = 32;

/// A written buffer of `bytes`, in words.
pub(in crate::engine) fn buffer(bytes: u64) -> Result<Vec<u64>, EngineError> {
    let words = bytes as usize / size_of::<u64>();
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(words)
        .map_err(|_| EngineError::OutOfMemory {
            detail: format!("a buffer of {bytes} bytes"),
        })?;
    buffer.resize(words, 1);
    Ok(buffer)
}

/// Sum of all words, wrapping.
pub(in crate::engine) fn sum(buffer: &[u64]) -> u64 {
    let items = buffer.len().div_ceil(WORDS_PER_ITEM);
    let mut sums = vec![0; items];
    let shared = SharedMut::new(&mut sums);
    parallel(items, |range| {
        for item in range {
            let words =
                &buffer[item * WORDS_PER_ITEM..buffer.len().min((item + 1) * WORDS_PER_ITEM)];
            let mut lanes = [0_u64; LANES];
            let rows = words.chunks_exact(LANES);
            let mut sum = rows
                .remainder()
                .iter()
                .fold(0_u64, |sum, word| sum.wrapping_add(*word));
            for row in rows {
                for (lane, word) in lanes.iter_mut().zip(row) {
                    *lane = lane.wrapping_add(*word);
                }
            }
            sum = lanes.iter().fold(sum, |sum, lane| sum.wrapping_add(*lane));
            // SAFETY: each item is visited once.
            unsafe { *shared.at(item) = sum };
        }
    });
    sums.into_iter().fold(0, u64::wrapping_add)
}

/// Copies `from` into `to`, which is as long.
pub(in crate::engine) fn copy(from: &[u64], to: &mut [u64]) {
    let items = from.len().div_ceil(WORDS_PER_ITEM);
    let shared = SharedMut::new(to);
    parallel(items, |range| {
        let words = range.start * WORDS_PER_ITEM..from.len().min(range.end * WORDS_PER_ITEM);
        // SAFETY: ranges of items do not overlap.
        unsafe { shared.slice(words.clone()) }.copy_from_slice(&from[words]);
    });
}
