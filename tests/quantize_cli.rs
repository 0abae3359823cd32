//! `mtok quantize` and `mtok imatrix` as a user calls them, and a run that holds what they are about.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail like a test"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn mtok(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mtok"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[track_caller]
fn json(output: &Output) -> Value {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{talk}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn ends_with(code: i32, reason: &str, output: &Output) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{talk}");
    assert!(talk.contains(reason), "{talk}");
    assert!(output.stdout.is_empty());
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_written_file_is_a_model_and_its_cost_is_told() {
    let folder = TempDir::new().unwrap();
    let answer = json(&mtok(
        folder.path(),
        &["quantize", "tiny", "q4_k", "tiny.gguf", "--json"],
    ));
    let file = folder.path().join("tiny.gguf");
    assert_eq!(answer["bytes"], std::fs::metadata(&file).unwrap().len());
    assert_eq!(answer["bits_per_weight"], 4.5);
    assert_eq!(answer["fallbacks"], 0);
    assert!(answer["seconds"].as_f64().unwrap() > 0.0);
    assert!(answer["peak_resident_bytes"].as_u64().unwrap() > 1 << 20);
    let plan = json(&mtok(
        folder.path(),
        &[
            "plan",
            "--model",
            "gguf:tiny.gguf",
            "--device",
            "cpu",
            "--json",
        ],
    ));
    assert!(plan.is_object());
    let over_itself = ["quantize", "gguf:tiny.gguf", "f16", "tiny.gguf"];
    let refused = mtok(folder.path(), &over_itself);
    ends_with(9, "name another file", &refused);
    let again = mtok(
        folder.path(),
        &["quantize", "gguf:tiny.gguf", "q8_0", "more.gguf"],
    );
    ends_with(4, "is q4_k already", &again);
    assert_eq!(files(folder.path()), 1);
}

#[test]
fn what_cannot_be_written_has_its_exit_code() {
    let folder = TempDir::new().unwrap();
    let quantize = |arguments: &[&str]| mtok(folder.path(), &[&["quantize"], arguments].concat());
    ends_with(
        2,
        "native is not a type",
        &quantize(&["tiny", "native", "x.gguf"]),
    );
    ends_with(2, "q4_k", &quantize(&["tiny", "q9", "x.gguf"]));
    ends_with(
        4,
        "not a folder",
        &quantize(&["dir:none", "q4_k", "x.gguf"]),
    );
    ends_with(
        4,
        "random weights",
        &quantize(&["card:qwen3-0.6b", "q4_k", "x.gguf"]),
    );
    ends_with(
        9,
        "none/x.gguf",
        &quantize(&["tiny", "q4_k", "none/x.gguf"]),
    );
    ends_with(
        4,
        "No such file",
        &quantize(&["tiny", "q4_k", "x.gguf", "--imatrix", "none"]),
    );
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn importances_are_collected_from_a_text_and_heeded() {
    let folder = TempDir::new().unwrap();
    let text = "And it came to pass in those days, that he went out. ".repeat(20);
    std::fs::write(folder.path().join("text"), text).unwrap();
    let imatrix = |more: &[&str]| {
        let arguments = [
            "imatrix",
            "tiny",
            "tiny.imatrix",
            "--text",
            "text",
            "--context",
            "16",
        ];
        mtok(folder.path(), &[&arguments, more].concat())
    };
    let answer = json(&imatrix(&["--windows", "3", "--json"]));
    assert_eq!(
        (&answer["matrices"], &answer["tokens"]),
        (&28.into(), &48.into())
    );
    for (name, more) in [
        ("plain", [].as_slice()),
        ("weighted", &["--imatrix", "tiny.imatrix"]),
    ] {
        let arguments = [&["quantize", "tiny", "q2_k", name], more].concat();
        assert_eq!(mtok(folder.path(), &arguments).status.code(), Some(0));
    }
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    // The keys that name the matrix come on top; the layers' weights differ, the output's at the end do not.
    let (plain, weighted) = (bytes("plain"), bytes("weighted"));
    let from_the_end =
        |bytes: &[u8], from: usize, to: usize| bytes[bytes.len() - from..bytes.len() - to].to_vec();
    let (layers, output) = (300_000, 80_000);
    assert_ne!(
        from_the_end(&plain, layers, output),
        from_the_end(&weighted, layers, output)
    );
    assert_eq!(
        from_the_end(&plain, output, 0),
        from_the_end(&weighted, output, 0)
    );
    ends_with(9, "tiny.imatrix", &imatrix(&[]));
    std::fs::remove_file(folder.path().join("tiny.imatrix")).unwrap();
    ends_with(2, "--windows 0", &imatrix(&["--windows", "0"]));
    std::fs::write(folder.path().join("short"), "In").unwrap();
    let short = ["imatrix", "tiny", "x", "--text", "short", "--context", "16"];
    ends_with(3, "short: no window", &mtok(folder.path(), &short));
    let deaf = ["quantize", "tiny", "q8_0", "x", "--imatrix", "tiny.imatrix"];
    ends_with(2, "does nothing to q8_0", &mtok(folder.path(), &deaf));
    let short = ["imatrix", "tiny", "x", "--text", "text", "--context", "1"];
    ends_with(2, "at least 2", &mtok(folder.path(), &short));
    std::fs::write(folder.path().join("text"), b"caf\xe9 noir").unwrap();
    ends_with(
        3,
        "text: not UTF-8: invalid utf-8 sequence of 1 bytes from index 3",
        &imatrix(&[]),
    );
    std::fs::remove_file(folder.path().join("text")).unwrap();
    ends_with(3, "text: No such file", &imatrix(&[]));
    let card = ["imatrix", "card:qwen3-0.6b", "x", "--text", "text"];
    ends_with(4, "random weights", &mtok(folder.path(), &card));
}

#[test]
fn a_run_holds_its_cache_as_asked_and_says_so() {
    let folder = TempDir::new().unwrap();
    let study = "[model]\ndevice = \"cpu\"\n\
        [sweep]\nprecision = [\"q8_0\"]\nkv = [\"q8_0\"]\nbatch = [1]\nisl = [8]\nosl = [4]\n\
        [measure]\nmin_blocks = 2\nmax_blocks = 2\nmin_block_seconds = 0.01\nmax_seconds = 5\n\
        warmup_seconds = 0\nlaunches = 1\ntarget_ci = 0.9\n";
    std::fs::write(folder.path().join("study.toml"), study).unwrap();
    let output = mtok(folder.path(), &["run", "study.toml", "--out", "out"]);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{talk}");
    let facts = std::fs::read_to_string(folder.path().join("out/run.jsonl")).unwrap();
    assert!(facts.contains("\"kv_dtype\":\"q8_0\""));
    // Four layers, two heads of 64, keys and values: 1,024 numbers in blocks of 34 bytes for 32.
    assert!(facts.contains("\"kv_bytes_per_token\":1088"));
    let refused = mtok(folder.path(), &["plan", "--kv", "q4_0"]);
    ends_with(2, "f32, f16, bf16, q8_0", &refused);
}

#[test]
fn an_infinite_weight_of_a_file_is_not_quantized() {
    let folder = TempDir::new().unwrap();
    json(&mtok(
        folder.path(),
        &["quantize", "tiny", "f16", "tiny.gguf", "--json"],
    ));
    let file = folder.path().join("tiny.gguf");
    let mut bytes = std::fs::read(&file).unwrap();
    // Matrices are nearly all of the file, and begin at even offsets: this is one of their weights.
    let at = bytes.len() / 4 * 2;
    bytes[at..at + 2].copy_from_slice(&[0x00, 0xfc]);
    std::fs::write(&file, bytes).unwrap();
    let refused = mtok(
        folder.path(),
        &["quantize", "gguf:tiny.gguf", "q4_k", "more.gguf"],
    );
    ends_with(4, "gguf:tiny.gguf: tensor blk.", &refused);
    ends_with(4, "is -inf; weights must be finite", &refused);
    assert_eq!(files(folder.path()), 1);
}
