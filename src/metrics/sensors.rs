//! What the sensor columns of blocks say together.
//!
//! Columns are named by sensor with the unit at the end; a column that is missing or silent says
//! nothing, which is never zero.

use std::fmt;

use crate::record::observation::{Block, Sensors};

/// Share of time in which a kernel ran.
pub(crate) const GPU_UTILIZATION: &str = "gpu_utilization_percent";
/// Clock of the multiprocessors.
pub(crate) const SM_CLOCK: &str = "sm_clock_mhz";
/// Its maximum.
pub(crate) const SM_CLOCK_MAX: &str = "max_sm_clock_mhz";
/// Reasons why clocks are lowered, NVML's bits.
pub(crate) const THROTTLE_REASONS: &str = "throttle_reasons";
/// Processes with a compute context on the card; the worker is one of them.
pub(crate) const PROCESS_COUNT: &str = "process_count";

/// A longer time without a reading is a gap.
pub(crate) const MAX_GAP_PERIODS: f64 = 3.0;

/// NVML's reasons that mean power: software power cap and hardware power brake.
const POWER_BITS: u64 = 0x04 | 0x80;
/// NVML's reasons that mean heat: software and hardware thermal slowdown.
const THERMAL_BITS: u64 = 0x20 | 0x40;
/// NVML's reason that names neither.
const HARDWARE_BITS: u64 = 0x08;

/// Shares of time in which the card held itself back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throttling {
    /// For power.
    pub power: f64,
    /// For heat.
    pub thermal: f64,
    /// For a reason that the hardware does not tell.
    pub hardware: f64,
}

impl Throttling {
    /// The largest share.
    pub fn worst(&self) -> f64 {
        self.power.max(self.thermal).max(self.hardware)
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        if self.thermal >= self.power && self.thermal >= self.hardware {
            "improve the cooling, or state that this is how the card runs in its rack"
        } else {
            "raise the power limit with `nvidia-smi -pl`, or state the limit beside the number"
        }
    }
}

impl fmt::Display for Throttling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = [
            (self.power, "for power"),
            (self.thermal, "for heat"),
            (self.hardware, "by the hardware"),
        ];
        let named: Vec<String> = shares
            .iter()
            .filter(|(share, _)| *share > 0.0)
            .map(|(share, reason)| format!("{reason} {:.0} % of the time", share * 100.0))
            .collect();
        write!(f, "clocks were lowered {}", named.join(", "))
    }
}

/// Whether the block holds any reading.
pub(crate) fn any(block: &Block) -> bool {
    block
        .sensors
        .as_ref()
        .is_some_and(|sensors| sensors.columns.values().flatten().any(Option::is_some))
}

/// All readings of one sensor.
pub(crate) fn readings<'a>(
    blocks: &'a [&Block],
    sensor: &'a str,
) -> impl Iterator<Item = u64> + 'a {
    columns(blocks)
        .filter_map(move |sensors| sensors.columns.get(sensor))
        .flatten()
        .filter_map(|reading| *reading)
}

/// Mean reading of one sensor.
pub(crate) fn mean(blocks: &[&Block], sensor: &str) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0_u32);
    for reading in readings(blocks, sensor) {
        sum += reading as f64;
        n += 1;
    }
    (n > 0).then(|| sum / f64::from(n))
}

/// Highest reading of one sensor.
pub(crate) fn maximum(blocks: &[&Block], sensor: &str) -> Option<u64> {
    readings(blocks, sensor).max()
}

/// Share of readings in which each group of reasons was active.
pub(crate) fn throttling(blocks: &[&Block]) -> Option<Throttling> {
    let reasons: Vec<u64> = readings(blocks, THROTTLE_REASONS).collect();
    let share = |bits: u64| {
        let active = reasons.iter().filter(|reason| **reason & bits != 0);
        active.count() as f64 / reasons.len() as f64
    };
    (!reasons.is_empty()).then(|| Throttling {
        power: share(POWER_BITS),
        thermal: share(THERMAL_BITS),
        hardware: share(HARDWARE_BITS),
    })
}

/// Mean clock ÷ maximum clock.
pub(crate) fn clock_share(blocks: &[&Block]) -> Option<f64> {
    let maximum = maximum(blocks, SM_CLOCK_MAX).filter(|clock| *clock > 0)?;
    Some(mean(blocks, SM_CLOCK)? / maximum as f64)
}

/// Longest time between two readings of a block ÷ the period asked for.
pub(crate) fn longest_gap(blocks: &[&Block]) -> Option<f64> {
    let gap = |sensors: &Sensors| {
        let period = sensors.period_ns.value();
        let widest = sensors
            .at_ns
            .windows(2)
            .filter_map(|pair| pair[1].since(pair[0]))
            .max()?;
        (period > 0).then(|| widest.value() as f64 / period as f64)
    };
    columns(blocks).filter_map(gap).reduce(f64::max)
}

fn columns<'a>(blocks: &'a [&Block]) -> impl Iterator<Item = &'a Sensors> + 'a {
    blocks.iter().filter_map(|block| block.sensors.as_ref())
}
