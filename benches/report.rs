//! `mtok report` over records of growing length: what a year of studies costs to read again; and
//! `mtok breakeven --out` over the ready scenarios, each of which must take less than half a second.
//!
//! The time must be linear in the number of blocks, and 100,000 blocks must take less than 2 seconds
//! (release build). The records are made of the committed study `results/tiny-cpu`, its blocks
//! repeated round after round.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot be set up shall stop"
)]

use std::path::Path;
use std::process::{Command, Stdio};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mtok::record::observation::{Block, Record};
use mtok::record::store;
use mtok::units::Nanos;
use tempfile::TempDir;

/// Blocks of a record.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

/// A study folder whose record has this many blocks.
fn folder_with(blocks: usize) -> TempDir {
    let study = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/tiny-cpu");
    let records = store::read(&study.join("run.jsonl")).unwrap();
    let is_block = |record: &Record| matches!(record, Record::Block(_));
    let last = records.iter().rposition(is_block).unwrap();
    let templates: Vec<&Block> = records
        .iter()
        .filter_map(|record| match record {
            Record::Block(block) => Some(block.as_ref()),
            _ => None,
        })
        .collect();
    let repeated = (0..blocks).map(|number| {
        let again = (number / templates.len()) as u64;
        Record::Block(Box::new(later(templates[number % templates.len()], again)))
    });
    // Loads and failures between the blocks come before them all.
    let before = records[..=last]
        .iter()
        .filter(|record| !is_block(record))
        .cloned();
    let after = records[last + 1..].iter().cloned();
    let record: Vec<Record> = before.chain(repeated).chain(after).collect();

    let folder = tempfile::tempdir().unwrap();
    let mut writer = store::Writer::create(&folder.path().join("run.jsonl")).unwrap();
    writer.append_all(&record).unwrap();
    if study.join("study.toml").exists() {
        std::fs::copy(study.join("study.toml"), folder.path().join("study.toml")).unwrap();
    }
    folder
}

/// The same block so many rounds and days later: a block that begins before the one before it has ended is
/// no other block.
fn later(block: &Block, again: u64) -> Block {
    const DAY: Nanos = Nanos::new(86_400_000_000_000);
    let shift = |at: &mut Nanos| *at = Nanos::new(at.value() + again * DAY.value());
    let mut block = block.clone();
    block.round += u32::try_from(again).unwrap();
    shift(&mut block.started.monotonic_ns);
    for generation in &mut block.generations {
        shift(&mut generation.t0_ns);
    }
    block
}

/// Writes the reports of a study again.
fn report(folder: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_mtok"))
        .arg("report")
        .arg(folder)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "mtok report ended with {status}");
}

fn reports(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("report");
    group.sample_size(10);
    // Tried out once in a development build, the largest record would take minutes.
    let tried_out = std::env::args().any(|argument| argument == "--test");
    let sizes = if tried_out { &SIZES[..1] } else { &SIZES[..] };
    for &blocks in sizes {
        let folder = folder_with(blocks);
        group.throughput(Throughput::Elements(blocks as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(blocks),
            &blocks,
            |bencher, _| {
                bencher.iter(|| report(folder.path()));
            },
        );
    }
    group.finish();
}

/// A decision with its reports, from the scenario file to the written page.
fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("breakeven_report");
    group.sample_size(10);
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let out = tempfile::tempdir().unwrap();
    for name in ["guide-chatbot", "bursty"] {
        let scenario = results.join(name).join("scenario.toml");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                let status = Command::new(env!("CARGO_BIN_EXE_mtok"))
                    .arg("breakeven")
                    .arg(&scenario)
                    .arg("--out")
                    .arg(out.path())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .unwrap();
                assert!(status.success(), "mtok breakeven ended with {status}");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reports, decisions);
criterion_main!(benches);
