//! What prompts are made of: random ids, or text in the model's own tokens.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[prompts]`; without it prompts are random ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptSection {
    /// A file of prompts, one per line or JSON Lines with `prompt` or `messages`.
    pub file: Option<PathBuf>,
    /// A text that prompts are windows of.
    pub text: Option<PathBuf>,
    /// Whether prompts stand in the model's chat template, as in a served request.
    pub chat: Option<bool>,
}

/// What prompts are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PromptChoice {
    /// Seeded random ids.
    #[default]
    RandomIds,
    /// The beginnings of the prompts of a file.
    Lines {
        /// The file.
        file: PathBuf,
        /// How they are dressed.
        dress: Dress,
    },
    /// Windows of a text.
    Text {
        /// The file.
        file: PathBuf,
        /// How they are dressed.
        dress: Dress,
    },
}

/// What stands around the text of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dress {
    /// What the tokenizer puts before every text.
    Plain,
    /// The model's chat template.
    Chat,
}

impl PromptSection {
    /// This section unless `upper` names a file of its own; the template may be asked for by either.
    #[must_use]
    pub fn overlaid(self, upper: Self) -> Self {
        let chat = upper.chat.or(self.chat);
        if upper.file.is_some() || upper.text.is_some() {
            return Self { chat, ..upper };
        }
        Self { chat, ..self }
    }

    /// What the section asks for.
    pub fn resolved(self) -> Result<PromptChoice, PromptsError> {
        let dress = match self.chat {
            Some(true) => Dress::Chat,
            Some(false) | None => Dress::Plain,
        };
        match (self.file, self.text) {
            (Some(_), Some(_)) => Err(PromptsError::Both),
            (Some(file), None) => Ok(PromptChoice::Lines { file, dress }),
            (None, Some(file)) => Ok(PromptChoice::Text { file, dress }),
            (None, None) if dress == Dress::Chat => Err(PromptsError::NothingToDress),
            (None, None) => Ok(PromptChoice::RandomIds),
        }
    }
}

impl PromptChoice {
    /// The file that prompts come from, and how they are dressed.
    pub fn source(&self) -> Option<(&Path, Dress)> {
        match self {
            Self::RandomIds => None,
            Self::Lines { file, dress } | Self::Text { file, dress } => Some((file, *dress)),
        }
    }
}

impl fmt::Display for PromptChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RandomIds => f.write_str("random ids"),
            Self::Lines { file, .. } => write!(f, "prompts of {}", file.display()),
            Self::Text { file, .. } => write!(f, "windows of {}", file.display()),
        }
    }
}

/// A section that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PromptsError {
    /// Two sources.
    #[error("prompts.file and prompts.text are both set; choose one")]
    Both,
    /// A template without a text.
    #[error("prompts.chat needs a text; set prompts.file or prompts.text too")]
    NothingToDress,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(file: Option<&str>, text: Option<&str>, chat: Option<bool>) -> PromptSection {
        PromptSection {
            file: file.map(PathBuf::from),
            text: text.map(PathBuf::from),
            chat,
        }
    }

    #[test]
    fn random_ids_are_the_default() {
        let choice = PromptSection::default().resolved().unwrap();
        assert_eq!(choice, PromptChoice::RandomIds);
        assert_eq!(choice.source(), None);
    }

    #[test]
    fn one_source_is_enough_and_two_are_too_many() {
        let choice = section(None, Some("book.txt"), Some(true))
            .resolved()
            .unwrap();
        assert_eq!(choice.source(), Some((Path::new("book.txt"), Dress::Chat)));
        let both = section(Some("a"), Some("b"), None).resolved();
        assert_eq!(both, Err(PromptsError::Both));
        let nothing = section(None, None, Some(true)).resolved();
        assert_eq!(nothing, Err(PromptsError::NothingToDress));
    }

    #[test]
    fn a_flag_replaces_the_source_of_the_file_and_keeps_its_template() {
        let file = section(Some("a"), None, Some(true));
        let flags = section(None, Some("b"), None);
        assert_eq!(file.overlaid(flags), section(None, Some("b"), Some(true)));
    }
}
