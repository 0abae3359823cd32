//! Tables and curves that a report draws: stairs, bills over volume, hours of the day, memory, queues.

use serde::Serialize;

use super::case::{Case, Evaluation};
use super::conversation::calls;
use super::fits::{CardFit, QuantizedFit, fits, quantized};
use super::host_view::HostView;
pub use super::operating_point::OperatingPoint;
use super::operating_point::operating_point;
use super::outlook::{Band, OptionOutlook, VolumeOfInterest};
use super::parts::{ApiParts, HostParts};
use super::reserve::{ReserveAnswer, reserve};
use super::resolve_host::HostFacts;
use super::scenario::{Conversation, HistoryPolicy};
use super::traffic::{Demand, Profile};
use super::yardstick::Yardsticks;
use crate::catalog::book::GpuCard;

/// Stairs in the table.
const STAIRS: u32 = 12;
/// Stairs whose edges the curve keeps upright.
const EDGES: u32 = 60;
/// Points of a curve, stairs apart.
const POINTS: u32 = 80;
/// Hours of a day without a profile.
const HOURS_OF_DAY: usize = 24;
/// Turns of the longest conversation in the picture.
const MOST_TURNS: u32 = 40;

/// What a report draws.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// One row per number of working replicas.
    pub stairs: Vec<Stair>,
    /// Both bills over the volume, ascending.
    pub curve: Vec<CurvePoint>,
    /// Whether the scenario says how the load is spread over the hours.
    pub hourly: bool,
    /// Billed replicas and load of each hour; without a profile a day at the mean load.
    pub hours: Vec<HourPoint>,
    /// The operating point of a replica.
    pub operating_point: Option<OperatingPoint>,
    /// What is self-hosted, and what was measured of it.
    pub host: Option<HostView>,
    /// How the model fits into each card of the catalog.
    pub fits: Vec<CardFit>,
    /// The card in use at other precisions.
    pub quantized: Vec<QuantizedFit>,
    /// Where nine of ten draws of both bills lie over the volume; empty where nothing is drawn.
    pub band: Vec<Band>,
    /// The volumes at which options are compared.
    pub volumes: Vec<VolumeOfInterest>,
    /// Every option at those volumes, the two sides first.
    pub options: Vec<OptionOutlook>,
    /// The API bill in parts.
    pub api_parts: Option<ApiParts>,
    /// The self-hosted bill in parts.
    pub host_parts: Option<HostParts>,
    /// What common claims come to here.
    pub yardsticks: Yardsticks,
    /// Dollars of a conversation by its length and policy.
    pub conversations: Vec<ConversationCost>,
    /// How many replicas to reserve; null where no reserved rate is stated.
    pub reserve: Option<ReserveAnswer>,
}

/// One number of working replicas.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stair {
    /// Billed replicas.
    pub replicas: f64,
    /// Billed cards.
    pub gpus: f64,
    /// User requests per month up to which they suffice.
    pub up_to_requests_per_month: f64,
    /// The self-hosted bill there, without what both sides share.
    pub usd_per_month: f64,
    /// Demand over full-load capacity there.
    pub utilization: f64,
}

/// Both bills at one volume, without what both sides share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// User requests per month.
    pub requests_per_month: f64,
    /// The API bill.
    pub api_usd: Option<f64>,
    /// The self-hosted bill.
    pub self_hosted_usd: Option<f64>,
}

/// One hour of the day or of the week.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HourPoint {
    /// From 0, UTC.
    pub hour: usize,
    /// User requests per second.
    pub requests_per_second: f64,
    /// Calls of the model per second.
    pub calls_per_second: f64,
    /// Billed replicas.
    pub replicas: f64,
}

/// What a conversation costs at the API.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConversationCost {
    /// Turns.
    pub turns: u32,
    /// What is carried from turn to turn.
    pub policy: HistoryPolicy,
    /// Whether the prompt cache is in use.
    pub cached: bool,
    /// Dollars for tokens.
    pub usd: f64,
}

impl View {
    /// Draws a case; `cards` are those of the catalog.
    pub(crate) fn new(case: &Case, facts: Option<&HostFacts>, cards: &[GpuCard]) -> Self {
        let evaluation = Evaluation::new(case);
        Self {
            stairs: stairs(&evaluation, STAIRS),
            curve: curve(&evaluation),
            hourly: matches!(case.demand.profile, Profile::Hourly(_)),
            hours: hours(&evaluation),
            operating_point: operating_point(&evaluation, facts),
            host: facts.map(HostView::new),
            fits: fits(case, &evaluation, facts, cards),
            quantized: quantized(&evaluation, facts),
            band: Vec::new(),
            volumes: Vec::new(),
            options: Vec::new(),
            api_parts: ApiParts::new(&evaluation),
            host_parts: HostParts::new(&evaluation),
            yardsticks: Yardsticks::default(),
            conversations: conversations(case),
            reserve: reserve(&evaluation),
        }
    }
}

impl View {
    /// Every other volume of the curve, its ends and the volumes of interest included.
    pub(super) fn band_volumes(&self) -> Vec<f64> {
        let points = self.curve.iter().map(|point| point.requests_per_month);
        let ends = [self.curve.first(), self.curve.last()];
        let mut volumes: Vec<f64> = points.step_by(2).collect();
        volumes.extend(ends.into_iter().flatten().map(|end| end.requests_per_month));
        volumes.extend(self.volumes.iter().map(|volume| volume.requests_per_month));
        volumes.sort_by(f64::total_cmp);
        volumes.dedup();
        volumes
    }
}

fn stairs(evaluation: &Evaluation<'_>, most: u32) -> Vec<Stair> {
    let Some(fleet) = &evaluation.fleet else {
        return Vec::new();
    };
    (1..=most)
        .map(|needed| fleet.monthly_capacity(f64::from(needed)))
        .filter(|requests| requests.is_finite())
        .map(|requests| {
            let bill = fleet.bill(requests);
            Stair {
                replicas: bill.replicas,
                gpus: bill.gpus,
                up_to_requests_per_month: requests,
                usd_per_month: bill.usd(),
                utilization: bill.utilization,
            }
        })
        .collect()
}

/// From a hundredth of the smallest to ten times the largest volume of interest, stair edges included.
fn curve(evaluation: &Evaluation<'_>) -> Vec<CurvePoint> {
    let found = evaluation.break_even();
    let permanent = found.as_ref().and_then(|found| found.permanent);
    let first = found.as_ref().and_then(|found| found.first);
    let mut interesting = vec![evaluation.requests];
    interesting.extend(permanent.map(|point| point.requests_per_month));
    interesting.extend(
        first
            .map(|point| point.requests_per_month)
            .filter(|r| *r > 0.0),
    );
    let low = interesting.iter().copied().fold(f64::MAX, f64::min) / 100.0;
    let high = interesting.iter().copied().fold(0.0, f64::max) * 10.0;
    let ratio = (high / low).powf(1.0 / f64::from(POINTS - 1));
    let mut volumes: Vec<f64> = (0..POINTS)
        .map(|i| low * ratio.powf(f64::from(i)))
        .collect();
    volumes.extend(interesting);
    for stair in stairs(evaluation, EDGES) {
        let edge = stair.up_to_requests_per_month;
        // Both sides of an edge, so that the stair stays upright.
        volumes.extend(
            [edge, edge * (1.0 + 1e-6)]
                .into_iter()
                .filter(|r| *r <= high),
        );
    }
    volumes.sort_by(f64::total_cmp);
    volumes
        .into_iter()
        .map(|requests| CurvePoint {
            requests_per_month: requests,
            api_usd: evaluation.api_usd(requests),
            self_hosted_usd: evaluation.fleet_bill(requests).map(|bill| bill.usd()),
        })
        .collect()
}

fn hours(evaluation: &Evaluation<'_>) -> Vec<HourPoint> {
    let Some(fleet) = &evaluation.fleet else {
        return Vec::new();
    };
    let demand = &evaluation.case.demand;
    let weights = match demand.profile.with_batch(demand.batch.share) {
        Profile::Hourly(weights) => weights.to_vec(),
        Profile::Peak(_) => vec![1.0; HOURS_OF_DAY],
    };
    let replicas = fleet.replicas(evaluation.requests);
    let mean = evaluation.requests / (fleet.hours * 3_600.0);
    weights
        .iter()
        .enumerate()
        .map(|(hour, weight)| HourPoint {
            hour,
            requests_per_second: mean * weight,
            calls_per_second: mean * weight * evaluation.work.calls,
            replicas: replicas[hour % replicas.len()],
        })
        .collect()
}

/// Dollars of whole conversations by length, for each policy and with the prompt cache.
fn conversations(case: &Case) -> Vec<ConversationCost> {
    let Some(api) = &case.api else {
        return Vec::new();
    };
    let base = case
        .demand
        .conversation
        .clone()
        .unwrap_or_else(|| Conversation {
            user_tokens: case.demand.user_tokens,
            answer_tokens: case.demand.output_tokens,
            ..Conversation::default()
        });
    let variants = [
        (HistoryPolicy::Full, 0.0),
        (HistoryPolicy::Window, 0.0),
        (HistoryPolicy::Summarize, 0.0),
        (HistoryPolicy::Full, 1.0),
    ];
    let mut costs = Vec::new();
    for (policy, hit) in variants {
        for turns in (1..=MOST_TURNS).step_by(3) {
            let demand = Demand {
                prefix_hit_rate: hit,
                conversation: Some(Conversation {
                    turns: f64::from(turns),
                    turns_sd: 0.0,
                    policy,
                    ..base.clone()
                }),
                ..case.demand.clone()
            };
            let calls = calls(&demand);
            let bill = super::bill::ApiBill::new(api, &demand, &calls, case.hours_per_month);
            costs.push(ConversationCost {
                turns,
                policy,
                cached: hit > 0.0,
                usd: bill.charge.usd() * f64::from(turns),
            });
        }
    }
    costs
}
