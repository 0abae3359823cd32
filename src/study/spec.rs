//! `study.toml`: what is to be measured, as written and as effective.
//!
//! [`StudyFile`] is what a person wrote, every key optional; [`Study`] is what runs after flags and
//! defaults, with nothing left open. Flags become a `StudyFile` of their own and are laid over the
//! file's with [`StudyFile::overlaid`].

use std::num::NonZeroU32;
use std::path::PathBuf;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::{CacheType, DeviceChoice, EngineKind, ModelSource, Precision};
use super::prompts::{PromptChoice, PromptSection, PromptsError};
use super::quality::{Quality, QualitySection};
use super::variant::Variant;
use super::workload::PointId;
use crate::units::Seconds;

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
    pub price: PriceSection,
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

/// `[price]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceSection {
    /// Card id of the GPU catalog.
    pub gpu: Option<String>,
    /// Price of one hour of the device, decimal text.
    #[serde(default, with = "super::decimal_text")]
    #[schemars(with = "Option<String>")]
    pub usd_per_hour: Option<Decimal>,
    /// Price of one kilowatt-hour, decimal text; what energy costs stands beside the rental.
    #[serde(default, with = "super::decimal_text")]
    #[schemars(with = "Option<String>")]
    pub usd_per_kwh: Option<Decimal>,
    /// Energy of the building per energy of the card (PUE), decimal text, 1 or more.
    #[serde(default, with = "super::decimal_text")]
    #[schemars(with = "Option<String>")]
    pub pue: Option<Decimal>,
}

/// A study with nothing left open. It is stored in the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Study {
    /// Where the model comes from.
    pub source: ModelSource,
    /// Which engine runs it.
    pub engine: EngineKind,
    /// Where.
    pub device: DeviceChoice,
    /// Importance matrix that the k-quants heed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imatrix: Option<PathBuf>,
    /// The axes.
    pub sweep: Sweep,
    /// What prompts are made of.
    #[serde(default)]
    pub prompts: PromptChoice,
    /// How carefully.
    pub measure: Measure,
    /// At what price.
    pub price: Price,
    /// What each precision loses in quality, where that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

/// The axes of a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sweep {
    /// How weights are held, in study order.
    pub precision: Vec<Precision>,
    /// How keys and values are cached, in study order; where nothing is said, the engine chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv: Option<Vec<CacheType>>,
    /// Sequences decoded together.
    pub batch: Vec<NonZeroU32>,
    /// Input lengths.
    pub isl: Vec<NonZeroU32>,
    /// Output lengths.
    pub osl: Vec<NonZeroU32>,
}

impl Sweep {
    /// Leaves of values that are written twice the first: a point is measured once.
    fn drop_repeats(&mut self) {
        fn distinct<T: PartialEq + Copy>(values: &mut Vec<T>) {
            let mut kept: Vec<T> = Vec::with_capacity(values.len());
            values.retain(|value| {
                let fresh = !kept.contains(value);
                kept.push(*value);
                fresh
            });
        }
        distinct(&mut self.precision);
        self.kv.iter_mut().for_each(distinct);
        distinct(&mut self.batch);
        distinct(&mut self.isl);
        distinct(&mut self.osl);
    }

    /// Every variant in study order: precision, then type of the KV cache.
    pub fn variants(&self) -> Vec<Variant> {
        let caches: Vec<Option<CacheType>> = match &self.kv {
            Some(kinds) => kinds.iter().copied().map(Some).collect(),
            None => vec![None],
        };
        let mut variants = Vec::new();
        for &precision in &self.precision {
            for &kv in &caches {
                variants.push(Variant { precision, kv });
            }
        }
        variants
    }

    /// Every point in study order: variant, then batch, then input, then output length.
    pub fn points(&self) -> Vec<PointId> {
        let mut points = Vec::new();
        for Variant { precision, kv } in self.variants() {
            for &batch in &self.batch {
                for &isl in &self.isl {
                    for &osl in &self.osl {
                        points.push(PointId {
                            precision,
                            kv,
                            batch,
                            isl,
                            osl,
                        });
                    }
                }
            }
        }
        points
    }

    /// Whether there are more points than anyone means to pay for.
    pub fn is_too_large(&self) -> bool {
        let caches = self.kv.as_ref().map_or(1, Vec::len);
        let points = [caches, self.batch.len(), self.isl.len(), self.osl.len()]
            .into_iter()
            .try_fold(self.precision.len(), usize::checked_mul);
        points.is_none_or(|n| n > MAX_POINTS)
    }
}

/// How carefully a study is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measure {
    /// Relative half-width aimed for.
    pub target_ci: f64,
    /// Blocks before the number needed is computed.
    pub min_blocks: u32,
    /// Blocks at most.
    pub max_blocks: u32,
    /// Shortest block.
    pub min_block_seconds: Seconds,
    /// Measured time of one point at most.
    pub max_seconds: Seconds,
    /// Shortest warm-up of a load.
    pub warmup_seconds: Seconds,
    /// Fresh workers per precision.
    pub launches: u32,
    /// Seed of prompts, order and random weights.
    pub seed: u64,
    /// Whether single-phase blocks for energy are run.
    pub energy: bool,
}

/// The price as asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// Card id of the GPU catalog.
    pub gpu: Option<String>,
    /// Price of one hour of the device.
    #[serde(default, with = "super::decimal_text")]
    #[schemars(with = "Option<String>")]
    pub usd_per_hour: Option<Decimal>,
    /// Price of one kilowatt-hour.
    #[serde(default, with = "super::decimal_text")]
    #[schemars(with = "Option<String>")]
    pub usd_per_kwh: Option<Decimal>,
    /// Energy of the building per energy of the card.
    #[serde(default, with = "super::decimal_text")]
    #[schemars(with = "Option<String>")]
    pub pue: Option<Decimal>,
}

/// What the resolved device is, as far as defaults depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A CPU.
    Cpu,
    /// A CUDA card.
    Cuda,
}

impl StudyFile {
    /// This study with every key that `upper` sets taken from there.
    #[must_use]
    pub fn overlaid(self, upper: Self) -> Self {
        let (m, s, e, p) = (upper.model, upper.sweep, upper.measure, upper.price);
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
            price: PriceSection {
                gpu: p.gpu.or(self.price.gpu),
                usd_per_hour: p.usd_per_hour.or(self.price.usd_per_hour),
                usd_per_kwh: p.usd_per_kwh.or(self.price.usd_per_kwh),
                pue: p.pue.or(self.price.pue),
            },
            quality: match (self.quality, upper.quality) {
                (Some(lower), Some(upper)) => Some(lower.overlaid(upper)),
                (lower, upper) => upper.or(lower),
            },
        }
    }

    /// The study that runs on `target`, with defaults where nothing was written.
    pub fn resolved(self, target: Target) -> Result<Study, StudyError> {
        let source = self.model.source.unwrap_or(ModelSource::Tiny);
        let defaults = SweepDefaults::of(&source, target);
        let mut study = Study {
            engine: self.model.engine.unwrap_or(EngineKind::Decoder),
            device: self.model.device.unwrap_or(DeviceChoice::Auto),
            imatrix: self.model.imatrix,
            sweep: Sweep {
                precision: self.sweep.precision.unwrap_or(defaults.precision),
                kv: self.sweep.kv,
                batch: self.sweep.batch.unwrap_or(defaults.batch),
                isl: self.sweep.isl.unwrap_or(vec![defaults.isl]),
                osl: self.sweep.osl.unwrap_or(vec![defaults.osl]),
            },
            prompts: self.prompts.resolved()?,
            measure: self.measure.resolved(target, &source),
            price: Price {
                gpu: self.price.gpu,
                usd_per_hour: self.price.usd_per_hour,
                usd_per_kwh: self.price.usd_per_kwh,
                pue: self.price.pue,
            },
            quality: self
                .quality
                .map(|section| section.resolved(target, &source))
                .transpose()?,
            source,
        };
        study.sweep.drop_repeats();
        study.check()?;
        Ok(study)
    }
}

/// The sweep where nothing was written.
struct SweepDefaults {
    precision: Vec<Precision>,
    batch: Vec<NonZeroU32>,
    isl: NonZeroU32,
    osl: NonZeroU32,
}

impl SweepDefaults {
    fn of(source: &ModelSource, target: Target) -> Self {
        let count = |n| NonZeroU32::new(n).expect("a literal above zero");
        let precision = match (source, target) {
            (ModelSource::Gguf(_), _) => vec![Precision::Native],
            (_, Target::Cpu) => vec![Precision::F32, Precision::Q8_0, Precision::Q4K],
            (_, Target::Cuda) => vec![Precision::Bf16, Precision::Q8_0, Precision::Q4K],
        };
        let (batch, isl, osl) = match source {
            ModelSource::Tiny => (vec![1, 4], 128, 32),
            ModelSource::Dir(_)
            | ModelSource::Gguf(_)
            | ModelSource::Card(_)
            | ModelSource::Hub(_) => (vec![1, 4, 16], 512, 128),
        };
        Self {
            precision,
            batch: batch.into_iter().map(count).collect(),
            isl: count(isl),
            osl: count(osl),
        }
    }
}

impl MeasureSection {
    /// The defaults of the measurement: a card repeats itself within 1 %, a CPU within 3 %, and a
    /// process on a CPU differs from the next by more than its blocks among themselves. The embedded
    /// model is there to show the tool in two minutes, so it is measured more briefly.
    fn resolved(self, target: Target, source: &ModelSource) -> Measure {
        let brief = *source == ModelSource::Tiny;
        let (target_ci, block, launches) = match target {
            Target::Cpu => (0.03, 0.5, 3),
            Target::Cuda => (0.01, 1.0, 1),
        };
        let max_seconds = if brief { 8.0 } else { 60.0 };
        Measure {
            target_ci: self.target_ci.unwrap_or(target_ci),
            min_blocks: self.min_blocks.unwrap_or(8),
            max_blocks: self.max_blocks.unwrap_or(40),
            min_block_seconds: Seconds::new(self.min_block_seconds.unwrap_or(block)),
            max_seconds: Seconds::new(self.max_seconds.unwrap_or(max_seconds)),
            warmup_seconds: Seconds::new(self.warmup_seconds.unwrap_or(2.0)),
            launches: self.launches.unwrap_or(launches),
            seed: self.seed.unwrap_or(1),
            energy: self.energy.unwrap_or(false),
        }
    }
}

/// More points than anyone means to pay for.
const MAX_POINTS: usize = 10_000;

impl Study {
    fn check(&self) -> Result<(), StudyError> {
        let sweep = &self.sweep;
        for (key, empty) in [
            ("sweep.precision", sweep.precision.is_empty()),
            ("sweep.kv", sweep.kv.as_ref().is_some_and(Vec::is_empty)),
            ("sweep.batch", sweep.batch.is_empty()),
            ("sweep.isl", sweep.isl.is_empty()),
            ("sweep.osl", sweep.osl.is_empty()),
        ] {
            if empty {
                return Err(StudyError::Empty { key });
            }
        }
        if sweep.is_too_large() {
            return Err(StudyError::TooManyPoints { limit: MAX_POINTS });
        }
        if matches!(self.source, ModelSource::Gguf(_)) && sweep.precision != [Precision::Native] {
            return Err(StudyError::GgufPrecision);
        }
        self.measure.check()?;
        self.price.check()
    }
}

impl Price {
    fn check(&self) -> Result<(), StudyError> {
        let above_zero = |number: Decimal| !number.is_sign_negative() && !number.is_zero();
        let prices = [
            ("price.usd_per_hour", self.usd_per_hour),
            ("price.usd_per_kwh", self.usd_per_kwh),
        ];
        for (key, price) in prices {
            if let Some(price) = price.filter(|price| !above_zero(*price)) {
                return Err(StudyError::OutOfRange {
                    key,
                    value: price.to_string(),
                    range: "above 0",
                });
            }
        }
        match self.pue {
            Some(pue) if pue < Decimal::ONE => Err(StudyError::OutOfRange {
                key: "price.pue",
                value: pue.to_string(),
                range: "1 or more",
            }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Measure {
    fn check(&self) -> Result<(), StudyError> {
        let refuse = |key, value: String, range| Err(StudyError::OutOfRange { key, value, range });
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(self.target_ci) || self.target_ci >= 1.0 {
            let value = self.target_ci.to_string();
            return refuse("measure.target_ci", value, "above 0 and below 1");
        }
        if self.min_blocks < 2 {
            return refuse(
                "measure.min_blocks",
                self.min_blocks.to_string(),
                "2 or more",
            );
        }
        if self.max_blocks < self.min_blocks {
            let value = self.max_blocks.to_string();
            return refuse("measure.max_blocks", value, "measure.min_blocks or more");
        }
        if self.launches == 0 {
            return refuse("measure.launches", "0".to_owned(), "1 or more");
        }
        for (key, seconds) in [
            ("measure.min_block_seconds", self.min_block_seconds),
            ("measure.max_seconds", self.max_seconds),
        ] {
            if !positive(seconds.value()) {
                return refuse(key, seconds.value().to_string(), "above 0");
            }
        }
        if !(self.warmup_seconds.value().is_finite() && self.warmup_seconds.value() >= 0.0) {
            let value = self.warmup_seconds.value().to_string();
            return refuse("measure.warmup_seconds", value, "0 or more");
        }
        Ok(())
    }
}

/// A study that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StudyError {
    /// Prompts of nothing or of two things.
    #[error(transparent)]
    Prompts(#[from] PromptsError),
    /// An axis without a value.
    #[error("{key} is empty; give at least one value")]
    Empty {
        /// The key.
        key: &'static str,
    },
    /// More points than anyone means.
    #[error("the sweep has more than {limit} points; shorten a list")]
    TooManyPoints {
        /// The limit.
        limit: usize,
    },
    /// A GGUF file fixes its precision.
    #[error("a gguf: source runs at its own precision; set sweep.precision to [\"native\"]")]
    GgufPrecision,
    /// A number outside its range.
    #[error("{key} = {value} is out of range; it must be {range}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What stood there.
        value: String,
        /// What may stand there.
        range: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_tiny_model() {
        let study = StudyFile::default().resolved(Target::Cpu).unwrap();
        assert_eq!(study.source, ModelSource::Tiny);
        assert_eq!(study.sweep.points().len(), 6);
        assert_eq!(study.sweep.isl[0].get(), 128);
    }

    #[test]
    fn the_cache_is_an_axis_of_its_own() {
        let mut file = StudyFile::default();
        file.sweep.precision = Some(vec![Precision::F32, Precision::Q4K]);
        file.sweep.kv = Some(vec![CacheType::F16, CacheType::Q8_0, CacheType::F16]);
        file.sweep.batch = Some(vec![NonZeroU32::MIN]);
        let points = file.clone().resolved(Target::Cpu).unwrap().sweep.points();
        let named: Vec<String> = points.iter().map(ToString::to_string).collect();
        assert_eq!(
            named,
            [
                "f32 kv f16 b1 128/32",
                "f32 kv q8_0 b1 128/32",
                "q4_k kv f16 b1 128/32",
                "q4_k kv q8_0 b1 128/32"
            ]
        );
        file.sweep.kv = Some(Vec::new());
        let error = file.resolved(Target::Cpu).unwrap_err();
        assert_eq!(error, StudyError::Empty { key: "sweep.kv" });
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = StudyFile {
            measure: MeasureSection {
                seed: Some(1),
                launches: Some(2),
                ..Default::default()
            },
            ..Default::default()
        };
        let flags = StudyFile {
            measure: MeasureSection {
                seed: Some(7),
                ..Default::default()
            },
            ..Default::default()
        };
        let study = file.overlaid(flags).resolved(Target::Cpu).unwrap();
        assert_eq!((study.measure.seed, study.measure.launches), (7, 2));
    }

    #[test]
    fn a_value_that_is_written_twice_is_measured_once() {
        let mut file = StudyFile::default();
        file.sweep.precision = Some(vec![Precision::Q8_0, Precision::F32, Precision::Q8_0]);
        file.sweep.batch = Some([4, 1, 4, 1].map(|n| n.try_into().unwrap()).to_vec());
        let sweep = file.resolved(Target::Cpu).unwrap().sweep;
        assert_eq!(sweep.precision, [Precision::Q8_0, Precision::F32]);
        assert_eq!(sweep.points().len(), 4);
        assert_eq!(sweep.points()[0].batch.get(), 4, "the order is kept");
    }

    #[test]
    fn nonsense_is_refused_with_its_key() {
        let refuse = |section: MeasureSection| {
            let file = StudyFile {
                measure: section,
                ..Default::default()
            };
            file.resolved(Target::Cpu).unwrap_err().to_string()
        };
        let error = refuse(MeasureSection {
            target_ci: Some(f64::NAN),
            ..Default::default()
        });
        assert!(error.contains("measure.target_ci = NaN"), "{error}");
        let error = refuse(MeasureSection {
            min_blocks: Some(1),
            ..Default::default()
        });
        assert!(error.contains("measure.min_blocks = 1"), "{error}");
    }

    #[test]
    fn a_gguf_runs_only_as_it_is() {
        let mut file = StudyFile::default();
        file.model.source = Some("gguf:x.gguf".parse().unwrap());
        assert!(file.clone().resolved(Target::Cpu).is_ok());
        file.sweep.precision = Some(vec![Precision::Q8_0]);
        assert_eq!(file.resolved(Target::Cpu), Err(StudyError::GgufPrecision));
    }
}
