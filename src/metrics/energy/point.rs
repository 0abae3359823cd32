//! The energy of a point: what its two single-phase blocks say, and what an idle card draws.

use super::{MIN_DECODE_SHARE, NoEnergy, Phase, PhaseEnergy, decode_share, idle_power};
use crate::metrics::facts::{Facts, Sitting};
use crate::record::observation::{Block, EndStatus, Purpose};
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
        let little = prefill.filter(|_| decode.is_none());
        let little = little.and_then(|_| little_decoding(facts, point));
        let before = sitting.and_then(Sitting::before);
        Some(Self {
            prefill: shown(prefill),
            decode: little.map_or_else(|| shown(decode), Err),
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

/// Why no block was tried that decodes alone, in a run that came to its end: with shorter prompts too, there would
/// have been too little decoding in it.
fn little_decoding(facts: &Facts<'_>, point: PointId) -> Option<NoEnergy> {
    let calm = facts.ends.iter().all(|end| end.workers_lost.is_empty());
    let ended = facts.end == Some(EndStatus::Complete) && calm;
    let blocks: Vec<&Block> = facts.measured(point).collect();
    let decode_share = decode_share(&blocks);
    let little = point.osl.get() > 1 && decode_share < MIN_DECODE_SHARE;
    (ended && little).then_some(NoEnergy::LittleDecoding { decode_share })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{Script, generation, point};
    use crate::record::card::CardFacts;

    /// A point that decodes for two thirds of its time, and the block that shows its prefill.
    fn script() -> Script {
        let measured = point(1, 100, 3);
        let mut script = Script::new(&[measured]);
        script.session_mut().study.measure.energy = true;
        script.device_mut().card = Some(Box::new(CardFacts::default()));
        script.block(measured, vec![generation(10, &[10, 10])]);
        script.block(point(1, 100, 1), vec![generation(10, &[])]);
        let block = script.last_block_mut();
        block.purpose = Purpose::Energy;
        block.serves = Some(measured);
        script
    }

    #[track_caller]
    fn decode_of(script: &Script) -> String {
        let energy = PointEnergy::of(&script.facts(), point(1, 100, 3)).unwrap();
        energy.decode.unwrap_err().to_string()
    }

    #[test]
    fn a_point_that_decodes_too_little_says_so_and_what_helps() {
        let mut script = script();
        script.end(EndStatus::Complete);
        assert_eq!(
            decode_of(&script),
            "decoding is 67 % of this point's time, 95 % are needed: raise osl"
        );
    }

    #[test]
    fn a_block_that_a_run_did_not_come_to_is_not_blamed_on_the_point() {
        let mut cut = script();
        cut.end(EndStatus::Interrupted);
        assert_eq!(decode_of(&cut), "no block shows this phase alone");
        let mut lost = script();
        lost.end(EndStatus::Complete);
        lost.last_end_mut().workers_lost = vec!["bf16: signal 9".to_owned()];
        assert_eq!(decode_of(&lost), "no block shows this phase alone");
    }
}
