//! `mtok plan` through the command line: memory, time, and what it refuses.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like a test"
)]

use std::process::{Command, Output};

use serde_json::Value;

fn plan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mtok"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("plan")
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn text(arguments: &[&str]) -> String {
    let output = plan(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&text(&[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn a_plan_shows_where_the_memory_of_a_card_goes() {
    let said = text(&[
        "--model",
        "card:llama-3.1-8b",
        "--gpu",
        "h100-sxm",
        "--batch",
        "1",
    ]);
    let row = |start: &str| {
        let line = said.lines().find(|line| line.starts_with(start)).unwrap();
        line.split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        row("precision"),
        [
            "precision",
            "embedding",
            "attention",
            "ffn",
            "norms",
            "output head",
            "in all",
            "KV cache per token"
        ]
    );
    // 128256 · 4096 · 2 bytes for the embedding and for the head; 2 · 32 · 8 · 128 · 2 bytes per token.
    assert_eq!(
        row("bf16 "),
        [
            "bf16",
            "1002.00 MiB",
            "2.50 GiB",
            "10.50 GiB",
            "520.00 KiB",
            "1002.00 MiB",
            "14.96 GiB",
            "128.00 KiB"
        ]
    );
    let point = row("q4_k b1");
    assert_eq!(point[2], "80.00 MiB", "the KV cache of 640 tokens");
    assert!(point[5].ends_with(" GiB"), "what is left: {point:?}");
}

#[test]
fn a_plan_lists_every_tensor_with_type_and_bytes() {
    let answer = json(&["--precision", "q4_k"]);
    let variant = &answer["plan"]["variants"][0];
    let tensors = variant["tensors"].as_array().unwrap();
    let up = tensors
        .iter()
        .find(|tensor| tensor["name"] == "blk.0.ffn_up.weight")
        .unwrap();
    assert_eq!(
        (up["type"].as_str(), up["group"].as_str()),
        (Some("q4_k"), Some("ffn"))
    );
    assert_eq!(up["bytes"], 768 * 144);
    let all: u64 = tensors
        .iter()
        .map(|tensor| tensor["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(variant["weight_bytes"], all);
    let point = &answer["plan"]["points"][0];
    let used: u64 = ["weight_bytes", "kv_bytes", "activation_bytes"]
        .iter()
        .map(|part| point["memory"][part].as_u64().unwrap())
        .sum();
    let left = point["left_bytes"].as_u64().unwrap();
    assert_eq!(answer["memory_bytes"].as_u64(), Some(left + used));
}

#[test]
fn the_tensors_of_a_file_have_the_types_of_the_file() {
    let answer = json(&[
        "--model",
        "gguf:tests/fixtures/gguf/llama-mixed.gguf",
        "--isl",
        "16",
        "--osl",
        "4",
    ]);
    let tensors = answer["plan"]["variants"][0]["tensors"].as_array().unwrap();
    let types: std::collections::BTreeSet<&str> = tensors
        .iter()
        .map(|tensor| tensor["type"].as_str().unwrap())
        .collect();
    assert!(types.len() > 2, "{types:?}");
    let other = tensors.iter().filter(|tensor| tensor["group"] == "other");
    let names: Vec<&Value> = other.map(|tensor| &tensor["name"]).collect();
    assert_eq!(names, ["rope_freqs.weight"]);
}

/// Expected minutes at the least on this CPU, and what they rest on.
fn expected(arguments: &[&str]) -> (f64, String) {
    let answer = json(&[arguments, &["--device", "cpu"]].concat());
    let hours = answer["plan"]["duration"]["low"].as_f64().unwrap();
    let basis = answer["basis"].as_str().unwrap().to_owned();
    (hours * 60.0, basis)
}

#[test]
fn the_time_on_a_cpu_follows_model_batch_and_length() {
    let (tiny, basis) = expected(&[]);
    assert!(basis.contains("of an assumed CPU, 20 GB/s and "), "{basis}");
    assert!((0.5..1.5).contains(&tiny), "{tiny}");
    let small = ["--model", "card:qwen3-0.6b", "--precision", "q4_k"];
    let of = |size: &[&str]| expected(&[&small[..], size].concat()).0;
    let (short, long) = (
        of(&["--batch", "1", "--isl", "256", "--osl", "16"]),
        of(&["--batch", "8", "--isl", "2048", "--osl", "16"]),
    );
    assert!(long > 2.0 * short, "{short} {long}");
    let (scripted, basis) = expected(&["--engine", "sim:no-script"]);
    assert!(
        basis.starts_with("the machine's speed is not known"),
        "{basis}"
    );
    assert!(scripted > 0.0);
}

#[test]
fn no_memory_of_a_small_model_is_written_as_nothing() {
    let said = text(&[]);
    assert!(
        !said.split_whitespace().any(|word| word == "0.00"),
        "{said}"
    );
}

#[test]
fn a_plan_with_quality_says_that_its_time_comes_on_top() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study.toml");
    std::fs::write(&study, "[quality]\n").unwrap();
    let said = text(&[study.to_str().unwrap()]);
    assert!(
        said.contains("note: the [quality] table is judged first"),
        "{said}"
    );
    assert!(!text(&[]).contains("note:"));
}

#[test]
fn too_few_minutes_are_told_with_those_that_the_plan_needs() {
    // A script's speed is not known, so that the plan is the same on every machine.
    let scripted = ["--engine", "sim:no-script", "--device", "cpu"];
    let said = text(&[&scripted[..], &["--max-minutes", "0.5"]].concat());
    let expected = "note: --max-minutes 0.5 is less than the 1 to 2 minutes that the plan needs";
    assert!(said.contains(expected), "{said}");
    assert!(
        said.contains("shorten the lists of [sweep], or lower measure.launches"),
        "{said}"
    );
    assert!(!text(&["--max-minutes", "60"]).contains("note:"));
}

#[test]
fn an_unknown_card_is_refused_with_those_that_are_known() {
    let refused = plan(&["--gpu", "nope"]);
    assert_eq!(refused.status.code(), Some(3));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("no GPU named `nope`"), "{said}");
    assert!(said.contains("the cards are a100-40gb-sxm, "), "{said}");
    let near = plan(&["--gpu", "h100sxm"]);
    let said = String::from_utf8(near.stderr).unwrap();
    assert!(said.contains("near it: h100-sxm"), "{said}");
}

#[test]
fn what_is_no_study_file_is_told_with_where_it_belongs() {
    for (argument, remedy) in [
        ("card:llama-3.1-8b", "a model is given with --model"),
        (
            "results/tiny-cpu",
            "the folder of a run is given with --out",
        ),
        ("nothing.toml", "give a study file, or flags alone"),
    ] {
        let output = plan(&[argument]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.starts_with(&format!("error: {argument}: ")), "{said}");
        assert!(said.trim_end().ends_with(remedy), "{said}");
    }
}
