//! NVML's errors in the words of telemetry.

use nvml_wrapper::error::NvmlError;

use crate::telemetry::card::printable;
use crate::telemetry::sensor::Absence;
use crate::telemetry::unavailable::Unavailable;

/// Return codes that the wrapper has no name for: `NVML_ERROR_ARGUMENT_VERSION_MISMATCH` and
/// `NVML_ERROR_NOT_READY` of `nvml.h`.
const ANOTHER_VERSION: u32 = 25;
const NOT_READY: u32 = 27;

/// Why one sensor did not answer.
#[expect(
    deprecated,
    reason = "the wrapper's enum keeps codes that drivers no longer return"
)]
pub(super) fn absence(error: &NvmlError) -> Absence {
    match error {
        NvmlError::NotSupported | NvmlError::VgpuEccNotSupported => Absence::NotSupported,
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => Absence::SymbolMissing,
        NvmlError::NoPermission => Absence::NoPermission,
        NvmlError::GpuLost | NvmlError::ResetRequired => Absence::CardLost,
        NvmlError::Timeout => Absence::Driver("the driver timed out"),
        NvmlError::InUse => Absence::Driver("the card is in use by another tool"),
        NvmlError::NoData => Absence::Driver("the driver has no data yet"),
        NvmlError::InvalidArg => Absence::Driver("the driver refused the question"),
        NvmlError::NotFound => Absence::Driver("the driver did not find what was asked for"),
        NvmlError::Uninitialized => Absence::Driver("the driver was shut down"),
        NvmlError::DriverNotLoaded => Absence::Driver("the driver was unloaded"),
        NvmlError::LibRmVersionMismatch => {
            Absence::Driver("driver and library have different versions")
        }
        NvmlError::IrqIssue => Absence::Driver("the card's interrupts do not arrive"),
        NvmlError::CorruptedInfoROM => Absence::Driver("the card's InfoROM is corrupted"),
        NvmlError::InsufficientPower => Absence::Driver("the card's power cables are not in order"),
        NvmlError::OperatingSystem => Absence::Driver("the operating system blocked the question"),
        NvmlError::InsufficientMemory => Absence::Driver("the driver ran out of memory"),
        NvmlError::InsufficientSize(_) => Absence::Driver("the answer grew while it was read"),
        NvmlError::Utf8Error(_) => Absence::Driver("the driver answered with broken text"),
        NvmlError::UnexpectedVariant(ANOTHER_VERSION) => {
            Absence::Driver("the driver knows another version of the question")
        }
        NvmlError::UnexpectedVariant(NOT_READY) => Absence::Driver("the driver is not ready yet"),
        NvmlError::UnexpectedVariant(_) | NvmlError::IncorrectBits(_) => Absence::OutOfRange,
        NvmlError::NulError(_)
        | NvmlError::LibloadingError(_)
        | NvmlError::StringTooLong { .. }
        | NvmlError::SetReleaseFailed
        | NvmlError::GetPciInfoFailed
        | NvmlError::PciInfoToCFailed
        | NvmlError::AlreadyInitialized
        | NvmlError::LibraryNotFound
        | NvmlError::Unknown => Absence::Driver("an internal error of the driver"),
    }
}

/// Why there is no telemetry at all: the error of loading `library` or of finding the card.
pub(super) fn unavailable(error: &NvmlError, library: &str) -> Unavailable {
    if let NvmlError::LibloadingError(detail) = error {
        let detail = printable(&detail.to_string());
        return Unavailable::LibraryAbsent { detail };
    }
    match absence(error) {
        Absence::SymbolMissing => Unavailable::NotNvml {
            library: library.to_owned(),
        },
        Absence::NoPermission => Unavailable::NoPermission,
        Absence::CardLost => Unavailable::CardLost,
        Absence::Driver(_) if matches!(error, NvmlError::DriverNotLoaded) => {
            Unavailable::DriverNotLoaded
        }
        Absence::Driver(_) if matches!(error, NvmlError::LibRmVersionMismatch) => {
            Unavailable::VersionMismatch
        }
        other => Unavailable::Failed {
            detail: other.to_string(),
        },
    }
}
