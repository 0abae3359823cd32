//! The weights of a dense decoder as every loader delivers them.
//!
//! Whatever the file says, the decoder sees one layout: RoPE in the rotate-half form (rows of q and k
//! of GGUF files in the Llama layout are permuted back while loading, which costs nothing later, since
//! quantized blocks run along columns), and matrices that read the same input stored as adjacent rows
//! of one matrix wherever their types agree.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Tensor};

use crate::study::model::{Family, Shape};

/// A weight matrix of `[rows, columns]`, output times input.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    /// Floating point.
    Dense(Tensor),
    /// Quantized blocks along the columns.
    Quant(Arc<QTensor>),
}

/// Matrices that read the same input; their outputs follow one another. One matrix where the types of
/// the parts agree, several where a file mixes types (llama.cpp's presets do).
#[derive(Debug, Clone)]
pub(crate) struct Stack(pub(crate) Vec<Matrix>);

/// One transformer layer.
#[derive(Debug, Clone)]
pub(crate) struct LayerWeights {
    /// RMSNorm before attention, `[hidden]`.
    pub(crate) attention_norm: Tensor,
    /// Rows of q, then k, then v.
    pub(crate) qkv: Stack,
    /// Their bias (Qwen 2), `[q + 2 kv]`.
    pub(crate) qkv_bias: Option<Tensor>,
    /// RMSNorm of each q head (Qwen 3), `[head_dim]`.
    pub(crate) q_norm: Option<Tensor>,
    /// RMSNorm of each k head (Qwen 3), `[head_dim]`.
    pub(crate) k_norm: Option<Tensor>,
    /// Attention output, `[hidden, heads · head_dim]`.
    pub(crate) output: Matrix,
    /// RMSNorm before the feed-forward block, `[hidden]`.
    pub(crate) ffn_norm: Tensor,
    /// Rows of gate, then up.
    pub(crate) gate_up: Stack,
    /// `[hidden, ffn]`.
    pub(crate) down: Matrix,
}

/// All weights of a model on its device.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    /// The architecture.
    pub(crate) family: Family,
    /// Its shape, with RoPE scaling as the file has it.
    pub(crate) shape: Shape,
    /// Type of activations, norms and biases.
    pub(crate) activation: DType,
    /// Input embedding, `[vocab, hidden]`.
    pub(crate) embedding: Matrix,
    /// The layers.
    pub(crate) layers: Vec<LayerWeights>,
    /// Last RMSNorm, `[hidden]`.
    pub(crate) norm: Tensor,
    /// Output projection, `[vocab, hidden]`; `None` when the embedding serves.
    pub(crate) head: Option<Matrix>,
}
