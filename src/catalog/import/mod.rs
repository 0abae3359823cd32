//! Public price lists as files: what is taken over, what is not, and why.

mod card;
mod entry;
pub mod litellm;
pub mod skypilot;

use std::collections::BTreeMap;

use jiff::civil::Date;
use sha2::{Digest, Sha256};

use super::rows::CatalogFile;

/// What to do with rows whose price is hard to believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Implausible {
    /// Leave them out and say so.
    Quarantine,
    /// Take them over like the others.
    Allow,
}

/// How to read a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportOptions {
    /// The date the prices are counted from.
    pub as_of: Date,
    /// What to do with prices that are hard to believe.
    pub implausible: Implausible,
}

/// A list that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The rows, ready to be written as a user catalog.
    pub file: CatalogFile,
    /// What happened to every entry.
    pub summary: Summary,
}

/// What happened to the entries of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries in the list.
    pub entries: usize,
    /// Entries taken over, counted by what became of them.
    pub imported: BTreeMap<String, usize>,
    /// Entries that hold no price for us, counted by reason.
    pub skipped: BTreeMap<String, usize>,
    /// Entries whose price is hard to believe, each with its reason.
    pub quarantined: Vec<Quarantined>,
    /// Imported entries that a reader should doubt, counted by reason.
    pub doubtful: BTreeMap<String, usize>,
}

/// An entry left out for its price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The entry.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Summary {
    fn skip(&mut self, reason: impl Into<String>) {
        *self.skipped.entry(reason.into()).or_default() += 1;
    }

    fn take(&mut self, kind: &str) {
        *self.imported.entry(kind.to_owned()).or_default() += 1;
    }

    fn doubt(&mut self, reason: &str) {
        *self.doubtful.entry(reason.to_owned()).or_default() += 1;
    }
}

/// A list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// A place in the file.
    #[error("{line}:{column}: {reason}")]
    Malformed {
        /// Line, from 1.
        line: u64,
        /// Column, from 1; in a table the number of the field.
        column: u64,
        /// What is wrong.
        reason: String,
    },
    /// Nothing in it is a price.
    #[error("no entry of the file holds a price; is it a {expected}?")]
    Empty {
        /// What the file should have been.
        expected: &'static str,
    },
}

/// SHA-256 of an imported file, in hex.
fn fingerprint(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
