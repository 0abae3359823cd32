//! `mtok run`: measure a model and price its tokens.

use std::time::Duration;

use super::args::{RunArgs, StudyArgs};
use super::device::Found;
use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::opening::{self, Opening};
use super::plan::{Prepared, ask};
use super::plan_text;
use super::progress::Progress;
use super::signals::Interrupts;
use super::watch::{Requirement, Watch, refuse};
use super::{quality, reports};
use crate::clock::{Clock as _, Monotonic};
use crate::engine::worker::{Escort as _, Holding, Prompted, Refusal, WorkerError};
use crate::measure::{self, Job, MeasureError, Outlets, Planned, Target};
use crate::metrics::verdict::Verdict;
use crate::quality::Ended;
use crate::record::observation::{EndStatus, Record, SkipCause};
use crate::record::store::Writer;
use crate::report::document::{Document, Status};
use crate::study::plan::{Plan, PlannedPoint};
use crate::units::{Nanos, Seconds};

/// How long the card is read after the last worker. The driver shows the mean of a second for a second
/// more, and what it shows of the worker has to be gone before the later half.
const IDLE_AFTER_WORK: Duration = Duration::from_secs(3);

/// Measures, writes the reports, and prints what was found.
pub(super) fn run(args: &RunArgs) -> Result<Exit, CliError> {
    opening::make_sure_of_lock(&args.study)?;
    let opening = Opening::of(&args.study, ask(args)?)?;
    let session = opening.session()?;
    let Opening {
        folder,
        prepared,
        held,
    } = opening;
    let interrupts = Interrupts::listen()?;
    let mut processes = Prompted {
        processes: opening::processes(&args.study, &interrupts),
        passages: prepared.passages(),
    };
    let judging = quality::prepare(&prepared, &mut processes.processes)
        .map_err(|error| interrupts.name(error))?;
    let progress = Progress::new();
    let gone = |error| {
        progress.finish();
        interrupts.name(error)
    };
    let found = Found::look(args, &prepared, &mut processes, &progress).map_err(gone)?;
    let held = held.map_err(gone)?;
    let traces = opening::Traces::before(&folder);
    let (mut writer, before) = opening::open(&folder, held)?;
    opening::write_study(&folder, &prepared)?;
    let examined = found.examined((&prepared, &before), &mut processes, &progress);
    let found = examined.map_err(|error| {
        traces.remove(&folder);
        gone(error)
    })?;
    let peaks = found.peaks.iter().cloned().map(Record::Peak);
    opening::begin(&mut writer, (session, &before), &found.device, peaks)?;

    let work = Work {
        prepared: &prepared,
        before: &before,
        found: &found,
        interrupts: &interrupts,
        budget: quality::budget(&args.study),
        begun: Monotonic.now(),
    };
    let outward = Outward {
        processes,
        writer,
        progress,
    };
    let ended = work.done(&args.study, (judging.as_ref(), &folder), outward)?;
    // Asked before the reports are written: what the driver does later is of no matter to the run.
    let failing = found.watch.failing();
    let document = reports::tell(&folder, &args.study)?;
    let failing = failing.or_else(|| fell_silent(&document));
    match (ended.status, requirement(args), failing) {
        (EndStatus::Interrupted, _, _) => Ok(interrupts.exit()),
        (EndStatus::Complete, Requirement::Required, Some(error)) => Err(error),
        (EndStatus::Complete, _, _) if ended.unscored > 0 => Ok(Exit::Partial),
        (EndStatus::Complete, _, _) => Ok(verdict(&document, args)),
    }
}

/// What is to be judged and measured, and on what.
struct Work<'a> {
    prepared: &'a Prepared,
    before: &'a [Record],
    found: &'a Found,
    interrupts: &'a Interrupts,
    /// The time that all of it may take.
    budget: Option<Seconds>,
    begun: Nanos,
}

/// What the work goes through: workers, the file of facts, and what is shown.
struct Outward {
    processes: Prompted,
    writer: Writer,
    progress: Progress,
}

impl Work<'_> {
    /// Judges and measures, each where the study asks for it.
    fn done(
        &self,
        args: &StudyArgs,
        (judging, folder): (Option<&quality::Judging>, &StudyFolder),
        mut outward: Outward,
    ) -> Result<Ended, CliError> {
        let judged = self.judge(judging, folder, &mut outward)?;
        let status = match judged.status {
            EndStatus::Complete => self.measure(args, outward)?,
            EndStatus::Interrupted => outward.seal(EndStatus::Interrupted)?,
        };
        Ok(Ended { status, ..judged })
    }

    /// Judges what the precisions cost in quality, where the study asks for it.
    fn judge(
        &self,
        judging: Option<&quality::Judging>,
        folder: &StudyFolder,
        outward: &mut Outward,
    ) -> Result<Ended, CliError> {
        quality::judge(
            (self.prepared, judging),
            quality::room(&self.found.device, quality::Passes::AsFits),
            quality::Around {
                folder,
                budget: self.budget,
                before: self.before,
                processes: &mut outward.processes.processes,
                writer: &mut outward.writer,
                interrupts: self.interrupts,
                progress: &outward.progress,
            },
        )
    }

    /// Measures what is missing.
    fn measure(&self, args: &StudyArgs, outward: Outward) -> Result<EndStatus, CliError> {
        let Outward {
            mut processes,
            mut writer,
            mut progress,
        } = outward;
        let watch = &self.found.watch;
        let plan = self.plan();
        progress.go_on_from(self.before);
        if self.before.is_empty()
            && let Some(note) = plan_text::out_of_time(&plan, args)
        {
            progress.line(&note);
        }
        let job = Job {
            points: &points(plan),
            target: target(self.prepared),
            measure: &self.found.measurable(&self.prepared.study.measure),
            budget: self.time_left(),
            before: self.before,
        };
        let outlets = Outlets {
            sink: &mut |record| {
                let record = with_sensors(record, watch);
                writer.append(&record).map_err(Into::into)
            },
            observer: &mut |event| progress.show(&event),
            interrupt: &self.interrupts.count,
            clock: &Monotonic,
        };
        let ended = measure::run(&job, &mut processes, outlets);
        progress.finish();
        Ok(ended?)
    }

    /// The plan for the device as it was found.
    fn plan(&self) -> Plan {
        let machine = self.found.machine(self.before);
        Plan::new(&self.prepared.study, self.prepared.subject(), machine)
    }

    /// What is left of the time asked for.
    fn time_left(&self) -> Option<Seconds> {
        let spent = Monotonic.now().since(self.begun).unwrap_or(Nanos::new(0));
        Some(Seconds::new(self.budget?.value() - spent.seconds().value()))
    }
}

/// The points of a plan, and which of them are not to be tried.
fn points(plan: Plan) -> Vec<Planned> {
    let points = plan.points.into_iter();
    points
        .map(|PlannedPoint { point, skip, .. }| Planned { point, skip })
        .collect()
}

impl Outward {
    /// Ends the session before anything was measured.
    fn seal(mut self, status: EndStatus) -> Result<EndStatus, CliError> {
        self.progress.finish();
        quality::seal(&mut self.writer, status)?;
        Ok(status)
    }
}

/// The record with what the sensors said meanwhile.
fn with_sensors(mut record: Record, watch: &Watch) -> Record {
    match &mut record {
        Record::Block(block) => block.sensors = watch.during(block),
        Record::End(end) => {
            if watch.lost().is_none() {
                end.after = watch.calm_after(IDLE_AFTER_WORK).map(Box::new);
            }
            end.lost = watch.lost();
        }
        Record::Session(_)
        | Record::Device(_)
        | Record::Peak(_)
        | Record::Load(_)
        | Record::Failure(_)
        | Record::Skip(_)
        | Record::Scoring(_)
        | Record::Window(_)
        | Record::Unscored(_) => {}
    }
    record
}

/// Why a run that needs sensors lacks some of them for part of the time.
fn fell_silent(document: &Document) -> Option<CliError> {
    document.warnings.iter().find_map(|warning| {
        let (point, Verdict::SensorsSilent(silence)) = (warning.point?, &warning.verdict) else {
            return None;
        };
        let reason = format!("{point}: {silence}");
        Some(refuse(&reason).hint(warning.verdict.remedy()))
    })
}

/// The exit code that the results mean.
fn verdict(document: &Document, args: &RunArgs) -> Exit {
    let failed = document.rows.iter().any(|row| match row.status {
        Status::Oom | Status::Crashed | Status::Timeout | Status::Invalid => true,
        // The card was lost, or no worker could be had, before it was tried.
        Status::Skipped => row.skipped == Some(SkipCause::LoadFailed),
        Status::Ok | Status::Interrupted => false,
    });
    if failed {
        Exit::Partial
    } else if args.study.strict && document.warnings.iter().any(|w| w.verdict.invalidates()) {
        Exit::NotValid
    } else {
        Exit::Success
    }
}

pub(super) fn target(prepared: &Prepared) -> Target {
    Target {
        source: prepared.files.clone(),
        engine: prepared.study.engine.clone(),
        device: prepared.study.device,
        holding: Holding {
            imatrix: prepared.study.imatrix.clone(),
            kept: prepared.kept.clone(),
        },
    }
}

impl From<WorkerError> for CliError {
    fn from(error: WorkerError) -> Self {
        let exit = match &error {
            WorkerError::Refused(Refusal::Model { .. } | Refusal::Unsupported { .. }) => {
                Exit::Model
            }
            WorkerError::Refused(Refusal::Device { .. }) | WorkerError::CardLost { .. } => {
                Exit::Device
            }
            WorkerError::Refused(Refusal::Storage { .. }) => Exit::Storage,
            WorkerError::Refused(Refusal::OutOfMemory { .. } | Refusal::Invalid { .. })
            | WorkerError::Lost(_) => Exit::Failure,
            WorkerError::Interrupted => Exit::Interrupted,
        };
        Self::new(exit, error)
    }
}

pub(super) fn requirement(args: &RunArgs) -> Requirement {
    if args.study.require_telemetry {
        Requirement::Required
    } else {
        Requirement::Optional
    }
}

impl From<MeasureError> for CliError {
    fn from(error: MeasureError) -> Self {
        match error {
            MeasureError::Sink(cause) => Self::of_sink(cause),
            MeasureError::Model { .. } => Self::new(Exit::Model, error),
            MeasureError::Device { .. } => Self::new(Exit::Device, error),
        }
    }
}
