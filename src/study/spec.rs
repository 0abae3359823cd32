//! What runs: a study after flags and defaults, with nothing left open.

use std::num::NonZeroU32;
use std::path::PathBuf;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::StudyError;
use super::file::{MeasureSection, StudyFile};
use super::model::{CacheType, DeviceChoice, EngineKind, ModelSource, Precision};
use super::prompts::PromptChoice;
use super::quality::Quality;
use super::questions::Questions;
use super::variant::Variant;
use super::workload::PointId;
use crate::units::Seconds;

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
    #[serde(deserialize_with = "super::passing_over::unknown_keys")]
    pub price: Price,
    /// What its report answers; may change without another measurement.
    #[serde(
        default,
        deserialize_with = "super::passing_over::unknown_keys",
        skip_serializing_if = "Questions::is_usual"
    )]
    pub report: Questions,
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

/// `[price]`, in a study and in the record alike: nothing of it has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
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

impl Price {
    /// This price with every key that `upper` sets taken from there.
    #[must_use]
    pub fn overlaid(self, upper: Self) -> Self {
        Self {
            gpu: upper.gpu.or(self.gpu),
            usd_per_hour: upper.usd_per_hour.or(self.usd_per_hour),
            usd_per_kwh: upper.usd_per_kwh.or(self.usd_per_kwh),
            pue: upper.pue.or(self.pue),
        }
    }

    /// This price after another was asked for. The rate was given for the machine that was measured, so it
    /// does not hold for a card that is asked for in its place.
    #[must_use]
    pub fn asked_anew(mut self, asked: Self) -> Self {
        if asked.gpu.is_some() {
            self.usd_per_hour = None;
        }
        self.overlaid(asked)
    }
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
            price: self.price,
            report: self.report,
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
    fn a_rate_does_not_hold_for_a_card_that_is_asked_for_later() {
        let price = |gpu: Option<&str>, rate: Option<i64>| Price {
            gpu: gpu.map(str::to_owned),
            usd_per_hour: rate.map(Decimal::from),
            ..Price::default()
        };
        let asked = price(Some("h100-sxm"), Some(3));
        let anew = |later| asked.clone().asked_anew(later);
        assert_eq!(anew(price(Some("l4"), None)), price(Some("l4"), None));
        assert_eq!(anew(price(Some("l4"), Some(1))), price(Some("l4"), Some(1)));
        assert_eq!(anew(price(None, Some(2))), price(Some("h100-sxm"), Some(2)));
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
