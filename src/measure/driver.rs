//! All launches and variants of a job, one load after the other.

use super::energy::EnergyBlock;
use super::ledger::Ledger;
use super::load::{Halt, Session};
use super::outlets::{Event, Outlets};
use super::{Job, MeasureError};
use crate::engine::worker::{Launcher, Loaded, Refusal, Worker, WorkerError};
use crate::record::observation::{End, EndStatus, Failure, Load, Moment, Record, Skip, SkipCause};
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::{Nanos, Seconds};

/// What a job has come to.
pub(super) struct Driver<'j, 'o> {
    pub(super) job: &'j Job<'j>,
    pub(super) ledger: Ledger<'j>,
    pub(super) outlets: Outlets<'o>,
    /// Why workers were lost without a point's failing for it.
    workers_lost: Vec<String>,
    launcher: &'o mut dyn Launcher,
    next_load: u32,
    begun: Nanos,
    /// Time that workers spent on their own timelines, which for a scripted one is not the machine's.
    worked: Seconds,
}

/// Why measuring ended before all points were done.
#[derive(Debug)]
pub(super) enum Stop {
    /// The user wants to stop.
    Interrupted,
    /// The time asked for is used up.
    OutOfTime,
    /// Nothing can go on.
    Fatal(MeasureError),
}

impl From<MeasureError> for Stop {
    fn from(error: MeasureError) -> Self {
        Self::Fatal(error)
    }
}

impl<'j, 'o> Driver<'j, 'o> {
    pub(super) fn new(
        job: &'j Job<'j>,
        launcher: &'o mut dyn Launcher,
        outlets: Outlets<'o>,
    ) -> Self {
        let loads = job.before.iter().filter_map(|record| {
            let Record::Load(load) = record else {
                return None;
            };
            Some(load.load)
        });
        Self {
            job,
            ledger: Ledger::new(job),
            next_load: loads.max().map_or(0, |last| last + 1),
            begun: outlets.clock.now(),
            outlets,
            workers_lost: Vec::new(),
            launcher,
            worked: Seconds::ZERO,
        }
    }

    /// Measures everything and seals the session.
    pub(super) fn run(mut self) -> Result<EndStatus, MeasureError> {
        let status = match self.measure() {
            Ok(()) => EndStatus::Complete,
            Err(Stop::OutOfTime) => {
                self.skip_for_want_of_time()?;
                EndStatus::Complete
            }
            Err(Stop::Interrupted) => EndStatus::Interrupted,
            Err(Stop::Fatal(error)) => return Err(error),
        };
        let at = Moment::now(self.outlets.clock);
        self.outlets.record(Record::End(End {
            status,
            at,
            after: None,
            lost: None,
            workers_lost: std::mem::take(&mut self.workers_lost),
        }))?;
        Ok(status)
    }

    fn measure(&mut self) -> Result<(), Stop> {
        self.skip_as_planned()?;
        for launch in 0..self.job.measure.launches {
            for variant in self.variants() {
                self.measure_variant(variant, launch)?;
            }
        }
        Ok(())
    }

    /// Variants in study order.
    fn variants(&self) -> Vec<Variant> {
        let mut variants = Vec::new();
        for planned in self.job.points {
            let variant = planned.point.variant();
            if !variants.contains(&variant) {
                variants.push(variant);
            }
        }
        variants
    }

    /// Records what the plan leaves out, unless it is on record already.
    fn skip_as_planned(&mut self) -> Result<(), Stop> {
        for planned in self.job.points {
            let Some(skip) = &planned.skip else { continue };
            if !self.ledger.settled(planned.point) {
                self.skip(planned.point, skip.cause, skip.reason.clone())?;
            }
        }
        Ok(())
    }

    /// Gives every point of a variant its blocks of one launch, with as many workers as it takes:
    /// each one that is lost takes a point with it, or ends the variant.
    fn measure_variant(&mut self, variant: Variant, launch: u32) -> Result<(), Stop> {
        while self.wants_worker(variant, launch) {
            self.go_on(Seconds::ZERO)?;
            self.outlets.tell(Event::Loading { variant, launch });
            let (worker, loaded) = match self.load(variant) {
                Ok(ready) => ready,
                Err(error) => return self.no_worker(variant, error),
            };
            self.spend(loaded.duration);
            let load = Load {
                load: self.next_load,
                launch,
                precision: variant.precision,
                kv: variant.kv,
                engine: loaded.engine,
                started: loaded.started,
                duration_ns: loaded.duration,
                quantizing: loaded.quantizing,
                accuracy: Vec::new(),
            };
            self.next_load += 1;
            match Session::new(self, worker, load).measure() {
                Ok(()) | Err(Halt::FreshWorker) => {}
                Err(Halt::Stop(stop)) => return Err(stop),
            }
        }
        Ok(())
    }

    fn wants_worker(&self, variant: Variant, launch: u32) -> bool {
        !self.ledger.wanted(variant, launch).is_empty()
            || !self.energy_blocks(variant, launch).is_empty()
    }

    /// Blocks that a launch has still to show energy with: the last one does, once all is measured.
    pub(super) fn energy_blocks(&self, variant: Variant, launch: u32) -> Vec<EnergyBlock> {
        let measure = self.job.measure;
        if measure.energy && launch + 1 == measure.launches {
            return self.ledger.energy_blocks(variant);
        }
        Vec::new()
    }

    fn load(&mut self, variant: Variant) -> Result<(Box<dyn Worker>, Loaded), WorkerError> {
        let mut worker = self.launcher.launch()?;
        let order = self.job.target.order(variant, self.job.measure.seed);
        let loaded = worker.load(&order)?;
        Ok((worker, loaded))
    }

    /// The model cannot be loaded. If nothing was found out about the variant yet, that is the outcome
    /// of all its points; else those that have none are skipped and the others keep what they have. A model
    /// or device that is refused before anything was found out at all is no outcome but ends the run.
    fn no_worker(&mut self, variant: Variant, error: WorkerError) -> Result<(), Stop> {
        let first = !self.ledger.has_tried(variant);
        let nothing_yet = !self.ledger.has_outcome();
        let reason = error.to_string();
        let (kind, stderr) = match error {
            WorkerError::Interrupted => return Err(Stop::Interrupted),
            // The loss is the outcome of what ran then; what was never tried has none.
            WorkerError::CardLost { .. } => {
                let reason = format!("{reason}; --resume tries again once it is reset");
                return self.leave_out(variant, SkipCause::LoadFailed, &reason);
            }
            WorkerError::Refused(Refusal::Unsupported { .. }) => {
                return self.give_up(variant, SkipCause::Unsupported, &reason);
            }
            WorkerError::Refused(Refusal::Model { place, reason }) if nothing_yet => {
                return Err(MeasureError::Model { place, reason }.into());
            }
            WorkerError::Refused(Refusal::Device { reason }) if nothing_yet => {
                return Err(MeasureError::Device { reason }.into());
            }
            WorkerError::Refused(refusal) => (refusal.kind(), Vec::new()),
            WorkerError::Lost(loss) => (loss.kind, loss.stderr),
        };
        if !first {
            return self.give_up(variant, SkipCause::LoadFailed, &reason);
        }
        for point in self.ledger.untouched(variant) {
            self.ledger.conclude(point);
        }
        let failure = Failure {
            load: None,
            point: None,
            precision: variant.precision,
            kv: variant.kv,
            kind,
            reason,
            stderr,
        };
        Ok(self.outlets.record(Record::Failure(failure))?)
    }

    /// Skips the points of a variant that have nothing, and lets the others keep what they have.
    fn give_up(&mut self, variant: Variant, cause: SkipCause, reason: &str) -> Result<(), Stop> {
        self.lose_worker(variant, reason);
        self.leave_out(variant, cause, reason)
    }

    /// The same where no worker was lost for it.
    fn leave_out(&mut self, variant: Variant, cause: SkipCause, reason: &str) -> Result<(), Stop> {
        for point in self.ledger.untouched(variant) {
            self.skip(point, cause, reason.to_owned())?;
        }
        let last = self.job.measure.launches - 1;
        for point in self.ledger.wanted(variant, last) {
            self.ledger.settle(point);
        }
        Ok(())
    }

    /// Points that were never tried are left out; of those that have too few blocks, the rest is.
    fn skip_for_want_of_time(&mut self) -> Result<(), MeasureError> {
        for variant in self.variants() {
            for point in self.ledger.untouched(variant) {
                let reason = "the time asked for was used up before it".to_owned();
                self.skip(point, SkipCause::OutOfTime, reason)?;
            }
            for point in self.ledger.cut_short(variant) {
                let blocks = self.ledger.blocks(point);
                let reason = format!("the time asked for was used up after {blocks} blocks");
                self.skip(point, SkipCause::OutOfTime, reason)?;
            }
        }
        Ok(())
    }

    /// Tells of a worker that was lost without a point's failing for it, and keeps the reason for the end.
    pub(super) fn lose_worker(&mut self, variant: Variant, reason: &str) {
        self.outlets.tell(Event::WorkerLost { variant, reason });
        self.workers_lost.push(format!("{variant}: {reason}"));
    }

    pub(super) fn skip(
        &mut self,
        point: PointId,
        cause: SkipCause,
        reason: String,
    ) -> Result<(), MeasureError> {
        self.ledger.settle(point);
        self.outlets.record(Record::Skip(Skip {
            point,
            cause,
            reason,
        }))
    }

    /// Counts time that a worker spent.
    pub(super) fn spend(&mut self, time: Nanos) {
        self.worked += time.seconds();
    }

    /// Whether something that takes `next` may still be begun.
    pub(super) fn go_on(&self, next: Seconds) -> Result<(), Stop> {
        if self.outlets.interrupted() {
            return Err(Stop::Interrupted);
        }
        let Some(budget) = self.job.budget else {
            return Ok(());
        };
        let elapsed = self.outlets.clock.now().since(self.begun);
        let elapsed = elapsed.unwrap_or(Nanos::new(0)).seconds();
        if elapsed.max(self.worked) + next > budget {
            return Err(Stop::OutOfTime);
        }
        Ok(())
    }
}
