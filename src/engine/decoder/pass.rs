//! One pass of new tokens through all layers.

use std::ops::Range;

use candle_core::{DType, Tensor};

use super::attention::Step;
use super::operators::Operators;
use super::{Decoder, no_room};
use crate::engine::{EngineError, Logits, Progress, TokenId, Visit};
use crate::study::workload::{SCORES_AT_ONCE, TOKENS_AT_ONCE};

/// Logits that are handed on at a time when every place of a text is asked for: 64 MiB of them.
const VISITED: usize = 1 << 24;

/// What candle's operations take at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct AtOnce {
    /// New tokens, unless one sequence has more.
    pub(super) tokens: usize,
    /// Scores of attention, unless those of one token are more.
    pub(super) scores: usize,
}

impl Default for AtOnce {
    fn default() -> Self {
        Self {
            tokens: TOKENS_AT_ONCE as usize,
            scores: SCORES_AT_ONCE as usize,
        }
    }
}

impl Decoder {
    /// Runs new ids of every sequence, `[batch · length]`, through all layers: what the output projection
    /// reads for the last `wanted` of each, `[batch · wanted, hidden]`. Each layer is a step.
    pub(super) fn advance(
        &mut self,
        ids: &Tensor,
        wanted: usize,
        progress: &Progress,
    ) -> Result<Tensor, EngineError> {
        let Some(room) = &self.room else {
            return Err(no_room("nothing reserved"));
        };
        let batch = room.past.len();
        let length = ids.elem_count() / batch;
        let group = match self.operators {
            Operators::Fused => batch,
            Operators::Candle => (self.at_once.tokens / length).clamp(1, batch),
        };
        let mut hidden = Vec::new();
        for first in (0..batch).step_by(group) {
            let sequences = first..batch.min(first + group);
            let ids = ids.narrow(0, first * length, sequences.len() * length)?;
            hidden.push(self.pass(&ids, sequences, (wanted, progress))?);
        }
        if let Some(room) = &mut self.room {
            for past in &mut room.past {
                *past += length;
            }
        }
        Ok(Tensor::cat(&hidden, 0)?)
    }

    /// The same for some of the sequences, whose lengths stay as they are noted.
    fn pass(
        &mut self,
        ids: &Tensor,
        sequences: Range<usize>,
        (wanted, progress): (usize, &Progress),
    ) -> Result<Tensor, EngineError> {
        let Some(room) = &mut self.room else {
            return Err(no_room("nothing reserved"));
        };
        let weights = &self.weights;
        let (batch, epsilon, operators) = (sequences.len(), weights.shape.norm_eps, self.operators);
        let length = ids.elem_count() / batch;
        let mut step = Step {
            heads: self.heads,
            epsilon,
            rope: &room.rope,
            angles: room.angles.as_ref(),
            window: weights.shape.sliding_window.map(|window| window as usize),
            capacity: room.capacity.context as usize,
            first: sequences.start,
            past: &room.past[sequences],
            length,
            wanted: length,
            scores: self.at_once.scores,
            runs: Vec::new(),
        };
        let mut x = operators.embed(&weights.embedding, ids, weights.activation)?;
        let norm_before = |layer: usize| {
            let layer = weights.layers.get(layer);
            layer.map_or(&weights.norm, |layer| &layer.attention_norm)
        };
        let mut input = operators.norm(&x, norm_before(0), epsilon)?; // [batch · length, hidden]
        for (index, layer) in weights.layers.iter().enumerate() {
            let last = index + 1 == weights.layers.len() && length > wanted;
            if last {
                step.wanted = wanted;
                x = last_rows(&x, batch, wanted)?;
            }
            if operators == Operators::Candle && (index == 0 || last) {
                step.look(&x)?;
            }
            // What a part of a layer is done with goes before the next part needs room.
            let delta = {
                let qkv = operators.project_stack(&layer.qkv, &input)?;
                let mixed = step.run(&qkv, layer, (&mut room.cache, index))?;
                operators.project(&layer.output, &mixed)?
            };
            (x, input) = operators.add_norm(&x, &delta, &layer.ffn_norm, epsilon)?;
            drop(delta);
            let gated = operators.gate(&operators.project_stack(&layer.gate_up, &input)?)?;
            let delta = operators.project(&layer.down, &gated)?;
            (x, input) = operators.add_norm(&x, &delta, norm_before(index + 1), epsilon)?;
            progress.step();
        }
        Ok(input)
    }

    /// Logits in single precision of rows that all layers are done with.
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor, EngineError> {
        let logits = self.operators.project(self.head(), hidden)?;
        Ok(logits.to_dtype(DType::F32)?)
    }

    /// Hands on the logits of places `first..` of one window, of whose last place nothing is asked.
    pub(super) fn visit_places(
        &mut self,
        (window, first): (&[TokenId], usize),
        progress: &Progress,
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        let ids = Tensor::new(window, &self.device)?;
        let hidden = self.advance(&ids, window.len() - first, progress)?;
        let vocabulary = self.weights.shape.vocab as usize;
        let part = (VISITED / vocabulary).max(1);
        for start in (first..window.len() - 1).step_by(part) {
            let rows = part.min(window.len() - 1 - start);
            let hidden = hidden.narrow(0, start - first, rows)?.contiguous()?;
            let values = self.logits(&hidden)?.flatten_all()?.to_vec1::<f32>()?;
            visit(Logits {
                first: start,
                vocabulary,
                values: &values,
            })?;
        }
        Ok(())
    }
}

/// The last `wanted` rows of each of `batch` equal groups of rows.
fn last_rows(x: &Tensor, batch: usize, wanted: usize) -> candle_core::Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let length = rows / batch;
    x.reshape((batch, length, width))?
        .narrow(1, length - wanted, wanted)?
        .contiguous()?
        .reshape((batch * wanted, width))
}
