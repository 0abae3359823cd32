//! The tokenizer of a model, read where a panic or an endless loop of its parser stays contained.

use std::path::{Path, PathBuf};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use super::gguf::GgufFile;
use super::weights::files;
use super::{EngineError, TokenId, config, tiny};
use crate::study::model::ModelSource;

/// The file that holds a tokenizer.
pub(super) const TOKENIZER: &str = "tokenizer.json";
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

/// The tokenizer of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TokenizerOf {
    /// A `tokenizer.json`.
    File {
        /// The file.
        path: PathBuf,
        /// Rows of the model's embedding, which its ids must stay below.
        rows: u32,
    },
    /// In the metadata of a GGUF file.
    Gguf {
        /// The file.
        path: PathBuf,
    },
    /// That of the small model.
    Tiny,
}

impl TokenizerOf {
    /// Where the tokenizer of a model is; `None` where it has none. A `tokenizer.json` beside a GGUF file
    /// was put there to be taken in place of the file's own.
    pub fn model(source: &ModelSource) -> Result<Option<Self>, EngineError> {
        let path = match source {
            ModelSource::Tiny => return Ok(Some(Self::Tiny)),
            ModelSource::Card(_) | ModelSource::Hub(_) => return Ok(None),
            ModelSource::Dir(folder) => folder.join(TOKENIZER),
            ModelSource::Gguf(file) => file.with_file_name(TOKENIZER),
        };
        match (path.exists(), source) {
            (true, _) => {
                let rows = rows(source)?;
                Ok(rows.map(|rows| Self::File { path, rows }))
            }
            (false, ModelSource::Gguf(file)) => Ok(Some(Self::Gguf { path: file.clone() })),
            (false, _) => Ok(None),
        }
    }

    /// The tokenizer that a text for a model is read with: the `given` one in place of its own.
    pub fn reading(source: &ModelSource, given: Option<&Path>) -> Result<Self, EngineError> {
        let found = match given {
            Some(path) => rows(source)?.map(|rows| Self::File {
                path: path.to_owned(),
                rows,
            }),
            None => Self::model(source)?,
        };
        found.ok_or_else(|| {
            let reason = format!("has no {TOKENIZER}; give one with --tokenizer");
            EngineError::model(source, reason)
        })
    }

    /// Where it is, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::File { path, .. } | Self::Gguf { path } => path.display().to_string(),
            Self::Tiny => tiny::NAME.to_owned(),
        }
    }

    /// Reads and checks it.
    pub(super) fn read(&self) -> Result<Tokenizer, EngineError> {
        match self {
            Self::File { path, rows } => check(path, *rows),
            // A file with more tokens than rows does not open.
            Self::Gguf { path } => GgufFile::open(path)?.tokenizer(),
            Self::Tiny => tiny::tokenizer(),
        }
    }

    /// SHA-256 of the file, or of keys and values in the metadata.
    pub(super) fn sha256(&self) -> Result<String, EngineError> {
        match self {
            Self::File { path, .. } => files::sha256(path),
            Self::Gguf { path } => Ok(GgufFile::open(path)?.tokenizer_digest()),
            Self::Tiny => Ok(files::sha256_of(tiny::TOKENIZER)),
        }
    }
}

/// Reads the tokenizer of a model that is on this machine.
pub(crate) fn of_model(source: &ModelSource) -> Result<Tokenizer, EngineError> {
    TokenizerOf::reading(source, None)?.read()
}

/// Reads a tokenizer that is used in place of a model's own.
pub(crate) fn in_place_of(source: &ModelSource, path: &Path) -> Result<Tokenizer, EngineError> {
    match rows(source)? {
        Some(rows) => check(path, rows),
        None => load(path),
    }
}

/// Rows of the embedding of a model whose files are on this machine.
fn rows(source: &ModelSource) -> Result<Option<u32>, EngineError> {
    Ok(match source {
        ModelSource::Tiny => Some(tiny::architecture().shape.vocab),
        ModelSource::Dir(folder) => Some(config::of_folder(folder)?.shape.vocab),
        ModelSource::Gguf(path) => Some(GgufFile::open(path)?.architecture.shape.vocab),
        ModelSource::Card(_) | ModelSource::Hub(_) => None,
    })
}

/// The ids of a text, what the tokenizer puts before it apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// Before the text.
    pub(crate) before: Vec<TokenId>,
    /// The text.
    pub(crate) ids: Vec<TokenId>,
}

/// The ids of a text as the tokenizer begins it.
pub(crate) fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Encoded, String> {
    let encoding = tokenizer.encode_fast(text, true).map_err(cannot_encode)?;
    let (ids, special) = (encoding.get_ids(), encoding.get_special_tokens_mask());
    let count = |mask: &mut dyn Iterator<Item = &u32>| mask.take_while(|mask| **mask == 1).count();
    let before = count(&mut special.iter());
    let after = count(&mut special[before..].iter().rev());
    Ok(Encoded {
        before: ids[..before].to_vec(),
        ids: ids[before..ids.len() - after].to_vec(),
    })
}

/// The ids of a text that holds its special tokens already.
pub(crate) fn ids(tokenizer: &Tokenizer, text: &str) -> Result<Vec<TokenId>, String> {
    let encoding = tokenizer.encode_fast(text, false).map_err(cannot_encode)?;
    Ok(encoding.get_ids().to_vec())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn cannot_encode(error: tokenizers::Error) -> String {
    let words = error.to_string();
    let words: Vec<&str> = words.split_whitespace().collect();
    format!("cannot encode a text: {}", words.join(" "))
}

fn parse(bytes: Vec<u8>) -> Result<Tokenizer, String> {
    contained(move || Tokenizer::from_bytes(bytes).map_err(|error| error.to_string()))
}

/// Makes a tokenizer on a thread of its own, which may panic or be given up.
pub(super) fn contained(
    make: impl FnOnce() -> Result<Tokenizer, String> + Send + 'static,
) -> Result<Tokenizer, String> {
    keep_panics_quiet();
    let (sender, receiver) = mpsc::channel();
    let parser = thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || {
            // Nobody listens any more when the patience is over.
            let _ = sender.send(make());
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
