//! How sure the answer is: seeded draws of every uncertain input, with one generator stream per
//! thousand draws, so that threads do not change a byte.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::Serialize;

use super::breakeven::{BreakEven, slope_of_cards};
use super::case::{Case, Evaluation};
use super::copula::Copula;
use super::distribution::Distribution;
use super::overflow::share_above;
use super::parameter::Parameter;
use super::scenario::{CommittedFleet, FleetMode, Uncertainty};

/// Draws that share one stream of the generator.
const STREAM: usize = 1_000;
/// Draws of an hourly fleet whose break-even is worked out: its stairs are many.
const HOURLY_BREAK_EVENS: usize = 1_000;
/// Bars of the histogram of savings.
const BINS: usize = 40;

/// One uncertain input.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// What is drawn.
    pub parameter: Parameter,
    /// From what.
    pub distribution: Distribution,
}

/// Everything that is drawn.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Number of draws.
    pub draws: usize,
    /// Seed of the generator.
    pub seed: u64,
    /// When the fleet is sized.
    pub fleet: CommittedFleet,
    /// The inputs.
    pub inputs: Vec<Drawn>,
    /// How they move together.
    pub copula: Copula,
    /// What a measured throughput is multiplied with: the run and the host.
    pub throughput: Vec<Distribution>,
}

impl Experiment {
    /// An experiment without correlations.
    pub fn new(settings: &Uncertainty, inputs: Vec<Drawn>) -> Self {
        Self {
            draws: settings.draws as usize,
            seed: settings.seed,
            fleet: settings.fleet,
            copula: Copula::independent(),
            inputs,
            throughput: Vec::new(),
        }
    }
}

/// `uncertainty`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UncertaintyAnswer {
    /// Draws.
    pub draws: usize,
    /// Seed.
    pub seed: u64,
    /// The generator.
    pub generator: &'static str,
    /// When the fleet is sized; "resized" is perfect foresight.
    pub fleet: CommittedFleet,
    /// Share of the draws in which self-hosting is cheaper at the drawn volume.
    pub probability_self_hosted_cheaper: f64,
    /// Standard error of that share.
    pub standard_error: f64,
    /// The share for people: never 0 % and never 100 %.
    pub probability_text: String,
    /// Share of the draws in which self-hosting pays for good above some volume.
    pub probability_break_even_exists: f64,
    /// Monthly saving of self-hosting.
    pub saving_usd_per_month: Percentiles,
    /// The API bill.
    pub api_usd_per_month: Percentiles,
    /// The self-hosted bill, overflow to the API included.
    pub self_hosted_usd_per_month: Percentiles,
    /// The first crossing; a draw without one counts as infinite.
    pub break_even_requests_per_month: Percentiles,
    /// The last crossing.
    pub permanent_from_requests_per_month: Percentiles,
    /// Draws whose break-even was worked out.
    pub break_even_draws: usize,
    /// Mean share of the requests that a committed fleet sends to the API.
    pub overflow_share: f64,
    /// Keys of what is drawn.
    pub inputs: Vec<String>,
    /// Variation between hosts, where throughput was measured.
    pub between_host_cv: Option<f64>,
    /// How savings are spread.
    pub saving_histogram: Vec<Bin>,
}

/// P5, P50 and P95; null where they fall among infinite draws.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// 5 % lie below.
    pub p5: Option<f64>,
    /// Half lie below.
    pub p50: Option<f64>,
    /// 95 % lie below.
    pub p95: Option<f64>,
}

/// One bar of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Lower end.
    pub from: f64,
    /// Upper end.
    pub to: f64,
    /// Draws in it.
    pub count: usize,
}

/// What one draw says.
#[derive(Debug, Clone, Copy)]
struct Draw {
    api: f64,
    host: f64,
    overflow: f64,
    exists: bool,
    first: f64,
    permanent: f64,
}

/// Draws; `None` where nothing is drawn or one side is missing.
pub(crate) fn draw(case: &Case, experiment: &Experiment) -> Option<UncertaintyAnswer> {
    if experiment.inputs.is_empty() && experiment.throughput.is_empty() {
        return None;
    }
    let base = Evaluation::new(case);
    base.saving_usd()?;
    let plan = base.fleet.as_ref()?.replicas(base.requests);
    let streams = experiment.draws.div_ceil(STREAM);
    let draws: Vec<Draw> = (0..streams)
        .into_par_iter()
        .flat_map_iter(|stream| one_stream(stream, case, experiment, &plan))
        .collect();
    Some(summarize(&draws, experiment))
}

fn one_stream(stream: usize, case: &Case, experiment: &Experiment, plan: &[f64]) -> Vec<Draw> {
    let mut drawn = Vec::with_capacity(STREAM);
    each_of_stream(stream, case, experiment, |case, index| {
        drawn.extend(one_draw(case, experiment, plan, index));
    });
    drawn
}

/// Visits the drawn cases of one stream of the generator with their place among all draws.
pub(super) fn each_of_stream(
    stream: usize,
    case: &Case,
    experiment: &Experiment,
    mut visit: impl FnMut(&Case, usize),
) {
    let mut generator = ChaCha8Rng::seed_from_u64(experiment.seed);
    generator.set_stream(stream as u64);
    let first = stream * STREAM;
    let count = STREAM.min(experiment.draws - first);
    let mut scratch = case.clone();
    let rates = case.host.as_ref().map(|host| host.rates);
    let mut uniforms = vec![0.0; experiment.inputs.len()];
    for index in first..first + count {
        uniforms.fill_with(|| uniform(&mut generator));
        experiment.copula.correlate(&mut uniforms);
        for (input, u) in experiment.inputs.iter().zip(&uniforms) {
            input
                .parameter
                .set(&mut scratch, input.distribution.quantile(*u));
        }
        let factor: f64 = experiment
            .throughput
            .iter()
            .map(|distribution| distribution.quantile(uniform(&mut generator)))
            .product();
        if let (Some(host), Some(rates)) = (scratch.host.as_mut(), rates)
            && !experiment.throughput.is_empty()
        {
            host.rates.prefill = rates.prefill.map(|rate| rate * factor);
            host.rates.decode = rates.decode.map(|rate| rate * factor);
        }
        visit(&scratch, index);
    }
}

/// A number strictly between 0 and 1.
fn uniform(generator: &mut ChaCha8Rng) -> f64 {
    // 53 bits, moved to the middle of their interval.
    ((generator.next_u64() >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
}

fn one_draw(case: &Case, experiment: &Experiment, plan: &[f64], index: usize) -> Option<Draw> {
    let evaluation = Evaluation::new(case);
    let requests = evaluation.requests;
    let api = evaluation.api?;
    let fleet = evaluation.fleet.as_ref()?;
    let (host, overflow) = own_bill(&evaluation, experiment.fleet, requests, plan)?;
    let hourly = fleet.case.mode == FleetMode::Autoscaled && fleet.levels().len() > 1;
    let slope = api.marginal_usd() - fleet.marginal_usd();
    let mut draw = Draw {
        api: api.month_usd(requests),
        host,
        overflow,
        exists: slope > slope_of_cards(fleet),
        first: f64::INFINITY,
        permanent: f64::INFINITY,
    };
    if draw.exists && (!hourly || index < HOURLY_BREAK_EVENS) {
        let found = BreakEven::new(evaluation.line()?, fleet);
        let at = |point: Option<super::breakeven::Point>| {
            point.map_or(f64::INFINITY, |point| point.requests_per_month)
        };
        draw.first = at(found.first);
        draw.permanent = at(found.permanent);
    }
    Some(draw)
}

/// The self-hosted bill of a drawn case, overflow to the API included, and the share that overflows;
/// `plan` are the replicas of a committed fleet.
pub(super) fn own_bill(
    evaluation: &Evaluation<'_>,
    mode: CommittedFleet,
    requests: f64,
    plan: &[f64],
) -> Option<(f64, f64)> {
    let api = evaluation.api?;
    let fleet = evaluation.fleet.as_ref()?;
    Some(match mode {
        CommittedFleet::Resized => (fleet.bill(requests).usd(), 0.0),
        CommittedFleet::Committed => {
            let overflow = share_above(fleet, &evaluation.case.demand, requests, plan);
            let served = requests * (1.0 - overflow);
            let own = fleet.bill_of(served, plan).usd();
            (own + requests * overflow * api.marginal_usd(), overflow)
        }
    })
}

fn summarize(draws: &[Draw], experiment: &Experiment) -> UncertaintyAnswer {
    let count = draws.len();
    let share = |wins: usize| wins as f64 / count as f64;
    let probability = share(draws.iter().filter(|draw| draw.host < draw.api).count());
    let of = |value: fn(&Draw) -> f64| percentiles(draws.iter().map(value).collect());
    let hourly = draws
        .iter()
        .skip(HOURLY_BREAK_EVENS)
        .any(|draw| draw.exists && draw.first.is_infinite());
    let worked_out = if hourly {
        &draws[..HOURLY_BREAK_EVENS]
    } else {
        draws
    };
    let crossing = |value: fn(&Draw) -> f64| percentiles(worked_out.iter().map(value).collect());
    UncertaintyAnswer {
        draws: count,
        seed: experiment.seed,
        generator: "chacha8",
        fleet: experiment.fleet,
        probability_self_hosted_cheaper: probability,
        standard_error: (probability * (1.0 - probability) / count as f64).sqrt(),
        probability_text: probability_text(probability, count),
        probability_break_even_exists: share(draws.iter().filter(|draw| draw.exists).count()),
        saving_usd_per_month: of(|draw| draw.api - draw.host),
        api_usd_per_month: of(|draw| draw.api),
        self_hosted_usd_per_month: of(|draw| draw.host),
        break_even_requests_per_month: crossing(|draw| draw.first),
        permanent_from_requests_per_month: crossing(|draw| draw.permanent),
        break_even_draws: worked_out.len(),
        overflow_share: draws.iter().map(|draw| draw.overflow).sum::<f64>() / count as f64,
        inputs: experiment
            .inputs
            .iter()
            .map(|input| input.parameter.key.to_owned())
            .collect(),
        between_host_cv: None,
        saving_histogram: histogram(draws.iter().map(|draw| draw.api - draw.host).collect()),
    }
}

/// A probability for people: one draw more or less is never certainty.
pub fn probability_text(probability: f64, draws: usize) -> String {
    // What 1,000 draws can tell apart is 0.1 %; fewer draws tell less.
    let finest = (1.0 / draws as f64).max(0.001);
    let digits = usize::from(finest < 0.01);
    if probability > 1.0 - finest {
        format!("> {:.digits$} %", (1.0 - finest) * 100.0)
    } else if probability < finest {
        format!("< {:.digits$} %", finest * 100.0)
    } else {
        format!("{:.digits$} %", probability * 100.0)
    }
}

/// Percentiles of type 7; null among infinite values.
pub(super) fn percentiles(mut values: Vec<f64>) -> Percentiles {
    values.sort_by(f64::total_cmp);
    let at = |q: f64| Some(quantile(&values, q)).filter(|value| value.is_finite());
    Percentiles {
        p5: at(0.05),
        p50: at(0.5),
        p95: at(0.95),
    }
}

/// The quantile of type 7 of an ascending list that is not empty: linear between order statistics.
pub fn quantile(ascending: &[f64], q: f64) -> f64 {
    let place = (ascending.len() - 1) as f64 * q;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    let (low, high) = (ascending[below], ascending[above]);
    if below == above {
        low
    } else {
        low + (high - low) * place.fract()
    }
}

/// Equal bars between P0.5 and P99.5; what lies outside is counted in the outer ones.
fn histogram(mut values: Vec<f64>) -> Vec<Bin> {
    values.sort_by(f64::total_cmp);
    let cut = values.len() / 200;
    let (low, high) = (values[cut], values[values.len() - 1 - cut]);
    let width = (high - low) / BINS as f64;
    if width <= 0.0 {
        return vec![Bin {
            from: low,
            to: high,
            count: values.len(),
        }];
    }
    let mut bins: Vec<Bin> = (0..BINS)
        .map(|bin| Bin {
            from: low + bin as f64 * width,
            to: low + (bin + 1) as f64 * width,
            count: 0,
        })
        .collect();
    for value in values {
        let bin = ((value - low) / width)
            .floor()
            .clamp(0.0, (BINS - 1) as f64);
        bins[bin as usize].count += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_probability_is_certain() {
        assert_eq!(probability_text(1.0, 10_000), "> 99.9 %");
        assert_eq!(probability_text(0.0, 10_000), "< 0.1 %");
        assert_eq!(probability_text(0.9999, 10_000), "> 99.9 %");
        assert_eq!(probability_text(0.5, 10_000), "50.0 %");
        assert_eq!(probability_text(1.0, 10), "> 90 %");
    }

    #[test]
    fn percentiles_among_infinite_draws_are_null() {
        let mut values = vec![1.0; 90];
        values.extend([f64::INFINITY; 10]);
        let found = percentiles(values);
        assert_eq!(
            (found.p5, found.p50, found.p95),
            (Some(1.0), Some(1.0), None)
        );
    }
}
