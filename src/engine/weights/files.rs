//! Model files: found, read within bounds, mapped, hashed.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::{Deref, Range};
use std::path::Path;

use memmap2::{Mmap, UncheckedAdvice};
use sha2::{Digest, Sha256};

use crate::engine::EngineError;

/// What git keeps in place of a large file until git-lfs fetches it.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Bytes hashed at a time.
const HASH_BUFFER: usize = 1 << 20;

/// Opens a regular file; anything else (a folder, a pipe that would block) is refused.
fn open(path: &Path) -> Result<File, EngineError> {
    let failed = |error: std::io::Error| {
        let reason = match error.kind() {
            ErrorKind::NotFound => format!("{error}; check the path"),
            _ => error.to_string(),
        };
        EngineError::model(path.display(), reason)
    };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(EngineError::model(
            path.display(),
            "not a file; check the path",
        ));
    }
    File::open(path).map_err(failed)
}

/// The bytes of a small file, refused when it is larger than `limit`.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, EngineError> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| EngineError::model(path.display(), error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(EngineError::model(
            path.display(),
            format!("larger than the {limit} bytes that such a file may have"),
        ));
    }
    refuse_pointer(path, &bytes)?;
    Ok(bytes)
}

/// Refuses the pointer that a repository cloned without git-lfs has in place of a file.
fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    if bytes.starts_with(POINTER) {
        let reason = "a Git LFS pointer in place of the file; fetch it with git lfs pull";
        return Err(EngineError::model(path.display(), reason));
    }
    Ok(())
}

/// A file in memory for reading.
pub(crate) enum Mapping {
    /// Mapped from the file system.
    Mapped(Mmap),
    /// A part of the executable.
    Embedded(&'static [u8]),
}

impl Mapping {
    /// Maps a file.
    #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
    pub(crate) fn open(path: &Path) -> Result<Self, EngineError> {
        let file = open(path)?;
        // SAFETY: the mapping is read-only and is only ever read as plain bytes. A file that somebody
        // changes meanwhile gives other numbers, and one that is truncated raises SIGBUS: weights are
        // read in the worker process, whose death is recorded as the outcome.
        let mapped = unsafe { Mmap::map(&file) };
        let mapped = mapped.map_err(|error| {
            EngineError::model(path.display(), format!("cannot be mapped: {error}"))
        })?;
        refuse_pointer(path, &mapped)?;
        Ok(Self::Mapped(mapped))
    }

    /// Takes pages that have been read out of resident memory; reading them again brings them back.
    ///
    /// Without it a checkpoint would count twice at the end of loading: as file and as weights.
    #[expect(
        unsafe_code,
        reason = "the advice is unsafe for mappings that can be written to"
    )]
    pub(crate) fn release(&self, range: Range<usize>) {
        let Self::Mapped(mapped) = self else {
            return;
        };
        // SAFETY: the mapping is shared with the file and read-only, so that dropped pages hold nothing
        // that the file does not.
        let advised = unsafe {
            mapped.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len())
        };
        // Advice that is not taken costs memory, not correctness.
        drop(advised);
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Embedded(bytes) => bytes,
        }
    }
}

/// SHA-256 of a file in lower-case hexadecimal, in constant memory.
pub(crate) fn sha256(path: &Path) -> Result<String, EngineError> {
    let failed = |error: std::io::Error| EngineError::model(path.display(), error.to_string());
    let mut file = open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; HASH_BUFFER];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

/// SHA-256 of bytes in lower-case hexadecimal.
pub(crate) fn sha256_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(
            sha256(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn released_pages_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..20_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mapping = Mapping::open(&path).unwrap();
        assert_eq!(*mapping, *bytes);
        mapping.release(100..9000);
        mapping.release(0..bytes.len());
        assert_eq!(*mapping, *bytes);
    }

    #[test]
    fn a_large_file_a_folder_and_nothing_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        let refusals = [
            (read(&path, 4), "larger than the 4 bytes"),
            (read(folder.path(), 4), "not a file"),
            (read(&folder.path().join("none"), 4), "No such file"),
        ];
        for (outcome, reason) in refusals {
            let message = outcome.unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        }
    }
}
