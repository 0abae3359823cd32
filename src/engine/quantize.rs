//! Quantized matrices: from floating point on all cores, or from a random tile.
//!
//! Blocks are built as candle's own block types in one allocation of the final size, so that on a CPU
//! nothing is copied after quantization. candle can fill device memory only from one slice, so on a GPU
//! the packed matrix passes through host memory, one matrix at a time.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::Device;
use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4_1, BlockQ4K, BlockQ5_0, BlockQ5_1, BlockQ5K, BlockQ6K,
    BlockQ8_0, GgmlType,
};
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use rayon::prelude::*;

use super::weights::floats::Floats;
use crate::study::model::Precision;

/// Weights that one task quantizes at a time, rounded to whole rows.
const PIECE: usize = 16_384;
/// Weights of a random tile before rounding down to a prime number of blocks.
const TILE: usize = 1 << 20;

/// Runs an expression with the name `$block` bound to the block type of a quantized precision.
macro_rules! with_block {
    ($precision:expr, $block:ident => $body:expr) => {{
        match $precision {
            Precision::Native | Precision::F32 | Precision::F16 | Precision::Bf16 => None,
            Precision::Q8_0 => {
                type $block = BlockQ8_0;
                Some($body)
            }
            Precision::Q6K => {
                type $block = BlockQ6K;
                Some($body)
            }
            Precision::Q5K => {
                type $block = BlockQ5K;
                Some($body)
            }
            Precision::Q4K => {
                type $block = BlockQ4K;
                Some($body)
            }
            Precision::Q3K => {
                type $block = BlockQ3K;
                Some($body)
            }
            Precision::Q2K => {
                type $block = BlockQ2K;
                Some($body)
            }
            Precision::Q5_1 => {
                type $block = BlockQ5_1;
                Some($body)
            }
            Precision::Q5_0 => {
                type $block = BlockQ5_0;
                Some($body)
            }
            Precision::Q4_1 => {
                type $block = BlockQ4_1;
                Some($body)
            }
            Precision::Q4_0 => {
                type $block = BlockQ4_0;
                Some($body)
            }
        }
    }};
}

/// GGML's word for a type of candle's.
pub(crate) const fn word(dtype: GgmlDType) -> &'static str {
    match dtype {
        GgmlDType::F32 => "f32",
        GgmlDType::F16 => "f16",
        GgmlDType::BF16 => "bf16",
        GgmlDType::Q4_0 => "q4_0",
        GgmlDType::Q4_1 => "q4_1",
        GgmlDType::Q5_0 => "q5_0",
        GgmlDType::Q5_1 => "q5_1",
        GgmlDType::Q8_0 => "q8_0",
        GgmlDType::Q8_1 => "q8_1",
        GgmlDType::Q2K => "q2_k",
        GgmlDType::Q3K => "q3_k",
        GgmlDType::Q4K => "q4_k",
        GgmlDType::Q5K => "q5_k",
        GgmlDType::Q6K => "q6_k",
        GgmlDType::Q8K => "q8_k",
    }
}

/// candle's name of a quantized precision, `None` for floating point.
pub(crate) fn block_type(precision: Precision) -> Option<GgmlDType> {
    with_block!(precision, Block => Block::DTYPE)
}

/// Why matrices were not quantized.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unquantized {
    /// A type of blocks makes something finite of it, so that nobody would see it later.
    #[error("element {element} is {value}; weights must be finite")]
    NotFinite {
        /// The matrix.
        part: usize,
        /// Where in it, row by row.
        element: usize,
        /// What stands there.
        value: f32,
    },
    /// candle refuses.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Quantizes matrices of `columns` columns into one, rows under rows, in host memory.
///
/// How much each column of a part matters, if the part has an entry, is heeded by the k-quants; the other
/// types have no use for it here.
/// `None` when the precision is not a quantized one.
pub(crate) fn quantize(
    precision: Precision,
    parts: &[Floats<'_>],
    (columns, importances): (usize, &[Option<&[f32]>]),
) -> Option<Result<QTensor, Unquantized>> {
    let importances = if precision.is_k_quant() {
        importances
    } else {
        &[]
    };
    with_block!(precision, Block => quantize_as::<Block>(parts, columns, importances))
}

/// Moves a quantized matrix from host memory to the device.
pub(crate) fn place(matrix: QTensor, device: &Device) -> candle_core::Result<QTensor> {
    if device.is_cpu() {
        return Ok(matrix);
    }
    let bytes = matrix.data()?;
    let storage = QStorage::from_data(bytes, device, matrix.dtype())?;
    QTensor::new(storage, matrix.shape().clone())
}

/// A quantized matrix on the device from the bytes of a file.
pub(crate) fn from_bytes(
    bytes: &[u8],
    block: GgmlDType,
    dims: (usize, usize),
    device: &Device,
) -> candle_core::Result<QTensor> {
    QTensor::new(
        QStorage::from_data(Cow::Borrowed(bytes), device, block)?,
        dims,
    )
}

/// A stretch of quantized random weights that matrices of any size are laid out with.
pub(crate) struct Tile(Box<dyn Lay>);

impl Tile {
    /// Quantizes the beginning of `normal`, at most a million weights; `None` for floating point.
    pub(crate) fn new(precision: Precision, normal: &[f32]) -> Option<Self> {
        with_block!(precision, Block => {
            let count = prime_at_most(normal.len().min(TILE) / Block::BLCK_SIZE);
            let mut blocks = vec![Block::zeros(); count];
            Block::from_float(&normal[..count * Block::BLCK_SIZE], &mut blocks);
            Self(Box::new(blocks))
        })
    }

    /// A matrix in host memory that repeats the tile, beginning at its block `start`.
    pub(crate) fn lay(&self, dims: (usize, usize), start: usize) -> candle_core::Result<QTensor> {
        QTensor::new(self.0.lay(dims.0 * dims.1, start), dims)
    }
}

/// Repeats blocks of one type.
trait Lay {
    fn lay(&self, weights: usize, start: usize) -> QStorage;
}

impl<T: GgmlType + 'static> Lay for Vec<T> {
    fn lay(&self, weights: usize, start: usize) -> QStorage {
        let count = weights / T::BLCK_SIZE;
        let mut blocks = Vec::with_capacity(count);
        for stretch in stretches(self.len(), start, count) {
            blocks.extend_from_slice(&self[stretch]);
        }
        QStorage::Cpu(Box::new(blocks))
    }
}

/// The stretches of a tile of `length`, beginning at `start`, that follow one another until `count`
/// items are covered.
pub(crate) fn stretches(
    length: usize,
    start: usize,
    count: usize,
) -> impl Iterator<Item = Range<usize>> {
    let mut begin = start % length;
    let mut left = count;
    std::iter::from_fn(move || {
        (left > 0).then(|| {
            let taken = left.min(length - begin);
            let stretch = begin..begin + taken;
            left -= taken;
            begin = 0;
            stretch
        })
    })
}

/// The largest prime that is at most `limit`, or 1: a tile of that many items lines up with no row.
pub(crate) fn prime_at_most(limit: usize) -> usize {
    let is_prime = |n: &usize| (2..=n.isqrt()).all(|divisor| !n.is_multiple_of(divisor));
    (2..=limit).rev().find(is_prime).unwrap_or(1)
}

fn quantize_as<T: GgmlType + 'static>(
    parts: &[Floats<'_>],
    columns: usize,
    importances: &[Option<&[f32]>],
) -> Result<QTensor, Unquantized> {
    // Whole rows, so that a piece begins where the importances do.
    let piece = (PIECE / columns).max(1) * columns;
    let weights: usize = parts.iter().map(Floats::len).sum();
    let mut blocks = vec![T::zeros(); weights / T::BLCK_SIZE];
    let mut rest = blocks.as_mut_slice();
    for (number, part) in parts.iter().enumerate() {
        let importance = importances.get(number).copied().flatten();
        let (mine, others) = rest.split_at_mut(part.len() / T::BLCK_SIZE);
        rest = others;
        mine.par_chunks_mut(piece / T::BLCK_SIZE)
            .enumerate()
            .try_for_each_init(
                || vec![0f32; piece],
                |scratch, (index, blocks)| {
                    let scratch = &mut scratch[..blocks.len() * T::BLCK_SIZE];
                    part.widen(index * piece, scratch);
                    if let Some((at, value)) = first_not_finite(scratch) {
                        let element = index * piece + at;
                        return Err(Unquantized::NotFinite {
                            part: number,
                            element,
                            value,
                        });
                    }
                    match importance {
                        Some(importance) => {
                            T::from_float_imatrix(scratch, blocks, importance, columns);
                        }
                        None => T::from_float(scratch, blocks),
                    }
                    Ok(())
                },
            )?;
    }
    let storage = QStorage::Cpu(Box::new(blocks));
    Ok(QTensor::new(storage, (weights / columns, columns))?)
}

/// The first value that is no finite number. Looking at all of them without a branch costs little beside
/// quantizing them.
fn first_not_finite(values: &[f32]) -> Option<(usize, f32)> {
    let any = values
        .iter()
        .fold(false, |any, value| any | !value.is_finite());
    let mut values = values.iter().copied().enumerate();
    any.then(|| values.find(|(_, value)| !value.is_finite()))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::weights::floats::FloatKind;

    fn ramp(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 2_654_435_761) % 1000) as f32 / 1000.0 - 0.5)
            .collect()
    }

    #[test]
    fn pieces_on_all_cores_give_what_candle_gives_in_one() {
        let values = ramp(3 * 256 * 256);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let (head, tail) = bytes.split_at(256 * 256 * 4);
        let parts = [head, tail].map(|part| Floats::new(FloatKind::F32, part));
        for precision in Precision::ALL {
            let Some(block) = block_type(precision) else {
                assert!(quantize(precision, &parts, (256, &[])).is_none());
                continue;
            };
            let ours = quantize(precision, &parts, (256, &[])).unwrap().unwrap();
            let whole = candle_core::Tensor::from_slice(&values, (768, 256), &Device::Cpu).unwrap();
            let theirs = QTensor::quantize(&whole, block).unwrap();
            assert_eq!(ours.shape(), theirs.shape());
            assert_eq!(ours.data().unwrap(), theirs.data().unwrap(), "{precision}");
        }
    }

    #[test]
    fn a_weight_that_is_no_finite_number_is_found_where_it_stands() {
        for (kind, value) in [(0, f32::NAN), (1, f32::INFINITY), (2, f32::NEG_INFINITY)] {
            let mut values = ramp(2 * 256 * 256);
            let at = 256 * 256 + 20_000 + kind;
            values[at] = value;
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let (head, tail) = bytes.split_at(256 * 256 * 4);
            let parts = [head, tail].map(|part| Floats::new(FloatKind::F32, part));
            for precision in [Precision::Q4K, Precision::Q8_0] {
                let refused = quantize(precision, &parts, (256, &[]))
                    .unwrap()
                    .unwrap_err();
                let Unquantized::NotFinite {
                    part,
                    element,
                    value: seen,
                } = refused
                else {
                    panic!("{refused}")
                };
                assert_eq!((part, element), (1, 20_000 + kind));
                assert_eq!(seen.to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn block_sizes_agree_with_the_planned_ones() {
        for precision in Precision::ALL {
            if let Some(block) = block_type(precision) {
                let planned = precision.block().unwrap();
                assert_eq!(block.block_size() as u64, planned.length, "{precision}");
                assert_eq!(block.type_size() as u64, planned.bytes, "{precision}");
            } else {
                assert!(precision.is_dense());
            }
        }
    }

    #[test]
    fn a_tile_is_repeated_from_its_start() {
        assert_eq!(stretches(5, 3, 9).collect::<Vec<_>>(), [3..5, 0..5, 0..2]);
        assert_eq!(stretches(5, 13, 3).collect::<Vec<_>>(), [3..5, 0..1]);
        let tile = Tile::new(Precision::Q4K, &ramp(7 * 256 + 3)).unwrap();
        let laid = tile.lay((2, 1024), 5).unwrap();
        let once = tile.lay((7, 256), 0).unwrap();
        let (laid, once) = (laid.data().unwrap(), once.data().unwrap());
        let block = 144;
        assert_eq!(laid[..2 * block], once[5 * block..]);
        assert_eq!(laid[2 * block..], once[..6 * block]);
    }

    #[test]
    fn primes_are_found_from_above() {
        assert_eq!(
            [1, 2, 4, 10, 4096, 32_768].map(prime_at_most),
            [1, 2, 3, 7, 4093, 32_749]
        );
    }
}
