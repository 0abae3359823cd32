//! Whose sensor readings a record holds.

use std::fmt;

use super::card::Sensors;
use super::observation::{Block, Purpose, Record};
use crate::study::workload::PointId;

/// Whose readings they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A block's.
    Block {
        /// The point that ran.
        point: PointId,
        /// What it is for.
        purpose: Purpose,
        /// Its round.
        round: u32,
    },
    /// The card's before the first worker.
    Before,
    /// The card's after the last worker.
    After,
}

impl Holder {
    /// A block.
    pub fn of(block: &Block) -> Self {
        Self::Block {
            point: block.point,
            purpose: block.purpose,
            round: block.round,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block {
                point,
                purpose,
                round,
            } => write!(f, "block of {point} {purpose:?} in round {round}"),
            Self::Before => f.write_str("the card before the first worker"),
            Self::After => f.write_str("the card after the last worker"),
        }
    }
}

/// The readings of a record, and whose they are.
pub fn readings(record: &Record) -> Option<(Holder, &Sensors)> {
    match record {
        Record::Device(device) => Some((Holder::Before, device.before.as_deref()?)),
        Record::Block(block) => Some((Holder::of(block), block.sensors.as_ref()?)),
        Record::End(end) => Some((Holder::After, end.after.as_deref()?)),
        Record::Session(_)
        | Record::Peak(_)
        | Record::Load(_)
        | Record::Failure(_)
        | Record::Skip(_)
        | Record::Scoring(_)
        | Record::Window(_)
        | Record::Unscored(_) => None,
    }
}
