//! Going through the record of a study before anything is told from it: nothing is told from one that was
//! altered, and one whose sensors read what cannot be is told with a warning.

use std::path::{Path, PathBuf};

use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::output::{self, with_causes};
use super::pricing;
use crate::catalog::Catalog;
use crate::metrics::energy;
use crate::record::machine::Device;
use crate::record::observation::{Record, Session};
use crate::record::store::{self, Entry, Holder};
use crate::report::document::{Document, Inputs};
use crate::study::questions::Questions;
use crate::units::Watts;

/// A record that was gone through.
pub(super) struct Examination {
    file: PathBuf,
    /// What it holds.
    pub(super) records: Vec<Record>,
    /// Length of a torn end, which is what a crash leaves and no fault.
    pub(super) torn_bytes: Option<u64>,
    /// Why nothing can be told from it, a line each.
    pub(super) problems: Vec<String>,
    /// What sensors have read that cannot be, a line each. A faulty sensor costs its readings, not the hour
    /// that was paid for.
    pub(super) implausible: Vec<String>,
    /// What follows as of the date of the run; only where nothing is wrong with the record itself.
    pub(super) document: Option<Document>,
}

/// A record in which nothing is wrong but what sensors may have read.
pub(super) struct Sound {
    /// What it holds.
    pub(super) records: Vec<Record>,
    /// What follows as of the date of the run.
    pub(super) document: Document,
}

impl Examination {
    /// Goes through the record of a study.
    pub(super) fn of(folder: &StudyFolder) -> Result<Self, CliError> {
        let file = folder.record();
        let seen = store::verify(&file)?;
        let name = file.display();
        let (mut problems, mut implausible) = (Vec::new(), Vec::new());
        for finding in &seen.findings {
            let told = format!("{name}:{}: {}", finding.line, finding.problem);
            if finding.problem.is_implausible() {
                implausible.push(told);
            } else {
                problems.push(told);
            }
        }
        if seen.entries.is_empty() {
            problems.push(format!("{name}: holds no record"));
        }
        if problems.is_empty() && implausible.is_empty() {
            implausible = energies_that_cannot_be(&file, &seen.entries);
        }
        let records: Vec<Record> = seen.entries.into_iter().map(|entry| entry.record).collect();
        let mut document = None;
        if problems.is_empty() {
            match conclude(&records, None) {
                Ok(concluded) => document = Some(concluded),
                Err(error) => {
                    let why = with_causes(&error.error);
                    problems.push(format!("{name}: no report follows: {why}"));
                }
            }
        }
        Ok(Self {
            file,
            records,
            torn_bytes: seen.torn_bytes,
            problems,
            implausible,
            document,
        })
    }

    /// Says the first thing that is wrong, and where to read of the rest.
    pub(super) fn warn(&self) {
        if let Some(first) = self.problems.iter().chain(&self.implausible).next() {
            output::say(&format!("warning: the record does not verify: {first}"));
            output::say(&format!("hint: {}", self.remedy()));
        }
    }

    /// Refuses a record from which nothing can be told.
    pub(super) fn sound(self) -> Result<Sound, CliError> {
        if self.document.is_some() {
            self.warn();
        }
        let Some(document) = self.document else {
            let remedy = self.remedy();
            let first = self.problems.into_iter().next();
            let error = anyhow::anyhow!(first.unwrap_or_default());
            return Err(CliError::new(Exit::NotValid, error)
                .hint(format!("nothing is told from such a record; {remedy}")));
        };
        Ok(Sound {
            records: self.records,
            document,
        })
    }

    /// Where to read of everything that is wrong.
    fn remedy(&self) -> String {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        format!("mtok verify {} lists all that is wrong", folder.display())
    }
}

/// Energies that no card has drawn, each with its line and its block.
fn energies_that_cannot_be(file: &Path, entries: &[Entry]) -> Vec<String> {
    let mut limit = None;
    let mut problems = Vec::new();
    for Entry { line, record } in entries {
        if let Record::Device(device) = record {
            let card = device.card.as_ref();
            limit = card.and_then(|card| card.highest_power_limit_mw());
        } else if let Record::Block(block) = record {
            let limit = limit.map(|milliwatts| Watts::new(milliwatts as f64 / 1e3));
            let found = energy::implausible(block, limit);
            let (name, holder) = (file.display(), Holder::of(block));
            problems.extend(found.map(|wrong| format!("{name}:{line}: {holder}: {wrong}")));
        }
    }
    problems
}

/// The last session of a record and the device it ran on.
pub(super) fn identity(records: &[Record]) -> (Option<&Session>, Option<&Device>) {
    let mut last = (None, None);
    for record in records {
        if let Record::Session(session) = record {
            last.0 = Some(session.as_ref());
        } else if let Record::Device(device) = record {
            last.1 = Some(device.as_ref());
        }
    }
    last
}

/// Concludes what a record says, with prices of the bundled catalog aged against `date`, or against
/// the date of the run where none is given.
pub(super) fn conclude(
    records: &[Record],
    date: Option<jiff::civil::Date>,
) -> Result<Document, CliError> {
    answer(records, date, Questions::default())
}

/// The same, with answers to `asked` where the study asks otherwise.
pub(super) fn answer(
    records: &[Record],
    date: Option<jiff::civil::Date>,
    asked: Questions,
) -> Result<Document, CliError> {
    let (session, device) = identity(records);
    let session = session.ok_or_else(|| {
        CliError::new(
            Exit::NotValid,
            anyhow::anyhow!("the record holds no session"),
        )
    })?;
    let priced = pricing::look_up(&session.study.price, device, &Catalog::bundled())?;
    let inputs = Inputs {
        records,
        price: priced.price.as_ref(),
        sheet: priced.sheet.as_ref(),
        date: date.unwrap_or(session.run_date),
        questions: &session.study.report.clone().overlaid(asked),
    };
    Document::new(&inputs).map_err(|error| CliError::new(Exit::NotValid, error))
}
