//! What the paired measurements share: the default study's point on the embedded model, in a worker
//! process or not, and how much of it is measured.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be set up shall stop, and these print their own report"
)]

use std::num::NonZeroU32;

use mtok::engine::Capacity;
use mtok::engine::worker::{BlockOrder, BlockSeen, Holding, Order, Worker};
use mtok::metrics::stats::Sample;
use mtok::study::model::{DeviceChoice, EngineKind, ModelSource, Precision};
use mtok::study::workload::PointId;
use mtok::units::Seconds;

pub(crate) const BATCH: u32 = 1;
pub(crate) const ISL: u32 = 128;
pub(crate) const OSL: u32 = 32;
pub(crate) const SEED: u64 = 1;

pub(crate) const CAPACITY: Capacity = Capacity {
    batch: BATCH,
    context: ISL + OSL,
};

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// Times that everything is launched afresh.
    pub(crate) launches: u32,
    /// Pairs of blocks per launch.
    pub(crate) pairs: u32,
    /// Generations per block.
    pub(crate) generations: u32,
}

impl Extent {
    /// A whole measurement as a bench, one pair as a test.
    pub(crate) fn asked() -> Self {
        if std::env::args().any(|argument| argument == "--bench") {
            Self {
                launches: 20,
                pairs: 24,
                generations: MOST_GENERATIONS,
            }
        } else {
            Self {
                launches: 1,
                pairs: 1,
                generations: 1,
            }
        }
    }

    /// Median over the pairs of first ÷ second − 1, back to back and in alternating order: what else
    /// the machine does strikes few pairs, but those hard. Each is told the seed of the pair.
    pub(crate) fn loss(
        self,
        mut first: impl FnMut(u64) -> f64,
        mut second: impl FnMut(u64) -> f64,
    ) -> f64 {
        let pairs = (0..self.pairs).map(|pair| {
            let seed = u64::from(pair) + 1;
            let (first, second) = if pair % 2 == 0 {
                let first = first(seed);
                (first, second(seed))
            } else {
                let second = second(seed);
                (first(seed), second)
            };
            first / second - 1.0
        });
        let mut losses: Vec<f64> = pairs.collect();
        losses.sort_by(f64::total_cmp);
        let middle = losses.len() / 2;
        f64::midpoint(losses[(losses.len() - 1) / 2], losses[middle])
    }
}

/// Prints a heading and the head of a table of shares, as Markdown.
pub(crate) fn print_head(title: &str) {
    println!("## {title}\n");
    println!("| what | share of the time | 95 % interval | launches | limit |");
    println!("|---|---:|---|---:|---:|");
}

/// Prints the mean of shares, one per launch, as a row of that table. Gives back whether the upper end of its
/// interval is within the limit; one launch has no interval, and nothing is judged.
pub(crate) fn print_share(what: &str, shares: Vec<f64>, limit: f64) -> bool {
    let share = Sample::new(shares).unwrap().mean_estimate();
    let percent = |share: f64| format!("{:+.2} %", share * 100.0);
    let interval = share.low().zip(share.high());
    let interval = interval.map_or("—".to_owned(), |(low, high)| {
        format!("{} to {}", percent(low), percent(high))
    });
    let (mean, n) = (percent(share.value), share.n);
    println!(
        "| {what} | {mean} | {interval} | {n} | {:.1} % |",
        limit * 100.0
    );
    share.high().is_none_or(|high| high <= limit)
}

/// Generations of the longest block.
pub(crate) const MOST_GENERATIONS: u32 = 16;

/// What is loaded.
pub(crate) fn order() -> Order {
    Order {
        source: ModelSource::Tiny,
        engine: EngineKind::Decoder,
        device: DeviceChoice::Cpu,
        precision: Precision::F32,
        kv: None,
        seed: SEED,
        holding: Holding::default(),
    }
}

/// One block of the point.
pub(crate) fn block(worker: &mut dyn Worker, generations: u32, seed: u64) -> BlockSeen {
    let count = |n| NonZeroU32::new(n).unwrap();
    let order = BlockOrder {
        point: PointId {
            precision: Precision::F32,
            kv: None,
            batch: count(BATCH),
            isl: count(ISL),
            osl: count(OSL),
        },
        seed,
        min_seconds: Seconds::new(0.0),
        min_generations: generations,
        max_seconds: Seconds::new(600.0),
        max_generations: generations,
    };
    let seen = worker.block(&order).unwrap();
    // A repeated generation is work that the other side of a pair does not do.
    assert_eq!(seen.generations.len(), generations as usize);
    seen
}
