//! The energy of a load's points: after its rounds, or alone where an earlier session did not come to it.

use super::energy::EnergyBlock;
use super::load::{Halt, Role, Session};
use super::order;
use super::outlets::Event;
use crate::engine::worker::BlockOrder;
use crate::record::observation::Purpose;
use crate::study::plan::duration::ENERGY_BLOCK;
use crate::study::workload::PointId;

impl Session<'_, '_, '_> {
    /// A load whose points have all their blocks: only energy is missing. Whatever happens takes no
    /// result with it.
    pub(super) fn only_energies(&mut self) -> Result<(), Halt> {
        let blocks = self.energy_blocks();
        let Some(first) = blocks.first() else {
            return Ok(());
        };
        let points: Vec<PointId> = blocks.iter().map(|block| block.serves).collect();
        let checked = self.accurate(&points);
        self.seal()?;
        let warmup = self.driver.job.measure.warmup_seconds;
        let room = order::capacity(first.runs);
        let ready = checked
            .and_then(|()| self.reserve(room))
            .and_then(|()| self.untimed(first.runs, warmup));
        if let Err(error) = ready {
            // A fresh worker would fare no better.
            for block in blocks {
                self.driver.ledger.try_energy(block);
            }
            return Err(self.without(&error));
        }
        self.energies(0)
    }

    /// The energy of each phase of every point that was measured. A worker that is lost here takes no
    /// result with it, and what it was at is not tried again.
    pub(super) fn energies(&mut self, rounds: u32) -> Result<(), Halt> {
        let blocks = self.energy_blocks();
        for (before, &block) in blocks.iter().enumerate() {
            self.driver.go_on(ENERGY_BLOCK)?;
            self.driver.outlets.tell(Event::Energy {
                point: block.serves,
                phase: block.phase(),
                block: before + 1,
                blocks: blocks.len(),
                ahead: self.driver.ledger.ahead(),
            });
            self.driver.ledger.try_energy(block);
            let order = self.energy_order(block.runs);
            let room = self.room_for(block.runs);
            let seen = self.reserve(room).and_then(|()| self.worker.block(&order));
            match seen {
                Ok(seen) => {
                    let role = Role {
                        purpose: Purpose::Energy,
                        round: rounds,
                        serves: Some(block.serves),
                    };
                    self.keep(block.runs, seen, role)?;
                }
                Err(error) => return Err(self.without(&error)),
            }
        }
        Ok(())
    }

    fn energy_blocks(&self) -> Vec<EnergyBlock> {
        let (variant, launch) = (self.load.variant(), self.load.launch);
        self.driver.energy_blocks(variant, launch)
    }

    fn energy_order(&self, point: PointId) -> BlockOrder {
        let (seed, number) = (self.driver.job.measure.seed, self.load.load);
        BlockOrder {
            point,
            seed: order::block_seed(seed, point, Purpose::Energy, number),
            min_seconds: ENERGY_BLOCK,
            min_generations: 1,
            max_seconds: ENERGY_BLOCK,
            max_generations: u32::MAX,
        }
    }
}
