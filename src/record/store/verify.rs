//! Whether a file is intact, and whether every number that a report shows can be derived from it.

use std::path::Path;

use super::StoreError;
use super::line::{NOTHING_BEFORE, Place, Unreadable};
use super::lines::{Chain, Line, Lines};
use super::reader::Entry;
use super::readings::UnsoundReadings;
use super::structure::Structure;
use super::torn::{NoRecord, TornLines};
use crate::record::holder::Holder;
use crate::record::observation::{Purpose, Record};
use crate::study::variant::Variant;
use crate::study::workload::PointId;

/// What [`verify`] saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Records that could be read, with their lines.
    pub entries: Vec<Entry>,
    /// Length of torn lines at the end, which are what crashes leave and no fault.
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
    /// The line was changed: it holds something else than what its sum was taken of.
    #[error("the line is not what its sum was taken of, which is {}", stated.as_deref().unwrap_or("gone"))]
    Sum {
        /// What the line says, unless that is gone.
        stated: Option<String>,
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
    /// A block that begins before an earlier one of its load has ended, as a copy of one does.
    #[error("a block of {point} begins before the one before it in load {load} has ended")]
    Again {
        /// The point.
        point: PointId,
        /// The load.
        load: u32,
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
    /// Sensor readings that are not in order.
    #[error("{holder}: {unsound}")]
    Sensors {
        /// Whose they are.
        holder: Holder,
        /// What is wrong.
        unsound: UnsoundReadings,
    },
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
            Err(unreadable) => check.torn.push(&line, unreadable),
        }
        if let Ok((_, record)) = line.parsed {
            let line = line.number;
            check.seen.entries.push(Entry { line, record });
        }
    }
    match check.torn.at_end() {
        Ok(bytes) => check.seen.torn_bytes = bytes,
        Err(lines) => check.condemn(lines),
    }
    Ok(check.seen)
}

/// What is known so far.
struct Check {
    seen: Verification,
    expected_seq: u64,
    prev: String,
    /// Lines that are no records, until the next one says that they were torn.
    torn: TornLines,
    /// Whether the lines have sums, which those of older programs have not.
    summed: bool,
    structure: Structure,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            seen: Verification {
                entries: Vec::new(),
                torn_bytes: None,
                findings: Vec::new(),
            },
            expected_seq: 0,
            prev: NOTHING_BEFORE.to_owned(),
            torn: TornLines::default(),
            summed: false,
            structure: Structure::default(),
        }
    }
}

impl Check {
    fn find(&mut self, line: u64, problem: Problem) {
        self.seen.findings.push(Finding { line, problem });
    }

    /// Lines that are no records, and that no crash accounts for.
    fn condemn(&mut self, lines: Vec<NoRecord>) {
        for NoRecord { line, reason, .. } in lines {
            self.find(line, Problem::NotARecord { reason });
        }
    }

    /// A line that has no sum where others have one lost it.
    fn sum(&mut self, line: &Line) {
        self.summed |= line.sum.is_some();
        let stated = match &line.sum {
            Some(sum) if sum.stated == sum.actual => return,
            Some(sum) => Some(sum.stated.clone()),
            None if self.summed => None,
            None => return,
        };
        self.find(line.number, Problem::Sum { stated });
    }

    fn record(&mut self, line: &Line, place: &Place, record: &Record) {
        let number = line.number;
        match place.skipped_bytes {
            Some(stated) if self.torn.is_empty() => self.find(number, Problem::Skipped { stated }),
            skipped => {
                let unaccounted = self.torn.before_record(skipped);
                self.condemn(unaccounted);
            }
        }
        if place.seq != self.expected_seq {
            let (expected, found) = (self.expected_seq, place.seq);
            self.find(number, Problem::Sequence { expected, found });
        }
        if place.prev != self.prev {
            let (expected, found) = (self.prev.clone(), place.prev.clone());
            self.find(number, Problem::Chain { expected, found });
        }
        self.sum(line);
        self.expected_seq = place.seq.saturating_add(1);
        self.prev.clone_from(&line.fingerprint);
        let together = self.structure.problems(record);
        for problem in together.into_iter().chain(line.problems.iter().cloned()) {
            self.find(number, problem);
        }
    }
}
