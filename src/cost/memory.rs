//! What fits into a card's memory.

use crate::catalog::book::GpuCard;
use crate::study::model::{Precision, Shape};

/// Bytes in a GiB.
pub const GIB: f64 = 1_073_741_824.0;
const MIB_PER_GIB: f64 = 1_024.0;
/// Tokens of one block of the paged KV cache, the size common to serving engines.
const KV_BLOCK_TOKENS: f64 = 16.0;
/// KV tokens below which a fit starts but serves hardly anyone.
pub const SERVING_KV_TOKENS: f64 = 16_384.0;
/// Prompt tokens that engines batch together by default.
const BATCHED_TOKENS: f64 = 8_192.0;
/// Contexts, graphs and workspaces of one card, taken high.
const WORKSPACE_GIB: f64 = 3.5;
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

/// What a serving engine takes on each card besides weights and cache, taken high: contexts and
/// workspaces, the buffers between cards, and activations of a batch of prompts of
/// `BATCHED_TOKENS`. Source: the constants of AIConfigurator's memory model.
pub fn conservative_overhead_gib(gpus: u32, hidden: u32) -> f64 {
    let (between_cards_mib, activations) = match gpus {
        0 | 1 => (0.0, 10.0),
        2 | 3 => (342.0, 6.0),
        _ => (392.0, 5.0),
    };
    let activation_bytes = 2.0 * BATCHED_TOKENS * f64::from(hidden) * activations;
    WORKSPACE_GIB + between_cards_mib / MIB_PER_GIB + activation_bytes / GIB
}

/// Bytes of one token in the cache of a model with latent attention:
/// `layers · (latent rank + positional width) · bits / 8`, shared by all heads. No [`Shape`] has latent
/// attention yet; the arithmetic reference asks for the number, and this is what gives it.
pub fn latent_kv_bytes_per_token(layers: u32, rank: u32, positional: u32, bits: f64) -> f64 {
    f64::from(layers) * f64::from(rank + positional) * bits / 8.0
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
