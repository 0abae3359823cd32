//! Why there is no energy.

use super::{MIN_DECODE_SHARE, MIN_UPDATES};
use crate::units::Seconds;

/// Why there is no energy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoEnergy {
    /// Nothing was read.
    #[error("no telemetry")]
    NoSensors,
    /// The sensor is absent.
    #[error("{sensor}: {reason}")]
    Absent {
        /// Its column.
        sensor: &'static str,
        /// Why.
        reason: String,
    },
    /// The readings begin after the window or end before it.
    #[error("{sensor}: the readings do not span the window")]
    NotSpanned {
        /// Its column.
        sensor: &'static str,
    },
    /// The readings pause.
    #[error("{sensor}: no reading for {:.3} s", .pause.value())]
    Gap {
        /// Its column.
        sensor: &'static str,
        /// The longest pause.
        pause: Seconds,
    },
    /// The counter ran backwards.
    #[error("the energy counter ran backwards from {from_mj} to {to_mj} mJ")]
    WentBack {
        /// Before.
        from_mj: u64,
        /// After.
        to_mj: u64,
    },
    /// The counter rose by more than any card draws.
    #[error("the energy counter jumped from {from_mj} to {to_mj} mJ")]
    Jumped {
        /// Before.
        from_mj: u64,
        /// After.
        to_mj: u64,
    },
    /// The counter stood still.
    #[error("the energy counter stood still for {:.1} s", .still.value())]
    Stuck {
        /// For how long.
        still: Seconds,
    },
    /// Too little was seen of the counter or of power.
    #[error("{sensor}: {seen} values in the window, {MIN_UPDATES} are needed")]
    TooFewValues {
        /// Its column.
        sensor: &'static str,
        /// What was seen.
        seen: usize,
    },
    /// The window is too short.
    #[error("{:.1} s long, {:.0} s are needed", .duration.value(), .needed.value())]
    TooShort {
        /// Its length.
        duration: Seconds,
        /// What is needed.
        needed: Seconds,
    },
    /// Both phases share the block.
    #[error("both phases in one block: {:.0} % decoding", .decode_share * 100.0)]
    MixedPhases {
        /// The share of decoding in its time.
        decode_share: f64,
    },
    /// No block shows decoding alone, of which there is too little.
    #[error(
        "decoding is {:.0} % of this point's time, {:.0} % are needed: raise osl",
        .decode_share * 100.0,
        MIN_DECODE_SHARE * 100.0
    )]
    LittleDecoding {
        /// The share of decoding in the time of the point.
        decode_share: f64,
    },
    /// No block shows the phase.
    #[error("no block shows this phase alone")]
    NotMeasured,
    /// The card drew less than when idle.
    #[error("the card drew no more than when idle")]
    BelowIdle,
}
