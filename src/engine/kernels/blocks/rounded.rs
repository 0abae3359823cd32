//! Rows of activations, rounded to eight bits as the kernels read them.

use crate::engine::kernels::{SharedMut, parallel};

/// Activations rounded to eight bits.
pub(super) struct Rounded {
    pub(super) columns: usize,
    /// Weights that share one scale.
    block: usize,
    /// `[rows, columns]`
    quants: Vec<i8>,
    /// `[rows, columns / block]`
    scales: Vec<f32>,
    /// Sums of sixteen quants each, `[rows, columns / 16]`.
    sums: Vec<i16>,
}

impl Rounded {
    pub(super) fn new(x: &[f32], columns: usize, block: usize) -> Self {
        let mut rounded = Self {
            columns,
            block,
            quants: vec![0; x.len()],
            scales: vec![0.0; x.len() / block],
            sums: vec![0; x.len() / 16],
        };
        let rows = x.len() / columns;
        let (quants, scales, sums) = (
            SharedMut::new(&mut rounded.quants),
            SharedMut::new(&mut rounded.scales),
            SharedMut::new(&mut rounded.sums),
        );
        let round = |row: usize| {
            let range = |each: usize| row * columns / each..(row + 1) * columns / each;
            // SAFETY: each row is visited once; `supports` has seen AVX2.
            unsafe {
                round_row(
                    &x[range(1)],
                    quants.slice(range(1)),
                    (scales.slice(range(block)), block),
                    sums.slice(range(16)),
                );
            }
        };
        if rows == 1 {
            round(0);
        } else {
            parallel(rows, |rows| rows.for_each(round));
        }
        rounded
    }

    pub(super) fn quants(&self, row: usize) -> *const i8 {
        self.quants[row * self.columns..].as_ptr()
    }

    pub(super) fn scales(&self, row: usize) -> *const f32 {
        self.scales[row * self.columns / self.block..].as_ptr()
    }

    pub(super) fn sums(&self, row: usize) -> *const i16 {
        self.sums[row * self.columns / 16..].as_ptr()
    }
}

/// Rounds one row. Blocks are multiples of 32.
///
/// # Safety
///
/// The CPU has AVX2.
#[target_feature(enable = "avx2,fma")]
unsafe fn round_row(
    x: &[f32],
    quants: &mut [i8],
    (scales, block): (&mut [f32], usize),
    sums: &mut [i16],
) {
    for (index, scale) in scales.iter_mut().enumerate() {
        let x = &x[index * block..(index + 1) * block];
        // Magnitudes order as their bits do, whose maximum is found by vectors; a NaN is the largest of all.
        let bits = x.iter().map(|value| value.abs().to_bits()).max();
        let largest = f32::from_bits(bits.unwrap_or(0));
        *scale = largest / 127.0;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let quants = &mut quants[index * block..(index + 1) * block];
        for (quant, value) in quants.iter_mut().zip(x) {
            *quant = (value * inverse).round_ties_even() as i8;
        }
        let sums = &mut sums[index * block / 16..(index + 1) * block / 16];
        for (sum, quants) in sums.iter_mut().zip(quants.chunks_exact(16)) {
            *sum = quants.iter().map(|quant| i16::from(*quant)).sum();
        }
    }
}
