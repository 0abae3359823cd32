//! Which of a repository's files make the model: a folder of safetensors, or one GGUF file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::error::HubError;
use super::listing::{ListedFile, Listing};
use crate::study::hub::{HubSource, is_plain_path};

pub(super) const CONFIG: &str = "config.json";
pub(super) const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// What a run takes beside the weights; only the first must be there.
pub(super) const BESIDE: [&str; 6] = [
    CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];

/// Names that a message lists at most.
const SHOWN: usize = 12;

/// In which form a repository holds its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// config.json, tokenizer and safetensors.
    Folder,
    /// One GGUF file, by its path.
    Gguf(String),
}

/// The form in which to take the model.
pub(super) fn form(source: &HubSource, listing: &Listing) -> Result<Form, HubError> {
    if let Some(asked) = source.gguf() {
        return named(source, listing, asked).map(Form::Gguf);
    }
    if listing.find(SINGLE).is_some() || listing.find(INDEX).is_some() {
        return Ok(Form::Folder);
    }
    let refuse = |reason: String| refusal(source, reason);
    match gguf_files(listing)[..] {
        [only] => Ok(Form::Gguf(only.to_owned())),
        [] => Err(refuse(format!(
            "holds neither {SINGLE}, nor {INDEX}, nor a GGUF file; convert it, or take a \
             conversion of it"
        ))),
        [first, ..] => Err(refuse(format!(
            "holds several GGUF files; choose one, like hub:{}:{first}, of {}",
            source.repository(),
            shown(&gguf_files(listing))
        ))),
    }
}

/// The files of those names that are there, and the index where the weights are in shards.
pub(super) fn beside<'a>(listing: &'a Listing, names: &[&str]) -> Vec<&'a ListedFile> {
    listing
        .files
        .iter()
        .filter(|file| match file.path.as_str() {
            INDEX => !has_single(listing),
            path => names.contains(&path),
        })
        .collect()
}

/// Whether all weights are in one file.
pub(super) fn has_single(listing: &Listing) -> bool {
    listing.find(SINGLE).is_some()
}

/// The one file of weights.
pub(super) fn single(listing: &Listing) -> Vec<&ListedFile> {
    listing.find(SINGLE).into_iter().collect()
}

/// `model.safetensors.index.json`
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The shards that an index names.
pub(super) fn shards<'a>(
    source: &HubSource,
    listing: &'a Listing,
    index: &[u8],
) -> Result<Vec<&'a ListedFile>, HubError> {
    let index: Index = serde_json::from_slice(index)
        .map_err(|error| refusal(source, format!("{INDEX}: {error}")))?;
    let names: BTreeSet<&String> = index.weight_map.values().collect();
    let odd = |name: &&&String| !is_plain_path(name) || name.contains('/');
    if let Some(name) = names.iter().find(odd) {
        return Err(refusal(
            source,
            format!("{INDEX}: shard {name:?} is not the name of a file in the same folder"),
        ));
    }
    let (found, missing): (Vec<_>, Vec<_>) = names
        .into_iter()
        .map(|name| (name, listing.find(name)))
        .partition(|(_, file)| file.is_some());
    if !missing.is_empty() {
        let missing: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
        return Err(refusal(
            source,
            format!(
                "{INDEX} names shards that are not there: {}",
                shown(&missing)
            ),
        ));
    }
    Ok(found.into_iter().filter_map(|(_, file)| file).collect())
}

fn refusal(source: &HubSource, reason: String) -> HubError {
    HubError::Choice {
        repository: source.repository().to_owned(),
        reason,
    }
}

/// The GGUF file of that name, or the only one of that quantization.
fn named(source: &HubSource, listing: &Listing, asked: &str) -> Result<String, HubError> {
    if let Some(file) = listing.find(asked).filter(|file| is_gguf(&file.path)) {
        if is_part(&file.path) {
            return Err(refusal(
                source,
                format!(
                    "{asked} is a part of a split GGUF file; merge its parts and use gguf:PATH"
                ),
            ));
        }
        return Ok(asked.to_owned());
    }
    let files = gguf_files(listing);
    let matching: Vec<&str> = files
        .iter()
        .copied()
        .filter(|file| has_quantization(file, asked))
        .collect();
    match matching[..] {
        [only] => Ok(only.to_owned()),
        [] if files.is_empty() => Err(refusal(
            source,
            "holds no GGUF file in one piece".to_owned(),
        )),
        [] => Err(refusal(
            source,
            format!("no GGUF file is {asked}; there are {}", shown(&files)),
        )),
        [_, _, ..] => Err(refusal(
            source,
            format!("{asked} is several files; name one of {}", shown(&matching)),
        )),
    }
}

/// GGUF files that hold a whole language model.
fn gguf_files(listing: &Listing) -> Vec<&str> {
    let mut files: Vec<&str> = listing
        .files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| is_gguf(path) && !is_part(path) && !is_projector(path))
        .collect();
    files.sort_unstable();
    files
}

fn is_gguf(path: &str) -> bool {
    path.to_ascii_lowercase().ends_with(".gguf")
}

/// Whether a file is one of several that llama.cpp split a model into, like `x-00001-of-00003.gguf`.
fn is_part(path: &str) -> bool {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    let numbers: Vec<&str> = stem.rsplitn(4, '-').take(3).collect();
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|c| c.is_ascii_digit());
    matches!(numbers[..], [count, "of", part] if is_number(count) && is_number(part))
}

/// Whether a file is the image encoder that accompanies a language model.
fn is_projector(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.to_ascii_lowercase().starts_with("mmproj")
}

/// Whether a quantization stands in a file's name as a word of its own: `Q4_K` is not in `x-Q4_K_M.gguf`.
fn has_quantization(path: &str, asked: &str) -> bool {
    let (path, asked) = (path.to_ascii_lowercase(), asked.to_ascii_lowercase());
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    path.match_indices(&asked).any(|(start, _)| {
        let (before, after) = (&path[..start], &path[start + asked.len()..]);
        !before.ends_with(in_word) && !after.starts_with(in_word)
    })
}

fn shown(names: &[&str]) -> String {
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(paths: &[&str]) -> Listing {
        let files = paths.iter().map(|path| ListedFile {
            path: (*path).to_owned(),
            size: None,
            id: None,
        });
        Listing {
            commit: "c1899de289a04d12100db370d81485cdf75e47ca".parse().unwrap(),
            files: files.collect(),
        }
    }

    #[track_caller]
    fn takes(source: &str, paths: &[&str], expected: Result<&str, &str>) {
        let form = form(&source.parse().unwrap(), &listing(paths));
        match (form, expected) {
            (Ok(Form::Folder), Ok(path)) => assert_eq!(path, "folder"),
            (Ok(Form::Gguf(found)), Ok(path)) => assert_eq!(found, path),
            (Err(error), Err(reason)) => {
                assert!(error.to_string().contains(reason), "{error}");
            }
            (found, expected) => panic!("{found:?} where {expected:?} was expected"),
        }
    }

    #[test]
    fn safetensors_come_before_gguf_unless_one_is_named() {
        let both = ["config.json", "model.safetensors", "x-Q8_0.gguf"];
        takes("a/b", &both, Ok("folder"));
        takes("a/b:q8_0", &both, Ok("x-Q8_0.gguf"));
        takes("a/b", &["model.safetensors.index.json"], Ok("folder"));
        takes("a/b", &["x.gguf", "mmproj-x.gguf"], Ok("x.gguf"));
        takes("a/b", &["pytorch_model.bin"], Err("holds neither"));
    }

    #[test]
    fn a_gguf_file_is_chosen_by_name_or_by_quantization() {
        let files = [
            "m-Q4_K_M.gguf",
            "m-Q4_K_S.gguf",
            "m.q8_0.gguf",
            "UD/m-Q2_K.gguf",
        ];
        takes("a/b:Q4_K_M", &files, Ok("m-Q4_K_M.gguf"));
        takes("a/b:q8_0", &files, Ok("m.q8_0.gguf"));
        takes("a/b:UD/m-Q2_K.gguf", &files, Ok("UD/m-Q2_K.gguf"));
        takes(
            "a/b:Q4_K",
            &files,
            Err("no GGUF file is Q4_K; there are UD/m-Q2_K.gguf, m-Q4_K_M.gguf"),
        );
        takes(
            "a/b",
            &files,
            Err("choose one, like hub:a/b:UD/m-Q2_K.gguf"),
        );
        takes(
            "a/b:Q8_0",
            &["x-Q8_0.gguf", "y-Q8_0.gguf"],
            Err("several files; name one of"),
        );
        takes("a/b:Q8_0", &["config.json"], Err("holds no GGUF file"));
    }

    #[test]
    fn a_split_gguf_file_is_refused_with_the_remedy() {
        let parts = ["m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"];
        takes("a/b", &parts, Err("holds neither"));
        takes("a/b:Q8_0", &parts, Err("in one piece"));
        takes(
            "a/b:m-Q8_0-00001-of-00002.gguf",
            &parts,
            Err("merge its parts"),
        );
    }

    #[test]
    fn an_index_names_shards_of_the_same_folder_that_are_there() {
        let source = "a/b".parse().unwrap();
        let listing = listing(&["m-1.safetensors", "m-2.safetensors", "other.safetensors"]);
        let of = |map: &str| {
            let index = format!(r#"{{"metadata":{{}},"weight_map":{map}}}"#);
            shards(&source, &listing, index.as_bytes())
                .map(|files| {
                    files
                        .iter()
                        .map(|file| file.path.clone())
                        .collect::<Vec<_>>()
                })
                .map_err(|error| error.to_string())
        };
        let two = r#"{"a":"m-1.safetensors","b":"m-2.safetensors","c":"m-1.safetensors"}"#;
        assert_eq!(of(two).unwrap(), ["m-1.safetensors", "m-2.safetensors"]);
        let message = of(r#"{"a":"m-1.safetensors","b":"m-3.safetensors"}"#).unwrap_err();
        assert!(message.ends_with("not there: m-3.safetensors"), "{message}");
        let message = of(r#"{"a":"../m.safetensors"}"#).unwrap_err();
        assert!(message.contains("is not the name of a file"), "{message}");
        assert!(of("[]").is_err());
    }

    #[test]
    fn what_accompanies_the_weights_is_taken_where_it_is_there() {
        let listing = listing(&[
            "README.md",
            "config.json",
            "tokenizer.json",
            "original/config.json",
            "model.safetensors.index.json",
            "model-1.safetensors",
            "pytorch_model.bin",
        ]);
        let names: Vec<&str> = beside(&listing, &BESIDE)
            .iter()
            .map(|f| f.path.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "config.json",
                "tokenizer.json",
                "model.safetensors.index.json"
            ]
        );
    }
}
