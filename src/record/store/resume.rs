//! Whether a run may be gone on with: facts of different things are never pooled.

use serde::Serialize;
use serde_json::Value;

use crate::record::machine::{Device, DeviceKind};
use crate::record::observation::Session;

/// What differs between the run in the file and the one that wants to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot resume: {what} is {now}, but the record has {was}; start a new --out")]
pub struct Difference {
    /// What differs.
    pub what: String,
    /// In the record.
    pub was: String,
    /// Now.
    pub now: String,
}

/// Compares the last session of a file with the one that wants to go on: what is known before a device is
/// looked at.
pub fn check_session(was: &Session, now: &Session) -> Result<(), Difference> {
    same("the study's device", &was.study.device, &now.study.device)?;
    same(
        "the executable's SHA-256",
        &was.harness.binary_sha256,
        &now.harness.binary_sha256,
    )?;
    same("the engine", &was.engine, &now.engine)?;
    same("the model", &was.model.source, &now.model.source)?;
    same_within("the model's shape", &was.model.shape, &now.model.shape)?;
    same_within("the model's files", &was.model.files, &now.model.files)?;
    same("the prompts", &was.prompts, &now.prompts)?;
    check_study(was, now)
}

/// Compares the device of a file with the one that is there now.
pub fn check_device(was: &Device, now: &Device) -> Result<(), Difference> {
    same("the device", &was.name, &now.name)?;
    same_within("the device's kind", &was.kind, &now.kind)?;
    same_within("the device's identity", &was.uuid, &now.uuid)?;
    same_within("the driver", &was.driver, &now.driver)?;
    same_within("the driver's CUDA version", &was.cuda, &now.cuda)?;
    same_within("the number of threads", &was.threads, &now.threads)?;
    match was.kind {
        // A virtual machine's memory may differ by pages from one start to the next.
        DeviceKind::Cpu => Ok(()),
        DeviceKind::Cuda | DeviceKind::Sim => {
            same("the device's memory", &was.memory_bytes, &now.memory_bytes)
        }
    }
}

/// The parts of the study that are not compared elsewhere, by name. Its price and what its report answers are
/// no part of what was measured: those of the newest session hold.
fn check_study(was: &Session, now: &Session) -> Result<(), Difference> {
    let (was, now) = (&was.study, &now.study);
    same_within("the study's sweep", &was.sweep, &now.sweep)?;
    same_within("the study's measure", &was.measure, &now.measure)?;
    same_within("the study's quality", &was.quality, &now.quality)
}

fn same<T: PartialEq + std::fmt::Display>(what: &str, was: &T, now: &T) -> Result<(), Difference> {
    if was == now {
        return Ok(());
    }
    Err(Difference {
        what: what.to_owned(),
        was: was.to_string(),
        now: now.to_string(),
    })
}

/// Compares two things as the record holds them, and names the place where they differ first.
fn same_within<T: PartialEq + Serialize>(what: &str, was: &T, now: &T) -> Result<(), Difference> {
    if was == now {
        return Ok(());
    }
    let written = |value: &T| serde_json::to_value(value).unwrap_or(Value::Null);
    Err(first_difference(
        what.to_owned(),
        &written(was),
        &written(now),
    ))
}

fn first_difference(what: String, was: &Value, now: &Value) -> Difference {
    if let (Value::Object(before), Value::Object(after)) = (was, now) {
        let nothing = &Value::Null;
        for key in before.keys().chain(after.keys()) {
            let (old, new) = (before.get(key), after.get(key));
            if old != new {
                let inner = format!("{what}.{key}");
                return first_difference(inner, old.unwrap_or(nothing), new.unwrap_or(nothing));
            }
        }
    }
    let shown = |value: &Value| match value {
        Value::Null => "—".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    Difference {
        what,
        was: shown(was),
        now: shown(now),
    }
}
