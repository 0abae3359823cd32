//! When a point has been measured well enough.
//!
//! The number of blocks is computed once, after the pilot blocks; looking again and stopping when the
//! interval happens to be narrow would bias it.

use crate::metrics::stats::{Estimate, Sample};
use crate::study::spec::Measure;

/// Mean of what blocks gave, with its interval; `None` without any.
pub(super) fn estimate(blocks: &[f64]) -> Option<Estimate<f64>> {
    let sample = Sample::new(blocks.to_vec());
    sample.ok().map(|sample| sample.mean_estimate())
}

/// Blocks that a point needs for its interval to be as narrow as asked for, computed from its pilot
/// blocks: `⌈(t·s / (target_ci·mean))²⌉` on seconds per token, no fewer than `min_blocks` and no more
/// than `max_blocks`.
pub(super) fn blocks_needed(pilot: &[f64], measure: &Measure) -> u32 {
    let (least, most) = (measure.min_blocks, measure.max_blocks);
    let estimate = estimate(pilot);
    let Some(relative) = estimate.and_then(|estimate| estimate.relative_half_width()) else {
        return least;
    };
    // The half-width is t·s/√n.
    let needed = pilot.len() as f64 * (relative / measure.target_ci).powi(2);
    // The cast saturates, so a hopeless point simply gets the most.
    (needed.ceil() as u32).clamp(least, most)
}

/// `⌈total · (launch + 1) / launches⌉`: what a point has after a launch.
pub(super) fn share(total: u32, launch: u32, launches: u32) -> u32 {
    let product = u64::from(total) * (u64::from(launch) + 1);
    product.div_ceil(u64::from(launches.max(1))) as u32
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
}
