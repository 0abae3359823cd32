//! The device of a run: what it is, what watches it, and what it can do at most.

use std::sync::Arc;

use super::args::RunArgs;
use super::exit::{CliError, Exit};
use super::plan::Prepared;
use super::progress::Progress;
use super::rest::AtRest;
use super::run::{requirement, target};
use super::watch::Watch;
use crate::engine::worker::{Escort, Launcher, Order, Prompted, Refusal, WorkerError};
use crate::record::machine::{Device, DeviceKind, Limit, Peak};
use crate::record::observation::Record;
use crate::study::model::Precision;
use crate::study::plan::Machine;
use crate::study::plan::speed::{Origin, Speed};
use crate::study::spec::{Measure, Target};
use crate::telemetry::unavailable::Unavailable;
use crate::units::{Bytes, BytesPerSecond, FlopPerSecond};

/// The device as it was found.
pub(super) struct Found {
    /// What it is.
    pub(super) device: Device,
    /// What it can do at most, where no earlier session has measured that.
    pub(super) peaks: Vec<Peak>,
    /// What reads its sensors.
    pub(super) watch: Arc<Watch>,
}

impl Found {
    /// Finds the device and begins to watch it.
    pub(super) fn look(
        args: &RunArgs,
        prepared: &Prepared,
        processes: &mut Prompted,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        let device = identify(prepared, processes)?;
        let watch = Arc::new(Watch::start(&device, requirement(args), progress)?);
        processes.processes.escort = Arc::clone(&watch) as Arc<dyn Escort>;
        progress.watch(&watch);
        Ok(Self {
            device,
            peaks: Vec::new(),
            watch,
        })
    }

    /// The same with what the card does at rest, and with its limits unless an earlier session measured them.
    pub(super) fn examined(
        mut self,
        (prepared, before): (&Prepared, &[Record]),
        processes: &mut Prompted,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        let at_rest = AtRest {
            watch: &self.watch,
            progress,
            interrupt: &processes.processes.interrupt,
        };
        self.device = at_rest.look_at(self.device, &prepared.study.measure);
        self.lost().map_or(Ok(()), Err)?;
        if limits_of(before).next().is_none() {
            self.peaks = self.measure_limits(&first_order(prepared), processes, progress)?;
        }
        Ok(self)
    }

    /// That the card is lost, if it is.
    fn lost(&self) -> Option<CliError> {
        let cause = self.watch.lost()?;
        let error = anyhow::anyhow!("{}: {cause}", self.device.name);
        Some(CliError::new(Exit::Device, error).hint(Unavailable::CardLost.remedy()))
    }

    /// The limits of the device. A run can do without them: where a worker fails at them there are none, and the
    /// report says so.
    fn measure_limits(
        &self,
        order: &Order,
        processes: &mut Prompted,
        progress: &Progress,
    ) -> Result<Vec<Peak>, CliError> {
        progress.line(&format!("measuring the limits of {}", self.device.name));
        let dtypes = [Precision::F32, Precision::F16, Precision::Bf16];
        let measured = processes
            .launch()
            .and_then(|mut worker| worker.peaks(order, &dtypes));
        match measured {
            Ok(peaks) => Ok(peaks),
            Err(error) => {
                // A worker that ends with its card is not what went wrong.
                self.lost().map_or(Ok(()), Err)?;
                do_without(error, progress)
            }
        }
    }

    /// What can be measured here: energy needs a card that is watched.
    pub(super) fn measurable(&self, measure: &Measure) -> Measure {
        Measure {
            energy: measure.energy && self.watch.facts().is_some(),
            ..measure.clone()
        }
    }

    /// The machine to plan for, with the limits that this or an earlier session measured.
    pub(super) fn machine(&self, before: &[Record]) -> Machine {
        let best = |kind: fn(&Limit) -> bool| {
            let peaks = self.peaks.iter().chain(limits_of(before));
            let rates = peaks
                .filter(|peak| kind(&peak.of))
                .filter_map(Peak::best_rate);
            rates.max_by(f64::total_cmp)
        };
        let speed = || {
            Some(Speed {
                read: BytesPerSecond::new(best(|it| matches!(it, Limit::Read { .. }))?),
                matmul: FlopPerSecond::new(best(|it| matches!(it, Limit::Matmul { .. }))?),
                origin: Origin::Known,
            })
        };
        Machine {
            target: match self.device.kind {
                DeviceKind::Cuda => Target::Cuda,
                DeviceKind::Cpu | DeviceKind::Sim => Target::Cpu,
            },
            memory: Bytes::new(self.device.memory_bytes as f64),
            speed: speed(),
        }
    }
}

/// What the device of a study is, without loading a model.
pub(super) fn identify(
    prepared: &Prepared,
    launcher: &mut dyn Launcher,
) -> Result<Device, CliError> {
    Ok(launcher.launch()?.identify(&first_order(prepared))?)
}

/// The order for what concerns no precision more than another.
fn first_order(prepared: &Prepared) -> Order {
    let study = &prepared.study;
    target(prepared).order(study.sweep.variants()[0], study.measure.seed)
}

/// The limits that a record holds.
fn limits_of(records: &[Record]) -> impl Iterator<Item = &Peak> {
    records.iter().filter_map(|record| {
        let Record::Peak(peak) = record else {
            return None;
        };
        Some(peak)
    })
}

/// No limits, where what went wrong befell the worker alone.
fn do_without(error: WorkerError, progress: &Progress) -> Result<Vec<Peak>, CliError> {
    match error {
        WorkerError::Lost(_) | WorkerError::Refused(Refusal::OutOfMemory { .. }) => {
            progress.line(&format!("the limits are not known: {error}"));
            Ok(Vec::new())
        }
        WorkerError::Refused(_) | WorkerError::CardLost { .. } | WorkerError::Interrupted => {
            Err(error.into())
        }
    }
}
