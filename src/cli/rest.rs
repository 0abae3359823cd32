//! The card at rest, before anything is measured on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::progress::Progress;
use super::watch::Watch;
use crate::clock::{Clock as _, Monotonic};
use crate::engine::worker::Escort as _;
use crate::metrics::energy::Unrest;
use crate::record::card::Sensors;
use crate::record::machine::Device;
use crate::study::spec::Measure;
use crate::units::Nanos;

/// How long the card is read before the first worker: twice the second over which the driver averages.
const IDLE: Duration = Duration::from_secs(2);
/// The same where net energy is wanted, which needs the power of 5 s at rest.
const IDLE_FOR_ENERGY: Duration = Duration::from_secs(6);
/// How much longer a card may take to come to rest. Those of data centres keep their clocks up for some
/// seconds after a program has left, those for games for longer.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_secs(1);

/// What reads a card at rest.
pub(super) struct AtRest<'a> {
    pub(super) watch: &'a Watch,
    pub(super) progress: &'a Progress,
    /// Signals received so far; the first ends the waiting.
    pub(super) interrupt: &'a AtomicUsize,
}

impl AtRest<'_> {
    /// Adds what the driver says of the card, and what the card does before a worker runs on it: at rest,
    /// where energy is to be measured net of that.
    pub(super) fn look_at(&self, device: Device, measure: &Measure) -> Device {
        let Some(card) = self.watch.facts().cloned() else {
            return device;
        };
        let time = if measure.energy {
            IDLE_FOR_ENERGY
        } else {
            IDLE
        };
        let (name, seconds) = (&device.name, time.as_secs());
        self.progress
            .line(&format!("reading {name} at rest for {seconds} s"));
        let mut before = self.watch.calm_before(time);
        let mut rested = None;
        if let Some(seen) = before.take_if(|_| measure.energy) {
            let begun = Monotonic.now();
            before = Some(self.settle(seen));
            rested = Monotonic.now().since(begun);
        }
        for finding in self.watch.remarks() {
            let remedy = finding.remedy.unwrap_or_default();
            self.progress
                .line(&format!("{}: {} → {remedy}", finding.what, finding.state));
        }
        Device {
            driver: device.driver.or_else(|| card.driver.clone()),
            cuda: device.cuda.or_else(|| card.cuda.clone()),
            card: Some(Box::new(card)),
            before: before.map(Box::new),
            rested_ns: rested,
            ..device
        }
    }

    /// What a card does once it is at rest, which at first it did not seem to be; or in the end.
    fn settle(&self, mut seen: Sensors) -> Sensors {
        let Some(first) = Unrest::of(&seen) else {
            return seen;
        };
        let most = LONGEST_REST.as_secs();
        self.progress
            .line(&format!("{first}; waiting for at most {most} s more"));
        let begun = Monotonic.now();
        let limit = Nanos::new(LONGEST_REST.as_nanos() as u64);
        while let Some(unrest) = Unrest::of(&seen) {
            let waited = Monotonic.now().since(begun).unwrap_or_default();
            let stop = self.interrupt.load(Ordering::Relaxed) > 0 || self.watch.lost().is_some();
            let later = (!stop && waited < limit).then(|| {
                let (now, waited) = (unrest.second.value(), waited.seconds().value());
                let text = format!("coming to rest  {now:.0} W  {waited:.0} s");
                self.progress.message(&text);
                self.watch.calm_later(LOOK, IDLE_FOR_ENERGY)
            });
            let Some(later) = later.flatten() else {
                self.progress.line(&unrest.to_string());
                return seen;
            };
            seen = later;
        }
        let waited = Monotonic.now().since(begun).unwrap_or_default();
        let seconds = waited.seconds().value();
        self.progress.line(&format!("at rest {seconds:.0} s later"));
        seen
    }
}
