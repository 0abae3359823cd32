//! What a card is and how it is set, read once.

use std::collections::BTreeMap;

use nvml_wrapper::enum_wrappers::device::Clock;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::answer::{checked, number};
use super::fault;
use crate::record::card::CardFacts;
use crate::telemetry::card::printable;
use crate::telemetry::sensor::Absence;

/// Versions of the driver and what belongs to it; each may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The driver.
    pub driver: Option<String>,
    /// NVML.
    pub nvml: Option<String>,
    /// The highest CUDA that the driver runs.
    pub cuda: Option<String>,
}

/// Reads the versions.
pub(super) fn versions(nvml: &Nvml) -> Versions {
    Reasons::default().versions(nvml)
}

/// Reads every fact of `card`, or of the MIG `slice` of it that is watched.
pub(super) fn read(nvml: &Nvml, card: &Device<'_>, slice: Option<&Device<'_>>) -> CardFacts {
    let mut absent = Reasons::default();
    let versions = absent.versions(nvml);
    let mut facts = CardFacts {
        name: absent.note("name", card.name().map(|name| printable(&name))),
        uuid: absent.note("uuid", card.uuid().map(|uuid| printable(&uuid))),
        pci_bus_id: absent.note(
            "pci_bus_id",
            card.pci_info().map(|pci| printable(&pci.bus_id)),
        ),
        mig_uuid: slice.and_then(|slice| absent.note("mig_uuid", slice.uuid())),
        driver: versions.driver,
        nvml: versions.nvml,
        cuda: versions.cuda,
        memory_bytes: absent.keep(
            "memory_bytes",
            checked(
                slice.unwrap_or(card).memory_info().map(|info| info.total),
                u64::MAX,
            ),
        ),
        max_sm_clock_mhz: absent.number("max_sm_clock_mhz", card.max_clock_info(Clock::SM)),
        max_memory_clock_mhz: absent
            .number("max_memory_clock_mhz", card.max_clock_info(Clock::Memory)),
        power_limit_mw: absent.number("power_limit_mw", card.enforced_power_limit()),
        power_limit_default_mw: absent.number(
            "power_limit_default_mw",
            card.power_management_limit_default(),
        ),
        persistence: absent.note("persistence", card.is_in_persistent_mode()),
        ecc: absent.note(
            "ecc",
            card.is_ecc_enabled().map(|ecc| ecc.currently_enabled),
        ),
        mig: absent.note("mig", card.mig_mode().map(|mode| mode.current != 0)),
        gpm: absent.note("gpm", card.gpm_support()),
        absent: BTreeMap::new(),
    };
    facts.absent = absent.0;
    facts
}

/// `12080` is 12.8.
fn cuda_version(version: i32) -> String {
    let major = nvml_wrapper::cuda_driver_version_major(version);
    let minor = nvml_wrapper::cuda_driver_version_minor(version);
    format!("{major}.{minor}")
}

/// Why facts are absent, by field.
#[derive(Default)]
struct Reasons(BTreeMap<String, String>);

impl Reasons {
    fn versions(&mut self, nvml: &Nvml) -> Versions {
        Versions {
            driver: self.note("driver", nvml.sys_driver_version()),
            nvml: self.note("nvml", nvml.sys_nvml_version()),
            cuda: self.note("cuda", nvml.sys_cuda_driver_version().map(cuda_version)),
        }
    }

    fn note<T>(&mut self, field: &str, answer: Result<T, NvmlError>) -> Option<T> {
        self.keep(field, answer.map_err(|error| fault::absence(&error)))
    }

    fn number(&mut self, field: &str, answer: Result<u32, NvmlError>) -> Option<u64> {
        self.keep(field, number(answer))
    }

    fn keep<T>(&mut self, field: &str, answer: Result<T, Absence>) -> Option<T> {
        answer
            .map_err(|absence| self.0.insert(field.to_owned(), absence.to_string()))
            .ok()
    }
}
