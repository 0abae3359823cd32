//! How long one kind of work takes in all.

use std::cell::Cell;
use std::fmt;

use crate::clock::Clock;
use crate::units::Nanos;

/// Adds up the time of everything that is done under it.
pub(crate) struct Stopwatch<'a> {
    clock: &'a dyn Clock,
    spent: Cell<Nanos>,
}

impl<'a> Stopwatch<'a> {
    /// A stopwatch that stands at zero.
    pub(crate) const fn new(clock: &'a dyn Clock) -> Self {
        Self {
            clock,
            spent: Cell::new(Nanos::new(0)),
        }
    }

    /// Does something while time is taken.
    pub(crate) fn over<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = self.clock.now();
        let done = work();
        let more = self.clock.now().since(begun).unwrap_or(Nanos::new(0));
        self.spent.set(self.spent.get() + more);
        done
    }

    /// Time so far.
    pub(crate) const fn spent(&self) -> Nanos {
        self.spent.get()
    }
}

impl fmt::Debug for Stopwatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stopwatch").field(&self.spent).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Manual;

    #[test]
    fn only_what_is_done_under_it_counts() {
        let clock = Manual::default();
        let watch = Stopwatch::new(&clock);
        let wait = |nanoseconds| clock.advance(Nanos::new(nanoseconds));
        wait(5);
        let answer = watch.over(|| {
            wait(7);
            42
        });
        wait(11);
        watch.over(|| wait(2));
        assert_eq!((answer, watch.spent()), (42, Nanos::new(9)));
    }
}
