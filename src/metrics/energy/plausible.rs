//! Whether a card can have drawn the energy that its readings show.

use super::MIN_PHASE;
use super::readings::{COUNTER, counted, integrated, power_column};
use super::window::Window;
use crate::record::observation::Block;
use crate::units::{Joules, Watts};

/// A card may exceed its limit for moments, but not over a block of 10 s.
const BEYOND_LIMIT: f64 = 1.2;
/// How far the counter and the integral of power may be apart, as a factor. Recent cards sample power
/// for a part of the time only, which has cost up to two thirds of the energy (arXiv 2312.02741); one
/// above three means that one of the two is not of this card.
const MOST_APART: f64 = 3.0;

/// An energy that no card has drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Implausible {
    /// More than the card may draw, over a time in which its limit is kept.
    #[error("{sensor} comes to {:.0} W in the mean, and the card's limit is {:.0} W", .power.value(), .limit.value())]
    BeyondLimit {
        /// The column.
        sensor: &'static str,
        /// Mean power of the block.
        power: Watts,
        /// The limit in force.
        limit: Watts,
    },
    /// Counter and power tell different stories.
    #[error("{COUNTER} rises by {:.1} J, but {sensor} comes to {:.1} J", .counter.value(), .integrated.value())]
    Apart {
        /// The column of power.
        sensor: &'static str,
        /// By the counter.
        counter: Joules,
        /// By power.
        integrated: Joules,
    },
}

/// What is wrong with the energy of a block, by the counter or by power, on a card with this limit.
///
/// Blocks of less than 10 s show nothing: the driver's mean of power is a second late, and the counter is
/// renewed every so often.
pub fn implausible(block: &Block, limit: Option<Watts>) -> Option<Implausible> {
    let sensors = block.sensors.as_ref()?;
    let window = Window::of_block(block).filter(|window| window.duration() >= MIN_PHASE)?;
    let counter = counted(sensors, window).ok().map(|counted| counted.energy);
    let integrated = integrated(sensors, window).ok();
    let power = power_column(sensors);
    let both = [(COUNTER, counter), (power, integrated)];
    let beyond = both.into_iter().find_map(|(sensor, energy)| {
        let (power, limit) = (energy? / window.duration(), limit?);
        (power > limit * BEYOND_LIMIT).then_some(Implausible::BeyondLimit {
            sensor,
            power,
            limit,
        })
    });
    beyond.or_else(|| {
        let (counter, integrated) = (counter?, integrated?);
        let apart = counter * MOST_APART < integrated || integrated * MOST_APART < counter;
        apart.then_some(Implausible::Apart {
            sensor: power,
            counter,
            integrated,
        })
    })
}
