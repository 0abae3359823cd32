//! safetensors: one file for each error that the crate has for a file. Of its other errors TensorNotFound,
//! InvalidTensorView, IoError and JsonError come from asking and writing, not from a file.

use std::process::Command;

use tempfile::TempDir;

use crate::limits::{refused, source};
use crate::sound;

#[track_caller]
fn file(bytes: &[u8], words: &[&str]) {
    let words: Vec<&str> = ["model.safetensors"].iter().chain(words).copied().collect();
    with_words(bytes, &words);
}

#[track_caller]
fn with_words(bytes: &[u8], words: &[&str]) {
    let folder = TempDir::new().unwrap();
    sound::folder(folder.path());
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    refused(&source("dir", folder.path()), words);
}

fn one(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
}

#[test]
fn header_too_small() {
    file(&[], &["truncated: 0 bytes"]);
    file(&[2, 0, 0], &["truncated: 3 bytes"]);
}

#[test]
fn header_too_large() {
    file(&u64::MAX.to_le_bytes(), &["offset 0", "is larger than"]);
    file(
        &100_000_001u64.to_le_bytes(),
        &["offset 0", "is larger than"],
    );
}

#[test]
fn invalid_header_length() {
    file(
        &100u64.to_le_bytes(),
        &["invalid header length", "header of 100 bytes"],
    );
}

#[test]
fn invalid_header() {
    let mut bytes = sound::with_header(&one("F32", "[2]", "[0,8]"), 8);
    bytes[9] = 0xff;
    file(&bytes, &["invalid UTF-8 in header"]);
}

#[test]
fn invalid_header_deserialization() {
    file(&sound::with_header("{", 0), &["invalid JSON in header"]);
    file(
        &sound::with_header(&one("F33", "[2]", "[0,8]"), 8),
        &["F33"],
    );
    let nested = "[".repeat(100_000);
    file(&sound::with_header(&nested, 0), &["invalid JSON in header"]);
}

#[test]
fn tensor_invalid_info() {
    file(
        &sound::with_header(&one("F32", "[3]", "[0,8]"), 8),
        &["invalid shape"],
    );
}

#[test]
fn invalid_offset() {
    file(
        &sound::with_header(&one("F32", "[2]", "[4,12]"), 12),
        &["invalid offset for tensor `a`"],
    );
    file(
        &sound::with_header(&one("F32", "[2]", "[8,0]"), 8),
        &["invalid offset for tensor `a`"],
    );
}

#[test]
fn metadata_incomplete_buffer() {
    let sound = one("F32", "[2]", "[0,8]");
    file(
        &sound::with_header(&sound, 7),
        &["not fully covered", "file of"],
    );
    file(&sound::with_header(&sound, 9), &["not fully covered"]);
}

#[test]
fn validation_overflow() {
    let shape = "[4294967296,4294967296,16]";
    file(
        &sound::with_header(&one("F32", shape, "[0,8]"), 8),
        &["overflow"],
    );
}

#[test]
fn misaligned_slice() {
    file(
        &sound::with_header(&one("F4", "[3]", "[0,1]"), 1),
        &["byte boundary"],
    );
}

#[test]
fn a_name_that_stands_twice() {
    let entry = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    file(
        &sound::with_header(&format!("{{{entry},{entry}}}"), 8),
        &["\"a\" stands twice"],
    );
}

/// As many tensors without elements as the limit of the header allows.
#[test]
fn the_largest_header() {
    let mut header = "{".to_owned();
    for number in 0..30_000 {
        header += &format!(r#""{number:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}},"#);
    }
    header.pop();
    header.push('}');
    assert!(header.len() < 2 << 20);
    with_words(
        &sound::with_header(&header, 0),
        &["no tensor is F32, F16 or BF16"],
    );
}

#[test]
fn a_name_with_line_ends_stays_one_line() {
    let header = one("F32", "[2]", "[4,12]").replace("\"a\"", "\"a\\nb\\u001b[2J\"");
    file(
        &sound::with_header(&header, 12),
        &["invalid offset for tensor `a b"],
    );
}

#[test]
fn an_infinite_weight_is_not_quantized() {
    let folder = TempDir::new().unwrap();
    sound::folder(folder.path());
    let file = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    // The end of the file is the norm of 32 weights, before it stands the last projection of 32 rows.
    let at = bytes.len() - 4 * (32 + 1);
    bytes[at..at + 4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    let model = source("dir", folder.path());
    let out = folder.path().join("out").display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtok"));
    command.args([
        "run",
        "--model",
        &model,
        "--precision",
        "q8_0",
        "--batch",
        "1",
    ]);
    command.args(["--isl", "8", "--osl", "2", "--out", &out]);
    let refused = command.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    let expected = "model.safetensors: tensor model.layers.0.mlp.down_proj.weight: element 1023 is inf; \
                    weights must be finite";
    assert!(said.contains(expected), "{said}");
}
