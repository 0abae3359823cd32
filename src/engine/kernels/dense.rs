//! Products of a few rows with a dense matrix: the weights stream from memory once.
//!
//! A packed general product (candle's `gemm`) first rewrites the matrix into panels; for a decode step
//! that costs more than the product. Here both operands are read as they lie.

use super::element::Element;
use super::simd::{Kernel, Simd, vectorized};
use super::tile::{TILE_COLUMNS, dot, dots};
use super::{SharedMut, parallel};

/// Columns of the left operand handled at a time, so that the left rows stay in the second-level cache.
const PANEL: usize = 2048;
/// Rows of the matrix that one thread takes at a time.
const ROWS_PER_ITEM: usize = 16;

/// `y[m][n] = Σ x[m][k] · w[n][k]`, with `x` of `[rows, columns]` and `w` of `[outputs, columns]`.
///
/// # Panics
///
/// When the slices do not have these sizes.
pub(in crate::engine) fn multiply_few<E: Element>(x: &[f32], w: &[E], columns: usize) -> Vec<f32> {
    let (rows, outputs) = (x.len() / columns, w.len() / columns);
    assert_eq!(
        (x.len(), w.len()),
        (rows * columns, outputs * columns),
        "whole rows"
    );
    let mut y = vec![0.0; rows * outputs];
    let shared = SharedMut::new(&mut y);
    parallel(outputs.div_ceil(ROWS_PER_ITEM), |items| {
        let first = items.start * ROWS_PER_ITEM;
        let last = (items.end * ROWS_PER_ITEM).min(outputs);
        vectorized(Product {
            x,
            w,
            columns,
            first,
            last,
            y: &shared,
        });
    });
    y
}

/// The outputs `first..last` of all rows.
struct Product<'a, E> {
    x: &'a [f32],
    w: &'a [E],
    columns: usize,
    first: usize,
    last: usize,
    y: &'a SharedMut<'a, f32>,
}

impl<E: Element> Kernel for Product<'_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let rows = self.x.len() / self.columns;
        if rows == 1 {
            for output in self.first..self.last {
                let w = self.w[output * self.columns..(output + 1) * self.columns].as_ptr();
                // SAFETY: the CPU has `S`; both rows are whole, and no other thread has this output.
                unsafe { *self.y.at(output) = dot::<S, E>(self.x.as_ptr(), w, self.columns) };
            }
            return;
        }
        let tiles = rows.div_ceil(S::TILE_ROWS);
        let mut block = self.first;
        while block < self.last {
            let block_end = (block + ROWS_PER_ITEM).min(self.last);
            let mut panel = 0;
            while panel < self.columns {
                let length = PANEL.min(self.columns - panel);
                for tile in 0..tiles {
                    // Tiles of nearly equal height: 16 rows by 3 are 3,3,3,3,2,2 and not 3,3,3,3,3,1.
                    let (row, end) = (tile * rows / tiles, (tile + 1) * rows / tiles);
                    let place = Place {
                        row,
                        panel,
                        length,
                        first: block,
                        last: block_end,
                    };
                    // SAFETY: the CPU has `S`; row, panel and outputs are within bounds.
                    unsafe {
                        match end - row {
                            1 => self.tile::<S, 1>(place),
                            2 => self.tile::<S, 2>(place),
                            3 => self.tile::<S, 3>(place),
                            4 => self.tile::<S, 4>(place),
                            5 => self.tile::<S, 5>(place),
                            _ => self.tile::<S, 6>(place),
                        }
                    }
                }
                panel += length;
            }
            block = block_end;
        }
    }
}

/// Where a tile lies.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    panel: usize,
    length: usize,
    first: usize,
    last: usize,
}

impl<E: Element> Product<'_, E> {
    /// Adds the products of `R` rows with the outputs of `place` over its panel.
    ///
    /// # Safety
    ///
    /// The CPU has `S`; `place` lies within the operands.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize>(&self, place: Place) {
        let outputs = self.w.len() / self.columns;
        // SAFETY: rows `place.row + 0..R`, outputs below `place.last` and the panel are within bounds,
        // and no other thread has these outputs.
        unsafe {
            let x = self.x.as_ptr().add(place.row * self.columns + place.panel);
            let rows: [*const f32; R] = std::array::from_fn(|row| x.add(row * self.columns));
            let mut output = place.first;
            while output + TILE_COLUMNS <= place.last {
                let w = self.w.as_ptr().add(output * self.columns + place.panel);
                let columns: [*const E; TILE_COLUMNS] =
                    std::array::from_fn(|column| w.add(column * self.columns));
                let sums = dots::<S, E, R, TILE_COLUMNS>(rows, columns, place.length);
                for (row, sums) in sums.into_iter().enumerate() {
                    for (column, sum) in sums.into_iter().enumerate() {
                        *self.y.at((place.row + row) * outputs + output + column) += sum;
                    }
                }
                output += TILE_COLUMNS;
            }
            while output < place.last {
                let w = self.w.as_ptr().add(output * self.columns + place.panel);
                let sums = dots::<S, E, R, 1>(rows, [w], place.length);
                for (row, [sum]) in sums.into_iter().enumerate() {
                    *self.y.at((place.row + row) * outputs + output) += sum;
                }
                output += 1;
            }
        }
    }
}
