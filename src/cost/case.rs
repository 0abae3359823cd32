//! A scenario in plain numbers, and what follows from it: both bills, the fleet, the break-even.
//!
//! Everything uncertain draws, everything sensitivity turns, is a number of a [`Case`]; working one
//! out is a few microseconds.

use super::bill::{ApiBill, ApiCase};
use super::breakeven::{ApiLine, BreakEven};
use super::capacity::{Capacity, Rates, Work};
use super::conversation::{Call, calls};
use super::fleet::{Fleet, FleetBill, FleetCase};
use super::memory::Fit;
use super::shared::{SharedBill, SharedCase};
use super::traffic::Demand;

/// The self-hosted side in plain numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct HostCase {
    /// The fleet.
    pub fleet: FleetCase,
    /// Throughput of a replica.
    pub rates: Rates,
    /// Sequences decoded together, where stated or measured.
    pub batch_size: Option<f64>,
    /// How the model fits, where model and card are known.
    pub fit: Option<Fit>,
}

/// A scenario in plain numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Hours of a month.
    pub hours_per_month: f64,
    /// The workload.
    pub demand: Demand,
    /// What both sides pay.
    pub shared: SharedCase,
    /// The API side.
    pub api: Option<ApiCase>,
    /// The self-hosted side.
    pub host: Option<HostCase>,
}

/// A case worked out.
#[derive(Debug, Clone)]
pub struct Evaluation<'a> {
    /// The case.
    pub case: &'a Case,
    /// User requests per month.
    pub requests: f64,
    /// Work per user request.
    pub work: Work,
    /// The API side.
    pub api: Option<ApiBill>,
    /// What both sides pay.
    pub shared: SharedBill,
    /// The fleet.
    pub fleet: Option<Fleet<'a>>,
}

impl<'a> Evaluation<'a> {
    /// Works a case out.
    pub fn new(case: &'a Case) -> Self {
        let calls: Vec<Call> = calls(&case.demand);
        let work = Work::new(&case.demand, &calls, case.api.as_ref());
        let fleet = case.host.as_ref().and_then(|host| {
            let capacity = host.capacity(&work, &case.demand)?;
            let hours = case.hours_per_month;
            Some(Fleet::new(
                &host.fleet,
                &case.demand,
                capacity,
                &work,
                hours,
            ))
        });
        Self {
            case,
            requests: case.demand.volume.per_month(case.hours_per_month),
            work,
            api: case
                .api
                .as_ref()
                .map(|api| ApiBill::new(api, &case.demand, &calls, case.hours_per_month)),
            shared: SharedBill::new(&case.shared, &case.demand),
            fleet,
        }
    }

    /// The API bill at a volume, without what both sides share.
    pub fn api_usd(&self, requests: f64) -> Option<f64> {
        self.api.map(|api| api.month_usd(requests))
    }

    /// The fleet and its bill at a volume, without what both sides share.
    pub fn fleet_bill(&self, requests: f64) -> Option<FleetBill> {
        self.fleet.as_ref().map(|fleet| fleet.bill(requests))
    }

    /// What self-hosting saves per month at the scenario's own volume; negative when it costs more.
    pub fn saving_usd(&self) -> Option<f64> {
        Some(self.api_usd(self.requests)? - self.fleet_bill(self.requests)?.usd())
    }

    /// The API side as a line.
    pub fn line(&self) -> Option<ApiLine> {
        self.api.map(|api| ApiLine {
            usd_per_request: api.marginal_usd(),
            fixed_usd: api.fixed_usd_per_month,
        })
    }

    /// Where the bills cross.
    pub fn break_even(&self) -> Option<BreakEven> {
        Some(BreakEven::new(self.line()?, self.fleet.as_ref()?))
    }
}

impl HostCase {
    /// The capacity of a replica for a workload.
    pub fn capacity(&self, work: &Work, demand: &Demand) -> Option<Capacity> {
        Capacity::new(
            work,
            &self.rates,
            self.batch_size,
            self.sequences(work, demand),
        )
    }

    /// Sequences of the workload that fit beside each other; `None` where the fit is unknown or the
    /// model does not fit at all.
    pub fn sequences(&self, work: &Work, demand: &Demand) -> Option<f64> {
        let fit = self.fit.filter(Fit::fits)?;
        if work.calls <= 0.0 {
            return None;
        }
        let tokens = (work.input_tokens + work.output_tokens) / work.calls;
        let prefix = if demand.prefix_hit_rate > 0.0 {
            demand.system_tokens
        } else {
            0.0
        };
        Some(fit.sequences(tokens, prefix))
    }
}
