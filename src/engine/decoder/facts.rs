//! What the decoder says of itself, counted on the tensors that it holds.

use std::collections::BTreeMap;

use candle_core::DType;

use crate::engine::quantize;
use crate::engine::weights::{Matrix, Weights};

/// Sizes of the weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sizes {
    /// Most frequent type among the weights, in GGML's words.
    pub(super) weight_type: String,
    /// Bits per weight over all matrices.
    pub(super) bits_per_weight: f64,
    /// All bytes, embeddings and norms included.
    pub(super) bytes: u64,
    /// Bytes that one decode step reads: all but an input embedding that is only an embedding.
    pub(super) bytes_per_step: u64,
    /// Weights in the matrices that every token is multiplied with.
    pub(super) multiplied: u64,
}

impl Sizes {
    /// Counts the tensors of `weights`.
    pub(super) fn of(weights: &Weights) -> Self {
        let linears: Vec<&Matrix> = weights.linears().collect();
        let table = weights.head.as_ref().map(|_| &weights.embedding);
        let mut by_type = BTreeMap::<&str, u64>::new();
        let (mut count, mut bytes) = (0, 0);
        for matrix in linears.iter().copied().chain(table) {
            *by_type.entry(word(matrix)).or_default() += elements(matrix);
            count += elements(matrix);
            bytes += matrix_bytes(matrix);
        }
        let small = small_bytes(weights);
        Self {
            weight_type: by_type
                .into_iter()
                .max_by_key(|(_, count)| *count)
                .map_or_else(String::new, |(word, _)| word.to_owned()),
            bits_per_weight: 8.0 * bytes as f64 / count as f64,
            bytes: bytes + small,
            bytes_per_step: bytes + small - table.map_or(0, matrix_bytes),
            multiplied: linears.iter().map(|matrix| elements(matrix)).sum(),
        }
    }
}

/// Bytes of norms and biases.
fn small_bytes(weights: &Weights) -> u64 {
    let layers = weights.layers.iter().flat_map(|layer| {
        [&layer.attention_norm, &layer.ffn_norm].into_iter().chain(
            [&layer.qkv_bias, &layer.q_norm, &layer.k_norm]
                .into_iter()
                .flatten(),
        )
    });
    layers
        .chain([&weights.norm])
        .map(|tensor| (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64)
        .sum()
}

fn elements(matrix: &Matrix) -> u64 {
    match matrix {
        Matrix::Dense(tensor) => tensor.elem_count() as u64,
        Matrix::Quant(tensor) => tensor.shape().elem_count() as u64,
    }
}

fn matrix_bytes(matrix: &Matrix) -> u64 {
    match matrix {
        Matrix::Dense(tensor) => (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64,
        Matrix::Quant(tensor) => tensor.storage_size_in_bytes() as u64,
    }
}

fn word(matrix: &Matrix) -> &'static str {
    match matrix {
        Matrix::Dense(tensor) => dtype_word(tensor.dtype()),
        Matrix::Quant(tensor) => quantize::word(tensor.dtype()),
    }
}

/// GGML's word for a floating-point type.
pub(super) fn dtype_word(dtype: DType) -> &'static str {
    dtype.as_str()
}
