//! For how long the card held itself back, and for which of the reasons that the driver names.

use std::fmt;

use super::sensors::Held;
use crate::units::Seconds;

/// NVML's bit that hardware slows the card down, whatever for; with a bit of its reason where that is known.
const SLOWDOWN: u64 = 0x08;

/// Why a card holds itself back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its driver keeps it below its power limit.
    PowerCap,
    /// Its driver keeps it below its highest temperature.
    SoftwareThermal,
    /// Hardware slows it down, and the driver does not name the reason.
    Hardware,
    /// Hardware slows it down for heat.
    HardwareThermal,
    /// The power supply or the chassis tells it to draw less.
    PowerBrake,
}

impl Reason {
    /// Each of them; of two that hold for as long the later one weighs more.
    const ALL: [Self; 5] = [
        Self::PowerCap,
        Self::SoftwareThermal,
        Self::Hardware,
        Self::HardwareThermal,
        Self::PowerBrake,
    ];

    /// NVML's bit.
    const fn bit(self) -> u64 {
        match self {
            Self::PowerCap => 0x04,
            Self::SoftwareThermal => 0x20,
            Self::Hardware => SLOWDOWN,
            Self::HardwareThermal => 0x40,
            Self::PowerBrake => 0x80,
        }
    }

    /// Whether it is among the bits that the driver shows.
    const fn is_in(self, bits: u64) -> bool {
        match self {
            Self::Hardware => {
                let named = Self::HardwareThermal.bit() | Self::PowerBrake.bit();
                bits & SLOWDOWN != 0 && bits & named == 0
            }
            Self::PowerCap | Self::SoftwareThermal | Self::HardwareThermal | Self::PowerBrake => {
                bits & self.bit() != 0
            }
        }
    }

    /// Its name.
    pub const fn words(self) -> &'static str {
        match self {
            Self::PowerCap => "power cap",
            Self::SoftwareThermal => "software thermal slowdown",
            Self::Hardware => "hardware slowdown",
            Self::HardwareThermal => "hardware thermal slowdown",
            Self::PowerBrake => "power brake",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::PowerCap => {
                "raise the power limit with `nvidia-smi -pl`, or state the limit beside the number"
            }
            Self::SoftwareThermal | Self::HardwareThermal => {
                "improve the cooling, or state that this is how the card runs in its rack"
            }
            Self::Hardware | Self::PowerBrake => {
                "look at the power supply, its cables and the chassis, which slow the card down from outside: no \
                 setting of the card lifts that"
            }
        }
    }
}

/// Share of time for which one reason held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lowered {
    /// Why.
    pub reason: Reason,
    /// For which share.
    pub share: f64,
}

/// Shares of time in which the card held itself back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttling {
    /// For power: capped or braked.
    pub power: f64,
    /// For heat: by software or by hardware.
    pub thermal: f64,
    /// By hardware, whatever for.
    pub hardware: f64,
    /// By each reason.
    by_reason: [Lowered; Reason::ALL.len()],
}

impl Throttling {
    /// Shares of the time of these readings of the reasons.
    pub(crate) fn of(reasons: &[Held]) -> Option<Self> {
        let all: Seconds = reasons.iter().map(|held| held.time).sum();
        let share = |such: &dyn Fn(u64) -> bool| {
            let active = reasons.iter().filter(|held| such(held.value));
            active.map(|held| held.time).sum::<Seconds>() / all
        };
        let either = |one: Reason, other: Reason| {
            let bits = one.bit() | other.bit();
            share(&|value| value & bits != 0)
        };
        (all > Seconds::ZERO).then(|| Self {
            power: either(Reason::PowerCap, Reason::PowerBrake),
            thermal: either(Reason::SoftwareThermal, Reason::HardwareThermal),
            hardware: share(&|value| value & SLOWDOWN != 0),
            by_reason: Reason::ALL.map(|reason| Lowered {
                reason,
                share: share(&|value| reason.is_in(value)),
            }),
        })
    }

    /// The largest share of power, heat and hardware.
    pub fn worst(&self) -> f64 {
        self.power.max(self.thermal).max(self.hardware)
    }

    /// The reason that held for longest; `None` where none did.
    pub fn main(&self) -> Option<Lowered> {
        let longest = self.by_reason.iter().copied();
        let longest = longest.max_by(|a, b| a.share.total_cmp(&b.share));
        longest.filter(|lowered| lowered.share > 0.0)
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        let reason = self.main().map_or(Reason::Hardware, |main| main.reason);
        reason.remedy()
    }
}

impl fmt::Display for Throttling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.by_reason.iter().filter(|it| it.share > 0.0);
        let named: Vec<String> = held
            .map(|it| {
                format!(
                    "{} {:.0} % of the time",
                    it.reason.words(),
                    it.share * 100.0
                )
            })
            .collect();
        write!(f, "clocks were lowered: {}", named.join(", "))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the card did while it showed each of these bits for a second.
    pub(crate) fn throttling(bits: &[u64]) -> Throttling {
        let time = Seconds::new(1.0);
        let held = bits.iter().map(|&value| Held { value, time });
        Throttling::of(&held.collect::<Vec<_>>()).unwrap()
    }

    #[track_caller]
    fn is(bits: &[u64], words: &str, remedy: &str) {
        let seen = throttling(bits);
        assert_eq!(seen.to_string(), format!("clocks were lowered: {words}"));
        assert!(seen.remedy().starts_with(remedy), "{}", seen.remedy());
    }

    #[test]
    fn each_reason_has_a_share_and_a_remedy_of_its_own() {
        is(
            &[4, 4, 4, 0],
            "power cap 75 % of the time",
            "raise the power limit",
        );
        let words = "power cap 25 % of the time, software thermal slowdown 75 % of the time";
        is(&[0x24, 0x20, 0x20, 0], words, "improve the cooling");
        is(
            &[0x40],
            "hardware thermal slowdown 100 % of the time",
            "improve the cooling",
        );
    }

    #[test]
    fn what_comes_from_outside_the_card_is_not_helped_by_its_power_limit() {
        for (bits, words) in [(0x80, "power brake"), (0x08, "hardware slowdown")] {
            let words = format!("{words} 100 % of the time");
            is(&[bits], &words, "look at the power supply");
        }
        let words = "power cap 100 % of the time, power brake 100 % of the time";
        is(&[0x84], words, "look at the power supply");
    }

    #[test]
    fn a_slowdown_by_hardware_is_named_by_its_reason_where_there_is_one() {
        let words = "hardware thermal slowdown 50 % of the time, power brake 50 % of the time";
        is(&[0x48, 0x88], words, "look at the power supply");
        assert_eq!(throttling(&[0x48, 0x88]).hardware.to_string(), "1");
    }

    #[test]
    fn a_card_that_was_never_held_back_has_no_main_reason() {
        assert_eq!(throttling(&[0, 1]).main(), None);
    }
}
