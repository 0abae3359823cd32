//! How long the tokens of a point took: TTFT, TPOT, ITL, E2EL and the throughputs that follow.
//!
//! For batch B, input length ISL and output length OSL, with times of one generation from `t0`:
//! TTFT = first − t0, TPOT = (last − first)/(OSL − 1), E2EL = last − t0, prefill = B·ISL/TTFT,
//! decode = B·(OSL − 1)/(last − first), output = B·OSL/E2EL, total = B·(ISL + OSL)/E2EL and
//! per user = 1/TPOT. Each is estimated from sums over all generations ([`super::stats::ratio`]), so
//! every rate is the exact inverse of its time. A static batch shares its arrivals, so one generation
//! is one observation of TTFT and E2EL whatever the batch. TPOT excludes the first token (as in vLLM;
//! AIPerf and GuideLLM call the same quantity ITL).
//!
//! ```
//! use mtok::units::{Seconds, Tokens};
//! // B = 2, ISL = 100, OSL = 11; the first token after 0.5 s, ten more within 1 s.
//! let (first, rest) = (Seconds::new(0.5), Seconds::new(1.0));
//! assert_eq!((Tokens::new(2.0 * 100.0) / first).value(), 400.0); // prefill
//! assert_eq!((Tokens::new(2.0 * 10.0) / rest).value(), 20.0); // decode
//! assert_eq!((rest / 10.0).milliseconds(), 100.0); // TPOT
//! assert!(((Tokens::new(2.0 * 11.0) / (first + rest)).value() - 14.667).abs() < 1e-3); // output
//! ```

use std::collections::BTreeMap;

use super::facts::Facts;
use super::stats::{
    BlockTime, Estimate, Sample, lag1_autocorrelation, percentile, percentiles, ratio, t_quantile,
};
use crate::record::observation::{Block, Generation, MAX_TAIL_SHARE, Purpose};
use crate::study::workload::PointId;
use crate::units::{Nanos, Seconds, Tokens, TokensPerSecond};

/// What the blocks of one point say.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// The point.
    pub point: PointId,
    /// Blocks with at least one valid generation.
    pub blocks: usize,
    /// Valid generations.
    pub generations: usize,
    /// Launches that the blocks come from.
    pub launches: usize,
    /// Generations left out: another number of tokens than asked for, a phase without duration, or
    /// work after the last token beyond 1 % of the time until then.
    pub invalid_generations: usize,
    /// Time to the first token.
    pub ttft: Estimate<Seconds>,
    /// Time per output token after the first; `None` when OSL is 1.
    pub tpot: Option<Estimate<Seconds>>,
    /// End-to-end latency.
    pub e2el: Estimate<Seconds>,
    /// Time from the first to the last token of one generation; `None` when OSL is 1.
    pub decode_time: Option<Estimate<Seconds>>,
    /// Percentiles of the time to first token, over generations.
    pub ttft_percentiles: Percentiles,
    /// Percentiles of the inter-token latency, over steps.
    pub itl_percentiles: Percentiles,
    /// Percentiles of the end-to-end latency, over generations.
    pub e2el_percentiles: Percentiles,
    /// Lag-1 autocorrelation of blocks, of their time per generation.
    pub autocorrelation: Option<f64>,
}

/// Percentiles that enough observations support.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Percentiles {
    /// Half are below.
    pub p50: Option<Seconds>,
    /// Nine in ten are below.
    pub p90: Option<Seconds>,
    /// All but one in a hundred are below.
    pub p99: Option<Seconds>,
}

impl Percentiles {
    fn of(nanoseconds: &mut [u64]) -> Self {
        let mut at = |q| percentile(nanoseconds, q).map(|ns| Seconds::new(ns / 1e9));
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
        }
    }

    fn of_many(nanoseconds: impl Iterator<Item = u64> + Clone) -> Self {
        let [p50, p90, p99] = percentiles(nanoseconds, [0.5, 0.9, 0.99])
            .map(|percentile| percentile.map(|ns| Seconds::new(ns / 1e9)));
        Self { p50, p90, p99 }
    }
}

impl Latency {
    /// What the record says of `point`; `None` without a valid generation.
    pub fn of(facts: &Facts<'_>, point: PointId) -> Option<Self> {
        let mut phases = Phases::new(point);
        for block in facts.measured(point) {
            phases.take(block);
        }
        phases.conclude()
    }

    /// Prompt tokens processed per second of prefill, all sequences.
    pub fn prefill(&self) -> Estimate<TokensPerSecond> {
        let tokens = self.input_tokens();
        self.ttft.falling(|time| tokens / time)
    }

    /// Tokens after the first generated per second of decode, all sequences; `None` when OSL is 1.
    pub fn decode(&self) -> Option<Estimate<TokensPerSecond>> {
        let sequences = Tokens::new(f64::from(self.point.batch.get()));
        Some(self.tpot?.falling(|time| sequences / time))
    }

    /// Output tokens per second from `t0` to the last token, all sequences.
    pub fn output(&self) -> Estimate<TokensPerSecond> {
        let tokens = self.output_tokens();
        self.e2el.falling(|time| tokens / time)
    }

    /// Input and output tokens per second from `t0` to the last token, all sequences.
    pub fn total(&self) -> Estimate<TokensPerSecond> {
        let tokens = self.input_tokens() + self.output_tokens();
        self.e2el.falling(|time| tokens / time)
    }

    /// Tokens per second that one reader sees, 1/TPOT; `None` when OSL is 1.
    pub fn per_user(&self) -> Option<Estimate<TokensPerSecond>> {
        Some(self.tpot?.falling(|time| Tokens::new(1.0) / time))
    }

    /// Prompt tokens of one generation, `B·ISL`.
    pub fn input_tokens(&self) -> Tokens {
        Tokens::new(f64::from(self.point.batch.get()) * f64::from(self.point.isl.get()))
    }

    /// Generated tokens of one generation, `B·OSL`.
    pub fn output_tokens(&self) -> Tokens {
        Tokens::new(f64::from(self.point.batch.get()) * f64::from(self.point.osl.get()))
    }
}

/// Block times of one point by phase, in the order of time.
#[derive(Debug)]
pub(crate) struct Phases<'a> {
    point: PointId,
    /// From `t0` to the first token.
    pub(crate) prefill: Vec<BlockTime>,
    /// From the first to the last token; empty when OSL is 1.
    pub(crate) decode: Vec<BlockTime>,
    /// From `t0` to the last token.
    pub(crate) whole: Vec<BlockTime>,
    ttft: Vec<u64>,
    e2el: Vec<u64>,
    /// Those that are valid; their steps are too many to be copied.
    generations: Vec<&'a Generation>,
    invalid: usize,
}

impl<'a> Phases<'a> {
    /// No blocks yet.
    pub(crate) fn new(point: PointId) -> Self {
        Self {
            point,
            prefill: Vec::new(),
            decode: Vec::new(),
            whole: Vec::new(),
            ttft: Vec::new(),
            e2el: Vec::new(),
            generations: Vec::new(),
            invalid: 0,
        }
    }

    /// Adds the valid generations of a block. Its load is the launch: one process, whether it was planned
    /// or took the place of one that was lost or stopped.
    pub(crate) fn take(&mut self, block: &'a Block) {
        let (mut valid, mut first, mut rest) = (0_u32, 0_u64, 0_u64);
        self.invalid += block.repeated as usize;
        for generation in &block.generations {
            let Some(times) = PhaseTimes::of(generation, self.point) else {
                self.invalid += 1;
                continue;
            };
            valid += 1;
            first += times.first;
            rest += times.rest;
            self.ttft.push(times.first);
            self.e2el.push(times.first + times.rest);
            self.generations.push(generation);
        }
        if valid == 0 {
            return;
        }
        let time = |nanoseconds: u64| BlockTime {
            launch: block.load,
            generations: f64::from(valid),
            seconds: nanoseconds as f64 / 1e9,
        };
        self.prefill.push(time(first));
        self.whole.push(time(first + rest));
        if self.point.osl.get() > 1 {
            self.decode.push(time(rest));
        }
    }

    fn conclude(mut self) -> Option<Latency> {
        let seconds = |blocks: &[BlockTime]| Some(ratio(blocks)?.rising(Seconds::new));
        let decode_time = seconds(&self.decode);
        let steps = f64::from(self.point.osl.get()) - 1.0;
        let itl = self
            .generations
            .iter()
            .flat_map(|generation| generation.steps_ns.later())
            .map(Nanos::value);
        let mut launches: Vec<u32> = self.whole.iter().map(|block| block.launch).collect();
        launches.sort_unstable();
        launches.dedup();
        Some(Latency {
            point: self.point,
            blocks: self.whole.len(),
            generations: self.ttft.len(),
            launches: launches.len(),
            invalid_generations: self.invalid,
            ttft: seconds(&self.prefill)?,
            tpot: decode_time.map(|time| time.rising(|time| time / steps)),
            e2el: seconds(&self.whole)?,
            decode_time,
            ttft_percentiles: Percentiles::of(&mut self.ttft),
            itl_percentiles: Percentiles::of_many(itl),
            e2el_percentiles: Percentiles::of(&mut self.e2el),
            autocorrelation: lag1_autocorrelation(&self.whole),
        })
    }
}

/// Durations of the two phases of a valid generation, in nanoseconds.
struct PhaseTimes {
    first: u64,
    rest: u64,
}

impl PhaseTimes {
    fn of(generation: &Generation, point: PointId) -> Option<Self> {
        let (steps, tail) = (&generation.steps_ns, generation.tail_ns.value() as f64);
        let (first, all) = (steps.first()?.value(), steps.sum().value());
        let times = Self {
            first,
            rest: all - first,
        };
        let complete = steps.len() == point.osl.get() as usize;
        let lasting = first > 0 && (steps.len() == 1 || times.rest > 0);
        let quiet = tail <= MAX_TAIL_SHARE * all as f64;
        (complete && lasting && quiet).then_some(times)
    }
}

/// How the first point changed between its measurement and the end of its load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// The point.
    pub point: PointId,
    /// The load.
    pub load: u32,
    /// Time per generation at the end ÷ the mean of the point's blocks in that load − 1; positive when
    /// the machine became slower.
    pub change: f64,
    /// The change that one more block without any drift stays within 95 % of the time:
    /// `t·s·√(1 + 1/n)/mean`. `None` with fewer than two blocks.
    pub expected: Option<f64>,
}

/// The drift of each load that was measured again at its end.
pub fn drifts(facts: &Facts<'_>) -> Vec<Drift> {
    let mut drifts = Vec::new();
    for &point in facts.blocks.keys() {
        if facts.with_purpose(point, Purpose::Drift).next().is_none() {
            continue;
        }
        let mut times: BTreeMap<u32, Vec<BlockTime>> = BTreeMap::new();
        for block in facts.measured(point) {
            let times = times.entry(block.load).or_default();
            times.extend(whole_time(block, point));
        }
        let levels: BTreeMap<u32, Level> = times
            .iter()
            .filter_map(|(&load, times)| Some((load, Level::of(times)?)))
            .collect();
        for again in facts.with_purpose(point, Purpose::Drift) {
            let level = levels.get(&again.load);
            drifts.extend(level.and_then(|level| level.drift_to(point, again)));
        }
    }
    drifts
}

/// What a load was measured at.
struct Level {
    /// Time per generation.
    mean: f64,
    /// Change that one more block shows by chance.
    expected: Option<f64>,
}

impl Level {
    fn of(times: &[BlockTime]) -> Option<Self> {
        let mean = ratio(times)?.value;
        let per_generation = times.iter().map(|b| b.seconds / b.generations);
        let n = times.len();
        let spread = Sample::new(per_generation.collect())
            .ok()?
            .standard_deviation();
        Some(Self {
            mean,
            expected: spread.map(|s| t_quantile(n - 1) * s * (1.0 + 1.0 / n as f64).sqrt() / mean),
        })
    }

    fn drift_to(&self, point: PointId, again: &Block) -> Option<Drift> {
        let end = ratio(&[whole_time(again, point)?])?.value;
        Some(Drift {
            point,
            load: again.load,
            change: end / self.mean - 1.0,
            expected: self.expected,
        })
    }
}

/// Time of the valid generations of a block, from `t0` to the last token.
fn whole_time(block: &Block, point: PointId) -> Option<BlockTime> {
    let (mut valid, mut nanoseconds) = (0_u32, 0_u64);
    let times = block.generations.iter();
    for times in times.filter_map(|generation| PhaseTimes::of(generation, point)) {
        valid += 1;
        nanoseconds += times.first + times.rest;
    }
    (valid > 0).then(|| BlockTime {
        launch: 0,
        generations: f64::from(valid),
        seconds: nanoseconds as f64 / 1e9,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{Script, generation, point};
    use crate::units::Nanos;

    /// Two rows, 100 tokens in, 11 out: 0.5 s to the first, then ten steps of 0.1 s.
    fn script() -> Script {
        let point = point(2, 100, 11);
        let mut script = Script::new(&[point]);
        for _ in 0..4 {
            script.block(point, vec![generation(500_000_000, &[100_000_000; 10])]);
        }
        script
    }

    #[track_caller]
    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} is not {b}");
    }

    #[test]
    fn each_quantity_is_what_the_contract_says() {
        let script = script();
        let latency = Latency::of(&script.facts(), point(2, 100, 11)).unwrap();
        close(latency.ttft.value.value(), 0.5);
        close(latency.tpot.unwrap().value.value(), 0.1);
        close(latency.e2el.value.value(), 1.5);
        close(latency.prefill().value.value(), 400.0);
        close(latency.decode().unwrap().value.value(), 20.0);
        close(latency.output().value.value(), 22.0 / 1.5);
        close(latency.total().value.value(), 222.0 / 1.5);
        close(latency.per_user().unwrap().value.value(), 10.0);
        assert_eq!((latency.blocks, latency.generations), (4, 4));
        assert_eq!(latency.launches, 1);
    }

    #[test]
    fn decode_and_tpot_are_undefined_for_a_single_token() {
        let point = point(1, 10, 1);
        let mut script = Script::new(&[point]);
        script.block(point, vec![generation(250_000_000, &[])]);
        let latency = Latency::of(&script.facts(), point).unwrap();
        assert_eq!(latency.tpot, None);
        assert_eq!(latency.decode(), None);
        assert_eq!(latency.per_user(), None);
        close(latency.prefill().value.value(), 40.0);
        close(latency.output().value.value(), 4.0);
    }

    #[test]
    fn a_generation_that_breaks_the_contract_is_left_out_and_counted() {
        let point = point(1, 10, 3);
        let good = generation(100, &[100, 100]);
        let short = generation(100, &[100]);
        let timeless = generation(0, &[100, 100]);
        let mut tail = generation(100, &[100, 100]);
        tail.tail_ns = Nanos::new(4);
        let mut quiet = generation(100, &[100, 100]);
        quiet.tail_ns = Nanos::new(3);
        let mut script = Script::new(&[point]);
        script.block(point, vec![good, short, timeless, tail, quiet]);
        let left_out = |script: &Script| {
            let latency = Latency::of(&script.facts(), point).unwrap();
            (latency.generations, latency.invalid_generations)
        };
        assert_eq!(left_out(&script), (2, 3));
        script.last_block_mut().repeated = 4;
        assert_eq!(left_out(&script), (2, 7));
    }

    #[test]
    fn a_point_without_a_valid_generation_has_no_latency() {
        let point = point(1, 10, 3);
        let mut script = Script::new(&[point]);
        script.block(point, vec![generation(100, &[100])]);
        assert_eq!(Latency::of(&script.facts(), point), None);
    }

    #[test]
    fn itl_counts_steps_and_ttft_counts_generations() {
        let point = point(1, 10, 11);
        let mut script = Script::new(&[point]);
        for _ in 0..5 {
            script.block(point, vec![generation(1_000, &[10; 10])]);
        }
        let latency = Latency::of(&script.facts(), point).unwrap();
        // 50 steps support a p90, 5 generations not even a median.
        assert_eq!(latency.itl_percentiles.p90, Some(Seconds::new(1e-8)));
        assert_eq!(latency.itl_percentiles.p99, None);
        assert_eq!(latency.ttft_percentiles, Percentiles::default());
    }

    #[test]
    fn the_rate_is_the_ratio_of_sums_with_the_inverse_interval() {
        let point = point(1, 100, 1);
        let mut script = Script::new(&[point]);
        // 1.9, 2.0 and 2.1 s: mean 2.0, half-width 4.302653 · 0.1 / √3 = 0.248414.
        for tenths in [19, 20, 21] {
            script.block(point, vec![generation(tenths * 100_000_000, &[])]);
        }
        let prefill = Latency::of(&script.facts(), point).unwrap().prefill();
        close(prefill.value.value(), 50.0);
        assert!((prefill.low().unwrap().value() - 100.0 / 2.248_414).abs() < 1e-4);
        assert!((prefill.high().unwrap().value() - 100.0 / 1.751_586).abs() < 1e-4);
        assert_eq!(prefill.n, 3);
    }

    #[test]
    fn drift_compares_the_end_of_a_load_with_its_measurement() {
        let mut script = script();
        let first = point(2, 100, 11);
        script.drift(first, vec![generation(500_000_000, &[115_000_000; 10])]);
        let drift = drifts(&script.facts())[0];
        close(drift.change, 0.1);
        assert_eq!(drift.expected, Some(0.0));
    }
}
