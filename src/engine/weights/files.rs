//! Model files: found, read within bounds, mapped, hashed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use crate::engine::EngineError;

/// Bytes hashed at a time.
const HASH_BUFFER: usize = 1 << 20;

/// Opens a regular file; anything else (a folder, a pipe that would block) is refused.
fn open(path: &Path) -> Result<File, EngineError> {
    let failed = |error: std::io::Error| EngineError::model(path.display(), error.to_string());
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(EngineError::model(path.display(), "not a file"));
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
    Ok(bytes)
}

/// Maps a file into memory for reading.
#[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
pub(crate) fn map(path: &Path) -> Result<Mmap, EngineError> {
    let file = open(path)?;
    // SAFETY: the mapping is private and read-only and is only ever read as plain bytes. A file that
    // somebody changes meanwhile gives other numbers, and one that is truncated raises SIGBUS: weights
    // are read in the worker process, whose death is recorded as the outcome.
    unsafe { Mmap::map(&file) }
        .map_err(|error| EngineError::model(path.display(), format!("cannot be mapped: {error}")))
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
            let digest = hash.finalize();
            return Ok(hex(&digest));
        }
        hash.update(&buffer[..count]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
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
