//! The card's sensors during a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::exit::{CliError, Exit};
use super::progress::Progress;
use crate::clock::{Clock as _, Monotonic};
use crate::engine::worker::Escort;
use crate::metrics::energy::Window;
use crate::record::card::{CardFacts, Sensors};
use crate::record::machine::Device;
use crate::record::observation::Block;
use crate::record::sensor::Sensor;
use crate::telemetry::card::{CardIdentity, Choice, DeviceOrder, Visibility};
use crate::telemetry::findings::{self, Finding};
use crate::telemetry::nvml::{self, Access};
use crate::telemetry::sampler::{CardState, Latest, SamplePeriod, Sampler};
use crate::telemetry::unavailable::Unavailable;
use crate::units::Nanos;

/// How long a reading may be waited for beyond its time; a driver that hangs is not waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What reads the sensors, or why nothing does.
pub(super) enum Watch {
    /// The device has no sensors of its own.
    Nothing,
    /// They are read.
    Card {
        /// By this thread.
        sampler: Box<Sampler>,
        /// Since when.
        since: Nanos,
        /// Blocks without any reading.
        unread: AtomicUsize,
    },
    /// They cannot be read; every block says why.
    Silent(Box<Sensors>),
}

impl Watch {
    /// Finds the card that `device` is and starts reading it. Without sensors the run goes on, unless
    /// they are `required`; on a card that is lost nothing is begun.
    pub(super) fn start(
        device: &Device,
        required: Requirement,
        progress: &Progress,
    ) -> Result<Self, CliError> {
        let Some(identity) = CardIdentity::of(device) else {
            return match required {
                Requirement::Required => Err(refuse(&format!("{} has no sensors", device.name))
                    .hint("run on a card, or leave --require-telemetry out")),
                Requirement::Optional => Ok(Self::Nothing),
            };
        };
        let period = SamplePeriod::default();
        let since = Monotonic.now();
        let choice = Choice::Identity(identity);
        let started = nvml::open(&access(), &choice, &|most| progress.line(&waiting(most)))
            .and_then(|probe| Sampler::start(Box::new(probe), period, Arc::new(Monotonic)));
        match (started, required) {
            (Ok(sampler), _) => {
                if required == Requirement::Required {
                    answers(&sampler, since)?;
                }
                Ok(Self::Card {
                    sampler: Box::new(sampler),
                    since,
                    unread: AtomicUsize::new(0),
                })
            }
            (Err(reason @ Unavailable::CardLost), _) => {
                let error = anyhow::anyhow!("{}: {reason}", device.name);
                Err(CliError::new(Exit::Device, error).hint(reason.remedy()))
            }
            (Err(reason), Requirement::Required) => {
                Err(refuse(&reason.to_string()).hint(reason.remedy()))
            }
            (Err(reason), Requirement::Optional) => {
                Ok(Self::Silent(Box::new(reason.sensors(period.nanos()))))
            }
        }
    }

    /// What the driver says of the card.
    pub(super) fn facts(&self) -> Option<&CardFacts> {
        match self {
            Self::Card { sampler, .. } => Some(sampler.facts()),
            Self::Nothing | Self::Silent(_) => None,
        }
    }

    /// The last readings, for the live line.
    pub(super) fn latest(&self) -> Option<Latest> {
        match self {
            Self::Card { sampler, .. } => sampler.latest(),
            Self::Nothing | Self::Silent(_) => None,
        }
    }

    /// What the card does before anything is measured, from now on for so long.
    pub(super) fn calm_before(&self, time: Duration) -> Option<Sensors> {
        let (sampler, window) = self.at_rest(time)?;
        Some(sampler.cut(window.from, window.to))
    }

    /// What the card did for so long until some time from now; `None` where it is not read any more.
    pub(super) fn calm_later(&self, from_now: Duration, time: Duration) -> Option<Sensors> {
        let Self::Card { sampler, .. } = self else {
            return None;
        };
        let nanos = |time: Duration| time.as_nanos() as u64;
        let to = Monotonic.now() + Nanos::new(nanos(from_now));
        let from = Nanos::new(to.value() - nanos(time));
        let read = sampler.wait_for_reading(to, from_now + PATIENCE);
        read.then(|| sampler.cut(from, to))
    }

    /// What the card does after everything was measured, and what no block has told of.
    pub(super) fn calm_after(&self, time: Duration) -> Option<Sensors> {
        let (sampler, window) = self.at_rest(time)?;
        Some(sampler.cut_block(window.from, window.to))
    }

    /// Waits until the card was read without a worker for so long.
    fn at_rest(&self, time: Duration) -> Option<(&Sampler, Window)> {
        let Self::Card { sampler, .. } = self else {
            return None;
        };
        let now = Monotonic.now();
        sampler.wait_for_reading(now, PATIENCE);
        // A cut takes the reading before it along: that has to be one without a worker too.
        let first = sampler.latest().map_or(now, |latest| latest.at.max(now));
        let from = first + Nanos::new(1);
        let to = from + Nanos::new(time.as_nanos() as u64);
        sampler.wait_for_reading(to, time + PATIENCE);
        Some((sampler, Window { from, to }))
    }

    /// What the sensors said during a block.
    pub(super) fn during(&self, block: &Block) -> Option<Sensors> {
        match self {
            Self::Nothing => None,
            Self::Silent(sensors) => Some(sensors.as_ref().clone()),
            Self::Card {
                sampler,
                since,
                unread,
            } => {
                let from = block.started.monotonic_ns;
                let to = from + block.cpu.wall_ns;
                let sensors = if from < *since || to > Monotonic.now() {
                    elsewhere(sampler)
                } else {
                    // One reading after the block, without which its last moments have no power.
                    sampler.wait_for_reading(to, PATIENCE);
                    sampler.cut_block(from, to)
                };
                if sensors.at_ns.is_empty() {
                    unread.fetch_add(1, Ordering::Relaxed);
                }
                Some(sensors)
            }
        }
    }

    /// Why a run that needs sensors has not had them to its end; `None` on a card that answered or was
    /// lost, which is a failure of its own.
    pub(super) fn failing(&self) -> Option<CliError> {
        let Self::Card {
            sampler, unread, ..
        } = self
        else {
            return None;
        };
        let unread = unread.load(Ordering::Relaxed);
        let reason = match sampler.state() {
            CardState::Silent { question, .. } => format!(
                "the driver fell silent when it was asked for {}; {unread} blocks have no reading",
                question.sensors()[0].column()
            ),
            CardState::Answering if unread > 0 => format!("{unread} blocks have no reading"),
            CardState::Answering | CardState::Lost { .. } => return None,
        };
        let waited = PATIENCE;
        Some(refuse(&reason).hint(Unavailable::Silent { waited }.remedy()))
    }

    /// What about the card would make a measurement worse, as it is now.
    pub(super) fn remarks(&self) -> Vec<Finding> {
        let (Some(facts), Some(latest)) = (self.facts(), self.latest()) else {
            return Vec::new();
        };
        let mut remarks = findings::of_card(facts, &latest.reading());
        remarks.retain(|finding| finding.remedy.is_some() && finding.what != "sensors");
        remarks
    }
}

impl Escort for Watch {
    fn accompany(&self, worker: Option<u32>) {
        match self {
            Self::Card { sampler, .. } => sampler.watch(worker),
            Self::Nothing | Self::Silent(_) => {}
        }
    }

    fn lost(&self) -> Option<String> {
        match self {
            Self::Card { sampler, .. } => lost(sampler),
            Self::Nothing | Self::Silent(_) => None,
        }
    }

    fn lost_by_now(&self) -> Option<String> {
        if let Self::Card { sampler, .. } = self {
            sampler.wait_for_last_word(Monotonic.now(), PATIENCE);
        }
        self.lost()
    }
}

/// What required telemetry stands for, each by any of some sensors: without one of them a report could not tell
/// what the card did. The others may be absent, with their reasons.
const NEEDED: [(&str, &[Sensor]); 4] = [
    (
        "power or energy",
        &[
            Sensor::Energy,
            Sensor::Power,
            Sensor::PowerAverage,
            Sensor::PowerInstant,
        ],
    ),
    ("GPU utilization", &[Sensor::GpuUtilization]),
    ("memory in use", &[Sensor::MemoryUsed]),
    ("SM clock", &[Sensor::SmClock]),
];

/// Refuses a card of which the first reading lacks what is needed.
fn answers(sampler: &Sampler, since: Nanos) -> Result<(), CliError> {
    if !sampler.wait_for_reading(since, PATIENCE) && sampler.latest().is_none() {
        let silent = Unavailable::Silent { waited: PATIENCE };
        return Err(refuse(&silent.to_string()).hint(silent.remedy()));
    }
    let Some(latest) = sampler.latest().filter(|_| lost(sampler).is_none()) else {
        return Ok(());
    };
    let reading = latest.reading();
    let absent = |sensors: &[Sensor]| {
        let mut values = sensors.iter().map(|sensor| reading.value(*sensor));
        let first = values.next()?.err()?;
        values.all(|value| value.is_err()).then_some(first)
    };
    let missing: Vec<String> = NEEDED
        .iter()
        .filter_map(|(what, sensors)| Some(format!("{what} ({})", absent(sensors)?)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reason = format!("the card does not show {}", missing.join(", "));
    Err(refuse(&reason).hint(
        "see what `mtok doctor` says of each, or leave --require-telemetry out: the report shows what is missing",
    ))
}

fn lost(sampler: &Sampler) -> Option<String> {
    match sampler.state() {
        CardState::Lost { cause, .. } => Some(cause.to_string()),
        CardState::Answering | CardState::Silent { .. } => None,
    }
}

/// Readings cannot be laid beside times that are not the machine's.
fn elsewhere(sampler: &Sampler) -> Sensors {
    let now = Monotonic.now();
    let reason = "the engine's time is scripted and not the machine's";
    let absent = Sensor::ALL.map(|sensor| (sensor.column().to_owned(), reason.to_owned()));
    Sensors {
        period_ns: sampler.cut(now, now).period_ns,
        absent: absent.into(),
        ..Sensors::default()
    }
}

/// Names NVML's library where the dynamic loader does not find it.
const LIBRARY: &str = "MTOK_NVML_LIBRARY";

/// How the driver is reached from here.
pub(super) fn access() -> Access {
    Access {
        library: std::env::var_os(LIBRARY).map(Into::into),
        ..Access::default()
    }
}

/// What this environment says of the cards that CUDA shows.
pub(super) fn visibility() -> Visibility {
    Visibility {
        devices: std::env::var_os("CUDA_VISIBLE_DEVICES")
            .map(|value| value.to_string_lossy().into_owned()),
        order: match std::env::var_os("CUDA_DEVICE_ORDER") {
            Some(order) if order == "PCI_BUS_ID" => DeviceOrder::PciBusId,
            Some(_) | None => DeviceOrder::FastestFirst,
        },
    }
}

/// What is said of a driver that takes its time.
pub(super) fn waiting(most: Duration) -> String {
    let seconds = most.as_secs();
    format!("waiting for the NVIDIA driver to answer, for at most {seconds} s")
}

/// Whether a run may go on without sensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requirement {
    /// `--require-telemetry`
    Required,
    /// The report shows what is missing.
    Optional,
}

pub(super) fn refuse(reason: &str) -> CliError {
    CliError::new(
        Exit::Device,
        anyhow::anyhow!("telemetry is required: {reason}"),
    )
}
