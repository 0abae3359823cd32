//! Prompts of text: what is measured with them, and files that cannot serve.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::limits::{accepted, refused_with, source};
use crate::{gguf_file::GgufFile, sound};

const TEMPLATE: &str = "{{ bos_token }}{% for m in messages %}w1 {{ m.content }} w2{% endfor %}{% if add_generation_prompt %} w3{% endif %}";

/// A sound model with a chat template and a text of `words` words.
fn model(words: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    sound::folder(folder.path());
    let book: Vec<String> = (0..words).map(|n| format!("w{}", n * 7 % 47)).collect();
    write(folder.path(), "book.txt", &book.join(" "));
    let config = json!({"chat_template": TEMPLATE, "bos_token": "<s>", "eos_token": null});
    write(folder.path(), "tokenizer_config.json", &config.to_string());
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

/// A plan of one point with these arguments.
fn arguments<'a>(verb: &'a str, model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec![
        verb, "--model", model, "--isl", "16", "--osl", "4", "--batch", "2",
    ];
    all.extend(more);
    all
}

#[track_caller]
fn refused(code: i32, folder: &Path, more: &[&str], words: &[&str]) {
    let model = source("dir", folder);
    refused_with(code, &arguments("plan", &model, more), words);
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// Runs a point and gives back the session of its record.
fn session(folder: &TempDir, more: &[&str]) -> Value {
    let study = folder.path().join("study.toml");
    let brief = "[measure]\nmin_blocks = 2\nmax_blocks = 2\nmin_block_seconds = 0.01\nmax_seconds = 1\n\
        warmup_seconds = 0\nlaunches = 1\n";
    std::fs::write(&study, brief).unwrap();
    let out = TempDir::new().unwrap();
    let (study, out) = (study.display().to_string(), out.path().join("out"));
    let place = out.display().to_string();
    let model = source("dir", folder.path());
    let mut all = arguments("run", &model, more);
    all.extend([study.as_str(), "--out", place.as_str(), "--json"]);
    all.extend(["--precision", "f32"]);
    let answer: Value = serde_json::from_str(&accepted(&all)).unwrap();
    assert_eq!(answer["points"][0]["status"], "ok", "{answer}");
    let report = std::fs::read_to_string(out.join("report.md")).unwrap();
    let record = std::fs::read_to_string(out.join("run.jsonl")).unwrap();
    assert!(
        !record.contains("w7 w14"),
        "the text of a prompt is in the record"
    );
    let session: Value = serde_json::from_str(record.lines().next().unwrap()).unwrap();
    let kind = match session["prompts"]["kind"].as_str().unwrap() {
        "text" => "windows of a text of",
        "lines" => "cut from",
        other => panic!("{other}"),
    };
    assert!(report.contains(kind), "{report}");
    session
}

#[test]
fn a_run_records_which_prompts_it_used() {
    let folder = model(100);
    let book = path(&folder, "book.txt");
    let chat = session(&folder, &["--text", &book, "--chat"]);
    assert_eq!(
        chat["prompts"]["template_sha256"].as_str().unwrap().len(),
        64
    );
    assert_eq!(chat["prompts"]["kind"], "text");
    assert_eq!(chat["prompts"]["tokens"], 100);
    assert_eq!(chat["prompts"]["sha256"].as_str().unwrap().len(), 64);
    let lines = ["w1 ".repeat(20), "w2 ".repeat(30)].join("\n");
    write(folder.path(), "prompts.txt", &lines);
    let prompts = path(&folder, "prompts.txt");
    let lines = session(&folder, &["--prompt-file", &prompts]);
    assert_eq!(lines["prompts"]["template_sha256"], Value::Null);
    assert_eq!(
        (&lines["prompts"]["kind"], &lines["prompts"]["texts"]),
        (&json!("lines"), &json!(2))
    );
    assert_eq!(lines["study"]["prompts"]["file"], prompts.as_str());
}

#[test]
fn the_study_file_asks_for_texts_as_the_flags_do() {
    let folder = model(100);
    let study = format!(
        "[prompts]\ntext = {:?}\nchat = true\n",
        path(&folder, "book.txt")
    );
    write(folder.path(), "asked.toml", &study);
    let asked = path(&folder, "asked.toml");
    let model = source("dir", folder.path());
    accepted(&arguments("plan", &model, &[&asked]));
    write(
        folder.path(),
        "both.toml",
        "[prompts]\ntext = \"a\"\nfile = \"b\"\n",
    );
    refused(
        3,
        folder.path(),
        &[&path(&folder, "both.toml")],
        &["prompts.file and prompts.text are both set"],
    );
    refused(
        3,
        folder.path(),
        &["--chat"],
        &["prompts.chat needs a text"],
    );
}

#[test]
fn a_file_too_short_is_told_with_its_numbers() {
    let folder = model(15);
    let book = path(&folder, "book.txt");
    refused(
        3,
        folder.path(),
        &["--text", &book],
        &[
            "book.txt",
            "16 tokens are too few for 2 different prompts of 16",
        ],
    );
    refused(
        3,
        folder.path(),
        &["--prompt-file", &book],
        &[
            "book.txt",
            "1 of 1 prompts have 16 tokens or more",
            "a batch of 2 needs 2",
        ],
    );
    refused(
        3,
        folder.path(),
        &["--text", &path(&folder, "none.txt")],
        &["none.txt", "No such file"],
    );
    refused(
        3,
        folder.path(),
        &["--text", &folder.path().display().to_string()],
        &["not a file"],
    );
    let long_template = format!("{} {{{{ messages[0].content }}}}", "w1 ".repeat(20));
    write(folder.path(), "chat_template.jinja", &long_template);
    refused(
        3,
        folder.path(),
        &["--text", &book, "--chat"],
        &["takes 20 tokens, so 16 leave no room"],
    );
}

#[test]
fn without_a_tokenizer_there_are_no_prompts_of_text() {
    let folder = model(100);
    let book = path(&folder, "book.txt");
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    refused(4, folder.path(), &["--text", &book], &["has no tokenizer"]);
    refused_with(
        4,
        &arguments("plan", "card:qwen3-0.6b", &["--text", &book]),
        &["has no tokenizer"],
    );
    accepted(&arguments("plan", "tiny", &["--text", &book]));
    let file = folder.path().join("model.gguf");
    std::fs::write(&file, GgufFile::sound().bytes()).unwrap();
    let file = source("gguf", &file);
    refused_with(
        4,
        &arguments("plan", &file, &["--text", &book]),
        &["the file holds no tokenizer"],
    );
    write(
        folder.path(),
        "tokenizer.json",
        &sound::tokenizer().to_string(),
    );
    refused_with(
        4,
        &arguments("plan", &file, &["--text", &book]),
        &["has id 47, but the embedding has 4 rows"],
    );
}

#[test]
fn a_hostile_template_ends() {
    let folder = model(100);
    let book = path(&folder, "book.txt");
    let templates = [
        (
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
            "fuel",
        ),
        ("{{ 'x' * 10000000000 }}", ""),
        (
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "recursion",
        ),
        ("{{ messages[0].content * 3 }}", "3 times instead of once"),
        ("{{ raise_exception('no') }}", "no"),
        ("{% if %}", "line 1"),
        ("{% include '/etc/passwd' %}", ""),
    ];
    for (template, reason) in templates {
        write(folder.path(), "chat_template.jinja", template);
        refused(
            4,
            folder.path(),
            &["--text", &book, "--chat"],
            &["chat_template.jinja", "chat template", reason],
        );
    }
    std::fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
    std::fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    refused(
        4,
        folder.path(),
        &["--text", &book, "--chat"],
        &["has no chat template", "leave out --chat"],
    );
}

/// A word that takes the tokenizer hours is given up after the time that a standstill may take.
#[test]
fn an_endless_tokenizer_is_given_up() {
    let folder = model(100);
    let mut all = sound::tokenizer();
    let vocabulary = all["model"]["vocab"].clone();
    all["pre_tokenizer"] = Value::Null;
    all["model"] = json!({"type": "WordPiece", "vocab": vocabulary, "unk_token": "w0",
        "continuing_subword_prefix": "", "max_input_chars_per_word": 100_000_000});
    write(folder.path(), "tokenizer.json", &all.to_string());
    write(folder.path(), "word.txt", &"w1".repeat(100_000));
    let word = path(&folder, "word.txt");
    let model = source("dir", folder.path());
    let mut asked = arguments("plan", &model, &["--text", &word]);
    asked.extend(["--no-progress-timeout", "1"]);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mtok"))
        .args(&asked)
        .output()
        .unwrap();
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{talk}");
    assert!(
        talk.contains("tokenizer.json: reading it ended in: no progress for 1 s"),
        "{talk}"
    );
}
