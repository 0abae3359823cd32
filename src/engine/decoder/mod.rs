//! Our decoder: one data-driven forward pass for every dense family, fused on the CPU.
//!
//! `reserve` allocates the KV cache once. A step takes the new ids of every sequence, writes their keys
//! and values, and returns logits of the last position; prefill and decode differ only in how many new
//! tokens there are. In the last layer nothing after the cache is computed for positions whose logits
//! nobody reads.

mod attention;
mod cache;
mod facts;
mod operators;
mod pass;
#[cfg(test)]
pub(super) mod random;
pub(crate) mod reference;
pub(super) mod rope;
mod sight;
mod tensors;
#[cfg(test)]
mod tests;

use candle_core::{D, DType, Device, Tensor};

use self::cache::Cache;
use self::facts::Sizes;
use self::operators::Operators;
use self::pass::AtOnce;
use self::rope::Rope;
use crate::clock::Clock;
use crate::engine::generate::{Forward, generate, relative_error};
use crate::engine::kernels::heads::Heads;
use crate::engine::weights::{Matrix, Weights};
use crate::engine::{
    Capacity, Engine, EngineError, Progress, Prompts, Scorer, TokenId, Trace, Visit, device,
};
use crate::record::machine::DeviceKind;
use crate::record::observation::{Accuracy, EngineFacts};
use crate::study::model::{CacheType, Family};
use crate::study::workload;

/// Decode steps that the check of logits covers after the prefill.
const CHECKED_STEPS: usize = workload::CHECKED_STEPS as usize;
/// Weights of a card that the check copies to the CPU, so that nothing of the card computes what is compared
/// with; larger ones would take too long there.
const CHECKED_ON_CPU: u64 = 256 << 20;
/// Largest relative L2 error of logits that counts as the same arithmetic, for dense weights and
/// single-precision activations: summation order alone makes about 1e-6.
const BOUND_F32: f64 = 1e-4;
/// The same where activations are quantized to eight bits in each product (GGML's Q8 types): half a
/// percent per product, more where random weights amplify it. A wrong angle or mask makes 0.3 and more.
const BOUND_QUANTIZED: f64 = 0.10;
/// The same for half-precision activations, eleven bits of mantissa.
const BOUND_F16: f64 = 0.03;
/// The same for bfloat16 activations, eight bits of mantissa.
const BOUND_BF16: f64 = 0.10;

/// A loaded model and the room for its sequences.
#[derive(Debug)]
pub(crate) struct Decoder {
    weights: Weights,
    device: Device,
    operators: Operators,
    heads: Heads,
    sizes: Sizes,
    memory: device::ProcessMemory,
    plan: cache::Plan,
    at_once: AtOnce,
    room: Option<Room>,
}

/// What `reserve` allocates.
#[derive(Debug)]
struct Room {
    capacity: Capacity,
    cache: Cache,
    rope: Rope,
    /// The table of angles on the device, where candle's operations read it.
    angles: Option<(Tensor, Tensor)>,
    /// Tokens in the cache, per sequence of the running generation.
    past: Vec<usize>,
}

impl Decoder {
    /// A decoder of these weights, which lie on `device`.
    #[cfg(test)]
    pub(crate) fn new(weights: Weights, device: Device) -> Result<Self, EngineError> {
        Self::caching(weights, device, None)
    }

    /// The same with keys and values cached in a type of choice.
    pub(crate) fn caching(
        weights: Weights,
        device: Device,
        held: Option<CacheType>,
    ) -> Result<Self, EngineError> {
        let operators = if device.is_cpu() {
            Operators::Fused
        } else {
            Operators::Candle
        };
        Self::with_operators(weights, device, (operators, held))
    }

    fn with_operators(
        mut weights: Weights,
        device: Device,
        (operators, held): (Operators, Option<CacheType>),
    ) -> Result<Self, EngineError> {
        let shape = &weights.shape;
        match weights.family {
            Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3 => {}
            Family::Gemma | Family::Gemma2 | Family::Gemma3 | Family::Phi3 => {
                return Err(EngineError::Unsupported {
                    reason: format!(
                        "the decoder does not run {:?}; use --engine stock",
                        weights.family
                    ),
                });
            }
        }
        let heads = Heads {
            query: shape.heads as usize,
            kv: shape.kv_heads as usize,
            width: shape.head_dim as usize,
        };
        if heads.kv == 0 || !heads.query.is_multiple_of(heads.kv) || !heads.width.is_multiple_of(2)
        {
            return Err(EngineError::Unsupported {
                reason: format!(
                    "{} query heads over {} key-value heads of width {}",
                    heads.query, heads.kv, heads.width
                ),
            });
        }
        let plan = cache::Plan {
            layers: weights.layers.len(),
            heads,
            held: cache_type(&weights, operators, held)?,
        };
        let sizes = Sizes::of(&weights);
        if operators == Operators::Fused {
            widen_small(&mut weights)?;
        }
        let memory = device::process_memory();
        Ok(Self {
            weights,
            device,
            operators,
            heads,
            sizes,
            memory,
            plan,
            at_once: AtOnce::default(),
            room: None,
        })
    }

    /// The output projection.
    fn head(&self) -> &Matrix {
        self.weights
            .head
            .as_ref()
            .unwrap_or(&self.weights.embedding)
    }

    fn make_room(&self, capacity: Capacity) -> Result<Room, EngineError> {
        let rope = Rope::new(&self.weights.shape, capacity.context as usize);
        let (cache, angles) = match self.operators {
            Operators::Fused => (self.plan.slots(capacity)?, None),
            Operators::Candle => {
                let size = (capacity.context as usize, rope.pairs);
                let table = |values: &[f32]| Tensor::from_slice(values, size, &self.device);
                let angles = (table(&rope.cos)?, table(&rope.sin)?);
                let activation = self.weights.activation;
                let tensors = self.plan.tensors(capacity, activation, &self.device)?;
                (tensors, Some(angles))
            }
        };
        Ok(Room {
            capacity,
            cache,
            rope,
            angles,
            past: Vec::new(),
        })
    }

    /// Empties the cache for `batch` sequences that will grow to `context` tokens.
    pub(in crate::engine) fn begin(
        &mut self,
        batch: usize,
        context: usize,
    ) -> Result<(), EngineError> {
        let Some(room) = &mut self.room else {
            return Err(no_room("nothing reserved"));
        };
        let Capacity {
            batch: most,
            context: longest,
        } = room.capacity;
        if batch > most as usize || context > longest as usize {
            return Err(no_room(&format!(
                "{batch} sequences of {context} tokens, reserved are {most} of {longest}"
            )));
        }
        room.past = vec![0; batch];
        Ok(())
    }

    /// Refuses ids that the vocabulary does not have.
    fn admit(&self, ids: &[TokenId]) -> Result<(), EngineError> {
        match ids.iter().find(|id| **id >= self.weights.shape.vocab) {
            None => Ok(()),
            Some(id) => Err(EngineError::Unsupported {
                reason: format!("token {id} in a vocabulary of {}", self.weights.shape.vocab),
            }),
        }
    }

    /// What the check allows at this precision.
    fn bound(&self) -> f64 {
        let activations = match (self.operators, self.weights.activation) {
            (Operators::Candle, DType::F16) => BOUND_F16,
            (Operators::Candle, DType::BF16) => BOUND_BF16,
            _ => BOUND_F32,
        };
        let cached = match self.plan.held {
            CacheType::F32 => BOUND_F32,
            CacheType::F16 => BOUND_F16,
            CacheType::Bf16 => BOUND_BF16,
            CacheType::Q8_0 => BOUND_QUANTIZED,
        };
        let quantized = if self.weights.is_quantized() {
            BOUND_QUANTIZED
        } else {
            BOUND_F32
        };
        activations.max(cached).max(quantized)
    }

    /// Where the reference runs.
    fn witness(&self) -> Device {
        if self.sizes.bytes <= CHECKED_ON_CPU {
            Device::Cpu
        } else {
            self.device.clone()
        }
    }

    /// Largest relative L2 error of the timed path against the reference; `None` when not finite.
    fn compare(
        &mut self,
        prompts: &Prompts,
        progress: &Progress,
    ) -> Result<Option<f64>, EngineError> {
        let (batch, length) = (prompts.batch(), prompts.length());
        self.admit(prompts.ids())?;
        self.begin(batch, length + CHECKED_STEPS)?;
        let mut rows = vec![0, batch / 2, batch - 1];
        rows.dedup();
        let mut sequences: Vec<Vec<TokenId>> = rows
            .iter()
            .map(|row| prompts.ids()[row * length..(row + 1) * length].to_vec())
            .collect();
        let mut ids = Tensor::new(prompts.ids(), &self.device)?;
        let mut timed = Vec::new();
        for step in 0..=CHECKED_STEPS {
            let logits = self.forward(&ids, progress)?;
            ids = logits.argmax(D::Minus1)?;
            if step < CHECKED_STEPS {
                let chosen = ids.to_vec1::<TokenId>()?;
                for (sequence, row) in sequences.iter_mut().zip(&rows) {
                    sequence.push(chosen[*row]);
                }
            }
            timed.push(logits);
        }
        let witness = self.witness();
        let weights = self.weights.on(&witness)?;
        let mut largest = Some(0.0_f64);
        for (sequence, row) in sequences.iter().zip(&rows) {
            let wanted = timed.len();
            let expected = reference::logits(&weights, (sequence, wanted), &witness, progress)?;
            for (step, logits) in timed.iter().enumerate() {
                let error = relative_error(&logits.get(*row)?, &expected.get(step)?)?;
                largest = largest.zip(error).map(|(a, b)| a.max(b));
            }
        }
        Ok(largest)
    }
}

impl Forward for Decoder {
    fn forward(&mut self, ids: &Tensor, progress: &Progress) -> Result<Tensor, EngineError> {
        let hidden = self.advance(ids, 1, progress)?;
        self.logits(&hidden)
    }
}

impl Scorer for Decoder {
    fn score(
        &mut self,
        window: &[TokenId],
        first: usize,
        progress: &Progress,
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        self.admit(window)?;
        self.begin(1, window.len())?;
        if first + 1 >= window.len() {
            return Ok(());
        }
        let device = self.device.clone();
        device.with_context(|| self.visit_places((window, first), progress, visit))
    }
}

impl Engine for Decoder {
    fn describe(&self) -> EngineFacts {
        let shape = &self.weights.shape;
        let kv_bytes_per_token = self.plan.bytes_per_token();
        let allocated = self.room.as_ref().map_or(0, |room| {
            u64::from(room.capacity.batch) * u64::from(room.capacity.context) * kv_bytes_per_token
        });
        let activation = match self.operators {
            Operators::Fused => DType::F32,
            Operators::Candle => self.weights.activation,
        };
        EngineFacts {
            weight_type: self.sizes.weight_type.clone(),
            bits_per_weight: self.sizes.bits_per_weight,
            activation_dtype: facts::dtype_word(activation).to_owned(),
            kv_dtype: self.plan.held.to_string(),
            weight_bytes: self.sizes.bytes,
            weight_bytes_per_step: self.sizes.bytes_per_step,
            kv_bytes_per_token,
            kv_allocated_bytes: allocated,
            flop_per_token: 2 * self.sizes.multiplied,
            // A product with the key and one with the value, two operations per number.
            flop_per_token_and_context: 4
                * u64::from(shape.layers)
                * u64::from(shape.heads)
                * u64::from(shape.head_dim),
            resident_bytes: self.memory.anonymous,
            peak_resident_bytes: self.memory.peak,
        }
    }

    fn reserve(&mut self, capacity: Capacity) -> Result<(), EngineError> {
        let shape = &self.weights.shape;
        if capacity.batch == 0 || capacity.context == 0 || capacity.context > shape.context {
            return Err(no_room(&format!(
                "{} sequences of {} tokens; the model's context is {}",
                capacity.batch, capacity.context, shape.context
            )));
        }
        self.room = None;
        // Pieces of earlier rooms that the pool kept may be of no use to this one.
        let room = match self.make_room(capacity) {
            Err(EngineError::OutOfMemory { .. }) if device::trim(&self.device) => {
                self.make_room(capacity)
            }
            made => made,
        };
        self.room = Some(room?);
        Ok(())
    }

    fn generate(
        &mut self,
        prompts: &Prompts,
        tokens: usize,
        clock: &dyn Clock,
        progress: &Progress,
    ) -> Result<Trace, EngineError> {
        self.admit(prompts.ids())?;
        self.begin(prompts.batch(), prompts.length() + tokens.saturating_sub(1))?;
        let device = self.device.clone();
        device.with_context(|| generate(self, &device, (prompts, tokens), (clock, progress)))
    }

    fn check(&mut self, prompts: &Prompts, progress: &Progress) -> Result<Accuracy, EngineError> {
        let device = self.device.clone();
        let relative_error = device.with_context(|| self.compare(prompts, progress))?;
        Ok(Accuracy {
            batch: prompts.batch() as u32,
            relative_error,
            bound: self.bound(),
            reference_on: (!self.device.is_cpu() && self.witness().is_cpu())
                .then_some(DeviceKind::Cpu),
        })
    }

    fn peak_memory(&mut self) -> Option<u64> {
        device::peak_memory(&self.device)
    }
}

/// The type of the KV cache. Where nothing is asked for it is that of the activations on a card, and on
/// the CPU that of the weights, half precision beside quantized ones.
fn cache_type(
    weights: &Weights,
    operators: Operators,
    asked: Option<CacheType>,
) -> Result<CacheType, EngineError> {
    let own = match (operators, weights.linears().next()) {
        (Operators::Candle, _) => dense_cache(weights.activation),
        (Operators::Fused, _) if weights.is_quantized() => CacheType::F16,
        (Operators::Fused, Some(Matrix::Dense(matrix))) => dense_cache(matrix.dtype()),
        (Operators::Fused, Some(Matrix::Quant(_)) | None) => CacheType::F32,
    };
    let width = weights.shape.head_dim as usize;
    let refuse = |reason: String| Err(EngineError::Unsupported { reason });
    match (operators, asked) {
        (_, None) => Ok(own),
        (Operators::Candle, Some(asked)) if asked != own => refuse(format!(
            "a KV cache in {asked} on this device; it is that of the activations, {own}"
        )),
        (_, Some(CacheType::Q8_0)) if !width.is_multiple_of(cache::BLOCK) => refuse(format!(
            "a KV cache in q8_0 with heads of width {width}, which is no multiple of {}",
            cache::BLOCK
        )),
        (_, Some(asked)) => Ok(asked),
    }
}

fn dense_cache(dtype: DType) -> CacheType {
    match dtype {
        DType::F16 => CacheType::F16,
        DType::BF16 => CacheType::Bf16,
        _ => CacheType::F32,
    }
}

/// Norms and biases in single precision, as the kernels read them.
fn widen_small(weights: &mut Weights) -> Result<(), EngineError> {
    let widen = |tensor: &mut Tensor| -> Result<(), EngineError> {
        *tensor = tensor.to_dtype(DType::F32)?.contiguous()?;
        Ok(())
    };
    for layer in &mut weights.layers {
        widen(&mut layer.attention_norm)?;
        widen(&mut layer.ffn_norm)?;
        for tensor in [&mut layer.qkv_bias, &mut layer.q_norm, &mut layer.k_norm]
            .into_iter()
            .flatten()
        {
            widen(tensor)?;
        }
    }
    widen(&mut weights.norm)?;
    weights.activation = DType::F32;
    Ok(())
}

fn no_room(what: &str) -> EngineError {
    EngineError::Unsupported {
        reason: format!("no room in the KV cache: {what}"),
    }
}
