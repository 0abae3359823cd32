//! Sensors that fall silent while others still answer.

use std::collections::BTreeMap;
use std::fmt;

use super::energy::{GAP_PERIODS, Window};
use super::facts::{Facts, Sitting};
use super::sensors::{cut, of, window};
use crate::record::card::Sensors;
use crate::record::observation::Block;
use crate::record::sensor::{NOT_READ, Sensor};
use crate::units::{Nanos, Seconds};

/// Silence for a shorter share of the time leaves a mean what it is.
const MAX_SILENT_SHARE: f64 = 0.05;

/// Sensors that answered in the same session and were silent for part of a point's time.
#[derive(Debug, Clone, PartialEq)]
pub struct Silence {
    /// Which.
    pub sensors: Vec<&'static str>,
    /// Largest share of the time for which one of them was silent.
    pub share: f64,
    /// Why, where the driver said.
    pub reason: Option<String>,
}

/// What fell silent in these blocks for a good part of their time, by reason.
pub(crate) fn fallen(facts: &Facts<'_>, blocks: &[&Block]) -> Vec<Silence> {
    let mut by_reason: BTreeMap<Option<&str>, Silence> = BTreeMap::new();
    // A sensor that speaks only when something happens is never silent.
    let speaking = Sensor::ALL.into_iter().filter(|it| *it != Sensor::Xid);
    for sensor in speaking {
        let column = sensor.column();
        let Some(share) = silent_share(facts, blocks, sensor) else {
            continue;
        };
        let mut seen = blocks.iter().filter_map(|block| block.sensors.as_ref());
        let reason = seen.find_map(|sensors| why(sensors, column));
        let alike = by_reason.entry(reason).or_insert_with(|| Silence {
            sensors: Vec::new(),
            share,
            reason: reason.map(str::to_owned),
        });
        alike.sensors.push(column);
        alike.share = alike.share.max(share);
    }
    by_reason.into_values().collect()
}

/// The share of the time of the blocks for which a sensor was silent, where it is worth a word.
fn silent_share(facts: &Facts<'_>, blocks: &[&Block], sensor: Sensor) -> Option<f64> {
    let (mut silent, mut all) = (Seconds::ZERO, Seconds::ZERO);
    for sitting in &facts.sittings {
        let own = |block: &&&Block| sitting.blocks.iter().any(|it| std::ptr::eq(*it, **block));
        let answered = has_answered(sitting, sensor.column());
        for block in blocks.iter().filter(own) {
            all += block.cpu.wall_ns.seconds();
            if let Some(sensors) = block.sensors.as_ref().filter(|_| answered) {
                let spans = silent_spans(sensors, sensor.column());
                let spans = spans.into_iter().map(|span| (span, 0));
                let inside = cut(spans, &[window(block)]);
                silent += inside.iter().map(|held| held.time).sum();
            }
        }
    }
    let share = (all > Seconds::ZERO).then(|| silent / all);
    share.filter(|share| *share > MAX_SILENT_SHARE)
}

fn has_answered(sitting: &Sitting<'_>, column: &str) -> bool {
    let blocks = sitting.blocks.iter();
    let during = blocks.filter_map(|block| block.sensors.as_ref());
    let mut all = sitting.before().into_iter().chain(during);
    all.any(|sensors| of(sensors, column).next().is_some())
}

/// The times in which others were read and this sensor was asked in vain, again and again.
pub(super) fn silent_spans(sensors: &Sensors, column: &str) -> Vec<Window> {
    let (Some(&from), Some(&to)) = (sensors.at_ns.first(), sensors.at_ns.last()) else {
        return Vec::new();
    };
    let Some(readings) = sensors.columns.get(column) else {
        let all = Window { from, to };
        return why(sensors, column).map_or_else(Vec::new, |_| vec![all]);
    };
    let patience = patience(sensors, column);
    let mut spans = Vec::new();
    let mut begin = 0;
    for group in readings.chunk_by(|a, b| a.is_none() == b.is_none()) {
        let end = begin + group.len();
        if group[0].is_none() && group.len() >= patience {
            let until = sensors.at_ns.get(end).copied().unwrap_or(to);
            let from = sensors.at_ns[begin];
            spans.push(Window { from, to: until });
        }
        begin = end;
    }
    spans
}

/// Readings within which a sensor is asked so often that it is called silent: as often as makes a gap.
fn patience(sensors: &Sensors, column: &str) -> usize {
    let sensor = Sensor::ALL.into_iter().find(|it| it.column() == column);
    let interval = sensor.map_or(Nanos::new(0), Sensor::interval).value();
    let every = interval.div_ceil(sensors.period_ns.value().max(1)).max(1);
    (GAP_PERIODS * every) as usize
}

/// What the driver said why a sensor has no value; that it was not asked is no such reason.
fn why<'a>(sensors: &'a Sensors, column: &str) -> Option<&'a str> {
    let reason = sensors.absent.get(column)?;
    (reason != NOT_READ).then_some(reason)
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sensors, percent) = (self.sensors.join(", "), self.share * 100.0);
        write!(f, "no answer of {sensors} for {percent:.0} % of the time")?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}
