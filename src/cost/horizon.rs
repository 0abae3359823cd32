//! Cash over time: trends, growth, discounting, payback and what a commitment binds.

use serde::Serialize;

use super::case::Evaluation;
use super::fleet::{CardRate, Fleet};
use super::resolve_host::HostFacts;
use super::scenario::Horizon;

const MONTHS_PER_YEAR: f64 = 12.0;

/// `horizon`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HorizonAnswer {
    /// One row per month, the first at today's volume.
    pub months: Vec<Month>,
    /// Savings of all months at today's value, less the one-off cost.
    pub net_present_value_usd: f64,
    /// One-off cost over today's monthly saving without it; null where there is no saving.
    pub payback_months: Option<f64>,
    /// The first month after which the cash spent is back; null within the horizon.
    pub cash_back_in_month: Option<u32>,
    /// Cards for all months one is bound.
    pub commitment_liability_usd: f64,
    /// Both bills if the volume halves and the fleet stays.
    pub volume_halved: Halved,
}

/// One month.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Month {
    /// From 1.
    pub month: u32,
    /// User requests.
    pub requests: f64,
    /// The API bill.
    pub api_usd: f64,
    /// The self-hosted bill without the one-off cost.
    pub self_hosted_usd: f64,
    /// Savings so far less the one-off cost, not discounted.
    pub cumulative_saving_usd: f64,
}

/// Half the volume on the fleet of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Halved {
    /// The API bill.
    pub api_usd_per_month: f64,
    /// The self-hosted bill.
    pub self_hosted_usd_per_month: f64,
    /// What self-hosting saves then; negative is a loss.
    pub saving_usd_per_month: f64,
}

/// Looks ahead; `None` where one side is missing.
pub(crate) fn look_ahead(
    horizon: &Horizon,
    evaluation: &Evaluation<'_>,
    facts: &HostFacts,
) -> Option<HorizonAnswer> {
    let api = evaluation.api?;
    let fleet = evaluation.fleet.as_ref()?;
    let forecast = &evaluation.case.demand.forecast;
    let one_off = fleet.case.fixed.one_off_usd;
    let trend =
        |yearly: f64, month: u32| (1.0 + yearly).powf(f64::from(month - 1) / MONTHS_PER_YEAR);
    let mut months = Vec::new();
    let (mut cumulative, mut present) = (-one_off, -one_off);
    for month in 1..=horizon.months {
        let grown = f64::from((month - 1).min(forecast.months));
        let requests = evaluation.requests * (1.0 + forecast.growth_per_month).powf(grown);
        let shared = evaluation.shared.month_usd(requests);
        let api_usd =
            requests * api.marginal_usd() * trend(horizon.api_price_change_per_year, month)
                + api.fixed_usd_per_month;
        let bound = f64::from(month) <= facts.commitment_months;
        let cards = match (&fleet.case.rate, bound) {
            (CardRate::Owned(_), _) | (CardRate::Rented { .. }, true) => 1.0,
            (CardRate::Rented { .. }, false) => trend(horizon.gpu_price_change_per_year, month),
        };
        let host_usd = running_usd(fleet, requests, (cards, bound), evaluation.requests);
        let saving = api_usd - host_usd;
        cumulative += saving;
        present += saving
            / (1.0 + horizon.discount_rate_per_year).powf(f64::from(month) / MONTHS_PER_YEAR);
        months.push(Month {
            month,
            requests,
            api_usd: api_usd + shared,
            self_hosted_usd: host_usd + shared,
            cumulative_saving_usd: cumulative,
        });
    }
    let today = fleet.bill(evaluation.requests);
    let saving =
        api.month_usd(evaluation.requests) - today.usd() + fleet.case.fixed.amortized_usd();
    Some(HorizonAnswer {
        net_present_value_usd: present,
        payback_months: (saving > 0.0).then(|| one_off / saving),
        cash_back_in_month: months
            .iter()
            .find(|month| month.cumulative_saving_usd >= 0.0)
            .map(|month| month.month),
        months,
        commitment_liability_usd: facts.commitment_months * today.gpu_usd,
        volume_halved: halved(evaluation, fleet, api.month_usd(evaluation.requests / 2.0)),
    })
}

/// The bill without the one-off cost; while one is bound, today's cards are paid for at least.
fn running_usd(fleet: &Fleet<'_>, requests: f64, cards: (f64, bool), today: f64) -> f64 {
    let (price, bound) = cards;
    let bill = fleet.bill(requests);
    let least = if bound {
        fleet.bill(today).gpu_usd
    } else {
        0.0
    };
    bill.gpu_usd.max(least) * price + bill.staff_usd + bill.other_usd
        - fleet.case.fixed.amortized_usd()
}

fn halved(evaluation: &Evaluation<'_>, fleet: &Fleet<'_>, api_usd: f64) -> Halved {
    let half = evaluation.requests / 2.0;
    let shared = evaluation.shared.month_usd(half);
    let host_usd = fleet
        .bill_of(half, &fleet.replicas(evaluation.requests))
        .usd();
    Halved {
        api_usd_per_month: api_usd + shared,
        self_hosted_usd_per_month: host_usd + shared,
        saving_usd_per_month: api_usd - host_usd,
    }
}
