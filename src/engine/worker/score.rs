//! Windows of a text through one model or two: what is told of them is small, and no more than one
//! window of distributions is held.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use rayon::prelude::*;

use super::create::Created;
use super::{ReferenceAt, ScoreOrder, StoreOrder, WindowSeen};
use crate::engine::divergence::{Divergence, LogProbabilities};
use crate::engine::{Engine, EngineError, Logits, Progress, TokenId};

/// Stored units of a divergence per nat.
const NANO: f64 = 1e9;
/// Bytes before each packed distribution: −ln p of the true token, exact, and the vocabulary's size.
const ROW_HEAD: usize = 8 + 4;

/// A model as it looks at windows.
pub(super) struct Sight<'a> {
    engine: &'a mut dyn Engine,
    /// First place whose prediction counts.
    first: usize,
    progress: &'a Progress,
}

/// A distribution of the reference, and its −ln p of the true token.
struct Expected {
    distribution: LogProbabilities,
    surprise: Option<f64>,
}

impl<'a> Sight<'a> {
    /// How a model that was made looks at windows.
    pub(super) fn of(model: &'a mut Created, first: u32, progress: &'a Progress) -> Self {
        Self {
            engine: model.engine.as_mut(),
            first: first as usize,
            progress,
        }
    }

    /// Makes something of every distribution that counts, in order.
    fn each<T: Send>(
        &mut self,
        window: &[TokenId],
        make: impl Fn(usize, LogProbabilities) -> T + Sync,
    ) -> Result<Vec<T>, EngineError> {
        let mut made = Vec::with_capacity(window.len());
        let mut visit = |part: Logits<'_>| {
            let first = part.first;
            let rows: Vec<(usize, &[f32])> = part.rows().collect();
            let part: Option<Vec<T>> = rows
                .into_par_iter()
                .map(|(place, logits)| {
                    let distribution = LogProbabilities::of_logits(logits)?;
                    Some(make(place, distribution))
                })
                .collect();
            made.extend(part.ok_or(EngineError::NotFinite { step: first })?);
            Ok(())
        };
        self.engine
            .score(window, self.first, self.progress, &mut visit)?;
        Ok(made)
    }
}

/// Appends the distributions of windows to a file; the largest rounding error.
pub(super) fn store(model: &mut Sight<'_>, order: &StoreOrder) -> Result<f64, EngineError> {
    let failed = |error: &std::io::Error| on_disk(&order.file, error);
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(&order.file);
    let mut file = file.map_err(|error| failed(&error))?;
    let mut largest = 0.0_f64;
    for window in &order.windows {
        let rows = model.each(window, |place, distribution| {
            let token = window[place + 1];
            let mut bytes = Vec::new();
            bytes.extend(distribution.surprise(token).to_le_bytes());
            bytes.extend((distribution.vocabulary() as u32).to_le_bytes());
            let error = distribution.pack(&mut bytes);
            (bytes, error)
        })?;
        for (bytes, error) in rows {
            file.write_all(&bytes).map_err(|error| failed(&error))?;
            largest = largest.max(error);
        }
    }
    Ok(largest)
}

/// Compares the judged model with the reference, window by window.
pub(super) fn score(
    judged: &mut Sight<'_>,
    mut beside: Option<&mut Sight<'_>>,
    order: &ScoreOrder,
) -> Result<Vec<WindowSeen>, EngineError> {
    let mut seen = Vec::with_capacity(order.windows.len());
    for (index, window) in order.windows.iter().enumerate() {
        let expected = match &order.reference {
            ReferenceAt::Beside => {
                let reference = beside
                    .as_deref_mut()
                    .ok_or_else(|| EngineError::Unsupported {
                        reason: "no reference was set aside".to_owned(),
                    })?;
                reference.each(window, |_, distribution| Expected {
                    distribution,
                    surprise: None,
                })?
            }
            ReferenceAt::File { file, window: at } => {
                let rows = (window.len() - 1).saturating_sub(judged.first);
                stored(file, u64::from(*at) + index as u64, rows)?
            }
        };
        seen.push(compare(judged, window, &expected)?);
    }
    Ok(seen)
}

fn compare(
    judged: &mut Sight<'_>,
    window: &[TokenId],
    expected: &[Expected],
) -> Result<WindowSeen, EngineError> {
    let first = judged.first;
    let divergences = judged.each(window, |place, distribution| {
        let expected = expected.get(place - first)?;
        let reference = &expected.distribution;
        if reference.vocabulary() != distribution.vocabulary() {
            return None;
        }
        let seen = distribution.against(reference, window[place + 1]);
        Some(Divergence {
            surprise_reference: expected.surprise.unwrap_or(seen.surprise_reference),
            ..seen
        })
    })?;
    let divergences: Option<Vec<Divergence>> = divergences.into_iter().collect();
    let divergences = divergences.ok_or_else(|| EngineError::Unsupported {
        reason:
            "model and reference do not have the same vocabulary; they are not the same checkpoint"
                .to_owned(),
    })?;
    Ok(summed(&divergences))
}

fn summed(divergences: &[Divergence]) -> WindowSeen {
    let change = |d: &Divergence| (-d.surprise).exp() - (-d.surprise_reference).exp();
    let same = divergences.iter().filter(|d| d.same_top).count();
    WindowSeen {
        surprise: divergences.iter().map(|d| d.surprise).sum(),
        surprise_reference: divergences.iter().map(|d| d.surprise_reference).sum(),
        delta_p: divergences.iter().map(change).sum(),
        delta_p_squared: divergences.iter().map(|d| change(d).powi(2)).sum(),
        same_top: same as u32,
        divergence_nano: divergences
            .iter()
            .map(|d| (d.nats * NANO).round() as u64)
            .collect(),
    }
}

/// The distributions of one window as they lie in a file; all windows have as many `rows`.
fn stored(path: &Path, window: u64, rows: usize) -> Result<Vec<Expected>, EngineError> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let mut head = [0; ROW_HEAD];
        file.read_exact(&mut head)?;
        let row = ROW_HEAD + LogProbabilities::packed_length(vocabulary(&head));
        let mut bytes = vec![0; rows * row];
        file.seek(SeekFrom::Start(window * bytes.len() as u64))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| on_disk(path, &error))?;
    let broken = || EngineError::model(path.display(), "its distributions are broken");
    let row = bytes.len() / rows.max(1);
    bytes
        .par_chunks_exact(row.max(1))
        .map(|row| {
            let (surprise, rest) = row.split_first_chunk::<8>().ok_or_else(broken)?;
            let packed = rest.get(ROW_HEAD - 8..).ok_or_else(broken)?;
            Ok(Expected {
                distribution: LogProbabilities::unpack(packed).ok_or_else(broken)?,
                surprise: Some(f64::from_le_bytes(*surprise)),
            })
        })
        .collect()
}

/// Tokens of the vocabulary, as the head of a row says.
fn vocabulary(head: &[u8; ROW_HEAD]) -> usize {
    u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize
}

fn on_disk(path: &Path, error: &std::io::Error) -> EngineError {
    EngineError::Storage {
        place: path.display().to_string(),
        reason: error.to_string(),
    }
}
