//! How points end without a result, and when that is stored.

use super::driver::Stop;
use super::load::{Halt, Recorded, Session};
use crate::engine::worker::{Loss, Refusal, WorkerError};
use crate::record::observation::{Failure, FailureKind, Record, Skip, SkipCause};
use crate::study::workload::PointId;

impl Session<'_, '_, '_> {
    /// Records that every point that is left ends like this.
    pub(super) fn all_failed(&mut self, error: &WorkerError) -> Result<(), Halt> {
        let mut result = Ok(());
        for point in self.live() {
            if !self.driver.ledger.settled(point) {
                result = self.failed(point, error.clone());
            }
        }
        result
    }

    /// Records how a point ended, and whether the worker goes on.
    pub(super) fn failed(&mut self, point: PointId, error: WorkerError) -> Result<(), Halt> {
        let (next, loss) = match error {
            WorkerError::Interrupted => return Err(Stop::Interrupted.into()),
            WorkerError::Refused(Refusal::Unsupported { reason }) => {
                self.driver.ledger.conclude(point);
                let cause = SkipCause::Unsupported;
                return self.record(Record::Skip(Skip {
                    point,
                    cause,
                    reason,
                }));
            }
            WorkerError::Refused(refusal) => {
                let next = match refusal {
                    Refusal::Invalid { .. } => Ok(()),
                    Refusal::OutOfMemory { .. }
                    | Refusal::Model { .. }
                    | Refusal::Device { .. }
                    | Refusal::Storage { .. }
                    | Refusal::Unsupported { .. } => Err(Halt::FreshWorker),
                };
                let loss = Loss {
                    kind: refusal.kind(),
                    reason: refusal.to_string(),
                    stderr: Vec::new(),
                };
                (next, loss)
            }
            WorkerError::CardLost { .. } => return Err(Halt::FreshWorker),
            WorkerError::Lost(loss) => (Err(Halt::FreshWorker), loss),
        };
        self.driver.ledger.conclude(point);
        let kind = loss.kind;
        self.record(Record::Failure(Failure {
            load: Some(self.load.load),
            point: Some(point),
            precision: point.precision,
            kv: point.kv,
            kind,
            reason: loss.reason,
            stderr: loss.stderr,
        }))?;
        match kind {
            FailureKind::Oom => self.skip_larger(point)?,
            FailureKind::Crashed | FailureKind::Timeout | FailureKind::Invalid => {}
        }
        next
    }

    /// What is at least as large as a point that ran out of memory is not tried.
    fn skip_larger(&mut self, point: PointId) -> Result<(), Halt> {
        for larger in self.driver.ledger.dominated_by(point) {
            if self.driver.ledger.blocks(larger) > 0 {
                continue;
            }
            self.driver.ledger.settle(larger);
            self.record(Record::Skip(Skip {
                point: larger,
                cause: SkipCause::OomDominated,
                reason: format!("{point} ran out of memory and is no larger in any respect"),
            }))?;
        }
        Ok(())
    }

    /// Stores a record, after the load that it refers to.
    fn record(&mut self, record: Record) -> Result<(), Halt> {
        match self.recorded {
            Recorded::NotYet => self.waiting.push_back(record),
            Recorded::Yes => self.driver.outlets.record(record)?,
        }
        Ok(())
    }

    /// Stores the load and what waits for it.
    pub(super) fn seal(&mut self) -> Result<(), Halt> {
        if self.recorded == Recorded::Yes {
            return Ok(());
        }
        self.recorded = Recorded::Yes;
        let load = Box::new(self.load.clone());
        self.driver.outlets.record(Record::Load(load))?;
        while let Some(record) = self.waiting.pop_front() {
            self.driver.outlets.record(record)?;
        }
        Ok(())
    }
}
