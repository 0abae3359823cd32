//! The staircase of a fleet that follows the load: every hour has its own stairs, merged in order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::breakeven::{Line, Scan, Step, Walk, slope_of_cards};
use super::fleet::{Fleet, ceil};
use crate::units::SECONDS_PER_HOUR;

/// Stairs that are looked at before a bound is taken instead.
const MOST_STEPS: usize = 100_000;

/// Goes up the merged stairs of all hours.
pub(super) struct HourlySteps<'a> {
    fleet: &'a Fleet<'a>,
    /// Working replicas of each hour.
    needed: Vec<f64>,
    /// The volume at which each hour needs one more.
    next: BinaryHeap<Reverse<Next>>,
    from: f64,
    /// What is billed in all hours together; `None` where a cold start ties hours to each other.
    totals: Option<Totals>,
}

/// Sums over the hours, kept up to date: a step changes few of them.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    /// Billed replicas.
    replicas: f64,
    /// Billed cards beyond the reserved ones.
    cards: f64,
    /// Billed replicas of the busiest hour.
    busiest: f64,
}

/// The volume at which an hour leaves its stair.
#[derive(Debug, PartialEq)]
struct Next {
    requests: f64,
    hour: usize,
}

impl Eq for Next {}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        self.requests
            .total_cmp(&other.requests)
            .then(self.hour.cmp(&other.hour))
    }
}

impl<'a> HourlySteps<'a> {
    /// Crossings of the line with the merged stairs.
    pub(super) fn scan(line: Line, fleet: &'a Fleet<'a>) -> Scan {
        if line.slope <= 0.0 {
            return Scan::default();
        }
        let bounds = Bounds::new(line, fleet);
        let Some(limit) = bounds.high else {
            return Scan::default();
        };
        let mut steps = Self::starting_at(fleet, bounds.low);
        let mut walk = Walk::default();
        for _ in 0..MOST_STEPS {
            let step = steps.next_step();
            walk.step(line, step);
            if step.to >= limit {
                break;
            }
        }
        if !bounds.for_good {
            walk.scan.permanent = None;
        } else if steps.from < limit {
            // Too many stairs to look at: self-hosting surely stays cheaper above the bound.
            let step = Self::starting_at(fleet, limit).next_step();
            walk.scan.permanent = Some((step, limit));
            walk.scan.permanent_is_bound = true;
        }
        walk.scan
    }

    fn starting_at(fleet: &'a Fleet<'a>, requests: f64) -> Self {
        let mean = requests / (fleet.hours * SECONDS_PER_HOUR);
        let needed: Vec<f64> = fleet
            .levels()
            .iter()
            .map(|level| ceil(fleet.offered(mean * level)).max(1.0))
            .collect();
        let mut steps = Self {
            fleet,
            needed,
            next: BinaryHeap::new(),
            from: requests,
            totals: (fleet.case.cold_start_hours <= 0.0).then(Totals::default),
        };
        if let Some(totals) = &mut steps.totals {
            for needed in &steps.needed {
                totals.add(fleet, fleet.case.billed(*needed), 1.0);
            }
        }
        for hour in 0..steps.needed.len() {
            steps.plan(hour);
        }
        steps
    }

    /// An hour without any load never needs more.
    fn plan(&mut self, hour: usize) {
        let level = self.fleet.levels()[hour];
        if level > 0.0 {
            let requests =
                self.fleet.carried(self.needed[hour]) * self.fleet.hours * SECONDS_PER_HOUR / level;
            self.next.push(Reverse(Next { requests, hour }));
        }
    }

    /// One hour needs one more.
    fn grow(&mut self, hour: usize) {
        let before = self.fleet.case.billed(self.needed[hour]);
        self.needed[hour] += 1.0;
        let after = self.fleet.case.billed(self.needed[hour]);
        if let Some(totals) = &mut self.totals {
            totals.add(self.fleet, before, -1.0);
            totals.add(self.fleet, after, 1.0);
        }
        self.plan(hour);
    }

    fn next_step(&mut self) -> Step {
        let from = self.from;
        let step = self.current();
        if let Some(Reverse(first)) = self.next.pop() {
            self.from = first.requests;
            self.grow(first.hour);
            // Hours of one level change together.
            while let Some(Reverse(same)) = self.next.peek()
                && same.requests <= self.from * (1.0 + 1e-12)
            {
                let hour = same.hour;
                self.next.pop();
                self.grow(hour);
            }
        } else {
            self.from = f64::MAX;
        }
        Step {
            from,
            to: self.from,
            ..step
        }
    }

    /// What the replicas of now cost.
    fn current(&self) -> Step {
        let fleet = self.fleet;
        let hours = self.needed.len() as f64;
        let (cards_usd, replicas, replica_sum) = match self.totals {
            Some(totals) => (
                fleet.mean_cards_usd(totals.cards / hours),
                totals.busiest,
                totals.replicas,
            ),
            None => {
                let billed: Vec<f64> = self
                    .needed
                    .iter()
                    .map(|needed| fleet.case.billed(*needed))
                    .collect();
                let replicas = fleet.started_early(&billed);
                (
                    fleet.cards_usd(&replicas),
                    replicas.iter().copied().fold(0.0, f64::max),
                    replicas.iter().sum(),
                )
            }
        };
        Step {
            from: self.from,
            to: self.from,
            usd: cards_usd + fleet.case.fixed.month_usd(),
            replicas,
            replica_hours: replica_sum / hours * fleet.hours,
        }
    }
}

impl Totals {
    /// Adds an hour with its billed replicas, or takes one away. Counts are whole, so nothing drifts.
    fn add(&mut self, fleet: &Fleet<'_>, replicas: f64, times: f64) {
        self.replicas += times * replicas;
        self.cards += times * fleet.case.beyond_reserved(replicas);
        self.busiest = self.busiest.max(replicas);
    }
}

/// Volumes below which self-hosting surely loses and above which nothing changes any more.
struct Bounds {
    low: f64,
    high: Option<f64>,
    for_good: bool,
}

impl Bounds {
    fn new(line: Line, fleet: &Fleet<'_>) -> Self {
        let case = fleet.case;
        let slope = slope_of_cards(fleet);
        let gain = line.slope - slope;
        let replica = fleet.replica_usd();
        let per_gpu = fleet.hours * fleet.update_factor();
        let saving = case.gpus(case.reserved)
            * (fleet.usd_per_gpu_hour() - case.reserved_usd_per_gpu_hour)
            * per_gpu;
        let standing = case.fixed.month_usd() - line.fixed;
        let least = standing + case.redundant * replica - saving.max(0.0);
        let cheapest = line.crosses(fleet.step_usd(0.0));
        if gain <= 1e-9 * slope {
            // It can win only below the volume at which a bound from below overtakes the line.
            let high = -least / (-gain).max(1e-9 * slope);
            return Self {
                low: cheapest,
                high: (high > cheapest).then_some(high),
                for_good: false,
            };
        }
        let low = cheapest.max(least / gain);
        let rounding =
            2.0 + case.redundant + case.min_replicas + case.quantum / case.gpus_per_replica;
        let most = standing + rounding * replica - saving.min(0.0);
        let seconds = fleet.hours * SECONDS_PER_HOUR;
        let margin = |requests: f64| {
            let offered: Vec<f64> = fleet
                .levels()
                .iter()
                .map(|level| fleet.offered(requests / seconds * level))
                .collect();
            let early = fleet.started_early(&offered);
            let mean = early.iter().sum::<f64>() / early.len() as f64;
            line.slope * requests - mean * replica - most
        };
        let mut high = (most / gain).max(low).max(1.0);
        for _ in 0..200 {
            if margin(high) >= 0.0 && margin(2.0 * high) >= margin(high) {
                break;
            }
            high *= 1.25;
        }
        Self {
            low,
            high: Some(high),
            for_good: true,
        }
    }
}
