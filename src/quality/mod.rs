//! What variants of a model lose against the reference: plan → stream of records.
//!
//! Reference and judged model stay in one worker together where both fit the memory; else the
//! reference's distributions go to disk first and every variant is compared with them.

mod driver;
mod pace;
mod reference;
mod windows;

use std::path::Path;
use std::sync::atomic::AtomicUsize;

use crate::clock::Clock;
use crate::engine::TokenId;
use crate::engine::worker::{Launcher, Order};
use crate::record::observation::{EndStatus, Record};
use crate::record::scoring::{Text, Unscored};
use crate::study::model::Precision;
use crate::study::variant::Variant;
use crate::units::Seconds;

pub use windows::{Named, TooShort, cut};

/// What is to be judged.
pub struct Job<'a> {
    /// The model, as any variant.
    pub model: &'a Order,
    /// The variants that are judged, in study order.
    pub variants: &'a [Variant],
    /// What they are judged against.
    pub reference: &'a Order,
    /// The text and how it is cut.
    pub text: &'a Text,
    /// Its tokens.
    pub ids: &'a [TokenId],
    /// How the two models meet.
    pub meeting: Meeting<'a>,
    /// Time after which no other variant is begun.
    pub budget: Option<Seconds>,
    /// What an interrupted run has recorded already.
    pub before: &'a [Record],
}

/// How the two models meet.
#[derive(Debug, Clone, Copy)]
pub struct Meeting<'a> {
    /// Whether the memory may hold both.
    pub room: Room,
    /// A file that is not there, for distributions. Whoever names it takes it away.
    pub file: &'a Path,
}

/// What may be in memory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Both models, where this many bytes hold them.
    Bytes(u64),
    /// One model.
    OneModel,
}

/// Why a record could not be stored; whoever gave the sink knows its type.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// What is handed in from outside.
pub struct Outlets<'a> {
    /// Stores records together. It is called while the worker is idle.
    pub sink: &'a mut dyn FnMut(&[Record]) -> Result<(), SinkError>,
    /// Hears what happens.
    pub observer: &'a mut dyn FnMut(Event<'_>),
    /// Signals received so far; after the first, what is recorded stands and nothing is begun.
    pub interrupt: &'a AtomicUsize,
    /// The machine's clock.
    pub clock: &'a dyn Clock,
}

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A worker begins to load a model.
    Loading {
        /// As this variant.
        variant: Variant,
        /// In which role.
        role: Role,
    },
    /// Windows were scored.
    Windows {
        /// The variant that is judged, or the reference while it is written to disk.
        variant: Variant,
        /// In which role.
        role: Role,
        /// Windows so far.
        done: u32,
        /// Windows in all.
        of: u32,
        /// Time that is still ahead for all variants, as far as known now.
        ahead: Seconds,
    },
    /// Both models do not fit the memory.
    TwoPasses {
        /// Why.
        reason: &'a str,
    },
    /// A variant could not be judged.
    Unscored(&'a Unscored),
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Others are judged against it.
    Reference,
    /// It is judged.
    Judged,
}

/// How judging ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Complete, or interrupted.
    pub status: EndStatus,
    /// Variants that could not be judged.
    pub unscored: u32,
}

/// Why judging could not go on. What was recorded before stays valid.
#[derive(Debug, thiserror::Error)]
pub enum QualityError {
    /// A record could not be stored.
    #[error(transparent)]
    Sink(SinkError),
    /// The reference cannot be used.
    #[error("reference {precision}: {cause}")]
    Reference {
        /// Its precision.
        precision: Precision,
        /// Why.
        #[source]
        cause: crate::engine::worker::WorkerError,
    },
}

/// Judges what is missing. The session is not sealed: that is for whoever opened it.
pub fn run<'o>(
    job: &Job<'_>,
    launcher: &'o mut dyn Launcher,
    outlets: Outlets<'o>,
) -> Result<Ended, QualityError> {
    driver::Driver::new(job, launcher, outlets).run()
}

#[cfg(test)]
mod tests;
