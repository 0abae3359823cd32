//! Money over time: payback, cash by month, the loss if the volume halves, what one is bound for, and
//! the budget.

use super::amount::{change, count, percent, usd};
use super::{Part, section, table};
use crate::cost::answer::Answer;
use crate::cost::horizon::{HorizonAnswer, Month};

/// Months of the cash table beyond the first quarter: every third.
const QUARTER: u32 = 3;

/// Cash by month with payback, the halved volume and the commitment.
pub(super) fn flow(horizon: &HorizonAnswer) -> Part {
    let shown = |month: &&Month| {
        month.month <= QUARTER
            || month.month.is_multiple_of(QUARTER)
            || month.month as usize == horizon.months.len()
    };
    let rows = horizon
        .months
        .iter()
        .filter(shown)
        .map(|month| {
            vec![
                month.month.to_string(),
                count(month.requests),
                usd(month.api_usd),
                usd(month.self_hosted_usd),
                change(Some(month.api_usd - month.self_hosted_usd)),
                change(Some(month.cumulative_saving_usd)),
            ]
        })
        .collect();
    let header = [
        "month",
        "requests",
        "API",
        "self-hosted",
        "saved by self-hosting",
        "saved so far",
    ];
    let notes = vec![
        payback(horizon),
        halved(horizon),
        commitment(horizon),
        worth(horizon),
    ];
    section("Cash", notes, table(0, &header, rows))
}

fn worth(horizon: &HorizonAnswer) -> String {
    let value = horizon.net_present_value_usd;
    let outcome = if value < 0.0 {
        format!("costs {} more than the API", usd(-value))
    } else {
        format!("saves {}", usd(value))
    };
    format!(
        "Over {} months self-hosting {outcome}, at today's value. One-off costs count when they are paid, so the bills below are without their monthly part.",
        horizon.months.len()
    )
}

fn payback(horizon: &HorizonAnswer) -> String {
    match (horizon.payback_months, horizon.cash_back_in_month) {
        (Some(months), _) if months <= 0.0 => {
            "Nothing is paid up front, so there is nothing to pay back.".to_owned()
        }
        (Some(months), Some(month)) => format!(
            "Payback: {} months of today's saving return the one-off costs; with growth and price trends the cash is back in month {month}.",
            count(months)
        ),
        (Some(months), None) => format!(
            "Payback: {} months of today's saving return the one-off costs, but with growth and price trends the cash is not back within {} months.",
            count(months),
            horizon.months.len()
        ),
        (None, Some(month)) => format!(
            "Payback: nothing is saved today; with growth the cash is back in month {month}."
        ),
        (None, None) => format!(
            "Payback: none. Nothing is saved today, and the cash is not back within {} months.",
            horizon.months.len()
        ),
    }
}

fn halved(horizon: &HorizonAnswer) -> String {
    let halved = &horizon.volume_halved;
    let saving = halved.saving_usd_per_month;
    let outcome = if saving < 0.0 {
        format!("self-hosting then loses {} a month", usd(-saving))
    } else {
        format!("self-hosting then still saves {} a month", usd(saving))
    };
    format!(
        "If the volume halves and the fleet stays, the API costs {} and self-hosting {}: {outcome}.",
        usd(halved.api_usd_per_month),
        usd(halved.self_hosted_usd_per_month)
    )
}

fn commitment(horizon: &HorizonAnswer) -> String {
    if horizon.commitment_liability_usd > 0.0 {
        format!(
            "Commitment: {} are owed for the machines whatever the volume.",
            usd(horizon.commitment_liability_usd)
        )
    } else {
        "Commitment: none; the machines can be given back at any time.".to_owned()
    }
}

/// Alerts and charge-back.
pub(super) fn budget(answer: &Answer) -> Option<Part> {
    let budget = &answer.budget;
    if budget.alert_usd_per_month.is_none() && budget.cost_centers.is_empty() {
        return None;
    }
    let mut notes = Vec::new();
    if let (Some(limit), Some(bill)) = (budget.alert_usd_per_month, budget.usd_per_month) {
        notes.push(format!(
            "The side in use spends {} of its budget of {} a month.",
            percent(bill / limit),
            usd(limit)
        ));
    }
    let reached = budget.alerts.iter().filter_map(|alert| {
        let day = alert.day?;
        Some(format!("{} on day {day:.0}", usd(alert.usd)))
    });
    let reached: Vec<String> = reached.collect();
    if !reached.is_empty() {
        notes.push(format!("Alerts of this month: {}.", reached.join("; ")));
    } else if !budget.alerts.is_empty() {
        let levels = budget.alerts.iter().map(|alert| usd(alert.usd));
        let levels: Vec<String> = levels.collect();
        notes.push(format!(
            "None of the alerts is reached: {}.",
            levels.join(", ")
        ));
    }
    if let (Some(session), Some(over)) = (budget.usd_per_session, budget.session_over_budget) {
        let word = if over { "above" } else { "within" };
        notes.push(format!(
            "A session costs {}, {word} its budget.",
            usd(session)
        ));
    }
    let rows = budget
        .cost_centers
        .iter()
        .map(|center| {
            vec![
                super::amount::short(&center.name, 60),
                percent(center.share),
                usd(center.usd_per_month),
                usd(center.idle_usd_per_month),
            ]
        })
        .collect();
    let header = ["cost center", "share", "$/month", "of it idle capacity"];
    Some(section(
        "Budget and charge-back",
        notes,
        table(1, &header, rows),
    ))
}
