//! The timed loop: one forward pass per token, and the moment at which the host holds its ids.
//!
//! A pass is launched only when the host holds the ids of the pass before it, so exactly one is in
//! flight beyond the last observed id; on CUDA its input stays on the device meanwhile.

use candle_core::{D, DType, Device, Tensor};

use super::kernels::rows;
use super::{EngineError, Progress, Prompts, TokenId, Trace, device, floats};
use crate::clock::Clock;

/// A model that runs one forward pass at a time.
pub(super) trait Forward {
    /// The new ids of every sequence, `[batch · length]`, to logits of the last ones, `[batch, vocab]`; counts
    /// its steps, so that a long pass is not taken for a hang.
    fn forward(&mut self, ids: &Tensor, progress: &Progress) -> Result<Tensor, EngineError>;
}

/// Generates greedily with an idle device and an empty cache that has room.
pub(super) fn generate(
    model: &mut impl Forward,
    device: &Device,
    (prompts, tokens): (&Prompts, usize),
    (clock, progress): (&dyn Clock, &Progress),
) -> Result<Trace, EngineError> {
    let mut arrivals = Vec::with_capacity(tokens);
    let mut steps = Vec::with_capacity(tokens);
    let mut line = device::Line::new(device, prompts.batch())?;
    let mut unverified = None;
    device.synchronize()?;
    let t0 = clock.now();
    line.start()?;
    let mut ids = Tensor::new(prompts.ids(), device)?;
    for step in 0..tokens {
        let logits = model.forward(&ids, progress)?;
        let chosen;
        (ids, chosen) = choose(&logits, &mut line, step)?;
        arrivals.push(clock.now());
        steps.push(chosen);
        unverified = Some((logits, step));
    }
    let device_time = line.finish()?;
    device.synchronize()?;
    let end = clock.now();
    device::launched(device)?;
    if let Some((logits, step)) = unverified {
        verify(&logits, step)?;
    }
    let ids = (0..prompts.batch())
        .flat_map(|row| steps.iter().map(move |ids| ids[row]))
        .collect();
    Ok(Trace {
        t0,
        arrivals,
        end,
        device: device_time,
        ids,
    })
}

/// The next id of every row, on the device and on the host.
fn choose(
    logits: &Tensor,
    line: &mut device::Line,
    step: usize,
) -> Result<(Tensor, Vec<TokenId>), EngineError> {
    if logits.device().is_cpu() && logits.dtype() == DType::F32 {
        let chosen = rows::choose(&floats::floats(logits)?, logits.dim(D::Minus1)?)
            .ok_or(EngineError::NotFinite { step })?;
        return Ok((Tensor::new(chosen.as_slice(), logits.device())?, chosen));
    }
    let ids = logits.argmax(D::Minus1)?;
    let chosen = line.read(&ids)?;
    Ok((ids, chosen))
}

/// Refuses last logits that are not finite. What went wrong before is in the cache and shows in them.
fn verify(logits: &Tensor, step: usize) -> Result<(), EngineError> {
    let sum = (logits * 0.0)?
        .to_dtype(DType::F32)?
        .sum_all()?
        .to_scalar::<f32>()?;
    if sum.is_nan() {
        Err(EngineError::NotFinite { step })
    } else {
        Ok(())
    }
}

/// `‖actual − expected‖ / ‖expected‖`; `None` when it is not a finite number.
pub(super) fn relative_error(
    actual: &Tensor,
    expected: &Tensor,
) -> candle_core::Result<Option<f64>> {
    let (actual, expected) = (actual.to_dtype(DType::F32)?, expected.to_dtype(DType::F32)?);
    let actual = actual.to_device(expected.device())?;
    let norm = |t: &Tensor| {
        t.sqr()?
            .sum_all()?
            .to_scalar::<f32>()
            .map(|sum| f64::from(sum).sqrt())
    };
    let error = norm(&(actual - &expected)?)? / norm(&expected)?;
    Ok(error.is_finite().then_some(error))
}
