//! The model that others are judged against: in memory beside them, or its distributions on disk.

use super::driver::{Driver, Trouble};
use super::{Event, QualityError, Role, Room};
use crate::engine::Capacity;
use crate::engine::worker::{Loaded, Order, StoreOrder, Worker, WorkerError};
use crate::record::observation::EngineFacts;
use crate::study::model::Precision;

/// Share of the memory that two models may fill; the rest is for logits, caches and the system.
const FILLED: f64 = 0.8;

/// Where the reference is.
pub(super) enum Held {
    /// In a worker, beside the model that is judged.
    Beside {
        worker: Box<dyn Worker>,
        engine: EngineFacts,
    },
    /// Its distributions are on disk.
    OnDisk { engine: EngineFacts, error: f64 },
}

impl Held {
    pub(super) const fn is_beside(&self) -> bool {
        match self {
            Self::Beside { .. } => true,
            Self::OnDisk { .. } => false,
        }
    }
}

impl Driver<'_, '_> {
    /// Why a precision cannot be held beside the reference, judged by the reference's size.
    pub(super) fn why_not_beside(&self, held: &Held, precision: Precision) -> Option<String> {
        let Held::Beside { engine, .. } = held else {
            return None;
        };
        let Room::Bytes(room) = self.job.meeting.room else {
            return Some("one model at a time was asked for".to_owned());
        };
        let bits = precision.block().map_or(engine.bits_per_weight, |block| {
            block.bytes as f64 * 8.0 / block.length as f64
        });
        let reference = engine.weight_bytes as f64;
        let both = reference + reference / engine.bits_per_weight * bits;
        (both > room as f64 * FILLED).then(|| {
            let gib = |bytes: f64| bytes / f64::from(1_u32 << 30);
            format!(
                "reference and {precision} take {:.1} GiB together, there are {:.1}",
                gib(both),
                gib(room as f64)
            )
        })
    }

    /// Loads the reference into a worker of its own and keeps it there.
    pub(super) fn hold_reference(&mut self) -> Result<Held, Trouble> {
        let (mut worker, loaded) = self.load_reference()?;
        let kept = worker.set_aside();
        kept.map_err(|error| self.of_reference(error))?;
        Ok(Held::Beside {
            worker,
            engine: loaded.engine,
        })
    }

    fn load_reference(&mut self) -> Result<(Box<dyn Worker>, Loaded), Trouble> {
        let order = self.job.reference;
        (self.outlets.observer)(Event::Loading {
            variant: order.variant(),
            role: Role::Reference,
        });
        let context = self.job.text.context;
        let loaded = self.launcher.launch().and_then(|mut worker| {
            let loaded = load(worker.as_mut(), order, context)?;
            Ok((worker, loaded))
        });
        loaded.map_err(|error| self.of_reference(error))
    }

    /// Writes the reference's distributions to disk and lets the model go.
    pub(super) fn write_reference(&mut self, reason: &str) -> Result<Held, Trouble> {
        (self.outlets.observer)(Event::TwoPasses { reason });
        let (mut worker, loaded) = self.load_reference()?;
        let role = (self.job.reference.variant(), Role::Reference);
        let (mut largest, mut done) = (0.0_f64, 0);
        self.pace.passes += 1;
        while done < self.job.text.windows {
            self.go_on()?;
            let (windows, begun) = (self.next_windows(done), self.outlets.clock.now());
            let count = windows.len() as u32;
            let stored = worker.store(&StoreOrder {
                windows,
                first: self.job.text.first,
                file: self.job.meeting.file.to_owned(),
            });
            largest = largest.max(stored.map_err(|error| self.of_reference(error))?);
            done += count;
            self.keep_pace((count, begun), done, role);
        }
        self.pace.passes -= 1;
        Ok(Held::OnDisk {
            engine: loaded.engine,
            error: largest,
        })
    }

    fn of_reference(&self, error: WorkerError) -> Trouble {
        match error {
            WorkerError::Interrupted => Trouble::Interrupted,
            cause => Trouble::Fatal(QualityError::Reference {
                precision: self.job.reference.precision,
                cause,
            }),
        }
    }
}

/// Loads a model with room for one window.
pub(super) fn load(
    worker: &mut dyn Worker,
    order: &Order,
    context: u32,
) -> Result<Loaded, WorkerError> {
    let loaded = worker.load(order)?;
    worker.reserve(Capacity { batch: 1, context })?;
    Ok(loaded)
}
