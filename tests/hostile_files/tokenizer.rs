//! tokenizer.json: refused or contained, and compared with the model.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::limits::{refused, source};
use crate::sound;

#[track_caller]
fn tokenizer(bytes: &[u8], words: &[&str]) {
    let folder = TempDir::new().unwrap();
    sound::folder(folder.path());
    std::fs::write(folder.path().join("tokenizer.json"), bytes).unwrap();
    let words: Vec<&str> = ["tokenizer.json"].iter().chain(words).copied().collect();
    refused(&source("dir", folder.path()), &words);
}

fn with_model(model: Value) -> Vec<u8> {
    let mut all = sound::tokenizer();
    all["model"] = model;
    all["added_tokens"] = json!([]);
    all["post_processor"] = Value::Null;
    all.to_string().into_bytes()
}

#[test]
fn text_that_is_no_tokenizer() {
    tokenizer(b"", &["EOF"]);
    tokenizer(b"{", &["EOF"]);
    tokenizer(b"\xff", &["line 1"]);
    tokenizer("[".repeat(500_000).as_bytes(), &["line 1"]);
    tokenizer(&with_model(json!({"type": "Oracle"})), &[]);
}

/// The published crash of the parser: a merge shorter than the prefix of its second part.
#[test]
fn a_panic_of_the_parser_is_contained() {
    let crafted = json!({"type": "BPE", "dropout": null, "unk_token": null,
        "continuing_subword_prefix": "ABCD", "end_of_word_suffix": null, "fuse_unk": false,
        "byte_fallback": false, "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]});
    tokenizer(&with_model(crafted), &["the parser panicked"]);
}

#[test]
fn a_vocabulary_of_another_model() {
    let model =
        |vocab: Value| with_model(json!({"type": "WordLevel", "vocab": vocab, "unk_token": "a"}));
    tokenizer(
        &model(json!({"a": 0, "b": 48})),
        &["\"b\" has id 48", "embedding has 48 rows"],
    );
    tokenizer(&model(json!({"a": u32::MAX})), &["id 4294967295"]);
    tokenizer(&model(json!({})), &["vocabulary is empty"]);
    let mut added = sound::tokenizer();
    added["added_tokens"][0]["content"] = json!("<other>");
    added["added_tokens"][0]["id"] = json!(0);
    tokenizer(added.to_string().as_bytes(), &["\"<other>\" has id 48"]);
}

/// A pattern whose automaton would fill memory is refused by the limits of its compiler.
#[test]
fn a_pattern_that_grows() {
    let mut all = sound::tokenizer();
    let pattern = r"((\w{1000}){1000}){1000}";
    all["pre_tokenizer"] = json!({"type": "Split", "pattern": {"Regex": pattern},
        "behavior": "Isolated", "invert": false});
    tokenizer(all.to_string().as_bytes(), &[]);
}
