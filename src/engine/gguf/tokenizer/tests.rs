//! Files of `tests/fixtures/gguf/words.py`, each against the tokenizer that it was made from.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::super::GgufFile;
use super::super::export::{self, export};
use super::*;
use crate::engine::tiny;
use crate::study::model::{ModelSource, Precision};

/// Ids by text, by file.
type Expected = BTreeMap<String, BTreeMap<String, Vec<u32>>>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf")
}

fn file(name: &str) -> GgufFile {
    GgufFile::open(&folder().join(format!("words-{name}.gguf"))).unwrap()
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let encoding = tokenizer.encode_fast(text, true).unwrap();
    encoding.get_ids().to_vec()
}

#[test]
fn tokens_are_those_of_the_tokenizer_that_a_file_was_made_from() {
    let expected = std::fs::read_to_string(folder().join("words.json")).unwrap();
    let expected: Expected = serde_json::from_str(&expected).unwrap();
    assert_eq!(expected.len(), 5);
    for (name, texts) in &expected {
        let tokenizer = file(name).tokenizer().unwrap();
        assert!(texts.len() >= 10, "{name}");
        for (text, expected) in texts {
            assert_eq!(&ids(&tokenizer, text), expected, "{name}: {text:?}");
        }
    }
}

#[test]
fn a_written_file_has_the_tokens_of_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let order = export::Order {
        source: &ModelSource::Tiny,
        precision: Precision::Q8_0,
        importance: None,
        path: &path,
    };
    export(order, &mut |_| ControlFlow::Continue(())).unwrap();
    let written = GgufFile::open(&path).unwrap();
    let (tokenizer, own) = (written.tokenizer().unwrap(), tiny::tokenizer().unwrap());
    let beginning: String = tiny::HELD_OUT.chars().take(50_000).collect();
    let texts = [
        beginning.as_str(),
        "<|endoftext|>x",
        "",
        "Größe 12\n\n  été 你好 \u{1f600}",
    ];
    for text in texts {
        assert_eq!(ids(&tokenizer, text), ids(&own, text));
    }
    assert_ne!(written.tokenizer_digest(), file("gpt-2").tokenizer_digest());
}

#[test]
fn the_template_comes_with_the_texts_that_it_is_called_with() {
    let template = file("llama-bpe").chat_template().unwrap().unwrap();
    assert!(template.source.contains("for m in messages"));
    assert_eq!(
        (template.bos.as_str(), template.eos.as_str()),
        ("<|begin|>", "<|end|>")
    );
    assert_eq!(file("pieces").chat_template().unwrap(), None);
}

#[test]
fn of_two_ways_to_a_piece_the_longer_left_side_comes_first() {
    let pieces = [("a", -3.0), ("aa", -2.0), ("aaa", -1.0), ("b", -4.0)];
    let pair = |left: &str, right: &str| (left.to_owned(), right.to_owned());
    assert_eq!(
        merges_to(&pieces),
        [pair("aa", "a"), pair("a", "aa"), pair("a", "a")]
    );
}
