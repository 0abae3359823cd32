//! What reading the sensors costs the measured, shown two ways.
//!
//! Paired: a block of a worker process with the sampler running and one without, back to back and in
//! alternating order, on the same prompts. The loss is the share of time that sampling adds; the
//! interval is Student's t over launches. Accounted: processor time of the sampling thread ÷ wall, and
//! of this whole process within timed blocks ÷ wall.
//!
//! The driver is the scripted one, loaded by its path: what it takes to answer is not what a real driver
//! takes, so the figure for a real card awaits one. `cargo bench --bench sampling` prints Markdown
//! (results/cpu-speed/overhead.md) and ends with 1 when the upper end of an interval is above the limit. As a
//! test (`-- --test`) it runs one pair and judges nothing.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot be set up shall stop"
)]

mod paired;

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use fake_nvml::install::install;
use fake_nvml::script::Script;
use mtok::clock::{Clock, Monotonic};
use mtok::engine::worker::{BlockSeen, Launcher, Processes, Unescorted, Worker, WorkerCommand};
use mtok::telemetry::card::{Choice, DeviceOrder, Visibility};
use mtok::telemetry::nvml::{Access, open};
use mtok::telemetry::sampler::{SamplePeriod, Sampler};
use mtok::units::Seconds;

use self::paired::{CAPACITY, Extent, block, order, print_head, print_share};

/// Largest share of throughput that sampling may cost.
const LIMIT: f64 = 0.005;

/// Shares of time.
#[derive(Default)]
struct Shares {
    /// What sampling adds, per launch.
    loss: Vec<f64>,
    /// Processor time of the sampling thread, per launch.
    sampler: Vec<f64>,
    /// Processor time of this process within blocks with sampling, per launch.
    parent: Vec<f64>,
}

fn main() -> ExitCode {
    let extent = Extent::asked();
    let folder = tempfile::tempdir().unwrap();
    let library = install(folder.path(), &Script::default(), &[]).unwrap();
    let mut shares = Shares::default();
    for _ in 0..extent.launches {
        measure(extent, &library, &mut shares);
    }
    print_head("Sampling");
    let paired = print_share("what sampling adds, in pairs", shares.loss, LIMIT);
    let sampler = print_share("processor time of the sampler", shares.sampler, LIMIT);
    let parent = "processor time of the parent within timed blocks";
    let parent = print_share(parent, shares.parent, LIMIT);
    if paired && sampler && parent {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One launch: pairs of blocks on one worker.
fn measure(extent: Extent, library: &Path, shares: &mut Shares) {
    let worker = RefCell::new(launch());
    let one = |seed| block(worker.borrow_mut().as_mut(), extent.generations, seed);
    one(0);
    let (mut used, mut sampled) = (0.0, 0.0);
    let (mut parent, mut wall) = (0.0, 0.0);
    let with_sampling = |seed| {
        let sampler = sampler(library);
        let begun = Monotonic.now();
        let seen = one(seed);
        used += sampler.cpu_time().seconds().value();
        sampled += Monotonic.now().since(begun).unwrap().seconds().value();
        parent += seen.cpu.parent_ns.seconds().value();
        wall += seen.cpu.wall_ns.seconds().value();
        seconds(&seen)
    };
    shares
        .loss
        .push(extent.loss(with_sampling, |seed| seconds(&one(seed))));
    shares.sampler.push(used / sampled);
    shares.parent.push(parent / wall);
}

/// A worker process with the model loaded and room for the point.
fn launch() -> Box<dyn Worker> {
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

fn sampler(library: &Path) -> Sampler {
    let access = Access {
        library: Some(library.to_owned()),
        ..Access::default()
    };
    let choice = Choice::Ordinal {
        ordinal: 0,
        visibility: Visibility {
            devices: None,
            order: DeviceOrder::PciBusId,
        },
    };
    let probe = Box::new(open(&access, &choice, &|_| ()).unwrap());
    Sampler::start(probe, SamplePeriod::default(), Arc::new(Monotonic)).unwrap()
}

/// Time of all steps of a block.
fn seconds(seen: &BlockSeen) -> f64 {
    let steps = seen.generations.iter().map(|g| g.steps_ns.sum());
    steps.map(|time| time.seconds().value()).sum()
}
