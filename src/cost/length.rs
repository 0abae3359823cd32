//! Lognormal lengths: how much of a token count lies below a limit, in closed form.

use statrs::function::erf::erfc;

/// A length with its mean and coefficient of variation; without spread it is one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lengths {
    mean: f64,
    cv: f64,
}

/// The part of a distribution in a stretch `(low, high]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    /// Lower end, exclusive.
    pub(crate) low: f64,
    /// Upper end, inclusive.
    pub(crate) high: f64,
    /// Probability of the stretch.
    pub(crate) mass: f64,
    /// Expected length inside it, times its probability.
    pub(crate) moment: f64,
}

impl Lengths {
    /// Lengths with a mean of 0 or more and a coefficient of variation of 0 or more.
    pub fn new(mean: f64, cv: f64) -> Self {
        Self { mean, cv }
    }

    /// Probability of at most `x`: `Φ((ln x − μ)/σ)` with `σ² = ln(1 + cv²)`, `μ = ln mean − σ²/2`.
    pub fn mass_up_to(self, x: f64) -> f64 {
        self.standard(x).map_or_else(
            || if self.mean <= x { 1.0 } else { 0.0 },
            |z| normal_below(z.score),
        )
    }

    /// `E[L · 1(L ≤ x)] = mean · Φ((ln x − μ)/σ − σ)`.
    pub fn moment_up_to(self, x: f64) -> f64 {
        self.standard(x).map_or_else(
            || if self.mean <= x { self.mean } else { 0.0 },
            |z| self.mean * normal_below(z.score - z.sigma),
        )
    }

    fn standard(self, x: f64) -> Option<Standard> {
        if self.cv <= 0.0 || self.mean <= 0.0 {
            return None;
        }
        let sigma = (self.cv * self.cv).ln_1p().sqrt();
        let mu = self.mean.ln() - sigma * sigma / 2.0;
        let score = if x <= 0.0 {
            f64::NEG_INFINITY
        } else if x.is_infinite() {
            f64::INFINITY
        } else {
            (x.ln() - mu) / sigma
        };
        Some(Standard { score, sigma })
    }

    /// The stretches between ascending cuts, from 0 to infinity, without the empty ones.
    pub(crate) fn stretches(self, cuts: &[f64]) -> Vec<Stretch> {
        let ends = cuts.iter().copied().chain([f64::INFINITY]);
        let (mut low, mut mass, mut moment) = (0.0, 0.0, 0.0);
        let mut stretches = Vec::new();
        for high in ends {
            let (mass_here, moment_here) = if high.is_infinite() {
                (1.0, self.mean)
            } else {
                (self.mass_up_to(high), self.moment_up_to(high))
            };
            if mass_here > mass {
                stretches.push(Stretch {
                    low,
                    high,
                    mass: mass_here - mass,
                    moment: moment_here - moment,
                });
            }
            (low, mass, moment) = (high, mass_here, moment_here);
        }
        stretches
    }
}

struct Standard {
    score: f64,
    sigma: f64,
}

/// The standard normal distribution function.
pub(crate) fn normal_below(z: f64) -> f64 {
    0.5 * erfc(-z / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `E[min(L, limit)]`.
    fn mean_cut_at(lengths: Lengths, limit: f64) -> f64 {
        lengths.moment_up_to(limit) + limit * (1.0 - lengths.mass_up_to(limit))
    }

    #[test]
    fn without_spread_a_limit_cuts_the_mean() {
        let lengths = Lengths::new(500.0, 0.0);
        assert!((mean_cut_at(lengths, 400.0) - 400.0).abs() < 1e-12);
        assert!((mean_cut_at(lengths, 600.0) - 500.0).abs() < 1e-12);
    }

    #[test]
    fn half_of_a_lognormal_lies_below_its_median() {
        let cv: f64 = 0.5;
        let median = 1000.0 / (1.0 + cv * cv).sqrt();
        assert!((Lengths::new(1000.0, cv).mass_up_to(median) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_closed_form_is_the_sum_over_a_fine_grid() {
        let (mean, cv, limit) = (500.0, 0.8, 700.0);
        let sigma = (1.0_f64 + cv * cv).ln().sqrt();
        let mu = f64::ln(mean) - sigma * sigma / 2.0;
        let step = 1e-4;
        let sum: f64 = (-80_000..80_000)
            .map(|i| {
                let z = (f64::from(i) + 0.5) * step;
                let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
                (mu + sigma * z).exp().min(limit) * density * step
            })
            .sum();
        assert!((mean_cut_at(Lengths::new(mean, cv), limit) - sum).abs() < 1e-4);
    }

    proptest! {
        #[test]
        fn stretches_add_up_to_the_whole(
            mean in 1.0..1e5f64, cv in 0.0..3.0f64, mut cuts in prop::collection::vec(1.0..1e6f64, 0..4)
        ) {
            cuts.sort_by(f64::total_cmp);
            let stretches = Lengths::new(mean, cv).stretches(&cuts);
            let mass: f64 = stretches.iter().map(|s| s.mass).sum();
            let moment: f64 = stretches.iter().map(|s| s.moment).sum();
            prop_assert!((mass - 1.0).abs() < 1e-9);
            prop_assert!((moment / mean - 1.0).abs() < 1e-9);
        }

        #[test]
        fn a_cut_never_lengthens(mean in 1.0..1e5f64, cv in 0.0..3.0f64, limit in 1.0..1e6f64) {
            let cut = mean_cut_at(Lengths::new(mean, cv), limit);
            prop_assert!(cut <= mean * (1.0 + 1e-9) && cut <= limit * (1.0 + 1e-9));
        }
    }
}
