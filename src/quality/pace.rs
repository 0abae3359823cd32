//! How fast windows go by: how many a request may have, and how long the rest will take.

use crate::units::Seconds;

/// Time that one request is meant to take: short enough for progress and for Ctrl-C.
const REQUEST: Seconds = Seconds::new(1.0);
/// Most windows of a request.
const MOST_WINDOWS: u32 = 64;
/// Shortest time that a window is taken to need, where a clock stood still.
const SHORTEST: f64 = 1e-3;

/// How fast windows go by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Windows of the next request.
    pub(super) windows: u32,
    /// Passes over the text that are still to come, this one included.
    pub(super) passes: u32,
    /// Time per window as last seen.
    each: Seconds,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            windows: 1,
            passes: 0,
            each: Seconds::ZERO,
        }
    }
}

impl Pace {
    /// Learns from a request of `count` windows.
    pub(super) fn learn(&mut self, count: u32, spent: Seconds) {
        self.each = Seconds::new(spent.value() / f64::from(count));
        let fitting = REQUEST.value() / self.each.value().max(SHORTEST);
        self.windows = fitting.clamp(1.0, MOST_WINDOWS.into()) as u32;
    }

    /// Time for `left` windows of this pass and the passes after it over `all`.
    pub(super) fn ahead(&self, left: u32, all: u32) -> Seconds {
        let later = f64::from(all) * f64::from(self.passes.saturating_sub(1));
        Seconds::new(self.each.value() * (f64::from(left) + later))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_about_a_second() {
        let mut pace = Pace::default();
        assert_eq!(pace.windows, 1);
        pace.learn(1, Seconds::new(0.25));
        assert_eq!(pace.windows, 4);
        pace.learn(4, Seconds::new(40.0));
        assert_eq!(pace.windows, 1);
        pace.learn(1, Seconds::ZERO);
        assert_eq!(pace.windows, MOST_WINDOWS);
    }

    #[test]
    fn what_is_ahead_counts_later_passes() {
        let mut pace = Pace {
            passes: 3,
            ..Pace::default()
        };
        pace.learn(2, Seconds::new(1.0));
        // Half a second each: 4 windows of this pass and 2 · 10 of the next.
        assert!((pace.ahead(4, 10).value() - 12.0).abs() < 1e-12);
    }
}
