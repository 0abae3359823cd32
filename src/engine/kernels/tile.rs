//! The register tile that dense products and attention scores share.

use super::element::Element;
use super::simd::Simd;

/// Columns of a tile.
pub(super) const TILE_COLUMNS: usize = 4;

/// Dot products of `R` rows with `C` columns over `length` numbers, all contiguous.
///
/// # Safety
///
/// The CPU has `S`; every pointer is valid for `length` elements.
#[inline(always)]
pub(super) unsafe fn dots<S: Simd, E: Element, const R: usize, const C: usize>(
    rows: [*const f32; R],
    columns: [*const E; C],
    length: usize,
) -> [[f32; C]; R] {
    // SAFETY: `at + LANES <= length` inside the first loop and `at < length` inside the second.
    unsafe {
        let mut sums = [[S::splat(0.0); C]; R];
        let mut at = 0;
        while at + S::LANES <= length {
            let mut left = [S::splat(0.0); R];
            for row in 0..R {
                left[row] = S::load(rows[row].add(at));
            }
            for column in 0..C {
                let right = E::load::<S>(columns[column].add(at));
                for row in 0..R {
                    sums[row][column] = S::multiply_add(left[row], right, sums[row][column]);
                }
            }
            at += S::LANES;
        }
        let mut result = [[0.0; C]; R];
        for row in 0..R {
            for column in 0..C {
                result[row][column] = S::sum(sums[row][column]);
            }
        }
        while at < length {
            for row in 0..R {
                for column in 0..C {
                    result[row][column] +=
                        *rows[row].add(at) * (*columns[column].add(at)).widened();
                }
            }
            at += 1;
        }
        result
    }
}

/// Sums kept apart in [`dot`], so that additions do not wait for one another.
const CHAINS: usize = 4;

/// Dot product of one row with one column, which is read in a single stream: what the memory's prefetcher
/// follows best.
///
/// # Safety
///
/// The CPU has `S`; both pointers are valid for `length` elements.
#[inline(always)]
pub(super) unsafe fn dot<S: Simd, E: Element>(
    row: *const f32,
    column: *const E,
    length: usize,
) -> f32 {
    // SAFETY: `at + CHAINS * LANES <= length` inside the loop, and `dots` gets the rest.
    unsafe {
        let mut sums = [S::splat(0.0); CHAINS];
        let mut at = 0;
        while at + CHAINS * S::LANES <= length {
            for chain in 0..CHAINS {
                let place = at + chain * S::LANES;
                let (left, right) = (S::load(row.add(place)), E::load::<S>(column.add(place)));
                sums[chain] = S::multiply_add(left, right, sums[chain]);
            }
            at += CHAINS * S::LANES;
        }
        let [[rest]] = dots::<S, E, 1, 1>([row.add(at)], [column.add(at)], length - at);
        S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3]))) + rest
    }
}
