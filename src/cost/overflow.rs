//! What a fleet that is already decided cannot serve.

use super::fleet::Fleet;
use super::traffic::{Demand, Profile};
use crate::units::SECONDS_PER_HOUR;

/// Share of a month's requests above what the working replicas of `plan` carry at target load.
pub(super) fn share_above(fleet: &Fleet<'_>, demand: &Demand, requests: f64, plan: &[f64]) -> f64 {
    let mean = requests / (fleet.hours * SECONDS_PER_HOUR);
    if mean <= 0.0 {
        return 0.0;
    }
    let working = |replicas: f64| (replicas - fleet.case.redundant).max(0.0);
    let carried = |hour: usize| fleet.carried(working(plan[hour % plan.len()])) / mean;
    match demand.profile.with_batch(demand.batch.share) {
        Profile::Peak(peak) => above_level(peak, carried(0)),
        Profile::Hourly(weights) => {
            let over = |(hour, weight): (usize, &f64)| (weight - carried(hour)).max(0.0);
            weights.iter().enumerate().map(over).sum::<f64>() / weights.len() as f64
        }
    }
}

/// Where only the peak `p` is known, the busiest share x of the time is taken to have the load
/// `p·(1 − x)^(p−1)`: mean 1 and peak p. The share of the load above a level follows in closed form.
fn above_level(peak: f64, level: f64) -> f64 {
    if level >= peak {
        return 0.0;
    }
    if peak <= 1.0 {
        return 1.0 - level;
    }
    let below = (level / peak).powf(1.0 / (peak - 1.0));
    1.0 - below.powf(peak) - level * (1.0 - below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-9, "{got} for {want}");
    }

    #[test]
    fn a_level_at_the_peak_is_never_exceeded() {
        is(above_level(4.0, 4.0), 0.0);
        is(above_level(1.0, 1.2), 0.0);
    }

    #[test]
    fn nothing_carried_is_all_above() {
        is(above_level(4.0, 0.0), 1.0);
        is(above_level(1.0, 0.25), 0.75);
    }

    #[test]
    fn a_triangle_of_load_is_cut_like_a_triangle() {
        // Peak 2: the load falls evenly from 2 to 0; above 1 lies half its height, a quarter of it.
        is(above_level(2.0, 1.0), 0.25);
    }
}
