//! Stretches of time, and where readings pause in them.

use crate::record::card::Sensors;
use crate::record::observation::Block;
use crate::units::{Nanos, Seconds};

/// A pause between readings above this many periods is a gap.
pub(crate) const GAP_PERIODS: u64 = 3;

/// A stretch of time on the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its begin.
    pub from: Nanos,
    /// Its end.
    pub to: Nanos,
}

impl Window {
    /// How long it is; nothing when it ends before it begins.
    pub fn duration(self) -> Seconds {
        self.to.since(self.from).unwrap_or_default().seconds()
    }

    /// From the first `t0` of a block to the end of its last generation; `None` without one.
    pub fn of_block(block: &Block) -> Option<Self> {
        let last = block.generations.last()?;
        Some(Self {
            from: block.generations.first()?.t0_ns,
            to: last.t0_ns + last.steps_ns.sum() + last.tail_ns,
        })
    }
}

/// Pauses of more than three periods between readings, and before the first and after the last one,
/// within `window`.
pub fn gaps(sensors: &Sensors, window: Window) -> Vec<Window> {
    let limit = gap_limit(sensors);
    let inside = |at: &&Nanos| window.from <= **at && **at <= window.to;
    let mut edges = vec![window.from];
    edges.extend(sensors.at_ns.iter().filter(inside).copied());
    edges.push(window.to);
    edges
        .windows(2)
        .map(|pair| Window {
            from: pair[0],
            to: pair[1],
        })
        .filter(|pause| pause.to.since(pause.from) > Some(limit))
        .collect()
}

pub(super) fn gap_limit(sensors: &Sensors) -> Nanos {
    Nanos::new(GAP_PERIODS * sensors.period_ns.value())
}
