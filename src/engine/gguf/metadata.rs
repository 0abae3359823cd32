//! From the metadata of a GGUF file to family and shape.

use super::header::Header;
use super::reader::{Refusal, Value};
use crate::engine::cards::Architecture;
use crate::engine::config;
use crate::study::model::{Family, RopeScaling, Shape};

/// Architectures by the name that the file gives.
const SUPPORTED: [(&str, Family); 3] = [
    ("llama", Family::Llama),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen3),
];

/// Keys that change the arithmetic in ways that are not implemented, unless they are 0 or 1.
const NEUTRAL_ONLY: [&str; 9] = [
    "attention.scale",
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
    "rope.scaling.attn_factor",
];

/// The tensor that holds the RoPE divisors.
pub(crate) const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// Reads family and shape; `divisors` are the contents of [`ROPE_DIVISORS`].
pub(crate) fn architecture(
    header: &Header,
    divisors: Option<Vec<f32>>,
) -> Result<Architecture, Refusal> {
    let keys = Keys::new(header)?;
    keys.refuse_variants()?;
    let (vocab, hidden) = embedding_dims(header)?;
    let heads = keys.integer("attention.head_count")?;
    let head_dim = keys.head_dim(hidden, heads)?;
    let shape = Shape {
        layers: keys.integer("block_count")?,
        hidden,
        ffn: keys.integer("feed_forward_length")?,
        heads,
        kv_heads: keys.optional("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        vocab,
        tied_embeddings: !header.tensors.contains_key("output.weight"),
        qkv_bias: keys.family == Family::Qwen2,
        qk_norm: keys.family == Family::Qwen3,
        rope_theta: keys.float("rope.freq_base").unwrap_or(10_000.0),
        rope_scaling: keys.rope_scaling(divisors)?,
        norm_eps: round_to_decimal(keys.needed(
            "attention.layer_norm_rms_epsilon",
            keys.float("attention.layer_norm_rms_epsilon"),
        )?),
        context: keys.integer("context_length")?,
        sliding_window: keys
            .optional("attention.sliding_window")?
            .filter(|width| *width > 0),
    };
    if keys.integer("embedding_length")? != hidden {
        return Err(keys.refuse(
            "embedding_length",
            "differs from the rows of token_embd.weight",
        ));
    }
    match config::impossible(&shape) {
        Some(reason) => Err(Refusal::new("metadata", reason)),
        None => Ok(Architecture {
            family: keys.family,
            shape,
        }),
    }
}

/// `[vocabulary, hidden]` of the embedding, which must hold every token of the file's vocabulary.
fn embedding_dims(header: &Header) -> Result<(u32, u32), Refusal> {
    const NAME: &str = "token_embd.weight";
    let place = format!("tensor {NAME}");
    let dims = header
        .tensors
        .get(NAME)
        .map(|tensor| tensor.dims.as_slice());
    let Some(&[rows, columns]) = dims else {
        return Err(Refusal::new(place, "missing or not a matrix"));
    };
    let (Ok(vocab), Ok(hidden)) = (u32::try_from(rows), u32::try_from(columns)) else {
        return Err(Refusal::new(
            place,
            format!("shape [{rows}, {columns}] is too large"),
        ));
    };
    match header.metadata.get("tokenizer.ggml.tokens") {
        Some(Value::Array { count, .. }) if *count > rows => Err(Refusal::new(
            "key tokenizer.ggml.tokens",
            format!("{count} tokens, but the embedding has {rows} rows"),
        )),
        _ => Ok((vocab, hidden)),
    }
}

/// GGUF keeps epsilon as F32; the decimal number that it came from is the shortest that rounds to it.
fn round_to_decimal(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}

/// The metadata under the prefix of the architecture.
struct Keys<'a> {
    header: &'a Header,
    name: &'a str,
    family: Family,
}

impl<'a> Keys<'a> {
    fn new(header: &'a Header) -> Result<Self, Refusal> {
        const KEY: &str = "general.architecture";
        let Some(Value::Text(Some(name))) = header.metadata.get(KEY) else {
            return Err(Refusal::new(format!("key {KEY}"), "missing or not a text"));
        };
        let family = SUPPORTED
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, family)| *family);
        let Some(family) = family else {
            let supported = SUPPORTED.map(|(known, _)| known).join(", ");
            return Err(Refusal::new(
                format!("key {KEY}"),
                format!("{name:?} is not supported; supported are {supported}"),
            ));
        };
        Ok(Self {
            header,
            name,
            family,
        })
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.header.metadata.get(&format!("{}.{key}", self.name))
    }

    fn refuse(&self, key: &str, reason: impl Into<String>) -> Refusal {
        Refusal::new(format!("key {}.{key}", self.name), reason)
    }

    fn needed<T>(&self, key: &str, value: Option<T>) -> Result<T, Refusal> {
        value.ok_or_else(|| self.refuse(key, "missing or not a number"))
    }

    fn integer(&self, key: &str) -> Result<u32, Refusal> {
        let value = self.optional(key)?;
        self.needed(key, value)
    }

    /// An integer, or an array that says the same for every layer.
    fn optional(&self, key: &str) -> Result<Option<u32>, Refusal> {
        let value = match self.get(key) {
            None => return Ok(None),
            Some(Value::Integer(value)) => u32::try_from(*value).ok(),
            Some(Value::Array {
                numbers: Some(numbers),
                ..
            }) => match numbers.split_first() {
                Some((first, rest))
                    if rest.iter().all(|other| other.to_bits() == first.to_bits()) =>
                {
                    u32::try_from(*first as i64).ok()
                }
                _ => return Err(self.refuse(key, "differs by layer, which is not supported")),
            },
            Some(Value::Float(_) | Value::Bool(_) | Value::Text(_) | Value::Array { .. }) => None,
        };
        value
            .map(Some)
            .ok_or_else(|| self.refuse(key, "not an integer within 32 bits"))
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.get(key).and_then(Value::number)
    }

    /// The size of a head, which keys, values and the rotated part must share.
    fn head_dim(&self, hidden: u32, heads: u32) -> Result<u32, Refusal> {
        let key_length = self.optional("attention.key_length")?;
        let Some(head_dim) = key_length.or_else(|| hidden.checked_div(heads)) else {
            return Err(self.refuse("attention.head_count", "0 heads"));
        };
        if key_length.is_none() && !hidden.is_multiple_of(heads) {
            return Err(self.refuse(
                "attention.head_count",
                format!("{heads} heads do not divide the embedding length {hidden}"),
            ));
        }
        for key in ["attention.value_length", "rope.dimension_count"] {
            if let Some(other) = self.optional(key)?.filter(|other| *other != head_dim) {
                return Err(self.refuse(
                    key,
                    format!(
                        "{other} differs from the head size {head_dim}, which is not supported"
                    ),
                ));
            }
        }
        Ok(head_dim)
    }

    fn rope_scaling(&self, divisors: Option<Vec<f32>>) -> Result<Option<RopeScaling>, Refusal> {
        let kind = match self.get("rope.scaling.type") {
            Some(Value::Text(Some(kind))) => kind.as_str(),
            Some(_) => return Err(self.refuse("rope.scaling.type", "not a text")),
            None if self.get("rope.scale_linear").is_some() => "linear",
            None => "none",
        };
        let factor = match kind {
            "none" => 1.0,
            "linear" => self.needed(
                "rope.scaling.factor",
                self.float("rope.scaling.factor")
                    .or(self.float("rope.scale_linear")),
            )?,
            unknown => {
                return Err(self.refuse(
                    "rope.scaling.type",
                    format!("{unknown:?} is not supported; none and linear are"),
                ));
            }
        };
        let stretched = (factor - 1.0).abs() > 0.0;
        Ok(match divisors {
            Some(divisors) => Some(RopeScaling::PerFrequency {
                divisors: divisors
                    .iter()
                    .map(|divisor| divisor * factor as f32)
                    .collect(),
            }),
            None => stretched.then_some(RopeScaling::Linear { factor }),
        })
    }

    /// Refuses what the architecture allows and the decoder does not compute.
    fn refuse_variants(&self) -> Result<(), Refusal> {
        if let Some(experts) = self.float("expert_count").filter(|experts| *experts > 0.0) {
            return Err(self.refuse(
                "expert_count",
                format!("{experts} experts are not supported"),
            ));
        }
        for key in NEUTRAL_ONLY {
            let neutral = |value: &f64| [0.0, 1.0].map(f64::to_bits).contains(&value.to_bits());
            if let Some(value) = self.float(key).filter(|value| !neutral(value)) {
                return Err(self.refuse(key, format!("{value} is not supported")));
            }
        }
        match self.get("attention.causal") {
            Some(Value::Bool(false)) => Err(self.refuse(
                "attention.causal",
                "attention without a mask is not supported",
            )),
            _ => Ok(()),
        }
    }
}
