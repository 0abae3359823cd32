//! What a reader should doubt, each with a remedy.

use serde::Serialize;

/// A doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// A word for programs.
    pub code: &'static str,
    /// What is doubtful.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Warning {
    pub(crate) fn new(
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}
