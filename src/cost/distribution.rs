//! What an uncertain input may be: quantiles of the distributions that a scenario names.

use statrs::distribution::{Beta, ContinuousCDF};
use statrs::function::erf::erfc_inv;

use super::scenario::{DistributionKind, UncertainInput};

/// The standard normal quantile of 0.95.
const Z95: f64 = 1.644_853_626_951_472_2;
/// Nodes of the table that stands in for a beta quantile, whose inversion is slow.
const TABLE: usize = 4_096;

/// A distribution of one input.
#[derive(Debug, Clone, PartialEq)]
pub enum Distribution {
    /// One value.
    Fixed(f64),
    /// Even between two ends.
    Uniform {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// A triangle.
    Triangular {
        /// Lower end.
        low: f64,
        /// Peak.
        mode: f64,
        /// Upper end.
        high: f64,
    },
    /// A normal logarithm, shifted by `floor`.
    Lognormal {
        /// What is added: 1 for a peak-to-average ratio.
        floor: f64,
        /// Median of what is above the floor.
        median: f64,
        /// Standard deviation of its logarithm.
        sigma: f64,
    },
    /// A beta distribution between two ends, as a table of its quantiles.
    Beta(Vec<f64>),
    /// Location-scale t on the logarithm.
    LogStudent(Vec<f64>),
}

/// Parameters that make no distribution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the distribution of `{key}` makes no sense: {problem}")]
pub struct DistributionError {
    key: String,
    problem: &'static str,
}

impl Distribution {
    /// The distribution that an input names; its parameters have been checked for presence.
    pub fn new(input: &UncertainInput) -> Result<Self, DistributionError> {
        let refuse = |problem| {
            Err(DistributionError {
                key: input.key.clone(),
                problem,
            })
        };
        let given = |value: Option<f64>| value.unwrap_or_default();
        let (low, high) = (given(input.low), input.high.unwrap_or(1.0));
        match input.distribution {
            DistributionKind::Fixed => Ok(Self::Fixed(given(input.value))),
            DistributionKind::Uniform if low <= high => Ok(Self::Uniform { low, high }),
            DistributionKind::Uniform => refuse("low is above high"),
            DistributionKind::Triangular => {
                let mode = given(input.mode);
                if low <= mode && mode <= high {
                    Ok(Self::Triangular { low, mode, high })
                } else {
                    refuse("it needs low ≤ mode ≤ high")
                }
            }
            DistributionKind::Lognormal => {
                // A peak is never below the average: only what is above 1 varies.
                let floor = if input.key == "traffic.peak_to_average" {
                    1.0
                } else {
                    0.0
                };
                let (median, p95) = (given(input.median) - floor, given(input.p95) - floor);
                if median > 0.0 && p95 >= median {
                    let sigma = (p95 / median).ln() / Z95;
                    Ok(Self::Lognormal {
                        floor,
                        median,
                        sigma,
                    })
                } else {
                    refuse("it needs 0 < median ≤ p95, above 1 for a peak-to-average ratio")
                }
            }
            DistributionKind::Beta => {
                let mean = (given(input.mean) - low) / (high - low);
                let variance = (given(input.sd) / (high - low)).powi(2);
                let weight = mean * (1.0 - mean) / variance - 1.0;
                let inside = low < high && mean > 0.0 && mean < 1.0;
                if !inside || !weight.is_finite() || weight <= 0.0 {
                    return refuse(
                        "it needs low < mean < high and sd² < (mean − low)(high − mean)",
                    );
                }
                match Beta::new(mean * weight, (1.0 - mean) * weight) {
                    Ok(beta) => Ok(Self::Beta(table(|p| {
                        low + (high - low) * beta.inverse_cdf(p)
                    }))),
                    Err(_) => refuse("its shape is degenerate"),
                }
            }
        }
    }

    /// A measured throughput over its estimate: the logarithm of seconds per token is a
    /// location-scale t of `repetitions − 1` degrees of freedom. `None` where those make no t.
    pub fn measured(log_error: f64, repetitions: u32) -> Option<Self> {
        let freedom = f64::from(repetitions.checked_sub(1)?);
        let t = statrs::distribution::StudentsT::new(0.0, 1.0, freedom).ok()?;
        Some(Self::LogStudent(table(|p| {
            (t.inverse_cdf(p) * log_error).exp()
        })))
    }

    /// One host over the next: a normal logarithm around 1 with this coefficient of variation.
    pub fn between_hosts(cv: f64) -> Self {
        Self::Lognormal {
            floor: 0.0,
            median: 1.0,
            sigma: (cv * cv).ln_1p().sqrt(),
        }
    }

    /// The value below which a share `p` in (0, 1) of the distribution lies.
    pub fn quantile(&self, p: f64) -> f64 {
        match self {
            Self::Fixed(value) => *value,
            Self::Uniform { low, high } => low + p * (high - low),
            Self::Triangular { low, mode, high } => {
                let width = high - low;
                if width <= 0.0 {
                    *low
                } else if p * width <= mode - low {
                    low + (p * width * (mode - low)).sqrt()
                } else {
                    high - ((1.0 - p) * width * (high - mode)).sqrt()
                }
            }
            Self::Lognormal {
                floor,
                median,
                sigma,
            } => floor + median * (sigma * normal_quantile(p)).exp(),
            Self::Beta(table) | Self::LogStudent(table) => between_nodes(table, p),
        }
    }
}

/// The two-sided 95 % quantile of Student's t with one degree less than repetitions.
pub(super) fn student_quantile(repetitions: u32) -> Option<f64> {
    let freedom = f64::from(repetitions.checked_sub(1)?);
    let t = statrs::distribution::StudentsT::new(0.0, 1.0, freedom).ok()?;
    Some(t.inverse_cdf(0.975))
}

/// The standard normal quantile.
pub(super) fn normal_quantile(p: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * p)
}

/// Quantiles at the middles of equal shares.
fn table(quantile: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..TABLE)
        .map(|node| quantile((node as f64 + 0.5) / TABLE as f64))
        .collect()
}

/// Linear between nodes, level outside the first and the last.
fn between_nodes(table: &[f64], p: f64) -> f64 {
    let place = (p * table.len() as f64 - 0.5).clamp(0.0, (table.len() - 1) as f64);
    let below = place.floor() as usize;
    let above = (below + 1).min(table.len() - 1);
    table[below] + (table[above] - table[below]) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(distribution: DistributionKind) -> UncertainInput {
        UncertainInput {
            key: "x".to_owned(),
            distribution,
            value: None,
            low: None,
            mode: None,
            high: None,
            median: None,
            p95: None,
            mean: None,
            sd: None,
        }
    }

    #[test]
    fn a_triangle_has_its_ends_and_its_mode() {
        let triangle = Distribution::Triangular {
            low: 0.0,
            mode: 1.0,
            high: 4.0,
        };
        assert!((triangle.quantile(0.25) - 1.0).abs() < 1e-12);
        assert!(triangle.quantile(1e-12) < 1e-5);
        assert!((triangle.quantile(1.0 - 1e-12) - 4.0).abs() < 1e-5);
    }

    #[test]
    fn a_lognormal_has_its_median_and_its_p95() {
        let mut wanted = input(DistributionKind::Lognormal);
        (wanted.median, wanted.p95) = (Some(3.0), Some(9.0));
        let plain = Distribution::new(&wanted).unwrap();
        assert!((plain.quantile(0.5) - 3.0).abs() < 1e-9);
        assert!((plain.quantile(0.95) - 9.0).abs() < 1e-6);
        wanted.key = "traffic.peak_to_average".to_owned();
        let peak = Distribution::new(&wanted).unwrap();
        assert!((peak.quantile(0.5) - 3.0).abs() < 1e-9);
        assert!((peak.quantile(0.95) - 9.0).abs() < 1e-6);
        assert!(peak.quantile(1e-9) >= 1.0);
    }

    #[test]
    fn a_beta_has_its_mean_and_its_spread() {
        let mut wanted = input(DistributionKind::Beta);
        (wanted.mean, wanted.sd) = (Some(0.3), Some(0.1));
        let beta = Distribution::new(&wanted).unwrap();
        let draws: Vec<f64> = (0..100_000)
            .map(|i| beta.quantile((f64::from(i) + 0.5) / 1e5))
            .collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((mean - 0.3).abs() < 1e-4, "{mean}");
        assert!((variance.sqrt() - 0.1).abs() < 1e-4, "{variance}");
    }

    #[test]
    fn three_runs_are_as_wide_as_their_t() {
        // 95 % of a t with 2 degrees lies within 4.303 scales.
        let rate = Distribution::measured(0.01, 3).unwrap();
        assert!((rate.quantile(0.5) - 1.0).abs() < 1e-4);
        assert!((rate.quantile(0.975) - (0.01_f64 * 4.302_65).exp()).abs() < 1e-4);
    }

    proptest! {
        #[test]
        fn quantiles_never_fall(p in 0.001..0.998f64, low in 0.0..1.0f64, mode in 1.0..2.0f64, high in 2.0..3.0f64) {
            for distribution in [
                Distribution::Uniform { low, high },
                Distribution::Triangular { low, mode, high },
                Distribution::Lognormal { floor: low, median: mode, sigma: high },
            ] {
                prop_assert!(distribution.quantile(p) <= distribution.quantile(p + 0.001));
            }
        }
    }
}
