//! The full shape of a model, and what is known of a published one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An architecture that an engine knows how to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Llama 2, 3, 3.1 and later of the same build.
    Llama,
    /// Mistral 7B.
    Mistral,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Gemma (stock engine only).
    Gemma,
    /// Gemma 2 (stock engine only).
    Gemma2,
    /// Gemma 3 (stock engine only).
    Gemma3,
    /// Phi-3 and Phi-4 (stock engine only).
    Phi3,
}

/// How RoPE frequencies are stretched beyond the trained context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RopeScaling {
    /// Every frequency divided by one factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// The piecewise rule of Llama 3.1 and later.
    Llama3 {
        /// Division of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low_frequency_factor` are divided.
        low_frequency_factor: f64,
        /// Wavelengths below `original_context / high_frequency_factor` are kept.
        high_frequency_factor: f64,
        /// The context of the first training.
        original_context: u32,
    },
    /// One divisor per frequency pair, as GGUF files carry it in `rope_freqs.weight`.
    PerFrequency {
        /// `head_dim / 2` divisors.
        divisors: Vec<f32>,
    },
}

/// The full shape of a dense decoder: everything that fixes its weights and its arithmetic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Transformer layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Inner width of the gated feed-forward block.
    pub ffn: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Width of one head.
    pub head_dim: u32,
    /// Rows of the embedding.
    pub vocab: u32,
    /// Whether the output projection is the embedding.
    #[serde(default)]
    pub tied_embeddings: bool,
    /// Whether q, k and v have a bias (Qwen 2).
    #[serde(default)]
    pub qkv_bias: bool,
    /// Whether each q and k head is RMS-normalized (Qwen 3).
    #[serde(default)]
    pub qk_norm: bool,
    /// Base of the RoPE frequencies.
    pub rope_theta: f64,
    /// Stretching of the RoPE frequencies, if any.
    #[serde(default)]
    pub rope_scaling: Option<RopeScaling>,
    /// Epsilon inside the square root of RMSNorm.
    pub norm_eps: f64,
    /// Longest sequence, prompt and output together.
    pub context: u32,
    /// Width of the attention window where attention is local.
    #[serde(default)]
    pub sliding_window: Option<u32>,
}

/// One linear weight or table of a decoder, in the order in which files list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightSize {
    /// Rows, the output dimension.
    pub rows: u64,
    /// Columns, the input dimension; quantized blocks run along it.
    pub columns: u64,
    /// How many tensors of this size the model has.
    pub count: u64,
}

impl Shape {
    /// The matrices that a precision applies to, without the input embedding.
    pub fn linears(&self) -> Vec<WeightSize> {
        let q = u64::from(self.heads) * u64::from(self.head_dim);
        let kv = u64::from(self.kv_heads) * u64::from(self.head_dim);
        let (hidden, ffn, layers) = (
            u64::from(self.hidden),
            u64::from(self.ffn),
            u64::from(self.layers),
        );
        let size = |rows, columns, count| WeightSize {
            rows,
            columns,
            count,
        };
        vec![
            size(q, hidden, layers),
            size(kv, hidden, 2 * layers),
            size(hidden, q, layers),
            size(ffn, hidden, 2 * layers),
            size(hidden, ffn, layers),
            size(u64::from(self.vocab), hidden, 1),
        ]
    }

    /// Parameters in all, with a tied embedding counted once.
    pub fn parameters(&self) -> u64 {
        let head = u64::from(self.vocab) * u64::from(self.hidden);
        let linears: u64 = self
            .linears()
            .iter()
            .map(|size| size.rows * size.columns * size.count)
            .sum();
        let hidden = u64::from(self.hidden);
        let head_dim = u64::from(self.head_dim);
        let per_layer = 2 * hidden
            + if self.qk_norm { 2 * head_dim } else { 0 }
            + if self.qkv_bias {
                (u64::from(self.heads) + 2 * u64::from(self.kv_heads)) * head_dim
            } else {
                0
            };
        linears
            + if self.tied_embeddings { 0 } else { head }
            + per_layer * u64::from(self.layers)
            + hidden
    }

    /// Elements of K and V together that one token adds to the cache:
    /// `2 · layers · kv_heads · head_dim`.
    pub fn kv_elements_per_token(&self) -> u64 {
        2 * u64::from(self.layers) * u64::from(self.kv_heads) * u64::from(self.head_dim)
    }
}

/// What is known of a published model before it is downloaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// `owner/name` on the hub.
    pub repository: String,
    /// The commit that the shape was read from; absent means unpinned.
    #[serde(default)]
    pub commit: Option<String>,
    /// The architecture.
    pub family: Family,
    /// SPDX name or the licence's own.
    pub licence: String,
    /// Where the shape was read.
    pub source: String,
    /// When it was read.
    pub retrieved: jiff::civil::Date,
    /// The full shape.
    pub shape: Shape,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llama_8b() -> Shape {
        Shape {
            layers: 32,
            hidden: 4096,
            ffn: 14336,
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            vocab: 128_256,
            tied_embeddings: false,
            qkv_bias: false,
            qk_norm: false,
            rope_theta: 500_000.0,
            rope_scaling: None,
            norm_eps: 1e-5,
            context: 131_072,
            sliding_window: None,
        }
    }

    #[test]
    fn llama_3_1_8b_has_its_published_parameter_count() {
        assert_eq!(llama_8b().parameters(), 8_030_261_248);
    }

    #[test]
    fn kv_of_llama_3_1_8b_is_131072_bytes_per_token_in_bf16() {
        assert_eq!(llama_8b().kv_elements_per_token() * 2, 131_072);
    }
}
