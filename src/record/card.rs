//! What the driver says of a card: what it is and how it is set, and what its sensors read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Nanos;

/// What a card is and how it is set. Each fact may be absent on its own; `absent` says why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CardFacts {
    /// Product name.
    pub name: Option<String>,
    /// Identity of the card.
    pub uuid: Option<String>,
    /// PCI bus id in NVML's form.
    pub pci_bus_id: Option<String>,
    /// Identity of the MIG slice that is watched, when it is one.
    pub mig_uuid: Option<String>,
    /// Driver version.
    pub driver: Option<String>,
    /// Version of the NVML library.
    pub nvml: Option<String>,
    /// CUDA version of the driver, such as `12.8`.
    pub cuda: Option<String>,
    /// Memory of the card, or of the slice.
    pub memory_bytes: Option<u64>,
    /// Highest SM clock.
    pub max_sm_clock_mhz: Option<u64>,
    /// Highest memory clock.
    pub max_memory_clock_mhz: Option<u64>,
    /// Power limit in force.
    pub power_limit_mw: Option<u64>,
    /// Power limit as delivered.
    pub power_limit_default_mw: Option<u64>,
    /// Whether the driver stays loaded between programs.
    pub persistence: Option<bool>,
    /// Whether memory errors are corrected.
    pub ecc: Option<bool>,
    /// Whether the card is divided into slices.
    pub mig: Option<bool>,
    /// Whether the card has GPM metrics (Hopper and later).
    pub gpm: Option<bool>,
    /// Why a fact is absent, by field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub absent: BTreeMap<String, String>,
}

impl CardFacts {
    /// The limit in force or the one delivered, whichever is more: it may be set back while a run goes on.
    /// `None` where the driver tells none; some say 0 then.
    pub fn highest_power_limit_mw(&self) -> Option<u64> {
        let limits = [self.power_limit_mw, self.power_limit_default_mw];
        let told = limits.into_iter().flatten().filter(|limit| *limit > 0);
        told.max()
    }
}

/// Sensor readings of one block; each column is as long as `at_ns` and holds `null` where the sensor
/// was silent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sensors {
    /// Period asked for.
    pub period_ns: Nanos,
    /// Monotonic time of each reading.
    pub at_ns: Vec<Nanos>,
    /// Readings by sensor, in the smallest unit, which the name ends with (`power_mw`).
    pub columns: BTreeMap<String, Vec<Option<u64>>>,
    /// Why a sensor is absent, by sensor.
    pub absent: BTreeMap<String, String>,
}
