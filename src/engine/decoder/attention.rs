//! From the joint q, k, v of a layer to its mixed values: norm and rotate heads, write the cache,
//! attend over it.

use std::ops::Deref;

use candle_core::quantized::k_quants::{BlockQ8_0, GgmlType as _};
use candle_core::{Device, Result, Tensor};

use super::cache::{self, Cache, Slots};
use super::rope::Rope;
use super::tensors::Run;
use crate::engine::floats::floats;
use crate::engine::kernels::attend::Attend;
use crate::engine::kernels::element::Element;
use crate::engine::kernels::heads::Heads;
use crate::engine::kernels::rows;
use crate::engine::weights::LayerWeights;

/// New tokens on their way through one layer.
pub(super) struct Step<'a> {
    /// Head counts.
    pub(super) heads: Heads,
    /// Inside the square root of RMSNorm.
    pub(super) epsilon: f64,
    /// Angles of every position.
    pub(super) rope: &'a Rope,
    /// The same on the device, `[positions, head_dim / 2]`; only for the tensor path.
    pub(super) angles: Option<&'a (Tensor, Tensor)>,
    /// Keys that a query sees at most.
    pub(super) window: Option<usize>,
    /// Slots per sequence in the cache.
    pub(super) capacity: usize,
    /// Place of the first of these sequences in the cache; the CPU kernels take all of them at once.
    pub(super) first: usize,
    /// Tokens of each sequence before the new ones, `[batch]`.
    pub(super) past: &'a [usize],
    /// New tokens per sequence.
    pub(super) length: usize,
    /// New tokens per sequence, from the end, whose output is needed.
    pub(super) wanted: usize,
    /// Scores that the tensor path holds at once.
    pub(super) scores: usize,
    /// These in runs of equal length; only for the tensor path.
    pub(super) runs: Vec<Run>,
}

impl Step<'_> {
    /// Mixed values of the wanted tokens, `[batch · wanted, heads · width]`, from the joint
    /// projections `[batch · length, (heads + 2 kv) · width]`.
    pub(super) fn run(
        &self,
        qkv: &Tensor,
        weights: &LayerWeights,
        (cache, layer): (&mut Cache, usize),
    ) -> Result<Tensor> {
        match cache {
            Cache::F32(slots) => self.fused(qkv, weights, (slots, layer)),
            Cache::F16(slots) => self.fused(qkv, weights, (slots, layer)),
            Cache::Bf16(slots) => self.fused(qkv, weights, (slots, layer)),
            Cache::Q8_0(slots) => self.packed(qkv, weights, slots.layer(layer)),
            Cache::Tensors(layers) => self.tensors(qkv, weights, &layers[layer]),
        }
    }

    fn fused<E: Element>(
        &self,
        qkv: &Tensor,
        weights: &LayerWeights,
        (slots, layer): (&mut Slots<E>, usize),
    ) -> Result<Tensor> {
        let norms = head_norms(weights)?;
        let qkv = floats(qkv)?;
        let (keys, values) = slots.layer(layer);
        let width = self.heads.width;
        self.write(&qkv, &norms, &mut |row, key, value| {
            let slot = row * width..(row + 1) * width;
            E::narrow(key, &mut keys[slot.clone()]);
            E::narrow(value, &mut values[slot]);
        });
        let queries = self.queries(&qkv, &norms);
        self.attend(&queries, (keys, values), self.capacity)
    }

    /// The same with a cache in blocks, which are widened for the length of this step: it takes a quarter
    /// of the room of single precision, and time instead of saving it.
    fn packed(
        &self,
        qkv: &Tensor,
        weights: &LayerWeights,
        (keys, values): (&mut [BlockQ8_0], &mut [BlockQ8_0]),
    ) -> Result<Tensor> {
        let norms = head_norms(weights)?;
        let qkv = floats(qkv)?;
        let blocks = self.heads.width / cache::BLOCK;
        self.write(&qkv, &norms, &mut |row, key, value| {
            let slot = row * blocks..(row + 1) * blocks;
            BlockQ8_0::from_float(key, &mut keys[slot.clone()]);
            BlockQ8_0::from_float(value, &mut values[slot]);
        });
        let queries = self.queries(&qkv, &norms);
        let longest = self.past.iter().max().copied().unwrap_or(0) + self.length;
        let heads = (self.past.len() * self.heads.kv, self.heads.width);
        let widened = |blocks| cache::widened(blocks, heads, (longest, self.capacity));
        self.attend(&queries, (&widened(keys), &widened(values)), longest)
    }

    /// Mixed values of the wanted tokens over keys and values with room for `capacity` tokens.
    fn attend<E: Element>(
        &self,
        queries: &[f32],
        (keys, values): (&[E], &[E]),
        capacity: usize,
    ) -> Result<Tensor> {
        let past: Vec<usize> = self
            .past
            .iter()
            .map(|past| past + self.length - self.wanted)
            .collect();
        let mixed = Attend {
            queries,
            keys,
            values,
            heads: self.heads,
            capacity,
            past: &past,
            window: self.window,
        }
        .run();
        let width = self.heads.query * self.heads.width;
        Tensor::from_vec(mixed, (past.len() * self.wanted, width), &Device::Cpu)
    }

    /// Finished queries of the wanted tokens, scaled for the softmax.
    fn queries(&self, qkv: &[f32], norms: &HeadNorms<impl Numbers>) -> Vec<f32> {
        let Heads { query, kv, width } = self.heads;
        let scale = 1.0 / (width as f32).sqrt();
        let mut queries = vec![0.0; self.past.len() * self.wanted * query * width];
        rows::each_row(&mut queries, query * width, |row, output| {
            let (sequence, token) = (row / self.wanted, row % self.wanted);
            let token = self.length - self.wanted + token;
            let start = (sequence * self.length + token) * (query + 2 * kv) * width;
            output.copy_from_slice(&qkv[start..start + query * width]);
            add(output, norms.bias(0..query * width));
            let (cos, sin) = self.rope.at(self.past[sequence] + token);
            for head in output.chunks_exact_mut(width) {
                if let Some(weight) = &norms.query {
                    rows::norm_head(head, weight, self.epsilon as f32);
                }
                rows::rotate(head, cos, sin);
                for value in head {
                    *value *= scale;
                }
            }
        });
        queries
    }

    /// Hands finished keys and the values of all new tokens to `store`, with their row in the cache.
    fn write(&self, qkv: &[f32], norms: &HeadNorms<impl Numbers>, store: &mut Store<'_>) {
        let Heads { query, kv, width } = self.heads;
        let mut row = vec![0.0; 2 * kv * width];
        for sequence in 0..self.past.len() {
            for token in 0..self.length {
                let start = ((sequence * self.length + token) * (query + 2 * kv) + query) * width;
                row.copy_from_slice(&qkv[start..start + 2 * kv * width]);
                add(
                    &mut row,
                    norms.bias(query * width..(query + 2 * kv) * width),
                );
                let position = self.past[sequence] + token;
                let (cos, sin) = self.rope.at(position);
                let (new_keys, new_values) = row.split_at_mut(kv * width);
                for head in 0..kv {
                    let range = head * width..(head + 1) * width;
                    let key = &mut new_keys[range.clone()];
                    if let Some(weight) = &norms.key {
                        rows::norm_head(key, weight, self.epsilon as f32);
                    }
                    rows::rotate(key, cos, sin);
                    let slot = (sequence * kv + head) * self.capacity + position;
                    store(slot, key, &new_values[range]);
                }
            }
        }
    }
}

/// Takes the key and the value of a row of the cache.
type Store<'a> = dyn FnMut(usize, &[f32], &[f32]) + 'a;

/// Single-precision numbers that a tensor lends.
trait Numbers: Deref<Target = [f32]> + Sync {}

impl<T: Deref<Target = [f32]> + Sync> Numbers for T {}

/// What a layer does to its heads before rotation.
struct HeadNorms<N> {
    query: Option<N>,
    key: Option<N>,
    bias: Option<N>,
}

fn head_norms(weights: &LayerWeights) -> Result<HeadNorms<impl Numbers>> {
    Ok(HeadNorms {
        query: weights.q_norm.as_ref().map(floats).transpose()?,
        key: weights.k_norm.as_ref().map(floats).transpose()?,
        bias: weights.qkv_bias.as_ref().map(floats).transpose()?,
    })
}

impl<N: Numbers> HeadNorms<N> {
    fn bias(&self, range: std::ops::Range<usize>) -> Option<&[f32]> {
        self.bias.as_ref().map(|bias| &bias[range])
    }
}

fn add(values: &mut [f32], bias: Option<&[f32]>) {
    for (value, bias) in values.iter_mut().zip(bias.unwrap_or(&[])) {
        *value += bias;
    }
}
