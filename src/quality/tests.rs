//! The driver on scripted models in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::*;
use crate::clock::Manual;
use crate::engine::worker::{Holding, Host, Tokenized, Worker, WorkerError};
use crate::metrics::quality::Quality;
use crate::record::scoring::{Pairing, Scoring, Window};
use crate::study::model::{CacheType, DeviceChoice, EngineKind, ModelSource};
use crate::study::quality::QualitySection;
use crate::study::spec::Target;

struct InProcess;

impl Launcher for InProcess {
    fn launch(&mut self) -> Result<Box<dyn Worker>, WorkerError> {
        let clock = Arc::new(Manual::default());
        Ok(Box::new(Host::new(clock, Arc::default())))
    }
}

/// A text and a script for judging.
struct Lab {
    folder: TempDir,
    variants: Vec<Variant>,
    room: Room,
    budget: Option<Seconds>,
    before: Vec<Record>,
    /// The signal comes with this record.
    interrupt_at: Option<usize>,
}

const SCRIPT: &str = "[model]\nvocab = 50\n";

impl Lab {
    fn new(script: &str, precisions: &[Precision]) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("script.toml"), script).unwrap();
        Self {
            folder,
            variants: precisions.iter().copied().map(Variant::from).collect(),
            room: Room::Bytes(1 << 50),
            budget: None,
            before: Vec::new(),
            interrupt_at: None,
        }
    }

    fn order(&self, precision: Precision) -> Order {
        Order {
            source: ModelSource::Tiny,
            engine: EngineKind::Sim(self.folder.path().join("script.toml")),
            device: DeviceChoice::Cpu,
            precision,
            kv: None,
            seed: 1,
            holding: Holding::default(),
        }
    }

    fn run(&self) -> (Result<Ended, QualityError>, Vec<Record>) {
        let asked = QualitySection {
            context: Some(16),
            ..Default::default()
        };
        let tokenized = Tokenized {
            ids: (0..80).map(|n| n * 7 % 50).collect(),
            begin: Some(1),
        };
        let named = Named {
            name: "text",
            sha256: "ab",
            bytes: 80,
        };
        let (text, ids) = cut(
            named,
            tokenized,
            &asked.resolved(Target::Cpu, &ModelSource::Tiny).unwrap(),
        )
        .unwrap();
        let file = self.folder.path().join("distributions");
        let job = Job {
            model: &self.order(Precision::Native),
            variants: &self.variants,
            reference: &self.order(Precision::F32),
            text: &text,
            ids: &ids,
            meeting: Meeting {
                room: self.room,
                file: &file,
            },
            budget: self.budget,
            before: &self.before,
        };
        let (mut records, interrupt) = (Vec::new(), AtomicUsize::new(0));
        let mut sink = |new: &[Record]| -> Result<(), SinkError> {
            records.extend_from_slice(new);
            if self.interrupt_at.is_some_and(|at| records.len() >= at) {
                interrupt.store(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let outlets = Outlets {
            sink: &mut sink,
            observer: &mut |_| {},
            interrupt: &interrupt,
            clock: &Manual::default(),
        };
        (run(&job, &mut InProcess, outlets), records)
    }
}

fn scorings(records: &[Record]) -> Vec<&Scoring> {
    let scorings = records.iter().filter_map(|record| match record {
        Record::Scoring(scoring) => Some(scoring.as_ref()),
        _ => None,
    });
    scorings.collect()
}

fn windows(records: &[Record], scoring: u32) -> Vec<&Window> {
    let windows = records.iter().filter_map(|record| match record {
        Record::Window(window) if window.scoring == scoring => Some(window.as_ref()),
        _ => None,
    });
    windows.collect()
}

#[test]
fn fewer_bits_diverge_more_and_the_reference_not_at_all() {
    let precisions = [
        Precision::F32,
        Precision::Q8_0,
        Precision::Q4K,
        Precision::Q2K,
    ];
    let (ended, records) = Lab::new(SCRIPT, &precisions).run();
    let ended = ended.unwrap();
    assert_eq!((ended.status, ended.unscored), (EndStatus::Complete, 0));
    let mut before = -1.0;
    for (scoring, precision) in scorings(&records).into_iter().zip(precisions) {
        assert_eq!(
            (scoring.precision, scoring.pairing),
            (precision, Pairing::Resident)
        );
        let windows = windows(&records, scoring.scoring);
        assert_eq!(windows.len(), scoring.text.windows as usize);
        assert!(windows.iter().all(|w| w.divergence_nano.len() == 7));
        let kld = Quality::new(&windows, 1).unwrap().kld_mean.value;
        assert!(kld > before, "{precision}: {kld} after {before}");
        before = kld;
        if precision == Precision::F32 {
            assert!(
                windows
                    .iter()
                    .all(|w| w.divergence_nano == [0; 7] && w.same_top == 7)
            );
        }
    }
}

#[test]
fn each_type_of_the_cache_is_judged_with_each_precision_against_one_reference() {
    let mut lab = Lab::new(SCRIPT, &[]);
    lab.variants = [Precision::F32, Precision::Q4K]
        .into_iter()
        .flat_map(|precision| {
            [CacheType::F16, CacheType::Q8_0].map(|kv| Variant {
                precision,
                kv: Some(kv),
            })
        })
        .collect();
    let (_, records) = lab.run();
    let judged = scorings(&records);
    let found: Vec<Variant> = judged.iter().map(|scoring| scoring.variant()).collect();
    assert_eq!(found, lab.variants);
    let mut klds = Vec::new();
    for scoring in judged {
        assert_eq!(scoring.reference.engine.kv_dtype, "f32");
        assert_eq!(
            scoring.engine.kv_dtype,
            scoring.variant().kv.unwrap().to_string()
        );
        let windows = windows(&records, scoring.scoring);
        klds.push(Quality::new(&windows, 1).unwrap().kld_mean.value);
    }
    assert!(klds[0] < klds[1] && klds[2] < klds[3], "{klds:?}");
    assert!(klds[0] < klds[2], "{klds:?}");

    // What is on record is not judged again; the same precision with another cache is.
    lab.before = records;
    lab.variants.push(Precision::Q4K.into());
    let (_, again) = lab.run();
    let again: Vec<Variant> = scorings(&again).iter().map(|s| s.variant()).collect();
    assert_eq!(again, [Variant::from(Precision::Q4K)]);
}

#[test]
fn two_passes_give_the_same_within_their_stated_error() {
    let mut lab = Lab::new(SCRIPT, &[Precision::Q4K]);
    let (_, together) = lab.run();
    lab.room = Room::OneModel;
    let (ended, apart) = lab.run();
    ended.unwrap();
    let Pairing::Stored { error } = scorings(&apart)[0].pairing else {
        panic!("{:?}", scorings(&apart)[0].pairing)
    };
    assert!(error > 0.0 && error < 3e-4, "{error}");
    for (a, b) in windows(&together, 0).into_iter().zip(windows(&apart, 0)) {
        assert!((a.surprise - b.surprise).abs() < 1e-9);
        assert!((a.surprise_reference - b.surprise_reference).abs() < 1e-9);
        for (a, b) in a.divergence_nano.iter().zip(&b.divergence_nano) {
            assert!(
                a.abs_diff(*b) as f64 * 1e-9 <= 2.0 * error,
                "{a} {b} {error}"
            );
        }
    }
}

#[test]
fn a_memory_that_holds_one_model_makes_two_passes() {
    // Ten million parameters take 40 MB in f32 and 5.6 MB in q4_k.
    let script = "[model]\nvocab = 50\nparameters = 10_000_000\n";
    let mut lab = Lab::new(script, &[Precision::Q4K]);
    lab.room = Room::Bytes(50_000_000);
    let (_, records) = lab.run();
    assert!(matches!(
        scorings(&records)[0].pairing,
        Pairing::Stored { .. }
    ));
    lab.room = Room::Bytes(70_000_000);
    let (_, records) = lab.run();
    assert_eq!(scorings(&records)[0].pairing, Pairing::Resident);
}

#[test]
fn a_precision_that_fails_leaves_the_others() {
    let script =
        format!("{SCRIPT}[[fault]]\nkind = \"unsupported\"\nat = \"load\"\nprecision = \"q8_0\"\n");
    let (ended, records) = Lab::new(&script, &[Precision::Q8_0, Precision::Q4K]).run();
    assert_eq!(ended.unwrap().unscored, 1);
    assert!(records.iter().any(|record| matches!(
        record,
        Record::Unscored(unscored) if unscored.precision == Precision::Q8_0
    )));
    assert_eq!(scorings(&records)[0].precision, Precision::Q4K);
}

#[test]
fn a_reference_that_fails_ends_it_all() {
    let script =
        format!("{SCRIPT}[[fault]]\nkind = \"unsupported\"\nat = \"load\"\nprecision = \"f32\"\n");
    let (ended, records) = Lab::new(&script, &[Precision::Q4K]).run();
    let error = ended.unwrap_err().to_string();
    assert!(error.starts_with("reference f32"), "{error}");
    assert!(records.is_empty());
}

#[test]
fn an_interrupted_judgement_is_made_again_and_a_whole_one_is_not() {
    let mut lab = Lab::new(SCRIPT, &[Precision::Q8_0, Precision::Q4K]);
    let (_, whole) = lab.run();
    let per_precision = whole.len() / 2;
    lab.interrupt_at = Some(per_precision + 1);
    let (ended, first) = lab.run();
    assert_eq!(ended.unwrap().status, EndStatus::Interrupted);
    assert!(first.len() < whole.len());
    lab.interrupt_at = None;
    lab.before = first;
    let (ended, second) = lab.run();
    assert_eq!(ended.unwrap().status, EndStatus::Complete);
    let again = scorings(&second);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].scoring, again[0].precision), (2, Precision::Q4K));
}
