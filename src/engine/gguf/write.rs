//! Writing GGUF files, version 3: the outline first, then the tensors in its order.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::form::Form;

/// Alignment of tensor data, the format's default.
const ALIGNMENT: u64 = 32;

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Meta {
    /// A 32-bit count.
    Count(u32),
    /// A single-precision number.
    Number(f32),
    /// Yes or no.
    Truth(bool),
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// Small whole numbers.
    Kinds(Vec<i32>),
    /// Single-precision numbers.
    Scores(Vec<f32>),
    /// Type id and value as another file has them.
    Copied(Vec<u8>),
}

impl Meta {
    fn encode(&self, out: &mut Vec<u8>) {
        let kind = |out: &mut Vec<u8>, id: u32| out.extend(id.to_le_bytes());
        match self {
            Self::Count(value) => {
                kind(out, 4);
                out.extend(value.to_le_bytes());
            }
            Self::Number(value) => {
                kind(out, 6);
                out.extend(value.to_le_bytes());
            }
            Self::Truth(value) => {
                kind(out, 7);
                out.push(u8::from(*value));
            }
            Self::Text(value) => {
                kind(out, 8);
                text(out, value);
            }
            Self::Texts(values) => {
                kind(out, 9);
                kind(out, 8);
                out.extend((values.len() as u64).to_le_bytes());
                for value in values {
                    text(out, value);
                }
            }
            Self::Kinds(values) => {
                kind(out, 9);
                kind(out, 5);
                out.extend((values.len() as u64).to_le_bytes());
                for value in values {
                    out.extend(value.to_le_bytes());
                }
            }
            Self::Scores(values) => {
                kind(out, 9);
                kind(out, 6);
                out.extend((values.len() as u64).to_le_bytes());
                for value in values {
                    out.extend(value.to_le_bytes());
                }
            }
            Self::Copied(bytes) => out.extend(bytes),
        }
    }
}

/// A tensor that will be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Its name.
    pub(crate) name: String,
    /// Its dimensions, outermost first.
    pub(crate) dims: Vec<u64>,
    /// How its elements are stored.
    pub(crate) form: Form,
}

impl Planned {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> Result<u64, String> {
        self.form.bytes(&self.innermost_first())
    }

    fn innermost_first(&self) -> Vec<u64> {
        self.dims.iter().rev().copied().collect()
    }
}

/// Everything before the tensors.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outline {
    /// Metadata in the order of the file.
    pub(crate) metadata: Vec<(String, Meta)>,
    /// Tensors in the order of the file.
    pub(crate) tensors: Vec<Planned>,
}

impl Outline {
    /// The bytes of the header with its padding, and of the whole file.
    fn encode(&self) -> Result<(Vec<u8>, u64), String> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(&mut out, key);
            value.encode(&mut out);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            let dims = tensor.innermost_first();
            text(&mut out, &tensor.name);
            out.extend((dims.len() as u32).to_le_bytes());
            for dim in &dims {
                out.extend(dim.to_le_bytes());
            }
            out.extend(tensor.form.id().to_le_bytes());
            out.extend(u64::to_le_bytes(offset));
            offset += tensor.bytes()?.next_multiple_of(ALIGNMENT);
        }
        out.resize(out.len().next_multiple_of(ALIGNMENT as usize), 0);
        let total = out.len() as u64 + offset;
        Ok((out, total))
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A file that appears under its name only when it is complete.
pub(crate) struct Fresh {
    path: PathBuf,
    partial: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Fresh {
    /// Begins a file beside the place where it will appear.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(name);
        let file = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
        Ok(Self {
            path: path.to_owned(),
            partial,
            file: Some(file),
        })
    }

    /// Writes the outline and reports the bytes of the whole file.
    pub(crate) fn outline(&mut self, outline: &Outline) -> io::Result<u64> {
        let (bytes, total) = outline.encode().map_err(io::Error::other)?;
        self.append(&bytes)?;
        Ok(total)
    }

    /// Writes the next tensor.
    pub(crate) fn tensor(&mut self, bytes: &[u8]) -> io::Result<()> {
        let padding = (bytes.len() as u64).next_multiple_of(ALIGNMENT) - bytes.len() as u64;
        self.append(bytes)?;
        self.append(&[0; ALIGNMENT as usize][..padding as usize])
    }

    /// Puts the complete file in its place, on the disk and not only in the system's memory.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if let Some(file) = self.file.take() {
            file.into_inner()?.sync_all()?;
        }
        std::fs::rename(&self.partial, &self.path)?;
        let folder = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // After `finish` there is nothing under this name; before, half a file helps nobody.
        let _ = std::fs::remove_file(&self.partial);
    }
}
