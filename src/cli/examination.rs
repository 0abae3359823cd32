//! Going through the record of a study before anything is told from it.
//!
//! What the store finds is wrong with the record itself, and nothing is told from it. What the metrics find
//! implausible is a sensor's fault: the record is told with a doubt, `mtok verify` refuses it all the same.

use std::path::{Path, PathBuf};

use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::output::{self, with_causes};
use super::pricing::{self, Placed};
use crate::catalog::Catalog;
use crate::record::machine::Device;
use crate::record::observation::{Record, Session};
use crate::record::store;
use crate::report::document::{Document, Inputs};
use crate::study::questions::Questions;
use crate::study::spec::Price;

/// A record that was gone through.
pub(super) struct Examination {
    file: PathBuf,
    /// What it holds.
    pub(super) records: Vec<Record>,
    /// Length of a torn end, which is what a crash leaves and no fault.
    pub(super) torn_bytes: Option<u64>,
    /// Why nothing can be told from it, a line each.
    pub(super) problems: Vec<String>,
    /// What sensors have read that cannot be, a line each.
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
        let findings = seen.findings.iter();
        let mut problems: Vec<String> = findings
            .map(|finding| format!("{name}:{}: {}", finding.line, finding.problem))
            .collect();
        if seen.entries.is_empty() {
            problems.push(format!("{name}: holds no record"));
        }
        let entries = seen.entries.into_iter();
        let (lines, records): (Vec<u64>, Vec<Record>) =
            entries.map(|entry| (entry.line, entry.record)).unzip();
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
        let implausible = document.iter().flat_map(|document| &document.implausible);
        let implausible = implausible
            .map(|found| format!("{name}:{}: {found}", lines[found.record]))
            .collect();
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
    let (session, device) = identity(records);
    let session = session.ok_or_else(|| {
        CliError::new(
            Exit::NotValid,
            anyhow::anyhow!("the record holds no session"),
        )
    })?;
    let placed = device.map(|device| Placed {
        device,
        threads: session.host.threads,
    });
    let priced = pricing::look_up(&session.study.price, placed, &Catalog::bundled())?;
    let inputs = Inputs {
        records,
        price: priced.price.as_ref(),
        sheet: priced.sheet.as_ref(),
        date: date.unwrap_or(session.run_date),
        questions: &session.study.report,
    };
    Document::new(&inputs).map_err(|error| CliError::new(Exit::NotValid, error))
}

/// What may be asked of a record after it was measured.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    /// What the report answers.
    pub(super) questions: Questions,
    /// At what price.
    pub(super) price: Price,
}

impl Asked {
    /// Whether nothing is asked but what the study asks.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Concludes as of `date` what the records would say if this had been asked when they were measured.
    pub(super) fn answered(
        self,
        mut records: Vec<Record>,
        date: jiff::civil::Date,
    ) -> Result<Document, CliError> {
        self.price.check()?;
        let mut newest = records.iter_mut().rev();
        let study = newest.find_map(|record| {
            let Record::Session(session) = record else {
                return None;
            };
            Some(&mut session.study)
        });
        if let Some(study) = study {
            study.report = std::mem::take(&mut study.report).overlaid(self.questions);
            study.price = std::mem::take(&mut study.price).asked_anew(self.price);
        }
        conclude(&records, Some(date))
    }
}
