//! From files to prompts of text: the tokenizer, the chat template and the texts.
//!
//! All three come from strangers, and their readers are the least hardened of all, so this runs in a
//! process of its own ([`TextReader`](super::worker::TextReader)) with bounds on time and memory. What
//! comes back are ids.

pub(crate) mod lines;
pub(crate) mod passages;
mod template;

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use self::lines::{Line, Message, Prompt};
use self::passages::{Cut, Passage, Passages};
use self::template::ChatTemplate;
pub use super::tokenizer::TokenizerOf;
use super::weights::files;
use super::{EngineError, tokenizer};
use crate::record::prompts::{PromptFacts, TextFacts};
use crate::study::prompts::{Dress, PromptChoice};

/// Largest file of prompts or text that is read: a few million tokens.
const TEXT_LIMIT: u64 = 16 << 20;

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOrder {
    /// The tokenizer, which is checked in any case.
    pub tokenizer: TokenizerOf,
    /// What prompts are to be made of.
    pub prompts: PromptChoice,
    /// Lengths of the prompts.
    pub lengths: Vec<NonZeroU32>,
    /// Most rows of one generation, each of which gets another prompt.
    pub batch: u32,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextSeen {
    /// The tokenizer is in order, and no text was asked for.
    Checked,
    /// Texts as ids.
    Prompts(Texts),
    /// The tokenizer is in order, but the user's file cannot serve.
    Unfit {
        /// The file, and the line in it where there is one.
        place: String,
        /// Why not.
        reason: String,
    },
}

/// Texts as ids, and what the record says of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// What prompts are cut from.
    pub passages: Passages,
    /// What they are.
    pub facts: PromptFacts,
}

/// Why texts could not be read.
enum Failure {
    Model(EngineError),
    Unfit { place: String, reason: String },
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Model(error)
    }
}

/// Checks the tokenizer and reads the texts.
pub fn read(order: &ReadOrder) -> Result<TextSeen, EngineError> {
    let tokenizer = order.tokenizer.read()?;
    match texts(order, &tokenizer) {
        Ok(None) => Ok(TextSeen::Checked),
        Ok(Some(texts)) => Ok(TextSeen::Prompts(texts)),
        Err(Failure::Model(error)) => Err(error),
        Err(Failure::Unfit { place, reason }) => Ok(TextSeen::Unfit { place, reason }),
    }
}

fn texts(order: &ReadOrder, tokenizer: &Tokenizer) -> Result<Option<Texts>, Failure> {
    let Some((file, dress)) = order.prompts.source() else {
        return Ok(None);
    };
    let unfit = |reason: String| Failure::Unfit {
        place: file.display().to_string(),
        reason,
    };
    let bytes = files::read(file, TEXT_LIMIT).map_err(|error| match error {
        EngineError::Model { place, reason } => Failure::Unfit { place, reason },
        other => Failure::Model(other),
    })?;
    let sha256 = files::sha256_of(&bytes);
    let text = String::from_utf8(bytes).map_err(|error| unfit(format!("not UTF-8: {error}")))?;
    let template = match dress {
        Dress::Plain => None,
        Dress::Chat => Some(ChatTemplate::read(&order.tokenizer)?),
    };
    let maker = Maker {
        tokenizer,
        place: order.tokenizer.place(),
        template: template.as_ref(),
        longest: order.lengths.iter().map(|length| length.get()).max(),
    };
    let lines = match &order.prompts {
        PromptChoice::Lines { .. } => lines::read(&text, &file.to_string_lossy()).map_err(unfit)?,
        PromptChoice::Text { .. } | PromptChoice::RandomIds => Vec::new(),
    };
    let passages = match &order.prompts {
        PromptChoice::Lines { .. } => maker.prompts(&lines).map_err(|failure| match failure {
            Failure::Unfit { reason, .. } => unfit(reason),
            model @ Failure::Model(_) => model,
        })?,
        PromptChoice::Text { .. } | PromptChoice::RandomIds => maker.text(&text)?,
    };
    for length in &order.lengths {
        if let Some(reason) = passages.misfit(length.get() as usize, order.batch as usize) {
            return Err(unfit(reason));
        }
    }
    let facts = TextFacts {
        sha256,
        texts: passages.all.len() as u64,
        tokens: passages.tokens(),
        tokenizer_sha256: order.tokenizer.sha256()?,
        template_sha256: template.map(|template| files::sha256_of(template.source.as_bytes())),
    };
    let facts = match passages.cut {
        Cut::Front => PromptFacts::Lines(facts),
        Cut::Anywhere => PromptFacts::Text(facts),
    };
    Ok(Some(Texts { passages, facts }))
}

/// Makes passages of texts.
struct Maker<'a> {
    tokenizer: &'a Tokenizer,
    /// Where the tokenizer is.
    place: String,
    template: Option<&'a ChatTemplate>,
    /// No prompt needs more tokens than this.
    longest: Option<u32>,
}

impl Maker<'_> {
    /// One long text.
    fn text(&self, text: &str) -> Result<Passages, Failure> {
        let messages = [Message {
            role: "user".to_owned(),
            content: String::new(),
        }];
        let passage = match self.template {
            Some(template) => self.dressed(template, &messages, text)?,
            None => self.plain(text)?,
        };
        Ok(Passages {
            cut: Cut::Anywhere,
            all: vec![passage],
        })
    }

    /// Prompts of a file, cut to the longest that is needed.
    fn prompts(&self, lines: &[Line]) -> Result<Passages, Failure> {
        let all = lines
            .iter()
            .map(|line| {
                let mut passage = self.prompt(line)?;
                passage
                    .body
                    .truncate(self.longest.map_or(0, |longest| longest as usize));
                Ok(passage)
            })
            .collect::<Result<Vec<Passage>, Failure>>()?;
        Ok(Passages {
            cut: Cut::Front,
            all,
        })
    }

    fn prompt(&self, line: &Line) -> Result<Passage, Failure> {
        match (&line.prompt, self.template) {
            (Prompt::Text(text), None) => self.plain(text),
            (Prompt::Text(text), Some(template)) => {
                let message = Message {
                    role: "user".to_owned(),
                    content: String::new(),
                };
                self.dressed(template, &[message], text)
            }
            (Prompt::Messages(messages), Some(template)) => {
                let text = messages.last().map_or("", |last| last.content.as_str());
                self.dressed(template, messages, text)
            }
            (Prompt::Messages(_), None) => Err(Failure::Unfit {
                place: String::new(),
                reason: format!(
                    "line {}: messages need the model's chat template; add --chat",
                    line.number
                ),
            }),
        }
    }

    /// A text as the tokenizer has it.
    fn plain(&self, text: &str) -> Result<Passage, Failure> {
        let encoded =
            tokenizer::encode(self.tokenizer, text).map_err(|reason| self.refuse(reason))?;
        Ok(Passage {
            head: encoded.before,
            body: encoded.ids,
            tail: Vec::new(),
        })
    }

    /// A text as the last message of a conversation. The template writes its own special tokens.
    fn dressed(
        &self,
        template: &ChatTemplate,
        messages: &[Message],
        text: &str,
    ) -> Result<Passage, Failure> {
        let frame = template.frame(messages)?;
        let ids = |text: &str| {
            let ids = tokenizer::ids(self.tokenizer, text);
            ids.map_err(|reason| self.refuse(reason))
        };
        Ok(Passage {
            head: ids(&frame.head)?,
            body: ids(text)?,
            tail: ids(&frame.tail)?,
        })
    }

    fn refuse(&self, reason: String) -> EngineError {
        EngineError::model(&self.place, reason)
    }
}

#[cfg(test)]
mod tests;
