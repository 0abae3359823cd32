//! The memory that a point needs on the device.

use serde::Serialize;

use super::{Subject, effective};
use crate::study::model::{EngineKind, Numbers, Precision, WeightSize};
use crate::study::spec::{Study, Target};
use crate::study::workload::{PointId, SCORES_AT_ONCE, TOKENS_AT_ONCE};

/// Tensors of scores that attention holds at a time on a card: with and without their mask, and their
/// softmax.
const SCORE_TENSORS: u64 = 3;

/// Bytes that a point needs on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// All weights.
    pub weight_bytes: u64,
    /// KV cache of the whole batch at full length.
    pub kv_bytes: u64,
    /// Activations of the prefill, an upper estimate.
    pub activation_bytes: u64,
}

impl Footprint {
    /// Memory of a point: weights by matrix, KV cache, and what the prefill holds at its widest.
    pub(super) fn of(study: &Study, subject: Subject<'_>, target: Target, point: PointId) -> Self {
        let precision = effective(subject, target, point.precision);
        let shape = subject.shape;
        let embedding = WeightSize {
            rows: u64::from(shape.vocab),
            columns: u64::from(shape.hidden),
            count: u64::from(!shape.tied_embeddings),
        };
        let matrices: Option<u64> = shape
            .linears()
            .into_iter()
            .chain([embedding])
            .map(|size| precision.matrix_bytes(size))
            .sum();
        let elements = shape.kv_elements_per_token();
        let kv_bytes = match point.kv {
            Some(kv) => kv.bytes(elements),
            None => elements * cache_bytes_per_element(&study.engine, precision),
        };
        Self {
            weight_bytes: subject
                .file_bytes
                .or(matrices)
                .unwrap_or_else(|| shape.parameters() * activation_bytes_per_element(precision)),
            kv_bytes: point.kv_tokens().saturating_mul(kv_bytes),
            activation_bytes: activation_bytes(study, subject, target, point),
        }
    }

    /// Everything together.
    pub fn total(self) -> u64 {
        self.weight_bytes
            .saturating_add(self.kv_bytes)
            .saturating_add(self.activation_bytes)
    }
}

/// What the prefill holds at its widest: the residual stream, its norm and the feed-forward block, and the
/// logits of the last tokens. Our decoder takes a part of the prompts at a time on a card, with a part of
/// their scores of attention.
fn activation_bytes(study: &Study, subject: Subject<'_>, target: Target, point: PointId) -> u64 {
    let shape = subject.shape;
    let element = activation_bytes_per_element(effective(subject, target, point.precision));
    let (batch, isl) = (u64::from(point.batch.get()), u64::from(point.isl.get()));
    let (hidden, ffn) = (u64::from(shape.hidden), u64::from(shape.ffn));
    let logits = batch * u64::from(shape.vocab) * 4;
    let in_parts = target == Target::Cuda && study.engine == EngineKind::Decoder;
    let prompts = batch * isl;
    if !in_parts {
        let widest = (4 * hidden + 3 * ffn) * element;
        return prompts.saturating_mul(widest).saturating_add(logits);
    }
    let tokens = prompts.min(TOKENS_AT_ONCE.max(isl));
    // Of each token of a part, every token of its sequence before it.
    let pairs = tokens.saturating_mul(isl * u64::from(shape.heads));
    let scores = pairs.min(SCORES_AT_ONCE);
    tokens
        .saturating_mul((4 * hidden + 4 * ffn) * element)
        .saturating_add(SCORE_TENSORS * scores * element + logits)
}

/// Bytes of one element of a cache whose type is not said: our decoder holds keys and values in half
/// precision beside quantized weights, candle's models in the type of the activations.
fn cache_bytes_per_element(engine: &EngineKind, precision: Precision) -> u64 {
    match engine {
        EngineKind::Decoder if !precision.is_dense() => 2,
        EngineKind::Decoder | EngineKind::Stock | EngineKind::Sim(_) => {
            activation_bytes_per_element(precision)
        }
    }
}

/// Bytes of one element of the activations.
fn activation_bytes_per_element(precision: Precision) -> u64 {
    match precision.numbers() {
        Numbers::F16 | Numbers::Bf16 => 2,
        // Quantized weights run with F32 activations on a CPU, and on a card beside products in F32.
        Numbers::Own | Numbers::F32 | Numbers::Quantized => 4,
    }
}
