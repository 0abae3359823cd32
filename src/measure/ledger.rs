//! What is known of every point: its blocks so far, and whether more are wanted.

use super::energy::{self, EnergyBlock};
use super::stopping;
use super::{Job, Planned};
use crate::metrics::stats::Estimate;
use crate::record::observation::{Block, Purpose, Record, SkipCause};
use crate::record::steps::Steps;
use crate::study::plan::duration::ENERGY_BLOCK;
use crate::study::spec::Measure;
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::{Nanos, Seconds};

/// All points in study order.
pub(super) struct Ledger<'a> {
    rows: Vec<Row>,
    measure: &'a Measure,
}

/// Time of the phases of a point, over the same generations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PhaseTime {
    /// Until the first tokens.
    pub(super) first: Seconds,
    /// From there to the last ones.
    pub(super) rest: Seconds,
}

impl Default for PhaseTime {
    fn default() -> Self {
        Self {
            first: Seconds::ZERO,
            rest: Seconds::ZERO,
        }
    }
}

/// One point.
struct Row {
    point: PointId,
    /// Seconds per output token of each block.
    blocks: Vec<f64>,
    measured: Seconds,
    /// Time until first tokens, and from there to last ones, of all generations.
    phases: PhaseTime,
    /// What ran, or was tried, to show its energy.
    energy: Vec<PointId>,
    /// Whether nothing more is to be found out.
    settled: bool,
    /// Whether a worker has tried it, or its model.
    tried: bool,
}

impl<'a> Ledger<'a> {
    /// The points of a job, with what was recorded before.
    pub(super) fn new(job: &'a Job<'_>) -> Self {
        let rows = job.points.iter().map(|planned: &Planned| Row {
            point: planned.point,
            blocks: Vec::new(),
            measured: Seconds::ZERO,
            phases: PhaseTime::default(),
            energy: Vec::new(),
            settled: false,
            tried: false,
        });
        let mut ledger = Self {
            rows: rows.collect(),
            measure: job.measure,
        };
        for record in job.before {
            ledger.recall(record);
        }
        ledger
    }

    /// What a record of an earlier session means for its point. A point for which there was no time, no
    /// card or no model is what a resumed run is for; every other outcome stands.
    fn recall(&mut self, record: &Record) {
        match record {
            Record::Block(block) => self.add(block),
            Record::Failure(failure) => failure.point.into_iter().for_each(|it| self.conclude(it)),
            Record::Skip(skip) => match skip.cause {
                SkipCause::OutOfTime | SkipCause::LoadFailed => {}
                SkipCause::DoesNotFit
                | SkipCause::BeyondContext
                | SkipCause::OomDominated
                | SkipCause::Unsupported => self.settle(skip.point),
            },
            Record::Session(_)
            | Record::Device(_)
            | Record::Peak(_)
            | Record::Load(_)
            | Record::Scoring(_)
            | Record::Window(_)
            | Record::Unscored(_)
            | Record::End(_) => {}
        }
    }

    /// Counts a block that serves an estimate.
    pub(super) fn add(&mut self, block: &Block) {
        match block.purpose {
            Purpose::Measure => {}
            Purpose::Drift => return,
            Purpose::Energy => {
                if let Some(serves) = block.serves {
                    let runs = block.point;
                    self.try_energy(EnergyBlock { serves, runs });
                }
                return;
            }
        }
        if let Some(row) = self.row_mut(block.point) {
            let tokens = f64::from(row.point.batch.get())
                * f64::from(row.point.osl.get())
                * block.generations.len() as f64;
            let steps = block.generations.iter().map(|g| &g.steps_ns);
            let time: Nanos = steps.clone().map(Steps::sum).sum();
            let first: Nanos = steps.filter_map(Steps::first).sum();
            row.phases.first += first.seconds();
            row.phases.rest += time.since(first).unwrap_or_default().seconds();
            row.blocks.push(time.seconds().value() / tokens);
            row.measured += block.cpu.wall_ns.seconds();
            row.tried = true;
        }
    }

    /// An energy block is on record, or is not tried again in this session.
    pub(super) fn try_energy(&mut self, block: EnergyBlock) {
        if let Some(row) = self.row_mut(block.serves) {
            row.energy.push(block.runs);
        }
    }

    /// Nothing more is to be found out about a point.
    pub(super) fn settle(&mut self, point: PointId) {
        if let Some(row) = self.row_mut(point) {
            row.settled = true;
        }
    }

    /// A worker has tried a point, or its model, and that is all there is to be found out.
    pub(super) fn conclude(&mut self, point: PointId) {
        if let Some(row) = self.row_mut(point) {
            row.settled = true;
            row.tried = true;
        }
    }

    pub(super) fn settled(&self, point: PointId) -> bool {
        self.row(point).is_none_or(|row| row.settled)
    }

    pub(super) fn blocks(&self, point: PointId) -> u32 {
        self.row(point).map_or(0, |row| row.blocks.len() as u32)
    }

    pub(super) fn estimate(&self, point: PointId) -> Option<Estimate<f64>> {
        stopping::estimate(&self.row(point)?.blocks)
    }

    /// Points of a variant that a launch has still to give blocks to, in study order.
    pub(super) fn wanted(&self, variant: Variant, launch: u32) -> Vec<PointId> {
        let wanted = |row: &&Row| row.point.variant() == variant && self.wants(row, launch);
        self.rows
            .iter()
            .filter(wanted)
            .map(|row| row.point)
            .collect()
    }

    /// Points of a variant that have no outcome and no block.
    pub(super) fn untouched(&self, variant: Variant) -> Vec<PointId> {
        let untouched =
            |row: &&Row| row.point.variant() == variant && !row.settled && row.blocks.is_empty();
        self.rows
            .iter()
            .filter(untouched)
            .map(|row| row.point)
            .collect()
    }

    /// Points of a variant that want more blocks and have some, but fewer than every point is to have.
    pub(super) fn cut_short(&self, variant: Variant) -> Vec<PointId> {
        let few = 1..self.measure.min_blocks;
        let mut points = self.wanted(variant, self.measure.launches - 1);
        points.retain(|point| few.contains(&self.blocks(*point)));
        points
    }

    /// Whether a worker has tried any point of a variant.
    pub(super) fn has_tried(&self, variant: Variant) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|row| row.point.variant() == variant && row.tried)
    }

    /// Whether anything was found out of any point.
    pub(super) fn has_outcome(&self) -> bool {
        self.rows.iter().any(|row| row.tried)
    }

    /// Unsettled points of the same variant that are at least as large as `point` in every respect.
    pub(super) fn dominated_by(&self, point: PointId) -> Vec<PointId> {
        let larger = |row: &&Row| !row.settled && super::order::dominates(row.point, point);
        self.rows
            .iter()
            .filter(larger)
            .map(|row| row.point)
            .collect()
    }

    /// Blocks that are still to show energy, of the points of a variant that were measured.
    pub(super) fn energy_blocks(&self, variant: Variant) -> Vec<EnergyBlock> {
        let measured =
            |row: &&Row| row.point.variant() == variant && !row.settled && !row.blocks.is_empty();
        self.rows
            .iter()
            .filter(measured)
            .flat_map(Row::missing_energy)
            .collect()
    }

    /// Blocks that a point is going to have after a launch.
    pub(super) fn goal(&self, point: PointId, launch: u32) -> u32 {
        self.row(point).map_or(0, |row| self.goal_of(row, launch))
    }

    /// Time that the blocks of all points still need, those for energy included.
    pub(super) fn ahead(&self) -> Seconds {
        let open = self.rows.iter().filter(|row| !row.settled);
        open.map(|row| self.measuring_ahead(row) + self.energy_ahead(row))
            .sum()
    }

    fn measuring_ahead(&self, row: &Row) -> Seconds {
        let last = self.measure.launches - 1;
        if !self.wants(row, last) {
            return Seconds::ZERO;
        }
        let missing = self
            .goal_of(row, last)
            .saturating_sub(row.blocks.len() as u32);
        let needed = row.mean_block(self.measure) * f64::from(missing);
        needed.min(self.measure.max_seconds - row.measured)
    }

    fn energy_ahead(&self, row: &Row) -> Seconds {
        let blocks = match (self.measure.energy, row.blocks.is_empty()) {
            (false, _) => 0,
            (true, false) => row.missing_energy().len(),
            // Which prompts decode alone is known once it is measured; that some do is assumed.
            (true, true) => energy::phases(row.point),
        };
        ENERGY_BLOCK * blocks as f64
    }

    /// How long the next block of a point is going to take.
    pub(super) fn next_block(&self, point: PointId) -> Seconds {
        self.row(point)
            .map_or(Seconds::ZERO, |row| row.mean_block(self.measure))
    }

    fn goal_of(&self, row: &Row, launch: u32) -> u32 {
        let measure = self.measure;
        let least = measure.min_blocks;
        if launch + 1 < measure.launches {
            return stopping::share(least, launch, measure.launches);
        }
        match row.blocks.get(..least as usize) {
            Some(pilot) => stopping::blocks_needed(pilot, measure),
            None => least,
        }
    }

    fn wants(&self, row: &Row, launch: u32) -> bool {
        if row.settled || row.blocks.len() as u32 >= self.goal_of(row, launch) {
            return false;
        }
        let launches = f64::from(self.measure.launches);
        let allowed = self.measure.max_seconds * (f64::from(launch + 1) / launches);
        row.blocks.is_empty() || row.measured + row.mean_block(self.measure) <= allowed
    }

    fn row(&self, point: PointId) -> Option<&Row> {
        self.rows.iter().find(|row| row.point == point)
    }

    fn row_mut(&mut self, point: PointId) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.point == point)
    }
}

impl Row {
    fn missing_energy(&self) -> Vec<EnergyBlock> {
        let shown = |runs| self.energy.iter().any(|ran| energy::same_phase(*ran, runs));
        let blocks = energy::blocks(self.point, self.phases);
        blocks.filter(|block| !shown(block.runs)).collect()
    }

    fn mean_block(&self, measure: &Measure) -> Seconds {
        match self.blocks.len() {
            0 => measure.min_block_seconds,
            n => self.measured / n as f64,
        }
    }
}
