//! The script of the simulated engine, as written.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::Deserialize;

use super::bounds::{self, ScriptError};
use super::timeline::TimeKind;
use crate::record::machine::{Device, DeviceKind};
use crate::study::input;
use crate::study::model::Precision;
use crate::study::workload::PointId;

/// A script.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// What the device is.
    pub device: DeviceSection,
    /// What the model is.
    pub model: ModelSection,
    /// How long things take.
    pub time: TimeSection,
    /// What the check of logits finds.
    pub accuracy: AccuracySection,
    /// What the limits of the device are.
    pub peaks: PeaksSection,
    /// What goes wrong.
    pub fault: Vec<Fault>,
}

/// `[device]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceSection {
    /// Its name.
    pub name: String,
    /// PCI bus id, so that a scripted sensor can match it.
    pub pci_bus_id: String,
    /// Identity of the card, or of a MIG instance of it, which tells instances of one card apart.
    pub uuid: Option<String>,
    /// Memory.
    pub memory_bytes: u64,
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSection {
    /// Weights in all.
    pub parameters: u64,
    /// Size of the vocabulary.
    pub vocab: u32,
    /// KV cache per token of one sequence.
    pub kv_bytes_per_token: u64,
    /// Memory of a prefill per token of the batch.
    pub activation_bytes_per_token: u64,
    /// Operations of attention per token and token of context.
    pub flop_per_token_and_context: u64,
    /// How long loading takes.
    pub load_ms: f64,
}

/// `[time]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeSection {
    /// A prefill at least.
    pub prefill_us: f64,
    /// A prefill per token of the batch.
    pub prefill_us_per_token: f64,
    /// A decode step at least.
    pub step_us: f64,
    /// A decode step per sequence.
    pub step_us_per_sequence: f64,
    /// A decode step per token in the cache.
    pub step_us_per_token: f64,
    /// Relative standard deviation of the speed of a generation.
    pub noise: f64,
    /// Seed of the noise.
    pub seed: u64,
    /// Whose time passes.
    pub clock: TimeKind,
    /// Factor on all times, by precision.
    pub factor: BTreeMap<Precision, f64>,
}

/// `[accuracy]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccuracySection {
    /// What the check finds.
    pub relative_error: f64,
    /// What is allowed.
    pub bound: f64,
}

/// `[peaks]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeaksSection {
    /// Reading memory.
    pub read_bytes_per_second: f64,
    /// Copying memory, reads and writes both counted.
    pub copy_bytes_per_second: f64,
    /// Multiplying matrices of any type.
    pub flop_per_second: f64,
}

/// `[[fault]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// While what is being done.
    #[serde(default)]
    pub at: Stage,
    /// From which batch size on.
    #[serde(default)]
    pub batch_from: Option<NonZeroU32>,
    /// At which precision.
    #[serde(default)]
    pub precision: Option<Precision>,
    /// After how many generations of one worker.
    #[serde(default)]
    pub after: u64,
}

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Memory runs out.
    Oom,
    /// The process panics.
    Panic,
    /// The process aborts.
    Abort,
    /// The process touches memory that is not its own.
    Segfault,
    /// Nothing happens any more.
    Hang,
    /// The process exits with code 3.
    Exit,
    /// Logits are not numbers.
    NotANumber,
    /// Work goes on after the last token for a tenth of the generation.
    SlowTail,
    /// One token too few is generated.
    WrongCount,
    /// The check finds an error above its bound.
    Inaccurate,
    /// The engine cannot do this.
    Unsupported,
}

/// What an engine is asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Load the model.
    Load,
    /// Measure the limits of the device.
    Peaks,
    /// Make room.
    Reserve,
    /// Compare logits.
    Check,
    /// Score a text.
    Score,
    /// Generate.
    #[default]
    Generate,
}

impl Default for DeviceSection {
    fn default() -> Self {
        Self {
            name: "simulated device".to_owned(),
            pci_bus_id: "00000000:01:00.0".to_owned(),
            uuid: None,
            memory_bytes: 80 << 30,
        }
    }
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            parameters: 1_000_000_000,
            vocab: 32_000,
            kv_bytes_per_token: 65_536,
            activation_bytes_per_token: 0,
            flop_per_token_and_context: 0,
            load_ms: 100.0,
        }
    }
}

impl Default for TimeSection {
    fn default() -> Self {
        Self {
            prefill_us: 1_000.0,
            prefill_us_per_token: 1.0,
            step_us: 1_000.0,
            step_us_per_sequence: 0.0,
            step_us_per_token: 0.0,
            noise: 0.0,
            seed: 1,
            clock: TimeKind::Script,
            factor: BTreeMap::new(),
        }
    }
}

impl Default for AccuracySection {
    fn default() -> Self {
        Self {
            relative_error: 1e-6,
            bound: 1e-4,
        }
    }
}

impl Default for PeaksSection {
    fn default() -> Self {
        Self {
            read_bytes_per_second: 3.0e12,
            copy_bytes_per_second: 2.8e12,
            flop_per_second: 8.0e14,
        }
    }
}

impl Script {
    /// Reads a script.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let script: Self = input::parse(text)?;
        bounds::check(&script)?;
        Ok(script)
    }

    /// The device of the script.
    pub fn device(&self) -> Device {
        Device {
            kind: DeviceKind::Sim,
            name: self.device.name.clone(),
            uuid: self.device.uuid.clone(),
            pci_bus_id: Some(self.device.pci_bus_id.clone()),
            memory_bytes: self.device.memory_bytes,
            last_level_cache_bytes: None,
            compute_capability: None,
            driver: None,
            cuda: None,
            threads: None,
            card: None,
            before: None,
            rested_ns: None,
        }
    }
}

impl TimeSection {
    /// Microseconds of a prefill of `tokens` in all.
    pub(super) fn prefill(&self, tokens: f64) -> f64 {
        self.prefill_us + self.prefill_us_per_token * tokens
    }

    /// Microseconds of a decode step over `context` tokens per sequence.
    pub(super) fn step(&self, batch: f64, context: f64) -> f64 {
        self.step_us + self.step_us_per_sequence * batch + self.step_us_per_token * batch * context
    }

    /// Factor on all times.
    pub(super) fn factor(&self, precision: Precision) -> f64 {
        self.factor.get(&precision).copied().unwrap_or(1.0)
    }

    /// Seconds that a generation of a point takes without noise.
    pub fn generation_seconds(&self, point: PointId) -> f64 {
        let batch = f64::from(point.batch.get());
        let isl = f64::from(point.isl.get());
        let steps: f64 = (1..point.osl.get())
            .map(|k| self.step(batch, isl + f64::from(k)))
            .sum();
        (self.prefill(batch * isl) + steps) * self.factor(point.precision) / 1e6
    }
}

impl Fault {
    /// Whether it strikes now.
    pub(super) fn strikes(&self, stage: Stage, batch: Option<u32>, precision: Precision) -> bool {
        let large = match (self.batch_from, batch) {
            (Some(from), Some(batch)) => batch >= from.get(),
            (None, _) | (Some(_), None) => true,
        };
        self.at == stage && large && self.precision.is_none_or(|only| only == precision)
    }
}
