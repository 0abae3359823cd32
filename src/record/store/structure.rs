//! Whether records fit together: what they refer to is there, and from every block something follows.

use std::collections::{BTreeMap, HashSet};

use super::readings::{self, UnsoundReadings};
use super::verify::Problem;
use crate::record::holder::{self, Holder};
use crate::record::observation::{Block, Generation, Purpose, Record};
use crate::record::scoring::{Text, Window};
use crate::study::variant::Variant;
use crate::study::workload::PointId;
use crate::units::Nanos;

/// What later records refer to.
#[derive(Default)]
pub(super) struct Structure {
    points: Option<HashSet<PointId>>,
    loads: BTreeMap<u32, Variant>,
    /// When the last block of each load ended, on the clock of its worker.
    busy_until: BTreeMap<u32, u64>,
    /// Texts of the comparisons, with the windows seen of each.
    texts: BTreeMap<u32, (Text, HashSet<u32>)>,
    /// When the readings before the first worker of this session ended.
    rested_until: Option<u64>,
    /// When the last block of this session ended.
    worked_until: Option<u64>,
    ended: bool,
}

impl Structure {
    /// What is wrong with a record in the light of those before it.
    pub(super) fn problems(&mut self, record: &Record) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Record::Session(session) = record {
            self.points = Some(session.study.sweep.points().into_iter().collect());
            self.ended = false;
            (self.rested_until, self.worked_until) = (None, None);
            return problems;
        }
        if self.points.is_none() {
            problems.push(Problem::NoSession);
            self.points = Some(HashSet::new());
        }
        if self.ended {
            problems.push(Problem::AfterEnd);
            self.ended = false;
        }
        match record {
            Record::Session(_) | Record::Peak(_) => {}
            Record::Device(device) => {
                let before = device.before.as_deref();
                self.rested_until = before.and_then(|rest| Some(rest.at_ns.last()?.value()));
            }
            Record::Load(load) => {
                if self.loads.insert(load.load, load.variant()).is_some() {
                    problems.push(Problem::LoadTwice { load: load.load });
                }
            }
            Record::Block(block) => {
                problems.extend(self.in_study(block));
                problems.extend(self.in_load(block));
                problems.extend(self.in_time(block));
            }
            Record::Failure(failure) => {
                problems.extend(failure.load.and_then(|load| self.known_load(load)));
                problems.extend(failure.point.and_then(|point| self.known_point(point)));
            }
            Record::Skip(skip) => problems.extend(self.known_point(skip.point)),
            Record::Scoring(scoring) => {
                let text = (scoring.text.clone(), HashSet::new());
                let scoring = scoring.scoring;
                if self.texts.insert(scoring, text).is_some() {
                    problems.push(Problem::ScoringTwice { scoring });
                }
            }
            Record::Window(window) => problems.extend(self.window_problem(window)),
            Record::Unscored(_) => {}
            Record::End(end) => {
                self.ended = true;
                let first = end.after.as_deref().and_then(|rest| rest.at_ns.first());
                let at_work = |at: &Nanos| self.worked_until.is_some_and(|end| at.value() < end);
                problems.extend(
                    first
                        .filter(|at| at_work(at))
                        .map(|_| elsewhere(Holder::After)),
                );
            }
        }
        problems
    }

    /// What is wrong with a window in the light of its text.
    fn window_problem(&mut self, seen: &Window) -> Option<Problem> {
        let (scoring, window) = (seen.scoring, seen.window);
        let text = self.texts.get_mut(&scoring);
        let Some((text, windows)) = text.filter(|(text, _)| window < text.windows) else {
            return Some(Problem::UnknownWindow { scoring, window });
        };
        if !windows.insert(window) {
            return Some(Problem::WindowTwice { scoring, window });
        }
        let (expected, found) = (text.targets(), seen.divergence_nano.len());
        if found != expected as usize || seen.same_top > expected {
            return Some(Problem::Predictions {
                scoring,
                window,
                expected,
                found,
            });
        }
        let sums = [seen.surprise, seen.surprise_reference, seen.delta_p_squared];
        let possible = sums.iter().all(|sum| sum.is_finite() && *sum >= 0.0)
            && seen.delta_p.abs() <= f64::from(expected);
        (!possible).then_some(Problem::Sums { scoring, window })
    }

    fn known_load(&self, load: u32) -> Option<Problem> {
        (!self.loads.contains_key(&load)).then_some(Problem::UnknownLoad { load })
    }

    fn known_point(&self, point: PointId) -> Option<Problem> {
        let known = self.points.as_ref().is_some_and(|all| all.contains(&point));
        (!known).then_some(Problem::UnknownPoint { point })
    }

    /// Energy blocks show one phase alone and so have lengths of their own; the point that they serve is
    /// one of the study.
    fn in_study(&self, block: &Block) -> Option<Problem> {
        let (point, purpose) = (block.point, block.purpose);
        let wrong = Some(Problem::Serves { point, purpose });
        match (purpose, block.serves) {
            (Purpose::Measure | Purpose::Drift, None) => self.known_point(point),
            (Purpose::Measure | Purpose::Drift, Some(_)) | (Purpose::Energy, None) => wrong,
            (Purpose::Energy, Some(served)) => {
                let alike = (served.variant(), served.batch) == (point.variant(), point.batch);
                self.known_point(served)
                    .or(if alike { None } else { wrong })
            }
        }
    }

    fn in_load(&self, block: &Block) -> Option<Problem> {
        let point = block.point;
        match self.loads.get(&block.load) {
            None => Some(Problem::UnknownLoad { load: block.load }),
            Some(&variant) if variant != point.variant() => {
                Some(Problem::Variant { point, variant })
            }
            Some(_) => None,
        }
    }

    /// What is wrong with the time of a block. The card rests before the first one: readings of its rest that end
    /// later are of another time. A worker runs one block after the other: one that begins earlier is no other
    /// block, but one of them once more, which would count twice.
    fn in_time(&mut self, block: &Block) -> impl Iterator<Item = Problem> + use<> {
        let (point, load) = (block.point, block.load);
        let start = block.started.monotonic_ns.value();
        let end = block.generations.last().and_then(end_of).unwrap_or(start);
        self.worked_until = self.worked_until.max(Some(end));
        let begins_before = |until: Option<u64>| until.is_some_and(|until| start < until);
        let restless = begins_before(self.rested_until.take());
        let again = begins_before(self.busy_until.insert(load, end));
        let restless = restless.then(|| elsewhere(Holder::Before));
        let again = again.then_some(Problem::Again { point, load });
        restless.into_iter().chain(again)
    }
}

/// What is wrong with a record in itself, whatever came before it.
pub(super) fn within(record: &Record) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some((holder, sensors)) = holder::readings(record) {
        let misshapen = readings::misshapen(sensors);
        problems.extend(misshapen.map(|unsound| Problem::Sensors { holder, unsound }));
    }
    if let Record::Block(block) = record {
        problems.extend(within_block(block));
    }
    problems
}

fn within_block(block: &Block) -> Vec<Problem> {
    let mut problems = Vec::new();
    if block.generations.is_empty() {
        problems.push(Problem::EmptyBlock);
    }
    let expected = block.point.osl.get();
    let start = block.started.monotonic_ns.value();
    let mut before = Some(start);
    for (generation, seen) in block.generations.iter().enumerate() {
        let found = seen.steps_ns.len();
        if found != expected as usize {
            problems.push(Problem::Steps {
                generation,
                expected,
                found,
            });
        }
        if before.is_none_or(|before| seen.t0_ns.value() < before) {
            problems.push(Problem::Time { generation });
        }
        before = end_of(seen);
    }
    let wall_end = start.checked_add(block.cpu.wall_ns.value());
    if wall_end.is_none() || before.is_none() || wall_end < before {
        problems.push(Problem::Wall);
    }
    let sensors = block.sensors.as_ref();
    let outside = sensors.and_then(|sensors| readings::outside(block, sensors));
    problems.extend(outside.map(|unsound| Problem::Sensors {
        holder: Holder::of(block),
        unsound,
    }));
    let hash = block.output_sha256.as_bytes();
    if hash.len() != 64 || !hash.iter().all(u8::is_ascii_hexdigit) {
        problems.push(Problem::OutputHash);
    }
    problems
}

/// Readings of another time than their holder's.
const fn elsewhere(holder: Holder) -> Problem {
    Problem::Sensors {
        holder,
        unsound: UnsoundReadings::Elsewhere,
    }
}

/// When a generation ended, `None` where its times do not add up to a time.
fn end_of(generation: &Generation) -> Option<u64> {
    let steps = generation.steps_ns.sum().value();
    // A sum that is all that 64 bits hold may be of more.
    let end = (steps < u64::MAX).then(|| generation.t0_ns.value().checked_add(steps))?;
    end?.checked_add(generation.tail_ns.value())
}
