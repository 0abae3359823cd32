//! Importance matrices: how strongly each input of each matrix is driven by a text, in the files of
//! llama.cpp's imatrix tool (its GGUF form is read and written, its older binary form is read).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::form::Form;
use super::header;
use super::write::{Fresh, Meta, Outline, Planned};
use crate::engine::EngineError;
use crate::engine::weights::files::{self, Mapping};
use crate::engine::weights::floats::{FloatKind, Floats};

/// Endings of the two tensors of an entry.
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";
/// Largest file of the older form; that of a 405-billion-parameter model has 100 MB.
const LEGACY_LIMIT: u64 = 1 << 29;
/// Share of the mean that an input counts for at least: an input that a text never drives would leave
/// its weights to chance.
const FLOOR: f32 = 1e-6;

/// Mean squares of the inputs of each matrix.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Importance {
    /// By the name of the matrix in a GGUF file.
    entries: BTreeMap<String, Vec<f32>>,
    /// Tokens that were seen.
    tokens: u64,
    /// Tokens of a window.
    window: u32,
    /// File that it was read from or that its text came from.
    name: String,
}

/// Sums over the tokens seen so far.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    sums: BTreeMap<String, Vec<f64>>,
    tokens: u64,
}

impl Collected {
    /// Adds the sums of squares of the inputs of a matrix over some tokens.
    pub(crate) fn add(&mut self, matrix: &str, squares: &[f32]) {
        let sums = self
            .sums
            .entry(matrix.to_owned())
            .or_insert_with(|| vec![0.0; squares.len()]);
        for (sum, square) in sums.iter_mut().zip(squares) {
            *sum += f64::from(*square);
        }
    }

    /// Counts tokens whose inputs were added for every matrix.
    pub(crate) fn count(&mut self, tokens: u64) {
        self.tokens += tokens;
    }

    /// Means from the sums; `text` names what the tokens were taken from.
    pub(crate) fn means(self, text: &str, window: u32) -> Importance {
        let tokens = self.tokens.max(1) as f64;
        let mean = |sums: Vec<f64>| sums.into_iter().map(|sum| (sum / tokens) as f32).collect();
        Importance {
            entries: self
                .sums
                .into_iter()
                .map(|(name, sums)| (name, mean(sums)))
                .collect(),
            tokens: self.tokens,
            window,
            name: text.to_owned(),
        }
    }
}

impl Importance {
    /// Reads a file of either form.
    pub(crate) fn read(path: &Path) -> Result<Self, EngineError> {
        let bytes = Mapping::open(path)?;
        let read = if bytes.starts_with(b"GGUF") {
            read_gguf(&bytes)
        } else {
            read_legacy(&files::read(path, LEGACY_LIMIT)?)
        };
        let mut importance = read.map_err(|reason| EngineError::model(path.display(), reason))?;
        importance.name = path.display().to_string();
        for (matrix, values) in &mut importance.entries {
            if values
                .iter()
                .any(|value| !(value.is_finite() && *value >= 0.0))
            {
                let place = format!("{}: {matrix}", path.display());
                return Err(EngineError::model(
                    place,
                    "a mean square is negative or not a number",
                ));
            }
            raise(values);
        }
        Ok(importance)
    }

    /// Writes the GGUF form.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let planned = |name: String, columns: usize| Planned {
            name,
            dims: vec![1, columns as u64],
            form: Form::Float(FloatKind::F32),
        };
        let chunks = self.tokens / u64::from(self.window.max(1));
        let outline = Outline {
            metadata: vec![
                ("general.type".to_owned(), Meta::Text("imatrix".to_owned())),
                (
                    "imatrix.datasets".to_owned(),
                    Meta::Texts(vec![self.name.clone()]),
                ),
                ("imatrix.chunk_count".to_owned(), Meta::Count(chunks as u32)),
                ("imatrix.chunk_size".to_owned(), Meta::Count(self.window)),
            ],
            tensors: self
                .entries
                .iter()
                .flat_map(|(matrix, values)| {
                    [
                        planned(format!("{matrix}{SUMS}"), values.len()),
                        planned(format!("{matrix}{COUNTS}"), 1),
                    ]
                })
                .collect(),
        };
        let mut file = Fresh::create(path)?;
        file.outline(&outline)?;
        let count = self.tokens as f32;
        for values in self.entries.values() {
            let sums = values.iter().flat_map(|mean| (mean * count).to_le_bytes());
            file.tensor(&sums.collect::<Vec<u8>>())?;
            file.tensor(&count.to_le_bytes())?;
        }
        file.finish()
    }

    /// The mean squares of a matrix's inputs, `None` where the text told nothing of it.
    pub(crate) fn of(&self, matrix: &str, columns: usize) -> Result<Option<&[f32]>, EngineError> {
        match self.entries.get(matrix) {
            None => Ok(None),
            Some(values) if values.len() == columns => Ok(Some(values)),
            Some(values) => Err(EngineError::model(
                format!("{}: {matrix}", self.name),
                format!(
                    "{} inputs, the matrix has {columns}; it belongs to another model",
                    values.len()
                ),
            )),
        }
    }

    /// Matrices that are told of.
    pub(crate) fn matrices(&self) -> usize {
        self.entries.len()
    }

    /// Tokens that were seen; the older form counts calls instead, one per window.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// What a quantized file says of it.
    pub(super) fn metadata(&self) -> Vec<(String, Meta)> {
        let file = Path::new(&self.name).file_name().unwrap_or_default();
        let chunks = self.tokens / u64::from(self.window.max(1));
        [
            ("file", Meta::Text(file.to_string_lossy().into_owned())),
            ("entries_count", Meta::Count(self.entries.len() as u32)),
            ("chunks_count", Meta::Count(chunks as u32)),
        ]
        .into_iter()
        .map(|(key, value)| (format!("quantize.imatrix.{key}"), value))
        .collect()
    }
}

/// Lifts what is next to nothing, and makes all equal where all is nothing.
fn raise(values: &mut [f32]) {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let least = if mean > 0.0 { mean * FLOOR } else { 1.0 };
    for value in values {
        *value = value.max(least);
    }
}

fn read_gguf(bytes: &[u8]) -> Result<Importance, String> {
    let header =
        header::read(bytes).map_err(|refusal| format!("{}: {}", refusal.place, refusal.reason))?;
    let whole = |key: &str| {
        header
            .metadata
            .get(key)
            .and_then(super::reader::Value::number)
    };
    let numbers = |name: &str| {
        let tensor = header.tensors.get(name)?;
        let mut values = vec![0.0; tensor.dims.iter().product::<u64>() as usize];
        (tensor.form == Form::Float(FloatKind::F32)).then(|| {
            Floats::new(FloatKind::F32, &bytes[tensor.range.clone()]).widen(0, &mut values);
            values
        })
    };
    let mut importance = Importance {
        window: whole("imatrix.chunk_size").unwrap_or(0.0) as u32,
        ..Importance::default()
    };
    for name in header.tensors.keys() {
        let Some(matrix) = name.strip_suffix(SUMS) else {
            continue;
        };
        let (sums, counts) = (numbers(name), numbers(&format!("{matrix}{COUNTS}")));
        let (Some(mut sums), Some(&[count])) = (sums, counts.as_deref()) else {
            return Err(format!(
                "{matrix}: its sums and one count in F32 are needed; experts are not supported"
            ));
        };
        if count > 0.0 {
            for sum in &mut sums {
                *sum /= count;
            }
        }
        importance.tokens = importance.tokens.max(count as u64);
        importance.entries.insert(matrix.to_owned(), sums);
    }
    if importance.entries.is_empty() {
        return Err("no importances; this GGUF file is something else".to_owned());
    }
    Ok(importance)
}

/// Entries of name, calls and values, all numbers in 32 bits.
fn read_legacy(bytes: &[u8]) -> Result<Importance, String> {
    let mut rest = bytes;
    let entries = whole(&mut rest)?;
    let mut importance = Importance {
        window: 1,
        ..Importance::default()
    };
    for _ in 0..entries {
        let length = whole(&mut rest)?;
        let name = take(&mut rest, length)?;
        let name = std::str::from_utf8(name).map_err(|_| "a name is not UTF-8".to_owned())?;
        let calls = whole(&mut rest)?;
        let count = whole(&mut rest)?;
        let values = take(&mut rest, count.checked_mul(4).ok_or("too many values")?)?;
        let calls_or_one = calls.max(1) as f32;
        let mut means = vec![0.0; count];
        Floats::new(FloatKind::F32, values).widen(0, &mut means);
        for mean in &mut means {
            *mean /= calls_or_one;
        }
        importance.tokens = importance.tokens.max(calls as u64);
        importance.entries.insert(name.to_owned(), means);
    }
    if importance.entries.values().any(Vec::is_empty) || importance.entries.is_empty() {
        return Err("no importances; this is neither form of an importance matrix".to_owned());
    }
    Ok(importance)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    let Some((taken, left)) = rest.split_at_checked(count) else {
        return Err(format!(
            "{count} bytes are declared, but {} are left; this is neither form of an importance matrix",
            rest.len()
        ));
    };
    *rest = left;
    Ok(taken)
}

fn whole(rest: &mut &[u8]) -> Result<usize, String> {
    let bytes = take(rest, 4)?;
    let value = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    usize::try_from(value).map_err(|_| format!("{value} where a count should stand"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected() -> Importance {
        let mut collected = Collected::default();
        collected.add("blk.0.attn_q.weight", &[2.0, 0.0, 6.0]);
        collected.add("blk.0.attn_q.weight", &[2.0, 0.0, 2.0]);
        collected.add("blk.0.ffn_down.weight", &[4.0]);
        collected.count(4);
        collected.means("some.txt", 2)
    }

    #[test]
    fn means_are_sums_over_tokens() {
        let importance = collected();
        let of = |name, columns| importance.of(name, columns).unwrap();
        assert_eq!(
            of("blk.0.attn_q.weight", 3),
            Some([1.0, 0.0, 2.0].as_slice())
        );
        assert_eq!(of("blk.0.ffn_down.weight", 1), Some([1.0].as_slice()));
        assert_eq!(of("blk.1.ffn_down.weight", 1), None);
        let message = importance
            .of("blk.0.ffn_down.weight", 2)
            .unwrap_err()
            .to_string();
        assert!(message.contains("1 inputs, the matrix has 2"), "{message}");
    }

    #[test]
    fn what_is_written_is_read_with_nothing_left_at_zero() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.imatrix.gguf");
        collected().write(&path).unwrap();
        let read = Importance::read(&path).unwrap();
        assert_eq!((read.tokens(), read.window, read.matrices()), (4, 2, 2));
        let values = read.of("blk.0.attn_q.weight", 3).unwrap().unwrap();
        assert_eq!(Some(values), Some([1.0, 1e-6, 2.0].as_slice()));
    }

    #[test]
    fn the_older_form_is_read() {
        let mut bytes = 1_i32.to_le_bytes().to_vec();
        let name = b"blk.0.attn_q.weight";
        bytes.extend((name.len() as i32).to_le_bytes());
        bytes.extend(name);
        bytes.extend(5_i32.to_le_bytes());
        bytes.extend(2_i32.to_le_bytes());
        bytes.extend(
            [10.0_f32, 20.0]
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
        let read = read_legacy(&bytes).unwrap();
        assert_eq!(
            read.of("blk.0.attn_q.weight", 2).unwrap(),
            Some([2.0, 4.0].as_slice())
        );
        for length in 0..bytes.len() {
            assert!(read_legacy(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_text_that_drives_nothing_makes_all_inputs_equal() {
        let mut values = [0.0, 0.0];
        raise(&mut values);
        assert_eq!(values.map(f32::to_bits), [1.0_f32; 2].map(f32::to_bits));
    }
}
