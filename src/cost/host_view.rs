//! What is self-hosted, and the measured point behind its rates.

use serde::Serialize;

use super::regression::Regression;
use super::resolve_host::HostFacts;
use crate::study::model::{CacheType, Precision};
use crate::study::variant::Variant;

/// What is self-hosted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostView {
    /// The card or the machine.
    pub card: String,
    /// Whether it is a card of the catalog.
    pub listed: bool,
    /// The model.
    pub model: Option<String>,
    /// Its parameters.
    pub parameters: Option<f64>,
    /// The measured point that the rates come from.
    pub measured: Option<MeasuredView>,
}

/// A measured point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredView {
    /// The study.
    pub study: String,
    /// How weights were held.
    pub precision: Precision,
    /// How keys and values were cached, where the study says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv: Option<CacheType>,
    /// Sequences decoded together.
    pub batch: f64,
    /// Input length.
    pub isl: f64,
    /// Output length.
    pub osl: f64,
    /// Output tokens per second with the ends of the 95 % interval.
    pub output_tokens_per_second: [f64; 3],
    /// Independent observations.
    pub repetitions: u32,
    /// Time by token, where the study measured enough pairs of lengths.
    pub regression: Option<Regression>,
}

impl MeasuredView {
    /// What was loaded.
    pub const fn variant(&self) -> Variant {
        Variant {
            precision: self.precision,
            kv: self.kv,
        }
    }
}

impl HostView {
    pub(super) fn new(facts: &HostFacts) -> Self {
        let measured = facts.measured.as_ref().map(|(study, point)| {
            let rate = point.output_tokens_per_second;
            MeasuredView {
                study: study.clone(),
                precision: point.precision,
                kv: point.kv,
                batch: point.batch,
                isl: point.isl,
                osl: point.osl,
                output_tokens_per_second: [rate.value, rate.low, rate.high],
                repetitions: rate.repetitions,
                regression: facts.regression,
            }
        });
        Self {
            card: facts.gpu.clone(),
            listed: facts.card.is_some(),
            model: facts.model.clone(),
            parameters: facts.shape.as_ref().map(|shape| shape.parameters() as f64),
            measured,
        }
    }
}
