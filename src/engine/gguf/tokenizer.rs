//! The tokenizer in the metadata of a GGUF file.
//!
//! llama.cpp keeps tokens, merges or scores, and the name of the way in which text is split. From these
//! come the steps of the tokenizer.json that the file was made from. A way that is not known here is
//! refused, since text split in another way gives other tokens and nothing says so.

use std::collections::HashSet;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{NFC, NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::{SpecialToken, TemplateProcessing};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, Tokenizer};

use super::entries::{Entries, refuse};
use super::reader::Refusal;
use super::vocabulary::PATTERNS;

/// What the keys of a tokenizer begin with.
pub(super) const KEYS: &str = "tokenizer.";
const MODEL: &str = "tokenizer.ggml.model";
const WAY: &str = "tokenizer.ggml.pre";
/// The texts of all ids.
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
const KINDS: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const SCORES: &str = "tokenizer.ggml.scores";
const UNKNOWN: &str = "tokenizer.ggml.unknown_token_id";
const SPACE: &str = "tokenizer.ggml.add_space_prefix";
/// What to do where a tokenizer cannot be had from the metadata.
const REMEDY: &str =
    "give the tokenizer.json of its model with --tokenizer, or put it beside the file";

/// Bytes of a piece that is put together from others; those in use have below a hundred.
const PIECE: usize = 256;
/// How SentencePiece writes a space.
const SPACE_MARK: &str = "\u{2581}";
/// Begins and ends a text in the template of the two.
const BEFORE: &str = "before";
const AFTER: &str = "after";

/// A vocabulary and what is done with it, checked as far as building it relies on.
#[derive(Debug, PartialEq)]
pub(super) struct Vocabulary {
    /// Texts by id.
    tokens: Vec<String>,
    /// Tokens that are found in a text as they are.
    added: Vec<AddedToken>,
    model: Model,
    /// The ids that are put around a text.
    before: Option<u32>,
    after: Option<u32>,
}

/// How a text becomes tokens.
#[derive(Debug, PartialEq)]
enum Model {
    /// Bytes are joined, the earliest of the merges first.
    Bytes { way: Way, merges: Vec<Merge> },
    /// Pieces of text are joined, the best of those that result first.
    Pieces {
        merges: Vec<Merge>,
        unknown: String,
        begin: Begin,
    },
}

/// Two tokens that are joined.
type Merge = (String, String);

/// How text is split into words before bytes are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Gpt2,
    Llama3,
    Qwen2,
    SmolLm,
}

/// What SentencePiece does with the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// It gets a space.
    WithSpace,
    /// It stays as it is.
    AsIs,
}

/// Ways by the names that llama.cpp gives them.
const WAYS: [(&str, Way); 7] = [
    ("gpt-2", Way::Gpt2),
    ("llama-bpe", Way::Llama3),
    ("llama3", Way::Llama3),
    ("llama-v3", Way::Llama3),
    ("qwen2", Way::Qwen2),
    ("deepseek-r1-qwen", Way::Qwen2),
    ("smollm", Way::SmolLm),
];

/// Kinds of tokens, as llama.cpp numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    /// Found in a text as it is, and special.
    Control,
    /// Found in a text as it is.
    UserDefined,
    /// Never the result of a merge and not looked for: bytes, and ids without a meaning.
    Other,
}

impl Vocabulary {
    /// Reads the keys of a file.
    pub(super) fn read(entries: Entries<'_>) -> Result<Self, Refusal> {
        let model = entries
            .text(MODEL)?
            .ok_or_else(|| refuse(MODEL, format!("the file holds no tokenizer; {REMEDY}")))?;
        let tokens = needed(TOKENS, entries.texts(TOKENS)?)?;
        let kinds = kinds(&needed(KINDS, entries.numbers(KINDS)?)?, tokens.len())?;
        refuse_doubles(&tokens)?;
        let model = match model {
            "gpt2" => bytes(entries, &tokens)?,
            "llama" => pieces(entries, &tokens, &kinds)?,
            other => {
                let reason = format!("tokenizers of the kind {other:?} are not read; {REMEDY}");
                return Err(refuse(MODEL, reason));
            }
        };
        let adds = |name: &str| entries.truth(&format!("tokenizer.ggml.add_{name}_token"));
        let begins = adds("bos")?.unwrap_or_else(|| model.begins_texts());
        let ends = adds("eos")?.unwrap_or(false);
        let id = |name: &str| id_of(entries, &tokens, name);
        Ok(Self {
            before: begins.then(|| id("bos")).transpose()?,
            after: ends.then(|| id("eos")).transpose()?,
            added: added(&tokens, &kinds),
            tokens: tokens.into_iter().map(str::to_owned).collect(),
            model,
        })
    }

    /// The tokenizer.
    pub(super) fn build(self) -> Result<Tokenizer, String> {
        self.assemble().map_err(|error| error.to_string())
    }

    fn assemble(self) -> tokenizers::Result<Tokenizer> {
        let around = around(&self)?;
        let ids = (0_u32..).zip(self.tokens).map(|(id, token)| (token, id));
        let vocabulary: Vocab = ids.collect();
        let mut tokenizer = match self.model {
            Model::Bytes { way, merges } => {
                let model = BPE::builder()
                    .vocab_and_merges(vocabulary, merges)
                    .ignore_merges(way == Way::Llama3);
                let mut tokenizer = Tokenizer::new(model.build()?);
                if way == Way::Qwen2 {
                    tokenizer.with_normalizer(Some(NFC))?;
                }
                tokenizer.with_pre_tokenizer(Some(way.steps()?));
                tokenizer
            }
            Model::Pieces {
                merges,
                unknown,
                begin,
            } => {
                let model = BPE::builder()
                    .vocab_and_merges(vocabulary, merges)
                    .unk_token(unknown)
                    .fuse_unk(true)
                    .byte_fallback(true);
                let mut tokenizer = Tokenizer::new(model.build()?);
                tokenizer.with_normalizer(Some(begin.steps()?))?;
                tokenizer
            }
        };
        tokenizer.add_tokens(self.added)?;
        tokenizer.with_post_processor(around);
        Ok(tokenizer)
    }
}

impl Model {
    /// Whether its texts get a beginning where the file says nothing of it.
    fn begins_texts(&self) -> bool {
        match self {
            Self::Bytes { way, .. } => *way == Way::Llama3,
            Self::Pieces { .. } => true,
        }
    }
}

impl Way {
    /// The steps of the tokenizer.json.
    fn steps(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let whole = ByteLevel::new(false, true, true);
        let named = |name: &str| {
            let known = PATTERNS.iter().find(|(_, known)| *known == name);
            let (pattern, _) = known.expect("the patterns have these names");
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
            let bytes = ByteLevel::new(false, true, false);
            Ok(Sequence::new(vec![split.into(), bytes.into()]).into())
        };
        match self {
            Self::Gpt2 => Ok(whole.into()),
            Self::Llama3 => named("llama-bpe"),
            Self::Qwen2 => named("qwen2"),
            Self::SmolLm => Ok(Sequence::new(vec![Digits::new(true).into(), whole.into()]).into()),
        }
    }
}

impl Begin {
    /// The steps of the tokenizer.json.
    fn steps(self) -> tokenizers::Result<Normalizers> {
        let marks: NormalizerWrapper = Replace::new(" ", SPACE_MARK)?.into();
        Ok(Normalizers::new(match self {
            Self::WithSpace => vec![Prepend::new(SPACE_MARK.to_owned()).into(), marks],
            Self::AsIs => vec![marks],
        }))
    }
}

/// What puts the ids around a text.
fn around(vocabulary: &Vocabulary) -> tokenizers::Result<Option<TemplateProcessing>> {
    let ends = [(BEFORE, vocabulary.before), (AFTER, vocabulary.after)];
    let mut special = Vec::new();
    for (name, id) in ends.into_iter().filter_map(|(name, id)| Some((name, id?))) {
        let text = vocabulary.tokens[id as usize].clone();
        special.push(SpecialToken::new(name.to_owned(), vec![id], vec![text])?);
    }
    let mut pieces = vec!["$A"];
    if vocabulary.before.is_some() {
        pieces.insert(0, BEFORE);
    }
    if vocabulary.after.is_some() {
        pieces.push(AFTER);
    }
    if special.is_empty() {
        return Ok(None);
    }
    let template = TemplateProcessing::builder()
        .try_single(pieces)?
        .special_tokens(special)
        .build()?;
    Ok(Some(template))
}

fn needed<T>(key: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| refuse(key, format!("missing; {REMEDY}")))
}

/// A byte-level vocabulary with its merges.
fn bytes(entries: Entries<'_>, tokens: &[&str]) -> Result<Model, Refusal> {
    let name = needed(WAY, entries.text(WAY)?)?;
    let Some((_, way)) = WAYS.iter().find(|(known, _)| *known == name) else {
        let known = WAYS.map(|(name, _)| name).join(", ");
        let reason = format!("text split as {name:?} is not supported, as {known} it is; {REMEDY}");
        return Err(refuse(WAY, reason));
    };
    let known: HashSet<&str> = tokens.iter().copied().collect();
    let merge = |pair: &str| {
        let (left, right) = pair.split_once(' ')?;
        let joined = [left, right].concat();
        let there = [left, right, &joined]
            .iter()
            .all(|text| known.contains(text));
        there.then(|| (left.to_owned(), right.to_owned()))
    };
    let merges = needed(MERGES, entries.texts(MERGES)?)?
        .into_iter()
        .map(|pair| {
            merge(pair).ok_or_else(|| {
                refuse(
                    MERGES,
                    format!("{pair:?} does not join two tokens to a third"),
                )
            })
        });
    let merges = merges.collect::<Result<Vec<Merge>, Refusal>>()?;
    Ok(Model::Bytes { way: *way, merges })
}

/// The pieces of SentencePiece.
fn pieces(entries: Entries<'_>, tokens: &[&str], kinds: &[Kind]) -> Result<Model, Refusal> {
    let scores = needed(SCORES, entries.numbers(SCORES)?)?;
    if scores.len() != tokens.len() {
        let reason = format!("{} scores for {} tokens", scores.len(), tokens.len());
        return Err(refuse(SCORES, reason));
    }
    let normal: Vec<(&str, f64)> = tokens
        .iter()
        .zip(kinds)
        .zip(scores)
        .filter(|((_, kind), _)| **kind == Kind::Normal)
        .map(|((token, _), score)| (*token, score))
        .collect();
    if let Some((piece, _)) = normal.iter().find(|(piece, _)| piece.len() > PIECE) {
        let reason = format!("a token of {} bytes is longer than {PIECE}", piece.len());
        return Err(refuse(TOKENS, reason));
    }
    let unknown = entries.integer(UNKNOWN)?.unwrap_or(0);
    let Some(unknown) = text_of(tokens, unknown) else {
        return Err(refuse(
            UNKNOWN,
            format!("{unknown} is not the id of a token"),
        ));
    };
    Ok(Model::Pieces {
        merges: merges_to(&normal),
        unknown: unknown.to_owned(),
        begin: if entries.truth(SPACE)?.unwrap_or(true) {
            Begin::WithSpace
        } else {
            Begin::AsIs
        },
    })
}

/// Every way to join two pieces to a third, the one to the best piece first. Among those to the same one
/// the longest left side stands first, as SentencePiece joins from the left.
fn merges_to(pieces: &[(&str, f64)]) -> Vec<Merge> {
    let known: HashSet<&str> = pieces.iter().map(|(piece, _)| *piece).collect();
    let mut merges: Vec<(f64, &str, &str)> = Vec::new();
    for (piece, score) in pieces {
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if known.contains(left) && known.contains(right) {
                merges.push((*score, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.len().cmp(&a.1.len())));
    let owned = |(_, left, right): (f64, &str, &str)| (left.to_owned(), right.to_owned());
    merges.into_iter().map(owned).collect()
}

/// The id of the token that begins or ends a text.
fn id_of(entries: Entries<'_>, tokens: &[&str], name: &str) -> Result<u32, Refusal> {
    let key = format!("tokenizer.ggml.{name}_token_id");
    let id = needed(&key, entries.integer(&key)?)?;
    match u32::try_from(id) {
        Ok(number) if text_of(tokens, id).is_some() => Ok(number),
        _ => Err(refuse(&key, format!("{id} is not the id of a token"))),
    }
}

/// The text of an id, which may be one that stands for none.
pub(super) fn text_of<'a>(tokens: &[&'a str], id: i128) -> Option<&'a str> {
    tokens.get(usize::try_from(id).ok()?).copied()
}

fn kinds(numbers: &[f64], tokens: usize) -> Result<Vec<Kind>, Refusal> {
    if numbers.len() != tokens {
        let reason = format!("{} kinds for {tokens} tokens", numbers.len());
        return Err(refuse(KINDS, reason));
    }
    let kind = |number: &f64| {
        Ok(match *number as i64 {
            1 => Kind::Normal,
            // What is unknown is looked for in a text as the special tokens are.
            2 | 3 => Kind::Control,
            4 => Kind::UserDefined,
            5 | 6 => Kind::Other,
            other => return Err(refuse(KINDS, format!("{other} is no kind of token"))),
        })
    };
    numbers.iter().map(kind).collect()
}

fn refuse_doubles(tokens: &[&str]) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    match tokens.iter().find(|token| !seen.insert(**token)) {
        Some(token) => Err(refuse(TOKENS, format!("token {token:?} stands twice"))),
        None => Ok(()),
    }
}

/// The tokens that are found in a text before anything else.
fn added(tokens: &[&str], kinds: &[Kind]) -> Vec<AddedToken> {
    let token = |(token, kind): (&&str, &Kind)| match kind {
        Kind::Control => Some(AddedToken::from(*token, true).normalized(false)),
        Kind::UserDefined => Some(AddedToken::from(*token, false).normalized(false)),
        Kind::Normal | Kind::Other => None,
    };
    tokens.iter().zip(kinds).filter_map(token).collect()
}

#[cfg(test)]
mod tests;
