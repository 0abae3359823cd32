//! Keys and values of the tokens seen so far, allocated once.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use crate::engine::kernels::attend::Heads;
use crate::engine::{Capacity, EngineError};

/// The cache of all layers.
#[derive(Debug)]
pub(super) enum Cache {
    /// Slices that the CPU kernels read and write in place.
    F32(Slots<f32>),
    /// The same in half precision.
    F16(Slots<f16>),
    /// The same in bfloat16.
    Bf16(Slots<bf16>),
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

impl<E: Copy + Default> Slots<E> {
    fn new(layers: usize, layer: usize) -> Result<Self, EngineError> {
        let room = || -> Result<Vec<E>, EngineError> {
            let mut numbers = Vec::new();
            let bytes = layers * layer * size_of::<E>();
            numbers
                .try_reserve_exact(layers * layer)
                .map_err(|_| EngineError::OutOfMemory {
                    detail: format!("{bytes} bytes for half of the KV cache"),
                })?;
            // Written, not only reserved: memory that is not there shows here and not in the run.
            numbers.resize(layers * layer, E::default());
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

/// What fixes the size of a cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Transformer layers.
    pub(super) layers: usize,
    /// Head counts.
    pub(super) heads: Heads,
    /// Type of a number.
    pub(super) dtype: DType,
}

impl Plan {
    /// Numbers in one layer's keys.
    fn layer(self, capacity: Capacity) -> usize {
        capacity.batch as usize * capacity.context as usize * self.heads.kv * self.heads.width
    }

    /// Bytes of one token of one sequence.
    pub(super) fn bytes_per_token(self) -> u64 {
        let numbers = 2 * self.layers * self.heads.kv * self.heads.width;
        (numbers * self.dtype.size_in_bytes()) as u64
    }

    /// A cache for the CPU kernels.
    pub(super) fn slots(self, capacity: Capacity) -> Result<Cache, EngineError> {
        let layer = self.layer(capacity);
        Ok(match self.dtype {
            DType::F16 => Cache::F16(Slots::new(self.layers, layer)?),
            DType::BF16 => Cache::Bf16(Slots::new(self.layers, layer)?),
            _ => Cache::F32(Slots::new(self.layers, layer)?),
        })
    }

    /// A cache of tensors on `device`.
    pub(super) fn tensors(self, capacity: Capacity, device: &Device) -> Result<Cache, EngineError> {
        let Heads { kv, width, .. } = self.heads;
        let size = (
            capacity.batch as usize,
            kv,
            capacity.context as usize,
            width,
        );
        let layers = (0..self.layers)
            .map(|_| {
                let keys = Tensor::zeros(size, self.dtype, device)?;
                Ok((keys, Tensor::zeros(size, self.dtype, device)?))
            })
            .collect::<Result<_, EngineError>>()?;
        Ok(Cache::Tensors(layers))
    }
}
