//! A scripted card for tests: what each sensor shows over time, on the clock of the test.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Probe;
use super::sensor::{Absence, Question, Reading};
use crate::clock::Clock;
use crate::record::card::CardFacts;
use crate::record::sensor::Sensor;
use crate::units::Nanos;

/// What a sensor shows from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// From when on.
    pub from: Nanos,
    /// What it shows.
    pub shows: Result<u64, Absence>,
}

/// A scripted card. A sensor without a script is not supported.
pub struct SimProbe {
    facts: CardFacts,
    clock: Arc<dyn Clock>,
    script: BTreeMap<Sensor, Vec<Step>>,
    before: Box<dyn FnMut(Question) + Send>,
}

impl SimProbe {
    /// A card on which every sensor is yet to be scripted.
    pub fn new(facts: CardFacts, clock: Arc<dyn Clock>) -> Self {
        Self {
            facts,
            clock,
            script: BTreeMap::new(),
            before: Box::new(|_| ()),
        }
    }

    /// Scripts a sensor: steps in order of time, the first of which also holds before it.
    #[must_use]
    pub fn with(mut self, sensor: Sensor, steps: Vec<Step>) -> Self {
        self.script.insert(sensor, steps);
        self
    }

    /// Scripts a sensor that always shows the same.
    #[must_use]
    pub fn constant(self, sensor: Sensor, value: u64) -> Self {
        let from = Nanos::default();
        let shows = Ok(value);
        self.with(sensor, vec![Step { from, shows }])
    }

    /// Does something before each question is answered: lets time pass, or waits like a driver that
    /// hangs.
    #[must_use]
    pub fn before_each(mut self, act: impl FnMut(Question) + Send + 'static) -> Self {
        self.before = Box::new(act);
        self
    }

    fn shown(&self, sensor: Sensor) -> Result<u64, Absence> {
        let now = self.clock.now();
        let steps = self.script.get(&sensor).ok_or(Absence::NotSupported)?;
        steps
            .iter()
            .take_while(|step| step.from <= now)
            .last()
            .or(steps.first())
            .ok_or(Absence::NotSupported)?
            .shows
    }
}

impl Probe for SimProbe {
    fn facts(&self) -> &CardFacts {
        &self.facts
    }

    fn ask(&mut self, question: Question, _worker: Option<u32>, reading: &mut Reading) {
        (self.before)(question);
        for &sensor in question.sensors() {
            reading.set(sensor, self.shown(sensor));
        }
    }
}
