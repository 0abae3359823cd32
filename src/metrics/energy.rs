//! Energy from the card's counter, cross-checked against integrated power, per phase and per token.
//!
//! The counter (`energy_mj`) is what counts: sampled power sees only part of the time on recent cards
//! (arXiv 2312.02741). Power is integrated beside it, and their disagreement is reported. Where the
//! counter is absent or cannot be trusted, the integral takes its place and says so.

mod no_energy;
mod plausible;
mod point;
mod readings;
mod rest;
mod window;

pub use no_energy::NoEnergy;
pub use plausible::{Implausible, implausible};
pub use point::PointEnergy;
pub use rest::Unrest;
pub(crate) use window::GAP_PERIODS;
pub use window::{Window, gaps};

use readings::{COUNTER, counted, integrated, power};

use crate::record::card::Sensors;
use crate::record::observation::Block;
use crate::record::steps::Steps;
use crate::study::spec::Price;
use crate::units::{
    JOULES_PER_KILOWATT_HOUR, Joules, JoulesPerToken, Nanos, Seconds, TOKENS_PER_MTOK, Tokens,
    UsdPerKilowattHour, UsdPerMtok, Watts,
};

/// The shortest block that shows a phase's energy.
const MIN_PHASE: Seconds = Seconds::new(10.0);
/// The fewest renewals of the counter, or readings of power, in such a block.
pub(crate) const MIN_UPDATES: usize = 20;
/// The shortest window that shows idle power.
const MIN_IDLE: Seconds = Seconds::new(5.0);
/// The smallest share of decoding in a block that shows the energy of decoding.
const MIN_DECODE_SHARE: f64 = 0.95;

/// How an energy came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The difference of two states of the card's counter.
    Counter,
    /// The integral of sampled power.
    IntegratedPower,
}

impl Method {
    /// The word in files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::IntegratedPower => "integrated_power",
        }
    }
}

/// The energy of a window, both ways.
#[derive(Debug, Clone, PartialEq)]
pub struct Energy {
    /// By the card's counter.
    pub counter: Result<Joules, NoEnergy>,
    /// By integrating sampled power.
    pub integrated: Result<Joules, NoEnergy>,
}

impl Energy {
    /// The energy of `window`, both ways.
    pub fn of(sensors: &Sensors, window: Window) -> Self {
        Self {
            counter: counted(sensors, window).map(|counted| counted.energy),
            integrated: integrated(sensors, window),
        }
    }

    /// The better one and how it came about; the counter's reason when there is none.
    pub fn best(&self) -> Result<(Joules, Method), NoEnergy> {
        match (&self.counter, &self.integrated) {
            (Ok(energy), _) => Ok((*energy, Method::Counter)),
            (Err(_), Ok(energy)) => Ok((*energy, Method::IntegratedPower)),
            (Err(reason), Err(_)) => Err(reason.clone()),
        }
    }

    /// How much more the integral says than the counter, as a share of the counter:
    /// `integrated / counter − 1`; `None` unless both are there.
    pub fn disagreement(&self) -> Option<f64> {
        let (Ok(counter), Ok(integrated)) = (&self.counter, &self.integrated) else {
            return None;
        };
        (counter.value() > 0.0).then(|| *integrated / *counter - 1.0)
    }
}

/// A phase of generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Prompts are read.
    Prefill,
    /// Tokens are made.
    Decode,
}

/// What one phase costs in energy.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseEnergy {
    /// The phase.
    pub phase: Phase,
    /// How long the block took.
    pub duration: Seconds,
    /// Prompt tokens of a prefill block, output tokens of a decode block.
    pub tokens: Tokens,
    /// The energy of the block.
    pub energy: Energy,
}

impl PhaseEnergy {
    /// The energy of the single-phase `block`.
    ///
    /// A block shows prefill when its generations have one token each, and decoding when at least
    /// 95 % of its time is decoding; it lasts at least 10 s. A counter that was renewed fewer than 20
    /// times shows nothing; where it is absent or broken, power needs as many readings.
    pub fn of_block(block: &Block) -> Result<Self, NoEnergy> {
        let sensors = block.sensors.as_ref().ok_or(NoEnergy::NoSensors)?;
        let window = Window::of_block(block).ok_or(NoEnergy::NoSensors)?;
        let phase = phase(block)?;
        let duration = long_enough(window, MIN_PHASE)?;
        let enough = |sensor, seen| {
            if seen < MIN_UPDATES {
                return Err(NoEnergy::TooFewValues { sensor, seen });
            }
            Ok(())
        };
        let counter = match counted(sensors, window) {
            Ok(counted) => {
                enough(COUNTER, counted.updates)?;
                Ok(counted.energy)
            }
            Err(reason) => Err(reason),
        };
        let integrated = integrated(sensors, window).and_then(|energy| {
            let (sensor, points) = power(sensors)?;
            let times = points.iter().map(|point| point.at);
            let inside = times.filter(|at| window.from <= *at && *at <= window.to);
            enough(sensor, inside.count()).map(|()| energy)
        });
        let rows = f64::from(block.point.batch.get()) * block.generations.len() as f64;
        let length = match phase {
            Phase::Prefill => block.point.isl,
            Phase::Decode => block.point.osl,
        };
        Ok(Self {
            phase,
            duration,
            tokens: Tokens::new(rows * f64::from(length.get())),
            energy: Energy {
                counter,
                integrated,
            },
        })
    }

    /// Mean power of the block.
    pub fn power(&self) -> Result<Watts, NoEnergy> {
        self.energy.best().map(|(energy, _)| energy / self.duration)
    }

    /// Energy per token of the phase, all that the card drew: `energy / tokens`.
    ///
    /// Prefill counts prompt tokens, decoding counts output tokens; the up to 5 % of prefill in a
    /// decode block are within it.
    pub fn gross(&self) -> Result<JoulesPerToken, NoEnergy> {
        self.energy.best().map(|(energy, _)| energy / self.tokens)
    }

    /// Energy per token beyond what the idle card draws: `(energy − idle · duration) / tokens`.
    pub fn net(&self, idle: Watts) -> Result<JoulesPerToken, NoEnergy> {
        let (energy, _) = self.energy.best()?;
        let net = energy - idle * self.duration;
        if net > Joules::ZERO {
            Ok(net / self.tokens)
        } else {
            Err(NoEnergy::BelowIdle)
        }
    }
}

/// Mean power of an idle card, over the last 5 s of `sensors`: a card that a program has just left takes
/// a moment to come to rest.
pub fn idle_power(sensors: &Sensors) -> Result<Watts, NoEnergy> {
    let window = idle_window(sensors)?;
    let (energy, _) = Energy::of(sensors, window).best()?;
    Ok(energy / window.duration())
}

/// The last 5 s of readings at rest.
fn idle_window(sensors: &Sensors) -> Result<Window, NoEnergy> {
    let (Some(&first), Some(&to)) = (sensors.at_ns.first(), sensors.at_ns.last()) else {
        return Err(NoEnergy::NoSensors);
    };
    long_enough(Window { from: first, to }, MIN_IDLE)?;
    let last = (MIN_IDLE.value() * 1e9) as u64;
    let from = Nanos::new(to.value().saturating_sub(last)).max(first);
    Ok(Window { from, to })
}

/// Energy that the whole building draws for the energy that the card draws; 1 and above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerUsageEffectiveness(f64);

impl PowerUsageEffectiveness {
    /// The card alone.
    pub const CARD: Self = Self(1.0);

    /// The ratio.
    pub const fn value(self) -> f64 {
        self.0
    }

    /// `None` below 1 or when not finite.
    pub fn new(ratio: f64) -> Option<Self> {
        (ratio.is_finite() && ratio >= 1.0).then_some(Self(ratio))
    }
}

/// What energy costs where the card stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergyPrice {
    /// Of one kilowatt-hour.
    pub usd_per_kilowatt_hour: UsdPerKilowattHour,
    /// What the building adds.
    pub pue: PowerUsageEffectiveness,
}

impl EnergyPrice {
    /// The price that a study states; `None` where it states none.
    pub fn of(price: &Price) -> Option<Self> {
        let pue = match price.pue {
            Some(pue) => PowerUsageEffectiveness::new(pue.try_into().ok()?)?,
            None => PowerUsageEffectiveness::CARD,
        };
        Some(Self {
            usd_per_kilowatt_hour: UsdPerKilowattHour::new(price.usd_per_kwh?.try_into().ok()?),
            pue,
        })
    }

    /// What a million tokens of a phase cost in energy.
    pub fn of_phase(self, energy: JoulesPerToken) -> UsdPerMtok {
        energy_cost(energy, self.usd_per_kilowatt_hour, self.pue)
    }
}

/// What the energy of a million tokens costs:
/// `joules per token · 10⁶ / 3.6·10⁶ · usd per kWh · PUE`.
///
/// ```
/// use mtok::metrics::energy::{PowerUsageEffectiveness, energy_cost};
/// use mtok::units::{JoulesPerToken, UsdPerKilowattHour};
/// // 0.36 J per token is 0.1 kWh per million; at 0.10 USD and a PUE of 1.3 that is 0.013 USD.
/// let pue = PowerUsageEffectiveness::new(1.3).unwrap();
/// let cost = energy_cost(JoulesPerToken::new(0.36), UsdPerKilowattHour::new(0.10), pue);
/// assert!((cost.value() - 0.013).abs() < 1e-12);
/// ```
pub fn energy_cost(
    energy: JoulesPerToken,
    price: UsdPerKilowattHour,
    pue: PowerUsageEffectiveness,
) -> UsdPerMtok {
    let kilowatt_hours = energy.value() * TOKENS_PER_MTOK / JOULES_PER_KILOWATT_HOUR;
    UsdPerMtok::new(kilowatt_hours * price.value() * pue.0)
}

fn long_enough(window: Window, needed: Seconds) -> Result<Seconds, NoEnergy> {
    let duration = window.duration();
    if duration < needed {
        return Err(NoEnergy::TooShort { duration, needed });
    }
    Ok(duration)
}

fn phase(block: &Block) -> Result<Phase, NoEnergy> {
    if block
        .generations
        .iter()
        .all(|generation| generation.steps_ns.len() == 1)
    {
        return Ok(Phase::Prefill);
    }
    let decode_share = decode_share(&[block]);
    if decode_share >= MIN_DECODE_SHARE {
        Ok(Phase::Decode)
    } else {
        Err(NoEnergy::MixedPhases { decode_share })
    }
}

/// The share of decoding in the time of all generations.
fn decode_share(blocks: &[&Block]) -> f64 {
    let generations = blocks.iter().flat_map(|block| &block.generations);
    let steps = generations.map(|generation| &generation.steps_ns);
    let all: Nanos = steps.clone().map(Steps::sum).sum();
    let firsts: Nanos = steps.filter_map(Steps::first).sum();
    all.since(firsts).unwrap_or_default().seconds() / all.seconds()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::record::observation::{CpuUse, Generation, Moment, Purpose};
    use crate::study::model::Precision;
    use crate::study::workload::PointId;

    const MS: u64 = 1_000_000;

    fn window(from_ms: u64, to_ms: u64) -> Window {
        let (from, to) = (Nanos::new(from_ms * MS), Nanos::new(to_ms * MS));
        Window { from, to }
    }

    /// Readings at the given milliseconds with a period of 100 ms.
    fn sensors(times_ms: &[u64], columns: &[(&str, Vec<Option<u64>>)]) -> Sensors {
        Sensors {
            period_ns: Nanos::new(100 * MS),
            at_ns: times_ms.iter().map(|ms| Nanos::new(ms * MS)).collect(),
            columns: columns
                .iter()
                .map(|(name, values)| ((*name).to_owned(), values.clone()))
                .collect(),
            absent: BTreeMap::new(),
        }
    }

    fn every_100_ms(until_ms: u64) -> Vec<u64> {
        (0..=until_ms / 100).map(|i| i * 100).collect()
    }

    /// A card at constant power whose counter and power agree.
    fn steady(until_ms: u64, watts: u64) -> Sensors {
        let times = every_100_ms(until_ms);
        let counter = times.iter().map(|ms| Some(5_000 + ms * watts)).collect();
        let power = times.iter().map(|_| Some(watts * 1_000)).collect();
        sensors(&times, &[(COUNTER, counter), ("power_instant_mw", power)])
    }

    #[track_caller]
    fn is_close(actual: f64, expected: f64) {
        assert!(
            (actual - expected).abs() < 1e-9 * expected.abs().max(1.0),
            "{actual} ≠ {expected}"
        );
    }

    fn counter_of(values: &[u64], from_ms: u64, to_ms: u64) -> Result<f64, NoEnergy> {
        let times: Vec<u64> = (0..values.len() as u64).map(|i| i * 100).collect();
        let values = values.iter().map(|value| Some(*value)).collect();
        let sensors = sensors(&times, &[(COUNTER, values)]);
        Energy::of(&sensors, window(from_ms, to_ms))
            .counter
            .map(Joules::value)
    }

    fn integral_of(milliwatts: &[Option<u64>], from_ms: u64, to_ms: u64) -> Result<f64, NoEnergy> {
        let times: Vec<u64> = (0..milliwatts.len() as u64).map(|i| i * 100).collect();
        let sensors = sensors(&times, &[("power_mw", milliwatts.to_vec())]);
        Energy::of(&sensors, window(from_ms, to_ms))
            .integrated
            .map(Joules::value)
    }

    #[test]
    fn the_counter_is_a_difference_with_straight_lines_to_the_edges() {
        // 10, 20 and 30 J in three intervals of 100 ms.
        let values = [1_000, 11_000, 31_000, 61_000];
        is_close(counter_of(&values, 0, 300).unwrap(), 60.0);
        is_close(counter_of(&values, 100, 200).unwrap(), 20.0);
        is_close(counter_of(&values, 50, 250).unwrap(), 5.0 + 20.0 + 15.0);
    }

    #[test]
    fn power_is_integrated_by_trapezoids_with_straight_lines_to_the_edges() {
        // From 100 to 300 W in 200 ms: 0.1 · 150 + 0.1 · 250 = 40 J.
        let ramp = [Some(100_000), Some(200_000), Some(300_000)];
        is_close(integral_of(&ramp, 0, 200).unwrap(), 40.0);
        // From 150 to 250 W in 100 ms.
        is_close(integral_of(&ramp, 50, 150).unwrap(), 20.0);
        // A silent reading is bridged, as long as the pause is no gap.
        is_close(
            integral_of(&[Some(100_000), None, Some(300_000)], 0, 200).unwrap(),
            40.0,
        );
    }

    #[test]
    fn readings_must_span_the_window() {
        let message = counter_of(&[1, 2, 3], 100, 201).unwrap_err().to_string();
        assert_eq!(message, "energy_mj: the readings do not span the window");
        assert!(integral_of(&[Some(1), Some(1)], 0, 101).is_err());
        assert!(integral_of(&[], 0, 100).is_err());
        assert!(integral_of(&[Some(1), Some(1)], 50, 50).is_err());
    }

    #[test]
    fn a_gap_leaves_the_counter_and_takes_the_integral() {
        let times = [0, 100, 200, 700, 800, 900];
        let counter = times.iter().map(|ms| Some(ms * 100)).collect();
        let power = vec![Some(100_000); times.len()];
        let sensors = sensors(&times, &[(COUNTER, counter), ("power_mw", power)]);
        let energy = Energy::of(&sensors, window(50, 850));
        is_close(energy.counter.clone().unwrap().value(), 80.0);
        let message = energy.integrated.unwrap_err().to_string();
        assert_eq!(message, "power_mw: no reading for 0.500 s");
        // At an edge the counter would be guessed at.
        let message = Energy::of(&sensors, window(300, 850))
            .counter
            .unwrap_err()
            .to_string();
        assert_eq!(message, "energy_mj: no reading for 0.500 s");
        assert_eq!(gaps(&sensors, window(50, 850)), [window(200, 700)]);
        assert_eq!(
            gaps(&sensors, window(0, 1_300)),
            [window(200, 700), window(900, 1_300)]
        );
    }

    #[test]
    fn a_counter_that_runs_backwards_or_jumps_is_no_energy() {
        let message = counter_of(&[9_000_000, 9_010_000, 5], 0, 200)
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "the energy counter ran backwards from 9010000 to 5 mJ"
        );
        assert!(matches!(
            counter_of(&[0, 10_000, 99_000_000], 0, 200),
            Err(NoEnergy::Jumped { .. })
        ));
    }

    #[test]
    fn a_counter_of_32_bits_may_start_over() {
        let before = (1 << 32) - 4_000;
        is_close(counter_of(&[before, 6_000, 16_000], 0, 200).unwrap(), 20.0);
        // Past 32 bits it was none of those.
        assert!(counter_of(&[(1 << 32) + 4_000, 6_000, 16_000], 0, 200).is_err());
    }

    #[test]
    fn a_counter_that_stands_still_is_stuck() {
        let message = counter_of(&[7; 12], 0, 1_000).unwrap_err().to_string();
        assert_eq!(message, "the energy counter stood still for 1.0 s");
        let mut values: Vec<u64> = (0..60).map(|i| i * 1_000).collect();
        for value in &mut values[30..55] {
            *value = 30_000;
        }
        let error = counter_of(&values, 0, 5_900).unwrap_err();
        assert!(matches!(error, NoEnergy::Stuck { still } if still > Seconds::new(2.0)));
    }

    #[test]
    fn the_integral_stands_in_for_a_counter_that_cannot_be_trusted() {
        let mut sensors = steady(1_000, 200);
        let energy = Energy::of(&sensors, window(0, 1_000));
        assert_eq!(energy.best().unwrap().1, Method::Counter);
        is_close(energy.disagreement().unwrap(), 0.0);
        sensors.columns.get_mut(COUNTER).unwrap()[5] = Some(1);
        let energy = Energy::of(&sensors, window(0, 1_000));
        let (joules, method) = energy.best().unwrap();
        assert_eq!(method, Method::IntegratedPower);
        is_close(joules.value(), 200.0);
        assert_eq!(energy.disagreement(), None);
    }

    #[test]
    fn disagreement_is_a_share_of_the_counter() {
        let mut sensors = steady(1_000, 200);
        let power = sensors.columns.get_mut("power_instant_mw").unwrap();
        power.fill(Some(190_000));
        let energy = Energy::of(&sensors, window(0, 1_000));
        is_close(energy.disagreement().unwrap(), -0.05);
    }

    #[test]
    fn an_absent_sensor_says_why() {
        let mut sensors = sensors(&[0, 100], &[]);
        let reason = "not supported by this card".to_owned();
        sensors.absent.insert(COUNTER.to_owned(), reason);
        let message = Energy::of(&sensors, window(0, 100))
            .best()
            .unwrap_err()
            .to_string();
        assert_eq!(message, "energy_mj: not supported by this card");
    }

    /// Generations of equal steps back to back.
    fn block(generations: u64, steps_ms: &[u64], sensors: Sensors) -> Block {
        let count = |n| NonZeroU32::new(n).unwrap();
        let length: u64 = steps_ms.iter().sum();
        let generation = |i: u64| Generation {
            t0_ns: Nanos::new(i * length * MS),
            steps_ns: steps_ms.iter().map(|ms| Nanos::new(ms * MS)).collect(),
            tail_ns: Nanos::new(0),
            device_ns: None,
        };
        let zero = Nanos::new(0);
        Block {
            load: 0,
            point: PointId {
                precision: Precision::Bf16,
                kv: None,
                batch: count(4),
                isl: count(500),
                osl: count(steps_ms.len() as u32),
            },
            purpose: Purpose::Energy,
            serves: None,
            round: 0,
            started: Moment {
                monotonic_ns: zero,
                realtime_ns: zero,
            },
            generations: (0..generations).map(generation).collect(),
            repeated: 0,
            output_sha256: String::new(),
            cpu: CpuUse {
                wall_ns: zero,
                worker_ns: zero,
                parent_ns: zero,
                steal_ns: None,
            },
            peak_memory_bytes: None,
            sensors: Some(sensors),
        }
    }

    #[test]
    fn prefill_energy_is_per_prompt_token() {
        // 10 generations of 1 s at 300 W: 3000 J for 10 · 4 · 500 prompt tokens.
        let energy = PhaseEnergy::of_block(&block(10, &[1_000], steady(10_000, 300))).unwrap();
        assert_eq!(energy.phase, Phase::Prefill);
        is_close(energy.tokens.value(), 20_000.0);
        is_close(energy.gross().unwrap().value(), 0.15);
        // 100 W of them are drawn anyway: 2000 J remain.
        is_close(energy.net(Watts::new(100.0)).unwrap().value(), 0.1);
        assert_eq!(energy.net(Watts::new(300.0)), Err(NoEnergy::BelowIdle));
    }

    #[test]
    fn decode_energy_is_per_output_token() {
        // 0.5 s of prefill and 19 steps of 0.5 s: 95 % decoding, 10 s in all, 4 · 20 tokens.
        let energy = PhaseEnergy::of_block(&block(1, &[500; 20], steady(10_000, 400))).unwrap();
        assert_eq!(energy.phase, Phase::Decode);
        is_close(energy.gross().unwrap().value(), 4_000.0 / 80.0);
    }

    /// What is wrong with 10 s at 400 W on a card of 700 W, its counter and its power so many times too high.
    fn wrong_with(counter_times: f64, power_times: f64) -> Option<String> {
        let mut sensors = steady(10_000, 400);
        for (sensor, times) in [(COUNTER, counter_times), ("power_instant_mw", power_times)] {
            for value in sensors.columns.get_mut(sensor).unwrap() {
                *value = value.map(|value| (value as f64 * times) as u64);
            }
        }
        let block = block(10, &[1_000], sensors);
        implausible(&block, Some(Watts::new(700.0))).map(|wrong| wrong.to_string())
    }

    #[test]
    fn counter_and_power_stay_within_the_cards_limit() {
        assert_eq!(wrong_with(1.0, 1.0), None);
        // A fifth above the limit of 700 W is let through: 836 W, and 840 W.
        assert_eq!(wrong_with(2.09, 2.1), None);
        let beyond = |sensor: &str| {
            let told = "comes to 880 W in the mean, and the card's limit is 700 W";
            Some(format!("{sensor} {told}"))
        };
        assert_eq!(wrong_with(2.2, 1.0), beyond("energy_mj"));
        assert_eq!(wrong_with(1.0, 2.2), beyond("power_instant_mw"));
    }

    #[test]
    fn counter_and_power_are_of_the_same_card() {
        // A counter that shows two fifths of what power comes to is one that power has missed, or the like.
        assert_eq!(wrong_with(0.4, 1.0), None);
        assert_eq!(wrong_with(1.0, 0.4), None);
        let apart = "energy_mj rises by 40.0 J, but power_instant_mw comes to 4000.0 J";
        assert_eq!(wrong_with(0.01, 1.0).unwrap(), apart);
        let apart = "energy_mj rises by 4000.0 J, but power_instant_mw comes to 40.0 J";
        assert_eq!(wrong_with(1.0, 0.01).unwrap(), apart);
    }

    #[test]
    fn a_short_block_or_one_without_a_counter_is_not_held_against_power() {
        let mut sensors = steady(10_000, 400);
        sensors.columns.remove(COUNTER);
        let limit = Some(Watts::new(700.0));
        assert_eq!(implausible(&block(10, &[1_000], sensors), limit), None);
        let short = block(9, &[1_000], steady(10_000, 4_000));
        assert_eq!(implausible(&short, limit), None);
    }

    #[test]
    fn a_block_that_cannot_show_a_phase_says_why() {
        let why = |block: &Block| PhaseEnergy::of_block(block).unwrap_err().to_string();
        let mixed = block(1, &[1_000; 10], steady(10_000, 400));
        assert_eq!(why(&mixed), "both phases in one block: 90 % decoding");
        let short = block(9, &[1_000], steady(9_000, 400));
        assert_eq!(why(&short), "9.0 s long, 10 s are needed");
        let mut blind = block(10, &[1_000], steady(10_000, 400));
        blind.sensors = None;
        assert_eq!(why(&blind), "no telemetry");
    }

    #[test]
    fn too_few_renewals_of_the_counter_are_no_phase_energy() {
        let mut sensors = steady(10_000, 400);
        let counter = sensors.columns.get_mut(COUNTER).unwrap();
        for (i, value) in counter.iter_mut().enumerate() {
            *value = Some(i as u64 / 10 * 400_000);
        }
        let error = PhaseEnergy::of_block(&block(10, &[1_000], sensors)).unwrap_err();
        let message = error.to_string();
        assert_eq!(message, "energy_mj: 10 values in the window, 20 are needed");
    }

    #[test]
    fn idle_power_is_a_mean_over_five_seconds_at_least() {
        is_close(idle_power(&steady(5_000, 70)).unwrap().value(), 70.0);
        assert!(matches!(
            idle_power(&steady(4_000, 70)),
            Err(NoEnergy::TooShort { .. })
        ));
        assert_eq!(idle_power(&Sensors::default()), Err(NoEnergy::NoSensors));
        let mut settling = steady(6_000, 70);
        let counter = settling.columns.get_mut(COUNTER).unwrap();
        // 400 J more within the first second.
        for value in &mut counter[5..] {
            *value = value.map(|mj| mj + 400_000);
        }
        is_close(idle_power(&settling).unwrap().value(), 70.0);
    }

    #[test]
    fn energy_costs_what_the_building_draws() {
        let pue = PowerUsageEffectiveness::new(1.5).unwrap();
        let cost = energy_cost(JoulesPerToken::new(3.6), UsdPerKilowattHour::new(0.2), pue);
        is_close(cost.value(), 0.3);
        assert_eq!(PowerUsageEffectiveness::new(0.9), None);
        assert_eq!(PowerUsageEffectiveness::new(f64::NAN), None);
    }

    proptest! {
        #[test]
        fn two_halves_are_the_whole(
            milliwatts in prop::collection::vec(0_u64..1_000_000, 20),
            cut in 1_u64..1_899,
        ) {
            let values: Vec<_> = milliwatts.into_iter().map(Some).collect();
            let whole = integral_of(&values, 0, 1_900).unwrap();
            let halves = integral_of(&values, 0, cut).unwrap() + integral_of(&values, cut, 1_900).unwrap();
            prop_assert!((whole - halves).abs() <= 1e-9 * whole.max(1.0));
        }

        #[test]
        fn twice_the_power_is_twice_the_energy(
            milliwatts in prop::collection::vec(1_u64..1_000_000, 20),
        ) {
            let once: Vec<_> = milliwatts.iter().map(|value| Some(*value)).collect();
            let twice: Vec<_> = milliwatts.iter().map(|value| Some(2 * value)).collect();
            let ratio = integral_of(&twice, 30, 1_830).unwrap() / integral_of(&once, 30, 1_830).unwrap();
            prop_assert!((ratio - 2.0).abs() < 1e-9);
        }
    }
}
