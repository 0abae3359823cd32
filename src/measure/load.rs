//! One load: a fresh worker, and what it measures until it is done or lost.

use std::collections::VecDeque;

use super::driver::{Driver, Stop};
use super::outlets::Event;
use super::{MeasureError, order};
use crate::engine::Capacity;
use crate::engine::worker::{BlockOrder, BlockSeen, CheckOrder, Refusal, Worker, WorkerError};
use crate::record::observation::{Accuracy, Block, Load, Purpose, Record};
use crate::study::workload::{CHECKED_PROMPT, CHECKED_STEPS, GENERATIONS_PER_BLOCK, PointId};
use crate::units::Seconds;

/// A worker with a model, and its place in the record.
pub(super) struct Session<'d, 'j, 'o> {
    pub(super) driver: &'d mut Driver<'j, 'o>,
    pub(super) worker: Box<dyn Worker>,
    pub(super) load: Load,
    /// Outcomes that were found before the load is on record, which they refer to.
    pub(super) waiting: VecDeque<Record>,
    pub(super) recorded: Recorded,
    reserved: Option<Capacity>,
    warm: Seconds,
}

/// Why a load ended before its points were done.
#[derive(Debug)]
pub(super) enum Halt {
    /// The worker is gone or not to be trusted; a fresh one goes on.
    FreshWorker,
    /// No worker goes on.
    Stop(Stop),
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<MeasureError> for Halt {
    fn from(error: MeasureError) -> Self {
        Self::Stop(error.into())
    }
}

/// What a block is kept as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    pub(super) purpose: Purpose,
    pub(super) round: u32,
    pub(super) serves: Option<PointId>,
}

impl Role {
    fn of(purpose: Purpose, round: u32) -> Self {
        Self {
            purpose,
            round,
            serves: None,
        }
    }
}

/// Whether the load is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    NotYet,
    Yes,
}

impl<'d, 'j, 'o> Session<'d, 'j, 'o> {
    pub(super) fn new(driver: &'d mut Driver<'j, 'o>, worker: Box<dyn Worker>, load: Load) -> Self {
        Self {
            driver,
            worker,
            load,
            waiting: VecDeque::new(),
            recorded: Recorded::NotYet,
            reserved: None,
            warm: Seconds::ZERO,
        }
    }

    /// Everything that is done with one load. Whatever ends it, the load and what was found are stored.
    pub(super) fn measure(mut self) -> Result<(), Halt> {
        let result = self.phases();
        result.and(self.seal())
    }

    fn phases(&mut self) -> Result<(), Halt> {
        if self.live().is_empty() {
            return self.only_energies();
        }
        self.untimed_pass()?;
        if self.live().is_empty() {
            return Ok(());
        }
        self.check()?;
        self.reserve_for_all()?;
        self.seal()?;
        self.warm_up()?;
        let first = self.live().first().copied();
        let rounds = self.rounds()?;
        if let Some(first) = first.filter(|first| !self.driver.ledger.settled(*first)) {
            self.drift(first, rounds)?;
        }
        self.energies(rounds)
    }

    /// Points that this load has still to measure.
    pub(super) fn live(&self) -> Vec<PointId> {
        let (variant, launch) = (self.load.variant(), self.load.launch);
        self.driver.ledger.wanted(variant, launch)
    }

    /// Tries every point once, the smallest first.
    fn untimed_pass(&mut self) -> Result<(), Halt> {
        for point in order::ascending(&self.live()) {
            if self.driver.ledger.settled(point) {
                continue;
            }
            self.driver.go_on(Seconds::ZERO)?;
            self.driver.outlets.tell(Event::Untimed { point });
            let room = order::capacity(point);
            let tried = self.reserve(room);
            let tried = tried.and_then(|()| self.untimed(point, Seconds::ZERO));
            if let Err(error) = tried {
                self.failed(point, error)?;
            }
        }
        Ok(())
    }

    /// Runs a point without keeping the times.
    pub(super) fn untimed(&mut self, point: PointId, seconds: Seconds) -> Result<(), WorkerError> {
        let number = self.load.load;
        let max_generations = if seconds > Seconds::ZERO { u32::MAX } else { 1 };
        let seen = self.worker.block(&BlockOrder {
            point,
            seed: order::warmup_seed(self.driver.job.measure.seed, point, number),
            min_seconds: seconds,
            min_generations: 1,
            max_seconds: seconds,
            max_generations,
        })?;
        self.driver.spend(seen.cpu.wall_ns);
        self.warm += seen.cpu.wall_ns.seconds();
        Ok(())
    }

    fn check(&mut self) -> Result<(), Halt> {
        match self.accurate(&self.live()) {
            Ok(()) => Ok(()),
            Err(error) => self.all_failed(&error),
        }
    }

    /// Compares logits with the reference path at batch 1 and at the largest batch; a difference that is
    /// too large is an error.
    pub(super) fn accurate(&mut self, points: &[PointId]) -> Result<(), WorkerError> {
        let largest = points.iter().map(|point| point.batch.get()).max();
        let mut batches = vec![1];
        batches.extend(largest.filter(|batch| *batch > 1));
        let context = points.iter().map(|point| point.context()).max();
        let length = context
            .unwrap_or(1)
            .saturating_sub(u64::from(CHECKED_STEPS) + 1)
            .clamp(1, CHECKED_PROMPT.into()) as u32;
        self.reserve(Capacity {
            batch: largest.unwrap_or(1),
            context: length + CHECKED_STEPS + 1,
        })?;
        self.load.accuracy = self.worker.check(&CheckOrder {
            length,
            seed: order::check_seed(self.driver.job.measure.seed),
            batches,
        })?;
        match self.load.accuracy.iter().find(|seen| !seen.passed()) {
            Some(seen) => Err(inaccurate(seen).into()),
            None => Ok(()),
        }
    }

    /// Makes room for the largest point, once for all.
    fn reserve_for_all(&mut self) -> Result<(), Halt> {
        let live = order::ascending(&self.live());
        let Some(&largest) = live.last() else {
            return Ok(());
        };
        let room = order::shared_capacity(largest, &live);
        if let Err(error) = self.reserve(room) {
            return self.failed(largest, error);
        }
        match self.worker.describe() {
            Ok(facts) => {
                self.load.engine = facts;
                Ok(())
            }
            Err(error) => self.failed(largest, error),
        }
    }

    /// Makes up what is missing of the warm-up, equally over the points.
    fn warm_up(&mut self) -> Result<(), Halt> {
        let live = order::ascending(&self.live());
        for (done, &point) in live.iter().enumerate() {
            let missing = self.driver.job.measure.warmup_seconds - self.warm;
            if missing <= Seconds::ZERO {
                break;
            }
            self.driver.go_on(Seconds::ZERO)?;
            let part = missing / (live.len() - done) as f64;
            let room = order::shared_capacity(point, &live);
            let warmed = self.reserve(room).and_then(|()| self.untimed(point, part));
            if let Err(error) = warmed {
                self.failed(point, error)?;
            }
        }
        Ok(())
    }

    /// One block per live point and round, until no point wants more. Gives back how many rounds.
    ///
    /// The cache stays as it is when the largest points are done: its room is part of what is measured.
    fn rounds(&mut self) -> Result<u32, Halt> {
        let all = self.live();
        let mut round = 0;
        loop {
            let live = self.live();
            if live.is_empty() {
                return Ok(round);
            }
            let points = live.len();
            self.driver.outlets.tell(Event::Round { round, points });
            let seed = self.driver.job.measure.seed;
            for point in order::shuffled(live, seed, self.load.load, round) {
                let room = order::shared_capacity(point, &all);
                match self.block(point, room, Purpose::Measure)? {
                    Ok(seen) => self.keep(point, seen, Role::of(Purpose::Measure, round))?,
                    Err(error) => self.failed(point, error)?,
                }
            }
            round += 1;
        }
    }

    /// The first point once more. All points are done, so a worker that is lost here costs nothing but
    /// the drift, and takes no result with it.
    fn drift(&mut self, first: PointId, rounds: u32) -> Result<(), Halt> {
        let ledger = &self.driver.ledger;
        let ahead = ledger.next_block(first) + ledger.ahead();
        let drift = Event::Drift {
            point: first,
            ahead,
        };
        self.driver.outlets.tell(drift);
        let room = self.room_for(first);
        match self.block(first, room, Purpose::Drift)? {
            Ok(seen) => self.keep(first, seen, Role::of(Purpose::Drift, rounds)),
            Err(error) => Err(self.without(&error)),
        }
    }

    /// The room that is there, if it is enough.
    pub(super) fn room_for(&self, point: PointId) -> Capacity {
        let enough = |room: &Capacity| {
            room.batch >= point.batch.get() && u64::from(room.context) >= point.context()
        };
        self.reserved
            .filter(enough)
            .unwrap_or(order::capacity(point))
    }

    /// Goes on, with a fresh worker, without a block that adds to results which are there already.
    pub(super) fn without(&mut self, error: &WorkerError) -> Halt {
        if *error == WorkerError::Interrupted {
            return Stop::Interrupted.into();
        }
        let variant = self.load.variant();
        let reason = &error.to_string();
        self.driver.lose_worker(variant, reason);
        Halt::FreshWorker
    }

    /// Runs one block of a point, if there is time for it.
    fn block(
        &mut self,
        point: PointId,
        room: Capacity,
        purpose: Purpose,
    ) -> Result<Result<BlockSeen, WorkerError>, Halt> {
        self.driver.go_on(self.driver.ledger.next_block(point))?;
        let measure = self.driver.job.measure;
        let number = match purpose {
            Purpose::Measure => self.driver.ledger.blocks(point),
            Purpose::Drift | Purpose::Energy => self.load.load,
        };
        let order = BlockOrder {
            point,
            seed: order::block_seed(measure.seed, point, purpose, number),
            min_seconds: measure.min_block_seconds,
            min_generations: GENERATIONS_PER_BLOCK,
            max_seconds: measure.max_seconds / f64::from(measure.min_blocks),
            max_generations: u32::MAX,
        };
        Ok(self.reserve(room).and_then(|()| self.worker.block(&order)))
    }

    pub(super) fn keep(&mut self, point: PointId, seen: BlockSeen, role: Role) -> Result<(), Halt> {
        let block = Block {
            load: self.load.load,
            point,
            purpose: role.purpose,
            serves: role.serves,
            round: role.round,
            started: seen.started,
            generations: seen.generations,
            repeated: seen.repeated,
            output_sha256: seen.output_sha256,
            cpu: seen.cpu,
            peak_memory_bytes: seen.peak_memory_bytes,
            sensors: None,
        };
        let driver = &mut *self.driver;
        driver.spend(block.cpu.wall_ns);
        driver.ledger.add(&block);
        match role.purpose {
            Purpose::Measure => driver.outlets.tell(Event::Block {
                block: &block,
                blocks: driver.ledger.blocks(point),
                goal: driver.ledger.goal(point, driver.job.measure.launches - 1),
                estimate: driver.ledger.estimate(point),
                ahead: driver.ledger.ahead(),
            }),
            // What they are was told before they began.
            Purpose::Drift | Purpose::Energy => {}
        }
        Ok(driver.outlets.record(Record::Block(Box::new(block)))?)
    }

    pub(super) fn reserve(&mut self, room: Capacity) -> Result<(), WorkerError> {
        if self.reserved == Some(room) {
            return Ok(());
        }
        self.reserved = None;
        self.worker.reserve(room)?;
        self.reserved = Some(room);
        Ok(())
    }
}

fn inaccurate(seen: &Accuracy) -> Refusal {
    let error = seen
        .relative_error
        .map_or("not a number".to_owned(), |error| format!("{error:.2e}"));
    Refusal::Invalid {
        reason: format!(
            "accuracy: logits differ from the reference path by {error} at batch {}, more than {:.2e}",
            seen.batch, seen.bound
        ),
    }
}
