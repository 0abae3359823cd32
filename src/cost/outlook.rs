//! Every option at the volumes that matter, and how far the draws spread its bill.

use serde::Serialize;

use super::case::{Case, Evaluation};
use super::distribution::Distribution;
use super::scenario::{CommittedFleet, Side};
use super::uncertainty::{Experiment, UncertaintyAnswer, each_of_stream, own_bill, percentiles};
use crate::units::TOKENS_PER_MTOK;

/// Draws of an option and of the band: all of the first stream.
const DRAWS: usize = 1_000;
/// Draws of the band of a curve, whose volumes are many.
const BAND_DRAWS: usize = 400;

/// A volume at which options are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VolumeOfInterest {
    /// Which one.
    pub kind: VolumeKind,
    /// User requests per month.
    pub requests_per_month: f64,
}

/// Why a volume matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeKind {
    /// The scenario's own.
    Today,
    /// At the end of the forecast.
    Forecast,
    /// Above it self-hosting stays cheaper.
    BreakEven,
}

/// One option at every volume of interest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OptionOutlook {
    /// Its name; null for the two sides themselves.
    pub name: Option<String>,
    /// Which side it stands on.
    pub side: Side,
    /// Whether it serves the very model that would be self-hosted; null where nobody said.
    pub same_model: Option<bool>,
    /// One per volume.
    pub at: Vec<OptionPoint>,
}

/// One option at one volume, with what both sides share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OptionPoint {
    /// The bill.
    pub usd_per_month: f64,
    /// Nine of ten draws lie above this and below the next; null where nothing is drawn.
    pub p5_usd_per_month: Option<f64>,
    /// See there.
    pub p95_usd_per_month: Option<f64>,
    /// The bill over the user requests.
    pub usd_per_request: f64,
    /// The bill over the tokens of the API's count, input and output together.
    pub usd_per_mtok: Option<f64>,
    /// Demand over the full-load capacity of all billed replicas.
    pub utilization: Option<f64>,
}

/// Where nine of ten draws of both bills lie at one volume, the fleet sized for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Band {
    /// User requests per month.
    pub requests_per_month: f64,
    /// P5 and P95 of the API bill.
    pub api_usd: [f64; 2],
    /// P5 and P95 of the self-hosted bill.
    pub self_hosted_usd: [f64; 2],
}

/// An option before it is worked out.
pub(super) struct Candidate<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) side: Side,
    pub(super) same_model: Option<bool>,
    pub(super) case: &'a Case,
}

/// Today, the forecast where it differs, and the permanent break-even where there is one.
pub(super) fn volumes(base: &Evaluation<'_>) -> Vec<VolumeOfInterest> {
    let growth = &base.case.demand.forecast;
    let grown = (1.0 + growth.growth_per_month).powf(f64::from(growth.months));
    let mut volumes = vec![VolumeOfInterest {
        kind: VolumeKind::Today,
        requests_per_month: base.requests,
    }];
    if (grown - 1.0).abs() > 1e-9 {
        volumes.push(VolumeOfInterest {
            kind: VolumeKind::Forecast,
            requests_per_month: base.requests * grown,
        });
    }
    let permanent = base.break_even().and_then(|found| found.permanent);
    // Against a fixed fee self-hosting can pay at any volume; nothing breaks even at none.
    let permanent = permanent.filter(|point| point.requests_per_month > 0.0);
    volumes.extend(permanent.map(|point| VolumeOfInterest {
        kind: VolumeKind::BreakEven,
        requests_per_month: point.requests_per_month,
    }));
    volumes
}

/// One option at the volumes; the draws are those of the base case as far as the option shares its
/// inputs, and the volume is as uncertain everywhere as it is today.
pub(super) fn outlook(
    candidate: &Candidate<'_>,
    volumes: &[VolumeOfInterest],
    drawn: Option<(&Experiment, &Case, &UncertaintyAnswer)>,
) -> OptionOutlook {
    let evaluation = Evaluation::new(candidate.case);
    let mut ranges = drawn.map_or(Vec::new(), |(experiment, base, _)| {
        let shared = inherited(experiment, base, candidate.case);
        ranges(candidate, volumes, &shared)
    });
    // All draws of the two sides themselves are known.
    if let (Some((_, _, told)), None, Some(first)) = (drawn, candidate.name, ranges.first_mut()) {
        let known = match candidate.side {
            Side::Api => told.api_usd_per_month,
            Side::SelfHosted => told.self_hosted_usd_per_month,
        };
        *first = known.p5.zip(known.p95).map(|(low, high)| [low, high]);
    }
    let at = volumes.iter().enumerate().map(|(index, volume)| {
        let range = ranges.get(index).copied().flatten();
        point(
            &evaluation,
            candidate.side,
            volume.requests_per_month,
            range,
        )
    });
    OptionOutlook {
        name: candidate.name.map(str::to_owned),
        side: candidate.side,
        same_model: candidate.same_model,
        at: at.collect(),
    }
}

fn point(
    evaluation: &Evaluation<'_>,
    side: Side,
    requests: f64,
    range: Option<[f64; 2]>,
) -> OptionPoint {
    let fleet = match side {
        Side::Api => None,
        Side::SelfHosted => evaluation.fleet_bill(requests),
    };
    let own = fleet.map_or_else(|| evaluation.api_usd(requests), |bill| Some(bill.usd()));
    let shared = evaluation.shared.month_usd(requests);
    let usd = own.unwrap_or(0.0) + shared;
    let tokens = evaluation.api.map(|api| {
        (api.charge.input_tokens() + api.charge.output_tokens) * requests / TOKENS_PER_MTOK
    });
    OptionPoint {
        usd_per_month: usd,
        p5_usd_per_month: range.map(|[low, _]| low + shared),
        p95_usd_per_month: range.map(|[_, high]| high + shared),
        usd_per_request: usd / requests,
        usd_per_mtok: tokens
            .filter(|tokens| *tokens > 0.0)
            .map(|tokens| usd / tokens),
        utilization: fleet.map(|bill| bill.utilization),
    }
}

/// P5 and P95 of an option's bill at each volume, without what both sides share.
fn ranges(
    candidate: &Candidate<'_>,
    volumes: &[VolumeOfInterest],
    experiment: &Experiment,
) -> Vec<Option<[f64; 2]>> {
    let base = Evaluation::new(candidate.case);
    let plans: Vec<Vec<f64>> = volumes
        .iter()
        .map(|volume| {
            let fleet = base.fleet.as_ref();
            fleet.map_or(Vec::new(), |fleet| {
                fleet.replicas(volume.requests_per_month)
            })
        })
        .collect();
    let mut bills: Vec<Vec<f64>> = vec![Vec::new(); volumes.len()];
    each_of_stream(0, candidate.case, experiment, |case, index| {
        if index >= DRAWS {
            return;
        }
        let evaluation = Evaluation::new(case);
        for ((volume, plan), bills) in volumes.iter().zip(&plans).zip(&mut bills) {
            let requests = evaluation.requests * volume.requests_per_month / base.requests;
            let usd = match candidate.side {
                Side::Api => evaluation.api_usd(requests),
                Side::SelfHosted => {
                    own_bill(&evaluation, experiment.fleet, requests, plan).map(|(usd, _)| usd)
                }
            };
            bills.extend(usd);
        }
    });
    bills.into_iter().map(range).collect()
}

fn range(bills: Vec<f64>) -> Option<[f64; 2]> {
    if bills.is_empty() {
        return None;
    }
    let found = percentiles(bills);
    found.p5.zip(found.p95).map(|(low, high)| [low, high])
}

/// The experiment for another case: an input that the case has a value of its own for stays at it.
fn inherited(experiment: &Experiment, base: &Case, other: &Case) -> Experiment {
    let (mut base, mut other) = (base.clone(), other.clone());
    let mut shared = experiment.clone();
    for input in &mut shared.inputs {
        let own = input.parameter.get(&mut other);
        if let Some(own) = own
            && input
                .parameter
                .get(&mut base)
                .is_none_or(|value| value.total_cmp(&own).is_ne())
        {
            input.distribution = Distribution::Fixed(own);
        }
    }
    let rates = |case: &Case| case.host.as_ref().map(|host| host.rates);
    if rates(&base) != rates(&other) {
        shared.throughput.clear();
    }
    shared
}

/// The bands of both bills at exactly these volumes, the fleet sized for each of them.
pub(super) fn band(case: &Case, experiment: &Experiment, volumes: &[f64]) -> Vec<Band> {
    let mut bills: Vec<(Vec<f64>, Vec<f64>)> = vec![(Vec::new(), Vec::new()); volumes.len()];
    let resized = Experiment {
        draws: experiment.draws.min(BAND_DRAWS),
        fleet: CommittedFleet::Resized,
        ..experiment.clone()
    };
    each_of_stream(0, case, &resized, |case, _| {
        let evaluation = Evaluation::new(case);
        for (volume, (api, host)) in volumes.iter().zip(&mut bills) {
            api.extend(evaluation.api_usd(*volume));
            host.extend(evaluation.fleet_bill(*volume).map(|bill| bill.usd()));
        }
    });
    volumes
        .iter()
        .zip(bills)
        .filter(|(_, (api, host))| !api.is_empty() && !host.is_empty())
        .filter_map(|(volume, (api, host))| {
            Some(Band {
                requests_per_month: *volume,
                api_usd: range(api)?,
                self_hosted_usd: range(host)?,
            })
        })
        .collect()
}
