//! The memory that a point needs on the device.

use serde::Serialize;

use super::{Subject, effective, weights};
use crate::study::model::{EngineKind, Numbers, Precision};
use crate::study::spec::{Study, Target};
use crate::study::variant::Variant;
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
        let variant = point.variant();
        let kv_bytes = kv_bytes_per_token(study, subject, target, variant);
        Self {
            weight_bytes: weight_bytes(subject, target, point.precision),
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

/// Bytes of all weights: those of the file where it fixes them.
pub(super) fn weight_bytes(subject: Subject<'_>, target: Target, precision: Precision) -> u64 {
    let precision = effective(subject, target, precision);
    let counted = || weights::bytes(subject.shape, precision, target);
    subject.file_bytes.unwrap_or_else(counted)
}

/// Bytes that one token of one sequence adds to the KV cache.
pub(super) fn kv_bytes_per_token(
    study: &Study,
    subject: Subject<'_>,
    target: Target,
    variant: Variant,
) -> u64 {
    let elements = subject.shape.kv_elements_per_token();
    let precision = effective(subject, target, variant.precision);
    match variant.kv {
        Some(kv) => kv.bytes(elements),
        None => elements * cache_bytes_per_element(&study.engine, precision),
    }
}

/// An amount of memory in the unit that leaves something before the decimal point.
pub fn binary(bytes: u64) -> String {
    /// From the largest that a device has.
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fitting = UNITS.into_iter().find(|(_, bits)| bytes >> bits > 0);
    match fitting {
        Some((unit, bits)) => format!("{:.2} {unit}", bytes as f64 / f64::from(1_u32 << bits)),
        None => format!("{bytes} B"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_amount_of_memory_is_written_as_nothing() {
        let cases = [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1536, "1.50 KiB"),
            (5 << 20, "5.00 MiB"),
            ((1 << 30) + (1 << 29), "1.50 GiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(binary(bytes), expected);
        }
    }
}
