//! The timed loop: one forward pass per token, and the moment at which the host holds its ids.
//!
//! A pass is launched only when the host holds the ids of the pass before it, so exactly one is in
//! flight beyond the last observed id; on CUDA its input stays on the device meanwhile.

use candle_core::{D, Tensor};

use super::Decoder;
use super::operators::{Operators, floats};
use crate::clock::Clock;
use crate::engine::kernels::rows;
use crate::engine::{EngineError, Progress, Prompts, TokenId, Trace, device};

impl Decoder {
    /// Generates into an empty cache that has room.
    pub(super) fn run(
        &mut self,
        prompts: &Prompts,
        tokens: usize,
        (clock, progress): (&dyn Clock, &Progress),
    ) -> Result<Trace, EngineError> {
        let batch = prompts.batch();
        let mut arrivals = Vec::with_capacity(tokens);
        let mut steps = Vec::with_capacity(tokens);
        let mut line = device::Line::new(&self.device, batch)?;
        let mut first = None;
        let mut last = None;
        self.device.synchronize()?;
        let t0 = clock.now();
        line.start()?;
        let mut ids = Tensor::new(prompts.ids(), &self.device)?;
        for step in 0..tokens {
            let logits = self.forward(&ids)?;
            let chosen;
            (ids, chosen) = self.choose(&logits, &mut line, step)?;
            arrivals.push(clock.now());
            steps.push(chosen);
            progress.step();
            if step == 0 {
                first = Some(logits.clone());
            }
            last = Some(logits);
        }
        let device = line.finish()?;
        self.device.synchronize()?;
        let end = clock.now();
        for (logits, step) in [(first, 0), (last, tokens.saturating_sub(1))] {
            self.verify(logits.as_ref(), step)?;
        }
        let ids = (0..batch)
            .flat_map(|row| steps.iter().map(move |ids| ids[row]))
            .collect();
        Ok(Trace {
            t0,
            arrivals,
            end,
            device,
            ids,
        })
    }

    /// The next id of every row, on the device and on the host.
    fn choose(
        &self,
        logits: &Tensor,
        line: &mut device::Line,
        step: usize,
    ) -> Result<(Tensor, Vec<TokenId>), EngineError> {
        match self.operators {
            Operators::Fused => {
                let chosen = rows::choose(&floats(logits)?, logits.dim(D::Minus1)?)
                    .ok_or(EngineError::NotFinite { step })?;
                Ok((Tensor::new(chosen.as_slice(), &self.device)?, chosen))
            }
            Operators::Candle => {
                let ids = logits.argmax(D::Minus1)?;
                let chosen = line.read(&ids)?;
                Ok((ids, chosen))
            }
        }
    }

    /// Refuses logits that are not finite. What goes wrong in between stays in the cache and shows in
    /// the last ones.
    fn verify(&self, logits: Option<&Tensor>, step: usize) -> Result<(), EngineError> {
        match (self.operators, logits) {
            (Operators::Fused, _) | (_, None) => Ok(()),
            (Operators::Candle, Some(logits)) => {
                let sum = (logits * 0.0)?.sum_all()?.to_scalar::<f32>()?;
                if sum.is_nan() {
                    Err(EngineError::NotFinite { step })
                } else {
                    Ok(())
                }
            }
        }
    }
}
