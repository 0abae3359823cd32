//! Which cards hold the model, and what fewer bits per weight would change on the card in use.

use serde::Serialize;

use super::capacity::Work;
use super::case::{Case, Evaluation};
use super::memory::{Footprint, Room, conservative_overhead_gib, gib};
use super::resolve_host::HostFacts;
use super::roofline::Roofline;
use crate::catalog::book::GpuCard;
use crate::study::model::Precision;

/// Precisions that the table of quantization compares.
const COMPARED: [Precision; 3] = [Precision::F16, Precision::Q8_0, Precision::Q4K];
/// Cards that are looked at where no number of them is enough.
const MOST_GPUS: f64 = 8.0;

/// The model in one kind of card.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CardFit {
    /// The card.
    pub gpu: String,
    /// Whether it is the scenario's card.
    pub chosen: bool,
    /// Cards.
    pub gpus: f64,
    /// Weights.
    pub weights_gib: f64,
    /// Left for the cache; negative when the weights do not fit.
    pub kv_gib: f64,
    /// Tokens of the cache.
    pub kv_tokens: f64,
    /// Sequences of this workload that surely fit.
    pub sequences: f64,
    /// The same where the engine takes as much memory for itself as the most cautious planner says.
    pub cautious_sequences: f64,
    /// Fewest of these cards with a useful cache; null above eight.
    pub fewest_gpus: Option<u32>,
}

/// The model at one precision on the card in use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QuantizedFit {
    /// How weights are held.
    pub precision: Precision,
    /// Whether the scenario uses it.
    pub chosen: bool,
    /// Weights.
    pub weights_gib: f64,
    /// Fewest cards with a useful cache; null above eight.
    pub fewest_gpus: Option<u32>,
    /// Cards of one replica of that size for a month.
    pub gpu_usd_per_month: Option<f64>,
    /// Sequences of this workload that surely fit on them.
    pub sequences: Option<f64>,
    /// Tokens that no engine exceeds on them at the batch size in use.
    pub roofline_output_tokens_per_second: Option<f64>,
}

/// Every card of the catalog with the model in it.
pub(super) fn fits(
    case: &Case,
    evaluation: &Evaluation<'_>,
    facts: Option<&HostFacts>,
    cards: &[GpuCard],
) -> Vec<CardFit> {
    let (Some(facts), Some(host)) = (facts, &case.host) else {
        return Vec::new();
    };
    let Some(room) = facts.room else {
        return Vec::new();
    };
    let tokens = tokens_per_call(&evaluation.work);
    cards
        .iter()
        .filter_map(|card| {
            let chosen = card.id == facts.gpu;
            let one = Room {
                gib_per_gpu: gib(card),
                ..room
            };
            let single = facts.footprint(1)?;
            let fewest = single.fewest_gpus(one);
            let gpus = if chosen {
                host.fleet.gpus_per_replica
            } else {
                fewest.map_or(MOST_GPUS, f64::from)
            };
            let footprint = facts.footprint(gpus as u32)?;
            let fit = footprint.fit(Room { gpus, ..one });
            let hidden = facts.shape.as_ref()?.hidden;
            let cautious = footprint.fit(Room {
                gpus,
                overhead_gib_per_gpu: conservative_overhead_gib(gpus as u32, hidden),
                ..one
            });
            Some(CardFit {
                gpu: card.id.clone(),
                chosen,
                gpus,
                weights_gib: fit.weights_gib,
                kv_gib: fit.kv_gib,
                kv_tokens: fit.kv_tokens,
                sequences: fit.sequences(tokens, 0.0),
                cautious_sequences: cautious.sequences(tokens, 0.0),
                fewest_gpus: fewest,
            })
        })
        .collect()
}

/// The card in use at several precisions; none where model or card are unknown.
pub(super) fn quantized(
    evaluation: &Evaluation<'_>,
    facts: Option<&HostFacts>,
) -> Vec<QuantizedFit> {
    let (Some(facts), Some(host), Some(fleet)) = (facts, &evaluation.case.host, &evaluation.fleet)
    else {
        return Vec::new();
    };
    let (Some(room), Some(card), Some(shape)) = (facts.room, &facts.card, &facts.shape) else {
        return Vec::new();
    };
    let tokens = tokens_per_call(&evaluation.work);
    let mut precisions = COMPARED.to_vec();
    if !precisions.contains(&facts.precision) {
        precisions.insert(0, facts.precision);
    }
    let row = |precision: Precision| {
        let footprint = |gpus| Footprint::of(shape, precision, facts.kv_precision, gpus);
        let fewest = footprint(1).fewest_gpus(room);
        let with = |of: &dyn Fn(f64, u32) -> f64| fewest.map(|gpus| of(f64::from(gpus), gpus));
        let roofline = |gpus: f64| {
            let batch = host.batch_size?;
            Some(Roofline::new(card, gpus, (shape, precision), batch).decode_tokens_per_second)
        };
        QuantizedFit {
            precision,
            chosen: precision == facts.precision,
            weights_gib: footprint(1).fit(room).weights_gib,
            fewest_gpus: fewest,
            gpu_usd_per_month: with(&|gpus, _| gpus * fleet.usd_per_gpu_hour() * fleet.hours),
            sequences: with(&|gpus, count| {
                let fit = footprint(count).fit(Room { gpus, ..room });
                fit.sequences(tokens, 0.0)
            }),
            roofline_output_tokens_per_second: fewest.and_then(|gpus| roofline(f64::from(gpus))),
        }
    };
    precisions.into_iter().map(row).collect()
}

/// Tokens of one call at its full length.
fn tokens_per_call(work: &Work) -> f64 {
    if work.calls > 0.0 {
        (work.input_tokens + work.output_tokens) / work.calls
    } else {
        1.0
    }
}
