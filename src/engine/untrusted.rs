//! Files from strangers, from their bytes to a verdict: what fuzzing holds on to.
//!
//! Each function does everything that is done with such a file before its weights are read, and checks
//! what the rest of the program then relies on.

use super::weights::{index, shard};
use super::{config, gguf};

/// Validates a GGUF file and what it says of a tokenizer.
///
/// # Panics
/// When a tensor of an accepted file lies outside of it, which would be a bug of the validator.
pub fn check_gguf(bytes: &[u8]) -> Result<(), String> {
    let words = |refusal: gguf::Refusal| format!("{}: {}", refusal.place, refusal.reason);
    let (header, architecture) = gguf::validate(bytes).map_err(words)?;
    for tensor in header.tensors.values() {
        assert!(bytes.get(tensor.range.clone()).is_some(), "{tensor:?}");
    }
    assert!(config::impossible(&architecture.shape).is_none());
    // Most files of the corpus have none, and are sound all the same.
    let _ = gguf::check_texts(bytes, &header);
    Ok(())
}

/// Validates the header of a safetensors file.
///
/// # Panics
/// When a tensor of an accepted file lies outside of it, which would be a bug of the validator.
pub fn check_safetensors(bytes: &[u8]) -> Result<(), String> {
    for entry in shard::read_header(bytes)? {
        assert!(bytes.get(entry.range.clone()).is_some(), "{entry:?}");
    }
    Ok(())
}

/// Reads `model.safetensors.index.json`.
///
/// # Panics
/// When the index leads outside of its folder, which would be a bug of the reader.
pub fn check_index(bytes: &[u8]) -> Result<(), String> {
    for shard in index::parse(bytes)?.weight_map.0.values() {
        assert!(!shard.contains('/') && shard != "..", "{shard}");
    }
    Ok(())
}

/// Reads `config.json` down to the shape.
///
/// # Panics
/// When an accepted shape is not one that can be computed with, which would be a bug of the reader.
pub fn check_config(bytes: &[u8]) -> Result<(), String> {
    let shape = config::parse(bytes)?.shape;
    assert!(config::impossible(&shape).is_none());
    assert!(shape.parameters() > 0 && shape.kv_elements_per_token() > 0);
    Ok(())
}
