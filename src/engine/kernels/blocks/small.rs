//! Q8_0: small blocks of 32 signed bytes with one scale.

use std::arch::x86_64::*;

use super::instructions::Instructions;
use super::product::Format;
use super::rounded::Rounded;

/// Weights of a small block.
pub(super) const SMALL: usize = 32;

/// A number in half precision at `from`.
#[inline(always)]
pub(super) unsafe fn half(from: *const u8) -> f32 {
    // SAFETY: the caller's pointer is valid for two bytes.
    unsafe {
        let bits = i32::from(from.cast::<u16>().read_unaligned());
        _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)))
    }
}

/// Sum of all lanes.
#[inline(always)]
pub(super) unsafe fn sum(a: __m256) -> f32 {
    // SAFETY: the caller vouches for the features.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

/// Q8_0.
pub(super) struct Q8_0;

impl Format for Q8_0 {
    const WEIGHTS: usize = SMALL;
    const BYTES: usize = 34;

    #[inline(always)]
    unsafe fn dots<I: Instructions, const R: usize>(
        weights: *const u8,
        x: &Rounded,
        first: usize,
    ) -> [f32; R] {
        // SAFETY: blocks and quants are whole; the caller vouches for the features.
        unsafe {
            let quants: [*const i8; R] = std::array::from_fn(|row| x.quants(first + row));
            let scales: [*const f32; R] = std::array::from_fn(|row| x.scales(first + row));
            // Sums kept apart, so that additions do not wait for one another.
            let mut sums = [[_mm256_setzero_ps(); R]; CHAINS];
            let mut block = 0;
            for _ in 0..x.columns / SMALL / CHAINS {
                for chain in &mut sums {
                    add::<I, R>(weights, &quants, &scales, block, chain);
                    block += 1;
                }
            }
            for chain in sums.iter_mut().take(x.columns / SMALL - block) {
                add::<I, R>(weights, &quants, &scales, block, chain);
                block += 1;
            }
            let [even, odd] = sums;
            std::array::from_fn(|row| sum(_mm256_add_ps(even[row], odd[row])))
        }
    }
}

/// Sums that [`Q8_0`] keeps apart.
const CHAINS: usize = 2;

/// Adds the products of one block to the sums of `R` rows.
///
/// # Safety
///
/// As [`Format::dots`], and all rows have this block.
#[inline(always)]
unsafe fn add<I: Instructions, const R: usize>(
    weights: *const u8,
    quants: &[*const i8; R],
    scales: &[*const f32; R],
    block: usize,
    sums: &mut [__m256; R],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let place = weights.add(block * Q8_0::BYTES);
        let scale = half(place);
        let weight = _mm256_loadu_si256(place.add(2).cast());
        let size = _mm256_sign_epi8(weight, weight);
        for row in 0..R {
            let quant = _mm256_loadu_si256(quants[row].add(block * SMALL).cast());
            // |w| times x with the sign of w: one factor of the product must be unsigned.
            let fours = I::fours(size, _mm256_sign_epi8(quant, weight));
            let factor = _mm256_set1_ps(scale * *scales[row].add(block));
            sums[row] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(fours), factor, sums[row]);
        }
    }
}
