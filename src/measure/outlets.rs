//! Where results and news go, and where the wish to stop comes from.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::MeasureError;
use crate::clock::Clock;
use crate::metrics::energy::Phase;
use crate::metrics::stats::Estimate;
use crate::record::observation::{Block, Failure, Load, Record, Skip};
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::Seconds;

/// Why a record could not be stored; whoever gave the sink knows its type.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// What is handed in from outside.
pub struct Outlets<'a> {
    /// Stores a record. It is called while the worker is idle.
    pub sink: &'a mut dyn FnMut(Record) -> Result<(), SinkError>,
    /// Hears what happens.
    pub observer: &'a mut dyn FnMut(Event<'_>),
    /// Signals received so far. After the first, the running block ends and the session is sealed. The
    /// second is the business of whoever counts them: the file is valid at every moment, and a worker
    /// dies with its parent, so the process may simply exit.
    pub interrupt: &'a AtomicUsize,
    /// The machine's clock.
    pub clock: &'a dyn Clock,
}

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A worker begins to load the model.
    Loading {
        /// As this variant.
        variant: Variant,
        /// In this launch, from 0.
        launch: u32,
    },
    /// A point is being tried without being timed.
    Untimed {
        /// The point.
        point: PointId,
    },
    /// The model is loaded and checked.
    Load(&'a Load),
    /// A round begins.
    Round {
        /// Its number within the load, from 0.
        round: u32,
        /// Points that have a block in it.
        points: usize,
    },
    /// A block that counts for its point was seen.
    Block {
        /// The block.
        block: &'a Block,
        /// Blocks of its point so far.
        blocks: u32,
        /// Blocks that its point is going to have, as far as known now.
        goal: u32,
        /// Seconds per output token so far.
        estimate: Option<Estimate<f64>>,
        /// Time that blocks still need, as far as known now.
        ahead: Seconds,
    },
    /// A block begins that shows how the machine has changed.
    Drift {
        /// The point that is measured again.
        point: PointId,
        /// Time that blocks still need, this one included.
        ahead: Seconds,
    },
    /// A block begins that shows energy.
    Energy {
        /// The point whose energy it shows.
        point: PointId,
        /// Of this phase.
        phase: Phase,
        /// Which of the load's blocks for energy this is, from 1.
        block: usize,
        /// Of how many.
        blocks: usize,
        /// Time that blocks still need, this one included.
        ahead: Seconds,
    },
    /// A point or a load failed.
    Failed(&'a Failure),
    /// A point is left out.
    Skipped(&'a Skip),
    /// A worker could not be had any more; points that have blocks keep them.
    WorkerLost {
        /// Its variant.
        variant: Variant,
        /// Why.
        reason: &'a str,
    },
}

impl Outlets<'_> {
    /// Stores a record, once those who listen were told.
    pub(super) fn record(&mut self, record: Record) -> Result<(), MeasureError> {
        match &record {
            Record::Load(load) => (self.observer)(Event::Load(load)),
            Record::Failure(failure) => (self.observer)(Event::Failed(failure)),
            Record::Skip(skip) => (self.observer)(Event::Skipped(skip)),
            Record::Session(_)
            | Record::Device(_)
            | Record::Peak(_)
            | Record::Block(_)
            | Record::Scoring(_)
            | Record::Window(_)
            | Record::Unscored(_)
            | Record::End(_) => {}
        }
        (self.sink)(record).map_err(MeasureError::Sink)
    }

    pub(super) fn tell(&mut self, event: Event<'_>) {
        (self.observer)(event);
    }

    pub(super) fn interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed) > 0
    }
}
