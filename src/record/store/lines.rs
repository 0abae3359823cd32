//! The lines of a file, many at a time, each understood on whichever core is free.

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rayon::prelude::*;

use super::line::{self, Place, Sum, Unreadable};
use super::structure;
use super::verify::Problem;
use crate::record::observation::Record;

/// Bytes that are read and understood together: some hundred blocks, so that no core waits long for
/// another, and little beside the records that come of them.
const BATCH_BYTES: u64 = 4 << 20;

/// Whether the chain of hashes is of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    /// Each line comes with its fingerprint, and with what is wrong with its record in itself.
    Hashed,
    /// The records are all.
    Ignored,
}

/// A line and what it says.
#[derive(Debug)]
pub(super) struct Line {
    /// Number of the line, from 1.
    pub(super) number: u64,
    /// Bytes without the line end.
    pub(super) length: u64,
    /// Whether the line has its line end; only the last may lack it.
    pub(super) terminated: bool,
    /// Its place in the chain and its record.
    pub(super) parsed: Result<(Place, Record), Unreadable>,
    /// The start of its SHA-256; empty where the chain is ignored.
    pub(super) fingerprint: String,
    /// What the line says of itself; `None` too where the chain is ignored.
    pub(super) sum: Option<Sum>,
    /// What is wrong with its record in itself; not looked for where the chain is ignored.
    pub(super) problems: Vec<Problem>,
}

impl Line {
    fn new(bytes: &[u8], number: u64, chain: Chain) -> Self {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let parsed = line::parse(line);
        let (mut fingerprint, mut sum, mut problems) = (String::new(), None, Vec::new());
        match chain {
            Chain::Hashed => {
                (fingerprint, sum) = line::seals(line);
                problems = parsed
                    .as_ref()
                    .map_or(Vec::new(), |(_, record)| structure::within(record));
            }
            Chain::Ignored => {}
        }
        Self {
            number,
            length: line.len() as u64,
            terminated: line.len() < bytes.len(),
            parsed,
            fingerprint,
            sum,
            problems,
        }
    }
}

/// The file line by line, without judgement.
pub(super) struct Lines {
    batches: Receiver<std::io::Result<Vec<Line>>>,
    batch: std::vec::IntoIter<Line>,
}

impl Lines {
    pub(super) fn open(path: &Path, chain: Chain) -> std::io::Result<Self> {
        let ahead = Ahead {
            file: File::open(path)?,
            chain,
            spare: Vec::new(),
        };
        let (send, batches) = sync_channel(1);
        // Ends with the file, with an error, or when nobody asks for lines any more.
        std::thread::spawn(move || ahead.run(&send));
        Ok(Self {
            batches,
            batch: Vec::new().into_iter(),
        })
    }

    /// The next line; `None` at the end of the file.
    pub(super) fn advance(&mut self) -> std::io::Result<Option<Line>> {
        if self.batch.len() == 0
            && let Ok(batch) = self.batches.recv()
        {
            self.batch = batch?.into_iter();
        }
        Ok(self.batch.next())
    }
}

/// Understands lines ahead of whoever asks for them.
struct Ahead {
    file: File,
    chain: Chain,
    /// Room for the bytes that are read next.
    spare: Vec<u8>,
}

impl Ahead {
    fn run(mut self, send: &SyncSender<std::io::Result<Vec<Line>>>) {
        let mut before = 0;
        let mut chunk = Chunk::read(&mut self.file, &[], Vec::new());
        while let Some(batch) = self.next_batch(&mut chunk, before).transpose() {
            before += batch.as_ref().map_or(0, |lines| lines.len() as u64);
            let ended = batch.is_err();
            if send.send(batch).is_err() || ended {
                return;
            }
        }
    }

    /// Understands the lines that were read while the next ones are read; none at the end.
    fn next_batch(
        &mut self,
        chunk: &mut std::io::Result<Chunk>,
        before: u64,
    ) -> std::io::Result<Option<Vec<Line>>> {
        let read = std::mem::replace(chunk, Ok(Chunk::default()))?;
        let Some(&end) = read.ends.last() else {
            return Ok(None);
        };
        let spare = std::mem::take(&mut self.spare);
        let lines;
        (lines, *chunk) = rayon::join(
            || read.understand(before, self.chain),
            || Chunk::read(&mut self.file, &read.bytes[end..], spare),
        );
        self.spare = read.bytes;
        Ok(Some(lines))
    }
}

/// Bytes of the file that begin with a line.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where the whole lines among them end.
    ends: Vec<usize>,
}

impl Chunk {
    /// All lines that end within the next bytes, after the beginning of the first, at least one unless
    /// the file ends; `bytes` are room for them.
    fn read(file: &mut File, beginning: &[u8], mut bytes: Vec<u8>) -> std::io::Result<Self> {
        bytes.clear();
        bytes.extend_from_slice(beginning);
        let (mut ends, mut end) = (Vec::new(), 0);
        while ends.is_empty() {
            let read = file.take(BATCH_BYTES).read_to_end(&mut bytes)?;
            let at_end = (read as u64) < BATCH_BYTES;
            let mut rest = &bytes[end..];
            while !rest.is_empty() {
                end += rest.skip_until(b'\n')?;
                if at_end || bytes[end - 1] == b'\n' {
                    ends.push(end);
                }
            }
            if at_end {
                break;
            }
        }
        Ok(Self { bytes, ends })
    }

    /// Its lines, each understood on whichever core is free; `before` are the lines before the first.
    fn understand(&self, before: u64, chain: Chain) -> Vec<Line> {
        let line = |(index, &end): (usize, &usize)| {
            let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            Line::new(&self.bytes[begin..end], before + index as u64 + 1, chain)
        };
        self.ends.par_iter().enumerate().map(line).collect()
    }
}
