//! `mtok compare` through the command line: on the real small model, and on scripted ones.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like a test"
)]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self.path(name)
    }

    fn mtok(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mtok"))
            .args(arguments)
            .env("XDG_DATA_HOME", self.path("data"))
            .output()
            .unwrap()
    }

    #[track_caller]
    fn code(&self, arguments: &[&str]) -> i32 {
        let output = self.mtok(arguments);
        output.status.code().unwrap_or_else(|| panic!("{output:?}"))
    }

    /// A study of a scripted engine whose steps take so many microseconds.
    #[track_caller]
    fn measure(&self, name: &str, step_us: f64) -> String {
        self.measure_batches(name, step_us, "1, 4")
    }

    #[track_caller]
    fn measure_batches(&self, name: &str, step_us: f64, batches: &str) -> String {
        let script = format!("[time]\nstep_us = {step_us:.1}\nnoise = 0.01\nclock = \"script\"\n");
        let engine = format!("sim:{}", self.write("engine.toml", &script));
        let study = self.write(
            "study.toml",
            &format!(
                "[sweep]\nprecision = [\"bf16\"]\nbatch = [{batches}]\nisl = [32]\nosl = [16]\n\
                 [measure]\nlaunches = 3\nmin_blocks = 12\nmax_blocks = 12\n"
            ),
        );
        let out = self.path(name);
        let code = self.code(&["run", &study, "--engine", &engine, "--out", &out]);
        assert_eq!(code, 0);
        out
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_planted_slowdown_is_a_regression_and_a_speedup_is_none() {
    let bench = Bench::new();
    let (base, slow) = (
        bench.measure("base", 1_000.0),
        bench.measure("slow", 1_100.0),
    );
    assert_eq!(bench.code(&["compare", &base, &slow]), 0);
    let fail = "--fail-on-regression";
    assert_eq!(bench.code(&["compare", &base, &slow, fail]), 7);
    assert_eq!(bench.code(&["compare", &slow, &base, fail]), 0);
    assert_eq!(bench.code(&["compare", &base, &base, fail]), 0);
    let compared = json(&bench.mtok(&["compare", &base, &slow, "--json"]));
    assert_eq!(compared["verdict"], "slower");
    assert_eq!(compared["run_to_run_variance_known"], true);
    // A change that nobody cares about.
    let careless = ["compare", &base, &slow, fail, "--noise-threshold", "0.2"];
    assert_eq!(bench.code(&careless), 0);
}

#[test]
fn a_gate_does_not_pass_where_nothing_was_compared() {
    let bench = Bench::new();
    let (base, other) = (
        bench.measure_batches("base", 1_000.0, "1"),
        bench.measure_batches("other", 1_000.0, "4"),
    );
    assert_eq!(bench.code(&["compare", &base, &other]), 0);
    let gate = bench.mtok(&["compare", &base, &other, "--fail-on-regression"]);
    assert_eq!(gate.status.code(), Some(6), "{gate:?}");
    let told = String::from_utf8_lossy(&gate.stderr);
    assert!(told.contains("no measured point in common"), "{told}");
}

#[test]
fn a_baseline_is_kept_by_name_and_outlives_its_study() {
    let bench = Bench::new();
    let (base, slow) = (
        bench.measure("base", 1_000.0),
        bench.measure("slow", 1_100.0),
    );
    let keep = ["compare", &base, "--save-baseline", "main"];
    assert_eq!(bench.code(&keep), 0);
    std::fs::remove_dir_all(PathBuf::from(&base)).unwrap();
    let against = ["compare", &slow, "--baseline", "main", "--json"];
    assert_eq!(json(&bench.mtok(&against))["verdict"], "slower");
    // Compared first, then kept.
    let replace = [
        "compare",
        &slow,
        "--baseline",
        "main",
        "--save-baseline",
        "main",
        "--json",
    ];
    assert_eq!(json(&bench.mtok(&replace))["verdict"], "slower");
    assert_eq!(json(&bench.mtok(&against))["verdict"], "no change");

    let unknown = bench.mtok(&["compare", &slow, "--baseline", "nobody"]);
    assert_eq!(unknown.status.code(), Some(9));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("--save-baseline nobody"));
    for wrong in [
        vec!["compare", &slow],
        vec!["compare", &slow, &slow, "--baseline", "main"],
        vec!["compare", &slow, "--baseline", "../main"],
    ] {
        assert_eq!(bench.code(&wrong), 2, "{wrong:?}");
    }
}

/// Two runs of one program on one machine: what differs is chance, and launches show how much of it.
#[test]
fn the_real_small_model_does_not_differ_from_itself() {
    let bench = Bench::new();
    let study = bench.write(
        "study.toml",
        "[model]\nsource = \"tiny\"\n\
         [sweep]\nprecision = [\"f32\"]\nbatch = [1]\nisl = [16]\nosl = [8]\n\
         [measure]\nlaunches = 3\nmin_blocks = 6\nmax_blocks = 6\nmin_block_seconds = 0.1\n\
         max_seconds = 6\nwarmup_seconds = 0.2\n",
    );
    let run = |name: &str| {
        let out = bench.path(name);
        assert_eq!(bench.code(&["run", &study, "--out", &out]), 0);
        out
    };
    let (a, b) = (run("a"), run("b"));
    let compared = json(&bench.mtok(&["compare", &a, &b, "--json"]));
    let verdict = compared["verdict"].as_str().unwrap();
    assert!(
        ["no change", "inconclusive"].contains(&verdict),
        "{compared}"
    );
    assert_eq!(compared["differences"], serde_json::json!([]));
    assert_eq!(bench.code(&["compare", &a, &b, "--fail-on-regression"]), 0);
}
