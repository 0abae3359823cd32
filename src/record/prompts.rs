//! What prompts were made of. Texts are never stored, only what identifies them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Digits of a hash that a reader compares.
const SHOWN_HASH: usize = 16;

/// What prompts were made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PromptFacts {
    /// Seeded random ids.
    #[default]
    RandomIds,
    /// The beginnings of the prompts of a file.
    Lines(TextFacts),
    /// Windows of a text.
    Text(TextFacts),
}

/// What identifies texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TextFacts {
    /// SHA-256 of the file.
    pub sha256: String,
    /// Texts in it.
    pub texts: u64,
    /// Tokens of them that prompts were cut from.
    pub tokens: u64,
    /// SHA-256 of the tokenizer.
    pub tokenizer_sha256: String,
    /// SHA-256 of the chat template that the prompts stand in, if they do.
    pub template_sha256: Option<String>,
}

impl fmt::Display for PromptFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RandomIds => f.write_str("seeded random ids"),
            Self::Lines(text) => {
                let TextFacts { texts, tokens, .. } = text;
                write!(f, "cut from {texts} prompts of {tokens} tokens, {text}")
            }
            Self::Text(text) => write!(f, "windows of a text of {} tokens, {text}", text.tokens),
        }
    }
}

impl fmt::Display for TextFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |hash: &str| hash.get(..SHOWN_HASH).unwrap_or(hash).to_owned();
        write!(
            f,
            "sha256 {}, by the tokenizer sha256 {}, ",
            short(&self.sha256),
            short(&self.tokenizer_sha256)
        )?;
        match &self.template_sha256 {
            Some(hash) => write!(f, "in the chat template sha256 {}", short(hash)),
            None => f.write_str("without a chat template"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_by_their_hashes() {
        let text = TextFacts {
            sha256: "ab".repeat(32),
            texts: 3,
            tokens: 700,
            tokenizer_sha256: "cd".repeat(32),
            template_sha256: None,
        };
        let chat = TextFacts {
            template_sha256: Some("ef".repeat(32)),
            ..text.clone()
        };
        assert_eq!(PromptFacts::RandomIds.to_string(), "seeded random ids");
        assert_eq!(
            PromptFacts::Lines(text).to_string(),
            "cut from 3 prompts of 700 tokens, sha256 abababababababab, by the tokenizer sha256 \
             cdcdcdcdcdcdcdcd, without a chat template"
        );
        assert_eq!(
            PromptFacts::Text(chat).to_string(),
            "windows of a text of 700 tokens, sha256 abababababababab, by the tokenizer sha256 \
             cdcdcdcdcdcdcdcd, in the chat template sha256 efefefefefefefef"
        );
    }

    #[test]
    fn a_record_without_them_had_random_ids() {
        #[derive(Deserialize)]
        struct Session {
            #[serde(default)]
            prompts: PromptFacts,
        }
        let old: Session = serde_json::from_str("{}").unwrap();
        assert_eq!(old.prompts, PromptFacts::RandomIds);
    }
}
