//! How tokens are made: the contract of an engine and the engines that keep it.

pub mod cards;
pub(crate) mod config;
pub(crate) mod decoder;
pub(crate) mod device;
mod divergence;
mod floats;
mod generate;
pub(crate) mod gguf;
pub mod hub;
mod kernels;
pub(crate) mod peaks;
pub(crate) mod quantize;
pub mod sim;
pub(crate) mod stock;
mod stopwatch;
pub mod text;
pub mod tiny;
pub(crate) mod tokenizer;
pub mod untrusted;
pub mod weights;
pub mod worker;

use crate::clock::Clock;
use crate::record::machine::Peak;
use crate::record::observation::{Accuracy, EngineFacts};
use crate::study::model::Precision;
use crate::units::Nanos;

/// One id of the vocabulary.
pub type TokenId = u32;

/// Prompts of equal length for one generation, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompts {
    /// Ids in row-major order, `[batch, length]`.
    ids: Vec<TokenId>,
    /// Sequences.
    batch: usize,
}

impl Prompts {
    /// Prompts from `ids` in row-major order; `None` unless they divide into `batch` equal,
    /// non-empty rows.
    pub fn new(ids: Vec<TokenId>, batch: usize) -> Option<Self> {
        (batch > 0 && !ids.is_empty() && ids.len().is_multiple_of(batch))
            .then_some(Self { ids, batch })
    }

    /// Sequences.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Tokens of one sequence.
    pub fn length(&self) -> usize {
        self.ids.len() / self.batch
    }

    /// All ids, row-major.
    pub fn ids(&self) -> &[TokenId] {
        &self.ids
    }
}

/// Steps done so far, readable from another thread: a hang differs from a long prefill by it.
#[derive(Debug, Default)]
pub struct Progress(std::sync::atomic::AtomicU64);

impl Progress {
    /// Counts one step (a forward pass, a loaded tensor, a measured buffer).
    pub fn step(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// What one generation looked like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Device idle, ids in host memory, nothing computed yet.
    pub t0: Nanos,
    /// Moment at which the host held id k of every row, in order.
    pub arrivals: Vec<Nanos>,
    /// Device idle again.
    pub end: Nanos,
    /// Device time from `t0` to the last arrival, where the device has events.
    pub device: Option<Nanos>,
    /// Generated ids, row-major, `[batch, tokens]`.
    pub ids: Vec<TokenId>,
}

/// Size of the KV cache that an engine allocates once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Capacity {
    /// Sequences.
    pub batch: u32,
    /// Tokens per sequence, prompt and output together.
    pub context: u32,
}

/// A loaded model.
///
/// # Timing contract
///
/// `generate` reads the clock as `t0` with the device synchronized, the prompt ids in host memory, the
/// KV cache empty and nothing of this generation computed. It reads it again whenever the host first
/// holds the next id of every row. At most one forward pass is in flight beyond the last id the host
/// holds. `tokens` ids take exactly `tokens` forward passes, and none is in flight after the last
/// arrival. Nothing in between logs, formats, or allocates without need.
pub trait Engine: Scorer {
    /// What the engine says of the loaded model.
    fn describe(&self) -> EngineFacts;

    /// Makes room for generations of up to this size, dropping what was there.
    fn reserve(&mut self, capacity: Capacity) -> Result<(), EngineError>;

    /// Generates `tokens` ids per row, greedily and without regard to end-of-sequence.
    fn generate(
        &mut self,
        prompts: &Prompts,
        tokens: usize,
        clock: &dyn Clock,
        progress: &Progress,
    ) -> Result<Trace, EngineError>;

    /// Compares the logits of the timed path with the eager reference path: the prefill of `prompts`
    /// and three decode steps.
    fn check(&mut self, prompts: &Prompts, progress: &Progress) -> Result<Accuracy, EngineError>;

    /// Highest memory use since the last call: the device's pool, or `None` where only the process
    /// can tell.
    fn peak_memory(&mut self) -> Option<u64>;
}

/// Logits of neighbouring places of one window.
#[derive(Debug, Clone, Copy)]
pub struct Logits<'a> {
    /// Place of the first row in the window, from 0.
    pub first: usize,
    /// Tokens of the vocabulary.
    pub vocabulary: usize,
    /// Row after row, `[places, vocabulary]`.
    pub values: &'a [f32],
}

impl<'a> Logits<'a> {
    /// The rows with their places.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &'a [f32])> {
        let rows = self.values.chunks_exact(self.vocabulary.max(1));
        (self.first..).zip(rows)
    }
}

/// What is made of logits on their way.
pub type Visit<'a> = dyn FnMut(Logits<'_>) -> Result<(), EngineError> + Send + 'a;

/// A loaded model that tells how probable it holds every token at every place of a text.
pub trait Scorer {
    /// Runs one pass over `window`, from an empty cache that has room for it, and hands on the logits of
    /// the places from `first` to the last but one, in order and a part at a time.
    fn score(
        &mut self,
        window: &[TokenId],
        first: usize,
        progress: &Progress,
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError>;
}

/// What a device can do at most, measured on it.
pub trait MeasurePeaks {
    /// Measures read and copy bandwidth over several buffer sizes and the matmul rate of each dtype.
    fn peaks(
        &mut self,
        dtypes: &[Precision],
        clock: &dyn Clock,
        progress: &Progress,
    ) -> Result<Vec<Peak>, EngineError>;
}

/// Why an engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Memory ran out.
    #[error("out of memory: {detail}")]
    OutOfMemory {
        /// What was being allocated, with sizes where known.
        detail: String,
    },
    /// The model, its files or its tokenizer cannot be used.
    #[error("{place}: {reason}")]
    Model {
        /// File, and key or tensor or offset within it.
        place: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The engine cannot do this with a model that is in order.
    #[error("unsupported: {reason}")]
    Unsupported {
        /// What and why.
        reason: String,
    },
    /// The device is not there or failed.
    #[error("device: {reason}")]
    Device {
        /// What and why.
        reason: String,
    },
    /// A file of one's own cannot be written or read.
    #[error("{place}: {reason}")]
    Storage {
        /// The file.
        place: String,
        /// Why.
        reason: String,
    },
    /// Logits that are not numbers.
    #[error("not a number in the logits of step {step}")]
    NotFinite {
        /// Forward pass, from 0.
        step: usize,
    },
}

/// Characters of a reason that are kept at its beginning, and at its end where the remedy stands.
const KEPT: (usize, usize) = (300, 200);

impl EngineError {
    /// A refusal of a model file: the file with the key, tensor or offset in it, and why. A reason may
    /// repeat names from the file, of any length.
    pub(crate) fn model(place: impl std::fmt::Display, reason: impl Into<String>) -> Self {
        Self::Model {
            place: place.to_string(),
            reason: shortened(reason.into()),
        }
    }
}

fn shortened(text: String) -> String {
    let (first, last) = KEPT;
    let at = |count| text.char_indices().nth(count).map(|(at, _)| at);
    let from_end = text.char_indices().nth_back(last).map(|(at, _)| at);
    match (at(first + last), at(first), from_end) {
        (Some(_), Some(first), Some(last)) => format!("{} … {}", &text[..first], &text[last..]),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_keeps_its_beginning_and_its_remedy() {
        let reason = format!("token {} is odd; take another", "ä".repeat(1_000_000));
        let message = EngineError::model("file", reason).to_string();
        assert!(message.starts_with("file: token ä"), "{message}");
        assert!(message.ends_with("is odd; take another"), "{message}");
        assert!(message.chars().count() < 600, "{message}");
        assert_eq!(EngineError::model("file", "odd").to_string(), "file: odd");
    }
}
