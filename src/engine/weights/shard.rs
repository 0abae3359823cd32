//! One safetensors file: its header validated, its tensors as slices of the mapping.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::files::Mapping;
use super::floats::{FloatKind, Floats};
use crate::engine::EngineError;

/// Largest header that is read. A header of a thousand tensors has about 100 KiB; the format's own limit
/// of 100 MB would let a hostile file fill memory.
const HEADER_LIMIT: u64 = 2 << 20;
/// Bytes that hold the length of the header.
const PREFIX: usize = 8;

/// A mapped safetensors file.
pub(crate) struct Shard {
    path: PathBuf,
    bytes: Mapping,
    tensors: Vec<Entry>,
}

/// A tensor of a shard.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) name: String,
    /// Its element type.
    pub(crate) dtype: Dtype,
    /// Its dimensions.
    pub(crate) dims: Vec<usize>,
    /// Its bytes in the file.
    pub(crate) range: Range<usize>,
}

impl Entry {
    /// The element type if it is one that decoders are made of.
    pub(crate) fn kind(&self) -> Option<FloatKind> {
        match self.dtype {
            Dtype::F32 => Some(FloatKind::F32),
            Dtype::F16 => Some(FloatKind::F16),
            Dtype::BF16 => Some(FloatKind::Bf16),
            _ => None,
        }
    }
}

impl Shard {
    /// Maps a file and validates its header.
    pub(crate) fn open(path: &Path) -> Result<Self, EngineError> {
        Self::read(path, Mapping::open(path)?)
    }

    /// Validates the header of a file that is in memory.
    pub(crate) fn read(path: &Path, bytes: Mapping) -> Result<Self, EngineError> {
        let refuse = |reason: String| EngineError::model(path.display(), reason);
        let tensors = read_header(&bytes).map_err(refuse)?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            tensors,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its tensors.
    pub(crate) fn tensors(&self) -> &[Entry] {
        &self.tensors
    }

    /// The elements of one of its tensors.
    pub(crate) fn floats(&self, entry: &Entry, kind: FloatKind) -> Floats<'_> {
        Floats::new(kind, &self.bytes[entry.range.clone()])
    }

    /// Lets the elements of a tensor go that have been placed.
    pub(crate) fn release(&self, entry: &Entry) {
        self.bytes.release(entry.range.clone());
    }
}

/// Validates the header of a file whose bytes these are.
pub(crate) fn read_header(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let size = bytes.len();
    let Some(prefix) = bytes.first_chunk::<PREFIX>() else {
        return Err(format!(
            "truncated: {size} bytes do not hold the length of a safetensors header"
        ));
    };
    let length = u64::from_le_bytes(*prefix);
    if length > HEADER_LIMIT {
        return Err(format!(
            "offset 0: header of {length} bytes is larger than {HEADER_LIMIT}; this is no \
             safetensors file or a damaged one"
        ));
    }
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| {
        format!("{error} (header of {length} bytes, file of {size} bytes); download it again")
    })?;
    let data = PREFIX + length as usize;
    let header = &bytes[PREFIX..data];
    serde_json::from_slice::<Unique<IgnoredAny>>(header)
        .map_err(|error| format!("header: {error}"))?;
    let mut tensors: Vec<Entry> = metadata
        .tensors()
        .into_iter()
        .map(|(name, info)| Entry {
            name,
            dtype: info.dtype,
            dims: info.shape.clone(),
            range: data + info.data_offsets.0..data + info.data_offsets.1,
        })
        .collect();
    tensors.sort_by_key(|entry| entry.range.start);
    Ok(tensors)
}

/// A JSON object none of whose keys stands twice; other parsers keep the last of the two.
pub(crate) struct Unique<V>(pub(crate) BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueKeys(PhantomData))
    }
}

struct UniqueKeys<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueKeys<V> {
    type Value = Unique<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<V>, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if entries.contains_key(&key) {
                return Err(serde::de::Error::custom(format!("{key:?} stands twice")));
            }
            entries.insert(key, map.next_value()?);
        }
        Ok(Unique(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; data]);
        bytes
    }

    #[track_caller]
    fn refused(bytes: &[u8], reason: &str) {
        let message = read_header(bytes).unwrap_err();
        assert!(message.contains(reason), "{message}");
    }

    fn one(dtype: &str, shape: &str, offsets: &str) -> String {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    }

    #[test]
    fn a_sound_file_is_read() {
        let entries = read_header(&file(&one("BF16", "[2,3]", "[0,12]"), 12)).unwrap();
        assert_eq!(entries[0].name, "a");
        assert_eq!(entries[0].dims, [2, 3]);
        assert_eq!(entries[0].kind(), Some(FloatKind::Bf16));
        assert_eq!(entries[0].range.len(), 12);
    }

    /// One case for each error that the format's reader knows.
    #[test]
    fn every_error_of_the_format_is_refused() {
        let sound = one("F32", "[2]", "[0,8]");
        refused(&[], "truncated: 0 bytes");
        refused(&[1, 0, 0], "truncated: 3 bytes");
        refused(&u64::MAX.to_le_bytes(), "larger than 2097152");
        refused(&100u64.to_le_bytes(), "invalid header length");
        let mut cut = file(&sound, 8);
        cut.truncate(20);
        refused(&cut, "invalid header length");
        let mut letters = file(&sound, 8);
        letters[9] = 0xff;
        refused(&letters, "invalid UTF-8");
        refused(&file("{", 0), "invalid JSON");
        refused(&file(&one("F33", "[2]", "[0,8]"), 8), "F33");
        refused(&file(&one("F32", "[3]", "[0,8]"), 8), "invalid shape");
        refused(
            &file(&one("F32", "[2]", "[4,12]"), 12),
            "invalid offset for tensor `a`",
        );
        refused(&file(&one("F32", "[2]", "[8,0]"), 8), "invalid offset");
        refused(&file(&sound, 7), "not fully covered");
        refused(&file(&sound, 9), "not fully covered");
        let huge = "[4294967296,4294967296,16]";
        refused(&file(&one("F32", huge, "[0,8]"), 8), "overflow");
        refused(&file(&one("F4", "[3]", "[0,1]"), 1), "sub");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        let read = |text: &str| serde_json::from_str::<Unique<IgnoredAny>>(text);
        let message = read(r#"{"a": 1, "b": 2, "a": 1}"#)
            .err()
            .unwrap()
            .to_string();
        assert!(
            message.starts_with("\"a\" stands twice at line 1"),
            "{message}"
        );
        assert_eq!(read(r#"{"a": 1, "b": {"a": 2}}"#).unwrap().0.len(), 2);
        assert!(read("[]").is_err());
        let entry = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
        refused(
            &file(&format!("{{{entry},{entry}}}"), 8),
            "\"a\" stands twice",
        );
    }
}
