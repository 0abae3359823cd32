//! Attention of new tokens over cached keys and values, on the cache as it lies.
//!
//! All query heads of one key-value head are served together, so each cached row is read once per
//! group and never copied.

use super::element::Element;
use super::heads::Heads;
use super::simd::{Kernel, Simd, vectorized};
use super::tile::{TILE_COLUMNS, dots};
use super::{SharedMut, parallel};

/// Query rows (positions times heads of a group) that one item aims for.
const ROWS_PER_ITEM: usize = 16;
/// Cached values visited before the next tile of rows, so that they stay in the first-level cache.
const VALUES_PER_BLOCK: usize = 64;
/// Rows of a tile that accumulates values.
const VALUE_ROWS: usize = 4;

/// One attention over the cache.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Attend<'a, E> {
    /// `[batch, length, query heads, width]`, already scaled by `1/√width`.
    pub(in crate::engine) queries: &'a [f32],
    /// `[batch, kv heads, capacity, width]`
    pub(in crate::engine) keys: &'a [E],
    /// `[batch, kv heads, capacity, width]`
    pub(in crate::engine) values: &'a [E],
    /// Head counts.
    pub(in crate::engine) heads: Heads,
    /// Slots per sequence in the cache.
    pub(in crate::engine) capacity: usize,
    /// Tokens of each sequence before the new ones, `[batch]`.
    pub(in crate::engine) past: &'a [usize],
    /// Keys that a query sees at most, its own included.
    pub(in crate::engine) window: Option<usize>,
}

impl<E: Element> Attend<'_, E> {
    /// The mixed values, `[batch, length, query heads · width]`.
    ///
    /// # Panics
    ///
    /// When the slices do not have the sizes that the other fields say.
    pub(in crate::engine) fn run(self) -> Vec<f32> {
        let (batch, row) = (self.past.len(), self.heads.query * self.heads.width);
        let length = self.queries.len() / (batch * row);
        let cached = batch * self.heads.kv * self.capacity * self.heads.width;
        assert_eq!(self.queries.len(), batch * length * row, "whole query rows");
        assert!(
            self.keys.len() >= cached && self.values.len() >= cached,
            "cache of the batch"
        );
        assert!(
            self.past.iter().all(|past| past + length <= self.capacity),
            "positions within the cache"
        );
        let positions = (ROWS_PER_ITEM / self.heads.group()).clamp(1, length);
        let tiles = length.div_ceil(positions);
        let mut output = vec![0.0; self.queries.len()];
        let shared = SharedMut::new(&mut output);
        parallel(batch * self.heads.kv * tiles, |items| {
            let mut scores = Vec::new();
            for item in items {
                let (sequence, rest) = (
                    item / (self.heads.kv * tiles),
                    item % (self.heads.kv * tiles),
                );
                // Long tiles first: under a causal mask the last positions have the most keys.
                let tile = tiles - 1 - rest % tiles;
                let first = tile * positions;
                vectorized(Item {
                    attend: &self,
                    sequence,
                    head: rest / tiles,
                    first,
                    last: (first + positions).min(length),
                    length,
                    scores: &mut scores,
                    output: &shared,
                });
            }
        });
        output
    }
}

/// The queries `first..last` of one sequence for the group of one key-value head.
struct Item<'a, 'b, E> {
    attend: &'a Attend<'b, E>,
    sequence: usize,
    head: usize,
    first: usize,
    last: usize,
    length: usize,
    scores: &'a mut Vec<f32>,
    output: &'a SharedMut<'a, f32>,
}

impl<E: Element> Kernel for Item<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let rows = (self.last - self.first) * self.attend.heads.group();
        let (from, to) = (self.visible(0).0, self.visible(rows - 1).1);
        self.scores.clear();
        self.scores.resize(rows * (to - from), 0.0);
        // SAFETY: the CPU has `S`; `visible` stays within the cache by the assertions of `Attend::run`.
        unsafe {
            self.score::<S>(from, to, rows);
            for row in 0..rows {
                let (start, end) = self.visible(row);
                let scores = &mut self.scores[row * (to - from)..(row + 1) * (to - from)];
                softmax::<S>(scores, start - from, end - from);
            }
            let mut block = from;
            while block < to {
                let block_end = (block + VALUES_PER_BLOCK).min(to);
                let span = Span {
                    from,
                    to,
                    block,
                    block_end,
                };
                let mut row = 0;
                while row + VALUE_ROWS <= rows {
                    self.mix::<S, VALUE_ROWS>(span, row);
                    row += VALUE_ROWS;
                }
                while row < rows {
                    self.mix::<S, 1>(span, row);
                    row += 1;
                }
                block = block_end;
            }
        }
    }
}

/// The keys of an item, and those of the current block.
#[derive(Clone, Copy)]
struct Span {
    from: usize,
    to: usize,
    block: usize,
    block_end: usize,
}

impl<E: Element> Item<'_, '_, E> {
    /// The range of keys that a row sees.
    #[inline(always)]
    fn visible(&self, row: usize) -> (usize, usize) {
        let position =
            self.attend.past[self.sequence] + self.first + row / self.attend.heads.group();
        let start = self
            .attend
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window));
        (start, position + 1)
    }

    /// Where a row lies among queries and outputs.
    #[inline(always)]
    fn offset(&self, row: usize) -> usize {
        let heads = self.attend.heads;
        let position = self.sequence * self.length + self.first + row / heads.group();
        (position * heads.query + self.head * heads.group() + row % heads.group()) * heads.width
    }

    /// Where the cached rows of this sequence and head begin.
    #[inline(always)]
    fn cached(&self) -> usize {
        let heads = self.attend.heads;
        (self.sequence * heads.kv + self.head) * self.attend.capacity * heads.width
    }

    /// Fills `scores` with the products of all rows and all keys in `from..to`.
    #[inline(always)]
    unsafe fn score<S: Simd>(&mut self, from: usize, to: usize, rows: usize) {
        let width = self.attend.heads.width;
        let tiles = rows.div_ceil(S::TILE_ROWS);
        let mut key = from;
        while key < to {
            let columns = TILE_COLUMNS.min(to - key);
            for tile in 0..tiles {
                let (row, end) = (tile * rows / tiles, (tile + 1) * rows / tiles);
                // SAFETY: rows and keys are within bounds.
                unsafe {
                    let keys = self.attend.keys.as_ptr().add(self.cached() + key * width);
                    let place = Cell {
                        row,
                        column: key - from,
                        stride: to - from,
                    };
                    match end - row {
                        1 => self.score_tile::<S, 1>(keys, columns, place),
                        2 => self.score_tile::<S, 2>(keys, columns, place),
                        3 => self.score_tile::<S, 3>(keys, columns, place),
                        4 => self.score_tile::<S, 4>(keys, columns, place),
                        5 => self.score_tile::<S, 5>(keys, columns, place),
                        _ => self.score_tile::<S, 6>(keys, columns, place),
                    }
                }
            }
            key += columns;
        }
    }

    /// The scores of `R` rows with up to four keys.
    #[inline(always)]
    unsafe fn score_tile<S: Simd, const R: usize>(
        &mut self,
        keys: *const E,
        columns: usize,
        place: Cell,
    ) {
        let width = self.attend.heads.width;
        // SAFETY: the caller's rows and keys are within bounds.
        unsafe {
            let queries = self.attend.queries.as_ptr();
            let rows: [*const f32; R] =
                std::array::from_fn(|row| queries.add(self.offset(place.row + row)));
            if columns == TILE_COLUMNS {
                let keys: [*const E; TILE_COLUMNS] =
                    std::array::from_fn(|column| keys.add(column * width));
                let sums = dots::<S, E, R, TILE_COLUMNS>(rows, keys, width);
                for (row, sums) in sums.into_iter().enumerate() {
                    let at = (place.row + row) * place.stride + place.column;
                    self.scores[at..at + TILE_COLUMNS].copy_from_slice(&sums);
                }
            } else {
                for column in 0..columns {
                    let sums = dots::<S, E, R, 1>(rows, [keys.add(column * width)], width);
                    for (row, [sum]) in sums.into_iter().enumerate() {
                        self.scores[(place.row + row) * place.stride + place.column + column] = sum;
                    }
                }
            }
        }
    }

    /// Adds the values of the current block to the outputs of `R` rows.
    #[inline(always)]
    unsafe fn mix<S: Simd, const R: usize>(&self, span: Span, row: usize) {
        let width = self.attend.heads.width;
        let stride = span.to - span.from;
        // SAFETY: `score` and `softmax` have filled these rows; values and outputs are within bounds,
        // and no other item writes these outputs.
        unsafe {
            let weights: [*const f32; R] = std::array::from_fn(|index| {
                self.scores
                    .as_ptr()
                    .add((row + index) * stride + span.block - span.from)
            });
            let outputs: [*mut f32; R] = std::array::from_fn(|index| {
                let start = self.offset(row + index);
                self.output.slice(start..start + width).as_mut_ptr()
            });
            let values = self
                .attend
                .values
                .as_ptr()
                .add(self.cached() + span.block * width);
            let count = span.block_end - span.block;
            let mut column = 0;
            while column + 2 * S::LANES <= width {
                accumulate::<S, E, R, 2>(
                    weights,
                    values.add(column),
                    (count, width),
                    outputs,
                    column,
                );
                column += 2 * S::LANES;
            }
            while column + S::LANES <= width {
                accumulate::<S, E, R, 1>(
                    weights,
                    values.add(column),
                    (count, width),
                    outputs,
                    column,
                );
                column += S::LANES;
            }
            while column < width {
                for index in 0..R {
                    let mut sum = 0.0;
                    for value in 0..count {
                        sum += *weights[index].add(value)
                            * (*values.add(value * width + column)).widened();
                    }
                    *outputs[index].add(column) += sum;
                }
                column += 1;
            }
        }
    }
}

/// A place in the table of scores.
#[derive(Clone, Copy)]
struct Cell {
    row: usize,
    column: usize,
    stride: usize,
}

/// Adds `Σ weight · value` to `R` output rows over `V` vectors of columns.
#[inline(always)]
unsafe fn accumulate<S: Simd, E: Element, const R: usize, const V: usize>(
    weights: [*const f32; R],
    values: *const E,
    (count, width): (usize, usize),
    outputs: [*mut f32; R],
    column: usize,
) {
    // SAFETY: the caller's pointers are valid for `count` values and `V` vectors.
    unsafe {
        let mut sums = [[S::splat(0.0); V]; R];
        for index in 0..R {
            for vector in 0..V {
                sums[index][vector] = S::load(outputs[index].add(column + vector * S::LANES));
            }
        }
        for value in 0..count {
            let mut loaded = [S::splat(0.0); V];
            for vector in 0..V {
                loaded[vector] = E::load::<S>(values.add(value * width + vector * S::LANES));
            }
            for index in 0..R {
                let weight = S::splat(*weights[index].add(value));
                for vector in 0..V {
                    sums[index][vector] =
                        S::multiply_add(weight, loaded[vector], sums[index][vector]);
                }
            }
        }
        for index in 0..R {
            for vector in 0..V {
                S::store(
                    outputs[index].add(column + vector * S::LANES),
                    sums[index][vector],
                );
            }
        }
    }
}

/// Turns the scores in `start..end` into weights that sum to one, and all others into zero.
#[inline(always)]
unsafe fn softmax<S: Simd>(scores: &mut [f32], start: usize, end: usize) {
    // SAFETY: the CPU has `S`; every access is within `start..end`.
    unsafe {
        scores[..start].fill(0.0);
        scores[end..].fill(0.0);
        let scores = &mut scores[start..end];
        let whole = scores.len() / S::LANES * S::LANES;
        let mut largest = S::splat(f32::NEG_INFINITY);
        for at in (0..whole).step_by(S::LANES) {
            largest = S::maximum(largest, S::load(scores.as_ptr().add(at)));
        }
        let mut peak = S::largest(largest);
        for &score in &scores[whole..] {
            peak = peak.max(score);
        }
        let mut sums = S::splat(0.0);
        for at in (0..whole).step_by(S::LANES) {
            let place = scores.as_mut_ptr().add(at);
            let weight = S::exp(S::add(S::load(place), S::splat(-peak)));
            S::store(place, weight);
            sums = S::add(sums, weight);
        }
        let mut sum = S::sum(sums);
        for score in &mut scores[whole..] {
            *score = (*score - peak).exp();
            sum += *score;
        }
        let share = S::splat(1.0 / sum);
        for at in (0..whole).step_by(S::LANES) {
            let place = scores.as_mut_ptr().add(at);
            S::store(place, S::multiply(S::load(place), share));
        }
        for score in &mut scores[whole..] {
            *score /= sum;
        }
    }
}
