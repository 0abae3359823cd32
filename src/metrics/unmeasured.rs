//! A study of which nothing was measured.

use super::facts::Facts;
use super::verdict::{Verdict, Warning};

/// That every point was skipped: the run ends well, and an empty table is easily taken for a result.
pub fn of(facts: &Facts<'_>) -> Option<Warning> {
    let points = facts.session.study.sweep.points();
    let skipped = |point| facts.skips.contains_key(point);
    let nothing = !points.is_empty() && points.iter().all(skipped);
    nothing.then_some(Warning {
        point: None,
        verdict: Verdict::NothingMeasured,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{Script, generation, point};
    use crate::record::observation::SkipCause;

    #[test]
    fn a_study_of_skipped_points_alone_is_doubted() {
        let (small, large) = (point(1, 100, 3), point(4, 100, 3));
        let mut script = Script::new(&[small, large]);
        script.skip(large, SkipCause::Unsupported, "no such cache");
        assert_eq!(of(&script.facts()), None, "the other point is missing");
        script.skip(small, SkipCause::Unsupported, "no such cache");
        let warning = of(&script.facts()).unwrap();
        assert_eq!(warning.verdict.code(), "nothing_measured");
        assert!(warning.verdict.invalidates());
        script.block(small, vec![generation(1_000, &[1_000; 2])]);
        assert_eq!(of(&script.facts()), None);
    }
}
