//! Whether one run is faster than another, decided by a test and not by eye.
//!
//! Points are joined by identity. The three times that are measured apart (to the first token, from
//! the first to the last, and the whole) are compared as ratios of rates, new ÷ base; every other
//! metric is a function of them. The standard error of ln(rate) is that of a seeded bootstrap which
//! draws launches, then blocks, as the run would draw them again. It is enlarged by √(k/(k − 1)) for k
//! units of the highest level, because a bootstrap of few units underestimates their spread, and the
//! interval is Student's t around the logarithm of the ratio with Welch and Satterthwaite's degrees of
//! freedom.
//!
//! A run says "change" only where the p-value against no change, adjusted by Holm over all metrics of
//! all points, is below 5 % **and** the whole interval lies beyond the noise threshold. So identical
//! runs say "change" in at most 5 % of the cases, however many points they have. The smallest change
//! that would be found in four of five runs stands beside each ratio; where it exceeds 3 % (more with a threshold
//! above 1 %), silence is
//! `inconclusive`, not `no change`.

mod judgement;

use self::judgement::judged;
use super::facts::Facts;
use super::latency::Phases;
use super::stats::{BlockTime, Estimate, Resampler};
use crate::study::workload::PointId;

/// Above this smallest detectable change, finding none means nothing.
const INCONCLUSIVE_ABOVE: f64 = 0.03;
/// What must at least be found beyond the noise threshold; the usual threshold leaves as much.
const INCONCLUSIVE_BEYOND_THRESHOLD: f64 = 0.02;

/// How a comparison is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Changes within this relative size are of no interest.
    pub noise_threshold: f64,
    /// Times that the runs are drawn again.
    pub resamples: u32,
    /// Seed of the drawing.
    pub seed: u64,
}

impl Settings {
    /// Above this smallest detectable change, finding none means nothing: 3 %, or more where changes of more than
    /// 1 % are of no interest.
    ///
    /// ```
    /// use mtok::metrics::comparison::Settings;
    /// let above = |noise_threshold| Settings { noise_threshold, ..Settings::default() }.inconclusive_above();
    /// assert_eq!((above(0.0), above(0.01)), (0.03, 0.03));
    /// assert!((above(0.05) - 0.07).abs() < 1e-12);
    /// ```
    pub const fn inconclusive_above(&self) -> f64 {
        INCONCLUSIVE_ABOVE.max(self.noise_threshold + INCONCLUSIVE_BEYOND_THRESHOLD)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            noise_threshold: 0.01,
            resamples: 2_000,
            seed: 1,
        }
    }
}

/// What one run says beside another.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// How it was made.
    pub settings: Settings,
    /// What differs between the runs besides their numbers.
    pub differences: Vec<Difference>,
    /// The metrics of every point that both runs measured.
    pub metrics: Vec<MetricChange>,
    /// Points that only the base measured.
    pub only_base: Vec<PointId>,
    /// Those of them at which the new run failed, with the reason.
    pub failed: Vec<(PointId, String)>,
    /// Points that only the new run measured.
    pub only_new: Vec<PointId>,
    /// Whether either side has a single launch, so that the variance from run to run is not known.
    pub single_launch: bool,
}

/// Something that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What.
    pub what: &'static str,
    /// On the base's side.
    pub base: String,
    /// On the new one's.
    pub new: String,
}

/// The metrics that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Input tokens per second until the first token, the inverse of TTFT.
    Prefill,
    /// Tokens per second after the first, the inverse of TPOT.
    Decode,
    /// Output tokens per second of the whole generation, the inverse of E2EL and of the price.
    Output,
}

impl Metric {
    /// Its name, as in `points.csv`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prefill => "prefill_tokens_per_second",
            Self::Decode => "decode_tokens_per_second",
            Self::Output => "output_tokens_per_second",
        }
    }
}

/// How one metric of one point changed.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricChange {
    /// The point.
    pub point: PointId,
    /// The metric.
    pub metric: Metric,
    /// New rate ÷ base rate, with its interval; n is the smaller number of blocks.
    pub ratio: Estimate<f64>,
    /// Smallest relative change that would be found in four of five runs; `None` without an interval.
    pub smallest_detectable: Option<f64>,
    /// p-value against no change, adjusted over all metrics of the run; `None` without an interval.
    pub p_value: Option<f64>,
    /// What follows.
    pub verdict: Change,
}

/// What a comparison says, of one metric or of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The new run is faster.
    Faster,
    /// The new run is slower.
    Slower,
    /// No change of a size that would have been found.
    Unchanged,
    /// A change worth finding might have been missed.
    Inconclusive,
    /// The new run failed where the base measured; said of a run alone.
    Failed,
}

impl Change {
    /// The words in reports.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Unchanged => "no change",
            Self::Inconclusive => "inconclusive",
            Self::Failed => "failed",
        }
    }
}

impl Comparison {
    /// Compares two runs.
    pub fn new(base: &Facts<'_>, new: &Facts<'_>, settings: Settings) -> Self {
        let (old_points, new_points) = (measured(base), measured(new));
        let common: Vec<PointId> = old_points
            .iter()
            .copied()
            .filter(|point| new_points.contains(point))
            .collect();
        let mut raw = Vec::new();
        let mut single_launch = false;
        for &point in &common {
            let sides = [phases(base, point), phases(new, point)];
            single_launch |= sides.iter().any(|side| launches(&side.whole) < 2);
            raw.extend(of_point(point, &sides, settings));
        }
        let without = |points: &[PointId], others: &[PointId]| -> Vec<PointId> {
            let missing = |point: &PointId| !others.contains(point);
            points.iter().copied().filter(missing).collect()
        };
        let only_base = without(&old_points, &new_points);
        let failure = |point: &PointId| Some((*point, failure(new, *point)?));
        Self {
            settings,
            differences: super::difference::between(base, new),
            metrics: judged(raw, settings),
            failed: only_base.iter().filter_map(failure).collect(),
            only_base,
            only_new: without(&new_points, &old_points),
            single_launch,
        }
    }

    /// Whether there was nothing to compare: no point that both measured, and none at which the new run failed.
    pub const fn has_nothing_in_common(&self) -> bool {
        self.metrics.is_empty() && self.failed.is_empty()
    }

    /// The verdict on the run: failed where the new one did at a point of the base; slower or faster when
    /// any metric is (slower first), else inconclusive when any metric is or nothing could be compared.
    pub fn verdict(&self) -> Change {
        let any = |change| self.metrics.iter().any(|metric| metric.verdict == change);
        if !self.failed.is_empty() {
            Change::Failed
        } else if any(Change::Slower) {
            Change::Slower
        } else if any(Change::Faster) {
            Change::Faster
        } else if any(Change::Inconclusive) || self.metrics.is_empty() {
            Change::Inconclusive
        } else {
            Change::Unchanged
        }
    }
}

/// Points with at least one valid generation, in study order.
fn measured(facts: &Facts<'_>) -> Vec<PointId> {
    let points = facts.session.study.sweep.points();
    let has_blocks = |point: &PointId| {
        let ended_well = !facts.failures.contains_key(point);
        ended_well && !phases(facts, *point).whole.is_empty()
    };
    points.into_iter().filter(has_blocks).collect()
}

/// Why a point has no result, where it failed by itself or with its load.
fn failure(facts: &Facts<'_>, point: PointId) -> Option<String> {
    let of_load = || {
        let mut failures = facts.failed_loads.iter().rev();
        failures.find(|failure| failure.variant() == point.variant())
    };
    let failure = facts.failures.get(&point).or_else(of_load)?;
    Some(failure.reason.clone())
}

fn phases<'a>(facts: &Facts<'a>, point: PointId) -> Phases<'a> {
    let mut phases = Phases::new(point);
    for block in facts.measured(point) {
        phases.take(block);
    }
    phases
}

fn launches(blocks: &[BlockTime]) -> usize {
    let mut launches: Vec<u32> = blocks.iter().map(|block| block.launch).collect();
    launches.sort_unstable();
    launches.dedup();
    launches.len()
}

/// One metric before the family of all of them is judged.
struct Raw {
    point: PointId,
    metric: Metric,
    /// ln(new rate ÷ base rate).
    log_ratio: f64,
    blocks: usize,
    spread: Option<Spread>,
}

/// Standard error of a logarithm and its degrees of freedom.
#[derive(Clone, Copy)]
struct Spread {
    error: f64,
    freedom: f64,
}

fn of_point(point: PointId, sides: &[Phases<'_>; 2], settings: Settings) -> Vec<Raw> {
    let metrics = [
        (Metric::Prefill, [&sides[0].prefill, &sides[1].prefill]),
        (Metric::Decode, [&sides[0].decode, &sides[1].decode]),
        (Metric::Output, [&sides[0].whole, &sides[1].whole]),
    ];
    let mut raw = Vec::new();
    for (metric, blocks) in metrics {
        if blocks.iter().any(|side| side.is_empty()) {
            continue;
        }
        let [base, new] = blocks.map(|side| log_time(side));
        let spreads = [0, 1].map(|side| {
            let seed = settings.seed.wrapping_mul(2).wrapping_add(side as u64);
            spread(blocks[side], settings.resamples, seed)
        });
        raw.push(Raw {
            point,
            metric,
            log_ratio: base - new,
            blocks: blocks.map(Vec::len).into_iter().min().unwrap_or(0),
            spread: match spreads {
                [Some(base), Some(new)] => Some(both(base, new)),
                [None, _] | [_, None] => None,
            },
        });
    }
    raw
}

/// ln of seconds per generation.
fn log_time(blocks: &[BlockTime]) -> f64 {
    let seconds: f64 = blocks.iter().map(|block| block.seconds).sum();
    let generations: f64 = blocks.iter().map(|block| block.generations).sum();
    (seconds / generations).ln()
}

/// The spread of [`log_time`] if the run were repeated; `None` where there is a single unit.
fn spread(blocks: &[BlockTime], resamples: u32, seed: u64) -> Option<Spread> {
    let launches: Vec<u32> = blocks.iter().map(|block| block.launch).collect();
    let mut resampler = Resampler::new(&launches, seed);
    let units = resampler.units() as f64;
    if units < 2.0 || resamples < 2 {
        return None;
    }
    let (mut mean, mut squares) = (0.0, 0.0);
    for n in 1..=resamples {
        let (mut seconds, mut generations) = (0.0, 0.0);
        resampler.draw(|index| {
            seconds += blocks[index].seconds;
            generations += blocks[index].generations;
        });
        // Welford's running variance.
        let value = (seconds / generations).ln();
        let delta = value - mean;
        mean += delta / f64::from(n);
        squares += delta * (value - mean);
    }
    let variance = squares / f64::from(resamples - 1);
    Some(Spread {
        error: (variance * units / (units - 1.0)).sqrt(),
        freedom: units - 1.0,
    })
}

/// The spread of a difference (Welch and Satterthwaite).
fn both(a: Spread, b: Spread) -> Spread {
    let (va, vb) = (a.error.powi(2), b.error.powi(2));
    let freedom = (va + vb).powi(2) / (va.powi(2) / a.freedom + vb.powi(2) / b.freedom);
    Spread {
        error: (va + vb).sqrt(),
        // Two sides without any spread: the quotient is 0/0.
        freedom: if freedom.is_finite() {
            freedom
        } else {
            a.freedom.min(b.freedom)
        },
    }
}

#[cfg(test)]
mod tests;
