//! Finding a row by words, and naming near matches where there is none.

use std::collections::BTreeSet;

/// How many near matches an error names.
const NEAR: usize = 5;

/// The lower-case words of an id or a query: runs of letters, digits and dots.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '.'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// How well a query names an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// Every word of the query begins a word of the id.
    Prefix,
    /// Every word of the query is a word of the id.
    Words,
    /// The query is the id.
    Exact,
}

/// How well `query` names `id`; `None` when it does not.
pub(crate) fn fit(query: &str, id: &str) -> Option<Fit> {
    if query.trim().eq_ignore_ascii_case(id) {
        return Some(Fit::Exact);
    }
    let (asked, have) = (words(query), words(id));
    if asked.is_empty() {
        return None;
    }
    let all = |test: &dyn Fn(&str, &str) -> bool| {
        asked
            .iter()
            .all(|word| have.iter().any(|other| test(other, word)))
    };
    if all(&|other, word| other == word) {
        Some(Fit::Words)
    } else if all(&|other, word| other.starts_with(word)) {
        Some(Fit::Prefix)
    } else {
        None
    }
}

/// The ids that look most like `query`, best first.
pub(crate) fn near<'a>(query: &str, ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    let asked = pairs(query);
    let mut scored: Vec<(f64, &str)> = ids
        .map(|id| (similarity(&asked, &pairs(id)), id))
        .filter(|(score, _)| *score > 0.3)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, id)| *id);
    scored
        .into_iter()
        .take(NEAR)
        .map(|(_, id)| id.to_owned())
        .collect()
}

/// Pairs of neighbouring characters, without case.
fn pairs(text: &str) -> BTreeSet<(char, char)> {
    let characters: Vec<char> = text.to_lowercase().chars().collect();
    characters
        .windows(2)
        .map(|pair| (pair[0], pair[1]))
        .collect()
}

/// Dice's coefficient of two sets: twice what they share over what they have.
fn similarity(a: &BTreeSet<(char, char)>, b: &BTreeSet<(char, char)>) -> f64 {
    let all = a.len() + b.len();
    if all == 0 {
        return 0.0;
    }
    2.0 * a.intersection(b).count() as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_wherever_they_stand() {
        for (query, id, expected) in [
            ("h100", "h100-sxm", Some(Fit::Words)),
            ("H100-SXM", "h100-sxm", Some(Fit::Exact)),
            ("sxm h100", "h100-sxm", Some(Fit::Words)),
            ("a100 80", "a100-80gb-pcie", Some(Fit::Prefix)),
            ("l4", "l40s", Some(Fit::Prefix)),
            ("h200", "h100-sxm", None),
            ("", "h100-sxm", None),
            ("gpt-4", "gpt-4o", Some(Fit::Prefix)),
            ("llama-3.3", "llama-3.3-70b", Some(Fit::Words)),
        ] {
            assert_eq!(fit(query, id), expected, "{query} in {id}");
        }
    }

    #[test]
    fn near_matches_come_best_first_and_nonsense_has_none() {
        let ids = ["gpt-4o", "gpt-4o-mini", "claude-haiku-4-5"];
        assert_eq!(near("gpt4o", ids.into_iter())[0], "gpt-4o");
        assert!(near("zzzz", ids.into_iter()).is_empty());
    }
}
