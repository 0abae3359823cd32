//! Whether a card had come to rest when its idle power was read.

use std::fmt;

use super::readings::power;
use super::{MIN_IDLE, Window, idle_window};
use crate::record::card::Sensors;
use crate::units::{Nanos, Watts};

/// Means of a card at rest differ by less than this share of the power, …
const FLAT_SHARE: f64 = 0.03;
/// … or than this, which is what the sensors of a card tell apart.
const FLAT_WATTS: f64 = 2.0;

/// Power that was not steady when it should have been that of the card at rest.
///
/// The idle power is the mean of the last 5 s before the first worker. The means of both halves of them are
/// held against each other: a card keeps its clocks up for some seconds after a program has left it, and its
/// power falls then. What differs by less than 3 %, or by less than 2 W, is at rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unrest {
    /// Mean power of the first half.
    pub first: Watts,
    /// Mean power of the second half.
    pub second: Watts,
}

impl Unrest {
    /// What was not steady in these readings; `None` where it was, or where power was not read.
    pub fn of(sensors: &Sensors) -> Option<Self> {
        let window = idle_window(sensors).ok()?;
        let middle = window.to.value() - (MIN_IDLE.value() / 2.0 * 1e9) as u64;
        let middle = Nanos::new(middle);
        let first = mean(
            sensors,
            Window {
                to: middle,
                ..window
            },
        )?;
        let second = mean(
            sensors,
            Window {
                from: middle,
                ..window
            },
        )?;
        let differ = (first.value() - second.value()).abs();
        let allowed = (FLAT_SHARE * first.value().max(second.value())).max(FLAT_WATTS);
        (differ > allowed).then_some(Self { first, second })
    }
}

/// Mean of the readings of power in a window.
fn mean(sensors: &Sensors, window: Window) -> Option<Watts> {
    let (_, points) = power(sensors).ok()?;
    let inside = points.iter();
    let inside = inside.filter(|point| window.from <= point.at && point.at <= window.to);
    let watts: Vec<f64> = inside.map(|point| point.watts().value()).collect();
    let count = watts.len() as f64;
    (!watts.is_empty()).then(|| Watts::new(watts.iter().sum::<f64>() / count))
}

impl fmt::Display for Unrest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the card was not at rest when its idle power was read: {:.1} W, then {:.1} W",
            self.first.value(),
            self.second.value()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Power in watts at every half second of 6 s.
    fn reading(watts: [u64; 13]) -> Sensors {
        Sensors {
            period_ns: Nanos::new(500_000_000),
            at_ns: (0..13).map(|n| Nanos::new(n * 500_000_000)).collect(),
            columns: [(
                "power_mw".to_owned(),
                watts.map(|watts| Some(watts * 1_000)).to_vec(),
            )]
            .into(),
            ..Sensors::default()
        }
    }

    #[test]
    fn a_card_that_still_cools_down_is_not_at_rest() {
        // 1 s before the window, then 150 W until 3.5 s, and 100 W.
        let cooling = [
            900, 900, 150, 150, 150, 150, 150, 100, 100, 100, 100, 100, 100,
        ];
        let unrest = Unrest::of(&reading(cooling)).unwrap();
        assert_eq!(
            unrest.to_string(),
            "the card was not at rest when its idle power was read: 141.7 W, then 100.0 W"
        );
    }

    #[test]
    fn what_was_before_the_last_five_seconds_does_not_matter() {
        let mut watts = [100; 13];
        watts[..2].fill(400);
        assert_eq!(Unrest::of(&reading(watts)), None);
    }

    #[test]
    fn what_the_sensors_cannot_tell_apart_is_at_rest() {
        let halves = |first: u64, second: u64| {
            let mut watts = [first; 13];
            watts[7..].fill(second);
            Unrest::of(&reading(watts))
        };
        assert_eq!(halves(12, 10), None, "2 W of a small card");
        assert_eq!(halves(102, 100), None, "2 % of a large one");
        assert!(halves(14, 10).is_some());
        assert!(halves(106, 100).is_some());
    }

    #[test]
    fn without_power_nothing_is_said() {
        let mut silent = reading([100; 13]);
        silent.columns.clear();
        assert_eq!(Unrest::of(&silent), None);
    }
}
