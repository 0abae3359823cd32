//! Whatever befalls a worker process, the run records it, goes on, and leaves a file that verifies.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which clippy only sees inside test functions"
)]

mod session;

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mtok::clock::Monotonic;
use mtok::engine::worker::{Holding, Processes, Unescorted, WorkerCommand};
use mtok::measure::{Event, Job, Outlets, Planned, SinkError, Target, run};
use mtok::record::observation::{EndStatus, Failure, FailureKind, Record, SkipCause};
use mtok::record::store::{Resumed, Writer, read, verify};
use mtok::study::file::StudyFile;
use mtok::study::model::{DeviceChoice, EngineKind, Precision};
use mtok::study::spec::{self, Study};
use mtok::units::Seconds;
use tempfile::TempDir;

/// A study on a script, in a folder of its own.
struct Run {
    folder: TempDir,
    study: Study,
    no_progress_timeout: Seconds,
    interrupt: Arc<AtomicUsize>,
}

impl Run {
    fn new(script: &str, batches: &[u32]) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("script.toml");
        std::fs::write(&path, script).unwrap();
        let mut file = StudyFile::default();
        file.model.engine = Some(EngineKind::Sim(path));
        file.measure.launches = Some(1);
        file.sweep.precision = Some(vec![Precision::Q8_0]);
        file.sweep.batch = Some(
            batches
                .iter()
                .map(|&n| NonZeroU32::new(n).unwrap())
                .collect(),
        );
        Self {
            folder,
            study: file.resolved(spec::Target::Cpu).unwrap(),
            no_progress_timeout: Seconds::new(60.0),
            interrupt: Arc::default(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("run.jsonl")
    }

    fn processes(&self) -> Processes {
        Processes {
            command: WorkerCommand::new(
                env!("CARGO_BIN_EXE_mtok"),
                ["worker"],
                std::env::vars_os(),
            ),
            no_progress_timeout: self.no_progress_timeout,
            clock: Arc::new(Monotonic),
            interrupt: Arc::clone(&self.interrupt),
            escort: Arc::new(Unescorted),
        }
    }

    /// Measures what is missing, with `observe` hearing of it.
    fn measure(&self, observe: impl FnMut(&Event<'_>)) -> EndStatus {
        self.measure_with(&mut self.processes(), observe)
    }

    /// The same with workers of another kind.
    fn measure_with(
        &self,
        processes: &mut Processes,
        mut observe: impl FnMut(&Event<'_>),
    ) -> EndStatus {
        let file = self.file();
        let Resumed {
            mut writer,
            records: before,
        } = Writer::resume(&file).unwrap();
        let session = Record::Session(Box::new(session::of(&self.study)));
        writer.append(&session).unwrap();
        let points: Vec<Planned> = self
            .study
            .sweep
            .points()
            .into_iter()
            .map(|point| Planned { point, skip: None })
            .collect();
        let job = Job {
            points: &points,
            target: Target {
                source: self.study.source.clone(),
                engine: self.study.engine.clone(),
                device: DeviceChoice::Auto,
                holding: Holding::default(),
            },
            measure: &self.study.measure,
            budget: None,
            before: &before,
        };
        let outlets = Outlets {
            sink: &mut |record| writer.append(&record).map_err(SinkError::from),
            observer: &mut |event| observe(&event),
            interrupt: &self.interrupt,
            clock: &Monotonic,
        };
        let status = run(&job, processes, outlets).unwrap();
        assert_eq!(verify(&file).unwrap().findings, []);
        status
    }

    fn records(&self) -> Vec<Record> {
        read(&self.file()).unwrap()
    }

    fn failures(&self) -> Vec<Failure> {
        let failure = |record| match record {
            Record::Failure(failure) => Some(failure),
            _ => None,
        };
        self.records().into_iter().filter_map(failure).collect()
    }

    fn blocks_of(&self, batch: u32) -> usize {
        let ours = |record: &&Record| match record {
            Record::Block(block) => block.point.batch.get() == batch,
            _ => false,
        };
        self.records().iter().filter(ours).count()
    }
}

/// The failure of batch 4 under a fault, when everything else goes on.
#[track_caller]
fn failure_of_batch_4(run: &Run) -> Failure {
    assert_eq!(run.measure(|_| {}), EndStatus::Complete);
    let mut failures = run.failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    let failure = failures.remove(0);
    assert_eq!(failure.point.unwrap().batch.get(), 4);
    // Eight blocks of batch 1 and one for the drift.
    assert_eq!(run.blocks_of(1), 9);
    failure
}

fn fault(kind: &str) -> String {
    format!("[[fault]]\nkind = \"{kind}\"\nbatch_from = 4\n")
}

#[test]
fn out_of_memory_is_an_outcome_and_what_is_larger_is_skipped() {
    let run = Run::new(&fault("oom"), &[1, 4, 8]);
    let failure = failure_of_batch_4(&run);
    assert_eq!(failure.kind, FailureKind::Oom);
    let skips: Vec<u32> = run
        .records()
        .iter()
        .filter_map(|record| match record {
            Record::Skip(skip) => Some(skip.point.batch.get()),
            _ => None,
        })
        .collect();
    assert_eq!(skips, [8]);
}

#[test]
fn signals_panics_and_exits_are_outcomes_by_name() {
    for (kind, reason) in [
        ("segfault", "worker died of SIGSEGV"),
        ("abort", "worker died of SIGABRT"),
        ("panic", "worker panicked: scripted panic"),
        ("exit", "worker exited with code 3"),
    ] {
        let failure = failure_of_batch_4(&Run::new(&fault(kind), &[1, 4]));
        assert_eq!(failure.kind, FailureKind::Crashed);
        assert_eq!(failure.reason, reason);
        let told = failure
            .stderr
            .iter()
            .any(|line| line.contains("scripted panic"));
        assert_eq!(told, kind == "panic", "{:?}", failure.stderr);
    }
}

#[test]
fn a_worker_that_stands_still_is_ended_and_the_others_go_on() {
    let mut run = Run::new(&fault("hang"), &[1, 4]);
    run.no_progress_timeout = Seconds::new(2.0);
    let failure = failure_of_batch_4(&run);
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(
        failure
            .reason
            .starts_with("no progress for 2 s after step "),
        "{}",
        failure.reason
    );
}

#[test]
fn a_crash_in_the_middle_keeps_what_was_measured() {
    let script = format!("{}after = 150\n", fault("abort"));
    let run = Run::new(&script, &[1, 4]);
    failure_of_batch_4(&run);
    let kept = run.blocks_of(4);
    assert!((1..8).contains(&kept), "{kept} blocks");
}

#[test]
fn the_first_signal_ends_the_running_block_and_a_resumed_run_does_the_rest() {
    let run = Run::new("", &[1, 4]);
    let mut blocks = 0;
    let status = run.measure(|event| {
        if matches!(event, Event::Block { .. }) {
            blocks += 1;
            if blocks == 5 {
                run.interrupt.store(1, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(status, EndStatus::Interrupted);
    assert_eq!(run.blocks_of(1) + run.blocks_of(4), 5);

    run.interrupt.store(0, Ordering::Relaxed);
    assert_eq!(run.measure(|_| {}), EndStatus::Complete);
    // Eight blocks each, and one for the drift.
    assert_eq!(run.blocks_of(1) + run.blocks_of(4), 17);
}

#[test]
fn the_second_signal_does_not_wait_for_the_worker() {
    let run = Run::new(&fault("hang"), &[4]);
    let status = run.measure(|event| {
        if matches!(event, Event::Untimed { .. }) {
            run.interrupt.store(2, Ordering::Relaxed);
        }
    });
    assert_eq!(status, EndStatus::Interrupted);
    assert_eq!(run.failures(), []);
}

#[test]
fn a_program_that_is_not_there_is_an_outcome_too() {
    let run = Run::new("", &[1]);
    let processes = Processes {
        command: WorkerCommand::new(
            "/nowhere/mtok",
            ["worker"],
            Vec::<(OsString, OsString)>::new(),
        ),
        ..run.processes()
    };
    let Err(error) = processes.start() else {
        panic!("there is no such program")
    };
    let error = error.to_string();
    assert!(
        error.starts_with("/nowhere/mtok did not start: No such file"),
        "{error}"
    );
}

/// Address space in KiB that a worker of [`starved`] has: enough for the small model, not for the
/// cache of a quarter of a million sequences.
const ADDRESS_SPACE_KIB: u64 = 3 << 20;

/// Workers whose address space is limited by the system.
fn starved(run: &Run) -> Processes {
    let script = format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$0\" worker");
    let args = ["-c", &script, env!("CARGO_BIN_EXE_mtok")];
    Processes {
        command: WorkerCommand::new("/bin/sh", args, std::env::vars_os()),
        ..run.processes()
    }
}

#[test]
fn memory_that_the_system_refuses_is_an_outcome_of_a_real_engine_too() {
    let mut run = Run::new("", &[1, 262_144, 524_288]);
    run.study.engine = EngineKind::Decoder;
    run.study.sweep.precision = vec![Precision::F32];
    run.study.sweep.isl = vec![NonZeroU32::new(4).unwrap()];
    run.study.sweep.osl = vec![NonZeroU32::new(2).unwrap()];
    run.study.measure.min_block_seconds = Seconds::new(0.01);
    run.study.measure.max_seconds = Seconds::new(30.0);
    run.study.measure.warmup_seconds = Seconds::new(0.01);
    run.study.measure.min_blocks = 2;
    run.study.measure.max_blocks = 2;
    let status = run.measure_with(&mut starved(&run), |_| {});
    assert_eq!(status, EndStatus::Complete);
    let failures = run.failures();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].kind, FailureKind::Oom, "{failures:?}");
    assert_eq!(failures[0].point.unwrap().batch.get(), 262_144);
    let reason = &failures[0].reason;
    assert!(reason.starts_with("out of memory: "), "{reason}");
    assert!(reason.ends_with("KV cache"), "{reason}");
    let skips: Vec<_> = run
        .records()
        .into_iter()
        .filter_map(|record| match record {
            Record::Skip(skip) => Some(skip),
            _ => None,
        })
        .collect();
    assert_eq!(skips.len(), 1, "{skips:?}");
    assert_eq!(skips[0].point.batch.get(), 524_288);
    assert_eq!(skips[0].cause, SkipCause::OomDominated);
    assert!(skips[0].reason.contains("memory"), "{}", skips[0].reason);
    // The fresh worker measures what fits: two blocks and one for the drift.
    assert_eq!(run.blocks_of(1), 3);
}
