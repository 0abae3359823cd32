//! Baselines: records kept under a name, to compare later runs with.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

use super::exit::{CliError, Exit};
use super::folder::{StudyFolder, write_whole};

/// A name that is also the name of a folder: letters, digits, `-`, `_` and `.`, not at its begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BaselineName(String);

impl std::str::FromStr for BaselineName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let sound = !text.is_empty() && !text.starts_with('.') && text.len() <= 64;
        if sound && text.chars().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err("it must be letters, digits, '-', '_' and '.', not begin with '.' and be short".into())
    }
}

impl BaselineName {
    /// Where the baseline is kept.
    pub(super) fn folder(&self) -> Result<StudyFolder, CliError> {
        let strategy = etcetera::choose_base_strategy().map_err(|error| {
            CliError::new(Exit::Storage, error).hint("set XDG_DATA_HOME or HOME to a folder")
        })?;
        let path: PathBuf = strategy.data_dir().join("mtok").join("baselines");
        Ok(StudyFolder::new(path.join(&self.0)))
    }

    /// Keeps the record of a study under this name, in place of what was there.
    pub(super) fn save(&self, study: &StudyFolder) -> Result<StudyFolder, CliError> {
        let record = study.record();
        let text =
            std::fs::read_to_string(&record).map_err(|error| CliError::storage(&record, error))?;
        let folder = self.folder()?;
        folder.create()?;
        write_whole(&folder.record(), &text)?;
        Ok(folder)
    }
}

impl std::fmt::Display for BaselineName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_its_folder() {
        for name in ["main", "v1.2", "a_b-c"] {
            assert!(name.parse::<BaselineName>().is_ok(), "{name}");
        }
        for name in ["", ".", "..", ".x", "a/b", "a b", "a\n", &"x".repeat(65)] {
            assert!(name.parse::<BaselineName>().is_err(), "{name:?}");
        }
    }
}
