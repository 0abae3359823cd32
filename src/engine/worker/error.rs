//! Why a worker did not do what it was asked, and how it was lost.

use serde::{Deserialize, Serialize};

use crate::engine::EngineError;
use crate::record::observation::FailureKind;

/// Why a worker did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// It said no and lives.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is gone.
    #[error("{}", .0.reason)]
    Lost(Loss),
    /// It was not started: the card was lost before.
    #[error("nothing more is tried on this card: {cause}")]
    CardLost {
        /// How.
        cause: String,
    },
    /// It was told to stop because the user wants to.
    #[error("interrupted")]
    Interrupted,
}

/// What a living worker says when it cannot do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Memory ran out.
    #[error("out of memory: {detail}")]
    OutOfMemory {
        /// What was being allocated.
        detail: String,
    },
    /// The model cannot be used.
    #[error("{place}: {reason}")]
    Model {
        /// File and place in it.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The engine cannot do this.
    #[error("unsupported: {reason}")]
    Unsupported {
        /// What and why.
        reason: String,
    },
    /// The device is not there or failed.
    #[error("device: {reason}")]
    Device {
        /// What and why.
        reason: String,
    },
    /// A file of one's own cannot be written or read.
    #[error("{place}: {reason}")]
    Storage {
        /// The file.
        place: String,
        /// Why.
        reason: String,
    },
    /// The outcome cannot be trusted.
    #[error("{reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
}

impl Refusal {
    /// The word of the record for what a living worker could not do.
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::OutOfMemory { .. } => FailureKind::Oom,
            Self::Invalid { .. } => FailureKind::Invalid,
            Self::Model { .. }
            | Self::Device { .. }
            | Self::Storage { .. }
            | Self::Unsupported { .. } => FailureKind::Crashed,
        }
    }
}

/// How a worker was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// How, in the words of the record.
    pub kind: FailureKind,
    /// The same in one line.
    pub reason: String,
    /// The last lines of its standard error.
    pub stderr: Vec<String>,
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::OutOfMemory { detail } => Self::OutOfMemory { detail },
            EngineError::Model { place, reason } => Self::Model { place, reason },
            EngineError::Unsupported { reason } => Self::Unsupported { reason },
            EngineError::Device { reason } => Self::Device { reason },
            EngineError::Storage { place, reason } => Self::Storage { place, reason },
            EngineError::NotFinite { .. } => Self::Invalid {
                reason: error.to_string(),
            },
        }
    }
}

impl From<EngineError> for WorkerError {
    fn from(error: EngineError) -> Self {
        Self::Refused(error.into())
    }
}
