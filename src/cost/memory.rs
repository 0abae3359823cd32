//! What fits into a card's memory, and how fast the card could run it at best.

use crate::catalog::book::GpuCard;
use crate::study::model::{Precision, Shape};

/// Bytes in a GiB.
pub const GIB: f64 = 1_073_741_824.0;
const MIB_PER_GIB: f64 = 1_024.0;
/// Tokens of one block of the paged KV cache, the size common to serving engines.
const KV_BLOCK_TOKENS: f64 = 16.0;
/// KV tokens below which a fit starts but serves hardly anyone.
pub const SERVING_KV_TOKENS: f64 = 16_384.0;
/// Numbers of cards over which engines split a model.
const SPLITS: [u32; 4] = [1, 2, 4, 8];

/// What has to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint {
    /// Bytes of the weights.
    pub weight_bytes: f64,
    /// Bytes that one token adds to the KV cache.
    pub kv_bytes_per_token: f64,
}

/// How much memory the engine may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    /// Cards.
    pub gpus: f64,
    /// Memory of one.
    pub gib_per_gpu: f64,
    /// Share of it that the engine may take.
    pub utilization: f64,
    /// What is neither weights nor cache, per card.
    pub overhead_gib_per_gpu: f64,
}

/// Whether and how well it fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Weights.
    pub weights_gib: f64,
    /// What is left for the cache; negative when the weights do not fit.
    pub kv_gib: f64,
    /// Tokens that the cache holds.
    pub kv_tokens: f64,
}

/// `parameters · bits / 8`.
pub fn weight_bytes(parameters: f64, bits_per_weight: f64) -> f64 {
    parameters * bits_per_weight / 8.0
}

impl Footprint {
    /// The footprint of a shape at two precisions on `gpus` cards; KV heads are replicated where
    /// there are more cards than heads. [`Precision::Native`] counts as 16 bits.
    pub fn of(shape: &Shape, weights: Precision, kv: Precision, gpus: u32) -> Self {
        let heads = f64::from(shape.kv_heads.max(1));
        let copies = (f64::from(gpus) / heads).max(1.0);
        Self {
            weight_bytes: weight_bytes(shape.parameters() as f64, bits(weights)),
            kv_bytes_per_token: shape.kv_elements_per_token() as f64 * bits(kv) / 8.0 * copies,
        }
    }

    /// How it fits into some room.
    pub fn fit(&self, room: Room) -> Fit {
        let weights_gib = self.weight_bytes / GIB;
        let kv_gib = room.gpus * room.gib_per_gpu * room.utilization
            - weights_gib
            - room.gpus * room.overhead_gib_per_gpu;
        let tokens = (kv_gib * GIB / self.kv_bytes_per_token).floor();
        Fit {
            weights_gib,
            kv_gib,
            // Weights that do not fit leave no token, not a negative number of them.
            kv_tokens: tokens.max(0.0),
        }
    }

    /// The fewest cards of 1, 2, 4 or 8 that hold the model and a cache of [`SERVING_KV_TOKENS`].
    pub fn fewest_gpus(&self, room: Room) -> Option<u32> {
        SPLITS.into_iter().find(|gpus| {
            let gpus = f64::from(*gpus);
            self.fit(Room { gpus, ..room }).kv_tokens >= SERVING_KV_TOKENS
        })
    }
}

impl Fit {
    /// Whether the weights leave any cache at all.
    pub fn fits(&self) -> bool {
        self.kv_tokens > 0.0
    }

    /// Sequences that surely find room beside one shared prefix: whole blocks for each at its full
    /// length, as if it shared nothing.
    pub fn sequences(&self, tokens_per_sequence: f64, shared_prefix: f64) -> f64 {
        let blocks = (tokens_per_sequence.max(1.0) / KV_BLOCK_TOKENS).ceil() * KV_BLOCK_TOKENS;
        let free = self.kv_tokens - shared_prefix;
        if free > 0.0 {
            (free / blocks).floor()
        } else {
            0.0
        }
    }
}

/// Bits per weight of a precision.
pub fn bits(precision: Precision) -> f64 {
    precision
        .block()
        .map_or(16.0, |block| block.bytes as f64 * 8.0 / block.length as f64)
}

/// Memory of a card in GiB.
pub fn gib(card: &GpuCard) -> f64 {
    card.vram_mib as f64 / MIB_PER_GIB
}

/// What no engine on these cards can exceed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Decoded tokens per second: every step reads the weights once for the whole batch. The input
    /// embedding is a look-up and is left out; speculative decoding is not covered.
    pub decode_tokens_per_second: f64,
    /// Prefilled tokens per second at the dense peak of the number format; `None` for quantized
    /// weights, whose arithmetic may be faster than 16-bit.
    pub prefill_tokens_per_second: Option<f64>,
}

impl Roofline {
    /// The roofline of a shape on `gpus` cards at a batch size.
    pub fn new(card: &GpuCard, gpus: f64, model: (&Shape, Precision), batch_size: f64) -> Self {
        let (shape, precision) = model;
        let read: f64 = shape
            .linears()
            .iter()
            .map(|size| (size.rows * size.columns * size.count) as f64)
            .sum::<f64>()
            * bits(precision)
            / 8.0;
        let bandwidth = gpus * card.bandwidth_bytes_per_second as f64;
        let dtype = match precision {
            Precision::F16 => Some("f16"),
            Precision::Bf16 | Precision::Native => Some("bf16"),
            Precision::F32 => Some("f32"),
            Precision::Q8_0
            | Precision::Q6K
            | Precision::Q5K
            | Precision::Q4K
            | Precision::Q3K
            | Precision::Q2K
            | Precision::Q5_1
            | Precision::Q5_0
            | Precision::Q4_1
            | Precision::Q4_0 => None,
        };
        // Logits are needed of the last position only, so the output projection does not bound prefill.
        let head = f64::from(shape.vocab) * f64::from(shape.hidden);
        let flop_per_token = 2.0 * (read * 8.0 / bits(precision) - head);
        Self {
            decode_tokens_per_second: batch_size * bandwidth / read,
            prefill_tokens_per_second: dtype
                .and_then(|dtype| card.flop_per_second(dtype))
                .map(|peak| gpus * peak / flop_per_token),
        }
    }
}
