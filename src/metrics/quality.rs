//! What a precision loses against the reference on a text, with intervals.
//!
//! For every prediction that counts, let p be the distribution of the judged model, r that of the
//! reference, and x the true token; logarithms are natural. N is the number of predictions.
//!
//! | statistic | formula |
//! |---|---|
//! | perplexity | exp(Σ −ln p(x) / N) |
//! | perplexity ratio | exp(Σ (ln r(x) − ln p(x)) / N): perplexity ÷ that of the reference on the same tokens |
//! | KLD | Σ over the vocabulary of r·(ln r − ln p), the Kullback–Leibler divergence, one per prediction |
//! | Δp | p(x) − r(x); its mean, and its root mean square √(Σ Δp² / N) |
//! | same top | share of predictions in which p and r have the same most probable token |
//!
//! Which predictions count is the [`Text`](crate::record::scoring::Text)'s convention, which is that of
//! llama.cpp's `perplexity`: windows of `context` tokens, the first replaced by the token that begins a
//! text where the tokenizer adds one, and of each window the predictions from place `context / 2` on, so
//! that each has at least half a window before it; with a stride below half a window only those of the
//! last `stride` tokens, so that none counts twice.
//!
//! Tokens of one window share their context and topic, so **the window is the unit**, and where the
//! stride is shorter than the window, as many consecutive ones as share tokens are one unit together: with
//! y the sum of a statistic over a unit and n its predictions, the estimate is R = Σy / Σn, its variance
//! `Σ (y − R·n)² / (W·(W − 1)·n̄²)` over W units, and the interval Student's t with W − 1 degrees of
//! freedom, at 95 % (Cochran, *Sampling Techniques*, chapters 6 and 9A). Perplexity and its ratio take
//! the interval of their logarithm, the root mean square that of its square. Intervals end where the
//! quantity does: a divergence is not below 0, a share not above 1. A quantile of the divergence takes
//! Woodruff's interval: the quantiles at the ends of the same interval of the share of predictions below
//! it, cut at the smallest and largest divergence seen (Woodruff, JASA 47, 1952). The largest divergence
//! has no interval: nothing bounds what another text would show.

use super::stats::{BEYOND_PERCENTILE, Estimate, t_quantile};
use crate::record::scoring::Window;

/// Nats per stored unit of a divergence.
const NANO: f64 = 1e-9;

/// What a precision loses against the reference. Estimates count units as their n: windows, or groups of
/// windows that overlap.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// Windows.
    pub windows: usize,
    /// Predictions that count.
    pub predictions: u64,
    /// Perplexity of the judged model.
    pub perplexity: Estimate<f64>,
    /// Its standard error; absent for a single unit.
    pub perplexity_error: Option<f64>,
    /// Perplexity of the reference.
    pub perplexity_reference: Estimate<f64>,
    /// One ÷ the other, on the same tokens.
    pub perplexity_ratio: Estimate<f64>,
    /// Mean divergence in nats.
    pub kld_mean: Estimate<f64>,
    /// Its median.
    pub kld_median: Option<Estimate<f64>>,
    /// Its 90 % quantile.
    pub kld_p90: Option<Estimate<f64>>,
    /// Its 99 % quantile.
    pub kld_p99: Option<Estimate<f64>>,
    /// Its 99.9 % quantile.
    pub kld_p999: Option<Estimate<f64>>,
    /// The largest.
    pub kld_max: f64,
    /// Mean change of the probability of the true token.
    pub delta_p_mean: Estimate<f64>,
    /// Root mean square of the same.
    pub delta_p_rms: Estimate<f64>,
    /// Share of predictions with the same most probable token.
    pub same_top: Estimate<f64>,
}

impl Quality {
    /// What windows of one comparison show, of which so many consecutive ones are `overlapping`; `None`
    /// without a prediction, and where a sum is no number.
    ///
    /// ```
    /// use mtok::metrics::quality::Quality;
    /// use mtok::record::scoring::Window;
    /// let window = |window, surprise: f64| Window {
    ///     scoring: 0, window, surprise, surprise_reference: 2.0 * 2.0_f64.ln(),
    ///     delta_p: -0.2, delta_p_squared: 0.02, same_top: 1, divergence_nano: vec![0, 500_000_000],
    /// };
    /// // Four predictions of probability 1/4 each, by the reference 1/2.
    /// let surprise = 2.0 * 4.0_f64.ln();
    /// let quality = Quality::new(&[&window(0, surprise), &window(1, surprise)], 1).unwrap();
    /// assert!((quality.perplexity.value - 4.0).abs() < 1e-12);
    /// assert!((quality.perplexity_ratio.value - 2.0).abs() < 1e-12);
    /// assert_eq!(quality.kld_mean.value, 0.25);
    /// assert!((quality.delta_p_rms.value - 0.1).abs() < 1e-12);
    /// assert_eq!(quality.same_top.value, 0.5);
    /// ```
    pub fn new(windows: &[&Window], overlapping: usize) -> Option<Self> {
        let units: Vec<&[&Window]> = windows.chunks(overlapping.max(1)).collect();
        let mean = |sum: &dyn Fn(&Window) -> f64| Clustered::new(&units, sum);
        let surprise = mean(&|w| w.surprise)?;
        let divergences = Divergences::new(windows);
        let kld = |window: &Window| {
            let sum: u64 = window.divergence_nano.iter().sum();
            sum as f64 * NANO
        };
        Some(Self {
            windows: windows.len(),
            predictions: divergences.0.len() as u64,
            perplexity: surprise.estimate().rising(f64::exp),
            perplexity_error: surprise.error.map(|error| error * surprise.value.exp()),
            perplexity_reference: mean(&|w| w.surprise_reference)?.estimate().rising(f64::exp),
            perplexity_ratio: mean(&|w| w.surprise - w.surprise_reference)?
                .estimate()
                .rising(f64::exp),
            kld_mean: mean(&kld)?.estimate().rising(|kld| kld.max(0.0)),
            kld_median: divergences.quantile(&units, 0.5),
            kld_p90: divergences.quantile(&units, 0.9),
            kld_p99: divergences.quantile(&units, 0.99),
            kld_p999: divergences.quantile(&units, 0.999),
            kld_max: *divergences.0.last()? as f64 * NANO,
            delta_p_mean: mean(&|w| w.delta_p)?
                .estimate()
                .rising(|delta| delta.clamp(-1.0, 1.0)),
            delta_p_rms: mean(&|w| w.delta_p_squared)?
                .estimate()
                .rising(|square| square.clamp(0.0, 1.0).sqrt()),
            same_top: mean(&|w| f64::from(w.same_top))?
                .estimate()
                .rising(|share| share.clamp(0.0, 1.0)),
        })
    }
}

/// A mean over predictions that come in independent units.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Clustered {
    /// Σy / Σn.
    value: f64,
    /// Its standard error; absent for a single unit.
    error: Option<f64>,
    /// Windows, or groups of windows that overlap.
    units: usize,
}

impl Clustered {
    /// The mean of what `sum` gives for each window; `None` without a prediction or when not finite.
    fn new(units: &[&[&Window]], sum: &dyn Fn(&Window) -> f64) -> Option<Self> {
        let size = |window: &Window| window.divergence_nano.len() as f64;
        let totals: Vec<(f64, f64)> = units
            .iter()
            .map(|unit| {
                let sums = unit.iter().map(|window| sum(window)).sum();
                (sums, unit.iter().map(|window| size(window)).sum())
            })
            .collect();
        let count = units.len() as f64;
        let predictions: f64 = totals.iter().map(|(_, size)| size).sum();
        let value = totals.iter().map(|(sum, _)| sum).sum::<f64>() / predictions;
        if !value.is_finite() {
            return None;
        }
        let squares: f64 = totals
            .iter()
            .map(|(sum, size)| (sum - value * size).powi(2))
            .sum();
        let mean_size = predictions / count;
        let variance = squares / (count * (count - 1.0) * mean_size * mean_size);
        Some(Self {
            value,
            error: (units.len() > 1).then(|| variance.sqrt()),
            units: units.len(),
        })
    }

    /// Half of the interval.
    fn half_width(&self) -> Option<f64> {
        self.error.map(|error| t_quantile(self.units - 1) * error)
    }

    fn estimate(&self) -> Estimate<f64> {
        let estimate = Estimate {
            value: self.value,
            interval: None,
            n: self.units,
        };
        match self.half_width() {
            Some(half) => estimate.with_interval(self.value - half, self.value + half),
            None => estimate,
        }
    }
}

/// Divergences of all predictions, ascending.
struct Divergences(Vec<u64>);

impl Divergences {
    fn new(windows: &[&Window]) -> Self {
        let all = windows.iter().flat_map(|window| &window.divergence_nano);
        let mut sorted: Vec<u64> = all.copied().collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    /// The quantile with Woodruff's interval, unless fewer than five predictions lie beyond it.
    fn quantile(&self, units: &[&[&Window]], share: f64) -> Option<Estimate<f64>> {
        let beyond = self.0.len() as f64 * (1.0 - share.max(1.0 - share));
        if beyond + 1e-9 < BEYOND_PERCENTILE {
            return None;
        }
        let value = self.at(share)?;
        let limit = value / NANO;
        let below = |window: &Window| {
            let divergences = window.divergence_nano.iter();
            divergences.filter(|kld| **kld as f64 <= limit).count() as f64
        };
        let half = Clustered::new(units, &below)?.half_width();
        let estimate = Estimate {
            value,
            interval: None,
            n: units.len(),
        };
        let ends = half.and_then(|half| Some((self.at(share - half)?, self.at(share + half)?)));
        Some(match ends {
            Some((low, high)) => estimate.with_interval(low, high),
            None => estimate,
        })
    }

    /// Linear interpolation between order statistics (type 7); beyond the ends the ends.
    fn at(&self, share: f64) -> Option<f64> {
        let last = self.0.len().checked_sub(1)?;
        let place = share.clamp(0.0, 1.0) * last as f64;
        let (index, fraction) = (place.floor() as usize, place.fract());
        let low = self.0[index] as f64;
        let high = self.0[(index + 1).min(last)] as f64;
        Some((low + fraction * (high - low)) * NANO)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A window of two predictions.
    fn window(surprise: f64, reference: f64, divergences: &[u64]) -> Window {
        Window {
            scoring: 0,
            window: 0,
            surprise,
            surprise_reference: reference,
            delta_p: 0.0,
            delta_p_squared: 0.0,
            same_top: 0,
            divergence_nano: divergences.to_vec(),
        }
    }

    #[track_caller]
    fn is(estimate: Estimate<f64>, value: f64, low: f64, high: f64) {
        let found = (
            estimate.value,
            estimate.low().unwrap(),
            estimate.high().unwrap(),
        );
        for (a, b) in [(found.0, value), (found.1, low), (found.2, high)] {
            assert!(
                (a - b).abs() <= 1e-6 * b.abs().max(1e-7),
                "{found:?} is not ({value}, {low}, {high})"
            );
        }
    }

    fn all(windows: &[Window]) -> Quality {
        Quality::new(&windows.iter().collect::<Vec<_>>(), 1).unwrap()
    }

    /// Two-sided 95 % quantiles of Student's t with one and two degrees of freedom.
    const T1: f64 = 12.706_204_7;
    const T2: f64 = 4.302_652_7;

    #[test]
    fn perplexity_is_e_to_the_mean_surprise() {
        // Means 1, 2, 3 per prediction; mean 2. Residuals of the sums −2, 0, 2: variance
        // 8 / (3·2·2²) = 1/3.
        let windows = [2.0, 4.0, 6.0].map(|surprise| window(surprise, 2.0, &[0, 0]));
        let quality = all(&windows);
        let error = (1.0_f64 / 3.0).sqrt();
        let e = |x: f64| x.exp();
        is(
            quality.perplexity,
            e(2.0),
            e(2.0 - T2 * error),
            e(2.0 + T2 * error),
        );
        let found = quality.perplexity_error.unwrap();
        assert!((found - e(2.0) * error).abs() < 1e-9, "{found}");
        is(quality.perplexity_reference, e(1.0), e(1.0), e(1.0));
        assert_eq!((quality.windows, quality.predictions), (3, 6));
    }

    #[test]
    fn the_ratio_is_paired_so_that_what_both_share_cancels() {
        // The surprise differs widely between windows, its difference from the reference not at all.
        let windows = [2.0, 40.0, 600.0].map(|surprise| window(surprise + 0.2, surprise, &[0, 0]));
        let ratio = 0.1_f64.exp();
        is(all(&windows).perplexity_ratio, ratio, ratio, ratio);
    }

    #[test]
    fn the_mean_divergence_weighs_predictions_and_is_never_below_zero() {
        // 0.001 and 0.003 nats, mean 0.002; residuals ∓0.001·1: variance 2e-6 / (2·1·1).
        let quality = all(&[
            window(1.0, 1.0, &[1_000_000]),
            window(1.0, 1.0, &[3_000_000]),
        ]);
        is(quality.kld_mean, 0.002, 0.0, 0.002 + T1 * 0.001);
        assert!((quality.kld_max - 0.003).abs() < 1e-15);
        // A window of three counts thrice: (3·1 + 1·5) / 4 = 2.
        let quality = all(&[
            window(1.0, 1.0, &[1_000_000_000; 3]),
            window(1.0, 1.0, &[5_000_000_000]),
        ]);
        assert!((quality.kld_mean.value - 2.0).abs() < 1e-12);
    }

    #[test]
    fn windows_that_overlap_are_one_unit() {
        // Two units with sums 0 + 2 and 6 + 8 over 2 predictions each: mean 4, residuals ∓6, variance
        // 72 / (2·1·2²) = 9.
        let windows = [0.0, 2.0, 6.0, 8.0].map(|surprise| window(surprise, 0.0, &[0]));
        let quality = Quality::new(&windows.iter().collect::<Vec<_>>(), 2).unwrap();
        let error = quality.perplexity_error.unwrap() / quality.perplexity.value;
        assert!((error - 3.0).abs() < 1e-12, "{error}");
        assert_eq!((quality.windows, quality.perplexity.n), (4, 2));
        // One unit has no interval.
        let one = Quality::new(&windows.iter().collect::<Vec<_>>(), 4).unwrap();
        assert_eq!(one.perplexity_error, None);
    }

    #[test]
    fn the_tail_of_the_divergence_is_that_of_its_order() {
        // 0..=9999 nano in two windows that hold evens and odds: 99 % of 9999 is 9899.01, 99.9 % is
        // 9989.001. At or below lie 4950 and 4995 of each window, without spread.
        let part = |odd: u64| (0..5000).map(|n| 2 * n + odd).collect::<Vec<_>>();
        let quality = all(&[window(1.0, 1.0, &part(0)), window(1.0, 1.0, &part(1))]);
        is(quality.kld_p99.unwrap(), 9899.01e-9, 9899.01e-9, 9899.01e-9);
        is(
            quality.kld_p999.unwrap(),
            9989.001e-9,
            9989.001e-9,
            9989.001e-9,
        );
    }

    #[test]
    fn quantiles_interpolate_and_their_interval_is_that_of_the_share() {
        // 0..=99 nano in two windows that hold evens and odds: 50 of 100 are at or below 49.5, 25 in
        // each window, so the share has no spread and the interval no width.
        let part = |odd: u64| (0..50).map(|n| 2 * n + odd).collect::<Vec<_>>();
        let quality = all(&[window(1.0, 1.0, &part(0)), window(1.0, 1.0, &part(1))]);
        is(quality.kld_median.unwrap(), 49.5e-9, 49.5e-9, 49.5e-9);
        // 90 % of 99 is 89.1; at or below lie 45 of each window, again without spread.
        is(quality.kld_p90.unwrap(), 89.1e-9, 89.1e-9, 89.1e-9);
        assert_eq!(quality.kld_p99, None, "one prediction lies beyond it");

        // One window holds the lower half but for one: 49 and 1 of 50 at or below the median, share
        // 0.5, residuals ±24: variance 1152 / (2·1·50²), error 0.48; the interval reaches both ends.
        let mut low: Vec<u64> = (0..49).collect();
        low.push(99);
        let mut high: Vec<u64> = (50..99).collect();
        high.push(49);
        let quality = all(&[window(1.0, 1.0, &low), window(1.0, 1.0, &high)]);
        is(quality.kld_median.unwrap(), 49.5e-9, 0.0, 99e-9);
    }

    #[test]
    fn woodruffs_interval_takes_the_quantiles_at_the_ends_of_the_share() {
        // Three windows of 100 over 0..300: the n-th value goes to window n mod 3, but for one value
        // below the median that window 0 has in place of window 2's. Shares at or below the median
        // 149.5: 51, 50, 49 of 100. Residuals 1, 0, −1: variance 2 / (3·2·100²), error 0.005774.
        let mut parts: Vec<Vec<u64>> = (0..3)
            .map(|part| (0..100).map(|n| 3 * n + part).collect())
            .collect();
        let moved = parts[2].remove(0);
        let back = parts[0].pop().unwrap();
        parts[0].push(moved);
        parts[2].push(back);
        let quality = all(&parts
            .iter()
            .map(|part| window(1.0, 1.0, part))
            .collect::<Vec<_>>());
        let half = T2 * (2.0_f64 / 6.0).sqrt() / 100.0;
        let at = |share: f64| share * 299.0 * 1e-9;
        is(
            quality.kld_median.unwrap(),
            149.5e-9,
            at(0.5 - half),
            at(0.5 + half),
        );
    }

    #[test]
    fn changes_of_the_true_tokens_probability_have_mean_and_root_mean_square() {
        let changed = |delta_p, delta_p_squared| Window {
            delta_p,
            delta_p_squared,
            ..window(1.0, 1.0, &[0, 0])
        };
        // Δp of −0.1, −0.1 in both windows: mean −0.1, root mean square 0.1, no spread.
        let quality = all(&[changed(-0.2, 0.02), changed(-0.2, 0.02)]);
        is(quality.delta_p_mean, -0.1, -0.1, -0.1);
        is(quality.delta_p_rms, 0.1, 0.1, 0.1);
        // Mean squares 0.01 and 0.03: 0.02 ± 12.7·0.01, cut at 0.
        let quality = all(&[changed(0.0, 0.02), changed(0.0, 0.06)]);
        let high = (0.02 + T1 * 0.01_f64).sqrt();
        is(quality.delta_p_rms, 0.02_f64.sqrt(), 0.0, high);
    }

    #[test]
    fn the_same_top_is_a_share_of_predictions() {
        let agreeing = |same_top| Window {
            same_top,
            ..window(1.0, 1.0, &[0; 10])
        };
        // 8, 9, 10 of 10: 0.9, residuals ∓1: variance 2 / (3·2·100); cut at 1.
        let quality = all(&[8, 9, 10].map(agreeing));
        let half = T2 * (2.0_f64 / 600.0).sqrt();
        is(quality.same_top, 0.9, 0.9 - half, 1.0);
    }

    #[test]
    fn one_window_gives_values_without_intervals() {
        let quality = all(&[window(2.0, 2.0, &[5; 20])]);
        assert_eq!(quality.perplexity.interval, None);
        assert_eq!(quality.perplexity_error, None);
        assert_eq!(quality.kld_median.unwrap().interval, None);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(Quality::new(&[], 1), None);
        assert_eq!(Quality::new(&[&window(0.0, 0.0, &[])], 1), None);
        assert_eq!(Quality::new(&[&window(f64::NAN, 0.0, &[1])], 1), None);
    }

    proptest! {
        #[test]
        fn quantiles_rise_and_lie_within_what_was_seen(
            parts in prop::collection::vec(prop::collection::vec(0_u64..1_000_000, 30..60), 1..6)
        ) {
            let windows: Vec<Window> = parts.iter().map(|part| window(1.0, 1.0, part)).collect();
            let quality = all(&windows);
            let smallest = parts.iter().flatten().min().copied().unwrap() as f64 * NANO;
            let mut before = smallest;
            for quantile in [quality.kld_median, quality.kld_p90, quality.kld_p99].into_iter().flatten() {
                prop_assert!(before <= quantile.value && quantile.value <= quality.kld_max);
                before = quantile.value;
                if let Some(interval) = quantile.interval {
                    prop_assert!(smallest <= interval.low && interval.low <= quantile.value);
                    prop_assert!(quantile.value <= interval.high && interval.high <= quality.kld_max);
                }
            }
        }

        #[test]
        fn the_order_of_windows_changes_nothing(surprises in prop::collection::vec(0.0..9.0_f64, 2..9)) {
            let windows: Vec<Window> = surprises.iter().map(|s| window(*s, 1.0, &[7, 9])).collect();
            let mut turned = windows.clone();
            turned.reverse();
            let (a, b) = (all(&windows).perplexity, all(&turned).perplexity);
            prop_assert!((a.value / b.value - 1.0).abs() < 1e-12);
            prop_assert!((a.low().unwrap() / b.low().unwrap() - 1.0).abs() < 1e-9);
        }
    }
}
