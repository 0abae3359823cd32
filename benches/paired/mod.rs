//! What the paired measurements share: the default study's point on the embedded model, in a worker
//! process or not, and how much of it is measured.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot be set up shall stop"
)]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use mtok::clock::Monotonic;
use mtok::engine::Capacity;
use mtok::engine::worker::{
    BlockOrder, BlockSeen, Holding, Launcher, Order, Processes, Unescorted, Worker, WorkerCommand,
};
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
                launches: 10,
                pairs: 10,
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

    /// Mean over the pairs of first ÷ second − 1, back to back and in alternating order. Each is told
    /// the seed of the pair.
    pub(crate) fn loss(
        self,
        mut first: impl FnMut(u64) -> f64,
        mut second: impl FnMut(u64) -> f64,
    ) -> f64 {
        let losses = (0..self.pairs).map(|pair| {
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
        losses.sum::<f64>() / f64::from(self.pairs)
    }
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

/// A worker process with the model loaded and room for the point.
pub(crate) fn launch() -> Box<dyn Worker> {
    let program = env!("CARGO_BIN_EXE_mtok");
    let mut processes = Processes {
        command: WorkerCommand::new(program, ["worker"], std::env::vars_os()),
        no_progress_timeout: Seconds::new(60.0),
        clock: Arc::new(Monotonic),
        interrupt: Arc::new(AtomicUsize::new(0)),
        escort: Arc::new(Unescorted),
    };
    let mut worker = processes.launch().unwrap();
    worker.load(&order()).unwrap();
    worker.reserve(CAPACITY).unwrap();
    worker
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
