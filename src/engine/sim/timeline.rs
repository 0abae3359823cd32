//! Where the simulated engine's time passes.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::Sim;
use crate::clock::{Clock, Manual};
use crate::units::Nanos;

/// Whose time passes (`[time] clock`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeKind {
    /// The script's own: a study of hours takes a moment.
    #[default]
    Script,
    /// The machine's: the engine waits for as long as it says, and what reads a card meanwhile reads
    /// it on the same timeline.
    Machine,
}

/// A timeline that passes when the engine works.
#[derive(Clone)]
pub enum Timeline {
    /// A clock that only the engine moves.
    Script(Arc<Manual>),
    /// The machine's clock.
    Machine(Arc<dyn Clock>),
}

impl Timeline {
    /// A new timeline of `kind`.
    pub fn new(kind: TimeKind, machine: &Arc<dyn Clock>) -> Self {
        match kind {
            TimeKind::Script => Self::Script(Arc::new(Manual::new(Sim::START))),
            TimeKind::Machine => Self::Machine(Arc::clone(machine)),
        }
    }

    /// Its clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Script(clock) => Arc::clone(clock) as Arc<dyn Clock>,
            Self::Machine(clock) => Arc::clone(clock),
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&self, time: Nanos) {
        match self {
            Self::Script(clock) => clock.advance(time),
            Self::Machine(_) => std::thread::sleep(Duration::from_nanos(time.value())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Monotonic;

    #[test]
    fn the_machine_waits_and_the_script_does_not() {
        let machine = Arc::new(Monotonic) as Arc<dyn Clock>;
        for (kind, waits) in [(TimeKind::Script, false), (TimeKind::Machine, true)] {
            let before = machine.now();
            let timeline = Timeline::new(kind, &machine);
            let start = timeline.clock().now();
            timeline.pass(Nanos::new(20_000_000));
            let passed = timeline.clock().now().since(start).unwrap();
            assert!(passed >= Nanos::new(20_000_000), "{kind:?}");
            assert!(!waits || machine.now().since(before).unwrap() >= passed);
        }
    }
}
