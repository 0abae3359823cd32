//! What follows from the ratios of all metrics, taken as one family.

use statrs::distribution::ContinuousCDF;

use super::{Change, MetricChange, Raw, Settings, Spread};
use crate::metrics::stats::{CONFIDENCE, Estimate, Interval, holm, student};

/// Share of runs in which the smallest detectable change would be found.
const POWER: f64 = 0.80;

/// What follows for each metric, judged as one family.
pub(super) fn judged(raw: Vec<Raw>, settings: Settings) -> Vec<MetricChange> {
    let tested: Vec<f64> = raw.iter().filter_map(p_value).collect();
    let family = Family {
        settings,
        size: tested.len() as f64,
    };
    let mut adjusted = holm(&tested).into_iter();
    raw.into_iter()
        .map(|raw| {
            let p_value = raw.spread.and_then(|_| adjusted.next());
            judge(&raw, p_value, &family)
        })
        .collect()
}

/// Two-sided p-value against no change.
fn p_value(raw: &Raw) -> Option<f64> {
    let spread = raw.spread?;
    if spread.error > 0.0 {
        let t = raw.log_ratio.abs() / spread.error;
        return Some(2.0 * student(spread.freedom).sf(t));
    }
    // Without any spread a difference is certain, and so is its absence.
    Some(if raw.log_ratio.abs() > 0.0 { 0.0 } else { 1.0 })
}

/// What all metrics of a run are judged by.
pub(super) struct Family {
    /// How the comparison is made.
    pub(super) settings: Settings,
    /// Metrics tested.
    pub(super) size: f64,
}

impl Family {
    /// The smallest relative change that passes both hurdles in four of five runs: its interval
    /// clears the threshold, and its p-value survives the first step of Holm's adjustment.
    pub(super) fn smallest_detectable(&self, spread: Spread) -> f64 {
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let clear =
            self.settings.noise_threshold.ln_1p() + spread.error * quantile(spread, 1.0 - tail);
        let significant = spread.error * quantile(spread, 1.0 - tail / self.size);
        (clear.max(significant) + spread.error * quantile(spread, POWER)).exp_m1()
    }
}

fn judge(raw: &Raw, p_value: Option<f64>, family: &Family) -> MetricChange {
    let (threshold, limit) = (
        family.settings.noise_threshold,
        family.settings.inconclusive_above(),
    );
    let half = raw
        .spread
        .map(|s| s.error * quantile(s, f64::midpoint(1.0, CONFIDENCE)));
    let interval = half.map(|half| Interval {
        low: (raw.log_ratio - half).exp(),
        high: (raw.log_ratio + half).exp(),
    });
    let smallest_detectable = raw.spread.map(|s| family.smallest_detectable(s));
    let significant = p_value.is_some_and(|p| p < 1.0 - CONFIDENCE);
    let verdict = match interval {
        Some(interval) if significant && interval.low > 1.0 + threshold => Change::Faster,
        Some(interval) if significant && interval.high < 1.0 / (1.0 + threshold) => Change::Slower,
        Some(_) if smallest_detectable.is_some_and(|s| s <= limit) => Change::Unchanged,
        Some(_) | None => Change::Inconclusive,
    };
    MetricChange {
        point: raw.point,
        metric: raw.metric,
        ratio: Estimate {
            value: raw.log_ratio.exp(),
            interval,
            n: raw.blocks,
        },
        smallest_detectable,
        p_value,
        verdict,
    }
}

fn quantile(spread: Spread, probability: f64) -> f64 {
    student(spread.freedom).inverse_cdf(probability)
}
