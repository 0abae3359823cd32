//! What can be watched on this machine, what cannot, and what helps: the telemetry of `mtok doctor`.

use std::time::Duration;

use super::card::{Unmatched, Visibility, printable};
use super::nvml::{self, Access, Seen, Surroundings, Versions};
use super::sensor::{Absence, Reading};
use super::unavailable::Unavailable;
use crate::record::card::CardFacts;
use crate::record::sensor::Sensor;

/// One line of a diagnosis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// Which card or MIG instance it is about, if one.
    pub card: Option<String>,
    /// How it is.
    pub state: String,
    /// What would make it better for a measurement; `None` when it is as it should be.
    pub remedy: Option<String>,
}

/// Asks the driver about every card that CUDA shows and judges what it says. `waiting` hears, once, that the
/// driver takes its time, and how much it has.
pub fn examine(
    access: &Access,
    visibility: &Visibility,
    waiting: &dyn Fn(Duration),
) -> Vec<Finding> {
    match nvml::look_around(access, visibility, waiting) {
        Ok(seen) => {
            let mut findings = of_driver(&seen.versions);
            findings.push(of_visibility(&seen, visibility));
            findings.extend(seen.silent.iter().map(of_silence));
            findings.extend(seen.cards.iter().flat_map(of_seen));
            findings
        }
        Err(unavailable) => of_absence(&unavailable),
    }
}

/// The diagnosis where there is no telemetry.
pub fn of_absence(unavailable: &Unavailable) -> Vec<Finding> {
    let lacking =
        "a report lacks what the card did: utilization, power, energy, clocks, throttling, memory";
    let state = format!("{unavailable}; {lacking}");
    vec![finding("NVML", state, Some(unavailable.remedy()))]
}

fn of_driver(versions: &Versions) -> Vec<Finding> {
    let driver = shown(versions.driver.as_deref());
    let cuda = shown(versions.cuda.as_deref());
    vec![
        finding("driver", format!("{driver} (CUDA {cuda})"), None),
        finding("NVML", shown(versions.nvml.as_deref()), None),
    ]
}

/// How many cards there are for a run.
fn of_visibility(seen: &Surroundings, visibility: &Visibility) -> Finding {
    let setting = visibility
        .devices
        .as_ref()
        .map_or(String::new(), |devices| {
            format!(" (CUDA_VISIBLE_DEVICES={:?})", printable(devices))
        });
    let listed = seen.listed;
    if let Some(doubt) = &seen.doubt {
        let state = format!("only some of these are visible{setting}: {doubt}");
        return finding("cards", state, Some(doubt.remedy().to_owned()));
    }
    let visible = seen.cards.len();
    let state = format!("{visible} visible of {listed}{setting}");
    match (listed, visible) {
        (0, _) => finding("cards", state, Some(Unmatched::NoCards.remedy().to_owned())),
        (_, 0) if !seen.silent.is_empty() => finding("cards", state, None),
        (_, 0) => {
            let remedy = "unset CUDA_VISIBLE_DEVICES, or set it to the UUID of a card";
            finding("cards", state, Some(remedy.to_owned()))
        }
        (1, _) | (_, 1) => finding("cards", state, None),
        _ => {
            let order = "a run finds its own by PCI id, in whatever order CUDA counts";
            finding("cards", format!("{state}; {order}"), None)
        }
    }
}

fn of_silence(reason: &Unavailable) -> Finding {
    finding("card", format!("— ({reason})"), Some(reason.remedy()))
}

/// The diagnosis of one card of the machine. A lost one has nothing to be judged but that.
fn of_seen(seen: &Seen) -> Vec<Finding> {
    let facts = &seen.facts;
    if is_lost(seen) {
        return vec![of_loss(facts)];
    }
    let mut findings = of_card(facts, &seen.reading);
    let bus = shown(facts.pci_bus_id.as_deref());
    let instances = match (&facts.mig_uuid, seen.instances.as_slice()) {
        (Some(instance), _) => format!(", MIG instance {instance}"),
        (None, []) => String::new(),
        (None, all) => format!(", MIG instances {}", all.join(", ")),
    };
    let name = shown(facts.name.as_deref());
    let uuid = shown(facts.uuid.as_deref());
    let state = format!("{name} ({uuid}) at {bus}{instances}");
    findings.insert(0, finding("card", state, None));
    for finding in &mut findings {
        finding.card = facts.mig_uuid.clone().or_else(|| facts.uuid.clone());
    }
    findings
}

/// Whether the driver calls a card lost that it still lists.
fn is_lost(seen: &Seen) -> bool {
    let lost = Absence::CardLost;
    let mut sensors = Sensor::ALL.iter();
    let reason = lost.to_string();
    sensors.any(|sensor| seen.reading.value(*sensor) == Err(lost))
        || seen.facts.absent.values().any(|why| *why == reason)
}

/// A card that is lost, by what is still known of it.
fn of_loss(facts: &CardFacts) -> Finding {
    let known = [&facts.name, &facts.uuid, &facts.pci_bus_id];
    let known: Vec<&str> = known.into_iter().filter_map(|it| it.as_deref()).collect();
    let reason = Unavailable::CardLost;
    if known.is_empty() {
        return of_silence(&reason);
    }
    let state = format!("{} ({reason})", known.join(" "));
    Finding {
        card: facts.uuid.clone(),
        ..finding("card", state, Some(reason.remedy()))
    }
}

/// The diagnosis of a card that answers, before anything runs on it.
pub fn of_card(facts: &CardFacts, reading: &Reading) -> Vec<Finding> {
    let judge = Judge { facts, reading };
    vec![
        judge.energy(),
        judge.gpm(),
        judge.clocks(),
        judge.power_limit(),
        judge.persistence(),
        judge.ecc(),
        judge.mig(),
        judge.memory(),
        judge.processes(),
        judge.sensors(),
    ]
}

struct Judge<'a> {
    facts: &'a CardFacts,
    reading: &'a Reading,
}

impl Judge<'_> {
    fn memory(&self) -> Finding {
        let gigabytes = |bytes: Option<u64>| {
            bytes.map_or("—".to_owned(), |bytes| {
                format!("{:.1}", bytes as f64 / 1e9)
            })
        };
        let used = self.reading.value(Sensor::MemoryUsed).ok();
        let total = self.facts.memory_bytes;
        let state = format!("{} of {} GB in use", gigabytes(used), gigabytes(total));
        // What the driver keeps for itself is about 1 %.
        let held = used
            .zip(total)
            .is_some_and(|(used, total)| used > total / 20);
        let remedy =
            held.then(|| "end what holds the memory, so that larger batches fit".to_owned());
        finding("card memory", state, remedy)
    }

    /// What a report will lack, each reason once.
    fn sensors(&self) -> Finding {
        let mut absent: Vec<(Absence, Vec<&str>)> = Vec::new();
        for sensor in Sensor::ALL {
            let Err(absence) = self.reading.value(sensor) else {
                continue;
            };
            let column = sensor.column();
            match absent.iter_mut().find(|(known, _)| *known == absence) {
                _ if speaks_later(absence) => {}
                Some((_, columns)) => columns.push(column),
                None => absent.push((absence, vec![column])),
            }
        }
        let silent: usize = absent.iter().map(|(_, columns)| columns.len()).sum();
        let mut state = format!("{} of {} answer", Sensor::COUNT - silent, Sensor::COUNT);
        let names: Vec<String> = absent
            .iter()
            .map(|(absence, columns)| format!("{}: {absence}", columns.join(", ")))
            .collect();
        if names.is_empty() {
            return finding("sensors", state, None);
        }
        state.push_str(&format!("; not {}", names.join("; ")));
        let remedy = "they stay — in a report; a newer driver or card, MIG off, or more permissions \
                      bring them where the reason says so";
        finding("sensors", state, Some(remedy.to_owned()))
    }

    fn energy(&self) -> Finding {
        let (state, remedy) = match self.reading.value(Sensor::Energy) {
            Ok(_) => ("counted by the card".to_owned(), None),
            Err(absence @ Absence::SharedByMig) => (format!("— ({absence})"), None),
            Err(absence) => {
                let power = [Sensor::Power, Sensor::PowerAverage, Sensor::PowerInstant];
                let instead = if power.iter().any(|s| self.reading.value(*s).is_ok()) {
                    "energy is integrated from power instead, which is less exact"
                } else {
                    "energy stays — in a report: the card shows no power either"
                };
                (format!("— ({absence})"), Some(instead.to_owned()))
            }
        };
        finding("energy counter", state, remedy)
    }

    fn gpm(&self) -> Finding {
        let shared = self.reading.value(Sensor::GpmSmActivity) == Err(Absence::SharedByMig);
        let (state, remedy) = match self.facts.gpm {
            Some(true) if shared => (format!("— ({})", Absence::SharedByMig), None),
            Some(true) => ("supported".to_owned(), None),
            Some(false) | None => (
                format!("— ({})", self.why_not("gpm", Absence::NotSupported)),
                Some(
                    "SM, tensor and DRAM activity stay empty; they need Hopper or later and a \
                     driver that has them"
                        .to_owned(),
                ),
            ),
        };
        finding("GPM", state, remedy)
    }

    /// An idle card may rest at low clocks; a limit below the maximum shows in the throttle reasons.
    fn clocks(&self) -> Finding {
        const APPLICATION_CLOCKS: u64 = 0x2;
        let state = format!(
            "SM {} of {} MHz, memory {} of {} MHz",
            number(self.reading.value(Sensor::SmClock).ok()),
            number(self.facts.max_sm_clock_mhz),
            number(self.reading.value(Sensor::MemoryClock).ok()),
            number(self.facts.max_memory_clock_mhz),
        );
        let limited = self
            .reading
            .value(Sensor::ThrottleReasons)
            .is_ok_and(|reasons| reasons & APPLICATION_CLOCKS != 0);
        let remedy = limited.then(|| {
            "clocks are locked below the maximum; unlock them (nvidia-smi -rac; nvidia-smi -rgc)"
                .to_owned()
        });
        finding("clocks", state, remedy)
    }

    fn power_limit(&self) -> Finding {
        let (limit, default) = (self.facts.power_limit_mw, self.facts.power_limit_default_mw);
        let state = format!("{} of {} W", watts(limit), watts(default));
        let remedy = match (limit, default) {
            (Some(limit), Some(default)) if limit < default => Some(format!(
                "the card is held below its power as delivered; raise it (nvidia-smi -pl {})",
                default / 1_000
            )),
            (Some(_) | None, Some(_) | None) => None,
        };
        finding("power limit", state, remedy)
    }

    fn persistence(&self) -> Finding {
        let remedy = (self.facts.persistence == Some(false)).then(|| {
            "the driver sleeps between programs and wakes slowly; start nvidia-persistenced"
                .to_owned()
        });
        self.switch("persistence", self.facts.persistence, remedy)
    }

    fn ecc(&self) -> Finding {
        let errors = self.reading.value(Sensor::EccUncorrected).unwrap_or(0);
        let remedy = (errors > 0).then(|| {
            format!(
                "{errors} uncorrected memory errors since the driver was loaded; reset the card"
            )
        });
        self.switch("ecc", self.facts.ecc, remedy)
    }

    fn mig(&self) -> Finding {
        let remedy = (self.facts.mig == Some(true)).then(|| {
            "power, energy and utilization are those of all slices together and stay empty; \
             turn MIG off to measure the card (nvidia-smi -mig 0)"
                .to_owned()
        });
        self.switch("mig", self.facts.mig, remedy)
    }

    fn processes(&self) -> Finding {
        let (state, remedy) = match self.reading.value(Sensor::ProcessCount) {
            Ok(0) => ("none listed".to_owned(), None),
            Ok(count) => {
                let pids: Vec<String> = self
                    .reading
                    .processes
                    .iter()
                    .map(|process| process.pid.to_string())
                    .collect();
                (
                    format!("{count} (pid {})", pids.join(", ")),
                    Some("others use the card; a measurement needs it alone".to_owned()),
                )
            }
            Err(absence) => (
                format!("— ({absence})"),
                Some("whether others use the card cannot be told".to_owned()),
            ),
        };
        finding("other processes", state, remedy)
    }

    fn switch(&self, field: &'static str, on: Option<bool>, remedy: Option<String>) -> Finding {
        let state = match on {
            Some(true) => "on".to_owned(),
            Some(false) => "off".to_owned(),
            None => format!("— ({})", self.why_not(field, Absence::NotAsked)),
        };
        let what = match field {
            "ecc" => "ECC",
            "mig" => "MIG",
            other => other,
        };
        finding(what, state, remedy)
    }

    fn why_not(&self, field: &str, otherwise: Absence) -> String {
        let reason = self.facts.absent.get(field);
        reason.cloned().unwrap_or_else(|| otherwise.to_string())
    }
}

/// Whether a sensor is silent only because nothing runs or nothing happened yet.
const fn speaks_later(absence: Absence) -> bool {
    match absence {
        Absence::Quiet | Absence::NoEarlierSample | Absence::NoWorker | Absence::NotAsked => true,
        Absence::NotSupported
        | Absence::SymbolMissing
        | Absence::NoPermission
        | Absence::CardLost
        | Absence::SharedByMig
        | Absence::TooSlow { .. }
        | Absence::NotListed
        | Absence::NotTold
        | Absence::OutOfRange
        | Absence::Driver(_) => false,
    }
}

fn finding(what: &'static str, state: String, remedy: Option<String>) -> Finding {
    Finding {
        what,
        card: None,
        state,
        remedy,
    }
}

fn shown(text: Option<&str>) -> String {
    text.unwrap_or("—").to_owned()
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "—".to_owned(), |value| value.to_string())
}

fn watts(milliwatts: Option<u64>) -> String {
    number(milliwatts.map(|milliwatts| milliwatts / 1_000))
}
