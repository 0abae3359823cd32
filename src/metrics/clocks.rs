//! Clocks below their maximum, and why.
//!
//! The maximum of an SM clock is that of the boost table, which a card may never reach under work: an RTX 4090
//! lists 3105 MHz and holds about 2500 to 2750 with nothing slowing it down. So a clock below the maximum is
//! a doubt where something holds it there: a setting, a reason that the driver names, or whatever makes it
//! vary. Where it is steady and the driver names nothing, it is the card's own, and only a note. Memory has no
//! boost, and a card in order does not work below three quarters of its boost: that is doubted without a reason.

use std::fmt;

use super::facts::Facts;
use super::sensors::{self, Held, over};
use crate::record::observation::Block;
use crate::record::sensor::Sensor;
use crate::units::Seconds;

/// Clocks below this share of their maximum are not at it.
const MIN_SHARE: f64 = 0.95;
/// Below this share of the maximum it is not the boost table alone: 2500 of 3105 MHz are 81 %.
const MIN_BOOST_SHARE: f64 = 0.75;
/// A clock is steady within this share of its mean, and from point to point; …
const MAX_SPREAD: f64 = 0.05;
/// … for all but this share of the time, which is also too short for a reason to matter.
const MAX_TIME: f64 = 0.05;
/// NVML's bit that a card has nothing to do. Each of the others is a reason that slows it down.
const IDLE: u64 = 0x1;

/// Which clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// That of the multiprocessors.
    Sm,
    /// That of the memory.
    Memory,
}

/// A clock below its maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LowClock {
    /// Which.
    pub of: Domain,
    /// Mean clock ÷ maximum clock.
    pub share: f64,
    /// What holds it there.
    pub cause: Cause,
}

/// What holds a clock below its maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cause {
    /// The applications clock is set below the maximum.
    Setting {
        /// To this.
        mhz: u64,
    },
    /// The driver names a reason.
    Named {
        /// For this share of the time.
        share: f64,
    },
    /// It is not the same all the time, or not at each point.
    Unsteady,
    /// Nothing that shows here.
    Unknown,
    /// The card itself: it holds this clock, and the driver names no reason.
    Card,
}

/// The clocks that are not at their maximum.
pub(crate) fn low(facts: &Facts<'_>, blocks: &[&Block]) -> Vec<LowClock> {
    let domains = [Domain::Sm, Domain::Memory].into_iter();
    domains
        .filter_map(|of| of.low_clock(facts, blocks))
        .collect()
}

impl Domain {
    fn low_clock(self, facts: &Facts<'_>, blocks: &[&Block]) -> Option<LowClock> {
        let card = facts.card()?;
        let highest = match self {
            Self::Sm => card.max_sm_clock_mhz,
            Self::Memory => card.max_memory_clock_mhz,
        };
        let highest = highest.filter(|clock| *clock > 0)? as f64;
        let mean = sensors::mean(blocks, self.sensor().column())?;
        let share = mean / highest;
        let set = sensors::readings(blocks, self.setting().column()).min();
        let set = set.filter(|clock| (*clock as f64) < MIN_SHARE * highest);
        let cause = || match (set, named(blocks), self) {
            (Some(mhz), _, _) => Cause::Setting { mhz },
            (None, Some(share), _) if share > MAX_TIME => Cause::Named { share },
            (None, None, _) | (None, Some(_), Self::Memory) => Cause::Unknown,
            (None, Some(_), Self::Sm) if !self.is_steady(facts, blocks, mean) => Cause::Unsteady,
            (None, Some(_), Self::Sm) if share < MIN_BOOST_SHARE => Cause::Unknown,
            (None, Some(_), Self::Sm) => Cause::Card,
        };
        (share < MIN_SHARE).then(|| LowClock {
            of: self,
            share,
            cause: cause(),
        })
    }

    /// Whether the clock is near its mean all the time, and at every other point too.
    fn is_steady(self, facts: &Facts<'_>, blocks: &[&Block], mean: f64) -> bool {
        let column = self.sensor().column();
        let near = |clock: f64| (clock / mean - 1.0).abs() <= MAX_SPREAD;
        let apart = share_of(&over(blocks, column), |clock| !near(clock as f64));
        let points = facts.blocks.keys();
        let means = points.filter_map(|point| {
            let blocks: Vec<&Block> = facts.measured(*point).collect();
            sensors::mean(&blocks, column)
        });
        apart.is_some_and(|share| share <= MAX_TIME) && means.into_iter().all(near)
    }

    const fn sensor(self) -> Sensor {
        match self {
            Self::Sm => Sensor::SmClock,
            Self::Memory => Sensor::MemoryClock,
        }
    }

    const fn setting(self) -> Sensor {
        match self {
            Self::Sm => Sensor::ApplicationSmClock,
            Self::Memory => Sensor::ApplicationMemoryClock,
        }
    }
}

/// The share of the time for which the driver names a reason why clocks are lowered; `None` where it names none
/// because it does not tell.
fn named(blocks: &[&Block]) -> Option<f64> {
    let reasons = over(blocks, sensors::THROTTLE_REASONS);
    share_of(&reasons, |reasons| reasons & !IDLE != 0)
}

/// The share of the time of readings that are such.
fn share_of(held: &[Held], such: impl Fn(u64) -> bool) -> Option<f64> {
    let all: Seconds = held.iter().map(|held| held.time).sum();
    let some = held.iter().filter(|held| such(held.value));
    let some: Seconds = some.map(|held| held.time).sum();
    (all > Seconds::ZERO).then(|| some / all)
}

impl LowClock {
    /// Whether a number that was measured at this clock is in doubt.
    pub const fn is_doubtful(&self) -> bool {
        match self.cause {
            Cause::Setting { .. } | Cause::Named { .. } | Cause::Unsteady | Cause::Unknown => true,
            Cause::Card => false,
        }
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self.cause {
            Cause::Setting { .. } => {
                "raise the applications clocks with `nvidia-smi -ac`, or state them beside the number"
            }
            Cause::Named { .. } => {
                "see `nvidia-smi -q -d PERFORMANCE` for what lowers them, or state it beside the number"
            }
            Cause::Unsteady | Cause::Unknown => {
                "set the clocks with `nvidia-smi -lgc` and `-lmc`, or warm up longer with measure.warmup_seconds"
            }
            Cause::Card => {
                "none is needed: many cards never reach the clock that they list; state the clock beside the number"
            }
        }
    }
}

impl fmt::Display for LowClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            Domain::Sm => "SM",
            Domain::Memory => "memory",
        };
        let percent = self.share * 100.0;
        write!(f, "{of} clocks at {percent:.1} % of their maximum")?;
        match self.cause {
            Cause::Setting { mhz } => write!(f, ": the applications clock is set to {mhz} MHz"),
            Cause::Named { share } => {
                let percent = share * 100.0;
                write!(f, ": the driver names a reason {percent:.0} % of the time")
            }
            Cause::Unsteady => f.write_str(": they vary"),
            Cause::Unknown => Ok(()),
            Cause::Card => f.write_str(", steadily and for no reason that the driver names"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{Script, columns, generation, point};
    use crate::record::card::CardFacts;
    use crate::study::workload::PointId;
    use crate::units::Nanos;

    fn measured() -> PointId {
        point(1, 100, 3)
    }

    /// An RTX 4090 with four readings of each sensor in a block of its own.
    fn script(readings: &[(&str, [u64; 4])]) -> Script {
        let mut script = Script::new(&[measured(), point(2, 100, 3)]);
        script.device_mut().card = Some(Box::new(CardFacts {
            max_sm_clock_mhz: Some(3_105),
            max_memory_clock_mhz: Some(10_501),
            ..CardFacts::default()
        }));
        block(&mut script, measured(), readings);
        script
    }

    fn block(script: &mut Script, point: PointId, readings: &[(&str, [u64; 4])]) {
        script.block(point, vec![generation(20, &[10, 10])]);
        let block = script.last_block_mut();
        let mut sensors = columns(&[]);
        let begin = block.started.monotonic_ns;
        sensors.at_ns = [0, 10, 20, 30].map(|ns| begin + Nanos::new(ns)).to_vec();
        for (name, values) in readings {
            let values = values.map(Some).to_vec();
            sensors.columns.insert((*name).to_owned(), values);
        }
        block.cpu.wall_ns = Nanos::new(40);
        block.sensors = Some(sensors);
    }

    fn clocks(script: &Script) -> Vec<LowClock> {
        let facts = script.facts();
        let blocks: Vec<&Block> = facts.measured(measured()).collect();
        low(&facts, &blocks)
    }

    const NO_REASON: (&str, [u64; 4]) = ("throttle_reasons", [0; 4]);

    #[track_caller]
    fn cause(readings: &[(&str, [u64; 4])]) -> Cause {
        clocks(&script(readings))[0].cause
    }

    #[test]
    fn a_boost_that_is_never_reached_is_a_note() {
        let low = clocks(&script(&[
            ("sm_clock_mhz", [2_745, 2_730, 2_745, 2_715]),
            NO_REASON,
        ]));
        assert!(!low[0].is_doubtful());
        assert_eq!(
            low[0].to_string(),
            "SM clocks at 88.0 % of their maximum, steadily and for no reason that the driver names"
        );
        let idle = ("throttle_reasons", [0, 1, 0, 0]);
        assert_eq!(cause(&[("sm_clock_mhz", [2_520; 4]), idle]), Cause::Card);
    }

    #[test]
    fn what_the_driver_names_is_a_doubt() {
        let sync_boost = ("throttle_reasons", [0, 0, 0, 0x10]);
        let named = Cause::Named { share: 0.25 };
        assert_eq!(cause(&[("sm_clock_mhz", [2_745; 4]), sync_boost]), named);
    }

    #[test]
    fn a_driver_that_tells_no_reasons_does_not_excuse_a_clock() {
        assert_eq!(cause(&[("sm_clock_mhz", [2_745; 4])]), Cause::Unknown);
    }

    #[test]
    fn an_applications_clock_below_the_maximum_is_a_doubt() {
        let set = ("application_sm_clock_mhz", [2_520; 4]);
        let low = clocks(&script(&[("sm_clock_mhz", [2_520; 4]), set, NO_REASON]));
        assert!(low[0].is_doubtful());
        assert_eq!(
            low[0].to_string(),
            "SM clocks at 81.2 % of their maximum: the applications clock is set to 2520 MHz"
        );
    }

    #[test]
    fn a_clock_that_varies_is_a_doubt() {
        let varies = ("sm_clock_mhz", [2_745, 2_745, 2_745, 2_400]);
        assert_eq!(cause(&[varies, NO_REASON]), Cause::Unsteady);
        let steady = [("sm_clock_mhz", [2_745; 4]), NO_REASON];
        let slower = [("sm_clock_mhz", [2_520; 4]), NO_REASON];
        let mut script = script(&steady);
        block(&mut script, point(2, 100, 3), &slower);
        assert_eq!(clocks(&script)[0].cause, Cause::Unsteady);
    }

    #[test]
    fn a_clock_far_below_any_boost_is_a_doubt() {
        assert_eq!(
            cause(&[("sm_clock_mhz", [1_500; 4]), NO_REASON]),
            Cause::Unknown
        );
    }

    #[test]
    fn memory_has_no_boost() {
        let memory = ("memory_clock_mhz", [9_501; 4]);
        assert_eq!(cause(&[memory, NO_REASON]), Cause::Unknown);
    }

    #[test]
    fn a_clock_above_its_listed_maximum_is_not_low() {
        assert!(clocks(&script(&[("sm_clock_mhz", [3_150; 4]), NO_REASON])).is_empty());
    }
}
