//! Whether sensor readings can be what they say: columns of one length, in the order of time, of the
//! block that holds them, and within what a card can do.

use std::fmt;

use crate::record::card::{CardFacts, Sensors};
use crate::record::observation::{Block, Purpose};
use crate::record::sensor::{MOST_WATTS, Sensor};
use crate::study::workload::PointId;
use crate::units::Nanos;

/// Hotter than any silicon works: cards shut down below 110 °C.
const MOST_CELSIUS: u64 = 150;
/// The whole in thousandths, with the rounding error that is let through when GPM is read.
const MOST_PERMILLE: u64 = 1_010;
/// Draw above the limit in force is real, for moments: ATX 3.0 allows a card three times its power for
/// 100 µs, and every reading is a mean over more than that.
const POWER_EXCURSION: u64 = 3;
/// Clocks go in steps of up to 15 MHz, and an offset set by the owner of a card is not in its maximum:
/// a twentieth more is still the same card.
const CLOCK_MARGIN: u64 = 20;

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
    /// Readings of another time than the block's.
    #[error("sensor readings do not belong to the block that holds them")]
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
    /// A counter that fell, but did not begin again.
    #[error("{sensor} falls from {from} to {to}, which is no new beginning")]
    Fell {
        /// The column.
        sensor: &'static str,
        /// Before.
        from: u64,
        /// After.
        to: u64,
    },
}

impl UnsoundReadings {
    /// Whether the record is in order and a sensor has read what cannot be, as a faulty one does.
    pub(super) fn is_implausible(&self) -> bool {
        match self {
            Self::Beyond { .. } | Self::Fell { .. } => true,
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
    let beyond = all.filter_map(|sensor| beyond(sensors, sensor, most(sensor, card)?));
    beyond.chain(fallen(sensors)).collect()
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

/// The most power in milliwatts. The limit may be set back to the one delivered while a run goes on.
fn most_power(card: Option<&CardFacts>) -> u64 {
    let limits = card.map(|card| [card.power_limit_mw, card.power_limit_default_mw]);
    let limit = limits.into_iter().flatten().flatten().max();
    limit.map_or(MOST_WATTS * 1_000, |limit| {
        limit.saturating_mul(POWER_EXCURSION)
    })
}

/// A fall of the energy counter to more than can have been drawn since it began again at nothing, which
/// it does when the driver is loaded anew and at the end of its 32 bits.
fn fallen(sensors: &Sensors) -> Option<UnsoundReadings> {
    let sensor = Sensor::Energy.column();
    let column = sensors.columns.get(sensor)?;
    let read: Vec<(Nanos, u64)> = sensors
        .at_ns
        .iter()
        .zip(column)
        .filter_map(|(at, value)| Some((*at, (*value)?)))
        .collect();
    read.windows(2).find_map(|pair| {
        let [(before, from), (after, to)] = [pair[0], pair[1]];
        // One second more, because a counter may owe what it has not shown yet.
        let seconds = after.value().saturating_sub(before.value()) / 1_000_000_000 + 1;
        let anew = MOST_WATTS * 1_000 * seconds;
        (to < from && to > anew).then_some(UnsoundReadings::Fell { sensor, from, to })
    })
}
