//! `mtok quality`, and the same as a part of `mtok run`: what each precision loses.

use std::path::{Path, PathBuf};

use clap::Args;

use super::args::StudyArgs;
use super::device::identify;
use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::hub::{self, Need};
use super::opening::{self, Opening};
use super::plan::{Prepared, ask_written};
use super::progress::Progress;
use super::signals::Interrupts;
use super::{reports, run};
use crate::clock::Monotonic;
use crate::engine::weights::{self, Reading, files};
use crate::engine::worker::{Holding, Launcher as _, Order, Processes, TextOrder, WorkerError};
use crate::engine::{TokenId, tiny};
use crate::quality::{self, Ended, Job, Meeting, Named, Outlets, QualityError};
use crate::record::machine::Device;
use crate::record::observation::{End, EndStatus, Moment, Record};
use crate::record::scoring::Text;
use crate::record::store::Writer;
use crate::study::file::StudyFile;
use crate::study::model::{ModelSource, Precision};
use crate::study::quality::{Quality, QualitySection, ReferenceChoice};
use crate::units::Seconds;

pub(super) use crate::quality::Room;

/// Name of the file that holds the reference's distributions for a while.
const DISTRIBUTIONS: &str = "reference.distributions";

/// `mtok quality`
#[derive(Debug, Args)]
pub(super) struct QualityArgs {
    /// The model and the precisions.
    #[command(flatten)]
    study: StudyArgs,
    /// A precision of the same checkpoint (f32, bf16, native), or another file (gguf:PATH).
    #[arg(long, value_name = "REFERENCE")]
    reference: Option<ReferenceChoice>,
    /// A text file; a bundled one where absent.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// A tokenizer.json in place of the model's own.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Tokens of a window.
    #[arg(long, value_name = "N")]
    context: Option<u32>,
    /// Tokens from the start of a window to the start of the next.
    #[arg(long, value_name = "N")]
    stride: Option<u32>,
    /// Windows at most.
    #[arg(long, value_name = "N")]
    windows: Option<u32>,
    /// Mean divergence that is bearable, in nats.
    #[arg(long, value_name = "X")]
    max_kld: Option<f64>,
    /// Perplexity ratio that is bearable.
    #[arg(long, value_name = "X")]
    max_ppl_ratio: Option<f64>,
    /// Hold one model in memory at a time and the reference's distributions on disk.
    #[arg(long)]
    two_passes: bool,
}

impl QualityArgs {
    /// The study as written, with the flags laid over it.
    fn written(&self) -> Result<StudyFile, CliError> {
        let of_run = [
            ("--batch", self.study.batch.is_some()),
            ("--isl", self.study.isl.is_some()),
            ("--osl", self.study.osl.is_some()),
            ("--require-telemetry", self.study.require_telemetry),
            ("--strict", self.study.strict),
        ];
        if let Some((flag, _)) = of_run.iter().find(|(_, given)| *given) {
            let message = anyhow::anyhow!("{flag} is for mtok run; nothing is timed here");
            return Err(CliError::new(Exit::Usage, message));
        }
        let flags = StudyFile {
            quality: Some(QualitySection {
                reference: self.reference.clone(),
                text: self.text.clone(),
                tokenizer: self.tokenizer.clone(),
                context: self.context,
                stride: self.stride,
                windows: self.windows,
                max_kld: self.max_kld,
                max_ppl_ratio: self.max_ppl_ratio,
            }),
            ..StudyFile::default()
        };
        Ok(self.study.written()?.overlaid(flags))
    }
}

/// Judges, writes the reports, and prints what was found.
pub(super) fn run(args: &QualityArgs) -> Result<Exit, CliError> {
    opening::make_sure_of_lock(&args.study)?;
    let asked = ask_written(&args.study, args.written()?)?;
    let mut opening = Opening::of(&args.study, asked)?;
    // Nothing is timed, so no point is planned.
    opening.prepared.study.sweep.batch.clear();
    let session = opening.session()?;
    let Opening {
        folder,
        prepared,
        held,
    } = opening;
    let interrupts = Interrupts::listen()?;
    let mut processes = opening::processes(&args.study, &interrupts);
    let judging = prepare(&prepared, &mut processes).map_err(|error| interrupts.name(error))?;
    let device = identify(&prepared, &mut processes).map_err(|error| interrupts.name(error))?;
    let (mut writer, before) = opening::open(&folder, held?)?;
    opening::write_study(&folder, &prepared)?;
    let none = std::iter::empty();
    opening::begin(&mut writer, (session, &before), &device, none)?;

    let progress = Progress::new();
    let passes = if args.two_passes {
        Passes::Two
    } else {
        Passes::AsFits
    };
    let around = Around {
        folder: &folder,
        budget: budget(&args.study),
        before: &before,
        processes: &mut processes,
        writer: &mut writer,
        interrupts: &interrupts,
        progress: &progress,
    };
    let ended = judge((&prepared, judging.as_ref()), room(&device, passes), around)?;
    progress.finish();
    seal(&mut writer, ended.status)?;
    drop(writer);
    reports::tell(&folder, &args.study)?;
    Ok(match ended.status {
        EndStatus::Interrupted => interrupts.exit(),
        EndStatus::Complete if ended.unscored > 0 => Exit::Partial,
        EndStatus::Complete => Exit::Success,
    })
}

/// The time that `--max-minutes` gives.
pub(super) fn budget(args: &StudyArgs) -> Option<Seconds> {
    args.max_minutes.map(|minutes| Seconds::new(minutes * 60.0))
}

/// Whether both models may be in memory at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passes {
    /// Where they fit.
    AsFits,
    /// Never.
    Two,
}

/// The room for models on a device.
pub(super) fn room(device: &Device, passes: Passes) -> Room {
    match passes {
        Passes::AsFits => Room::Bytes(device.memory_bytes),
        Passes::Two => Room::OneModel,
    }
}

/// Ends the session on its own terms.
pub(super) fn seal(writer: &mut Writer, status: EndStatus) -> Result<(), CliError> {
    Ok(writer.append(&Record::End(End {
        status,
        at: Moment::now(&Monotonic),
        after: None,
        lost: None,
        workers_lost: Vec::new(),
    }))?)
}

/// What is judged against what, on which tokens.
pub(super) struct Judging {
    model: Order,
    reference: Order,
    text: Text,
    ids: Vec<TokenId>,
}

/// Reads the text of a study that asks for quality and looks at its reference, before anything is recorded
/// or loaded.
pub(super) fn prepare(
    prepared: &Prepared,
    processes: &mut Processes,
) -> Result<Option<Judging>, CliError> {
    let Some(asked) = &prepared.study.quality else {
        return Ok(None);
    };
    check(prepared, asked)?;
    let model = run::target(prepared).order(Precision::Native.into(), prepared.study.measure.seed);
    let reference = reference((&model, prepared.model.shape.vocab), &asked.reference)?;
    let (name, text) = read(asked.text.as_deref())?;
    let tokenized = processes.launch()?.tokenize(&TextOrder {
        model: model.clone(),
        tokenizer: asked.tokenizer.clone(),
        text: text.clone(),
    })?;
    let named = Named {
        name: &name,
        sha256: &files::sha256_of(text.as_bytes()),
        bytes: text.len() as u64,
    };
    let (text, ids) = quality::cut(named, tokenized, asked).map_err(|error| {
        let error = anyhow::Error::new(error).context(name.clone());
        CliError::new(Exit::Input, error)
    })?;
    Ok(Some(Judging {
        model,
        reference,
        text,
        ids,
    }))
}

/// A text and its name: of a file, or the bundled one.
fn read(path: Option<&Path>) -> Result<(String, String), CliError> {
    let Some(path) = path else {
        return Ok(("bundled".to_owned(), tiny::HELD_OUT.to_owned()));
    };
    let refuse = |error: std::io::Error| {
        let error = anyhow::Error::new(error).context(path.display().to_string());
        CliError::new(Exit::Input, error)
    };
    let bytes = std::fs::read(path).map_err(refuse)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let message = anyhow::anyhow!("{}: not UTF-8: {error}", path.display());
        CliError::new(Exit::Input, message)
    })?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok((name.to_string_lossy().into_owned(), text))
}

/// Refuses what cannot be judged.
fn check(prepared: &Prepared, asked: &Quality) -> Result<(), CliError> {
    let context = prepared.model.shape.context;
    if asked.context > context {
        let message = anyhow::anyhow!(
            "quality.context = {} is beyond the model's context of {context}",
            asked.context
        );
        return Err(CliError::new(Exit::Input, message));
    }
    if matches!(prepared.files, ModelSource::Gguf(_))
        && matches!(asked.reference, ReferenceChoice::Precision(_))
    {
        let message = anyhow::anyhow!(
            "a gguf: source has one precision; quality.reference has to be another file of the same checkpoint"
        );
        return Err(CliError::new(Exit::Input, message).hint("--reference gguf:PATH"));
    }
    Ok(())
}

/// What judging takes besides the study.
pub(super) struct Around<'a> {
    /// The study's folder.
    pub(super) folder: &'a StudyFolder,
    /// Time after which no other variant is begun.
    pub(super) budget: Option<Seconds>,
    /// What an interrupted run has recorded already.
    pub(super) before: &'a [Record],
    /// Starts workers.
    pub(super) processes: &'a mut Processes,
    /// Where records go.
    pub(super) writer: &'a mut Writer,
    /// Signals.
    pub(super) interrupts: &'a Interrupts,
    /// What is shown meanwhile.
    pub(super) progress: &'a Progress,
}

/// Judges every precision of a study that asks for it.
pub(super) fn judge(
    (prepared, judging): (&Prepared, Option<&Judging>),
    room: Room,
    around: Around<'_>,
) -> Result<Ended, CliError> {
    let Some(judging) = judging else {
        return Ok(Ended {
            status: EndStatus::Complete,
            unscored: 0,
        });
    };
    let file = Distributions(around.folder.generated(DISTRIBUTIONS));
    file.remove();
    let job = Job {
        model: &judging.model,
        variants: &prepared.study.sweep.variants(),
        reference: &judging.reference,
        text: &judging.text,
        ids: &judging.ids,
        meeting: Meeting {
            room,
            file: &file.0,
        },
        budget: around.budget,
        before: around.before,
    };
    let (writer, progress) = (around.writer, around.progress);
    let outlets = Outlets {
        sink: &mut |records| writer.append_all(records).map_err(Into::into),
        observer: &mut |event| progress.judged(&event),
        interrupt: &around.interrupts.count,
        clock: &Monotonic,
    };
    quality::run(&job, around.processes, outlets).map_err(Into::into)
}

/// What to load as the reference of a model with a vocabulary of so many tokens.
fn reference((model, vocab): (&Order, u32), choice: &ReferenceChoice) -> Result<Order, CliError> {
    let source = match choice {
        ReferenceChoice::Precision(precision) => {
            return Ok(Order {
                precision: *precision,
                holding: Holding {
                    // What it costs or saves is told against the model without it.
                    imatrix: None,
                    kept: model.holding.kept.clone(),
                },
                ..model.clone()
            });
        }
        ReferenceChoice::Source(source) => source,
    };
    let files = hub::locate(source, Need::Files)?.files;
    let own = weights::examine(&files, Reading::Headers)?.shape.vocab;
    if own != vocab {
        let message = anyhow::anyhow!(
            "the reference {source} has a vocabulary of {own} tokens, the model of {vocab}"
        );
        return Err(CliError::new(Exit::Input, message)
            .hint("the reference has to be a file of the same checkpoint"));
    }
    Ok(Order {
        source: files,
        precision: Precision::Native,
        holding: Holding::default(),
        ..model.clone()
    })
}

/// The file of the reference's distributions, which goes with the judging.
struct Distributions(PathBuf);

impl Distributions {
    fn remove(&self) {
        // It is there only when two passes are made, or after a crash in the middle of them.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for Distributions {
    fn drop(&mut self) {
        self.remove();
    }
}

impl From<QualityError> for CliError {
    fn from(error: QualityError) -> Self {
        match error {
            QualityError::Sink(cause) => Self::of_sink(cause),
            QualityError::Reference { precision, cause } => {
                let exit = Self::from(WorkerError::clone(&cause)).exit;
                Self::new(exit, QualityError::Reference { precision, cause })
            }
        }
    }
}
