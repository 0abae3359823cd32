//! Reading the records of a file back.

use std::path::{Path, PathBuf};

use super::StoreError;
use super::line::Unreadable;
use super::lines::{Chain, Lines};
use crate::record::observation::Record;

/// A record and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Line, from 1.
    pub line: u64,
    /// The record.
    pub record: Record,
}

/// A line that may be torn: whether it is shows in the one after it.
struct Doubtful {
    line: u64,
    length: u64,
    reason: String,
}

/// Where the record read last stands.
pub(super) struct Last {
    /// Its number.
    pub(super) seq: u64,
    /// Its fingerprint, where the chain is hashed.
    pub(super) fingerprint: String,
    /// Whether it has its line end.
    pub(super) terminated: bool,
}

/// The records of a file in order, read as they are asked for.
///
/// A torn last line ends the records; [`Reader::torn_bytes`] tells its length. The chain of hashes is
/// the business of [`verify`](super::verify()).
pub struct Reader {
    lines: Lines,
    file: PathBuf,
    doubtful: Option<Doubtful>,
    torn_bytes: Option<u64>,
    last: Option<Last>,
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
            doubtful: None,
            torn_bytes: None,
            last: None,
        })
    }

    /// Length of the torn line at the end, known once the last record was read.
    pub fn torn_bytes(&self) -> Option<u64> {
        self.torn_bytes
    }

    /// Where the record read last stands in the chain.
    pub(super) fn last_read(&self) -> Option<&Last> {
        self.last.as_ref()
    }

    fn malformed(&self, line: u64, reason: String) -> StoreError {
        StoreError::Malformed {
            file: self.file.clone(),
            line,
            reason,
        }
    }

    /// The next record, or `None` at the end.
    fn step(&mut self) -> Result<Option<Entry>, StoreError> {
        while let Some(line) = self.lines.advance().map_err(StoreError::io(&self.file))? {
            match line.parsed {
                Ok((place, record)) => {
                    if let Some(before) = self.doubtful.take()
                        && place.skipped_bytes != Some(before.length)
                    {
                        return Err(self.malformed(before.line, before.reason));
                    }
                    self.last = Some(Last {
                        seq: place.seq,
                        fingerprint: line.fingerprint,
                        terminated: line.terminated,
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
                Err(Unreadable::NotARecord(reason) | Unreadable::Incomplete(reason)) => {
                    if let Some(before) = self.doubtful.take() {
                        return Err(self.malformed(before.line, before.reason));
                    }
                    if line.terminated {
                        self.doubtful = Some(Doubtful {
                            line: line.number,
                            length: line.length,
                            reason,
                        });
                    } else {
                        self.torn_bytes = Some(line.length);
                    }
                }
            }
        }
        match self.doubtful.take() {
            Some(before) => Err(self.malformed(before.line, before.reason)),
            None => Ok(None),
        }
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
