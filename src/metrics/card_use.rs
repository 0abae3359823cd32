//! What the card did at a point: its sensors over the time of prefill and of decode, apart.
//!
//! A reading holds until the next one, and counts in a phase by the time that it overlaps with the
//! windows of that phase; a reading of GPM is a mean and holds since the one before. The driver averages utilization and power over up to a second, so phases
//! that are much shorter show a mixture of both.

use std::collections::BTreeMap;

use super::energy::Window;
use super::facts::Facts;
use super::sensors::{self, Held};
use super::throttling::Throttling;
use crate::record::card::Sensors;
use crate::record::observation::{Block, Generation};
use crate::record::sensor::{SAMPLER_CPU, Sensor};
use crate::study::workload::PointId;
use crate::units::{Nanos, Seconds};

/// What the card did at a point.
#[derive(Debug, Clone, PartialEq)]
pub struct CardUse {
    /// While prompts were read.
    pub prefill: PhaseUse,
    /// While tokens were made.
    pub decode: PhaseUse,
    /// Why sensors are absent, by their names.
    pub absent: Vec<(String, String)>,
    /// What sampling cost this machine: processor time of the sampler and of the whole parent, as
    /// shares of the time of the blocks.
    pub cost: SamplingCost,
}

/// Means over the time of one phase; each sensor may be absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PhaseUse {
    /// Share of time with a kernel running.
    pub gpu_utilization: Option<f64>,
    /// Share of time with memory being read or written.
    pub memory_utilization: Option<f64>,
    /// Board power in watts: of this moment where the driver has it, else as it averages.
    pub power_watts: Option<f64>,
    /// Clock of the SMs in MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Clock of the memory in MHz.
    pub memory_clock_mhz: Option<f64>,
    /// Highest temperature.
    pub temperature_c: Option<u64>,
    /// Most memory in use by all processes.
    pub memory_used_bytes: Option<u64>,
    /// Most memory in use by the worker.
    pub process_memory_bytes: Option<u64>,
    /// Most processes with a compute context.
    pub processes: Option<u64>,
    /// Shares of time in which clocks were lowered.
    pub throttling: Option<Throttling>,
    /// Bytes per second to the card.
    pub pcie_rx: Option<f64>,
    /// Bytes per second from the card.
    pub pcie_tx: Option<f64>,
    /// Share of time with a warp on the SMs.
    pub sm_activity: Option<f64>,
    /// Warps against the most that fit.
    pub sm_occupancy: Option<f64>,
    /// Share of time in which tensor cores worked.
    pub tensor_activity: Option<f64>,
    /// Share of the DRAM bandwidth in use.
    pub dram_bandwidth: Option<f64>,
}

/// What sampling cost the measuring machine, as shares of the time of the blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SamplingCost {
    /// Processor time of the sampling thread.
    pub sampler: Option<f64>,
    /// Processor time of the whole parent, within the blocks.
    pub parent: Option<f64>,
}

impl CardUse {
    /// What the card did at `point`; `None` where its sensors were not looked for.
    pub fn of(facts: &Facts<'_>, point: PointId) -> Option<Self> {
        let blocks: Vec<&Block> = facts
            .measured(point)
            .filter(|block| block.sensors.is_some())
            .collect();
        blocks.first()?;
        Some(Self {
            prefill: PhaseUse::over(&blocks, prefill),
            decode: PhaseUse::over(&blocks, decode),
            absent: absent(&blocks),
            cost: SamplingCost::of(&blocks),
        })
    }

    /// Whether any sensor said anything.
    pub fn has_readings(&self) -> bool {
        self.prefill != PhaseUse::default() || self.decode != PhaseUse::default()
    }
}

/// Sensors that no block has a reading of, with the reason that the first block gives.
fn absent(blocks: &[&Block]) -> Vec<(String, String)> {
    let mut absent = BTreeMap::new();
    for sensors in blocks
        .iter()
        .rev()
        .filter_map(|block| block.sensors.as_ref())
    {
        absent.extend(sensors.absent.clone());
    }
    absent.retain(|sensor, _| sensors::readings(blocks, sensor).next().is_none());
    absent.into_iter().collect()
}

/// How the readings of a sensor are cut to windows.
type Cut = fn(&Sensors, &str, &[Window]) -> Vec<Held>;

impl PhaseUse {
    fn over(blocks: &[&Block], windows: fn(&Generation) -> Window) -> Self {
        let cut = |how: Cut, sensor: &str| -> Vec<Held> {
            let mut all = Vec::new();
            for block in blocks {
                let windows: Vec<Window> = block.generations.iter().map(windows).collect();
                if let Some(sensors) = &block.sensors {
                    all.extend(how(sensors, sensor, &windows));
                }
            }
            all
        };
        let held = |sensor: &str| cut(sensors::held, sensor);
        let mean = |sensor: &str| sensors::mean_of(&held(sensor));
        let highest = |sensor: &str| held(sensor).iter().map(|held| held.value).max();
        let percent = |sensor: &str| mean(sensor).map(|value| value / 100.0);
        let permille = |sensor: &str| {
            let mean = sensors::mean_of(&cut(sensors::averaged, sensor));
            mean.map(|value| value / 1_000.0)
        };
        let kilobytes = |sensor: &str| mean(sensor).map(|value| value * 1_000.0);
        let milliwatts = mean(Sensor::PowerInstant.column())
            .or_else(|| mean(Sensor::Power.column()))
            .or_else(|| mean(Sensor::PowerAverage.column()));
        Self {
            gpu_utilization: percent(sensors::GPU_UTILIZATION),
            memory_utilization: percent(Sensor::MemoryUtilization.column()),
            power_watts: milliwatts.map(|value| value / 1_000.0),
            sm_clock_mhz: mean(sensors::SM_CLOCK),
            memory_clock_mhz: mean(Sensor::MemoryClock.column()),
            temperature_c: highest(Sensor::Temperature.column()),
            memory_used_bytes: highest(Sensor::MemoryUsed.column()),
            process_memory_bytes: highest(Sensor::ProcessMemory.column()),
            processes: highest(Sensor::ProcessCount.column()),
            throttling: Throttling::of(&held(sensors::THROTTLE_REASONS)),
            pcie_rx: kilobytes(Sensor::PcieRx.column()),
            pcie_tx: kilobytes(Sensor::PcieTx.column()),
            sm_activity: permille(Sensor::GpmSmActivity.column()),
            sm_occupancy: permille(Sensor::GpmSmOccupancy.column()),
            tensor_activity: permille(Sensor::GpmTensorActivity.column()),
            dram_bandwidth: permille(Sensor::GpmDramBandwidth.column()),
        }
    }
}

impl SamplingCost {
    fn of(blocks: &[&Block]) -> Self {
        let (mut used, mut sampled) = (Seconds::ZERO, Seconds::ZERO);
        for sensors in blocks.iter().filter_map(|block| block.sensors.as_ref()) {
            let mut column = sensors::of(sensors, SAMPLER_CPU);
            let (first, last) = (column.next(), column.last());
            let ends = sensors.at_ns.first().zip(sensors.at_ns.last());
            if let (Some(first), Some(last), Some((from, to))) = (first, last, ends) {
                used += Nanos::new(last.saturating_sub(first)).seconds();
                sampled += to.since(*from).unwrap_or_default().seconds();
            }
        }
        let wall: Seconds = blocks.iter().map(|b| b.cpu.wall_ns.seconds()).sum();
        let parent: Seconds = blocks.iter().map(|b| b.cpu.parent_ns.seconds()).sum();
        let share = |part: Seconds, whole: Seconds| (whole > Seconds::ZERO).then(|| part / whole);
        Self {
            sampler: share(used, sampled),
            parent: share(parent, wall),
        }
    }
}

fn prefill(generation: &Generation) -> Window {
    let first = generation.steps_ns.first().unwrap_or_default();
    Window {
        from: generation.t0_ns,
        to: generation.t0_ns + first,
    }
}

fn decode(generation: &Generation) -> Window {
    Window {
        from: prefill(generation).to,
        to: generation.t0_ns + generation.steps_ns.sum(),
    }
}

/// Readings of one point over its measured time, block after block.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// The point.
    pub point: PointId,
    /// How many blocks follow one another.
    pub blocks: usize,
    /// How often the sensors were to be read.
    pub period: Nanos,
    /// Lines of power, in watts.
    pub power: Vec<Trace>,
    /// Lines of clocks, in MHz.
    pub clocks: Vec<Trace>,
}

/// One sensor over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What it shows.
    pub name: &'static str,
    /// Its pieces, one per block: blocks of other points lie between them.
    pub pieces: Vec<Vec<Moment>>,
}

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Seconds of measured time since the point's first block began.
    pub seconds: f64,
    /// The reading.
    pub value: f64,
}

impl Timeline {
    /// The timeline of the point that was measured the longest with sensors; `None` without readings.
    pub fn longest(facts: &Facts<'_>) -> Option<Self> {
        let time = |point: &PointId| -> u64 {
            let blocks = facts.measured(*point).filter(|block| sensors::any(block));
            blocks.map(|block| block.cpu.wall_ns.value()).sum()
        };
        let points = facts.session.study.sweep.points();
        let longest = points
            .iter()
            .copied()
            .rev()
            .filter(|point| time(point) > 0)
            .max_by_key(time)?;
        let blocks: Vec<&Block> = facts.measured(longest).collect();
        let traces = |sensors: &[(&str, &'static str)], scale: f64| -> Vec<Trace> {
            sensors
                .iter()
                .map(|&(sensor, name)| trace(&blocks, sensor, name, scale))
                .filter(|trace| trace.pieces.iter().any(|piece| !piece.is_empty()))
                .collect()
        };
        let mut sensors = blocks.iter().filter_map(|block| block.sensors.as_ref());
        Some(Self {
            point: longest,
            blocks: blocks.len(),
            period: sensors.next()?.period_ns,
            power: traces(
                &[
                    (Sensor::PowerInstant.column(), "power now"),
                    (Sensor::Power.column(), "power, the driver's mean"),
                ],
                1e-3,
            ),
            clocks: traces(
                &[
                    (sensors::SM_CLOCK, "SM clock"),
                    (Sensor::MemoryClock.column(), "memory clock"),
                ],
                1.0,
            ),
        })
    }
}

fn trace(blocks: &[&Block], sensor: &str, name: &'static str, scale: f64) -> Trace {
    let mut pieces = Vec::new();
    let mut begun = Seconds::ZERO;
    for block in blocks {
        let window = sensors::window(block);
        let mut piece = Vec::new();
        if let Some(sensors) = &block.sensors
            && let Some(column) = sensors.columns.get(sensor)
        {
            for (at, value) in sensors.at_ns.iter().zip(column) {
                let inside = window.from <= *at && *at <= window.to;
                if let (true, Some(value), Some(past)) = (inside, value, at.since(window.from)) {
                    piece.push(Moment {
                        seconds: (begun + past.seconds()).value(),
                        value: *value as f64 * scale,
                    });
                }
            }
        }
        pieces.push(piece);
        begun += block.cpu.wall_ns.seconds();
    }
    Trace { name, pieces }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{Script, generation, moment, point};

    const SECOND: u64 = 1_000_000_000;

    /// A block of 2 s of prefill and 2 s of decode, read at its begin, after 1, 3 and 5 s.
    fn script(columns: &[(&str, [Option<u64>; 4])]) -> Script {
        let measured = point(1, 100, 3);
        let mut script = Script::new(&[measured]);
        let mut whole = generation(2 * SECOND, &[SECOND; 2]);
        whole.t0_ns = moment(10).monotonic_ns;
        script.block(measured, vec![whole]);
        let block = script.last_block_mut();
        block.cpu.parent_ns = Nanos::new(SECOND / 100);
        block.sensors = Some(Sensors {
            period_ns: Nanos::new(SECOND),
            at_ns: [10, 11, 13, 15].map(|s| moment(s).monotonic_ns).to_vec(),
            columns: columns
                .iter()
                .map(|(name, values)| ((*name).to_owned(), values.to_vec()))
                .collect(),
            absent: [("xid".to_owned(), "no permission to read it".to_owned())].into(),
        });
        script
    }

    fn of(script: &Script) -> CardUse {
        CardUse::of(&script.facts(), point(1, 100, 3)).unwrap()
    }

    #[track_caller]
    fn is_close(actual: Option<f64>, expected: f64) {
        assert!((actual.unwrap() - expected).abs() < 1e-12, "{actual:?}");
    }

    #[test]
    fn a_reading_of_gpm_counts_in_the_time_that_it_is_the_mean_of() {
        let busy = [0, 200, 400, 900].map(Some);
        let seen = of(&script(&[("gpm_sm_activity_permille", busy)]));
        // A second at 0.2 until the second reading, then one of the two at 0.4 until the third.
        is_close(seen.prefill.sm_activity, 0.3);
        // The other one at 0.4, then one at 0.9.
        is_close(seen.decode.sm_activity, 0.65);
    }

    #[test]
    fn a_reading_counts_in_a_phase_by_the_time_it_holds_there() {
        let watts = [100, 200, 400, 900].map(|watts| Some(watts * 1_000));
        let seen = of(&script(&[("power_mw", watts)]));
        // 100 W and 200 W for a second each.
        is_close(seen.prefill.power_watts, 150.0);
        // 200 W for a second, then 400 W.
        is_close(seen.decode.power_watts, 300.0);
        assert_eq!(seen.decode.gpu_utilization, None);
        assert_eq!(seen.absent[0].1, "no permission to read it");
    }

    #[test]
    fn a_mean_ends_where_its_sensor_fell_silent() {
        let mut script = script(&[]);
        let sensors = script.last_block_mut().sensors.as_mut().unwrap();
        // Every second, 100 W, then no answer any more; prompts are read for 2 s.
        sensors.at_ns = [10, 11, 12, 13, 14]
            .map(|s| moment(s).monotonic_ns)
            .to_vec();
        let power = vec![Some(100_000), Some(200_000), None, None, None];
        sensors.columns = [("power_mw".to_owned(), power)].into();
        let seen = of(&script);
        is_close(seen.prefill.power_watts, 150.0);
        assert_eq!(seen.decode.power_watts, None);
    }

    #[test]
    fn what_any_block_has_a_reading_of_is_not_absent() {
        let mut script = script(&[("power_mw", [Some(1); 4])]);
        let measured = point(1, 100, 3);
        script.block(measured, vec![generation(2 * SECOND, &[SECOND; 2])]);
        let sensors = |columns: &[&str], absent: &[&str]| Sensors {
            at_ns: vec![moment(10).monotonic_ns],
            columns: columns
                .iter()
                .map(|name| ((*name).to_owned(), vec![Some(1)]))
                .collect(),
            absent: absent
                .iter()
                .map(|name| ((*name).to_owned(), "not read".to_owned()))
                .collect(),
            ..Sensors::default()
        };
        script.last_block_mut().sensors = Some(sensors(&["xid"], &["power_mw", "pcie_rx_kbps"]));
        let absent = of(&script).absent;
        assert_eq!(absent, [("pcie_rx_kbps".to_owned(), "not read".to_owned())]);
    }

    #[test]
    fn throttling_is_a_share_of_the_time_of_its_phase() {
        let reasons = [Some(0), Some(0x20), Some(0x4), Some(0)];
        let seen = of(&script(&[("throttle_reasons", reasons)]));
        let prefill = seen.prefill.throttling.unwrap();
        is_close(Some(prefill.thermal), 0.5);
        is_close(Some(prefill.power), 0.0);
        let decode = seen.decode.throttling.unwrap();
        is_close(Some(decode.thermal), 0.5);
        is_close(Some(decode.power), 0.5);
    }

    #[test]
    fn sampling_is_accounted_for() {
        let used = [0, 1, 2, 5].map(|ms| Some(ms * 1_000_000));
        let cost = of(&script(&[("sampler_cpu_ns", used)])).cost;
        // 5 ms in 5 s, 10 ms in a block of 4 s.
        is_close(cost.sampler, 0.001);
        is_close(cost.parent, 0.0025);
    }

    #[test]
    fn the_timeline_holds_what_lies_within_the_blocks() {
        let watts = [Some(100_000), None, Some(400_000), Some(900_000)];
        let script = script(&[("power_mw", watts)]);
        let timeline = Timeline::longest(&script.facts()).unwrap();
        assert_eq!(timeline.clocks, []);
        let moment = |seconds, value| Moment { seconds, value };
        assert_eq!(
            timeline.power[0].pieces,
            [vec![moment(0.0, 100.0), moment(3.0, 400.0)]]
        );
    }

    #[test]
    fn without_readings_there_is_no_timeline() {
        assert_eq!(Timeline::longest(&script(&[]).facts()), None);
    }
}
