//! Running a block: generations back to back, and what was seen of them.

use sha2::{Digest, Sha256};

use super::meter::{Meter, Start};
use super::prompts::PromptSource;
use super::{BlockOrder, BlockSeen, Refusal};
use crate::clock::Clock;
use crate::engine::text::passages::Passages;
use crate::engine::{Engine, Progress, TokenId, Trace};
use crate::record::observation::{Generation, MAX_TAIL_SHARE, Moment};
use crate::record::steps::Steps;
use crate::study::workload::PointId;
use crate::units::Nanos;

/// Generations that may be repeated before a majority of invalid ones ends the block: one that was
/// pre-empted at the wrong moment says nothing about the engine, a series does.
const REPEATS_BEFORE_DOUBT: u32 = 2;

/// A loaded engine and what is needed to time it.
pub(super) struct Bench<'a> {
    pub(super) engine: &'a mut dyn Engine,
    pub(super) clock: &'a dyn Clock,
    pub(super) progress: &'a Progress,
    pub(super) meter: Meter,
    pub(super) vocab: u32,
    /// What prompts are cut from; they are random ids without it.
    pub(super) passages: Option<&'a Passages>,
}

/// Generations of a block so far.
#[derive(Default)]
struct Seen {
    generations: Vec<Generation>,
    ids: Vec<Vec<TokenId>>,
    repeated: u32,
}

/// Runs the generations of a block.
pub(super) fn run(bench: &mut Bench<'_>, order: &BlockOrder) -> Result<BlockSeen, Refusal> {
    let reset = bench.meter.reset_peak_memory();
    // The device's mark is reset by reading it.
    let _ = bench.engine.peak_memory();
    // The meter starts first, so that its wall time covers everything since `started`.
    let start = Start::now(bench.clock);
    let started = Moment::now(bench.clock);
    let seen = generations(bench, order)?;
    let cpu = bench.meter.since(start, bench.clock);
    let of_process = || reset.and_then(|()| bench.meter.peak_memory());
    let peak_memory_bytes = bench.engine.peak_memory().or_else(of_process);
    Ok(BlockSeen {
        started,
        generations: seen.generations,
        repeated: seen.repeated,
        output_sha256: hash(&seen.ids),
        cpu,
        peak_memory_bytes,
    })
}

fn generations(bench: &mut Bench<'_>, order: &BlockOrder) -> Result<Seen, Refusal> {
    let point = order.point;
    let (batch, isl) = (point.batch.get() as usize, point.isl.get() as usize);
    let mut prompts = match bench.passages {
        Some(passages) => PromptSource::text(order.seed, passages),
        None => PromptSource::random(order.seed, bench.vocab),
    };
    let mut seen = Seen::default();
    let begin = bench.clock.now();
    loop {
        let prompt = prompts.next(batch, isl)?;
        let tokens = point.osl.get() as usize;
        let trace = bench
            .engine
            .generate(&prompt, tokens, bench.clock, bench.progress)?;
        seen.take(point, trace)?;
        let elapsed = bench.clock.now().since(begin).unwrap_or(Nanos::new(0));
        if seen.is_enough(order, elapsed) {
            return Ok(seen);
        }
    }
}

impl Seen {
    /// Keeps a generation that may be trusted.
    fn take(&mut self, point: PointId, trace: Trace) -> Result<(), Refusal> {
        let generation = generation(point, &trace)?;
        let total = generation.steps_ns.sum();
        let share = generation.tail_ns.seconds() / total.seconds();
        if share <= MAX_TAIL_SHARE {
            self.generations.push(generation);
            self.ids.push(trace.ids);
            return Ok(());
        }
        self.repeated += 1;
        let valid = self.generations.len() as u64;
        if self.repeated > REPEATS_BEFORE_DOUBT && u64::from(self.repeated) > valid {
            let reason = format!(
                "work went on after the last token for {:.1} % of the generation, more than {:.0} %",
                share * 100.0,
                MAX_TAIL_SHARE * 100.0,
            );
            return Err(Refusal::Invalid { reason });
        }
        Ok(())
    }

    fn is_enough(&self, order: &BlockOrder, elapsed: Nanos) -> bool {
        let count = self.generations.len() as u32;
        if count == 0 {
            return false;
        }
        if count >= order.max_generations {
            return true;
        }
        let elapsed = elapsed.seconds();
        let next = elapsed / f64::from(count + self.repeated);
        elapsed >= order.min_seconds
            && (count >= order.min_generations || elapsed + next > order.max_seconds)
    }
}

/// The time stamps of a trace relative to its start, if the trace is what was asked for.
fn generation(point: PointId, trace: &Trace) -> Result<Generation, Refusal> {
    let invalid = |reason: String| Refusal::Invalid { reason };
    let tokens = point.osl.get() as usize;
    let requested = tokens * point.batch.get() as usize;
    if trace.ids.len() != requested || trace.arrivals.len() != tokens {
        return Err(invalid(format!(
            "{requested} tokens in {tokens} steps were requested, {} in {} were generated",
            trace.ids.len(),
            trace.arrivals.len(),
        )));
    }
    let begins = std::iter::once(&trace.t0).chain(&trace.arrivals);
    let steps = trace.arrivals.iter().zip(begins);
    let steps: Option<Steps> = steps.map(|(end, begin)| end.since(*begin)).collect();
    let steps_ns = steps.ok_or_else(|| invalid("a token arrived before its own step".into()))?;
    let last = trace.arrivals.last().copied().unwrap_or(trace.t0);
    if last == trace.t0 {
        return Err(invalid("a generation took no time".to_owned()));
    }
    let tail_ns = trace
        .end
        .since(last)
        .ok_or_else(|| invalid("a generation ended before its last token".to_owned()))?;
    Ok(Generation {
        t0_ns: trace.t0,
        steps_ns,
        tail_ns,
        device_ns: trace.device,
    })
}

/// SHA-256 over all ids as little-endian words, generation by generation, in lower-case hexadecimal.
fn hash(generations: &[Vec<TokenId>]) -> String {
    let mut hasher = Sha256::new();
    for id in generations.iter().flatten() {
        hasher.update(id.to_le_bytes());
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::study::model::Precision;
    use crate::units::Seconds;

    fn point() -> PointId {
        let count = |n| NonZeroU32::new(n).unwrap();
        PointId {
            precision: Precision::F32,
            kv: None,
            batch: count(2),
            isl: count(4),
            osl: count(3),
        }
    }

    /// Three steps of 100 ns for two rows, and then a tail.
    fn trace(tail: u64) -> Trace {
        Trace {
            t0: Nanos::new(1_000),
            arrivals: [1_100, 1_200, 1_300].map(Nanos::new).to_vec(),
            end: Nanos::new(1_300 + tail),
            device: None,
            ids: vec![1, 2, 3, 4, 5, 6],
        }
    }

    #[test]
    fn a_trace_becomes_steps_relative_to_its_start() {
        let seen = generation(point(), &trace(2)).unwrap();
        assert_eq!(seen.t0_ns, Nanos::new(1_000));
        assert!(seen.steps_ns.iter().eq([100, 100, 100].map(Nanos::new)));
        assert_eq!(seen.tail_ns, Nanos::new(2));
    }

    #[test]
    fn a_trace_that_is_not_what_was_asked_for_is_refused() {
        let mut short = trace(0);
        short.ids.pop();
        let error = generation(point(), &short).unwrap_err().to_string();
        assert_eq!(
            error,
            "6 tokens in 3 steps were requested, 5 in 3 were generated"
        );
        let mut backwards = trace(0);
        backwards.arrivals.swap(0, 1);
        assert!(generation(point(), &backwards).is_err());
        let mut early = trace(0);
        early.end = Nanos::new(1_250);
        assert!(generation(point(), &early).is_err());
    }

    #[test]
    fn a_tail_of_one_percent_passes_and_a_longer_one_is_repeated() {
        let mut seen = Seen::default();
        seen.take(point(), trace(3)).unwrap();
        assert_eq!((seen.generations.len(), seen.repeated), (1, 0));
        seen.take(point(), trace(4)).unwrap();
        assert_eq!((seen.generations.len(), seen.repeated), (1, 1));
    }

    #[test]
    fn more_invalid_generations_than_valid_ones_end_the_block() {
        let mut seen = Seen::default();
        seen.take(point(), trace(30)).unwrap();
        seen.take(point(), trace(30)).unwrap();
        let error = seen.take(point(), trace(30)).unwrap_err().to_string();
        assert_eq!(
            error,
            "work went on after the last token for 10.0 % of the generation, more than 1 %"
        );
    }

    #[test]
    fn a_block_has_its_time_and_its_generations_unless_time_runs_out() {
        let order = BlockOrder {
            point: point(),
            seed: 1,
            min_seconds: Seconds::new(1.0),
            min_generations: 8,
            max_seconds: Seconds::new(10.0),
            max_generations: 100,
        };
        let enough = |count: usize, seconds: f64| {
            let one = generation(point(), &trace(0)).unwrap();
            let seen = Seen {
                generations: vec![one; count],
                ..Seen::default()
            };
            seen.is_enough(&order, Nanos::new((seconds * 1e9) as u64))
        };
        assert!(!enough(8, 0.5), "eight generations are not yet a second");
        assert!(!enough(4, 1.0), "a second without eight generations");
        assert!(enough(8, 1.0));
        assert!(!enough(3, 7.0), "a fourth fits into ten seconds");
        assert!(enough(3, 8.0), "a fourth would end at 10.7 seconds");
        assert!(enough(100, 0.1), "no more than the most");
    }

    #[test]
    fn the_hash_is_over_little_endian_words_in_order() {
        // SHA-256 of the bytes 01000000 02000000.
        let expected = "34fb5c825de7ca4aea6e712f19d439c1da0c92c37b423936c5f618545ca4fa1f";
        assert_eq!(hash(&[vec![1, 2]]), expected);
        assert_eq!(hash(&[vec![1, 2]]), hash(&[vec![1], vec![2]]));
        assert_ne!(hash(&[vec![1, 2]]), hash(&[vec![2, 1]]));
    }
}
