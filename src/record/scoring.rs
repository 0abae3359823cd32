//! The facts of a comparison of quality: a text cut into windows, and what two models made of each.
//!
//! A window is the unit of observation, because tokens of one window share their context. Of each
//! window the sums are stored that every mean follows from, and the divergence of each token, which
//! percentiles need. All logarithms are natural.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::observation::{EngineFacts, FailureKind, Moment};
use super::quantizing::Quantizing;
use crate::study::model::{CacheType, ModelSource, Precision};
use crate::study::variant::Variant;
use crate::units::Nanos;

/// A variant of the model began to be compared with the reference on a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scoring {
    /// Number of this comparison within the file; windows name it.
    pub scoring: u32,
    /// The precision that is judged.
    pub precision: Precision,
    /// How keys and values are cached, as asked for; where nothing is said, the engine chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv: Option<CacheType>,
    /// What the engine says of it.
    pub engine: EngineFacts,
    /// What it is judged against.
    pub reference: Reference,
    /// On which text, cut how.
    pub text: Text,
    /// How the two met.
    pub pairing: Pairing,
    /// When its loading began.
    pub started: Moment,
    /// How long that took.
    pub load_ns: Nanos,
    /// How its quantized weights came about, where they come from a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantizing: Option<Quantizing>,
}

impl Scoring {
    /// What is judged.
    pub const fn variant(&self) -> Variant {
        Variant {
            precision: self.precision,
            kv: self.kv,
        }
    }
}

/// The model that variants are judged against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// Where it comes from.
    pub source: ModelSource,
    /// How its weights are held.
    pub precision: Precision,
    /// What the engine says of it.
    pub engine: EngineFacts,
}

/// A text as tokens, cut into windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Text {
    /// Its name: `bundled`, or that of the file.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its length in tokens, with the one that begins the text where the tokenizer adds one.
    pub tokens: u64,
    /// The id that stands in the first place of every window, where the tokenizer adds one.
    pub begin: Option<u32>,
    /// Tokens of a window.
    pub context: u32,
    /// Tokens from the start of a window to the start of the next.
    pub stride: u32,
    /// First place in a window whose prediction counts, from 0; the last place predicts nothing in it.
    pub first: u32,
    /// Windows.
    pub windows: u32,
}

impl Text {
    /// Consecutive windows that share tokens with the first of them, itself included.
    pub const fn overlapping(&self) -> usize {
        if self.stride == 0 {
            return 1;
        }
        self.context.div_ceil(self.stride) as usize
    }

    /// Predictions of one window that count.
    pub const fn targets(&self) -> u32 {
        self.context.saturating_sub(1).saturating_sub(self.first)
    }
}

/// How the distributions of reference and judged model met.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Pairing {
    /// Both models were in memory at once; nothing was rounded.
    Resident,
    /// The reference's distributions were written to disk first, two bytes per token of the vocabulary.
    Stored {
        /// Largest mean rounding error of a log-probability within one distribution, weighted with it:
        /// no divergence is wrong by more than about twice this.
        error: f64,
    },
}

/// What the two models made of one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// The comparison it belongs to.
    pub scoring: u32,
    /// Its number within the text, from 0.
    pub window: u32,
    /// Σ −ln p of the true tokens, by the judged model.
    pub surprise: f64,
    /// The same by the reference.
    pub surprise_reference: f64,
    /// Σ (p − p of the reference) of the true tokens.
    pub delta_p: f64,
    /// Σ of the squares of the same.
    pub delta_p_squared: f64,
    /// Predictions in which both models hold the same token for the most probable.
    pub same_top: u32,
    /// Kullback–Leibler divergence of the judged model from the reference at each prediction, in 10⁻⁹
    /// nats.
    pub divergence_nano: Vec<u64>,
}

/// A variant of the model could not be compared with the reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unscored {
    /// The precision.
    pub precision: Precision,
    /// How keys and values are cached, as asked for; where nothing is said, the engine chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv: Option<CacheType>,
    /// How it ended.
    pub kind: FailureKind,
    /// Why, in one line.
    pub reason: String,
    /// Last lines that the worker wrote to its standard error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<String>,
}

impl Unscored {
    /// What was to be judged.
    pub const fn variant(&self) -> Variant {
        Variant {
            precision: self.precision,
            kv: self.kv,
        }
    }
}
