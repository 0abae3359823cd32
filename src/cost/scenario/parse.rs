//! From text to a checked scenario, with the place of whatever is wrong.

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{Scenario, check};

/// A scenario that cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong and what would be right.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Something that may not stand under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The dotted key; positions in lists are numbers.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Refusal {
    pub(crate) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
            hint: None,
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A scenario together with the text and the tree it came from.
#[derive(Debug, Clone)]
pub struct Document {
    /// The scenario.
    pub scenario: Scenario,
    pub(super) tree: toml::Table,
    text: String,
}

impl Document {
    /// Reads and checks a scenario.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Scenario = toml::from_str(text).map_err(|error| of_toml(text, &error))?;
        let tree: toml::Table = toml::from_str(text).map_err(|error| of_toml(text, &error))?;
        let document = Self {
            scenario,
            tree,
            text: text.to_owned(),
        };
        check::check(&document.scenario).map_err(|refusal| document.place(refusal))?;
        Ok(document)
    }

    /// Gives a refusal its line and column.
    pub(crate) fn place(&self, refusal: Refusal) -> ScenarioError {
        let offset = offset_of(&self.text, &refusal.key);
        let (line, column) = position(&self.text, offset);
        ScenarioError {
            line,
            column,
            problem: printable(&refusal.problem),
            hint: refusal.hint.map(|hint| printable(&hint)),
        }
    }
}

/// Reads a scenario from a tree that was edited; the error has no place of its own.
pub(super) fn from_tree(tree: toml::Table) -> Result<Scenario, Refusal> {
    let scenario = Scenario::deserialize(tree).map_err(|error| {
        let (problem, hint) = explain(error.message());
        Refusal {
            key: String::new(),
            problem,
            hint,
        }
    })?;
    check::check(&scenario)?;
    Ok(scenario)
}

fn of_toml(text: &str, error: &toml::de::Error) -> ScenarioError {
    let offset = error.span().map_or(0, |span| span.start);
    let (line, column) = position(text, offset);
    let (problem, hint) = explain(error.message());
    ScenarioError {
        line,
        column,
        problem: printable(&problem),
        hint: hint.map(|hint| printable(&hint)),
    }
}

/// One line without control characters: what stands in a file must not steer a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\n' { ' ' } else { c })
        .flat_map(|c| {
            let escaped: Box<dyn Iterator<Item = char>> = if c.is_control() {
                Box::new(c.escape_default())
            } else {
                Box::new(std::iter::once(c))
            };
            escaped
        })
        .collect()
}

/// Rewords serde's complaint about a key that does not exist and looks for the one that was meant.
fn explain(message: &str) -> (String, Option<String>) {
    for (prefix, what) in [("unknown field `", "key"), ("unknown variant `", "value")] {
        let Some(rest) = message.strip_prefix(prefix) else {
            continue;
        };
        let Some((name, rest)) = rest.split_once('`') else {
            continue;
        };
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let hint = match nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        return (format!("unknown {what} `{name}`"), Some(hint));
    }
    (message.to_owned(), None)
}

/// The known word that takes fewest edits, if it is near enough to have been meant.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = 2.max(word.chars().count() / 3);
    known
        .iter()
        .map(|&candidate| (edits(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// Line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, text[start..offset].chars().count() + 1)
}

/// Where a dotted key stands, or the innermost part of it that exists.
fn offset_of(text: &str, key: &str) -> usize {
    let Ok(table) = DeTable::parse(text) else {
        return 0;
    };
    let mut offset = 0;
    let mut value = &DeValue::Table(table.into_inner());
    for part in key.split('.') {
        value = match value {
            DeValue::Table(table) => {
                let Some((name, inner)) = table.iter().find(|(name, _)| name.get_ref() == part)
                else {
                    return offset;
                };
                offset = name.span().start;
                inner.get_ref()
            }
            DeValue::Array(array) => {
                let item = part.parse().ok().and_then(|index: usize| array.get(index));
                let Some(inner) = item else {
                    return offset;
                };
                offset = inner.span().start;
                inner.get_ref()
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => return offset,
        };
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[traffic]\nrequests_per_day = 10\nuser_tokens = 5\noutput_tokens = 7\n";

    #[track_caller]
    fn refuses(text: &str, place: (usize, usize), words: &str) {
        let error = Document::parse(text).unwrap_err();
        assert_eq!((error.line, error.column), place, "{error}");
        let whole = format!("{error} {}", error.hint.clone().unwrap_or_default());
        assert!(whole.contains(words), "{whole}");
    }

    #[test]
    fn integers_and_floats_are_both_numbers() {
        let floats = LEAST.replace("= 10", "= 10.0").replace("= 5", "= 5.0");
        assert_eq!(
            Document::parse(LEAST).unwrap().scenario,
            Document::parse(&floats).unwrap().scenario
        );
        let host = "[self_hosted]\nusd_per_gpu_hour = 2\ngpus_per_replica = 4.0\noutput_tokens_per_second = 7";
        let document = Document::parse(&format!("{LEAST}{host}")).unwrap();
        assert_eq!(
            document.scenario.self_hosted.unwrap().gpus_per_replica,
            Some(4)
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_a_suggestion() {
        refuses(
            &LEAST.replace("user_tokens", "user_token"),
            (3, 1),
            "unknown key `user_token` did you mean `user_tokens`?",
        );
        refuses(
            "[trafic]\n",
            (1, 2),
            "unknown key `trafic` did you mean `traffic`?",
        );
    }

    #[test]
    fn malformed_text_is_refused_where_it_breaks() {
        refuses("[traffic\n", (1, 9), "");
        refuses("[traffic]\nrequests_per_day = \n", (2, 20), "");
        refuses(
            "[traffic]\nrequests_per_day = 1\nrequests_per_day = 2\n",
            (3, 1),
            "duplicate",
        );
        refuses(
            "[traffic]\nrequests_per_day = \"ten\"\n",
            (2, 20),
            "invalid type",
        );
    }

    #[test]
    fn what_stands_in_a_file_cannot_steer_a_terminal() {
        let error = Document::parse("\"\\u001b[31m\" = 1\n").unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }

    #[test]
    fn columns_count_characters() {
        refuses("[traffic]\n\"ß\" = x\n", (2, 7), "");
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("modle", &["model", "mode"]), Some("mode"));
        assert_eq!(nearest("zzz", &["model"]), None);
    }
}
