//! The sensors of a card and the columns that hold their readings.

use crate::units::Nanos;

/// Column of the processor time that the sampling thread has used when a reading begins to be written
/// down: what sampling costs this machine, and no sensor of the card.
pub const SAMPLER_CPU: &str = "sampler_cpu_ns";

/// Why a sensor is absent that was not asked: no fault of the driver.
pub const NOT_READ: &str = "not read within this window";
/// No board draws as much.
pub const MOST_WATTS: u64 = 3_000;

/// One sensor; its column carries its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sensor {
    /// Energy since the driver was loaded.
    Energy,
    /// Board power as the driver sums it up (on most cards of Ampere and later a mean over one second).
    Power,
    /// Mean board power.
    PowerAverage,
    /// Board power of this moment.
    PowerInstant,
    /// Share of time in which any kernel ran.
    GpuUtilization,
    /// Share of time in which memory was read or written.
    MemoryUtilization,
    /// Memory in use by all processes.
    MemoryUsed,
    /// Memory in use by the worker.
    ProcessMemory,
    /// Processes with a compute context.
    ProcessCount,
    /// Clock of the SMs.
    SmClock,
    /// Clock of the memory.
    MemoryClock,
    /// Temperature of the die.
    Temperature,
    /// Bitmask of the reasons why clocks are not higher, in NVML's bits.
    ThrottleReasons,
    /// PCIe traffic to the card in kilobytes per second, over 20 ms.
    PcieRx,
    /// PCIe traffic from the card in kilobytes per second, over 20 ms.
    PcieTx,
    /// Whether memory errors are corrected, 1 or 0.
    EccEnabled,
    /// Uncorrected memory errors since the driver was loaded.
    EccUncorrected,
    /// Whether the card is divided into slices, 1 or 0.
    MigEnabled,
    /// Power limit in force, the lowest of all that hold.
    PowerLimit,
    /// Clock of the SMs that programs are given (`nvidia-smi -ac`), where the card has such a setting.
    ApplicationSmClock,
    /// The same of the memory.
    ApplicationMemoryClock,
    /// Share of time with a warp on the SMs, since the previous reading.
    GpmSmActivity,
    /// Warps on the SMs against the most that fit, since the previous reading.
    GpmSmOccupancy,
    /// Share of time in which tensor cores worked, since the previous reading.
    GpmTensorActivity,
    /// Share of the DRAM bandwidth in use, since the previous reading.
    GpmDramBandwidth,
    /// Number of an XID error, at the reading that follows it.
    Xid,
}

impl Sensor {
    /// How many sensors there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every sensor, in the order of the enum.
    pub const ALL: [Self; 26] = [
        Self::Energy,
        Self::Power,
        Self::PowerAverage,
        Self::PowerInstant,
        Self::GpuUtilization,
        Self::MemoryUtilization,
        Self::MemoryUsed,
        Self::ProcessMemory,
        Self::ProcessCount,
        Self::SmClock,
        Self::MemoryClock,
        Self::Temperature,
        Self::ThrottleReasons,
        Self::PcieRx,
        Self::PcieTx,
        Self::EccEnabled,
        Self::EccUncorrected,
        Self::MigEnabled,
        Self::PowerLimit,
        Self::ApplicationSmClock,
        Self::ApplicationMemoryClock,
        Self::GpmSmActivity,
        Self::GpmSmOccupancy,
        Self::GpmTensorActivity,
        Self::GpmDramBandwidth,
        Self::Xid,
    ];

    /// The name of its column in a record.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Energy => "energy_mj",
            Self::Power => "power_mw",
            Self::PowerAverage => "power_average_mw",
            Self::PowerInstant => "power_instant_mw",
            Self::GpuUtilization => "gpu_utilization_percent",
            Self::MemoryUtilization => "memory_utilization_percent",
            Self::MemoryUsed => "memory_used_bytes",
            Self::ProcessMemory => "process_memory_bytes",
            Self::ProcessCount => "process_count",
            Self::SmClock => "sm_clock_mhz",
            Self::MemoryClock => "memory_clock_mhz",
            Self::Temperature => "temperature_c",
            Self::ThrottleReasons => "throttle_reasons",
            Self::PcieRx => "pcie_rx_kbps",
            Self::PcieTx => "pcie_tx_kbps",
            Self::EccEnabled => "ecc_enabled",
            Self::EccUncorrected => "ecc_uncorrected_count",
            Self::MigEnabled => "mig_enabled",
            Self::PowerLimit => "power_limit_mw",
            Self::ApplicationSmClock => "application_sm_clock_mhz",
            Self::ApplicationMemoryClock => "application_memory_clock_mhz",
            Self::GpmSmActivity => "gpm_sm_activity_permille",
            Self::GpmSmOccupancy => "gpm_sm_occupancy_permille",
            Self::GpmTensorActivity => "gpm_tensor_activity_permille",
            Self::GpmDramBandwidth => "gpm_dram_bandwidth_permille",
            Self::Xid => "xid",
        }
    }

    /// How far its readings lie apart at least. What changes rarely or costs much is asked once a second: a
    /// PCIe question alone holds the caller for the 20 ms over which the driver counts. GPM compares two
    /// samples, which need some time between them. The others are in every reading.
    pub const fn interval(self) -> Nanos {
        match self {
            Self::Energy
            | Self::Power
            | Self::PowerAverage
            | Self::PowerInstant
            | Self::GpuUtilization
            | Self::MemoryUtilization
            | Self::MemoryUsed
            | Self::SmClock
            | Self::MemoryClock
            | Self::Temperature
            | Self::ThrottleReasons
            | Self::Xid => Nanos::new(0),
            Self::GpmSmActivity
            | Self::GpmSmOccupancy
            | Self::GpmTensorActivity
            | Self::GpmDramBandwidth => Nanos::new(100_000_000),
            Self::ProcessMemory
            | Self::ProcessCount
            | Self::PcieRx
            | Self::PcieTx
            | Self::EccEnabled
            | Self::EccUncorrected
            | Self::MigEnabled
            | Self::PowerLimit
            | Self::ApplicationSmClock
            | Self::ApplicationMemoryClock => Nanos::new(1_000_000_000),
        }
    }
}
