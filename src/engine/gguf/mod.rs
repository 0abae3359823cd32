//! GGUF files: validated, then placed as they are, each tensor in its own type.
//!
//! Files of the Llama architecture keep the rows of q and k in the order in which RoPE rotates
//! neighbours; they are put back in the order that rotates halves. Blocks run along columns, so whole
//! rows move and nothing is quantized again.

mod entries;
pub(crate) mod export;
mod form;
mod header;
pub(crate) mod importance;
mod metadata;
mod original;
mod pieces;
mod reader;
pub(crate) mod rows;
mod template;
mod tokenizer;
mod vocabulary;
mod write;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;
use tokenizers::Tokenizer;

use self::entries::Entries;
use self::form::Form;
use self::header::Header;
pub(crate) use self::reader::Refusal;
pub(crate) use self::template::StoredTemplate;
use self::tokenizer::Vocabulary;
use super::cards::Architecture;
use super::tokenizer::contained;
use super::weights::assembly::{Supply, assemble};
use super::weights::files::{self, Mapping};
use super::weights::floats::{self, FloatKind, Floats};
use super::weights::placement::{Placement, placing_failed};
use super::weights::{Matrix, Stack, Weights};
use super::{EngineError, Progress, quantize};
use crate::study::model::{Dims, Part, Slot};
use crate::study::model::{Family, Precision};

/// An opened and validated GGUF file.
pub(crate) struct GgufFile {
    /// Family and shape from the metadata.
    pub(crate) architecture: Architecture,
    /// Type of most weights.
    pub(crate) native: Precision,
    path: PathBuf,
    bytes: Mapping,
    header: Header,
}

impl GgufFile {
    /// Opens a file and validates it, without reading weights.
    pub(crate) fn open(path: &Path) -> Result<Self, EngineError> {
        let bytes = Mapping::open(path)?;
        let (header, architecture) = validate(&bytes).map_err(|refusal| refused(path, refusal))?;
        Ok(Self {
            native: most_frequent(&header, &architecture),
            architecture,
            path: path.to_owned(),
            bytes,
            header,
        })
    }

    /// Name, type and bytes of every tensor.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&str, Precision, u64)> {
        let tensors = self.header.tensors.values();
        tensors.map(|tensor| {
            let bytes = tensor.range.len() as u64;
            (tensor.name.as_str(), tensor.form.precision(), bytes)
        })
    }

    /// SHA-256 of the file by its name.
    pub(crate) fn digests(&self) -> Result<BTreeMap<String, String>, EngineError> {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        let digest = files::sha256(&self.path)?;
        Ok(BTreeMap::from([(
            name.to_string_lossy().into_owned(),
            digest,
        )]))
    }

    /// The tokenizer in the metadata.
    pub(crate) fn tokenizer(&self) -> Result<Tokenizer, EngineError> {
        let vocabulary =
            Vocabulary::read(self.entries()).map_err(|refusal| refused(&self.path, refusal))?;
        contained(move || vocabulary.build())
            .map_err(|reason| EngineError::model(self.path.display(), reason))
    }

    /// SHA-256 of the keys and values of the tokenizer.
    pub(crate) fn tokenizer_digest(&self) -> String {
        let entries = self.entries().under(tokenizer::KEYS);
        let bytes = entries.flat_map(|(key, value)| [key.as_bytes(), value]);
        files::sha256_of(&bytes.collect::<Vec<&[u8]>>().concat())
    }

    /// The chat template in the metadata and the texts of the tokens that it is called with.
    pub(crate) fn chat_template(&self) -> Result<Option<StoredTemplate>, EngineError> {
        StoredTemplate::read(self.entries()).map_err(|refusal| refused(&self.path, refusal))
    }

    fn entries(&self) -> Entries<'_> {
        Entries::new(&self.bytes, &self.header)
    }

    /// Places the weights on the device.
    pub(crate) fn load(
        self,
        placement: &Placement,
        progress: &Progress,
    ) -> Result<Weights, EngineError> {
        let architecture = self.architecture.clone();
        let activation = placement.activation;
        let mut supply = GgufSupply {
            file: self,
            placement,
        };
        assemble(architecture, activation, &mut supply, progress)
    }

    fn tensor(&self, slot: Slot) -> Result<Stored<'_>, EngineError> {
        let name = slot.gguf_name();
        let tensor = self.header.tensors.get(&name).ok_or_else(|| {
            EngineError::model(format!("{}: tensor {name}", self.path.display()), "missing")
        })?;
        let bytes = &self.bytes[tensor.range.clone()];
        let dims = slot.dims(&self.architecture.shape);
        let bytes = match self.heads_to_restore(slot) {
            Some(heads) => Cow::Owned(rows::restore_halves(bytes, dims.rows(), heads)),
            None => Cow::Borrowed(bytes),
        };
        Ok(Stored {
            form: tensor.form,
            dims,
            bytes,
        })
    }

    /// Lets the bytes of tensors go that have been placed.
    fn release(&self, slots: &[Slot]) {
        let tensors = &self.header.tensors;
        for tensor in slots
            .iter()
            .filter_map(|slot| tensors.get(&slot.gguf_name()))
        {
            self.bytes.release(tensor.range.clone());
        }
    }

    /// Heads of a projection whose rows the file interleaves.
    fn heads_to_restore(&self, slot: Slot) -> Option<usize> {
        let Architecture { family, shape } = &self.architecture;
        match slot {
            Slot::Layer(_, Part::Query) if *family == Family::Llama => Some(shape.heads as usize),
            Slot::Layer(_, Part::Key) if *family == Family::Llama => Some(shape.kv_heads as usize),
            Slot::Embedding | Slot::Layer(..) | Slot::Norm | Slot::Head => None,
        }
    }
}

fn refused(path: &Path, refusal: Refusal) -> EngineError {
    let place = format!("{}: {}", path.display(), refusal.place);
    EngineError::model(place, refusal.reason)
}

/// What is checked of a tokenizer and a template before they are made.
pub(crate) fn check_texts(bytes: &[u8], header: &Header) -> Result<(), Refusal> {
    let entries = Entries::new(bytes, header);
    Vocabulary::read(entries)?;
    StoredTemplate::read(entries).map(drop)
}

/// Everything that is checked before weights are read.
pub(crate) fn validate(bytes: &[u8]) -> Result<(Header, Architecture), Refusal> {
    let header = header::read(bytes)?;
    let divisors = rope_divisors(&header, bytes)?;
    let architecture = metadata::architecture(&header, divisors)?;
    compare_with_shape(&header, &architecture)?;
    Ok((header, architecture))
}

/// A tensor with its rows in order.
struct Stored<'a> {
    form: Form,
    dims: Dims,
    bytes: Cow<'a, [u8]>,
}

fn rope_divisors(header: &Header, bytes: &[u8]) -> Result<Option<Vec<f32>>, Refusal> {
    let Some(tensor) = header.tensors.get(metadata::ROPE_DIVISORS) else {
        return Ok(None);
    };
    if tensor.form != Form::Float(FloatKind::F32) || tensor.dims.len() != 1 {
        let place = format!("tensor {}", tensor.name);
        return Err(Refusal::new(place, "not a vector of F32"));
    }
    let floats = Floats::new(FloatKind::F32, &bytes[tensor.range.clone()]);
    let mut divisors = vec![0.0; floats.len()];
    floats.widen(0, &mut divisors);
    Ok(Some(divisors))
}

/// Every tensor that the shape calls for is there with its dimensions, and none that would stay unused.
fn compare_with_shape(header: &Header, architecture: &Architecture) -> Result<(), Refusal> {
    let mut unused: BTreeSet<&str> = header.tensors.keys().map(String::as_str).collect();
    unused.remove(metadata::ROPE_DIVISORS);
    for slot in Slot::all(&architecture.shape) {
        let name = slot.gguf_name();
        let place = format!("tensor {name}");
        let Some(tensor) = header.tensors.get(&name) else {
            return Err(Refusal::new(
                place,
                "missing, though the metadata call for it",
            ));
        };
        let dims = slot.dims(&architecture.shape);
        let expected: Vec<u64> = dims.list().into_iter().map(|dim| dim as u64).collect();
        if tensor.dims != expected {
            return Err(Refusal::new(
                place,
                format!(
                    "shape {:?} where the metadata call for {expected:?}",
                    tensor.dims
                ),
            ));
        }
        if matches!((dims, tensor.form), (Dims::Vector(_), Form::Quant(_))) {
            return Err(Refusal::new(place, "a vector in a quantized type"));
        }
        unused.remove(name.as_str());
    }
    match unused.first() {
        Some(name) => Err(Refusal::new(
            format!("tensor {name}"),
            format!(
                "not a part of {:?} as implemented here; its effect would be lost",
                architecture.family
            ),
        )),
        None => Ok(()),
    }
}

/// The type that holds most weights of the matrices.
fn most_frequent(header: &Header, architecture: &Architecture) -> Precision {
    let mut weights: HashMap<Precision, u64> = HashMap::new();
    for slot in Slot::all(&architecture.shape) {
        if let Dims::Matrix { rows, columns } = slot.dims(&architecture.shape)
            && let Some(tensor) = header.tensors.get(&slot.gguf_name())
        {
            *weights.entry(tensor.form.precision()).or_default() += (rows * columns) as u64;
        }
    }
    weights
        .into_iter()
        .max_by_key(|&(precision, weights)| (weights, precision))
        .map_or(Precision::F32, |(precision, _)| precision)
}

/// Tensors placed from the mapped file.
struct GgufSupply<'a> {
    file: GgufFile,
    placement: &'a Placement,
}

impl GgufSupply<'_> {
    fn matrix(&self, parts: &[Stored<'_>]) -> candle_core::Result<Matrix> {
        let Placement {
            activation, device, ..
        } = self.placement;
        let rows = parts.iter().map(|part| part.dims.rows()).sum();
        let columns = parts[0].dims.columns();
        match parts[0].form {
            Form::Float(_) => {
                floats::place(&floats_of(parts), &[rows, columns], *activation, device)
                    .map(Matrix::Dense)
            }
            Form::Quant(precision) => {
                let block = quantize::block_type(precision)
                    .expect("a quantized form is a quantized precision");
                let joined: Vec<u8>;
                let bytes = if let [only] = parts {
                    &only.bytes
                } else {
                    joined = parts
                        .iter()
                        .flat_map(|part| part.bytes.iter())
                        .copied()
                        .collect();
                    joined.as_slice()
                };
                quantize::from_bytes(bytes, block, (rows, columns), device)
                    .map(|placed| Matrix::Quant(Arc::new(placed)))
            }
        }
    }
}

impl Supply for GgufSupply<'_> {
    fn stack(&mut self, slots: &[Slot]) -> Result<Stack, EngineError> {
        let parts = slots
            .iter()
            .map(|&slot| self.file.tensor(slot))
            .collect::<Result<Vec<Stored<'_>>, EngineError>>()?;
        let failed = |error| placing_failed(error, &slots[0].gguf_name());
        let matrices = parts
            .chunk_by(|a, b| lie_alike(a.form, b.form))
            .map(|alike| self.matrix(alike).map_err(failed))
            .collect::<Result<Vec<Matrix>, EngineError>>()?;
        self.file.release(slots);
        Ok(Stack(matrices))
    }

    fn vector(&mut self, slots: &[Slot]) -> Result<Tensor, EngineError> {
        let parts = slots
            .iter()
            .map(|&slot| self.file.tensor(slot))
            .collect::<Result<Vec<Stored<'_>>, EngineError>>()?;
        let floats = floats_of(&parts);
        let length = floats.iter().map(Floats::len).sum();
        let Placement {
            activation, device, ..
        } = self.placement;
        floats::place(&floats, &[length], *activation, device)
            .map_err(|error| placing_failed(error, &slots[0].gguf_name()))
    }
}

/// Whether two tensors become one matrix: all dense ones take the activation type.
const fn lie_alike(a: Form, b: Form) -> bool {
    match (a, b) {
        (Form::Float(_), Form::Float(_)) => true,
        (Form::Quant(a), Form::Quant(b)) => a as u8 == b as u8,
        (Form::Float(_), Form::Quant(_)) | (Form::Quant(_), Form::Float(_)) => false,
    }
}

/// The dense ones among the parts.
fn floats_of<'a>(parts: &'a [Stored<'_>]) -> Vec<Floats<'a>> {
    parts
        .iter()
        .filter_map(|part| match part.form {
            Form::Float(kind) => Some(Floats::new(kind, &part.bytes)),
            Form::Quant(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
