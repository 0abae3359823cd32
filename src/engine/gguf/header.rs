//! The header of a GGUF file, validated with checked arithmetic before anything relies on it.
//!
//! Nothing is allocated by a number that the file declares: every count is compared with a limit or with
//! the bytes that are left, and long arrays and texts are passed over instead of kept.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3.

use std::collections::BTreeMap;
use std::ops::Range;

use super::form::Form;
use super::reader::{Reader, Refusal, Value, unknown_kind, width_of};

/// Metadata entries; a large vocabulary is one entry, and published files have below a hundred.
const KEYS: u64 = 1 << 11;
/// Tensors; a model of 405 billion parameters has about a thousand.
const TENSORS: u64 = 1 << 14;
/// Bytes of a key. The format allows 64 KiB, the longest in use has below a hundred.
const KEY_BYTES: u64 = 1 << 10;
/// Bytes of the name of a tensor, as the format says.
const NAME_BYTES: u64 = 64;
/// Dimensions of a tensor, as ggml has it.
const DIMENSIONS: u32 = 4;
/// Elements of an array that is kept; longer ones (vocabularies) are only counted.
const KEPT_ELEMENTS: u64 = 1024;
/// Bytes of a text that is kept; longer ones (chat templates) are only measured.
const KEPT_TEXT: u64 = 1024;
/// Alignment of tensor data where the file does not say.
const ALIGNMENT: u64 = 32;

/// A tensor as the header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    /// Its name.
    pub(crate) name: String,
    /// Its dimensions, outermost first (the file has them innermost first).
    pub(crate) dims: Vec<u64>,
    /// How its elements are stored.
    pub(crate) form: Form,
    /// Its bytes in the file.
    pub(crate) range: Range<usize>,
}

/// A validated header.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Header {
    /// Metadata by key.
    pub(crate) metadata: BTreeMap<String, Value>,
    /// Where the type and the value of each key stand in the file.
    pub(crate) values: BTreeMap<String, Range<usize>>,
    /// Tensors by name.
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

/// Reads and validates the header of a file whose bytes these are.
pub(crate) fn read(file: &[u8]) -> Result<Header, Refusal> {
    let mut reader = Reader::new(file);
    read_magic(&mut reader)?;
    let tensor_count = reader.count("number of tensors", TENSORS)?;
    let key_count = reader.count("number of keys", KEYS)?;
    let (mut metadata, mut values) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..key_count {
        let key = read_key(&mut reader)?;
        let start = reader.position;
        let value = read_value(&mut reader, &key)?;
        if metadata.contains_key(&key) {
            return Err(Refusal::new(format!("key {key}"), "stands twice"));
        }
        values.insert(key.clone(), start..reader.position);
        metadata.insert(key, value);
    }
    refuse_part(&metadata)?;
    let alignment = alignment_of(&metadata)?;
    let mut declared = BTreeMap::new();
    for _ in 0..tensor_count {
        let tensor = read_tensor(&mut reader, alignment)?;
        let place = format!("tensor {}", tensor.name);
        if declared.insert(tensor.name.clone(), tensor).is_some() {
            return Err(Refusal::new(place, "stands twice"));
        }
    }
    let data = (reader.position as u64).next_multiple_of(alignment);
    let tensors = place_tensors(declared, data, file.len() as u64)?;
    Ok(Header {
        metadata,
        values,
        tensors,
    })
}

fn read_magic(reader: &mut Reader<'_>) -> Result<(), Refusal> {
    let magic = reader.take(4)?;
    if magic != b"GGUF" {
        return Err(Refusal::new(
            "offset 0",
            format!(
                "{:?} instead of \"GGUF\"; this is no GGUF file",
                magic.escape_ascii().to_string()
            ),
        ));
    }
    match reader.u32()? {
        2 | 3 => Ok(()),
        swapped if (1..=3).contains(&swapped.swap_bytes()) => Err(Refusal::new(
            "offset 4",
            "the file is big-endian; convert it to little-endian",
        )),
        version => Err(Refusal::new(
            "offset 4",
            format!(
                "GGUF version {version} is not supported; 2 and 3 are, convert the model again"
            ),
        )),
    }
}

fn read_key(reader: &mut Reader<'_>) -> Result<String, Refusal> {
    let place = reader.place();
    let key = reader.text(KEY_BYTES, "key")?;
    if key.is_empty() {
        return Err(Refusal::new(place, "empty key"));
    }
    String::from_utf8(key.to_vec()).map_err(|_| Refusal::new(place, "key is not UTF-8"))
}

fn read_value(reader: &mut Reader<'_>, key: &str) -> Result<Value, Refusal> {
    let named = |refusal: Refusal| Refusal {
        place: format!("key {key}, {}", refusal.place),
        reason: refusal.reason,
    };
    let kind = reader.u32().map_err(named)?;
    let value = match kind {
        8 => read_text(reader),
        9 => read_array(reader),
        _ => reader.number(kind),
    };
    value.map_err(named)
}

fn read_text(reader: &mut Reader<'_>) -> Result<Value, Refusal> {
    let text = reader.text(u64::MAX, "text")?;
    let kept = (text.len() as u64 <= KEPT_TEXT).then(|| String::from_utf8_lossy(text).into_owned());
    Ok(Value::Text(kept))
}

fn read_array(reader: &mut Reader<'_>) -> Result<Value, Refusal> {
    let place = reader.place();
    let kind = reader.u32()?;
    let count = reader.u64()?;
    match kind {
        8 => {
            // Each text takes at least the eight bytes of its length, so the count is bounded by the file.
            for _ in 0..count {
                reader.text(u64::MAX, "text in an array")?;
            }
            Ok(Value::Array {
                count,
                numbers: None,
            })
        }
        9 => Err(Refusal::new(place, "arrays of arrays are not supported")),
        _ => {
            let width = width_of(kind).ok_or_else(|| unknown_kind(&place, kind))?;
            let bytes = count
                .checked_mul(width)
                .filter(|bytes| *bytes <= reader.left());
            let Some(bytes) = bytes else {
                return Err(Refusal::new(
                    place,
                    format!(
                        "array of {count} elements, but {} bytes are left",
                        reader.left()
                    ),
                ));
            };
            if count > KEPT_ELEMENTS {
                reader.take(bytes)?;
                return Ok(Value::Array {
                    count,
                    numbers: None,
                });
            }
            let numbers = (0..count)
                .map(|_| Ok(reader.number(kind)?.number().unwrap_or(0.0)))
                .collect::<Result<Vec<f64>, Refusal>>()?;
            Ok(Value::Array {
                count,
                numbers: Some(numbers),
            })
        }
    }
}

/// A tensor whose range is still relative to the data section.
fn read_tensor(reader: &mut Reader<'_>, alignment: u64) -> Result<Declared, Refusal> {
    let start = reader.place();
    let name = reader.text(NAME_BYTES, "name of a tensor")?;
    let name = match std::str::from_utf8(name) {
        Ok(name) if !name.is_empty() => name.to_owned(),
        _ => {
            return Err(Refusal::new(
                start,
                "the name of a tensor is empty or not UTF-8",
            ));
        }
    };
    let refuse = |reason: String| Refusal::new(format!("tensor {name}"), reason);
    let count = reader.u32()?;
    if !(1..=DIMENSIONS).contains(&count) {
        return Err(refuse(format!(
            "{count} dimensions are not within 1 and {DIMENSIONS}"
        )));
    }
    let mut dims = (0..count)
        .map(|_| reader.u64())
        .collect::<Result<Vec<u64>, Refusal>>()?;
    if let Some(dim) = dims
        .iter()
        .find(|dim| **dim == 0 || **dim > i64::MAX as u64)
    {
        return Err(refuse(format!("dimension {dim} in shape {dims:?}")));
    }
    let form = Form::from_id(reader.u32()?).map_err(refuse)?;
    let bytes = form.bytes(&dims).map_err(refuse)?;
    let offset = reader.u64()?;
    if !offset.is_multiple_of(alignment) {
        return Err(refuse(format!(
            "offset {offset} is not a multiple of the alignment {alignment}"
        )));
    }
    dims.reverse();
    Ok(Declared {
        name,
        dims,
        form,
        offset,
        bytes,
    })
}

/// A tensor before its place in the file is checked.
struct Declared {
    name: String,
    dims: Vec<u64>,
    form: Form,
    offset: u64,
    bytes: u64,
}

/// Refuses tensors that reach beyond the file or into each other.
fn place_tensors(
    declared: BTreeMap<String, Declared>,
    data: u64,
    size: u64,
) -> Result<BTreeMap<String, Tensor>, Refusal> {
    if declared.is_empty() {
        return Err(Refusal::new("header", "the file has no tensors"));
    }
    let mut tensors = BTreeMap::new();
    for (name, declared) in declared {
        let start = data.checked_add(declared.offset);
        let end = start.and_then(|start| start.checked_add(declared.bytes));
        let (Some(start), Some(end)) = (start, end.filter(|end| *end <= size)) else {
            return Err(Refusal::new(
                format!("tensor {name}"),
                format!(
                    "{} bytes at offset {} of the data, which begins at {data}, reach beyond the \
                     file of {size} bytes; download it again",
                    declared.bytes, declared.offset
                ),
            ));
        };
        let tensor = Tensor {
            name: declared.name,
            dims: declared.dims,
            form: declared.form,
            range: start as usize..end as usize,
        };
        tensors.insert(name, tensor);
    }
    let mut ordered: Vec<&Tensor> = tensors.values().collect();
    ordered.sort_by_key(|tensor| tensor.range.start);
    match ordered
        .windows(2)
        .find(|pair| pair[0].range.end > pair[1].range.start)
    {
        Some(pair) => Err(Refusal::new(
            format!("tensor {}", pair[1].name),
            format!("overlaps tensor {}", pair[0].name),
        )),
        None => Ok(tensors),
    }
}

/// Refuses one of several files, of which only the first knows what the model is.
fn refuse_part(metadata: &BTreeMap<String, Value>) -> Result<(), Refusal> {
    const KEY: &str = "split.count";
    match metadata.get(KEY).and_then(Value::number) {
        Some(parts) if parts > 1.0 => Err(Refusal::new(
            format!("key {KEY}"),
            format!("one of {parts} files; join them with llama-gguf-split --merge"),
        )),
        Some(_) | None => Ok(()),
    }
}

fn alignment_of(metadata: &BTreeMap<String, Value>) -> Result<u64, Refusal> {
    const KEY: &str = "general.alignment";
    let refuse = |reason| Err(Refusal::new(format!("key {KEY}"), reason));
    match metadata.get(KEY) {
        None => Ok(ALIGNMENT),
        Some(Value::Integer(alignment)) => match u64::try_from(*alignment) {
            Ok(alignment @ 8..=0x8000_0000) if alignment.is_power_of_two() => Ok(alignment),
            _ => refuse(format!("{alignment} is not a power of two from 8 on")),
        },
        Some(Value::Float(_) | Value::Bool(_) | Value::Text(_) | Value::Array { .. }) => {
            refuse("not an integer".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
