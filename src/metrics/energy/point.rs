//! The energy of a point: what its two single-phase blocks say, and what an idle card draws.

use super::{NoEnergy, Phase, PhaseEnergy, idle_power};
use crate::metrics::facts::{Facts, Sitting};
use crate::record::observation::{Block, Purpose};
use crate::study::workload::PointId;
use crate::units::Watts;

/// The energy of a point, phase by phase.
#[derive(Debug, Clone, PartialEq)]
pub struct PointEnergy {
    /// Of reading prompts.
    pub prefill: Result<PhaseEnergy, NoEnergy>,
    /// Of making tokens.
    pub decode: Result<PhaseEnergy, NoEnergy>,
    /// What the card drew when nothing ran, before the first worker of the session that showed the
    /// energy.
    pub idle: Result<Watts, NoEnergy>,
}

impl PointEnergy {
    /// The energy of `point`; `None` where the study does not ask for it. The newest block of each phase
    /// counts.
    pub fn of(facts: &Facts<'_>, point: PointId) -> Option<Self> {
        if !facts.session.study.measure.energy {
            return None;
        }
        let serving: Vec<&Block> = facts
            .blocks
            .values()
            .flatten()
            .copied()
            .filter(|block| block.purpose == Purpose::Energy && block.serves == Some(point))
            .collect();
        let newest = |phase: Phase| {
            let of_phase = |block: &&&Block| match phase {
                Phase::Prefill => block.point.osl.get() == 1,
                Phase::Decode => block.point.osl.get() > 1,
            };
            let blocks = serving.iter().filter(of_phase);
            blocks.max_by_key(|block| block.load).copied()
        };
        let (prefill, decode) = (newest(Phase::Prefill), newest(Phase::Decode));
        // A card draws more or less at rest on another day.
        let sitting = match decode.or(prefill) {
            Some(block) => facts.sitting_of(block),
            None => facts.sittings.last(),
        };
        let shown = |block: Option<&Block>| match block {
            Some(block) => PhaseEnergy::of_block(block),
            None if facts.card().is_none() => Err(NoEnergy::NoSensors),
            None => Err(NoEnergy::NotMeasured),
        };
        let before = sitting.and_then(Sitting::before);
        Some(Self {
            prefill: shown(prefill),
            decode: shown(decode),
            idle: before.map_or(Err(NoEnergy::NoSensors), idle_power),
        })
    }

    /// The energy of one phase.
    pub fn of_phase(&self, phase: Phase) -> &Result<PhaseEnergy, NoEnergy> {
        match phase {
            Phase::Prefill => &self.prefill,
            Phase::Decode => &self.decode,
        }
    }
}
