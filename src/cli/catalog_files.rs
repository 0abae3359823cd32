//! Where catalog files are: the user's own, and one kept beside a scenario.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use super::exit::{CliError, Exit};
use crate::catalog::Catalog;

/// Longest price list that is read; the longest known has 4 MB.
const LONGEST_LIST: u64 = 256 << 20;
/// A catalog file that is kept beside a scenario, so that its reports do not change.
const SNAPSHOT: &str = "prices.toml";

/// The bundled catalog with the user's on top, file by file in the order of their names.
pub(super) fn catalog() -> Result<Catalog, CliError> {
    with_users(Catalog::bundled())
}

/// A catalog with the user's files on top.
pub(super) fn with_users(mut catalog: Catalog) -> Result<Catalog, CliError> {
    for path in catalog_files(&user_folder()?)? {
        catalog = overlaid(catalog, &path)?;
    }
    Ok(catalog)
}

/// Whether the user has catalog files at all.
pub(super) fn are_there() -> bool {
    user_folder()
        .and_then(|folder| catalog_files(&folder))
        .is_ok_and(|files| !files.is_empty())
}

/// The bundled catalog with the snapshot on top that is kept beside a scenario, if there is one.
pub(super) fn beside(scenario: &Path) -> Result<Catalog, CliError> {
    let snapshot = scenario.with_file_name(SNAPSHOT);
    if snapshot.is_file() {
        overlaid(Catalog::bundled(), &snapshot)
    } else {
        Ok(Catalog::bundled())
    }
}

fn overlaid(catalog: Catalog, path: &Path) -> Result<Catalog, CliError> {
    let text = String::from_utf8(read(path)?).map_err(|_| {
        CliError::new(
            Exit::Input,
            anyhow::anyhow!("{} is not UTF-8", path.display()),
        )
    })?;
    catalog
        .overlaid(&path.display().to_string(), &text)
        .map_err(|error| {
            CliError::new(Exit::Input, error)
                .hint("mend the file, or remove it and import the list again")
        })
}

/// Where the user's catalog files are.
pub(super) fn user_folder() -> Result<PathBuf, CliError> {
    let strategy = etcetera::choose_base_strategy().map_err(|error| {
        CliError::new(Exit::Storage, error).hint("set XDG_DATA_HOME or HOME to a folder")
    })?;
    Ok(strategy.data_dir().join("mtok").join("prices"))
}

/// The catalog files of a folder in the order of their names; none when it does not exist.
fn catalog_files(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CliError::storage(folder, error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| CliError::storage(folder, error))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A price list's bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let fail = |error: std::io::Error| {
        CliError::new(
            Exit::Input,
            anyhow::Error::new(error).context(path.display().to_string()),
        )
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(LONGEST_LIST + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > LONGEST_LIST {
        let message = anyhow::anyhow!(
            "{} has more than {LONGEST_LIST} bytes and is no price list",
            path.display()
        );
        return Err(CliError::new(Exit::Input, message));
    }
    Ok(bytes)
}
