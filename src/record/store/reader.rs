//! Reading the file back, one line at a time.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::line::{self, Place, Unreadable};
use crate::record::observation::Record;

/// Blocks of a long study are tens of kilobytes each; fewer, larger reads.
const BUFFER_BYTES: usize = 1 << 20;

/// The file line by line, without judgement.
pub(super) struct Lines {
    source: BufReader<File>,
    bytes: Vec<u8>,
    number: u64,
    terminated: bool,
}

impl Lines {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            source: BufReader::with_capacity(BUFFER_BYTES, File::open(path)?),
            bytes: Vec::new(),
            number: 0,
            terminated: true,
        })
    }

    /// Reads the next line; false at the end of the file.
    pub(super) fn advance(&mut self) -> std::io::Result<bool> {
        self.bytes.clear();
        let read = self.source.read_until(b'\n', &mut self.bytes)?;
        self.terminated = self.bytes.pop_if(|byte| *byte == b'\n').is_some();
        self.number += 1;
        Ok(read > 0)
    }

    /// The line without its line end.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of the line, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the line has its line end; only the last may lack it.
    pub(super) fn terminated(&self) -> bool {
        self.terminated
    }
}

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

/// The records of a file in order, read as they are asked for.
///
/// A torn last line ends the records; [`Reader::torn_bytes`] tells its length. The chain of hashes is
/// the business of [`verify`](super::verify()).
pub struct Reader {
    lines: Lines,
    file: PathBuf,
    doubtful: Option<Doubtful>,
    torn_bytes: Option<u64>,
    place: Option<Place>,
}

impl Reader {
    /// Opens a file for reading; a writer may be at work on it.
    pub fn open(file: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            lines: Lines::open(file).map_err(StoreError::io(file))?,
            file: file.to_owned(),
            doubtful: None,
            torn_bytes: None,
            place: None,
        })
    }

    /// Length of the torn line at the end, known once the last record was read.
    pub fn torn_bytes(&self) -> Option<u64> {
        self.torn_bytes
    }

    /// Where the record read last stands in the chain.
    pub(super) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The line read last.
    pub(super) fn lines(&self) -> &Lines {
        &self.lines
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
        while self.lines.advance().map_err(StoreError::io(&self.file))? {
            let number = self.lines.number();
            match line::parse(self.lines.bytes()) {
                Ok((place, record)) => {
                    if let Some(before) = self.doubtful.take()
                        && place.skipped_bytes != Some(before.length)
                    {
                        return Err(self.malformed(before.line, before.reason));
                    }
                    self.place = Some(place);
                    return Ok(Some(Entry {
                        line: number,
                        record,
                    }));
                }
                Err(Unreadable::Newer(found)) => {
                    return Err(StoreError::NewerSchema {
                        file: self.file.clone(),
                        line: number,
                        found,
                        known: crate::record::schema::VERSION,
                    });
                }
                Err(Unreadable::NotARecord(reason)) => {
                    if let Some(before) = self.doubtful.take() {
                        return Err(self.malformed(before.line, before.reason));
                    }
                    let length = self.lines.bytes().len() as u64;
                    if self.lines.terminated() {
                        self.doubtful = Some(Doubtful {
                            line: number,
                            length,
                            reason,
                        });
                    } else {
                        self.torn_bytes = Some(length);
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
