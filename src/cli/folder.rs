//! The folder of a study: where its files are.

use std::path::{Path, PathBuf};

use super::exit::CliError;
use crate::study::model::ModelSource;

/// The folder of a study.
#[derive(Debug, Clone)]
pub(super) struct StudyFolder {
    root: PathBuf,
}

impl StudyFolder {
    /// The folder at `root`, which need not exist.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder where nothing was asked for: `<model>-<date>` under `runs`, numbered from the second run
    /// of a day on.
    pub(super) fn next_in(runs: &Path, source: &ModelSource, date: jiff::civil::Date) -> Self {
        let mut free = Self::of_a_day(runs, source, date).filter(|folder| !folder.is_begun());
        free.next().expect("there are more numbers than folders")
    }

    /// The last run of a day under `runs`.
    pub(super) fn last_in(
        runs: &Path,
        source: &ModelSource,
        date: jiff::civil::Date,
    ) -> Option<Self> {
        Self::of_a_day(runs, source, date)
            .take_while(Self::is_begun)
            .last()
    }

    fn of_a_day(
        runs: &Path,
        source: &ModelSource,
        date: jiff::civil::Date,
    ) -> impl Iterator<Item = Self> {
        let name = format!("{}-{date}", slug(source));
        let first = runs.join(&name);
        let numbered = (2_u64..).map({
            let runs = runs.to_owned();
            move |n| runs.join(format!("{name}-{n}"))
        });
        std::iter::once(first).chain(numbered).map(Self::new)
    }

    fn is_begun(&self) -> bool {
        self.record().exists()
    }

    /// Creates the folder and its parents.
    pub(super) fn create(&self) -> Result<(), CliError> {
        std::fs::create_dir_all(&self.root).map_err(|error| CliError::storage(&self.root, error))
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What was asked.
    pub(super) fn study(&self) -> PathBuf {
        self.root.join("study.toml")
    }

    /// What was seen.
    pub(super) fn record(&self) -> PathBuf {
        self.root.join("run.jsonl")
    }

    /// A generated file.
    pub(super) fn generated(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// A source as part of a file name.
fn slug(source: &ModelSource) -> String {
    let name = match source {
        ModelSource::Tiny => "tiny".to_owned(),
        ModelSource::Card(name) => name.clone(),
        ModelSource::Hub(source) => source.name().to_owned(),
        ModelSource::Dir(path) | ModelSource::Gguf(path) => path
            .file_stem()
            .map_or_else(|| "model".to_owned(), |s| s.to_string_lossy().into_owned()),
    };
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
            c
        } else {
            '-'
        }
    };
    name.chars().map(safe).collect()
}

/// Replaces a file as a whole: a reader sees the old text or the new one, and a full disk leaves the
/// old one in place.
pub(super) fn write_whole(path: &Path, text: &str) -> Result<(), CliError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let written = replace(path, &fresh, text);
    if written.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    written.map_err(|error| CliError::storage(path, error))
}

/// Refuses to write over what is there: nothing that took an hour, or a model, is lost by a slip.
pub(super) fn make_sure_is_new(path: &Path) -> Result<(), CliError> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let error = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
    Err(CliError::storage(path, error).hint("remove it, or name another file"))
}

/// Refuses to write over reports that this program has not written: its own lie beside what they follow
/// from, which the caller looks for.
pub(super) fn make_sure_are_new(folder: &StudyFolder, reports: &[&str]) -> Result<(), CliError> {
    for name in reports {
        make_sure_is_new(&folder.generated(name)).map_err(|refused| {
            refused.hint("it is not of mtok: move it away, or choose another --out")
        })?;
    }
    Ok(())
}

fn replace(path: &Path, fresh: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(fresh, path)?;
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_one_folder_per_run_and_the_last_is_gone_on_with() {
        let runs = tempfile::tempdir().unwrap();
        let date = jiff::civil::date(2026, 11, 28);
        let next = || StudyFolder::next_in(runs.path(), &ModelSource::Tiny, date);
        let last = || StudyFolder::last_in(runs.path(), &ModelSource::Tiny, date);
        assert!(last().is_none());
        for name in ["tiny-2026-11-28", "tiny-2026-11-28-2", "tiny-2026-11-28-3"] {
            let folder = next();
            assert_eq!(folder.root(), runs.path().join(name));
            folder.create().unwrap();
            std::fs::write(folder.record(), "").unwrap();
            assert_eq!(last().unwrap().root(), folder.root());
        }
    }

    #[test]
    fn a_source_becomes_a_plain_folder_name() {
        assert_eq!(slug(&ModelSource::Tiny), "tiny");
        assert_eq!(slug(&ModelSource::Dir("/a/My Model/".into())), "My-Model");
        assert_eq!(slug(&ModelSource::Gguf("/a/x_q4.gguf".into())), "x-q4");
    }
}
