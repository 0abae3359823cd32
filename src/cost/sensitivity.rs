//! What would change the answer: bars, elasticities and the value at which the cheaper side flips.

use serde::Serialize;

use super::case::{Case, Evaluation};
use super::parameter::Parameter;
use super::uncertainty::Drawn;

/// Half-width of the bar of an input without a distribution: a fifth either way.
const ASSUMED_SPREAD: f64 = 0.2;
/// The quantiles of a bar.
const BAR: (f64, f64) = (0.1, 0.9);
/// Relative step of an elasticity.
const NUDGE: f64 = 1e-3;
/// Steps of the search for a flip on either side.
const STEPS: u32 = 40;
/// Farthest factor from the base case at which a flip is looked for.
const FARTHEST: f64 = 1e3;
/// Evaluations spent on one side of one input.
const EFFORT: u32 = 600;

/// One input of the tornado.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lever {
    /// Its key.
    pub key: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Its value in the base case.
    pub base: f64,
    /// P10 of its distribution, or a fifth below.
    pub low: f64,
    /// P90 of its distribution, or a fifth above.
    pub high: f64,
    /// Whether the bar is the scenario's own distribution.
    pub declared: bool,
    /// What self-hosting saves per month at `low`.
    pub saving_usd_at_low: f64,
    /// What self-hosting saves per month at `high`.
    pub saving_usd_at_high: f64,
    /// The first crossing at `low`; null without a break-even.
    pub break_even_requests_at_low: Option<f64>,
    /// The first crossing at `high`.
    pub break_even_requests_at_high: Option<f64>,
    /// Change of the first crossing per change of the input, both relative.
    pub elasticity: Option<f64>,
    /// The value nearest to the base case at which the cheaper side changes.
    pub flip_point: Option<f64>,
}

impl Lever {
    /// Length of the bar in dollars per month.
    pub fn swing_usd(&self) -> f64 {
        (self.saving_usd_at_high - self.saving_usd_at_low).abs()
    }
}

/// A bar for each input in use, widest first; none where one side is missing.
pub(crate) fn tornado(case: &Case, drawn: &[Drawn]) -> Vec<Lever> {
    let mut scratch = case.clone();
    if Evaluation::new(case).saving_usd().is_none() {
        return Vec::new();
    }
    let mut levers: Vec<Lever> = Parameter::in_use(&mut scratch)
        .into_iter()
        .filter_map(|parameter| lever(parameter, case, drawn))
        .collect();
    levers.sort_by(|a, b| b.swing_usd().total_cmp(&a.swing_usd()));
    levers
}

fn lever(parameter: Parameter, case: &Case, drawn: &[Drawn]) -> Option<Lever> {
    let mut turned = Turned::new(parameter, case)?;
    let base = turned.base;
    let declared = drawn
        .iter()
        .find(|input| input.parameter.key == parameter.key);
    let (low, high) = match declared {
        Some(input) => (
            input.distribution.quantile(BAR.0),
            input.distribution.quantile(BAR.1),
        ),
        None => (base * (1.0 - ASSUMED_SPREAD), base * (1.0 + ASSUMED_SPREAD)),
    };
    let low = low.clamp(parameter.low, parameter.high);
    let high = high.clamp(parameter.low, parameter.high);
    let (saving_low, crossing_low) = turned.outcome(low)?;
    let (saving_high, crossing_high) = turned.outcome(high)?;
    let elasticity = turned.elasticity();
    let flip_point = turned.flip_point();
    let moves = (saving_high - saving_low).abs() > 0.0 || flip_point.is_some();
    moves.then_some(Lever {
        key: parameter.key,
        unit: parameter.unit,
        base,
        low,
        high,
        declared: declared.is_some(),
        saving_usd_at_low: saving_low,
        saving_usd_at_high: saving_high,
        break_even_requests_at_low: crossing_low,
        break_even_requests_at_high: crossing_high,
        elasticity,
        flip_point,
    })
}

/// A case in which one number is turned.
struct Turned {
    parameter: Parameter,
    case: Case,
    base: f64,
    effort: u32,
}

/// What tells one stretch of the input from the next.
#[derive(Clone, Copy)]
struct Probe {
    at: f64,
    cheaper: bool,
    /// Billed replica hours: they change in steps.
    step: f64,
}

impl Turned {
    fn new(parameter: Parameter, case: &Case) -> Option<Self> {
        let mut case = case.clone();
        let base = parameter.get(&mut case)?;
        Some(Self {
            parameter,
            case,
            base,
            effort: 0,
        })
    }

    fn outcome(&mut self, value: f64) -> Option<(f64, Option<f64>)> {
        self.parameter.set(&mut self.case, value);
        let evaluation = Evaluation::new(&self.case);
        let saving = evaluation.saving_usd()?;
        let crossing = evaluation
            .break_even()
            .filter(super::breakeven::BreakEven::exists)
            .and_then(|found| found.first)
            .map(|point| point.requests_per_month);
        self.parameter.set(&mut self.case, self.base);
        Some((saving, crossing))
    }

    fn elasticity(&mut self) -> Option<f64> {
        let (down, up) = (self.base * (1.0 - NUDGE), self.base * (1.0 + NUDGE));
        let inside = down >= self.parameter.low && self.base > 0.0;
        // At the upper end of its range an input can only be turned down.
        let up = if up <= self.parameter.high {
            up
        } else {
            self.base
        };
        if !inside || up <= down {
            return None;
        }
        let below = self.outcome(down)?.1?;
        let above = self.outcome(up)?.1?;
        (below > 0.0 && above > 0.0).then(|| (above / below).ln() / (up / down).ln())
    }

    fn probe(&mut self, value: f64) -> Option<Probe> {
        self.effort += 1;
        self.parameter.set(&mut self.case, value);
        let evaluation = Evaluation::new(&self.case);
        let bill = evaluation.fleet_bill(evaluation.requests)?;
        let saving = evaluation.api_usd(evaluation.requests)? - bill.usd();
        Some(Probe {
            at: value,
            cheaper: saving > 0.0,
            step: bill.replica_hours,
        })
    }

    /// The flip nearest to the base case in either direction.
    fn flip_point(&mut self) -> Option<f64> {
        let base = self.base;
        let distance = |flip: &f64| {
            if base > 0.0 && *flip > 0.0 {
                (flip / base).ln().abs()
            } else {
                (flip - base).abs()
            }
        };
        let flips = [self.flip_towards(1.0), self.flip_towards(-1.0)];
        self.parameter.set(&mut self.case, base);
        flips
            .into_iter()
            .flatten()
            .min_by(|a, b| distance(a).total_cmp(&distance(b)))
    }

    /// Walks away from the base case cell by cell; within a cell every step of the fleet is found.
    fn flip_towards(&mut self, direction: f64) -> Option<f64> {
        self.effort = 0;
        let mut from = self.probe(self.base)?;
        for step in 1..=STEPS {
            let at = self.place(direction, f64::from(step) / f64::from(STEPS))?;
            let to = self.probe(at)?;
            if let Some(flip) = self.flip_between(from, to) {
                return Some(flip);
            }
            if self.effort > EFFORT {
                return None;
            }
            from = to;
        }
        None
    }

    /// A place between the base case and the end of the search.
    fn place(&self, direction: f64, share: f64) -> Option<f64> {
        let Parameter { low, high, .. } = self.parameter;
        let bounded = high <= 100.0;
        let place = match (direction > 0.0, self.base > 0.0) {
            (true, _) if bounded => self.base + (high - self.base) * share,
            (true, true) => self.base * FARTHEST.powf(share),
            // From nothing there is no factor: six decades around one unit.
            (true, false) => 10.0_f64.powf(6.0 * share - 3.0),
            (false, true) if bounded => self.base - (self.base - low) * share,
            (false, true) => self.base / FARTHEST.powf(share),
            (false, false) => return None,
        };
        Some(place.clamp(low, high))
    }

    fn flip_between(&mut self, from: Probe, to: Probe) -> Option<f64> {
        let same_step = from.step.total_cmp(&to.step).is_eq();
        if same_step && from.cheaper == to.cheaper {
            return None;
        }
        let width = (to.at - from.at).abs();
        if width <= 1e-9 * to.at.abs().max(from.at.abs()).max(1e-9) {
            return (from.cheaper != to.cheaper).then_some(to.at);
        }
        if self.effort > EFFORT {
            return None;
        }
        let middle = self.probe(f64::midpoint(from.at, to.at))?;
        self.flip_between(from, middle)
            .or_else(|| self.flip_between(middle, to))
    }
}
