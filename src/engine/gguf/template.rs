//! The chat template in the metadata of a GGUF file.

use super::entries::Entries;
use super::reader::Refusal;
use super::tokenizer::{TOKENS, text_of};

const TEMPLATE: &str = "tokenizer.chat_template";

/// The chat template of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredTemplate {
    /// Its text.
    pub(crate) source: String,
    /// The text that begins a sequence; empty where there is none.
    pub(crate) bos: String,
    /// The text that ends one; empty where there is none.
    pub(crate) eos: String,
}

impl StoredTemplate {
    /// Reads the keys of a file.
    pub(super) fn read(entries: Entries<'_>) -> Result<Option<Self>, Refusal> {
        let Some(source) = entries.text(TEMPLATE)? else {
            return Ok(None);
        };
        let tokens = entries.texts(TOKENS)?.unwrap_or_default();
        let text = |name: &str| {
            let id = entries.integer(&format!("tokenizer.ggml.{name}_token_id"))?;
            let text = id.and_then(|id| text_of(&tokens, id)).unwrap_or_default();
            Ok(text.to_owned())
        };
        Ok(Some(Self {
            source: source.to_owned(),
            bos: text("bos")?,
            eos: text("eos")?,
        }))
    }
}
