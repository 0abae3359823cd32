//! `[uncertainty]`: which inputs are drawn, from what, and how they move together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::number;

/// `[uncertainty]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Uncertainty {
    /// Draws.
    #[serde(deserialize_with = "number::whole_u32")]
    pub draws: u32,
    /// Seed of the generator.
    #[serde(deserialize_with = "number::whole_u64")]
    pub seed: u64,
    /// Whether the fleet is fixed before the draw or sized by it.
    pub fleet: CommittedFleet,
    /// Variation of one host against the next; 5 % where it is needed and left out.
    pub between_host_cv: Option<f64>,
    /// What is drawn.
    pub input: Vec<UncertainInput>,
    /// What moves together.
    pub correlation: Vec<Correlation>,
}

impl Default for Uncertainty {
    fn default() -> Self {
        Self {
            draws: 10_000,
            seed: 1,
            fleet: CommittedFleet::Committed,
            between_host_cv: None,
            input: Vec::new(),
            correlation: Vec::new(),
        }
    }
}

/// When the fleet is sized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommittedFleet {
    /// Once from the plan and paid; overflow goes to the API.
    #[default]
    Committed,
    /// Per draw, which is perfect foresight.
    Resized,
}

/// The shapes an input may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DistributionKind {
    /// `value`
    Fixed,
    /// `low`, `high`
    Uniform,
    /// `low`, `mode`, `high`
    Triangular,
    /// `median`, `p95`
    Lognormal,
    /// `mean`, `sd`, `low`, `high`
    Beta,
}

/// `[[uncertainty.input]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UncertainInput {
    /// The dotted key of a number in this file.
    pub key: String,
    /// Its shape.
    pub distribution: DistributionKind,
    /// Of `fixed`.
    #[serde(default)]
    pub value: Option<f64>,
    /// Of `uniform`, `triangular` and `beta`.
    #[serde(default)]
    pub low: Option<f64>,
    /// Of `triangular`.
    #[serde(default)]
    pub mode: Option<f64>,
    /// Of `uniform`, `triangular` and `beta`.
    #[serde(default)]
    pub high: Option<f64>,
    /// Of `lognormal`.
    #[serde(default)]
    pub median: Option<f64>,
    /// Of `lognormal`.
    #[serde(default)]
    pub p95: Option<f64>,
    /// Of `beta`.
    #[serde(default)]
    pub mean: Option<f64>,
    /// Of `beta`.
    #[serde(default)]
    pub sd: Option<f64>,
}

/// `[[uncertainty.correlation]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Correlation {
    /// The two keys, both drawn.
    pub keys: [String; 2],
    /// Correlation of their ranks.
    pub rank_correlation: f64,
}
