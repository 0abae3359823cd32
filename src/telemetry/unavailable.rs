//! Why there is no telemetry at all, and what helps.

use std::time::Duration;

use super::card::Unmatched;
use crate::record::card::Sensors;
use crate::record::sensor::Sensor;
use crate::units::Nanos;

/// Why there is no telemetry at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The library is not there.
    #[error("NVML cannot be loaded: {detail}")]
    LibraryAbsent {
        /// What the dynamic loader says.
        detail: String,
    },
    /// A library was loaded, but not this one.
    #[error("{library} is no NVML: it lacks nvmlInit_v2")]
    NotNvml {
        /// The library.
        library: String,
    },
    /// The kernel module is not loaded.
    #[error("the NVIDIA driver is not loaded")]
    DriverNotLoaded,
    /// The kernel module and the library are of different versions.
    #[error("the NVIDIA driver and its library have different versions")]
    VersionMismatch,
    /// This user may not ask.
    #[error("no permission to ask the NVIDIA driver")]
    NoPermission,
    /// The card does not answer any more.
    #[error("the card is lost")]
    CardLost,
    /// The engine's card is not among those of the driver.
    #[error(transparent)]
    Unmatched(#[from] Unmatched),
    /// The driver did not answer in time.
    #[error("the NVIDIA driver has not answered for {} s", .waited.as_secs())]
    Silent {
        /// How long it had.
        waited: Duration,
    },
    /// Anything else.
    #[error("NVML failed: {detail}")]
    Failed {
        /// What the driver says.
        detail: String,
    },
}

impl Unavailable {
    /// What helps.
    pub fn remedy(&self) -> String {
        let text = match self {
            Self::LibraryAbsent { .. } | Self::NotNvml { .. } => {
                "install the NVIDIA driver; in a container, give it the capability `utility` \
                 (NVIDIA_DRIVER_CAPABILITIES=compute,utility)"
            }
            Self::DriverNotLoaded => "load the kernel module (modprobe nvidia) or reboot",
            Self::VersionMismatch => {
                "reboot, so that the kernel module matches the library that was updated"
            }
            Self::NoPermission => "give this user access to /dev/nvidia* and /dev/nvidiactl",
            Self::CardLost => "reset the card (nvidia-smi -r) or reboot",
            Self::Unmatched(unmatched) => return unmatched.remedy().to_owned(),
            Self::Silent { .. } => {
                "look for driver errors (dmesg | grep NVRM); start nvidia-persistenced, which \
                 keeps the driver loaded"
            }
            Self::Failed { .. } => "look for driver errors (dmesg | grep NVRM)",
        };
        text.to_owned()
    }

    /// What a record holds for a window without telemetry: no reading, and the reason for each sensor.
    pub fn sensors(&self, period: Nanos) -> Sensors {
        Sensors {
            period_ns: period,
            absent: Sensor::ALL
                .iter()
                .map(|sensor| (sensor.column().to_owned(), self.to_string()))
                .collect(),
            ..Sensors::default()
        }
    }
}
