//! The facts of a run. Nothing here can be computed from something else here.
//!
//! Times are integer nanoseconds on the monotonic clock of the measuring machine. Everything that a
//! report says is derived from these by `metrics` and `cost`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::card::Sensors;
use super::machine::{Device, DeviceKind, Host, Peak};
use super::prompts::PromptFacts;
use super::quantizing::Quantizing;
use super::scoring::{Scoring, Unscored, Window};
use super::steps::Steps;
use crate::clock::Clock;
use crate::study::model::{CacheType, EngineKind, Family, ModelSource, Precision, Shape};
use crate::study::spec::Study;
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::Nanos;

/// One line of `run.jsonl`, without its place in the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// A run began or went on: who measures what with which program.
    Session(Box<Session>),
    /// The device that the engine runs on.
    Device(Box<Device>),
    /// A measured limit of the device.
    Peak(Peak),
    /// A model was loaded as one variant in a fresh worker.
    Load(Box<Load>),
    /// A block of generations of one point.
    Block(Box<Block>),
    /// A point ended without a result.
    Failure(Failure),
    /// A point was not tried.
    Skip(Skip),
    /// A variant began to be compared with the reference on a text.
    Scoring(Box<Scoring>),
    /// What both made of one window of the text.
    Window(Box<Window>),
    /// A variant could not be compared.
    Unscored(Unscored),
    /// The session ended on its own terms.
    End(End),
}

/// A moment on both clocks, because NVML stamps its samples with wall-clock time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// Monotonic time.
    pub monotonic_ns: Nanos,
    /// Wall-clock time since 1970, UTC.
    pub realtime_ns: Nanos,
}

impl Moment {
    /// Now.
    pub fn now(clock: &dyn Clock) -> Self {
        Self {
            monotonic_ns: clock.now(),
            realtime_ns: clock.realtime(),
        }
    }
}

/// Who measures what with which program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Version of the record's schema.
    pub schema: u32,
    /// When the session began.
    pub started: Moment,
    /// The date of the run, UTC: prices are aged against it.
    #[schemars(with = "String")]
    pub run_date: jiff::civil::Date,
    /// The program.
    pub harness: Harness,
    /// The engine.
    pub engine: EngineKind,
    /// The model as asked for and as found.
    pub model: Model,
    /// The study after defaults and flags.
    pub study: Study,
    /// What prompts were made of; records from before there was a choice have random ids.
    #[serde(default)]
    pub prompts: PromptFacts,
    /// SHA-256 of the bundled catalog.
    pub catalog_sha256: String,
    /// The machine.
    pub host: Host,
}

/// The program that measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Harness {
    /// Version of mtok.
    pub version: String,
    /// Commit it was built from, where known.
    pub commit: Option<String>,
    /// Whether the tree had changes at build time, where known.
    pub dirty: Option<bool>,
    /// SHA-256 of the executable.
    pub binary_sha256: String,
    /// Version of candle.
    pub candle: String,
    /// Features of the build.
    pub features: Vec<String>,
}

/// The model as asked for and as found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// As asked for.
    pub source: ModelSource,
    /// Name for headings: the card, the folder or the file.
    pub name: String,
    /// The architecture.
    pub family: Family,
    /// The shape.
    pub shape: Shape,
    /// Whether the weights are random numbers of that shape instead of a checkpoint.
    pub random_weights: bool,
    /// What [`Precision::Native`] means for this source.
    pub native: Precision,
    /// SHA-256 of each file by name; empty for random weights.
    pub files: BTreeMap<String, String>,
}

/// How a model sits on the device as one variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Number of this load within the file; blocks name it.
    pub load: u32,
    /// Which of the study's launches it belongs to, from 0.
    pub launch: u32,
    /// Precision as asked for.
    pub precision: Precision,
    /// How keys and values are cached, as asked for; where nothing is said, the engine chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv: Option<CacheType>,
    /// What the engine says of itself.
    pub engine: EngineFacts,
    /// When loading began.
    pub started: Moment,
    /// How long it took.
    pub duration_ns: Nanos,
    /// How its quantized weights came about, where they come from a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantizing: Option<Quantizing>,
    /// The check of logits before timing, one entry per batch size checked.
    pub accuracy: Vec<Accuracy>,
}

impl Load {
    /// What was loaded.
    pub const fn variant(&self) -> Variant {
        Variant {
            precision: self.precision,
            kv: self.kv,
        }
    }
}

/// What an engine says of a loaded model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EngineFacts {
    /// Most frequent type of the weight matrices, in GGML's words.
    pub weight_type: String,
    /// Bits per weight over all matrices, true sizes.
    pub bits_per_weight: f64,
    /// Type of activations.
    pub activation_dtype: String,
    /// Type of the KV cache.
    pub kv_dtype: String,
    /// Weights on the device, embeddings and norms included.
    pub weight_bytes: u64,
    /// Bytes of weights read by one decode step: packed form, without an untied input embedding.
    pub weight_bytes_per_step: u64,
    /// Bytes that one token of one sequence occupies in the KV cache.
    pub kv_bytes_per_token: u64,
    /// Bytes of KV cache allocated.
    pub kv_allocated_bytes: u64,
    /// Floating-point operations per token of the matrix products, without attention scores.
    pub flop_per_token: u64,
    /// Floating-point operations of attention per token and token of context.
    pub flop_per_token_and_context: u64,
    /// Anonymous resident memory of the worker after load, where the system tells.
    pub resident_bytes: Option<u64>,
    /// Its peak during load.
    pub peak_resident_bytes: Option<u64>,
}

/// Logits of the timed path against the eager reference path with the same weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Accuracy {
    /// Sequences checked together.
    pub batch: u32,
    /// Largest relative L2 error over the prefill and three decode steps; `None` when not finite.
    pub relative_error: Option<f64>,
    /// What is allowed for this precision.
    pub bound: f64,
    /// Where the reference ran, if on another device than the timed path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_on: Option<DeviceKind>,
}

impl Accuracy {
    /// Whether the timed path computes what the reference computes.
    pub fn passed(&self) -> bool {
        self.relative_error.is_some_and(|error| error <= self.bound)
    }
}

/// Generations of one point back to back: the unit of observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// The load it ran in.
    pub load: u32,
    /// The point.
    pub point: PointId,
    /// What it is for.
    pub purpose: Purpose,
    /// The point of the study that an energy block serves; its own lengths show one phase alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<PointId>,
    /// Round, from 0; every live point has one block per round.
    pub round: u32,
    /// When it began.
    pub started: Moment,
    /// Its generations in order.
    pub generations: Vec<Generation>,
    /// Generations that were left out and repeated, because work was in flight after their last token.
    #[serde(default)]
    pub repeated: u32,
    /// SHA-256 over the output ids, little-endian, generation by generation and row by row.
    pub output_sha256: String,
    /// What the processor did meanwhile.
    pub cpu: CpuUse,
    /// Highest memory use of the device (pool high-water mark) or process (VmHWM) so far.
    pub peak_memory_bytes: Option<u64>,
    /// Sensor readings that fall into the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensors: Option<Sensors>,
}

/// What a block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// An estimate.
    Measure,
    /// The first point again at the end of a load, to show drift.
    Drift,
    /// One phase alone for a long time, to show energy.
    Energy,
}

/// Work after the last token, relative to the time until then, that makes a generation invalid: tokens
/// would have been computed that nobody counted.
pub const MAX_TAIL_SHARE: f64 = 0.01;

/// Time stamps of one generation, relative to its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Generation {
    /// Device idle, prompt ids in host memory, nothing computed yet.
    pub t0_ns: Nanos,
    /// From `t0` to the first token, then from each token to the next.
    #[schemars(with = "Vec<Nanos>")]
    pub steps_ns: Steps,
    /// From the last token to the end of all work.
    pub tail_ns: Nanos,
    /// Device time from `t0` to the last token, where the device has events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_ns: Option<Nanos>,
}

/// What the processor did during a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CpuUse {
    /// Wall time of the block.
    pub wall_ns: Nanos,
    /// CPU time of the worker, all threads.
    pub worker_ns: Nanos,
    /// CPU time of the parent.
    pub parent_ns: Nanos,
    /// Time that the hypervisor took from this machine, all CPUs.
    pub steal_ns: Option<Nanos>,
}

/// How a point ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The device or the process ran out of memory.
    Oom,
    /// The worker died.
    Crashed,
    /// The worker made no progress.
    Timeout,
    /// The outcome cannot be trusted.
    Invalid,
}

/// A point ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The load, when there was one.
    pub load: Option<u32>,
    /// The point; `None` when the load itself failed for all points of its variant.
    pub point: Option<PointId>,
    /// The precision of the load.
    pub precision: Precision,
    /// How keys and values are cached, as asked for; where nothing is said, the engine chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv: Option<CacheType>,
    /// How.
    pub kind: FailureKind,
    /// Why, in one line.
    pub reason: String,
    /// Last lines that the worker wrote to its standard error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<String>,
}

impl Failure {
    /// What was loaded, or was to be.
    pub const fn variant(&self) -> Variant {
        Variant {
            precision: self.precision,
            kv: self.kv,
        }
    }
}

/// A point was not tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skip {
    /// The point.
    pub point: PointId,
    /// Why not.
    pub cause: SkipCause,
    /// The same in words, with the numbers.
    pub reason: String,
}

/// Why a point was not tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipCause {
    /// The plan shows that it does not fit the memory.
    DoesNotFit,
    /// Prompt and output together exceed the model's context.
    BeyondContext,
    /// A smaller point of the same variant ran out of memory.
    OomDominated,
    /// The engine cannot run this precision of this model.
    Unsupported,
    /// The worker of its variant could not be kept alive.
    LoadFailed,
    /// The time asked for was used up.
    OutOfTime,
}

/// The session ended on its own terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// How.
    pub status: EndStatus,
    /// When.
    pub at: Moment,
    /// Sensor readings of the card after the last worker ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Box<Sensors>>,
    /// Why the card was lost, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// Workers that were lost without a point's failing for it: why, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers_lost: Vec<String>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndStatus {
    /// All that was planned has an outcome.
    Complete,
    /// A signal ended it; what is stored is valid.
    Interrupted,
}
