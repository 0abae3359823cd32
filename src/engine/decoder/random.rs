//! Small random models for tests: our weights and the names of candle-transformers from one set of
//! numbers.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::engine::weights::{LayerWeights, Matrix, Stack, Weights};
use crate::study::model::{Family, Shape};

/// A shape that no dimension of which equals another by chance.
pub(crate) fn shape(family: Family) -> Shape {
    let qwen3 = family == Family::Qwen3;
    Shape {
        layers: 3,
        hidden: 128,
        ffn: 224,
        heads: 4,
        kv_heads: 2,
        head_dim: if qwen3 { 48 } else { 32 },
        vocab: 193,
        tied_embeddings: false,
        qkv_bias: family == Family::Qwen2,
        qk_norm: qwen3,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        context: 512,
        sliding_window: None,
    }
}

/// A model under the names that Hugging Face files use.
pub(crate) struct Named {
    pub(crate) family: Family,
    pub(crate) shape: Shape,
    pub(crate) tensors: HashMap<String, Tensor>,
}

impl Named {
    /// Random numbers from `seed`, matrices scaled to keep the size of what flows through.
    pub(crate) fn new(family: Family, shape: Shape, seed: u64) -> Self {
        let mut source = Source(ChaCha8Rng::seed_from_u64(seed));
        let mut tensors = HashMap::new();
        let (hidden, ffn) = (shape.hidden as usize, shape.ffn as usize);
        let q = (shape.heads * shape.head_dim) as usize;
        let kv = (shape.kv_heads * shape.head_dim) as usize;
        let vocab = shape.vocab as usize;
        let mut put =
            |name: String, tensor: Tensor| assert!(tensors.insert(name, tensor).is_none());
        put(
            "model.embed_tokens.weight".into(),
            source.matrix(vocab, hidden, (hidden as f32).sqrt()),
        );
        if !shape.tied_embeddings {
            put("lm_head.weight".into(), source.matrix(vocab, hidden, 1.0));
        }
        put("model.norm.weight".into(), source.norm(hidden));
        for layer in 0..shape.layers {
            let name = |rest: &str| format!("model.layers.{layer}.{rest}.weight");
            put(name("input_layernorm"), source.norm(hidden));
            put(name("post_attention_layernorm"), source.norm(hidden));
            for (part, rows) in [("q_proj", q), ("k_proj", kv), ("v_proj", kv)] {
                put(
                    name(&format!("self_attn.{part}")),
                    source.matrix(rows, hidden, 1.0),
                );
                if shape.qkv_bias {
                    let bias = format!("model.layers.{layer}.self_attn.{part}.bias");
                    put(bias, source.vector(rows, 0.0, 0.5));
                }
            }
            put(name("self_attn.o_proj"), source.matrix(hidden, q, 0.5));
            if shape.qk_norm {
                put(
                    name("self_attn.q_norm"),
                    source.norm(shape.head_dim as usize),
                );
                put(
                    name("self_attn.k_norm"),
                    source.norm(shape.head_dim as usize),
                );
            }
            put(name("mlp.gate_proj"), source.matrix(ffn, hidden, 1.0));
            put(name("mlp.up_proj"), source.matrix(ffn, hidden, 1.0));
            put(name("mlp.down_proj"), source.matrix(hidden, ffn, 0.5));
        }
        Self {
            family,
            shape,
            tensors,
        }
    }

    /// The same numbers as the decoder wants them, matrices through `hold`.
    pub(crate) fn weights(&self, hold: impl Fn(&Tensor) -> Matrix) -> Weights {
        let get = |name: &str| self.tensors[name].clone();
        let layers = (0..self.shape.layers)
            .map(|layer| {
                let name = |rest: &str| format!("model.layers.{layer}.{rest}");
                let weight = |rest: &str| get(&name(&format!("{rest}.weight")));
                let parts = |names: &[&str], kind: &str| {
                    let parts: Vec<Tensor> = names
                        .iter()
                        .map(|part| get(&name(&format!("{part}.{kind}"))))
                        .collect();
                    Tensor::cat(&parts, 0).unwrap()
                };
                let qkv = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];
                let head_norm = |part: &str| self.shape.qk_norm.then(|| weight(part));
                LayerWeights {
                    attention_norm: weight("input_layernorm"),
                    qkv: Stack(vec![hold(&parts(&qkv, "weight"))]),
                    qkv_bias: self.shape.qkv_bias.then(|| parts(&qkv, "bias")),
                    q_norm: head_norm("self_attn.q_norm"),
                    k_norm: head_norm("self_attn.k_norm"),
                    output: hold(&weight("self_attn.o_proj")),
                    ffn_norm: weight("post_attention_layernorm"),
                    gate_up: Stack(vec![
                        hold(&weight("mlp.gate_proj")),
                        hold(&weight("mlp.up_proj")),
                    ]),
                    down: hold(&weight("mlp.down_proj")),
                }
            })
            .collect();
        Weights {
            family: self.family,
            shape: self.shape.clone(),
            activation: DType::F32,
            embedding: hold(&get("model.embed_tokens.weight")),
            layers,
            norm: get("model.norm.weight"),
            head: (!self.shape.tied_embeddings).then(|| hold(&get("lm_head.weight"))),
        }
    }

    /// The same model with every matrix replaced by what `held` makes of it.
    pub(crate) fn map(&self, held: impl Fn(&Tensor) -> Tensor) -> Self {
        let tensors = self
            .tensors
            .iter()
            .map(|(name, tensor)| {
                (
                    name.clone(),
                    if tensor.rank() == 2 {
                        held(tensor)
                    } else {
                        tensor.clone()
                    },
                )
            })
            .collect();
        Self {
            family: self.family,
            shape: self.shape.clone(),
            tensors,
        }
    }
}

/// Holds a matrix as it is.
pub(crate) fn dense(tensor: &Tensor) -> Matrix {
    Matrix::Dense(tensor.clone())
}

/// Holds a matrix in quantized blocks.
pub(crate) fn quantized(dtype: GgmlDType) -> impl Fn(&Tensor) -> Matrix {
    move |tensor| Matrix::Quant(Arc::new(QTensor::quantize(tensor, dtype).unwrap()))
}

/// What is left of a matrix after quantization.
pub(crate) fn rounded(dtype: GgmlDType) -> impl Fn(&Tensor) -> Tensor {
    move |tensor| {
        QTensor::quantize(tensor, dtype)
            .unwrap()
            .dequantize(&Device::Cpu)
            .unwrap()
    }
}

/// Prompt ids from a seed, `[batch · length]`.
pub(crate) fn prompt(count: usize, vocab: u32, seed: u64) -> Vec<u32> {
    let mut source = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| source.next_u32() % vocab).collect()
}

struct Source(ChaCha8Rng);

impl Source {
    fn vector(&mut self, count: usize, mean: f32, spread: f32) -> Tensor {
        let values: Vec<f32> = (0..count)
            .map(|_| {
                // The sum of twelve uniform numbers is close to normal.
                let sum: f32 = (0..12)
                    .map(|_| self.0.next_u32() as f32 / u32::MAX as f32)
                    .sum();
                mean + spread * (sum - 6.0)
            })
            .collect();
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    fn matrix(&mut self, rows: usize, columns: usize, gain: f32) -> Tensor {
        let spread = gain / (columns as f32).sqrt();
        self.vector(rows * columns, 0.0, spread)
            .reshape((rows, columns))
            .unwrap()
    }

    fn norm(&mut self, width: usize) -> Tensor {
        self.vector(width, 1.0, 0.2)
    }
}
