//! Rows of activations, rounded to eight bits as the kernels read them.

use std::arch::x86_64::*;

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
#[target_feature(enable = "avx2")]
unsafe fn round_row(
    x: &[f32],
    quants: &mut [i8],
    (scales, block): (&mut [f32], usize),
    sums: &mut [i16],
) {
    assert!(
        quants.len() == x.len() && sums.len() == x.len() / 16,
        "one width"
    );
    for (index, scale) in scales.iter_mut().enumerate() {
        let x = &x[index * block..(index + 1) * block];
        // SAFETY: a block is 32 numbers or more, as many as its quants; sums are a sixteenth of them.
        unsafe {
            let largest = largest(x);
            *scale = largest / 127.0;
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            for at in (0..block).step_by(32) {
                let place = index * block + at;
                let quants = quants.as_mut_ptr().add(place);
                let sums = sums.as_mut_ptr().add(place / 16);
                round_32(x.as_ptr().add(at), inverse, quants, sums);
            }
        }
    }
}

/// The largest magnitude of a block, not a number where one of them is none.
///
/// # Safety
///
/// The CPU has AVX2; the block is a multiple of 32.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn largest(x: &[f32]) -> f32 {
    // SAFETY: what is read lies within the block.
    unsafe {
        // Magnitudes order as their bits do; a NaN is the largest of all.
        let magnitude = _mm256_set1_epi32(i32::MAX);
        let mut most = [_mm256_setzero_si256(); 4];
        for at in (0..x.len()).step_by(32) {
            for chain in 0..4 {
                let bits = _mm256_loadu_si256(x.as_ptr().add(at + 8 * chain).cast());
                most[chain] = _mm256_max_epi32(most[chain], _mm256_and_si256(bits, magnitude));
            }
        }
        let [first, second, third, fourth] = most;
        let low = _mm256_max_epi32(first, second);
        let eight = _mm256_max_epi32(low, _mm256_max_epi32(third, fourth));
        let four = _mm_max_epi32(
            _mm256_castsi256_si128(eight),
            _mm256_extracti128_si256::<1>(eight),
        );
        let two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
        let one = _mm_max_epi32(two, _mm_shuffle_epi32::<1>(two));
        f32::from_bits(_mm_cvtsi128_si32(one).cast_unsigned())
    }
}

/// Rounds 32 numbers times `factor`, and sums them by sixteen.
///
/// # Safety
///
/// The CPU has AVX2; pointers are valid for 32 numbers, as many quants, and two sums.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn round_32(x: *const f32, factor: f32, quants: *mut i8, sums: *mut i16) {
    // SAFETY: the caller's promise.
    unsafe {
        let factor = _mm256_set1_ps(factor);
        let mut parts = [_mm256_setzero_si256(); 4];
        for part in 0..4 {
            let values = _mm256_mul_ps(_mm256_loadu_ps(x.add(8 * part)), factor);
            parts[part] = _mm256_cvtps_epi32(values);
        }
        let low = _mm256_packs_epi32(parts[0], parts[1]);
        let high = _mm256_packs_epi32(parts[2], parts[3]);
        // Packing works on halves of registers: this brings the fours into their order.
        let order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
        let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
        _mm256_storeu_si256(quants.cast(), bytes);
        // Only unsigned bytes are summed by one instruction.
        let unsigned = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
        let eights = _mm256_sad_epu8(unsigned, _mm256_setzero_si256());
        let sixteens = _mm256_add_epi64(eights, _mm256_unpackhi_epi64(eights, eights));
        let offset = 16 * 128;
        *sums = (_mm256_extract_epi16::<0>(sixteens) - offset) as i16;
        *sums.add(1) = (_mm256_extract_epi16::<8>(sixteens) - offset) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernels::simd::{Level, level};

    #[test]
    fn numbers_are_rounded_to_the_nearest_127th_of_the_largest() {
        if level() == Level::Portable {
            return;
        }
        for block in [32, 256] {
            // Two rows of two blocks; the second block of the second row is zeros.
            let columns = 2 * block;
            let mut x: Vec<f32> = (0..2 * columns)
                .map(|at| ((at * 37 % 101) as f32 - 50.5) * if at % 3 == 0 { 0.25 } else { 1.0 })
                .collect();
            x[3 * block..].fill(0.0);
            let rounded = Rounded::new(&x, columns, block);
            for (index, x) in x.chunks_exact(block).enumerate() {
                let largest = x.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
                assert_eq!(rounded.scales[index].to_bits(), (largest / 127.0).to_bits());
                let factor = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                let expected = x
                    .iter()
                    .map(|value| (value * factor).round_ties_even() as i8);
                let expected: Vec<i8> = expected.collect();
                assert_eq!(rounded.quants[index * block..][..block], expected);
                for (sixteen, quants) in expected.chunks_exact(16).enumerate() {
                    let sum: i16 = quants.iter().map(|quant| i16::from(*quant)).sum();
                    assert_eq!(rounded.sums[index * block / 16 + sixteen], sum);
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_makes_its_block_none() {
        if level() == Level::Portable {
            return;
        }
        for (bad, at) in [(f32::NAN, 0), (-f32::NAN, 40), (f32::INFINITY, 63)] {
            let mut x = [1.0; 64];
            x[at] = bad;
            let scales = Rounded::new(&x, 64, 32).scales;
            assert!(!scales[at / 32].is_finite());
            assert_eq!(scales[1 - at / 32].to_bits(), (1.0_f32 / 127.0).to_bits());
        }
    }
}
