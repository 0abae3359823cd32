//! The steps of a layer besides attention, in two builds: our fused CPU kernels, and candle's own
//! operations for every other device.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};
use half::{bf16, f16};

use crate::engine::floats::floats;
use crate::engine::kernels::{blocks, dense, rows};
use crate::engine::weights::{Matrix, Stack};

/// Rows up to which our streaming product beats a packed one.
const FEW_ROWS: usize = 32;
/// Rows up to which reading fewer bytes beats tiles that multiply bytes with one instruction: with four rows it does,
/// with sixteen both are equal.
const FEW_ROWS_BESIDE_TILES: usize = 8;
/// Rows of a half-precision matrix that are widened at a time for a packed product.
const WIDENED_ROWS: usize = 512;

/// Which build of the steps runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operators {
    /// Our kernels, in single precision, on the CPU.
    Fused,
    /// Candle's operations, in the type of the activations, on any device.
    Candle,
}

impl Operators {
    /// Rows of the embedding for `ids` of `[rows]`, `[rows, hidden]`.
    pub(super) fn embed(self, table: &Matrix, ids: &Tensor, dtype: DType) -> Result<Tensor> {
        match table {
            Matrix::Dense(table) => table.index_select(ids, 0)?.to_dtype(dtype),
            Matrix::Quant(table) => table.embedding(ids)?.to_dtype(dtype),
        }
    }

    /// RMSNorm over the last dimension.
    pub(super) fn norm(self, x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
        match self {
            Self::Fused => {
                let values = rows::norm(&floats(x)?, &floats(weight)?, epsilon as f32);
                Tensor::from_vec(values, x.shape(), &Device::Cpu)
            }
            Self::Candle => candle_nn::ops::rms_norm(x, weight, epsilon as f32),
        }
    }

    /// `x + delta` and its RMSNorm.
    pub(super) fn add_norm(
        self,
        x: &Tensor,
        delta: &Tensor,
        weight: &Tensor,
        epsilon: f64,
    ) -> Result<(Tensor, Tensor)> {
        match self {
            Self::Fused => {
                let (x_values, delta) = (floats(x)?, floats(delta)?);
                let (sum, normed) =
                    rows::add_norm(&x_values, &delta, &floats(weight)?, epsilon as f32);
                Ok((
                    Tensor::from_vec(sum, x.shape(), &Device::Cpu)?,
                    Tensor::from_vec(normed, x.shape(), &Device::Cpu)?,
                ))
            }
            Self::Candle => {
                let sum = (x + delta)?;
                let normed = self.norm(&sum, weight, epsilon)?;
                Ok((sum, normed))
            }
        }
    }

    /// `silu(gate) · up` for `[rows, 2 · ffn]`, gates first.
    pub(super) fn gate(self, gate_up: &Tensor) -> Result<Tensor> {
        let (count, both) = gate_up.dims2()?;
        match self {
            Self::Fused => {
                let values = rows::gate(&floats(gate_up)?, both / 2);
                Tensor::from_vec(values, (count, both / 2), &Device::Cpu)
            }
            Self::Candle => {
                let gate = gate_up.narrow(1, 0, both / 2)?.silu()?;
                gate * gate_up.narrow(1, both / 2, both / 2)?
            }
        }
    }

    /// `x · matrixᵀ`, `[rows, columns]` to `[rows, outputs]`.
    pub(super) fn project(self, matrix: &Matrix, x: &Tensor) -> Result<Tensor> {
        match (self, matrix) {
            (Self::Fused, Matrix::Quant(matrix)) => quantized(matrix, x),
            // Candle's kernels read quantized inputs as contiguous rows only.
            (Self::Candle, Matrix::Quant(matrix)) => {
                x.contiguous()?.apply_op1_no_bwd(matrix.as_ref())
            }
            (Self::Fused, Matrix::Dense(matrix)) => dense(matrix, x),
            (Self::Candle, Matrix::Dense(matrix)) => x.matmul(&matrix.t()?),
        }
    }

    /// The outputs of all matrices of a stack next to one another.
    pub(super) fn project_stack(self, stack: &Stack, x: &Tensor) -> Result<Tensor> {
        match stack.0.as_slice() {
            [matrix] => self.project(matrix, x),
            matrices => {
                let parts = matrices.iter().map(|matrix| self.project(matrix, x));
                Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
            }
        }
    }
}

/// A product with quantized weights: with the blocks as they are, or through candle's tiles where those
/// multiply faster.
fn quantized(matrix: &Arc<QTensor>, x: &Tensor) -> Result<Tensor> {
    let (count, (outputs, columns)) = (x.dim(0)?, matrix.shape().dims2()?);
    let few = if blocks::tiles_are_fast(matrix.dtype(), (outputs, columns)) {
        FEW_ROWS_BESIDE_TILES
    } else {
        usize::MAX
    };
    if count <= few {
        let product = blocks::multiply(&floats(x)?, &matrix.data()?, matrix.dtype(), columns);
        if let Some(values) = product {
            return Tensor::from_vec(values, (count, outputs), &Device::Cpu);
        }
    }
    x.apply_op1_no_bwd(matrix.as_ref())
}

/// A product with dense weights of any floating-point type and single-precision activations.
fn dense(matrix: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (count, columns) = x.dims2()?;
    let outputs = matrix.dim(0)?;
    if count > FEW_ROWS {
        return match matrix.dtype() {
            DType::F32 => x.matmul(&matrix.t()?),
            _ => widened(matrix, x),
        };
    }
    let x = floats(x)?;
    let (storage, layout) = matrix.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("weights of {:?} are not contiguous", layout.dims());
    };
    let values = match &*storage {
        Storage::Cpu(CpuStorage::F32(w)) => dense::multiply_few::<f32>(&x, &w[start..end], columns),
        Storage::Cpu(CpuStorage::F16(w)) => dense::multiply_few::<f16>(&x, &w[start..end], columns),
        Storage::Cpu(CpuStorage::BF16(w)) => {
            dense::multiply_few::<bf16>(&x, &w[start..end], columns)
        }
        _ => candle_core::bail!("weights of type {:?} on the CPU", matrix.dtype()),
    };
    Tensor::from_vec(values, (count, outputs), &Device::Cpu)
}

/// A packed product with half-precision weights, widened block by block.
fn widened(matrix: &Tensor, x: &Tensor) -> Result<Tensor> {
    let outputs = matrix.dim(0)?;
    let parts = (0..outputs).step_by(WIDENED_ROWS).map(|first| {
        let block = matrix.narrow(0, first, WIDENED_ROWS.min(outputs - first))?;
        x.matmul(&block.to_dtype(DType::F32)?.t()?)
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
}
