//! From files to prompts of text: the tokenizer, the chat template and the texts.
//!
//! All three come from strangers, and their readers are the least hardened of all, so this runs in a
//! process of its own ([`TextReader`](super::worker::TextReader)) with bounds on time and memory. What
//! comes back are ids.

pub(crate) mod lines;
pub(crate) mod passages;
mod template;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use self::lines::{Line, Message, Prompt};
use self::passages::{Cut, Passage, Passages};
use self::template::ChatTemplate;
use super::weights::files;
use super::{EngineError, TokenId, config, gguf, tokenizer};
use crate::record::prompts::{PromptFacts, TextFacts};
use crate::study::model::ModelSource;
use crate::study::prompts::{Dress, PromptChoice};

/// The file that holds a tokenizer.
const TOKENIZER: &str = "tokenizer.json";
/// Largest file of prompts or text that is read: a few million tokens.
const TEXT_LIMIT: u64 = 16 << 20;

/// The tokenizer of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerOf {
    /// Its file.
    pub path: PathBuf,
    /// Rows of the model's embedding, which its ids must stay below.
    pub rows: u32,
}

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

/// The tokenizer of a model; `None` where it has none.
pub fn tokenizer_of(source: &ModelSource) -> Result<Option<TokenizerOf>, EngineError> {
    let (folder, rows) = match source {
        ModelSource::Tiny | ModelSource::Card(_) | ModelSource::Hub(_) => return Ok(None),
        ModelSource::Dir(folder) => {
            if !folder.join(TOKENIZER).exists() {
                return Ok(None);
            }
            (folder.as_path(), config::of_folder(folder)?.shape.vocab)
        }
        ModelSource::Gguf(path) => {
            let folder = path.parent().unwrap_or(Path::new(""));
            if !folder.join(TOKENIZER).exists() {
                return Ok(None);
            }
            let file = gguf::GgufFile::open(path)?;
            (folder, file.architecture.shape.vocab)
        }
    };
    let path = folder.join(TOKENIZER);
    Ok(Some(TokenizerOf { path, rows }))
}

/// Checks the tokenizer and reads the texts.
pub fn read(order: &ReadOrder) -> Result<TextSeen, EngineError> {
    let tokenizer = tokenizer::check(&order.tokenizer.path, order.tokenizer.rows)?;
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
    let text = String::from_utf8(bytes).map_err(|_| unfit("not UTF-8".to_owned()))?;
    let folder = order.tokenizer.path.parent().unwrap_or(Path::new(""));
    let template = match dress {
        Dress::Plain => None,
        Dress::Chat => Some(ChatTemplate::read(folder)?),
    };
    let maker = Maker {
        tokenizer,
        path: &order.tokenizer.path,
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
        tokenizer_sha256: files::sha256(&order.tokenizer.path)?,
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
    path: &'a Path,
    template: Option<&'a ChatTemplate>,
    /// No prompt needs more tokens than this.
    longest: Option<u32>,
}

/// Ids of a text, those that the tokenizer puts before it apart.
struct Encoded {
    special: Vec<TokenId>,
    ids: Vec<TokenId>,
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
        let Encoded { special, ids } = self.encode(text, Special::Added)?;
        Ok(Passage {
            head: special,
            body: ids,
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
        let ids = |text: &str| Ok::<_, Failure>(self.encode(text, Special::Written)?.ids);
        Ok(Passage {
            head: ids(&frame.head)?,
            body: ids(text)?,
            tail: ids(&frame.tail)?,
        })
    }

    fn encode(&self, text: &str, special: Special) -> Result<Encoded, EngineError> {
        let refuse = |error: tokenizers::Error| {
            let words = error
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            EngineError::model(
                self.path.display(),
                format!("cannot encode a text: {words}"),
            )
        };
        match special {
            Special::Written => {
                let encoding = self.tokenizer.encode_fast(text, false).map_err(refuse)?;
                Ok(Encoded {
                    special: Vec::new(),
                    ids: encoding.get_ids().to_vec(),
                })
            }
            Special::Added => {
                let encoding = self.tokenizer.encode_fast(text, true).map_err(refuse)?;
                let (ids, mask) = (encoding.get_ids(), encoding.get_special_tokens_mask());
                let before = mask.iter().take_while(|special| **special == 1).count();
                let after = mask[before..]
                    .iter()
                    .rev()
                    .take_while(|special| **special == 1)
                    .count();
                Ok(Encoded {
                    special: ids[..before].to_vec(),
                    ids: ids[before..ids.len() - after].to_vec(),
                })
            }
        }
    }
}

/// Who puts the special tokens around a text.
#[derive(Clone, Copy)]
enum Special {
    /// The tokenizer.
    Added,
    /// They are in the text already.
    Written,
}

#[cfg(test)]
mod tests;
