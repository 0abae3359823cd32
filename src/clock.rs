//! Time as an argument: everything that reads a clock takes one.
//!
//! [`Monotonic`] is `CLOCK_MONOTONIC` in nanoseconds, one timeline for all processes of the machine,
//! so a reading in the worker and one in the parent can be compared. [`Manual`] stands in for it in
//! tests.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::units::Nanos;

/// A monotonic clock whose readings may be compared between processes of one machine.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Nanos;
    /// Wall-clock time since 1970 in UTC, read together with [`Clock::now`] where both are needed.
    fn realtime(&self) -> Nanos;
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct Manual {
    now: AtomicU64,
}

impl Manual {
    /// A clock that shows `start`.
    pub fn new(start: Nanos) -> Self {
        Self {
            now: AtomicU64::new(start.value()),
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Nanos) {
        self.now.fetch_add(by.value(), Ordering::Relaxed);
    }
}

impl Clock for Manual {
    fn now(&self) -> Nanos {
        Nanos::new(self.now.load(Ordering::Relaxed))
    }

    fn realtime(&self) -> Nanos {
        self.now()
    }
}

/// The machine's `CLOCK_MONOTONIC`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> Nanos {
        nanoseconds(rustix::time::ClockId::Monotonic)
    }

    fn realtime(&self) -> Nanos {
        nanoseconds(rustix::time::ClockId::Realtime)
    }
}

fn nanoseconds(id: rustix::time::ClockId) -> Nanos {
    let time = rustix::time::clock_gettime(id);
    Nanos::new(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_clock_never_runs_backwards() {
        let first = Monotonic.now();
        assert!(Monotonic.now() >= first);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Manual::new(Nanos::new(10));
        clock.advance(Nanos::new(5));
        assert_eq!(clock.now(), Nanos::new(15));
    }
}
