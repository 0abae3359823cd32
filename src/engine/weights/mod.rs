//! The weights of a dense decoder as every loader delivers them.
//!
//! Whatever the file says, the decoder sees one layout: RoPE in the rotate-half form (rows of q and k
//! of GGUF files in the Llama layout are permuted back while loading, which costs nothing later, since
//! quantized blocks run along columns), and matrices that read the same input stored as adjacent rows
//! of one matrix wherever their types agree.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Tensor};

use self::checkpoint::Checkpoint;
use self::placement::Placement;
use super::cards::{self, Architecture};
use super::gguf::GgufFile;
use super::gguf::importance::Importance;
use super::stopwatch::Stopwatch;
use super::{EngineError, Progress, tiny};
use crate::record::observation::Model;
use crate::study::model::{Family, ModelSource, Precision, Shape};

pub(crate) mod assembly;
pub(crate) mod checkpoint;
pub(crate) mod files;
pub(crate) mod floats;
pub(crate) mod index;
pub(crate) mod placement;
mod random;
pub(crate) mod shard;
mod transfer;

/// Type in which the models of the cards are published.
const PUBLISHED: Precision = Precision::Bf16;

/// A weight matrix of `[rows, columns]`, output times input.
#[derive(Debug, Clone)]
pub(crate) enum Matrix {
    /// Floating point.
    Dense(Tensor),
    /// Quantized blocks along the columns.
    Quant(Arc<QTensor>),
}

/// Matrices that read the same input; their outputs follow one another. One matrix where the types of
/// the parts agree, several where a file mixes types (llama.cpp's presets do).
#[derive(Debug, Clone)]
pub(crate) struct Stack(pub(crate) Vec<Matrix>);

/// One transformer layer.
#[derive(Debug, Clone)]
pub(crate) struct LayerWeights {
    /// RMSNorm before attention, `[hidden]`.
    pub(crate) attention_norm: Tensor,
    /// Rows of q, then k, then v.
    pub(crate) qkv: Stack,
    /// Their bias (Qwen 2), `[q + 2 kv]`.
    pub(crate) qkv_bias: Option<Tensor>,
    /// RMSNorm of each q head (Qwen 3), `[head_dim]`.
    pub(crate) q_norm: Option<Tensor>,
    /// RMSNorm of each k head (Qwen 3), `[head_dim]`.
    pub(crate) k_norm: Option<Tensor>,
    /// Attention output, `[hidden, heads · head_dim]`.
    pub(crate) output: Matrix,
    /// RMSNorm before the feed-forward block, `[hidden]`.
    pub(crate) ffn_norm: Tensor,
    /// Rows of gate, then up.
    pub(crate) gate_up: Stack,
    /// `[hidden, ffn]`.
    pub(crate) down: Matrix,
}

/// All weights of a model on its device.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    /// The architecture.
    pub(crate) family: Family,
    /// Its shape, with RoPE scaling as the file has it.
    pub(crate) shape: Shape,
    /// Type of activations, norms and biases.
    pub(crate) activation: DType,
    /// Input embedding, `[vocab, hidden]`.
    pub(crate) embedding: Matrix,
    /// The layers.
    pub(crate) layers: Vec<LayerWeights>,
    /// Last RMSNorm, `[hidden]`.
    pub(crate) norm: Tensor,
    /// Output projection, `[vocab, hidden]`; `None` when the embedding serves.
    pub(crate) head: Option<Matrix>,
}

impl Weights {
    /// The matrices that every token is multiplied with: of each layer, and the output projection.
    pub(crate) fn linears(&self) -> impl Iterator<Item = &Matrix> {
        let layers = self.layers.iter().flat_map(|layer| {
            let stacks = layer.qkv.0.iter().chain(&layer.gate_up.0);
            stacks.chain([&layer.output, &layer.down])
        });
        layers.chain([self.head.as_ref().unwrap_or(&self.embedding)])
    }

    /// Whether any of those is quantized; others may have fallen back to a dense type.
    pub(crate) fn is_quantized(&self) -> bool {
        self.linears().any(|matrix| match matrix {
            Matrix::Quant(_) => true,
            Matrix::Dense(_) => false,
        })
    }
}

/// How much of a model's files is read to tell what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Their headers.
    Headers,
    /// All of them, for their hashes.
    Whole,
}

/// Finds out what a model is and refuses what cannot be run; its files are hashed on the way.
pub fn inspect(source: &ModelSource) -> Result<Model, EngineError> {
    examine(source, Reading::Whole)
}

/// Finds out what a model is and refuses what cannot be run, without loading it.
pub fn examine(source: &ModelSource, reading: Reading) -> Result<Model, EngineError> {
    match source {
        ModelSource::Tiny => {
            let checkpoint = Checkpoint::tiny()?;
            Ok(Model {
                source: source.clone(),
                name: tiny::NAME.to_owned(),
                files: tiny::digests(),
                family: checkpoint.architecture.family,
                shape: checkpoint.architecture.shape,
                random_weights: false,
                native: checkpoint.native,
            })
        }
        ModelSource::Card(name) => {
            let architecture = architecture_of(name)?;
            Ok(Model {
                source: source.clone(),
                name: name.clone(),
                family: architecture.family,
                shape: architecture.shape,
                random_weights: true,
                native: PUBLISHED,
                files: BTreeMap::new(),
            })
        }
        ModelSource::Dir(path) => {
            let checkpoint = Checkpoint::open(path)?;
            Ok(Model {
                source: source.clone(),
                name: name_of(path),
                files: match reading {
                    Reading::Headers => BTreeMap::new(),
                    Reading::Whole => checkpoint.digests()?,
                },
                family: checkpoint.architecture.family,
                shape: checkpoint.architecture.shape,
                random_weights: false,
                native: checkpoint.native,
            })
        }
        ModelSource::Gguf(path) => {
            let file = GgufFile::open(path)?;
            Ok(Model {
                source: source.clone(),
                name: name_of(path),
                files: match reading {
                    Reading::Headers => BTreeMap::new(),
                    Reading::Whole => file.digests()?,
                },
                family: file.architecture.family,
                shape: file.architecture.shape,
                random_weights: false,
                native: file.native,
            })
        }
        ModelSource::Hub(_) => Err(not_fetched(source)),
    }
}

/// Why a model of the Hub cannot be opened as such: engines open files, and a worker has no network.
pub(crate) fn not_fetched(source: &ModelSource) -> EngineError {
    EngineError::model(source, "has to be fetched before it is opened")
}

/// Which weights, and how they are held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// Where they come from.
    pub(crate) source: &'a ModelSource,
    /// Their type.
    pub(crate) precision: Precision,
    /// How much each input of each matrix matters.
    pub(crate) importance: Option<&'a Importance>,
    /// Seed of random weights.
    pub(crate) seed: u64,
    /// Takes the time of quantizing, where somebody asks.
    pub(crate) stopwatch: Option<&'a Stopwatch<'a>>,
}

impl<'a> Wanted<'a> {
    /// Weights whose inputs matter alike.
    pub(crate) const fn new(source: &'a ModelSource, precision: Precision, seed: u64) -> Self {
        Self {
            source,
            precision,
            importance: None,
            seed,
            stopwatch: None,
        }
    }
}

/// Loads or makes the weights of a model on the device.
pub(crate) fn load(
    wanted: Wanted<'_>,
    device: &Device,
    progress: &Progress,
) -> Result<Weights, EngineError> {
    let Wanted {
        source,
        precision,
        importance,
        seed,
        ..
    } = wanted;
    match source {
        ModelSource::Gguf(_) | ModelSource::Card(_) if importance.is_some() => {
            Err(EngineError::Unsupported {
                reason: format!(
                    "an importance matrix for {source}, which is not quantized from a checkpoint"
                ),
            })
        }
        ModelSource::Tiny => {
            let checkpoint = Checkpoint::tiny()?;
            let placement = Placement::new(precision, checkpoint.native, device);
            checkpoint.load(&placement, wanted, progress)
        }
        ModelSource::Card(name) => {
            let placement = Placement::new(precision, PUBLISHED, device);
            random::load(architecture_of(name)?, &placement, seed, progress)
        }
        ModelSource::Dir(path) => {
            let checkpoint = Checkpoint::open(path)?;
            let placement = Placement::new(precision, checkpoint.native, device);
            checkpoint.load(&placement, wanted, progress)
        }
        ModelSource::Gguf(path) => {
            let file = GgufFile::open(path)?;
            if precision != Precision::Native {
                return Err(EngineError::Unsupported {
                    reason: format!("{precision} from a GGUF file; its own types are, with native"),
                });
            }
            let placement = Placement::new(precision, file.native, device);
            file.load(&placement, progress)
        }
        ModelSource::Hub(_) => Err(not_fetched(source)),
    }
}

/// The last part of a path, for headings.
pub(crate) fn name_of(path: &Path) -> String {
    let whole = std::fs::canonicalize(path);
    let path = whole.as_deref().unwrap_or(path);
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn architecture_of(card: &str) -> Result<Architecture, EngineError> {
    let card = cards::find(card)?;
    Ok(Architecture {
        family: card.family,
        shape: card.shape,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_its_shape_with_random_weights() {
        let source = ModelSource::Card("qwen3-0.6b".to_owned());
        let model = inspect(&source).unwrap();
        assert_eq!(model.name, "qwen3-0.6b");
        assert_eq!(model.family, Family::Qwen3);
        assert_eq!(model.native, Precision::Bf16);
        assert!(model.random_weights && model.files.is_empty());
        assert!(inspect(&ModelSource::Card("qwen".to_owned())).is_err());
    }

    #[test]
    fn a_gguf_file_is_known_by_its_hash() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/gguf/qwen2-f16.gguf"
        );
        let source = ModelSource::Gguf(path.into());
        let model = inspect(&source).unwrap();
        assert_eq!(model.name, "qwen2-f16.gguf");
        assert!(!model.random_weights);
        assert_eq!(model.files["qwen2-f16.gguf"].len(), 64);
        let load = |precision| {
            let wanted = Wanted::new(&source, precision, 1);
            load(wanted, &Device::Cpu, &Progress::default())
        };
        assert!(matches!(
            load(Precision::Q8_0),
            Err(EngineError::Unsupported { .. })
        ));
        assert_eq!(load(Precision::Native).unwrap().layers.len(), 2);
    }

    #[test]
    fn every_loaded_stack_and_vector_is_a_step_of_progress() {
        let progress = Progress::default();
        let wanted = Wanted::new(&ModelSource::Tiny, Precision::F32, 1);
        load(wanted, &Device::Cpu, &progress).unwrap();
        // Six tensors or stacks in each of four layers, the embedding, the last norm and the head.
        assert_eq!(progress.steps(), 4 * 6 + 3);
    }
}
