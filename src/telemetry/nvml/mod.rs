//! The driver's own sensors, through NVML.
//!
//! NVML stays loaded until the process ends: a call that hangs still runs inside the library, and
//! unloading it under that call would crash the program that the hang was kept away from.

mod answer;
mod cards;
mod facts;
mod fault;

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, PcieUtilCounter, TemperatureSensor,
};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::gpm_metrics_get;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::{NVML_FI_DEV_POWER_AVERAGE, NVML_FI_DEV_POWER_INSTANT};
use nvml_wrapper::{Device, EventSet, GpmSample, Nvml};

use self::answer::{checked, count_of, field, memory_of, number, percent, permille};
use self::cards::Cards;
use super::Probe;
use super::card::{Choice, place};
use super::sensor::{Absence, Process, Question, Reading};
use super::unavailable::Unavailable;
use crate::record::card::CardFacts;
use crate::record::sensor::Sensor;

/// The name under which the dynamic loader finds NVML.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// XID 999 stands for an error that the driver itself cannot name.
const XID_UNKNOWN: u64 = 999;

/// A driver that starts within this time is not worth a word.
const UNREMARKED: Duration = Duration::from_secs(3);

/// The GPM metrics that are read, and their sensors.
const GPM: [(GpmMetricId, Sensor); 4] = [
    (GpmMetricId::SmUtil, Sensor::GpmSmActivity),
    (GpmMetricId::SmOccupancy, Sensor::GpmSmOccupancy),
    (GpmMetricId::AnyTensorUtil, Sensor::GpmTensorActivity),
    (GpmMetricId::DramBwUtil, Sensor::GpmDramBandwidth),
];

pub use cards::{Seen, Surroundings, look_around};
pub use facts::Versions;

/// How the driver is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Path of the library; `None` leaves the search to the dynamic loader.
    pub library: Option<PathBuf>,
    /// How long the driver may take to start and to describe its cards.
    pub limit: Duration,
}

impl Default for Access {
    /// A machine with eight cards and no persistence daemon takes tens of seconds to wake them.
    fn default() -> Self {
        Self {
            library: None,
            limit: Duration::from_mins(1),
        }
    }
}

/// Asks the driver about one card.
#[derive(Debug)]
pub struct NvmlProbe {
    nvml: &'static Nvml,
    card: Device<'static>,
    slice: Option<Device<'static>>,
    facts: CardFacts,
    events: Result<EventSet<'static>, Absence>,
    gpm: Result<(), Absence>,
    earlier: Option<GpmSample<'static>>,
}

/// Loads NVML and finds the chosen card. A driver that takes its time is told of once, to `waiting`, with
/// how long it has in all.
pub fn open(
    access: &Access,
    choice: &Choice,
    waiting: &dyn Fn(Duration),
) -> Result<NvmlProbe, Unavailable> {
    let choice = choice.clone();
    within(access, waiting, move |nvml| find(nvml, &choice))
}

/// Asks the driver on a thread of its own, which is left behind when the driver hangs.
fn within<T: Send + 'static>(
    access: &Access,
    waiting: &dyn Fn(Duration),
    ask: impl FnOnce(&'static Nvml) -> Result<T, Unavailable> + Send + 'static,
) -> Result<T, Unavailable> {
    let (sender, receiver) = mpsc::channel();
    let library = access.library.clone();
    std::thread::Builder::new()
        .name("nvml-open".to_owned())
        .spawn(move || {
            // Nobody listens any more after the limit.
            drop(sender.send(load(library).and_then(ask)));
        })
        .map_err(|error| Unavailable::Failed {
            detail: format!("no thread to ask the driver: {error}"),
        })?;
    let mut answer = receiver.recv_timeout(access.limit.min(UNREMARKED));
    if let (Err(_), Some(more)) = (&answer, access.limit.checked_sub(UNREMARKED)) {
        waiting(access.limit);
        answer = receiver.recv_timeout(more);
    }
    answer.unwrap_or(Err(Unavailable::Silent {
        waited: access.limit,
    }))
}

fn load(library: Option<PathBuf>) -> Result<&'static Nvml, Unavailable> {
    let library = library.unwrap_or_else(|| PathBuf::from(LIBRARY));
    let nvml = Nvml::builder()
        .lib_path(library.as_os_str())
        .init()
        .map_err(|error| fault::unavailable(&error, &library.display().to_string()))?;
    Ok(Box::leak(Box::new(nvml)))
}

fn find(nvml: &'static Nvml, choice: &Choice) -> Result<NvmlProbe, Unavailable> {
    let cards = Cards::of(nvml)?;
    match place(choice, &cards.listed) {
        Ok(place) => cards.probe(place),
        // The card that is missing from the list is one that did not answer.
        Err(unmatched) => Err(cards.silent.into_iter().next().unwrap_or(unmatched.into())),
    }
}

fn listen(nvml: &'static Nvml, card: &Device<'static>) -> Result<EventSet<'static>, Absence> {
    let why = |error: &NvmlError| fault::absence(error);
    let kinds = card.supported_event_types().map_err(|error| why(&error))?;
    if !kinds.contains(EventTypes::CRITICAL_XID_ERROR) {
        return Err(Absence::NotSupported);
    }
    let set = nvml.create_event_set().map_err(|error| why(&error))?;
    card.register_events(EventTypes::CRITICAL_XID_ERROR, set)
        .map_err(|error| why(&error.error))
}

impl Probe for NvmlProbe {
    fn facts(&self) -> &CardFacts {
        &self.facts
    }

    fn ask(&mut self, question: Question, worker: Option<u32>, reading: &mut Reading) {
        if self.is_shared(question) {
            reading.set_absent(question, Absence::SharedByMig);
            return;
        }
        match question {
            Question::Energy => {
                let energy = self.card.total_energy_consumption();
                reading.set(Sensor::Energy, checked(energy, u64::MAX));
            }
            Question::Power => reading.set(Sensor::Power, number(self.card.power_usage())),
            Question::PowerFields => self.ask_power_fields(reading),
            Question::Utilization => self.ask_utilization(reading),
            Question::Memory => {
                let memory = self.slice.as_ref().unwrap_or(&self.card).memory_info();
                reading.set(
                    Sensor::MemoryUsed,
                    checked(memory.map(|info| info.used), u64::MAX),
                );
            }
            Question::SmClock => {
                reading.set(Sensor::SmClock, number(self.card.clock_info(Clock::SM)));
            }
            Question::MemoryClock => {
                reading.set(
                    Sensor::MemoryClock,
                    number(self.card.clock_info(Clock::Memory)),
                );
            }
            Question::Temperature => {
                let temperature = self.card.temperature(TemperatureSensor::Gpu);
                reading.set(Sensor::Temperature, number(temperature));
            }
            Question::Throttle => {
                let reasons = self.card.current_throttle_reasons();
                let reasons = reasons.map(|reasons| reasons.bits());
                reading.set(Sensor::ThrottleReasons, checked(reasons, u64::MAX));
            }
            Question::Events => reading.set(Sensor::Xid, self.next_xid()),
            Question::Gpm => self.ask_gpm(reading),
            Question::Processes => self.ask_processes(worker, reading),
            Question::PcieRx => {
                let rate = self.card.pcie_throughput(PcieUtilCounter::Receive);
                reading.set(Sensor::PcieRx, number(rate));
            }
            Question::PcieTx => {
                let rate = self.card.pcie_throughput(PcieUtilCounter::Send);
                reading.set(Sensor::PcieTx, number(rate));
            }
            Question::Ecc => self.ask_ecc(reading),
            Question::Mig => {
                let mode = self
                    .card
                    .mig_mode()
                    .map(|mode| u64::from(mode.current != 0));
                reading.set(Sensor::MigEnabled, checked(mode, u64::MAX));
            }
            Question::PowerLimit => {
                let limit = self.card.enforced_power_limit();
                reading.set(Sensor::PowerLimit, number(limit));
            }
            Question::ApplicationClocks => {
                for (sensor, clock) in [
                    (Sensor::ApplicationSmClock, Clock::SM),
                    (Sensor::ApplicationMemoryClock, Clock::Memory),
                ] {
                    reading.set(sensor, number(self.card.applications_clock(clock)));
                }
            }
        }
    }
}

impl NvmlProbe {
    fn new(nvml: &'static Nvml, card: Device<'static>, slice: Option<Device<'static>>) -> Self {
        Self {
            facts: facts::read(nvml, &card, slice.as_ref()),
            events: listen(nvml, &card),
            gpm: match card.gpm_support() {
                Ok(true) => Ok(()),
                Ok(false) => Err(Absence::NotSupported),
                Err(error) => Err(fault::absence(&error)),
            },
            nvml,
            card,
            slice,
            earlier: None,
        }
    }

    /// Whether the answer would be about all slices together while the engine has one of them.
    fn is_shared(&self, question: Question) -> bool {
        self.facts.mig == Some(true)
            && match question {
                Question::Energy
                | Question::Power
                | Question::PowerFields
                | Question::Utilization
                | Question::Gpm
                | Question::PcieRx
                | Question::PcieTx => true,
                Question::Memory | Question::Processes => self.slice.is_none(),
                Question::SmClock
                | Question::MemoryClock
                | Question::Temperature
                | Question::Throttle
                | Question::Events
                | Question::Ecc
                | Question::Mig
                | Question::PowerLimit
                | Question::ApplicationClocks => false,
            }
    }

    fn ask_power_fields(&self, reading: &mut Reading) {
        let ids = [NVML_FI_DEV_POWER_AVERAGE, NVML_FI_DEV_POWER_INSTANT].map(FieldId);
        let answers = match self.card.field_values_for(&ids) {
            Ok(answers) => answers,
            Err(error) => {
                reading.set_absent(Question::PowerFields, fault::absence(&error));
                return;
            }
        };
        for (sensor, answer) in [Sensor::PowerAverage, Sensor::PowerInstant]
            .into_iter()
            .zip(answers)
        {
            let value = answer.and_then(|sample| sample.value);
            reading.set(sensor, field(value));
        }
    }

    fn ask_utilization(&self, reading: &mut Reading) {
        let rates = self.card.utilization_rates();
        let (gpu, memory) = match rates {
            Ok(rates) => (percent(rates.gpu), percent(rates.memory)),
            Err(error) => {
                let absence = Err(fault::absence(&error));
                (absence, absence)
            }
        };
        reading.set(Sensor::GpuUtilization, gpu);
        reading.set(Sensor::MemoryUtilization, memory);
    }

    /// The next XID error that nobody has seen yet; does not wait for one.
    fn next_xid(&self) -> Result<u64, Absence> {
        let events = self.events.as_ref().map_err(|absence| *absence)?;
        match events.wait(0) {
            Ok(event) => match event.event_data {
                Some(XidError::Value(xid)) => Ok(xid),
                Some(XidError::Unknown) => Ok(XID_UNKNOWN),
                None => Err(Absence::Quiet),
            },
            Err(NvmlError::Timeout) => Err(Absence::Quiet),
            Err(error) => Err(fault::absence(&error)),
        }
    }

    fn ask_gpm(&mut self, reading: &mut Reading) {
        let sample = self.gpm.and_then(|()| {
            self.card
                .gpm_sample()
                .map_err(|error| fault::absence(&error))
        });
        let sample = match sample {
            Ok(sample) => sample,
            Err(absence) => {
                reading.set_absent(Question::Gpm, absence);
                return;
            }
        };
        match &self.earlier {
            None => reading.set_absent(Question::Gpm, Absence::NoEarlierSample),
            Some(earlier) => {
                let ids = GPM.map(|(id, _)| id);
                match gpm_metrics_get(self.nvml, earlier, &sample, &ids) {
                    Ok(metrics) => {
                        for ((_, sensor), metric) in GPM.into_iter().zip(metrics) {
                            reading.set(sensor, permille(metric.map(|metric| metric.value)));
                        }
                    }
                    Err(error) => reading.set_absent(Question::Gpm, fault::absence(&error)),
                }
            }
        }
        self.earlier = Some(sample);
    }

    fn ask_processes(&self, worker: Option<u32>, reading: &mut Reading) {
        let device = self.slice.as_ref().unwrap_or(&self.card);
        let listed = match device.running_compute_processes() {
            Ok(listed) => listed,
            Err(error) => {
                reading.set_absent(Question::Processes, fault::absence(&error));
                return;
            }
        };
        reading
            .processes
            .extend(listed.iter().map(|process| Process {
                pid: process.pid,
                memory_bytes: match process.used_gpu_memory {
                    UsedGpuMemory::Used(bytes) => Some(bytes),
                    UsedGpuMemory::Unavailable => None,
                },
            }));
        let memory = memory_of(worker, &reading.processes);
        reading.set(Sensor::ProcessMemory, memory);
        reading.set(Sensor::ProcessCount, Ok(count_of(&reading.processes)));
    }

    fn ask_ecc(&self, reading: &mut Reading) {
        let enabled = self.card.is_ecc_enabled();
        let enabled = enabled.map(|ecc| u64::from(ecc.currently_enabled));
        reading.set(Sensor::EccEnabled, checked(enabled, u64::MAX));
        let errors = self
            .card
            .total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile);
        reading.set(Sensor::EccUncorrected, checked(errors, u64::MAX));
    }
}
