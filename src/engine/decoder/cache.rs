//! Keys and values of the tokens seen so far, allocated once.

use candle_core::quantized::k_quants::{BlockQ8_0, GgmlType};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;

use crate::engine::kernels::heads::Heads;
use crate::engine::{Capacity, EngineError};
use crate::study::model::CacheType;

/// The cache of all layers.
#[derive(Debug)]
pub(super) enum Cache {
    /// Slices that the CPU kernels read and write in place.
    F32(Slots<f32>),
    /// The same in half precision.
    F16(Slots<f16>),
    /// The same in bfloat16.
    Bf16(Slots<bf16>),
    /// Blocks of 32 numbers with one scale, widened when they are read.
    Q8_0(Slots<BlockQ8_0>),
    /// Tensors of the device, one pair per layer, `[batch, kv heads, context, width]`.
    Tensors(Vec<(Tensor, Tensor)>),
}

/// Keys and values of all layers on the CPU.
#[derive(Debug)]
pub(super) struct Slots<E> {
    /// `[layer, batch, kv heads, context, width]`
    keys: Vec<E>,
    /// `[layer, batch, kv heads, context, width]`
    values: Vec<E>,
    /// Numbers per layer.
    layer: usize,
}

impl<E: Clone> Slots<E> {
    fn new(layers: usize, layer: usize, empty: &E) -> Result<Self, EngineError> {
        let room = || -> Result<Vec<E>, EngineError> {
            let mut numbers = Vec::new();
            let bytes = layers * layer * size_of::<E>();
            numbers
                .try_reserve_exact(layers * layer)
                .map_err(|_| EngineError::OutOfMemory {
                    detail: format!("{bytes} bytes for half of the KV cache"),
                })?;
            // Written, not only reserved: memory that is not there shows here and not in the run.
            numbers.resize(layers * layer, empty.clone());
            Ok(numbers)
        };
        Ok(Self {
            keys: room()?,
            values: room()?,
            layer,
        })
    }

    /// Keys and values of one layer.
    pub(super) fn layer(&mut self, index: usize) -> (&mut [E], &mut [E]) {
        let range = index * self.layer..(index + 1) * self.layer;
        (&mut self.keys[range.clone()], &mut self.values[range])
    }
}

/// Numbers of a block of the quantized cache.
pub(super) const BLOCK: usize = BlockQ8_0::BLCK_SIZE;

/// The first `tokens` rows of every sequence and head of one layer in single precision,
/// `[batch, kv heads, tokens, width]`; the cache has room for `capacity` rows each.
pub(super) fn widened(
    blocks: &[BlockQ8_0],
    (heads, width): (usize, usize),
    (tokens, capacity): (usize, usize),
) -> Vec<f32> {
    let row = width / BLOCK;
    let mut numbers = vec![0.0; heads * tokens * width];
    numbers
        .par_chunks_mut(tokens * width)
        .zip(blocks.par_chunks(capacity * row))
        .for_each(|(numbers, blocks)| BlockQ8_0::to_float(&blocks[..tokens * row], numbers));
    numbers
}

/// What fixes the size of a cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Transformer layers.
    pub(super) layers: usize,
    /// Head counts.
    pub(super) heads: Heads,
    /// Type of a number.
    pub(super) held: CacheType,
}

impl Plan {
    /// Numbers in one layer's keys.
    fn layer(self, capacity: Capacity) -> usize {
        capacity.batch as usize * capacity.context as usize * self.heads.kv * self.heads.width
    }

    /// Bytes of one token of one sequence.
    pub(super) fn bytes_per_token(self) -> u64 {
        let numbers = 2 * self.layers * self.heads.kv * self.heads.width;
        self.held.bytes(numbers as u64)
    }

    /// A cache for the CPU kernels.
    pub(super) fn slots(self, capacity: Capacity) -> Result<Cache, EngineError> {
        let layer = self.layer(capacity);
        Ok(match self.held {
            CacheType::F32 => Cache::F32(Slots::new(self.layers, layer, &0.0)?),
            CacheType::F16 => Cache::F16(Slots::new(self.layers, layer, &f16::ZERO)?),
            CacheType::Bf16 => Cache::Bf16(Slots::new(self.layers, layer, &bf16::ZERO)?),
            CacheType::Q8_0 => {
                let empty = BlockQ8_0::zeros();
                Cache::Q8_0(Slots::new(self.layers, layer / BLOCK, &empty)?)
            }
        })
    }

    /// A cache of tensors on `device`, in the type of the activations.
    pub(super) fn tensors(
        self,
        capacity: Capacity,
        dtype: DType,
        device: &Device,
    ) -> Result<Cache, EngineError> {
        let Heads { kv, width, .. } = self.heads;
        let size = (
            capacity.batch as usize,
            kv,
            capacity.context as usize,
            width,
        );
        let layers = (0..self.layers)
            .map(|_| {
                let keys = Tensor::zeros(size, dtype, device)?;
                Ok((keys, Tensor::zeros(size, dtype, device)?))
            })
            .collect::<Result<_, EngineError>>()?;
        Ok(Cache::Tensors(layers))
    }
}
