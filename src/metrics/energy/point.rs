//! The energy of a point: what its two single-phase blocks say, and what an idle card draws.

use super::{NoEnergy, Phase, PhaseEnergy, idle_power};
use crate::metrics::facts::Facts;
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
    /// What the card draws when nothing runs, before the first worker.
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
            let block = serving
                .iter()
                .filter(of_phase)
                .max_by_key(|block| block.load);
            block.map_or(Err(NoEnergy::NotMeasured), |block| {
                PhaseEnergy::of_block(block)
            })
        };
        let before = facts.device.and_then(|device| device.before.as_deref());
        Some(Self {
            prefill: newest(Phase::Prefill),
            decode: newest(Phase::Decode),
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
