//! What sensors have read that cannot be: more than the card can do, or energies that it cannot have drawn.
//!
//! Such a record is in order. A faulty sensor costs its readings, not the hour that was paid for, so that what
//! it read is told with a doubt.

use std::fmt;

use rayon::prelude::*;

use super::energy;
use super::verdict::{Verdict, Warning};
use crate::record::card::{CardFacts, Sensors};
use crate::record::holder::{Holder, readings};
use crate::record::observation::Record;
use crate::record::sensor::{MOST_WATTS, Sensor};
use crate::study::workload::PointId;
use crate::units::Watts;

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

/// Something that cannot be, and where it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Implausible {
    /// Number of the record, from 0.
    pub record: usize,
    /// Whose readings they are.
    pub holder: Holder,
    /// The point that they say something about, if any.
    pub point: Option<PointId>,
    /// What cannot be.
    pub wrong: Wrong,
}

impl fmt::Display for Implausible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.holder, self.wrong)
    }
}

/// What cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Wrong {
    /// A reading that this card cannot give.
    #[error("{sensor} reads {value}, and {most} is the most that can be")]
    Reading {
        /// The column.
        sensor: &'static str,
        /// The first such reading.
        value: u64,
        /// The most that can be.
        most: u64,
    },
    /// An energy that it cannot have drawn.
    #[error(transparent)]
    Energy(energy::Implausible),
}

impl Wrong {
    /// The column in doubt.
    fn sensor(&self) -> &'static str {
        match self {
            Self::Reading { sensor, .. }
            | Self::Energy(
                energy::Implausible::BeyondLimit { sensor, .. }
                | energy::Implausible::Apart { sensor, .. },
            ) => sensor,
        }
    }
}

/// Everything in the records of one study that cannot be, in their order.
pub fn of(records: &[Record]) -> Vec<Implausible> {
    let mut card = None;
    let mut held = Vec::new();
    for (at, record) in records.iter().enumerate() {
        if let Record::Device(device) = record {
            card = device.card.as_deref();
        }
        if let Some((holder, sensors)) = readings(record) {
            held.push(Held {
                at,
                record,
                holder,
                sensors,
                card,
            });
        }
    }
    held.par_iter().flat_map_iter(Held::implausible).collect()
}

/// Readings with what they belong to.
struct Held<'a> {
    at: usize,
    record: &'a Record,
    holder: Holder,
    sensors: &'a Sensors,
    card: Option<&'a CardFacts>,
}

impl Held<'_> {
    fn implausible(&self) -> Vec<Implausible> {
        let wrong = self.wrong().into_iter();
        wrong
            .map(|wrong| Implausible {
                record: self.at,
                holder: self.holder,
                point: served(self.record),
                wrong,
            })
            .collect()
    }

    /// What cannot be. An energy is asked for where no single reading is wrong already.
    fn wrong(&self) -> Vec<Wrong> {
        let all = Sensor::ALL.into_iter();
        let beyond =
            all.filter_map(|sensor| beyond(self.sensors, sensor, most(sensor, self.card)?));
        let mut wrong: Vec<Wrong> = beyond.collect();
        if let Record::Block(block) = self.record
            && wrong.is_empty()
        {
            let limit = self.card.and_then(CardFacts::highest_power_limit_mw);
            let limit = limit.map(|milliwatts| Watts::new(milliwatts as f64 / 1e3));
            wrong.extend(energy::implausible(block, limit).map(Wrong::Energy));
        }
        wrong
    }
}

/// The doubts that follow: one for each sensor of a point, or of the run.
pub fn doubts(found: &[Implausible]) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = Vec::new();
    for one in found {
        let told = warnings.iter_mut().find_map(|warning| {
            let Verdict::Implausible { first, more } = &mut warning.verdict else {
                return None;
            };
            let same = first.point == one.point && first.wrong.sensor() == one.wrong.sensor();
            same.then_some(more)
        });
        if let Some(more) = told {
            *more += 1;
            continue;
        }
        let first = Box::new(one.clone());
        warnings.push(Warning {
            point: one.point,
            verdict: Verdict::Implausible { first, more: 0 },
        });
    }
    warnings
}

/// The point of the study that a record says something about.
fn served(record: &Record) -> Option<PointId> {
    let Record::Block(block) = record else {
        return None;
    };
    Some(block.serves.unwrap_or(block.point))
}

/// The first reading above the most that can be.
fn beyond(sensors: &Sensors, sensor: Sensor, most: u64) -> Option<Wrong> {
    let sensor = sensor.column();
    let mut readings = sensors.columns.get(sensor)?.iter().flatten();
    let value = *readings.find(|value| **value > most)?;
    Some(Wrong::Reading {
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
        | Sensor::PowerLimit
        | Sensor::ApplicationSmClock
        | Sensor::ApplicationMemoryClock
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{Script, columns, generation, point};
    use crate::record::observation::{EndStatus, Purpose};

    /// A block with this reading of a sensor on a card of 80 GB, 700 W and 2 GHz.
    fn reading(sensor: Sensor, value: u64) -> Script {
        let point = point(1, 100, 11);
        let mut script = Script::new(&[point]);
        script.device_mut().card = Some(Box::new(CardFacts {
            memory_bytes: Some(80_000_000_000),
            max_sm_clock_mhz: Some(2_000),
            max_memory_clock_mhz: Some(2_600),
            power_limit_mw: Some(400_000),
            power_limit_default_mw: Some(700_000),
            ..CardFacts::default()
        }));
        script.block(point, vec![generation(50, &[10; 10])]);
        script.last_block_mut().sensors = Some(columns(&[(sensor.column(), value)]));
        script
    }

    fn told(script: &Script) -> Vec<String> {
        let found = of(&script.records).into_iter();
        found.map(|it| format!("{}: {it}", it.record)).collect()
    }

    #[test]
    fn a_reading_stays_within_what_the_card_can_do() {
        for (sensor, most) in [
            (Sensor::GpuUtilization, 100),
            (Sensor::MemoryUtilization, 100),
            (Sensor::Temperature, 150),
            (Sensor::GpmSmActivity, 1_010),
            (Sensor::GpmSmOccupancy, 1_010),
            (Sensor::GpmTensorActivity, 1_010),
            (Sensor::GpmDramBandwidth, 1_010),
            (Sensor::EccEnabled, 1),
            (Sensor::MigEnabled, 1),
            (Sensor::MemoryUsed, 80_000_000_000),
            (Sensor::ProcessMemory, 80_000_000_000),
            (Sensor::SmClock, 2_666),
            (Sensor::MemoryClock, 3_466),
            (Sensor::Power, 2_100_000),
            (Sensor::PowerAverage, 2_100_000),
            (Sensor::PowerInstant, 2_100_000),
        ] {
            assert!(told(&reading(sensor, most)).is_empty(), "{sensor:?}");
            let expected = format!(
                "3: block of q8_0 b1 100/11 Measure in round 0: {} reads {}, and {most} is the most that can be",
                sensor.column(),
                most + 1
            );
            assert_eq!(told(&reading(sensor, most + 1)), [expected]);
        }
        // Nothing bounds these.
        assert!(told(&reading(Sensor::ThrottleReasons, u64::MAX)).is_empty());
    }

    #[test]
    fn readings_around_the_work_are_of_the_run() {
        let mut script = reading(Sensor::Power, 1);
        script.device_mut().before = Some(Box::new(columns(&[("temperature_c", 900)])));
        script.end(EndStatus::Complete);
        script.last_end_mut().after = Some(Box::new(columns(&[("power_mw", 7_000_000)])));
        let most = "is the most that can be";
        let expected = [
            format!("1: the card before the first worker: temperature_c reads 900, and 150 {most}"),
            format!(
                "4: the card after the last worker: power_mw reads 7000000, and 2100000 {most}"
            ),
        ];
        assert_eq!(told(&script), expected);
        let doubts = doubts(&of(&script.records));
        assert_eq!(doubts.len(), 2);
        assert!(doubts.iter().all(|doubt| doubt.point.is_none()));
    }

    #[test]
    fn each_sensor_of_a_point_is_doubted_once() {
        let point = point(1, 100, 11);
        let mut script = reading(Sensor::SmClock, 9_000);
        for round in 0..2 {
            script.block(point, vec![generation(50, &[10; 10])]);
            let block = script.last_block_mut();
            block.sensors = Some(columns(&[("sm_clock_mhz", 8_000), ("temperature_c", 200)]));
            if round == 1 {
                // What shows its energy is of other lengths.
                block.purpose = Purpose::Energy;
                block.serves = Some(point);
                block.point.osl = std::num::NonZeroU32::MIN;
            }
        }
        let doubts = doubts(&of(&script.records));
        let told: Vec<String> = doubts.iter().map(|it| it.verdict.to_string()).collect();
        let block = "block of q8_0 b1 100/11 Measure in round";
        let expected = [
            format!(
                "{block} 0: sm_clock_mhz reads 9000, and 2666 is the most that can be; 2 more like it"
            ),
            format!(
                "{block} 1: temperature_c reads 200, and 150 is the most that can be; 1 more like it"
            ),
        ];
        assert_eq!(told, expected);
        assert!(doubts.iter().all(|doubt| doubt.point == Some(point)));
        assert!(doubts.iter().all(|doubt| doubt.verdict.invalidates()));
    }
}
