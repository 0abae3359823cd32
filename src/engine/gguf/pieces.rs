//! From a `tokenizer.json` that was made of a SentencePiece model to the `tokenizer.ggml.*` keys.
//!
//! llama.cpp joins the two neighbours whose join has the best score of the vocabulary; a `tokenizer.json`
//! joins those of its earliest merge. Both come to the same where the merges hold every join that the
//! vocabulary allows, and those of one piece follow one another: then the place of a piece among the
//! merges is its score. A vocabulary that is not like that is refused.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::vocabulary::{CONTROL, NORMAL, merge_of, tokens};
use super::write::Meta;

/// How SentencePiece writes a space.
const SPACE: &str = "\u{2581}";
/// Further kinds of tokens, as llama.cpp numbers them.
const UNKNOWN: i32 = 2;
const BYTE: i32 = 6;

/// Whether a tokenizer is of this kind: pieces of text, and bytes for what they do not cover.
pub(super) fn are_in(file: &Value) -> bool {
    file["model"]["byte_fallback"] == true && file["model"]["merges"].is_array()
}

/// The metadata of a tokenizer for an embedding of `rows` rows.
pub(super) fn metadata(file: &Value, rows: u32) -> Result<Vec<(String, Meta)>, String> {
    let begins_with_space = space_before(file)?;
    if file["model"]["ignore_merges"] == true {
        return Err(
            "model.ignore_merges is set, which llama.cpp does not do for pieces".to_owned(),
        );
    }
    let (tokens, mut kinds) = tokens(file, rows)?;
    let unknown = unknown(file, &tokens)?;
    kinds[unknown as usize] = UNKNOWN;
    mark_bytes(&tokens, &mut kinds)?;
    let scores = scores(&file["model"], &tokens, &kinds)?;
    let entries = [
        ("model", Meta::Text("llama".to_owned())),
        ("pre", Meta::Text("default".to_owned())),
        ("tokens", Meta::Texts(tokens)),
        ("scores", Meta::Scores(scores)),
        ("token_type", Meta::Kinds(kinds)),
        ("unknown_token_id", Meta::Count(unknown)),
        ("add_space_prefix", Meta::Truth(begins_with_space)),
    ];
    Ok(entries
        .into_iter()
        .map(|(key, value)| (format!("tokenizer.ggml.{key}"), value))
        .collect())
}

/// Whether a text gets a space before it; spaces become [`SPACE`] and words are not split.
fn space_before(file: &Value) -> Result<bool, String> {
    let steps = match &file["normalizer"] {
        sequence if sequence["type"] == "Sequence" => sequence["normalizers"].as_array().cloned(),
        Value::Null => None,
        single => Some(vec![single.clone()]),
    }
    .unwrap_or_default();
    let replaces = |step: &Value| {
        step["type"] == "Replace" && step["pattern"]["String"] == " " && step["content"] == SPACE
    };
    let prepends = |step: &Value| step["type"] == "Prepend" && step["prepend"] == SPACE;
    let splitter = &file["pre_tokenizer"];
    let found = match (steps.as_slice(), splitter) {
        ([first, second], Value::Null) if prepends(first) && replaces(second) => Some(true),
        ([single], Value::Null) if replaces(single) => Some(false),
        ([], step) if step["type"] == "Metaspace" && step["replacement"] == SPACE => {
            // Behind a token of control llama.cpp sets a space whichever of the two it is.
            let scheme = match step["prepend_scheme"].as_str() {
                Some("always" | "first") => Some(true),
                Some("never") => Some(false),
                Some(_) | None => None,
            };
            scheme.filter(|_| step["split"] == false)
        }
        _ => None,
    };
    found.ok_or_else(|| {
        "neither the normalizer nor the pre-tokenizer is that of a SentencePiece model, which llama.cpp \
         would not split text like"
            .to_owned()
    })
}

/// The id of the token for what is not known.
fn unknown(file: &Value, tokens: &[String]) -> Result<u32, String> {
    let name = file["model"]["unk_token"].as_str();
    let name = name.ok_or("model.unk_token is missing")?;
    let id = tokens.iter().position(|token| token == name);
    id.and_then(|id| u32::try_from(id).ok())
        .ok_or_else(|| format!("model.unk_token {name:?} is not in the vocabulary"))
}

/// Every byte has a token, so that every text has one.
fn mark_bytes(tokens: &[String], kinds: &mut [i32]) -> Result<(), String> {
    let by_text: HashMap<&str, usize> = by_text(tokens);
    for byte in 0..=u8::MAX {
        let name = format!("<0x{byte:02X}>");
        let id = by_text
            .get(name.as_str())
            .ok_or_else(|| format!("the vocabulary has no token {name} for a byte"))?;
        kinds[*id] = BYTE;
    }
    Ok(())
}

fn by_text(tokens: &[String]) -> HashMap<&str, usize> {
    let places = tokens.iter().enumerate();
    places.map(|(id, token)| (token.as_str(), id)).collect()
}

/// The score of every id: the later its merges, the lower.
fn scores(model: &Value, tokens: &[String], kinds: &[i32]) -> Result<Vec<f32>, String> {
    let merges = model["merges"]
        .as_array()
        .ok_or("model.merges is missing")?
        .iter()
        .map(merge_of)
        .collect::<Result<Vec<_>, String>>()?;
    let ids = by_text(tokens);
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut last = None;
    for (left, right) in &merges {
        let joined = format!("{left}{right}");
        if last.as_ref() != Some(&joined) {
            let place = places.len();
            if places.insert(joined.clone(), place).is_some() {
                return Err(format!(
                    "the merges that give {joined:?} do not follow one another, so no score stands for them"
                ));
            }
            if !ids.contains_key(joined.as_str()) {
                return Err(format!("{left:?} and {right:?} merge to no token"));
            }
            last = Some(joined);
        }
    }
    every_join_is_a_merge(&merges, tokens, kinds)?;
    let lowest = places.len();
    let score = |token: &String| -(*places.get(token).unwrap_or(&lowest) as f32);
    let of = |(token, kind): (&String, &i32)| if *kind == NORMAL { score(token) } else { 0.0 };
    Ok(tokens.iter().zip(kinds).map(of).collect())
}

/// llama.cpp joins whatever gives a token, so nothing that gives one may be missing among the merges.
fn every_join_is_a_merge(
    merges: &[(String, String)],
    tokens: &[String],
    kinds: &[i32],
) -> Result<(), String> {
    let merges: HashSet<(&str, &str)> = merges
        .iter()
        .map(|(left, right)| (left.as_str(), right.as_str()))
        .collect();
    let with_kinds = || tokens.iter().map(String::as_str).zip(kinds);
    let found = with_kinds().filter(|(_, kind)| **kind != CONTROL);
    let found: HashSet<&str> = found.map(|(token, _)| token).collect();
    for (token, _) in with_kinds().filter(|(_, kind)| **kind == NORMAL) {
        let places = || {
            token
                .char_indices()
                .map(|(at, letter)| (at, at + letter.len_utf8()))
        };
        if let Some((from, to)) = places().find(|(from, to)| !found.contains(&token[*from..*to])) {
            return Err(format!(
                "{token:?} holds {:?}, which is no token of its own, so that llama.cpp would come to \
                 it and the merges would not",
                &token[from..to]
            ));
        }
        let joins = places().skip(1).map(|(at, _)| token.split_at(at));
        let mut missing = joins.filter(|(left, right)| {
            found.contains(left) && found.contains(right) && !merges.contains(&(*left, *right))
        });
        if let Some((left, right)) = missing.next() {
            return Err(format!(
                "{left:?} and {right:?} are tokens and so is {token:?}, but no merge joins them, as \
                 llama.cpp would"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    const FILE: &str = include_str!("../../../tests/fixtures/gguf/pieces.json");
    const EXPECTED: &str = include_str!("../../../tests/fixtures/gguf/pieces-expected.json");

    fn file() -> Value {
        serde_json::from_str(FILE).unwrap()
    }

    /// What a GGUF file holds of a tokenizer.
    struct Written {
        tokens: Vec<String>,
        scores: Vec<f32>,
        kinds: Vec<i32>,
        space: bool,
    }

    fn written(file: &Value, rows: u32) -> Written {
        assert!(are_in(file));
        let mut keys: BTreeMap<String, Meta> = metadata(file, rows).unwrap().into_iter().collect();
        let mut key = |name: &str| keys.remove(&format!("tokenizer.ggml.{name}")).unwrap();
        assert_eq!(key("model"), Meta::Text("llama".to_owned()));
        match (
            key("tokens"),
            key("scores"),
            key("token_type"),
            key("add_space_prefix"),
        ) {
            (Meta::Texts(tokens), Meta::Scores(scores), Meta::Kinds(kinds), Meta::Truth(space)) => {
                Written {
                    tokens,
                    scores,
                    kinds,
                    space,
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// llama.cpp's way: the neighbours whose join has the best score, the leftmost of equals.
    fn joined(text: &str, written: &Written) -> Vec<usize> {
        let space = if written.space { " " } else { "" };
        let text = format!("{space}{text}").replace(' ', SPACE);
        let ids = by_text(&written.tokens);
        let mut symbols: Vec<String> = text.chars().map(String::from).collect();
        loop {
            let pairs = symbols.windows(2).enumerate();
            let joins =
                pairs.filter_map(|(at, pair)| Some((at, *ids.get(pair.concat().as_str())?)));
            let best = joins.min_by(|a, b| {
                let score = |join: &(usize, usize)| written.scores[join.1];
                score(b).total_cmp(&score(a)).then(a.0.cmp(&b.0))
            });
            let Some((at, _)) = best else { break };
            let right = symbols.remove(at + 1);
            symbols[at].push_str(&right);
        }
        let bytes = |symbol: &str| -> Vec<usize> {
            let name = |byte: u8| format!("<0x{byte:02X}>");
            symbol
                .bytes()
                .map(|byte| ids[name(byte).as_str()])
                .collect()
        };
        let id = |symbol: &String| ids.get(symbol.as_str()).copied();
        let of = |symbol: &String| id(symbol).map_or_else(|| bytes(symbol), |id| vec![id]);
        symbols.iter().flat_map(of).collect()
    }

    #[test]
    fn the_scores_are_those_of_the_sentencepiece_model_and_give_its_tokens() {
        let written = written(&file(), 700);
        let expected: Value = serde_json::from_str(EXPECTED).unwrap();
        let merged: HashSet<String> = file()["model"]["merges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|merge| merge_of(merge).map(|(left, right)| left + &right).unwrap())
            .collect();
        let mut compared = 0;
        for (id, token) in written.tokens.iter().enumerate() {
            let score = expected["scores"][id].as_f64().unwrap();
            if merged.contains(token) {
                assert!(
                    (f64::from(written.scores[id]) - score).abs() < 1e-9,
                    "{token}"
                );
                compared += 1;
            }
        }
        assert_eq!(compared, 374);
        for text in expected["texts"].as_array().unwrap() {
            let ids = joined(text["text"].as_str().unwrap(), &written);
            assert_eq!(json!(ids), text["ids"], "{}", text["text"]);
        }
    }

    #[test]
    fn every_kind_of_token_is_told_apart() {
        let written = written(&file(), 702);
        let kind = |token: &str| written.kinds[by_text(&written.tokens)[token]];
        let kinds = ["<unk>", "<s>", "<0x0A>", "ould", "[PAD701]"].map(kind);
        assert_eq!(kinds, [UNKNOWN, CONTROL, BYTE, NORMAL, 5]);
    }

    #[test]
    fn a_space_is_set_before_a_text_where_the_file_says_so() {
        let space = |normalizer: Value, splitter: Value| {
            let file = json!({"normalizer": normalizer, "pre_tokenizer": splitter});
            space_before(&file)
        };
        let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
        let metaspace = |scheme: &str, split: bool| {
            json!({
                "type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split
            })
        };
        assert_eq!(space(file()["normalizer"].clone(), Value::Null), Ok(true));
        assert_eq!(space(replace, Value::Null), Ok(false));
        assert_eq!(space(Value::Null, metaspace("first", false)), Ok(true));
        assert_eq!(space(Value::Null, metaspace("never", false)), Ok(false));
        assert!(space(Value::Null, metaspace("first", true)).is_err());
        assert!(space(Value::Null, Value::Null).is_err());
        assert!(space(json!({"type": "NFC"}), Value::Null).is_err());
    }

    #[track_caller]
    fn refused(edit: impl FnOnce(&mut Value), reason: &str) {
        let mut file = file();
        edit(&mut file);
        let message = metadata(&file, 700).unwrap_err();
        assert!(message.contains(reason), "{message}");
    }

    #[test]
    fn a_vocabulary_whose_merges_no_scores_stand_for_is_refused() {
        let merges = |file: &mut Value| file["model"]["merges"].as_array().unwrap().clone();
        refused(
            |file| {
                let mut fewer = merges(file);
                fewer.truncate(fewer.len() - 1);
                file["model"]["merges"] = fewer.into();
            },
            "no merge joins them",
        );
        refused(
            |file| {
                let mut more = merges(file);
                more.push(more[0].clone());
                file["model"]["merges"] = more.into();
            },
            "do not follow one another",
        );
        refused(
            |file| {
                let mut more = merges(file);
                more.push(json!(["z", "q"]));
                file["model"]["merges"] = more.into();
            },
            "merge to no token",
        );
        refused(
            |file| {
                let vocabulary = file["model"]["vocab"].as_object_mut().unwrap();
                let id = vocabulary.remove("<0x41>").unwrap();
                vocabulary.insert("zq".to_owned(), id);
            },
            "no token <0x41> for a byte",
        );
        refused(
            |file| {
                let vocabulary = file["model"]["vocab"].as_object_mut().unwrap();
                let id = vocabulary.remove("ould").unwrap();
                vocabulary.insert("o\u{2603}".to_owned(), id);
                let mut fewer = merges(file);
                fewer.retain(|merge| {
                    let (left, right) = merge_of(merge).unwrap();
                    left + &right != "ould"
                });
                file["model"]["merges"] = fewer.into();
            },
            "which is no token of its own",
        );
        refused(
            |file| file["model"]["ignore_merges"] = true.into(),
            "ignore_merges",
        );
        refused(|file| file["model"]["unk_token"] = Value::Null, "unk_token");
        refused(|file| file["normalizer"] = Value::Null, "SentencePiece");
    }
}
