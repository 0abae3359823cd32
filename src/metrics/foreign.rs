//! Whether something else used the card: by what it did before the first worker against after the
//! last one.
//!
//! In a container the driver lists processes by the ids of the host, or none at all. What can be told
//! there is told by memory and utilization, and that processes cannot be told is said.

use std::fmt;

use super::facts::{Facts, Sitting};
use super::sensors::{GPU_UTILIZATION, MEMORY_USED, PROCESS_COUNT, PROCESS_MEMORY, of, readings};
use crate::record::card::{CardFacts, Sensors};
use crate::record::observation::Block;

/// A card at rest computes less often than this.
const BUSY_SHARE: f64 = 0.05;
/// A card that nobody uses holds less of its memory than this; the driver itself takes about 1 %.
const HELD_SHARE: f64 = 0.05;
/// Memory that the driver may keep or give back by itself between two looks.
const MEMORY_CHANGE_BYTES: u64 = 100_000_000;

/// When the card was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the first worker started.
    Before,
    /// After the last worker ended.
    After,
}

/// What tells that something else used the card.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ForeignUse {
    /// More processes than the worker while it ran.
    Beside {
        /// Processes besides the worker.
        processes: u64,
    },
    /// Processes while no worker ran.
    Processes {
        /// When.
        when: When,
        /// How many.
        processes: u64,
    },
    /// Work while no worker ran.
    Work {
        /// When.
        when: When,
        /// Share of the time.
        share: f64,
    },
    /// Memory that somebody holds.
    Memory {
        /// Bytes held before the first worker.
        bytes: u64,
        /// Share of the card's memory.
        share: f64,
    },
    /// Memory that came or went meanwhile.
    MemoryChange {
        /// Before the first worker.
        before_bytes: u64,
        /// After the last one.
        after_bytes: u64,
    },
}

/// What is known of others on the card.
#[derive(Debug, Clone, PartialEq)]
pub enum Others {
    /// They were seen.
    Seen(Vec<ForeignUse>),
    /// None was seen, and they would have been.
    None,
    /// None was seen, but processes do not show here.
    CannotTell(Hidden),
}

/// Why processes do not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// The driver lists none here, or by ids of the host.
    ByDriver,
    /// Which of a card's MIG instances is meant is not known, and each has processes of its own.
    ByMig,
}

impl Hidden {
    /// Why processes do not show on this card.
    fn of(card: Option<&CardFacts>) -> Self {
        let divided = card.is_some_and(|card| card.mig == Some(true) && card.mig_uuid.is_none());
        if divided { Self::ByMig } else { Self::ByDriver }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::ByDriver => {
                "run on the host or with its process ids (docker run --pid=host), or rent the whole machine"
            }
            Self::ByMig => {
                "give the container or machine one MIG instance alone, or turn MIG off (`nvidia-smi -mig 0`)"
            }
        }
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByDriver => "its driver does not show the processes here",
            Self::ByMig => {
                "MIG divides it into several instances, and which of them ran is not known here"
            }
        })
    }
}

/// What the facts tell of others on the card, over all sessions; `None` where no card was watched.
pub fn others(facts: &Facts<'_>) -> Option<Others> {
    let watched = facts
        .sittings
        .iter()
        .filter(|sitting| sitting.device.is_some_and(|device| device.card.is_some()));
    let seen: Vec<ForeignUse> = watched.clone().flat_map(seen).collect();
    if !seen.is_empty() {
        return Some(Others::Seen(seen));
    }
    let blind = |sitting: &Sitting<'_>| !sitting.blocks.is_empty() && !shows_processes(sitting);
    watched.clone().next()?;
    Some(if watched.clone().any(blind) {
        Others::CannotTell(Hidden::of(facts.card()))
    } else {
        Others::None
    })
}

/// What one session saw of others.
fn seen(sitting: &Sitting<'_>) -> Vec<ForeignUse> {
    let (before, after) = (sitting.before(), sitting.after);
    let total = sitting.device.and_then(|d| d.card.as_ref()?.memory_bytes);
    [(When::Before, before), (When::After, after)]
        .into_iter()
        .filter_map(|(when, sensors)| Some(at_rest(when, sensors?)))
        .flatten()
        .chain(before.and_then(|sensors| held(sensors, total?)))
        .chain(change(before, after))
        .collect()
}

/// Others beside the worker in some blocks.
pub(crate) fn beside(blocks: &[&Block]) -> Option<ForeignUse> {
    let most = readings(blocks, PROCESS_COUNT).max()?;
    (most > 1).then(|| ForeignUse::Beside {
        processes: most - 1,
    })
}

/// What a card does that should do nothing.
fn at_rest(when: When, sensors: &Sensors) -> Vec<ForeignUse> {
    let mut seen = Vec::new();
    if let Some(processes) = of(sensors, PROCESS_COUNT).max().filter(|n| *n > 0) {
        seen.push(ForeignUse::Processes { when, processes });
    }
    // The driver averages over up to a second: the later half is free of what was before.
    let percent: Vec<u64> = of(sensors, GPU_UTILIZATION).collect();
    let later = &percent[percent.len() / 2..];
    if !later.is_empty() {
        let share = later.iter().sum::<u64>() as f64 / later.len() as f64 / 100.0;
        if share > BUSY_SHARE {
            seen.push(ForeignUse::Work { when, share });
        }
    }
    seen
}

fn held(before: &Sensors, total: u64) -> Option<ForeignUse> {
    let bytes = of(before, MEMORY_USED).last()?;
    let share = bytes as f64 / total as f64;
    (total > 0 && share > HELD_SHARE).then_some(ForeignUse::Memory { bytes, share })
}

fn change(before: Option<&Sensors>, after: Option<&Sensors>) -> Option<ForeignUse> {
    let before_bytes = of(before?, MEMORY_USED).last()?;
    let after_bytes = of(after?, MEMORY_USED).last()?;
    (before_bytes.abs_diff(after_bytes) > MEMORY_CHANGE_BYTES).then_some(ForeignUse::MemoryChange {
        before_bytes,
        after_bytes,
    })
}

/// Whether a process on the card would show: the driver counts them, and it knew the worker.
fn shows_processes(sitting: &Sitting<'_>) -> bool {
    let counts = |sensors| of(sensors, PROCESS_COUNT).next().is_some();
    let mut knew = readings(&sitting.blocks, PROCESS_MEMORY);
    sitting.before().is_some_and(counts) && knew.next().is_some()
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before the first worker",
            Self::After => "after the last worker",
        })
    }
}

impl fmt::Display for ForeignUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        match *self {
            Self::Beside { processes } => write!(f, "{processes} other processes used the card"),
            Self::Processes { when, processes } => {
                write!(f, "{processes} processes used the card {when}")
            }
            Self::Work { when, share } => {
                write!(
                    f,
                    "the card was busy {:.1} % of the time {when}",
                    share * 100.0
                )
            }
            Self::Memory { bytes, share } => write!(
                f,
                "{:.1} GB, {:.1} % of the card's memory, were in use before the first worker",
                gigabytes(bytes),
                share * 100.0
            ),
            Self::MemoryChange {
                before_bytes,
                after_bytes,
            } => write!(
                f,
                "memory in use was {:.1} GB before the first worker and {:.1} GB after the last one",
                gigabytes(before_bytes),
                gigabytes(after_bytes)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{Script, columns, generation, point};
    use crate::record::machine::DeviceKind;
    use crate::record::observation::{EndStatus, Record};

    const QUIET: [(&str, u64); 3] = [
        ("process_count", 0),
        ("gpu_utilization_percent", 0),
        ("memory_used_bytes", 600_000_000),
    ];

    fn with(changed: &[(&'static str, u64)]) -> Vec<(&'static str, u64)> {
        let mut all = QUIET.to_vec();
        for &(name, value) in changed {
            all.retain(|(other, _)| *other != name);
            all.push((name, value));
        }
        all
    }

    /// An 80 GB card, what it did before and after, and what its driver said during a block.
    fn script(before: &[(&str, u64)], after: &[(&str, u64)], during: &[(&str, u64)]) -> Script {
        let point = point(1, 100, 2);
        let mut script = Script::new(&[point]);
        let device = script.device_mut();
        device.kind = DeviceKind::Cuda;
        device.card = Some(Box::new(CardFacts {
            memory_bytes: Some(80_000_000_000),
            ..CardFacts::default()
        }));
        device.before = Some(Box::new(columns(before)));
        script.block(point, vec![generation(10, &[10])]);
        script.last_block_mut().sensors = Some(columns(during));
        script.end(EndStatus::Complete);
        if let Some(Record::End(end)) = script.records.last_mut() {
            end.after = Some(Box::new(columns(after)));
        }
        script
    }

    fn run(
        before: &[(&str, u64)],
        after: &[(&str, u64)],
        during: &[(&str, u64)],
    ) -> Option<Others> {
        others(&script(before, after, during).facts())
    }

    const KNOWN: [(&str, u64); 2] = [("process_count", 1), ("process_memory_bytes", 5)];

    #[test]
    fn a_card_that_is_ours_alone_shows_nobody() {
        assert_eq!(run(&QUIET, &QUIET, &KNOWN), Some(Others::None));
    }

    #[test]
    fn a_driver_that_hides_processes_cannot_tell() {
        let cannot = Some(Others::CannotTell(Hidden::ByDriver));
        // Host ids in a container: the worker is not among them.
        assert_eq!(run(&QUIET, &QUIET, &[("process_count", 1)]), cannot);
        let silent = [("memory_used_bytes", 600_000_000)];
        assert_eq!(run(&silent, &silent, &[("power_mw", 1)]), cannot);
    }

    #[test]
    fn processes_that_instances_hide_are_not_blamed_on_a_container() {
        let mut script = script(&QUIET, &QUIET, &[("process_count", 1)]);
        let told = |script: &Script| match others(&script.facts()) {
            Some(Others::CannotTell(hidden)) => hidden,
            other => panic!("{other:?}"),
        };
        let card = script.device_mut().card.as_mut().unwrap();
        card.mig = Some(true);
        let hidden = told(&script);
        assert_eq!(hidden, Hidden::ByMig);
        assert!(hidden.to_string().contains("MIG") && hidden.remedy().contains("MIG"));
        assert!(!hidden.remedy().contains("docker"));
        // One instance that is known has a list of its own.
        let card = script.device_mut().card.as_mut().unwrap();
        card.mig_uuid = Some("MIG-a".to_owned());
        assert_eq!(told(&script), Hidden::ByDriver);
    }

    #[test]
    fn each_trace_of_others_is_seen_by_itself() {
        use ForeignUse::{Memory, MemoryChange, Processes, Work};
        let seen = |before: &[(&'static str, u64)], after: &[(&'static str, u64)]| match run(
            &with(before),
            &with(after),
            &KNOWN,
        ) {
            Some(Others::Seen(seen)) => seen,
            other => panic!("{other:?}"),
        };
        let when = When::Before;
        let processes = 2;
        assert_eq!(
            seen(&[("process_count", 2)], &[]),
            [Processes { when, processes }]
        );
        let when = When::After;
        assert_eq!(
            seen(&[], &[("process_count", 2)]),
            [Processes { when, processes }]
        );
        let share = 0.5;
        assert_eq!(
            seen(&[], &[("gpu_utilization_percent", 50)]),
            [Work { when, share }]
        );
        let held = 8_000_000_000;
        let change = MemoryChange {
            before_bytes: held,
            after_bytes: 600_000_000,
        };
        let memory = Memory {
            bytes: held,
            share: 0.1,
        };
        assert_eq!(seen(&[("memory_used_bytes", held)], &[]), [memory, change]);
    }

    #[test]
    fn others_of_an_earlier_session_are_not_forgotten_by_the_next() {
        let mut script = script(&QUIET, &with(&[("process_count", 2)]), &KNOWN);
        let calm = self::script(&QUIET, &QUIET, &KNOWN);
        script.records.extend(calm.records);
        let when = When::After;
        let processes = 2;
        let seen = Others::Seen(vec![ForeignUse::Processes { when, processes }]);
        assert_eq!(others(&script.facts()), Some(seen));
    }

    #[test]
    fn little_is_nobody() {
        let little = with(&[
            ("gpu_utilization_percent", 5),
            ("memory_used_bytes", 690_000_000),
        ]);
        assert_eq!(run(&little, &QUIET, &KNOWN), Some(Others::None));
    }
}
