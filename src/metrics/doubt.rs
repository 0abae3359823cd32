//! From facts to verdicts: what is in doubt about the run and about each point.

use super::energy::{GAP_PERIODS, Unrest};
use super::facts::{Facts, Sitting};
use super::foreign::{self, Others};
use super::latency::{Drift, Latency};
use super::roofline::Roofline;
use super::verdict::{Change, Verdict, Warning};
use super::{clocks, sensors, silence};
use crate::record::card::{CardFacts, Sensors};
use crate::record::machine::DeviceKind;
use crate::record::observation::{Block, EndStatus};
use crate::record::sensor::Sensor;
use crate::study::model::EngineKind;
use crate::study::workload::PointId;
use crate::units::Seconds;

/// Below this share of `threads × wall` a CPU block had to wait for something else.
const MIN_CPU_SHARE: f64 = 0.97;
/// Above this share of stolen time the hypervisor ran something else.
const MAX_STEAL_SHARE: f64 = 0.005;
/// Above this correlation of neighbours, blocks are no independent observations.
const MAX_AUTOCORRELATION: f64 = 0.3;
/// Above this share of generations left out it was more than a moment in which the host was late.
const MAX_LEFT_OUT: f64 = 0.05;
/// Host and device clocks of the same work may differ by this much.
const MAX_EVENT_DISAGREEMENT: f64 = 0.01;
/// Above this share of the memory the next longer prompt may not fit.
const MEMORY_NEAR_LIMIT: f64 = 0.95;
/// Throttling for a shorter share of the time is not worth a word.
const MAX_THROTTLED_SHARE: f64 = 0.05;
/// A device that computes less often than this, while …
const HOST_BOUND_UTILIZATION: f64 = 0.70;
/// … its memory bandwidth is used less than this, waits for the host.
const HOST_BOUND_MBU: f64 = 0.40;
/// The sensor whose absence says why there is no telemetry.
const POWER: &str = Sensor::Power.column();
/// Settings of the card that should stay as they are through all sessions, by sensor.
const SETTINGS: [(Sensor, &str); 5] = [
    (Sensor::EccEnabled, "ECC"),
    (Sensor::MigEnabled, "MIG"),
    (Sensor::PowerLimit, "the power limit"),
    (
        Sensor::ApplicationSmClock,
        "the applications clock of the SMs",
    ),
    (
        Sensor::ApplicationMemoryClock,
        "the applications clock of the memory",
    ),
];

/// The doubts about the run as a whole.
pub fn of_run(facts: &Facts<'_>) -> Vec<Warning> {
    let mut verdicts = Vec::new();
    match facts.session.engine {
        EngineKind::Sim(_) => verdicts.push(Verdict::Simulated),
        EngineKind::Stock => verdicts.push(Verdict::StockEngine),
        EngineKind::Decoder => {}
    }
    match facts.end {
        Some(EndStatus::Complete) => {}
        Some(EndStatus::Interrupted) | None => verdicts.push(Verdict::Interrupted),
    }
    verdicts.extend(telemetry_missing(facts));
    verdicts.extend(limits_missing(facts));
    verdicts.extend(unrest(facts));
    match foreign::others(facts) {
        Some(Others::Seen(seen)) => verdicts.extend(seen.into_iter().map(Verdict::ForeignUse)),
        Some(Others::CannotTell(hidden)) => verdicts.push(Verdict::ForeignUseUnknown(hidden)),
        Some(Others::None) | None => {}
    }
    verdicts.extend(card_changes(facts));
    let after = facts.sittings.iter().filter_map(|sitting| sitting.after);
    verdicts.extend(errors_of_the_card(after));
    let causes = facts.ends.iter().filter_map(|end| end.lost.clone());
    verdicts.extend(causes.map(|cause| Verdict::CardLost { cause }));
    let lost: Vec<&String> = facts
        .ends
        .iter()
        .flat_map(|end| &end.workers_lost)
        .collect();
    verdicts.extend(lost.last().map(|reason| Verdict::WorkerLost {
        count: lost.len(),
        reason: (*reason).clone(),
    }));
    verdicts.into_iter().map(of_the_run).collect()
}

/// A card, or a device that sensors were looked for on, whose blocks hold no reading.
fn telemetry_missing(facts: &Facts<'_>) -> Option<Verdict> {
    let blocks: Vec<&Block> = facts.blocks.values().flatten().copied().collect();
    let mut looked_for = blocks.iter().filter_map(|block| block.sensors.as_ref());
    let reason = looked_for.find_map(|sensors| sensors.absent.get(POWER).cloned());
    let on_card = facts.device.is_some_and(|d| d.kind == DeviceKind::Cuda) || reason.is_some();
    let silent = !blocks.iter().any(|block| sensors::any(block));
    (on_card && silent && !blocks.is_empty()).then_some(Verdict::TelemetryMissing { reason })
}

/// What was not steady in the newest idle power that is not, where energy is asked for.
fn unrest(facts: &Facts<'_>) -> Option<Verdict> {
    let asked = facts.session.study.measure.energy;
    let mut before = facts.sittings.iter().rev().filter_map(Sitting::before);
    let unrest = before.find_map(Unrest::of).filter(|_| asked);
    unrest.map(Verdict::Unrest)
}

/// Points of a device, and not a limit of it.
fn limits_missing(facts: &Facts<'_>) -> Option<Verdict> {
    let on_device = match facts.session.engine {
        EngineKind::Decoder | EngineKind::Stock => true,
        EngineKind::Sim(_) => false,
    };
    let missing = on_device && facts.peaks.is_empty() && !facts.blocks.is_empty();
    missing.then_some(Verdict::LimitsMissing)
}

/// Settings of the card that were not the same from before the first worker to after the last one, of whichever
/// sessions, and errors of its memory that came during one: they are counted anew when the driver is.
fn card_changes(facts: &Facts<'_>) -> Vec<Verdict> {
    let changed = |sittings: &[Sitting<'_>], sensor: Sensor| {
        let all = sittings.iter().flat_map(Sitting::sensors);
        let mut readings = all.flat_map(|sensors| sensors::of(sensors, sensor.column()));
        let first = readings.next();
        readings.any(|reading| Some(reading) != first)
    };
    let settings = SETTINGS.iter();
    let settings = settings.filter(|(sensor, _)| changed(&facts.sittings, *sensor));
    let mut all: Vec<&'static str> = settings.map(|&(_, what)| what).collect();
    for what in settings_between_sessions(facts) {
        if !all.contains(&what) {
            all.push(what);
        }
    }
    let mut each = facts.sittings.chunks(1);
    let errors = each.any(|sitting| changed(sitting, Sensor::EccUncorrected));
    let errors = errors.then_some(Change::MemoryErrors);
    let settings = all.into_iter().map(Change::Setting);
    settings.chain(errors).map(Verdict::CardChanged).collect()
}

/// Settings of the card that one session found otherwise than the session before it.
fn settings_between_sessions(facts: &Facts<'_>) -> Vec<&'static str> {
    type Setting = fn(&CardFacts) -> Option<u64>;
    let settings: [(&'static str, Setting); 5] = [
        ("ECC", |card| card.ecc.map(u64::from)),
        ("MIG", |card| card.mig.map(u64::from)),
        ("the power limit", |card| card.power_limit_mw),
        ("the highest SM clock", |card| card.max_sm_clock_mhz),
        ("the highest memory clock", |card| card.max_memory_clock_mhz),
    ];
    let cards: Vec<&CardFacts> = facts
        .sittings
        .iter()
        .filter_map(|sitting| sitting.device?.card.as_deref())
        .collect();
    let differs = |of: Setting| cards.windows(2).any(|pair| of(pair[0]) != of(pair[1]));
    let changed = settings.into_iter().filter(|(_, of)| differs(*of));
    changed.map(|(what, _)| what).collect()
}

fn of_the_run(verdict: Verdict) -> Warning {
    Warning {
        point: None,
        verdict,
    }
}

/// The drifts that exceed what was asked for and what chance explains.
pub fn of_drifts(facts: &Facts<'_>, drifts: &[Drift]) -> Vec<Warning> {
    let target = facts.session.study.measure.target_ci;
    let beyond = |drift: &&Drift| {
        let expected = drift.expected.unwrap_or(0.0);
        drift.change.abs() > target.max(expected)
    };
    let warning = |drift: &Drift| Warning {
        point: Some(drift.point),
        verdict: Verdict::Drift(*drift),
    };
    drifts.iter().filter(beyond).map(warning).collect()
}

/// The doubts about one measured point.
pub fn of_point(facts: &Facts<'_>, latency: &Latency, roofline: Option<&Roofline>) -> Vec<Warning> {
    let blocks: Vec<&Block> = facts.measured(latency.point).collect();
    let mut verdicts = of_statistics(facts, latency);
    verdicts.extend(roofline.map(of_roofline).unwrap_or_default());
    verdicts.extend(event_time(&blocks));
    verdicts.extend(memory(facts, &blocks));
    let kind = facts.device.map(|device| device.kind);
    match kind {
        Some(DeviceKind::Cpu) => verdicts.extend(machine_busy(facts, &blocks)),
        Some(DeviceKind::Cuda) => {
            verdicts.extend(stolen(&blocks));
            verdicts.extend(of_card(facts, latency.point, roofline));
        }
        Some(DeviceKind::Sim) | None => verdicts.extend(of_card(facts, latency.point, roofline)),
    }
    let point = Some(latency.point);
    let warning = |verdict| Warning { point, verdict };
    verdicts.into_iter().map(warning).collect()
}

/// What the sensors of a card tell of a point. What disturbed the blocks that show its energy or drift is told
/// where the others were calm.
fn of_card(facts: &Facts<'_>, point: PointId, roofline: Option<&Roofline>) -> Vec<Verdict> {
    let blocks: Vec<&Block> = facts.measured(point).collect();
    let beside: Vec<&Block> = facts.beside(point).collect();
    let mut verdicts = of_sensors(facts, &blocks, roofline);
    let all = blocks.iter().chain(&beside);
    verdicts.extend(errors_of_the_card(
        all.filter_map(|block| block.sensors.as_ref()),
    ));
    for verdict in of_sensors(facts, &beside, None) {
        if verdicts.iter().all(|told| told.code() != verdict.code()) {
            verdicts.push(verdict);
        }
    }
    verdicts
}

fn of_statistics(facts: &Facts<'_>, latency: &Latency) -> Vec<Verdict> {
    let measure = &facts.session.study.measure;
    let mut verdicts = Vec::new();
    if latency.blocks < measure.min_blocks as usize {
        verdicts.push(Verdict::TooFewSamples {
            blocks: latency.blocks,
            wanted: measure.min_blocks,
        });
    }
    let half_width = latency.e2el.rising(Seconds::value).relative_half_width();
    if half_width.is_none() && latency.blocks > 1 {
        let blocks = latency.blocks;
        verdicts.push(Verdict::NoInterval { blocks });
    }
    if let Some(half_width) = half_width.filter(|half| *half > measure.target_ci) {
        verdicts.push(Verdict::WideInterval {
            half_width,
            target: measure.target_ci,
        });
    }
    if let Some(lag1) = latency.autocorrelation.filter(|r| *r > MAX_AUTOCORRELATION) {
        verdicts.push(Verdict::Autocorrelated { lag1 });
    }
    let count = latency.invalid_generations;
    let of = count + latency.generations;
    if count as f64 > MAX_LEFT_OUT * of as f64 {
        verdicts.push(Verdict::InvalidGenerations { count, of });
    }
    verdicts
}

fn of_roofline(roofline: &Roofline) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = roofline
        .impossible
        .map(Verdict::Impossible)
        .into_iter()
        .collect();
    if roofline.in_cache == Some(true) {
        let bytes = roofline.work.step.value();
        verdicts.push(Verdict::InCache { bytes });
    }
    verdicts
}

/// Host time against device time over all generations that have both.
fn event_time(blocks: &[&Block]) -> Option<Verdict> {
    let (mut host, mut device) = (0.0, 0.0);
    for generation in blocks.iter().flat_map(|block| &block.generations) {
        if let Some(time) = generation.device_ns {
            device += time.value() as f64;
            host += generation.steps_ns.sum().value() as f64;
        }
    }
    let disagreement = host / device - 1.0;
    (device > 0.0 && disagreement.abs() > MAX_EVENT_DISAGREEMENT)
        .then_some(Verdict::EventTime { disagreement })
}

fn memory(facts: &Facts<'_>, blocks: &[&Block]) -> Option<Verdict> {
    let of_card = facts.card().and_then(|card| card.memory_bytes);
    let in_use = sensors::readings(blocks, sensors::MEMORY_USED).max();
    // The card's own count knows what other processes hold, the engine's what was freed in between.
    let (used_bytes, total_bytes) = match (in_use, of_card) {
        (Some(used), Some(total)) => (used, total),
        (Some(_), None) | (None, _) => {
            let peak = blocks.iter().filter_map(|b| b.peak_memory_bytes).max()?;
            (peak, facts.device?.memory_bytes)
        }
    };
    (used_bytes as f64 > MEMORY_NEAR_LIMIT * total_bytes as f64).then_some(
        Verdict::MemoryNearLimit {
            used_bytes,
            total_bytes,
        },
    )
}

fn machine_busy(facts: &Facts<'_>, blocks: &[&Block]) -> Option<Verdict> {
    let host = facts.session.host.threads;
    let threads = facts.device.and_then(|d| d.threads).unwrap_or(host);
    let share = |block: &Block| {
        let offered = f64::from(threads) * block.cpu.wall_ns.value() as f64;
        block.cpu.worker_ns.value() as f64 / offered
    };
    let steal = |block: &Block| {
        let there = f64::from(host) * block.cpu.wall_ns.value() as f64;
        Some(block.cpu.steal_ns?.value() as f64 / there)
    };
    let timed: Vec<&&Block> = blocks
        .iter()
        .filter(|b| b.cpu.wall_ns.value() > 0)
        .collect();
    let busy = timed.iter().filter(|block| {
        share(block) < MIN_CPU_SHARE || steal(block).is_some_and(|s| s > MAX_STEAL_SHARE)
    });
    let busy = busy.count();
    (busy > 0).then(|| Verdict::MachineBusy {
        blocks: busy,
        of: timed.len(),
        lowest_share: timed.iter().map(|b| share(b)).fold(f64::INFINITY, f64::min),
        highest_steal: timed.iter().filter_map(|b| steal(b)).reduce(f64::max),
    })
}

/// Time that the hypervisor took from the processor that launches the work of a card. It alone has to keep up, so
/// that the stolen time of the whole machine is held against the time of one processor, over all blocks: it is
/// counted in ticks of 10 ms.
fn stolen(blocks: &[&Block]) -> Option<Verdict> {
    let (mut stolen, mut all) = (Seconds::ZERO, Seconds::ZERO);
    for block in blocks {
        if let Some(steal) = block.cpu.steal_ns {
            stolen += steal.seconds();
            all += block.cpu.wall_ns.seconds();
        }
    }
    let share = (all > Seconds::ZERO).then(|| stolen / all);
    let share = share.filter(|share| *share > MAX_STEAL_SHARE)?;
    Some(Verdict::Stolen { share })
}

fn of_sensors(facts: &Facts<'_>, blocks: &[&Block], roofline: Option<&Roofline>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let utilization = sensors::mean(blocks, sensors::GPU_UTILIZATION).map(|p| p / 100.0);
    let mbu = roofline.and_then(|r| r.mbu).map(|mbu| mbu.value);
    if let (Some(utilization), Some(mbu)) = (utilization, mbu)
        && utilization < HOST_BOUND_UTILIZATION
        && mbu < HOST_BOUND_MBU
    {
        verdicts.push(Verdict::HostBound { utilization, mbu });
    }
    let throttling = sensors::throttling(blocks);
    if let Some(throttling) = throttling.filter(|t| t.worst() > MAX_THROTTLED_SHARE) {
        verdicts.push(Verdict::Throttled(throttling));
    }
    let low = clocks::low(facts, blocks).into_iter();
    verdicts.extend(low.map(Verdict::Clocks));
    verdicts.extend(foreign::beside(blocks).map(Verdict::ForeignUse));
    let gap = sensors::longest_gap(facts, blocks).filter(|gap| gap.periods > GAP_PERIODS as f64);
    verdicts.extend(gap.map(|gap| Verdict::TelemetryDegraded {
        longest_gap: gap.periods,
        silence: gap.silence,
    }));
    let silent = silence::fallen(facts, blocks).into_iter();
    verdicts.extend(silent.map(Verdict::SensorsSilent));
    verdicts
}

/// Every XID error that the driver reported, once.
fn errors_of_the_card<'a>(seen: impl Iterator<Item = &'a Sensors>) -> Vec<Verdict> {
    let numbers = seen.flat_map(|sensors| sensors::of(sensors, sensors::XID));
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    let verdicts = numbers.into_iter().map(|number| Verdict::Xid { number });
    verdicts.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::metrics::fixture::{Script, generation, moment, point};
    use crate::metrics::latency::drifts;
    use crate::metrics::roofline::Ceilings;
    use crate::record::machine::Limit;
    use crate::record::observation::Purpose;
    use crate::units::Nanos;

    const STEP: u64 = 100_000_000;

    fn measured_point() -> PointId {
        point(1, 100, 11)
    }

    fn script() -> Script {
        let mut script = Script::new(&[measured_point()]);
        for _ in 0..3 {
            script.block(measured_point(), vec![generation(5 * STEP, &[STEP; 10])]);
        }
        script
    }

    fn codes(script: &Script) -> Vec<&'static str> {
        let facts = script.facts();
        let latency = Latency::of(&facts, measured_point()).unwrap();
        let roofline = Roofline::of(&facts, &latency, &Ceilings::new(&facts, None));
        of_point(&facts, &latency, roofline.as_ref())
            .iter()
            .map(|warning| warning.verdict.code())
            .collect()
    }

    #[test]
    fn a_lost_card_and_lost_workers_are_told_of_the_run() {
        let mut script = script();
        script.end(EndStatus::Complete);
        let calm: Vec<_> = of_run(&script.facts());
        let end = script.last_end_mut();
        end.lost = Some("XID 79".to_owned());
        end.workers_lost = vec!["bf16: signal 9".to_owned(), "bf16: signal 11".to_owned()];
        let told: Vec<String> = of_run(&script.facts())
            .iter()
            .filter(|warning| !calm.contains(warning))
            .map(|warning| warning.verdict.to_string())
            .collect();
        assert_eq!(
            told,
            [
                "the card was lost: XID 79",
                "2 workers lost: bf16: signal 11"
            ]
        );
    }

    #[test]
    fn a_calm_point_is_not_doubted() {
        assert_eq!(codes(&script()), Vec::<&str>::new());
    }

    #[test]
    fn fewer_blocks_than_asked_for_are_too_few() {
        let mut script = script();
        script.session_mut().study.measure.min_blocks = 4;
        assert_eq!(codes(&script), ["too_few_samples"]);
    }

    #[test]
    fn an_interval_wider_than_asked_for_is_named() {
        let mut script = script();
        script.block(measured_point(), vec![generation(8 * STEP, &[STEP; 10])]);
        assert_eq!(codes(&script), ["wide_interval"]);
    }

    #[test]
    fn blocks_that_allow_no_interval_are_named() {
        let mut script = Script::new(&[measured_point()]);
        for first in [1, 1, 1, 400] {
            script.block(
                measured_point(),
                vec![generation(first * STEP, &[STEP; 10])],
            );
        }
        assert!(
            codes(&script).contains(&"no_interval"),
            "{:?}",
            codes(&script)
        );
    }

    #[test]
    fn a_slow_trend_is_autocorrelated() {
        let mut script = Script::new(&[measured_point()]);
        for extra in 0..10 {
            let first = 5 * STEP + extra * 1_000_000;
            script.block(measured_point(), vec![generation(first, &[STEP; 10])]);
        }
        assert_eq!(codes(&script), ["autocorrelated"]);
    }

    #[test]
    fn a_worker_without_its_processor_time_means_a_busy_machine() {
        let mut script = script();
        let cpu = &mut script.last_block_mut().cpu;
        // 96 % of two threads.
        cpu.worker_ns = Nanos::new(cpu.wall_ns.value() * 192 / 100);
        assert_eq!(codes(&script), ["machine_busy"]);
    }

    #[test]
    fn stolen_time_means_a_busy_machine() {
        let mut script = script();
        let cpu = &mut script.last_block_mut().cpu;
        cpu.steal_ns = Some(Nanos::new(cpu.wall_ns.value() * 11 / 1_000));
        assert_eq!(codes(&script), ["machine_busy"]);
        let cpu = &mut script.last_block_mut().cpu;
        cpu.steal_ns = Some(Nanos::new(cpu.wall_ns.value() * 9 / 1_000));
        assert_eq!(codes(&script), Vec::<&str>::new(), "0.45 % of two threads");
    }

    #[test]
    fn a_device_clock_that_disagrees_is_named() {
        let mut script = script();
        for record in &mut script.records {
            if let crate::record::observation::Record::Block(block) = record {
                block.generations[0].device_ns = Some(Nanos::new(15 * STEP * 98 / 100));
            }
        }
        assert_eq!(codes(&script), ["event_time"]);
    }

    #[test]
    fn memory_above_95_percent_is_near_the_limit() {
        let mut script = script();
        script.last_block_mut().peak_memory_bytes = Some(7_700_000_000);
        assert_eq!(codes(&script), ["memory_near_limit"]);
    }

    #[test]
    fn a_small_working_set_is_in_cache_and_does_not_invalidate() {
        let mut script = script();
        script.device_mut().last_level_cache_bytes = Some(1_000_000_000);
        assert_eq!(codes(&script), ["in_cache"]);
        assert!(!Verdict::InCache { bytes: 1.0 }.invalidates());
    }

    /// Readings of a block of 1.5 s; the last one holds for 0.3 s.
    fn card(readings: &[(&str, [u64; 4])]) -> Script {
        let mut script = script();
        script.device_mut().kind = DeviceKind::Cuda;
        let read = Limit::Read {
            buffer_bytes: 1_000_000_000,
        };
        script.last_block_mut().sensors = Some(Sensors {
            period_ns: Nanos::new(4 * STEP),
            at_ns: [0, 4, 8, 12]
                .map(|n| moment(10).monotonic_ns + Nanos::new(n * STEP))
                .to_vec(),
            columns: readings
                .iter()
                .map(|(name, values)| ((*name).to_owned(), values.map(Some).to_vec()))
                .collect(),
            absent: BTreeMap::new(),
        });
        script.records.insert(
            2,
            crate::record::observation::Record::Peak(crate::record::machine::Peak {
                of: read,
                work: 1_000_000_000,
                times_ns: vec![Nanos::new(10_000_000)],
            }),
        );
        script
    }

    #[test]
    fn sensors_speak_for_themselves() {
        assert!(
            codes(&card(&[("process_count", [1; 4])])).is_empty(),
            "the worker"
        );
        assert_eq!(
            codes(&card(&[("gpu_utilization_percent", [50; 4])])),
            ["host_bound"]
        );
        assert!(codes(&card(&[("gpu_utilization_percent", [90; 4])])).is_empty());
        assert_eq!(
            codes(&card(&[("throttle_reasons", [0, 0, 0, 4])])),
            ["throttled"]
        );
        assert!(
            codes(&card(&[("throttle_reasons", [1; 4])])).is_empty(),
            "idle"
        );
        let clocks = |now| {
            let mut script = card(&[("sm_clock_mhz", [now; 4])]);
            script.device_mut().card = Some(Box::new(CardFacts {
                max_sm_clock_mhz: Some(1_980),
                ..CardFacts::default()
            }));
            script
        };
        assert_eq!(codes(&clocks(1_700)), ["clocks"]);
        assert!(codes(&clocks(1_980)).is_empty());
        let mut slow_memory = card(&[("memory_clock_mhz", [1_000; 4])]);
        slow_memory.device_mut().card = Some(Box::new(CardFacts {
            max_memory_clock_mhz: Some(2_619),
            ..CardFacts::default()
        }));
        assert_eq!(codes(&slow_memory), ["clocks"]);
        assert_eq!(
            codes(&card(&[("process_count", [1, 1, 2, 1])])),
            ["foreign_use"]
        );
    }

    #[test]
    fn what_disturbed_the_blocks_of_energy_is_doubted_at_their_point() {
        let disturbed = |serves: PointId| {
            let mut script = card(&[("throttle_reasons", [0; 4]), ("xid", [31; 4])]);
            let sensors = card(&[("throttle_reasons", [4; 4]), ("xid", [43; 4])])
                .last_block_mut()
                .sensors
                .take();
            script.block(point(1, 100, 1), vec![generation(5 * STEP, &[])]);
            let block = script.last_block_mut();
            block.purpose = Purpose::Energy;
            block.serves = Some(serves);
            block.sensors = sensors;
            script
        };
        let own = disturbed(measured_point());
        assert_eq!(codes(&own), ["xid", "xid", "throttled"]);
        assert_eq!(codes(&disturbed(point(2, 100, 11))), ["xid"]);
    }

    #[test]
    fn a_gap_beyond_three_periods_degrades_telemetry() {
        let mut script = card(&[("power_mw", [1; 4])]);
        let sensors = script.last_block_mut().sensors.as_mut().unwrap();
        sensors.at_ns[3] = sensors.at_ns[2] + Nanos::new(STEP * 4 * 31 / 10);
        assert_eq!(codes(&script), ["telemetry_degraded"]);
    }

    #[test]
    fn a_driver_that_falls_silent_in_a_block_degrades_telemetry() {
        let mut script = card(&[("power_mw", [1; 4])]);
        let sensors = script.last_block_mut().sensors.as_mut().unwrap();
        // The last reading comes before the block, or the first one at its end.
        sensors.at_ns.truncate(1);
        sensors.columns.get_mut("power_mw").unwrap().truncate(1);
        sensors.period_ns = Nanos::new(4 * STEP);
        assert_eq!(codes(&script), ["telemetry_degraded"]);
        let sensors = script.last_block_mut().sensors.as_mut().unwrap();
        sensors.at_ns[0] = sensors.at_ns[0] + Nanos::new(14 * STEP);
        assert_eq!(codes(&script), ["telemetry_degraded"]);
    }

    /// What is said of the last block, in which these sensors were absent for these reasons.
    fn degraded(readings: &[(&str, [u64; 4])], absent: &[(&str, &str)]) -> (String, &'static str) {
        let mut script = card(&[("power_mw", [1; 4])]);
        script.block(measured_point(), vec![generation(5 * STEP, &[STEP; 10])]);
        let sensors = card(readings).last_block_mut().sensors.take().unwrap();
        let absent = absent
            .iter()
            .map(|(sensor, reason)| ((*sensor).to_owned(), (*reason).to_owned()));
        let mut sensors = Sensors {
            period_ns: Nanos::new(STEP),
            absent: absent.collect(),
            ..sensors
        };
        if readings.is_empty() {
            sensors.at_ns = Vec::new();
        }
        script.last_block_mut().sensors = Some(sensors);
        let facts = script.facts();
        let latency = Latency::of(&facts, measured_point()).unwrap();
        let warnings = of_point(&facts, &latency, None);
        let verdict = &warnings[0].verdict;
        assert_eq!(verdict.code(), "telemetry_degraded", "{warnings:?}");
        (verdict.to_string(), verdict.remedy())
    }

    #[test]
    fn a_silent_driver_is_not_blamed_on_the_sampler() {
        let silent = "the driver has been silent for 1.2 s since it was asked for power_mw";
        let own = ("gpm_sm_activity_permille", "not supported by this card");
        let words = format!("no reading for 15 periods: {silent}");
        let whole = degraded(&[], &[("power_mw", silent), ("sm_clock_mhz", silent), own]);
        assert_eq!(whole.0, words);
        assert!(whole.1.contains("dmesg"), "{}", whole.1);
        let part = degraded(&[("power_mw", [1; 4])], &[("power_mw", silent), own]);
        assert_eq!(part.0, format!("no reading for 4 periods: {silent}"));
        assert_eq!(part.1, whole.1);
    }

    #[test]
    fn a_sampler_that_came_late_is_not_blamed_on_the_driver() {
        let own = ("gpm_sm_activity_permille", "not supported by this card");
        let not_read = ("power_mw", "not read within this window");
        let clock = ("sm_clock_mhz", "not read within this window");
        let whole = degraded(&[], &[not_read, clock, own]);
        assert_eq!(whole.0, "no reading for 15 periods");
        assert!(whole.1.starts_with("free a processor core"), "{}", whole.1);
        let part = degraded(&[("power_mw", [1; 4])], &[own]);
        assert_eq!(part, ("no reading for 4 periods".to_owned(), whole.1));
    }

    /// A block read every 0.1 s over its 1.5 s, in which power answers as told.
    fn answering(power: [Option<u64>; 16]) -> Script {
        let mut script = card(&[]);
        script.last_block_mut().sensors = Some(Sensors {
            period_ns: Nanos::new(STEP),
            at_ns: (0..16)
                .map(|n| moment(10).monotonic_ns + Nanos::new(n * STEP))
                .collect(),
            columns: [
                ("power_mw".to_owned(), power.to_vec()),
                ("temperature_c".to_owned(), vec![Some(40); 16]),
            ]
            .into(),
            absent: [("power_mw".to_owned(), "no permission to read it".to_owned())].into(),
        });
        script
    }

    #[test]
    fn a_sensor_that_falls_silent_beside_others_is_doubted_by_its_share_of_the_time() {
        let mut power = [Some(400_000); 16];
        power[10..].fill(None);
        let script = answering(power);
        assert_eq!(codes(&script), ["sensors_silent"]);
        let facts = script.facts();
        let latency = Latency::of(&facts, measured_point()).unwrap();
        let verdict = &of_point(&facts, &latency, None)[0].verdict;
        // Half a second of the one block of three in which power was looked for, and of 4.5 s in all.
        assert_eq!(
            verdict.to_string(),
            "no answer of power_mw for 11 % of the time: no permission to read it"
        );
        assert!(verdict.invalidates() && verdict.remedy().contains("dmesg"));
    }

    #[test]
    fn a_point_without_any_reading_is_doubted_where_others_have_some() {
        let mut script = card(&[("power_mw", [1; 4])]);
        let read = script.last_block_mut().sensors.replace(Sensors {
            period_ns: Nanos::new(STEP),
            absent: [("power_mw".to_owned(), "the driver is silent".to_owned())].into(),
            ..Sensors::default()
        });
        assert!(
            codes(&script).is_empty(),
            "what is true of the whole run is told of it"
        );
        script.block(point(2, 100, 11), vec![generation(5 * STEP, &[STEP; 10])]);
        script.last_block_mut().sensors = read;
        assert_eq!(codes(&script), ["telemetry_degraded"]);
    }

    #[test]
    fn a_sensor_that_misses_a_reading_or_two_is_not_silent() {
        let mut power = [Some(400_000); 16];
        power[3..5].fill(None);
        power[14..].fill(None);
        assert!(codes(&answering(power)).is_empty());
    }

    #[test]
    fn a_sensor_that_never_answered_has_not_fallen_silent() {
        let mut script = answering([None; 16]);
        let sensors = script.last_block_mut().sensors.as_mut().unwrap();
        sensors.columns.remove("power_mw");
        assert!(codes(&script).is_empty());
        script.device_mut().before = Some(Box::new(Sensors {
            at_ns: vec![moment(5).monotonic_ns],
            columns: [("power_mw".to_owned(), vec![Some(70_000)])].into(),
            ..Sensors::default()
        }));
        assert_eq!(codes(&script), ["sensors_silent"]);
    }

    #[test]
    fn a_sensor_that_is_asked_once_a_second_may_be_silent_in_between() {
        let mut script = answering([Some(400_000); 16]);
        let sensors = script.last_block_mut().sensors.as_mut().unwrap();
        let mut count = vec![None; 16];
        count[2] = Some(1);
        sensors.columns.insert("process_count".to_owned(), count);
        assert!(codes(&script).is_empty());
    }

    #[test]
    fn an_error_of_the_card_after_the_last_block_is_told_of_the_run() {
        let mut script = script();
        script.end(EndStatus::Complete);
        let sensors = |xid: Option<u64>| Sensors {
            at_ns: vec![moment(20).monotonic_ns; 2],
            columns: [("xid".to_owned(), vec![None, xid])].into(),
            ..Sensors::default()
        };
        script.last_end_mut().after = Some(Box::new(sensors(None)));
        let calm = of_run(&script.facts());
        script.last_end_mut().after = Some(Box::new(sensors(Some(31))));
        let mut told = of_run(&script.facts());
        told.retain(|warning| !calm.contains(warning));
        assert_eq!(told, [of_the_run(Verdict::Xid { number: 31 })]);
        assert!(told[0].verdict.invalidates());
    }

    #[test]
    fn an_idle_power_that_was_not_steady_is_doubted_where_energy_is_asked_for() {
        let mut script = script();
        script.peak(Limit::Read { buffer_bytes: 1 }, 1, &[1]);
        script.end(EndStatus::Complete);
        let watts = (0..13).map(|n| Some(200_000 - n * 5_000));
        script.device_mut().before = Some(Box::new(Sensors {
            period_ns: Nanos::new(5 * STEP),
            at_ns: (0..13).map(|n| Nanos::new(n * 5 * STEP)).collect(),
            columns: [("power_mw".to_owned(), watts.collect())].into(),
            ..Sensors::default()
        }));
        assert!(of_run(&script.facts()).is_empty());
        script.session_mut().study.measure.energy = true;
        let told = of_run(&script.facts());
        assert_eq!(told[0].verdict.code(), "unrest");
        assert!(told[0].verdict.invalidates());
    }

    #[test]
    fn a_card_without_a_reading_lacks_telemetry() {
        let mut script = script();
        script.device_mut().kind = DeviceKind::Cuda;
        script.end(EndStatus::Complete);
        let codes: Vec<_> = of_run(&script.facts())
            .iter()
            .map(|w| w.verdict.code())
            .collect();
        assert_eq!(codes, ["telemetry_missing", "limits_missing"]);
    }

    #[test]
    fn a_session_with_another_setting_of_the_card_is_named() {
        let mut first = script();
        let limit = |watts: u64| CardFacts {
            power_limit_mw: Some(watts * 1_000),
            ..CardFacts::default()
        };
        first.device_mut().card = Some(Box::new(limit(700)));
        first.end(EndStatus::Interrupted);
        let mut second = script();
        second.device_mut().card = Some(Box::new(limit(400)));
        second.end(EndStatus::Complete);
        first.records.extend(second.records);
        let told = of_run(&first.facts());
        let mut words = told.iter().map(|warning| warning.verdict.to_string());
        assert!(words.any(|words| words == "the power limit changed during the run"));
    }

    #[test]
    fn a_setting_that_its_sensor_shows_is_compared_through_all_sessions() {
        let told = |settings: [(&'static str, u64); 2]| -> Vec<String> {
            let mut all = Vec::new();
            for setting in settings {
                let mut session = card(&[(setting.0, [setting.1; 4])]);
                session.end(EndStatus::Complete);
                all.extend(session.records);
            }
            let mut script = script();
            script.records = all;
            let told = of_run(&script.facts()).into_iter();
            let told = told.map(|warning| warning.verdict);
            told.filter(|verdict| verdict.code() == "card_changed")
                .map(|verdict| verdict.to_string())
                .collect()
        };
        let clock = "application_sm_clock_mhz";
        assert_eq!(
            told([(clock, 1_980), (clock, 1_410)]),
            ["the applications clock of the SMs changed during the run"]
        );
        assert!(told([(clock, 1_980), (clock, 1_980)]).is_empty());
        // They are counted since the driver was loaded.
        let errors = "ecc_uncorrected_count";
        assert!(told([(errors, 2), (errors, 0)]).is_empty());
    }

    #[test]
    fn time_stolen_from_the_processor_that_launches_is_doubted_on_a_card() {
        let told = |stolen: u64| {
            let mut script = card(&[("power_mw", [1; 4])]);
            script.device_mut().kind = DeviceKind::Cuda;
            let cpu = &mut script.last_block_mut().cpu;
            // The worker of a card may rest.
            cpu.worker_ns = Nanos::new(cpu.wall_ns.value() / 10);
            cpu.steal_ns = Some(Nanos::new(cpu.wall_ns.value() * stolen / 1_000));
            let facts = script.facts();
            let latency = Latency::of(&facts, measured_point()).unwrap();
            let told = of_point(&facts, &latency, None).into_iter();
            let told = told.map(|warning| warning.verdict);
            told.filter(|it| it.code() == "machine_busy")
                .map(|it| it.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            told(60),
            [
                "the hypervisor took 2.0 % of the time of one processor, and one launches the card's work"
            ]
        );
        assert!(told(12).is_empty(), "0.4 % of three blocks");
    }

    #[test]
    fn memory_errors_that_grow_are_no_setting_to_be_left_alone() {
        let mut script = card(&[("ecc_uncorrected_count", [0, 0, 1, 1])]);
        script.end(EndStatus::Complete);
        let told = of_run(&script.facts());
        let grown = told.iter().map(|warning| &warning.verdict);
        let grown: Vec<_> = grown.filter(|it| it.code() == "card_changed").collect();
        assert_eq!(
            grown[0].to_string(),
            "the number of uncorrected memory errors grew during the run"
        );
        let remedy = grown[0].remedy();
        assert!(
            remedy.contains("another card") && !remedy.contains("settings"),
            "{remedy}"
        );
    }

    #[test]
    fn a_missing_end_is_an_interruption() {
        let codes = |script: &Script| -> Vec<_> {
            of_run(&script.facts())
                .iter()
                .map(|w| w.verdict.code())
                .collect()
        };
        let mut script = script();
        script.peak(Limit::Read { buffer_bytes: 1 }, 1, &[1]);
        assert_eq!(codes(&script), ["interrupted"]);
        script.end(EndStatus::Complete);
        assert!(codes(&script).is_empty());
    }

    #[test]
    fn a_device_whose_limits_were_not_measured_is_named() {
        let of = |script: &Script| of_run(&script.facts());
        let mut script = script();
        script.end(EndStatus::Complete);
        let told = of(&script);
        assert_eq!(told[0].verdict, Verdict::LimitsMissing);
        assert!(told[0].verdict.invalidates());
        script.peak(Limit::Read { buffer_bytes: 1 }, 1, &[1]);
        assert!(of(&script).is_empty());
    }

    #[test]
    fn drift_is_doubted_beyond_the_target_and_beyond_chance() {
        let mut script = script();
        script.drift(
            measured_point(),
            vec![generation(5 * STEP, &[STEP * 11 / 10; 10])],
        );
        let warnings = of_drifts(&script.facts(), &drifts(&script.facts()));
        assert_eq!(warnings[0].verdict.code(), "drift");
        assert_eq!(
            warnings[0].verdict.to_string(),
            "time per generation changed by +6.7 % until the end of load 0"
        );
        script.session_mut().study.measure.target_ci = 0.07;
        assert!(of_drifts(&script.facts(), &drifts(&script.facts())).is_empty());
    }
}
