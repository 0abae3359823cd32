//! What a report is asked, through the command line: in a study, by flags of a run, and afterwards.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like a test"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A folder with a study of a scripted engine: 1 ms to a first token and to each further one.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new(report: &str) -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        let script = "[time]\nstep_us = 1000.0\nnoise = 0.01\nclock = \"script\"\n";
        std::fs::write(bench.path("engine.toml"), script).unwrap();
        let study = format!(
            "[sweep]\nprecision = [\"bf16\"]\nbatch = [1, 4]\nisl = [32]\nosl = [16]\n\
             [measure]\nlaunches = 1\nmin_blocks = 3\nmax_blocks = 3\n{report}"
        );
        std::fs::write(bench.path("study.toml"), study).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mtok(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mtok"))
            .current_dir(self.0.path())
            .args(arguments)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn run(&self, flags: &[&str]) -> Output {
        let verb = ["run", "study.toml", "--engine", "sim:engine.toml"];
        let output = self.mtok(&[&verb[..], &["--out", "out"], flags].concat());
        assert!(output.status.success(), "{output:?}");
        output
    }

    fn report(&self) -> String {
        std::fs::read_to_string(self.path("out/report.md")).unwrap()
    }

    /// Utilizations that have a column.
    fn columns(&self) -> Vec<String> {
        let points = std::fs::read_to_string(self.path("out/points.csv")).unwrap();
        let header = points.lines().next().unwrap().split(',');
        header
            .filter_map(|name| name.strip_prefix("usd_per_mtok_blended_at_utilization_"))
            .filter(|name| !name.contains('_'))
            .map(str::to_owned)
            .collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_study_asks_under_which_limits_and_at_which_utilizations() {
    let bench =
        Bench::new("[report]\nmax_ttft_ms = 500\nmax_tpot_ms = 2.5\nutilization = [0.05, 1.0]\n");
    bench.run(&[]);
    let report = bench.report();
    assert!(
        report.contains("| as asked | 500.0 | 2.500 | bf16 b4 32/16 |"),
        "{report}"
    );
    assert!(!report.contains("MLPerf"), "{report}");
    assert_eq!(bench.columns(), ["05", "100"]);
    assert!(bench.mtok(&["report", "out", "--check"]).status.success());
}

#[test]
fn flags_of_a_run_ask_in_place_of_the_study() {
    let bench = Bench::new("[report]\nmax_tpot_ms = 2.5\nutilization = [0.3]\n");
    let output = bench.run(&["--max-tpot-ms", "0.5", "--utilization", "0.2,0.9", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["cheapest"][0]["point"], "bf16 b4 32/16");
    let asked = &answer["cheapest"][1];
    assert_eq!(asked["max_tpot_ms"], 0.5);
    assert_eq!(asked["point"], Value::Null);
    let miss = asked["miss"].as_str().unwrap();
    let said = "No point meets the limits as asked; bf16 b";
    assert!(miss.starts_with(said), "{miss}");
    assert!(bench.report().contains(miss), "{}", bench.report());
    assert_eq!(bench.columns(), ["20", "90"]);
}

#[test]
fn another_question_is_answered_without_a_measurement_and_without_a_file() {
    let bench = Bench::new("");
    bench.run(&[]);
    let files = || {
        ["report.md", "report.html", "points.csv", "run.jsonl"]
            .map(|name| std::fs::read(bench.path("out").join(name)).unwrap())
    };
    let before = files();
    let output = bench.mtok(&["report", "out", "--max-tpot-ms", "0.5"]);
    assert!(output.status.success(), "{output:?}");
    let said = text(&output.stdout);
    assert!(
        said.contains("No point meets the limits as asked"),
        "{said}"
    );
    assert!(!said.contains("MLPerf"), "{said}");
    assert_eq!(files(), before);
    let refused = bench.mtok(&["report", "out", "--check", "--utilization", "0.5"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn a_run_goes_on_under_another_question() {
    let bench = Bench::new("");
    bench.run(&[]);
    bench.run(&["--resume", "--max-tpot-ms", "2.5"]);
    assert!(bench.report().contains("| as asked | — | 2.500 |"));
}

#[test]
fn stated_utilizations_are_priced() {
    let study = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/tiny-cpu");
    let bench = Bench::new("");
    let output = bench.mtok(&["report", study.to_str().unwrap(), "--utilization", "0.25"]);
    let said = text(&output.stdout);
    assert!(said.contains("blended at 25 % utilization\n"), "{said}");
    assert!(!said.contains("blended at 30 %"), "{said}");
}

/// What a report of the committed measurement on a CPU says under these flags.
fn committed(flags: &[&str]) -> Output {
    let study = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/tiny-cpu");
    let bench = Bench::new("");
    bench.mtok(&[&["report", study.to_str().unwrap()], flags].concat())
}

#[test]
fn another_price_needs_no_measurement_and_writes_no_file() {
    let dollars = |rate: &str| -> (f64, Value) {
        let output = committed(&["--usd-per-hour", rate, "--json"]);
        assert!(output.status.success(), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let point = &answer["points"][0];
        let blended = point["usd_per_mtok_blended"].as_f64().unwrap();
        (blended, answer["cheapest"][0]["point"].clone())
    };
    let ((one, cheapest), (eight, same)) = (dollars("1"), dollars("8"));
    assert!((eight / one - 8.0).abs() < 1e-12, "{one} {eight}");
    assert_eq!(cheapest, same);
    let output = committed(&["--usd-per-hour", "8"]);
    let said = text(&output.stdout);
    for expected in [
        "Prices: 8 USD per hour, the rate that the user gave",
        "Cheapest point",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let unchanged = committed(&["--check"]);
    assert!(unchanged.status.success(), "{unchanged:?}");
}

#[test]
fn a_card_is_asked_for_by_its_price_with_a_doubt() {
    let said = text(&committed(&["--gpu", "l4"]).stdout);
    assert!(said.contains("per hour, l4 at "), "{said}");
    assert!(said.contains("warning[price_of_other]"), "{said}");
    assert_eq!(committed(&["--gpu", "no-such"]).status.code(), Some(3));
    let refused = committed(&["--usd-per-hour", "0"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let refused = committed(&["--usd-per-hour", "2", "--check"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[test]
fn a_run_goes_on_at_another_price() {
    let bench = Bench::new("");
    bench.run(&["--usd-per-hour", "1"]);
    bench.run(&["--resume", "--usd-per-hour", "2", "--gpu", "l4"]);
    // A price that was given once holds on.
    bench.run(&["--resume"]);
    let record = std::fs::read_to_string(bench.path("out/run.jsonl")).unwrap();
    let lines = record
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let sessions = lines.filter(|line: &Value| line["type"] == "session");
    let rates: Vec<Value> = sessions
        .map(|session| session["study"]["price"]["usd_per_hour"].clone())
        .collect();
    assert_eq!(rates, ["1", "2", "2"]);
    assert!(bench.mtok(&["verify", "out"]).status.success());
}

#[test]
fn what_cannot_be_asked_is_refused_with_place_value_and_remedy() {
    let refused = |report: &str, flags: &[&str]| {
        let bench = Bench::new(report);
        let output = bench.mtok(&[&["plan", "study.toml"], flags].concat());
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let (code, said) = refused("[report]\nutilization = [0.3, 1.5]\n", &[]);
    assert_eq!(code, 3, "{said}");
    let expected =
        "study.toml: line 11, column 15: 1.5 is no utilization; give different shares above 0";
    assert!(said.contains(expected), "{said}");
    let (code, said) = refused("[report]\nmax_ttft_ms = 0\n", &[]);
    assert_eq!(code, 3, "{said}");
    let expected =
        "study.toml: line 11, column 15: 0 is no limit on a latency; give milliseconds above 0";
    assert!(said.contains(expected), "{said}");
    let (code, said) = refused("", &["--max-tpot-ms", "-3"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("-3 is no limit on a latency"), "{said}");
    let (code, said) = refused("", &["--utilization", "0.5,0.5"]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("0.5 a second time is no utilization"),
        "{said}"
    );
}

#[test]
fn a_scenario_is_not_reported_as_json() {
    let bench = Bench::new("");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/guide-chatbot");
    let output = bench.mtok(&["report", folder.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("hint: mtok breakeven "), "{said}");
}
