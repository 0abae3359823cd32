//! The driver on scripted engines in this process, to exact numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::*;
use crate::clock::Manual;
use crate::engine::Capacity;
use crate::engine::worker::{
    BlockOrder, BlockSeen, CheckOrder, Host, Loaded, Loss, Refusal, ScoreOrder, StoreOrder,
    TextOrder, Tokenized, WindowSeen, Worker, WorkerError,
};
use crate::record::machine::{Device, Peak};
use crate::record::observation::SkipCause;
use crate::record::observation::{Accuracy, Block, EngineFacts, FailureKind, Load, Purpose};
use crate::study::file::StudyFile;
use crate::study::model::{CacheType, Precision};
use crate::study::spec::Target as StudyTarget;
use crate::units::Nanos;

/// Workers in this process. A panic is caught as the end of a child process would be noticed.
#[derive(Default)]
struct InProcess {
    reserved: Reserved,
}

/// The rooms that workers were asked for.
type Reserved = Arc<Mutex<Vec<Capacity>>>;

struct Guarded(Host, Reserved);

impl Launcher for InProcess {
    fn launch(&mut self) -> Result<Box<dyn Worker>, WorkerError> {
        let clock = Arc::new(Manual::default());
        let host = Host::new(clock, Arc::default());
        Ok(Box::new(Guarded(host, Arc::clone(&self.reserved))))
    }
}

impl Guarded {
    fn guard<T>(
        &mut self,
        ask: impl FnOnce(&mut Host) -> Result<T, WorkerError>,
    ) -> Result<T, WorkerError> {
        catch_unwind(AssertUnwindSafe(|| ask(&mut self.0))).unwrap_or_else(|_| {
            Err(WorkerError::Lost(Loss {
                kind: FailureKind::Crashed,
                reason: "worker panicked".to_owned(),
                stderr: vec!["the last words".to_owned()],
            }))
        })
    }
}

impl Worker for Guarded {
    fn identify(&mut self, order: &Order) -> Result<Device, WorkerError> {
        self.guard(|host| host.identify(order))
    }
    fn peaks(&mut self, order: &Order, dtypes: &[Precision]) -> Result<Vec<Peak>, WorkerError> {
        self.guard(|host| host.peaks(order, dtypes))
    }
    fn load(&mut self, order: &Order) -> Result<Loaded, WorkerError> {
        self.guard(|host| host.load(order))
    }
    fn describe(&mut self) -> Result<EngineFacts, WorkerError> {
        self.guard(Worker::describe)
    }
    fn reserve(&mut self, capacity: Capacity) -> Result<(), WorkerError> {
        self.1.lock().unwrap().push(capacity);
        self.guard(|host| host.reserve(capacity))
    }
    fn check(&mut self, order: &CheckOrder) -> Result<Vec<Accuracy>, WorkerError> {
        self.guard(|host| host.check(order))
    }
    fn block(&mut self, order: &BlockOrder) -> Result<BlockSeen, WorkerError> {
        self.guard(|host| host.block(order))
    }
    fn tokenize(&mut self, order: &TextOrder) -> Result<Tokenized, WorkerError> {
        self.guard(|host| host.tokenize(order))
    }
    fn set_aside(&mut self) -> Result<(), WorkerError> {
        self.guard(Worker::set_aside)
    }
    fn store(&mut self, order: &StoreOrder) -> Result<f64, WorkerError> {
        self.guard(|host| host.store(order))
    }
    fn score(&mut self, order: &ScoreOrder) -> Result<Vec<WindowSeen>, WorkerError> {
        self.guard(|host| host.score(order))
    }
}

/// A study on a script, as it can be varied.
struct Lab {
    folder: TempDir,
    points: Vec<Planned>,
    measure: Measure,
    budget: Option<Seconds>,
    before: Vec<Record>,
    /// The signal comes with this record.
    interrupt_at: Option<usize>,
}

impl Lab {
    /// Batch sizes at input length 128 and output length 32, at one precision.
    fn new(script: &str, batches: &[u32]) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("script.toml"), script).unwrap();
        let mut lab = Self {
            folder,
            points: Vec::new(),
            measure: Measure {
                launches: 1,
                ..StudyFile::default()
                    .resolved(StudyTarget::Cpu)
                    .unwrap()
                    .measure
            },
            budget: None,
            before: Vec::new(),
            interrupt_at: None,
        };
        lab.plan(Precision::Q8_0, batches);
        lab
    }

    fn plan(&mut self, precision: Precision, batches: &[u32]) {
        self.points.extend(batches.iter().map(|&batch| Planned {
            point: point(precision, batch),
            skip: None,
        }));
    }

    fn run(&self) -> (Result<EndStatus, MeasureError>, Vec<Record>) {
        self.run_with(&mut InProcess::default(), &mut |_| {})
    }

    fn run_with(
        &self,
        launcher: &mut dyn Launcher,
        observer: &mut dyn FnMut(Event<'_>),
    ) -> (Result<EndStatus, MeasureError>, Vec<Record>) {
        let job = Job {
            points: &self.points,
            target: Target {
                source: ModelSource::Tiny,
                engine: EngineKind::Sim(self.folder.path().join("script.toml")),
                device: DeviceChoice::Auto,
                holding: Holding::default(),
            },
            measure: &self.measure,
            budget: self.budget,
            before: &self.before,
        };
        let mut records = Vec::new();
        let interrupt = AtomicUsize::new(0);
        let clock = Manual::default();
        let mut sink = |record: Record| -> Result<(), SinkError> {
            records.push(record);
            if Some(records.len()) == self.interrupt_at {
                interrupt.store(1, std::sync::atomic::Ordering::Relaxed);
            }
            Ok(())
        };
        let outlets = Outlets {
            sink: &mut sink,
            observer,
            interrupt: &interrupt,
            clock: &clock,
        };
        let result = run(&job, launcher, outlets);
        (result, records)
    }

    /// The records of a run that ends on its own terms.
    #[track_caller]
    fn complete(&self) -> Vec<Record> {
        let (result, records) = self.run();
        assert_eq!(result.unwrap(), EndStatus::Complete);
        assert!(matches!(records.last(), Some(Record::End(_))));
        records
    }
}

fn point(precision: Precision, batch: u32) -> PointId {
    let count = |n| NonZeroU32::new(n).unwrap();
    PointId {
        precision,
        kv: None,
        batch: count(batch),
        isl: count(128),
        osl: count(32),
    }
}

/// Records in few words, blocks of one kind that follow one another counted.
fn story(records: &[Record]) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for record in records {
        let line = match record {
            Record::Load(load) => format!("load {} launch {}", load.load, load.launch),
            Record::Block(block) => match block.purpose {
                Purpose::Measure => format!("block in {}", block.load),
                Purpose::Drift => format!("drift b{} in {}", block.point.batch, block.load),
                Purpose::Energy => "energy".to_owned(),
            },
            Record::Failure(failure) => {
                let point = failure
                    .point
                    .map_or("all".to_owned(), |p| format!("b{}", p.batch));
                let load = failure
                    .load
                    .map_or("no load".to_owned(), |n| format!("load {n}"));
                format!("{:?} {point} in {load}: {}", failure.kind, failure.reason)
            }
            Record::Skip(skip) => format!("{:?} b{}", skip.cause, skip.point.batch),
            Record::End(end) => format!("{:?}", end.status),
            Record::Session(_)
            | Record::Device(_)
            | Record::Peak(_)
            | Record::Scoring(_)
            | Record::Window(_)
            | Record::Unscored(_) => "other".to_owned(),
        };
        match lines.last_mut() {
            Some((last, count)) if *last == line => *count += 1,
            Some(_) | None => lines.push((line, 1)),
        }
    }
    let told = |(line, count): (String, usize)| match count {
        1 => line,
        count => format!("{count} × {line}"),
    };
    lines.into_iter().map(told).collect()
}

#[test]
fn each_type_of_the_cache_is_a_load_of_its_own_with_the_same_prompts() {
    let mut lab = Lab::new("[model]\nvocab = 50\n", &[1]);
    let plain = lab.points[0].clone();
    lab.points = [CacheType::F16, CacheType::Q8_0]
        .map(|kv| {
            let kv = Some(kv);
            Planned {
                point: PointId { kv, ..plain.point },
                ..plain.clone()
            }
        })
        .to_vec();
    let records = lab.complete();
    let loads: Vec<&Load> = records
        .iter()
        .filter_map(|record| match record {
            Record::Load(load) => Some(load.as_ref()),
            _ => None,
        })
        .collect();
    let held: Vec<&str> = loads.iter().map(|l| l.engine.kv_dtype.as_str()).collect();
    assert_eq!(held, ["f16", "q8_0"]);
    let first_of = |load: &Load| {
        records.iter().find_map(|record| match record {
            Record::Block(block) if block.load == load.load => Some(block),
            _ => None,
        })
    };
    let firsts: Vec<&Block> = loads
        .iter()
        .map(|load| first_of(load).unwrap().as_ref())
        .collect();
    for (load, block) in loads.iter().zip(&firsts) {
        assert_eq!(load.variant(), block.point.variant());
    }
    assert_eq!(firsts[0].output_sha256, firsts[1].output_sha256);

    // A resumed run has nothing left to do of either.
    lab.before = records;
    assert_eq!(story(&lab.complete()), ["Complete"]);
}

#[test]
fn energy_blocks_show_one_phase_each_and_end_the_last_launch() {
    let mut lab = Lab::new("", &[1, 2]);
    lab.measure.energy = true;
    lab.measure.launches = 2;
    let records = lab.complete();
    let story = story(&records);
    assert_eq!(
        story.iter().filter(|line| line.contains("energy")).count(),
        1
    );
    assert_eq!(story[story.len() - 2..], ["4 × energy", "Complete"]);
    let energy: Vec<&Block> = records
        .iter()
        .filter_map(|record| match record {
            Record::Block(block) if block.purpose == Purpose::Energy => Some(block.as_ref()),
            _ => None,
        })
        .collect();
    for pair in energy.chunks(2) {
        let [prefill, decode] = pair else {
            panic!("one block of each phase")
        };
        assert_eq!(prefill.serves, decode.serves);
        let point = prefill.serves.unwrap();
        assert_eq!((prefill.point.isl, prefill.point.osl.get()), (point.isl, 1));
        assert_eq!(decode.point.context(), point.context());
        for block in pair {
            assert!(block.cpu.wall_ns.seconds().value() >= 10.0);
        }
        let (mut first, mut all) = (0.0, 0.0);
        for generation in &decode.generations {
            first += generation.steps_ns.first().unwrap().seconds().value();
            all += generation.steps_ns.sum().seconds().value();
        }
        assert!(first / all <= 0.05, "{}", first / all);
    }
    // What is on record is not measured again.
    lab.before = records;
    assert_eq!(lab.complete().len(), 1);
}

#[test]
fn what_is_to_go_counts_the_blocks_that_show_energy() {
    let mut lab = Lab::new("", &[1, 2]);
    lab.measure.energy = true;
    let mut told = Vec::new();
    let (result, _) = lab.run_with(&mut InProcess::default(), &mut |event| match event {
        Event::Block { ahead, .. } => told.push((String::new(), ahead)),
        Event::Drift { point, ahead } => told.push((format!("drift b{}", point.batch), ahead)),
        Event::Energy {
            point,
            phase,
            block,
            blocks,
            ahead,
        } => told.push((
            format!("{phase:?} b{} {block} of {blocks}", point.batch),
            ahead,
        )),
        _ => {}
    });
    result.unwrap();
    // Of sixteen blocks of 0.514 s fifteen are left of the first, and four of 10.5 s.
    let (first, rest) = (told[0].1.value(), &told[16..]);
    assert!((first - (15.0 * 0.514 + 42.0)).abs() < 0.3, "{first}");
    let names: Vec<&str> = rest.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "drift b1",
            "Prefill b1 1 of 4",
            "Decode b1 2 of 4",
            "Prefill b2 3 of 4",
            "Decode b2 4 of 4",
        ]
    );
    let to_go: Vec<f64> = rest.iter().map(|(_, ahead)| ahead.value()).collect();
    assert!((to_go[0] - 42.514).abs() < 0.01, "{to_go:?}");
    assert_eq!(to_go[1..], [42.0, 31.5, 21.0, 10.5]);
}

/// What showed the energy of which point.
fn energies(records: &[Record]) -> BTreeSet<(PointId, PointId)> {
    let mut shown = BTreeSet::new();
    for record in records {
        if let Record::Block(block) = record
            && let Some(serves) = block.serves
        {
            assert!(shown.insert((serves, block.point)), "{serves} twice");
        }
    }
    shown
}

#[test]
fn a_resumed_run_makes_up_the_energy_that_is_missing() {
    let mut lab = Lab::new("", &[1, 2]);
    lab.measure.energy = true;
    let whole = lab.complete();
    let before_energy = whole.len() - 1 - energies(&whole).len();
    for shown in 0..4 {
        lab.interrupt_at = Some(before_energy + shown);
        lab.before = Vec::new();
        let (result, mut records) = lab.run();
        assert_eq!(result.unwrap(), EndStatus::Interrupted);
        assert_eq!(energies(&records).len(), shown);

        lab.interrupt_at = None;
        lab.before = records.clone();
        let made_up = lab.complete();
        assert_eq!(story(&made_up).first().unwrap(), "load 1 launch 0");
        assert_eq!(
            loads(&made_up)[0].accuracy.len(),
            2,
            "checked before timing"
        );
        assert!(blocks(&made_up).is_empty(), "nothing is measured again");
        records.extend(made_up);
        assert_eq!(energies(&records), energies(&whole));
    }
}

#[test]
fn time_that_is_up_before_the_energy_leaves_it_to_a_resumed_run() {
    let mut lab = Lab::new("", &[1]);
    lab.measure.energy = true;
    // The load, its warm-up and the blocks take 6.7 s, an energy block 10.5.
    lab.budget = Some(Seconds::new(18.0));
    let mut records = lab.complete();
    assert_eq!(energies(&records).len(), 1);
    lab.budget = None;
    lab.before = records.clone();
    records.extend(lab.complete());
    assert_eq!(energies(&records).len(), 2);
}

#[test]
fn a_worker_that_is_lost_over_one_energy_leaves_the_others_to_a_fresh_one() {
    let fault = "[[fault]]\nkind = \"panic\"\nbatch_from = 2\nafter = 600\n";
    let mut lab = Lab::new(fault, &[1, 2, 1, 2]);
    lab.points.truncate(2);
    lab.plan(Precision::F32, &[1]);
    lab.measure.energy = true;
    let records = lab.complete();
    let shown: Vec<PointId> = energies(&records)
        .iter()
        .map(|(serves, _)| *serves)
        .collect();
    let of = |point| shown.iter().filter(|serves| **serves == point).count();
    assert_eq!(of(point(Precision::Q8_0, 1)), 2);
    assert_eq!(of(point(Precision::F32, 1)), 2);
    let failures = records.iter().filter(|r| matches!(r, Record::Failure(_)));
    assert_eq!(failures.count(), 0, "no result is taken along");
}

#[test]
fn a_model_that_fails_its_check_shows_no_energy_and_keeps_its_results() {
    let mut lab = Lab::new("", &[1]);
    lab.measure.energy = true;
    let whole = lab.complete();
    let without = whole.len() - 1 - energies(&whole).len();
    lab.before = whole[..without].to_vec();
    let script = "[[fault]]\nkind = \"inaccurate\"\nat = \"check\"\n";
    std::fs::write(lab.folder.path().join("script.toml"), script).unwrap();
    assert_story(&lab, &["load 1 launch 0", "Complete"]);
}

fn blocks(records: &[Record]) -> Vec<&Block> {
    let mut blocks = Vec::new();
    for record in records {
        if let Record::Block(block) = record
            && block.purpose == Purpose::Measure
        {
            blocks.push(block.as_ref());
        }
    }
    blocks
}

fn loads(records: &[Record]) -> Vec<&Load> {
    let mut loads = Vec::new();
    for record in records {
        if let Record::Load(load) = record {
            loads.push(load.as_ref());
        }
    }
    loads
}

#[track_caller]
fn assert_story(lab: &Lab, expected: &[&str]) {
    assert_eq!(story(&lab.complete()), expected);
}

#[test]
fn without_noise_every_point_has_its_least_number_of_blocks() {
    let lab = Lab::new("", &[1, 4]);
    assert_story(
        &lab,
        &[
            "load 0 launch 0",
            "16 × block in 0",
            "drift b1 in 0",
            "Complete",
        ],
    );
    let records = lab.complete();
    for round in 0..8 {
        let in_round = blocks(&records).into_iter().filter(|b| b.round == round);
        let points: BTreeSet<_> = in_round.map(|block| block.point).collect();
        assert_eq!(points.len(), 2, "round {round}");
    }
    let load = loads(&records)[0];
    let batches: Vec<u32> = load.accuracy.iter().map(|seen| seen.batch).collect();
    assert_eq!(batches, [1, 4]);
    // 4 sequences of 160 tokens at 65,536 bytes.
    assert_eq!(load.engine.kv_allocated_bytes, 4 * 160 * 65_536);
}

#[test]
fn a_block_is_half_a_second_of_generations() {
    let records = Lab::new("", &[1]).complete();
    let block = blocks(&records)[0];
    // 1 ms + 128 µs + 31 ms: the sixteenth generation passes half a second.
    assert_eq!(block.generations.len(), 16);
    assert_eq!(block.cpu.wall_ns, Nanos::new(16 * 32_128_000));
    let first = &block.generations[0];
    assert_eq!(first.t0_ns, block.started.monotonic_ns);
    assert_eq!(first.steps_ns.first(), Some(Nanos::new(1_128_000)));
    assert!(first.steps_ns.later().eq([Nanos::new(1_000_000); 31]));
    assert_eq!(first.tail_ns, Nanos::new(0));
}

#[test]
fn a_block_has_eight_generations_where_time_allows() {
    // Steps of 10 ms: a generation of 312 ms, eight in 2.5 s; a block may have 60 s / 8.
    let mut lab = Lab::new("[time]\nstep_us = 10000.0", &[1]);
    lab.measure.max_seconds = Seconds::new(60.0);
    assert!(
        blocks(&lab.complete())
            .iter()
            .all(|b| b.generations.len() == 8)
    );
    // With 10 s in all a block has 1.25 s: four generations end after 1.244 s, a fifth would not fit.
    lab.measure.max_seconds = Seconds::new(10.0);
    let records = lab.complete();
    assert_eq!(blocks(&records).len(), 8);
    assert!(blocks(&records).iter().all(|b| b.generations.len() == 4));
}

#[test]
fn a_point_is_measured_no_longer_than_allowed() {
    // A generation of 3.1 s: two blocks of one generation fit into 8 s, a third does not.
    let mut lab = Lab::new("[time]\nstep_us = 100000.0", &[1]);
    lab.measure.max_seconds = Seconds::new(8.0);
    assert_eq!(blocks(&lab.complete()).len(), 2);
}

#[test]
fn the_cache_stays_as_it_is_when_the_largest_point_is_done() {
    let mut lab = Lab::new("[time]\nnoise = 0.1\nprefill_us_per_token = 0.0", &[1, 4]);
    lab.measure.target_ci = 0.015;
    lab.measure.max_seconds = Seconds::new(60.0);
    let mut launcher = InProcess::default();
    let (result, records) = lab.run_with(&mut launcher, &mut |_| {});
    assert_eq!(result.unwrap(), EndStatus::Complete);
    let of = |batch| {
        let blocks = blocks(&records).into_iter();
        blocks.filter(move |block| block.point.batch.get() == batch)
    };
    let (small, large) = (of(1).count(), of(4).count());
    assert!(small > large, "{small} and {large} blocks");
    let reserved = launcher.reserved.lock().unwrap();
    let rooms: Vec<(u32, u32)> = reserved.iter().map(|r| (r.batch, r.context)).collect();
    // Each point, the check of logits, then all rounds and the drift.
    assert_eq!(rooms, [(1, 160), (4, 160), (4, 36), (4, 160)]);
}

#[test]
fn noise_is_answered_with_the_number_of_blocks_that_the_pilot_asks_for() {
    let mut lab = Lab::new("[time]\nnoise = 0.1", &[1, 4]);
    lab.measure.target_ci = 0.015;
    lab.measure.max_seconds = Seconds::new(60.0);
    let records = lab.complete();
    let mut more = 0;
    for batch in [1, 4] {
        let of_point: Vec<f64> = blocks(&records)
            .into_iter()
            .filter(|block| block.point.batch.get() == batch)
            .map(|block| {
                let time: Nanos = block.generations.iter().map(|g| g.steps_ns.sum()).sum();
                time.seconds().value() / (block.generations.len() as f64 * 32.0)
            })
            .collect();
        let needed = stopping::blocks_needed(&of_point[..8], &lab.measure);
        assert_eq!(of_point.len() as u32, needed, "batch {batch}");
        more += needed - 8;
    }
    assert!(
        more > 0,
        "the noise has to make a difference for this test to mean something"
    );
}

#[test]
fn launches_share_the_blocks_and_the_last_one_computes_the_rest() {
    let mut lab = Lab::new("", &[1]);
    lab.measure.launches = 3;
    assert_story(
        &lab,
        &[
            "load 0 launch 0",
            "3 × block in 0",
            "drift b1 in 0",
            "load 1 launch 1",
            "3 × block in 1",
            "drift b1 in 1",
            "load 2 launch 2",
            "2 × block in 2",
            "drift b1 in 2",
            "Complete",
        ],
    );
}

#[test]
fn what_runs_out_of_memory_fails_and_what_is_larger_is_skipped() {
    let script = "[[fault]]\nkind = \"oom\"\nbatch_from = 4";
    assert_story(
        &Lab::new(script, &[1, 2, 4, 8, 16]),
        &[
            "load 0 launch 0",
            "Oom b4 in load 0: out of memory: scripted at batch 4",
            "OomDominated b8",
            "OomDominated b16",
            "load 1 launch 0",
            "16 × block in 1",
            "drift b1 in 1",
            "Complete",
        ],
    );
}

#[test]
fn the_end_of_memory_is_found_by_reserving_too() {
    // Weights 1.0625 GB; a cache of 4 × 160 tokens has 41.9 MB, one of 8 × 160 has 83.9 MB.
    let script = "[device]\nmemory_bytes = 1_110_000_000";
    let records = Lab::new(script, &[1, 4, 8]).complete();
    let told = story(&records);
    assert_eq!(
        told[1],
        "Oom b8 in load 0: out of memory: 1146386080 bytes needed, the device has 1110000000"
    );
    assert_eq!(told[3], "16 × block in 1");
}

#[test]
fn a_precision_that_computes_something_else_is_not_timed() {
    let script = "[[fault]]\nkind = \"inaccurate\"\nat = \"check\"\nprecision = \"q8_0\"";
    let mut lab = Lab::new(script, &[1, 4]);
    lab.plan(Precision::F32, &[1]);
    let why = "accuracy: logits differ from the reference path by 2.00e-4 at batch 1, more than \
               1.00e-4";
    assert_story(
        &lab,
        &[
            "load 0 launch 0",
            &format!("Invalid b1 in load 0: {why}"),
            &format!("Invalid b4 in load 0: {why}"),
            "load 1 launch 0",
            "8 × block in 1",
            "drift b1 in 1",
            "Complete",
        ],
    );
}

#[test]
fn a_crash_takes_its_point_and_the_others_go_on_where_they_were() {
    // The fault strikes once 100 generations were made: some rounds are done by then.
    let script = "[[fault]]\nkind = \"panic\"\nbatch_from = 4\nafter = 100";
    let records = Lab::new(script, &[1, 4]).complete();
    let told = story(&records);
    assert_eq!(told[0], "load 0 launch 0");
    assert_eq!(told[2], "Crashed b4 in load 0: worker panicked");
    assert_eq!(told[3], "load 1 launch 0");
    let of = |batch, load| {
        let ours = |b: &&Block| b.point.batch.get() == batch && b.load == load;
        blocks(&records).into_iter().filter(ours).count()
    };
    assert_eq!(of(1, 0) + of(1, 1), 8);
    assert!(of(1, 0) > 0 && of(4, 0) > 0 && of(4, 0) < 8);
    assert_eq!(of(4, 1), 0);
    let Some(Record::Failure(failure)) = records.iter().find(|r| matches!(r, Record::Failure(_)))
    else {
        panic!("the crash is on record")
    };
    assert_eq!(failure.stderr, ["the last words"]);
}

#[test]
fn an_outcome_that_cannot_be_trusted_costs_its_point_and_not_the_worker() {
    let cases = [
        ("not_a_number", "not a number in the logits of step 0"),
        (
            "wrong_count",
            "128 tokens in 32 steps were requested, 127 in 32 were generated",
        ),
        (
            "slow_tail",
            "work went on after the last token for 10.0 % of the generation, more than 1 %",
        ),
    ];
    for (kind, reason) in cases {
        let script = format!("[[fault]]\nkind = \"{kind}\"\nbatch_from = 4");
        assert_story(
            &Lab::new(&script, &[1, 4]),
            &[
                "load 0 launch 0",
                &format!("Invalid b4 in load 0: {reason}"),
                "8 × block in 0",
                "drift b1 in 0",
                "Complete",
            ],
        );
    }
}

#[test]
fn what_the_engine_cannot_do_is_skipped() {
    let script = "[[fault]]\nkind = \"unsupported\"\nbatch_from = 2";
    let told = story(&Lab::new(script, &[1, 2]).complete());
    assert_eq!(told[..2], ["load 0 launch 0", "Unsupported b2"]);
    let script = "[[fault]]\nkind = \"unsupported\"\nat = \"load\"";
    let told = story(&Lab::new(script, &[1, 2]).complete());
    assert_eq!(told, ["Unsupported b1", "Unsupported b2", "Complete"]);
}

#[test]
fn a_model_that_cannot_be_loaded_is_the_outcome_of_its_precision() {
    let script = "[[fault]]\nkind = \"oom\"\nat = \"load\"\nprecision = \"q8_0\"";
    let mut lab = Lab::new(script, &[1, 4]);
    lab.plan(Precision::Q4_0, &[1]);
    assert_story(
        &lab,
        &[
            "Oom all in no load: out of memory: scripted at batch 0",
            "load 0 launch 0",
            "8 × block in 0",
            "drift b1 in 0",
            "Complete",
        ],
    );
}

/// Loads once, and then the card is lost.
struct UntilLost(bool);

impl Launcher for UntilLost {
    fn launch(&mut self) -> Result<Box<dyn Worker>, WorkerError> {
        if std::mem::replace(&mut self.0, true) {
            let cause = "XID 79".to_owned();
            return Err(WorkerError::CardLost { cause });
        }
        InProcess::default().launch()
    }
}

#[test]
fn what_was_never_tried_on_a_card_that_was_lost_is_skipped() {
    let mut lab = Lab::new("[[fault]]\nkind = \"panic\"\nbatch_from = 4", &[1, 4]);
    lab.plan(Precision::F32, &[1, 4]);
    let (result, records) = lab.run_with(&mut UntilLost(false), &mut |_| {});
    assert_eq!(result.unwrap(), EndStatus::Complete);
    assert_eq!(
        story(&records),
        [
            "load 0 launch 0",
            "Crashed b4 in load 0: worker panicked",
            "2 × LoadFailed b1",
            "LoadFailed b4",
            "Complete",
        ]
    );
    let skips = records.iter().filter_map(|record| match record {
        Record::Skip(skip) => Some(skip.reason.as_str()),
        _ => None,
    });
    for reason in skips {
        let words =
            "nothing more is tried on this card: XID 79; --resume tries again once it is reset";
        assert_eq!(reason, words);
    }
}

/// Loads once and never again.
struct Once(bool);

impl Launcher for Once {
    fn launch(&mut self) -> Result<Box<dyn Worker>, WorkerError> {
        if std::mem::replace(&mut self.0, true) {
            return Err(WorkerError::Lost(Loss {
                kind: FailureKind::Crashed,
                reason: "no second worker".to_owned(),
                stderr: Vec::new(),
            }));
        }
        InProcess::default().launch()
    }
}

#[test]
fn when_no_worker_can_be_had_any_more_points_keep_what_they_have() {
    let script = "[[fault]]\nkind = \"panic\"\nbatch_from = 4";
    let lab = Lab::new(script, &[1, 4, 8]);
    let job = Job {
        points: &lab.points,
        target: Target {
            source: ModelSource::Tiny,
            engine: EngineKind::Sim(lab.folder.path().join("script.toml")),
            device: DeviceChoice::Auto,
            holding: Holding::default(),
        },
        measure: &lab.measure,
        budget: None,
        before: &[],
    };
    let mut records = Vec::new();
    let mut sink = |record| -> Result<(), SinkError> {
        records.push(record);
        Ok(())
    };
    let outlets = Outlets {
        sink: &mut sink,
        observer: &mut |_| {},
        interrupt: &AtomicUsize::new(0),
        clock: &Manual::default(),
    };
    run(&job, &mut Once(false), outlets).unwrap();
    assert_eq!(
        story(&records),
        [
            "load 0 launch 0",
            "Crashed b4 in load 0: worker panicked",
            "LoadFailed b1",
            "LoadFailed b8",
            "Complete",
        ]
    );
}

/// Answers one launch, counted from 0, with this.
struct Refusing {
    at: u32,
    refusal: Refusal,
    launches: u32,
}

impl Refusing {
    fn new(at: u32, refusal: Refusal) -> Self {
        Self {
            at,
            refusal,
            launches: 0,
        }
    }
}

impl Launcher for Refusing {
    fn launch(&mut self) -> Result<Box<dyn Worker>, WorkerError> {
        self.launches += 1;
        if self.launches == self.at + 1 {
            return Err(self.refusal.clone().into());
        }
        InProcess::default().launch()
    }
}

fn refusals() -> [(Refusal, &'static str); 2] {
    let (place, reason) = ("model.gguf".to_owned(), "no such tensor".to_owned());
    let model = Refusal::Model { place, reason };
    let reason = "no stream can be had".to_owned();
    let device = Refusal::Device { reason };
    [
        (model, "model.gguf: no such tensor"),
        (device, "no stream can be had"),
    ]
}

#[test]
fn a_refusal_of_a_later_variant_is_its_outcome_and_the_others_are_measured() {
    let mut lab = Lab::new("", &[1]);
    lab.plan(Precision::F32, &[1, 4]);
    lab.plan(Precision::Q4_0, &[1]);
    for (refusal, reason) in refusals() {
        let (result, records) = lab.run_with(&mut Refusing::new(1, refusal), &mut |_| {});
        assert_eq!(result.unwrap(), EndStatus::Complete);
        let told = story(&records);
        assert!(told[3].contains("all in no load: "), "{}", told[3]);
        assert!(told[3].contains(reason), "{}", told[3]);
        let rest = [
            "load 1 launch 0",
            "8 × block in 1",
            "drift b1 in 1",
            "Complete",
        ];
        assert_eq!(told[4..], rest);
    }
}

#[test]
fn a_refusal_ends_the_run_only_while_nothing_was_found_out() {
    let mut lab = Lab::new("[[fault]]\nkind = \"oom\"\nat = \"load\"", &[1]);
    lab.plan(Precision::F32, &[1]);
    for (refusal, _) in refusals() {
        let (result, records) = lab.run_with(&mut Refusing::new(0, refusal.clone()), &mut |_| {});
        result.unwrap_err();
        assert_eq!(records, []);
        // That a model needs too much memory is something.
        let (result, records) = lab.run_with(&mut Refusing::new(1, refusal), &mut |_| {});
        assert_eq!(result.unwrap(), EndStatus::Complete);
        assert_eq!(records.len(), 3);
    }
}

#[test]
fn what_was_never_tried_is_tried_when_a_run_goes_on() {
    let mut lab = Lab::new("", &[1]);
    lab.plan(Precision::F32, &[1, 4]);
    let cases: [(&mut dyn Launcher, &[&str]); 2] = [
        (&mut UntilLost(false), &["LoadFailed b1", "LoadFailed b4"]),
        (
            &mut Once(false),
            &["Crashed all in no load: no second worker"],
        ),
    ];
    for (launcher, left) in cases {
        lab.before = Vec::new();
        let (result, records) = lab.run_with(launcher, &mut |_| {});
        assert_eq!(result.unwrap(), EndStatus::Complete);
        let told = story(&records);
        assert_eq!(told[3..told.len() - 1], *left);

        lab.before = records;
        assert_story(
            &lab,
            &[
                "load 1 launch 0",
                "16 × block in 1",
                "drift b1 in 1",
                "Complete",
            ],
        );
    }
}

#[test]
fn a_model_that_is_broken_ends_the_run_by_name() {
    let (result, records) = Lab::new("[time]\nstep_su = 1.0", &[1]).run();
    let error = result.unwrap_err();
    assert!(matches!(error, MeasureError::Model { .. }));
    assert!(error.to_string().contains("script.toml"), "{error}");
    assert_eq!(records, []);
}

#[test]
fn a_record_that_cannot_be_stored_ends_the_run_at_once() {
    let lab = Lab::new("", &[1]);
    let job = Job {
        points: &lab.points,
        target: Target {
            source: ModelSource::Tiny,
            engine: EngineKind::Sim(lab.folder.path().join("script.toml")),
            device: DeviceChoice::Auto,
            holding: Holding::default(),
        },
        measure: &lab.measure,
        budget: None,
        before: &[],
    };
    let mut stored = 0;
    let mut sink = |_| -> Result<(), SinkError> {
        stored += 1;
        if stored == 3 {
            return Err("disk full".into());
        }
        Ok(())
    };
    let outlets = Outlets {
        sink: &mut sink,
        observer: &mut |_| {},
        interrupt: &AtomicUsize::new(0),
        clock: &Manual::default(),
    };
    let error = run(&job, &mut InProcess::default(), outlets).unwrap_err();
    assert_eq!(error.to_string(), "disk full");
    assert_eq!(stored, 3);
}

#[test]
fn what_the_plan_leaves_out_is_recorded_once() {
    let mut lab = Lab::new("", &[1, 64]);
    lab.points[1].skip = Some(PlannedSkip {
        cause: SkipCause::DoesNotFit,
        reason: "90 GB needed".to_owned(),
    });
    let records = lab.complete();
    assert_eq!(story(&records)[0], "DoesNotFit b64");
    lab.before = records;
    assert_story(&lab, &["Complete"]);
}

/// What was seen of each point, whichever load it was in.
fn seen(records: &[Record]) -> BTreeMap<PointId, Vec<(String, Vec<Nanos>)>> {
    let mut points: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for block in blocks(records) {
        let steps = block.generations.iter().flat_map(|g| g.steps_ns.iter());
        let steps: Vec<Nanos> = steps.collect();
        let seen = (block.output_sha256.clone(), steps);
        points.entry(block.point).or_default().push(seen);
    }
    points
}

#[test]
fn an_interrupted_run_goes_on_as_if_nothing_had_happened() {
    let mut lab = Lab::new("[time]\nnoise = 0.1", &[1, 4]);
    lab.plan(Precision::F32, &[1, 4]);
    lab.measure.target_ci = 0.015;
    lab.measure.max_seconds = Seconds::new(60.0);
    let whole = lab.complete();
    for at in [1, 2, 7, 18, whole.len() - 5] {
        lab.interrupt_at = Some(at);
        lab.before = Vec::new();
        let (result, mut records) = lab.run();
        assert_eq!(result.unwrap(), EndStatus::Interrupted);
        assert_eq!(records.len(), at + 1, "nothing follows but the end");

        lab.interrupt_at = None;
        lab.before = records.clone();
        records.extend(lab.complete());
        assert_eq!(seen(&records), seen(&whole), "interrupted at record {at}");
        let numbers: BTreeSet<u32> = loads(&records).iter().map(|load| load.load).collect();
        assert_eq!(
            numbers.len(),
            loads(&records).len(),
            "loads have numbers of their own"
        );
    }
}

#[test]
fn when_time_is_up_the_rest_is_skipped_and_a_resumed_run_measures_it() {
    let mut lab = Lab::new("", &[1]);
    lab.plan(Precision::F32, &[1, 4]);
    // A load, its warm-up of 2 s and eight blocks of 0.51 s need 6.2 s.
    lab.budget = Some(Seconds::new(7.0));
    let mut records = lab.complete();
    assert_eq!(
        story(&records),
        [
            "load 0 launch 0",
            "8 × block in 0",
            "drift b1 in 0",
            "load 1 launch 0",
            "OutOfTime b1",
            "OutOfTime b4",
            "Complete",
        ]
    );
    lab.budget = None;
    lab.before = records.clone();
    records.extend(lab.complete());
    assert_eq!(blocks(&records).len(), 24);
    lab.before = records;
    assert_story(&lab, &["Complete"]);
}

#[test]
fn a_point_that_time_cuts_short_says_so_and_a_resumed_run_completes_it() {
    let mut lab = Lab::new("", &[1, 4]);
    // A load, its warm-up of 2 s and five blocks of 0.51 s, of eight for each point.
    lab.budget = Some(Seconds::new(5.0));
    let mut records = lab.complete();
    let told = story(&records);
    assert_eq!(
        told[1..],
        ["5 × block in 0", "OutOfTime b1", "OutOfTime b4", "Complete"]
    );
    let reasons = records.iter().filter_map(|record| match record {
        Record::Skip(skip) => Some(skip.reason.as_str()),
        _ => None,
    });
    let mut reasons: Vec<_> = reasons.collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            "the time asked for was used up after 2 blocks",
            "the time asked for was used up after 3 blocks"
        ]
    );
    lab.budget = None;
    lab.before = records.clone();
    records.extend(lab.complete());
    assert_eq!(blocks(&records).len(), 16);
}

#[test]
fn a_point_with_its_least_number_of_blocks_is_not_cut_short() {
    let mut lab = Lab::new("[time]\nnoise = 0.1", &[1]);
    lab.measure.target_ci = 0.001;
    lab.budget = Some(Seconds::new(8.0));
    let records = lab.complete();
    let told = story(&records);
    assert_eq!(told.len(), 3, "{told:?}");
    let seen = blocks(&records).len() as u32;
    assert!((lab.measure.min_blocks..lab.measure.max_blocks).contains(&seen));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn fault() -> impl Strategy<Value = String> {
        let kind = prop_oneof![
            Just("oom"),
            Just("panic"),
            Just("not_a_number"),
            Just("slow_tail"),
            Just("wrong_count"),
            Just("inaccurate"),
            Just("unsupported"),
        ];
        let stage = prop_oneof![
            Just("load"),
            Just("reserve"),
            Just("check"),
            Just("generate"),
        ];
        (kind, stage, 1u32..10, 0u32..200, 0u8..3).prop_map(|(kind, at, from, after, only)| {
            let only = match only {
                0 => "precision = \"q8_0\"\n",
                1 => "precision = \"f32\"\n",
                _ => "",
            };
            format!(
                "[[fault]]\nkind = \"{kind}\"\nat = \"{at}\"\nbatch_from = {from}\n\
                 after = {after}\n{only}"
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever goes wrong, every point has exactly one outcome, and nothing refers to a load that
        /// is not on record before it.
        #[test]
        fn every_point_has_one_outcome(faults in prop::collection::vec(fault(), 0..3)) {
            let mut lab = Lab::new(&faults.concat(), &[1, 2, 8]);
            lab.plan(Precision::F32, &[1, 4]);
            lab.measure.launches = 2;
            let records = lab.complete();
            let mut known = BTreeSet::new();
            let mut ended: BTreeMap<PointId, u32> = BTreeMap::new();
            for record in &records {
                match record {
                    Record::Load(load) => prop_assert!(known.insert(load.load)),
                    Record::Block(block) => prop_assert!(known.contains(&block.load)),
                    Record::Failure(failure) => {
                        prop_assert!(failure.load.is_none_or(|load| known.contains(&load)));
                        let all = lab.points.iter().map(|planned| planned.point);
                        let of = all.filter(|point| match failure.point {
                            Some(only) => only == *point,
                            None => failure.variant() == point.variant(),
                        });
                        of.for_each(|point| *ended.entry(point).or_default() += 1);
                    }
                    Record::Skip(skip) => *ended.entry(skip.point).or_default() += 1,
                    Record::Session(_)
                    | Record::Device(_)
                    | Record::Peak(_)
                    | Record::Scoring(_)
                    | Record::Window(_)
                    | Record::Unscored(_)
                    | Record::End(_) => {}
                }
            }
            for planned in &lab.points {
                let of_point = |b: &&&Block| b.point == planned.point;
                let measured = blocks(&records).iter().filter(of_point).count();
                match ended.get(&planned.point) {
                    None => prop_assert!(measured > 0, "{} has no outcome", planned.point),
                    Some(1) => {}
                    Some(_) => prop_assert!(false, "{} ended twice", planned.point),
                }
            }
        }
    }
}
