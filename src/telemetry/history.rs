//! The last readings, in memory that is claimed once.

use std::collections::VecDeque;

use super::sensor::{Absence, Reading};
use crate::record::card::Sensors;
use crate::record::sensor::{SAMPLER_CPU, Sensor};
use crate::units::Nanos;

/// Readings that are kept: 13 minutes at the shortest period, half an hour at the default, in 15 MB.
const CAPACITY: usize = 40_000;

/// XID errors that wait for a block to be told in; more than these tell nothing new.
const UNTOLD: usize = 64;

/// One reading without its reasons.
#[derive(Debug, Clone)]
struct Row {
    at: Nanos,
    cpu_time: Nanos,
    values: [Option<u64>; Sensor::COUNT],
}

/// The last readings, and why each sensor was silent last.
#[derive(Debug)]
pub(super) struct History {
    rows: VecDeque<Row>,
    reasons: [Option<Silence>; Sensor::COUNT],
    untold: Vec<Untold>,
}

/// An XID error that no block has told of yet. The driver tells it once.
#[derive(Debug, Clone, Copy)]
struct Untold {
    number: u64,
    at: Nanos,
}

/// Why a sensor was silent last.
#[derive(Debug, Clone, Copy)]
struct Silence {
    absence: Absence,
    at: Nanos,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            rows: VecDeque::with_capacity(CAPACITY),
            reasons: [None; Sensor::COUNT],
            untold: Vec::with_capacity(UNTOLD),
        }
    }

    /// Keeps a reading, and the processor time used by then; the oldest one makes room.
    pub(super) fn push(&mut self, at: Nanos, cpu_time: Nanos, reading: &Reading) {
        if self.rows.len() == CAPACITY {
            self.rows.pop_front();
        }
        for sensor in Sensor::ALL {
            match reading.value(sensor) {
                Ok(_) | Err(Absence::NotAsked) => {}
                Err(absence) => self.reasons[sensor as usize] = Some(Silence { absence, at }),
            }
        }
        if let Ok(number) = reading.value(Sensor::Xid)
            && self.untold.len() < UNTOLD
        {
            self.untold.push(Untold { number, at });
        }
        let values = Sensor::ALL.map(|sensor| reading.value(sensor).ok());
        self.rows.push_back(Row {
            at,
            cpu_time,
            values,
        });
    }

    /// When the last reading was taken.
    pub(super) fn last(&self) -> Option<Nanos> {
        self.rows.back().map(|row| row.at)
    }

    /// The readings from `from` to `to`, and the nearest one on either side, without which neither
    /// energy nor power is known at the edges; none when the last reading lies before `from`, for what a
    /// silent driver said last is not what the card does. A sensor without a value in all of them is
    /// absent; where no reading follows because the driver fell silent, this is the reason at every
    /// sensor, whatever it had said before.
    pub(super) fn cut(&self, from: Nanos, to: Nanos, silence: Option<&str>) -> Sensors {
        let first = self.rows.partition_point(|row| row.at < from);
        let end = self.rows.partition_point(|row| row.at <= to).max(first);
        let end = (end + 1).min(self.rows.len());
        let begin = if first < self.rows.len() {
            first.saturating_sub(1)
        } else {
            end
        };
        let rows = || self.rows.range(begin..end);
        let mut sensors = Sensors {
            at_ns: rows().map(|row| row.at).collect(),
            ..Sensors::default()
        };
        let cpu_time: Vec<_> = rows().map(|row| Some(row.cpu_time.value())).collect();
        if !cpu_time.is_empty() {
            sensors.columns.insert(SAMPLER_CPU.to_owned(), cpu_time);
        }
        for sensor in Sensor::ALL {
            let name = sensor.column().to_owned();
            let column: Vec<_> = rows().map(|row| row.values[sensor as usize]).collect();
            if column.iter().any(Option::is_some) {
                let silence = silence.filter(|_| self.last() < Some(to));
                let why = silence.map(str::to_owned);
                let why = why.or_else(|| self.fell_silent(sensor, &sensors.at_ns, &column));
                if let Some(why) = why {
                    sensors.absent.insert(name.clone(), why);
                }
                sensors.columns.insert(name, column);
            } else if let Some(reason) =
                self.reason(sensor, sensors.at_ns.first().copied(), silence)
            {
                sensors.absent.insert(name, reason);
            }
        }
        sensors
    }

    /// The same for a block. An XID error from before it, which no block has told of, is told at the first
    /// reading that has none of its own; without a place it waits for the next block.
    pub(super) fn cut_block(&mut self, from: Nanos, to: Nanos, silence: Option<&str>) -> Sensors {
        let mut sensors = self.cut(from, to, silence);
        let (Some(&first), Some(&last)) = (sensors.at_ns.first(), sensors.at_ns.last()) else {
            return sensors;
        };
        let name = Sensor::Xid.column();
        let mut column = sensors
            .columns
            .remove(name)
            .unwrap_or_else(|| vec![None; sensors.at_ns.len()]);
        self.untold.retain(|event| {
            let free = column.iter_mut().find(|place| place.is_none());
            match free {
                Some(place) if event.at < first => {
                    *place = Some(event.number);
                    false
                }
                // Within the block it has its reading; after it, its turn has not come.
                Some(_) | None => event.at < first || event.at > last,
            }
        });
        if column.iter().any(Option::is_some) {
            sensors.columns.insert(name.to_owned(), column);
        }
        sensors
    }

    /// Why a sensor that was read within a cut had no value when it was asked after that, within it.
    fn fell_silent(&self, sensor: Sensor, at: &[Nanos], column: &[Option<u64>]) -> Option<String> {
        let answered = column.iter().rposition(Option::is_some)?;
        let last = self.reasons[sensor as usize]?;
        let after = *at.get(answered + 1)?;
        (last.absence != Absence::Quiet && last.at >= after).then(|| last.absence.to_string())
    }

    /// Why a sensor is absent from a cut whose first reading is of `since`; `None` for one that had nothing
    /// to tell. What kept it silent before says nothing of the cut, unless it does so for good.
    fn reason(
        &self,
        sensor: Sensor,
        since: Option<Nanos>,
        silence: Option<&str>,
    ) -> Option<String> {
        let last = self.reasons[sensor as usize];
        match (silence, last.map(|last| last.absence)) {
            (_, Some(absence)) if absence.is_permanent() => Some(absence.to_string()),
            (Some(silence), _) => Some(silence.to_owned()),
            (None, Some(Absence::Quiet)) => None,
            (None, Some(absence)) if last.map(|last| last.at) >= since => Some(absence.to_string()),
            (None, Some(_) | None) => Some(Absence::NotAsked.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(times: &[u64]) -> History {
        let mut history = History::new();
        for &at in times {
            let mut reading = Reading::default();
            reading.set(Sensor::Power, Ok(at * 10));
            reading.set(Sensor::Energy, Err(Absence::NotSupported));
            reading.set(Sensor::Xid, Err(Absence::Quiet));
            history.push(Nanos::new(at), Nanos::new(at), &reading);
        }
        history
    }

    #[track_caller]
    fn cuts(window: [u64; 2], expected: &[u64]) {
        let [from, to] = window.map(Nanos::new);
        let sensors = history(&[10, 20, 30, 40]).cut(from, to, None);
        let times: Vec<u64> = sensors.at_ns.iter().map(|at| at.value()).collect();
        assert_eq!(times, expected);
    }

    #[test]
    fn a_window_takes_its_neighbours_along() {
        cuts([20, 30], &[10, 20, 30, 40]);
        cuts([21, 29], &[20, 30]);
        cuts([10, 10], &[10, 20]);
        cuts([1, 5], &[10]);
        cuts([50, 60], &[]);
    }

    #[test]
    fn a_sensor_is_a_column_or_absent_with_its_reason_or_had_nothing_to_tell() {
        let sensors = history(&[10, 20]).cut(Nanos::new(0), Nanos::new(99), None);
        assert_eq!(sensors.columns["power_mw"], [Some(100), Some(200)]);
        assert_eq!(sensors.absent["energy_mj"], "not supported by this card");
        assert_eq!(
            sensors.absent["pcie_rx_kbps"],
            "not read within this window"
        );
        assert!(!sensors.absent.contains_key("xid") && !sensors.columns.contains_key("xid"));
    }

    #[test]
    fn a_reason_from_before_the_window_says_nothing_of_it() {
        let mut history = History::new();
        for (at, asked) in [(10, true), (20, false), (30, false)] {
            let mut reading = Reading::default();
            if asked {
                reading.set(Sensor::ProcessMemory, Err(Absence::NoWorker));
            }
            history.push(Nanos::new(at), Nanos::new(at), &reading);
        }
        let reason = |from| {
            let sensors = history.cut(Nanos::new(from), Nanos::new(30), None);
            sensors.absent["process_memory_bytes"].clone()
        };
        assert_eq!(reason(5), "no worker was running");
        assert_eq!(reason(25), "not read within this window");
    }

    #[test]
    fn a_sensor_that_fell_silent_is_a_column_with_its_reason() {
        let mut history = History::new();
        for (at, power) in [
            (10, Ok(7)),
            (20, Ok(7)),
            (30, Err(Absence::NoPermission)),
            (40, Err(Absence::NoPermission)),
        ] {
            let mut reading = Reading::default();
            reading.set(Sensor::Power, power);
            history.push(Nanos::new(at), Nanos::new(at), &reading);
        }
        let cut = |to| history.cut(Nanos::new(5), Nanos::new(to), None);
        let fallen = cut(40);
        let power = [Some(7), Some(7), None, None];
        assert_eq!(fallen.columns["power_mw"], power);
        assert_eq!(fallen.absent["power_mw"], "no permission to read it");
        assert!(!cut(15).absent.contains_key("power_mw"));
    }

    #[test]
    fn an_xid_between_blocks_is_told_once_at_the_first_reading_of_the_next_block() {
        let mut history = History::new();
        for at in (10..=80).step_by(10) {
            let mut reading = Reading::default();
            let events = [(20, 31), (30, 13), (70, 43)];
            let event = events.iter().find(|(time, _)| *time == at);
            let event = event.map(|(_, number)| *number);
            reading.set(Sensor::Xid, event.ok_or(Absence::Quiet));
            history.push(Nanos::new(at), Nanos::new(at), &reading);
        }
        let mut block = |from, to| {
            let sensors = history.cut_block(Nanos::new(from), Nanos::new(to), None);
            sensors.columns.get("xid").cloned()
        };
        assert_eq!(block(90, 99), None, "no reading, no place");
        assert_eq!(block(46, 49), Some(vec![Some(31), Some(13)]));
        assert_eq!(block(51, 59), None);
        assert_eq!(block(65, 75), Some(vec![None, Some(43), None]));
        assert_eq!(block(75, 80), Some(vec![Some(43), None]), "its neighbour");
    }

    #[test]
    fn silence_is_the_reason_where_no_better_one_is_known() {
        let sensors = history(&[]).cut(Nanos::new(0), Nanos::new(99), Some("the driver hangs"));
        assert!(sensors.at_ns.is_empty() && sensors.columns.is_empty());
        assert_eq!(sensors.absent.len(), Sensor::COUNT);
        assert!(
            sensors
                .absent
                .values()
                .all(|reason| reason == "the driver hangs")
        );
    }

    #[test]
    fn silence_within_a_window_is_told_beside_what_was_read_before() {
        let cut = |to| history(&[10, 20]).cut(Nanos::new(5), Nanos::new(to), Some("it hangs"));
        let silent = cut(99);
        assert_eq!(silent.columns["power_mw"], [Some(100), Some(200)]);
        assert_eq!(silent.absent["power_mw"], "it hangs");
        assert!(!cut(15).absent.contains_key("power_mw"));
    }

    #[test]
    fn the_oldest_reading_makes_room_and_no_memory_is_claimed_anew() {
        let mut history = History::new();
        let claimed = history.rows.capacity();
        for at in 0..=CAPACITY as u64 {
            history.push(Nanos::new(at), Nanos::new(at), &Reading::default());
        }
        assert_eq!(history.rows.len(), CAPACITY);
        assert_eq!(history.rows.capacity(), claimed);
        assert_eq!(history.rows[0].at, Nanos::new(1));
    }
}
