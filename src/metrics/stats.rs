//! Estimates with intervals from repeated observations.
//!
//! The unit of observation is a block: how many generations it held and how long they took. The
//! estimate is the ratio of the sums, `Σ time / Σ generations`, never a mean of rates; its variance is
//! the linearized one of a ratio, `Σ (yᵢ − R·xᵢ)² / (n·(n − 1)·x̄²)`, and the interval is Student's t
//! with n − 1 degrees of freedom (Cochran, *Sampling Techniques*, chapter 6). Rates are the exact
//! inverse, so a rate and its time never contradict each other.
//!
//! Blocks of one process resemble each other more than those of another. With several launches the
//! same formula is applied to the sums of whole launches too, with `launches − 1` degrees of freedom,
//! and **the wider of both intervals** is taken: never narrower than either level of variation
//! justifies.

mod percentile;
mod resampler;

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, StudentsT};

pub use percentile::percentile;
pub(crate) use percentile::{BEYOND_PERCENTILE, percentiles};
pub(crate) use resampler::Resampler;

/// How often an interval is meant to contain the true value.
pub const CONFIDENCE: f64 = 0.95;

/// An estimate with its interval and the number of observations behind it.
///
/// ```
/// use mtok::metrics::stats::Estimate;
/// use mtok::units::Seconds;
/// let time = Estimate::exact(Seconds::new(0.5)).with_interval(Seconds::new(0.4), Seconds::new(0.625));
/// // 2 tokens in 0.5 s: the shortest time gives the highest rate.
/// let rate = time.falling(|t| 2.0 / t.value());
/// assert_eq!((rate.value, rate.low(), rate.high()), (4.0, Some(3.2), Some(5.0)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate<Q> {
    /// The estimate.
    pub value: Q,
    /// Its 95 % interval; `None` when there are too few observations for one.
    pub interval: Option<Interval<Q>>,
    /// Observations (blocks) behind it.
    pub n: usize,
}

/// Two ends between which the true value is expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval<Q> {
    /// Lower end.
    pub low: Q,
    /// Upper end.
    pub high: Q,
}

impl<Q: Copy> Estimate<Q> {
    /// A single value without an interval.
    pub fn exact(value: Q) -> Self {
        Self {
            value,
            interval: None,
            n: 1,
        }
    }

    /// The same value with an interval.
    #[must_use]
    pub fn with_interval(self, low: Q, high: Q) -> Self {
        Self {
            interval: Some(Interval { low, high }),
            ..self
        }
    }

    /// Lower end of the interval.
    pub fn low(&self) -> Option<Q> {
        self.interval.map(|interval| interval.low)
    }

    /// Upper end of the interval.
    pub fn high(&self) -> Option<Q> {
        self.interval.map(|interval| interval.high)
    }

    /// The estimate of `f` of the quantity, where `f` rises with it.
    #[must_use]
    pub fn rising<R>(&self, f: impl Fn(Q) -> R) -> Estimate<R> {
        Estimate {
            value: f(self.value),
            interval: self.interval.map(|interval| Interval {
                low: f(interval.low),
                high: f(interval.high),
            }),
            n: self.n,
        }
    }

    /// The estimate of `f` of the quantity, where `f` falls with it.
    #[must_use]
    pub fn falling<R>(&self, f: impl Fn(Q) -> R) -> Estimate<R> {
        Estimate {
            value: f(self.value),
            interval: self.interval.map(|interval| Interval {
                low: f(interval.high),
                high: f(interval.low),
            }),
            n: self.n,
        }
    }
}

impl Estimate<f64> {
    /// The wider distance from the value to an end of the interval, relative to the value.
    pub fn relative_half_width(&self) -> Option<f64> {
        let interval = self.interval?;
        let half = (interval.high - self.value).max(self.value - interval.low);
        (self.value != 0.0).then(|| half / self.value.abs())
    }
}

/// Numbers that can be averaged: at least one, all finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample(Vec<f64>);

/// Why numbers are no sample.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// None at all.
    #[error("a sample needs at least one value")]
    Empty,
    /// Infinite or not a number.
    #[error("value {index} of a sample is {value}, not a finite number")]
    NotFinite {
        /// Place of the value, from 0.
        index: usize,
        /// The value.
        value: f64,
    },
}

impl Sample {
    /// The sample of `values`.
    pub fn new(values: Vec<f64>) -> Result<Self, SampleError> {
        if values.is_empty() {
            return Err(SampleError::Empty);
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(SampleError::NotFinite {
                index,
                value: values[index],
            }),
            None => Ok(Self(values)),
        }
    }

    /// Σx / n.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// √(Σ(x − x̄)² / (n − 1)); `None` for a single value.
    pub fn standard_deviation(&self) -> Option<f64> {
        let (n, mean) = (self.0.len(), self.mean());
        let squares: f64 = self.0.iter().map(|x| (x - mean).powi(2)).sum();
        (n > 1).then(|| (squares / (n - 1) as f64).sqrt())
    }

    /// Mean with Student's t interval, n − 1 degrees of freedom.
    ///
    /// 700, 750 and 800 give 750 ± 124.2:
    /// ```
    /// use mtok::metrics::stats::Sample;
    /// let mean = Sample::new(vec![700.0, 750.0, 800.0]).unwrap().mean_estimate();
    /// assert!((mean.high().unwrap() - 874.2).abs() < 0.05);
    /// ```
    pub fn mean_estimate(&self) -> Estimate<f64> {
        let (n, mean) = (self.0.len(), self.mean());
        let half = self
            .standard_deviation()
            .map(|s| t_quantile(n - 1) * s / (n as f64).sqrt());
        Estimate {
            value: mean,
            interval: half.map(|half| Interval {
                low: mean - half,
                high: mean + half,
            }),
            n,
        }
    }
}

/// One block of observations of one phase: the time that a number of generations took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockTime {
    /// Launch that it belongs to.
    pub launch: u32,
    /// Generations.
    pub generations: f64,
    /// Time of all of them in seconds.
    pub seconds: f64,
}

/// Seconds per generation, `Σ time / Σ generations`, over blocks in the order of time.
///
/// `None` without a generation. The interval is absent for a single block, and where it would reach
/// down to zero time, because the rate would have no upper end.
///
/// ```
/// use mtok::metrics::stats::{BlockTime, ratio};
/// let block = |generations, seconds| BlockTime { launch: 0, generations, seconds };
/// // Residuals are −1, 0, 1 around R = 2; variance = 2 / (3·2·1²) = 1/3; t(2) = 4.3027.
/// let blocks = [block(10.0, 19.0), block(10.0, 20.0), block(10.0, 21.0)];
/// let estimate = ratio(&blocks).unwrap();
/// assert_eq!(estimate.value, 2.0);
/// assert!((estimate.high().unwrap() - (2.0 + 4.302_652_7 * (1.0_f64 / 3.0).sqrt() / 10.0)).abs() < 1e-6);
/// ```
pub fn ratio(blocks: &[BlockTime]) -> Option<Estimate<f64>> {
    let generations: f64 = blocks.iter().map(|block| block.generations).sum();
    let seconds: f64 = blocks.iter().map(|block| block.seconds).sum();
    let value = seconds / generations;
    if !(generations > 0.0 && value.is_finite()) {
        return None;
    }
    let launches = by_launch(blocks);
    let between = (launches.len() > 1)
        .then(|| half_width(&launches, value))
        .flatten();
    let half = match (half_width(blocks, value), between) {
        (Some(within), Some(between)) => Some(within.max(between)),
        (within, between) => within.or(between),
    };
    Some(Estimate {
        value,
        interval: half.filter(|half| *half < value).map(|half| Interval {
            low: value - half,
            high: value + half,
        }),
        n: blocks.len(),
    })
}

/// The sums of each launch.
fn by_launch(blocks: &[BlockTime]) -> Vec<BlockTime> {
    let mut launches: BTreeMap<u32, BlockTime> = BTreeMap::new();
    for block in blocks {
        launches
            .entry(block.launch)
            .and_modify(|sum| {
                sum.generations += block.generations;
                sum.seconds += block.seconds;
            })
            .or_insert(*block);
    }
    launches.into_values().collect()
}

/// Half-width of the t interval of the ratio over these units.
fn half_width(units: &[BlockTime], ratio: f64) -> Option<f64> {
    let n = units.len();
    if n < 2 {
        return None;
    }
    let mean = units.iter().map(|unit| unit.generations).sum::<f64>() / n as f64;
    let squares: f64 = units
        .iter()
        .map(|unit| (unit.seconds - ratio * unit.generations).powi(2))
        .sum();
    let variance = squares / ((n - 1) as f64 * n as f64 * mean * mean);
    Some(t_quantile(n - 1) * variance.sqrt())
}

/// Two-sided 95 % quantile of Student's t.
pub(crate) fn t_quantile(degrees_of_freedom: usize) -> f64 {
    student(degrees_of_freedom as f64).inverse_cdf(f64::midpoint(1.0, CONFIDENCE))
}

/// Student's t with this many degrees of freedom, which may be fractional.
pub(crate) fn student(degrees_of_freedom: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, degrees_of_freedom).expect("degrees of freedom are above zero")
}

/// Correlation of each block's seconds per generation with the next one's, within a launch and around
/// its mean: `Σ dᵢ·dᵢ₊₁ / Σ dᵢ²`. `None` below three blocks or when all are equal.
///
/// ```
/// use mtok::metrics::stats::{BlockTime, lag1_autocorrelation};
/// let blocks = [1.0, 2.0, 3.0].map(|seconds| BlockTime { launch: 0, generations: 1.0, seconds });
/// // Deviations −1, 0, 1: products 0 + 0 over squares 2.
/// assert_eq!(lag1_autocorrelation(&blocks), Some(0.0));
/// ```
pub fn lag1_autocorrelation(blocks: &[BlockTime]) -> Option<f64> {
    if blocks.len() < 3 {
        return None;
    }
    let means: BTreeMap<u32, f64> = by_launch(blocks)
        .iter()
        .map(|launch| (launch.launch, launch.seconds / launch.generations))
        .collect();
    let deviations: Vec<f64> = blocks
        .iter()
        .map(|block| block.seconds / block.generations - means[&block.launch])
        .collect();
    let products: f64 = blocks
        .windows(2)
        .zip(deviations.windows(2))
        .filter(|(pair, _)| pair[0].launch == pair[1].launch)
        .map(|(_, pair)| pair[0] * pair[1])
        .sum();
    let squares: f64 = deviations.iter().map(|d| d * d).sum();
    let value = products / squares;
    value.is_finite().then_some(value)
}

/// Holm's step-down adjustment: p-values that may each be held against the error rate of the whole
/// family.
///
/// ```
/// use mtok::metrics::stats::holm;
/// // Sorted 0.01·3, 0.02·2, 0.04·1, never falling.
/// assert_eq!(holm(&[0.04, 0.01, 0.02]), vec![0.04, 0.03, 0.04]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut highest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        let factor = (p_values.len() - rank) as f64;
        highest = highest.max((p_values[index] * factor).min(1.0));
        adjusted[index] = highest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(launch: u32, seconds: &[f64]) -> Vec<BlockTime> {
        seconds
            .iter()
            .map(|&seconds| BlockTime {
                launch,
                generations: 1.0,
                seconds,
            })
            .collect()
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1e-3), "{a} is not {b}");
    }

    #[test]
    fn a_sample_refuses_what_has_no_mean() {
        assert_eq!(Sample::new(vec![]), Err(SampleError::Empty));
        let error = Sample::new(vec![1.0, f64::INFINITY]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "value 1 of a sample is inf, not a finite number"
        );
    }

    #[test]
    fn three_runs_have_the_textbook_interval() {
        // s = 50, t(2) = 4.302653, 4.302653 · 50 / √3 = 124.2.
        let mean = Sample::new(vec![700.0, 750.0, 800.0])
            .unwrap()
            .mean_estimate();
        close(mean.value, 750.0);
        close(mean.high().unwrap() - mean.value, 124.206_885);
    }

    #[test]
    fn a_single_observation_has_no_interval() {
        assert_eq!(
            Sample::new(vec![1.0]).unwrap().mean_estimate().interval,
            None
        );
        let one = ratio(&blocks(0, &[2.0])).unwrap();
        assert_eq!((one.value, one.interval, one.n), (2.0, None, 1));
    }

    #[test]
    fn a_ratio_weighs_blocks_by_their_generations() {
        // 30 s / 10 generations is 3 s, the mean of 1 s and 3.5 s is not.
        let unequal = [
            BlockTime {
                launch: 0,
                generations: 2.0,
                seconds: 2.0,
            },
            BlockTime {
                launch: 0,
                generations: 8.0,
                seconds: 28.0,
            },
        ];
        let estimate = ratio(&unequal).unwrap();
        close(estimate.value, 3.0);
        // Residuals −4 and 4 exceed what two blocks can say: the interval reaches below zero.
        assert_eq!(estimate.interval, None);
    }

    #[test]
    fn equal_blocks_give_the_interval_of_the_mean() {
        let seconds = [1.0, 1.1, 0.9, 1.05, 0.95];
        let ratio = ratio(&blocks(0, &seconds)).unwrap();
        let mean = Sample::new(seconds.to_vec()).unwrap().mean_estimate();
        close(ratio.value, mean.value);
        close(ratio.low().unwrap(), mean.low().unwrap());
        close(ratio.high().unwrap(), mean.high().unwrap());
    }

    #[test]
    fn launches_that_differ_widen_the_interval_to_their_own() {
        // Launch means 1.0, 1.2, 1.4: s = 0.2, half = 4.302653 · 0.2 / √3.
        let mut all = blocks(0, &[1.0; 10]);
        all.extend(blocks(1, &[1.2; 10]));
        all.extend(blocks(2, &[1.4; 10]));
        let estimate = ratio(&all).unwrap();
        close(estimate.value, 1.2);
        close(estimate.high().unwrap() - 1.2, 0.496_827_5);
        assert_eq!(estimate.n, 30);
    }

    #[test]
    fn launches_that_agree_by_chance_do_not_narrow_it() {
        let mut all = blocks(0, &[0.9, 1.1, 0.9, 1.1]);
        all.extend(blocks(1, &[0.9, 1.1, 0.9, 1.1]));
        let one: Vec<_> = all.iter().map(|b| BlockTime { launch: 0, ..*b }).collect();
        assert_eq!(ratio(&all), ratio(&one));
    }

    #[test]
    fn no_generations_are_no_estimate() {
        assert_eq!(ratio(&[]), None);
    }

    #[test]
    fn alternating_blocks_are_anticorrelated() {
        // Deviations −1, 1, −1, 1: products −3, squares 4.
        let r = lag1_autocorrelation(&blocks(0, &[1.0, 3.0, 1.0, 3.0]));
        close(r.unwrap(), -0.75);
        assert_eq!(lag1_autocorrelation(&blocks(0, &[1.0; 9])), None);
        assert_eq!(lag1_autocorrelation(&blocks(0, &[1.0, 2.0])), None);
    }

    #[test]
    fn a_step_between_launches_is_no_autocorrelation() {
        let mut all = blocks(0, &[1.0, 3.0, 1.0, 3.0]);
        all.extend(blocks(1, &[11.0, 13.0, 11.0, 13.0]));
        close(lag1_autocorrelation(&all).unwrap(), -0.75);
    }

    #[track_caller]
    fn shown(n: u64, q: f64, expected: bool) {
        let mut values: Vec<u64> = (0..n).collect();
        assert_eq!(percentile(&mut values, q).is_some(), expected, "{n} {q}");
    }

    #[test]
    fn a_percentile_needs_five_observations_beyond_it() {
        shown(9, 0.5, false);
        shown(10, 0.5, true);
        shown(49, 0.9, false);
        shown(50, 0.9, true);
        shown(499, 0.99, false);
        shown(500, 0.99, true);
    }

    #[test]
    fn a_percentile_interpolates_between_neighbours() {
        // 51 values 0..=50 in steps of 10: place 50 · 0.9 = 45.
        let mut values: Vec<u64> = (0..=50).rev().map(|v| v * 10).collect();
        assert_eq!(percentile(&mut values, 0.9), Some(450.0));
        // 12 values 0..=11: place 11 · 0.5 = 5.5.
        let mut values: Vec<u64> = (0..12).collect();
        assert_eq!(percentile(&mut values, 0.5), Some(5.5));
    }

    #[test]
    fn holm_multiplies_by_what_is_left_and_never_falls() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (got, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            close(*got, expected);
        }
        assert_eq!(holm(&[0.6, 0.9]), vec![1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn resampling_draws_whole_launches_and_repeats_with_its_seed() {
        let launches = [0, 0, 1, 1, 1];
        let draw = |seed| {
            let mut resampler = Resampler::new(&launches, seed);
            let mut drawn = Vec::new();
            for _ in 0..20 {
                resampler.draw(|index| drawn.push(index));
            }
            drawn
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).iter().all(|index| *index < 5));
        assert_eq!(Resampler::new(&launches, 1).units(), 2);
        assert_eq!(Resampler::new(&[7, 7, 7], 1).units(), 3);
    }

    proptest! {
        #[test]
        fn percentiles_without_a_copy_are_the_same(
            values in prop::collection::vec((0_u32..64, any::<u64>()), 0..600)
        ) {
            // All magnitudes, small ones with many equal values.
            let mut values: Vec<u64> = values.iter().map(|(bits, value)| value >> bits).collect();
            let quantiles = [0.5, 0.9, 0.99];
            let seen = percentiles(values.iter().copied(), quantiles);
            prop_assert_eq!(seen, quantiles.map(|q| percentile(&mut values, q)));
        }

        #[test]
        fn percentiles_rise_and_stay_within_the_sample(mut values in prop::collection::vec(0_u64..1_000_000, 100..300)) {
            let (min, max) = (*values.iter().min().unwrap() as f64, *values.iter().max().unwrap() as f64);
            let p50 = percentile(&mut values, 0.5).unwrap();
            let p90 = percentile(&mut values, 0.9).unwrap();
            prop_assert!(min <= p50 && p50 <= p90 && p90 <= max);
        }

        #[test]
        fn scaling_time_scales_the_estimate(seconds in prop::collection::vec(0.9_f64..1.1, 2..30), factor in 0.1_f64..10.0) {
            let scaled: Vec<f64> = seconds.iter().map(|s| s * factor).collect();
            let (a, b) = (ratio(&blocks(0, &seconds)).unwrap(), ratio(&blocks(0, &scaled)).unwrap());
            prop_assert!((a.value * factor - b.value).abs() < 1e-9);
            if let (Some(a), Some(b)) = (a.high(), b.high()) {
                prop_assert!((a * factor - b).abs() < 1e-6);
            }
        }

        #[test]
        fn an_interval_contains_its_estimate(seconds in prop::collection::vec(0.5_f64..1.5, 2..30)) {
            let estimate = ratio(&blocks(0, &seconds)).unwrap();
            if let Some(interval) = estimate.interval {
                prop_assert!(interval.low <= estimate.value && estimate.value <= interval.high);
            }
        }
    }
}
