//! What the fake driver shows: cards with sensors over time, and faults.

use serde::{Deserialize, Serialize};

/// A simulated engine on the machine's clock, so that sensors are read while it works, on the card that the default
/// script has: 5 ms of prefill and 5 ms per step. A step reads 2 GB, which is 80 % of what the card can read.
pub const ENGINE: &str = "[model]\nload_ms = 1.0\n\
    [time]\nclock = \"machine\"\nprefill_us = 5000.0\nprefill_us_per_token = 0.0\nstep_us = 5000.0\n\
    [peaks]\nread_bytes_per_second = 0.5e12\n";

/// Everything that the fake driver shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Driver version.
    pub driver: String,
    /// Version of the library.
    pub nvml: String,
    /// CUDA version of the driver, `1000 · major + 10 · minor`.
    pub cuda: i32,
    /// When set, time does not pass by itself: each question for the energy counter, the first of
    /// every reading, moves it by this many milliseconds. Otherwise it is the time since `nvmlInit`.
    pub tick_ms: Option<u64>,
    /// The cards, in the order of their indices.
    pub cards: Vec<Card>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            driver: "570.124.06".to_owned(),
            nvml: "12.570.124.06".to_owned(),
            cuda: 12_080,
            tick_ms: None,
            cards: vec![Card::default()],
            faults: Vec::new(),
        }
    }
}

/// One card; the default is an idle H100.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Card {
    /// Product name as bytes, because a broken card may not speak UTF-8.
    pub name: Vec<u8>,
    /// Identity.
    pub uuid: String,
    /// PCI bus id in NVML's form.
    pub pci_bus_id: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Highest SM clock.
    pub max_sm_clock_mhz: u32,
    /// Highest memory clock.
    pub max_memory_clock_mhz: u32,
    /// Power limit in force.
    pub power_limit_mw: Series,
    /// Clocks of SMs and memory that programs are given; absent means not supported.
    pub application_clocks_mhz: Option<[Series; 2]>,
    /// Power limit as delivered.
    pub power_limit_default_mw: u32,
    /// Persistence mode.
    pub persistence: bool,
    /// ECC over time, 0 or 1; absent means not supported.
    pub ecc: Option<Series>,
    /// MIG mode over time, 0 or 1; absent means not supported.
    pub mig: Option<Series>,
    /// MIG slices.
    pub slices: Vec<Slice>,
    /// Whether the card has GPM metrics.
    pub gpm: bool,
    /// Whether the card reports XID events.
    pub event_support: bool,
    /// Sensors over time.
    pub sensors: Sensors,
    /// Processes with a compute context.
    pub processes: Vec<Process>,
    /// XID events.
    pub events: Vec<Event>,
    /// The XID error that comes when a child of the process ends which was there for a second.
    pub xid_of_child: Option<u64>,
}

impl Card {
    /// A card that works: every sensor at its best, and the worker listed.
    pub fn working() -> Self {
        Self {
            sensors: Sensors {
                energy_mj: Series::counter(5_000_000, 400_000),
                power_mw: Series::Constant(400_000),
                power_average_mw: Series::Constant(400_000),
                power_instant_mw: Series::Constant(400_000),
                throttle_reasons: Series::Constant(0),
                ..Sensors::default()
            },
            processes: vec![Process {
                owner: Owner::Children,
                memory_bytes: Some(1_000_000_000),
                from_ms: 0,
                to_ms: None,
            }],
            ..Self::default()
        }
    }
}

impl Default for Card {
    fn default() -> Self {
        Self {
            name: b"NVIDIA H100 80GB HBM3".to_vec(),
            uuid: "GPU-11111111-2222-3333-4444-555555555555".to_owned(),
            pci_bus_id: "00000000:01:00.0".to_owned(),
            memory_bytes: 85_520_809_984,
            max_sm_clock_mhz: 1_980,
            max_memory_clock_mhz: 2_619,
            power_limit_mw: Series::Constant(700_000),
            application_clocks_mhz: Some([Series::Constant(1_980), Series::Constant(2_619)]),
            power_limit_default_mw: 700_000,
            persistence: true,
            ecc: Some(Series::Constant(1)),
            mig: Some(Series::Constant(0)),
            slices: Vec::new(),
            gpm: true,
            event_support: true,
            sensors: Sensors::default(),
            processes: Vec::new(),
            events: Vec::new(),
            xid_of_child: None,
        }
    }
}

/// A part of a card under MIG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// Identity, `MIG-…`.
    pub uuid: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Memory in use over time.
    pub memory_used_bytes: Series,
}

/// What each sensor shows; the default is a card that does nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sensors {
    /// `nvmlDeviceGetTotalEnergyConsumption`.
    pub energy_mj: Series,
    /// `nvmlDeviceGetPowerUsage`.
    pub power_mw: Series,
    /// Field 185.
    pub power_average_mw: Series,
    /// Field 186.
    pub power_instant_mw: Series,
    /// Utilization of the SMs.
    pub gpu_percent: Series,
    /// Utilization of the memory controller.
    pub memory_percent: Series,
    /// Memory in use.
    pub memory_used_bytes: Series,
    /// SM clock.
    pub sm_clock_mhz: Series,
    /// Memory clock.
    pub memory_clock_mhz: Series,
    /// Temperature.
    pub temperature_c: Series,
    /// Bitmask of throttle reasons.
    pub throttle_reasons: Series,
    /// PCIe to the card, kB/s.
    pub pcie_rx_kbps: Series,
    /// PCIe from the card, kB/s.
    pub pcie_tx_kbps: Series,
    /// Uncorrected ECC errors since the driver was loaded.
    pub ecc_uncorrected: Series,
    /// GPM metric 2.
    pub gpm_sm_activity_permille: Series,
    /// GPM metric 3.
    pub gpm_sm_occupancy_permille: Series,
    /// GPM metric 5.
    pub gpm_tensor_activity_permille: Series,
    /// GPM metric 10.
    pub gpm_dram_bandwidth_permille: Series,
}

impl Default for Sensors {
    fn default() -> Self {
        let idle_mw = 70_000;
        Self {
            energy_mj: Series::counter(1_000_000_000, idle_mw),
            power_mw: Series::Constant(idle_mw),
            power_average_mw: Series::Constant(idle_mw),
            power_instant_mw: Series::Constant(idle_mw),
            gpu_percent: Series::Constant(0),
            memory_percent: Series::Constant(0),
            memory_used_bytes: Series::Constant(600_000_000),
            sm_clock_mhz: Series::Constant(1_980),
            memory_clock_mhz: Series::Constant(2_619),
            temperature_c: Series::Constant(35),
            throttle_reasons: Series::Constant(1),
            pcie_rx_kbps: Series::Constant(100),
            pcie_tx_kbps: Series::Constant(200),
            ecc_uncorrected: Series::Constant(0),
            gpm_sm_activity_permille: Series::Constant(0),
            gpm_sm_occupancy_permille: Series::Constant(0),
            gpm_tensor_activity_permille: Series::Constant(0),
            gpm_dram_bandwidth_permille: Series::Constant(0),
        }
    }
}

/// A value over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Series {
    /// Always the same.
    Constant(u64),
    /// The value of the last point that has come, the first one before that.
    Steps(Vec<Point>),
    /// Straight lines between points, the last value after them; seen only every so often.
    Lines {
        /// Corners, in order of time.
        points: Vec<Point>,
        /// The value is renewed at multiples of this.
        every_ms: u64,
    },
}

/// A value from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Milliseconds since `nvmlInit`.
    pub at_ms: u64,
    /// The value.
    pub value: u64,
}

impl Series {
    /// Steps from pairs of milliseconds and value.
    pub fn steps(points: &[(u64, u64)]) -> Self {
        Self::Steps(corners(points))
    }

    /// Straight lines through pairs of milliseconds and value.
    pub fn lines(points: &[(u64, u64)], every_ms: u64) -> Self {
        let points = corners(points);
        Self::Lines { points, every_ms }
    }

    /// An energy counter from `start` at constant power, for a day, renewed every 20 ms.
    pub fn counter(start: u64, power_mw: u64) -> Self {
        const DAY_MS: u64 = 86_400_000;
        Self::lines(
            &[(0, start), (DAY_MS, start + power_mw * DAY_MS / 1_000)],
            20,
        )
    }

    /// The value at a moment.
    pub fn at(&self, now_ms: u64) -> u64 {
        match self {
            Self::Constant(value) => *value,
            Self::Steps(points) => points
                .iter()
                .take_while(|point| point.at_ms <= now_ms)
                .last()
                .or(points.first())
                .map_or(0, |point| point.value),
            Self::Lines { points, every_ms } => {
                on_lines(points, now_ms - now_ms % every_ms.max(&1))
            }
        }
    }
}

impl Series {
    /// The mean from one moment to another, in steps of a millisecond; the value where they are one.
    pub fn mean(&self, from_ms: u64, to_ms: u64) -> u64 {
        let moments = from_ms..to_ms.max(from_ms + 1);
        let count = u128::from(moments.end - moments.start);
        let sum: u128 = moments.map(|moment| u128::from(self.at(moment))).sum();
        (sum / count) as u64
    }
}

fn corners(points: &[(u64, u64)]) -> Vec<Point> {
    points
        .iter()
        .map(|&(at_ms, value)| Point { at_ms, value })
        .collect()
}

fn on_lines(points: &[Point], now_ms: u64) -> u64 {
    let after = points.partition_point(|point| point.at_ms <= now_ms);
    match (
        after.checked_sub(1).and_then(|i| points.get(i)),
        points.get(after),
    ) {
        (Some(a), Some(b)) => {
            let share = |value: u64| {
                u128::from(value) * u128::from(now_ms - a.at_ms) / u128::from(b.at_ms - a.at_ms)
            };
            if b.value >= a.value {
                a.value + share(b.value - a.value) as u64
            } else {
                a.value - share(a.value - b.value) as u64
            }
        }
        (Some(only), None) | (None, Some(only)) => only.value,
        (None, None) => 0,
    }
}

/// Whose process is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Owner {
    /// This process id.
    Pid(u32),
    /// Every child of the process that loaded the library.
    Children,
}

/// A process with a compute context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Whose.
    pub owner: Owner,
    /// Memory; absent means that the driver does not tell.
    pub memory_bytes: Option<u64>,
    /// From when on.
    pub from_ms: u64,
    /// Until when, if ever.
    pub to_ms: Option<u64>,
}

/// An XID event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When.
    pub at_ms: u64,
    /// Its number.
    pub xid: u64,
}

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The C function, `*` for all that take a device, or one answer of a function that gives
    /// several: `field:186`, `gpm:2`, `clock:1`.
    pub symbol: String,
    /// Only on the card of this index.
    #[serde(default)]
    pub card: Option<usize>,
    /// The return code instead of an answer; absent means that the answer comes, only late.
    #[serde(default)]
    pub code: Option<u32>,
    /// Calls that go well before.
    #[serde(default)]
    pub after_calls: u64,
    /// Calls that go wrong then; absent means all.
    #[serde(default)]
    pub calls: Option<u64>,
    /// How long the call takes.
    #[serde(default)]
    pub hang_ms: u64,
}

impl Fault {
    /// Every call of `symbol` returns `code`.
    pub fn fails(symbol: &str, code: u32) -> Self {
        Self {
            symbol: symbol.to_owned(),
            card: None,
            code: Some(code),
            after_calls: 0,
            calls: None,
            hang_ms: 0,
        }
    }

    /// One call of `symbol`, after so many, takes this long and then answers.
    pub fn hangs(symbol: &str, after_calls: u64, hang_ms: u64) -> Self {
        Self {
            symbol: symbol.to_owned(),
            card: None,
            code: None,
            after_calls,
            calls: Some(1),
            hang_ms,
        }
    }

    /// Every call of `symbol` after so many returns `code`.
    pub fn fails_after(symbol: &str, after_calls: u64, code: u32) -> Self {
        Self {
            after_calls,
            ..Self::fails(symbol, code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_hold_until_the_next_point() {
        let series = Series::steps(&[(10, 1), (20, 2)]);
        assert_eq!([0, 10, 19, 20, 99].map(|t| series.at(t)), [1, 1, 1, 2, 2]);
    }

    #[test]
    fn lines_run_between_points_and_renew_every_so_often() {
        let series = Series::lines(&[(0, 0), (100, 1_000), (100, 0), (200, 500)], 10);
        assert_eq!(
            [0, 9, 10, 95, 100, 150, 500].map(|t| series.at(t)),
            [0, 0, 100, 900, 0, 250, 500]
        );
    }

    #[test]
    fn a_mean_weighs_values_by_their_time() {
        let series = Series::steps(&[(0, 0), (100, 1_000)]);
        let means = [(0, 100), (50, 150), (75, 125), (100, 100)];
        let means = means.map(|(from, to)| series.mean(from, to));
        assert_eq!(means, [0, 500, 500, 1_000]);
    }

    #[test]
    fn a_script_survives_its_file() {
        let script = Script {
            faults: vec![Fault::fails("nvmlDeviceGetPowerUsage", 3)],
            ..Script::default()
        };
        let text = serde_json::to_string(&script).unwrap();
        assert_eq!(serde_json::from_str::<Script>(&text).unwrap(), script);
    }
}
