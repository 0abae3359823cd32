//! Products of a few rows with quantized weights, straight from GGML's blocks.
//!
//! Candle repacks some types into wider tiles for its products. Where a step is bound by memory that costs
//! bandwidth and doubles the weights in memory, so few rows are multiplied with the blocks as they are.
//! Activations are rounded to eight bits, as in GGML.

#[cfg(target_arch = "x86_64")]
mod instructions;
#[cfg(target_arch = "x86_64")]
mod product;
#[cfg(target_arch = "x86_64")]
mod rounded;
#[cfg(target_arch = "x86_64")]
mod small;
#[cfg(target_arch = "x86_64")]
mod superblock;

use candle_core::quantized::GgmlDType;

/// Whether [`multiply`] has a kernel for this type on this CPU, for rows of `columns`.
pub(in crate::engine) fn supports(dtype: GgmlDType, columns: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use super::simd::{Level, level};
        level() != Level::Portable
            && match dtype {
                GgmlDType::Q4K | GgmlDType::Q5K | GgmlDType::Q6K => columns.is_multiple_of(256),
                GgmlDType::Q4_0 | GgmlDType::Q5_0 | GgmlDType::Q8_0 => columns.is_multiple_of(32),
                _ => false,
            }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (dtype, columns);
        false
    }
}

/// Whether candle repacks such a matrix of `[outputs, columns]` into tiles, and multiplies their bytes with one
/// instruction here (VNNI), which nothing else beats when there are enough rows to reuse them.
pub(in crate::engine) fn tiles_are_fast(
    dtype: GgmlDType,
    (outputs, columns): (usize, usize),
) -> bool {
    let tiled = matches!(dtype, GgmlDType::Q4K | GgmlDType::Q6K | GgmlDType::Q8_0)
        && outputs.is_multiple_of(16)
        && columns.is_multiple_of(256);
    #[cfg(target_arch = "x86_64")]
    {
        tiled && (is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        tiled
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
    return Some(product::multiply(x, blocks, dtype, columns));
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (x, blocks);
        None
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
        let blocks = weights.data().unwrap();
        let Some(y) = multiply(&x, &blocks, dtype, columns) else {
            assert!(!supports(dtype, columns), "{dtype:?} is supported");
            return;
        };
        // A CPU with more instructions computes what one with AVX2 alone does.
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            product::multiply_with::<instructions::Avx2>(&x, &blocks, dtype, columns),
            y,
            "{dtype:?} with {rows} rows"
        );
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
            GgmlDType::Q5_0,
            GgmlDType::Q4_0,
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
        assert!(!supports(GgmlDType::Q4_1, 256));
        assert!(!supports(GgmlDType::Q4K, 288));
        assert!(multiply(&[0.0; 32], &[0; 20], GgmlDType::Q4_1, 32).is_none());
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
