//! Appending records so that a crash at any moment leaves a file that reads.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::StoreError;
use super::line::{self, NOTHING_BEFORE};
use super::lines::Chain;
use super::reader::Reader;
use crate::record::observation::Record;

/// The one writer of a file. The lock goes with it.
#[derive(Debug)]
pub struct Writer {
    handle: File,
    file: PathBuf,
    next: u64,
    prev: String,
    /// What was torn between the last record and the next one, if anything.
    torn_bytes: Option<u64>,
    /// Whether the file ends with a line end.
    terminated: bool,
    /// Whether a write failed: what follows it on the disk is unknown, so nothing may follow.
    failed: bool,
}

/// A file that is being gone on with, and what it holds.
#[derive(Debug)]
pub struct Resumed {
    /// Ready for the next record.
    pub writer: Writer,
    /// What is there already.
    pub records: Vec<Record>,
}

impl Writer {
    /// Starts a file. One that holds something already is refused and left as it is.
    pub fn create(file: &Path) -> Result<Self, StoreError> {
        let handle = open_locked(file)?;
        let length = handle.metadata().map_err(StoreError::io(file))?.len();
        if length > 0 {
            return Err(StoreError::Exists {
                file: file.to_owned(),
            });
        }
        Ok(Self {
            handle,
            file: file.to_owned(),
            next: 0,
            prev: NOTHING_BEFORE.to_owned(),
            torn_bytes: None,
            terminated: true,
            failed: false,
        })
    }

    /// Goes on with a file, which may end in torn lines or be empty.
    pub fn resume(file: &Path) -> Result<Resumed, StoreError> {
        let mut writer = Self {
            handle: open_locked(file)?,
            file: file.to_owned(),
            next: 0,
            prev: NOTHING_BEFORE.to_owned(),
            torn_bytes: None,
            terminated: true,
            failed: false,
        };
        let mut reader = Reader::open_with(file, Chain::Hashed)?;
        let records = reader.by_ref().map(|entry| entry.map(|entry| entry.record));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        if let Some(last) = reader.last_read() {
            writer.next = last.seq.saturating_add(1);
            writer.prev.clone_from(&last.fingerprint);
        }
        writer.torn_bytes = reader.torn_bytes();
        writer.terminated = reader.is_terminated();
        Ok(Resumed { writer, records })
    }

    /// Writes a record and waits until the disk has it.
    pub fn append(&mut self, record: &Record) -> Result<(), StoreError> {
        self.append_all(std::slice::from_ref(record))
    }

    /// Writes several records and waits once until the disk has them.
    pub fn append_all(&mut self, records: &[Record]) -> Result<(), StoreError> {
        if self.failed {
            let cause = std::io::Error::other("an earlier write failed, so nothing may follow it");
            return Err(StoreError::io(&self.file)(cause));
        }
        let result = self.write(records);
        self.failed = result.is_err();
        result.map_err(StoreError::io(&self.file))
    }

    fn write(&mut self, records: &[Record]) -> std::io::Result<()> {
        let mut text = String::new();
        for record in records {
            if !self.terminated {
                text.push('\n');
            }
            self.terminated = true;
            let line = line::render(self.next, &self.prev, self.torn_bytes.take(), record)?;
            self.next += 1;
            self.prev = line::fingerprint(line.as_bytes());
            text.push_str(&line);
            text.push('\n');
        }
        self.handle.write_all(text.as_bytes())?;
        self.handle.sync_data()
    }
}

/// Opens a file for appending, takes its lock, and makes its name durable.
///
/// A symbolic link is refused: the study folder holds its own facts.
fn open_locked(file: &Path) -> Result<File, StoreError> {
    let handle = OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(file)
        .map_err(StoreError::io(file))?;
    match handle.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::Locked {
                file: file.to_owned(),
            });
        }
        Err(TryLockError::Error(cause)) => return Err(StoreError::io(file)(cause)),
    }
    let folder = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(StoreError::io(folder))?;
    Ok(handle)
}
