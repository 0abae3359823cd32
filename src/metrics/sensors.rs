//! What the sensor columns of blocks say together.
//!
//! Columns are named by sensor with the unit at the end; a column that is missing or silent says
//! nothing, which is never zero.

use std::collections::BTreeMap;

use super::energy::Window;
use super::facts::Facts;
use super::silence::silent_spans;
use super::throttling::Throttling;
use crate::record::card::Sensors;
use crate::record::observation::Block;
use crate::record::sensor::{NOT_READ, SAMPLER_CPU, Sensor};
use crate::units::{Nanos, Seconds};

/// Share of time in which a kernel ran.
pub(crate) const GPU_UTILIZATION: &str = Sensor::GpuUtilization.column();
/// Clock of the multiprocessors.
pub(crate) const SM_CLOCK: &str = Sensor::SmClock.column();
/// Memory in use by all processes.
pub(crate) const MEMORY_USED: &str = Sensor::MemoryUsed.column();
/// Memory in use by the worker.
pub(crate) const PROCESS_MEMORY: &str = Sensor::ProcessMemory.column();
/// Number of an XID error, at the reading that follows it.
pub(crate) const XID: &str = Sensor::Xid.column();
/// Reasons why clocks are lowered, NVML's bits.
pub(crate) const THROTTLE_REASONS: &str = Sensor::ThrottleReasons.column();
/// Processes with a compute context on the card; the worker is one of them.
pub(crate) const PROCESS_COUNT: &str = Sensor::ProcessCount.column();

/// Whether the block holds any reading.
pub(crate) fn any(block: &Block) -> bool {
    block.sensors.as_ref().is_some_and(|sensors| {
        let mut columns = sensors.columns.iter();
        columns.any(|(name, column)| name != SAMPLER_CPU && column.iter().any(Option::is_some))
    })
}

/// The readings of one sensor within one window.
pub(crate) fn of<'a>(sensors: &'a Sensors, sensor: &str) -> impl Iterator<Item = u64> + 'a {
    let column = sensors.columns.get(sensor);
    column.into_iter().flatten().filter_map(|reading| *reading)
}

/// All readings of one sensor.
pub(crate) fn readings<'a>(
    blocks: &'a [&Block],
    sensor: &'a str,
) -> impl Iterator<Item = u64> + 'a {
    columns(blocks).flat_map(move |sensors| of(sensors, sensor))
}

/// What a sensor showed for some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Held {
    /// The reading, which holds until the next one.
    pub(crate) value: u64,
    /// For how long, within the block.
    pub(crate) time: Seconds,
}

/// The readings of one sensor with the time for which each held, until the next one or until the sensor fell
/// silent, cut to the windows.
pub(crate) fn held(sensors: &Sensors, sensor: &str, windows: &[Window]) -> Vec<Held> {
    let read = times_of(sensors, sensor);
    let silent = silent_spans(sensors, sensor);
    let next = read.iter().skip(1).map(|(at, _)| *at);
    let next = next.chain([Nanos::new(u64::MAX)]);
    let spans = read.iter().zip(next).map(|(&(from, value), next)| {
        let mut silent = silent.iter().map(|silence| silence.from);
        let to = silent.find(|silence| *silence > from).unwrap_or(next);
        let to = to.min(next);
        (Window { from, to }, value)
    });
    cut(spans, windows)
}

/// The same of a sensor whose readings are means since the one before; nothing is known of the time before
/// the first.
pub(crate) fn averaged(sensors: &Sensors, sensor: &str, windows: &[Window]) -> Vec<Held> {
    let read = times_of(sensors, sensor);
    let spans = read.windows(2).map(|pair| {
        let (from, (to, value)) = (pair[0].0, pair[1]);
        (Window { from, to }, value)
    });
    cut(spans, windows)
}

/// The readings of one sensor with their times.
fn times_of(sensors: &Sensors, sensor: &str) -> Vec<(Nanos, u64)> {
    let column = sensors.columns.get(sensor).into_iter().flatten();
    let rows = sensors.at_ns.iter().zip(column);
    rows.filter_map(|(&at, &value)| Some((at, value?)))
        .collect()
}

/// The time that each span shares with each window.
pub(super) fn cut(spans: impl Iterator<Item = (Window, u64)>, windows: &[Window]) -> Vec<Held> {
    let mut held = Vec::new();
    for (span, value) in spans {
        for window in windows {
            let (from, to) = (span.from.max(window.from), span.to.min(window.to));
            let time = to.since(from).unwrap_or_default().seconds();
            if time > Seconds::ZERO {
                held.push(Held { value, time });
            }
        }
    }
    held
}

/// Mean of readings, each weighted by its time.
pub(crate) fn mean_of(held: &[Held]) -> Option<f64> {
    let time: Seconds = held.iter().map(|held| held.time).sum();
    let sum: f64 = held.iter().map(|h| h.value as f64 * h.time.value()).sum();
    (time > Seconds::ZERO).then(|| sum / time.value())
}

/// Mean reading of one sensor over the time of the blocks.
pub(crate) fn mean(blocks: &[&Block], sensor: &str) -> Option<f64> {
    mean_of(&over(blocks, sensor))
}

/// Share of the time in which each group of reasons was active.
pub(crate) fn throttling(blocks: &[&Block]) -> Option<Throttling> {
    Throttling::of(&over(blocks, THROTTLE_REASONS))
}

/// A time without a reading.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gap {
    /// Its length ÷ the period asked for.
    pub(crate) periods: f64,
    /// Why the driver gave none, where it is the cause.
    pub(crate) silence: Option<String>,
}

/// Longest time without a reading in or around a block. A block without a reading is one long gap where
/// others of the run have some.
pub(crate) fn longest_gap(facts: &Facts<'_>, blocks: &[&Block]) -> Option<Gap> {
    let some = facts.blocks.values().flatten().any(|block| any(block));
    let gap = |block: &&Block| {
        let sensors = block.sensors.as_ref()?;
        let widest = if any(block) {
            widest_pause(&sensors.at_ns, window(block))?
        } else {
            block.cpu.wall_ns
        };
        let period = sensors.period_ns.value();
        (some && period > 0).then(|| Gap {
            periods: widest.value() as f64 / period as f64,
            silence: silence(sensors),
        })
    };
    let gaps = blocks.iter().filter_map(gap);
    gaps.max_by(|a, b| a.periods.total_cmp(&b.periods))
}

/// Why the driver fell silent. It leaves its reason at every sensor that was read before; where nothing was
/// read, the reason that most sensors share is that of the silence, and not one of their own.
fn silence(sensors: &Sensors) -> Option<String> {
    let speaking = |sensor: &&String| !matches!(sensor.as_str(), SAMPLER_CPU | XID);
    let read = |sensor: &String| of(sensors, sensor).next().is_some();
    let columns = sensors.columns.keys().filter(speaking);
    let some = columns.filter(|sensor| read(sensor)).count();
    let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
    for (sensor, reason) in &sensors.absent {
        if some == 0 || (read(sensor) && speaking(&sensor)) {
            *shares.entry(reason).or_default() += 1;
        }
    }
    let (reason, count) = shares.into_iter().max_by_key(|(_, sensors)| *sensors)?;
    (reason != NOT_READ && count >= some).then(|| reason.to_owned())
}

/// The longest pause between readings, and to the ends of the window where none lies beyond them.
fn widest_pause(at: &[Nanos], window: Window) -> Option<Nanos> {
    let before = at.first().filter(|first| **first > window.from);
    let after = at.last().filter(|last| **last < window.to);
    let edges: Vec<Nanos> = before
        .map(|_| window.from)
        .into_iter()
        .chain(at.iter().copied())
        .chain(after.map(|_| window.to))
        .collect();
    let pauses = edges.windows(2).filter_map(|pair| pair[1].since(pair[0]));
    pauses.max()
}

/// From the order of a block to its end.
pub(crate) fn window(block: &Block) -> Window {
    let from = block.started.monotonic_ns;
    let to = from + block.cpu.wall_ns;
    Window { from, to }
}

pub(super) fn over(blocks: &[&Block], sensor: &str) -> Vec<Held> {
    let of_block = |block: &&Block| -> Option<Vec<Held>> {
        Some(held(block.sensors.as_ref()?, sensor, &[window(block)]))
    };
    blocks.iter().filter_map(of_block).flatten().collect()
}

fn columns<'a>(blocks: &'a [&Block]) -> impl Iterator<Item = &'a Sensors> + 'a {
    blocks.iter().filter_map(|block| block.sensors.as_ref())
}
