//! From the driver's answers to values, or to the reason why there is none.

use std::collections::BTreeSet;

use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;

use super::fault;
use crate::telemetry::sensor::{Absence, Process};

/// Processes, each counted once however many contexts it has. An entry without an id, as a driver lists
/// those of other containers, is a process of its own.
pub(super) fn count_of(processes: &[Process]) -> u64 {
    let ids = || processes.iter().map(|process| process.pid);
    let named: BTreeSet<u32> = ids().filter(|pid| *pid != 0).collect();
    (named.len() + ids().filter(|pid| *pid == 0).count()) as u64
}

/// The memory of all entries of the worker; a process has one per context.
pub(super) fn memory_of(worker: Option<u32>, processes: &[Process]) -> Result<u64, Absence> {
    let worker = worker.ok_or(Absence::NoWorker)?;
    let mut own = processes
        .iter()
        .filter(|process| process.pid == worker)
        .peekable();
    own.peek().ok_or(Absence::NotListed)?;
    own.map(|process| process.memory_bytes)
        .sum::<Option<u64>>()
        .ok_or(Absence::NotTold)
}

/// An answer, unless it is the number by which the driver says that there is none.
pub(super) fn checked(answer: Result<u64, NvmlError>, none: u64) -> Result<u64, Absence> {
    match answer {
        Ok(value) if value == none => Err(Absence::OutOfRange),
        Ok(value) => Ok(value),
        Err(error) => Err(fault::absence(&error)),
    }
}

pub(super) fn number(answer: Result<u32, NvmlError>) -> Result<u64, Absence> {
    checked(answer.map(u64::from), u64::from(u32::MAX))
}

pub(super) fn percent(value: u32) -> Result<u64, Absence> {
    (value <= 100)
        .then_some(u64::from(value))
        .ok_or(Absence::OutOfRange)
}

/// A share in percent as integer thousandths; a rounding error above the whole is none.
pub(super) fn permille(answer: Result<f64, NvmlError>) -> Result<u64, Absence> {
    let share = answer.map_err(|error| fault::absence(&error))?;
    if (0.0..=101.0).contains(&share) {
        Ok((share * 10.0).round() as u64)
    } else {
        Err(Absence::OutOfRange)
    }
}

pub(super) fn field(answer: Result<SampleValue, NvmlError>) -> Result<u64, Absence> {
    match answer {
        Ok(SampleValue::U32(value)) => number(Ok(value)),
        Ok(SampleValue::U64(value)) => checked(Ok(value), u64::MAX),
        Ok(SampleValue::I64(value)) => u64::try_from(value).map_err(|_| Absence::OutOfRange),
        Ok(SampleValue::F64(_)) => Err(Absence::OutOfRange),
        Err(error) => Err(fault::absence(&error)),
    }
}
