//! The worker: an engine in a process of its own, so that running out of memory, a panic or a lost
//! card is an outcome and never the end of a sweep.
//!
//! The parent speaks to a [`Worker`] without knowing where it lives: [`Process`] is the child process,
//! [`Host`] does the work, inside that child or, in tests, in the caller's own process.

mod block;
mod command;
mod create;
mod death;
mod error;
mod host;
mod kept;
mod meter;
mod process;
mod prompts;
mod protocol;
mod reader;
mod score;
mod serve;
mod stderr;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Capacity, TokenId};
use crate::record::machine::{Device, Peak};
use crate::record::observation::{Accuracy, CpuUse, EngineFacts, Generation, Moment};
use crate::record::quantizing::Quantizing;
use crate::study::model::{CacheType, DeviceChoice, EngineKind, ModelSource, Precision};
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::{Nanos, Seconds};

pub use command::WorkerCommand;
pub use create::{Created, create};
pub use error::{Loss, Refusal, WorkerError};
pub use host::Host;
pub use process::{Process, Processes, Prompted};
pub use reader::TextReader;
pub use serve::serve;

/// What to load, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where the model comes from.
    pub source: ModelSource,
    /// Which engine runs it.
    pub engine: EngineKind,
    /// Where.
    pub device: DeviceChoice,
    /// How weights are held.
    pub precision: Precision,
    /// How keys and values are cached; where nothing is said, the engine chooses.
    #[serde(default)]
    pub kv: Option<CacheType>,
    /// Seed of random weights.
    pub seed: u64,
    /// How it is held besides.
    #[serde(default)]
    pub holding: Holding,
}

impl Order {
    /// What it loads of the model.
    pub const fn variant(&self) -> Variant {
        Variant {
            precision: self.precision,
            kv: self.kv,
        }
    }
}

/// What decides, beside precision and cache, how a model is held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Importance matrix that the k-quants heed.
    pub imatrix: Option<PathBuf>,
    /// Where quantized files are kept for the next load, if they are.
    pub kept: Option<Kept>,
}

/// Where quantized files are kept, and what they are made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The folder.
    pub folder: PathBuf,
    /// SHA-256 of the model's files by name.
    pub files: BTreeMap<String, String>,
}

/// A model that was loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// When loading began.
    pub started: Moment,
    /// How long it took.
    pub duration: Nanos,
    /// How its quantized weights came about, where they come from a checkpoint.
    pub quantizing: Option<Quantizing>,
    /// What the engine says of it.
    pub engine: EngineFacts,
}

/// A comparison of logits with the reference path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckOrder {
    /// Batch sizes, each compared on its own.
    pub batches: Vec<u32>,
    /// Length of the prompts.
    pub length: u32,
    /// Seed of the prompts.
    pub seed: u64,
}

/// Generations of one point back to back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockOrder {
    /// The point.
    pub point: PointId,
    /// Seed of the prompts.
    pub seed: u64,
    /// Shortest duration.
    pub min_seconds: Seconds,
    /// Fewest generations, unless `max_seconds` ends the block before.
    pub min_generations: u32,
    /// Longest duration; a generation that would go beyond it is not begun once `min_seconds` are over.
    pub max_seconds: Seconds,
    /// Most generations.
    pub max_generations: u32,
}

/// What was seen in a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockSeen {
    /// When it began.
    pub started: Moment,
    /// Its generations in order.
    pub generations: Vec<Generation>,
    /// Generations that were repeated because work was in flight after their last token.
    pub repeated: u32,
    /// SHA-256 over the output ids.
    pub output_sha256: String,
    /// What the processor did meanwhile.
    pub cpu: CpuUse,
    /// Highest memory use.
    pub peak_memory_bytes: Option<u64>,
}

/// A text to be cut into tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextOrder {
    /// The model whose tokens are asked for.
    pub model: Order,
    /// A `tokenizer.json` to use in place of the model's own.
    pub tokenizer: Option<PathBuf>,
    /// The text.
    pub text: String,
}

/// A text as tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokenized {
    /// Ids of the text alone.
    pub ids: Vec<TokenId>,
    /// The id that the tokenizer puts before a text, where it does.
    pub begin: Option<TokenId>,
}

/// Windows to be scored with the loaded model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreOrder {
    /// Ids, window by window.
    pub windows: Vec<Vec<TokenId>>,
    /// First place in a window whose prediction counts.
    pub first: u32,
    /// Where the reference's distributions are.
    pub reference: ReferenceAt,
}

/// Where the reference's distributions are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReferenceAt {
    /// They come from the model that was set aside.
    Beside,
    /// In a file that [`Worker::store`] wrote.
    File {
        /// The file.
        file: PathBuf,
        /// Place of the first window of this order in it, from 0.
        window: u32,
    },
}

/// Windows whose distributions are to be appended to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOrder {
    /// Ids, window by window.
    pub windows: Vec<Vec<TokenId>>,
    /// First place in a window whose prediction counts.
    pub first: u32,
    /// The file.
    pub file: PathBuf,
}

/// What two models made of a window: the record's own numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowSeen {
    /// Σ −ln p of the true tokens, by the loaded model.
    pub surprise: f64,
    /// The same by the reference.
    pub surprise_reference: f64,
    /// Σ of the change of the true tokens' probability.
    pub delta_p: f64,
    /// Σ of its square.
    pub delta_p_squared: f64,
    /// Predictions with the same most probable token.
    pub same_top: u32,
    /// Divergence at each prediction, in 10⁻⁹ nats.
    pub divergence_nano: Vec<u64>,
}

/// What an engine in a place of its own can be asked.
pub trait Worker {
    /// Opens the device and says what it is, without loading a model.
    fn identify(&mut self, order: &Order) -> Result<Device, WorkerError>;

    /// Measures the limits of the device, without loading a model.
    fn peaks(&mut self, order: &Order, dtypes: &[Precision]) -> Result<Vec<Peak>, WorkerError>;

    /// Loads a model in place of the one before.
    fn load(&mut self, order: &Order) -> Result<Loaded, WorkerError>;

    /// What the engine says of the loaded model as it is now.
    fn describe(&mut self) -> Result<EngineFacts, WorkerError>;

    /// Makes room for generations of up to this size.
    fn reserve(&mut self, capacity: Capacity) -> Result<(), WorkerError>;

    /// Compares logits with the reference path.
    fn check(&mut self, order: &CheckOrder) -> Result<Vec<Accuracy>, WorkerError>;

    /// Runs a block.
    fn block(&mut self, order: &BlockOrder) -> Result<BlockSeen, WorkerError>;

    /// Cuts a text into tokens, without loading a model.
    fn tokenize(&mut self, order: &TextOrder) -> Result<Tokenized, WorkerError>;

    /// Keeps the loaded model beside the next one, as the reference.
    fn set_aside(&mut self) -> Result<(), WorkerError>;

    /// Writes the loaded model's distributions to a file; the largest mean rounding error of a
    /// log-probability within one of them.
    fn store(&mut self, order: &StoreOrder) -> Result<f64, WorkerError>;

    /// Compares the loaded model's distributions with the reference's.
    fn score(&mut self, order: &ScoreOrder) -> Result<Vec<WindowSeen>, WorkerError>;
}

/// Accompanies workers from outside: knows the device that they run on.
pub trait Escort {
    /// Hears which process works now; `None` when none does.
    fn accompany(&self, worker: Option<u32>);

    /// Why the device is of no use any more. Nothing is tried on it then.
    fn lost(&self) -> Option<String>;

    /// The same once the device was looked at again, for what took a worker may not have been heard of yet.
    fn lost_by_now(&self) -> Option<String>;
}

/// Nobody accompanies a worker whose device nothing watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unescorted;

impl Escort for Unescorted {
    fn accompany(&self, _: Option<u32>) {}

    fn lost(&self) -> Option<String> {
        None
    }

    fn lost_by_now(&self) -> Option<String> {
        None
    }
}

/// Starts workers.
pub trait Launcher {
    /// A fresh worker with nothing loaded. It is gone when dropped.
    fn launch(&mut self) -> Result<Box<dyn Worker>, WorkerError>;
}
