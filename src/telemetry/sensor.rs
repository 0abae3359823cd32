//! The questions that answer the sensors, and one reading of all.

use crate::record::sensor::{NOT_READ, Sensor};
use crate::units::Nanos;

/// One question to the driver; some answer several sensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// The energy counter; the first of a reading, so that its time is that of the reading.
    Energy,
    /// Board power.
    Power,
    /// Mean and momentary board power.
    PowerFields,
    /// Utilization of SMs and memory.
    Utilization,
    /// Memory in use.
    Memory,
    /// Clock of the SMs.
    SmClock,
    /// Clock of the memory.
    MemoryClock,
    /// Temperature.
    Temperature,
    /// Reasons why clocks are not higher.
    Throttle,
    /// XID errors since the last time.
    Events,
    /// GPM metrics since the last time.
    Gpm,
    /// Processes with a compute context.
    Processes,
    /// PCIe traffic to the card.
    PcieRx,
    /// PCIe traffic from the card.
    PcieTx,
    /// ECC mode and errors.
    Ecc,
    /// MIG mode.
    Mig,
    /// Power limit in force.
    PowerLimit,
    /// Clocks that programs are given.
    ApplicationClocks,
}

impl Question {
    /// How many questions there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every question, in the order in which a reading puts them.
    pub const ALL: [Self; 18] = [
        Self::Energy,
        Self::Power,
        Self::PowerFields,
        Self::Utilization,
        Self::Memory,
        Self::SmClock,
        Self::MemoryClock,
        Self::Temperature,
        Self::Throttle,
        Self::Events,
        Self::Gpm,
        Self::Processes,
        Self::PcieRx,
        Self::PcieTx,
        Self::Ecc,
        Self::Mig,
        Self::PowerLimit,
        Self::ApplicationClocks,
    ];

    /// The sensors that it answers.
    pub const fn sensors(self) -> &'static [Sensor] {
        match self {
            Self::Energy => &[Sensor::Energy],
            Self::Power => &[Sensor::Power],
            Self::PowerFields => &[Sensor::PowerAverage, Sensor::PowerInstant],
            Self::Utilization => &[Sensor::GpuUtilization, Sensor::MemoryUtilization],
            Self::Memory => &[Sensor::MemoryUsed],
            Self::SmClock => &[Sensor::SmClock],
            Self::MemoryClock => &[Sensor::MemoryClock],
            Self::Temperature => &[Sensor::Temperature],
            Self::Throttle => &[Sensor::ThrottleReasons],
            Self::Events => &[Sensor::Xid],
            Self::Gpm => &[
                Sensor::GpmSmActivity,
                Sensor::GpmSmOccupancy,
                Sensor::GpmTensorActivity,
                Sensor::GpmDramBandwidth,
            ],
            Self::Processes => &[Sensor::ProcessMemory, Sensor::ProcessCount],
            Self::PcieRx => &[Sensor::PcieRx],
            Self::PcieTx => &[Sensor::PcieTx],
            Self::Ecc => &[Sensor::EccEnabled, Sensor::EccUncorrected],
            Self::Mig => &[Sensor::MigEnabled],
            Self::PowerLimit => &[Sensor::PowerLimit],
            Self::ApplicationClocks => {
                &[Sensor::ApplicationSmClock, Sensor::ApplicationMemoryClock]
            }
        }
    }

    /// How long to wait before putting it again.
    pub const fn interval(self) -> Nanos {
        self.sensors()[0].interval()
    }
}

/// Why a sensor has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Absence {
    /// It was not asked in this reading.
    #[error("{}", NOT_READ)]
    NotAsked,
    /// It speaks only when something happens.
    #[error("nothing happened")]
    Quiet,
    /// It needs a reading before this one.
    #[error("the first sample has nothing to be compared with")]
    NoEarlierSample,
    /// The card does not have it.
    #[error("not supported by this card")]
    NotSupported,
    /// The driver does not have it.
    #[error("the driver is too old: its library lacks this function")]
    SymbolMissing,
    /// This user may not read it.
    #[error("no permission to read it")]
    NoPermission,
    /// The card is gone, or needs a reset before it answers.
    #[error("the card is lost")]
    CardLost,
    /// The card gives it for all slices together.
    #[error("the card gives it for all MIG slices together")]
    SharedByMig,
    /// It held up the reading for too long once.
    #[error("the driver took more than {seconds} s to answer; not asked again")]
    TooSlow {
        /// What it may take.
        seconds: u64,
    },
    /// No worker is running.
    #[error("no worker was running")]
    NoWorker,
    /// The driver lists processes, but not the worker.
    #[error("the driver does not list the worker (in a container it shows host ids or none)")]
    NotListed,
    /// The driver lists the worker without its memory.
    #[error("the driver lists the worker without its memory")]
    NotTold,
    /// The driver answered with a number that cannot be.
    #[error("the driver answered with a number out of range")]
    OutOfRange,
    /// Another error of the driver.
    #[error("{0}")]
    Driver(&'static str),
}

impl Absence {
    /// Whether asking again is of no use.
    pub const fn is_permanent(self) -> bool {
        match self {
            Self::NotSupported
            | Self::SymbolMissing
            | Self::NoPermission
            | Self::CardLost
            | Self::SharedByMig
            | Self::TooSlow { .. } => true,
            Self::NotAsked
            | Self::Quiet
            | Self::NoEarlierSample
            | Self::NoWorker
            | Self::NotListed
            | Self::NotTold
            | Self::OutOfRange
            | Self::Driver(_) => false,
        }
    }
}

/// A process with a compute context on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its id, as the driver sees it.
    pub pid: u32,
    /// Its memory, where the driver tells.
    pub memory_bytes: Option<u64>,
}

/// What every sensor answered, or why it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    values: [Result<u64, Absence>; Sensor::COUNT],
    /// Processes with a compute context; empty when they were not asked for.
    pub processes: Vec<Process>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            values: [Err(Absence::NotAsked); Sensor::COUNT],
            processes: Vec::new(),
        }
    }
}

impl Reading {
    /// What a sensor answered.
    pub fn value(&self, sensor: Sensor) -> Result<u64, Absence> {
        self.values[sensor as usize]
    }

    /// Enters an answer.
    pub fn set(&mut self, sensor: Sensor, value: Result<u64, Absence>) {
        self.values[sensor as usize] = value;
    }

    /// Enters one absence for all sensors of a question.
    pub fn set_absent(&mut self, question: Question, absence: Absence) {
        for &sensor in question.sensors() {
            self.set(sensor, Err(absence));
        }
    }

    /// Forgets all answers and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.values = [Err(Absence::NotAsked); Sensor::COUNT];
        self.processes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sensor_is_answered_by_one_question() {
        for sensor in Sensor::ALL {
            let questions = Question::ALL
                .iter()
                .filter(|question| question.sensors().contains(&sensor));
            assert_eq!(questions.count(), 1, "{sensor:?}");
        }
    }

    #[test]
    fn the_lists_follow_the_enums() {
        for (place, sensor) in Sensor::ALL.into_iter().enumerate() {
            assert_eq!(sensor as usize, place);
        }
        for (place, question) in Question::ALL.into_iter().enumerate() {
            assert_eq!(question as usize, place);
        }
    }

    #[test]
    fn a_column_names_its_sensor_alone() {
        let names: std::collections::BTreeSet<_> = Sensor::ALL.map(Sensor::column).into();
        assert_eq!(names.len(), Sensor::COUNT);
    }
}
