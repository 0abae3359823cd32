//! Exit codes and the one error line.

use std::process::ExitCode;

use crate::engine::EngineError;
use crate::record::store::StoreError;
use crate::study::check::StudyError;
use crate::study::model::ParseError;

/// How the program ends; the numbers are part of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Success = 0,
    /// Anything that has no number of its own.
    Failure = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Study, scenario or prices make no sense, or a newer schema.
    Input = 3,
    /// The model or its tokenizer cannot be used.
    Model = 4,
    /// The device, an endpoint or required telemetry is not there.
    Device = 5,
    /// Finished, but not valid under `--strict`, or a record that does not verify.
    NotValid = 6,
    /// A regression was found and asked about.
    Regression = 7,
    /// Some points failed.
    Partial = 8,
    /// Something could not be written or read.
    Storage = 9,
    /// Somebody else writes the same folder.
    Locked = 75,
    /// Ended by an interrupt.
    Interrupted = 130,
    /// Ended by a request to terminate.
    Terminated = 143,
}

impl Exit {
    /// Every exit code with what it means, in the order of documentation.
    #[cfg(test)]
    pub(super) const MEANINGS: [(Self, &str); 13] = [
        (Self::Success, "done"),
        (
            Self::Failure,
            "anything that has no number of its own; `report --check` found a difference",
        ),
        (Self::Usage, "the command line makes no sense"),
        (
            Self::Input,
            "study, scenario or prices make no sense, or a newer schema",
        ),
        (Self::Model, "the model or its tokenizer cannot be used"),
        (
            Self::Device,
            "the device, an endpoint or required telemetry is not there",
        ),
        (
            Self::NotValid,
            "finished, but not valid under `--strict`, or a record that does not verify",
        ),
        (Self::Regression, "`compare --fail-on-regression` found one"),
        (
            Self::Partial,
            "some points failed; a point planned as not fitting is no failure",
        ),
        (Self::Storage, "something could not be written or read"),
        (Self::Locked, "another run writes the same folder"),
        (Self::Interrupted, "interrupted; what was measured is kept"),
        (Self::Terminated, "terminated; what was measured is kept"),
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with the exit code that it means and, where there is one, the remedy.
#[derive(Debug)]
pub(super) struct CliError {
    /// The exit code.
    pub(super) exit: Exit,
    /// What went wrong.
    pub(super) error: anyhow::Error,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl CliError {
    /// An error that ends the program with `exit`.
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
            hint: None,
        }
    }

    /// The same with a remedy on a line of its own.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A storage error naming the path.
    pub(super) fn storage(path: &std::path::Path, error: std::io::Error) -> Self {
        Self::new(
            Exit::Storage,
            anyhow::Error::new(error).context(path.display().to_string()),
        )
    }
}

impl CliError {
    /// What a sink of records said, which is a store.
    pub(super) fn of_sink(cause: Box<dyn std::error::Error + Send + Sync>) -> Self {
        match cause.downcast::<StoreError>() {
            Ok(error) => (*error).into(),
            Err(cause) => Self::new(Exit::Storage, anyhow::anyhow!(cause)),
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        let exit = match &error {
            EngineError::Model { place, reason } => {
                let remedy = remedy(place, reason);
                let refused = Self::new(Exit::Model, error);
                return match remedy {
                    Some(remedy) => refused.hint(remedy),
                    None => refused,
                };
            }
            EngineError::Unsupported { .. } => Exit::Model,
            EngineError::Device { .. } => Exit::Device,
            EngineError::Storage { .. } => Exit::Storage,
            EngineError::OutOfMemory { .. } | EngineError::NotFinite { .. } => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

/// What to do about a model file whose reason does not say so itself, behind a semicolon.
fn remedy(place: &str, reason: &str) -> Option<&'static str> {
    if reason.contains("; ") {
        return None;
    }
    Some(if place.contains(".gguf") {
        "download the file again, or convert the model again with a current llama.cpp"
    } else {
        "download the model again, with all its files from one commit"
    })
}

impl From<StudyError> for CliError {
    fn from(error: StudyError) -> Self {
        Self::new(Exit::Input, error)
    }
}

impl From<ParseError> for CliError {
    fn from(error: ParseError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::weights::files;

    #[test]
    fn a_path_that_leads_nowhere_is_no_reason_to_download_again() {
        let refused = |error: EngineError| (error.to_string(), CliError::from(error).hint);
        let nowhere = std::path::Path::new("/nope/model.gguf");
        let (message, hint) = refused(files::read(nowhere, 1).unwrap_err());
        assert!(message.ends_with("; check the path"), "{message}");
        assert_eq!(hint, None);
        let short = EngineError::model("x/model.safetensors", "too short");
        assert!(
            refused(short)
                .1
                .is_some_and(|hint| hint.starts_with("download"))
        );
    }
}
