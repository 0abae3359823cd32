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

mod paired;

use std::process::ExitCode;
use std::sync::Arc;

use mtok::clock::{Clock, Monotonic};
use mtok::engine::{Engine, Progress, Prompts, worker};
use mtok::metrics::stats::Sample;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::paired::{
    BATCH, CAPACITY, Extent, ISL, MOST_GENERATIONS, OSL, SEED, block, launch, order,
};

/// Largest share of time that the harness may add.
const LIMIT: f64 = 0.01;

fn main() -> ExitCode {
    let extent = Extent::asked();
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
    let mut worker = launch();
    let mut bare = Bare::load(&clock);
    // The first blocks warm both sides up.
    block(worker.as_mut(), extent.generations, 0);
    bare.block(extent.generations);
    extent.loss(
        |seed| timed(|| drop(block(worker.as_mut(), extent.generations, seed))),
        |_| timed(|| bare.block(extent.generations)),
    )
}

/// Seconds that `work` takes.
fn timed(work: impl FnOnce()) -> f64 {
    let start = Monotonic.now();
    work();
    let time = Monotonic.now().since(start).unwrap();
    time.seconds().value()
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
        let prompts = (0..MOST_GENERATIONS)
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
