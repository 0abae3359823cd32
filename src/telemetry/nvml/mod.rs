//! The driver's own sensors, through NVML.
//!
//! NVML stays loaded until the process ends: a call that hangs still runs inside the library, and
//! unloading it under that call would crash the program that the hang was kept away from.

mod answer;
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
use super::Probe;
use super::card::{Choice, Listed, place};
use super::sensor::{Absence, Process, Question, Reading};
use super::unavailable::Unavailable;
use crate::record::card::CardFacts;
use crate::record::sensor::Sensor;

/// The name under which the dynamic loader finds NVML.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// XID 999 stands for an error that the driver itself cannot name.
const XID_UNKNOWN: u64 = 999;

/// The GPM metrics that are read, and their sensors.
const GPM: [(GpmMetricId, Sensor); 4] = [
    (GpmMetricId::SmUtil, Sensor::GpmSmActivity),
    (GpmMetricId::SmOccupancy, Sensor::GpmSmOccupancy),
    (GpmMetricId::AnyTensorUtil, Sensor::GpmTensorActivity),
    (GpmMetricId::DramBwUtil, Sensor::GpmDramBandwidth),
];

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

/// Loads NVML and finds the chosen card; a driver that hangs meanwhile is left behind.
pub fn open(access: &Access, choice: &Choice) -> Result<NvmlProbe, Unavailable> {
    let (sender, receiver) = mpsc::channel();
    let (library, choice) = (access.library.clone(), choice.clone());
    std::thread::Builder::new()
        .name("nvml-open".to_owned())
        .spawn(move || {
            // Nobody listens any more after the limit.
            drop(sender.send(load(library).and_then(|nvml| find(nvml, &choice))));
        })
        .map_err(|error| Unavailable::Failed {
            detail: format!("no thread to ask the driver: {error}"),
        })?;
    receiver
        .recv_timeout(access.limit)
        .unwrap_or(Err(Unavailable::Silent {
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
    let failed = |error: NvmlError| fault::unavailable(&error, LIBRARY);
    let mut cards = Vec::new();
    let mut list = Vec::new();
    let mut first_error = None;
    for index in 0..nvml.device_count().map_err(failed)? {
        match nvml.device_by_index(index) {
            Ok(card) => {
                let slices = slices(&card);
                list.push(Listed {
                    uuid: card.uuid().ok(),
                    pci_bus_id: card.pci_info().ok().map(|pci| pci.bus_id),
                    slices: slices
                        .iter()
                        .filter_map(|slice| slice.uuid().ok())
                        .collect(),
                });
                cards.push((card, slices));
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let place = place(choice, &list).map_err(|unmatched| match first_error {
        // The card that is missing from the list is one that did not answer.
        Some(error) => failed(error),
        None => Unavailable::Unmatched(unmatched),
    })?;
    let (card, slices) = cards.swap_remove(place.card);
    let slice = place.slice.and_then(|slice| slices.into_iter().nth(slice));
    Ok(NvmlProbe {
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
    })
}

/// The slices of a card that MIG is on for; places without one answer `NotFound`.
fn slices(card: &Device<'static>) -> Vec<Device<'static>> {
    let divided = card.mig_mode().is_ok_and(|mode| mode.current != 0);
    let places = if divided {
        card.mig_device_count().unwrap_or(0)
    } else {
        0
    };
    (0..places)
        .filter_map(|index| card.mig_device_by_index(index).ok())
        .filter(|slice| slice.uuid().is_ok())
        .collect()
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
        }
    }
}

impl NvmlProbe {
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
                | Question::Mig => false,
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
