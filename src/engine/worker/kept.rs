//! Loading with quantized files that are kept: what was quantized once is read the next time.
//!
//! A file is named by a hash over the digests of the model's files, the type, and the importance matrix,
//! so that nothing stale is ever read; its own hash lies beside it, so that nothing damaged is. It gives the
//! logits that quantizing again would give.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::Device;

use super::{Kept, Order};
use crate::clock::Clock;
use crate::engine::gguf::export::{self, export};
use crate::engine::gguf::importance::Importance;
use crate::engine::stopwatch::Stopwatch;
use crate::engine::weights::{self, Wanted, Weights, files};
use crate::engine::{EngineError, Progress};
use crate::record::quantizing::Quantizing;
use crate::study::model::{ModelSource, Precision};
use crate::units::Nanos;

/// Version of what a kept file holds; another one makes other names.
const VERSION: u32 = 1;

/// Loads the weights of an order, and says how quantized ones came about.
pub(super) fn load(
    order: &Order,
    device: &Device,
    clock: &dyn Clock,
    progress: &Progress,
) -> Result<(Weights, Option<Quantizing>), EngineError> {
    let stopwatch = Stopwatch::new(clock);
    let imatrix = order.holding.imatrix.as_deref();
    let importance = imatrix.map(Importance::read).transpose()?;
    if let Some((kept, path)) = kept_file(order)? {
        let quantizing = if is_whole(&path) {
            Some(Quantizing::Kept)
        } else {
            // Hashed here alone: whoever started this process may have done so long ago.
            let written = stopwatch.over(|| {
                let same = weights::inspect(&order.source)?.files == kept.files;
                Ok::<_, EngineError>(same && quantize(order, importance.as_ref(), &path, progress))
            })?;
            written.then(|| Quantizing::Done {
                duration_ns: stopwatch.spent(),
            })
        };
        let kept = ModelSource::Gguf(path);
        let wanted = Wanted::new(&kept, Precision::Native, order.seed);
        // A cache that cannot be written or read is done without: it saves time and decides nothing.
        if quantizing.is_some()
            && let Ok(weights) = weights::load(wanted, device, progress)
        {
            return Ok((weights, quantizing));
        }
    }
    let wanted = Wanted {
        importance: importance.as_ref(),
        stopwatch: Some(&stopwatch),
        ..Wanted::new(&order.source, order.precision, order.seed)
    };
    let weights = weights::load(wanted, device, progress)?;
    let spent = stopwatch.spent();
    let quantizing = (spent > Nanos::new(0)).then_some(Quantizing::Done { duration_ns: spent });
    Ok((weights, quantizing))
}

/// The file in which the quantized weights of an order are kept, if they are.
fn kept_file(order: &Order) -> Result<Option<(&Kept, PathBuf)>, EngineError> {
    let has_file = match order.source {
        ModelSource::Dir(_) => true,
        // Small, a file already, or made up: nothing is saved.
        ModelSource::Tiny | ModelSource::Gguf(_) | ModelSource::Card(_) | ModelSource::Hub(_) => {
            false
        }
    };
    let Some(kept) = &order.holding.kept else {
        return Ok(None);
    };
    if !has_file || order.precision.is_dense() {
        return Ok(None);
    }
    let name = format!("{}.gguf", key(order, kept)?);
    Ok(Some((kept, kept.folder.join(name))))
}

fn key(order: &Order, kept: &Kept) -> Result<String, EngineError> {
    let mut text = format!("{VERSION} {}", order.precision);
    for (name, digest) in &kept.files {
        let _ = write!(text, "\n{name} {digest}");
    }
    if let Some(imatrix) = &order.holding.imatrix {
        let _ = write!(text, "\nimatrix {}", files::sha256(imatrix)?);
    }
    Ok(files::sha256_of(text.as_bytes()))
}

/// Writes a kept file and says whether it did.
fn quantize(
    order: &Order,
    importance: Option<&Importance>,
    path: &Path,
    progress: &Progress,
) -> bool {
    let wanted = export::Order {
        source: &order.source,
        precision: order.precision,
        importance,
        path,
    };
    let made = path.parent().map(std::fs::create_dir_all);
    if made.is_none_or(|made| made.is_err()) {
        return false;
    }
    let written = export(wanted, &mut |_| {
        progress.step();
        ControlFlow::Continue(())
    });
    if let (Ok(_), Ok(digest)) = (&written, files::sha256(path)) {
        // Without it the file is written again the next time.
        let _ = std::fs::write(digest_of(path), digest);
    }
    written.is_ok()
}

/// Whether a kept file is there as it was written: a damaged one would be judged and priced as if it were
/// the model.
fn is_whole(path: &Path) -> bool {
    let stated = std::fs::read_to_string(digest_of(path));
    stated.is_ok_and(|stated| files::sha256(path).is_ok_and(|found| found == stated))
}

/// The file that holds the digest of a kept file.
fn digest_of(path: &Path) -> PathBuf {
    path.with_extension("gguf.sha256")
}

#[cfg(test)]
mod tests {
    use super::super::Holding;
    use super::*;
    use crate::clock::Monotonic;
    use crate::engine::decoder::reference;
    use crate::engine::gguf::importance::Collected;
    use crate::engine::tiny;
    use crate::study::model::{DeviceChoice, EngineKind};

    fn loaded(order: &Order) -> (Weights, Option<Quantizing>) {
        load(order, &Device::Cpu, &Monotonic, &Progress::default()).unwrap()
    }

    fn logits(order: &Order) -> Vec<Vec<f32>> {
        let (weights, _) = loaded(order);
        let ids = [0, 500, 11, 300];
        let logits = reference::logits(
            &weights,
            (&ids, ids.len()),
            &Device::Cpu,
            &Progress::default(),
        )
        .unwrap();
        logits.to_vec2().unwrap()
    }

    fn files_in(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let kept = |entry: &std::fs::DirEntry| entry.path().extension() == Some("gguf".as_ref());
        entries.filter(kept).count()
    }

    #[test]
    fn a_model_is_quantized_once_per_type_and_importance() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("config.json", tiny::CONFIG),
            ("tokenizer.json", tiny::TOKENIZER),
            ("model.safetensors", tiny::WEIGHTS),
        ] {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let imatrix = folder.path().join("some.imatrix");
        let mut collected = Collected::default();
        let driven: Vec<f32> = (0..256_u16).map(|column| f32::from(column % 7)).collect();
        collected.add("blk.0.attn_q.weight", &driven);
        collected.count(1);
        collected.means("", 1).write(&imatrix).unwrap();

        let source = ModelSource::Dir(folder.path().to_owned());
        let files = weights::inspect(&source).unwrap().files;
        let kept = folder.path().join("kept");
        let order = |precision, imatrix: Option<&Path>, kept: Option<&Path>| Order {
            source: source.clone(),
            engine: EngineKind::Decoder,
            device: DeviceChoice::Cpu,
            precision,
            kv: None,
            seed: 1,
            holding: Holding {
                imatrix: imatrix.map(Path::to_owned),
                kept: kept.map(|kept| Kept {
                    folder: kept.to_owned(),
                    files: files.clone(),
                }),
            },
        };
        let plain = logits(&order(Precision::Q2K, None, None));
        let weighted = logits(&order(Precision::Q2K, Some(&imatrix), None));
        assert_ne!(plain, weighted);
        assert_eq!(files_in(&kept), 0);
        for _ in 0..2 {
            assert_eq!(logits(&order(Precision::Q2K, None, Some(&kept))), plain);
            assert_eq!(files_in(&kept), 1);
        }
        assert_eq!(
            logits(&order(Precision::Q2K, Some(&imatrix), Some(&kept))),
            weighted
        );
        assert_eq!(files_in(&kept), 2);
        let how = |precision, kept: Option<&Path>| loaded(&order(precision, None, kept)).1;
        assert_eq!(how(Precision::Q2K, Some(&kept)), Some(Quantizing::Kept));
        for kept in [None, Some(kept.as_path())] {
            let done = how(Precision::Q4_0, kept);
            let took = |time: Nanos| time > Nanos::new(0);
            assert!(
                matches!(done, Some(Quantizing::Done { duration_ns }) if took(duration_ns)),
                "{done:?}"
            );
        }
        assert_eq!(how(Precision::F16, Some(&kept)), None);
        assert_eq!(files_in(&kept), 3);
        // A damaged file is written again.
        let damage = || {
            for entry in std::fs::read_dir(&kept).unwrap().flatten() {
                let path = entry.path();
                if path.extension() == Some("gguf".as_ref()) {
                    let mut bytes = std::fs::read(&path).unwrap();
                    let end = bytes.len();
                    bytes[end - 5_000..end - 4_000].fill(0xff);
                    std::fs::write(&path, bytes).unwrap();
                }
            }
        };
        damage();
        assert_eq!(logits(&order(Precision::Q2K, None, Some(&kept))), plain);
        assert_eq!(how(Precision::Q2K, Some(&kept)), Some(Quantizing::Kept));
        // Dense weights are read as they are, and a place that is no folder is done without.
        assert_eq!(logits(&order(Precision::Q2K, None, Some(&imatrix))), plain);
        // Nothing is kept under the digests of files that are no longer there.
        let mut config = tiny::CONFIG.to_vec();
        config.push(b'\n');
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        assert!(how(Precision::Q3K, Some(&kept)).is_some());
        assert_eq!(files_in(&kept), 3);
        // Nor is a damaged one read where it cannot be written again.
        damage();
        assert_eq!(logits(&order(Precision::Q2K, None, Some(&kept))), plain);
    }
}
