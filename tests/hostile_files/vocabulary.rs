//! Tokenizers in the metadata of GGUF files: what serves, and what is refused with its remedy.

use serde_json::Value;
use tempfile::TempDir;

use crate::gguf_file::{GgufFile, array, key, text};
use crate::limits::{accepted, refused_with, source};

/// Tokens of the sound vocabulary: as many as the embedding has rows.
const TOKENS: [&str; 4] = ["a", "b", "ab", "<s>"];

fn texts(texts: &[&str]) -> Vec<u8> {
    let elements: Vec<u8> = texts.iter().flat_map(|one| text(one)).collect();
    array(8, texts.len() as u64, &elements)
}

fn integers(values: &[i32]) -> Vec<u8> {
    let elements: Vec<u8> = values.iter().flat_map(|one| one.to_le_bytes()).collect();
    array(5, values.len() as u64, &elements)
}

fn floats(values: &[f32]) -> Vec<u8> {
    let elements: Vec<u8> = values.iter().flat_map(|one| one.to_le_bytes()).collect();
    array(6, values.len() as u64, &elements)
}

/// A key below `tokenizer.`.
fn entry(name: &str, kind: u32, value: &[u8]) -> (String, Vec<u8>) {
    let name = format!("tokenizer.{name}");
    let bytes = key(&name, kind, value);
    (name, bytes)
}

/// A byte-level vocabulary of four tokens.
fn sound() -> Vec<(String, Vec<u8>)> {
    vec![
        entry("ggml.model", 8, &text("gpt2")),
        entry("ggml.pre", 8, &text("gpt-2")),
        entry("ggml.tokens", 9, &texts(&TOKENS)),
        entry("ggml.token_type", 9, &integers(&[1, 1, 1, 3])),
        entry("ggml.merges", 9, &texts(&["a b"])),
        entry("ggml.bos_token_id", 4, &3_u32.to_le_bytes()),
    ]
}

/// The sound vocabulary with these entries in place of its own.
fn with(changed: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let is_kept = |(name, _): &(String, Vec<u8>)| changed.iter().all(|(other, _)| other != name);
    let mut all: Vec<_> = sound().into_iter().filter(is_kept).collect();
    all.extend(changed);
    all
}

fn without(name: &str) -> Vec<(String, Vec<u8>)> {
    let name = format!("tokenizer.ggml.{name}");
    sound()
        .into_iter()
        .filter(|(known, _)| *known != name)
        .collect()
}

/// A folder with a text and a file with this vocabulary, and the arguments of a plan with both.
fn plan(vocabulary: Vec<(String, Vec<u8>)>, more: &[&str]) -> (TempDir, Vec<String>) {
    let folder = TempDir::new().unwrap();
    let mut file = GgufFile::sound();
    file.keys
        .extend(vocabulary.into_iter().map(|(_, bytes)| bytes));
    let (path, book) = (
        folder.path().join("model.gguf"),
        folder.path().join("book.txt"),
    );
    std::fs::write(&path, file.bytes()).unwrap();
    std::fs::write(&book, "ab".repeat(100)).unwrap();
    let (model, book) = (source("gguf", &path), book.display().to_string());
    let point = [
        "plan", "--isl", "16", "--osl", "4", "--batch", "2", "--text", &book, "--model", &model,
    ];
    let arguments = point.iter().chain(more).map(|&word| word.to_owned());
    (folder, arguments.collect())
}

#[track_caller]
fn refused(vocabulary: Vec<(String, Vec<u8>)>, words: &[&str]) {
    let (_folder, arguments) = plan(vocabulary, &[]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let words: Vec<&str> = words.iter().copied().chain(["model.gguf"]).collect();
    refused_with(4, &arguments, &words);
}

#[test]
fn a_vocabulary_in_the_metadata_serves() {
    let (_folder, mut arguments) = plan(sound(), &["--json"]);
    let plan: Value = serde_json::from_str(&accepted(
        &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
    ))
    .unwrap();
    assert_eq!(
        plan["plan"]["points"].as_array().map(Vec::len),
        Some(1),
        "{plan}"
    );
    arguments.push("--chat".to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    refused_with(4, &arguments, &["has no chat template", "leave out --chat"]);
}

#[test]
fn what_cannot_be_read_is_refused_with_the_remedy() {
    const REMEDY: &str = "give the tokenizer.json of its model with --tokenizer";
    let model = |name: &str| with(vec![entry("ggml.model", 8, &text(name))]);
    refused(
        Vec::new(),
        &["key tokenizer.ggml.model", "holds no tokenizer", REMEDY],
    );
    for kind in ["bert", "t5", "rwkv", "none"] {
        refused(model(kind), &[kind, "are not read", REMEDY]);
    }
    let way = with(vec![entry("ggml.pre", 8, &text("tekken"))]);
    refused(
        way,
        &[
            "key tokenizer.ggml.pre",
            "\"tekken\" is not supported",
            REMEDY,
        ],
    );
    for name in ["pre", "tokens", "token_type", "merges"] {
        refused(without(name), &[name, "missing", REMEDY]);
    }
    refused(
        model("llama"),
        &["key tokenizer.ggml.scores", "missing", REMEDY],
    );
}

#[test]
fn a_vocabulary_that_contradicts_itself_is_refused() {
    let one = |name: &str, kind: u32, value: &[u8]| with(vec![entry(name, kind, value)]);
    refused(
        one("ggml.tokens", 9, &texts(&["a", "b", "ab", "a"])),
        &["\"a\" stands twice"],
    );
    refused(
        one("ggml.tokens", 9, &texts(&["a", "b", "ab", "<s>", "x"])),
        &["5 tokens, but the embedding has 4 rows"],
    );
    refused(
        one("ggml.tokens", 9, &integers(&[1, 2, 3, 4])),
        &["not texts"],
    );
    refused(one("ggml.tokens", 8, &text("a")), &["not an array"]);
    let not_text = [&1_u64.to_le_bytes()[..], &[0xff]].concat();
    refused(
        one("ggml.tokens", 9, &array(8, 1, &not_text)),
        &["not UTF-8"],
    );
    refused(
        one("ggml.token_type", 9, &integers(&[1, 1])),
        &["2 kinds for 4 tokens"],
    );
    refused(
        one("ggml.token_type", 9, &integers(&[1, 1, 1, 77])),
        &["77 is no kind"],
    );
    refused(one("ggml.token_type", 9, &texts(&TOKENS)), &["not numbers"]);
    for pair in ["a", "a c", "a  b", "", "b a"] {
        refused(
            one("ggml.merges", 9, &texts(&[pair])),
            &["does not join two tokens to a third"],
        );
    }
    refused(one("ggml.pre", 4, &1_u32.to_le_bytes()), &["not a text"]);
    let begins = |id: u32| {
        with(vec![
            entry("ggml.add_bos_token", 7, &[1]),
            entry("ggml.bos_token_id", 4, &id.to_le_bytes()),
        ])
    };
    refused(begins(4), &["bos_token_id", "4 is not the id of a token"]);
    refused(begins(u32::MAX), &["is not the id of a token"]);
    refused(
        one("ggml.add_bos_token", 4, &1_u32.to_le_bytes()),
        &["not yes or no"],
    );
}

#[test]
fn pieces_that_contradict_themselves_are_refused() {
    let pieces = |changed: (String, Vec<u8>)| {
        let mut all = vec![entry("ggml.model", 8, &text("llama"))];
        if !changed.0.ends_with("scores") {
            all.push(entry("ggml.scores", 9, &floats(&[0.0, -1.0, -2.0, 0.0])));
        }
        all.push(changed);
        with(all)
    };
    refused(
        pieces(entry("ggml.scores", 9, &floats(&[0.0]))),
        &["1 scores for 4 tokens"],
    );
    refused(
        pieces(entry("ggml.unknown_token_id", 4, &9_u32.to_le_bytes())),
        &["9 is not the id of a token"],
    );
    let long = "a".repeat(100_000);
    refused(
        pieces(entry("ggml.tokens", 9, &texts(&["a", "b", &long, "<s>"]))),
        &["a token of 100000 bytes is longer than 256"],
    );
}

#[test]
fn a_name_as_long_as_the_file_is_not_repeated_whole() {
    let long = "x".repeat(4 << 20);
    let twice = with(vec![entry(
        "ggml.tokens",
        9,
        &texts(&["a", &long, &long, "b"]),
    )]);
    refused(twice, &["xxx", " … ", "stands twice"]);
}

#[test]
fn a_huge_list_of_merges_ends_soon() {
    let merges = vec!["a b"; 300_000];
    let (_folder, arguments) = plan(with(vec![entry("ggml.merges", 9, &texts(&merges))]), &[]);
    accepted(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
}
