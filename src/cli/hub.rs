//! Where the files of a model are: for one on the Hub, after they were fetched.

use std::path::{Path, PathBuf};

use super::download::Download;
use super::exit::{CliError, Exit};
use super::output;
use crate::engine::hub::{Fetched, Hub, HubError, Settings};
use crate::engine::weights::{self, Reading};
use crate::record::observation::Model;
use crate::study::hub::HubSource;
use crate::study::model::ModelSource;

/// What of a model has to be on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Every file that is loaded.
    Files,
    /// What tells its shape.
    Outline,
}

/// A model whose files are here.
#[derive(Debug)]
pub(super) struct Located {
    /// What an engine opens.
    pub(super) files: ModelSource,
    /// Where it came from, if from the Hub.
    fetched: Option<Fetched>,
    /// Keeps the files that go away with it.
    _scratch: Option<Scratch>,
    need: Need,
}

/// Finds the files of a model, on the Hub if that is where it is.
pub(super) fn locate(asked: &ModelSource, need: Need) -> Result<Located, CliError> {
    let here = |files: &ModelSource| Located {
        files: files.clone(),
        fetched: None,
        _scratch: None,
        need,
    };
    let source = match asked {
        ModelSource::Hub(source) => source,
        ModelSource::Tiny | ModelSource::Dir(_) | ModelSource::Gguf(_) | ModelSource::Card(_) => {
            return Ok(here(asked));
        }
    };
    let (fetched, scratch) = fetch(source, need)?;
    Ok(Located {
        fetched: Some(fetched.clone()),
        _scratch: scratch,
        ..here(&fetched.files)
    })
}

fn fetch(source: &HubSource, need: Need) -> Result<(Fetched, Option<Scratch>), CliError> {
    let hub = Hub::new(settings()?);
    output::say(&format!("looking for {source} on the Hub"));
    let mut download = Download::new();
    let mut notify = |event: crate::engine::hub::Event<'_>| download.show(&event);
    match need {
        Need::Files => Ok((hub.fetch(source, &mut notify)?, None)),
        Need::Outline => {
            let scratch = Scratch::new()?;
            let fetched = hub.outline(source, &scratch.0, &mut notify)?;
            Ok((fetched, Some(scratch)))
        }
    }
}

/// The settings that the environment holds.
pub(super) fn settings() -> Result<Settings, HubError> {
    Settings::from_variables(&|name| std::env::var_os(name))
}

impl Located {
    /// What the model is; files from the Hub are compared with what it lists.
    pub(super) fn inspect(&self) -> Result<Model, CliError> {
        let reading = match self.need {
            Need::Files => Reading::Whole,
            Need::Outline => Reading::Headers,
        };
        let mut model = weights::examine(&self.files, reading)?;
        let Some(fetched) = &self.fetched else {
            return Ok(model);
        };
        for (name, found) in &model.files {
            match fetched.sha256.get(name) {
                Some(listed) if listed != found => return Err(self.altered(name)),
                Some(_) | None => {}
            }
        }
        model.source = ModelSource::Hub(fetched.pinned.clone());
        model.name = match fetched.pinned.gguf() {
            Some(path) => path.rsplit('/').next().unwrap_or(path).to_owned(),
            None => fetched.pinned.name().to_owned(),
        };
        Ok(model)
    }

    /// A file of the cache that somebody changed or that the disk lost parts of.
    fn altered(&self, name: &str) -> CliError {
        let path = match &self.files {
            ModelSource::Dir(folder) => folder.join(name),
            ModelSource::Gguf(path) => path.clone(),
            ModelSource::Tiny | ModelSource::Card(_) | ModelSource::Hub(_) => PathBuf::from(name),
        };
        let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let what = anyhow::anyhow!(
            "{}: its content is not what the Hub lists by SHA-256",
            path.display()
        );
        CliError::new(Exit::Model, what).hint(format!("delete {} and run again", real.display()))
    }
}

impl From<HubError> for CliError {
    fn from(error: HubError) -> Self {
        let exit = match &error {
            HubError::Setting { .. } => Exit::Input,
            HubError::Unreachable { .. } | HubError::Status { .. } | HubError::Hostile { .. } => {
                Exit::Device
            }
            HubError::NotFound { .. }
            | HubError::Unauthorized { .. }
            | HubError::Gated { .. }
            | HubError::Corrupt { .. }
            | HubError::Offline { .. }
            | HubError::Choice { .. }
            | HubError::Model(_) => Exit::Model,
            HubError::Storage { .. } | HubError::NoSpace { .. } => Exit::Storage,
        };
        let hint = error.hint();
        let error = Self::new(exit, error);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// A folder for this process alone, removed when it is dropped.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, CliError> {
        let root = std::env::temp_dir();
        let name = |n: u32| root.join(format!("mtok-{}-{n}", std::process::id()));
        let mut last = None;
        for path in (0..100).map(name) {
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or_else(|| std::io::ErrorKind::AlreadyExists.into());
        Err(CliError::storage(&root, error))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        let _ = std::fs::remove_dir_all(path);
    }
}
