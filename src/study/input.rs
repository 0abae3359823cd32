//! Reading a TOML text into a type, with errors that name line, column and remedy.

use serde::de::DeserializeOwned;

/// A text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}{}", suggestion_clause(suggestion.as_deref()))]
pub struct Misread {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// A known word that is close to an unknown one.
    pub suggestion: Option<String>,
}

fn suggestion_clause(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}

/// Parses `text`.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Misread> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let (line, column) = place(text, offset);
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let suggestion = suggest(&message);
        Misread {
            line,
            column,
            message,
            suggestion,
        }
    })
}

/// Line and column of a byte offset.
pub fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |rest| rest.chars().count())
        + 1;
    (line, column)
}

/// The nearest expected word to the unknown one, out of a message that quotes both in backticks: the
/// unknown word first, then those expected.
fn suggest(message: &str) -> Option<String> {
    if !message.starts_with("unknown") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    closest(unknown, quoted)
}

/// The candidate most like `word`, if any is alike enough to be meant.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    /// Jaro-Winkler similarity below which two words have little in common.
    const ALIKE: f64 = 0.75;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::file::StudyFile;

    #[track_caller]
    fn refuses(text: &str, expected: &str) {
        assert_eq!(parse::<StudyFile>(text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn an_unknown_key_is_refused_with_place_and_suggestion() {
        refuses(
            "[sweep]\nbath = [1]\n",
            "line 2, column 1: unknown field `bath`, expected one of `precision`, `kv`, `batch`, `isl`, \
             `osl`; did you mean `batch`?",
        );
    }

    #[test]
    fn a_value_out_of_its_choices_is_refused_with_a_suggestion() {
        let error = parse::<StudyFile>("[sweep]\nprecision = [\"q4k\"]\n").unwrap_err();
        assert_eq!((error.line, error.suggestion.as_deref()), (2, Some("q4_k")));
    }

    #[test]
    fn broken_toml_is_refused_with_its_place() {
        let error = parse::<StudyFile>("[sweep\n").unwrap_err();
        assert_eq!(error.line, 1);
    }
}
