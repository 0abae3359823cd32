//! Where the two bills cross: every crossing, the first, and the one after which it stays.
//!
//! The API bill is a line, `a·R + F_api`; the self-hosted bill is a staircase, since replicas come
//! whole. A staircase and a line cross many times, so the first crossing decides nothing.
//! [`BreakEven::new`] scans every stair; where all stairs are alike, tests hold it against the closed
//! form.

use serde::Serialize;

use super::fleet::{Fleet, ceil};
use super::hourly::HourlySteps;
use super::scenario::Side;
use crate::units::SECONDS_PER_HOUR;

/// Crossings that are listed.
pub const MOST_CROSSINGS: usize = 1_000;
/// Stairs that are looked at before a bound is taken instead.
const MOST_STEPS: usize = 1_000_000;
/// Volumes closer than this, relatively, are one.
const SLACK: f64 = 1e-9;

/// One crossing of the two bills.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Crossing {
    /// At this volume of user requests.
    pub requests_per_month: f64,
    /// Billed replicas there, at the busiest hour.
    pub replicas: f64,
    /// The side that is cheaper above it.
    pub to: Side,
}

/// What is compared: one more user request on either side, and the API's fixed fee.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ApiLine {
    /// Dollars per user request.
    pub usd_per_request: f64,
    /// Dollars per month.
    pub fixed_usd: f64,
}

/// One stair: a range of volume in which the fleet does not change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    /// User requests per month, exclusive.
    pub(super) from: f64,
    /// User requests per month, inclusive.
    pub(super) to: f64,
    /// Dollars per month without what grows with each request.
    pub(super) usd: f64,
    /// Billed replicas at the busiest hour.
    pub(super) replicas: f64,
    /// Billed replica hours per month.
    pub(super) replica_hours: f64,
}

/// Where self-hosting begins to pay.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakEven {
    /// The first crossing towards self-hosting, on whichever stair.
    pub first: Option<Point>,
    /// The crossing after which self-hosting stays cheaper.
    pub permanent: Option<Point>,
    /// Whether there are too many stairs to follow: the permanent crossing lies below the volume stated.
    pub permanent_is_bound: bool,
    /// Every crossing in ascending order, at most [`MOST_CROSSINGS`].
    pub crossings: Vec<Crossing>,
    /// Throughput at which self-hosting would just stop paying at any volume, over today's.
    pub required_throughput_ratio: Option<f64>,
}

/// The bills at a crossing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// User requests per month.
    pub requests_per_month: f64,
    /// Demand over the full-load capacity of all billed replicas.
    pub utilization: f64,
    /// Dollars per month of either side, without what both share.
    pub usd_per_month: f64,
    /// Billed replicas.
    pub replicas: f64,
}

impl BreakEven {
    /// Scans every stair that matters.
    pub fn new(line: ApiLine, fleet: &Fleet<'_>) -> Self {
        let line = Line {
            slope: line.usd_per_request - fleet.marginal_usd(),
            fixed: line.fixed_usd,
        };
        let scan = if fleet.levels().len() == 1 {
            Stairs::new(line, fleet).scan()
        } else {
            HourlySteps::scan(line, fleet)
        };
        let at = |step: &Step, requests: f64| Point {
            requests_per_month: requests,
            utilization: requests * fleet.capacity.seconds_per_request
                / (step.replica_hours * SECONDS_PER_HOUR),
            usd_per_month: step.usd + requests * fleet.marginal_usd(),
            replicas: step.replicas,
        };
        Self {
            first: scan.first.map(|(step, requests)| at(&step, requests)),
            permanent: scan.permanent.map(|(step, requests)| at(&step, requests)),
            permanent_is_bound: scan.permanent_is_bound,
            crossings: scan.crossings,
            required_throughput_ratio: (line.slope > 0.0)
                .then(|| slope_of_cards(fleet) / line.slope),
        }
    }

    /// Whether self-hosting pays for good above some volume.
    pub fn exists(&self) -> bool {
        self.permanent.is_some()
    }
}

/// The API's bill less the part of the self-hosted bill that grows with each request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) slope: f64,
    pub(super) fixed: f64,
}

impl Line {
    /// The volume above which a stair is cheaper; an API fee above its cost makes that 0.
    pub(super) fn crosses(&self, usd: f64) -> f64 {
        if usd <= self.fixed {
            0.0
        } else {
            (usd - self.fixed) / self.slope
        }
    }
}

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) first: Option<(Step, f64)>,
    pub(super) permanent: Option<(Step, f64)>,
    pub(super) permanent_is_bound: bool,
    pub(super) crossings: Vec<Crossing>,
}

/// Whether one volume lies truly above another.
pub(super) fn above(x: f64, y: f64) -> bool {
    x > y + SLACK * y.abs()
}

/// Follows the stairs upwards and notes each crossing.
#[derive(Debug, Default)]
pub(super) struct Walk {
    cheaper: bool,
    pub(super) scan: Scan,
}

impl Walk {
    /// Takes the next stair.
    pub(super) fn step(&mut self, line: Line, step: Step) {
        let at = line.crosses(step.usd);
        if self.cheaper && above(at, step.from) {
            self.cheaper = false;
            self.note(step.from, &step, Side::Api);
            self.scan.permanent = None;
        }
        if !self.cheaper && above(step.to, at) {
            self.cheaper = true;
            let at = at.max(step.from);
            self.note(at, &step, Side::SelfHosted);
            self.scan.first.get_or_insert((step, at));
            self.scan.permanent = Some((step, at));
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.scan.crossings.len() >= MOST_CROSSINGS
    }

    fn note(&mut self, requests_per_month: f64, step: &Step, to: Side) {
        if !self.is_full() {
            self.scan.crossings.push(Crossing {
                requests_per_month,
                replicas: step.replicas,
                to,
            });
        }
    }
}

/// Dollars per user request that cards cost in the long run, whole replicas apart.
pub(super) fn slope_of_cards(fleet: &Fleet<'_>) -> f64 {
    let sizing = fleet.capacity.sizing_seconds(fleet.case.target_load);
    let levels = fleet.started_early(fleet.levels());
    let mean = levels.iter().sum::<f64>() / levels.len() as f64;
    fleet.replica_usd() * sizing * mean / (fleet.hours * SECONDS_PER_HOUR)
}

/// The stairs of a fleet that one hour sizes: stair j is left when j working replicas are full.
struct Stairs<'a> {
    line: Line,
    fleet: &'a Fleet<'a>,
    card_slope: f64,
}

impl<'a> Stairs<'a> {
    fn new(line: Line, fleet: &'a Fleet<'a>) -> Self {
        Self {
            line,
            fleet,
            card_slope: slope_of_cards(fleet),
        }
    }

    fn step(&self, needed: f64) -> Step {
        let replicas = self.fleet.case.billed(needed);
        let from = if needed > 1.0 {
            self.fleet.monthly_capacity(needed - 1.0)
        } else {
            0.0
        };
        Step {
            from,
            to: self.fleet.monthly_capacity(needed),
            usd: self.fleet.cards_usd(&[replicas]) + self.fleet.case.fixed.month_usd(),
            replicas,
            replica_hours: replicas * self.fleet.hours,
        }
    }

    /// Requests per month of one replica in the long run.
    fn per_replica(&self) -> f64 {
        self.fleet.replica_usd() / self.card_slope
    }

    /// What each further replica earns once it is full.
    fn gain(&self) -> f64 {
        self.line.slope * self.per_replica() - self.fleet.replica_usd()
    }

    /// What a reserved replica saves over an ordinary one; negative when it is dearer.
    fn reserved_saving(&self) -> f64 {
        let case = self.fleet.case;
        let difference = self.fleet.usd_per_gpu_hour() - case.reserved_usd_per_gpu_hour;
        case.gpus(case.reserved) * difference * self.fleet.hours * self.fleet.update_factor()
    }

    fn scan(&self) -> Scan {
        let replica = self.fleet.replica_usd();
        if self.line.slope <= 0.0 {
            return Scan::default();
        }
        let case = self.fleet.case;
        // Costs that do not shrink with the number of working replicas, at least and at most.
        let standing = case.fixed.month_usd() + case.redundant * replica - self.line.fixed;
        let saving = self.reserved_saving();
        let least = standing - saving.max(0.0);
        let quantum = (case.quantum - 1.0).max(0.0) / case.gpus_per_replica * replica;
        let most = standing - saving.min(0.0) + quantum;
        let gain = self.gain();
        if gain <= SLACK * replica {
            return self.scan_while(-least / -gain.min(-SLACK * replica.max(SLACK)));
        }
        let lowest = ((least / gain).floor() - 1.0).max(1.0);
        let last = self.last_stair_not_won(most, gain);
        let mut walk = Walk::default();
        let mut needed = lowest;
        for _ in 0..MOST_STEPS {
            walk.step(self.line, self.step(needed));
            if needed > last || (walk.is_full() && walk.scan.first.is_some()) {
                break;
            }
            needed += 1.0;
        }
        let step = self.step(last);
        let at = self.line.crosses(step.usd).max(step.from);
        walk.scan.permanent = Some((step, at));
        walk.scan.first = walk.scan.first.or(walk.scan.permanent);
        walk.scan
    }

    /// Where no further replica pays for itself, self-hosting can only win on the first stairs,
    /// against a fixed fee or with cheap reserved replicas, and never for good.
    fn scan_while(&self, stairs: f64) -> Scan {
        let mut walk = Walk::default();
        let reserved = self.fleet.case.reserved;
        let stairs = stairs.max(reserved).max(self.fleet.case.min_replicas) + 1.0;
        let mut needed = 1.0;
        while needed <= stairs.min(MOST_STEPS as f64) && !walk.is_full() {
            walk.step(self.line, self.step(needed));
            needed += 1.0;
        }
        walk.scan.permanent = None;
        walk.scan
    }

    /// The last stair on whose first requests the API is still cheaper.
    fn last_stair_not_won(&self, most: f64, gain: f64) -> f64 {
        let per_replica = self.line.slope * self.per_replica();
        let mut needed = ceil((most + per_replica) / gain).max(1.0) + 1.0;
        // Bursts make small fleets less efficient: go on until even those stairs are won.
        for _ in 0..200 {
            let margin =
                |n: f64| self.line.slope * self.step(n).from - n * self.fleet.replica_usd();
            if margin(needed) >= most && margin(2.0 * needed) >= margin(needed) {
                break;
            }
            needed *= 2.0;
        }
        needed = needed
            .max(self.fleet.case.min_replicas + 1.0)
            .max(self.fleet.case.reserved + 1.0);
        let won = |needed: f64| {
            let step = self.step(needed);
            !above(self.line.crosses(step.usd), step.from)
        };
        for _ in 0..MOST_STEPS {
            if needed <= 1.0 || !won(needed) {
                break;
            }
            needed -= 1.0;
        }
        needed
    }
}
