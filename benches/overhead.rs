//! The harness loop against the bare engine loop: what measuring costs the measured.
//!
//! A pair is the same number of generations twice, back to back and in alternating order: once as a block
//! of a worker process, the way `mtok run` measures, and once as a loop over the bare engine in this
//! process with nothing around it. The clock is read outside of both. The loss is the share of time that
//! the harness adds. Two processes differ by more than the blocks of one, so every launch has fresh
//! engines on both sides, and the interval is Student's t over launches.
//!
//! `cargo bench --bench overhead` ends with 1 when the upper end of the interval is above the limit. As a
//! test (`-- --test`) it runs one pair and judges nothing.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be set up shall stop, and this one prints its own report"
)]

use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use mtok::clock::{Clock, Monotonic};
use mtok::engine::worker::{
    self, BlockOrder, Launcher, Order, Processes, Unescorted, Worker, WorkerCommand,
};
use mtok::engine::{Capacity, Engine, Progress, Prompts};
use mtok::metrics::stats::Sample;
use mtok::study::model::{DeviceChoice, EngineKind, ModelSource, Precision};
use mtok::study::workload::PointId;
use mtok::units::{Nanos, Seconds};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Largest share of time that the harness may add.
const LIMIT: f64 = 0.01;

/// The generations of both sides: the default study's.
const BATCH: u32 = 1;
const ISL: u32 = 128;
const OSL: u32 = 32;
const SEED: u64 = 1;

/// How much is measured.
#[derive(Clone, Copy)]
struct Extent {
    /// Times that both sides get fresh engines.
    launches: u32,
    /// Pairs of blocks per launch.
    pairs: u32,
    /// Generations per block.
    generations: u32,
}

const FULL: Extent = Extent {
    launches: 10,
    pairs: 10,
    generations: 16,
};

const TEST: Extent = Extent {
    launches: 1,
    pairs: 1,
    generations: 1,
};

fn main() -> ExitCode {
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let extent = if is_test { TEST } else { FULL };
    let mut losses = Vec::new();
    for launch in 1..=extent.launches {
        let loss = loss_of_launch(extent);
        println!("launch {launch}: loss {:+.2} %", loss * 100.0);
        losses.push(loss);
    }
    let loss = Sample::new(losses).unwrap().mean_estimate();
    let (Some(low), Some(high)) = (loss.low(), loss.high()) else {
        println!("one launch has no interval: nothing judged");
        return ExitCode::SUCCESS;
    };
    println!(
        "loss {:+.2} %, 95 % interval {:+.2} to {:+.2} %, n = {} launches; limit {:.2} %",
        loss.value * 100.0,
        low * 100.0,
        high * 100.0,
        loss.n,
        LIMIT * 100.0,
    );
    if high <= LIMIT {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Mean share of time that the harness adds, over the pairs of fresh engines.
fn loss_of_launch(extent: Extent) -> f64 {
    let clock: Arc<dyn Clock> = Arc::new(Monotonic);
    let mut harness = Harness::launch(&clock);
    let mut bare = Bare::load(&clock);
    // The first blocks warm both sides up.
    harness.block(extent.generations, 0);
    bare.block(extent.generations);
    let ratios = (0..extent.pairs).map(|pair| {
        let seed = u64::from(pair) + 1;
        let mut of_harness = || timed(&clock, || harness.block(extent.generations, seed));
        let mut of_bare = || timed(&clock, || bare.block(extent.generations));
        let (harness, bare) = if pair % 2 == 0 {
            let harness = of_harness();
            (harness, of_bare())
        } else {
            let bare = of_bare();
            (of_harness(), bare)
        };
        harness / bare - 1.0
    });
    ratios.sum::<f64>() / f64::from(extent.pairs)
}

/// Seconds that `work` takes.
fn timed(clock: &Arc<dyn Clock>, work: impl FnOnce()) -> f64 {
    let start = clock.now();
    work();
    seconds_between(start, clock.now())
}

fn seconds_between(start: Nanos, end: Nanos) -> f64 {
    end.since(start).unwrap().value() as f64 / 1e9
}

/// What both sides load.
fn order() -> Order {
    Order {
        source: ModelSource::Tiny,
        engine: EngineKind::Decoder,
        device: DeviceChoice::Cpu,
        precision: Precision::F32,
        seed: SEED,
    }
}

const CAPACITY: Capacity = Capacity {
    batch: BATCH,
    context: ISL + OSL,
};

/// An engine in a worker process.
struct Harness {
    worker: Box<dyn Worker>,
}

impl Harness {
    fn launch(clock: &Arc<dyn Clock>) -> Self {
        let program = env!("CARGO_BIN_EXE_mtok");
        let mut processes = Processes {
            command: WorkerCommand::new(program, ["worker"], std::env::vars_os()),
            no_progress_timeout: Seconds::new(60.0),
            clock: Arc::clone(clock),
            interrupt: Arc::new(AtomicUsize::new(0)),
            escort: Arc::new(Unescorted),
        };
        let mut worker = processes.launch().unwrap();
        worker.load(&order()).unwrap();
        worker.reserve(CAPACITY).unwrap();
        Self { worker }
    }

    fn block(&mut self, generations: u32, seed: u64) {
        let count = |n| NonZeroU32::new(n).unwrap();
        let seen = self
            .worker
            .block(&BlockOrder {
                point: PointId {
                    precision: Precision::F32,
                    batch: count(BATCH),
                    isl: count(ISL),
                    osl: count(OSL),
                },
                seed,
                min_seconds: Seconds::new(0.0),
                min_generations: generations,
                max_seconds: Seconds::new(600.0),
                max_generations: generations,
            })
            .unwrap();
        // A repeated generation is work that the bare loop does not do.
        assert_eq!(seen.generations.len(), generations as usize);
    }
}

/// An engine with nothing around it.
struct Bare {
    engine: Box<dyn Engine>,
    clock: Arc<dyn Clock>,
    progress: Progress,
    prompts: Vec<Prompts>,
}

impl Bare {
    fn load(clock: &Arc<dyn Clock>) -> Self {
        let progress = Progress::default();
        let created = worker::create(&order(), clock, &progress).unwrap();
        let mut engine = created.engine;
        engine.reserve(CAPACITY).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let prompts = (0..FULL.generations)
            .map(|_| {
                let ids = (0..BATCH * ISL).map(|_| random.random_range(0..created.vocab));
                Prompts::new(ids.collect(), BATCH as usize).unwrap()
            })
            .collect();
        Self {
            engine,
            clock: Arc::clone(clock),
            progress,
            prompts,
        }
    }

    fn block(&mut self, generations: u32) {
        for prompts in self.prompts.iter().take(generations as usize) {
            self.engine
                .generate(prompts, OSL as usize, self.clock.as_ref(), &self.progress)
                .unwrap();
        }
    }
}
