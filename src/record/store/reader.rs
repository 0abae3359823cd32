//! Reading the records of a file back.

use std::path::{Path, PathBuf};

use super::StoreError;
use super::line::Unreadable;
use super::lines::{Chain, Lines};
use super::torn::{NoRecord, TornLines};
use crate::record::observation::Record;

/// A record and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Line, from 1.
    pub line: u64,
    /// The record.
    pub record: Record,
}

/// Where the record read last stands.
pub(super) struct Last {
    /// Its number.
    pub(super) seq: u64,
    /// Its fingerprint, where the chain is hashed.
    pub(super) fingerprint: String,
}

/// The records of a file in order, read as they are asked for.
///
/// Torn lines at the end are no records; [`Reader::torn_bytes`] tells their length. The chain of hashes is
/// the business of [`verify`](super::verify()).
pub struct Reader {
    lines: Lines,
    file: PathBuf,
    torn: TornLines,
    torn_bytes: Option<u64>,
    last: Option<Last>,
    terminated: bool,
}

impl Reader {
    /// Opens a file for reading; a writer may be at work on it.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        Self::open_with(file, Chain::Ignored)
    }

    /// Opens a file for reading in order to go on with its chain.
    pub(super) fn open_with(file: &Path, chain: Chain) -> Result<Self, StoreError> {
        Ok(Self {
            lines: Lines::open(file, chain).map_err(StoreError::io(file))?,
            file: file.to_owned(),
            torn: TornLines::default(),
            torn_bytes: None,
            last: None,
            terminated: true,
        })
    }

    /// Length of the torn lines at the end, known once the last record was read.
    pub fn torn_bytes(&self) -> Option<u64> {
        self.torn_bytes
    }

    /// Where the record read last stands in the chain.
    pub(super) fn last_read(&self) -> Option<&Last> {
        self.last.as_ref()
    }

    /// Whether the line read last, torn or not, has its line end.
    pub(super) fn is_terminated(&self) -> bool {
        self.terminated
    }

    /// Refuses lines that are no records.
    fn refuse(&self, lines: Vec<NoRecord>) -> Result<(), StoreError> {
        let Some(first) = lines.into_iter().next() else {
            return Ok(());
        };
        Err(StoreError::Malformed {
            file: self.file.clone(),
            line: first.line,
            reason: first.reason,
        })
    }

    /// The next record, or `None` at the end.
    fn step(&mut self) -> Result<Option<Entry>, StoreError> {
        while let Some(line) = self.lines.advance().map_err(StoreError::io(&self.file))? {
            self.terminated = line.terminated;
            match line.parsed {
                Ok((place, record)) => {
                    let unaccounted = self.torn.before_record(place.skipped_bytes);
                    self.refuse(unaccounted)?;
                    self.last = Some(Last {
                        seq: place.seq,
                        fingerprint: line.fingerprint,
                    });
                    return Ok(Some(Entry {
                        line: line.number,
                        record,
                    }));
                }
                Err(Unreadable::Newer(found)) => {
                    return Err(StoreError::NewerSchema {
                        file: self.file.clone(),
                        line: line.number,
                        found,
                        known: crate::record::schema::VERSION,
                    });
                }
                Err(ref unreadable) => self.torn.push(&line, unreadable),
            }
        }
        match self.torn.at_end() {
            Ok(bytes) => self.torn_bytes = bytes,
            Err(lines) => self.refuse(lines)?,
        }
        Ok(None)
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// All records of a file.
pub fn read(file: &Path) -> Result<Vec<Record>, StoreError> {
    Reader::open(file)?
        .map(|entry| entry.map(|entry| entry.record))
        .collect()
}
