//! The reference: one eager forward pass in single precision, without a KV cache and without anything
//! that the timed path uses but the weights and the table of angles.

use candle_core::{D, DType, Device, Result, Tensor};

use super::rope::Rope;
use crate::engine::gguf::importance::Collected;
use crate::engine::weights::{LayerWeights, Matrix, Stack, Weights};
use crate::engine::{Progress, TokenId};
use crate::study::model::Shape;
use crate::study::model::{Part, Slot};

/// Weights that are widened to single precision at a time.
const WIDENED: usize = 1 << 24;

/// Logits of the last `wanted` positions of one sequence, `[wanted, vocab]`.
pub(crate) fn logits(
    weights: &Weights,
    (ids, wanted): (&[TokenId], usize),
    device: &Device,
    progress: &Progress,
) -> Result<Tensor> {
    let mut step = |_: u32, _: &[Part], _: &Tensor| {
        progress.step();
        Ok(())
    };
    let x = layers(weights, ids, device, &mut step)?;
    let (shape, length) = (&weights.shape, x.dim(0)?);
    let last = norm(&x, &weights.norm, shape.norm_eps)?.narrow(0, length - wanted, wanted)?;
    linear(
        weights.head.as_ref().unwrap_or(&weights.embedding),
        &last.contiguous()?,
    )
}

/// Adds what the matrices of the layers are multiplied with while they read one sequence.
///
/// Embedding and output are left out, as llama.cpp does: every token drives them alike.
pub(crate) fn collect(
    weights: &Weights,
    ids: &[TokenId],
    device: &Device,
    collected: &mut Collected,
) -> Result<()> {
    layers(weights, ids, device, &mut |layer, parts, input| {
        let squares = input.sqr()?.sum(0)?.to_vec1::<f32>()?;
        for &part in parts {
            collected.add(&Slot::Layer(layer, part).gguf_name(), &squares);
        }
        Ok(())
    })?;
    collected.count(ids.len() as u64);
    Ok(())
}

/// Sees the input of matrices of a layer, `[length, columns]`.
type Observe<'a> = dyn FnMut(u32, &[Part], &Tensor) -> Result<()> + 'a;

/// The residual stream behind the last layer, `[length, hidden]`.
fn layers(
    weights: &Weights,
    ids: &[TokenId],
    device: &Device,
    observe: &mut Observe<'_>,
) -> Result<Tensor> {
    let shape = &weights.shape;
    let angles = Angles::new(shape, ids.len(), device)?;
    let ids = Tensor::new(ids, device)?;
    let mut x = widened_rows(&weights.embedding, &ids)?;
    for (index, layer) in (0..).zip(&weights.layers) {
        let input = norm(&x, &layer.attention_norm, shape.norm_eps)?;
        observe(index, &[Part::Query, Part::Key, Part::Value], &input)?;
        let mixed = attention(&input, layer, shape, &angles)?;
        observe(index, &[Part::Output], &mixed)?;
        x = (x + linear(&layer.output, &mixed)?)?;
        let input = norm(&x, &layer.ffn_norm, shape.norm_eps)?;
        observe(index, &[Part::Gate, Part::Up], &input)?;
        let gate_up = stack(&layer.gate_up, &input)?;
        let ffn = shape.ffn as usize;
        let (gate, up) = (gate_up.narrow(1, 0, ffn)?, gate_up.narrow(1, ffn, ffn)?);
        let gated = (&gate / ((gate.neg()?.exp()? + 1.0)?))?.mul(&up)?;
        observe(index, &[Part::Down], &gated)?;
        x = (x + linear(&layer.down, &gated)?)?;
    }
    Ok(x)
}

/// What all layers share: rotation angles `[length, head_dim]` and the mask `[length, length]`.
struct Angles {
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
}

impl Angles {
    fn new(shape: &Shape, length: usize, device: &Device) -> Result<Self> {
        let rope = Rope::new(shape, length);
        let table = |values: Vec<f32>| {
            let half = Tensor::from_vec(values, (length, rope.pairs), device)?;
            Tensor::cat(&[&half, &half], 1)
        };
        let window = shape
            .sliding_window
            .map_or(length, |window| window as usize);
        let mask: Vec<f32> = (0..length * length)
            .map(|at| (at / length, at % length))
            .map(|(query, key)| {
                if key > query || query - key >= window {
                    f32::NEG_INFINITY
                } else {
                    0.0
                }
            })
            .collect();
        Ok(Self {
            cos: table(rope.cos.clone())?,
            sin: table(rope.sin.clone())?,
            mask: Tensor::from_vec(mask, (length, length), device)?,
        })
    }

    /// `x` of `[heads, length, head_dim]`, turned.
    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let half = x.dim(D::Minus1)? / 2;
        let (low, high) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let swapped = Tensor::cat(&[&high.neg()?, &low], 2)?;
        x.broadcast_mul(&self.cos)? + swapped.broadcast_mul(&self.sin)?
    }
}

/// Mixed values of all heads, `[length, heads · head_dim]`.
fn attention(x: &Tensor, layer: &LayerWeights, shape: &Shape, angles: &Angles) -> Result<Tensor> {
    let (heads, kv) = (shape.heads as usize, shape.kv_heads as usize);
    let (width, length) = (shape.head_dim as usize, x.dim(0)?);
    let mut qkv = stack(&layer.qkv, x)?;
    if let Some(bias) = &layer.qkv_bias {
        qkv = qkv.broadcast_add(&bias.to_dtype(DType::F32)?)?;
    }
    let part = |first: usize, count: usize| {
        qkv.narrow(1, first * width, count * width)?
            .reshape((length, count, width))?
            .transpose(0, 1)?
            .contiguous()
    };
    let normed = |x: Tensor, weight: &Option<Tensor>| match weight {
        Some(weight) => norm(&x, weight, shape.norm_eps),
        None => Ok(x),
    };
    let queries = angles.turn(&normed(part(0, heads)?, &layer.q_norm)?)?;
    let keys = angles.turn(&normed(part(heads, kv)?, &layer.k_norm)?)?;
    let values = part(heads + kv, kv)?;
    let repeated = |x: Tensor| {
        x.unsqueeze(1)?
            .broadcast_as((kv, heads / kv, length, width))?
            .contiguous()?
            .reshape((heads, length, width))
    };
    let scores = (queries.matmul(&repeated(keys)?.t()?)? / (width as f64).sqrt())?;
    let scores = scores.broadcast_add(&angles.mask)?;
    let powers = scores
        .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
        .exp()?;
    let shares = powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?;
    let mixed = shares.matmul(&repeated(values)?)?; // [heads, length, width]
    mixed
        .transpose(0, 1)?
        .contiguous()?
        .reshape((length, heads * width))
}

fn norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean + epsilon)?.sqrt()?)?
        .broadcast_mul(&weight.to_dtype(DType::F32)?)
}

fn stack(stack: &Stack, x: &Tensor) -> Result<Tensor> {
    let parts = stack.0.iter().map(|matrix| linear(matrix, x));
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
}

/// `x · matrixᵀ`, with the matrix widened block by block.
fn linear(matrix: &Matrix, x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = match matrix {
        Matrix::Dense(matrix) => matrix.dims2()?,
        Matrix::Quant(matrix) => matrix.shape().dims2()?,
    };
    let block = (WIDENED / columns).clamp(1, rows);
    let parts = (0..rows).step_by(block).map(|first| {
        let last = (first + block).min(rows);
        let ids = Tensor::arange(first as u32, last as u32, x.device())?;
        x.matmul(&widened_rows(matrix, &ids)?.t()?)
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
}

/// The rows `ids` of a matrix in single precision.
fn widened_rows(matrix: &Matrix, ids: &Tensor) -> Result<Tensor> {
    match matrix {
        Matrix::Dense(matrix) => matrix.index_select(ids, 0)?.to_dtype(DType::F32),
        Matrix::Quant(matrix) => matrix.embedding(ids)?.to_dtype(DType::F32),
    }
}
