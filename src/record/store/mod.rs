//! The append-only file of a study: `run.jsonl`.
//!
//! Each line is a record with its place in the chain: `seq` counts from 0, and `prev` is the start of
//! the SHA-256 of the line before, so that a line that was changed, dropped or inserted shows. `sum`, its
//! last field, is the start of the SHA-256 of the line without it, so that a change of the last line shows
//! too. Lines torn by crashes stay where they are; the next whole one names the bytes skipped.

mod generations;
mod line;
mod lines;
mod reader;
mod readings;
mod resume;
mod structure;
mod torn;
mod verify;
mod writer;

use std::path::{Path, PathBuf};

pub use reader::{Entry, Reader, read};
pub use readings::UnsoundReadings;
pub use resume::{Difference, check_device, check_session};
pub use verify::{Finding, Problem, Verification, verify};
pub use writer::{Resumed, Writer};

/// Why the file of a study cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process is writing it.
    #[error("{}: another run is writing this file; wait for it or choose another --out", file.display())]
    Locked {
        /// The file.
        file: PathBuf,
    },
    /// It holds a run already.
    #[error("{}: holds a run already; go on with --resume or choose another --out", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The system refused.
    #[error("{}: {cause}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A newer program wrote it.
    #[error(
        "{}:{line}: schema {found} is newer than the {known} that this program knows; use a newer mtok",
        file.display()
    )]
    NewerSchema {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Version found.
        found: u32,
        /// Newest version known.
        known: u32,
    },
    /// A line in the middle is no record.
    #[error("{}:{line}: {reason}; the file was changed, see mtok verify", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
}

impl StoreError {
    /// Turns what the system said about `file` into an error.
    fn io(file: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |cause| Self::Io {
            file: file.to_owned(),
            cause,
        }
    }
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
