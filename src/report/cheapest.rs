//! The cheapest point under limits on latency, and the point that comes nearest where none keeps them.

use super::document::{Document, Row, Status};
use super::number;
use crate::metrics::latency::Latency;
use crate::metrics::stats::Estimate;
use crate::study::questions::{LatencyLimit, Questions};
use crate::units::Seconds;

/// Latencies that a point may not exceed.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// What the limits are called.
    pub name: &'static str,
    /// Time to the first token.
    pub ttft: Option<Seconds>,
    /// Time per output token.
    pub tpot: Option<Seconds>,
}

/// A limit with what a point may take by the upper end of its interval.
struct Held {
    name: &'static str,
    limit: Seconds,
    upper: Seconds,
}

impl Limits {
    /// None, and those that are asked for; where nothing is asked, those of MLPerf Inference for
    /// Llama-2-70B (server and interactive).
    pub fn of(questions: &Questions) -> Vec<Self> {
        let limits = |name, ttft, tpot| Self { name, ttft, tpot };
        let any = limits("any latency", None, None);
        if questions.max_ttft_ms.is_some() || questions.max_tpot_ms.is_some() {
            let time = |limit: Option<LatencyLimit>| limit.map(LatencyLimit::time);
            let (ttft, tpot) = (time(questions.max_ttft_ms), time(questions.max_tpot_ms));
            return vec![any, limits("as asked", ttft, tpot)];
        }
        let seconds = |seconds: f64| Some(Seconds::new(seconds));
        vec![
            any,
            limits("as MLPerf server", seconds(2.0), seconds(0.2)),
            limits("as MLPerf interactive", seconds(0.45), seconds(0.04)),
        ]
    }

    /// Whether a point keeps the limits with the upper ends of its intervals. A point without TPOT, or
    /// without an interval, does not keep a limit on it.
    fn kept_by(&self, latency: &Latency) -> bool {
        let held = self.held(latency);
        held.is_some_and(|held| held.iter().all(|held| held.upper <= held.limit))
    }

    /// Every limit with what a point may take; `None` where it cannot be said of one.
    fn held(&self, latency: &Latency) -> Option<Vec<Held>> {
        let times = [
            ("TTFT", self.ttft, Some(latency.ttft)),
            ("TPOT", self.tpot, latency.tpot),
        ];
        let limited = times
            .into_iter()
            .filter_map(|(name, limit, time)| Some((name, limit?, time)));
        limited
            .map(|(name, limit, time)| {
                let upper = time.as_ref().and_then(Estimate::high)?;
                Some(Held { name, limit, upper })
            })
            .collect()
    }
}

impl Document {
    /// The cheapest point within limits: the one with the most tokens per second in all, because the
    /// blended price is the hourly rate divided by them, whatever the rate.
    pub fn cheapest(&self, limits: &Limits) -> Option<&Row> {
        let kept = self
            .complete()
            .filter(|(_, latency)| limits.kept_by(latency));
        kept.max_by(|a, b| {
            let throughput = |latency: &Latency| latency.total().value.value();
            throughput(a.1).total_cmp(&throughput(b.1))
        })
        .map(|(row, _)| row)
    }

    /// That no point keeps the limits, and which one exceeds them by the smallest factor; `None` where one
    /// keeps them, or none was measured to the end.
    pub fn miss(&self, limits: &Limits) -> Option<String> {
        if self.cheapest(limits).is_some() || self.complete().next().is_none() {
            return None;
        }
        let excess = |held: &[Held]| {
            let factors = held
                .iter()
                .map(|held| held.upper.value() / held.limit.value());
            factors.fold(0.0, f64::max)
        };
        let held = |(row, latency)| Some((row, limits.held(latency)?));
        let points = self.complete().filter_map(held);
        let nearest = points.min_by(|a, b| excess(&a.1).total_cmp(&excess(&b.1)));
        let nearest = nearest.map_or(
            "no point has the times and intervals to judge by".to_owned(),
            |(row, held)| {
                let times: Vec<String> = held.iter().map(Held::told).collect();
                format!("{} comes nearest, with {}", row.point, times.join(" and "))
            },
        );
        Some(format!(
            "No point meets the limits {}; {nearest}.",
            limits.name
        ))
    }

    /// Points that were measured to the end.
    fn complete(&self) -> impl Iterator<Item = (&Row, &Latency)> {
        let rows = self.rows.iter().filter(|row| row.status == Status::Ok);
        rows.filter_map(|row| Some((row, &row.measured.as_ref()?.latency)))
    }
}

impl Held {
    fn told(&self) -> String {
        format!(
            "{} up to {} ms of {}",
            self.name,
            number::plain(self.upper.milliseconds()),
            number::plain(self.limit.milliseconds())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{Script, generation, point};
    use crate::record::observation::EndStatus;
    use crate::report::example::{document, script};

    fn limits(ttft: Option<f64>, tpot: Option<f64>) -> Limits {
        Limits {
            name: "as asked",
            ttft: ttft.map(Seconds::new),
            tpot: tpot.map(Seconds::new),
        }
    }

    #[test]
    fn the_cheapest_point_keeps_its_limits() {
        let document = document(&script());
        let cheapest = |ttft, tpot| {
            let row = document.cheapest(&limits(ttft, tpot));
            row.map(|row| row.point.batch.get())
        };
        assert_eq!(cheapest(None, None), Some(2));
        assert_eq!(cheapest(None, Some(0.11)), Some(1));
        // TTFT is 0.5 s with an interval up to 0.512 s.
        assert_eq!(cheapest(Some(0.505), None), None);
        assert_eq!(cheapest(Some(0.513), None), Some(2));
    }

    #[test]
    fn where_no_point_meets_the_limits_the_nearest_is_named() {
        let document = document(&script());
        assert_eq!(document.miss(&limits(Some(0.513), None)), None);
        // Batch 2 takes 125 ms per token, batch 1 takes 100 ms.
        assert_eq!(
            document.miss(&limits(Some(0.6), Some(0.08))).unwrap(),
            "No point meets the limits as asked; q8_0 b1 100/11 comes nearest, with TTFT up to 512.4 ms of \
             600.0 and TPOT up to 100.0 ms of 80.00."
        );
    }

    #[test]
    fn a_point_of_one_block_comes_near_to_nothing() {
        let point = point(1, 10, 2);
        let mut script = Script::new(&[point]);
        script.block(point, vec![generation(100, &[100])]);
        script.end(EndStatus::Complete);
        assert_eq!(
            document(&script).miss(&limits(Some(1.0), None)).unwrap(),
            "No point meets the limits as asked; no point has the times and intervals to judge by."
        );
    }

    #[test]
    fn where_nothing_was_measured_nothing_comes_near() {
        let document = document(&Script::new(&[point(1, 10, 2)]));
        assert_eq!(document.miss(&limits(None, None)), None);
    }

    #[test]
    fn what_is_asked_takes_the_place_of_the_usual_limits() {
        let named = |questions: &Questions| {
            let limits = Limits::of(questions);
            limits.iter().map(|limits| limits.name).collect::<Vec<_>>()
        };
        let usual = ["any latency", "as MLPerf server", "as MLPerf interactive"];
        assert_eq!(named(&Questions::default()), usual);
        let asked = Questions {
            max_tpot_ms: Some("80".parse().unwrap()),
            ..Questions::default()
        };
        assert_eq!(named(&asked), ["any latency", "as asked"]);
        assert_eq!(Limits::of(&asked)[1].tpot, Some(Seconds::new(0.08)));
    }
}
