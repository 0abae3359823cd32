//! The k-quants: superblocks of 256 weights whose parts have scales, and some offsets, of their own.

use std::arch::x86_64::*;

use super::instructions::Instructions;
use super::product::Format;
use super::rounded::Rounded;
use super::small::{SMALL, fetch_ahead, half, sum};

/// Weights of a superblock.
const SUPER: usize = 256;

/// A superblock: eight vectors of 32 unsigned bytes, each with scales of pairs, and what is to be
/// subtracted from their products.
pub(super) trait Superblock {
    const BYTES: usize;

    /// Scales and offsets of one block.
    unsafe fn head(block: *const u8) -> Head;

    /// Vector `part` and the scales of its sixteen pair sums.
    unsafe fn part(block: *const u8, head: &Head, part: usize) -> (__m256i, __m256i);
}

/// Scales of a superblock.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// Common factor of the products.
    scale: f32,
    /// Common factor of the offsets.
    offset_scale: f32,
    /// Sixteen scales of 16 bits, or eight of them twice; what `part` picks from.
    scales: __m256i,
    /// Sixteen offsets of 16 bits, one per sixteen weights.
    offsets: __m256i,
}

/// Sums that are kept apart where there are few rows, so that additions do not wait for one another.
const CHAINS: usize = 2;

#[inline(always)]
unsafe fn super_dots<I: Instructions, B: Superblock, const R: usize>(
    weights: *const u8,
    x: &Rounded,
    first: usize,
) -> [f32; R] {
    // SAFETY: blocks, quants and sums are whole; the caller vouches for the features.
    unsafe {
        let quants: [*const i8; R] = std::array::from_fn(|row| x.quants(first + row));
        let scales: [*const f32; R] = std::array::from_fn(|row| x.scales(first + row));
        let bytes: [*const i16; R] = std::array::from_fn(|row| x.sums(first + row));
        let mut totals = [_mm256_setzero_ps(); R];
        for block in 0..x.columns / SUPER {
            let place = weights.add(block * B::BYTES);
            for line in (0..B::BYTES).step_by(64) {
                fetch_ahead(place.add(line));
            }
            let head = B::head(place);
            let mut chains = [[_mm256_setzero_si256(); CHAINS]; R];
            for part in 0..SUPER / SMALL {
                let (weight, scale) = B::part(place, &head, part);
                for row in 0..R {
                    let quant = quants[row].add(block * SUPER + part * SMALL);
                    let quant = _mm256_loadu_si256(quant.cast());
                    let sums = &mut chains[row][if R < CHAINS { part % CHAINS } else { 0 }];
                    *sums = I::add_scaled(*sums, weight, quant, scale);
                }
            }
            for row in 0..R {
                let [even, odd] = chains[row];
                let product = _mm256_cvtepi32_ps(_mm256_add_epi32(even, odd));
                let sixteen = _mm256_loadu_si256(bytes[row].add(block * SUPER / 16).cast());
                let offset = _mm256_cvtepi32_ps(_mm256_madd_epi16(sixteen, head.offsets));
                let product = _mm256_mul_ps(product, _mm256_set1_ps(head.scale));
                let scale = _mm256_set1_ps(head.offset_scale);
                let product = _mm256_fnmadd_ps(offset, scale, product);
                let scale = _mm256_set1_ps(*scales[row].add(block));
                totals[row] = _mm256_fmadd_ps(product, scale, totals[row]);
            }
        }
        std::array::from_fn(|row| sum(totals[row]))
    }
}

macro_rules! superblock_format {
    ($name:ident) => {
        impl Format for $name {
            const WEIGHTS: usize = SUPER;
            const BYTES: usize = <Self as Superblock>::BYTES;

            #[inline(always)]
            unsafe fn dots<I: Instructions, const R: usize>(
                weights: *const u8,
                x: &Rounded,
                first: usize,
            ) -> [f32; R] {
                // SAFETY: the caller's promise is the same.
                unsafe { super_dots::<I, Self, R>(weights, x, first) }
            }
        }
    };
}

/// The head that Q4_K and Q5_K share: two half-precision factors, then eight scales and eight minima
/// of six bits in twelve bytes.
#[inline(always)]
unsafe fn six_bit_head(block: *const u8) -> Head {
    // SAFETY: the block begins with sixteen bytes of head.
    unsafe {
        let words = _mm_loadu_si128(block.cast());
        // Of the words after the factors, the first holds scales, the second minima, the third the low four bits of
        // the last four of both, whose high two bits are the upper ones of the first two.
        let own = _mm_shuffle_epi32::<0b10_10_01_01>(words);
        let own = _mm_srlv_epi32(own, _mm_setr_epi32(0, 2, 0, 2));
        let own = _mm_and_si128(
            own,
            _mm_setr_epi32(0x3f3f_3f3f, 0x3030_3030, 0x3f3f_3f3f, 0x3030_3030),
        );
        let shared = _mm_shuffle_epi32::<0b11_11_11_11>(words);
        let shared = _mm_srlv_epi32(shared, _mm_setr_epi32(0, 0, 0, 4));
        let shared = _mm_and_si128(shared, _mm_setr_epi32(0, 0x0f0f_0f0f, 0, 0x0f0f_0f0f));
        let bytes = _mm256_broadcastsi128_si256(_mm_or_si128(own, shared));
        // Each byte becomes two numbers of sixteen bits.
        let twice = |first: i8| {
            let (a, b, c, d) = (first, first + 1, first + 2, first + 3);
            _mm_setr_epi8(a, -1, a, -1, b, -1, b, -1, c, -1, c, -1, d, -1, d, -1)
        };
        let factors = _mm_cvtph_ps(words);
        Head {
            scale: _mm_cvtss_f32(factors),
            offset_scale: _mm_cvtss_f32(_mm_movehdup_ps(factors)),
            scales: _mm256_shuffle_epi8(bytes, _mm256_set_m128i(twice(4), twice(0))),
            offsets: _mm256_shuffle_epi8(bytes, _mm256_set_m128i(twice(12), twice(8))),
        }
    }
}

/// The 16-bit scale number `part` in every place.
#[inline(always)]
unsafe fn same_scale(head: &Head, part: usize) -> __m256i {
    // SAFETY: the caller vouches for the features.
    unsafe { _mm256_permutevar8x32_epi32(head.scales, _mm256_set1_epi32(part as i32)) }
}

/// Four bits with a six-bit scale and minimum per 32 weights.
pub(super) struct Q4K;
superblock_format!(Q4K);

impl Superblock for Q4K {
    const BYTES: usize = 144;

    #[inline(always)]
    unsafe fn head(block: *const u8) -> Head {
        // SAFETY: the caller's promise is the same.
        unsafe { six_bit_head(block) }
    }

    #[inline(always)]
    unsafe fn part(block: *const u8, head: &Head, part: usize) -> (__m256i, __m256i) {
        // SAFETY: 128 bytes of nibbles follow the head.
        unsafe {
            let both = _mm256_loadu_si256(block.add(16 + part / 2 * SMALL).cast());
            let both = if part.is_multiple_of(2) {
                both
            } else {
                _mm256_srli_epi16::<4>(both)
            };
            (
                _mm256_and_si256(both, _mm256_set1_epi8(0x0f)),
                same_scale(head, part),
            )
        }
    }
}

/// Five bits with a six-bit scale and minimum per 32 weights.
pub(super) struct Q5K;
superblock_format!(Q5K);

impl Superblock for Q5K {
    const BYTES: usize = 176;

    #[inline(always)]
    unsafe fn head(block: *const u8) -> Head {
        // SAFETY: the caller's promise is the same.
        unsafe { six_bit_head(block) }
    }

    #[inline(always)]
    unsafe fn part(block: *const u8, head: &Head, part: usize) -> (__m256i, __m256i) {
        // SAFETY: 32 bytes of fifth bits and 128 bytes of nibbles follow the head.
        unsafe {
            let both = _mm256_loadu_si256(block.add(48 + part / 2 * SMALL).cast());
            let both = if part.is_multiple_of(2) {
                both
            } else {
                _mm256_srli_epi16::<4>(both)
            };
            let low = _mm256_and_si256(both, _mm256_set1_epi8(0x0f));
            let bit = _mm256_set1_epi8((1_u8 << part).cast_signed());
            let high = _mm256_and_si256(_mm256_loadu_si256(block.add(16).cast()), bit);
            let high = _mm256_and_si256(_mm256_cmpeq_epi8(high, bit), _mm256_set1_epi8(0x10));
            (_mm256_or_si256(low, high), same_scale(head, part))
        }
    }
}

/// Six bits, offset by 32, with an eight-bit scale per sixteen weights.
pub(super) struct Q6K;
superblock_format!(Q6K);

impl Superblock for Q6K {
    const BYTES: usize = 210;

    #[inline(always)]
    unsafe fn head(block: *const u8) -> Head {
        // SAFETY: the scales lie behind 192 bytes of quants, and the factor behind them.
        unsafe {
            let scales = _mm256_cvtepi8_epi16(_mm_loadu_si128(block.add(192).cast()));
            let scale = half(block.add(208));
            Head {
                scale,
                offset_scale: 32.0 * scale,
                scales,
                offsets: scales,
            }
        }
    }

    #[inline(always)]
    unsafe fn part(block: *const u8, head: &Head, part: usize) -> (__m256i, __m256i) {
        // SAFETY: 128 bytes of low and 64 bytes of high bits precede the scales.
        unsafe {
            // Halves of 128 weights: low bits in 64 bytes, high bits in 32.
            let (side, quarter) = (part / 4, part % 4);
            let low = block.add(side * 64 + quarter % 2 * SMALL);
            let low = _mm256_loadu_si256(low.cast());
            let low = if quarter < 2 {
                low
            } else {
                _mm256_srli_epi16::<4>(low)
            };
            let low = _mm256_and_si256(low, _mm256_set1_epi8(0x0f));
            let high = _mm256_loadu_si256(block.add(128 + side * SMALL).cast());
            let high = match quarter {
                0 => _mm256_slli_epi16::<4>(high),
                1 => _mm256_slli_epi16::<2>(high),
                2 => high,
                _ => _mm256_srli_epi16::<2>(high),
            };
            let high = _mm256_and_si256(high, _mm256_set1_epi8(0x30));
            // The first sixteen weights take one scale, the others the next: pick a 16-bit scale
            // for each half of the register out of the half that holds it.
            let eight = if part < 4 {
                _mm256_permute2x128_si256::<0x00>(head.scales, head.scales)
            } else {
                _mm256_permute2x128_si256::<0x11>(head.scales, head.scales)
            };
            let at = part % 4 * 4;
            let pick = |byte: usize| _mm_set1_epi16(((byte + 1) << 8 | byte) as i16);
            let scales = _mm256_shuffle_epi8(eight, _mm256_set_m128i(pick(at + 2), pick(at)));
            (_mm256_or_si256(low, high), scales)
        }
    }
}
