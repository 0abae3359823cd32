//! `mtok quality`, and the same as a part of `mtok run`: what each precision loses.

use std::path::PathBuf;

use super::args::QualityArgs;
use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::hub::{self, Need};
use super::opening;
use super::plan::{Prepared, ask_written};
use super::progress::Progress;
use super::signals::Interrupts;
use super::{host, output, pricing, reports, run};
use crate::catalog::Catalog;
use crate::clock::{Clock as _, Monotonic};
use crate::engine::tiny;
use crate::engine::worker::{Holding, Launcher as _, Order, Processes, TextOrder, WorkerError};
use crate::quality::{self, Ended, Job, Meeting, Named, Outlets, QualityError};
use crate::record::machine::Device;
use crate::record::observation::{End, EndStatus, Moment, Record};
use crate::record::store::{self, StoreError, Writer, check_resume};
use crate::report::{json, terminal};
use crate::study::check::StudyError;
use crate::study::model::{ModelSource, Precision};
use crate::study::quality::{Quality, ReferenceChoice};
use crate::units::Seconds;

pub(super) use crate::quality::Room;

/// Name of the file that holds the reference's distributions for a while.
const DISTRIBUTIONS: &str = "reference.distributions";

/// Judges, writes the reports, and prints what was found.
pub(super) fn run(args: &QualityArgs) -> Result<Exit, CliError> {
    let asked = ask_written(
        args.written()?,
        Seconds::new(args.study.no_progress_timeout),
    )
    .map_err(|error| args.study.locate(error))?;
    pricing::look_up(&asked.study.price, None, &Catalog::bundled())?;
    let folder = opening::folder(&args.study, &asked.study.source)?;
    opening::make_sure_of_room(&folder, args.study.resume)?;
    let mut prepared = asked.prepare(Need::Files)?;
    // Nothing is timed, so no point is planned.
    prepared.study.sweep.batch.clear();
    let text = read(&prepared)?;
    let interrupts = Interrupts::listen()?;
    let (mut writer, before) = opening::open(&folder, args.study.resume)?;
    opening::write_study(&folder, &prepared)?;

    let progress = Progress::new();
    let mut processes = opening::processes(&args.study, &interrupts);
    let target = run::target(&prepared);
    let seed = prepared.study.measure.seed;
    let first = prepared.study.sweep.variants()[0];
    let device = processes.launch()?.identify(&target.order(first, seed))?;
    let session = opening::session(&prepared)?;
    if let (Some(session_before), Some(device_before)) = reports::identity(&before) {
        check_resume((session_before, device_before), (&session, &device))
            .map_err(|difference| CliError::new(Exit::Input, difference))?;
    }
    writer.append_all(&[
        Record::Session(Box::new(session)),
        Record::Device(Box::new(device.clone())),
    ])?;
    let passes = if args.two_passes {
        Passes::Two
    } else {
        Passes::AsFits
    };
    let around = Around {
        folder: &folder,
        before: &before,
        processes: &mut processes,
        writer: &mut writer,
        interrupts: &interrupts,
        progress: &progress,
    };
    let ended = judge((&prepared, text.as_ref()), room(&device, passes), around)?;
    progress.finish();
    seal(&mut writer, ended.status)?;
    drop(writer);
    conclude(args, &folder)?;
    Ok(match ended.status {
        EndStatus::Interrupted => interrupts.exit(),
        EndStatus::Complete if ended.unscored > 0 => Exit::Partial,
        EndStatus::Complete => Exit::Success,
    })
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
    let clock = Monotonic;
    let at = Moment {
        monotonic_ns: clock.now(),
        realtime_ns: clock.realtime(),
    };
    Ok(writer.append(&Record::End(End {
        status,
        at,
        after: None,
    }))?)
}

/// Reads the facts back from the disk and says what they mean.
fn conclude(args: &QualityArgs, folder: &StudyFolder) -> Result<(), CliError> {
    let records = store::read(&folder.record())?;
    reports::write(folder, &records)?;
    let document = reports::conclude(&records, Some(host::today()))?;
    if args.study.json {
        return output::data(&json::render(&document));
    }
    output::data(&terminal::render(&document))?;
    let report = folder.generated("report.md");
    output::data(&format!("\nreport: {}\n", report.display()))
}

/// A text as it lies on the disk.
pub(super) struct TextFile {
    name: String,
    text: String,
}

/// Reads the text of a study that asks for quality, before any model is loaded.
pub(super) fn read(prepared: &Prepared) -> Result<Option<TextFile>, CliError> {
    let Some(asked) = &prepared.study.quality else {
        return Ok(None);
    };
    check(prepared, asked)?;
    let Some(path) = &asked.text else {
        return Ok(Some(TextFile {
            name: "bundled".to_owned(),
            text: tiny::HELD_OUT.to_owned(),
        }));
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
    Ok(Some(TextFile {
        name: name.to_string_lossy().into_owned(),
        text,
    }))
}

/// Refuses what cannot be judged.
fn check(prepared: &Prepared, asked: &Quality) -> Result<(), CliError> {
    let context = prepared.model.shape.context;
    if asked.context > context {
        return Err(StudyError::OutOfRange {
            key: "quality.context",
            value: asked.context.to_string(),
            range: "within the context of the model",
        }
        .into());
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
    (prepared, text): (&Prepared, Option<&TextFile>),
    room: Room,
    around: Around<'_>,
) -> Result<Ended, CliError> {
    let nothing = Ended {
        status: EndStatus::Complete,
        unscored: 0,
    };
    let (Some(asked), Some(text)) = (&prepared.study.quality, text) else {
        return Ok(nothing);
    };
    let model = run::target(prepared).order(Precision::Native.into(), prepared.study.measure.seed);
    let reference = reference(&model, &asked.reference)?;
    let tokenized = around.processes.launch()?.tokenize(&TextOrder {
        model: model.clone(),
        tokenizer: asked.tokenizer.clone(),
        text: text.text.clone(),
    })?;
    let sha256 = host::sha256(text.text.as_bytes());
    let named = Named {
        name: &text.name,
        sha256: &sha256,
        bytes: text.text.len() as u64,
    };
    let (cut, ids) =
        quality::cut(named, tokenized, asked).map_err(|error| CliError::new(Exit::Input, error))?;
    let file = Distributions(around.folder.generated(DISTRIBUTIONS));
    file.remove();
    let job = Job {
        model: &model,
        variants: &prepared.study.sweep.variants(),
        reference: &reference,
        text: &cut,
        ids: &ids,
        meeting: Meeting {
            room,
            file: &file.0,
        },
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

/// What to load as the reference of a model.
fn reference(model: &Order, choice: &ReferenceChoice) -> Result<Order, CliError> {
    Ok(match choice {
        ReferenceChoice::Precision(precision) => Order {
            precision: *precision,
            holding: Holding {
                // What it costs or saves is told against the model without it.
                imatrix: None,
                kept: model.holding.kept.clone(),
            },
            ..model.clone()
        },
        ReferenceChoice::Source(source) => Order {
            source: hub::locate(source, Need::Files)?.files,
            precision: Precision::Native,
            holding: Holding::default(),
            ..model.clone()
        },
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
            QualityError::Sink(cause) => match cause.downcast::<StoreError>() {
                Ok(error) => (*error).into(),
                Err(cause) => Self::new(Exit::Storage, anyhow::anyhow!(cause)),
            },
            QualityError::Reference { precision, cause } => {
                let exit = Self::from(WorkerError::clone(&cause)).exit;
                Self::new(exit, QualityError::Reference { precision, cause })
            }
        }
    }
}
