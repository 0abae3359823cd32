//! `mtok quality` and `mtok run` with a `[quality]` table, through the command line, on scripted models.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests, which clippy only sees inside test functions"
)]

use std::path::PathBuf;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

const SCRIPT: &str = "[model]\nvocab = 60\n";

/// A folder with a script and a text.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(TempDir::new().unwrap());
        let words = "In the beginning God created the heaven and the earth. ";
        std::fs::write(desk.path("script.toml"), SCRIPT).unwrap();
        std::fs::write(desk.path("text.txt"), words.repeat(6)).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn mtok(&self, verb: &str, arguments: &[&str]) -> Output {
        let script = format!("sim:{}", self.path("script.toml").display());
        Command::new(env!("CARGO_BIN_EXE_mtok"))
            .current_dir(self.0.path())
            .args([verb, "--engine", &script, "--out", "study"])
            .args(arguments)
            .output()
            .unwrap()
    }

    fn quality(&self, arguments: &[&str]) -> Output {
        let usual = ["--text", "text.txt", "--context", "16", "--precision"];
        self.mtok("quality", &[&usual, arguments].concat())
    }
}

#[track_caller]
fn json(output: &Output) -> Value {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {talk}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_precision_has_every_key_and_each_estimate_its_interval() {
    let desk = Desk::new();
    let answer = json(&desk.quality(&["q8_0,q4_k", "--json"]));
    let precisions = answer["precisions"].as_array().unwrap();
    assert_eq!(precisions.len(), 2);
    for row in precisions {
        for key in ["precision", "bits_per_weight", "bytes"] {
            assert!(!row[key].is_null(), "{key}");
        }
        for key in [
            "perplexity",
            "perplexity_ratio",
            "kld_mean",
            "kld_median",
            "delta_p_rms",
            "same_top",
        ] {
            let end = |end: &str| row[format!("{key}{end}")].as_f64().unwrap();
            assert!(end("_low") <= end("") && end("") <= end("_high"), "{key}");
        }
        // 20 windows of 7 predictions: too few lie beyond the 99 % quantile.
        for key in [
            "kld_p99",
            "kld_p99_low",
            "kld_p99_high",
            "kld_max_low",
            "kld_max_high",
        ] {
            assert!(row.get(key).unwrap().is_null(), "{key}");
        }
        assert!(row["kld_max"].as_f64().unwrap() >= row["kld_mean"].as_f64().unwrap());
    }
    let kld = |row: usize| precisions[row]["kld_mean"].as_f64().unwrap();
    assert!(kld(0) < kld(1), "fewer bits diverge more");
    assert_eq!(answer["points"].as_array().unwrap().len(), 0);
}

#[test]
fn the_record_verifies_and_gives_the_reports_again() {
    let desk = Desk::new();
    json(&desk.quality(&["q8_0,q2_k", "--json", "--max-kld", "0.5"]));
    for arguments in [["verify", "study", ""], ["report", "study", "--check"]] {
        let arguments = arguments.iter().filter(|argument| !argument.is_empty());
        let output = Command::new(env!("CARGO_BIN_EXE_mtok"))
            .current_dir(desk.0.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let report = std::fs::read_to_string(desk.path("study/report.md")).unwrap();
    assert!(report.contains("within a mean KLD of 0.5"), "{report}");
    assert!(report.contains("## Quality"));
    assert!(!report.contains("## Throughput"), "nothing was timed");
    let page = std::fs::read_to_string(desk.path("study/report.html")).unwrap();
    assert!(page.contains("mean divergence from the reference against"));
    assert!(!desk.path("study/reference.distributions").exists());
}

#[test]
fn two_passes_say_their_error_and_agree() {
    let desk = Desk::new();
    let together = json(&desk.quality(&["q4_k", "--json"]));
    std::fs::remove_dir_all(desk.path("study")).unwrap();
    let apart = json(&desk.quality(&["q4_k", "--json", "--two-passes"]));
    let (a, b) = (&together["precisions"][0], &apart["precisions"][0]);
    assert_eq!(a["perplexity"], b["perplexity"]);
    let error = b["log_probability_rounding"].as_f64().unwrap();
    assert!(error > 0.0 && error < 1e-3);
    let apart = a["kld_mean"].as_f64().unwrap() - b["kld_mean"].as_f64().unwrap();
    assert!(apart.abs() <= 2.0 * error);
    assert!(!desk.path("study/reference.distributions").exists());
}

#[test]
fn distributions_that_cannot_be_written_are_a_matter_of_storage() {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path("study/reference.distributions")).unwrap();
    let output = desk.quality(&["q8_0", "--two-passes"]);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(9), "{talk}");
    assert!(talk.contains("reference.distributions"), "{talk}");
}

#[test]
fn one_run_measures_speed_and_quality() {
    let desk = Desk::new();
    let study = "[sweep]\nprecision = [\"q8_0\", \"q4_k\"]\nbatch = [1, 2]\nisl = [8]\nosl = [4]\n\
        [measure]\nlaunches = 1\n[quality]\ntext = \"text.txt\"\ncontext = 16\n";
    std::fs::write(desk.path("study.toml"), study).unwrap();
    let answer = json(&desk.mtok("run", &["study.toml", "--json"]));
    let row = &answer["precisions"][0];
    assert!(row["decode_tokens_per_second_b2"].as_f64().unwrap() > 0.0);
    assert!(row["kld_mean"].as_f64().unwrap() > 0.0);
    assert_eq!(answer["points"].as_array().unwrap().len(), 4);
    assert_eq!(answer["points"][0]["kld_mean"], row["kld_mean"]);
    // Over the first that was measured, at each batch size.
    for batch in [0, 1] {
        let rate = |point: usize| answer["points"][point]["decode_tokens_per_second"].as_f64();
        let speedup = rate(2 + batch).unwrap() / rate(batch).unwrap();
        assert_eq!(answer["points"][batch]["speedup"], 1.0);
        assert_eq!(answer["points"][2 + batch]["speedup"], speedup);
    }
    assert_eq!(
        answer["precisions"][1]["speedup_b2"],
        answer["points"][3]["speedup"]
    );
    let table = std::fs::read_to_string(desk.path("study/points.csv")).unwrap();
    assert!(table.lines().next().unwrap().contains("perplexity_ratio"));
}

#[test]
fn each_type_of_the_cache_is_measured_and_judged_with_each_precision() {
    let desk = Desk::new();
    let study = "[sweep]\nprecision = [\"q8_0\", \"q4_k\"]\nkv = [\"f16\", \"q8_0\"]\n\
        batch = [1]\nisl = [8]\nosl = [4]\n\
        [measure]\nlaunches = 1\n[quality]\ntext = \"text.txt\"\ncontext = 16\n";
    std::fs::write(desk.path("study.toml"), study).unwrap();
    let answer = json(&desk.mtok("run", &["study.toml", "--json"]));
    let held = |list: &str| -> Vec<String> {
        let rows = answer[list].as_array().unwrap().iter();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        rows.map(|row| text(row, "precision") + " " + &text(row, "kv_dtype"))
            .collect()
    };
    let all = ["q8_0 f16", "q8_0 q8_0", "q4_k f16", "q4_k q8_0"];
    assert_eq!(held("points"), all);
    assert_eq!(held("precisions"), all);
    let kld = |row: usize| answer["precisions"][row]["kld_mean"].as_f64().unwrap();
    assert!(kld(0) < kld(1) && kld(2) < kld(3), "{answer}");
    assert_eq!(
        answer["points"][1]["kld_mean"],
        answer["precisions"][1]["kld_mean"]
    );
    let report = std::fs::read_to_string(desk.path("study/report.md")).unwrap();
    assert!(report.contains("| q4_k kv q8_0 |"), "{report}");
    assert!(
        report.contains("combination of weights and KV cache within a perplexity ratio"),
        "{report}"
    );

    // All of it is on record, so that nothing is left to do; another axis is another study.
    let record = || std::fs::read_to_string(desk.path("study/run.jsonl")).unwrap();
    let blocks = record().matches("\"type\":\"block\"").count();
    json(&desk.mtok("run", &["study.toml", "--resume", "--json"]));
    assert_eq!(record().matches("\"type\":\"block\"").count(), blocks);
    let other = desk.mtok("run", &["study.toml", "--resume", "--kv", "f16"]);
    assert_eq!(other.status.code(), Some(3), "{other:?}");
    assert!(String::from_utf8_lossy(&other.stderr).contains("the study's sweep"));

    let compared = Command::new(env!("CARGO_BIN_EXE_mtok"))
        .current_dir(desk.0.path())
        .args(["compare", "study", "study", "--json"])
        .output()
        .unwrap();
    let compared = json(&compared).to_string();
    assert!(compared.contains("q4_k kv q8_0 b1 8/4"), "{compared}");
}

#[test]
fn what_cannot_be_judged_is_refused_before_a_model_is_loaded() {
    let desk = Desk::new();
    let ends = |arguments: &[&str], code: i32, words: &str| {
        let output = desk.mtok("quality", arguments);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{talk}");
        assert!(talk.contains(words), "{talk}");
    };
    ends(&["--batch", "4"], 2, "--batch is for mtok run");
    ends(&["--strict"], 2, "--strict is for mtok run");
    ends(&["--require-telemetry"], 2, "--require-telemetry is for");
    ends(&["--reference", "q99"], 2, "q99");
    ends(&["--text", "absent.txt"], 3, "absent.txt");
    ends(
        &["--text", "text.txt", "--context", "3"],
        3,
        "quality.context = 3",
    );
    ends(
        &["--text", "text.txt", "--context", "100000"],
        3,
        "quality.context",
    );
    std::fs::write(desk.path("short.txt"), "no").unwrap();
    ends(
        &["--text", "short.txt"],
        3,
        "short.txt: the text has 2 tokens",
    );
    let folder = TempDir::new().unwrap();
    let other = folder.path().join("other.gguf");
    std::fs::write(&other, "no model").unwrap();
    let reference = format!("gguf:{}", other.display());
    ends(&["--reference", &reference], 4, "other.gguf");
    assert!(!desk.path("study").exists(), "nothing was begun");
}

#[test]
fn each_precision_has_a_row_of_the_table_where_nothing_is_timed() {
    let desk = Desk::new();
    let answer = json(&desk.quality(&["q8_0,q4_k", "--max-kld", "0", "--json"]));
    let cheapest = &answer.as_object().unwrap()["cheapest_within_budget"];
    assert!(cheapest.is_null(), "none keeps the budget: {cheapest}");
    let table = std::fs::read_to_string(desk.path("study/points.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(rows.len(), 3);
    assert_eq!([rows[1][0], rows[2][0]], ["q8_0", "q4_k"]);
    assert!(rows[0].contains(&"kld_mean_high"), "{:?}", rows[0]);
}

#[test]
fn no_precision_is_begun_after_the_time_asked_for() {
    let desk = Desk::new();
    let answer = json(&desk.quality(&["q8_0,q4_k", "--max-minutes", "0.0000001", "--json"]));
    // The first may have been begun within these six microseconds.
    assert!(answer["precisions"][1]["kld_mean"].is_null());
    let report = std::fs::read_to_string(desk.path("study/report.md")).unwrap();
    let told = ["Not judged: q4_k.", "No precision was judged."];
    assert!(told.iter().any(|it| report.contains(it)), "{report}");
    let answer = json(&desk.quality(&["q8_0,q4_k", "--resume", "--json"]));
    assert!(answer["precisions"][1]["kld_mean"].is_number());
}

#[test]
fn quantized_weights_are_kept_for_the_next_judgement_too() {
    let folder = TempDir::new().unwrap();
    let model = folder.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let own = format!("{}/models/tiny/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(own, model.join(name)).unwrap();
    }
    let judge = |out: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_mtok"))
            .current_dir(folder.path())
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .args(["quality", "--model", "dir:model", "--device", "cpu"])
            .args(["--precision", "q2_k", "--keep-quantized", "--json"])
            .args(["--text", "model/config.json", "--context", "16"])
            .args(["--windows", "2", "--out", out])
            .output()
            .unwrap();
        let answer = json(&output);
        let report = std::fs::read_to_string(folder.path().join(out).join("report.md"));
        (answer["precisions"][0]["kld_mean"].clone(), report.unwrap())
    };
    let (first, report) = judge("first");
    assert!(report.contains("Quantized on all cores while loading: q2_k in"));
    let (second, report) = judge("second");
    assert!(report.contains("q2_k read from the file that was kept"));
    assert_eq!(first, second);
}

#[test]
fn the_small_model_loses_more_the_fewer_bits_it_has() {
    let folder = TempDir::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mtok"))
        .current_dir(folder.path())
        .args([
            "quality", "--model", "tiny", "--device", "cpu", "--out", "study",
        ])
        .args(["--precision", "f16,bf16,q8_0,q6_k,q5_k,q4_k,q3_k,q2_k"])
        .args([
            "--context",
            "48",
            "--windows",
            "3",
            "--max-kld",
            "0.05",
            "--json",
        ])
        .output()
        .unwrap();
    let answer = json(&output);
    let kld = |row: usize| answer["precisions"][row]["kld_mean"].as_f64().unwrap();
    for nearly_exact in 0..3 {
        assert!(kld(nearly_exact) < kld(3), "{nearly_exact} against q6_k");
    }
    for row in 3..7 {
        assert!(
            kld(row) < kld(row + 1),
            "{row}: {} {}",
            kld(row),
            kld(row + 1)
        );
    }
    let report = std::fs::read_to_string(folder.path().join("study/report.md")).unwrap();
    assert!(report.contains("The smallest precision within a mean KLD of 0.05"));
}

/// Each file holds what a run at its type computes with and carries the tokenizer of its model, so that
/// nothing but the two has to be named.
#[test]
fn two_files_are_compared_by_the_tokenizer_that_they_carry() {
    let desk = Desk::new();
    let mtok = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_mtok"))
            .current_dir(desk.0.path())
            .args(arguments)
            .output()
            .unwrap()
    };
    for precision in ["f32", "q4_0"] {
        json(&mtok(&[
            "quantize",
            "tiny",
            precision,
            &format!("{precision}.gguf"),
            "--json",
        ]));
    }
    let judged = |model: &[&str], reference: &str, out: &str| {
        let usual = [
            "quality",
            "--text",
            "text.txt",
            "--context",
            "16",
            "--windows",
            "2",
            "--device",
            "cpu",
            "--json",
            "--reference",
            reference,
            "--out",
            out,
        ];
        json(&mtok(&[&usual, model].concat()))["precisions"][0].clone()
    };
    let files = judged(&["--model", "gguf:q4_0.gguf"], "gguf:f32.gguf", "files");
    let run = judged(&["--model", "tiny", "--precision", "q4_0"], "f32", "run");
    for key in ["perplexity", "kld_mean"] {
        assert!(files[key].as_f64().unwrap() > 0.0, "{files}");
        assert_eq!(files[key], run[key], "{key}");
    }
}

#[test]
fn a_scenario_takes_a_study_of_quality_for_its_precision() {
    let decided = |bound: &str, precision: &str| {
        let desk = Desk::new();
        json(&desk.quality(&["q8_0,q4_k", "--json", "--max-kld", bound]));
        let scenario = format!(
            "[traffic]\nrequests_per_month = 12_000_000\nuser_tokens = 500\noutput_tokens = 150\n\
             [api]\ninput_usd_per_mtok = 2.5\noutput_usd_per_mtok = 10\n\
             [self_hosted]\ngpu = \"a100-80gb-sxm\"\nusd_per_gpu_hour = 2\ngpus_per_replica = 2\n\
             output_tokens_per_second = 750\nprecision = \"{precision}\"\n\
             [decision]\nquality = \"study\"\n"
        );
        std::fs::write(desk.path("scenario.toml"), scenario).unwrap();
        Command::new(env!("CARGO_BIN_EXE_mtok"))
            .current_dir(desk.0.path())
            .args(["breakeven", "scenario.toml", "--json"])
            .output()
            .unwrap()
    };
    let verdict = |output: &Output| json(output)["verdict"].as_str().unwrap().to_owned();
    let good = verdict(&decided("100", "q8_0"));
    assert!(good.contains("Self-host at this volume."), "{good}");
    let poor = verdict(&decided("1e-12", "q4_k"));
    assert!(poor.contains("not good enough"), "{poor}");
    let unknown = decided("100", "f16");
    assert_eq!(unknown.status.code(), Some(3));
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    let parts = [
        "line 15",
        "f16 was not judged there",
        "self_hosted.precision",
    ];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
}
