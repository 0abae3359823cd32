//! Which generations show the energy of one phase alone.

use std::num::NonZeroU32;

use super::ledger::PhaseTime;
use crate::metrics::energy::Phase;
use crate::study::workload::PointId;

/// Share of decoding that a decode block aims for; 95 % is what it needs.
const DECODE_SHARE: f64 = 0.96;

/// A block that shows the energy of one phase of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EnergyBlock {
    /// The point whose energy it shows.
    pub(super) serves: PointId,
    /// What runs in it.
    pub(super) runs: PointId,
}

impl EnergyBlock {
    /// The phase that runs alone in it.
    pub(super) fn phase(self) -> Phase {
        if self.runs.osl == NonZeroU32::MIN {
            Phase::Prefill
        } else {
            Phase::Decode
        }
    }
}

/// How many phases a point has: without a second output token nothing is decoded.
pub(super) fn phases(point: PointId) -> usize {
    if point.osl == NonZeroU32::MIN { 1 } else { 2 }
}

/// The blocks that show the energy of a point, by the time of its phases.
pub(super) fn blocks(point: PointId, time: PhaseTime) -> impl Iterator<Item = EnergyBlock> {
    let alone = [Some(prefill_alone(point)), decode_alone(point, time)];
    alone.into_iter().flatten().map(move |runs| EnergyBlock {
        serves: point,
        runs,
    })
}

/// Whether two blocks of a point show the same phase: prefill with one output token, or decoding.
pub(super) fn same_phase(one: PointId, other: PointId) -> bool {
    (one.osl == NonZeroU32::MIN) == (other.osl == NonZeroU32::MIN)
}

/// The prompts of a point with one output token each: prefill alone.
fn prefill_alone(point: PointId) -> PointId {
    let osl = NonZeroU32::MIN;
    PointId { osl, ..point }
}

/// A point of the same batch and as many tokens in all as `point`, with the longest prompts that leave
/// at least 96 % of the time to decoding. `None` where even the shortest prompts leave less.
fn decode_alone(point: PointId, time: PhaseTime) -> Option<PointId> {
    let (isl, osl) = (point.isl.get(), point.osl.get());
    if osl < 2 {
        return None;
    }
    let ratio = time.first / time.rest;
    if !ratio.is_finite() {
        return None;
    }
    // In steps of decoding: what the whole prefill takes, and no prefill is shorter than a step.
    let prefill = ratio * f64::from(osl - 1);
    let share = |prompt: u32| {
        let steps = f64::from(isl + osl - prompt - 1);
        let first = (prefill * f64::from(prompt) / f64::from(isl)).max(1.0);
        steps / (first + steps)
    };
    let prompt = (1..=isl)
        .rev()
        .find(|prompt| share(*prompt) >= DECODE_SHARE)?;
    Some(PointId {
        isl: NonZeroU32::new(prompt)?,
        osl: NonZeroU32::new(isl + osl - prompt)?,
        ..point
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::model::Precision;
    use crate::units::Seconds;

    /// Input and output length that show decoding alone, where a prefill takes `first` times a step.
    fn lengths(isl: u32, osl: u32, first: f64) -> Option<(u32, u32)> {
        let count = |n| NonZeroU32::new(n).unwrap();
        let point = PointId {
            precision: Precision::Bf16,
            kv: None,
            batch: count(4),
            isl: count(isl),
            osl: count(osl),
        };
        let time = PhaseTime {
            first: Seconds::new(first),
            rest: Seconds::new(f64::from(osl - 1)),
        };
        decode_alone(point, time).map(|point| (point.isl.get(), point.osl.get()))
    }

    #[test]
    fn a_point_that_decodes_enough_stays_as_it_is() {
        assert_eq!(lengths(512, 101, 4.0), Some((512, 101)));
    }

    #[test]
    fn shorter_prompts_and_longer_outputs_hold_as_many_tokens() {
        // A prefill of 512 tokens takes 64 steps, one of 40 tokens five: 119 of 124 steps are 96.0 %.
        let (isl, osl) = lengths(512, 100, 64.0).unwrap();
        assert_eq!(isl + osl, 612);
        let (first, rest) = (f64::from(isl) / 8.0, f64::from(osl - 1));
        assert!(rest / (first + rest) >= 0.96, "{isl}/{osl}");
        assert!(isl > 100, "as long as can be: {isl}");
    }

    #[test]
    fn some_points_cannot_show_it() {
        assert_eq!(
            lengths(8, 8, 4.0),
            None,
            "14 steps after the shortest first one"
        );
        assert_eq!(lengths(512, 1, 4.0), None, "nothing is decoded");
    }
}
