//! Whether sensor readings can be what they say: columns of one length, in the order of time, of the
//! block that holds them, and within what a card can do.

use std::fmt;

use crate::record::card::{CardFacts, Sensors};
use crate::record::observation::{Block, Purpose};
use crate::record::sensor::{MOST_WATTS, Sensor};
use crate::study::workload::PointId;

/// Hotter than any silicon works: cards shut down below 110 °C.
const MOST_CELSIUS: u64 = 150;
/// The whole in thousandths, with the rounding error that is let through when GPM is read.
const MOST_PERMILLE: u64 = 1_010;
/// Draw above the limit in force is real, for moments: ATX 3.0 allows a card three times its power for
/// 100 µs, and every reading is a mean over more than that.
const POWER_EXCURSION: u64 = 3;
/// An offset set by the owner of a card is not in its maximum; memory runs up to a fifth above it so. A third
/// more is still the same card.
const CLOCK_MARGIN: u64 = 3;

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

/// Readings that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsoundReadings {
    /// A column of another length than the times.
    #[error("{found} readings of {sensor} at {expected} times")]
    Length {
        /// The column.
        sensor: String,
        /// Times.
        expected: usize,
        /// Readings.
        found: usize,
    },
    /// Times that do not rise.
    #[error("sensor readings are not in the order of time")]
    Order,
    /// Readings of another time than that of the block that holds them, or of the rest before and after all blocks.
    #[error("sensor readings are of another time than what holds them")]
    Elsewhere,
    /// A reading that this card cannot give.
    #[error("{sensor} reads {value}, and {most} is the most that can be")]
    Beyond {
        /// The column.
        sensor: &'static str,
        /// The first such reading.
        value: u64,
        /// The most that can be.
        most: u64,
    },
}

impl UnsoundReadings {
    /// Whether the record is in order and a sensor has read what cannot be, as a faulty one does.
    pub(super) fn is_implausible(&self) -> bool {
        match self {
            Self::Beyond { .. } => true,
            Self::Length { .. } | Self::Order | Self::Elsewhere => false,
        }
    }
}

/// What is wrong with readings in themselves.
pub(super) fn unsound(sensors: &Sensors, card: Option<&CardFacts>) -> Vec<UnsoundReadings> {
    if let Some(misshapen) = misshapen(sensors) {
        return vec![misshapen];
    }
    let all = Sensor::ALL.into_iter();
    all.filter_map(|sensor| beyond(sensors, sensor, most(sensor, card)?))
        .collect()
}

/// Whether more than the nearest reading on either side lies outside of the block.
pub(super) fn outside(block: &Block, sensors: &Sensors) -> Option<UnsoundReadings> {
    let from = block.started.monotonic_ns.value();
    let to = from.saturating_add(block.cpu.wall_ns.value());
    let before = sensors.at_ns.iter().filter(|at| at.value() < from).count();
    let after = sensors.at_ns.iter().filter(|at| at.value() > to).count();
    (before > 1 || after > 1).then_some(UnsoundReadings::Elsewhere)
}

/// Columns that do not fit the times, or times that do not rise.
fn misshapen(sensors: &Sensors) -> Option<UnsoundReadings> {
    let expected = sensors.at_ns.len();
    let odd = sensors
        .columns
        .iter()
        .find(|(_, column)| column.len() != expected);
    if let Some((sensor, column)) = odd {
        return Some(UnsoundReadings::Length {
            sensor: sensor.clone(),
            expected,
            found: column.len(),
        });
    }
    let rising = sensors.at_ns.windows(2).all(|pair| pair[0] < pair[1]);
    (!rising).then_some(UnsoundReadings::Order)
}

/// The first reading above the most that can be.
fn beyond(sensors: &Sensors, sensor: Sensor, most: u64) -> Option<UnsoundReadings> {
    let sensor = sensor.column();
    let mut readings = sensors.columns.get(sensor)?.iter().flatten();
    let value = *readings.find(|value| **value > most)?;
    Some(UnsoundReadings::Beyond {
        sensor,
        value,
        most,
    })
}

/// The most that a sensor can read; `None` where nothing bounds it, or nothing is known of the bound.
fn most(sensor: Sensor, card: Option<&CardFacts>) -> Option<u64> {
    let with_margin = |clock: u64| clock.saturating_add(clock / CLOCK_MARGIN);
    match sensor {
        Sensor::Power | Sensor::PowerAverage | Sensor::PowerInstant => Some(most_power(card)),
        Sensor::GpuUtilization | Sensor::MemoryUtilization => Some(100),
        Sensor::MemoryUsed | Sensor::ProcessMemory => card?.memory_bytes,
        Sensor::SmClock => card?.max_sm_clock_mhz.map(with_margin),
        Sensor::MemoryClock => card?.max_memory_clock_mhz.map(with_margin),
        Sensor::Temperature => Some(MOST_CELSIUS),
        Sensor::EccEnabled | Sensor::MigEnabled => Some(1),
        Sensor::GpmSmActivity
        | Sensor::GpmSmOccupancy
        | Sensor::GpmTensorActivity
        | Sensor::GpmDramBandwidth => Some(MOST_PERMILLE),
        Sensor::Energy
        | Sensor::ProcessCount
        | Sensor::ThrottleReasons
        | Sensor::PcieRx
        | Sensor::PcieTx
        | Sensor::EccUncorrected
        | Sensor::Xid => None,
    }
}

/// The most power in milliwatts.
fn most_power(card: Option<&CardFacts>) -> u64 {
    let limit = card.and_then(CardFacts::highest_power_limit_mw);
    limit.map_or(MOST_WATTS * 1_000, |limit| {
        limit.saturating_mul(POWER_EXCURSION)
    })
}
