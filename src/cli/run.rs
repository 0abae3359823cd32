//! `mtok run`: measure a model and price its tokens.

use std::sync::Arc;
use std::time::Duration;

use super::args::RunArgs;
use super::exit::{CliError, Exit};
use super::folder::StudyFolder;
use super::hub::Need;
use super::opening;
use super::plan::{Prepared, ask};
use super::pricing;
use super::progress::Progress;
use super::signals::Interrupts;
use super::watch::{Requirement, Watch};
use super::{quality, reports};
use crate::catalog::Catalog;
use crate::clock::{Clock as _, Monotonic};
use crate::engine::worker::{Escort, Holding, Launcher as _, Prompted, WorkerError};
use crate::measure::{self, Job, MeasureError, Outlets, Planned, Target};
use crate::record::machine::{Device, DeviceKind, Limit, Peak};
use crate::record::observation::{EndStatus, Record, SkipCause};
use crate::record::store::Writer;
use crate::report::document::{Document, Status};
use crate::study::model::Precision;
use crate::study::plan::{Machine, Plan};
use crate::study::spec::{self, Measure};
use crate::telemetry::unavailable::Unavailable;
use crate::units::{Bytes, BytesPerSecond, FlopPerSecond, Nanos, Seconds};

/// How long the card is read before the first worker: twice the second over which the driver averages.
const IDLE: Duration = Duration::from_secs(2);
/// The same after the last worker. The driver shows the mean of a second for a second more, and what it
/// shows of the worker has to be gone before the later half.
const IDLE_AFTER_WORK: Duration = Duration::from_secs(3);
/// The same where net energy is wanted, which needs the power of 5 s at rest.
const IDLE_FOR_ENERGY: Duration = Duration::from_secs(6);

/// Measures, writes the reports, and prints what was found.
pub(super) fn run(args: &RunArgs) -> Result<Exit, CliError> {
    let asked = ask(&args.study, &args.prompts)?;
    pricing::look_up(&asked.study.price, None, &Catalog::bundled())?;
    let folder = opening::folder(&args.study, &asked.study.source)?;
    opening::make_sure_of_room(&folder, args.study.resume)?;
    let prepared = asked.prepare(Need::Files)?;
    let interrupts = Interrupts::listen()?;
    let mut processes = Prompted {
        processes: opening::processes(&args.study, &interrupts),
        passages: prepared.passages(),
    };
    let judging = quality::prepare(&prepared, &mut processes.processes)?;
    let traces = opening::Traces::before(&folder);
    let (mut writer, before) = opening::open(&folder, args.study.resume)?;
    opening::write_study(&folder, &prepared)?;

    let progress = Progress::new();
    let looked = look(args, (&prepared, &before), &mut processes, &progress);
    let (seen, watch) = looked.map_err(|error| {
        progress.finish();
        traces.remove(&folder);
        interrupts.name(error)
    })?;
    let peaks = seen.peaks.iter().cloned().map(Record::Peak);
    opening::begin(&mut writer, (&prepared, &before), &seen.device, peaks)?;

    let begun = Monotonic.now();
    let judged = quality::judge(
        (&prepared, judging.as_ref()),
        quality::room(&seen.device, quality::Passes::AsFits),
        quality::Around {
            folder: &folder,
            budget: quality::budget(&args.study),
            before: &before,
            processes: &mut processes.processes,
            writer: &mut writer,
            interrupts: &interrupts,
            progress: &progress,
        },
    )?;
    if judged.status == EndStatus::Interrupted {
        progress.finish();
        quality::seal(&mut writer, judged.status)?;
        drop(writer);
        return conclude(args, &folder, judged.status, &interrupts);
    }
    let sensors = Arc::clone(&watch);
    let job = Job {
        points: &planned(&plan(&prepared, &seen, &before)),
        target: target(&prepared),
        measure: &measurable(&prepared.study.measure, &watch),
        budget: time_left(args, begun),
        before: &before,
    };
    let around = Around {
        interrupts: &interrupts,
        progress,
        watch,
    };
    let status = measure(&job, &mut processes, &mut writer, around)?;
    drop(writer);
    // Asked before the reports are written: what the driver does later is of no matter to the run.
    let failing = sensors.failing();
    let exit = conclude(args, &folder, status, &interrupts)?;
    match (status, requirement(args), failing) {
        (EndStatus::Complete, Requirement::Required, Some(error)) => Err(error),
        (EndStatus::Complete | EndStatus::Interrupted, _, _) => Ok(exit),
    }
}

/// Finds the device and begins to watch it, and measures its limits unless an earlier session has.
fn look(
    args: &RunArgs,
    (prepared, before): (&Prepared, &[Record]),
    processes: &mut Prompted,
    progress: &Progress,
) -> Result<(Seen, Arc<Watch>), CliError> {
    let study = &prepared.study;
    let order = target(prepared).order(study.sweep.variants()[0], study.measure.seed);
    let device = processes.launch()?.identify(&order)?;
    let watch = Arc::new(Watch::start(&device, requirement(args), progress)?);
    processes.processes.escort = Arc::clone(&watch) as Arc<dyn Escort>;
    progress.watch(&watch);
    let device = look_at_card(device, &watch, study.measure.energy, progress);
    let lost = || {
        let cause = watch.lost()?;
        let error = anyhow::anyhow!("{}: {cause}", device.name);
        Some(CliError::new(Exit::Device, error).hint(Unavailable::CardLost.remedy()))
    };
    if let Some(error) = lost() {
        return Err(error);
    }
    let mut peaks = Vec::new();
    if before.is_empty() {
        progress.line(&format!("measuring the limits of {}", device.name));
        let dtypes = [Precision::F32, Precision::F16, Precision::Bf16];
        peaks = processes
            .launch()
            .and_then(|mut worker| worker.peaks(&order, &dtypes))
            // A worker that ends with its card is not what went wrong.
            .map_err(|error| lost().unwrap_or_else(|| error.into()))?;
    }
    Ok((Seen { device, peaks }, watch))
}

/// What is left of the time asked for, since judging quality began.
fn time_left(args: &RunArgs, begun: Nanos) -> Option<Seconds> {
    let spent = Monotonic.now().since(begun).unwrap_or(Nanos::new(0));
    let asked = quality::budget(&args.study)?;
    Some(Seconds::new(asked.value() - spent.seconds().value()))
}

/// Reads the facts back from the disk and says what they mean.
fn conclude(
    args: &RunArgs,
    folder: &StudyFolder,
    status: EndStatus,
    interrupts: &Interrupts,
) -> Result<Exit, CliError> {
    let document = reports::tell(folder, &args.study)?;
    Ok(match status {
        EndStatus::Interrupted => interrupts.exit(),
        EndStatus::Complete => verdict(&document, args),
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

/// The device and its limits.
struct Seen {
    device: Device,
    peaks: Vec<Peak>,
}

impl From<WorkerError> for CliError {
    fn from(error: WorkerError) -> Self {
        use crate::engine::worker::Refusal;
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

fn requirement(args: &RunArgs) -> Requirement {
    if args.study.require_telemetry {
        Requirement::Required
    } else {
        Requirement::Optional
    }
}

/// Adds what the driver says of the card, and what the card does before a worker runs on it.
fn look_at_card(device: Device, watch: &Watch, energy: bool, progress: &Progress) -> Device {
    let Some(card) = watch.facts().cloned() else {
        return device;
    };
    let time = if energy { IDLE_FOR_ENERGY } else { IDLE };
    progress.line(&format!(
        "reading {} at rest for {:.0} s",
        device.name,
        time.as_secs_f64()
    ));
    let before = watch.calm_before(time).map(Box::new);
    for finding in watch.remarks() {
        let remedy = finding.remedy.unwrap_or_default();
        progress.line(&format!("{}: {} → {remedy}", finding.what, finding.state));
    }
    Device {
        driver: device.driver.or_else(|| card.driver.clone()),
        cuda: device.cuda.or_else(|| card.cuda.clone()),
        card: Some(Box::new(card)),
        before,
        ..device
    }
}

/// What can be measured here: energy needs a card that is watched.
fn measurable(measure: &Measure, watch: &Watch) -> Measure {
    Measure {
        energy: measure.energy && watch.facts().is_some(),
        ..measure.clone()
    }
}

/// The plan for the device as it was found.
fn plan(prepared: &Prepared, seen: &Seen, before: &[Record]) -> Plan {
    let earlier = before.iter().filter_map(|record| {
        let Record::Peak(peak) = record else {
            return None;
        };
        Some(peak)
    });
    let peaks: Vec<&Peak> = seen.peaks.iter().chain(earlier).collect();
    let best = |kind: fn(&Limit) -> bool| {
        let rates = peaks
            .iter()
            .filter(|peak| kind(&peak.of))
            .filter_map(|peak| peak.best_rate());
        rates.max_by(f64::total_cmp)
    };
    let machine = Machine {
        target: match seen.device.kind {
            DeviceKind::Cuda => spec::Target::Cuda,
            DeviceKind::Cpu | DeviceKind::Sim => spec::Target::Cpu,
        },
        memory: Bytes::new(seen.device.memory_bytes as f64),
        bandwidth: best(|limit| matches!(limit, Limit::Read { .. })).map(BytesPerSecond::new),
        arithmetic: best(|limit| matches!(limit, Limit::Matmul { .. })).map(FlopPerSecond::new),
    };
    Plan::new(&prepared.study, prepared.subject(), machine)
}

fn planned(plan: &Plan) -> Vec<Planned> {
    let points = plan.points.iter();
    points
        .map(|planned| Planned {
            point: planned.point,
            skip: planned.skip.clone(),
        })
        .collect()
}

/// What accompanies the measuring.
struct Around<'a> {
    interrupts: &'a Interrupts,
    progress: Progress,
    watch: Arc<Watch>,
}

fn measure(
    job: &Job<'_>,
    processes: &mut Prompted,
    writer: &mut Writer,
    around: Around<'_>,
) -> Result<EndStatus, CliError> {
    let Around {
        interrupts,
        mut progress,
        watch,
    } = around;
    let mut sink = |mut record: Record| {
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
        writer.append(&record).map_err(Into::into)
    };
    let mut observer = |event: measure::Event<'_>| progress.show(&event);
    let outlets = Outlets {
        sink: &mut sink,
        observer: &mut observer,
        interrupt: &interrupts.count,
        clock: &Monotonic,
    };
    let ended = measure::run(job, processes, outlets);
    progress.finish();
    ended.map_err(|error| match error {
        MeasureError::Sink(cause) => CliError::of_sink(cause),
        MeasureError::Model { .. } => CliError::new(Exit::Model, error),
        MeasureError::Device { .. } => CliError::new(Exit::Device, error),
    })
}
