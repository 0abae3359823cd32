//! The card's sensors during a run.

use std::sync::Arc;

use super::exit::{CliError, Exit};
use crate::clock::Monotonic;
use crate::record::observation::{Block, Device, Sensors};
use crate::telemetry::card::{CardIdentity, Choice};
use crate::telemetry::nvml::{self, Access};
use crate::telemetry::sampler::{SamplePeriod, Sampler};

/// What reads the sensors, or why nothing does.
pub(super) enum Watch {
    /// The device has no sensors of its own.
    Nothing,
    /// They are read.
    Card(Box<Sampler>),
    /// They cannot be read; every block says why.
    Silent(Box<Sensors>),
}

impl Watch {
    /// Finds the card that `device` is and starts reading it. Without sensors the run goes on, unless
    /// they are `required`.
    pub(super) fn start(device: &Device, required: Requirement) -> Result<Self, CliError> {
        let Some(identity) = CardIdentity::of(device) else {
            return match required {
                Requirement::Required => Err(refuse(&format!("{} has no sensors", device.name))
                    .hint("run on a card, or leave --require-telemetry out")),
                Requirement::Optional => Ok(Self::Nothing),
            };
        };
        let period = SamplePeriod::default();
        let started = nvml::open(&Access::default(), &Choice::Identity(identity))
            .and_then(|probe| Sampler::start(Box::new(probe), period, Arc::new(Monotonic)));
        match (started, required) {
            (Ok(sampler), _) => Ok(Self::Card(Box::new(sampler))),
            (Err(reason), Requirement::Required) => {
                Err(refuse(&reason.to_string()).hint(reason.remedy()))
            }
            (Err(reason), Requirement::Optional) => {
                Ok(Self::Silent(Box::new(reason.sensors(period.nanos()))))
            }
        }
    }

    /// What the sensors said during a block.
    pub(super) fn during(&self, block: &Block) -> Option<Sensors> {
        match self {
            Self::Nothing => None,
            Self::Silent(sensors) => Some(sensors.as_ref().clone()),
            Self::Card(sampler) => {
                let from = block.started.monotonic_ns;
                Some(sampler.cut(from, from + block.cpu.wall_ns))
            }
        }
    }
}

/// Whether a run may go on without sensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requirement {
    /// `--require-telemetry`
    Required,
    /// The report shows what is missing.
    Optional,
}

fn refuse(reason: &str) -> CliError {
    CliError::new(
        Exit::Device,
        anyhow::anyhow!("telemetry is required: {reason}"),
    )
}
