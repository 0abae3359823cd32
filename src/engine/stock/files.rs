//! Reading models for candle-transformers, and counting what it holds of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, gguf_file};
use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use candle_transformers::models::quantized_llama::ModelWeights;
use serde_json::Value;

use super::models::{MODEL_TYPES, Model};
use super::unsupported;
use crate::engine::{EngineError, quantize};
use crate::study::model::{Numbers, Precision};

/// Positions for which candle's `quantized_llama` has angles, whatever the file says.
const QUANTIZED_LLAMA_CONTEXT: u32 = 4096;
/// Positions where `config.json` names none (Gemma), as candle assumes.
const DEFAULT_CONTEXT: u64 = 4096;

/// What there is to say of a loaded model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    /// Most frequent type among the weights, in GGML's words.
    pub(super) weight_type: String,
    /// Bits per weight over all matrices.
    pub(super) bits_per_weight: f64,
    /// Type of activations and of the KV cache.
    pub(super) activation: DType,
    /// Whether products are with quantized blocks.
    pub(super) quantized: bool,
    /// Bytes of all weights as candle holds them.
    pub(super) bytes: u64,
    /// Bytes that one decode step reads.
    pub(super) bytes_per_step: u64,
    /// Weights that every token is multiplied with.
    pub(super) multiplied: u64,
    /// Bytes that one token of one sequence adds to the cache.
    pub(super) kv_bytes_per_token: u64,
    /// Operations of attention per token and token of context.
    pub(super) flop_per_token_and_context: u64,
    /// Longest sequence.
    pub(super) context: u32,
}

/// A Hugging Face model folder.
pub(super) fn folder(
    folder: &Path,
    precision: Precision,
    device: &Device,
) -> Result<(Model, Facts), EngineError> {
    let place = folder.join("config.json");
    let text = std::fs::read_to_string(&place).map_err(|error| broken(&place, &error))?;
    let config: Value = serde_json::from_str(&text).map_err(|error| broken(&place, &error))?;
    let dtype = dense_type(precision, &config, device)?;
    let paths = shards(folder)?;
    // SAFETY: the files are mapped read-only; that nobody shortens them meanwhile is what every reader
    // of mapped weights has to assume.
    #[expect(unsafe_code, reason = "the weight mapping")]
    let tensors = unsafe { MmapedSafetensors::multi(&paths) }.map_err(|e| broken(folder, &e))?;
    let views = tensors.tensors();
    let sizes = views
        .iter()
        .map(|(name, view)| (name.as_str(), view.shape()));
    let facts = dense_facts(&config, sizes, dtype).ok_or_else(|| EngineError::Model {
        place: place.display().to_string(),
        reason: "a size of the model is missing".to_owned(),
    })?;
    let vb = VarBuilder::from_backend(Box::new(tensors), dtype, device.clone());
    match Model::dense(&config, vb, (dtype, device)) {
        Some(model) => Ok((model.map_err(|error| failed(folder, error))?, facts)),
        None => Err(unsupported(&format!(
            "{}: model_type {} is none of {}",
            place.display(),
            config.get("model_type").unwrap_or(&Value::Null),
            MODEL_TYPES.join(", ")
        ))),
    }
}

/// A GGUF file in the Llama layout.
pub(super) fn gguf(
    path: &Path,
    precision: Precision,
    device: &Device,
) -> Result<(Model, Facts), EngineError> {
    if precision != Precision::Native {
        return Err(unsupported(&format!(
            "{precision} of a GGUF file, which has its own types"
        )));
    }
    let file = File::open(path).map_err(|error| broken(path, &error))?;
    let mut reader = BufReader::new(file);
    let content = gguf_file::Content::read(&mut reader).map_err(|error| broken(path, &error))?;
    let architecture = content.metadata.get("general.architecture");
    if architecture.is_some_and(|value| value.to_string().is_ok_and(|name| name != "llama")) {
        return Err(unsupported(&format!(
            "{}: stock candle runs GGUF files of the llama architecture here",
            path.display()
        )));
    }
    let facts = gguf_facts(&content).ok_or_else(|| EngineError::Model {
        place: path.display().to_string(),
        reason: "a size of the model is missing in the metadata".to_owned(),
    })?;
    let model = ModelWeights::from_gguf(content, &mut reader, device)
        .map_err(|error| failed(path, error))?;
    Ok((Model::QuantizedLlama(Box::new(model)), facts))
}

/// The floating-point type that a precision means for a checkpoint.
fn dense_type(precision: Precision, config: &Value, device: &Device) -> Result<DType, EngineError> {
    let stored = config
        .get("dtype")
        .or_else(|| config.get("torch_dtype"))
        .and_then(Value::as_str);
    match precision.numbers() {
        Numbers::F32 => Ok(DType::F32),
        Numbers::F16 => Ok(DType::F16),
        Numbers::Bf16 => Ok(DType::BF16),
        Numbers::Own => Ok(match stored {
            Some("float16") => DType::F16,
            Some("bfloat16") if !device.is_cpu() => DType::BF16,
            _ => DType::F32,
        }),
        Numbers::Quantized => Err(unsupported(&format!(
            "{precision} from a dense checkpoint: stock candle quantizes nothing on the fly; give it a \
             GGUF file"
        ))),
    }
}

/// The safetensors files of a folder in the order of their names.
fn shards(folder: &Path) -> Result<Vec<PathBuf>, EngineError> {
    let entries = std::fs::read_dir(folder).map_err(|error| broken(folder, &error))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .collect();
    paths.sort();
    if paths.is_empty() {
        return Err(EngineError::Model {
            place: folder.display().to_string(),
            reason: "no safetensors file in the folder".to_owned(),
        });
    }
    Ok(paths)
}

/// Sizes that are added up over tensors.
#[derive(Default)]
struct Tally {
    by_type: BTreeMap<&'static str, u64>,
    elements: u64,
    bytes: u64,
    table_bytes: u64,
    table_elements: u64,
    small_bytes: u64,
}

impl Tally {
    fn matrix(&mut self, word: &'static str, elements: u64, bytes: u64) {
        *self.by_type.entry(word).or_default() += elements;
        self.elements += elements;
        self.bytes += bytes;
    }

    /// The facts of tensors in which the table of embeddings `serves` as output projection or not.
    fn facts(self, serves: bool, attention: Attention) -> Facts {
        let unread = if serves { 0 } else { self.table_bytes };
        let unmultiplied = if serves { 0 } else { self.table_elements };
        let most = self
            .by_type
            .into_iter()
            .max_by_key(|(_, elements)| *elements);
        let Attention {
            layers,
            heads,
            kv_heads,
            width,
            context,
            activation,
            quantized,
        } = attention;
        Facts {
            weight_type: most.map_or_else(String::new, |(word, _)| word.to_owned()),
            bits_per_weight: 8.0 * self.bytes as f64 / self.elements as f64,
            activation,
            quantized,
            bytes: self.bytes + self.small_bytes,
            bytes_per_step: self.bytes + self.small_bytes - unread,
            multiplied: self.elements - unmultiplied,
            kv_bytes_per_token: 2 * layers * kv_heads * width * activation.size_in_bytes() as u64,
            flop_per_token_and_context: 4 * layers * heads * width,
            context,
        }
    }
}

/// What attention does with a token.
#[derive(Clone, Copy)]
struct Attention {
    layers: u64,
    heads: u64,
    kv_heads: u64,
    width: u64,
    context: u32,
    activation: DType,
    quantized: bool,
}

/// What there is to say of dense tensors of these names and dimensions.
pub(super) fn dense_facts<'a>(
    config: &Value,
    tensors: impl Iterator<Item = (&'a str, &'a [usize])>,
    dtype: DType,
) -> Option<Facts> {
    let number = |key: &str| config.get(key).and_then(Value::as_u64);
    let mut tally = Tally::default();
    let mut head = false;
    for (name, dims) in tensors {
        let elements = dims.iter().product::<usize>() as u64;
        let bytes = elements * dtype.size_in_bytes() as u64;
        head |= name == "lm_head.weight";
        if dims.len() == 2 {
            tally.matrix(dtype.as_str(), elements, bytes);
        } else {
            tally.small_bytes += bytes;
        }
        if name == "model.embed_tokens.weight" {
            (tally.table_elements, tally.table_bytes) = (elements, bytes);
        }
    }
    let heads = number("num_attention_heads")?;
    let width = number("head_dim").or_else(|| number("hidden_size")?.checked_div(heads))?;
    let context = number("max_position_embeddings").unwrap_or(DEFAULT_CONTEXT);
    let attention = Attention {
        layers: number("num_hidden_layers")?,
        heads,
        kv_heads: number("num_key_value_heads").unwrap_or(heads),
        width,
        context: u32::try_from(context).ok()?,
        activation: dtype,
        quantized: false,
    };
    Some(tally.facts(!head, attention))
}

/// What there is to say of a GGUF file of the llama architecture.
pub(super) fn gguf_facts(content: &gguf_file::Content) -> Option<Facts> {
    let number = |key: &str| {
        content
            .metadata
            .get(&format!("llama.{key}"))
            .and_then(|value| value.to_u32().ok())
    };
    let mut tally = Tally::default();
    let head = content.tensor_infos.contains_key("output.weight");
    for (name, info) in &content.tensor_infos {
        let elements = info.shape.elem_count() as u64;
        let dtype = info.ggml_dtype;
        let packed = elements / dtype.block_size() as u64 * dtype.type_size() as u64;
        if info.shape.rank() != 2 {
            tally.small_bytes += 4 * elements;
        } else if name == "token_embd.weight" {
            // Always widened for the look-up, and kept in blocks beside that where it is the head too.
            (tally.table_elements, tally.table_bytes) = (elements, 4 * elements);
            tally.matrix("f32", elements, 4 * elements);
            if !head {
                tally.matrix(word(dtype), elements, packed);
            }
        } else {
            let held = if word(dtype) == "f32" {
                4 * elements
            } else {
                packed
            };
            tally.matrix(word(dtype), elements, held);
        }
    }
    let heads = u64::from(number("attention.head_count")?);
    let attention = Attention {
        layers: u64::from(number("block_count")?),
        heads,
        kv_heads: u64::from(number("attention.head_count_kv")?),
        width: u64::from(number("embedding_length")?).checked_div(heads)?,
        context: number("context_length").map_or(QUANTIZED_LLAMA_CONTEXT, |context| {
            context.min(QUANTIZED_LLAMA_CONTEXT)
        }),
        activation: DType::F32,
        quantized: true,
    };
    Some(tally.facts(false, attention))
}

/// GGML's word for the type in which candle's quantized models multiply: dense ones are widened.
fn word(dtype: GgmlDType) -> &'static str {
    match dtype {
        GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => "f32",
        blocks => quantize::word(blocks),
    }
}

fn broken(place: &Path, error: &dyn std::fmt::Display) -> EngineError {
    let reason = error
        .to_string()
        .lines()
        .next()
        .unwrap_or("unreadable")
        .to_owned();
    EngineError::Model {
        place: place.display().to_string(),
        reason,
    }
}

/// What candle says while it loads: memory stays memory, everything else is the file's.
fn failed(place: &Path, error: candle_core::Error) -> EngineError {
    match EngineError::from(error) {
        EngineError::Device { reason } => EngineError::Model {
            place: place.display().to_string(),
            reason,
        },
        other => other,
    }
}
