//! A model written as one GGUF file: every matrix in one type, norms and biases in single precision.
//!
//! The blocks are those that a run at this precision computes with, so that the file gives its logits.
//! Tensors are converted and written one at a time; beyond the largest of them nothing is held.

use std::borrow::Cow;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use rayon::prelude::*;

use super::form::Form;
use super::importance::Importance;
use super::original::{self, Original, Stored};
use super::write::{Fresh, Meta, Outline, Planned};
use crate::engine::weights::floats::{FloatKind, Floats};
use crate::engine::{EngineError, quantize};
use crate::study::model::{ModelSource, Precision};

/// Elements that one task narrows at a time.
const PIECE: usize = 1 << 14;

/// What is to be written, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order<'a> {
    /// The model.
    pub(crate) source: &'a ModelSource,
    /// Type of the matrices; not [`Precision::Native`].
    pub(crate) precision: Precision,
    /// How much each input of each matrix matters.
    pub(crate) importance: Option<&'a Importance>,
    /// The file.
    pub(crate) path: &'a Path,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage<'a> {
    /// The tensor that is written next.
    pub(crate) tensor: &'a str,
    /// Elements written.
    pub(crate) done: u64,
    /// Elements in all.
    pub(crate) total: u64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Weights in matrices.
    pub(crate) weights: u64,
    /// Bytes of those matrices.
    pub(crate) weight_bytes: u64,
    /// Matrices that took another type because the asked one does not divide their rows.
    pub(crate) fallbacks: u64,
}

/// Why no file was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// The model cannot be used or not be written in this type.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The file cannot be written.
    #[error("{}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The observer asked to stop.
    #[error("stopped before the file was complete")]
    Stopped,
}

/// Writes the file. It appears when it is complete, and not at all otherwise.
pub(crate) fn export(
    order: Order<'_>,
    observe: &mut dyn FnMut(Stage<'_>) -> ControlFlow<()>,
) -> Result<Written, ExportError> {
    let original = original::open(order.source)?;
    let outline = outline(original.as_ref(), order)?;
    let storage = |source| ExportError::Storage {
        path: order.path.to_owned(),
        source,
    };
    let mut file = Fresh::create(order.path).map_err(storage)?;
    let bytes = file.outline(&outline).map_err(storage)?;
    let sizes = outline.tensors.iter().map(elements);
    let (mut done, total) = (0, sizes.sum());
    for planned in &outline.tensors {
        let stage = Stage {
            tensor: &planned.name,
            done,
            total,
        };
        if observe(stage).is_break() {
            return Err(ExportError::Stopped);
        }
        let stored = original.read(&planned.name)?;
        let converted = convert(&stored, planned, order)?;
        file.tensor(&converted).map_err(storage)?;
        original.release(&planned.name);
        done += elements(planned);
    }
    file.finish().map_err(storage)?;
    Ok(written(&outline, order.precision, bytes))
}

fn elements(planned: &Planned) -> u64 {
    planned.dims.iter().product()
}

fn written(outline: &Outline, precision: Precision, bytes: u64) -> Written {
    let matrices = || {
        outline
            .tensors
            .iter()
            .filter(|planned| planned.dims.len() == 2)
    };
    let other = |planned: &&Planned| planned.form.precision() != precision;
    Written {
        bytes,
        weights: matrices().map(elements).sum(),
        weight_bytes: matrices().filter_map(|planned| planned.bytes().ok()).sum(),
        fallbacks: matrices().filter(other).count() as u64,
    }
}

/// Metadata and tensors as they will be written.
fn outline(original: &dyn Original, order: Order<'_>) -> Result<Outline, EngineError> {
    let mut metadata = original.metadata()?;
    metadata.push((
        "general.file_type".to_owned(),
        Meta::Count(file_type(order.precision)),
    ));
    if !order.precision.is_dense() {
        // The layout of blocks that ggml has had since 2023.
        metadata.push(("general.quantization_version".to_owned(), Meta::Count(2)));
    }
    if let Some(importance) = order.importance {
        metadata.extend(importance.metadata());
    }
    let tensors = original
        .tensors()
        .into_iter()
        .map(|stored| {
            let form = stored_as(&stored, order.precision).map_err(|reason| {
                EngineError::model(format!("{}: tensor {}", order.source, stored.name), reason)
            })?;
            Ok(Planned { form, ..stored })
        })
        .collect::<Result<_, EngineError>>()?;
    Ok(Outline { metadata, tensors })
}

/// The form in which a tensor is written.
fn stored_as(stored: &Planned, precision: Precision) -> Result<Form, String> {
    let &[_, columns] = stored.dims.as_slice() else {
        return Ok(Form::Float(FloatKind::F32));
    };
    let form = Form::of(precision.for_columns(columns)).ok_or("native is not a type to write")?;
    match stored.form {
        Form::Float(_) => Ok(form),
        same if same == form => Ok(form),
        Form::Quant(present) => Err(format!(
            "is {present} already; what was lost does not come back, begin with F16, BF16 or F32"
        )),
    }
}

fn convert<'a>(
    stored: &'a Stored<'_>,
    planned: &Planned,
    order: Order<'_>,
) -> Result<Cow<'a, [u8]>, EngineError> {
    let (bytes, form) = (stored.bytes.as_ref(), stored.form);
    let refuse = |reason: String| {
        EngineError::model(format!("{}: tensor {}", order.source, planned.name), reason)
    };
    if form == planned.form {
        return Ok(Cow::Borrowed(bytes));
    }
    let Form::Float(kind) = form else {
        return Err(refuse("is quantized already".to_owned()));
    };
    let floats = Floats::new(kind, bytes);
    match planned.form {
        Form::Float(kind) => Ok(Cow::Owned(narrow(floats, kind))),
        Form::Quant(precision) => {
            let columns = planned.dims[1] as usize;
            let matters = order
                .importance
                .map(|importance| importance.of(&planned.name, columns))
                .transpose()?
                .flatten();
            let matrix = quantize::quantize(precision, &[floats], (columns, &[matters]))
                .expect("a quantized form is a quantized precision");
            let blocks = matrix.and_then(|matrix| Ok(matrix.data()?.into_owned()));
            blocks
                .map(Cow::Owned)
                .map_err(|error| refuse(error.to_string()))
        }
    }
}

/// The elements in another floating-point type, on all cores.
fn narrow(floats: Floats<'_>, kind: FloatKind) -> Vec<u8> {
    let width = kind.bytes();
    let mut out = vec![0; floats.len() * width];
    out.par_chunks_mut(PIECE * width)
        .enumerate()
        .for_each(|(index, out)| {
            let mut values = vec![0.0; out.len() / width];
            floats.widen(index * PIECE, &mut values);
            for (value, out) in values.iter().zip(out.chunks_exact_mut(width)) {
                match kind {
                    FloatKind::F32 => out.copy_from_slice(&value.to_le_bytes()),
                    FloatKind::F16 => out.copy_from_slice(&f16::from_f32(*value).to_le_bytes()),
                    FloatKind::Bf16 => out.copy_from_slice(&bf16::from_f32(*value).to_le_bytes()),
                }
            }
        });
    out
}

/// llama.cpp's number for a file whose matrices have this type; its small mixtures for k-quants.
const fn file_type(precision: Precision) -> u32 {
    match precision {
        Precision::Native | Precision::F32 => 0,
        Precision::F16 => 1,
        Precision::Q4_0 => 2,
        Precision::Q4_1 => 3,
        Precision::Q8_0 => 7,
        Precision::Q5_0 => 8,
        Precision::Q5_1 => 9,
        Precision::Q2K => 10,
        Precision::Q3K => 11,
        Precision::Q4K => 14,
        Precision::Q5K => 16,
        Precision::Q6K => 18,
        Precision::Bf16 => 32,
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::super::GgufFile;
    use super::super::reader::Value;
    use super::*;
    use crate::engine::decoder::reference;
    use crate::engine::gguf::importance::Collected;
    use crate::engine::weights::{self, Wanted};
    use crate::engine::{Progress, tiny};

    const PROMPT: [u32; 9] = [0, 500, 11, 300, 7, 1000, 42, 13, 600];

    fn fixture(name: &str) -> ModelSource {
        let path = format!("{}/tests/fixtures/gguf/{name}", env!("CARGO_MANIFEST_DIR"));
        ModelSource::Gguf(path.into())
    }

    fn write(
        source: &ModelSource,
        precision: Precision,
        path: &Path,
    ) -> Result<Written, ExportError> {
        let order = Order {
            source,
            precision,
            importance: None,
            path,
        };
        export(order, &mut |_| ControlFlow::Continue(()))
    }

    fn logits(source: &ModelSource, precision: Precision, ids: &[u32]) -> Vec<Vec<f32>> {
        let progress = Progress::default();
        let wanted = Wanted::new(source, precision, 1);
        let weights = weights::load(wanted, &Device::Cpu, &progress).unwrap();
        let logits: Tensor = reference::logits(
            &weights,
            (ids, ids.len()),
            &Device::Cpu,
            &Progress::default(),
        )
        .unwrap();
        logits.to_vec2().unwrap()
    }

    #[test]
    fn a_file_gives_the_logits_of_a_run_at_its_type() {
        let folder = tempfile::tempdir().unwrap();
        for precision in Precision::ALL
            .into_iter()
            .filter(|p| *p != Precision::Native)
        {
            let path = folder.path().join(format!("{precision}.gguf"));
            let written = write(&ModelSource::Tiny, precision, &path).unwrap();
            assert_eq!(written.bytes, std::fs::metadata(&path).unwrap().len());
            assert_eq!(written.fallbacks, 0);
            let block = precision.block().unwrap();
            assert_eq!(
                written.weight_bytes * block.length,
                written.weights * block.bytes
            );
            let read = GgufFile::open(&path).unwrap();
            assert_eq!(read.native, precision);
            assert_eq!(read.architecture.shape, tiny::architecture().shape);
            let of_file = logits(&ModelSource::Gguf(path), Precision::Native, &PROMPT);
            assert_eq!(
                of_file,
                logits(&ModelSource::Tiny, precision, &PROMPT),
                "{precision}"
            );
        }
    }

    #[test]
    fn metadata_of_another_file_are_kept_and_its_rows_fall_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.gguf");
        let source = fixture("qwen2-f16.gguf");
        let written = write(&source, Precision::Q4K, &path).unwrap();
        assert!(written.fallbacks > 0);
        let ModelSource::Gguf(from) = &source else {
            unreachable!("a fixture is a GGUF file")
        };
        let (from, to) = (
            GgufFile::open(from).unwrap(),
            GgufFile::open(&path).unwrap(),
        );
        for (key, value) in &from.header.metadata {
            if key != "general.file_type" && key != "general.quantization_version" {
                assert_eq!(to.header.metadata.get(key), Some(value), "{key}");
            }
        }
        assert_eq!(to.header.metadata["general.file_type"], Value::Integer(14));
        assert_eq!(to.header.tensors.len(), from.header.tensors.len());
    }

    #[test]
    fn what_is_quantized_is_copied_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("again.gguf");
        let ids = [3, 1, 2];
        write(&fixture("llama-q8_0.gguf"), Precision::Q8_0, &path).unwrap();
        assert_eq!(
            logits(&ModelSource::Gguf(path.clone()), Precision::Native, &ids),
            logits(&fixture("llama-q8_0.gguf"), Precision::Native, &ids)
        );
        std::fs::remove_file(&path).unwrap();
        let refusal = write(&fixture("llama-q8_0.gguf"), Precision::Q4_0, &path).unwrap_err();
        assert!(refusal.to_string().contains("is q8_0 already"), "{refusal}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        let order = Order {
            source: &ModelSource::Tiny,
            precision: Precision::Q8_0,
            importance: None,
            path: &path,
        };
        let mut seen = 0;
        let stopped = export(order, &mut |_| {
            seen += 1;
            if seen > 5 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert!(matches!(stopped, Err(ExportError::Stopped)));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        let nowhere = folder.path().join("none/tiny.gguf");
        let refused = write(&ModelSource::Tiny, Precision::Q8_0, &nowhere);
        assert!(matches!(refused, Err(ExportError::Storage { .. })));
    }

    /// Llama 3's rule has no key in GGUF; the file carries what it divides each frequency by.
    #[test]
    fn stretched_frequencies_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut config: serde_json::Value = serde_json::from_slice(tiny::CONFIG).unwrap();
        config["rope_scaling"] = serde_json::json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64
        });
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("config.json"), config.to_string()).unwrap();
        std::fs::write(file("tokenizer.json"), tiny::TOKENIZER).unwrap();
        std::fs::write(file("model.safetensors"), tiny::WEIGHTS).unwrap();
        let source = ModelSource::Dir(folder.path().to_owned());
        write(&source, Precision::F32, &file("stretched.gguf")).unwrap();
        let ids: Vec<u32> = (0..64).map(|i| i * 15).collect();
        let of_file = logits(
            &ModelSource::Gguf(file("stretched.gguf")),
            Precision::Native,
            &ids,
        );
        let of_folder = logits(&source, Precision::F32, &ids);
        let plain = logits(&ModelSource::Tiny, Precision::F32, &ids);
        let difference = |other: &[Vec<f32>]| {
            let both = of_file.iter().flatten().zip(other.iter().flatten());
            both.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        assert!(difference(&of_folder) < 1e-4, "{}", difference(&of_folder));
        assert!(difference(&plain) > 1e-2, "{}", difference(&plain));
    }

    /// The error of the inputs that matter shrinks at the cost of those that do not.
    #[test]
    fn importance_moves_the_error_to_where_it_does_not_matter() {
        let matters = |column: usize| if column.is_multiple_of(8) { 100.0 } else { 1.0 };
        let columns: Vec<f32> = (0..256).map(matters).collect();
        let values: Vec<f32> = (0..64_usize * 256)
            .map(|i| (((i * 2_654_435_761) % 1000) as f32 / 1000.0 - 0.5).powi(3))
            .collect();
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let floats = [Floats::new(FloatKind::F32, &bytes)];
        for precision in [
            Precision::Q2K,
            Precision::Q3K,
            Precision::Q4K,
            Precision::Q5K,
            Precision::Q6K,
        ] {
            let weighted_error = |importance| {
                let matrix = quantize::quantize(precision, &floats, (256, &[importance]))
                    .unwrap()
                    .unwrap();
                let rounded = matrix
                    .dequantize(&Device::Cpu)
                    .unwrap()
                    .flatten_all()
                    .unwrap();
                let rounded = rounded.to_vec1::<f32>().unwrap();
                let errors = values.iter().zip(rounded).enumerate();
                errors
                    .map(|(i, (value, rounded))| {
                        f64::from(columns[i % 256] * (value - rounded).powi(2))
                    })
                    .sum::<f64>()
            };
            let (with, without) = (weighted_error(Some(&columns)), weighted_error(None));
            assert!(with < without, "{precision}: {with} against {without}");
        }
    }

    #[test]
    fn importances_are_collected_for_every_matrix_of_a_layer() {
        let source = ModelSource::Tiny;
        let progress = Progress::default();
        let wanted = Wanted::new(&source, Precision::F32, 1);
        let weights = weights::load(wanted, &Device::Cpu, &progress).unwrap();
        let mut collected = Collected::default();
        for _ in 0..2 {
            reference::collect(&weights, &PROMPT, &Device::Cpu, &mut collected).unwrap();
        }
        let importance = collected.means("a prompt", 9);
        assert_eq!((importance.matrices(), importance.tokens()), (4 * 7, 18));
        let of = |name: &str, columns| importance.of(name, columns).unwrap().unwrap();
        // q, k and v read the same; what is normed has a mean square near one before its weight.
        assert_eq!(
            of("blk.3.attn_q.weight", 256),
            of("blk.3.attn_v.weight", 256)
        );
        assert!(
            of("blk.3.ffn_down.weight", 768)
                .iter()
                .all(|value| value.is_finite())
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weighted.gguf");
        let order = Order {
            source: &source,
            precision: Precision::Q2K,
            importance: Some(&importance),
            path: &path,
        };
        export(order, &mut |_| ControlFlow::Continue(())).unwrap();
        let keys = GgufFile::open(&path).unwrap().header.metadata;
        assert_eq!(keys["quantize.imatrix.entries_count"], Value::Integer(28));
        let weighted = logits(&ModelSource::Gguf(path), Precision::Native, &PROMPT);
        assert_ne!(weighted, logits(&source, Precision::Q2K, &PROMPT));
    }
}
