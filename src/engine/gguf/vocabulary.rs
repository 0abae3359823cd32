//! From `tokenizer.json` to the `tokenizer.ggml.*` keys of a GGUF file.
//!
//! Byte-level BPE with one of the patterns that llama.cpp knows by name, and [pieces]; any other tokenizer
//! is refused, since a file that splits text in another way gives other tokens and says nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::pieces;
use super::write::Meta;

/// Patterns that split text into words, with the name that llama.cpp knows each by.
pub(super) const PATTERNS: [(&str, &str); 2] = [
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "llama-bpe",
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "qwen2",
    ),
];
/// The pattern of GPT-2, which the byte-level step has built in.
const BUILT_IN: &str = "gpt-2";

/// Kinds of tokens, as llama.cpp numbers them.
pub(super) const NORMAL: i32 = 1;
pub(super) const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// The metadata of a tokenizer for an embedding of `rows` rows.
pub(super) fn metadata(tokenizer: &[u8], rows: u32) -> Result<Vec<(String, Meta)>, String> {
    let file: Value = serde_json::from_slice(tokenizer).map_err(|error| error.to_string())?;
    if pieces::are_in(&file) {
        return pieces::metadata(&file, rows);
    }
    let pattern = pattern(&file)?;
    let (tokens, kinds) = tokens(&file, rows)?;
    let merges = merges(&file["model"])?;
    let entries = [
        ("model", Meta::Text("gpt2".to_owned())),
        ("pre", Meta::Text(pattern.to_owned())),
        ("tokens", Meta::Texts(tokens)),
        ("token_type", Meta::Kinds(kinds)),
        ("merges", Meta::Texts(merges)),
    ];
    Ok(entries
        .into_iter()
        .map(|(key, value)| (format!("tokenizer.ggml.{key}"), value))
        .collect())
}

/// The ids that begin and end a text according to config.json.
pub(super) fn special_ids(config: &[u8]) -> Vec<(String, Meta)> {
    let file: Value = serde_json::from_slice(config).unwrap_or_default();
    let id = |key: &str| {
        // Some models have several ends; a GGUF file has room for one.
        let value = match &file[key] {
            Value::Array(ids) => ids.first().cloned().unwrap_or_default(),
            other => other.clone(),
        };
        value.as_u64().and_then(|id| u32::try_from(id).ok())
    };
    [
        ("bos_token_id", "bos_token_id"),
        ("eos_token_id", "eos_token_id"),
    ]
    .into_iter()
    .filter_map(|(from, to)| Some((format!("tokenizer.ggml.{to}"), Meta::Count(id(from)?))))
    .collect()
}

/// The name of the pattern, from the pre-tokenizer.
fn pattern(file: &Value) -> Result<&'static str, String> {
    let model = file["model"]["type"].as_str().unwrap_or("untyped");
    // Older files leave the type out.
    let is_bpe = matches!(model, "BPE" | "untyped") && file["model"]["merges"].is_array();
    if !is_bpe {
        return Err(format!(
            "a {model} tokenizer cannot be written to GGUF, only BPE of bytes or of pieces"
        ));
    }
    let steps = match &file["pre_tokenizer"] {
        sequence if sequence["type"] == "Sequence" => sequence["pretokenizers"].as_array().cloned(),
        Value::Null => None,
        single => Some(vec![single.clone()]),
    }
    .unwrap_or_default();
    let is_level = |step: &Value| step["type"] == "ByteLevel" && step["add_prefix_space"] != true;
    let by_itself = |step: &Value| step["use_regex"] != Value::Bool(false);
    let found = match steps.as_slice() {
        [level] if is_level(level) && by_itself(level) => Some(BUILT_IN),
        [split, level] if split["type"] == "Split" && is_level(level) && !by_itself(level) => {
            let pattern = split["pattern"]["Regex"].as_str().unwrap_or_default();
            let isolated = split["behavior"] == "Isolated" && split["invert"] != true;
            PATTERNS
                .iter()
                .find(|(known, _)| isolated && *known == pattern)
                .map(|(_, name)| *name)
        }
        _ => None,
    };
    found.ok_or_else(|| {
        "the pre-tokenizer is none of GPT-2's, Llama 3's and Qwen 2's, which llama.cpp would not split \
         text like"
            .to_owned()
    })
}

/// The text and the kind of every id.
pub(super) fn tokens(file: &Value, rows: u32) -> Result<(Vec<String>, Vec<i32>), String> {
    let mut by_id = BTreeMap::new();
    let vocabulary = file["model"]["vocab"].as_object();
    for (token, id) in vocabulary.ok_or("model.vocab is missing")? {
        by_id.insert(id.as_u64().unwrap_or(u64::MAX), (token.as_str(), NORMAL));
    }
    for added in file["added_tokens"].as_array().into_iter().flatten() {
        if let (Some(id), Some(token)) = (added["id"].as_u64(), added["content"].as_str()) {
            let kind = if added["special"] == true {
                CONTROL
            } else {
                USER_DEFINED
            };
            by_id.insert(id, (token, kind));
        }
    }
    if let Some((id, (token, _))) = by_id.iter().find(|(id, _)| **id >= u64::from(rows)) {
        return Err(format!(
            "token {token:?} has id {id}, but the embedding has {rows} rows"
        ));
    }
    Ok((0..u64::from(rows))
        .map(|id| match by_id.get(&id) {
            Some((token, kind)) => ((*token).to_owned(), *kind),
            None => (format!("[PAD{id}]"), UNUSED),
        })
        .unzip())
}

/// Merges as pairs with a space between, whichever way the file has them.
fn merges(model: &Value) -> Result<Vec<String>, String> {
    let merges = model["merges"]
        .as_array()
        .ok_or("model.merges is missing")?;
    let joined = |(left, right): (String, String)| format!("{left} {right}");
    merges
        .iter()
        .map(|merge| merge_of(merge).map(joined))
        .collect()
}

/// The two sides of a merge, whichever way the file has it.
pub(super) fn merge_of(merge: &Value) -> Result<(String, String), String> {
    let sides = match merge {
        Value::String(pair) => pair.split_once(' '),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(left), Value::String(right)] => Some((left.as_str(), right.as_str())),
            _ => None,
        },
        _ => None,
    };
    let sides = sides.map(|(left, right)| (left.to_owned(), right.to_owned()));
    sides.ok_or_else(|| format!("merge {merge} is not a pair of texts"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn llama3() -> Value {
        json!({
            "added_tokens": [
                {"id": 3, "content": "<s>", "special": true},
                {"id": 4, "content": "<tool>", "special": false},
            ],
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERNS[0].0}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
            ]},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
        })
    }

    fn read(file: &Value, rows: u32) -> Result<BTreeMap<String, Meta>, String> {
        Ok(metadata(file.to_string().as_bytes(), rows)?
            .into_iter()
            .collect())
    }

    #[test]
    fn every_id_gets_its_text_and_its_kind() {
        let keys = read(&llama3(), 6).unwrap();
        let texts =
            |texts: &[&str]| Meta::Texts(texts.iter().map(|&text| text.to_owned()).collect());
        assert_eq!(
            keys["tokenizer.ggml.tokens"],
            texts(&["a", "b", "ab", "<s>", "<tool>", "[PAD5]"])
        );
        assert_eq!(
            keys["tokenizer.ggml.token_type"],
            Meta::Kinds(vec![NORMAL, NORMAL, NORMAL, CONTROL, USER_DEFINED, UNUSED])
        );
        assert_eq!(keys["tokenizer.ggml.merges"], texts(&["a b"]));
        assert_eq!(
            keys["tokenizer.ggml.pre"],
            Meta::Text("llama-bpe".to_owned())
        );
    }

    #[test]
    fn both_ways_of_writing_merges_are_read() {
        let mut file = llama3();
        file["model"]["merges"] = json!(["a b"]);
        assert_eq!(read(&file, 6).unwrap(), read(&llama3(), 6).unwrap());
    }

    #[test]
    fn each_known_pattern_has_its_name() {
        let mut file = llama3();
        file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = PATTERNS[1].0.into();
        assert_eq!(pattern(&file), Ok("qwen2"));
        file["pre_tokenizer"] =
            json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true});
        assert_eq!(pattern(&file), Ok("gpt-2"));
    }

    #[track_caller]
    fn refused(file: &Value, rows: u32, reason: &str) {
        let message = read(file, rows).unwrap_err();
        assert!(message.contains(reason), "{message}");
    }

    #[test]
    fn what_llama_cpp_would_split_differently_is_refused() {
        let mut file = llama3();
        file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\w+".into();
        refused(&file, 6, "the pre-tokenizer is none of");
        file["pre_tokenizer"] = json!({"type": "ByteLevel", "add_prefix_space": true});
        refused(&file, 6, "the pre-tokenizer is none of");
        let mut file = llama3();
        file["model"]["byte_fallback"] = true.into();
        refused(&file, 6, "that of a SentencePiece model");
        let mut file = llama3();
        file["model"]["type"] = "Unigram".into();
        refused(&file, 6, "a Unigram tokenizer");
        refused(
            &llama3(),
            4,
            "\"<tool>\" has id 4, but the embedding has 4 rows",
        );
    }

    #[test]
    fn the_ends_of_a_text_come_from_the_configuration() {
        let ids = special_ids(br#"{"bos_token_id": 7, "eos_token_id": [8, 9]}"#);
        let expected = [("bos", 7), ("eos", 8)]
            .map(|(end, id)| (format!("tokenizer.ggml.{end}_token_id"), Meta::Count(id)));
        assert_eq!(ids, expected);
        assert!(special_ids(b"{}").is_empty());
    }
}
