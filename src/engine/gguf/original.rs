//! What a GGUF file is made from: the tensors of a checkpoint or of another GGUF file, in GGUF's names
//! and order of rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use super::form::Form;
use super::metadata::ROPE_DIVISORS;
use super::write::{Meta, Planned};
use super::{GgufFile, rows, vocabulary};
use crate::engine::cards::Architecture;
use crate::engine::decoder::rope;
use crate::engine::weights::checkpoint::Checkpoint;
use crate::engine::weights::floats::FloatKind;
use crate::engine::weights::{files, name_of};
use crate::engine::{EngineError, tiny, tokenizer};
use crate::study::model::{Family, ModelSource, RopeScaling, Shape};
use crate::study::model::{Part, Slot};

/// Keys of another file that do not hold for the new one.
const REPLACED: [&str; 3] = [
    "general.alignment",
    "general.file_type",
    "general.quantization_version",
];
/// Largest config.json and tokenizer.json that are read.
const LIMIT: u64 = 64 << 20;

/// Elements of a tensor as they are now.
pub(super) struct Stored<'a> {
    /// Their form.
    pub(super) form: Form,
    /// Their bytes.
    pub(super) bytes: Cow<'a, [u8]>,
}

/// A model that can be written.
pub(super) trait Original {
    /// Metadata without those of the type.
    fn metadata(&self) -> Result<Vec<(String, Meta)>, EngineError>;
    /// Tensors in the order in which they are written, in the form that they have now.
    fn tensors(&self) -> Vec<Planned>;
    /// The elements of one of them.
    fn read(&self, name: &str) -> Result<Stored<'_>, EngineError>;
    /// Lets the elements go that have been written.
    fn release(&self, name: &str);
}

/// Opens a model, without reading weights.
pub(super) fn open(source: &ModelSource) -> Result<Box<dyn Original>, EngineError> {
    let folder = |checkpoint: Checkpoint, name: String, texts: Texts| {
        let slots = Slot::all(&checkpoint.architecture.shape)
            .into_iter()
            .map(|slot| (slot.gguf_name(), slot))
            .collect();
        Box::new(Folder {
            checkpoint,
            name,
            texts,
            slots,
        })
    };
    match source {
        ModelSource::Tiny => Ok(folder(
            Checkpoint::tiny()?,
            tiny::NAME.to_owned(),
            Texts {
                config: tiny::CONFIG.to_vec(),
                tokenizer: tiny::TOKENIZER.to_vec(),
            },
        )),
        ModelSource::Dir(path) => Ok(folder(
            Checkpoint::open(path)?,
            name_of(path),
            Texts::read(path)?,
        )),
        ModelSource::Gguf(path) => Ok(Box::new(GgufFile::open(path)?)),
        ModelSource::Hub(_) => Err(EngineError::model(
            source,
            "a model on the Hub is not fetched here; take its folder",
        )),
        ModelSource::Card(_) => Err(EngineError::model(
            source,
            "random weights are not worth a file; use a folder or a GGUF file",
        )),
    }
}

/// The files of a folder that become metadata.
struct Texts {
    config: Vec<u8>,
    tokenizer: Vec<u8>,
}

impl Texts {
    fn read(folder: &Path) -> Result<Self, EngineError> {
        Ok(Self {
            config: files::read(&folder.join("config.json"), LIMIT)?,
            tokenizer: files::read(&folder.join("tokenizer.json"), LIMIT)?,
        })
    }
}

/// A checkpoint in the format of Hugging Face.
struct Folder {
    checkpoint: Checkpoint,
    name: String,
    texts: Texts,
    slots: BTreeMap<String, Slot>,
}

impl Folder {
    /// Heads of a projection whose rows the file will interleave.
    fn heads_to_interleave(&self, slot: Slot) -> Option<usize> {
        let Architecture { family, shape } = &self.checkpoint.architecture;
        let interleaved = architecture_name(*family) == Some("llama");
        match slot {
            Slot::Layer(_, Part::Query) if interleaved => Some(shape.heads as usize),
            Slot::Layer(_, Part::Key) if interleaved => Some(shape.kv_heads as usize),
            Slot::Embedding | Slot::Layer(..) | Slot::Norm | Slot::Head => None,
        }
    }

    fn divisors(&self) -> Option<Vec<f32>> {
        match &self.checkpoint.architecture.shape.rope_scaling {
            Some(RopeScaling::Llama3 { .. } | RopeScaling::PerFrequency { .. }) => {
                Some(rope::divisors(&self.checkpoint.architecture.shape))
            }
            Some(RopeScaling::Linear { .. }) | None => None,
        }
    }
}

impl Original for Folder {
    fn metadata(&self) -> Result<Vec<(String, Meta)>, EngineError> {
        let Architecture { family, shape } = &self.checkpoint.architecture;
        let refuse =
            |reason: String| EngineError::model(format!("{}: tokenizer.json", self.name), reason);
        let Some(architecture) = architecture_name(*family) else {
            let reason = format!("{family:?} has no GGUF layout here");
            return Err(EngineError::model(&self.name, reason));
        };
        let mut metadata = vec![
            (
                "general.architecture".to_owned(),
                Meta::Text(architecture.to_owned()),
            ),
            ("general.name".to_owned(), Meta::Text(self.name.clone())),
        ];
        let shape_keys = keys_of(shape).into_iter();
        metadata.extend(shape_keys.map(|(key, value)| (format!("{architecture}.{key}"), value)));
        metadata.extend(vocabulary::metadata(&self.texts.tokenizer, shape.vocab).map_err(refuse)?);
        metadata.extend(vocabulary::special_ids(&self.texts.config));
        let tokenizer = tokenizer::from_bytes(self.texts.tokenizer.clone(), &self.name)?;
        let before = tokenizer
            .encode_fast("", true)
            .map_err(|error| refuse(error.to_string()))?;
        let adds = Meta::Truth(!before.get_ids().is_empty());
        metadata.push(("tokenizer.ggml.add_bos_token".to_owned(), adds));
        Ok(metadata)
    }

    fn tensors(&self) -> Vec<Planned> {
        let shape = &self.checkpoint.architecture.shape;
        let whole = |dims: Vec<usize>| dims.into_iter().map(|dim| dim as u64).collect();
        let mut tensors: Vec<Planned> = Slot::all(shape)
            .into_iter()
            .map(|slot| Planned {
                name: slot.gguf_name(),
                dims: whole(slot.dims(shape).list()),
                form: Form::Float(self.checkpoint.kind(slot).unwrap_or(FloatKind::F32)),
            })
            .collect();
        tensors.extend(self.divisors().map(|divisors| Planned {
            name: ROPE_DIVISORS.to_owned(),
            dims: vec![divisors.len() as u64],
            form: Form::Float(FloatKind::F32),
        }));
        tensors
    }

    fn read(&self, name: &str) -> Result<Stored<'_>, EngineError> {
        if name == ROPE_DIVISORS {
            let divisors = self.divisors().unwrap_or_default();
            let bytes = divisors.iter().flat_map(|divisor| divisor.to_le_bytes());
            return Ok(Stored {
                form: Form::Float(FloatKind::F32),
                bytes: Cow::Owned(bytes.collect()),
            });
        }
        let Some(&slot) = self.slots.get(name) else {
            return Err(EngineError::model(
                &self.name,
                format!("tensor {name} is missing"),
            ));
        };
        let floats = self.checkpoint.floats(slot)?;
        let count = slot.dims(&self.checkpoint.architecture.shape).rows();
        Ok(Stored {
            form: Form::Float(floats.kind()),
            bytes: match self.heads_to_interleave(slot) {
                Some(heads) => Cow::Owned(rows::interleave_halves(floats.bytes(), count, heads)),
                None => Cow::Borrowed(floats.bytes()),
            },
        })
    }

    fn release(&self, name: &str) {
        if let Some(&slot) = self.slots.get(name) {
            self.checkpoint.release(&[slot]);
        }
    }
}

/// llama.cpp's name of an architecture that the decoder runs.
const fn architecture_name(family: Family) -> Option<&'static str> {
    match family {
        Family::Llama | Family::Mistral => Some("llama"),
        Family::Qwen2 => Some("qwen2"),
        Family::Qwen3 => Some("qwen3"),
        Family::Gemma | Family::Gemma2 | Family::Gemma3 | Family::Phi3 => None,
    }
}

/// The keys of a shape under the prefix of its architecture.
fn keys_of(shape: &Shape) -> Vec<(&'static str, Meta)> {
    let mut keys = vec![
        ("block_count", Meta::Count(shape.layers)),
        ("context_length", Meta::Count(shape.context)),
        ("embedding_length", Meta::Count(shape.hidden)),
        ("feed_forward_length", Meta::Count(shape.ffn)),
        ("attention.head_count", Meta::Count(shape.heads)),
        ("attention.head_count_kv", Meta::Count(shape.kv_heads)),
        ("attention.key_length", Meta::Count(shape.head_dim)),
        ("attention.value_length", Meta::Count(shape.head_dim)),
        (
            "attention.layer_norm_rms_epsilon",
            Meta::Number(shape.norm_eps as f32),
        ),
        ("rope.dimension_count", Meta::Count(shape.head_dim)),
        ("rope.freq_base", Meta::Number(shape.rope_theta as f32)),
        ("vocab_size", Meta::Count(shape.vocab)),
    ];
    if let Some(window) = shape.sliding_window {
        keys.push(("attention.sliding_window", Meta::Count(window)));
    }
    if let Some(RopeScaling::Linear { factor }) = shape.rope_scaling {
        keys.push(("rope.scaling.type", Meta::Text("linear".to_owned())));
        keys.push(("rope.scaling.factor", Meta::Number(factor as f32)));
    }
    keys
}

impl Original for GgufFile {
    fn metadata(&self) -> Result<Vec<(String, Meta)>, EngineError> {
        let kept = self.header.values.iter().filter(|(key, _)| {
            !REPLACED.contains(&key.as_str()) && !key.starts_with("quantize.imatrix.")
        });
        Ok(kept
            .map(|(key, range)| {
                (
                    key.clone(),
                    Meta::Copied(self.bytes[range.clone()].to_vec()),
                )
            })
            .collect())
    }

    fn tensors(&self) -> Vec<Planned> {
        let mut tensors: Vec<_> = self.header.tensors.values().collect();
        tensors.sort_by_key(|tensor| tensor.range.start);
        tensors
            .into_iter()
            .map(|tensor| Planned {
                name: tensor.name.clone(),
                dims: tensor.dims.clone(),
                form: tensor.form,
            })
            .collect()
    }

    fn read(&self, name: &str) -> Result<Stored<'_>, EngineError> {
        let tensor = self.header.tensors.get(name).ok_or_else(|| {
            EngineError::model(format!("{}: tensor {name}", self.path.display()), "missing")
        })?;
        Ok(Stored {
            form: tensor.form,
            bytes: Cow::Borrowed(&self.bytes[tensor.range.clone()]),
        })
    }

    fn release(&self, name: &str) {
        if let Some(tensor) = self.header.tensors.get(name) {
            self.bytes.release(tensor.range.clone());
        }
    }
}
