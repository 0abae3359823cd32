//! `mtok plan`: what would run, what would not and why, how long and for how much.

use std::path::PathBuf;

use etcetera::BaseStrategy as _;

use super::args::{RunArgs, StudyArgs, target};
use super::exit::{CliError, Exit};
use super::hub::{self, Need};
use super::plan_text::Told;
use super::{machine, output, pricing, text};
use crate::catalog::Catalog;
use crate::engine::config;
use crate::engine::gguf::GgufFile;
use crate::engine::gguf::importance::Importance;
use crate::engine::text::Texts;
use crate::engine::text::passages::Passages;
use crate::engine::weights;
use crate::engine::worker::Kept;
use crate::record::observation::Model;
use crate::record::prompts::PromptFacts;
use crate::study::check::StudyError;
use crate::study::file::StudyFile;
use crate::study::model::{DeviceChoice, EngineKind, ModelSource};
use crate::study::plan::weights::{self as tensors, TensorMemory};
use crate::study::plan::{Plan, Subject};
use crate::study::spec::{Study, Target};
use crate::units::Seconds;

/// A study with its model, before any device is touched.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The study as written.
    pub(super) written: StudyFile,
    /// The study as effective.
    pub(super) study: Study,
    /// The model as found.
    pub(super) model: Model,
    /// Where quantized files are kept.
    pub(super) kept: Option<Kept>,
    /// What an engine opens.
    pub(super) files: ModelSource,
    /// Bytes of the weights where a file fixes them.
    file_bytes: Option<u64>,
    /// The tensors of that file.
    file_tensors: Vec<TensorMemory>,
    /// What prompts are cut from, unless they are random ids.
    texts: Option<Texts>,
}

impl Prepared {
    /// What the record says of the prompts.
    pub(super) fn prompts(&self) -> PromptFacts {
        let texts = self.texts.as_ref();
        texts.map_or(PromptFacts::RandomIds, |texts| texts.facts.clone())
    }

    /// What prompts are cut from, unless they are random ids.
    pub(super) fn passages(&self) -> Option<Passages> {
        self.texts.as_ref().map(|texts| texts.passages.clone())
    }

    /// What a plan has to know of the model.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            shape: &self.model.shape,
            native: self.model.native,
            file_bytes: self.file_bytes,
            file_tensors: &self.file_tensors,
        }
    }
}

/// A study before anything is known of its model.
#[derive(Debug)]
pub(super) struct Asked {
    written: StudyFile,
    target: Target,
    kept: Option<PathBuf>,
    /// After how long a process that reads a tokenizer or texts is given up.
    patience: Seconds,
    /// The study as far as it does not depend on the model's files.
    pub(super) study: Study,
}

/// Reads the study. What makes no sense is found here, before a model is fetched for it.
pub(super) fn ask(args: &RunArgs) -> Result<Asked, CliError> {
    ask_written(&args.study, args.written()?)
}

/// The same for a study that was read already.
pub(super) fn ask_written(args: &StudyArgs, written: StudyFile) -> Result<Asked, CliError> {
    let target = target(written.model.device);
    let study = written.clone().resolved(target);
    Ok(Asked {
        study: study.map_err(|error| args.locate(error.into()))?,
        written,
        target,
        kept: args.keep_quantized.then(kept_folder).transpose()?,
        patience: Seconds::new(args.no_progress_timeout),
    })
}

impl Asked {
    /// Looks at the model's files, fetching what is needed of one on the Hub.
    pub(super) fn prepare(self, need: Need) -> Result<Prepared, CliError> {
        let located = hub::locate(&self.study.source, need)?;
        let study = resolve(&self.written, &located.files, self.target)?;
        // First, because a model's files are hashed and that takes its time.
        let texts = text::read(&located.files, &study, self.patience)?;
        let mut model = located.inspect()?;
        let kept = self.kept.map(|folder| Kept {
            folder,
            files: model.files.clone(),
        });
        if study.engine == EngineKind::Decoder {
            config::only_ours(model.family)?;
        }
        if let Some(path) = &self.study.imatrix {
            Importance::read(path)?;
            let digest = weights::files::sha256(path)?;
            let name = format!("imatrix {}", path.display());
            model.files.insert(name, digest);
        }
        Ok(Prepared {
            study,
            texts,
            kept,
            file_bytes: file_bytes(&located.files),
            file_tensors: file_tensors(&located.files, &model)?,
            model,
            files: located.files.clone(),
            written: self.written,
        })
    }
}

/// The study as it is for the files that the model turned out to be; it keeps the name of the model.
fn resolve(written: &StudyFile, files: &ModelSource, target: Target) -> Result<Study, StudyError> {
    let mut found = written.clone();
    found.model.source = Some(files.clone());
    let mut study = found.resolved(target)?;
    study.source = written.model.source.clone().unwrap_or(ModelSource::Tiny);
    Ok(study)
}

/// Where quantized files are kept for the next run: in the user's cache.
fn kept_folder() -> Result<PathBuf, CliError> {
    let strategy = etcetera::choose_base_strategy().map_err(|error| {
        CliError::new(Exit::Storage, error).hint("set XDG_CACHE_HOME or HOME to a folder")
    })?;
    Ok(strategy.cache_dir().join("mtok").join("quantized"))
}

/// Bytes of the weights where the file fixes them.
fn file_bytes(source: &ModelSource) -> Option<u64> {
    match source {
        ModelSource::Gguf(path) => std::fs::metadata(path).ok().map(|file| file.len()),
        ModelSource::Tiny | ModelSource::Card(_) | ModelSource::Dir(_) | ModelSource::Hub(_) => {
            None
        }
    }
}

/// The tensors of the file that fixes the weights.
fn file_tensors(source: &ModelSource, model: &Model) -> Result<Vec<TensorMemory>, CliError> {
    match source {
        ModelSource::Gguf(path) => {
            let file = GgufFile::open(path)?;
            let tensors = file
                .tensors()
                .map(|(name, held, bytes)| tensors::in_file(name, &model.shape, (held, bytes)));
            Ok(tensors.collect())
        }
        ModelSource::Tiny | ModelSource::Card(_) | ModelSource::Dir(_) | ModelSource::Hub(_) => {
            Ok(Vec::new())
        }
    }
}

/// Prints the plan.
pub(super) fn run(args: &RunArgs) -> Result<Exit, CliError> {
    let catalog = Catalog::bundled();
    let prepared = prepare_for_plan(args)?;
    let (machine, priced) = machine::planned(&prepared.study, &catalog)?;
    let plan = Plan::new(&prepared.study, prepared.subject(), machine);
    let told = Told::new(&prepared.model.name, (&plan, machine), &priced)
        .noting(&prepared.study, &args.study);
    if args.study.json {
        output::json(&told)?;
    } else {
        output::data(&told.text())?;
    }
    Ok(Exit::Success)
}

/// A plan for a card that is not there takes a card's defaults.
fn prepare_for_plan(args: &RunArgs) -> Result<Prepared, CliError> {
    let asked = ask(args)?;
    pricing::look_up(&asked.study.price, None, &Catalog::bundled())?;
    let mut prepared = asked.prepare(Need::Outline)?;
    let anywhere = matches!(
        prepared.written.model.device,
        None | Some(DeviceChoice::Auto)
    );
    if prepared.study.price.gpu.is_some() && anywhere {
        prepared.study = resolve(&prepared.written, &prepared.files, Target::Cuda)?;
    }
    Ok(prepared)
}
