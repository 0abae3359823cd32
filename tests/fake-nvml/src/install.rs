//! Puts a copy of the fake library, with its script, where a test wants it.

use std::io;
use std::path::{Path, PathBuf};

use crate::script::Script;

/// Name under which the dynamic loader looks for NVML.
pub const LIBRARY: &str = "libnvidia-ml.so.1";

/// Copies the library into `folder` as [`LIBRARY`], without the functions in `missing`, writes the
/// script beside it and returns the library's path.
///
/// # Errors
///
/// When the library was not built, a missing function is none of its exports, or a file cannot be
/// written.
pub fn install(folder: &Path, script: &Script, missing: &[&str]) -> io::Result<PathBuf> {
    let mut library = std::fs::read(built()?)?;
    for symbol in missing {
        remove(&mut library, symbol)?;
    }
    let path = folder.join(LIBRARY);
    std::fs::write(&path, library)?;
    write_script(&path, script)?;
    Ok(path)
}

fn write_script(library: &Path, script: &Script) -> io::Result<()> {
    let mut path = library.as_os_str().to_owned();
    path.push(".json");
    std::fs::write(path, serde_json::to_vec(script)?)
}

/// Where cargo put the library: beside the test executable, or in `deps` below that of a binary.
fn built() -> io::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let folder = executable.parent().unwrap_or(Path::new("."));
    [folder.to_path_buf(), folder.join("deps")]
        .into_iter()
        .map(|folder| folder.join("libfake_nvml.so"))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let place = folder.display();
            io::Error::other(format!(
                "libfake_nvml.so is not in {place}; run cargo test once"
            ))
        })
}

/// Renames a symbol in the string tables, so that looking it up finds nothing.
fn remove(library: &mut [u8], symbol: &str) -> io::Result<()> {
    let mut needle = vec![0];
    needle.extend_from_slice(symbol.as_bytes());
    needle.push(0);
    let places: Vec<usize> = library
        .windows(needle.len())
        .enumerate()
        .filter(|(_, window)| *window == needle)
        .map(|(at, _)| at + 1)
        .collect();
    if places.is_empty() {
        return Err(io::Error::other(format!(
            "{symbol} is no export of the fake library"
        )));
    }
    for at in places {
        library[at] = b'x';
    }
    Ok(())
}
