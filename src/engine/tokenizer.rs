//! `tokenizer.json`, read where a panic or an endless loop of its parser stays contained.

use std::path::Path;
use std::sync::{Once, mpsc};
use std::thread;
use std::time::Duration;

use tokenizers::Tokenizer;

use super::weights::files;
use super::{EngineError, TokenId, tiny};
use crate::study::model::ModelSource;

/// Largest `tokenizer.json` that is read; Gemma's, the largest in use, has 33 MB.
const LIMIT: u64 = 64 << 20;
/// Longest that parsing may take; the largest in use takes a few seconds on a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Name of the thread that parses, whose panics are reported as errors and not on stderr.
const THREAD: &str = "tokenizer";

/// Reads a tokenizer and refuses one that has ids beyond the rows of the embedding.
pub(crate) fn check(path: &Path, rows: u32) -> Result<Tokenizer, EngineError> {
    let tokenizer = load(path)?;
    let vocabulary = tokenizer.get_vocab(true);
    match vocabulary.into_iter().max_by_key(|(_, id)| *id) {
        Some((token, id)) if id >= rows => Err(EngineError::model(
            path.display(),
            format!(
                "token {token:?} has id {id}, but the embedding has {rows} rows; the tokenizer \
                 belongs to another model"
            ),
        )),
        Some(_) => Ok(tokenizer),
        None => Err(EngineError::model(
            path.display(),
            "the vocabulary is empty",
        )),
    }
}

/// Parses a tokenizer.
pub(crate) fn load(path: &Path) -> Result<Tokenizer, EngineError> {
    let bytes = files::read(path, LIMIT)?;
    from_bytes(bytes, path.display())
}

/// Parses a tokenizer from the bytes of a file at `place`.
pub(crate) fn from_bytes(
    bytes: Vec<u8>,
    place: impl std::fmt::Display,
) -> Result<Tokenizer, EngineError> {
    parse(bytes).map_err(|reason| EngineError::model(place, reason))
}

/// The tokenizer that comes with a model.
pub(super) fn of_model(source: &ModelSource) -> Result<Tokenizer, EngineError> {
    let missing = |reason: &str| Err(EngineError::model(source, reason));
    match source {
        ModelSource::Dir(folder) => load(&folder.join("tokenizer.json")),
        ModelSource::Tiny => tiny::tokenizer(),
        ModelSource::Hub(_) => missing("is fetched before it is opened"),
        ModelSource::Card(_) => missing("random weights have no quality; take a checkpoint"),
        ModelSource::Gguf(_) => missing(
            "the tokenizer of a GGUF file is not read; give the model's tokenizer.json with --tokenizer",
        ),
    }
}

/// The ids of a text alone, and the id that the tokenizer puts before a text, where it does.
pub(super) fn encode(
    tokenizer: &Tokenizer,
    text: &str,
) -> Result<(Vec<TokenId>, Option<TokenId>), EngineError> {
    let ids = |text: &str, with_special: bool| {
        let encoding = tokenizer.encode_fast(text, with_special);
        let refuse = |error: tokenizers::Error| EngineError::model("tokenizer", error.to_string());
        encoding.map_err(refuse).map(|e| e.get_ids().to_vec())
    };
    let around_nothing = ids("", true)?;
    Ok((ids(text, false)?, around_nothing.first().copied()))
}

fn parse(bytes: Vec<u8>) -> Result<Tokenizer, String> {
    keep_panics_quiet();
    let (sender, receiver) = mpsc::channel();
    let parser = thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || {
            let outcome = Tokenizer::from_bytes(bytes).map_err(|error| error.to_string());
            // Nobody listens any more when the patience is over.
            let _ = sender.send(outcome);
        })
        .map_err(|error| format!("no thread to parse it: {error}"))?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(outcome) => outcome.map_err(|error| error.lines().collect::<Vec<_>>().join(" ")),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!(
            "parsing did not end within {} s",
            PATIENCE.as_secs()
        )),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(match parser.join() {
            Err(panic) => format!("the parser panicked: {}", words_of(panic.as_ref())),
            Ok(()) => "the parser ended without a result".to_owned(),
        }),
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

/// Lets the panic hook pass over the parsing thread, whose panics become errors.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(THREAD) {
                previous(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = r#"{
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 7}, "unk_token": "a"}
    }"#;

    #[track_caller]
    fn refused(text: &str, rows: u32, reason: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, text).unwrap();
        let message = check(&path, rows).unwrap_err().to_string();
        assert!(message.contains("tokenizer.json"), "{message}");
        assert!(message.contains(reason), "{message}");
    }

    #[test]
    fn ids_beyond_the_embedding_are_refused() {
        refused(WORDS, 7, "id 7, but the embedding has 7 rows");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, WORDS).unwrap();
        check(&path, 8).unwrap();
    }

    #[test]
    fn a_broken_file_is_refused() {
        refused("{", 8, "EOF");
        refused(&WORDS.replace("WordLevel", "Oracle"), 8, "");
    }

    /// A merge that is shorter than the prefix of its second part makes the parser slice out of range.
    #[test]
    fn a_panic_of_the_parser_is_an_error() {
        let crafted = r#"{
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
            "model": {"type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": "ABCD", "end_of_word_suffix": null,
                "fuse_unk": false, "byte_fallback": false,
                "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
        }"#;
        refused(crafted, 8, "the parser panicked");
    }
}
