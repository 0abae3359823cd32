//! When a point has been measured well enough.
//!
//! The number of blocks is computed once, after the pilot blocks; looking again and stopping when the
//! interval happens to be narrow would bias it.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::study::spec::Measure;

/// Half of what a 95 % interval leaves out.
const TAIL: f64 = 0.025;

/// A mean and the half-width of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Half-width, Student t over the observations; `None` for a single one.
    pub half_width: Option<f64>,
}

impl Estimate {
    /// Of observations that count alike; `None` without any.
    ///
    /// ```
    /// use mtok::measure::stopping::Estimate;
    /// let seen = Estimate::of(&[9.0, 10.0, 11.0]).unwrap();
    /// assert_eq!(seen.mean, 10.0);
    /// // t(0.975, 2) = 4.3027, s = 1, n = 3.
    /// assert!((seen.half_width.unwrap() - 4.3027 / 3f64.sqrt()).abs() < 1e-3);
    /// ```
    pub fn of(observations: &[f64]) -> Option<Self> {
        if observations.is_empty() {
            return None;
        }
        let n = observations.len() as f64;
        let half_width = deviation(observations).map(|s| student_t(n - 1.0) * s / n.sqrt());
        Some(Self {
            mean: mean(observations),
            half_width,
        })
    }
}

/// Blocks that a point needs for its interval to be as narrow as asked for, computed from its pilot
/// blocks: `⌈(t·s / (target_ci·mean))²⌉` on seconds per token, no fewer than `min_blocks` and no more
/// than `max_blocks`.
pub(super) fn blocks_needed(pilot: &[f64], measure: &Measure) -> u32 {
    let (least, most) = (measure.min_blocks, measure.max_blocks);
    let Some(s) = deviation(pilot) else {
        return least;
    };
    let t = student_t(pilot.len() as f64 - 1.0);
    let needed = (t * s / (measure.target_ci * mean(pilot))).powi(2).ceil();
    // The cast saturates, so a hopeless point simply gets the most.
    (needed as u32).clamp(least, most)
}

/// `⌈total · (launch + 1) / launches⌉`: what a point has after a launch.
pub(super) fn share(total: u32, launch: u32, launches: u32) -> u32 {
    let product = u64::from(total) * (u64::from(launch) + 1);
    product.div_ceil(u64::from(launches.max(1))) as u32
}

fn mean(observations: &[f64]) -> f64 {
    observations.iter().sum::<f64>() / observations.len() as f64
}

/// Sample standard deviation, of two observations or more.
fn deviation(observations: &[f64]) -> Option<f64> {
    if observations.len() < 2 {
        return None;
    }
    let mean = mean(observations);
    let squares: f64 = observations.iter().map(|x| (x - mean).powi(2)).sum();
    Some((squares / (observations.len() as f64 - 1.0)).sqrt())
}

/// The 97.5 % point of Student's t distribution, for one degree of freedom or more.
fn student_t(freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom)
        .expect("scale and degrees of freedom are positive")
        .inverse_cdf(1.0 - TAIL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::file::StudyFile;
    use crate::study::spec::Target;

    fn measure(target_ci: f64) -> Measure {
        let mut file = StudyFile::default();
        file.measure.target_ci = Some(target_ci);
        file.resolved(Target::Cpu).unwrap().measure
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Two-sided 95 %: 12.706, 2.365 and 2.023 for 1, 7 and 39 degrees of freedom.
        for (freedom, expected) in [(1.0, 12.706), (7.0, 2.365), (39.0, 2.023)] {
            assert!((student_t(freedom) - expected).abs() < 5e-4);
        }
    }

    #[test]
    fn the_number_needed_follows_the_formula() {
        // Mean 1, s = 0.02·√(8/7): n* = ⌈(2.3646·0.021381/0.01)²⌉ = ⌈25.56⌉.
        let pilot = [0.98, 1.02, 0.98, 1.02, 0.98, 1.02, 0.98, 1.02];
        assert_eq!(blocks_needed(&pilot, &measure(0.01)), 26);
        assert_eq!(blocks_needed(&pilot, &measure(0.03)), 8, "never fewer");
        assert_eq!(blocks_needed(&pilot, &measure(0.0001)), 40, "never more");
        assert_eq!(blocks_needed(&[1.0; 8], &measure(0.01)), 8, "no noise");
    }

    #[test]
    fn launches_share_the_blocks() {
        let shares = |total, launches| -> Vec<u32> {
            (0..launches).map(|l| share(total, l, launches)).collect()
        };
        assert_eq!(shares(8, 1), [8]);
        assert_eq!(shares(8, 3), [3, 6, 8]);
        assert_eq!(shares(2, 3), [1, 2, 2]);
    }

    #[test]
    fn one_observation_has_no_interval() {
        assert_eq!(Estimate::of(&[2.0]).unwrap().half_width, None);
        assert_eq!(Estimate::of(&[]), None);
    }
}
