//! The self-hosted side: how many replicas a volume takes and what they cost.

use super::capacity::Capacity;
use super::owned::OwnedRate;
use super::scenario::FleetMode;
use super::scenario::traffic::Burst;
use super::traffic::{Demand, Profile};
use crate::units::SECONDS_PER_HOUR;

/// Quotients are rounded up after this relative slack, so that an exact fit stays one.
const SLACK: f64 = 1e-9;

/// Rounds up, but not for the sake of a rounding error.
pub(crate) fn ceil(value: f64) -> f64 {
    (value - SLACK * value.abs().max(1.0)).ceil()
}

/// How cards are paid for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CardRate {
    /// Rented by the hour.
    Rented {
        /// One card, one hour.
        usd_per_gpu_hour: f64,
    },
    /// Bought.
    Owned(OwnedRate),
}

/// Interruptible cards.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SpotCase {
    /// Share of the cards.
    pub share: f64,
    /// Their rate.
    pub usd_per_gpu_hour: f64,
    /// Share of their work that is lost.
    pub lost_work: f64,
    /// Share of the time on an ordinary card.
    pub fallback: f64,
}

/// `(1 − φ)·spot/(1 − ℓ) + φ·on-demand`: what an interruptible card costs per useful hour.
pub fn spot_effective_rate(spot: &SpotCase, on_demand: f64) -> f64 {
    (1.0 - spot.fallback) * spot.usd_per_gpu_hour / (1.0 - spot.lost_work)
        + spot.fallback * on_demand
}

/// What costs money whatever the load, per calendar month.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FixedCase {
    /// Full-time equivalents.
    pub fte: f64,
    /// Loaded cost of one per year.
    pub fte_usd_per_year: f64,
    /// Model updates per year.
    pub updates_per_year: f64,
    /// Engineer days of each.
    pub update_engineer_days: f64,
    /// Hours of each in which two fleets run.
    pub update_parallel_hours: f64,
    /// Disks.
    pub storage_usd: f64,
    /// Whatever else.
    pub other_usd: f64,
    /// Paid once.
    pub one_off_usd: f64,
    /// Months over which it is spread.
    pub amortization_months: f64,
}

/// Working days of a full-time year: 52 weeks of 5.
const WORKING_DAYS_PER_YEAR: f64 = 260.0;
const MONTHS_PER_YEAR: f64 = 12.0;

impl FixedCase {
    /// Staff and the engineering of updates per month.
    pub fn staff_usd(&self) -> f64 {
        let days = self.updates_per_year * self.update_engineer_days / WORKING_DAYS_PER_YEAR;
        (self.fte + days) * self.fte_usd_per_year / MONTHS_PER_YEAR
    }

    /// Everything else that is fixed, without the one-off cost.
    pub fn running_usd(&self) -> f64 {
        self.storage_usd + self.other_usd
    }

    /// The one-off cost spread over its months.
    pub fn amortized_usd(&self) -> f64 {
        self.one_off_usd / self.amortization_months
    }

    /// All of it.
    pub fn month_usd(&self) -> f64 {
        self.staff_usd() + self.running_usd() + self.amortized_usd()
    }
}

/// The fleet in plain numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetCase {
    /// Cards of one replica.
    pub gpus_per_replica: f64,
    /// Their rate.
    pub rate: CardRate,
    /// Interruptible share.
    pub spot: SpotCase,
    /// Highest planned load.
    pub target_load: f64,
    /// Stand-by replicas.
    pub redundant: f64,
    /// Fewest billed replicas.
    pub min_replicas: f64,
    /// Cards billed together.
    pub quantum: f64,
    /// Whether it follows the load.
    pub mode: FleetMode,
    /// Lead of a new replica.
    pub cold_start_hours: f64,
    /// Replicas reserved for all hours.
    pub reserved: f64,
    /// Their rate.
    pub reserved_usd_per_gpu_hour: f64,
    /// Fixed costs.
    pub fixed: FixedCase,
    /// Dollars for traffic out per output token.
    pub egress_usd_per_token: f64,
}

impl FleetCase {
    /// One card for one hour of the calendar, interruptible share included.
    pub fn usd_per_gpu_hour(&self, hours_per_month: f64) -> f64 {
        let ordinary = match &self.rate {
            CardRate::Rented { usd_per_gpu_hour } => *usd_per_gpu_hour,
            CardRate::Owned(owned) => owned.usd_per_gpu_month(hours_per_month) / hours_per_month,
        };
        ordinary * (1.0 - self.spot.share)
            + spot_effective_rate(&self.spot, ordinary) * self.spot.share
    }

    /// Cards billed for some replicas.
    pub fn gpus(&self, replicas: f64) -> f64 {
        ceil(replicas * self.gpus_per_replica / self.quantum) * self.quantum
    }

    /// Billed replicas where the load needs `needed` of them.
    pub fn billed(&self, needed: f64) -> f64 {
        (needed.max(1.0) + self.redundant).max(self.min_replicas)
    }

    /// Average dollars per hour for replicas that are billed in each hour of a profile, some of them
    /// reserved for all hours.
    fn usd_per_hour(&self, replicas: &[f64], rate: f64, reserved: f64) -> f64 {
        let base = self.gpus(reserved);
        let hours = replicas.len() as f64;
        let ordinary: f64 = replicas.iter().map(|n| self.extra_gpus(*n, base)).sum();
        base * self.reserved_usd_per_gpu_hour + ordinary / hours * rate
    }

    /// Cards beyond the reserved ones.
    fn extra_gpus(&self, replicas: f64, base: f64) -> f64 {
        // Fewer cards than are reserved need no further card.
        (self.gpus(replicas) - base).max(0.0)
    }
}

/// A fleet that serves a workload: everything that cost depends on besides the volume.
#[derive(Debug, Clone)]
pub struct Fleet<'a> {
    /// Its terms.
    pub case: &'a FleetCase,
    /// What a replica carries.
    pub capacity: Capacity,
    /// Calls per user request.
    calls: f64,
    /// Output tokens per user request.
    output_tokens: f64,
    burst: &'a Burst,
    /// Hours of the month.
    pub hours: f64,
    /// Load of each hour over the mean; one entry where only the peak counts.
    levels: Vec<f64>,
    rate: f64,
}

/// A volume served by a fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FleetBill {
    /// Billed replicas, at the busiest hour.
    pub replicas: f64,
    /// Billed replica hours per month.
    pub replica_hours: f64,
    /// Billed cards, at the busiest hour.
    pub gpus: f64,
    /// Cards.
    pub gpu_usd: f64,
    /// Staff and updates.
    pub staff_usd: f64,
    /// Storage, one-off, egress, whatever else.
    pub other_usd: f64,
    /// Demand over the full-load capacity of all billed replicas.
    pub utilization: f64,
}

impl FleetBill {
    /// The bill without what both sides share.
    pub fn usd(&self) -> f64 {
        self.gpu_usd + self.staff_usd + self.other_usd
    }
}

impl<'a> Fleet<'a> {
    /// A fleet for a workload; `tokens` are its calls and output tokens per user request.
    pub fn new(
        case: &'a FleetCase,
        demand: &'a Demand,
        capacity: Capacity,
        work: &super::capacity::Work,
        hours: f64,
    ) -> Self {
        let load = demand.profile.with_batch(demand.batch.share);
        let levels = match (case.mode, &load) {
            (FleetMode::Autoscaled, Profile::Hourly(weights)) => weights.to_vec(),
            (FleetMode::Static, _) | (FleetMode::Autoscaled, Profile::Peak(_)) => {
                vec![load.peak()]
            }
        };
        Self {
            case,
            capacity,
            calls: work.calls,
            output_tokens: work.output_tokens,
            burst: &demand.burst,
            hours,
            levels,
            rate: case.usd_per_gpu_hour(hours),
        }
    }

    /// One card for one hour.
    pub fn usd_per_gpu_hour(&self) -> f64 {
        self.rate
    }

    /// One replica for one month.
    pub fn replica_usd(&self) -> f64 {
        self.case.gpus_per_replica * self.rate * self.hours * self.update_factor()
    }

    /// Old and new fleet run side by side during an update.
    pub(super) fn update_factor(&self) -> f64 {
        let fixed = &self.case.fixed;
        let hours = fixed.updates_per_year * fixed.update_parallel_hours / MONTHS_PER_YEAR;
        1.0 + hours / self.hours
    }

    /// Egress per user request.
    pub fn marginal_usd(&self) -> f64 {
        self.output_tokens * self.case.egress_usd_per_token
    }

    /// Load of each hour over the mean, one entry where only the peak counts.
    pub fn levels(&self) -> &[f64] {
        &self.levels
    }

    /// Replicas that a load of user requests per second keeps busy, as a real number.
    pub fn offered(&self, requests_per_second: f64) -> f64 {
        let sizing = self.capacity.sizing_seconds(self.case.target_load);
        let steady = requests_per_second * sizing;
        if self.burst.window_seconds <= 0.0 || requests_per_second <= 0.0 || self.calls <= 0.0 {
            return steady;
        }
        let calls = requests_per_second * self.calls;
        steady * (1.0 + self.burst.z * self.burst.cv / (calls * self.burst.window_seconds).sqrt())
    }

    /// The largest load of user requests per second that `replicas` carry: the inverse of
    /// [`Fleet::offered`].
    pub fn carried(&self, replicas: f64) -> f64 {
        let sizing = self.capacity.sizing_seconds(self.case.target_load);
        let root = if self.burst.window_seconds > 0.0 && self.calls > 0.0 {
            sizing * self.burst.z * self.burst.cv / (self.calls * self.burst.window_seconds).sqrt()
        } else {
            0.0
        };
        if root <= 0.0 {
            return replicas / sizing;
        }
        let x = (-root + (root * root + 4.0 * sizing * replicas).sqrt()) / (2.0 * sizing);
        x * x
    }

    /// User requests per month that keep the busiest hour within `replicas`.
    pub fn monthly_capacity(&self, replicas: f64) -> f64 {
        let peak = self.levels.iter().copied().fold(0.0, f64::max);
        self.carried(replicas) * self.hours * SECONDS_PER_HOUR / peak
    }

    /// Billed replicas of each hour at a monthly volume.
    pub fn replicas(&self, requests: f64) -> Vec<f64> {
        let mean = requests / (self.hours * SECONDS_PER_HOUR);
        let wanted: Vec<f64> = self
            .levels
            .iter()
            .map(|level| self.case.billed(ceil(self.offered(mean * level))))
            .collect();
        self.started_early(&wanted)
    }

    /// A replica is billed from the moment it starts, a cold start ahead of the hour that needs it.
    pub(super) fn started_early(&self, wanted: &[f64]) -> Vec<f64> {
        let lead = self.case.cold_start_hours;
        if lead <= 0.0 || wanted.len() < 2 {
            return wanted.to_vec();
        }
        let whole = lead.floor() as usize;
        let part = lead.fract();
        let ahead = |hour: usize, by: usize| wanted[(hour + by) % wanted.len()];
        (0..wanted.len())
            .map(|hour| {
                let running = (0..=whole).map(|by| ahead(hour, by)).fold(0.0, f64::max);
                // Replicas that start within this hour are billed for the rest of it.
                running + part * (ahead(hour, whole + 1) - running).max(0.0)
            })
            .collect()
    }

    /// Fixed cost and cards at a monthly volume, without what grows with each request.
    pub fn step_usd(&self, requests: f64) -> f64 {
        let replicas = self.replicas(requests);
        self.cards_usd(&replicas) + self.case.fixed.month_usd()
    }

    pub(super) fn cards_usd(&self, replicas: &[f64]) -> f64 {
        self.cards_usd_with(replicas, self.case.reserved)
    }

    /// The same with another number of reserved replicas.
    pub(super) fn cards_usd_with(&self, replicas: &[f64], reserved: f64) -> f64 {
        let hourly = self.case.usd_per_hour(replicas, self.rate, reserved);
        hourly * self.hours * self.update_factor()
    }

    /// The bill of a month.
    pub fn bill(&self, requests: f64) -> FleetBill {
        self.bill_of(requests, &self.replicas(requests))
    }

    /// The bill of a month with a fleet that is already decided.
    pub fn bill_of(&self, requests: f64, replicas: &[f64]) -> FleetBill {
        let hours = replicas.len() as f64;
        let busiest = replicas.iter().copied().fold(0.0, f64::max);
        let replica_hours = replicas.iter().sum::<f64>() / hours * self.hours;
        let fixed = &self.case.fixed;
        FleetBill {
            replicas: busiest,
            replica_hours,
            gpus: self.case.gpus(busiest),
            gpu_usd: self.cards_usd(replicas),
            staff_usd: fixed.staff_usd(),
            other_usd: fixed.running_usd() + fixed.amortized_usd() + requests * self.marginal_usd(),
            utilization: requests * self.capacity.seconds_per_request
                / (replica_hours * SECONDS_PER_HOUR),
        }
    }
}
