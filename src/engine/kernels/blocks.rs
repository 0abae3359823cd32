//! Products of a few rows with quantized weights, straight from GGML's blocks.
//!
//! Candle repacks some types into wider tiles for its products. Where a step is bound by memory that costs
//! bandwidth and doubles the weights in memory, so few rows are multiplied with the blocks as they are.
//! Activations are rounded to eight bits, as in GGML.

use candle_core::quantized::GgmlDType;

/// Whether [`multiply`] has a kernel for this type on this CPU, for rows of `columns`.
pub(in crate::engine) fn supports(dtype: GgmlDType, columns: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use super::simd::{Level, level};
        level() != Level::Portable
            && match dtype {
                GgmlDType::Q4K | GgmlDType::Q5K | GgmlDType::Q6K => columns.is_multiple_of(256),
                GgmlDType::Q8_0 => columns.is_multiple_of(32),
                _ => false,
            }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (dtype, columns);
        false
    }
}

/// Whether candle's tiles multiply bytes with one instruction here (VNNI), which nothing else beats when
/// there are enough rows to reuse them.
pub(in crate::engine) fn tiles_are_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        true
    }
}

/// `y[m][n] = Σ x[m][k] · w[n][k]` with `w` in blocks of `dtype`; `None` where there is no kernel.
///
/// # Panics
///
/// When the slices do not hold whole rows of `columns`.
pub(in crate::engine) fn multiply(
    x: &[f32],
    blocks: &[u8],
    dtype: GgmlDType,
    columns: usize,
) -> Option<Vec<f32>> {
    if !supports(dtype, columns) {
        return None;
    }
    #[cfg(target_arch = "x86_64")]
    return Some(x86::multiply(x, blocks, dtype, columns));
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (x, blocks);
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The kernels for AVX2.

    use std::arch::x86_64::*;

    use candle_core::quantized::GgmlDType;

    use super::super::{SharedMut, parallel};

    /// Weights of a superblock.
    const SUPER: usize = 256;
    /// Weights of a small block.
    const SMALL: usize = 32;
    /// Rows of activations that share one unpacking of weights.
    const TILE_ROWS: usize = 4;
    /// Rows of weights that one thread takes at a time.
    const ROWS_PER_ITEM: usize = 16;

    pub(super) fn multiply(x: &[f32], blocks: &[u8], dtype: GgmlDType, columns: usize) -> Vec<f32> {
        match dtype {
            GgmlDType::Q4K => product::<Q4K>(x, blocks, columns),
            GgmlDType::Q5K => product::<Q5K>(x, blocks, columns),
            GgmlDType::Q6K => product::<Q6K>(x, blocks, columns),
            _ => product::<Q8_0>(x, blocks, columns),
        }
    }

    /// One block type.
    trait Format {
        /// Weights per block.
        const WEIGHTS: usize;
        /// Bytes per block.
        const BYTES: usize;

        /// Dot products of `R` rows of activations with one row of weights.
        ///
        /// # Safety
        ///
        /// The CPU has AVX2, FMA and F16C; `weights` is valid for the blocks of one row, and rows
        /// `first..first + R` exist.
        unsafe fn dots<const R: usize>(weights: *const u8, x: &Rounded, first: usize) -> [f32; R];
    }

    /// Activations rounded to eight bits.
    struct Rounded {
        columns: usize,
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
        fn new(x: &[f32], columns: usize, block: usize) -> Self {
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

        fn quants(&self, row: usize) -> *const i8 {
            self.quants[row * self.columns..].as_ptr()
        }

        fn scales(&self, row: usize) -> *const f32 {
            self.scales[row * self.columns / self.block..].as_ptr()
        }

        fn sums(&self, row: usize) -> *const i16 {
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
            let mut largest = 0.0_f32;
            for value in x {
                largest = largest.max(value.abs());
            }
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

    fn product<F: Format>(x: &[f32], blocks: &[u8], columns: usize) -> Vec<f32> {
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
                let mut row = 0;
                while row < rows {
                    let tile = TILE_ROWS.min(rows - row);
                    for output in range.clone() {
                        let weights = blocks[output * bytes..(output + 1) * bytes].as_ptr();
                        let place = (row, row * outputs + output, outputs);
                        // SAFETY: `supports` has seen the features; rows and blocks are whole, and no
                        // other item has these outputs.
                        unsafe {
                            match tile {
                                1 => write::<F, 1>(weights, &rounded, place, &shared),
                                2 => write::<F, 2>(weights, &rounded, place, &shared),
                                3 => write::<F, 3>(weights, &rounded, place, &shared),
                                _ => write::<F, TILE_ROWS>(weights, &rounded, place, &shared),
                            }
                        }
                    }
                    row += tile;
                }
            }
        });
        y
    }

    /// Writes the products of `R` rows with one row of weights.
    ///
    /// # Safety
    ///
    /// As [`Format::dots`], and the outputs at `at`, `at + stride`, … belong to the caller.
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn write<F: Format, const R: usize>(
        weights: *const u8,
        x: &Rounded,
        (first, at, stride): (usize, usize, usize),
        y: &SharedMut<'_, f32>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            for (row, dot) in F::dots::<R>(weights, x, first).into_iter().enumerate() {
                *y.at(at + row * stride) = dot;
            }
        }
    }

    /// A number in half precision at `from`.
    #[inline(always)]
    unsafe fn half(from: *const u8) -> f32 {
        // SAFETY: the caller's pointer is valid for two bytes.
        unsafe {
            let bits = i32::from(from.cast::<u16>().read_unaligned());
            _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)))
        }
    }

    #[inline(always)]
    unsafe fn sum(a: __m256) -> f32 {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    /// Small blocks of 32 signed bytes with one scale.
    struct Q8_0;

    impl Format for Q8_0 {
        const WEIGHTS: usize = SMALL;
        const BYTES: usize = 34;

        #[inline(always)]
        unsafe fn dots<const R: usize>(weights: *const u8, x: &Rounded, first: usize) -> [f32; R] {
            // SAFETY: blocks and quants are whole; the caller vouches for the features.
            unsafe {
                let quants: [*const i8; R] = std::array::from_fn(|row| x.quants(first + row));
                let scales: [*const f32; R] = std::array::from_fn(|row| x.scales(first + row));
                let ones = _mm256_set1_epi16(1);
                let mut sums = [_mm256_setzero_ps(); R];
                for block in 0..x.columns / SMALL {
                    let place = weights.add(block * Self::BYTES);
                    let scale = half(place);
                    let weight = _mm256_loadu_si256(place.add(2).cast());
                    let size = _mm256_sign_epi8(weight, weight);
                    for row in 0..R {
                        let quant = _mm256_loadu_si256(quants[row].add(block * SMALL).cast());
                        // |w| times x with the sign of w: one factor of the product must be unsigned.
                        let signed = _mm256_sign_epi8(quant, weight);
                        let pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(size, signed), ones);
                        let factor = _mm256_set1_ps(scale * *scales[row].add(block));
                        sums[row] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(pairs), factor, sums[row]);
                    }
                }
                std::array::from_fn(|row| sum(sums[row]))
            }
        }
    }

    /// A superblock: eight vectors of 32 unsigned bytes, each with scales of pairs, and what is to be
    /// subtracted from their products.
    trait Superblock {
        const BYTES: usize;

        /// Scales and offsets of one block.
        unsafe fn head(block: *const u8) -> Head;

        /// Vector `part` and the scales of its sixteen pair sums.
        unsafe fn part(block: *const u8, head: &Head, part: usize) -> (__m256i, __m256i);
    }

    /// Scales of a superblock.
    #[derive(Clone, Copy)]
    struct Head {
        /// Common factor of the products.
        scale: f32,
        /// Common factor of the offsets.
        offset_scale: f32,
        /// Sixteen scales of 16 bits, or eight of them twice; what `part` picks from.
        scales: __m256i,
        /// Sixteen offsets of 16 bits, one per sixteen weights.
        offsets: __m256i,
    }

    #[inline(always)]
    unsafe fn super_dots<B: Superblock, const R: usize>(
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
                let head = B::head(place);
                let mut sums = [_mm256_setzero_si256(); R];
                for part in 0..SUPER / SMALL {
                    let (weight, scale) = B::part(place, &head, part);
                    for row in 0..R {
                        let quant = quants[row].add(block * SUPER + part * SMALL);
                        let quant = _mm256_loadu_si256(quant.cast());
                        let pairs = _mm256_maddubs_epi16(weight, quant);
                        sums[row] = _mm256_add_epi32(sums[row], _mm256_madd_epi16(pairs, scale));
                    }
                }
                for row in 0..R {
                    let sixteen = _mm256_loadu_si256(bytes[row].add(block * SUPER / 16).cast());
                    let offset = _mm256_cvtepi32_ps(_mm256_madd_epi16(sixteen, head.offsets));
                    let factor = *scales[row].add(block);
                    let scale = _mm256_set1_ps(factor * head.scale);
                    totals[row] =
                        _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[row]), scale, totals[row]);
                    let scale = _mm256_set1_ps(factor * head.offset_scale);
                    totals[row] = _mm256_fnmadd_ps(offset, scale, totals[row]);
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
                unsafe fn dots<const R: usize>(
                    weights: *const u8,
                    x: &Rounded,
                    first: usize,
                ) -> [f32; R] {
                    // SAFETY: the caller's promise is the same.
                    unsafe { super_dots::<Self, R>(weights, x, first) }
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
            let word = |index: usize| block.add(4 + 4 * index).cast::<u32>().read_unaligned();
            let (low, high, top) = (word(0), word(1), word(2));
            let scales = [
                low & 0x3f3f_3f3f,
                (top & 0x0f0f_0f0f) | ((low >> 6) & 0x0303_0303) << 4,
            ];
            let minima = [
                high & 0x3f3f_3f3f,
                ((top >> 4) & 0x0f0f_0f0f) | ((high >> 6) & 0x0303_0303) << 4,
            ];
            let eight = |words: [u32; 2]| {
                let bytes = u64::from(words[0]) | u64::from(words[1]) << 32;
                _mm_cvtepu8_epi16(_mm_cvtsi64_si128(bytes.cast_signed()))
            };
            let (scales, minima) = (eight(scales), eight(minima));
            // Each minimum belongs to 32 weights, which are two sums of sixteen.
            let offsets = _mm256_set_m128i(
                _mm_unpackhi_epi16(minima, minima),
                _mm_unpacklo_epi16(minima, minima),
            );
            Head {
                scale: half(block),
                offset_scale: half(block.add(2)),
                scales: _mm256_set_m128i(scales, scales),
                offsets,
            }
        }
    }

    /// The 16-bit scale number `part` in every place.
    #[inline(always)]
    unsafe fn same_scale(head: &Head, part: usize) -> __m256i {
        // SAFETY: the caller vouches for the features.
        unsafe {
            let pick = (2 * part + 1) << 8 | (2 * part);
            _mm256_shuffle_epi8(head.scales, _mm256_set1_epi16(pick as i16))
        }
    }

    /// Four bits with a six-bit scale and minimum per 32 weights.
    struct Q4K;
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
    struct Q5K;
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
    struct Q6K;
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
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};

    use super::*;

    /// Numbers that repeat nowhere within a block, `[rows, columns]`.
    fn numbers(rows: usize, columns: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        (0..rows * columns)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    #[track_caller]
    fn multiplies(dtype: GgmlDType, rows: usize) {
        let (columns, outputs) = (768, 37);
        let weights = Tensor::from_vec(
            numbers(outputs, columns, 1),
            (outputs, columns),
            &Device::Cpu,
        );
        let weights = QTensor::quantize(&weights.unwrap(), dtype).unwrap();
        let x = numbers(rows, columns, 2);
        let Some(y) = multiply(&x, &weights.data().unwrap(), dtype, columns) else {
            assert!(!supports(dtype, columns), "{dtype:?} is supported");
            return;
        };
        let exact = Tensor::from_vec(x, (rows, columns), &Device::Cpu).unwrap();
        let exact = exact
            .matmul(&weights.dequantize(&Device::Cpu).unwrap().t().unwrap())
            .unwrap();
        let exact = exact.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>();
        let difference = square(&mut y.iter().zip(&exact).map(|(a, b)| a - b));
        let error = (difference / square(&mut exact.iter().copied())).sqrt();
        assert!(error < 0.012, "{dtype:?} with {rows} rows: {error}");
    }

    #[test]
    fn products_are_those_of_the_dequantized_weights() {
        for dtype in [
            GgmlDType::Q8_0,
            GgmlDType::Q4K,
            GgmlDType::Q5K,
            GgmlDType::Q6K,
        ] {
            for rows in [1, 2, 3, 4, 5, 11] {
                multiplies(dtype, rows);
            }
        }
    }

    #[test]
    fn other_types_and_uneven_rows_are_left_to_candle() {
        assert!(!supports(GgmlDType::Q4_0, 256));
        assert!(!supports(GgmlDType::Q4K, 288));
        assert!(multiply(&[0.0; 32], &[0; 18], GgmlDType::Q4_0, 32).is_none());
    }

    #[test]
    fn rows_of_zeros_multiply_to_zero() {
        if supports(GgmlDType::Q8_0, 32) {
            assert_eq!(
                multiply(&[0.0; 32], &[1; 34], GgmlDType::Q8_0, 32),
                Some(vec![0.0])
            );
        }
    }
}
