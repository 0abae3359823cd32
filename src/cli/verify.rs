//! `mtok verify`: whether a record is intact and every number derivable.

use super::args::VerifyArgs;
use super::examination::Examination;
use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::output;
use crate::metrics::energy::PhaseEnergy;
use crate::metrics::facts::Facts;
use crate::record::observation::Record;
use crate::record::store::StoreError;
use crate::report::document::Document;

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Locked { .. } => Exit::Locked,
            StoreError::Exists { .. } | StoreError::Io { .. } => Exit::Storage,
            StoreError::NewerSchema { .. } => Exit::Input,
            StoreError::Malformed { .. } => Exit::NotValid,
        };
        let full = matches!(
            &error,
            StoreError::Io { cause, .. } if cause.kind() == std::io::ErrorKind::StorageFull
        );
        let refused = Self::new(exit, error);
        if full {
            return refused.hint("make room; --resume goes on with what was measured");
        }
        refused
    }
}

/// Prints what was found.
pub(super) fn run(args: &VerifyArgs) -> Result<Exit, CliError> {
    let folder = StudyFolder::new(args.folder.clone());
    let seen = Examination::of(&folder)?;
    for problem in seen.problems.iter().chain(&seen.implausible) {
        output::say(problem);
    }
    if let Some(bytes) = seen.torn_bytes {
        output::say(&format!(
            "{}: its end is torn ({bytes} bytes), as a crash leaves it; nothing before it is lost",
            folder.record().display()
        ));
    }
    let (Some(document), []) = (&seen.document, seen.implausible.as_slice()) else {
        return Ok(Exit::NotValid);
    };
    output::data(&format!(
        "{} records, intact{}{}\n",
        seen.records.len(),
        energies(document),
        ending(&seen.records)
    ))?;
    Ok(Exit::Success)
}

/// How many of the energies that a study asks for its blocks show.
fn energies(document: &Document) -> String {
    let rows = document.rows.iter().filter_map(|row| row.measured.as_ref());
    let points = rows.filter_map(|measured| measured.energy.as_ref());
    let phases: Vec<_> = points.flat_map(|it| [&it.prefill, &it.decode]).collect();
    if phases.is_empty() {
        return String::new();
    }
    let shown = |phase: &&PhaseEnergy| phase.power().is_ok();
    let derived = phases.iter().filter_map(|phase| phase.as_ref().ok());
    format!(
        ", {} of {} energies derivable",
        derived.filter(shown).count(),
        phases.len()
    )
}

/// A record without an end is that of a run that was killed.
fn ending(records: &[Record]) -> &'static str {
    let ended = Facts::new(records).is_ok_and(|facts| facts.end.is_some());
    if ended {
        ""
    } else {
        "; its last session has no end: interrupted, still valid"
    }
}
