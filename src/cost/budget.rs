//! Budgets: when an alert is due, what a session costs, and who pays which part.

use serde::Serialize;

use super::case::Evaluation;
use super::scenario::{Budget, Side};

/// `budget`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BudgetAnswer {
    /// The side in use.
    pub in_use: Side,
    /// Its bill, shared costs included; null where that side is not described.
    pub usd_per_month: Option<f64>,
    /// The budget; null where none is set.
    pub alert_usd_per_month: Option<f64>,
    /// One per threshold.
    pub alerts: Vec<Alert>,
    /// What one conversation costs, one request where there is none.
    pub usd_per_session: Option<f64>,
    /// Whether that is above the budget of a session; null where none is set.
    pub session_over_budget: Option<bool>,
    /// Who pays what; the rest is "unassigned".
    pub cost_centers: Vec<Charge>,
}

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Alert {
    /// Share of the budget.
    pub at: f64,
    /// In dollars.
    pub usd: f64,
    /// Whether the month's bill reaches it.
    pub reached: bool,
    /// The day of the month on which it does, the bill growing evenly.
    pub day: Option<f64>,
}

/// What one cost center pays.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Charge {
    /// Who.
    pub name: String,
    /// Share of the requests.
    pub share: f64,
    /// Its part of the bill.
    pub usd_per_month: f64,
    /// The part of that for capacity that nobody used, spread by share.
    pub idle_usd_per_month: f64,
}

/// Applies a budget to the side in use.
pub(crate) fn apply(budget: &Budget, evaluation: &Evaluation<'_>) -> BudgetAnswer {
    let requests = evaluation.requests;
    let shared = evaluation.shared.month_usd(requests);
    let fleet = evaluation.fleet_bill(requests);
    let bill = match budget.in_use {
        Side::Api => evaluation.api_usd(requests),
        Side::SelfHosted => fleet.map(|bill| bill.usd()),
    }
    .map(|usd| usd + shared);
    // Only cards can be idle; an API bills what is used.
    let idle = match (budget.in_use, fleet) {
        (Side::SelfHosted, Some(bill)) => bill.gpu_usd * (1.0 - bill.utilization),
        (Side::SelfHosted, None) | (Side::Api, _) => 0.0,
    };
    let limit = (budget.alert_usd_per_month > 0.0).then_some(budget.alert_usd_per_month);
    let days = evaluation.case.hours_per_month / 24.0;
    let alerts = match (limit, bill) {
        (Some(limit), Some(bill)) => budget
            .alert_at
            .iter()
            .map(|&at| alert(at, at * limit, bill, days))
            .collect(),
        (_, _) => Vec::new(),
    };
    let turns = evaluation
        .case
        .demand
        .conversation
        .as_ref()
        .map_or(1.0, |talk| talk.turns);
    let session = bill
        .filter(|_| requests > 0.0)
        .map(|bill| bill / requests * turns);
    let session_limit =
        (budget.alert_usd_per_session > 0.0).then_some(budget.alert_usd_per_session);
    BudgetAnswer {
        in_use: budget.in_use,
        usd_per_month: bill,
        alert_usd_per_month: limit,
        alerts,
        usd_per_session: session,
        session_over_budget: session
            .zip(session_limit)
            .map(|(session, limit)| session > limit),
        cost_centers: bill.map_or_else(Vec::new, |bill| charges(budget, bill, idle)),
    }
}

fn alert(at: f64, usd: f64, bill: f64, days: f64) -> Alert {
    let reached = bill >= usd && bill > 0.0;
    Alert {
        at,
        usd,
        reached,
        day: reached.then(|| usd / bill * days),
    }
}

fn charges(budget: &Budget, bill: f64, idle: f64) -> Vec<Charge> {
    let charge = |name: &str, share: f64| Charge {
        name: name.to_owned(),
        share,
        usd_per_month: bill * share,
        idle_usd_per_month: idle * share,
    };
    let mut charges: Vec<Charge> = budget
        .cost_center
        .iter()
        .map(|center| charge(&center.name, center.share))
        .collect();
    let assigned: f64 = budget.cost_center.iter().map(|center| center.share).sum();
    if !charges.is_empty() && assigned < 1.0 - 1e-9 {
        charges.push(charge("unassigned", 1.0 - assigned));
    }
    charges
}
