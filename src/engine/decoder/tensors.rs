//! Attention through candle's operations: grouped products on views of the cache, on any device.
//!
//! Candle's operations take no buffer to write to, so that the scores of a step come from the device's memory pool:
//! `batch · heads · context` numbers, which grow with the context as the cache does. The kernels of the CPU keep none.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

use super::attention::Step;
use super::sight::Sight;
use crate::engine::kernels::heads::Heads;
use crate::engine::weights::LayerWeights;

/// Sequences next to one another that are equally long, which candle's operations take at once.
#[derive(Debug)]
pub(super) struct Run {
    /// Which of the sequences of a step.
    sequences: Range<usize>,
    /// Tokens of each before the new ones.
    past: usize,
    /// What the wanted tokens see, part by part.
    sights: Vec<Sight>,
}

impl Step<'_> {
    /// Finds what the wanted tokens see, which is the same in every layer.
    pub(super) fn look(&mut self, on: &Tensor) -> Result<()> {
        let most = self.scores / self.heads.query;
        let mut first = 0;
        let runs = self.past.chunk_by(|a, b| a == b).map(|alike| {
            let (past, sequences) = (alike[0], first..first + alike.len());
            first = sequences.end;
            let to = past + self.length;
            let wanted = to - self.wanted..to;
            Ok(Run {
                sequences,
                past,
                sights: Sight::divide(&wanted, (self.window, most), (on.dtype(), on.device()))?,
            })
        });
        self.runs = runs.collect::<Result<_>>()?;
        Ok(())
    }

    /// Mixed values of the wanted tokens, `[batch · wanted, heads · width]`.
    pub(super) fn tensors(
        &self,
        qkv: &Tensor,
        weights: &LayerWeights,
        cache: &(Tensor, Tensor),
    ) -> Result<Tensor> {
        let Heads { query, kv, width } = self.heads;
        let qkv = match &weights.qkv_bias {
            Some(bias) => qkv.broadcast_add(bias)?,
            None => qkv.clone(),
        };
        let qkv = qkv.reshape((self.past.len(), self.length, query + 2 * kv, width))?;
        let mixed = self.runs.iter().map(|run| {
            let count = run.sequences.len();
            let qkv = qkv.narrow(0, run.sequences.start, count)?;
            self.run_of(run, &qkv, weights, cache)?
                .reshape((count * self.wanted, query * width))
        });
        Tensor::cat(&mixed.collect::<Result<Vec<_>>>()?, 0)
    }

    /// The same of a run, from `[sequences, length, heads + 2 kv, width]`.
    fn run_of(
        &self,
        run: &Run,
        qkv: &Tensor,
        weights: &LayerWeights,
        (keys, values): &(Tensor, Tensor),
    ) -> Result<Tensor> {
        let Heads { query, kv, .. } = self.heads;
        let (queries, new_keys) = self.turned(qkv, weights, run.past)?;
        let new_values = by_head(&qkv.narrow(2, query + kv, kv)?, qkv.dtype())?;
        let (first, count) = (self.first + run.sequences.start, run.sequences.len());
        let (keys, values) = (
            keys.narrow(0, first, count)?,
            values.narrow(0, first, count)?,
        );
        keys.slice_set(&new_keys, 2, run.past)?;
        values.slice_set(&new_values, 2, run.past)?;
        let parts = run
            .sights
            .iter()
            .map(|sight| self.part((run, sight), &queries, (&keys, &values)));
        Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
    }

    /// Queries of the wanted tokens, `[batch, heads, wanted, width]`, and keys of all new ones, `[batch, kv
    /// heads, length, width]`: with norm and rotation, the queries scaled for the softmax.
    fn turned(
        &self,
        qkv: &Tensor,
        weights: &LayerWeights,
        past: usize,
    ) -> Result<(Tensor, Tensor)> {
        let Heads { query, kv, width } = self.heads;
        let both = match (&weights.q_norm, &weights.k_norm) {
            (Some(q_norm), Some(k_norm)) => {
                let norm = |heads: Tensor, weight| {
                    candle_nn::ops::rms_norm(&heads.contiguous()?, weight, self.epsilon as f32)
                };
                let queries = norm(qkv.narrow(2, 0, query)?, q_norm)?;
                Tensor::cat(&[queries, norm(qkv.narrow(2, query, kv)?, k_norm)?], 2)?
            }
            _ => qkv.narrow(2, 0, query + kv)?,
        };
        let Some((cos, sin)) = self.angles else {
            candle_core::bail!("the tensor path needs its table of angles");
        };
        let (cos, sin) = (
            cos.narrow(0, past, self.length)?,
            sin.narrow(0, past, self.length)?,
        );
        let single = both.to_dtype(DType::F32)?.contiguous()?;
        let turned = candle_nn::rotary_emb::rope_thd(&single, &cos, &sin)?;
        let wanted = turned.narrow(1, self.length - self.wanted, self.wanted)?;
        // Scaled before they are rounded: the factor itself may not be a number of the narrow type.
        let queries = (wanted.narrow(2, 0, query)? / (width as f64).sqrt())?;
        let keys = turned.narrow(2, query, kv)?;
        Ok((
            by_head(&queries, qkv.dtype())?,
            by_head(&keys, qkv.dtype())?,
        ))
    }

    /// Mixed values of the tokens of a sight, `[batch, tokens, heads, width]`.
    fn part(
        &self,
        (run, sight): (&Run, &Sight),
        queries: &Tensor,
        (keys, values): (&Tensor, &Tensor),
    ) -> Result<Tensor> {
        let Heads { query, kv, width } = self.heads;
        let batch = run.sequences.len();
        let (rows, seen) = (sight.queries.len(), sight.keys.len());
        let first = sight.queries.start - (run.past + self.length - self.wanted);
        let queries = queries.narrow(2, first, rows)?.contiguous()?;
        // [batch, kv, group · rows, width]
        let queries = queries.reshape((batch, kv, query / kv * rows, width))?;
        let (keys, values) = (
            keys.narrow(2, sight.keys.start, seen)?,
            values.narrow(2, sight.keys.start, seen)?,
        );
        let group = (self.scores / (query * rows * seen)).clamp(1, batch);
        let groups = (0..batch).step_by(group).map(|first| {
            let count = group.min(batch - first);
            let of = |t: &Tensor| t.narrow(0, first, count);
            let scores = of(&queries)?.matmul(&of(&keys)?.t()?)?;
            let scores = match &sight.mask {
                Some(mask) => scores
                    .reshape((count, query, rows, seen))?
                    .broadcast_add(mask)?
                    .reshape((count, kv, query / kv * rows, seen))?,
                None => scores,
            };
            candle_nn::ops::softmax_last_dim(&scores)?
                .matmul(&of(&values)?)?
                .reshape((count, query, rows, width))?
                .transpose(1, 2)?
                .contiguous()
        });
        Tensor::cat(&groups.collect::<Result<Vec<_>>>()?, 0)
    }
}

/// `[batch, tokens, heads, width]` to contiguous `[batch, heads, tokens, width]` of a type.
fn by_head(heads: &Tensor, dtype: DType) -> Result<Tensor> {
    heads.transpose(1, 2)?.to_dtype(dtype)?.contiguous()
}
