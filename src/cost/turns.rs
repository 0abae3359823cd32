//! How many turns a conversation has: a distribution on 1, 2, 3, … with a given mean and spread.
//!
//! Above the variance of a Poisson number it is 1 + negative binomial, below it 1 + a mixture of two
//! binomials. Mean and variance are met exactly, which is what the quadratic growth of a full history
//! depends on: `E[Σ] = E[T](S + u) + (u + a)(E[T²] − E[T])/2`.

/// Probability that a conversation reaches turn 1, 2, 3, …
pub fn survival(mean: f64, sd: f64) -> Vec<f64> {
    let mut survival = Vec::new();
    let mut left = 1.0;
    for mass in masses(mean - 1.0, sd * sd) {
        survival.push(left);
        left -= mass;
        if left < 1e-15 {
            break;
        }
    }
    survival
}

/// Probabilities of 0, 1, 2, … with this mean and variance.
fn masses(mean: f64, variance: f64) -> Vec<f64> {
    let last = (mean + 40.0 * variance.sqrt() + 2.0).ceil() as usize;
    if variance > mean * (1.0 + 1e-9) {
        return negative_binomial(mean, variance, last);
    }
    // 1 − variance/mean is the success probability; below 1e-6 a binomial is as good as its limit.
    let success = if mean > 0.0 {
        (1.0 - variance / mean).max(1e-6)
    } else {
        1.0
    };
    let fewer = (mean / success).floor().max(mean.ceil());
    let spread = |trials: f64| {
        if trials > 0.0 {
            mean * (1.0 - mean / trials)
        } else {
            0.0
        }
    };
    let (low, high) = (spread(fewer), spread(fewer + 1.0));
    let weight = if high > low {
        ((variance - low) / (high - low)).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let one = binomial(fewer, mean, last);
    let other = binomial(fewer + 1.0, mean, last);
    one.iter()
        .zip(&other)
        .map(|(a, b)| a * (1.0 - weight) + b * weight)
        .collect()
}

/// Logarithms throughout: `pʳ` underflows long before the masses near the mean do.
fn negative_binomial(mean: f64, variance: f64, last: usize) -> Vec<f64> {
    if mean <= 0.0 {
        return vec![1.0];
    }
    let r = mean * mean / (variance - mean);
    let failure = mean / (r + mean);
    let mut log = -r * (mean / r).ln_1p();
    (0..=last)
        .map(|k| {
            let mass = log.exp();
            log += ((k as f64 + r) / (k as f64 + 1.0)).ln() + failure.ln();
            mass
        })
        .collect()
}

fn binomial(trials: f64, mean: f64, last: usize) -> Vec<f64> {
    let success = if trials > 0.0 { mean / trials } else { 1.0 };
    if success >= 1.0 - 1e-12 || trials <= 0.0 {
        let at = mean.round() as usize;
        return (0..=last.max(at))
            .map(|k| if k == at { 1.0 } else { 0.0 })
            .collect();
    }
    let odds = (success / (1.0 - success)).ln();
    let mut log = trials * (-success).ln_1p();
    (0..=last)
        .map(|k| {
            let k = k as f64;
            if k > trials {
                return 0.0;
            }
            let mass = log.exp();
            log += ((trials - k) / (k + 1.0)).ln() + odds;
            mass
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moments(survival: &[f64]) -> (f64, f64) {
        let mean = survival.iter().sum();
        // E[T²] = Σ (2t − 1) · P(T ≥ t).
        let second = survival
            .iter()
            .enumerate()
            .map(|(i, s)| (2.0 * i as f64 + 1.0) * s)
            .sum();
        (mean, second)
    }

    #[test]
    fn without_spread_every_conversation_has_its_turns() {
        assert_eq!(survival(3.0, 0.0), vec![1.0, 1.0, 1.0]);
        assert_eq!(survival(1.0, 0.0), vec![1.0]);
    }

    #[test]
    fn a_mean_between_two_numbers_mixes_them() {
        let turns = survival(2.25, 0.0);
        let (mean, _) = moments(&turns);
        assert!((mean - 2.25).abs() < 1e-12, "{turns:?}");
    }

    proptest! {
        #[test]
        fn mean_and_second_moment_are_met(turns in 2u32..60, relative in 0.0..1.5f64) {
            let turns = f64::from(turns);
            let sd = relative * turns;
            let (mean, second) = moments(&survival(turns, sd));
            prop_assert!((mean / turns - 1.0).abs() < 1e-6, "mean {mean}");
            let expected = turns * turns + sd * sd;
            prop_assert!((second / expected - 1.0).abs() < 1e-5, "{second} for {expected}");
        }
    }
}
