//! The machine that is measured: its host, its device and the device's limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::card::{CardFacts, Sensors};
use crate::study::model::Precision;
use crate::units::Nanos;

/// The machine that hosts the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// CPU model.
    pub cpu: String,
    /// Threads available to the process.
    pub threads: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Operating system and kernel.
    pub system: String,
}

/// The kind of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// The CPU.
    Cpu,
    /// A CUDA GPU.
    Cuda,
    /// A scripted device of a test; its results carry no price.
    Sim,
}

/// The device that the engine runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// What it is.
    pub kind: DeviceKind,
    /// Its name as the driver or the system gives it.
    pub name: String,
    /// Identity of the card across runs.
    pub uuid: Option<String>,
    /// PCI bus id in NVML's form.
    pub pci_bus_id: Option<String>,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Size of the last-level cache in bytes, where known.
    pub last_level_cache_bytes: Option<u64>,
    /// Compute capability such as `9.0`.
    pub compute_capability: Option<String>,
    /// Driver version.
    pub driver: Option<String>,
    /// CUDA version of the driver.
    pub cuda: Option<String>,
    /// Threads that the engine uses on a CPU.
    pub threads: Option<u32>,
    /// What the driver says of the card, where it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<Box<CardFacts>>,
    /// Sensor readings of the card before a worker started: what it does when nothing is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Sensors>>,
    /// How long the card was waited for to come to rest, where its idle power was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rested_ns: Option<Nanos>,
}

/// What a [`Peak`] is the limit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "limit", rename_all = "snake_case")]
pub enum Limit {
    /// Reading a buffer of this many bytes.
    Read {
        /// Size of the buffer.
        buffer_bytes: u64,
    },
    /// Copying a buffer of this many bytes; reads and writes both count.
    Copy {
        /// Size of the buffer.
        buffer_bytes: u64,
    },
    /// Multiplying square matrices of one type.
    Matmul {
        /// Element type.
        dtype: Precision,
        /// Rows and columns.
        size: u32,
    },
}

/// A measured limit of the device: work done and the time of each repetition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peak {
    /// What was measured.
    pub of: Limit,
    /// Bytes moved or operations done per repetition.
    pub work: u64,
    /// Time of each repetition.
    pub times_ns: Vec<Nanos>,
}

impl Peak {
    /// Work per second of the fastest repetition, in the unit of `work`; `None` without a repetition, or
    /// with one that took less than the clock tells.
    ///
    /// ```
    /// use mtok::record::machine::{Limit, Peak};
    /// use mtok::units::Nanos;
    ///
    /// let read = |times: &[u64]| Peak {
    ///     of: Limit::Read { buffer_bytes: 1_000 },
    ///     work: 1_000,
    ///     times_ns: times.iter().copied().map(Nanos::new).collect(),
    /// };
    /// assert_eq!(read(&[2_000, 1_000]).best_rate(), Some(1e9));
    /// assert_eq!(read(&[]).best_rate(), None);
    /// assert_eq!(read(&[0, 1_000]).best_rate(), None);
    /// ```
    pub fn best_rate(&self) -> Option<f64> {
        let fastest = self.times_ns.iter().min().filter(|t| t.value() > 0)?;
        Some(self.work as f64 / fastest.seconds().value())
    }
}
