//! `study.toml` as a person wrote it, every key optional.
//!
//! Flags become a [`StudyFile`] of their own, which is laid over the file's with
//! [`StudyFile::overlaid`].

use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{CacheType, DeviceChoice, EngineKind, ModelSource, Precision};
use super::prompts::PromptSection;
use super::quality::QualitySection;
use super::questions::Questions;
use super::spec::Price;

/// A study as written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudyFile {
    /// What runs.
    #[serde(default)]
    pub model: ModelSection,
    /// The axes.
    #[serde(default)]
    pub sweep: SweepSection,
    /// What prompts are made of.
    #[serde(default)]
    pub prompts: PromptSection,
    /// How carefully.
    #[serde(default)]
    pub measure: MeasureSection,
    /// At what price.
    #[serde(default)]
    pub price: Price,
    /// What its report answers.
    #[serde(default, skip_serializing_if = "Questions::is_usual")]
    pub report: Questions,
    /// What each precision loses in quality; not judged where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualitySection>,
}

/// `[model]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// `tiny`, `dir:PATH`, `gguf:PATH` or `card:NAME`.
    pub source: Option<ModelSource>,
    /// `decoder`, `stock` or `sim:SCRIPT`.
    pub engine: Option<EngineKind>,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: Option<DeviceChoice>,
    /// Importance matrix that the k-quants heed.
    pub imatrix: Option<PathBuf>,
}

/// `[sweep]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepSection {
    /// How weights are held.
    pub precision: Option<Vec<Precision>>,
    /// How keys and values are cached: `f32`, `f16`, `bf16` or `q8_0`; the engine chooses where absent.
    pub kv: Option<Vec<CacheType>>,
    /// Sequences decoded together.
    pub batch: Option<Vec<NonZeroU32>>,
    /// Input lengths in tokens.
    pub isl: Option<Vec<NonZeroU32>>,
    /// Output lengths in tokens.
    pub osl: Option<Vec<NonZeroU32>>,
}

/// `[measure]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasureSection {
    /// Half-width of the interval relative to the estimate that is aimed for.
    pub target_ci: Option<f64>,
    /// Blocks of every point before the number needed is computed; at least 2.
    pub min_blocks: Option<u32>,
    /// Blocks of a point at most.
    pub max_blocks: Option<u32>,
    /// Shortest block.
    pub min_block_seconds: Option<f64>,
    /// Measured time of one point at most.
    pub max_seconds: Option<f64>,
    /// Shortest warm-up of a load.
    pub warmup_seconds: Option<f64>,
    /// Fresh workers per precision.
    pub launches: Option<u32>,
    /// Seed of prompts, order and random weights.
    pub seed: Option<u64>,
    /// Whether single-phase blocks for energy are run.
    pub energy: Option<bool>,
}

impl StudyFile {
    /// This study with every key that `upper` sets taken from there.
    #[must_use]
    pub fn overlaid(self, upper: Self) -> Self {
        let (m, s, e) = (upper.model, upper.sweep, upper.measure);
        Self {
            model: ModelSection {
                source: m.source.or(self.model.source),
                engine: m.engine.or(self.model.engine),
                device: m.device.or(self.model.device),
                imatrix: m.imatrix.or(self.model.imatrix),
            },
            sweep: SweepSection {
                precision: s.precision.or(self.sweep.precision),
                kv: s.kv.or(self.sweep.kv),
                batch: s.batch.or(self.sweep.batch),
                isl: s.isl.or(self.sweep.isl),
                osl: s.osl.or(self.sweep.osl),
            },
            prompts: self.prompts.overlaid(upper.prompts),
            measure: MeasureSection {
                target_ci: e.target_ci.or(self.measure.target_ci),
                min_blocks: e.min_blocks.or(self.measure.min_blocks),
                max_blocks: e.max_blocks.or(self.measure.max_blocks),
                min_block_seconds: e.min_block_seconds.or(self.measure.min_block_seconds),
                max_seconds: e.max_seconds.or(self.measure.max_seconds),
                warmup_seconds: e.warmup_seconds.or(self.measure.warmup_seconds),
                launches: e.launches.or(self.measure.launches),
                seed: e.seed.or(self.measure.seed),
                energy: e.energy.or(self.measure.energy),
            },
            price: self.price.overlaid(upper.price),
            report: self.report.overlaid(upper.report),
            quality: match (self.quality, upper.quality) {
                (Some(lower), Some(upper)) => Some(lower.overlaid(upper)),
                (lower, upper) => upper.or(lower),
            },
        }
    }
}
