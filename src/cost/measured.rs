//! What a study measured, as far as a fleet needs it: points with their rates and intervals.

use jiff::civil::Date;

use super::capacity::{Rates, Work};
use super::regression::{Regression, Timed};
use super::scenario::self_hosted::Slo;
use crate::study::model::{CacheType, Precision, Shape};
use crate::study::variant::Variant;

/// A measured value with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Independent observations behind it.
    pub repetitions: u32,
}

/// One measured point.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredPoint {
    /// How weights were held.
    pub precision: Precision,
    /// How keys and values were cached, where the study says.
    pub kv: Option<CacheType>,
    /// Sequences decoded together.
    pub batch: f64,
    /// Input length.
    pub isl: f64,
    /// Output length.
    pub osl: f64,
    /// Input over time to first token.
    pub prefill_tokens_per_second: Estimate,
    /// Output after the first token over its time; absent for one output token.
    pub decode_tokens_per_second: Option<Estimate>,
    /// Output over the whole generation.
    pub output_tokens_per_second: Estimate,
    /// Time to first token, the percentile that the study reports for it.
    pub ttft_ms: Option<f64>,
    /// Time per output token.
    pub tpot_ms: Option<f64>,
}

/// A study folder as the break-even sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The folder.
    pub source: String,
    /// When it ran.
    pub date: Option<Date>,
    /// The card, an id of the GPU catalog.
    pub gpu: Option<String>,
    /// Cards that one copy of the model ran on.
    pub gpus: u32,
    /// Whether its times come from a script instead of a machine.
    pub simulated: bool,
    /// The model.
    pub model: Option<String>,
    /// Its shape.
    pub shape: Option<Shape>,
    /// The points that succeeded.
    pub points: Vec<MeasuredPoint>,
}

impl Estimate {
    /// Standard error of the logarithm, from the width of the interval; `None` below 2 observations.
    pub fn log_standard_error(&self, student_quantile: f64) -> Option<f64> {
        (self.repetitions >= 2 && self.low > 0.0)
            .then(|| (self.high / self.low).ln() / (2.0 * student_quantile))
    }
}

impl MeasuredPoint {
    /// What was loaded for it.
    pub const fn variant(&self) -> Variant {
        Variant {
            precision: self.precision,
            kv: self.kv,
        }
    }

    /// The rates of a replica. Prefill and decode of a closed batch follow each other, so they are
    /// rates measured apart, and together they give the measured mix back.
    pub fn rates(&self) -> Rates {
        Rates {
            prefill: Some(self.prefill_tokens_per_second.value),
            decode: Some(
                self.decode_tokens_per_second
                    .map_or(self.output_tokens_per_second.value, |rate| rate.value),
            ),
            ..Rates::default()
        }
    }

    /// Whether the point meets the objective; an unknown time meets nothing that is asked.
    pub fn meets(&self, slo: &Slo) -> bool {
        let within = |limit: Option<f64>, time: Option<f64>| {
            limit.is_none_or(|limit| time.is_some_and(|time| time <= limit))
        };
        within(slo.ttft_ms, self.ttft_ms) && within(slo.tpot_ms, self.tpot_ms)
    }

    /// How far the costed mix is from the measured one: the larger relative difference of the two
    /// lengths.
    pub fn distance(&self, work: &Work) -> f64 {
        if work.calls <= 0.0 {
            return 0.0;
        }
        let apart = |costed: f64, measured: f64| (costed / work.calls / measured - 1.0).abs();
        apart(work.input_tokens, self.isl).max(apart(work.output_tokens, self.osl))
    }
}

impl Measured {
    /// The time of a call by its tokens, from every pair of lengths measured like a point.
    pub fn regression(&self, like: &MeasuredPoint) -> Option<Regression> {
        let same = |point: &&MeasuredPoint| {
            point.variant() == like.variant() && point.batch.total_cmp(&like.batch).is_eq()
        };
        let timed = |point: &MeasuredPoint| Timed {
            input: point.isl,
            output: point.osl,
            seconds: point.osl / point.output_tokens_per_second.value,
        };
        let points: Vec<Timed> = self.points.iter().filter(same).map(timed).collect();
        Regression::fit(&points)
    }

    /// The point that serves the workload with least replica time among those that meet the
    /// objective and, where it is stated, the precision.
    pub fn cheapest(
        &self,
        work: &Work,
        slo: &Slo,
        precision: Option<Precision>,
    ) -> Option<&MeasuredPoint> {
        let seconds = |point: &MeasuredPoint| {
            let basis = point.rates().basis();
            basis.map_or(f64::MAX, |basis| work.seconds(basis))
        };
        self.points
            .iter()
            .filter(|point| point.meets(slo))
            .filter(|point| precision.is_none_or(|wanted| point.precision == wanted))
            .min_by(|a, b| seconds(a).total_cmp(&seconds(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_with_another_cache_stay_out_of_the_regression() {
        let rate = |value: f64| Estimate {
            value,
            low: value,
            high: value,
            repetitions: 8,
        };
        // 1 ms per input token, 10 ms per output token, 50 ms per call, and `slower` times of that.
        let point = |kv: CacheType, slower: f64, isl: f64, osl: f64| MeasuredPoint {
            precision: Precision::Q8_0,
            kv: Some(kv),
            batch: 8.0,
            isl,
            osl,
            prefill_tokens_per_second: rate(1_000.0),
            decode_tokens_per_second: None,
            output_tokens_per_second: rate(osl / (slower * (0.001 * isl + 0.01 * osl + 0.05))),
            ttft_ms: None,
            tpot_ms: None,
        };
        let lengths = [(100.0, 10.0), (400.0, 10.0), (100.0, 50.0)];
        let points = |kv, slower| lengths.map(|(isl, osl)| point(kv, slower, isl, osl));
        let study = Measured {
            source: "results/test".to_owned(),
            date: None,
            gpu: None,
            gpus: 1,
            simulated: false,
            model: None,
            shape: None,
            points: [points(CacheType::F16, 1.0), points(CacheType::Q8_0, 2.0)].concat(),
        };
        let fit = study.regression(&study.points[0]).unwrap();
        assert_eq!(fit.pairs, 3);
        assert!((fit.seconds_per_output_token - 0.01).abs() < 1e-9);
        let fit = study.regression(&study.points[3]).unwrap();
        assert_eq!(fit.pairs, 3);
        assert!((fit.seconds_per_output_token - 0.02).abs() < 1e-9);
    }
}
