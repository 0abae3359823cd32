//! A worker lives exactly as long as it is wanted, and sees nothing it should not.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which clippy only sees inside test functions"
)]

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use mtok::clock::Monotonic;
use mtok::engine::Capacity;
use mtok::engine::worker::{
    BlockOrder, Holding, Order, Process, Processes, Refusal, Unescorted, Worker, WorkerCommand,
    WorkerError,
};
use mtok::record::machine::DeviceKind;
use mtok::study::model::{DeviceChoice, EngineKind, ModelSource, Precision};
use mtok::study::workload::PointId;
use mtok::units::{Nanos, Seconds};
use tempfile::TempDir;

const MTOK: &str = env!("CARGO_BIN_EXE_mtok");

fn start(env: Vec<(OsString, OsString)>) -> Process {
    let processes = Processes {
        command: WorkerCommand::new(MTOK, ["worker"], env),
        no_progress_timeout: Seconds::new(60.0),
        clock: Arc::new(Monotonic),
        interrupt: Arc::default(),
        escort: Arc::new(Unescorted),
    };
    processes.start().unwrap()
}

fn order(script: &str) -> (TempDir, Order) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("script.toml");
    std::fs::write(&path, script).unwrap();
    let order = Order {
        source: ModelSource::Tiny,
        engine: EngineKind::Sim(path),
        device: DeviceChoice::Auto,
        precision: Precision::F16,
        kv: None,
        seed: 1,
        holding: Holding::default(),
    };
    (folder, order)
}

fn proc_file(process: &Process, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{name}", process.id()))
}

#[test]
fn a_worker_tells_what_its_device_is_before_anything_is_loaded() {
    let (_folder, order) = order("[device]\nname = \"a card\"");
    let mut process = start(Vec::new());
    let device = process.identify(&order).unwrap();
    assert_eq!(
        (device.kind, device.name.as_str()),
        (DeviceKind::Sim, "a card")
    );
    let error = process.describe().unwrap_err();
    assert_eq!(error.to_string(), "no model is loaded");
    let peaks = process.peaks(&order, &[Precision::F16]).unwrap();
    assert_eq!(peaks.len(), 7);
}

#[test]
fn a_block_in_a_process_is_the_same_as_one_in_this_process() {
    let (_folder, order) = order("[time]\nnoise = 0.05");
    let count = |n| std::num::NonZeroU32::new(n).unwrap();
    let block = BlockOrder {
        point: PointId {
            precision: Precision::F16,
            kv: None,
            batch: count(2),
            isl: count(8),
            osl: count(4),
        },
        seed: 9,
        min_seconds: Seconds::new(0.5),
        min_generations: 8,
        max_seconds: Seconds::new(10.0),
        max_generations: u32::MAX,
    };
    let run = |worker: &mut dyn Worker| {
        worker.load(&order).unwrap();
        worker
            .reserve(Capacity {
                batch: 2,
                context: 12,
            })
            .unwrap();
        let mut seen = worker.block(&block).unwrap();
        // What this process spent is known only to it.
        seen.cpu.parent_ns = Nanos::new(0);
        seen
    };
    let mut host = mtok::engine::worker::Host::new(Arc::new(Monotonic), Arc::default());
    assert_eq!(run(&mut start(Vec::new())), run(&mut host));
}

#[test]
fn an_engine_that_says_no_leaves_the_worker_alive() {
    let (_folder, order) = order("[model]\nparameters = 1_000_000_000_000");
    let mut process = start(Vec::new());
    let error = process.load(&order).unwrap_err();
    assert!(matches!(
        error,
        WorkerError::Refused(Refusal::OutOfMemory { .. })
    ));
    assert!(process.identify(&order).is_ok());
}

#[test]
fn secrets_of_the_environment_never_reach_the_worker() {
    let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
    let (_folder, order) = order("");
    let mut process = start(vec![
        pair("HF_TOKEN", "hf_CANARY"),
        pair("RAYON_NUM_THREADS", "1"),
    ]);
    process.identify(&order).unwrap();
    let environment = std::fs::read(proc_file(&process, "environ")).unwrap();
    assert_eq!(environment, b"RAYON_NUM_THREADS=1\0");
}

#[test]
fn a_worker_is_the_first_to_go_when_memory_ends_and_has_a_group_of_its_own() {
    let (_folder, order) = order("");
    let mut process = start(Vec::new());
    process.identify(&order).unwrap();
    let wish = std::fs::read_to_string(proc_file(&process, "oom_score_adj")).unwrap();
    assert_eq!(wish.trim(), "1000");
    let stat = std::fs::read_to_string(proc_file(&process, "stat")).unwrap();
    // pid (comm) state ppid pgrp
    let group = stat.rsplit(") ").next().unwrap().split(' ').nth(2).unwrap();
    assert_eq!(group, process.id().to_string());
}

#[test]
fn a_dropped_worker_is_gone() {
    let (_folder, order) = order("");
    let mut process = start(Vec::new());
    process.identify(&order).unwrap();
    let status = proc_file(&process, "status");
    assert!(status.exists());
    drop(process);
    assert!(!status.exists());
}

/// A request that makes the worker's main thread stand still for ever.
fn hanging_load() -> (TempDir, String) {
    let (folder, order) = order("[[fault]]\nkind = \"hang\"\nat = \"load\"");
    let request = format!("{{\"load\":{}}}\n", serde_json::to_string(&order).unwrap());
    (folder, request)
}

#[test]
fn a_worker_ends_with_its_input_even_when_it_stands_still() {
    let (_folder, request) = hanging_load();
    let mut child = Command::new(MTOK)
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(request.as_bytes()).unwrap();
    // The first heartbeat shows that it is at it.
    let mut byte = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut byte)
        .unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_worker_dies_with_its_parent_even_when_its_input_stays_open() {
    let (_folder, request) = hanging_load();
    // The shell is the parent; its input, which this test keeps open, is the worker's.
    let mut shell = Command::new("/bin/sh")
        .args(["-c", "exec 3<&0; \"$0\" worker <&3 & wait", MTOK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = shell.stdin.take().unwrap();
    input.write_all(request.as_bytes()).unwrap();
    let mut output = shell.stdout.take().unwrap();
    let mut byte = [0];
    output.read_exact(&mut byte).unwrap();
    shell.kill().unwrap();
    shell.wait().unwrap();
    // The worker holds the other end: this returns when it is gone.
    output.read_to_end(&mut Vec::new()).unwrap();
    drop(input);
}
