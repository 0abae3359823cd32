//! candle-transformers as published: the yardstick for what our decoder gains, and families that it
//! does not run.
//!
//! Nothing of it is improved here: the cache is concatenated per step, every family computes as its file
//! does, and what a file cannot do is an outcome.

mod drawn;
mod files;
mod models;
#[cfg(test)]
mod tests;

use candle_core::{D, DType, Device, Tensor};

use self::files::Facts;
use self::models::Model;
use super::generate::{Forward, generate, relative_error};
use super::weights::{self, Wanted};
use super::{
    Capacity, Engine, EngineError, Progress, Prompts, Scorer, TokenId, Trace, Visit, device,
};
use crate::clock::Clock;
use crate::record::observation::{Accuracy, EngineFacts};
use crate::study::model::ModelSource;
use crate::study::workload;

/// Decode steps that the check of logits covers after the prefill.
const CHECKED_STEPS: usize = workload::CHECKED_STEPS as usize;
/// Largest relative L2 error of cached against uncached logits: single precision.
const BOUND_F32: f64 = 1e-4;
/// The same for half precision, and for activations quantized per row.
const BOUND_F16: f64 = 0.03;
/// The same for bfloat16, eight bits of mantissa.
const BOUND_BF16: f64 = 0.10;

/// Loads a model from its files, or makes the one of random weights that our decoder runs.
pub(crate) fn load(
    wanted: Wanted<'_>,
    device: &Device,
    progress: &Progress,
) -> Result<Box<dyn Engine>, EngineError> {
    let (model, facts) = match wanted.source {
        ModelSource::Dir(folder) => files::folder(folder, wanted.precision, device)?,
        ModelSource::Gguf(path) => files::gguf(path, wanted.precision, device)?,
        ModelSource::Hub(_) => return Err(weights::not_fetched(wanted.source)),
        ModelSource::Tiny | ModelSource::Card(_) => drawn::load(wanted, device, progress)?,
    };
    Ok(Box::new(Stock::new(model, facts, device)))
}

/// A model of candle-transformers behind our trait.
struct Stock {
    model: Model,
    facts: Facts,
    device: Device,
    memory: device::ProcessMemory,
    /// What was asked for last; candle allocates as it goes.
    capacity: Option<Capacity>,
    /// Sequences of the running generation.
    batch: usize,
    /// Their tokens so far.
    past: usize,
}

impl Stock {
    fn new(model: Model, facts: Facts, device: &Device) -> Self {
        Self {
            model,
            facts,
            device: device.clone(),
            memory: device::process_memory(),
            capacity: None,
            batch: 0,
            past: 0,
        }
    }

    /// Forgets the last generation and checks the size of the next.
    fn begin(&mut self, batch: usize, context: usize) -> Result<(), EngineError> {
        let room = self.capacity.is_some_and(|capacity| {
            batch <= capacity.batch as usize && context <= capacity.context as usize
        });
        if !room {
            return Err(unsupported(&format!(
                "{batch} sequences of {context} tokens, reserved are {:?}",
                self.capacity
            )));
        }
        self.model.forget();
        (self.batch, self.past) = (batch, 0);
        Ok(())
    }

    /// Cached logits of a prefill and some steps against uncached ones of the same ids.
    fn compare(
        &mut self,
        prompts: &Prompts,
        progress: &Progress,
    ) -> Result<Option<f64>, EngineError> {
        let (batch, length) = (prompts.batch(), prompts.length());
        self.begin(batch, length + CHECKED_STEPS)?;
        let mut ids = Tensor::new(prompts.ids(), &self.device)?.reshape((batch, length))?;
        let (mut seen, mut cached) = (ids.clone(), Vec::new());
        for _ in 0..=CHECKED_STEPS {
            let logits = self.forward(&ids.flatten_all()?, progress)?;
            cached.push((seen.clone(), logits.clone()));
            ids = logits.argmax_keepdim(D::Minus1)?;
            seen = Tensor::cat(&[&seen, &ids], 1)?;
        }
        let mut largest = Some(0.0_f64);
        for (ids, logits) in cached {
            self.begin(batch, length + CHECKED_STEPS)?;
            let expected = self.forward(&ids.flatten_all()?, progress)?;
            for row in 0..batch {
                let error = relative_error(&logits.get(row)?, &expected.get(row)?)?;
                largest = largest.zip(error).map(|(a, b)| a.max(b));
            }
        }
        Ok(largest)
    }
}

impl Forward for Stock {
    /// One step: candle does not tell of its layers.
    fn forward(&mut self, ids: &Tensor, progress: &Progress) -> Result<Tensor, EngineError> {
        let length = ids.elem_count() / self.batch;
        let ids = ids.reshape((self.batch, length))?;
        let logits = self
            .model
            .forward(&ids, self.past)
            .and_then(|logits| logits.reshape((self.batch, ())))
            .and_then(|logits| logits.to_dtype(DType::F32))
            .map_err(|error| match EngineError::from(error) {
                EngineError::Device { reason } => unsupported(&format!("stock candle: {reason}")),
                other => other,
            })?;
        self.past += length;
        progress.step();
        Ok(logits)
    }
}

impl Scorer for Stock {
    /// Candle's models give logits of the last place only.
    fn score(
        &mut self,
        _window: &[TokenId],
        _first: usize,
        _progress: &Progress,
        _visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        Err(unsupported(
            "the stock engine gives logits of the last token only; judge quality with --engine decoder",
        ))
    }
}

impl Engine for Stock {
    fn describe(&self) -> EngineFacts {
        EngineFacts {
            weight_type: self.facts.weight_type.clone(),
            bits_per_weight: self.facts.bits_per_weight,
            activation_dtype: self.facts.activation.as_str().to_owned(),
            kv_dtype: self.facts.activation.as_str().to_owned(),
            weight_bytes: self.facts.bytes,
            weight_bytes_per_step: self.facts.bytes_per_step,
            kv_bytes_per_token: self.facts.kv_bytes_per_token,
            // Candle's caches grow with each step.
            kv_allocated_bytes: 0,
            flop_per_token: 2 * self.facts.multiplied,
            flop_per_token_and_context: self.facts.flop_per_token_and_context,
            resident_bytes: self.memory.anonymous,
            peak_resident_bytes: self.memory.peak,
        }
    }

    fn reserve(&mut self, capacity: Capacity) -> Result<(), EngineError> {
        if capacity.context > self.facts.context {
            return Err(unsupported(&format!(
                "{} tokens of context, stock candle has tables for {}",
                capacity.context, self.facts.context
            )));
        }
        self.model.forget();
        self.capacity = Some(capacity);
        Ok(())
    }

    fn generate(
        &mut self,
        prompts: &Prompts,
        tokens: usize,
        clock: &dyn Clock,
        progress: &Progress,
    ) -> Result<Trace, EngineError> {
        self.begin(prompts.batch(), prompts.length() + tokens.saturating_sub(1))?;
        let device = self.device.clone();
        generate(self, &device, (prompts, tokens), (clock, progress))
    }

    fn check(&mut self, prompts: &Prompts, progress: &Progress) -> Result<Accuracy, EngineError> {
        let relative_error = self.compare(prompts, progress)?;
        let bound = match (self.facts.quantized, self.facts.activation) {
            (_, DType::BF16) => BOUND_BF16,
            (true, _) | (_, DType::F16) => BOUND_F16,
            _ => BOUND_F32,
        };
        Ok(Accuracy {
            batch: prompts.batch() as u32,
            relative_error,
            bound,
            reference_on: None,
        })
    }

    fn peak_memory(&mut self) -> Option<u64> {
        device::peak_memory(&self.device)
    }
}

fn unsupported(reason: &str) -> EngineError {
    EngineError::Unsupported {
        reason: reason.to_owned(),
    }
}
