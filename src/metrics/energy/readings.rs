//! Joules from the readings of a window: by the counter and by the integral of power.

use super::no_energy::NoEnergy;
use super::window::{Window, gap_limit};
use crate::record::card::Sensors;
use crate::record::sensor::{MOST_WATTS, Sensor};
use crate::units::{Joules, Nanos, Watts};

/// The energy counter's column.
pub(super) const COUNTER: &str = Sensor::Energy.column();
/// Columns of board power, the better ones first.
const POWER: [&str; 3] = [
    Sensor::PowerInstant.column(),
    Sensor::Power.column(),
    Sensor::PowerAverage.column(),
];

/// A counter that stands still for this long is stuck: a card that is on always draws power.
const STUCK_NS: u64 = 2_000_000_000;
/// Some counters have 32 bits.
const WRAP: u64 = 1 << 32;

/// A reading of one sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) at: Nanos,
    value: u64,
}

impl Point {
    /// The same of a reading of power.
    pub(super) fn watts(self) -> Watts {
        Watts::new(self.value as f64 / 1e3)
    }
}

/// The readings of one sensor, those in which it was silent left out.
fn column(sensors: &Sensors, sensor: &'static str) -> Result<Vec<Point>, NoEnergy> {
    let values = sensors
        .columns
        .get(sensor)
        .ok_or_else(|| NoEnergy::Absent {
            sensor,
            reason: sensors
                .absent
                .get(sensor)
                .cloned()
                .unwrap_or_else(|| "not read".to_owned()),
        })?;
    Ok(sensors
        .at_ns
        .iter()
        .zip(values)
        .filter_map(|(&at, &value)| value.map(|value| Point { at, value }))
        .collect())
}

/// The best column of power that is there, else the one that every driver should have.
pub(super) fn power_column(sensors: &Sensors) -> &'static str {
    let mut there = POWER.into_iter();
    let sensor = there.find(|sensor| sensors.columns.contains_key(*sensor));
    sensor.unwrap_or(Sensor::Power.column())
}

pub(super) fn power(sensors: &Sensors) -> Result<(&'static str, Vec<Point>), NoEnergy> {
    let sensor = power_column(sensors);
    Ok((sensor, column(sensors, sensor)?))
}

/// The readings that belong to a window: from the last one before it to the first one after it.
fn spanning<'a>(
    points: &'a [Point],
    window: Window,
    sensor: &'static str,
) -> Result<&'a [Point], NoEnergy> {
    let first = points.partition_point(|point| point.at <= window.from);
    let end = points.partition_point(|point| point.at < window.to);
    if first == 0 || end == points.len() || window.to <= window.from {
        return Err(NoEnergy::NotSpanned { sensor });
    }
    Ok(&points[first - 1..=end])
}

fn pause(before: Point, after: Point) -> Nanos {
    after.at.since(before.at).unwrap_or_default()
}

/// What the counter says of a window.
pub(super) struct Counted {
    pub(super) energy: Joules,
    /// How often its value changed.
    pub(super) updates: usize,
}

pub(super) fn counted(sensors: &Sensors, window: Window) -> Result<Counted, NoEnergy> {
    let points = column(sensors, COUNTER)?;
    let points = spanning(&points, window, COUNTER)?;
    let limit = gap_limit(sensors);
    // In the middle the counter forgives a pause; at an edge the pause would be guessed at.
    for pair in [&points[..2], &points[points.len() - 2..]] {
        let pause = pause(pair[0], pair[1]);
        if pause > limit {
            let pause = pause.seconds();
            return Err(NoEnergy::Gap {
                sensor: COUNTER,
                pause,
            });
        }
    }
    let mut total_mj = 0.0;
    let mut updates = 0;
    let mut changed = points[0].at;
    for pair in points.windows(2) {
        let rise = rise(pair[0], pair[1])?;
        if rise > 0 {
            updates += 1;
            changed = pair[1].at;
        }
        let still = pair[1].at.since(changed).unwrap_or_default();
        if still.value() > STUCK_NS {
            let still = still.seconds();
            return Err(NoEnergy::Stuck { still });
        }
        total_mj += rise as f64 * share_inside(pair, window);
    }
    if updates == 0 {
        let still = window.duration();
        return Err(NoEnergy::Stuck { still });
    }
    Ok(Counted {
        energy: Joules::new(total_mj / 1e3),
        updates,
    })
}

/// How much the counter rose between two readings, over the end of its 32 bits if need be; one that rose
/// by more than any board draws has jumped.
fn rise(before: Point, after: Point) -> Result<u64, NoEnergy> {
    let (from_mj, to_mj) = (before.value, after.value);
    // One second more, because a counter may owe what it has not shown yet.
    let ceiling = MOST_WATTS * 1_000 * (pause(before, after).value() / 1_000_000_000 + 1);
    if let Some(rise) = to_mj.checked_sub(from_mj) {
        return (rise <= ceiling)
            .then_some(rise)
            .ok_or(NoEnergy::Jumped { from_mj, to_mj });
    }
    WRAP.checked_sub(from_mj)
        .map(|rest| rest + to_mj)
        .filter(|rise| *rise <= ceiling)
        .ok_or(NoEnergy::WentBack { from_mj, to_mj })
}

/// The share of the time between two readings that lies inside the window.
fn share_inside(pair: &[Point], window: Window) -> f64 {
    let (from, to) = (pair[0].at.max(window.from), pair[1].at.min(window.to));
    let inside = to.since(from).unwrap_or_default();
    inside.seconds() / pause(pair[0], pair[1]).seconds()
}

/// The integral of power by trapezoids, with straight lines to the edges of the window.
pub(super) fn integrated(sensors: &Sensors, window: Window) -> Result<Joules, NoEnergy> {
    let (sensor, points) = power(sensors)?;
    let points = spanning(&points, window, sensor)?;
    let limit = gap_limit(sensors);
    let mut total = Joules::ZERO;
    for pair in points.windows(2) {
        let pause = pause(pair[0], pair[1]);
        if pause > limit {
            let pause = pause.seconds();
            return Err(NoEnergy::Gap { sensor, pause });
        }
        let (from, to) = (pair[0].at.max(window.from), pair[1].at.min(window.to));
        let duration = to.since(from).unwrap_or_default().seconds();
        total += (power_at(pair, from) + power_at(pair, to)) / 2.0 * duration;
    }
    Ok(total)
}

/// Power between two readings, on the straight line through them.
fn power_at(pair: &[Point], at: Nanos) -> Watts {
    let gone = at.since(pair[0].at).unwrap_or_default().seconds();
    let share = gone / pause(pair[0], pair[1]).seconds();
    let (before, after) = (pair[0].value as f64, pair[1].value as f64);
    Watts::new((before + (after - before) * share) / 1e3)
}
