//! Models of random weights for candle-transformers: the numbers that our decoder gets from the same
//! seed, under the names and in the order that candle reads.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;
use std::slice;

use candle_core::quantized::{GgmlDType, gguf_file};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::quantized_llama::ModelWeights;
use serde_json::{Value, json};

use super::files::{self, Facts};
use super::models::Model;
use super::unsupported;
use crate::engine::gguf::rows;
use crate::engine::weights::placement::placing_failed;
use crate::engine::weights::{self, Matrix, Reading, Stack, Wanted, Weights};
use crate::engine::{EngineError, Progress};
use crate::study::model::{Family, RopeScaling, Shape};
use crate::study::model::{Part, Slot};

/// Makes the model on the device.
pub(super) fn load(
    wanted: Wanted<'_>,
    device: &Device,
    progress: &Progress,
) -> Result<(Model, Facts), EngineError> {
    if wanted.precision.is_dense() {
        let weights = weights::load(wanted, device, progress)?;
        return dense(&weights, device);
    }
    let model = weights::examine(wanted.source, Reading::Headers)?;
    let family = model.family;
    let without_window = model.shape.sliding_window.is_none();
    if !(matches!(family, Family::Llama | Family::Mistral) && without_window) {
        return Err(unsupported(&format!(
            "stock candle runs quantized models of the llama architecture here, not {family:?}"
        )));
    }
    let weights = weights::load(wanted, &Device::Cpu, progress)?;
    quantized(weights, device)
}

/// What candle computes with dense weights, which it shares with `weights`.
fn dense(weights: &Weights, device: &Device) -> Result<(Model, Facts), EngineError> {
    let dtype = weights.activation;
    let config = config(weights)?;
    let tensors = named(weights).map_err(failed)?;
    let sizes = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.dims()));
    let facts = files::dense_facts(&config, sizes, dtype)
        .ok_or_else(|| unsupported("a size of the model is missing"))?;
    let vb = VarBuilder::from_tensors(tensors, dtype, device);
    match Model::dense(&config, vb, (dtype, device)) {
        Some(model) => Ok((model.map_err(failed)?, facts)),
        None => Err(unsupported(&format!(
            "stock candle has no {:?}",
            weights.family
        ))),
    }
}

/// Views of dense weights under the names of a checkpoint.
pub(super) fn named(weights: &Weights) -> candle_core::Result<HashMap<String, Tensor>> {
    let pieces = pieces(weights);
    let named = pieces.iter();
    named
        .map(|piece| Ok((piece.slot.checkpoint_name(), piece.tensor()?)))
        .collect()
}

/// What candle computes with quantized weights: they pass through the form of a GGUF file in host
/// memory, the only one that its quantized models are built from.
fn quantized(weights: Weights, device: &Device) -> Result<(Model, Facts), EngineError> {
    let (content, bytes) = written(&weights).map_err(failed)?;
    drop(weights);
    let facts =
        files::gguf_facts(&content).ok_or_else(|| unsupported("a size of the model is missing"))?;
    let model = ModelWeights::from_gguf(content, &mut Cursor::new(bytes), device);
    let model = model.map_err(failed)?;
    Ok((Model::QuantizedLlama(Box::new(model)), facts))
}

fn failed(error: candle_core::Error) -> EngineError {
    placing_failed(error, "random weights")
}

/// One tensor of a checkpoint: some rows of what our decoder stores together.
struct Piece {
    slot: Slot,
    matrix: Matrix,
    rows: Range<usize>,
}

/// Every tensor that `weights` hold.
fn pieces(weights: &Weights) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut add = |slots: &[Slot], matrices: &[Matrix]| {
        let mut slots = slots.iter();
        for matrix in matrices {
            let (mut start, end) = (0, rows(matrix));
            for &slot in slots.by_ref() {
                let rows = start..start + slot.dims(&weights.shape).rows();
                start = rows.end;
                pieces.push(Piece {
                    slot,
                    matrix: matrix.clone(),
                    rows,
                });
                if start == end {
                    break;
                }
            }
        }
    };
    add(&[Slot::Embedding], slice::from_ref(&weights.embedding));
    for (number, layer) in (0..).zip(&weights.layers) {
        let slots = |parts: &[Part]| -> Vec<Slot> {
            parts
                .iter()
                .map(|&part| Slot::Layer(number, part))
                .collect()
        };
        for (part, matrix) in [(Part::Output, &layer.output), (Part::Down, &layer.down)] {
            add(&slots(&[part]), slice::from_ref(matrix));
        }
        let qkv = [Part::Query, Part::Key, Part::Value];
        let stacks = [
            (&qkv[..], &layer.qkv),
            (&[Part::Gate, Part::Up], &layer.gate_up),
        ];
        for (parts, stack) in stacks {
            let Stack(matrices) = stack;
            add(&slots(parts), matrices);
        }
        let biases = [Part::QueryBias, Part::KeyBias, Part::ValueBias];
        for (parts, vector) in [
            (&biases[..], layer.qkv_bias.as_ref()),
            (&[Part::QueryNorm], layer.q_norm.as_ref()),
            (&[Part::KeyNorm], layer.k_norm.as_ref()),
            (&[Part::AttentionNorm], Some(&layer.attention_norm)),
            (&[Part::FfnNorm], Some(&layer.ffn_norm)),
        ] {
            if let Some(vector) = vector {
                add(&slots(parts), &[Matrix::Dense(vector.clone())]);
            }
        }
    }
    add(&[Slot::Norm], &[Matrix::Dense(weights.norm.clone())]);
    if let Some(head) = &weights.head {
        add(&[Slot::Head], slice::from_ref(head));
    }
    pieces
}

fn rows(matrix: &Matrix) -> usize {
    match matrix {
        Matrix::Dense(tensor) => tensor.dims()[0],
        Matrix::Quant(packed) => packed.shape().dims()[0],
    }
}

impl Piece {
    /// A view of the rows in floating point.
    fn tensor(&self) -> candle_core::Result<Tensor> {
        match &self.matrix {
            Matrix::Dense(tensor) => tensor.narrow(0, self.rows.start, self.rows.len()),
            Matrix::Quant(packed) => {
                packed
                    .dequantize(&packed.device())?
                    .narrow(0, self.rows.start, self.rows.len())
            }
        }
    }

    /// The rows as a GGUF file holds them: dense ones in single precision.
    fn bytes(&self) -> candle_core::Result<Vec<u8>> {
        match &self.matrix {
            Matrix::Dense(_) => {
                let values = self.tensor()?.flatten_all()?.to_dtype(DType::F32)?;
                let values = values.to_vec1::<f32>()?;
                Ok(values.into_iter().flat_map(f32::to_le_bytes).collect())
            }
            Matrix::Quant(packed) => {
                let bytes = packed.data()?;
                let row = bytes.len() / packed.shape().dims2()?.0;
                Ok(bytes[self.rows.start * row..self.rows.end * row].to_vec())
            }
        }
    }

    fn dtype(&self) -> GgmlDType {
        match &self.matrix {
            Matrix::Dense(_) => GgmlDType::F32,
            Matrix::Quant(packed) => packed.dtype(),
        }
    }
}

/// The weights as the content of a GGUF file of the llama architecture, and its bytes.
fn written(weights: &Weights) -> candle_core::Result<(gguf_file::Content, Vec<u8>)> {
    let shape = &weights.shape;
    let mut tensor_infos = HashMap::new();
    let mut bytes = Vec::new();
    for piece in pieces(weights) {
        let info = gguf_file::TensorInfo {
            ggml_dtype: piece.dtype(),
            shape: piece.slot.dims(shape).list().into(),
            offset: bytes.len() as u64,
        };
        tensor_infos.insert(piece.slot.gguf_name(), info);
        let heads = match piece.slot {
            Slot::Layer(_, Part::Query) => Some(shape.heads as usize),
            Slot::Layer(_, Part::Key) => Some(shape.kv_heads as usize),
            Slot::Layer(..) | Slot::Embedding | Slot::Norm | Slot::Head => None,
        };
        let held = piece.bytes()?;
        bytes.extend(match heads {
            Some(heads) => rows::interleave_halves(&held, piece.rows.len(), heads),
            None => held,
        });
    }
    let content = gguf_file::Content {
        magic: gguf_file::VersionedMagic::GgufV3,
        metadata: metadata(shape),
        tensor_infos,
        tensor_data_offset: 0,
    };
    Ok((content, bytes))
}

fn metadata(shape: &Shape) -> HashMap<String, gguf_file::Value> {
    let count = |key: &str, value: u32| (format!("llama.{key}"), gguf_file::Value::U32(value));
    let number = |key: &str, value: f64| {
        let value = gguf_file::Value::F32(value as f32);
        (format!("llama.{key}"), value)
    };
    let architecture = gguf_file::Value::String("llama".to_owned());
    HashMap::from([
        ("general.architecture".to_owned(), architecture),
        count("attention.head_count", shape.heads),
        count("attention.head_count_kv", shape.kv_heads),
        count("block_count", shape.layers),
        count("embedding_length", shape.hidden),
        count("rope.dimension_count", shape.head_dim),
        count("context_length", shape.context),
        number("attention.layer_norm_rms_epsilon", shape.norm_eps),
        number("rope.freq_base", shape.rope_theta),
    ])
}

/// `config.json` of the model.
fn config(weights: &Weights) -> Result<Value, EngineError> {
    let shape = &weights.shape;
    let model_type = match weights.family {
        Family::Llama => "llama",
        Family::Mistral => "mistral",
        Family::Qwen2 => "qwen2",
        Family::Qwen3 => "qwen3",
        family @ (Family::Gemma | Family::Gemma2 | Family::Gemma3 | Family::Phi3) => {
            return Err(unsupported(&format!(
                "{family:?} with random weights; give stock candle a model folder"
            )));
        }
    };
    let scaling = match &shape.rope_scaling {
        None => Value::Null,
        Some(RopeScaling::Llama3 {
            factor,
            low_frequency_factor,
            high_frequency_factor,
            original_context,
        }) => json!({
            "rope_type": "llama3", "factor": factor,
            "low_freq_factor": low_frequency_factor, "high_freq_factor": high_frequency_factor,
            "original_max_position_embeddings": original_context,
        }),
        Some(RopeScaling::Linear { .. } | RopeScaling::PerFrequency { .. }) => {
            return Err(unsupported(
                "this RoPE scaling; stock candle has that of Llama 3",
            ));
        }
    };
    Ok(json!({
        "model_type": model_type,
        "hidden_size": shape.hidden, "intermediate_size": shape.ffn, "vocab_size": shape.vocab,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_dim,
        "rms_norm_eps": shape.norm_eps, "rope_theta": shape.rope_theta, "rope_scaling": scaling,
        "max_position_embeddings": shape.context, "tie_word_embeddings": shape.tied_embeddings,
        "attention_bias": false, "hidden_act": "silu", "use_sliding_window": false,
        "max_window_layers": 0, "sliding_window": shape.sliding_window.unwrap_or(shape.context),
    }))
}
