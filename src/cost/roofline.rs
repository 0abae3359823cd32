//! How fast cards could run a model at best, and how fast they can be expected to.

use super::memory::bits;
use crate::catalog::book::GpuCard;
use crate::study::model::{Numbers, Precision, Shape};

/// Share of the arithmetic peak that prefill reaches on a well-tuned engine.
const EXPECTED_OF_ARITHMETIC: f64 = 0.5;
/// Share of the memory bandwidth that decode reaches likewise.
const EXPECTED_OF_BANDWIDTH: f64 = 0.8;

/// What no engine on these cards can exceed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Decoded tokens per second: every step reads the weights once for the whole batch. The input
    /// embedding is a look-up and is left out; speculative decoding is not covered.
    pub decode_tokens_per_second: f64,
    /// Prefilled tokens per second at the dense peak of the number format; `None` for quantized
    /// weights, whose arithmetic may be faster than 16-bit.
    pub prefill_tokens_per_second: Option<f64>,
    /// The shortest step.
    pub step: Step,
}

impl Roofline {
    /// The roofline of a shape on `gpus` cards at a batch size.
    pub fn new(card: &GpuCard, gpus: f64, model: (&Shape, Precision), batch_size: f64) -> Self {
        let burden = Burden::of(model.0, model.1);
        let cards = Cards::new(card, gpus, model.1);
        let step = Step::reading(burden.weight_bytes, cards.bytes_per_second);
        Self {
            decode_tokens_per_second: step.tokens_per_second(batch_size),
            prefill_tokens_per_second: cards
                .flop_per_second
                .map(|peak| prefill(peak, burden.flop_per_token)),
            step,
        }
    }
}

/// One decode step of a batch: bytes read over bandwidth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// How long it takes.
    pub seconds: f64,
}

impl Step {
    /// The step that reads so many bytes.
    pub fn reading(bytes: f64, bytes_per_second: f64) -> Self {
        Self {
            seconds: bytes / bytes_per_second,
        }
    }

    /// Tokens per second of a batch.
    pub fn tokens_per_second(self, batch_size: f64) -> f64 {
        batch_size / self.seconds
    }

    /// The smallest batch that reaches a rate.
    pub fn least_batch(self, tokens_per_second: f64) -> f64 {
        (tokens_per_second * self.seconds).ceil()
    }
}

/// Prompt tokens per second at an arithmetic rate.
pub fn prefill(flop_per_second: f64, flop_per_token: f64) -> f64 {
    flop_per_second / flop_per_token
}

/// What a model asks of its cards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burden {
    /// Bytes of weights that a step reads.
    pub weight_bytes: f64,
    /// Operations per prompt token.
    pub flop_per_token: f64,
}

impl Burden {
    /// A shape at a precision. The input embedding is a look-up; logits are needed of the last
    /// position only, so the output projection is read by every step but does not bound prefill.
    pub fn of(shape: &Shape, precision: Precision) -> Self {
        let weights: f64 = shape
            .linears()
            .iter()
            .map(|size| (size.rows * size.columns * size.count) as f64)
            .sum();
        let head = f64::from(shape.vocab) * f64::from(shape.hidden);
        Self {
            weight_bytes: weights * bits(precision) / 8.0,
            flop_per_token: 2.0 * (weights - head),
        }
    }
}

/// What the cards of a replica offer together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cards {
    /// Memory bandwidth.
    pub bytes_per_second: f64,
    /// Dense arithmetic in the number format of the weights; `None` for quantized ones.
    pub flop_per_second: Option<f64>,
}

impl Cards {
    /// `gpus` cards running weights of a precision.
    pub fn new(card: &GpuCard, gpus: f64, precision: Precision) -> Self {
        let dtype = match precision.numbers() {
            Numbers::F16 => Some("f16"),
            Numbers::Bf16 | Numbers::Own => Some("bf16"),
            Numbers::F32 => Some("f32"),
            Numbers::Quantized => None,
        };
        Self {
            bytes_per_second: gpus * card.bandwidth_bytes_per_second as f64,
            flop_per_second: dtype
                .and_then(|dtype| card.flop_per_second(dtype))
                .map(|peak| gpus * peak),
        }
    }
}

/// Rates of each phase alone that an engine can be expected to reach before anyone has measured:
/// half of the arithmetic peak in prefill, four fifths of the bandwidth in decode. An estimate to
/// doubt a claim with, never a rate to plan with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Prompt tokens per second.
    pub prefill_tokens_per_second: f64,
    /// Output tokens per second of the batch.
    pub decode_tokens_per_second: f64,
}

impl Expected {
    /// Expected rates of a batch whose sequences hold so many bytes of cache on average; `None`
    /// where the arithmetic peak is not known.
    pub fn new(cards: Cards, burden: Burden, batch: (f64, f64)) -> Option<Self> {
        let (size, cache_bytes_per_sequence) = batch;
        let read = burden.weight_bytes + size * cache_bytes_per_sequence;
        let step = Step::reading(read, EXPECTED_OF_BANDWIDTH * cards.bytes_per_second);
        Some(Self {
            prefill_tokens_per_second: prefill(
                EXPECTED_OF_ARITHMETIC * cards.flop_per_second?,
                burden.flop_per_token,
            ),
            decode_tokens_per_second: step.tokens_per_second(size),
        })
    }
}
