//! Whether a run may be gone on with: facts of different things are never pooled.

use crate::record::observation::{Device, DeviceKind, Session};

/// What differs between the run in the file and the one that wants to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot resume: {what} is {now}, but the record has {was}; start a new --out")]
pub struct Difference {
    /// What differs.
    pub what: &'static str,
    /// In the record.
    pub was: String,
    /// Now.
    pub now: String,
}

/// Compares the last session of a file and its device with the one that wants to go on.
pub fn check_resume(was: (&Session, &Device), now: (&Session, &Device)) -> Result<(), Difference> {
    check_device(was.1, now.1)?;
    let (was, now) = (was.0, now.0);
    same(
        "the executable's SHA-256",
        &was.harness.binary_sha256,
        &now.harness.binary_sha256,
    )?;
    same("the engine", &was.engine, &now.engine)?;
    same("the model", &was.model.source, &now.model.source)?;
    same_debug("the model's shape", &was.model.shape, &now.model.shape)?;
    same_debug("the model's files", &was.model.files, &now.model.files)?;
    same("the prompts", &was.prompts, &now.prompts)?;
    check_study(was, now)
}

fn check_device(was: &Device, now: &Device) -> Result<(), Difference> {
    same("the device", &was.name, &now.name)?;
    same_debug("the device's kind", &was.kind, &now.kind)?;
    same_debug("the device's identity", &was.uuid, &now.uuid)?;
    same_debug("the driver", &was.driver, &now.driver)?;
    same_debug("the driver's CUDA version", &was.cuda, &now.cuda)?;
    same_debug("the number of threads", &was.threads, &now.threads)?;
    match was.kind {
        // A virtual machine's memory may differ by pages from one start to the next.
        DeviceKind::Cpu => Ok(()),
        DeviceKind::Cuda | DeviceKind::Sim => {
            same("the device's memory", &was.memory_bytes, &now.memory_bytes)
        }
    }
}

/// The parts of the study that are not compared elsewhere, by name.
fn check_study(was: &Session, now: &Session) -> Result<(), Difference> {
    let (was, now) = (&was.study, &now.study);
    same_debug("the study's sweep", &was.sweep, &now.sweep)?;
    same_debug("the study's [measure]", &was.measure, &now.measure)?;
    same("the study's device", &was.device, &now.device)?;
    same_debug("the study's [price]", &was.price, &now.price)?;
    same_debug("the study's [quality]", &was.quality, &now.quality)
}

fn same<T: PartialEq + std::fmt::Display>(
    what: &'static str,
    was: &T,
    now: &T,
) -> Result<(), Difference> {
    if was == now {
        return Ok(());
    }
    Err(Difference {
        what,
        was: was.to_string(),
        now: now.to_string(),
    })
}

fn same_debug<T: PartialEq + std::fmt::Debug>(
    what: &'static str,
    was: &T,
    now: &T,
) -> Result<(), Difference> {
    if was == now {
        return Ok(());
    }
    Err(Difference {
        what,
        was: format!("{was:?}"),
        now: format!("{now:?}"),
    })
}
