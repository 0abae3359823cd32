//! Q8_0, Q5_0 and Q4_0: small blocks of 32 weights with one scale.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::instructions::Instructions;
use super::product::Format;
use super::rounded::Rounded;

/// Weights of a small block.
pub(super) const SMALL: usize = 32;

/// Bytes of weights that are asked for before they are read. Memory that is slow to answer is not asked early
/// enough by the processor itself.
const AHEAD: usize = 2048;

/// Asks for the cache line that lies so far behind `place`, wherever that is.
#[inline(always)]
pub(super) fn fetch_ahead(place: *const u8) {
    // SAFETY: nothing is read, and any address may be asked for.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(place.wrapping_add(AHEAD).cast()) }
}

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

/// A block of 32 signed weights with one scale in front.
pub(super) trait SmallBlock {
    const BYTES: usize;

    /// Its weights, in their order.
    ///
    /// # Safety
    ///
    /// The block is valid, and the CPU has AVX2.
    unsafe fn weights(block: *const u8) -> __m256i;
}

/// Eight bits.
pub(super) struct Q8_0;

impl SmallBlock for Q8_0 {
    const BYTES: usize = 34;

    #[inline(always)]
    unsafe fn weights(block: *const u8) -> __m256i {
        // SAFETY: 32 bytes follow the scale.
        unsafe { _mm256_loadu_si256(block.add(2).cast()) }
    }
}

/// Four bits, offset by 8.
pub(super) struct Q4_0;

impl SmallBlock for Q4_0 {
    const BYTES: usize = 18;

    #[inline(always)]
    unsafe fn weights(block: *const u8) -> __m256i {
        // SAFETY: 16 bytes of nibbles follow the scale.
        unsafe { _mm256_sub_epi8(nibbles(block.add(2)), _mm256_set1_epi8(8)) }
    }
}

/// Five bits, offset by 16.
pub(super) struct Q5_0;

impl SmallBlock for Q5_0 {
    const BYTES: usize = 22;

    #[inline(always)]
    unsafe fn weights(block: *const u8) -> __m256i {
        // SAFETY: 32 fifth bits and 16 bytes of nibbles follow the scale.
        unsafe {
            let bits = _mm256_set1_epi32(block.add(2).cast::<i32>().read_unaligned());
            // Each byte of the bits eight times, and of each its own bit.
            let bytes = _mm256_set_epi64x(
                0x0303_0303_0303_0303,
                0x0202_0202_0202_0202,
                0x0101_0101_0101_0101,
                0,
            );
            let own = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
            let fifth = _mm256_and_si256(_mm256_shuffle_epi8(bits, bytes), own);
            let fifth = _mm256_cmpeq_epi8(fifth, own);
            let fifth = _mm256_and_si256(fifth, _mm256_set1_epi8(16));
            let weights = _mm256_or_si256(nibbles(block.add(6)), fifth);
            _mm256_sub_epi8(weights, _mm256_set1_epi8(16))
        }
    }
}

/// Sixteen low nibbles, then the high ones of the same bytes.
#[inline(always)]
unsafe fn nibbles(bytes: *const u8) -> __m256i {
    // SAFETY: the caller's pointer is valid for 16 bytes.
    unsafe {
        let bytes = _mm_loadu_si128(bytes.cast());
        let both = _mm256_set_m128i(_mm_srli_epi16::<4>(bytes), bytes);
        _mm256_and_si256(both, _mm256_set1_epi8(0x0f))
    }
}

/// The products of rows of such blocks.
pub(super) struct Small<B>(PhantomData<B>);

impl<B: SmallBlock> Format for Small<B> {
    const WEIGHTS: usize = SMALL;
    const BYTES: usize = B::BYTES;

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
                fetch_ahead(weights.add(block * B::BYTES));
                for chain in &mut sums {
                    add::<I, B, R>(weights, &quants, &scales, block, chain);
                    block += 1;
                }
            }
            for chain in sums.iter_mut().take(x.columns / SMALL - block) {
                add::<I, B, R>(weights, &quants, &scales, block, chain);
                block += 1;
            }
            let [even, odd] = sums;
            std::array::from_fn(|row| sum(_mm256_add_ps(even[row], odd[row])))
        }
    }
}

/// Sums that are kept apart.
const CHAINS: usize = 2;

/// Adds the products of one block to the sums of `R` rows.
///
/// # Safety
///
/// As [`Format::dots`], and all rows have this block.
#[inline(always)]
unsafe fn add<I: Instructions, B: SmallBlock, const R: usize>(
    weights: *const u8,
    quants: &[*const i8; R],
    scales: &[*const f32; R],
    block: usize,
    sums: &mut [__m256; R],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let place = weights.add(block * B::BYTES);
        let scale = half(place);
        let weight = B::weights(place);
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
