//! Measuring a plan: from the points that are wanted to a stream of records.
//!
//! Nothing here knows where a worker lives, where records go or what time it is: all of that is
//! handed in, so the same code measures a rented card and a script.
//!
//! # Order of events
//!
//! For every launch, and in it for every variant (a precision of the weights with a type of the KV
//! cache), a fresh worker loads the model. Then:
//!
//! 1. An untimed pass over its points in ascending size warms up and finds where memory ends. A point
//!    that runs out of memory is a failure, points that are at least as large in every respect are
//!    skipped, and a fresh worker goes on with the rest.
//! 2. Logits are compared with the reference path at batch 1 and at the largest batch that is left.
//!    If they differ, no point of the variant is timed.
//! 3. The cache is reserved for the largest point, and what is missing of the warm-up is made up.
//! 4. Rounds: every live point gets one block per round, in seeded order, until the
//!    stopping rule is content.
//! 5. The first point is measured once more, to show drift.
//! 6. Where energy is wanted, the last launch ends with two long blocks per point: its prompts alone, and
//!    decoding alone. A load that lacks nothing but these checks its logits, warms up and comes to them.
//!
//! A worker that dies takes the point it was at with it; a fresh one goes on with the others.
//!
//! # Launches
//!
//! Blocks are divided over the launches of a study: after launch `l` of `n` a point has
//! ⌈`min_blocks` · (l + 1) / n⌉ blocks. The last launch completes `min_blocks`, and then the number
//! needed is computed once, from these blocks of all launches. `max_seconds` is divided alike.

mod driver;
mod energies;
mod energy;
mod ledger;
mod load;
mod order;
mod outcome;
mod outlets;
mod stopping;

use crate::engine::worker::{Holding, Launcher, Order};
use crate::record::observation::{EndStatus, Record};
use crate::study::model::{DeviceChoice, EngineKind, ModelSource};
use crate::study::plan::PlannedSkip;
use crate::study::spec::Measure;
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::Seconds;

pub use outlets::{Event, Outlets, SinkError};

/// What is to be measured.
#[derive(Debug)]
pub struct Job<'a> {
    /// Every point of the study, in study order.
    pub points: &'a [Planned],
    /// What to load, but for the variant.
    pub target: Target,
    /// How carefully.
    pub measure: &'a Measure,
    /// How long it may take in all.
    pub budget: Option<Seconds>,
    /// What an interrupted run has recorded already.
    pub before: &'a [Record],
}

/// A point and what the plan says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The point.
    pub point: PointId,
    /// Why it is not to be tried, if so.
    pub skip: Option<PlannedSkip>,
}

/// What to load, but for the variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where the model comes from.
    pub source: ModelSource,
    /// Which engine runs it.
    pub engine: EngineKind,
    /// Where.
    pub device: DeviceChoice,
    /// How it is held besides.
    pub holding: Holding,
}

impl Target {
    /// The order for a worker.
    pub fn order(&self, variant: Variant, seed: u64) -> Order {
        Order {
            source: self.source.clone(),
            engine: self.engine.clone(),
            device: self.device,
            precision: variant.precision,
            kv: variant.kv,
            seed,
            holding: self.holding.clone(),
        }
    }
}

/// Why measuring could not go on. What was recorded before stays valid.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// A record could not be stored.
    #[error(transparent)]
    Sink(SinkError),
    /// The model cannot be used.
    #[error("{place}: {reason}")]
    Model {
        /// File and place in it.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The device is not there or failed.
    #[error("device: {reason}")]
    Device {
        /// What and why.
        reason: String,
    },
}

/// Measures what is missing, and seals the session with an end.
///
/// Gives back how the session ended. After an error there is no end, as after a crash.
pub fn run<'o>(
    job: &Job<'_>,
    launcher: &'o mut dyn Launcher,
    outlets: Outlets<'o>,
) -> Result<EndStatus, MeasureError> {
    driver::Driver::new(job, launcher, outlets).run()
}

#[cfg(test)]
mod tests;
