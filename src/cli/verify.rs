//! `mtok verify`: whether a record is intact and every number derivable.

use super::args::VerifyArgs;
use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::output;
use crate::record::store::{self, StoreError};

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Locked { .. } => Exit::Locked,
            StoreError::Exists { .. } | StoreError::Io { .. } => Exit::Storage,
            StoreError::NewerSchema { .. } => Exit::Input,
            StoreError::Malformed { .. } => Exit::NotValid,
        };
        Self::new(exit, error)
    }
}

/// Prints what was found.
pub(super) fn run(args: &VerifyArgs) -> Result<Exit, CliError> {
    let file = StudyFolder::new(args.folder.clone()).record();
    let verification = store::verify(&file)?;
    for finding in &verification.findings {
        output::say(&format!(
            "{}:{}: {}",
            file.display(),
            finding.line,
            finding.problem
        ));
    }
    if let Some(bytes) = verification.torn_bytes {
        output::say(&format!(
            "{}: the last line is torn ({bytes} bytes), as a crash leaves it; nothing before it is lost",
            file.display()
        ));
    }
    if verification.findings.is_empty() {
        output::data(&format!("{} records, intact\n", verification.records))?;
        return Ok(Exit::Success);
    }
    Ok(Exit::NotValid)
}
