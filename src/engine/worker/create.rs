//! The one place where an order becomes an engine.

use std::path::Path;
use std::sync::Arc;

use super::{Order, TextOrder, Tokenized, kept};
use crate::clock::Clock;
use crate::engine::decoder::Decoder;
use crate::engine::peaks::Peaks;
use crate::engine::sim::{Script, Sim, Timeline};
use crate::engine::weights::{self, Reading, Wanted};
use crate::engine::{Engine, EngineError, MeasurePeaks, Progress, device, stock, tokenizer};
use crate::record::machine::{Device, DeviceKind};
use crate::record::observation::Moment;
use crate::record::quantizing::Quantizing;
use crate::study::model::EngineKind;

/// An engine with a model, and what its user has to know.
pub struct Created {
    /// The engine.
    pub engine: Box<dyn Engine>,
    /// The timeline on which the engine's time passes.
    pub clock: Arc<dyn Clock>,
    /// Where it runs.
    pub device: DeviceKind,
    /// Ids of prompts are below this.
    pub vocab: u32,
    /// When loading began, on `clock`.
    pub started: Moment,
    /// How quantized weights came about, where they come from a checkpoint.
    pub quantizing: Option<Quantizing>,
}

/// Something that can measure the limits of a device, and the timeline to measure them on.
pub(super) struct CreatedPeaks {
    pub(super) peaks: Box<dyn MeasurePeaks>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Loads the model of an order into the engine that it asks for.
pub fn create(
    order: &Order,
    machine: &Arc<dyn Clock>,
    progress: &Progress,
) -> Result<Created, EngineError> {
    match &order.engine {
        EngineKind::Sim(path) => {
            let script = read_script(path)?;
            let timeline = Timeline::new(script.time.clock, machine);
            let clock = timeline.clock();
            let started = Moment::now(clock.as_ref());
            let engine = Sim::load(script, order.variant(), timeline)?;
            Ok(Created {
                vocab: engine.vocab(),
                device: DeviceKind::Sim,
                engine: Box::new(engine),
                clock,
                started,
                quantizing: None,
            })
        }
        EngineKind::Decoder => {
            let started = Moment::now(machine.as_ref());
            let device = device::open(order.device)?;
            let (weights, quantizing) = kept::load(order, &device, machine.as_ref(), progress)?;
            Ok(Created {
                vocab: weights.shape.vocab,
                device: kind(&device),
                engine: Box::new(Decoder::caching(weights, device, order.kv)?),
                clock: Arc::clone(machine),
                started,
                quantizing,
            })
        }
        EngineKind::Stock => {
            let started = Moment::now(machine.as_ref());
            refuse_holding(order)?;
            let device = device::open(order.device)?;
            let model = weights::examine(&order.source, Reading::Headers)?;
            let wanted = Wanted::new(&order.source, order.precision, order.seed);
            Ok(Created {
                vocab: model.shape.vocab,
                device: kind(&device),
                engine: stock::load(wanted, &device, progress)?,
                clock: Arc::clone(machine),
                started,
                quantizing: None,
            })
        }
    }
}

/// Stock candle decides by itself how it holds what it loads.
fn refuse_holding(order: &Order) -> Result<(), EngineError> {
    let asked = [
        ("kv", order.kv.is_some()),
        ("imatrix", order.holding.imatrix.is_some()),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((what, _)) => Err(EngineError::Unsupported {
            reason: format!(
                "{what} with stock candle, which has no choice there; use --engine decoder"
            ),
        }),
    }
}

/// Whether processor time says anything about the device.
fn kind(device: &candle_core::Device) -> DeviceKind {
    if device.is_cpu() {
        DeviceKind::Cpu
    } else {
        DeviceKind::Cuda
    }
}

/// What the device of an order is.
pub(super) fn identify(order: &Order) -> Result<Device, EngineError> {
    match &order.engine {
        EngineKind::Sim(path) => Ok(read_script(path)?.device()),
        EngineKind::Decoder | EngineKind::Stock => device::facts(&device::open(order.device)?),
    }
}

/// A text in the tokens of the model of an order.
pub(super) fn tokenize(order: &TextOrder) -> Result<Tokenized, EngineError> {
    let model = &order.model;
    match &model.engine {
        // A scripted model has no words of its own: bytes are its tokens.
        EngineKind::Sim(path) => {
            let vocabulary = read_script(path)?.model.vocab.max(1);
            let ids = order.text.bytes().map(|byte| u32::from(byte) % vocabulary);
            Ok(Tokenized {
                ids: ids.collect(),
                begin: None,
            })
        }
        EngineKind::Decoder | EngineKind::Stock => {
            let tokenizer = match &order.tokenizer {
                Some(path) => tokenizer::in_place_of(&model.source, path)?,
                None => tokenizer::of_model(&model.source)?,
            };
            let encoded = tokenizer::encode(&tokenizer, &order.text)
                .map_err(|reason| EngineError::model("tokenizer", reason))?;
            Ok(Tokenized {
                begin: encoded.before.first().copied(),
                ids: encoded.ids,
            })
        }
    }
}

/// What measures the limits of the device of an order.
pub(super) fn create_peaks(
    order: &Order,
    machine: &Arc<dyn Clock>,
) -> Result<CreatedPeaks, EngineError> {
    match &order.engine {
        EngineKind::Sim(path) => {
            let script = read_script(path)?;
            let timeline = Timeline::new(script.time.clock, machine);
            let clock = timeline.clock();
            let engine = Sim::load(script, order.variant(), timeline)?;
            Ok(CreatedPeaks {
                peaks: Box::new(engine),
                clock,
            })
        }
        EngineKind::Decoder | EngineKind::Stock => Ok(CreatedPeaks {
            peaks: Box::new(Peaks::new(device::open(order.device)?)),
            clock: Arc::clone(machine),
        }),
    }
}

fn read_script(path: &Path) -> Result<Script, EngineError> {
    let refuse = |reason: String| EngineError::Model {
        place: path.display().to_string(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    Script::parse(&text).map_err(|error| refuse(error.to_string()))
}
