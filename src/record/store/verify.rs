//! Whether a file is intact, and whether every number that a report shows can be derived from it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::StoreError;
use super::line::{NOTHING_BEFORE, Place, Unreadable};
use super::lines::{Chain, Line, Lines};
use super::readings::{self, UnsoundReadings};
use crate::record::observation::{Block, Generation, Purpose, Record};
use crate::record::scoring::{Text, Window};
use crate::study::variant::Variant;
use crate::study::workload::PointId;

/// What [`verify`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Records that could be read.
    pub records: u64,
    /// Length of a torn last line, which is what a crash leaves and no fault.
    pub torn_bytes: Option<u64>,
    /// Everything that is wrong; empty when the file is intact.
    pub findings: Vec<Finding>,
}

/// Something wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Finding {
    /// Line, from 1.
    pub line: u64,
    /// What.
    pub problem: Problem,
}

/// What may be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The line is no record.
    #[error("not a record ({reason})")]
    NotARecord {
        /// What the parser says.
        reason: String,
    },
    /// A record is missing, doubled or out of order.
    #[error("seq is {found}, expected {expected}")]
    Sequence {
        /// The number that follows the line before.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// The line before, or this line's `prev`, was changed.
    #[error("prev is {found}, but the line before has {expected}")]
    Chain {
        /// Fingerprint of the line before.
        expected: String,
        /// What this line says.
        found: String,
    },
    /// Bytes are said to be skipped that are not there.
    #[error("{stated} skipped bytes are stated where no torn line is")]
    Skipped {
        /// What this line says.
        stated: u64,
    },
    /// The first record is not a session.
    #[error("the first record is not a session")]
    NoSession,
    /// Facts after an end, without a new session.
    #[error("a record follows the end of its session")]
    AfterEnd,
    /// Two loads have the same number.
    #[error("load {load} is there twice")]
    LoadTwice {
        /// The number.
        load: u32,
    },
    /// A record names a load that is not there.
    #[error("load {load} is not in the file")]
    UnknownLoad {
        /// The number.
        load: u32,
    },
    /// A record names a point that the study does not have.
    #[error("the study has no point {point}")]
    UnknownPoint {
        /// The point.
        point: PointId,
    },
    /// A block of one variant in a load of another.
    #[error("a block of {point} in a load of {variant}")]
    Variant {
        /// The point.
        point: PointId,
        /// What was loaded.
        variant: Variant,
    },
    /// A block without a generation.
    #[error("a block without a generation")]
    EmptyBlock,
    /// Requested and generated tokens differ.
    #[error("generation {generation} has {found} steps, but the point asks for {expected} tokens")]
    Steps {
        /// Number within the block, from 0.
        generation: usize,
        /// Output tokens of the point.
        expected: u32,
        /// Steps found.
        found: usize,
    },
    /// Time runs backwards.
    #[error("generation {generation} begins before what comes before it has ended")]
    Time {
        /// Number within the block, from 0.
        generation: usize,
    },
    /// A block that is shorter than its generations.
    #[error("the block's wall time is shorter than its generations")]
    Wall,
    /// Two comparisons have the same number.
    #[error("comparison {scoring} is there twice")]
    ScoringTwice {
        /// The number.
        scoring: u32,
    },
    /// A window names a comparison that is not there, or a place that its text does not have.
    #[error("window {window} of comparison {scoring} belongs to no text of the file")]
    UnknownWindow {
        /// The comparison.
        scoring: u32,
        /// The window.
        window: u32,
    },
    /// A window is there twice.
    #[error("window {window} of comparison {scoring} is there twice")]
    WindowTwice {
        /// The comparison.
        scoring: u32,
        /// The window.
        window: u32,
    },
    /// A window whose numbers do not fit its text.
    #[error(
        "window {window} of comparison {scoring} holds {found} predictions, its text has {expected}"
    )]
    Predictions {
        /// The comparison.
        scoring: u32,
        /// The window.
        window: u32,
        /// Predictions of a window of the text.
        expected: u32,
        /// Predictions found.
        found: usize,
    },
    /// Sums that no distribution gives.
    #[error("window {window} of comparison {scoring} holds sums that no distribution gives")]
    Sums {
        /// The comparison.
        scoring: u32,
        /// The window.
        window: u32,
    },
    /// Sensor readings that cannot be.
    #[error("{0}")]
    Sensors(UnsoundReadings),
    /// An energy block serves no point of its load's precision and batch size, or another block does.
    #[error("a block of {point} {purpose:?} does not serve the point that it names")]
    Serves {
        /// The point that ran.
        point: PointId,
        /// What the block is for.
        purpose: Purpose,
    },
    /// The hash of the output ids is none.
    #[error("output_sha256 is not a SHA-256")]
    OutputHash,
}

/// Checks chain, schema and derivability of a file.
pub fn verify(file: &Path) -> Result<Verification, StoreError> {
    let mut lines = Lines::open(file, Chain::Hashed).map_err(StoreError::io(file))?;
    let mut check = Check::default();
    while let Some(line) = lines.advance().map_err(StoreError::io(file))? {
        match &line.parsed {
            Ok((place, record)) => check.record(&line, place, record),
            Err(Unreadable::Newer(found)) => {
                return Err(StoreError::NewerSchema {
                    file: file.to_owned(),
                    line: line.number,
                    found: *found,
                    known: crate::record::schema::VERSION,
                });
            }
            Err(Unreadable::NotARecord(reason)) => check.not_a_record(&line, reason.clone()),
        }
    }
    check.condemn_doubtful();
    Ok(check.seen)
}

/// What is known so far.
struct Check {
    seen: Verification,
    expected_seq: u64,
    prev: String,
    /// A line that is no record, until the next one says that it was torn.
    doubtful: Option<(Finding, u64)>,
    structure: Structure,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            seen: Verification {
                records: 0,
                torn_bytes: None,
                findings: Vec::new(),
            },
            expected_seq: 0,
            prev: NOTHING_BEFORE.to_owned(),
            doubtful: None,
            structure: Structure::default(),
        }
    }
}

impl Check {
    fn find(&mut self, line: u64, problem: Problem) {
        self.seen.findings.push(Finding { line, problem });
    }

    fn condemn_doubtful(&mut self) {
        if let Some((finding, _)) = self.doubtful.take() {
            self.seen.findings.push(finding);
        }
    }

    fn not_a_record(&mut self, line: &Line, reason: String) {
        self.condemn_doubtful();
        if line.terminated {
            let problem = Problem::NotARecord { reason };
            let finding = Finding {
                line: line.number,
                problem,
            };
            self.doubtful = Some((finding, line.length));
        } else {
            self.seen.torn_bytes = Some(line.length);
        }
    }

    fn record(&mut self, line: &Line, place: &Place, record: &Record) {
        let number = line.number;
        match (&self.doubtful, place.skipped_bytes) {
            (Some((_, length)), Some(stated)) if *length == stated => self.doubtful = None,
            (Some(_), Some(_) | None) => self.condemn_doubtful(),
            (None, Some(stated)) => self.find(number, Problem::Skipped { stated }),
            (None, None) => {}
        }
        if place.seq != self.expected_seq {
            let (expected, found) = (self.expected_seq, place.seq);
            self.find(number, Problem::Sequence { expected, found });
        }
        if place.prev != self.prev {
            let (expected, found) = (self.prev.clone(), place.prev.clone());
            self.find(number, Problem::Chain { expected, found });
        }
        self.expected_seq = place.seq.saturating_add(1);
        self.prev.clone_from(&line.fingerprint);
        self.seen.records += 1;
        for problem in self.structure.problems(record) {
            self.find(number, problem);
        }
    }
}

/// What later records refer to.
#[derive(Default)]
struct Structure {
    points: Option<HashSet<PointId>>,
    loads: BTreeMap<u32, Variant>,
    /// Texts of the comparisons, with the windows seen of each.
    texts: BTreeMap<u32, (Text, HashSet<u32>)>,
    ended: bool,
}

impl Structure {
    /// What is wrong with a record in the light of those before it.
    fn problems(&mut self, record: &Record) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Record::Session(session) = record {
            self.points = Some(session.study.sweep.points().into_iter().collect());
            self.ended = false;
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
                problems.extend(before.and_then(readings::unsound).map(Problem::Sensors));
            }
            Record::Load(load) => {
                if self.loads.insert(load.load, load.variant()).is_some() {
                    problems.push(Problem::LoadTwice { load: load.load });
                }
            }
            Record::Block(block) => {
                problems.extend(self.in_study(block));
                problems.extend(self.in_load(block));
                problems.extend(block_problems(block));
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
                let after = end.after.as_deref();
                problems.extend(after.and_then(readings::unsound).map(Problem::Sensors));
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
}

/// What is wrong with a block in itself.
fn block_problems(block: &Block) -> Vec<Problem> {
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
    if let Some(sensors) = &block.sensors {
        let of_block = readings::unsound(sensors).or(readings::outside(block, sensors));
        problems.extend(of_block.map(Problem::Sensors));
    }
    let hash = block.output_sha256.as_bytes();
    if hash.len() != 64 || !hash.iter().all(u8::is_ascii_hexdigit) {
        problems.push(Problem::OutputHash);
    }
    problems
}

/// When a generation ended, `None` where its times do not add up to a time.
fn end_of(generation: &Generation) -> Option<u64> {
    let steps = generation.steps_ns.iter();
    steps
        .chain([&generation.tail_ns])
        .try_fold(generation.t0_ns.value(), |sum, step| {
            sum.checked_add(step.value())
        })
}
