//! Whether sensor readings are in order: columns of one length, in the order of time, of the block that
//! holds them. Whether they can be true is for the metrics to say.

use crate::record::card::Sensors;
use crate::record::observation::Block;

/// Readings that are not in order.
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
pub(super) fn misshapen(sensors: &Sensors) -> Option<UnsoundReadings> {
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
