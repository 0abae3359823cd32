//! The index of a checkpoint in shards: which file holds which tensor.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::files;
use super::shard::Unique;
use crate::engine::EngineError;

/// The file that says which shard holds which tensor.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// The file of weights that are not in shards.
pub(super) const SINGLE: &str = "model.safetensors";
/// Largest index that is read; that of a 405-billion-parameter model has 200 KiB.
const INDEX_LIMIT: u64 = 1 << 20;
/// Missing shards that are named.
const NAMED_SHARDS: usize = 8;

/// `model.safetensors.index.json`
#[derive(Deserialize)]
pub(crate) struct IndexFile {
    /// The shard of each tensor.
    pub(crate) weight_map: Unique<String>,
}

/// The index, unless the folder holds a single file.
pub(super) fn of_folder(folder: &Path) -> Result<Option<IndexFile>, EngineError> {
    let path = folder.join(INDEX);
    if folder.join(SINGLE).exists() {
        return Ok(None);
    }
    if !path.exists() {
        return Err(EngineError::model(
            folder.display(),
            format!("has neither {SINGLE} nor {INDEX}"),
        ));
    }
    let bytes = files::read(&path, INDEX_LIMIT)?;
    parse(&bytes)
        .map(Some)
        .map_err(|reason| EngineError::model(path.display(), reason))
}

/// Reads the index and refuses shards that are not files of the folder itself.
pub(crate) fn parse(bytes: &[u8]) -> Result<IndexFile, String> {
    let index: IndexFile = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let is_plain = |name: &str| Path::new(name).file_name().is_some_and(|file| file == name);
    match index.weight_map.0.values().find(|name| !is_plain(name)) {
        Some(name) => Err(format!(
            "shard {name:?} is not the name of a file in this folder"
        )),
        None => Ok(index),
    }
}

/// The shards that the index names, all of which must be there.
pub(super) fn shards(folder: &Path, index: &IndexFile) -> Result<Vec<String>, EngineError> {
    let place = folder.join(INDEX);
    let names: BTreeSet<&String> = index.weight_map.0.values().collect();
    let missing: Vec<&str> = names
        .iter()
        .map(|name| name.as_str())
        .filter(|name| !folder.join(name).exists())
        .collect();
    if names.is_empty() || !missing.is_empty() {
        return Err(EngineError::model(
            place.display(),
            format!(
                "missing shards: {}; download them",
                if names.is_empty() {
                    "all".to_owned()
                } else {
                    listed(&missing)
                }
            ),
        ));
    }
    Ok(names.into_iter().cloned().collect())
}

/// Names in a row, the first few of many.
fn listed(names: &[&str]) -> String {
    let (shown, rest) = names.split_at(names.len().min(NAMED_SHARDS));
    match rest.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
