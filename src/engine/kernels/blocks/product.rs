//! The loop over rows of weights and of activations that all block types share.

use candle_core::quantized::GgmlDType;

use super::instructions::{Avx2, Instructions, Vnni};
use super::rounded::Rounded;
use super::small::{Q4_0, Q5_0, Q8_0, Small};
use super::superblock::{Q4K, Q5K, Q6K};
use crate::engine::kernels::{SharedMut, parallel};

/// Rows of weights that one thread takes at a time.
const ROWS_PER_ITEM: usize = 16;

/// `y[m][n] = Σ x[m][k] · w[n][k]` with the widest instructions of this CPU, which has AVX2.
pub(super) fn multiply(x: &[f32], blocks: &[u8], dtype: GgmlDType, columns: usize) -> Vec<f32> {
    if Vnni::is_here() {
        multiply_with::<Vnni>(x, blocks, dtype, columns)
    } else {
        multiply_with::<Avx2>(x, blocks, dtype, columns)
    }
}

pub(super) fn multiply_with<I: Instructions>(
    x: &[f32],
    blocks: &[u8],
    dtype: GgmlDType,
    columns: usize,
) -> Vec<f32> {
    match dtype {
        GgmlDType::Q4K => product::<I, Q4K>(x, blocks, columns),
        GgmlDType::Q5K => product::<I, Q5K>(x, blocks, columns),
        GgmlDType::Q6K => product::<I, Q6K>(x, blocks, columns),
        GgmlDType::Q4_0 => product::<I, Small<Q4_0>>(x, blocks, columns),
        GgmlDType::Q5_0 => product::<I, Small<Q5_0>>(x, blocks, columns),
        _ => product::<I, Small<Q8_0>>(x, blocks, columns),
    }
}

/// One block type.
pub(super) trait Format {
    /// Weights per block.
    const WEIGHTS: usize;
    /// Bytes per block.
    const BYTES: usize;

    /// Dot products of `R` rows of activations with one row of weights.
    ///
    /// # Safety
    ///
    /// The CPU has `I`; `weights` is valid for the blocks of one row, and rows `first..first + R` exist.
    unsafe fn dots<I: Instructions, const R: usize>(
        weights: *const u8,
        x: &Rounded,
        first: usize,
    ) -> [f32; R];
}

/// Where the products of a tile of rows with some rows of weights go.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// First row of activations.
    row: usize,
    /// Where its first product goes; those with the next rows of weights follow.
    at: usize,
    /// From there to that of the next row.
    stride: usize,
}

fn product<I: Instructions, F: Format>(x: &[f32], blocks: &[u8], columns: usize) -> Vec<f32> {
    let bytes = columns / F::WEIGHTS * F::BYTES;
    let (rows, outputs) = (x.len() / columns, blocks.len() / bytes);
    assert_eq!(
        (x.len(), blocks.len()),
        (rows * columns, outputs * bytes),
        "whole rows"
    );
    let rounded = Rounded::new(x, columns, F::WEIGHTS);
    let mut y = vec![0.0; rows * outputs];
    let shared = SharedMut::new(&mut y);
    parallel(outputs.div_ceil(ROWS_PER_ITEM), |items| {
        for item in items {
            let range = item * ROWS_PER_ITEM..((item + 1) * ROWS_PER_ITEM).min(outputs);
            let weights = &blocks[range.start * bytes..range.end * bytes];
            let mut row = 0;
            while row < rows {
                let tile = tile_rows(rows - row, I::TILE_ROWS);
                let place = Place {
                    row,
                    at: row * outputs + range.start,
                    stride: outputs,
                };
                // SAFETY: `supports` has seen the features; rows and blocks are whole, and no other
                // item has these outputs.
                unsafe {
                    match tile {
                        1 => I::write::<F, 1>(weights, &rounded, place, &shared),
                        2 => I::write::<F, 2>(weights, &rounded, place, &shared),
                        4 => I::write::<F, 4>(weights, &rounded, place, &shared),
                        _ => I::write::<F, 8>(weights, &rounded, place, &shared),
                    }
                }
                row += tile;
            }
        }
    });
    y
}

/// Height of the next tile: a power of two within what is left and what the registers hold.
fn tile_rows(left: usize, most: usize) -> usize {
    1 << left.min(most).ilog2()
}

/// Writes the products of `R` rows of activations with rows of weights.
///
/// # Safety
///
/// As [`Format::dots`] for each row; the outputs at `place.at` and behind it, one for each row of weights, belong to
/// the caller, and so do those `place.stride` further on, and so forth.
#[inline(always)]
pub(super) unsafe fn write<I: Instructions, F: Format, const R: usize>(
    weights: &[u8],
    x: &Rounded,
    place: Place,
    y: &SharedMut<'_, f32>,
) {
    let bytes = x.columns / F::WEIGHTS * F::BYTES;
    for (output, weights) in weights.chunks_exact(bytes).enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let dots = F::dots::<I, R>(weights.as_ptr(), x, place.row);
            for (row, dot) in dots.into_iter().enumerate() {
                *y.at(place.at + output + row * place.stride) = dot;
            }
        }
    }
}
