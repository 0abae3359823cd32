//! The harness loop against the bare engine loop: what measuring costs the measured.
//!
//! A pair is the same number of generations twice, back to back and in alternating order: once as a block
//! the way a worker runs it, and once as a loop over the same engine with nothing around it and its prompts
//! ready. The clock is read outside of both. The loss is the share of time that the harness adds. Both sides
//! share one engine, since two loads of a model differ by more than the harness costs; the process boundary
//! is crossed before a block and after it, and is no part of either. Every launch loads the model afresh,
//! and the interval is Student's t over launches.
//!
//! `cargo bench --bench overhead` prints Markdown (results/cpu-speed/overhead.md) and ends with 1 when the
//! upper end of the interval is above the limit. As a test (`-- --test`) it runs one pair and judges nothing.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot be set up shall stop"
)]

mod paired;

use std::cell::RefCell;
use std::process::ExitCode;
use std::sync::Arc;

use mtok::clock::{Clock, Monotonic};
use mtok::engine::worker::{Host, Worker};
use mtok::engine::{Progress, Prompts};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use self::paired::{
    BATCH, CAPACITY, Extent, ISL, MOST_GENERATIONS, OSL, SEED, block, order, print_head,
    print_share,
};

/// Largest share of time that the harness may add.
const LIMIT: f64 = 0.01;

fn main() -> ExitCode {
    let extent = Extent::asked();
    print_head("The harness against the bare loop");
    let losses = (0..extent.launches).map(|_| loss_of_launch(extent));
    if print_share("what the harness adds", losses.collect(), LIMIT) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Median share of time that the harness adds, over the pairs of one load.
fn loss_of_launch(extent: Extent) -> f64 {
    let mut host = Host::new(Arc::new(Monotonic), Arc::new(Progress::default()));
    host.load(&order()).unwrap();
    host.reserve(CAPACITY).unwrap();
    let prompts = prompts(host.loaded().unwrap().vocab);
    let prompts = &prompts[..extent.generations as usize];
    // The first blocks warm both sides up.
    block(&mut host, extent.generations, 0);
    bare_block(&mut host, prompts);
    let host = RefCell::new(host);
    extent.loss(
        |seed| timed(|| drop(block(&mut *host.borrow_mut(), extent.generations, seed))),
        |_| timed(|| bare_block(&mut host.borrow_mut(), prompts)),
    )
}

/// Seconds that `work` takes.
fn timed(work: impl FnOnce()) -> f64 {
    let start = Monotonic.now();
    work();
    let time = Monotonic.now().since(start).unwrap();
    time.seconds().value()
}

/// Prompts of random ids for the longest block.
fn prompts(vocab: u32) -> Vec<Prompts> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    (0..MOST_GENERATIONS)
        .map(|_| {
            let ids = (0..BATCH * ISL).map(|_| random.random_range(0..vocab));
            Prompts::new(ids.collect(), BATCH as usize).unwrap()
        })
        .collect()
}

/// Generations with nothing around them.
fn bare_block(host: &mut Host, prompts: &[Prompts]) {
    let progress = Progress::default();
    let created = host.loaded().unwrap();
    for prompts in prompts {
        let clock = created.clock.as_ref();
        created
            .engine
            .generate(prompts, OSL as usize, clock, &progress)
            .unwrap();
    }
}
