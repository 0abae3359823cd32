//! The tensors of a dense decoder: which a shape has, their sizes, and their names in each file format.

use super::Shape;

/// One tensor of a decoder, whatever a file calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    /// Input embedding.
    Embedding,
    /// A tensor of one layer.
    Layer(u32, Part),
    /// Last RMSNorm.
    Norm,
    /// Output projection.
    Head,
}

/// One tensor of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// RMSNorm before attention.
    AttentionNorm,
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Bias of the query projection.
    QueryBias,
    /// Bias of the key projection.
    KeyBias,
    /// Bias of the value projection.
    ValueBias,
    /// RMSNorm of each query head.
    QueryNorm,
    /// RMSNorm of each key head.
    KeyNorm,
    /// Attention output projection.
    Output,
    /// RMSNorm before the feed-forward block.
    FfnNorm,
    /// Gate projection.
    Gate,
    /// Up projection.
    Up,
    /// Down projection.
    Down,
}

/// Dimensions of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dims {
    /// Norms and biases.
    Vector(usize),
    /// `[rows, columns]`, output times input.
    Matrix {
        /// Output dimension.
        rows: usize,
        /// Input dimension.
        columns: usize,
    },
}

impl Dims {
    /// The same as a list, outermost first.
    pub(crate) fn list(self) -> Vec<usize> {
        match self {
            Self::Vector(length) => vec![length],
            Self::Matrix { rows, columns } => vec![rows, columns],
        }
    }

    /// Elements along the first dimension.
    pub(crate) fn rows(self) -> usize {
        match self {
            Self::Vector(length) => length,
            Self::Matrix { rows, .. } => rows,
        }
    }

    /// Elements of one row.
    pub(crate) fn columns(self) -> usize {
        match self {
            Self::Vector(_) => 1,
            Self::Matrix { columns, .. } => columns,
        }
    }
}

impl Slot {
    /// Every tensor of a model of this shape.
    pub(crate) fn all(shape: &Shape) -> Vec<Self> {
        let parts = Part::all(shape);
        let mut slots = vec![Self::Embedding];
        for layer in 0..shape.layers {
            slots.extend(parts.iter().map(|&part| Self::Layer(layer, part)));
        }
        slots.push(Self::Norm);
        if !shape.tied_embeddings {
            slots.push(Self::Head);
        }
        slots
    }

    /// Its dimensions in a model of this shape.
    pub(crate) fn dims(self, shape: &Shape) -> Dims {
        match self {
            Self::Embedding | Self::Head => Dims::Matrix {
                rows: shape.vocab as usize,
                columns: shape.hidden as usize,
            },
            Self::Norm => Dims::Vector(shape.hidden as usize),
            Self::Layer(_, part) => part.dims(shape),
        }
    }

    /// Its name in a safetensors checkpoint.
    pub(crate) fn checkpoint_name(self) -> String {
        match self {
            Self::Embedding => "model.embed_tokens.weight".to_owned(),
            Self::Norm => "model.norm.weight".to_owned(),
            Self::Head => "lm_head.weight".to_owned(),
            Self::Layer(layer, part) => format!("model.layers.{layer}.{}", part.checkpoint_name()),
        }
    }

    /// Its name in a GGUF file.
    pub(crate) fn gguf_name(self) -> String {
        match self {
            Self::Embedding => "token_embd.weight".to_owned(),
            Self::Norm => "output_norm.weight".to_owned(),
            Self::Head => "output.weight".to_owned(),
            Self::Layer(layer, part) => format!("blk.{layer}.{}", part.gguf_name()),
        }
    }
}

impl Part {
    fn all(shape: &Shape) -> Vec<Self> {
        let mut parts = vec![Self::AttentionNorm, Self::Query, Self::Key, Self::Value];
        if shape.qkv_bias {
            parts.extend([Self::QueryBias, Self::KeyBias, Self::ValueBias]);
        }
        if shape.qk_norm {
            parts.extend([Self::QueryNorm, Self::KeyNorm]);
        }
        parts.extend([
            Self::Output,
            Self::FfnNorm,
            Self::Gate,
            Self::Up,
            Self::Down,
        ]);
        parts
    }

    fn dims(self, shape: &Shape) -> Dims {
        let (hidden, ffn) = (shape.hidden as usize, shape.ffn as usize);
        let head_dim = shape.head_dim as usize;
        let q = shape.heads as usize * head_dim;
        let kv = shape.kv_heads as usize * head_dim;
        let matrix = |rows, columns| Dims::Matrix { rows, columns };
        match self {
            Self::AttentionNorm | Self::FfnNorm => Dims::Vector(hidden),
            Self::Query => matrix(q, hidden),
            Self::Key | Self::Value => matrix(kv, hidden),
            Self::QueryBias => Dims::Vector(q),
            Self::KeyBias | Self::ValueBias => Dims::Vector(kv),
            Self::QueryNorm | Self::KeyNorm => Dims::Vector(head_dim),
            Self::Output => matrix(hidden, q),
            Self::Gate | Self::Up => matrix(ffn, hidden),
            Self::Down => matrix(hidden, ffn),
        }
    }

    const fn checkpoint_name(self) -> &'static str {
        match self {
            Self::AttentionNorm => "input_layernorm.weight",
            Self::Query => "self_attn.q_proj.weight",
            Self::Key => "self_attn.k_proj.weight",
            Self::Value => "self_attn.v_proj.weight",
            Self::QueryBias => "self_attn.q_proj.bias",
            Self::KeyBias => "self_attn.k_proj.bias",
            Self::ValueBias => "self_attn.v_proj.bias",
            Self::QueryNorm => "self_attn.q_norm.weight",
            Self::KeyNorm => "self_attn.k_norm.weight",
            Self::Output => "self_attn.o_proj.weight",
            Self::FfnNorm => "post_attention_layernorm.weight",
            Self::Gate => "mlp.gate_proj.weight",
            Self::Up => "mlp.up_proj.weight",
            Self::Down => "mlp.down_proj.weight",
        }
    }

    const fn gguf_name(self) -> &'static str {
        match self {
            Self::AttentionNorm => "attn_norm.weight",
            Self::Query => "attn_q.weight",
            Self::Key => "attn_k.weight",
            Self::Value => "attn_v.weight",
            Self::QueryBias => "attn_q.bias",
            Self::KeyBias => "attn_k.bias",
            Self::ValueBias => "attn_v.bias",
            Self::QueryNorm => "attn_q_norm.weight",
            Self::KeyNorm => "attn_k_norm.weight",
            Self::Output => "attn_output.weight",
            Self::FfnNorm => "ffn_norm.weight",
            Self::Gate => "ffn_gate.weight",
            Self::Up => "ffn_up.weight",
            Self::Down => "ffn_down.weight",
        }
    }
}
